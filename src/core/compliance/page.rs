//! Groups of facts as cards, within what one message holds.

use crate::core::card::{Card, Line, Part, Span, Tone, text};
use crate::core::text::Lang;

/// Letters of a paragraph, counted as they are escaped; the renderer cuts at three thousand.
const PARAGRAPH_UNITS_MAX: usize = 2_500;
/// Formatting around a piece of a line, at most: that of a moment.
const SPAN_UNITS: usize = 80;

/// Facts of one kind, and where they come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Group {
    title: String,
    source: String,
    lines: Vec<Line>,
    more: u64,
}

impl Group {
    /// One without facts yet.
    pub(super) fn new(title: &str, source: &str) -> Self {
        let (title, source) = (title.to_owned(), source.to_owned());
        Self { title, source, lines: Vec::new(), more: 0 }
    }

    /// Adds a fact.
    pub(super) fn push(&mut self, line: Line) {
        self.lines.push(line);
    }

    /// Says that there are more than are listed.
    pub(super) fn and_more(mut self, more: u64) -> Self {
        self.more = more;
        self
    }

    /// Adds facts.
    pub(super) fn with(mut self, lines: impl IntoIterator<Item = Line>) -> Self {
        self.lines.extend(lines);
        self
    }
}

/// One card of several groups.
pub(super) fn card(title: &str, groups: Vec<Group>, lang: Lang) -> Card {
    let mut parts = vec![Part::Header(title.to_owned())];
    parts.extend(groups.into_iter().flat_map(|group| paragraphs(group, lang)));
    Card { summary: title.to_owned(), tone: Tone::Neutral, parts }
}

fn paragraphs(group: Group, lang: Lang) -> Vec<Part> {
    let Group { title, source, mut lines, more } = group;
    if lines.is_empty() {
        lines.push(vec![text(lang.pick("没有", "none"))]);
    }
    if more > 0 {
        lines.push(vec![text(match lang {
            Lang::Zh => format!("另有 {more} 项"),
            Lang::En => format!("and {more} more"),
        })]);
    }
    let mut paragraph = vec![Span::Bold(title), text(format!(" · {source}"))];
    let mut parts = Vec::new();
    for line in lines {
        if units(&paragraph) + units(&line) > PARAGRAPH_UNITS_MAX {
            parts.push(Part::Paragraph(std::mem::take(&mut paragraph)));
        }
        paragraph.push(text(if paragraph.is_empty() { "• " } else { "\n• " }));
        paragraph.extend(line);
    }
    parts.push(Part::Paragraph(paragraph));
    parts
}

fn units(line: &Line) -> usize {
    let escaped = |words: &str| {
        let letter = |letter| match letter {
            '&' | '<' | '>' => 5,
            other => char::len_utf16(other),
        };
        words.chars().map(letter).sum::<usize>()
    };
    line.iter()
        .map(|span| match span {
            Span::Text(words) | Span::Bold(words) | Span::Code(words) => 4 + escaped(words),
            _ => SPAN_UNITS,
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_facts_go_over_several_paragraphs_and_none_is_cut() {
        let lines = (0..60).map(|number| vec![text(format!("<{number}> {}", "&".repeat(60)))]);
        let group = Group::new("Facts", "the test").with(lines).and_more(7);

        let parts = card("Title", vec![group], Lang::En).parts;

        let shown: Vec<&Line> = parts
            .iter()
            .filter_map(|part| match part {
                Part::Paragraph(line) => Some(line),
                _ => None,
            })
            .collect();
        assert!(shown.len() > 4 && shown.len() < 20, "{}", shown.len());
        assert!(shown.iter().all(|line| units(line) < 3_000));
        let all = format!("{shown:?}");
        assert!(all.contains("<0> ") && all.contains("<59> ") && all.contains("and 7 more"));
    }
}
