//! `whoami`: who the asker is to the bot, and why they may what they may.

use super::help::{may_list, whom_line};
use super::roles::{VIEWER, role_named, roles_of_verb};
use super::{Context, Spec, answer, text, with_code};
use crate::core::action::{Member, Role};
use crate::core::card::{Card, Line, Part, Span, Tone};
use crate::core::id::UserId;
use crate::core::param::ArgumentFault;
use crate::core::policy::{Facts, lines};
use crate::core::rule;
use crate::core::text::Lang;
use crate::core::words::Words;
use crate::engine::{Asked, Error};

/// How it is asked for.
pub const SPEC: Spec = Spec {
    name: "whoami",
    usage: "",
    example: "whoami",
    zh: "您在这里是谁，有哪些角色，凭什么",
    en: "Who you are here, which roles you hold, and through what",
};

/// A question about oneself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Whoami;

/// Reads the words after `whoami`: none.
pub fn parse(words: &mut Words<'_>) -> Result<Whoami, ArgumentFault> {
    super::nothing_more(words)?;
    Ok(Whoami)
}

/// Answers.
pub async fn run(context: &Context<'_>, asked: Asked) -> Result<String, Error> {
    let lang = context.lang;
    let mut roles: Vec<Role> = context.runbook.roles.values().cloned().collect();
    if !context.runbook.roles.contains_key(VIEWER) {
        roles.push(role_named(VIEWER, context.runbook));
    }
    let everyone = Role { name: String::new(), members: vec![Member::Everyone], line: 0 };
    let facts = context.powers.facts(roles.iter().chain([&everyone])).await;
    let mut who = vec![
        Span::User(asked.actor.clone()),
        text(" · "),
        Span::Code(asked.actor.to_string()),
        text(" · "),
    ];
    who.extend(standing(&facts, context).await);
    who.push(text(lang.pick(" · 语言：中文", " · language: English")));
    let mut held: Line = Vec::new();
    for role in &roles {
        if !held.is_empty() {
            held.push(text("\n"));
        }
        held.extend(held_through(role, &facts, context));
    }
    let mut parts = vec![Part::Paragraph(who), Part::Paragraph(held)];
    let may = may_list(&facts, context);
    parts.push(Part::Paragraph(may.names(lang)));
    parts.extend(whom_line(&may, lang).map(Part::Context));
    let summary = lang.pick("您在这里的身份", "Who you are here").to_owned();
    answer(context, asked, "request.answered", &Card { summary, tone: Tone::Neutral, parts }).await
}

/// What Slack says the asker is.
async fn standing(facts: &Facts, context: &Context<'_>) -> Line {
    let lang = context.lang;
    let person = context.powers.person().await;
    let words = match (facts.full_member, person) {
        (Some(true), _) => lang.pick("正式成员", "a full member"),
        (Some(false), Ok(Some(person))) if person.deleted => {
            lang.pick("已停用的帐号", "a deactivated account")
        }
        (Some(false), Ok(Some(person))) if person.is_bot => lang.pick("机器人", "a bot"),
        (Some(false), Ok(Some(person))) if person.is_restricted || person.is_ultra_restricted => {
            lang.pick("访客", "a guest")
        }
        (Some(false), _) => lang.pick("不是本工作区的成员", "not a member of this workspace"),
        (None, _) => lang.pick(
            "身份未知：现在无法向 Slack 查询",
            "unknown what: Slack cannot be asked right now",
        ),
    };
    vec![text(words)]
}

/// A role, whether the asker holds it, and the line that says so.
fn held_through(role: &Role, facts: &Facts, context: &Context<'_>) -> Line {
    let lang = context.lang;
    let answers = lines(&context.powers.actor, role, facts);
    let through = answers.iter().find(|(_, answer)| *answer == Some(true));
    let is_unknown = answers.iter().any(|(_, answer)| answer.is_none());
    let sign = match through {
        Some(_) => "✅ ",
        None if is_unknown => "❔ ",
        None => "➖ ",
    };
    let mut line = vec![text(sign), Span::Code(role.name.clone())];
    match through {
        Some((member, _)) => {
            line.push(text(lang.pick(" 凭 ", " through ")));
            line.push(member_span(member, lang));
        }
        None if is_unknown => line.extend(with_code(
            lang.pick(" 未知：现在无法向 Slack 查询", " unknown: Slack cannot be asked right now"),
        )),
        None => line.push(text(lang.pick(" 没有", " not held"))),
    }
    line
}

/// A line of a role, as people read it.
pub(super) fn member_span(member: &Member, lang: Lang) -> Span {
    match member {
        Member::Everyone => {
            text(lang.pick("everyone（全体正式成员）", "everyone (every full member)"))
        }
        Member::User(user) => Span::User(UserId::new(user.clone())),
        Member::Group(group) => Span::Group(group.clone()),
    }
}

/// The roles that some command needs, each once.
pub(super) fn roles_in_use(context: &Context<'_>) -> Vec<Role> {
    let runbook = context.runbook;
    let mut names: Vec<String> =
        runbook.actions.values().flat_map(rule::roles).map(str::to_owned).collect();
    for spec in super::VERBS {
        names.extend(roles_of_verb(spec.name, runbook).into_iter().map(|role| role.name));
    }
    names.sort_unstable();
    names.dedup();
    names.iter().map(|name| role_named(name, runbook)).collect()
}
