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
    /// It could not be asked, or what came is no answer. The words may come from outside.
    Failed(Text),
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
    Failed(Text),
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
            Self::Failed(words) => Text::new(
                format!("查询失败：{}", words.zh),
                format!("it could not be asked: {}", words.en),
            ),
        }
    }
}

/// What a reading says of a rule, and why it says nothing.
pub fn judge(rule: &Rule, reading: &Reading) -> (Outcome, Option<Why>) {
    let all = [
        ("", Some(&reading.value)),
        ("samples: ", reading.age.as_ref()),
        ("volume: ", reading.volume.as_ref()),
    ];
    for (of, answer) in all {
        if let Some(Answer::Failed(words)) = answer {
            let words = Text::new(format!("{of}{}", words.zh), format!("{of}{}", words.en));
            return (Outcome::Error, Some(Why::Failed(words)));
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
    /// Since which tick every one was a breach; 0: the last was none. What fires may have been better in between,
    /// or unknown; a deed wants the whole duration of breaches.
    #[serde(default)]
    pub breach_ms: i64,
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
            breach_ms: 0,
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
        if outcome != Outcome::Breach {
            next.breach_ms = 0;
        } else if next.breach_ms == 0 {
            next.breach_ms = tick_ms;
        }
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
            (State::Ok, Outcome::Breach) => next.to(State::Pending, tick_ms),
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
        next.breach_ms = 0;
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
    /// It fires, and the breach that there is now has not lasted its whole duration: in between it was better, or
    /// a tick told nothing, or there was none.
    Brief {
        /// For how long it has lasted.
        lasted_ms: i64,
        /// For how long it must.
        duration_ms: i64,
    },
    /// Nobody looked whether its samples are fresh: the rule names none.
    FreshnessUnasked,
    /// Nobody looked what it is made of: the rule does not count it.
    VolumeUnasked,
    /// The last tick is not the newest that there could be.
    Old {
        /// How long ago it was; less than 0: it is to come, by this bot's clock.
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
            Self::Brief { lasted_ms, duration_ms } => {
                let of = |ms: &i64| duration::about(ms.unsigned_abs());
                let (lasted, needed) = (of(lasted_ms), of(duration_ms));
                Text::new(
                    format!("不间断的超限只有 {}，需要 {}", lasted.zh, needed.zh),
                    format!("in breach without a break for {}; it takes {}", lasted.en, needed.en),
                )
            }
            Self::FreshnessUnasked => Text::new(
                "规则没有指明样本，无法确认新鲜",
                "the rule names no samples: they may be stale",
            ),
            Self::VolumeUnasked => {
                Text::new("规则没有统计样本数量", "the rule does not count what it is made of")
            }
            Self::Old { age_ms } => {
                let age = duration::about(age_ms.unsigned_abs());
                if *age_ms < 0 {
                    return Text::new(
                        format!("最近一次评估的时间在 {} 之后：时钟有误", age.zh),
                        format!("the last evaluation is {} ahead: a clock is wrong", age.en),
                    );
                }
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
    /// nothing is inconclusive. `last` is the last tick and its outcome.
    pub fn doubts(&self, rule: &Rule, last: (i64, Outcome), now_ms: i64) -> Vec<Doubt> {
        let (tick_ms, outcome) = last;
        let lasted_ms = if self.breach_ms == 0 { 0 } else { tick_ms - self.breach_ms };
        let mut doubts = Vec::new();
        if self.state != State::Firing {
            doubts.push(Doubt::NotFiring(self.state));
        }
        if outcome != Outcome::Breach {
            doubts.push(Doubt::NotInBreach(outcome));
        } else if self.state == State::Firing && lasted_ms < rule.duration_ms {
            doubts.push(Doubt::Brief { lasted_ms, duration_ms: rule.duration_ms });
        }
        if rule.questions.age.is_empty() {
            doubts.push(Doubt::FreshnessUnasked);
        }
        if rule.questions.volume.is_empty() || rule.min_samples == 0 {
            doubts.push(Doubt::VolumeUnasked);
        }
        let age_ms = now_ms - tick_ms;
        if age_ms.abs() > 2 * rule.interval_ms() {
            doubts.push(Doubt::Old { age_ms });
        }
        doubts
    }
}

#[cfg(test)]
mod tests;
