//! The alerting configuration, as the manual writes it: YAML in, [`Alerting`] out, or every fault at
//! once.
//!
//! Nothing is watched here and nobody is told. Which thing is measured decides what its threshold is:
//! a part of all (`0.05`) or a time (`5000ms`) of some percentile.

use super::fault::{Fault, Faults};
use super::runbook::read_bounded;
use super::shape::{List, Object, Shape, Text, TextKind, integer, optional, required};
use super::tree::{self, Entry, Node, Value};
use crate::core::alert::{Level, Way};
use crate::core::duration;
use crate::core::escalation::Policies;
use crate::core::oncall::Rotations;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path;

mod escalation;
mod liveness;
mod oncall;
mod prometheus;
pub mod ways;

pub use escalation::Inhibition;
pub use liveness::{Heartbeat, Liveness};
pub use prometheus::Prometheus;
pub use ways::{Email, Pagerduty, Ways};

/// Shorter, one slow answer would be an alert; longer, nobody would call it one.
const DURATION_MS: (u64, u64) = (1_000, 24 * 3_600_000);
/// No answer takes longer.
const RESPONSE_MS: (u64, u64) = (1, 10 * 60_000);
/// Millionths in a whole, and the decimals that spell them.
const WHOLE_MILLIONTHS: u32 = 1_000_000;
const DECIMALS_MAX: usize = 6;
/// Names in one list.
const NAMES_MAX: usize = 50;

/// What is watched, and when somebody is told.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Alerting {
    /// At least one, in a file.
    pub alerts: BTreeMap<Signal, Alert>,
    /// Where measures come from; `None`: the rules are not evaluated.
    pub prometheus: Option<Prometheus>,
    /// What is done about an alert that nobody takes.
    pub policies: Policies,
    /// Which alerts keep others quiet.
    pub inhibitions: Vec<Inhibition>,
    /// Who is on call.
    pub oncall: Rotations,
    /// How notices leave, besides Slack.
    pub ways: Ways,
    /// What is expected to be heard of, and what others expect of this bot.
    pub liveness: Liveness,
    /// SHA-256 of the file, in hexadecimal digits; empty: there is none.
    pub digest: String,
}

/// What can be watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Signal {
    /// Answers that are errors, of all answers.
    ErrorRate,
    /// How long answers take.
    ResponseTime,
    /// Sign-ins that fail, of all sign-ins.
    AuthFailure,
    /// Fetches of market data that fail, of all fetches.
    DataFetchFailure,
    /// The processors' time in use.
    Cpu,
    /// The memory in use.
    Memory,
}

impl Signal {
    /// Every one, in the manual's order.
    pub const ALL: [Self; 6] = [
        Self::ErrorRate,
        Self::ResponseTime,
        Self::AuthFailure,
        Self::DataFetchFailure,
        Self::Cpu,
        Self::Memory,
    ];

    /// As the file names it.
    pub fn name(self) -> &'static str {
        match self {
            Self::ErrorRate => "error_rate",
            Self::ResponseTime => "response_time",
            Self::AuthFailure => "auth_failure",
            Self::DataFetchFailure => "data_fetch_failure",
            Self::Cpu => "cpu",
            Self::Memory => "memory",
        }
    }

    fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|signal| signal.name() == name)
    }
}

/// When to tell, how bad it is, and where to say it.
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
}

/// What must not be exceeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Threshold {
    /// A part of all: 0.05 is 50,000 millionths. From one millionth to the whole.
    Ratio {
        /// So that counts can be compared without rounding.
        millionths: u32,
    },
    /// The time within which this percentage of all answers has come.
    Time {
        /// From 1 to 99.
        percentile: u8,
        /// How long that may take.
        ms: u64,
    },
}

impl fmt::Display for Threshold {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ratio { millionths } => {
                let (whole, rest) = (millionths / 10_000, millionths % 10_000);
                let decimals = format!(".{rest:04}");
                let decimals = decimals.trim_end_matches('0').trim_end_matches('.');
                write!(out, "{whole}{decimals}%")
            }
            Self::Time { percentile, ms } => write!(out, "P{percentile} {}", duration::spell(*ms)),
        }
    }
}

/// Reads it from a file.
///
/// # Errors
/// Every fault of the file, or the one that it cannot be read.
pub fn load(path: &Path) -> Result<Alerting, Vec<Fault>> {
    let name = path.display().to_string();
    let bytes = read_bounded(path).map_err(|error| {
        let message = format!("the alerting configuration cannot be read: {error}");
        vec![Fault::whole(name.clone(), message).suggest("name the right file")]
    })?;
    parse(&name, &bytes)
}

/// Reads it from bytes. `file_name` stands in the faults.
///
/// # Errors
/// Every fault of the file, in its order.
pub fn parse(file_name: &str, bytes: &[u8]) -> Result<Alerting, Vec<Fault>> {
    let mut faults = Faults::new(file_name);
    let Some(root) = tree::parse(bytes, &mut faults) else {
        return Err(faults.finish());
    };
    Shape::Object(&ROOT).check(&root, &mut faults);
    let mut alerts = BTreeMap::new();
    if let Some(node) = root.get("alerts") {
        if matches!(&node.value, Value::Map(entries) if entries.is_empty()) {
            let way = format!("for example: {}", ALERTS.example);
            faults.add_with(node.at, "no alerts found, at least one expected", way);
        }
        // What the shape has refused already has no alert here.
        let read = |entry| alert(entry, &mut faults);
        alerts.extend(node.entries().iter().filter_map(read));
    }
    let oncall = oncall::read(root.get("oncall"), &mut faults);
    let read = Alerting {
        alerts,
        prometheus: prometheus::read(root.get("prometheus"), &mut faults),
        policies: escalation::read(root.get("escalation"), &oncall, &mut faults),
        inhibitions: escalation::inhibitions(root.get("inhibit"), &mut faults),
        oncall,
        ways: ways::read(root.get("notices"), &mut faults),
        liveness: liveness::read(root.get("liveness"), &mut faults),
        digest: hex::encode(Sha256::digest(bytes)),
    };
    if faults.is_empty() { Ok(read) } else { Err(faults.finish()) }
}

fn alert(entry: &Entry, faults: &mut Faults) -> Option<(Signal, Alert)> {
    let signal = Signal::named(&entry.key)?;
    let node = &entry.value;
    let channels = channels(node.get("channels"), faults);
    let threshold = match signal {
        Signal::ResponseTime => Threshold::Time {
            percentile: percentile(node.get("percentile")?)?,
            ms: duration_ms(node.get("threshold"))?,
        },
        _ => Threshold::Ratio { millionths: millionths(node.get("threshold")?, faults)? },
    };
    let severity = node.get("severity").and_then(Node::text).and_then(Level::named)?;
    let duration_ms = duration_ms(node.get("duration"))?;
    Some((signal, Alert { threshold, duration_ms, severity, channels }))
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

fn percentile(node: &Node) -> Option<u8> {
    let Value::Scalar(scalar) = &node.value else { return None };
    u8::try_from(integer(scalar)?).ok()
}

fn duration_ms(node: Option<&Node>) -> Option<u64> {
    node.and_then(Node::text).and_then(duration::parse)
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
    let (whole, decimals) = text.split_once('.').unwrap_or((text, "0"));
    let is_number =
        |digits: &str| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    if !matches!(whole, "0" | "1") || !is_number(decimals) || decimals.len() > DECIMALS_MAX {
        return None;
    }
    let millionths = format!("{whole}{decimals:0<DECIMALS_MAX$}").parse::<u32>().ok()?;
    (1..=WHOLE_MILLIONTHS).contains(&millionths).then_some(millionths)
}

/// `5` as `0.05`, for somebody who wrote a percentage.
fn percent_as_ratio(percent: &str) -> Option<String> {
    let number = percent.parse::<u32>().ok().filter(|number| (1..=100).contains(number))?;
    let ratio = format!("{}.{:02}", number / 100, number % 100);
    Some(ratio.trim_end_matches('0').trim_end_matches('.').to_owned())
}

static RATIO: Text = Text {
    name: "a part of all",
    kind: TextKind::AsWritten,
    chars_min: 1,
    chars_max: 20,
    example: "0.05",
};
static CHANNELS: List = List {
    name: "channels",
    item: Shape::Choice(&Way::NAMES),
    min: 1,
    max: Way::NAMES.len(),
    example: "[slack, email]",
};

const DURATION: Shape = Shape::Duration { min_ms: DURATION_MS.0, max_ms: DURATION_MS.1 };

static RATE: Object = Object {
    name: "an alert on a rate",
    doc: "Too large a part of all, for too long.",
    fields: &[
        required("threshold", Shape::Text(&RATIO), "The part of all that must not be exceeded"),
        required("duration", DURATION, "For how long without a break"),
        required("severity", Shape::Choice(&Level::NAMES), "The manual's level 1, 2 or 3"),
        required("channels", Shape::List(&CHANNELS), "Where it is said"),
    ],
    exactly_one: &[],
    later: &[],
    example: "{threshold: 0.05, duration: 60s, severity: critical, channels: [slack]}",
};
static TIME: Object = Object {
    name: "an alert on a time",
    doc: "Answers that take too long, for too long.",
    fields: &[
        required(
            "threshold",
            Shape::Duration { min_ms: RESPONSE_MS.0, max_ms: RESPONSE_MS.1 },
            "The time that must not be exceeded",
        ),
        required(
            "percentile",
            Shape::Integer { min: 1, max: 99 },
            "Which percentage of all answers has come by then",
        ),
        required("duration", DURATION, "For how long without a break"),
        required("severity", Shape::Choice(&Level::NAMES), "The manual's level 1, 2 or 3"),
        required("channels", Shape::List(&CHANNELS), "Where it is said"),
    ],
    exactly_one: &[],
    later: &[],
    example: "{threshold: 5000ms, percentile: 99, duration: 120s, severity: warning, channels: [slack]}",
};
static ALERTS: Object = Object {
    name: "the alerts",
    doc: "What is watched, by name.",
    fields: &[
        optional("error_rate", Shape::Object(&RATE), "Answers that are errors, of all answers"),
        optional("response_time", Shape::Object(&TIME), "How long answers take"),
        optional("auth_failure", Shape::Object(&RATE), "Sign-ins that fail, of all sign-ins"),
        optional("data_fetch_failure", Shape::Object(&RATE), "Fetches that fail, of all fetches"),
        optional("cpu", Shape::Object(&RATE), "The processors' time in use"),
        optional("memory", Shape::Object(&RATE), "The memory in use"),
    ],
    exactly_one: &[],
    later: &[],
    example: "{error_rate: {threshold: 0.05, duration: 60s, severity: critical, channels: [slack]}}",
};
static ROOT: Object = Object {
    name: "the alerting configuration",
    doc: "When people are told that something is wrong.",
    fields: &[
        required("alerts", Shape::Object(&ALERTS), "What is watched"),
        optional("prometheus", Shape::Object(&prometheus::GRAMMAR), "Where measures come from"),
        optional(
            "escalation",
            Shape::Object(&escalation::GRAMMAR),
            "What is done if nobody answers",
        ),
        optional("inhibit", Shape::List(&escalation::INHIBIT), "Which alerts keep others quiet"),
        optional("oncall", Shape::Map(&oncall::GRAMMAR), "Who is on call, by rotation"),
        optional("notices", Shape::Object(&ways::GRAMMAR), "How notices leave, besides Slack"),
        optional("liveness", Shape::Object(&liveness::GRAMMAR), "Signs of life, in and out"),
    ],
    exactly_one: &[],
    later: &[],
    example: "{alerts: {cpu: {threshold: 0.8, duration: 5m, severity: warning, channels: [slack]}}}",
};

#[cfg(test)]
mod tests {
    use super::super::fault::listing;
    use super::*;
    use proptest::prelude::*;

    /// The manual's 告警通知配置, letter by letter.
    const MANUAL: &str = "\
# monitoring/alerting-config.yml
alerts:
  error_rate:
    threshold: 0.05
    duration: 60s
    severity: critical
    channels: [slack, email, pagerduty]
    
  response_time:
    threshold: 5000ms
    percentile: 99
    duration: 120s
    severity: warning
    channels: [slack, email]
    
  auth_failure:
    threshold: 0.10
    duration: 30s
    severity: critical
    channels: [slack, email, pagerduty]
    
  data_fetch_failure:
    threshold: 0.20
    duration: 180s
    severity: error
    channels: [slack, email]
";

    fn faults_of(text: &str) -> String {
        parse("a.yml", text.as_bytes()).map_or_else(|faults| listing(&faults), |_| String::new())
    }

    fn rate(threshold: &str) -> String {
        let rest = "duration: 60s, severity: error, channels: [slack]";
        format!("alerts: {{cpu: {{threshold: {threshold}, {rest}}}}}")
    }

    #[test]
    fn the_manuals_own_text_is_accepted_as_it_is() {
        let alerting = parse("a.yml", MANUAL.as_bytes()).unwrap();

        let both = BTreeSet::from([Way::Slack, Way::Email]);
        let all = BTreeSet::from([Way::Slack, Way::Email, Way::Pagerduty]);
        let alert = |threshold, duration_ms, severity, channels: &BTreeSet<Way>| Alert {
            threshold,
            duration_ms,
            severity,
            channels: channels.clone(),
        };
        let ratio = |millionths| Threshold::Ratio { millionths };
        let time = Threshold::Time { percentile: 99, ms: 5_000 };
        let expected = [
            (Signal::ErrorRate, alert(ratio(50_000), 60_000, Level::Critical, &all)),
            (Signal::ResponseTime, alert(time, 120_000, Level::Warning, &both)),
            (Signal::AuthFailure, alert(ratio(100_000), 30_000, Level::Critical, &all)),
            (Signal::DataFetchFailure, alert(ratio(200_000), 180_000, Level::Error, &both)),
        ];
        assert_eq!(alerting.alerts, BTreeMap::from(expected));
    }

    #[test]
    fn the_levels_are_the_manuals() {
        let levels = Level::NAMES.map(|name| Level::named(name).unwrap().number());

        assert_eq!(levels, [1, 2, 3]);
    }

    #[test]
    fn the_grammar_knows_every_signal() {
        assert_eq!(ALERTS.keys(), Signal::ALL.map(Signal::name));
    }

    #[test]
    fn every_fault_is_told_at_once_with_its_place_and_a_way_out() {
        let text = "\
alerts:
  error_rte: {threshold: 0.05, duration: 60s, severity: critical, channels: [slack]}
  response_time:
    threshold: 5000
    duration: 120
    severity: warn
    channels: []
  auth_failure: {threshold: 10%, percentile: 99, duration: 30s, severity: critical, channels: [slak, email, email]}
  data_fetch_failure: {threshold: 0.2}
  disk: ~
rules: []
";

        insta::assert_snapshot!(faults_of(text), @r"
        a.yml:2:3: `error_rte` is not a key of the alerts
            did you mean `error_rate`? keys: `error_rate`, `response_time`, `auth_failure`, `data_fetch_failure`, `cpu`, `memory`
        a.yml:4:5: an alert on a time needs `percentile`
            Which percentage of all answers has come by then; for example `percentile: 10`
        a.yml:4:16: `5000` has no unit
            write `5000s` for seconds; units: ms, s, m, h, d
        a.yml:5:15: `120` has no unit
            write `120s` for seconds; units: ms, s, m, h, d
        a.yml:6:15: `warn` is not one of the choices here
            did you mean `warning`? choices: `warning`, `error`, `critical`
        a.yml:7:15: 0 channels found, at least 1 expected
            for example: [slack, email]
        a.yml:8:29: `10%` found, a part of all expected: above 0, at most 1
            write `0.1` for 10%
        a.yml:8:34: `percentile` is not a key of an alert on a rate
            keys: `threshold`, `duration`, `severity`, `channels`
        a.yml:8:96: `slak` is not one of the choices here
            did you mean `slack`? choices: `slack`, `email`, `pagerduty`
        a.yml:8:109: `email` is here twice
            remove one of the two
        a.yml:9:23: an alert on a rate needs `channels`
            Where it is said; for example `channels: [slack, email]`
        a.yml:9:23: an alert on a rate needs `duration`
            For how long without a break; for example `duration: 10s`
        a.yml:9:23: an alert on a rate needs `severity`
            The manual's level 1, 2 or 3; for example `severity: warning`
        a.yml:10:3: `disk` is not a key of the alerts
            keys: `error_rate`, `response_time`, `auth_failure`, `data_fetch_failure`, `cpu`, `memory`
        a.yml:11:1: `rules` is not a key of the alerting configuration
            keys: `alerts`
        ");
    }

    #[test]
    fn a_threshold_is_a_part_of_all() {
        for right in ["0.05", "0.10", "0.000001", "1", "1.0", "\"0.5\""] {
            assert_eq!(faults_of(&rate(right)), "", "{right}");
        }
        for (wrong, way) in [
            ("5", "write `0.05` for 5%"),
            ("80%", "write `0.8` for 80%"),
            ("100%", "write `1` for 100%"),
            ("0", "for example: 0.05"),
            ("0.0", "for example: 0.05"),
            ("1.1", "for example: 0.05"),
            ("-0.1", "for example: 0.05"),
            ("5e-2", "for example: 0.05"),
            (".5", "for example: 0.05"),
            ("0.0000001", "for example: 0.05"),
            ("5000ms", "for example: 0.05"),
            ("0.１", "for example: 0.05"),
        ] {
            let faults = faults_of(&rate(wrong));
            assert!(faults.contains("a part of all expected") && faults.contains(way), "{faults}");
        }
    }

    #[test]
    fn a_threshold_is_shown_as_people_say_it() {
        let shown = |millionths| Threshold::Ratio { millionths }.to_string();
        let expected = ["0.0001%", "5%", "12.5%", "100%"].map(str::to_owned);
        assert_eq!([1, 50_000, 125_000, 1_000_000].map(shown), expected);
        let time = Threshold::Time { percentile: 99, ms: 5_000 };
        assert_eq!(time.to_string(), "P99 5s");
    }

    #[test]
    fn nothing_to_watch_is_a_fault() {
        for (text, words) in [
            ("", "the file is empty"),
            ("alerts:\n", "nothing found, the alerts (a map) expected"),
            ("alerts: {}\n", "no alerts found, at least one expected"),
            ("{}\n", "the alerting configuration needs `alerts`"),
        ] {
            assert!(faults_of(text).contains(words), "{text}: {}", faults_of(text));
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in any::<String>()) {
            let _ = parse("a.yml", text.as_bytes());
        }

        /// Texts that come further: the words are right, what stands beside them is anything.
        #[test]
        fn no_alert_makes_it_panic(
            name in "error_rate|response_time|cpu|[a-z_]{1,12}",
            threshold in "[0-9]{0,12}[.]?[0-9]{0,12}(ms|s|%|)|[\\[\\]{}a-z: ,]{0,9}",
            rest in "(percentile: -?[0-9]{0,20}|)\n    (duration: [0-9]{0,20}[smhd]|)\n    (channels: [a-z\\[\\], ]{0,20}|)",
        ) {
            let text = format!("alerts:\n  {name}:\n    threshold: {threshold}\n    {rest}\n");
            let read = parse("a.yml", text.as_bytes());
            prop_assert!(read.is_err(), "there is no severity in it");
        }

        #[test]
        fn a_ratio_is_read_as_it_is_written(millionths in 1..=WHOLE_MILLIONTHS) {
            let (whole, rest) = (millionths / WHOLE_MILLIONTHS, millionths % WHOLE_MILLIONTHS);
            prop_assert_eq!(ratio(&format!("{whole}.{rest:06}")), Some(millionths));
        }
    }
}
