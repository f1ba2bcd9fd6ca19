//! Archiving: the oldest rows become signed files, one segment at a time, and leave the database; and
//! the check of those files together with what is still there, as one chain.
//!
//! A segment's file is complete, synced and checked before a row is removed. Whatever stopped an
//! earlier command, the same command again finds the file and goes on, or has nothing to find and
//! begins anew.

use super::export::{Export, ExportError, Unnamed, failed, write};
use super::{check_file, report_text};
use crate::clock::Millis;
use crate::core::journal::{
    Anchor, Checked, Encoding, ExportFault, ExportKey, ExportReport, Fault, SealSpan, Selection,
    Verifier, seal_span,
};
use crate::core::text::{Lang, Text};
use crate::fault;
use crate::store::journal::{self, Due, Moment, Segment};
use crate::store::{Error, Store};
use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// A name is `journal-FIRST-LAST.jsonl`, its numbers of so many digits that names sort as rows do.
const NAME_PREFIX: &str = "journal-";
const NAME_SUFFIX: &str = ".jsonl";
/// Segments that a folder is looked through for.
const SEGMENTS_MAX: usize = 100_000;
/// Only its owner reads who did what.
const FOLDER_MODE: u32 = 0o700;

/// Why not everything that is due was archived; what was archived before stays so.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// A file or the store failed.
    #[error(transparent)]
    Export(#[from] ExportError),
    /// The rows are sealed as a whole by a later one that would stay.
    #[error(
        "entry {0} seals the entries before it as a whole, because their key was lost: archive it \
         with them, by a later --before"
    )]
    CutsSeal(i64),
    /// A file of the segment is there and is not what it should be.
    #[error("{path}: {why}")]
    Unsound {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
}

impl From<Error> for ArchiveError {
    fn from(error: Error) -> Self {
        Self::Export(error.into())
    }
}

/// A segment that was archived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed {
    /// Its file.
    pub path: PathBuf,
    /// Its rows.
    pub segment: Segment,
}

/// Archives what is from before a moment into a folder, segment by segment, and gives each to `told`
/// once its rows are removed.
///
/// # Errors
/// [`ArchiveError`]; no row is lost by it.
pub async fn archive(
    store: &Store,
    before_ms: Millis,
    folder: &Path,
    (by, key): (&str, Option<ExportKey>),
    mut told: impl FnMut(&Sealed),
) -> Result<(), ArchiveError> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true).mode(FOLDER_MODE);
    builder.create(folder).map_err(failed(format!("make {}", folder.display())))?;
    let selection = Selection::default();
    let mut export = Export { encoding: Encoding::Jsonl, selection, by: by.to_owned(), key };
    let mut to_seq = None;
    loop {
        let mut reader = store.read().await?;
        let Some(due) = journal::due(&mut reader, before_ms).await? else { return Ok(()) };
        drop(reader);
        // What this command itself writes stays.
        if due.first_seq > *to_seq.get_or_insert(due.all_to_seq) {
            return Ok(());
        }
        refuse_to_cut_a_seal(store, &due).await?;
        let path = match begun(folder, due.first_seq)? {
            Some(path) => path,
            None => write_segment(store, &mut export, folder, &due).await?,
        };
        fault::point("archive.written");
        let segment = checked_segment(store, &path, due.first_seq)?;
        journal::remove(store, segment.clone(), by).await?;
        told(&Sealed { path, segment });
    }
}

async fn refuse_to_cut_a_seal(store: &Store, due: &Due) -> Result<(), ArchiveError> {
    let mut moment = Moment::of(store).await?;
    let spans = moment.seal_spans().await?;
    moment.end().await?;
    let cut =
        spans.iter().find(|span| span.first_seq <= due.all_to_seq && due.all_to_seq < span.seq);
    cut.map_or(Ok(()), |span| Err(ArchiveError::CutsSeal(span.seq)))
}

/// The file of a segment that an earlier command has not removed from the database.
fn begun(folder: &Path, first_seq: i64) -> Result<Option<PathBuf>, ArchiveError> {
    let found = segments(folder)?.into_iter().find(|(first, _)| *first == first_seq);
    Ok(found.map(|(_, path)| path))
}

/// The segments of a folder in the order of their rows.
fn segments(folder: &Path) -> Result<Vec<(i64, PathBuf)>, ExportError> {
    let unreadable = || failed(format!("read the folder {}", folder.display()));
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(unreadable())?.take(SEGMENTS_MAX) {
        let path = entry.map_err(unreadable())?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let numbers =
            name.strip_prefix(NAME_PREFIX).and_then(|name| name.strip_suffix(NAME_SUFFIX));
        let first = numbers.and_then(|numbers| numbers.split_once('-')?.0.parse().ok());
        if let Some(first) = first {
            found.push((first, path));
        }
    }
    found.sort();
    Ok(found)
}

async fn write_segment(
    store: &Store,
    export: &mut Export,
    folder: &Path,
    due: &Due,
) -> Result<PathBuf, ArchiveError> {
    let name = format!("{NAME_PREFIX}{:012}-{:012}{NAME_SUFFIX}", due.first_seq, due.last_seq);
    let path = folder.join(name);
    export.selection.to_seq = Some(due.last_seq);
    let (mut written, _) = write(store, export, Unnamed::beside(&path)?).await?;
    fault::point("archive.unnamed");
    written.name(&path)?;
    Ok(path)
}

/// Reads a segment back from the disk: only what is sound there may leave the database.
fn checked_segment(store: &Store, path: &Path, first_seq: i64) -> Result<Segment, ArchiveError> {
    let unsound = |why: String| ArchiveError::Unsound { path: path.to_owned(), why };
    let report = check_file(path, store.keys(), (None, None), |_| {})?;
    if let Some(fault) = report.faults.first() {
        return Err(unsound(format!("{}; nothing was removed", fault.words().en)));
    }
    let (Some(head), Some(last)) = (report.head, report.last) else {
        return Err(unsound("it holds no entry".to_owned()));
    };
    if head.first_seq != first_seq {
        return Err(unsound(format!("it does not begin with entry {first_seq}")));
    }
    let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let (count, sha256, prev_hash) = (head.count, head.sha256, report.prev_hash);
    Ok(Segment { first_seq, prev_hash, last, count, sha256, file })
}

/// Checks archived segments and the live chain as one; the text for the reader, and whether nothing was
/// found.
///
/// # Errors
/// When a file cannot be read, or as the store gives them.
pub async fn verify_with_archive(
    store: &Store,
    folder: &Path,
    (public_key, anchor): (Option<&str>, Option<Anchor>),
    lang: Lang,
) -> Result<(String, bool), ExportError> {
    let mut moment = Moment::of(store).await?;
    let mut spans = moment.seal_spans().await?;
    let first_seq = moment.first_seq().await?;
    // A database does not wait while files are read.
    moment.end().await?;
    let mut text = String::new();
    let mut files = Vec::new();
    for (first, path) in segments(folder)? {
        if first_seq.is_some_and(|live| first >= live) {
            let words = Text::new(
                format!("{}：其中的记录仍在数据库里，归档没有完成，略过。", path.display()),
                format!("{}: its entries are still live; left out.", path.display()),
            );
            text = text + words.get(lang) + "\n";
            continue;
        }
        let report = check_segment(&path, store, public_key, &mut spans)?;
        text += &segment_text(&path, &report, lang);
        files.push((first, path, report));
    }
    let mut verifier = Verifier::new(store.keys(), anchor).with_seals(&spans);
    for (_, path, _) in &files {
        check_file(path, store.keys(), (None, None), |row| verifier.push_checked(row))?;
    }
    let mut report = Moment::of(store).await?.check(store, verifier).await?;
    for (first, _, file) in &files {
        let sha256 = file.head.as_ref().map(|head| &head.sha256);
        let is_told = report
            .archived
            .iter()
            .any(|segment| segment.first_seq == *first && Some(&segment.sha256) == sha256);
        if !is_told || !file.is_sound() {
            report.find(*first, Fault::ArchiveDiffers);
        }
    }
    text += &report_text(&report, lang);
    Ok((text, report.is_sound()))
}

fn check_segment(
    path: &Path,
    store: &Store,
    public_key: Option<&str>,
    spans: &mut Vec<SealSpan>,
) -> Result<ExportReport, ExportError> {
    let note = |row: Checked| spans.extend(seal_span(row.row()));
    check_file(path, store.keys(), (public_key, None), note)
}

fn segment_text(path: &Path, report: &ExportReport, lang: Lang) -> String {
    let path = path.display();
    let rows = report.rows;
    let words = match report.faults.as_slice() {
        [] => Text::new(
            format!("{path}：{rows} 条，与其摘要一致"),
            format!("{path}: {rows} entries, as its head says"),
        ),
        faults => {
            let join = |lang: Lang, between: &str| {
                let words = faults.iter().map(ExportFault::words);
                words.map(|words| words.get(lang).to_owned()).collect::<Vec<_>>().join(between)
            };
            Text::new(
                format!("{path}：{}", join(Lang::Zh, "；")),
                format!("{path}: {}", join(Lang::En, "; ")),
            )
        }
    };
    let signed = report.head.as_ref().map(|head| head.public_key.as_str());
    let signed = signed.and_then(crate::core::journal::fingerprint);
    let by = signed.map_or_else(String::new, |digits| match lang {
        Lang::Zh => format!("，签名公钥指纹 {digits}"),
        Lang::En => format!(", signed by {digits}"),
    });
    format!("{}{by}\n", words.get(lang))
}
