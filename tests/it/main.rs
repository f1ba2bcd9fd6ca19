//! The one integration binary.
#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "tests fail by panicking, measure real time and speak to whoever runs them"
)]

mod approval;
mod browser;
mod cancel;
mod commands;
mod config;
mod crash;
mod deploy;
mod exec;
mod golden;
mod harness;
mod hostile;
mod journal;
mod live;
mod log_audit;
mod outbox;
mod output;
mod page;
mod policy;
mod releases;
mod replicas;
mod rollback;
mod sample;
mod sandbox;
mod settle;
mod shipped;
mod store;
mod tidy;
mod torture;
mod verbs;
