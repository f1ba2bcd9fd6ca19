//! What is wrong with a file that a person wrote: where, what, and what to do about it.
//!
//! Faults are gathered, never thrown: a person who fixes a file wants all of them at once.

use std::fmt;

/// Faults kept for one reading; a file with more is not the file that was meant.
const FAULTS_MAX: usize = 100;

/// From this length on the beginning of a word is taken for the word.
const PREFIX_BYTES_MIN: usize = 3;

/// A longer word is no misspelling of anything.
const MISSPELT_CHARS_MAX: usize = 100;
/// A message that quotes the file is cut here.
const MESSAGE_CHARS_MAX: usize = 500;

/// One thing to fix.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fault {
    /// The file as the person named it, or the name of an environment variable.
    pub file: String,
    /// From 1; 0 when the fault has no place in a file.
    pub line: usize,
    /// From 1, in characters and not bytes; 0 when the fault has no place in a file.
    pub column: usize,
    /// What is wrong; one sentence, no full stop.
    pub message: String,
    /// What to do instead, where that is known.
    pub suggestion: Option<String>,
}

impl Fault {
    /// A fault of a whole file, an environment variable or a machine.
    pub fn whole(file: impl Into<String>, message: impl Into<String>) -> Self {
        Self { file: file.into(), line: 0, column: 0, message: message.into(), suggestion: None }
    }

    /// The same fault with a way out.
    #[must_use]
    pub fn suggest(mut self, suggestion: impl Into<String>) -> Self {
        self.suggestion = Some(suggestion.into());
        self
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.file)?;
        if self.line > 0 {
            write!(out, ":{}:{}", self.line, self.column)?;
        }
        write!(out, ": {}", self.message)?;
        if let Some(suggestion) = &self.suggestion {
            write!(out, "\n    {suggestion}")?;
        }
        Ok(())
    }
}

/// All faults as a person reads them, one after the other.
pub fn listing(faults: &[Fault]) -> String {
    let mut text = faults.iter().map(Fault::to_string).collect::<Vec<_>>().join("\n");
    if !text.is_empty() {
        text.push('\n');
    }
    text
}

/// A place in a file: line and column from 1, the column in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Position {
    pub line: usize,
    pub column: usize,
}

/// Gathers the faults of one file.
#[derive(Debug)]
pub(super) struct Faults {
    file: String,
    list: Vec<Fault>,
    /// How many did not fit.
    dropped: usize,
}

impl Faults {
    pub fn new(file: impl Into<String>) -> Self {
        Self { file: file.into(), list: Vec::new(), dropped: 0 }
    }

    pub fn add(&mut self, at: Position, message: impl Into<String>) {
        self.push(at, &message.into(), None);
    }

    pub fn add_with(
        &mut self,
        at: Position,
        message: impl Into<String>,
        suggestion: impl Into<String>,
    ) {
        self.push(at, &message.into(), Some(&suggestion.into()));
    }

    fn push(&mut self, at: Position, message: &str, suggestion: Option<&str>) {
        if self.list.len() >= FAULTS_MAX {
            self.dropped += 1;
            return;
        }
        let Position { line, column } = at;
        let (message, suggestion) = (printable(message), suggestion.map(printable));
        self.list.push(Fault { file: self.file.clone(), line, column, message, suggestion });
    }

    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// In the order of the file; says how many more there were.
    pub fn finish(mut self) -> Vec<Fault> {
        self.list.sort();
        self.list.dedup();
        if self.dropped > 0 {
            let more = format!("and {} more faults, not listed", self.dropped);
            self.list.push(Fault::whole(self.file, more));
        }
        self.list
    }
}

/// A file's words may hold escapes that a terminal would obey, and may be long.
fn printable(message: &str) -> String {
    let mut letters = message.chars();
    let shown = |letter: char| if letter.is_control() { '\u{fffd}' } else { letter };
    let mut text = letters.by_ref().take(MESSAGE_CHARS_MAX).map(shown).collect::<String>();
    if letters.next().is_some() {
        text.push('…');
    }
    text
}

/// The candidate that a misspelt word most likely meant.
pub(super) fn did_you_mean<'c>(
    word: &str,
    candidates: impl IntoIterator<Item = &'c str>,
) -> Option<&'c str> {
    if word.chars().count() > MISSPELT_CHARS_MAX {
        return None;
    }
    let word = word.to_lowercase();
    let distance = |name: &str| {
        let begins = name.starts_with(&word) && word.len() >= PREFIX_BYTES_MIN;
        if begins { 1 } else { strsim::damerau_levenshtein(&word, &name.to_lowercase()) }
    };
    candidates
        .into_iter()
        .map(|name| (distance(name), name))
        .filter(|(distance, name)| *distance <= (name.chars().count() / 3).max(1))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// "did you mean `x`? …known names…", or the known names alone.
pub(super) fn mean_or_list(word: &str, what: &str, known: &[&str]) -> String {
    let list = known.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    let list = if known.is_empty() { format!("no {what}") } else { format!("{what}: {list}") };
    match did_you_mean(word, known.iter().copied()) {
        Some(name) => format!("did you mean `{name}`? {list}"),
        None => list,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_come_in_the_order_of_the_file() {
        let mut faults = Faults::new("a.yml");
        faults.add(Position { line: 10, column: 1 }, "later");
        faults.add_with(Position { line: 9, column: 30 }, "earlier", "do this");

        insta::assert_snapshot!(listing(&faults.finish()), @r"
        a.yml:9:30: earlier
            do this
        a.yml:10:1: later
        ");
    }

    #[test]
    fn a_flood_of_faults_is_cut_and_says_so() {
        let mut faults = Faults::new("a.yml");
        for line in 1..=FAULTS_MAX + 7 {
            faults.add(Position { line, column: 1 }, "wrong");
        }

        let list = faults.finish();

        assert_eq!(list.len(), FAULTS_MAX + 1);
        assert_eq!(list[FAULTS_MAX].to_string(), "a.yml: and 7 more faults, not listed");
    }

    #[test]
    fn a_message_that_quotes_a_file_obeys_no_terminal_and_stays_short() {
        let mut faults = Faults::new("a.yml");
        faults.add(Position { line: 1, column: 1 }, format!("\u{1b}[2J{}", "x".repeat(1_000)));

        let message = &faults.finish()[0].message;

        assert!(message.starts_with("\u{fffd}[2J") && message.ends_with("x…"));
        assert_eq!(message.chars().count(), MESSAGE_CHARS_MAX + 1);
    }

    #[test]
    fn a_near_miss_is_recognised_and_a_stranger_is_not() {
        let known = ["steps", "summary", "role"];
        assert_eq!(did_you_mean("step", known), Some("steps"));
        assert_eq!(did_you_mean("Sumary", known), Some("summary"));
        assert_eq!(did_you_mean("sum", known), Some("summary"));
        assert_eq!(did_you_mean("colour", known), None);
    }
}
