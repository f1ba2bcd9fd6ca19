//! An alert: something that is wrong with a service, from its first sighting to its end. What a source
//! says (a [`Sighting`]) and what people do (an [`Event`]) go in, the alert's next condition and what is
//! to be told ([`Effect`]) come out. Pure: asks no clock, and tells nobody.
//!
//! Its level is the manual's 1, 2 or 3, and stands beside its state. Time is an event like every other:
//! whoever keeps alerts asks [`Condition::after`] with [`Event::TimePassed`] when [`Condition::next_ms`]
//! has come, however late that is.

use super::escalation::{Policies, Target};
use super::freeze;
use super::id::UserId;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// How far a source's clock may be ahead of the bot's. A beginning later than that is a mistake of some clock: it
/// must not make what begins now old.
pub const CLOCK_AHEAD_MS_MAX: i64 = 5 * 60_000;
/// An alert that comes back within this time of its end is the same alert.
pub const REOPENS_WITHIN_MS: i64 = 10 * 60_000;
/// Once it has come back so often, its end must last before it counts.
pub const FLAPS_MIN: u32 = 3;
/// For so long.
pub const SETTLES_AFTER_MS: i64 = 10 * 60_000;
/// Resolved by a person while its source still says that it fires, it opens again after this.
pub const BY_HAND_MS: i64 = 15 * 60_000;
/// Nothing is due.
pub const NEVER_MS: i64 = i64::MAX;

/// The manual's three levels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Level 1: recorded; it may pass by itself within five minutes.
    Warning,
    /// Level 2: the developers are told at once and answer within fifteen minutes.
    Error,
    /// Level 3: everybody concerned is told at once.
    Critical,
}

impl Level {
    /// Every level, the least first.
    pub const ALL: [Self; 3] = [Self::Warning, Self::Error, Self::Critical];
    /// As the files name them.
    pub const NAMES: [&'static str; 3] = ["warning", "error", "critical"];

    /// As the files name it: its severity.
    pub fn name(self) -> &'static str {
        Self::NAMES[self as usize]
    }

    /// From 1 to 3, as the manual counts.
    pub fn number(self) -> u8 {
        self as u8 + 1
    }

    /// Reads a severity.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.name() == name)
    }

    /// Reads a number from 1 to 3.
    pub fn numbered(number: i64) -> Option<Self> {
        Self::ALL.into_iter().find(|one| i64::from(one.number()) == number)
    }

    /// The next one up; the highest stays.
    #[must_use]
    pub fn above(self) -> Self {
        match self {
            Self::Warning => Self::Error,
            Self::Error | Self::Critical => Self::Critical,
        }
    }
}

/// A way to people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Way {
    /// The environment's conversation.
    Slack,
    /// Mail.
    Email,
    /// PagerDuty.
    Pagerduty,
}

impl Way {
    /// Every way.
    pub const ALL: [Self; 3] = [Self::Slack, Self::Email, Self::Pagerduty];
    /// As the files name them.
    pub const NAMES: [&'static str; 3] = ["slack", "email", "pagerduty"];

    /// As the files name it.
    pub fn name(self) -> &'static str {
        Self::NAMES[self as usize]
    }

    /// Reads a name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.name() == name)
    }
}

/// What a source says of one instance of an alert at one moment: it fires, or it is over. Saying the same
/// again changes nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sighting {
    /// Which source: `rule`, `alertmanager`, `webhook`, `bot`.
    pub source: String,
    /// The source's own name for the instance, 128 bytes at most: the same one again is the same instance.
    pub fingerprint: String,
    /// Since when it fires, as the source says. Another beginning is another firing.
    pub starts_ms: i64,
    /// When it was over; `None`: it fires.
    pub ended_ms: Option<i64>,
    /// What is wrong: `error_rate`, `InstanceDown`.
    pub name: String,
    /// The service; the runbook's, unless the source says another.
    pub service: String,
    /// The environment of the runbook; the default one where the source names none that is known.
    pub environment: String,
    /// How bad it is by its source; escalation can make it worse.
    pub level: Level,
    /// Where it is told; Slack always is.
    pub ways: BTreeSet<Way>,
    /// One line. May be anything: it comes from outside.
    pub summary: String,
    /// More of it. As well.
    pub description: String,
    /// What tells its instances apart. As well.
    pub labels: BTreeMap<String, String>,
    /// What people open next: label and `http(s)` address.
    pub links: Vec<(String, String)>,
    /// The measure as it is shown: `7.2% > 5%`; empty: unknown.
    pub value: String,
    /// Who is meant to look after it, as the configuration names them; empty: nobody in particular.
    pub owner: String,
}

impl Sighting {
    /// Whether another program says it, and not the bot's own rules or watch.
    pub fn is_from_outside(&self) -> bool {
        !matches!(self.source.as_str(), "rule" | "bot")
    }

    /// Instances of one group are one alert: the same thing wrong with the same service in the same place.
    pub fn group(&self) -> String {
        // A name from outside may hold what stands between them.
        let part = |text: &str| text.replace('%', "%25").replace('/', "%2F");
        let parts = [&self.source, &self.environment, &self.service, &self.name];
        parts.map(|one| part(one)).join("/")
    }
}

/// Where an alert stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It fires, and nobody has taken it.
    Open,
    /// Somebody has taken it.
    Acknowledged,
    /// It is over.
    Resolved,
}

impl State {
    /// Every state.
    pub const ALL: [Self; 3] = [Self::Open, Self::Acknowledged, Self::Resolved];

    /// The word in the database and the journal.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Acknowledged => "acknowledged",
            Self::Resolved => "resolved",
        }
    }

    /// Reads that word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == word)
    }
}

/// Everything of an alert that moves.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own, in any combination")]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Condition {
    /// Where it stands.
    pub state: State,
    /// How bad it is by now.
    pub level: Level,
    /// Whether any of its instances fires.
    pub is_firing: bool,
    /// When its level's policy began to count: with the level, or anew after a silence or an
    /// acknowledgement that was undone.
    pub since_ms: i64,
    /// How many tellings of that policy are done.
    pub told: u32,
    /// When something is due next; [`NEVER_MS`]: nothing is.
    pub next_ms: i64,
    /// Who has taken it, and when; again when they say so again.
    pub acknowledged: Option<(String, i64)>,
    /// Whether they were reminded since.
    pub is_reminded: bool,
    /// Until when nobody is told; 0: not silenced.
    pub silenced_until_ms: i64,
    /// Whether another alert that says more keeps it quiet.
    pub is_inhibited: bool,
    /// Since when none of its instances fires; 0: one does.
    pub cleared_ms: i64,
    /// How often it came back within [`REOPENS_WITHIN_MS`].
    pub returns: u32,
    /// When it was resolved; 0: it is not.
    pub resolved_ms: i64,
    /// Whether a person resolved it.
    pub is_by_hand: bool,
    /// Since when it is of level 3; 0: it never was. The recovery clock counts from here.
    pub critical_ms: i64,
    /// Whether it was said that the recovery takes longer than it may.
    pub is_overdue: bool,
}

/// What happens to an alert.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A new instance fires, of this level.
    Fired(Level),
    /// None of its instances fires any more.
    Cleared,
    /// Somebody takes it, or says again that they have.
    Acknowledged {
        /// Who: a user id, or `pagerduty`.
        by: String,
    },
    /// Somebody gives it back.
    Unacknowledged,
    /// Somebody says that it is over.
    Resolved,
    /// Somebody wants the next level at once.
    Escalated,
    /// Nobody is told until then.
    Silenced {
        /// When it ends.
        until_ms: i64,
    },
    /// A silence has ended, or was ended.
    Unsilenced,
    /// Another alert says more.
    Inhibited,
    /// That one is over.
    Released,
    /// A notice of it could not be delivered by this way: people are told by every other.
    Undelivered(Way),
    /// Time goes by.
    TimePassed,
}

/// Why people are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// It is new.
    New,
    /// It came back.
    Returned,
    /// The next step of its policy.
    Step,
    /// Once more, for nobody has taken it.
    Repeated,
    /// Nobody answered in time, or it did not pass by itself: its level is one higher.
    Unanswered,
    /// Its source says that it is worse.
    Worse,
    /// A person wanted the next level.
    Asked,
    /// Whoever took it gave it back.
    GivenBack,
    /// Whoever took it was not heard of again.
    Forgotten,
    /// A silence is over and it still fires.
    SilenceOver,
    /// What kept it quiet is over and it still fires.
    Released,
    /// It was resolved by hand, and its source still says that it fires.
    StillFiring,
    /// A notice of it did not get through: it is told by every way.
    Undelivered,
}

/// What is to be done about what happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// People are called. With nobody to call (level 1) it is written down and shown.
    Tell {
        /// Why.
        why: Why,
        /// Whom.
        targets: Vec<Target>,
    },
    /// People would be called now, and are not: it is silenced or inhibited. Only written down.
    Quiet {
        /// Why they would be.
        why: Why,
    },
    /// Whoever took it is asked whether they still have it.
    Remind,
    /// It is of level 3 for the first time.
    Incident,
    /// The recovery takes longer than it may.
    RecoveryOverdue,
    /// It is over.
    Over,
    /// It comes and goes: its end must last.
    Settling,
}

/// An event that means nothing in a state; nothing was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an alert that is {} cannot take this", .state.as_str())]
pub struct Illegal {
    /// Where it stands.
    pub state: State,
}

/// A person's user id, where an alert was taken by one.
pub fn taken_by(by: &str) -> Option<UserId> {
    let is_user = by.starts_with(['U', 'W']) && by.len() > 1;
    is_user.then(|| UserId::new(by))
}

impl Condition {
    /// Before its first instance fires: [`Event::Fired`] is what comes next.
    pub fn before(level: Level) -> Self {
        Self {
            state: State::Resolved,
            level,
            is_firing: false,
            since_ms: 0,
            told: 0,
            next_ms: NEVER_MS,
            acknowledged: None,
            is_reminded: false,
            silenced_until_ms: 0,
            is_inhibited: false,
            cleared_ms: 0,
            returns: 0,
            resolved_ms: 0,
            is_by_hand: false,
            critical_ms: 0,
            is_overdue: false,
        }
    }
}

/// What an event leads to.
pub type Next = (Condition, Vec<Effect>);

impl Condition {
    /// Whether it is over.
    pub fn is_over(&self) -> bool {
        self.state == State::Resolved
    }

    /// Whether it comes and goes.
    pub fn is_flapping(&self) -> bool {
        self.returns >= FLAPS_MIN
    }

    /// Whether nobody is to be told now, whatever it does.
    pub fn is_quiet(&self, now_ms: i64) -> bool {
        self.is_inhibited || self.silenced_until_ms > now_ms
    }

    /// When the recovery must be done; 0: it is of no level that has a clock.
    pub fn recover_by_ms(&self, policies: &Policies) -> i64 {
        if self.critical_ms == 0 { 0 } else { self.critical_ms + policies.recovery_ms }
    }

    /// What an event makes of it, and what is to be done about it. The same event again changes nothing
    /// that people would be told of.
    ///
    /// # Errors
    /// [`Illegal`] for what people want of an alert that is over.
    pub fn after(&self, event: &Event, policies: &Policies, now_ms: i64) -> Result<Next, Illegal> {
        let mut next = Moving { now: self.clone(), effects: Vec::new(), policies, now_ms };
        match event {
            Event::Fired(level) => next.fired(*level),
            Event::Cleared => next.cleared(),
            Event::TimePassed => {}
            Event::Undelivered(_) => {
                if self.state == State::Open && !self.is_quiet(now_ms) {
                    let policy = policies.of(self.level);
                    let targets = policy.targets(self.told.saturating_sub(1)).to_vec();
                    next.effects.push(Effect::Tell { why: Why::Undelivered, targets });
                }
            }
            Event::Inhibited => {
                next.now.is_inhibited = true;
            }
            Event::Released => {
                if next.now.is_inhibited {
                    next.now.is_inhibited = false;
                    next.speak_again(Why::Released);
                }
            }
            Event::Silenced { until_ms } => {
                self.open_for_people()?;
                next.now.silenced_until_ms = *until_ms;
            }
            Event::Unsilenced => {
                if next.now.silenced_until_ms != 0 {
                    next.now.silenced_until_ms = 0;
                    next.speak_again(Why::SilenceOver);
                }
            }
            Event::Acknowledged { by } => {
                self.open_for_people()?;
                next.now.state = State::Acknowledged;
                next.now.acknowledged = Some((by.clone(), now_ms));
                next.now.is_reminded = false;
            }
            Event::Unacknowledged => {
                self.open_for_people()?;
                if self.state == State::Acknowledged {
                    next.open_again();
                    next.speak_again(Why::GivenBack);
                }
            }
            Event::Resolved => {
                self.open_for_people()?;
                next.now.is_by_hand = self.is_firing;
                next.over();
            }
            Event::Escalated => {
                self.open_for_people()?;
                // Who wants it louder does not want it silent.
                next.now.silenced_until_ms = 0;
                next.open_again();
                next.rise(Why::Asked);
            }
        }
        next.time();
        Ok((next.now, next.effects))
    }

    fn open_for_people(&self) -> Result<(), Illegal> {
        if self.is_over() { Err(Illegal { state: self.state }) } else { Ok(()) }
    }
}

/// A condition while an event is worked into it.
struct Moving<'p> {
    now: Condition,
    effects: Vec<Effect>,
    policies: &'p Policies,
    now_ms: i64,
}

impl Moving<'_> {
    fn fired(&mut self, level: Level) {
        let was_over = self.now.is_over();
        let is_known = self.now.since_ms != 0;
        self.now.is_firing = true;
        self.now.cleared_ms = 0;
        if was_over {
            self.now.returns += u32::from(is_known);
            self.now.resolved_ms = 0;
            self.now.is_by_hand = false;
            self.now.level = if is_known { self.now.level.max(level) } else { level };
            self.open_again();
            self.reach();
            let why = if is_known { Why::Returned } else { Why::New };
            self.tell_anew(why);
        } else if level > self.now.level {
            self.now.level = level;
            self.open_again();
            self.reach();
            self.tell_anew(Why::Worse);
        }
    }

    /// Over, unless it comes and goes: then only when it has lasted.
    fn cleared(&mut self) {
        let was_firing = std::mem::replace(&mut self.now.is_firing, false);
        if self.now.is_over() || !was_firing {
            return;
        }
        self.now.cleared_ms = self.now_ms;
        if self.now.is_flapping() {
            self.effects.push(Effect::Settling);
        } else {
            self.over();
        }
    }

    fn over(&mut self) {
        self.now.state = State::Resolved;
        self.now.resolved_ms = self.now_ms;
        self.now.acknowledged = None;
        self.now.is_reminded = false;
        self.effects.push(Effect::Over);
    }

    fn open_again(&mut self) {
        self.now.state = State::Open;
        self.now.acknowledged = None;
        self.now.is_reminded = false;
    }

    /// The level's policy begins to count.
    fn begin(&mut self) {
        self.now.since_ms = self.now_ms;
        self.now.told = 0;
    }

    /// The level is one higher; the highest is told once more.
    fn rise(&mut self, why: Why) {
        self.now.level = self.now.level.above();
        self.reach();
        self.tell_anew(why);
    }

    /// At level 3 for the first time it is an incident.
    fn reach(&mut self) {
        if self.now.level == Level::Critical && self.now.critical_ms == 0 {
            self.now.critical_ms = self.now_ms;
            self.effects.push(Effect::Incident);
        }
    }

    /// The policy from its beginning; what is due at once is told with this reason. Whoever asks for people
    /// gets them, whatever keeps it quiet otherwise.
    fn tell_anew(&mut self, why: Why) {
        self.begin();
        if self.now.is_quiet(self.now_ms) && why != Why::Asked {
            self.effects.push(Effect::Quiet { why });
            return;
        }
        let targets = self.due();
        self.effects.push(Effect::Tell { why, targets });
    }

    /// What kept it quiet is over, or whoever had it is gone. While it settles nobody is called: its policy
    /// begins, and goes on if it fires again.
    fn speak_again(&mut self, why: Why) {
        if self.now.state != State::Open {
            return;
        }
        if self.now.is_firing {
            self.tell_anew(why);
        } else {
            self.begin();
        }
    }

    /// Whom the tellings tell that are due and not done: they are done with this.
    fn due(&mut self) -> Vec<Target> {
        let policy = self.policies.of(self.now.level);
        let mut targets: Vec<Target> = Vec::new();
        while let Some(after_ms) = policy.due_ms(self.now.told)
            && self.now.since_ms.saturating_add(after_ms) <= self.now_ms
        {
            for target in policy.targets(self.now.told) {
                if !targets.contains(target) {
                    targets.push(target.clone());
                }
            }
            self.now.told += 1;
        }
        targets
    }

    /// What is due by now, and when something is due next.
    fn time(&mut self) {
        // Each turn either does something that is not done twice, or ends it.
        for _ in 0..=Level::ALL.len() + 3 {
            let Some(due_ms) = self.next_due() else {
                self.now.next_ms = NEVER_MS;
                return;
            };
            if due_ms > self.now_ms {
                self.now.next_ms = due_ms;
                return;
            }
            self.turn();
        }
        self.now.next_ms = self.now_ms.saturating_add(1_000);
    }

    fn next_due(&self) -> Option<i64> {
        let now = &self.now;
        let overdue = (now.critical_ms > 0 && !now.is_overdue && !now.is_over())
            .then(|| now.recover_by_ms(self.policies));
        let settled = (now.cleared_ms > 0 && !now.is_over() && !now.is_firing)
            .then(|| now.cleared_ms + SETTLES_AFTER_MS);
        let silence = (now.silenced_until_ms > 0).then_some(now.silenced_until_ms);
        let own = match now.state {
            State::Resolved => {
                return now.is_by_hand.then(|| now.resolved_ms + BY_HAND_MS);
            }
            State::Acknowledged => now.acknowledged.as_ref().map(|(_, at_ms)| {
                let remind_ms = at_ms + self.policies.remind_after_ms;
                if now.is_reminded { remind_ms + self.policies.undo_after_ms } else { remind_ms }
            }),
            State::Open if now.is_quiet(self.now_ms) => None,
            State::Open => self.policy_due(),
        };
        [overdue, settled, silence, own].into_iter().flatten().min()
    }

    /// When an open alert's next telling is due, or its level rises; after the quiet hours, if they hold.
    fn policy_due(&self) -> Option<i64> {
        if !self.now.is_firing {
            // Settling: it is over, as far as is known.
            return None;
        }
        let policy = self.policies.of(self.now.level);
        let telling = policy.due_ms(self.now.told).map(|after_ms| self.now.since_ms + after_ms);
        [telling, self.rises_ms()].into_iter().flatten().min()
    }

    fn rises_ms(&self) -> Option<i64> {
        let policy = self.policies.of(self.now.level);
        let at_ms = self.now.since_ms.saturating_add(policy.rises_after_ms?);
        // Whoever was away must not rise it when they come back in the middle of them.
        let looked_ms = at_ms.max(self.now_ms);
        match &policy.quiet {
            Some(quiet) if quiet.holds(looked_ms) => freeze::ends_ms(&[quiet], looked_ms),
            _ => Some(at_ms),
        }
    }

    /// Does one thing that is due.
    fn turn(&mut self) {
        let now_ms = self.now_ms;
        let is_due = |at_ms: i64| at_ms <= now_ms;
        if self.now.is_over() {
            // Resolved by hand, and its source was not convinced.
            self.now.is_by_hand = false;
            if self.now.is_firing {
                self.now.resolved_ms = 0;
                self.open_again();
                self.tell_anew(Why::StillFiring);
            }
            return;
        }
        if !self.now.is_firing
            && self.now.cleared_ms > 0
            && is_due(self.now.cleared_ms + SETTLES_AFTER_MS)
        {
            self.over();
            return;
        }
        if self.now.critical_ms > 0
            && !self.now.is_overdue
            && is_due(self.now.recover_by_ms(self.policies))
        {
            self.now.is_overdue = true;
            self.effects.push(Effect::RecoveryOverdue);
            return;
        }
        if self.now.silenced_until_ms > 0 && is_due(self.now.silenced_until_ms) {
            self.now.silenced_until_ms = 0;
            self.speak_again(Why::SilenceOver);
            return;
        }
        match self.now.state {
            State::Acknowledged if self.now.is_reminded => {
                self.open_again();
                self.speak_again(Why::Forgotten);
            }
            State::Acknowledged => {
                self.now.is_reminded = true;
                // Undone only after whoever has it had their time to answer.
                let late_ms = now_ms - self.policies.remind_after_ms;
                if let Some((_, at_ms)) = &mut self.now.acknowledged {
                    *at_ms = (*at_ms).max(late_ms);
                }
                self.effects.push(Effect::Remind);
            }
            State::Open => self.step(),
            State::Resolved => {}
        }
    }

    /// The level rises, or the next telling is due. A rise comes first: it tells more people.
    fn step(&mut self) {
        if self.rises_ms().is_some_and(|at_ms| at_ms <= self.now_ms) {
            self.rise(Why::Unanswered);
            return;
        }
        let policy = self.policies.of(self.now.level);
        let why = if policy.is_repetition(self.now.told) { Why::Repeated } else { Why::Step };
        let targets = self.due();
        self.effects.push(Effect::Tell { why, targets });
    }
}

#[cfg(test)]
mod tests;
