//! Signs of life, as the alerting configuration writes them: what is expected to be heard of, and what
//! others expect of this bot.

mod heartbeat;

pub use heartbeat::Heartbeat;

use crate::config::fault::Faults;
use crate::config::shape::{Object, Shape, optional};
use crate::config::tree::Node;

/// Signs of life, in and out.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Liveness {
    /// What others expect of this bot; `None`: nothing.
    pub heartbeat: Option<Heartbeat>,
}

pub(super) static GRAMMAR: Object = Object {
    name: "the signs of life",
    doc: "What is expected to be heard of, and what others expect of this bot.",
    fields: &[optional(
        "heartbeat",
        Shape::Object(&heartbeat::GRAMMAR),
        "An address that is called as long as all is well",
    )],
    exactly_one: &[],
    later: &[],
    example: "{heartbeat: {url: {env: NEOSTOCK_SECRET_HEARTBEAT}}}",
};

pub(super) fn read(node: Option<&Node>, faults: &mut Faults) -> Liveness {
    let Some(node) = node else { return Liveness::default() };
    Liveness { heartbeat: node.get("heartbeat").and_then(|node| heartbeat::read(node, faults)) }
}
