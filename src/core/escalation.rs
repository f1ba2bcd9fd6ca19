//! Escalation policies: whom to tell about an alert of a level, when, how often, and when the level rises.
//! Pure values and their arithmetic; [`super::alert`] applies them.

use super::freeze::PlannedFreeze;
use super::id::UserId;
use serde::{Deserialize, Serialize};

/// Whom a step tells.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// A person.
    User(UserId),
    /// A user group of Slack.
    Group(String),
    /// Whoever is on call in this rotation at that moment.
    OnCall(String),
    /// Whoever is active in the channel.
    Here,
}

/// A step of a policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// How long after its level began.
    pub after_ms: i64,
    /// Whom it tells.
    pub tell: Vec<Target>,
}

/// The last step, again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Repeat {
    /// How long after the step, and after each repetition.
    pub every_ms: i64,
    /// How often.
    pub times: u32,
}

/// What is done about an alert of one level that nobody has taken.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Policy {
    /// In the order of their times.
    pub steps: Vec<Step>,
    /// After the last step.
    pub repeat: Option<Repeat>,
    /// After so long the level rises; `None`: it does not.
    pub rises_after_ms: Option<i64>,
    /// Quiet hours: it does not rise while they last.
    pub quiet: Option<PlannedFreeze>,
}

/// What is done about every alert.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policies {
    /// By level, the least first.
    pub levels: [Policy; 3],
    /// Whoever took an alert is asked after so long whether they still have it.
    pub remind_after_ms: i64,
    /// And so long after that it is open again.
    pub undo_after_ms: i64,
    /// How long a recovery may take: the manual's RTO.
    pub recovery_ms: i64,
    /// The action whose checklist an incident opens; empty: none.
    pub checklist: String,
}

impl Policies {
    /// The policy of a level.
    pub fn of(&self, level: super::alert::Level) -> &Policy {
        &self.levels[level as usize]
    }
}

impl Policy {
    /// When a telling is due, counted from the level's beginning: first every step, then the last again.
    /// `None`: there are no more.
    pub fn due_ms(&self, telling: u32) -> Option<i64> {
        let steps = u32::try_from(self.steps.len()).unwrap_or(u32::MAX);
        if let Some(step) = self.steps.get(telling as usize) {
            return Some(step.after_ms);
        }
        let (repeat, last) = (self.repeat?, self.steps.last()?);
        let again = telling - steps + 1;
        (again <= repeat.times)
            .then(|| last.after_ms.saturating_add(repeat.every_ms.saturating_mul(again.into())))
    }

    /// Whom a telling tells.
    pub fn targets(&self, telling: u32) -> &[Target] {
        let step = self.steps.get(telling as usize).or(self.steps.last());
        step.map_or(&[], |step| &step.tell)
    }

    /// Whether a telling is a repetition.
    pub fn is_repetition(&self, telling: u32) -> bool {
        telling as usize >= self.steps.len()
    }
}
