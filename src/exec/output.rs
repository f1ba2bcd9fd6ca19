//! What a step prints: redacted, then kept within limits.
//!
//! The beginning goes to the file as it comes, the end waits in memory, what lies between is
//! counted. Writing never fails the step: a full disk is a flag on the record.

use super::redact::Redactor;
use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// The file in the attempt's folder.
pub(super) const OUTPUT: &str = "output.log";
/// How much of the end is kept beyond the limit.
pub(super) const TAIL_BYTES_MAX: usize = 64 * 1024;

pub(super) struct Output {
    redactor: Redactor,
    /// `None` when it could not be created: then everything is end or dropped.
    file: Option<File>,
    head_left: u64,
    tail: VecDeque<u8>,
    counts: Counts,
    /// Reused between chunks.
    clean: Vec<u8>,
}

/// What became of the output.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub bytes: u64,
    pub dropped: u64,
    pub incomplete: bool,
}

impl Output {
    pub fn create(dir: &Path, bytes_max: u64, redactor: Redactor) -> Self {
        let file = OpenOptions::new()
            .create(true)
            .write(true)
            .truncate(true)
            .mode(0o600)
            .open(dir.join(OUTPUT))
            .ok();
        Self {
            redactor,
            head_left: if file.is_some() { bytes_max } else { 0 },
            counts: Counts { incomplete: file.is_none(), ..Counts::default() },
            file,
            tail: VecDeque::new(),
            clean: Vec::new(),
        }
    }

    /// Takes what the step printed.
    pub fn push(&mut self, raw: &[u8]) {
        let mut clean = std::mem::take(&mut self.clean);
        clean.clear();
        self.redactor.feed(raw, &mut clean);
        self.keep(&clean);
        self.clean = clean;
    }

    /// Writes the end and syncs.
    pub fn finish(mut self) -> Counts {
        let mut rest = Vec::new();
        self.redactor.finish(&mut rest);
        self.keep(&rest);

        let Some(mut file) = self.file.take() else {
            self.counts.dropped += self.tail.len() as u64;
            return self.counts;
        };
        let mut end = Vec::new();
        if self.counts.dropped > 0 {
            end = format!("\n[... {} bytes not kept ...]\n", self.counts.dropped).into_bytes();
        }
        let notice = end.len();
        end.extend(&self.tail);
        let (written, fault) = write_counted(&mut file, &end);
        if fault.is_err() {
            let lost = end.len() - written.max(notice);
            self.counts.dropped += lost as u64;
        }
        self.counts.incomplete |= fault.is_err() || file.sync_all().is_err();
        self.counts
    }

    fn keep(&mut self, clean: &[u8]) {
        self.counts.bytes += clean.len() as u64;
        let room = usize::try_from(self.head_left).unwrap_or(usize::MAX).min(clean.len());
        let mut written = 0;
        if let Some(file) = self.file.as_mut().filter(|_| room > 0) {
            let (count, fault) = write_counted(file, &clean[..room]);
            written = count;
            self.head_left -= written as u64;
            if fault.is_err() {
                // A head with a hole would mislead: from here on only the end is kept.
                self.head_left = 0;
                self.counts.incomplete = true;
            }
        }
        let rest = &clean[written..];
        let newest = &rest[rest.len().saturating_sub(TAIL_BYTES_MAX)..];
        self.tail.extend(newest);
        let excess = self.tail.len().saturating_sub(TAIL_BYTES_MAX);
        self.tail.drain(..excess);
        self.counts.dropped += (rest.len() - newest.len() + excess) as u64;
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
    use super::*;

    fn output(dir: &Path, bytes_max: u64) -> Output {
        Output::create(dir, bytes_max, Redactor::new(&[]).unwrap())
    }

    #[test]
    fn the_beginning_and_the_end_are_kept_and_the_middle_is_counted() {
        let dir = tempfile::tempdir().unwrap();
        let mut kept = output(dir.path(), 10);

        kept.push(b"0123456789");
        kept.push(&vec![b'm'; 100_000]);
        kept.push(&vec![b'e'; TAIL_BYTES_MAX]);
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
            kept.push(chunk.as_bytes());
        }
        let counts = kept.finish();

        assert_eq!(counts, Counts { bytes: 13, dropped: 0, incomplete: false });
        let text = std::fs::read_to_string(dir.path().join(OUTPUT)).unwrap();
        assert_eq!(text, "one two three");
    }

    #[test]
    fn a_file_that_cannot_be_made_is_a_flag() {
        let mut kept = output(Path::new("/nonexistent"), 10);

        kept.push(b"hello");

        let counts = kept.finish();
        assert_eq!(counts, Counts { bytes: 5, dropped: 5, incomplete: true });
    }
}
