//! What is old enough to be forgotten: which attempts belong to runs that have ended, and messages of
//! runs that ended long ago. Runs themselves and the journal are never forgotten.

use super::{Engine, Error, bot_entry};
use crate::clock::Millis;
use crate::store::{outbox, runs};
use serde_json::json;
use std::collections::BTreeMap;

/// What the engine knows of attempts on disk.
#[derive(Debug, Clone, Default)]
pub struct Attempts {
    /// The latest attempt of each step, and when its run ended; 0: it has not.
    pub ended_ms: BTreeMap<String, Millis>,
    /// When the oldest run that has not ended was asked for; `None`: all have ended. An attempt that is
    /// older than that, and is not the latest of a step, belongs to no such run.
    pub open_since_ms: Option<Millis>,
}

/// What one sweep removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Swept {
    /// Folders of evidence.
    pub folders: u64,
    /// Bytes in them.
    pub bytes: u64,
    /// Messages that were sent, of runs that ended.
    pub messages: u64,
}

impl Engine {
    /// Tells which attempts belong to runs that have ended.
    ///
    /// # Errors
    /// The database's.
    pub async fn attempts(&self) -> Result<Attempts, Error> {
        let mut reader = self.store.read().await?;
        let open_since_ms = runs::oldest_open_ms(&mut reader).await?;
        let ended_ms = runs::attempts(&mut reader).await?.into_iter().collect();
        Ok(Attempts { ended_ms, open_since_ms })
    }

    /// Forgets at most `limit` messages of runs that ended before `before_ms`, and journals the sweep.
    ///
    /// # Errors
    /// The database's.
    pub async fn swept(&self, swept: Swept, before_ms: Millis, limit: i64) -> Result<Swept, Error> {
        let owner = self.identity.owner.clone();
        self.store
            .unit(move |unit| {
                Box::pin(async move {
                    let messages = outbox::prune(unit.connection(), before_ms, limit).await?;
                    let swept = Swept { messages, ..swept };
                    if swept != Swept::default() {
                        let detail = json!({
                            "evidence_folders": swept.folders, "evidence_bytes": swept.bytes,
                            "messages": swept.messages,
                        });
                        let now_ms = unit.now_ms();
                        unit.journal(bot_entry(now_ms, "bot.swept", &owner, detail));
                    }
                    Ok(swept)
                })
            })
            .await
    }
}
