//! The compliance report for a terminal: the same facts and cards as in chat, as plain text.

use super::export;
use crate::config::protection::Declared;
use crate::core::action::Runbook;
use crate::core::compliance::KIND_REPORTED;
use crate::core::text::Lang;
use crate::slack::plain::plain;
use crate::slack::render::render;
use crate::store::compliance::{facts, is_connection_encrypted};
use crate::store::{Error, Store};
use serde_json::json;

/// The report on the last `window_ms`, written into the journal before anybody reads it.
///
/// # Errors
/// The database's; then nothing may be shown.
pub async fn compliance(
    store: &Store,
    (runbook, declared): (&Runbook, &Declared),
    window_ms: u64,
    by: &str,
    lang: Lang,
) -> Result<String, Error> {
    let until_ms = store.clock().now_ms();
    let since_ms = until_ms.saturating_sub_unsigned(window_ms);
    let protection = declared.look(runbook, is_connection_encrypted(store).await?);
    let span = (since_ms, until_ms);
    let report = facts(store, runbook, protection, span, by.to_owned()).await?.report(lang);
    let detail = json!({
        "window": crate::core::duration::spell(window_ms), "since_ms": since_ms,
        "until_ms": until_ms, "runbook": runbook.digest, "sha256": report.digest(),
    });
    export::journal(store, by, KIND_REPORTED, detail).await?;
    let cards = [&report.head].into_iter().chain(&report.sections);
    Ok(cards.map(|card| plain(&render(card)).text + "\n").collect::<Vec<_>>().join("\n"))
}
