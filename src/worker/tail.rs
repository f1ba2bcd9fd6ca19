//! The last lines of a running step, in the thread, as one message that is edited in place.
//!
//! It only writes down what is to be seen: the outbox brings it to Slack when Slack takes it, always
//! the latest state, so that neither a slow Slack nor a talkative step holds anybody up. The step's
//! final output takes the message over.

use super::output;
use crate::clock::Clock;
use crate::core::run_card::RunView;
use crate::engine::{Driven, Engine};
use crate::exec::local::Local;
use crate::store::runs::StepRow;
use std::path::Path;

/// At most one edit in this time, however much a step prints.
const EDIT_MS: i64 = 3_000;
/// Of the log's end, how much is looked at.
const READ_BYTES_MAX: usize = 8 * 1024;

/// Shows a step's last lines while it runs; never ends by itself. `step` is how people call it.
pub async fn show(
    engine: &Engine,
    local: &Local,
    (driven, view): (&Driven, &RunView),
    (row, step): (&StepRow, &str),
) {
    if view.plan.checks.is_some() {
        // The waiting run's card tells what is being checked.
        return std::future::pending().await;
    }
    loop {
        next_look(engine.clock(), row.started_ms).await;
        let lines = match local.shown_last(Path::new(&row.directory), READ_BYTES_MAX).await {
            Ok(bytes) => output::text(&bytes),
            Err(error) => {
                tracing::warn!(run.id = %view.id, "read the output of {}: {error:#}", view.id);
                continue;
            }
        };
        let Some(card) = output::live_card(step, &lines, view.plan.language) else { continue };
        let at = (row.position, row.attempts);
        if let Err(error) = engine.show_output(driven, view, at, &card).await {
            // The end is written all the same, or by whoever drives the run now.
            tracing::info!(run.id = %view.id, "show the output of {}: {error:#}", view.id);
        }
    }
}

/// Looks come at whole multiples of the time since the step began, so that a driver that looks at the
/// evidence in between, or takes the run over, edits no more often.
async fn next_look(clock: &Clock, started_ms: i64) {
    let passed_ms = clock.now_ms().saturating_sub(started_ms).max(0);
    let looks = passed_ms / EDIT_MS + 1;
    clock.sleep_until(started_ms.saturating_add(looks * EDIT_MS)).await;
}
