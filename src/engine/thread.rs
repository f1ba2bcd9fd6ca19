//! What a run says in its channel: its card, and the replies in its thread.

use super::Error;
use crate::core::card::Card;
use crate::core::id::RunId;
use crate::core::run::StepState;
use crate::core::run_card::{self, RunView};
use crate::store::outbox::Slot;
use crate::store::{self, Unit};

/// The first messages of a run's thread and its card go before other replies.
pub(super) const PRIORITY_CARD: i64 = 20;
/// What a run says in its thread.
pub(super) const PRIORITY_THREAD: i64 = 10;

/// The card in its latest state, the step's output and, at the end, the closing words.
pub(super) async fn put_messages(
    unit: &mut Unit,
    view: &RunView,
    output: &[Card],
    (position, attempts): (usize, i64),
) -> Result<(), Error> {
    let lang = view.plan.language;
    let is_checklist = view.plan.checks.is_some();
    if !is_checklist {
        put_card(unit, view).await?;
    }
    // What was found in order is told by the waiting run's card alone.
    let state = view.steps.get(position).map(|step| step.state);
    let output = if is_checklist && state == Some(StepState::Ok) { &[] } else { output };
    for (index, card) in output.iter().enumerate() {
        let key = output_key(&view.id, position, attempts, index);
        put_slot(unit, view, key, PRIORITY_THREAD, card).await?;
    }
    if let Some(card) = run_card::closing_card(view, lang).filter(|_| !is_checklist) {
        let key = if view.state.is_final() {
            format!("{}/end", view.id)
        } else {
            format!("{}/{}.{position}.{attempts}", view.id, view.state.as_str())
        };
        put_slot(unit, view, key, PRIORITY_THREAD, &card).await?;
    }
    Ok(())
}

/// The card in its latest state.
pub(super) async fn put_card(unit: &mut Unit, view: &RunView) -> Result<(), Error> {
    let card = run_card::card(view, view.plan.language, unit.now_ms());
    put_slot(unit, view, card_key(&view.id), PRIORITY_CARD, &card).await
}

/// The outbox key of a message of a step's output.
pub(super) fn output_key(
    run: &RunId,
    position: impl std::fmt::Display,
    attempts: i64,
    index: usize,
) -> String {
    format!("{run}/{position}.{attempts}.{index}")
}

/// The outbox key of a run's card.
pub fn card_key(run: &RunId) -> String {
    format!("{run}/card")
}

pub(super) async fn put_slot(
    unit: &mut Unit,
    view: &RunView,
    key: String,
    priority: i64,
    card: &Card,
) -> Result<(), Error> {
    // The checks of a waiting run have no card of their own.
    let root = card_key(view.plan.checks.as_ref().unwrap_or(&view.id));
    let slot = Slot {
        parent: if key == root { String::new() } else { root },
        key,
        channel: view.plan.channel.to_string(),
        priority,
        run_id: view.id.to_string(),
        body: serde_json::to_string(card).unwrap_or_default(),
    };
    let now_ms = unit.now_ms();
    store::outbox::put(unit.connection(), &slot, now_ms).await?;
    Ok(())
}
