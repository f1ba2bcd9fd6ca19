//! The gates of a run that waits: asked whenever one of them may have opened. What opens by itself, and not
//! by a press, is looked for.

use super::checks::check_anew;
use super::queue::set_aside;
use super::{Driven, Engine, Error, Facts, PRIORITY_THREAD, apply_in, hold, put_slot, view};
use crate::core::freeze;
use crate::core::freeze_card;
use crate::core::gate::{self, Gate};
use crate::core::id::{RunId, UserId};
use crate::core::run::{Event, State};
use crate::core::run_card::RunView;
use crate::store::{Unit, checks, queue, runs};
use serde_json::json;
use std::sync::Arc;

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
            // A frozen run is looked at for as long as its freeze lasts: its plan alone tells.
            let now_ms = self.clock().now_ms();
            if !freeze::waited_for(&view::plan(&run, &row)?.freezes, now_ms).is_empty() {
                continue;
            }
            if gate::open(&view::with_parts(&mut reader, row).await?, now_ms).is_empty() {
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

    /// Sends a run back to wait at its turn, before its first step; it gives its environment back.
    ///
    /// # Errors
    /// [`Error::Fenced`]: stop driving. [`Error::Illegal`]: a step has begun.
    pub async fn send_back(&self, driven: &Driven, why: Back) -> Result<(), Error> {
        let metric = why.metric();
        let why = Arc::new(why);
        self.patiently(|| {
            let (driven, why) = (driven.clone(), Arc::clone(&why));
            let lease_ms = self.identity.lease_ms;
            self.store.unit(move |unit| {
                Box::pin(async move {
                    hold(unit, &driven, lease_ms).await?;
                    match &*why {
                        Back::NotApproved(who) => set_aside(unit, &driven.run, who).await,
                        Back::Unchecked => check_anew(unit, &driven.run).await,
                        Back::Frozen => freeze_in(unit, &driven.run).await,
                    }
                })
            })
        })
        .await?;
        self.metrics.run_event(metric);
        self.mail.notify_one();
        self.work.notify_one();
        Ok(())
    }
}

/// Why a run whose turn has come waits once more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Back {
    /// These people's approvals hold no more, and are set aside.
    NotApproved(Vec<UserId>),
    /// What was found of its checklist is too old: that is checked and ticked off anew, what is younger stands,
    /// and so do its approvals.
    Unchecked,
    /// A freeze is in force: it waits for the end, and its approvals stand.
    Frozen,
}

impl Back {
    fn metric(&self) -> &'static str {
        match self {
            Self::NotApproved(_) | Self::Unchecked => "run.gate_voided",
            Self::Frozen => "run.frozen",
        }
    }
}

async fn freeze_in(unit: &mut Unit, run: &RunId) -> Result<(), Error> {
    let now_ms = unit.now_ms();
    let row = view::row(unit.connection(), run).await?;
    let plan = view::plan(run, &row)?;
    let names: Vec<&str> = freeze::waited_for(&plan.freezes, now_ms)
        .into_iter()
        .map(|freeze| freeze.name.as_str())
        .collect();
    let ends_ms = freeze::wait_ends_ms(&plan.freezes, now_ms).unwrap_or(0);
    // It waits for nobody: what it was approved for stands.
    let host = plan.host.as_deref().unwrap_or_default();
    queue::wait_again(unit.connection(), run.as_str(), (0, host)).await?;
    let detail = json!({"freezes": names, "ends_ms": ends_ms});
    let facts = Facts { detail, ..Facts::default() };
    let after = apply_in(unit, run, &[Event::Frozen], facts).await?;
    let card = freeze_card::frozen_card(&after, after.plan.language, now_ms);
    put_slot(unit, &after, format!("{run}/frozen.{ends_ms}"), PRIORITY_THREAD, &card).await
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
    // One that waited for people, or for its checks, did not wait for a freeze alone.
    let was_frozen = row.expires_ms == 0;
    let after = ask(unit, run, Facts::default()).await?;
    let is_queued = after.state == State::Queued;
    if is_queued && was_frozen && !after.plan.freezes.is_empty() {
        let card = freeze_card::over_card(&after, after.plan.language);
        let key = format!("{run}/thawed.{}", unit.now_ms());
        put_slot(unit, &after, key, PRIORITY_THREAD, &card).await?;
    }
    Ok(is_queued)
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
    let open = gate::open(&standing, unit.now_ms());
    if open == [Gate::Freeze] && standing.expires_ms > 0 {
        // Nobody is asked any more, so nobody can be too late.
        runs::wait_for_nobody(unit.connection(), run.as_str()).await?;
    }
    let events: &[Event] = if open.is_empty() { &[Event::GatesPassed] } else { &[] };
    apply_in(unit, run, events, facts).await
}
