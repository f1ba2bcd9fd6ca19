//! Identifiers as types, so that a user can never be passed where a run is meant.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Crockford's base 32: no I, L, O or U, so that an id read aloud at 3 a.m. is typed back right.
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
/// Characters after the prefix of a run id: 40 random bits.
const RUN_CHARS: usize = 8;
/// Characters after the prefix of an attempt id: 80 random bits.
const ATTEMPT_CHARS: usize = 16;

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// Takes an id that came from our own store or from a verified request.
            pub fn new(text: impl Into<String>) -> Self {
                Self(text.into())
            }

            /// The id as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str(&self.0)
            }
        }
    };
}

text_id!(
    /// A Slack user id (`U…` or `W…`), within the configured team.
    UserId
);
text_id!(
    /// A Slack conversation id (`C…`, `D…`, `G…`).
    ChannelId
);
text_id!(
    /// A run: `R-` and eight characters of Crockford's base 32.
    RunId
);
text_id!(
    /// An alert: `AL-` and eight characters of Crockford's base 32.
    AlertId
);
text_id!(
    /// A silence of alerts: `SL-` and eight characters of Crockford's base 32.
    SilenceId
);
text_id!(
    /// What is to be done after an incident: `FU-` and eight characters of Crockford's base 32.
    FollowUpId
);
text_id!(
    /// One try of one step: `A-` and sixteen characters; names the attempt's evidence folder.
    AttemptId
);

impl AlertId {
    /// Makes an alert id from random bytes.
    pub fn from_entropy(entropy: [u8; RUN_CHARS]) -> Self {
        Self(encode("AL-", &entropy))
    }

    /// Reads an alert id as a person types it, as [`RunId::parse`] does.
    pub fn parse(text: &str) -> Option<Self> {
        typed("AL-", text).map(Self)
    }
}

impl SilenceId {
    /// Makes one from random bytes.
    pub fn from_entropy(entropy: [u8; RUN_CHARS]) -> Self {
        Self(encode("SL-", &entropy))
    }

    /// Reads one as a person types it, as [`RunId::parse`] does.
    pub fn parse(text: &str) -> Option<Self> {
        typed("SL-", text).map(Self)
    }
}

impl FollowUpId {
    /// Makes one from random bytes.
    pub fn from_entropy(entropy: [u8; RUN_CHARS]) -> Self {
        Self(encode("FU-", &entropy))
    }

    /// Reads one as a person types it, as [`RunId::parse`] does.
    pub fn parse(text: &str) -> Option<Self> {
        typed("FU-", text).map(Self)
    }
}

impl RunId {
    /// Makes a run id from random bytes.
    pub fn from_entropy(entropy: [u8; RUN_CHARS]) -> Self {
        Self(encode("R-", &entropy))
    }

    /// Reads a run id as a person types it: any case, `O` for `0`, `I` or `L` for `1`, with or
    /// without the `R-`. `None` when it cannot be one.
    pub fn parse(text: &str) -> Option<Self> {
        typed("R-", text).map(Self)
    }
}

impl AttemptId {
    /// Makes an attempt id from random bytes.
    pub fn from_entropy(entropy: [u8; ATTEMPT_CHARS]) -> Self {
        Self(encode("A-", &entropy))
    }
}

/// An id as a person types it.
fn typed(prefix: &str, text: &str) -> Option<String> {
    let upper = text.trim().to_ascii_uppercase();
    let body = upper.strip_prefix(prefix).unwrap_or(&upper);
    let mut id = String::from(prefix);
    for letter in body.chars() {
        let letter = match letter {
            'O' => '0',
            'I' | 'L' => '1',
            other => other,
        };
        if !ALPHABET.contains(&u8::try_from(letter).ok()?) {
            return None;
        }
        id.push(letter);
    }
    (id.len() == prefix.len() + RUN_CHARS).then_some(id)
}

/// Five bits of each byte become one character.
fn encode(prefix: &str, entropy: &[u8]) -> String {
    let letters = entropy.iter().map(|byte| char::from(ALPHABET[usize::from(byte & 31)]));
    prefix.chars().chain(letters).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_run_id_is_read_as_people_type_it() {
        let id = RunId::from_entropy([0, 1, 2, 3, 28, 29, 30, 31]);

        assert_eq!(id.as_str(), "R-0123WXYZ");
        assert_eq!(RunId::parse("r-o123wxyz"), Some(id.clone()));
        assert_eq!(RunId::parse(" 0l23WXYZ "), Some(id));
        assert_eq!(AlertId::parse("al-o123wxyz").unwrap().as_str(), "AL-0123WXYZ");
        assert_eq!(AlertId::parse("R-0123WXYZ"), None);
        assert_eq!(RunId::parse("R-123"), None);
        assert_eq!(RunId::parse("R-0123WXY!"), None);
    }

    proptest! {
        #[test]
        fn an_id_survives_being_typed_back(entropy: [u8; 8]) {
            let id = RunId::from_entropy(entropy);
            prop_assert_eq!(RunId::parse(&id.as_str().to_lowercase()), Some(id));
        }

        #[test]
        fn reading_an_id_never_panics(text: String) {
            let _ = RunId::parse(&text);
        }
    }
}
