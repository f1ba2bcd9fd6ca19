//! Which attempts the data folder knew when the bot started, by run and step.
//!
//! A database that was restored from a backup forgets what was begun after it. The evidence does not:
//! before a step begins, the driver asks here, and takes up an attempt that the database lacks instead
//! of beginning it once more.

use super::record::{self, Exit, Started};
use crate::core::id::AttemptId;
use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};

/// The file that says whose attempt a folder is.
const MARK: &str = "of";
/// A mark is a run's id and a number.
const MARK_BYTES_MAX: u64 = 100;

/// Attempts that began, oldest first.
#[derive(Debug, Default)]
pub struct Past(HashMap<(String, i64), Vec<(AttemptId, PathBuf)>>);

/// Writes whose attempt a folder is; before the attempt begins.
///
/// # Errors
/// What the file system says.
pub fn mark(folder: &Path, run: &str, position: i64) -> io::Result<()> {
    std::fs::write(folder.join(MARK), format!("{run} {position}\n"))
}

impl Past {
    /// Reads every attempt's folder. One that cannot be read is passed over: the database may know it.
    pub fn read(attempts: &Path) -> Self {
        let mut found: HashMap<_, Vec<(i64, AttemptId, PathBuf)>> = HashMap::new();
        let folders = std::fs::read_dir(attempts).into_iter().flatten().flatten();
        for folder in folders.map(|entry| entry.path()) {
            if let Some((of, began)) = read_one(&folder) {
                found.entry(of).or_default().push((began.0, began.1, folder));
            }
        }
        let in_order = found.into_iter().map(|(of, mut began)| {
            began.sort_by_key(|(at_ms, ..)| *at_ms);
            (of, began.into_iter().map(|(_, attempt, folder)| (attempt, folder)).collect())
        });
        Self(in_order.collect())
    }

    /// The attempt of a step after the first `begun` ones, which are those that the database knows.
    pub fn attempt_after(
        &self,
        run: &str,
        position: i64,
        begun: i64,
    ) -> Option<&(AttemptId, PathBuf)> {
        let begun = usize::try_from(begun).ok()?;
        self.0.get(&(run.to_owned(), position))?.get(begun)
    }
}

/// Whose attempt it is and when it began; `None`: it never did, or nobody wrote whose it is.
fn read_one(folder: &Path) -> Option<((String, i64), (i64, AttemptId))> {
    let mark = folder.join(MARK);
    if std::fs::metadata(&mark).ok()?.len() > MARK_BYTES_MAX {
        return None;
    }
    let text = std::fs::read_to_string(mark).ok()?;
    let (run, position) = text.trim().split_once(' ')?;
    let of = (run.to_owned(), position.parse().ok()?);
    let name = folder.file_name()?.to_str()?;
    let attempt = AttemptId::new(name);
    // A record that is there and cannot be read still says that something began.
    let at_ms = match record::read::<Started>(folder) {
        Ok(Some(started)) => started.at_ms,
        Ok(None) => record::read::<Exit>(folder).ok()?.map(|exit| exit.started_ms)?,
        Err(_) => i64::MAX,
    };
    Some((of, (at_ms, attempt)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attempt(attempts: &Path, name: &str, mark_text: Option<&str>, at_ms: Option<i64>) {
        let folder = attempts.join(name);
        std::fs::create_dir(&folder).unwrap();
        if let Some(text) = mark_text {
            std::fs::write(folder.join(MARK), text).unwrap();
        }
        if let Some(at_ms) = at_ms {
            let attempt = AttemptId::new(name);
            let boot_id = String::new();
            let started = Started { supervisor_pid: 1, boot_id, attempt, at_ms };
            record::write(&folder, &started).unwrap();
        }
    }

    #[test]
    fn attempts_that_began_are_found_in_their_order() {
        let folder = tempfile::tempdir().unwrap();
        let attempts = folder.path();
        attempt(attempts, "A-2", Some("R-1 0\n"), Some(200));
        attempt(attempts, "A-1", Some("R-1 0\n"), Some(100));
        attempt(attempts, "A-3", Some("R-1 1\n"), Some(300));
        // Decided and never begun; another program's; a mark that is none.
        attempt(attempts, "A-4", Some("R-1 0\n"), None);
        attempt(attempts, "A-5", None, Some(50));
        attempt(attempts, "A-6", Some("R-1"), Some(50));

        let past = Past::read(attempts);

        let name = |position, begun| {
            past.attempt_after("R-1", position, begun).map(|(attempt, _)| attempt.to_string())
        };
        assert_eq!(name(0, 0).as_deref(), Some("A-1"));
        assert_eq!(name(0, 1).as_deref(), Some("A-2"));
        assert_eq!(name(0, 2), None);
        assert_eq!(name(1, 0).as_deref(), Some("A-3"));
        assert!(past.attempt_after("R-2", 0, 0).is_none());
    }

    #[test]
    fn a_mark_reads_back() {
        let folder = tempfile::tempdir().unwrap();
        attempt(folder.path(), "A-1", None, Some(1));
        mark(&folder.path().join("A-1"), "R-9", 3).unwrap();

        assert!(Past::read(folder.path()).attempt_after("R-9", 3, 0).is_some());
    }
}
