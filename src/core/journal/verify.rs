//! Whether a chain of rows is whole: each row by itself, which any thread may do, and then the rows in
//! their order, in constant memory. It never reads a database.

use super::{
    Anchor, GENESIS_HASH, KIND_ARCHIVED, KIND_KEY_CHANGED, KIND_KEY_LOST, Keys, Row, Seal,
};
use crate::core::text::Text;
use serde_json::Value;

/// Findings that a report spells out; the rest are only counted.
pub const FINDINGS_MAX: usize = 100;
/// Archived segments that a report names; a segment has many thousand rows.
const ARCHIVED_MAX: usize = 100_000;

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
    /// What stood before a row that sealed it is not what was sealed.
    SealDiffers,
    /// The last rows, from this one on, are not under the key in use.
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
    /// The row noted outside is in an archived segment, which was not given.
    AnchorArchived,
    /// Rows without a number, which nobody reads: they were inserted past this program.
    Unnumbered {
        /// How many.
        rows: i64,
    },
    /// An archived segment is not the file that was sealed when its rows were removed.
    ArchiveDiffers,
}

impl Finding {
    /// The finding in a sentence.
    pub fn words(&self) -> Text {
        let seq = self.seq;
        match &self.fault {
            Fault::Changed => Text::new(
                format!("第 {seq} 条被改动：内容与其哈希不符"),
                format!("entry {seq} was changed: its content does not match its hash"),
            ),
            Fault::NotLinked => Text::new(
                format!("第 {seq} 条不接在第 {} 条之后：前一条被替换", seq - 1),
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
                format!("第 {seq} 条使用密钥 {key_id}，未提供该密钥，无法核对"),
                format!(
                    "entry {seq} is under key {key_id}, which was not given: it cannot be checked"
                ),
            ),
            Fault::KeySwitched => Text::new(
                format!("第 {seq} 条换了密钥，之前没有旧密钥下的换钥记录"),
                format!(
                    "entry {seq} is under another key, and no entry under the old key announced it"
                ),
            ),
            Fault::SealDiffers => Text::new(
                format!("第 {seq} 条封存了它之前的全部内容，现在的内容与封存时不同"),
                format!(
                    "entry {seq} sealed everything before it, which is not any more what it was then"
                ),
            ),
            Fault::NotUnderCurrentKey => Text::new(
                format!("从第 {seq} 条起都不是用当前密钥写的"),
                format!("from entry {seq} on none is under the key in use"),
            ),
            Fault::AfterHead { to } => Text::new(
                format!("第 {seq} 至 {to} 条在日志头之后，是外部插入的"),
                format!(
                    "entries {seq} to {to} stand behind the journal's head: they were inserted"
                ),
            ),
            Fault::HeadDiffers => Text::new(
                format!("日志头的哈希与最后一条（第 {seq} 条）不同"),
                format!("the journal's head has another hash than the last entry, {seq}"),
            ),
            Fault::AnchorMissing { last } => Text::new(
                format!("外部记下的第 {seq} 条已不存在：日志在第 {last} 条之后被截断"),
                format!(
                    "entry {seq}, noted outside, is gone: the journal was cut after entry {last}"
                ),
            ),
            Fault::AnchorDiffers => Text::new(
                format!("第 {seq} 条的哈希与外部记下的不同：历史被改写"),
                format!(
                    "entry {seq} has another hash than was noted outside: history was rewritten"
                ),
            ),
            Fault::AnchorArchived => Text::new(
                format!("外部记下的第 {seq} 条已归档：请用 --archive 一并核对"),
                format!("entry {seq}, noted outside, is archived: check it with --archive"),
            ),
            Fault::Unnumbered { rows } => Text::new(
                format!("有 {rows} 条没有编号，是外部插入的"),
                format!("{rows} entries bear no number: they were inserted"),
            ),
            Fault::ArchiveDiffers => Text::new(
                format!("从第 {seq} 条开始的归档文件不是归档时封存的那一个"),
                format!("the archived segment from entry {seq} on is not the file that was sealed"),
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
    /// Of these, rows under a key that was lost: checked as a whole against a later seal.
    pub lost: i64,
    /// The first row that was read; 0 for an empty journal.
    pub first_seq: i64,
    /// The last row, to be noted outside; `None` for an empty journal.
    pub last: Option<Anchor>,
    /// What the rows say was archived.
    pub archived: Vec<Archived>,
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

    /// The first row that is not what it was, as far as the findings tell: the one that the first
    /// finding is about, or the one before it when that one was replaced as a whole.
    pub fn first_bad(&self) -> Option<i64> {
        let first = self.findings.first()?;
        let is_changed = |found: &Finding| found.seq == first.seq && found.fault == Fault::Changed;
        Some(match first.fault {
            Fault::NotLinked if !self.findings.iter().any(is_changed) => first.seq - 1,
            Fault::AnchorMissing { last } => last + 1,
            _ => first.seq,
        })
    }

    /// Adds a finding behind the others.
    pub fn find(&mut self, seq: i64, fault: Fault) {
        self.findings_total += 1;
        if self.findings.len() < FINDINGS_MAX {
            self.findings.push(Finding { seq, fault });
        }
    }

    fn find_first(&mut self, seq: i64, fault: Fault) {
        self.findings_total += 1;
        self.findings.insert(0, Finding { seq, fault });
        self.findings.truncate(FINDINGS_MAX);
    }
}

/// A segment that was sealed in a file and removed, as its entry says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Archived {
    /// Its first row.
    pub first_seq: i64,
    /// Its last row, and that one's hash.
    pub last: Anchor,
    /// SHA-256 of the file's lines.
    pub sha256: String,
}

impl Archived {
    /// Reads it from the entry's detail.
    fn of(detail: &str) -> Option<Self> {
        let detail: Value = serde_json::from_str(detail).ok()?;
        let text = |name: &str| detail[name].as_str().map(str::to_owned);
        Some(Self {
            first_seq: detail["first"].as_i64()?,
            last: Anchor { seq: detail["last"].as_i64()?, hash: text("hash")? },
            sha256: text("sha256")?,
        })
    }
}

/// A row whose own hash was looked at; everything that needs no neighbour.
#[derive(Debug, Clone)]
pub struct Checked {
    row: Row,
    hash: Hash,
}

/// What a row's hash is under the key that the row names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hash {
    Right,
    Wrong,
    UnknownKey,
}

impl Checked {
    /// Hashes a row.
    pub fn of(row: Row, keys: &Keys) -> Self {
        let hash = match keys.find(&row.key_id) {
            None => Hash::UnknownKey,
            Some(key) if row.is_sealed_by(key) => Hash::Right,
            Some(_) => Hash::Wrong,
        };
        Self { row, hash }
    }

    /// A row of which a column holds what this program never writes: its hash cannot be right.
    pub fn unreadable(row: Row) -> Self {
        Self { row, hash: Hash::Wrong }
    }

    /// The same without what only its hash needed: where it is not sealed by a later row, the chain is checked
    /// by the rest of it.
    #[must_use]
    pub fn without_content(mut self) -> Self {
        let is_about_the_journal =
            [KIND_KEY_CHANGED, KIND_KEY_LOST, KIND_ARCHIVED].contains(&self.row.kind.as_str());
        if !is_about_the_journal {
            let row = &mut self.row;
            for text in [&mut row.actor, &mut row.origin, &mut row.subject, &mut row.detail] {
                *text = String::new();
            }
        }
        self
    }

    /// Whether its content and its hash do not belong together.
    pub fn is_changed(&self) -> bool {
        self.hash == Hash::Wrong
    }

    /// Whether it is under a key that was not given.
    pub fn is_unknown(&self) -> bool {
        self.hash == Hash::UnknownKey
    }

    /// The row.
    pub fn row(&self) -> &Row {
        &self.row
    }
}

/// Rows that an entry about a lost key seals as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SealSpan {
    /// The first of them.
    pub first_seq: i64,
    /// The entry that seals them.
    pub seq: i64,
}

/// Checks a chain row by row, in constant memory.
#[derive(Debug)]
pub struct Verifier<'k> {
    keys: &'k Keys,
    anchor: Option<Anchor>,
    last: Option<Row>,
    /// What the first row stands on, when it is not the journal's first.
    begins_on: Option<Anchor>,
    /// Where the last rows that name the same key begin.
    key_since: i64,
    seals: Vec<(i64, Seal)>,
    /// No row from here on is sealed by a later one.
    sealed_before: i64,
    /// The key that was not given, and how many rows in a row so far are under it.
    unknown: (String, usize),
    /// What rows under that key say was archived; it counts once they are sealed.
    unknown_archived: Vec<Archived>,
    report: Report,
}

impl<'k> Verifier<'k> {
    /// A check from the first row on. The anchor is a row that was noted outside.
    pub fn new(keys: &'k Keys, anchor: Option<Anchor>) -> Self {
        Self {
            keys,
            anchor,
            last: None,
            begins_on: None,
            key_since: 0,
            seals: vec![(1, Seal::default())],
            sealed_before: i64::MAX,
            unknown: Default::default(),
            unknown_archived: Vec::new(),
            report: Report::default(),
        }
    }

    /// The same for a chain whose seals are known beforehand: no other row is hashed for one.
    #[must_use]
    pub fn with_seals(mut self, spans: &[SealSpan]) -> Self {
        let mut firsts: Vec<i64> = spans.iter().map(|span| span.first_seq).collect();
        firsts.sort_unstable();
        firsts.dedup();
        self.seals = firsts.into_iter().map(|first| (first, Seal::default())).collect();
        self.sealed_before = spans.iter().map(|span| span.seq).max().unwrap_or(i64::MIN);
        self
    }

    /// From this row on none is sealed by a later one: its content is not needed once it is hashed.
    pub fn sealed_before(&self) -> i64 {
        self.sealed_before
    }

    /// Takes the next row. Rows come in the order of `seq`.
    pub fn push(&mut self, row: Row) {
        self.push_checked(Checked::of(row, self.keys));
    }

    /// Takes the next row, whose hash was looked at already.
    pub fn push_checked(&mut self, checked: Checked) {
        let Checked { row, hash } = checked;
        self.report.rows += 1;
        self.report.unkeyed += i64::from(row.key_id.is_empty());
        self.check_place(&row, hash);
        self.check_seal(&row, hash);
        match hash {
            Hash::Right => self.note_archived(&row),
            Hash::Wrong => self.report.find(row.seq, Fault::Changed),
            Hash::UnknownKey => self.find_unknown_key(&row),
        }
        if self.anchor.as_ref().is_some_and(|noted| noted.seq == row.seq && noted.hash != row.hash)
        {
            self.report.find(row.seq, Fault::AnchorDiffers);
        }
        if row.seq < self.sealed_before {
            for (_, seal) in self.seals.iter_mut().filter(|(first, _)| *first <= row.seq) {
                seal.push(&row);
            }
        }
        if self.last.as_ref().is_none_or(|last| last.key_id != row.key_id) {
            self.key_since = row.seq;
        }
        self.last = Some(row);
    }

    fn find_unknown_key(&mut self, row: &Row) {
        let key_id = row.key_id.clone();
        if self.unknown.0 != key_id {
            self.unknown = (key_id.clone(), 0);
        }
        self.unknown.1 += 1;
        if row.kind == KIND_ARCHIVED && self.unknown_archived.len() < ARCHIVED_MAX {
            self.unknown_archived.extend(Archived::of(&row.detail));
        }
        self.report.find(row.seq, Fault::UnknownKey { key_id });
    }

    /// Under a key in use, an entry without one says nothing: anybody can write it.
    fn note_archived(&mut self, row: &Row) {
        let is_ours = !row.key_id.is_empty() || self.keys.current.id().is_empty();
        if row.kind == KIND_ARCHIVED && is_ours && self.report.archived.len() < ARCHIVED_MAX {
            self.report.archived.extend(Archived::of(&row.detail));
        }
    }

    /// A row under a key that is there can say that the key before was lost. It stands for the rows
    /// before it, which nobody can check one by one.
    fn check_seal(&mut self, row: &Row, hash: Hash) {
        if !says_that_a_key_was_lost(row, hash) {
            return;
        }
        let detail: Value = serde_json::from_str(&row.detail).unwrap_or_default();
        let first_seq = detail["first"].as_i64().unwrap_or(1);
        let sealed = self.seals.iter().find(|(first, _)| *first == first_seq);
        if sealed.is_none_or(|(_, seal)| detail["sha256"] != seal.digest()) {
            self.report.find(row.seq, Fault::SealDiffers);
            return;
        }
        let (key_id, rows) = std::mem::take(&mut self.unknown);
        if rows > 0 && detail["from"] == key_id {
            let is_lost = |finding: &Finding| matches!(&finding.fault, Fault::UnknownKey { key_id: named } if *named == key_id);
            self.report.findings.retain(|finding| !is_lost(finding));
            self.report.findings_total -= rows;
            self.report.lost += rows as i64;
            self.report.archived.append(&mut self.unknown_archived);
        }
    }

    /// Checks a row against the one before; behind a gap there is nothing to check against.
    fn check_place(&mut self, row: &Row, hash: Hash) {
        let Some(last) = &self.last else { return self.begin(row) };
        let expected = last.seq.saturating_add(1);
        if row.seq > expected {
            self.report.find(expected, Fault::Missing { to: row.seq - 1 });
            return;
        }
        if row.seq < expected {
            self.report.find(row.seq, Fault::OutOfOrder);
            return;
        }
        if row.prev_hash != last.hash {
            self.report.find(row.seq, Fault::NotLinked);
        }
        if last.next_key_id() != row.key_id && !says_that_a_key_was_lost(row, hash) {
            self.report.find(row.seq, Fault::KeySwitched);
        }
    }

    /// The first row of a chain, or the first behind an archived segment.
    fn begin(&mut self, row: &Row) {
        self.report.first_seq = row.seq;
        if row.seq < 1 {
            self.report.find(row.seq, Fault::OutOfOrder);
        } else if row.seq > 1 {
            self.begins_on = Some(Anchor { seq: row.seq - 1, hash: row.prev_hash.clone() });
        } else if row.prev_hash != GENESIS_HASH {
            self.report.find(row.seq, Fault::NotLinked);
        }
    }

    /// Ends the check against the journal's own head.
    pub fn finish(mut self, head: &Anchor) -> Report {
        self.check_begin();
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
            self.report.find(self.key_since, Fault::NotUnderCurrentKey);
        }
        if let Some(anchor) = &self.anchor
            && anchor.seq > last_seq
        {
            self.report.find(anchor.seq, Fault::AnchorMissing { last: last_seq });
        }
        // What was noted outside only says that something before it is wrong.
        self.report.findings.sort_by_key(|finding| {
            matches!(finding.fault, Fault::AnchorDiffers | Fault::AnchorMissing { .. })
        });
        self.report.last = self.last.map(|row| Anchor { seq: row.seq, hash: row.hash });
        self.report
    }

    /// Rows before the first may be gone only where an entry says that they were archived.
    fn check_begin(&mut self) {
        let Some(begins_on) = self.begins_on.take() else { return };
        if !self.report.archived.iter().any(|segment| segment.last == begins_on) {
            self.report.find_first(1, Fault::Missing { to: begins_on.seq });
        }
        let Some(noted) = &self.anchor else { return };
        if noted.seq == begins_on.seq && noted.hash != begins_on.hash {
            self.report.find_first(noted.seq, Fault::AnchorDiffers);
        } else if noted.seq > 0 && noted.seq < begins_on.seq {
            self.report.find(noted.seq, Fault::AnchorArchived);
        }
    }
}

/// Without a key anybody can write such a row, so that one says nothing.
fn says_that_a_key_was_lost(row: &Row, hash: Hash) -> bool {
    row.kind == KIND_KEY_LOST && hash == Hash::Right && !row.key_id.is_empty()
}
