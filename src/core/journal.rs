//! The audit journal's rules: how an entry becomes a row of the chain and how a chain is checked.
//!
//! A row's hash covers the format's version and every column, its predecessor's hash among them.
//! Under a key it is HMAC-SHA256, so that whoever can write to the database but has no key cannot
//! rewrite history; without one it is SHA-256, and only a head noted elsewhere (an [`Anchor`])
//! shows a rewrite. This file never reads or writes the database.

mod export;
mod export_check;
mod verify;

pub use export::{BadKey, EXPORT_FORMAT, Encoding, ExportHead, ExportKey, Selection, fingerprint};
pub use export_check::{ExportCheck, ExportFault, ExportReport, seal_span};
pub use verify::{Archived, Checked, FINDINGS_MAX, Fault, Finding, Report, SealSpan, Verifier};

use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::borrow::Cow;
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
/// The kind of the entry, under the old key, that announces the next one.
pub const KIND_KEY_CHANGED: &str = "journal.key_changed";
/// The kind of the first entry under a new key.
pub const KIND_KEY_BEGAN: &str = "journal.key_began";

/// The kind of the entry with which a journal goes on whose key was lost.
pub const KIND_KEY_LOST: &str = "journal.key_lost";
/// The kind of the entry that says which rows were sealed in a file and removed.
pub const KIND_ARCHIVED: &str = "journal.archived";

/// No key at all, as rows without one name it.
static NO_KEY: Key = Key { id: String::new(), mac: None };

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
        String::from_utf8_lossy(&self.hex_under(key)).into_owned()
    }

    /// Whether its hash is the one that its columns have under a key.
    fn is_sealed_by(&self, key: &Key) -> bool {
        self.hash.as_bytes() == self.hex_under(key)
    }

    fn hex_under(&self, key: &Key) -> [u8; HASH_CHARS] {
        key.digest(|take| self.encode(take))
    }

    /// The bytes that a hash covers, a piece at a time: a million rows are hashed without a copy.
    fn encode(&self, mut take: impl FnMut(&[u8])) {
        let seq = self.seq.to_be_bytes();
        let at_ms = self.at_ms.to_be_bytes();
        for column in self.columns(&seq, &at_ms) {
            // Each column behind its length, so that no two rows share an encoding.
            take(&(column.len() as u64).to_be_bytes());
            take(column);
        }
    }

    fn columns<'r>(&'r self, seq: &'r [u8], at_ms: &'r [u8]) -> [&'r [u8]; 10] {
        [
            FORMAT.as_bytes(),
            seq,
            at_ms,
            self.actor.as_bytes(),
            self.origin.as_bytes(),
            self.kind.as_bytes(),
            self.subject.as_bytes(),
            self.detail.as_bytes(),
            self.key_id.as_bytes(),
            self.prev_hash.as_bytes(),
        ]
    }

    /// How many bytes a hash covers.
    fn encoded_len(&self) -> usize {
        let number = [0; size_of::<i64>()];
        self.columns(&number, &number).iter().map(|column| column.len() + size_of::<u64>()).sum()
    }

    /// The key that the next row must be under.
    fn next_key_id(&self) -> Cow<'_, str> {
        if self.kind != KIND_KEY_CHANGED {
            return Cow::Borrowed(&self.key_id);
        }
        let detail: Value = serde_json::from_str(&self.detail).unwrap_or_default();
        Cow::Owned(detail["to"].as_str().unwrap_or(&self.key_id).to_owned())
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

    /// Of what `encode` gives, as hexadecimal digits.
    fn digest(&self, encode: impl FnOnce(&mut dyn FnMut(&[u8]))) -> [u8; HASH_CHARS] {
        let digest = if let Some(mac) = &self.mac {
            let mut mac = mac.clone();
            encode(&mut |bytes| mac.update(bytes));
            mac.finalize().into_bytes()
        } else {
            let mut hash = Sha256::new();
            encode(&mut |bytes| hash.update(bytes));
            hash.finalize()
        };
        let mut digits = [0; HASH_CHARS];
        hex::encode_to_slice(digest, &mut digits).expect("32 bytes are 64 digits");
        digits
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
    pub fn find(&self, id: &str) -> Option<&Key> {
        if id.is_empty() {
            return Some(&NO_KEY);
        }
        std::iter::once(&self.current).chain(&self.previous).find(|key| key.id == id)
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

/// The first entry under a new key when the old one is lost: nobody can check what is under that, so
/// all rows up to here are sealed as they stand now. `by` is who says so, `why` is their reason.
pub fn key_lost(
    at_ms: i64,
    (from, to): (&str, &Key),
    (first_seq, sealed, seal): (i64, &Anchor, String),
    (by, why): (&str, &str),
) -> Entry {
    Entry {
        actor: by.to_owned(),
        origin: "cli".to_owned(),
        ..key_entry(
            at_ms,
            KIND_KEY_LOST,
            json!({
                "from": from, "to": to.id, "first": first_seq, "seq": sealed.seq, "head": sealed.hash, "sha256": seal,
                "reason": why,
            }),
        )
    }
}

/// SHA-256 over whole rows, hashes included, in order: what a lost key's rows are sealed with.
#[derive(Debug, Clone, Default)]
pub struct Seal(Sha256);

impl Seal {
    /// Takes the next row.
    pub fn push(&mut self, row: &Row) {
        self.0.update((row.encoded_len() as u64).to_be_bytes());
        row.encode(|bytes| self.0.update(bytes));
        self.0.update((row.hash.len() as u64).to_be_bytes());
        self.0.update(row.hash.as_bytes());
    }

    /// Of all rows so far, as 64 hexadecimal digits.
    pub fn digest(&self) -> String {
        hex::encode(self.0.clone().finalize())
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn entry() -> Entry {
        Entry {
            at_ms: 1_700_000_000_000,
            actor: "U_ANN".to_owned(),
            origin: "slack".to_owned(),
            kind: "run.approved".to_owned(),
            subject: "R-0123WXYZ".to_owned(),
            detail: json!({ "reason": "回滚" }),
        }
    }

    fn check(rows: &[Row], keys: &Keys) -> Vec<Finding> {
        let mut verifier = Verifier::new(keys, None);
        rows.iter().cloned().for_each(|row| verifier.push(row));
        let head = rows.last().map_or((0, GENESIS_HASH), |row| (row.seq, &row.hash));
        verifier.finish(&Anchor { seq: head.0, hash: head.1.to_owned() }).findings
    }

    /// The values come from a few lines of Python over `hashlib`, `hmac` and `struct`: each column
    /// behind its length as eight bytes, numbers as eight bytes, the most significant first.
    #[test]
    fn the_format_is_what_another_program_computes() {
        let plain = Row::seal(&entry(), 7, GENESIS_HASH.to_owned(), &Key::none());
        let keyed = Row::seal(&entry(), 7, GENESIS_HASH.to_owned(), &Key::new(b"correct horse"));

        assert_eq!(plain.hash, "0dfcb04f072d5d6a74d8bb25691f4ac249a7653625ceca890bcbffcd481b3a9b");
        assert_eq!(keyed.key_id, "09f04656981aec4d");
        assert_eq!(keyed.hash, "f74927d17abfac2f7ae57003dba282e1562244e0695d689db5893b810eb1ccdc");
    }

    #[test]
    fn the_words_of_every_finding() {
        let key_id = "0123456789abcdef".to_owned();
        let faults = [
            Fault::Changed,
            Fault::NotLinked,
            Fault::Missing { to: 7 },
            Fault::Missing { to: 9 },
            Fault::OutOfOrder,
            Fault::UnknownKey { key_id },
            Fault::KeySwitched,
            Fault::SealDiffers,
            Fault::NotUnderCurrentKey,
            Fault::AfterHead { to: 9 },
            Fault::HeadDiffers,
            Fault::AnchorMissing { last: 5 },
            Fault::AnchorDiffers,
            Fault::AnchorArchived,
            Fault::Unnumbered { rows: 2 },
            Fault::ArchiveDiffers,
        ];
        let words = faults.map(|fault| {
            let words = Finding { seq: 7, fault }.words();
            format!("{}\n    {}", words.en, words.zh)
        });

        insta::assert_snapshot!(words.join("\n"), @r"
        entry 7 was changed: its content does not match its hash
            第 7 条被改动：内容与其哈希不符
        entry 7 does not follow entry 6: that one was replaced
            第 7 条不接在第 6 条之后：前一条被替换
        entry 7 is missing
            缺少第 7 条
        entries 7 to 9 are missing
            缺少第 7 至 9 条
        entry 7 stands in the wrong place
            第 7 条的位置不对
        entry 7 is under key 0123456789abcdef, which was not given: it cannot be checked
            第 7 条使用密钥 0123456789abcdef，未提供该密钥，无法核对
        entry 7 is under another key, and no entry under the old key announced it
            第 7 条换了密钥，之前没有旧密钥下的换钥记录
        entry 7 sealed everything before it, which is not any more what it was then
            第 7 条封存了它之前的全部内容，现在的内容与封存时不同
        from entry 7 on none is under the key in use
            从第 7 条起都不是用当前密钥写的
        entries 7 to 9 stand behind the journal's head: they were inserted
            第 7 至 9 条在日志头之后，是外部插入的
        the journal's head has another hash than the last entry, 7
            日志头的哈希与最后一条（第 7 条）不同
        entry 7, noted outside, is gone: the journal was cut after entry 5
            外部记下的第 7 条已不存在：日志在第 5 条之后被截断
        entry 7 has another hash than was noted outside: history was rewritten
            第 7 条的哈希与外部记下的不同：历史被改写
        entry 7, noted outside, is archived: check it with --archive
            外部记下的第 7 条已归档：请用 --archive 一并核对
        2 entries bear no number: they were inserted
            有 2 条没有编号，是外部插入的
        the archived segment from entry 7 on is not the file that was sealed
            从第 7 条开始的归档文件不是归档时封存的那一个
        ");
    }

    #[test]
    fn a_detail_that_is_too_long_is_cut_and_named() {
        let detail = json!({ "output": "部".repeat(DETAIL_BYTES_MAX) });

        let row = Row::seal(&Entry { detail, ..entry() }, 1, String::new(), &Key::none());

        assert!(row.detail.len() < 2 * DETAIL_CUT_BYTES);
        let kept: Value = serde_json::from_str(&row.detail).unwrap();
        assert_eq!(kept["size_bytes"], 3 * DETAIL_BYTES_MAX + 13);
        assert_eq!(kept["sha256"].as_str().map(str::len), Some(HASH_CHARS));
    }

    #[test]
    fn a_key_switch_that_nobody_announced_is_found() {
        let (one, two) = (Key::new(b"one"), Key::new(b"two"));
        let keys = Keys { current: two.clone(), previous: vec![one.clone()] };
        let mut rows = chain(&[entry(), key_changed(0, &one, &two)], 0, GENESIS_HASH.into(), &one);
        let more = chain(&[key_began(0, &two), entry()], 2, rows[1].hash.clone(), &two);
        rows.extend(more);
        assert_eq!(check(&rows, &keys), []);

        // Without the announcement, renumbered and sealed again by someone who has both keys.
        let mut switched = chain(&[entry()], 0, GENESIS_HASH.into(), &one);
        switched.extend(chain(&[entry()], 1, switched[0].hash.clone(), &two));
        assert_eq!(check(&switched, &keys), [Finding { seq: 2, fault: Fault::KeySwitched }]);

        // Going on under the old key after the announcement.
        let stayed = chain(&[key_changed(0, &one, &two), entry()], 0, GENESIS_HASH.into(), &one);
        let findings = check(&stayed, &keys);
        assert_eq!(findings[0], Finding { seq: 2, fault: Fault::KeySwitched });
    }

    #[test]
    fn rows_under_a_lost_key_are_checked_as_a_whole() {
        let (lost, new) = (Key::new(b"lost"), Key::new(b"new"));
        let keys = Keys { current: new.clone(), previous: Vec::new() };
        let old = chain(&[entry(), entry(), entry()], 0, GENESIS_HASH.into(), &lost);
        let mut seal = Seal::default();
        for row in &old {
            seal.push(row);
        }
        let head = Anchor { seq: 3, hash: old[2].hash.clone() };
        let sealed = |key: &Key| {
            let said = key_lost(0, (lost.id(), key), (1, &head, seal.digest()), ("uid 0", "fire"));
            let mut rows = old.clone();
            rows.extend(chain(&[said, entry()], 3, head.hash.clone(), key));
            rows
        };

        let sound = sealed(&new);
        assert_eq!(check(&sound, &keys), []);
        let mut verifier = Verifier::new(&keys, None);
        sound.iter().cloned().for_each(|row| verifier.push(row));
        let end = Anchor { seq: 5, hash: sound[4].hash.clone() };
        assert_eq!(verifier.finish(&end).lost, 3);

        // A change of what was sealed is found, although nobody has the key of the changed row.
        let mut changed = sealed(&new);
        changed[1].actor = "U_EVE".to_owned();
        let findings = check(&changed, &keys);
        assert!(findings.contains(&Finding { seq: 4, fault: Fault::SealDiffers }), "{findings:?}");

        // Somebody without the key in use cannot say that a key was lost.
        for forged in [sealed(&Key::none()), sealed(&Key::new(b"eve"))] {
            let findings = check(&forged, &keys);
            assert!(findings.iter().any(|found| found.fault == Fault::KeySwitched), "{findings:?}");
        }
    }

    #[test]
    fn no_key_is_ever_shown() {
        let keys = Keys::from(Some(SecretString::from("correct horse")));
        assert!(!format!("{keys:?}").contains("horse"));
    }

    fn any_entry() -> impl Strategy<Value = Entry> {
        let text = || ".{0,12}";
        (any::<i64>(), text(), text(), text(), text(), text()).prop_map(
            |(at_ms, actor, origin, kind, subject, detail)| Entry {
                at_ms,
                actor,
                origin,
                kind,
                subject,
                detail: json!({ "text": detail }),
            },
        )
    }

    proptest! {
        #[test]
        fn a_chain_verifies_and_no_column_can_change(
            entries in prop::collection::vec(any_entry(), 1..20),
            secret in prop::option::of("[a-z]{1,20}"),
            at: prop::sample::Index,
            column in 0..9,
        ) {
            let keys = Keys::from(secret.map(SecretString::from));
            let mut rows = chain(&entries, 0, GENESIS_HASH.to_owned(), &keys.current);
            prop_assert_eq!(check(&rows, &keys), []);

            let row = at.get(&rows).seq as usize - 1;
            let row = &mut rows[row];
            match column {
                0 => row.at_ms = row.at_ms.wrapping_add(1),
                1 => row.actor.push('x'),
                2 => row.origin.insert(0, 'x'),
                3 => row.kind.push('x'),
                4 => row.subject.push('x'),
                5 => row.detail.push(' '),
                6 => row.key_id.push('x'),
                7 => row.prev_hash = "0".repeat(63) + "1",
                _ => row.hash = "0".repeat(64),
            }
            prop_assert!(!check(&rows, &keys).is_empty());
        }

        #[test]
        fn text_cannot_move_between_columns(entry in any_entry(), letter: char) {
            let left = Entry { actor: format!("{}{letter}", entry.actor), ..entry.clone() };
            let right = Entry { origin: format!("{letter}{}", entry.origin), ..entry };
            let hash = |entry| Row::seal(entry, 1, String::new(), &Key::none()).hash;
            prop_assert_ne!(hash(&left), hash(&right));
        }

        #[test]
        fn an_anchor_survives_being_typed_back(seq in 0_i64.., bytes: [u8; 32]) {
            let anchor = Anchor { seq, hash: hex::encode(bytes) };
            prop_assert_eq!(format!(" {anchor}\n").parse(), Ok(anchor));
        }

        #[test]
        fn reading_an_anchor_never_panics(text: String) {
            let _ = text.parse::<Anchor>();
        }
    }
}
