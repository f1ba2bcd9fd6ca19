//! Opening a database: its url, its connections, its schema. Never a query of the product.

use super::Error;
use sqlx::any::{AnyConnectOptions, AnyPoolOptions};
use sqlx::migrate::{Migration, Migrator};
use sqlx::{AnyConnection, AnyPool, ConnectOptions as _};
use std::fs::OpenOptions;
use std::io::ErrorKind;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

/// Connections that read a SQLite file beside the one that writes.
const SQLITE_READERS: u32 = 4;
/// Connections to PostgreSQL.
const POSTGRES_CONNECTIONS: u32 = 8;
/// How long one waits for a free connection.
const ACQUIRE_TIME_MAX: Duration = Duration::from_secs(10);
/// A new SQLite file holds who did what: its owner reads it, nobody else.
const SQLITE_FILE_MODE: u32 = 0o600;

static PORTABLE: Migrator = sqlx::migrate!("./migrations");
static SQLITE: Migrator = sqlx::migrate!("./migrations/sqlite");
static POSTGRES: Migrator = sqlx::migrate!("./migrations/postgres");

/// Which database answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Engine {
    Sqlite,
    Postgres,
}

impl Engine {
    /// Reads the engine from a url, which is never repeated in a message: it may hold a password.
    pub(super) fn of(url: &str) -> Result<Self, Error> {
        match url.split_once(':').map(|(scheme, _)| scheme) {
            Some("sqlite") if !url.contains(":memory:") => Ok(Self::Sqlite),
            Some("postgres" | "postgresql") => Ok(Self::Postgres),
            _ => Err(setup("the database url is sqlite:PATH of a file, or postgres://HOST/NAME")),
        }
    }

    /// How a transaction that writes begins. SQLite's takes the lock at once: one that reads first
    /// and writes later is refused when another was quicker.
    pub(super) fn begin(self) -> &'static str {
        match self {
            Self::Sqlite => "begin immediate",
            Self::Postgres => "begin",
        }
    }

    /// How a transaction begins that sees one moment of the database throughout.
    pub(super) fn begin_snapshot(self) -> &'static str {
        match self {
            Self::Sqlite => "begin deferred",
            Self::Postgres => "begin isolation level repeatable read read only",
        }
    }
}

/// Opens the connections that write, and makes a SQLite file that is not there yet.
pub(super) async fn writers(engine: Engine, url: &str) -> Result<AnyPool, Error> {
    match engine {
        Engine::Postgres => readers(engine, url).await,
        Engine::Sqlite => {
            make_sqlite_file(sqlite_path(url))?;
            let pool = AnyPoolOptions::new().max_connections(1).test_before_acquire(false);
            open(pool, url, SQLITE_WRITER).await
        }
    }
}

/// Opens the connections that read; on PostgreSQL the same ones write.
pub(super) async fn readers(engine: Engine, url: &str) -> Result<AnyPool, Error> {
    let pool = AnyPoolOptions::new();
    match engine {
        Engine::Postgres => {
            open(pool.max_connections(POSTGRES_CONNECTIONS), url, POSTGRES_SESSION).await
        }
        Engine::Sqlite => {
            let path = sqlite_path(url);
            if !Path::new(path).exists() {
                return Err(setup(format!("there is no database file {path}")));
            }
            let pool = pool.max_connections(SQLITE_READERS).test_before_acquire(false);
            open(pool, url, SQLITE_READER).await
        }
    }
}

/// The write-ahead log survives a killed process, `full` a power cut.
const SQLITE_WRITER: &str = "pragma busy_timeout = 5000; pragma journal_mode = wal; \
     pragma synchronous = full; pragma foreign_keys = on; pragma temp_store = memory";
const SQLITE_READER: &str = "pragma busy_timeout = 5000; pragma query_only = on";
/// No wait without an end. A replica that was stopped inside a transaction must not hold the others:
/// its session ends before their patience with a lock does.
const POSTGRES_SESSION: &str = "set lock_timeout = '5s'; set statement_timeout = '30s'; \
     set idle_in_transaction_session_timeout = '3s'; set synchronous_commit = on; \
     set client_min_messages = warning";

fn options(url: &str) -> Result<AnyConnectOptions, Error> {
    sqlx::any::install_default_drivers();
    AnyConnectOptions::from_str(&driver_url(url))
        .map_err(|_| setup("the database url cannot be read: postgres://USER:PASSWORD@HOST/NAME"))
}

async fn open(pool: AnyPoolOptions, url: &str, session: &'static str) -> Result<AnyPool, Error> {
    let options = options(url)?;
    let pool = pool
        .acquire_timeout(ACQUIRE_TIME_MAX)
        .after_connect(move |connection, _| Box::pin(prepare(connection, session)));
    Ok(pool.connect_with(options).await?)
}

/// One connection that only reads, outside of any pool.
pub(super) async fn one(engine: Engine, url: &str) -> Result<AnyConnection, Error> {
    let session = match engine {
        Engine::Sqlite => SQLITE_READER,
        Engine::Postgres => POSTGRES_SESSION,
    };
    let mut connection = options(url)?.connect().await?;
    prepare(&mut connection, session).await?;
    Ok(connection)
}

async fn prepare(connection: &mut AnyConnection, session: &'static str) -> sqlx::Result<()> {
    sqlx::raw_sql(session).execute(connection).await.map(drop)
}

/// The folder of the file that a url names; `None`: it names no file.
pub(super) fn file_folder(engine: Engine, url: &str) -> Option<PathBuf> {
    let path = (engine == Engine::Sqlite).then(|| Path::new(sqlite_path(url)))?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    Some(folder.unwrap_or(Path::new(".")).to_owned())
}

/// The file that a `sqlite:` url names.
fn sqlite_path(url: &str) -> &str {
    let path = url.strip_prefix("sqlite:").unwrap_or(url);
    let path = path.strip_prefix("//").unwrap_or(path);
    // What other programs put behind the path (`?mode=rwc`) is decided here.
    path.split_once('?').map_or(path, |(path, _)| path)
}

/// The url as the driver wants it: a file's path is escaped, so that any name is possible.
fn driver_url(url: &str) -> String {
    if !url.starts_with("sqlite:") {
        return url.to_owned();
    }
    let mut escaped = String::from("sqlite:");
    for byte in sqlite_path(url).bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'.' | b'-' | b'_' => {
                escaped.push(char::from(byte));
            }
            _ => {
                escaped.push('%');
                escaped.push_str(&hex::encode_upper([byte]));
            }
        }
    }
    escaped
}

fn make_sqlite_file(path: &str) -> Result<(), Error> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(SQLITE_FILE_MODE);
    match options.open(path) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            Err(setup(format!("the folder of the database file {path} does not exist; make it")))
        }
        Err(error) => Err(setup(format!("the database file {path} cannot be made: {error}"))),
    }
}

/// Brings the schema up to date: the portable set and the engine's own, as one.
pub(super) async fn migrate(engine: Engine, pool: &AnyPool) -> Result<(), Error> {
    let own = match engine {
        Engine::Sqlite => &SQLITE,
        Engine::Postgres => &POSTGRES,
    };
    let all: Vec<Migration> = PORTABLE.iter().chain(own.iter()).cloned().collect();
    let migrated = Migrator::with_migrations(all).run(pool).await;
    migrated.map_err(|error| setup(format!("the database's schema cannot be used: {error}")))
}

/// Refuses a schema that is not this program's: who only visits changes none.
pub(super) async fn is_current(engine: Engine, pool: &AnyPool) -> Result<(), Error> {
    let own = match engine {
        Engine::Sqlite => &SQLITE,
        Engine::Postgres => &POSTGRES,
    };
    let ours = PORTABLE.iter().chain(own.iter()).map(|one| one.version).max().unwrap_or(0);
    let found = sqlx::query_scalar("select max(version) from _sqlx_migrations").fetch_one(pool);
    let found: Option<i64> = match found.await {
        Ok(found) => found,
        // There is no such table.
        Err(sqlx::Error::Database(_)) => None,
        Err(error) => return Err(error.into()),
    };
    match found {
        Some(found) if found == ours => Ok(()),
        Some(found) if found > ours => Err(setup(
            "the database's schema is newer than this program: use the program that the bot has",
        )),
        _ => Err(setup(
            "the database has not this program's schema yet: start the bot of this version once",
        )),
    }
}

fn setup(words: impl Into<String>) -> Error {
    Error::Setup(words.into())
}
