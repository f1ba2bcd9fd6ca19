//! The only way to a request's body: an extractor that has checked the signature over its raw bytes.

use super::Web;
use crate::slack::verify::{Refusal, Verified, verify_request};
use axum::body::Body;
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::StreamExt as _;
use std::time::Duration;

/// A body larger than this is not read: Slack's largest are far smaller.
pub const BODY_BYTES_MAX: usize = 256 * 1024;
/// How long a body may take to arrive.
pub(super) const BODY_TIME_MAX: Duration = Duration::from_secs(10);

/// A request that Slack signed.
pub struct Signed {
    /// Its bytes.
    pub verified: Verified,
    /// What it says they are.
    pub content_type: Option<String>,
    /// The signature itself: tells two deliveries apart when nothing else does.
    pub signature: String,
}

impl FromRequest<Web> for Signed {
    type Rejection = Response;

    async fn from_request(request: Request, web: &Web) -> Result<Self, Response> {
        let (parts, body) = request.into_parts();
        if content_length(&parts.headers).is_some_and(|length| length > BODY_BYTES_MAX) {
            return Err(refuse(web, StatusCode::PAYLOAD_TOO_LARGE, "too_large"));
        }
        let body = match tokio::time::timeout(BODY_TIME_MAX, whole(body, BODY_BYTES_MAX)).await {
            Ok(Ok(body)) => body,
            Ok(Err((status, reason))) => return Err(refuse(web, status, reason)),
            Err(_) => return Err(refuse(web, StatusCode::REQUEST_TIMEOUT, "too_slow")),
        };
        let now_ms = web.0.clock.now_ms();
        let verified = verify_request(&web.0.secret, &parts.headers, body, now_ms)
            .map_err(|refusal: Refusal| refuse(web, StatusCode::UNAUTHORIZED, refusal.as_str()))?;
        let text = |name: &str| {
            parts.headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
        };
        Ok(Self {
            verified,
            content_type: text(header::CONTENT_TYPE.as_str()),
            signature: text("x-slack-signature").unwrap_or_default(),
        })
    }
}

/// The whole body, or why there is none.
pub(super) async fn whole(
    body: Body,
    bytes_max: usize,
) -> Result<Bytes, (StatusCode, &'static str)> {
    let mut pieces = body.into_data_stream();
    let mut whole = Vec::new();
    while let Some(piece) = pieces.next().await {
        // Nobody may be left to read this answer; the counter is for us.
        let piece = piece.map_err(|_| (StatusCode::BAD_REQUEST, "broken_off"))?;
        if whole.len() + piece.len() > bytes_max {
            return Err((StatusCode::PAYLOAD_TOO_LARGE, "too_large"));
        }
        whole.extend_from_slice(&piece);
    }
    Ok(Bytes::from(whole))
}

pub(super) fn content_length(headers: &HeaderMap) -> Option<usize> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// An answer that tells a forger nothing, and a counter that tells us.
pub(super) fn refuse(web: &Web, status: StatusCode, reason: &'static str) -> Response {
    web.0.metrics.refused(reason);
    (status, status.canonical_reason().unwrap_or_default()).into_response()
}
