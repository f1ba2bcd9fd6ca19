//! The first pass: the declared secrets, in the forms in which programs print them.
//!
//! Every occurrence counts, overlapping ones too: the union of them is replaced, so that no part of
//! a secret stays because another one began inside it.

use super::{REDACTED, partial_match_start};
use aho_corasick::{AhoCorasick, BuildError};
use std::collections::BTreeSet;
use std::fmt::Write as _;

/// A shorter secret would take ordinary words out of the text.
const SECRET_BYTES_MIN: usize = 4;
/// A shorter piece of a longer encoding would, too.
const PIECE_BYTES_MIN: usize = 8;

pub(super) struct Literals {
    forms: Vec<Vec<u8>>,
    search: AhoCorasick,
    form_bytes_max: usize,
    /// What may still become a match.
    held: Vec<u8>,
    /// This much of `held` belongs to a match that is marked already; `None` when the text just
    /// before `held` was not a match.
    marked: Option<usize>,
}

impl Literals {
    pub fn new(secrets: &[String]) -> Result<Self, BuildError> {
        let forms: BTreeSet<Vec<u8>> = secrets
            .iter()
            .filter(|secret| secret.len() >= SECRET_BYTES_MIN)
            .flat_map(|secret| forms_of(secret))
            .collect();
        let forms: Vec<_> = forms.into_iter().collect();
        Ok(Self {
            search: AhoCorasick::new(&forms)?,
            form_bytes_max: forms.iter().map(Vec::len).max().unwrap_or(0),
            forms,
            held: Vec::new(),
            marked: None,
        })
    }

    pub fn feed(&mut self, chunk: &[u8], out: &mut Vec<u8>) {
        self.held.extend_from_slice(chunk);
        let patterns = self.forms.iter().map(Vec::as_slice);
        let safe = partial_match_start(&self.held, &patterns, self.form_bytes_max);
        self.emit(safe, out);
    }

    pub fn finish(&mut self, out: &mut Vec<u8>) {
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
        let mut found: Vec<_> = self
            .search
            .find_overlapping_iter(&self.held)
            .map(|found| (found.start(), found.end()))
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
    for spaces in ["%20", "+"] {
        let encoded = percent_encoded(secret, spaces);
        forms.push(encoded.to_uppercase_escapes());
        forms.push(encoded.0.into_bytes());
    }
    if let Ok(json) = serde_json::to_string(secret) {
        forms.push(json.as_bytes()[1..json.len() - 1].to_vec());
    }
    for alphabet in [STANDARD, URL_SAFE] {
        let whole = base64(alphabet, secret.as_bytes());
        forms.push(whole.clone());
        // The same secret behind one or two other bytes, and before others: only the characters
        // that depend on nothing but the secret.
        for before in 0..3 {
            let mut shifted = vec![0; before];
            shifted.extend_from_slice(secret.as_bytes());
            let first = (before * 8).div_ceil(6);
            let last = shifted.len() * 8 / 6;
            let piece = &base64(alphabet, &shifted)[first..last];
            if piece.len() >= PIECE_BYTES_MIN {
                forms.push(piece.to_vec());
            }
        }
    }
    let lines = secret.lines().map(str::trim).filter(|line| line.len() >= PIECE_BYTES_MIN);
    forms.extend(lines.map(|line| line.as_bytes().to_vec()));
    forms
}

/// With escapes in small letters.
struct PercentEncoded(String);

fn percent_encoded(secret: &str, space: &str) -> PercentEncoded {
    let mut text = String::new();
    for byte in secret.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                text.push(char::from(byte));
            }
            b' ' => text.push_str(space),
            // Writing to a String cannot fail.
            _ => _ = write!(text, "%{byte:02x}"),
        }
    }
    PercentEncoded(text)
}

impl PercentEncoded {
    fn to_uppercase_escapes(&self) -> Vec<u8> {
        let mut bytes = self.0.clone().into_bytes();
        for index in 0..bytes.len() {
            if index.checked_sub(1).is_some_and(|before| bytes[before] == b'%')
                || index.checked_sub(2).is_some_and(|before| bytes[before] == b'%')
            {
                bytes[index].make_ascii_uppercase();
            }
        }
        bytes
    }
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
