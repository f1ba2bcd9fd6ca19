//! What is typed about who is on call: `who`, `swap`, `override`, and the moments in them.

use super::nothing_more;
use crate::core::contact::Day;
use crate::core::duration;
use crate::core::freeze::Moment;
use crate::core::id::UserId;
use crate::core::param::{ArgumentFault, TEXT_CHARS_MAX, cut, did_you_mean, narrow_word, user_id};
use crate::core::text::Text;
use crate::core::words::Words;

/// The longest time that can be typed: what is further away is nobody's business yet.
const AFTER_MS_MAX: u64 = 400 * 24 * 3_600_000;

/// A moment as it was typed, by the clocks of a rotation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// At once.
    Now,
    /// A whole day, from its first minute to the next day's.
    Day(Moment, Moment),
    /// A minute of a day.
    At(Moment),
    /// So long after the beginning.
    After(i64),
}

/// What is asked about who is on call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OnCall {
    /// Who is now, in every rotation.
    List,
    /// Who is, in one, when.
    Who {
        /// Which; `None`: every one.
        rotation: Option<String>,
        /// When; `None`: from now on.
        when: Option<When>,
    },
    /// The asker exchanges a shift with somebody.
    Swap {
        /// With whom.
        with: UserId,
        /// In which rotation; `None`: the first in which they can.
        rotation: Option<String>,
        /// Which shift of the asker's; `None`: the next.
        when: Option<When>,
        /// Why; may be empty.
        reason: String,
    },
    /// Somebody is on call in the place of whoever would be.
    Override {
        /// In which rotation.
        rotation: String,
        /// Who.
        user: UserId,
        /// From when.
        from: When,
        /// Until when.
        until: When,
        /// Why.
        reason: String,
    },
    /// What was overridden is no more.
    End {
        /// In which rotation.
        rotation: String,
        /// Of whom; `None`: of everybody.
        user: Option<UserId>,
    },
}

/// Reads the words after the verb.
///
/// # Errors
/// What lacks, or cannot be.
pub fn parse(words: &mut Words<'_>) -> Result<OnCall, ArgumentFault> {
    let Some(word) = words.take() else { return Ok(OnCall::List) };
    match narrow_word(&word.text).as_str() {
        "who" | "谁" => {
            let rotation = rotation_before_time(words);
            let when = moment(words)?;
            nothing_more(words)?;
            Ok(OnCall::Who { rotation, when })
        }
        "swap" | "交换" => {
            let with = person(words)?;
            let rotation = words.peek().and_then(|word| {
                let typed = narrow_word(&word.text);
                typed.strip_prefix("rotation=").map(str::to_owned)
            });
            if rotation.is_some() {
                words.take();
            }
            let when = moment(words)?;
            Ok(OnCall::Swap { with, rotation, when, reason: reason(words) })
        }
        "override" | "调整" => overriding(words),
        other => {
            let known = ["who", "swap", "override"];
            let meant = did_you_mean(other, known.into_iter());
            let meant = meant.map_or_else(|| known.join(", "), |meant| format!("`{meant}`"));
            let (name, value) = ("what".to_owned(), cut(&word.text));
            Err(ArgumentFault::Invalid { name, value, expected: Text::same(meant) })
        }
    }
}

fn overriding(words: &mut Words<'_>) -> Result<OnCall, ArgumentFault> {
    let missing = |name: &str| ArgumentFault::Missing { name: name.to_owned() };
    let first = words.take().ok_or_else(|| missing("rotation"))?;
    let rotation = narrow_word(&first.text);
    if matches!(rotation.as_str(), "end" | "结束") {
        let rotation = words.take().ok_or_else(|| missing("rotation"))?;
        let user = if words.is_empty() { None } else { Some(person(words)?) };
        nothing_more(words)?;
        return Ok(OnCall::End { rotation: narrow_word(&rotation.text), user });
    }
    let user = person(words)?;
    let from = moment(words)?.ok_or_else(|| time_wanted("from", words))?;
    if let When::After(_) = from {
        return Err(missing("from"));
    }
    let until = moment(words)?.ok_or_else(|| time_wanted("until", words))?;
    let reason = reason(words);
    if reason.is_empty() {
        return Err(missing("reason"));
    }
    Ok(OnCall::Override { rotation, user, from, until, reason })
}

/// The fault of a word that is no time.
fn time_wanted(name: &str, words: &Words<'_>) -> ArgumentFault {
    let name = name.to_owned();
    let Some(word) = words.peek() else { return ArgumentFault::Missing { name } };
    let expected = Text::new(
        "now、2026-12-01（整天）、2026-12-01 09:00，结束也可写 8h",
        "`now`, `2026-12-01` (the whole day), `2026-12-01 09:00`; an end also as `8h`",
    );
    ArgumentFault::Invalid { name, value: cut(&word.text), expected }
}

fn person(words: &mut Words<'_>) -> Result<UserId, ArgumentFault> {
    let Some(word) = words.take() else {
        return Err(ArgumentFault::Missing { name: "user".to_owned() });
    };
    user_id(&word.text).map(UserId::new).ok_or_else(|| {
        let (name, value) = ("user".to_owned(), cut(&word.text));
        let expected = Text::new("一个人，写作 @名字", "a person, written as @name");
        ArgumentFault::Invalid { name, value, expected }
    })
}

fn reason(words: &mut Words<'_>) -> String {
    let reason = words.take_rest().unwrap_or_default();
    reason.trim().chars().take(TEXT_CHARS_MAX).collect()
}

/// A rotation's name, unless a time comes first.
fn rotation_before_time(words: &mut Words<'_>) -> Option<String> {
    let word = words.peek()?;
    let typed = narrow_word(&word.text);
    if is_time(&typed) {
        return None;
    }
    words.take();
    Some(typed)
}

fn is_time(typed: &str) -> bool {
    typed == "now" || typed == "现在" || typed.starts_with(|one: char| one.is_ascii_digit())
}

/// A moment, where one is typed next: a day, a day and a minute, `now`, or how long.
fn moment(words: &mut Words<'_>) -> Result<Option<When>, ArgumentFault> {
    let Some(word) = words.peek() else { return Ok(None) };
    let typed = narrow_word(&word.text).replace('t', " ");
    if !is_time(&typed) {
        return Ok(None);
    }
    let when = if matches!(typed.as_str(), "now" | "现在") {
        Some(When::Now)
    } else if let Some(at) = Moment::parse(&typed) {
        Some(When::At(at))
    } else if Day::parse(&typed).is_some() {
        words.take();
        return Ok(Some(of_day(&typed, words)?));
    } else {
        let after_ms = duration::parse(&typed).filter(|ms| *ms <= AFTER_MS_MAX);
        after_ms.and_then(|ms| i64::try_from(ms).ok()).map(When::After)
    };
    match when {
        Some(when) => {
            words.take();
            Ok(Some(when))
        }
        None => Err(time_wanted("time", words)),
    }
}

/// A day, or the minute of it that is typed next.
fn of_day(day: &str, words: &mut Words<'_>) -> Result<When, ArgumentFault> {
    if let Some(word) = words.peek()
        && let Some(at) = Moment::parse(&format!("{day} {}", narrow_word(&word.text)))
    {
        words.take();
        return Ok(When::At(at));
    }
    let first = Moment::parse(&format!("{day} 00:00"));
    let whole = first.and_then(|first| Some(When::Day(first, first.a_day_later()?)));
    whole.ok_or_else(|| ArgumentFault::Invalid {
        name: "day".to_owned(),
        value: day.to_owned(),
        expected: Text::same("2026-12-01"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(typed: &str) -> Result<OnCall, ArgumentFault> {
        let mut words = Words::read(typed).unwrap();
        parse(&mut words)
    }

    fn at(text: &str) -> Moment {
        Moment::parse(text).unwrap()
    }

    #[test]
    fn what_is_typed_is_read_in_either_language() {
        let day = When::Day(at("2026-12-31 00:00"), at("2027-01-01 00:00"));
        let bob = UserId::new("U0BOB");
        let who = |rotation: Option<&str>, when| OnCall::Who {
            rotation: rotation.map(str::to_owned),
            when,
        };
        let cases = [
            ("", OnCall::List),
            ("who", who(None, None)),
            ("who primary", who(Some("primary"), None)),
            ("谁 2026-12-31", who(None, Some(day))),
            (
                "who primary 2026-12-31 09:00",
                who(Some("primary"), Some(When::At(at("2026-12-31 09:00")))),
            ),
            ("override end primary", OnCall::End { rotation: "primary".into(), user: None }),
            (
                "override end primary <@U0BOB>",
                OnCall::End { rotation: "primary".into(), user: Some(bob.clone()) },
            ),
            (
                "swap <@U0BOB|bob> rotation=night 2026-12-31 a wedding",
                OnCall::Swap {
                    with: bob.clone(),
                    rotation: Some("night".into()),
                    when: Some(day),
                    reason: "a wedding".into(),
                },
            ),
            (
                "override primary <@U0BOB> now 8h ann is ill",
                OnCall::Override {
                    rotation: "primary".into(),
                    user: bob.clone(),
                    from: When::Now,
                    until: When::After(8 * 3_600_000),
                    reason: "ann is ill".into(),
                },
            ),
            (
                "调整 primary <@U0BOB> 2026-12-30T18:00 “2026-12-31 09:00” 出差",
                OnCall::Override {
                    rotation: "primary".into(),
                    user: bob,
                    from: When::At(at("2026-12-30 18:00")),
                    until: When::At(at("2026-12-31 09:00")),
                    reason: "出差".into(),
                },
            ),
        ];
        for (typed, expected) in cases {
            assert_eq!(read(typed).as_ref(), Ok(&expected), "{typed}");
        }
    }

    #[test]
    fn what_lacks_or_cannot_be_is_said() {
        let cases = [
            ("whom", "what"),
            ("swap bob", "user"),
            ("swap", "user"),
            ("override", "rotation"),
            ("override primary", "user"),
            ("override primary <@U0BOB>", "from"),
            ("override primary <@U0BOB> tomorrow 8h ill", "from"),
            ("override primary <@U0BOB> 8h 8h ill", "from"),
            ("override primary <@U0BOB> now", "until"),
            ("override primary <@U0BOB> now 8h", "reason"),
            ("override primary <@U0BOB> now 2026-02-30 ill", "time"),
            ("who primary 25:00", "time"),
            ("who primary 106751991167d", "time"),
            ("override primary <@U0BOB> now 99999999d ill", "time"),
        ];
        for (typed, name) in cases {
            let fault = read(typed).unwrap_err();
            let words = format!("{fault:?}");
            assert!(words.contains(&format!("name: \"{name}\"")), "{typed}: {words}");
        }
        assert!(matches!(read("who primary 2026-12-31 x"), Err(ArgumentFault::Leftover { .. })));
    }

    proptest! {
        #[test]
        fn nothing_typed_makes_it_panic(typed in "(who|swap|override)? ?(end|primary)? ?(<@U0BOB>)? ?.{0,30}") {
            if let Some(mut words) = Words::read(&typed) {
                let _ = parse(&mut words);
            }
        }
    }
}
