//! Block Kit's rules: which blocks there are, what each must and may hold, and every limit.
//!
//! Strict where Slack is: an unknown property or a character too many refuses the whole message.
//! Source: Slack's Block Kit reference, gathered in the project's notes on the wire. Lengths are
//! counted in characters.

use super::mrkdwn;
use serde_json::{Map, Value};
use std::collections::HashSet;

/// Blocks in a message, and in each attachment.
pub const BLOCKS_MAX: usize = 50;
/// Characters of a message's top-level text.
pub const TEXT_CHARS_MAX: usize = 40_000;
/// Attachments of a message.
pub const ATTACHMENTS_MAX: usize = 100;
/// Characters of a header.
pub const HEADER_CHARS_MAX: usize = 150;
/// Characters of a section's text.
pub const SECTION_CHARS_MAX: usize = 3_000;
/// Fields of a section.
pub const FIELDS_MAX: usize = 10;
/// Characters of a field.
pub const FIELD_CHARS_MAX: usize = 2_000;
/// Elements of a context block.
pub const CONTEXT_ELEMENTS_MAX: usize = 10;
/// Elements of an actions block.
pub const ACTIONS_ELEMENTS_MAX: usize = 25;
/// Characters of a button's text.
pub const BUTTON_CHARS_MAX: usize = 75;
/// Characters of a button's value.
pub const BUTTON_VALUE_CHARS_MAX: usize = 2_000;
/// Characters of a link.
pub const URL_CHARS_MAX: usize = 3_000;
/// Characters of a `block_id` or an `action_id`.
pub const ID_CHARS_MAX: usize = 255;
/// Options of a select.
pub const OPTIONS_MAX: usize = 100;
/// Characters of an option's text.
pub const OPTION_CHARS_MAX: usize = 75;
/// Characters of an option's value.
pub const OPTION_VALUE_CHARS_MAX: usize = 150;
/// Characters of a confirm dialog's title.
pub const CONFIRM_TITLE_CHARS_MAX: usize = 100;
/// Characters of a confirm dialog's text.
pub const CONFIRM_TEXT_CHARS_MAX: usize = 300;
/// Characters of each of a confirm dialog's buttons.
pub const CONFIRM_BUTTON_CHARS_MAX: usize = 30;
/// Characters of all markdown blocks together.
pub const MARKDOWN_CHARS_MAX: usize = 12_000;
/// Blocks of a view.
pub const VIEW_BLOCKS_MAX: usize = 100;
/// Characters of a view's title, submit and close.
pub const VIEW_TITLE_CHARS_MAX: usize = 24;
/// Characters of a view's private metadata.
pub const PRIVATE_METADATA_CHARS_MAX: usize = 3_000;
/// Bytes of a message's metadata.
pub const METADATA_BYTES_MAX: usize = 16_000;

/// What is wrong with a message.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Findings {
    /// The error Slack answers with, when it refuses.
    pub error: Option<&'static str>,
    /// Why it refuses.
    pub refused: Vec<String>,
    /// What Slack would let through to the harm of people: a broadcast, unescaped text.
    pub risky: Vec<String>,
}

/// Checks `text`, `blocks`, `attachments` and `metadata` of a message.
pub fn check_message(message: &Map<String, Value>, allow_broadcasts: bool) -> Findings {
    let mut checker = Checker { allow_broadcasts, ..Checker::default() };
    checker.message(message);
    checker.found
}

/// Checks a modal.
pub fn check_view(view: &Value) -> Findings {
    let mut checker = Checker::default();
    checker.view(view);
    checker.found
}

#[derive(Default)]
struct Checker {
    found: Findings,
    block_ids: HashSet<String>,
    markdown_chars: usize,
    allow_broadcasts: bool,
}

/// What a text object may be.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Plain,
    Any,
}

impl Checker {
    fn refuse(&mut self, error: &'static str, at: &str, why: &str) {
        self.found.error.get_or_insert(error);
        self.found.refused.push(format!("{at}: {why}"));
    }

    fn bad(&mut self, at: &str, why: &str) {
        self.refuse("invalid_blocks", at, why);
    }

    fn message(&mut self, message: &Map<String, Value>) {
        match message.get("text") {
            None | Some(Value::Null) => {}
            Some(Value::String(text)) => {
                if text.chars().count() > TEXT_CHARS_MAX {
                    self.refuse("msg_too_long", "text", "more than 40000 characters");
                }
                self.mrkdwn("text", text);
            }
            Some(_) => self.refuse("invalid_arguments", "text", "must be a string"),
        }
        match message.get("blocks") {
            None | Some(Value::Null) => {}
            Some(Value::Array(blocks)) => self.blocks("blocks", blocks, BLOCKS_MAX),
            Some(_) => self.refuse("invalid_blocks_format", "blocks", "must be a list"),
        }
        match message.get("attachments") {
            None | Some(Value::Null) => {}
            Some(Value::Array(attachments)) => self.attachments(attachments),
            Some(_) => self.refuse("invalid_attachments", "attachments", "must be a list"),
        }
        match message.get("metadata") {
            None | Some(Value::Null) => {}
            Some(metadata) => self.metadata(metadata),
        }
        let is_empty = |key: &str| match message.get(key) {
            None | Some(Value::Null) => true,
            Some(Value::String(text)) => text.is_empty(),
            Some(Value::Array(list)) => list.is_empty(),
            Some(_) => false,
        };
        if is_empty("text") && is_empty("blocks") && is_empty("attachments") {
            self.refuse("no_text", "text", "the message says nothing");
        }
    }

    fn attachments(&mut self, attachments: &[Value]) {
        if attachments.len() > ATTACHMENTS_MAX {
            self.refuse("too_many_attachments", "attachments", "more than 100");
        }
        for (index, attachment) in attachments.iter().enumerate() {
            let at = format!("attachments[{index}]");
            let Some(attachment) = attachment.as_object() else {
                self.refuse("invalid_attachments", &at, "must be an object");
                continue;
            };
            match attachment.get("blocks") {
                None => {}
                Some(Value::Array(blocks)) => {
                    self.blocks(&format!("{at}.blocks"), blocks, BLOCKS_MAX);
                }
                Some(_) => self.bad(&format!("{at}.blocks"), "must be a list"),
            }
            let says = |key: &str| match attachment.get(key) {
                Some(Value::String(text)) => !text.is_empty(),
                Some(Value::Array(list)) => !list.is_empty(),
                _ => false,
            };
            if !["blocks", "text", "title", "pretext", "fields", "image_url"]
                .iter()
                .any(|it| says(it))
            {
                self.refuse("no_text", &at, "the attachment says nothing");
            }
            if let Some(color) = attachment.get("color") {
                let color = color.as_str().unwrap_or_default();
                let hex = color.strip_prefix('#').unwrap_or(color);
                let is_hex = matches!(hex.len(), 3 | 6)
                    && hex.bytes().all(|digit| digit.is_ascii_hexdigit());
                if !is_hex && !["good", "warning", "danger"].contains(&color) {
                    self.refuse("invalid_attachments", &at, "color is neither hex nor a name");
                }
            }
            for key in ["text", "pretext", "fallback"] {
                if let Some(text) = attachment.get(key).and_then(Value::as_str) {
                    self.mrkdwn(&format!("{at}.{key}"), text);
                }
            }
        }
    }

    fn metadata(&mut self, metadata: &Value) {
        const ERROR: &str = "invalid_metadata_format";
        let event_type = metadata.get("event_type").and_then(Value::as_str).unwrap_or_default();
        if event_type.is_empty() {
            self.refuse(ERROR, "metadata.event_type", "must be a string that says something");
        }
        match metadata.get("event_payload") {
            Some(Value::Object(payload)) => {
                for (key, value) in payload {
                    if value.is_object() || value.is_array() || value.is_null() {
                        let at = format!("metadata.event_payload.{key}");
                        self.refuse(ERROR, &at, "must be a string, a number or a boolean");
                    }
                }
            }
            _ => self.refuse(ERROR, "metadata.event_payload", "must be an object"),
        }
        if metadata.to_string().len() > METADATA_BYTES_MAX {
            self.refuse("metadata_too_large", "metadata", "more than 16000 bytes");
        }
    }

    fn view(&mut self, view: &Value) {
        if view.get("type").and_then(Value::as_str) != Some("modal") {
            self.bad("view.type", "must be modal");
        }
        if view.get("title").is_none() {
            self.bad("view.title", "is missing");
        }
        for key in ["title", "submit", "close"] {
            if let Some(text) = view.get(key) {
                self.text(&format!("view.{key}"), text, VIEW_TITLE_CHARS_MAX, Kind::Plain);
            }
        }
        let private = view.get("private_metadata").and_then(Value::as_str).unwrap_or_default();
        if private.chars().count() > PRIVATE_METADATA_CHARS_MAX {
            self.bad("view.private_metadata", "more than 3000 characters");
        }
        match view.get("blocks") {
            Some(Value::Array(blocks)) => self.blocks("view.blocks", blocks, VIEW_BLOCKS_MAX),
            _ => self.bad("view.blocks", "must be a list"),
        }
    }

    fn blocks(&mut self, at: &str, blocks: &[Value], max: usize) {
        if blocks.len() > max {
            self.bad(at, &format!("more than {max} blocks"));
        }
        for (index, block) in blocks.iter().enumerate() {
            self.block(&format!("{at}[{index}]"), block);
        }
    }

    fn block(&mut self, at: &str, block: &Value) {
        let Some(block) = block.as_object() else {
            return self.bad(at, "must be an object");
        };
        self.id(&format!("{at}.block_id"), block.get("block_id"));
        if let Some(id) = block.get("block_id").and_then(Value::as_str)
            && !self.block_ids.insert(id.to_owned())
        {
            self.bad(at, &format!("block_id {id} stands twice"));
        }
        let kind = block.get("type").and_then(Value::as_str).unwrap_or_default();
        match kind {
            "header" => {
                self.only(at, block, &["text"]);
                self.required_text(at, block, "text", HEADER_CHARS_MAX, Kind::Plain);
            }
            "section" => self.section(at, block),
            "divider" => self.only(at, block, &[]),
            "context" => {
                self.only(at, block, &["elements"]);
                self.elements(at, block, CONTEXT_ELEMENTS_MAX, Self::context_element);
            }
            "actions" => {
                self.only(at, block, &["elements"]);
                self.elements(at, block, ACTIONS_ELEMENTS_MAX, Self::action_element);
                self.unique_actions(at, block);
            }
            "image" => {
                self.only(at, block, &["image_url", "alt_text", "title", "slack_file"]);
                self.image(at, block);
            }
            "markdown" => {
                self.only(at, block, &["text"]);
                let text = block.get("text").and_then(Value::as_str).unwrap_or_default();
                self.markdown_chars += text.chars().count();
                if text.is_empty() || self.markdown_chars > MARKDOWN_CHARS_MAX {
                    self.bad(at, "markdown must be 1 to 12000 characters in all");
                }
            }
            "rich_text" => {
                self.only(at, block, &["elements"]);
                if block.get("elements").and_then(Value::as_array).is_none_or(Vec::is_empty) {
                    self.bad(at, "elements are missing");
                }
            }
            "input" => self.input(at, block),
            "" => self.bad(at, "type is missing"),
            other => self.bad(at, &format!("there is no block type {other}")),
        }
    }

    fn section(&mut self, at: &str, block: &Map<String, Value>) {
        self.only(at, block, &["text", "fields", "accessory", "expand"]);
        if !block.contains_key("text") && !block.contains_key("fields") {
            self.bad(at, "a section needs text or fields");
        }
        if let Some(text) = block.get("text") {
            self.text(&format!("{at}.text"), text, SECTION_CHARS_MAX, Kind::Any);
        }
        match block.get("fields") {
            None => {}
            Some(Value::Array(fields)) => {
                if fields.is_empty() || fields.len() > FIELDS_MAX {
                    self.bad(at, "a section has 1 to 10 fields");
                }
                for (index, field) in fields.iter().enumerate() {
                    let at = format!("{at}.fields[{index}]");
                    self.text(&at, field, FIELD_CHARS_MAX, Kind::Any);
                }
            }
            Some(_) => self.bad(at, "fields must be a list"),
        }
        if let Some(accessory) = block.get("accessory") {
            self.any_element(&format!("{at}.accessory"), accessory);
        }
    }

    fn input(&mut self, at: &str, block: &Map<String, Value>) {
        self.only(at, block, &["label", "element", "hint", "optional", "dispatch_action"]);
        self.required_text(at, block, "label", 2_000, Kind::Plain);
        if let Some(hint) = block.get("hint") {
            self.text(&format!("{at}.hint"), hint, 2_000, Kind::Plain);
        }
        match block.get("element") {
            Some(element) => self.input_element(&format!("{at}.element"), element),
            None => self.bad(at, "an input needs its element"),
        }
    }

    /// Refuses properties that this kind of block does not have.
    fn only(&mut self, at: &str, object: &Map<String, Value>, allowed: &[&str]) {
        for key in object.keys() {
            if !allowed.contains(&key.as_str()) && key != "type" && key != "block_id" {
                self.bad(at, &format!("invalid additional property: {key}"));
            }
        }
    }

    fn elements(
        &mut self,
        at: &str,
        block: &Map<String, Value>,
        max: usize,
        check: fn(&mut Self, &str, &Value),
    ) {
        let Some(elements) = block.get("elements").and_then(Value::as_array) else {
            return self.bad(at, "elements are missing");
        };
        if elements.is_empty() || elements.len() > max {
            self.bad(at, &format!("must have 1 to {max} elements"));
        }
        for (index, element) in elements.iter().enumerate() {
            check(self, &format!("{at}.elements[{index}]"), element);
        }
    }

    fn unique_actions(&mut self, at: &str, block: &Map<String, Value>) {
        let mut seen = HashSet::new();
        let elements = block.get("elements").and_then(Value::as_array);
        for element in elements.into_iter().flatten() {
            if let Some(id) = element.get("action_id").and_then(Value::as_str)
                && !seen.insert(id)
            {
                self.bad(at, &format!("action_id {id} stands twice"));
            }
        }
    }

    fn context_element(&mut self, at: &str, element: &Value) {
        match element.get("type").and_then(Value::as_str) {
            Some("image") => self.any_element(at, element),
            _ => self.text(at, element, FIELD_CHARS_MAX, Kind::Any),
        }
    }

    fn any_element(&mut self, at: &str, element: &Value) {
        match (element.get("type").and_then(Value::as_str), element.as_object()) {
            (Some("image"), Some(image)) => {
                self.only(at, image, &["image_url", "alt_text", "slack_file"]);
                self.image(at, image);
            }
            _ => self.action_element(at, element),
        }
    }

    fn image(&mut self, at: &str, image: &Map<String, Value>) {
        let url = image.get("image_url").and_then(Value::as_str).unwrap_or_default();
        if (url.is_empty() && !image.contains_key("slack_file"))
            || url.chars().count() > URL_CHARS_MAX
        {
            self.bad(at, "an image needs an image_url of at most 3000 characters");
        }
        let alt = image.get("alt_text").and_then(Value::as_str).unwrap_or_default();
        if alt.is_empty() || alt.chars().count() > 2_000 {
            self.bad(at, "an image needs an alt_text of at most 2000 characters");
        }
    }

    fn input_element(&mut self, at: &str, element: &Value) {
        match element.get("type").and_then(Value::as_str) {
            Some(
                "plain_text_input" | "number_input" | "url_text_input" | "email_text_input"
                | "rich_text_input" | "file_input",
            ) => self.id(&format!("{at}.action_id"), element.get("action_id")),
            _ => self.action_element(at, element),
        }
    }

    fn action_element(&mut self, at: &str, element: &Value) {
        let Some(object) = element.as_object() else {
            return self.bad(at, "must be an object");
        };
        self.id(&format!("{at}.action_id"), object.get("action_id"));
        if let Some(confirm) = object.get("confirm") {
            self.confirm(&format!("{at}.confirm"), confirm);
        }
        if let Some(text) = object.get("placeholder") {
            self.text(&format!("{at}.placeholder"), text, 150, Kind::Plain);
        }
        match object.get("type").and_then(Value::as_str).unwrap_or_default() {
            "button" => self.button(at, object),
            "static_select"
            | "multi_static_select"
            | "radio_buttons"
            | "checkboxes"
            | "overflow" => {
                if !object.contains_key("option_groups") {
                    self.options(at, object);
                }
            }
            "users_select"
            | "multi_users_select"
            | "conversations_select"
            | "channels_select"
            | "external_select"
            | "datepicker"
            | "timepicker"
            | "datetimepicker" => {}
            "" => self.bad(at, "type is missing"),
            other => self.bad(at, &format!("{other} cannot stand here")),
        }
    }

    fn button(&mut self, at: &str, button: &Map<String, Value>) {
        let allowed =
            ["text", "action_id", "url", "value", "style", "confirm", "accessibility_label"];
        self.only(at, button, &allowed);
        self.required_text(at, button, "text", BUTTON_CHARS_MAX, Kind::Plain);
        for (key, max) in [("value", BUTTON_VALUE_CHARS_MAX), ("url", URL_CHARS_MAX)] {
            match button.get(key) {
                None => {}
                Some(Value::String(text)) if text.chars().count() <= max => {}
                Some(Value::String(_)) => {
                    self.bad(at, &format!("{key} has more than {max} characters"));
                }
                Some(_) => self.bad(at, &format!("{key} must be a string")),
            }
        }
        match button.get("style").map(|style| style.as_str().unwrap_or_default()) {
            None | Some("primary" | "danger") => {}
            Some(_) => self.bad(at, "style is primary, danger or absent"),
        }
    }

    fn options(&mut self, at: &str, element: &Map<String, Value>) {
        let options = element.get("options").and_then(Value::as_array);
        let Some(options) = options.filter(|options| (1..=OPTIONS_MAX).contains(&options.len()))
        else {
            return self.bad(at, "must have 1 to 100 options");
        };
        for (index, option) in options.iter().enumerate() {
            let at = format!("{at}.options[{index}]");
            match option.get("text") {
                Some(text) => self.text(&format!("{at}.text"), text, OPTION_CHARS_MAX, Kind::Any),
                None => self.bad(&at, "text is missing"),
            }
            let value = option.get("value").and_then(Value::as_str).unwrap_or_default();
            if value.is_empty() || value.chars().count() > OPTION_VALUE_CHARS_MAX {
                self.bad(&at, "value must be 1 to 150 characters");
            }
        }
    }

    fn confirm(&mut self, at: &str, confirm: &Value) {
        let Some(confirm) = confirm.as_object() else {
            return self.bad(at, "must be an object");
        };
        self.only(at, confirm, &["title", "text", "confirm", "deny", "style"]);
        self.required_text(at, confirm, "title", CONFIRM_TITLE_CHARS_MAX, Kind::Plain);
        self.required_text(at, confirm, "text", CONFIRM_TEXT_CHARS_MAX, Kind::Any);
        self.required_text(at, confirm, "confirm", CONFIRM_BUTTON_CHARS_MAX, Kind::Plain);
        self.required_text(at, confirm, "deny", CONFIRM_BUTTON_CHARS_MAX, Kind::Plain);
    }

    fn id(&mut self, at: &str, id: Option<&Value>) {
        match id {
            None => {}
            Some(Value::String(id)) if (1..=ID_CHARS_MAX).contains(&id.chars().count()) => {}
            Some(_) => self.bad(at, "must be a string of 1 to 255 characters"),
        }
    }

    fn required_text(
        &mut self,
        at: &str,
        object: &Map<String, Value>,
        key: &str,
        max: usize,
        kind: Kind,
    ) {
        match object.get(key) {
            Some(text) => self.text(&format!("{at}.{key}"), text, max, kind),
            None => self.bad(at, &format!("{key} is missing")),
        }
    }

    fn text(&mut self, at: &str, text: &Value, max: usize, kind: Kind) {
        let Some(object) = text.as_object() else {
            return self.bad(at, "must be a text object");
        };
        let own = match object.get("type").and_then(Value::as_str) {
            Some("plain_text") => "emoji",
            Some("mrkdwn") if kind == Kind::Any => "verbatim",
            Some("mrkdwn") => return self.bad(at, "must be plain_text"),
            _ => return self.bad(at, "must be of type plain_text or mrkdwn"),
        };
        self.only(at, object, &["text", own]);
        let Some(words) = object.get("text").and_then(Value::as_str) else {
            return self.bad(at, "text must be a string");
        };
        if !(1..=max).contains(&words.chars().count()) {
            self.bad(at, &format!("must be 1 to {max} characters"));
        }
        if own == "verbatim" {
            self.mrkdwn(at, words);
        }
    }

    fn mrkdwn(&mut self, at: &str, words: &str) {
        for risk in mrkdwn::risks(words, self.allow_broadcasts) {
            self.found.risky.push(format!("{at}: {risk}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn refusals(message: &Value) -> Vec<String> {
        check_message(message.as_object().expect("an object"), false).refused
    }

    fn with_block(block: &Value) -> Value {
        json!({"text": "a", "blocks": [block]})
    }

    fn plain(chars: usize) -> Value {
        json!({"type": "plain_text", "text": "字".repeat(chars)})
    }

    fn mrkdwn(chars: usize) -> Value {
        json!({"type": "mrkdwn", "text": "字".repeat(chars)})
    }

    fn button(text: usize, value: usize, id: usize) -> Value {
        json!({"type": "button", "text": plain(text), "value": "v".repeat(value),
            "action_id": "a".repeat(id)})
    }

    fn confirm(title: usize, text: usize, yes: usize, no: usize) -> Value {
        let confirm = json!({"title": plain(title), "text": plain(text), "confirm": plain(yes),
            "deny": plain(no)});
        json!({"type": "actions", "elements": [
            {"type": "button", "text": plain(1), "action_id": "a", "confirm": confirm}]})
    }

    fn buttons(count: usize) -> Vec<Value> {
        (0..count)
            .map(|index| json!({"type": "button", "text": plain(1), "action_id": format!("{index}")}))
            .collect()
    }

    /// Each limit twice: at the limit it passes, one beyond it does not.
    #[test]
    fn every_limit_holds_exactly() {
        type Make = Box<dyn Fn(usize) -> Value>;
        let block = |make: fn(usize) -> Value| -> Make { Box::new(move |n| with_block(&make(n))) };
        let table: Vec<(&str, usize, Make)> = vec![
            ("blocks", 50, Box::new(|n| json!({"blocks": vec![json!({"type": "divider"}); n]}))),
            ("text", 40_000, Box::new(|n| json!({"text": "t".repeat(n)}))),
            ("header", 150, block(|n| json!({"type": "header", "text": plain(n)}))),
            ("section text", 3_000, block(|n| json!({"type": "section", "text": mrkdwn(n)}))),
            ("fields", 10, block(|n| json!({"type": "section", "fields": vec![mrkdwn(1); n]}))),
            ("field", 2_000, block(|n| json!({"type": "section", "fields": [mrkdwn(n)]}))),
            ("context", 10, block(|n| json!({"type": "context", "elements": vec![plain(1); n]}))),
            ("actions", 25, block(|n| json!({"type": "actions", "elements": buttons(n)}))),
            (
                "button text",
                75,
                block(|n| json!({"type": "actions", "elements": [button(n, 1, 1)]})),
            ),
            (
                "button value",
                2_000,
                block(|n| json!({"type": "actions", "elements": [button(1, n, 1)]})),
            ),
            (
                "action_id",
                255,
                block(|n| json!({"type": "actions", "elements": [button(1, 1, n)]})),
            ),
            ("block_id", 255, block(|n| json!({"type": "divider", "block_id": "b".repeat(n)}))),
            ("confirm title", 100, block(|n| confirm(n, 1, 1, 1))),
            ("confirm text", 300, block(|n| confirm(1, n, 1, 1))),
            ("confirm yes", 30, block(|n| confirm(1, 1, n, 1))),
            ("confirm no", 30, block(|n| confirm(1, 1, 1, n))),
            ("markdown", 12_000, block(|n| json!({"type": "markdown", "text": "m".repeat(n)}))),
            (
                "attachment blocks",
                50,
                Box::new(
                    |n| json!({"attachments": [{"blocks": vec![json!({"type": "divider"}); n]}]}),
                ),
            ),
        ];

        for (name, limit, make) in table {
            assert_eq!(refusals(&make(limit)), Vec::<String>::new(), "{name} at its limit");
            assert!(!refusals(&make(limit + 1)).is_empty(), "{name} beyond its limit");
            assert!(!refusals(&make(0)).is_empty() || name == "button value", "{name} empty");
        }
    }

    #[test]
    fn wrong_shapes_are_refused() {
        let table = [
            json!({"type": "section"}),
            json!({"type": "section", "text": "words"}),
            json!({"type": "section", "text": {"type": "markdown", "text": "a"}}),
            json!({"type": "section", "text": {"type": "mrkdwn", "text": "a", "emoji": true}}),
            json!({"type": "header", "text": {"type": "mrkdwn", "text": "a"}}),
            json!({"type": "divider", "text": {"type": "plain_text", "text": "a"}}),
            json!({"type": "panel"}),
            json!({"text": {"type": "plain_text", "text": "a"}}),
            json!({"type": "context", "elements": [{"type": "button", "text": plain(1)}]}),
            json!({"type": "actions", "elements": [{"type": "button"}]}),
            json!({"type": "actions", "elements": [{"type": "button", "text": plain(1), "style": "red"}]}),
            json!({"type": "actions", "elements": [button(1, 1, 1), button(1, 2, 1)]}),
            json!({"type": "image", "image_url": "https://example.com/a.png"}),
            json!("divider"),
        ];

        for block in table {
            assert!(!refusals(&with_block(&block)).is_empty(), "{block}");
        }
        let twice = json!({"type": "divider", "block_id": "same"});
        assert!(!refusals(&json!({"blocks": [twice, twice]})).is_empty());
        assert!(!refusals(&json!({"blocks": "[]"})).is_empty());
        assert!(!refusals(&json!({})).is_empty());
    }

    #[test]
    fn metadata_holds_a_type_and_flat_values() {
        let with = |metadata: Value| json!({"text": "a", "metadata": metadata});

        let good = with(json!({"event_type": "neostock", "event_payload": {"id": "E-1"}}));
        assert_eq!(refusals(&good), Vec::<String>::new());
        for bad in [
            json!({"event_payload": {}}),
            json!({"event_type": "neostock"}),
            json!({"event_type": "neostock", "event_payload": {"id": ["E-1"]}}),
            json!("E-1"),
        ] {
            assert!(!refusals(&with(bad.clone())).is_empty(), "{bad}");
        }
    }

    #[test]
    fn a_broadcast_and_unescaped_text_are_risks_unless_allowed() {
        let risks = |text: &str, allow| {
            let message = json!({"text": text});
            check_message(message.as_object().expect("an object"), allow).risky.len()
        };

        assert_eq!(risks("look <!channel>", false), 1);
        assert_eq!(risks("look <!channel>", true), 0);
        assert_eq!(risks("look &lt;!channel&gt; <@U0ANN> <https://a.example|b>", false), 0);
        assert_eq!(risks("a < b", true), 1);
        assert_eq!(risks("a & b", true), 1);
    }
}
