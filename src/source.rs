//! Where alerts come from: what Prometheus answers, what Alertmanager and others send. Reads bytes, and
//! decides nothing.

pub mod alertmanager;
mod clean;
pub mod generic;
mod loose;
pub mod pagerduty;
pub mod prometheus;
mod received;
#[cfg(test)]
mod tests;

pub use received::{ALERTS_MAX, FAULTS_MAX, Fault, Received, Surroundings, Unreadable, level_of};
