//! The alert's states, levels and clocks, in virtual time.

use super::super::escalation::{Policy, Repeat, Step};
use super::super::freeze::{PlannedFreeze, Then, Times, Weekly, Zone};
use super::super::text::Text;
use super::*;
use proptest::prelude::*;
use std::fmt::Write as _;

const MINUTE_MS: i64 = 60_000;
/// 2026-11-24 03:00:00 UTC.
const NIGHT_MS: i64 = 1_795_489_200_000;
const ANN: &str = "U0ANN";

fn group(name: &str) -> Target {
    Target::Group(name.to_owned())
}

/// The manual's levels, with a second step at level 2 and a repetition at level 3.
fn policies() -> Policies {
    let step = |after_ms, target| Step { after_ms, tell: vec![target] };
    Policies {
        levels: [
            Policy { rises_after_ms: Some(5 * MINUTE_MS), ..Policy::default() },
            Policy {
                steps: vec![step(0, group("S0ONCALL")), step(10 * MINUTE_MS, group("S0DEV"))],
                rises_after_ms: Some(15 * MINUTE_MS),
                ..Policy::default()
            },
            Policy {
                steps: vec![step(0, Target::Here)],
                repeat: Some(Repeat { every_ms: 5 * MINUTE_MS, times: 3 }),
                ..Policy::default()
            },
        ],
        remind_after_ms: 30 * MINUTE_MS,
        undo_after_ms: 15 * MINUTE_MS,
        recovery_ms: 60 * MINUTE_MS,
        checklist: String::new(),
    }
}

/// An alert with its own clock, and what was said of it, by the minute.
struct Story {
    now: Condition,
    policies: Policies,
    now_ms: i64,
    said: Vec<String>,
}

impl Story {
    fn of(level: Level) -> Self {
        let now = Condition::before(level);
        let mut story = Self { now, policies: policies(), now_ms: NIGHT_MS, said: Vec::new() };
        story.take(&Event::Fired(level));
        story
    }

    fn take(&mut self, event: &Event) {
        let (next, effects) = self.now.after(event, &self.policies, self.now_ms).unwrap();
        self.now = next;
        for effect in effects {
            let minutes = (self.now_ms - NIGHT_MS) / MINUTE_MS;
            let mut line =
                format!("{minutes:>3} L{} {} ", self.now.level.number(), self.now.state.as_str());
            match effect {
                Effect::Tell { why, targets } => {
                    let _ = write!(line, "{why:?} {targets:?}");
                }
                other => {
                    let _ = write!(line, "{other:?}");
                }
            }
            self.said.push(line);
        }
    }

    /// Time goes by, and whoever keeps it looks whenever something is due.
    fn until(&mut self, minutes: i64) {
        let end_ms = NIGHT_MS + minutes * MINUTE_MS;
        while self.now.next_ms <= end_ms {
            self.now_ms = self.now_ms.max(self.now.next_ms);
            self.take(&Event::TimePassed);
        }
        self.now_ms = end_ms;
    }

    /// The same, and nobody looks before the end: the bot was away.
    fn away_until(&mut self, minutes: i64) {
        self.now_ms = NIGHT_MS + minutes * MINUTE_MS;
        self.take(&Event::TimePassed);
    }

    fn acknowledge(&mut self, by: &str) {
        self.take(&Event::Acknowledged { by: by.to_owned() });
    }

    fn told(&self) -> String {
        self.said.join("\n")
    }
}

#[test]
fn names_that_hold_a_slash_are_not_another_group() {
    let sighting = |service: &str, name: &str| Sighting {
        source: "webhook".to_owned(),
        fingerprint: String::new(),
        starts_ms: 0,
        ended_ms: None,
        name: name.to_owned(),
        service: service.to_owned(),
        environment: "production".to_owned(),
        level: Level::Error,
        ways: BTreeSet::new(),
        summary: String::new(),
        description: String::new(),
        labels: BTreeMap::new(),
        links: Vec::new(),
        value: String::new(),
        owner: String::new(),
    };

    assert_eq!(sighting("a", "b").group(), "webhook/production/a/b");
    assert_ne!(sighting("a/b", "c").group(), sighting("a", "b/c").group());
    assert_ne!(sighting("a%2Fb", "c").group(), sighting("a/b", "c").group());
}

#[test]
fn nobody_answers_and_it_goes_through_every_level() {
    let mut story = Story::of(Level::Warning);

    story.until(120);

    insta::assert_snapshot!(story.told(), @r#"
     0 L1 open New []
     5 L2 open Unanswered [Group("S0ONCALL")]
    15 L2 open Step [Group("S0DEV")]
    20 L3 open Incident
    20 L3 open Unanswered [Here]
    25 L3 open Repeated [Here]
    30 L3 open Repeated [Here]
    35 L3 open Repeated [Here]
    80 L3 open RecoveryOverdue
    "#);
}

#[test]
fn a_bot_that_was_away_tells_each_level_once_and_gives_it_its_time() {
    let mut story = Story::of(Level::Warning);

    story.away_until(300);
    story.until(320);

    insta::assert_snapshot!(story.told(), @r#"
      0 L1 open New []
    300 L2 open Unanswered [Group("S0ONCALL")]
    310 L2 open Step [Group("S0DEV")]
    315 L3 open Incident
    315 L3 open Unanswered [Here]
    320 L3 open Repeated [Here]
    "#);
}

#[test]
fn a_forgotten_acknowledgement_is_reminded_then_undone_and_escalation_begins_anew() {
    let mut story = Story::of(Level::Error);
    story.until(4);

    story.acknowledge(ANN);
    story.until(60);

    insta::assert_snapshot!(story.told(), @r#"
     0 L2 open New [Group("S0ONCALL")]
    34 L2 acknowledged Remind
    49 L2 open Forgotten [Group("S0ONCALL")]
    59 L2 open Step [Group("S0DEV")]
    "#);
}

#[test]
fn who_says_again_that_they_have_it_keeps_it() {
    let mut story = Story::of(Level::Error);
    story.acknowledge(ANN);
    story.until(31);

    story.acknowledge(ANN);
    story.until(59);

    assert_eq!(story.now.state, State::Acknowledged);
    assert_eq!(story.said.iter().filter(|line| line.contains("Remind")).count(), 1);
}

#[test]
fn what_passes_by_itself_within_five_minutes_calls_nobody() {
    let mut story = Story::of(Level::Warning);
    story.until(4);

    story.take(&Event::Cleared);
    story.until(600);

    insta::assert_snapshot!(story.told(), @r#"
    0 L1 open New []
    4 L1 resolved Over
    "#);
    assert_eq!(story.now.next_ms, NEVER_MS);
}

#[test]
fn what_comes_and_goes_ends_only_when_its_end_lasts() {
    let mut story = Story::of(Level::Error);
    for minutes in [1, 2, 3, 4] {
        story.until(minutes);
        story.take(&Event::Cleared);
        story.take(&Event::Fired(Level::Error));
    }
    story.until(5);
    story.take(&Event::Cleared);
    story.until(30);

    insta::assert_snapshot!(story.told(), @r#"
     0 L2 open New [Group("S0ONCALL")]
     1 L2 resolved Over
     1 L2 open Returned [Group("S0ONCALL")]
     2 L2 resolved Over
     2 L2 open Returned [Group("S0ONCALL")]
     3 L2 resolved Over
     3 L2 open Returned [Group("S0ONCALL")]
     4 L2 open Settling
     5 L2 open Settling
    15 L2 resolved Over
    "#);
}

#[test]
fn a_silence_keeps_everybody_quiet_and_what_still_fires_after_it_is_told() {
    let mut story = Story::of(Level::Error);
    story.until(1);

    story.take(&Event::Silenced { until_ms: NIGHT_MS + 60 * MINUTE_MS });
    story.until(59);
    assert_eq!(story.said.len(), 1, "{}", story.told());
    story.until(62);

    insta::assert_snapshot!(story.told(), @r#"
     0 L2 open New [Group("S0ONCALL")]
    60 L2 open SilenceOver [Group("S0ONCALL")]
    "#);
}

#[test]
fn what_another_alert_explains_is_quiet_until_that_is_over() {
    let mut story = Story::of(Level::Error);
    story.take(&Event::Inhibited);
    story.until(100);
    assert_eq!(story.said.len(), 1, "{}", story.told());

    story.take(&Event::Released);
    story.take(&Event::Released);

    insta::assert_snapshot!(story.told(), @r#"
      0 L2 open New [Group("S0ONCALL")]
    100 L2 open Released [Group("S0ONCALL")]
    "#);
}

#[test]
fn nobody_is_called_while_it_settles_whatever_ends_meanwhile() {
    let mut story = Story::of(Level::Error);
    for minutes in [1, 2, 3] {
        story.until(minutes);
        story.take(&Event::Cleared);
        story.take(&Event::Fired(Level::Error));
    }
    story.take(&Event::Silenced { until_ms: NIGHT_MS + 6 * MINUTE_MS });
    story.until(4);
    story.take(&Event::Cleared);
    story.said.clear();

    // The silence ends, somebody takes it and gives it back: all while it does not fire.
    story.until(7);
    story.acknowledge(ANN);
    story.take(&Event::Unacknowledged);
    story.take(&Event::Inhibited);
    story.take(&Event::Released);
    assert_eq!(story.told(), "");

    // It fires again: now people are called, and have their time.
    story.until(8);
    story.take(&Event::Fired(Level::Error));
    story.until(9);

    assert_eq!(story.said, [r#"  8 L2 open Step [Group("S0ONCALL")]"#]);
}

#[test]
fn who_wants_more_people_gets_them_though_another_alert_explains_it() {
    let mut story = Story::of(Level::Error);
    story.take(&Event::Inhibited);
    story.said.clear();

    story.take(&Event::Escalated);

    insta::assert_snapshot!(story.told(), @r"
    0 L3 open Incident
    0 L3 open Asked [Here]
    ");
}

#[test]
fn what_begins_quiet_is_written_down_and_told_when_it_is_quiet_no_more() {
    let now = Condition {
        silenced_until_ms: NIGHT_MS + 60 * MINUTE_MS,
        ..Condition::before(Level::Error)
    };
    let mut story = Story { now, policies: policies(), now_ms: NIGHT_MS, said: Vec::new() };

    story.take(&Event::Fired(Level::Error));
    story.take(&Event::Undelivered(Way::Email));
    story.until(61);

    insta::assert_snapshot!(story.told(), @r#"
     0 L2 open Quiet { why: New }
    60 L2 open SilenceOver [Group("S0ONCALL")]
    "#);
}

#[test]
fn resolved_by_hand_it_opens_again_if_its_source_still_says_that_it_fires() {
    let mut story = Story::of(Level::Error);
    story.take(&Event::Resolved);
    story.until(14);
    assert_eq!(story.now.state, State::Resolved);

    story.until(16);

    insta::assert_snapshot!(story.told(), @r#"
     0 L2 open New [Group("S0ONCALL")]
     0 L2 resolved Over
    15 L2 open StillFiring [Group("S0ONCALL")]
    "#);
}

#[test]
fn resolved_by_hand_and_then_by_its_source_it_stays_so() {
    let mut story = Story::of(Level::Critical);
    story.take(&Event::Resolved);
    story.take(&Event::Cleared);

    story.until(600);

    assert_eq!(story.now.state, State::Resolved);
    assert_eq!(story.now.next_ms, NEVER_MS);
    assert!(!story.told().contains("StillFiring"), "{}", story.told());
}

#[test]
fn a_recovery_that_takes_too_long_is_said_once_whoever_has_it() {
    let mut story = Story::of(Level::Critical);
    story.acknowledge(ANN);
    for minutes in [29, 58, 87, 116] {
        story.until(minutes);
        story.acknowledge(ANN);
    }
    story.until(140);

    assert_eq!(story.said.iter().filter(|line| line.contains("RecoveryOverdue")).count(), 1);
    assert!(story.told().contains(" 60 L3 acknowledged RecoveryOverdue"), "{}", story.told());
}

#[test]
fn in_quiet_hours_level_1_waits_for_their_end_and_level_2_does_not() {
    // 11:00 in Shanghai: quiet until noon.
    let quiet = PlannedFreeze {
        name: "quiet_hours".to_owned(),
        summary: Text::same("quiet"),
        times: Times::Weekly(vec!["mon-sun 22:00-12:00".parse::<Weekly>().unwrap()]),
        zone: Zone::parse("Asia/Shanghai").unwrap(),
        then: Then::Wait,
        overridable_by: None,
    };
    let mut story = Story::of(Level::Warning);
    story.policies.levels[0].quiet = Some(quiet);
    story.take(&Event::TimePassed);
    story.until(59);
    assert_eq!(story.now.level, Level::Warning);
    story.until(60);
    assert_eq!(story.now.level, Level::Error);
    story.until(75);
    assert_eq!(story.now.level, Level::Critical, "level 2 rises whatever the hour");
}

#[test]
fn a_bot_that_comes_back_in_quiet_hours_wakes_nobody_for_level_1() {
    let mut story = Story::of(Level::Warning);
    story.policies.levels[0].quiet = Some(PlannedFreeze {
        name: "quiet_hours".to_owned(),
        summary: Text::same("quiet"),
        // From a minute after it is due, at five past eleven there.
        times: Times::Weekly(vec!["mon-sun 11:06-14:00".parse::<Weekly>().unwrap()]),
        zone: Zone::parse("Asia/Shanghai").unwrap(),
        then: Then::Wait,
        overridable_by: None,
    });

    story.away_until(20);
    assert_eq!(story.now.level, Level::Warning, "{}", story.told());
    story.until(179);
    assert_eq!(story.now.level, Level::Warning, "{}", story.told());
    story.until(180);
    assert_eq!(story.now.level, Level::Error, "{}", story.told());
}

#[test]
fn quiet_hours_end_by_the_clocks_of_their_zone_in_the_night_in_which_these_are_changed() {
    let berlin = |window: &str| PlannedFreeze {
        name: "quiet_hours".to_owned(),
        summary: Text::same("quiet"),
        times: Times::Weekly(vec![window.parse::<Weekly>().unwrap()]),
        zone: Zone::parse("Europe/Berlin").unwrap(),
        then: Then::Wait,
        overridable_by: None,
    };
    // 23:00 in Berlin, the evening before the clocks go back, and before they go forward.
    for (evening_ms, hours) in [(1_792_875_600_000, 10), (1_806_184_800_000, 8)] {
        let mut policies = policies();
        policies.levels[0].quiet = Some(berlin("mon-sun 22:00-08:00"));
        let before = Condition::before(Level::Warning);
        let fired = Event::Fired(Level::Warning);
        let (condition, _) = before.after(&fired, &policies, evening_ms).unwrap();

        assert_eq!(condition.next_ms, evening_ms + hours * 60 * MINUTE_MS);
        let early_ms = condition.next_ms - 1;
        let (early, told) = condition.after(&Event::TimePassed, &policies, early_ms).unwrap();
        assert_eq!((early.level, told), (Level::Warning, Vec::new()));
        let (late, _) = early.after(&Event::TimePassed, &policies, condition.next_ms).unwrap();
        assert_eq!(late.level, Level::Error);
    }
}

#[test]
fn somebody_who_wants_more_people_gets_them_whatever_its_state() {
    let mut story = Story::of(Level::Error);
    story.acknowledge(ANN);
    story.take(&Event::Silenced { until_ms: NIGHT_MS + 60 * MINUTE_MS });

    story.take(&Event::Escalated);

    assert_eq!((story.now.level, story.now.state), (Level::Critical, State::Open));
    assert!(story.told().ends_with("L3 open Asked [Here]"), "{}", story.told());
}

#[test]
fn nothing_that_people_want_is_taken_when_it_is_over() {
    let mut story = Story::of(Level::Error);
    story.take(&Event::Cleared);
    let wishes = [
        Event::Acknowledged { by: ANN.to_owned() },
        Event::Unacknowledged,
        Event::Resolved,
        Event::Escalated,
        Event::Silenced { until_ms: NIGHT_MS + MINUTE_MS },
    ];
    for wish in wishes {
        let taken = story.now.after(&wish, &story.policies, story.now_ms);
        assert_eq!(taken, Err(Illegal { state: State::Resolved }), "{wish:?}");
    }
}

/// The whole table: what each event makes of an alert in each state.
#[test]
fn every_state_takes_every_event_as_the_table_says() {
    let mut table = String::new();
    for state in State::ALL {
        let mut story = Story::of(Level::Error);
        story.until(1);
        match state {
            State::Open => {}
            State::Acknowledged => story.acknowledge(ANN),
            State::Resolved => story.take(&Event::Cleared),
        }
        let events = [
            Event::Fired(Level::Error),
            Event::Fired(Level::Critical),
            Event::Cleared,
            Event::Acknowledged { by: "U0BOB".to_owned() },
            Event::Unacknowledged,
            Event::Resolved,
            Event::Escalated,
            Event::Silenced { until_ms: NIGHT_MS + 60 * MINUTE_MS },
            Event::Unsilenced,
            Event::Inhibited,
            Event::Released,
            Event::Undelivered(Way::Email),
            Event::TimePassed,
        ];
        for event in events {
            let next = match story.now.after(&event, &story.policies, story.now_ms) {
                Err(_) => "illegal".to_owned(),
                Ok((next, effects)) => {
                    let effects: Vec<String> = effects
                        .iter()
                        .map(|effect| match effect {
                            Effect::Tell { why, .. } => format!("tell {why:?}"),
                            other => format!("{other:?}"),
                        })
                        .collect();
                    let level = next.level.number();
                    format!("{} L{level} [{}]", next.state.as_str(), effects.join(", "))
                }
            };
            let _ = writeln!(table, "{:<12} {event:?} → {next}", state.as_str());
        }
    }
    insta::assert_snapshot!(table);
}

fn any_event() -> impl Strategy<Value = Event> {
    let level = prop::sample::select(Level::ALL.to_vec());
    prop_oneof![
        3 => level.prop_map(Event::Fired),
        3 => Just(Event::Cleared),
        2 => Just(Event::Acknowledged { by: ANN.to_owned() }),
        1 => Just(Event::Unacknowledged),
        1 => Just(Event::Resolved),
        1 => Just(Event::Escalated),
        1 => (1_i64..100).prop_map(|minutes| Event::Silenced { until_ms: NIGHT_MS + minutes * MINUTE_MS }),
        1 => Just(Event::Unsilenced),
        1 => Just(Event::Inhibited),
        1 => Just(Event::Released),
        1 => Just(Event::Undelivered(Way::Email)),
        5 => Just(Event::TimePassed),
    ]
}

proptest! {
    /// Whatever happens, in whatever order: time that has passed leaves nothing due, an open alert that
    /// fires and is not quiet is told or rises within its policy's times, and its level never falls.
    #[test]
    fn nothing_is_forgotten(steps in prop::collection::vec((0_i64..40, any_event()), 1..60)) {
        let mut story = Story::of(Level::Warning);
        for (minutes, event) in steps {
            let at = (story.now_ms - NIGHT_MS) / MINUTE_MS + minutes;
            story.until(at);
            let before = story.now.clone();
            let Ok((next, effects)) = story.now.after(&event, &story.policies, story.now_ms) else { continue };
            prop_assert!(next.next_ms > story.now_ms, "due at once: {next:?}");
            prop_assert!(next.level >= before.level);
            let is_loud = next.state == State::Open && next.is_firing && !next.is_quiet(story.now_ms);
            if is_loud && next.level < Level::Critical {
                prop_assert!(next.next_ms <= story.now_ms + 15 * MINUTE_MS, "nothing is due: {next:?}");
            }
            if next.is_quiet(story.now_ms) {
                let is_told = effects.iter().any(|effect| matches!(effect, Effect::Tell { why, .. } if *why != Why::Asked));
                prop_assert!(!is_told, "told while it is quiet: {effects:?}");
            }
            if !next.is_firing {
                let is_told = effects.iter().any(|effect| matches!(effect, Effect::Tell { why, .. } if !matches!(why, Why::Asked | Why::Undelivered)));
                prop_assert!(!is_told, "told though it does not fire: {effects:?}");
            }
            if next.state == State::Open && before.state != State::Open {
                let is_said = effects.iter().any(|effect| matches!(effect, Effect::Tell { .. } | Effect::Quiet { .. }));
                prop_assert!(is_said || !next.is_firing, "it opened and nothing says so: {next:?}");
            }
            prop_assert_eq!(next.state == State::Acknowledged, next.acknowledged.is_some());
            prop_assert_eq!(next.is_over(), next.resolved_ms > 0);
            story.now = next;
        }
    }

    /// A condition survives being written down.
    #[test]
    fn a_restart_forgets_nothing(steps in prop::collection::vec((0_i64..40, any_event()), 1..30)) {
        let (mut one, mut other) = (Story::of(Level::Error), Story::of(Level::Error));
        for (minutes, event) in steps {
            let at = (one.now_ms - NIGHT_MS) / MINUTE_MS + minutes;
            one.until(at);
            other.until(at);
            if one.now.after(&event, &one.policies, one.now_ms).is_err() {
                continue;
            }
            one.take(&event);
            other.take(&event);
            other.now = serde_json::from_str(&serde_json::to_string(&other.now).unwrap()).unwrap();
        }
        prop_assert_eq!(one.now, other.now);
        prop_assert_eq!(one.said, other.said);
    }
}
