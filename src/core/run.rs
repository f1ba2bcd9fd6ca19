//! A run and its steps as state machines: one enum, one function, unlisted pairs are errors.
//!
//! [`Progress`] is both together. It never says that a step whose outcome is unknown is to be run
//! again: only [`Event::Again`] does, and that is a person's press or the step's own `idempotent`.

use super::text::Text;
use serde::{Deserialize, Serialize};

macro_rules! states {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal $zh:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum $name { $($(#[$variant_doc])* $variant,)* }

        impl $name {
            /// Every state, in the order of a run's life.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The word in the store, the journal and the logs.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }

            /// Reads the stored word.
            pub fn parse(word: &str) -> Option<Self> {
                match word { $($word => Some(Self::$variant),)* _ => None }
            }

            /// The word for people.
            pub fn text(self) -> Text {
                match self { $(Self::$variant => Text::new($zh, $word.replace('_', " ")),)* }
            }
        }
    };
}

states!(
    /// Where a run stands.
    State {
        /// A gate does not hold yet.
        Waiting = "waiting" "等待批准",
        /// Every gate holds; its turn has not come.
        Queued = "queued" "排队中",
        /// Its steps are being done.
        Running = "running" "执行中",
        /// Every step was ok.
        Succeeded = "succeeded" "成功",
        /// A step failed.
        Failed = "failed" "失败",
        /// A person stopped it.
        Cancelled = "cancelled" "已取消",
        /// A step took longer than it may.
        TimedOut = "timed_out" "超时",
        /// A step's outcome is unknown: a person has to look.
        NeedsAttention = "needs_attention" "需要人工处理",
        /// An approver said no.
        Rejected = "rejected" "已拒绝",
        /// Nobody answered in time.
        Expired = "expired" "已过期",
    }
);

states!(
    /// Where a step stands.
    StepState {
        /// Not begun.
        Pending = "pending" "未开始",
        /// Its start is decided; nothing proves yet that it ran.
        Starting = "starting" "启动中",
        /// Its supervisor holds it.
        Running = "running" "执行中",
        /// Done.
        Ok = "ok" "完成",
        /// It said no, or could not be started.
        Failed = "failed" "失败",
        /// Stopped because it took too long.
        TimedOut = "timed_out" "超时",
        /// Stopped by a person.
        Cancelled = "cancelled" "已取消",
        /// It began and nobody saw it end.
        Unknown = "unknown" "结果未知",
        /// Never begun because the run ended before it.
        Skipped = "skipped" "未执行",
    }
);

/// What happens to a run; a step's event is about the step at the run's position.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// Every gate holds.
    GatesPassed,
    /// A gate that held was voided.
    GateVoided,
    /// An approver said no.
    Rejected,
    /// Nobody answered in time.
    Expired,
    /// A worker took it from the queue.
    Claimed,
    /// A person stopped it before a step ran, or after one was lost.
    Cancelled,
    /// The step's start is decided.
    Starting,
    /// Evidence: it never started; trying again is safe.
    NeverStarted,
    /// It cannot be started here at all.
    CannotStart,
    /// Evidence: its supervisor began it.
    Started,
    /// Evidence: it ended well.
    StepOk,
    /// Evidence: it ended badly.
    StepFailed,
    /// Evidence: its supervisor stopped it for time.
    StepTimedOut,
    /// Evidence: its supervisor stopped it for a person.
    StepCancelled,
    /// Evidence: it began, and there is no record of its end.
    StepLost,
    /// The lost step is to run again: a person says so, or it is idempotent.
    Again,
    /// A person says that the lost step was done.
    SettledOk,
    /// A person says that the lost step failed.
    SettledFailed,
}

/// An event that the state does not know; nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{event:?} cannot happen to a run that is {state} with its step {step}")]
pub struct IllegalEvent {
    /// The run's state, as stored.
    pub state: &'static str,
    /// Its step's state, as stored; `none` without one.
    pub step: &'static str,
    /// What was tried.
    pub event: Event,
}

impl State {
    /// Whether nothing can happen to it any more.
    pub fn is_final(self) -> bool {
        matches!(
            self,
            Self::Succeeded
                | Self::Failed
                | Self::Cancelled
                | Self::TimedOut
                | Self::Rejected
                | Self::Expired
        )
    }

    fn after(self, event: Event) -> Option<Self> {
        use Event as E;
        Some(match (self, event) {
            (Self::Waiting, E::GatesPassed) => Self::Queued,
            (Self::Waiting, E::Rejected) => Self::Rejected,
            (Self::Waiting, E::Expired) => Self::Expired,
            (Self::Queued, E::GateVoided) => Self::Waiting,
            (Self::Waiting | Self::Queued | Self::NeedsAttention, E::Cancelled)
            | (Self::Running, E::StepCancelled) => Self::Cancelled,
            (Self::Running, E::StepFailed | E::CannotStart)
            | (Self::NeedsAttention, E::SettledFailed) => Self::Failed,
            (Self::Running, E::StepTimedOut) => Self::TimedOut,
            (Self::Running, E::StepLost) => Self::NeedsAttention,
            (Self::Running, E::Starting | E::NeverStarted | E::Started | E::StepOk)
            | (Self::Queued, E::Claimed)
            | (Self::NeedsAttention, E::SettledOk | E::Again) => Self::Running,
            _ => return None,
        })
    }
}

impl StepState {
    fn after(self, event: Event) -> Option<Self> {
        use Event as E;
        Some(match (self, event) {
            (Self::Pending, E::Starting) => Self::Starting,
            (Self::Starting, E::NeverStarted) | (Self::Unknown, E::Again) => Self::Pending,
            (Self::Starting, E::Started) => Self::Running,
            (Self::Running, E::StepOk) | (Self::Unknown, E::SettledOk) => Self::Ok,
            (Self::Running, E::StepFailed)
            | (Self::Pending | Self::Starting, E::CannotStart)
            | (Self::Unknown, E::SettledFailed) => Self::Failed,
            (Self::Running, E::StepTimedOut) => Self::TimedOut,
            // Between two steps there is nothing to stop: the next is not begun.
            (Self::Pending | Self::Running, E::StepCancelled) => Self::Cancelled,
            (Self::Running, E::StepLost) => Self::Unknown,
            _ => return None,
        })
    }
}

/// A run and its steps together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// The run.
    pub state: State,
    /// The step that is next or under way; the number of steps when all are done.
    pub position: usize,
    /// Each step.
    pub steps: Vec<StepState>,
}

impl Progress {
    /// A new run whose gates are still to be asked.
    pub fn new(steps: usize) -> Self {
        Self { state: State::Waiting, position: 0, steps: vec![StepState::Pending; steps] }
    }

    /// What the run is after an event.
    ///
    /// # Errors
    /// [`IllegalEvent`] for a pair that is not in the table.
    pub fn after(&self, event: Event) -> Result<Self, IllegalEvent> {
        let illegal = || IllegalEvent {
            state: self.state.as_str(),
            step: self.steps.get(self.position).map_or("none", |step| step.as_str()),
            event,
        };
        let mut next = self.clone();
        next.state = self.state.after(event).ok_or_else(illegal)?;
        if event.is_about_a_step() {
            let step = next.steps.get_mut(self.position).ok_or_else(illegal)?;
            *step = step.after(event).ok_or_else(illegal)?;
        }
        if next.steps.get(next.position) == Some(&StepState::Ok) {
            next.position += 1;
            if next.position == next.steps.len() {
                next.state = State::Succeeded;
            }
        }
        if next.state.is_final() {
            for step in next.steps.iter_mut().filter(|step| **step == StepState::Pending) {
                *step = StepState::Skipped;
            }
        }
        Ok(next)
    }

    /// The state of the step at the position; `None` when all are done.
    pub fn step(&self) -> Option<StepState> {
        self.steps.get(self.position).copied()
    }
}

impl Event {
    fn is_about_a_step(self) -> bool {
        !matches!(
            self,
            Self::GatesPassed
                | Self::GateVoided
                | Self::Rejected
                | Self::Expired
                | Self::Claimed
                | Self::Cancelled
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Event as E;
    use proptest::prelude::*;
    use std::fmt::Write as _;

    const EVENTS: [Event; 18] = [
        E::GatesPassed,
        E::GateVoided,
        E::Rejected,
        E::Expired,
        E::Claimed,
        E::Cancelled,
        E::Starting,
        E::NeverStarted,
        E::CannotStart,
        E::Started,
        E::StepOk,
        E::StepFailed,
        E::StepTimedOut,
        E::StepCancelled,
        E::StepLost,
        E::Again,
        E::SettledOk,
        E::SettledFailed,
    ];

    fn drive(steps: usize, events: &[Event]) -> Result<Progress, IllegalEvent> {
        events.iter().try_fold(Progress::new(steps), |run, event| run.after(*event))
    }

    #[test]
    fn the_whole_table() {
        let mut table = String::new();
        for state in State::ALL {
            for event in EVENTS {
                if let Some(next) = state.after(event) {
                    writeln!(table, "run  {:<15} {event:<14?} {}", state.as_str(), next.as_str())
                        .unwrap();
                }
            }
        }
        for state in StepState::ALL {
            for event in EVENTS {
                if let Some(next) = state.after(event) {
                    writeln!(table, "step {:<15} {event:<14?} {}", state.as_str(), next.as_str())
                        .unwrap();
                }
            }
        }
        insta::assert_snapshot!(table);
    }

    #[test]
    fn every_step_ok_is_a_run_that_succeeded() {
        let step = [E::Starting, E::Started, E::StepOk];
        let run =
            drive(2, &[&[E::GatesPassed, E::Claimed], &step[..], &step[..]].concat()).unwrap();

        assert_eq!(run.state, State::Succeeded);
        assert_eq!(run.steps, [StepState::Ok, StepState::Ok]);
    }

    #[test]
    fn a_failed_step_ends_the_run_and_skips_the_rest() {
        let run = drive(3, &[E::GatesPassed, E::Claimed, E::Starting, E::Started, E::StepFailed])
            .unwrap();

        assert_eq!(run.state, State::Failed);
        assert_eq!(run.steps, [StepState::Failed, StepState::Skipped, StepState::Skipped]);
    }

    #[test]
    fn a_lost_step_waits_for_a_person() {
        let begun = [E::GatesPassed, E::Claimed, E::Starting, E::Started, E::StepLost];
        let lost = drive(2, &begun).unwrap();

        assert_eq!(lost.state, State::NeedsAttention);
        assert!(lost.after(E::Starting).is_err());
        assert_eq!(lost.after(E::SettledOk).unwrap().position, 1);
        assert_eq!(lost.after(E::SettledFailed).unwrap().state, State::Failed);
        assert_eq!(lost.after(E::Again).unwrap().step(), Some(StepState::Pending));
    }

    #[test]
    fn a_last_step_that_a_person_calls_done_ends_the_run() {
        let begun = [E::GatesPassed, E::Claimed, E::Starting, E::Started, E::StepLost];
        assert_eq!(drive(1, &begun).unwrap().after(E::SettledOk).unwrap().state, State::Succeeded);
    }

    proptest! {
        #[test]
        fn no_step_starts_twice_without_proof_or_a_person(picks in prop::collection::vec(0..EVENTS.len(), 0..60)) {
            let mut run = Progress::new(3);
            let mut begun = [false; 3];
            for pick in picks {
                let event = EVENTS[pick];
                let at = run.position;
                let Ok(next) = run.after(event) else { continue };
                match event {
                    E::Started => {
                        prop_assert!(!begun[at], "step {at} began twice");
                        begun[at] = true;
                    }
                    E::Again => begun[at] = false,
                    _ => {}
                }
                if run.state.is_final() {
                    prop_assert!(false, "a final run moved");
                }
                run = next;
            }
        }
    }
}
