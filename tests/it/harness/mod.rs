//! What tests stand on.

pub mod bot;
pub mod database;
pub mod place;
pub mod process;
pub mod service;
pub mod wire;
