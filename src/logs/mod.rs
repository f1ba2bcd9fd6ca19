//! The report on a service's log: `neostock-ops log-report`, the program of `logs` steps.
//!
//! One pass over every file of the window, in memory that does not grow with them: every map, line and
//! list has a named limit. It reads files and nothing else, and it leaves nothing out in silence: a
//! file that cannot be read, and a line that is not understood, stand in the report.

mod files;
mod lines;
mod parse;
mod route;
mod tally;
mod words;

use crate::core::action::AccessFormat;
use crate::core::text::Lang;
use files::{Log, Outcome};
use lines::{Line, Lines};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;
use tally::Tally;

/// What is to be read.
#[derive(Debug, Clone)]
pub struct Options {
    /// Files, or patterns with `*` and `?` in their last part; a relative one starts at the working
    /// directory.
    pub files: Vec<String>,
    /// How the lines are written.
    pub format: AccessFormat,
    /// How far back from `until_ms`.
    pub window_ms: u64,
    /// The end of the window, which is not in it; milliseconds since 1970.
    pub until_ms: i64,
    /// The beginning of the paths where people sign in; empty: every path.
    pub sign_in: String,
    /// The report's language.
    pub lang: Lang,
}

impl Options {
    fn since_ms(&self) -> i64 {
        self.until_ms.saturating_sub_unsigned(self.window_ms)
    }
}

/// How the reading went, file by file.
#[derive(Debug, Default)]
struct Course {
    /// Read, to their end or until something went wrong.
    read: usize,
    /// Last written before the window began.
    older: usize,
    /// What was read of them, compressed or not.
    bytes: u64,
    /// A file, and what went wrong with it.
    troubles: Vec<(String, Trouble)>,
    /// Took so long.
    took_ms: u64,
}

/// Why a file is not in the report, or not whole.
#[derive(Debug)]
enum Trouble {
    /// A pattern that names nothing.
    NoMatch,
    /// More files than are read.
    TooMany(usize),
    /// Not a file, such as a folder or a pipe.
    NotAFile,
    /// Compressed in a way that is not read.
    Compressed(&'static str),
    /// It ended before the size that it had: emptied or cut while it was read.
    Shrank,
    /// What the system says.
    Io(io::Error),
}

/// The files that a pattern names now.
///
/// # Errors
/// When its folder cannot be read.
pub fn matching(pattern: &Path) -> io::Result<Vec<PathBuf>> {
    files::expand(pattern)
}

/// Reads the logs and writes the report; whether any file could be read.
///
/// # Errors
/// When the report cannot be written.
pub fn report(options: &Options, out: &mut impl Write) -> io::Result<bool> {
    #[expect(clippy::disallowed_methods, reason = "how long a reading takes is real time")]
    let began = Instant::now();
    let mut course = Course::default();
    let mut tally = Tally::new(options.sign_in.as_bytes());
    // All are opened before the first is read: a rotation in between takes nothing away.
    for log in files::open(&options.files, options.since_ms(), &mut course) {
        read(log, options, &mut tally, &mut course);
    }
    course.took_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    out.write_all(words::page(options, &tally, &course).as_bytes())?;
    out.flush()?;
    Ok(course.read > 0 || course.older > 0)
}

fn read(log: Log, options: &Options, tally: &mut Tally, course: &mut Course) {
    let (name, lines) = (log.name.clone(), tally.lines);
    let Outcome { bytes, trouble } = log.with(|source| count(source, options, tally));
    course.bytes += bytes;
    // What was read until something went wrong counts.
    course.read += usize::from(trouble.is_none() || tally.lines > lines);
    course.troubles.extend(trouble.map(|trouble| (name, trouble)));
}

/// Every line of a source, counted.
fn count(source: &mut dyn Read, options: &Options, tally: &mut Tally) -> io::Result<()> {
    let window = options.since_ms()..options.until_ms;
    let mut parser = parse::Parser::new(options.format);
    let mut lines = Lines::new(source);
    while let Some(line) = lines.next()? {
        tally.lines += 1;
        match line {
            Line::Whole(bytes) if bytes.trim_ascii().is_empty() => {}
            Line::Whole(bytes) => match parser.parse(bytes) {
                Some(hit) if window.contains(&hit.at_ms) => tally.add(&hit),
                Some(_) => tally.outside += 1,
                None => tally.add_bad(bytes),
            },
            Line::TooLong(head) => tally.add_bad(head),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
