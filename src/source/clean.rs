//! Text from outside, made fit to be stored and shown: within named limits, without what no database or
//! screen should be given. Escaping for Slack is the renderer's.

use crate::core::alert::{Level, Way};
use chrono::DateTime;
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;

/// A link that is longer is left out: cut, it would lead elsewhere.
const LINK_BYTES_MAX: usize = 2_000;
/// A fingerprint that is longer, or has other letters than visible ASCII ones, is hashed.
const FINGERPRINT_BYTES_MAX: usize = 128;
/// The hash stands for so many digits: half of SHA-256.
const HASH_CHARS: usize = 32;
/// And so many letters of it tell places apart.
const HASH_CHARS_SHORT: usize = 10;
/// 9999-12-31, the last day that RFC 3339 can write.
const TIME_MS_MAX: i64 = 253_402_300_799_999;

/// One line of at most so many characters.
pub(super) fn line(text: &str, chars_max: usize) -> String {
    cut(text, chars_max, |letter| if letter.is_whitespace() { ' ' } else { letter })
}

/// Lines of at most so many characters altogether.
pub(super) fn lines(text: &str, chars_max: usize) -> String {
    cut(text, chars_max, |letter| if letter == '\t' { ' ' } else { letter })
}

fn cut(text: &str, chars_max: usize, as_shown: impl Fn(char) -> char) -> String {
    let mut kept = String::with_capacity(text.len().min(chars_max));
    let shown = text.trim().chars().map(as_shown).filter(|letter| !is_unfit(*letter));
    for (index, letter) in shown.enumerate() {
        if index == chars_max {
            // The last of them gives its place to the mark.
            kept.pop();
            kept.push('…');
            break;
        }
        kept.push(letter);
    }
    kept
}

/// Control characters, NUL among them, what turns the direction of text, and what nobody sees: two names
/// that look the same are the same. What joins letters and emoji stays.
fn is_unfit(letter: char) -> bool {
    (letter.is_control() && letter != '\n')
        || matches!(
            letter,
            '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
                | '\u{2028}' | '\u{2029}' | '\u{feff}'
        )
        || matches!(
            letter,
            '\u{00ad}' | '\u{180e}' | '\u{200b}' | '\u{2060}'..='\u{2064}' | '\u{206a}'..='\u{206f}'
                | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}'
        )
}

/// The same JSON with U+FFFD where it holds bytes that are no UTF-8, or half a surrogate pair; `None`: it
/// holds neither.
pub(super) fn mended(body: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(body);
    let mut whole = String::with_capacity(text.len());
    let mut rest = &*text;
    while let Some(at) = rest.find('\\') {
        let (before, escape) = rest.split_at(at);
        let (put, bytes) = match (code_unit(escape), escape.get(6..).and_then(code_unit)) {
            (Some(0xd800..=0xdbff), Some(0xdc00..=0xdfff)) => (&escape[..12], 12),
            (Some(0xd800..=0xdfff), _) => ("\\ufffd", 6),
            (Some(_), _) => (&escape[..6], 6),
            (None, _) => {
                let bytes: usize = escape.chars().take(2).map(char::len_utf8).sum();
                (&escape[..bytes], bytes)
            }
        };
        whole.extend([before, put]);
        rest = &escape[bytes..];
    }
    whole.push_str(rest);
    (whole.as_bytes() != body).then_some(whole)
}

/// The number of an escape of four hexadecimal digits that a text begins with.
fn code_unit(text: &str) -> Option<u16> {
    u16::from_str_radix(text.strip_prefix("\\u")?.get(..4)?, 16).ok()
}

/// An address that a browser opens, or nothing.
pub(super) fn link(text: &str) -> Option<String> {
    if text.len() > LINK_BYTES_MAX {
        return None;
    }
    let url = url::Url::parse(text.trim()).ok()?;
    let is_web = matches!(url.scheme(), "http" | "https") && url.has_host();
    // A password in a link would be shown to everybody.
    let is_open = url.username().is_empty() && url.password().is_none();
    let address = url.to_string();
    (is_web && is_open && address.len() <= LINK_BYTES_MAX).then_some(address)
}

/// Milliseconds since 1970. The year 1, with which Go says "none", is none, as is all before 1970.
pub(super) fn time_ms(text: &str) -> Result<Option<i64>, ()> {
    let at_ms = DateTime::parse_from_rfc3339(text).map_err(|_| ())?.timestamp_millis();
    match at_ms {
        ..=0 => Ok(None),
        1..=TIME_MS_MAX => Ok(Some(at_ms)),
        _ => Err(()),
    }
}

/// A fingerprint as it is stored; where there is none, one of the labels.
pub(super) fn fingerprint<'l>(
    given: Option<&str>,
    name: &str,
    labels: impl Iterator<Item = (&'l str, &'l str)>,
) -> String {
    let given = given.map(str::trim).filter(|given| !given.is_empty());
    match given {
        Some(given) if given.len() <= FINGERPRINT_BYTES_MAX && is_visible(given) => {
            given.to_owned()
        }
        Some(given) => hash([given]),
        None => hash([name].into_iter().chain(labels.flat_map(|(key, value)| [key, value]))),
    }
}

/// A fingerprint that whoever sends made up: it tells instances apart within one name and place, and another
/// alert may have the same.
pub(super) fn fingerprint_within(given: &str, place: [&str; 3]) -> String {
    format!("{given}@{}", &hash(place)[..HASH_CHARS_SHORT])
}

fn is_visible(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_graphic())
}

fn hash<'t>(texts: impl IntoIterator<Item = &'t str>) -> String {
    let mut digest = Sha256::new();
    for text in texts {
        // Each behind its length: other texts are another hash.
        digest.update((text.len() as u64).to_be_bytes());
        digest.update(text.as_bytes());
    }
    let mut digits = hex::encode(digest.finalize());
    digits.truncate(HASH_CHARS);
    format!("h-{digits}")
}

/// Where an alert of a level is told when its source does not say: as the manual's own alerts are.
pub(super) fn ways_of(level: Level) -> BTreeSet<Way> {
    match level {
        Level::Warning | Level::Error => BTreeSet::from([Way::Slack, Way::Email]),
        Level::Critical => BTreeSet::from(Way::ALL),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_turns_text_around_or_ends_it_is_left_out() {
        assert_eq!(line("a\0b\u{202e}c\u{2067}d\u{1b}[31m\u{7f}", 20), "abcd[31m");
        assert_eq!(line(" two\r\nlines\t\u{2028}here ", 30), "two  lines  here");
        assert_eq!(lines("two\r\nlines", 20), "two\nlines");
        assert_eq!(line("👩‍👧 𝐛𝐨𝐥𝐝 中文", 20), "👩‍👧 𝐛𝐨𝐥𝐝 中文");
    }

    #[test]
    fn what_is_cut_says_so_and_stays_within_its_limit() {
        assert_eq!(line("abcdef", 6), "abcdef");
        assert_eq!(line("abcdefg", 6), "abcde…");
        assert_eq!(line(&"汉".repeat(400_000), 300).chars().count(), 300);
    }

    #[test]
    fn only_open_addresses_of_the_web_are_links() {
        for (given, kept) in [
            ("https://r.test/a?b=1#c", Some("https://r.test/a?b=1#c")),
            (
                "http://vm:9090/graph?g0.expr=up+%3D%3D+0",
                Some("http://vm:9090/graph?g0.expr=up+%3D%3D+0"),
            ),
            ("javascript:alert(1)", None),
            ("data:text/html,x", None),
            ("ftp://a/b", None),
            ("//no.scheme", None),
            ("https://ann:secret@r.test/", None),
            ("https://", None),
            ("", None),
        ] {
            assert_eq!(link(given).as_deref(), kept, "{given}");
        }
        let odd = link("https://r.test/a<!channel>b|c d").unwrap();
        assert!(!odd.contains(['<', '>', ' ']), "{odd}");
        assert_eq!(link(&format!("https://r.test/{}", "a".repeat(3_000))), None);
    }

    #[test]
    fn the_year_one_is_no_time() {
        assert_eq!(time_ms("0001-01-01T00:00:00Z"), Ok(None));
        assert_eq!(time_ms("2026-11-23T22:35:56.616Z"), Ok(Some(1_795_473_356_616)));
        assert_eq!(time_ms("2026-11-24T06:35:56.616123456+08:00"), Ok(Some(1_795_473_356_616)));
        for odd in [
            "",
            "yesterday",
            "1795473356",
            "2026-11-23",
            "2026-13-01T00:00:00Z",
            "+99999-01-01T00:00:00Z",
        ] {
            assert_eq!(time_ms(odd), Err(()), "{odd}");
        }
    }

    #[test]
    fn a_fingerprint_is_kept_or_hashed_and_tells_apart() {
        let none = || std::iter::empty();
        assert_eq!(fingerprint(Some("21c417107e3058de"), "x", none()), "21c417107e3058de");
        let long = fingerprint(Some(&"a".repeat(129)), "x", none());
        assert!(long.starts_with("h-") && long.len() == HASH_CHARS + 2, "{long}");
        assert_ne!(long, fingerprint(Some(&"a".repeat(130)), "x", none()));
        assert!(fingerprint(Some("a\0b"), "x", none()).starts_with("h-"));
        let of = |labels: &[(&'static str, &'static str)]| {
            fingerprint(None, "x", labels.iter().copied())
        };
        assert_eq!(of(&[("a", "bc")]), of(&[("a", "bc")]));
        assert_ne!(of(&[("a", "bc")]), of(&[("ab", "c")]));
    }

    #[test]
    fn only_what_is_broken_is_mended() {
        assert_eq!(mended(br#"{"a": "\ud83d\ude80 \\ud83d \n"}"#), None);
        assert_eq!(
            mended(br#""\ud83d\ud83d\ude80\ude80""#).unwrap(),
            r#""\ufffd\ud83d\ude80\ufffd""#
        );
        assert_eq!(mended(b"\"\\u12").as_deref(), None);
        assert_eq!(mended(b"\"\xff\\\xff\\ud800").unwrap(), "\"\u{fffd}\\\u{fffd}\\ufffd");
    }

    proptest! {
        #[test]
        fn what_is_whole_is_not_mended_and_what_is_mended_is_whole(text in any::<String>(), bytes in any::<Vec<u8>>()) {
            prop_assert_eq!(mended(serde_json::json!(text).to_string().as_bytes()), None);
            if let Some(whole) = mended(&bytes) {
                prop_assert_eq!(mended(whole.as_bytes()), None);
            }
        }

        #[test]
        fn nothing_unfit_is_ever_kept(text in any::<String>(), chars_max in 1_usize..50) {
            for kept in [line(&text, chars_max), lines(&text, chars_max)] {
                prop_assert!(kept.chars().count() <= chars_max);
                prop_assert!(!kept.chars().any(is_unfit), "{kept:?}");
            }
            prop_assert!(!line(&text, chars_max).contains('\n'));
        }
    }
}
