//! Where alerts come from: what Prometheus answers, what Alertmanager and others send. Reads bytes, and
//! decides nothing.

pub mod pagerduty;
