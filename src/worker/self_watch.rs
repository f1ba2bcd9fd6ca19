//! The bot's own watch: what it sees of itself and of Alertmanager becomes an alert of the source `bot`, so
//! that it is told by every way and escalates as everything else does.
//!
//! It watches where an alerting configuration is in force. A thing is wrong at once when its limit is passed,
//! and good again only after it was good for a while.

use crate::clock::Millis;
use crate::core::action::Runbook;
use crate::core::alert::{Level, Sighting, Way};
use crate::engine::{Engine, Error, Own, WATCHDOG};
use crate::vitals::Part;
use crate::worker::evaluate::whereabouts;
use std::collections::{BTreeMap, BTreeSet};
use tokio_util::sync::CancellationToken;
use tracing::warn;

/// Between two looks.
const LOOK_MS: u64 = 5_000;
/// A message that waits for so long is late.
const OUTBOX_AGE_MS_MAX: Millis = 2 * 60_000;
/// And is no more once none waits longer than this.
const OUTBOX_AGE_MS_GOOD: Millis = 30_000;
/// A step has so long beyond its time-out to be stopped, and its end to be written down.
const STEP_GRACE_MS: Millis = 60_000;
/// Slack and the disk may be away for so long.
const PART_MS_MAX: Millis = 60_000;
/// For so long something must be good before it is over.
const GOOD_FOR_MS: Millis = 30_000;
/// The watch of the outbox, which all bots share.
const OUTBOX: &str = "outbox";
/// So long after its tick a rule must have had another.
const RULE_LATE_MS: Millis = 2 * 60_000;
/// The watch of alerts that should move.
const ALERTS: &str = "alerts";
/// The watch of the rules.
const RULES: &str = "rules";
/// What the watches of steps begin with.
const STEP: &str = "step/";

/// What one look sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seen {
    /// Not as it should be, since then.
    Wrong(Millis),
    /// As it should be.
    Good,
    /// Neither: whatever it was, it stays.
    Between,
}

/// What was said of a watch by this process.
#[derive(Debug, Clone, Copy, Default)]
struct Said {
    /// The last that was said, and stored.
    how: Option<Own>,
    /// Since when it is good without a break; `None`: it is not.
    good_since_ms: Option<Millis>,
    /// Whether the look before found it wrong as well.
    was_wrong: bool,
}

impl Said {
    /// What is to be said now, and since when it is so; `None`: nothing.
    fn next(&mut self, seen: Seen, now_ms: Millis) -> Option<(Own, Millis)> {
        match seen {
            Seen::Between => {
                self.good_since_ms = None;
                None
            }
            Seen::Wrong(since_ms) => {
                self.good_since_ms = None;
                (self.how != Some(Own::Wrong)).then_some((Own::Wrong, since_ms))
            }
            Seen::Good => {
                let since_ms = *self.good_since_ms.get_or_insert(now_ms);
                let has_lasted = now_ms - since_ms >= GOOD_FOR_MS;
                (has_lasted && self.how != Some(Own::Good)).then_some((Own::Good, now_ms))
            }
        }
    }
}

/// Looks until it is told to stop.
///
/// # Errors
/// None: what cannot be seen or said now is by the next look.
pub async fn watch_itself(engine: Engine, stop: CancellationToken) -> anyhow::Result<()> {
    let mut watch = Watch { began_ms: engine.clock().now_ms(), said: BTreeMap::new(), engine };
    loop {
        let is_watching = !watch.engine.alerting().digest.is_empty();
        if is_watching
            && watch.engine.vitals().is_good(Part::Database)
            && let Err(failure) = watch.look().await
        {
            warn!("watch over the bot itself: {failure:#}");
        }
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = watch.engine.clock().sleep_ms(LOOK_MS) => {}
        }
    }
}

struct Watch {
    engine: Engine,
    /// When this process began to watch.
    began_ms: Millis,
    /// By the watch's name. Steps leave it when they are over.
    said: BTreeMap<String, Said>,
}

/// The words of a watch: 中文, English.
type Words = (String, String);

impl Watch {
    async fn look(&mut self) -> Result<(), Error> {
        self.look_at_watchdog().await?;
        self.look_at_outbox().await?;
        self.look_at_parts().await?;
        self.look_at_alerts().await?;
        self.look_at_rules().await?;
        self.look_at_steps().await
    }

    /// The auditor: alerts whose time has come and that nobody moved, and notices of them that do not get
    /// through, for which people are told by the other ways.
    async fn look_at_alerts(&mut self) -> Result<(), Error> {
        self.engine.tell_undelivered().await?;
        let (stuck, since_ms) = self.engine.stuck_alerts().await?;
        let seen = if stuck > 0 { Seen::Wrong(since_ms) } else { Seen::Good };
        let words = (
            format!("{stuck} 个告警本应升级或通知却没有动静"),
            format!("{stuck} alerts should have been told or should have risen, and did not"),
        );
        let seen = self.confirmed(ALERTS, seen);
        self.say(ALERTS, seen, "AlertsOverdue", words).await
    }

    /// Rules are evaluated even while Prometheus is away: a tick that is long past means that nobody looks.
    async fn look_at_rules(&mut self) -> Result<(), Error> {
        // Without a Prometheus there are none, and it is over.
        let environment = whereabouts(&self.engine.runbook()).map(|at| at.environment);
        let rules = self.engine.rules(&environment.unwrap_or_default()).await?;
        let oldest = rules.iter().map(|rule| rule.tick_ms).filter(|at_ms| *at_ms > 0).min();
        let now_ms = self.engine.clock().now_ms();
        let late_ms = oldest.unwrap_or(now_ms).max(self.began_ms) + RULE_LATE_MS;
        let seen = if now_ms >= late_ms { Seen::Wrong(late_ms) } else { Seen::Good };
        let words = (
            "告警规则已超过两分钟没有评估".to_owned(),
            "alert rules were not evaluated for more than two minutes".to_owned(),
        );
        let seen = self.confirmed(RULES, seen);
        self.say(RULES, seen, "RulesNotEvaluated", words).await
    }

    /// It is heard of at least every `within`. A process that was away itself waits for as long before it
    /// complains, for nobody could reach it meanwhile.
    async fn look_at_watchdog(&mut self) -> Result<(), Error> {
        let alerting = self.engine.alerting();
        let row = self.engine.watch_of(WATCHDOG).await?;
        let now_ms = self.engine.clock().now_ms();
        let Some(watchdog) = &alerting.liveness.watchdog else {
            // Nobody expects it any more.
            let over = if row.firing_ms > 0 { Seen::Good } else { Seen::Between };
            return self.say(WATCHDOG, over, "AlertmanagerSilent", Words::default()).await;
        };
        let seen = watchdog_seen(row.heard_ms, self.began_ms, watchdog.within_ms, now_ms);
        let within = crate::core::duration::spell(watchdog.within_ms.unsigned_abs());
        let (heard, name) = (utc(row.heard_ms), &watchdog.name);
        let words = if row.heard_ms == 0 {
            (
                format!("{within} 内应至少收到一次 {name}，机器人启动以来还没有收到过"),
                format!("{name} is expected every {within}, and was never heard of"),
            )
        } else {
            (
                format!("{heard} 之后没有再收到 Alertmanager 的 {name}（应每 {within} 至少一次）"),
                format!(
                    "nothing is heard of Alertmanager since {heard}: {name} is expected every {within}"
                ),
            )
        };
        self.say(WATCHDOG, seen, "AlertmanagerSilent", words).await
    }

    async fn look_at_outbox(&mut self) -> Result<(), Error> {
        let census = self.engine.take_census().await?;
        let now_ms = self.engine.clock().now_ms();
        let age_ms = if census.oldest_ms == 0 { 0 } else { now_ms - census.oldest_ms };
        let seen = match age_ms {
            OUTBOX_AGE_MS_MAX.. => Seen::Wrong(census.oldest_ms + OUTBOX_AGE_MS_MAX),
            ..=OUTBOX_AGE_MS_GOOD => Seen::Good,
            _ => Seen::Between,
        };
        let words = (
            format!("{} 条消息待发送，最早的已等待超过 2 分钟", census.due),
            format!("{} messages wait, the oldest for more than two minutes", census.due),
        );
        let seen = self.confirmed(OUTBOX, seen);
        self.say(OUTBOX, seen, "OutboxBehind", words).await
    }

    /// Slack and the disk as this bot sees them. Of a database that is gone nothing can be stored.
    async fn look_at_parts(&mut self) -> Result<(), Error> {
        let owner = self.engine.identity().owner.clone();
        let host = self.engine.host().to_owned();
        let sight = self.engine.vitals().sight();
        let now_ms = self.engine.clock().now_ms();
        let parts = [
            (
                Part::Slack,
                "SlackUnanswered",
                (
                    format!("主机 {host} 上的机器人联系不上 Slack"),
                    format!("Slack does not answer the bot on {host}"),
                ),
            ),
            (
                Part::Disk,
                "DiskLow",
                (
                    format!("主机 {host} 的数据目录空间不足，新的执行不会开始"),
                    format!("the data folder on {host} is short of space: no new run begins"),
                ),
            ),
        ];
        for (part, name, words) in parts {
            let seen = match sight.bad_since_ms(part) {
                None => Seen::Good,
                Some(since_ms) if now_ms - since_ms >= PART_MS_MAX => {
                    Seen::Wrong(since_ms + PART_MS_MAX)
                }
                Some(_) => Seen::Between,
            };
            let watch = format!("{}/{owner}", part.as_str());
            self.say(&watch, seen, name, words).await?;
        }
        Ok(())
    }

    /// A supervisor ends its step at the time-out: one that is not ended long after is nobody's.
    async fn look_at_steps(&mut self) -> Result<(), Error> {
        let mut overdue = BTreeMap::new();
        for (run, place, since_ms) in self.engine.overdue_steps(STEP_GRACE_MS).await? {
            overdue.insert(format!("{STEP}{run}/{place}"), since_ms);
        }
        let mut watches: BTreeSet<String> = overdue.keys().cloned().collect();
        let wrong = self.engine.watches_wrong().await?;
        watches.extend(wrong.into_iter().filter(|name| name.starts_with(STEP)));
        for watch in watches {
            let seen = overdue.get(&watch).map_or(Seen::Good, |since_ms| Seen::Wrong(*since_ms));
            let step = watch.trim_start_matches(STEP).replacen('/', " · ", 1);
            let words = (
                format!("步骤早已超时却没有结束：{step}"),
                format!("a step is long past its time-out and has not ended: {step}"),
            );
            self.say(&watch, seen, "StepOverdue", words).await?;
            if self.said.get(&watch).is_some_and(|said| said.how == Some(Own::Good)) {
                self.said.remove(&watch);
            }
        }
        Ok(())
    }

    /// What a look sees that can be behind for a moment, after a start or a pause of the machine: it is wrong
    /// only when the next look finds it so too.
    fn confirmed(&mut self, watch: &str, seen: Seen) -> Seen {
        let said = self.said.entry(watch.to_owned()).or_default();
        let is_wrong = matches!(seen, Seen::Wrong(_));
        let was_wrong = std::mem::replace(&mut said.was_wrong, is_wrong);
        if is_wrong && !was_wrong { Seen::Between } else { seen }
    }

    async fn say(
        &mut self,
        watch: &str,
        seen: Seen,
        name: &str,
        words: Words,
    ) -> Result<(), Error> {
        let now_ms = self.engine.clock().now_ms();
        let said = self.said.entry(watch.to_owned()).or_default();
        let Some((how, since_ms)) = said.next(seen, now_ms) else { return Ok(()) };
        let runbook = self.engine.runbook();
        let sighting = sighting(&runbook, watch, name, &words, since_ms);
        self.engine.say_of_own(watch, how, sighting).await?;
        if let Some(said) = self.said.get_mut(watch) {
            said.how = Some(how);
        }
        Ok(())
    }
}

/// How the watchdog is, and since when it is silent.
fn watchdog_seen(heard_ms: Millis, began_ms: Millis, within_ms: Millis, now_ms: Millis) -> Seen {
    let silent_since_ms = heard_ms.max(began_ms) + within_ms;
    if now_ms >= silent_since_ms {
        Seen::Wrong(silent_since_ms)
    } else if heard_ms > 0 && now_ms - heard_ms < within_ms {
        Seen::Good
    } else {
        // It was silent before this process began: that it is over is not known yet.
        Seen::Between
    }
}

fn utc(at_ms: Millis) -> String {
    let at = chrono::DateTime::from_timestamp_millis(at_ms).unwrap_or_default();
    at.format("%Y-%m-%d %H:%M:%SZ").to_string()
}

fn sighting(
    runbook: &Runbook,
    watch: &str,
    name: &str,
    words: &Words,
    starts_ms: Millis,
) -> Sighting {
    let environment = runbook.default_environment().or(runbook.environments.values().next());
    Sighting {
        source: "bot".to_owned(),
        fingerprint: watch.to_owned(),
        starts_ms,
        ended_ms: None,
        name: name.to_owned(),
        service: "neostock-ops".to_owned(),
        environment: environment.map(|one| one.name.clone()).unwrap_or_default(),
        level: Level::Error,
        ways: BTreeSet::from(Way::ALL),
        summary: runbook.language.pick(&words.0, &words.1).to_owned(),
        description: String::new(),
        labels: BTreeMap::from([("watch".to_owned(), watch.to_owned())]),
        links: Vec::new(),
        value: String::new(),
        owner: String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_said_once_and_is_over_only_when_it_was_good_for_a_while() {
        let mut said = Said::default();
        let mut told = Vec::new();
        let looks = [
            (0, Seen::Wrong(-5)),
            (5, Seen::Wrong(-5)),
            (10, Seen::Good),
            (20, Seen::Between),
            (30, Seen::Good),
            (50, Seen::Good),
            (60, Seen::Good),
            (65, Seen::Good),
            (70, Seen::Wrong(66)),
        ];
        for (at_secs, seen) in looks {
            let next = said.next(seen, at_secs * 1_000);
            if let Some((how, since_ms)) = next {
                said.how = Some(how);
                told.push((at_secs, how, since_ms));
            }
        }
        assert_eq!(told, [(0, Own::Wrong, -5), (60, Own::Good, 60_000), (70, Own::Wrong, 66)]);
    }

    #[test]
    fn a_watchdog_is_missed_only_after_its_time_and_not_for_the_bots_own_absence() {
        let (within_ms, began_ms) = (300, 10_000);
        for (heard_ms, now_ms, seen) in [
            // The first start: nothing was heard yet.
            (0, 10_000, Seen::Between),
            (0, 10_299, Seen::Between),
            (0, 10_300, Seen::Wrong(10_300)),
            // Heard before the bot was away.
            (9_900, 10_000, Seen::Good),
            (9_000, 10_000, Seen::Between),
            (9_000, 10_300, Seen::Wrong(10_300)),
            // As it should be, and no more.
            (10_500, 10_799, Seen::Good),
            (10_500, 10_800, Seen::Wrong(10_800)),
        ] {
            let found = watchdog_seen(heard_ms, began_ms, within_ms, now_ms);
            assert_eq!(found, seen, "heard {heard_ms}, now {now_ms}");
        }
    }
}
