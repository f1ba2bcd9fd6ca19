//! Lines of a stream, as bytes in one buffer. A line without an end is never held in memory.

use std::io::{self, ErrorKind, Read};

/// A longer line is no line of an access log.
pub(super) const LINE_BYTES_MAX: usize = 64 * 1024;
/// What is read at a time.
const BUFFER_BYTES: usize = 256 * 1024;

/// One line without its end.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line<'b> {
    Whole(&'b [u8]),
    /// The first bytes of one that is longer than [`LINE_BYTES_MAX`].
    TooLong(&'b [u8]),
}

/// How much of a line that is too long is kept, to show it.
const HEAD_BYTES: usize = 256;

pub(super) struct Lines<'s> {
    source: &'s mut dyn Read,
    buffer: Box<[u8]>,
    /// The unread part of the buffer.
    start: usize,
    end: usize,
    has_ended: bool,
    /// Of the last line that was too long.
    head: [u8; HEAD_BYTES],
}

impl<'s> Lines<'s> {
    pub(super) fn new(source: &'s mut dyn Read) -> Self {
        let buffer = vec![0; BUFFER_BYTES].into_boxed_slice();
        Self { source, buffer, start: 0, end: 0, has_ended: false, head: [0; HEAD_BYTES] }
    }

    /// The next line; `None` at the end. Not an iterator: a line lives in the buffer.
    pub(super) fn next(&mut self) -> io::Result<Option<Line<'_>>> {
        let mut searched = self.start;
        loop {
            if let Some(at) = memchr::memchr(b'\n', &self.buffer[searched..self.end]) {
                let (from, to) = (self.start, searched + at);
                self.start = to + 1;
                let line = &self.buffer[from..to];
                return Ok(Some(if line.len() > LINE_BYTES_MAX {
                    Line::TooLong(&line[..HEAD_BYTES])
                } else {
                    Line::Whole(line)
                }));
            }
            if self.end - self.start > LINE_BYTES_MAX {
                return self.skip().map(Some);
            }
            if self.has_ended {
                let from = std::mem::replace(&mut self.start, self.end);
                let rest = &self.buffer[from..self.end];
                return Ok((!rest.is_empty()).then_some(Line::Whole(rest)));
            }
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
            searched = self.end;
            self.fill()?;
        }
    }

    /// Passes over the rest of a line that is too long.
    fn skip(&mut self) -> io::Result<Line<'_>> {
        self.head.copy_from_slice(&self.buffer[self.start..self.start + HEAD_BYTES]);
        self.start = self.end;
        loop {
            if let Some(at) = memchr::memchr(b'\n', &self.buffer[self.start..self.end]) {
                self.start += at + 1;
                break;
            }
            (self.start, self.end) = (0, 0);
            if self.has_ended {
                break;
            }
            self.fill()?;
        }
        Ok(Line::TooLong(&self.head))
    }

    fn fill(&mut self) -> io::Result<()> {
        loop {
            match self.source.read(&mut self.buffer[self.end..]) {
                Ok(0) => {
                    self.has_ended = true;
                    return Ok(());
                }
                Ok(count) => {
                    self.end += count;
                    return Ok(());
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}
