//! What is to be done after an incident: by whom, until which day. Pure: asks no clock.
//!
//! Days are those of China, where the manual's team works; whoever has one to do is reminded at nine in the
//! morning there, once a day, from the day on which it is due.

use super::card::{Card, Part, Span, Tone, prose, text};
use super::contact::Day;
use super::freeze::{Moment, Zone};
use super::id::{AlertId, FollowUpId, UserId};
use super::text::Lang;

/// Whose days and hours they are.
const ZONE: &str = "Asia/Shanghai";
/// When people are reminded.
const REMINDED_AT: &str = "09:00";
const HOUR_MS: i64 = 3_600_000;
/// Characters of what is to be done.
pub const WORDS_CHARS_MAX: usize = 500;

/// Something to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FollowUp {
    /// Its id.
    pub id: FollowUpId,
    /// After which alert.
    pub alert: AlertId,
    /// What.
    pub words: String,
    /// Who does it.
    pub owner: UserId,
    /// The last day for it.
    pub due: Day,
    /// Who wrote it down.
    pub made_by: UserId,
    /// When.
    pub created_ms: i64,
    /// Who did it, and when; `None`: nobody yet.
    pub done: Option<(UserId, i64)>,
}

fn zone() -> Zone {
    Zone::parse(ZONE).unwrap_or(Zone::UTC)
}

/// A time of a day; days that there are have every time in a zone without summer time.
fn at_ms(day: &str, time: &str) -> i64 {
    Moment::parse(&format!("{day} {time}")).map_or(0, |moment| moment.at_ms(zone()))
}

/// When its owner is reminded first: on the morning of its day, or on the next morning.
pub fn first_reminder_ms(due: Day, now_ms: i64) -> i64 {
    let due_ms = at_ms(&due.to_string(), REMINDED_AT);
    if due_ms > now_ms { due_ms } else { next_reminder_ms(now_ms) }
}

/// The next morning after a moment.
pub fn next_reminder_ms(now_ms: i64) -> i64 {
    let shown = zone().shown(now_ms).to_string();
    let today = shown.split(' ').next().unwrap_or_default();
    let morning_ms = at_ms(today, REMINDED_AT);
    if morning_ms > now_ms { morning_ms } else { morning_ms + 24 * HOUR_MS }
}

/// Whether a day is over.
pub fn is_over(day: Day, now_ms: i64) -> bool {
    now_ms >= at_ms(&day.to_string(), "00:00") + 24 * HOUR_MS
}

impl FollowUp {
    /// Whether its day is over and it is not done.
    pub fn is_overdue(&self, now_ms: i64) -> bool {
        self.done.is_none() && is_over(self.due, now_ms)
    }

    /// Reminds its owner, in the alert's thread.
    pub fn reminder(&self, lang: Lang, now_ms: i64) -> Card {
        let when = if self.is_overdue(now_ms) {
            lang.pick(" 已过期：", " is overdue since ")
        } else {
            lang.pick(" 今天到期：", " is due today, ")
        };
        let mut line = vec![
            text("📌 "),
            Span::User(self.owner.clone()),
            text(" "),
            Span::Code(self.id.to_string()),
            text(when),
            text(self.due.to_string()),
            text("\n"),
        ];
        line.extend(prose(&self.words));
        let summary = lang.pick("📌 后续事项到期", "📌 A follow-up is due").to_owned();
        Card { summary, tone: Tone::Warning, parts: vec![Part::Paragraph(line)] }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn due(day: &str) -> FollowUp {
        FollowUp {
            id: FollowUpId::new("FU-1"),
            alert: AlertId::new("AL-1"),
            words: "add <!channel> a test".into(),
            owner: UserId::new("U1"),
            due: Day::parse(day).unwrap(),
            made_by: UserId::new("U2"),
            created_ms: 0,
            done: None,
        }
    }

    /// 2026-11-24 03:00 UTC, which is eleven in the morning.
    const NIGHT_MS: i64 = 1_795_489_200_000;

    #[test]
    fn its_owner_is_reminded_at_nine_from_its_day_on() {
        let first = |day| first_reminder_ms(Day::parse(day).unwrap(), NIGHT_MS);
        let tomorrow_ms = NIGHT_MS + 22 * HOUR_MS;

        assert_eq!(first("2026-11-25"), tomorrow_ms);
        assert_eq!(first("2026-11-27"), tomorrow_ms + 48 * HOUR_MS);
        assert_eq!(first("2026-11-24"), tomorrow_ms, "nine o'clock is over");
        assert_eq!(first("2026-11-01"), tomorrow_ms);
        assert_eq!(next_reminder_ms(tomorrow_ms - 1), tomorrow_ms);
        assert_eq!(next_reminder_ms(tomorrow_ms), tomorrow_ms + 24 * HOUR_MS);
    }

    #[test]
    fn it_is_overdue_when_its_day_is_over_there() {
        let one = due("2026-11-24");
        // 2026-11-24 16:00 UTC.
        let midnight_ms = NIGHT_MS + 13 * HOUR_MS;
        assert!(!one.is_overdue(midnight_ms - 1) && one.is_overdue(midnight_ms));
        let done = FollowUp { done: Some((UserId::new("U1"), 1)), ..one };
        assert!(!done.is_overdue(midnight_ms));
        for (lang, words) in [(Lang::Zh, "今天到期"), (Lang::En, "is due today")] {
            let card = format!("{:?}", due("2026-11-24").reminder(lang, NIGHT_MS));
            assert!(card.contains(words) && card.contains("User(UserId(\"U1\"))"), "{card}");
        }
    }

    proptest! {
        #[test]
        fn the_next_morning_is_within_a_day(now_ms in 946_684_800_000..4_000_000_000_000_i64) {
            let next_ms = next_reminder_ms(now_ms);
            prop_assert!(next_ms > now_ms && next_ms - now_ms <= 24 * HOUR_MS);
            prop_assert_eq!((next_ms / HOUR_MS) % 24, 1);
        }
    }
}
