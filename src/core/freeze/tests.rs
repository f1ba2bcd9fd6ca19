//! Windows against a naive oracle, minute by minute, around changes of the clocks.

use super::*;
use crate::core::decision::{Refused, Standing, Verdict, Vote, rule};
use crate::core::id::UserId;
use crate::core::plan::PlannedApproval;
use crate::core::plan::tests::sample;
use crate::core::run::State;
use chrono::{Datelike as _, NaiveDate, Timelike as _};
use proptest::prelude::*;

fn freeze(times: Times, zone: &str) -> PlannedFreeze {
    PlannedFreeze {
        name: "window".into(),
        summary: Text::same("Window"),
        times,
        zone: Zone::parse(zone).unwrap(),
        then: Then::Wait,
        overridable_by: None,
    }
}

fn weekly(windows: &[&str], zone: &str) -> PlannedFreeze {
    freeze(Times::Weekly(windows.iter().map(|one| one.parse().unwrap()).collect()), zone)
}

fn once(from: &str, until: &str, zone: &str) -> PlannedFreeze {
    let moment = |text| Moment::parse(text).unwrap();
    freeze(Times::Once { from: moment(from), until: moment(until) }, zone)
}

/// `2026-03-29 01:30` of UTC.
fn utc(text: &str) -> i64 {
    let at = NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M").unwrap();
    at.and_utc().timestamp_millis()
}

fn shown(at_ms: Option<i64>) -> String {
    at_ms.map_or("never".into(), |at_ms| {
        DateTime::from_timestamp_millis(at_ms).unwrap().format("%a %Y-%m-%d %H:%M:%S").to_string()
    })
}

fn end_of(freezes: &[PlannedFreeze], at: &str) -> String {
    shown(all_end_ms(freezes, utc(at)))
}

/// Whether wall clocks that show this are within a window, by its words alone.
fn oracle(window: &Weekly, local: NaiveDateTime) -> bool {
    let today = local.weekday().num_days_from_monday() as u8;
    let minute = (local.hour() * 60 + local.minute()) as u16;
    match *window {
        Weekly::Daily { days: (first, last), from, until } => {
            let named = |day: u8| {
                if first <= last {
                    (first..=last).contains(&day)
                } else {
                    day >= first || day <= last
                }
            };
            let yesterday = (today + 6) % 7;
            if from < until {
                named(today) && minute >= from && minute < until
            } else {
                (named(today) && minute >= from) || (named(yesterday) && minute < until)
            }
        }
        Weekly::Stretch { from, until } => {
            let now = (today, minute);
            let (after, before) = (now >= from, now < until);
            if from < until { after && before } else { after || before }
        }
    }
}

/// A zone, and a day near which its clocks are changed or, in Shanghai, are not.
const CHANGES: [(&str, (i32, u32, u32)); 9] = [
    ("Europe/Berlin", (2026, 3, 29)),
    ("Europe/Berlin", (2026, 10, 25)),
    ("America/New_York", (2026, 3, 8)),
    ("America/New_York", (2026, 11, 1)),
    ("Australia/Lord_Howe", (2026, 4, 5)),
    ("Australia/Lord_Howe", (2026, 10, 4)),
    ("America/St_Johns", (2026, 3, 8)),
    ("Asia/Shanghai", (2026, 3, 29)),
    ("UTC", (2026, 10, 25)),
];

fn local(zone: &str, at_ms: i64) -> NaiveDateTime {
    let zone: Tz = zone.parse().unwrap();
    DateTime::from_timestamp_millis(at_ms).unwrap().with_timezone(&zone).naive_local()
}

fn any_window() -> impl Strategy<Value = Weekly> {
    let minute = || 0..1_440_u16;
    // Half of the edges are in the hours in which clocks are changed.
    let minute = move || prop_oneof![minute(), 0..240_u16];
    let day = || prop_oneof![0..7_u8, Just(6_u8)];
    prop_oneof![
        (day(), day(), minute(), prop_oneof![minute(), Just(1_440)])
            .prop_filter("not empty", |(_, _, from, until)| from != until)
            .prop_map(|(first, last, from, until)| Weekly::Daily {
                days: (first, last),
                from,
                until
            }),
        (day(), day(), minute(), minute())
            .prop_filter("not empty", |(first, last, from, until)| (first, from) != (last, until))
            .prop_map(|(first, last, from, until)| Weekly::Stretch {
                from: (first, from),
                until: (last, until)
            }),
    ]
}

fn any_moment((year, month, day): (i32, u32, u32)) -> impl Strategy<Value = Moment> {
    let midnight = NaiveDate::from_ymd_opt(year, month, day).unwrap().and_hms_opt(0, 0, 0).unwrap();
    let midnight = midnight.and_utc().timestamp() / 60;
    prop_oneof![-4_000..4_000_i64, 0..240_i64].prop_map(move |minutes| Moment(midnight + minutes))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// Three days before the change to three days after it, each minute, against the words of the windows.
    #[test]
    fn a_weekly_window_holds_when_the_clocks_show_it(
        (zone, (year, month, day)) in prop::sample::select(&CHANGES[..]),
        windows in prop::collection::vec(any_window(), 1..4),
    ) {
        let frozen = freeze(Times::Weekly(windows.clone()), zone);
        let midnight = NaiveDate::from_ymd_opt(year, month, day).unwrap().and_hms_opt(0, 0, 0).unwrap();
        let from_ms = midnight.and_utc().timestamp_millis() - 3 * 86_400_000;
        for minute in 0..6 * DAY_MINUTES {
            let at_ms = from_ms + minute * MINUTE_MS;
            let local = local(zone, at_ms);
            let expected = windows.iter().any(|window| oracle(window, local));
            prop_assert_eq!(frozen.holds(at_ms), expected, "{} at {}", zone, local);
        }
    }

    /// The end and the next beginning are the first minutes that the oracle finds, of several freezes and
    /// zones at once.
    #[test]
    fn the_end_is_the_first_minute_at_which_none_holds(
        (zone, change) in prop::sample::select(&CHANGES[..]),
        other in prop::sample::select(&CHANGES[..]),
        windows in prop::collection::vec(any_window(), 1..3),
        more in any_window(),
        (from, until) in prop::sample::select(&CHANGES[..]).prop_flat_map(|(_, at)| (any_moment(at), any_moment(at))),
        minute in -2_880..2_880_i64,
        millis in 0..MINUTE_MS,
    ) {
        let (year, month, day) = change;
        let freezes = [
            freeze(Times::Weekly(windows), zone),
            freeze(Times::Weekly(vec![more]), other.0),
            freeze(Times::Once { from: from.min(until), until: from.max(until) }, zone),
        ];
        let midnight = NaiveDate::from_ymd_opt(year, month, day).unwrap().and_hms_opt(0, 0, 0).unwrap();
        let at_ms = midnight.and_utc().timestamp_millis() + minute * MINUTE_MS + millis;
        let whole_ms = at_ms - at_ms.rem_euclid(MINUTE_MS);
        // Whatever is later than two weeks and a day is not looked for by hand.
        let minutes = (0..15 * DAY_MINUTES).map(|minute| whole_ms + minute * MINUTE_MS);
        let first = |wanted: bool, holds: &dyn Fn(i64) -> bool| {
            minutes.clone().find(|at_ms| holds(*at_ms) == wanted).map(|found| found.max(at_ms))
        };

        let free = first(false, &|at_ms| !in_force(&freezes, at_ms).is_empty());
        let horizon_ms = whole_ms + 15 * DAY_MINUTES * MINUTE_MS;
        let near = |found: Option<i64>| found.filter(|found| *found < horizon_ms);
        let found = near(all_end_ms(&freezes, at_ms));
        prop_assert_eq!(shown(found), shown(free));
        let begun = first(true, &|at_ms| freezes[0].holds(at_ms));
        prop_assert_eq!(shown(near(begins_ms(&freezes[0], at_ms))), shown(begun));
    }

    /// When an approval expires is a moment, not a time of the day: it lasts as long on either side of a change.
    #[test]
    fn an_approval_expires_after_the_same_time_whatever_the_clocks_do(
        (_, (year, month, day)) in prop::sample::select(&CHANGES[..]),
        minute in -1_440..1_440_i64,
        expires_ms in 1_000..604_800_000_u64,
    ) {
        let midnight = NaiveDate::from_ymd_opt(year, month, day).unwrap().and_hms_opt(0, 0, 0).unwrap();
        let asked_ms = midnight.and_utc().timestamp_millis() + minute * MINUTE_MS;
        let (mut plan, asker) = (sample(), UserId::new("U1"));
        plan.approval = Some(PlannedApproval {
            from: vec!["lead".into()], call: vec![], count: 1, allows_self: false, expires_ms, reuse_ms: None,
        });
        plan.freezes = vec![weekly(&["mon-sun 01:00-04:00"], "Europe/Berlin")];
        let until_ms = crate::core::gate::expires_ms(&plan, asked_ms);
        prop_assert_eq!(until_ms - asked_ms, expires_ms as i64);
        let by = UserId::new("U2");
        let at = |now_ms| {
            let roles = ["lead".to_owned()];
            let vote = Vote { by: &by, roles: &roles, on_behalf: None, verdict: Verdict::Approved, digest: None, now_ms };
            let decisions = [];
            let standing = Standing {
                plan: &plan, state: State::Waiting, asker: &asker, decisions: &decisions, expires_ms: until_ms,
            };
            rule(&standing, &vote)
        };
        prop_assert!(at(until_ms - 1).is_ok());
        prop_assert_eq!(at(until_ms), Err(Refused::Expired));
    }

    #[test]
    fn a_window_reads_back_as_it_is_written(window in any_window()) {
        prop_assert_eq!(window.to_string().parse(), Ok(window));
        let json = serde_json::to_string(&window).unwrap();
        prop_assert_eq!(serde_json::from_str::<Weekly>(&json).unwrap(), window);
    }

    #[test]
    fn no_words_make_reading_a_window_panic(text: String) {
        _ = text.parse::<Weekly>();
        _ = Moment::parse(&text);
        _ = Zone::parse(&text);
    }

    /// However an approval stands, whoever must take part in an override does: nothing is reached without
    /// somebody of that role.
    #[test]
    fn no_quorum_of_an_override_is_reached_without_its_role(
        from in prop::collection::hash_set("[abc]", 0..4),
        count in 1..4_u32,
        held in prop::collection::vec(prop::collection::hash_set("[abc]", 0..4), 0..5),
    ) {
        let from: Vec<String> = from.into_iter().collect();
        let held: Vec<Vec<String>> = held.into_iter().map(|roles| roles.into_iter().collect()).collect();
        let count = if from.is_empty() { 0 } else { count };
        if let Some((from, count)) = with_role(&from, count, "lead") {
            prop_assert!(crate::core::quorum::reached(&from, &held) < count);
            // With a lead more than are needed of the others, it can be.
            let mut more = held.clone();
            more.push(vec!["lead".to_owned()]);
            let with = crate::core::quorum::reached(&from, &more);
            prop_assert_eq!(with, crate::core::quorum::reached(&from, &held) + 1);
        }
    }
}

#[test]
fn windows_are_read_as_people_write_them() {
    for (text, shown) in [
        ("mon-fri 09:15-15:00", "mon-fri 09:15-15:00"),
        ("Mon – Fri 9:15 – 15:00", "mon-fri 09:15-15:00"),
        ("sat 00:00-24:00", "sat 00:00-24:00"),
        ("fri 18:00 - mon 08:00", "fri 18:00 - mon 08:00"),
        ("fri 18:00-mon 08:00", "fri 18:00 - mon 08:00"),
        ("sat-mon 22:00-06:00", "sat-mon 22:00-06:00"),
    ] {
        assert_eq!(text.parse::<Weekly>().unwrap().to_string(), shown, "{text}");
    }
    let weekly = Times::Weekly(vec!["mon-fri 09:15-15:00".parse().unwrap()]);
    assert_eq!(weekly.shown(Lang::Zh), "周一至周五 09:15-15:00");
    for (text, fault) in [
        ("weekdays 09:15-15:00", NotWeekly::Day("weekdays".into())),
        ("mon 09:15-25:00", NotWeekly::Time("25:00".into())),
        ("mon 24:00-09:00", NotWeekly::Time("24:00".into())),
        ("mon +9:00-10:00", NotWeekly::Time("+9:00".into())),
        ("mon 9-10:00", NotWeekly::Time("9".into())),
        ("mon 09:00-09:00", NotWeekly::Empty),
        ("mon 09:00 - mon 09:00", NotWeekly::Empty),
        ("mon", NotWeekly::Form),
        ("", NotWeekly::Form),
        ("mon 09:00 10:00", NotWeekly::Form),
    ] {
        assert_eq!(text.parse::<Weekly>(), Err(fault), "{text}");
    }
}

#[test]
fn freezes_that_touch_or_overlap_are_one_stretch() {
    let freezes = [
        weekly(&["mon-fri 09:00-12:00", "mon-fri 12:00-13:00"], "Asia/Shanghai"),
        weekly(&["tue 12:30-20:00"], "Asia/Shanghai"),
        once("2026-11-24 20:00", "2026-11-25 00:30", "Asia/Shanghai"),
    ];
    assert_eq!(end_of(&freezes, "2026-11-24 03:00"), "Tue 2026-11-24 16:30:00");
    assert_eq!(end_of(&freezes, "2026-11-25 03:00"), "Wed 2026-11-25 05:00:00");
    assert_eq!(end_of(&freezes, "2026-11-25 06:00"), "Wed 2026-11-25 06:00:00", "none is in force");
    let weekend = weekly(&["fri 18:00 - mon 08:00"], "Asia/Shanghai");
    assert_eq!(end_of(&[weekend], "2026-11-27 11:00"), "Mon 2026-11-30 00:00:00");
}

#[test]
fn an_edge_in_the_gap_is_the_first_moment_after_it_and_both_passes_of_an_hour_count() {
    // In Berlin the clocks go from 02:00 to 03:00 at 01:00 UTC on 29 March 2026.
    let ends_in_gap = weekly(&["sun 01:00-02:30"], "Europe/Berlin");
    assert_eq!(end_of(&[ends_in_gap], "2026-03-29 00:30"), "Sun 2026-03-29 01:00:00");
    let begins_in_gap = weekly(&["sun 02:30-04:00"], "Europe/Berlin");
    assert_eq!(
        shown(begins_ms(&begins_in_gap, utc("2026-03-29 00:00"))),
        "Sun 2026-03-29 01:00:00"
    );
    assert_eq!(end_of(&[begins_in_gap], "2026-03-29 01:30"), "Sun 2026-03-29 02:00:00");
    let within_gap = weekly(&["sun 02:10-02:50"], "Europe/Berlin");
    assert_eq!(shown(begins_ms(&within_gap, utc("2026-03-29 00:00"))), "Sun 2026-04-05 00:10:00");

    // And from 03:00 to 02:00 at 01:00 UTC on 25 October 2026.
    let twice = weekly(&["sun 02:15-02:45"], "Europe/Berlin");
    let end = |at| end_of(std::slice::from_ref(&twice), at);
    assert_eq!(end("2026-10-25 00:20"), "Sun 2026-10-25 00:45:00");
    assert_eq!(shown(begins_ms(&twice, utc("2026-10-25 00:50"))), "Sun 2026-10-25 01:15:00");
    assert_eq!(end("2026-10-25 01:20"), "Sun 2026-10-25 01:45:00");
    let through = weekly(&["sun 01:00-03:00"], "Europe/Berlin");
    assert_eq!(end_of(&[through], "2026-10-25 00:00"), "Sun 2026-10-25 02:00:00", "three hours");
    // The clocks of Lord Howe go back by half an hour, at 15:00 UTC.
    let half = weekly(&["sun 01:00-01:45"], "Australia/Lord_Howe");
    assert_eq!(end_of(std::slice::from_ref(&half), "2026-04-04 14:10"), "Sat 2026-04-04 14:45:00");
    assert_eq!(shown(begins_ms(&half, utc("2026-04-04 14:50"))), "Sat 2026-04-04 15:00:00");
}

#[test]
fn what_never_ends_is_said_to_be_so() {
    let always = weekly(&["mon-sun 00:00-24:00"], "Asia/Shanghai");
    assert!(always.times.is_endless());
    assert_eq!(end_of(&[always], "2026-11-24 03:00"), "never");
    let halves = weekly(&["mon-sun 06:00-18:00", "mon-sun 18:00-06:00"], "Asia/Shanghai");
    assert!(halves.times.is_endless());
    let almost = weekly(&["mon 00:01 - mon 00:00"], "Asia/Shanghai");
    assert!(!almost.times.is_endless());
    assert_eq!(end_of(&[almost], "2026-11-24 03:00"), "Sun 2026-11-29 16:00:00");
    assert!(!once("2026-01-01 00:00", "2026-12-31 00:00", "UTC").times.is_endless());
}

#[test]
fn windows_that_share_a_minute_overlap() {
    let read = |text: &str| text.parse::<Weekly>().unwrap();
    for (one, other, expected) in [
        ("mon-fri 09:00-12:00", "fri 11:59-13:00", true),
        ("mon-fri 09:00-12:00", "mon-fri 12:00-13:00", false),
        ("fri 18:00 - mon 08:00", "mon 07:00-09:00", true),
        ("sun 22:00-06:00", "mon 05:00-07:00", true),
        ("sun 22:00-06:00", "mon 06:00-07:00", false),
        ("tue 10:00-11:00", "mon 00:00 - sun 00:00", true),
    ] {
        assert_eq!(read(one).overlaps(&read(other)), expected, "{one}, {other}");
        assert_eq!(read(other).overlaps(&read(one)), expected, "{other}, {one}");
    }
}

#[test]
fn a_role_takes_part_in_an_approval_or_it_cannot() {
    let with = |from: &[&str], count| {
        let from: Vec<String> = from.iter().map(ToString::to_string).collect();
        with_role(&from, count, "lead").map(|(from, count)| (from.join("+"), count))
    };
    assert_eq!(with(&[], 0), Some(("lead".into(), 1)));
    assert_eq!(with(&["lead"], 2), Some(("lead".into(), 2)));
    assert_eq!(with(&["dba"], 1), Some(("dba+lead".into(), 2)));
    assert_eq!(with(&["dba", "security"], 2), Some(("dba+security+lead".into(), 3)));
    assert_eq!(with(&["dba", "lead"], 2), Some(("dba+lead".into(), 2)));
    assert_eq!(with(&["dba"], 2), None, "two of them");
    assert_eq!(with(&["dba", "lead"], 1), None, "without a lead");
}

#[test]
fn a_freeze_survives_the_store() {
    let freeze = weekly(&["mon-fri 09:15-15:00"], "Asia/Shanghai");
    let json = serde_json::to_string(&freeze).unwrap();
    assert!(
        json.contains(r#""times":{"weekly":["mon-fri 09:15-15:00"]},"zone":"Asia/Shanghai""#),
        "{json}"
    );
    assert_eq!(serde_json::from_str::<PlannedFreeze>(&json).unwrap(), freeze);
    let once = once("2026-12-30 18:00", "2027-01-04 08:00", "Europe/Berlin");
    let json = serde_json::to_string(&once).unwrap();
    assert!(
        json.contains(r#"{"once":{"from":"2026-12-30 18:00","until":"2027-01-04 08:00"}}"#),
        "{json}"
    );
    assert_eq!(serde_json::from_str::<PlannedFreeze>(&json).unwrap(), once);
    for wrong in ["\"mon\"", "\"mon 09:00-09:00\""] {
        assert!(serde_json::from_str::<Weekly>(wrong).is_err());
    }
}
