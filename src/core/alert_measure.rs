//! What is measured without a query of the team's own: the manual's measures, as PromQL over documented
//! metric names. docs/alerts.md has the table.
//!
//! The service is the `job` of its scrape configuration. A part of all is 0 and not absent while nothing
//! fails, and absent or no number while nothing is counted.

use super::alert_rule::Questions;
use super::duration;

/// What can be watched without a query.
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

/// The histogram of how long answers take.
pub const DURATION_BUCKETS: &str = "http_request_duration_seconds_bucket";

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

    /// The names of all, in the same order.
    pub const NAMES: [&'static str; 6] =
        ["error_rate", "response_time", "auth_failure", "data_fetch_failure", "cpu", "memory"];

    /// As the file names it.
    pub fn name(self) -> &'static str {
        Self::NAMES[self as usize]
    }

    /// Reads a name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|signal| signal.name() == name)
    }

    /// The least that it is made of, unless the file says otherwise: one failure of one request is no
    /// outage.
    pub fn min_samples(self) -> u64 {
        match self {
            Self::ErrorRate | Self::ResponseTime => 10,
            Self::AuthFailure | Self::DataFetchFailure => 5,
            Self::Cpu | Self::Memory => 0,
        }
    }

    /// What is asked. `window_ms` is the time over which rates are taken, `percentile` that of a time.
    pub fn questions(self, service: &str, window_ms: u64, percentile: u8) -> Questions {
        let job = format!("job={}", quoted(service));
        let window = duration::spell(window_ms);
        match self {
            Self::ErrorRate => part("http_requests_total", r#"status=~"5..""#, &job, &window),
            Self::AuthFailure => part("auth_attempts_total", r#"result="failure""#, &job, &window),
            Self::DataFetchFailure => {
                part("data_fetches_total", r#"result="failure""#, &job, &window)
            }
            Self::ResponseTime => {
                let quantile = f64::from(percentile) / 100.0;
                let count = "http_request_duration_seconds_count";
                Questions {
                    value: format!(
                        "histogram_quantile({quantile}, sum by (le) \
                         (rate({DURATION_BUCKETS}{{{job}}}[{window}])))"
                    ),
                    age: age(&format!("{count}{{{job}}}")),
                    volume: format!("sum(increase({count}{{{job}}}[{window}]))"),
                }
            }
            Self::Cpu => Questions {
                value: format!(
                    "max(1 - avg by (instance) \
                     (rate(node_cpu_seconds_total{{mode=\"idle\"}}[{window}])))"
                ),
                age: age("node_cpu_seconds_total{mode=\"idle\"}"),
                volume: String::new(),
            },
            Self::Memory => Questions {
                value: "max(1 - node_memory_MemAvailable_bytes / node_memory_MemTotal_bytes)"
                    .to_owned(),
                age: age("node_memory_MemAvailable_bytes"),
                volume: String::new(),
            },
        }
    }
}

/// The part of a counter that carries a label.
fn part(counter: &str, bad: &str, job: &str, window: &str) -> Questions {
    let all = format!("sum(rate({counter}{{{job}}}[{window}]))");
    Questions {
        value: format!("(sum(rate({counter}{{{job},{bad}}}[{window}])) or 0 * {all}) / {all}"),
        age: age(&format!("{counter}{{{job}}}")),
        volume: format!("sum(increase({counter}{{{job}}}[{window}]))"),
    }
}

/// Seconds since the newest sample of a selector.
pub fn age(selector: &str) -> String {
    format!("time() - max(timestamp({selector}))")
}

/// The upper bounds of the buckets by which answers of a service are counted.
pub fn bounds(service: &str) -> String {
    format!("group by (le) ({DURATION_BUCKETS}{{job={}}})", quoted(service))
}

/// A string of PromQL.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fmt::Write as _;

    #[test]
    fn every_measure_asks_about_its_service_and_window() {
        let mut shown = String::new();
        for signal in Signal::ALL {
            let asked = signal.questions("shop", 60_000, 99);
            let Questions { value, age, volume } = asked;
            let _ = writeln!(shown, "{}\n  {value}\n  {age}\n  {volume}", signal.name());
        }
        insta::assert_snapshot!("built_in_questions", shown);
    }

    #[test]
    fn a_name_cannot_leave_its_string() {
        let asked = Signal::ErrorRate.questions("a\"} or vector(1) #\\", 1_000, 0).value;
        assert!(asked.contains(r#"{job="a\"} or vector(1) #\\"}"#), "{asked}");
    }

    #[test]
    fn names_are_read_back() {
        assert_eq!(Signal::NAMES.map(Signal::named), Signal::ALL.map(Some));
        assert_eq!(Signal::named("gpu"), None);
    }
}
