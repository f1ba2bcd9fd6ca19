//! Sends one due message and reports what came of it. No post is made twice: an announced post whose
//! outcome is unknown is looked for in Slack, by its key in the message's metadata, before another.
//! PagerDuty knows an event again by its key. A mail whose outcome is unknown is sent again under its
//! Message-ID: nothing else can be known of it.

use crate::core::alert::Way;
use crate::core::card::Card;
use crate::core::id::ChannelId;
use crate::engine::{Engine, Error, Message, Outcome};
use crate::notify::pagerduty::Pager;
use crate::notify::{Delivery, email};
use crate::slack::client::{CallError, Client, Ts};
use crate::slack::render::render;
use tracing::warn;

/// Refusals of the message itself: no later try of the same body can succeed. Everything else (a
/// token that was revoked, a channel that the bot was not invited to) people can put right, and then
/// the message is still wanted.
const CONTENT_CODES: [&str; 6] = [
    "invalid_blocks",
    "invalid_blocks_format",
    "invalid_arguments",
    "msg_too_long",
    "no_text",
    "metadata_too_large",
];

/// A message whose way the configuration does not name waits for so long, for another bot may not have read it
/// anew, or somebody puts a mistake right. Then it is refused, which the other ways tell; before it keeps the
/// sign of life back.
const NO_WAY_MS_MAX: i64 = 4 * 60_000;

/// Who carries messages to the other side, each by one way.
#[derive(Clone)]
pub enum Courier {
    /// To Slack.
    Slack(Client),
    /// To a mail server.
    Email,
    /// To PagerDuty.
    Pagerduty(Pager),
}

impl Courier {
    /// By which way.
    pub fn way(&self) -> Way {
        match self {
            Self::Slack(_) => Way::Slack,
            Self::Email => Way::Email,
            Self::Pagerduty(_) => Way::Pagerduty,
        }
    }
}

/// Whether another sender may be at the same message by now: this process may have been stopped since it
/// claimed the channel.
fn is_late(engine: &Engine, message: &Message) -> bool {
    engine.clock().now_ms() > message.call_until_ms
}

/// Sends the next due message of the courier's way; `false`: none may be sent now.
///
/// # Errors
/// The engine's; the message's channel is free again when its lease ends.
pub async fn send_one(engine: &Engine, courier: &Courier) -> Result<bool, Error> {
    let Some(message) = engine.next_message(courier.way()).await? else { return Ok(false) };
    crate::fault::point("sender.before_call");
    let outcome = match courier {
        Courier::Slack(client) => send(engine, client, &message).await,
        Courier::Email | Courier::Pagerduty(_) if is_late(engine, &message) => Outcome::NotSent,
        Courier::Email => outcome(mail(engine, &message).await),
        Courier::Pagerduty(pager) => outcome(page(engine, pager, &message).await),
    };
    crate::fault::point("sender.after_call");
    if !matches!(outcome, Outcome::Sent(_) | Outcome::Found(_)) {
        warn!("message {} to {}: {outcome:?}", message.key, message.channel);
    }
    engine.message_done(message, outcome).await?;
    Ok(true)
}

/// What stands behind the colon of a channel.
fn address(message: &Message) -> &str {
    message.channel.split_once(':').map_or("", |(_, address)| address)
}

async fn mail(engine: &Engine, message: &Message) -> Delivery {
    let alerting = engine.alerting();
    let Some(email) = &alerting.ways.email else {
        return no_way(engine, message, "the configuration names no mail server");
    };
    email::send(email, address(message), &message.body, engine.send_time_max(Way::Email)).await
}

async fn page(engine: &Engine, pager: &Pager, message: &Message) -> Delivery {
    let alerting = engine.alerting();
    let named = alerting.ways.pagerduty.as_ref();
    match named.filter(|one| one.routing_keys.contains_key(address(message))) {
        Some(pagerduty) => pager.call(pagerduty, address(message), &message.body).await,
        None => no_way(engine, message, "the configuration names no such routing key of PagerDuty"),
    }
}

fn no_way(engine: &Engine, message: &Message, why: &str) -> Delivery {
    if engine.clock().now_ms() - message.since_ms > NO_WAY_MS_MAX {
        Delivery::Refused(why.to_owned())
    } else {
        Delivery::NotTaken(why.to_owned())
    }
}

fn outcome(delivery: Delivery) -> Outcome {
    match delivery {
        Delivery::Taken(name) => Outcome::Sent(name),
        Delivery::NotTaken(why) => Outcome::Held(why),
        Delivery::Wait(wait_ms) => Outcome::Paced(i64::try_from(wait_ms).unwrap_or(i64::MAX)),
        Delivery::Unknown => Outcome::Unknown,
        Delivery::Refused(why) => Outcome::Refused(why),
    }
}

async fn send(engine: &Engine, client: &Client, message: &Message) -> Outcome {
    // The search below may have taken long.
    let is_late = || is_late(engine, message);
    let card = serde_json::from_str(&message.body).unwrap_or_else(|_| Card::plain("…"));
    let body = render(&card);
    let channel = &ChannelId::new(message.channel.clone());
    if is_late() {
        return Outcome::NotSent;
    }
    if let Some(ts) = &message.ts {
        return match client.update(channel, &Ts::new(ts.clone()), &body, &message.key).await {
            Ok(()) => Outcome::Sent(ts.clone()),
            Err(error) if error.is_code("message_not_found") => Outcome::Gone,
            // An edit can be made twice without harm.
            Err(error) => failed(&error, Outcome::NotSent),
        };
    }
    let parent = message.parent_ts.clone().map(Ts::new);
    let thread = parent.as_ref();
    if message.may_be_posted {
        match client.find_by_key(channel, thread, &message.key, message.since_ms).await {
            Ok(Some(ts)) => return Outcome::Found(ts.as_str().to_owned()),
            Ok(None) => {}
            Err(CallError::RateLimited { retry_after_ms }) => {
                return Outcome::Paced(i64::try_from(retry_after_ms).unwrap_or(i64::MAX));
            }
            Err(_) => return Outcome::Unknown,
        }
        if is_late() {
            return Outcome::NotSent;
        }
    }
    match client.post(channel, thread, &body, &message.key).await {
        Ok(ts) => Outcome::Sent(ts.as_str().to_owned()),
        Err(error) => failed(&error, Outcome::Unknown),
    }
}

/// What a failed call means; `unknown` is what an outcome that nobody knows counts as.
fn failed(error: &CallError, unknown: Outcome) -> Outcome {
    match error {
        CallError::RateLimited { retry_after_ms } => {
            Outcome::Paced(i64::try_from(*retry_after_ms).unwrap_or(i64::MAX))
        }
        CallError::Unknown => unknown,
        CallError::Refused(code) if CONTENT_CODES.contains(&code.as_str()) => {
            Outcome::Refused(code.clone())
        }
        CallError::Transient | CallError::Refused(_) => Outcome::Held(error.to_string()),
    }
}
