//! A rule: a measure that must not exceed its threshold for so long. What one evaluation found
//! ([`Reading`]) becomes an [`Outcome`], and an outcome moves the rule's [`Standing`]. Pure: asks nobody,
//! knows no clock.
//!
//! A rule is evaluated at ticks, multiples of its interval since 1970, so that every bot, and the same bot
//! after a restart, evaluates the same moments. Only a breach lets time count; what cannot be told freezes
//! it, then makes the rule unknown. A rule that fires ends only by a measure that is in order: never by
//! the absence of one.

use super::alert::{Level, Way};
use super::duration;
use super::text::Text;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::fmt;

/// A duration has at least so many ticks …
const TICKS_A_DURATION: u64 = 6;
/// … which are no closer and no farther apart than this.
const INTERVAL_MS: (u64, u64) = (1_000, 15_000);
/// So many ticks in a row may find nothing before the rule is unknown.
pub const FROZEN_TICKS_MAX: u32 = 2;
/// A sample may be so many scrape intervals old.
pub const FRESH_SCRAPES: u64 = 2;
/// Millionths in a whole.
pub const WHOLE_MILLIONTHS: u32 = 1_000_000;

/// What must not be exceeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Threshold {
    /// A part of all: 0.05 is 50,000 millionths. From one millionth to the whole.
    Ratio {
        /// So that counts can be compared without rounding.
        millionths: u32,
    },
    /// The time within which this percentage of all answers has come.
    Time {
        /// From 1 to 99.
        percentile: u8,
        /// How long that may take.
        ms: u64,
    },
    /// A time; the measure is in seconds.
    Duration {
        /// How long.
        ms: u64,
    },
    /// Any number.
    Number {
        /// Exactly as it was written.
        millionths: i64,
    },
}

impl Threshold {
    /// As the measure is: parts of all, seconds, or whatever it counts.
    pub fn value(self) -> f64 {
        match self {
            Self::Ratio { millionths } => f64::from(millionths) / f64::from(WHOLE_MILLIONTHS),
            Self::Time { ms, .. } | Self::Duration { ms } => ms as f64 / 1_000.0,
            Self::Number { millionths } => millionths as f64 / f64::from(WHOLE_MILLIONTHS),
        }
    }

    /// A measure in the threshold's own unit: `7.2%`, `6.5s`, `12`.
    pub fn spell(self, measured: f64) -> String {
        if !measured.is_finite() {
            return if measured.is_nan() { "NaN" } else { "∞" }.to_owned();
        }
        match self {
            Self::Ratio { .. } => format!("{}%", short(measured * 100.0)),
            Self::Time { .. } | Self::Duration { .. } => format!("{}s", short(measured)),
            Self::Number { .. } => short(measured),
        }
    }
}

/// At most two decimals; what is too small for them is shown by its first figures.
fn short(number: f64) -> String {
    let text = if number != 0.0 && number.abs() < 0.01 {
        format!("{number:.6}")
    } else {
        format!("{number:.2}")
    };
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

impl fmt::Display for Threshold {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let decimal = |number: u64, decimals: usize| {
            let scale = 10_u64.pow(decimals as u32);
            let text = format!("{}.{:0decimals$}", number / scale, number % scale);
            text.trim_end_matches('0').trim_end_matches('.').to_owned()
        };
        match self {
            Self::Ratio { millionths } => write!(out, "{}%", decimal(u64::from(*millionths), 4)),
            Self::Time { percentile, ms } => write!(out, "P{percentile} {}", duration::spell(*ms)),
            Self::Duration { ms } => out.write_str(&duration::spell(*ms)),
            Self::Number { millionths } => {
                let sign = if *millionths < 0 { "-" } else { "" };
                write!(out, "{sign}{}", decimal(millionths.unsigned_abs(), 6))
            }
        }
    }
}

/// What is asked at each tick, in PromQL.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Questions {
    /// The measure: one number.
    pub value: String,
    /// How many seconds ago the newest of its samples was taken; empty: not asked.
    pub age: String,
    /// How much the measure is made of; empty: not asked.
    pub volume: String,
}

/// One measure and when it is too much.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Its name in the file.
    pub name: String,
    /// What is asked.
    pub questions: Questions,
    /// More than this is a breach.
    pub threshold: Threshold,
    /// What is not more than this is in order; between the two a firing rule goes on.
    pub clear: Threshold,
    /// How long a breach lasts before the rule fires.
    pub duration_ms: i64,
    /// How long it is in order before a firing rule ends.
    pub clear_for_ms: i64,
    /// How often its samples are taken.
    pub scrape_interval_ms: u64,
    /// The least that the measure must be made of.
    pub min_samples: u64,
    /// How bad it is.
    pub level: Level,
    /// Where it is told.
    pub ways: BTreeSet<Way>,
    /// One line for people; empty: its name is enough.
    pub summary: Option<Text>,
    /// What people open next: an address, or empty.
    pub runbook: String,
    /// Who looks after it; empty: nobody in particular.
    pub owner: String,
}

impl Rule {
    /// Between two ticks, in milliseconds: whole seconds.
    pub fn interval_ms(&self) -> i64 {
        let part = self.duration_ms.unsigned_abs() / TICKS_A_DURATION;
        (part.clamp(INTERVAL_MS.0, INTERVAL_MS.1) / 1_000 * 1_000).cast_signed()
    }

    /// The tick at or before a moment.
    pub fn tick_ms(&self, at_ms: i64) -> i64 {
        at_ms.div_euclid(self.interval_ms()) * self.interval_ms()
    }

    /// Of what decides when it fires, in hexadecimal digits: with another one it starts anew.
    pub fn digest(&self) -> String {
        let deciding = (
            &self.questions,
            (self.threshold, self.clear),
            (self.duration_ms, self.clear_for_ms, self.scrape_interval_ms, self.min_samples),
        );
        let text = serde_json::to_string(&deciding).unwrap_or_default();
        hex::encode(Sha256::digest(text))
    }

    /// How old its newest sample may be.
    pub fn fresh_ms(&self) -> u64 {
        self.scrape_interval_ms * FRESH_SCRAPES
    }

    /// The measure against its threshold, for people: `7.2% > 5%`.
    pub fn spell(&self, measured: f64) -> String {
        let sign = if measured > self.threshold.value() { ">" } else { "≤" };
        format!("{} {sign} {}", self.threshold.spell(measured), self.threshold)
    }
}

/// What was answered to one question.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// A number, which may be none (NaN) or infinite.
    Number(f64),
    /// There is none.
    Nothing,
    /// It could not be asked, or what came is no answer. The words are for people and come from outside.
    Failed(String),
}

/// What one evaluation found.
#[derive(Debug, Clone, PartialEq)]
pub struct Reading {
    /// The measure.
    pub value: Answer,
    /// Seconds since its newest sample; `None`: not asked.
    pub age: Option<Answer>,
    /// How much it is made of; `None`: not asked.
    pub volume: Option<Answer>,
    /// What was warned of with an answer: it may be partial.
    pub warning: Option<String>,
}

impl Reading {
    /// A measure of which nothing else is known.
    pub fn of(value: Answer) -> Self {
        Self { value, age: None, volume: None, warning: None }
    }

    /// The measure, where it is a number.
    pub fn number(&self) -> Option<f64> {
        match self.value {
            Answer::Number(number) if !number.is_nan() => Some(number),
            _ => None,
        }
    }
}

/// What a reading says of its rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// More than the threshold.
    Breach,
    /// No more than the threshold, and more than what counts as in order.
    Between,
    /// In order.
    Ok,
    /// Nothing can be told from what is there.
    NoData,
    /// It could not be asked.
    Error,
}

impl Outcome {
    /// Every outcome.
    pub const ALL: [Self; 5] = [Self::Breach, Self::Between, Self::Ok, Self::NoData, Self::Error];

    /// The word in metrics and in the journal.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Breach => "breach",
            Self::Between => "between",
            Self::Ok => "ok",
            Self::NoData => "no_data",
            Self::Error => "error",
        }
    }

    /// Whether something can be told from it.
    pub fn is_known(self) -> bool {
        !matches!(self, Self::NoData | Self::Error)
    }
}

/// Why nothing can be told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// There is no such series now.
    Empty,
    /// The measure is no number: nothing was counted.
    NotANumber,
    /// The newest sample is too old, or there is none.
    Stale {
        /// How old it is; 0: there is none.
        age_ms: u64,
        /// How old it may be.
        fresh_ms: u64,
    },
    /// The answer came with a warning.
    Warned(String),
    /// The measure is made of too little.
    Few {
        /// Of how much.
        found: u64,
        /// How much it takes.
        needed: u64,
    },
    /// It could not be asked.
    Failed(String),
    /// It was not asked for too long: no bot ran.
    Gap,
}

impl Why {
    /// For people. What comes from outside stands in it as it came.
    pub fn words(&self) -> Text {
        match self {
            Self::Empty => Text::new("没有这项数据", "there is no such series"),
            Self::NotANumber => Text::new(
                "结果不是数字（期间没有计数）",
                "the measure is no number: nothing was counted",
            ),
            Self::Stale { age_ms: 0, .. } => Text::new("没有样本", "there is no sample"),
            Self::Stale { age_ms, fresh_ms } => {
                let (age, fresh) = (duration::about(*age_ms), duration::about(*fresh_ms));
                Text::new(
                    format!("最新样本已有 {}，最多 {}", age.zh, fresh.zh),
                    format!("the newest sample is {} old; at most {}", age.en, fresh.en),
                )
            }
            Self::Warned(words) => Text::new(
                format!("Prometheus 给出警告：{words}"),
                format!("Prometheus warns: {words}"),
            ),
            Self::Few { found, needed } => Text::new(
                format!("样本太少：{found} 个，至少 {needed} 个"),
                format!("too few samples: {found}, at least {needed}"),
            ),
            Self::Failed(words) => {
                Text::new(format!("查询失败：{words}"), format!("it could not be asked: {words}"))
            }
            Self::Gap => Text::new("机器人有一段时间没有运行", "no bot ran for a while"),
        }
    }
}

/// What a reading says of a rule, and why it says nothing.
pub fn judge(rule: &Rule, reading: &Reading) -> (Outcome, Option<Why>) {
    let all = [Some(&reading.value), reading.age.as_ref(), reading.volume.as_ref()];
    for answer in all.into_iter().flatten() {
        if let Answer::Failed(words) = answer {
            return (Outcome::Error, Some(Why::Failed(words.clone())));
        }
    }
    match nothing_in(rule, reading) {
        Ok(value) if value > rule.threshold.value() => (Outcome::Breach, None),
        Ok(value) if value > rule.clear.value() => (Outcome::Between, None),
        Ok(_) => (Outcome::Ok, None),
        Err(why) => (Outcome::NoData, Some(why)),
    }
}

/// The measure, if it can be believed.
fn nothing_in(rule: &Rule, reading: &Reading) -> Result<f64, Why> {
    if let Some(words) = &reading.warning {
        return Err(Why::Warned(words.clone()));
    }
    let value = match reading.value {
        Answer::Number(value) if value.is_nan() => return Err(Why::NotANumber),
        Answer::Number(value) => value,
        Answer::Nothing | Answer::Failed(_) => return Err(Why::Empty),
    };
    if let Some(age) = &reading.age {
        let fresh_ms = rule.fresh_ms();
        match age {
            Answer::Number(seconds) if *seconds * 1_000.0 <= fresh_ms as f64 => {}
            // A cast of a float stops at the bounds; of NaN it is 0.
            Answer::Number(seconds) => {
                return Err(Why::Stale { age_ms: (seconds * 1_000.0) as u64, fresh_ms });
            }
            Answer::Nothing | Answer::Failed(_) => return Err(Why::Stale { age_ms: 0, fresh_ms }),
        }
    }
    if let Some(volume) = &reading.volume {
        let found = match volume {
            Answer::Number(found) if !found.is_nan() => *found,
            _ => 0.0,
        };
        if found < rule.min_samples as f64 {
            return Err(Why::Few { found: found as u64, needed: rule.min_samples });
        }
    }
    Ok(value)
}

/// Where a rule stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// In order, as far as is known.
    Ok,
    /// In breach, not for long enough.
    Pending,
    /// In breach for long enough, and not in order since.
    Firing,
    /// It cannot be evaluated.
    Unknown,
}

impl State {
    /// Every state.
    pub const ALL: [Self; 4] = [Self::Ok, Self::Pending, Self::Firing, Self::Unknown];

    /// The word in the database, in metrics and in tests of alerts.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Pending => "pending",
            Self::Firing => "firing",
            Self::Unknown => "unknown",
        }
    }

    /// Reads that word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == word)
    }
}

/// Everything of a rule that moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// Where it stands.
    pub state: State,
    /// Since when. Of a pending rule: its first breach, later by the time that was frozen since.
    pub since_ms: i64,
    /// The tick at which it fired; 0: it does not. A rule that became unknown while it fired has one.
    pub fired_ms: i64,
    /// Since when a firing rule is in order, later by the time that was frozen since; 0: it is not.
    pub clear_ms: i64,
    /// Ticks in a row that told nothing.
    pub frozen: u32,
    /// Ticks that told nothing since its first breach.
    pub frozen_in_breach: u32,
    /// Whether people know that it is unknown.
    pub is_told: bool,
}

/// What became of a rule, for others to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// It fires, from this tick on.
    Fired,
    /// It is over; it had fired at this tick.
    Ended {
        /// When it had fired.
        fired_ms: i64,
    },
    /// It cannot be evaluated: people are told, once.
    Unknown,
    /// It can be again: people are told, once.
    Known,
}

impl Default for Standing {
    fn default() -> Self {
        Self::new()
    }
}

impl Standing {
    /// Before the first tick.
    pub const fn new() -> Self {
        Self {
            state: State::Ok,
            since_ms: 0,
            fired_ms: 0,
            clear_ms: 0,
            frozen: 0,
            frozen_in_breach: 0,
            is_told: false,
        }
    }

    /// Whether its alert stands, known or not.
    pub fn is_firing(&self) -> bool {
        self.fired_ms != 0
    }

    /// What the outcome of a tick makes of it.
    pub fn after(&self, rule: &Rule, outcome: Outcome, tick_ms: i64) -> (Self, Vec<Change>) {
        let mut next = *self;
        let mut changes = Vec::new();
        if !outcome.is_known() {
            next.freeze(rule, tick_ms, &mut changes);
            return (next, changes);
        }
        next.frozen = 0;
        if next.state == State::Unknown {
            if std::mem::take(&mut next.is_told) {
                changes.push(Change::Known);
            }
            let state = if next.is_firing() { State::Firing } else { State::Ok };
            next.to(state, tick_ms);
        }
        match (next.state, outcome) {
            (State::Firing, Outcome::Ok) => next.clear(rule, tick_ms, &mut changes),
            (State::Firing, _) => next.clear_ms = 0,
            (State::Ok, Outcome::Breach) => {
                next.to(State::Pending, tick_ms);
                next.frozen_in_breach = 0;
                next.ripen(rule, tick_ms, &mut changes);
            }
            (State::Pending, Outcome::Breach) => next.ripen(rule, tick_ms, &mut changes),
            (State::Pending, _) => next.to(State::Ok, tick_ms),
            (State::Ok | State::Unknown, _) => {}
        }
        (next, changes)
    }

    /// Ticks were missed that cannot be made up for: what was pending is dropped, what fires goes on, and
    /// the next tick tells.
    #[must_use]
    pub fn after_gap(&self, tick_ms: i64) -> Self {
        let mut next = *self;
        if next.state != State::Unknown {
            next.to(State::Unknown, tick_ms);
        }
        next.clear_ms = 0;
        next.frozen = 0;
        next
    }

    fn to(&mut self, state: State, tick_ms: i64) {
        self.state = state;
        self.since_ms = tick_ms;
    }

    /// A breach has lasted long enough, or not.
    fn ripen(&mut self, rule: &Rule, tick_ms: i64, changes: &mut Vec<Change>) {
        if tick_ms - self.since_ms >= rule.duration_ms {
            self.to(State::Firing, tick_ms);
            self.fired_ms = tick_ms;
            self.clear_ms = 0;
            changes.push(Change::Fired);
        }
    }

    /// It has been in order long enough, or not.
    fn clear(&mut self, rule: &Rule, tick_ms: i64, changes: &mut Vec<Change>) {
        if self.clear_ms == 0 {
            self.clear_ms = tick_ms;
        }
        if tick_ms - self.clear_ms >= rule.clear_for_ms {
            self.to(State::Ok, tick_ms);
            self.clear_ms = 0;
            changes.push(Change::Ended { fired_ms: std::mem::take(&mut self.fired_ms) });
        }
    }

    /// Time does not count; after too much of it nothing is known any more.
    fn freeze(&mut self, rule: &Rule, tick_ms: i64, changes: &mut Vec<Change>) {
        self.frozen = self.frozen.saturating_add(1);
        self.frozen_in_breach = self.frozen_in_breach.saturating_add(1);
        if self.state == State::Pending {
            self.since_ms += rule.interval_ms();
        }
        if self.clear_ms != 0 {
            self.clear_ms += rule.interval_ms();
        }
        if self.frozen <= FROZEN_TICKS_MAX {
            return;
        }
        if self.state != State::Unknown {
            self.to(State::Unknown, tick_ms);
            self.clear_ms = 0;
        }
        if !std::mem::replace(&mut self.is_told, true) {
            changes.push(Change::Unknown);
        }
    }
}

/// Why a firing rule does not prove what an automatic deed would need.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Doubt {
    /// It does not fire: it was not in breach for its whole duration.
    NotFiring(State),
    /// The last tick was no breach.
    NotInBreach(Outcome),
    /// Some ticks told nothing, from the first breach to now.
    Interrupted {
        /// How many.
        ticks: u32,
    },
    /// Nobody looked whether its samples are fresh: the rule names none.
    FreshnessUnasked,
    /// Nobody looked what it is made of: the rule does not count it.
    VolumeUnasked,
    /// The last tick is not the newest that there could be.
    Old {
        /// How long ago it was.
        age_ms: i64,
    },
}

impl Doubt {
    /// For people and the journal.
    pub fn words(&self) -> Text {
        match self {
            Self::NotFiring(state) => Text::new(
                format!("没有在整个时长内持续超限（状态 {}）", state.as_str()),
                format!("not in breach for the whole duration (it is {})", state.as_str()),
            ),
            Self::NotInBreach(outcome) => Text::new(
                format!("最近一次没有超限（{}）", outcome.as_str()),
                format!("the last tick was no breach ({})", outcome.as_str()),
            ),
            Self::Interrupted { ticks } => Text::new(
                format!("其间有 {ticks} 次没有数据"),
                format!("{ticks} ticks meanwhile told nothing"),
            ),
            Self::FreshnessUnasked => Text::new(
                "规则没有指明样本，无法确认新鲜",
                "the rule names no samples: they may be stale",
            ),
            Self::VolumeUnasked => {
                Text::new("规则没有统计样本数量", "the rule does not count what it is made of")
            }
            Self::Old { age_ms } => {
                let age = duration::about(age_ms.unsigned_abs());
                Text::new(
                    format!("最近一次评估已是 {} 之前", age.zh),
                    format!("the last evaluation was {} ago", age.en),
                )
            }
        }
    }
}

impl Standing {
    /// Whether the rule is in breach, with fresh samples and enough of them, for its full duration:
    /// nothing speaks against it, or everything that does. What an automatic deed asks; anything but
    /// nothing is inconclusive. `last` is the outcome of the last tick.
    pub fn doubts(&self, rule: &Rule, last: (i64, Outcome), now_ms: i64) -> Vec<Doubt> {
        let (tick_ms, outcome) = last;
        let mut doubts = Vec::new();
        if self.state != State::Firing {
            doubts.push(Doubt::NotFiring(self.state));
        }
        if outcome != Outcome::Breach {
            doubts.push(Doubt::NotInBreach(outcome));
        }
        if self.frozen_in_breach > 0 {
            doubts.push(Doubt::Interrupted { ticks: self.frozen_in_breach });
        }
        if rule.questions.age.is_empty() {
            doubts.push(Doubt::FreshnessUnasked);
        }
        if rule.questions.volume.is_empty() || rule.min_samples == 0 {
            doubts.push(Doubt::VolumeUnasked);
        }
        if now_ms - tick_ms > 2 * rule.interval_ms() {
            doubts.push(Doubt::Old { age_ms: now_ms - tick_ms });
        }
        doubts
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::fmt::Write as _;

    fn rule() -> Rule {
        Rule {
            name: "error_rate".to_owned(),
            questions: Questions {
                value: "v".to_owned(),
                age: "a".to_owned(),
                volume: "n".to_owned(),
            },
            threshold: Threshold::Ratio { millionths: 50_000 },
            clear: Threshold::Ratio { millionths: 30_000 },
            duration_ms: 60_000,
            clear_for_ms: 0,
            scrape_interval_ms: 15_000,
            min_samples: 10,
            level: Level::Critical,
            ways: BTreeSet::new(),
            summary: None,
            runbook: String::new(),
            owner: String::new(),
        }
    }

    /// After each outcome, from a standing, a tick apart.
    fn walk(rule: &Rule, outcomes: &[Outcome]) -> Vec<(Standing, Vec<Change>)> {
        let mut standing = Standing::new();
        let ticks = (1_i64..).map(|count| count * rule.interval_ms());
        outcomes
            .iter()
            .zip(ticks)
            .map(|(outcome, tick_ms)| {
                let (next, changes) = standing.after(rule, *outcome, tick_ms);
                standing = next;
                (next, changes)
            })
            .collect()
    }

    fn letters(word: &str) -> Vec<Outcome> {
        let of = |letter| match letter {
            'b' => Outcome::Breach,
            'm' => Outcome::Between,
            'o' => Outcome::Ok,
            'n' => Outcome::NoData,
            'e' => Outcome::Error,
            other => panic!("{other}"),
        };
        word.chars().map(of).collect()
    }

    /// The state after each tick by its first letter, with a mark where something changed for others.
    fn course(rule: &Rule, word: &str) -> String {
        let mut line = String::new();
        for (standing, changes) in walk(rule, &letters(word)) {
            let letter = match standing.state {
                State::Ok => 'o',
                State::Pending => 'p',
                State::Firing => 'F',
                State::Unknown if standing.is_firing() => 'U',
                State::Unknown => 'u',
            };
            line.push(letter);
            for change in changes {
                line.push(match change {
                    Change::Fired => '!',
                    Change::Ended { .. } => '.',
                    Change::Unknown => '?',
                    Change::Known => '=',
                });
            }
        }
        line
    }

    #[test]
    fn ticks_are_multiples_of_a_sixth_of_the_duration() {
        let with = |duration_ms| Rule { duration_ms, ..rule() }.interval_ms();
        assert_eq!(
            [30, 60, 90, 120, 180, 300].map(|s| with(s * 1_000) / 1_000),
            [5, 10, 15, 15, 15, 15]
        );
        assert_eq!([1_000, 7_000, 61_000, 86_400_000].map(with), [1_000, 1_000, 10_000, 15_000]);
        assert_eq!(rule().tick_ms(1_795_489_205_999), 1_795_489_200_000);
        assert_eq!(rule().tick_ms(1_795_489_210_000), 1_795_489_210_000);
    }

    #[test]
    fn every_outcome_in_every_state() {
        let rule = rule();
        let at_ms = 1_000_000;
        let pending = Standing { state: State::Pending, since_ms: at_ms, ..Standing::new() };
        let firing =
            Standing { state: State::Firing, since_ms: at_ms, fired_ms: at_ms, ..Standing::new() };
        let told = Standing {
            state: State::Unknown,
            since_ms: at_ms,
            frozen: 3,
            is_told: true,
            ..Standing::new()
        };
        let states = [
            ("ok", Standing::new()),
            ("ok, frozen twice", Standing { frozen: 2, ..Standing::new() }),
            ("pending for 10 s", pending),
            ("pending for 60 s", Standing { since_ms: at_ms - 50_000, ..pending }),
            ("pending, frozen twice", Standing { frozen: 2, ..pending }),
            ("firing", firing),
            ("firing, frozen twice", Standing { frozen: 2, ..firing }),
            ("unknown", told),
            ("unknown, fired before", Standing { fired_ms: at_ms - 90_000, ..told }),
            ("after a gap", pending.after_gap(at_ms)),
            ("after a gap, fired before", firing.after_gap(at_ms)),
        ];
        let mut table = String::new();
        for (name, standing) in states {
            for outcome in Outcome::ALL {
                let (next, changes) = standing.after(&rule, outcome, at_ms + 10_000);
                let fires = if next.is_firing() { " (its alert stands)" } else { "" };
                let changes =
                    if changes.is_empty() { String::new() } else { format!(" {changes:?}") };
                let _ = writeln!(
                    table,
                    "{name} + {}: {}{fires}{changes}",
                    outcome.as_str(),
                    next.state.as_str()
                );
            }
        }
        insta::assert_snapshot!("every_outcome_in_every_state", table);
    }

    #[test]
    fn a_breach_fires_at_the_first_tick_at_which_it_has_lasted() {
        assert_eq!(course(&rule(), "obbbbbbbb"), "oppppppF!F");
        assert_eq!(course(&rule(), "bbbbbbobbb"), "ppppppoppp");
        // What lies between in-order and breach is no breach.
        assert_eq!(course(&rule(), "bbbbbbmbbb"), "ppppppoppp");
        // 61 s at ticks of 10 s: the first at or after it.
        let odd = Rule { duration_ms: 61_000, ..rule() };
        assert_eq!(course(&odd, "bbbbbbbbb"), "pppppppF!F");
    }

    #[test]
    fn what_tells_nothing_stops_the_clock_for_two_ticks_and_then_drops_what_was_pending() {
        assert_eq!(course(&rule(), "bbnnbbbbbb"), "ppppppppF!F");
        assert_eq!(course(&rule(), "bbnebnbbbb"), "pppppppppF!");
        assert_eq!(course(&rule(), "bbnnnbbbbbbb"), "ppppu?p=pppppF!");
    }

    #[test]
    fn nothing_but_a_measure_in_order_ends_what_fires() {
        assert_eq!(course(&rule(), "bbbbbbbnnnnneeeemo"), "ppppppF!FFU?UUUUUUF=o.");
        assert_eq!(course(&rule(), "bbbbbbbmmmmmo"), "ppppppF!FFFFFo.");
        assert_eq!(course(&rule(), "bbbbbbbnnnnbnno"), "ppppppF!FFU?UF=FFo.");
    }

    #[test]
    fn a_hold_wants_the_measure_in_order_for_its_whole_time() {
        let held = Rule { clear_for_ms: 20_000, ..rule() };
        assert_eq!(course(&held, "bbbbbbbooobo"), "ppppppF!FFo.po");
        assert_eq!(course(&held, "bbbbbbboomooo"), "ppppppF!FFFFFo.");
        // What tells nothing stops this clock too.
        assert_eq!(course(&held, "bbbbbbbonooo"), "ppppppF!FFFo.o");
    }

    #[test]
    fn a_gap_drops_what_was_pending_keeps_what_fires_and_tells_nobody() {
        let rule = rule();
        let walked = walk(&rule, &letters("bbbb"));
        let pending = walked.last().unwrap().0.after_gap(1_000_000);
        assert_eq!((pending.state, pending.is_firing()), (State::Unknown, false));
        assert_eq!(pending.after(&rule, Outcome::Ok, 1_010_000).1, []);
        let (again, _) = pending.after(&rule, Outcome::Breach, 1_010_000);
        assert_eq!((again.state, again.since_ms), (State::Pending, 1_010_000));

        let walked = walk(&rule, &letters("bbbbbbb"));
        let firing = walked.last().unwrap().0.after_gap(1_000_000);
        assert!(firing.is_firing());
        let (ended, changes) = firing.after(&rule, Outcome::Ok, 1_010_000);
        assert_eq!(ended.state, State::Ok);
        assert_eq!(changes, [Change::Ended { fired_ms: 70_000 }]);
    }

    #[test]
    fn a_reading_is_judged_by_what_it_can_prove() {
        let good = Reading {
            value: Answer::Number(0.06),
            age: Some(Answer::Number(29.9)),
            volume: Some(Answer::Number(10.0)),
            warning: None,
        };
        let judged = |reading: Reading| judge(&rule(), &reading);
        let value = |value: f64| judged(Reading { value: Answer::Number(value), ..good.clone() }).0;
        assert_eq!(value(0.050_000_1), Outcome::Breach);
        assert_eq!(value(0.05), Outcome::Between, "the threshold itself is no breach");
        assert_eq!(value(0.03), Outcome::Ok);
        assert_eq!(value(f64::INFINITY), Outcome::Breach);
        assert_eq!(value(f64::NEG_INFINITY), Outcome::Ok);

        let stale = |age_ms| Why::Stale { age_ms, fresh_ms: 30_000 };
        let failed = || Answer::Failed("refused".to_owned());
        for (reading, outcome, why) in [
            (
                Reading { value: Answer::Number(f64::NAN), ..good.clone() },
                Outcome::NoData,
                Why::NotANumber,
            ),
            (Reading { value: Answer::Nothing, ..good.clone() }, Outcome::NoData, Why::Empty),
            (
                Reading { age: Some(Answer::Number(31.0)), ..good.clone() },
                Outcome::NoData,
                stale(31_000),
            ),
            (Reading { age: Some(Answer::Nothing), ..good.clone() }, Outcome::NoData, stale(0)),
            (
                Reading { age: Some(Answer::Number(f64::NAN)), ..good.clone() },
                Outcome::NoData,
                stale(0),
            ),
            (
                Reading { volume: Some(Answer::Number(9.9)), ..good.clone() },
                Outcome::NoData,
                Why::Few { found: 9, needed: 10 },
            ),
            (
                Reading { volume: Some(Answer::Nothing), ..good.clone() },
                Outcome::NoData,
                Why::Few { found: 0, needed: 10 },
            ),
            (
                Reading { warning: Some("partial".to_owned()), ..good.clone() },
                Outcome::NoData,
                Why::Warned("partial".to_owned()),
            ),
            (
                Reading { value: failed(), ..good.clone() },
                Outcome::Error,
                Why::Failed("refused".to_owned()),
            ),
            (
                Reading { age: Some(failed()), ..good.clone() },
                Outcome::Error,
                Why::Failed("refused".to_owned()),
            ),
            (
                Reading { volume: Some(failed()), ..good.clone() },
                Outcome::Error,
                Why::Failed("refused".to_owned()),
            ),
        ] {
            assert_eq!(judged(reading), (outcome, Some(why)));
        }
    }

    #[test]
    fn an_automatic_deed_hears_of_everything_that_speaks_against_it() {
        let rule = rule();
        let walked = walk(&rule, &letters("bbbbbbb"));
        let firing = walked.last().unwrap().0;
        assert_eq!(firing.doubts(&rule, (70_000, Outcome::Breach), 75_000), []);

        let interrupted = walk(&rule, &letters("bbnbbbbb")).last().unwrap().0;
        assert_eq!(interrupted.state, State::Firing);
        let doubts = interrupted.doubts(&rule, (80_000, Outcome::Breach), 80_000);
        assert_eq!(doubts, [Doubt::Interrupted { ticks: 1 }]);

        let bare = Rule { questions: Questions::default(), ..rule.clone() };
        let pending = walked[3].0;
        let doubts = pending.doubts(&bare, (40_000, Outcome::Between), 61_000);
        let expected = [
            Doubt::NotFiring(State::Pending),
            Doubt::NotInBreach(Outcome::Between),
            Doubt::FreshnessUnasked,
            Doubt::VolumeUnasked,
            Doubt::Old { age_ms: 21_000 },
        ];
        assert_eq!(doubts, expected);
        for doubt in doubts {
            let words = doubt.words();
            assert!(!words.zh.is_empty() && !words.en.is_empty());
        }
        let cleared = firing.after(&rule, Outcome::Ok, 80_000).0;
        assert_eq!(cleared.doubts(&rule, (80_000, Outcome::Ok), 80_000).len(), 2);
    }

    #[test]
    fn a_measure_is_shown_in_the_unit_of_its_threshold() {
        assert_eq!(rule().spell(0.072), "7.2% > 5%");
        assert_eq!(rule().spell(0.05), "5% ≤ 5%");
        assert_eq!(rule().spell(0.000_012), "0.0012% ≤ 5%");
        let time = Rule { threshold: Threshold::Time { percentile: 99, ms: 5_000 }, ..rule() };
        assert_eq!(time.spell(6.5), "6.5s > P99 5s");
        let number = Rule { threshold: Threshold::Number { millionths: -1_500_000 }, ..rule() };
        assert_eq!(number.spell(-1.25), "-1.25 > -1.5");
        assert_eq!(number.spell(f64::INFINITY), "∞ > -1.5");
    }

    #[test]
    fn what_decides_is_in_the_digest_and_nothing_else() {
        let digest = rule().digest();
        assert_eq!(
            Rule { level: Level::Warning, owner: "team".to_owned(), ..rule() }.digest(),
            digest
        );
        for other in [
            Rule { threshold: Threshold::Ratio { millionths: 50_001 }, ..rule() },
            Rule { clear: Threshold::Ratio { millionths: 1 }, ..rule() },
            Rule { duration_ms: 61_000, ..rule() },
            Rule { clear_for_ms: 1, ..rule() },
            Rule { min_samples: 11, ..rule() },
            Rule { questions: Questions { value: "w".to_owned(), ..rule().questions }, ..rule() },
        ] {
            assert_ne!(other.digest(), digest);
        }
    }

    fn any_outcome() -> impl Strategy<Value = Outcome> {
        prop::sample::select(Outcome::ALL.to_vec())
    }

    proptest! {
        /// The same said another way: it fires where the last ticks were breaches, as many as it takes.
        #[test]
        fn without_gaps_it_fires_after_a_whole_duration_of_breaches(
            outcomes in prop::collection::vec(prop::sample::select(letters("bo")), 0..80),
            seconds in 1_i64..400,
        ) {
            let rule = Rule { duration_ms: seconds * 1_000, ..rule() };
            let needed = (rule.duration_ms as u64).div_ceil(rule.interval_ms() as u64);
            let mut breaches = 0;
            for ((standing, changes), outcome) in walk(&rule, &outcomes).into_iter().zip(outcomes) {
                breaches = if outcome == Outcome::Breach { breaches + 1 } else { 0 };
                let expected = match breaches {
                    0 => State::Ok,
                    count if count > needed => State::Firing,
                    _ => State::Pending,
                };
                prop_assert_eq!(standing.state, expected);
                prop_assert_eq!(changes.contains(&Change::Fired), breaches == needed + 1);
            }
        }

        #[test]
        fn whatever_comes_nothing_is_said_twice_and_nothing_ends_by_absence(
            outcomes in prop::collection::vec(any_outcome(), 0..120),
            clear_for_s in 0_i64..60,
        ) {
            let rule = Rule { clear_for_ms: clear_for_s * 1_000, ..rule() };
            let (mut is_firing, mut is_unknown) = (false, false);
            let (mut breaches, mut frozen) = (0_u32, 0_u32);
            for ((standing, changes), outcome) in walk(&rule, &outcomes).into_iter().zip(&outcomes) {
                match outcome {
                    Outcome::Breach => (breaches, frozen) = (breaches + 1, 0),
                    Outcome::NoData | Outcome::Error => frozen += 1,
                    _ => (breaches, frozen) = (0, 0),
                }
                if frozen > FROZEN_TICKS_MAX {
                    breaches = 0;
                }
                for change in changes {
                    match change {
                        Change::Fired => {
                            prop_assert!(!is_firing && breaches >= 7, "{breaches}");
                            is_firing = true;
                        }
                        Change::Ended { .. } => {
                            prop_assert!(is_firing);
                            prop_assert_eq!(*outcome, Outcome::Ok);
                            is_firing = false;
                        }
                        Change::Unknown => {
                            prop_assert!(!is_unknown);
                            is_unknown = true;
                        }
                        Change::Known => {
                            prop_assert!(is_unknown);
                            is_unknown = false;
                        }
                    }
                }
                prop_assert_eq!(standing.is_firing(), is_firing);
                prop_assert_eq!(standing.state == State::Unknown, frozen > FROZEN_TICKS_MAX);
                prop_assert_eq!(standing.state == State::Unknown, is_unknown);
                let stored = serde_json::to_string(&standing).unwrap();
                prop_assert_eq!(serde_json::from_str::<Standing>(&stored).unwrap(), standing);
            }
        }

        #[test]
        fn no_reading_is_judged_without_its_proofs(
            value: f64, age: f64, volume: f64,
        ) {
            let reading = Reading {
                value: Answer::Number(value),
                age: Some(Answer::Number(age)),
                volume: Some(Answer::Number(volume)),
                warning: None,
            };
            let (outcome, why) = judge(&rule(), &reading);
            let is_proved = !value.is_nan() && age <= 30.0 && volume >= 10.0;
            prop_assert_eq!(outcome.is_known(), is_proved);
            prop_assert_eq!(why.is_none(), is_proved);
            prop_assert_eq!(outcome == Outcome::Breach, is_proved && value > 0.05);
            if let Some(why) = why {
                prop_assert!(!why.words().en.is_empty());
            }
            prop_assert!(!rule().spell(value).is_empty());
        }
    }
}
