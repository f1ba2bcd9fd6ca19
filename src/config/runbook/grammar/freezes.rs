//! How freezes are spelt.

use super::{ACTION_NAMES, ENVIRONMENTS_MAX, NAME, ROLE_NAME, SUMMARY, word};
use crate::config::shape::{
    Field, List, Map, Object, Shape, Text, TextKind, default, optional, required,
};

const FREEZES_MAX: usize = 20;
const WINDOWS_MAX: usize = 10;

/// The section.
pub(super) const FIELD: Field = optional(
    "freezes",
    Shape::Map(&FREEZES),
    "By name: windows of time in which actions wait or are refused",
);

static FREEZES: Map = Map {
    name: "freezes",
    key: &NAME,
    value: Shape::Object(&FREEZE),
    min: 0,
    max: FREEZES_MAX,
    example: "{trading-hours: {summary: Trading hours, actions: [deploy], weekly: [mon-fri 09:15-15:00], zone: Asia/Shanghai}}",
};

static FREEZE: Object = Object {
    name: "a freeze",
    doc: "A window of time, every week or once, by the wall clocks of a time zone. What its actions are asked to do meanwhile waits or is refused; emergencies and what follows a failure pass.",
    fields: &[
        required("summary", Shape::Localized(&SUMMARY), "What people read"),
        optional(
            "environments",
            Shape::List(&ENVIRONMENT_NAMES),
            "Where it is in force; everywhere unless given",
        ),
        required(
            "actions",
            Shape::List(&ACTION_NAMES),
            "The actions that it stops; any other goes on",
        ),
        optional(
            "weekly",
            Shape::List(&WINDOWS),
            "Every week: `mon-fri 09:15-15:00` on each of these days, past midnight where it ends earlier than it begins; or `fri 18:00 - mon 08:00`",
        ),
        optional("from", Shape::Text(&MOMENT), "Once: its first minute, `2026-12-30 18:00`"),
        optional("until", Shape::Text(&MOMENT), "Once: the first minute after it"),
        required(
            "zone",
            Shape::Text(&ZONE),
            "The time zone, by its name in the time-zone database",
        ),
        default(
            "then",
            "wait",
            Shape::Choice(&["wait", "refuse"]),
            "What is asked for meanwhile waits for the end, or is refused",
        ),
        optional(
            "override",
            Shape::Text(&ROLE_NAME),
            "The role whose approval lets a run pass that is asked for with `--override-freeze` and a reason; nobody's unless given",
        ),
    ],
    exactly_one: &["weekly", "from"],
    later: &[],
    example: "{summary: Trading hours, actions: [deploy], weekly: [mon-fri 09:15-15:00], zone: Asia/Shanghai}",
};

static ENVIRONMENT_NAMES: List = List {
    name: "environments",
    item: Shape::Text(&ENVIRONMENT_NAME),
    min: 1,
    max: ENVIRONMENTS_MAX,
    example: "[production]",
};

static ENVIRONMENT_NAME: Text = word("an environment's name", &NAME);

static WINDOWS: List = List {
    name: "windows",
    item: Shape::Text(&WINDOW),
    min: 1,
    max: WINDOWS_MAX,
    example: "[mon-fri 09:15-15:00]",
};

static WINDOW: Text = Text {
    name: "a weekly window",
    kind: TextKind::Line,
    chars_min: 1,
    chars_max: 40,
    example: "mon-fri 09:15-15:00",
};

static MOMENT: Text = Text {
    name: "a minute",
    kind: TextKind::Line,
    chars_min: 1,
    chars_max: 20,
    example: "2026-12-30 18:00",
};

static ZONE: Text = Text {
    name: "a time zone",
    kind: TextKind::Line,
    chars_min: 1,
    chars_max: 60,
    example: "Asia/Shanghai",
};
