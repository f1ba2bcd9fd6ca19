//! One unit of work, and how units become transactions. Knows no table but through
//! [`journal::append`](super::journal).
//!
//! PostgreSQL runs units side by side, each in its own transaction. SQLite has one writer: a task
//! takes all the units that wait and runs them in one transaction, so that they share one fsync.

use super::connect::Engine;
use super::gate::Gate;
use super::{Error, journal};
use crate::clock::{Clock, Millis};
use crate::core::journal::{Entry, Key};
use crate::fault;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use sqlx::{Any, AnyConnection, AnyPool, Transaction};
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::JoinHandle;

/// How long the work of one unit may take; on SQLite all others wait for it.
pub const UNIT_TIME_MAX: Duration = Duration::from_secs(10);
/// Units that share one SQLite transaction.
const GROUP_UNITS_MAX: usize = 64;
/// Units that wait for the SQLite writer; further callers wait for a place.
const WAITING_UNITS_MAX: usize = 1024;

tokio::task_local! {
    /// Set while a unit's work runs. A unit inside a unit would wait for itself.
    static INSIDE: ();
}

/// Refuses to begin a unit inside a unit.
pub(super) fn outside() -> Result<(), Error> {
    match INSIDE.try_with(|()| ()) {
        Ok(()) => Err(Error::Broken("began another unit inside itself")),
        Err(_) => Ok(()),
    }
}

/// One unit of work while it runs: a connection inside a transaction, and the journal's entries
/// that will be chained at its end.
pub struct Unit {
    transaction: Transaction<'static, Any>,
    engine: Engine,
    entries: Vec<Entry>,
    now_ms: Millis,
}

impl Unit {
    async fn begin(pool: &AnyPool, engine: Engine, now_ms: Millis) -> Result<Self, Error> {
        let transaction = pool.begin_with(engine.begin()).await?;
        Ok(Self { transaction, engine, entries: Vec::new(), now_ms })
    }

    /// The connection for this unit's statements.
    pub fn connection(&mut self) -> &mut AnyConnection {
        &mut self.transaction
    }

    /// Which database this is, for the few statements that differ.
    pub(super) fn engine(&self) -> Engine {
        self.engine
    }

    /// Adds an entry to the journal, in the same transaction.
    pub fn journal(&mut self, entry: Entry) {
        self.entries.push(entry);
    }

    /// The moment at which this unit began; it stands still while the unit runs.
    pub fn now_ms(&self) -> Millis {
        self.now_ms
    }

    /// Chains the entries and commits.
    async fn finish(mut self, key: &Key) -> Result<(), Error> {
        if self.entries.is_empty() {
            // PostgreSQL answers the commit of a transaction that it has given up with a silent
            // rollback; any statement tells. (With entries, the head's update does.)
            self.execute("select 1").await?;
        }
        let entries = std::mem::take(&mut self.entries);
        journal::append(&mut self.transaction, key, &entries).await?;
        fault::point("unit.before_commit");
        self.transaction.commit().await?;
        fault::point("unit.after_commit");
        Ok(())
    }

    /// SQLite ends a transaction by itself when the disk is full or fails (sqlite.org,
    /// lang_transaction.html, section 3.2); what came next would be stored piece by piece.
    async fn has_lost_its_transaction(&mut self) -> bool {
        self.execute("begin").await.is_ok()
    }

    async fn execute(&mut self, statement: &'static str) -> Result<(), Error> {
        sqlx::query(statement).execute(&mut *self.transaction).await?;
        Ok(())
    }
}

/// Runs one unit in a transaction of its own.
pub(super) async fn alone<T, E, F>(
    pool: &AnyPool,
    gate: &Gate,
    (clock, key): (&Clock, &Key),
    work: F,
) -> Result<T, E>
where
    F: for<'u> FnOnce(&'u mut Unit) -> BoxFuture<'u, Result<T, E>> + Send + 'static,
    T: Send + 'static,
    E: From<Error> + Send + 'static,
{
    let engine = Engine::Postgres;
    let transaction = gate.pass(pool.begin_with(engine.begin())).await?;
    let mut unit = Unit { transaction, engine, entries: Vec::new(), now_ms: clock.now_ms() };
    let value = guarded(work, &mut unit).await.unwrap_or_else(|broken| Err(broken.into()))?;
    unit.finish(key).await?;
    Ok(value)
}

/// Runs the work; a panic or an endless wait in it becomes an error of this unit alone.
async fn guarded<T, E, F>(work: F, unit: &mut Unit) -> Result<Result<T, E>, Error>
where
    F: for<'u> FnOnce(&'u mut Unit) -> BoxFuture<'u, Result<T, E>> + Send + 'static,
{
    // What a panic leaves behind in the unit is undone with the unit.
    let work = AssertUnwindSafe(async move { work(unit).await }).catch_unwind();
    match tokio::time::timeout(UNIT_TIME_MAX, INSIDE.scope((), work)).await {
        Ok(Ok(outcome)) => Ok(outcome),
        Ok(Err(_panic)) => Err(Error::Broken("panicked")),
        Err(_elapsed) => Err(Error::Broken("took too long")),
    }
}

/// What protects a group from a unit that fails halfway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Guard {
    /// A savepoint before it.
    Savepoint,
    /// Its promise that nothing can fail after its one write.
    SingleWrite,
}

/// The SQLite writer: a queue and the task that empties it.
pub(super) struct Writer {
    queue: mpsc::Sender<Box<dyn Member>>,
    closing: Arc<Notify>,
    task: Mutex<Option<JoinHandle<()>>>,
}

impl Writer {
    /// Starts the task on a pool of one connection.
    pub(super) fn start(pool: AnyPool, clock: Clock, key: Key) -> Self {
        let (queue, waiting) = mpsc::channel(WAITING_UNITS_MAX);
        let closing = Arc::new(Notify::new());
        let grouper = Grouper { pool, clock, key };
        #[expect(clippy::disallowed_methods, reason = "the store's own; `close` waits for it")]
        let task = tokio::spawn(grouper.run(waiting, Arc::clone(&closing)));
        Self { queue, closing, task: Mutex::new(Some(task)) }
    }

    /// Queues a unit and waits for the end of the transaction it was part of.
    pub(super) async fn submit<T, E, F>(&self, guard: Guard, work: F) -> Result<T, E>
    where
        F: for<'u> FnOnce(&'u mut Unit) -> BoxFuture<'u, Result<T, E>> + Send + 'static,
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let member = Waiting { guard, work: Some(work), outcome: None, answer };
        self.queue.send(Box::new(member)).await.map_err(|_| Error::closed())?;
        answered.await.unwrap_or_else(|_| Err(Error::closed().into()))
    }

    pub(super) fn is_closed(&self) -> bool {
        self.queue.is_closed()
    }

    /// Takes no more units and waits for those that are queued.
    pub(super) async fn close(&self) {
        self.closing.notify_one();
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(task) = task {
            // A task that panicked has ended, which is all that is asked here.
            let _ = task.await;
        }
    }
}

/// A queued unit, whatever its types.
trait Member: Send {
    /// Whether its caller still waits.
    fn is_wanted(&self) -> bool;
    fn guard(&self) -> Guard;
    /// Runs the work and keeps its outcome until the transaction has ended.
    fn run<'u>(&'u mut self, unit: &'u mut Unit) -> BoxFuture<'u, Fate>;
    /// Tells the caller: the outcome, or why the transaction failed.
    fn answer(self: Box<Self>, ended: Result<(), Error>);
}

/// How a member's work ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// It counts.
    Kept,
    /// Its own error: it must leave nothing.
    Undone,
    /// It panicked or was stopped at an unknown place: it must leave nothing.
    Broken,
}

struct Waiting<T, E, F> {
    guard: Guard,
    work: Option<F>,
    outcome: Option<Result<T, E>>,
    answer: oneshot::Sender<Result<T, E>>,
}

impl<T, E, F> Member for Waiting<T, E, F>
where
    F: for<'u> FnOnce(&'u mut Unit) -> BoxFuture<'u, Result<T, E>> + Send + 'static,
    T: Send + 'static,
    E: From<Error> + Send + 'static,
{
    fn is_wanted(&self) -> bool {
        !self.answer.is_closed()
    }

    fn guard(&self) -> Guard {
        self.guard
    }

    fn run<'u>(&'u mut self, unit: &'u mut Unit) -> BoxFuture<'u, Fate> {
        Box::pin(async move {
            let Some(work) = self.work.take() else { return Fate::Broken };
            let (outcome, fate) = match guarded(work, unit).await {
                Ok(Ok(value)) => (Ok(value), Fate::Kept),
                Ok(Err(error)) => (Err(error), Fate::Undone),
                Err(broken) => (Err(broken.into()), Fate::Broken),
            };
            self.outcome = Some(outcome);
            fate
        })
    }

    fn answer(self: Box<Self>, ended: Result<(), Error>) {
        let outcome = match ended {
            Ok(()) => self.outcome.unwrap_or_else(|| Err(Error::closed().into())),
            Err(error) => Err(error.into()),
        };
        // A caller that has gone away does not want to know.
        let _ = self.answer.send(outcome);
    }
}

/// The task behind [`Writer`].
struct Grouper {
    pool: AnyPool,
    clock: Clock,
    key: Key,
}

impl Grouper {
    async fn run(self, mut waiting: mpsc::Receiver<Box<dyn Member>>, closing: Arc<Notify>) {
        let mut group = Vec::with_capacity(GROUP_UNITS_MAX);
        loop {
            tokio::select! {
                taken = waiting.recv_many(&mut group, GROUP_UNITS_MAX) => {
                    if taken == 0 {
                        break;
                    }
                    group.retain(|member| member.is_wanted());
                    let ended = self.transact(&mut group).await;
                    for member in group.drain(..) {
                        member.answer(ended.clone());
                    }
                }
                () = closing.notified() => waiting.close(),
            }
        }
        self.pool.close().await;
    }

    /// Runs a group in one transaction. An error means that nothing of any member is stored.
    async fn transact(&self, group: &mut [Box<dyn Member>]) -> Result<(), Error> {
        if group.is_empty() {
            return Ok(());
        }
        let mut unit = self.begin().await?;
        let mut is_written = false;
        for member in group {
            let has_savepoint = is_written && member.guard() == Guard::Savepoint;
            if has_savepoint {
                // The innermost of equal names is meant; the commit releases them all.
                unit.execute("savepoint member").await?;
            }
            let entries = unit.entries.len();
            unit.now_ms = self.clock.now_ms();
            let fate = member.run(&mut unit).await;
            if fate == Fate::Kept {
                is_written = true;
                continue;
            }
            unit.entries.truncate(entries);
            if has_savepoint {
                unit.execute("rollback to savepoint member").await?;
            } else if !is_written {
                unit.transaction.rollback().await?;
                unit = self.begin().await?;
            } else if fate == Fate::Broken || unit.has_lost_its_transaction().await {
                return Err(Error::Broken("in the same transaction broke off; nothing was stored"));
            }
        }
        if is_written {
            unit.finish(&self.key).await
        } else {
            Ok(unit.transaction.rollback().await?)
        }
    }

    async fn begin(&self) -> Result<Unit, Error> {
        let begun = Unit::begin(&self.pool, Engine::Sqlite, self.clock.now_ms()).await;
        let Err(Error::Other(cause)) = &begun else { return begun };
        // A transaction that SQLite ended by itself, as on a full disk, is still open to the driver,
        // which begins no other on that connection ever again.
        tracing::warn!("the writer's connection is replaced: {cause}");
        self.pool.acquire().await?.close().await?;
        Unit::begin(&self.pool, Engine::Sqlite, self.clock.now_ms()).await
    }
}
