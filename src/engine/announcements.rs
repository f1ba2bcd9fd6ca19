//! What the bot itself has to say to people: an entry of the journal and a message, in one
//! transaction, once. A compliance report is several messages.

use super::requests::{request_entry, stored_answer};
use super::{Asked, Engine, Error, bot_entry};
use crate::core::card::Card;
use crate::core::compliance::{KIND_REPORTED, Posting};
use crate::core::id::ChannelId;
use crate::core::policy::Authorized;
use crate::store::outbox::{self, Slot};
use crate::store::{Unit, deliveries};
use serde_json::{Value, json};
use std::sync::Arc;

/// Such a message goes before what runs say.
const PRIORITY_ANNOUNCEMENT: i64 = 30;
/// What runs say goes before a report.
const PRIORITY_REPORT: i64 = 5;

/// Something to be written down and, where there is a channel, told.
#[derive(Debug, Clone)]
pub struct Announcement {
    /// The journal's kind.
    pub kind: &'static str,
    /// What it is about, such as `disk`.
    pub subject: String,
    /// More for the journal.
    pub detail: Value,
    /// The message; `None`: nobody is told.
    pub message: Option<Notice>,
}

/// A message of the bot's own.
#[derive(Debug, Clone)]
pub struct Notice {
    /// Its name for ever.
    pub key: String,
    /// Names under which another bot may have told the same: then nobody is told again.
    pub sisters: Vec<String>,
    /// Where.
    pub channel: ChannelId,
    /// What.
    pub card: Card,
}

impl Engine {
    /// Writes an announcement; its message only if none of its names is in the outbox yet.
    ///
    /// # Errors
    /// The database's; then nothing is written.
    pub async fn announce(&self, announcement: Announcement) -> Result<(), Error> {
        let announcement = Arc::new(announcement);
        self.patiently(|| {
            let announcement = Arc::clone(&announcement);
            self.store.unit(move |unit| {
                Box::pin(async move {
                    let now_ms = unit.now_ms();
                    if let Some(notice) = &announcement.message {
                        let names = notice.sisters.iter().chain([&notice.key]);
                        let mut is_told = false;
                        for name in names {
                            is_told |= outbox::is_written(unit.connection(), name).await?;
                        }
                        if !is_told {
                            let slot = slot(notice);
                            outbox::put(unit.connection(), &slot, now_ms).await?;
                        }
                    }
                    let (kind, detail) = (announcement.kind, announcement.detail.clone());
                    unit.journal(bot_entry(now_ms, kind, &announcement.subject, detail));
                    Ok::<_, Error>(())
                })
            })
        })
        .await?;
        self.mail.notify_one();
        Ok(())
    }
}

impl Engine {
    /// Posts a report: its first message, the others in its thread, and the entry. The same delivery twice
    /// posts once.
    ///
    /// # Errors
    /// The database's; then nothing is written.
    pub async fn post_report(
        &self,
        asked: Asked,
        by: &Authorized,
        posting: Posting,
    ) -> Result<String, Error> {
        let key = format!("compliance/{}", hex::encode(crate::entropy::bytes::<8>()));
        let wish = Arc::new((asked, by.role().to_owned(), posting, key));
        let answer = self
            .patiently(|| {
                let wish = Arc::clone(&wish);
                self.store.unit(move |unit| Box::pin(async move { post_in(unit, &wish).await }))
            })
            .await?;
        self.mail.notify_one();
        Ok(answer)
    }
}

async fn post_in(
    unit: &mut Unit,
    (asked, role, posting, key): &(Asked, String, Posting, String),
) -> Result<String, Error> {
    let Posting { channel, report, answer, detail } = posting;
    if !deliveries::insert_once(unit, &asked.delivery, answer).await? {
        return stored_answer(unit, &asked.delivery).await;
    }
    let now_ms = unit.now_ms();
    let sections = report.sections.iter().enumerate();
    let sections = sections.map(|(index, card)| (format!("{key}/{}", index + 1), card));
    for (name, card) in [(key.clone(), &report.head)].into_iter().chain(sections) {
        let parent = if name == *key { String::new() } else { key.clone() };
        let slot = Slot {
            key: name,
            channel: channel.to_string(),
            parent,
            priority: PRIORITY_REPORT,
            run_id: String::new(),
            body: serde_json::to_string(card).unwrap_or_default(),
        };
        outbox::put(unit.connection(), &slot, now_ms).await?;
    }
    let mut detail = detail.clone();
    detail["role"] = json!(role);
    detail["sha256"] = json!(report.digest());
    unit.journal(request_entry(asked, KIND_REPORTED, "journal", detail, now_ms));
    Ok(answer.clone())
}

fn slot(notice: &Notice) -> Slot {
    Slot {
        key: notice.key.clone(),
        channel: notice.channel.to_string(),
        parent: String::new(),
        priority: PRIORITY_ANNOUNCEMENT,
        run_id: String::new(),
        body: serde_json::to_string(&notice.card).unwrap_or_default(),
    }
}
