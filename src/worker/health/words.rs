//! What people read when something that the bot needs goes bad, and when it is over.

use crate::clock::Millis;
use crate::core::card::{Card, Part as Block, Span, Tone, text};
use crate::core::duration;
use crate::core::text::Lang;
use crate::vitals::{Part, RESERVE_BYTES};

const MIB: u64 = 1024 * 1024;

/// Where it is.
pub struct Place {
    /// The bot's host.
    pub host: String,
    /// Its data folder.
    pub data_dir: String,
    /// What is free there.
    pub free_bytes: Option<u64>,
}

/// One message; `until_ms`: it is over.
pub fn card(
    part: Part,
    place: &Place,
    since_ms: Millis,
    until_ms: Option<Millis>,
    lang: Lang,
) -> Card {
    let Some(until_ms) = until_ms else { return began(part, place, since_ms, lang) };
    let lasted = spell(until_ms - since_ms);
    let (title, body) = match part {
        Part::Database => (
            lang.pick("数据库恢复了", "The database is back"),
            lang.pick(
                "期间结束的步骤已按证据补记或正在补记；当时没有执行的请求请重新提出。",
                "Steps that ended meanwhile are recorded from their evidence. What was asked for and not \
                 done then must be asked for again.",
            ),
        ),
        Part::Slack => (
            lang.pick("与 Slack 的连接恢复了", "Slack can be reached again"),
            lang.pick(
                "步骤照常执行过；迟到的消息正在按顺序补发，不会丢也不会重复。",
                "Steps went on meanwhile. What could not be told is being told now, in order, once each.",
            ),
        ),
        Part::Disk => (
            lang.pick("磁盘空间够了", "The disk has room again"),
            lang.pick("排队的执行继续开始。", "Queued runs begin again."),
        ),
    };
    let lasted = match lang {
        Lang::Zh => format!("持续 {lasted}，自 "),
        Lang::En => format!("It took {lasted}, from "),
    };
    let line = vec![
        text(lasted),
        Span::Time(since_ms),
        text(lang.pick(" 到 ", " to ")),
        Span::Time(until_ms),
        text(lang.pick("。", ". ")),
        text(body),
    ];
    Card {
        summary: format!("✅ {title}"),
        tone: Tone::Good,
        parts: vec![Block::Header(title.to_owned()), Block::Paragraph(line)],
    }
}

fn began(part: Part, place: &Place, since_ms: Millis, lang: Lang) -> Card {
    let reserve = RESERVE_BYTES / MIB;
    let free = place.free_bytes.map_or_else(|| "?".to_owned(), |bytes| (bytes / MIB).to_string());
    let (title, body) = match (part, lang) {
        (Part::Database, Lang::Zh) => (
            "机器人的数据库连不上",
            "正在执行的步骤不受影响，结束后按证据补记；新的请求现在一律不执行。请恢复数据库，机器人会自己接上。".to_owned(),
        ),
        (Part::Database, Lang::En) => (
            "The bot's database cannot be reached",
            "Steps that run go on, and are recorded from their evidence afterwards. Nothing new is done. \
             Bring the database back; the bot goes on by itself."
                .to_owned(),
        ),
        (Part::Slack, Lang::Zh) => ("连不上 Slack", String::new()),
        (Part::Slack, Lang::En) => ("Slack cannot be reached", String::new()),
        (Part::Disk, Lang::Zh) => (
            "磁盘空间不足，新的执行不会开始",
            format!(
                "{} 只剩 {free} MiB，低于保留的 {reserve} MiB。正在执行的继续；新的请求会被拒绝，排队的等到有空间再开始。请清理磁盘。",
                place.data_dir
            ),
        ),
        (Part::Disk, Lang::En) => (
            "The disk is low: no new run begins",
            format!(
                "{} has {free} MiB left, less than the reserve of {reserve} MiB. What runs goes on; new \
                 requests are refused, and queued runs begin when there is room. Make room there.",
                place.data_dir
            ),
        ),
    };
    let line = vec![text(body)];
    let context = vec![
        text(lang.pick("主机 ", "Host ")),
        Span::Code(place.host.clone()),
        text(lang.pick("，自 ", ", since ")),
        Span::Time(since_ms),
    ];
    Card {
        summary: format!("🚨 {title}"),
        tone: Tone::Bad,
        parts: vec![
            Block::Header(title.to_owned()),
            Block::Paragraph(line),
            Block::Context(context),
        ],
    }
}

/// A span of time as people say it, to the second.
fn spell(ms: Millis) -> String {
    let secs = u64::try_from(ms).unwrap_or(0).div_ceil(1_000);
    match secs {
        0..=119 => duration::spell(secs * 1_000),
        120..=7_199 => duration::spell(secs / 60 * 60_000),
        _ => duration::spell(secs / 3_600 * 3_600_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_rounded_to_what_people_say() {
        let spelled = [900, 61_000, 130_000, 3_700_000, 90_000_000].map(spell);

        assert_eq!(spelled, ["1s", "61s", "2m", "61m", "25h"]);
    }
}
