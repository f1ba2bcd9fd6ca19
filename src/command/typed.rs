//! A request as a person would type it, within what a button's value can hold.

use super::action::Ask;
use crate::core::action::ParameterKind;
use crate::core::emergency::FLAG;
use crate::core::freeze;
use crate::core::param::{SUPERSEDE, TEXT_CHARS_MAX};
use crate::core::words::as_typed;

/// Slack's limit of a button's value, in characters; counted in UTF-16 units as the renderer does.
pub(super) const VALUE_UNITS_MAX: usize = 2_000;
/// Of a button's value: the digest of a plan and a blank.
const DIGEST_UNITS: usize = 65;

/// The words of a button that is bound to a plan; with whose place it takes, if that is said.
pub(super) fn words(ask: &Ask, supersede: Option<&str>) -> String {
    let mut words = format!("{} env={}", ask.action.name, ask.environment.name);
    if let Some(supersede) = supersede {
        words.extend([" ", SUPERSEDE, "=", supersede]);
    }
    if ask.arguments.is_emergency {
        words.extend([" ", FLAG]);
    }
    if ask.arguments.overrides_freeze {
        words.extend([" ", freeze::FLAG]);
    }
    let mut free = None;
    for parameter in &ask.action.parameters {
        match (&parameter.kind, ask.arguments.get(&parameter.name)) {
            (ParameterKind::Text, Some(given)) => free = Some(given),
            (_, Some(given)) => words.extend([" ", &parameter.name, "=\"", given, "\""]),
            (_, None) => {}
        }
    }
    let Some(free) = free else { return words };
    let room = VALUE_UNITS_MAX.saturating_sub(units(&words) + 1 + DIGEST_UNITS);
    words.push(' ');
    words.push_str(&fitting(free, room));
    words
}

/// A free text as it is typed, cut to so many units.
pub(super) fn fitting(free: &str, units_max: usize) -> String {
    let mut letters: Vec<char> = free.chars().take(TEXT_CHARS_MAX).collect();
    loop {
        let typed = as_typed(&letters.iter().collect::<String>());
        let excess = units(&typed).saturating_sub(units_max);
        if excess == 0 {
            return typed;
        }
        // A letter takes five units at most, as `&amp;`; what is cut ends in an ellipsis.
        letters.truncate(letters.len().saturating_sub(excess.div_ceil(5) + 1));
        letters.push('…');
    }
}

/// UTF-16 units.
pub(super) fn units(text: &str) -> usize {
    text.encode_utf16().count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::words::Words;
    use proptest::prelude::*;

    proptest! {
        /// Whatever the reason holds, it fits and reads back as it was, or as its beginning.
        #[test]
        fn a_reason_fits_its_button_and_reads_back(reason in r"[ -~“”&<>=测🔥]{1,1200}") {
            let typed = fitting(&reason, 1_900);
            prop_assert!(units(&typed) <= 1_900);
            let read = Words::read(&typed).unwrap().take_rest().unwrap_or_default();
            let beginning = read.trim().trim_end_matches('…').trim_end();
            prop_assert!(reason.trim().starts_with(beginning), "{read:?}");
            prop_assert!(reason.trim().is_empty() || read.chars().count() >= reason.trim().chars().count().min(300));
        }
    }
}
