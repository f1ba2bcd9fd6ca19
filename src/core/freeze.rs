//! Freezes: windows of time in which actions wait or are refused. Whether one is in force at a moment, and
//! when none of several is any more. Pure: asks no clock.
//!
//! A window is about the wall clocks of its zone: it holds at every moment at which they show a time within
//! it. Where they go forward, an edge that they never show is the first moment after the gap. Where they go
//! back, they show an hour twice, and a window holds in both passes of it.

use super::text::{Lang, Text};
use chrono::{DateTime, NaiveDateTime, Offset as _, TimeZone as _};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// How an override is said in a command, behind `--`.
pub const WORDS: [&str; 2] = ["override-freeze", "越过冻结"];
/// The flag as it is shown to people.
pub const FLAG: &str = "--override-freeze";
/// How far ahead the end of a freeze, or the beginning of the next, is looked for.
pub const SEARCH_DAYS_MAX: i64 = 400;
/// How many moments are looked at for that.
const LOOKS_MAX: usize = 20_000;
/// The longest freeze that is not repeated, in days.
pub const ONCE_DAYS_MAX: i64 = 366;

const MINUTE_MS: i64 = 60_000;
const DAY_MINUTES: i64 = 1_440;
const WEEK_MINUTES: i64 = 7 * DAY_MINUTES;
const WEEK_MS: i64 = WEEK_MINUTES * MINUTE_MS;
/// 1970-01-01 was a Thursday; weeks begin on Mondays.
const EPOCH_IN_WEEK_MS: i64 = 3 * DAY_MINUTES * MINUTE_MS;
/// At most once within this time the clocks of a zone are changed.
const STEP_MS: i64 = 6 * 3_600_000;
/// Minutes from 1970 to 2100-01-01.
const MINUTES_MAX: i64 = 68_374_080;
/// No zone's clocks are further from UTC's.
const OFFSET_MS_MAX: i64 = 15 * 3_600_000;
const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
const DAYS_ZH: [&str; 7] = ["周一", "周二", "周三", "周四", "周五", "周六", "周日"];

/// A freeze of the runbook, and where it applies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Freeze {
    /// What a plan carries of it.
    pub planned: PlannedFreeze,
    /// The environments that it is about; `None`: all.
    pub environments: Option<Vec<String>>,
    /// The actions that it stops.
    pub actions: Vec<String>,
    /// Its line in the runbook, from 1.
    pub line: usize,
}

/// A freeze as a plan carries it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedFreeze {
    /// Its key in the runbook.
    pub name: String,
    /// What people read.
    pub summary: Text,
    /// When it is in force, by the clocks of its zone.
    pub times: Times,
    /// Whose clocks.
    pub zone: Zone,
    /// What becomes of a request meanwhile.
    pub then: Then,
    /// The role whose approval lets a run pass; `None`: nobody's does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overridable_by: Option<String>,
}

/// What becomes of a request during a freeze.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Then {
    /// It waits for the end.
    Wait,
    /// It is refused.
    Refuse,
}

/// When a freeze is in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Times {
    /// Every week.
    Weekly(Vec<Weekly>),
    /// Once.
    Once {
        /// Its first minute.
        from: Moment,
        /// The first minute after it.
        until: Moment,
    },
}

/// A plan goes ahead in spite of freezes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedOverride {
    /// Which.
    pub freezes: Vec<String>,
    /// The roles that must take part in its approval.
    pub roles: Vec<String>,
}

impl Freeze {
    /// Whether it is about an action in an environment.
    pub fn applies(&self, action: &str, environment: &str) -> bool {
        let named = |names: &[String], name: &str| names.iter().any(|one| one == name);
        let environments = self.environments.as_deref();
        named(&self.actions, action) && environments.is_none_or(|all| named(all, environment))
    }
}

impl PlannedFreeze {
    /// Whether it is in force.
    pub fn holds(&self, at_ms: i64) -> bool {
        self.times.holds(self.zone.local_ms(at_ms))
    }

    /// What decides by it; its words and who may let a run pass aside.
    pub fn terms(&self) -> (&str, &Times, Zone, Then) {
        (&self.name, &self.times, self.zone, self.then)
    }

    /// A moment after `at_ms` before which nothing of it changes.
    fn next_look(&self, at_ms: i64) -> i64 {
        let offset_ms = self.zone.offset_ms(at_ms);
        let step_ms = self.times.to_next_edge(at_ms + offset_ms).min(STEP_MS);
        let (mut before, mut after) = (at_ms, at_ms + step_ms);
        if self.zone.offset_ms(after) == offset_ms {
            return after;
        }
        // The clocks are changed on the way: that moment is looked at first.
        while after - before > 1 {
            let middle = before + (after - before) / 2;
            if self.zone.offset_ms(middle) == offset_ms { before = middle } else { after = middle }
        }
        after
    }
}

/// Those in force.
pub fn in_force(freezes: &[PlannedFreeze], at_ms: i64) -> Vec<&PlannedFreeze> {
    freezes.iter().filter(|freeze| freeze.holds(at_ms)).collect()
}

/// Those in force for whose end a run waits.
pub fn waited_for(freezes: &[PlannedFreeze], at_ms: i64) -> Vec<&PlannedFreeze> {
    freezes.iter().filter(|freeze| freeze.then == Then::Wait && freeze.holds(at_ms)).collect()
}

/// The first moment, from `at_ms` on, at which none is in force; freezes that touch are one stretch. `None`:
/// there is none within [`SEARCH_DAYS_MAX`].
pub fn ends_ms(freezes: &[&PlannedFreeze], at_ms: i64) -> Option<i64> {
    first(freezes, at_ms, false)
}

/// The end of all that are in force, for a plan.
pub fn all_end_ms(freezes: &[PlannedFreeze], at_ms: i64) -> Option<i64> {
    first(&freezes.iter().collect::<Vec<_>>(), at_ms, false)
}

/// The end of the stretch for which a run waits; `None` where it waits for ever.
pub fn wait_ends_ms(freezes: &[PlannedFreeze], at_ms: i64) -> Option<i64> {
    let waits = freezes.iter().filter(|freeze| freeze.then == Then::Wait);
    first(&waits.collect::<Vec<_>>(), at_ms, false)
}

/// The first moment, from `at_ms` on, at which a freeze is in force; `None`: there is none within
/// [`SEARCH_DAYS_MAX`].
pub fn begins_ms(freeze: &PlannedFreeze, at_ms: i64) -> Option<i64> {
    first(&[freeze], at_ms, true)
}

/// The first moment at which some is in force, or none is.
fn first(freezes: &[&PlannedFreeze], from_ms: i64, is_wanted: bool) -> Option<i64> {
    let until_ms = from_ms + SEARCH_DAYS_MAX * DAY_MINUTES * MINUTE_MS;
    let mut at_ms = from_ms;
    for _ in 0..LOOKS_MAX {
        if at_ms > until_ms {
            return None;
        }
        if freezes.iter().any(|freeze| freeze.holds(at_ms)) == is_wanted {
            return Some(at_ms);
        }
        at_ms = freezes.iter().map(|freeze| freeze.next_look(at_ms)).min()?;
    }
    None
}

impl Times {
    fn holds(&self, local_ms: i64) -> bool {
        match self {
            Self::Weekly(weekly) => {
                let minute = in_week_ms(local_ms) / MINUTE_MS;
                let is_within = |(start, length): (i64, i64)| {
                    (minute - start).rem_euclid(WEEK_MINUTES) < length
                };
                weekly.iter().flat_map(Weekly::windows).any(is_within)
            }
            Self::Once { from, until } => {
                (from.0..until.0).contains(&local_ms.div_euclid(MINUTE_MS))
            }
        }
    }

    /// From a local time to the next edge, in milliseconds; at least one.
    fn to_next_edge(&self, local_ms: i64) -> i64 {
        let next = match self {
            Self::Weekly(weekly) => {
                let windows = weekly.iter().flat_map(Weekly::windows);
                let edges = windows.flat_map(|(start, length)| [start, start + length]);
                let rest = |edge: i64| {
                    (edge * MINUTE_MS - in_week_ms(local_ms) - 1).rem_euclid(WEEK_MS) + 1
                };
                edges.map(rest).min()
            }
            Self::Once { from, until } => {
                let edges = [from.0, until.0].into_iter();
                edges.map(|edge| edge * MINUTE_MS - local_ms).filter(|rest| *rest > 0).min()
            }
        };
        next.unwrap_or(STEP_MS)
    }

    /// For people: `mon-fri 09:15-15:00`.
    pub fn shown(&self, lang: Lang) -> String {
        match self {
            Self::Weekly(weekly) => {
                let all: Vec<String> = weekly.iter().map(|one| one.shown(lang)).collect();
                all.join(lang.pick("、", ", "))
            }
            Self::Once { from, until } => format!("{from} – {until}"),
        }
    }

    /// Whether it is in force for ever; of windows that do not overlap.
    pub fn is_endless(&self) -> bool {
        let Self::Weekly(weekly) = self else { return false };
        let minutes: i64 = weekly.iter().flat_map(Weekly::windows).map(|(_, length)| length).sum();
        minutes >= WEEK_MINUTES
    }
}

fn in_week_ms(local_ms: i64) -> i64 {
    (local_ms + EPOCH_IN_WEEK_MS).rem_euclid(WEEK_MS)
}

/// A window of every week, by the clocks of a zone: days are counted from Monday, minutes within the day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Weekly {
    /// `mon-fri 09:15-15:00`: on each of these days; where the end is not later than the beginning it is
    /// on the next day.
    Daily {
        /// The first and the last of the days; the same for one.
        days: (u8, u8),
        /// Its first minute.
        from: u16,
        /// The first minute after it; 1440: the end of the day.
        until: u16,
    },
    /// `fri 18:00 - mon 08:00`: from one day to another.
    Stretch {
        /// The day and minute at which it begins.
        from: (u8, u16),
        /// The day and minute at which it ends.
        until: (u8, u16),
    },
}

/// Why words are no weekly window.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotWeekly {
    /// They are not of the form.
    Form,
    /// A day that there is not.
    Day(String),
    /// A time of the day that there is not.
    Time(String),
    /// It ends as it begins.
    Empty,
}

impl Weekly {
    /// The days' names as the runbook writes them.
    pub const DAYS: [&str; 7] = DAYS;

    /// Each window: the minute of the week at which it begins, and for how many minutes it holds.
    pub fn windows(&self) -> impl Iterator<Item = (i64, i64)> + use<> {
        let (first, count, minute, length) = match *self {
            Self::Daily { days: (first, last), from, until } => {
                let count = (i64::from(last) - i64::from(first)).rem_euclid(7) + 1;
                let length = i64::from(until) - i64::from(from);
                let length = if length <= 0 { length + DAY_MINUTES } else { length };
                (i64::from(first), count, i64::from(from), length)
            }
            Self::Stretch { from: (first, from), until: (last, until) } => {
                let start = i64::from(first) * DAY_MINUTES + i64::from(from);
                let end = i64::from(last) * DAY_MINUTES + i64::from(until);
                (i64::from(first), 1, i64::from(from), (end - start).rem_euclid(WEEK_MINUTES))
            }
        };
        (0..count).map(move |day| {
            (((first + day) * DAY_MINUTES + minute).rem_euclid(WEEK_MINUTES), length)
        })
    }

    /// Whether some minute of the week is in both, or twice in one.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.windows().any(|(start, length)| {
            other.windows().any(|(second, second_length)| {
                (second - start).rem_euclid(WEEK_MINUTES) < length
                    || (start - second).rem_euclid(WEEK_MINUTES) < second_length
            })
        })
    }

    fn shown(&self, lang: Lang) -> String {
        if lang == Lang::En {
            return self.to_string();
        }
        let day = |day: u8| DAYS_ZH[usize::from(day) % 7];
        match *self {
            Self::Daily { days: (first, last), from, until } => {
                let days = if first == last {
                    day(first).to_owned()
                } else {
                    format!("{}至{}", day(first), day(last))
                };
                format!("{days} {}-{}", clock(from), clock(until))
            }
            Self::Stretch { from, until } => {
                let (first, last) = (day(from.0), day(until.0));
                format!("{first} {} 至{last} {}", clock(from.1), clock(until.1))
            }
        }
    }
}

impl FromStr for Weekly {
    type Err = NotWeekly;

    fn from_str(text: &str) -> Result<Self, NotWeekly> {
        let text = text.to_lowercase().replace(['–', '—'], "-");
        let joined = text.split('-').map(str::trim).collect::<Vec<_>>().join("-");
        let words: Vec<&str> = joined.split_whitespace().collect();
        match words[..] {
            [days, times] => {
                let (first, last) = days.split_once('-').unwrap_or((days, days));
                let (from, until) = times.split_once('-').ok_or(NotWeekly::Form)?;
                let days = (day(first)?, day(last)?);
                let (from, until) = (time(from, false)?, time(until, true)?);
                if from == until {
                    return Err(NotWeekly::Empty);
                }
                Ok(Self::Daily { days, from, until })
            }
            [first, middle, until] => {
                let (from, last) = middle.split_once('-').ok_or(NotWeekly::Form)?;
                let from = (day(first)?, time(from, false)?);
                let until = (day(last)?, time(until, true)?);
                let found = Self::Stretch { from, until };
                match found.windows().next() {
                    Some((_, length)) if length > 0 => Ok(found),
                    _ => Err(NotWeekly::Empty),
                }
            }
            _ => Err(NotWeekly::Form),
        }
    }
}

fn day(word: &str) -> Result<u8, NotWeekly> {
    let at = DAYS.iter().position(|day| *day == word);
    at.and_then(|at| u8::try_from(at).ok()).ok_or_else(|| NotWeekly::Day(word.to_owned()))
}

/// Minutes of the day; midnight at its end is `24:00`.
fn time(word: &str, is_end: bool) -> Result<u16, NotWeekly> {
    let wrong = || NotWeekly::Time(word.to_owned());
    let (hours, minutes) = word.split_once(':').ok_or_else(wrong)?;
    let is_spelt = (1..=2).contains(&hours.len()) && minutes.len() == 2;
    let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if !is_spelt || !is_digits(hours) || !is_digits(minutes) {
        return Err(wrong());
    }
    let number = |text: &str| text.parse::<u16>().map_err(|_| wrong());
    let (hours, minutes) = (number(hours)?, number(minutes)?);
    match (hours, minutes) {
        (0..=23, 0..=59) => Ok(hours * 60 + minutes),
        (24, 0) if is_end => Ok(1_440),
        _ => Err(wrong()),
    }
}

fn clock(minutes: u16) -> String {
    format!("{:02}:{:02}", minutes / 60, minutes % 60)
}

impl fmt::Display for Weekly {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let day = |day: u8| DAYS[usize::from(day) % 7];
        match *self {
            Self::Daily { days: (first, last), from, until } => {
                f.write_str(day(first))?;
                if first != last {
                    write!(f, "-{}", day(last))?;
                }
                write!(f, " {}-{}", clock(from), clock(until))
            }
            Self::Stretch { from, until } => {
                write!(f, "{} {} - ", day(from.0), clock(from.1))?;
                write!(f, "{} {}", day(until.0), clock(until.1))
            }
        }
    }
}

impl From<Weekly> for String {
    fn from(weekly: Weekly) -> Self {
        weekly.to_string()
    }
}

impl TryFrom<String> for Weekly {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse().map_err(|_| format!("`{text}` is no weekly window"))
    }
}

/// A minute of a wall clock, with its date; counted from 1970-01-01 00:00 there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Moment(i64);

impl Moment {
    /// Reads `2026-12-30 18:00`, from the year 2000 to 2099.
    pub fn parse(text: &str) -> Option<Self> {
        let at = NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M").ok()?;
        let minutes = at.and_utc().timestamp() / 60;
        // From 2000-01-01.
        (15_778_080..MINUTES_MAX).contains(&minutes).then_some(Self(minutes))
    }

    /// Minutes from another to this one.
    pub fn minutes_after(self, other: Self) -> i64 {
        self.0 - other.0
    }

    /// The same time on the next day; `None`: not in this century.
    pub fn a_day_later(self) -> Option<Self> {
        (self.0 + DAY_MINUTES < MINUTES_MAX).then_some(Self(self.0 + DAY_MINUTES))
    }

    /// When the clocks of a zone first show it, or have skipped it.
    pub fn at_ms(self, zone: Zone) -> i64 {
        zone.first_ms(self.local_ms())
    }

    /// What a clock shows then, as milliseconds since 1970-01-01 00:00 there.
    pub(super) fn local_ms(self) -> i64 {
        self.0 * MINUTE_MS
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match DateTime::from_timestamp(self.0 * 60, 0) {
            Some(at) => write!(f, "{}", at.format("%Y-%m-%d %H:%M")),
            None => write!(f, "{}", self.0),
        }
    }
}

impl From<Moment> for String {
    fn from(moment: Moment) -> Self {
        moment.to_string()
    }
}

impl TryFrom<String> for Moment {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Self::parse(&text).ok_or_else(|| format!("`{text}` is no minute of a calendar"))
    }
}

/// A time zone by its name in the time-zone database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Zone(Tz);

impl Zone {
    /// Where nothing else is said.
    pub const UTC: Self = Self(Tz::UTC);

    /// Reads `Asia/Shanghai`.
    pub fn parse(name: &str) -> Option<Self> {
        name.parse().ok().map(Self)
    }

    /// Every name.
    pub fn names() -> impl Iterator<Item = &'static str> {
        chrono_tz::TZ_VARIANTS.iter().map(|zone| zone.name())
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        self.0.name()
    }

    /// The day and minute that its clocks show: `2026-12-01 09:00`.
    pub fn shown(self, at_ms: i64) -> Moment {
        Moment(self.local_ms(at_ms).div_euclid(MINUTE_MS))
    }

    /// How far its clocks are ahead of UTC.
    fn offset_ms(self, at_ms: i64) -> i64 {
        let at = DateTime::from_timestamp_millis(at_ms).map(|at| at.naive_utc());
        at.map_or(0, |at| {
            i64::from(self.0.offset_from_utc_datetime(&at).fix().local_minus_utc()) * 1_000
        })
    }

    /// What its clocks show at a moment, as milliseconds since 1970-01-01 00:00 there.
    pub(super) fn local_ms(self, at_ms: i64) -> i64 {
        at_ms + self.offset_ms(at_ms)
    }

    /// The first moment at which its clocks show this time or a later one: of a time that they skip, the
    /// first after the gap; of one that they show twice, the first.
    pub(super) fn first_ms(self, local_ms: i64) -> i64 {
        let local = DateTime::from_timestamp_millis(local_ms).map(|at| at.naive_utc());
        let shown = local.and_then(|local| self.0.from_local_datetime(&local).earliest());
        if let Some(shown) = shown {
            return shown.timestamp_millis();
        }
        // Clocks are at most fifteen hours before or after UTC's; within that they skip it once.
        let (mut before, mut after) = (local_ms - OFFSET_MS_MAX, local_ms + OFFSET_MS_MAX);
        while after - before > 1 {
            let middle = before + (after - before) / 2;
            if self.local_ms(middle) < local_ms { before = middle } else { after = middle }
        }
        after
    }
}

impl From<Zone> for String {
    fn from(zone: Zone) -> Self {
        zone.name().to_owned()
    }
}

impl TryFrom<String> for Zone {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        Self::parse(&name).ok_or_else(|| format!("`{name}` is no time zone"))
    }
}

/// The approving roles and how many must approve, so that `role` must take part; `None`: these terms leave no
/// way to say so.
pub fn with_role(from: &[String], count: u32, role: &str) -> Option<(Vec<String>, u32)> {
    let mut with: Vec<String> = from.to_vec();
    let is_named = from.iter().any(|one| one == role);
    match from {
        [] => Some((vec![role.to_owned()], 1)),
        [_only] if is_named => Some((with, count)),
        [_only] if count != 1 => None,
        // Of several roles each counts through another person: all of them must have somebody.
        several if u32::try_from(several.len()) != Ok(count) => None,
        _ if is_named => Some((with, count)),
        _ => {
            with.push(role.to_owned());
            Some((with, count + 1))
        }
    }
}

#[cfg(test)]
mod tests;
