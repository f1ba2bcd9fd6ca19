//! How emergency contacts are spelt.

use super::{DIGIT, ROLE_NAME, UPPER, word};
use crate::config::shape::{
    Field, List, Object, Shape, Text, TextKind, Word, default, optional, required,
};
use crate::core::contact::PEOPLE_MAX;

/// The section.
pub(super) const FIELD: Field = optional(
    "contacts",
    Shape::Object(&CONTACTS),
    "Whom people call in an emergency; `/neostock contacts` shows it",
);

static CONTACTS: Object = Object {
    name: "the contacts",
    doc: "Emergency contacts in the order of calling, and when somebody last looked whether they are right.",
    fields: &[
        default("role", "operator", Shape::Text(&ROLE_NAME), "The role that may read them"),
        required(
            "reviewed",
            Shape::Text(&DAY),
            "The day of the last review; a quarter later `check` and the card say that it is due",
        ),
        required("people", Shape::List(&PEOPLE), "In the order of calling"),
    ],
    exactly_one: &[],
    later: &[],
    example: "{reviewed: 2026-11-01, people: [{name: Engineer on call, duty: Whatever it is, phone: +86 10 5550 0100}]}",
};

static PEOPLE: List = List {
    name: "contacts",
    item: Shape::Object(&CONTACT),
    min: 1,
    max: PEOPLE_MAX,
    example: "[{name: Engineer on call, duty: Whatever it is, phone: +86 10 5550 0100}]",
};

static CONTACT: Object = Object {
    name: "a contact",
    doc: "Somebody, or a group, to be reached by at least one of `slack`, `phone` and `email`.",
    fields: &[
        required("name", Shape::Localized(&WORDS), "Who; a post is better than a person's name"),
        required("duty", Shape::Localized(&WORDS), "What they are there for"),
        optional(
            "when",
            Shape::Localized(&WORDS),
            "When they are called rather than the one before",
        ),
        optional("hours", Shape::Localized(&WORDS), "When they can be reached"),
        optional("slack", Shape::Text(&SLACK), "A Slack user id or user group id"),
        optional(
            "phone",
            Shape::Text(&PHONE),
            "As it is dialled from abroad, `+86 10 5550 0100`; in quotes where it has no blank",
        ),
        optional("email", Shape::Text(&EMAIL), "An e-mail address"),
    ],
    exactly_one: &[],
    later: &[],
    example: "{name: Engineer on call, duty: Whatever it is, phone: +86 10 5550 0100}",
};

static WORDS: Text = Text {
    name: "a few words",
    kind: TextKind::Line,
    chars_min: 1,
    chars_max: 100,
    example: "{zh: 值班工程师, en: Engineer on call}",
};

static DAY: Text = Text {
    name: "a day",
    kind: TextKind::Line,
    chars_min: 1,
    chars_max: 20,
    example: "2026-11-01",
};

static SLACK: Text = word("a Slack id", &SLACK_ID);

static SLACK_ID: Word = Word {
    name: "a Slack user id (`U…` or `W…`) or user group id (`S…`)",
    literals: &[],
    first: &[('U', 'U'), ('W', 'W'), ('S', 'S')],
    rest: &[UPPER, DIGIT],
    joiner: None,
    chars_min: 2,
    chars_max: 30,
    example: "S0123456789",
};

static PHONE: Text = Text {
    name: "a telephone number",
    kind: TextKind::Line,
    chars_min: 1,
    chars_max: 40,
    example: "+86 10 5550 0100",
};

static EMAIL: Text = Text {
    name: "an e-mail address",
    kind: TextKind::Line,
    chars_min: 1,
    chars_max: 254,
    example: "oncall@example.com",
};
