//! `compliance [30d]`: posts the compliance report into the operations channel.

use super::filter::{invalid, once, take_named};
use super::{Context, Spec, answer_with, ephemeral, refusal, refusal_detail, text, with_code};
use crate::core::card::{Card, Part, Span, Tone};
use crate::core::compliance::{Posting, WINDOW_DEFAULT_MS, WINDOW_MS_MAX, WINDOW_MS_MIN};
use crate::core::duration;
use crate::core::param::{ArgumentFault, narrow_word};
use crate::core::policy::Authorized;
use crate::core::text::{Lang, Text};
use crate::core::words::Words;
use crate::engine::{Asked, Error};
use crate::store::compliance::{facts, is_connection_encrypted};
use serde_json::json;

/// How it is asked for.
pub const SPEC: Spec = Spec {
    name: "compliance",
    usage: "[30d]",
    example: "compliance 30d",
    zh: "在运维频道公布合规报告：规则、使用、绕过、日志、加密、恢复测试",
    en: "Post the compliance report: rules, use, bypasses, journal, encryption, restore tests",
};

/// A report that is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compliance {
    /// How far it looks back.
    pub window_ms: u64,
}

/// Reads the words after the verb.
pub fn parse(words: &mut Words<'_>) -> Result<Compliance, ArgumentFault> {
    let mut window_ms = None;
    while !words.is_empty() {
        let named = take_named(words, &["window", "since"])?;
        let value = match named {
            Some((_, value)) => value,
            None => words.take().map(|word| word.text).unwrap_or_default(),
        };
        once(&mut window_ms, "window", window(&value)?)?;
    }
    Ok(Compliance { window_ms: window_ms.unwrap_or(WINDOW_DEFAULT_MS) })
}

fn window(value: &str) -> Result<u64, ArgumentFault> {
    let ms = duration::parse(&narrow_word(value));
    ms.filter(|ms| (WINDOW_MS_MIN..=WINDOW_MS_MAX).contains(ms)).ok_or_else(|| {
        let words = Text::new("1h 到 366d 之间的时长，如 30d", "from 1h to 366d, such as 30d");
        invalid("window", value, &words)
    })
}

/// Posts the report.
pub async fn run(
    compliance: Compliance,
    context: &Context<'_>,
    by: &Authorized,
    asked: Asked,
) -> Result<String, Error> {
    let (engine, runbook, lang) = (context.engine, context.runbook, context.lang);
    let Some(channel) = runbook.operations_channel().cloned() else {
        let words = lang.pick(
            "操作手册没有环境，也就没有可以公布的频道。请在 `environments` 中写明一个。",
            "The runbook has no environment and so no channel to post in: write one into `environments`.",
        );
        let detail = refusal_detail(&asked, "no_channel");
        return answer_with(context, asked, "request.refused", detail, &refusal(with_code(words)))
            .await;
    };
    let until_ms = engine.clock().now_ms();
    let since_ms = until_ms.saturating_sub_unsigned(compliance.window_ms);
    let is_encrypted = is_connection_encrypted(engine.store()).await?;
    let protection = context.declared.look(runbook, is_encrypted);
    let span = (since_ms, until_ms);
    let facts = facts(engine.store(), runbook, protection, span, asked.actor.to_string()).await?;
    let window = duration::spell(compliance.window_ms);
    let detail = json!({
        "text": asked.text, "channel": asked.channel, "window": window, "since_ms": since_ms,
        "until_ms": until_ms, "posted_in": channel.to_string(), "runbook": runbook.digest,
    });
    let said = vec![
        text(match lang {
            Lang::Zh => format!("最近 {window} 的合规报告正在发到 "),
            Lang::En => format!("The compliance report on the last {window} is being posted in "),
        }),
        Span::Channel(channel.clone()),
        text(lang.pick("，各章在它的消息列中。", "; its chapters are in the thread.")),
    ];
    let summary = lang.pick("合规报告", "Compliance report").to_owned();
    let card = Card { summary, tone: Tone::Neutral, parts: vec![Part::Paragraph(said)] };
    let report = facts.report(runbook.language);
    let posting = Posting { channel, report, answer: ephemeral(&card), detail };
    engine.post_report(asked, by, posting).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_is_a_duration_of_an_hour_to_a_year() {
        let read = |text| parse(&mut Words::read(text).unwrap()).map(|one| one.window_ms);
        for (typed, days) in [("", 30), ("7d", 7), ("since 2d", 2), ("window=366d", 366)] {
            assert_eq!(read(typed).unwrap(), days * 86_400_000, "{typed}");
        }
        for typed in ["30", "59m", "367d", "7d 8d", "all"] {
            assert!(read(typed).is_err(), "{typed}");
        }
    }
}
