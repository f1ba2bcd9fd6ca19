//! One message at a time from the outbox to a sender, and what came of it back.

use super::{CHANNEL_LEASE_UNUSED, Engine, Error, bot_entry, channel_lease_ms};
use crate::core::alert::Way;
use crate::store::Unit;
use crate::store::outbox::{self, ChannelClaim, Rest, Trouble};
use serde_json::json;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;

/// Between two calls for one channel: Slack takes about one message a second there.
pub const PACE_MS: i64 = 1_050;
/// PagerDuty takes about 120 calls a minute a routing key.
const PAGERDUTY_PACE_MS: i64 = 525;
/// A mail server counts connections, and here each mail is one.
const EMAIL_PACE_MS: i64 = 200;
/// A mail server may look for spam for long before it answers: so long a sender may hold a channel of it.
const EMAIL_LEASE_MS: i64 = 120_000;
/// Channels in trouble that are told of.
const TROUBLES_MAX: i64 = 20;
/// After a failure: doubled each time up to the most.
const BACKOFF_MS: i64 = 1_000;
/// The longest wait after failures in a row; retries never end, for no notice may be lost.
const BACKOFF_MS_MAX: i64 = 60_000;

/// Rung when a message may be waiting: every way's senders sleep by a bell of their own, so that none of
/// them takes the ringing for another.
#[derive(Debug, Default)]
pub struct Bells([Notify; Way::ALL.len()]);

impl Bells {
    /// Wakes one sender of each way, now or when it next listens.
    pub fn notify_one(&self) {
        for bell in &self.0 {
            bell.notify_one();
        }
    }

    /// Waits until this way's bell rings.
    pub async fn notified(&self, way: Way) {
        self.0[way as usize].notified().await;
    }
}

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
    /// What, as JSON: each way reads its own.
    pub body: String,
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
    /// It has arrived as this message.
    Sent(String),
    /// An earlier post of it was found in Slack as this message; its body may be an older one.
    Found(String),
    /// It has certainly not arrived; to be tried again.
    NotSent,
    /// It may have arrived.
    Unknown,
    /// It has certainly not arrived, and why in words; to be tried again.
    Held(String),
    /// Not before this many milliseconds; it has certainly not arrived.
    Paced(i64),
    /// The message that was to be edited is gone.
    Gone,
    /// It will never be taken: the other side's code for why.
    Refused(String),
}

impl Engine {
    /// The next message that may be sent by this way now; its channel is claimed and a post announced.
    ///
    /// # Errors
    /// The database's.
    pub async fn next_message(&self, way: Way) -> Result<Option<Message>, Error> {
        let mut reader = self.store.read().await?;
        let due_ms = outbox::next_due_ms(&mut reader, way).await?;
        drop(reader);
        if due_ms.is_none_or(|due_ms| due_ms > self.clock().now_ms()) {
            return Ok(None);
        }
        let owner = self.identity.owner.clone();
        let lease_ms = self.lease_ms(way);
        self.store
            .unit(move |unit| {
                Box::pin(async move {
                    let now_ms = unit.now_ms();
                    let until_ms = now_ms + lease_ms;
                    let connection = unit.connection();
                    let claimed =
                        outbox::claim_channel(connection, way, &owner, now_ms, until_ms).await?;
                    let Some(claim) = claimed else { return Ok(None) };
                    let next = match way {
                        Way::Slack => outbox::next_in_channel(connection, &claim.channel).await?,
                        Way::Email | Way::Pagerduty => {
                            outbox::next_in_rows(connection, &claim.channel).await?
                        }
                    };
                    let Some(due) = next else {
                        // What is due waits for its thread's first message.
                        let next_ms = now_ms + PACE_MS;
                        let rest = Rest { next_ms, failures: claim.failures, trouble: "" };
                        outbox::release_channel(connection, &claim, rest).await?;
                        return Ok(None);
                    };
                    if due.ts.is_empty() {
                        outbox::announce(connection, &due.key).await?;
                    }
                    let text = |ts: String| if ts.is_empty() { None } else { Some(ts) };
                    Ok::<_, Error>(Some(Message {
                        claim,
                        key: due.key,
                        channel: due.channel,
                        parent_ts: text(due.parent_ts),
                        body: due.body,
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

    /// How long a sender may hold a channel of a way.
    fn lease_ms(&self, way: Way) -> i64 {
        let usual_ms = channel_lease_ms(&self.identity);
        if way == Way::Email { usual_ms.max(EMAIL_LEASE_MS) } else { usual_ms }
    }

    /// The longest call by a way that ends within the lease of its channel.
    pub fn send_time_max(&self, way: Way) -> Duration {
        Duration::from_millis((self.lease_ms(way) / CHANNEL_LEASE_UNUSED).unsigned_abs())
    }

    /// Writes what came of a message and lets its channel go.
    ///
    /// # Errors
    /// The database's; the channel's lease then ends by itself.
    pub async fn message_done(&self, message: Message, outcome: Outcome) -> Result<(), Error> {
        let kind = match &outcome {
            Outcome::Sent(_) => "sent",
            Outcome::Found(_) => "found",
            Outcome::NotSent | Outcome::Held(_) => "not_sent",
            Outcome::Unknown => "unknown",
            Outcome::Paced(_) => "rate_limited",
            Outcome::Gone => "gone",
            Outcome::Refused(_) => "refused",
        };
        self.metrics.outbox_call(outbox::way_of(&message.channel).name(), kind);
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

    /// When the next message may be sent by this way; `None`: none is due.
    ///
    /// # Errors
    /// The database's.
    pub async fn next_message_ms(&self, way: Way) -> Result<Option<i64>, Error> {
        let mut reader = self.store.read().await?;
        Ok(outbox::next_due_ms(&mut reader, way).await?)
    }

    /// The channels on which messages wait because calls come to nothing, and why.
    ///
    /// # Errors
    /// The database's.
    pub async fn channels_in_trouble(&self) -> Result<Vec<Trouble>, Error> {
        let mut reader = self.store.read().await?;
        Ok(outbox::channels_in_trouble(&mut reader, TROUBLES_MAX).await?)
    }

    /// Why messages wait, each way's reasons once: `email: the mail server: …`. It names nobody's address.
    ///
    /// # Errors
    /// The database's.
    pub async fn why_messages_wait(&self) -> Result<Vec<String>, Error> {
        Ok(reasons(&self.channels_in_trouble().await?))
    }
}

fn reasons(troubles: &[Trouble]) -> Vec<String> {
    let line = |one: &Trouble| {
        // What the other side says may hold the address of whoever gets the mail.
        let words = one.why.split(' ').map(|word| if word.contains('@') { "…" } else { word });
        let why = words.collect::<Vec<_>>().join(" ");
        format!("{}: {why}", outbox::way_of(&one.channel).name())
    };
    troubles.iter().map(line).collect::<BTreeSet<_>>().into_iter().collect()
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
        Outcome::NotSent | Outcome::Held(_) | Outcome::Paced(_) => {
            // An announced post of an earlier try stays unknown.
            if message.ts.is_none() && !message.may_be_posted {
                outbox::not_posted(connection, &message.key).await?;
            }
        }
        Outcome::Unknown => {}
        Outcome::Gone => outbox::forget_ts(connection, &message.key).await?,
        Outcome::Refused(why) => outbox::refused(connection, &message.key, why).await?,
    }
    let pace_ms = pace_ms(outbox::way_of(&message.channel));
    let (wait_ms, failures) = wait(outcome, message.claim.failures, pace_ms);
    let rest = Rest { next_ms: now_ms + wait_ms, failures, trouble: trouble(outcome) };
    outbox::release_channel(connection, &message.claim, rest).await?;
    if let Outcome::Refused(why) = outcome {
        let detail = json!({"channel": message.channel, "why": why});
        unit.journal(bot_entry(now_ms, "notice.refused", &message.key, detail));
    }
    Ok(())
}

/// Between two calls for one channel of a way.
fn pace_ms(way: Way) -> i64 {
    match way {
        Way::Slack => PACE_MS,
        Way::Email => EMAIL_PACE_MS,
        Way::Pagerduty => PAGERDUTY_PACE_MS,
    }
}

/// Why a call came to nothing; empty: it did not, or a wait was asked for.
fn trouble(outcome: &Outcome) -> &str {
    match outcome {
        Outcome::Sent(_)
        | Outcome::Found(_)
        | Outcome::Gone
        | Outcome::Refused(_)
        | Outcome::Paced(_) => "",
        Outcome::NotSent => "no answer, or one that asks to try again later",
        Outcome::Unknown => "the connection was lost before the answer",
        Outcome::Held(why) => why,
    }
}

/// How long a channel rests after an outcome, and how many failures in a row it then has.
fn wait(outcome: &Outcome, failures: i64, pace_ms: i64) -> (i64, i64) {
    match outcome {
        Outcome::Sent(_) | Outcome::Found(_) | Outcome::Gone | Outcome::Refused(_) => (pace_ms, 0),
        Outcome::Paced(wait_ms) => ((*wait_ms).max(pace_ms), failures),
        Outcome::NotSent | Outcome::Unknown | Outcome::Held(_) => {
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
        let wait = |outcome: &Outcome, failures| wait(outcome, failures, PACE_MS);
        assert_eq!(wait(&Outcome::NotSent, 0), (1_000, 1));
        assert_eq!(wait(&Outcome::Unknown, 3), (8_000, 4));
        assert_eq!(wait(&Outcome::Held("no password".into()), 60), (BACKOFF_MS_MAX, 61));
        assert_eq!(wait(&Outcome::Sent("1".into()), 9), (PACE_MS, 0));
        assert_eq!(wait(&Outcome::Paced(30_000), 2), (30_000, 2));
    }

    #[test]
    fn each_ways_reasons_are_told_once_and_name_nobody() {
        let trouble = |channel: &str, why: &str| Trouble {
            channel: channel.to_owned(),
            failures: 3,
            why: why.to_owned(),
        };
        let refused = "the mail server: 451 <ann@example.org>: not now";

        let reasons = reasons(&[
            trouble("email:ann@example.org", refused),
            trouble("email:bob@example.org", refused),
            trouble("C0OPS", "Slack refused: not_in_channel"),
        ]);

        let mail = "email: the mail server: 451 … not now";
        assert_eq!(reasons, [mail, "slack: Slack refused: not_in_channel"]);
    }

    #[test]
    fn pagerduty_is_called_at_most_so_often_as_it_takes() {
        assert!(60_000 / pace_ms(Way::Pagerduty) <= 120);
    }
}
