//! What tests stand on.

pub mod bot;
pub mod database;
pub mod place;
pub mod parts;
pub mod process;
pub mod wire;
