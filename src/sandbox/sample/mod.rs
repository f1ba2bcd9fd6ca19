//! A small NeoStock to operate: a real git repository with four released versions, a real SQLite
//! database that migrates up and down, a real process with a health endpoint and metrics, and the
//! runbook that the bot operates it with.
//!
//! Its procedure is the manual's: verify the version, roll the database back, check the version
//! out, restart, ask for health. The hidden `neostock-ops sample …` commands stand where the manual
//! has `bun db:rollback` and `pm2 restart`.

mod database;
mod process;
mod repository;
mod runbook;
mod serve;

use anyhow::Context;
use clap::{Parser, Subcommand};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

/// The sample as it lies on disk, and the program that serves it.
#[derive(Debug, Clone)]
pub struct Sample {
    place: Place,
    program: PathBuf,
    port: u16,
}

/// Where the sample keeps what.
#[derive(Debug, Clone)]
struct Place {
    dir: PathBuf,
}

impl Place {
    fn new(dir: &Path) -> Self {
        Self { dir: dir.to_owned() }
    }

    fn repo(&self) -> PathBuf {
        self.dir.join("repo")
    }

    fn migrations(&self) -> PathBuf {
        self.repo().join("db")
    }

    fn database(&self) -> PathBuf {
        self.dir.join("data").join("neostock.db")
    }

    fn access_log(&self) -> PathBuf {
        self.dir.join("log").join("access.log")
    }

    fn service_log(&self) -> PathBuf {
        self.dir.join("log").join("service.log")
    }

    fn pid_file(&self) -> PathBuf {
        self.dir.join("service.pid")
    }

    fn misbehave(&self) -> PathBuf {
        self.dir.join("misbehave")
    }

    fn runbook(&self) -> PathBuf {
        self.dir.join("runbook.yml")
    }
}

/// Makes the sample in a folder of its own: repository at `v1.3`, database, runbook. `program` is
/// the `neostock-ops` that its commands call, `port` where it will listen on loopback.
///
/// # Errors
/// The folder holds a sample already, or git or SQLite refused; what was made until then stays.
pub async fn create(dir: &Path, program: &Path, port: u16) -> anyhow::Result<Sample> {
    fs::create_dir_all(dir).with_context(|| format!("make the folder {}", dir.display()))?;
    let dir = dir.canonicalize().with_context(|| format!("resolve {}", dir.display()))?;
    let place = Place::new(&dir);
    anyhow::ensure!(
        !place.repo().exists(),
        "{} holds a sample already; choose another folder or delete that one",
        dir.display()
    );
    for folder in ["data", "log"] {
        fs::create_dir_all(dir.join(folder))
            .with_context(|| format!("make the folder {folder}"))?;
    }
    let making = place.clone();
    tokio::task::spawn_blocking(move || repository::create(&making.repo()))
        .await
        .context("wait for git")??;
    database::create(&place).await?;
    let text = runbook::text(&place, program, port)?;
    fs::write(place.runbook(), text).context("write the runbook")?;
    Ok(Sample { place, program: program.to_owned(), port })
}

impl Sample {
    /// Starts the service, or starts it anew; returns when it answers.
    ///
    /// # Errors
    /// The program could not be started or did not answer in time; its log's end is in the message.
    pub async fn start(&self) -> anyhow::Result<()> {
        let sample = self.clone();
        tokio::task::spawn_blocking(move || {
            process::restart(&sample.program, &sample.place, sample.port).map(|_| ())
        })
        .await
        .context("wait for the start")?
    }

    /// Stops the service; returns when its process is gone.
    ///
    /// # Errors
    /// The process could not be stopped.
    pub async fn stop(&self) -> anyhow::Result<()> {
        let place = self.place.clone();
        tokio::task::spawn_blocking(move || process::stop(&place).map(|_| ()))
            .await
            .context("wait for the stop")?
    }

    /// Makes the service misbehave until told otherwise: lines of `health=500`, `latency_ms=6000`,
    /// `error_rate=0.2`, `auth_failure_rate=0.2`, `fetch_failure_rate=0.3`; empty text ends it.
    ///
    /// # Errors
    /// The file could not be written.
    pub fn misbehave(&self, how: &str) -> anyhow::Result<()> {
        fs::write(self.place.misbehave(), how).context("write the misbehave file")
    }

    /// The folder of everything.
    pub fn dir(&self) -> &Path {
        &self.place.dir
    }

    /// The git repository.
    pub fn repo(&self) -> PathBuf {
        self.place.repo()
    }

    /// The SQLite database.
    pub fn database(&self) -> PathBuf {
        self.place.database()
    }

    /// The runbook to start the bot with.
    pub fn runbook(&self) -> PathBuf {
        self.place.runbook()
    }

    /// Where it says how it is.
    pub fn health_url(&self) -> String {
        format!("http://127.0.0.1:{}/health", self.port)
    }

    /// The process that serves it now, if one does.
    pub fn pid(&self) -> Option<i32> {
        process::running(&self.place).map(|running| running.pid)
    }
}

#[derive(Debug, Parser)]
#[command(name = "neostock-ops sample", about = "The demo's own small service")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve the version that is checked out.
    Serve {
        #[arg(long)]
        dir: PathBuf,
        #[arg(long)]
        port: u16,
        /// Leave the terminal's session first.
        #[arg(long)]
        detach: bool,
    },
    /// Undo migrations until the database fits a version.
    DbRollback {
        #[arg(long)]
        dir: PathBuf,
        #[arg(long)]
        to: String,
    },
    /// Apply the migrations of the version that is checked out.
    DbMigrate {
        #[arg(long)]
        dir: PathBuf,
    },
    /// Stop the old process, start a new one and wait until it answers.
    Restart {
        #[arg(long)]
        dir: PathBuf,
        #[arg(long)]
        port: u16,
    },
    /// Stop the process.
    Stop {
        #[arg(long)]
        dir: PathBuf,
    },
}

/// Does `neostock-ops sample <args>` and says the exit code. Words for people go to `out`.
///
/// It makes its own runtime where it needs one, so it must not be called inside one.
///
/// # Errors
/// What was asked could not be done; the message is meant for the person who reads the step's
/// output.
pub fn run(args: &[String], out: &mut dyn Write) -> anyhow::Result<u8> {
    let words = std::iter::once("sample").chain(args.iter().map(String::as_str));
    let cli = match Cli::try_parse_from(words) {
        Ok(cli) => cli,
        Err(error) => {
            write!(out, "{error}")?;
            return Ok(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    match cli.command {
        Command::Serve { dir, port, detach } => {
            if detach {
                process::detach();
            }
            runtime()?.block_on(serve::serve(Place::new(&dir), port))?;
        }
        Command::DbRollback { dir, to } => {
            runtime()?.block_on(database::rollback(&Place::new(&dir), &to, out))?;
        }
        Command::DbMigrate { dir } => {
            runtime()?.block_on(database::migrate(&Place::new(&dir), out))?;
        }
        Command::Restart { dir, port } => {
            writeln!(out, "重启服务...")?;
            let program = std::env::current_exe().context("find this program")?;
            let pid = process::restart(&program, &Place::new(&dir), port)?;
            writeln!(out, "服务已启动 (pid {pid}，端口 {port})")?;
        }
        Command::Stop { dir } => match process::stop(&Place::new(&dir))? {
            Some(pid) => writeln!(out, "服务已停止 (pid {pid})")?,
            None => writeln!(out, "服务没有在运行")?,
        },
    }
    Ok(0)
}

fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().build().context("make a runtime")
}
