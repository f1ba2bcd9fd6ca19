//! What Slack asks, as types: from verified bytes only.
//!
//! Lenient where Slack may grow (unknown fields, nulls, unknown kinds) and strict where a guess would
//! act on something nobody wrote (broken encoding, a field given twice). Decides nothing.

use super::form::Form;
use super::verify::Verified;
use crate::core::id::{ChannelId, UserId};
use serde::{Deserialize, Deserializer};
use std::collections::BTreeMap;
use url::Url;

/// Characters of a kind that a log or a metric may repeat.
const KIND_CHARS_MAX: usize = 64;
/// The one genuine home of a `response_url`.
const RESPONSE_HOST: &str = "hooks.slack.com";
/// The one genuine home of an address that takes a file.
const UPLOAD_HOST: &str = "files.slack.com";

/// One verified request.
#[derive(Debug, Clone, PartialEq)]
pub enum Inbound {
    /// A slash command.
    Slash(Slash),
    /// A button or another element of a message was used (`block_actions`).
    Press(Press),
    /// A modal was sent off.
    ViewSubmission(ViewSubmission),
    /// Something happened in the workspace (`event_callback`).
    Event(Event),
    /// Slack asks whether this URL is ours; the answer is the challenge.
    UrlVerification {
        /// To be returned as it is.
        challenge: String,
    },
    /// Slack probes the certificate; the answer is an empty 200.
    SslCheck,
    /// Genuine, and nothing we know; the answer is an empty 200.
    Unsupported {
        /// Its type: lower-case letters, digits and `_`, or `other`.
        kind: String,
    },
}

/// The bytes are signed and are not what the content type says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// A form with broken percent-encoding, text that is not UTF-8, too many fields, or a field that
    /// we read given twice.
    #[error("the form cannot be read")]
    Form,
    /// Not JSON, nested too deeply, or a field of another type than Slack documents.
    #[error("the JSON cannot be read")]
    Json,
    /// A field that the request is meaningless without.
    #[error("the request has no {0}")]
    Missing(&'static str),
    /// Neither a form nor JSON.
    #[error("the content type is neither a form nor JSON")]
    ContentType,
}

/// A slash command, as typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slash {
    /// The workspace.
    pub team_id: String,
    /// The organisation, in Enterprise Grid.
    pub enterprise_id: Option<String>,
    /// Where it was typed.
    pub channel_id: ChannelId,
    /// `directmessage`, `privategroup`, or the channel's name.
    pub channel_name: String,
    /// Who typed it.
    pub user_id: UserId,
    /// Their handle; never an identity.
    pub user_name: String,
    /// `/neostock`.
    pub command: String,
    /// Everything after the command.
    pub text: String,
    /// Where later answers may go; check it with [`response_url_allowed`].
    pub response_url: Option<String>,
    /// Opens a modal within 3 s; also tells one delivery from another.
    pub trigger_id: Option<String>,
    /// Which app Slack thinks we are.
    pub api_app_id: Option<String>,
    /// Installed for a whole organisation.
    pub is_enterprise_install: bool,
}

/// A press of a button, or a choice in another element.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Press {
    /// Who pressed.
    pub user: UserId,
    /// Their workspace.
    pub team_id: Option<String>,
    /// The organisation, in Enterprise Grid.
    pub enterprise_id: Option<String>,
    /// Where; absent in a modal.
    pub channel: Option<ChannelId>,
    /// The message that holds the button; absent in a modal.
    pub message_ts: Option<String>,
    /// The thread that the message stands in.
    pub thread_ts: Option<String>,
    /// Whether only the presser sees the message (it cannot be edited by `chat.update`).
    pub is_ephemeral: bool,
    /// Opens a modal within 3 s; also tells one delivery from another.
    pub trigger_id: Option<String>,
    /// Where later answers may go; check it with [`response_url_allowed`].
    pub response_url: Option<String>,
    /// Which app Slack thinks we are.
    pub api_app_id: Option<String>,
    /// What was pressed; Slack sends one.
    pub actions: Vec<Action>,
    /// What the message's inputs hold.
    pub state: State,
}

/// One element that was used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Action {
    /// Which press it is.
    pub action_id: String,
    /// The block it stands in.
    pub block_id: Option<String>,
    /// What it binds to; for a select, the chosen option.
    pub value: Option<String>,
    /// When, to the microsecond.
    pub action_ts: Option<String>,
}

/// A modal that was sent off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ViewSubmission {
    /// Who sent it.
    pub user: UserId,
    /// Their workspace.
    pub team_id: Option<String>,
    /// The organisation, in Enterprise Grid.
    pub enterprise_id: Option<String>,
    /// Tells one delivery from another.
    pub trigger_id: Option<String>,
    /// Which app Slack thinks we are.
    pub api_app_id: Option<String>,
    /// The view's id.
    pub view_id: String,
    /// Which form it is.
    pub callback_id: String,
    /// What we put into it, at most 3,000 characters.
    pub private_metadata: String,
    /// The view's version.
    pub hash: Option<String>,
    /// What the inputs hold.
    pub state: State,
}

/// Something that happened in the workspace.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// The workspace.
    pub team_id: Option<String>,
    /// The organisation, in Enterprise Grid.
    pub enterprise_id: Option<String>,
    /// Which app Slack thinks we are.
    pub api_app_id: Option<String>,
    /// Tells one delivery from another: retries carry the same.
    pub event_id: Option<String>,
    /// `app_mention`, `message`, `app_home_opened` …, or `other`.
    pub kind: String,
    /// Who did it, when one person did.
    pub user: Option<UserId>,
    /// Set when a bot wrote it: such an event is never answered.
    pub bot_id: Option<String>,
    /// `bot_message`, `message_changed` …
    pub subtype: Option<String>,
    /// Where.
    pub channel: Option<ChannelId>,
    /// What was written.
    pub text: Option<String>,
    /// The message.
    pub ts: Option<String>,
    /// The thread that the message stands in.
    pub thread_ts: Option<String>,
}

/// What inputs hold: block, then action, then every chosen value.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct State(BTreeMap<String, BTreeMap<String, Vec<String>>>);

impl State {
    /// Every value of one input; empty when it is not there or holds nothing.
    pub fn values(&self, block_id: &str, action_id: &str) -> &[String] {
        self.0.get(block_id).and_then(|block| block.get(action_id)).map_or(&[], Vec::as_slice)
    }

    /// The value of an input that holds one.
    pub fn value(&self, block_id: &str, action_id: &str) -> Option<&str> {
        self.values(block_id, action_id).first().map(String::as_str)
    }

    /// Every input: block, action, values.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str, &[String])> {
        self.0.iter().flat_map(|(block, actions)| {
            actions
                .iter()
                .map(|(action, values)| (block.as_str(), action.as_str(), values.as_slice()))
        })
    }
}

impl Slash {
    /// What tells this delivery from every other one.
    pub fn delivery_key(&self) -> Option<String> {
        self.trigger_id.as_ref().map(|id| format!("slash:{id}"))
    }
}

impl Press {
    /// What tells this delivery from every other one: the trigger id, else who, what and when.
    pub fn delivery_key(&self) -> Option<String> {
        if let Some(id) = &self.trigger_id {
            return Some(format!("press:{id}"));
        }
        let action = self.actions.first()?;
        let at = action.action_ts.as_ref()?;
        Some(format!("press:{}:{}:{at}", self.user, action.action_id))
    }
}

impl ViewSubmission {
    /// What tells this delivery from every other one: the trigger id, else the view and its version.
    pub fn delivery_key(&self) -> Option<String> {
        if let Some(id) = &self.trigger_id {
            return Some(format!("view:{id}"));
        }
        self.hash.as_ref().map(|hash| format!("view:{}:{hash}", self.view_id))
    }
}

impl Event {
    /// What tells this delivery from every other one.
    pub fn delivery_key(&self) -> Option<String> {
        self.event_id.as_ref().map(|id| format!("event:{id}"))
    }
}

impl Inbound {
    /// What tells this delivery from every other one; `None` where doing it twice is harmless, or
    /// where Slack gave nothing to tell it by (a socket's envelope id is then the caller's to use).
    pub fn delivery_key(&self) -> Option<String> {
        match self {
            Self::Slash(slash) => slash.delivery_key(),
            Self::Press(press) => press.delivery_key(),
            Self::ViewSubmission(view) => view.delivery_key(),
            Self::Event(event) => event.delivery_key(),
            Self::UrlVerification { .. } | Self::SslCheck | Self::Unsupported { .. } => None,
        }
    }
}

/// Reads one request. Without a content type, a body that starts with `{` is JSON.
///
/// # Errors
/// [`Malformed`]; nothing was done.
pub fn parse(verified: &Verified, content_type: Option<&str>) -> Result<Inbound, Malformed> {
    let body = verified.body();
    let essence = content_type
        .map(|value| value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase());
    match essence.as_deref() {
        Some("application/json") => from_json(body),
        None if body.trim_ascii_start().starts_with(b"{") => from_json(body),
        Some("application/x-www-form-urlencoded") | None => from_form(body),
        Some(_) => Err(Malformed::ContentType),
    }
}

/// Whether an answer may be sent to a `response_url`: `https://hooks.slack.com/` exactly, or a
/// configured `host[:port]`; plain http only to a configured host that is this machine.
pub fn response_url_allowed(url: &str, extra_hosts: &[String]) -> bool {
    is_at_home(url, RESPONSE_HOST, extra_hosts)
}

/// Whether a file may be sent to an address: `https://files.slack.com/` exactly, or a configured host
/// as above.
pub fn upload_url_allowed(url: &str, extra_hosts: &[String]) -> bool {
    is_at_home(url, UPLOAD_HOST, extra_hosts)
}

fn is_at_home(url: &str, home: &str, extra_hosts: &[String]) -> bool {
    let is_odd = |letter: char| letter.is_control() || letter.is_whitespace() || letter == '\\';
    if url.contains(is_odd) {
        return false;
    }
    let Ok(parsed) = Url::parse(url) else { return false };
    if !parsed.username().is_empty() || parsed.password().is_some() {
        return false;
    }
    if url.starts_with(&format!("https://{home}/")) {
        return parsed.host_str() == Some(home) && parsed.port().is_none();
    }
    extra_hosts.iter().any(|extra| is_host(&parsed, extra))
}

fn is_host(url: &Url, extra: &str) -> bool {
    let scheme_fits = match url.scheme() {
        "https" => true,
        "http" => is_loopback(url),
        _ => false,
    };
    if !scheme_fits || extra.contains(['/', '@', '?', '#', '\\']) {
        return false;
    }
    let Ok(wanted) = Url::parse(&format!("{}://{extra}/", url.scheme())) else { return false };
    wanted.host() == url.host() && wanted.port_or_known_default() == url.port_or_known_default()
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

fn from_form(body: &[u8]) -> Result<Inbound, Malformed> {
    let form = Form::read(body)?;
    if form.get("ssl_check")? == Some("1") {
        return Ok(Inbound::SslCheck);
    }
    if let Some(payload) = form.get("payload")? {
        return from_interaction(payload);
    }
    if form.get("command")?.is_some() {
        return Ok(Inbound::Slash(slash(&form)?));
    }
    Ok(Inbound::Unsupported { kind: "form".into() })
}

fn slash(form: &Form) -> Result<Slash, Malformed> {
    Ok(Slash {
        team_id: form.need("team_id")?.into(),
        enterprise_id: form.some("enterprise_id")?,
        channel_id: ChannelId::new(form.need("channel_id")?),
        channel_name: form.some("channel_name")?.unwrap_or_default(),
        user_id: UserId::new(form.need("user_id")?),
        user_name: form.some("user_name")?.unwrap_or_default(),
        command: form.need("command")?.into(),
        text: form.some("text")?.unwrap_or_default(),
        response_url: form.some("response_url")?,
        trigger_id: form.some("trigger_id")?,
        api_app_id: form.some("api_app_id")?,
        is_enterprise_install: form.get("is_enterprise_install")? == Some("true"),
    })
}

fn from_json(body: &[u8]) -> Result<Inbound, Malformed> {
    let raw: RawEnvelope = serde_json::from_slice(body).map_err(|_| Malformed::Json)?;
    match raw.kind.as_deref() {
        Some("url_verification") => {
            let challenge = raw.challenge.ok_or(Malformed::Missing("challenge"))?;
            Ok(Inbound::UrlVerification { challenge })
        }
        Some("event_callback") => {
            let event = raw.event.ok_or(Malformed::Missing("event"))?;
            // A `user` may be a whole object (`user_change`): only texts are taken.
            let text = |name: &str| event.get(name)?.as_str().map(str::to_owned);
            Ok(Inbound::Event(Event {
                kind: label(text("type").as_deref()),
                user: text("user").map(UserId::new),
                bot_id: text("bot_id"),
                subtype: text("subtype"),
                channel: text("channel").map(ChannelId::new),
                text: text("text"),
                ts: text("ts"),
                thread_ts: text("thread_ts"),
                team_id: raw.team_id,
                enterprise_id: raw.enterprise_id,
                api_app_id: raw.api_app_id,
                event_id: raw.event_id,
            }))
        }
        kind => Ok(Inbound::Unsupported { kind: label(kind) }),
    }
}

fn from_interaction(payload: &str) -> Result<Inbound, Malformed> {
    let kind: RawKind = serde_json::from_str(payload).map_err(|_| Malformed::Json)?;
    // An unknown kind may use a known field name for something else: its other fields stay unread.
    match kind.kind.as_deref() {
        Some("block_actions") => {
            let raw: RawInteraction = serde_json::from_str(payload).map_err(|_| Malformed::Json)?;
            press(raw).map(Inbound::Press)
        }
        Some("view_submission") => {
            let raw: RawInteraction = serde_json::from_str(payload).map_err(|_| Malformed::Json)?;
            submission(raw).map(Inbound::ViewSubmission)
        }
        kind => Ok(Inbound::Unsupported { kind: label(kind) }),
    }
}

fn press(raw: RawInteraction) -> Result<Press, Malformed> {
    let user = raw.user.ok_or(Malformed::Missing("user"))?;
    let container = raw.container.unwrap_or_default();
    let message = raw.message.unwrap_or_default();
    let channel = raw.channel.and_then(|channel| channel.id).or(container.channel_id);
    let actions = raw.actions.into_iter().map(action).collect::<Result<Vec<_>, _>>()?;
    if actions.is_empty() {
        return Err(Malformed::Missing("action"));
    }
    Ok(Press {
        user: UserId::new(user.id.filter(|id| !id.is_empty()).ok_or(Malformed::Missing("user"))?),
        team_id: raw.team.and_then(|team| team.id).or(user.team_id),
        enterprise_id: raw.enterprise.and_then(|enterprise| enterprise.id),
        channel: channel.map(ChannelId::new),
        message_ts: container.message_ts.or(message.ts),
        thread_ts: container.thread_ts.or(message.thread_ts),
        is_ephemeral: container.is_ephemeral.unwrap_or(false),
        trigger_id: raw.trigger_id.filter(|id| !id.is_empty()),
        response_url: raw.response_url.filter(|url| !url.is_empty()),
        api_app_id: raw.api_app_id,
        actions,
        state: state(raw.state),
    })
}

fn action(raw: RawAction) -> Result<Action, Malformed> {
    let RawAction { action_id, block_id, action_ts, input } = raw;
    Ok(Action {
        action_id: action_id.ok_or(Malformed::Missing("action_id"))?,
        block_id,
        action_ts,
        value: input.values().into_iter().next(),
    })
}

fn submission(raw: RawInteraction) -> Result<ViewSubmission, Malformed> {
    let user = raw.user.ok_or(Malformed::Missing("user"))?;
    let view = raw.view.ok_or(Malformed::Missing("view"))?;
    Ok(ViewSubmission {
        user: UserId::new(user.id.filter(|id| !id.is_empty()).ok_or(Malformed::Missing("user"))?),
        team_id: raw.team.and_then(|team| team.id).or(user.team_id),
        enterprise_id: raw.enterprise.and_then(|enterprise| enterprise.id),
        trigger_id: raw.trigger_id.filter(|id| !id.is_empty()),
        api_app_id: raw.api_app_id,
        view_id: view.id.ok_or(Malformed::Missing("view id"))?,
        callback_id: view.callback_id.unwrap_or_default(),
        private_metadata: view.private_metadata.unwrap_or_default(),
        hash: view.hash,
        state: state(view.state),
    })
}

fn state(raw: Option<RawState>) -> State {
    let blocks = raw.map(|state| state.values).unwrap_or_default();
    let values = |(action, input): (String, Option<RawInput>)| {
        (action, input.map(RawInput::values).unwrap_or_default())
    };
    State(
        blocks
            .into_iter()
            .map(|(block, actions)| {
                (block, actions.unwrap_or_default().into_iter().map(values).collect())
            })
            .collect(),
    )
}

/// A kind as a log and a metric may show it.
fn label(kind: Option<&str>) -> String {
    let is_word = |kind: &&str| {
        (1..=KIND_CHARS_MAX).contains(&kind.len())
            && kind.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
    };
    kind.filter(is_word).unwrap_or("other").to_owned()
}

fn null_is_default<'de, D, T>(from: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Ok(Option::<T>::deserialize(from)?.unwrap_or_default())
}

#[derive(Deserialize)]
struct RawEnvelope {
    #[serde(rename = "type")]
    kind: Option<String>,
    challenge: Option<String>,
    team_id: Option<String>,
    enterprise_id: Option<String>,
    api_app_id: Option<String>,
    event_id: Option<String>,
    event: Option<serde_json::Map<String, serde_json::Value>>,
}

#[derive(Deserialize)]
struct RawKind {
    #[serde(rename = "type")]
    kind: Option<String>,
}

#[derive(Deserialize)]
struct RawInteraction {
    user: Option<RawUser>,
    team: Option<RawId>,
    enterprise: Option<RawId>,
    channel: Option<RawId>,
    container: Option<RawContainer>,
    message: Option<RawMessage>,
    trigger_id: Option<String>,
    response_url: Option<String>,
    api_app_id: Option<String>,
    #[serde(default, deserialize_with = "null_is_default")]
    actions: Vec<RawAction>,
    state: Option<RawState>,
    view: Option<RawView>,
}

#[derive(Deserialize)]
struct RawId {
    id: Option<String>,
}

#[derive(Deserialize)]
struct RawUser {
    id: Option<String>,
    team_id: Option<String>,
}

#[derive(Deserialize, Default)]
struct RawContainer {
    message_ts: Option<String>,
    thread_ts: Option<String>,
    channel_id: Option<String>,
    is_ephemeral: Option<bool>,
}

#[derive(Deserialize, Default)]
struct RawMessage {
    ts: Option<String>,
    thread_ts: Option<String>,
}

#[derive(Deserialize)]
struct RawView {
    id: Option<String>,
    callback_id: Option<String>,
    private_metadata: Option<String>,
    hash: Option<String>,
    state: Option<RawState>,
}

#[derive(Deserialize)]
struct RawState {
    #[serde(default, deserialize_with = "null_is_default")]
    values: BTreeMap<String, Option<BTreeMap<String, Option<RawInput>>>>,
}

#[derive(Deserialize)]
struct RawAction {
    action_id: Option<String>,
    block_id: Option<String>,
    action_ts: Option<String>,
    #[serde(flatten)]
    input: RawInput,
}

/// What an element holds: each kind of element names it differently.
#[derive(Deserialize)]
struct RawInput {
    value: Option<String>,
    selected_option: Option<RawOption>,
    #[serde(default, deserialize_with = "null_is_default")]
    selected_options: Vec<RawOption>,
    selected_user: Option<String>,
    selected_channel: Option<String>,
    selected_conversation: Option<String>,
    selected_date: Option<String>,
    selected_time: Option<String>,
}

#[derive(Deserialize)]
struct RawOption {
    value: Option<String>,
}

impl RawInput {
    fn values(self) -> Vec<String> {
        let one = [
            self.value,
            self.selected_option.and_then(|option| option.value),
            self.selected_user,
            self.selected_channel,
            self.selected_conversation,
            self.selected_date,
            self.selected_time,
        ];
        let many = self.selected_options.into_iter().map(|option| option.value);
        one.into_iter().chain(many).flatten().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::verify;
    use super::*;
    use proptest::prelude::*;
    use secrecy::SecretString;
    use serde_json::json;

    fn verified(body: &[u8]) -> Verified {
        let secret = verify::SigningSecret::new(&SecretString::from("s")).unwrap();
        let signature = verify::sign(&secret, 1, body);
        let body = bytes::Bytes::copy_from_slice(body);
        verify::verify(&secret, Some(b"1"), Some(signature.as_bytes()), body, 1_000).unwrap()
    }

    fn form(body: &str) -> Result<Inbound, Malformed> {
        parse(&verified(body.as_bytes()), Some("application/x-www-form-urlencoded"))
    }

    fn interaction(payload: &serde_json::Value) -> Result<Inbound, Malformed> {
        let body = form_urlencoded::Serializer::new(String::new())
            .append_pair("payload", &payload.to_string())
            .finish();
        form(&body)
    }

    fn json(body: &serde_json::Value) -> Result<Inbound, Malformed> {
        parse(&verified(body.to_string().as_bytes()), Some("application/json; charset=utf-8"))
    }

    #[test]
    fn a_slash_command_is_read_with_what_slack_adds_tomorrow() {
        let read = form(
            "token=t&team_id=T1&team_domain=d&channel_id=C1&channel_name=ops&user_id=U1&user_name=ann\
             &command=%2Fneostock&text=rollback+v1.2+%E5%8E%9F%E5%9B%A0%2B1&response_url=https%3A%2F%2Fhooks.slack.com%2Fx\
             &trigger_id=1.2.3&api_app_id=A1&is_enterprise_install=false&new=1&new=2",
        )
        .unwrap();

        let Inbound::Slash(slash) = &read else { panic!("{read:?}") };
        assert_eq!(slash.text, "rollback v1.2 原因+1");
        assert_eq!(slash.command, "/neostock");
        assert_eq!(slash.user_id, UserId::new("U1"));
        assert_eq!(slash.enterprise_id, None);
        assert!(!slash.is_enterprise_install);
        assert_eq!(read.delivery_key().as_deref(), Some("slash:1.2.3"));
    }

    #[test]
    fn a_form_that_would_have_to_be_guessed_is_malformed() {
        let head = "team_id=T1&channel_id=C1&user_id=U1&command=%2Fx";
        for tail in
            ["&text=%", "&text=%4", "&text=%zz", "&text=%FF", "&user_id=U2", "&text=a&text=b"]
        {
            assert_eq!(form(&format!("{head}{tail}")), Err(Malformed::Form), "{tail}");
        }
        assert_eq!(form(&"a=1&".repeat(65)), Err(Malformed::Form));
        assert_eq!(
            form("command=%2Fx&team_id=T1&channel_id=C1"),
            Err(Malformed::Missing("user_id"))
        );
    }

    #[test]
    fn a_certificate_probe_is_told_from_a_command() {
        assert_eq!(form("ssl_check=1&token=t"), Ok(Inbound::SslCheck));
        assert_eq!(form("foo=1"), Ok(Inbound::Unsupported { kind: "form".into() }));
        assert_eq!(form(""), Ok(Inbound::Unsupported { kind: "form".into() }));
    }

    #[test]
    fn a_press_on_a_message_is_read() {
        let read = interaction(&json!({
            "type": "block_actions", "user": {"id": "U1", "username": "ann", "team_id": "T1"},
            "team": {"id": "T1", "domain": "d"}, "api_app_id": "A1", "trigger_id": "9.8",
            "container": {"type": "message", "message_ts": "1.5", "channel_id": "C1", "is_ephemeral": false},
            "channel": {"id": "C1", "name": "ops"}, "message": {"ts": "1.5", "thread_ts": "1.4", "blocks": [{"x": [1]}]},
            "response_url": "https://hooks.slack.com/actions/x",
            "state": {"values": {"b": {"a": {"type": "static_select", "selected_option": {"value": "v"}}, "n": null}}},
            "actions": [{"action_id": "approve", "block_id": "b1", "type": "button", "value": "R-1", "action_ts": "7.7",
                         "text": {"type": "plain_text", "text": "Approve"}}],
        }))
        .unwrap();

        let Inbound::Press(press) = &read else { panic!("{read:?}") };
        assert_eq!(press.channel, Some(ChannelId::new("C1")));
        assert_eq!(press.message_ts.as_deref(), Some("1.5"));
        assert_eq!(press.thread_ts.as_deref(), Some("1.4"));
        assert_eq!(press.actions[0].value.as_deref(), Some("R-1"));
        assert_eq!(press.state.value("b", "a"), Some("v"));
        assert_eq!(press.state.values("b", "n"), &[] as &[String]);
        assert_eq!(read.delivery_key().as_deref(), Some("press:9.8"));
    }

    #[test]
    fn a_press_with_nulls_and_without_a_message_is_read() {
        let read = interaction(&json!({
            "type": "block_actions", "user": {"id": "U1", "team_id": "T1"}, "team": null, "enterprise": null,
            "container": {"type": "brand_new", "message_ts": "1.5", "channel_id": "C1", "is_ephemeral": true},
            "channel": null, "state": {"values": null}, "trigger_id": null,
            "actions": [{"action_id": "a", "block_id": null, "type": "users_select", "selected_user": "U9", "action_ts": "7.7"}],
        }))
        .unwrap();

        let Inbound::Press(press) = &read else { panic!("{read:?}") };
        assert_eq!(press.team_id.as_deref(), Some("T1"));
        assert_eq!(press.channel, Some(ChannelId::new("C1")));
        assert!(press.is_ephemeral);
        assert_eq!(press.actions[0].value.as_deref(), Some("U9"));
        assert_eq!(read.delivery_key().as_deref(), Some("press:U1:a:7.7"));
    }

    #[test]
    fn a_modal_is_read() {
        let read = interaction(&json!({
            "type": "view_submission", "team": {"id": "T1"}, "user": {"id": "U1"}, "trigger_id": "3.4",
            "view": {"id": "V1", "callback_id": "run", "private_metadata": "m", "hash": "h",
                     "state": {"values": {
                        "why": {"v": {"type": "plain_text_input", "value": "p99"}},
                        "who": {"v": {"type": "multi_static_select", "selected_options": [{"value": "a"}, {"value": "b"}]}},
                        "empty": {"v": {"type": "plain_text_input", "value": null}}}}},
        }))
        .unwrap();

        let Inbound::ViewSubmission(view) = &read else { panic!("{read:?}") };
        assert_eq!(view.state.value("why", "v"), Some("p99"));
        assert_eq!(view.state.values("who", "v"), ["a", "b"]);
        assert_eq!(view.state.value("empty", "v"), None);
        assert_eq!(view.state.iter().count(), 3);
        assert_eq!(read.delivery_key().as_deref(), Some("view:3.4"));
    }

    #[test]
    fn events_are_read_and_unknown_ones_named() {
        let read = json(&json!({
            "type": "event_callback", "team_id": "T1", "event_id": "Ev1", "authorizations": [],
            "event": {"type": "app_mention", "user": "U1", "channel": "C1", "text": "hi", "ts": "1.1"},
        }))
        .unwrap();
        assert_eq!(read.delivery_key().as_deref(), Some("event:Ev1"));
        let Inbound::Event(event) = read else { panic!() };
        assert_eq!(event.kind, "app_mention");
        assert_eq!(event.user, Some(UserId::new("U1")));

        let object = json(
            &json!({"type": "event_callback", "event": {"type": "user_change", "user": {"id": "U1"}}}),
        );
        assert!(matches!(object, Ok(Inbound::Event(Event { user: None, .. }))));
        let challenge = json(&json!({"type": "url_verification", "challenge": "c", "token": "t"}));
        assert_eq!(challenge, Ok(Inbound::UrlVerification { challenge: "c".into() }));
        let odd = json(&json!({"type": "<!channel>"}));
        assert_eq!(odd, Ok(Inbound::Unsupported { kind: "other".into() }));
        let shortcut = interaction(&json!({"type": "message_action", "user": [], "message": 7}));
        assert_eq!(shortcut, Ok(Inbound::Unsupported { kind: "message_action".into() }));
    }

    #[test]
    fn deep_or_broken_json_is_malformed() {
        let deep =
            format!(r#"{{"type":"event_callback","event":{{"x":{}}}}}"#, "[".repeat(200_000));
        for body in [deep.as_bytes(), b"{", b"[]", b"", b"{\"type\":1}", b"\xff"] {
            assert_eq!(parse(&verified(body), Some("application/json")), Err(Malformed::Json));
        }
        let deep = format!(
            "payload=%7B%22type%22%3A%22block_actions%22%2C%22view%22%3A{}",
            "%5B".repeat(50_000)
        );
        assert_eq!(form(&deep), Err(Malformed::Json));
        assert_eq!(parse(&verified(b"x"), Some("text/xml")), Err(Malformed::ContentType));
    }

    #[test]
    fn only_slacks_own_host_gets_an_answer() {
        let none = [];
        assert!(response_url_allowed("https://hooks.slack.com/actions/T1/2/abc", &none));
        for url in [
            "http://hooks.slack.com/x",
            "https://hooks.slack.com.evil.test/x",
            "https://hooks.slack.com@evil.test/x",
            "https://a:b@hooks.slack.com/x",
            "https://hooks.slack.com:8443/x",
            "https://hooks.slack.com",
            "https://hooks.slack.com\\@evil.test/",
            "https://hooks.slack.com\t/x",
            "HTTPS://hooks.slack.com/x",
            "https://evil.test/https://hooks.slack.com/",
            "https://127.0.0.1/x",
            "file:///etc/passwd",
            "",
        ] {
            assert!(!response_url_allowed(url, &none), "{url}");
        }
    }

    #[test]
    fn a_configured_host_is_matched_whole_and_http_stays_on_this_machine() {
        let extra = [
            "127.0.0.1:8090".to_owned(),
            "hooks.slack-gov.com".into(),
            "[::1]:9".into(),
            "in.test:80".into(),
        ];
        assert!(response_url_allowed("http://127.0.0.1:8090/r/1", &extra));
        assert!(response_url_allowed("https://hooks.slack-gov.com/r", &extra));
        assert!(response_url_allowed("http://[::1]:9/r", &extra));
        for url in [
            "http://127.0.0.1:8091/r",
            "http://hooks.slack-gov.com/r",
            "https://hooks.slack-gov.com:444/r",
            "http://in.test:80/r",
            "http://u@127.0.0.1:8090/r",
            "ftp://127.0.0.1:8090/r",
        ] {
            assert!(!response_url_allowed(url, &extra), "{url}");
        }
        assert!(!response_url_allowed(
            "https://evil.test/",
            &["evil.test/@x".into(), String::new()]
        ));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(body: Vec<u8>) {
            for kind in [None, Some("application/json"), Some("application/x-www-form-urlencoded"), Some("?")] {
                let _ = parse(&verified(&body), kind);
            }
        }

        #[test]
        fn any_text_in_a_command_comes_through(text: String) {
            let body = form_urlencoded::Serializer::new(String::new())
                .append_pair("team_id", "T").append_pair("channel_id", "C").append_pair("user_id", "U")
                .append_pair("command", "/n").append_pair("text", &text).finish();

            let Ok(Inbound::Slash(slash)) = form(&body) else { panic!("not a command") };

            prop_assert_eq!(slash.text, text);
        }

        #[test]
        fn any_payload_is_read_without_a_panic(payload in r#"\{"type":"(block_actions|view_submission)"(,"(user|team|view|actions|state|channel)":(null|\{\}|\[\]|\[null\]|\{"id":null\}|\{"values":\{"a":null\}\}|1|"x")){0,6}\}"#) {
            let body = form_urlencoded::Serializer::new(String::new()).append_pair("payload", &payload).finish();
            let _ = form(&body);
        }

        #[test]
        fn any_response_url_is_judged_without_a_panic(url: String, host: String) {
            let _ = response_url_allowed(&url, std::slice::from_ref(&host));
            let _ = response_url_allowed(&format!("http://{host}/"), &[host]);
        }
    }
}
