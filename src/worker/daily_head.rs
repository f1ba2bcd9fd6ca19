//! Posts the journal's head once a day into the operations channel: a head that stands in Slack is an
//! anchor that nobody can change through the database.

use super::health::operations_channel;
use crate::clock::Millis;
use crate::core::action::Runbook;
use crate::core::card::{Card, Part, Span, Tone, text};
use crate::core::journal::Anchor;
use crate::core::text::Lang;
use crate::engine::{DailyHead, Engine};
use crate::vitals::Part as Needed;
use std::sync::Arc;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

const DAY_MS: Millis = 86_400_000;
/// When it is posted: 01:00 UTC, which is nine in the morning in China.
pub const HEAD_POSTED_AT_MS: Millis = 3_600_000;
/// Between two tries while it cannot be written.
const AGAIN_AFTER_MS: Millis = 10_000;

/// Posts each day's head until it is told to stop.
///
/// # Errors
/// None: what cannot be written is tried again.
pub async fn post_daily(
    engine: Engine,
    runbook: watch::Receiver<Arc<Runbook>>,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    loop {
        let now_ms = engine.clock().now_ms();
        let day = (now_ms - HEAD_POSTED_AT_MS).div_euclid(DAY_MS);
        let is_done = if engine.vitals().is_good(Needed::Database) {
            let current = runbook.borrow().clone();
            post(&engine, &current, day).await
        } else {
            false
        };
        let next_ms = if is_done { due_ms(day + 1) } else { now_ms + AGAIN_AFTER_MS };
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = engine.clock().sleep_until(next_ms) => {}
        }
    }
}

fn due_ms(day: i64) -> Millis {
    day * DAY_MS + HEAD_POSTED_AT_MS
}

/// Whether nothing is left to do for this day.
async fn post(engine: &Engine, runbook: &Runbook, day: i64) -> bool {
    let Some(channel) = operations_channel(runbook) else { return true };
    let lang = runbook.language;
    let card = Box::new(move |head: &Anchor| card(head, lang));
    let post = DailyHead { day, due_ms: due_ms(day), channel: channel.clone(), card };
    match engine.post_head(post).await {
        Ok(is_posted) => {
            if is_posted {
                info!("posted the journal's head of today");
            }
            true
        }
        Err(failure) => {
            warn!("post the journal's head: {failure:#}");
            false
        }
    }
}

fn card(head: &Anchor, lang: Lang) -> Card {
    let title = lang.pick("今天的审计日志头", "The journal's head of today");
    let why = lang.pick(
        "它留在这里，能写数据库的人改不到。以后在主机上运行 ",
        "Here nobody who can write the database changes it. Later, on the host, ",
    );
    let proves = lang.pick(
        "，就能证明到这一条为止的日志没有被改写或截断。",
        " proves that the journal up to this entry was not rewritten or cut.",
    );
    Card {
        summary: format!("🔗 {title}"),
        tone: Tone::Neutral,
        parts: vec![
            Part::Header(title.to_owned()),
            Part::Paragraph(vec![Span::Code(head.to_string())]),
            Part::Context(vec![
                text(why),
                Span::Code(format!("neostock-ops audit verify --anchor {head}")),
                text(proves),
            ]),
        ],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_says_what_it_is_good_for_in_both_languages() {
        let head = Anchor { seq: 7, hash: "ab".repeat(32) };
        for (lang, words) in
            [(Lang::Zh, "没有被改写或截断"), (Lang::En, "was not rewritten or cut")]
        {
            let card = format!("{:?}", card(&head, lang));
            assert!(card.contains(words), "{card}");
            assert!(card.contains(&format!("audit verify --anchor {head}")), "{card}");
        }
    }

    #[test]
    fn a_day_is_due_at_its_hour() {
        // 2026-11-24 03:00 UTC.
        let now_ms = 1_795_489_200_000;
        let day = (now_ms - HEAD_POSTED_AT_MS).div_euclid(DAY_MS);
        assert_eq!(due_ms(day), now_ms - 2 * 3_600_000);
        assert_eq!(due_ms(day + 1), now_ms + 22 * 3_600_000);
    }
}
