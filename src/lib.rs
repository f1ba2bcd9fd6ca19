//! NeoStock Ops: a Slack bot that runs an operations manual.
//!
//! The rooms, in the order in which they may use each other (only names to the left; siblings
//! never): `core < config clock metrics < store slack exec < engine < command < pipeline < http
//! worker < app`. `sandbox` stands apart and uses none of them. A test in `tests/it` holds this.

pub mod clock;
pub mod core;
pub mod exec;
