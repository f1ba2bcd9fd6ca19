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
        /// Never begun: the run ended before it, or its `when` did not hold.
        Skipped = "skipped" "未执行",
    }
);

/// What happens to a run; a step's event is about the step at the run's position.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// Every gate holds.
    GatesPassed,
    /// A gate that held was voided, before any step began.
    GateVoided,
    /// A freeze is in force at its turn, before any step began.
    Frozen,
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
    /// Evidence: it began, and there is no record of its end; or its host cannot be asked.
    StepLost,
    /// The step's `when` does not hold.
    StepSkipped,
    /// Evidence: it ended badly; its `retry` says that it is tried again.
    Retrying,
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
            (Self::Queued | Self::Running, E::GateVoided) | (Self::Running, E::Frozen) => Self::Waiting,
            (Self::Waiting | Self::Queued, E::Cancelled) => Self::Cancelled,
            (Self::Running, E::StepLost) => Self::NeedsAttention,
            // A step that ended badly ends the run as soon as its cleanup is done: see `Progress`.
            (Self::Running, E::CannotStart | E::Starting | E::StepSkipped)
            | (Self::Queued, E::Claimed)
            | (Self::NeedsAttention, E::SettledOk | E::SettledFailed | E::Again)
            // Evidence that appears late, of a step whose host could not be asked, counts as any other.
            | (
                Self::Running | Self::NeedsAttention,
                E::NeverStarted
                | E::Started
                | E::StepOk
                | E::StepFailed
                | E::StepTimedOut
                | E::StepCancelled
                | E::Retrying,
            ) => Self::Running,
            _ => return None,
        })
    }
}

impl StepState {
    /// Whether nothing can happen to it any more.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Ok | Self::Failed | Self::TimedOut | Self::Cancelled | Self::Skipped)
    }

    fn after(self, event: Event) -> Option<Self> {
        use Event as E;
        Some(match (self, event) {
            (Self::Pending, E::Starting) => Self::Starting,
            (Self::Starting | Self::Unknown, E::NeverStarted)
            | (Self::Unknown, E::Again)
            | (Self::Running | Self::Unknown, E::Retrying) => Self::Pending,
            (Self::Starting | Self::Unknown, E::Started) => Self::Running,
            (Self::Running | Self::Unknown, E::StepOk) | (Self::Unknown, E::SettledOk) => Self::Ok,
            (Self::Running | Self::Unknown, E::StepFailed)
            | (Self::Pending | Self::Starting, E::CannotStart)
            | (Self::Unknown, E::SettledFailed) => Self::Failed,
            (Self::Running | Self::Unknown, E::StepTimedOut) => Self::TimedOut,
            // Between two steps there is nothing to stop: the next is not begun.
            (Self::Pending | Self::Running | Self::Unknown, E::StepCancelled) => Self::Cancelled,
            (Self::Running, E::StepLost) => Self::Unknown,
            (Self::Pending, E::StepSkipped) => Self::Skipped,
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
    /// Which steps are cleanup (`always`): they are done although an earlier one ended badly.
    pub always: Vec<bool>,
    /// Whether a step ever began: before, there is nothing to clean up.
    pub has_begun: bool,
    /// Whether its steps do not depend on each other, as the checks of a checklist: one that ended badly
    /// keeps none of the others from being done.
    pub is_checklist: bool,
}

impl Progress {
    /// A new run whose gates are still to be asked; for each step, whether it is cleanup.
    pub fn new(always: Vec<bool>) -> Self {
        let steps = vec![StepState::Pending; always.len()];
        let state = State::Waiting;
        Self { state, position: 0, steps, always, has_begun: false, is_checklist: false }
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
        let is_untouched =
            !self.has_begun && self.steps.iter().all(|step| *step == StepState::Pending);
        if matches!(event, Event::GateVoided | Event::Frozen) && !is_untouched {
            return Err(illegal());
        }
        next.has_begun |= event == Event::Started;
        if event.is_about_a_step() {
            let step = next.steps.get_mut(self.position).ok_or_else(illegal)?;
            *step = step.after(event).ok_or_else(illegal)?;
        }
        if next.state.is_final() {
            next.skip(|_| true);
        }
        if next.state == State::Running {
            next.go_on();
        }
        Ok(next)
    }

    /// Moves past what has ended. A step that ended badly leaves only the cleanup to be done.
    fn go_on(&mut self) {
        let ends_here = match self.outcome() {
            State::Succeeded => false,
            _ if self.is_checklist => self.steps.contains(&StepState::Cancelled),
            _ => true,
        };
        if ends_here {
            let always = self.always.clone();
            let has_begun = self.has_begun;
            self.skip(|index| !has_begun || always.get(index) != Some(&true));
        }
        while self.steps.get(self.position).is_some_and(|step| step.is_final()) {
            self.position += 1;
        }
        if self.position == self.steps.len() {
            self.state = self.outcome();
        }
    }

    fn skip(&mut self, is_skipped: impl Fn(usize) -> bool) {
        for (index, step) in self.steps.iter_mut().enumerate() {
            if *step == StepState::Pending && is_skipped(index) {
                *step = StepState::Skipped;
            }
        }
    }

    /// How the run ends by what its steps say so far: as the first that ended badly, else well.
    pub fn outcome(&self) -> State {
        let bad = self.steps.iter().find_map(|step| match step {
            StepState::Failed => Some(State::Failed),
            StepState::TimedOut => Some(State::TimedOut),
            StepState::Cancelled => Some(State::Cancelled),
            _ => None,
        });
        bad.unwrap_or(State::Succeeded)
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
                | Self::Frozen
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

    const EVENTS: [Event; 21] = [
        E::GatesPassed,
        E::GateVoided,
        E::Frozen,
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
        E::StepSkipped,
        E::Retrying,
        E::Again,
        E::SettledOk,
        E::SettledFailed,
    ];
    const BEGUN: [Event; 4] = [E::GatesPassed, E::Claimed, E::Starting, E::Started];

    fn drive(steps: usize, events: &[Event]) -> Result<Progress, IllegalEvent> {
        events.iter().try_fold(Progress::new(vec![false; steps]), |run, event| run.after(*event))
    }

    /// Two steps, and a third that cleans up.
    fn with_cleanup(events: &[Event]) -> Progress {
        let new = Progress::new(vec![false, false, true]);
        events.iter().try_fold(new, |run, event| run.after(*event)).unwrap()
    }

    /// Every event at one state: where it leads, or that it is refused.
    fn row(name: &str, after: impl Fn(Event) -> Option<&'static str>) -> String {
        let mut row = format!("{name}\n");
        let mut refused = String::new();
        for event in EVENTS {
            match after(event) {
                Some(next) => writeln!(row, "  {event:<13?} {next}").unwrap(),
                None => write!(refused, " {event:?}").unwrap(),
            }
        }
        writeln!(row, "  refused:{refused}").unwrap();
        row
    }

    #[test]
    fn every_event_at_every_state() {
        let mut table = String::new();
        for state in State::ALL {
            let name = format!("run {}", state.as_str());
            table += &row(&name, |event| state.after(event).map(State::as_str));
        }
        for state in StepState::ALL {
            let name = format!("step {}", state.as_str());
            table += &row(&name, |event| state.after(event).map(StepState::as_str));
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
    fn cleanup_is_done_after_a_step_that_ended_badly_and_the_run_ends_as_that_step() {
        for (event, outcome) in [
            (E::StepFailed, State::Failed),
            (E::StepTimedOut, State::TimedOut),
            (E::StepCancelled, State::Cancelled),
        ] {
            let run = with_cleanup(&[&BEGUN[..], &[event]].concat());
            assert_eq!((run.state, run.position), (State::Running, 2));
            assert_eq!(run.steps[1], StepState::Skipped);

            let cleaned = run.after(E::Starting).unwrap().after(E::Started).unwrap();

            assert_eq!(cleaned.after(E::StepOk).unwrap().state, outcome);
            assert_eq!(cleaned.after(E::StepFailed).unwrap().state, outcome);
        }
    }

    #[test]
    fn cleanup_that_fails_alone_fails_the_run() {
        let ok = [E::Starting, E::Started, E::StepOk];
        let claimed = [E::GatesPassed, E::Claimed];
        let events = [&claimed[..], &ok, &ok, &[E::Starting, E::Started, E::StepFailed]].concat();
        assert_eq!(with_cleanup(&events).state, State::Failed);
    }

    #[test]
    fn a_run_that_never_began_has_nothing_to_clean_up() {
        let run = with_cleanup(&[E::Expired]);
        assert_eq!(run.steps, [StepState::Skipped; 3]);

        let run = with_cleanup(&[E::GatesPassed, E::Claimed, E::CannotStart]);
        assert_eq!((run.state, run.steps[2]), (State::Failed, StepState::Skipped));
    }

    #[test]
    fn a_step_whose_condition_does_not_hold_is_passed_over() {
        let run = drive(2, &[E::GatesPassed, E::Claimed, E::StepSkipped]).unwrap();
        assert_eq!((run.state, run.position), (State::Running, 1));
        assert_eq!(run.after(E::StepSkipped).unwrap().state, State::Succeeded);
    }

    #[test]
    fn a_step_that_failed_and_is_tried_again_is_pending() {
        let run = drive(1, &[&BEGUN[..], &[E::Retrying]].concat()).unwrap();
        assert_eq!((run.state, run.step()), (State::Running, Some(StepState::Pending)));
    }

    #[test]
    fn a_gate_is_voided_only_before_the_first_step() {
        let claimed = drive(1, &[E::GatesPassed, E::Claimed]).unwrap();
        assert_eq!(claimed.after(E::GateVoided).unwrap().state, State::Waiting);
        assert!(claimed.after(E::Starting).unwrap().after(E::GateVoided).is_err());
    }

    #[test]
    fn evidence_that_appears_late_counts() {
        let lost = drive(2, &[&BEGUN[..], &[E::StepLost]].concat()).unwrap();

        assert_eq!(lost.after(E::StepOk).unwrap().position, 1);
        assert_eq!(lost.after(E::StepFailed).unwrap().state, State::Failed);
        assert_eq!(lost.after(E::Started).unwrap().step(), Some(StepState::Running));
        assert_eq!(lost.after(E::NeverStarted).unwrap().step(), Some(StepState::Pending));
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

    /// What must hold of a run whatever has happened to it.
    fn is_consistent(run: &Progress) -> bool {
        let at = run.step();
        let is_ahead = |step: &StepState| *step == StepState::Pending;
        match run.state {
            State::Waiting | State::Queued => run.position == 0 && run.steps.iter().all(is_ahead),
            State::Running => at.is_some_and(|step| !step.is_final() && step != StepState::Unknown),
            State::NeedsAttention => at == Some(StepState::Unknown),
            State::Rejected | State::Expired => {
                run.steps.iter().all(|step| *step == StepState::Skipped)
            }
            ended => {
                let is_outcome = ended == State::Cancelled || ended == run.outcome();
                is_outcome && run.steps.iter().all(|step| step.is_final())
            }
        }
    }

    proptest! {
        #[test]
        fn no_order_of_events_reaches_what_the_table_lacks(
            always in prop::collection::vec(any::<bool>(), 1..5),
            picks in prop::collection::vec(0..EVENTS.len(), 0..120),
        ) {
            let mut run = Progress::new(always);
            for pick in picks {
                let Ok(next) = run.after(EVENTS[pick]) else { continue };
                prop_assert!(!run.state.is_final(), "a final run moved");
                for (index, step) in run.steps.iter().enumerate() {
                    prop_assert!(!step.is_final() || *step == next.steps[index], "a final step moved");
                }
                prop_assert!(is_consistent(&next), "{:?} from {run:?}: {next:?}", EVENTS[pick]);
                run = next;
            }
        }

        #[test]
        fn no_step_starts_twice_without_proof_or_a_person(picks in prop::collection::vec(0..EVENTS.len(), 0..60)) {
            let mut run = Progress::new(vec![false; 3]);
            let mut begun = [false; 3];
            for pick in picks {
                let event = EVENTS[pick];
                let at = run.position;
                let was = run.step();
                let Ok(next) = run.after(event) else { continue };
                match event {
                    // Found running again is no new start.
                    E::Started if was == Some(StepState::Starting) => {
                        prop_assert!(!begun[at], "step {at} began twice");
                        begun[at] = true;
                    }
                    E::Again | E::Retrying | E::NeverStarted => begun[at] = false,
                    _ => {}
                }
                run = next;
            }
        }
    }
}
