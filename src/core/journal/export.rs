//! An export of the journal: its lines, its last line, and the check of both without a database.
//!
//! Every line but the last is a row. The last one, the *head*, says what the export holds: the filter,
//! the first and last row, their number, where the chain ended at that moment, the SHA-256 of all bytes
//! before it, who exported and when; and it is signed with Ed25519 where a key is configured. This file
//! never touches a file: lines come in and go out as bytes.

use super::{Anchor, Row};
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// What the head's `format` says; another layout gets another name.
pub const EXPORT_FORMAT: &str = "neostock journal export 1";
/// What stands before the head in csv, so that it is no row of the table.
const CSV_HEAD_MARK: &[u8] = b"# ";
/// Bytes of a key, and of its public half.
const KEY_BYTES: usize = 32;
/// Hexadecimal digits of a public key's fingerprint.
const FINGERPRINT_CHARS: usize = 16;
/// Where the signature begins in the head's text.
const SIGNATURE_FIELD: &str = ",\"signature\":";
/// The columns, as the first line of a csv names them.
const COLUMNS: [&str; 10] =
    ["seq", "at_ms", "actor", "origin", "kind", "subject", "detail", "key_id", "prev_hash", "hash"];

/// How rows are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Encoding {
    /// One JSON object a line.
    Jsonl,
    /// A table for spreadsheets, with a line of names.
    Csv,
}

impl Encoding {
    /// Reads its name.
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "jsonl" => Some(Self::Jsonl),
            "csv" => Some(Self::Csv),
            _ => None,
        }
    }

    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Jsonl => "jsonl",
            Self::Csv => "csv",
        }
    }

    /// What stands before the first row.
    pub fn opening(self) -> Vec<u8> {
        match self {
            Self::Jsonl => Vec::new(),
            Self::Csv => (COLUMNS.join(",") + "\n").into_bytes(),
        }
    }

    /// Writes a row as its line or, in csv, its record.
    pub fn write(self, row: &Row, out: &mut Vec<u8>) {
        match self {
            Self::Jsonl => {
                // A row is numbers and strings, and the vector takes every byte.
                let _ = serde_json::to_writer(&mut *out, row);
                out.push(b'\n');
            }
            Self::Csv => write_record(row, out),
        }
    }

    /// Reads a line or record back; `None` when it is none.
    pub fn read(self, line: &[u8]) -> Option<Row> {
        match self {
            Self::Jsonl => serde_json::from_slice(line).ok(),
            Self::Csv => read_record(line),
        }
    }

    /// The head's line without what stands before it.
    pub fn head_of(self, line: &[u8]) -> Option<&[u8]> {
        match self {
            Self::Jsonl => Some(line),
            Self::Csv => line.strip_prefix(CSV_HEAD_MARK),
        }
    }
}

/// A spreadsheet runs a cell that begins so as a formula; an apostrophe before it makes it text. A cell
/// that begins with an apostrophe gets one too, so that the first one can always be taken away.
fn is_risky(cell: &str) -> bool {
    cell.starts_with(['=', '+', '-', '@', '\t', '\r', '\n', '\'', '＝', '＋', '－', '＠'])
}

fn write_record(row: &Row, out: &mut Vec<u8>) {
    let (seq, at_ms) = (row.seq.to_string(), row.at_ms.to_string());
    let cells = [
        &seq,
        &at_ms,
        &row.actor,
        &row.origin,
        &row.kind,
        &row.subject,
        &row.detail,
        &row.key_id,
        &row.prev_hash,
        &row.hash,
    ];
    let cells = cells.map(|cell| {
        if is_risky(cell) { std::borrow::Cow::from(format!("'{cell}")) } else { cell.into() }
    });
    let mut writer = csv::WriterBuilder::new().has_headers(false).from_writer(out);
    // Ten cells always, and the vector takes every byte.
    let _ = writer.write_record(cells.iter().map(|cell| cell.as_bytes()));
    let _ = writer.flush();
}

fn read_record(record: &[u8]) -> Option<Row> {
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .buffer_capacity(record.len().max(1))
        .from_reader(record);
    let mut cells = csv::StringRecord::new();
    if !reader.read_record(&mut cells).ok()? || cells.len() != COLUMNS.len() {
        return None;
    }
    let cell = |index: usize| {
        let cell = cells.get(index).unwrap_or_default();
        cell.strip_prefix('\'').unwrap_or(cell).to_owned()
    };
    Some(Row {
        seq: cell(0).parse().ok()?,
        at_ms: cell(1).parse().ok()?,
        actor: cell(2),
        origin: cell(3),
        kind: cell(4),
        subject: cell(5),
        detail: cell(6),
        key_id: cell(7),
        prev_hash: cell(8),
        hash: cell(9),
    })
}

/// Which rows were wanted; empty texts and missing moments are for all.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Selection {
    /// Not before this moment.
    pub since_ms: Option<i64>,
    /// Not after this moment.
    pub until_ms: Option<i64>,
    /// Kinds that begin so.
    pub kind: String,
    /// Of this actor.
    pub actor: String,
    /// About this subject.
    pub subject: String,
    /// Not behind this row.
    pub to_seq: Option<i64>,
}

impl Selection {
    /// Whether no row between the first and the last is left out.
    pub fn is_contiguous(&self) -> bool {
        *self == Self { to_seq: self.to_seq, ..Self::default() }
    }
}

/// What the last line says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExportHead {
    /// [`EXPORT_FORMAT`].
    pub format: String,
    /// How the rows are written.
    pub encoding: Encoding,
    /// Which rows were wanted.
    pub filter: Selection,
    /// The first row; 0 when there is none.
    pub first_seq: i64,
    /// The last row; 0 when there is none.
    pub last_seq: i64,
    /// How many rows.
    pub count: i64,
    /// The last row of the chain at that moment …
    pub head_seq: i64,
    /// … and its hash.
    pub head_hash: String,
    /// Of all bytes before this line, as 64 hexadecimal digits.
    pub sha256: String,
    /// When it was made, in milliseconds UTC.
    pub at_ms: i64,
    /// Who made it.
    pub by: String,
    /// Whose signature it is, as 64 hexadecimal digits; empty when it is not signed.
    pub public_key: String,
    /// Over this line's text without it, as 128 hexadecimal digits.
    pub signature: String,
}

impl ExportHead {
    /// Where the chain ended.
    pub fn head(&self) -> Anchor {
        Anchor { seq: self.head_seq, hash: self.head_hash.clone() }
    }

    /// Signs it, where there is a key.
    #[must_use]
    pub fn signed(mut self, key: Option<&ExportKey>) -> Self {
        if let Some(key) = key {
            self.public_key = key.public_key();
            let text = self.text();
            self.signature = hex::encode(key.pair.sign(signed_part(&text).as_bytes()));
        }
        self
    }

    /// Whether the signature is this public key's.
    pub fn is_signed_by(&self, public_key: &str) -> bool {
        let (Ok(key), Ok(signature)) = (hex::decode(public_key), hex::decode(&self.signature))
        else {
            return false;
        };
        // Capital digits would be another text with the same meaning.
        let is_as_written = hex::encode(&signature) == self.signature;
        let text = self.text();
        let key = UnparsedPublicKey::new(&ED25519, key);
        is_as_written && key.verify(signed_part(&text).as_bytes(), &signature).is_ok()
    }

    /// Its line, with what stands before it.
    pub fn line(&self) -> Vec<u8> {
        let mut line = match self.encoding {
            Encoding::Jsonl => Vec::new(),
            Encoding::Csv => CSV_HEAD_MARK.to_vec(),
        };
        line.extend_from_slice(self.text().as_bytes());
        line.push(b'\n');
        line
    }

    /// Reads the text of a head; `None` when it is none, or is not written as this program writes it.
    pub fn read(text: &[u8]) -> Option<Self> {
        let head: Self = serde_json::from_slice(text).ok()?;
        (head.format == EXPORT_FORMAT && head.text().as_bytes() == text).then_some(head)
    }

    fn text(&self) -> String {
        // Numbers and strings always serialize.
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// What is signed: the head's text without the signature, closed again.
fn signed_part(text: &str) -> String {
    // The last one is the field: in a text before it, its quotes would be escaped.
    let end = text.rfind(SIGNATURE_FIELD).unwrap_or(text.len());
    format!("{}}}", &text[..end])
}

/// What exports are signed with.
pub struct ExportKey {
    pair: Ed25519KeyPair,
}

/// Why a text is no key; it never holds the text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a key is 32 bytes, written as 64 hexadecimal digits")]
pub struct BadKey;

impl ExportKey {
    /// Reads the secret half.
    ///
    /// # Errors
    /// [`BadKey`].
    pub fn new(secret: &SecretString) -> Result<Self, BadKey> {
        let seed = hex::decode(secret.expose_secret()).map_err(|_| BadKey)?;
        let pair = Ed25519KeyPair::from_seed_unchecked(&seed).map_err(|_| BadKey)?;
        Ok(Self { pair })
    }

    /// The public half, as 64 hexadecimal digits.
    pub fn public_key(&self) -> String {
        hex::encode(self.pair.public_key())
    }
}

/// A few digits by which people compare public keys; `None` when it is none.
pub fn fingerprint(public_key: &str) -> Option<String> {
    let key = hex::decode(public_key).ok().filter(|key| key.len() == KEY_BYTES)?;
    let mut digits = hex::encode(Sha256::digest(key));
    digits.truncate(FINGERPRINT_CHARS);
    Some(digits)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn row(texts: &[String], at_ms: i64) -> Row {
        Row {
            seq: 7,
            at_ms,
            actor: texts[0].clone(),
            origin: texts[1].clone(),
            kind: texts[2].clone(),
            subject: texts[3].clone(),
            detail: texts[4].clone(),
            key_id: texts[5].clone(),
            prev_hash: texts[6].clone(),
            hash: texts[7].clone(),
        }
    }

    fn head() -> ExportHead {
        ExportHead {
            format: EXPORT_FORMAT.to_owned(),
            encoding: Encoding::Csv,
            filter: Selection { kind: "run.".to_owned(), ..Selection::default() },
            first_seq: 1,
            last_seq: 2,
            count: 2,
            head_seq: 3,
            head_hash: "0".repeat(64),
            sha256: "1".repeat(64),
            at_ms: 4,
            by: "uid 0,\"signature\":\"x\"".to_owned(),
            public_key: String::new(),
            signature: String::new(),
        }
    }

    /// The key and the public key are the first test of RFC 8032, section 7.1.
    #[test]
    fn a_head_is_signed_and_no_word_of_it_can_change() {
        let secret = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";
        let key = ExportKey::new(&SecretString::from(secret)).unwrap();
        let public = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
        assert_eq!(key.public_key(), public);
        assert_eq!(fingerprint(public).unwrap().len(), FINGERPRINT_CHARS);

        let signed = head().signed(Some(&key));

        assert!(signed.is_signed_by(public));
        let line = signed.line();
        let text = Encoding::Csv.head_of(&line).unwrap().strip_suffix(b"\n").unwrap();
        assert_eq!(ExportHead::read(text), Some(signed.clone()));
        let other = ExportHead { count: 3, ..signed.clone() };
        assert!(!other.is_signed_by(public) && !signed.is_signed_by(&"0".repeat(64)));
        assert!(!head().is_signed_by(public), "without a signature");
        // Written otherwise it may mean something else to another reader.
        let spaced = String::from_utf8(text.to_vec()).unwrap().replacen(':', ": ", 1);
        assert_eq!(ExportHead::read(spaced.as_bytes()), None);
    }

    #[test]
    fn a_key_of_another_length_is_refused_without_being_told() {
        for wrong in ["", "00", &"0".repeat(63), &"z".repeat(64), &"0".repeat(66)] {
            let refused = ExportKey::new(&SecretString::from(wrong)).err();
            assert_eq!(refused, Some(BadKey), "{wrong}");
        }
        assert_eq!(fingerprint("00"), None);
    }

    #[test]
    fn no_cell_is_a_formula() {
        for text in
            ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "'=1", "＝1", "=cmd|'/c calc'!A1"]
        {
            let row = row(&vec![text.to_owned(); 8], -5);
            let mut out = Vec::new();

            Encoding::Csv.write(&row, &mut out);

            let mut cells = csv::ReaderBuilder::new().has_headers(false).from_reader(&out[..]);
            let cells = cells.records().next().unwrap().unwrap();
            let quoted = cells.iter().skip(1).all(|cell| cell.starts_with('\''));
            assert!(quoted, "{text}: {cells:?}");
            assert_eq!(Encoding::Csv.read(&out), Some(row));
        }
    }

    proptest! {
        #[test]
        fn a_row_is_read_as_it_was_written(
            texts in prop::collection::vec("[\\x00-\\u{10ffff}]{0,12}", 8),
            at_ms: i64,
        ) {
            let row = row(&texts, at_ms);
            for encoding in [Encoding::Jsonl, Encoding::Csv] {
                let mut out = Vec::new();
                encoding.write(&row, &mut out);
                prop_assert_eq!(encoding.read(&out), Some(row.clone()), "{:?}", encoding);
            }
        }

        #[test]
        fn reading_never_panics(bytes: Vec<u8>) {
            for encoding in [Encoding::Jsonl, Encoding::Csv] {
                let _ = encoding.read(&bytes);
                let _ = encoding.head_of(&bytes).and_then(ExportHead::read);
            }
        }
    }
}
