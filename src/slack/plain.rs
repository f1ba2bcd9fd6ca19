//! Our own rendered messages as plain text, for a terminal: the other end of `mrkdwn`.
//!
//! Mentions and links become words, escapes become letters, and whatever could steer a terminal is shown
//! as an escape. Buttons are handed back for whoever knows what they stand for.

use super::render::Rendered;
use crate::core::table::visible;
use serde_json::Value;

/// Stands for a divider.
const RULE: &str = "────────";
/// What `mrkdwn` puts beside formatting; it is not seen.
const ZERO_WIDTH_SPACE: char = '\u{200b}';

/// A message as a terminal shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plain {
    /// Lines, without a newline at the end.
    pub text: String,
    /// What a button says, its action and its value.
    pub buttons: Vec<(String, String, String)>,
}

/// A rendered message as plain text; without blocks, its summary.
pub fn plain(rendered: &Rendered) -> Plain {
    // Blocks are strings and numbers: they always serialize.
    let blocks = serde_json::to_value(&rendered.blocks).unwrap_or_default();
    let mut buttons = Vec::new();
    let mut shown: Vec<String> = Vec::new();
    for block in blocks.as_array().into_iter().flatten() {
        let text = match block["type"].as_str() {
            Some("divider") => RULE.to_owned(),
            Some("actions") => {
                buttons.extend(list(&block["elements"]).filter_map(button));
                continue;
            }
            Some("context") => {
                list(&block["elements"]).filter_map(text_of).collect::<Vec<_>>().join("\n")
            }
            _ => {
                let text = text_of(&block["text"]);
                let fields = list(&block["fields"]).filter_map(text_of);
                let fields = fields.map(|field| field.replacen('\n', ": ", 1));
                text.into_iter().chain(fields).collect::<Vec<_>>().join("\n")
            }
        };
        shown.push(text);
    }
    if shown.is_empty() {
        shown.push(words(&rendered.text));
    }
    Plain { text: shown.join("\n"), buttons }
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn button(element: &Value) -> Option<(String, String, String)> {
    let label = safe(element["text"]["text"].as_str()?);
    let value = element["value"].as_str().unwrap_or_default().to_owned();
    Some((label, element["action_id"].as_str()?.to_owned(), value))
}

fn text_of(object: &Value) -> Option<String> {
    let text = object["text"].as_str()?;
    match object["type"].as_str() {
        Some("mrkdwn") => Some(words(text)),
        _ => Some(safe(text)),
    }
}

/// Mrkdwn as words.
fn words(mrkdwn: &str) -> String {
    let mut out = String::with_capacity(mrkdwn.len());
    let mut rest = mrkdwn;
    while let Some(start) = rest.find('<') {
        out.push_str(&letters(&rest[..start]));
        // A `<` of somebody's text is escaped: this one opens a token of ours.
        let Some(end) = rest[start..].find('>') else { break };
        out.push_str(&token(&rest[start + 1..start + end]));
        rest = &rest[start + end + 1..];
    }
    out.push_str(&letters(rest));
    safe(&out)
}

/// What stands between `<` and `>`.
fn token(inside: &str) -> String {
    let (target, label) = match inside.split_once('|') {
        Some((target, label)) => (target, letters(label)),
        None => (inside, String::new()),
    };
    if let Some(group) = target.strip_prefix("!subteam^") {
        return format!("@{group}");
    }
    if target.starts_with("!date^") {
        return label;
    }
    match target.strip_prefix('!') {
        Some(everybody) => format!("@{everybody}"),
        None if target.starts_with(['@', '#']) => target.to_owned(),
        None if label.is_empty() => letters(target),
        // `oncall@example.com (mailto:oncall@example.com)` tells nobody more.
        None if target.starts_with("tel:") || target == format!("mailto:{label}") => label,
        None => format!("{label} ({})", letters(target)),
    }
}

fn letters(escaped: &str) -> String {
    escaped.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
}

/// What a terminal cannot be steered with; lines stay lines.
fn safe(text: &str) -> String {
    let lines = text.split('\n').map(|line| {
        let line: String = line.chars().filter(|letter| *letter != ZERO_WIDTH_SPACE).collect();
        visible(&line.replace('\t', "    "))
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::super::render::render;
    use super::*;
    use crate::core::card::{Button, ButtonStyle, Card, Part, Span, Tone};
    use crate::core::id::{ChannelId, UserId};
    use proptest::prelude::*;

    fn card(parts: Vec<Part>) -> Card {
        Card { summary: "summary".into(), tone: Tone::Warning, parts }
    }

    fn shown(parts: Vec<Part>) -> String {
        plain(&render(&card(parts))).text
    }

    #[test]
    fn a_number_and_an_address_are_shown_once() {
        let link = |url: &str, label: &str| {
            let span = Span::Link { url: url.into(), label: label.into() };
            shown(vec![Part::Paragraph(vec![span])])
        };
        let said = link("tel:+861055500100", "+86 10 5550 0100");
        assert!(said.contains("+86 10 5550 0100") && !said.contains("tel:"), "{said}");
        let said = link("mailto:a@example.com", "a@example.com");
        assert_eq!(said.matches("a@example.com").count(), 1, "{said}");
        let said = link("mailto:a@example.com", "Ann");
        assert!(said.contains("Ann (mailto:a@example.com)"), "{said}");
    }

    #[test]
    fn a_card_reads_as_text_and_its_buttons_are_handed_back() {
        let press = Button {
            label: "Approve".into(),
            action: "approve".into(),
            value: "R-1 d".into(),
            style: ButtonStyle::Primary,
            confirm: None,
        };
        let line = vec![
            Span::Bold("Ask".into()),
            Span::Text(" <b> & ".into()),
            Span::User(UserId::new("U1")),
            Span::Text(" ".into()),
            Span::Group("S1".into()),
            Span::Channel(ChannelId::new("C1")),
            Span::Code("x < y".into()),
            Span::Time(1_795_489_200_000),
            Span::Link { url: "https://a.example/?b=1&c=2".into(), label: "there".into() },
            Span::Here,
        ];
        let fields = vec![("Environment".to_owned(), vec![Span::Code("production".into())])];
        let parts = vec![
            Part::Header("Title".into()),
            Part::Paragraph(line),
            Part::Fields(fields),
            Part::Divider,
            Part::Output("one\ttwo\nthree".into()),
            Part::Context(vec![Span::Text("small".into())]),
            Part::Buttons(vec![press]),
        ];

        let read = plain(&render(&card(parts)));

        assert_eq!(
            read.text,
            "🟡 Title\n*Ask* <b> & @U1 @S1#C1`x < y`2026-11-24 03:00:00 UTC\
             there (https://a.example/?b=1&c=2)@here\n*Environment*: `production`\n────────\n```\none    \
             two\nthree\n```\nsmall"
        );
        let expected = ("Approve".to_owned(), "approve".to_owned(), "R-1 d".to_owned());
        assert_eq!(read.buttons, [expected]);
    }

    #[test]
    fn a_card_without_parts_reads_as_its_summary() {
        assert_eq!(shown(Vec::new()), "summary");
    }

    proptest! {
        #[test]
        fn no_text_steers_a_terminal_and_none_becomes_a_mention(text: String) {
            let parts = vec![
                Part::Header(text.clone()),
                Part::Paragraph(vec![Span::Text(text.clone()), Span::Code(text.clone())]),
                Part::Output(text),
            ];
            let read = shown(parts);
            prop_assert!(read.chars().all(|letter| letter == '\n' || !letter.is_control()), "{:?}", read);
        }

        #[test]
        fn a_plain_text_reads_back(text in "[a-zA-Z0-9 &<>@#!|.,]{1,80}") {
            let read = plain(&render(&card(vec![Part::Context(vec![Span::Text(text.clone())])])));
            prop_assert_eq!(read.text.trim(), if text.trim().is_empty() { "summary" } else { text.trim() });
        }
    }
}
