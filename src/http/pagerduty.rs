//! What PagerDuty says of incidents: an acknowledgement there is one here. A body is read only after its
//! signature was checked; the answer says that it is written down.

use super::Web;
use super::signed::{content_length, refuse, whole};
use crate::config::alerting::Pagerduty;
use crate::core::alert::Event;
use crate::core::id::AlertId;
use crate::source::pagerduty::{self, DELIVERY_HEADER, SIGNATURE_HEADER, Said, What};
use axum::body::Body;
use axum::extract::{FromRequest, Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use std::time::Duration;
use tracing::{info, warn};

/// Who is meant where PagerDuty says something.
const PAGERDUTY: &str = "pagerduty";
/// Older events are no news; within this time each is known again. A signature bears no time of its own.
const AGE_MS_MAX: i64 = 12 * 3_600_000;

/// A body larger than this is not read.
const BODY_BYTES_MAX: usize = 512 * 1024;
/// PagerDuty waits five seconds for the answer.
const BODY_TIME_MAX: Duration = Duration::from_secs(3);

/// A body that PagerDuty signed.
pub struct Signed {
    body: Bytes,
    /// The delivery, for the log alone: the signature does not cover it.
    delivery: String,
}

impl FromRequest<Web> for Signed {
    type Rejection = Response;

    async fn from_request(request: Request, web: &Web) -> Result<Self, Response> {
        let (parts, body) = request.into_parts();
        let header = |name| parts.headers.get(name).and_then(|value| value.to_str().ok());
        let Some(signature) = header(SIGNATURE_HEADER) else {
            return Err(refuse(web, StatusCode::UNAUTHORIZED, "missing"));
        };
        let alerting = web.0.health.engine.alerting();
        let secrets = alerting.ways.pagerduty.as_ref().map(Pagerduty::webhook_secrets);
        let body = read_whole(web, &parts.headers, body).await?;
        if !pagerduty::is_signed(&secrets.unwrap_or_default(), signature, &body) {
            return Err(refuse(web, StatusCode::UNAUTHORIZED, "forged"));
        }
        let delivery = header(DELIVERY_HEADER).unwrap_or_default();
        Ok(Self { body, delivery: crate::core::told::one_line(delivery) })
    }
}

async fn read_whole(web: &Web, headers: &HeaderMap, body: Body) -> Result<Bytes, Response> {
    if content_length(headers).is_some_and(|length| length > BODY_BYTES_MAX) {
        return Err(refuse(web, StatusCode::PAYLOAD_TOO_LARGE, "too_large"));
    }
    match tokio::time::timeout(BODY_TIME_MAX, whole(body, BODY_BYTES_MAX)).await {
        Ok(Ok(body)) => Ok(body),
        Ok(Err((status, reason))) => Err(refuse(web, status, reason)),
        Err(_) => Err(refuse(web, StatusCode::REQUEST_TIMEOUT, "too_slow")),
    }
}

/// Takes a webhook in.
pub async fn webhook(State(web): State<Web>, signed: Signed) -> Response {
    let Ok(read) = pagerduty::read(&signed.body) else {
        return refuse(&web, StatusCode::BAD_REQUEST, "malformed");
    };
    let Some(said) = read else { return StatusCode::OK.into_response() };
    let engine = &web.0.health.engine;
    if web.0.clock.now_ms() - said.at_ms > AGE_MS_MAX {
        info!("PagerDuty tells of what is long past: {}", said.event_id);
        return StatusCode::OK.into_response();
    }
    let (delivery, id) = (format!("pagerduty/{}", said.event_id), AlertId::new(said.alert.clone()));
    match engine.hear_of_alert(&delivery, &id, event(&said), (&by(&said), said.at_ms)).await {
        Ok(heard) => {
            info!("PagerDuty says {:?} of {id}: {heard:?} ({})", said.what, signed.delivery);
            StatusCode::OK.into_response()
        }
        Err(failure) => {
            warn!("take in what PagerDuty says of {id}: {failure:#}");
            StatusCode::SERVICE_UNAVAILABLE.into_response()
        }
    }
}

fn event(said: &Said) -> Event {
    match said.what {
        What::Acknowledged => Event::Acknowledged { by: by(said) },
        What::Unacknowledged => Event::Unacknowledged,
        What::Resolved => Event::Resolved,
    }
}

/// Never anything that could be a user id of Slack.
fn by(said: &Said) -> String {
    if said.by.is_empty() { PAGERDUTY.to_owned() } else { format!("{PAGERDUTY}: {}", said.by) }
}
