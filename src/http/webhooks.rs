//! What monitoring sends: proved by a bearer token before a byte of the body is read, answered with 2xx
//! only when it is durable.
//!
//! The answers are Alertmanager's contract: it sends again after a 5xx and after a broken connection, and
//! drops what is answered with a 4xx, 429 among them. So whatever may be better later is 503, and a 4xx
//! says that the same would never be taken.

use super::Web;
use super::signed::{BODY_TIME_MAX, content_length, refuse, whole};
use crate::engine::{Announcement, Error};
use crate::source::{Fault, Received, Surroundings, Unreadable, alertmanager, generic};
use axum::body::Body;
use axum::extract::{FromRequest, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use hmac::{Hmac, KeyInit as _, Mac as _};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};
use sha2::Sha256;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tracing::{error, info, warn};

/// A body that is larger is not read: Alertmanager's `max_alerts` keeps them smaller.
pub const BODY_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Bodies that are read, or wait to be stored, at once.
const BODIES_MAX: usize = 64;
/// Their bytes together, counted in whole KiB.
const WAITING_KIB_MAX: usize = 32 * 1024;
/// Parts of bodies that are stored at once: Slack's requests share the database with them.
const WRITES_MAX: usize = 2;
/// Alerts that are stored in one transaction; on SQLite everybody else waits for it.
const ALERTS_AT_ONCE: usize = 200;
/// How long a body may take to be stored.
const STORE_TIME_MAX: Duration = Duration::from_secs(20);
/// A larger body is read on a thread of its own, so that no other request waits for it.
const READ_HERE_BYTES_MAX: usize = 64 * 1024;
/// So many of those at once: a hostile one takes twenty times its bytes while it is read.
const READS_MAX: usize = 2;
/// When to send again, in seconds.
const RETRY_AFTER_SECS: &str = "5";
/// Faults are journaled at most once in this time; the answer always tells them.
const JOURNAL_EVERY_MS: u64 = 60_000;
/// A missing token is logged at most once in this time.
const LOG_EVERY_MS: u64 = 60_000;

/// What the webhooks share.
pub struct Webhooks {
    /// What a caller must show; `None`: nobody is let in.
    token: Option<SecretString>,
    bodies: Arc<Semaphore>,
    waiting_kib: Arc<Semaphore>,
    reads: Semaphore,
    writes: Semaphore,
    journaled_ms: AtomicI64,
    logged_ms: AtomicI64,
}

impl Webhooks {
    /// Lets in who shows this token; nobody without one.
    pub fn new(token: Option<SecretString>) -> Self {
        Self {
            token,
            bodies: Arc::new(Semaphore::new(BODIES_MAX)),
            waiting_kib: Arc::new(Semaphore::new(WAITING_KIB_MAX)),
            reads: Semaphore::new(READS_MAX),
            writes: Semaphore::new(WRITES_MAX),
            journaled_ms: AtomicI64::new(i64::MIN),
            logged_ms: AtomicI64::new(i64::MIN),
        }
    }
}

/// Whether something that is done once in a while is due, and then takes it.
fn is_due(last_ms: &AtomicI64, now_ms: i64, every_ms: u64) -> bool {
    // A clock that was set back does not put it off.
    let due = |last_ms: i64| (now_ms.abs_diff(last_ms) >= every_ms).then_some(now_ms);
    last_ms.fetch_update(Ordering::Relaxed, Ordering::Relaxed, due).is_ok()
}

/// The body of a caller who showed the token, within its limits.
pub struct Bearer {
    body: Bytes,
    /// Held until it is answered.
    _places: (OwnedSemaphorePermit, OwnedSemaphorePermit),
}

impl FromRequest<Web> for Bearer {
    type Rejection = Response;

    async fn from_request(request: Request, web: &Web) -> Result<Self, Response> {
        let (parts, body) = request.into_parts();
        let webhooks = &web.0.webhooks;
        let Some(token) = &webhooks.token else {
            if is_due(&webhooks.logged_ms, web.0.clock.now_ms(), LOG_EVERY_MS) {
                warn!(
                    "refused a webhook: no token is set. Set NEOSTOCK_WEBHOOK_TOKEN here, and the same as \
                     the bearer token of whoever sends"
                );
            }
            return Err(refuse(web, StatusCode::FORBIDDEN, "webhook_no_token"));
        };
        if !is_bearer(&parts.headers, token) {
            let mut answer = refuse(web, StatusCode::UNAUTHORIZED, "webhook_token");
            let way = HeaderValue::from_static("Bearer");
            answer.headers_mut().insert(header::WWW_AUTHENTICATE, way);
            return Err(answer);
        }
        if let Err(what) = is_plain_json(&parts.headers) {
            web.0.metrics.refused("webhook_type");
            return Err(problem(StatusCode::UNSUPPORTED_MEDIA_TYPE, what, 0, &[]));
        }
        let length = content_length(&parts.headers);
        if length.is_some_and(|length| length > BODY_BYTES_MAX) {
            return Err(too_large(web));
        }
        // Without a length it may be as large as any.
        let kib = length.unwrap_or(BODY_BYTES_MAX).div_ceil(1024).max(1);
        let place = Arc::clone(&webhooks.bodies).try_acquire_owned();
        let room = Arc::clone(&webhooks.waiting_kib)
            .try_acquire_many_owned(u32::try_from(kib).unwrap_or(u32::MAX));
        let (Ok(place), Ok(room)) = (place, room) else {
            web.0.metrics.refused("webhook_overloaded");
            return Err(later("too much is waiting to be stored"));
        };
        let body = read_whole(web, body).await?;
        Ok(Self { body, _places: (place, room) })
    }
}

async fn read_whole(web: &Web, body: Body) -> Result<Bytes, Response> {
    match tokio::time::timeout(BODY_TIME_MAX, whole(body, BODY_BYTES_MAX)).await {
        Ok(Ok(body)) => Ok(body),
        Ok(Err((StatusCode::PAYLOAD_TOO_LARGE, _))) => Err(too_large(web)),
        Ok(Err((status, reason))) => Err(refuse(web, status, reason)),
        Err(_) => Err(refuse(web, StatusCode::REQUEST_TIMEOUT, "too_slow")),
    }
}

fn too_large(web: &Web) -> Response {
    web.0.metrics.refused("too_large");
    let what =
        format!("a body has {BODY_BYTES_MAX} bytes at most; set `max_alerts` where it is sent");
    problem(StatusCode::PAYLOAD_TOO_LARGE, &what, 0, &[])
}

/// Whether the one `Authorization` header shows the token; compared in constant time.
fn is_bearer(headers: &HeaderMap, token: &SecretString) -> bool {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return false };
    let Some((scheme, given)) = value.as_bytes().split_first_chunk::<7>() else { return false };
    if !scheme.eq_ignore_ascii_case(b"Bearer ") {
        return false;
    }
    // Keyed hashes of both are compared: how long the token is cannot be measured either.
    let hash = |key: &[u8]| {
        Hmac::<Sha256>::new_from_slice(key).ok().map(|hash| hash.chain_update(b"webhook"))
    };
    let (Some(right), Some(given)) = (hash(token.expose_secret().as_bytes()), hash(given)) else {
        return false;
    };
    right.verify_slice(&given.finalize().into_bytes()).is_ok()
}

/// What is wrong with the kind of body that the headers announce.
fn is_plain_json(headers: &HeaderMap) -> Result<(), &'static str> {
    let text =
        |name| headers.get(name).map(|value: &HeaderValue| value.to_str().unwrap_or_default());
    let kind = text(header::CONTENT_TYPE).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    if !kind.eq_ignore_ascii_case("application/json") {
        return Err("the body is JSON: `Content-Type: application/json`");
    }
    match text(header::CONTENT_ENCODING) {
        None => Ok(()),
        Some(encoding) if encoding.eq_ignore_ascii_case("identity") => Ok(()),
        Some(_) => Err("the body is not compressed: send it without `Content-Encoding`"),
    }
}

/// How a body is read.
type Read = fn(&[u8], Surroundings<'_>) -> Result<Received, Unreadable>;

/// Alertmanager's webhook, version 4.
pub async fn alertmanager(State(web): State<Web>, bearer: Bearer) -> Response {
    take(&web, bearer, alertmanager::SOURCE, alertmanager::read).await
}

/// Alerts in the bot's own JSON.
pub async fn alerts(State(web): State<Web>, bearer: Bearer) -> Response {
    take(&web, bearer, generic::SOURCE, generic::read).await
}

async fn take(web: &Web, bearer: Bearer, source: &'static str, read: Read) -> Response {
    let engine = &web.0.health.engine;
    let received = match read_aside(web, bearer.body.clone(), read).await {
        Some(Ok(received)) => received,
        Some(Err(Unreadable(fault))) => {
            web.0.metrics.refused("webhook_unreadable");
            let faults = [fault];
            note(web, source, 1, &faults).await;
            return problem(StatusCode::BAD_REQUEST, "none of the body was taken", 0, &faults);
        }
        None => return StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    };
    let Received { sightings, refused, faults, ignored, is_watchdog_heard, truncated } = received;
    if truncated > 0 {
        info!(
            "{source} left {truncated} alerts out of a body; `max_alerts` there says how many it sends"
        );
    }
    let taken = sightings.len();
    let told = tokio::time::timeout(STORE_TIME_MAX, async {
        if is_watchdog_heard {
            engine.hear_watchdog().await?;
        }
        store(web, sightings).await
    });
    let (fired, ended, known) = match told.await {
        Ok(Ok(counts)) => counts,
        Ok(Err(failure)) => return failed(web, source, &failure),
        Err(_) => {
            web.0.metrics.refused("webhook_overloaded");
            return later("it took too long to be stored");
        }
    };
    crate::fault::point("webhook_stored");
    let counted = [
        ("fired", fired),
        ("ended", ended),
        ("known", known),
        ("ignored", ignored),
        ("refused", refused),
    ];
    for (what, count) in counted {
        web.0.metrics.webhook_alerts(what, count);
    }
    if refused > 0 {
        note(web, source, refused, &faults).await;
    }
    if refused > 0 && taken + ignored == 0 {
        return problem(
            StatusCode::BAD_REQUEST,
            "no alert of the body was taken",
            refused,
            &faults,
        );
    }
    let mut answer = json!({"taken": taken, "ignored": ignored, "refused": refused});
    if refused > 0 {
        answer["errors"] = json!(faults);
    }
    as_json(StatusCode::OK, "application/json", &answer)
}

/// Reads the body, a large one on a thread of its own; `None`: the reading broke.
async fn read_aside(web: &Web, body: Bytes, read: Read) -> Option<Result<Received, Unreadable>> {
    let engine = &web.0.health.engine;
    let (runbook, alerting) = (engine.runbook(), engine.alerting());
    let now_ms = engine.clock().now_ms();
    let is_small = body.len() <= READ_HERE_BYTES_MAX;
    let reading = move || {
        let watchdog = alerting.liveness.watchdog.as_ref().map_or("", |watchdog| &watchdog.name);
        read(&body, Surroundings { runbook: &runbook, watchdog, now_ms })
    };
    if is_small {
        return Some(reading());
    }
    // Never closed.
    let _turn = web.0.webhooks.reads.acquire().await;
    match tokio::task::spawn_blocking(reading).await {
        Ok(received) => Some(received),
        Err(panic) => {
            error!("reading a webhook's body broke: {panic}");
            None
        }
    }
}

/// Stores what a body says, part by part; what is stored already stays when a later part fails, and is
/// known when the body is sent again.
async fn store(
    web: &Web,
    mut sightings: Vec<crate::core::alert::Sighting>,
) -> Result<(usize, usize, usize), Error> {
    let (mut fired, mut ended, mut known) = (0, 0, 0);
    while !sightings.is_empty() {
        let rest = sightings.split_off(sightings.len().min(ALERTS_AT_ONCE));
        // Never closed; and whoever waited longest is next.
        let _turn = web.0.webhooks.writes.acquire().await;
        let observed = web.0.health.engine.observe(sightings).await?;
        fired += observed.fired;
        ended += observed.ended;
        known += observed.known;
        crate::fault::point("webhook_part");
        sightings = rest;
    }
    Ok((fired, ended, known))
}

/// What failed on the way to the database: sent again, it may be stored.
fn failed(web: &Web, source: &str, failure: &Error) -> Response {
    if failure.is_passing() {
        info!("a body of {source} is to be sent again: {failure:#}");
        web.0.metrics.refused("webhook_unavailable");
        return later("the database cannot be asked");
    }
    error!("store what {source} sent: {failure:#}");
    StatusCode::INTERNAL_SERVER_ERROR.into_response()
}

/// Writes down that alerts could not be read: once in a while, for whoever sends them sends them again.
async fn note(web: &Web, source: &'static str, refused: usize, faults: &[Fault]) {
    if !is_due(&web.0.webhooks.journaled_ms, web.0.clock.now_ms(), JOURNAL_EVERY_MS) {
        return;
    }
    let first = faults.first().map_or_else(String::new, |one| format!("{}: {}", one.at, one.fault));
    warn!("{refused} alerts of {source} cannot be read; the first fault is at {first}");
    let announcement = Announcement {
        kind: "alerts.refused",
        subject: source.to_owned(),
        detail: json!({"refused": refused, "faults": faults}),
        message: None,
    };
    if let Err(failure) = web.0.health.engine.announce(announcement).await {
        warn!("write down what cannot be read: {failure:#}");
    }
}

/// An answer after which Alertmanager sends again.
fn later(why: &str) -> Response {
    let mut answer = problem(StatusCode::SERVICE_UNAVAILABLE, why, 0, &[]);
    let after = HeaderValue::from_static(RETRY_AFTER_SECS);
    answer.headers_mut().insert(header::RETRY_AFTER, after);
    answer
}

/// What is wrong, as RFC 9457 writes it; `errors` says where.
fn problem(status: StatusCode, detail: &str, refused: usize, faults: &[Fault]) -> Response {
    let title = status.canonical_reason().unwrap_or_default();
    let mut body = json!({"title": title, "status": status.as_u16(), "detail": detail});
    if !faults.is_empty() {
        body["refused"] = json!(refused);
        body["errors"] = json!(faults);
    }
    as_json(status, "application/problem+json", &body)
}

fn as_json(status: StatusCode, kind: &'static str, body: &Value) -> Response {
    (status, [(header::CONTENT_TYPE, kind)], format!("{body}\n")).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shows(values: &[&str]) -> bool {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::AUTHORIZATION, HeaderValue::from_str(value).unwrap());
        }
        is_bearer(&headers, &SecretString::from("s3cr3t"))
    }

    #[test]
    fn only_the_token_itself_is_shown_by_one_header() {
        assert!(shows(&["Bearer s3cr3t"]));
        assert!(shows(&["bearer s3cr3t"]));
        for odd in [
            "Bearer s3cr3",
            "Bearer s3cr3tt",
            "Bearer  s3cr3t",
            "Basic s3cr3t",
            "s3cr3t",
            "Bearer",
            "",
            "Bearer ",
        ] {
            assert!(!shows(&[odd]), "{odd}");
        }
        assert!(!shows(&[]));
        assert!(!shows(&["Bearer s3cr3t", "Bearer s3cr3t"]));
    }

    #[test]
    fn what_is_done_once_in_a_while_is_due_again_after_it() {
        let last_ms = AtomicI64::new(i64::MIN);
        let due: Vec<bool> = [500, 501, 559, 560, 561, 7, 8]
            .into_iter()
            .map(|now_ms| is_due(&last_ms, now_ms, 60))
            .collect();
        assert_eq!(due, [true, false, false, true, false, true, false]);
    }
}
