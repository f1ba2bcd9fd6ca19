//! Who is on call: the configured rotations with what people have overridden, written down and told in one
//! transaction; and each change of hands, told once whatever the number of bots.

use super::requests::request_entry;
use super::{Asked, Engine, Error, Told, bot_entry};
use crate::config::alerting::Alerting;
use crate::core::card::Card;
use crate::core::id::{ChannelId, UserId};
use crate::core::oncall::{Called, Override, Roster};
use crate::core::policy::{Authorized, Standing};
use crate::store::oncall::{self, OverrideRow};
use crate::store::outbox::{self, Slot};
use crate::store::{Unit, deliveries, people};
use serde_json::json;
use sqlx::AnyConnection;
use std::sync::Arc;

/// Overrides that are looked at; of more the newest.
const OVERRIDES_MAX: i64 = 2_000;
/// Overrides of one rotation that are in force or to come at once.
pub const OPEN_OVERRIDES_MAX: i64 = 200;
/// Such a message goes before what runs say.
const PRIORITY: i64 = 30;
/// How an empty user group is kept.
const NO_MEMBERS: &str = "[]";

/// What is to be changed about who is on call.
pub enum OnCallChange {
    /// Somebody is, in the place of whoever would be: all of these, or none. Their ids are given to them here.
    Override(Vec<Override>),
    /// What is overridden in a rotation now or later is no more, of one person or of all.
    End {
        /// In which.
        rotation: String,
        /// Of whom; `None`: of everybody.
        user: Option<UserId>,
    },
}

/// A change of hands, and where it is told.
pub struct HandOver {
    /// In which rotation.
    pub rotation: String,
    /// When it was.
    pub change_ms: i64,
    /// Who took over.
    pub to: String,
    /// From whom.
    pub from: String,
    /// The channel.
    pub channel: ChannelId,
    /// What it reads.
    pub card: Card,
}

/// Whom to mention: who is on call in a rotation at a moment, first; where they cannot answer, also the next
/// in order who can.
pub(super) async fn who(
    connection: &mut AnyConnection,
    alerting: &Alerting,
    rotation: &str,
    at_ms: i64,
) -> Result<Called, Error> {
    let overrides = overrides_after(connection, at_ms).await?;
    let roster = Roster { rotations: &alerting.oncall, overrides: &overrides };
    let mut called = Called { mentioned: Vec::new(), is_there: false };
    for id in roster.line_up(rotation, at_ms) {
        let can_answer = can_answer(connection, &id).await?;
        if called.mentioned.is_empty() {
            called.is_there = can_answer;
            called.mentioned.push(id);
        } else if can_answer {
            called.mentioned.push(id);
        }
        if can_answer {
            break;
        }
    }
    Ok(called)
}

/// Whether a mention reaches somebody, by what Slack last said: an active full member, or a user group that
/// somebody is in. Of whom it has said nothing, it does.
pub(super) async fn can_answer(connection: &mut AnyConnection, id: &str) -> Result<bool, Error> {
    let Some((team, _)) = people::workspace(connection).await? else { return Ok(true) };
    if id.starts_with('S') {
        let known = people::group(connection, &team, id).await?;
        return Ok(known.is_none_or(|(members, _)| members != NO_MEMBERS));
    }
    let known = people::person(connection, &team, id).await?;
    let standing = known.and_then(|(word, _)| Standing::parse(&word));
    Ok(standing.is_none_or(|standing| standing == Standing::Full))
}

/// Overrides that hold at some moment after one.
async fn overrides_after(
    connection: &mut AnyConnection,
    after_ms: i64,
) -> Result<Vec<Override>, Error> {
    let rows = oncall::overrides(connection, after_ms, OVERRIDES_MAX).await?;
    Ok(rows.into_iter().map(read).collect())
}

fn read(row: OverrideRow) -> Override {
    Override {
        id: row.id,
        rotation: row.rotation,
        user: UserId::new(row.user_id),
        from_ms: row.from_ms,
        until_ms: row.until_ms,
        by: UserId::new(row.made_by),
        reason: row.reason,
    }
}

impl Engine {
    /// Whom to mention who is on call.
    ///
    /// # Errors
    /// The database's.
    pub async fn on_call(
        &self,
        alerting: &Alerting,
        rotation: &str,
        at_ms: i64,
    ) -> Result<Called, Error> {
        let mut reader = self.store.read().await?;
        who(&mut reader, alerting, rotation, at_ms).await
    }

    /// What people have overridden that holds at some moment after one, in the order in which it was said.
    ///
    /// # Errors
    /// The database's.
    pub async fn oncall_overrides(&self, after_ms: i64) -> Result<Vec<Override>, Error> {
        let mut reader = self.store.read().await?;
        overrides_after(&mut reader, after_ms).await
    }

    /// How many overrides of a rotation are in force or to come.
    ///
    /// # Errors
    /// The database's.
    pub async fn open_overrides(&self, rotation: &str) -> Result<i64, Error> {
        let mut reader = self.store.read().await?;
        Ok(oncall::count(&mut reader, rotation, self.clock().now_ms()).await?)
    }

    /// Writes a change of who is on call, tells it, and answers. The same delivery twice does nothing more.
    ///
    /// # Errors
    /// The database's; then nothing is written.
    pub async fn change_oncall(
        &self,
        asked: Asked,
        by: &Authorized,
        change: OnCallChange,
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

    /// The message of a slot: its channel and `ts`, once it is in Slack.
    ///
    /// # Errors
    /// The database's.
    pub async fn message_of(&self, key: &str) -> Result<Option<(String, String)>, Error> {
        let mut reader = self.store.read().await?;
        Ok(outbox::message_of(&mut reader, key).await?)
    }

    /// When the change of a rotation was that was told last; `None`: it was never looked at.
    ///
    /// # Errors
    /// The database's.
    pub async fn told_hand_over(&self, rotation: &str) -> Result<Option<i64>, Error> {
        let mut reader = self.store.read().await?;
        Ok(oncall::told_change(&mut reader, rotation).await?)
    }

    /// Tells changes of a rotation from this one on, which is not told itself.
    ///
    /// # Errors
    /// The database's.
    pub async fn begin_hand_overs(&self, rotation: &str, change_ms: i64) -> Result<(), Error> {
        let rotation = rotation.to_owned();
        self.store
            .unit_single_write(move |unit| {
                Box::pin(async move {
                    Ok(oncall::begin_telling(unit.connection(), &rotation, change_ms).await?)
                })
            })
            .await
    }

    /// Tells a change of hands, unless it or a later one is told already; whether it was done now.
    ///
    /// # Errors
    /// The database's; then nothing is written.
    pub async fn hand_over(&self, change: HandOver) -> Result<bool, Error> {
        let change = Arc::new(change);
        let is_told = self
            .patiently(|| {
                let change = Arc::clone(&change);
                self.store
                    .unit(move |unit| Box::pin(async move { hand_over_in(unit, &change).await }))
            })
            .await?;
        if is_told {
            self.mail.notify_one();
        }
        Ok(is_told)
    }
}

async fn hand_over_in(unit: &mut Unit, change: &HandOver) -> Result<bool, Error> {
    let now_ms = unit.now_ms();
    let (rotation, change_ms) = (change.rotation.as_str(), change.change_ms);
    if !oncall::tell_change(unit.connection(), rotation, change_ms).await? {
        return Ok(false);
    }
    let slot = Slot {
        key: format!("handover/{rotation}/{change_ms}"),
        parent: String::new(),
        channel: change.channel.to_string(),
        priority: PRIORITY,
        run_id: String::new(),
        body: serde_json::to_string(&change.card).unwrap_or_default(),
    };
    outbox::put(unit.connection(), &slot, now_ms).await?;
    let detail = json!({
        "change_ms": change_ms, "from": change.from, "to": change.to,
        "channel": change.channel.as_str(),
    });
    unit.journal(bot_entry(now_ms, "oncall.handed_over", rotation, detail));
    Ok(true)
}

async fn change_in(
    unit: &mut Unit,
    (asked, role, change, told): &(Asked, String, OnCallChange, Told),
) -> Result<String, Error> {
    let answered = deliveries::answer_of(unit.connection(), &asked.delivery).await?;
    if let Some(answered) = answered {
        return Ok(answered);
    }
    let now_ms = unit.now_ms();
    let is_changed = match change {
        OnCallChange::Override(all) => {
            override_in(unit, asked, role, all).await?;
            true
        }
        OnCallChange::End { rotation, user } => {
            let of = (rotation.as_str(), user.as_ref().map_or("", UserId::as_str));
            let by = (asked.actor.as_str(), now_ms);
            let ended = oncall::end(unit.connection(), of, by).await?;
            if ended > 0 {
                let detail = json!({
                    "text": asked.text, "role": role, "user": of.1, "overrides": ended,
                });
                let kind = "oncall.override_ended";
                unit.journal(request_entry(asked, kind, rotation, detail, now_ms));
            }
            ended > 0
        }
    };
    let outcome = if is_changed { Ok("oncall") } else { Err("nothing_overridden") };
    told.conclude(unit, (asked, role), outcome).await
}

async fn override_in(
    unit: &mut Unit,
    asked: &Asked,
    role: &str,
    all: &[Override],
) -> Result<(), Error> {
    let now_ms = unit.now_ms();
    for (index, one) in all.iter().enumerate() {
        let row = OverrideRow {
            id: format!("{}/{index}", asked.delivery),
            rotation: one.rotation.clone(),
            user_id: one.user.to_string(),
            from_ms: one.from_ms,
            until_ms: one.until_ms,
            made_by: asked.actor.to_string(),
            reason: one.reason.clone(),
        };
        oncall::insert(unit.connection(), &row, now_ms).await?;
        let detail = json!({
            "text": asked.text, "role": role, "user": one.user.as_str(), "from_ms": one.from_ms,
            "until_ms": one.until_ms, "reason": one.reason,
        });
        unit.journal(request_entry(asked, "oncall.overridden", &one.rotation, detail, now_ms));
    }
    Ok(())
}
