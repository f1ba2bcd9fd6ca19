//! `review <run> <note…>`: what somebody found about an emergency that was done without its gates.

use super::show::{no_such_run, run_id};
use super::{Context, Spec, ephemeral, reason_form, refusal, text, with_code};
use crate::core::card::{Card, Span, Tone};
use crate::core::emergency::Refused;
use crate::core::id::RunId;
use crate::core::param::{ArgumentFault, TEXT_CHARS_MAX};
use crate::core::policy::Authorized;
use crate::core::run_card::RunView;
use crate::core::text::Lang;
use crate::core::words::Words;
use crate::engine::{Asked, Error, Reviewed};

/// How it is asked for.
pub const SPEC: Spec = Spec {
    name: "review",
    usage: "<run> <note…>",
    example: "review R-7K3QZD5A the rollback was right; the alert came late",
    zh: "复核一次紧急操作（未经审批的执行）",
    en: "Review an emergency: a run that was done without its approval",
};

/// What somebody found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Review {
    /// About which run.
    pub run: RunId,
    /// The digest of the plan that was shown; `None`: typed, and means the run's own.
    pub digest: Option<String>,
    /// What they write.
    pub note: String,
}

/// Reads the words after the verb.
pub fn parse(words: &mut Words<'_>) -> Result<Review, ArgumentFault> {
    let run = run_id(words)?;
    let note = words.take_rest().unwrap_or_default();
    let note: String = note.trim().chars().take(TEXT_CHARS_MAX).collect();
    if note.is_empty() {
        return Err(ArgumentFault::Missing { name: "note".to_owned() });
    }
    Ok(Review { run, digest: None, note })
}

/// Writes the review, if it counts.
pub async fn run(
    review: Review,
    context: &Context<'_>,
    by: &Authorized,
    asked: Asked,
) -> Result<String, Error> {
    if context.engine.view(&review.run).await?.is_none() {
        return no_such_run(&review.run, context, asked).await;
    }
    let lang = context.lang;
    let is_form = asked.origin == reason_form::ORIGIN;
    let answer = Box::new(move |ruling: Result<(), Refused>, view: &RunView| match ruling {
        // A form that is done with closes; the card tells the rest.
        Ok(()) if is_form => String::new(),
        Ok(()) => ephemeral(&counted(view, lang)),
        Err(refused) => ephemeral(&not_counted(refused, view, lang)),
    });
    let Review { run, digest, note } = review;
    context.engine.review(asked, by, &run, Reviewed { digest, note, answer }).await
}

fn counted(view: &RunView, lang: Lang) -> Card {
    let words =
        lang.pick(" 已复核，不再提醒。", " is reviewed; nobody is reminded of it any more.");
    let line = vec![text("🔎 "), Span::Code(view.id.to_string()), text(words)];
    Card { tone: Tone::Neutral, ..refusal(line) }
}

/// Why a review does not count.
pub(super) fn not_counted(refused: Refused, view: &RunView, lang: Lang) -> Card {
    let mut line = vec![Span::Code(view.id.to_string()), text(" ")];
    line.extend(with_code(refused.text(view).get(lang)));
    refusal(line)
}
