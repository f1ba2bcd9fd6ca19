//! The evidence in an attempt's folder: small JSON records, each either whole on disk or absent.
//!
//! A record is written to a temporary file, synced, renamed, and the folder synced. Nothing here
//! interprets the evidence, and nothing ever rewrites a record.

use super::handed::OutputFault;
use crate::clock::Millis;
use crate::core::id::AttemptId;
use rustix::fs::{FallocateFlags, FlockOperation, fallocate, flock};
use rustix::io::Errno;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

/// The file whose lock a living supervisor holds.
const LOCK: &str = "lock";
/// The largest record that is read, and the space kept free for the last one. Outputs take the most
/// of it: as JSON at most twice their 64 KiB.
const RECORD_BYTES_MAX: u64 = 192 * 1024;

/// Written before the program is executed: from here on it may have run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Started {
    /// The supervisor's process id.
    pub supervisor_pid: u32,
    /// Which boot of the machine it was.
    pub boot_id: String,
    /// The attempt.
    pub attempt: AttemptId,
    /// When.
    pub at_ms: Millis,
}

/// Why a step ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// By itself: the code or the signal says how.
    Exited,
    /// It was stopped because its time was over.
    Timeout,
    /// It was stopped because somebody asked.
    Cancelled,
    /// The program could not be executed at all; the text says why, redacted.
    SpawnFailed(String),
}

/// The last record of an attempt: how it ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exit {
    /// Why it ended.
    pub reason: Reason,
    /// The program's exit code, when it exited.
    pub code: Option<i32>,
    /// The signal that ended the program, when one did.
    pub signal: Option<i32>,
    /// What still ran when the program had ended: stopped, or left where the step says so.
    pub left_behind: Vec<Process>,
    /// How much the step printed, after redaction.
    pub bytes: u64,
    /// How much of that was not kept.
    pub dropped: u64,
    /// The output could not all be written (a full disk), beyond what the limit drops.
    pub output_incomplete: bool,
    /// A process that was left running still held the step's output, which is now closed: its next
    /// write there fails.
    pub output_left_open: bool,
    /// What the step handed to later steps, by declared name; redacted.
    #[serde(default)]
    pub outputs: BTreeMap<String, String>,
    /// What was wrong with that. A declared output that a successful step did not write is here.
    #[serde(default)]
    pub output_faults: Vec<OutputFault>,
    /// When the program was started.
    pub started_ms: Millis,
    /// When all of it had ended.
    pub ended_ms: Millis,
}

impl Exit {
    /// The program ran to its end by itself and reported success.
    pub fn is_success(&self) -> bool {
        self.reason == Reason::Exited && self.code == Some(0)
    }
}

/// A process that outlived the step's program.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// Its process id.
    pub pid: u32,
    /// What it was called as: the first word of its command line, redacted.
    pub name: String,
    /// It was still alive when this was written.
    pub alive: bool,
}

/// Nobody had started the attempt, and now nobody may.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Abandoned {
    /// When.
    pub at_ms: Millis,
}

/// A kind of record: its type and the file it stands in.
pub trait Record: Serialize + DeserializeOwned {
    /// The file's name.
    const NAME: &'static str;
}

impl Record for Started {
    const NAME: &'static str = "started";
}

impl Record for Exit {
    const NAME: &'static str = "exit";
}

impl Record for Abandoned {
    const NAME: &'static str = "abandoned";
}

/// Writes a record durably.
///
/// # Errors
/// What the file system says. The record is then absent, or, when only the last sync failed, there.
pub fn write<R: Record>(dir: &Path, record: &R) -> io::Result<()> {
    let json = serde_json::to_vec(record)?;
    let temporary = dir.join(format!(".{}.tmp", R::NAME));
    // Not truncated first: the space `reserve` took is what a full disk leaves us.
    let mut file = open_private(&temporary)?;
    file.write_all(&json)?;
    file.set_len(json.len() as u64)?;
    file.sync_all()?;
    fs::rename(temporary, dir.join(R::NAME))?;
    sync_folder(dir)
}

/// Takes the disk space that a later `write` of this record will need. Best effort: some file
/// systems cannot.
pub fn reserve<R: Record>(dir: &Path) {
    if let Ok(file) = open_private(&dir.join(format!(".{}.tmp", R::NAME))) {
        let _ = fallocate(&file, FallocateFlags::empty(), 0, RECORD_BYTES_MAX);
    }
}

/// Reads a record; `None` when there is none.
///
/// # Errors
/// When it is there and cannot be read or understood.
pub fn read<R: Record>(dir: &Path) -> io::Result<Option<R>> {
    let file = match File::open(dir.join(R::NAME)) {
        Ok(file) => file,
        Err(fault) if fault.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(fault) => return Err(fault),
    };
    let mut json = Vec::new();
    file.take(RECORD_BYTES_MAX).read_to_end(&mut json)?;
    Ok(Some(serde_json::from_slice(&json)?))
}

/// Whether a record of this kind is there, readable or not.
///
/// # Errors
/// When the folder cannot be asked.
pub fn exists<R: Record>(dir: &Path) -> io::Result<bool> {
    dir.join(R::NAME).try_exists()
}

/// Makes the folder and what is missing above it, private to this user, so that a loss of power
/// cannot take back a folder in which something was started.
///
/// # Errors
/// What the file system says; some of the folders may then exist.
pub fn make_folder(dir: &Path) -> io::Result<()> {
    if dir.is_dir() {
        return Ok(());
    }
    let above = dir.parent().filter(|above| !above.as_os_str().is_empty());
    if let Some(above) = above {
        make_folder(above)?;
    }
    match DirBuilder::new().mode(0o700).create(dir) {
        Err(fault) if fault.kind() != io::ErrorKind::AlreadyExists => return Err(fault),
        _ => {}
    }
    sync_folder(above.unwrap_or(Path::new(".")))
}

fn sync_folder(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

fn open_private(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).write(true).truncate(false).mode(0o600).open(path)
}

/// The attempt's lock, held.
#[derive(Debug)]
pub struct Lock(File);

impl Lock {
    /// Takes the lock, or says `None` when another process has it. A supervisor keeps it for life;
    /// everybody else for the moment it takes to read or write a record.
    ///
    /// # Errors
    /// When the folder is missing or the file system cannot lock.
    pub fn try_take(dir: &Path) -> io::Result<Option<Self>> {
        let file = open_private(&dir.join(LOCK))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(Self(file))),
            Err(Errno::WOULDBLOCK) => Ok(None),
            Err(fault) => Err(fault.into()),
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing is not enough: a process that another thread is just starting may share the file
        // until it executes its program.
        let _ = flock(&self.0, FlockOperation::Unlock);
    }
}

/// Which boot of the machine this is; empty where the kernel does not say.
pub fn boot_id() -> String {
    let id = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    id.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_read_back_and_its_temporary_file_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        reserve::<Abandoned>(dir.path());

        write(dir.path(), &Abandoned { at_ms: 7 }).unwrap();

        assert_eq!(read::<Abandoned>(dir.path()).unwrap(), Some(Abandoned { at_ms: 7 }));
        assert_eq!(read::<Started>(dir.path()).unwrap(), None);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_torn_record_is_an_error_and_not_an_absence() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("started"), "{\"supervisor").unwrap();

        assert!(read::<Started>(dir.path()).is_err());
        assert!(exists::<Started>(dir.path()).unwrap());
    }

    #[test]
    fn the_lock_has_one_owner_at_a_time() {
        let dir = tempfile::tempdir().unwrap();

        let first = Lock::try_take(dir.path()).unwrap();
        let second = Lock::try_take(dir.path()).unwrap();
        assert!(first.is_some() && second.is_none());

        drop(first);
        assert!(Lock::try_take(dir.path()).unwrap().is_some());
    }

    #[test]
    fn a_folder_is_made_private_with_what_is_missing_above_it() {
        use std::os::unix::fs::PermissionsExt;
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("a/b/c");

        make_folder(&dir).unwrap();
        make_folder(&dir).unwrap();

        assert_eq!(fs::metadata(dir).unwrap().permissions().mode() & 0o777, 0o700);
    }
}
