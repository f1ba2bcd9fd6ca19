//! Everything the workspace remembers, and the few rules that hold it together: timestamps are
//! unique and increase, triggers and response URLs expire and wear out.

use super::blocks;
use super::fault::Faults;
use super::guide::Guide;
use super::message::{Bot, Message, ts_text};
use super::options::{Channel, Options, Person};
use super::traffic::Delivery;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, HashMap, VecDeque};

/// How many calls are remembered; the oldest go first.
const CALLS_MAX: usize = 20_000;
/// How many deliveries are remembered; the oldest go first.
const DELIVERIES_MAX: usize = 2_000;
/// How long a trigger opens a view.
const TRIGGER_MS: i64 = 3_000;
/// How long a response URL lives.
const RESPONSE_URL_MS: i64 = 30 * 60_000;
/// How often a response URL may be used.
const RESPONSE_URL_USES_MAX: u32 = 5;
/// Messages at once before a channel is limited to one a second.
const POST_BURST: f64 = 3.0;

/// One call that the bot made.
#[derive(Debug, Clone, PartialEq)]
pub struct ApiCall {
    /// Such as `chat.postMessage`; `response_url` and `upload` for those addresses.
    pub method: String,
    /// What it asked, without its token.
    pub args: Map<String, Value>,
    /// The HTTP status it was answered with; 0 when the connection was dropped.
    pub status: u16,
    /// What it was answered, whether or not the answer arrived.
    pub answer: Value,
    /// When, by the workspace's clock.
    pub at_ms: i64,
    /// Its place among everything that went over the wire, in both directions.
    pub serial: u64,
}

/// A file that the bot uploaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SharedFile {
    /// `F…`
    pub id: String,
    /// Its file name.
    pub name: String,
    /// What people see instead.
    pub title: String,
    /// The length that was announced.
    pub length: usize,
    /// What it holds, once uploaded.
    pub bytes: Option<Vec<u8>>,
    /// Whether the upload was completed.
    pub is_complete: bool,
    /// Where it was shared.
    pub channel: Option<String>,
}

/// A modal that the bot opened for somebody.
#[derive(Debug, Clone, PartialEq)]
pub struct View {
    /// `V…`
    pub id: String,
    /// Who sees it.
    pub user: String,
    /// The view as the bot sent it.
    pub view: Value,
}

/// One slash command as a person typed it.
#[derive(Debug, Clone)]
pub(super) struct Typed {
    pub(super) user: String,
    pub(super) channel: String,
    pub(super) text: String,
    pub(super) at_us: i64,
    /// What Slack told the person when the bot's answer was not usable.
    pub(super) failure: Option<&'static str>,
}

/// A channel or a private conversation, and what was said in it.
#[derive(Debug)]
pub(super) struct Room {
    pub(super) channel: Channel,
    /// The person, in a conversation between one person and the bot.
    pub(super) with: Option<String>,
    /// In the order of their timestamps.
    pub(super) messages: Vec<Message>,
}

#[derive(Debug)]
pub(super) struct ResponseUrl {
    pub(super) user: String,
    pub(super) channel: String,
    /// The message that a press came from.
    pub(super) message_ts: Option<String>,
    uses: u32,
    made_ms: i64,
}

#[derive(Debug)]
struct Trigger {
    user: String,
    made_ms: i64,
    is_used: bool,
}

pub(super) struct State {
    pub(super) options: Options,
    pub(super) bot: Bot,
    /// `http://127.0.0.1:port`
    pub(super) base_url: String,
    pub(super) request_url: Option<String>,
    pub(super) rooms: BTreeMap<String, Room>,
    pub(super) ephemerals: Vec<Message>,
    pub(super) typed: Vec<Typed>,
    pub(super) calls: VecDeque<ApiCall>,
    pub(super) deliveries: VecDeque<Delivery>,
    pub(super) guide: Guide,
    pub(super) faults: Vec<String>,
    pub(super) planned: Faults,
    pub(super) files: BTreeMap<String, SharedFile>,
    pub(super) views: Vec<View>,
    pub(super) enforces_rate_limits: bool,
    response_urls: HashMap<String, ResponseUrl>,
    triggers: HashMap<String, Trigger>,
    post_budgets: HashMap<String, (f64, i64)>,
    last_us: i64,
    serial: u64,
    wire_serial: u64,
}

/// Why the Web API says no.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) error: String,
    pub(super) messages: Vec<String>,
}

impl Refusal {
    pub(super) fn new(error: &str) -> Self {
        Self { error: error.to_owned(), messages: Vec::new() }
    }
}

impl State {
    pub(super) fn new(options: Options, base_url: String) -> Self {
        let rooms = options
            .channels
            .iter()
            .map(|channel| (channel.id.clone(), Room::new(channel.clone(), None)))
            .collect();
        let bot = Bot {
            team_id: options.team_id.clone(),
            user_id: "U0NEOBOT".to_owned(),
            bot_id: "B0NEO".to_owned(),
            app_id: "A0NEO".to_owned(),
            name: "NeoStock Ops".to_owned(),
        };
        Self {
            options,
            bot,
            base_url,
            request_url: None,
            rooms,
            ephemerals: Vec::new(),
            typed: Vec::new(),
            calls: VecDeque::new(),
            deliveries: VecDeque::new(),
            guide: Guide::default(),
            faults: Vec::new(),
            planned: Faults::default(),
            files: BTreeMap::new(),
            views: Vec::new(),
            enforces_rate_limits: false,
            response_urls: HashMap::new(),
            triggers: HashMap::new(),
            post_budgets: HashMap::new(),
            last_us: 0,
            serial: 0,
            wire_serial: 0,
        }
    }

    pub(super) fn now_ms(&self) -> i64 {
        (self.options.now)()
    }

    /// The next moment in this workspace: never one that was given before.
    pub(super) fn next_us(&mut self) -> i64 {
        self.last_us = (self.now_ms().saturating_mul(1_000)).max(self.last_us + 100);
        self.last_us
    }

    pub(super) fn next_ts(&mut self) -> String {
        ts_text(self.next_us())
    }

    pub(super) fn next_serial(&mut self) -> u64 {
        self.serial += 1;
        self.serial
    }

    pub(super) fn person(&self, id: &str) -> Option<&Person> {
        self.options.persons.iter().find(|person| person.id == id)
    }

    /// The next place on the wire.
    pub(super) fn next_wire(&mut self) -> u64 {
        self.wire_serial += 1;
        self.wire_serial
    }

    pub(super) fn record(&mut self, call: ApiCall) {
        if self.calls.len() == CALLS_MAX {
            self.calls.pop_front();
        }
        self.calls.push_back(call);
    }

    pub(super) fn record_delivery(&mut self, delivery: Delivery) {
        if self.deliveries.len() == DELIVERIES_MAX {
            self.deliveries.pop_front();
        }
        self.deliveries.push_back(delivery);
    }

    pub(super) fn fault(&mut self, method: &str, what: &str) {
        self.faults.push(format!("{method}: {what}"));
    }

    /// Checks what a message says; what Slack would refuse is a refusal, what it would let through
    /// to the harm of people is only remembered.
    pub(super) fn check(&mut self, method: &str, said: &Map<String, Value>) -> Result<(), Refusal> {
        let found = blocks::check_message(said, self.options.allow_broadcasts);
        for risk in &found.risky {
            self.fault(method, risk);
        }
        for fault in &found.refused {
            self.fault(method, fault);
        }
        match found.error {
            Some(error) => Err(Refusal { error: error.to_owned(), messages: found.refused }),
            None => Ok(()),
        }
    }

    /// A checked message that nobody sees yet.
    pub(super) fn compose(&mut self, channel: &str, said: &Map<String, Value>) -> Message {
        let mut message = Message {
            channel: channel.to_owned(),
            ts: self.next_ts(),
            thread_ts: said.get("thread_ts").and_then(Value::as_str).map(str::to_owned),
            user: self.bot.user_id.clone(),
            is_bot: true,
            text: String::new(),
            blocks: Vec::new(),
            attachments: Vec::new(),
            metadata: said.get("metadata").filter(|metadata| !metadata.is_null()).cloned(),
            files: Vec::new(),
            edits: 0,
            edited_ts: None,
            visible_to: None,
        };
        self.fill(&mut message, said);
        message
    }

    /// Puts text, blocks and attachments into a message, each block with an id as Slack gives it.
    pub(super) fn fill(&mut self, message: &mut Message, said: &Map<String, Value>) {
        let list = |key: &str| said.get(key).and_then(Value::as_array).cloned().unwrap_or_default();
        let text = said.get("text").and_then(Value::as_str).unwrap_or_default();
        text.clone_into(&mut message.text);
        message.blocks = list("blocks");
        message.attachments = list("attachments");
        self.name_blocks(&mut message.blocks);
        for attachment in &mut message.attachments {
            if let Some(blocks) = attachment.get_mut("blocks").and_then(Value::as_array_mut) {
                self.name_blocks(blocks);
            }
        }
    }

    fn name_blocks(&mut self, blocks: &mut [Value]) {
        for block in blocks {
            let Some(block) = block.as_object_mut() else { continue };
            if !block.contains_key("block_id") {
                let id = format!("blk{}", self.next_serial());
                block.insert("block_id".to_owned(), json!(id));
            }
            let elements = block.get_mut("elements").and_then(Value::as_array_mut);
            for element in elements.into_iter().flatten() {
                let Some(element) = element.as_object_mut() else { continue };
                let is_button = element.get("type").is_some_and(|kind| kind == "button");
                if is_button && !element.contains_key("action_id") {
                    let id = format!("act{}", self.next_serial());
                    element.insert("action_id".to_owned(), json!(id));
                }
            }
        }
    }

    /// The room, if this person can look into it: private conversations are for those in them.
    pub(super) fn room_for(&self, user: &str, channel: &str) -> Option<&Room> {
        self.rooms.get(channel).filter(|room| room.with.as_ref().is_none_or(|with| with == user))
    }

    pub(super) fn find(&self, channel: &str, ts: &str) -> Option<&Message> {
        self.rooms.get(channel)?.messages.iter().find(|message| message.ts == ts)
    }

    pub(super) fn find_mut(&mut self, channel: &str, ts: &str) -> Option<&mut Message> {
        self.rooms.get_mut(channel)?.messages.iter_mut().find(|message| message.ts == ts)
    }

    pub(super) fn post(&mut self, message: Message) {
        if let Some(room) = self.rooms.get_mut(&message.channel) {
            room.messages.push(message);
        }
    }

    /// The private conversation between a person and the bot, opened when there is none.
    pub(super) fn open_conversation(&mut self, user: &str) -> Option<String> {
        self.person(user)?;
        let known = self.rooms.iter().find(|(_, room)| room.with.as_deref() == Some(user));
        if let Some((id, _)) = known {
            return Some(id.clone());
        }
        let id = format!("D0{}", user.trim_start_matches(['U', 'W', '0']));
        let channel = Channel {
            id: id.clone(),
            name: "directmessage".into(),
            is_private: true,
            has_bot: true,
        };
        self.rooms.insert(id.clone(), Room::new(channel, Some(user.to_owned())));
        Some(id)
    }

    /// Whether a post to this channel is within about one a second; otherwise how long to wait.
    pub(super) fn spend_post(&mut self, channel: &str) -> Result<(), u64> {
        if !self.enforces_rate_limits {
            return Ok(());
        }
        let now_ms = self.now_ms();
        let (budget, since_ms) =
            self.post_budgets.get(channel).copied().unwrap_or((POST_BURST, now_ms));
        let earned = (now_ms - since_ms).max(0) as f64 / 1_000.0;
        let budget = (budget + earned).min(POST_BURST);
        let allowed = budget >= 1.0;
        let left = if allowed { budget - 1.0 } else { budget };
        self.post_budgets.insert(channel.to_owned(), (left, now_ms));
        if allowed { Ok(()) } else { Err(1) }
    }

    pub(super) fn make_trigger(&mut self, user: &str) -> String {
        let id = format!("{}.{}.{:016x}", 1_000 + self.next_serial(), 77, self.next_us());
        let made_ms = self.now_ms();
        self.triggers
            .insert(id.clone(), Trigger { user: user.to_owned(), made_ms, is_used: false });
        id
    }

    /// Uses a trigger up and says whose it was.
    pub(super) fn spend_trigger(&mut self, id: &str) -> Result<String, Refusal> {
        let now_ms = self.now_ms();
        let trigger =
            self.triggers.get_mut(id).ok_or_else(|| Refusal::new("invalid_trigger_id"))?;
        if trigger.is_used {
            return Err(Refusal::new("trigger_exchanged"));
        }
        if now_ms - trigger.made_ms > TRIGGER_MS {
            return Err(Refusal::new("trigger_expired"));
        }
        trigger.is_used = true;
        Ok(trigger.user.clone())
    }

    pub(super) fn make_response_url(
        &mut self,
        user: &str,
        channel: &str,
        message_ts: Option<&str>,
    ) -> String {
        let serial = self.next_serial();
        let path = format!("/commands/{}/{serial}", self.bot.team_id);
        let made = ResponseUrl {
            user: user.to_owned(),
            channel: channel.to_owned(),
            message_ts: message_ts.map(str::to_owned),
            uses: 0,
            made_ms: self.now_ms(),
        };
        let url = format!("{}{path}", self.base_url);
        self.response_urls.insert(path, made);
        url
    }

    /// The message that an answer became: what `replace_original` means from now on.
    pub(super) fn set_original(&mut self, path: &str, ts: &str) {
        if let Some(url) = self.response_urls.get_mut(path) {
            url.message_ts = Some(ts.to_owned());
        }
    }

    /// Counts one use of a response URL; refuses what Slack refuses.
    pub(super) fn spend_response_url(
        &mut self,
        path: &str,
    ) -> Result<(String, String, Option<String>), &'static str> {
        let now_ms = self.now_ms();
        let url = self.response_urls.get_mut(path).ok_or("invalid_url")?;
        if now_ms - url.made_ms > RESPONSE_URL_MS {
            return Err("expired_url");
        }
        if url.uses == RESPONSE_URL_USES_MAX {
            return Err("used_url");
        }
        url.uses += 1;
        Ok((url.user.clone(), url.channel.clone(), url.message_ts.clone()))
    }
}

impl Room {
    fn new(channel: Channel, with: Option<String>) -> Self {
        Self { channel, with, messages: Vec::new() }
    }
}
