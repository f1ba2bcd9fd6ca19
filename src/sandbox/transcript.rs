//! The conversation as people would see it, in plain terminal text: quiet, aligned, no colours.

use super::message::{Message, text_of, ts_micros};
use super::mrkdwn::readable;
use super::state::{Room, State, Typed};
use super::workspace::Workspace;
use serde_json::Value;

/// Columns of a line; longer ones are broken between words.
const WIDTH: usize = 88;
/// Columns before what a message says: `  10:02  `.
const INDENT: usize = 9;
/// How far a thread stands in.
const THREAD_INDENT: usize = 5;

/// The language of the transcript's own few words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Language {
    /// 中文
    #[default]
    Zh,
    /// English
    En,
}

/// What happened in a room, to be told in order.
enum Event<'s> {
    Typed(&'s Typed),
    Message(&'s Message),
}

/// Every room in which something was said, each from its first word to its last.
pub fn transcript(workspace: &Workspace, language: Language) -> String {
    let state = workspace.0.read();
    let mut out = Out { state: &state, language, text: String::new() };
    for channel in &state.options.channels {
        if let Some(room) = state.rooms.get(&channel.id) {
            out.room(room, &format!("#{}", channel.name));
        }
    }
    for room in state.rooms.values() {
        if let Some(user) = &room.with {
            let title = format!("{} ⇄ {}", name_of(&state, user), state.bot.name);
            out.room(room, &title);
        }
    }
    out.text
}

struct Out<'s> {
    state: &'s State,
    language: Language,
    text: String,
}

impl Out<'_> {
    fn words(&self, zh: &'static str, en: &'static str) -> &'static str {
        match self.language {
            Language::Zh => zh,
            Language::En => en,
        }
    }

    fn line(&mut self, indent: usize, line: &str) {
        for part in broken(line, WIDTH.saturating_sub(indent)) {
            let whole = format!("{:indent$}{part}", "");
            self.text.push_str(whole.trim_end());
            self.text.push('\n');
        }
    }

    fn room(&mut self, room: &Room, title: &str) {
        let events = events(self.state, room);
        if events.is_empty() {
            return;
        }
        if !self.text.is_empty() {
            self.text.push('\n');
        }
        let rule = "─".repeat(WIDTH.saturating_sub(4 + width(title)));
        self.line(0, &format!("── {title} {rule}"));
        for event in events {
            self.text.push('\n');
            match event {
                Event::Typed(typed) => self.typed(typed),
                Event::Message(message) => self.thread(room, message),
            }
        }
    }

    fn typed(&mut self, typed: &Typed) {
        let time = clock(self.state, typed.at_us);
        let name = name_of(self.state, &typed.user);
        let command = &self.state.options.command;
        let text = &typed.text;
        self.line(2, format!("{time}  {name} ▸ {command} {text}").trim_end());
        if let Some(failure) = typed.failure {
            let said = self.words("没有得到回应", "got no answer");
            self.line(INDENT, &format!("⚠ {command} {said} ({failure})"));
        }
    }

    fn thread(&mut self, room: &Room, message: &Message) {
        self.message(2, message);
        let is_reply = |it: &&Message| it.thread_ts.as_deref() == Some(message.ts.as_str());
        for reply in room.messages.iter().filter(is_reply) {
            self.text.push('\n');
            self.message(2 + THREAD_INDENT, reply);
        }
    }

    fn message(&mut self, indent: usize, message: &Message) {
        let time = clock(self.state, ts_micros(&message.ts).unwrap_or_default());
        let mut head = format!("{time}  {}", name_of(self.state, &message.user));
        if message.is_edited() {
            head.push_str(self.words("（已编辑）", " (edited)"));
        }
        if let Some(user) = &message.visible_to {
            let name = name_of(self.state, user);
            let (before, after) = match self.language {
                Language::Zh => ("（仅 ", " 可见）"),
                Language::En => (" (only visible to ", ")"),
            };
            head.extend([before, name, after]);
        }
        self.line(indent, &head);
        let indent = indent + INDENT - 2;
        let mut lines = Vec::new();
        if message.blocks.is_empty() && !message.text.is_empty() {
            prose(self.state, &message.text, &mut lines);
        }
        for block in &message.blocks {
            block_lines(self.state, block, &mut lines);
        }
        for line in lines {
            self.line(indent, &line);
        }
        for attachment in &message.attachments {
            for line in attachment_lines(self.state, attachment) {
                for part in broken(&line, WIDTH.saturating_sub(indent + 2)) {
                    self.line(indent, &format!("│ {part}"));
                }
            }
        }
        for file in message.files.iter().filter_map(|id| self.state.files.get(id)) {
            let unit = self.words("字节", "bytes");
            self.line(indent, &format!("📎 {} ({} {unit})", file.title, file.length));
        }
    }
}

/// Commands, first messages and answers of a room, in the order in which they came.
fn events<'s>(state: &'s State, room: &'s Room) -> Vec<Event<'s>> {
    let id = room.channel.id.as_str();
    let mut events: Vec<(i64, Event<'s>)> = Vec::new();
    let typed = state.typed.iter().filter(|typed| typed.channel == id);
    events.extend(typed.map(|typed| (typed.at_us, Event::Typed(typed))));
    let has_parent = |message: &Message| {
        let parent = message.thread_ts.as_ref();
        parent.is_some_and(|ts| room.messages.iter().any(|it| it.ts == *ts && it.ts != message.ts))
    };
    let first = room.messages.iter().filter(|message| !has_parent(message));
    let private = state.ephemerals.iter().filter(|message| message.channel == id);
    for message in first.chain(private) {
        events.push((ts_micros(&message.ts).unwrap_or_default(), Event::Message(message)));
    }
    events.sort_by_key(|(at, _)| *at);
    events.into_iter().map(|(_, event)| event).collect()
}

fn name_of<'s>(state: &'s State, user: &'s str) -> &'s str {
    if user == state.bot.user_id {
        return &state.bot.name;
    }
    state.person(user).map_or(user, |person| &person.real_name)
}

fn clock(state: &State, at_us: i64) -> String {
    let local_secs = at_us.div_euclid(1_000_000) + i64::from(state.options.utc_offset_secs);
    let minutes = local_secs.div_euclid(60).rem_euclid(24 * 60);
    format!("{:02}:{:02}", minutes / 60, minutes % 60)
}

fn attachment_lines(state: &State, attachment: &Value) -> Vec<String> {
    let mut lines = Vec::new();
    for key in ["pretext", "title", "text"] {
        let text = text_of(attachment, key);
        if !text.is_empty() {
            prose(state, text, &mut lines);
        }
    }
    let blocks = attachment.get("blocks").and_then(Value::as_array);
    for block in blocks.into_iter().flatten() {
        block_lines(state, block, &mut lines);
    }
    let fallback = text_of(attachment, "fallback");
    if lines.is_empty() && !fallback.is_empty() {
        prose(state, fallback, &mut lines);
    }
    lines
}

fn block_lines(state: &State, block: &Value, lines: &mut Vec<String>) {
    let elements = || block.get("elements").and_then(Value::as_array).into_iter().flatten();
    match text_of(block, "type") {
        "header" => lines.push(shown(state, &block["text"])),
        "section" => {
            if let Some(text) = block.get("text") {
                prose_of(state, text, lines);
            }
            fields(state, block, lines);
            if let Some(label) = block.get("accessory").and_then(|it| it.get("text")) {
                lines.push(format!("[{}]", shown(state, label)));
            }
        }
        "context" => {
            let parts: Vec<String> = elements()
                .map(|element| match text_of(element, "type") {
                    "image" => text_of(element, "alt_text").to_owned(),
                    _ => shown(state, element),
                })
                .collect();
            lines.extend(parts.join("  ·  ").lines().map(str::to_owned));
        }
        "actions" => {
            let labels = elements().map(|element| {
                let label = element.get("text").or_else(|| element.get("placeholder"));
                let label = label.map_or_else(|| "…".to_owned(), |label| shown(state, label));
                format!("[ {label} ]")
            });
            lines.push(labels.collect::<Vec<_>>().join("  "));
        }
        "divider" => lines.push("┄".repeat(24)),
        "image" => lines.push(format!("🖼 {}", text_of(block, "alt_text"))),
        "markdown" => prose(state, text_of(block, "text"), lines),
        _ => {}
    }
}

/// A text object as it reads.
fn shown(state: &State, text: &Value) -> String {
    let words = text_of(text, "text");
    if text_of(text, "type") == "mrkdwn" { readable(state, words) } else { words.to_owned() }
}

fn prose_of(state: &State, text: &Value, lines: &mut Vec<String>) {
    code_aware(&shown(state, text), lines);
}

fn prose(state: &State, text: &str, lines: &mut Vec<String>) {
    code_aware(&readable(state, text), lines);
}

/// Lines of text; those of a code block stand in a little, without the fences.
fn code_aware(text: &str, lines: &mut Vec<String>) {
    for (index, part) in text.split("```").enumerate() {
        let is_code = index % 2 == 1;
        for line in part.trim_matches('\n').lines() {
            match (is_code, line.strip_prefix('>')) {
                (true, _) => lines.push(format!("    {line}")),
                (false, Some(quoted)) => lines.push(format!("┊{quoted}")),
                (false, None) => lines.push(line.to_owned()),
            }
        }
    }
}

/// Fields as a table of two columns: the first line of a field is its label.
fn fields(state: &State, block: &Value, lines: &mut Vec<String>) {
    let fields = block.get("fields").and_then(Value::as_array).into_iter().flatten();
    let cells: Vec<(String, String)> = fields
        .map(|field| {
            let text = shown(state, field);
            let (label, value) = text.split_once('\n').unwrap_or((text.as_str(), ""));
            (label.to_owned(), value.replace('\n', " "))
        })
        .collect();
    let column = cells.iter().map(|(label, _)| width(label)).max().unwrap_or_default();
    for (label, value) in cells {
        let gap = column.saturating_sub(width(&label)) + 2;
        lines.push(format!("{label}{:gap$}{value}", "").trim_end().to_owned());
    }
}

/// Breaks a line that is too long, between words where it can.
fn broken(line: &str, columns: usize) -> Vec<String> {
    let columns = columns.max(20);
    let mut parts = Vec::new();
    let mut rest = line;
    while width(rest) > columns {
        let mut used = 0;
        let mut end = rest.len();
        let mut space = None;
        for (at, letter) in rest.char_indices() {
            used += letter_width(letter);
            if used > columns {
                end = at;
                break;
            }
            if letter == ' ' && used > columns / 2 {
                space = Some(at);
            }
        }
        let (part, after) = rest.split_at(space.unwrap_or(end));
        parts.push(part.to_owned());
        rest = after.trim_start();
    }
    parts.push(rest.to_owned());
    parts
}

/// Columns that a text takes in a terminal.
fn width(text: &str) -> usize {
    text.chars().map(letter_width).sum()
}

fn letter_width(letter: char) -> usize {
    match u32::from(letter) {
        0x200B..=0x200F | 0x0300..=0x036F | 0xFE00..=0xFE0F => 0,
        0x1100..=0x115F
        | 0x2E80..=0x303E
        | 0x3041..=0xA4CF
        | 0xAC00..=0xD7A3
        | 0xF900..=0xFAFF
        | 0xFE30..=0xFE4F
        | 0xFF00..=0xFF60
        | 0xFFE0..=0xFFE6
        | 0x2705
        | 0x274C
        | 0x231A..=0x231B
        | 0x23E9..=0x23F3
        | 0x1F300..=0x1F64F
        | 0x1F680..=0x1F6FF
        | 0x1F7E0..=0x1F7EB
        | 0x1F900..=0x1FAFF
        | 0x20000..=0x3FFFD => 2,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn full_width_text_is_counted_and_broken_by_columns() {
        assert_eq!(width("回滚 v1.2 ✅"), 4 + 1 + 4 + 1 + 2);
        assert_eq!(broken("短", 20), ["短"]);
        assert_eq!(
            broken(&"字".repeat(25), 20),
            ["字".repeat(10), "字".repeat(10), "字".repeat(5)]
        );
        assert_eq!(broken("twelve chars then a word", 20), ["twelve chars then a", "word"]);
    }

    #[test]
    fn code_stands_in_without_its_fences() {
        let mut lines = Vec::new();

        code_aware("before\n```\nline 1\nline 2\n```\n>quoted", &mut lines);

        assert_eq!(lines, ["before", "    line 1", "    line 2", "┊quoted"]);
    }

    proptest::proptest! {
        #[test]
        fn breaking_keeps_every_letter(line in "[a-z字 ]{0,200}", columns in 20_usize..60) {
            let parts = broken(&line, columns);
            let letters = |text: &str| text.replace(' ', "");
            proptest::prop_assert_eq!(letters(&parts.concat()), letters(&line));
            proptest::prop_assert!(parts.iter().all(|part| width(part) <= columns));
        }
    }
}
