//! What a notice outside Slack is made from: one telling of an alert. And how text from outside becomes
//! text that can stand there.

use super::alert::{Level, State, Why};
use super::alert_card;
use super::text::{Lang, Text};

/// Characters of what came from outside.
const LINE_CHARS_MAX: usize = 200;
/// The same where there may be several lines.
const TEXT_CHARS_MAX: usize = 4_000;
/// Longer addresses are no use in a notice.
const ADDRESS_BYTES_MAX: usize = 2_000;
/// Marks a cut.
const CUT: char = '…';

/// One telling of an alert. Every text of it may come from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Told<'a> {
    /// `AL-…`.
    pub id: &'a str,
    /// Which telling of it this is: the same number is the same telling.
    pub number: i64,
    /// How bad it is by now.
    pub level: Level,
    /// Where it stands.
    pub state: State,
    /// Why people are told; `None`: its state changed.
    pub why: Option<Why>,
    /// What is wrong.
    pub name: &'a str,
    /// With what.
    pub service: &'a str,
    /// Where.
    pub environment: &'a str,
    /// One line.
    pub summary: &'a str,
    /// More of it.
    pub description: &'a str,
    /// What people open next: label and address.
    pub links: &'a [(String, String)],
    /// The measure as it is shown; empty: unknown.
    pub value: &'a str,
    /// Who took or resolved it, by name; empty: nobody in particular.
    pub by: &'a str,
    /// Since when it fires.
    pub since_ms: i64,
    /// When this is told.
    pub at_ms: i64,
    /// In which language.
    pub lang: Lang,
}

impl Told<'_> {
    /// `production: error_rate · neostock`
    pub fn title(&self) -> String {
        let (name, service) = (one_line(self.name), one_line(self.service));
        format!("{}: {name} · {service}", one_line(self.environment))
    }

    /// The level in words.
    pub fn level_words(&self) -> &'static str {
        match self.level {
            Level::Warning => self.lang.pick("一级 · 警告", "level 1 · warning"),
            Level::Error => self.lang.pick("二级 · 错误", "level 2 · error"),
            Level::Critical => self.lang.pick("三级 · 严重", "level 3 · critical"),
        }
    }

    /// The state in words.
    pub fn state_words(&self) -> &'static str {
        match self.state {
            State::Open => self.lang.pick("无人处理", "open"),
            State::Acknowledged => self.lang.pick("处理中", "acknowledged"),
            State::Resolved => self.lang.pick("已恢复", "resolved"),
        }
    }

    /// Why people are told, in words.
    pub fn why_words(&self) -> String {
        let words = match (self.why, self.state) {
            (Some(why), _) => alert_card::why_words(why, self.level),
            (None, State::Open) => Text::new("重新打开", "It is open again"),
            (None, State::Acknowledged) => Text::new("有人接手处理", "Somebody is on it"),
            (None, State::Resolved) => Text::new("已恢复", "It is over"),
        };
        words.get(self.lang).to_owned()
    }

    /// Links that can be opened: `http` and `https` alone, without what a reader cannot see.
    pub fn open_links(&self) -> impl Iterator<Item = (String, &str)> {
        self.links.iter().filter(|(_, address)| is_open(address)).map(|(label, address)| {
            let label = one_line(label);
            (if label.is_empty() { address.clone() } else { label }, address.as_str())
        })
    }
}

/// A moment for readers whose time zone is not known.
pub fn utc(at_ms: i64) -> String {
    let at = chrono::DateTime::from_timestamp_millis(at_ms).unwrap_or_default();
    at.format("%Y-%m-%d %H:%M:%S UTC").to_string()
}

/// A moment for programs.
pub fn rfc3339(at_ms: i64) -> String {
    let at = chrono::DateTime::from_timestamp_millis(at_ms).unwrap_or_default();
    at.to_rfc3339_opts(chrono::SecondsFormat::Millis, true)
}

fn is_open(address: &str) -> bool {
    let is_http = address.starts_with("https://") || address.starts_with("http://");
    let is_plain =
        |letter: char| letter.is_ascii_graphic() && !matches!(letter, '<' | '>' | '"' | '\'');
    is_http && address.len() <= ADDRESS_BYTES_MAX && address.chars().all(is_plain)
}

/// Text from outside as one line: without control characters, without what turns the direction of text or
/// cannot be seen; cut.
pub fn one_line(text: &str) -> String {
    let spaced = text.chars().map(|letter| if letter.is_whitespace() { ' ' } else { letter });
    let seen: String = spaced.filter(|letter| !is_unseen(*letter)).collect();
    cut(
        seen.split(' ').filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" "),
        LINE_CHARS_MAX,
    )
}

/// The same where there may be several lines.
pub fn lines(text: &str) -> String {
    let unified = text.replace("\r\n", "\n").replace(['\r', '\u{2028}', '\u{2029}'], "\n");
    let seen = unified.chars().filter(|letter| *letter == '\n' || !is_unseen(*letter)).collect();
    cut(seen, TEXT_CHARS_MAX).trim().to_owned()
}

fn is_unseen(letter: char) -> bool {
    letter.is_control()
        || matches!(
            letter,
            '\u{61c}' | '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
                | '\u{e0000}'..='\u{e007f}'
        )
}

/// At most so many characters, a cut marked.
pub fn cut(text: String, chars_max: usize) -> String {
    if text.chars().count() <= chars_max {
        return text;
    }
    let mut kept: String = text.chars().take(chars_max.saturating_sub(1)).collect();
    kept.push(CUT);
    kept
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// 2026-11-24 03:00:00 UTC.
    pub const NIGHT_MS: i64 = 1_795_489_200_000;

    pub fn told() -> Told<'static> {
        Told {
            id: "AL-7q2f8k1c",
            number: 1,
            level: Level::Critical,
            state: State::Open,
            why: Some(Why::New),
            name: "error_rate",
            service: "neostock",
            environment: "production",
            summary: "7.2% of all answers are errors",
            description: "More than 5% for 60 s.",
            links: &[],
            value: "7.2% > 5%",
            by: "",
            since_ms: NIGHT_MS - 60_000,
            at_ms: NIGHT_MS,
            lang: Lang::En,
        }
    }

    #[test]
    fn a_line_holds_nothing_that_cannot_be_seen() {
        assert_eq!(
            one_line("a\r\nBcc: x@example.org\u{202e}\u{200b}\0 b"),
            "a Bcc: x@example.org b"
        );
        assert_eq!(one_line(&"x".repeat(300)).chars().count(), LINE_CHARS_MAX);
        assert_eq!(lines("a\r\nb\u{2028}c\u{1b}[2J"), "a\nb\nc[2J");
    }

    #[test]
    fn only_what_a_browser_opens_safely_is_a_link() {
        let links = [
            ("Graph".to_owned(), "https://grafana.example.org/d/1?a=b&c=d".to_owned()),
            ("Bad".to_owned(), "javascript:alert(1)".to_owned()),
            ("Split".to_owned(), "https://example.org/\r\nX: y".to_owned()),
            ("Quote".to_owned(), "https://example.org/\"onclick=\"".to_owned()),
            (String::new(), "http://127.0.0.1:9090/graph".to_owned()),
        ];
        let told = Told { links: &links, ..told() };

        let open: Vec<String> = told.open_links().map(|(label, _)| label).collect();

        assert_eq!(open, ["Graph", "http://127.0.0.1:9090/graph"]);
    }

    #[test]
    fn every_why_has_words_in_both_languages() {
        for why in [
            Why::New,
            Why::Returned,
            Why::Step,
            Why::Repeated,
            Why::Unanswered,
            Why::Worse,
            Why::Asked,
            Why::Forgotten,
            Why::GivenBack,
            Why::SilenceOver,
            Why::Released,
            Why::StillFiring,
            Why::Undelivered,
        ] {
            let words = [Lang::Zh, Lang::En]
                .map(|lang| Told { why: Some(why), lang, ..told() }.why_words());
            assert_ne!(words[0], words[1]);
        }
    }

    proptest! {
        #[test]
        fn whatever_comes_is_one_line(text in any::<String>()) {
            let line = one_line(&text);
            prop_assert!(line.chars().count() <= LINE_CHARS_MAX);
            prop_assert!(!line.chars().any(char::is_control));
        }
    }
}
