//! Many rows in one value: the database folds a page of the journal into one run of bytes, because a
//! statement and a column cost the driver more than the row itself. Every byte of every column arrives
//! exactly as it is stored, behind its length.
//!
//! A row is `[!]seq,at_ms,LENGTH×8:TEXT×8`. The `!` is for a row in which a column holds another type
//! than this program writes, which SQLite allows.

use super::super::Error;
use super::super::connect::Engine;
use super::Filter;
use crate::core::journal::{Checked, Keys, Row};
use sqlx::AnyConnection;
use std::borrow::Cow;

/// Rows of the first page; later ones follow the size of what was read.
const ROWS_FIRST: i64 = 256;
const ROWS_MIN: i64 = 16;
const ROWS_MAX: i64 = 1_024;
/// A page beyond this is followed by a smaller one. An entry has at most about 64 KiB.
const BYTES_WANTED: usize = 512 * 1024;
/// Columns that are text.
const TEXTS: usize = 8;

/// The rows that a filter keeps, of one page.
macro_rules! kept {
    () => {
        "seq >= $1 and seq <= $8 and ($3 = '' or substr(kind, 1, length($3)) = $3) and ($4 = '' or actor = $4) \
         and ($5 = '' or subject = $5) and at_ms >= $6 and at_ms <= $7 order by seq limit $2"
    };
}

/// The columns of a row behind its flag.
macro_rules! columns {
    () => {
        "octet_length(actor), ',', octet_length(origin), ',', octet_length(kind), ',', \
         octet_length(subject), ',', octet_length(detail), ',', octet_length(key_id), ',', \
         octet_length(prev_hash), ',', octet_length(hash), ':', actor, origin, kind, subject, detail, \
         key_id, prev_hash, hash"
    };
}

const SQLITE: &str = concat!(
    "select max(seq), cast(string_agg(line, '') as blob) from (select seq, concat(case when \
     typeof(at_ms) = 'integer' and typeof(actor) = 'text' and typeof(origin) = 'text' and \
     typeof(kind) = 'text' and typeof(subject) = 'text' and typeof(detail) = 'text' and \
     typeof(key_id) = 'text' and typeof(prev_hash) = 'text' and typeof(hash) = 'text' \
     then '' else '!' end, seq, ',', iif(typeof(at_ms) = 'integer', at_ms, 0), ',', ",
    columns!(),
    ") as line from journal where typeof(seq) = 'integer' and ",
    kept!(),
    ") as page"
);
const POSTGRES: &str = concat!(
    "select max(seq), convert_to(string_agg(line, ''), 'UTF8') from (select seq, concat(seq, ',', \
     at_ms, ',', ",
    columns!(),
    ") as line from journal where ",
    kept!(),
    ") as page"
);

/// Where the next page begins, and how many rows it has.
#[derive(Debug)]
pub(super) struct Place {
    from_seq: Option<i64>,
    rows: i64,
}

impl Place {
    /// Before the first row.
    pub(super) fn first() -> Self {
        Self { from_seq: Some(i64::MIN), rows: ROWS_FIRST }
    }

    /// The next page, folded; `None` behind the last row.
    pub(super) async fn next(
        &mut self,
        connection: &mut AnyConnection,
        engine: Engine,
        filter: &Filter,
    ) -> Result<Option<Vec<u8>>, Error> {
        let Some(from_seq) = self.from_seq else { return Ok(None) };
        let statement = match engine {
            Engine::Sqlite => SQLITE,
            Engine::Postgres => POSTGRES,
        };
        let (last, folded): (Option<i64>, Option<Vec<u8>>) = sqlx::query_as(statement)
            .bind(from_seq)
            .bind(self.rows)
            .bind(&filter.kind_prefix)
            .bind(&filter.actor)
            .bind(&filter.subject)
            .bind(filter.since_ms)
            .bind(filter.until_ms.unwrap_or(i64::MAX))
            .bind(filter.to_seq.unwrap_or(i64::MAX))
            .fetch_one(connection)
            .await?;
        let (Some(last), Some(folded)) = (last, folded) else { return Ok(None) };
        self.from_seq = last.checked_add(1);
        self.rows = match folded.len() {
            size if size > BYTES_WANTED => (self.rows / 2).max(ROWS_MIN),
            size if size < BYTES_WANTED / 2 => (self.rows * 2).min(ROWS_MAX),
            _ => self.rows,
        };
        Ok(Some(folded))
    }
}

/// One row as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// The row; where it is not exact, what can be read of it.
    pub row: Row,
    /// Whether every column holds what this program writes: a whole number or UTF-8 text.
    pub is_exact: bool,
}

impl Stored {
    /// The row with its hash looked at.
    pub fn check(self, keys: &Keys) -> Checked {
        if self.is_exact { Checked::of(self.row, keys) } else { Checked::unreadable(self.row) }
    }
}

/// Reads a folded page; in order of `seq`, whatever order the database folded in.
pub(super) fn unfold(folded: &[u8]) -> Result<Vec<Stored>, Error> {
    let mut cursor = Cursor(folded);
    let mut rows = Vec::with_capacity(ROWS_MAX as usize);
    while !cursor.0.is_empty() {
        let row = cursor.row().ok_or_else(|| {
            let words = "the journal cannot be read: the database's encoding must be UTF-8";
            Error::Setup(words.to_owned())
        })?;
        rows.push(row);
    }
    if !rows.is_sorted_by_key(|stored: &Stored| stored.row.seq) {
        rows.sort_by_key(|stored| stored.row.seq);
    }
    Ok(rows)
}

struct Cursor<'b>(&'b [u8]);

impl Cursor<'_> {
    fn row(&mut self) -> Option<Stored> {
        let mut is_exact = true;
        if let Some(rest) = self.0.strip_prefix(b"!") {
            (self.0, is_exact) = (rest, false);
        }
        let seq = self.number(b',')?;
        let at_ms = self.number(b',')?;
        let mut lengths = [0_usize; TEXTS];
        for (index, length) in lengths.iter_mut().enumerate() {
            let end = if index + 1 == TEXTS { b':' } else { b',' };
            *length = usize::try_from(self.number(end)?).ok()?;
        }
        let mut texts: [String; TEXTS] = Default::default();
        for (text, length) in texts.iter_mut().zip(lengths) {
            let (bytes, rest) = self.0.split_at_checked(length)?;
            self.0 = rest;
            let read = String::from_utf8_lossy(bytes);
            is_exact &= matches!(read, Cow::Borrowed(_));
            *text = read.into_owned();
        }
        let [actor, origin, kind, subject, detail, key_id, prev_hash, hash] = texts;
        let row = Row { seq, at_ms, actor, origin, kind, subject, detail, key_id, prev_hash, hash };
        Some(Stored { row, is_exact })
    }

    /// A whole number and the byte behind it.
    fn number(&mut self, end: u8) -> Option<i64> {
        let at = self.0.iter().position(|byte| *byte == end)?;
        let number = std::str::from_utf8(&self.0[..at]).ok()?.parse().ok()?;
        self.0 = &self.0[at + 1..];
        Some(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn fold(row: &Row) -> Vec<u8> {
        let texts = [
            &row.actor,
            &row.origin,
            &row.kind,
            &row.subject,
            &row.detail,
            &row.key_id,
            &row.prev_hash,
            &row.hash,
        ];
        let lengths: Vec<String> = texts.iter().map(|text| text.len().to_string()).collect();
        let mut bytes = format!("{},{},{}:", row.seq, row.at_ms, lengths.join(",")).into_bytes();
        for text in texts {
            bytes.extend_from_slice(text.as_bytes());
        }
        bytes
    }

    proptest! {
        #[test]
        fn what_was_folded_is_unfolded(
            texts in prop::collection::vec("[\\x00-\\u{10ffff}]{0,12}", 16),
            at_ms: [i64; 2],
        ) {
            let rows: Vec<Row> = texts.chunks(8).zip(at_ms).zip(1..).map(|((text, at_ms), seq)| Row {
                seq,
                at_ms,
                actor: text[0].clone(),
                origin: text[1].clone(),
                kind: text[2].clone(),
                subject: text[3].clone(),
                detail: text[4].clone(),
                key_id: text[5].clone(),
                prev_hash: text[6].clone(),
                hash: text[7].clone(),
            }).collect();
            let mut folded = fold(&rows[1]);
            folded.extend(fold(&rows[0]));

            let unfolded = unfold(&folded).unwrap();

            prop_assert!(unfolded.iter().all(|stored| stored.is_exact));
            let unfolded: Vec<Row> = unfolded.into_iter().map(|stored| stored.row).collect();
            prop_assert_eq!(unfolded, rows);
        }

        #[test]
        fn unfolding_never_panics(bytes: Vec<u8>) {
            let _ = unfold(&bytes);
        }
    }

    #[test]
    fn bytes_that_are_no_text_and_other_types_are_told() {
        let rows = unfold(b"1,2,1,0,0,0,0,0,0,0:\xff!2,0,1,0,0,0,0,0,0,0:x").unwrap();

        assert_eq!(rows.iter().map(|stored| stored.is_exact).collect::<Vec<_>>(), [false, false]);
        assert_eq!((rows[0].row.actor.as_str(), rows[1].row.seq), ("\u{fffd}", 2));
    }
}
