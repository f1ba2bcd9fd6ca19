//! The rules, as the alerting configuration writes them: the manual's own keys, and what stands beside
//! them. Which thing is measured decides what its threshold is: a part of all (`0.05`), a time (`5000ms`)
//! of some percentile, or, with a query of the team's own, any number or time.

use super::{NAMES_MAX, duration_ms};
use crate::config::fault::{Faults, mean_or_list};
use crate::config::shape::{
    KeyedMap, List, Object, Range, Shape, Text, TextKind, Word, integer, optional, required,
};
use crate::config::tree::{Entry, Node, Value};
use crate::core::alert::{Level, Way};
use crate::core::alert_measure::{Signal, age};
use crate::core::alert_rule::{Questions, Rule, Threshold, WHOLE_MILLIONTHS};
use crate::core::duration;
use crate::core::text::Text as Words;
use std::collections::{BTreeMap, BTreeSet};
use url::Url;

/// Shorter, one slow answer would be an alert; longer, nobody would call it one.
const DURATION_MS: (u64, u64) = (1_000, 24 * 3_600_000);
/// No answer takes longer.
const RESPONSE_MS: (u64, u64) = (1, 10 * 60_000);
/// How often samples are taken, unless the file says so.
const SCRAPE_INTERVAL_MS: u64 = 15_000;
/// A rate needs so many samples at least.
const SCRAPES_A_WINDOW: u64 = 4;
/// The shortest window over which rates are taken, unless the file says so.
const WINDOW_MS: u64 = 60_000;
/// The decimals that spell millionths.
const DECIMALS_MAX: usize = 6;
/// The digits before them.
const DIGITS_MAX: usize = 12;
const QUERY_CHARS_MAX: usize = 2_000;
const LINE_CHARS_MAX: usize = 300;

/// When to tell, how bad it is, where to say it, and what is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alert {
    /// More than this is too much.
    pub threshold: Threshold,
    /// For how long it must be too much without a break.
    pub duration_ms: u64,
    /// How bad that is.
    pub severity: Level,
    /// At least one.
    pub channels: BTreeSet<Way>,
    /// PromQL that answers one number; `None`: what is built in.
    pub query: Option<String>,
    /// A selector of the samples that must be fresh; `None`: what is built in.
    pub samples: Option<String>,
    /// How often samples are taken.
    pub scrape_interval_ms: u64,
    /// Over which time what is built in takes its rates.
    pub window_ms: u64,
    /// No more than this is in order; `None`: no more than the threshold.
    pub clear: Option<Threshold>,
    /// How long it must be in order before it is over.
    pub clear_for_ms: u64,
    /// The least that the measure must be made of; `None`: what is built in.
    pub min_samples: Option<u64>,
    /// PromQL that counts it; `None`: what is built in.
    pub volume: Option<String>,
    /// What people open; empty: nothing.
    pub runbook: String,
    /// Who looks after it; empty: nobody in particular.
    pub owner: String,
    /// One line for people; `None`: its name.
    pub summary: Option<Words>,
}

impl Alert {
    /// An alert with what the manual writes and nothing beside it.
    pub fn plain(
        threshold: Threshold,
        duration_ms: u64,
        severity: Level,
        channels: BTreeSet<Way>,
    ) -> Self {
        Self {
            threshold,
            duration_ms,
            severity,
            channels,
            query: None,
            samples: None,
            scrape_interval_ms: SCRAPE_INTERVAL_MS,
            window_ms: WINDOW_MS,
            clear: None,
            clear_for_ms: 0,
            min_samples: None,
            volume: None,
            runbook: String::new(),
            owner: String::new(),
            summary: None,
        }
    }

    /// The rule of this name for a service.
    pub fn rule(&self, name: &str, service: &str) -> Rule {
        let built_in = Signal::named(name).filter(|_| self.query.is_none());
        let mut questions = match (built_in, &self.query) {
            (Some(signal), _) => {
                let percentile = match self.threshold {
                    Threshold::Time { percentile, .. } => percentile,
                    _ => 0,
                };
                signal.questions(service, self.window_ms, percentile)
            }
            (None, query) => {
                Questions { value: query.clone().unwrap_or_default(), ..Questions::default() }
            }
        };
        if let Some(selector) = &self.samples {
            questions.age = age(selector);
        }
        if let Some(volume) = &self.volume {
            questions.volume.clone_from(volume);
        }
        let min_samples =
            self.min_samples.unwrap_or_else(|| built_in.map_or(0, Signal::min_samples));
        if min_samples == 0 {
            questions.volume.clear();
        }
        Rule {
            name: name.to_owned(),
            questions,
            threshold: self.threshold,
            clear: self.clear.unwrap_or(self.threshold),
            duration_ms: self.duration_ms.cast_signed(),
            clear_for_ms: self.clear_for_ms.cast_signed(),
            scrape_interval_ms: self.scrape_interval_ms,
            min_samples,
            level: self.severity,
            ways: self.channels.clone(),
            summary: self.summary.clone(),
            runbook: self.runbook.clone(),
            owner: self.owner.clone(),
        }
    }
}

/// The alerts of a file; what the shape has refused already has none here.
pub(super) fn read(node: Option<&Node>, faults: &mut Faults) -> BTreeMap<String, Alert> {
    let Some(node) = node else { return BTreeMap::new() };
    if matches!(&node.value, Value::Map(entries) if entries.is_empty()) {
        let way = format!("for example: {}", GRAMMAR.example);
        faults.add_with(node.at, "no alerts found, at least one expected", way);
    }
    let read = |entry: &Entry| Some((entry.key.clone(), alert(entry, faults)?));
    node.entries().iter().filter_map(read).collect()
}

fn alert(entry: &Entry, faults: &mut Faults) -> Option<Alert> {
    let node = &entry.value;
    let signal = Signal::named(&entry.key);
    let query = text(node, "query");
    let channels = channels(node.get("channels"), faults);
    if signal.is_none() && query.is_none() {
        let message = format!("`{}` is not measured by itself, and there is no `query`", entry.key);
        let way = mean_or_list(&entry.key, "built in", &Signal::NAMES);
        faults.add_with(entry.key_at, message, format!("{way}; or add its `query`, in PromQL"));
    }
    if let (Some(window), true) = (node.entry("window"), query.is_some()) {
        let message = "`window` is that of the built-in query, and there is another";
        faults.add_with(window.key_at, message, "write the window into `query`");
    }
    for key in ["query", "samples", "volume"] {
        if let Some(entry) = node.entry(key) {
            balanced(entry, faults);
        }
    }
    let kind = Kind::of(signal, node);
    let found = node.get("threshold").and_then(|node| threshold(kind, node, faults));
    let clear = node.get("clear").and_then(|node| Some((node.at, threshold(kind, node, faults)?)));
    let threshold = found?;
    if let Some((at, clear)) = clear
        && clear.value() > threshold.value()
    {
        let message = format!("{clear} is more than the threshold, {threshold}");
        faults.add_with(at, message, "it is in order at or below `clear`: write less");
    }
    let min_samples = number(node.get("min_samples"));
    let has_volume = node.get("volume").is_some();
    let counts = signal.is_some_and(|signal| signal.min_samples() > 0) && query.is_none();
    if let (Some(entry), false) = (node.entry("min_samples"), has_volume || counts) {
        let message = "`min_samples` is the least of something that nothing counts here";
        faults.add_with(entry.key_at, message, "add `volume`, a query that counts it");
    }
    if let (Some(entry), false) = (node.entry("volume"), min_samples.is_some() || counts) {
        let message = "`volume` is counted, and no `min_samples` says how much there must be";
        faults.add_with(entry.key_at, message, "for example: min_samples: 10");
    }
    let scrape_interval_ms = duration_ms(node.get("scrape_interval")).unwrap_or(SCRAPE_INTERVAL_MS);
    let window_ms = duration_ms(node.get("window"))
        .unwrap_or_else(|| WINDOW_MS.max(scrape_interval_ms * SCRAPES_A_WINDOW));
    if let Some(window) = node.entry("window")
        && window_ms < scrape_interval_ms * 2
    {
        let message = "a rate over less than two scrapes is never there";
        let way = format!("at least {}", duration::spell(scrape_interval_ms * SCRAPES_A_WINDOW));
        faults.add_with(window.value.at, message, way);
    }
    let severity = node.get("severity").and_then(Node::text).and_then(Level::named)?;
    let held_ms = duration_ms(node.get("duration"))?;
    Some(Alert {
        query,
        samples: text(node, "samples"),
        scrape_interval_ms,
        window_ms,
        clear: clear.map(|(_, clear)| clear),
        clear_for_ms: duration_ms(node.get("clear_for")).unwrap_or(0),
        min_samples,
        volume: text(node, "volume"),
        runbook: node.get("runbook").map(|node| link(node, faults)).unwrap_or_default(),
        owner: text(node, "owner").unwrap_or_default(),
        summary: node.get("summary").and_then(summary),
        ..Alert::plain(threshold, held_ms, severity, channels)
    })
}

/// What a threshold is.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Ratio,
    Percentile(Option<u8>),
    Any,
}

impl Kind {
    fn of(signal: Option<Signal>, node: &Node) -> Self {
        match signal {
            None => Self::Any,
            Some(Signal::ResponseTime) => {
                let found = node.get("percentile").and_then(|node| number(Some(node)));
                Self::Percentile(found.and_then(|found| u8::try_from(found).ok()))
            }
            Some(_) => Self::Ratio,
        }
    }
}

fn threshold(kind: Kind, node: &Node, faults: &mut Faults) -> Option<Threshold> {
    match kind {
        Kind::Ratio => Some(Threshold::Ratio { millionths: millionths(node, faults)? }),
        Kind::Percentile(percentile) => {
            Some(Threshold::Time { percentile: percentile?, ms: duration_ms(Some(node))? })
        }
        Kind::Any => {
            let text = node.text()?;
            if let Some(ms) = duration::parse(text) {
                return Some(Threshold::Duration { ms });
            }
            let found = decimal(text).map(|millionths| Threshold::Number { millionths });
            if found.is_none() {
                let message = format!("`{text}` found, a plain number or a time expected");
                faults.add_with(node.at, message, "for example: 0.05, 200, or 5000ms");
            }
            found
        }
    }
}

/// A query that cannot be one is told here, so that nobody waits for the first tick.
fn balanced(entry: &Entry, faults: &mut Faults) {
    let Some(query) = entry.value.text() else { return };
    let mut open = Vec::new();
    let mut quote = None;
    let mut letters = query.chars();
    while let Some(letter) = letters.next() {
        match (quote, letter) {
            (Some(mark), _) if mark == letter => quote = None,
            (Some('"' | '\''), '\\') => {
                letters.next();
            }
            (None, '"' | '\'' | '`') => quote = Some(letter),
            // A comment may hold anything.
            (None, '#') => {
                letters.find(|letter| *letter == '\n');
            }
            (None, '(') => open.push(')'),
            (None, '[') => open.push(']'),
            (None, '{') => open.push('}'),
            (None, ')' | ']' | '}') if open.pop() != Some(letter) => {
                let message = format!("this is no PromQL: `{letter}` closes nothing");
                faults.add(entry.value.at, message);
                return;
            }
            _ => {}
        }
    }
    let missing = quote.or(open.pop());
    if let Some(missing) = missing {
        faults.add(entry.value.at, format!("this is no PromQL: `{missing}` is missing at its end"));
    }
}

fn link(node: &Node, faults: &mut Faults) -> String {
    let text = node.text().unwrap_or_default();
    let is_link = Url::parse(text).is_ok_and(|url| matches!(url.scheme(), "http" | "https"));
    if !is_link && !text.is_empty() {
        let message = format!("`{text}` is not the address of a page");
        faults.add_with(node.at, message, "for example: https://wiki.example.com/error-rate");
    }
    text.to_owned()
}

fn summary(node: &Node) -> Option<Words> {
    if let Some(text) = node.text() {
        return Some(Words::new(text, text));
    }
    let of = |lang| node.get(lang).and_then(Node::text);
    Some(Words::new(of("zh")?, of("en")?))
}

fn text(node: &Node, key: &str) -> Option<String> {
    node.get(key).and_then(Node::text).map(str::to_owned)
}

fn channels(node: Option<&Node>, faults: &mut Faults) -> BTreeSet<Way> {
    let mut found = BTreeSet::new();
    for item in node.map_or(&[][..], Node::items) {
        let Some(channel) = item.text().and_then(Way::named) else { continue };
        if !found.insert(channel) {
            let message = format!("`{}` is here twice", channel.name());
            faults.add_with(item.at, message, "remove one of the two");
        }
    }
    found
}

fn number(node: Option<&Node>) -> Option<u64> {
    let Value::Scalar(scalar) = &node?.value else { return None };
    u64::try_from(integer(scalar)?).ok()
}

/// A part of all; whatever else stands there is a fault.
fn millionths(node: &Node, faults: &mut Faults) -> Option<u32> {
    let text = node.text()?;
    let found = ratio(text);
    if found.is_none() {
        let message = format!("`{text}` found, a part of all expected: above 0, at most 1");
        let percent = text.trim().trim_end_matches('%').trim_end();
        let way = match percent_as_ratio(percent) {
            Some(ratio) => format!("write `{ratio}` for {percent}%"),
            None => "for example: 0.05, which is 5%".to_owned(),
        };
        faults.add_with(node.at, message, way);
    }
    found
}

/// The millionths that a plain decimal is, above 0 and at most 1.
fn ratio(text: &str) -> Option<u32> {
    let is_small = matches!(text.split_once('.').map_or(text, |(whole, _)| whole), "0" | "1");
    let millionths = decimal(text).filter(|_| is_small)?;
    let millionths = u32::try_from(millionths).ok()?;
    (1..=WHOLE_MILLIONTHS).contains(&millionths).then_some(millionths)
}

/// The millionths that a plain decimal is: digits, perhaps a sign before them and a point among them.
fn decimal(text: &str) -> Option<i64> {
    let (is_negative, digits) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
    let (whole, decimals) = digits.split_once('.').unwrap_or((digits, "0"));
    let is_number =
        |digits: &str| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    let fits = decimals.len() <= DECIMALS_MAX && whole.len() <= DIGITS_MAX;
    if !is_number(whole) || !is_number(decimals) || !fits {
        return None;
    }
    let millionths = format!("{whole}{decimals:0<DECIMALS_MAX$}").parse::<i64>().ok()?;
    Some(if is_negative { -millionths } else { millionths })
}

/// `5` as `0.05`, for somebody who wrote a percentage.
fn percent_as_ratio(percent: &str) -> Option<String> {
    let number = percent.parse::<u32>().ok().filter(|number| (1..=100).contains(number))?;
    let ratio = format!("{}.{:02}", number / 100, number % 100);
    Some(ratio.trim_end_matches('0').trim_end_matches('.').to_owned())
}

const LETTERS: &[Range] = &[('a', 'z'), ('A', 'Z')];
const LETTERS_AND_DIGITS: &[Range] = &[('a', 'z'), ('A', 'Z'), ('0', '9')];

pub(super) static NAME: Word = Word {
    name: "an alert's name: letters, digits and single underscores",
    literals: &[],
    first: LETTERS,
    rest: LETTERS_AND_DIGITS,
    joiner: Some('_'),
    chars_min: 1,
    chars_max: 60,
    example: "queue_age",
};
static NUMBER: Text = Text {
    name: "a number",
    kind: TextKind::AsWritten,
    chars_min: 1,
    chars_max: 20,
    example: "0.05",
};
static RATIO: Text = Text {
    name: "a part of all",
    kind: TextKind::AsWritten,
    chars_min: 1,
    chars_max: 20,
    example: "0.05",
};
static QUERY: Text = Text {
    name: "a query",
    kind: TextKind::AsWritten,
    chars_min: 1,
    chars_max: QUERY_CHARS_MAX,
    example: "max(queue_age_seconds)",
};
static SELECTOR: Text = Text {
    name: "a selector",
    kind: TextKind::AsWritten,
    chars_min: 1,
    chars_max: QUERY_CHARS_MAX,
    example: "queue_age_seconds",
};
static LINE: Text = Text {
    name: "a line",
    kind: TextKind::Line,
    chars_min: 1,
    chars_max: LINE_CHARS_MAX,
    example: "the payments team",
};
static SUMMARY: Text = Text {
    name: "a summary",
    kind: TextKind::Line,
    chars_min: 1,
    chars_max: LINE_CHARS_MAX,
    example: "Orders wait too long",
};
static LINK: Text = Text {
    name: "a link",
    kind: TextKind::Line,
    chars_min: 1,
    chars_max: LINE_CHARS_MAX,
    example: "https://wiki.example.com/error-rate",
};
static CHANNELS: List = List {
    name: "channels",
    item: Shape::Choice(&Way::NAMES),
    min: 1,
    max: Way::NAMES.len(),
    example: "[slack, email]",
};

const DURATION: Shape = Shape::Duration { min_ms: DURATION_MS.0, max_ms: DURATION_MS.1 };
const ANSWER: Shape = Shape::Duration { min_ms: RESPONSE_MS.0, max_ms: RESPONSE_MS.1 };
const SCRAPES: Shape = Shape::Duration { min_ms: 1_000, max_ms: 10 * 60_000 };
const WINDOW: Shape = Shape::Duration { min_ms: 1_000, max_ms: 24 * 3_600_000 };
const HOLD: Shape = Shape::Duration { min_ms: 0, max_ms: 24 * 3_600_000 };
const SAMPLES: Shape = Shape::Integer { min: 0, max: 1_000_000_000 };

/// The keys of an alert: those of its kind, and those that all have.
macro_rules! keys {
    ($($own:expr),+ $(,)?) => {
        &[
            $($own,)+
            required("duration", DURATION, "For how long without a break"),
            required("severity", Shape::Choice(&Level::NAMES), "The manual's level 1, 2 or 3"),
            required("channels", Shape::List(&CHANNELS), "Where it is said"),
            optional(
                "query",
                Shape::Text(&QUERY),
                "PromQL that answers one number, in place of what is built in",
            ),
            optional(
                "samples",
                Shape::Text(&SELECTOR),
                "A selector of the samples that must be fresh: at most two scrapes old",
            ),
            optional("scrape_interval", SCRAPES, "How often they are taken; 15s unless given"),
            optional(
                "window",
                WINDOW,
                "Over which time the built-in query takes its rates; four scrapes, at least 1m, unless given",
            ),
            optional("clear_for", HOLD, "How long it must be in order before it is over"),
            optional(
                "min_samples",
                SAMPLES,
                "The least that the measure must be made of within its window; less tells nothing",
            ),
            optional("volume", Shape::Text(&QUERY), "PromQL that counts what it is made of"),
            optional("runbook", Shape::Text(&LINK), "What people open"),
            optional("owner", Shape::Text(&LINE), "Who looks after it"),
            optional("summary", Shape::Localized(&SUMMARY), "One line for people"),
        ]
    };
}

static RATE: Object = Object {
    name: "an alert on a rate",
    doc: "Too large a part of all, for too long.",
    fields: keys![
        required("threshold", Shape::Text(&RATIO), "The part of all that must not be exceeded"),
        optional("clear", Shape::Text(&RATIO), "The part at or below which it is over"),
    ],
    exactly_one: &[],
    later: &[],
    example: "{threshold: 0.05, duration: 60s, severity: critical, channels: [slack]}",
};
static TIME: Object = Object {
    name: "an alert on a time",
    doc: "Answers that take too long, for too long.",
    fields: keys![
        required("threshold", ANSWER, "The time that must not be exceeded"),
        required(
            "percentile",
            Shape::Integer { min: 1, max: 99 },
            "Which percentage of all answers has come by then",
        ),
        optional("clear", ANSWER, "The time at or below which it is over"),
    ],
    exactly_one: &[],
    later: &[],
    example: "{threshold: 5000ms, percentile: 99, duration: 120s, severity: warning, channels: [slack]}",
};
static OWN: Object = Object {
    name: "an alert with a query",
    doc: "Too much of whatever its query measures, for too long.",
    fields: keys![
        required(
            "threshold",
            Shape::Text(&NUMBER),
            "What must not be exceeded: a number, or a time for a measure in seconds",
        ),
        optional("clear", Shape::Text(&NUMBER), "At or below which it is over"),
    ],
    exactly_one: &[],
    later: &[],
    example: "{query: max(queue_age_seconds), threshold: 5m, duration: 60s, severity: error, channels: [slack]}",
};

fn shape_of(name: &str) -> Shape {
    match Signal::named(name) {
        Some(Signal::ResponseTime) => Shape::Object(&TIME),
        Some(_) => Shape::Object(&RATE),
        None => Shape::Object(&OWN),
    }
}

pub(super) static GRAMMAR: KeyedMap = KeyedMap {
    name: "the alerts",
    key: &NAME,
    known: &Signal::NAMES,
    value: shape_of,
    max: NAMES_MAX,
    example: "{error_rate: {threshold: 0.05, duration: 60s, severity: critical, channels: [slack]}}",
};

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_ratio_is_read_as_it_is_written(millionths in 1..=WHOLE_MILLIONTHS) {
            let (whole, rest) = (millionths / WHOLE_MILLIONTHS, millionths % WHOLE_MILLIONTHS);
            prop_assert_eq!(ratio(&format!("{whole}.{rest:06}")), Some(millionths));
        }

        #[test]
        fn a_number_is_read_as_it_is_shown(millionths in -1_000_000_000_000_000_i64..1_000_000_000_000_000) {
            let shown = Threshold::Number { millionths }.to_string();
            prop_assert_eq!(decimal(&shown), Some(millionths), "{}", shown);
        }
    }

    #[test]
    fn a_ratio_becomes_the_number_that_people_wrote() {
        for (text, number) in [("0.05", 0.05), ("0.1", 0.1), ("0.000001", 0.000_001), ("1", 1.0)] {
            let threshold = Threshold::Ratio { millionths: ratio(text).unwrap() };
            assert!((threshold.value() - number).abs() == 0.0, "{text}");
        }
    }
}
