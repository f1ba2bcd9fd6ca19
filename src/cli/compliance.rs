//! `compliance`: the compliance report at the command line. Needs no Slack; it writes one entry first.

use super::audit::{attend, by, done};
use neostock_ops::audit;
use neostock_ops::config::fault::listing;
use neostock_ops::config::protection::Declared;
use neostock_ops::config::settings::{self, Settings};
use neostock_ops::core::compliance::{WINDOW_MS_MAX, WINDOW_MS_MIN};
use neostock_ops::core::text::Lang;
use std::io::Write;
use std::process::ExitCode;

/// How far to look back.
pub fn window(text: &str) -> Result<u64, String> {
    let ms = neostock_ops::core::param::duration_ms(text);
    ms.filter(|ms| (WINDOW_MS_MIN..=WINDOW_MS_MAX).contains(ms))
        .ok_or_else(|| "a duration from 1h to 366d, such as 30d".to_owned())
}

/// Prints the report.
pub async fn run(settings: Settings, window: u64, lang: Option<Lang>) -> anyhow::Result<ExitCode> {
    let runbook = neostock_ops::config::runbook::load(&settings.runbook)
        .map_err(|faults| anyhow::anyhow!(listing(&faults)))?;
    let lang = lang.or_else(settings::language).unwrap_or(runbook.language);
    let store = attend(&settings).await?;
    let of = (&runbook, &Declared::of(&settings));
    let report = audit::compliance(&store, of, window, &by(), lang).await?;
    write!(std::io::stdout(), "{report}")?;
    done(&store).await
}
