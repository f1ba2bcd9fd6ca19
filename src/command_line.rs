//! Commands given on the bot's machine instead of in chat: the same pipeline, in this process, on the
//! bot's own database. Steps and messages stay the running bot's.
//!
//! Never makes a database, changes its schema or its journal's key, claims a run or sends a message.

use crate::clock::Clock;
use crate::command::{refusal, with_code};
use crate::config::fault::listing;
use crate::config::protection::Declared;
use crate::config::settings::Settings;
use crate::core::action::Runbook;
use crate::core::alert_press::Deed;
use crate::core::card::{Card, Line, Part, Tone};
use crate::core::decision::Verdict;
use crate::core::gate;
use crate::core::id::{RunId, UserId};
use crate::core::press::Press;
use crate::core::run::State;
use crate::core::run_card::{self, RunView};
use crate::core::settle_card::Settlement;
use crate::core::text::{Lang, Text};
use crate::engine::{Asked, Engine, Identity};
use crate::exec::local::Local;
use crate::exec::login::Login;
use crate::metrics::Metrics;
use crate::pipeline::{Pipeline, Workspace};
use crate::slack::client::{CallError, Client, Timeouts};
use crate::slack::directory::Directory;
use crate::slack::plain::plain;
use crate::slack::render::{Rendered, render};
use crate::store::Store;
use crate::store::journal::{Filter, newest_of};
use anyhow::{Context as _, bail};
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use std::io::Write;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;
use tokio::sync::watch;

/// How long Slack may take to say which workspace this is.
const GREETING_TIME_MAX: Duration = Duration::from_secs(2);
/// How often a run that is followed is looked at.
const LOOK_MS: u64 = 500;
/// How long a run is followed.
const FOLLOW_MS_MAX: i64 = 24 * 3_600_000;
/// Looks in a row that may fail before the run is not followed any more.
const FAILURES_MAX: u32 = 20;
/// How long a run whose turn it is may lie there before that is said …
const NOBODY_SAID_MS: i64 = 5_000;
/// … and before it is not followed any more.
const NOBODY_MS_MAX: i64 = 20_000;
/// Entries of the journal among which the one of this command is looked for.
const ENTRIES_MAX: i64 = 50;

/// How a command ended, as the exit code says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It was done.
    Done = 0,
    /// It failed, or was cancelled, or could not even be asked.
    Failed = 1,
    /// It was refused or not understood.
    Refused = 2,
    /// It waits for people, or for a bot.
    Waits = 3,
}

/// A command as it was typed.
pub struct Typed {
    /// As it would be typed in chat.
    pub text: String,
    /// Who typed it.
    pub login: Login,
    /// The reader's language; `None`: the runbook's.
    pub lang: Option<Lang>,
    /// Whether the run that it begins is followed to its end.
    pub follows: bool,
}

/// Everything that a command needs.
struct Desk {
    pipeline: Pipeline,
    runbook: Arc<Runbook>,
}

/// Gives a command and tells what comes of it.
///
/// # Errors
/// What keeps it from being given, in words for whoever typed it; nothing was done then. While a run is
/// followed, the database's: the run goes on.
pub async fn give(
    settings: &Settings,
    program: PathBuf,
    typed: Typed,
    out: &mut impl Write,
) -> anyhow::Result<Outcome> {
    let url = settings.database_url.expose_secret();
    let store = Store::join(url, Clock::System, settings.journal_keys())
        .await
        .context("open the bot's database")?;
    let desk = Desk::open(settings, store, program).await?;
    let outcome = desk.give(typed, out).await;
    desk.pipeline.engine.store().close().await;
    outcome
}

/// Explains which rule decides about a command for a person, and whether they may. Writes nothing.
///
/// # Errors
/// As [`give`].
pub async fn explain(
    settings: &Settings,
    program: PathBuf,
    (user, words): (&str, &str),
    lang: Option<Lang>,
    out: &mut impl Write,
) -> anyhow::Result<bool> {
    let is_id = user.starts_with(['U', 'W'])
        && user.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit());
    if !is_id {
        bail!("`{}` is no Slack user id: U… or W…", crate::core::param::cut(user));
    }
    let url = settings.database_url.expose_secret();
    let store = Store::inspect(url, Clock::System, settings.journal_keys())
        .await
        .context("open the bot's database")?;
    let desk = Desk::open(settings, store, program).await?;
    let lang = lang.unwrap_or(desk.runbook.language);
    let (card, may) = desk.pipeline.explain(UserId::new(user), words, lang).await?;
    say(&card, lang, out)?;
    desk.pipeline.engine.store().close().await;
    Ok(may)
}

impl Desk {
    async fn open(settings: &Settings, store: Store, program: PathBuf) -> anyhow::Result<Self> {
        let slack = settings.slack().map_err(|faults| anyhow::anyhow!(listing(&faults)))?;
        let runbook = crate::config::runbook::load(&settings.runbook)
            .map_err(|faults| anyhow::anyhow!(listing(&faults)))?;
        let runbook = Arc::new(runbook);
        let identity = Identity {
            owner: format!("{}/command-line", settings.host),
            host: settings.host.clone(),
            lease_ms: settings.lease_ms.cast_signed(),
        };
        let engine = Engine::new(store, identity, Metrics::new()?)
            .with_runs_waiting_max(settings.runs_waiting_max);
        let client = Client::new(&slack.api_url, &slack.bot_token, Timeouts::default())?;
        let workspace = Arc::new(OnceLock::from(workspace(&engine, &client).await?));
        let (_, in_force) = watch::channel(Arc::clone(&runbook));
        let pipeline = Pipeline {
            engine,
            runbook: in_force,
            client,
            local: Local::new(program),
            workspace,
            response_hosts: settings.response_hosts.clone(),
            declared: Declared::of(settings),
        };
        Ok(Self { pipeline, runbook })
    }

    async fn give(&self, typed: Typed, out: &mut impl Write) -> anyhow::Result<Outcome> {
        let Typed { text, login, lang, follows } = typed;
        let lang = lang.unwrap_or(self.runbook.language);
        let engine = &self.pipeline.engine;
        let known = self.runbook.logins.get(&login.name);
        let asked = Asked {
            // Twice given is asked twice.
            delivery: format!("cli/{}", hex::encode(crate::entropy::bytes::<16>())),
            actor: known.cloned().unwrap_or_else(|| UserId::new(format!("login:{}", login.name))),
            origin: "cli",
            channel: String::new(),
            text,
            login: Some(login.name.clone()),
        };
        if known.is_none() {
            let detail = json!({"text": asked.text, "uid": login.uid, "why": "unknown_login"});
            let card = unknown_login(&login, lang);
            let answer = crate::command::ephemeral(&card);
            let answer = engine.answer(asked, "request.denied", detail, answer).await?;
            say_answer(&answer, lang, out)?;
            return Ok(Outcome::Refused);
        }
        let began_ms = engine.clock().now_ms();
        let made = Mutex::new(None);
        let new_run_id = || {
            let id = RunId::from_entropy(crate::entropy::bytes());
            *made.lock().unwrap_or_else(PoisonError::into_inner) = Some(id.clone());
            id
        };
        let answer = match self.pipeline.typed(asked.clone(), lang, &new_run_id).await {
            Ok(answer) => answer,
            Err(failure) => {
                tracing::error!("give a command: {failure:#}");
                say(&crate::command::failure(&failure, None, lang), lang, out)?;
                return Ok(Outcome::Failed);
            }
        };
        say_answer(&answer, lang, out)?;
        let run = made.into_inner().unwrap_or_else(PoisonError::into_inner);
        if let Some(run) = run
            && engine.view(&run).await?.is_some()
        {
            return Follow { engine, run, lang, told: Vec::new() }
                .until_the_end(follows, out)
                .await;
        }
        let is_refused = kind_of(engine, &asked, began_ms).await?.is_some_and(|kind| {
            kind.ends_with(".refused") || kind.ends_with(".denied") || kind == "request.other_team"
        });
        Ok(if is_refused { Outcome::Refused } else { Outcome::Done })
    }
}

/// Which workspace this is: as Slack says, else as it said to a bot before.
async fn workspace(engine: &Engine, client: &Client) -> anyhow::Result<Workspace> {
    let asked = tokio::time::timeout(GREETING_TIME_MAX, client.auth_test()).await;
    let (team_id, url) = match asked.unwrap_or(Err(CallError::Transient)) {
        Ok(identity) => (identity.team_id, identity.url),
        Err(CallError::Refused(code)) => bail!(
            "Slack refuses the bot token ({code}): set SLACK_BOT_TOKEN to what the bot has"
        ),
        Err(_) => engine.known_workspace().await?.context(
            "Slack cannot be reached, and the database does not say which workspace this is: the bot \
             must have reached Slack once",
        )?,
    };
    let directory = Directory::new(client.clone(), engine.clock().clone(), team_id.clone());
    Ok(Workspace::new(team_id, url, directory))
}

/// The kind of the journal's entry about a command.
async fn kind_of(engine: &Engine, asked: &Asked, since_ms: i64) -> anyhow::Result<Option<String>> {
    let actor = asked.actor.to_string();
    let filter = Filter { actor, since_ms, ..Filter::default() };
    let mut reader = engine.store().read().await?;
    let rows = newest_of(&mut reader, &filter, ENTRIES_MAX).await?;
    let found = rows.into_iter().find(|row| {
        let detail: Value = serde_json::from_str(&row.detail).unwrap_or_default();
        detail["request"] == asked.delivery.as_str()
    });
    Ok(found.map(|row| row.kind))
}

fn unknown_login(login: &Login, lang: Lang) -> Card {
    let Login { name, uid } = login;
    let words = Text::new(
        format!(
            "操作手册不认识系统用户 `{name}` (uid {uid})，什么也没有执行。请维护操作手册的人加上 \
             `command_line: {{users: {{{name}: U…}}}}`，写明此用户在 Slack 中的成员 ID。"
        ),
        format!(
            "The runbook does not know the system user `{name}` (uid {uid}); nothing was done. Ask \
             whoever keeps the runbook to add `command_line: {{users: {{{name}: U…}}}}` with the Slack \
             user id of this person."
        ),
    );
    refusal(with_code(words.get(lang)))
}

/// A run that is followed, and what was told of it.
struct Follow<'f> {
    engine: &'f Engine,
    run: RunId,
    lang: Lang,
    told: Vec<String>,
}

impl Follow<'_> {
    /// Tells of every change until the run ends or waits for people.
    async fn until_the_end(
        mut self,
        follows: bool,
        out: &mut impl Write,
    ) -> anyhow::Result<Outcome> {
        let began_ms = self.engine.clock().now_ms();
        let mut idle_since_ms = None;
        let mut has_said_nobody = false;
        let mut failures = 0;
        loop {
            let view = match self.engine.view(&self.run).await {
                Ok(view) => view.with_context(|| format!("{} is gone", self.run))?,
                Err(failure) if failures < FAILURES_MAX => {
                    failures += 1;
                    tracing::warn!("look at {}: {failure:#}", self.run);
                    self.engine.clock().sleep_ms(LOOK_MS).await;
                    continue;
                }
                Err(failure) => {
                    return Err(failure).with_context(|| {
                        format!("{} is not followed any more; it goes on, see `status`", self.run)
                    });
                }
            };
            failures = 0;
            if let Some(outcome) = self.now(&view, follows, out)? {
                return Ok(outcome);
            }
            let now_ms = self.engine.clock().now_ms();
            if is_nobody_there(&view) {
                let idle_ms = now_ms - *idle_since_ms.get_or_insert(now_ms);
                if idle_ms >= NOBODY_SAID_MS && !has_said_nobody {
                    has_said_nobody = true;
                    self.line(&nobody(), out)?;
                }
                if idle_ms >= NOBODY_MS_MAX {
                    self.line(&goes_on(&self.run), out)?;
                    return Ok(Outcome::Waits);
                }
            } else {
                idle_since_ms = None;
            }
            if now_ms - began_ms > FOLLOW_MS_MAX {
                self.line(&goes_on(&self.run), out)?;
                return Ok(Outcome::Waits);
            }
            self.engine.clock().sleep_ms(LOOK_MS).await;
        }
    }

    /// Tells what has changed; how it ended, if nothing more is to be waited for.
    fn now(
        &mut self,
        view: &RunView,
        follows: bool,
        out: &mut impl Write,
    ) -> anyhow::Result<Option<Outcome>> {
        let lang = self.lang;
        if !follows {
            let waits = matches!(view.state, State::Waiting | State::NeedsAttention);
            return Ok(Some(if waits { Outcome::Waits } else { Outcome::Done }));
        }
        self.told.resize(view.steps.len(), String::new());
        for index in 0..view.steps.len() {
            if view.steps[index].started_ms == 0 && view.steps[index].ended_ms == 0 {
                continue;
            }
            let line = shown(&card(run_card::step_line(view, index, lang)), lang).0;
            if self.told[index] != line {
                writeln!(out, "{line}")?;
                self.told[index] = line;
            }
        }
        out.flush()?;
        Ok(match view.state {
            State::Queued | State::Running => None,
            State::Waiting if !gate::asks_people(view) => {
                say(&run_card::card(view, lang, self.engine.clock().now_ms()), lang, out)?;
                Some(Outcome::Waits)
            }
            State::Waiting => {
                let typed = format!("neostock-ops do approve {}", view.id);
                self.line(
                    &Text::new(
                        format!("等待批准。有权批准的人可以在 Slack 中按下按钮，或输入 `{typed}`"),
                        format!(
                            "It waits for approval: a button in Slack, or somebody else's `{typed}`"
                        ),
                    ),
                    out,
                )?;
                Some(Outcome::Waits)
            }
            State::NeedsAttention => {
                say(&run_card::card(view, lang, self.engine.clock().now_ms()), lang, out)?;
                Some(Outcome::Waits)
            }
            state => {
                if let Some(words) = run_card::closing_words(view) {
                    self.line(&words, out)?;
                }
                let is_good = state == State::Succeeded;
                Some(if is_good { Outcome::Done } else { Outcome::Failed })
            }
        })
    }

    fn line(&self, words: &Text, out: &mut impl Write) -> anyhow::Result<()> {
        say(&card(with_code(words.get(self.lang))), self.lang, out)
    }
}

/// Whether it is the run's turn and no bot has taken it.
fn is_nobody_there(view: &RunView) -> bool {
    let is_its_turn =
        view.queue.as_ref().is_none_or(|queue| queue.holder.is_none() && queue.ahead.is_empty());
    view.state == State::Queued && is_its_turn
}

fn nobody() -> Text {
    Text::new(
        "还没有机器人接手：`neostock-ops serve` 在运行吗？",
        "No bot has taken it yet: is `neostock-ops serve` running?",
    )
}

fn goes_on(run: &RunId) -> Text {
    Text::new(
        format!("不再等待。{run} 仍然有效，进展见 `neostock-ops do show {run}`"),
        format!("Not waited for any longer. {run} stands; see `neostock-ops do show {run}`"),
    )
}

fn card(line: Line) -> Card {
    Card { summary: String::new(), tone: Tone::Neutral, parts: vec![Part::Paragraph(line)] }
}

/// An answer of the pipeline, which is Slack's JSON.
fn say_answer(answer: &str, lang: Lang, out: &mut impl Write) -> anyhow::Result<()> {
    let rendered = serde_json::from_str::<Rendered>(answer).context("read the answer")?;
    say_rendered(&rendered, lang, out)
}

fn say(card: &Card, lang: Lang, out: &mut impl Write) -> anyhow::Result<()> {
    say_rendered(&render(card), lang, out)
}

fn say_rendered(rendered: &Rendered, lang: Lang, out: &mut impl Write) -> anyhow::Result<()> {
    let (text, commands) = terminal(rendered, lang);
    writeln!(out, "{text}")?;
    for command in commands {
        writeln!(out, "  {command}")?;
    }
    out.flush()?;
    Ok(())
}

fn shown(card: &Card, lang: Lang) -> (String, Vec<String>) {
    terminal(&render(card), lang)
}

/// A message as a terminal shows it, and what to type instead of its buttons.
fn terminal(rendered: &Rendered, lang: Lang) -> (String, Vec<String>) {
    let read = plain(rendered);
    // What is typed in chat is typed here too.
    let text = read.text.replace("`/neostock ", "`neostock-ops do ");
    let commands = read.buttons.iter().filter_map(|(label, action, value)| {
        let words = typed(&Press::parse(action, value)?, lang);
        Some(format!("{label}: neostock-ops do {}", crate::core::table::visible(&words)))
    });
    (text, commands.collect())
}

/// What a person types at a shell for a press.
fn typed(press: &Press, lang: Lang) -> String {
    match press {
        Press::Decide { verdict, run, .. } => {
            let verb = crate::command::verb_of(*verdict);
            match verdict {
                Verdict::Rejected => format!("{verb} {run} {}", lang.pick("原因…", "why…")),
                Verdict::Approved | Verdict::Cancelled => format!("{verb} {run}"),
            }
        }
        Press::Review { run, .. } => {
            format!("review {run} {}", lang.pick("复核意见…", "what you found…"))
        }
        Press::Details { run } => format!("show {run} plan"),
        Press::Tick { run, item, .. } => format!("tick {run} {}", item + 1),
        Press::Recheck { run, .. } => format!("recheck {run}"),
        Press::Page { words, .. } | Press::Propose { words } | Press::Queue { words, .. } => {
            quoted(words)
        }
        Press::Settle { settlement, run, .. } => {
            let word = match settlement {
                Settlement::Ok => "ok",
                Settlement::Failed => "failed",
                Settlement::Again => "again",
                Settlement::Stopped => "stop",
            };
            format!("settle {run} {word} {}", lang.pick("原因…", "why…"))
        }
        Press::Alert { deed, alert, .. } => {
            let word = match deed {
                Deed::Acknowledge => " ack",
                Deed::GiveBack => " release",
                Deed::Resolve => " resolve",
                Deed::Silence => lang.pick(" silence 1h 原因…", " silence 1h why…"),
                Deed::Unsilence => " unsilence",
                Deed::Escalate => " escalate",
                Deed::Details => "",
            };
            format!("alert {alert}{word}")
        }
    }
}

/// Words as one argument of a shell: a whole command, as typed in chat.
fn quoted(words: &str) -> String {
    format!("'{}'", words.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::card::{Button, ButtonStyle, Span, text};

    #[test]
    fn a_button_becomes_the_command_to_type() {
        let run = RunId::parse("R-7K3QZD5A").unwrap();
        let presses = [
            Press::Decide { verdict: Verdict::Approved, run: run.clone(), digest: "d".into() },
            Press::Details { run },
            Press::Propose { words: "rollback v1.2 it's <b>\u{1b}[2J".into() },
        ];
        let buttons = presses.iter().map(|press| Button {
            label: "Press".into(),
            action: press.action().into(),
            value: press.value(),
            style: ButtonStyle::Default,
            confirm: None,
        });
        let line = vec![text("See "), Span::Code("/neostock status".into())];
        let parts = vec![Part::Paragraph(line), Part::Buttons(buttons.collect())];
        let card = Card { summary: String::new(), tone: Tone::Neutral, parts };

        let (text, commands) = shown(&card, Lang::En);

        assert_eq!(text, "See `neostock-ops do status`");
        assert_eq!(
            commands,
            [
                "Press: neostock-ops do approve R-7K3QZD5A",
                "Press: neostock-ops do show R-7K3QZD5A plan",
                r"Press: neostock-ops do 'rollback v1.2 it'\''s <b>\u{1b}[2J'",
            ]
        );
    }
}
