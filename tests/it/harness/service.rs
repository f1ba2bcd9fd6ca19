//! The sample service with its real processes, and a load on it.

use super::looks::Looks;
use super::ports::free_port;
use neostock_ops::sandbox::sample::{self, Sample};
use reqwest::Client;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, Connection};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tempfile::TempDir;
use tokio::task::JoinHandle;

/// How long a test waits for what must happen.
const PATIENCE: Duration = Duration::from_secs(40);

/// A sample service that is stopped also when its test fails.
pub struct Service {
    // Goes after the service has been stopped.
    _folder: TempDir,
    pub sample: Sample,
    pub http: Client,
}

impl Service {
    /// Makes one and starts it at v1.2.
    pub async fn start() -> Self {
        let service = Self::make(free_port()).await;
        service.sample.start().await.unwrap();
        service
    }

    pub async fn make(port: u16) -> Self {
        let folder = tempfile::tempdir().unwrap();
        // The second test of a process finds it installed.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let program = PathBuf::from(env!("CARGO_BIN_EXE_neostock-ops"));
        let sample = sample::create(&folder.path().join("sample"), &program, port).await.unwrap();
        Self { _folder: folder, sample, http: client(true) }
    }

    /// Runs `neostock-ops sample <words>`: whether it went well, and everything it said.
    pub async fn says(&self, words: &str) -> (bool, String) {
        let words: Vec<String> = words.split(' ').map(str::to_owned).collect();
        let dir = self.sample.dir().to_owned();
        tokio::task::spawn_blocking(move || says(&dir, &words)).await.unwrap()
    }

    /// The same, which must go well.
    pub async fn does(&self, words: &str) -> String {
        let (ok, said) = self.says(words).await;
        assert!(ok, "{words}: {said}");
        said
    }

    /// The same, which must be refused.
    pub async fn refuses(&self, words: &str) -> String {
        let (ok, said) = self.says(words).await;
        assert!(!ok, "{words}: {said}");
        said
    }

    /// What people get at an address of the service.
    pub async fn get(&self, url: &str) -> (u16, String) {
        let answer = self.http.get(url).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }

    pub async fn health(&self) -> (u16, String) {
        self.get(&self.sample.health_url()).await
    }

    /// What the idle colour says.
    pub async fn preview(&self) -> (u16, String) {
        self.get(&self.sample.preview_url()).await
    }

    /// An address of the public port.
    pub fn url(&self, path: &str) -> String {
        self.sample.health_url().replace("/health", path)
    }

    /// Waits, in real time, until something holds.
    pub async fn until<F: Future<Output = bool>>(&self, what: &str, holds: impl Fn() -> F) {
        let looks = Looks::within(PATIENCE);
        while !holds().await {
            looks.again(|| format!("not in time: {what}")).await;
        }
    }

    /// The process that wrote itself down under this name: `front`, `blue` or `green`.
    pub fn pid_of(&self, name: &str) -> i32 {
        let text = std::fs::read(self.sample.dir().join("run").join(name)).unwrap();
        let written: serde_json::Value = serde_json::from_slice(&text).unwrap();
        written["pid"].as_i64().unwrap().try_into().unwrap()
    }

    /// kill -9.
    pub fn kill(&self, name: &str) {
        let pid = rustix::process::Pid::from_raw(self.pid_of(name)).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    }

    /// Every backup, the oldest first.
    pub fn backups(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.sample.dir().join("backups")).unwrap();
        let mut found: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
        found.retain(|file| file.extension().is_some_and(|extension| extension == "db"));
        found.sort();
        found
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        says(self.sample.dir(), &["stop".to_owned()]);
    }
}

fn says(dir: &Path, words: &[String]) -> (bool, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_neostock-ops"))
        .arg("sample")
        .args(words)
        .arg("--dir")
        .arg(dir)
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(said).unwrap())
}

/// Runs statements on a SQLite file.
pub async fn execute(file: &Path, statements: &str) {
    let mut database = open(file).await;
    sqlx::raw_sql(AssertSqlSafe(statements.to_owned())).execute(&mut database).await.unwrap();
    database.close().await.unwrap();
}

pub async fn open(file: &Path) -> SqliteConnection {
    SqliteConnection::connect_with(&SqliteConnectOptions::new().filename(file)).await.unwrap()
}

fn client(keeps_alive: bool) -> Client {
    let idle = if keeps_alive { 4 } else { 0 };
    Client::builder().no_proxy().pool_max_idle_per_host(idle).build().unwrap()
}

/// Requests without a pause from several clients, counted by what came of them.
pub struct Load {
    counts: Arc<Mutex<BTreeMap<String, u64>>>,
    over: Arc<AtomicBool>,
    clients: Vec<JoinHandle<()>>,
}

impl Load {
    /// Half of the clients keep their connections, half open one a request.
    pub fn start(url: &str, clients: usize) -> Self {
        let counts = Arc::new(Mutex::new(BTreeMap::new()));
        let over = Arc::new(AtomicBool::new(false));
        let clients = (0..clients)
            .map(|index| {
                let (url, http) = (url.to_owned(), client(index % 2 == 0));
                let (counts, over) = (Arc::clone(&counts), Arc::clone(&over));
                tokio::spawn(async move {
                    while !over.load(Ordering::SeqCst) {
                        let outcome = one(&http, &url).await;
                        *counts.lock().unwrap().entry(outcome).or_default() += 1;
                    }
                })
            })
            .collect();
        Self { counts, over, clients }
    }

    pub fn total(&self) -> u64 {
        self.counts.lock().unwrap().values().sum()
    }

    /// Ends the load; how often what came: `200 v1.2`, or the fault.
    pub async fn end(self) -> BTreeMap<String, u64> {
        self.over.store(true, Ordering::SeqCst);
        for client in self.clients {
            client.await.unwrap();
        }
        self.counts.lock().unwrap().clone()
    }
}

async fn one(http: &Client, url: &str) -> String {
    let ask = async {
        let answer = http.get(url).send().await?;
        let status = answer.status().as_u16();
        let version = answer.headers().get("x-neostock-version").cloned();
        answer.bytes().await?;
        let version = version.as_ref().map_or("?", |version| version.to_str().unwrap());
        Ok::<_, reqwest::Error>(format!("{status} {version}"))
    };
    ask.await.unwrap_or_else(|error| format!("{error:?}"))
}
