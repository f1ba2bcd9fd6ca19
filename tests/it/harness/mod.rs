//! What tests stand on.

pub mod alerts;
pub mod attempt;
pub mod bot;
pub mod cluster;
pub mod database;
pub mod looks;
pub mod mail;
pub mod monitoring;
pub mod pagerduty;
pub mod parts;
pub mod place;
pub mod ports;
pub mod process;
pub mod service;
pub mod wire;
