//! The alert that fires always, as the alerting configuration writes it: where it stays away, its sender
//! is dead.

use crate::config::fault::Faults;
use crate::config::shape::{Object, Shape, Text, TextKind, optional, required};
use crate::config::tree::Node;
use crate::core::duration;

/// The name in Prometheus' own rules.
const NAME: &str = "Watchdog";
/// Shorter, one late body would be an alert; longer, it would be none.
const WITHIN_MS: (u64, u64) = (10_000, 24 * 3_600_000);

/// An alert that is expected again and again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watchdog {
    /// Its `alertname`.
    pub name: String,
    /// How long it may stay away.
    pub within_ms: i64,
}

pub(super) static GRAMMAR: Object = Object {
    name: "a watchdog",
    doc: "An alert that Alertmanager sends always; when it stays away, people are told.",
    fields: &[
        optional("name", Shape::Text(&WORD), "Its `alertname`; `Watchdog` unless given"),
        required(
            "within",
            Shape::Duration { min_ms: WITHIN_MS.0, max_ms: WITHIN_MS.1 },
            "How long it may stay away: at least twice the `repeat_interval` of its route",
        ),
    ],
    exactly_one: &[],
    later: &[],
    example: "{name: Watchdog, within: 5m}",
};

static WORD: Text = Text {
    name: "the name of an alert",
    kind: TextKind::AsWritten,
    chars_min: 1,
    chars_max: 120,
    example: "Watchdog",
};

pub(super) fn read(node: Option<&Node>, _faults: &mut Faults) -> Option<Watchdog> {
    let node = node?;
    let name = node.get("name").and_then(Node::text).unwrap_or(NAME).trim().to_owned();
    let within_ms = node.get("within").and_then(Node::text).and_then(duration::parse)?;
    Some(Watchdog { name, within_ms: within_ms.cast_signed() })
}

#[cfg(test)]
mod tests {
    use super::super::parse;
    use super::*;
    use crate::config::fault::listing;

    fn read(liveness: &str) -> Result<Option<Watchdog>, String> {
        let alerts =
            "alerts: {cpu: {threshold: 0.8, duration: 5m, severity: warning, channels: [slack]}}";
        let text = format!("{alerts}\nliveness: {liveness}\n");
        parse("a.yml", text.as_bytes())
            .map(|alerting| alerting.liveness.watchdog)
            .map_err(|faults| listing(&faults))
    }

    #[test]
    fn a_watchdog_is_expected_where_the_file_says_so() {
        let watchdog = |name: &str, within_ms| Some(Watchdog { name: name.to_owned(), within_ms });
        assert_eq!(read("{}"), Ok(None));
        assert_eq!(read("{watchdog: {within: 5m}}"), Ok(watchdog("Watchdog", 300_000)));
        assert_eq!(
            read("{watchdog: {name: DeadMan, within: 90s}}"),
            Ok(watchdog("DeadMan", 90_000))
        );
    }

    #[test]
    fn a_watchdog_without_a_time_or_with_an_odd_one_is_a_fault() {
        for odd in [
            "{watchdog: {}}",
            "{watchdog: {within: 1s}}",
            "{watchdog: {within: 2d}}",
            "{watchdog: {within: 5m, nmae: x}}",
        ] {
            assert!(read(odd).is_err(), "{odd}");
        }
    }
}
