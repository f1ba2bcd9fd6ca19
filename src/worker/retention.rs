//! Removes what nobody needs any more: folders of evidence by age and by size, the oldest ended first,
//! what the outbox keeps of runs that ended long ago, what Slack said of people longer ago than any role
//! believes it, and control groups that are empty.
//!
//! Never the evidence of a run that has not ended, and never a folder whose supervisor lives.

use crate::clock::Millis;
use crate::engine::{Attempts, Engine, Error, Swept};
use crate::exec::cgroup;
use crate::exec::record::Lock;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

/// Folders that one sweep removes; the next goes on.
const FOLDERS_MAX: usize = 1_000;
/// Messages that one sweep forgets.
const MESSAGES_MAX: i64 = 1_000;
/// Files of an attempt's folder that are counted: a supervisor makes fewer than ten.
const FILES_MAX: usize = 100;

/// What is kept.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// So long after a run has ended.
    pub kept_ms: u64,
    /// Evidence in all; of a run that has not ended it is kept whatever it takes.
    pub bytes_max: u64,
}

/// One folder of evidence that may be removed.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Folder {
    ended_ms: Millis,
    path: PathBuf,
    bytes: u64,
}

/// Sweeps once.
///
/// # Errors
/// The database's. A folder that cannot be read or removed is logged and passed over.
pub async fn sweep(engine: &Engine, attempts: &Path, limits: Limits) -> Result<Swept, Error> {
    let forgotten = engine.forget_people().await?;
    if forgotten > 0 {
        tracing::info!(
            "forgot {forgotten} answers of Slack about people, which no role believes now"
        );
    }
    let before_ms = engine.clock().now_ms().saturating_sub_unsigned(limits.kept_ms);
    let known = engine.attempts().await?;
    let folder = attempts.to_owned();
    let work = move || {
        cgroup::remove_empty();
        remove(&folder, &known, before_ms, limits.bytes_max)
    };
    let removed = tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|fault| Err(io::Error::other(fault)));
    let removed = removed.unwrap_or_else(|error| {
        tracing::warn!("sweep the evidence in {}: {error:#}", attempts.display());
        Swept::default()
    });
    engine.swept(removed, before_ms, MESSAGES_MAX).await
}

fn remove(
    attempts: &Path,
    known: &Attempts,
    before_ms: Millis,
    bytes_max: u64,
) -> io::Result<Swept> {
    let mut removable = Vec::new();
    let mut bytes_all = 0_u64;
    for entry in fs::read_dir(attempts)? {
        let path = entry?.path();
        let Ok(about) = path.symlink_metadata() else { continue };
        if !about.is_dir() {
            continue;
        }
        let bytes = size(&path);
        bytes_all += bytes;
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let changed = about.modified().ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok());
        let changed_ms = changed.map_or(0, |at| i64::try_from(at.as_millis()).unwrap_or(0));
        if let Some(ended_ms) = ended_ms(known, &name, changed_ms) {
            removable.push(Folder { ended_ms, path, bytes });
        }
    }
    removable.sort();
    let mut swept = Swept::default();
    for folder in removable.into_iter().take(FOLDERS_MAX) {
        if folder.ended_ms >= before_ms && bytes_all <= bytes_max {
            break;
        }
        // Held: somebody lives there, whatever the database says.
        let Ok(Some(_lock)) = Lock::try_take(&folder.path) else { continue };
        match fs::remove_dir_all(&folder.path) {
            Ok(()) => {
                swept.folders += 1;
                swept.bytes += folder.bytes;
                bytes_all -= folder.bytes;
            }
            Err(error) => tracing::warn!("remove {}: {error}", folder.path.display()),
        }
    }
    Ok(swept)
}

/// When the attempt's run ended; `None`: it may not have.
fn ended_ms(known: &Attempts, attempt: &str, changed_ms: Millis) -> Option<Millis> {
    match known.ended_ms.get(attempt) {
        Some(0) => None,
        Some(ended_ms) => Some(*ended_ms),
        // An earlier try, or of a database that is gone.
        None => known.open_since_ms.is_none_or(|since| changed_ms < since).then_some(changed_ms),
    }
}

fn size(folder: &Path) -> u64 {
    let Ok(files) = fs::read_dir(folder) else { return 0 };
    let sizes = files.take(FILES_MAX).filter_map(|file| Some(file.ok()?.metadata().ok()?.len()));
    sizes.sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(root: &Path, name: &str, bytes: usize) {
        fs::create_dir(root.join(name)).unwrap();
        fs::write(root.join(name).join("output.log"), vec![b'x'; bytes]).unwrap();
    }

    fn left(root: &Path) -> Vec<String> {
        let names = fs::read_dir(root).unwrap().map(|entry| entry.unwrap().file_name());
        let mut names: Vec<_> = names.map(|name| name.into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn known(ended: &[(&str, Millis)]) -> Attempts {
        let ended_ms = ended.iter().map(|(name, at)| ((*name).to_owned(), *at)).collect();
        Attempts { ended_ms, open_since_ms: Some(0) }
    }

    #[test]
    fn age_and_size_remove_the_oldest_ended_first_and_nothing_that_is_open() {
        let root = tempfile::tempdir().unwrap();
        for name in ["A-old", "A-open", "A-mid", "A-new", "A-earlier-try"] {
            folder(root.path(), name, 1_000);
        }
        let known = known(&[("A-old", 10), ("A-open", 0), ("A-mid", 20), ("A-new", 30)]);

        let swept = remove(root.path(), &known, 15, u64::MAX).unwrap();
        assert_eq!(swept, Swept { folders: 1, bytes: 1_000, messages: 0 });
        assert_eq!(left(root.path()), ["A-earlier-try", "A-mid", "A-new", "A-open"]);

        let swept = remove(root.path(), &known, 15, 3_000).unwrap();
        assert_eq!(swept.folders, 1);
        assert_eq!(left(root.path()), ["A-earlier-try", "A-new", "A-open"]);

        assert_eq!(remove(root.path(), &known, 15, 0).unwrap().folders, 1);
        assert_eq!(left(root.path()), ["A-earlier-try", "A-open"]);
        assert_eq!(remove(root.path(), &known, 15, 0).unwrap(), Swept::default());
    }

    #[test]
    fn a_folder_whose_supervisor_lives_stays() {
        let root = tempfile::tempdir().unwrap();
        folder(root.path(), "A-1", 1);
        let lock = Lock::try_take(&root.path().join("A-1")).unwrap();

        assert_eq!(remove(root.path(), &known(&[("A-1", 1)]), 2, 0).unwrap().folders, 0);
        drop(lock);
        assert_eq!(remove(root.path(), &known(&[("A-1", 1)]), 2, 0).unwrap().folders, 1);
    }

    #[test]
    fn an_earlier_try_goes_once_every_run_of_its_time_has_ended() {
        let mut known = known(&[]);
        known.open_since_ms = Some(100);
        assert_eq!(ended_ms(&known, "A-1", 99), Some(99));
        assert_eq!(ended_ms(&known, "A-1", 100), None);
        known.open_since_ms = None;
        assert_eq!(ended_ms(&known, "A-1", 100), Some(100));
    }
}
