//! Sends one due message and reports what came of it. No post is made twice: an announced post whose
//! outcome is unknown is looked for in Slack, by its key in the message's metadata, before another.

use crate::engine::{Engine, Error, Message, Outcome};
use crate::slack::client::{CallError, Client};
use crate::slack::render::render;
use tracing::warn;

/// A post cannot be in Slack before it was first due; clocks may differ by this much.
const CLOCK_SKEW_MS: i64 = 60_000;

/// Sends the next due message; `false`: none may be sent now.
///
/// # Errors
/// The engine's; the message's channel is free again when its lease ends.
pub async fn send_one(engine: &Engine, client: &Client) -> Result<bool, Error> {
    let Some(message) = engine.next_message().await? else { return Ok(false) };
    crate::fault::point("sender.before_call");
    let outcome = send(client, &message).await;
    crate::fault::point("sender.after_call");
    if !matches!(outcome, Outcome::Sent(_) | Outcome::Found(_)) {
        warn!("message {} to {}: {outcome:?}", message.key, message.channel);
    }
    engine.message_done(message, outcome).await?;
    Ok(true)
}

async fn send(client: &Client, message: &Message) -> Outcome {
    let body = render(&message.card);
    let channel = &message.channel;
    if let Some(ts) = &message.ts {
        return match client.update(channel, ts, &body, &message.key).await {
            Ok(_) => Outcome::Sent(ts.clone()),
            Err(CallError::Refused(code)) if code == "message_not_found" => Outcome::Gone,
            // An edit can be made twice without harm.
            Err(error) => failed(&error, Outcome::NotSent),
        };
    }
    let thread = message.parent_ts.as_deref();
    if message.may_be_posted {
        let since_ms = message.since_ms - CLOCK_SKEW_MS;
        match client.find_by_key(channel, thread, &message.key, since_ms).await {
            Ok(Some(ts)) => return Outcome::Found(ts.to_string()),
            Ok(None) => {}
            Err(CallError::RateLimited { retry_after_ms }) => {
                return Outcome::Paced(i64::try_from(retry_after_ms).unwrap_or(i64::MAX));
            }
            Err(_) => return Outcome::Unknown,
        }
    }
    match client.post(channel, thread, &body, &message.key).await {
        Ok(ts) => Outcome::Sent(ts.to_string()),
        Err(error) => failed(&error, Outcome::Unknown),
    }
}

/// What a failed call means; `unknown` is what an outcome that nobody knows counts as.
fn failed(error: &CallError, unknown: Outcome) -> Outcome {
    match error {
        CallError::RateLimited { retry_after_ms } => {
            Outcome::Paced(i64::try_from(*retry_after_ms).unwrap_or(i64::MAX))
        }
        CallError::Transient => Outcome::NotSent,
        CallError::Unknown => unknown,
        CallError::Refused(code) if error.is_permanent() => Outcome::Refused(code.clone()),
        CallError::Refused(_) => Outcome::NotSent,
    }
}
