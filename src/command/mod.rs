//! What people can type after `/neostock`: one file a verb, and every action of the runbook.
//!
//! A verb reads its own words, says which role it needs, and answers with a card. It decides nothing
//! about who may: it is handed an [`Authorized`].

mod action;
mod decide;
mod help;
mod propose;
mod retry;
mod settle;
mod show;
mod status;

use crate::core::action::{Action, Member, Role, Runbook};
use crate::core::card::{Card, Line, Part, Span, Tone, text};
use crate::core::decision::Verdict;
use crate::core::id::{ChannelId, RunId, UserId};
use crate::core::param::{ArgumentFault, did_you_mean};
use crate::core::plan::Plan;
use crate::core::policy::Authorized;
use crate::core::press::Press;
use crate::core::run_card;
use crate::core::text::{Lang, Text};
use crate::core::words::Words;
use crate::engine::{Asked, Engine, Error};
use crate::exec::local::Local;
use crate::slack::render;
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
    decide::APPROVE,
    decide::REJECT,
    decide::CANCEL,
    retry::SPEC,
    settle::SPEC,
    help::SPEC,
];

/// A request that was understood.
#[derive(Debug, Clone)]
pub enum Command {
    /// What is going on.
    Status(status::Status),
    /// One run.
    Show(show::Show),
    /// What a person decides about a run.
    Decide(decide::Decide),
    /// A run that did not succeed, once more.
    Retry(retry::Retry),
    /// What a person says of a lost step.
    Settle(settle::Settle),
    /// What can be typed.
    Help(help::Help),
    /// An action of the runbook.
    Action(Box<action::Ask>),
    /// The same without its version.
    Propose(Box<propose::Propose>),
}

/// A request that was not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Misunderstood {
    /// More text than is read.
    TooLong,
    /// No verb and no action has this name.
    UnknownCommand {
        /// What was typed, cut.
        word: String,
        /// A close one.
        did_you_mean: Option<String>,
    },
    /// The command is known, its words are not.
    Arguments {
        /// The command.
        command: String,
        /// How it is written.
        usage: String,
        /// What is wrong.
        fault: Box<ArgumentFault>,
    },
    /// A button that no card of this version has.
    UnknownButton,
    /// No environment has this name.
    UnknownEnvironment {
        /// What was typed, cut.
        word: String,
        /// Those that exist.
        known: Vec<String>,
    },
}

/// Everything a command may use.
pub struct Context<'c> {
    /// Runs, the journal, the store.
    pub engine: &'c Engine,
    /// The reviewed file as it is in force.
    pub runbook: &'c Arc<Runbook>,
    /// Evidence of steps on this host.
    pub local: &'c Local,
    /// Makes run ids.
    pub new_run_id: fn() -> crate::core::id::RunId,
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
    let mut words = Words::read(raw).ok_or(Misunderstood::TooLong)?;
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
        "status" => status::parse(&mut words).map(Command::Status).map_err(misread(&status::SPEC)),
        "show" => show::parse(&mut words).map(Command::Show).map_err(misread(&show::SPEC)),
        "approve" => decided(Verdict::Approved, &mut words),
        "reject" => decided(Verdict::Rejected, &mut words),
        "cancel" => decided(Verdict::Cancelled, &mut words),
        "retry" => retry::parse(&mut words).map(Command::Retry).map_err(misread(&retry::SPEC)),
        "settle" => settle::parse(&mut words).map(Command::Settle).map_err(misread(&settle::SPEC)),
        "help" | "?" | "帮助" => {
            help::parse(&mut words).map(Command::Help).map_err(misread(&help::SPEC))
        }
        _ => match runbook.actions.get(&name) {
            Some(found) => action::parse(found, runbook, &mut words),
            None => Err(unknown_command(&verb.text, runbook)),
        },
    }
}

/// Reads a press of one of the bot's own buttons.
///
/// # Errors
/// [`Misunderstood`], which says what to do instead.
pub fn pressed(action: &str, value: &str, runbook: &Runbook) -> Result<Command, Misunderstood> {
    match Press::parse(action, value).ok_or(Misunderstood::UnknownButton)? {
        Press::Decide { verdict, run, digest } => {
            let (digest, reason) = (Some(digest), String::new());
            Ok(Command::Decide(decide::Decide { verdict, run, digest, reason }))
        }
        Press::Details { run } => Ok(Command::Show(show::Show { run, is_whole: true })),
        Press::Propose { words } => parse(&words, runbook),
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
            Self::Decide(decide) => decide.spec().name,
            Self::Retry(_) => retry::SPEC.name,
            Self::Settle(_) => settle::SPEC.name,
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
            Self::Decide(decide) => decide::run(decide, context, by, asked).await,
            Self::Retry(retry) => retry::run(retry, context, by, asked).await,
            Self::Settle(settle) => settle::run(settle, context, by, asked).await,
            Self::Help(help) => help::run(&help, context, asked).await,
            Self::Action(ask) => action::run(*ask, context, by, asked).await,
            Self::Propose(propose) => propose::run(&propose, context, asked).await,
        }
    }
}

/// The role that a command needs. Whoever touches a run needs the role that its plan names: the
/// action's, or the one that approves.
///
/// # Errors
/// The database's.
pub async fn needed_role(
    command: &Command,
    runbook: &Runbook,
    engine: &Engine,
) -> Result<Role, Error> {
    let name = match command {
        Command::Action(ask) => ask.action.role.clone(),
        Command::Propose(propose) => propose.ask.action.role.clone(),
        Command::Settle(settle::Settle { run, .. }) | Command::Retry(retry::Retry { run }) => {
            role_of_run(engine, run, |plan| plan.role).await?
        }
        Command::Decide(decide) => {
            let is_cancel = decide.verdict == Verdict::Cancelled;
            role_of_run(engine, &decide.run, |plan| match plan.approval {
                Some(approval) if !is_cancel => approval.from,
                _ => plan.role,
            })
            .await?
        }
        Command::Status(_) | Command::Show(_) | Command::Help(_) => VIEWER.to_owned(),
    };
    Ok(runbook.roles.get(&name).cloned().unwrap_or_else(|| {
        // Looking is for every full member unless the runbook says otherwise; a role that the
        // runbook no longer knows is held by nobody.
        let members = if name == VIEWER { vec![Member::Everyone] } else { Vec::new() };
        Role { name, members }
    }))
}

/// A role that a run's plan names; looking is enough to be told that there is no such run.
async fn role_of_run(
    engine: &Engine,
    run: &RunId,
    role: impl FnOnce(Plan) -> String,
) -> Result<String, Error> {
    Ok(engine.view(run).await?.map_or_else(|| VIEWER.to_owned(), |view| role(view.plan)))
}

/// Who may look: the runbook can define this role.
const VIEWER: &str = "viewer";

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

impl Misunderstood {
    /// The word in the journal and in metrics.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::TooLong => "too_long",
            Self::UnknownCommand { .. } => "unknown_command",
            Self::Arguments { .. } => "arguments",
            Self::UnknownButton => "unknown_button",
            Self::UnknownEnvironment { .. } => "unknown_environment",
        }
    }

    /// What the asker reads.
    pub fn card(&self, lang: Lang) -> Card {
        let line: Line = match self {
            Self::TooLong => vec![text(lang.pick(
                "内容太长，没有读取。请把命令写短一些。",
                "That is too long to be read. Please write a shorter command.",
            ))],
            Self::UnknownCommand { word, did_you_mean } => {
                unknown(word, did_you_mean.as_deref(), lang)
            }
            Self::Arguments { usage, fault, .. } => {
                let mut line = with_code(fault.text().get(lang));
                line.push(text(lang.pick("\n写法：", "\nWrite: ")));
                line.push(Span::Code(format!("/neostock {usage}")));
                line
            }
            Self::UnknownButton => with_code(lang.pick(
                "这个按钮已经不起作用，什么也没有执行。请用 `/neostock status` 查看现在的情况。",
                "This button does nothing any more, and nothing was done. See `/neostock status`.",
            )),
            Self::UnknownEnvironment { word, known } => {
                vec![
                    text(lang.pick("没有环境 ", "There is no environment ")),
                    Span::Code(word.clone()),
                    text(lang.pick("。可用的环境：", ". There are: ")),
                    Span::Code(known.join(", ")),
                ]
            }
        };
        refusal(line)
    }
}

fn unknown(word: &str, did_you_mean: Option<&str>, lang: Lang) -> Line {
    let mut line = vec![
        text(lang.pick("没有命令 ", "There is no command ")),
        Span::Code(word.to_owned()),
        text(lang.pick("。", ". ")),
    ];
    match did_you_mean {
        Some(close) => line.extend([
            text(lang.pick("您是指 ", "Did you mean ")),
            Span::Code(format!("/neostock {close}")),
            text(lang.pick(" 吗？", "?")),
        ]),
        None => line.extend([
            text(lang.pick("可以输入的命令见 ", "What can be typed is listed by ")),
            Span::Code("/neostock help".to_owned()),
            text(lang.pick("。", ".")),
        ]),
    }
    line
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
    match message {
        Some((channel, ts)) if !context.workspace_url.is_empty() => Span::Link {
            url: format!(
                "{}/archives/{channel}/p{}",
                context.workspace_url.trim_end_matches('/'),
                ts.replace('.', "")
            ),
            label: label.to_owned(),
        },
        _ => Span::Channel(channel.clone()),
    }
}

/// What an engine's failure says to the asker; the cause is for the log.
pub fn failure(lang: Lang) -> Card {
    let words = Text::new(
        "现在无法写入数据库，所以什么也没有执行。请稍后再试；如果一直这样，请联系维护机器人的人。",
        "The database cannot be written right now, so nothing was done. Try again in a moment; if it \
         goes on, tell whoever looks after this bot.",
    );
    refusal(vec![text(words.get(lang))])
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
