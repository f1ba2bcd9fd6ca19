//! The buttons of an alert's card: what stands in them, bound to the alert as it was shown.

use super::alert_card::AlertView;
use super::card::Button;
use super::text::Lang;

/// What can be pressed at this moment.
pub fn buttons(_alert: &AlertView, _lang: Lang, _now_ms: i64) -> Vec<Button> {
    Vec::new()
}
