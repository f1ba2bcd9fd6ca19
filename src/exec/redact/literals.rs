//! The first pass: the declared secrets, in the forms in which programs print them.
//!
//! Every occurrence counts, overlapping ones too: the union of them is replaced, so that no part of
//! a secret stays because another one began inside it. Line ends are looked through, since `base64` and
//! terminals break long lines anywhere.

use super::{REDACTED, partial_match_start};
use aho_corasick::{AhoCorasick, BuildError};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::Arc;

/// A shorter secret would take ordinary words out of the text.
const SECRET_BYTES_MIN: usize = 4;
/// A shorter line of a longer secret would, too.
const PIECE_BYTES_MIN: usize = 8;

pub(super) struct Literals {
    forms: Arc<[Vec<u8>]>,
    search: AhoCorasick,
    form_bytes_max: usize,
    /// What may still become a match.
    held: Vec<u8>,
    /// `held` without its line ends, and where they were in it; reused.
    line: Unbroken,
    /// This much of `held` belongs to a match that is marked already; `None` when the text just
    /// before `held` was not a match.
    marked: Option<usize>,
}

/// A text without its single line ends. An empty line stays: nothing is looked for across it, and
/// what is held stays bounded.
#[derive(Default)]
struct Unbroken {
    text: Vec<u8>,
    /// For each line end that was left out: how much of `text` stands before it.
    breaks: Vec<usize>,
}

impl Unbroken {
    fn read(&mut self, whole: &[u8]) {
        self.text.clear();
        self.breaks.clear();
        let mut from = 0;
        for at in memchr::memchr2_iter(b'\n', b'\r', whole) {
            self.text.extend_from_slice(&whole[from..at]);
            let is_second = at == from && at > 0 && &whole[at - 1..=at] != b"\r\n";
            if is_second {
                self.text.push(whole[at]);
            } else {
                self.breaks.push(self.text.len());
            }
            from = at + 1;
        }
        self.text.extend_from_slice(&whole[from..]);
    }

    /// Where the byte at `index` of the text stands in the whole.
    fn in_whole(&self, index: usize) -> usize {
        index + self.breaks.partition_point(|before| *before <= index)
    }
}

impl Literals {
    pub fn new(secrets: &[String]) -> Result<Self, BuildError> {
        let forms: BTreeSet<Vec<u8>> = secrets
            .iter()
            .filter(|secret| secret.len() >= SECRET_BYTES_MIN)
            .flat_map(|secret| forms_of(secret))
            .map(|form| {
                let mut unbroken = Unbroken::default();
                unbroken.read(&form);
                unbroken.text
            })
            .filter(|form: &Vec<u8>| form.len() >= SECRET_BYTES_MIN)
            .collect();
        let forms: Arc<[_]> = forms.into_iter().collect();
        Ok(Self {
            search: AhoCorasick::new(forms.iter())?,
            form_bytes_max: forms.iter().map(Vec::len).max().unwrap_or(0),
            forms,
            held: Vec::new(),
            line: Unbroken::default(),
            marked: None,
        })
    }

    pub fn another(&self) -> Self {
        Self {
            forms: Arc::clone(&self.forms),
            search: self.search.clone(),
            form_bytes_max: self.form_bytes_max,
            held: Vec::new(),
            line: Unbroken::default(),
            marked: None,
        }
    }

    pub fn feed(&mut self, chunk: &[u8], out: &mut Vec<u8>) {
        if self.forms.is_empty() {
            out.extend_from_slice(chunk);
            return;
        }
        self.held.extend_from_slice(chunk);
        self.line.read(&self.held);
        let patterns = self.forms.iter().map(Vec::as_slice);
        let safe = partial_match_start(&self.line.text, &patterns, self.form_bytes_max);
        let is_all = safe == self.line.text.len();
        let safe = if is_all { self.held.len() } else { self.line.in_whole(safe) };
        self.emit(safe, out);
    }

    pub fn finish(&mut self, out: &mut Vec<u8>) {
        self.line.read(&self.held);
        self.emit(self.held.len(), out);
    }

    /// Emits everything before `safe`: no match that is not yet whole begins there.
    fn emit(&mut self, safe: usize, out: &mut Vec<u8>) {
        // How far the text is dealt with, and whether a mark stands for what is just before.
        let mut done = self.marked.unwrap_or(0);
        let mut is_marked = self.marked.is_some();
        for (start, end) in self.matches() {
            if is_marked && start <= done {
                done = done.max(end);
                continue;
            }
            // A match that begins in what is held will be found again.
            if start >= safe {
                break;
            }
            out.extend_from_slice(&self.held[done..start]);
            out.extend_from_slice(REDACTED.as_bytes());
            done = end;
            is_marked = true;
        }
        if done < safe {
            out.extend_from_slice(&self.held[done..safe]);
            done = safe;
            is_marked = false;
        }
        self.held.drain(..safe);
        self.marked = is_marked.then_some(done - safe);
    }

    /// Every occurrence, by its beginning.
    fn matches(&self) -> Vec<(usize, usize)> {
        let line = &self.line;
        // Most of what is printed holds none, and finding that out is the quicker search.
        if !self.search.is_match(&line.text) {
            return Vec::new();
        }
        let mut found: Vec<_> = self
            .search
            .find_overlapping_iter(&line.text)
            .map(|found| (line.in_whole(found.start()), line.in_whole(found.end() - 1) + 1))
            .collect();
        found.sort_unstable();
        found
    }

    #[cfg(test)]
    pub fn held(&self) -> usize {
        self.held.len()
    }
}

/// The ways in which a program may print a secret.
fn forms_of(secret: &str) -> Vec<Vec<u8>> {
    let mut forms = vec![secret.as_bytes().to_vec()];
    for plain in PLAIN_SETS {
        for space in ["%20", "+"] {
            forms.push(percent_encoded(secret, plain, space, char::to_ascii_lowercase));
            forms.push(percent_encoded(secret, plain, space, char::to_ascii_uppercase));
        }
    }
    if let Ok(json) = serde_json::to_string(secret) {
        forms.push(json.as_bytes()[1..json.len() - 1].to_vec());
    }
    for alphabet in [STANDARD, URL_SAFE] {
        forms.push(base64(alphabet, secret.as_bytes()));
        // The same secret behind one or two other bytes, and before others: only the characters
        // that depend on nothing but the secret.
        for before in 0..3 {
            let mut shifted = vec![0; before];
            shifted.extend_from_slice(secret.as_bytes());
            let first = (before * 8).div_ceil(6);
            let last = shifted.len() * 8 / 6;
            forms.push(base64(alphabet, &shifted)[first..last].to_vec());
        }
    }
    let lines = secret.lines().map(str::trim).filter(|line| line.len() >= PIECE_BYTES_MIN);
    forms.extend(lines.map(|line| line.as_bytes().to_vec()));
    forms
}

/// What encoders leave as it is besides letters and digits: RFC 3986, `encodeURIComponent`, HTML forms,
/// `encodeURI`, Python's `quote`; and one that leaves nothing.
const PLAIN_SETS: [Option<&str>; 6] = [
    Some("-._~"),
    Some("-._~!'()*"),
    Some("*-._"),
    Some("-._~!'()*;/?:@&=+$,#"),
    Some("-._~/"),
    None,
];

fn percent_encoded(
    secret: &str,
    plain: Option<&str>,
    space: &str,
    letter_case: fn(&char) -> char,
) -> Vec<u8> {
    let mut text = String::new();
    for byte in secret.bytes() {
        let letter = char::from(byte);
        let is_plain =
            plain.is_some_and(|plain| letter.is_ascii_alphanumeric() || plain.contains(letter));
        if byte.is_ascii() && is_plain {
            text.push(letter);
        } else if byte == b' ' {
            text.push_str(space);
        } else {
            let mut escape = String::new();
            // Writing to a String cannot fail.
            _ = write!(escape, "%{byte:02x}");
            text.extend(escape.chars().map(|letter| letter_case(&letter)));
        }
    }
    text.into_bytes()
}

const STANDARD: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const URL_SAFE: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// Base64 with padding (RFC 4648).
fn base64(alphabet: &[u8; 64], bytes: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let byte = |index: usize| u32::from(group.get(index).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for (index, shift) in [18, 12, 6, 0].into_iter().enumerate() {
            let letter = alphabet[(bits >> shift & 63) as usize];
            text.push(if index <= group.len() { letter } else { b'=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_that_of_the_standard() {
        // RFC 4648, section 10.
        for (plain, encoded) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(base64(STANDARD, plain.as_bytes()), encoded.as_bytes());
        }
    }
}
