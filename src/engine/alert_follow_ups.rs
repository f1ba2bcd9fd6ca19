//! What is to be done after incidents: written down, done, and its owner reminded once a day in the alert's
//! thread from the day on which it is due.

use super::requests::{request_entry, stored_answer};
use super::{Asked, Engine, Error, bot_entry};
use crate::core::alert_follow_up::{FollowUp, first_reminder_ms, next_reminder_ms};
use crate::core::contact::Day;
use crate::core::id::{AlertId, FollowUpId, UserId};
use crate::core::policy::Authorized;
use crate::core::text::Lang;
use crate::store::alert_follow_ups::{self as rows, FollowUpRow};
use crate::store::outbox::{self, Slot};
use crate::store::{Unit, alerts, deliveries};
use serde_json::json;
use std::sync::Arc;

/// Of one alert.
pub const OF_ALERT_MAX: i64 = 50;
/// That a list holds.
const LISTED_MAX: i64 = 200;
/// Owners that are reminded by one look.
const REMINDED_MAX: i64 = 50;
/// Such a message goes before what runs say.
const PRIORITY: i64 = 25;

/// What somebody wants of what is to be done.
pub enum FollowUpWish {
    /// It is to be done.
    Make {
        /// Its id.
        id: FollowUpId,
        /// After which alert.
        alert: AlertId,
        /// What.
        words: String,
        /// By whom.
        owner: UserId,
        /// Until which day.
        due: Day,
    },
    /// It is done.
    Finish {
        /// Which.
        id: FollowUpId,
    },
}

/// What became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FollowedUp {
    /// It is written down.
    Made(FollowUp),
    /// It is done.
    Finished(FollowUp),
    /// There is no such alert.
    NoAlert,
    /// There is none of this id that is not done.
    NoSuch,
    /// The alert has too many.
    TooMany,
}

/// A wish, as it was made.
pub struct FollowUpWanted {
    /// What.
    pub wish: FollowUpWish,
    /// What they read.
    pub answer: Box<dyn Fn(&FollowedUp) -> String + Send + Sync>,
}

/// `None`: a later version wrote it.
fn read(row: FollowUpRow) -> Option<FollowUp> {
    Some(FollowUp {
        id: FollowUpId::new(row.id),
        alert: AlertId::new(row.alert_id),
        words: row.words,
        owner: UserId::new(row.owner),
        due: Day::parse(&row.due_day)?,
        made_by: UserId::new(row.made_by),
        created_ms: row.created_ms,
        done: (row.done_ms > 0).then(|| (UserId::new(row.done_by), row.done_ms)),
    })
}

impl Engine {
    /// What is or was to be done after an alert, the first due first.
    ///
    /// # Errors
    /// The database's.
    pub async fn follow_ups_of(&self, alert: &AlertId) -> Result<Vec<FollowUp>, Error> {
        self.listed(alert.as_str()).await
    }

    /// What is to be done after any, the first due first.
    ///
    /// # Errors
    /// The database's.
    pub async fn open_follow_ups(&self) -> Result<Vec<FollowUp>, Error> {
        self.listed("").await
    }

    async fn listed(&self, alert: &str) -> Result<Vec<FollowUp>, Error> {
        let mut reader = self.store.read().await?;
        let all = rows::list(&mut reader, alert, LISTED_MAX).await?;
        Ok(all.into_iter().filter_map(read).collect())
    }

    /// Writes down what is to be done, or that it is, and answers. The same delivery twice does nothing more.
    ///
    /// # Errors
    /// The database's; then nothing is written and the asker must be told so.
    pub async fn follow_up(
        &self,
        asked: Asked,
        by: &Authorized,
        wanted: FollowUpWanted,
    ) -> Result<String, Error> {
        let wish = Arc::new((asked, by.role().to_owned(), wanted));
        self.patiently(|| {
            let wish = Arc::clone(&wish);
            self.store.unit(move |unit| Box::pin(async move { wish_in(unit, &wish).await }))
        })
        .await
    }

    /// Reminds owners of what is due, each once a day; how many.
    ///
    /// # Errors
    /// The database's; those before the failure are written.
    pub async fn remind_of_follow_ups(&self) -> Result<usize, Error> {
        let mut reader = self.store.read().await?;
        let due = rows::reminders_due(&mut reader, self.clock().now_ms(), REMINDED_MAX).await?;
        drop(reader);
        let lang = self.runbook().language;
        let mut reminded = 0;
        for id in due {
            let is_reminded = self
                .patiently(|| {
                    let id = id.clone();
                    self.store
                        .unit(move |unit| Box::pin(async move { remind_in(unit, &id, lang).await }))
                })
                .await?;
            reminded += usize::from(is_reminded);
        }
        if reminded > 0 {
            self.mail.notify_one();
        }
        Ok(reminded)
    }
}

async fn remind_in(unit: &mut Unit, id: &str, lang: Lang) -> Result<bool, Error> {
    let now_ms = unit.now_ms();
    let times = (now_ms, next_reminder_ms(now_ms));
    let row = rows::remind(unit.connection(), id, times).await?;
    let Some(one) = row.and_then(read) else { return Ok(false) };
    let alert = alerts::alert_of(unit.connection(), one.alert.as_str()).await?;
    if let Some(alert) = alert.filter(|alert| !alert.channel.is_empty()) {
        // A card that is so old that it was forgotten here is answered no more.
        let card = format!("alert/{}/card", one.alert);
        let is_there = outbox::is_written(unit.connection(), &card).await?;
        let slot = Slot {
            key: format!("alert/{}/follow-up/{id}/{now_ms}", one.alert),
            parent: if is_there { card } else { String::new() },
            channel: alert.channel,
            priority: PRIORITY,
            run_id: String::new(),
            body: serde_json::to_string(&one.reminder(lang, now_ms)).unwrap_or_default(),
        };
        outbox::put(unit.connection(), &slot, now_ms).await?;
    }
    let detail = json!({
        "alert": one.alert.as_str(), "owner": one.owner.as_str(), "due": one.due.to_string(),
    });
    unit.journal(bot_entry(now_ms, "follow_up.reminded", id, detail));
    Ok(true)
}

async fn wish_in(
    unit: &mut Unit,
    (asked, role, wanted): &(Asked, String, FollowUpWanted),
) -> Result<String, Error> {
    if let Some(answered) = deliveries::answer_of(unit.connection(), &asked.delivery).await? {
        return Ok(answered);
    }
    let now_ms = unit.now_ms();
    let outcome = match &wanted.wish {
        FollowUpWish::Make { id, alert, words, owner, due } => {
            let one = FollowUp {
                id: id.clone(),
                alert: alert.clone(),
                words: words.clone(),
                owner: owner.clone(),
                due: *due,
                made_by: asked.actor.clone(),
                created_ms: now_ms,
                done: None,
            };
            make_in(unit, one).await?
        }
        FollowUpWish::Finish { id } => {
            let by = (asked.actor.as_str(), now_ms);
            let row = rows::finish(unit.connection(), id.as_str(), by).await?;
            row.and_then(read).map_or(FollowedUp::NoSuch, FollowedUp::Finished)
        }
    };
    let answer = (wanted.answer)(&outcome);
    if !deliveries::insert_once(unit, &asked.delivery, &answer).await? {
        return stored_answer(unit, &asked.delivery).await;
    }
    let refused = |why: &str| {
        ("request.refused", String::new(), json!({"text": asked.text, "role": role, "why": why}))
    };
    let (kind, subject, detail) = match &outcome {
        FollowedUp::Made(one) => {
            let detail = json!({
                "text": asked.text, "role": role, "alert": one.alert.as_str(), "words": one.words,
                "owner": one.owner.as_str(), "due": one.due.to_string(),
            });
            ("follow_up.made", one.id.to_string(), detail)
        }
        FollowedUp::Finished(one) => {
            let detail = json!({"text": asked.text, "role": role, "alert": one.alert.as_str()});
            ("follow_up.done", one.id.to_string(), detail)
        }
        FollowedUp::NoAlert => refused("no_alert"),
        FollowedUp::NoSuch => refused("no_follow_up"),
        FollowedUp::TooMany => refused("too_many"),
    };
    unit.journal(request_entry(asked, kind, &subject, detail, now_ms));
    Ok(answer)
}

async fn make_in(unit: &mut Unit, one: FollowUp) -> Result<FollowedUp, Error> {
    let alert = one.alert.as_str();
    if alerts::alert_of(unit.connection(), alert).await?.is_none() {
        return Ok(FollowedUp::NoAlert);
    }
    if rows::count(unit.connection(), alert).await? >= OF_ALERT_MAX {
        return Ok(FollowedUp::TooMany);
    }
    let row = FollowUpRow {
        id: one.id.to_string(),
        alert_id: one.alert.to_string(),
        words: one.words.clone(),
        owner: one.owner.to_string(),
        due_day: one.due.to_string(),
        made_by: one.made_by.to_string(),
        created_ms: one.created_ms,
        done_ms: 0,
        done_by: String::new(),
    };
    rows::insert(unit.connection(), &row, first_reminder_ms(one.due, one.created_ms)).await?;
    Ok(FollowedUp::Made(one))
}
