//! What a driver does to its runs: taken from the queue or from a driver that is gone, held, and moved
//! from state to state by events.
//!
//! Each event is one unit: the states of the run and its step, the lock, the card and the thread, and the
//! journal. A driver whose fence is old is refused before anything is written.

use super::thread::put_messages;
use super::{
    Engine, Error, Identity, LEASE_PARTS, bot_entry, checks, follow_up, hosts, queue, releases,
    results, reviews, view,
};
use crate::clock::Millis;
use crate::core::card::Card;
use crate::core::evidence::Evidence;
use crate::core::id::{AttemptId, RunId};
use crate::core::journal::Entry;
use crate::core::run::{Event, Progress, State, StepState};
use crate::core::run_card::RunView;
use crate::store::runs::{self, Claim, LockRow, RunChange, RunRow, StepRow};
use crate::store::{self, Unit};
use crate::vitals::Part;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::sync::Arc;

/// A driver prolongs its lease where no more than so many of its parts are left.
const LEASE_KEPT: i64 = 3;
/// Runs that are claimed in one unit.
const CLAIMS_MAX: usize = 16;

/// A run that this bot drives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Driven {
    /// Which.
    pub run: RunId,
    /// The number that goes with every write.
    pub fence: i64,
}

/// A driven run as its driver finds it.
#[derive(Debug, Clone)]
pub struct Attended {
    /// The run.
    pub view: RunView,
    /// Its steps as they are stored: attempts, directories.
    pub steps: Vec<StepRow>,
}

/// What an event says about the step at the run's position.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// With [`Event::Starting`]: the new attempt and where its evidence will be.
    pub attempt: Option<(AttemptId, PathBuf)>,
    /// How the attempt ended.
    pub evidence: Option<Evidence>,
    /// With [`Event::Retrying`]: when the next attempt is due.
    pub due_ms: Millis,
    /// The last of its output, redacted.
    pub tail: String,
    /// Its output as messages for the thread.
    pub output: Vec<Card>,
    /// Who decided, when it was a person; the bot otherwise.
    pub actor: Option<(String, String)>,
    /// More for the journal.
    pub detail: Value,
}

impl Engine {
    /// Takes runs to drive, at most `most`: those whose driver is gone, then the oldest whose turn it
    /// is. None begins while the disk of the data folder is low; those that have begun go on. With
    /// none, there is no more to take at this moment.
    ///
    /// # Errors
    /// The database's; [`Error::Fenced`] when another bot was quicker, which is no fault.
    pub async fn claim(&self, most: usize) -> Result<Vec<Driven>, Error> {
        match self.claim_together(most.min(CLAIMS_MAX)).await {
            // One run that cannot be taken must not keep the others from it.
            Err(failure) if !matches!(failure, Error::Store(_)) => self.claim_together(1).await,
            claimed => claimed,
        }
    }

    async fn claim_together(&self, most: usize) -> Result<Vec<Driven>, Error> {
        let identity = Arc::clone(&self.identity);
        let now_ms = self.clock().now_ms();
        let claim = Claim {
            owner: &identity.owner,
            host: &identity.host,
            now_ms,
            lease_until_ms: now_ms + identity.lease_ms,
        };
        let mut reader = self.store.read().await?;
        if !runs::is_work_due(&mut reader, claim).await? {
            return Ok(Vec::new());
        }
        drop(reader);
        let identity = Arc::clone(&self.identity);
        let may_begin = self.vitals.is_good(Part::Disk);
        let claimed = self
            .store
            .unit(move |unit| {
                Box::pin(async move {
                    let mut claimed = Vec::new();
                    while claimed.len() < most {
                        match claim_in(unit, &identity, may_begin).await? {
                            Some(driven) => claimed.push(driven),
                            None => break,
                        }
                    }
                    Ok::<_, Error>(claimed)
                })
            })
            .await?;
        if !claimed.is_empty() {
            self.mail.notify_one();
        }
        Ok(claimed)
    }

    /// A driven run as it stands. Its lease is prolonged where less of it is left than the driver may
    /// wait; every write of the driver has prolonged it already.
    ///
    /// # Errors
    /// [`Error::Fenced`]: stop driving. Others: try again before the lease ends.
    pub async fn attend(&self, driven: &Driven) -> Result<Attended, Error> {
        let mut reader = self.store.read().await?;
        let row = view::row(&mut reader, &driven.run).await?;
        if row.fence != driven.fence {
            return Err(Error::Fenced(driven.run.clone()));
        }
        let kept_ms = self.identity.lease_ms * LEASE_KEPT / LEASE_PARTS;
        let is_due = row.lease_until_ms <= self.clock().now_ms() + kept_ms;
        let steps = runs::steps_of(&mut reader, driven.run.as_str()).await?;
        let view = view::with_steps(&mut reader, row, &steps).await?;
        drop(reader);
        if is_due && (view.state == State::Running || view.unreachable_ms > 0) {
            self.renew(driven).await?;
        }
        Ok(Attended { view, steps })
    }

    async fn renew(&self, driven: &Driven) -> Result<(), Error> {
        self.patiently(|| {
            let driven = driven.clone();
            let lease_ms = self.identity.lease_ms;
            self.store.unit(move |unit| {
                Box::pin(async move {
                    let until = unit.now_ms() + lease_ms;
                    let id = driven.run.as_str();
                    if runs::renew(unit.connection(), id, driven.fence, until).await? {
                        Ok(())
                    } else {
                        Err(Error::Fenced(driven.run))
                    }
                })
            })
        })
        .await
    }

    /// Writes what happened to a driven run.
    ///
    /// # Errors
    /// [`Error::Fenced`]: stop driving. [`Error::Illegal`]: a fault of the driver.
    pub async fn apply(
        &self,
        driven: &Driven,
        events: &[Event],
        facts: Facts,
    ) -> Result<RunView, Error> {
        let view = self
            .patiently(|| {
                let (driven, facts) = (driven.clone(), facts.clone());
                let happened = events.to_vec();
                let lease_ms = self.identity.lease_ms;
                self.store.unit(move |unit| {
                    Box::pin(async move {
                        hold(unit, &driven, lease_ms).await?;
                        apply_in(unit, &driven.run, &happened, facts).await
                    })
                })
            })
            .await?;
        for event in events {
            self.metrics.run_event(event_kind(*event));
        }
        self.mail.notify_one();
        if view.state != State::Running {
            self.work.notify_one();
        }
        if let Some(waiting) = &view.plan.checks {
            self.tell_of_checks(waiting).await;
        }
        Ok(view)
    }
}

async fn claim_in(
    unit: &mut Unit,
    identity: &Identity,
    may_begin: bool,
) -> Result<Option<Driven>, Error> {
    let now_ms = unit.now_ms();
    let claim = Claim {
        owner: &identity.owner,
        host: &identity.host,
        now_ms,
        lease_until_ms: now_ms + identity.lease_ms,
    };
    if let Some((id, fence)) = runs::claim_abandoned(unit.connection(), claim).await? {
        let detail = json!({"fence": fence, "owner": identity.owner});
        unit.journal(bot_entry(now_ms, "run.resumed", &id, detail));
        let run = RunId::new(id);
        hosts::heard_of(unit, &run).await?;
        return Ok(Some(Driven { run, fence }));
    }
    if !may_begin {
        return Ok(None);
    }
    let Some((id, fence)) = runs::claim_queued(unit.connection(), claim).await? else {
        return Ok(None);
    };
    let run = RunId::new(id);
    let row = view::row(unit.connection(), &run).await?;
    if row.holds_lock {
        let lock =
            LockRow { environment: row.environment, run_id: run.to_string(), taken_ms: now_ms };
        if !runs::take_lock(unit.connection(), &lock, fence).await? {
            return Err(Error::Fenced(run));
        }
    }
    let detail = json!({"fence": fence, "owner": identity.owner});
    let facts = Facts { detail, ..Facts::default() };
    let claimed = apply_in(unit, &run, &[Event::Claimed], facts).await?;
    queue::its_turn(unit, &claimed).await?;
    Ok(Some(Driven { run, fence }))
}

/// Takes the row of a driven run, and proves that nobody else drives it.
pub(super) async fn hold(unit: &mut Unit, driven: &Driven, lease_ms: i64) -> Result<(), Error> {
    let until_ms = unit.now_ms() + lease_ms;
    let id = driven.run.as_str();
    if runs::hold(unit.connection(), id, driven.fence, until_ms).await? {
        Ok(())
    } else {
        Err(Error::Fenced(driven.run.clone()))
    }
}

/// One event after the other on a run whose row is held: state, step, lock, card, thread, journal.
pub(super) async fn apply_in(
    unit: &mut Unit,
    run: &RunId,
    events: &[Event],
    mut facts: Facts,
) -> Result<RunView, Error> {
    let now_ms = unit.now_ms();
    let row = view::row(unit.connection(), run).await?;
    let mut steps = runs::steps_of(unit.connection(), run.as_str()).await?;
    let before = view::progress(run, &row, &view::plan(run, &row)?, &steps)?;
    let mut progress = before.clone();
    for event in events {
        progress = progress.after(*event)?;
    }
    let is_taken_over = row.holds_lock
        && !events.is_empty()
        && store::queue::takeover_of(unit.connection(), run.as_str()).await?.is_some();
    if is_taken_over {
        progress = queue::wind_up(progress)?;
    }
    let position = before.position;
    results::keep(unit, &row, position, &mut facts).await?;
    if let Some(step) = steps.get_mut(position) {
        change_step(step, events, &facts, now_ms);
    }
    for (index, step) in steps.iter_mut().enumerate() {
        let changed = before.steps.get(index) != progress.steps.get(index) || index == position;
        if let Some(state) = progress.steps.get(index) {
            state.as_str().clone_into(&mut step.state);
            if is_taken_over && changed && index != position && *state == StepState::Failed {
                step.evidence = serde_json::to_string(&queue::wound_up()).unwrap_or_default();
            }
        }
        if changed {
            runs::put_step(unit.connection(), run.as_str(), step).await?;
        }
    }
    let row = change_run(unit, row, &progress, now_ms).await?;
    let decisions = store::decisions::of_run(unit.connection(), run.as_str()).await?;
    let mut view = view::assemble(run, row, &steps, &decisions)?;
    queue::fill(unit.connection(), &mut view).await?;
    reviews::fill(unit.connection(), &mut view).await?;
    checks::fill(unit.connection(), &mut view).await?;
    if events.contains(&Event::StepLost) && view.state == State::NeedsAttention {
        queue::begin_reminding(unit, run).await?;
    }
    let released = match view.state {
        // Whoever took the environment over may have made something else live.
        State::Succeeded if view.taken_over.is_none() => releases::go_live(unit, &view).await?,
        _ => None,
    };
    if events.iter().any(|event| matches!(event, Event::GateVoided | Event::Frozen)) {
        runs::release_lock(unit.connection(), run.as_str()).await?;
    }
    if view.state.is_final() {
        if view.is_followed() {
            follow_up::begin(unit, &view).await?;
        }
        // After it: what follows has been handed the environment.
        runs::release_lock(unit.connection(), run.as_str()).await?;
    }
    let attempts = steps.get(position).map_or(0, |step| step.attempts);
    put_messages(unit, &view, &facts.output, (position, attempts)).await?;
    for event in events {
        unit.journal(event_entry(&view, *event, position, &facts, now_ms));
    }
    if let Some(entry) = released {
        unit.journal(entry);
    }
    Ok(view)
}

fn change_step(step: &mut StepRow, events: &[Event], facts: &Facts, now_ms: Millis) {
    // Found running again, a step has not begun anew.
    if events.contains(&Event::Started) && step.state == StepState::Starting.as_str() {
        step.begun += 1;
    }
    if events.contains(&Event::Retrying) {
        step.failures += 1;
        step.due_ms = facts.due_ms;
    }
    if let Some((attempt, directory)) = &facts.attempt {
        *step = StepRow {
            position: step.position,
            attempt: attempt.to_string(),
            attempts: step.attempts + 1,
            directory: directory.display().to_string(),
            started_ms: now_ms,
            begun: step.begun,
            failures: step.failures,
            ..StepRow::default()
        };
    }
    if step.state == StepState::Unknown.as_str()
        && matches!(events, [Event::Started | Event::NeverStarted])
    {
        // That its host could not be asked is over; how it ends is still to come.
        step.evidence.clear();
        step.ended_ms = 0;
    }
    if let Some(evidence) = &facts.evidence {
        step.evidence = serde_json::to_string(evidence).unwrap_or_default();
        step.tail.clone_from(&facts.tail);
        if step.ended_ms == 0 && events.iter().any(|event| ends_step(*event)) {
            step.ended_ms = now_ms;
        }
    }
}

fn ends_step(event: Event) -> bool {
    matches!(
        event,
        Event::StepOk
            | Event::StepFailed
            | Event::StepTimedOut
            | Event::StepCancelled
            | Event::CannotStart
    )
}

async fn change_run(
    unit: &mut Unit,
    mut row: RunRow,
    progress: &Progress,
    now_ms: Millis,
) -> Result<RunRow, Error> {
    progress.state.as_str().clone_into(&mut row.state);
    row.position = i64::try_from(progress.position).unwrap_or(i64::MAX);
    if progress.state == State::Running && row.started_ms == 0 {
        row.started_ms = now_ms;
    }
    if progress.state == State::Waiting {
        // A gate did not hold at its turn: it has not begun after all.
        row.started_ms = 0;
    }
    if progress.state.is_final() {
        row.ended_ms = now_ms;
    }
    let change = RunChange {
        state: &row.state,
        position: row.position,
        started_ms: row.started_ms,
        ended_ms: row.ended_ms,
    };
    runs::change(unit.connection(), &row.id, change).await?;
    Ok(row)
}

fn event_entry(
    view: &RunView,
    event: Event,
    position: usize,
    facts: &Facts,
    at_ms: Millis,
) -> Entry {
    let mut detail = json!({"state": view.state.as_str()});
    if let Some(step) = view.steps.get(position) {
        detail["step"] = json!(position + 1);
        detail["step_state"] = json!(step.state.as_str());
    }
    if let Some((attempt, _)) = &facts.attempt {
        detail["attempt"] = json!(attempt.as_str());
    }
    if let Some(evidence) = &facts.evidence {
        detail["evidence"] = json!(evidence);
    }
    if !facts.detail.is_null() {
        detail["more"] = facts.detail.clone();
    }
    let mut entry = bot_entry(at_ms, event_kind(event), view.id.as_str(), detail);
    if let Some((actor, origin)) = &facts.actor {
        entry.actor.clone_from(actor);
        entry.origin.clone_from(origin);
    }
    entry
}

/// The journal's and the metrics' word for an event.
fn event_kind(event: Event) -> &'static str {
    match event {
        Event::GatesPassed => "run.queued",
        Event::GateVoided => "run.gate_voided",
        Event::Frozen => "run.frozen",
        Event::Rejected => "run.rejected",
        Event::Expired => "run.expired",
        Event::Claimed => "run.started",
        Event::Cancelled => "run.cancelled",
        Event::Starting => "step.starting",
        Event::NeverStarted => "step.never_started",
        Event::CannotStart => "step.cannot_start",
        Event::Started => "step.started",
        Event::StepOk => "step.ok",
        Event::StepFailed => "step.failed",
        Event::StepTimedOut => "step.timed_out",
        Event::StepCancelled => "step.cancelled",
        Event::StepLost => "step.lost",
        Event::StepSkipped => "step.skipped",
        Event::Retrying => "step.retrying",
        Event::Again => "step.again",
        Event::SettledOk => "step.settled_ok",
        Event::SettledFailed => "step.settled_failed",
    }
}
