//! Who decides in whose place, written down and told in one transaction.

use super::requests::{request_entry, stored_answer};
use super::{Asked, Engine, Error};
use crate::core::card::Card;
use crate::core::delegation::Delegation;
use crate::core::id::{ChannelId, UserId};
use crate::core::policy::Authorized;
use crate::store::delegations::{self, DelegationRow};
use crate::store::outbox::{self, Slot};
use crate::store::{Unit, deliveries};
use serde_json::json;
use std::sync::Arc;

/// Delegations that are looked at for one person, or listed.
const IN_FORCE_MAX: i64 = 50;
/// Such a message goes before what runs say.
const PRIORITY: i64 = 30;

/// What is to be changed about who decides for whom.
pub enum Change {
    /// These begin; each takes the place of an earlier one for the same role and people.
    Begin(Vec<Delegation>),
    /// What is delegated to somebody in these roles ends, whoever delegated it.
    End {
        /// To whom.
        to: UserId,
        /// In which roles.
        roles: Vec<String>,
    },
}

/// Where it is told, and how.
pub struct Told {
    /// The channel; `None`: there is none to tell.
    pub channel: Option<ChannelId>,
    /// What it reads.
    pub card: Card,
    /// The answer when something changed.
    pub done: String,
    /// The answer when there was nothing to end.
    pub nothing: String,
}

impl Told {
    /// Ends what somebody asked to change: answered once, and told under a key that begins so; or refused with
    /// the reason for which there was nothing to change.
    pub(super) async fn conclude(
        &self,
        unit: &mut Unit,
        (asked, role): (&Asked, &str),
        outcome: Result<&str, &str>,
    ) -> Result<String, Error> {
        let now_ms = unit.now_ms();
        let answer = if outcome.is_ok() { &self.done } else { &self.nothing };
        if !deliveries::insert_once(unit, &asked.delivery, answer).await? {
            return stored_answer(unit, &asked.delivery).await;
        }
        match (outcome, &self.channel) {
            (Err(why), _) => {
                let detail = json!({"text": asked.text, "role": role, "why": why});
                unit.journal(request_entry(asked, "request.refused", "", detail, now_ms));
            }
            (Ok(key), Some(channel)) => {
                let slot = Slot {
                    key: format!("{key}/{}", asked.delivery),
                    parent: String::new(),
                    channel: channel.to_string(),
                    priority: PRIORITY,
                    run_id: String::new(),
                    body: serde_json::to_string(&self.card).unwrap_or_default(),
                };
                outbox::put(unit.connection(), &slot, now_ms).await?;
            }
            (Ok(_), None) => {}
        }
        Ok(answer.clone())
    }
}

impl Engine {
    /// What somebody may decide in another's place now.
    ///
    /// # Errors
    /// The database's.
    pub async fn delegations_to(&self, user: &UserId) -> Result<Vec<Delegation>, Error> {
        self.in_force(user.as_str()).await
    }

    /// Every delegation that is in force.
    ///
    /// # Errors
    /// The database's.
    pub async fn delegations(&self) -> Result<Vec<Delegation>, Error> {
        self.in_force("").await
    }

    async fn in_force(&self, user: &str) -> Result<Vec<Delegation>, Error> {
        let mut reader = self.store.read().await?;
        let now_ms = self.clock().now_ms();
        let rows = delegations::in_force(&mut reader, user, now_ms, IN_FORCE_MAX).await?;
        Ok(rows.into_iter().map(delegation).collect())
    }

    /// Writes a change, tells it, and answers. The same delivery twice does nothing more.
    ///
    /// # Errors
    /// The database's; then nothing is written.
    pub async fn delegate(
        &self,
        asked: Asked,
        by: &Authorized,
        change: Change,
        told: Told,
    ) -> Result<String, Error> {
        let role = by.role().to_owned();
        let wish = Arc::new((asked, role, change, told));
        let answer = self
            .patiently(|| {
                let wish = Arc::clone(&wish);
                self.store.unit(move |unit| Box::pin(async move { change_in(unit, &wish).await }))
            })
            .await?;
        self.mail.notify_one();
        Ok(answer)
    }
}

fn delegation(row: DelegationRow) -> Delegation {
    Delegation {
        role: row.role,
        from: UserId::new(row.from_user),
        to: UserId::new(row.to_user),
        reason: row.reason,
        until_ms: row.until_ms,
    }
}

async fn change_in(
    unit: &mut Unit,
    (asked, role, change, told): &(Asked, String, Change, Told),
) -> Result<String, Error> {
    let answered = deliveries::answer_of(unit.connection(), &asked.delivery).await?;
    if let Some(answered) = answered {
        return Ok(answered);
    }
    let now_ms = unit.now_ms();
    let by = (asked.actor.as_str(), now_ms);
    let mut is_changed = false;
    match change {
        Change::Begin(all) => {
            for (index, one) in all.iter().enumerate() {
                let of = (one.role.as_str(), one.to.as_str());
                delegations::end(unit.connection(), of, Some(one.from.as_str()), by).await?;
                let row = DelegationRow {
                    role: one.role.clone(),
                    from_user: one.from.to_string(),
                    to_user: one.to.to_string(),
                    reason: one.reason.clone(),
                    until_ms: one.until_ms,
                };
                let id = format!("{}/{index}", asked.delivery);
                delegations::insert(unit.connection(), &id, &row, now_ms).await?;
                let detail = json!({
                    "text": asked.text, "role": one.role, "to": one.to.as_str(),
                    "until_ms": one.until_ms, "reason": one.reason,
                });
                unit.journal(request_entry(asked, "role.delegated", "", detail, now_ms));
                is_changed = true;
            }
        }
        Change::End { to, roles } => {
            for one in roles {
                let of = (one.as_str(), to.as_str());
                if delegations::end(unit.connection(), of, None, by).await? {
                    let detail = json!({"text": asked.text, "role": one, "to": to.as_str()});
                    let kind = "role.delegation_ended";
                    unit.journal(request_entry(asked, kind, "", detail, now_ms));
                    is_changed = true;
                }
            }
        }
    }
    let outcome = if is_changed { Ok("delegation") } else { Err("nothing_delegated") };
    told.conclude(unit, (asked, role), outcome).await
}
