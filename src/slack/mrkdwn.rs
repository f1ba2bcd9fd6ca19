//! Text for Slack: cleaned, escaped, cut to a length, formatting kept where we meant it and nowhere
//! else.
//!
//! Lengths are UTF-16 units, the largest of the ways in which Slack may count. What happens to a text
//! that came from outside:
//! - control characters, terminal sequences and bidirectional overrides are removed;
//! - `&`, `<` and `>` become entities, so nothing in it can mention or link;
//! - a backtick becomes `ˋ` (U+02CB), and a `*`, `_` or `~` that Slack would take for the start of
//!   formatting becomes its look-alike `∗`, `ˍ`, `∼`. Elsewhere they stay: `snake_case`, `~/bin` and
//!   `*/5 * * * *` can be copied;
//! - a cut never splits an entity, a mention or a link, and is marked with `…`.

use crate::core::card::Span;
use crate::core::run_card::clock_time;
use std::iter::Peekable;
use std::str::Chars;
use url::Url;

/// Marks a cut.
const CUT: char = '…';
/// Separates formatting from a letter beside it: between Chinese characters Slack sees no word
/// boundary and would show the asterisks.
const ZERO_WIDTH_SPACE: char = '\u{200b}';
/// Characters of an unfinished terminal sequence that are looked at.
const SEQUENCE_CHARS_MAX: usize = 256;
/// Longest address that becomes a link.
const URL_UNITS_MAX: usize = 2_000;
/// Longest label of a link.
const LABEL_UNITS_MAX: usize = 300;
/// Longest id in a mention.
const ID_CHARS_MAX: usize = 32;
/// Around a program's output.
const FENCE: &str = "```";
/// Room for the line that says how many lines are missing.
const NOTE_UNITS_MAX: usize = 80;

/// How Slack's longest way of counting counts.
pub fn units(text: &str) -> usize {
    text.chars().map(char::len_utf16).sum()
}

/// The spans as mrkdwn of at most `units_max`; `None` when nothing would be seen.
pub fn line(spans: &[Span], units_max: usize) -> Option<String> {
    let pieces = pieces(spans);
    let mut whole = Writer::new(units_max);
    let written = if whole.write_all(&pieces).is_ok() {
        whole.text
    } else {
        let mut part = Writer::new(units_max.saturating_sub(1));
        let _ = part.write_all(&pieces);
        part.text.push(CUT);
        part.text
    };
    (!is_blank(&written)).then_some(written)
}

/// One line for a `plain_text` object, where Slack knows no entities for sure: `<` and `>` become
/// `‹` and `›`. `None` when nothing would be seen.
pub fn plain(text: &str, units_max: usize) -> Option<String> {
    let clean: String = clean(text)
        .chars()
        .map(|letter| match letter {
            '\n' | '\t' => ' ',
            '<' => '‹',
            '>' => '›',
            other => other,
        })
        .collect();
    let cut = cut(clean.trim(), units_max);
    (!is_blank(&cut)).then_some(cut)
}

/// A program's output between fences, at most `units_max`: the last lines when it is too long, with
/// a first line that says how many are missing. `None` when nothing would be seen.
pub fn output(text: &str, units_max: usize) -> Option<String> {
    let clean = clean(text);
    let body = clean.trim_end();
    if is_blank(body) {
        return None;
    }
    let room = units_max.saturating_sub(2 * FENCE.len() + 2);
    let lines: Vec<String> = body.split('\n').map(fenced).collect();
    let total = lines.iter().map(|line| units(line) + 1).sum::<usize>() - 1;
    if total <= room {
        return Some(format!("{FENCE}\n{}\n{FENCE}", lines.join("\n")));
    }
    let room = room.saturating_sub(NOTE_UNITS_MAX);
    let mut used = 0;
    let kept = lines.iter().rev().take_while(|line| {
        used += units(line) + 1;
        used <= room
    });
    let kept = kept.count();
    let left_out = lines.len() - kept.max(1);
    let tail = match kept {
        0 => tail_of(body.rsplit('\n').next().unwrap_or_default(), room),
        _ => lines[lines.len() - kept..].join("\n"),
    };
    let note = match left_out {
        0 => String::new(),
        lines => format!("{CUT} {lines} earlier lines · 前 {lines} 行略\n"),
    };
    Some(format!("{FENCE}\n{note}{tail}\n{FENCE}"))
}

/// Without control characters (but `\n` and `\t`), terminal sequences, and characters that turn the
/// direction of text; every line end is `\n`.
pub fn clean(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '\u{1b}' => skip_sequence(&mut letters),
            '\r' if letters.peek() == Some(&'\n') => {}
            '\r' | '\u{2028}' | '\u{2029}' => out.push('\n'),
            '\n' | '\t' => out.push(letter),
            '\u{61c}'
            | '\u{200e}'
            | '\u{200f}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2066}'..='\u{2069}' => {}
            control if control.is_control() => {}
            other => out.push(other),
        }
    }
    out
}

/// At most `units_max`, a cut marked.
fn cut(text: &str, units_max: usize) -> String {
    if units(text) <= units_max {
        return text.to_owned();
    }
    let mut used = CUT.len_utf16();
    let fits = |letter: &char| {
        used += letter.len_utf16();
        used <= units_max
    };
    let mut kept: String = text.chars().take_while(fits).collect();
    kept.truncate(kept.trim_end().len());
    kept.push(CUT);
    kept
}

/// Slack refuses texts that are empty, and people cannot read those that look so.
fn is_blank(text: &str) -> bool {
    text.chars().all(|letter| {
        letter.is_whitespace()
            || matches!(
                letter,
                '\u{ad}' | '\u{200b}'..='\u{200d}' | '\u{2060}' | '\u{3164}' | '\u{feff}'
            )
    })
}

/// Skips what follows an escape character: `[…m` and the like, or a `]…` that ends.
fn skip_sequence(letters: &mut Peekable<Chars<'_>>) {
    let mut ahead = letters.clone();
    let ended = match ahead.next() {
        Some('[') => ahead
            .by_ref()
            .take(SEQUENCE_CHARS_MAX)
            .find(|letter| !matches!(letter, ' '..='?'))
            .is_some_and(|last| matches!(last, '@'..='~')),
        Some(']') => {
            let last = ahead
                .by_ref()
                .take(SEQUENCE_CHARS_MAX)
                .find(|letter| matches!(letter, '\u{7}' | '\u{1b}' | '\n'));
            match last {
                Some('\u{7}') => true,
                Some('\u{1b}') => ahead.next() == Some('\\'),
                _ => false,
            }
        }
        _ => false,
    };
    // An unfinished one loses only its escape character, so that no output can hide itself.
    if ended {
        *letters = ahead;
    }
}

/// A part of a line on its way to Slack.
enum Piece {
    /// Cleaned text, not escaped yet; with the mark that stands around it.
    Text(Option<char>, String),
    /// Ready markup that is never split.
    Token(String),
}

fn pieces(spans: &[Span]) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut plain = String::new();
    for span in spans {
        if let Span::Text(text) = span {
            plain.push_str(text);
            continue;
        }
        if !plain.is_empty() {
            pieces.push(Piece::Text(None, defused(&clean(&plain))));
            plain.clear();
        }
        pieces.push(piece(span));
    }
    if !plain.is_empty() {
        pieces.push(Piece::Text(None, defused(&clean(&plain))));
    }
    pieces
}

fn piece(span: &Span) -> Piece {
    match span {
        Span::Text(text) => Piece::Text(None, defused(&clean(text))),
        Span::Bold(text) => Piece::Text(Some('*'), defused(&one_line(text)).replace('*', "∗")),
        Span::Code(text) => Piece::Text(Some('`'), one_line(text).replace('`', "ˋ")),
        Span::User(user) => mention("<@", user.as_str(), &['U', 'W']),
        Span::Channel(channel) => mention("<#", channel.as_str(), &['C', 'D', 'G']),
        Span::Group(group) => mention("<!subteam^", group, &['S']),
        Span::Here => Piece::Token("<!here>".into()),
        Span::Time(at_ms) => time(*at_ms),
        Span::Link { url, label } => link(url, label),
    }
}

/// Formatting does not span lines, and Slack wants no space just inside its marks.
fn one_line(text: &str) -> String {
    clean(text).replace('\n', " ").trim().to_owned()
}

/// Slack shows it in the reader's own zone and language; the label stands where it cannot.
fn time(at_ms: i64) -> Piece {
    let (secs, label) = (at_ms.div_euclid(1_000), clock_time(at_ms));
    Piece::Token(format!("<!date^{secs}^{{date_short_pretty}} {{time_secs}}|{label}>"))
}

fn mention(open: &str, id: &str, first: &[char]) -> Piece {
    let is_id = id.starts_with(first)
        && (2..=ID_CHARS_MAX).contains(&id.len())
        && id.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit());
    if is_id {
        Piece::Token(format!("{open}{id}>"))
    } else {
        Piece::Text(None, defused(&clean(id)))
    }
}

fn link(url: &str, label: &str) -> Piece {
    let label = plain(label, LABEL_UNITS_MAX).map(|label| defused(&label.replace('|', "¦")));
    let Some(address) = address(url) else {
        let shown = label.map_or_else(|| url.to_owned(), |label| format!("{label} ({url})"));
        return Piece::Text(None, defused(&clean(&shown)));
    };
    match label {
        Some(label) => Piece::Token(format!("<{address}|{}>", escaped(&label))),
        None => Piece::Token(format!("<{address}>")),
    }
}

/// An address as it may stand in a link: of the web, an e-mail's, or a telephone number; `None` for any
/// other scheme.
fn address(url: &str) -> Option<String> {
    let parsed = Url::parse(url).ok()?;
    if !matches!(parsed.scheme(), "http" | "https" | "mailto" | "tel") {
        return None;
    }
    let address = parsed
        .as_str()
        .replace('&', "&amp;")
        .replace('<', "%3C")
        .replace('>', "%3E")
        .replace('|', "%7C")
        .replace('`', "%60");
    (units(&address) <= URL_UNITS_MAX).then_some(address)
}

/// Text in which Slack finds no formatting; see the head of this file.
fn defused(text: &str) -> String {
    text.split('\n').map(defused_line).collect::<Vec<_>>().join("\n")
}

fn defused_line(line: &str) -> String {
    let letters: Vec<char> = line.chars().collect();
    let at = |index: usize| letters.get(index).copied();
    let before = |index: usize| index.checked_sub(1).and_then(at);
    let closes = |index: usize| {
        before(index).is_some_and(|letter| !letter.is_whitespace())
            && at(index + 1).is_none_or(|letter| !letter.is_alphanumeric())
    };
    let last_close =
        |mark: char| (0..letters.len()).rev().find(|i| letters[*i] == mark && closes(*i));
    let last_closes = [('*', last_close('*')), ('_', last_close('_')), ('~', last_close('~'))];
    let opens = |index: usize, mark: char| {
        let last = last_closes.iter().find(|(known, _)| *known == mark).and_then(|(_, at)| *at);
        last.is_some_and(|last| last > index)
            && before(index).is_none_or(|letter| !letter.is_alphanumeric())
            && at(index + 1).is_some_and(|letter| !letter.is_whitespace())
    };
    letters
        .iter()
        .enumerate()
        .map(|(index, letter)| match letter {
            '`' => 'ˋ',
            '*' if opens(index, '*') => '∗',
            '_' if opens(index, '_') => 'ˍ',
            '~' if opens(index, '~') => '∼',
            other => *other,
        })
        .collect()
}

fn entity(letter: char) -> Option<&'static str> {
    match letter {
        '&' => Some("&amp;"),
        '<' => Some("&lt;"),
        '>' => Some("&gt;"),
        _ => None,
    }
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        push_escaped(&mut out, letter);
    }
    out
}

fn push_escaped(out: &mut String, letter: char) {
    match entity(letter) {
        Some(entity) => out.push_str(entity),
        None => out.push(letter),
    }
}

fn escaped_units(letter: char) -> usize {
    entity(letter).map_or(letter.len_utf16(), str::len)
}

/// One line of output, escaped, with no fence inside it.
fn fenced(line: &str) -> String {
    escaped(&line.replace("``", "`\u{200b}`").replace("``", "`\u{200b}`"))
}

/// The last characters of a line that alone is too long, escaped, the cut marked.
fn tail_of(line: &str, units_max: usize) -> String {
    let mut used = CUT.len_utf16();
    let fits = |letter: &char| {
        // Room for the space that a run of backticks gets.
        used += escaped_units(*letter) + usize::from(*letter == '`');
        used <= units_max
    };
    let kept: Vec<char> = line.chars().rev().take_while(fits).collect();
    let kept: String = kept.into_iter().rev().collect();
    format!("{CUT}{}", fenced(&kept))
}

/// The text is as long as it may be.
struct Full;

struct Writer {
    text: String,
    units: usize,
    units_max: usize,
    /// What was written last is a closing mark.
    is_after_mark: bool,
}

impl Writer {
    fn new(units_max: usize) -> Self {
        Self { text: String::new(), units: 0, units_max, is_after_mark: false }
    }

    fn write_all(&mut self, pieces: &[Piece]) -> Result<(), Full> {
        pieces.iter().try_for_each(|piece| match piece {
            Piece::Token(token) => self.token(token),
            Piece::Text(None, text) => text.chars().try_for_each(|letter| self.letter(letter)),
            Piece::Text(Some(mark), text) => self.marked(*mark, text),
        })
    }

    fn token(&mut self, token: &str) -> Result<(), Full> {
        self.room(units(token))?;
        self.text.push_str(token);
        self.units += units(token);
        self.is_after_mark = false;
        Ok(())
    }

    fn letter(&mut self, letter: char) -> Result<(), Full> {
        let gap = usize::from(self.is_after_mark && needs_gap(letter));
        let needed = escaped_units(letter);
        self.room(gap + needed)?;
        if gap == 1 {
            self.text.push(ZERO_WIDTH_SPACE);
        }
        push_escaped(&mut self.text, letter);
        self.units += gap + needed;
        self.is_after_mark = false;
        Ok(())
    }

    fn marked(&mut self, mark: char, text: &str) -> Result<(), Full> {
        let Some(first) = text.chars().next() else { return Ok(()) };
        let gap = usize::from(self.text.chars().last().is_some_and(needs_gap));
        self.room(gap + 2 + escaped_units(first))?;
        if gap == 1 {
            self.text.push(ZERO_WIDTH_SPACE);
        }
        self.text.push(mark);
        self.units += gap + 2;
        let mut is_whole = true;
        for letter in text.chars() {
            if self.room(escaped_units(letter)).is_err() {
                is_whole = false;
                break;
            }
            push_escaped(&mut self.text, letter);
            self.units += escaped_units(letter);
        }
        while self.text.ends_with(' ') {
            self.text.pop();
            self.units -= 1;
        }
        self.text.push(mark);
        self.is_after_mark = true;
        if is_whole { Ok(()) } else { Err(Full) }
    }

    fn room(&self, needed: usize) -> Result<(), Full> {
        if self.units + needed <= self.units_max { Ok(()) } else { Err(Full) }
    }
}

/// Whether Slack would see no word boundary between a mark and this character.
fn needs_gap(letter: char) -> bool {
    letter != ZERO_WIDTH_SPACE
        && !letter.is_whitespace()
        && (!letter.is_ascii()
            || letter.is_alphanumeric()
            || matches!(letter, '*' | '_' | '~' | '`'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::card::text;
    use crate::core::id::UserId;
    use proptest::prelude::*;

    fn shown(spans: &[Span]) -> String {
        line(spans, 3_000).unwrap_or_default()
    }

    fn bold(text: &str) -> Span {
        Span::Bold(text.into())
    }

    fn code(text: &str) -> Span {
        Span::Code(text.into())
    }

    fn to(url: &str, label: &str) -> Span {
        Span::Link { url: url.into(), label: label.into() }
    }

    #[test]
    fn a_number_and_an_e_mail_address_are_links_too() {
        let to = |url: &str, label: &str| Span::Link { url: url.into(), label: label.into() };
        assert_eq!(
            shown(&[to("tel:+861055500100", "+86 10 5550 0100")]),
            "<tel:+861055500100|+86 10 5550 0100>"
        );
        assert_eq!(
            shown(&[to("mailto:a@example.com", "a@example.com")]),
            "<mailto:a@example.com|a@example.com>"
        );
    }

    #[test]
    fn text_from_outside_cannot_mention_or_link() {
        assert_eq!(shown(&[text("<!channel> & <@U1>")]), "&lt;!channel&gt; &amp; &lt;@U1&gt;");
        assert_eq!(shown(&[bold("<!here>")]), "*&lt;!here&gt;*");
        assert_eq!(shown(&[code("a && b")]), "`a &amp;&amp; b`");
        assert_eq!(shown(&[Span::User(UserId::new("U1> <!channel"))]), "U1&gt; &lt;!channel");
        assert_eq!(shown(&[Span::Group("S1|x>".into())]), "S1|x&gt;");
    }

    #[test]
    fn what_was_meant_is_markup() {
        let spans = [
            Span::User(UserId::new("U1")),
            text(" "),
            Span::Group("S2".into()),
            text(" "),
            Span::Here,
        ];
        assert_eq!(shown(&spans), "<@U1> <!subteam^S2> <!here>");
    }

    #[test]
    fn formatting_stands_apart_from_chinese_and_from_letters() {
        assert_eq!(
            shown(&[text("由"), bold("张三"), text("批准，"), code("v1"), text(" ok"), bold("!")]),
            "由\u{200b}*张三*\u{200b}批准，\u{200b}`v1` ok\u{200b}*!*"
        );
        assert_eq!(shown(&[bold("a"), code("b")]), "*a*\u{200b}`b`");
        assert_eq!(shown(&[text("("), bold("a"), text(")")]), "(*a*)");
    }

    #[test]
    fn a_text_keeps_its_characters_unless_slack_would_format_them() {
        for same in ["snake_case_name", "~/bin ~/x", "*/5 * * * *", "2 * 3 * 4", "a*b*c", "__x"] {
            assert_eq!(shown(&[text(same)]), same);
        }
        assert_eq!(shown(&[text("*now* _or_ ~never~ `x`")]), "∗now* ˍor_ ∼never~ ˋxˋ");
        assert_eq!(shown(&[text("```\n<b>\n```")]), "ˋˋˋ\n&lt;b&gt;\nˋˋˋ");
        assert_eq!(shown(&[bold("a*b\nc")]), "*a∗b c*");
        assert_eq!(shown(&[code("a`b")]), "`aˋb`");
        assert_eq!(line(&[bold(""), code(" \n"), text("\u{200b}")], 100), None);
    }

    #[test]
    fn a_link_leads_to_the_web_or_is_text() {
        assert_eq!(
            shown(&[to("https://x.test/a|b?c=1&d=<2>", "a|b<c>")]),
            "<https://x.test/a%7Cb?c=1&amp;d=%3C2%3E|a¦b‹c›>"
        );
        assert_eq!(shown(&[to("https://x.test", "")]), "<https://x.test/>");
        assert_eq!(
            shown(&[to("https://x.test?```", "`*x*`")]),
            "<https://x.test/?%60%60%60|ˋ∗x*ˋ>"
        );
        assert_eq!(
            shown(&[to("javascript:alert(1)", "click & win")]),
            "click &amp; win (javascript:alert(1))"
        );
        assert_eq!(shown(&[to("<!channel>", "")]), "&lt;!channel&gt;");
    }

    #[test]
    fn a_cut_never_splits_an_entity_a_mention_or_a_link() {
        assert_eq!(line(&[text("ab&cd")], 7).as_deref(), Some("ab…"));
        assert_eq!(line(&[text("ab&cd")], 8).as_deref(), Some("ab&amp;…"));
        assert_eq!(line(&[text("ab&cd")], 9).as_deref(), Some("ab&amp;cd"));
        assert_eq!(
            line(&[text("hi "), Span::User(UserId::new("U123"))], 9).as_deref(),
            Some("hi …")
        );
        assert_eq!(line(&[bold("long words")], 8).as_deref(), Some("*long*…"));
        assert_eq!(line(&[bold("&&")], 4).as_deref(), Some("…"));
        assert_eq!(line(&[text("😀😀")], 3).as_deref(), Some("😀…"));
    }

    #[test]
    fn control_characters_and_terminal_colours_are_removed() {
        assert_eq!(clean("\u{1b}[1;31mred\u{1b}[0m\0 a\u{202e}b\u{2066}c\u{7f}\u{85}"), "red abc");
        assert_eq!(clean("\u{1b}]0;title\u{7}x\u{1b}]8;;u\u{1b}\\y"), "xy");
        assert_eq!(clean("\u{1b}]never ended\nx\u{1b}["), "]never ended\nx[");
        assert_eq!(clean("10%\r20%\r\n\tend"), "10%\n20%\n\tend");
    }

    #[test]
    fn plain_text_is_one_line_without_brackets() {
        assert_eq!(plain(" a\nb <!channel> & ", 100).as_deref(), Some("a b ‹!channel› &"));
        assert_eq!(plain("abcdef", 4).as_deref(), Some("abc…"));
        assert_eq!(plain("\n", 4), None);
    }

    #[test]
    fn output_keeps_its_last_lines() {
        assert_eq!(
            output("a < b\n```\n\n", 3_000).as_deref(),
            Some("```\na &lt; b\n`\u{200b}`\u{200b}`\n```")
        );
        assert_eq!(output("\n \n", 3_000), None);

        let long = (0..1_000).fold(String::new(), |text, line| format!("{text}line {line}\n"));
        let shown = output(&long, 3_000).unwrap();
        assert!(shown.starts_with("```\n… "), "{shown}");
        assert!(shown.ends_with("\nline 999\n```"));
        assert!(units(&shown) <= 3_000);

        let shown = output(&"&".repeat(5_000), 3_000).unwrap();
        assert!(shown.starts_with("```\n…&amp;") && units(&shown) <= 3_000);
        let shown = output(&format!("a\nb\n{}", "`".repeat(5_000)), 3_000).unwrap();
        assert!(shown.starts_with("```\n… 2 earlier lines") && units(&shown) <= 3_000);
        assert_eq!(shown.matches(FENCE).count(), 2);
    }

    proptest! {
        #[test]
        fn output_has_its_own_two_fences_only(text in r"(`|a|&|\n|\x1b\[0m|😀|\PC){0,400}", max in 200_usize..700) {
            if let Some(shown) = output(&text, max) {
                prop_assert!(units(&shown) <= max);
                prop_assert_eq!(shown.matches(FENCE).count(), 2);
            }
        }

        #[test]
        fn plain_text_keeps_its_length(text: String, max in 1_usize..50) {
            if let Some(shown) = plain(&text, max) {
                prop_assert!(units(&shown) <= max && !shown.contains(['<', '>', '\n']));
            }
        }
    }
}
