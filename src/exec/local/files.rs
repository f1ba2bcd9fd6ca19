//! Reading what a step printed, while it prints.
//!
//! Never reads more than it is asked for, and never writes.

use super::super::output::OUTPUT;
use super::super::streams;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

/// Bytes from `offset`, and the offset after them.
pub(super) fn read_from(dir: &Path, offset: u64, max: usize) -> io::Result<(Vec<u8>, u64)> {
    let Some(mut file) = open(dir)? else { return Ok((Vec::new(), offset)) };
    file.seek(SeekFrom::Start(offset))?;
    let mut bytes = Vec::new();
    file.take(max as u64).read_to_end(&mut bytes)?;
    let next = offset + bytes.len() as u64;
    Ok((bytes, next))
}

/// The same, as people read it.
pub(super) fn shown_from(dir: &Path, offset: u64, max: usize) -> io::Result<(Vec<u8>, u64)> {
    // One byte more tells whether this is the beginning of a line.
    let one_before = offset.saturating_sub(1);
    let lead = (offset - one_before) as usize;
    let (raw, next) = read_from(dir, one_before, max + lead)?;
    if raw.len() <= lead {
        return Ok((Vec::new(), offset));
    }
    // After the log: every byte that was read has its mark.
    let marks = streams::read(dir)?;
    let before = raw[..lead].last().copied();
    Ok((streams::render(&marks, &raw[lead..], offset, before), next))
}

/// How many bytes there are.
pub(super) fn length(dir: &Path) -> io::Result<u64> {
    open(dir)?.map_or(Ok(0), |file| Ok(file.metadata()?.len()))
}

/// The last bytes.
pub(super) fn read_last(dir: &Path, max: usize) -> io::Result<Vec<u8>> {
    let Some(file) = open(dir)? else { return Ok(Vec::new()) };
    let length = file.metadata()?.len();
    read_from(dir, length.saturating_sub(max as u64), max).map(|(bytes, _)| bytes)
}

fn open(dir: &Path) -> io::Result<Option<File>> {
    match File::open(dir.join(OUTPUT)) {
        Ok(file) => Ok(Some(file)),
        Err(fault) if fault.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(fault) => Err(fault),
    }
}
