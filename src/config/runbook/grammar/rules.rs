//! The grammar of rules: terms for certain environments and arguments.

use super::checklists::CHECKLIST_NAME;
use super::{APPROVAL, NOTICE, PARAMETER_NAME, ROLE_NAME, VALUE, WORDS};
use crate::config::shape::{List, Map, Object, Shape, optional, required};

const RULES_MAX: usize = 30;
const CONDITIONS_MAX: usize = 13;

pub(super) static RULES: List = List {
    name: "rules",
    item: Shape::Object(&RULE),
    min: 1,
    max: RULES_MAX,
    example: "[{when: {environment: staging}, approval: none}]",
};

static RULE: Object = Object {
    name: "a rule",
    doc: "Terms for requests whose environment and arguments are these; what it does not say is as the action says.",
    fields: &[
        required("when", Shape::Map(&CONDITIONS), "All of them must hold"),
        optional("deny", Shape::Localized(&NOTICE), "Nobody may; what the asker reads"),
        optional("role", Shape::Text(&ROLE_NAME), "The role that may ask"),
        optional(
            "approval",
            Shape::Either(&[Shape::Choice(&["none"]), Shape::Object(&APPROVAL)]),
            "Who must agree, or `none`",
        ),
        optional(
            "checklist",
            Shape::Text(&CHECKLIST_NAME),
            "The checklist that must be in order, or `none`",
        ),
    ],
    exactly_one: &[],
    later: &[],
    example: "{when: {environment: staging}, approval: none}",
};

static CONDITIONS: Map = Map {
    name: "conditions",
    key: &PARAMETER_NAME,
    value: Shape::Either(&[Shape::Text(&VALUE), Shape::List(&WORDS), Shape::Object(&TEST)]),
    min: 1,
    max: CONDITIONS_MAX,
    example: "{environment: production, version: {was_live: false}}",
};

static TEST: Object = Object {
    name: "a test",
    doc: "What must be true of the environment or of an argument; one left out is empty.",
    fields: &[
        optional(
            "not",
            Shape::Either(&[Shape::Text(&VALUE), Shape::List(&WORDS)]),
            "It is none of these",
        ),
        optional(
            "at_least",
            Shape::Integer { min: i64::MIN, max: i64::MAX },
            "A `number` that is not smaller",
        ),
        optional(
            "at_most",
            Shape::Integer { min: i64::MIN, max: i64::MAX },
            "A `number` that is not greater",
        ),
        optional(
            "was_live",
            Shape::Bool,
            "A `git_ref` whose commit was live in the environment before, or was not",
        ),
    ],
    exactly_one: &["not", "at_least", "at_most", "was_live"],
    later: &[],
    example: "{was_live: false}",
};
