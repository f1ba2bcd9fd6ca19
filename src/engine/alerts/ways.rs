//! What is told of an alert outside Slack: mails and PagerDuty's events, as messages of the outbox, and the
//! changes that PagerDuty is told of.
//!
//! Whoever was told of an alert hears its end by the same way: by the channels on which its row of messages
//! was begun, whatever the configuration says by then; unless it does not name the way any more, for then
//! nobody could send it.

use super::super::{Engine, Error, view as runs};
use super::notices::PRIORITIES;
use super::{By, Held, InForce};
use crate::config::alerting::ways::{DEFAULT_KEY, Ways};
use crate::core::alert::{Condition, Effect, Event, Level, State, Way, Why};
use crate::core::alert_page::{self, Change};
use crate::core::id::RunId;
use crate::core::told::Told;
use crate::core::{alert_mail, alert_page::page};
use crate::store::outbox::{self, Slot, way_of};
use crate::store::{Unit, releases};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Channels of one alert: every recipient and one routing key fit.
const CHANNELS_MAX: i64 = 100;
/// A change that is older is no news.
const CHANGE_AGE_MS_MAX: i64 = 3_600_000;
/// Changes that are told of at once.
const CHANGES_MAX: i64 = 20;
/// A change goes after every alert.
const PRIORITY_CHANGE: i64 = 1;
/// What its channels and its words begin with.
const PAGERDUTY: &str = "pagerduty";
/// Whose alerts say by which ways they are told; of all others their level does.
const RULE_SOURCE: &str = "rule";

/// The row of an alert's messages.
fn row_of(id: &str) -> String {
    format!("alert/{id}/ways")
}

/// What an event is to those outside Slack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum News {
    /// People are called.
    Call(Why),
    /// Somebody has it, or it is over.
    Turn,
}

fn news(event: &Event, before: &Condition, after: &Condition, effects: &[Effect]) -> Option<News> {
    let call = effects.iter().find_map(|effect| match effect {
        Effect::Tell { why, .. } => Some(News::Call(*why)),
        _ => None,
    });
    let is_taken = matches!(event, Event::Acknowledged { .. }) && before.state != after.state;
    let is_over = after.is_over() && !before.is_over();
    call.filter(|_| !after.is_over()).or((is_taken || is_over).then_some(News::Turn))
}

/// Writes what an event is to those outside Slack.
pub(super) async fn tell(
    unit: &mut Unit,
    held: &mut Held,
    (event, before, effects): (&Event, &Condition, &[Effect]),
    by: &By<'_>,
    in_force: &InForce,
) -> Result<(), Error> {
    let Some(news) = news(event, before, &held.condition, effects) else { return Ok(()) };
    let row = row_of(&held.row.id);
    let begun = outbox::channels_of_row(unit.connection(), &row, CHANNELS_MAX).await?;
    let ways = &in_force.alerting.ways;
    let mut channels: BTreeSet<String> =
        begun.into_iter().filter(|channel| is_set_up(channel, ways)).collect();
    if let News::Call(why) = news {
        call(&mut channels, held, why, in_force);
    }
    let left_out = match event {
        Event::Undelivered(way) => Some(*way),
        // What comes from there is not sent back there.
        _ if by.origin.starts_with(PAGERDUTY) => Some(Way::Pagerduty),
        _ => None,
    };
    channels.retain(|channel| Some(way_of(channel)) != left_out);
    if channels.is_empty() {
        return Ok(());
    }
    held.row.notices += 1;
    let now_ms = unit.now_ms();
    let first = &held.first;
    let told = Told {
        id: &held.row.id,
        number: held.row.notices,
        level: held.condition.level,
        // An acknowledgement that was undone, a return: it calls again.
        state: if matches!(news, News::Call(_)) { State::Open } else { held.condition.state },
        why: if let News::Call(why) = news { Some(why) } else { None },
        name: &first.name,
        service: &first.service,
        environment: &first.environment,
        summary: &first.summary,
        description: &first.description,
        links: &first.links,
        value: &first.value,
        by: match news {
            News::Turn if by.origin != By::BOT.origin => called(by),
            _ => "",
        },
        since_ms: first.starts_ms,
        at_ms: now_ms,
        lang: in_force.runbook.language,
    };
    for channel in &channels {
        let key = format!("alert/{}/{}/{channel}", held.row.id, told.number);
        let body = match way_of(channel) {
            Way::Email => serde_json::to_string(&alert_mail::mail(&told, &key)),
            Way::Pagerduty => serde_json::to_string(&page(&told)),
            Way::Slack => continue,
        };
        let slot = Slot {
            key,
            channel: channel.clone(),
            parent: row.clone(),
            priority: PRIORITIES[told.level as usize],
            run_id: String::new(),
            body: body.unwrap_or_default(),
        };
        outbox::put(unit.connection(), &slot, now_ms).await?;
    }
    Ok(())
}

/// Whom a reader outside Slack is told of: an id says nothing there.
fn called<'b>(by: &By<'b>) -> &'b str {
    if by.name.is_empty() { by.actor } else { by.name }
}

/// Whether the configuration knows the way that a channel goes.
fn is_set_up(channel: &str, ways: &Ways) -> bool {
    match (way_of(channel), channel.split_once(':')) {
        (Way::Pagerduty, Some((_, key))) => {
            ways.pagerduty.as_ref().is_some_and(|one| one.routing_keys.contains_key(key))
        }
        (Way::Email, _) => ways.email.is_some(),
        _ => true,
    }
}

/// Adds where people are called now. A notice that did not get through makes every way one that is meant. So
/// does level 3, however it was reached, where no rule says by its `channels` which are.
fn call(channels: &mut BTreeSet<String>, held: &Held, why: Why, in_force: &InForce) {
    let ways = &in_force.alerting.ways;
    let level: Level = held.condition.level;
    let is_every =
        why == Why::Undelivered || (level == Level::Critical && held.first.source != RULE_SOURCE);
    let is_meant = |way| is_every || held.first.ways.contains(&way);
    if let Some(email) = ways.email.as_ref().filter(|_| is_meant(Way::Email)) {
        channels.extend(email.recipients(level).iter().map(|to| format!("email:{to}")));
    }
    if let Some(pagerduty) = ways.pagerduty.as_ref().filter(|_| is_meant(Way::Pagerduty)) {
        // Another key is another incident there: the first one stays.
        if !channels.iter().any(|channel| way_of(channel) == Way::Pagerduty) {
            let key = pagerduty.key_for(&held.first.name, &held.first.service, level);
            channels.insert(format!("{PAGERDUTY}:{key}"));
        }
    }
}

impl Engine {
    /// Has PagerDuty told of what was made live lately and was not told of; how many changes.
    ///
    /// # Errors
    /// The database's; the next call does what was not done.
    pub async fn tell_of_changes(&self) -> Result<usize, Error> {
        let in_force = Arc::new(self.terms_now());
        if in_force.alerting.ways.pagerduty.is_none() {
            return Ok(0);
        }
        let since_ms = self.clock().now_ms() - CHANGE_AGE_MS_MAX;
        let mut reader = self.store().read().await?;
        let untold = releases::untold(&mut reader, since_ms, CHANGES_MAX).await?;
        drop(reader);
        if untold.is_empty() {
            return Ok(0);
        }
        let told = untold.len();
        let untold = Arc::new(untold);
        self.patiently(|| {
            let (untold, in_force) = (Arc::clone(&untold), Arc::clone(&in_force));
            self.store().unit(move |unit| {
                Box::pin(async move {
                    for run in untold.iter() {
                        put_change(unit, &RunId::new(run.clone()), &in_force).await?;
                    }
                    Ok::<_, Error>(())
                })
            })
        })
        .await?;
        self.mail.notify_one();
        Ok(told)
    }
}

async fn put_change(unit: &mut Unit, run: &RunId, in_force: &InForce) -> Result<(), Error> {
    let key = format!("change/{run}");
    if outbox::is_written(unit.connection(), &key).await? {
        // Another bot was quicker.
        return Ok(());
    }
    let Some(pagerduty) = &in_force.alerting.ways.pagerduty else { return Ok(()) };
    let row = runs::row(unit.connection(), run).await?;
    let plan = runs::plan(run, &row)?;
    let Some(parameter) = &plan.makes_live else { return Ok(()) };
    let text = |found: Option<&String>| found.cloned().unwrap_or_default();
    let (version, commit) =
        (text(plan.arguments.get(parameter)), text(plan.commits.get(parameter)));
    let page = alert_page::change(&Change {
        run: run.as_str(),
        action: plan.summary.get(in_force.runbook.language),
        service: &plan.service,
        environment: &plan.environment,
        version: &version,
        commit: &commit,
        at_ms: row.ended_ms,
    });
    let named = pagerduty.by.get(&plan.service).map_or(DEFAULT_KEY, String::as_str);
    let slot = Slot {
        key,
        channel: format!("{PAGERDUTY}:{named}"),
        parent: String::new(),
        priority: PRIORITY_CHANGE,
        run_id: run.to_string(),
        body: serde_json::to_string(&page).unwrap_or_default(),
    };
    let now_ms = unit.now_ms();
    Ok(outbox::put(unit.connection(), &slot, now_ms).await?)
}
