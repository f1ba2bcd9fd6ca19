//! Notices that do not go through Slack: mail, and PagerDuty. Each sends one notice and says what came of
//! it; what is due, in which order and how often is the outbox's.

pub mod email;
pub mod heartbeat;
pub mod pagerduty;

use std::time::Duration;

/// How long a connection may take to be made.
const CONNECT_TIME_MAX: Duration = Duration::from_secs(5);
/// Characters of another side's words that are kept.
const WORDS_CHARS_MAX: usize = 200;

/// What came of sending one notice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delivery {
    /// It was taken, under this name.
    Taken(String),
    /// It was certainly not taken, and why; later it may be.
    NotTaken(String),
    /// The same, and not before this many milliseconds.
    Wait(u64),
    /// It may have been taken.
    Unknown,
    /// It will never be taken.
    Refused(String),
}

/// What a failure began with, in its words.
fn cause(error: &dyn std::error::Error) -> String {
    let mut first = error;
    while let Some(deeper) = first.source() {
        first = deeper;
    }
    words(&first.to_string())
}

/// Another side's words, for the journal and the log.
fn words(text: &str) -> String {
    crate::core::told::cut(crate::core::told::one_line(text), WORDS_CHARS_MAX)
}
