//! The Web API as the bot meets it: `/api/<method>`, response URLs and upload addresses, in JSON
//! and in forms, with the faults that were asked for.

use super::blocks;
use super::conversations;
use super::fault::Fault;
use super::files;
use super::page;
use super::state::{ApiCall, Refusal, State, View};
use super::workspace::Inner;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::connect_info::Connected;
use axum::extract::{ConnectInfo, Request, State as Shared};
use axum::http::{StatusCode, header};
use axum::middleware::from_fn_with_state;
use axum::response::Response;
use axum::serve::IncomingStream;
use serde_json::{Map, Value, json};
use std::net::{Shutdown, TcpStream};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;

/// The largest body that is read; files are the largest.
const BODY_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Arguments that are JSON, also when they come in a form.
const STRUCTURED: [&str; 5] = ["blocks", "attachments", "metadata", "files", "view"];

/// Methods that read: Slack takes JSON bodies for writing only and overlooks one here.
/// Source: Slack's changelog of 2017-10, "JSON now accepted for Web API write methods".
const FORM_ONLY: [&str; 8] = [
    "chat.getPermalink",
    "conversations.history",
    "conversations.info",
    "conversations.replies",
    "files.getUploadURLExternal",
    "users.info",
    "users.lookupByEmail",
    "usergroups.users.list",
];

/// Errors that a correct bot never causes, whatever people do.
const INVALID_CALLS: [&str; 6] = [
    "unknown_method",
    "not_authed",
    "invalid_auth",
    "invalid_arguments",
    "invalid_json",
    "invalid_post_type",
];

/// The arguments of one call.
pub(super) struct Args(pub(super) Map<String, Value>);

impl Args {
    pub(super) fn text(&self, key: &str) -> Option<&str> {
        self.0.get(key).and_then(Value::as_str).filter(|text| !text.is_empty())
    }

    pub(super) fn required(&self, key: &str) -> Result<&str, Refusal> {
        self.text(key).ok_or_else(|| Refusal {
            error: "invalid_arguments".to_owned(),
            messages: vec![format!("[ERROR] missing required field: {key}")],
        })
    }

    pub(super) fn flag(&self, key: &str) -> bool {
        match self.0.get(key) {
            Some(Value::Bool(flag)) => *flag,
            Some(Value::String(text)) => text == "true" || text == "1",
            _ => false,
        }
    }

    pub(super) fn number(&self, key: &str) -> Option<usize> {
        match self.0.get(key)? {
            Value::Number(number) => number.as_u64().and_then(|number| number.try_into().ok()),
            Value::String(text) => text.parse().ok(),
            _ => None,
        }
    }
}

/// A second handle on the connection of a request, to drop it with.
#[derive(Clone)]
struct Wire(Option<Arc<TcpStream>>);

impl Connected<IncomingStream<'_, TcpListener>> for Wire {
    fn connect_info(stream: IncomingStream<'_, TcpListener>) -> Self {
        let copy = stream.io().as_fd().try_clone_to_owned();
        Self(copy.ok().map(|copy| Arc::new(TcpStream::from(copy))))
    }
}

/// A request, read and named.
struct Call {
    /// The method's name, `response_url` or `upload`.
    method: String,
    path: String,
    token: Option<String>,
    args: Args,
    body: Bytes,
    is_json: bool,
    /// Why the body could not be read.
    unreadable: Option<&'static str>,
}

/// What a call is answered with.
struct Reply {
    status: StatusCode,
    retry_after_secs: Option<u64>,
    body: ReplyBody,
}

enum ReplyBody {
    Json(Value),
    Text(&'static str),
    Html(&'static str),
}

pub(super) async fn serve(listener: TcpListener, inner: Arc<Inner>) {
    let mut closing = inner.closing.subscribe();
    let guard = from_fn_with_state(Arc::clone(&inner), page::guard);
    let router = page::router().fallback(answer).layer(guard).with_state(inner);
    let service = router.into_make_service_with_connect_info::<Wire>();
    let stop = async move {
        let _ = closing.wait_for(|closing| *closing).await;
    };
    // Accepting on loopback does not fail in a way that somebody could act on.
    let _ = axum::serve(listener, service).with_graceful_shutdown(stop).await;
}

async fn answer(
    Shared(inner): Shared<Arc<Inner>>,
    ConnectInfo(wire): ConnectInfo<Wire>,
    request: Request,
) -> Response {
    let call = Call::read(request).await;
    let fault = inner.change(|state| {
        let now_ms = state.now_ms();
        state.planned.take(&call.method, now_ms)
    });
    let (reply, lost) = match fault {
        None => (inner.change(|state| apply(state, &call)), false),
        Some(Fault::Slow(wait_ms)) => {
            inner.wait_real(wait_ms).await;
            (inner.change(|state| apply(state, &call)), false)
        }
        Some(Fault::TimeoutAfterApplying(wait_ms)) => {
            let reply = inner.change(|state| apply(state, &call));
            inner.change(|state| record(state, &call, &reply, true));
            inner.wait_real(wait_ms).await;
            wire.cut();
            return reply.into_response();
        }
        Some(Fault::DropBefore) => (Reply::json(json!({})), true),
        Some(Fault::RateLimited { retry_after_secs }) => (Reply::too_many(retry_after_secs), false),
        Some(Fault::ServerError(status)) => (Reply::server_error(status), false),
        Some(Fault::NotJson) => (
            Reply {
                status: StatusCode::OK,
                retry_after_secs: None,
                body: ReplyBody::Html("<html><body>Be right back</body></html>"),
            },
            false,
        ),
        Some(Fault::Error(error)) => (Reply::json(json!({"ok": false, "error": error})), false),
    };
    inner.change(|state| record(state, &call, &reply, lost));
    if lost {
        wire.cut();
    }
    reply.into_response()
}

impl Inner {
    /// Real waiting, cut short when the workspace shuts down.
    async fn wait_real(&self, wait_ms: u64) {
        let mut closing = self.closing.subscribe();
        let closed = closing.wait_for(|closing| *closing);
        let _ = tokio::time::timeout(Duration::from_millis(wait_ms), closed).await;
    }
}

impl Wire {
    fn cut(&self) {
        if let Some(stream) = &self.0 {
            // Already gone is as good as cut.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

impl Call {
    async fn read(request: Request) -> Self {
        let (head, body) = request.into_parts();
        let path = head.uri.path().to_owned();
        let method = if path.starts_with("/commands/") {
            "response_url".to_owned()
        } else if path.starts_with("/upload/") {
            "upload".to_owned()
        } else {
            path.strip_prefix("/api/").unwrap_or(&path).to_owned()
        };
        let header = |name| head.headers.get(name).and_then(|value| value.to_str().ok());
        let content_type = header(header::CONTENT_TYPE).unwrap_or_default().to_ascii_lowercase();
        let token = header(header::AUTHORIZATION).and_then(|it| it.strip_prefix("Bearer "));
        let mut call = Self {
            token: token.map(str::to_owned),
            args: Args(Map::new()),
            body: Bytes::new(),
            is_json: content_type.starts_with("application/json"),
            unreadable: None,
            method,
            path,
        };
        call.take_form(head.uri.query().unwrap_or_default().as_bytes());
        match to_bytes(body, BODY_BYTES_MAX).await {
            Ok(bytes) => call.body = bytes,
            Err(_) => call.unreadable = Some("request_too_large"),
        }
        if call.method == "upload" || call.body.is_empty() {
            return call;
        }
        if call.is_json || call.method == "response_url" {
            match serde_json::from_slice(&call.body) {
                Ok(Value::Object(map)) if !FORM_ONLY.contains(&call.method.as_str()) => {
                    call.args.0.extend(map);
                }
                Ok(Value::Object(_)) => {}
                _ => call.unreadable = Some("invalid_json"),
            }
        } else if content_type.starts_with("application/x-www-form-urlencoded") {
            let body = call.body.clone();
            call.take_form(&body);
        } else {
            call.unreadable = Some("invalid_post_type");
        }
        if let Some(Value::String(token)) = call.args.0.remove("token") {
            call.token.get_or_insert(token);
        }
        call
    }

    fn take_form(&mut self, form: &[u8]) {
        for (key, value) in form_urlencoded::parse(form) {
            let structured = STRUCTURED.contains(&key.as_ref()) && !value.is_empty();
            let parsed = if structured { serde_json::from_str(&value).ok() } else { None };
            self.args.0.insert(
                key.into_owned(),
                parsed.unwrap_or_else(|| Value::String(value.into_owned())),
            );
        }
    }
}

impl Reply {
    fn json(body: Value) -> Self {
        Self { status: StatusCode::OK, retry_after_secs: None, body: ReplyBody::Json(body) }
    }

    fn too_many(retry_after_secs: u64) -> Self {
        Self {
            status: StatusCode::TOO_MANY_REQUESTS,
            retry_after_secs: Some(retry_after_secs),
            body: ReplyBody::Json(json!({"ok": false, "error": "ratelimited"})),
        }
    }

    fn server_error(status: u16) -> Self {
        Self {
            status: StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
            retry_after_secs: None,
            body: ReplyBody::Html("<html><body>Server Error</body></html>"),
        }
    }

    fn text(status: StatusCode, text: &'static str) -> Self {
        Self { status, retry_after_secs: None, body: ReplyBody::Text(text) }
    }

    fn as_value(&self) -> Value {
        match &self.body {
            ReplyBody::Json(value) => value.clone(),
            ReplyBody::Text(text) | ReplyBody::Html(text) => json!(text),
        }
    }

    fn into_response(self) -> Response {
        let (content_type, body) = match self.body {
            ReplyBody::Json(value) => ("application/json; charset=utf-8", value.to_string()),
            ReplyBody::Text(text) => ("text/plain; charset=utf-8", text.to_owned()),
            ReplyBody::Html(text) => ("text/html; charset=utf-8", text.to_owned()),
        };
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static(content_type));
        if let Some(secs) = self.retry_after_secs {
            headers.insert(header::RETRY_AFTER, header::HeaderValue::from(secs));
        }
        response
    }
}

fn record(state: &mut State, call: &Call, reply: &Reply, lost: bool) {
    let serial = state.next_wire();
    state.record(ApiCall {
        method: call.method.clone(),
        args: call.args.0.clone(),
        status: if lost { 0 } else { reply.status.as_u16() },
        answer: reply.as_value(),
        at_ms: state.now_ms(),
        serial,
    });
}

fn apply(state: &mut State, call: &Call) -> Reply {
    if call.method == "upload" {
        let id = call.path.trim_start_matches("/upload/");
        return match files::receive(state, id, &call.body) {
            Ok(()) => Reply::text(StatusCode::OK, "OK"),
            Err(why) => {
                state.fault("upload", why);
                Reply::text(StatusCode::BAD_REQUEST, why)
            }
        };
    }
    if call.method == "response_url" {
        let done = match call.unreadable {
            Some(why) => Err(why.to_owned()),
            None => conversations::respond(state, &call.path, &call.args),
        };
        return match done {
            Ok(()) => Reply::text(StatusCode::OK, "ok"),
            Err(why) => {
                state.fault("response_url", &why);
                Reply::json(json!({"ok": false, "error": why})).with_status(StatusCode::NOT_FOUND)
            }
        };
    }
    if call.method == "chat.postMessage"
        && let Some(channel) = call.args.text("channel")
        && let Err(retry_after_secs) = state.spend_post(channel)
    {
        return Reply::too_many(retry_after_secs);
    }
    match apply_method(state, call) {
        Ok(Value::Object(mut body)) => {
            body.insert("ok".to_owned(), json!(true));
            Reply::json(Value::Object(body))
        }
        Ok(_) => Reply::json(json!({"ok": true})),
        Err(refusal) => {
            if INVALID_CALLS.contains(&refusal.error.as_str()) {
                let why = format!("{} {}", refusal.error, refusal.messages.join("; "));
                state.fault(&call.method, why.trim_end());
            }
            let mut body = json!({"ok": false, "error": refusal.error});
            if !refusal.messages.is_empty() {
                body["response_metadata"] = json!({"messages": refusal.messages});
            }
            Reply::json(body)
        }
    }
}

impl Reply {
    fn with_status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }
}

fn apply_method(state: &mut State, call: &Call) -> Result<Value, Refusal> {
    match call.token.as_deref() {
        None => return Err(Refusal::new("not_authed")),
        Some(token) if token != state.options.bot_token => {
            return Err(Refusal::new("invalid_auth"));
        }
        Some(_) => {}
    }
    if let Some(why) = call.unreadable {
        return Err(Refusal::new(why));
    }
    if call.is_json && !call.body.is_empty() && FORM_ONLY.contains(&call.method.as_str()) {
        state.fault(&call.method, "takes no JSON body; its arguments were overlooked");
    }
    let args = &call.args;
    match call.method.as_str() {
        "auth.test" => Ok(auth_test(state)),
        "chat.postMessage" => conversations::post_message(state, args),
        "chat.update" => conversations::update(state, args),
        "chat.postEphemeral" => conversations::post_ephemeral(state, args),
        "chat.delete" => conversations::delete(state, args),
        "chat.getPermalink" => conversations::permalink(state, args),
        "conversations.history" => conversations::history(state, args),
        "conversations.replies" => conversations::replies(state, args),
        "conversations.open" => conversations::open(state, args),
        "conversations.info" => conversations::info(state, args),
        "users.info" => users_info(state, args),
        "users.lookupByEmail" => users_lookup_by_email(state, args),
        "usergroups.users.list" => usergroups_users_list(state, args),
        "files.getUploadURLExternal" => files::get_upload_url(state, args),
        "files.completeUploadExternal" => files::complete_upload(state, args),
        "views.open" => views_open(state, args),
        "apps.connections.open" => Err(Refusal::new("not_allowed_token_type")),
        _ => Err(Refusal::new("unknown_method")),
    }
}

fn auth_test(state: &State) -> Value {
    json!({
        "url": format!("{}/", state.base_url),
        "team": "NeoStock",
        "user": "neostock",
        "team_id": state.bot.team_id,
        "user_id": state.bot.user_id,
        "bot_id": state.bot.bot_id,
        "is_enterprise_install": false,
    })
}

fn users_info(state: &State, args: &Args) -> Result<Value, Refusal> {
    let id = args.required("user")?;
    user_json(state, id, args.flag("include_locale"))
        .map(|user| json!({"user": user}))
        .ok_or_else(|| Refusal::new("user_not_found"))
}

fn users_lookup_by_email(state: &State, args: &Args) -> Result<Value, Refusal> {
    let email = args.required("email")?;
    let name = email.strip_suffix("@neostock.example").unwrap_or_default();
    let person = state.options.persons.iter().find(|person| person.name == name);
    person
        .and_then(|person| user_json(state, &person.id, false))
        .map(|user| json!({"user": user}))
        .ok_or_else(|| Refusal::new("users_not_found"))
}

fn user_json(state: &State, id: &str, with_locale: bool) -> Option<Value> {
    let person = state.person(id)?;
    let team_id = person.team_id.as_ref().unwrap_or(&state.bot.team_id);
    let mut user = json!({
        "id": person.id,
        "team_id": team_id,
        "name": person.name,
        "real_name": person.real_name,
        "deleted": person.is_deactivated,
        "is_restricted": person.is_guest,
        "is_ultra_restricted": false,
        "is_stranger": person.team_id.is_some(),
        "is_bot": false,
        "is_app_user": false,
        "is_admin": false,
        "is_owner": false,
        "updated": 1_700_000_000,
        "tz": "Asia/Shanghai",
        "tz_label": "China Standard Time",
        "tz_offset": state.options.utc_offset_secs,
        "profile": {
            "real_name": person.real_name,
            "display_name": person.name,
            "email": format!("{}@neostock.example", person.name),
            "team": team_id,
        },
    });
    if with_locale {
        user["locale"] = json!(person.locale);
    }
    Some(user)
}

fn usergroups_users_list(state: &State, args: &Args) -> Result<Value, Refusal> {
    let id = args.required("usergroup")?;
    let group = state.options.groups.iter().find(|group| group.id == id);
    group
        .map(|group| json!({"users": group.members}))
        .ok_or_else(|| Refusal::new("no_such_subteam"))
}

fn views_open(state: &mut State, args: &Args) -> Result<Value, Refusal> {
    let Some(mut view) = args.0.get("view").filter(|view| view.is_object()).cloned() else {
        return Err(Refusal {
            error: "invalid_arguments".to_owned(),
            messages: vec!["[ERROR] missing required field: view".to_owned()],
        });
    };
    let found = blocks::check_view(&view);
    if let Some(error) = found.error {
        for fault in &found.refused {
            state.fault("views.open", fault);
        }
        let error = if error == "invalid_blocks" { "invalid_arguments" } else { error };
        return Err(Refusal { error: error.to_owned(), messages: found.refused });
    }
    let user = state.spend_trigger(args.required("trigger_id")?)?;
    let id = format!("V0{}", state.next_serial());
    view["id"] = json!(id);
    view["team_id"] = json!(state.bot.team_id);
    view["hash"] = json!(format!("{}.hash", state.next_serial()));
    view["state"] = json!({"values": {}});
    view["app_id"] = json!(state.bot.app_id);
    view["bot_id"] = json!(state.bot.bot_id);
    state.views.push(View { id, user, view: view.clone() });
    Ok(json!({"view": view}))
}
