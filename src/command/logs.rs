//! `logs <run> [step]`: a step's whole output as a file in the thread of its run.

use super::show::{no_such_run, run_id};
use super::{Context, Spec, answer, answer_with, message_link, refusal, text, with_code};
use crate::core::card::{Card, Line, Span, Tone};
use crate::core::id::{ChannelId, RunId};
use crate::core::param::{ArgumentFault, cut};
use crate::core::run::StepState;
use crate::core::run_card::RunView;
use crate::core::text::{Lang, Text};
use crate::core::words::Words;
use crate::engine::{Asked, Error};
use crate::exec::local::{Local, READ_BYTES_MAX};
use crate::slack::client::CallError;
use crate::slack::files::Share;
use serde_json::json;
use std::io;
use std::path::Path;

/// The largest file; of a longer output the beginning and the end are sent.
const LOG_FILE_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Letters of a step's name in its file's name.
const NAME_CHARS_MAX: usize = 40;

/// How it is asked for.
pub const SPEC: Spec = Spec {
    name: "logs",
    usage: "<run> [step]",
    example: "logs R-7K3QZD5A 2",
    zh: "把一个步骤的完整输出作为文件放进该次执行的消息串",
    en: "Put a step's whole output as a file into the thread of its run",
};

/// A request for a step's output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Logs {
    /// Of which run.
    pub run: RunId,
    /// Its step, from 1; `None`: the one that failed, else the last that ran.
    pub step: Option<usize>,
}

/// Reads the words after `logs`.
pub fn parse(words: &mut Words<'_>) -> Result<Logs, ArgumentFault> {
    let run = run_id(words)?;
    let step = words.take().map(|word| {
        word.text.parse::<usize>().ok().filter(|step| *step > 0).ok_or_else(|| {
            ArgumentFault::Invalid {
                name: "step".to_owned(),
                value: cut(&word.text),
                expected: Text::new("步骤的序号，从 1 开始", "a step's number, from 1"),
            }
        })
    });
    super::nothing_more(words)?;
    Ok(Logs { run, step: step.transpose()? })
}

/// Why there is nothing to send.
enum Nothing {
    /// The run has no such step.
    NoSuchStep,
    /// It has not begun.
    NotBegun,
    /// Another host has it.
    Elsewhere(String),
    /// Its time was over.
    Removed,
    /// It printed nothing.
    Silent,
    /// The run's card is not in Slack, and its thread neither.
    NoCard,
}

/// Answers.
pub async fn run(logs: &Logs, context: &Context<'_>, asked: Asked) -> Result<String, Error> {
    // Sharing a file cannot be undone with its transaction: the same delivery again shares nothing.
    if let Some(answered) = context.engine.answered(&asked.delivery).await? {
        return Ok(answered);
    }
    let Some(view) = context.engine.view(&logs.run).await? else {
        return no_such_run(&logs.run, context, asked).await;
    };
    let refused = async |nothing: Nothing, asked| {
        let card = refusal(nothing.line(&view, context.lang));
        answer(context, asked, "request.refused", &card).await
    };
    let Some(step) = logs.step.map_or_else(|| step_of(&view), |step| Some(step - 1)) else {
        return refused(Nothing::NotBegun, asked).await;
    };
    if step >= view.steps.len() {
        return refused(Nothing::NoSuchStep, asked).await;
    }
    let steps = context.engine.steps(&view.id).await?;
    let directory = steps.get(step).map_or("", |step| step.directory.as_str());
    if directory.is_empty() {
        return refused(Nothing::NotBegun, asked).await;
    }
    let directory = Path::new(directory);
    // Of a log on another host the end is in the database.
    let end = steps.get(step).map_or("", |step| step.tail.as_str());
    let elsewhere = (!directory.is_dir()).then(|| view.host.clone());
    if let Some(host) = &elsewhere {
        let is_kept_here = directory.parent().is_some_and(Path::is_dir);
        let is_here = view.state.is_final() && is_kept_here && host == context.engine.host();
        if is_here {
            return refused(Nothing::Removed, asked).await;
        }
        if end.is_empty() {
            return refused(Nothing::Elsewhere(host.clone()), asked).await;
        }
    }
    let Some((channel, thread_ts)) = context.engine.card_message(&view.id).await? else {
        return refused(Nothing::NoCard, asked).await;
    };
    let bytes = match elsewhere {
        Some(_) => end.as_bytes().to_vec(),
        None => read(context.local, directory).await.map_err(|error| {
            tracing::error!(run.id = %view.id, "read the output of {}: {error:#}", view.id);
            Error::Corrupt { run: view.id.clone(), what: "its output".to_owned() }
        })?,
    };
    if bytes.is_empty() {
        return refused(Nothing::Silent, asked).await;
    }
    let name = file_name(&view, step);
    let comment = comment(&view, step, &asked, elsewhere.as_deref());
    let file =
        Share { name: &name, bytes, channel: &channel, thread_ts: &thread_ts, comment: &comment };
    let shared = context.client.share(file, context.upload_hosts).await;
    let link = message_link(
        context,
        Some(&(channel.clone(), thread_ts.clone())),
        &ChannelId::new(channel.clone()),
        context.lang.pick("消息串", "the thread"),
    );
    let (kind, word) = match &shared {
        Ok(()) => ("request.answered", "shared"),
        Err(CallError::Unknown) => ("request.answered", "unknown"),
        Err(_) => ("request.refused", "not_shared"),
    };
    let detail = json!({
        "text": asked.text, "channel": asked.channel, "run": view.id, "file": name, "why": word,
    });
    let card = told(&name, &shared, (link, elsewhere.as_deref()), context.lang);
    answer_with(context, asked, kind, detail, &card).await
}

/// The step that went wrong, else the last that began.
fn step_of(view: &RunView) -> Option<usize> {
    let went_wrong = |state: StepState| {
        matches!(
            state,
            StepState::Failed | StepState::TimedOut | StepState::Cancelled | StepState::Unknown
        )
    };
    let wrong = view.steps.iter().position(|step| went_wrong(step.state) && step.started_ms > 0);
    wrong.or_else(|| view.steps.iter().rposition(|step| step.started_ms > 0))
}

impl Nothing {
    fn line(&self, view: &RunView, lang: Lang) -> Line {
        let words = match self {
            Self::NoSuchStep => {
                let count = view.steps.len();
                Text::new(
                    format!("没有这个步骤，它只有 {count} 步。请写 1 到 {count}。"),
                    format!("has no such step: it has {count}. Write a number from 1 to {count}."),
                )
            }
            Self::NotBegun => Text::new(
                "还没有开始这一步，所以没有输出。",
                "has not begun that step, so it has no output.",
            ),
            Self::Elsewhere(host) => Text::new(
                format!("的输出在主机 `{host}` 上，这里读不到；这一步结束后会有输出的末尾。"),
                format!(
                    "has its output on the host `{host}`, and it cannot be read from here. Its end will \
                     be here once the step has ended."
                ),
            ),
            Self::Removed => Text::new(
                "的日志已过保存期限，已被清理；结果与审计日志仍在。请用 `audit run` 加执行编号查询。",
                "is so long ago that its logs were removed, as the setting `evidence_kept` says. How it \
                 went is still in the journal: ask `audit run` and its number.",
            ),
            Self::Silent => Text::new("的这一步没有任何输出。", "printed nothing in that step."),
            Self::NoCard => Text::new(
                "的卡片还没有发到 Slack，所以没有消息串可以放文件。请稍后再试。",
                "has no card in Slack yet, so there is no thread for the file. Try again in a moment.",
            ),
        };
        let mut line = vec![Span::Code(view.id.to_string()), text(" ")];
        line.extend(with_code(words.get(lang)));
        line
    }
}

/// The output: whole, or its beginning and end with a line between that says what is left out.
async fn read(local: &Local, directory: &Path) -> io::Result<Vec<u8>> {
    let length = local.output_bytes(directory).await?;
    let is_whole = length <= LOG_FILE_BYTES_MAX as u64;
    let head_max = if is_whole { LOG_FILE_BYTES_MAX } else { LOG_FILE_BYTES_MAX - READ_BYTES_MAX };
    let (mut bytes, mut at) = (Vec::new(), 0);
    while (at as usize) < head_max {
        let room = (head_max - at as usize).min(READ_BYTES_MAX);
        let (more, next) = local.shown(directory, at, room).await?;
        if more.is_empty() {
            break;
        }
        at = next;
        bytes.extend(more);
    }
    if !is_whole {
        let end = local.shown_last(directory, READ_BYTES_MAX).await?;
        let left_out = length.saturating_sub(at + READ_BYTES_MAX as u64);
        let line =
            format!("\n\n… {left_out} bytes are left out here · 此处省略 {left_out} 字节 …\n\n");
        bytes.extend(line.into_bytes());
        bytes.extend(end);
    }
    Ok(bytes)
}

/// `R-7K3QZD5A-2-roll-back.log`.
fn file_name(view: &RunView, step: usize) -> String {
    let name = view.plan.steps.get(step).map_or("", |step| step.name.en.as_str());
    let mut slug = String::new();
    for letter in name.chars().take(NAME_CHARS_MAX) {
        if letter.is_ascii_alphanumeric() {
            slug.push(letter.to_ascii_lowercase());
        } else if !slug.ends_with('-') {
            slug.push('-');
        }
    }
    let name = format!("{}-{}-{}", view.id, step + 1, slug.trim_matches('-'));
    format!("{}.log", name.trim_end_matches('-'))
}

/// What stands beside the file, in the language of the thread. `elsewhere`: the host that has the rest.
fn comment(view: &RunView, step: usize, asked: &Asked, elsewhere: Option<&str>) -> Line {
    let lang = view.plan.language;
    let name = view.plan.steps.get(step).map_or("", |step| step.name.get(lang));
    let what = match (elsewhere, lang) {
        (None, _) => lang.pick("完整输出，由 ", "whole output, asked by ").to_owned(),
        (Some(host), Lang::Zh) => format!("输出的末尾（完整输出在主机 {host} 上），由 "),
        (Some(host), Lang::En) => {
            format!("the end of its output (the whole is on host {host}), asked by ")
        }
    };
    vec![
        text(format!("📄 {}. {name} · {what}", step + 1)),
        Span::User(asked.actor.clone()),
        text(lang.pick(" 索取", "")),
    ]
}

fn told(
    name: &str,
    outcome: &Result<(), CallError>,
    (place, elsewhere): (Span, Option<&str>),
    lang: Lang,
) -> Card {
    let words = match outcome {
        Ok(()) => Text::new("📄 已放进", "📄 is in "),
        Err(CallError::Unknown) => Text::new(
            "⚠️ Slack 没有回答，不知道文件是否已经放上。再要一次之前请先看",
            "⚠️ whether Slack took it is unknown. Before you ask again, look into ",
        ),
        Err(CallError::RateLimited { retry_after_ms }) => {
            let wait = retry_after_ms.div_ceil(1_000);
            Text::new(
                format!("没有放上：Slack 要求等待 {wait} 秒。之后请再试。"),
                format!("was not shared: Slack asks to wait {wait} s. Try again after that."),
            )
        }
        Err(CallError::Transient) => Text::new(
            "没有放上：现在无法访问 Slack 的文件服务。请稍后再试。",
            "was not shared: Slack's files cannot be reached right now. Try again in a moment.",
        ),
        Err(CallError::Refused(code)) if code == "missing_scope" => Text::new(
            "没有放上：应用缺少 `files:write` 权限。请管理员按 manifest 重新安装应用。",
            "was not shared: the app lacks the scope `files:write`. Have it installed anew from the \
             manifest.",
        ),
        Err(CallError::Refused(code)) => Text::new(
            format!("没有放上：Slack 拒绝了 (`{code}`)。请联系维护机器人的人。"),
            format!("was not shared: Slack refused (`{code}`). Tell whoever looks after this bot."),
        ),
    };
    let mut line = vec![Span::Code(name.to_owned()), text(" ")];
    line.extend(with_code(words.get(lang)));
    if matches!(outcome, Ok(()) | Err(CallError::Unknown)) {
        line.push(place);
        line.extend(elsewhere.map(|host| {
            text(match lang {
                Lang::Zh => format!("：只有末尾，完整输出在主机 {host} 上"),
                Lang::En => format!(": only its end, the whole is on host {host}"),
            })
        }));
    }
    let tone = if outcome.is_ok() { Tone::Neutral } else { Tone::Warning };
    Card { tone, ..refusal(line) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Logs, ArgumentFault> {
        parse(&mut Words::read(text).unwrap())
    }

    #[test]
    fn a_step_is_a_number_from_one() {
        assert_eq!(read("7k3qzd5a 2").unwrap().step, Some(2));
        assert_eq!(read("R-7K3QZD5A").unwrap().step, None);
        for typed in ["R-7K3QZD5A 0", "R-7K3QZD5A two", "R-7K3QZD5A 1 2", "", "R-1"] {
            assert!(read(typed).is_err(), "{typed}");
        }
    }
}
