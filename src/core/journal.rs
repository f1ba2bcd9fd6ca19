//! The audit journal's rules: how an entry becomes a row of the chain and how a chain is checked.
//!
//! A row's hash covers the format's version and every column, its predecessor's hash among them.
//! Under a key it is HMAC-SHA256, so that whoever can write to the database but has no key cannot
//! rewrite history; without one it is SHA-256, and only a head noted elsewhere (an [`Anchor`])
//! shows a rewrite. This file never reads or writes the database.

use crate::core::text::Text;
use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::fmt;
use std::str::FromStr;

/// The first thing every hash covers; a new layout of the columns gets a new name.
const FORMAT: &str = "neostock journal 1";
/// What the first row stands on.
pub const GENESIS_HASH: &str = "0000000000000000000000000000000000000000000000000000000000000000";
/// Hexadecimal digits of a hash.
const HASH_CHARS: usize = 64;
/// Hexadecimal digits of a key's id.
const KEY_ID_CHARS: usize = 16;
/// The longest detail that is kept whole; a longer one is cut and named with its size and digest.
pub const DETAIL_BYTES_MAX: usize = 64 * 1024;
/// What is kept of a detail that is too long.
const DETAIL_CUT_BYTES: usize = 4 * 1024;
/// Findings that a report spells out; the rest are only counted.
pub const FINDINGS_MAX: usize = 100;
/// The kind of the entry, under the old key, that announces the next one.
pub const KIND_KEY_CHANGED: &str = "journal.key_changed";
/// The kind of the first entry under a new key.
pub const KIND_KEY_BEGAN: &str = "journal.key_began";

/// What happened, as the code that decides it says it; the store turns it into a [`Row`].
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// When, in milliseconds UTC.
    pub at_ms: i64,
    /// Who: a Slack user id, a schedule's name, a login at the command line.
    pub actor: String,
    /// Through what: `slack`, `schedule`, `api`, `cli`.
    pub origin: String,
    /// What, as dotted words: `run.approved`.
    pub kind: String,
    /// On what: a run's id, a lock's name; empty when on nothing.
    pub subject: String,
    /// Everything else; its exact text is stored and hashed.
    pub detail: Value,
}

/// One row of the journal, exactly as stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row {
    /// Its place: 1, 2, 3 … without gaps.
    pub seq: i64,
    /// When, in milliseconds UTC.
    pub at_ms: i64,
    /// Who.
    pub actor: String,
    /// Through what.
    pub origin: String,
    /// What.
    pub kind: String,
    /// On what.
    pub subject: String,
    /// JSON text, byte for byte what the hash covers.
    pub detail: String,
    /// Which key made the hash; empty for none.
    pub key_id: String,
    /// The hash of the row before.
    pub prev_hash: String,
    /// The hash of this row: 64 hexadecimal digits.
    pub hash: String,
}

impl Row {
    /// Seals an entry as the row `seq` that follows the row whose hash is `prev_hash`.
    pub fn seal(entry: &Entry, seq: i64, prev_hash: String, key: &Key) -> Self {
        let mut row = Self {
            seq,
            at_ms: entry.at_ms,
            actor: without_nul(&entry.actor),
            origin: without_nul(&entry.origin),
            kind: without_nul(&entry.kind),
            subject: without_nul(&entry.subject),
            detail: detail_text(&entry.detail),
            key_id: key.id.clone(),
            prev_hash,
            hash: String::new(),
        };
        row.hash = row.hash_under(key);
        row
    }

    /// The hash that this row's columns have under a key.
    pub fn hash_under(&self, key: &Key) -> String {
        let seq = self.seq.to_be_bytes();
        let at_ms = self.at_ms.to_be_bytes();
        let columns: [&[u8]; 10] = [
            FORMAT.as_bytes(),
            &seq,
            &at_ms,
            self.actor.as_bytes(),
            self.origin.as_bytes(),
            self.kind.as_bytes(),
            self.subject.as_bytes(),
            self.detail.as_bytes(),
            self.key_id.as_bytes(),
            self.prev_hash.as_bytes(),
        ];
        // Each column behind its length, so that no two rows share an encoding.
        let mut bytes = Vec::with_capacity(columns.iter().map(|column| column.len() + 8).sum());
        for column in columns {
            bytes.extend_from_slice(&(column.len() as u64).to_be_bytes());
            bytes.extend_from_slice(column);
        }
        key.digest(&bytes)
    }

    /// The key that the next row must be under.
    fn next_key_id(&self) -> String {
        if self.kind != KIND_KEY_CHANGED {
            return self.key_id.clone();
        }
        let detail: Value = serde_json::from_str(&self.detail).unwrap_or_default();
        detail["to"].as_str().unwrap_or(&self.key_id).to_owned()
    }
}

/// Seals entries as the rows after `seq` and `hash`, in order.
pub fn chain(entries: &[Entry], seq: i64, hash: String, key: &Key) -> Vec<Row> {
    let mut prev_hash = hash;
    let seal = |(entry, seq)| {
        let row = Row::seal(entry, seq, std::mem::take(&mut prev_hash), key);
        prev_hash.clone_from(&row.hash);
        row
    };
    entries.iter().zip(seq + 1..).map(seal).collect()
}

/// PostgreSQL's text cannot hold NUL.
fn without_nul(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

/// The exact text of a detail. JSON writes NUL as an escape, so the text never contains one.
fn detail_text(detail: &Value) -> String {
    let text = detail.to_string();
    if text.len() <= DETAIL_BYTES_MAX {
        return text;
    }
    let cut = text.floor_char_boundary(DETAIL_CUT_BYTES);
    let digest = hex::encode(Sha256::digest(text.as_bytes()));
    json!({ "cut": text[..cut], "size_bytes": text.len(), "sha256": digest }).to_string()
}

/// What makes the hashes: a secret, or nothing.
#[derive(Clone, Default)]
pub struct Key {
    id: String,
    mac: Option<Hmac<Sha256>>,
}

impl Key {
    /// No key: plain SHA-256.
    pub fn none() -> Self {
        Self::default()
    }

    /// A key from a secret of any length.
    pub fn new(secret: &[u8]) -> Self {
        let id = Sha256::new().chain_update("neostock journal key id").chain_update(secret);
        let mut id = hex::encode(id.finalize());
        id.truncate(KEY_ID_CHARS);
        let mac = Hmac::new_from_slice(secret).expect("HMAC takes a key of any length");
        Self { id, mac: Some(mac) }
    }

    /// Sixteen hexadecimal digits that name the key without telling it; empty for none.
    pub fn id(&self) -> &str {
        &self.id
    }

    fn digest(&self, bytes: &[u8]) -> String {
        match &self.mac {
            Some(mac) => hex::encode(mac.clone().chain_update(bytes).finalize().into_bytes()),
            None => hex::encode(Sha256::digest(bytes)),
        }
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Key({:?})", self.id)
    }
}

/// The key in use and those before it, which old rows are checked with.
#[derive(Debug, Clone, Default)]
pub struct Keys {
    /// What new rows are sealed with.
    pub current: Key,
    /// What old rows were sealed with.
    pub previous: Vec<Key>,
}

impl Keys {
    /// The key that a row names; "no key" is always known.
    pub fn find(&self, id: &str) -> Option<Key> {
        if id.is_empty() {
            return Some(Key::none());
        }
        std::iter::once(&self.current).chain(&self.previous).find(|key| key.id == id).cloned()
    }

    /// Adds a key that was in use before.
    #[must_use]
    pub fn and_previous(mut self, secret: &SecretString) -> Self {
        self.previous.push(Key::new(secret.expose_secret().as_bytes()));
        self
    }
}

impl From<Option<SecretString>> for Keys {
    fn from(secret: Option<SecretString>) -> Self {
        let current = secret.map(|secret| Key::new(secret.expose_secret().as_bytes()));
        Self { current: current.unwrap_or_default(), previous: Vec::new() }
    }
}

/// The last entry under the old key: it says which key comes next.
pub fn key_changed(at_ms: i64, from: &Key, to: &Key) -> Entry {
    key_entry(at_ms, KIND_KEY_CHANGED, json!({ "from": from.id, "to": to.id }))
}

/// The first entry under a key. Only the key's owner can write it, which is what [`Verifier`]
/// looks for: history rewritten without the key has no such end.
pub fn key_began(at_ms: i64, key: &Key) -> Entry {
    key_entry(at_ms, KIND_KEY_BEGAN, json!({ "key": key.id }))
}

fn key_entry(at_ms: i64, kind: &str, detail: Value) -> Entry {
    Entry {
        at_ms,
        actor: "neostock-ops".to_owned(),
        origin: "start".to_owned(),
        kind: kind.to_owned(),
        subject: "journal".to_owned(),
        detail,
    }
}

/// A row's place and hash, noted outside the database: `SEQ:HASH`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Anchor {
    /// The row's place; 0 for the empty journal.
    pub seq: i64,
    /// The row's hash.
    pub hash: String,
}

impl fmt::Display for Anchor {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}:{}", self.seq, self.hash)
    }
}

/// Why a text is no anchor.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("an anchor is SEQ:HASH, for example 120:, followed by the 64 hexadecimal digits")]
pub struct BadAnchor;

impl FromStr for Anchor {
    type Err = BadAnchor;

    fn from_str(text: &str) -> Result<Self, BadAnchor> {
        let (seq, hash) = text.trim().split_once(':').ok_or(BadAnchor)?;
        let seq: i64 = seq.parse().map_err(|_| BadAnchor)?;
        let is_hash = hash.len() == HASH_CHARS && hash.bytes().all(|byte| byte.is_ascii_hexdigit());
        if seq < 0 || !is_hash {
            return Err(BadAnchor);
        }
        Ok(Self { seq, hash: hash.to_ascii_lowercase() })
    }
}

/// Something that a check of the journal found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The row it is about, or the first of several.
    pub seq: i64,
    /// What is wrong.
    pub fault: Fault,
}

/// What can be wrong with a chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// The row's content and its hash do not belong together.
    Changed,
    /// The row does not stand on the row before: that one was replaced, with a hash of its own.
    NotLinked,
    /// Rows are gone, up to this one.
    Missing {
        /// The last row of the gap.
        to: i64,
    },
    /// The row came after one with the same or a higher number.
    OutOfOrder,
    /// The row is made with a key that was not given.
    UnknownKey {
        /// The id that the row names.
        key_id: String,
    },
    /// The row is under another key than the row before announced.
    KeySwitched,
    /// The last row is not under the key in use.
    NotUnderCurrentKey,
    /// Rows stand behind the journal's own head, up to this one.
    AfterHead {
        /// The last row behind the head.
        to: i64,
    },
    /// The journal's own head has another hash than the last row.
    HeadDiffers,
    /// The row noted outside is not there any more.
    AnchorMissing {
        /// The last row that is there.
        last: i64,
    },
    /// The row noted outside has another hash now.
    AnchorDiffers,
}

impl Finding {
    /// The finding in a sentence.
    pub fn words(&self) -> Text {
        let seq = self.seq;
        match &self.fault {
            Fault::Changed => Text::new(
                format!("第 {seq} 条被改动:内容与其哈希不符"),
                format!("entry {seq} was changed: its content does not match its hash"),
            ),
            Fault::NotLinked => Text::new(
                format!("第 {seq} 条不接在第 {} 条之后:前一条被替换", seq - 1),
                format!("entry {seq} does not follow entry {}: that one was replaced", seq - 1),
            ),
            Fault::Missing { to } if *to == seq => {
                Text::new(format!("缺少第 {seq} 条"), format!("entry {seq} is missing"))
            }
            Fault::Missing { to } => Text::new(
                format!("缺少第 {seq} 至 {to} 条"),
                format!("entries {seq} to {to} are missing"),
            ),
            Fault::OutOfOrder => Text::new(
                format!("第 {seq} 条的位置不对"),
                format!("entry {seq} stands in the wrong place"),
            ),
            Fault::UnknownKey { key_id } => Text::new(
                format!("第 {seq} 条使用密钥 {key_id},未提供该密钥,无法核对"),
                format!(
                    "entry {seq} is under key {key_id}, which was not given: it cannot be checked"
                ),
            ),
            Fault::KeySwitched => Text::new(
                format!("第 {seq} 条换了密钥,之前没有旧密钥下的换钥记录"),
                format!(
                    "entry {seq} is under another key, and no entry under the old key announced it"
                ),
            ),
            Fault::NotUnderCurrentKey => Text::new(
                format!("最后一条(第 {seq} 条)不是用当前密钥写的"),
                format!("the last entry, {seq}, is not under the key in use"),
            ),
            Fault::AfterHead { to } => Text::new(
                format!("第 {seq} 至 {to} 条在日志头之后,是外部插入的"),
                format!(
                    "entries {seq} to {to} stand behind the journal's head: they were inserted"
                ),
            ),
            Fault::HeadDiffers => Text::new(
                format!("日志头的哈希与最后一条(第 {seq} 条)不同"),
                format!("the journal's head has another hash than the last entry, {seq}"),
            ),
            Fault::AnchorMissing { last } => Text::new(
                format!("外部记下的第 {seq} 条已不存在:日志在第 {last} 条之后被截断"),
                format!(
                    "entry {seq}, noted outside, is gone: the journal was cut after entry {last}"
                ),
            ),
            Fault::AnchorDiffers => Text::new(
                format!("第 {seq} 条的哈希与外部记下的不同:历史被改写"),
                format!(
                    "entry {seq} has another hash than was noted outside: history was rewritten"
                ),
            ),
        }
    }
}

/// What a check found, and how far it reached.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Report {
    /// Rows read.
    pub rows: i64,
    /// Of these, rows under no key, which only an anchor protects from a rewrite.
    pub unkeyed: i64,
    /// The last row, to be noted outside; `None` for an empty journal.
    pub last: Option<Anchor>,
    /// The first [`FINDINGS_MAX`] findings, in the order of the rows.
    pub findings: Vec<Finding>,
    /// All findings.
    pub findings_total: usize,
}

impl Report {
    /// Whether nothing was found.
    pub fn is_sound(&self) -> bool {
        self.findings_total == 0
    }

    fn find(&mut self, seq: i64, fault: Fault) {
        self.findings_total += 1;
        if self.findings.len() < FINDINGS_MAX {
            self.findings.push(Finding { seq, fault });
        }
    }
}

/// Checks a chain row by row, in constant memory.
#[derive(Debug)]
pub struct Verifier<'k> {
    keys: &'k Keys,
    anchor: Option<Anchor>,
    last: Option<Row>,
    report: Report,
}

impl<'k> Verifier<'k> {
    /// A check from the first row on. The anchor is a row that was noted outside.
    pub fn new(keys: &'k Keys, anchor: Option<Anchor>) -> Self {
        Self { keys, anchor, last: None, report: Report::default() }
    }

    /// Takes the next row. Rows come in the order of `seq`.
    pub fn push(&mut self, row: Row) {
        self.report.rows += 1;
        self.report.unkeyed += i64::from(row.key_id.is_empty());
        self.check_place(&row);
        match self.keys.find(&row.key_id) {
            None => {
                let key_id = row.key_id.clone();
                self.report.find(row.seq, Fault::UnknownKey { key_id });
            }
            Some(key) if row.hash_under(&key) != row.hash => {
                self.report.find(row.seq, Fault::Changed);
            }
            Some(_) => {}
        }
        if self.anchor.as_ref().is_some_and(|noted| noted.seq == row.seq && noted.hash != row.hash)
        {
            self.report.find(row.seq, Fault::AnchorDiffers);
        }
        self.last = Some(row);
    }

    /// Checks a row against the one before; behind a gap there is nothing to check against.
    fn check_place(&mut self, row: &Row) {
        let expected = self.last.as_ref().map_or(1, |last| last.seq + 1);
        if row.seq > expected {
            self.report.find(expected, Fault::Missing { to: row.seq - 1 });
            return;
        }
        if row.seq < expected {
            self.report.find(row.seq, Fault::OutOfOrder);
            return;
        }
        let prev_hash = self.last.as_ref().map_or(GENESIS_HASH, |last| &last.hash);
        if row.prev_hash != prev_hash {
            self.report.find(row.seq, Fault::NotLinked);
        }
        if self.last.as_ref().is_some_and(|last| last.next_key_id() != row.key_id) {
            self.report.find(row.seq, Fault::KeySwitched);
        }
    }

    /// Ends the check against the journal's own head.
    pub fn finish(mut self, head: &Anchor) -> Report {
        let (last_seq, last_hash, last_key_id) = match &self.last {
            Some(row) => (row.seq, row.hash.as_str(), row.key_id.as_str()),
            None => (0, GENESIS_HASH, ""),
        };
        if last_seq < head.seq {
            self.report.find(last_seq + 1, Fault::Missing { to: head.seq });
        } else if last_seq > head.seq {
            self.report.find(head.seq + 1, Fault::AfterHead { to: last_seq });
        } else if last_hash != head.hash {
            self.report.find(last_seq, Fault::HeadDiffers);
        }
        if last_key_id != self.keys.current.id {
            self.report.find(last_seq, Fault::NotUnderCurrentKey);
        }
        if let Some(anchor) = &self.anchor
            && anchor.seq > last_seq
        {
            self.report.find(anchor.seq, Fault::AnchorMissing { last: last_seq });
        }
        self.report.last = self.last.map(|row| Anchor { seq: row.seq, hash: row.hash });
        self.report
    }
}
