//! The machine of a rule: every outcome in every state, gaps, and what speaks against a deed.

use super::*;
use proptest::prelude::*;
use std::fmt::Write as _;

fn rule() -> Rule {
    Rule {
        name: "error_rate".to_owned(),
        questions: Questions { value: "v".to_owned(), age: "a".to_owned(), volume: "n".to_owned() },
        threshold: Threshold::Ratio { millionths: 50_000 },
        clear: Threshold::Ratio { millionths: 30_000 },
        duration_ms: 60_000,
        clear_for_ms: 0,
        scrape_interval_ms: 15_000,
        min_samples: 10,
        level: Level::Critical,
        ways: BTreeSet::new(),
        summary: None,
        runbook: String::new(),
        owner: String::new(),
    }
}

/// After each outcome, from a standing, a tick apart.
fn walk(rule: &Rule, outcomes: &[Outcome]) -> Vec<(Standing, Vec<Change>)> {
    let mut standing = Standing::new();
    let ticks = (1_i64..).map(|count| count * rule.interval_ms());
    outcomes
        .iter()
        .zip(ticks)
        .map(|(outcome, tick_ms)| {
            let (next, changes) = standing.after(rule, *outcome, tick_ms);
            standing = next;
            (next, changes)
        })
        .collect()
}

fn letters(word: &str) -> Vec<Outcome> {
    let of = |letter| match letter {
        'b' => Outcome::Breach,
        'm' => Outcome::Between,
        'o' => Outcome::Ok,
        'n' => Outcome::NoData,
        'e' => Outcome::Error,
        other => panic!("{other}"),
    };
    word.chars().map(of).collect()
}

/// The state after each tick by its first letter, with a mark where something changed for others.
fn course(rule: &Rule, word: &str) -> String {
    let mut line = String::new();
    for (standing, changes) in walk(rule, &letters(word)) {
        let letter = match standing.state {
            State::Ok => 'o',
            State::Pending => 'p',
            State::Firing => 'F',
            State::Unknown if standing.is_firing() => 'U',
            State::Unknown => 'u',
        };
        line.push(letter);
        for change in changes {
            line.push(match change {
                Change::Fired => '!',
                Change::Ended { .. } => '.',
                Change::Unknown => '?',
                Change::Known => '=',
            });
        }
    }
    line
}

#[test]
fn ticks_are_multiples_of_a_sixth_of_the_duration() {
    let with = |duration_ms| Rule { duration_ms, ..rule() }.interval_ms();
    assert_eq!(
        [30, 60, 90, 120, 180, 300].map(|s| with(s * 1_000) / 1_000),
        [5, 10, 15, 15, 15, 15]
    );
    assert_eq!([1_000, 7_000, 61_000, 86_400_000].map(with), [1_000, 1_000, 10_000, 15_000]);
    assert_eq!(rule().tick_ms(1_795_489_205_999), 1_795_489_200_000);
    assert_eq!(rule().tick_ms(1_795_489_210_000), 1_795_489_210_000);
}

#[test]
fn every_outcome_in_every_state() {
    let rule = rule();
    let at_ms = 1_000_000;
    let pending = Standing { state: State::Pending, since_ms: at_ms, ..Standing::new() };
    let firing =
        Standing { state: State::Firing, since_ms: at_ms, fired_ms: at_ms, ..Standing::new() };
    let told = Standing {
        state: State::Unknown,
        since_ms: at_ms,
        frozen: 3,
        is_told: true,
        ..Standing::new()
    };
    let states = [
        ("ok", Standing::new()),
        ("ok, frozen twice", Standing { frozen: 2, ..Standing::new() }),
        ("pending for 10 s", pending),
        ("pending for 60 s", Standing { since_ms: at_ms - 50_000, ..pending }),
        ("pending, frozen twice", Standing { frozen: 2, ..pending }),
        ("firing", firing),
        ("firing, frozen twice", Standing { frozen: 2, ..firing }),
        ("unknown", told),
        ("unknown, fired before", Standing { fired_ms: at_ms - 90_000, ..told }),
        ("after a gap", pending.after_gap(at_ms)),
        ("after a gap, fired before", firing.after_gap(at_ms)),
    ];
    let mut table = String::new();
    for (name, standing) in states {
        for outcome in Outcome::ALL {
            let (next, changes) = standing.after(&rule, outcome, at_ms + 10_000);
            let fires = if next.is_firing() { " (its alert stands)" } else { "" };
            let changes = if changes.is_empty() { String::new() } else { format!(" {changes:?}") };
            let _ = writeln!(
                table,
                "{name} + {}: {}{fires}{changes}",
                outcome.as_str(),
                next.state.as_str()
            );
        }
    }
    insta::assert_snapshot!("every_outcome_in_every_state", table);
}

#[test]
fn a_breach_fires_at_the_first_tick_at_which_it_has_lasted() {
    assert_eq!(course(&rule(), "obbbbbbbb"), "oppppppF!F");
    assert_eq!(course(&rule(), "bbbbbbobbb"), "ppppppoppp");
    // What lies between in-order and breach is no breach.
    assert_eq!(course(&rule(), "bbbbbbmbbb"), "ppppppoppp");
    // 61 s at ticks of 10 s: the first at or after it.
    let odd = Rule { duration_ms: 61_000, ..rule() };
    assert_eq!(course(&odd, "bbbbbbbbb"), "pppppppF!F");
}

#[test]
fn what_tells_nothing_stops_the_clock_for_two_ticks_and_then_drops_what_was_pending() {
    assert_eq!(course(&rule(), "bbnnbbbbbb"), "ppppppppF!F");
    assert_eq!(course(&rule(), "bbnebnbbbb"), "pppppppppF!");
    assert_eq!(course(&rule(), "bbnnnbbbbbbb"), "ppppu?p=pppppF!");
}

#[test]
fn nothing_but_a_measure_in_order_ends_what_fires() {
    assert_eq!(course(&rule(), "bbbbbbbnnnnneeeemo"), "ppppppF!FFU?UUUUUUF=o.");
    assert_eq!(course(&rule(), "bbbbbbbmmmmmo"), "ppppppF!FFFFFo.");
    assert_eq!(course(&rule(), "bbbbbbbnnnnbnno"), "ppppppF!FFU?UF=FFo.");
}

#[test]
fn a_hold_wants_the_measure_in_order_for_its_whole_time() {
    let held = Rule { clear_for_ms: 20_000, ..rule() };
    assert_eq!(course(&held, "bbbbbbbooobo"), "ppppppF!FFo.po");
    assert_eq!(course(&held, "bbbbbbboomooo"), "ppppppF!FFFFFo.");
    // What tells nothing stops this clock too.
    assert_eq!(course(&held, "bbbbbbbonooo"), "ppppppF!FFFo.o");
}

#[test]
fn a_gap_drops_what_was_pending_keeps_what_fires_and_tells_nobody() {
    let rule = rule();
    let walked = walk(&rule, &letters("bbbb"));
    let pending = walked.last().unwrap().0.after_gap(1_000_000);
    assert_eq!((pending.state, pending.is_firing()), (State::Unknown, false));
    assert_eq!(pending.after(&rule, Outcome::Ok, 1_010_000).1, []);
    let (again, _) = pending.after(&rule, Outcome::Breach, 1_010_000);
    assert_eq!((again.state, again.since_ms), (State::Pending, 1_010_000));

    let walked = walk(&rule, &letters("bbbbbbb"));
    let firing = walked.last().unwrap().0.after_gap(1_000_000);
    assert!(firing.is_firing());
    let (ended, changes) = firing.after(&rule, Outcome::Ok, 1_010_000);
    assert_eq!(ended.state, State::Ok);
    assert_eq!(changes, [Change::Ended { fired_ms: 70_000 }]);
}

#[test]
fn a_reading_is_judged_by_what_it_can_prove() {
    let good = Reading {
        value: Answer::Number(0.06),
        age: Some(Answer::Number(29.9)),
        volume: Some(Answer::Number(10.0)),
        warning: None,
    };
    let judged = |reading: Reading| judge(&rule(), &reading);
    let value = |value: f64| judged(Reading { value: Answer::Number(value), ..good.clone() }).0;
    assert_eq!(value(0.050_000_1), Outcome::Breach);
    assert_eq!(value(0.05), Outcome::Between, "the threshold itself is no breach");
    assert_eq!(value(0.03), Outcome::Ok);
    assert_eq!(value(f64::INFINITY), Outcome::Breach);
    assert_eq!(value(f64::NEG_INFINITY), Outcome::Ok);

    let stale = |age_ms| Why::Stale { age_ms, fresh_ms: 30_000 };
    let failed = || Answer::Failed(Text::same("refused"));
    for (reading, outcome, why) in [
        (
            Reading { value: Answer::Number(f64::NAN), ..good.clone() },
            Outcome::NoData,
            Why::NotANumber,
        ),
        (Reading { value: Answer::Nothing, ..good.clone() }, Outcome::NoData, Why::Empty),
        (
            Reading { age: Some(Answer::Number(31.0)), ..good.clone() },
            Outcome::NoData,
            stale(31_000),
        ),
        (Reading { age: Some(Answer::Nothing), ..good.clone() }, Outcome::NoData, stale(0)),
        (
            Reading { age: Some(Answer::Number(f64::NAN)), ..good.clone() },
            Outcome::NoData,
            stale(0),
        ),
        (
            Reading { volume: Some(Answer::Number(9.9)), ..good.clone() },
            Outcome::NoData,
            Why::Few { found: 9, needed: 10 },
        ),
        (
            Reading { volume: Some(Answer::Nothing), ..good.clone() },
            Outcome::NoData,
            Why::Few { found: 0, needed: 10 },
        ),
        (
            Reading { warning: Some("partial".to_owned()), ..good.clone() },
            Outcome::NoData,
            Why::Warned("partial".to_owned()),
        ),
        (
            Reading { value: failed(), ..good.clone() },
            Outcome::Error,
            Why::Failed(Text::same("refused")),
        ),
        (
            Reading { age: Some(failed()), ..good.clone() },
            Outcome::Error,
            Why::Failed(Text::same("samples: refused")),
        ),
        (
            Reading { volume: Some(failed()), ..good.clone() },
            Outcome::Error,
            Why::Failed(Text::same("volume: refused")),
        ),
    ] {
        assert_eq!(judged(reading), (outcome, Some(why)));
    }
}

#[test]
fn an_automatic_deed_hears_of_everything_that_speaks_against_it() {
    let rule = rule();
    let walked = walk(&rule, &letters("bbbbbbb"));
    let firing = walked.last().unwrap().0;
    assert_eq!(firing.doubts(&rule, (70_000, Outcome::Breach), 75_000), []);

    let interrupted = walk(&rule, &letters("bbnbbbbb")).last().unwrap().0;
    assert_eq!(interrupted.state, State::Firing);
    let doubts = interrupted.doubts(&rule, (80_000, Outcome::Breach), 80_000);
    assert_eq!(doubts, [Doubt::Brief { lasted_ms: 40_000, duration_ms: 60_000 }]);

    let bare = Rule { questions: Questions::default(), ..rule.clone() };
    let pending = walked[3].0;
    let doubts = pending.doubts(&bare, (40_000, Outcome::Between), 61_000);
    let expected = [
        Doubt::NotFiring(State::Pending),
        Doubt::NotInBreach(Outcome::Between),
        Doubt::FreshnessUnasked,
        Doubt::VolumeUnasked,
        Doubt::Old { age_ms: 21_000 },
    ];
    assert_eq!(doubts, expected);
    for doubt in doubts {
        let words = doubt.words();
        assert!(!words.zh.is_empty() && !words.en.is_empty());
    }
    let cleared = firing.after(&rule, Outcome::Ok, 80_000).0;
    assert_eq!(cleared.doubts(&rule, (80_000, Outcome::Ok), 80_000).len(), 2);
}

#[test]
fn what_fires_is_proved_only_while_the_breach_of_now_has_lasted_its_whole_duration() {
    let rule = Rule { clear_for_ms: 20_000, ..rule() };
    let doubts = |(standing, at_ms): (Standing, i64)| {
        standing.doubts(&rule, (at_ms, Outcome::Breach), at_ms)
    };
    let after = |word: &str| {
        let walked = walk(&rule, &letters(word));
        (walked.last().unwrap().0, walked.len() as i64 * rule.interval_ms())
    };
    let brief = |lasted_ms| [Doubt::Brief { lasted_ms, duration_ms: 60_000 }];
    assert_eq!(doubts(after("bbbbbbb")), []);
    // Better in between, or not to be told: it fires all along.
    for better in ["o", "m", "n", "ee", "nnn", "eee"] {
        let word = format!("bbbbbbb{better}b");
        assert!(after(&word).0.is_firing());
        assert_eq!(doubts(after(&word)), brief(0), "{word}");
        assert_eq!(doubts(after(&format!("{word}bbbbb"))), brief(50_000), "{word}");
        assert_eq!(doubts(after(&format!("{word}bbbbbb"))), [], "{word}");
    }
    // Nobody looked for a while, or what it means is another now.
    let (gap, _) = after("bbbbbbb");
    let (mut standing, mut at_ms) = (gap.after_gap(7_200_000), 7_200_000);
    for ticks in 0..6 {
        standing = standing.after(&rule, Outcome::Breach, at_ms).0;
        assert_eq!(standing.state, State::Firing);
        assert_eq!(doubts((standing, at_ms)), brief(ticks * 10_000));
        at_ms += 10_000;
    }
    standing = standing.after(&rule, Outcome::Breach, at_ms).0;
    assert_eq!(doubts((standing, at_ms)), []);
    // What an earlier version wrote proves nothing.
    let mut old = serde_json::to_value(after("bbbbbbb").0).unwrap();
    old.as_object_mut().unwrap().remove("breach_ms");
    old["frozen_in_breach"] = serde_json::json!(0);
    let old: Standing = serde_json::from_value(old).unwrap();
    assert_eq!(doubts((old, 70_000)), brief(0));
    assert!(brief(0)[0].words().en.contains("it takes 1 min"), "{:?}", brief(0)[0].words());
}

#[test]
fn a_tick_of_another_time_proves_nothing_of_now() {
    let rule = rule();
    let firing = walk(&rule, &letters("bbbbbbb")).last().unwrap().0;
    let doubts = |now_ms| firing.doubts(&rule, (70_000, Outcome::Breach), now_ms);
    assert_eq!(doubts(90_000), []);
    assert_eq!(doubts(90_001), [Doubt::Old { age_ms: 20_001 }]);
    assert_eq!(doubts(50_000), []);
    assert_eq!(doubts(49_999), [Doubt::Old { age_ms: -20_001 }]);
    assert!(doubts(9_000)[0].words().en.contains("1 min ahead"));
}

#[test]
fn a_measure_is_shown_in_the_unit_of_its_threshold() {
    assert_eq!(rule().spell(0.072), "7.2% > 5%");
    assert_eq!(rule().spell(0.05), "5% ≤ 5%");
    assert_eq!(rule().spell(0.000_012), "0.0012% ≤ 5%");
    let time = Rule { threshold: Threshold::Time { percentile: 99, ms: 5_000 }, ..rule() };
    assert_eq!(time.spell(6.5), "6.5s > P99 5s");
    let number = Rule { threshold: Threshold::Number { millionths: -1_500_000 }, ..rule() };
    assert_eq!(number.spell(-1.25), "-1.25 > -1.5");
    assert_eq!(number.spell(f64::INFINITY), "∞ > -1.5");
}

#[test]
fn what_decides_is_in_the_digest_and_nothing_else() {
    let digest = rule().digest();
    assert_eq!(Rule { level: Level::Warning, owner: "team".to_owned(), ..rule() }.digest(), digest);
    for other in [
        Rule { threshold: Threshold::Ratio { millionths: 50_001 }, ..rule() },
        Rule { clear: Threshold::Ratio { millionths: 1 }, ..rule() },
        Rule { duration_ms: 61_000, ..rule() },
        Rule { clear_for_ms: 1, ..rule() },
        Rule { min_samples: 11, ..rule() },
        Rule { questions: Questions { value: "w".to_owned(), ..rule().questions }, ..rule() },
    ] {
        assert_ne!(other.digest(), digest);
    }
}

fn any_outcome() -> impl Strategy<Value = Outcome> {
    prop::sample::select(Outcome::ALL.to_vec())
}

proptest! {
    /// The same said another way: it fires where the last ticks were breaches, as many as it takes.
    #[test]
    fn without_gaps_it_fires_after_a_whole_duration_of_breaches(
        outcomes in prop::collection::vec(prop::sample::select(letters("bo")), 0..80),
        seconds in 1_i64..400,
    ) {
        let rule = Rule { duration_ms: seconds * 1_000, ..rule() };
        let needed = (rule.duration_ms as u64).div_ceil(rule.interval_ms() as u64);
        let mut breaches = 0;
        for ((standing, changes), outcome) in walk(&rule, &outcomes).into_iter().zip(outcomes) {
            breaches = if outcome == Outcome::Breach { breaches + 1 } else { 0 };
            let expected = match breaches {
                0 => State::Ok,
                count if count > needed => State::Firing,
                _ => State::Pending,
            };
            prop_assert_eq!(standing.state, expected);
            prop_assert_eq!(changes.contains(&Change::Fired), breaches == needed + 1);
        }
    }

    #[test]
    fn whatever_comes_nothing_is_said_twice_and_nothing_ends_by_absence(
        outcomes in prop::collection::vec(any_outcome(), 0..120),
        clear_for_s in 0_i64..60,
    ) {
        let rule = Rule { clear_for_ms: clear_for_s * 1_000, ..rule() };
        let (mut is_firing, mut is_unknown) = (false, false);
        let (mut breaches, mut frozen) = (0_u32, 0_u32);
        for ((standing, changes), outcome) in walk(&rule, &outcomes).into_iter().zip(&outcomes) {
            match outcome {
                Outcome::Breach => (breaches, frozen) = (breaches + 1, 0),
                Outcome::NoData | Outcome::Error => frozen += 1,
                _ => (breaches, frozen) = (0, 0),
            }
            if frozen > FROZEN_TICKS_MAX {
                breaches = 0;
            }
            for change in changes {
                match change {
                    Change::Fired => {
                        prop_assert!(!is_firing && breaches >= 7, "{breaches}");
                        is_firing = true;
                    }
                    Change::Ended { .. } => {
                        prop_assert!(is_firing);
                        prop_assert_eq!(*outcome, Outcome::Ok);
                        is_firing = false;
                    }
                    Change::Unknown => {
                        prop_assert!(!is_unknown);
                        is_unknown = true;
                    }
                    Change::Known => {
                        prop_assert!(is_unknown);
                        is_unknown = false;
                    }
                }
            }
            prop_assert_eq!(standing.is_firing(), is_firing);
            prop_assert_eq!(standing.state == State::Unknown, frozen > FROZEN_TICKS_MAX);
            prop_assert_eq!(standing.state == State::Unknown, is_unknown);
            let stored = serde_json::to_string(&standing).unwrap();
            prop_assert_eq!(serde_json::from_str::<Standing>(&stored).unwrap(), standing);
        }
    }

    /// A deed is never done on less: however the ticks came, and whatever was missed or written anew in between.
    #[test]
    fn nothing_but_breaches_for_the_whole_duration_leaves_no_doubt(
        ticks in prop::collection::vec((any_outcome(), 0_u32..20), 0..120),
        clear_for_s in 0_i64..60,
    ) {
        let rule = Rule { clear_for_ms: clear_for_s * 1_000, ..rule() };
        let mut standing = Standing::new();
        let mut breaches = 0;
        for ((outcome, luck), count) in ticks.into_iter().zip(1_i64..) {
            let at_ms = count * rule.interval_ms();
            if luck == 0 {
                standing = standing.after_gap(at_ms);
                breaches = 0;
            }
            standing = standing.after(&rule, outcome, at_ms).0;
            breaches = if outcome == Outcome::Breach { breaches + 1 } else { 0 };
            let is_proved = standing.doubts(&rule, (at_ms, outcome), at_ms).is_empty();
            prop_assert!(!is_proved || (standing.is_firing() && breaches >= 7), "{breaches}");
        }
    }

    #[test]
    fn no_reading_is_judged_without_its_proofs(
        value: f64, age: f64, volume: f64,
    ) {
        let reading = Reading {
            value: Answer::Number(value),
            age: Some(Answer::Number(age)),
            volume: Some(Answer::Number(volume)),
            warning: None,
        };
        let (outcome, why) = judge(&rule(), &reading);
        let is_proved = !value.is_nan() && age <= 30.0 && volume >= 10.0;
        prop_assert_eq!(outcome.is_known(), is_proved);
        prop_assert_eq!(why.is_none(), is_proved);
        prop_assert_eq!(outcome == Outcome::Breach, is_proved && value > 0.05);
        if let Some(why) = why {
            prop_assert!(!why.words().en.is_empty());
        }
        prop_assert!(!rule().spell(value).is_empty());
    }
}
