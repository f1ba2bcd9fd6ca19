//! The one integration binary.
#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "tests fail by panicking, measure real time and speak to whoever runs them"
)]

mod approval;
mod cancel;
mod commands;
mod config;
mod crash;
mod exec;
mod golden;
mod harness;
mod hostile;
mod journal;
mod outbox;
mod replicas;
mod rollback;
mod sandbox;
mod settle;
mod store;
mod tidy;
mod verbs;
