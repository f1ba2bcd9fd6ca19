//! `unlock <environment> <reason…>`: a lead takes an environment from a run that needs attention, so that
//! the next run can have it. Two runs' steps never run at once by it: what runs is cancelled first.

use super::{Context, Spec, answer_with, ephemeral, refusal, text, with_code};
use crate::core::action::Runbook;
use crate::core::card::{Card, Line, Span, Tone};
use crate::core::id::RunId;
use crate::core::param::{ArgumentFault, TEXT_CHARS_MAX, cut, narrow_word};
use crate::core::policy::Authorized;
use crate::core::queue_card::Holder;
use crate::core::run::{State, StepState};
use crate::core::run_card::RunView;
use crate::core::text::{Lang, Text};
use crate::core::words::Words;
use crate::engine::{Asked, Error, Takeover};
use crate::exec::local::Verdict;
use serde_json::json;
use std::path::Path;

/// How it is asked for.
pub const SPEC: Spec = Spec {
    name: "unlock",
    usage: "<environment> <reason…>",
    example: "unlock production the host is gone and nginx must be put right now",
    zh: "从结果未知的执行手里接管环境的锁（仅限 lead）",
    en: "Take an environment's lock from a run that needs attention (leads only)",
};

/// The role that may: nobody, where the runbook does not define it.
pub const ROLE: &str = "lead";

/// A request to free an environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unlock {
    /// Which.
    pub environment: String,
    /// Why.
    pub reason: String,
}

/// Reads the words after the verb. Without an environment there is no default: this is no slip.
pub fn parse(words: &mut Words<'_>, runbook: &Runbook) -> Result<Unlock, ArgumentFault> {
    let missing = |name: &str| ArgumentFault::Missing { name: name.to_owned() };
    let word = words.take().ok_or_else(|| missing("environment"))?;
    let typed = narrow_word(&word.text);
    let typed = typed.strip_prefix("env=").unwrap_or(&typed);
    let Some(environment) = runbook.environments.get(typed) else {
        let known: Vec<&str> = runbook.environments.keys().map(String::as_str).collect();
        return Err(ArgumentFault::Invalid {
            name: "environment".to_owned(),
            value: cut(&word.text),
            expected: Text::same(known.join(", ")),
        });
    };
    let reason = words.take_rest().unwrap_or_default();
    let reason: String = reason.trim().chars().take(TEXT_CHARS_MAX).collect();
    if reason.is_empty() {
        return Err(missing("reason"));
    }
    Ok(Unlock { environment: environment.name.clone(), reason })
}

/// Frees the environment, if nothing runs in it.
pub async fn run(
    unlock: Unlock,
    context: &Context<'_>,
    by: &Authorized,
    asked: Asked,
) -> Result<String, Error> {
    let (lang, environment) = (context.lang, unlock.environment);
    let holder = context.engine.holder(&environment).await?;
    let refused = match &holder {
        None => Some(("free", said(&Takeover::Free, &environment, None, lang))),
        Some((run, since_ms)) => match run.state {
            State::NeedsAttention => alive(run, context).await?.map(|card| ("alive", card)),
            state => {
                let outcome = Takeover::Holds(state);
                let held = Some((run, *since_ms));
                Some(("holds", said(&outcome, &environment, held, lang)))
            }
        },
    };
    if let Some((why, card)) = refused {
        let detail = json!({"text": asked.text, "environment": environment, "why": why});
        return answer_with(context, asked, "lock.refused", detail, &card).await;
    }
    // It is there: without it the environment is free.
    let Some((run, since_ms)) = holder else { return Ok(String::new()) };
    let id: RunId = run.id.clone();
    let name = environment.clone();
    let answer = Box::new(move |outcome: &Takeover| {
        ephemeral(&said(outcome, &name, Some((&run, since_ms)), lang))
    });
    context.engine.take_over(asked, by, (&environment, &id), unlock.reason, answer).await
}

/// Processes of the lost step that are seen to live speak against it: they are stopped first.
async fn alive(run: &RunView, context: &Context<'_>) -> Result<Option<Card>, Error> {
    let steps = context.engine.steps(&run.id).await?;
    let Some(lost) = steps.iter().find(|step| step.state == StepState::Unknown.as_str()) else {
        return Ok(None);
    };
    let directory = Path::new(&lost.directory);
    if !directory.is_dir() {
        // On another host, which may be gone: that is what a takeover is for.
        return Ok(None);
    }
    let verdict = context.local.observe(directory).await.map_err(|error| {
        tracing::error!(run.id = %run.id, "read the evidence of {}: {error:#}", run.id);
        Error::Corrupt { run: run.id.clone(), what: "its evidence".to_owned() }
    })?;
    let names = match verdict {
        Verdict::Running => String::new(),
        Verdict::Unknown { survivors, .. } if !survivors.is_empty() => {
            let all = survivors.iter().map(|process| format!("{} ({})", process.name, process.pid));
            format!(" {}", all.collect::<Vec<_>>().join(", "))
        }
        _ => return Ok(None),
    };
    let (lang, id) = (context.lang, &run.id);
    let sentence = match lang {
        Lang::Zh => format!(
            "没有接管：`{id}` 的这一步仍有进程在运行{names}。先停止它们：`/neostock settle {id} stop 原因`"
        ),
        Lang::En => format!(
            "Not taken over: processes of the step of `{id}` still run{names}. Stop them first: \
             `/neostock settle {id} stop reason`"
        ),
    };
    Ok(Some(refusal(with_code(&sentence))))
}

/// The answer to each outcome.
fn said(outcome: &Takeover, environment: &str, held: Option<(&RunView, i64)>, lang: Lang) -> Card {
    let words = match (outcome, lang) {
        (Takeover::Done, Lang::Zh) => {
            format!("🔓 已接管 {environment} 的锁，下一个执行可以开始了。原来持有它的是：")
        }
        (Takeover::Done, Lang::En) => format!(
            "🔓 The lock of {environment} is taken over; the next run can begin. It was held by "
        ),
        (Takeover::Free, Lang::Zh) => format!("{environment} 没有被锁定，什么也没有改变。"),
        (Takeover::Free, Lang::En) => format!("{environment} is not locked; nothing was changed."),
        (Takeover::ChangedHands, Lang::Zh) => {
            format!("{environment} 的锁刚刚换了持有者，没有接管。请先看 `/neostock status`。")
        }
        (Takeover::ChangedHands, Lang::En) => format!(
            "The lock of {environment} has just changed hands and was not taken over. Look at \
             `/neostock status` first."
        ),
        (Takeover::Holds(state), Lang::Zh) => format!(
            "没有接管：持有 {environment} 的执行现在是「{}」，它的步骤可能正在运行。请先取消它\
             （`/neostock cancel`）；只有等待人工确认的执行才能被接管：",
            state.text().zh
        ),
        (Takeover::Holds(state), Lang::En) => format!(
            "Not taken over: the run that holds {environment} is “{}”, and a step of it may run. Cancel \
             it first (`/neostock cancel`); only from a run that needs attention can a lock be taken: ",
            state.text().en
        ),
    };
    let mut line: Line = with_code(&words);
    let names_holder = matches!(outcome, Takeover::Done | Takeover::Holds(_));
    if let Some((run, since_ms)) = held.filter(|_| names_holder) {
        line.extend(Holder::of(run, since_ms).line(lang));
    }
    if *outcome == Takeover::Done {
        line.push(text(
            lang.pick("\n它的结果仍需确认：", "\nIts outcome is still to be settled: "),
        ));
        if let Some((run, _)) = held {
            line.push(Span::Code(format!("/neostock show {}", run.id)));
        }
        return Card { tone: Tone::Neutral, ..refusal(line) };
    }
    refusal(line)
}
