//! A database of one test's own, on each engine.

use sqlx::{AnyConnection, AssertSqlSafe, Connection};
use std::future::Future;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tempfile::TempDir;
use tokio::runtime;

/// The url of a maintenance database on the private cluster; `make test` sets it.
const CLUSTER_VARIABLE: &str = "NEOSTOCK_TEST_POSTGRES";
/// A test that hangs fails by itself.
const TEST_TIME_MAX: Duration = Duration::from_mins(2);

/// Which database a test runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    Sqlite,
    Postgres,
}

/// An empty database; it goes when this is dropped.
pub struct TestDatabase {
    pub engine: Engine,
    pub url: String,
    folder: Option<TempDir>,
    maintenance: Option<(String, String)>,
}

impl TestDatabase {
    /// Makes one.
    pub async fn new(engine: Engine) -> Self {
        match engine {
            Engine::Sqlite => {
                let folder = tempfile::tempdir().unwrap();
                let url = format!("sqlite:{}", folder.path().join("neostock.db").display());
                Self { engine, url, folder: Some(folder), maintenance: None }
            }
            Engine::Postgres => {
                let cluster = cluster_url();
                let name = database_name();
                sqlx::any::install_default_drivers();
                maintain(&cluster, format!("create database {name}")).await.unwrap();
                let (server, _) = cluster.rsplit_once('/').unwrap();
                let url = format!("{server}/{name}");
                Self { engine, url, folder: None, maintenance: Some((cluster, name)) }
            }
        }
    }

    /// A connection past the store, for a test that plays the intruder.
    pub async fn raw(&self) -> AnyConnection {
        sqlx::any::install_default_drivers();
        AnyConnection::connect(&self.url).await.unwrap()
    }

    /// The folder of a SQLite file.
    pub fn folder(&self) -> &std::path::Path {
        self.folder.as_ref().expect("only SQLite has a folder").path()
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        let Some((cluster, name)) = self.maintenance.take() else { return };
        // A drop cannot wait inside the test's own runtime.
        let dropping = std::thread::spawn(move || {
            let runtime = runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(maintain(&cluster, format!("drop database {name} with (force)")))
        });
        // A second panic while a failed test unwinds would hide the first.
        if let Ok(Err(error)) = dropping.join() {
            eprintln!("a test's database stays behind: {error}");
        }
    }
}

async fn maintain(cluster: &str, statement: String) -> sqlx::Result<()> {
    let mut connection = AnyConnection::connect(cluster).await?;
    // A database's name cannot be a parameter; this one is made of digits below.
    sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut connection).await?;
    connection.close().await
}

fn cluster_url() -> String {
    std::env::var(CLUSTER_VARIABLE).unwrap_or_else(|_| {
        panic!("{CLUSTER_VARIABLE} is not set: run through `make test`, which starts PostgreSQL")
    })
}

fn database_name() -> String {
    use std::sync::atomic::{AtomicU64, Ordering};

    static COUNT: AtomicU64 = AtomicU64::new(0);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros();
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    format!("test_{}_{now}_{count}", std::process::id())
}

/// Runs one test on one engine.
pub fn run<F: Future<Output = ()>>(engine: Engine, test: impl FnOnce(TestDatabase) -> F) {
    run_within(TEST_TIME_MAX, engine, test);
}

/// The same for a test that takes longer than others.
pub fn run_within<F: Future<Output = ()>>(
    time_max: Duration,
    engine: Engine,
    test: impl FnOnce(TestDatabase) -> F,
) {
    let runtime =
        runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let database = TestDatabase::new(engine).await;
        let in_time = tokio::time::timeout(time_max, test(database)).await;
        assert!(in_time.is_ok(), "the test took longer than {time_max:?}");
    });
}

/// Makes two tests of each function, `name::sqlite` and `name::postgres`.
macro_rules! both_engines {
    ($($(#[$meta:meta])* async fn $name:ident($database:ident: TestDatabase) $body:block)+) => {
        $(mod $name {
            use super::*;
            use $crate::harness::database::{Engine, TestDatabase, run};

            async fn test($database: TestDatabase) $body

            #[test]
            $(#[$meta])*
            fn sqlite() {
                run(Engine::Sqlite, test);
            }

            #[test]
            $(#[$meta])*
            fn postgres() {
                run(Engine::Postgres, test);
            }
        })+
    };
}
pub(crate) use both_engines;
