//! A control group of its own for each step, where the bot's own group can be written in (systemd's
//! `Delegate=yes`): killing it is one act of the kernel's, which no process that forks can outrun, and
//! its list holds whoever hides the attempt's mark. See the kernel's cgroup-v2 document.
//!
//! The bot and its supervisors are never moved: a step's child moves itself, before it becomes the
//! program. No controller is turned on, so that the rule of no processes in inner groups does not
//! apply. Where there is no such group, process groups and the subreaper do alone, as they do here too.

use crate::core::id::AttemptId;
use std::ffi::OsStr;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

const PREFIX: &str = "neostock-";
const PROCESSES: &str = "cgroup.procs";
const KILL: &str = "cgroup.kill";
/// An empty group of a step is removed after this long: until then its first process may be coming.
const EMPTY_KEPT: Duration = Duration::from_hours(1);
/// Groups that are looked at for that.
const LOOKED_AT_MAX: usize = 1_000;

/// The group of one step.
#[derive(Debug)]
pub(super) struct Group {
    folder: PathBuf,
}

impl Group {
    /// Makes the attempt's group below this process's own; `None` where that cannot be.
    pub fn make(attempt: &AttemptId) -> Option<Self> {
        Self::make_in(&own_folder()?, attempt)
    }

    fn make_in(own: &Path, attempt: &AttemptId) -> Option<Self> {
        let folder = folder_of(own, attempt)?;
        fs::create_dir(&folder).ok()?;
        let group = Self { folder };
        // Both are there since Linux 5.14; a group that cannot be killed is of no use.
        let is_whole = [PROCESSES, KILL].iter().all(|file| group.folder.join(file).exists());
        is_whole.then_some(group)
    }

    /// The attempt's group, if it is there.
    pub fn find(attempt: &AttemptId) -> Option<Found> {
        let folder = folder_of(&own_folder()?, attempt)?;
        folder.is_dir().then_some(Found { folder })
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Kills everything in the group, whatever it does meanwhile.
    pub fn kill(&self) {
        // What is not in it is found by the other ways.
        let _ = write(&self.folder, KILL, "1");
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // Refused while something is in it: what a step is meant to leave stays in its group.
        let _ = fs::remove_dir(&self.folder);
    }
}

/// A group that somebody else made, and may still be using.
#[derive(Debug)]
pub(super) struct Found {
    folder: PathBuf,
}

impl Found {
    pub fn processes(&self) -> Vec<i32> {
        let list = fs::read_to_string(self.folder.join(PROCESSES)).unwrap_or_default();
        list.lines().filter_map(|line| line.parse().ok()).collect()
    }

    pub fn kill(&self) {
        let _ = write(&self.folder, KILL, "1");
    }
}

/// Moves this process into a group.
///
/// # Errors
/// What the kernel says; the process is where it was.
pub(super) fn join(folder: &OsStr) -> io::Result<()> {
    write(Path::new(folder), PROCESSES, "0")
}

fn write(folder: &Path, file: &str, text: &str) -> io::Result<()> {
    // Never made: only the kernel makes these.
    OpenOptions::new().write(true).open(folder.join(file))?.write_all(text.as_bytes())
}

fn folder_of(own: &Path, attempt: &AttemptId) -> Option<PathBuf> {
    let name = attempt.as_str();
    let is_name = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    is_name.then(|| own.join(format!("{PREFIX}{name}")))
}

/// Where this process's own group of the second version is mounted.
fn own_folder() -> Option<PathBuf> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
    own_folder_in(&groups, &mounts)
}

/// `0::/path` in one, `… root mount-point … - cgroup2 …` in the other. See cgroups(7), proc(5).
fn own_folder_in(groups: &str, mounts: &str) -> Option<PathBuf> {
    let own = groups.lines().find_map(|line| line.strip_prefix("0::"))?;
    mounts.lines().find_map(|line| {
        let (mount, kind) = line.split_once(" - ")?;
        if kind.split(' ').next() != Some("cgroup2") {
            return None;
        }
        let mut fields = mount.split(' ').skip(3);
        let (root, point) = (fields.next()?, fields.next()?);
        let below = Path::new(own).strip_prefix(root).ok()?;
        Some(Path::new(point).join(below))
    })
}

/// Removes groups of steps that ended and left something, which has ended since. For the bot's
/// housekeeping: looking at hundreds of them takes longer than a step should wait.
pub fn remove_empty() {
    let Some(entries) = own_folder().and_then(|own| fs::read_dir(own).ok()) else { return };
    for entry in entries.filter_map(Result::ok).take(LOOKED_AT_MAX) {
        let is_ours = entry.file_name().to_str().is_some_and(|name| name.starts_with(PREFIX));
        let made = entry.metadata().and_then(|about| about.modified()).ok();
        let is_old = made.is_some_and(|made| made.elapsed().is_ok_and(|age| age > EMPTY_KEPT));
        if is_ours && is_old {
            let _ = fs::remove_dir(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_own_group_is_found_below_its_mount() {
        let systemd = "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw\n";
        let hybrid = "41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";
        let container = "30 23 0:26 /docker/abc /sys/fs/cgroup ro - cgroup2 cgroup rw\n";
        let service = "1:name=systemd:/x\n0::/system.slice/ops.service\n";

        let found =
            |groups, mounts| own_folder_in(groups, mounts).map(|path| path.display().to_string());
        let expected = Some("/sys/fs/cgroup/system.slice/ops.service".to_owned());
        assert_eq!(found(service, systemd), expected);
        assert_eq!(found("0::/\n", hybrid), Some("/sys/fs/cgroup/unified/".to_owned()));
        assert_eq!(found("0::/docker/abc\n", container), Some("/sys/fs/cgroup/".to_owned()));
        assert_eq!(found(service, container), None);
        assert_eq!(found("1:cpu:/x\n", systemd), None);
        assert_eq!(found(service, "30 23 0:26 / /tmp rw - tmpfs tmpfs rw\n"), None);
    }

    #[test]
    fn a_folder_that_is_no_control_group_is_not_used() {
        let own = tempfile::tempdir().unwrap();

        assert!(Group::make_in(own.path(), &AttemptId::new("A-1")).is_none());
        assert!(Group::make_in(own.path(), &AttemptId::new("../A-1")).is_none());
        assert!(Group::make_in(Path::new("/nonexistent"), &AttemptId::new("A-1")).is_none());
        assert_eq!(fs::read_dir(own.path()).unwrap().count(), 0);
    }

    #[test]
    fn the_kernels_files_are_written_as_it_asks() {
        let own = tempfile::tempdir().unwrap();
        let folder = own.path().join("neostock-A-1");
        fs::create_dir(&folder).unwrap();
        assert!(join(folder.as_os_str()).is_err(), "it made a file that only the kernel makes");
        fs::write(folder.join(PROCESSES), "").unwrap();
        fs::write(folder.join(KILL), "").unwrap();

        join(folder.as_os_str()).unwrap();
        Group { folder: folder.clone() }.kill();

        assert_eq!(fs::read_to_string(folder.join(PROCESSES)).unwrap(), "0");
        assert_eq!(fs::read_to_string(folder.join(KILL)).unwrap(), "1");
        fs::write(folder.join(PROCESSES), "12\n34\nx\n").unwrap();
        assert_eq!(Found { folder }.processes(), [12, 34]);
    }

    proptest::proptest! {
        #[test]
        fn reading_the_kernels_lists_never_panics(groups: String, mounts: String) {
            let _ = own_folder_in(&groups, &mounts);
        }
    }
}
