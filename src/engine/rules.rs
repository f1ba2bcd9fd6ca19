//! Where rules stand, written down tick by tick: one bot at a time evaluates a rule, and its fence refuses
//! a late one. What a tick changes for people goes with it into one transaction.
//!
//! Its alert as well: what a bot says of a rule that is another's by now would be an alert that nobody ends,
//! or the end of one that still fires.

use super::alerts::{By, InForce, observe_in};
use super::{Engine, Error, bot_entry};
use crate::core::alert::Sighting;
use crate::core::alert_rule::{Change, Doubt, Outcome, Rule, Standing, State, Why};
use crate::core::alert_rule_card::{Unknown, joined_card, over_card, unknown_card};
use crate::core::card::Card;
use crate::core::id::ChannelId;
use crate::core::text::Lang;
use crate::store::outbox::{self, Slot};
use crate::store::rules::{self, Claim, RuleRow};
use crate::store::{self, Unit};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Rules of one environment that are read.
const RULES_MAX: i64 = 500;
/// Beyond the time to its next tick, how long a bot may be silent before another evaluates its rule.
const LEASE_BEYOND_MS: i64 = 20_000;
/// Such a message goes before what runs say.
const PRIORITY: i64 = 30;

/// A rule that this bot evaluates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldRule {
    row: RuleRow,
    /// Where it stands.
    pub standing: Standing,
}

impl HeldRule {
    /// The last tick that was evaluated; `None`: none was.
    pub fn tick_ms(&self) -> Option<i64> {
        (self.row.tick_ms > 0).then_some(self.row.tick_ms)
    }

    /// Whether it is what the configuration says now.
    pub fn is_of(&self, at: &Whereabouts, rule: &Rule) -> bool {
        self.row.environment == at.environment && self.row.digest == rule.digest()
    }

    /// Whether it is still this bot's.
    pub fn is_held(&self, now_ms: i64) -> bool {
        self.row.until_ms > now_ms
    }
}

/// Of which service and environment rules are, and where it is told that they cannot be evaluated.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Whereabouts {
    /// The service.
    pub service: String,
    /// The environment.
    pub environment: String,
    /// The operations channel; `None`: there is none.
    pub channel: Option<ChannelId>,
    /// Its language.
    pub lang: Lang,
}

/// What one tick came to.
#[derive(Debug, Clone, PartialEq)]
pub struct Tick {
    /// Which moment it evaluates.
    pub at_ms: i64,
    /// Whether ticks before it were missed that are not made up for.
    pub is_after_gap: bool,
    /// What it says of the rule.
    pub outcome: Outcome,
    /// Why it says nothing.
    pub why: Option<Why>,
    /// The measure.
    pub measured: Option<f64>,
}

/// A rule as it stands, for people and for automatic deeds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleView {
    /// Its name.
    pub name: String,
    /// Where it stands.
    pub standing: Standing,
    /// The last tick; 0: there was none.
    pub tick_ms: i64,
    /// What that came to; `None`: there was none.
    pub outcome: Option<Outcome>,
    /// Why that told nothing.
    pub why: Option<Why>,
    /// The measure as it is shown.
    pub value: String,
    /// Of what decided then when it fires.
    pub digest: String,
}

impl Engine {
    /// Takes a rule to evaluate; `None`: another bot has it. A rule that means something else than before
    /// starts anew: what was pending is dropped, what fires goes on until a tick says otherwise.
    ///
    /// # Errors
    /// The database's.
    pub async fn claim_rule(
        &self,
        at: &Whereabouts,
        rule: &Rule,
    ) -> Result<Option<HeldRule>, Error> {
        let now_ms = self.clock().now_ms();
        let key = (at.environment.as_str(), rule.name.as_str());
        let mut reader = self.store.read().await?;
        let found = rules::one(&mut reader, key).await?;
        drop(reader);
        let owner = &self.identity.owner;
        if found.is_some_and(|row| !row.is_free(owner, now_ms)) {
            return Ok(None);
        }
        let wanted = Arc::new((at.environment.clone(), rule.clone(), owner.clone()));
        self.patiently(|| {
            let wanted = Arc::clone(&wanted);
            self.store.unit(move |unit| {
                Box::pin(async move {
                    let (environment, rule, owner) = &*wanted;
                    claim_in(unit, environment, rule, owner).await
                })
            })
        })
        .await
    }

    /// Writes what a tick came to, and tells what it changes; `false`: the rule is another bot's now, and
    /// nothing was written.
    ///
    /// # Errors
    /// The database's; then the tick is to be evaluated again.
    pub async fn keep_tick(
        &self,
        held: &mut HeldRule,
        at: &Whereabouts,
        rule: &Rule,
        tick: Tick,
    ) -> Result<bool, Error> {
        let before =
            if tick.is_after_gap { held.standing.after_gap(tick.at_ms) } else { held.standing };
        let (standing, changes) = before.after(rule, tick.outcome, tick.at_ms);
        let sightings = changes.iter().filter_map(|change| sighting(at, rule, &tick, *change));
        let sightings: Vec<Sighting> = sightings.collect();
        let mut row = held.row.clone();
        row.digest = rule.digest();
        row.tick_ms = tick.at_ms;
        row.standing = serde_json::to_string(&standing).unwrap_or_default();
        tick.outcome.as_str().clone_into(&mut row.outcome);
        row.why = tick.why.as_ref().map(json_of).unwrap_or_default();
        row.value = tick.measured.map(|measured| rule.spell(measured)).unwrap_or_default();
        row.until_ms = self.clock().now_ms() + rule.interval_ms() + LEASE_BEYOND_MS;
        let in_force = self.terms_now();
        let written = Arc::new((at.clone(), row.clone(), standing, changes, sightings));
        let is_kept = self
            .patiently(|| {
                let (written, in_force) = (Arc::clone(&written), in_force.clone());
                self.store.unit(move |unit| {
                    Box::pin(async move {
                        let (at, row, standing, changes, sightings) = &*written;
                        if !keep_in(unit, at, row, standing, changes).await? {
                            return Ok(false);
                        }
                        tell(unit, sightings, &By::BOT, &in_force).await?;
                        Ok::<_, Error>(true)
                    })
                })
            })
            .await?;
        if !is_kept {
            // Who evaluates it now says where it stands.
            self.metrics.rule_gone(&rule.name);
            return Ok(false);
        }
        self.metrics.rule_ticked(tick.outcome.as_str());
        self.metrics.rule_state(&rule.name, standing.state.as_str());
        if !written.3.is_empty() {
            self.mail.notify_one();
            self.alarms.notify_one();
        }
        (held.row, held.standing) = (row, standing);
        Ok(true)
    }

    /// Ends what rules told that the configuration does not have any more, and forgets them: those of other
    /// environments as well, for there may have been another default one. What another bot still evaluates is
    /// left to it: it may not have read the new configuration yet.
    ///
    /// # Errors
    /// The database's.
    pub async fn drop_rules(
        &self,
        at: &Whereabouts,
        kept: &BTreeSet<String>,
    ) -> Result<usize, Error> {
        let (owner, now_ms) = (&self.identity.owner, self.clock().now_ms());
        let mut reader = self.store.read().await?;
        let mut rows = rules::everywhere(&mut reader, RULES_MAX).await?;
        drop(reader);
        rows.retain(|row| row.environment != at.environment || !kept.contains(&row.name));
        rows.retain(|row| row.is_free(owner, now_ms));
        let in_force = self.terms_now();
        let mut dropped = 0;
        for RuleRow { environment, name, .. } in rows {
            if !kept.contains(&name) {
                self.metrics.rule_gone(&name);
            }
            let at = Whereabouts { environment, ..at.clone() };
            let wanted = Arc::new((at, name, owner.clone()));
            let is_removed = self.patiently(|| {
                let (wanted, in_force) = (Arc::clone(&wanted), in_force.clone());
                self.store.unit(move |unit| {
                    Box::pin(async move {
                        let (at, name, owner) = &*wanted;
                        remove_in(unit, at, name, owner, &in_force).await
                    })
                })
            });
            dropped += usize::from(is_removed.await?);
        }
        if dropped > 0 {
            self.mail.notify_one();
            self.alarms.notify_one();
        }
        Ok(dropped)
    }

    /// Every rule of an environment as it stands, by name.
    ///
    /// # Errors
    /// The database's.
    pub async fn rules(&self, environment: &str) -> Result<Vec<RuleView>, Error> {
        let mut reader = self.store.read().await?;
        let rows = rules::all(&mut reader, environment, RULES_MAX).await?;
        rows.into_iter().map(view).collect()
    }

    /// What speaks against the rule being in breach, with fresh samples and enough of them, for its whole
    /// duration, as it is written now; nothing: it is proved. A rule that was never evaluated, or that
    /// means something else now, is in doubt.
    ///
    /// # Errors
    /// The database's.
    pub async fn doubts_of_rule(
        &self,
        environment: &str,
        rule: &Rule,
    ) -> Result<Vec<Doubt>, Error> {
        let mut reader = self.store.read().await?;
        let found = rules::one(&mut reader, (environment, &rule.name)).await?;
        let Some(view) = found.map(view).transpose()?.filter(|view| view.digest == rule.digest())
        else {
            return Ok(vec![Doubt::NotFiring(State::Unknown)]);
        };
        let last = (view.tick_ms, view.outcome.unwrap_or(Outcome::NoData));
        Ok(view.standing.doubts(rule, last, self.clock().now_ms()))
    }
}

async fn claim_in(
    unit: &mut Unit,
    environment: &str,
    rule: &Rule,
    owner: &str,
) -> Result<Option<HeldRule>, Error> {
    let now_ms = unit.now_ms();
    let new = RuleRow {
        environment: environment.to_owned(),
        name: rule.name.clone(),
        digest: rule.digest(),
        standing: json_of(&Standing::new()),
        ..RuleRow::default()
    };
    rules::begin(unit.connection(), &new).await?;
    let until_ms = now_ms + rule.interval_ms() + LEASE_BEYOND_MS;
    let claim = Claim { owner, now_ms, until_ms };
    let Some(mut row) = rules::claim(unit.connection(), (environment, &rule.name), claim).await?
    else {
        return Ok(None);
    };
    let mut standing = standing_of(&row)?;
    if row.digest != new.digest {
        standing = standing.after_gap(row.tick_ms.max(1));
        let detail = json!({"environment": environment, "from": row.digest, "to": new.digest});
        unit.journal(bot_entry(now_ms, "rule.changed", &rule.name, detail));
        row.digest = new.digest;
        row.standing = json_of(&standing);
        rules::keep(unit.connection(), &row).await?;
    }
    Ok(Some(HeldRule { row, standing }))
}

async fn keep_in(
    unit: &mut Unit,
    at: &Whereabouts,
    row: &RuleRow,
    standing: &Standing,
    changes: &[Change],
) -> Result<bool, Error> {
    if !rules::keep(unit.connection(), row).await? {
        return Ok(false);
    }
    for change in changes {
        let (kind, more) = match change {
            Change::Fired => ("rule.fired", Value::Null),
            Change::Ended { fired_ms } => ("rule.ended", json!(fired_ms)),
            Change::Unknown => ("rule.unknown", Value::Null),
            Change::Known => ("rule.known", Value::Null),
        };
        let mut detail = json!({
            "environment": at.environment, "tick_ms": row.tick_ms, "outcome": row.outcome,
            "value": row.value, "digest": row.digest,
        });
        if !row.why.is_empty() {
            detail["why"] = serde_json::from_str(&row.why).unwrap_or(Value::Null);
        }
        if !more.is_null() {
            detail["fired_ms"] = more;
        }
        let now_ms = unit.now_ms();
        unit.journal(bot_entry(now_ms, kind, &row.name, detail));
        match change {
            Change::Unknown => tell_unknown(unit, at, row, standing).await?,
            Change::Known => tell_known(unit, at, &row.name).await?,
            Change::Fired | Change::Ended { .. } => {}
        }
    }
    Ok(true)
}

/// The rule joins those of which a message says that they cannot be evaluated, or begins one.
async fn tell_unknown(
    unit: &mut Unit,
    at: &Whereabouts,
    row: &RuleRow,
    standing: &Standing,
) -> Result<(), Error> {
    let environment = at.environment.as_str();
    rules::hold_all(unit.connection(), environment).await?;
    let others = rules::all(unit.connection(), environment, RULES_MAX).await?;
    let standing_message = others.iter().filter(|one| one.name != row.name && one.told_ms > 0);
    let joined = standing_message.map(|one| one.told_ms).max();
    let told_ms = joined.unwrap_or_else(|| unit.now_ms());
    rules::set_told(unit.connection(), (environment, &row.name), told_ms).await?;
    put_unknown(unit, at, told_ms).await?;
    if joined.is_some() {
        let why = why_of(row);
        let one = Unknown { name: row.name.clone(), why, is_firing: standing.is_firing() };
        let key = format!("{}/{}.{}", key_of(environment, told_ms), row.name, row.tick_ms);
        put(unit, at, key, Some(told_ms), &joined_card(&one, at.lang)).await?;
    }
    Ok(())
}

/// The rule leaves that message.
async fn tell_known(unit: &mut Unit, at: &Whereabouts, name: &str) -> Result<(), Error> {
    let environment = at.environment.as_str();
    rules::hold_all(unit.connection(), environment).await?;
    let row = rules::one(unit.connection(), (environment, name)).await?;
    let Some(row) = row.filter(|row| row.told_ms > 0) else { return Ok(()) };
    rules::set_told(unit.connection(), (environment, name), 0).await?;
    tell_left(unit, at, row.told_ms).await
}

/// A rule has left that message; the last one ends it.
async fn tell_left(unit: &mut Unit, at: &Whereabouts, told_ms: i64) -> Result<(), Error> {
    if put_unknown(unit, at, told_ms).await? == 0 {
        let key = format!("{}/over", key_of(&at.environment, told_ms));
        put(unit, at, key, Some(told_ms), &over_card(at.lang)).await?;
    }
    Ok(())
}

/// The message as it is right now; how many rules it lists.
async fn put_unknown(unit: &mut Unit, at: &Whereabouts, told_ms: i64) -> Result<usize, Error> {
    let rows = rules::all(unit.connection(), &at.environment, RULES_MAX).await?;
    let mut unknown = Vec::new();
    for row in rows.iter().filter(|row| row.told_ms == told_ms) {
        let is_firing = standing_of(row)?.is_firing();
        unknown.push(Unknown { name: row.name.clone(), why: why_of(row), is_firing });
    }
    let card = unknown_card(&at.environment, &unknown, at.lang);
    put(unit, at, key_of(&at.environment, told_ms), None, &card).await?;
    Ok(unknown.len())
}

fn key_of(environment: &str, told_ms: i64) -> String {
    format!("rules/unknown/{environment}/{told_ms}")
}

async fn put(
    unit: &mut Unit,
    at: &Whereabouts,
    key: String,
    thread: Option<i64>,
    card: &Card,
) -> Result<(), Error> {
    let Some(channel) = &at.channel else { return Ok(()) };
    let slot = Slot {
        key,
        parent: thread.map(|told_ms| key_of(&at.environment, told_ms)).unwrap_or_default(),
        channel: channel.to_string(),
        priority: PRIORITY,
        run_id: String::new(),
        body: serde_json::to_string(card).unwrap_or_default(),
    };
    let now_ms = unit.now_ms();
    outbox::put(unit.connection(), &slot, now_ms).await?;
    Ok(())
}

async fn remove_in(
    unit: &mut Unit,
    at: &Whereabouts,
    name: &str,
    owner: &str,
    in_force: &InForce,
) -> Result<bool, Error> {
    let now_ms = unit.now_ms();
    let of = (at.environment.as_str(), name);
    let Some(row) = rules::remove(unit.connection(), of, (owner, now_ms)).await? else {
        return Ok(false);
    };
    let detail = json!({"environment": at.environment});
    unit.journal(bot_entry(now_ms, "rule.removed", name, detail));
    if row.told_ms > 0 {
        // After its own row, as whoever writes a tick does.
        rules::hold_all(unit.connection(), &at.environment).await?;
        tell_left(unit, at, row.told_ms).await?;
    }
    let standing = standing_of(&row)?;
    if standing.is_firing() {
        let reason = at.lang.pick(
            "它的规则已不在告警配置中",
            "its rule is not in the alerting configuration any more",
        );
        let over = [removed(at, name, standing.fired_ms, now_ms)];
        tell(unit, &over, &By { reason, ..By::BOT }, in_force).await?;
    }
    Ok(true)
}

/// What a rule says of its alert, in the transaction that writes the rule.
async fn tell(
    unit: &mut Unit,
    sightings: &[Sighting],
    by: &By<'_>,
    in_force: &InForce,
) -> Result<(), Error> {
    if !sightings.is_empty() {
        Box::pin(observe_in(unit, sightings, by, in_force)).await?;
    }
    Ok(())
}

/// What is told of an alert by a change of its rule.
fn sighting(at: &Whereabouts, rule: &Rule, tick: &Tick, change: Change) -> Option<Sighting> {
    let (starts_ms, ended_ms) = match change {
        Change::Fired => (tick.at_ms, None),
        Change::Ended { fired_ms } => (fired_ms, Some(tick.at_ms)),
        Change::Unknown | Change::Known => return None,
    };
    let value = tick.measured.map(|measured| rule.spell(measured)).unwrap_or_default();
    let summary = rule.summary.as_ref().map(|words| at.lang.pick(&words.zh, &words.en).to_owned());
    let mut links = Vec::new();
    if !rule.runbook.is_empty() {
        links.push((at.lang.pick("操作手册", "Runbook").to_owned(), rule.runbook.clone()));
    }
    Some(Sighting {
        starts_ms,
        ended_ms,
        level: rule.level,
        ways: rule.ways.clone(),
        summary: summary.unwrap_or_default(),
        links,
        value,
        owner: rule.owner.clone(),
        ..removed(at, &rule.name, 0, 0)
    })
}

/// The end of an alert whose rule is gone.
fn removed(at: &Whereabouts, name: &str, fired_ms: i64, ended_ms: i64) -> Sighting {
    Sighting {
        source: "rule".to_owned(),
        fingerprint: name.to_owned(),
        starts_ms: fired_ms,
        ended_ms: Some(ended_ms),
        name: name.to_owned(),
        service: at.service.clone(),
        environment: at.environment.clone(),
        level: crate::core::alert::Level::Warning,
        ways: BTreeSet::new(),
        summary: String::new(),
        description: String::new(),
        labels: std::collections::BTreeMap::new(),
        links: Vec::new(),
        value: String::new(),
        owner: String::new(),
    }
}

fn view(row: RuleRow) -> Result<RuleView, Error> {
    Ok(RuleView {
        standing: standing_of(&row)?,
        outcome: Outcome::ALL.into_iter().find(|one| one.as_str() == row.outcome),
        why: why_of(&row),
        name: row.name,
        tick_ms: row.tick_ms,
        value: row.value,
        digest: row.digest,
    })
}

fn standing_of(row: &RuleRow) -> Result<Standing, Error> {
    serde_json::from_str(&row.standing).map_err(|_| {
        let words = format!("the rule {} of {} cannot be read", row.name, row.environment);
        Error::Store(store::Error::Setup(words))
    })
}

fn why_of(row: &RuleRow) -> Option<Why> {
    serde_json::from_str(&row.why).ok()
}

fn json_of<T: serde::Serialize>(value: &T) -> String {
    serde_json::to_string(value).unwrap_or_default()
}
