//! Durations as people write them: `500ms`, `10s`, `5m`, `2h`, `1d`; and moments.

use super::text::Text;
use std::fmt::Write as _;

/// Units, smallest first, and their milliseconds.
const UNITS: [(&str, u64); 5] =
    [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

/// The spelling, for schemas and messages.
pub const PATTERN: &str = "^[0-9]+(ms|s|m|h|d)$";

/// Milliseconds of a duration; `None` when it is not one (no unit, an unknown unit, a fraction, a
/// sign) or does not fit.
pub fn parse(text: &str) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let (_, unit_ms) = UNITS.iter().find(|(name, _)| *name == unit)?;
    number.parse::<u64>().ok()?.checked_mul(*unit_ms)
}

/// The shortest spelling of some milliseconds that [`parse`] reads back to the same.
pub fn spell(ms: u64) -> String {
    let fits = |(_, unit_ms): &&(&str, u64)| ms.is_multiple_of(*unit_ms) && ms >= *unit_ms;
    let (unit, unit_ms) = UNITS.iter().rev().find(fits).unwrap_or(&UNITS[0]);
    format!("{}{unit}", ms / unit_ms)
}

/// How long something lasts, in words: the two largest units that say it well enough.
pub fn about(ms: u64) -> Text {
    let minutes = ms / 60_000;
    let (hours, days) = (minutes / 60, minutes / (24 * 60));
    let with = |large: (u64, &str, &str), small: (u64, &str, &str)| {
        let (mut zh, mut en) =
            (format!("{} {}", large.0, large.1), format!("{} {}", large.0, large.2));
        if small.0 > 0 {
            let _ = write!(zh, " {} {}", small.0, small.1);
            let _ = write!(en, " {} {}", small.0, small.2);
        }
        Text::new(zh, en)
    };
    let minute = |minutes| (minutes, "分钟", "min");
    if days > 1 {
        with((days, "天", "days"), (hours % 24, "小时", "h"))
    } else if hours > 0 {
        with((hours, "小时", "h"), minute(minutes % 60))
    } else if minutes > 0 {
        with(minute(minutes), (0, "", ""))
    } else {
        with((ms / 1_000, "秒", "s"), (0, "", ""))
    }
}

/// A moment as people write it, in milliseconds UTC: `2026-11-24`, `2026-11-24T03:00:00Z`, or how long
/// before `now_ms`: `7d`.
pub fn moment(text: &str, now_ms: i64) -> Option<i64> {
    if let Some(age_ms) = parse(text) {
        return Some(now_ms.saturating_sub_unsigned(age_ms));
    }
    if let Ok(day) = chrono::NaiveDate::parse_from_str(text, "%Y-%m-%d") {
        return Some(day.and_hms_opt(0, 0, 0)?.and_utc().timestamp_millis());
    }
    Some(chrono::DateTime::parse_from_rfc3339(text).ok()?.timestamp_millis())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_whole_numbers_with_a_unit_are_durations() {
        assert_eq!(parse("500ms"), Some(500));
        assert_eq!(parse("10s"), Some(10_000));
        assert_eq!(parse("1d"), Some(86_400_000));
        for wrong in ["", "10", "s", "1.5s", "-1s", "+1s", "10 s", "1w", "10S", "99999999999999d"] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn an_age_is_said_in_at_most_two_units() {
        const HOUR: u64 = 3_600_000;
        for (ms, en) in [
            (0, "0 s"),
            (59_999, "59 s"),
            (60_000, "1 min"),
            (3 * HOUR, "3 h"),
            (3 * HOUR + 20 * 60_000 + 1, "3 h 20 min"),
            (47 * HOUR, "47 h"),
            (50 * HOUR, "2 days 2 h"),
        ] {
            assert_eq!(about(ms).en, en);
        }
        assert_eq!(about(3 * HOUR + 60_000).zh, "3 小时 1 分钟");
    }

    #[test]
    fn a_moment_is_a_day_a_time_or_an_age() {
        assert_eq!(moment("2026-11-24", 0), Some(1_795_478_400_000));
        assert_eq!(moment("2026-11-24T11:00:00+08:00", 0), Some(1_795_489_200_000));
        assert_eq!(moment("2h", 7_200_001), Some(1));
        for wrong in ["", "yesterday", "2026-13-01", "2026-11-24 03:00", "7"] {
            assert_eq!(moment(wrong, 0), None, "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn a_spelled_duration_reads_back(ms: u64) {
            prop_assert_eq!(parse(&spell(ms)), Some(ms));
        }

        #[test]
        fn parsing_never_panics(text: String) {
            let _ = (parse(&text), moment(&text, 0));
        }
    }
}
