//! Which processes belong to a step, read from `/proc`, and signals that cannot hit a stranger.
//!
//! A process id may be reused between reading and signalling; a signal therefore goes through a
//! pidfd, after the process has shown the start time it was read with. The parent relation comes
//! from `stat`, since `children` needs a kernel option that not every host has.

use super::ATTEMPT_VARIABLE;
use super::cgroup::Group;
use super::record::Process;
use crate::core::id::AttemptId;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

/// An environment longer than this is read no further: the marker stands where it stood at start.
const ENVIRONMENT_BYTES_MAX: u64 = 2 * 1024 * 1024;
/// The longest name shown.
const NAME_CHARS_MAX: usize = 80;

/// One process as `/proc` showed it.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub pid: Pid,
    parent: i32,
    state: u8,
    /// In clock ticks since boot: with the process id, it names one process for good.
    started_ticks: u64,
    command: String,
}

impl Entry {
    fn of(pid: i32) -> Option<Self> {
        let text = fs::read(format!("/proc/{pid}/stat")).ok()?;
        Self::parse(&String::from_utf8_lossy(&text))
    }

    /// `pid (command) state parent …`, the start time in the 22nd field; a command may hold
    /// spaces and parentheses. See proc(5).
    fn parse(stat: &str) -> Option<Self> {
        let (pid, rest) = stat.split_once(" (")?;
        let (command, rest) = rest.rsplit_once(") ")?;
        let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
        Some(Self {
            pid: Pid::from_raw(pid.parse().ok()?)?,
            parent: fields.get(1)?.parse().ok()?,
            state: *fields.first()?.as_bytes().first()?,
            started_ticks: fields.get(19)?.parse().ok()?,
            command: command.to_owned(),
        })
    }

    fn raw(&self) -> i32 {
        self.pid.as_raw_nonzero().get()
    }

    /// It has ended and only waits to be reaped.
    pub fn is_zombie(&self) -> bool {
        matches!(self.state, b'Z' | b'X')
    }

    /// Whether two readings show one process.
    pub fn is_same_as(&self, other: &Self) -> bool {
        (self.pid, self.started_ticks) == (other.pid, other.started_ticks)
    }

    /// What it was called as. The caller redacts.
    pub fn name(&self) -> String {
        let line = fs::read(format!("/proc/{}/cmdline", self.raw())).unwrap_or_default();
        let first = line.split(|byte| *byte == 0).next().unwrap_or_default();
        let first = String::from_utf8_lossy(first);
        let name = if first.is_empty() { self.command.as_str().into() } else { first };
        name.chars().filter(|letter| !letter.is_control()).take(NAME_CHARS_MAX).collect()
    }

    /// As it goes into a record.
    pub fn describe(&self, redact: impl Fn(&str) -> String) -> Process {
        let pid = self.pid.as_raw_nonzero().get().unsigned_abs();
        Process { pid, name: redact(&self.name()), alive: true }
    }

    /// Whether this very process still runs.
    pub fn is_alive(&self) -> bool {
        Self::of(self.raw()).is_some_and(|now| now.is_same_as(self) && !now.is_zombie())
    }

    /// Sends a signal to this very process; a process that is gone is no error.
    pub fn signal(&self, signal: Signal) {
        let Ok(handle) = pidfd_open(self.pid, PidfdFlags::empty()) else { return };
        // The handle holds whoever has the id now; the start time says whether that is ours.
        if Self::of(self.raw()).is_some_and(|now| now.is_same_as(self)) {
            let _ = pidfd_send_signal(handle, signal);
        }
    }
}

/// Every process that `/proc` shows.
fn all() -> Vec<Entry> {
    let Ok(folder) = fs::read_dir("/proc") else { return Vec::new() };
    folder
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter_map(Entry::of)
        .collect()
}

/// The direct children of a process, zombies too.
pub(super) fn children_of(parent: Pid) -> Vec<Entry> {
    let parent = parent.as_raw_nonzero().get();
    all().into_iter().filter(|entry| entry.parent == parent).collect()
}

/// Everything below a process, zombies too.
pub(super) fn descendants_of(root: Pid) -> Vec<Entry> {
    below(all(), BTreeSet::from([root.as_raw_nonzero().get()]))
}

/// Everything below the roots, without them.
fn below(mut rest: Vec<Entry>, mut family: BTreeSet<i32>) -> Vec<Entry> {
    let mut found = Vec::new();
    loop {
        let (children, others): (Vec<_>, Vec<_>) =
            rest.into_iter().partition(|entry| family.contains(&entry.parent));
        if children.is_empty() {
            return found;
        }
        family = children.iter().map(Entry::raw).collect();
        found.extend(children);
        rest = others;
    }
}

/// The living processes that carry an attempt's mark in their environment, and what they started.
///
/// A program that rewrites the memory of its own environment, or runs as another user, shows no
/// mark; it is found only below one that does, or where the step has a control group.
pub(super) fn carriers_of(attempt: &AttemptId) -> Vec<Entry> {
    let mark = format!("{ATTEMPT_VARIABLE}={attempt}");
    let me = std::process::id().cast_signed();
    let grouped = Group::find(attempt).map(|group| group.processes()).unwrap_or_default();
    let (mut family, rest): (Vec<_>, Vec<_>) =
        all().into_iter().filter(|entry| entry.raw() != me).partition(|entry| {
            grouped.contains(&entry.raw()) || has_environment_entry(entry.raw(), mark.as_bytes())
        });
    let roots = family.iter().map(Entry::raw).collect();
    family.extend(below(rest, roots));
    family.retain(|entry| !entry.is_zombie());
    family
}

fn has_environment_entry(pid: i32, wanted: &[u8]) -> bool {
    let Ok(file) = File::open(Path::new("/proc").join(pid.to_string()).join("environ")) else {
        return false;
    };
    let mut environment = Vec::new();
    // What was read before a fault still counts.
    let _ = file.take(ENVIRONMENT_BYTES_MAX).read_to_end(&mut environment);
    environment.split(|byte| *byte == 0).any(|entry| entry == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_may_hold_spaces_and_parentheses() {
        let tail = "S 7 1 1 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 987654 1 2 3";

        let entry = Entry::parse(&format!("42 (a) b (c)) {tail}")).unwrap();

        assert_eq!(entry.command, "a) b (c)");
        assert_eq!((entry.raw(), entry.parent, entry.state), (42, 7, b'S'));
        assert_eq!(entry.started_ticks, 987_654);
    }

    #[test]
    fn this_process_is_found_below_its_parent() {
        let parent = rustix::process::getppid().unwrap();
        let me = rustix::process::getpid();

        assert!(children_of(parent).iter().any(|entry| entry.pid == me));
        assert!(descendants_of(parent).iter().any(|entry| entry.pid == me && entry.is_alive()));
    }

    proptest::proptest! {
        #[test]
        fn reading_stat_never_panics(text: String) {
            let _ = Entry::parse(&text);
        }
    }
}
