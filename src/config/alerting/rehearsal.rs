//! Tests of the alerting configuration, as `neostock-ops alerts test` reads them: what is measured in the
//! course of time, what people do about it, and what rules, alerts and notices are expected to be at which
//! moments.

use super::{Alerting, rules};
use crate::config::fault::{Fault, Faults, Position, mean_or_list};
use crate::config::runbook::read_bounded;
use crate::config::shape::{List, Map, Object, Shape, Text, TextKind, default, optional, required};
use crate::config::tree::{self, Node};
use crate::core::alert::{self, Event, Level};
use crate::core::alert_rule;
use crate::core::duration;
use crate::core::series::{self, Sample};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Tests that a file may have, moments that one may look at, and deeds in it.
const TESTS_MAX: usize = 100;
const MOMENTS_MAX: usize = 200;
const DEEDS_MAX: usize = 100;
const NAMES_MAX: usize = 50;
const NOTICES_MAX: usize = 100;
/// Who does them.
pub const SOMEBODY: &str = "U0SOMEBODY";
/// What can be done to an alert: the words of `/neostock alert`.
const DEED_NAMES: [&str; 6] =
    ["acknowledge", "release", "resolve", "silence", "unsilence", "escalate"];
/// How far a test may look.
const LONGEST_MS: u64 = 24 * 3_600_000;
/// 2026-01-05 00:00:00 UTC, a Monday.
const STARTS: &str = "2026-01-05T00:00:00Z";

/// A file of tests.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Named {
    /// The alerting configuration that it tests.
    pub alerting: PathBuf,
    /// The runbook whose service, environment and language it has; `None`: one that is built in.
    pub runbook: Option<PathBuf>,
}

/// One test.
#[derive(Debug, Clone, PartialEq)]
pub struct Rehearsal {
    /// What it is called.
    pub name: String,
    /// When it begins.
    pub starts_ms: i64,
    /// Between two samples.
    pub interval_ms: i64,
    /// The measures of rules, by name.
    pub measures: BTreeMap<String, Vec<Sample>>,
    /// What they are made of.
    pub volumes: BTreeMap<String, Vec<Sample>>,
    /// How old their samples are, in seconds.
    pub ages: BTreeMap<String, Vec<Sample>>,
    /// What somebody does, in the order of its time.
    pub deeds: Vec<Deed>,
    /// What is expected, in the order of its time.
    pub expected: Vec<Expected>,
}

/// What somebody does to an alert.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deed {
    /// How long after the beginning.
    pub after_ms: i64,
    /// The line of the file.
    pub line: usize,
    /// The alert's name.
    pub alert: String,
    /// What, as the file names it.
    pub what: String,
    /// What that is.
    pub event: Event,
}

/// What is expected at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
    /// How long after the beginning.
    pub after_ms: i64,
    /// The line of the file.
    pub line: usize,
    /// The states of rules.
    pub rules: BTreeMap<String, alert_rule::State>,
    /// The states of alerts, and their levels where they are given; `None`: there is no such alert.
    pub alerts: BTreeMap<String, Option<(alert::State, Option<Level>)>>,
    /// What each notice since the moment before it says; `None`: that is not asked.
    pub notices: Option<Vec<String>>,
}

/// Which files a file of tests names.
///
/// # Errors
/// It cannot be read, or what it names is not there.
pub fn names(path: &Path) -> Result<(Named, Vec<u8>), Vec<Fault>> {
    let name = path.display().to_string();
    let bytes = read_bounded(path).map_err(|error| {
        let message = format!("the tests cannot be read: {error}");
        vec![Fault::whole(name.clone(), message).suggest("name the right file")]
    })?;
    let mut faults = Faults::new(&name);
    let root = tree::parse(&bytes, &mut faults).ok_or_else(|| faults.finish())?;
    let folder = path.parent().unwrap_or(Path::new(""));
    let file = |key: &str| root.get(key).and_then(Node::text).map(|text| folder.join(text));
    let alerting = file("alerting").unwrap_or_else(|| folder.join("alerting-config.yml"));
    Ok((Named { alerting, runbook: file("runbook") }, bytes))
}

/// Reads the tests of a configuration.
///
/// # Errors
/// Every fault of the file.
pub fn parse(name: &str, bytes: &[u8], alerting: &Alerting) -> Result<Vec<Rehearsal>, Vec<Fault>> {
    let mut faults = Faults::new(name);
    let Some(root) = tree::parse(bytes, &mut faults) else { return Err(faults.finish()) };
    Shape::Object(&ROOT).check(&root, &mut faults);
    let known: Vec<&str> = alerting.alerts.keys().map(String::as_str).collect();
    let mut reading = Reading { faults, known };
    let tests = root.get("tests").map_or(&[][..], Node::items);
    let found = tests.iter().filter_map(|node| reading.test(node)).collect();
    if reading.faults.is_empty() { Ok(found) } else { Err(reading.faults.finish()) }
}

struct Reading<'k> {
    faults: Faults,
    known: Vec<&'k str>,
}

impl Reading<'_> {
    fn test(&mut self, node: &Node) -> Option<Rehearsal> {
        let starts = node.get("starts").and_then(Node::text).unwrap_or(STARTS);
        let starts_ms = duration::moment(starts, 0).filter(|_| duration::parse(starts).is_none());
        if starts_ms.is_none() {
            let at = node.get("starts").map_or(node.at, |node| node.at);
            let way = format!("for example: {STARTS}");
            self.faults.add_with(at, format!("`{starts}` is not a moment"), way);
        }
        let interval_ms = duration_ms(node.get("interval")).unwrap_or(10_000);
        let measures = self.series(node.get("measures"));
        let volumes = self.series(node.get("volumes"));
        let ages = self.series(node.get("ages"));
        let mut expected: Vec<Expected> = Vec::new();
        for item in node.get("expect").map_or(&[][..], Node::items) {
            let one = self.expected(item);
            if let (Some(before), Some(one)) = (expected.last(), &one)
                && one.after_ms <= before.after_ms
            {
                self.faults.add(item.at, "this moment does not come after the one before it");
            }
            expected.extend(one);
        }
        let mut deeds: Vec<Deed> = Vec::new();
        for item in node.get("people").map_or(&[][..], Node::items) {
            let one = self.deed(item, starts_ms.unwrap_or(0));
            if let (Some(before), Some(one)) = (deeds.last(), &one)
                && one.after_ms < before.after_ms
            {
                self.faults.add(item.at, "this comes before what stands above it");
            }
            let last_ms = expected.last().map_or(0, |last| last.after_ms);
            if one.as_ref().is_some_and(|one| one.after_ms > last_ms) {
                self.faults.add(item.at, "nothing is expected after this, so it is never done");
            }
            deeds.extend(one);
        }
        Some(Rehearsal {
            name: node.get("name")?.text()?.to_owned(),
            starts_ms: starts_ms?,
            interval_ms,
            measures,
            volumes,
            ages,
            deeds,
            expected,
        })
    }

    fn series(&mut self, node: Option<&Node>) -> BTreeMap<String, Vec<Sample>> {
        self.by_name(node, |text| {
            let way = "for example: 0.01x5 0.08x20 _x3";
            series::parse(text).map_err(|words| (words, way)).map(Some)
        })
    }

    /// What stands beside the names of alerts, each known.
    fn by_name<T>(
        &mut self,
        node: Option<&Node>,
        read: impl Fn(&str) -> Result<Option<T>, (String, &'static str)>,
    ) -> BTreeMap<String, T> {
        let mut found = BTreeMap::new();
        for entry in node.map_or(&[][..], Node::entries) {
            self.is_known(&entry.key, entry.key_at);
            match entry.value.text().map(&read) {
                Some(Ok(Some(value))) => {
                    found.insert(entry.key.clone(), value);
                }
                Some(Err((message, way))) => {
                    self.faults.add_with(entry.value.at, message, way);
                }
                // The shape has told it.
                Some(Ok(None)) | None => {}
            }
        }
        found
    }

    fn deed(&mut self, node: &Node, starts_ms: i64) -> Option<Deed> {
        let alert = node.get("alert")?;
        let name = alert.text()?;
        self.is_known(name, alert.at);
        let (what, lasts) = (node.get("do")?.text()?, node.entry("for"));
        if let Some(entry) = lasts.filter(|_| what != "silence") {
            let message = "`for` is how long a silence is";
            self.faults.add_with(entry.key_at, message, "leave it out, or write do: silence");
        }
        if lasts.is_none() && what == "silence" {
            let message = "a silence needs `for`: how long it is";
            self.faults.add_with(node.at, message, "for example: for: 2h");
        }
        let after_ms = duration_ms(node.get("at"))?;
        let event = match what {
            "acknowledge" => Event::Acknowledged { by: SOMEBODY.to_owned() },
            "release" => Event::Unacknowledged,
            "resolve" => Event::Resolved,
            "silence" => {
                let until_ms = starts_ms + after_ms + duration_ms(node.get("for"))?;
                Event::Silenced { until_ms }
            }
            "unsilence" => Event::Unsilenced,
            "escalate" => Event::Escalated,
            // The shape has told it.
            _ => return None,
        };
        let (alert, what) = (name.to_owned(), what.to_owned());
        Some(Deed { after_ms, line: node.at.line, alert, what, event })
    }

    fn expected(&mut self, node: &Node) -> Option<Expected> {
        let rules = self.by_name(node.get("rules"), |text| Ok(alert_rule::State::parse(text)));
        let alerts = self.by_name(node.get("alerts"), |text| match standing(text) {
            Ok(standing) => Ok(Some(standing)),
            Err(()) => Err((
                format!("`{text}` is not how an alert may stand"),
                "none, open, acknowledged or resolved; with a level: open 3",
            )),
        });
        let notices = node.get("notices").map(|node| {
            let texts = node.items().iter().filter_map(Node::text);
            texts.map(str::to_owned).collect()
        });
        let after_ms = duration_ms(node.get("at"))?;
        Some(Expected { after_ms, line: node.at.line, rules, alerts, notices })
    }

    fn is_known(&mut self, name: &str, at: Position) {
        if !self.known.contains(&name) {
            let way = mean_or_list(name, "alerts", &self.known);
            self.faults.add_with(at, format!("there is no alert `{name}`"), way);
        }
    }
}

/// How an alert is expected to stand; `None`: there is none.
type Standing = Option<(alert::State, Option<Level>)>;

/// `none`, `open`, `open 3`.
fn standing(text: &str) -> Result<Standing, ()> {
    if text == "none" {
        return Ok(None);
    }
    let (word, level) = match text.split_once(' ') {
        Some((word, number)) => {
            let number = number.parse().map_err(|_| ())?;
            (word, Some(Level::numbered(number).ok_or(())?))
        }
        None => (text, None),
    };
    Ok(Some((alert::State::parse(word).ok_or(())?, level)))
}

fn duration_ms(node: Option<&Node>) -> Option<i64> {
    i64::try_from(super::duration_ms(node)?).ok()
}

const AFTER: Shape = Shape::Duration { min_ms: 0, max_ms: LONGEST_MS };

static LINE: Text = Text {
    name: "a line",
    kind: TextKind::Line,
    chars_min: 1,
    chars_max: 300,
    example: "errors rise and fall",
};
static FILE: Text = Text {
    name: "a file",
    kind: TextKind::Line,
    chars_min: 1,
    chars_max: 300,
    example: "alerting-config.yml",
};
static SERIES: Text = Text {
    name: "a series",
    kind: TextKind::AsWritten,
    chars_min: 1,
    chars_max: 10_000,
    example: "0.01x5 0.08x20 _x3",
};
static MEASURES: Map = Map {
    name: "series",
    key: &rules::NAME,
    value: Shape::Text(&SERIES),
    min: 0,
    max: NAMES_MAX,
    example: "{error_rate: 0.01x5 0.08x20}",
};
static RULES: Map = Map {
    name: "states of rules",
    key: &rules::NAME,
    value: Shape::Choice(&["ok", "pending", "firing", "unknown"]),
    min: 0,
    max: NAMES_MAX,
    example: "{error_rate: firing}",
};
static ALERTS: Map = Map {
    name: "states of alerts",
    key: &rules::NAME,
    value: Shape::Text(&LINE),
    min: 0,
    max: NAMES_MAX,
    example: "{error_rate: open 3}",
};
static NOTICES: List = List {
    name: "notices",
    item: Shape::Text(&LINE),
    min: 0,
    max: NOTICES_MAX,
    example: "['error_rate']",
};
static DEED: Object = Object {
    name: "a deed",
    doc: "What somebody does to an alert.",
    fields: &[
        required("at", AFTER, "How long after the beginning; what is measured then comes first"),
        required("alert", Shape::Text(&LINE), "The alert's name"),
        required("do", Shape::Choice(&DEED_NAMES), "What"),
        optional(
            "for",
            Shape::Duration { min_ms: 1_000, max_ms: 7 * LONGEST_MS },
            "How long a silence is",
        ),
    ],
    exactly_one: &[],
    later: &[],
    example: "{at: 3m, alert: error_rate, do: acknowledge}",
};
static DEEDS: List = List {
    name: "deeds",
    item: Shape::Object(&DEED),
    min: 0,
    max: DEEDS_MAX,
    example: "[{at: 3m, alert: error_rate, do: acknowledge}]",
};
static MOMENT: Object = Object {
    name: "a moment",
    doc: "What is expected then.",
    fields: &[
        required("at", AFTER, "How long after the beginning"),
        optional("rules", Shape::Map(&RULES), "The states of rules"),
        optional(
            "alerts",
            Shape::Map(&ALERTS),
            "The states of alerts, and their levels: none, open, open 3, acknowledged, resolved",
        ),
        optional(
            "notices",
            Shape::List(&NOTICES),
            "Every notice since the moment before it, in order, by words that it has",
        ),
    ],
    exactly_one: &[],
    later: &[],
    example: "{at: 2m, rules: {error_rate: firing}}",
};
static MOMENTS: List = List {
    name: "moments",
    item: Shape::Object(&MOMENT),
    min: 1,
    max: MOMENTS_MAX,
    example: "[{at: 2m, rules: {error_rate: firing}}]",
};
static TEST: Object = Object {
    name: "a test",
    doc: "A course of measures, and what comes of it.",
    fields: &[
        required("name", Shape::Text(&LINE), "What it is called"),
        optional(
            "starts",
            Shape::Text(&LINE),
            "When it begins; 2026-01-05T00:00:00Z, a Monday, unless given",
        ),
        default(
            "interval",
            "10s",
            Shape::Duration { min_ms: 1_000, max_ms: 3_600_000 },
            "Between two samples",
        ),
        required(
            "measures",
            Shape::Map(&MEASURES),
            "The measure of each rule; a rule that is left out has none",
        ),
        optional("volumes", Shape::Map(&MEASURES), "What a measure is made of"),
        optional("ages", Shape::Map(&MEASURES), "How many seconds old its newest sample is"),
        optional("people", Shape::List(&DEEDS), "What people do about it, in the order of time"),
        required("expect", Shape::List(&MOMENTS), "What is expected, in the order of time"),
    ],
    exactly_one: &[],
    later: &[],
    example: "{name: errors rise, measures: {error_rate: 0.08x20}, expect: [{at: 2m, rules: {error_rate: firing}}]}",
};
static TESTS: List = List {
    name: "tests",
    item: Shape::Object(&TEST),
    min: 1,
    max: TESTS_MAX,
    example: "[{name: errors rise, measures: {error_rate: 0.08x20}, expect: [{at: 2m, rules: {error_rate: firing}}]}]",
};
static ROOT: Object = Object {
    name: "the tests",
    doc: "Tests of an alerting configuration.",
    fields: &[
        default(
            "alerting",
            "alerting-config.yml",
            Shape::Text(&FILE),
            "The configuration; a relative path starts at this file's folder",
        ),
        optional(
            "runbook",
            Shape::Text(&FILE),
            "The runbook whose service, environment and language it has",
        ),
        required("tests", Shape::List(&TESTS), "What is tried"),
    ],
    exactly_one: &[],
    later: &[],
    example: "{tests: [{name: errors rise, measures: {error_rate: 0.08x20}, expect: [{at: 2m, rules: {error_rate: firing}}]}]}",
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::fault::listing;

    fn read(text: &str) -> Result<Vec<Rehearsal>, String> {
        let alert = "{threshold: 0.05, duration: 60s, severity: error, channels: [slack]}";
        let alerting = format!("alerts: {{error_rate: {alert}}}");
        let alerting = super::super::parse("a.yml", alerting.as_bytes()).unwrap();
        parse("t.yml", text.as_bytes(), &alerting).map_err(|faults| listing(&faults))
    }

    #[test]
    fn a_test_is_read_as_it_is_written() {
        let tests = read(
            "tests:\n  - name: a\n    starts: 2026-03-01T00:00:00+08:00\n    interval: 5s\n    measures: {error_rate: '0.1 _'}\n    \
             expect:\n      - {at: 0s, rules: {error_rate: pending}, alerts: {error_rate: none}}\n      \
             - {at: 1m, alerts: {error_rate: open 2}, notices: []}\n",
        );
        let test = tests.unwrap().remove(0);
        assert_eq!(test.measures["error_rate"], [Sample::Value(0.1), Sample::Missing]);
        assert_eq!((test.starts_ms, test.interval_ms), (1_772_294_400_000, 5_000));
        let [first, second] = &test.expected[..] else { panic!("{test:?}") };
        assert_eq!(first.rules["error_rate"], alert_rule::State::Pending);
        assert_eq!((first.alerts["error_rate"], &first.notices), (None, &None));
        let open = Some((alert::State::Open, Some(Level::Error)));
        assert_eq!((second.alerts["error_rate"], &second.notices), (open, &Some(Vec::new())));
        assert_eq!((second.after_ms, second.line), (60_000, 8));
        assert_eq!(test.deeds, []);
    }

    #[test]
    fn what_people_do_is_read_as_it_is_written() {
        let test = |people: &str| {
            format!(
                "tests: [{{name: a, measures: {{error_rate: 1}}, expect: [{{at: 5m}}], people: [{people}]}}]"
            )
        };
        let deed = |name: &&str| {
            let lasts = if *name == "silence" { ", for: 2h" } else { "" };
            format!("{{at: 90s, alert: error_rate, do: {name}{lasts}}}")
        };
        let all: Vec<String> = DEED_NAMES.iter().map(deed).collect();
        let found = read(&test(&all.join(", "))).unwrap().remove(0);
        let names: Vec<&str> = found.deeds.iter().map(|deed| deed.what.as_str()).collect();
        assert_eq!(names, DEED_NAMES);
        let first = &found.deeds[0];
        assert_eq!((first.after_ms, first.alert.as_str()), (90_000, "error_rate"));
        let until_ms = found.starts_ms + 90_000 + 7_200_000;
        assert_eq!(found.deeds[3].event, Event::Silenced { until_ms });

        for (wrong, words) in [
            ("{at: 1m, alert: errors, do: resolve}", "there is no alert `errors`"),
            ("{at: 1m, alert: error_rate, do: ack}", "`ack` is not one of the choices here"),
            ("{at: 1m, alert: error_rate, do: silence}", "a silence needs `for`"),
            ("{at: 301s, alert: error_rate, do: resolve}", "it is never done"),
            ("{at: 1m, alert: error_rate, do: resolve, for: 1m}", "how long a silence is"),
            (
                "{at: 2m, alert: error_rate, do: resolve}, {at: 1m, alert: error_rate, do: resolve}",
                "this comes before what stands above it",
            ),
        ] {
            let faults = read(&test(wrong)).unwrap_err();
            assert!(faults.contains(words), "{wrong}: {faults}");
        }
    }

    #[test]
    fn every_fault_is_told_with_its_place() {
        let faults = read(
            "tests:\n  - name: a\n    starts: soon\n    measures: {error_rte: 0.1, error_rate: 1x}\n    expect:\n      \
             - {at: 1m, alerts: {error_rate: loud}, rules: {error_rate: fires}}\n      - {at: 1m}\n",
        );
        insta::assert_snapshot!(faults.unwrap_err(), @r"
        t.yml:3:13: `soon` is not a moment
            for example: 2026-01-05T00:00:00Z
        t.yml:4:16: there is no alert `error_rte`
            did you mean `error_rate`? alerts: `error_rate`
        t.yml:4:44: `1x` is not a sample: 1, 0+1x10, 5x3, _x3, stale, error
            for example: 0.01x5 0.08x20 _x3
        t.yml:6:39: `loud` is not how an alert may stand
            none, open, acknowledged or resolved; with a level: open 3
        t.yml:6:66: `fires` is not one of the choices here
            choices: `ok`, `pending`, `firing`, `unknown`
        t.yml:7:9: this moment does not come after the one before it
        ");
    }
}
