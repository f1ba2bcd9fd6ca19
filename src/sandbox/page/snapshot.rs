//! Everything that one person sees, as the page draws it, and nothing that they do not see.

use super::super::message::{Message, ts_micros, ts_text};
use super::super::state::{Room, State, Typed};
use serde_json::{Value, json};

/// The latest messages of a room that are shown, replies included.
const ROOM_MESSAGES_MAX: usize = 400;

pub(super) fn of(state: &State, user: &str, version: u64) -> Value {
    let options = &state.options;
    let persons: Vec<Value> = options
        .persons
        .iter()
        .map(|person| {
            let groups = options.groups.iter().filter(|group| group.members.contains(&person.id));
            json!({
                "id": person.id,
                "name": person.name,
                "real_name": person.real_name,
                "locale": person.locale,
                "is_guest": person.is_guest,
                "is_deactivated": person.is_deactivated,
                "groups": groups.map(|group| group.handle.as_str()).collect::<Vec<_>>(),
            })
        })
        .collect();
    let groups: Vec<Value> = options
        .groups
        .iter()
        .map(|group| json!({"id": group.id, "handle": group.handle, "members": group.members}))
        .collect();
    let open = options.channels.iter().filter_map(|channel| state.rooms.get(&channel.id));
    let private = state.rooms.values().filter(|room| room.with.as_deref() == Some(user));
    json!({
        "version": version,
        "me": user,
        "base_url": state.base_url,
        "command": options.command,
        "utc_offset_secs": options.utc_offset_secs,
        "bot": {"id": state.bot.user_id, "name": state.bot.name},
        "persons": persons,
        "groups": groups,
        "rooms": open.chain(private).map(|room| room_json(state, user, room)).collect::<Vec<_>>(),
        "guide": state.guide,
    })
}

fn room_json(state: &State, user: &str, room: &Room) -> Value {
    let id = room.channel.id.as_str();
    let private = state
        .ephemerals
        .iter()
        .filter(|message| message.channel == id && message.visible_to.as_deref() == Some(user));
    let typed = state.typed.iter().filter(|typed| typed.channel == id && typed.user == user);
    let mut shown: Vec<(i64, Value)> = room
        .messages
        .iter()
        .chain(private)
        .map(|message| (ts_micros(&message.ts).unwrap_or_default(), message_json(state, message)))
        .chain(typed.map(|typed| (typed.at_us, typed_json(typed))))
        .collect();
    shown.sort_by_key(|(at_us, _)| *at_us);
    let left_out = shown.len().saturating_sub(ROOM_MESSAGES_MAX);
    let shown: Vec<Value> = shown.drain(left_out..).map(|(_, shown)| shown).collect();
    json!({
        "id": id,
        "name": room.channel.name,
        "is_private": room.channel.is_private,
        "is_dm": room.with.is_some(),
        "left_out": left_out,
        "messages": shown,
    })
}

fn message_json(state: &State, message: &Message) -> Value {
    let files = message.files.iter().filter_map(|id| state.files.get(id));
    let files = files.map(
        |file| json!({"id": file.id, "name": file.name, "title": file.title, "bytes": file.length}),
    );
    json!({
        "kind": if message.visible_to.is_some() { "ephemeral" } else { "message" },
        "ts": message.ts,
        "thread_ts": message.thread_ts,
        "user": message.user,
        "is_bot": message.is_bot,
        "is_edited": message.is_edited(),
        "text": message.text,
        "blocks": message.blocks,
        "attachments": message.attachments,
        "files": files.collect::<Vec<_>>(),
    })
}

/// A command that this person typed: Slack shows it to nobody else.
fn typed_json(typed: &Typed) -> Value {
    json!({
        "kind": "typed",
        "ts": ts_text(typed.at_us),
        "user": typed.user,
        "text": typed.text,
        "failure": typed.failure,
    })
}
