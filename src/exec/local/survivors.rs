//! What outlives a supervisor that was killed.
//!
//! Only processes that carry the attempt's mark, and what those started, are ever signalled.

use super::super::cgroup::Group;
use super::super::record::Process;
use super::super::{redact, tree};
use crate::core::id::AttemptId;
use rustix::process::Signal;
use std::time::Duration;

const GRACE: Duration = Duration::from_secs(5);
const KILL_WAIT: Duration = Duration::from_secs(5);
const TICK: Duration = Duration::from_millis(50);

/// TERM, patience, KILL. What lives all the same is the answer.
pub(super) fn stop(attempt: Option<&AttemptId>) -> Vec<Process> {
    let Some(attempt) = attempt else { return Vec::new() };
    let mut living = tree::carriers_of(attempt);
    for entry in &living {
        entry.signal(Signal::TERM);
        // A stopped process would not hear it.
        entry.signal(Signal::CONT);
    }
    for tick in 0..ticks(GRACE + KILL_WAIT) {
        if living.is_empty() {
            break;
        }
        std::thread::sleep(TICK);
        living = tree::carriers_of(attempt);
        if tick >= ticks(GRACE) {
            if let Some(group) = Group::find(attempt) {
                group.kill();
            }
            for entry in &living {
                entry.signal(Signal::KILL);
            }
        }
    }
    living.iter().map(describe).collect()
}

fn ticks(time: Duration) -> u128 {
    time.as_millis() / TICK.as_millis()
}

/// As a person reads it. The step's own secrets are not known here; the known shapes are.
pub(super) fn describe(entry: &tree::Entry) -> Process {
    entry.describe(|name| redact::text(&[], name))
}
