//! Escalation policies, as the alerting configuration writes them, and what holds where it is silent: the
//! manual's 告警响应程序.

use super::NAMES_MAX;
use crate::config::fault::{Faults, did_you_mean, mean_or_list};
use crate::config::shape::{List, Object, Shape, Text, TextKind, integer, optional, required};
use crate::config::tree::{Node, Value};
use crate::core::alert::Level;
use crate::core::duration;
use crate::core::escalation::{Policies, Policy, Repeat, Step, Target};
use crate::core::freeze::{PlannedFreeze, Then, Times, Weekly, Zone};
use crate::core::id::UserId;
use crate::core::oncall::Rotations;
use crate::core::text::Text as Words;
use std::collections::BTreeSet;

/// Level 1 has so long to pass by itself: the manual's five minutes.
const RECOVERS_WITHIN_MS: i64 = 5 * 60_000;
/// Level 2 is answered within: the manual's fifteen minutes.
const ANSWERED_WITHIN_MS: i64 = 15 * 60_000;
/// Where nothing else is said, level 3 is told again so often …
const REPEAT_EVERY_MS: i64 = 5 * 60_000;
/// … and so many times: for two hours.
const REPEAT_TIMES: u32 = 24;
const REMIND_AFTER_MS: i64 = 30 * 60_000;
const UNDO_AFTER_MS: i64 = 15 * 60_000;
/// The manual's RTO.
const RECOVERY_MS: i64 = 3_600_000;
const STEPS_MAX: usize = 10;
const TARGETS_MAX: usize = 20;
const WINDOWS_MAX: usize = 10;
const INHIBITIONS_MAX: usize = 50;
const DAY_MS: u64 = 86_400_000;
/// How `tell` names a rotation.
const ONCALL: &str = "oncall:";

/// One alert keeps others quiet: those that its being there explains.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inhibition {
    /// The name of the alert that says more, as long as it is there.
    pub by: String,
    /// The names of those that it keeps quiet, of the same environment.
    pub quiet: Vec<String>,
}

const WAIT: Shape = Shape::Duration { min_ms: 1_000, max_ms: DAY_MS };

pub(super) static GRAMMAR: Object = Object {
    name: "the escalation",
    doc: "What is done about an alert that nobody takes, by level; what is left out is the manual's.",
    fields: &[
        optional(
            "warning",
            Shape::Object(&POLICY),
            "Level 1: recorded, five minutes to pass by itself, then level 2",
        ),
        optional(
            "error",
            Shape::Object(&POLICY),
            "Level 2: told at once, fifteen minutes to answer, then level 3",
        ),
        optional(
            "critical",
            Shape::Object(&POLICY),
            "Level 3: told at once, and every five minutes for two hours",
        ),
        optional(
            "remind_after",
            WAIT,
            "Whoever took an alert is asked after so long whether they still have it; 30m unless given",
        ),
        optional("undo_after", WAIT, "So long after that it is open again; 15m unless given"),
        optional(
            "recovery",
            WAIT,
            "How long the recovery from level 3 may take; 1h unless given: the manual's RTO",
        ),
        optional(
            "checklist",
            Shape::Text(&ACTION),
            "The runbook's action whose checklist level 3 opens; `disaster-recovery` unless given, where there is one",
        ),
    ],
    exactly_one: &[],
    later: &[],
    example: "{error: {steps: [{tell: ['oncall:primary']}], rises_after: 15m}}",
};

static POLICY: Object = Object {
    name: "a policy",
    doc: "What is done about an alert of one level that nobody takes.",
    fields: &[
        optional(
            "steps",
            Shape::List(&STEPS),
            "Whom to tell, and when; in the order of their times",
        ),
        optional("repeat", Shape::Object(&REPEAT), "The last step again"),
        optional("rises_after", WAIT, "After so long the level rises by one"),
        optional(
            "quiet_hours",
            Shape::List(&WINDOWS),
            "Level 1 only: it does not rise meanwhile, but after it",
        ),
        optional("zone", Shape::Text(&ZONE), "By whose clocks the quiet hours are"),
    ],
    exactly_one: &[],
    later: &[],
    example: "{steps: [{tell: [here]}], rises_after: 15m}",
};

static STEPS: List = List {
    name: "steps",
    item: Shape::Object(&STEP),
    min: 0,
    max: STEPS_MAX,
    example: "[{tell: [here]}]",
};

static STEP: Object = Object {
    name: "a step",
    doc: "Whom to tell, and when.",
    fields: &[
        optional(
            "after",
            Shape::Duration { min_ms: 0, max_ms: DAY_MS },
            "So long after its level began; at once unless given",
        ),
        required(
            "tell",
            Shape::List(&TARGETS),
            "People (U…), user groups (S…), `oncall:` and a rotation, or `here`: whoever is active in the channel",
        ),
    ],
    exactly_one: &[],
    later: &[],
    example: "{after: 5m, tell: ['oncall:primary', S0DEV]}",
};

static TARGETS: List = List {
    name: "whom to tell",
    item: Shape::Text(&TARGET),
    min: 1,
    max: TARGETS_MAX,
    example: "['oncall:primary', S0DEV]",
};

static TARGET: Text = Text {
    name: "whom to tell",
    kind: TextKind::Line,
    chars_min: 1,
    chars_max: 60,
    example: "oncall:primary",
};

static REPEAT: Object = Object {
    name: "a repetition",
    doc: "The last step, again.",
    fields: &[
        required(
            "every",
            Shape::Duration { min_ms: 60_000, max_ms: DAY_MS },
            "How long after the step, and after each repetition",
        ),
        required("times", Shape::Integer { min: 1, max: 100 }, "How often"),
    ],
    exactly_one: &[],
    later: &[],
    example: "{every: 5m, times: 6}",
};

static WINDOWS: List = List {
    name: "quiet hours",
    item: Shape::Text(&WINDOW),
    min: 1,
    max: WINDOWS_MAX,
    example: "['mon-sun 22:00-08:00']",
};

static WINDOW: Text = Text {
    name: "a weekly window",
    kind: TextKind::Line,
    chars_min: 1,
    chars_max: 40,
    example: "mon-sun 22:00-08:00",
};

static ZONE: Text = Text {
    name: "a time zone",
    kind: TextKind::Line,
    chars_min: 1,
    chars_max: 60,
    example: "Asia/Shanghai",
};

static ACTION: Text = Text {
    name: "an action's name",
    kind: TextKind::Line,
    chars_min: 1,
    chars_max: 30,
    example: "disaster-recovery",
};

/// Which alerts keep others quiet.
pub(super) static INHIBIT: List = List {
    name: "inhibitions",
    item: Shape::Object(&INHIBITION),
    min: 0,
    max: INHIBITIONS_MAX,
    example: "[{by: InstanceDown, quiet: [error_rate]}]",
};

static INHIBITION: Object = Object {
    name: "an inhibition",
    doc: "As long as one alert is there, nobody is told of others in the same environment, which it explains.",
    fields: &[
        required("by", Shape::Text(&ALERT), "The name of the alert that says more"),
        required("quiet", Shape::List(&QUIETED), "The names of those that it keeps quiet"),
    ],
    exactly_one: &[],
    later: &[],
    example: "{by: InstanceDown, quiet: [error_rate, response_time]}",
};

static QUIETED: List = List {
    name: "alerts",
    item: Shape::Text(&ALERT),
    min: 1,
    max: NAMES_MAX,
    example: "[error_rate]",
};

static ALERT: Text = Text {
    name: "an alert's name",
    kind: TextKind::Line,
    chars_min: 1,
    chars_max: 100,
    example: "error_rate",
};

impl Default for Policies {
    /// The manual's, where nobody in particular is named.
    fn default() -> Self {
        manuals(None)
    }
}

/// The manual's policies: the first rotation of the file is told, or else whoever is active in the channel.
fn manuals(first: Option<&str>) -> Policies {
    let oncall = first.map_or(Target::Here, |first| Target::OnCall(first.to_owned()));
    let at_once = |tell| vec![Step { after_ms: 0, tell }];
    let everybody = match oncall {
        Target::Here => vec![Target::Here],
        ref one => vec![one.clone(), Target::Here],
    };
    Policies {
        levels: [
            Policy { rises_after_ms: Some(RECOVERS_WITHIN_MS), ..Policy::default() },
            Policy {
                steps: at_once(vec![oncall]),
                rises_after_ms: Some(ANSWERED_WITHIN_MS),
                ..Policy::default()
            },
            Policy {
                steps: at_once(everybody),
                repeat: Some(Repeat { every_ms: REPEAT_EVERY_MS, times: REPEAT_TIMES }),
                ..Policy::default()
            },
        ],
        remind_after_ms: REMIND_AFTER_MS,
        undo_after_ms: UNDO_AFTER_MS,
        recovery_ms: RECOVERY_MS,
        checklist: "disaster-recovery".to_owned(),
    }
}

pub(super) fn read(
    node: Option<&Node>,
    (first, rotations): (Option<&str>, &Rotations),
    faults: &mut Faults,
) -> Policies {
    let mut policies = manuals(first);
    let Some(node) = node else { return policies };
    for (level, policy) in Level::ALL.into_iter().zip(&mut policies.levels) {
        if let Some(node) = node.get(level.name()) {
            read_policy(node, (level, policy), rotations, faults);
        }
    }
    let set = |key: &str, ms: &mut i64| {
        if let Some(found) = wait_ms(node.get(key)) {
            *ms = found;
        }
    };
    set("remind_after", &mut policies.remind_after_ms);
    set("undo_after", &mut policies.undo_after_ms);
    set("recovery", &mut policies.recovery_ms);
    if let Some(action) = node.get("checklist").and_then(Node::text) {
        action.clone_into(&mut policies.checklist);
    }
    policies
}

fn read_policy(
    node: &Node,
    (level, policy): (Level, &mut Policy),
    rotations: &Rotations,
    faults: &mut Faults,
) {
    if let Some(steps) = node.get("steps") {
        policy.steps = read_steps(steps, level, rotations, faults);
        policy.repeat = None;
    }
    if let Some(repeat) = node.get("repeat") {
        policy.repeat = read_repeat(repeat);
        if policy.steps.is_empty() {
            faults.add_with(repeat.at, "there is no step to repeat", "add `steps`");
        }
    }
    if let Some(rises) = node.entry("rises_after") {
        policy.rises_after_ms = wait_ms(Some(&rises.value));
        if level == Level::Critical {
            faults.add_with(rises.key_at, "there is no level above 3", "leave `rises_after` out");
        }
    }
    if let (Some(rises_ms), Some(last)) = (policy.rises_after_ms, policy.steps.last())
        && last.after_ms >= rises_ms
    {
        let message = "the last step comes when the level has risen already";
        faults.add_with(node.at, message, "let it come earlier, or let `rises_after` be later");
    }
    policy.quiet = quiet(node, level, faults);
}

/// Steps in the order of their times, and nobody mentioned at level 1.
fn read_steps(node: &Node, level: Level, rotations: &Rotations, faults: &mut Faults) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    if level == Level::Warning && !node.items().is_empty() {
        let message = "level 1 is recorded, and nobody is called";
        faults.add_with(node.at, message, "leave `steps` out, or raise the alert's severity");
    }
    for item in node.items() {
        let after_ms = wait_ms(item.get("after")).unwrap_or(0);
        if steps.last().is_some_and(|before| before.after_ms >= after_ms) {
            let message = "this step does not come after the one before it";
            faults.add_with(item.at, message, "write the steps in the order of their times");
        }
        let tell = item.get("tell").map_or(&[][..], Node::items);
        let tell = tell.iter().filter_map(|one| target(one, rotations, faults)).collect();
        steps.push(Step { after_ms, tell });
    }
    steps
}

fn target(node: &Node, rotations: &Rotations, faults: &mut Faults) -> Option<Target> {
    let text = node.text()?;
    if let Some(rotation) = text.strip_prefix(ONCALL) {
        if !rotations.contains_key(rotation) {
            let known = rotations.keys().map(String::as_str).collect::<Vec<_>>();
            let way = mean_or_list(rotation, "rotations", &known);
            faults.add_with(node.at, format!("there is no rotation `{rotation}`"), way);
        }
        return Some(Target::OnCall(rotation.to_owned()));
    }
    let is_id = text.len() > 2
        && text.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit());
    match text.chars().next() {
        _ if text == "here" => Some(Target::Here),
        Some('U' | 'W') if is_id => Some(Target::User(UserId::new(text))),
        Some('S') if is_id => Some(Target::Group(text.to_owned())),
        _ => {
            let message = format!("`{text}` is nobody who can be told");
            let way = "write a person's id (U…), a user group's (S…), `oncall:` and the name of a \
                       rotation, or `here`";
            faults.add_with(node.at, message, way);
            None
        }
    }
}

fn read_repeat(node: &Node) -> Option<Repeat> {
    let times = node.get("times").and_then(|times| match &times.value {
        Value::Scalar(scalar) => integer(scalar),
        _ => None,
    });
    Some(Repeat { every_ms: wait_ms(node.get("every"))?, times: u32::try_from(times?).ok()? })
}

/// The hours in which level 1 does not rise.
fn quiet(node: &Node, level: Level, faults: &mut Faults) -> Option<PlannedFreeze> {
    let Some(hours) = node.entry("quiet_hours") else {
        if let Some(zone) = node.entry("zone") {
            faults.add_with(zone.key_at, "a zone without quiet hours", "add `quiet_hours`");
        }
        return None;
    };
    if level != Level::Warning {
        let message = "only level 1 has quiet hours: from level 2 on people are told at once";
        faults.add_with(hours.key_at, message, "leave `quiet_hours` out");
    }
    let mut windows: Vec<Weekly> = Vec::new();
    for item in hours.value.items() {
        match item.text().map(str::parse::<Weekly>) {
            Some(Ok(window)) => windows.push(window),
            Some(Err(_)) => {
                let message = format!("`{}` is no weekly window", item.text().unwrap_or_default());
                faults.add_with(item.at, message, "for example: mon-sun 22:00-08:00");
            }
            None => {}
        }
    }
    let times = Times::Weekly(windows);
    if times.is_endless() {
        let message = "these quiet hours never end: they fill the whole week";
        faults.add_with(hours.value.at, message, "leave a gap between them");
    }
    let Some(zone) = node.get("zone") else {
        let message = "quiet hours need `zone`";
        faults.add_with(hours.key_at, message, "for example: zone: Asia/Shanghai");
        return None;
    };
    let Some(found) = zone.text().and_then(Zone::parse) else {
        let name = zone.text().unwrap_or_default();
        let way = did_you_mean(name, Zone::names()).map_or_else(
            || "for example: Asia/Shanghai".to_owned(),
            |zone| format!("did you mean `{zone}`?"),
        );
        faults.add_with(zone.at, format!("there is no time zone `{name}`"), way);
        return None;
    };
    Some(PlannedFreeze {
        name: "quiet_hours".to_owned(),
        summary: Words::new("安静时段", "Quiet hours"),
        times,
        zone: found,
        then: Then::Wait,
        overridable_by: None,
    })
}

fn wait_ms(node: Option<&Node>) -> Option<i64> {
    node.and_then(Node::text).and_then(duration::parse).and_then(|ms| i64::try_from(ms).ok())
}

pub(super) fn inhibitions(node: Option<&Node>, faults: &mut Faults) -> Vec<Inhibition> {
    let mut found = Vec::new();
    for item in node.map_or(&[][..], Node::items) {
        let by = item.get("by").and_then(Node::text).unwrap_or_default().to_owned();
        let quiet = item.get("quiet").map_or(&[][..], Node::items);
        let names: Vec<String> =
            quiet.iter().filter_map(|one| one.text().map(str::to_owned)).collect();
        if names.contains(&by) {
            let message = format!("`{by}` would keep itself quiet");
            faults.add_with(item.at, message, "remove it from `quiet`");
        }
        found.push(Inhibition { by, quiet: names });
    }
    for (item, one) in node.map_or(&[][..], Node::items).iter().zip(&found) {
        let by = &one.by;
        if !one.quiet.contains(by) && explains_itself(&found, by) {
            let message = format!("`{by}` and what it keeps quiet would keep each other quiet");
            faults.add_with(item.at, message, "of alerts that come together, let one say more");
        }
    }
    found
}

/// Whether an alert is kept quiet, through however many others, by what it keeps quiet itself.
fn explains_itself(inhibitions: &[Inhibition], by: &str) -> bool {
    let mut reached: BTreeSet<&str> = BTreeSet::new();
    let mut next = vec![by];
    while let Some(name) = next.pop() {
        for quiet in inhibitions.iter().filter(|one| one.by == name).flat_map(|one| &one.quiet) {
            if quiet == by {
                return true;
            }
            if reached.insert(quiet) {
                next.push(quiet);
            }
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::fault::listing;

    fn faults_of(inhibitions: &str) -> String {
        let alerts =
            "alerts: {cpu: {threshold: 0.8, duration: 5m, severity: warning, channels: [slack]}}";
        let text = format!("{alerts}\ninhibit:\n{inhibitions}");
        let read = super::super::parse("a.yml", text.as_bytes());
        read.map_or_else(|faults| listing(&faults), |_| String::new())
    }

    #[test]
    fn alerts_that_would_keep_each_other_quiet_are_refused() {
        assert_eq!(faults_of("  - {by: A, quiet: [B, C]}\n  - {by: B, quiet: [C]}"), "");
        let circle = faults_of(
            "  - {by: A, quiet: [B]}\n  - {by: B, quiet: [C]}\n  - {by: C, quiet: [A]}\n  - {by: D, quiet: [A]}",
        );
        assert_eq!(circle.matches("would keep each other quiet").count(), 3, "{circle}");
        assert!(circle.contains("a.yml:3:5") && !circle.contains("`D`"), "{circle}");
        assert!(faults_of("  - {by: A, quiet: [A]}").contains("would keep itself quiet"));
    }

    #[test]
    fn a_level_that_is_silent_here_is_the_manuals() {
        let policies = Policies::default();
        let rises = policies.levels.each_ref().map(|policy| policy.rises_after_ms);
        assert_eq!(rises, [Some(300_000), Some(900_000), None]);
        assert_eq!(policies.recovery_ms, 3_600_000);
    }
}
