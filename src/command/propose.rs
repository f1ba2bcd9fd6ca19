//! A command that leaves out its version: the last good one is proposed with a button, and the press
//! runs it as if the presser had typed it. Nothing is proposed that would take nothing back.

use super::action::{Ask, changes_to, newest_tags, tags_of};
use super::typed::{VALUE_UNITS_MAX, fitting, units};
use super::{Context, action_usage, answer_with, plain, text};
use crate::core::action::{Action, Parameter, ParameterKind};
use crate::core::card::{Button, ButtonStyle, Card, Confirm, Line, Part, Span, Tone};
use crate::core::emergency::FLAG;
use crate::core::freeze;
use crate::core::param::{self, ArgumentFault, Arguments, cut};
use crate::core::press::Press;
use crate::core::release::{self, Changes, Release};
use crate::core::release_card;
use crate::core::text::Lang;
use crate::core::words::Words;
use crate::engine::{Asked, Error};
use crate::exec::git::{self, GitError};
use serde_json::json;

/// What is asked for, but for a version.
#[derive(Debug, Clone)]
pub struct Propose {
    /// With the arguments that were given.
    pub ask: Ask,
    /// The parameter that was left out.
    pub parameter: Parameter,
}

/// Reads the words again without the parameter that a fault is about, if that one can be proposed;
/// `None`: the fault stands.
pub(super) fn parse(
    action: &Action,
    fault: &ArgumentFault,
    words: &mut Words<'_>,
) -> Option<(Parameter, Arguments)> {
    let missing = match fault {
        ArgumentFault::Missing { name } => name,
        // Words in quotes are no version, they say why.
        ArgumentFault::Invalid { name, value, .. } if value.contains(char::is_whitespace) => name,
        _ => return None,
    };
    let suggests = |parameter: &&Parameter| {
        parameter.name == *missing && parameter.required && parameter.suggest.is_some()
    };
    let suggested = action.parameters.iter().find(suggests)?;
    let others: Vec<Parameter> = action
        .parameters
        .iter()
        .filter(|parameter| parameter.name != suggested.name)
        .map(|parameter| {
            let is_text = parameter.kind == ParameterKind::Text;
            Parameter { required: parameter.required && !is_text, ..parameter.clone() }
        })
        .collect();
    let arguments = param::read(&others, words).ok()?;
    Some((suggested.clone(), arguments))
}

/// Answers with the proposal, or with what is to be written when there is none.
pub async fn run(propose: &Propose, context: &Context<'_>, asked: Asked) -> Result<String, Error> {
    let lang = context.lang;
    let Propose { ask, parameter } = propose;
    let found = proposal(ask, parameter, context).await?;
    let mut detail = json!({"text": asked.text, "channel": asked.channel});
    let Some(proposal) = found else {
        let tags = newest_tags(&tags_of(&ask.environment).await, lang);
        detail["why"] = json!("no_last_good");
        let card = nothing_known(ask, parameter, tags, lang);
        return answer_with(context, asked, "request.refused", detail, &card).await;
    };
    detail["proposed"] = json!(proposal.button.value);
    let summary = plain(&proposal.line);
    let card = Card { summary, tone: Tone::Neutral, parts: proposal.parts() };
    answer_with(context, asked, "request.answered", detail, &card).await
}

/// A command that can be pressed.
pub(super) struct Proposal {
    /// What it would do, for the asker.
    line: Line,
    /// Does it: its value is the command.
    button: Button,
}

impl Proposal {
    /// The proposal as the end of a card.
    pub(super) fn parts(self) -> Vec<Part> {
        vec![Part::Paragraph(self.line), Part::Buttons(vec![self.button])]
    }
}

/// A request whose version was none: that word began the reason.
pub(super) fn without_version(ask: &Ask, parameter: &Parameter, word: &str) -> Ask {
    let is_text = |name: &str| {
        let mut others = ask.action.parameters.iter();
        others.any(|other| other.name == name && other.kind == ParameterKind::Text)
    };
    let mut ask = ask.clone();
    ask.arguments.values.retain(|argument| argument.name != parameter.name);
    for argument in ask.arguments.values.iter_mut().filter(|argument| is_text(&argument.name)) {
        argument.value = format!("{word} {}", argument.value);
    }
    ask
}

/// The last good release as a command; `None` when none is known that takes anything back.
pub(super) async fn proposal(
    ask: &Ask,
    parameter: &Parameter,
    context: &Context<'_>,
) -> Result<Option<Proposal>, Error> {
    let history = context.engine.releases(&ask.environment.name).await?;
    let (Some(live), Some(good)) = (release::live(&history), release::last_good(&history)) else {
        return Ok(None);
    };
    let workdir = &ask.environment.workdir;
    // A name that means another commit now would not go back to what was live.
    let version = match git::resolve(workdir, &good.version).await {
        Ok(commit) if commit != good.commit => &good.commit,
        Err(GitError::NoSuchVersion) => &good.commit,
        _ => &good.version,
    };
    let changes = changes_to(workdir, live, &good.commit).await;
    let takes_back = changes.difference.as_ref().is_none_or(|found| found.backward > 0);
    if !takes_back {
        return Ok(None);
    }
    let words = words(ask, parameter, version, context.lang);
    Ok(Some(Proposal {
        line: explained(ask, version, (live, good), &changes, context.lang),
        button: button(ask, version, words, context.lang),
    }))
}

/// `rollback v1.2 env=production why`: the command as a person would type it.
fn words(ask: &Ask, parameter: &Parameter, version: &str, lang: Lang) -> String {
    let Ask { action, environment, .. } = ask;
    let is_first = action.parameters.first() == Some(parameter);
    let name = if is_first { String::new() } else { format!("{}=", parameter.name) };
    let mut words = format!("{} {name}{version} env={}", action.name, environment.name);
    if ask.arguments.is_emergency {
        words.extend([" ", FLAG]);
    }
    if ask.arguments.overrides_freeze {
        words.extend([" ", freeze::FLAG]);
    }
    let mut free = None;
    for other in action.parameters.iter().filter(|other| other.name != parameter.name) {
        let given = ask.arguments.get(&other.name);
        match (&other.kind, given) {
            (ParameterKind::Text, Some(text)) => free = Some(text.to_owned()),
            (ParameterKind::Text, None) if other.required => {
                let reason = lang.pick("回到最近的正常版本", "back to the last good release");
                free = Some(reason.to_owned());
            }
            (_, Some(value)) => words.extend([" ", &other.name, "=\"", value, "\""]),
            (_, None) => {}
        }
    }
    let Some(free) = free else { return words };
    let room = VALUE_UNITS_MAX.saturating_sub(units(&words) + 1);
    words.push(' ');
    words.push_str(&fitting(&free, room));
    words
}

fn explained(
    ask: &Ask,
    version: &str,
    (current, good): (&Release, &Release),
    changes: &Changes,
    lang: Lang,
) -> Line {
    let ended_ms = good.ended.map_or(good.live_ms, |ended| ended.at_ms);
    let environment = &ask.environment.name;
    let mut line = vec![
        text(match lang {
            Lang::Zh => format!("{environment} 最近一个正常的版本是 "),
            Lang::En => format!("The last good release of {environment} is "),
        }),
        Span::Code(version.to_owned()),
        text(lang.pick("，在线时间 ", ", live from ")),
        Span::Time(good.live_ms),
        text(lang.pick(" 至 ", " to ")),
        Span::Time(ended_ms),
        text(lang.pick("。现在在线的是 ", ". Live now is ")),
        Span::Code(current.version.clone()),
        text(lang.pick("，自 ", ", since ")),
        Span::Time(current.live_ms),
        text(lang.pick("。\n🔀 ", ".\n🔀 ")),
    ];
    line.extend(release_card::headline(changes, lang));
    line
}

fn button(ask: &Ask, version: &str, words: String, lang: Lang) -> Button {
    let shown = version.get(..release_card::COMMIT_CHARS).filter(|_| version.len() >= 40);
    let shown = shown.unwrap_or(version);
    let press = Press::Propose { words };
    Button {
        label: format!("{} {shown}", lang.pick("回滚到", "Roll back to")),
        action: press.action().to_owned(),
        value: press.value(),
        style: ButtonStyle::Danger,
        confirm: Some(Confirm {
            title: lang.pick("执行这个命令？", "Give this command?").to_owned(),
            text: format!("{} {version} → {}", ask.action.name, ask.environment.name),
            yes: lang.pick("执行", "Do it").to_owned(),
            no: lang.pick("返回", "Go back").to_owned(),
        }),
    }
}

fn nothing_known(ask: &Ask, parameter: &Parameter, tags: Line, lang: Lang) -> Card {
    let parameter = &parameter.name;
    let environment = &ask.environment.name;
    let mut line = super::with_code(&match lang {
        Lang::Zh => {
            format!("缺少参数 `{parameter}`，而 {environment} 还没有记录可以回到的版本。")
        }
        Lang::En => {
            format!(
                "`{parameter}` is missing, and no release of {environment} to go back to is known."
            )
        }
    });
    line.extend(tags);
    line.push(text(lang.pick("\n写法：", "\nWrite: ")));
    line.push(Span::Code(format!("/neostock {}", action_usage(&ask.action))));
    Card { summary: cut(&plain(&line)), tone: Tone::Warning, parts: vec![Part::Paragraph(line)] }
}
