//! The second pass: tokens that are known by their shape, whoever declared them.
//!
//! A token is a known beginning and at least so many characters of its alphabet; once it is known
//! for one, the rest of it is dropped as it comes, so that nothing long is ever held.

use super::{REDACTED, partial_match_start};
use aho_corasick::{AhoCorasick, BuildError, Input, MatchKind};

struct Shape {
    prefix: &'static [u8],
    /// Shown again before the mark, for a word that is no secret itself.
    keep: &'static [u8],
    body_bytes_min: usize,
    is_body: fn(u8) -> bool,
}

const fn token(prefix: &'static [u8], body_bytes_min: usize, is_body: fn(u8) -> bool) -> Shape {
    Shape { prefix, keep: b"", body_bytes_min, is_body }
}

/// Slack: <https://docs.slack.dev/authentication/tokens>. GitHub:
/// <https://github.blog/2021-04-05-behind-githubs-new-authentication-token-formats>. AWS: IAM
/// unique identifiers. GitLab, npm, Google, Stripe, OpenAI, SendGrid, DigitalOcean: their own pages on
/// tokens. `eyJ`: RFC 7519. Bearer: RFC 6750, section 2.1. Basic: RFC 7617.
static SHAPES: &[Shape] = &[
    token(b"xoxb-", 10, is_word_or_dash),
    token(b"xoxp-", 10, is_word_or_dash),
    token(b"xoxa-", 10, is_word_or_dash),
    token(b"xoxr-", 10, is_word_or_dash),
    token(b"xoxs-", 10, is_word_or_dash),
    token(b"xoxe-", 10, is_word_or_dash),
    token(b"xoxe.", 10, is_word_or_dash_or_dot),
    token(b"xoxc-", 10, is_word_or_dash),
    token(b"xoxd-", 10, is_word_or_dash_or_percent),
    token(b"xapp-", 10, is_word_or_dash),
    token(b"xwfp-", 10, is_word_or_dash),
    token(b"ghp_", 30, is_word),
    token(b"gho_", 30, is_word),
    token(b"ghu_", 30, is_word),
    token(b"ghs_", 30, is_word),
    token(b"ghr_", 30, is_word),
    token(b"github_pat_", 30, is_word),
    token(b"glpat-", 20, is_word_or_dash_or_dot),
    token(b"npm_", 36, is_word),
    token(b"AIza", 35, is_word_or_dash),
    token(b"sk_live_", 16, is_word),
    token(b"rk_live_", 16, is_word),
    token(b"sk-ant-", 20, is_word_or_dash),
    token(b"sk-proj-", 20, is_word_or_dash),
    token(b"SG.", 40, is_word_or_dash_or_dot),
    token(b"dop_v1_", 32, is_word),
    token(b"eyJ", 40, is_word_or_dash_or_dot),
    Shape {
        prefix: b"hooks.slack.com/services/",
        keep: b"hooks.slack.com/services/",
        body_bytes_min: 16,
        is_body: is_path,
    },
    token(b"AKIA", 16, is_upper_or_digit),
    token(b"ASIA", 16, is_upper_or_digit),
    Shape { prefix: b"Bearer ", keep: b"Bearer ", body_bytes_min: 8, is_body: is_bearer },
    Shape { prefix: b"bearer ", keep: b"bearer ", body_bytes_min: 8, is_body: is_bearer },
    Shape {
        prefix: b"Authorization: Basic ",
        keep: b"Authorization: Basic ",
        body_bytes_min: 4,
        is_body: is_bearer,
    },
    Shape {
        prefix: b"authorization: Basic ",
        keep: b"authorization: Basic ",
        body_bytes_min: 4,
        is_body: is_bearer,
    },
];

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

fn is_word_or_dash(byte: u8) -> bool {
    is_word(byte) || byte == b'-'
}

fn is_word_or_dash_or_dot(byte: u8) -> bool {
    is_word_or_dash(byte) || byte == b'.'
}

fn is_word_or_dash_or_percent(byte: u8) -> bool {
    is_word_or_dash(byte) || b"%+/=.".contains(&byte)
}

fn is_path(byte: u8) -> bool {
    is_word(byte) || byte == b'/'
}

fn is_upper_or_digit(byte: u8) -> bool {
    byte.is_ascii_uppercase() || byte.is_ascii_digit()
}

fn is_bearer(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte)
}

/// Longer than every beginning.
const PREFIX_BYTES_MAX: usize = 32;
const KEY_BEGIN: &[u8] = b"-----BEGIN ";
const KEY_KIND: &[u8] = b"PRIVATE KEY";
const KEY_END: &[u8] = b"-----END ";
const KEY_RULE: &[u8] = b"-----";
/// The longest first line of a key.
const KEY_LINE_BYTES_MAX: usize = 80;
/// After this much without an end it was no key; an RSA key of 8192 bits has less than 7,000.
const KEY_BYTES_MAX: usize = 16 * 1024;

#[derive(Debug, Clone, Copy)]
enum State {
    Text,
    /// Dropping the rest of a token of this shape.
    Token(usize),
    /// Dropping a key until its end line; how much was dropped.
    Key(usize),
    /// Dropping the end line until its rule; how much was dropped.
    KeyEnd(usize),
}

pub(super) struct Shapes {
    search: AhoCorasick,
    held: Vec<u8>,
    state: State,
}

/// What became of the beginning of the buffer.
enum Found {
    /// This much is done with; go on in the (possibly new) state.
    Done(usize),
    /// It needs more of the stream to be decided.
    More,
}

fn prefixes() -> impl Iterator<Item = &'static [u8]> + Clone {
    SHAPES.iter().map(|shape| shape.prefix).chain([KEY_BEGIN])
}

impl Shapes {
    pub fn new() -> Result<Self, BuildError> {
        let search =
            AhoCorasick::builder().match_kind(MatchKind::LeftmostFirst).build(prefixes())?;
        Ok(Self { search, held: Vec::new(), state: State::Text })
    }

    pub fn another(&self) -> Self {
        Self { search: self.search.clone(), held: Vec::new(), state: State::Text }
    }

    pub fn feed(&mut self, chunk: &[u8], out: &mut Vec<u8>) {
        self.held.extend_from_slice(chunk);
        self.advance(false, out);
    }

    pub fn finish(&mut self, out: &mut Vec<u8>) {
        self.advance(true, out);
        self.held.clear();
    }

    fn advance(&mut self, ended: bool, out: &mut Vec<u8>) {
        let held = std::mem::take(&mut self.held);
        let mut at = 0;
        while at < held.len() {
            let found = match self.state {
                State::Text => self.text(&held, at, ended, out),
                State::Token(shape) => self.token(&held[at..], shape),
                State::Key(dropped) => self.key(&held[at..], dropped),
                State::KeyEnd(dropped) => self.key_end(&held[at..], dropped),
            };
            match found {
                Found::Done(count) => at += count,
                Found::More => break,
            }
        }
        self.held = held;
        self.held.drain(..at);
    }

    /// Shows text up to the next token.
    fn text(&mut self, held: &[u8], at: usize, ended: bool, out: &mut Vec<u8>) -> Found {
        let rest = &held[at..];
        let Some(found) = self.search.find(Input::new(rest)) else {
            let safe = if ended { rest.len() } else { partial_prefix(rest) };
            out.extend_from_slice(&rest[..safe]);
            return if safe == 0 { Found::More } else { Found::Done(safe) };
        };
        if found.start() > 0 {
            out.extend_from_slice(&rest[..found.start()]);
            return Found::Done(found.start());
        }
        let index = found.pattern().as_usize();
        let Some(shape) = SHAPES.get(index) else { return self.key_line(rest, ended, out) };
        let body = &rest[shape.prefix.len()..];
        let run = body.iter().take(shape.body_bytes_min).take_while(|byte| (shape.is_body)(**byte));
        let run = run.count();
        if run == shape.body_bytes_min {
            out.extend_from_slice(shape.keep);
            out.extend_from_slice(REDACTED.as_bytes());
            self.state = State::Token(index);
            Found::Done(shape.prefix.len() + run)
        } else if run == body.len() && !ended {
            Found::More
        } else {
            out.push(rest[0]);
            Found::Done(1)
        }
    }

    fn token(&mut self, rest: &[u8], shape: usize) -> Found {
        let run = rest.iter().take_while(|byte| (SHAPES[shape].is_body)(**byte)).count();
        if run < rest.len() {
            self.state = State::Text;
        }
        Found::Done(run)
    }

    /// `rest` begins like a key or a certificate; its line says which.
    fn key_line(&mut self, rest: &[u8], ended: bool, out: &mut Vec<u8>) -> Found {
        let line = &rest[..rest.len().min(KEY_LINE_BYTES_MAX)];
        let line = line.split(|byte| *byte == b'\n').next().unwrap_or_default();
        if let Some(kind) = position_of(KEY_KIND, line) {
            out.extend_from_slice(REDACTED.as_bytes());
            self.state = State::Key(0);
            return Found::Done(kind + KEY_KIND.len());
        }
        if line.len() == rest.len() && line.len() < KEY_LINE_BYTES_MAX && !ended {
            return Found::More;
        }
        out.push(rest[0]);
        Found::Done(1)
    }

    fn key(&mut self, rest: &[u8], dropped: usize) -> Found {
        let left = KEY_BYTES_MAX.saturating_sub(dropped);
        let rest = &rest[..rest.len().min(left)];
        if let Some(end) = position_of(KEY_END, rest) {
            self.state = State::KeyEnd(0);
            return Found::Done(end + KEY_END.len());
        }
        if rest.len() == left {
            self.state = State::Text;
            return Found::Done(left);
        }
        // What may be the beginning of the end line stays.
        let safe = partial_match_start(rest, &std::iter::once(KEY_END), KEY_END.len());
        self.state = State::Key(dropped + safe);
        if safe == 0 { Found::More } else { Found::Done(safe) }
    }

    fn key_end(&mut self, rest: &[u8], dropped: usize) -> Found {
        let left = KEY_LINE_BYTES_MAX.saturating_sub(dropped);
        let rest = &rest[..rest.len().min(left)];
        let rule = position_of(KEY_RULE, rest).map(|rule| rule + KEY_RULE.len());
        let line = rest.iter().position(|byte| *byte == b'\n');
        if let Some(line) = line.filter(|line| rule.is_none_or(|rule| *line < rule)) {
            self.state = State::Text;
            return Found::Done(line);
        }
        if let Some(rule) = rule {
            self.state = State::Text;
            return Found::Done(rule);
        }
        if rest.len() == left {
            self.state = State::Text;
            return Found::Done(left);
        }
        let safe = partial_match_start(rest, &std::iter::once(KEY_RULE), KEY_RULE.len());
        self.state = State::KeyEnd(dropped + safe);
        if safe == 0 { Found::More } else { Found::Done(safe) }
    }

    #[cfg(test)]
    pub fn held(&self) -> usize {
        self.held.len()
    }
}

fn partial_prefix(rest: &[u8]) -> usize {
    partial_match_start(rest, &prefixes(), PREFIX_BYTES_MAX)
}

fn position_of(needle: &[u8], haystack: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_beginning_is_held_back_whole() {
        assert!(prefixes().all(|prefix| prefix.len() < PREFIX_BYTES_MAX));
    }
}
