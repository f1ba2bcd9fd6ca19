//! The gates of a run that waits: asked whenever one of them may have opened. What opens by itself, and not
//! by a press, is looked for.

use super::{Engine, Error, Facts, apply_in, view};
use crate::core::gate;
use crate::core::id::RunId;
use crate::core::run::{Event, State};
use crate::core::run_card::RunView;
use crate::store::{Unit, checks, runs};

/// Runs that are asked about in one look.
const LOOKED_AT_MAX: i64 = 500;

impl Engine {
    /// Queues the runs whose last gate has opened by itself; how many.
    ///
    /// # Errors
    /// The database's; those before the failure are queued.
    pub async fn open_gates(&self) -> Result<u64, Error> {
        let mut reader = self.store.read().await?;
        let found = runs::waiting_for_nobody(&mut reader, LOOKED_AT_MAX).await?;
        let unseen = checks::unseen(&mut reader, LOOKED_AT_MAX).await?;
        let mut due: Vec<RunId> = unseen.into_iter().map(RunId::new).collect();
        for id in found {
            let run = RunId::new(id);
            let row = view::row(&mut reader, &run).await?;
            if gate::open(&view::with_parts(&mut reader, row).await?).is_empty() {
                due.push(run);
            }
        }
        drop(reader);
        let mut queued = 0;
        for run in due {
            let is_queued = self
                .patiently(|| {
                    let run = run.clone();
                    self.store.unit(move |unit| Box::pin(async move { look_in(unit, &run).await }))
                })
                .await?;
            queued += u64::from(is_queued);
        }
        if queued > 0 {
            self.work.notify_one();
            self.mail.notify_one();
        }
        Ok(queued)
    }
}

impl Engine {
    /// Tells a waiting run that its checks have gone on. A failure is logged: whoever looks for opened gates
    /// does it again.
    pub(super) async fn tell_of_checks(&self, waiting: &RunId) {
        let told = self
            .patiently(|| {
                let run = waiting.clone();
                self.store.unit(move |unit| Box::pin(async move { look_in(unit, &run).await }))
            })
            .await;
        match told {
            Ok(true) => self.work.notify_one(),
            Ok(false) => {}
            Err(error) => {
                tracing::warn!(run.id = %waiting, "tell {waiting} of its checks: {error}");
            }
        }
        self.mail.notify_one();
    }
}

/// Whether it is queued now: somebody may have decided while this one waited for the row.
async fn look_in(unit: &mut Unit, run: &RunId) -> Result<bool, Error> {
    runs::hold_whoever_drives(unit.connection(), run.as_str()).await?;
    let row = view::row(unit.connection(), run).await?;
    if row.state != State::Waiting.as_str() {
        return Ok(false);
    }
    let after = ask(unit, run, Facts::default()).await?;
    Ok(after.state == State::Queued)
}

/// Asks every gate of a run that waits and whose row is held: it is queued if none is open, and its card
/// says how it stands.
pub(super) async fn ask(unit: &mut Unit, run: &RunId, facts: Facts) -> Result<RunView, Error> {
    let row = view::row(unit.connection(), run).await?;
    let standing = view::with_parts(unit.connection(), row).await?;
    if let Some(checks) = &standing.checklist.checks {
        let seen = (checks.run.as_str(), checks.state.as_str());
        checks::put_seen(unit.connection(), run.as_str(), seen).await?;
    }
    let is_open = gate::open(&standing).is_empty();
    let events: &[Event] = if is_open { &[Event::GatesPassed] } else { &[] };
    apply_in(unit, run, events, facts).await
}
