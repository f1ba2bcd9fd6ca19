//! A bot as a process of its own, on real time, that a test can kill.

use super::bot::environment;
use super::place::Place;
use neostock_ops::sandbox::{Options, Workspace};
use std::fs::File;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long a test waits for what must happen.
const PATIENCE: Duration = Duration::from_mins(1);

/// A workspace, a place, and the bot's process while it lives.
pub struct Process {
    pub workspace: Workspace,
    pub place: Place,
    pub database_url: String,
    child: Option<Child>,
}

impl Process {
    pub async fn new(database_url: &str, actions: &str) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let workspace = Workspace::start(Options::default()).await.unwrap();
        let place = Place::new(actions);
        Self { workspace, place, database_url: database_url.to_owned(), child: None }
    }

    /// Starts the bot; `fault` is a point at which it kills itself. Returns when it is ready, or
    /// `false` when it died before.
    pub async fn start(&mut self, fault: Option<&str>) -> bool {
        assert!(self.child.is_none(), "it runs already");
        let port = free_port();
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.place.path().join("bot.log"))
            .unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_neostock-ops"));
        command
            .arg("serve")
            .env_clear()
            .envs(environment(&self.workspace, &self.place, &self.database_url))
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("NEOSTOCK_LISTEN", format!("127.0.0.1:{port}"))
            .env("NEOSTOCK_HOST", "test")
            .current_dir(self.place.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log);
        if let Some(fault) = fault {
            command.env("NEOSTOCK_FAULT", fault);
        }
        self.child = Some(command.spawn().unwrap());
        let url = format!("http://127.0.0.1:{port}");
        self.workspace.set_request_url(&url);
        let client = reqwest::Client::new();
        let deadline = Instant::now() + PATIENCE;
        loop {
            if self.has_died() {
                return false;
            }
            let answer = client.get(format!("{url}/readyz")).send().await;
            if answer.is_ok_and(|answer| answer.status().is_success()) {
                return true;
            }
            assert!(Instant::now() < deadline, "the bot did not become ready\n{}", self.log());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Whether the bot's process has ended by itself.
    pub fn has_died(&mut self) -> bool {
        let Some(child) = &mut self.child else { return true };
        if child.try_wait().unwrap().is_some() {
            self.child = None;
            return true;
        }
        false
    }

    /// The living bot's process id.
    pub fn pid(&self) -> u32 {
        self.child.as_ref().map(Child::id).unwrap()
    }

    /// kill -9.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Waits, in real time, until something holds.
    pub async fn until(&mut self, what: &str, mut holds: impl FnMut(&mut Self) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !holds(self) {
            let is_late = Instant::now() > deadline;
            assert!(!is_late, "not in time: {what}\n{}\n{}", self.everything(), self.log());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    pub fn everything(&self) -> String {
        neostock_ops::sandbox::transcript(&self.workspace, neostock_ops::sandbox::Language::En)
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.place.path().join("bot.log")).unwrap_or_default()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

pub fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
