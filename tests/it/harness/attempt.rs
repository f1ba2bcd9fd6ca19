//! One attempt at a step in a folder of its own, run as the bot runs it.

use super::looks;
use neostock_ops::core::id::AttemptId;
use neostock_ops::exec::local::{Local, Verdict};
use neostock_ops::exec::record::{self, Exit, Started};
use neostock_ops::exec::spec::StepSpec;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tempfile::TempDir;

pub const PROGRAM: &str = env!("CARGO_BIN_EXE_neostock-ops");
pub const DEADLINE: Duration = Duration::from_secs(20);

/// One attempt in a folder of its own.
pub struct Attempt {
    pub root: TempDir,
    pub dir: PathBuf,
    pub spec: StepSpec,
    pub local: Local,
}

impl Attempt {
    pub fn of(argv: &[&str]) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let root = tempfile::tempdir().unwrap();
        // Unique over test processes too: survivors are sought on the whole machine.
        let id = AttemptId::new(format!("A-{}-{number}", std::process::id()));
        let argv = argv.iter().map(|arg| (*arg).to_owned()).collect();
        let dir = root.path().join("attempts").join(id.as_str());
        let mut spec = StepSpec::new(id, argv, root.path(), 60_000);
        spec.env = vec![("PATH".into(), "/usr/local/bin:/usr/bin:/bin".into())];
        spec.grace_ms = 300;
        Self { root, dir, spec, local: Local::new(PROGRAM) }
    }

    pub fn shell(script: &str) -> Self {
        Self::of(&["sh", "-c", script])
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    pub async fn start(&self) {
        self.local.start(&self.dir, &self.spec).await.unwrap();
    }

    pub async fn finish(&self) -> Exit {
        match self.verdict().await {
            Verdict::Finished(exit) => exit,
            other => panic!("not finished: {other:?}\n{}", self.text().await),
        }
    }

    /// What it comes to once nothing runs.
    pub async fn verdict(&self) -> Verdict {
        let since = now();
        loop {
            match self.local.observe(&self.dir).await.unwrap() {
                Verdict::Running => self.local.wait(&self.dir).await,
                other => return other,
            }
            assert!(since.elapsed() < DEADLINE, "still running");
        }
    }

    pub async fn run(&self) -> Exit {
        self.start().await;
        self.finish().await
    }

    pub async fn text(&self) -> String {
        let (bytes, _) = self.local.output(&self.dir, 0, usize::MAX).await.unwrap();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    pub fn supervisor_pid(&self) -> u32 {
        record::read::<Started>(&self.dir).unwrap().unwrap().supervisor_pid
    }

    pub fn kill_supervisor(&self) {
        signal(self.supervisor_pid(), "KILL");
    }

    /// Waits until the step has written this file, and reads it.
    pub fn await_file(&self, name: &str) -> String {
        let path = self.path(name);
        until("the step wrote its file", || {
            fs::read_to_string(&path).is_ok_and(|text| text.ends_with('\n'))
        });
        fs::read_to_string(path).unwrap().trim().to_owned()
    }
}

pub fn now() -> Instant {
    #[expect(clippy::disallowed_methods, reason = "these tests wait for real processes")]
    Instant::now()
}

pub fn until(what: &str, holds: impl Fn() -> bool) {
    looks::until(what, DEADLINE, holds);
}

#[expect(clippy::disallowed_methods, reason = "these tests start programs as a person does")]
pub fn command(program: &str) -> Command {
    Command::new(program)
}

pub fn signal(pid: u32, name: &str) {
    assert!(
        command("kill").args([&format!("-{name}"), &pid.to_string()]).status().unwrap().success()
    );
}

pub fn is_alive(pid: &str) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

/// The most memory that a process ever had, by the kernel's own count; `None` once it is gone.
pub fn peak_kib(pid: u32) -> Option<u64> {
    status_kib(pid, "VmHWM:")
}

/// What a process has now of memory that is its own: neither its program nor another file.
pub fn anonymous_kib(pid: u32) -> Option<u64> {
    status_kib(pid, "RssAnon:")
}

fn status_kib(pid: u32, line: &str) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let figure = status.lines().find_map(|found| found.strip_prefix(line))?;
    figure.split_whitespace().next()?.parse().ok()
}
