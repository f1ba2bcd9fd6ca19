//! A lead lets somebody else decide in their place, for a while: who may, how long, and what is said of it.

use super::card::{Card, Line, Part, Span, Tone, mention, prose, text};
use super::id::UserId;
use super::text::Lang;

/// The shortest delegation.
pub const MIN_MS: u64 = 60_000;
/// The longest one: after that it is a change of the runbook.
pub const MAX_MS: u64 = 14 * 24 * 3_600_000;

/// Somebody decides in another's place, in one role, until a moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delegation {
    /// The role.
    pub role: String,
    /// In whose place; they must hold the role themselves, also when it is used.
    pub from: UserId,
    /// Who decides.
    pub to: UserId,
    /// Why.
    pub reason: String,
    /// When it ends.
    pub until_ms: i64,
}

/// Tells a channel of it.
pub fn begun_card(delegations: &[Delegation], lang: Lang) -> Card {
    let mut line = Line::new();
    for delegation in delegations {
        if !line.is_empty() {
            line.push(text("\n"));
        }
        line.push(text("🤝 "));
        line.extend(words(delegation, lang));
    }
    let summary = lang.pick("🤝 审批权委托", "🤝 Approvals are delegated").to_owned();
    Card { summary, tone: Tone::Neutral, parts: vec![Part::Paragraph(line)] }
}

/// `@bob lets @cat decide as lead until …: why`.
pub fn words(delegation: &Delegation, lang: Lang) -> Line {
    let mut line = vec![
        Span::User(delegation.from.clone()),
        text(lang.pick(" 委托 ", " lets ")),
        Span::User(delegation.to.clone()),
        text(lang.pick(" 代为以 ", " decide as ")),
        Span::Code(delegation.role.clone()),
        text(lang.pick(" 身份审批，至 ", " until ")),
        Span::Time(delegation.until_ms),
    ];
    if !delegation.reason.is_empty() {
        line.push(text(lang.pick("：", ": ")));
        line.extend(prose(&delegation.reason));
    }
    line
}

/// Tells a channel that nobody decides in another's place any more.
pub fn ended_card(by: &UserId, to: &UserId, roles: &[String], lang: Lang) -> Card {
    let mut line = vec![
        text("🤝 "),
        Span::User(by.clone()),
        text(lang.pick(" 结束了对 ", " ended what was delegated to ")),
        mention(to.as_str()),
        text(lang.pick(" 的委托：", ": ")),
    ];
    for (index, role) in roles.iter().enumerate() {
        if index > 0 {
            line.push(text(lang.pick("、", ", ")));
        }
        line.push(Span::Code(role.clone()));
    }
    let summary = lang.pick("🤝 委托已结束", "🤝 A delegation was ended").to_owned();
    Card { summary, tone: Tone::Neutral, parts: vec![Part::Paragraph(line)] }
}
