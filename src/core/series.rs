//! A series of samples in promtool's notation: `1`, `0+1x10` (eleven of them), `5x3` (four), `_x3` (three
//! that are missing), `stale`; and, for what Prometheus cannot say of itself, `error`.

use super::alert_rule::Answer;
use super::text::Text;

/// Samples that one series may have.
pub const SAMPLES_MAX: usize = 20_000;

/// One sample.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Sample {
    /// A value, which may be no number.
    Value(f64),
    /// None was taken.
    Missing,
    /// Its series ended here.
    Stale,
    /// It could not be asked.
    Error,
}

impl Sample {
    /// What is answered where this is the newest sample.
    pub fn answer(self) -> Answer {
        match self {
            Self::Value(value) => Answer::Number(value),
            Self::Missing | Self::Stale => Answer::Nothing,
            Self::Error => Answer::Failed(Text::new("测试如此设定", "as the test says")),
        }
    }
}

/// Reads a series.
///
/// # Errors
/// The item that cannot be read, in words.
pub fn parse(text: &str) -> Result<Vec<Sample>, String> {
    let mut samples = Vec::new();
    for item in text.split_whitespace() {
        let wrong = || format!("`{item}` is not a sample: 1, 0+1x10, 5x3, _x3, stale, error");
        let (what, times) = match item.rsplit_once('x') {
            Some((what, times)) => (what, Some(times.parse::<usize>().map_err(|_| wrong())?)),
            None => (item, None),
        };
        let more = times.unwrap_or(0);
        if samples.len().saturating_add(more) >= SAMPLES_MAX {
            return Err(format!("more than {SAMPLES_MAX} samples"));
        }
        match what {
            "_" => samples.extend(vec![Sample::Missing; times.unwrap_or(1)]),
            "stale" => samples.extend(vec![Sample::Stale; more + 1]),
            "error" => samples.extend(vec![Sample::Error; more + 1]),
            _ => {
                let (first, step) = stepped(what, times.is_some()).ok_or_else(wrong)?;
                let mut value = first;
                for _ in 0..=more {
                    samples.push(Sample::Value(value));
                    // Added up, as promtool does.
                    value += step;
                }
            }
        }
    }
    if samples.is_empty() { Err("there are no samples".to_owned()) } else { Ok(samples) }
}

/// `a+b` or `a-b`, else `a`.
fn stepped(text: &str, may_step: bool) -> Option<(f64, f64)> {
    if let Some(value) = number(text) {
        return Some((value, 0.0));
    }
    let at = text.rfind(['+', '-']).filter(|at| *at > 0 && may_step)?;
    Some((number(&text[..at])?, number(&text[at..])?))
}

/// A number as Prometheus spells it; `None` for every other word, of which Rust reads some.
pub fn number(text: &str) -> Option<f64> {
    match text {
        "NaN" => Some(f64::NAN),
        "Inf" | "+Inf" => Some(f64::INFINITY),
        "-Inf" => Some(f64::NEG_INFINITY),
        // Rust reads more words than these.
        _ if text.bytes().all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(&byte)) => {
            text.parse().ok()
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn values(text: &str) -> Vec<f64> {
        let value = |sample| match sample {
            Sample::Value(value) => value,
            other => panic!("{other:?}"),
        };
        parse(text).unwrap().into_iter().map(value).collect()
    }

    #[test]
    fn it_reads_what_promtool_reads() {
        assert_eq!(values("1 -2 0.5 1e-3"), [1.0, -2.0, 0.5, 0.001]);
        assert_eq!(values("0+1x3"), [0.0, 1.0, 2.0, 3.0]);
        assert_eq!(values("1-2x2"), [1.0, -1.0, -3.0]);
        assert_eq!(values("-2+4x2"), [-2.0, 2.0, 6.0]);
        assert_eq!(values("5x2"), [5.0, 5.0, 5.0]);
        let odd = parse("_x2 _ stale error NaN").unwrap();
        assert_eq!(
            odd[..5],
            [Sample::Missing, Sample::Missing, Sample::Missing, Sample::Stale, Sample::Error]
        );
        assert!(matches!(odd[5], Sample::Value(value) if value.is_nan()));
    }

    #[test]
    fn what_is_none_is_named() {
        for wrong in ["a", "1x", "1xy", "x3", "1+2", "--1", "inf", "1,2", "_x-1"] {
            let words = parse(wrong).unwrap_err();
            assert!(words.contains(&format!("`{wrong}` is not a sample")), "{wrong}: {words}");
        }
        assert_eq!(parse(" ").unwrap_err(), "there are no samples");
        assert_eq!(parse("1x20000").unwrap_err(), "more than 20000 samples");
        assert!(parse("1x99999999999999999999").is_err());
        // As many as a machine can count, and one before them.
        assert_eq!(parse(&format!("1 1x{}", usize::MAX)).unwrap_err(), "more than 20000 samples");
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "[0-9x+_.eE \\-staleNnI]{0,40}") {
            if let Ok(samples) = parse(&text) {
                prop_assert!(!samples.is_empty() && samples.len() <= SAMPLES_MAX);
            }
        }
    }
}
