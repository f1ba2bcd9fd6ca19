//! Which part of a step's log came by which stream.
//!
//! `output.log` holds the bytes as they came; `output.marks` says whose they are. A mark is eight
//! bytes, big-endian: twice the offset from which on, plus one for standard error. It is written
//! before the bytes it speaks of, so that a log that is read while it grows, or was cut by a crash or a
//! full disk, is never attributed wrongly; a torn mark at the end counts as none. Without the file, as
//! in logs of earlier versions, all is standard output.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// The file in the attempt's folder.
const MARKS: &str = "output.marks";
const MARK_BYTES: usize = 8;
/// Beyond this many changes from stream to stream the rest of the log counts as standard output.
const MARKS_MAX: usize = 64 * 1024;
/// What stands before a line of standard error.
const ERR_LINE: &[u8] = b"! ";

/// Where a step printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stream {
    /// Standard output.
    Out = 0,
    /// Standard error.
    Err = 1,
}

/// Writes marks, one for each change, into a file that is made with the first: most steps never write
/// to standard error.
pub(super) struct Marks {
    path: PathBuf,
    file: Option<File>,
    /// A mark could not be written: the rest counts as it stood.
    has_failed: bool,
    last: Stream,
    count: usize,
}

impl Marks {
    pub fn new(dir: &Path) -> Self {
        let path = dir.join(MARKS);
        Self { path, file: None, has_failed: false, last: Stream::Out, count: 0 }
    }

    /// From `offset` on the log is this stream's.
    pub fn note(&mut self, stream: Stream, offset: u64) -> io::Result<()> {
        if stream == self.last || self.count >= MARKS_MAX || self.has_failed {
            return Ok(());
        }
        self.count += 1;
        self.last = if self.count == MARKS_MAX { Stream::Out } else { stream };
        let mark = offset << 1 | self.last as u64;
        let outcome = self.write(mark);
        self.has_failed = outcome.is_err();
        outcome
    }

    fn write(&mut self, mark: u64) -> io::Result<()> {
        let mut file = if let Some(file) = self.file.take() {
            file
        } else {
            let mut options = OpenOptions::new();
            options.create(true).write(true).truncate(true).mode(0o600).open(&self.path)?
        };
        file.write_all(&mark.to_be_bytes())?;
        self.file = Some(file);
        Ok(())
    }

    pub fn sync(&self) -> io::Result<()> {
        self.file.as_ref().map_or(Ok(()), File::sync_all)
    }
}

/// Reads the marks of a log, in order.
pub(super) fn read(dir: &Path) -> io::Result<Vec<(u64, Stream)>> {
    let file = match File::open(dir.join(MARKS)) {
        Ok(file) => file,
        Err(fault) if fault.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(fault) => return Err(fault),
    };
    let mut bytes = Vec::new();
    file.take((MARKS_MAX * MARK_BYTES) as u64).read_to_end(&mut bytes)?;
    let (marks, _torn) = bytes.as_chunks::<MARK_BYTES>();
    let marks = marks.iter().map(|mark| u64::from_be_bytes(*mark));
    let stream = |mark: u64| if mark & 1 == 1 { Stream::Err } else { Stream::Out };
    Ok(marks.map(|mark| (mark >> 1, stream(mark))).collect())
}

/// A part of the log that came by one stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Section {
    pub stream: Stream,
    pub from: u64,
    pub to: u64,
}

/// The parts between two offsets, in order and without gaps.
pub(super) fn parts(marks: &[(u64, Stream)], from: u64, to: u64) -> Vec<Section> {
    let first = marks.partition_point(|(offset, _)| *offset <= from);
    let mut stream = first.checked_sub(1).map_or(Stream::Out, |index| marks[index].1);
    let mut parts = Vec::new();
    let mut at = from;
    for (offset, next) in &marks[first..] {
        let end = (*offset).clamp(at, to);
        if end > at {
            parts.push(Section { stream, from: at, to: end });
        }
        (at, stream) = (end, *next);
    }
    if to > at {
        parts.push(Section { stream, from: at, to });
    }
    parts
}

/// The log's bytes from `offset` on as people read them: each line of standard error behind `! `, and
/// no line of two streams. `before` is the byte before `offset`; `None`: there is none.
pub(super) fn render(
    marks: &[(u64, Stream)],
    raw: &[u8],
    offset: u64,
    before: Option<u8>,
) -> Vec<u8> {
    let mut shown = Vec::with_capacity(raw.len() + raw.len() / 16);
    let mut is_line_start = before.is_none_or(|byte| byte == b'\n');
    let is_turn = marks.iter().any(|(from, _)| *from == offset) && offset > 0;
    let parts = parts(marks, offset, offset + raw.len() as u64);
    for (index, part) in parts.iter().enumerate() {
        if !is_line_start && (index > 0 || is_turn) {
            shown.push(b'\n');
            is_line_start = true;
        }
        let range = (part.from - offset) as usize..(part.to - offset) as usize;
        for line in raw[range].split_inclusive(|byte| *byte == b'\n') {
            if is_line_start && part.stream == Stream::Err {
                shown.extend_from_slice(ERR_LINE);
            }
            shown.extend_from_slice(line);
            is_line_start = line.ends_with(b"\n");
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_read_by_itself_is_shown_as_in_the_whole() {
        let marks = [(4, Stream::Err), (8, Stream::Out)];
        let raw = b"out\nbad!more\n";

        assert_eq!(render(&marks, raw, 0, None), b"out\n! bad!\nmore\n");
        assert_eq!(render(&marks, &raw[4..], 4, Some(b'\n')), b"! bad!\nmore\n");
        assert_eq!(render(&marks, &raw[6..], 6, Some(b'a')), b"d!\nmore\n");
        assert_eq!(render(&marks, &raw[8..], 8, Some(b'!')), b"\nmore\n");
        assert_eq!(render(&[], raw, 0, None), raw);
    }

    #[test]
    fn a_torn_mark_counts_as_none_and_a_mark_without_bytes_says_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let mut marks = Marks::new(dir.path());
        marks.note(Stream::Out, 0).unwrap();
        marks.note(Stream::Err, 3).unwrap();
        marks.note(Stream::Err, 5).unwrap();
        let mut file = OpenOptions::new().append(true).open(dir.path().join(MARKS)).unwrap();
        file.write_all(&[0, 0, 0]).unwrap();

        let found = read(dir.path()).unwrap();

        assert_eq!(found, [(3, Stream::Err)]);
        assert_eq!(render(&found, b"abc", 0, None), b"abc");
    }

    #[test]
    fn changes_beyond_the_limit_are_standard_output() {
        let dir = tempfile::tempdir().unwrap();
        let mut marks = Marks::new(dir.path());
        for offset in 0..MARKS_MAX as u64 + 10 {
            let stream = if offset % 2 == 0 { Stream::Err } else { Stream::Out };
            marks.note(stream, offset).unwrap();
        }

        let found = read(dir.path()).unwrap();

        assert_eq!(found.len(), MARKS_MAX);
        assert_eq!(found[MARKS_MAX - 1].1, Stream::Out);
    }

    proptest::proptest! {
        #[test]
        fn any_marks_are_read_and_rendered(bytes: Vec<u8>, raw: Vec<u8>, offset in 0_u64..100) {
            let dir = tempfile::tempdir().unwrap();
            std::fs::write(dir.path().join(MARKS), bytes).unwrap();
            let marks = read(dir.path()).unwrap();
            proptest::prop_assert!(render(&marks, &raw, offset, Some(b'x')).len() >= raw.len());
        }
    }
}
