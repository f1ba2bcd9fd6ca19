//! The bot as a process: how long a cold start takes, and what it holds in memory when it idles.
#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a bench measures real time, starts programs and speaks to whoever runs it"
)]

mod support;

use anyhow::{Context, ensure};
use neostock_ops::sandbox::{Options, Workspace};
use std::fs::File;
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use support::folder::Folder;
use support::http::{self, Connection};
use support::stats::{Sorted, median_and_range, ms, print_table};

/// Cold starts.
const STARTS: usize = 20;
/// Of these, so many are left to idle, all at once, and weighed then.
const IDLERS: usize = 3;
const IDLE: Duration = Duration::from_secs(5);
/// Between two looks at a starting bot.
const LOOK: Duration = Duration::from_micros(500);
const PATIENCE: Duration = Duration::from_secs(20);
const KIB_IN_MIB: f64 = 1_024.0;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let workspace = Workspace::start(Options::default()).await?;
    let (mut alive, mut ready) = (Vec::new(), Vec::new());
    let mut idlers = Vec::new();
    for count in 0..STARTS {
        let bot = Bot::start(&workspace)?;
        let (alive_took, ready_took) = bot.becomes_ready().await?;
        alive.push(alive_took);
        ready.push(ready_took);
        if count >= STARTS - IDLERS {
            idlers.push(bot);
        }
    }
    println!("## Cold start: a new SQLite file, {STARTS} times\n");
    let rows =
        [("until /healthz answers", alive), ("until /readyz is 200", ready)].map(|(what, took)| {
            let took = Sorted::of(took);
            vec![what.to_owned(), ms(took.p50()), ms(took.at(1.0))]
        });
    print_table(&["what", "p50", "longest"], &rows);

    tokio::time::sleep(IDLE).await;
    println!("## Idle for {} s: memory\n", IDLE.as_secs());
    let mut rows = Vec::new();
    for field in ["VmRSS", "RssAnon", "RssFile"] {
        let mib: anyhow::Result<Vec<f64>> = idlers.iter().map(|bot| bot.mib(field)).collect();
        let (median, least, most) = median_and_range(mib?);
        rows.push(vec![field.to_owned(), format!("{median:.1} MiB ({least:.1}–{most:.1})")]);
    }
    print_table(&["field of /proc/PID/status", "size"], &rows);
    drop(idlers);
    workspace.shutdown().await;
    Ok(())
}

/// A bot in a folder of its own; it is killed when this is dropped.
struct Bot {
    child: Child,
    began: Instant,
    address: SocketAddr,
    folder: Folder,
}

impl Bot {
    fn start(workspace: &Workspace) -> anyhow::Result<Self> {
        let folder = Folder::new()?;
        let address = free_address()?;
        let mut command = Command::new(env!("CARGO_BIN_EXE_neostock-ops"));
        command
            .arg("serve")
            .env_clear()
            .envs(folder.environment(workspace, &folder.sqlite_url()))
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("NEOSTOCK_LISTEN", address.to_string())
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(folder.path().join("log"))?);
        let began = Instant::now();
        let child = command.spawn()?;
        Ok(Self { child, began, address, folder })
    }

    /// How long it took until it answered at all, and until it could serve.
    async fn becomes_ready(&self) -> anyhow::Result<(Duration, Duration)> {
        let mut took = [Duration::ZERO; 2];
        for (path, took) in ["/healthz", "/readyz"].iter().zip(&mut took) {
            let request = http::request(path, &[], "");
            while !self.is_good(&request).await {
                ensure!(self.began.elapsed() < PATIENCE, "the bot did not start: {}", self.log());
                tokio::time::sleep(LOOK).await;
            }
            *took = self.began.elapsed();
        }
        Ok(took.into())
    }

    async fn is_good(&self, request: &[u8]) -> bool {
        let Ok(mut connection) = Connection::open(self.address).await else { return false };
        connection.exchange(request).await.is_ok_and(|answer| answer.status == 200)
    }

    /// One line of its `/proc/PID/status`.
    fn mib(&self, field: &str) -> anyhow::Result<f64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB")).context("a size")?;
        Ok(kib.parse::<f64>()? / KIB_IN_MIB)
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Bot {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to kill.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn free_address() -> anyhow::Result<SocketAddr> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}
