//! One message at a time from the outbox to a sender, and what came of it back.

use super::{CHANNEL_LEASE_UNUSED, Engine, Error, bot_entry, channel_lease_ms};
use crate::core::card::Card;
use crate::store::Unit;
use crate::store::outbox::{self, ChannelClaim};
use serde_json::json;
use std::sync::Arc;

/// Between two calls for one channel: Slack takes about one message a second there.
pub const PACE_MS: i64 = 1_050;
/// After a failure: doubled each time up to the most.
const BACKOFF_MS: i64 = 1_000;
/// The longest wait after failures in a row; retries never end, for no notice may be lost.
const BACKOFF_MS_MAX: i64 = 60_000;

/// A message to send, with the claim on its channel.
#[derive(Debug, Clone)]
pub struct Message {
    claim: ChannelClaim,
    /// Its name for ever; goes into the message's metadata.
    pub key: String,
    /// Where.
    pub channel: String,
    /// The thread it belongs in.
    pub parent_ts: Option<String>,
    /// What.
    pub card: Card,
    /// The message to edit; `None`: to be posted.
    pub ts: Option<String>,
    /// A post was announced before and its outcome is unknown: look for it first.
    pub may_be_posted: bool,
    /// When it was first due; nothing of it can be in Slack before that.
    pub since_ms: i64,
    /// No call that writes begins after this: another sender may have the channel before it ends.
    pub call_until_ms: i64,
    version: i64,
}

/// What came of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It is in Slack as this message.
    Sent(String),
    /// An earlier post of it was found in Slack as this message; its body may be an older one.
    Found(String),
    /// It is certainly not in Slack; to be tried again.
    NotSent,
    /// It may be in Slack.
    Unknown,
    /// Not before this many milliseconds; it is certainly not in Slack.
    Paced(i64),
    /// The message that was to be edited is gone.
    Gone,
    /// Slack will never take it: its code for why.
    Refused(String),
}

impl Engine {
    /// The next message that may be sent now; its channel is claimed and a post announced.
    ///
    /// # Errors
    /// The database's.
    pub async fn next_message(&self) -> Result<Option<Message>, Error> {
        let mut reader = self.store.read().await?;
        let due_ms = outbox::next_due_ms(&mut reader).await?;
        drop(reader);
        if due_ms.is_none_or(|due_ms| due_ms > self.clock().now_ms()) {
            return Ok(None);
        }
        let owner = self.identity.owner.clone();
        let lease_ms = channel_lease_ms(&self.identity);
        self.store
            .unit(move |unit| {
                Box::pin(async move {
                    let now_ms = unit.now_ms();
                    let until_ms = now_ms + lease_ms;
                    let connection = unit.connection();
                    let claimed =
                        outbox::claim_channel(connection, &owner, now_ms, until_ms).await?;
                    let Some(claim) = claimed else { return Ok(None) };
                    let Some(due) = outbox::next_in_channel(connection, &claim.channel).await?
                    else {
                        // What is due waits for its thread's first message.
                        let next_ms = now_ms + PACE_MS;
                        let failures = claim.failures;
                        outbox::release_channel(connection, &claim, next_ms, failures).await?;
                        return Ok(None);
                    };
                    if due.ts.is_empty() {
                        outbox::announce(connection, &due.key).await?;
                    }
                    let card = serde_json::from_str(&due.body).unwrap_or_else(|_| Card::plain("…"));
                    let text = |ts: String| if ts.is_empty() { None } else { Some(ts) };
                    Ok::<_, Error>(Some(Message {
                        claim,
                        key: due.key,
                        channel: due.channel,
                        parent_ts: text(due.parent_ts),
                        card,
                        ts: text(due.ts),
                        may_be_posted: due.is_posting,
                        since_ms: due.created_ms,
                        call_until_ms: until_ms - lease_ms / CHANNEL_LEASE_UNUSED,
                        version: due.version,
                    }))
                })
            })
            .await
    }

    /// Writes what came of a message and lets its channel go.
    ///
    /// # Errors
    /// The database's; the channel's lease then ends by itself.
    pub async fn message_done(&self, message: Message, outcome: Outcome) -> Result<(), Error> {
        let kind = match &outcome {
            Outcome::Sent(_) => "sent",
            Outcome::Found(_) => "found",
            Outcome::NotSent => "not_sent",
            Outcome::Unknown => "unknown",
            Outcome::Paced(_) => "rate_limited",
            Outcome::Gone => "gone",
            Outcome::Refused(_) => "refused",
        };
        self.metrics.outbox_call(kind);
        let done = Arc::new((message, outcome));
        self.patiently(|| {
            let done = Arc::clone(&done);
            self.store.unit(move |unit| {
                Box::pin(async move { message_done_in(unit, &done.0, &done.1).await })
            })
        })
        .await?;
        self.mail.notify_one();
        Ok(())
    }

    /// When the next message may be sent; `None`: none is due.
    ///
    /// # Errors
    /// The database's.
    pub async fn next_message_ms(&self) -> Result<Option<i64>, Error> {
        let mut reader = self.store.read().await?;
        Ok(outbox::next_due_ms(&mut reader).await?)
    }
}

async fn message_done_in(
    unit: &mut Unit,
    message: &Message,
    outcome: &Outcome,
) -> Result<(), Error> {
    let now_ms = unit.now_ms();
    if !outbox::hold_channel(unit.connection(), &message.claim).await? {
        // The lease ended and another sender has the channel: it finds out.
        return Ok(());
    }
    let connection = unit.connection();
    match outcome {
        Outcome::Sent(ts) => {
            outbox::sent(connection, &message.key, message.version, ts).await?;
        }
        Outcome::Found(ts) => outbox::sent(connection, &message.key, 0, ts).await?,
        Outcome::NotSent | Outcome::Paced(_) => {
            // An announced post of an earlier try stays unknown.
            if message.ts.is_none() && !message.may_be_posted {
                outbox::not_posted(connection, &message.key).await?;
            }
        }
        Outcome::Unknown => {}
        Outcome::Gone => outbox::forget_ts(connection, &message.key).await?,
        Outcome::Refused(why) => outbox::refused(connection, &message.key, why).await?,
    }
    let (wait_ms, failures) = wait(outcome, message.claim.failures);
    outbox::release_channel(connection, &message.claim, now_ms + wait_ms, failures).await?;
    if let Outcome::Refused(why) = outcome {
        let detail = json!({"channel": message.channel, "why": why});
        unit.journal(bot_entry(now_ms, "notice.refused", &message.key, detail));
    }
    Ok(())
}

/// How long a channel rests after an outcome, and how many failures in a row it then has.
fn wait(outcome: &Outcome, failures: i64) -> (i64, i64) {
    match outcome {
        Outcome::Sent(_) | Outcome::Found(_) | Outcome::Gone | Outcome::Refused(_) => (PACE_MS, 0),
        Outcome::Paced(wait_ms) => ((*wait_ms).max(PACE_MS), failures),
        Outcome::NotSent | Outcome::Unknown => {
            let doubled = BACKOFF_MS.saturating_mul(1 << failures.clamp(0, 16));
            (doubled.min(BACKOFF_MS_MAX), failures.saturating_add(1))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_bound_and_a_success_forgets_them() {
        assert_eq!(wait(&Outcome::NotSent, 0), (1_000, 1));
        assert_eq!(wait(&Outcome::Unknown, 3), (8_000, 4));
        assert_eq!(wait(&Outcome::NotSent, 60), (BACKOFF_MS_MAX, 61));
        assert_eq!(wait(&Outcome::Sent("1".into()), 9), (PACE_MS, 0));
        assert_eq!(wait(&Outcome::Paced(30_000), 2), (30_000, 2));
    }
}
