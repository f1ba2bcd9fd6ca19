//! The journal for readers: the texts behind `audit verify`, `show` and `summary`, exports and archives.
//!
//! Nothing here prints or decides an exit code; that is `main`'s.

mod archive;
mod compliance;
mod export;
mod read;
mod summary;

pub use archive::{ArchiveError, Sealed, archive, verify_with_archive};
pub use compliance::compliance;
pub use export::{Export, ExportError, check_file, export, export_report_text, selection};
pub use summary::summary;

use crate::core::journal::{Anchor, Report, Row};
use crate::core::table::{left, visible};
use crate::core::text::{Lang, Text};
use crate::store::journal::{self, Filter};
use crate::store::{Error, Store};
use chrono::DateTime;
use serde_json::json;
use std::io::{self, Write};

/// The kind of the entry that tells that somebody read other people's entries.
const KIND_READ: &str = "journal.read";
/// Rows read at a time.
const SHOW_PAGE_ROWS: i64 = 100;

/// Checks the whole journal; the text for the reader, and whether nothing was found.
///
/// # Errors
/// As the store gives them.
pub async fn verify_report(
    store: &Store,
    anchor: Option<Anchor>,
    lang: Lang,
) -> Result<(String, bool), Error> {
    let report = journal::verify(store, anchor).await?;
    Ok((report_text(&report, lang), report.is_sound()))
}

/// A report as people read it: the verdict, each finding, and the head to note elsewhere.
pub fn report_text(report: &Report, lang: Lang) -> String {
    let (rows, total, unkeyed) = (report.rows, report.findings_total, report.unkeyed);
    let lost = report.lost;
    let mut lines = vec![if report.is_sound() {
        Text::new(
            format!("已核对 {rows} 条：没有改动、缺失或插入。"),
            format!("{rows} entries checked: none changed, missing or inserted."),
        )
    } else {
        Text::new(
            format!("已核对 {rows} 条，发现 {total} 处问题："),
            format!("{rows} entries checked, {total} faults found:"),
        )
    }];
    for finding in &report.findings {
        let words = finding.words();
        lines.push(Text::new(format!("- {}", words.zh), format!("- {}", words.en)));
    }
    let unspoken = total - report.findings.len();
    if unspoken > 0 {
        lines.push(Text::new(format!("- 另有 {unspoken} 处"), format!("- and {unspoken} more")));
    }
    if let Some(archived) = archived_line(report) {
        lines.push(archived);
    }
    if unkeyed > 0 {
        lines.push(Text::new(
            format!("{unkeyed} 条没有密钥：只有外部记下的日志头能证明它们未被整体改写。"),
            format!(
                "{unkeyed} entries are under no key: only a head noted elsewhere shows that they \
                 were not rewritten as a whole."
            ),
        ));
    }
    if lost > 0 {
        lines.push(Text::new(
            format!(
                "{lost} 条的密钥已丢失，无法逐条核对：它们整体上与声明丢失时封存的一致。"
            ),
            format!(
                "{lost} entries are under a key that was lost and cannot be checked one by one: as a \
                 whole they are what was sealed when its loss was declared."
            ),
        ));
    }
    if let Some(last) = &report.last {
        lines.push(Text::new(format!("日志头：{last}"), format!("Head: {last}")));
    }
    lines.iter().fold(String::new(), |text, line| text + line.get(lang) + "\n")
}

/// That the rows before the first are elsewhere.
fn archived_line(report: &Report) -> Option<Text> {
    let last = report.archived.iter().rfind(|segment| segment.last.seq + 1 == report.first_seq)?;
    let (to, sha256) = (last.last.seq, &last.sha256);
    Some(Text::new(
        format!(
            "第 1 至 {to} 条已归档（最后一个归档文件的 SHA-256：{sha256}）；连同归档核对：--archive 目录"
        ),
        format!(
            "Entries 1 to {to} are archived (SHA-256 of the last segment's lines: {sha256}); check \
             them too: --archive DIR"
        ),
    ))
}

/// Writes down that somebody at the command line reads the journal, before they are shown anything.
///
/// # Errors
/// As the store gives them; then nothing may be shown.
pub async fn note_reading(
    store: &Store,
    by: &str,
    what: &str,
    filter: &Filter,
) -> Result<(), Error> {
    let detail = json!({
        "what": what, "kind": filter.kind_prefix, "actor": filter.actor, "subject": filter.subject,
        "since_ms": filter.since_ms,
    });
    export::journal(store, by, KIND_READ, detail).await
}

/// How entries are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// One aligned line an entry, times in UTC.
    Lines,
    /// One JSON object a line, with every column exactly as stored and hashed.
    Json,
}

/// Why entries could not be shown.
#[derive(Debug, thiserror::Error)]
pub enum ShowError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] Error),
    /// The output cannot be written to.
    #[error("cannot write the entries: {0}")]
    Output(#[from] io::Error),
}

/// Writes the entries that a filter keeps, oldest first, page by page.
///
/// # Errors
/// [`ShowError`]; what was written before stays written.
pub async fn show(
    store: &Store,
    filter: &Filter,
    format: Format,
    out: &mut (dyn Write + Send),
) -> Result<(), ShowError> {
    if format == Format::Lines
        && let Some(words) = summary::archived(store, filter.since_ms).await?
    {
        writeln!(out, "{}", words.en)?;
    }
    let mut after_seq = 0;
    loop {
        let mut connection = store.read().await?;
        let rows = journal::page_of(&mut connection, filter, after_seq, SHOW_PAGE_ROWS).await?;
        // A reader who pages slowly keeps no connection.
        drop(connection);
        let Some(last) = rows.last() else { break };
        after_seq = last.seq;
        for row in &rows {
            match format {
                Format::Lines => writeln!(out, "{}", line(row))?,
                Format::Json => {
                    serde_json::to_writer(&mut *out, row).map_err(io::Error::from)?;
                    out.write_all(b"\n")?;
                }
            }
        }
    }
    Ok(out.flush()?)
}

/// One entry on one line; what could steer a terminal is written as an escape.
pub fn line(row: &Row) -> String {
    let at = DateTime::from_timestamp_millis(row.at_ms).unwrap_or_default();
    let at = at.format("%Y-%m-%d %H:%M:%S%.3fZ");
    let detail = if row.detail == "null" { String::new() } else { visible(&row.detail) };
    let (actor, origin) = (column(&row.actor, 12), column(&row.origin, 8));
    let (kind, subject) = (column(&row.kind, 24), column(&row.subject, 12));
    let line = format!("{:>6}  {at}  {actor}{origin}{kind}{subject}{detail}", row.seq);
    line.trim_end().to_owned()
}

/// A text filled up to a width, with two spaces behind it.
fn column(text: &str, wide: usize) -> String {
    left(&visible(text), wide) + "  "
}
