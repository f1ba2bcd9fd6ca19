//! Signs of life, as the alerting configuration writes them: what is expected to be heard of, and what
//! others expect of this bot.

use crate::config::fault::Faults;
use crate::config::shape::Object;
use crate::config::tree::Node;

/// Signs of life, in and out.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Liveness {}

pub(super) static GRAMMAR: Object = Object {
    name: "the signs of life",
    doc: "What is expected to be heard of, and what others expect of this bot.",
    fields: &[],
    exactly_one: &[],
    later: &[],
    example: "{}",
};

pub(super) fn read(_node: Option<&Node>, _faults: &mut Faults) -> Liveness {
    Liveness::default()
}
