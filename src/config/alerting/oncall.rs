//! Who is on call, as the alerting configuration writes it. Whether people are there, Slack knows: not here.

use crate::config::fault::{Faults, did_you_mean, mean_or_list};
use crate::config::runbook::grammar::NAME;
use crate::config::shape::{List, Map, Object, Shape, Text, TextKind, default, optional};
use crate::config::tree::{Entry, Node};
use crate::core::freeze::{Moment, PlannedFreeze, Then, Times, Weekly, Zone};
use crate::core::id::UserId;
use crate::core::oncall::{Hours, ROTATIONS_MAX, Rotation, Rotations, SHIFT_HOURS, Turns, Who};
use crate::core::text::Text as Words;

/// People that take turns.
const PEOPLE_MAX: usize = 50;
const WINDOWS_MAX: usize = 14;

pub(super) static GRAMMAR: Map = Map {
    name: "rotations",
    key: &NAME,
    value: Shape::Object(&ROTATION),
    min: 0,
    max: ROTATIONS_MAX,
    example: "{primary: {group: S0OPS}}",
};

static ROTATION: Object = Object {
    name: "a rotation",
    doc: "Who is on call: people who take turns, or whoever is in a user group.",
    fields: &[
        optional("people", Shape::List(&PEOPLE), "Who takes turns (U…), in their order"),
        optional("group", Shape::Text(&GROUP), "A user group (S…): whoever is in it"),
        optional("shift", Shape::Text(&SHIFT), "How long a turn is: whole hours, days or weeks"),
        optional(
            "starts",
            Shape::Text(&STARTS),
            "When a turn of the first one begins, by the clocks of `zone`",
        ),
        optional("zone", Shape::Text(&ZONE), "Whose clocks: a name of the time-zone database"),
        optional(
            "hours",
            Shape::List(&WINDOWS),
            "When these people are on call; always unless given",
        ),
        optional(
            "otherwise",
            Shape::Text(&OTHERWISE),
            "The rotation that is on call outside `hours`",
        ),
        default("hand_over", "true", Shape::Bool, "Whether a change is told in the channel"),
    ],
    exactly_one: &["people", "group"],
    later: &[],
    example: "{people: [U0ANN, U0BOB], shift: 1w, starts: '2026-11-23 09:00', zone: Asia/Shanghai}",
};

static PEOPLE: List = List {
    name: "people",
    item: Shape::Text(&PERSON),
    min: 1,
    max: PEOPLE_MAX,
    example: "[U0ANN, U0BOB]",
};
static PERSON: Text = line("a person's id", "U0ANN");
static GROUP: Text = line("a user group's id", "S0OPS");
static SHIFT: Text = line("the length of a turn", "1w");
static STARTS: Text = line("a moment", "2026-11-23 09:00");
static ZONE: Text = line("a time zone", "Asia/Shanghai");
static OTHERWISE: Text = line("a rotation's name", "night");
static WINDOW: Text = line("a weekly window", "mon-fri 09:00-18:00");
static WINDOWS: List = List {
    name: "hours",
    item: Shape::Text(&WINDOW),
    min: 1,
    max: WINDOWS_MAX,
    example: "['mon-fri 09:00-18:00']",
};

const fn line(name: &'static str, example: &'static str) -> Text {
    Text { name, kind: TextKind::Line, chars_min: 1, chars_max: 60, example }
}

pub(super) fn read(node: Option<&Node>, faults: &mut Faults) -> Rotations {
    let entries = node.map_or(&[][..], Node::entries);
    let names: Vec<&str> = entries.iter().map(|entry| entry.key.as_str()).collect();
    let mut rotations = Rotations::new();
    for entry in entries {
        // One that has faults is there still, for those who refer to it; the file is refused anyway.
        let unread = || Rotation {
            who: Who::Group(String::new()),
            hours: None,
            zone: Zone::UTC,
            hand_over: false,
        };
        let read = rotation(entry, &names, faults).unwrap_or_else(unread);
        rotations.insert(entry.key.clone(), read);
    }
    for entry in entries {
        if goes_in_a_circle(&entry.key, &rotations) {
            let at = entry.value.get("otherwise").map_or(entry.key_at, |node| node.at);
            let message = "outside their hours these rotations refer to each other in a circle";
            faults.add_with(at, message, "let the last one be on call always: without `hours`");
        }
    }
    rotations
}

/// `None`: it has faults.
fn rotation(entry: &Entry, names: &[&str], faults: &mut Faults) -> Option<Rotation> {
    let node = &entry.value;
    let zone = match node.get("zone") {
        Some(zone) => read_zone(zone, faults),
        None if node.get("people").is_some() || node.get("hours").is_some() => {
            let message = "days and hours need `zone`: whose clocks they are about";
            faults.add_with(entry.key_at, message, "for example: zone: Asia/Shanghai");
            None
        }
        None => Some(Zone::UTC),
    };
    let who = match node.get("people") {
        Some(people) => turns(entry, people, zone, faults).map(Who::People),
        None => group(node, faults).map(Who::Group),
    };
    let hours = hours(node, &entry.key, names, zone, faults);
    let hand_over = node.get("hand_over").and_then(Node::text) != Some("false");
    Some(Rotation { who: who?, hours: hours.ok()?, zone: zone?, hand_over })
}

fn group(node: &Node, faults: &mut Faults) -> Option<String> {
    for key in ["shift", "starts"] {
        if let Some(needless) = node.entry(key) {
            let message = format!("nobody takes turns in a group, so there is no `{key}`");
            faults.add_with(needless.key_at, message, "leave it out, or name `people`");
        }
    }
    let group = node.get("group")?;
    let text = group.text()?;
    if !is_id(text, &['S']) {
        let message = format!("`{text}` is no user group");
        faults.add_with(group.at, message, "write its id, as Slack shows it: S0OPS");
        return None;
    }
    Some(text.to_owned())
}

fn turns(entry: &Entry, people: &Node, zone: Option<Zone>, faults: &mut Faults) -> Option<Turns> {
    let people = read_people(people, faults);
    let shift_hours = needed(entry, "shift", "how long a turn is: 1w", faults).and_then(|node| {
        let text = node.text()?;
        let found = hours_of(text);
        if found.is_none() {
            let message = format!("`{text}` is no length of a turn");
            let way = "whole hours, days or weeks from 4h to 8w: 12h, 1d, 1w";
            faults.add_with(node.at, message, way);
        }
        found
    });
    let starts = needed(entry, "starts", "when the first turn begins", faults).and_then(|node| {
        let text = node.text()?;
        let found = Moment::parse(text);
        if found.is_none() {
            let message = format!("`{text}` is no minute of a calendar");
            faults.add_with(node.at, message, "for example: \"2026-11-23 09:00\"");
        }
        found
    });
    Some(Turns { people: people?, shift_hours: shift_hours?, starts: starts?, zone: zone? })
}

/// People by their ids, each once.
fn read_people(node: &Node, faults: &mut Faults) -> Option<Vec<UserId>> {
    let mut people: Vec<UserId> = Vec::new();
    let mut is_whole = !node.items().is_empty();
    for item in node.items() {
        let text = item.text().unwrap_or_default();
        let user = UserId::new(text);
        if !is_id(text, &['U', 'W']) {
            let message = format!("`{text}` is no person");
            faults.add_with(item.at, message, "write the id, as Slack shows it: U0ANN");
            is_whole = false;
        } else if people.contains(&user) {
            let message = format!("`{text}` is here twice");
            faults.add_with(item.at, message, "remove one of the two");
            is_whole = false;
        }
        people.push(user);
    }
    is_whole.then_some(people)
}

fn needed<'n>(entry: &'n Entry, key: &str, what: &str, faults: &mut Faults) -> Option<&'n Node> {
    let found = entry.value.get(key);
    if found.is_none() {
        let message = format!("people who take turns need `{key}`");
        faults.add_with(entry.key_at, message, format!("write {what}"));
    }
    found
}

/// `12h`, `1d`, `1w` as hours.
fn hours_of(text: &str) -> Option<i64> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let unit = match unit {
        "h" => 1,
        "d" => 24,
        "w" => 7 * 24,
        _ => return None,
    };
    let is_number =
        (1..=4).contains(&number.len()) && number.bytes().all(|one| one.is_ascii_digit());
    let hours = is_number.then(|| number.parse::<i64>().ok())?? * unit;
    (SHIFT_HOURS.0..=SHIFT_HOURS.1).contains(&hours).then_some(hours)
}

/// When its own people are on call.
///
/// # Errors
/// It has faults, which are told.
fn hours(
    node: &Node,
    own: &str,
    names: &[&str],
    zone: Option<Zone>,
    faults: &mut Faults,
) -> Result<Option<Hours>, ()> {
    let (hours, otherwise) = match (node.entry("hours"), node.entry("otherwise")) {
        (None, None) => return Ok(None),
        (Some(hours), None) => {
            let message = "outside these hours nobody would be on call";
            let way = "name the rotation that is: otherwise: night";
            faults.add_with(hours.key_at, message, way);
            return Err(());
        }
        (None, Some(otherwise)) => {
            let message = "without `hours` these people are always on call";
            faults.add_with(otherwise.key_at, message, "add `hours`, or leave `otherwise` out");
            return Err(());
        }
        (Some(hours), Some(otherwise)) => (&hours.value, &otherwise.value),
    };
    let windows = read_windows(hours, faults);
    let other = otherwise.text().ok_or(())?;
    if other == own {
        let message = format!("`{own}` refers to itself");
        faults.add_with(otherwise.at, message, "name another rotation");
        return Err(());
    }
    if !names.contains(&other) {
        let way = mean_or_list(other, "rotations", names);
        faults.add_with(otherwise.at, format!("there is no rotation `{other}`"), way);
        return Err(());
    }
    let windows = PlannedFreeze {
        name: "hours".to_owned(),
        summary: Words::new("值班时间", "Hours on call"),
        times: windows.ok_or(())?,
        zone: zone.ok_or(())?,
        then: Then::Wait,
        overridable_by: None,
    };
    Ok(Some(Hours { windows, otherwise: other.to_owned() }))
}

fn read_windows(node: &Node, faults: &mut Faults) -> Option<Times> {
    let mut windows: Vec<Weekly> = Vec::new();
    let mut is_whole = true;
    for item in node.items() {
        let text = item.text().unwrap_or_default();
        let Ok(window) = text.parse::<Weekly>() else {
            is_whole = false;
            let message = format!("`{text}` is no weekly window");
            faults.add_with(item.at, message, "for example: mon-fri 09:00-18:00");
            continue;
        };
        if let Some(other) = windows.iter().find(|other| other.overlaps(&window)) {
            is_whole = false;
            let message = format!("`{window}` overlaps `{other}`");
            faults.add_with(item.at, message, "make one window of the two, or move an edge");
        }
        windows.push(window);
    }
    let times = Times::Weekly(windows);
    if is_whole && times.is_endless() {
        let message = "these hours fill the whole week";
        faults.add_with(node.at, message, "leave `hours` and `otherwise` out");
        return None;
    }
    is_whole.then_some(times)
}

fn read_zone(node: &Node, faults: &mut Faults) -> Option<Zone> {
    let name = node.text()?;
    let found = Zone::parse(name);
    if found.is_none() {
        let way = did_you_mean(name, Zone::names()).map_or_else(
            || "for example: Asia/Shanghai".to_owned(),
            |zone| format!("did you mean `{zone}`?"),
        );
        faults.add_with(node.at, format!("there is no time zone `{name}`"), way);
    }
    found
}

fn is_id(text: &str, first: &[char]) -> bool {
    let is_letter = |one: u8| one.is_ascii_uppercase() || one.is_ascii_digit();
    text.starts_with(first) && (3..=32).contains(&text.len()) && text.bytes().all(is_letter)
}

/// Whether nobody would be on call where none of the hours hold.
fn goes_in_a_circle(name: &str, rotations: &Rotations) -> bool {
    let mut at = name;
    for _ in 0..=ROTATIONS_MAX {
        match rotations.get(at).and_then(|rotation| rotation.hours.as_ref()) {
            Some(hours) => at = &hours.otherwise,
            None => return false,
        }
        if at == name {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use crate::config::alerting::parse;
    use crate::config::fault::listing;
    use crate::core::alert::Level;
    use crate::core::escalation::Target;
    use crate::core::oncall::{Roster, Who};

    fn file(oncall: &str) -> String {
        let alert = "{threshold: 0.8, duration: 60s, severity: error, channels: [slack]}";
        format!("alerts: {{cpu: {alert}}}\noncall:\n{oncall}\n")
    }

    fn faults(oncall: &str) -> String {
        let read = parse("a.yml", file(oncall).as_bytes());
        read.map_or_else(|faults| listing(&faults), |_| String::new())
    }

    #[test]
    fn rotations_are_read_with_what_they_do_not_say() {
        let text = file(
            "  day:
    people: [U0ANN, W0BOB]
    shift: 2w
    starts: 2026-11-23 09:00
    zone: Asia/Shanghai
    hours: [mon-fri 09:00-18:00]
    otherwise: night
  night: {group: S0OPS, hand_over: false}",
        );

        let alerting = parse("a.yml", text.as_bytes()).unwrap();

        let (day, night) = (&alerting.oncall["day"], &alerting.oncall["night"]);
        let Who::People(turns) = &day.who else { panic!("people") };
        assert_eq!((turns.people.len(), turns.shift_hours), (2, 14 * 24));
        assert_eq!(turns.starts.to_string(), "2026-11-23 09:00");
        assert!(day.hand_over && !night.hand_over);
        assert_eq!(night.who, Who::Group("S0OPS".to_owned()));
        let roster = Roster { rotations: &alerting.oncall, overrides: &[] };
        // 2026-11-24 02:00 UTC is ten o'clock there, and 12:00 UTC is eight in the evening.
        assert_eq!(roster.duty("day", 1_795_485_600_000).unwrap().id, "U0ANN");
        assert_eq!(roster.duty("day", 1_795_521_600_000).unwrap().id, "S0OPS");
    }

    #[test]
    fn a_rotation_that_cannot_be_meant_is_a_fault_with_its_place_and_a_way_out() {
        insta::assert_snapshot!(faults(
            "  nobody: {people: [], shift: 1w, starts: 2026-11-23 09:00, zone: UTC}
  both: {people: [U0ANN], group: S0OPS, shift: 1w, starts: 2026-11-23 09:00, zone: UTC}
  neither: {zone: UTC}
  bare: {people: [U0ANN, U0ANN, bob, S0OPS]}
  wrong: {people: [U0ANN], shift: 90m, starts: tomorrow, zone: Asia/Shangai}
  short: {people: [U0ANN], shift: 3h, starts: 2026-02-30 09:00, zone: UTC}
  long: {people: [U0ANN], shift: 9w, starts: 2026-11-23 09:00, zone: UTC}
  group: {group: ops, shift: 1w}
  gap: {group: S0OPS, zone: UTC, hours: [mon 09:00-18:00]}
  always: {group: S0OPS, otherwise: gap}
  itself: {group: S0OPS, zone: UTC, hours: [mon 09:00-18:00], otherwise: itself}
  ghost: {group: S0OPS, zone: UTC, hours: [mon 9-18, mon-fri 09:00-18:00, fri 10:00-11:00], otherwise: nihgt}
  full: {group: S0OPS, zone: UTC, hours: ['mon-sun 00:00-12:00', 'mon-sun 12:00-24:00'], otherwise: gap}
  one: {group: S0OPS, zone: UTC, hours: [mon 09:00-18:00], otherwise: two}
  two: {group: S0OPS, zone: UTC, hours: [tue 09:00-18:00], otherwise: one}
  zoneless: {group: S0OPS, hours: [mon 09:00-18:00], otherwise: night, hand_over: maybe}
  night: {group: S0OPS}"
        ));
    }

    #[test]
    fn a_rotation_that_there_is_can_be_told_and_no_other() {
        let text = file("  primary: {group: S0OPS}")
            + "escalation: {error: {steps: [{tell: ['oncall:primray']}]}}\n";
        let faults = parse("a.yml", text.as_bytes()).map_err(|faults| listing(&faults));
        assert!(faults.unwrap_err().contains("did you mean `primary`?"));
    }

    #[test]
    fn the_first_rotation_of_the_file_is_called_where_nothing_else_is_said() {
        let text = file("  primary: {group: S0OPS}\n  backup: {group: S0LEADS}");

        let alerting = parse("a.yml", text.as_bytes()).unwrap();

        let primary = Target::OnCall("primary".to_owned());
        assert_eq!(alerting.policies.of(Level::Error).targets(0), std::slice::from_ref(&primary));
        assert_eq!(alerting.policies.of(Level::Critical).targets(0), [primary, Target::Here]);
    }

    #[test]
    fn the_example_in_the_shipped_file_is_one() {
        let shipped = include_str!("../../../runbook/alerting-config.yml");
        let (head, example) = shipped.split_once("# oncall:\n").unwrap();
        let lines = example.lines().filter(|line| !line.contains('。'));
        let example: Vec<&str> = lines.map(|line| line.trim_start_matches("# ")).collect();
        let indented = example.join("\n").replace('#', "");

        let text = format!("{head}oncall:\n{indented}\n");
        let alerting = parse("a.yml", text.as_bytes()).map_err(|faults| listing(&faults)).unwrap();

        assert_eq!(alerting.oncall.keys().collect::<Vec<_>>(), ["office", "primary"]);
    }
}
