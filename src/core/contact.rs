//! Emergency contacts: whom people call when the runbook does not help any more, in the order of calling,
//! and when somebody last looked whether the list is still right.

use super::text::Text;
use chrono::{DateTime, Duration, NaiveDate};
use std::fmt;

/// A card holds so many, one block each, with its title and what it says of the list itself.
pub const PEOPLE_MAX: usize = 40;
/// The manual's 文档审查: once a quarter; none is longer.
pub const REVIEW_DAYS: i64 = 92;

/// Whom to call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contacts {
    /// The role that may read it.
    pub role: String,
    /// When somebody last looked whether all of it is right.
    pub reviewed: Day,
    /// In the order of calling; at least one.
    pub people: Vec<Contact>,
}

/// Somebody, or a group, to be reached by at least one of Slack, telephone and e-mail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contact {
    /// Who.
    pub name: Text,
    /// What they are there for.
    pub duty: Text,
    /// When they are called rather than the one before; `None`: in that order.
    pub when: Option<Text>,
    /// When they can be reached.
    pub hours: Option<Text>,
    /// A Slack user (`U…`, `W…`) or user group (`S…`).
    pub slack: Option<String>,
    /// `+86 10 5550 0100`: international, digits in groups.
    pub phone: Option<String>,
    /// `oncall@example.com`.
    pub email: Option<String>,
}

/// How long ago a list was looked through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Review {
    /// Within a quarter.
    Fresh,
    /// So many days ago, which is more.
    Old(i64),
    /// The day that it names has not come anywhere on earth.
    ToCome,
}

impl Contacts {
    /// How long ago it was looked through.
    pub fn review(&self, now_ms: i64) -> Review {
        let today = DateTime::from_timestamp_millis(now_ms).unwrap_or_default().date_naive();
        let days = (today - self.reviewed.0).num_days();
        // Somewhere it is tomorrow already.
        if days < -1 {
            return Review::ToCome;
        }
        if days > REVIEW_DAYS { Review::Old(days) } else { Review::Fresh }
    }
}

/// A day of the calendar, from the year 2000 to 2099.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Day(NaiveDate);

impl Day {
    /// Reads `2026-11-01`.
    pub fn parse(text: &str) -> Option<Self> {
        let is_spelt = text.len() == 10 && text.starts_with("20");
        let day = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?;
        is_spelt.then_some(Self(day))
    }

    /// The day by which it must be looked through again.
    #[must_use]
    pub fn next_review(self) -> Self {
        Self(self.0 + Duration::days(REVIEW_DAYS))
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.format("%Y-%m-%d"))
    }
}

/// Whether a text is a telephone number that can be called from any country: `+`, then 7 to 15 digits (E.164),
/// with single blanks or hyphens between groups.
pub fn is_phone(text: &str) -> bool {
    let Some(rest) = text.strip_prefix('+') else { return false };
    let digits = rest.chars().filter(char::is_ascii_digit).count();
    let groups = || rest.split([' ', '-']);
    (7..=15).contains(&digits)
        && !rest.starts_with('0')
        && groups().all(|group| !group.is_empty() && group.chars().all(|one| one.is_ascii_digit()))
}

/// Whether a text is an e-mail address as people have them: the letters of RFC 5322's dot-atom, and a host
/// with at least two labels.
pub fn is_email(text: &str) -> bool {
    let Some((user, host)) = text.rsplit_once('@') else { return false };
    let is_letter = |one: char| one.is_ascii_alphanumeric() || "_+-".contains(one);
    let is_atom = |part: &str| !part.is_empty() && part.chars().all(is_letter);
    let is_label = |part: &str| {
        let letters = part.chars().all(|one| one.is_ascii_alphanumeric() || one == '-');
        !part.is_empty() && letters && !part.starts_with('-') && !part.ends_with('-')
    };
    text.len() <= 254
        && user.split('.').all(is_atom)
        && host.contains('.')
        && host.split('.').all(is_label)
}

/// The number without what only helps the eye: what a telephone is given.
pub fn dialled(phone: &str) -> String {
    phone.chars().filter(|one| one.is_ascii_digit() || *one == '+').collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// 2026-11-24 03:00:00 UTC.
    const NIGHT_MS: i64 = 1_795_489_200_000;

    fn reviewed(day: &str) -> Contacts {
        let reviewed = Day::parse(day).unwrap();
        Contacts { role: "operator".into(), reviewed, people: Vec::new() }
    }

    #[test]
    fn a_list_is_old_after_a_quarter_and_cannot_be_from_the_future() {
        let review = |day| reviewed(day).review(NIGHT_MS);

        assert_eq!(review("2026-11-24"), Review::Fresh);
        assert_eq!(review("2026-11-25"), Review::Fresh);
        assert_eq!(review("2026-11-26"), Review::ToCome);
        assert_eq!(review("2026-08-24"), Review::Fresh);
        assert_eq!(review("2026-08-23"), Review::Old(93));
        assert_eq!(Day::parse("2026-08-24").unwrap().next_review().to_string(), "2026-11-24");
    }

    #[test]
    fn only_a_day_of_the_calendar_is_a_day() {
        for wrong in
            ["2026-02-30", "2026-1-1", "1999-12-31", "20260101", "today", "", "2026-11-01 "]
        {
            assert_eq!(Day::parse(wrong), None, "{wrong:?}");
        }
        assert_eq!(Day::parse("2026-11-01").unwrap().to_string(), "2026-11-01");
    }

    #[test]
    fn numbers_and_addresses_are_told_from_what_cannot_be_called_or_written_to() {
        for right in ["+861055500100", "+86 10 5550 0100", "+1-202-555-0100", "+4930123456"] {
            assert!(is_phone(right), "{right}");
        }
        for wrong in [
            "110",
            "86 10 5550 0100",
            "+0 10 5550 0100",
            "+86  10 5550 0100",
            "+86 10 5550 0100 ",
            "+86 10 CALL",
            "+123456",
            "+1234567890123456",
            "+",
            "＋861055500100",
        ] {
            assert!(!is_phone(wrong), "{wrong}");
        }
        for right in ["oncall@example.com", "a.b+c@x-y.example.org"] {
            assert!(is_email(right), "{right}");
        }
        for wrong in [
            "oncall",
            "oncall@localhost",
            "@example.com",
            "a@b@",
            "a b@example.com",
            "a@example..com",
            "a@-x.com",
            ".a@example.com",
            "<a@example.com>",
            "a?b=c@x.com",
        ] {
            assert!(!is_email(wrong), "{wrong}");
        }
        assert_eq!(dialled("+86 10-5550 0100"), "+861055500100");
    }

    proptest! {
        #[test]
        fn no_text_is_too_strange_to_be_looked_at(text in ".{0,40}") {
            if let Some(day) = Day::parse(&text) {
                prop_assert_eq!(day.to_string(), text.clone());
            }
            if is_phone(&text) {
                prop_assert!(is_phone(&dialled(&text)));
            }
            prop_assert!(!is_email(&text) || text.is_ascii());
        }
    }
}
