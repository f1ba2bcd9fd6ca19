//! What people write before the bot starts: settings and the runbook, read strictly.
//!
//! The only room that reads the environment. Every fault of a file is listed at once, with line,
//! column and a suggestion; nothing is read halfway. One description of each grammar (`shape`)
//! checks the file and prints its JSON Schema, so that the two cannot disagree.

pub mod alerting;
pub mod check;
pub mod fault;
pub mod protection;
pub mod runbook;
pub mod secrets;
pub mod settings;
mod shape;
mod tree;
