//! One message as it stands now.

use serde_json::{Map, Value, json};

/// A message that somebody sees, or saw.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    /// Where it is.
    pub channel: String,
    /// Its identity within the channel: seconds, a dot, six digits.
    pub ts: String,
    /// The first message of the thread it belongs to, when it is a reply.
    pub thread_ts: Option<String>,
    /// Who wrote it: a person's or the bot's user id.
    pub user: String,
    /// Whether the bot wrote it.
    pub is_bot: bool,
    /// The top-level text: what notifications show, and the message itself when there are no blocks.
    pub text: String,
    /// Its blocks, each with a `block_id`.
    pub blocks: Vec<Value>,
    /// Its attachments, whose blocks have a `block_id` too.
    pub attachments: Vec<Value>,
    /// `{event_type, event_payload}`, which people do not see.
    pub metadata: Option<Value>,
    /// Ids of files shared with it.
    pub files: Vec<String>,
    /// How often it was edited.
    pub edits: u32,
    /// When it was edited last.
    pub edited_ts: Option<String>,
    /// The only person who sees it, when it is ephemeral.
    pub visible_to: Option<String>,
}

/// A button that stands on a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Button {
    /// What it says.
    pub label: String,
    /// Its `action_id`.
    pub action_id: String,
    /// The block it is in.
    pub block_id: String,
    /// Its `value`, empty when it has none.
    pub value: String,
    /// `primary`, `danger` or empty.
    pub style: String,
    /// The element as the bot sent it.
    pub element: Value,
}

impl Message {
    /// Whether it was edited.
    pub fn is_edited(&self) -> bool {
        self.edits > 0
    }

    /// Every block in the order in which people see them: its own, then those of attachments.
    pub fn all_blocks(&self) -> impl Iterator<Item = &Value> {
        let attached = self
            .attachments
            .iter()
            .filter_map(|attachment| attachment.get("blocks").and_then(Value::as_array));
        self.blocks.iter().chain(attached.flatten())
    }

    /// Its buttons, from top to bottom.
    pub fn buttons(&self) -> Vec<Button> {
        let mut buttons = Vec::new();
        for block in self.all_blocks() {
            let elements = block.get("elements").and_then(Value::as_array);
            let candidates = elements.into_iter().flatten().chain(block.get("accessory"));
            buttons.extend(
                candidates
                    .filter(|element| text_of(element, "type") == "button")
                    .map(|element| Button::of(element, text_of(block, "block_id"))),
            );
        }
        buttons
    }

    /// The message as the Web API and interactivity payloads show it.
    pub(super) fn to_json(&self, bot: &Bot, with_metadata: bool) -> Value {
        let mut json = Map::new();
        json.insert("type".to_owned(), json!("message"));
        json.insert("user".to_owned(), json!(self.user));
        json.insert("ts".to_owned(), json!(self.ts));
        json.insert("text".to_owned(), json!(self.text));
        json.insert("team".to_owned(), json!(bot.team_id));
        if self.is_bot {
            json.insert("bot_id".to_owned(), json!(bot.bot_id));
            json.insert("app_id".to_owned(), json!(bot.app_id));
        }
        if let Some(thread_ts) = &self.thread_ts {
            json.insert("thread_ts".to_owned(), json!(thread_ts));
        }
        if !self.blocks.is_empty() {
            json.insert("blocks".to_owned(), json!(self.blocks));
        }
        if !self.attachments.is_empty() {
            json.insert("attachments".to_owned(), json!(self.attachments));
        }
        if let Some(ts) = &self.edited_ts {
            json.insert("edited".to_owned(), json!({"user": bot.user_id, "ts": ts}));
        }
        if let Some(metadata) = self.metadata.as_ref().filter(|_| with_metadata) {
            json.insert("metadata".to_owned(), metadata.clone());
        }
        Value::Object(json)
    }
}

impl Button {
    fn of(element: &Value, block_id: &str) -> Self {
        let label = element.get("text").map_or("", |text| text_of(text, "text"));
        Self {
            label: label.to_owned(),
            action_id: text_of(element, "action_id").to_owned(),
            block_id: block_id.to_owned(),
            value: text_of(element, "value").to_owned(),
            style: text_of(element, "style").to_owned(),
            element: element.clone(),
        }
    }
}

/// How the bot appears in the workspace.
#[derive(Debug, Clone)]
pub(super) struct Bot {
    pub(super) team_id: String,
    pub(super) user_id: String,
    pub(super) bot_id: String,
    pub(super) app_id: String,
    pub(super) name: String,
}

/// A string property, or nothing.
pub(super) fn text_of<'v>(value: &'v Value, key: &str) -> &'v str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

/// A message timestamp as microseconds.
pub(super) fn ts_micros(ts: &str) -> Option<i64> {
    let (secs, fraction) = ts.split_once('.').unwrap_or((ts, ""));
    let secs: i64 = secs.parse().ok()?;
    if fraction.len() > 6 || !fraction.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let micros: i64 = format!("{fraction:0<6}").parse().ok()?;
    secs.checked_mul(1_000_000)?.checked_add(micros)
}

/// Microseconds as a message timestamp.
pub(super) fn ts_text(micros: i64) -> String {
    format!("{}.{:06}", micros.div_euclid(1_000_000), micros.rem_euclid(1_000_000))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timestamp_survives_the_way_there_and_back() {
        assert_eq!(ts_text(1_700_000_000_000_100), "1700000000.000100");
        assert_eq!(ts_micros("1700000000.000100"), Some(1_700_000_000_000_100));
        assert_eq!(ts_micros("1700000000"), Some(1_700_000_000_000_000));
        assert_eq!(ts_micros("1700000000.1"), Some(1_700_000_000_100_000));
        assert_eq!(ts_micros("soon"), None);
        assert_eq!(ts_micros("1.0000001"), None);
    }
}
