//! From the death of a replica to the moment at which another drives its runs, with the lease that is
//! the default: kill -9 of a bot that drives twenty runs, on PostgreSQL.
#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a bench measures real time, starts programs and speaks to whoever runs it"
)]

mod support;

use anyhow::{Context, ensure};
use neostock_ops::sandbox::{Answer, Options, Workspace};
use rustix::process::{Pid, Signal, kill_process};
use sqlx::{AnyConnection, Connection as _, Row as _};
use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use support::database::Database;
use support::folder::Folder;
use support::http::{self, Connection};
use support::stats::{Sorted, ms, print_table};

/// All are lost at once; each had prolonged its lease at a moment of its own.
const RUNS: i64 = 20;
const ROUNDS: usize = 3;
/// How long anything here may take.
const PATIENCE: Duration = Duration::from_mins(2);

fn main() -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut took = Vec::new();
        for _ in 0..ROUNDS {
            let Some(database) = Database::new().await? else {
                println!("takeover: NEOSTOCK_TEST_POSTGRES names no cluster, nothing is measured");
                return Ok(());
            };
            took.extend(round(&database.url).await?);
            database.drop().await?;
        }
        let count = took.len();
        let took = Sorted::of(took);
        let row = [0.0, 0.5, 0.9, 1.0].map(|share| ms(took.at(share)));
        println!("## From a killed replica to its takeover, a lease of 30 s, {count} runs\n");
        print_table(&["least", "p50", "p90", "most"], &[row.to_vec()]);
        Ok(())
    })
}

async fn round(url: &str) -> anyhow::Result<Vec<Duration>> {
    let workspace = Workspace::start(Options::default()).await?;
    let first = Replica::start(&workspace, url).await?;
    for _ in 0..RUNS {
        let answer = workspace.say("U0BOB", "C0OPS", "hold").await;
        ensure!(matches!(answer, Answer::Given { status: 200, .. }), "answered {answer:?}");
    }
    let mut connection = AnyConnection::connect(url).await?;
    let running = "select cast(0 as bigint) from steps where state = 'running'";
    until(&mut connection, running).await?;
    let second = Replica::start(&workspace, url).await?;
    // A lease is prolonged every few seconds: here somewhere between.
    tokio::time::sleep(Duration::from_secs(4)).await;
    let killed = SystemTime::now().duration_since(UNIX_EPOCH)?;
    let folder = first.kill();
    let resumed = "select at_ms from journal where kind = 'run.resumed'";
    let resumed = until(&mut connection, resumed).await?;
    connection.close().await?;
    second.kill();
    end_steps(&folder.path().join("data/attempts"))?;
    workspace.shutdown().await;
    let since = |at_ms: i64| Duration::from_millis(at_ms.unsigned_abs()).saturating_sub(killed);
    Ok(resumed.into_iter().map(since).collect())
}

/// Waits until a question has as many answers as there are runs.
async fn until(connection: &mut AnyConnection, question: &'static str) -> anyhow::Result<Vec<i64>> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let rows = sqlx::query(question).fetch_all(&mut *connection).await?;
        if i64::try_from(rows.len())? == RUNS {
            return rows.iter().map(|row| Ok(row.try_get(0)?)).collect();
        }
        ensure!(Instant::now() < deadline, "{} of {RUNS}: {question}", rows.len());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// One bot as a process.
struct Replica {
    process: Process,
    folder: Folder,
}

/// Killed when this is dropped.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to kill.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Replica {
    async fn start(workspace: &Workspace, url: &str) -> anyhow::Result<Self> {
        let folder = Folder::new()?;
        let address = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let child = Command::new(env!("CARGO_BIN_EXE_neostock-ops"))
            .arg("serve")
            .env_clear()
            .envs(folder.environment(workspace, url))
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("NEOSTOCK_LISTEN", address.to_string())
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(folder.path().join("log"))?)
            .spawn()?;
        let replica = Self { process: Process(child), folder };
        let ready = http::request("/readyz", &[], "");
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Ok(mut connection) = Connection::open(address).await
                && connection.exchange(&ready).await.is_ok_and(|answer| answer.status == 200)
            {
                break;
            }
            ensure!(Instant::now() < deadline, "the bot did not start");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        // Slack talks to the first; the second only takes over.
        if workspace.calls_of("chat.postMessage").is_empty() {
            workspace.set_request_url(&format!("http://{address}"));
        }
        Ok(replica)
    }

    /// kill -9; its folder, where another looks for the evidence.
    fn kill(self) -> Folder {
        drop(self.process);
        self.folder
    }
}

/// Ends the supervisors, and with them the steps, of the attempts in a folder.
fn end_steps(attempts: &Path) -> anyhow::Result<()> {
    for attempt in std::fs::read_dir(attempts)? {
        let Ok(started) = std::fs::read(attempt?.path().join("started")) else { continue };
        let started: serde_json::Value = serde_json::from_slice(&started)?;
        let pid = started["supervisor_pid"].as_i64().context("a process id")?;
        // It may have ended by itself.
        let _ = kill_process(Pid::from_raw(i32::try_from(pid)?).context("a pid")?, Signal::KILL);
    }
    Ok(())
}
