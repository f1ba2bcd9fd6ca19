//! The one integration binary.
#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "tests fail by panicking, measure real time and speak to whoever runs them"
)]

mod alert_rules;
mod alerts;
mod approval;
mod archive;
mod attention;
mod auditor;
mod browser;
mod cancel;
mod checklist;
mod checks;
mod command_line;
mod commands;
mod compliance;
mod config;
mod contacts;
mod container;
mod crash;
mod daily_head;
mod delegation;
mod deploy;
mod docs;
mod emergency;
mod exec;
mod export;
mod freeze;
mod golden;
mod harness;
mod hostile;
mod incident;
mod intake;
mod journal;
mod live;
mod log_audit;
mod mail;
mod manual;
mod matrix;
mod neostock;
mod oncall;
mod outage;
mod outbox;
mod output;
mod page;
mod people;
mod plan;
mod policy;
mod proof;
mod queue;
mod releases;
mod reload;
mod replicas;
mod restore;
mod results;
mod rollback;
mod rules;
mod sample;
mod sandbox;
mod scans;
mod scripts;
mod self_approval;
mod self_watch;
mod service_unit;
mod settle;
mod shipped;
mod silence;
mod slack_storm;
mod stop;
mod store;
mod system;
mod tamper;
mod tidy;
mod torture;
mod upkeep;
mod verbs;
mod ways;
mod webhooks;
