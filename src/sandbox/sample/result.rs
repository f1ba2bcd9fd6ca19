//! The result line of a command: its last one, which the bot reads and people see on the card.

use serde_json::{Value, json};
use std::io::{self, Write};

/// Whether what was looked at is in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    Passed,
    Failed,
}

/// A number beside the last time's: its name, how much, and what people call it in Chinese and English.
pub(super) type Figure = (&'static str, u64, &'static str, &'static str);

/// Writes the line, and says whether all was in order.
pub(super) fn conclude(
    out: &mut dyn Write,
    (name, outcome): (&str, Outcome),
    (zh, en): (&str, &str),
    figures: &[Figure],
) -> io::Result<bool> {
    let figures: Vec<Value> = figures
        .iter()
        .map(|(name, value, zh, en)| json!({"name": name, "value": value, "zh": zh, "en": en}))
        .collect();
    let line = Line { result: name, outcome: outcome.word(), zh, en, figures };
    writeln!(out, "{}", serde_json::to_string(&line)?)?;
    Ok(outcome == Outcome::Passed)
}

impl Outcome {
    fn word(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed => "failed",
        }
    }
}

/// In this order: by its first key it is known.
#[derive(serde::Serialize)]
struct Line<'l> {
    result: &'l str,
    outcome: &'l str,
    zh: &'l str,
    en: &'l str,
    figures: Vec<Value>,
}
