//! The alerting configuration, as the manual writes it: YAML in, [`Alerting`] out, or every fault at
//! once.
//!
//! Nothing is watched here and nobody is told. Each section of the file has a file here.

use super::fault::{Fault, Faults};
use super::runbook::read_bounded;
use super::shape::{Object, Shape, optional, required};
use super::tree::{self, Node};
use crate::core::duration;
use crate::core::escalation::Policies;
use crate::core::oncall::Rotations;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::path::Path;

mod escalation;
mod liveness;
mod oncall;
mod prometheus;
pub mod rehearsal;
mod rules;
mod watchdog;
pub mod ways;

pub use crate::core::alert_measure::Signal;
pub use crate::core::alert_rule::Threshold;
pub use escalation::Inhibition;
pub use liveness::{Heartbeat, Liveness};
pub use prometheus::Prometheus;
pub use rules::Alert;
pub use watchdog::Watchdog;
pub use ways::{Email, Pagerduty, Ways};

/// Names in one list.
const NAMES_MAX: usize = 50;

/// What is watched, and when somebody is told.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Alerting {
    /// At least one, in a file.
    pub alerts: BTreeMap<String, Alert>,
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
    let oncall = oncall::read(root.get("oncall"), &mut faults);
    // As people write them, not by the alphabet.
    let first = root.get("oncall").and_then(|node| node.entries().first());
    let first = first.map(|entry| entry.key.as_str());
    let read = Alerting {
        alerts: rules::read(root.get("alerts"), &mut faults),
        prometheus: prometheus::read(root.get("prometheus"), &mut faults),
        policies: escalation::read(root.get("escalation"), (first, &oncall), &mut faults),
        inhibitions: escalation::inhibitions(root.get("inhibit"), &mut faults),
        oncall,
        ways: ways::read(root.get("notices"), &mut faults),
        liveness: liveness::read(root.get("liveness"), &mut faults),
        digest: hex::encode(Sha256::digest(bytes)),
    };
    if faults.is_empty() { Ok(read) } else { Err(faults.finish()) }
}

/// The milliseconds of a duration; what the shape has refused already has none here.
fn duration_ms(node: Option<&Node>) -> Option<u64> {
    node.and_then(Node::text).and_then(duration::parse)
}

static ROOT: Object = Object {
    name: "the alerting configuration",
    doc: "When people are told that something is wrong.",
    fields: &[
        required("alerts", Shape::KeyedMap(&rules::GRAMMAR), "What is watched"),
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
    use crate::core::alert::{Level, Way};
    use proptest::prelude::*;
    use std::collections::BTreeSet;

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
        let alert = |threshold, duration_ms, severity, channels: &BTreeSet<Way>| {
            Alert::plain(threshold, duration_ms, severity, channels.clone())
        };
        let ratio = |millionths| Threshold::Ratio { millionths };
        let time = Threshold::Time { percentile: 99, ms: 5_000 };
        let expected = [
            (Signal::ErrorRate, alert(ratio(50_000), 60_000, Level::Critical, &all)),
            (Signal::ResponseTime, alert(time, 120_000, Level::Warning, &both)),
            (Signal::AuthFailure, alert(ratio(100_000), 30_000, Level::Critical, &all)),
            (Signal::DataFetchFailure, alert(ratio(200_000), 180_000, Level::Error, &both)),
        ];
        let expected = expected.map(|(signal, alert)| (signal.name().to_owned(), alert));
        assert_eq!(alerting.alerts, BTreeMap::from(expected));
    }

    #[test]
    fn the_levels_are_the_manuals() {
        let levels = Level::NAMES.map(|name| Level::named(name).unwrap().number());

        assert_eq!(levels, [1, 2, 3]);
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
        a.yml:2:3: `error_rte` is not measured by itself, and there is no `query`
            did you mean `error_rate`? built in: `error_rate`, `response_time`, `auth_failure`, `data_fetch_failure`, `cpu`, `memory`; or add its `query`, in PromQL
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
            keys: `threshold`, `clear`, `duration`, `severity`, `channels`, `query`, `samples`, `scrape_interval`, `window`, `clear_for`, `min_samples`, `volume`, `runbook`, `owner`, `summary`
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
        a.yml:10:3: `disk` is not measured by itself, and there is no `query`
            built in: `error_rate`, `response_time`, `auth_failure`, `data_fetch_failure`, `cpu`, `memory`; or add its `query`, in PromQL
        a.yml:10:9: nothing found, an alert with a query (a map) expected
            for example: {query: max(queue_age_seconds), threshold: 5m, duration: 60s, severity: error, channels: [slack]}
        a.yml:11:1: `rules` is not a key of the alerting configuration
            keys: `alerts`, `prometheus`, `escalation`, `inhibit`, `oncall`, `notices`, `liveness`
        ");
    }

    #[test]
    fn what_stands_beside_the_manuals_keys_is_read() {
        let text = "\
alerts:
  error_rate: {threshold: 0.05, duration: 60s, severity: critical, channels: [slack], clear: 0.03, clear_for: 30s,
    min_samples: 20, window: 5m, scrape_interval: 30s, runbook: 'https://wiki/errors', owner: payments, summary: {zh: 错, en: Bad}}
  queue_age: {query: 'max(queue_age_seconds{job=\"a)\"})', threshold: 5m, clear: 1m, duration: 30s, severity: error,
    channels: [slack], samples: queue_age_seconds, volume: count(queue_age_seconds), min_samples: 1}
  Orders: {query: sum(orders), threshold: -1.5, duration: 30s, severity: error, channels: [slack]}
  memory: {query: my_memory, threshold: 0.9, duration: 30s, severity: error, channels: [slack], samples: my_memory}
";
        let alerting =
            parse("a.yml", text.as_bytes()).unwrap_or_else(|found| panic!("{}", listing(&found)));

        let rule = |name: &str| alerting.alerts[name].rule(name, "shop");
        let errors = rule("error_rate");
        assert!(errors.questions.value.contains("[5m]"), "{}", errors.questions.value);
        assert_eq!(errors.clear, Threshold::Ratio { millionths: 30_000 });
        assert_eq!(
            (errors.clear_for_ms, errors.min_samples, errors.fresh_ms()),
            (30_000, 20, 60_000)
        );
        assert_eq!(
            (errors.runbook.as_str(), errors.owner.as_str()),
            ("https://wiki/errors", "payments")
        );
        assert_eq!(errors.summary.as_ref().map(|words| words.en.as_str()), Some("Bad"));
        let queue = rule("queue_age");
        assert_eq!(
            (queue.threshold, queue.clear),
            (Threshold::Duration { ms: 300_000 }, Threshold::Duration { ms: 60_000 })
        );
        assert_eq!(queue.questions.age, "time() - max(timestamp(queue_age_seconds))");
        assert_eq!(
            (queue.questions.volume.as_str(), queue.min_samples),
            ("count(queue_age_seconds)", 1)
        );
        assert_eq!(rule("Orders").threshold, Threshold::Number { millionths: -1_500_000 });
        // What is the team's own is not mixed with what is built in.
        let memory = rule("memory").questions;
        assert_eq!((memory.value.as_str(), memory.volume.as_str()), ("my_memory", ""));
    }

    #[test]
    fn what_would_mean_nothing_beside_them_is_a_fault() {
        let own = |rest: &str| {
            let text = format!(
                "alerts: {{a: {{query: 'x', threshold: 1, duration: 30s, severity: error, channels: [slack], {rest}}}}}"
            );
            faults_of(&text)
        };
        for (rest, words) in [
            ("window: 1m", "`window` is that of the built-in query"),
            ("clear: 2", "2 is more than the threshold, 1"),
            ("min_samples: 3", "least of something that nothing counts"),
            ("volume: count(x)", "no `min_samples` says"),
            ("samples: 'x{'", "this is no PromQL: `}` is missing at its end"),
            ("volume: 'sum(x))', min_samples: 1", "this is no PromQL: `)` closes nothing"),
            ("samples: 'x{ # }'", "`}` is missing at its end"),
            ("runbook: wiki", "`wiki` is not the address of a page"),
            ("clear: soon", "`soon` found, a plain number or a time expected"),
            ("percentile: 9", "`percentile` is not a key"),
        ] {
            assert!(own(rest).contains(words), "{rest}: {}", own(rest));
        }
        assert_eq!(own("clear: 1"), "");
        assert_eq!(own("volume: \"count(x) # it's one :)\", min_samples: 1"), "");
        let short = "alerts: {cpu: {threshold: 0.8, duration: 5m, severity: error, channels: [slack], window: 20s}}";
        assert!(faults_of(short).contains("less than two scrapes"), "{}", faults_of(short));
        let name = "alerts: {disk-full: {query: x, threshold: 1, duration: 30s, severity: error, channels: [slack]}}";
        assert!(faults_of(name).contains("write `disk_full`"), "{}", faults_of(name));
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
    }
}
