//! `approve`, `reject`, `cancel`: what a person decides about a run, typed or pressed.
//!
//! Whether it counts is `core::decision`'s, asked in the transaction that it changes. Here the words are
//! read, the plan is held against the world once more, and the answer is said.

use super::show::{no_such_run, run_id};
use super::{
    Context, Spec, answer_with, ephemeral, reason_form, refusal, text, unchanged, with_code,
};
use crate::core::card::{Card, Line, Span, Tone};
use crate::core::decision::{Refused, Ruling, Standing, Verdict, Vote, rule};
use crate::core::freeze_card;
use crate::core::gate::{self, Gate};
use crate::core::id::RunId;
use crate::core::param::{ArgumentFault, TEXT_CHARS_MAX};
use crate::core::policy::Authorized;
use crate::core::run::State;
use crate::core::run_card::RunView;
use crate::core::text::Lang;
use crate::core::words::Words;
use crate::engine::{Asked, Decided, Error};
use crate::exec::drift::{Drift, drift};
use serde_json::json;

/// How an approval is typed.
pub const APPROVE: Spec = Spec {
    name: "approve",
    usage: "<run> [why…]",
    example: "approve R-7K3QZD5A looks good",
    zh: "批准一次等待审批的执行",
    en: "Approve a run that waits for it",
};

/// How a rejection is typed.
pub const REJECT: Spec = Spec {
    name: "reject",
    usage: "<run> <reason…>",
    example: "reject R-7K3QZD5A not during trading hours",
    zh: "拒绝一次等待审批的执行",
    en: "Reject a run that waits for approval",
};

/// How a cancellation is typed.
pub const CANCEL: Spec = Spec {
    name: "cancel",
    usage: "<run> [why…]",
    example: "cancel R-7K3QZD5A the wrong version",
    zh: "取消一次执行：等待中的不再开始，正在做的步骤被停止",
    en: "Cancel a run: what waits does not begin, a step under way is stopped",
};

/// A decision about a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decide {
    /// What.
    pub verdict: Verdict,
    /// About which run.
    pub run: RunId,
    /// The digest of the plan that was shown; `None`: typed, and means the run's own.
    pub digest: Option<String>,
    /// Why; may be empty.
    pub reason: String,
}

impl Decide {
    /// The verb.
    pub fn spec(&self) -> &'static Spec {
        spec(self.verdict)
    }
}

/// The verb of a verdict.
pub fn spec(verdict: Verdict) -> &'static Spec {
    match verdict {
        Verdict::Approved => &APPROVE,
        Verdict::Rejected => &REJECT,
        Verdict::Cancelled => &CANCEL,
    }
}

/// Reads the words after the verb. A rejection that is typed says why.
pub fn parse(verdict: Verdict, words: &mut Words<'_>) -> Result<Decide, ArgumentFault> {
    let run = run_id(words)?;
    let reason = words.take_rest().unwrap_or_default();
    let reason: String = reason.trim().chars().take(TEXT_CHARS_MAX).collect();
    if verdict == Verdict::Rejected && reason.is_empty() {
        return Err(ArgumentFault::Missing { name: "reason".to_owned() });
    }
    Ok(Decide { verdict, run, digest: None, reason })
}

/// Decides, if it counts.
pub async fn run(
    decide: Decide,
    context: &Context<'_>,
    by: &Authorized,
    asked: Asked,
) -> Result<String, Error> {
    let Some(view) = context.engine.view(&decide.run).await? else {
        return no_such_run(&decide.run, context, asked).await;
    };
    if decide.verdict == Verdict::Approved
        && let Some((why, card)) = drifted(&view, context).await?
    {
        let detail = json!({"text": asked.text, "verdict": "approved", "why": why});
        return answer_with(context, asked, "decision.refused", detail, &card).await;
    }
    if decide.verdict == Verdict::Approved
        && let Some(card) = frozen(&view, context)
    {
        let detail = json!({"text": asked.text, "verdict": "approved", "why": "frozen"});
        return answer_with(context, asked, "decision.refused", detail, &card).await;
    }
    let (lang, verdict) = (context.lang, decide.verdict);
    let now_ms = context.engine.clock().now_ms();
    let is_form = asked.origin == reason_form::ORIGIN;
    let answer = Box::new(move |ruling: Result<Ruling, Refused>, view: &RunView| match ruling {
        // A form that is done with closes; the card tells the rest.
        Ok(_) if is_form => String::new(),
        Ok(ruling) => ephemeral(&counted((ruling, verdict), view, lang, now_ms)),
        Err(refused) => ephemeral(&not_counted(refused, verdict, view, lang)),
    });
    let Decide { run, digest, reason, .. } = decide;
    context.engine.decide(asked, by, &run, Decided { verdict, digest, reason, answer }).await
}

/// A plan that would not do any more what was shown is not approved. Where its files are on another
/// host, the bot there asks before the first step.
async fn drifted(
    view: &RunView,
    context: &Context<'_>,
) -> Result<Option<(&'static str, Card)>, Error> {
    let is_here = view.plan.host.as_deref().is_none_or(|host| host == context.engine.host());
    if view.state != State::Waiting || !is_here {
        return Ok(None);
    }
    let (drift, words) =
        match unchanged::changed(&view.plan, context.runbook, context.engine).await? {
            Some(words) => (None, words),
            None => match drift(&view.plan).await {
                Some(drift) => {
                    let words = drift.text();
                    (Some(drift), words)
                }
                None => return Ok(None),
            },
        };
    tracing::info!(run.id = %view.id, "{} was not approved: {}", view.id, words.en);
    let lang = context.lang;
    let mut line = about(view, lang);
    line.extend(with_code(words.get(lang)));
    let (why, advice) = match drift {
        Some(Drift::Unreadable { .. }) => (
            "plan_unreadable",
            lang.pick(
                "，所以没有批准。请稍后再试；一直这样的话，请联系维护机器人的人。",
                ", so it was not approved. Try again in a moment; if it goes on, tell whoever looks \
                 after this bot.",
            ),
        ),
        _ => (
            "plan_changed",
            lang.pick(
                "。您看到的计划已经不成立，所以没有批准。请拒绝它，再重新发起。",
                ". What you were shown does not hold any more, so it was not approved. Reject it, and \
                 have it asked again.",
            ),
        ),
    };
    line.push(text(advice));
    Ok(Some((why, refusal(line))))
}

/// A run that a freeze would end at its turn is not approved.
fn frozen(view: &RunView, context: &Context<'_>) -> Option<Card> {
    let (lang, now_ms) = (context.lang, context.engine.clock().now_ms());
    let refused = freeze_card::not_approved(&view.plan, lang, now_ms);
    let mut line = about(view, lang);
    line.extend(refused.filter(|_| view.state == State::Waiting)?);
    Some(refusal(line))
}

/// What would come of the asker's decision about a run as it stands.
///
/// # Errors
/// [`Refused`].
pub(super) fn foretold(
    view: &RunView,
    (verdict, digest): (Verdict, Option<&str>),
    context: &Context<'_>,
    by: &Authorized,
) -> Result<Ruling, Refused> {
    let standing = Standing {
        plan: &view.plan,
        state: view.state,
        asker: &view.actor,
        decisions: &view.decisions,
        expires_ms: view.expires_ms,
    };
    let now_ms = context.engine.clock().now_ms();
    rule(
        &standing,
        &Vote {
            by: by.user(),
            roles: by.roles(),
            on_behalf: by.on_behalf(),
            verdict,
            digest,
            now_ms,
        },
    )
}

fn about(view: &RunView, lang: Lang) -> Line {
    let colon = lang.pick("：", ": ");
    vec![
        Span::Code(view.id.to_string()),
        text(format!(" {} → {}{colon}", view.plan.title(), view.plan.environment)),
    ]
}

fn counted((ruling, verdict): (Ruling, Verdict), view: &RunView, lang: Lang, now_ms: i64) -> Card {
    let words = match (ruling, verdict) {
        (Ruling::Counted { have, need }, _) => match lang {
            Lang::Zh => format!("✅ 已记下您的批准（{have}/{need}），还需要 {} 人。", need - have),
            Lang::En => {
                format!("✅ your approval counts ({have} of {need}); {} more needed.", need - have)
            }
        },
        (Ruling::Enough, _) if gate::open(view, now_ms) != [Gate::Approval] => lang
            .pick(
                "✅ 已批准；还在等其他关卡，见卡片。",
                "✅ approved by you; it still waits for its other gates, as its card says.",
            )
            .to_owned(),
        (Ruling::Enough, _) => lang
            .pick("✅ 已批准，开始排队执行。", "✅ approved by you; it is queued now.")
            .to_owned(),
        (Ruling::Ends, Verdict::Rejected) => {
            lang.pick("⛔ 已拒绝，不会执行。", "⛔ rejected by you; nothing is done.").to_owned()
        }
        (Ruling::Ends, _) => lang
            .pick("🛑 已取消，没有开始执行。", "🛑 cancelled by you; nothing was begun.")
            .to_owned(),
        (Ruling::Stops, _) => lang
            .pick(
                "🛑 正在停止，进展见卡片。",
                "🛑 it is being stopped; its card shows how far that is.",
            )
            .to_owned(),
    };
    let mut line = about(view, lang);
    line.push(text(words));
    Card { tone: Tone::Neutral, ..refusal(line) }
}

pub(super) fn not_counted(refused: Refused, verdict: Verdict, view: &RunView, lang: Lang) -> Card {
    let mut line = about(view, lang);
    line.extend(with_code(refused.text(verdict, view.expires_ms).get(lang)));
    refusal(line)
}
