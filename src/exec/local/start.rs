//! Starting a supervisor and letting it go.
//!
//! It gets the specification on its standard input and nothing else of the bot's: no environment,
//! no open file, no session.

use super::super::record;
use super::super::spec::StepSpec;
use super::super::supervisor::{LOCKED, code};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::fs::{self, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

/// How long a supervisor may take to report; a slow disk counts.
const REPORT_WAIT: Timespec = Timespec { tv_sec: 30, tv_nsec: 0 };
/// What a supervisor says when it runs nothing.
const COMPLAINTS: &str = "supervisor.err";
/// Reaping is all it does.
const REAPER_STACK_BYTES: usize = 64 * 1024;

/// Why a start did not come about, as far as it is known here.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The folder could not be made.
    #[error("cannot prepare the attempt's folder: {0}")]
    Folder(io::Error),
    /// The supervisor could not be started.
    #[error("cannot start the supervisor: {0}")]
    Spawn(io::Error),
    /// Another supervisor has the attempt.
    #[error("the attempt is held by another supervisor")]
    Held,
    /// The attempt was started or abandoned before.
    #[error("the attempt was started or abandoned before")]
    Fenced,
    /// The supervisor refused; the text is its own and holds no secret.
    #[error("the supervisor refused (code {code:?}): {why}")]
    Refused {
        /// Its exit code, when it exited.
        code: Option<i32>,
        /// What it said.
        why: String,
    },
    /// The supervisor did not report in time.
    #[error("the supervisor did not report in time")]
    Silent,
}

pub(super) fn start(program: &Path, dir: &Path, spec: &StepSpec) -> Result<(), StartError> {
    record::make_folder(dir).map_err(StartError::Folder)?;
    let complaints = OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(dir.join(COMPLAINTS))
        .map_err(StartError::Folder)?;

    #[expect(clippy::disallowed_methods, reason = "this is where programs are started")]
    let mut supervisor = Command::new(program)
        .arg("exec-step")
        .arg(dir)
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(complaints)
        .spawn()
        .map_err(StartError::Spawn)?;
    if let Some(mut input) = supervisor.stdin.take() {
        // A supervisor that is gone already says why by its exit code.
        let _ = serde_json::to_vec(spec).map(|json| input.write_all(&json));
    }
    let report = supervisor.stdout.take().map_or(Report::End, read_report);
    match report {
        Report::Locked => {
            let_go(supervisor);
            Ok(())
        }
        Report::Nothing => {
            let_go(supervisor);
            Err(StartError::Silent)
        }
        Report::End => Err(refusal(supervisor, dir)),
    }
}

enum Report {
    Locked,
    /// End-of-file: it ends, or has ended.
    End,
    Nothing,
}

fn read_report(mut output: ChildStdout) -> Report {
    let mut line = Vec::new();
    let mut bytes = [0; LOCKED.len()];
    while line.len() < LOCKED.len() {
        match poll(&mut [PollFd::new(&output, PollFlags::IN)], Some(&REPORT_WAIT)) {
            Ok(0) => return Report::Nothing,
            Err(rustix::io::Errno::INTR) => continue,
            _ => {}
        }
        match output.read(&mut bytes) {
            Ok(0) => return Report::End,
            Ok(count) => line.extend_from_slice(&bytes[..count]),
            Err(fault) if fault.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return Report::End,
        }
    }
    if line == LOCKED.as_bytes() { Report::Locked } else { Report::End }
}

fn refusal(mut supervisor: Child, dir: &Path) -> StartError {
    let exit_code = supervisor.wait().ok().and_then(|status| status.code());
    match exit_code.and_then(|exit_code| u8::try_from(exit_code).ok()) {
        Some(code::HELD) => StartError::Held,
        Some(code::FENCED) => StartError::Fenced,
        _ => {
            let said = fs::read_to_string(dir.join(COMPLAINTS)).unwrap_or_default();
            let why = said.lines().last().unwrap_or("it said nothing").to_owned();
            StartError::Refused { code: exit_code, why }
        }
    }
}

/// Reaps the supervisor when it ends. A thread of its own, since a blocking task would keep the
/// runtime from stopping while a step runs.
fn let_go(mut supervisor: Child) {
    // Without the thread it stays a zombie until the bot ends; nothing depends on it.
    let _ = std::thread::Builder::new()
        .name("step-reaper".into())
        .stack_size(REAPER_STACK_BYTES)
        .spawn(move || supervisor.wait());
}
