//! An export as a file: its last line first, then its records one by one. A record of a table may go
//! over several lines, where a cell holds a line's end.

use crate::core::journal::{Encoding, ExportHead};
use memchr::memchr_iter;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Take};

/// The longest record: a detail of 64 KiB, however it is escaped, fits many times.
const RECORD_BYTES_MAX: usize = 16 * 1024 * 1024;
/// The longest last line: a filter's texts are short.
const HEAD_BYTES_MAX: u64 = 64 * 1024;
const BUFFER_BYTES: usize = 256 * 1024;

/// Reads one export.
pub(super) struct Reader {
    rest: Take<BufReader<File>>,
    record: Vec<u8>,
}

impl Reader {
    pub(super) fn new(file: File) -> Self {
        let rest = BufReader::with_capacity(BUFFER_BYTES, file).take(0);
        Self { rest, record: Vec::new() }
    }

    /// The last line, as what it says; `None` when it is no head. After it, the records can be read.
    pub(super) fn head(&mut self) -> io::Result<Option<ExportHead>> {
        let file = self.rest.get_mut();
        let size = file.seek(SeekFrom::End(0))?;
        let from = size.saturating_sub(HEAD_BYTES_MAX);
        file.seek(SeekFrom::Start(from))?;
        let mut end = Vec::new();
        file.by_ref().take(HEAD_BYTES_MAX).read_to_end(&mut end)?;
        let Some(text) = end.strip_suffix(b"\n") else { return Ok(None) };
        let begin = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        if begin == 0 && from > 0 {
            return Ok(None);
        }
        let line = &text[begin..];
        let head = [Encoding::Jsonl, Encoding::Csv].into_iter().find_map(|encoding| {
            let head = ExportHead::read(encoding.head_of(line)?)?;
            (head.encoding == encoding).then_some(head)
        });
        file.seek(SeekFrom::Start(0))?;
        self.rest.set_limit(from + begin as u64);
        Ok(head)
    }

    /// What stands before the first record.
    pub(super) fn opening(&mut self, encoding: Encoding) -> io::Result<Vec<u8>> {
        let mut opening = Vec::new();
        if encoding == Encoding::Csv {
            self.rest.by_ref().take(HEAD_BYTES_MAX).read_until(b'\n', &mut opening)?;
        }
        Ok(opening)
    }

    /// The next record with its line's end; `None` before the last line.
    pub(super) fn record(&mut self, encoding: Encoding) -> io::Result<Option<&[u8]>> {
        self.record.clear();
        let mut quotes = 0;
        loop {
            let so_far = self.record.len();
            let room = RECORD_BYTES_MAX.saturating_sub(so_far) as u64;
            let read = self.rest.by_ref().take(room).read_until(b'\n', &mut self.record)?;
            quotes += memchr_iter(b'"', &self.record[so_far..]).count();
            let is_open = encoding == Encoding::Csv && quotes % 2 == 1;
            if read == 0 || !is_open {
                break;
            }
        }
        Ok((!self.record.is_empty()).then_some(&self.record[..]))
    }
}
