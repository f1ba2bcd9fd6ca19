//! Who is on call: rotations by the clocks of their zone, and overrides of them. Pure: asks no clock.
//!
//! Shifts are about wall clocks: one of 24 hours is 23 or 25 hours long where they are changed. A shift begins
//! at the first moment at which the clocks show its time or a later one: a time that they skip is the first
//! moment after the gap, and one that they show twice counts the first time. So every moment has exactly one
//! shift, and shifts follow each other in the order of the people.

use super::freeze::{self, Moment, PlannedFreeze, Zone};
use super::id::UserId;
use std::collections::BTreeMap;

/// The shortest and the longest shift, in hours. A shorter one could fall into the hour that clocks skip.
pub const SHIFT_HOURS: (i64, i64) = (4, 8 * 7 * 24);
/// Rotations that refer to each other.
pub const ROTATIONS_MAX: usize = 20;
/// How far ahead a change is looked for.
pub const SEARCH_MS_MAX: i64 = 400 * 24 * HOUR_MS;
/// How many moments are looked at for that.
const LOOKS_MAX: usize = 10_000;
/// Of how many shifts from one moment on somebody's is looked for.
const SHIFTS_MAX: i64 = 400;
/// How far back it is looked for when somebody took over: the longest shift, and a day.
pub const BACK_MS: i64 = (SHIFT_HOURS.1 + 24) * HOUR_MS;
const HOUR_MS: i64 = 3_600_000;

/// Every rotation, by its name in the configuration.
pub type Rotations = BTreeMap<String, Rotation>;

/// A rotation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rotation {
    /// Who takes part.
    pub who: Who,
    /// When it is they; `None`: always.
    pub hours: Option<Hours>,
    /// Whose clocks its days and times are about.
    pub zone: Zone,
    /// Whether a change is told.
    pub hand_over: bool,
}

/// Who takes part in a rotation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Who {
    /// Whoever is in this user group of Slack: nobody takes turns.
    Group(String),
    /// People, one after the other.
    People(Turns),
}

/// People who take turns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Turns {
    /// In the order of their shifts; at least one, each once.
    pub people: Vec<UserId>,
    /// How long a shift is, by the clocks on the wall.
    pub shift_hours: i64,
    /// When a shift of the first one began, or will; before it the order holds as well.
    pub starts: Moment,
    /// Whose clocks.
    pub zone: Zone,
}

/// When a rotation's own people are on call, and who is otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hours {
    /// Its windows of every week.
    pub windows: PlannedFreeze,
    /// The rotation that is on call outside them.
    pub otherwise: String,
}

/// Somebody is on call in the place of whoever would be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Override {
    /// Its name for ever.
    pub id: String,
    /// In which rotation.
    pub rotation: String,
    /// Who.
    pub user: UserId,
    /// From when.
    pub from_ms: i64,
    /// Until when, or when it was ended.
    pub until_ms: i64,
    /// Who said so.
    pub by: UserId,
    /// Why.
    pub reason: String,
}

/// Who is on call at a moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Duty {
    /// A person (`U…`, `W…`) or a user group (`S…`).
    pub id: String,
    /// The rotation that it is they of: another than was asked for, outside its hours.
    pub rotation: String,
    /// The override by which it is they.
    pub by_override: Option<String>,
}

/// Whom a rotation calls at a moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Called {
    /// The first is whose turn it is; where that one cannot answer, the next in order who can stands after
    /// them. Empty: there is no such rotation.
    pub mentioned: Vec<String>,
    /// Whether the first can answer, by what Slack last said.
    pub is_there: bool,
}

impl Called {
    /// Whether a mention of them all reaches somebody.
    pub fn reaches_somebody(&self) -> bool {
        self.is_there || self.mentioned.len() > 1
    }
}

/// Somebody's time on call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stretch {
    /// From when.
    pub from_ms: i64,
    /// Until when.
    pub until_ms: i64,
    /// Who.
    pub duty: Duty,
}

/// Two shifts that are exchanged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Swap {
    /// What the one gives away: from, until.
    pub given: (i64, i64),
    /// What they take for it.
    pub taken: (i64, i64),
}

/// What an edit of the configuration changes about who is on call.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Edited {
    /// Rotations in which it is somebody else at once: its name, who it was, who it is now.
    pub hands: Vec<(String, String, String)>,
    /// Overrides by which somebody is or will be on call who takes part no more.
    pub of_removed: Vec<Override>,
    /// Overrides of rotations that are no more: they count for nothing.
    pub orphans: Vec<Override>,
}

/// Why two people cannot exchange shifts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoSwap {
    /// Nobody takes turns in this rotation.
    NoTurns,
    /// The one who gives has no shift then.
    NothingToGive,
    /// The other one has none to come.
    NothingToTake,
}

impl Turns {
    /// When a shift begins; they are counted from the one at `starts`.
    pub fn begins_ms(&self, shift: i64) -> i64 {
        let local_ms = self.starts.local_ms() + shift * self.shift_hours * HOUR_MS;
        self.zone.first_ms(local_ms)
    }

    /// The shift of a moment.
    pub fn shift_at(&self, at_ms: i64) -> i64 {
        let since_ms = self.zone.local_ms(at_ms) - self.starts.local_ms();
        let mut shift = since_ms.div_euclid(self.shift_hours * HOUR_MS);
        // Where clocks went back they show an earlier time once more; the shift that had begun goes on.
        while self.begins_ms(shift + 1) <= at_ms {
            shift += 1;
        }
        shift
    }

    /// Whose a shift is.
    pub fn person(&self, shift: i64) -> &UserId {
        let count = i64::try_from(self.people.len()).unwrap_or(1).max(1);
        let at = usize::try_from(shift.rem_euclid(count)).unwrap_or(0);
        &self.people[at]
    }
}

impl Rotation {
    /// Whether its own people are on call.
    fn is_open(&self, at_ms: i64) -> bool {
        self.hours.as_ref().is_none_or(|hours| hours.windows.holds(at_ms))
    }

    /// Who takes part, in the order from a moment on.
    fn order(&self, at_ms: i64) -> Vec<String> {
        match &self.who {
            Who::Group(group) => vec![group.clone()],
            Who::People(turns) => {
                let first = turns.shift_at(at_ms);
                let count = i64::try_from(turns.people.len()).unwrap_or(0);
                (first..first + count).map(|shift| turns.person(shift).to_string()).collect()
            }
        }
    }

    /// The next moment at which its own clocks change anything.
    fn next_edge(&self, at_ms: i64) -> Option<i64> {
        match &self.who {
            Who::Group(_) => None,
            Who::People(turns) => Some(turns.begins_ms(turns.shift_at(at_ms) + 1)),
        }
    }
}

/// Rotations, with what overrides them: the latest said counts, so they come in the order in which they were
/// made.
#[derive(Debug, Clone, Copy)]
pub struct Roster<'r> {
    /// As configured.
    pub rotations: &'r Rotations,
    /// Of any of them.
    pub overrides: &'r [Override],
}

impl<'r> Roster<'r> {
    /// Who is on call; `None`: there is no such rotation.
    pub fn duty(&self, name: &str, at_ms: i64) -> Option<Duty> {
        let (name, rotation) = self.answering(name, at_ms)?;
        let by = self.override_at(name, at_ms);
        let id = match by {
            Some(by) => by.user.to_string(),
            None => rotation.order(at_ms).into_iter().next()?,
        };
        let by_override = by.map(|by| by.id.clone());
        Some(Duty { id, rotation: name.to_owned(), by_override })
    }

    /// Who is on call, and after them who is next in order: each once.
    pub fn line_up(&self, name: &str, at_ms: i64) -> Vec<String> {
        let Some((name, rotation)) = self.answering(name, at_ms) else { return Vec::new() };
        let by = self.override_at(name, at_ms).map(|by| by.user.to_string());
        let mut all: Vec<String> = Vec::new();
        for id in by.into_iter().chain(rotation.order(at_ms)) {
            if !all.contains(&id) {
                all.push(id);
            }
        }
        all
    }

    /// When it is somebody else for the first time after a moment; `None`: not within [`SEARCH_MS_MAX`].
    pub fn next_change_ms(&self, name: &str, at_ms: i64) -> Option<i64> {
        let now = self.duty(name, at_ms)?;
        let mut edge_ms = at_ms;
        for _ in 0..LOOKS_MAX {
            edge_ms = self.next_edge(name, edge_ms)?;
            if edge_ms - at_ms > SEARCH_MS_MAX {
                return None;
            }
            if self.duty(name, edge_ms)?.id != now.id {
                return Some(edge_ms);
            }
        }
        None
    }

    /// Who is on call between two moments, one after the other without a gap.
    pub fn schedule(&self, name: &str, from_ms: i64, until_ms: i64) -> Vec<Stretch> {
        let mut all: Vec<Stretch> = Vec::new();
        let mut at_ms = from_ms;
        for _ in 0..LOOKS_MAX {
            if at_ms >= until_ms {
                break;
            }
            let Some(duty) = self.duty(name, at_ms) else { break };
            let edge_ms = self.next_edge(name, at_ms).unwrap_or(until_ms).min(until_ms);
            match all.last_mut() {
                Some(last) if last.duty.id == duty.id => last.until_ms = edge_ms,
                _ => all.push(Stretch { from_ms: at_ms, until_ms: edge_ms, duty }),
            }
            at_ms = edge_ms;
        }
        all
    }

    /// The latest change by a moment: when it was, and who was on call before; `None`: there was none within
    /// the longest shift.
    pub fn last_change(&self, name: &str, at_ms: i64) -> Option<(i64, Duty)> {
        let mut all = self.schedule(name, at_ms - BACK_MS, at_ms + 1);
        let last = all.pop()?;
        let before = all.pop()?;
        Some((last.from_ms, before.duty))
    }

    /// Which shifts two people would exchange: the one's that touches `within`, or else their first that
    /// begins after now; for the other's first that begins after now.
    ///
    /// # Errors
    /// [`NoSwap`]: why they cannot.
    pub fn swap(
        &self,
        name: &str,
        (from, with): (&UserId, &UserId),
        within: Option<(i64, i64)>,
        now_ms: i64,
    ) -> Result<Swap, NoSwap> {
        let rotation = self.rotations.get(name);
        let Some(Who::People(turns)) = rotation.map(|rotation| &rotation.who) else {
            return Err(NoSwap::NoTurns);
        };
        let given = match within {
            Some((first_ms, last_ms)) => {
                let is_touched = |(begins_ms, ends_ms): &(i64, i64)| {
                    *ends_ms > first_ms.max(now_ms) && *begins_ms < last_ms
                };
                self.shifts_of(name, turns, from, first_ms).find(is_touched)
            }
            None => self.shifts_of(name, turns, from, now_ms).find(|(begins, _)| *begins > now_ms),
        };
        let given = given.ok_or(NoSwap::NothingToGive)?;
        let theirs = |shift: &(i64, i64)| shift.0 > now_ms && *shift != given;
        let taken = self.shifts_of(name, turns, with, now_ms).find(theirs);
        let taken = taken.ok_or(NoSwap::NothingToTake)?;
        Ok(Swap { given: (given.0.max(now_ms), given.1), taken })
    }

    /// The shifts that are somebody's as they begin, from the one at a moment on.
    fn shifts_of(
        &self,
        name: &str,
        turns: &Turns,
        user: &UserId,
        at_ms: i64,
    ) -> impl Iterator<Item = (i64, i64)> {
        let first = turns.shift_at(at_ms);
        let is_theirs = move |shift: &i64| {
            let begins_ms = turns.begins_ms(*shift).max(at_ms);
            let by = self.override_at(name, begins_ms).map(|by| &by.user);
            by.unwrap_or_else(|| turns.person(*shift)) == user
        };
        let all = (first..first + SHIFTS_MAX).filter(is_theirs);
        all.map(|shift| (turns.begins_ms(shift), turns.begins_ms(shift + 1)))
    }

    /// The rotation that answers at a moment.
    fn answering<'n>(&self, name: &'n str, at_ms: i64) -> Option<(&'n str, &'r Rotation)>
    where
        'r: 'n,
    {
        let mut name = name;
        for _ in 0..ROTATIONS_MAX {
            let rotation = self.rotations.get(name)?;
            match &rotation.hours {
                Some(hours) if !rotation.is_open(at_ms) => name = &hours.otherwise,
                _ => return Some((name, rotation)),
            }
        }
        None
    }

    /// What was said last about a moment.
    fn override_at(&self, name: &str, at_ms: i64) -> Option<&'r Override> {
        let holds =
            |by: &&Override| by.rotation == name && (by.from_ms..by.until_ms).contains(&at_ms);
        self.overrides.iter().rfind(holds)
    }

    /// The next moment after one at which it could be somebody else.
    fn next_edge(&self, name: &str, at_ms: i64) -> Option<i64> {
        let mut edges: Vec<i64> = Vec::new();
        let mut name = name;
        for _ in 0..ROTATIONS_MAX {
            let rotation = self.rotations.get(name)?;
            let Some(hours) = &rotation.hours else { break };
            if rotation.is_open(at_ms) {
                edges.extend(freeze::ends_ms(&[&hours.windows], at_ms));
                break;
            }
            edges.extend(freeze::begins_ms(&hours.windows, at_ms));
            name = &hours.otherwise;
        }
        edges.extend(self.rotations.get(name)?.next_edge(at_ms));
        for by in self.overrides.iter().filter(|by| by.rotation == name) {
            edges.extend([by.from_ms, by.until_ms].into_iter().filter(|edge| *edge > at_ms));
        }
        edges.into_iter().min()
    }
}

/// What changes at a moment where one configuration takes the place of another.
pub fn edited(old: &Rotations, new: &Rotations, overrides: &[Override], at_ms: i64) -> Edited {
    let duty = |rotations, name: &str| Some(Roster { rotations, overrides }.duty(name, at_ms)?.id);
    let hands = new.keys().filter_map(|name| {
        let (before, now) = (duty(old, name)?, duty(new, name)?);
        (before != now).then(|| (name.clone(), before, now))
    });
    let takes_part = |rotations: &Rotations, one: &Override| {
        let rotation = rotations.get(&one.rotation);
        rotation.is_some_and(
            |rotation| matches!(&rotation.who, Who::People(turns) if turns.people.contains(&one.user)),
        )
    };
    let is_removed = |one: &&Override| {
        new.contains_key(&one.rotation) && takes_part(old, one) && !takes_part(new, one)
    };
    Edited {
        hands: hands.collect(),
        of_removed: overrides.iter().filter(is_removed).cloned().collect(),
        orphans: orphans(new, overrides)
            .filter(|one| old.contains_key(&one.rotation))
            .cloned()
            .collect(),
    }
}

/// Overrides of rotations that are no more.
pub fn orphans<'o>(
    rotations: &'o Rotations,
    overrides: &'o [Override],
) -> impl Iterator<Item = &'o Override> {
    overrides.iter().filter(|one| !rotations.contains_key(&one.rotation))
}

#[cfg(test)]
mod tests;
