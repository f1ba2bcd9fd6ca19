//! Whether an export is what it says, without the database it came from: line by line, in constant
//! memory. It reads no file.

use super::export::{Encoding, ExportHead, Selection};
use super::{Anchor, Checked, GENESIS_HASH, Keys, Row};
use crate::core::text::Text;
use memchr::memchr_iter;
use serde_json::Value;
use sha2::{Digest, Sha256};

/// What is wrong with an export.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExportFault {
    /// The last line is no head, or not as this program writes one.
    NoHead,
    /// The first line is not the names of the columns.
    NoColumns,
    /// A line is not a row, or not as this program writes it.
    NotARow {
        /// Which line of the file, from 1.
        line: u64,
    },
    /// A row's content and its hash do not belong together.
    Changed {
        /// Which line of the file, from 1.
        line: u64,
        /// Which row.
        seq: i64,
    },
    /// A row does not stand on the one before.
    NotLinked {
        /// Which line of the file, from 1.
        line: u64,
        /// Which row.
        seq: i64,
    },
    /// Rows are missing before this one, or it stands in the wrong place.
    OutOfPlace {
        /// Which line of the file, from 1.
        line: u64,
        /// Which row.
        seq: i64,
    },
    /// The filter would have left this row out.
    NotWanted {
        /// Which line of the file, from 1.
        line: u64,
        /// Which row.
        seq: i64,
    },
    /// The lines have another digest than the head says.
    DigestDiffers,
    /// There are more or fewer rows than the head says, or others at its ends.
    CountDiffers,
    /// The chain's end in the export is not the head's.
    HeadDiffers,
    /// The signature is wrong.
    SignatureWrong,
    /// A public key was given, and the export is not signed.
    NotSigned,
    /// The signature is another key's.
    OtherKey {
        /// Whose.
        public_key: String,
    },
    /// The row noted outside has another hash here.
    AnchorDiffers,
    /// The row noted outside is not in the export.
    AnchorNotHere,
}

impl ExportFault {
    /// The line it is about; `None` when it is about the whole.
    pub fn line(&self) -> Option<u64> {
        match self {
            Self::NotARow { line }
            | Self::Changed { line, .. }
            | Self::NotLinked { line, .. }
            | Self::OutOfPlace { line, .. }
            | Self::NotWanted { line, .. } => Some(*line),
            _ => None,
        }
    }

    /// The fault in a sentence.
    pub fn words(&self) -> Text {
        match self {
            Self::NoHead => Text::new(
                "最后一行不是导出的摘要行：文件不完整或被改动",
                "the last line is not an export's head: the file is not whole, or was changed",
            ),
            Self::NoColumns => {
                Text::new("第 1 行不是列名", "line 1 is not the names of the columns")
            }
            Self::NotARow { line } => Text::new(
                format!("第 {line} 行不是一条记录，或不是本程序写出的样子"),
                format!("line {line} is not an entry, or not as it is written"),
            ),
            Self::Changed { line, seq } => Text::new(
                format!("第 {line} 行（第 {seq} 条）被改动：内容与其哈希不符"),
                format!(
                    "line {line} (entry {seq}) was changed: its content does not match its hash"
                ),
            ),
            Self::NotLinked { line, seq } => Text::new(
                format!("第 {line} 行（第 {seq} 条）不接在前一条之后"),
                format!("line {line} (entry {seq}) does not follow the entry before it"),
            ),
            Self::OutOfPlace { line, seq } => Text::new(
                format!("第 {line} 行（第 {seq} 条）之前缺少记录，或位置不对"),
                format!("entries are missing before line {line} (entry {seq}), or it is misplaced"),
            ),
            Self::NotWanted { line, seq } => Text::new(
                format!("第 {line} 行（第 {seq} 条）不符合导出条件，是后来加入的"),
                format!("line {line} (entry {seq}) does not fit the filter: it was put in"),
            ),
            Self::DigestDiffers => Text::new(
                "内容的 SHA-256 与摘要行不同：导出后被改动",
                "the lines have another SHA-256 than the head says: they were changed afterwards",
            ),
            Self::CountDiffers => Text::new(
                "条数或首尾与摘要行不同",
                "the number of entries, the first or the last is not what the head says",
            ),
            Self::HeadDiffers => Text::new(
                "最后一条与摘要行中的日志头不同",
                "the last entry is not the chain's end that the head names",
            ),
            Self::SignatureWrong => {
                Text::new("签名不对：摘要行被改动", "the signature is wrong: the head was changed")
            }
            Self::NotSigned => Text::new("没有签名", "it is not signed"),
            Self::OtherKey { public_key } => Text::new(
                format!("签名是另一个密钥的：{public_key}"),
                format!("it is signed with another key: {public_key}"),
            ),
            Self::AnchorDiffers => Text::new(
                "外部记下的那一条在这里有不同的哈希：历史被改写",
                "the entry noted outside has another hash here: history was rewritten",
            ),
            Self::AnchorNotHere => Text::new(
                "外部记下的那一条不在这个导出里，无法比较",
                "the entry noted outside is not in this export, so it cannot be compared",
            ),
        }
    }
}

/// What a check of an export found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExportReport {
    /// Rows read.
    pub rows: i64,
    /// Of these, rows under a key that was not given: only digest, links and signature cover them.
    pub unchecked: i64,
    /// What its last line says.
    pub head: Option<ExportHead>,
    /// The hash that its first row stands on.
    pub prev_hash: String,
    /// Its last row.
    pub last: Option<Anchor>,
    /// The first fault of a line, then those of the whole.
    pub faults: Vec<ExportFault>,
}

impl ExportReport {
    /// Whether nothing was found.
    pub fn is_sound(&self) -> bool {
        self.faults.is_empty()
    }
}

/// What the lines of one export are held against.
#[derive(Debug)]
pub struct ExportCheck<'k> {
    keys: &'k Keys,
    encoding: Encoding,
    filter: Selection,
    anchor: Option<Anchor>,
    has_met_anchor: bool,
    digest: Sha256,
    lines: u64,
    first_seq: i64,
    report: ExportReport,
}

impl<'k> ExportCheck<'k> {
    /// A check of an export with this head, against a row that was noted outside.
    pub fn new(keys: &'k Keys, head: &ExportHead, anchor: Option<Anchor>) -> Self {
        Self {
            keys,
            encoding: head.encoding,
            filter: head.filter.clone(),
            anchor,
            has_met_anchor: false,
            digest: Sha256::new(),
            lines: 0,
            first_seq: 0,
            report: ExportReport {
                rows: 0,
                unchecked: 0,
                head: Some(head.clone()),
                prev_hash: GENESIS_HASH.to_owned(),
                last: None,
                faults: Vec::new(),
            },
        }
    }

    /// What to report of a file that has no head.
    pub fn without_head() -> ExportReport {
        ExportReport {
            rows: 0,
            unchecked: 0,
            head: None,
            prev_hash: String::new(),
            last: None,
            faults: vec![ExportFault::NoHead],
        }
    }

    /// Takes what stands before the first row.
    pub fn open(&mut self, opening: &[u8]) {
        self.digest.update(opening);
        self.lines += memchr_iter(b'\n', opening).count() as u64;
        if opening != self.encoding.opening() {
            self.fault(ExportFault::NoColumns);
        }
    }

    /// Takes the next row's bytes, its line's end included; the row, if it is one.
    pub fn push(&mut self, bytes: &[u8]) -> Option<Checked> {
        self.digest.update(bytes);
        let line = self.lines + 1;
        self.lines += memchr_iter(b'\n', bytes).count().max(1) as u64;
        self.report.rows += 1;
        let row = self.encoding.read(bytes).filter(|row| {
            let mut again = Vec::with_capacity(bytes.len());
            self.encoding.write(row, &mut again);
            again == bytes
        });
        let Some(row) = row else {
            self.fault(ExportFault::NotARow { line });
            return None;
        };
        self.check_place(&row, line);
        if !is_wanted(&self.filter, &row) {
            self.fault(ExportFault::NotWanted { line, seq: row.seq });
        }
        let checked = Checked::of(row, self.keys);
        if checked.is_changed() {
            self.fault(ExportFault::Changed { line, seq: checked.row().seq });
        }
        self.report.unchecked += i64::from(checked.is_unknown());
        let row = checked.row();
        if self.anchor.as_ref().is_some_and(|noted| noted.seq == row.seq) {
            self.has_met_anchor = true;
            if self.anchor.as_ref().is_some_and(|noted| noted.hash != row.hash) {
                self.report.faults.push(ExportFault::AnchorDiffers);
            }
        }
        self.report.last = Some(Anchor { seq: row.seq, hash: row.hash.clone() });
        Some(checked)
    }

    fn check_place(&mut self, row: &Row, line: u64) {
        let seq = row.seq;
        let Some(last) = &self.report.last else {
            self.first_seq = seq;
            self.report.prev_hash.clone_from(&row.prev_hash);
            if seq == 1 && row.prev_hash != GENESIS_HASH {
                self.fault(ExportFault::NotLinked { line, seq });
            }
            return;
        };
        let is_next = seq == last.seq.saturating_add(1);
        if seq <= last.seq || (!is_next && self.filter.is_contiguous()) {
            self.fault(ExportFault::OutOfPlace { line, seq });
        } else if is_next && row.prev_hash != last.hash {
            self.fault(ExportFault::NotLinked { line, seq });
        }
    }

    /// Of the lines only the first that is wrong is told: what follows it often is only its consequence.
    fn fault(&mut self, fault: ExportFault) {
        if self.report.faults.iter().all(|known| known.line().is_none()) {
            self.report.faults.insert(0, fault);
        }
    }

    /// Ends the check. `public_key`: whose signature it must be; `None`: whoever's it says.
    pub fn finish(mut self, public_key: Option<&str>) -> ExportReport {
        let Some(head) = self.report.head.take() else { return self.report };
        let faults = &mut self.report.faults;
        let last_seq = self.report.last.as_ref().map_or(0, |last| last.seq);
        if hex::encode(self.digest.finalize()) != head.sha256 {
            faults.push(ExportFault::DigestDiffers);
        }
        if (self.report.rows, self.first_seq, last_seq)
            != (head.count, head.first_seq, head.last_seq)
        {
            faults.push(ExportFault::CountDiffers);
        }
        let end_seq = head.filter.to_seq.map_or(head.head_seq, |to_seq| to_seq.min(head.head_seq));
        let is_other_end = last_seq > end_seq || head.filter.is_contiguous() && last_seq < end_seq;
        let is_other_hash = self
            .report
            .last
            .as_ref()
            .is_some_and(|last| last.seq == head.head_seq && last.hash != head.head_hash);
        if is_other_end || is_other_hash {
            faults.push(ExportFault::HeadDiffers);
        }
        faults.extend(signature_fault(&head, public_key));
        faults.extend(self.anchor.as_ref().filter(|_| !self.has_met_anchor).and_then(|noted| {
            match noted.seq == head.head_seq {
                true if noted.hash == head.head_hash => None,
                true => Some(ExportFault::AnchorDiffers),
                false => Some(ExportFault::AnchorNotHere),
            }
        }));
        self.report.head = Some(head);
        self.report
    }
}

fn signature_fault(head: &ExportHead, public_key: Option<&str>) -> Option<ExportFault> {
    let is_signed = !head.signature.is_empty() || !head.public_key.is_empty();
    match public_key {
        None if !is_signed => None,
        Some(_) if !is_signed => Some(ExportFault::NotSigned),
        Some(key) if !key.eq_ignore_ascii_case(&head.public_key) => {
            Some(ExportFault::OtherKey { public_key: head.public_key.clone() })
        }
        _ if head.is_signed_by(&head.public_key) => None,
        _ => Some(ExportFault::SignatureWrong),
    }
}

fn is_wanted(filter: &Selection, row: &Row) -> bool {
    row.kind.starts_with(&filter.kind)
        && (filter.actor.is_empty() || filter.actor == row.actor)
        && (filter.subject.is_empty() || filter.subject == row.subject)
        && filter.since_ms.is_none_or(|since_ms| row.at_ms >= since_ms)
        && filter.until_ms.is_none_or(|until_ms| row.at_ms <= until_ms)
}

/// The span that a row seals because a key was lost.
pub fn seal_span(row: &Row) -> Option<super::SealSpan> {
    (row.kind == super::KIND_KEY_LOST).then(|| {
        let detail: Value = serde_json::from_str(&row.detail).unwrap_or_default();
        super::SealSpan { first_seq: detail["first"].as_i64().unwrap_or(1), seq: row.seq }
    })
}
