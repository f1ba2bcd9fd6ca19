//! Questions to the git repository of an environment. Reads only: nothing here fetches, checks out
//! or writes, and a name from a person is always behind `--end-of-options`.

use crate::core::param::cut;
use crate::core::release::{Commit, Difference};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;
use tokio::process::Command;

/// How long git may take for one question; a planner has less than three seconds in all.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(2);
/// Bytes of an answer that are read.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// Why git has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GitError {
    /// No tag, branch or commit has this name.
    #[error("no such tag, branch or commit")]
    NoSuchVersion,
    /// The folder is not a repository, or not one that this user may read; git's first line.
    #[error("the working directory is not a usable git repository: {0}")]
    NotARepository(String),
    /// It took too long.
    #[error("git took more than two seconds")]
    TookTooLong,
    /// git itself could not be run.
    #[error("git cannot be run: {0}")]
    CannotRun(String),
}

/// The full commit that a tag, branch or commit names in a working directory.
///
/// # Errors
/// [`GitError`].
pub async fn resolve(workdir: &Path, name: &str) -> Result<String, GitError> {
    let commit = format!("{name}^{{commit}}");
    let arguments = ["rev-parse", "--verify", "--quiet", "--end-of-options", commit.as_str()];
    let (code, out, errors) = ask(workdir, &arguments).await?;
    let answer = out.trim();
    let is_commit =
        matches!(answer.len(), 40 | 64) && answer.bytes().all(|byte| byte.is_ascii_hexdigit());
    match code {
        Some(0) if is_commit => Ok(answer.to_owned()),
        // git says nothing with --quiet when the name is unknown, and a line otherwise.
        _ if errors.trim().is_empty() => Err(GitError::NoSuchVersion),
        _ => Err(not_a_repository(&errors)),
    }
}

/// The newest tags, the newest first.
///
/// # Errors
/// [`GitError`].
pub async fn newest_tags(workdir: &Path, count: usize) -> Result<Vec<String>, GitError> {
    let count = format!("--count={count}");
    let arguments = [
        "for-each-ref",
        "--sort=-version:refname",
        "--sort=-creatordate",
        count.as_str(),
        "--format=%(refname:strip=2)",
        "refs/tags",
    ];
    let (code, out, errors) = ask(workdir, &arguments).await?;
    if code == Some(0) {
        Ok(out.lines().map(str::to_owned).collect())
    } else {
        Err(not_a_repository(&errors))
    }
}

/// What lies between two full commits, with the first lines of at most `count` of them.
///
/// # Errors
/// [`GitError`]; both questions together take no longer than one.
pub async fn difference(
    workdir: &Path,
    from: &str,
    to: &str,
    count: usize,
) -> Result<Difference, GitError> {
    tokio::time::timeout(ANSWER_TIME_MAX, async {
        let (forward, backward) = distance(workdir, from, to).await?;
        let one_side = if forward > 0 { format!("{from}..{to}") } else { format!("{to}..{from}") };
        let newest = subjects(workdir, &one_side, count).await?;
        Ok(Difference { forward, backward, newest })
    })
    .await
    .map_err(|_| GitError::TookTooLong)?
}

/// The files below a folder of the repository that differ between two full commits: how, and which; at
/// most `count`, and how many more.
///
/// # Errors
/// [`GitError`].
pub async fn files_changed(
    workdir: &Path,
    (from, to): (&str, &str),
    folder: &str,
    count: usize,
) -> Result<(Vec<(String, String)>, u64), GitError> {
    // Taken as it is written: no pattern, and from the repository's top wherever the workdir is.
    let folder = format!(":(top,literal){folder}");
    let arguments = [
        "diff",
        "--name-status",
        "--no-renames",
        "--no-color",
        "--no-ext-diff",
        "--end-of-options",
        from,
        to,
        "--",
        folder.as_str(),
    ];
    let (code, out, errors) = ask(workdir, &arguments).await?;
    if code != Some(0) {
        return Err(not_a_repository(&errors));
    }
    let all = out.lines().filter_map(|line| line.split_once('\t'));
    let mut files: Vec<(String, String)> = all.map(|(how, path)| (cut(how), cut(path))).collect();
    let more = files.len().saturating_sub(count);
    files.truncate(count);
    Ok((files, more as u64))
}

async fn distance(workdir: &Path, from: &str, to: &str) -> Result<(u64, u64), GitError> {
    let both = format!("{from}...{to}");
    let arguments =
        ["rev-list", "--left-right", "--count", "--end-of-options", both.as_str(), "--"];
    let (code, out, errors) = ask(workdir, &arguments).await?;
    let mut counts = out.split_whitespace().map(str::parse::<u64>);
    match (code, counts.next(), counts.next()) {
        (Some(0), Some(Ok(backward)), Some(Ok(forward))) => Ok((forward, backward)),
        _ => Err(not_a_repository(&errors)),
    }
}

/// The newest commits of a range. git itself cuts what it prints of a subject.
async fn subjects(workdir: &Path, range: &str, count: usize) -> Result<Vec<Commit>, GitError> {
    let count = format!("--max-count={count}");
    let arguments = [
        "log",
        count.as_str(),
        "--no-color",
        "--no-show-signature",
        "--encoding=UTF-8",
        "--abbrev=10",
        "--format=%h %<(120,trunc)%s",
        "--end-of-options",
        range,
        "--",
    ];
    let (code, out, errors) = ask(workdir, &arguments).await?;
    if code != Some(0) {
        return Err(not_a_repository(&errors));
    }
    let commit = |line: &str| {
        let (id, subject) = line.split_once(' ')?;
        Some(Commit { id: id.to_owned(), subject: cut(subject.trim_end()) })
    };
    Ok(out.lines().filter_map(commit).collect())
}

fn not_a_repository(errors: &str) -> GitError {
    GitError::NotARepository(errors.lines().next().unwrap_or_default().chars().take(200).collect())
}

async fn ask(
    workdir: &Path,
    arguments: &[&str],
) -> Result<(Option<i32>, String, String), GitError> {
    #[expect(clippy::disallowed_methods, reason = "exec/ is where programs are started")]
    let mut command = std::process::Command::new("git");
    command
        .args(["-c", "core.fsmonitor=false", "-c", "core.quotePath=false"])
        .args(arguments)
        .current_dir(workdir)
        .env_clear()
        .env("PATH", crate::core::action::PATH_DEFAULT)
        .env("LC_ALL", "C")
        .env("GIT_OPTIONAL_LOCKS", "0")
        .env("GIT_TERMINAL_PROMPT", "0")
        .stdin(Stdio::null());
    let child = Command::from(command).kill_on_drop(true).output();
    let output = tokio::time::timeout(ANSWER_TIME_MAX, child)
        .await
        .map_err(|_| GitError::TookTooLong)?
        .map_err(|error| GitError::CannotRun(error.to_string()))?;
    let text = |bytes: &[u8]| {
        String::from_utf8_lossy(&bytes[..bytes.len().min(ANSWER_BYTES_MAX)]).into_owned()
    };
    Ok((output.status.code(), text(&output.stdout), text(&output.stderr)))
}
