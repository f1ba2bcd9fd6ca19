//! What a body came to: the sightings in it, and what is wrong with the rest. Shared by everything that
//! sends alerts to the bot.

use super::clean;
use super::loose::{Loose, LooseMap};
use crate::core::action::Runbook;
use crate::core::alert::{CLOCK_AHEAD_MS_MAX, Level, Sighting};
use serde::Serialize;
use std::collections::BTreeMap;

/// Alerts of one body that are read; how many came after them is said.
pub const ALERTS_MAX: usize = 10_000;
/// Faults that are told one by one; the others are counted.
pub const FAULTS_MAX: usize = 20;
/// A name of an alert, a service or an owner.
pub(super) const NAME_CHARS_MAX: usize = 120;
/// One line on a card.
pub(super) const SUMMARY_CHARS_MAX: usize = 300;
/// A few paragraphs.
pub(super) const DESCRIPTION_CHARS_MAX: usize = 2_000;
/// A measure as it is shown.
pub(super) const VALUE_CHARS_MAX: usize = 60;
/// Labels that are kept, in the order of their names.
pub(super) const LABELS_MAX: usize = 64;
/// A label's name.
const LABEL_NAME_CHARS_MAX: usize = 80;
/// A label's value.
const LABEL_CHARS_MAX: usize = 200;
/// Links that are kept.
pub(super) const LINKS_MAX: usize = 5;
/// A word that stands in a fault.
const SHOWN_CHARS_MAX: usize = 60;

/// What an alert means that does not say it.
#[derive(Debug, Clone, Copy)]
pub struct Surroundings<'a> {
    /// Whose service and environments they are.
    pub runbook: &'a Runbook,
    /// The alert that fires always, and is none; empty: there is no such alert.
    pub watchdog: &'a str,
    /// When the body came.
    pub now_ms: i64,
}

/// What is wrong with a part of a body.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// Where: a JSON pointer, as RFC 6901 writes it.
    pub at: String,
    /// What.
    pub fault: String,
}

/// What a body came to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Received {
    /// What it says, in its order.
    pub sightings: Vec<Sighting>,
    /// Alerts that could not be read.
    pub refused: usize,
    /// What is wrong with them, [`FAULTS_MAX`] at most.
    pub faults: Vec<Fault>,
    /// Alerts that are none: severity `none`, and the watchdog.
    pub ignored: usize,
    /// Whether the watchdog fires, as it should.
    pub is_watchdog_heard: bool,
    /// Alerts of the group that the sender left out.
    pub truncated: u64,
}

/// A body that is not what it should be: none of it was read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {}", .0.at, .0.fault)]
pub struct Unreadable(pub Fault);

impl Unreadable {
    pub(super) fn new(at: &str, fault: impl Into<String>) -> Self {
        Self(Fault { at: at.to_owned(), fault: fault.into() })
    }

    /// Where JSON breaks off.
    pub(super) fn json(error: &serde_json::Error) -> Self {
        // Its words may repeat the body's: cleaned and cut as all that comes from outside.
        Self::new("", format!("this is no such JSON: {}", clean::line(&error.to_string(), 200)))
    }
}

impl Received {
    /// Counts an alert that cannot be read.
    pub(super) fn refuse(&mut self, faults: Vec<Fault>) {
        self.refused += 1;
        let room = FAULTS_MAX.saturating_sub(self.faults.len());
        self.faults.extend(faults.into_iter().take(room));
    }

    /// Counts those after the last that is read.
    pub(super) fn refuse_more(&mut self, more: usize) {
        if more > 0 {
            let fault =
                format!("{more} alerts more than the {ALERTS_MAX} that are read of one body");
            self.refuse(vec![Fault { at: format!("/alerts/{ALERTS_MAX}"), fault }]);
            self.refused += more - 1;
        }
    }
}

/// Reads a body; text in it that is no Unicode is read with a mark in its place, so that it costs nobody an
/// alert.
pub(super) fn read_mended(
    body: &[u8],
    read: impl Fn(&[u8]) -> Result<Received, Unreadable>,
) -> Result<Received, Unreadable> {
    read(body).or_else(|unreadable| match clean::mended(body) {
        Some(mended) => read(mended.as_bytes()),
        None => Err(unreadable),
    })
}

/// The faults of one alert.
pub(super) struct Looking {
    place: String,
    pub(super) faults: Vec<Fault>,
}

impl Looking {
    pub(super) fn at(place: String) -> Self {
        Self { place, faults: Vec::new() }
    }

    pub(super) fn fault(&mut self, field: &str, fault: impl Into<String>) {
        // As many as are ever told: an alert may have a fault in each of a million labels.
        if self.faults.len() < FAULTS_MAX {
            self.faults.push(Fault { at: self.path(field), fault: fault.into() });
        }
    }

    fn path(&self, field: &str) -> String {
        let slash = if field.is_empty() { "" } else { "/" };
        format!("{}{slash}{field}", self.place)
    }

    /// A value that must be there; that it is not is a fault, unless its own was told.
    pub(super) fn required<T>(&mut self, field: &str, value: Option<T>, what: &str) -> Option<T> {
        if value.is_none() && !self.faults.iter().any(|one| one.at == self.path(field)) {
            self.fault(field, format!("missing, {what}"));
        }
        value
    }

    /// A text; what else stands there is a fault.
    pub(super) fn text<'v>(&mut self, field: &str, value: &'v Loose<'_>) -> Option<&'v str> {
        match value.text() {
            Ok(text) => text.map(str::trim).filter(|text| !text.is_empty()),
            Err(what) => {
                self.fault(field, format!("{what}, a text expected"));
                None
            }
        }
    }

    /// Whether it is over: `firing` or `resolved`.
    pub(super) fn is_over(&mut self, field: &str, value: &Loose<'_>) -> Option<bool> {
        match self.text(field, value) {
            Some("firing") => Some(false),
            Some("resolved") => Some(true),
            Some(other) => {
                self.fault(field, format!("{}, `firing` or `resolved` expected", shown(other)));
                None
            }
            None => None,
        }
    }

    /// A time; `None` where there is none, or it is a fault.
    pub(super) fn time(&mut self, field: &str, value: &Loose<'_>) -> Option<i64> {
        let text = self.text(field, value)?;
        clean::time_ms(text).unwrap_or_else(|()| {
            self.fault(
                field,
                format!("{}, a time like 2026-11-23T22:35:56Z expected", shown(text)),
            );
            None
        })
    }

    /// Labels as they are kept; those without a text are a fault.
    pub(super) fn labels(&mut self, field: &str, map: &LooseMap<'_>) -> BTreeMap<String, String> {
        if let LooseMap::Wrong(what) = map {
            self.fault(field, format!("{what}, names and texts expected"));
        }
        let mut kept = BTreeMap::new();
        for (name, value) in map.entries() {
            let text = match value.text() {
                Ok(text) => text.unwrap_or_default(),
                Err(what) => {
                    let name = clean::line(name, SHOWN_CHARS_MAX);
                    self.fault(
                        &format!("{field}/{}", pointed(&name)),
                        format!("{what}, a text expected"),
                    );
                    continue;
                }
            };
            let name = clean::line(name, LABEL_NAME_CHARS_MAX);
            if kept.len() < LABELS_MAX && !name.is_empty() {
                kept.insert(name, clean::line(text, LABEL_CHARS_MAX));
            }
        }
        kept
    }
}

/// A name in a JSON pointer.
pub(super) fn pointed(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

/// A word of the body in a fault.
pub(super) fn shown(text: &str) -> String {
    format!("`{}` found", clean::line(text, SHOWN_CHARS_MAX))
}

impl Surroundings<'_> {
    /// The environment of the runbook that is meant; the default one where it knows none of that name.
    pub(super) fn environment(&self, named: Option<&str>) -> String {
        let known = named.and_then(|named| self.runbook.environments.get(named.trim()));
        let found = known.or_else(|| self.runbook.default_environment());
        let found = found.or_else(|| self.runbook.environments.values().next());
        found.map(|environment| environment.name.clone()).unwrap_or_default()
    }

    /// A beginning as it counts. One that lies ahead is now: nothing that begins before it would ever be
    /// taken for newer, and an alert would be lost to a clock that was set right.
    pub(super) fn begun_ms(&self, starts_ms: i64) -> i64 {
        if starts_ms - self.now_ms > CLOCK_AHEAD_MS_MAX { self.now_ms } else { starts_ms }
    }

    /// The service that is meant.
    pub(super) fn service(&self, named: Option<&str>) -> String {
        let named = named.map(|named| clean::line(named, NAME_CHARS_MAX));
        named.filter(|named| !named.is_empty()).unwrap_or_else(|| self.runbook.service.clone())
    }
}

/// How bad something is that somebody else calls by this name; `None`: it is nothing for people. A name
/// that is not known, or none at all, is level 2: somebody looks at it, and nobody is woken at once.
pub fn level_of(severity: Option<&str>) -> Option<Level> {
    let Some(severity) = severity else { return Some(Level::Error) };
    match severity.trim().to_ascii_lowercase().as_str() {
        "none" => None,
        "info" | "information" | "informational" | "notice" | "low" | "minor" | "warn"
        | "warning" => Some(Level::Warning),
        "critical" | "crit" | "page" | "emergency" | "fatal" | "disaster" => Some(Level::Critical),
        _ => Some(Level::Error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_severity_that_nobody_knows_is_of_level_two() {
        for (name, level) in [
            ("critical", Some(Level::Critical)),
            ("Page", Some(Level::Critical)),
            ("error", Some(Level::Error)),
            ("high", Some(Level::Error)),
            ("sev-ω", Some(Level::Error)),
            ("", Some(Level::Error)),
            (" warning ", Some(Level::Warning)),
            ("INFO", Some(Level::Warning)),
            ("none", None),
        ] {
            assert_eq!(level_of(Some(name)), level, "{name}");
        }
        assert_eq!(level_of(None), Some(Level::Error));
    }
}
