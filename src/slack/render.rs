//! A card as Slack's blocks, within every limit of Block Kit whatever its texts hold.
//!
//! Built with slack-morphism's models, so that a block cannot be misspelt. Decisions:
//! - **No attachments, hence no colour bar.** Slack hides attachments behind "show more" where it
//!   likes (a button that approves must be seen), does not reliably notify people mentioned in one,
//!   and shows the message's `text` a second time above it. Everything is a top-level block; the tone
//!   is a coloured circle before the first header, or before the first paragraph of a card without
//!   one, unless that text brings its own symbol.
//! - **Buttons outlive everything else** when a card has more than 50 blocks.
//! - **The same action twice in a row of buttons** starts a new row: action ids are unique in a block.
//! - `verbatim`: Slack must not find links, channels or `@here` in text by itself.

use super::mrkdwn;
use crate::core::card::{Button, ButtonStyle, Card, Confirm, Line, Part, Span, Tone};
use serde::{Deserialize, Serialize};
use slack_morphism::prelude::{
    SlackActionBlockElement, SlackActionId, SlackActionsBlock, SlackBlock, SlackBlockButtonElement,
    SlackBlockButtonStyle, SlackBlockConfirmItem, SlackBlockMarkDownText, SlackBlockPlainText,
    SlackBlockPlainTextOnly, SlackBlockText, SlackContextBlock, SlackContextBlockElement,
    SlackDividerBlock, SlackHeaderBlock, SlackSectionBlock,
};

// Slack's documented limits, in UTF-16 units or in elements.
const BLOCKS_MAX: usize = 50;
const TEXT_UNITS_MAX: usize = 4_000;
const HEADER_UNITS_MAX: usize = 150;
const SECTION_UNITS_MAX: usize = 3_000;
const FIELD_UNITS_MAX: usize = 2_000;
const FIELDS_MAX: usize = 10;
const CONTEXT_UNITS_MAX: usize = 2_000;
const ACTIONS_MAX: usize = 25;
const BUTTON_UNITS_MAX: usize = 75;
const VALUE_UNITS_MAX: usize = 2_000;
const ACTION_ID_UNITS_MAX: usize = 255;
const CONFIRM_TITLE_UNITS_MAX: usize = 100;
const CONFIRM_TEXT_UNITS_MAX: usize = 300;
const CONFIRM_BUTTON_UNITS_MAX: usize = 30;
const FORM_TITLE_UNITS_MAX: usize = 24;
const FORM_LABEL_UNITS_MAX: usize = 150;
const OPTIONS_MAX: usize = 100;

/// Stands where a text would be empty and Slack demands one.
const NOTHING: &str = "–";

/// A message ready for Slack: serializes as `{"text": …, "blocks": […]}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rendered {
    /// What a lock screen and a screen reader say; escaped.
    pub text: String,
    /// One to fifty blocks.
    pub blocks: Vec<SlackBlock>,
}

impl Rendered {
    /// Whether it calls whoever is active in the channel. Text from outside is escaped and calls nobody.
    pub fn calls_here(&self) -> bool {
        serde_json::to_string(&self.blocks).is_ok_and(|blocks| blocks.contains("<!here>"))
    }
}

/// One of several, before a form's question.
#[derive(Debug, Clone)]
pub struct Choice {
    /// The name of the block and the menu, and what is asked.
    pub input: (&'static str, String),
    /// What comes back, and what is shown; the first is chosen unless another is. At least one.
    pub options: Vec<(&'static str, String)>,
}

/// A form with one question: a modal.
#[derive(Debug, Clone)]
pub struct Form {
    /// Which form it is.
    pub callback_id: &'static str,
    /// What its submission brings back.
    pub private_metadata: String,
    /// At most 24 characters are shown.
    pub title: String,
    /// The button that sends it off.
    pub submit: String,
    /// The button that does not.
    pub close: String,
    /// What stands above the question.
    pub words: Line,
    /// What is chosen before it, if anything.
    pub choice: Option<Choice>,
    /// The name of the block and the input, and the question.
    pub input: (&'static str, String),
    /// What stands below it, in grey.
    pub hint: String,
    /// Characters that the input takes.
    pub chars_max: usize,
}

/// A form as Slack's view. What would not fit is cut, the private part is refused by Slack beyond 3,000
/// characters: nothing of ours is longer than a run's id and two numbers.
pub fn form(form: &Form) -> serde_json::Value {
    let plain = |text: &str, units_max| {
        let text = mrkdwn::plain(text, units_max).unwrap_or_else(|| NOTHING.to_owned());
        serde_json::json!({"type": "plain_text", "text": text, "emoji": true})
    };
    let words = mrkdwn::line(&form.words, SECTION_UNITS_MAX).unwrap_or_else(|| NOTHING.to_owned());
    let (name, question) = &form.input;
    let mut blocks = vec![serde_json::json!({
        "type": "section", "text": {"type": "mrkdwn", "text": words, "verbatim": true},
    })];
    blocks.extend(form.choice.as_ref().map(|choice| {
        let (name, question) = &choice.input;
        let options = choice.options.iter().take(OPTIONS_MAX).map(|(value, label)| {
            serde_json::json!({"text": plain(label, BUTTON_UNITS_MAX), "value": value})
        });
        let options: Vec<serde_json::Value> = options.collect();
        let element = serde_json::json!({
            "type": "static_select", "action_id": name, "initial_option": options.first(),
            "options": options,
        });
        serde_json::json!({
            "type": "input", "block_id": name, "label": plain(question, FORM_LABEL_UNITS_MAX),
            "element": element,
        })
    }));
    blocks.push(serde_json::json!({
        "type": "input",
        "block_id": name,
        "label": plain(question, FORM_LABEL_UNITS_MAX),
        "hint": plain(&form.hint, FORM_LABEL_UNITS_MAX),
        "element": {
            "type": "plain_text_input",
            "action_id": name,
            "multiline": true,
            "min_length": 1,
            "max_length": form.chars_max,
        },
    }));
    serde_json::json!({
        "type": "modal",
        "callback_id": form.callback_id,
        "private_metadata": form.private_metadata,
        "title": plain(&form.title, FORM_TITLE_UNITS_MAX),
        "submit": plain(&form.submit, FORM_TITLE_UNITS_MAX),
        "close": plain(&form.close, FORM_TITLE_UNITS_MAX),
        "blocks": blocks,
    })
}

/// Where an answer to a request appears.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// A new message that only the asker sees.
    Private,
    /// A new message in the channel.
    Channel,
    /// In place of the message that was pressed on.
    Original,
}

/// The body of an answer, inline or to a `response_url`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Answer<'r> {
    #[serde(skip_serializing_if = "Option::is_none")]
    response_type: Option<&'static str>,
    replace_original: bool,
    #[serde(flatten)]
    rendered: &'r Rendered,
}

impl Rendered {
    /// The body that answers a slash command or a press, or that goes to a `response_url`.
    pub fn answer(&self, place: Place) -> Answer<'_> {
        let response_type = match place {
            Place::Private => Some("ephemeral"),
            Place::Channel => Some("in_channel"),
            Place::Original => None,
        };
        Answer { response_type, replace_original: place == Place::Original, rendered: self }
    }
}

/// Renders a card.
pub fn render(card: &Card) -> Rendered {
    let summary = |units_max| {
        let text = [Span::Text(card.summary.clone())];
        mrkdwn::line(&text, units_max).unwrap_or_else(|| NOTHING.into())
    };
    let mut blocks = Vec::new();
    let mut mark = mark(card.tone);
    let has_header = card.parts.iter().any(|part| matches!(part, Part::Header(_)));
    for part in &card.parts {
        let takes_mark = match part {
            Part::Header(_) => true,
            Part::Paragraph(_) => !has_header,
            _ => false,
        };
        let before = blocks.len();
        push_part(&mut blocks, part, if takes_mark { mark } else { None });
        if takes_mark && blocks.len() > before {
            mark = None;
        }
    }
    if blocks.is_empty() {
        blocks.push(section(summary(SECTION_UNITS_MAX)));
    }
    Rendered { text: summary(TEXT_UNITS_MAX), blocks: at_most(blocks, BLOCKS_MAX) }
}

fn mark(tone: Tone) -> Option<&'static str> {
    match tone {
        Tone::Neutral => None,
        Tone::Active => Some("🔵"),
        Tone::Good => Some("🟢"),
        Tone::Warning => Some("🟡"),
        Tone::Bad => Some("🔴"),
    }
}

fn push_part(blocks: &mut Vec<SlackBlock>, part: &Part, mark: Option<&str>) {
    match part {
        Part::Header(text) => blocks.extend(header(text, mark)),
        Part::Paragraph(line) => blocks.extend(paragraph(line, mark)),
        Part::Fields(fields) => push_fields(blocks, fields),
        Part::Context(line) => blocks.extend(mrkdwn::line(line, CONTEXT_UNITS_MAX).map(context)),
        Part::Output(text) => blocks.extend(mrkdwn::output(text, SECTION_UNITS_MAX).map(section)),
        Part::Divider => blocks.push(SlackDividerBlock::new().into()),
        Part::Buttons(buttons) => push_buttons(blocks, buttons),
    }
}

fn header(text: &str, mark: Option<&str>) -> Option<SlackBlock> {
    let mut shown = mrkdwn::plain(text, HEADER_UNITS_MAX)?;
    if let Some(mark) = mark.filter(|_| !starts_with_symbol(&shown)) {
        shown = mrkdwn::plain(&format!("{mark} {shown}"), HEADER_UNITS_MAX)?;
    }
    Some(SlackHeaderBlock::new(plain_text(shown)).into())
}

fn paragraph(line: &Line, mark: Option<&str>) -> Option<SlackBlock> {
    let shown = mrkdwn::line(line, SECTION_UNITS_MAX)?;
    let Some(mark) = mark.filter(|_| !starts_with_symbol(&shown)) else {
        return Some(section(shown));
    };
    let mut marked = vec![Span::Text(format!("{mark} "))];
    marked.extend_from_slice(line);
    mrkdwn::line(&marked, SECTION_UNITS_MAX).map(section)
}

/// Whether a text begins with a symbol of its own, such as ✅ or 🚀.
fn starts_with_symbol(text: &str) -> bool {
    let first = text.trim_start_matches(['*', '_', ' ']).chars().next();
    matches!(
        first,
        Some(
            '\u{2300}'..='\u{23ff}'
            | '\u{25a0}'..='\u{27bf}'
            | '\u{2b00}'..='\u{2bff}'
            | '\u{1f300}'..='\u{1faff}',
        )
    )
}

fn push_fields(blocks: &mut Vec<SlackBlock>, fields: &[(String, Line)]) {
    let shown: Vec<SlackBlockText> = fields.iter().filter_map(field).collect();
    let rows = shown.chunks(FIELDS_MAX);
    blocks.extend(rows.map(|row| SlackSectionBlock::new().with_fields(row.to_vec()).into()));
}

/// A label without a value keeps its place with a dash: "approved by –" says something.
fn field((label, value): &(String, Line)) -> Option<SlackBlockText> {
    let label = mrkdwn::line(&[Span::Bold(label.clone())], FIELD_UNITS_MAX / 4);
    let label = label.map(|label| format!("{label}\n")).unwrap_or_default();
    let room = FIELD_UNITS_MAX - mrkdwn::units(&label);
    let value = mrkdwn::line(value, room);
    if label.is_empty() && value.is_none() {
        return None;
    }
    let value = value.unwrap_or_else(|| NOTHING.into());
    Some(SlackBlockText::MarkDown(verbatim(format!("{label}{value}"))))
}

fn push_buttons(blocks: &mut Vec<SlackBlock>, buttons: &[Button]) {
    let mut row: Vec<SlackActionBlockElement> = Vec::new();
    let mut ids: Vec<String> = Vec::new();
    for button in buttons {
        let id = action_id(&button.action);
        if row.len() == ACTIONS_MAX || ids.contains(&id) {
            blocks.push(SlackActionsBlock::new(std::mem::take(&mut row)).into());
            ids.clear();
        }
        row.push(SlackActionBlockElement::Button(element(button, id.clone())));
        ids.push(id);
    }
    if !row.is_empty() {
        blocks.push(SlackActionsBlock::new(row).into());
    }
}

fn element(button: &Button, action_id: String) -> SlackBlockButtonElement {
    let style = match button.style {
        ButtonStyle::Default => None,
        ButtonStyle::Primary => Some(SlackBlockButtonStyle::Primary),
        ButtonStyle::Danger => Some(SlackBlockButtonStyle::Danger),
    };
    let value = machine_text(&button.value, VALUE_UNITS_MAX);
    SlackBlockButtonElement::new(plain_or_dash(&button.label, BUTTON_UNITS_MAX))
        .with_action_id(SlackActionId(action_id))
        .opt_value((!value.is_empty()).then_some(value))
        .opt_style(style)
        .opt_confirm(button.confirm.as_ref().map(confirm))
}

fn confirm(confirm: &Confirm) -> SlackBlockConfirmItem {
    let question = mrkdwn::line(&[Span::Text(confirm.text.clone())], CONFIRM_TEXT_UNITS_MAX)
        .unwrap_or_else(|| NOTHING.into());
    SlackBlockConfirmItem::new(
        plain_or_dash(&confirm.title, CONFIRM_TITLE_UNITS_MAX),
        SlackBlockText::MarkDown(verbatim(question)),
        plain_or_dash(&confirm.yes, CONFIRM_BUTTON_UNITS_MAX),
        plain_or_dash(&confirm.no, CONFIRM_BUTTON_UNITS_MAX),
    )
}

fn action_id(action: &str) -> String {
    let id = machine_text(action, ACTION_ID_UNITS_MAX);
    if id.is_empty() { NOTHING.into() } else { id }
}

/// An id or a value that only programs read: unchanged while it fits. One that does not is cut, and
/// the press then binds to nothing and is refused; our own are far shorter.
fn machine_text(text: &str, units_max: usize) -> String {
    let mut used = 0;
    let fits = |letter: &char| {
        used += letter.len_utf16();
        used <= units_max
    };
    text.chars().take_while(fits).collect()
}

/// Keeps every row of buttons and then as many other blocks as fit, in their order; a last line says
/// how many are missing.
fn at_most(blocks: Vec<SlackBlock>, blocks_max: usize) -> Vec<SlackBlock> {
    if blocks.len() <= blocks_max {
        return blocks;
    }
    let is_row = |block: &SlackBlock| matches!(block, SlackBlock::Actions(_));
    let room = blocks_max - 1;
    let mut rows_left = blocks.iter().filter(|block| is_row(block)).count().min(room);
    let mut others_left = room - rows_left;
    let total = blocks.len();
    let mut kept: Vec<SlackBlock> = blocks
        .into_iter()
        .filter(|block| {
            let left = if is_row(block) { &mut rows_left } else { &mut others_left };
            let fits = *left > 0;
            *left = left.saturating_sub(1);
            fits
        })
        .collect();
    let missing = total - kept.len();
    kept.push(context(format!("… {missing} more · 另有 {missing} 项")));
    kept
}

fn section(text: String) -> SlackBlock {
    SlackSectionBlock::new().with_text(SlackBlockText::MarkDown(verbatim(text))).into()
}

fn context(text: String) -> SlackBlock {
    SlackContextBlock::new(vec![SlackContextBlockElement::MarkDown(verbatim(text))]).into()
}

fn verbatim(text: String) -> SlackBlockMarkDownText {
    SlackBlockMarkDownText::new(text).with_verbatim(true)
}

fn plain_text(text: String) -> SlackBlockPlainTextOnly {
    SlackBlockPlainText::new(text).with_emoji(true).into()
}

fn plain_or_dash(text: &str, units_max: usize) -> SlackBlockPlainTextOnly {
    plain_text(mrkdwn::plain(text, units_max).unwrap_or_else(|| NOTHING.into()))
}

#[cfg(test)]
#[path = "render_tests.rs"]
mod tests;
