//! `docs`: the documents that are written from what they are about, so that they cannot go stale unseen. With
//! `--check` nothing is written, and exit code 1 says that one is stale.

mod actions;
mod markdown;

use super::verdict;
use anyhow::Context as _;
use markdown::{code, row, sentence};
use neostock_ops::config::fault::listing;
use neostock_ops::config::runbook;
use neostock_ops::config::settings::{self, Settings};
use std::fmt::Write as _;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Between these lines of the file stands what is written.
const BEGIN: &str = "<!-- The table is written by `neostock-ops docs configuration` from src/config/defaults.yml. -->";
const END: &str = "<!-- The end of the table. -->";

/// Which document.
#[derive(clap::Subcommand)]
pub enum Docs {
    /// Every action and checklist of the runbook.
    Actions(Written),
    /// The table of settings.
    Configuration(Written),
}

/// What to do with it.
#[derive(clap::Args)]
pub struct Written {
    /// Write nothing; exit code 1: the file is not what would be written.
    #[arg(long)]
    check: bool,
    /// The file; otherwise the document's own in `docs/` of this folder.
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
}

impl Docs {
    /// Whether it is about the runbook, which the settings name.
    pub fn needs_settings(&self) -> bool {
        matches!(self, Self::Actions(_))
    }
}

/// Writes or checks a document. `settings`: where the runbook is.
///
/// # Errors
/// A runbook with faults, a file that cannot be read or written.
pub fn run(
    docs: &Docs,
    settings: Option<&Settings>,
    out: &mut impl Write,
) -> anyhow::Result<ExitCode> {
    match docs {
        Docs::Actions(written) => {
            let settings = settings.context("the settings name the runbook")?;
            let runbook = runbook::load(&settings.runbook).map_err(|faults| {
                anyhow::anyhow!("the runbook has faults\n{}", listing(&faults))
            })?;
            let file = written.file.as_deref().unwrap_or(Path::new("docs/actions.md"));
            let text = actions::page(&runbook)?;
            settle(file, &text, written.check, ("actions", "the runbook"), out)
        }
        Docs::Configuration(written) => {
            let file = written.file.as_deref().unwrap_or(Path::new("docs/configuration.md"));
            let read = std::fs::read_to_string(file);
            let text = read.with_context(|| format!("read {}", file.display()))?;
            let text = with_table(&text).with_context(|| {
                format!("{} lacks one of the lines\n{BEGIN}\n{END}", file.display())
            })?;
            settle(file, &text, written.check, ("configuration", "src/config/defaults.yml"), out)
        }
    }
}

/// Writes the text, or says where the file differs from it.
fn settle(
    file: &Path,
    text: &str,
    only_checks: bool,
    (name, source): (&str, &str),
    out: &mut impl Write,
) -> anyhow::Result<ExitCode> {
    let shown = file.display();
    let there = match std::fs::read_to_string(file) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        read => read.with_context(|| format!("read {shown}"))?,
    };
    if there == text {
        writeln!(out, "{shown} is up to date")?;
        return Ok(ExitCode::SUCCESS);
    }
    if only_checks {
        let same = there.lines().zip(text.lines()).take_while(|(one, two)| one == two).count();
        writeln!(
            out,
            "{shown} is stale from line {} on: {source} says something else now.\n\
             Write it anew: neostock-ops docs {name}\n\
             {shown} 已过时：{source} 已变更。请重新生成：neostock-ops docs {name}",
            same + 1
        )?;
        return Ok(verdict(false));
    }
    std::fs::write(file, text).with_context(|| format!("write {shown}"))?;
    writeln!(out, "wrote {shown}")?;
    Ok(ExitCode::SUCCESS)
}

/// The file with its table as it should be; `None`: it has no place for one.
fn with_table(text: &str) -> Option<String> {
    let (before, rest) = text.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    let mut table = row(["Variable", "Key in the file", "Default", "Meaning"]);
    table.push_str("|---|---|---|---|\n");
    for one in settings::documented() {
        let default = match one.default.as_deref() {
            None => "–".to_owned(),
            Some("[]") => "none".to_owned(),
            Some(value) => code(value),
        };
        let (variable, key) = (code(one.variable), code(one.key));
        table += &row([variable.as_str(), &key, &default, &sentence(&one.meaning)]);
    }
    let mut whole = String::new();
    write!(whole, "{before}{BEGIN}\n\n{table}\n{END}{after}").ok()?;
    Some(whole)
}
