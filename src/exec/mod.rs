//! Where a step runs, and how its truth outlives the bot.
//!
//! The bot never runs a program itself. [`local::Local`] starts a supervisor (`exec-step`, the same
//! binary in its own session), which runs the program and leaves evidence in the attempt's folder:
//!
//! | in the folder | means |
//! |---|---|
//! | `lock` (held) | a supervisor lives |
//! | `started` | the program may have run; written before it is executed |
//! | `exit` | how it ended; written last |
//! | `abandoned` | nobody may start it any more |
//! | `output.log` | what it printed, redacted and bounded |
//! | `output.marks` | which part of that came by which stream; absent where all is standard output |
//! | `control` | a socket: end-of-file says "look again", a `c` cancels |
//!
//! This room never reads the store, never decides what a verdict means for a run, and never starts
//! a shell: a program is an argument vector.

pub mod cgroup;
mod child;
mod control;
pub mod drift;
pub mod git;
pub mod handed;
pub mod local;
pub mod login;
mod output;
pub mod past;
pub mod probe;
pub mod record;
pub mod redact;
pub mod space;
pub mod spec;
mod streams;
mod supervisor;
mod tree;
mod user;

use std::ffi::OsString;
use std::process::ExitCode;

/// The environment variable that marks every process of an attempt.
pub const ATTEMPT_VARIABLE: &str = "NEOSTOCK_ATTEMPT";

/// Plays the role that the second word of the command line names, when it is one of this room's:
/// `exec-step`, `exec-child` or `probe`. `None` leaves the command line to the caller.
///
/// Call it first in `main`, before any thread starts.
pub fn dispatch(args: impl IntoIterator<Item = OsString>) -> Option<ExitCode> {
    let mut args = args.into_iter().skip(1);
    let role = args.next()?;
    match role.to_str()? {
        "exec-step" => Some(supervisor::main(args)),
        "exec-child" => Some(child::main(args)),
        "probe" => Some(probe::main(args)),
        _ => None,
    }
}
