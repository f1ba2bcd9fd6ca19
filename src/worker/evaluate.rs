//! Evaluates the rules of the alerting configuration: asks Prometheus at each rule's ticks, and reports
//! what came of it to the engine. A Prometheus that is slow or away delays nothing but its rules, each of
//! which waits for its own answers only.
//!
//! One bot of several evaluates a rule. After a restart the ticks that were missed are evaluated as of
//! their own time, so that a rule fires for the same moment whoever looks, and when; of more than
//! [`CATCH_UP_TICKS_MAX`] nothing is known.

use crate::config::alerting::{Alerting, Prometheus};
use crate::core::action::Runbook;
use crate::core::alert_rule::{Answer, Reading, Rule, judge};
use crate::core::text::Text;
use crate::engine::{Engine, Error, HeldRule, Tick, Whereabouts};
use crate::source::prometheus::Client;
use crate::vitals::Part;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

/// Missed ticks that are made up for.
pub const CATCH_UP_TICKS_MAX: i64 = 40;
/// How often the configuration is looked at, and how soon what could not be written is tried again.
const LOOK_MS: i64 = 1_000;
/// How often it is looked for rules that the configuration does not have.
const TIDY_MS: i64 = 15_000;
/// A tick that is further ahead was evaluated by a clock that was wrong: it is not waited for.
const AHEAD_MS_MAX: i64 = 60_000;
/// Rules that are evaluated at once.
const RULES_AT_ONCE: usize = 16;

/// Evaluates until it is told to stop.
///
/// # Errors
/// None: what cannot be asked or written is a rule's outcome, or is tried again.
pub async fn evaluate(engine: Engine, stop: CancellationToken) -> anyhow::Result<()> {
    let mut set = Set::default();
    let mut held: BTreeMap<String, HeldRule> = BTreeMap::new();
    let mut next_ms: BTreeMap<String, i64> = BTreeMap::new();
    let mut running = FuturesUnordered::new();
    let mut busy: BTreeSet<String> = BTreeSet::new();
    loop {
        let now_ms = engine.clock().now_ms();
        if engine.vitals().is_good(Part::Database) {
            let (alerting, runbook) = (engine.alerting(), engine.runbook());
            if !set.is_of(&alerting, &runbook) {
                for rule in &set.rules {
                    engine.metrics().rule_gone(&rule.name);
                }
                set = Set::of(&alerting, &runbook);
                next_ms.clear();
            }
            set.drop_others(&engine, now_ms).await;
            for rule in &set.rules {
                let waits = now_ms + 1..=now_ms + AHEAD_MS_MAX;
                let is_due = next_ms.get(&rule.name).is_none_or(|next_ms| !waits.contains(next_ms));
                if is_due && running.len() < RULES_AT_ONCE && busy.insert(rule.name.clone()) {
                    let (engine, rule, at) = (engine.clone(), rule.clone(), Arc::clone(&set.at));
                    let (client, had) = (set.client.clone(), held.remove(&rule.name));
                    running.push(async move {
                        catch_up(&engine, client.as_ref(), &at, rule, had).await
                    });
                }
            }
        }
        let is_full = running.len() >= RULES_AT_ONCE;
        let waiting = set.rules.iter().filter(|rule| !is_full && !busy.contains(&rule.name));
        // What is due and was not begun waits for room, or for the database.
        let due = waiting.filter_map(|rule| next_ms.get(&rule.name));
        let soonest = due.filter(|next_ms| **next_ms > now_ms).min();
        let wake_ms = soonest.map_or(now_ms + LOOK_MS, |soonest| (*soonest).min(now_ms + LOOK_MS));
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            Some(done) = running.next() => {
                let Evaluated { name, kept, again_ms } = done;
                busy.remove(&name);
                next_ms.insert(name.clone(), again_ms);
                if let Some(kept) = kept {
                    held.insert(name, kept);
                }
            }
            () = engine.clock().sleep_until(wake_ms.max(now_ms + 1)) => {}
        }
    }
}

/// The rules in force, and whom to ask.
#[derive(Default)]
struct Set {
    of: Option<(String, String)>,
    rules: Vec<Rule>,
    at: Arc<Whereabouts>,
    client: Option<Result<Client, Text>>,
    tidy_ms: i64,
}

impl Set {
    fn of(alerting: &Alerting, runbook: &Runbook) -> Self {
        let of = Some((alerting.digest.clone(), runbook.digest.clone()));
        let Some(at) = whereabouts(runbook) else { return Self { of, ..Self::default() } };
        let client = alerting.prometheus.as_ref().map(client_of);
        let rules = if client.is_some() { rules_of(alerting, &at.service) } else { Vec::new() };
        if let Some(prometheus) = &alerting.prometheus {
            info!("{} rules ask Prometheus at {}", rules.len(), prometheus.url);
        }
        Self { of, rules, at: Arc::new(at), client, tidy_ms: 0 }
    }

    fn is_of(&self, alerting: &Alerting, runbook: &Runbook) -> bool {
        let of = self.of.as_ref();
        of.is_some_and(|(one, other)| *one == alerting.digest && *other == runbook.digest)
    }

    /// What is not in the configuration any more ends. Again and again: another bot may have read it later, or
    /// have gone away before it did.
    async fn drop_others(&mut self, engine: &Engine, now_ms: i64) {
        let is_due = self.tidy_ms <= now_ms || self.tidy_ms > now_ms + TIDY_MS;
        if !is_due || self.at.environment.is_empty() {
            return;
        }
        self.tidy_ms = now_ms + TIDY_MS;
        let names = self.rules.iter().map(|rule| rule.name.clone()).collect();
        match engine.drop_rules(&self.at, &names).await {
            Ok(0) => {}
            Ok(dropped) => info!("{dropped} rules are not in the configuration any more"),
            Err(failure) => warn!("end the rules that were removed: {failure:#}"),
        }
    }
}

/// Where the rules of a runbook belong: to its default environment, else its first.
pub fn whereabouts(runbook: &Runbook) -> Option<Whereabouts> {
    let first = runbook.environments.values().next();
    let environment = runbook.default_environment().or(first)?;
    Some(Whereabouts {
        service: runbook.service.clone(),
        environment: environment.name.clone(),
        channel: runbook.operations_channel().cloned(),
        lang: runbook.language,
    })
}

/// The rules of a configuration for a service.
pub fn rules_of(alerting: &Alerting, service: &str) -> Vec<Rule> {
    alerting.alerts.iter().map(|(name, alert)| alert.rule(name, service)).collect()
}

fn client_of(prometheus: &Prometheus) -> Result<Client, Text> {
    Client::new(prometheus).map_err(|failure| {
        error!("Prometheus cannot be asked: {failure:#}");
        Text::same(format!("{failure:#}"))
    })
}

/// What came of looking at a rule.
struct Evaluated {
    name: String,
    kept: Option<HeldRule>,
    again_ms: i64,
}

/// Evaluates every tick of a rule that is due.
async fn catch_up(
    engine: &Engine,
    client: Option<&Result<Client, Text>>,
    at: &Whereabouts,
    rule: Rule,
    had: Option<HeldRule>,
) -> Evaluated {
    let name = rule.name.clone();
    match ticks(engine, client, at, &rule, had).await {
        Ok((kept, again_ms)) => Evaluated { name, kept, again_ms },
        Err(failure) => {
            warn!("evaluate the rule {name}: {failure:#}");
            Evaluated { name, kept: None, again_ms: engine.clock().now_ms() + LOOK_MS }
        }
    }
}

async fn ticks(
    engine: &Engine,
    client: Option<&Result<Client, Text>>,
    at: &Whereabouts,
    rule: &Rule,
    had: Option<HeldRule>,
) -> Result<(Option<HeldRule>, i64), Error> {
    let interval_ms = rule.interval_ms();
    let now_ms = engine.clock().now_ms();
    let had = had.filter(|had| had.is_held(now_ms) && had.is_of(at, rule));
    let mut held = match had {
        Some(held) => held,
        None => match engine.claim_rule(at, rule).await? {
            Some(held) => held,
            // Another bot evaluates it.
            None => return Ok((None, rule.tick_ms(now_ms) + interval_ms)),
        },
    };
    // More than were missed at first come due only while these are evaluated.
    for _ in 0..=2 * CATCH_UP_TICKS_MAX {
        let Some((tick_ms, is_after_gap)) =
            next_tick(rule, held.tick_ms(), engine.clock().now_ms())
        else {
            break;
        };
        let reading = read(client, rule, tick_ms).await;
        let tick = tick_of(rule, tick_ms, is_after_gap, &reading);
        if !engine.keep_tick(&mut held, at, rule, tick).await? {
            info!("another bot evaluates the rule {} now", rule.name);
            return Ok((None, engine.clock().now_ms() + interval_ms));
        }
    }
    let last_ms = held.tick_ms().unwrap_or_else(|| rule.tick_ms(now_ms));
    Ok((Some(held), last_ms + interval_ms))
}

/// The tick that comes next, and whether ticks before it are lost; `None`: it is not due yet.
fn next_tick(rule: &Rule, last_ms: Option<i64>, now_ms: i64) -> Option<(i64, bool)> {
    let newest_ms = rule.tick_ms(now_ms);
    let Some(last_ms) = last_ms else { return Some((newest_ms, false)) };
    let interval_ms = rule.interval_ms();
    // The interval may have been another when the last tick was.
    let next_ms = rule.tick_ms(last_ms) + interval_ms;
    if next_ms > newest_ms {
        return (next_ms - newest_ms > AHEAD_MS_MAX).then_some((newest_ms, true));
    }
    let missed = (newest_ms - next_ms) / interval_ms;
    if missed > CATCH_UP_TICKS_MAX { Some((newest_ms, true)) } else { Some((next_ms, false)) }
}

async fn read(client: Option<&Result<Client, Text>>, rule: &Rule, tick_ms: i64) -> Reading {
    match client {
        Some(Ok(client)) => {
            let time_max = Duration::from_millis(rule.interval_ms().unsigned_abs());
            client.read(&rule.questions, tick_ms, time_max).await
        }
        Some(Err(words)) => Reading::of(Answer::Failed(words.clone())),
        None => Reading::of(Answer::Nothing),
    }
}

/// What a reading says of a rule at a tick.
pub fn tick_of(rule: &Rule, at_ms: i64, is_after_gap: bool, reading: &Reading) -> Tick {
    let (outcome, why) = judge(rule, reading);
    Tick { at_ms, is_after_gap, outcome, why, measured: reading.number() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::alert::Level;
    use crate::core::alert_rule::Threshold;
    use std::collections::BTreeSet;

    #[test]
    fn missed_ticks_are_made_up_for_one_by_one_and_too_many_are_a_gap() {
        let ratio = Threshold::Ratio { millionths: 50_000 };
        let alert =
            crate::config::alerting::Alert::plain(ratio, 60_000, Level::Error, BTreeSet::new());
        let rule = alert.rule("error_rate", "shop");
        let next = |last_ms, now_ms| next_tick(&rule, last_ms, now_ms);
        assert_eq!(next(None, 105_000), Some((100_000, false)));
        assert_eq!(next(Some(100_000), 105_000), None);
        assert_eq!(next(Some(100_000), 110_000), Some((110_000, false)));
        assert_eq!(next(Some(100_000), 200_000), Some((110_000, false)));
        let most_ms = 110_000 + CATCH_UP_TICKS_MAX * 10_000;
        assert_eq!(next(Some(100_000), most_ms), Some((110_000, false)));
        assert_eq!(next(Some(100_000), most_ms + 10_000), Some((most_ms + 10_000, true)));
        // A clock that was set back evaluates nothing twice.
        assert_eq!(next(Some(100_000), 50_000), None);
        // One that was a minute ahead and more is not waited for: nothing is known of the time between.
        assert_eq!(next(Some(100_000), 40_000), Some((40_000, true)));
        assert_eq!(next(Some(86_400_000), 40_000), Some((40_000, true)));
        // The interval was 15 s before.
        assert_eq!(next(Some(105_000), 112_000), Some((110_000, false)));
    }
}
