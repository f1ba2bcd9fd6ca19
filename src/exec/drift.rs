//! Whether a plan still means what it meant when people saw it: its versions name the same commits and
//! its scripts hold the same bytes. Asked when somebody approves, and before the first step.

use super::git::{self, GitError};
use crate::core::param::cut;
use crate::core::plan::{Plan, PlannedStep, Work};
use crate::core::text::Text;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// A script larger than this is not read into the plan's digest; it is named as too large instead.
const SCRIPT_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// What scripts are written in: one in one of them may call one in another.
const SCRIPTS: [&str; 10] = ["bash", "js", "mjs", "pl", "py", "rb", "sh", "sql", "ts", "zsh"];
/// Files beside a script that are looked at.
const NEIGHBOURS_MAX: usize = 100;

/// What is not as it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Drift {
    /// A version names another commit now.
    Moved {
        /// As it was typed.
        version: String,
        /// The commit that was shown.
        was: String,
        /// The commit that it names now.
        now: String,
    },
    /// No tag, branch or commit has a version's name any more.
    Gone {
        /// As it was typed.
        version: String,
    },
    /// git could not say what a version names: nothing is proved.
    Unreadable {
        /// As it was typed.
        version: String,
        /// Why, for the log.
        error: GitError,
    },
    /// A script that a step names holds other bytes now.
    Script {
        /// As the step names it.
        path: String,
    },
}

/// The first thing that is not as it was when the plan was made; `None`: all is.
pub async fn drift(plan: &Plan) -> Option<Drift> {
    for (name, commit) in &plan.commits {
        // A commit without its argument is no plan of ours; its scripts are looked at all the same.
        let Some(version) = plan.arguments.get(name) else { continue };
        match git::resolve(&plan.workdir, version).await {
            Ok(now) if now == *commit => {}
            Ok(now) => {
                return Some(Drift::Moved { version: version.clone(), was: commit.clone(), now });
            }
            Err(GitError::NoSuchVersion) => return Some(Drift::Gone { version: version.clone() }),
            Err(error) => return Some(Drift::Unreadable { version: version.clone(), error }),
        }
    }
    if plan.cause.is_some() {
        // The run that failed may have changed them, and it is to be undone all the same: approved is
        // what the runbook names, and the journal holds what that was when its step begins.
        return None;
    }
    let now = scripts(plan).await;
    let paths = plan.scripts.keys().chain(now.keys());
    let changed = paths.into_iter().find(|path| plan.scripts.get(*path) != now.get(*path));
    changed.map(|path| Drift::Script { path: path.clone() })
}

/// SHA-256 of every file in the working directory that a step names by its path, and of those beside it
/// that are of its kind: a script reads its neighbours (`. lib.sh`).
pub async fn scripts(plan: &Plan) -> BTreeMap<String, String> {
    let (workdir, steps) = (plan.workdir.clone(), plan.steps.clone());
    let reading = tokio::task::spawn_blocking(move || scripts_of(&workdir, &steps));
    reading.await.unwrap_or_default()
}

fn scripts_of(workdir: &Path, steps: &[PlannedStep]) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for step in steps {
        let Work::Run { argv, .. } = &step.work else { continue };
        for element in argv.iter().filter(|element| element.contains('/')) {
            let path = workdir.join(element);
            if !path.starts_with(workdir) || !path.is_file() {
                continue;
            }
            for name in neighbours(workdir, Path::new(element)) {
                found.entry(name.clone()).or_insert_with(|| digest(&workdir.join(&name)));
            }
            found.insert(element.clone(), digest(&path));
        }
    }
    found
}

/// The files beside one that have its extension, and beside a script other scripts too, as a step would name
/// them; the first of them, by name.
fn neighbours(workdir: &Path, script: &Path) -> Vec<String> {
    let (Some(folder), Some(kind)) = (script.parent(), script.extension()) else {
        return Vec::new();
    };
    let entries = std::fs::read_dir(workdir.join(folder)).into_iter().flatten().flatten();
    let names = entries.map(|entry| folder.join(entry.file_name()));
    let is_script = |kind: &OsStr| SCRIPTS.iter().any(|script| kind == *script);
    let is_of_kind = |other: &OsStr| other == kind || (is_script(kind) && is_script(other));
    let is_alike =
        |path: &PathBuf| path.extension().is_some_and(is_of_kind) && workdir.join(path).is_file();
    let mut alike: Vec<String> =
        names.filter(is_alike).map(|path| path.display().to_string()).collect();
    alike.sort();
    alike.truncate(NEIGHBOURS_MAX);
    alike
}

fn digest(path: &Path) -> String {
    let size = std::fs::metadata(path).map_or(0, |facts| facts.len());
    if size > SCRIPT_BYTES_MAX {
        return format!("not read: {size} bytes");
    }
    std::fs::read(path).map_or_else(
        |error| format!("not read: {error}"),
        |bytes| hex::encode(Sha256::digest(bytes)),
    )
}

impl Drift {
    /// What people read.
    pub fn text(&self) -> Text {
        match self {
            Self::Moved { version, was, now } => Text::new(
                format!("`{version}` 提出时是 `{}`，现在是 `{}`", short(was), short(now)),
                format!(
                    "`{version}` was `{}` when it was asked, and is `{}` now",
                    short(was),
                    short(now)
                ),
            ),
            Self::Gone { version } => Text::new(
                format!("仓库里已经没有 `{version}`"),
                format!("the repository has no `{version}` any more"),
            ),
            Self::Unreadable { version, .. } => Text::new(
                format!("现在无法读取仓库来核对 `{version}`"),
                format!("the repository cannot be read right now to check `{version}`"),
            ),
            Self::Script { path } => {
                let path = cut(path);
                Text::new(
                    format!("脚本 `{path}` 在提出之后被改动过"),
                    format!("the script `{path}` was changed since it was asked"),
                )
            }
        }
    }
}

fn short(commit: &str) -> &str {
    commit.get(..10).unwrap_or(commit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beside_a_script_stand_scripts_of_any_language_and_beside_data_its_own_kind() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("scripts")).unwrap();
        for name in ["check.sh", "lib.sh", "read.js", "notes.md", "a.toml", "b.toml"] {
            std::fs::write(folder.path().join("scripts").join(name), "x").unwrap();
        }
        let beside = |name: &str| neighbours(folder.path(), &Path::new("scripts").join(name));

        assert_eq!(beside("check.sh"), ["scripts/check.sh", "scripts/lib.sh", "scripts/read.js"]);
        assert_eq!(beside("a.toml"), ["scripts/a.toml", "scripts/b.toml"]);
        assert_eq!(beside("notes.md"), ["scripts/notes.md"]);
    }
}
