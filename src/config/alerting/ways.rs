//! How notices leave besides Slack, as the alerting configuration writes it: mail and PagerDuty.

use crate::config::fault::Faults;
use crate::config::shape::Object;
use crate::config::tree::Node;

/// How notices leave, besides Slack.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Ways {}

pub(super) static GRAMMAR: Object = Object {
    name: "the ways of notices",
    doc: "How notices leave, besides Slack.",
    fields: &[],
    exactly_one: &[],
    later: &[],
    example: "{}",
};

pub(super) fn read(_node: Option<&Node>, _faults: &mut Faults) -> Ways {
    Ways::default()
}
