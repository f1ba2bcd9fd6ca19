//! Durations as people write them: `500ms`, `10s`, `5m`, `2h`, `1d`.

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

    proptest! {
        #[test]
        fn a_spelled_duration_reads_back(ms: u64) {
            prop_assert_eq!(parse(&spell(ms)), Some(ms));
        }

        #[test]
        fn parsing_never_panics(text: String) {
            let _ = parse(&text);
        }
    }
}
