//! The buttons that the bot understands: what stands in a button's `action_id` and `value`, written and
//! read in one place.

use super::alert_press::{self, Deed, Seen as SeenAlert};
use super::checklist::ITEMS_MAX;
use super::decision::Verdict;
use super::id::{AlertId, RunId};
use super::settle_card::{self, Seen, Settlement};

/// What a press means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Press {
    /// Somebody decides about a run, bound to the plan that was shown.
    Decide {
        /// What.
        verdict: Verdict,
        /// About which run.
        run: RunId,
        /// The plan's digest as it was shown.
        digest: String,
    },
    /// The whole plan, for whoever wants to see before they decide.
    Details {
        /// Of which run.
        run: RunId,
    },
    /// Another page of a list, which takes this one's place: a command, as if the presser had typed it.
    Page {
        /// The words after `/neostock`.
        words: String,
        /// Whether it is the first page.
        is_first: bool,
    },
    /// A command that was proposed, to be run as if the presser had typed it.
    Propose {
        /// The words after `/neostock`.
        words: String,
    },
    /// A command that was proposed with the plan that it had then: it counts only while it still has it.
    Queue {
        /// Where it is queued.
        wish: Wish,
        /// The digest of the plan that was shown.
        digest: String,
        /// The words after `/neostock`.
        words: String,
    },
    /// Somebody reviews an emergency; a form asks what they found.
    Review {
        /// Of which run.
        run: RunId,
        /// The plan's digest as it was shown.
        digest: String,
    },
    /// Somebody ticks an item of a checklist off.
    Tick {
        /// Of which run.
        run: RunId,
        /// The plan's digest as it was shown.
        digest: String,
        /// Which, counted from 0.
        item: usize,
    },
    /// The checks of a checklist are to be done again.
    Recheck {
        /// Of which run.
        run: RunId,
        /// The plan's digest as it was shown.
        digest: String,
    },
    /// Somebody decides about a lost step; a form asks why.
    Settle {
        /// What.
        settlement: Settlement,
        /// Of which run.
        run: RunId,
        /// The try of the step that was shown.
        seen: Seen,
    },
    /// Somebody wants something of an alert; of a silence a form asks for how long, and why.
    Alert {
        /// What.
        deed: Deed,
        /// Of which.
        alert: AlertId,
        /// How it was shown.
        seen: SeenAlert,
    },
}

/// The `action_id` of each item's button: within a row no two may be the same.
const TICKS: [&str; ITEMS_MAX] = [
    "tick_1", "tick_2", "tick_3", "tick_4", "tick_5", "tick_6", "tick_7", "tick_8", "tick_9",
    "tick_10", "tick_11", "tick_12", "tick_13", "tick_14", "tick_15", "tick_16", "tick_17",
    "tick_18", "tick_19", "tick_20",
];

/// Where a command with its plan is queued.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// In the place of a run that waits.
    Supersede,
    /// Behind it.
    Behind,
    /// The plan was shown alone: as if it were typed.
    AsPlanned,
}

impl Wish {
    /// Every wish.
    pub const ALL: [Self; 3] = [Self::Supersede, Self::Behind, Self::AsPlanned];

    /// The button's `action_id`.
    fn action(self) -> &'static str {
        match self {
            Self::Supersede => "supersede",
            Self::Behind => "queue_behind",
            Self::AsPlanned => "ask_planned",
        }
    }
}

impl Press {
    /// The button's `action_id`.
    pub fn action(&self) -> &'static str {
        match self {
            Self::Decide { verdict: Verdict::Approved, .. } => "approve",
            Self::Decide { verdict: Verdict::Rejected, .. } => "reject",
            Self::Decide { verdict: Verdict::Cancelled, .. } => "cancel",
            Self::Review { .. } => "review",
            Self::Tick { item, .. } => TICKS.get(*item).copied().unwrap_or("tick"),
            Self::Recheck { .. } => "recheck",
            Self::Details { .. } => "details",
            Self::Page { is_first: false, .. } => "page",
            Self::Page { is_first: true, .. } => "page_first",
            Self::Propose { .. } => "propose",
            Self::Queue { wish, .. } => wish.action(),
            Self::Settle { settlement: Settlement::Ok, .. } => "settle_ok",
            Self::Settle { settlement: Settlement::Failed, .. } => "settle_failed",
            Self::Settle { settlement: Settlement::Again, .. } => "settle_again",
            Self::Settle { settlement: Settlement::Stopped, .. } => "settle_stop",
            Self::Alert { deed, .. } => deed.action(),
        }
    }

    /// The button's `value`.
    pub fn value(&self) -> String {
        match self {
            Self::Decide { run, digest, .. }
            | Self::Review { run, digest }
            | Self::Tick { run, digest, .. }
            | Self::Recheck { run, digest } => {
                format!("{run} {digest}")
            }
            Self::Details { run } => run.to_string(),
            Self::Page { words, .. } | Self::Propose { words } => words.clone(),
            Self::Queue { digest, words, .. } => format!("{digest} {words}"),
            Self::Settle { run, seen, .. } => settle_card::value(run, *seen),
            Self::Alert { alert, seen, .. } => alert_press::value(alert, *seen),
        }
    }

    /// Reads a press; `None` when no button of this version is like it.
    pub fn parse(action: &str, value: &str) -> Option<Self> {
        let bound = || {
            let (run, digest) = value.split_once(' ')?;
            Some((RunId::parse(run)?, digest.to_owned()))
        };
        let decide = |verdict| bound().map(|(run, digest)| Self::Decide { verdict, run, digest });
        if let Some(wish) = Wish::ALL.into_iter().find(|wish| wish.action() == action) {
            let (digest, words) = value.split_once(' ')?;
            return Some(Self::Queue { wish, digest: digest.to_owned(), words: words.to_owned() });
        }
        if let Some(item) = TICKS.iter().position(|tick| *tick == action) {
            return bound().map(|(run, digest)| Self::Tick { run, digest, item });
        }
        if let Some(deed) = Deed::of_action(action) {
            let (alert, seen) = alert_press::read_value(value)?;
            return Some(Self::Alert { deed, alert, seen });
        }
        match action {
            "approve" => decide(Verdict::Approved),
            "reject" => decide(Verdict::Rejected),
            "cancel" => decide(Verdict::Cancelled),
            "review" => bound().map(|(run, digest)| Self::Review { run, digest }),
            "recheck" => bound().map(|(run, digest)| Self::Recheck { run, digest }),
            "details" => Some(Self::Details { run: RunId::parse(value)? }),
            "page" | "page_first" => {
                Some(Self::Page { words: value.to_owned(), is_first: action == "page_first" })
            }
            _ if action.starts_with("settle_") => {
                let settlement = Settlement::parse(action.strip_prefix("settle_")?)?;
                let (run, seen) = settle_card::read_value(value)?;
                Some(Self::Settle { settlement, run, seen })
            }
            "propose" => Some(Self::Propose { words: value.to_owned() }),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::alert::Level;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_press_is_read_as_it_was_written(
            entropy: [u8; 8], digest in "[0-9a-f]{64}", words: String, returns: u32,
        ) {
            let run = RunId::from_entropy(entropy);
            let mut presses = vec![Press::Details { run: run.clone() }, Press::Propose { words: words.clone() }];
            presses.push(Press::Review { run: run.clone(), digest: digest.clone() });
            presses.push(Press::Recheck { run: run.clone(), digest: digest.clone() });
            for item in 0..ITEMS_MAX {
                presses.push(Press::Tick { run: run.clone(), digest: digest.clone(), item });
            }
            for is_first in [false, true] {
                presses.push(Press::Page { words: words.clone(), is_first });
            }
            for wish in Wish::ALL {
                let (digest, words) = (digest.clone(), words.clone());
                presses.push(Press::Queue { wish, digest, words });
            }
            for settlement in Settlement::ALL {
                let seen = Seen { position: 3, attempt: 2 };
                presses.push(Press::Settle { settlement, run: run.clone(), seen });
            }
            for verdict in [Verdict::Approved, Verdict::Rejected, Verdict::Cancelled] {
                presses.push(Press::Decide { verdict, run: run.clone(), digest: digest.clone() });
            }
            for (deed, level) in Deed::ALL.into_iter().zip(Level::ALL.into_iter().cycle()) {
                let alert = AlertId::from_entropy(entropy);
                presses.push(Press::Alert { deed, alert, seen: SeenAlert { returns, level } });
            }
            for press in presses {
                prop_assert_eq!(Press::parse(press.action(), &press.value()), Some(press));
            }
        }

        #[test]
        fn reading_a_press_never_panics(action: String, value: String) {
            let _ = Press::parse(&action, &value);
            let _ = Press::parse("approve", &value);
            let _ = Press::parse("alert_ack", &value);
        }
    }
}
