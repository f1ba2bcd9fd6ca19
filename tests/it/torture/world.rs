//! What is tortured: bots as processes, a workspace, a database, and steps that leave evidence of
//! their own, apart from everything that the bot knows.

use super::plan::{LEASE_MS, Shape};
use crate::harness::database::{Engine, TestDatabase};
use crate::harness::looks::Looks;
use crate::harness::ports::free_port;
use neostock_ops::sandbox::{Channel, Fault, Options, Workspace};
use rustix::process::{Pid, Signal, kill_process};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// The cluster of `tools/postgres-cluster.sh` that the torture may kill.
pub const CLUSTER_VARIABLE: &str = "NEOSTOCK_TORTURE_CLUSTER";
/// How long a bot may take to start.
const START_MAX: Duration = Duration::from_secs(20);
/// Longer than a bot with this lease waits for an answer of Slack's.
const HANG_MS: u64 = LEASE_MS;
/// Each process of a step carries it, so that none can hide.
const MARK: &str = "TORTURE_MARK";

/// Says on paper what it does: `begin` and `end` lines in its environment's file, each one write, and
/// numbered lines of output. `step.sh NAME LINES PAUSE CODE EXTRA`; as EXTRA `orphan` leaves a process, and
/// `hand` hands a value on.
const STEP: &str = r#"
log="$EVIDENCE/$NEOSTOCK_ENVIRONMENT"
echo "begin $NEOSTOCK_RUN $1 $NEOSTOCK_ATTEMPT" >> "$log"
[ "$5" = orphan ] && { sleep 4 & }
[ "$5" = hand ] && echo state=full >> "$NEOSTOCK_OUTPUTS"
i=0
while [ $i -lt $2 ]; do
    i=$((i + 1))
    echo "$NEOSTOCK_RUN.$1.$NEOSTOCK_ATTEMPT.$i"
    [ $3 = 0 ] || sleep $3
done
echo "end $NEOSTOCK_RUN $1 $NEOSTOCK_ATTEMPT $4" >> "$log"
exit $4
"#;

/// One action of the runbook.
#[derive(Debug, Clone, Copy)]
pub struct Action {
    pub name: &'static str,
    /// A key of the action: its approval, what follows its failure.
    extra: &'static str,
    pub steps: &'static [Step],
}

/// One step: what the script is called with.
#[derive(Debug, Clone, Copy)]
pub struct Step {
    pub lines: u32,
    pub pause: &'static str,
    pub code: i32,
    pub is_idempotent: bool,
    timeout: &'static str,
    extra: &'static str,
    /// Keys of its policy.
    policy: Policy,
}

/// What the runbook says of a step besides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    Plain,
    /// Cleanup: done whatever became of the steps before it.
    Always,
    /// Tried again twice.
    Retry,
    /// Hands `state` to the steps behind it, which is `full`.
    Hands,
    /// Done if `state` is `full`.
    IfFull,
    /// Done if `state` is `empty`.
    IfEmpty,
}

impl Policy {
    fn keys(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Always => "always: true, ",
            Self::Retry => "retry: {times: 2, delay: 300ms}, ",
            Self::Hands => "outputs: [state], ",
            Self::IfFull => "when: {value: \"{state}\", is: full}, ",
            Self::IfEmpty => "when: {value: \"{state}\", is: empty}, ",
        }
    }
}

impl Action {
    /// Something follows its failure by itself.
    pub fn follows(&self) -> bool {
        self.extra.starts_with("on_failure")
    }
}

const fn step(lines: u32, pause: &'static str) -> Step {
    let policy = Policy::Plain;
    Step { lines, pause, code: 0, is_idempotent: false, timeout: "60s", extra: "", policy }
}

const fn harmless(lines: u32, pause: &'static str) -> Step {
    Step { is_idempotent: true, ..step(lines, pause) }
}

impl Step {
    /// It takes longer than it may.
    pub fn is_late(self) -> bool {
        self.timeout == "1s"
    }

    pub fn policy(self) -> Policy {
        self.policy
    }
}

pub const ACTIONS: [Action; 14] = [
    Action { name: "quick", extra: "", steps: &[step(3, "0")] },
    Action { name: "three", extra: "", steps: &[step(2, "0.1"), step(3, "0.1"), step(2, "0.1")] },
    Action { name: "slow", extra: "", steps: &[step(20, "0.1")] },
    // Longer than a lease, so that it is taken over while it runs.
    Action { name: "long", extra: "", steps: &[step(60, "0.1")] },
    Action { name: "harmless", extra: "", steps: &[harmless(8, "0.1")] },
    Action {
        name: "mixed",
        extra: "",
        steps: &[harmless(4, "0.1"), step(4, "0.1"), harmless(4, "0.1")],
    },
    Action {
        name: "failing",
        extra: "",
        steps: &[step(2, "0.1"), Step { code: 3, ..step(3, "0.1") }, step(1, "0")],
    },
    Action {
        name: "late",
        extra: "",
        steps: &[Step { timeout: "1s", ..step(50, "0.1") }, step(1, "0")],
    },
    Action {
        name: "gated",
        extra: "approval: {from: lead, self: false, expires: 10m}",
        steps: &[step(3, "0.1"), step(3, "0.1")],
    },
    Action { name: "orphan", extra: "", steps: &[Step { extra: "orphan", ..step(10, "0.1") }] },
    Action {
        name: "tidying",
        extra: "",
        steps: &[
            step(3, "0.1"),
            Step { code: 3, ..step(3, "0.1") },
            step(1, "0"),
            Step { policy: Policy::Always, ..step(3, "0.1") },
        ],
    },
    Action {
        name: "retrying",
        extra: "",
        steps: &[
            Step { code: 3, policy: Policy::Retry, ..harmless(3, "0.1") },
            Step { policy: Policy::Always, ..step(1, "0") },
        ],
    },
    Action {
        name: "choosing",
        extra: "",
        steps: &[
            Step { extra: "hand", policy: Policy::Hands, ..step(3, "0.1") },
            Step { policy: Policy::IfEmpty, ..step(1, "0") },
            Step { policy: Policy::IfFull, ..step(3, "0.1") },
        ],
    },
    Action {
        name: "undoing",
        extra: "on_failure: {action: three}",
        steps: &[step(3, "0.1"), Step { code: 3, ..step(3, "0.1") }],
    },
];

pub fn environment(index: usize) -> String {
    format!("e{index:02}")
}

pub fn channel(index: usize) -> String {
    format!("C0E{index:02}")
}

fn runbook(shape: Shape, folder: &Path, mark: &str) -> String {
    let mut text = String::from("service: neostock\nlanguage: en\nenvironments:\n");
    let folder = folder.display();
    for index in 0..shape.environments {
        let (name, channel) = (environment(index), channel(index));
        let default = if index == 0 { "default: true, " } else { "" };
        let host = if shape.has_hosts {
            format!("host: host-{}, ", index % shape.bots)
        } else {
            String::new()
        };
        let _ = writeln!(
            text,
            "  {name}: {{workdir: {folder}, {default}{host}channel: {channel}, variables: \
             {{EVIDENCE: {folder}/evidence, {MARK}: {mark}}}}}"
        );
    }
    text += "roles:\n  viewer: {members: [everyone]}\n  operator: {members: [S0OPS]}\n  \
             lead: {members: [U0BOB, U0CAT]}\nactions:\n";
    for Action { name, extra, steps } in ACTIONS {
        let _ = writeln!(text, "  {name}:\n    summary: {name}\n    role: operator\n    steps:");
        for (index, step) in steps.iter().enumerate() {
            let Step { lines, pause, code, is_idempotent, timeout, extra, policy } = step;
            let keys = policy.keys();
            let _ = writeln!(
                text,
                "      - {{name: Step {}, {keys}idempotent: {is_idempotent}, timeout: {timeout}, run: \
                 [sh, {folder}/step.sh, \"{}\", \"{lines}\", \"{pause}\", \"{code}\", \"{extra}\"]}}",
                index + 1,
                index + 1
            );
        }
        if !extra.is_empty() {
            let _ = writeln!(text, "    {extra}");
        }
    }
    text
}

/// One bot of the world: a process, or the place of one.
#[derive(Default)]
struct Slot {
    child: Option<Child>,
    url: String,
    /// When it is started again, when it is down.
    revive: Option<Instant>,
    /// Where it is to kill itself after its next start.
    fault: Option<String>,
    is_stopped: bool,
}

/// Everything of one season.
pub struct World {
    pub shape: Shape,
    pub workspace: Workspace,
    pub database: TestDatabase,
    mark: String,
    folder: TempDir,
    slots: Mutex<Vec<Slot>>,
    /// Attempts whose supervisor was killed.
    killed: Mutex<BTreeSet<String>>,
    /// Runs that a bot said it accepted.
    accepted: Mutex<BTreeSet<String>>,
    is_database_down: Mutex<bool>,
}

impl World {
    pub async fn new(shape: Shape) -> Self {
        let engine = if shape.is_postgres { Engine::Postgres } else { Engine::Sqlite };
        let database = TestDatabase::new(engine).await;
        let options = Options {
            channels: (0..shape.environments)
                .map(|index| Channel::new(&channel(index), &environment(index)))
                .chain([Channel::new("C0OPS", "ops")])
                .collect(),
            ..Options::default()
        };
        let workspace = Workspace::start(options).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let mark = folder.path().file_name().unwrap().to_str().unwrap().to_owned();
        std::fs::create_dir(folder.path().join("evidence")).unwrap();
        std::fs::write(folder.path().join("step.sh"), STEP).unwrap();
        let text = runbook(shape, folder.path(), &mark);
        std::fs::write(folder.path().join("runbook.yml"), text).unwrap();
        let slots = (0..shape.bots).map(|_| Slot::default()).collect();
        Self {
            shape,
            workspace,
            database,
            mark,
            folder,
            slots: Mutex::new(slots),
            killed: Mutex::default(),
            accepted: Mutex::default(),
            is_database_down: Mutex::default(),
        }
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    fn slots(&self) -> MutexGuard<'_, Vec<Slot>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn killed(&self) -> BTreeSet<String> {
        self.killed.lock().unwrap().clone()
    }

    pub fn accepted(&self) -> BTreeSet<String> {
        self.accepted.lock().unwrap().clone()
    }

    pub fn note_accepted(&self, run: &str) {
        self.accepted.lock().unwrap().insert(run.to_owned());
    }

    // Bots.

    /// Starts every bot for the first time and waits until it serves.
    pub async fn begin(&self) {
        self.tend();
        let looks = Looks::within(START_MAX);
        for bot in 0..self.shape.bots {
            let url = format!("{}/readyz", self.url(bot));
            while !reqwest::get(&url).await.is_ok_and(|answer| answer.status().is_success()) {
                looks.again(|| format!("bot {bot} does not start\n{}", self.logs(20))).await;
            }
        }
    }

    /// What a service manager does: starts what is down and due.
    pub fn tend(&self) {
        let now = Instant::now();
        for (index, slot) in self.slots().iter_mut().enumerate() {
            let has_ended =
                slot.child.as_mut().is_some_and(|child| child.try_wait().unwrap().is_some());
            if has_ended {
                slot.child = None;
                slot.is_stopped = false;
                slot.revive = Some(now + Duration::from_millis(300));
            }
            if slot.child.is_none() && slot.revive.is_none_or(|at| now >= at) {
                self.start(index, slot);
            }
        }
    }

    fn start(&self, index: usize, slot: &mut Slot) {
        let port = free_port();
        slot.url = format!("http://127.0.0.1:{port}");
        let base_url = self.workspace.base_url();
        let host = if self.shape.has_hosts { format!("host-{index}") } else { "host".to_owned() };
        let log = self.path().join(format!("bot-{index}.log"));
        let log = File::options().create(true).append(true).open(log).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_neostock-ops"));
        command
            .arg("serve")
            .env_clear()
            .env("SLACK_BOT_TOKEN", self.workspace.bot_token())
            .env("SLACK_SIGNING_SECRET", self.workspace.signing_secret())
            .env("SLACK_API_URL", self.workspace.api_url())
            .env("DATABASE_URL", &self.database.url)
            .env("NEOSTOCK_RUNBOOK", self.path().join("runbook.yml"))
            .env("NEOSTOCK_DATA_DIR", self.data(index))
            .env("NEOSTOCK_RESPONSE_HOSTS", base_url.trim_start_matches("http://"))
            .env("NEOSTOCK_LEASE", format!("{LEASE_MS}ms"))
            .env("NEOSTOCK_LISTEN", format!("127.0.0.1:{port}"))
            .env("NEOSTOCK_HOST", host)
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .current_dir(self.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log);
        if let Some(fault) = slot.fault.take() {
            command.env("NEOSTOCK_FAULT", fault);
        }
        slot.child = Some(command.spawn().unwrap());
        slot.revive = None;
    }

    fn data(&self, bot: usize) -> PathBuf {
        self.path().join(format!("data-{bot}"))
    }

    /// The name that a bot has in the database.
    pub fn instance(&self, bot: usize) -> String {
        std::fs::read_to_string(self.data(bot).join("instance")).unwrap()
    }

    /// kill -9; it is started again later.
    pub fn kill_bot(&self, bot: usize, down_ms: u64) {
        let slot = &mut self.slots()[bot];
        slot.revive = Some(Instant::now() + Duration::from_millis(down_ms));
        slot.is_stopped = false;
        if let Some(mut child) = slot.child.take() {
            let _ = child.kill();
            child.wait().unwrap();
        }
    }

    /// Starts a bot anew that kills itself at a named place.
    pub fn fault_bot(&self, bot: usize, fault: String) {
        self.kill_bot(bot, 0);
        self.slots()[bot].fault = Some(fault);
    }

    /// SIGSTOP; which process it was, for [`World::go_on`].
    pub fn stop_bot(&self, bot: usize) -> Option<u32> {
        let slot = &mut self.slots()[bot];
        let child = slot.child.as_mut()?;
        if slot.is_stopped || child.try_wait().unwrap().is_some() {
            return None;
        }
        signal(child.id(), Signal::STOP);
        slot.is_stopped = true;
        Some(child.id())
    }

    /// SIGCONT, if it is still the same process.
    pub fn go_on(&self, bot: usize, stopped: u32) {
        let slot = &mut self.slots()[bot];
        if let Some(child) = &slot.child
            && child.id() == stopped
        {
            signal(stopped, Signal::CONT);
            slot.is_stopped = false;
        }
    }

    /// Where one bot listens.
    pub fn url(&self, bot: usize) -> String {
        self.slots()[bot].url.clone()
    }

    /// The bots that run and are not stopped.
    pub fn awake(&self) -> Vec<usize> {
        let slots = self.slots();
        let awake = slots.iter().enumerate().filter(|(_, slot)| slot.child.is_some());
        awake.filter(|(_, slot)| !slot.is_stopped).map(|(index, _)| index).collect()
    }

    /// Ends every bot without a goodbye.
    pub fn end_bots(&self) {
        for bot in 0..self.shape.bots {
            self.kill_bot(bot, u64::from(u32::MAX));
        }
    }

    // Supervisors and their steps.

    /// The supervisors that live, each with its attempt.
    pub fn supervisors(&self) -> Vec<(u32, String)> {
        let root = self.path().display().to_string();
        let mut found: Vec<(u32, String)> = processes()
            .filter_map(|pid| {
                let line = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
                let words: Vec<_> = line.split(|byte| *byte == 0).collect();
                let folder = std::str::from_utf8(words.get(2)?).ok()?;
                let is_ours = *words.get(1)? == b"exec-step" && folder.starts_with(&root);
                let attempt = Path::new(folder).file_name()?.to_str()?.to_owned();
                is_ours.then_some((pid, attempt))
            })
            .collect();
        // Until it becomes the step, a supervisor's child looks like it.
        let all: BTreeSet<u32> = found.iter().map(|(pid, _)| *pid).collect();
        found.retain(|(pid, _)| parent(*pid).is_none_or(|parent| !all.contains(&parent)));
        found
    }

    pub fn kill_supervisor(&self, (pid, attempt): (u32, String)) {
        self.killed.lock().unwrap().insert(attempt);
        signal(pid, Signal::KILL);
    }

    /// What still runs of any step.
    pub fn leftovers(&self) -> Vec<String> {
        let mark = format!("{MARK}={}", self.mark);
        let carriers = processes().filter(|pid| {
            let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            environment.split(|byte| *byte == 0).any(|entry| entry == mark.as_bytes())
        });
        let steps = carriers.map(|pid| format!("process {pid} of a step"));
        let supervisors = self.supervisors().into_iter();
        steps
            .chain(supervisors.map(|(pid, attempt)| format!("supervisor {pid} of {attempt}")))
            .collect()
    }

    /// What a step printed, as its supervisor kept it.
    pub fn output(&self, attempt: &str) -> String {
        let folders = (0..self.shape.bots).map(|bot| self.data(bot).join("attempts").join(attempt));
        let texts = folders.filter_map(|folder| std::fs::read(folder.join("output.log")).ok());
        texts.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).collect()
    }

    /// The lines that steps of an environment left, in order.
    pub fn evidence(&self, environment: &str) -> Vec<String> {
        let file = self.path().join("evidence").join(environment);
        let text = std::fs::read_to_string(file).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    // The database.

    /// kill -9 of the whole PostgreSQL.
    pub async fn crash_database(&self) {
        *self.is_database_down.lock().unwrap() = true;
        cluster("crash").await;
    }

    pub async fn resume_database(&self) {
        cluster("resume").await;
        *self.is_database_down.lock().unwrap() = false;
    }

    pub fn is_database_down(&self) -> bool {
        *self.is_database_down.lock().unwrap()
    }

    // Slack.

    /// For a while every call goes wrong; some hang for longer than the bot waits.
    pub fn storm(&self, for_ms: u64) {
        let ways = vec![
            Fault::ServerError(503),
            Fault::RateLimited { retry_after_secs: 1 },
            Fault::TimeoutAfterApplying(HANG_MS),
            Fault::DropBefore,
            Fault::TimeoutAfterApplying(1),
            Fault::NotJson,
        ];
        self.workspace.storm(for_ms.cast_signed(), ways);
    }

    // For people.

    /// The ends of the bots' logs.
    pub fn logs(&self, lines: usize) -> String {
        let mut out = String::new();
        for bot in 0..self.shape.bots {
            let log = self.log(bot);
            let all: Vec<&str> = log.lines().collect();
            let last = all[all.len().saturating_sub(lines)..].join("\n");
            let _ = writeln!(out, "--- the log of bot {bot}, its end\n{last}");
        }
        out
    }

    pub fn log(&self, bot: usize) -> String {
        let log = self.path().join(format!("bot-{bot}.log"));
        String::from_utf8_lossy(&std::fs::read(log).unwrap_or_default()).into_owned()
    }

    /// Leaves everything on the disk for whoever looks into a violation.
    pub fn keep(&self) {
        let copy = std::env::temp_dir().join(format!("neostock-torture-{}", self.mark));
        let _ = std::fs::rename(self.path(), &copy);
        println!("everything is kept in {}", copy.display());
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.end_bots();
        for (pid, _) in self.supervisors() {
            signal(pid, Signal::KILL);
        }
    }
}

async fn cluster(verb: &'static str) {
    let folder = std::env::var(CLUSTER_VARIABLE).unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tools/postgres-cluster.sh");
    let done = tokio::task::spawn_blocking(move || {
        Command::new(script).arg(verb).arg(folder).stdout(Stdio::null()).status().unwrap()
    });
    assert!(done.await.unwrap().success(), "{verb} of the cluster failed");
}

fn processes() -> impl Iterator<Item = u32> {
    let folder = std::fs::read_dir("/proc").unwrap();
    folder.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
}

fn parent(pid: u32) -> Option<u32> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("PPid:")?.trim().parse().ok())
}

fn signal(pid: u32, signal: Signal) {
    // It may have ended a moment ago.
    let _ = kill_process(Pid::from_raw(pid.cast_signed()).unwrap(), signal);
}
