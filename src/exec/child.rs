//! `exec-child SUPERVISOR_PID GROUP USER WORKDIR ARGV…`: the last moment before the step's program. An
//! empty GROUP is no control group, an empty USER the bot's own.
//!
//! It exists because the work between fork and exec needs no unsafe code this way. It takes a
//! session of its own, becomes the step's user, ties its life to the supervisor's, and becomes the
//! program. It never writes
//! to the step's output: what fails here is reported on the pipe that stands as standard input.

use super::cgroup;
use super::user::Account;
use rustix::process::{Signal, getppid, set_parent_process_death_signal, setsid};
use std::ffi::OsString;
use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};

/// What a shell answers when it finds no program; nobody reads it, the report counts.
const NOT_EXECUTED: u8 = 127;
/// The report fits the pipe, so that writing it never waits.
const REPORT_BYTES_MAX: usize = 2_048;

pub(super) fn main(args: impl Iterator<Item = OsString>) -> ExitCode {
    // A copy that closes by itself when the program is executed: the supervisor reads end-of-file.
    let Ok(report) = rustix::io::fcntl_dupfd_cloexec(io::stdin(), 3) else {
        return ExitCode::from(NOT_EXECUTED);
    };
    let mut why = become_program(args);
    why.truncate(why.floor_char_boundary(REPORT_BYTES_MAX));
    let _ = io::PipeWriter::from(report).write_all(why.as_bytes());
    ExitCode::from(NOT_EXECUTED)
}

/// Returns only on failure, with the reason.
fn become_program(mut args: impl Iterator<Item = OsString>) -> String {
    let supervisor = args.next().and_then(|pid| pid.to_str()?.parse::<i32>().ok());
    let (Some(supervisor), Some(group), Some(user)) = (supervisor, args.next(), args.next()) else {
        return "exec-child is started by exec-step only".into();
    };
    let (Some(workdir), Some(program)) = (args.next().map(PathBuf::from), args.next()) else {
        return "exec-child is started by exec-step only".into();
    };
    if let Err(fault) = setsid() {
        return format!("cannot take a session of its own: {fault}");
    }
    if !group.is_empty() {
        // Without it the step is found and stopped as on a machine that has no such groups.
        let _ = cgroup::join(&group);
    }
    if !user.is_empty()
        && let Err(why) = become_user(&user.to_string_lossy())
    {
        return why;
    }
    // Only now: the kernel forgets it when a process changes its user.
    if let Err(fault) = set_parent_process_death_signal(Some(Signal::KILL)) {
        return format!("cannot tie itself to its supervisor: {fault}");
    }
    // The signal covers what comes after it was set; the check covers what came before.
    if getppid().is_none_or(|parent| parent.as_raw_nonzero().get() != supervisor) {
        return "its supervisor is gone".into();
    }
    if let Err(fault) = std::env::set_current_dir(&workdir) {
        return format!("cannot enter the directory `{}`: {fault}", workdir.display());
    }
    #[expect(clippy::disallowed_methods, reason = "this is where programs are started")]
    let fault = Command::new(&program).args(args).stdin(Stdio::null()).exec();
    format!("cannot execute `{}`: {fault}", program.display())
}

/// Becomes the step's user. The pipes become theirs as well, so that `/dev/stdout` and its like can be
/// opened by their names.
fn become_user(name: &str) -> Result<(), String> {
    let account = Account::find(name)?;
    let _ = account.give(io::stdout()).and_then(|()| account.give(io::stderr()));
    account.become_it()
}
