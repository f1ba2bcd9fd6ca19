//! Does what is due: drives runs by their evidence, sends messages. Each does one thing, reports to
//! the engine, and looks again; a crash between any two of these loses nothing.

pub mod daily_head;
pub mod driver;
pub mod evaluate;
pub mod gates;
pub mod hand_over;
pub mod health;
pub mod heartbeat;
mod output;
pub mod patience;
pub mod reload;
pub mod reminders;
pub mod retention;
pub mod self_watch;
pub mod sender;
mod tail;
