//! Who may do what, tried: every command and every button × person × way in × state, generated from what
//! the program declares. What is expected is read from the runbook here, by other code than the bot's.

use crate::harness::alerts::{Source, firing};
use crate::harness::bot::{Bot, NIGHT_MS, shown, sources};
use crate::harness::database::{Engine, TestDatabase, run_within};
use crate::harness::place::Place;
use neostock_ops::command::VERBS;
use neostock_ops::command_line::{Typed, give};
use neostock_ops::config::settings::{Settings, from_sources};
use neostock_ops::core::action::{Action, Member, Runbook};
use neostock_ops::core::alert::{Level, Sighting};
use neostock_ops::core::alert_press::{Deed, Seen as SeenAlert};
use neostock_ops::core::decision::Verdict;
use neostock_ops::core::id::{AlertId, RunId};
use neostock_ops::core::press::{Press, Wish};
use neostock_ops::core::rule::{Condition, Test, Then};
use neostock_ops::core::run::State;
use neostock_ops::core::settle_card::{Seen, Settlement};
use neostock_ops::core::text::Lang;
use neostock_ops::exec::login::Login;
use neostock_ops::sandbox::{Options, Person};
use serde_json::{Value, json};
use sqlx::{AnyConnection, AssertSqlSafe, Row};
use std::collections::BTreeSet;
use std::path::Path;

/// Nobody drives runs of `staging` here: its host is another's. Their states are the test's alone.
/// Every cell is a request of its own, at the command line a process: on a busy machine that takes a while.
const LONG: std::time::Duration = std::time::Duration::from_mins(5);
const ACTIONS: &str = r#"
  gated:
    summary: gated
    role: operator
    approval: {from: lead, expires: 15m}
    checklist: before
    parameters: {reason: {type: text}}
    steps:
      - {name: Gated, run: [sh, -c, "echo gated >> $MARKS"], timeout: 20s}
  own:
    summary: own
    role: operator
    approval: {from: lead, self: true, expires: 15m}
    parameters: {reason: {type: text}}
    steps:
      - {name: Own, run: [sh, -c, "echo own >> $MARKS"], timeout: 20s}
  look:
    summary: look
    role: viewer
    lock: none
    parameters: {reason: {type: text}}
    steps:
      - {name: Look, run: [sh, -c, "echo look >> $MARKS"], timeout: 20s}
  ruled:
    summary: ruled
    role: operator
    parameters: {reason: {type: text}}
    rules:
      - {when: {environment: staging}, role: lead}
    steps:
      - {name: Ruled, run: [sh, -c, "echo ruled >> $MARKS"], timeout: 20s}
  never:
    summary: never
    role: viewer
    parameters: {reason: {type: text}}
    rules:
      - {when: {environment: staging}, deny: {zh: 不行, en: Not there}}
    steps:
      - {name: Never, run: [sh, -c, "echo never >> $MARKS"], timeout: 20s}
checklists:
  before:
    title: before
    items: [{name: Watched, tick: oncall}, {name: Read, tick: lead, self: false}]
emergency: {role: oncall, actions: [gated], review: lead}
contacts: {reviewed: 2026-11-01, people: [{name: Watch, duty: watch, slack: S0OPS}]}
command_line: {users: {ann: U0ANN, bob: U0BOB, cat: U0CAT, dan: U0DAN, eve: U0EVE}}
"#;
/// An operator; an operator who leads and is on call; a lead on call who operates nothing; a member without
/// a role; a guest.
const PEOPLE: [(&str, &str); 5] =
    [("U0ANN", "ann"), ("U0BOB", "bob"), ("U0CAT", "cat"), ("U0DAN", "dan"), ("U0EVE", "eve")];
const WHERE: &str = "staging";
/// The id in the examples of help.
const EXAMPLE: &str = "R-7K3QZD5A";
const FORM: &str = "application/x-www-form-urlencoded";

/// By which way somebody asks. Schedules and triggers are not there yet: a test below says when they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    Slash,
    Button,
    Form,
    Cli,
}

impl Origin {
    pub const ALL: [Self; 4] = [Self::Slash, Self::Button, Self::Form, Self::Cli];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Slash => "slash",
            Self::Button => "button",
            Self::Form => "form",
            Self::Cli => "cli",
        }
    }
}

/// What a command comes to, whichever way it is given.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Meaning {
    /// To be shown something, by this role and these besides; the journal's kind.
    Look(&'static str, Vec<&'static str>, &'static str),
    Oneself,
    Decide(Verdict),
    Retry,
    Settle(Settlement),
    Review,
    /// An item of the checklist, counted from 0.
    Tick(usize),
    Recheck,
    Logs,
    Unlock,
    Delegate,
    /// A silence of a kind of alerts.
    SilenceOfAKind,
    /// An end of a silence that there is not.
    EndOfSilence,
    /// Something to be done after an alert that there is not.
    FollowUp,
    /// A change of who is on call, of a rotation that there is not; of one's own shift, or of others'.
    OnCall {
        is_own: bool,
    },
    Ask {
        action: String,
        is_emergency: bool,
    },
    /// The form that asks why, first.
    OpenForm(Box<Meaning>),
    /// A plan that is not the one that was shown.
    Stale {
        action: String,
    },
    /// Something of an alert of this level; `None`: of one that is not there.
    OfAlert(Deed, Option<Level>),
}

/// What is given.
#[derive(Debug, Clone)]
pub enum What {
    Words(String),
    Press(Press),
    Form(Press),
}

/// A run to be cloned: its action, who asked, whether as an emergency.
#[derive(Debug, Clone)]
struct Template {
    id: &'static str,
    action: &'static str,
    asker: &'static str,
    is_emergency: bool,
    digest: String,
}

/// What should happen.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Expected {
    Denied,
    /// The entry that tells of it.
    Kind(&'static str),
}

// What the runbook says, read by this test itself.

fn holds(runbook: &Runbook, options: &Options, role: &str, user: &str) -> bool {
    let person = options.persons.iter().find(|person| person.id == user).unwrap();
    let is_full = !person.is_guest && !person.is_deactivated && person.team_id.is_none();
    let Some(role) = runbook.roles.get(role) else { return role == "viewer" && is_full };
    let names = |member: &Member| match member {
        Member::Everyone => true,
        Member::User(id) => id == user,
        Member::Group(id) => {
            let group = options.groups.iter().find(|group| group.id == *id).unwrap();
            group.members.iter().any(|member| member == user)
        }
    };
    is_full && role.members.iter().any(names)
}

/// The role that may ask; `None`: nobody may. The rules here know environments alone.
fn role_of(action: &Action) -> Option<&str> {
    let applies = |condition: &Condition| {
        assert_eq!(condition.name, "environment");
        matches!(&condition.test, Test::OneOf(names) if names.iter().any(|name| name == WHERE))
    };
    let rule = action.rules.iter().find(|rule| rule.when.iter().all(applies));
    match rule.map(|rule| &rule.then) {
        None => Some(&action.role),
        Some(Then::Deny(_)) => None,
        Some(Then::Allow { role, .. }) => Some(role.as_deref().unwrap_or(&action.role)),
    }
}

/// The roles of which one is needed, and those besides; `None`: nobody may.
fn needed(
    meaning: &Meaning,
    template: &Template,
    runbook: &Runbook,
) -> Option<(Vec<String>, Vec<String>)> {
    let one = |role: &str| Some((vec![role.to_owned()], Vec::new()));
    let of_run = &runbook.actions[template.action];
    let emergency = runbook.emergency.as_ref().unwrap();
    match meaning {
        Meaning::OpenForm(inner) => needed(inner, template, runbook),
        Meaning::Look(role, also, _) => {
            let also = also.iter().map(|&role| role.to_owned()).collect();
            Some((vec![(*role).to_owned()], also))
        }
        Meaning::Oneself | Meaning::OnCall { is_own: true } => Some((Vec::new(), Vec::new())),
        Meaning::OnCall { is_own: false } => {
            Some((vec!["oncall".to_owned(), "lead".to_owned()], Vec::new()))
        }
        Meaning::Decide(Verdict::Approved | Verdict::Rejected) => {
            let approval = of_run.approval.as_ref().unwrap();
            Some((approval.from.clone(), Vec::new()))
        }
        Meaning::Review if template.is_emergency => one(&emergency.review),
        Meaning::Tick(0) => one("oncall"),
        Meaning::Decide(Verdict::Cancelled)
        | Meaning::Retry
        | Meaning::Settle(_)
        | Meaning::Review
        | Meaning::Tick(2..)
        | Meaning::Recheck
        | Meaning::Logs => one(&of_run.role),
        // Nobody but a lead keeps people from being called about an incident.
        Meaning::Unlock
        | Meaning::Delegate
        | Meaning::SilenceOfAKind
        | Meaning::Tick(1)
        | Meaning::OfAlert(Deed::Silence, Some(Level::Critical)) => one("lead"),
        Meaning::Stale { action } => one(role_of(&runbook.actions[action])?),
        Meaning::OfAlert(Deed::Details, _) => one("viewer"),
        // Who operates, by an action or one of its rules, or is on call.
        Meaning::OfAlert(..) | Meaning::EndOfSilence | Meaning::FollowUp => {
            Some((["operator", "lead", "oncall"].map(str::to_owned).to_vec(), Vec::new()))
        }
        Meaning::Ask { action, is_emergency } => {
            let role = role_of(&runbook.actions[action])?.to_owned();
            let also = if *is_emergency { vec![emergency.role.clone()] } else { Vec::new() };
            Some((vec![role], also))
        }
    }
}

/// Whether a run has ended; a new state does not compile until it is decided here.
fn is_final(state: State) -> bool {
    match state {
        State::Waiting | State::Queued | State::Running | State::NeedsAttention => false,
        State::Succeeded
        | State::Failed
        | State::Cancelled
        | State::TimedOut
        | State::Rejected
        | State::Expired => true,
    }
}

/// What comes of it when somebody may.
fn outcome(meaning: &Meaning, template: &Template, state: State, is_own: bool) -> &'static str {
    let counts = |yes: bool, kind: &'static str, not: &'static str| if yes { kind } else { not };
    match meaning {
        Meaning::OpenForm(inner) => match outcome(inner, template, state, is_own) {
            refused if refused.ends_with(".refused") => refused,
            // Slack knows no trigger of this test: the form cannot be opened, and that is said.
            _ => "request.refused",
        },
        Meaning::Look(.., kind) => kind,
        Meaning::Oneself => "request.answered",
        Meaning::Decide(Verdict::Approved) => {
            let counted = state == State::Waiting && !is_own;
            counts(counted, "decision.approved", "decision.refused")
        }
        Meaning::Decide(Verdict::Rejected) => {
            counts(state == State::Waiting, "decision.rejected", "decision.refused")
        }
        Meaning::Decide(Verdict::Cancelled) => {
            let goes_on = matches!(state, State::Waiting | State::Queued | State::Running);
            counts(goes_on, "decision.cancelled", "decision.refused")
        }
        Meaning::Retry => {
            let did_not = is_final(state) && state != State::Succeeded;
            counts(did_not, "run.requested", "request.refused")
        }
        Meaning::Settle(settlement) => {
            let kind = match settlement {
                Settlement::Ok => "step.settled_ok",
                Settlement::Failed => "step.settled_failed",
                Settlement::Again | Settlement::Stopped => "settle.handed_on",
            };
            counts(state == State::NeedsAttention, kind, "settle.refused")
        }
        Meaning::Review => {
            let counted = template.is_emergency && is_final(state) && !is_own;
            counts(counted, "emergency.reviewed", "review.refused")
        }
        Meaning::Tick(item) => {
            let counted = state == State::Waiting && (*item == 0 || *item == 1 && !is_own);
            counts(counted, "checklist.ticked", "checklist.refused")
        }
        // Nothing of this list is checked by a program.
        Meaning::Recheck => "checklist.refused",
        Meaning::Logs
        | Meaning::Stale { .. }
        | Meaning::OnCall { .. }
        | Meaning::EndOfSilence
        | Meaning::FollowUp
        | Meaning::OfAlert(_, None) => "request.refused",
        Meaning::SilenceOfAKind => "silence.begun",
        Meaning::Unlock => {
            counts(state == State::NeedsAttention, "lock.taken_over", "lock.refused")
        }
        Meaning::Delegate => "role.delegated",
        Meaning::Ask { .. } => "run.requested",
        Meaning::OfAlert(deed, Some(_)) => match deed {
            Deed::Acknowledge => "alert.acknowledged",
            Deed::Resolve => "alert.resolved_by_hand",
            Deed::Silence => "alert.silenced",
            Deed::Escalate => "alert.escalated",
            // Nobody has it, and it is not silenced.
            Deed::GiveBack | Deed::Unsilence => "request.refused",
            Deed::Details => "request.answered",
        },
    }
}

/// What a verb means; a verb that is not here fails the matrix.
fn meaning_of(verb: &str) -> Meaning {
    let look = |role, kind| Meaning::Look(role, Vec::new(), kind);
    match verb {
        // The examples of `delegate` and `oncall` list, that of `plan` is about something that is no action.
        "status" | "show" | "runs" | "alerts" | "silence" | "results" | "why" | "help"
        | "delegate" | "freeze" | "oncall" => look("viewer", "request.answered"),
        "plan" => Meaning::Look("viewer", vec!["lead"], "request.refused"),
        // Personal data: for who operates, as the runbook does not say otherwise.
        "contacts" => look("operator", "request.answered"),
        "whoami" => Meaning::Oneself,
        // Nobody here is an `auditor`: a lead is.
        "audit" => look("lead", "journal.read"),
        "compliance" => look("lead", "compliance.reported"),
        "logs" => Meaning::Logs,
        // The example silences one that is not there.
        "alert" => Meaning::OfAlert(Deed::Silence, None),
        "approve" => Meaning::Decide(Verdict::Approved),
        "reject" => Meaning::Decide(Verdict::Rejected),
        "cancel" => Meaning::Decide(Verdict::Cancelled),
        "retry" => Meaning::Retry,
        "review" => Meaning::Review,
        "tick" => Meaning::Tick(4),
        "recheck" => Meaning::Recheck,
        "settle" => Meaning::Settle(Settlement::Failed),
        "unlock" => Meaning::Unlock,
        other => panic!(
            "the verb `{other}` is in no row of the matrix: say who may, and what comes of it"
        ),
    }
}

/// What a press means; a new one does not compile until it is said here.
fn meaning_of_press(press: &Press) -> Meaning {
    let asked = |words: &str| {
        let verb = words.split(' ').next().unwrap();
        if VERBS.iter().any(|spec| spec.name == verb) {
            return meaning_of(verb);
        }
        Meaning::Ask { action: verb.to_owned(), is_emergency: words.contains("--emergency") }
    };
    let form = |meaning| Meaning::OpenForm(Box::new(meaning));
    match press {
        Press::Decide { verdict: Verdict::Rejected, .. } => {
            form(Meaning::Decide(Verdict::Rejected))
        }
        Press::Decide { verdict, .. } => Meaning::Decide(*verdict),
        Press::Details { .. } => Meaning::Look("viewer", Vec::new(), "request.answered"),
        Press::Page { words, .. } | Press::Propose { words } => asked(words),
        Press::Queue { wish, digest, words } => match wish {
            Wish::Supersede | Wish::Behind | Wish::AsPlanned if digest == "stale" => {
                Meaning::Stale { action: words.split(' ').next().unwrap().to_owned() }
            }
            Wish::Supersede | Wish::Behind | Wish::AsPlanned => asked(words),
        },
        Press::Review { .. } => form(Meaning::Review),
        Press::Tick { item, .. } => Meaning::Tick(*item),
        Press::Recheck { .. } => Meaning::Recheck,
        Press::Settle { settlement, .. } => form(Meaning::Settle(*settlement)),
        Press::Alert { deed: Deed::Silence, seen, .. } => {
            form(Meaning::OfAlert(Deed::Silence, Some(seen.level)))
        }
        Press::Alert { deed, seen, .. } => Meaning::OfAlert(*deed, Some(seen.level)),
    }
}

/// The word of a deed, as it is typed.
fn typed_deed(deed: Deed) -> &'static str {
    match deed {
        Deed::Acknowledge => "ack",
        Deed::GiveBack => "release",
        Deed::Resolve => "resolve",
        Deed::Silence => "silence 2h why",
        Deed::Unsilence => "unsilence",
        Deed::Escalate => "escalate",
        Deed::Details => "",
    }
}

#[expect(clippy::unnecessary_wraps, reason = "a press of the same deed need not exist")]
fn typed_of_alert(deed: Deed, alert: &AlertId, level: Level) -> Option<(What, Meaning)> {
    let words = format!("alert {alert} {}", typed_deed(deed));
    Some((What::Words(words.trim_end().to_owned()), Meaning::OfAlert(deed, Some(level))))
}

fn press_of_alert(deed: Deed, alert: &AlertId, level: Level) -> Press {
    Press::Alert { deed, alert: alert.clone(), seen: SeenAlert { returns: 0, level } }
}

/// The presses of a run's buttons.
fn presses_of(run: &RunId, digest: &str) -> Vec<Press> {
    let seen = Seen { position: 0, attempt: 1 };
    let (run, digest) = (run.clone(), digest.to_owned());
    let mut all = vec![
        Press::Details { run: run.clone() },
        Press::Review { run: run.clone(), digest: digest.clone() },
    ];
    all.push(Press::Recheck { run: run.clone(), digest: digest.clone() });
    for item in 0..3 {
        all.push(Press::Tick { run: run.clone(), digest: digest.clone(), item });
    }
    for verdict in [Verdict::Approved, Verdict::Rejected, Verdict::Cancelled] {
        all.push(Press::Decide { verdict, run: run.clone(), digest: digest.clone() });
    }
    for settlement in Settlement::ALL {
        all.push(Press::Settle { settlement, run: run.clone(), seen });
    }
    all
}

/// A bot, and what every cell needs.
pub struct World {
    pub bot: Bot,
    settings: Settings,
    options: Options,
    runbook: Runbook,
    pub raw: AnyConnection,
    templates: Vec<Template>,
    serial: u32,
    cells: u32,
    denied: u32,
}

impl World {
    pub async fn begin(database: &TestDatabase) -> Self {
        let place = Place::new(ACTIONS);
        let text = std::fs::read_to_string(place.runbook()).unwrap();
        let roles = "  lead: {members: [U0BOB, U0CAT]}\n  oncall: {members: [U0BOB, U0CAT]}\n";
        let text = text
            .replace("channel: C0DEV\n", "channel: C0DEV\n    host: elsewhere\n")
            .replace("  lead: {members: [U0BOB]}\n", roles);
        std::fs::write(place.runbook(), text).unwrap();
        let mut options = Options::default();
        options.persons.push(Person::new("U0DAN", "dan", "Dan", "en-US"));
        let bot = Bot::in_workspace(database, place, options.clone()).await;
        let settings = sources(&bot.workspace, &bot.place, &bot.database_url);
        let settings = from_sources(&settings).unwrap();
        let runbook = neostock_ops::config::runbook::load(&settings.runbook).unwrap();
        let raw = database.raw().await;
        let (templates, serial, cells, denied) = (Vec::new(), 0, 0, 0);
        let mut world =
            Self { bot, settings, options, runbook, raw, templates, serial, cells, denied };
        world.template("T-1", "U0ANN", false).await;
        world.template("T-2", "U0BOB", false).await;
        world.template("T-3", "U0BOB", true).await;
        world
    }

    /// Asks for a run as a person does, and puts it aside to be cloned.
    async fn template(&mut self, id: &'static str, asker: &'static str, is_emergency: bool) {
        let flag = if is_emergency { " --emergency" } else { "" };
        self.bot.say(asker, &format!("gated env={WHERE} why{flag}")).await;
        let row = sqlx::query("select id, plan_digest from runs where id like 'R-%'")
            .fetch_one(&mut self.raw)
            .await
            .unwrap();
        let (run, digest): (String, String) = (row.get(0), row.get(1));
        for statement in [
            format!(
                "update runs set id = '{id}', state = 'rejected', expires_ms = 0 where id = '{run}'"
            ),
            format!("update steps set run_id = '{id}' where run_id = '{run}'"),
        ] {
            self.execute(statement).await;
        }
        self.clear().await;
        self.templates.push(Template { id, action: "gated", asker, is_emergency, digest });
    }

    pub async fn execute(&mut self, statements: String) {
        // Ids and states of this test alone stand in them.
        sqlx::raw_sql(AssertSqlSafe(statements)).execute(&mut self.raw).await.unwrap();
    }

    /// A run like a template, in a state, which holds the environment.
    async fn clone_of(&mut self, template: &Template, state: State) -> RunId {
        self.serial += 1;
        let run = RunId::parse(&format!("R-{:08}", self.serial)).unwrap();
        let (old, word) = (template.id, state.as_str());
        let ended = if is_final(state) { NIGHT_MS } else { 0 };
        let (step, attempts) = match state {
            State::NeedsAttention => ("unknown", 1),
            State::Running => ("running", 1),
            _ => ("pending", 0),
        };
        let clone = format!(
            "insert into runs (id, action, environment, host, holds_lock, actor, origin, origin_channel, \
             channel, plan, plan_digest, state, position, owner, fence, lease_until_ms, created_ms, \
             started_ms, ended_ms, expires_ms) select '{run}', action, environment, host, holds_lock, \
             actor, origin, origin_channel, channel, plan, plan_digest, '{word}', position, '', 0, 0, \
             created_ms, started_ms, {ended}, 0 from runs where id = '{old}'; \
             insert into steps (run_id, position, state, attempt, attempts, directory, started_ms, \
             ended_ms, evidence, tail) select '{run}', position, '{step}', attempt, {attempts}, '', 0, 0, \
             '', '' from steps where run_id = '{old}'; \
             insert into environment_locks (environment, run_id, fence, taken_ms) values \
             ('{WHERE}', '{run}', 0, {NIGHT_MS});"
        );
        let review = format!(
            "insert into reviews (run_id, created_ms, due_ms, sent, user_id, role, note, at_ms) \
             values ('{run}', {NIGHT_MS}, {}, 0, '', '', '', 0);",
            i64::MAX
        );
        self.execute(if template.is_emergency { clone + &review } else { clone }).await;
        run
    }

    /// Takes away what a cell left.
    async fn clear(&mut self) {
        self.execute(
            "delete from runs where id like 'R-%'; delete from steps where run_id like 'R-%'; \
             delete from decisions; delete from reviews; delete from delegations; \
             delete from environment_locks; delete from lock_takeovers; delete from settle_wishes; \
             delete from reminders; delete from queue_shown; delete from ticks; \
             delete from alert_instances; delete from alerts; delete from silences;"
                .to_owned(),
        )
        .await;
    }

    /// Everything that a denial must not change.
    async fn print(&mut self) -> Vec<(String, i64)> {
        let mut print = Vec::new();
        let runs = sqlx::query("select id, state, position from runs order by id")
            .fetch_all(&mut self.raw)
            .await
            .unwrap();
        for row in runs {
            print.push((
                format!("{} {}", row.get::<String, _>(0), row.get::<String, _>(1)),
                row.get(2),
            ));
        }
        let alerts = sqlx::query("select condition, notices from alerts order by id");
        for row in alerts.fetch_all(&mut self.raw).await.unwrap() {
            print.push((row.get(0), row.get(1)));
        }
        let counts = sqlx::query(
            "select (select count(*) from decisions), (select count(*) from reviews where at_ms > 0), \
             (select count(*) from delegations), (select count(*) from lock_takeovers), \
             (select count(*) from settle_wishes), (select count(*) from steps where state = 'pending'), \
             (select count(*) from outbox), (select count(*) from ticks), \
             (select count(*) from silences), (select count(*) from alert_follow_ups), \
             (select count(*) from oncall_overrides)",
        )
        .fetch_one(&mut self.raw)
        .await
        .unwrap();
        print.extend((0..11_usize).map(|at| (format!("count {at}"), counts.get(at))));
        print
    }

    pub async fn seq(&mut self) -> i64 {
        let head = sqlx::query_scalar("select seq from journal_head where id = 1");
        head.fetch_one(&mut self.raw).await.unwrap()
    }

    /// What the journal tells of a person since an entry: kind and origin.
    pub async fn told(&mut self, after: i64, user: &str) -> Vec<(String, String)> {
        sqlx::query_as(
            "select kind, origin from journal where seq > $1 and actor = $2 order by seq",
        )
        .bind(after)
        .bind(user)
        .fetch_all(&mut self.raw)
        .await
        .unwrap()
    }

    /// Does it; what the person reads.
    pub async fn act(
        &mut self,
        origin: Origin,
        (user, login): (&str, &str),
        what: &What,
    ) -> String {
        match (origin, what) {
            (Origin::Slash, What::Words(words)) => self.bot.say(user, words).await,
            (Origin::Cli, What::Words(words)) => {
                let login = Login { name: login.to_owned(), uid: 1_000 };
                let text = words.clone();
                let typed = Typed { text, login, lang: Some(Lang::En), follows: false };
                let mut out = Vec::new();
                let program = env!("CARGO_BIN_EXE_neostock-ops").into();
                Box::pin(give(&self.settings, program, typed, &mut out)).await.unwrap();
                String::from_utf8(out).unwrap()
            }
            (Origin::Button, What::Press(press)) => {
                self.serial += 1;
                let body = self.press_body(user, press);
                let before = self.bot.workspace.ephemerals(user).len();
                let answer = self.bot.workspace.deliver_signed(FORM, &body, &[]).await;
                assert!(answer.is_ok(), "{answer:?}");
                let after = self.bot.workspace.ephemerals(user);
                after.get(before..).unwrap_or_default().iter().map(shown).collect()
            }
            (Origin::Form, What::Form(press)) => {
                self.serial += 1;
                let body = self.form_body(user, press);
                let answer = self.bot.workspace.deliver_signed(FORM, &body, &[]).await;
                assert!(answer.is_ok(), "{answer:?}");
                answer.body().to_owned()
            }
            (origin, what) => panic!("{what:?} cannot come by {origin:?}"),
        }
    }

    fn payload(&self, user: &str, more: &Value) -> String {
        let mut payload = json!({
            "user": {"id": user, "team_id": "T0NEO"}, "team": {"id": "T0NEO"},
            "trigger_id": format!("matrix.{}", self.serial),
        });
        payload.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        form_urlencoded::Serializer::new(String::new())
            .append_pair("payload", &payload.to_string())
            .finish()
    }

    fn press_body(&self, user: &str, press: &Press) -> String {
        let path = self.bot.workspace.open_response_url(user, "C0OPS");
        let url = format!("{}{path}", self.bot.workspace.base_url());
        self.payload(user, &json!({
            "type": "block_actions", "response_url": url,
            "container": {"type": "message", "channel_id": "C0OPS", "message_ts": "1.000001"},
            "actions": [{
                "type": "button", "action_id": press.action(), "block_id": "b", "value": press.value(),
                "action_ts": "1.0",
            }],
        }))
    }

    fn form_body(&self, user: &str, press: &Press) -> String {
        let values = json!({"reason": {"reason": {"type": "plain_text_input", "value": "why"}}});
        self.payload(
            user,
            &json!({
                "type": "view_submission",
                "view": {
                    "id": format!("V{}", self.serial), "type": "modal", "callback_id": "reason",
                    "private_metadata": format!("{} {}", press.action(), press.value()),
                    "state": {"values": values},
                },
            }),
        )
    }

    /// One cell: what is given, by whom, which way, about a run in this state.
    async fn cell(
        &mut self,
        origin: Origin,
        person: (&str, &str),
        (what, meaning): (&What, &Meaning),
        (template, state): (&Template, State),
    ) {
        let user = person.0;
        let holds = |role: &String| holds(&self.runbook, &self.options, role, user);
        let may = needed(meaning, template, &self.runbook).is_some_and(|(one_of, also)| {
            (one_of.is_empty() || one_of.iter().any(holds)) && also.iter().all(holds)
        });
        let expected = if may {
            Expected::Kind(outcome(meaning, template, state, user == template.asker))
        } else {
            Expected::Denied
        };
        let cell = format!("{origin:?} {user} {what:?} of {}’s run, {state:?}", template.asker);
        let (before, seq) = (self.print().await, self.seq().await);

        let answer = self.act(origin, person, what).await;

        let told = self.told(seq, user).await;
        let after = self.print().await;
        assert!(told.iter().all(|(_, found)| found == origin.as_str()), "{cell}: {told:?}");
        let kinds: Vec<&str> = told.iter().map(|(kind, _)| kind.as_str()).collect();
        match expected {
            Expected::Denied => {
                assert_eq!(kinds, ["request.denied"], "{cell}: {answer}");
                assert_eq!(before, after, "{cell}: a denial changed something");
                let says_so = ["什么也没有执行", "nothing was done", "没有执行"];
                // A page's answer takes the place of the list, which is not there.
                let is_shown = !matches!(what, What::Press(Press::Page { .. }));
                assert!(
                    !is_shown || says_so.iter().any(|words| answer.contains(words)),
                    "{cell}: {answer}"
                );
                self.denied += 1;
            }
            Expected::Kind(kind) => {
                assert!(kinds.contains(&kind), "{cell}: {kind} is not among {kinds:?}: {answer}");
                assert!(!kinds.contains(&"request.denied"), "{cell}: {kinds:?}");
                let changes = !kind.ends_with(".refused")
                    && !["request.answered", "journal.read"].contains(&kind);
                assert_eq!(before != after, changes, "{cell}: {kind}\n{before:?}\n{after:?}");
            }
        }
        self.cells += 1;
    }

    /// Every state of a run, for each person, asked for by each of two people: one's own and another's.
    async fn about_runs(
        &mut self,
        origin: Origin,
        rows: impl Fn(&RunId, &Template) -> Vec<(What, Meaning)>,
    ) {
        for template in self.templates.clone() {
            for state in State::ALL {
                for person in PEOPLE {
                    let nothing = RunId::parse(EXAMPLE).unwrap();
                    for at in 0..rows(&nothing, &template).len() {
                        let meaning = &rows(&nothing, &template)[at].1;
                        let is_review = *meaning == Meaning::Review
                            || *meaning == Meaning::OpenForm(Box::new(Meaning::Review));
                        // An emergency has no approval; what else is asked of it is asked of others.
                        if template.is_emergency && !is_review {
                            continue;
                        }
                        let run = self.clone_of(&template, *state).await;
                        let (what, meaning) = rows(&run, &template).swap_remove(at);
                        self.cell(origin, person, (&what, &meaning), (&template, *state)).await;
                        self.clear().await;
                    }
                }
            }
        }
    }

    /// What is about no run.
    async fn about_nothing(&mut self, origin: Origin, rows: Vec<(What, Meaning)>) {
        let template = self.templates[0].clone();
        for (what, meaning) in rows {
            for person in PEOPLE {
                self.cell(origin, person, (&what, &meaning), (&template, State::Waiting)).await;
                self.clear().await;
            }
        }
    }

    /// Every deed about an alert of each level, for each person.
    async fn about_alerts(
        &mut self,
        origin: Origin,
        what: impl Fn(Deed, &AlertId, Level) -> Option<(What, Meaning)>,
    ) {
        let source = Source::beside(&self.bot).await;
        let template = self.templates[0].clone();
        for level in Level::ALL {
            for deed in Deed::ALL {
                if deed == Deed::Escalate && level == Level::Critical {
                    // Who is called again depends on when they were called last, by whoever's clock.
                    continue;
                }
                for person in PEOPLE {
                    let fires = firing(&self.bot, "matrix", level);
                    source.says(&[Sighting { environment: WHERE.into(), ..fires }]).await;
                    let id: String =
                        sqlx::query_scalar("select id from alerts where name = 'matrix'")
                            .fetch_one(&mut self.raw)
                            .await
                            .unwrap();
                    if let Some((what, meaning)) = what(deed, &AlertId::new(id), level) {
                        let about = (&what, &meaning);
                        self.cell(origin, person, about, (&template, State::Waiting)).await;
                    }
                    self.clear().await;
                }
            }
        }
        source.end().await;
    }

    /// Says how much was tried; the journal is whole, and nothing was done anywhere.
    async fn end(mut self, what: &str) {
        let (cells, denied) = (self.cells, self.denied);
        println!("matrix of {what}: {cells} cells, {denied} denied");
        assert!(denied > cells / 5 && denied < cells, "{cells} cells, {denied} denied");
        assert_eq!(self.bot.place.marks(), Vec::<String>::new());
        self.bot.end().await;
        let store = self.bot.inspect().await;
        let verified = neostock_ops::audit::verify_report(&store, None, Lang::En).await.unwrap();
        assert!(verified.1, "{}", verified.0);
        store.close().await;
        self.bot.workspace.shutdown().await;
    }
}

fn is_about_run(example: &str) -> bool {
    example.contains(EXAMPLE) || example.starts_with("unlock")
}

/// The verbs about a run, from the examples of help, and what the examples leave out.
fn typed_about(run: &RunId) -> Vec<(What, Meaning)> {
    let mut rows = Vec::new();
    for spec in VERBS.iter().filter(|spec| is_about_run(spec.example)) {
        let words = spec.example.replace(EXAMPLE, run.as_str());
        let words = words.replace("unlock production", &format!("unlock {WHERE}"));
        rows.push((What::Words(words), meaning_of(spec.name)));
    }
    for settlement in Settlement::ALL {
        let word = match settlement {
            Settlement::Ok => "ok",
            Settlement::Failed => continue,
            Settlement::Again => "again",
            Settlement::Stopped => "stop",
        };
        let words = format!("settle {run} {word} I looked");
        rows.push((What::Words(words), Meaning::Settle(settlement)));
    }
    for item in 0..2 {
        rows.push((What::Words(format!("tick {run} {}", item + 1)), Meaning::Tick(item)));
    }
    rows
}

/// Every other verb, and every action of the runbook, as an emergency too.
fn typed_alone(runbook: &Runbook) -> Vec<(String, Meaning)> {
    let others = VERBS.iter().filter(|spec| !is_about_run(spec.example));
    let mut rows: Vec<(String, Meaning)> =
        // No `rollback` is in this runbook.
        others
            .map(|spec| (spec.example.replace("help rollback", "help gated"), meaning_of(spec.name)))
            .collect();
    rows.push(("delegate <@U0DAN> 8h away".to_owned(), Meaning::Delegate));
    let swap = ("oncall swap <@U0DAN> a wedding".to_owned(), Meaning::OnCall { is_own: true });
    let put = "oncall override primary <@U0DAN> now 8h ill".to_owned();
    let end = "oncall override end primary".to_owned();
    let others = [put, end].map(|words| (words, Meaning::OnCall { is_own: false }));
    rows.extend(others.into_iter().chain([swap]));
    rows.extend([
        ("silence error_rate 2h a drill".to_owned(), Meaning::SilenceOfAKind),
        ("silence end SL-7K3QZD5A".to_owned(), Meaning::EndOfSilence),
        ("alert AL-7K3QZD5A follow-up <@U0DAN> 2026-12-01 a test".to_owned(), Meaning::FollowUp),
        ("alert AL-7K3QZD5A follow-up done FU-7K3QZD5A".to_owned(), Meaning::FollowUp),
        ("alerts follow-ups".to_owned(), Meaning::Look("viewer", Vec::new(), "request.answered")),
    ]);
    for action in runbook.actions.values() {
        let name = &action.name;
        let words = format!("{name} env={WHERE} why");
        let ask = |is_emergency| Meaning::Ask { action: name.clone(), is_emergency };
        if runbook.emergency.as_ref().unwrap().actions.contains(name) {
            rows.push((format!("{words} --emergency"), ask(true)));
        }
        if let Some(role) = role_of(action) {
            let role =
                ["operator", "lead", "viewer"].into_iter().find(|known| *known == role).unwrap();
            let meaning = Meaning::Look("viewer", vec![role], "request.answered");
            rows.push((format!("plan {words}"), meaning));
        }
        rows.push((words, ask(false)));
    }
    rows
}

fn words_of(rows: Vec<(String, Meaning)>) -> Vec<(What, Meaning)> {
    rows.into_iter().map(|(words, meaning)| (What::Words(words), meaning)).collect()
}

async fn typed(database: TestDatabase) {
    let mut world = World::begin(&database).await;
    let alone = words_of(typed_alone(&world.runbook));
    world.about_nothing(Origin::Slash, alone).await;
    world.about_runs(Origin::Slash, |run, _| typed_about(run)).await;
    world.about_alerts(Origin::Slash, typed_of_alert).await;
    world.end("typed commands").await;
}

#[test]
fn every_typed_command_is_allowed_or_denied_as_the_runbook_says() {
    run_within(LONG, Engine::Sqlite, typed);
}

#[test]
fn every_typed_command_is_allowed_or_denied_as_the_runbook_says_on_postgres() {
    run_within(LONG, Engine::Postgres, typed);
}

#[test]
fn every_press_is_allowed_or_denied_as_the_runbook_says() {
    run_within(LONG, Engine::Sqlite, |database| async move {
        let mut world = World::begin(&database).await;
        let mut alone = Vec::new();
        for (words, meaning) in typed_alone(&world.runbook) {
            // A button carries any command, as if its presser had typed it.
            let mut presses = vec![Press::Propose { words: words.clone() }];
            for is_first in [false, true] {
                presses.push(Press::Page { words: words.clone(), is_first });
            }
            alone.extend(presses.into_iter().map(|press| (What::Press(press), meaning.clone())));
        }
        let words = format!("gated env={WHERE} why");
        for wish in Wish::ALL {
            for digest in ["stale".to_owned(), world.templates[0].digest.clone()] {
                let press = Press::Queue { wish, digest, words: words.clone() };
                let meaning = meaning_of_press(&press);
                alone.push((What::Press(press), meaning));
            }
        }
        world.about_nothing(Origin::Button, alone).await;
        let rows = |run: &RunId, template: &Template| {
            let presses = presses_of(run, &template.digest).into_iter();
            presses.map(|press| (What::Press(press.clone()), meaning_of_press(&press))).collect()
        };
        world.about_runs(Origin::Button, rows).await;
        let rows = |deed, alert: &AlertId, level| {
            let press = press_of_alert(deed, alert, level);
            let meaning = meaning_of_press(&press);
            Some((What::Press(press), meaning))
        };
        world.about_alerts(Origin::Button, rows).await;
        world.end("presses").await;
    });
}

#[test]
fn every_form_is_allowed_or_denied_as_the_runbook_says() {
    run_within(LONG, Engine::Sqlite, |database| async move {
        let mut world = World::begin(&database).await;
        // As Slack delivers it of somebody who lost the role since it was opened.
        let rows = |run: &RunId, template: &Template| {
            let presses = presses_of(run, &template.digest).into_iter();
            let forms = presses.filter_map(|press| match meaning_of_press(&press) {
                Meaning::OpenForm(inner) => Some((What::Form(press), *inner)),
                _ => None,
            });
            forms.collect()
        };
        world.about_runs(Origin::Form, rows).await;
        let rows = |deed, alert: &AlertId, level| {
            let press = press_of_alert(deed, alert, level);
            match meaning_of_press(&press) {
                Meaning::OpenForm(inner) => Some((What::Form(press), *inner)),
                _ => None,
            }
        };
        world.about_alerts(Origin::Form, rows).await;
        world.end("forms").await;
    });
}

#[test]
fn every_command_of_the_command_line_is_allowed_or_denied_as_the_runbook_says() {
    run_within(LONG, Engine::Sqlite, |database| async move {
        let mut world = World::begin(&database).await;
        let alone = words_of(typed_alone(&world.runbook));
        world.about_nothing(Origin::Cli, alone).await;
        // One's own and another's: the two askers differ in nothing else.
        world.templates.remove(0);
        world.about_runs(Origin::Cli, |run, _| typed_about(run)).await;
        world.about_alerts(Origin::Cli, typed_of_alert).await;
        world.end("the command line").await;
    });
}

#[test]
fn the_ways_in_are_those_of_the_matrix() {
    let mut origins = BTreeSet::new();
    let mut asked = Vec::new();
    for (path, text) in sources_of("src") {
        if path.starts_with("src/sandbox") {
            continue;
        }
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        for mark in ["origin: \"", "ORIGIN: &str = \""] {
            origins.extend(
                code.split(mark).skip(1).map(|rest| rest.split('"').next().unwrap().to_owned()),
            );
        }
        let made = code.matches("= Asked {").count();
        asked.extend((made > 0).then(|| (path.clone(), made)));
    }
    asked.sort();

    let by_people: BTreeSet<String> =
        Origin::ALL.iter().map(|one| one.as_str().to_owned()).collect();
    let by_itself = ["alert", "bot", "start", "on_failure", "checklist"].map(str::to_owned);
    let known: BTreeSet<String> = by_people.into_iter().chain(by_itself).collect();
    assert_eq!(
        origins, known,
        "a new way in belongs into the matrix: who may by it, and what comes of it"
    );
    // `do`; a decision that another host's bot was let in for; slash command, press, form, `--explain`.
    let expected =
        [("src/command_line.rs", 1), ("src/engine/wishes.rs", 1), ("src/pipeline.rs", 4)];
    let expected = expected.map(|(path, made)| (path.to_owned(), made));
    assert_eq!(asked, expected, "requests are made elsewhere too: they belong into the matrix");
}

/// The files of a folder, with their text.
pub fn sources_of(folder: &str) -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut folders = vec![root.join(folder)];
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                found.push((path.strip_prefix(root).unwrap().display().to_string(), text));
            }
        }
    }
    found
}
