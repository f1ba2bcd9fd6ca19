//! The journal's head, posted once a day whatever the number of bots, so that what it said then is
//! known where nobody who writes the database can change it.

use super::{Engine, Error, bot_entry};
use crate::clock::Millis;
use crate::core::card::Card;
use crate::core::id::ChannelId;
use crate::core::journal::Anchor;
use crate::store::outbox::{self, Slot};
use crate::store::{Unit, heads, journal};
use serde_json::json;
use std::sync::Arc;

/// It goes before what runs say.
const PRIORITY_HEAD: i64 = 30;

/// The post of one day.
pub struct DailyHead {
    /// The day, counted from 1970.
    pub day: i64,
    /// When it is due; a journal that begins later has nothing to post yet.
    pub due_ms: Millis,
    /// Where.
    pub channel: ChannelId,
    /// What is said of a head.
    pub card: Box<dyn Fn(&Anchor) -> Card + Send + Sync>,
}

impl Engine {
    /// Posts the head of a day unless that is done already; whether it was done now.
    ///
    /// # Errors
    /// The database's; then nothing is written.
    pub async fn post_head(&self, post: DailyHead) -> Result<bool, Error> {
        let post = Arc::new(post);
        let is_posted = self
            .patiently(|| {
                let post = Arc::clone(&post);
                self.store.unit(move |unit| Box::pin(async move { post_in(unit, &post).await }))
            })
            .await?;
        if is_posted {
            self.mail.notify_one();
        }
        Ok(is_posted)
    }
}

async fn post_in(unit: &mut Unit, post: &DailyHead) -> Result<bool, Error> {
    let now_ms = unit.now_ms();
    let first = journal::first(unit.connection()).await?;
    if !first.is_some_and(|row| row.seq > 1 || row.at_ms < post.due_ms) {
        return Ok(false);
    }
    let head = journal::head(unit.connection()).await?;
    if !heads::insert_once(unit.connection(), post.day, &head, now_ms).await? {
        return Ok(false);
    }
    let slot = Slot {
        key: format!("head/{}", post.day),
        channel: post.channel.to_string(),
        parent: String::new(),
        priority: PRIORITY_HEAD,
        run_id: String::new(),
        body: serde_json::to_string(&(post.card)(&head)).unwrap_or_default(),
    };
    outbox::put(unit.connection(), &slot, now_ms).await?;
    let detail = json!({"seq": head.seq, "hash": head.hash, "channel": post.channel.to_string()});
    unit.journal(bot_entry(now_ms, "journal.head_posted", "journal", detail));
    Ok(true)
}
