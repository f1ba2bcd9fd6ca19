//! The database: the only room with SQL.
//!
//! [`Store`] is the one façade and the only place that begins a transaction; everything that
//! writes does so in [`Store::unit`]. Its siblings hold one function per question. The same SQL
//! runs on SQLite and PostgreSQL: TEXT and BIGINT columns, `$1`, literal statements.
//!
//! Locks are taken in one order: run, environment, outbox, journal head. The head is taken by
//! the façade itself, last, just before the commit.

pub mod alert_follow_ups;
pub mod alerts;
pub mod checks;
pub mod compliance;
pub mod decisions;
pub mod delegations;
pub mod deliveries;
pub mod heads;
pub mod journal;
pub mod oncall;
pub mod outbox;
pub mod people;
pub mod queue;
pub mod releases;
pub mod results;
pub mod reviews;
pub mod rules;
pub mod runs;
pub mod silences;
pub mod watches;
pub mod wishes;

mod connect;
mod gate;
mod unit;

pub use gate::NoSign;
pub use unit::{UNIT_TIME_MAX, Unit};

use crate::clock::Clock;
use crate::core::journal::{Anchor, Keys};
use connect::Engine;
use futures_util::future::BoxFuture;
use gate::Gate;
use sqlx::pool::PoolConnection;
use sqlx::{Any, AnyPool};
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use unit::Writer;

/// A connected database. Cheap to clone; all clones share the connections.
#[derive(Clone)]
pub struct Store {
    shared: Arc<Shared>,
}

struct Shared {
    engine: Engine,
    clock: Clock,
    keys: Keys,
    readers: AnyPool,
    writes: Writes,
    gate: Gate,
    file_folder: Option<PathBuf>,
}

/// How units reach the database.
enum Writes {
    /// SQLite: through one task that groups them.
    Grouped(Writer),
    /// PostgreSQL: each in its own transaction, from the pool.
    Parallel,
    /// Not at all.
    Refused,
}

impl Store {
    /// Connects to `sqlite:PATH` or `postgres://…`, brings the schema up to date and, when the
    /// journal's key is another than last time, writes that into the journal.
    ///
    /// # Errors
    /// [`Error::Setup`], in words for the person who starts the program, when the url, the folder
    /// or the key cannot be used; nothing was written then. Others as the database gives them.
    pub async fn connect(url: &str, clock: Clock, keys: impl Into<Keys>) -> Result<Self, Error> {
        let keys = keys.into();
        let engine = Engine::of(url)?;
        let pool = connect::writers(engine, url).await?;
        connect::migrate(engine, &pool).await?;
        journal::adopt_key(engine, &pool, &clock, &keys).await?;
        let (readers, writes) = match engine {
            Engine::Postgres => (pool, Writes::Parallel),
            Engine::Sqlite => {
                let readers = connect::readers(engine, url).await?;
                let writer = Writer::start(pool, clock.clone(), keys.current.clone());
                (readers, Writes::Grouped(writer))
            }
        };
        Ok(Self::assembled(engine, url, clock, keys, (readers, writes)))
    }

    /// Lets the journal go on under a new key after its own was lost, and records who says so and why.
    /// Where it ended until then.
    ///
    /// # Errors
    /// [`Error::Setup`] when no key is lost, or none is there to go on with; then nothing is written.
    pub async fn begin_journal_anew(
        url: &str,
        clock: Clock,
        keys: impl Into<Keys>,
        (by, why): (&str, &str),
    ) -> Result<Anchor, Error> {
        let engine = Engine::of(url)?;
        if engine == Engine::Sqlite {
            // It makes no new file, as `writers` would.
            connect::readers(engine, url).await?.close().await;
        }
        let pool = connect::writers(engine, url).await?;
        let ended = journal::begin_anew(engine, &pool, &clock, &keys.into(), (by, why)).await;
        pool.close().await;
        ended
    }

    /// Connects to an existing database to read it: no schema change, no entry, no unit.
    ///
    /// # Errors
    /// As [`Store::connect`].
    pub async fn inspect(url: &str, clock: Clock, keys: impl Into<Keys>) -> Result<Self, Error> {
        let engine = Engine::of(url)?;
        let readers = connect::readers(engine, url).await?;
        Ok(Self::assembled(engine, url, clock, keys.into(), (readers, Writes::Refused)))
    }

    /// Connects to the database of a running bot, to read and write beside it: makes no file, and changes
    /// neither the schema nor the journal's key.
    ///
    /// # Errors
    /// As [`Store::connect`]; also when there is no database, or the schema or the key is another.
    pub async fn join(url: &str, clock: Clock, keys: impl Into<Keys>) -> Result<Self, Error> {
        let keys = keys.into();
        let engine = Engine::of(url)?;
        let readers = connect::readers(engine, url).await?;
        connect::is_current(engine, &readers).await?;
        journal::has_key(&readers, &keys).await?;
        let writes = match engine {
            Engine::Postgres => Writes::Parallel,
            Engine::Sqlite => {
                let pool = connect::writers(engine, url).await?;
                Writes::Grouped(Writer::start(pool, clock.clone(), keys.current.clone()))
            }
        };
        Ok(Self::assembled(engine, url, clock, keys, (readers, writes)))
    }

    fn assembled(
        engine: Engine,
        url: &str,
        clock: Clock,
        keys: Keys,
        (readers, writes): (AnyPool, Writes),
    ) -> Self {
        let gate = Gate::new(engine, url);
        let file_folder = connect::file_folder(engine, url);
        let shared = Shared { engine, clock, keys, readers, writes, gate, file_folder };
        Self { shared: Arc::new(shared) }
    }

    /// Runs one unit of work in one transaction; its journal entries are chained just before the
    /// commit. An `Err` undoes this unit, entries included, and nothing else.
    ///
    /// A refusal that the journal should tell is therefore an `Ok` value. An error of a statement
    /// must leave as `Err`: PostgreSQL has given up the transaction by then. The work waits for
    /// nothing but the database and begins no other unit; it may run for
    /// [`UNIT_TIME_MAX`]. On SQLite it shares its transaction with others.
    ///
    /// When the caller is dropped, the unit may or may not happen, but never in part.
    ///
    /// # Errors
    /// The work's own, or the store's as `E`: then nothing of the unit is stored. Only after
    /// [`Error::Unavailable`] from PostgreSQL it may be, when the connection broke in the commit.
    pub async fn unit<T, E, F>(&self, work: F) -> Result<T, E>
    where
        F: for<'u> FnOnce(&'u mut Unit) -> BoxFuture<'u, Result<T, E>> + Send + 'static,
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        unit::outside()?;
        match &self.shared.writes {
            Writes::Grouped(writer) => {
                self.shared.gate.pass(std::future::ready(Ok(()))).await?;
                writer.submit(unit::Guard::Savepoint, work).await
            }
            _ => self.unit_alone(work).await,
        }
    }

    /// As [`Store::unit`], without a savepoint on SQLite, which makes it twice as quick. The work
    /// promises that at most one statement writes, and that nothing after it can fail.
    ///
    /// # Errors
    /// As [`Store::unit`].
    pub async fn unit_single_write<T, E, F>(&self, work: F) -> Result<T, E>
    where
        F: for<'u> FnOnce(&'u mut Unit) -> BoxFuture<'u, Result<T, E>> + Send + 'static,
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        unit::outside()?;
        match &self.shared.writes {
            Writes::Grouped(writer) => {
                self.shared.gate.pass(std::future::ready(Ok(()))).await?;
                writer.submit(unit::Guard::SingleWrite, work).await
            }
            _ => self.unit_alone(work).await,
        }
    }

    async fn unit_alone<T, E, F>(&self, work: F) -> Result<T, E>
    where
        F: for<'u> FnOnce(&'u mut Unit) -> BoxFuture<'u, Result<T, E>> + Send + 'static,
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        if matches!(self.shared.writes, Writes::Refused) {
            return Err(Error::Setup("the database was opened for reading".to_owned()).into());
        }
        let Shared { readers, clock, keys, gate, .. } = &*self.shared;
        unit::alone(readers, gate, (clock, &keys.current), work).await
    }

    /// A connection to read with. On SQLite it cannot write.
    ///
    /// # Errors
    /// [`Error::Unreachable`] when none becomes free in time.
    pub async fn read(&self) -> Result<PoolConnection<Any>, Error> {
        self.shared.gate.pass(self.shared.readers.acquire()).await
    }

    /// Asks the database for a sign of life, within two seconds, on a connection of its own: a busy
    /// pool is no sign of anything.
    ///
    /// # Errors
    /// [`NoSign`] when there is none.
    pub async fn ping(&self) -> Result<(), NoSign> {
        if let Writes::Grouped(writer) = &self.shared.writes
            && writer.is_closed()
        {
            return Err(NoSign::Refused(Error::closed()));
        }
        if self.shared.readers.is_closed() {
            return Err(NoSign::Refused(Error::closed()));
        }
        self.shared.gate.ping().await
    }

    /// While the database is said to be gone, whoever wants a connection is refused at once, and
    /// whoever waits for one is sent away. What has one goes on.
    pub fn set_reachable(&self, is_reachable: bool) {
        self.shared.gate.set_open(is_reachable);
    }

    /// The folder of SQLite's file; `None` on PostgreSQL.
    pub fn file_folder(&self) -> Option<&std::path::Path> {
        self.shared.file_folder.as_deref()
    }

    /// Whether the database is SQLite, where one process owns the file.
    pub fn is_sqlite(&self) -> bool {
        self.shared.engine == Engine::Sqlite
    }

    /// The clock that the store was given.
    pub fn clock(&self) -> &Clock {
        &self.shared.clock
    }

    /// The journal's keys that the store was given.
    pub fn keys(&self) -> &Keys {
        &self.shared.keys
    }

    /// Takes no more units, finishes those that wait, and closes the connections.
    pub async fn close(&self) {
        if let Writes::Grouped(writer) = &self.shared.writes {
            writer.close().await;
        }
        self.shared.gate.close();
        self.shared.readers.close().await;
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The connections' own output would show the url and its password.
        out.debug_struct("Store").field("engine", &self.shared.engine).finish_non_exhaustive()
    }
}

/// Why the store could not do it.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// A unique value is taken; the text is the table's name on both engines.
    #[error("a row with this key is already in {0}")]
    UniqueViolation(String),
    /// Another transaction was in the way; the same unit can be tried again.
    #[error("the database is busy: {0}")]
    Busy(Arc<sqlx::Error>),
    /// No connection could be had: nothing of what was wanted was begun.
    #[error("the database cannot be reached")]
    Unreachable,
    /// No connection, no disk, no permission: nothing works until that is put right.
    #[error("the database is not available: {0}")]
    Unavailable(Arc<sqlx::Error>),
    /// The settings do not fit the database; the text says what to do.
    #[error("{0}")]
    Setup(String),
    /// The unit's own code failed: it panicked or took too long.
    #[error("a unit of work {0}")]
    Broken(&'static str),
    /// Everything else.
    #[error("the database refused: {0}")]
    Other(Arc<sqlx::Error>),
}

impl Error {
    /// Whether the same may work later without a change to it: the database is away, full or busy.
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::Unreachable | Self::Unavailable(_) | Self::Busy(_))
    }

    /// Whether the disk has no room: SQLite's `SQLITE_FULL`, PostgreSQL's `disk_full`.
    pub fn is_disk_full(&self) -> bool {
        let Self::Unavailable(cause) = self else { return false };
        let sqlx::Error::Database(refusal) = &**cause else { return false };
        refusal.code().is_some_and(|code| code == "13" || code == "53100")
    }

    /// Whether it is certain that nothing of the unit is stored. PostgreSQL can lose its connection
    /// in the commit.
    pub fn is_nothing_stored(&self) -> bool {
        match self {
            Self::Unavailable(cause) => {
                matches!(**cause, sqlx::Error::Database(_) | sqlx::Error::PoolClosed)
            }
            _ => true,
        }
    }

    fn closed() -> Self {
        Self::Unavailable(Arc::new(sqlx::Error::PoolClosed))
    }
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        use sqlx::Error as Sqlx;

        match &error {
            Sqlx::Database(refusal) => {
                if refusal.is_unique_violation() {
                    return Self::UniqueViolation(unique_table(refusal.as_ref()));
                }
                match refusal.code().as_deref().map(weight_of) {
                    Some(Weight::Busy) => Self::Busy(Arc::new(error)),
                    Some(Weight::Unavailable) => Self::Unavailable(Arc::new(error)),
                    _ => Self::Other(Arc::new(error)),
                }
            }
            Sqlx::Io(_)
            | Sqlx::Tls(_)
            | Sqlx::PoolTimedOut
            | Sqlx::PoolClosed
            | Sqlx::WorkerCrashed => Self::Unavailable(Arc::new(error)),
            _ => Self::Other(Arc::new(error)),
        }
    }
}

/// How bad a database's refusal is.
enum Weight {
    Busy,
    Unavailable,
    Other,
}

/// PostgreSQL's five-character SQLSTATE (its manual, appendix A) or SQLite's extended result code
/// in decimal digits (sqlite.org/rescode.html), whose low byte is the primary code.
fn weight_of(code: &str) -> Weight {
    if code.len() == 5 {
        return match code {
            // Serialization failure, deadlock, lock not available, query cancelled by its timeout.
            "40001" | "40P01" | "55P03" | "57014" => Weight::Busy,
            // Connection exceptions, insufficient resources, operator intervention, system errors,
            // a session ended for idling in its transaction.
            _ if ["08", "53", "57", "58"].iter().any(|class| code.starts_with(class)) => {
                Weight::Unavailable
            }
            "25P03" => Weight::Unavailable,
            _ => Weight::Other,
        };
    }
    match code.parse::<i32>().map(|code| code & 0xff) {
        // SQLITE_BUSY, SQLITE_LOCKED.
        Ok(5 | 6) => Weight::Busy,
        // SQLITE_PERM, _READONLY, _IOERR, _CORRUPT, _FULL, _CANTOPEN, _NOTADB.
        Ok(3 | 8 | 10 | 11 | 13 | 14 | 26) => Weight::Unavailable,
        _ => Weight::Other,
    }
}

/// PostgreSQL names the table; SQLite says "UNIQUE constraint failed: table.column, …".
fn unique_table(refusal: &dyn sqlx::error::DatabaseError) -> String {
    if let Some(table) = refusal.table() {
        return table.to_owned();
    }
    let columns = refusal.message().rsplit(": ").next().unwrap_or_default();
    columns.split('.').next().unwrap_or_default().to_owned()
}
