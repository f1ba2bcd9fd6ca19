//! Who is on call, over years, zones and changed clocks.

use super::*;
use crate::core::freeze::{Then, Times};
use crate::core::text::Text;
use proptest::prelude::*;

const DAY_MS: i64 = 24 * HOUR_MS;

fn zone(name: &str) -> Zone {
    Zone::parse(name).unwrap()
}

fn at(text: &str, zone: Zone) -> i64 {
    Moment::parse(text).unwrap().at_ms(zone)
}

fn turns(people: &[&str], shift_hours: i64, starts: &str, zone: Zone) -> Turns {
    let people = people.iter().map(|one| UserId::new(*one)).collect();
    Turns { people, shift_hours, starts: Moment::parse(starts).unwrap(), zone }
}

fn rotation(turns: Turns) -> Rotation {
    Rotation { zone: turns.zone, who: Who::People(turns), hours: None, hand_over: true }
}

fn windows(weekly: &str, zone: Zone) -> PlannedFreeze {
    PlannedFreeze {
        name: "hours".to_owned(),
        summary: Text::same("hours"),
        times: Times::Weekly(vec![weekly.parse().unwrap()]),
        zone,
        then: Then::Wait,
        overridable_by: None,
    }
}

fn over(id: &str, rotation: &str, user: &str, (from_ms, until_ms): (i64, i64)) -> Override {
    Override {
        id: id.to_owned(),
        rotation: rotation.to_owned(),
        user: UserId::new(user),
        from_ms,
        until_ms,
        by: UserId::new("U0LEAD"),
        reason: "why".to_owned(),
    }
}

fn weekly() -> Rotations {
    let berlin = zone("Europe/Berlin");
    let primary = rotation(turns(&["U1", "U2", "U3"], 7 * 24, "2026-03-23 09:00", berlin));
    Rotations::from([("primary".to_owned(), primary)])
}

fn id(roster: &Roster<'_>, name: &str, at_ms: i64) -> String {
    roster.duty(name, at_ms).unwrap().id
}

#[test]
fn a_week_begins_at_its_hour_on_the_wall_also_when_the_clocks_were_changed() {
    let rotations = weekly();
    let roster = Roster { rotations: &rotations, overrides: &[] };
    let berlin = zone("Europe/Berlin");

    let first = at("2026-03-23 09:00", berlin);
    let second = at("2026-03-30 09:00", berlin);

    // Summer time began on the 29th: that week lacks an hour.
    assert_eq!(second - first, 7 * DAY_MS - HOUR_MS);
    assert_eq!(id(&roster, "primary", second - 1), "U1");
    assert_eq!(id(&roster, "primary", second), "U2");
    assert_eq!(id(&roster, "primary", first - 1), "U3", "the order holds before its beginning");
    assert_eq!(roster.next_change_ms("primary", first), Some(second));
    let (changed_ms, before) = roster.last_change("primary", second + 5).unwrap();
    assert_eq!((changed_ms, before.id.as_str()), (second, "U1"));
    assert_eq!(roster.line_up("primary", second), ["U2", "U3", "U1"]);
    assert_eq!(roster.duty("secondary", first), None);
}

#[test]
fn a_change_in_an_hour_that_is_skipped_comes_after_it_and_in_one_shown_twice_the_first_time() {
    let (berlin, york) = (zone("Europe/Berlin"), zone("America/New_York"));
    let skipped = turns(&["U1", "U2"], 24, "2026-03-28 02:30", berlin);
    let twice = turns(&["U1", "U2"], 24, "2026-10-31 01:30", york);

    // 02:30 is not shown on 2026-03-29: 02:00 is 03:00.
    assert_eq!(skipped.begins_ms(1), at("2026-03-29 03:00", berlin));
    assert_eq!(skipped.begins_ms(2) - skipped.begins_ms(1), 23 * HOUR_MS + HOUR_MS / 2);
    // 01:30 is shown twice on 2026-11-01.
    let first_ms = twice.begins_ms(1);
    assert_eq!(york.shown(first_ms).to_string(), "2026-11-01 01:30");
    assert_eq!(york.shown(first_ms + HOUR_MS).to_string(), "2026-11-01 01:30");
    assert_eq!(twice.shift_at(first_ms - 1), 0);
    // The clocks went back: they show 01:10 again, and nobody goes back with them.
    assert_eq!(twice.shift_at(first_ms + 40 * 60_000), 1);
    assert_eq!(twice.begins_ms(2) - first_ms, 25 * HOUR_MS);
}

#[test]
fn outside_its_hours_another_rotation_answers_and_an_override_counts_in_its_own_hours_alone() {
    let shanghai = zone("Asia/Shanghai");
    let mut day = rotation(turns(&["U1", "U2"], 24 * 7, "2026-11-23 09:00", shanghai));
    let hours = windows("mon-fri 09:00-18:00", shanghai);
    day.hours = Some(Hours { windows: hours, otherwise: "night".to_owned() });
    let night = Rotation {
        who: Who::Group("S0NIGHT".to_owned()),
        hours: None,
        zone: shanghai,
        hand_over: false,
    };
    let rotations = Rotations::from([("day".to_owned(), day), ("night".to_owned(), night)]);
    let (from, until) = (at("2026-11-24 00:00", shanghai), at("2026-11-25 00:00", shanghai));
    let overrides = [over("1", "day", "U9", (from, until))];

    let roster = Roster { rotations: &rotations, overrides: &overrides };
    let all = roster.schedule("day", from, until);

    let shown: Vec<(String, &str, &str)> = all
        .iter()
        .map(|one| {
            let from = shanghai.shown(one.from_ms).to_string();
            (from, one.duty.id.as_str(), one.duty.rotation.as_str())
        })
        .collect();
    assert_eq!(
        shown,
        [
            ("2026-11-24 00:00".to_owned(), "S0NIGHT", "night"),
            ("2026-11-24 09:00".to_owned(), "U9", "day"),
            ("2026-11-24 18:00".to_owned(), "S0NIGHT", "night"),
        ]
    );
    assert_eq!(roster.line_up("day", from + 10 * HOUR_MS), ["U9", "U1", "U2"]);
    assert_eq!(roster.next_change_ms("night", from), None);
}

#[test]
fn of_two_overrides_the_later_said_counts_and_an_ended_one_is_over() {
    let rotations = weekly();
    let from = at("2026-04-01 09:00", zone("Europe/Berlin"));
    let overrides = [
        over("1", "primary", "U8", (from, from + 4 * HOUR_MS)),
        over("2", "primary", "U9", (from + HOUR_MS, from + 2 * HOUR_MS)),
        over("3", "other", "U7", (from, from + 4 * HOUR_MS)),
    ];
    let roster = Roster { rotations: &rotations, overrides: &overrides };

    let ids: Vec<String> =
        (-1..5).map(|hour| id(&roster, "primary", from + hour * HOUR_MS)).collect();

    assert_eq!(ids, ["U2", "U8", "U9", "U8", "U8", "U2"]);
    assert_eq!(roster.next_change_ms("primary", from + 2 * HOUR_MS), Some(from + 4 * HOUR_MS));
}

#[test]
fn a_swap_exchanges_ones_next_shift_with_the_others_and_swapping_back_undoes_it() {
    let rotations = weekly();
    let berlin = zone("Europe/Berlin");
    let now = at("2026-03-24 12:00", berlin);
    let week = |day: &str| at(&format!("2026-{day} 09:00"), berlin);
    let (ann, bob, cat) = (UserId::new("U1"), UserId::new("U2"), UserId::new("U3"));
    let plain = Roster { rotations: &rotations, overrides: &[] };

    // U1 is on call now: their next is after U3's.
    let next = plain.swap("primary", (&ann, &bob), None, now).unwrap();
    assert_eq!(next.given, (week("04-13"), week("04-20")));
    assert_eq!(next.taken, (week("03-30"), week("04-06")));
    // Today's is the rest of it.
    let today = Some((at("2026-03-24 00:00", berlin), at("2026-03-25 00:00", berlin)));
    let rest = plain.swap("primary", (&ann, &cat), today, now).unwrap();
    assert_eq!((rest.given, rest.taken), ((now, week("03-30")), (week("04-06"), week("04-13"))));
    assert_eq!(plain.swap("primary", (&bob, &cat), today, now), Err(NoSwap::NothingToGive));
    let nobody = UserId::new("U7");
    assert_eq!(plain.swap("primary", (&bob, &nobody), None, now), Err(NoSwap::NothingToTake));
    assert_eq!(plain.swap("nothing", (&bob, &cat), None, now), Err(NoSwap::NoTurns));

    let mut overrides =
        vec![over("1", "primary", "U2", next.given), over("2", "primary", "U1", next.taken)];
    let ids = |overrides: &[Override]| -> Vec<String> {
        let roster = Roster { rotations: &rotations, overrides };
        (0..40).map(|day| id(&roster, "primary", now + day * DAY_MS)).collect()
    };
    let swapped = Roster { rotations: &rotations, overrides: &overrides };
    let back = swapped.swap("primary", (&bob, &ann), None, now).unwrap();
    assert_eq!((back.given, back.taken), (next.given, next.taken));
    assert_ne!(ids(&overrides), ids(&[]));
    overrides.push(over("3", "primary", "U1", back.given));
    overrides.push(over("4", "primary", "U2", back.taken));
    assert_eq!(ids(&overrides), ids(&[]));
}

#[test]
fn an_edit_changes_hands_and_leaves_overrides_without_their_rotation_or_their_person() {
    let berlin = zone("Europe/Berlin");
    let mut old = weekly();
    old.insert("backup".to_owned(), old["primary"].clone());
    let primary = rotation(turns(&["U2", "U3"], 7 * 24, "2026-03-23 09:00", berlin));
    let new = Rotations::from([("primary".to_owned(), primary)]);
    let now = at("2026-03-24 12:00", berlin);
    let overrides = [
        over("1", "primary", "U1", (now + DAY_MS, now + 2 * DAY_MS)),
        over("2", "primary", "U9", (now + DAY_MS, now + 2 * DAY_MS)),
        over("3", "backup", "U9", (now + DAY_MS, now + 2 * DAY_MS)),
        over("4", "of-long-ago", "U9", (now + DAY_MS, now + 2 * DAY_MS)),
    ];

    let edit = edited(&old, &new, &overrides, now);

    assert_eq!(edit.hands, [("primary".to_owned(), "U1".to_owned(), "U2".to_owned())]);
    assert_eq!(edit.of_removed, [overrides[0].clone()], "U9 never took part");
    assert_eq!(edit.orphans, [overrides[2].clone()], "the other one was told before");
    assert_eq!(orphans(&new, &overrides).count(), 2);
    assert_eq!(edited(&new, &new, &overrides, now), Edited::default());
}

const ZONES: [&str; 8] = [
    "Europe/Berlin",
    "America/New_York",
    "Asia/Shanghai",
    "Australia/Lord_Howe",
    "America/St_Johns",
    "Pacific/Chatham",
    "Africa/Casablanca",
    "UTC",
];

prop_compose! {
    fn any_turns()(
        name in prop::sample::select(&ZONES[..]),
        people in 1..7_usize,
        shift_hours in SHIFT_HOURS.0..24 * 15,
        day in 1..29_u32,
        hour in 0..24_u32,
        half in prop::sample::select(&[0_u32, 15, 30][..]),
    ) -> Turns {
        let people = (0..people).map(|one| UserId::new(format!("U{one}"))).collect();
        let starts = Moment::parse(&format!("2026-03-{day:02} {hour:02}:{half:02}")).unwrap();
        Turns { people, shift_hours, starts, zone: zone(name) }
    }
}

proptest! {
    /// From 2024 to 2034.
    #[test]
    fn every_moment_has_exactly_one_shift(
        turns in any_turns(),
        at_ms in 1_704_067_200_000..2_019_686_400_000_i64,
    ) {
        let shift = turns.shift_at(at_ms);
        let (begins_ms, ends_ms) = (turns.begins_ms(shift), turns.begins_ms(shift + 1));
        prop_assert!(begins_ms <= at_ms && at_ms < ends_ms);
        // Nobody is skipped, and the order is kept.
        prop_assert_eq!(turns.shift_at(ends_ms), shift + 1);
        prop_assert_eq!(turns.shift_at(ends_ms - 1), shift);
        let after = turns.people.iter().position(|one| one == turns.person(shift)).unwrap() + 1;
        let expected = &turns.people[after % turns.people.len()];
        prop_assert_eq!(turns.person(shift + 1), expected);
    }

    #[test]
    fn a_change_comes_at_its_time_on_the_wall(turns in any_turns(), shift in -500..500_i64) {
        let wanted_ms = turns.starts.local_ms() + shift * turns.shift_hours * HOUR_MS;
        let begins_ms = turns.begins_ms(shift);
        let (shown_ms, before_ms) =
            (turns.zone.local_ms(begins_ms), turns.zone.local_ms(begins_ms - 1));
        // Exactly then, or the first moment after a gap that holds it.
        prop_assert!(shown_ms == wanted_ms || before_ms < wanted_ms && wanted_ms < shown_ms);
    }

    #[test]
    fn a_schedule_has_no_gap_and_says_what_each_moment_says(
        turns in any_turns(),
        from_ms in 1_790_000_000_000..1_800_000_000_000_i64,
        hours in 1..500_i64,
        looked in 0.0..1.0_f64,
        covered in 0..300_i64,
    ) {
        let rotations = Rotations::from([("r".to_owned(), rotation(turns))]);
        let until_ms = from_ms + hours * HOUR_MS;
        let overrides = [
            over("1", "r", "U0", (from_ms + covered * HOUR_MS, from_ms + (covered + 30) * HOUR_MS)),
            over("2", "r", "U1", (from_ms + 7, from_ms + covered * HOUR_MS + 9)),
        ];
        let roster = Roster { rotations: &rotations, overrides: &overrides };

        let all = roster.schedule("r", from_ms, until_ms);

        prop_assert_eq!(all[0].from_ms, from_ms);
        prop_assert_eq!(all[all.len() - 1].until_ms, until_ms);
        for pair in all.windows(2) {
            prop_assert_eq!(pair[0].until_ms, pair[1].from_ms);
            prop_assert_ne!(&pair[0].duty.id, &pair[1].duty.id);
            prop_assert_eq!(roster.next_change_ms("r", pair[0].from_ms), Some(pair[1].from_ms));
        }
        #[expect(clippy::cast_possible_truncation, reason = "a part of some weeks")]
        let at_ms = from_ms + ((until_ms - from_ms) as f64 * looked) as i64;
        let then = all.iter().find(|one| (one.from_ms..one.until_ms).contains(&at_ms)).unwrap();
        prop_assert_eq!(&roster.duty("r", at_ms).unwrap().id, &then.duty.id);
    }
}
