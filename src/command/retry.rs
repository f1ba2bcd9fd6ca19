//! `retry <run>`: the same again, as a new run, where that is safe.
//!
//! Safe means: the run has ended without success, and every step of it that began is idempotent. The
//! new run is planned from the runbook as it is now, with the same arguments, and passes every gate anew.

use super::action::{self, Ask, NotAnew};
use super::show::{no_such_run, run_id};
use super::{Context, Spec, answer, refusal, text, with_code};
use crate::core::card::{Card, Span};
use crate::core::evidence::End;
use crate::core::id::RunId;
use crate::core::param::ArgumentFault;
use crate::core::policy::Authorized;
use crate::core::run::{State, StepState};
use crate::core::run_card::RunView;
use crate::core::text::{Lang, Text};
use crate::core::words::Words;
use crate::engine::{Asked, Error};

/// How it is asked for.
pub const SPEC: Spec = Spec {
    name: "retry",
    usage: "<run>",
    example: "retry R-7K3QZD5A",
    zh: "重新执行一次没有成功的执行（仅当重做无害）",
    en: "Do a run that did not succeed again, where that is safe",
};

/// A request to do a run again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retry {
    /// Which.
    pub run: RunId,
}

/// Reads the words after `retry`.
pub fn parse(words: &mut Words<'_>) -> Result<Retry, ArgumentFault> {
    let run = run_id(words)?;
    super::nothing_more(words)?;
    Ok(Retry { run })
}

/// Requests the new run, or says why not.
pub async fn run(
    retry: Retry,
    context: &Context<'_>,
    by: &Authorized,
    asked: Asked,
) -> Result<String, Error> {
    let Some(view) = context.engine.view(&retry.run).await? else {
        return no_such_run(&retry.run, context, asked).await;
    };
    match ask_again(&view, context) {
        Ok(ask) => action::run(ask, context, by, asked).await,
        Err(words) => {
            let card = refused(&view, &words, context.lang);
            answer(context, asked, "request.refused", &card).await
        }
    }
}

/// The request that the run came from, made anew.
fn ask_again(view: &RunView, context: &Context<'_>) -> Result<Ask, Text> {
    if let Some(why) = speaks_against(view) {
        return Err(why);
    }
    let ask = action::anew(&view.plan, context.runbook).map_err(|why| match why {
        NotAnew::Gone => Text::new(
            "操作手册里已经没有这个操作或环境了。",
            "the runbook has this action or this environment no more.",
        ),
        NotAnew::Wants(name) => Text::new(
            format!("操作手册现在还要求 `{name}`，请重新写一遍命令。"),
            format!("the runbook wants `{name}` now; write the command anew."),
        ),
    })?;
    Ok(Ask { retry_of: Some(view.id.clone()), ..ask })
}

/// Why doing it again would not be safe, or would mean nothing.
pub(super) fn speaks_against(view: &RunView) -> Option<Text> {
    match view.state {
        State::Failed | State::TimedOut | State::Cancelled | State::Rejected | State::Expired => {}
        State::Succeeded => {
            return Some(Text::new("它已经成功了。", "it has succeeded."));
        }
        State::Waiting | State::Queued | State::Running | State::NeedsAttention => {
            return Some(Text::new("它还没有结束。", "it has not ended yet."));
        }
    }
    let began = view.steps.iter().zip(&view.plan.steps).filter(|(step, _)| has_begun(step));
    let unsafe_step = began.into_iter().find(|(_, planned)| !planned.idempotent);
    unsafe_step.map(|(_, planned)| {
        let name = &planned.name;
        Text::new(
            format!(
                "步骤「{}」已经开始过，而它不是幂等的：重做可能造成损害。请先看清它做到了哪里，再决定下一步命令。",
                name.zh
            ),
            format!(
                "its step “{}” has begun, and the runbook does not call it idempotent: doing it twice \
                 may do harm. Find out how far it got, then give the command that fits.",
                name.en
            ),
        )
    })
}

/// Whether anything of a step may have been done.
fn has_begun(step: &crate::core::run_card::StepView) -> bool {
    let is_untouched = matches!(step.state, StepState::Pending | StepState::Skipped)
        || step.started_ms == 0
        || step.evidence.as_ref().is_some_and(|found| matches!(found.end, End::NotStarted(_)));
    !is_untouched
}

fn refused(view: &RunView, words: &Text, lang: Lang) -> Card {
    let mut line = vec![
        Span::Code(view.id.to_string()),
        text(lang.pick(" 没有重新执行：", " was not done again: ")),
    ];
    line.extend(with_code(words.get(lang)));
    refusal(line)
}
