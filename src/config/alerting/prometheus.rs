//! Where measures come from, as the alerting configuration writes it.

use crate::config::fault::Faults;
use crate::config::shape::Object;
use crate::config::tree::Node;

/// A Prometheus that is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prometheus {}

pub(super) static GRAMMAR: Object = Object {
    name: "a Prometheus",
    doc: "Where measures come from.",
    fields: &[],
    exactly_one: &[],
    later: &[],
    example: "{url: 'http://127.0.0.1:9090'}",
};

pub(super) fn read(node: Option<&Node>, _faults: &mut Faults) -> Option<Prometheus> {
    node.map(|_| Prometheus {})
}
