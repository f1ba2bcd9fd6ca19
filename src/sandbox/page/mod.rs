//! The page: the workspace as a person sees it in a browser, without a build step and without
//! anything from outside.
//!
//! It listens on loopback, where every page of every site could send requests to: so it answers only
//! to its own name, changes something only for its own origin and in JSON, and what it serves may
//! load nothing foreign. What is the bot's answers no browser. The page has no session: whoever
//! reaches it may be anybody of the cast.

mod snapshot;

use super::deliver::Answer;
use super::state::{Room, SharedFile, State};
use super::traffic;
use super::workspace::{Inner, Workspace};
use axum::extract::{DefaultBodyLimit, Path, Request, State as Shared};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use futures_util::stream;
use serde::Deserialize;
use serde_json::{Value, json};
use std::convert::Infallible;
use std::sync::Arc;

/// The largest body that is read.
const BODY_BYTES_MAX: usize = 64 * 1024;
/// Characters of what a person says at once.
const SAID_CHARS_MAX: usize = 4_000;
/// What the bot asks for; everything else is the page's.
const PATHS_OF_THE_BOT: [&str; 3] = ["/api/", "/commands/", "/upload/"];
/// How people may call this machine in the address.
const HOSTS: [&str; 2] = ["127.0.0.1", "localhost"];

/// What the browser must hold itself to, with every answer.
const HEADERS: [(HeaderName, &str); 6] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'none'; \
         frame-ancestors 'none'",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (header::CACHE_CONTROL, "no-store"),
];

const HTML: &str = "text/html; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
/// Name, type and text of everything under `/page/`.
const ASSETS: [(&str, &str, &str); 13] = [
    ("page.css", "text/css; charset=utf-8", include_str!("page.css")),
    ("message.css", "text/css; charset=utf-8", include_str!("message.css")),
    ("icon.svg", "image/svg+xml", include_str!("icon.svg")),
    ("app.js", SCRIPT, include_str!("app.js")),
    ("blocks.js", SCRIPT, include_str!("blocks.js")),
    ("composer.js", SCRIPT, include_str!("composer.js")),
    ("dialogs.js", SCRIPT, include_str!("dialogs.js")),
    ("dom.js", SCRIPT, include_str!("dom.js")),
    ("messages.js", SCRIPT, include_str!("messages.js")),
    ("mrkdwn.js", SCRIPT, include_str!("mrkdwn.js")),
    ("traffic.js", SCRIPT, include_str!("traffic.js")),
    ("words.js", SCRIPT, include_str!("words.js")),
    ("world.js", SCRIPT, include_str!("world.js")),
];

/// The page's own addresses.
pub(super) fn router() -> Router<Arc<Inner>> {
    Router::new()
        .route("/", get(document))
        .route("/archives/{*place}", get(document))
        .route("/page/{name}", get(asset))
        .route("/page/state", get(state))
        .route("/page/events", get(events))
        .route("/page/traffic", get(wire))
        .route("/page/file/{id}", get(file))
        .route("/page/say", post(say))
        .route("/page/press", post(press))
        .route("/page/submit", post(submit))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
}

/// Why something is refused: a status, and a word that the page explains.
struct Refused(StatusCode, &'static str);

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        (self.0, Json(json!({"error": self.1}))).into_response()
    }
}

/// Stands before everything that listens here.
pub(super) async fn guard(
    Shared(inner): Shared<Arc<Inner>>,
    request: Request,
    next: Next,
) -> Response {
    let base_url = inner.read().base_url.clone();
    let port = base_url.rsplit(':').next().unwrap_or_default();
    let checked = check(port, &request);
    let mut response = match checked {
        Ok(()) => next.run(request).await,
        Err(refused) => refused.into_response(),
    };
    for (name, value) in HEADERS {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

/// Another name for this machine is another site that had it resolved to here; another origin is
/// another site's page; and only JSON cannot be sent across sites without asking first.
fn check(port: &str, request: &Request) -> Result<(), Refused> {
    let text = |name| request.headers().get(name).map(|value| value.to_str().unwrap_or("?"));
    let host = text(header::HOST).unwrap_or_default();
    if !HOSTS.iter().any(|name| host == format!("{name}:{port}")) {
        return Err(Refused(StatusCode::FORBIDDEN, "foreign_host"));
    }
    let origin = text(header::ORIGIN);
    if PATHS_OF_THE_BOT.iter().any(|start| request.uri().path().starts_with(start)) {
        return match origin {
            Some(_) => Err(Refused(StatusCode::FORBIDDEN, "foreign_origin")),
            None => Ok(()),
        };
    }
    if [Method::GET, Method::HEAD].contains(request.method()) {
        return Ok(());
    }
    if origin.is_some_and(|origin| origin != format!("http://{host}")) {
        return Err(Refused(StatusCode::FORBIDDEN, "foreign_origin"));
    }
    let kind = text(header::CONTENT_TYPE).unwrap_or_default();
    if kind.split(';').next().is_none_or(|kind| kind.trim() != "application/json") {
        return Err(Refused(StatusCode::UNSUPPORTED_MEDIA_TYPE, "not_json"));
    }
    Ok(())
}

async fn document() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, HTML)], include_str!("page.html"))
}

async fn asset(Path(name): Path<String>) -> Response {
    match ASSETS.iter().find(|(known, ..)| *known == name) {
        Some((_, kind, text)) => ([(header::CONTENT_TYPE, *kind)], *text).into_response(),
        None => Refused(StatusCode::NOT_FOUND, "no_such_page").into_response(),
    }
}

/// One word of the address after the `?`.
fn asked(uri: &Uri, key: &str) -> String {
    let query = form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes());
    query.into_owned().find(|(name, _)| name == key).map(|(_, value)| value).unwrap_or_default()
}

async fn state(Shared(inner): Shared<Arc<Inner>>, uri: Uri) -> Result<Json<Value>, Refused> {
    let user = asked(&uri, "as");
    let version = *inner.ticks.borrow();
    let mut state = inner.read();
    check_person(&state, &user)?;
    // Whoever looks has the bot among their private conversations, as in Slack.
    state.open_conversation(&user);
    Ok(Json(snapshot::of(&state, &user, version)))
}

fn check_person(state: &State, user: &str) -> Result<(), Refused> {
    match state.person(user) {
        Some(person) if !person.is_deactivated => Ok(()),
        _ => Err(Refused(StatusCode::NOT_FOUND, "no_such_person")),
    }
}

/// The number of the latest change, whenever there is one. A page that reads slowly misses numbers,
/// not changes: nothing is kept for it.
async fn events(Shared(inner): Shared<Arc<Inner>>) -> Result<Response, Refused> {
    let busy = Refused(StatusCode::SERVICE_UNAVAILABLE, "too_many_pages");
    let place = Arc::clone(&inner.listeners).try_acquire_owned().map_err(|_| busy)?;
    let mut ticks = inner.ticks.subscribe();
    // The first number comes at once: the page may have missed a change while it was away.
    ticks.mark_changed();
    let closing = inner.closing.subscribe();
    let stream = stream::unfold((ticks, closing, place), |(mut ticks, mut closing, place)| async {
        tokio::select! {
            changed = ticks.changed() => changed.ok()?,
            _ = closing.wait_for(|closing| *closing) => return None,
        }
        let version = ticks.borrow_and_update().to_string();
        Some((Ok::<_, Infallible>(Event::default().data(version)), (ticks, closing, place)))
    });
    Ok(Sse::new(stream).keep_alive(KeepAlive::default()).into_response())
}

async fn wire(Shared(inner): Shared<Arc<Inner>>, uri: Uri) -> Json<Value> {
    let after = asked(&uri, "after").parse().unwrap_or(0);
    Json(json!({"exchanges": traffic::since(&inner.read(), after)}))
}

async fn file(
    Shared(inner): Shared<Arc<Inner>>,
    Path(id): Path<String>,
    uri: Uri,
) -> Result<Response, Refused> {
    let state = inner.read();
    let user = asked(&uri, "as");
    check_person(&state, &user)?;
    let is_theirs = |file: &&SharedFile| {
        let channel = file.channel.as_deref().filter(|_| file.is_complete);
        channel.is_some_and(|channel| state.room_for(&user, channel).is_some())
    };
    let file = state.files.get(&id).filter(is_theirs);
    let file = file.ok_or(Refused(StatusCode::NOT_FOUND, "no_such_file"))?;
    let bytes = file.bytes.clone().unwrap_or_default();
    let is_text = std::str::from_utf8(&bytes).is_ok();
    let kind = if is_text { "text/plain; charset=utf-8" } else { "application/octet-stream" };
    let how = if is_text && asked(&uri, "download").is_empty() { "inline" } else { "attachment" };
    let how = format!("{how}; filename*=UTF-8''{}", percent_encoded(&file.name));
    Ok(([(header::CONTENT_TYPE, kind), (header::CONTENT_DISPOSITION, how.as_str())], bytes)
        .into_response())
}

/// A name for `filename*`: everything but letters, digits, `-`, `.` and `_` as `%XX` (RFC 8187).
fn percent_encoded(name: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    let bytes = name.bytes();
    bytes
        .map(|byte| if is_plain(byte) { char::from(byte).into() } else { format!("%{byte:02X}") })
        .collect()
}

/// Something typed into a composer.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Said {
    #[serde(rename = "as")]
    user: String,
    channel: String,
    thread_ts: Option<String>,
    text: String,
}

async fn say(
    Shared(inner): Shared<Arc<Inner>>,
    Json(said): Json<Said>,
) -> Result<Json<Value>, Refused> {
    let text = said.text.trim();
    if text.is_empty() {
        return Err(Refused(StatusCode::BAD_REQUEST, "no_text"));
    }
    if text.chars().count() > SAID_CHARS_MAX {
        return Err(Refused(StatusCode::PAYLOAD_TOO_LARGE, "msg_too_long"));
    }
    let command = {
        let state = inner.read();
        let room = visible_room(&state, &said.user, &said.channel)?;
        let heads = |ts: &String| {
            room.messages.iter().any(|message| message.ts == *ts && message.thread_ts.is_none())
        };
        if said.thread_ts.as_ref().is_some_and(|ts| !heads(ts)) {
            return Err(Refused(StatusCode::NOT_FOUND, "thread_not_found"));
        }
        text.strip_prefix(state.options.command.as_str())
            .filter(|rest| rest.is_empty() || rest.starts_with(char::is_whitespace))
    };
    let workspace = Workspace(inner);
    let status = match (command, &said.thread_ts) {
        (Some(_), Some(_)) => {
            return Err(Refused(StatusCode::BAD_REQUEST, "no_commands_in_threads"));
        }
        (Some(command), None) => {
            workspace.say(&said.user, &said.channel, command.trim()).await.status()
        }
        (None, thread_ts) => {
            workspace.reply(&said.user, &said.channel, thread_ts.as_deref(), text);
            StatusCode::OK.as_u16()
        }
    };
    Ok(Json(json!({"status": status})))
}

fn visible_room<'s>(state: &'s State, user: &str, channel: &str) -> Result<&'s Room, Refused> {
    check_person(state, user)?;
    state.room_for(user, channel).ok_or(Refused(StatusCode::NOT_FOUND, "channel_not_found"))
}

/// A button that somebody pressed.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Pressed {
    #[serde(rename = "as")]
    user: String,
    channel: String,
    ts: String,
    action_id: String,
    #[serde(default)]
    value: String,
}

async fn press(
    Shared(inner): Shared<Arc<Inner>>,
    Json(pressed): Json<Pressed>,
) -> Result<Json<Value>, Refused> {
    visible_room(&inner.read(), &pressed.user, &pressed.channel)?;
    let Pressed { user, channel, ts, action_id, value } = pressed;
    let opened_before = inner.read().views.len();
    let workspace = Workspace(inner);
    match workspace.click(&user, &channel, &ts, &action_id, Some(&value)).await {
        Answer::NoSuchButton => Err(Refused(StatusCode::CONFLICT, "no_such_button")),
        Answer::TimedOut => Err(Refused(StatusCode::GATEWAY_TIMEOUT, "operation_timeout")),
        answer if answer.is_ok() => {
            // A form that the bot opened for whoever pressed, before it answered.
            let state = workspace.0.read();
            let mut opened = state.views.iter().skip(opened_before);
            let view = opened.rfind(|view| view.user == user).map(|view| &view.view);
            Ok(Json(json!({"status": answer.status(), "view": view})))
        }
        _ => Err(Refused(StatusCode::BAD_GATEWAY, "dispatch_failed")),
    }
}

/// A form that somebody sent off.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Submitted {
    #[serde(rename = "as")]
    user: String,
    view: String,
    values: Value,
}

async fn submit(
    Shared(inner): Shared<Arc<Inner>>,
    Json(submitted): Json<Submitted>,
) -> Result<Json<Value>, Refused> {
    let Submitted { user, view, values } = submitted;
    check_person(&inner.read(), &user)?;
    match Workspace(inner).submit(&user, &view, &values).await {
        Answer::NoSuchButton => Err(Refused(StatusCode::CONFLICT, "no_such_view")),
        Answer::TimedOut => Err(Refused(StatusCode::GATEWAY_TIMEOUT, "operation_timeout")),
        answer if answer.is_ok() => {
            let said: Value = serde_json::from_str(answer.body()).unwrap_or_default();
            let errors = said.get("errors").cloned().unwrap_or_default();
            Ok(Json(json!({"status": answer.status(), "errors": errors})))
        }
        _ => Err(Refused(StatusCode::BAD_GATEWAY, "dispatch_failed")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_name_cannot_leave_its_header() {
        assert_eq!(percent_encoded("日 \"a\"\r\n.log"), "%E6%97%A5%20%22a%22%0D%0A.log");
    }
}
