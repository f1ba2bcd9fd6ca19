//! `settle <run> ok|failed|again|stop <reason…>`: what a person found out about a lost step.

use super::show::{no_such_run, run_id};
use super::{Context, Spec, answer, ephemeral, refusal, settle_elsewhere, text};
use crate::core::card::{Card, Line, Span, Tone};
use crate::core::id::RunId;
use crate::core::param::{ArgumentFault, TEXT_CHARS_MAX, cut};
use crate::core::policy::Authorized;
use crate::core::run::{State, StepState};
use crate::core::run_card::RunView;
use crate::core::settle_card::{self, Seen};
use crate::core::text::{Lang, Text};
use crate::core::words::Words;
use crate::engine::{Answers, Asked, Engine, Error, Settled, Settlement};
use crate::exec::local::{Local, Verdict};
use std::path::Path;

/// How it is asked for.
pub const SPEC: Spec = Spec {
    name: "settle",
    usage: "<run> ok|failed|again|stop <reason…>",
    example: "settle R-7K3QZD5A failed the migration never began",
    zh: "对结果未知的步骤作出决定",
    en: "Decide about a step whose outcome is unknown",
};

/// What a person says of a lost step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settle {
    /// Which run.
    pub run: RunId,
    /// What they say.
    pub settlement: Settlement,
    /// Why.
    pub reason: String,
    /// The try that a form was about; `None`: typed, and means the step that is lost now.
    pub seen: Option<Seen>,
}

/// Reads the words after `settle`.
pub fn parse(words: &mut Words<'_>) -> Result<Settle, ArgumentFault> {
    let run = run_id(words)?;
    let name = "decision".to_owned();
    let Some(word) = words.take() else { return Err(ArgumentFault::Missing { name }) };
    let settlement = match word.text.to_lowercase().as_str() {
        "ok" | "succeeded" | "done" => Settlement::Ok,
        "failed" => Settlement::Failed,
        "again" => Settlement::Again,
        "stop" => Settlement::Stopped,
        _ => {
            return Err(ArgumentFault::Invalid {
                name,
                value: cut(&word.text),
                expected: Text::new(
                    "ok、failed、again、stop 之一",
                    "one of: ok, failed, again, stop",
                ),
            });
        }
    };
    let reason = words.take_rest().filter(|reason| !reason.trim().is_empty());
    let Some(reason) = reason else {
        return Err(ArgumentFault::Missing { name: "reason".to_owned() });
    };
    let reason = reason.chars().take(TEXT_CHARS_MAX).collect();
    Ok(Settle { run, settlement, reason, seen: None })
}

/// Decides, if the run waits for it and nothing speaks against it.
pub async fn run(
    settle: Settle,
    context: &Context<'_>,
    by: &Authorized,
    asked: Asked,
) -> Result<String, Error> {
    let Some(view) = context.engine.view(&settle.run).await? else {
        return no_such_run(&settle.run, context, asked).await;
    };
    let is_about_it = settle.seen.is_none() || settle.seen == settle_card::lost(&view);
    let (lang, seen) = (context.lang, settle.seen);
    let engine = context.engine;
    if view.state == State::NeedsAttention && is_about_it {
        let elsewhere = settle_elsewhere::host(&view, settle.settlement, engine.host());
        let against = match elsewhere {
            Some(_) => settle_elsewhere::out_of_reach(&view, lang),
            None => speaks_against(engine, context.local, settle.settlement, &view, lang).await?,
        };
        if let Some(refused) = against {
            return answer(context, asked, "settle.refused", &refused).await;
        }
        if let Some(host) = elsewhere {
            let Settle { run, settlement, reason, .. } = settle;
            let settled = Settled { settlement, seen, reason };
            let (by, to) = ((asked, by), (&run, host.as_str()));
            return settle_elsewhere::hand_on(engine, by, to, settled, lang).await;
        }
    }
    let answers = Answers {
        // A form that is done with closes; the card tells the rest.
        done: match seen {
            Some(_) => String::new(),
            None => ephemeral(&done_card(&settle, &view, lang)),
        },
        not_waiting: Box::new(move |view| ephemeral(&not_waiting(view, seen, lang))),
    };
    let Settle { run, settlement, reason, .. } = settle;
    engine.settle(asked, by, &run, Settled { settlement, seen, reason }, answers).await
}

/// Living processes speak against doing a step again; stopping them is done here, where they run.
pub(super) async fn speaks_against(
    engine: &Engine,
    local: &Local,
    settlement: Settlement,
    view: &RunView,
    lang: Lang,
) -> Result<Option<Card>, Error> {
    if !matches!(settlement, Settlement::Again | Settlement::Stopped) {
        return Ok(None);
    }
    let steps = engine.steps(&view.id).await?;
    let lost = steps.iter().find(|step| step.state == StepState::Unknown.as_str());
    let Some(lost) = lost else { return Ok(None) };
    let directory = Path::new(&lost.directory);
    if !directory.is_dir() {
        return Ok(Some(refusal(vec![text(lang.pick(
            "这一步的证据文件夹不在这台主机上，看不到它的进程。请在主机上确认没有进程在运行，然后选择 ok 或 failed。",
            "The folder with the evidence of this step is not on this host, so its processes cannot be \
             seen. Look on the host that nothing of it runs, and choose ok or failed.",
        ))])));
    }
    if settlement == Settlement::Stopped {
        local.stop_survivors(directory).await.map_err(|error| {
            tracing::error!(run.id = %view.id, "stop what {} left running: {error:#}", view.id);
            Error::Corrupt { run: view.id.clone(), what: "its evidence".to_owned() }
        })?;
        return Ok(None);
    }
    let verdict = local.observe(directory).await.map_err(|error| {
        tracing::error!(run.id = %view.id, "read the evidence of {}: {error:#}", view.id);
        Error::Corrupt { run: view.id.clone(), what: "its evidence".to_owned() }
    })?;
    let survivors = match verdict {
        Verdict::Unknown { survivors, .. } => survivors,
        // Another bot may only be looking; but whoever holds the evidence may be running it too.
        Verdict::Running => {
            return Ok(Some(refusal(vec![text(lang.pick(
                "这一步的证据正被占用，可能仍在运行。请稍后再试。",
                "Somebody holds the evidence of this step: it may still run. Try again in a moment.",
            ))])));
        }
        Verdict::Finished(_) | Verdict::NeverStarted => Vec::new(),
    };
    if survivors.is_empty() {
        return Ok(None);
    }
    let names: Vec<String> =
        survivors.iter().map(|process| format!("{} ({})", process.name, process.pid)).collect();
    let line: Line = vec![
        text(lang.pick("这一步的进程仍在运行：", "Processes of the step still run: ")),
        Span::Code(names.join(", ")),
        text(lang.pick("。再做一次之前请先停止它们：", ". Stop them before it is done again: ")),
        Span::Code(format!("/neostock settle {} stop {}", view.id, lang.pick("原因", "reason"))),
    ];
    Ok(Some(refusal(line)))
}

fn done_card(settle: &Settle, view: &RunView, lang: Lang) -> Card {
    let words = match settle.settlement {
        Settlement::Ok => {
            lang.pick("已记为完成，继续后面的步骤。", "Noted as done; the run goes on.")
        }
        Settlement::Failed => {
            lang.pick("已记为失败，执行结束。", "Noted as failed; the run has ended.")
        }
        Settlement::Again => lang.pick("将再做一次这一步。", "The step is done again."),
        Settlement::Stopped => lang.pick("已停止遗留的进程。", "What still ran was stopped."),
    };
    let line = vec![Span::Code(view.id.to_string()), text(" "), text(words)];
    Card { tone: Tone::Neutral, ..refusal(line) }
}

/// Why a decision about a run does not count.
pub(super) fn not_waiting(view: &RunView, seen: Option<Seen>, lang: Lang) -> Card {
    let words = match (settle_card::lost(view), seen) {
        (None, _) => Text::new(
            format!(" 没有等待决定：它现在是「{}」。", view.state.text().zh),
            format!(" does not wait for a decision: it is “{}”.", view.state.text().en),
        ),
        (Some(now), Some(then)) if now != then => Text::new(
            format!(
                "：这个按钮说的是第 {} 步的第 {} 次，现在等待决定的是第 {} 步的第 {} 次。什么也没有改变，请看最新的卡片。",
                then.position + 1,
                then.attempt,
                now.position + 1,
                now.attempt
            ),
            format!(
                ": this was about attempt {} of step {}; what waits for a decision now is attempt {} of \
                 step {}. Nothing was changed; look at its card as it is.",
                then.attempt,
                then.position + 1,
                now.attempt,
                now.position + 1
            ),
        ),
        _ => Text::new(
            " 的锁已被接管，不能再做一次：请选择 ok 或 failed 结束它，需要的话重新发起。",
            " has lost its lock to a takeover, so nothing of it is done again: end it with ok or failed, \
             and ask for it anew if it is still wanted.",
        ),
    };
    refusal(vec![Span::Code(view.id.to_string()), text(words.get(lang))])
}
