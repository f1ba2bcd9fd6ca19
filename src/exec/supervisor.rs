//! `exec-step DIR`: runs one attempt and leaves the evidence of it.
//!
//! The order is the point: lock, refuse what was started or abandoned, report `locked`, write
//! `started`, and only then execute. It has no threads, survives the bot and every signal but KILL,
//! never runs anything twice in a folder, and never exits, once started, without trying to write
//! how the step ended.

mod watch;

use super::ATTEMPT_VARIABLE;
use super::cgroup::Group;
use super::control::Control;
use super::handed::{self, Handover};
use super::output::Output;
use super::record::{self, Abandoned, Exit, Lock, Reason, Record, Started};
use super::redact::{self, Redactor};
use super::spec::StepSpec;
use super::user::Account;
use crate::clock::{Clock, Millis};
use rustix::process::{DumpableBehavior, Pid, set_child_subreaper, set_dumpable_behavior, setsid};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{self, PipeReader, Read, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitCode};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// What a supervisor that runs nothing answers. See sysexits(3).
pub(super) mod code {
    /// It was not called as the bot calls it.
    pub const USAGE: u8 = 64;
    /// What came on standard input is no specification, or it was cut short.
    pub const SPEC: u8 = 65;
    /// The folder or the system refused something.
    pub const SYSTEM: u8 = 71;
    /// Another process holds the lock.
    pub const HELD: u8 = 75;
    /// The attempt was started or abandoned before.
    pub const FENCED: u8 = 76;
}

/// What it writes on standard output when it holds the lock and will run the step.
pub(super) const LOCKED: &str = "locked\n";
/// A bot that looks into the folder holds the lock for a moment; longer, and it is a supervisor.
const LOCK_WAIT: Duration = Duration::from_secs(1);
const LOCK_TICK: Duration = Duration::from_millis(10);
/// A disk stays full for a while: the outcome is worth waiting for, and the lock is held meanwhile.
const EXIT_RETRY: Duration = Duration::from_secs(1);
const EXIT_RETRIES_MAX: u32 = 24 * 3_600;
/// The longest report of a failed start.
const REPORT_BYTES_MAX: u64 = 4_096;

/// Why nothing was run.
struct Refusal {
    code: u8,
    why: String,
}

impl Refusal {
    fn new(code: u8, why: impl Into<String>) -> Self {
        Self { code, why: why.into() }
    }

    fn system(deed: &str, fault: impl std::fmt::Display) -> Self {
        Self::new(code::SYSTEM, format!("cannot {deed}: {fault}"))
    }
}

pub(super) fn main(mut args: impl Iterator<Item = OsString>) -> ExitCode {
    let outcome = match args.next() {
        Some(dir) => run(Path::new(&dir)),
        None => Err(Refusal::new(code::USAGE, "usage: exec-step DIR")),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(refusal) => {
            let _ = writeln!(io::stderr(), "exec-step: {}", refusal.why);
            ExitCode::from(refusal.code)
        }
    }
}

fn run(dir: &Path) -> Result<(), Refusal> {
    stand_alone().map_err(|fault| Refusal::system("stand alone", fault))?;
    let spec = StepSpec::read_from(io::stdin().lock())
        .map_err(|fault| Refusal::new(code::SPEC, fault.to_string()))?;
    let redactor = Redactor::new(&spec.secrets)
        .map_err(|fault| Refusal::new(code::SPEC, fault.to_string()))?;
    // From here on every path is short: a socket's may not be longer than 108 bytes.
    std::env::set_current_dir(dir).map_err(|fault| Refusal::system("enter the folder", fault))?;
    let dir = Path::new(".");

    let _lock = lock(dir)?;
    refuse_twice(dir)?;
    // Bound before it is announced, so that whoever knows of the attempt can cancel it.
    let mut control = Control::bind().map_err(|fault| Refusal::system("bind the socket", fault))?;
    // The bot may be gone; the step is due all the same.
    let _ = io::stdout().write_all(LOCKED.as_bytes());
    let _ = io::stdout().flush();

    let started_ms = Clock::System.now_ms();
    record::reserve::<Exit>(dir);
    let output = Output::create(dir, spec.output_bytes_max, &redactor);
    let started = Started {
        supervisor_pid: std::process::id(),
        boot_id: record::boot_id(),
        attempt: spec.attempt.clone(),
        at_ms: started_ms,
    };
    record::write(dir, &started).map_err(|fault| Refusal::system("write `started`", fault))?;

    let exit = match spawn(dir, &spec) {
        Ok(step) => watch::to_its_end(&spec, step, &mut control, output, started_ms),
        Err(why) => spawn_failed(&spec, &why, started_ms),
    };
    write_patiently(dir, &exit, EXIT_RETRY)
        .map_err(|fault| Refusal::system("write how the step ended", fault))
}

/// Leaves the bot's session, so that no terminal's signal arrives; outlives the signals with which a
/// service manager stops a whole group, to write down how the step took them; adopts what the step
/// orphans; and hides its memory, which holds the secrets, from other processes of this user.
fn stand_alone() -> io::Result<()> {
    // Fails only where it leads a group already, which a person at a shell can bring about.
    let _ = setsid();
    for signal in [
        signal_hook::consts::SIGHUP,
        signal_hook::consts::SIGINT,
        signal_hook::consts::SIGQUIT,
        signal_hook::consts::SIGTERM,
        // A limit on the size of files is a full disk like another.
        signal_hook::consts::SIGXFSZ,
    ] {
        // Noted and not used. Ignoring instead would be inherited by the step.
        signal_hook::flag::register(signal, Arc::new(AtomicBool::new(false)))?;
    }
    set_child_subreaper(Some(rustix::process::getpid()))?;
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    Ok(())
}

fn lock(dir: &Path) -> Result<Lock, Refusal> {
    let deadline = now() + LOCK_WAIT;
    loop {
        match Lock::try_take(dir).map_err(|fault| Refusal::system("take the lock", fault))? {
            Some(lock) => return Ok(lock),
            None if now() < deadline => sleep(LOCK_TICK),
            None => return Err(Refusal::new(code::HELD, "the lock is held")),
        }
    }
}

fn refuse_twice(dir: &Path) -> Result<(), Refusal> {
    let found = [
        (Started::NAME, record::exists::<Started>(dir)),
        (Exit::NAME, record::exists::<Exit>(dir)),
        (Abandoned::NAME, record::exists::<Abandoned>(dir)),
    ];
    for (name, exists) in found {
        if exists.map_err(|fault| Refusal::system("read the folder", fault))? {
            return Err(Refusal::new(code::FENCED, format!("`{name}` exists")));
        }
    }
    Ok(())
}

/// The step's program, or what is about to become it.
struct Step {
    child: Child,
    /// Standard output and standard error; `None`: ended.
    outputs: [Option<PipeReader>; 2],
    /// End-of-file when the program is executed; else the reason why it could not be.
    report: PipeReader,
    /// For what it hands to later steps; `None`: it declares nothing.
    handover: Option<Handover>,
    /// `None` where the bot may make none.
    group: Option<Group>,
}

impl Step {
    fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// Why the program was never executed, if so. Only once its process has ended, else it waits.
    fn why_not_executed(&mut self) -> Option<String> {
        let mut why = Vec::new();
        let _ = (&mut self.report).take(REPORT_BYTES_MAX).read_to_end(&mut why);
        (!why.is_empty()).then(|| String::from_utf8_lossy(&why).into_owned())
    }
}

fn spawn(dir: &Path, spec: &StepSpec) -> Result<Step, String> {
    let account = spec.user.as_deref().map(Account::find).transpose()?;
    let handover = Handover::prepare(dir, spec, account.as_ref())
        .map_err(|fault| format!("cannot make the file for its outputs: {fault}"))?;
    spawn_child(spec, account.as_ref(), handover)
        .map_err(|fault| format!("cannot start a process: {fault}"))
}

fn spawn_child(
    spec: &StepSpec,
    account: Option<&Account>,
    handover: Option<Handover>,
) -> io::Result<Step> {
    let group = Group::make(&spec.attempt);
    let (output, printed) = io::pipe()?;
    let (errors, complained) = io::pipe()?;
    let (report, reported) = io::pipe()?;
    // This very binary, even when the file was replaced meanwhile.
    #[expect(clippy::disallowed_methods, reason = "this is where programs are started")]
    let mut command = Command::new("/proc/self/exe");
    command
        .arg0("neostock-ops")
        .arg("exec-child")
        .arg(std::process::id().to_string())
        .arg(group.as_ref().map_or(Path::new(""), Group::folder))
        .arg(spec.user.as_deref().unwrap_or_default())
        .arg(&spec.workdir)
        .args(&spec.argv)
        .env_clear()
        .envs(account.into_iter().flat_map(Account::environment))
        .envs(spec.env.iter().map(|(name, value)| (name, value)))
        .env(ATTEMPT_VARIABLE, spec.attempt.as_str())
        .stdin(reported)
        .stdout(printed)
        .stderr(complained);
    if let Some(handover) = &handover {
        command.env(handed::VARIABLE, handover.path());
    }
    for ours in [&output, &errors] {
        rustix::io::ioctl_fionbio(ours, true)?;
    }
    // The command owns our ends of the pipes; dropping it closes them.
    let child = command.spawn()?;
    Ok(Step { child, outputs: [Some(output), Some(errors)], report, handover, group })
}

fn spawn_failed(spec: &StepSpec, why: &str, started_ms: Millis) -> Exit {
    Exit {
        reason: Reason::SpawnFailed(redact::text(&spec.secrets, why)),
        code: None,
        signal: None,
        left_behind: Vec::new(),
        bytes: 0,
        dropped: 0,
        output_incomplete: false,
        output_left_open: false,
        outputs: BTreeMap::new(),
        output_faults: Vec::new(),
        started_ms,
        ended_ms: Clock::System.now_ms(),
    }
}

/// Writes the last record, once a `pause`, until it stands: for a day, unless the folder is gone.
fn write_patiently(dir: &Path, exit: &Exit, pause: Duration) -> io::Result<()> {
    let mut tries = 0;
    loop {
        match record::write(dir, exit) {
            Err(fault) if fault.kind() != io::ErrorKind::NotFound && tries < EXIT_RETRIES_MAX => {
                tries += 1;
                sleep(pause);
            }
            outcome => return outcome,
        }
    }
}

fn now() -> Instant {
    #[expect(clippy::disallowed_methods, reason = "a step's time-outs are real time")]
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::id::AttemptId;

    #[test]
    fn the_last_record_is_written_as_soon_as_it_can_be() {
        let dir = tempfile::tempdir().unwrap();
        let spec = StepSpec::new(AttemptId::new("A-1"), vec!["x".into()], "/", 1);
        let exit = spawn_failed(&spec, "why", 1);
        // A folder in the record's place refuses the rename until it is gone.
        let obstacle = dir.path().join(Exit::NAME);
        std::fs::create_dir(&obstacle).unwrap();
        std::fs::write(obstacle.join("file"), "").unwrap();

        std::thread::scope(|scope| {
            let writer =
                scope.spawn(|| write_patiently(dir.path(), &exit, Duration::from_millis(1)));
            while !dir.path().join(".exit.tmp").exists() {
                std::thread::yield_now();
            }
            std::fs::remove_dir_all(&obstacle).unwrap();
            writer.join().unwrap().unwrap();
        });

        assert_eq!(record::read::<Exit>(dir.path()).unwrap(), Some(exit));
    }

    #[test]
    fn a_folder_that_is_gone_ends_the_waiting() {
        let spec = StepSpec::new(AttemptId::new("A-1"), vec!["x".into()], "/", 1);
        let exit = spawn_failed(&spec, "why", 1);

        assert!(write_patiently(Path::new("/nonexistent"), &exit, Duration::ZERO).is_err());
    }
}
