//! What `/metrics` shows. Counters only count; nothing decides by them.

use prometheus::{IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, TextEncoder};
use std::sync::Arc;

/// Where a rule may stand.
const RULE_STATES: [&str; 4] = ["ok", "pending", "firing", "unknown"];

/// The product's counters and gauges. Cheap to clone.
#[derive(Clone)]
pub struct Metrics(Arc<Inner>);

struct Inner {
    registry: Registry,
    http_answers: IntCounterVec,
    refused: IntCounterVec,
    webhook_alerts: IntCounterVec,
    requests: IntCounterVec,
    denied: IntCounterVec,
    run_events: IntCounterVec,
    outbox_calls: IntCounterVec,
    outbox: IntGaugeVec,
    runs_open: IntGaugeVec,
    leases_held: IntGauge,
    up: IntGaugeVec,
    free_bytes: IntGauge,
    runbook: IntGaugeVec,
    rule_ticks: IntCounterVec,
    rule_states: IntGaugeVec,
}

impl Metrics {
    /// Registers everything at zero.
    ///
    /// # Errors
    /// Only if two metrics share a name, which is a fault of this file.
    pub fn new() -> anyhow::Result<Self> {
        let registry = Registry::new();
        let counter = |name: &str, help: &str, label: &str| -> anyhow::Result<IntCounterVec> {
            let counter = IntCounterVec::new(Opts::new(name, help), &[label])?;
            registry.register(Box::new(counter.clone()))?;
            Ok(counter)
        };
        let gauge = |name: &str, help: &str, label: &str| -> anyhow::Result<IntGaugeVec> {
            let gauge = IntGaugeVec::new(Opts::new(name, help), &[label])?;
            registry.register(Box::new(gauge.clone()))?;
            Ok(gauge)
        };
        let single = |name: &str, help: &str| -> anyhow::Result<IntGauge> {
            let gauge = IntGauge::new(name, help)?;
            registry.register(Box::new(gauge.clone()))?;
            Ok(gauge)
        };
        let outbox_calls = IntCounterVec::new(
            Opts::new(
                "neostock_outbox_calls_total",
                "Calls that deliver messages, by way and result.",
            ),
            &["way", "result"],
        )?;
        registry.register(Box::new(outbox_calls.clone()))?;
        let rule_states = IntGaugeVec::new(
            Opts::new(
                "neostock_rule_state",
                "1 for the state of an alert rule that this bot evaluated last: ok, pending, firing, unknown.",
            ),
            &["rule", "state"],
        )?;
        registry.register(Box::new(rule_states.clone()))?;
        single("neostock_up", "1 while the bot runs.")?.set(1);
        Ok(Self(Arc::new(Inner {
            http_answers: counter(
                "neostock_http_answers_total",
                "HTTP answers by status.",
                "status",
            )?,
            refused: counter(
                "neostock_requests_refused_total",
                "Inbound requests refused before anything was parsed or done, by reason.",
                "reason",
            )?,
            webhook_alerts: counter(
                "neostock_webhook_alerts_total",
                "Alerts that webhooks brought, by what came of them.",
                "outcome",
            )?,
            requests: counter(
                "neostock_requests_total",
                "Verified requests by what came of them.",
                "outcome",
            )?,
            denied: counter(
                "neostock_denied_total",
                "Requests that were denied, by why: what the person is to the role, or that Slack could not be asked.",
                "why",
            )?,
            run_events: counter("neostock_run_events_total", "Events of runs and steps.", "event")?,
            outbox_calls,
            outbox: gauge(
                "neostock_outbox",
                "Messages that are due or refused for good, and the age in seconds of the oldest due.",
                "what",
            )?,
            runs_open: gauge("neostock_runs_open", "Runs that have not ended, by state.", "state")?,
            leases_held: single("neostock_leases_held", "Runs that this bot drives.")?,
            up: gauge(
                "neostock_part_up",
                "1 while a part is as it should be: database, slack, disk.",
                "part",
            )?,
            free_bytes: single(
                "neostock_data_free_bytes",
                "Free bytes of the data folder, or of SQLite's if it has fewer.",
            )?,
            runbook: gauge(
                "neostock_runbook_info",
                "1 for the digest of the runbook in force; replicas should agree.",
                "digest",
            )?,
            rule_ticks: counter(
                "neostock_rule_ticks_total",
                "Evaluations of alert rules by outcome: breach, between, ok, no_data, error.",
                "outcome",
            )?,
            rule_states,
            registry,
        })))
    }

    /// One HTTP answer.
    pub fn http_answer(&self, status: u16) {
        self.0.http_answers.with_label_values(&[status.to_string().as_str()]).inc();
    }

    /// One request refused at the door; `reason` is one of a fixed few words.
    pub fn refused(&self, reason: &'static str) {
        self.0.refused.with_label_values(&[reason]).inc();
    }

    /// Alerts that a webhook brought; `outcome` is one of a fixed few words.
    pub fn webhook_alerts(&self, outcome: &'static str, count: usize) {
        self.0.webhook_alerts.with_label_values(&[outcome]).inc_by(count as u64);
    }

    /// One verified request; `outcome` is one of a fixed few words.
    pub fn request(&self, outcome: &'static str) {
        self.0.requests.with_label_values(&[outcome]).inc();
    }

    /// One request that was denied; `why` is one of a fixed few words.
    pub fn denied(&self, why: &'static str) {
        self.0.denied.with_label_values(&[why]).inc();
    }

    /// One event of a run or step.
    pub fn run_event(&self, event: &'static str) {
        self.0.run_events.with_label_values(&[event]).inc();
    }

    /// One call that delivers a message; both words are of a fixed few.
    pub fn outbox_call(&self, way: &'static str, result: &'static str) {
        self.0.outbox_calls.with_label_values(&[way, result]).inc();
    }

    /// The outbox as it is now.
    pub fn outbox(&self, due: i64, refused: i64, oldest_age_ms: i64) {
        self.0.outbox.with_label_values(&["due"]).set(due);
        self.0.outbox.with_label_values(&["refused"]).set(refused);
        self.0.outbox.with_label_values(&["oldest_age_seconds"]).set(oldest_age_ms / 1_000);
    }

    /// How many runs stand in a state now.
    pub fn runs_open(&self, state: &'static str, count: i64) {
        self.0.runs_open.with_label_values(&[state]).set(count);
    }

    /// How many runs this bot drives.
    pub fn leases_held(&self, count: i64) {
        self.0.leases_held.set(count);
    }

    /// Whether a part is as it should be; `part` is one of a fixed few words.
    pub fn part_up(&self, part: &'static str, is_up: bool) {
        self.0.up.with_label_values(&[part]).set(i64::from(is_up));
    }

    /// How much may still be written.
    pub fn free_bytes(&self, bytes: u64) {
        self.0.free_bytes.set(i64::try_from(bytes).unwrap_or(i64::MAX));
    }

    /// Which runbook is in force.
    pub fn runbook(&self, digest: &str) {
        self.0.runbook.reset();
        self.0.runbook.with_label_values(&[digest]).set(1);
    }

    /// One evaluation of a rule; `outcome` is one of a fixed few words.
    pub fn rule_ticked(&self, outcome: &'static str) {
        self.0.rule_ticks.with_label_values(&[outcome]).inc();
    }

    /// Where a rule of the configuration stands.
    pub fn rule_state(&self, rule: &str, state: &'static str) {
        for one in RULE_STATES {
            let is_it = i64::from(one == state);
            self.0.rule_states.with_label_values(&[rule, one]).set(is_it);
        }
    }

    /// A rule is not in the configuration any more.
    pub fn rule_gone(&self, rule: &str) {
        for state in RULE_STATES {
            // It may never have been evaluated here.
            let _ = self.0.rule_states.remove_label_values(&[rule, state]);
        }
    }

    /// How many requests were refused at the door for a reason since the start.
    pub fn refused_count(&self, reason: &'static str) -> u64 {
        self.0.refused.with_label_values(&[reason]).get()
    }

    /// The text exposition format, version 0.0.4.
    pub fn exposition(&self) -> String {
        // Gathering can only fail on a metric without samples, and those are left out.
        TextEncoder::new().encode_to_string(&self.0.registry.gather()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_counted_is_shown() {
        let metrics = Metrics::new().unwrap();
        metrics.refused("forged");
        metrics.outbox(3, 1, 4_500);

        let shown = metrics.exposition();

        assert!(shown.contains("neostock_requests_refused_total{reason=\"forged\"} 1"), "{shown}");
        assert!(shown.contains("neostock_outbox{what=\"oldest_age_seconds\"} 4"), "{shown}");
        assert!(shown.contains("neostock_up 1"), "{shown}");
    }
}
