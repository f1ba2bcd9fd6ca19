//! `audit …`: the journal for people at the command line. Whoever is shown entries is written down
//! first; checking shows none and writes nothing.

use super::{duration, language, verdict};
use anyhow::Context as _;
use neostock_ops::audit::{self, Export, Format};
use neostock_ops::clock::Clock;
use neostock_ops::config::settings::Settings;
use neostock_ops::core::journal::{Anchor, Encoding, fingerprint};
use neostock_ops::core::text::Lang;
use neostock_ops::store::Store;
use neostock_ops::store::journal::Filter;
use secrecy::ExposeSecret;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

/// What is asked of the journal.
#[derive(clap::Subcommand)]
pub enum Audit {
    /// Check the whole chain: changed, deleted, inserted or swapped entries. Or, with --export, a file.
    Verify {
        /// A head that was noted elsewhere, as `SEQ:HASH`: shows a cut tail or a rewrite too.
        #[arg(long, visible_alias = "anchor", value_name = "SEQ:HASH")]
        head: Option<Anchor>,
        /// Check this export alone; the database is not asked.
        #[arg(long, value_name = "FILE", conflicts_with = "archive")]
        export: Option<PathBuf>,
        /// Check the archived segments in this folder and the journal as one chain.
        #[arg(long, value_name = "DIR")]
        archive: Option<PathBuf>,
        /// Whose signature files must have; otherwise that of `NEOSTOCK_EXPORT_KEY`, if it is set.
        #[arg(long, value_name = "HEX", value_parser = public_key)]
        public_key: Option<String>,
        /// The language of the findings.
        #[arg(long, value_parser = language, default_value = "en")]
        lang: Lang,
    },
    /// Sum up: who did what, what was denied, what went wrong.
    Summary {
        /// How far to look back, such as `7d` or `2h`.
        #[arg(long, value_parser = duration, value_name = "AGE", default_value = "24h")]
        since: u64,
        /// The language of the summary.
        #[arg(long, value_parser = language, default_value = "en")]
        lang: Lang,
    },
    /// Show entries, oldest first.
    Show {
        /// Only what is younger, such as `7d` or `2h`.
        #[arg(long, value_parser = duration, value_name = "AGE")]
        since: Option<u64>,
        /// Only kinds that begin so, such as `run.` or `request.denied`.
        #[arg(long, default_value = "")]
        kind: String,
        /// Only this actor's: a Slack user id.
        #[arg(long, default_value = "")]
        actor: String,
        /// Only about this run.
        #[arg(long, default_value = "")]
        run: String,
        /// One JSON object a line, exactly as stored.
        #[arg(long)]
        json: bool,
    },
    /// Write entries into a file that can be checked without the database.
    Export {
        /// One JSON object a line, or a table.
        #[arg(long, value_parser = encoding, value_name = "jsonl|csv")]
        format: Encoding,
        /// Not before: an age such as `7d`, a day such as `2026-11-24`, or a time.
        #[arg(long, value_name = "TIME")]
        since: Option<String>,
        /// Not after.
        #[arg(long, value_name = "TIME")]
        until: Option<String>,
        /// Only kinds that begin so, such as `run.`.
        #[arg(long, default_value = "")]
        kind: String,
        /// Only this actor's.
        #[arg(long, default_value = "")]
        actor: String,
        /// Only about this: a run, a lock.
        #[arg(long, default_value = "")]
        subject: String,
        /// A file that is not there yet; otherwise standard output.
        #[arg(long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Seal the oldest entries in signed files, then remove them from the database.
    Archive {
        /// What is older than this: an age such as `365d`, a day such as `2026-01-01`, or a time.
        #[arg(long, value_name = "TIME")]
        before: String,
        /// The folder of the files.
        #[arg(long, value_name = "DIR")]
        to: PathBuf,
    },
    /// Print the public half of `NEOSTOCK_EXPORT_KEY`, and its fingerprint.
    PublicKey,
}

fn encoding(text: &str) -> Result<Encoding, String> {
    Encoding::parse(text).ok_or_else(|| "jsonl or csv".to_owned())
}

fn public_key(text: &str) -> Result<String, String> {
    match fingerprint(text) {
        Some(_) => Ok(text.to_ascii_lowercase()),
        None => Err("64 hexadecimal digits, as `audit public-key` prints them".to_owned()),
    }
}

/// Who sits at the command line.
pub fn by() -> String {
    format!("uid {}", rustix::process::getuid().as_raw())
}

/// Does what is asked.
pub async fn run(settings: Settings, command: Audit) -> anyhow::Result<ExitCode> {
    let mut out = std::io::stdout();
    match command {
        Audit::Verify { head, export, archive, public_key, lang } => {
            let own = settings.export_key().map(|key| key.public_key());
            let public_key = public_key.or(own);
            let key = public_key.as_deref();
            if let Some(file) = export {
                let report =
                    audit::check_file(&file, &settings.journal_keys(), (key, head), |_| {})?;
                write!(out, "{}", audit::export_report_text(&report, lang))?;
                return Ok(verdict(report.is_sound()));
            }
            let store = inspect(&settings).await?;
            let (report, is_sound) = match archive {
                Some(folder) => {
                    audit::verify_with_archive(&store, &folder, (key, head), lang).await?
                }
                None => audit::verify_report(&store, head, lang).await?,
            };
            write!(out, "{report}")?;
            Ok(verdict(is_sound))
        }
        Audit::Summary { since, lang } => {
            let store = attend(&settings).await?;
            let until_ms = Clock::System.now_ms();
            let since_ms = until_ms.saturating_sub_unsigned(since);
            let window = Filter { since_ms, ..Filter::default() };
            audit::note_reading(&store, &by(), "summary", &window).await?;
            write!(out, "{}", audit::summary(&store, (since, until_ms), lang).await?)?;
            done(&store).await
        }
        Audit::Show { since, kind, actor, run, json } => {
            let store = attend(&settings).await?;
            let since_ms =
                since.map_or(0, |age_ms| Clock::System.now_ms().saturating_sub_unsigned(age_ms));
            let filter =
                Filter { kind_prefix: kind, actor, subject: run, since_ms, ..Filter::default() };
            let format = if json { Format::Json } else { Format::Lines };
            audit::note_reading(&store, &by(), "show", &filter).await?;
            audit::show(&store, &filter, format, &mut out).await?;
            done(&store).await
        }
        Audit::Export { format, since, until, kind, actor, subject, output } => {
            let window = (since.as_deref(), until.as_deref());
            let now_ms = Clock::System.now_ms();
            let selection = audit::selection(window, (kind, actor, subject), now_ms);
            let selection = selection.map_err(|wrong| anyhow::anyhow!(wrong))?;
            let store = attend(&settings).await?;
            let export =
                Export { encoding: format, selection, by: by(), key: settings.export_key() };
            let head = audit::export(&store, &export, output.as_deref(), &mut out).await?;
            if let Some(file) = output {
                writeln!(
                    out,
                    "{}: {} entries, SHA-256 {}, {}. Head: {}",
                    file.display(),
                    head.count,
                    head.sha256,
                    if head.signature.is_empty() { "not signed" } else { "signed" },
                    head.head(),
                )?;
            }
            done(&store).await
        }
        Audit::Archive { before, to } => {
            let before_ms = neostock_ops::core::duration::moment(&before, Clock::System.now_ms());
            let before_ms = before_ms.with_context(|| {
                format!("`{before}` is no moment: 365d, 2026-01-01 or 2026-01-01T00:00:00Z")
            })?;
            let store = attend(&settings).await?;
            let (mut segments, mut failed) = (0, Ok(()));
            let key = settings.export_key();
            audit::archive(&store, before_ms, &to, (&by(), key), |sealed| {
                segments += 1;
                let (segment, path) = (&sealed.segment, sealed.path.display());
                let (first, last) = (segment.first_seq, segment.last.seq);
                failed = writeln!(out, "Entries {first} to {last} are archived in {path}");
            })
            .await?;
            failed?;
            if segments == 0 {
                writeln!(out, "No entry is from before that.")?;
            }
            done(&store).await
        }
        Audit::PublicKey => {
            let key = settings.export_key().context(
                "NEOSTOCK_EXPORT_KEY is not set: exports are not signed; make one: openssl rand -hex 32",
            )?;
            let public_key = key.public_key();
            let digits = fingerprint(&public_key).unwrap_or_default();
            writeln!(out, "{public_key}\nFingerprint: {digits}")?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// Opens the database to read it.
async fn inspect(settings: &Settings) -> anyhow::Result<Store> {
    let url = settings.database_url.expose_secret();
    let opened = Store::inspect(url, Clock::System, settings.journal_keys()).await;
    opened.context("open the database")
}

/// Opens the database to read it and to write that down.
pub(super) async fn attend(settings: &Settings) -> anyhow::Result<Store> {
    let url = settings.database_url.expose_secret();
    let opened = Store::join(url, Clock::System, settings.journal_keys()).await;
    opened.context("open the database")
}

/// What waits to be written is written before the process ends.
pub(super) async fn done(store: &Store) -> anyhow::Result<ExitCode> {
    store.close().await;
    Ok(ExitCode::SUCCESS)
}
