//! A platform-neutral message. Slack's blocks are one rendering of it (`slack::render`).
//!
//! Text from people and programs stays text here: escaping, cutting and mention syntax belong to the
//! renderer, so that nobody else can forget them.

use super::id::{ChannelId, UserId};
use serde::{Deserialize, Serialize};

/// One message as a person sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Card {
    /// What a phone's lock screen and a screen reader say: one plain line.
    pub summary: String,
    /// Its colour bar.
    pub tone: Tone,
    /// From top to bottom.
    pub parts: Vec<Part>,
}

/// How a card looks from across the room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Tone {
    /// Neither good nor bad: waiting, information.
    Neutral,
    /// Under way.
    Active,
    /// Ended well.
    Good,
    /// Wants attention.
    Warning,
    /// Failed.
    Bad,
}

/// One block of a card.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Part {
    /// A large title; plain text.
    Header(String),
    /// A paragraph.
    Paragraph(Line),
    /// Short labelled values side by side: label, value.
    Fields(Vec<(String, Line)>),
    /// Small grey print.
    Context(Line),
    /// A program's output, shown as it is, the last lines when it is too long.
    Output(String),
    /// A thin rule.
    Divider,
    /// Buttons in a row.
    Buttons(Vec<Button>),
}

/// A run of text pieces.
pub type Line = Vec<Span>;

/// A piece of a line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Span {
    /// Plain text; may hold newlines.
    Text(String),
    /// Bold.
    Bold(String),
    /// Monospaced.
    Code(String),
    /// A person, by id; pings in a new message.
    User(UserId),
    /// A conversation, by id; shown as a link to it.
    Channel(ChannelId),
    /// A user group, by id; pings in a new message.
    Group(String),
    /// Everybody in the channel; pings in a new message. Never made from a text that came in.
    Here,
    /// A moment, in milliseconds since 1970 UTC: each reader sees it in their own time zone.
    Time(i64),
    /// A link.
    Link {
        /// `https://…` or `http://…`.
        url: String,
        /// What is shown.
        label: String,
    },
}

/// A press that the bot understands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Button {
    /// What it says; 75 characters at most.
    pub label: String,
    /// Which press it is, for the pipeline.
    pub action: String,
    /// What it binds to, for the pipeline.
    pub value: String,
    /// How it looks.
    pub style: ButtonStyle,
    /// Asked before it counts.
    pub confirm: Option<Confirm>,
}

/// How a button looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ButtonStyle {
    /// Plain.
    Default,
    /// The thing to do.
    Primary,
    /// The thing to think about.
    Danger,
}

/// A dialog between a press and its effect.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confirm {
    /// Its title.
    pub title: String,
    /// Its question.
    pub text: String,
    /// The button that goes on.
    pub yes: String,
    /// The button that goes back.
    pub no: String,
}

impl Card {
    /// A message of one paragraph.
    pub fn plain(summary: impl Into<String>) -> Self {
        let summary = summary.into();
        Self { parts: vec![Part::Paragraph(prose(&summary))], summary, tone: Tone::Neutral }
    }
}

/// A person (`U…`, `W…`) or a user group (`S…`) as a mention.
pub fn mention(id: &str) -> Span {
    if id.starts_with('S') { Span::Group(id.to_owned()) } else { Span::User(UserId::new(id)) }
}

/// Plain text as a span.
pub fn text(text: impl Into<String>) -> Span {
    Span::Text(text.into())
}

/// Words that a person wrote: `<@U…>` and `<@U…|name>` are that person, `<#C…>` and `<#C…|name>` that
/// conversation, everything else is text.
pub fn prose(words: &str) -> Line {
    let mut line = Vec::new();
    let mut rest = words;
    let mut plain = String::new();
    while let Some(start) = rest.find('<') {
        let (before, from) = rest.split_at(start);
        plain.push_str(before);
        if let Some((entity, after)) = entity(from) {
            if !plain.is_empty() {
                line.push(Span::Text(std::mem::take(&mut plain)));
            }
            line.push(entity);
            rest = after;
        } else {
            plain.push('<');
            rest = &from[1..];
        }
    }
    plain.push_str(rest);
    if !plain.is_empty() {
        line.push(Span::Text(plain));
    }
    line
}

/// A person or a conversation at the start of `from`, and what follows it.
fn entity(from: &str) -> Option<(Span, &str)> {
    let inside = from.strip_prefix('<')?;
    let end = inside.find('>')?;
    let id = inside[..end].split('|').next()?;
    let span = if let Some(user) = id.strip_prefix('@') {
        Span::User(UserId::new(id_of(user, &['U', 'W'])?))
    } else {
        Span::Channel(ChannelId::new(id_of(id.strip_prefix('#')?, &['C', 'G'])?))
    };
    Some((span, &inside[end + 1..]))
}

fn id_of<'i>(id: &'i str, first: &[char]) -> Option<&'i str> {
    let is_id = id.starts_with(first)
        && (2..=32).contains(&id.len())
        && id.chars().all(|letter| letter.is_ascii_uppercase() || letter.is_ascii_digit());
    is_id.then_some(id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_mention_in_prose_is_a_person_and_a_broadcast_is_text() {
        assert_eq!(
            prose("ask <@U1|ann> or <!channel> <@x>"),
            vec![text("ask "), Span::User(UserId::new("U1")), text(" or <!channel> <@x>"),]
        );
    }

    #[test]
    fn a_conversation_in_prose_is_a_link_to_it() {
        let dev = Span::Channel(ChannelId::new("C1"));
        assert_eq!(
            prose("as in <#C1|dev>, <#C1|> < <#dev>"),
            vec![text("as in "), dev.clone(), text(", "), dev, text(" < <#dev>"),]
        );
    }

    proptest! {
        #[test]
        fn prose_never_panics(words: String) {
            let _ = prose(&words);
        }
    }
}
