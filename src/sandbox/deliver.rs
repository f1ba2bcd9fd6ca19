//! What persons do, delivered to the bot as Slack delivers it: signed, escaped, with three seconds
//! to answer, and events again when the answer is not an agreement.

use super::conversations::{check_answer, message_json, say_back};
use super::message::{Button, Message, ts_text};
use super::mrkdwn;
use super::state::{State, Typed};
use super::traffic::Delivery;
use super::workspace::Workspace;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Map, Value, json};
use sha2::Sha256;
use std::time::Duration;

/// Where everything is delivered, below the bot's base URL.
const PATH: &str = "/slack/events";
const FORM: &str = "application/x-www-form-urlencoded";
const JSON: &str = "application/json";
/// How often an event is delivered again. Slack waits 0, 1 and 5 minutes between; here nobody does.
const RETRIES_MAX: u32 = 3;
/// The legacy verification token; the bot must not rely on it.
const LEGACY_TOKEN: &str = "legacy-token-do-not-use";

/// What came of a delivery.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// The bot answered in time.
    Given {
        /// The HTTP status.
        status: u16,
        /// The body as it came.
        body: String,
        /// The message that people see because of it.
        message: Option<Box<Message>>,
    },
    /// Three seconds passed; the person reads `operation_timeout`.
    TimedOut,
    /// The bot could not be reached, or broke the connection.
    Unreachable(String),
    /// The person cannot press this: it is not on the message, or there is no such message.
    NoSuchButton,
}

impl Answer {
    /// The HTTP status; 0 when there was no answer.
    pub fn status(&self) -> u16 {
        match self {
            Self::Given { status, .. } => *status,
            _ => 0,
        }
    }

    /// The body; empty when there was no answer.
    pub fn body(&self) -> &str {
        match self {
            Self::Given { body, .. } => body,
            _ => "",
        }
    }

    /// The message that people see because of it.
    pub fn message(&self) -> Option<&Message> {
        match self {
            Self::Given { message, .. } => message.as_deref(),
            _ => None,
        }
    }

    /// Whether the bot agreed: a status of 2xx in time.
    pub fn is_ok(&self) -> bool {
        (200..300).contains(&self.status())
    }
}

impl Workspace {
    /// A person types `/neostock <text>` in a channel. The answer, if it is a message, is shown to
    /// them, or to all when it says `in_channel`.
    pub async fn say(&self, user: &str, channel: &str, text: &str) -> Answer {
        let (form, response_path, at_us) = self.0.change(|state| {
            let at_us = state.next_us();
            let typed = Typed {
                user: user.to_owned(),
                channel: channel.to_owned(),
                text: text.to_owned(),
                at_us,
                failure: None,
            };
            state.typed.push(typed);
            let (form, response_path) = slash_form(state, user, channel, text);
            (form, response_path, at_us)
        });
        let answer = self.deliver_signed(FORM, &form, &[]).await;
        self.0.change(|state| match answer {
            Answer::Given { status, body, .. } => {
                let message = if (200..300).contains(&status) {
                    answered(state, user, channel, &body)
                } else {
                    Err("dispatch_failed")
                };
                if let Err(failure) = &message {
                    state.failed(at_us, failure);
                }
                let message = message.ok().flatten();
                if let Some(message) = &message {
                    state.set_original(&response_path, &message.ts);
                }
                Answer::Given { status, body, message: message.map(Box::new) }
            }
            Answer::TimedOut => {
                state.failed(at_us, "operation_timeout");
                Answer::TimedOut
            }
            other => {
                state.failed(at_us, "dispatch_failed");
                other
            }
        })
    }

    /// A person presses a button on a message they can see. `value` tells buttons with the same
    /// `action_id` in different blocks apart; `None` takes the first.
    pub async fn click(
        &self,
        user: &str,
        channel: &str,
        message_ts: &str,
        action_id: &str,
        value: Option<&str>,
    ) -> Answer {
        let form = self.0.change(|state| {
            let message = visible(state, user, channel, message_ts)?.clone();
            let button = message.buttons().into_iter().find(|button| {
                button.action_id == action_id && value.is_none_or(|value| button.value == value)
            })?;
            Some(press_form(state, user, &message, &button))
        });
        let Some(form) = form else { return Answer::NoSuchButton };
        let answer = self.deliver_signed(FORM, &form, &[]).await;
        if !answer.body().is_empty() {
            let what = "a press is acknowledged with an empty body; Slack overlooks this one";
            self.0.change(|state| state.fault("acknowledgement", what));
        }
        answer
    }

    /// A person presses the newest button they can see that says this.
    pub async fn press(&self, user: &str, label: &str) -> Answer {
        let found = {
            let state = self.0.read();
            let rooms = state.rooms.values();
            let open =
                rooms.filter(|room| room.with.is_none() || room.with.as_deref() == Some(user));
            let theirs = |message: &&Message| message.visible_to.as_deref() == Some(user);
            let mut seen: Vec<&Message> = open.flat_map(|room| &room.messages).collect();
            seen.extend(state.ephemerals.iter().filter(theirs));
            seen.sort_by_key(|message| super::message::ts_micros(&message.ts));
            seen.iter().rev().find_map(|message| {
                let button = message.buttons().into_iter().find(|button| button.label == label)?;
                Some((message.channel.clone(), message.ts.clone(), button))
            })
        };
        let Some((channel, ts, button)) = found else { return Answer::NoSuchButton };
        self.click(user, &channel, &ts, &button.action_id, Some(&button.value)).await
    }

    /// The path of a new response URL, as a request of this person's in this channel would carry: for
    /// deliveries that no button of the workspace makes.
    pub fn open_response_url(&self, user: &str, channel: &str) -> String {
        self.0.change(|state| {
            let url = state.make_response_url(user, channel, None);
            url.trim_start_matches(state.base_url.as_str()).to_owned()
        })
    }

    /// A person writes a message that is not a command. It is shown, not delivered.
    pub fn write(&self, user: &str, channel: &str, text: &str) -> String {
        self.reply(user, channel, None, text)
    }

    /// The same in the thread of a message.
    pub fn reply(&self, user: &str, channel: &str, thread_ts: Option<&str>, text: &str) -> String {
        self.0.change(|state| {
            let mut said = Map::from_iter([("text".to_owned(), json!(mrkdwn::typed(state, text)))]);
            if let Some(thread_ts) = thread_ts {
                said.insert("thread_ts".to_owned(), json!(thread_ts));
            }
            let mut message = state.compose(channel, &said);
            user.clone_into(&mut message.user);
            message.is_bot = false;
            let ts = message.ts.clone();
            state.post(message);
            ts
        })
    }

    /// A person submits a modal. `values` is `{block_id: {action_id: {…}}}`.
    pub async fn submit(&self, user: &str, view_id: &str, values: &Value) -> Answer {
        let form = self.0.change(|state| {
            let view = state.views.iter().find(|view| view.id == view_id && view.user == user)?;
            let mut view = view.view.clone();
            view["state"] = json!({"values": values});
            let payload = json!({
                "type": "view_submission",
                "team": team_json(state),
                "user": user_json(state, user),
                "api_app_id": state.bot.app_id,
                "token": LEGACY_TOKEN,
                "trigger_id": state.make_trigger(user),
                "view": view,
                "response_urls": [],
                "is_enterprise_install": false,
            });
            Some(payload_form(&payload))
        });
        match form {
            Some(form) => self.deliver_signed(FORM, &form, &[]).await,
            None => Answer::NoSuchButton,
        }
    }

    /// Delivers an event, with a new event id, and again up to three times when the bot does not
    /// agree; one answer a delivery.
    pub async fn event(&self, event: &Value) -> Vec<Answer> {
        let id = self.0.change(|state| format!("Ev0{}", state.next_serial()));
        self.event_with_id(&id, event).await
    }

    /// The same with a given event id, as when Slack delivers one event twice.
    pub async fn event_with_id(&self, id: &str, event: &Value) -> Vec<Answer> {
        let body = {
            let state = self.0.read();
            json!({
                "type": "event_callback",
                "token": LEGACY_TOKEN,
                "team_id": state.bot.team_id,
                "api_app_id": state.bot.app_id,
                "event": event,
                "event_id": id,
                "event_time": state.now_ms() / 1_000,
                "authorizations": [{
                    "enterprise_id": null,
                    "team_id": state.bot.team_id,
                    "user_id": state.bot.user_id,
                    "is_bot": true,
                    "is_enterprise_install": false,
                }],
                "is_ext_shared_channel": false,
            })
            .to_string()
        };
        let mut answers = vec![self.deliver_signed(JSON, &body, &[]).await];
        for number in 1..=RETRIES_MAX {
            let reason = match answers.last() {
                Some(Answer::TimedOut) => "http_timeout",
                Some(Answer::Unreachable(_)) => "connection_failed",
                Some(answer) if !answer.is_ok() => "http_error",
                _ => break,
            };
            let number = number.to_string();
            let headers =
                [("x-slack-retry-num", number.as_str()), ("x-slack-retry-reason", reason)];
            answers.push(self.deliver_signed(JSON, &body, &headers).await);
        }
        answers
    }

    /// Signs a body of any kind with the right secret and the workspace's time, and delivers it.
    pub async fn deliver_signed(
        &self,
        content_type: &str,
        body: &str,
        headers: &[(&str, &str)],
    ) -> Answer {
        let timestamp = self.0.read().now_ms().div_euclid(1_000);
        let signature = self.sign(timestamp, body.as_bytes());
        let timestamp = timestamp.to_string();
        let mut all = vec![
            ("content-type", content_type),
            ("x-slack-request-timestamp", timestamp.as_str()),
            ("x-slack-signature", signature.as_str()),
            ("user-agent", "Slackbot 1.0 (+https://api.slack.com/robots)"),
        ];
        all.extend_from_slice(headers);
        self.deliver_raw(PATH, &all, body.as_bytes().to_vec()).await
    }

    /// Delivers exactly this, signed or not: what a forger would send.
    pub async fn deliver_raw(&self, path: &str, headers: &[(&str, &str)], body: Vec<u8>) -> Answer {
        let content_type =
            headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("content-type"));
        let content_type = content_type.map_or("", |(_, value)| value);
        let at_ms = self.0.read().now_ms();
        let mut delivery = Delivery::of(path, content_type, &body, at_ms);
        #[expect(clippy::disallowed_methods, reason = "Slack's patience is real time")]
        let since = std::time::Instant::now();
        let answer = self.send(path, headers, body).await;
        delivery.took_ms = since.elapsed().as_millis().try_into().unwrap_or(u64::MAX);
        delivery.status = answer.status();
        delivery.answer = match &answer {
            Answer::Unreachable(why) => why.clone(),
            answer => answer.body().to_owned(),
        };
        self.0.change(|state| {
            delivery.serial = state.next_wire();
            state.record_delivery(delivery);
        });
        answer
    }

    async fn send(&self, path: &str, headers: &[(&str, &str)], body: Vec<u8>) -> Answer {
        let (url, limit_ms) = {
            let state = self.0.read();
            (state.request_url.clone(), state.options.answer_limit_ms)
        };
        let Some(url) = url else {
            return Answer::Unreachable("no request URL is set".to_owned());
        };
        let mut request = self
            .0
            .client
            .post(format!("{url}{path}"))
            .timeout(Duration::from_millis(limit_ms))
            .body(body);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let given = async {
            let response = request.send().await?;
            let status = response.status().as_u16();
            Ok::<_, reqwest::Error>((status, response.text().await?))
        };
        match given.await {
            Ok((status, body)) => Answer::Given { status, body, message: None },
            Err(error) if error.is_timeout() => Answer::TimedOut,
            Err(error) => Answer::Unreachable(error.to_string()),
        }
    }

    /// The value of `X-Slack-Signature` for a body at a time in seconds.
    pub fn sign(&self, timestamp: i64, body: &[u8]) -> String {
        sign(&self.0.read().options.signing_secret, timestamp, body)
    }
}

fn sign(secret: &str, timestamp: i64, body: &[u8]) -> String {
    let mut mac =
        Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("HMAC takes a key of any length");
    mac.update(format!("v0:{timestamp}:").as_bytes());
    mac.update(body);
    format!("v0={}", hex::encode(mac.finalize().into_bytes()))
}

/// The form of a slash command, and the path of its response URL.
fn slash_form(state: &mut State, user: &str, channel: &str, text: &str) -> (String, String) {
    let room = state.rooms.get(channel);
    let channel_name = match room {
        Some(room) if room.with.is_none() && room.channel.is_private => "privategroup".to_owned(),
        Some(room) => room.channel.name.clone(),
        None => "directmessage".to_owned(),
    };
    let user_name = state.person(user).map_or("someone", |person| &person.name).to_owned();
    let team_id = state.person(user).and_then(|person| person.team_id.clone());
    let response_url = state.make_response_url(user, channel, None);
    let trigger_id = state.make_trigger(user);
    let form = form_urlencoded::Serializer::new(String::new())
        .append_pair("token", LEGACY_TOKEN)
        .append_pair("team_id", team_id.as_ref().unwrap_or(&state.bot.team_id))
        .append_pair("team_domain", "neostock")
        .append_pair("channel_id", channel)
        .append_pair("channel_name", &channel_name)
        .append_pair("user_id", user)
        .append_pair("user_name", &user_name)
        .append_pair("command", &state.options.command)
        .append_pair("text", &mrkdwn::typed(state, text))
        .append_pair("api_app_id", &state.bot.app_id)
        .append_pair("is_enterprise_install", "false")
        .append_pair("response_url", &response_url)
        .append_pair("trigger_id", &trigger_id)
        .finish();
    let path = response_url.trim_start_matches(state.base_url.as_str()).to_owned();
    (form, path)
}

/// What people see of an answer to a slash command.
fn answered(
    state: &mut State,
    user: &str,
    channel: &str,
    body: &str,
) -> Result<Option<Message>, &'static str> {
    if body.trim().is_empty() {
        return Ok(None);
    }
    let said = match serde_json::from_str(body) {
        Ok(Value::Object(said)) => said,
        _ => Map::from_iter([("text".to_owned(), json!(body))]),
    };
    check_answer(state, &said).map_err(|_| "invalid_command_response")?;
    Ok(Some(say_back(state, user, channel, &said)))
}

impl State {
    /// Remembers what the person reads instead of an answer to what they typed at that moment.
    fn failed(&mut self, at_us: i64, failure: &'static str) {
        if let Some(typed) = self.typed.iter_mut().find(|typed| typed.at_us == at_us) {
            typed.failure = Some(failure);
        }
    }
}

/// The message, if this person can see it.
fn visible<'s>(state: &'s State, user: &str, channel: &str, ts: &str) -> Option<&'s Message> {
    let is_theirs = |message: &&Message| {
        message.ts == ts
            && message.channel == channel
            && message.visible_to.as_deref() == Some(user)
    };
    state.room_for(user, channel)?;
    state.find(channel, ts).or_else(|| state.ephemerals.iter().find(is_theirs))
}

fn press_form(state: &mut State, user: &str, message: &Message, button: &Button) -> String {
    let is_ephemeral = message.visible_to.is_some();
    let response_url = state.make_response_url(user, &message.channel, Some(&message.ts));
    let mut action = json!({
        "type": "button",
        "action_id": button.action_id,
        "block_id": button.block_id,
        "text": button.element["text"],
        "action_ts": ts_text(state.next_us()),
    });
    for key in ["value", "style", "url"] {
        if let Some(value) = button.element.get(key) {
            action[key] = value.clone();
        }
    }
    let room = state.rooms.get(&message.channel);
    let channel_name = room.map_or("", |room| room.channel.name.as_str());
    let mut container = json!({
        "type": "message",
        "message_ts": message.ts,
        "channel_id": message.channel,
        "is_ephemeral": is_ephemeral,
    });
    if let Some(thread_ts) = &message.thread_ts {
        container["thread_ts"] = json!(thread_ts);
    }
    let mut payload = json!({
        "type": "block_actions",
        "user": user_json(state, user),
        "api_app_id": state.bot.app_id,
        "token": LEGACY_TOKEN,
        "container": container,
        "team": team_json(state),
        "enterprise": null,
        "is_enterprise_install": false,
        "channel": {"id": message.channel, "name": channel_name},
        "state": {"values": {}},
        "response_url": response_url,
        "actions": [action],
    });
    payload["trigger_id"] = json!(state.make_trigger(user));
    if !is_ephemeral {
        payload["message"] = message_json(state, message, true);
    }
    payload_form(&payload)
}

fn payload_form(payload: &Value) -> String {
    form_urlencoded::Serializer::new(String::new())
        .append_pair("payload", &payload.to_string())
        .finish()
}

fn team_json(state: &State) -> Value {
    json!({"id": state.bot.team_id, "domain": "neostock"})
}

fn user_json(state: &State, user: &str) -> Value {
    let person = state.person(user);
    let name = person.map_or("someone", |person| person.name.as_str());
    let team_id = person.and_then(|person| person.team_id.as_ref()).unwrap_or(&state.bot.team_id);
    json!({"id": user, "username": name, "name": name, "team_id": team_id})
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of Slack's page "Verifying requests from Slack".
    #[test]
    fn the_signature_is_the_documented_one() {
        let body = "token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow\
                    &channel_id=G8PSS9T3V&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner\
                    &command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2Fhooks.slack.com\
                    %2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN\
                    &trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c";

        let signature = sign("8f742231b10e8888abcd99yyyzzz85a5", 1_531_420_618, body.as_bytes());

        assert_eq!(
            signature,
            "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503"
        );
    }
}
