//! Calls of PagerDuty's Events API v2. A call that is made twice is one alert there, by its `dedup_key`; a
//! change event has none, and may stand there twice after a lost answer. The answer 202 says that an event
//! was taken, not that anybody was called.

use super::{CONNECT_TIME_MAX, Delivery, cause, words};
use crate::config::alerting::Pagerduty;
use crate::core::alert_page::Page;
use reqwest::{StatusCode, header, redirect};
use secrecy::ExposeSecret;
use serde_json::Value;
use std::time::Duration;

/// How long a call may take.
const CALL_TIME_MAX: Duration = Duration::from_secs(10);
/// Bytes of an answer that are read.
const ANSWER_BYTES_MAX: usize = 16 * 1024;
/// The longest wait that an answer may ask for.
const WAIT_MS_MAX: u64 = 300_000;

/// Calls PagerDuty. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Pager(reqwest::Client);

impl Pager {
    /// A client whose calls end within a time.
    ///
    /// # Errors
    /// Only where TLS cannot be set up.
    pub fn new(time_max: Duration) -> anyhow::Result<Self> {
        let client = reqwest::Client::builder()
            .timeout(CALL_TIME_MAX.min(time_max))
            .connect_timeout(CONNECT_TIME_MAX)
            // A redirect would carry the routing key elsewhere.
            .redirect(redirect::Policy::none())
            .build()?;
        Ok(Self(client))
    }

    /// Makes the call that `body` describes (a [`Page`] as JSON), with a routing key of this name.
    pub async fn call(&self, pagerduty: &Pagerduty, key: &str, body: &str) -> Delivery {
        let Ok(page) = serde_json::from_str::<Page>(body) else {
            return Delivery::Refused("unreadable".to_owned());
        };
        let routing_key = match pagerduty.routing_key(key) {
            Ok(routing_key) => routing_key,
            Err(why) => return Delivery::NotTaken(why),
        };
        let mut event = page.event;
        event["routing_key"] = Value::from(routing_key.expose_secret());
        let url = format!("{}{}", pagerduty.url, page.call.path());
        let answer = match self.0.post(url).json(&event).send().await {
            Ok(answer) => answer,
            // Made again, it is the same event there.
            Err(error) => return Delivery::NotTaken(format!("PagerDuty: {}", cause(&error))),
        };
        let status = answer.status();
        let wait_ms = answer.headers().get(header::RETRY_AFTER).and_then(|value| {
            let secs: u64 = value.to_str().ok()?.trim().parse().ok()?;
            Some(secs.saturating_mul(1_000).min(WAIT_MS_MAX))
        });
        let said = said(answer).await;
        match (status, wait_ms) {
            (StatusCode::ACCEPTED, _) => {
                let name = event["dedup_key"].as_str().unwrap_or("change");
                Delivery::Taken(name.to_owned())
            }
            (StatusCode::TOO_MANY_REQUESTS, Some(wait_ms)) => Delivery::Wait(wait_ms),
            (StatusCode::BAD_REQUEST | StatusCode::PAYLOAD_TOO_LARGE, _) => {
                Delivery::Refused(format!("{}: {said}", status.as_u16()))
            }
            // An outage, too many calls; or a wrong address, a proxy in between.
            _ => Delivery::NotTaken(format!("PagerDuty's address answers {}", status.as_u16())),
        }
    }
}

/// What an answer says of itself.
async fn said(mut answer: reqwest::Response) -> String {
    let mut body = Vec::new();
    while let Ok(Some(piece)) = answer.chunk().await {
        if body.len() + piece.len() > ANSWER_BYTES_MAX {
            break;
        }
        body.extend_from_slice(&piece);
    }
    let answer: Value = serde_json::from_slice(&body).unwrap_or_default();
    let message = answer["message"].as_str().unwrap_or_default();
    let errors = answer["errors"].as_array().into_iter().flatten().filter_map(Value::as_str);
    words(&[message].into_iter().chain(errors).collect::<Vec<_>>().join("; "))
}
