//! What people can type after `/neostock`: one file a verb, and every action of the runbook.
//!
//! A verb reads its own words, says which role it needs, and answers with a card. It decides nothing
//! about who may: it is handed an [`Authorized`].

mod action;
mod alert;
mod alert_follow_up;
mod alerts;
mod audit;
mod checklist;
mod compliance;
mod contacts;
mod decide;
mod delegate;
mod failure;
mod filter;
mod follow_up;
mod freeze;
mod help;
mod logs;
mod misunderstood;
pub mod oncall;
mod oncall_words;
mod plan;
mod powers;
mod propose;
pub mod reason_form;
mod results;
mod retry;
mod review;
mod roles;
mod rules;
mod runs;
mod settle;
pub mod settle_elsewhere;
mod show;
mod silence;
mod status;
mod supersede;
mod typed;
pub mod unchanged;
mod unlock;
mod whoami;
mod why;

pub use failure::failure;
pub use powers::Powers;

pub use misunderstood::Misunderstood;
pub use roles::{Asks, needed, role_named};
pub use why::explain;

use crate::config::protection::Declared;
use crate::core::action::{Action, Member, Runbook};
use crate::core::card::{Card, Line, Part, Span, Tone, text};
use crate::core::decision::Verdict;
use crate::core::id::{ChannelId, UserId};
use crate::core::param::{ArgumentFault, did_you_mean};
use crate::core::policy::{Authorized, Denied};
use crate::core::press::Press;
use crate::core::run_card;
use crate::core::text::Lang;
use crate::core::words::Words;
use crate::engine::{Asked, Engine, Error, OnList};
use crate::exec::local::Local;
use crate::slack::client::Client;
use crate::slack::render;
use reason_form::ReasonForm;
use serde_json::{Value, json};
use std::sync::Arc;

/// A verb as help and parsing know it.
#[derive(Debug, Clone, Copy)]
pub struct Spec {
    /// What is typed.
    pub name: &'static str,
    /// What follows it.
    pub usage: &'static str,
    /// One that works as it stands, apart from its run id.
    pub example: &'static str,
    /// 中文
    pub zh: &'static str,
    /// English
    pub en: &'static str,
}

/// Every verb that the bot itself knows, in the order of help.
pub const VERBS: &[Spec] = &[
    status::SPEC,
    show::SPEC,
    runs::SPEC,
    results::SPEC,
    logs::SPEC,
    alerts::SPEC,
    alert::SPEC,
    silence::SPEC,
    audit::SPEC,
    compliance::SPEC,
    decide::APPROVE,
    decide::REJECT,
    decide::CANCEL,
    retry::SPEC,
    review::SPEC,
    settle::SPEC,
    unlock::SPEC,
    delegate::SPEC,
    freeze::SPEC,
    contacts::SPEC,
    oncall::SPEC,
    whoami::SPEC,
    why::SPEC,
    plan::SPEC,
    checklist::TICK,
    checklist::RECHECK,
    help::SPEC,
];

/// A request that was understood.
#[derive(Debug, Clone)]
pub enum Command {
    /// What is going on.
    Status(status::Status),
    /// One run.
    Show(show::Show),
    /// Runs of the past and the present.
    Runs(runs::Runs),
    /// What checks and tests came to.
    Results(results::Results),
    /// A step's whole output.
    Logs(logs::Logs),
    /// What is wrong, and what was.
    Alerts(alerts::Alerts),
    /// One alert, and what somebody wants of it.
    Alert(alert::OfAlert),
    /// Of which alerts nobody is told.
    Silence(silence::Silence),
    /// What the journal tells.
    Audit(audit::Trail),
    /// The compliance report.
    Compliance(compliance::Compliance),
    /// Who the asker is.
    Whoami(whoami::Whoami),
    /// Which rule decides about a command.
    Why(Box<why::Why>),
    /// What an action would do.
    Plan(Box<plan::Plan>),
    /// What a person decides about a run.
    Decide(decide::Decide),
    /// A run that did not succeed, once more.
    Retry(retry::Retry),
    /// What somebody found about an emergency.
    Review(review::Review),
    /// What a person says of a lost step.
    Settle(settle::Settle),
    /// The form that asks why, before such a decision.
    ReasonForm(reason_form::ReasonForm),
    /// What somebody wants of a run's checklist.
    Checklist(checklist::Checklist),
    /// Who decides in whose place.
    Delegate(delegate::Delegate),
    /// An environment's lock is to be taken over.
    Unlock(unlock::Unlock),
    /// When what is frozen.
    Freeze(freeze::Freeze),
    /// Whom to call in an emergency.
    Contacts(contacts::Contacts),
    /// Who is on call.
    OnCall(oncall::OnCall),
    /// What can be typed.
    Help(help::Help),
    /// An action of the runbook.
    Action(Box<action::Ask>),
    /// The same without its version.
    Propose(Box<propose::Propose>),
}

/// Everything a command may use.
pub struct Context<'c> {
    /// Runs, the journal, the store.
    pub engine: &'c Engine,
    /// The reviewed file as it is in force.
    pub runbook: &'c Arc<Runbook>,
    /// Evidence of steps on this host.
    pub local: &'c Local,
    /// What the asker may.
    pub powers: &'c Powers<'c>,
    /// For files, which no outbox carries.
    pub client: &'c Client,
    /// What the settings say of how data is protected.
    pub declared: &'c Declared,
    /// Hosts besides Slack's that a file may be sent to.
    pub upload_hosts: &'c [String],
    /// What opens a form, in a press.
    pub trigger: Option<&'c str>,
    /// Makes run ids.
    pub new_run_id: &'c (dyn Fn() -> crate::core::id::RunId + Sync),
    /// The address of the workspace, for links to messages; empty: none.
    pub workspace_url: &'c str,
    /// The reader's language.
    pub lang: Lang,
}

/// Reads a request's words.
///
/// # Errors
/// [`Misunderstood`], which says what to do instead.
pub fn parse(raw: &str, runbook: &Runbook) -> Result<Command, Misunderstood> {
    parse_words(&mut Words::read(raw).ok_or(Misunderstood::TooLong)?, runbook)
}

fn parse_words(words: &mut Words<'_>, runbook: &Runbook) -> Result<Command, Misunderstood> {
    let Some(verb) = words.take() else { return Ok(Command::Help(help::Help::default())) };
    let name = crate::core::param::narrow_word(&verb.text);
    let usage = |spec: &Spec| format!("{} {}", spec.name, spec.usage).trim_end().to_owned();
    let misread = |spec: &Spec| {
        let (command, usage) = (spec.name.to_owned(), usage(spec));
        move |fault| Misunderstood::Arguments { command, usage, fault: Box::new(fault) }
    };
    let decided = |verdict, words: &mut Words<'_>| {
        let read = decide::parse(verdict, words).map(Command::Decide);
        read.map_err(misread(decide::spec(verdict)))
    };
    match name.as_str() {
        "status" => status::parse(words).map(Command::Status).map_err(misread(&status::SPEC)),
        "show" => show::parse(words).map(Command::Show).map_err(misread(&show::SPEC)),
        "runs" => runs::parse(words, runbook).map(Command::Runs).map_err(misread(&runs::SPEC)),
        "results" => {
            results::parse(words, runbook).map(Command::Results).map_err(misread(&results::SPEC))
        }
        "logs" => logs::parse(words).map(Command::Logs).map_err(misread(&logs::SPEC)),
        "alerts" => {
            alerts::parse(words, runbook).map(Command::Alerts).map_err(misread(&alerts::SPEC))
        }
        "silence" => silence::parse(words).map(Command::Silence).map_err(misread(&silence::SPEC)),
        "alert" => alert::parse(words).map(Command::Alert).map_err(misread(&alert::SPEC)),
        "audit" => audit::parse(words, runbook).map(Command::Audit).map_err(misread(&audit::SPEC)),
        "compliance" => {
            compliance::parse(words).map(Command::Compliance).map_err(misread(&compliance::SPEC))
        }
        "whoami" => whoami::parse(words).map(Command::Whoami).map_err(misread(&whoami::SPEC)),
        "why" => {
            let read = why::parse(words, runbook).map(Box::new).map(Command::Why);
            read.map_err(misread(&why::SPEC))
        }
        "plan" => {
            let read = plan::parse(words, runbook).map(Box::new).map(Command::Plan);
            read.map_err(misread(&plan::SPEC))
        }
        "approve" => decided(Verdict::Approved, words),
        "reject" => decided(Verdict::Rejected, words),
        "cancel" => decided(Verdict::Cancelled, words),
        "review" => review::parse(words).map(Command::Review).map_err(misread(&review::SPEC)),
        "retry" => retry::parse(words).map(Command::Retry).map_err(misread(&retry::SPEC)),
        "unlock" => {
            unlock::parse(words, runbook).map(Command::Unlock).map_err(misread(&unlock::SPEC))
        }
        "delegate" => {
            delegate::parse(words).map(Command::Delegate).map_err(misread(&delegate::SPEC))
        }
        "tick" => {
            let read = checklist::parse_tick(words).map(Command::Checklist);
            read.map_err(misread(&checklist::TICK))
        }
        "recheck" => {
            let read = checklist::parse_recheck(words).map(Command::Checklist);
            read.map_err(misread(&checklist::RECHECK))
        }
        "freeze" => freeze::parse(words).map(Command::Freeze).map_err(misread(&freeze::SPEC)),
        "contacts" => {
            contacts::parse(words).map(Command::Contacts).map_err(misread(&contacts::SPEC))
        }
        "oncall" => oncall::parse(words).map(Command::OnCall).map_err(misread(&oncall::SPEC)),
        "settle" => settle::parse(words).map(Command::Settle).map_err(misread(&settle::SPEC)),
        "help" | "?" | "帮助" => {
            help::parse(words).map(Command::Help).map_err(misread(&help::SPEC))
        }
        _ => match runbook.actions.get(&name) {
            Some(found) => action::parse(found, runbook, words),
            None => Err(unknown_command(&verb.text, runbook)),
        },
    }
}

/// Reads a press of one of the bot's own buttons.
///
/// # Errors
/// [`Misunderstood`], which says what to do instead.
pub fn pressed(action: &str, value: &str, runbook: &Runbook) -> Result<Command, Misunderstood> {
    let press = Press::parse(action, value).ok_or(Misunderstood::UnknownButton)?;
    let press = match ReasonForm::of(press) {
        Ok(form) => return Ok(Command::ReasonForm(form)),
        Err(press) => press,
    };
    match press {
        Press::Decide { verdict, run, digest } => {
            let (digest, reason) = (Some(digest), String::new());
            Ok(Command::Decide(decide::Decide { verdict, run, digest, reason }))
        }
        Press::Tick { run, digest, item } => {
            let wish = OnList::Tick { item, note: String::new() };
            let digest = Some(digest);
            Ok(Command::Checklist(checklist::Checklist { run, digest, wish }))
        }
        Press::Recheck { run, digest } => {
            let (digest, wish) = (Some(digest), OnList::CheckAgain);
            Ok(Command::Checklist(checklist::Checklist { run, digest, wish }))
        }
        Press::Details { run } => Ok(Command::Show(show::Show { run, is_whole: true })),
        Press::Page { words, .. } | Press::Propose { words } => parse(&words, runbook),
        Press::Queue { digest, words, .. } => {
            let command = parse(&words, runbook)?;
            Ok(match command {
                Command::Action(ask) => {
                    Command::Action(Box::new(action::Ask { digest: Some(digest), ..*ask }))
                }
                other => other,
            })
        }
        Press::Alert { deed, alert, seen } => alert::OfAlert::pressed(deed, alert, seen)
            .map(Command::Alert)
            .ok_or(Misunderstood::UnknownButton),
        // These ask why first.
        Press::Settle { .. } | Press::Review { .. } => Err(Misunderstood::UnknownButton),
    }
}

fn unknown_command(word: &str, runbook: &Runbook) -> Misunderstood {
    let names = VERBS.iter().map(|spec| spec.name);
    let actions = runbook.actions.keys().map(String::as_str);
    let typed = word.to_lowercase();
    Misunderstood::UnknownCommand {
        did_you_mean: did_you_mean(&typed, names.chain(actions)),
        word: crate::core::param::cut(word),
    }
}

impl Command {
    /// The word in the journal and in metrics.
    pub fn name(&self) -> &str {
        match self {
            Self::Status(_) => status::SPEC.name,
            Self::Show(_) => show::SPEC.name,
            Self::Runs(_) => runs::SPEC.name,
            Self::Results(_) => results::SPEC.name,
            Self::Logs(_) => logs::SPEC.name,
            Self::Alerts(_) => alerts::SPEC.name,
            Self::Alert(_) => alert::SPEC.name,
            Self::Silence(_) => silence::SPEC.name,
            Self::Audit(_) => audit::SPEC.name,
            Self::Compliance(_) => compliance::SPEC.name,
            Self::Whoami(_) => whoami::SPEC.name,
            Self::Why(_) => why::SPEC.name,
            Self::Plan(_) => plan::SPEC.name,
            Self::Decide(decide) => decide.spec().name,
            Self::Retry(_) => retry::SPEC.name,
            Self::Review(_) => review::SPEC.name,
            Self::Settle(_) => settle::SPEC.name,
            Self::ReasonForm(form) => form.verb(),
            Self::Checklist(checklist) => checklist.spec().name,
            Self::Delegate(_) => delegate::SPEC.name,
            Self::Unlock(_) => unlock::SPEC.name,
            Self::Freeze(_) => freeze::SPEC.name,
            Self::Contacts(_) => contacts::SPEC.name,
            Self::OnCall(_) => oncall::SPEC.name,
            Self::Help(_) => help::SPEC.name,
            Self::Action(ask) => &ask.action.name,
            Self::Propose(propose) => &propose.ask.action.name,
        }
    }

    /// Does what was asked for somebody who may; the answer as Slack's JSON.
    ///
    /// # Errors
    /// The engine's; then nothing was done and the asker must be told so.
    pub async fn run(
        self,
        context: &Context<'_>,
        by: &Authorized,
        asked: Asked,
    ) -> Result<String, Error> {
        match self {
            Self::Status(status) => status::run(&status, context, asked).await,
            Self::Show(show) => show::run(&show, context, asked).await,
            Self::Runs(runs) => runs::run(&runs, context, asked).await,
            Self::Results(results) => results::run(&results, context, asked).await,
            Self::Logs(logs) => logs::run(&logs, context, asked).await,
            Self::Alerts(alerts) => alerts::run(&alerts, context, asked).await,
            Self::Alert(of) => alert::run(of, context, by, asked).await,
            Self::Silence(silence) => silence::run(silence, context, by, asked).await,
            Self::Audit(trail) => audit::run(&trail, context, asked).await,
            Self::Compliance(report) => compliance::run(report, context, by, asked).await,
            Self::Whoami(_) => whoami::run(context, asked).await,
            Self::Plan(plan) => plan::run(*plan, context, asked).await,
            Self::Why(why) => why::run(*why, context, asked).await,
            Self::Decide(decide) => decide::run(decide, context, by, asked).await,
            Self::Retry(retry) => retry::run(retry, context, by, asked).await,
            Self::Review(review) => review::run(review, context, by, asked).await,
            Self::Settle(settle) => settle::run(settle, context, by, asked).await,
            Self::ReasonForm(form) => reason_form::run(&form, context, by, asked).await,
            Self::Checklist(list) => checklist::run(list, context, by, asked).await,
            Self::Delegate(delegate) => delegate::run(delegate, context, by, asked).await,
            Self::Unlock(unlock) => unlock::run(unlock, context, by, asked).await,
            Self::Freeze(_) => freeze::run(context, asked).await,
            Self::Contacts(_) => contacts::run(context, asked).await,
            Self::OnCall(oncall) => oncall::run(oncall, context, by, asked).await,
            Self::Help(help) => help::run(&help, context, asked).await,
            Self::Action(ask) => action::run(*ask, context, by, asked).await,
            Self::Propose(propose) => propose::run(&propose, context, asked).await,
        }
    }
}

/// Answers without doing anything: the journal's kind, and what more it should tell.
pub(crate) async fn answer(
    context: &Context<'_>,
    asked: Asked,
    kind: &'static str,
    card: &Card,
) -> Result<String, Error> {
    let detail = json!({"text": asked.text, "channel": asked.channel});
    answer_with(context, asked, kind, detail, card).await
}

/// As [`answer`], with its own detail for the journal.
pub(crate) async fn answer_with(
    context: &Context<'_>,
    asked: Asked,
    kind: &'static str,
    detail: Value,
    card: &Card,
) -> Result<String, Error> {
    context.engine.answer(asked, kind, detail, ephemeral(card)).await
}

/// A card as the JSON that answers a slash command privately.
pub fn ephemeral(card: &Card) -> String {
    let rendered = render::render(card);
    // Blocks are strings and numbers: they always serialize.
    serde_json::to_string(&rendered.answer(render::Place::Private)).unwrap_or_default()
}

/// A refusal as a card: one paragraph, and the same words for the lock screen.
pub fn refusal(line: Line) -> Card {
    Card { summary: plain(&line), tone: Tone::Warning, parts: vec![Part::Paragraph(line)] }
}

/// What a line says without its formatting.
pub fn plain(line: &Line) -> String {
    line.iter()
        .map(|span| {
            let words = match span {
                Span::Text(words) | Span::Bold(words) | Span::Code(words) => words.as_str(),
                Span::User(user) => user.as_str(),
                Span::Channel(channel) => channel.as_str(),
                Span::Group(group) => group.as_str(),
                Span::Here => "@here",
                Span::Link { label, .. } => label.as_str(),
                Span::Time(at_ms) => return run_card::clock_time(*at_ms),
            };
            words.to_owned()
        })
        .collect()
}

/// A sentence of ours with `code` in it, as spans.
pub fn with_code(sentence: &str) -> Line {
    sentence
        .split('`')
        .enumerate()
        .filter(|(_, piece)| !piece.is_empty())
        .map(
            |(index, piece)| {
                if index % 2 == 0 { text(piece) } else { Span::Code(piece.to_owned()) }
            },
        )
        .collect()
}

/// Why a person may not, and whom to ask.
pub fn denied_line(denied: &Denied, lang: Lang) -> Line {
    let mut line = with_code(denied.text().get(lang));
    let whom = whom_to_ask(denied.whom_to_ask());
    if !whom.is_empty() {
        line.push(text(" "));
        line.extend(whom);
    }
    line
}

/// The verb that says a verdict.
pub fn verb_of(verdict: Verdict) -> &'static str {
    decide::spec(verdict).name
}

/// Whom to ask: the people and groups of a role, as mentions.
pub fn whom_to_ask(members: &[Member]) -> Line {
    let mut line = Vec::new();
    for member in members {
        let span = match member {
            Member::User(user) => Span::User(UserId::new(user.clone())),
            Member::Group(group) => Span::Group(group.clone()),
            Member::Everyone => continue,
        };
        if !line.is_empty() {
            line.push(text(" "));
        }
        line.push(span);
    }
    line
}

/// How an action is written: `rollback <version> [env=…] <reason…>`.
pub fn action_usage(action: &Action) -> String {
    use crate::core::action::ParameterKind;
    let mut usage = action.name.clone();
    let mut is_env_shown = false;
    for parameter in &action.parameters {
        let is_text = matches!(parameter.kind, ParameterKind::Text);
        if is_text {
            usage.push_str(" [env=…]");
            is_env_shown = true;
        }
        let dots = if is_text { "…" } else { "" };
        let name = &parameter.name;
        let (open, close) = if parameter.required { ('<', '>') } else { ('[', ']') };
        usage.extend([" ", &open.to_string(), name, dots, &close.to_string()]);
    }
    if !is_env_shown {
        usage.push_str(" [env=…]");
    }
    usage
}

/// A link to a message in the workspace; the channel alone when there is no message yet.
pub fn message_link(
    context: &Context<'_>,
    message: Option<&(String, String)>,
    channel: &ChannelId,
    label: &str,
) -> Span {
    link_to(context.workspace_url, message, channel, label)
}

/// The same for whoever knows the workspace's address.
pub fn link_to(
    workspace_url: &str,
    message: Option<&(String, String)>,
    channel: &ChannelId,
    label: &str,
) -> Span {
    match message {
        Some((channel, ts)) if !workspace_url.is_empty() => Span::Link {
            url: format!(
                "{}/archives/{channel}/p{}",
                workspace_url.trim_end_matches('/'),
                ts.replace('.', "")
            ),
            label: label.to_owned(),
        },
        _ => Span::Channel(channel.clone()),
    }
}

/// Words that the parser of every verb without arguments needs.
fn nothing_more(words: &Words<'_>) -> Result<(), ArgumentFault> {
    match words.peek() {
        Some(word) => Err(ArgumentFault::Leftover { word: crate::core::param::cut(&word.text) }),
        None => Ok(()),
    }
}

/// The detail of a refused request for the journal.
pub fn refusal_detail(asked: &Asked, why: &str) -> Value {
    json!({"text": asked.text, "channel": asked.channel, "why": why})
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example that is in the repository.
    pub fn runbook() -> Runbook {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("runbook/runbook.yml");
        crate::config::runbook::load(&path).unwrap()
    }

    #[test]
    fn every_example_of_help_can_be_typed() {
        for spec in VERBS {
            let command = parse(spec.example, &runbook()).unwrap();
            assert_eq!(command.name(), spec.name);
            assert!(crate::config::runbook::BUILT_IN_VERBS.contains(&spec.name), "{}", spec.name);
        }
    }

    #[test]
    fn why_is_not_nested_however_often_it_is_asked() {
        let typed = "why ".repeat(4_000);
        let parsed = parse(&format!("{typed} status"), &runbook()).unwrap();
        assert_eq!(parsed.name(), "why");
        assert_eq!(parse(&typed, &runbook()).unwrap_err().as_str(), "arguments");
    }
}
