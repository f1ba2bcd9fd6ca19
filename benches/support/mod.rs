//! What the benches share: a folder on the disk of the build, the bot's settings, and figures.

#![allow(dead_code, reason = "each bench is a program of its own and uses its part")]

pub mod bot;
pub mod database;
pub mod folder;
pub mod http;
pub mod stats;
