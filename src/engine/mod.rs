//! The only writer of run state: an event becomes a new state, a journal entry and effects, in one
//! transaction.
//!
//! It never talks to Slack and never starts a program: it writes down what is due, and `worker`
//! does it. Whoever drives a run names its fence with every write; a driver that was replaced is
//! refused.

mod alert_follow_ups;
pub mod alerts;
mod announcements;
mod checks;
mod decisions;
mod delegations;
mod follow_up;
pub mod gates;
mod gathered;
mod heads;
mod hosts;
mod live;
mod oncall;
mod outbox;
mod people;
mod queue;
mod releases;
mod requests;
pub mod results;
mod retention;
mod reuse;
mod reviews;
mod rules;
mod silences;
mod view;
mod watches;
mod wishes;

pub use crate::core::settle_card::Settlement;
pub use alert_follow_ups::{FollowUpWanted, FollowUpWish, FollowedUp, OF_ALERT_MAX};
pub use alerts::{AlertWish, Heard, Observed, Terms, Wanted, Wished};
pub use announcements::{Announcement, Notice};
pub use checks::{Listed, OnList};
pub use decisions::Decided;
pub use delegations::{Change, Told};
pub use heads::DailyHead;
pub use oncall::{HandOver, OPEN_OVERRIDES_MAX, OnCallChange};
pub use outbox::{Bells, Message, Outcome};
pub use people::{KEPT_AGAIN_MS, KNOWLEDGE_KEPT_MS};
pub use queue::{Takeover, TakeoverAnswer};
pub use requests::{Answers, Asked, NewRun, Settled, Supersede};
pub use retention::{Attempts, Swept};
pub use reviews::Reviewed;
pub use rules::{HeldRule, RuleView, Tick, Whereabouts};
pub use silences::{SilenceWanted, SilenceWish, Silenced};
pub use view::Overview;
pub use watches::{Own, WATCHDOG};
pub use wishes::Wish;

use crate::clock::{Clock, Millis};
use crate::core::card::Card;
use crate::core::evidence::Evidence;
use crate::core::id::{AttemptId, RunId};
use crate::core::journal::Entry;
use crate::core::run::{Event, IllegalEvent, Progress, State, StepState};
use crate::core::run_card::{self, RunView};
use crate::metrics::Metrics;
use crate::store::outbox::Slot;
use crate::store::runs::{self, Claim, LockRow, RunChange, RunRow, StepRow};
use crate::store::{self, Store, Unit};
use crate::vitals::{Part, Vitals};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;

/// How many runs may wait or be queued when the settings do not say.
const RUNS_WAITING_MAX_DEFAULT: i64 = 500;
/// Of so many parts of a lease, a driver that waits uses one at a time …
const LEASE_PARTS: i64 = 4;
/// … and prolongs it where no more than these are left.
const LEASE_KEPT: i64 = 3;
/// Runs that are claimed in one unit.
const CLAIMS_MAX: usize = 16;
/// A channel is leased for so many leases of a run: a call to Slack takes longer than a renewal.
const CHANNEL_LEASES: i64 = 2;
/// Of a channel's lease, how much a sender leaves unused: from here on its call might end after it.
const CHANNEL_LEASE_UNUSED: i64 = 3;
/// How often a unit that another transaction was in the way of is tried again.
const BUSY_TRIES_MAX: u32 = 6;
/// The first wait between two tries, in real time; doubled each time.
const BUSY_WAIT: Duration = Duration::from_millis(15);
/// The first messages of a run's thread and its card go before other replies.
const PRIORITY_CARD: i64 = 20;
/// What a run says in its thread.
const PRIORITY_THREAD: i64 = 10;

/// Who this bot is among those that share the database.
#[derive(Debug, Clone)]
pub struct Identity {
    /// This bot and its data directory; the same after a restart.
    pub owner: String,
    /// The host it runs on, as environments name it.
    pub host: String,
    /// How long a driver may be silent before another bot takes its run over.
    pub lease_ms: i64,
}

/// The state of all runs. Cheap to clone.
#[derive(Clone)]
pub struct Engine {
    store: Store,
    identity: Arc<Identity>,
    metrics: Metrics,
    /// Rung when a run may be waiting for a driver.
    work: Arc<Notify>,
    /// Rung when a message may be waiting for a sender.
    mail: Arc<Bells>,
    /// Rung, for everybody who waits, when a run is to be stopped.
    cancels: Arc<Notify>,
    /// Rung when an alert may have something due.
    alarms: Arc<Notify>,
    /// The reviewed files in force.
    terms: Terms,
    /// How the surroundings are.
    vitals: Vitals,
    /// How many runs may wait or be queued.
    runs_waiting_max: i64,
    /// `status` is asked by many at once when something is wrong.
    overview: Arc<view::SharedOverview>,
}

/// Why an event was not written; nothing of it was.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// The database's.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// Another transaction was quicker, and what this one had read was no more so. Nothing was stored.
    #[error("another bot was quicker")]
    Overtaken,
    /// Somebody else drives the run now.
    #[error("the run {0} has another driver now")]
    Fenced(RunId),
    /// The run is not in a state for it.
    #[error(transparent)]
    Illegal(#[from] IllegalEvent),
    /// There is no such run.
    #[error("there is no run {0}")]
    NoSuchRun(RunId),
    /// A row of an alert does not hold what this program writes.
    #[error("the alert {alert} cannot be read: {what}")]
    CorruptAlert {
        /// Which.
        alert: String,
        /// What of it.
        what: String,
    },
    /// A row does not hold what this program writes.
    #[error("the run {run} cannot be read: {what}")]
    Corrupt {
        /// Which.
        run: RunId,
        /// What of it.
        what: String,
    },
}

impl Error {
    /// Whether the same may work later without a change to it.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Store(failure) => failure.is_passing(),
            Self::Overtaken => true,
            _ => false,
        }
    }
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}

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
    /// An engine over a connected store.
    pub fn new(store: Store, identity: Identity, metrics: Metrics) -> Self {
        Self {
            store,
            identity: Arc::new(identity),
            metrics,
            work: Arc::default(),
            mail: Arc::default(),
            cancels: Arc::default(),
            alarms: Arc::default(),
            terms: Terms::default(),
            vitals: Vitals::default(),
            runs_waiting_max: RUNS_WAITING_MAX_DEFAULT,
            overview: Arc::default(),
        }
    }

    /// The same with another limit of runs that wait or are queued.
    #[must_use]
    pub fn with_runs_waiting_max(mut self, runs_waiting_max: i64) -> Self {
        self.runs_waiting_max = runs_waiting_max;
        self
    }

    /// How the database, Slack and the disk were when last looked at.
    pub fn vitals(&self) -> &Vitals {
        &self.vitals
    }

    /// This bot among those that share the database.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// The store, for reading and for the journal's own questions.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// The clock that leases and times use.
    pub fn clock(&self) -> &Clock {
        self.store.clock()
    }

    /// The host this bot runs on, as environments name it.
    pub fn host(&self) -> &str {
        &self.identity.host
    }

    /// How often a driver must prolong its lease, to be sure of it.
    pub fn renewal(&self) -> Duration {
        Duration::from_millis((self.identity.lease_ms / LEASE_PARTS).unsigned_abs())
    }

    /// The longest call to Slack that ends within the lease of its channel.
    pub fn call_time_max(&self) -> Duration {
        let unused_ms = channel_lease_ms(&self.identity) / CHANNEL_LEASE_UNUSED;
        Duration::from_millis(unused_ms.unsigned_abs())
    }

    /// The counters.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Rung when a run may be waiting for a driver.
    pub fn work(&self) -> &Notify {
        &self.work
    }

    /// Rung when a message may be waiting for a sender.
    pub fn mail(&self) -> &Bells {
        &self.mail
    }

    /// Rung when an alert may have something due.
    pub fn alarms(&self) -> &Notify {
        &self.alarms
    }

    /// Ends what an earlier process of this same bot left leased. Only for the holder of the data
    /// directory's lock: it proves that the earlier process is gone.
    ///
    /// # Errors
    /// The database's.
    pub async fn begin(&self, version: &'static str, runbook: String) -> Result<u64, Error> {
        let identity = Arc::clone(&self.identity);
        let taken = self
            .store
            .unit(move |unit| {
                Box::pin(async move {
                    let taken = runs::end_leases_of(unit.connection(), &identity.owner).await?;
                    store::outbox::end_leases_of(unit.connection(), &identity.owner).await?;
                    // What Slack refused for its form may please it in the form of this version.
                    let retried = store::outbox::retry_refused(unit.connection()).await?;
                    let detail = json!({
                        "version": version, "runbook": runbook, "runs": taken,
                        "refused_notices_retried": retried,
                    });
                    let now_ms = unit.now_ms();
                    unit.journal(bot_entry(now_ms, "bot.started", &identity.owner, detail));
                    Ok::<_, Error>(taken)
                })
            })
            .await?;
        self.work.notify_one();
        self.mail.notify_one();
        Ok(taken)
    }

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

    /// Runs a unit again while another transaction is in its way: that unit then left nothing.
    async fn patiently<T, F>(&self, attempt: impl Fn() -> F) -> Result<T, Error>
    where
        F: Future<Output = Result<T, Error>>,
    {
        let mut wait = BUSY_WAIT;
        for _ in 1..BUSY_TRIES_MAX {
            match attempt().await {
                Err(Error::Store(store::Error::Busy(cause))) => {
                    tracing::info!("the database was busy, trying again: {cause}");
                }
                Err(Error::Overtaken) => {}
                other => return other,
            }
            #[expect(
                clippy::disallowed_methods,
                reason = "the other transaction is real, its time too"
            )]
            tokio::time::sleep(wait).await;
            wait *= 2;
        }
        attempt().await
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

/// How long a sender may hold a channel.
fn channel_lease_ms(identity: &Identity) -> i64 {
    identity.lease_ms * CHANNEL_LEASES
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
async fn hold(unit: &mut Unit, driven: &Driven, lease_ms: i64) -> Result<(), Error> {
    let until_ms = unit.now_ms() + lease_ms;
    let id = driven.run.as_str();
    if runs::hold(unit.connection(), id, driven.fence, until_ms).await? {
        Ok(())
    } else {
        Err(Error::Fenced(driven.run.clone()))
    }
}

/// One event after the other on a run whose row is held: state, step, lock, card, thread, journal.
async fn apply_in(
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

/// The card in its latest state, the step's output and, at the end, the closing words.
async fn put_messages(
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
async fn put_card(unit: &mut Unit, view: &RunView) -> Result<(), Error> {
    let card = run_card::card(view, view.plan.language, unit.now_ms());
    put_slot(unit, view, card_key(&view.id), PRIORITY_CARD, &card).await
}

/// The outbox key of a message of a step's output.
fn output_key(
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

async fn put_slot(
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

/// An entry by the bot itself.
fn bot_entry(at_ms: Millis, kind: &str, subject: &str, detail: Value) -> Entry {
    Entry {
        at_ms,
        actor: "neostock-ops".to_owned(),
        origin: "bot".to_owned(),
        kind: kind.to_owned(),
        subject: subject.to_owned(),
        detail,
    }
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
