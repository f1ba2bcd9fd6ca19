//! What a step prints: redacted, put in order, then kept within limits.
//!
//! Standard output and standard error come by a pipe each and go into one log in the order of their
//! arrival, whole lines where possible; [`super::streams`] notes which stream a part came by. The
//! beginning goes to the file as it comes, the end waits in memory, what lies between is counted.
//! Writing never fails the step: a full disk is a flag on the record.

use super::redact::Redactor;
use super::streams::{Marks, Stream};
use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

/// The file in the attempt's folder.
pub(super) const OUTPUT: &str = "output.log";
/// How much of the end is kept beyond the limit.
pub(super) const TAIL_BYTES_MAX: usize = 64 * 1024;
/// A line that is longer than this is not waited for.
const LINE_BYTES_MAX: usize = 8 * 1024;
/// … nor one whose end does not come: a prompt, a row of dots.
const LINE_WAIT: Duration = Duration::from_millis(100);

pub(super) struct Output {
    lanes: [Lane; 2],
    log: Log,
}

/// One stream until its line is whole.
struct Lane {
    stream: Stream,
    redactor: Redactor,
    line: Vec<u8>,
    /// When what waits is not waited for any longer.
    due: Option<Instant>,
}

/// What became of the output.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub bytes: u64,
    pub dropped: u64,
    pub incomplete: bool,
}

impl Output {
    pub fn create(dir: &Path, bytes_max: u64, redactor: &Redactor) -> Self {
        let lane =
            |stream| Lane { stream, redactor: redactor.another(), line: Vec::new(), due: None };
        let lanes = [lane(Stream::Out), lane(Stream::Err)];
        Self { lanes, log: Log::create(dir, bytes_max) }
    }

    /// Takes what the step printed.
    pub fn push(&mut self, stream: Stream, raw: &[u8], now: Instant) {
        let lane = &mut self.lanes[stream as usize];
        lane.redactor.feed(raw, &mut lane.line);
        let whole = memchr::memrchr(b'\n', &lane.line).map_or(0, |end| end + 1);
        let rest = lane.line.len() - whole;
        let ready = if rest > LINE_BYTES_MAX { lane.line.len() } else { whole };
        lane.give(ready, &mut self.log);
        if lane.line.is_empty() {
            lane.due = None;
        } else if ready > 0 || lane.due.is_none() {
            lane.due = Some(now + LINE_WAIT);
        }
    }

    /// When a line that is not whole goes to the log all the same.
    pub fn due(&self) -> Option<Instant> {
        self.lanes.iter().filter_map(|lane| lane.due).min()
    }

    /// Writes what was waited for long enough.
    pub fn tick(&mut self, now: Instant) {
        for lane in &mut self.lanes {
            if lane.due.is_some_and(|due| due <= now) {
                lane.give(lane.line.len(), &mut self.log);
                lane.due = None;
            }
        }
    }

    /// A stream has ended: nothing of it is held back.
    pub fn close(&mut self, stream: Stream) {
        let lane = &mut self.lanes[stream as usize];
        lane.redactor.finish(&mut lane.line);
        lane.give(lane.line.len(), &mut self.log);
        lane.due = None;
    }

    /// Writes the end and syncs.
    pub fn finish(mut self) -> Counts {
        self.close(Stream::Out);
        self.close(Stream::Err);
        self.log.finish()
    }
}

impl Lane {
    fn give(&mut self, count: usize, log: &mut Log) {
        if count > 0 {
            log.keep(self.stream, &self.line[..count]);
            self.line.drain(..count);
        }
    }
}

/// The file, and what comes after its limit.
struct Log {
    /// `None` when it could not be created: then everything is end or dropped.
    file: Option<File>,
    marks: Marks,
    /// How much stands in the file.
    written: u64,
    head_left: u64,
    tail: VecDeque<u8>,
    /// Whose the parts of the tail are, by their lengths.
    parts: VecDeque<(Stream, usize)>,
    counts: Counts,
}

impl Log {
    fn create(dir: &Path, bytes_max: u64) -> Self {
        let file = OpenOptions::new()
            .create(true)
            .write(true)
            .truncate(true)
            .mode(0o600)
            .open(dir.join(OUTPUT))
            .ok();
        let marks = Marks::new(dir);
        let incomplete = file.is_none();
        Self {
            head_left: if incomplete { 0 } else { bytes_max },
            counts: Counts { incomplete, ..Counts::default() },
            file,
            marks,
            written: 0,
            tail: VecDeque::new(),
            parts: VecDeque::new(),
        }
    }

    fn keep(&mut self, stream: Stream, clean: &[u8]) {
        self.counts.bytes += clean.len() as u64;
        let room = usize::try_from(self.head_left).unwrap_or(usize::MAX).min(clean.len());
        let head = &clean[..room];
        let written = self.write(stream, head);
        self.head_left -= written as u64;
        if written < head.len() {
            // A head with a hole would mislead: from here on only the end is kept.
            self.head_left = 0;
        }
        self.keep_end(stream, &clean[written..]);
    }

    fn keep_end(&mut self, stream: Stream, rest: &[u8]) {
        if rest.is_empty() {
            return;
        }
        let newest = &rest[rest.len().saturating_sub(TAIL_BYTES_MAX)..];
        self.tail.extend(newest);
        match self.parts.back_mut() {
            Some((last, bytes)) if *last == stream => *bytes += newest.len(),
            _ => self.parts.push_back((stream, newest.len())),
        }
        let excess = self.tail.len().saturating_sub(TAIL_BYTES_MAX);
        self.tail.drain(..excess);
        let mut left = excess;
        while let Some((_, bytes)) = self.parts.front_mut().filter(|_| left > 0) {
            let gone = left.min(*bytes);
            *bytes -= gone;
            left -= gone;
            if *bytes == 0 {
                self.parts.pop_front();
            }
        }
        self.counts.dropped += (rest.len() - newest.len() + excess) as u64;
    }

    /// Writes what can be written, and says how much that was.
    fn write(&mut self, stream: Stream, bytes: &[u8]) -> usize {
        let Some(file) = self.file.as_mut().filter(|_| !bytes.is_empty()) else { return 0 };
        // The mark goes first: a mark without its bytes says nothing, bytes without their mark lie.
        self.counts.incomplete |= self.marks.note(stream, self.written).is_err();
        let (count, fault) = write_counted(file, bytes);
        self.written += count as u64;
        self.counts.incomplete |= fault.is_err();
        count
    }

    fn finish(mut self) -> Counts {
        if self.counts.dropped > 0 {
            let notice = format!("\n[... {} bytes not kept ...]\n", self.counts.dropped);
            self.write(Stream::Out, notice.as_bytes());
        }
        let tail: Vec<u8> = std::mem::take(&mut self.tail).into();
        let mut from = 0;
        for (stream, bytes) in std::mem::take(&mut self.parts) {
            let written = self.write(stream, &tail[from..from + bytes]);
            from += written;
            if written < bytes {
                break;
            }
        }
        self.counts.dropped += (tail.len() - from) as u64;
        if let Some(file) = self.file.as_ref().filter(|_| self.written > 0) {
            self.counts.incomplete |= file.sync_all().is_err();
        }
        self.counts.incomplete |= self.marks.sync().is_err();
        self.counts
    }
}

/// Writes as much as can be written, and says how much that was.
fn write_counted(file: &mut File, bytes: &[u8]) -> (usize, io::Result<()>) {
    let mut written = 0;
    while written < bytes.len() {
        match file.write(&bytes[written..]) {
            Ok(0) => return (written, Err(io::ErrorKind::WriteZero.into())),
            Ok(count) => written += count,
            Err(fault) if fault.kind() == io::ErrorKind::Interrupted => {}
            Err(fault) => return (written, Err(fault)),
        }
    }
    (written, Ok(()))
}

#[cfg(test)]
mod tests {
    use super::super::streams;
    use super::*;

    fn output(dir: &Path, bytes_max: u64) -> Output {
        Output::create(dir, bytes_max, &Redactor::new(&[]).unwrap())
    }

    fn now() -> Instant {
        #[expect(clippy::disallowed_methods, reason = "where time stands still, this is its place")]
        Instant::now()
    }

    fn shown(dir: &Path) -> String {
        let raw = std::fs::read(dir.join(OUTPUT)).unwrap();
        String::from_utf8(streams::render(&streams::read(dir).unwrap(), &raw, 0, None)).unwrap()
    }

    #[test]
    fn the_beginning_and_the_end_are_kept_and_the_middle_is_counted() {
        let dir = tempfile::tempdir().unwrap();
        let mut kept = output(dir.path(), 10);

        kept.push(Stream::Out, b"0123456789", now());
        kept.push(Stream::Out, &vec![b'm'; 100_000], now());
        kept.push(Stream::Out, &vec![b'e'; TAIL_BYTES_MAX], now());
        let counts = kept.finish();

        assert_eq!(counts.bytes, 10 + 100_000 + TAIL_BYTES_MAX as u64);
        assert_eq!((counts.dropped, counts.incomplete), (100_000, false));
        let text = std::fs::read_to_string(dir.path().join(OUTPUT)).unwrap();
        assert!(text.starts_with("0123456789\n[... 100000 bytes not kept ...]\neee"));
        assert!(!text.contains('m'));
    }

    #[test]
    fn output_within_the_limit_and_the_tail_is_whole() {
        let dir = tempfile::tempdir().unwrap();
        let mut kept = output(dir.path(), 4);

        for chunk in ["one ", "two ", "three"] {
            kept.push(Stream::Out, chunk.as_bytes(), now());
        }
        let counts = kept.finish();

        assert_eq!(counts, Counts { bytes: 13, dropped: 0, incomplete: false });
        let text = std::fs::read_to_string(dir.path().join(OUTPUT)).unwrap();
        assert_eq!(text, "one two three");
    }

    #[test]
    fn a_file_that_cannot_be_made_is_a_flag() {
        let mut kept = output(Path::new("/nonexistent"), 10);

        kept.push(Stream::Out, b"hello", now());

        let counts = kept.finish();
        assert_eq!(counts, Counts { bytes: 5, dropped: 5, incomplete: true });
    }

    #[test]
    fn the_streams_cut_no_line_of_each_other() {
        let dir = tempfile::tempdir().unwrap();
        let mut kept = output(dir.path(), 1_000);

        kept.push(Stream::Out, b"one\ntw", now());
        kept.push(Stream::Err, b"bad", now());
        kept.push(Stream::Out, b"o\nthree\n", now());
        kept.push(Stream::Err, b" news\nworse", now());
        kept.finish();

        assert_eq!(shown(dir.path()), "one\ntwo\nthree\n! bad news\n! worse");
    }

    #[test]
    fn a_line_that_does_not_end_is_shown_after_a_while_and_stands_alone() {
        let dir = tempfile::tempdir().unwrap();
        let mut kept = output(dir.path(), 1_000);

        kept.push(Stream::Out, b"sure? ", now());
        kept.tick(now());
        assert_eq!(shown(dir.path()), "");
        kept.tick(kept.due().unwrap());
        kept.push(Stream::Err, b"no\n", now());

        assert_eq!(kept.due(), None);
        assert_eq!(shown(dir.path()), "sure? \n! no\n");
        assert_eq!(std::fs::read(dir.path().join(OUTPUT)).unwrap(), b"sure? no\n");
    }

    #[test]
    fn the_kept_end_knows_its_streams() {
        let dir = tempfile::tempdir().unwrap();
        let mut kept = output(dir.path(), 4);

        kept.push(Stream::Out, b"out\n", now());
        kept.push(Stream::Err, &b"middle!\n".repeat(20_000), now());
        kept.push(Stream::Out, b"end\n", now());
        kept.finish();

        let text = shown(dir.path());
        assert!(text.starts_with("out\n\n[... ") && text.ends_with("\n! middle!\nend\n"), "{text}");
    }

    proptest::proptest! {
        #[test]
        fn every_byte_is_there_in_the_order_of_its_stream(
            chunks in proptest::collection::vec((proptest::bool::ANY, "[a-c\n]{0,9}"), 0..40),
            bytes_max in 0_u64..400,
        ) {
            let dir = tempfile::tempdir().unwrap();
            let mut kept = output(dir.path(), bytes_max);
            let mut sent = [String::new(), String::new()];
            for (is_err, chunk) in &chunks {
                let stream = if *is_err { Stream::Err } else { Stream::Out };
                kept.push(stream, chunk.as_bytes(), now());
                sent[stream as usize] += chunk;
            }
            let counts = kept.finish();
            proptest::prop_assert_eq!(counts.dropped, 0);

            let raw = std::fs::read(dir.path().join(OUTPUT)).unwrap();
            let mut got = [Vec::new(), Vec::new()];
            for part in streams::parts(&streams::read(dir.path()).unwrap(), 0, raw.len() as u64) {
                let range = part.from as usize..part.to as usize;
                got[part.stream as usize].extend_from_slice(&raw[range]);
            }
            proptest::prop_assert_eq!(got.map(|bytes| String::from_utf8(bytes).unwrap()), sent);
        }
    }
}
