//! Many rows in one value: the database folds a page of the journal into one run of bytes, because a
//! statement and a column cost the driver more than the row itself. Every byte of every column arrives
//! exactly as it is stored.
//!
//! Two foldings. The *quick* one puts a separator between columns and another between rows; it counts
//! only when there are exactly as many of both as it put there, so that no column holds one, and when
//! every column has the type that this program writes. Else the page is folded *carefully*: a row is
//! `[!]seq,at_ms,LENGTH×8:TEXT×8`, with a `!` where a column holds another type, which SQLite allows.

use super::super::Error;
use super::super::connect::Engine;
use super::Filter;
use crate::core::journal::{Checked, Keys, Row};
use memchr::memchr_iter;
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
/// Between two columns: `char(31)`.
const COLUMN_END: u8 = 0x1f;
/// Between two rows: `char(30)`.
const ROW_END: u8 = 0x1e;

/// All rows of a page.
macro_rules! everything {
    () => {
        "seq >= $1 order by seq limit $2"
    };
}

/// The rows of a page that a filter keeps.
macro_rules! kept {
    () => {
        "seq >= $1 and seq <= $8 and ($3 = '' or substr(kind, 1, length($3)) = $3) \
         and ($4 = '' or actor = $4) and ($5 = '' or subject = $5) and at_ms >= $6 and at_ms <= $7 \
         order by seq limit $2"
    };
}

macro_rules! quick_sqlite {
    ($rows:expr) => {
        concat!(
            "select max(seq), count(*), sum(is_exact), cast(string_agg(line, char(30)) as blob) \
             from (select seq, typeof(at_ms) = 'integer' and max(actor, origin, kind, subject, detail, \
             key_id, prev_hash, hash) < x'' as is_exact, concat_ws(char(31), seq, at_ms, actor, origin, \
             kind, subject, detail, key_id, prev_hash, hash) as line from journal \
             where typeof(seq) = 'integer' and ",
            $rows,
            ") as page"
        )
    };
}

macro_rules! quick_postgres {
    ($rows:expr) => {
        concat!(
            "select max(seq), count(*), count(*), convert_to(string_agg(line, chr(30)), 'UTF8') \
             from (select seq, concat_ws(chr(31), seq, at_ms, actor, origin, kind, subject, detail, \
             key_id, prev_hash, hash) as line from journal where ",
            $rows,
            ") as page"
        )
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

/// Blobs are greater than any text.
const CAREFUL_SQLITE: &str = concat!(
    "select max(seq), count(*), 0, cast(string_agg(line, '') as blob) from (select seq, \
     concat(case when typeof(at_ms) = 'integer' and max(actor, origin, kind, subject, detail, key_id, \
     prev_hash, hash) < x'' then '' else '!' end, seq, ',', \
     iif(typeof(at_ms) = 'integer', at_ms, 0), ',', ",
    columns!(),
    ") as line from journal where typeof(seq) = 'integer' and ",
    kept!(),
    ") as page"
);
const CAREFUL_POSTGRES: &str = concat!(
    "select max(seq), count(*), count(*), convert_to(string_agg(line, ''), 'UTF8') from (select seq, \
     concat(seq, ',', at_ms, ',', ",
    columns!(),
    ") as line from journal where ",
    kept!(),
    ") as page"
);

/// A page as the database gave it.
#[derive(Debug)]
pub(super) enum Folded {
    /// Separators between columns and rows.
    Quick(Vec<u8>),
    /// Lengths before each row.
    Careful(Vec<u8>),
}

impl Folded {
    /// Reads the rows; in order of `seq`, whatever order the database folded in.
    pub(super) fn unfold(&self) -> Result<Vec<Stored>, Error> {
        let rows = match self {
            Self::Quick(bytes) => unfold_quick(bytes),
            Self::Careful(bytes) => unfold_careful(bytes),
        };
        let mut rows = rows.ok_or_else(|| {
            let words = "the journal cannot be read: the database's encoding must be UTF-8";
            Error::Setup(words.to_owned())
        })?;
        if !rows.is_sorted_by_key(|stored: &Stored| stored.row.seq) {
            rows.sort_by_key(|stored| stored.row.seq);
        }
        Ok(rows)
    }
}

/// Where the next page begins, and how many rows it has.
#[derive(Debug)]
pub(super) struct Place {
    from_seq: Option<i64>,
    rows: i64,
}

type Page = (Option<i64>, i64, Option<i64>, Option<Vec<u8>>);

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
    ) -> Result<Option<Folded>, Error> {
        let Some(from_seq) = self.from_seq else { return Ok(None) };
        let page = if filter.is_everything() {
            let statement = match engine {
                Engine::Sqlite => quick_sqlite!(everything!()),
                Engine::Postgres => quick_postgres!(everything!()),
            };
            let query = sqlx::query_as(statement).bind(from_seq).bind(self.rows);
            query.fetch_one(&mut *connection).await?
        } else {
            let statement = match engine {
                Engine::Sqlite => quick_sqlite!(kept!()),
                Engine::Postgres => quick_postgres!(kept!()),
            };
            self.page(connection, filter, (statement, from_seq)).await?
        };
        let (Some(last), rows, exact, Some(bytes)) = page else { return Ok(None) };
        let folded = if exact == Some(rows) && is_plain(&bytes, rows) {
            Folded::Quick(bytes)
        } else {
            let statement = match engine {
                Engine::Sqlite => CAREFUL_SQLITE,
                Engine::Postgres => CAREFUL_POSTGRES,
            };
            let (.., bytes) = self.page(connection, filter, (statement, from_seq)).await?;
            Folded::Careful(bytes.unwrap_or_default())
        };
        self.go_on(last, &folded);
        Ok(Some(folded))
    }

    async fn page(
        &self,
        connection: &mut AnyConnection,
        filter: &Filter,
        (statement, from_seq): (&'static str, i64),
    ) -> Result<Page, Error> {
        let query = sqlx::query_as(statement)
            .bind(from_seq)
            .bind(self.rows)
            .bind(&filter.kind_prefix)
            .bind(&filter.actor)
            .bind(&filter.subject)
            .bind(filter.since_ms)
            .bind(filter.until_ms.unwrap_or(i64::MAX))
            .bind(filter.to_seq.unwrap_or(i64::MAX));
        Ok(query.fetch_one(connection).await?)
    }

    fn go_on(&mut self, last: i64, folded: &Folded) {
        let (Folded::Quick(bytes) | Folded::Careful(bytes)) = folded;
        self.from_seq = last.checked_add(1);
        self.rows = match bytes.len() {
            size if size > BYTES_WANTED => (self.rows / 2).max(ROWS_MIN),
            size if size < BYTES_WANTED / 2 => (self.rows * 2).min(ROWS_MAX),
            _ => self.rows,
        };
    }
}

/// Whether the separators are all the database's own: each row has at least its own ones.
fn is_plain(bytes: &[u8], rows: i64) -> bool {
    let rows = usize::try_from(rows).unwrap_or(0);
    memchr_iter(COLUMN_END, bytes).count() == rows * (TEXTS + 1)
        && memchr_iter(ROW_END, bytes).count() + 1 == rows
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

fn unfold_quick(bytes: &[u8]) -> Option<Vec<Stored>> {
    let mut rows = Vec::with_capacity(ROWS_MAX as usize);
    for line in bytes.split(|byte| *byte == ROW_END) {
        let mut columns = line.split(|byte| *byte == COLUMN_END);
        let (seq, at_ms) = (number_of(columns.next()?)?, number_of(columns.next()?)?);
        let mut texts: [&[u8]; TEXTS] = Default::default();
        for text in &mut texts {
            *text = columns.next()?;
        }
        rows.push(stored((seq, at_ms), texts, true));
    }
    Some(rows)
}

fn unfold_careful(bytes: &[u8]) -> Option<Vec<Stored>> {
    let mut cursor = Cursor(bytes);
    let mut rows = Vec::new();
    while !cursor.0.is_empty() {
        rows.push(cursor.row()?);
    }
    Some(rows)
}

fn stored((seq, at_ms): (i64, i64), texts: [&[u8]; TEXTS], mut is_exact: bool) -> Stored {
    let texts = texts.map(|bytes| {
        let read = String::from_utf8_lossy(bytes);
        is_exact &= matches!(read, Cow::Borrowed(_));
        read.into_owned()
    });
    let [actor, origin, kind, subject, detail, key_id, prev_hash, hash] = texts;
    let row = Row { seq, at_ms, actor, origin, kind, subject, detail, key_id, prev_hash, hash };
    Stored { row, is_exact }
}

fn number_of(bytes: &[u8]) -> Option<i64> {
    std::str::from_utf8(bytes).ok()?.parse().ok()
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
        let mut texts: [&[u8]; TEXTS] = Default::default();
        for (text, length) in texts.iter_mut().zip(lengths) {
            (*text, self.0) = self.0.split_at_checked(length)?;
        }
        Some(stored((seq, at_ms), texts, is_exact))
    }

    /// A whole number and the byte behind it.
    fn number(&mut self, end: u8) -> Option<i64> {
        let at = self.0.iter().position(|byte| *byte == end)?;
        let number = number_of(&self.0[..at])?;
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

    fn join(row: &Row) -> Vec<u8> {
        let (seq, at_ms) = (row.seq.to_string(), row.at_ms.to_string());
        let texts = [&row.actor, &row.origin, &row.kind, &row.subject, &row.detail];
        let more = [&row.key_id, &row.prev_hash, &row.hash];
        let columns = [&seq, &at_ms].into_iter().chain(texts).chain(more);
        columns.map(String::as_bytes).collect::<Vec<_>>().join(&COLUMN_END)
    }

    #[test]
    fn a_column_that_holds_a_separator_is_no_plain_page() {
        assert!(is_plain(b"1\x1f2\x1fa\x1fb\x1fc\x1fd\x1fe\x1ff\x1fg\x1fh", 1));
        assert!(!is_plain(b"1\x1f2\x1fa\x1f\x1fb\x1fc\x1fd\x1fe\x1ff\x1fg\x1fh", 1));
        assert!(!is_plain(b"1\x1f2\x1fa\x1fb\x1e\x1fc\x1fd\x1fe\x1ff\x1fg\x1fh", 1));
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

            let quick = rows.iter().map(join).collect::<Vec<_>>().join(&ROW_END);
            if is_plain(&quick, 2) {
                let unfolded = Folded::Quick(quick).unfold().unwrap();
                let unfolded: Vec<Row> = unfolded.into_iter().map(|stored| stored.row).collect();
                prop_assert_eq!(&unfolded, &rows);
            }
            let unfolded = Folded::Careful(folded).unfold().unwrap();

            prop_assert!(unfolded.iter().all(|stored| stored.is_exact));
            let unfolded: Vec<Row> = unfolded.into_iter().map(|stored| stored.row).collect();
            prop_assert_eq!(unfolded, rows);
        }

        #[test]
        fn unfolding_never_panics(bytes: Vec<u8>) {
            let _ = Folded::Careful(bytes.clone()).unfold();
            let _ = Folded::Quick(bytes).unfold();
        }
    }

    #[test]
    fn bytes_that_are_no_text_and_other_types_are_told() {
        let folded = b"1,2,1,0,0,0,0,0,0,0:\xff!2,0,1,0,0,0,0,0,0,0:x".to_vec();
        let rows = Folded::Careful(folded).unfold().unwrap();

        assert_eq!(rows.iter().map(|stored| stored.is_exact).collect::<Vec<_>>(), [false, false]);
        assert_eq!((rows[0].row.actor.as_str(), rows[1].row.seq), ("\u{fffd}", 2));
    }
}
