//! Calls to Slack's Web API, over slack-morphism's connector.
//!
//! Owns the bot token and the judgement of what an answer means: done, refused, not yet, or unknown.
//! Never retries, waits or paces (the worker does), and never repeats a token, a header or a body in
//! an error.
//!
//! slack-morphism's own request types are not used: they cannot carry our message metadata leniently
//! and their answers fail on fields that we do not need.

use super::contact::Contact;
use super::render::{self, Form, Place, Rendered};
use super::wire::{Message, RawIdentity, RawMembers, RawPage, RawTs, RawUserInfo};
use crate::clock::Millis;
use crate::core::id::{ChannelId, UserId};
use anyhow::Context as _;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_timeout::TimeoutConnector;
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use slack_morphism::errors::SlackClientError;
use slack_morphism::prelude::{SlackApiToken, SlackApiTokenValue, SlackClientHyperConnector};
use slack_morphism::{
    ClientResult, SlackClient, SlackClientApiCallContext, SlackClientHttpConnector,
};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use url::Url;

/// Longest time to reach Slack.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// Longest silence while reading or writing.
const SILENCE_TIMEOUT: Duration = Duration::from_secs(8);
/// Longest whole call, whatever happens inside.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);
/// The wait after a 429 that does not say how long.
const RETRY_AFTER_DEFAULT_MS: u64 = 5_000;
/// The longest wait that is believed.
const RETRY_AFTER_MAX_MS: u64 = 3_600_000;
/// Messages a page when looking for one of ours.
const PAGE_SIZE: &str = "200";
/// Pages that are read when looking for one of ours.
const PAGES_MAX: usize = 10;
/// How much earlier than our first try a message may stand: two clocks differ.
const SKEW_MS: i64 = 300_000;
/// Characters of an error code; Slack's longest are about forty.
const CODE_CHARS_MAX: usize = 64;
/// The code of a search that ended before its channel did.
const SEARCH_LIMIT: &str = "search_limit";

type Connector = SlackClientHyperConnector<TimeoutConnector<HttpsConnector<HttpConnector>>>;

/// A message's time stamp, which is its id within its channel.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Ts(String);

impl Ts {
    /// Takes a time stamp that came from Slack or from our own store.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The time stamp as text, `seconds.microseconds`.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Who the token belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The workspace.
    pub team_id: String,
    /// The bot's user.
    pub user_id: UserId,
    /// The bot.
    pub bot_id: Option<String>,
    /// The workspace's name.
    pub team_name: String,
    /// The workspace's address.
    pub url: String,
}

/// A person as Slack describes them.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "Slack's own independent flags")]
pub struct Person {
    /// Their id.
    pub id: UserId,
    /// Their home workspace; another one than ours for guests from outside.
    pub team_id: Option<String>,
    /// Their workspaces within an Enterprise Grid.
    pub enterprise_teams: Vec<String>,
    /// `zh-CN`, `en-US` …
    pub locale: Option<String>,
    /// A program.
    pub is_bot: bool,
    /// Deactivated.
    pub deleted: bool,
    /// A guest.
    pub is_restricted: bool,
    /// A guest of one channel.
    pub is_ultra_restricted: bool,
    /// From another organisation, with no channel in common.
    pub is_stranger: bool,
    /// What people call them. Their own words: escape it, never trust it.
    pub name: String,
}

/// Why a call did not do what it should.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// Nothing was done; the channel, the method or the workspace has had enough for now.
    #[error("Slack asks to wait {retry_after_ms} ms")]
    RateLimited {
        /// How long.
        retry_after_ms: u64,
    },
    /// Nothing was done; try again later.
    #[error("Slack cannot be reached for now")]
    Transient,
    /// It may have been done or not: look before doing it again. (Edits may simply be repeated.)
    #[error("whether Slack did it is unknown")]
    Unknown,
    /// Slack said no, with one of its error codes.
    #[error("Slack refused: {0}")]
    Refused(String),
}

impl CallError {
    /// Whether trying again without a change by a person is pointless.
    pub fn is_permanent(&self) -> bool {
        matches!(self, Self::Refused(code) if code != SEARCH_LIMIT)
    }

    /// Whether Slack's code is this one.
    pub fn is_code(&self, code: &str) -> bool {
        matches!(self, Self::Refused(refused) if refused == code)
    }
}

/// How long a call may take.
#[derive(Debug, Clone, Copy)]
pub struct Timeouts {
    /// Until a connection stands.
    pub connect: Duration,
    /// Without a byte.
    pub silence: Duration,
    /// Altogether.
    pub call: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self { connect: CONNECT_TIMEOUT, silence: SILENCE_TIMEOUT, call: CALL_TIMEOUT }
    }
}

impl Timeouts {
    /// The same, with no call longer than this.
    #[must_use]
    pub fn at_most(self, call: Duration) -> Self {
        let Self { connect, silence, call: longest } = self;
        Self { connect: connect.min(call), silence: silence.min(call), call: longest.min(call) }
    }
}

/// A connection to one workspace. Cheap to clone; clones share their connections.
#[derive(Clone)]
pub struct Client {
    slack: Arc<SlackClient<Connector>>,
    token: Arc<SlackApiToken>,
    timeouts: Timeouts,
    contact: Contact,
}

impl fmt::Debug for Client {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Client(…)")
    }
}

/// What a lost answer means for a call.
#[derive(Clone, Copy)]
enum Deed {
    /// Reads: doing it again harms nobody.
    Read,
    /// Writes: doing it again may show it twice.
    Write,
}

impl Client {
    /// A client of the Web API at `base_url`, which is `https://slack.com/api` but for a local
    /// workspace. Plain http is spoken only when `base_url` says so.
    ///
    /// # Errors
    /// When `base_url` is not an http or https address, or the machine trusts no certificates.
    pub fn new(
        base_url: &str,
        bot_token: &SecretString,
        timeouts: Timeouts,
    ) -> anyhow::Result<Self> {
        let base_url = base_url.trim_end_matches('/');
        let base = Url::parse(base_url).context("read Slack's base URL")?;
        let connector = Connector::with_connector(connector(base.scheme(), timeouts)?)
            .with_slack_api_url(base_url);
        let token = SlackApiToken::new(SlackApiTokenValue(bot_token.expose_secret().into()));
        let slack = Arc::new(SlackClient::new(connector));
        Ok(Self { slack, token: Arc::new(token), timeouts, contact: Contact::default() })
    }

    /// Whether Slack has answered lately.
    pub fn contact(&self) -> &Contact {
        &self.contact
    }

    /// Who the token belongs to (`auth.test`).
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn auth_test(&self) -> Result<Identity, CallError> {
        let raw: RawIdentity = self.read("auth.test", &[]).await?;
        Ok(Identity {
            team_id: raw.team_id,
            user_id: UserId::new(raw.user_id),
            bot_id: raw.bot_id,
            team_name: raw.team.unwrap_or_default(),
            url: raw.url.unwrap_or_default(),
        })
    }

    /// Posts a message (`chat.postMessage`), marked with `slot_key` so that [`Client::find_by_key`]
    /// can find it.
    ///
    /// # Errors
    /// [`CallError`]; after `Unknown` the message may stand.
    pub async fn post(
        &self,
        channel: &ChannelId,
        thread_ts: Option<&Ts>,
        rendered: &Rendered,
        slot_key: &str,
    ) -> Result<Ts, CallError> {
        let body = Message::new(channel, rendered, slot_key).in_thread(thread_ts);
        let posted: RawTs = self.write("chat.postMessage", &body).await?;
        Ok(posted.ts)
    }

    /// Replaces a message (`chat.update`). Pings nobody.
    ///
    /// # Errors
    /// [`CallError`]; the same edit may always be repeated.
    pub async fn update(
        &self,
        channel: &ChannelId,
        ts: &Ts,
        rendered: &Rendered,
        slot_key: &str,
    ) -> Result<(), CallError> {
        let body = Message::new(channel, rendered, slot_key).replacing(ts);
        let RawTs { .. } = self.write("chat.update", &body).await?;
        Ok(())
    }

    /// Takes a message of ours away (`chat.delete`).
    ///
    /// # Errors
    /// [`CallError`]; it may always be repeated, and says `message_not_found` when it is gone.
    pub async fn delete(&self, channel: &ChannelId, ts: &Ts) -> Result<(), CallError> {
        let body = serde_json::json!({"channel": channel, "ts": ts});
        let RawTs { .. } = self.write("chat.delete", &body).await?;
        Ok(())
    }

    /// Opens a form for whoever made the trigger, at most 3 s ago (`views.open`).
    ///
    /// # Errors
    /// [`CallError`]; after `Unknown` the form may be open.
    pub async fn open_form(&self, trigger_id: &str, form: &Form) -> Result<(), CallError> {
        let body = serde_json::json!({"trigger_id": trigger_id, "view": render::form(form)});
        let Value::Object(_) = self.write::<_, Value>("views.open", &body).await? else {
            return Err(lost(Deed::Write));
        };
        Ok(())
    }

    /// Looks for a message of ours by the key it was posted with, among those not older than
    /// `since_ms` (when it was first tried; five minutes of clock difference are allowed for).
    ///
    /// # Errors
    /// [`CallError`]. After 2,000 messages `Refused("search_limit")`, which is not permanent: neither
    /// "it stands" nor "it does not" would be true.
    pub async fn find_by_key(
        &self,
        channel: &ChannelId,
        thread_ts: Option<&Ts>,
        slot_key: &str,
        since_ms: Millis,
    ) -> Result<Option<Ts>, CallError> {
        self.find(channel, thread_ts, slot_key, since_ms, None).await
    }

    /// The same among the channel's messages that are older than `before`.
    ///
    /// # Errors
    /// As [`Client::find_by_key`].
    pub async fn find_before(
        &self,
        channel: &ChannelId,
        before: &Ts,
        slot_key: &str,
        since_ms: Millis,
    ) -> Result<Option<Ts>, CallError> {
        self.find(channel, None, slot_key, since_ms, Some(before)).await
    }

    async fn find(
        &self,
        channel: &ChannelId,
        thread_ts: Option<&Ts>,
        slot_key: &str,
        since_ms: Millis,
        before: Option<&Ts>,
    ) -> Result<Option<Ts>, CallError> {
        let method =
            if thread_ts.is_some() { "conversations.replies" } else { "conversations.history" };
        let oldest_ms = since_ms.saturating_sub(SKEW_MS).max(0);
        let oldest = format!("{}.{:03}000", oldest_ms / 1_000, oldest_ms % 1_000);
        let mut cursor = None;
        for _ in 0..PAGES_MAX {
            let params = [
                ("channel", Some(channel.as_str())),
                ("ts", thread_ts.map(Ts::as_str)),
                ("oldest", Some(oldest.as_str())),
                ("latest", before.map(Ts::as_str)),
                // Slack takes both bounds in or leaves both out; `before` itself is not looked for.
                ("inclusive", before.is_none().then_some("true")),
                ("include_all_metadata", Some("true")),
                ("limit", Some(PAGE_SIZE)),
                ("cursor", cursor.as_deref()),
            ];
            let page: RawPage = self.read(method, &params).await?;
            if let Some(found) = page.messages.into_iter().find(|message| message.is_ours(slot_key))
            {
                return Ok(Some(found.ts));
            }
            cursor = page.response_metadata.and_then(|next| next.next_cursor);
            if cursor.as_deref().is_none_or(str::is_empty) {
                return Ok(None);
            }
        }
        Err(CallError::Refused(SEARCH_LIMIT.into()))
    }

    /// A person (`users.info`).
    ///
    /// # Errors
    /// [`CallError`]; `Refused("user_not_found")` for a stranger.
    pub async fn user_info(&self, user: &UserId) -> Result<Person, CallError> {
        let params = [("user", Some(user.as_str())), ("include_locale", Some("true"))];
        let raw: RawUserInfo = self.read("users.info", &params).await?;
        Ok(raw.user.into())
    }

    /// The members of a user group (`usergroups.users.list`).
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn group_members(&self, group: &str) -> Result<Vec<UserId>, CallError> {
        let raw: RawMembers =
            self.read("usergroups.users.list", &[("usergroup", Some(group))]).await?;
        Ok(raw.users)
    }

    /// Answers through a `response_url` whose host the caller has checked
    /// ([`super::inbound::response_url_allowed`]). Sends no token and follows no redirect.
    ///
    /// # Errors
    /// [`CallError`]; `Refused("http_404")` when it was used up or has expired.
    pub async fn respond(
        &self,
        response_url: &str,
        rendered: &Rendered,
        place: Place,
    ) -> Result<(), CallError> {
        let Ok(url) = Url::parse(response_url) else {
            return Err(CallError::Refused("bad_response_url".into()));
        };
        let body = rendered.answer(place);
        let span = tracing::Span::none();
        let context = SlackClientApiCallContext {
            rate_control_params: None,
            token: None,
            tracing_span: &span,
            // The address is a secret: whoever knows it can write into the channel.
            is_sensitive_url: true,
        };
        let call = self.slack.http_api.connector.http_post_uri::<_, Value>(url, &body, context);
        // Slack answers with the text `ok`: the connector turns that into an empty object, or into an
        // error when no content type says that it is not JSON.
        let call = async {
            match call.await {
                Err(SlackClientError::ProtocolError(error))
                    if error.json_body.as_deref().map(str::trim) == Some("ok") =>
                {
                    Ok(Value::Null)
                }
                answered => answered,
            }
        };
        self.within(Deed::Write, call).await.map(|_| ())
    }

    pub(super) async fn read<A: for<'de> Deserialize<'de>>(
        &self,
        method: &str,
        params: &[(&str, Option<&str>)],
    ) -> Result<A, CallError> {
        let session = self.slack.open_session(&self.token);
        let params = params.to_vec();
        let call = session.http_session_api.http_get::<Value, _, _>(method, &params, None);
        let answered = self.within(Deed::Read, call).await;
        let outcome = answered.and_then(|answered| answer(answered, Deed::Read));
        self.contact.note(&outcome);
        outcome
    }

    pub(super) async fn write<Q: Serialize + Send + Sync, A: for<'de> Deserialize<'de>>(
        &self,
        method: &str,
        body: &Q,
    ) -> Result<A, CallError> {
        let session = self.slack.open_session(&self.token);
        let call = session.http_session_api.http_post::<Q, Value>(method, body, None);
        let answered = self.within(Deed::Write, call).await;
        let outcome = answered.and_then(|answered| answer(answered, Deed::Write));
        self.contact.note(&outcome);
        outcome
    }

    async fn within(
        &self,
        deed: Deed,
        call: impl Future<Output = ClientResult<Value>>,
    ) -> Result<Value, CallError> {
        match tokio::time::timeout(self.timeouts.call, call).await {
            Ok(answered) => answered.map_err(|error| judged(&error, deed)),
            Err(_) => Err(lost(deed)),
        }
    }
}

fn connector(
    scheme: &str,
    timeouts: Timeouts,
) -> anyhow::Result<TimeoutConnector<HttpsConnector<HttpConnector>>> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let https = match scheme {
        "https" => HttpsConnectorBuilder::new()
            .with_provider_and_native_roots(provider)
            .context("load the certificates that this machine trusts")?
            .https_only()
            .enable_http1()
            .build(),
        "http" => {
            let mut http = HttpConnector::new();
            http.enforce_http(false);
            // A local workspace needs no certificates, and a small container has none.
            let tls = rustls::ClientConfig::builder_with_provider(provider)
                .with_safe_default_protocol_versions()
                .context("set up TLS")?
                .with_root_certificates(rustls::RootCertStore::empty())
                .with_no_client_auth();
            HttpsConnectorBuilder::new()
                .with_tls_config(tls)
                .https_or_http()
                .enable_http1()
                .wrap_connector(http)
        }
        _ => anyhow::bail!("Slack's base URL must start with https:// or http://"),
    };
    let mut connector = TimeoutConnector::new(https);
    connector.set_connect_timeout(Some(timeouts.connect));
    connector.set_read_timeout(Some(timeouts.silence));
    connector.set_write_timeout(Some(timeouts.silence));
    // Else the time a kept connection was idle counts as silence of the next answer.
    connector.set_reset_reader_on_write(true);
    Ok(connector)
}

/// Takes what is needed out of an answer. The connector turns a 200 that is not JSON into an empty
/// object, so nothing counts as success before `ok` and the needed fields are there.
fn answer<A: for<'de> Deserialize<'de>>(answered: Value, deed: Deed) -> Result<A, CallError> {
    if answered.get("ok") != Some(&Value::Bool(true)) {
        return Err(lost(deed));
    }
    serde_json::from_value(answered).map_err(|_| lost(deed))
}

/// The answer is lost or unreadable.
fn lost(deed: Deed) -> CallError {
    match deed {
        Deed::Read => CallError::Transient,
        Deed::Write => CallError::Unknown,
    }
}

fn judged(error: &SlackClientError, deed: Deed) -> CallError {
    match error {
        SlackClientError::RateLimitError(limit) => rate_limited(limit.retry_after),
        SlackClientError::ApiError(refused) => match refused.code.as_str() {
            "ratelimited" | "rate_limited" => rate_limited(None),
            "service_unavailable" => CallError::Transient,
            // Slack's documentation of both: "some aspect of the operation" may have succeeded.
            "internal_error" | "fatal_error" => lost(deed),
            code => CallError::Refused(code_shown(code)),
        },
        SlackClientError::HttpError(http) => match http.status_code.as_u16() {
            408 | 425 | 503 => CallError::Transient,
            // Whoever answered for Slack does not know what happened behind it.
            500.. => lost(deed),
            status => CallError::Refused(format!("http_{status}")),
        },
        SlackClientError::HttpProtocolError(protocol) => {
            let cause = protocol.cause.as_deref();
            let unsent = cause.is_some_and(|cause| {
                cause.downcast_ref::<legacy::Error>().is_some_and(legacy::Error::is_connect)
            });
            if unsent { CallError::Transient } else { lost(deed) }
        }
        _ => lost(deed),
    }
}

fn rate_limited(retry_after: Option<Duration>) -> CallError {
    let asked = retry_after.map_or(RETRY_AFTER_DEFAULT_MS, |wait| {
        u64::try_from(wait.as_millis()).unwrap_or(RETRY_AFTER_MAX_MS)
    });
    CallError::RateLimited { retry_after_ms: asked.clamp(1_000, RETRY_AFTER_MAX_MS) }
}

/// A code as a log may show it.
fn code_shown(code: &str) -> String {
    let is_code = (1..=CODE_CHARS_MAX).contains(&code.len())
        && code.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
    if is_code { code.into() } else { "unlisted_code".into() }
}

#[cfg(test)]
mod tests {
    use super::super::fake::{Fake, Reply};
    use super::*;
    use crate::core::card::{Card, Part, Span};
    use crate::slack::render::render;
    use serde_json::json;

    const FAST: Timeouts = Timeouts {
        connect: Duration::from_secs(2),
        silence: Duration::from_secs(2),
        call: Duration::from_millis(300),
    };

    async fn fake(replies: Vec<Reply>) -> (Fake, Client) {
        let fake = Fake::start(replies).await;
        let client =
            Client::new(&fake.base_url(), &SecretString::from("xoxb-secret"), FAST).unwrap();
        (fake, client)
    }

    fn ok(body: &Value) -> Reply {
        let mut body = body.clone();
        body["ok"] = json!(true);
        Reply::json(200, &body)
    }

    fn card() -> Rendered {
        render(&Card::plain("hi"))
    }

    fn channel() -> ChannelId {
        ChannelId::new("C1")
    }

    async fn post(replies: Vec<Reply>) -> Result<Ts, CallError> {
        let (_fake, client) = fake(replies).await;
        client.post(&channel(), None, &card(), "k").await
    }

    #[tokio::test]
    async fn a_post_carries_its_key_and_no_unfurling() {
        let (fake, client) = fake(vec![ok(&json!({"ts": "1.2", "channel": "C1"}))]).await;

        let ts = client.post(&channel(), Some(&Ts::new("1.1")), &card(), "R-1/card").await.unwrap();

        assert_eq!(ts.as_str(), "1.2");
        let request = fake.requests().remove(0);
        assert!(request.head.starts_with("POST /api/chat.postMessage "));
        assert!(request.head.contains("authorization: Bearer xoxb-secret"));
        let body: Value = serde_json::from_str(&request.body).unwrap();
        assert_eq!(body["thread_ts"], "1.1");
        assert_eq!(body["text"], "hi");
        assert_eq!(body["blocks"][0]["type"], "section");
        assert_eq!(body["unfurl_links"], false);
        let metadata =
            json!({"event_type": "neostock_notice", "event_payload": {"key": "R-1/card"}});
        assert_eq!(body["metadata"], metadata);
        assert_eq!(body.get("ts"), None);
    }

    #[tokio::test]
    async fn a_reply_that_calls_whoever_is_active_is_sent_to_the_channel_too() {
        let said = |span| {
            let parts = vec![Part::Paragraph(vec![span])];
            render(&Card { parts, ..Card::plain("hi") })
        };
        let thread = Ts::new("1.1");
        for (span, thread_ts, expected) in [
            (Span::Here, Some(&thread), json!(true)),
            (Span::Here, None, Value::Null),
            (Span::Text("<!here>".into()), Some(&thread), Value::Null),
            (Span::User(UserId::new("U1")), Some(&thread), Value::Null),
        ] {
            let (fake, client) = fake(vec![ok(&json!({"ts": "1.2", "channel": "C1"}))]).await;

            client.post(&channel(), thread_ts, &said(span.clone()), "k").await.unwrap();

            let body: Value = serde_json::from_str(&fake.requests().remove(0).body).unwrap();
            assert_eq!(body["reply_broadcast"], expected, "{span:?} {thread_ts:?}");
        }
    }

    #[tokio::test]
    async fn an_edit_names_its_message() {
        let (fake, client) = fake(vec![ok(&json!({"ts": "1.2"}))]).await;

        client.update(&channel(), &Ts::new("1.2"), &card(), "k").await.unwrap();

        let request = fake.requests().remove(0);
        let body: Value = serde_json::from_str(&request.body).unwrap();
        assert!(request.head.starts_with("POST /api/chat.update "));
        assert_eq!((&body["ts"], &body["parse"]), (&json!("1.2"), &json!("none")));
    }

    #[tokio::test]
    async fn a_rate_limit_says_how_long() {
        let refused =
            |headers: &'static str| Reply::Http { status: 429, headers, body: "{}".into() };
        let wait = |ms| Err(CallError::RateLimited { retry_after_ms: ms });

        assert_eq!(
            post(vec![refused("retry-after: 7\r\ncontent-type: text/plain\r\n")]).await,
            wait(7_000)
        );
        assert_eq!(post(vec![refused("content-type: text/plain\r\n")]).await, wait(5_000));
        assert_eq!(
            post(vec![refused("retry-after: 0\r\ncontent-type: text/plain\r\n")]).await,
            wait(1_000)
        );
        assert_eq!(
            post(vec![refused("retry-after: 99999999999\r\ncontent-type: text/plain\r\n")]).await,
            wait(3_600_000)
        );
        let body = json!({"ok": false, "error": "ratelimited"});
        assert_eq!(post(vec![Reply::json(200, &body)]).await, wait(5_000));
    }

    #[tokio::test]
    async fn a_refusal_keeps_only_its_code() {
        for (code, shown) in
            [("channel_not_found", "channel_not_found"), ("<!channel> xoxb-1", "unlisted_code")]
        {
            let refused = post(vec![Reply::json(200, &json!({"ok": false, "error": code}))])
                .await
                .unwrap_err();

            assert_eq!(refused, CallError::Refused(shown.into()));
            assert!(refused.is_permanent());
            assert_eq!(refused.to_string(), format!("Slack refused: {shown}"));
        }
    }

    #[tokio::test]
    async fn what_may_have_been_posted_is_unknown() {
        let error = |status| Reply::json(status, &json!({"ok": false}));
        for reply in [
            Reply::Hang,
            Reply::Drop,
            Reply::json(200, &json!({"ok": true})),
            Reply::json(200, &json!({"ok": false})),
            Reply::json(200, &json!({})),
            Reply::json(200, &json!({"ok": false, "error": "internal_error"})),
            Reply::Http {
                status: 200,
                headers: "content-type: text/html\r\n",
                body: "<html>".into(),
            },
            Reply::Http {
                status: 200,
                headers: "content-type: application/json\r\n",
                body: "{".into(),
            },
            error(500),
            error(502),
            error(504),
        ] {
            assert_eq!(post(vec![reply.clone()]).await, Err(CallError::Unknown), "{reply:?}");
        }
    }

    #[tokio::test]
    async fn what_cannot_have_been_posted_is_transient() {
        assert_eq!(post(vec![Reply::json(503, &json!({}))]).await, Err(CallError::Transient));
        let (fake, client) = fake(vec![]).await;
        fake.stop();

        let unreachable = client.post(&channel(), None, &card(), "k").await;

        assert_eq!(unreachable, Err(CallError::Transient));
    }

    #[tokio::test]
    async fn a_read_that_is_lost_is_transient() {
        for reply in [
            Reply::Hang,
            Reply::Drop,
            Reply::json(500, &json!({})),
            Reply::json(200, &json!({"ok": true})),
        ] {
            let (_fake, client) = fake(vec![reply.clone()]).await;
            assert_eq!(
                client.user_info(&UserId::new("U1")).await,
                Err(CallError::Transient),
                "{reply:?}"
            );
        }
    }

    #[tokio::test]
    async fn a_message_is_found_by_its_key_on_a_later_page() {
        let message = |ts: &str, key: &str| json!({"ts": ts, "metadata": {"event_type": "neostock_notice", "event_payload": {"key": key}}});
        let (fake, client) = fake(vec![
            ok(&json!({"messages": [{"ts": "9.1"}, message("9.2", "other")], "response_metadata": {"next_cursor": "c=="}})),
            ok(&json!({"messages": [message("9.3", "k")]})),
        ])
        .await;

        let found = client.find_by_key(&channel(), None, "k", 1_700_000_300_001).await.unwrap();

        assert_eq!(found, Some(Ts::new("9.3")));
        let requests = fake.requests();
        assert!(
            requests[0]
                .head
                .contains("/api/conversations.history?channel=C1&oldest=1700000000.001000&")
        );
        assert!(requests[0].head.contains("include_all_metadata=true"));
        assert!(requests[1].head.contains("cursor=c%3D%3D"));
    }

    #[tokio::test]
    async fn a_search_ends_and_does_not_lie() {
        let page = ok(&json!({"messages": [], "response_metadata": {"next_cursor": "n"}}));
        let (fake, client) = fake(vec![page; 12]).await;
        let thread = Ts::new("1.1");

        let found = client.find_by_key(&channel(), Some(&thread), "k", 0).await.unwrap_err();

        assert!(found.is_code("search_limit") && !found.is_permanent());
        assert_eq!(fake.requests().len(), PAGES_MAX);
        assert!(
            fake.requests()[0]
                .head
                .contains("conversations.replies?channel=C1&ts=1.1&oldest=0.000000&")
        );

        let (_fake, client) =
            self::fake(vec![ok(&json!({"messages": [{"ts": "1.1", "metadata": null}]}))]).await;
        assert_eq!(client.find_by_key(&channel(), None, "k", 0).await, Ok(None));
    }

    #[tokio::test]
    async fn the_bot_and_people_are_read_leniently() {
        let (_fake, client) = fake(vec![
            ok(&json!({"team_id": "T1", "user_id": "UBOT", "bot_id": "B1", "team": "NeoStock", "url": "https://n.slack.com/"})),
            ok(&json!({"user": {"id": "U1", "team_id": "T1", "locale": "zh-CN", "name": "ann", "real_name": "Ann",
                "profile": {"display_name": ""}, "is_restricted": true, "new": 1}})),
            ok(&json!({"users": ["U1", "U2"]})),
        ])
        .await;

        assert_eq!(client.auth_test().await.unwrap().user_id, UserId::new("UBOT"));
        let person = client.user_info(&UserId::new("U1")).await.unwrap();
        assert_eq!(
            (person.name.as_str(), person.is_restricted, person.is_bot),
            ("Ann", true, false)
        );
        assert_eq!(client.group_members("S1").await.unwrap().len(), 2);
    }

    #[tokio::test]
    async fn an_answer_through_a_response_url_carries_no_token_and_follows_nothing() {
        let text = |status, headers| Reply::Http { status, headers, body: "ok".into() };
        let (fake, client) = fake(vec![
            text(200, "content-type: text/plain\r\n"),
            text(200, ""),
            text(302, "location: http://127.0.0.1:1/\r\n"),
            text(404, "content-type: text/plain\r\n"),
        ])
        .await;
        let url = format!("{}/respond/1", fake.base_url());

        assert_eq!(client.respond(&url, &card(), Place::Original).await, Ok(()));
        assert_eq!(client.respond(&url, &card(), Place::Original).await, Ok(()));
        assert!(
            client.respond(&url, &card(), Place::Private).await.unwrap_err().is_code("http_302")
        );
        assert!(
            client.respond(&url, &card(), Place::Private).await.unwrap_err().is_code("http_404")
        );
        assert!(
            client.respond("nonsense", &card(), Place::Private).await.unwrap_err().is_permanent()
        );

        let request = fake.requests().remove(0);
        assert!(!request.head.contains("authorization"));
        assert_eq!(serde_json::from_str::<Value>(&request.body).unwrap()["replace_original"], true);
    }

    #[tokio::test]
    async fn the_time_a_kept_connection_is_idle_is_no_silence() {
        let ok = ok(&json!({"users": []})).kept_alive();
        let fake =
            Fake::start(vec![ok.clone(), Reply::After(Duration::from_millis(500), ok.into())])
                .await;
        let timeouts = Timeouts { silence: Duration::from_millis(700), ..Timeouts::default() };
        let token = SecretString::from("xoxb-secret");
        let client = Client::new(&fake.base_url(), &token, timeouts).unwrap();

        client.group_members("S1").await.unwrap();
        crate::clock::Clock::System.sleep_ms(500).await;
        client.group_members("S1").await.unwrap();

        assert_eq!(fake.connections(), 1);
    }

    #[test]
    fn a_base_url_is_http_or_https_and_a_token_is_never_shown() {
        let token = SecretString::from("xoxb-secret");
        for base in ["", "slack.com/api", "ftp://slack.com"] {
            assert!(Client::new(base, &token, FAST).is_err(), "{base}");
        }
        let client = Client::new("http://127.0.0.1:1/api/", &token, FAST).unwrap();
        assert_eq!(format!("{client:?}"), "Client(…)");
    }
}
