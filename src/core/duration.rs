//! Durations as people write them: `500ms`, `10s`, `5m`, `2h`, `1d`; and moments.

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
