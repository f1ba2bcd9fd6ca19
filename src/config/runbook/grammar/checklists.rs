//! The grammar of checklists.

use super::{
    APPROVAL_WAIT, ARGV, HTTP, JOURNAL, LOGS, NAME, ROLE_NAME, STEP_NAME, SUMMARY, USER_TEXT, WAIT,
    word,
};
use crate::config::shape::{List, Map, Object, Shape, Text, default, optional, required};
use crate::core::checklist::ITEMS_MAX;

const CHECKLISTS_MAX: usize = 50;
const VALIDITY: Shape = Shape::Duration { min_ms: 60_000, max_ms: 30 * 24 * 3_600_000 };

pub(super) static CHECKLIST_NAME: Text = word("a checklist's name", &NAME);

pub(super) static CHECKLISTS: Map = Map {
    name: "checklists",
    key: &NAME,
    value: Shape::Object(&CHECKLIST),
    min: 0,
    max: CHECKLISTS_MAX,
    example: "{production: {title: Production deploy, items: […]}}",
};

static CHECKLIST: Object = Object {
    name: "a checklist",
    doc: "What must be found in order before a run begins, by programs and by people.",
    fields: &[
        required("title", Shape::Localized(&SUMMARY), "What people call it"),
        default("expires", "2h", APPROVAL_WAIT, "How long a run waits for it"),
        default(
            "valid",
            "1d",
            VALIDITY,
            "How long what was found counts; what is older when the run's turn comes is looked at anew",
        ),
        required("items", Shape::List(&ITEMS), "In the order in which people read them"),
    ],
    exactly_one: &[],
    later: &[],
    example: "{title: Production deploy, items: […]}",
};

static ITEMS: List = List {
    name: "items",
    item: Shape::Object(&ITEM),
    min: 1,
    max: ITEMS_MAX,
    example: "[{name: Tests pass, run: [scripts/check-tests.sh, \"{version}\"]}]",
};

static ITEM: Object = Object {
    name: "an item",
    doc: "One line of a checklist: a person ticks it off (`tick`), or a step checks it. A check ends with exit code 0 where all is in order and 1 where something is not; any other end means that it could not be checked, which blocks too.",
    fields: &[
        required("name", Shape::Localized(&STEP_NAME), "What people read on the card"),
        optional("tick", Shape::Text(&ROLE_NAME), "The role whose holders tick it off"),
        default(
            "self",
            "true",
            Shape::Bool,
            "Whoever asked for the run may tick it off; only beside `tick`",
        ),
        optional("run", Shape::List(&ARGV), "A program that checks it; it changes nothing"),
        optional("http", Shape::Object(&HTTP), "An address that must answer as expected"),
        optional("logs", Shape::Object(&LOGS), "A report on the service's log, as evidence"),
        optional("journal", Shape::Object(&JOURNAL), "A report on the journal, as evidence"),
        optional("timeout", WAIT, "After this the check is stopped, and could not be done"),
        optional("user", Shape::Text(&USER_TEXT), "The system user as whom the check runs"),
    ],
    exactly_one: &["tick", "run", "http", "logs", "journal"],
    later: &[],
    example: "{name: The rollback was rehearsed, tick: operator}",
};
