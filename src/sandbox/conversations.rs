//! Posting, editing, deleting and reading messages: `chat.*`, `conversations.*` and response URLs.

use super::api::Args;
use super::message::{Message, text_of, ts_micros};
use super::state::{Refusal, State};
use serde_json::{Map, Value, json};

/// How many messages a page holds when the call does not say.
const PAGE_DEFAULT: usize = 100;
/// How many it holds at most.
const PAGE_MAX: usize = 999;
/// What a response URL understands.
const RESPONSE_KEYS: [&str; 11] = [
    "response_type",
    "replace_original",
    "delete_original",
    "text",
    "blocks",
    "attachments",
    "thread_ts",
    "metadata",
    "mrkdwn",
    "unfurl_links",
    "unfurl_media",
];

pub(super) fn post_message(state: &mut State, args: &Args) -> Result<Value, Refusal> {
    let channel = target(state, args)?;
    state.check("chat.postMessage", &args.0)?;
    if let Some(thread_ts) = args.text("thread_ts") {
        let parent = state.find(&channel, thread_ts);
        if parent.is_none_or(|parent| parent.thread_ts.as_deref().is_some_and(|it| it != thread_ts))
        {
            return Err(Refusal::new("thread_not_found"));
        }
        let said = Value::Object(args.0.clone()).to_string();
        if !args.flag("reply_broadcast") && said.contains("<!here>") {
            state.fault("chat.postMessage", "in a thread alone `<!here>` calls nobody");
        }
    }
    let message = state.compose(&channel, &args.0);
    let json = message.to_json(&state.bot, true);
    let ts = message.ts.clone();
    state.post(message);
    Ok(json!({"channel": channel, "ts": ts, "message": json}))
}

/// The room that `channel` means: a channel the bot is in, a private conversation, or a person.
fn target(state: &mut State, args: &Args) -> Result<String, Refusal> {
    let channel = args.required("channel")?;
    if let Some(room) = state.rooms.get(channel) {
        return match (room.channel.has_bot, room.channel.is_private) {
            (true, _) => Ok(channel.to_owned()),
            (false, false) => Err(Refusal::new("not_in_channel")),
            (false, true) => Err(Refusal::new("channel_not_found")),
        };
    }
    state.open_conversation(channel).ok_or_else(|| Refusal::new("channel_not_found"))
}

pub(super) fn update(state: &mut State, args: &Args) -> Result<Value, Refusal> {
    let channel = target(state, args)?;
    let ts = args.required("ts")?;
    state.check("chat.update", &args.0)?;
    let Some(message) = state.find(&channel, ts) else {
        return Err(Refusal::new("message_not_found"));
    };
    if !message.is_bot {
        return Err(Refusal::new("cant_update_message"));
    }
    let message = edit(state, message.clone(), &args.0);
    if let Some(place) = state.find_mut(&channel, ts) {
        *place = message.clone();
    }
    Ok(json!({
        "channel": channel,
        "ts": ts,
        "text": message.text,
        "message": message.to_json(&state.bot, true),
    }))
}

/// The message with what was said put in place of what it said; what was not mentioned goes, except
/// the metadata.
fn edit(state: &mut State, mut message: Message, said: &Map<String, Value>) -> Message {
    state.fill(&mut message, said);
    if let Some(metadata) = said.get("metadata").filter(|metadata| !metadata.is_null()) {
        message.metadata = Some(metadata.clone());
    }
    message.edits += 1;
    message.edited_ts = Some(state.next_ts());
    message
}

pub(super) fn post_ephemeral(state: &mut State, args: &Args) -> Result<Value, Refusal> {
    let channel = target(state, args)?;
    let user = args.required("user")?;
    if state.person(user).is_none_or(|person| person.is_deactivated) {
        return Err(Refusal::new("user_not_in_channel"));
    }
    state.check("chat.postEphemeral", &args.0)?;
    let message = Message { visible_to: Some(user.to_owned()), ..state.compose(&channel, &args.0) };
    let ts = message.ts.clone();
    state.ephemerals.push(message);
    Ok(json!({"message_ts": ts}))
}

pub(super) fn delete(state: &mut State, args: &Args) -> Result<Value, Refusal> {
    let channel = target(state, args)?;
    let ts = args.required("ts")?;
    match state.find(&channel, ts) {
        None => return Err(Refusal::new("message_not_found")),
        Some(message) if !message.is_bot => return Err(Refusal::new("cant_delete_message")),
        Some(_) => {}
    }
    if let Some(room) = state.rooms.get_mut(&channel) {
        room.messages.retain(|message| message.ts != ts);
    }
    Ok(json!({"channel": channel, "ts": ts}))
}

pub(super) fn permalink(state: &mut State, args: &Args) -> Result<Value, Refusal> {
    let channel = target(state, args)?;
    let ts = args.required("message_ts")?;
    let message = state.find(&channel, ts).ok_or_else(|| Refusal::new("message_not_found"))?;
    let thread = message.thread_ts.as_deref();
    let place = thread.map(|thread_ts| format!("?thread_ts={thread_ts}&cid={channel}"));
    let link = format!(
        "{}/archives/{channel}/p{}{}",
        state.base_url,
        ts.replace('.', ""),
        place.unwrap_or_default()
    );
    Ok(json!({"channel": channel, "permalink": link}))
}

pub(super) fn history(state: &mut State, args: &Args) -> Result<Value, Refusal> {
    let channel = readable(state, args)?;
    let first = |message: &&Message| message.thread_ts.is_none();
    let mut messages: Vec<Message> =
        state.rooms[&channel].messages.iter().filter(first).cloned().collect();
    messages.reverse();
    page(state, args, &messages)
}

pub(super) fn replies(state: &mut State, args: &Args) -> Result<Value, Refusal> {
    let channel = readable(state, args)?;
    let ts = args.required("ts")?;
    if state.find(&channel, ts).is_none() {
        return Err(Refusal::new("thread_not_found"));
    }
    let belongs = |message: &&Message| message.ts == ts || message.thread_ts.as_deref() == Some(ts);
    let messages: Vec<Message> =
        state.rooms[&channel].messages.iter().filter(belongs).cloned().collect();
    page(state, args, &messages)
}

fn readable(state: &mut State, args: &Args) -> Result<String, Refusal> {
    let channel = args.required("channel")?;
    if !state.rooms.contains_key(channel) {
        return Err(Refusal::new("channel_not_found"));
    }
    target(state, args)
}

/// The part of the messages that the call asks for; the cursor is an index.
fn page(state: &State, args: &Args, messages: &[Message]) -> Result<Value, Refusal> {
    let bound = |key: &str| match args.text(key) {
        None | Some("0") => Ok(None),
        Some(ts) => {
            ts_micros(ts).map(Some).ok_or_else(|| Refusal::new(&format!("invalid_ts_{key}")))
        }
    };
    let (oldest, latest) = (bound("oldest")?, bound("latest")?);
    let inclusive = args.flag("inclusive");
    let is_within = |message: &&Message| {
        let at = ts_micros(&message.ts).unwrap_or_default();
        let after = oldest.is_none_or(|oldest| at > oldest || (inclusive && at == oldest));
        let before = latest.is_none_or(|latest| at < latest || (inclusive && at == latest));
        after && before
    };
    let start = match args.text("cursor") {
        None => 0,
        Some(cursor) => cursor
            .strip_prefix("next:")
            .and_then(|index| index.parse().ok())
            .ok_or_else(|| Refusal::new("invalid_cursor"))?,
    };
    let limit = args.number("limit").unwrap_or(PAGE_DEFAULT).clamp(1, PAGE_MAX);
    let with_metadata = args.flag("include_all_metadata");
    let asked: Vec<&Message> = messages.iter().filter(is_within).collect();
    let shown: Vec<Value> = asked
        .iter()
        .skip(start)
        .take(limit)
        .map(|message| message_json(state, message, with_metadata))
        .collect();
    let has_more = start.saturating_add(limit) < asked.len();
    let mut body = json!({"messages": shown, "has_more": has_more});
    if has_more {
        body["response_metadata"] = json!({"next_cursor": format!("next:{}", start + limit)});
    }
    Ok(body)
}

/// A message with what its channel adds: its place at the head of a thread.
pub(super) fn message_json(state: &State, message: &Message, with_metadata: bool) -> Value {
    let mut json = message.to_json(&state.bot, with_metadata);
    let room = state.rooms.get(&message.channel);
    let replies: Vec<&Message> = room
        .iter()
        .flat_map(|room| &room.messages)
        .filter(|reply| reply.thread_ts.as_ref() == Some(&message.ts))
        .collect();
    if let Some(latest) = replies.last() {
        json["thread_ts"] = json!(message.ts);
        json["reply_count"] = json!(replies.len());
        json["latest_reply"] = json!(latest.ts);
    }
    json
}

pub(super) fn open(state: &mut State, args: &Args) -> Result<Value, Refusal> {
    let users = args.required("users")?.to_owned();
    let id = state.open_conversation(&users).ok_or_else(|| Refusal::new("user_not_found"))?;
    Ok(json!({"channel": {"id": id}}))
}

pub(super) fn info(state: &mut State, args: &Args) -> Result<Value, Refusal> {
    let id = args.required("channel")?;
    let room = state.rooms.get(id).ok_or_else(|| Refusal::new("channel_not_found"))?;
    let channel = &room.channel;
    if channel.is_private && !channel.has_bot {
        return Err(Refusal::new("channel_not_found"));
    }
    let mut json = json!({
        "id": channel.id,
        "created": 1_700_000_000,
        "is_im": room.with.is_some(),
        "is_channel": room.with.is_none(),
        "is_group": false,
        "is_private": channel.is_private,
        "is_archived": false,
        "is_member": channel.has_bot,
    });
    match &room.with {
        Some(user) => json["user"] = json!(user),
        None => json["name"] = json!(channel.name),
    }
    Ok(json!({"channel": json}))
}

/// A post to a response URL.
pub(super) fn respond(state: &mut State, path: &str, args: &Args) -> Result<(), String> {
    let (user, channel, original_ts) = state.spend_response_url(path)?;
    if let Some(key) = args.0.keys().find(|key| !RESPONSE_KEYS.contains(&key.as_str())) {
        return Err(format!("invalid additional property: {key}"));
    }
    if args.flag("delete_original") {
        let ts = original_ts.ok_or("there is no original to delete")?;
        state.ephemerals.retain(|message| message.ts != ts);
        if let Some(room) = state.rooms.get_mut(&channel) {
            room.messages.retain(|message| message.ts != ts);
        }
        return Ok(());
    }
    state.check("response_url", &args.0).map_err(|refusal| refusal.error)?;
    if args.flag("replace_original") {
        let ts = original_ts.ok_or("there is no original to replace")?;
        return replace(state, &channel, &ts, args);
    }
    say_back(state, &user, &channel, &args.0);
    Ok(())
}

fn replace(state: &mut State, channel: &str, ts: &str, args: &Args) -> Result<(), String> {
    let ephemeral = state.ephemerals.iter().position(|message| message.ts == ts);
    if let Some(at) = ephemeral {
        if args.text("response_type") == Some("in_channel") {
            return Err("an ephemeral message cannot become in_channel".to_owned());
        }
        let edited = edit(state, state.ephemerals[at].clone(), &args.0);
        state.ephemerals[at] = edited;
        return Ok(());
    }
    let message = state.find(channel, ts).cloned().ok_or("the original is gone")?;
    let edited = edit(state, message, &args.0);
    if let Some(place) = state.find_mut(channel, ts) {
        *place = edited;
    }
    Ok(())
}

/// An answer to a person, checked before: shown to them alone unless it says `in_channel`.
pub(super) fn say_back(
    state: &mut State,
    user: &str,
    channel: &str,
    said: &Map<String, Value>,
) -> Message {
    let mut message = state.compose(channel, said);
    let is_public = said.get("response_type").and_then(Value::as_str) == Some("in_channel");
    if is_public {
        state.post(message.clone());
    } else {
        message.visible_to = Some(user.to_owned());
        state.ephemerals.push(message.clone());
    }
    message
}

/// Refuses what a message that answers a slash command must not hold.
pub(super) fn check_answer(state: &mut State, said: &Map<String, Value>) -> Result<(), Refusal> {
    let unknown = said.keys().find(|key| !RESPONSE_KEYS.contains(&key.as_str()));
    let kind = said.get("response_type").map_or("ephemeral", |kind| kind.as_str().unwrap_or(""));
    if let Some(key) = unknown {
        state.fault("answer", &format!("invalid additional property: {key}"));
    }
    if !["ephemeral", "in_channel"].contains(&kind) {
        state.fault("answer", "response_type is ephemeral or in_channel");
    }
    let said_text = text_of(&Value::Object(said.clone()), "text").to_owned();
    if said_text.is_empty() && !said.contains_key("blocks") && !said.contains_key("attachments") {
        state.fault("answer", "a message that says nothing");
        return Err(Refusal::new("no_text"));
    }
    state.check("answer", said)
}
