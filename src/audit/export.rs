//! Exports of the journal: written to a file or to standard output, and checked without the database.
//!
//! Whatever an export holds is on disk, complete, before the journal says that there is an export, and
//! nobody is given it before the journal says so.

use super::read::Reader;
use crate::clock::Millis;
use crate::core::duration;
use crate::core::journal::{
    Anchor, Checked, EXPORT_FORMAT, Encoding, Entry, ExportCheck, ExportHead, ExportKey,
    ExportReport, Keys, Selection, fingerprint,
};
use crate::core::text::{Lang, Text};
use crate::entropy;
use crate::store::journal::{Filter, Moment, Stored};
use crate::store::{Error, Store};
use rustix::fs::{CWD, RenameFlags, renameat_with};
use serde_json::json;
use sha2::{Digest, Sha256};
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// The kind of the entry that tells of an export.
const KIND_EXPORTED: &str = "journal.exported";
/// An export holds who did what: its owner reads it, nobody else.
const FILE_MODE: u32 = 0o600;
/// What is gathered before it is written.
const BUFFER_BYTES: usize = 256 * 1024;

/// What is exported, how, and by whom.
pub struct Export {
    /// How rows are written.
    pub encoding: Encoding,
    /// Which rows.
    pub selection: Selection,
    /// Whose command it is, as the journal names them.
    pub by: String,
    /// What signs it.
    pub key: Option<ExportKey>,
}

/// Why nothing was exported.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] Error),
    /// The file is there already.
    #[error("{0} is there already: an export never overwrites one; name another file")]
    Exists(PathBuf),
    /// A file or the output cannot be written or read.
    #[error("{what}: {cause}")]
    Io {
        /// What was tried.
        what: String,
        /// What the system said.
        cause: io::Error,
    },
}

pub(super) fn failed(what: impl Into<String>) -> impl FnOnce(io::Error) -> ExportError {
    let what = what.into();
    move |cause| ExportError::Io { what, cause }
}

/// Exports into a new file, or to `out` when none is named; what its head says.
///
/// # Errors
/// [`ExportError`]; then there is no file, nothing was written to `out`, and the journal tells of no
/// export — unless only the very last step failed: giving the file its name, or writing to `out`.
pub async fn export(
    store: &Store,
    export: &Export,
    file: Option<&Path>,
    out: &mut (dyn Write + Send),
) -> Result<ExportHead, ExportError> {
    let written = match file {
        Some(path) if path.symlink_metadata().is_ok() => {
            return Err(ExportError::Exists(path.to_owned()));
        }
        Some(path) => Unnamed::beside(path)?,
        None => Unnamed::beside(&std::env::temp_dir().join("neostock-export"))?,
    };
    let (mut written, head) = write(store, export, written).await?;
    let detail = json!({
        "format": head.format, "encoding": head.encoding, "filter": head.filter,
        "first": head.first_seq, "last": head.last_seq, "count": head.count,
        "head_seq": head.head_seq, "head_hash": head.head_hash, "sha256": head.sha256,
        "public_key": head.public_key, "file": file.map(|path| path.display().to_string()),
    });
    journal(store, &export.by, KIND_EXPORTED, detail).await?;
    match file {
        Some(path) => written.name(path)?,
        None => written.copy_to(out)?,
    }
    Ok(head)
}

/// Writes one entry of somebody at the command line.
pub(super) async fn journal(
    store: &Store,
    by: &str,
    kind: &'static str,
    detail: serde_json::Value,
) -> Result<(), Error> {
    let by = by.to_owned();
    let written = move |unit: &mut crate::store::Unit| {
        unit.journal(Entry {
            at_ms: unit.now_ms(),
            actor: by,
            origin: "cli".to_owned(),
            kind: kind.to_owned(),
            subject: "journal".to_owned(),
            detail,
        });
    };
    store
        .unit(move |unit| {
            Box::pin(async move {
                written(unit);
                Ok(())
            })
        })
        .await
}

/// A page's lines, and which rows they are.
struct Lines {
    bytes: Vec<u8>,
    ends: Option<(i64, i64)>,
    count: i64,
}

/// Writes lines and head into a file that has no name yet, and brings it to the disk.
pub(super) async fn write(
    store: &Store,
    export: &Export,
    mut file: Unnamed,
) -> Result<(Unnamed, ExportHead), ExportError> {
    let (encoding, selection) = (export.encoding, &export.selection);
    let mut moment = Moment::of(store).await?;
    let mut head = ExportHead {
        format: EXPORT_FORMAT.to_owned(),
        encoding,
        filter: selection.clone(),
        first_seq: 0,
        last_seq: 0,
        count: 0,
        head_seq: moment.head().seq,
        head_hash: moment.head().hash.clone(),
        sha256: String::new(),
        at_ms: store.clock().now_ms(),
        by: export.by.clone(),
        public_key: String::new(),
        signature: String::new(),
    };
    let filter = Filter {
        kind_prefix: selection.kind.clone(),
        actor: selection.actor.clone(),
        subject: selection.subject.clone(),
        since_ms: selection.since_ms.unwrap_or(i64::MIN),
        until_ms: selection.until_ms,
        to_seq: selection.to_seq,
    };
    let mut digest = Sha256::new();
    let mut put = |bytes: &[u8]| {
        digest.update(bytes);
        file.out.write_all(bytes)
    };
    put(&encoding.opening()).map_err(failed("write the export"))?;
    let lines = move |rows: Vec<Stored>| lines_of(&rows, encoding);
    moment
        .each_page(&filter, lines, |lines| {
            put(&lines.bytes).map_err(failed("write the export"))?;
            if let Some((first_seq, last_seq)) = lines.ends {
                if head.count == 0 {
                    head.first_seq = first_seq;
                }
                head.last_seq = last_seq;
            }
            head.count += lines.count;
            Ok::<_, ExportError>(())
        })
        .await?;
    moment.end().await?;
    head.sha256 = hex::encode(digest.finalize());
    let head = head.signed(export.key.as_ref());
    file.out.write_all(&head.line()).map_err(failed("write the export"))?;
    file.sync()?;
    Ok((file, head))
}

fn lines_of(rows: &[Stored], encoding: Encoding) -> Lines {
    let mut bytes = Vec::with_capacity(rows.len() * 512);
    for stored in rows {
        encoding.write(&stored.row, &mut bytes);
    }
    let ends = rows.first().zip(rows.last()).map(|(first, last)| (first.row.seq, last.row.seq));
    Lines { bytes, ends, count: rows.len() as i64 }
}

/// A file that is complete before it has the name that people look for; it goes when it never gets one.
pub(super) struct Unnamed {
    path: PathBuf,
    out: BufWriter<File>,
    is_named: bool,
}

impl Unnamed {
    /// A new file in the same folder.
    pub(super) fn beside(path: &Path) -> Result<Self, ExportError> {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let name = format!(".{name}.{}.new", hex::encode(entropy::bytes::<6>()));
        let path = path.with_file_name(name);
        let mut options = OpenOptions::new();
        options.write(true).read(true).create_new(true).mode(FILE_MODE);
        let file = options.open(&path).map_err(failed(format!("make {}", path.display())))?;
        Ok(Self { path, out: BufWriter::with_capacity(BUFFER_BYTES, file), is_named: false })
    }

    fn sync(&mut self) -> Result<(), ExportError> {
        let synced = self.out.flush().and_then(|()| self.out.get_ref().sync_all());
        synced.map_err(failed(format!("write {}", self.path.display())))
    }

    /// Gives it its name, durably, unless that is taken.
    pub(super) fn name(&mut self, path: &Path) -> Result<(), ExportError> {
        match renameat_with(CWD, &self.path, CWD, path, RenameFlags::NOREPLACE) {
            Ok(()) => self.is_named = true,
            Err(rustix::io::Errno::EXIST) => return Err(ExportError::Exists(path.to_owned())),
            Err(cause) => {
                return Err(failed(format!("name {}", path.display()))(cause.into()));
            }
        }
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let folder = folder.unwrap_or(Path::new("."));
        let synced = File::open(folder).and_then(|folder| folder.sync_all());
        synced.map_err(failed(format!("write the folder {}", folder.display())))
    }

    fn copy_to(&mut self, out: &mut (dyn Write + Send)) -> Result<(), ExportError> {
        let file = self.out.get_mut();
        let copied = file.seek(SeekFrom::Start(0)).and_then(|_| io::copy(file, out));
        copied.and_then(|_| out.flush()).map_err(failed("write the export"))
    }
}

impl Drop for Unnamed {
    fn drop(&mut self) {
        if !self.is_named {
            // It may be gone already; then there is nothing to remove.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Checks a file, row by row; every row that can be read is given to `take` besides.
///
/// # Errors
/// When the file cannot be read; what is wrong with it is in the report.
pub fn check_file(
    path: &Path,
    keys: &Keys,
    (public_key, anchor): (Option<&str>, Option<Anchor>),
    mut take: impl FnMut(Checked),
) -> Result<ExportReport, ExportError> {
    let unreadable = || failed(format!("read {}", path.display()));
    let file = File::open(path).map_err(unreadable())?;
    let mut reader = Reader::new(file);
    let Some(head) = reader.head().map_err(unreadable())? else {
        return Ok(ExportCheck::without_head());
    };
    let mut check = ExportCheck::new(keys, &head, anchor);
    check.open(&reader.opening(head.encoding).map_err(unreadable())?);
    while let Some(record) = reader.record(head.encoding).map_err(unreadable())? {
        if let Some(row) = check.push(record) {
            take(row);
        }
    }
    Ok(check.finish(public_key))
}

/// A report on an export as people read it.
pub fn export_report_text(report: &ExportReport, lang: Lang) -> String {
    let (rows, unchecked) = (report.rows, report.unchecked);
    let mut lines = vec![if report.is_sound() {
        Text::new(
            format!("已核对导出中的 {rows} 条：没有改动、缺失或插入。"),
            format!("{rows} entries of the export checked: none changed, missing or inserted."),
        )
    } else {
        Text::new(
            format!("已核对导出中的 {rows} 条，发现问题："),
            format!("{rows} entries of the export checked, and faults found:"),
        )
    }];
    for fault in &report.faults {
        let words = fault.words();
        lines.push(Text::new(format!("- {}", words.zh), format!("- {}", words.en)));
    }
    if unchecked > 0 {
        lines.push(Text::new(
            format!("{unchecked} 条使用未提供的密钥：只核对了摘要、签名与前后衔接。"),
            format!(
                "{unchecked} entries are under a key that was not given: only digest, signature and \
                 links cover them."
            ),
        ));
    }
    if let Some(head) = &report.head {
        lines.extend(head_lines(head));
    }
    lines.iter().fold(String::new(), |text, line| text + line.get(lang) + "\n")
}

fn head_lines(head: &ExportHead) -> Vec<Text> {
    let at = moment(head.at_ms);
    let mut lines = vec![Text::new(
        format!("由 {} 于 {at} 导出，当时的日志头：{}", head.by, head.head()),
        format!("Exported by {} at {at}, when the head was {}", head.by, head.head()),
    )];
    lines.push(match fingerprint(&head.public_key) {
        Some(digits) => Text::new(
            format!("签名公钥的指纹：{digits}（请与从别处得知的比对，或用 --public-key）"),
            format!(
                "Signed; the key's fingerprint is {digits}: compare it with what you were told \
                 elsewhere, or give --public-key"
            ),
        ),
        None => Text::new(
            "没有签名：改动者可以连摘要一起重做。",
            "Not signed: whoever changes it can make the digest anew.",
        ),
    });
    lines
}

fn moment(at_ms: Millis) -> String {
    let at = chrono::DateTime::from_timestamp_millis(at_ms).unwrap_or_default();
    at.format("%Y-%m-%d %H:%M:%SZ").to_string()
}

/// What an export is to hold, from the command line's words.
///
/// # Errors
/// The word that is no moment.
pub fn selection(
    (since, until): (Option<&str>, Option<&str>),
    (kind, actor, subject): (String, String, String),
    now_ms: Millis,
) -> Result<Selection, String> {
    let read = |text: Option<&str>| match text {
        None => Ok(None),
        Some(text) => duration::moment(text, now_ms).map(Some).ok_or_else(|| {
            format!("`{text}` is no moment: 7d, 2026-11-24 or 2026-11-24T03:00:00Z")
        }),
    };
    let (since_ms, until_ms) = (read(since)?, read(until)?);
    Ok(Selection { since_ms, until_ms, kind, actor, subject, to_seq: None })
}
