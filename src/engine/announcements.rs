//! What the bot itself has to say to people: an entry of the journal and a message, in one
//! transaction, once.

use super::{Engine, Error, bot_entry};
use crate::core::card::Card;
use crate::core::id::ChannelId;
use crate::store::outbox::{self, Slot};
use serde_json::Value;
use std::sync::Arc;

/// Such a message goes before what runs say.
const PRIORITY_ANNOUNCEMENT: i64 = 30;

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
                            is_told |= outbox::has(unit.connection(), name).await?;
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
