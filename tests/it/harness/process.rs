//! A bot as a process of its own, on real time, that a test can kill.

use super::bot::{environment, shown};
use super::looks::Looks;
use super::place::Place;
use super::ports::free_port;
use neostock_ops::sandbox::{Options, Workspace};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long a test waits for what must happen.
const PATIENCE: Duration = Duration::from_mins(1);

/// A workspace, a place, and the bot's process while it lives.
pub struct Process {
    pub workspace: Workspace,
    pub place: Place,
    pub database_url: String,
    /// The binary that runs; its own path, so that a test can replace it.
    pub program: PathBuf,
    /// Variables that go before the usual ones.
    pub variables: Vec<(String, String)>,
    /// Where it listens.
    pub url: String,
    child: Option<Child>,
    others: Vec<Child>,
}

impl Process {
    pub async fn new(database_url: &str, actions: &str) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let workspace = Workspace::start(Options::default()).await.unwrap();
        let place = Place::new(actions);
        Self {
            workspace,
            place,
            database_url: database_url.to_owned(),
            program: env!("CARGO_BIN_EXE_neostock-ops").into(),
            variables: Vec::new(),
            url: String::new(),
            child: None,
            others: Vec::new(),
        }
    }

    /// Starts the bot; `fault` is a point at which it kills itself. Returns when it is ready, or
    /// `false` when it died before.
    pub async fn start(&mut self, fault: Option<&str>) -> bool {
        self.start_at(free_port(), fault).await
    }

    /// The same at a port that others know.
    pub async fn start_at(&mut self, port: u16, fault: Option<&str>) -> bool {
        assert!(self.child.is_none(), "it runs already");
        self.url = format!("http://127.0.0.1:{port}");
        let mut command = self.command(port);
        if let Some(fault) = fault {
            command.env("NEOSTOCK_FAULT", fault);
        }
        self.child = Some(command.spawn().unwrap());
        let url = self.url.clone();
        self.workspace.set_request_url(&url);
        let client = reqwest::Client::new();
        let looks = Looks::within(PATIENCE);
        loop {
            if self.has_died() {
                return false;
            }
            let answer = client.get(format!("{url}/readyz")).send().await;
            if answer.is_ok_and(|answer| answer.status().is_success()) {
                return true;
            }
            looks.again(|| format!("the bot did not become ready\n{}", self.log())).await;
        }
    }

    fn command(&self, port: u16) -> Command {
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.place.path().join("bot.log"))
            .unwrap();
        let mut command = self.program();
        command
            .arg("serve")
            .env("NEOSTOCK_LISTEN", format!("127.0.0.1:{port}"))
            .stdout(Stdio::null())
            .stderr(log);
        command
    }

    fn program(&self) -> Command {
        let mut command = Command::new(&self.program);
        command
            .env_clear()
            .envs(environment(&self.workspace, &self.place, &self.database_url))
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("NEOSTOCK_HOST", "test")
            .envs(self.variables.iter().cloned())
            .current_dir(self.place.path())
            .stdin(Stdio::null());
        command
    }

    /// Types `neostock-ops …` on the bot's machine: its exit code, and everything it said.
    pub async fn types(&self, words: &[&str]) -> (i32, String) {
        self.types_as(None, words).await
    }

    /// The same as another system user.
    pub async fn types_as(&self, uid: Option<u32>, words: &[&str]) -> (i32, String) {
        let mut command = self.program();
        command.args(words);
        if let Some(uid) = uid {
            command.uid(uid);
        }
        let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        let said = [output.stdout, output.stderr].concat();
        (output.status.code().unwrap(), String::from_utf8(said).unwrap())
    }

    /// Starts another bot beside this one, with a data folder of its own; Slack keeps talking to the
    /// first.
    pub fn second(&mut self) {
        let mut command = self.command(free_port());
        command.env("NEOSTOCK_DATA_DIR", self.place.path().join("data-2"));
        self.others.push(command.spawn().unwrap());
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

    /// kill -9, of all bots.
    pub fn kill(&mut self) {
        for mut child in self.child.take().into_iter().chain(self.others.drain(..)) {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Sends the bot a signal.
    pub fn signal(&self, signal: Signal) {
        let pid = self.pid();
        kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
    }

    pub fn pid(&self) -> i32 {
        i32::try_from(self.child.as_ref().expect("it runs").id()).unwrap()
    }

    /// Waits for the bot's end: its exit code, and how long that took.
    pub async fn ended(&mut self) -> (Option<i32>, Duration) {
        let began = Instant::now();
        let mut child = self.child.take().expect("it runs");
        let looks = Looks::within(PATIENCE);
        loop {
            if let Some(status) = child.try_wait().unwrap() {
                return (status.code(), began.elapsed());
            }
            if looks.is_over() {
                child.kill().unwrap();
                child.wait().unwrap();
            }
            looks.again(|| format!("the bot did not end\n{}", self.log())).await;
        }
    }

    /// What the bot says of itself: the status and the JSON of `/readyz`.
    pub async fn ready(&self) -> (u16, Value) {
        let answer = reqwest::get(format!("{}/readyz", self.url)).await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap())
    }

    /// Waits, in real time, until `/readyz` says something.
    pub async fn until_ready(&mut self, what: &str, holds: impl Fn(u16, &Value) -> bool) -> Value {
        let looks = Looks::within(PATIENCE);
        loop {
            let (status, report) = self.ready().await;
            if holds(status, &report) {
                return report;
            }
            looks.again(|| format!("not in time: {what}: {report}\n{}", self.log())).await;
        }
    }

    /// The value of a line of `/metrics`.
    pub async fn metric(&self, line: &str) -> Option<i64> {
        let text = reqwest::get(format!("{}/metrics", self.url)).await.unwrap();
        let text = text.text().await.unwrap();
        text.lines().find_map(|found| found.strip_prefix(line)?.trim().parse().ok())
    }

    /// Types `/neostock …` in #ops; what that person reads.
    pub async fn say(&self, user: &str, text: &str) -> String {
        let answer = self.workspace.say(user, "C0OPS", text).await;
        answer.message().map_or_else(|| format!("{answer:?}"), shown)
    }

    /// What the messages in #ops say.
    pub fn told(&self) -> Vec<String> {
        self.workspace.messages("C0OPS").iter().map(shown).collect()
    }

    /// Waits, in real time, until something holds.
    pub async fn until(&mut self, what: &str, mut holds: impl FnMut(&mut Self) -> bool) {
        let looks = Looks::within(PATIENCE);
        while !holds(self) {
            let told = || format!("not in time: {what}\n{}\n{}", self.everything(), self.log());
            looks.again(told).await;
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
