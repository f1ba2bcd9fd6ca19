//! Steps on this machine, as the bot sees them: start, look, wait, cancel, read.
//!
//! Everything is known from the attempt's folder, so that a bot that was killed, or another one,
//! goes on where the first stood. It never runs a program itself and never decides that a started
//! step did not run.

mod files;
mod start;
mod survivors;

use super::control::{self, Address};
use super::record::{self, Abandoned, Exit, Lock, Process, Started};
use super::spec::StepSpec;
use super::tree;
use crate::clock::Clock;
use crate::core::id::AttemptId;
pub use start::StartError;
use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::timeout;

/// At least this often [`Local::wait`] returns, whatever it heard.
pub const WAIT_MAX: Duration = Duration::from_secs(5);
/// How long it waits where there is nobody to listen to.
const WAIT_DEAF: Duration = Duration::from_millis(250);
/// How long a supervisor may take to answer.
const ANSWER_WAIT: Duration = Duration::from_secs(5);
/// One answer of [`Local::output`] at most.
pub const READ_BYTES_MAX: usize = 1024 * 1024;

/// What the evidence in an attempt's folder proves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It ended, and this is how.
    Finished(Exit),
    /// Its supervisor lives (or, for a moment, another bot looks into the folder).
    Running,
    /// It never ran and never will: a new attempt is safe.
    NeverStarted,
    /// It was started and nobody wrote how it ended.
    Unknown {
        /// The machine was started anew since.
        rebooted: bool,
        /// What still runs of it. While there is any, a new attempt is not safe.
        survivors: Vec<Process>,
    },
}

/// Whether a wish to cancel arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cancel {
    /// The supervisor has told the step to end, or the step had ended already.
    Heard,
    /// Nobody supervises it: look again.
    NobodyThere,
}

/// Runs steps on this machine.
#[derive(Debug, Clone)]
pub struct Local {
    program: PathBuf,
}

impl Local {
    /// Runs steps through the `neostock-ops` binary at this path.
    pub fn new(program: impl Into<PathBuf>) -> Self {
        Self { program: program.into() }
    }

    /// Starts an attempt in its folder, which by custom is named like the attempt. Returns when the
    /// supervisor holds the lock and will run the step.
    ///
    /// # Errors
    /// The attempt may run all the same: only [`Local::observe`] tells.
    pub async fn start(&self, dir: &Path, spec: &StepSpec) -> Result<(), StartError> {
        let (program, dir, spec) = (self.program.clone(), dir.to_owned(), spec.clone());
        blocking(move || Ok(start::start(&program, &dir, &spec)))
            .await
            .map_err(StartError::Folder)?
    }

    /// Says what the folder proves. An attempt that was never started is abandoned by asking.
    ///
    /// # Errors
    /// When the folder cannot be read, or made and locked to abandon the attempt: nothing is
    /// proved.
    pub async fn observe(&self, dir: &Path) -> io::Result<Verdict> {
        let dir = dir.to_owned();
        blocking(move || observe(&dir)).await
    }

    /// Waits until the attempt may have ended: its supervisor went away, or [`WAIT_MAX`] is over.
    pub async fn wait(&self, dir: &Path) {
        let Ok(mut supervisor) = connect(dir).await else {
            // Nothing but patience, in real time.
            _ = timeout(WAIT_DEAF, std::future::pending::<()>()).await;
            return;
        };
        // It sends nothing: this ends when it ends, in end-of-file or, unaccepted, in an error.
        _ = timeout(WAIT_MAX, supervisor.read(&mut [0; 1])).await;
    }

    /// Asks the supervisor to stop everything the step started; TERM has been sent when it answers.
    ///
    /// # Errors
    /// When the supervisor lives and does not answer.
    pub async fn cancel(&self, dir: &Path) -> io::Result<Cancel> {
        let ask = async {
            let Ok(mut supervisor) = connect(dir).await else { return Ok(Cancel::NobodyThere) };
            let mut answer = [0; 1];
            let heard = async {
                supervisor.write_all(&[control::CANCEL]).await?;
                supervisor.read_exact(&mut answer).await
            };
            // It went away meanwhile: whatever it was doing is over.
            Ok(if heard.await.is_ok() { Cancel::Heard } else { Cancel::NobodyThere })
        };
        timeout(ANSWER_WAIT, ask).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }

    /// Stops what still runs of an attempt whose supervisor is dead: TERM, five seconds, KILL.
    /// Answers with what lives all the same.
    ///
    /// # Errors
    /// `ResourceBusy` while a supervisor lives: cancel instead. Else when the folder cannot be read.
    pub async fn stop_survivors(&self, dir: &Path) -> io::Result<Vec<Process>> {
        let dir = dir.to_owned();
        blocking(move || {
            if Lock::try_take(&dir)?.is_none() {
                return Err(io::ErrorKind::ResourceBusy.into());
            }
            Ok(survivors::stop(attempt_of(&dir).as_ref()))
        })
        .await
    }

    /// Reads output from `offset`: at most `max` bytes, and where to go on. Empty when there is no
    /// more yet.
    ///
    /// # Errors
    /// What the file system says.
    pub async fn output(&self, dir: &Path, offset: u64, max: usize) -> io::Result<(Vec<u8>, u64)> {
        let dir = dir.to_owned();
        blocking(move || files::read_from(&dir, offset, max.min(READ_BYTES_MAX))).await
    }

    /// The same as people read it: a line of standard error begins with `! `, and no line is of two
    /// streams. `max` and the offsets count the bytes of the log itself.
    ///
    /// # Errors
    /// What the file system says.
    pub async fn shown(&self, dir: &Path, offset: u64, max: usize) -> io::Result<(Vec<u8>, u64)> {
        let dir = dir.to_owned();
        blocking(move || files::shown_from(&dir, offset, max.min(READ_BYTES_MAX))).await
    }

    /// The last `max` bytes of the output so far, as people read it.
    ///
    /// # Errors
    /// What the file system says.
    pub async fn shown_last(&self, dir: &Path, max: usize) -> io::Result<Vec<u8>> {
        let dir = dir.to_owned();
        blocking(move || {
            let from = files::length(&dir)?.saturating_sub(max as u64);
            Ok(files::shown_from(&dir, from, max.min(READ_BYTES_MAX))?.0)
        })
        .await
    }

    /// How many bytes of output there are so far.
    ///
    /// # Errors
    /// What the file system says.
    pub async fn output_bytes(&self, dir: &Path) -> io::Result<u64> {
        let dir = dir.to_owned();
        blocking(move || files::length(&dir)).await
    }

    /// Reads the last `max` bytes of the output so far.
    ///
    /// # Errors
    /// What the file system says.
    pub async fn tail(&self, dir: &Path, max: usize) -> io::Result<Vec<u8>> {
        let dir = dir.to_owned();
        blocking(move || files::read_last(&dir, max.min(READ_BYTES_MAX))).await
    }
}

async fn connect(dir: &Path) -> io::Result<UnixStream> {
    let address = Address::of(dir)?;
    UnixStream::connect(address.path()).await
}

/// Runs file work where it may block.
fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> impl Future<Output = io::Result<T>> {
    let task = tokio::task::spawn_blocking(work);
    async { task.await.map_err(io::Error::other)? }
}

fn observe(dir: &Path) -> io::Result<Verdict> {
    if let Ok(Some(exit)) = record::read::<Exit>(dir) {
        return Ok(Verdict::Finished(exit));
    }
    record::make_folder(dir)?;
    let Some(_lock) = Lock::try_take(dir)? else { return Ok(Verdict::Running) };
    // Under the lock nobody starts it and nobody is about to write how it ended.
    match (record::read::<Exit>(dir), record::read::<Started>(dir)) {
        (Ok(Some(exit)), _) => Ok(Verdict::Finished(exit)),
        (Ok(None), Ok(None)) => never_started(dir),
        (_, Ok(Some(started))) if started.boot_id != record::boot_id() => {
            Ok(Verdict::Unknown { rebooted: true, survivors: Vec::new() })
        }
        // A record that is there and cannot be read proves that something was started.
        _ => Ok(Verdict::Unknown { rebooted: false, survivors: survivors_of(dir) }),
    }
}

/// No evidence, and the lock is ours.
fn never_started(dir: &Path) -> io::Result<Verdict> {
    if record::exists::<Abandoned>(dir)? {
        return Ok(Verdict::NeverStarted);
    }
    // Somebody may have swept the folder away under a running step.
    let survivors = survivors_of(dir);
    if !survivors.is_empty() {
        return Ok(Verdict::Unknown { rebooted: false, survivors });
    }
    record::write(dir, &Abandoned { at_ms: Clock::System.now_ms() })?;
    Ok(Verdict::NeverStarted)
}

fn survivors_of(dir: &Path) -> Vec<Process> {
    let carriers = attempt_of(dir).into_iter().flat_map(|attempt| tree::carriers_of(&attempt));
    carriers.map(|entry| survivors::describe(&entry)).collect()
}

/// The attempt that the folder is about: by its record, or else by its name.
fn attempt_of(dir: &Path) -> Option<AttemptId> {
    if let Ok(Some(started)) = record::read::<Started>(dir) {
        return Some(started.attempt);
    }
    Some(AttemptId::new(dir.file_name()?.to_str()?))
}
