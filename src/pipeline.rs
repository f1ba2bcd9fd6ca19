//! The way a request takes, on one screen: parse → authorize → plan → queue, and its answer.
//!
//! Verification came before (`http`), execution and report come after (`worker`). Deduplication is in
//! the write itself: the same delivery twice finds the stored answer in the transaction.

use crate::command::reason_form::{self, ReasonForm};
use crate::command::{
    self, Asks, Command, Context, Misunderstood, Powers, denied_line, refusal, refusal_detail,
    with_code,
};
use crate::config::protection::Declared;
use crate::core::action::Runbook;
use crate::core::card::{Card, Line, text};
use crate::core::id::{RunId, UserId};
use crate::core::param::cut;
use crate::core::policy::{Actor, Authorized, about_oneself};
use crate::core::press::Press as Pressed;
use crate::core::text::Lang;
use crate::engine::{Asked, Engine, Error};
use crate::exec::local::Local;
use crate::slack::client::Client;
use crate::slack::directory::Directory;
use crate::slack::inbound::{Event, Inbound, Press, Slash, ViewSubmission};
use crate::slack::render::{Place, Rendered};
use crate::store;
use crate::vitals::Part;
use serde_json::json;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use tokio::sync::watch;
use tracing::{error, info, warn};

/// Who the bot is in Slack, once Slack has said so.
#[derive(Debug)]
pub struct Workspace {
    /// Requests from other teams are refused.
    pub team_id: String,
    /// For links to messages.
    pub url: String,
    /// What Slack knows of its people.
    pub directory: Directory,
    /// Whether Slack has answered this process; until then this is what it said to an earlier one.
    is_confirmed: AtomicBool,
}

impl Workspace {
    /// Of a team, its address, and whom to ask.
    pub fn new(team_id: String, url: String, directory: Directory) -> Self {
        Self { team_id, url, directory, is_confirmed: AtomicBool::new(false) }
    }

    /// Slack has said to this process that this is the workspace.
    pub fn confirm(&self) {
        self.is_confirmed.store(true, Ordering::Relaxed);
    }

    /// Whether it has.
    pub fn is_confirmed(&self) -> bool {
        self.is_confirmed.load(Ordering::Relaxed)
    }
}

/// Where a command came from, besides who gave it.
#[derive(Clone, Copy)]
struct From<'f> {
    /// The asker's workspace.
    team: Option<&'f str>,
    /// What opens a form.
    trigger: Option<&'f str>,
    /// Makes the ids of runs.
    new_run_id: &'f (dyn Fn() -> RunId + Sync),
}

/// Everything a request may need.
pub struct Pipeline {
    /// Runs, the journal, the store.
    pub engine: Engine,
    /// The reviewed file in force; a request takes one snapshot of it.
    pub runbook: watch::Receiver<Arc<Runbook>>,
    /// For answers that come late.
    pub client: Client,
    /// Evidence of steps on this host.
    pub local: Local,
    /// Set when Slack has answered who we are, now or to an earlier process.
    pub workspace: Arc<OnceLock<Workspace>>,
    /// Hosts besides Slack's that a `response_url` or the address for a file may name.
    pub response_hosts: Vec<String>,
    /// What the settings say of how data is protected.
    pub declared: Declared,
}

impl Pipeline {
    /// The body that answers a verified request; empty where Slack wants none. `delivery` names this
    /// delivery: the same one again gets the same answer and does nothing.
    pub async fn answer(&self, inbound: Inbound, delivery: String) -> String {
        match inbound {
            Inbound::Slash(slash) => self.slash(slash, delivery).await,
            Inbound::Press(press) => self.press(press, delivery).await,
            Inbound::ViewSubmission(view) => self.view(view, delivery).await,
            Inbound::Event(event) => self.event(&event),
            Inbound::UrlVerification { challenge } => json!({"challenge": challenge}).to_string(),
            Inbound::SslCheck => String::new(),
            Inbound::Unsupported { kind } => {
                self.engine.metrics().request("unsupported");
                info!("ignored a {kind} request");
                String::new()
            }
        }
    }

    async fn slash(&self, slash: Slash, delivery: String) -> String {
        let runbook = self.runbook.borrow().clone();
        let lang = self.lang(&slash.user_id, &runbook).await;
        let asked = Asked {
            delivery,
            actor: slash.user_id.clone(),
            origin: "slash",
            channel: slash.channel_id.to_string(),
            text: slash.text.clone(),
            login: None,
        };
        let command = command::parse(&slash.text, &runbook);
        let from = From { team: Some(&slash.team_id), trigger: None, new_run_id: &new_run_id };
        self.answer_command(asked, from, command, (&runbook, lang)).await
    }

    /// What a person reads who typed a command on the bot's machine. Its answer is not asked for twice.
    ///
    /// # Errors
    /// The engine's; then nothing was done and the asker must be told so.
    pub async fn typed(
        &self,
        asked: Asked,
        lang: Lang,
        new_run_id: &(dyn Fn() -> RunId + Sync),
    ) -> Result<String, Error> {
        let runbook = self.runbook.borrow().clone();
        let command = command::parse(&asked.text, &runbook);
        let from = From { team: None, trigger: None, new_run_id };
        self.command(asked, from, command, (&runbook, lang)).await
    }

    /// Which rule decides about a command for a person, and whether they may. Writes nothing.
    ///
    /// # Errors
    /// The database's.
    pub async fn explain(
        &self,
        user: UserId,
        typed: &str,
        lang: Lang,
    ) -> Result<(Card, bool), Error> {
        let runbook = self.runbook.borrow().clone();
        let Some(workspace) = self.workspace.get() else { return Ok((not_ready(lang), false)) };
        let asked = Asked {
            delivery: String::new(),
            actor: user.clone(),
            origin: "cli",
            channel: String::new(),
            text: typed.to_owned(),
            login: None,
        };
        let actor = Actor { user, team: workspace.team_id.clone() };
        let powers = Powers { engine: &self.engine, directory: &workspace.directory, actor };
        let from = From { team: None, trigger: None, new_run_id: &new_run_id };
        let context = self.context(&powers, from, workspace, (&runbook, lang));
        command::explain(typed, &context, &asked).await
    }

    fn context<'c>(
        &'c self,
        powers: &'c Powers<'c>,
        from: From<'c>,
        workspace: &'c Workspace,
        (runbook, lang): (&'c Arc<Runbook>, Lang),
    ) -> Context<'c> {
        Context {
            engine: &self.engine,
            runbook,
            local: &self.local,
            powers,
            client: &self.client,
            declared: &self.declared,
            upload_hosts: &self.response_hosts,
            trigger: from.trigger,
            new_run_id: from.new_run_id,
            workspace_url: &workspace.url,
            lang,
        }
    }

    /// A press is acknowledged with nothing; its answer goes to whoever pressed, through the press's own
    /// address.
    async fn press(&self, press: Press, delivery: String) -> String {
        self.engine.metrics().request("press");
        let runbook = self.runbook.borrow().clone();
        let lang = self.lang(&press.user, &runbook).await;
        let action = press.actions.first();
        let pressed = action.map_or("", |action| action.action_id.as_str());
        let value = action.and_then(|action| action.value.as_deref()).unwrap_or_default();
        let asked = Asked {
            delivery,
            actor: press.user.clone(),
            origin: "button",
            channel: press.channel.as_ref().map_or_else(String::new, ToString::to_string),
            text: cut(format!("{pressed} {value}").trim_end()),
            login: None,
        };
        let command = command::pressed(pressed, value, &runbook);
        let from = From {
            team: press.team_id.as_deref(),
            trigger: press.trigger_id.as_deref(),
            new_run_id: &new_run_id,
        };
        let answer = self.answer_command(asked, from, command, (&runbook, lang)).await;
        if let Some(url) = &press.response_url {
            let place = match Pressed::parse(pressed, value) {
                Some(Pressed::Page { .. }) => Place::Original,
                _ => Place::Private,
            };
            self.answer_late(url, &answer, place).await;
        }
        String::new()
    }

    /// What a person reads who gave a command, typed or pressed.
    async fn answer_command(
        &self,
        asked: Asked,
        from: From<'_>,
        command: Result<Command, Misunderstood>,
        read_by: (&Arc<Runbook>, Lang),
    ) -> String {
        let actor = asked.actor.clone();
        match self.command(asked, from, command, read_by).await {
            Ok(answer) => answer,
            Err(failure) => {
                error!("answer /neostock of {actor}: {failure:#}");
                self.engine.metrics().request("failed");
                let since_ms = self.engine.vitals().sight().bad_since_ms(Part::Database);
                command::ephemeral(&command::failure(&failure, since_ms, read_by.1))
            }
        }
    }

    async fn command(
        &self,
        asked: Asked,
        from: From<'_>,
        command: Result<Command, Misunderstood>,
        (runbook, lang): (&Arc<Runbook>, Lang),
    ) -> Result<String, Error> {
        if !self.engine.vitals().is_good(Part::Database) {
            // Known beforehand: nobody waits for it, and nothing is half done.
            return Err(store::Error::Unreachable.into());
        }
        let Some(workspace) = self.workspace.get() else {
            self.engine.metrics().request("not_ready");
            return Ok(command::ephemeral(&not_ready(lang)));
        };
        // A person from elsewhere in a shared channel has no role here either: `Facts` sees to that.
        let team = from.team.unwrap_or(&workspace.team_id);
        if team != workspace.team_id {
            self.engine.metrics().request("other_team");
            let detail = json!({"team": team, "text": asked.text});
            let answer = command::ephemeral(&other_team(lang));
            return self.engine.answer(asked, "request.other_team", detail, answer).await;
        }
        let command = match command {
            Ok(command) => command,
            Err(misunderstood) => {
                self.engine.metrics().request("misunderstood");
                let detail = refusal_detail(&asked, misunderstood.as_str());
                let answer = command::ephemeral(&misunderstood.card(lang));
                return self.engine.answer(asked, "request.refused", detail, answer).await;
            }
        };
        let engine = &self.engine;
        let actor = Actor { user: asked.actor.clone(), team: team.to_owned() };
        let powers = Powers { engine, directory: &workspace.directory, actor };
        let asks = command::needed(&command, runbook, engine, &asked.actor).await?;
        let (why, role, line) = match self.authorized(asks, &powers, lang).await {
            Ok(by) => {
                self.engine.metrics().request("understood");
                let context = self.context(&powers, from, workspace, (runbook, lang));
                // Commands hold whole plans: too much for the future of every request.
                return Box::pin(command.run(&context, &by, asked)).await;
            }
            Err(denied) => denied,
        };
        self.engine.metrics().request("denied");
        self.engine.metrics().denied(why);
        let detail = json!({
            "text": asked.text, "channel": asked.channel, "role": role, "command": command.name(),
            "why": why,
        });
        let answer = command::ephemeral(&refusal(line));
        self.engine.answer(asked, "request.denied", detail, answer).await
    }

    /// The proof that somebody may; else the word for the journal, the role that lacks, and the answer.
    async fn authorized(
        &self,
        asks: Asks,
        powers: &Powers<'_>,
        lang: Lang,
    ) -> Result<Authorized, (&'static str, String, Line)> {
        let needed = match asks {
            Asks::Oneself(role) => return Ok(about_oneself(&powers.actor, &role)),
            Asks::Needed(needed) => needed,
            Asks::Forbidden { why, words } => {
                return Err((why, String::new(), with_code(words.get(lang))));
            }
        };
        powers.meet(&needed).await.map_err(|denied| {
            (denied.as_str(), denied.role().to_owned(), denied_line(&denied, lang))
        })
    }

    /// A form that was sent off: nothing closes it, anything else leaves it open and stands under its
    /// question.
    async fn view(&self, view: ViewSubmission, delivery: String) -> String {
        self.engine.metrics().request("view");
        let runbook = self.runbook.borrow().clone();
        let lang = self.lang(&view.user, &runbook).await;
        let form = ReasonForm::read(&view.private_metadata)
            .filter(|_| view.callback_id == reason_form::CALLBACK);
        let reason = view.state.value(reason_form::REASON, reason_form::REASON).unwrap_or_default();
        if form.is_some() && reason.trim().is_empty() {
            return reason_form::stays_open(reason_form::no_reason(lang));
        }
        let asked = Asked {
            delivery,
            actor: view.user.clone(),
            origin: reason_form::ORIGIN,
            channel: String::new(),
            text: cut(format!("{} {reason}", view.private_metadata).trim_end()),
            login: None,
        };
        let command = form.ok_or(Misunderstood::UnknownButton);
        let chosen = view.state.value(reason_form::CHOICE, reason_form::CHOICE);
        let command = command.map(|form| form.submitted(reason, chosen));
        let from = From { team: view.team_id.as_deref(), trigger: None, new_run_id: &new_run_id };
        let answer = self.answer_command(asked, from, command, (&runbook, lang)).await;
        match serde_json::from_str::<Rendered>(&answer) {
            Ok(rendered) => reason_form::stays_open(&rendered.text),
            Err(_) => String::new(),
        }
    }

    fn event(&self, event: &Event) -> String {
        self.engine.metrics().request("event");
        tracing::debug!("nothing to do for an event {}", event.kind);
        String::new()
    }

    /// Sends an answer that could not wait for the request to be open.
    pub async fn answer_late(&self, response_url: &str, answer: &str, place: Place) {
        if !crate::slack::inbound::response_url_allowed(response_url, &self.response_hosts) {
            warn!("refused to answer to a response_url of another host");
            self.engine.metrics().refused("response_url");
            return;
        }
        let Ok(rendered) = serde_json::from_str::<Rendered>(answer) else { return };
        if let Err(error) = self.client.respond(response_url, &rendered, place).await {
            warn!("answer late: {error}");
        }
    }

    /// The reader's language; the workspace's default until Slack says.
    async fn lang(&self, user: &UserId, runbook: &Runbook) -> Lang {
        let Some(workspace) = self.workspace.get() else { return runbook.language };
        workspace.directory.locale(user).await.unwrap_or(runbook.language)
    }
}

fn other_team(lang: Lang) -> Card {
    refusal(vec![text(lang.pick(
        "这个机器人属于另一个工作区，什么也没有执行。",
        "This bot belongs to another workspace; nothing was done.",
    ))])
}

fn not_ready(lang: Lang) -> Card {
    refusal(vec![text(lang.pick(
        "机器人刚启动，还没有连上 Slack，什么也没有执行。请一分钟后再试。",
        "The bot has just started and has not reached Slack yet; nothing was done. Try again in a minute.",
    ))])
}

/// A new run's id from the system's random source.
fn new_run_id() -> RunId {
    RunId::from_entropy(crate::entropy::bytes())
}
