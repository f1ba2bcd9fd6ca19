//! How the bot's surroundings are: its database, Slack, the disk of its data folder.
//!
//! One loop looks (`worker/health`) and writes here; everybody else only reads, and never waits for
//! the surroundings themselves to answer.

use crate::clock::Millis;
use std::sync::Arc;
use tokio::sync::watch;

/// Below this much free space in the data folder no new run begins. What runs already may use it: the
/// evidence and the kept output of every step that can be under way fit.
pub const RESERVE_BYTES: u64 = 64 * 1024 * 1024;
/// Space comes back in earnest only from here on: a disk at its edge must not open and shut the door.
pub const RESERVE_BYTES_AGAIN: u64 = RESERVE_BYTES + 8 * 1024 * 1024;

/// Something that the bot needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The bot's own database.
    Database,
    /// Slack's Web API.
    Slack,
    /// Free space where the evidence is, and SQLite's file.
    Disk,
}

impl Part {
    /// Every part, in the order in which they are shown.
    pub const ALL: [Self; 3] = [Self::Database, Self::Slack, Self::Disk];

    /// The word in `/readyz`, `/metrics` and the journal.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Database => "database",
            Self::Slack => "slack",
            Self::Disk => "disk",
        }
    }
}

/// What was seen last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sight {
    /// By [`Part::ALL`]: since when it is not as it should be.
    bad_since_ms: [Option<Millis>; 3],
    /// Free bytes where there are fewest: data folder or SQLite's folder; `None`: not known.
    pub free_bytes: Option<u64>,
}

impl Sight {
    /// Since when a part is not as it should be; `None`: it is.
    pub fn bad_since_ms(&self, part: Part) -> Option<Millis> {
        self.bad_since_ms[part as usize]
    }

    /// Whether a part is as it should be.
    pub fn is_good(&self, part: Part) -> bool {
        self.bad_since_ms(part).is_none()
    }
}

/// The latest [`Sight`]. Cheap to clone; clones see the same.
#[derive(Debug, Clone, Default)]
pub struct Vitals(Arc<watch::Sender<Sight>>);

impl Vitals {
    /// What was seen last.
    pub fn sight(&self) -> Sight {
        *self.0.borrow()
    }

    /// Whether a part was as it should be when last looked at.
    pub fn is_good(&self, part: Part) -> bool {
        self.sight().is_good(part)
    }

    /// Writes how a part is at `now_ms`; since when it is bad stays as it was first seen.
    pub fn see(&self, part: Part, is_good: bool, now_ms: Millis) {
        self.0.send_modify(|sight| {
            let since = &mut sight.bad_since_ms[part as usize];
            *since = if is_good { None } else { Some(since.unwrap_or(now_ms)) };
        });
    }

    /// Writes how much space is free, and whether that is enough.
    pub fn see_free_bytes(&self, free_bytes: u64, now_ms: Millis) {
        self.0.send_modify(|sight| sight.free_bytes = Some(free_bytes));
        let enough = if self.is_good(Part::Disk) { RESERVE_BYTES } else { RESERVE_BYTES_AGAIN };
        self.see(Part::Disk, free_bytes >= enough, now_ms);
    }

    /// Waits until a part is as it should be; returns at once when it is.
    pub async fn until_good(&self, part: Part) {
        // The sender lives in `self`, so the channel cannot close under the wait.
        let _ = self.0.subscribe().wait_for(|sight| sight.is_good(part)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_bad_since_it_was_first_seen_so() {
        let vitals = Vitals::default();
        vitals.see(Part::Slack, false, 5);
        vitals.see(Part::Slack, false, 9);

        assert_eq!(vitals.sight().bad_since_ms(Part::Slack), Some(5));
        assert!(vitals.is_good(Part::Database));
        vitals.see(Part::Slack, true, 12);
        assert!(vitals.is_good(Part::Slack));
    }

    #[test]
    fn a_disk_at_its_edge_does_not_flutter() {
        let vitals = Vitals::default();
        let seen =
            [RESERVE_BYTES, RESERVE_BYTES - 1, RESERVE_BYTES, RESERVE_BYTES_AGAIN].map(|free| {
                vitals.see_free_bytes(free, 1);
                vitals.is_good(Part::Disk)
            });

        assert_eq!(seen, [true, false, false, true]);
    }
}
