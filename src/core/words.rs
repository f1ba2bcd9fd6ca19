//! A slash command's text as words, read the way people mean it.
//!
//! Slack escapes `&`, `<` and `>`; phones turn `"` into curly quotes and `--` into a dash; Chinese
//! keyboards type full-width letters. All of that ends here: a word is plain text, and free text is
//! kept as it was written, mentions included (wire facts: Slack's slash command documentation).

use std::borrow::Cow;

/// More text than this is refused unread: Slack itself cuts a message at 40,000 characters.
pub const TEXT_BYTES_MAX: usize = 16 * 1024;

/// Opening quotes and what closes each; phones and Chinese keyboards type all of these.
const QUOTES: [(char, &[char]); 9] = [
    ('"', &['"', '”', '“']),
    ('“', &['”', '“', '"']),
    ('”', &['”', '"']),
    ('\'', &['\'', '’']),
    ('‘', &['’', '‘', '\'']),
    ('「', &['」']),
    ('『', &['』']),
    ('«', &['»']),
    ('＂', &['＂', '"']),
];

/// What stands before the name of a flag.
const DASHES: [&str; 4] = ["--", "—", "–", "－－"];

/// One word and where it stands in the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Word {
    /// Decoded, without its quotes.
    pub text: String,
    /// Whether it stood in quotes: then it is never `name=value`.
    pub quoted: bool,
    start: usize,
}

/// A cursor over the words of one request.
#[derive(Debug, Clone)]
pub struct Words<'t> {
    raw: Cow<'t, str>,
    words: Vec<Word>,
    next: usize,
}

impl<'t> Words<'t> {
    /// Splits a slash command's text; `None` when it is longer than [`TEXT_BYTES_MAX`].
    pub fn read(raw: &'t str) -> Option<Self> {
        (raw.len() <= TEXT_BYTES_MAX).then(|| Self {
            raw: Cow::Borrowed(raw),
            words: split(raw),
            next: 0,
        })
    }

    /// The word under the cursor.
    pub fn peek(&self) -> Option<&Word> {
        self.words.get(self.next)
    }

    /// Takes the word under the cursor.
    pub fn take(&mut self) -> Option<Word> {
        let word = self.words.get(self.next).cloned();
        self.next += usize::from(word.is_some());
        word
    }

    /// Takes everything from the cursor on as one free text: as written, decoded, outer quotes cut.
    pub fn take_rest(&mut self) -> Option<String> {
        let first = self.peek()?;
        let rest = self.raw[first.start..].trim();
        let only = self.next + 1 == self.words.len();
        let text = if only && first.quoted { first.text.clone() } else { decode(rest) };
        self.next = self.words.len();
        Some(text)
    }

    /// Takes a flag out of the words from the cursor on, wherever it stands without quotes: one of these
    /// spellings behind `--`, of which phones make one long dash. Whether it was there. Two long dashes are
    /// Chinese punctuation and begin no flag.
    pub fn take_flag(&mut self, spellings: &[&str]) -> bool {
        let is_flag = |word: &Word| {
            let name = DASHES.iter().find_map(|dash| word.text.strip_prefix(dash));
            let is_spelt = |name: &str| spellings.contains(&name.to_lowercase().as_str());
            !word.quoted && name.is_some_and(is_spelt)
        };
        let before = self.words.len();
        let mut at = self.next;
        while let Some(word) = self.words.get(at) {
            if !is_flag(word) {
                at += 1;
                continue;
            }
            // As many blanks, so that every other word stands where it stood.
            let range = word.start..word.start + word.text.len();
            self.raw.to_mut().replace_range(range.clone(), &" ".repeat(range.len()));
            self.words.remove(at);
        }
        self.words.len() < before
    }

    /// Whether every word was taken.
    pub fn is_empty(&self) -> bool {
        self.next == self.words.len()
    }
}

/// Slack's three escapes undone, once, and addresses out of the brackets that Slack puts around them.
pub fn decode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(['&', '<']) {
        out.push_str(&rest[..at]);
        let tail = &rest[at..];
        let width = if let Some((address, width)) = address(tail) {
            out.push_str(&decode(address));
            width
        } else {
            let known = [("&amp;", '&'), ("&lt;", '<'), ("&gt;", '>')];
            let found = known.iter().find(|(escape, _)| tail.starts_with(escape));
            let as_written = tail.chars().next().unwrap_or_default();
            out.push(found.map_or(as_written, |(_, letter)| *letter));
            found.map_or(1, |(escape, _)| escape.len())
        };
        rest = &tail[width..];
    }
    out.push_str(rest);
    out
}

/// What `<https://…>`, `<https://…|label>` or `<mailto:…|…>` at the start of a text means, and its
/// width. People typed the address alone; a `<` of their own arrives escaped.
fn address(text: &str) -> Option<(&str, usize)> {
    let inside = &text.strip_prefix('<')?[..text.find('>')? - 1];
    let target = inside.split('|').next()?;
    let is_link = target.starts_with("https://") || target.starts_with("http://");
    let address = if is_link { target } else { target.strip_prefix("mailto:")? };
    let is_plain = !address.contains(|letter: char| letter == '<' || letter.is_whitespace());
    is_plain.then_some((address, inside.len() + 2))
}

/// A free text as it can be typed as the last words of a command; [`Words::take_rest`] reads it back,
/// but for a `»` in a text that must be quoted. Nothing in it is read as a flag.
pub fn as_typed(text: &str) -> String {
    let escaped = text.trim().replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let first = escaped.split_whitespace().next().unwrap_or_default();
    let is_quoted = QUOTES.iter().any(|(quote, _)| first.starts_with(*quote));
    let is_flag = |word: &str| DASHES.iter().any(|dash| word.starts_with(dash));
    if is_quoted || first.contains(['=', '＝']) || escaped.split_whitespace().any(is_flag) {
        format!("«{}»", escaped.replace('»', "›"))
    } else {
        escaped
    }
}

/// Arguments of a command line as the text that chat would bring. One alone is that text; of several
/// each is a word, or `name=` and a value, quoted where it has blanks.
pub fn as_chat(arguments: &[String]) -> String {
    match arguments {
        [only] => only.clone(),
        several => several.iter().map(|one| as_word(one)).collect::<Vec<_>>().join(" "),
    }
}

fn as_word(argument: &str) -> String {
    let escaped = argument.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    match escaped.split_once('=') {
        Some((name, value)) if is_name(name) => format!("{name}={}", as_value(value)),
        _ => as_value(&escaped),
    }
}

fn is_name(text: &str) -> bool {
    text.starts_with(|letter: char| letter.is_ascii_alphabetic())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
}

/// A value that is read back as it is; one that is quoted already stays so.
fn as_value(value: &str) -> String {
    let opens = QUOTES.iter().any(|(quote, _)| value.starts_with(*quote));
    let is_quoted = quoted(value).is_some_and(|(_, width)| width == value.len());
    if !value.is_empty() && (is_quoted || !opens && !value.contains(char::is_whitespace)) {
        return value.to_owned();
    }
    let free = [('«', '»'), ('「', '」'), ('『', '』')];
    match free.into_iter().find(|(_, close)| !value.contains(*close)) {
        Some((open, close)) => format!("{open}{value}{close}"),
        None => format!("«{}»", value.replace('»', "›")),
    }
}

/// A value as a keyboard in Chinese or on a phone produced it, in ASCII: full-width letters, digits
/// and signs, the ideographic full stop, and dashes that were typed as `-`.
pub fn narrow(text: &str) -> String {
    text.chars()
        .map(|letter| match letter {
            '\u{ff01}'..='\u{ff5e}' => {
                char::from_u32(letter as u32 - 0xff01 + 0x21).unwrap_or(letter)
            }
            '。' => '.',
            '‐' | '‑' | '–' | '−' => '-',
            other => other,
        })
        .collect()
}

fn split(raw: &str) -> Vec<Word> {
    let mut words = Vec::new();
    let mut rest = raw;
    loop {
        rest = rest.trim_start();
        if rest.is_empty() {
            return words;
        }
        let start = raw.len() - rest.len();
        let (text, quoted, width) = one_word(rest);
        words.push(Word { text, quoted, start });
        rest = &rest[width..];
    }
}

/// The word at the start of `rest`, whether it was quoted, and how many bytes it took.
fn one_word(rest: &str) -> (String, bool, usize) {
    if let Some((text, width)) = quoted(rest) {
        return (text, true, width);
    }
    let mut width = 0;
    let mut value = String::new();
    while let Some(letter) = rest[width..].chars().next() {
        if letter.is_whitespace() {
            break;
        }
        // `reason="two words"`: a quote right after `=` opens too.
        if value.ends_with(['=', '＝'])
            && let Some((text, taken)) = quoted(&rest[width..])
        {
            value.push_str(&text);
            width += taken;
            continue;
        }
        // An entity `<@U1|Ann Li>` is one piece whatever its name holds.
        if letter == '<'
            && let Some(end) = rest[width..].find('>')
            && rest[width + 1..].starts_with(['@', '#', '!'])
        {
            value.push_str(&rest[width..=width + end]);
            width += end + 1;
            continue;
        }
        value.push(letter);
        width += letter.len_utf8();
    }
    (dashes(&decode(&value)), false, width)
}

/// A quoted word at the start of `rest`, decoded, and its width with both quotes. A quote that is
/// never closed, or that closes in mid-word, is an ordinary letter.
fn quoted(rest: &str) -> Option<(String, usize)> {
    let open = rest.chars().next()?;
    let (_, closers) = QUOTES.iter().find(|(quote, _)| *quote == open)?;
    let inside = &rest[open.len_utf8()..];
    let (at, close) = inside.char_indices().find(|(at, letter)| {
        let after = inside[at + letter.len_utf8()..].chars().next();
        closers.contains(letter) && after.is_none_or(char::is_whitespace)
    })?;
    let width = open.len_utf8() + at + close.len_utf8();
    Some((decode(&inside[..at]), width))
}

/// `—env` or `–env` at the start of a word was typed as `--env`.
fn dashes(word: &str) -> String {
    match word.strip_prefix(['—', '–']) {
        Some(rest) if rest.starts_with(|letter: char| letter.is_ascii_alphabetic()) => {
            format!("--{rest}")
        }
        _ => word.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn words(raw: &str) -> Vec<String> {
        split(raw).into_iter().map(|word| word.text).collect()
    }

    #[test]
    fn words_are_read_as_people_mean_them() {
        assert_eq!(words("rollback “v1.2” bad p99"), ["rollback", "v1.2", "bad", "p99"]);
        assert_eq!(words(" a\u{3000}b\tc "), ["a", "b", "c"]);
        assert_eq!(words("reason=\"two words\" x"), ["reason=two words", "x"]);
        assert_eq!(words("don't \"open"), ["don't", "\"open"]);
        assert_eq!(words("—emergency"), ["--emergency"]);
        assert_eq!(words("<@U1|Ann Li> said"), ["<@U1|Ann Li>", "said"]);
        assert_eq!(words("a &amp;&lt;b&gt; &amp;amp;"), ["a", "&<b>", "&amp;"]);
        assert_eq!(words("「v1.2」 『x y』"), ["v1.2", "x y"]);
    }

    #[test]
    fn free_text_is_kept_as_written() {
        let mut text = Words::read("rollback v1.2  bad  “p99”, ask <@U1|ann> &amp; co").unwrap();
        text.take();
        text.take();

        assert_eq!(text.take_rest().unwrap(), "bad  “p99”, ask <@U1|ann> & co");
        assert!(text.is_empty());
        assert_eq!(text.take_rest(), None);
    }

    #[test]
    fn an_address_loses_the_brackets_that_slack_puts_around_it() {
        let typed = "see <https://x.example/?a=1&amp;b=2> and <mailto:a@x.example|a@x.example>";
        assert_eq!(decode(typed), "see https://x.example/?a=1&b=2 and a@x.example");
        assert_eq!(decode("<http://x|a label> <b> < <https://"), "http://x <b> < <https://");
        assert_eq!(
            decode("&lt;https://x&gt; <@U1|ann> <#C1|dev>"),
            "<https://x> <@U1|ann> <#C1|dev>"
        );
    }

    #[test]
    fn a_reason_in_quotes_loses_them() {
        let mut text = Words::read("\"bad p99\"").unwrap();
        assert_eq!(text.take_rest().unwrap(), "bad p99");
    }

    #[test]
    fn wide_letters_become_narrow() {
        assert_eq!(narrow("ｖ１。２"), "v1.2");
        assert_eq!(narrow("ｅｎｖ＝prod–1"), "env=prod-1");
    }

    fn chat(arguments: &[&str]) -> String {
        as_chat(&arguments.iter().map(|one| (*one).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn arguments_of_a_shell_are_the_words_of_chat() {
        assert_eq!(chat(&["rollback", "v1.2", "bad p99"]), "rollback v1.2 «bad p99»");
        assert_eq!(chat(&["deploy", "v1.2", "reason=a » b"]), "deploy v1.2 reason=「a » b」");
        assert_eq!(chat(&["rollback v1.2 bad p99"]), "rollback v1.2 bad p99");
        assert_eq!(chat(&["a", "x<y & z"]), "a «x&lt;y &amp; z»");
        assert_eq!(chat(&["a", "\"p99=3 s\"", "\"b", ""]), "a \"p99=3 s\" «\"b» «»");
        let typed = chat(&["rollback", "v1.2", "the <b> reason"]);
        let mut read = Words::read(&typed).unwrap();
        read.take();
        read.take();
        assert_eq!(read.take_rest().unwrap(), "the <b> reason");
    }

    proptest! {
        #[test]
        fn each_argument_of_a_shell_is_one_word(
            arguments in proptest::collection::vec("[a-z0-9 &<>.@|»]{1,12}", 2..5)
        ) {
            prop_assert_eq!(words(&as_chat(&arguments)), arguments);
        }

        #[test]
        fn joining_arguments_never_panics(arguments: Vec<String>) {
            let _ = words(&as_chat(&arguments));
        }

        #[test]
        fn reading_never_panics_and_always_ends(text: String) {
            if let Some(mut words) = Words::read(&text) {
                while words.take().is_some() {}
                prop_assert!(words.is_empty());
            }
        }

        #[test]
        fn a_free_text_reads_back_as_it_was_written(text in "[^»]{1,200}") {
            let typed = as_typed(&text);
            let read = Words::read(&typed).unwrap().take_rest().unwrap_or_default();
            prop_assert_eq!(read.trim(), text.trim());
        }

        #[test]
        fn nothing_in_a_free_text_is_a_flag(before in "[^»]{0,20}", after in "[^»]{0,20}") {
            let text = format!("{before} --emergency {after}");
            let typed = format!("rollback {}", as_typed(&text));
            prop_assert!(!Words::read(&typed).unwrap().take_flag(&["emergency"]), "{}", typed);
        }

        #[test]
        fn plain_words_are_what_splitting_at_spaces_gives(text in "[a-z0-9 .]{0,60}") {
            let expected: Vec<&str> = text.split_whitespace().collect();
            prop_assert_eq!(words(&text), expected);
        }
    }

    #[test]
    fn a_flag_is_taken_wherever_it_stands_and_the_rest_reads_as_before() {
        let flag = ["emergency", "紧急"];
        for text in [
            "--emergency v1.2 p99 &lt; 9",
            "v1.2 —emergency p99 &lt; 9",
            "v1.2 p99 &lt; 9 --EMERGENCY",
            "v1.2 --紧急 p99 &lt; 9",
        ] {
            let mut words = Words::read(text).unwrap();
            assert!(words.take_flag(&flag), "{text}");
            assert_eq!(words.take().unwrap().text, "v1.2");
            let rest = words.take_rest().unwrap();
            assert_eq!(rest.split_whitespace().collect::<Vec<_>>(), ["p99", "<", "9"], "{text}");
        }
        for text in [
            "emergency v1.2",
            "v1.2 支付失败 ——紧急",
            "-emergency v1.2",
            "\"--emergency\" v1.2",
            "--emergencies",
            "«a --emergency b»",
        ] {
            assert!(!Words::read(text).unwrap().take_flag(&flag), "{text}");
        }
    }
}
