//! NeoStock Ops: a Slack bot that runs an operations manual.
//!
//! The rooms, in the order in which they may use each other (only names to the left; siblings
//! never): `core < logs < config clock metrics vitals < store slack exec notify
//! source < engine < command < pipeline <
//! http worker < app`. `sandbox` stands apart and uses none of them. A test in `tests/it` holds this.

pub mod app;
pub mod audit;
pub mod clock;
pub mod command;
pub mod command_line;
pub mod config;
pub mod core;
pub mod demo;
pub mod engine;
pub mod entropy;
pub mod exec;
pub mod fault;
pub mod http;
pub mod logs;
pub mod metrics;
pub mod notify;
pub mod pipeline;
pub mod sandbox;
pub mod slack;
pub mod source;
pub mod store;
pub mod vitals;
pub mod worker;
