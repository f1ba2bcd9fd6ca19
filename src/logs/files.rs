//! Which files a log is: rotated ones by their pattern, compressed ones by their first bytes. Reads
//! what a file held when it was opened and not what is written to it meanwhile, so that it ends.

use super::{Course, Trouble};
use flate2::bufread::MultiGzDecoder;
use rustix::fs::OFlags;
use std::collections::HashSet;
use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Files that are read for one report, the newest first; all are open at once.
const FILES_MAX: usize = 200;
/// Names in a folder that a pattern is compared with; a folder with more is not for logs.
const NAMES_MAX: usize = 100_000;
const BUFFER_BYTES: usize = 64 * 1024;
const GZIP: &[u8] = &[0x1f, 0x8b];
/// Other ways of compression, to be told by name.
const NOT_READ: [(&[u8], &str); 3] =
    [(&[0x28, 0xb5, 0x2f, 0xfd], "zstd"), (b"BZh", "bzip2"), (&[0xfd, b'7', b'z', b'X'], "xz")];

/// A file that is open.
pub(super) struct Log {
    pub name: String,
    file: File,
    size: u64,
}

/// What came of reading one file.
pub(super) struct Outcome {
    /// Read of the file itself.
    pub bytes: u64,
    pub trouble: Option<Trouble>,
}

/// Opens what the patterns name and what was written to since `since_ms`. The rest is noted.
pub(super) fn open(patterns: &[String], since_ms: i64, course: &mut Course) -> Vec<Log> {
    let mut found: Vec<(PathBuf, Metadata)> = Vec::new();
    let mut seen = HashSet::new();
    for pattern in patterns {
        let paths = match expand(Path::new(pattern)) {
            Ok(paths) if paths.is_empty() => Err(Trouble::NoMatch),
            other => other.map_err(Trouble::Io),
        };
        let paths = paths.unwrap_or_else(|trouble| {
            course.troubles.push((pattern.clone(), trouble));
            Vec::new()
        });
        for path in paths {
            match std::fs::metadata(&path) {
                Ok(facts) if !facts.is_file() => note(course, &path, Trouble::NotAFile),
                Ok(facts) if written_ms(&facts) < since_ms => course.older += 1,
                Ok(facts) => found.push((path, facts)),
                Err(error) => note(course, &path, Trouble::Io(error)),
            }
        }
    }
    found.sort_by_key(|(_, facts)| std::cmp::Reverse(written_ms(facts)));
    let mut logs = Vec::new();
    for (path, _) in found {
        match open_one(&path) {
            // Named by two patterns, or renamed since its name was read.
            Ok((id, _)) if !seen.insert(id) => {}
            Ok(_) if logs.len() == FILES_MAX => {
                course.troubles.push((path.display().to_string(), Trouble::TooMany(FILES_MAX)));
            }
            Ok((_, log)) => logs.push(log),
            Err(trouble) => note(course, &path, trouble),
        }
    }
    logs
}

fn note(course: &mut Course, path: &Path, trouble: Trouble) {
    course.troubles.push((path.display().to_string(), trouble));
}

fn written_ms(facts: &Metadata) -> i64 {
    facts.mtime().saturating_mul(1_000).saturating_add(facts.mtime_nsec() / 1_000_000)
}

fn open_one(path: &Path) -> Result<((u64, u64), Log), Trouble> {
    // Opening a pipe that nobody writes to would wait for ever.
    let flags = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or_default();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path);
    let file = file.map_err(Trouble::Io)?;
    let facts = file.metadata().map_err(Trouble::Io)?;
    if !facts.is_file() {
        return Err(Trouble::NotAFile);
    }
    let log = Log { name: path.display().to_string(), file, size: facts.len() };
    Ok(((facts.dev(), facts.ino()), log))
}

/// The paths that a pattern names, in the order of their names; a path without `*` and `?` is itself.
pub(super) fn expand(pattern: &Path) -> io::Result<Vec<PathBuf>> {
    let Some(wanted) = pattern.file_name().filter(|name| has_wildcard(name.as_bytes())) else {
        return Ok(vec![pattern.to_owned()]);
    };
    let folder = pattern.parent().filter(|folder| *folder != Path::new(""));
    let mut paths = Vec::new();
    for (index, entry) in std::fs::read_dir(folder.unwrap_or(Path::new(".")))?.enumerate() {
        if index == NAMES_MAX {
            return Err(io::Error::other(format!("its folder has more than {NAMES_MAX} names")));
        }
        let name = entry?.file_name();
        if matches(wanted.as_bytes(), name.as_bytes()) {
            paths.push(folder.unwrap_or(Path::new("")).join(name));
        }
    }
    paths.sort_unstable();
    Ok(paths)
}

fn has_wildcard(name: &[u8]) -> bool {
    name.iter().any(|byte| matches!(byte, b'*' | b'?'))
}

/// Whether a name fits a pattern in which `*` is anything and `?` one byte. A hidden file is meant only
/// by a pattern that says so.
fn matches(pattern: &[u8], name: &[u8]) -> bool {
    if name.starts_with(b".") && !pattern.starts_with(b".") {
        return false;
    }
    let (mut at, mut of) = (0, 0);
    // Where the last `*` stands, and how much of the name it takes so far.
    let mut star: Option<(usize, usize)> = None;
    while at < name.len() {
        match pattern.get(of) {
            Some(b'*') => {
                star = Some((of, at));
                of += 1;
            }
            Some(byte) if *byte == b'?' || *byte == name[at] => {
                at += 1;
                of += 1;
            }
            _ => {
                let Some((star_of, taken)) = star else { return false };
                star = Some((star_of, taken + 1));
                (of, at) = (star_of + 1, taken + 1);
            }
        }
    }
    pattern[of..].iter().all(|byte| *byte == b'*')
}

impl Log {
    /// Hands the file's text to `count`, as far as it can be had.
    pub(super) fn with(self, count: impl FnOnce(&mut dyn Read) -> io::Result<()>) -> Outcome {
        let mut source = BufReader::with_capacity(BUFFER_BYTES, self.file.take(self.size));
        let counted = match source.fill_buf() {
            Ok(first) if first.starts_with(GZIP) => {
                count(&mut MultiGzDecoder::new(&mut source)).map_err(Trouble::Io)
            }
            Ok(first) => match NOT_READ.iter().find(|(magic, _)| first.starts_with(magic)) {
                Some((_, way)) => Err(Trouble::Compressed(way)),
                None => count(&mut source).map_err(Trouble::Io),
            },
            Err(error) => Err(Trouble::Io(error)),
        };
        let missing = source.get_ref().limit();
        let trouble = match counted {
            Ok(()) => (missing > 0).then_some(Trouble::Shrank),
            Err(trouble) => Some(trouble),
        };
        Outcome { bytes: self.size - missing, trouble }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_names_rotated_files_and_nothing_else() {
        for (pattern, name, fits) in [
            ("access.log*", "access.log", true),
            ("access.log*", "access.log.2.gz", true),
            ("access.log*", "access.log-20261124", true),
            ("access.log*", "error.log", false),
            ("*.log", ".hidden.log", false),
            (".*.log", ".hidden.log", true),
            ("a?c*e*", "abcdefe", true),
            ("a?c", "ac", false),
            ("*a*b*c", "xxaxxbxxbc", true),
            ("*a*b*c", "xxaxxbxxbcd", false),
            ("*", "", true),
        ] {
            assert_eq!(matches(pattern.as_bytes(), name.as_bytes()), fits, "{pattern} {name}");
        }
    }
}
