//! Hosts that cannot be asked: said at once, a step's outcome counted as unknown after a grace, and put
//! right when its evidence appears. Nothing is run anywhere else meanwhile.

use super::{
    Driven, Engine, Error, Facts, PRIORITY_THREAD, apply_in, bot_entry, hold, put_slot, view,
};
use crate::core::card::Card;
use crate::core::evidence::{End, Evidence};
use crate::core::host_card;
use crate::core::id::RunId;
use crate::core::run::{Event, State, StepState};
use crate::store::Unit;
use crate::store::runs;
use serde_json::json;

/// How long after its lease a run's host is said to be out of reach.
pub const UNREACHABLE_AFTER_MS: i64 = 30_000;
/// How long it may be out of reach before the outcome of its step counts as unknown.
pub const UNKNOWN_AFTER_MS: i64 = 10 * 60_000;
/// Runs looked at in one pass; the next goes on.
const RUNS_MAX: i64 = 50;

impl Engine {
    /// Says of every run of another host that nobody drives that its host cannot be asked; and counts as unknown what has been so for too long. How many runs it changed.
    ///
    /// # Errors
    /// The database's.
    pub async fn watch_hosts(&self) -> Result<usize, Error> {
        let now_ms = self.clock().now_ms();
        let mut reader = self.store.read().await?;
        let before_ms = now_ms - UNREACHABLE_AFTER_MS;
        let silent = runs::silent(&mut reader, self.host(), before_ms, RUNS_MAX).await?;
        let long = runs::long_unreachable(&mut reader, now_ms - UNKNOWN_AFTER_MS, RUNS_MAX).await?;
        drop(reader);
        let mut changed = 0;
        for run in silent {
            let run = RunId::new(run);
            let unit = self
                .store
                .unit(move |unit| Box::pin(async move { say_unreachable(unit, &run).await }));
            changed += usize::from(unit.await?);
        }
        for run in long {
            let run = RunId::new(run);
            let unit =
                self.store.unit(move |unit| Box::pin(async move { give_up(unit, &run).await }));
            changed += usize::from(unit.await?);
        }
        if changed > 0 {
            self.mail.notify_one();
        }
        Ok(changed)
    }

    /// Writes what the evidence of a step says now that its host is back, where people have decided
    /// already or where it does not say how the step ended. Nothing else changes.
    ///
    /// # Errors
    /// [`Error::Fenced`]: stop driving.
    pub async fn amend(
        &self,
        driven: &Driven,
        position: usize,
        evidence: Evidence,
    ) -> Result<(), Error> {
        self.patiently(|| {
            let (driven, evidence) = (driven.clone(), evidence.clone());
            let lease_ms = self.identity.lease_ms;
            self.store.unit(move |unit| {
                Box::pin(async move {
                    hold(unit, &driven, lease_ms).await?;
                    amend_in(unit, &driven.run, position, &evidence).await
                })
            })
        })
        .await?;
        self.mail.notify_one();
        Ok(())
    }
}

/// A run that its own host has claimed is in reach again. One that is not running stays marked until
/// its evidence is read: a bot that dies before that must find it again.
pub(super) async fn heard_of(unit: &mut Unit, run: &RunId) -> Result<(), Error> {
    let row = view::row(unit.connection(), run).await?;
    if row.unreachable_ms > 0 && row.state == State::Running.as_str() {
        runs::set_unreachable(unit.connection(), run.as_str(), 0).await?;
        let detail = json!({"host": row.host, "since_ms": row.unreachable_ms});
        unit.journal(bot_entry(unit.now_ms(), "host.reachable", run.as_str(), detail));
        apply_in(unit, run, &[], Facts::default()).await?;
    }
    Ok(())
}

/// Whether it is: its driver may have been heard of while this one waited for the row.
async fn say_unreachable(unit: &mut Unit, run: &RunId) -> Result<bool, Error> {
    runs::hold_whoever_drives(unit.connection(), run.as_str()).await?;
    let now_ms = unit.now_ms();
    let row = view::row(unit.connection(), run).await?;
    let is_silent = row.state == State::Running.as_str()
        && row.unreachable_ms == 0
        && row.lease_until_ms <= now_ms - UNREACHABLE_AFTER_MS;
    if !is_silent {
        return Ok(false);
    }
    // A lease that its owner ended itself says nothing of when it was last heard of.
    let since_ms = if row.lease_until_ms > 0 { row.lease_until_ms } else { now_ms };
    runs::set_unreachable(unit.connection(), run.as_str(), since_ms).await?;
    let detail = json!({"host": row.host, "owner": row.owner, "since_ms": since_ms});
    unit.journal(bot_entry(now_ms, "host.unreachable", run.as_str(), detail));
    let view = apply_in(unit, run, &[], Facts::default()).await?;
    if let Some(card) = host_card::unreachable_card(&view, view.plan.language) {
        let key = format!("{run}/unreachable.{since_ms}");
        put_slot(unit, &view, key, PRIORITY_THREAD, &card).await?;
    }
    Ok(true)
}

/// The step's outcome counts as unknown, and its driver is shut out until it has asked for the run
/// again. A step that never began is in no doubt: the run waits on for its host.
async fn give_up(unit: &mut Unit, run: &RunId) -> Result<bool, Error> {
    runs::hold_whoever_drives(unit.connection(), run.as_str()).await?;
    let row = view::row(unit.connection(), run).await?;
    let is_due = row.state == State::Running.as_str()
        && row.unreachable_ms > 0
        && row.unreachable_ms <= unit.now_ms() - UNKNOWN_AFTER_MS;
    if !is_due {
        return Ok(false);
    }
    let standing = view::with_parts(unit.connection(), row.clone()).await?;
    let at = usize::try_from(row.position).unwrap_or(usize::MAX);
    let events: &[Event] = match standing.steps.get(at).map(|step| step.state) {
        Some(StepState::Starting) => &[Event::Started, Event::StepLost],
        Some(StepState::Running) => &[Event::StepLost],
        _ => return Ok(false),
    };
    runs::fence_off(unit.connection(), run.as_str()).await?;
    let end = End::Unreachable { host: row.host };
    let facts = Facts { evidence: Some(Evidence::of(end)), ..Facts::default() };
    apply_in(unit, run, events, facts).await?;
    Ok(true)
}

async fn amend_in(
    unit: &mut Unit,
    run: &RunId,
    position: usize,
    evidence: &Evidence,
) -> Result<(), Error> {
    let steps = runs::steps_of(unit.connection(), run.as_str()).await?;
    let Some(mut step) = steps.into_iter().nth(position) else {
        return Err(view::corrupt(run, "its steps"));
    };
    step.evidence = serde_json::to_string(evidence).unwrap_or_default();
    runs::put_step(unit.connection(), run.as_str(), &step).await?;
    let now_ms = unit.now_ms();
    let detail = json!({
        "step": position + 1, "step_state": step.state, "attempt": step.attempt,
        "evidence": evidence,
    });
    unit.journal(bot_entry(now_ms, "step.amended", run.as_str(), detail));
    let row = view::row(unit.connection(), run).await?;
    let view = view::with_parts(unit.connection(), row).await?;
    let card: Card = host_card::amended_card(&view, position, Some(evidence), view.plan.language);
    let key = format!("{run}/amended.{position}.{}", step.attempts);
    put_slot(unit, &view, key, PRIORITY_THREAD, &card).await?;
    super::put_card(unit, &view).await
}
