//! A small NeoStock to operate: a real git repository with five released versions, a real SQLite
//! database that migrates up and down and is backed up, a blue/green pair of real processes behind a
//! small proxy, with health endpoint and metrics, and the runbook that the bot operates it with.
//!
//! Its procedures are the manual's. The hidden `neostock-ops sample …` commands stand where the
//! manual has its scripts, `bun db:rollback` and `pm2 restart`.

mod backup;
mod check;
mod commands;
mod database;
mod front;
mod get;
mod pair;
mod precheck;
mod process;
mod repository;
mod result;
mod runbook;
mod serve;
mod verify;

pub use commands::run;

use anyhow::Context;
use pair::Colour;
use process::Unit;
use std::fs::{self, File};
use std::io::Write;
use std::net::TcpListener;
use std::path::{Path, PathBuf};

/// The version that a new sample serves; the later ones are there to deploy.
const START_VERSION: &str = "v1.2";
/// In a slot's tree: the version that was exported.
const RELEASE: &str = "RELEASE";

/// The sample as it lies on disk, and the program that serves it.
#[derive(Debug, Clone)]
pub struct Sample {
    place: Place,
    program: PathBuf,
    port: u16,
    preview: u16,
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

    fn slot(&self, colour: Colour) -> PathBuf {
        self.dir.join("slots").join(colour.name())
    }

    fn migrations(&self, colour: Colour) -> PathBuf {
        self.slot(colour).join("db")
    }

    /// Names the live colour.
    fn live_file(&self) -> PathBuf {
        self.dir.join("live")
    }

    fn database(&self) -> PathBuf {
        self.dir.join("data").join("neostock.db")
    }

    fn backups(&self) -> PathBuf {
        self.dir.join("backups")
    }

    /// Of both colours, one line a request.
    fn access_log(&self) -> PathBuf {
        self.dir.join("log").join("access.log")
    }

    /// What a process said on its standard output and error.
    fn log(&self, name: &str) -> PathBuf {
        self.dir.join("log").join(format!("{name}.log"))
    }

    fn pid_file(&self, name: &str) -> PathBuf {
        self.dir.join("run").join(name)
    }

    fn misbehave(&self) -> PathBuf {
        self.dir.join("misbehave")
    }

    fn runbook(&self) -> PathBuf {
        self.dir.join("runbook.yml")
    }
}

/// Replaces a file so that a reader sees the old text or the new one, also after a crash.
fn replace(file: &Path, text: &[u8]) -> anyhow::Result<()> {
    let new = file.with_extension(format!("{}.new", std::process::id()));
    let mut writing = File::create(&new).with_context(|| format!("make {}", new.display()))?;
    writing.write_all(text).with_context(|| format!("write {}", new.display()))?;
    writing.sync_all().with_context(|| format!("flush {}", new.display()))?;
    fs::rename(&new, file).with_context(|| format!("put {} in place", file.display()))?;
    sync_folder(file.parent().unwrap_or(Path::new("/")))
}

/// Makes renames in a folder last.
fn sync_folder(folder: &Path) -> anyhow::Result<()> {
    let flushed = File::open(folder).and_then(|folder| folder.sync_all());
    flushed.with_context(|| format!("flush {}", folder.display()))
}

/// Makes the sample in a folder of its own: repository, database, runbook, and version v1.2 in the
/// slot that is live. `program` is the `neostock-ops` that its commands call, `port` where the front
/// will listen on loopback.
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
    for folder in ["data", "log", "run", "slots", "backups"] {
        fs::create_dir_all(dir.join(folder))
            .with_context(|| format!("make the folder {folder}"))?;
    }
    let making = place.clone();
    let fill = move || {
        repository::create(&making.repo())?;
        pair::export(&making, START_VERSION, Colour::Blue)?;
        pair::make_live(&making, Colour::Blue)
    };
    tokio::task::spawn_blocking(fill).await.context("wait for git")??;
    database::create(&place, Colour::Blue).await?;
    let preview = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    let preview = preview.context("look for a free port")?.port();
    let text = runbook::text(&place, program, port, preview)?;
    fs::write(place.runbook(), text).context("write the runbook")?;
    Ok(Sample { place, program: program.to_owned(), port, preview })
}

impl Sample {
    /// Starts the front and the live colour, or starts them anew; returns when they answer. All of
    /// it, colours of later deploys too, ends by itself when the calling process is gone.
    ///
    /// # Errors
    /// The program could not be started or did not answer in time; its log's end is in the message.
    pub async fn start(&self) -> anyhow::Result<()> {
        let sample = self.clone();
        tokio::task::spawn_blocking(move || {
            let started = sample.start_all();
            if started.is_err() {
                process::stop_all(&sample.place)?;
            }
            started
        })
        .await
        .context("wait for the start")?
    }

    fn start_all(&self) -> anyhow::Result<()> {
        process::stop_all(&self.place)?;
        process::write_down_owner(&self.place)?;
        pair::start(&self.program, &self.place, pair::live(&self.place)?)?;
        let (port, preview) = (self.port.to_string(), self.preview.to_string());
        let words = ["front", "--port", &port, "--preview", &preview].map(str::to_owned);
        process::restart(&self.program, &self.place, Unit::Front, &words).map(|_| ())
    }

    /// Stops the front and both colours; returns when their processes are gone.
    ///
    /// # Errors
    /// A process could not be stopped.
    pub async fn stop(&self) -> anyhow::Result<()> {
        let place = self.place.clone();
        tokio::task::spawn_blocking(move || process::stop_all(&place).map(|_| ()))
            .await
            .context("wait for the stop")?
    }

    /// Makes the service misbehave until told otherwise: lines of `health=500`, `latency_ms=6000`,
    /// `error_rate=0.2`, `auth_failure_rate=0.2`, `fetch_failure_rate=0.3`; empty text ends it. A line
    /// with `version=v1.3` is for that version alone.
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

    /// Where the live colour says how it is.
    pub fn health_url(&self) -> String {
        format!("http://127.0.0.1:{}/health", self.port)
    }

    /// Where the idle colour says how it is.
    pub fn preview_url(&self) -> String {
        format!("http://127.0.0.1:{}/health", self.preview)
    }

    /// The process that serves the live colour now, if one does.
    pub fn pid(&self) -> Option<i32> {
        let live = pair::live(&self.place).ok()?;
        process::running(&self.place, Unit::Slot(live)).map(|running| running.pid())
    }
}
