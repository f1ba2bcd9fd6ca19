//! Who is on call, as the alerting configuration writes it.

use crate::config::fault::Faults;
use crate::config::runbook::grammar::NAME;
use crate::config::shape::{Map, Object, Shape};
use crate::config::tree::Node;
use crate::core::oncall::{Rotation, Rotations};

/// Rotations that a file may have.
const ROTATIONS_MAX: usize = 20;

pub(super) static GRAMMAR: Map = Map {
    name: "rotations",
    key: &NAME,
    value: Shape::Object(&ROTATION),
    min: 0,
    max: ROTATIONS_MAX,
    example: "{primary: {}}",
};

static ROTATION: Object = Object {
    name: "a rotation",
    doc: "Who is on call.",
    fields: &[],
    exactly_one: &[],
    later: &[],
    example: "{}",
};

pub(super) fn read(node: Option<&Node>, _faults: &mut Faults) -> Rotations {
    let entries = node.map_or(&[][..], Node::entries);
    entries.iter().map(|entry| (entry.key.clone(), Rotation {})).collect()
}
