//! Takes secrets out of a stream before it is written anywhere.
//!
//! Two passes: first the secrets the step declares, in the forms in which programs print them
//! (plain, base64, percent-encoded, JSON-escaped, line by line); then the shapes of well-known
//! tokens. Both work across the borders of chunks and hold back only what may still become a match.
//! It must never emit a byte and later learn that it belonged to a secret, and its memory must not
//! grow with the stream.

mod literals;
mod shapes;

use literals::Literals;
use shapes::Shapes;

/// Stands where a secret stood.
pub const REDACTED: &str = "[redacted]";

/// A redactor for one stream.
pub struct Redactor {
    literals: Literals,
    shapes: Shapes,
    /// Between the passes; reused.
    between: Vec<u8>,
}

impl Redactor {
    /// A redactor for these secrets; those under four bytes are ignored.
    ///
    /// # Errors
    /// When the secrets are too many and long for one search.
    pub fn new(secrets: &[String]) -> Result<Self, aho_corasick::BuildError> {
        let literals = Literals::new(secrets)?;
        Ok(Self { literals, shapes: Shapes::new()?, between: Vec::new() })
    }

    /// A redactor for another stream with the same secrets.
    #[must_use]
    pub fn another(&self) -> Self {
        Self {
            literals: self.literals.another(),
            shapes: self.shapes.another(),
            between: Vec::new(),
        }
    }

    /// Takes a chunk and appends what is safe to show to `out`.
    pub fn feed(&mut self, chunk: &[u8], out: &mut Vec<u8>) {
        self.between.clear();
        self.literals.feed(chunk, &mut self.between);
        self.shapes.feed(&self.between, out);
    }

    /// Appends what was held back: the stream has ended.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        self.between.clear();
        self.literals.finish(&mut self.between);
        self.shapes.feed(&self.between, out);
        self.shapes.finish(out);
    }
}

/// Redacts one text.
pub fn text(secrets: &[String], text: &str) -> String {
    let Ok(mut redactor) = Redactor::new(secrets) else { return REDACTED.into() };
    let mut out = Vec::new();
    redactor.feed(text.as_bytes(), &mut out);
    redactor.finish(&mut out);
    String::from_utf8_lossy(&out).into_owned()
}

/// Where the longest end of `buffer` begins that could be the beginning of a pattern: from there on
/// nothing may be shown yet. Patterns that are whole count too, so `len` bounds what is held.
fn partial_match_start<'p>(
    buffer: &[u8],
    patterns: &(impl Iterator<Item = &'p [u8]> + Clone),
    len: usize,
) -> usize {
    let from = buffer.len().saturating_sub(len.saturating_sub(1));
    let mut firsts = [false; 256];
    for first in patterns.clone().filter_map(|pattern| pattern.first()) {
        firsts[usize::from(*first)] = true;
    }
    (from..buffer.len())
        .filter(|start| firsts[usize::from(buffer[*start])])
        .find(|start| patterns.clone().any(|pattern| pattern.starts_with(&buffer[*start..])))
        .unwrap_or(buffer.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn in_chunks(secrets: &[String], input: &[u8], cuts: &[usize]) -> Vec<u8> {
        let mut redactor = Redactor::new(secrets).unwrap();
        let mut out = Vec::new();
        let mut cuts: Vec<_> = cuts.iter().map(|cut| cut % (input.len() + 1)).collect();
        cuts.sort_unstable();
        let mut from = 0;
        for cut in cuts {
            redactor.feed(&input[from..cut], &mut out);
            from = cut;
        }
        redactor.feed(&input[from..], &mut out);
        redactor.finish(&mut out);
        out
    }

    fn secrets(list: &[&str]) -> Vec<String> {
        list.iter().map(|secret| (*secret).to_owned()).collect()
    }

    #[test]
    fn a_secret_is_taken_out_in_every_form_a_program_prints_it() {
        let declared = secrets(&["p@ss/word 1"]);

        let shown = text(
            &declared,
            "plain p@ss/word 1, b64 cEBzcy93b3JkIDE=, url p%40ss%2Fword%201, low p%40ss%2fword%201, form p%40ss%2Fword+1.",
        );

        let r = REDACTED;
        assert_eq!(shown, format!("plain {r}, b64 {r}, url {r}, low {r}, form {r}."));
    }

    #[test]
    fn a_secret_inside_a_longer_base64_text_is_taken_out_whatever_stands_before_it() {
        let secret = "correct horse battery staple";
        let declared = secrets(&[secret]);

        // base64 of "u:…", "us:…" and "usr:…" with the secret behind, as basic authentication does.
        for encoded in [
            "dTpjb3JyZWN0IGhvcnNlIGJhdHRlcnkgc3RhcGxl",
            "dXM6Y29ycmVjdCBob3JzZSBiYXR0ZXJ5IHN0YXBsZQ==",
            "dXNyOmNvcnJlY3QgaG9yc2UgYmF0dGVyeSBzdGFwbGU=",
        ] {
            let shown = text(&declared, encoded);
            assert!(shown.contains(REDACTED), "{shown}");
            assert!(shown.len() < REDACTED.len() + 12, "{shown}");
        }
    }

    #[test]
    fn a_secret_is_taken_out_as_json_writes_it_and_line_by_line() {
        let declared = secrets(&["first line\nsecond \"line\""]);

        assert_eq!(text(&declared, r#""first line\nsecond \"line\"""#), "\"[redacted]\"");
        assert_eq!(text(&declared, "> first line\n> rest"), "> [redacted]\n> rest");
    }

    #[test]
    fn overlapping_secrets_leave_nothing_of_either() {
        let declared = secrets(&["abcdef", "defghi"]);

        assert_eq!(text(&declared, "<abcdefghi>"), "<[redacted]>");
    }

    #[test]
    fn short_secrets_are_ignored() {
        assert_eq!(text(&secrets(&["", "abc"]), "abcabc"), "abcabc");
    }

    #[test]
    fn known_tokens_are_taken_out_and_words_are_not() {
        let github = format!("ghp_{}", "a1B2".repeat(9));
        let pat = format!("github_pat_{}", "a1B2_".repeat(16));
        // Assembled here so that no scanner takes the test for a leak.
        let slack = ["xoxb", "123456789012-abcdefGHIJKL"].join("-");
        let app = ["xapp", "1-A012345-678-abcdef"].join("-");
        let aws = ["AKIA", "IOSFODNN7EXAMPLE"].concat();
        for token in [&github, &pat, &slack, &app, &aws] {
            assert_eq!(text(&[], &format!("a {token} b")), "a [redacted] b");
        }

        assert_eq!(
            text(&[], "Authorization: Bearer abc.def-123456\n"),
            "Authorization: Bearer [redacted]\n"
        );
        for harmless in
            ["xoxb-", "ghp_short", "AKIA of", "a bearer of news", "Bearer of", "-----BEGIN"]
        {
            assert_eq!(text(&[], harmless), harmless);
        }
    }

    #[test]
    fn a_private_key_is_taken_out_whole_and_a_certificate_is_not() {
        let key = "-----BEGIN RSA PRIVATE KEY-----\nMIIabc\ndef==\n-----END RSA PRIVATE KEY-----";
        let certificate = "-----BEGIN CERTIFICATE-----\nMIIabc\n-----END CERTIFICATE-----\n";

        assert_eq!(text(&[], &format!("x\n{key}\ny")), "x\n[redacted]\ny");
        assert_eq!(text(&[], certificate), certificate);
        assert_eq!(text(&[], "-----BEGIN PRIVATE KEY-----\nMIIabc"), "[redacted]");
    }

    #[test]
    fn what_cannot_be_a_secret_is_shown_at_once() {
        let mut redactor = Redactor::new(&secrets(&["hunter2"])).unwrap();
        let mut out = Vec::new();

        redactor.feed(b"line one\nprompt> hun", &mut out);

        assert_eq!(out, b"line one\nprompt> ");
    }

    /// As an encoder that is not ours would print it.
    fn encoded(secret: &str, how: usize) -> String {
        use base64::Engine as _;
        use base64::engine::general_purpose::{
            STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD,
        };
        let percent = |byte: u8| match byte {
            b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' | b'-' | b'.' | b'_' | b'~' => {
                char::from(byte).to_string()
            }
            other => format!("%{other:02X}"),
        };
        match how {
            0 => secret.to_owned(),
            1 => STANDARD.encode(secret),
            2 => STANDARD_NO_PAD.encode(secret),
            3 => URL_SAFE.encode(secret),
            4 => URL_SAFE_NO_PAD.encode(secret),
            5 => secret.bytes().map(percent).collect(),
            6 => secret.bytes().map(percent).map(lower_escapes).collect(),
            _ => form_urlencoded::byte_serialize(secret.as_bytes()).collect(),
        }
    }

    fn lower_escapes(escape: String) -> String {
        if escape.starts_with('%') { escape.to_ascii_lowercase() } else { escape }
    }

    #[test]
    fn a_secret_in_a_wrapped_base64_text_is_taken_out() {
        let secret = "0123456789abcdef".repeat(4);
        let text = encoded(&format!("key={secret}\nmore"), 1);
        let wrapped = format!("{}\r\n{}\n", &text[..76], &text[76..]);

        let shown = super::text(&secrets(&[&secret]), &wrapped);

        assert!(shown.len() < REDACTED.len() + 20, "{shown}");
    }

    proptest! {
        /// Whatever stands before and behind it, whichever way it is encoded, however it is cut.
        #[test]
        fn no_encoding_and_no_split_lets_a_secret_through(
            secret in "[ -~]{6,40}|[a-z文+/ ]{4,20}",
            before in "[a-z0-9:]{0,5}",
            after in "[a-z0-9:]{0,5}",
            how in 0_usize..8,
            cuts in proptest::collection::vec(any::<usize>(), 0..12),
        ) {
            prop_assume!(secret.len() >= 4);
            let input = if (1..5).contains(&how) {
                // Inside a longer text that is encoded as a whole.
                encoded(&format!("{before}{secret}{after}"), how)
            } else {
                format!("{before}{}{after}", encoded(&secret, how))
            };
            let out = in_chunks(std::slice::from_ref(&secret), input.as_bytes(), &cuts);
            let shown = String::from_utf8_lossy(&out).into_owned();

            prop_assert!(shown.contains(REDACTED), "{} in {}", shown, input);
            // What surrounds it takes at most its own encoding, and a letter that it shares.
            let around = (before.len() + after.len()) * 2 + 8;
            prop_assert!(shown.len() <= REDACTED.len() + around, "{} of {}", shown, input);
        }

        #[test]
        fn no_split_lets_a_secret_through_and_the_rest_stays_in_order(
            secret in "[a-d]{4,8}",
            parts in proptest::collection::vec("[e-hxg_ \n-]{0,12}", 1..6),
            cuts in proptest::collection::vec(any::<usize>(), 0..12),
        ) {
            let input = parts.join(&secret);
            let out = in_chunks(std::slice::from_ref(&secret), input.as_bytes(), &cuts);
            let shown = String::from_utf8(out).unwrap();

            // Secrets that touch become one mark; those that a line end parts may, as a wrapped one would.
            let joined = |text: String| {
                let mut text = text;
                while text.contains("][") || text.contains("]\n[") {
                    text = text.replace("[redacted][redacted]", REDACTED);
                    text = text.replace("[redacted]\n[redacted]", REDACTED);
                }
                text
            };
            prop_assert!(!shown.contains(&secret));
            prop_assert_eq!(joined(shown), joined(input.replace(&secret, REDACTED)));
        }

        #[test]
        fn a_stream_is_redacted_alike_however_it_is_cut(
            secret_list in proptest::collection::vec("[ab]{4,7}", 0..4),
            input in "([ab]{0,20}|xoxb-[0-9a-z-]{0,14}|ghp_[a-z]{0,40}|Bearer [a-z]{0,12}| |AKIA[A-Z]{0,20}|-----BEGIN [A-Z]{0,5} ?PRIVATE KEY-----|[a-z\n]{0,9}|-----END KEY-----){0,12}",
            cuts in proptest::collection::vec(any::<usize>(), 0..20),
        ) {
            let whole = in_chunks(&secret_list, input.as_bytes(), &[]);
            let cut = in_chunks(&secret_list, input.as_bytes(), &cuts);

            for secret in &secret_list {
                let shown = String::from_utf8_lossy(&cut);
                prop_assert!(!shown.contains(secret.as_str()), "{} in {}", secret, shown);
            }
            prop_assert_eq!(String::from_utf8_lossy(&whole), String::from_utf8_lossy(&cut));
        }

        #[test]
        fn memory_is_bounded_whatever_the_stream(unit in "[ab\r\n-]{1,9}") {
            let mut redactor = Redactor::new(&secrets(&["abababab", "aaaaaaaa"])).unwrap();
            let mut out = Vec::new();
            for _ in 0..2_000 {
                redactor.feed(unit.as_bytes(), &mut out);
                out.clear();
            }
            prop_assert!(redactor.literals.held() + redactor.shapes.held() < 256);
        }
    }
}
