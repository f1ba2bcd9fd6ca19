//! The bodies that the client sends and the answers it reads, with only the fields that are used.

use super::client::{Person, Ts};
use super::render::Rendered;
use crate::core::id::{ChannelId, UserId};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What our messages are marked with.
const EVENT_TYPE: &str = "neostock_notice";

/// The body of `chat.postMessage` and `chat.update`.
#[derive(Serialize)]
pub struct Message<'m> {
    channel: &'m ChannelId,
    #[serde(skip_serializing_if = "Option::is_none")]
    ts: Option<&'m Ts>,
    #[serde(skip_serializing_if = "Option::is_none")]
    thread_ts: Option<&'m Ts>,
    /// Also sent to the channel: in a thread alone `@here` calls nobody.
    #[serde(skip_serializing_if = "Option::is_none")]
    reply_broadcast: Option<bool>,
    #[serde(flatten)]
    rendered: &'m Rendered,
    metadata: Metadata<'m>,
    /// `chat.update` would look for names and channels in text by default.
    parse: &'static str,
    link_names: bool,
    unfurl_links: bool,
    unfurl_media: bool,
}

impl<'m> Message<'m> {
    pub fn new(channel: &'m ChannelId, rendered: &'m Rendered, slot_key: &'m str) -> Self {
        Self {
            channel,
            ts: None,
            thread_ts: None,
            reply_broadcast: None,
            rendered,
            metadata: Metadata { event_type: EVENT_TYPE, event_payload: Payload { key: slot_key } },
            parse: "none",
            link_names: false,
            unfurl_links: false,
            unfurl_media: false,
        }
    }

    pub fn in_thread(self, thread_ts: Option<&'m Ts>) -> Self {
        let reply_broadcast = (thread_ts.is_some() && self.rendered.calls_here()).then_some(true);
        Self { thread_ts, reply_broadcast, ..self }
    }

    pub fn replacing(self, ts: &'m Ts) -> Self {
        Self { ts: Some(ts), ..self }
    }
}

#[derive(Serialize)]
struct Metadata<'m> {
    event_type: &'static str,
    event_payload: Payload<'m>,
}

#[derive(Serialize)]
struct Payload<'m> {
    key: &'m str,
}

#[derive(Deserialize)]
pub struct RawTs {
    pub ts: Ts,
}

#[derive(Deserialize)]
pub struct RawIdentity {
    pub team_id: String,
    pub user_id: String,
    pub bot_id: Option<String>,
    pub team: Option<String>,
    pub url: Option<String>,
}

#[derive(Deserialize)]
pub struct RawPage {
    pub messages: Vec<RawMessage>,
    pub response_metadata: Option<RawCursor>,
}

#[derive(Deserialize)]
pub struct RawCursor {
    pub next_cursor: Option<String>,
}

#[derive(Deserialize)]
pub struct RawMessage {
    pub ts: Ts,
    metadata: Option<Value>,
}

impl RawMessage {
    pub fn is_ours(&self, slot_key: &str) -> bool {
        self.metadata.as_ref().is_some_and(|metadata| {
            metadata["event_type"] == EVENT_TYPE && metadata["event_payload"]["key"] == slot_key
        })
    }
}

#[derive(Deserialize)]
pub struct RawUserInfo {
    pub user: RawUser,
}

#[derive(Deserialize)]
pub struct RawUser {
    id: String,
    pub team_id: Option<String>,
    enterprise_user: Option<RawEnterpriseUser>,
    locale: Option<String>,
    is_bot: Option<bool>,
    deleted: Option<bool>,
    is_restricted: Option<bool>,
    is_ultra_restricted: Option<bool>,
    is_stranger: Option<bool>,
    name: Option<String>,
    real_name: Option<String>,
    profile: Option<RawProfile>,
}

#[derive(Deserialize)]
pub struct RawEnterpriseUser {
    teams: Option<Vec<String>>,
}

#[derive(Deserialize)]
pub struct RawProfile {
    display_name: Option<String>,
}

impl From<RawUser> for Person {
    fn from(raw: RawUser) -> Self {
        let names = [raw.profile.and_then(|profile| profile.display_name), raw.real_name, raw.name];
        Self {
            id: UserId::new(raw.id),
            team_id: raw.team_id,
            enterprise_teams: raw.enterprise_user.and_then(|user| user.teams).unwrap_or_default(),
            locale: raw.locale,
            is_bot: raw.is_bot.unwrap_or(false),
            deleted: raw.deleted.unwrap_or(false),
            is_restricted: raw.is_restricted.unwrap_or(false),
            is_ultra_restricted: raw.is_ultra_restricted.unwrap_or(false),
            is_stranger: raw.is_stranger.unwrap_or(false),
            name: names.into_iter().flatten().find(|name| !name.is_empty()).unwrap_or_default(),
        }
    }
}

#[derive(Deserialize)]
pub struct RawUpload {
    pub upload_url: String,
    pub file_id: String,
}

/// That a file is shown: an answer without this field proves nothing, whatever its status.
#[derive(Deserialize)]
pub struct RawShared {
    pub files: Vec<serde::de::IgnoredAny>,
}

/// The body of `files.completeUploadExternal`.
#[derive(Serialize)]
pub struct Completion<'f> {
    pub files: [CompletedFile<'f>; 1],
    pub channel_id: &'f str,
    pub thread_ts: &'f str,
    pub initial_comment: &'f str,
}

#[derive(Serialize)]
pub struct CompletedFile<'f> {
    pub id: &'f str,
    pub title: &'f str,
}

#[derive(Deserialize)]
pub struct RawMembers {
    pub users: Vec<UserId>,
}
