//! What went over the wire, as people may read it: decoded, in order, without what is secret.

use super::state::{ApiCall, State};
use serde_json::{Map, Value, json};

/// A larger body is remembered by its size alone.
const PAYLOAD_BYTES_MAX: usize = 64 * 1024;
/// How many exchanges are shown at once; the latest.
const SHOWN_MAX: usize = 300;
/// Whoever holds one of these can act in somebody's name.
const SECRET_KEYS: [&str; 6] =
    ["token", "authorization", "trigger_id", "response_url", "response_urls", "upload_url"];

/// One request to the bot and its answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Delivery {
    /// `slash_command`, `block_actions`, `app_mention` …; empty for what is nothing of Slack's.
    pub kind: String,
    /// Where it went, below the bot's address.
    pub path: String,
    /// What it said, decoded.
    pub payload: Value,
    /// The HTTP status; 0 when there was no answer.
    pub status: u16,
    /// The body of the answer, or why there was none.
    pub answer: String,
    /// When it was sent, by the workspace's clock.
    pub at_ms: i64,
    /// How long the answer took, in real time.
    pub took_ms: u64,
    /// Its place among everything that went over the wire, in both directions.
    pub serial: u64,
}

impl Delivery {
    /// One that was not answered yet.
    pub(super) fn of(path: &str, content_type: &str, body: &[u8], at_ms: i64) -> Self {
        let (kind, payload) = decoded(content_type, body);
        Self {
            kind,
            path: path.to_owned(),
            payload,
            status: 0,
            answer: String::new(),
            at_ms,
            took_ms: 0,
            serial: 0,
        }
    }

    fn shown(&self) -> Value {
        let answer = serde_json::from_str(&self.answer).unwrap_or_else(|_| json!(self.answer));
        json!({
            "serial": self.serial,
            "direction": "to_bot",
            "name": self.kind,
            "path": self.path,
            "status": self.status,
            "at_ms": self.at_ms,
            "took_ms": self.took_ms,
            "asked": without_secrets(&self.payload),
            "answer": without_secrets(&answer),
        })
    }
}

impl ApiCall {
    fn shown(&self) -> Value {
        json!({
            "serial": self.serial,
            "direction": "from_bot",
            "name": self.method,
            "status": self.status,
            "at_ms": self.at_ms,
            "asked": without_secrets(&Value::Object(self.args.clone())),
            "answer": without_secrets(&self.answer),
        })
    }
}

/// The latest exchanges after a place on the wire, oldest first.
pub(super) fn since(state: &State, serial: u64) -> Vec<Value> {
    let calls = state.calls.iter().rev().take_while(|call| call.serial > serial);
    let calls = calls.take(SHOWN_MAX).map(|call| (call.serial, call.shown()));
    let deliveries = state.deliveries.iter().rev().take_while(|it| it.serial > serial);
    let deliveries = deliveries.take(SHOWN_MAX).map(|it| (it.serial, it.shown()));
    let mut all: Vec<(u64, Value)> = calls.chain(deliveries).collect();
    all.sort_unstable_by_key(|(serial, _)| *serial);
    let from = all.len().saturating_sub(SHOWN_MAX);
    all.drain(from..).map(|(_, shown)| shown).collect()
}

/// What a body is called, and what it says.
fn decoded(content_type: &str, body: &[u8]) -> (String, Value) {
    let unread = (String::new(), json!({"bytes": body.len()}));
    if body.len() > PAYLOAD_BYTES_MAX {
        return unread;
    }
    if content_type.starts_with("application/x-www-form-urlencoded") {
        let pairs = form_urlencoded::parse(body).into_owned();
        let form: Map<String, Value> = pairs.map(|(key, value)| (key, json!(value))).collect();
        let payload = form.get("payload").and_then(Value::as_str);
        let payload = payload.and_then(|text| serde_json::from_str::<Value>(text).ok());
        return match payload {
            Some(payload) => (kind_of(&payload), payload),
            None => ("slash_command".to_owned(), Value::Object(form)),
        };
    }
    match serde_json::from_slice::<Value>(body) {
        Ok(body) => (kind_of(body.get("event").unwrap_or(&body)), body),
        Err(_) => unread,
    }
}

fn kind_of(payload: &Value) -> String {
    payload.get("type").and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn without_secrets(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let hidden = |key: &String, value: &Value| {
                if SECRET_KEYS.contains(&key.as_str()) {
                    json!("•••")
                } else {
                    without_secrets(value)
                }
            };
            map.iter().map(|(key, value)| (key.clone(), hidden(key, value))).collect()
        }
        Value::Array(list) => list.iter().map(without_secrets).collect(),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_read_as_what_it_is() {
        const FORM: &str = "application/x-www-form-urlencoded";
        let (kind, command) = decoded(FORM, b"command=%2Fneostock&text=help+me");
        assert_eq!((kind.as_str(), &command["text"]), ("slash_command", &json!("help me")));

        let (kind, press) = decoded(FORM, br#"payload={"type":"block_actions","actions":[]}"#);
        assert_eq!((kind.as_str(), &press["actions"]), ("block_actions", &json!([])));

        let event = br#"{"type":"event_callback","event":{"type":"app_mention"}}"#;
        assert_eq!(decoded("application/json", event).0, "app_mention");
        assert_eq!(decoded("application/json", b"{").1, json!({"bytes": 1}));
        let long = vec![b'x'; PAYLOAD_BYTES_MAX + 1];
        assert_eq!(decoded(FORM, &long).1, json!({"bytes": long.len()}));
    }

    #[test]
    fn secrets_are_hidden_at_every_depth() {
        let said =
            json!({"token": "xoxb-1", "a": [{"trigger_id": "1.2", "b": 3}], "text": "token"});

        let shown = without_secrets(&said);

        assert_eq!(
            shown,
            json!({"token": "•••", "a": [{"trigger_id": "•••", "b": 3}], "text": "token"})
        );
    }
}
