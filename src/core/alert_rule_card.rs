//! What people see of rules that cannot be evaluated: one message as long as there is one, edited as
//! they come and go, and a line in its thread for each that joins it and when none is left.

use super::alert_rule::Why;
use super::card::{Card, Part, Span, Tone, text};
use super::text::Lang;

/// Rules that a message lists; more are counted.
const LISTED_MAX: usize = 20;

/// A rule that cannot be evaluated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unknown {
    /// Its name.
    pub name: String,
    /// Why.
    pub why: Option<Why>,
    /// Whether its alert stands all the same.
    pub is_firing: bool,
}

/// The message: what cannot be evaluated now; with nothing left, that it is over.
pub fn unknown_card(environment: &str, unknown: &[Unknown], lang: Lang) -> Card {
    if unknown.is_empty() {
        let title = lang.pick("告警规则恢复正常评估", "All alert rules can be evaluated again");
        return Card {
            summary: format!("🟢 {title}"),
            tone: Tone::Good,
            parts: vec![Part::Header(title.to_owned()), place(environment, lang)],
        };
    }
    let title = match lang {
        Lang::Zh => format!("{} 条告警规则无法评估", unknown.len()),
        Lang::En if unknown.len() == 1 => "An alert rule cannot be evaluated".to_owned(),
        Lang::En => format!("{} alert rules cannot be evaluated", unknown.len()),
    };
    let mut parts = vec![Part::Header(title.clone()), place(environment, lang)];
    parts.extend(unknown.iter().take(LISTED_MAX).map(|one| Part::Paragraph(line(one, lang))));
    let more = unknown.len().saturating_sub(LISTED_MAX);
    if more > 0 {
        parts.push(Part::Paragraph(vec![text(match lang {
            Lang::Zh => format!("……另有 {more} 条"),
            Lang::En => format!("… and {more} more"),
        })]));
    }
    parts.push(Part::Context(vec![text(lang.pick(
        "这段时间里它们不会触发，也不会恢复。请检查 Prometheus 与被监控的服务。",
        "Until then they neither fire nor end. Look at Prometheus and at what it scrapes.",
    ))]));
    Card { summary: format!("⚪ {title}"), tone: Tone::Warning, parts }
}

/// A line in the thread: another one joins.
pub fn joined_card(one: &Unknown, lang: Lang) -> Card {
    let title = lang.pick("又一条规则无法评估：", "Another rule cannot be evaluated: ");
    let summary = format!("⚪ {title}{}", one.name);
    Card { summary, tone: Tone::Warning, parts: vec![Part::Paragraph(line(one, lang))] }
}

/// A line in the thread: none is left.
pub fn over_card(lang: Lang) -> Card {
    let words = lang.pick("所有告警规则都能评估了。", "All alert rules can be evaluated again.");
    Card {
        summary: format!("🟢 {words}"),
        tone: Tone::Good,
        parts: vec![Part::Paragraph(vec![text(words)])],
    }
}

fn place(environment: &str, lang: Lang) -> Part {
    let word = lang.pick("环境 ", "Environment ");
    Part::Paragraph(vec![text(word), Span::Code(environment.to_owned())])
}

fn line(one: &Unknown, lang: Lang) -> Vec<Span> {
    let mut spans = vec![Span::Code(one.name.clone())];
    if let Some(why) = &one.why {
        let words = why.words();
        spans.push(text(format!("{}{}", lang.pick("：", ": "), lang.pick(&words.zh, &words.en))));
    }
    if one.is_firing {
        spans.push(text(lang.pick("（它的告警仍然有效）", " (its alert stands)")));
    }
    spans
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::text::Text;

    #[test]
    fn the_message_says_which_rules_why_and_that_nothing_ends_meanwhile() {
        let unknown = [
            Unknown { name: "error_rate".to_owned(), why: Some(Why::Empty), is_firing: true },
            Unknown {
                name: "cpu".to_owned(),
                why: Some(Why::Failed(Text::same("<!channel>"))),
                is_firing: false,
            },
        ];
        for (lang, expected) in [
            (Lang::Zh, ["2 条告警规则无法评估", "没有这项数据", "仍然有效", "不会恢复"]),
            (
                Lang::En,
                ["2 alert rules cannot be", "no such series", "its alert stands", "nor end"],
            ),
        ] {
            let card = format!("{:?}", unknown_card("production", &unknown, lang));
            for words in expected {
                assert!(card.contains(words), "{words} in {card}");
            }
            // Words from outside are text, which the renderer escapes.
            assert!(card.contains("Text(\""), "{card}");
            let joined = format!("{:?}", joined_card(&unknown[1], lang));
            assert!(joined.contains("cpu"), "{joined}");
            let over = unknown_card("production", &[], lang);
            assert_eq!(over.tone, Tone::Good);
            assert_eq!(over_card(lang).tone, Tone::Good);
        }
    }

    #[test]
    fn a_long_list_is_cut_and_counted() {
        let one = |index| Unknown { name: format!("r{index}"), why: None, is_firing: false };
        let many: Vec<Unknown> = (0..25).map(one).collect();
        let card = format!("{:?}", unknown_card("production", &many, Lang::En));
        assert!(card.contains("and 5 more") && !card.contains("r20"), "{card}");
    }
}
