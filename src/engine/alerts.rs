//! Alerts: what sources say, what people want and what time brings goes in; state, journal entry and
//! notices come out, in one transaction. Only this room changes an alert.

mod audit;
mod deeds;
mod incident;
mod inhibit;
mod notices;
mod observe;
mod time;
mod ways;

pub use deeds::{AlertWish, Heard, Wanted, Wished};
pub use observe::Observed;
pub(super) use observe::observe_in;

use super::{Engine, Error, bot_entry};
use crate::config::alerting::Alerting;
use crate::core::action::Runbook;
use crate::core::alert::{Condition, Event, Illegal, Sighting};
use crate::core::alert_card::AlertView;
use crate::core::id::{AlertId, ChannelId, RunId};
use crate::core::journal::Entry;
use crate::store::Unit;
use crate::store::alerts::{self as rows, AlertFilter, AlertRow};
use serde_json::{Value, json};
use sqlx::AnyConnection;
use std::collections::BTreeSet;
use std::sync::Arc;
use tokio::sync::watch;

/// Instances that a view holds.
const INSTANCES_MAX: i64 = 20;
/// Alerts that a list holds at most.
pub const LISTED_MAX: i64 = 200;

/// What is in force of the reviewed files.
#[derive(Debug, Clone)]
pub struct Terms {
    /// What people may do, and where.
    pub runbook: watch::Receiver<Arc<Runbook>>,
    /// What is watched, and whom to tell.
    pub alerting: watch::Receiver<Arc<Alerting>>,
}

impl Default for Terms {
    /// Nothing in particular: where no bot runs.
    fn default() -> Self {
        // A receiver keeps the last value when its sender is gone.
        Self {
            runbook: watch::Sender::new(Arc::default()).subscribe(),
            alerting: watch::Sender::new(Arc::default()).subscribe(),
        }
    }
}

/// Both files as they are at one moment.
#[derive(Debug, Clone)]
pub(super) struct InForce {
    pub runbook: Arc<Runbook>,
    pub alerting: Arc<Alerting>,
}

impl Engine {
    /// The same with the reviewed files in force.
    #[must_use]
    pub fn with_terms(mut self, terms: Terms) -> Self {
        self.terms = terms;
        self
    }

    /// The alerting configuration in force.
    pub fn alerting(&self) -> Arc<Alerting> {
        self.terms.alerting.borrow().clone()
    }

    /// The runbook in force.
    pub fn runbook(&self) -> Arc<Runbook> {
        self.terms.runbook.borrow().clone()
    }

    pub(super) fn terms_now(&self) -> InForce {
        InForce { runbook: self.runbook(), alerting: self.alerting() }
    }

    /// An alert as it is; `None`: there is no such one.
    ///
    /// # Errors
    /// The database's.
    pub async fn alert(&self, id: &AlertId) -> Result<Option<AlertView>, Error> {
        let mut reader = self.store().read().await?;
        match rows::alert_of(&mut reader, id.as_str()).await? {
            Some(row) => Ok(Some(view(&mut reader, &row).await?)),
            None => Ok(None),
        }
    }

    /// Those that are wanted, the newest first; [`LISTED_MAX`] at most.
    ///
    /// # Errors
    /// The database's.
    pub async fn alerts(&self, filter: &AlertFilter) -> Result<Vec<AlertView>, Error> {
        let limit = filter.limit.clamp(0, LISTED_MAX);
        let filter = AlertFilter { limit, ..filter.clone() };
        let mut reader = self.store().read().await?;
        let mut views = Vec::new();
        for row in rows::list(&mut reader, &filter).await? {
            views.push(view(&mut reader, &row).await?);
        }
        Ok(views)
    }

    /// The message of an alert's card: its channel and `ts`, once it is in Slack.
    ///
    /// # Errors
    /// The database's.
    pub async fn alert_message(&self, id: &AlertId) -> Result<Option<(String, String)>, Error> {
        let mut reader = self.store().read().await?;
        let key = notices::card_key(id.as_str());
        Ok(crate::store::outbox::message_of(&mut reader, &key).await?)
    }

    /// How many alerts are not over, by level from 1 on.
    ///
    /// # Errors
    /// The database's.
    pub async fn alert_census(&self) -> Result<[i64; 3], Error> {
        let mut reader = self.store().read().await?;
        Ok(rows::census(&mut reader).await?)
    }
}

/// An alert while its transaction holds it.
pub(super) struct Held {
    row: AlertRow,
    condition: Condition,
    first: Sighting,
}

impl Held {
    pub(super) fn of(row: AlertRow) -> Result<Self, Error> {
        let condition = read(&row.condition, &row, "its condition")?;
        let first = read(&row.sighting, &row, "its sighting")?;
        Ok(Self { row, condition, first })
    }

    /// Its id, and the sighting that speaks for it.
    pub(super) fn named(&self) -> (&str, &Sighting) {
        (&self.row.id, &self.first)
    }

    /// Until when nobody is told of it; 0: it is not silenced.
    pub(super) fn silenced_until_ms(&self) -> i64 {
        self.condition.silenced_until_ms
    }

    /// Works an event into it, and writes down and out what comes of it. Its row and its card are
    /// [`Held::refresh`]'s, which every change ends with.
    ///
    /// # Errors
    /// The database's. What the alert cannot take is an `Ok` of its own.
    pub(super) async fn take(
        &mut self,
        unit: &mut Unit,
        event: &Event,
        by: &By<'_>,
        in_force: &InForce,
    ) -> Result<Result<(), Illegal>, Error> {
        let now_ms = unit.now_ms();
        let next = match self.condition.after(event, &in_force.alerting.policies, now_ms) {
            Ok(next) => next,
            Err(illegal) => return Ok(Err(illegal)),
        };
        let (before, effects) = (self.condition.clone(), next.1);
        self.condition = next.0;
        if before == self.condition && effects.is_empty() {
            return Ok(Ok(()));
        }
        notices::write(unit, self, (event, &before, &effects), by, in_force).await?;
        if before.is_over() != self.condition.is_over() {
            self.tell_inhibited(unit, in_force).await?;
        }
        Ok(Ok(()))
    }

    /// Writes its row.
    async fn keep(&mut self, unit: &mut Unit) -> Result<(), Error> {
        let condition = &self.condition;
        condition.state.as_str().clone_into(&mut self.row.state);
        self.row.level = i64::from(condition.level.number());
        self.row.next_ms = condition.next_ms;
        self.row.resolved_ms = condition.resolved_ms;
        self.row.changed_ms = unit.now_ms();
        self.row.condition = serde_json::to_string(condition).unwrap_or_default();
        self.row.sighting = serde_json::to_string(&self.first).unwrap_or_default();
        rows::change(unit.connection(), &self.row).await?;
        Ok(())
    }
}

/// Who makes something happen to an alert, for the journal and the thread.
#[derive(Debug, Clone, Copy)]
pub(super) struct By<'b> {
    /// A user id, `neostock-ops`, or `pagerduty`.
    pub actor: &'b str,
    /// What people outside Slack call them; empty: not known.
    pub name: &'b str,
    /// By which way.
    pub origin: &'b str,
    /// What they said of it.
    pub reason: &'b str,
}

impl By<'static> {
    /// The bot itself.
    pub(super) const BOT: Self =
        Self { actor: "neostock-ops", name: "", origin: "bot", reason: "" };
}

/// An entry about an alert.
fn entry(held: &Held, kind: &str, by: &By<'_>, mut detail: Value, at_ms: i64) -> Entry {
    detail["name"] = json!(held.first.name);
    detail["environment"] = json!(held.first.environment);
    detail["level"] = json!(held.condition.level.number());
    if !by.reason.is_empty() {
        detail["reason"] = json!(by.reason);
    }
    let mut entry = bot_entry(at_ms, kind, &held.row.id, detail);
    by.actor.clone_into(&mut entry.actor);
    by.origin.clone_into(&mut entry.origin);
    entry
}

/// A view of a row and its instances.
async fn view(connection: &mut AnyConnection, row: &AlertRow) -> Result<AlertView, Error> {
    let instances = rows::instances_of_alert(connection, &row.id, INSTANCES_MAX).await?;
    let (firing, total) = rows::count_instances(connection, &row.id).await?;
    let count = |count| usize::try_from(count).unwrap_or(0);
    // One that came back is one instance: its newest firing speaks for it.
    let mut seen = BTreeSet::new();
    let instances = instances.iter().filter(|one| seen.insert(one.series.as_str()));
    let instances = instances.filter_map(|one| {
        let mut sighting: Sighting = serde_json::from_str(&one.sighting).ok()?;
        sighting.ended_ms = (one.ended_ms != 0).then_some(one.ended_ms);
        Some(sighting)
    });
    Ok(AlertView {
        id: AlertId::new(row.id.clone()),
        condition: read(&row.condition, row, "its condition")?,
        first: read(&row.sighting, row, "its sighting")?,
        instances: instances.collect(),
        firing: count(firing),
        total: count(total),
        opened_ms: row.opened_ms,
        channel: ChannelId::new(row.channel.clone()),
        checklist: RunId::parse(&row.checklist_run),
        rollback: String::new(),
    })
}

fn read<T: serde::de::DeserializeOwned>(
    json: &str,
    row: &AlertRow,
    what: &str,
) -> Result<T, Error> {
    serde_json::from_str(json)
        .map_err(|_| Error::CorruptAlert { alert: row.id.clone(), what: what.to_owned() })
}
