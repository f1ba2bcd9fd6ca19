//! `whoami`: who the asker is to the bot, and why they may what they may.

use super::help::{may_list, whom_line};
use super::roles::{VIEWER, role_named, roles_of_verb};
use super::{Context, Spec, answer, text, with_code};
use crate::core::action::{Member, Role};
use crate::core::card::{Card, Line, Part, Span, Tone};
use crate::core::duration;
use crate::core::id::UserId;
use crate::core::param::ArgumentFault;
use crate::core::policy::{Denied, Facts, Known, Standing, authorize, lines};
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
    let facts = context.powers.facts(&roles).await;
    let mut who = vec![
        Span::User(asked.actor.clone()),
        text(" · "),
        Span::Code(asked.actor.to_string()),
        text(" · "),
    ];
    who.push(text(standing(&facts, lang)));
    who.push(text(lang.pick(" · 语言：中文", " · language: English")));
    let mut held: Line = Vec::new();
    for role in &roles {
        if !held.is_empty() {
            held.push(text("\n"));
        }
        held.extend(held_through(role, &facts, context));
    }
    let mut parts = vec![Part::Paragraph(who)];
    parts.extend(since(&facts, context).map(Part::Context));
    parts.push(Part::Paragraph(held));
    let may = may_list(&facts, context);
    parts.push(Part::Paragraph(may.names(lang)));
    parts.extend(whom_line(&may, lang).map(Part::Context));
    let summary = lang.pick("您在这里的身份", "Who you are here").to_owned();
    answer(context, asked, "request.answered", &Card { summary, tone: Tone::Neutral, parts }).await
}

/// What Slack says the asker is, or last said.
fn standing(facts: &Facts, lang: Lang) -> &'static str {
    match facts.person {
        Known::Told { value: Standing::Full, .. } => lang.pick("正式成员", "a full member"),
        Known::Told { value: Standing::Deactivated, .. } => {
            lang.pick("已停用的帐号", "a deactivated account")
        }
        Known::Told { value: Standing::Bot, .. } => lang.pick("机器人", "a bot"),
        Known::Told { value: Standing::Guest, .. } => lang.pick("访客", "a guest"),
        Known::Told { value: Standing::OtherTeam, .. } => {
            lang.pick("不是本工作区的成员", "not a member of this workspace")
        }
        Known::Nothing => lang.pick(
            "身份未知：现在无法向 Slack 查询",
            "unknown what: Slack cannot be asked right now",
        ),
        Known::Refused => {
            lang.pick("身份未知：Slack 拒绝回答", "unknown what: Slack refuses to say")
        }
    }
}

/// From when the knowledge is, when it is not of this minute.
pub(super) fn since(facts: &Facts, context: &Context<'_>) -> Option<Line> {
    let lang = context.lang;
    let age_ms = facts.stale_ms()?;
    let at_ms = context.engine.clock().now_ms().saturating_sub_unsigned(age_ms);
    let age = duration::about(age_ms);
    Some(vec![
        text(lang.pick(
            "❔ 现在无法向 Slack 查询，最早的一条答复来自 ",
            "❔ Slack cannot be asked right now; the oldest of its answers is from ",
        )),
        Span::Time(at_ms),
        text(match lang {
            Lang::Zh => format!("（{}以前）", age.zh),
            Lang::En => format!(", {} ago", age.en),
        }),
    ])
}

/// A role, whether the asker holds it, and the line that says so.
fn held_through(role: &Role, facts: &Facts, context: &Context<'_>) -> Line {
    let lang = context.lang;
    let held = authorize(&context.powers.actor, role, facts);
    let is_unknown = matches!(held, Err(Denied::CannotTell { .. }));
    let answers = lines(&context.powers.actor, role, facts);
    let through = answers.iter().find(|(_, answer)| *answer == Some(true)).filter(|_| held.is_ok());
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
