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
mod driving;
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
mod thread;
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
pub use driving::{Attended, Driven, Facts};
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

use driving::{apply_in, hold};
use thread::{PRIORITY_CARD, PRIORITY_THREAD, card_key, output_key, put_card, put_slot};

use crate::clock::{Clock, Millis};
use crate::core::id::RunId;
use crate::core::journal::Entry;
use crate::core::run::IllegalEvent;
use crate::metrics::Metrics;
use crate::store::runs;
use crate::store::{self, Store};
use crate::vitals::Vitals;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;

/// How many runs may wait or be queued when the settings do not say.
const RUNS_WAITING_MAX_DEFAULT: i64 = 500;
/// Of so many parts of a lease, a driver that waits uses one at a time.
const LEASE_PARTS: i64 = 4;
/// A channel is leased for so many leases of a run: a call to Slack takes longer than a renewal.
const CHANNEL_LEASES: i64 = 2;
/// Of a channel's lease, how much a sender leaves unused: from here on its call might end after it.
const CHANNEL_LEASE_UNUSED: i64 = 3;
/// How often a unit that another transaction was in the way of is tried again.
const BUSY_TRIES_MAX: u32 = 6;
/// The first wait between two tries, in real time; doubled each time.
const BUSY_WAIT: Duration = Duration::from_millis(15);

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
}

/// How long a sender may hold a channel.
fn channel_lease_ms(identity: &Identity) -> i64 {
    identity.lease_ms * CHANNEL_LEASES
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
