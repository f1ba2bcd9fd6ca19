//! Signs of life, as the alerting configuration writes them: what is expected to be heard of, and what
//! others expect of this bot.

mod heartbeat;

pub use heartbeat::Heartbeat;

use super::watchdog::{self, Watchdog};
use crate::config::fault::Faults;
use crate::config::shape::{Object, Shape, optional};
use crate::config::tree::Node;

/// Signs of life, in and out.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Liveness {
    /// What Alertmanager sends always; `None`: nothing is expected of it.
    pub watchdog: Option<Watchdog>,
    /// What others expect of this bot; `None`: nothing.
    pub heartbeat: Option<Heartbeat>,
}

pub(super) static GRAMMAR: Object = Object {
    name: "the signs of life",
    doc: "What is expected to be heard of, and what others expect of this bot.",
    fields: &[
        optional(
            "watchdog",
            Shape::Object(&watchdog::GRAMMAR),
            "The alert that Alertmanager sends always",
        ),
        optional(
            "heartbeat",
            Shape::Object(&heartbeat::GRAMMAR),
            "An address that is called as long as all is well",
        ),
    ],
    exactly_one: &[],
    later: &[],
    example: "{watchdog: {within: 5m}}",
};

pub(super) fn read(node: Option<&Node>, faults: &mut Faults) -> Liveness {
    let of = |key| node.and_then(|node| node.get(key));
    Liveness {
        watchdog: watchdog::read(of("watchdog"), faults),
        heartbeat: of("heartbeat").and_then(|node| heartbeat::read(node, faults)),
    }
}
