//! `delegate @user 8h why`: somebody who may approve lets another person decide in their place, for a while.
//! `delegate @user end` ends it; `delegate` alone lists what is in force.

use super::{Context, Spec, answer, answer_with, ephemeral, plain, refusal, text, with_code};
use crate::core::card::{Card, Part, Span, Tone};
use crate::core::delegation::{self, Delegation, MAX_MS, MIN_MS};
use crate::core::duration;
use crate::core::id::UserId;
use crate::core::param::{ArgumentFault, TEXT_CHARS_MAX, cut, narrow_word, user_id};
use crate::core::policy::{Actor, Authorized};
use crate::core::text::{Lang, Text};
use crate::core::words::Words;
use crate::engine::{Asked, Change, Error, Told};
use serde_json::json;

/// How it is asked for.
pub const SPEC: Spec = Spec {
    name: "delegate",
    usage: "[@user <duration>|end] [role=…] [reason…]",
    example: "delegate",
    zh: "委托别人在一段时间内代您审批；end 结束委托；不写则列出现有委托",
    en: "Let somebody approve in your place for a while; end it; or list what is in force",
};

/// What is asked about delegations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delegate {
    /// Which are in force.
    List,
    /// One begins.
    Begin {
        /// Who is to decide.
        to: UserId,
        /// For how long.
        for_ms: u64,
        /// In which role; `None`: in each that the asker holds.
        role: Option<String>,
        /// Why.
        reason: String,
    },
    /// What is delegated to somebody ends.
    End {
        /// To whom.
        to: UserId,
        /// In which role; `None`: in each that the asker holds.
        role: Option<String>,
    },
}

/// Reads the words after the verb.
pub fn parse(words: &mut Words<'_>) -> Result<Delegate, ArgumentFault> {
    let Some(word) = words.take() else { return Ok(Delegate::List) };
    let Some(to) = user_id(&word.text).map(UserId::new) else {
        let (name, value) = ("user".to_owned(), cut(&word.text));
        let expected = Text::new("一个人，写作 @名字", "a person, written as @name");
        return Err(ArgumentFault::Invalid { name, value, expected });
    };
    let Some(word) = words.take() else {
        return Err(ArgumentFault::Missing { name: "duration".to_owned() });
    };
    let typed = narrow_word(&word.text);
    let role = |words: &mut Words<'_>| {
        let role = words.peek().and_then(|word| {
            let typed = narrow_word(&word.text);
            typed.strip_prefix("role=").filter(|_| !word.quoted).map(str::to_owned)
        });
        if role.is_some() {
            words.take();
        }
        role
    };
    if matches!(typed.as_str(), "end" | "off" | "结束") {
        let role = role(words);
        super::nothing_more(words)?;
        return Ok(Delegate::End { to, role });
    }
    let bounds = MIN_MS..=MAX_MS;
    let Some(for_ms) = duration::parse(&typed).filter(|for_ms| bounds.contains(for_ms)) else {
        let expected = Text::new(
            "1 分钟到 14 天的一段时间，例如 8h；或 end",
            "a duration from 1m to 14d, such as 8h; or `end`",
        );
        let (name, value) = ("duration".to_owned(), cut(&word.text));
        return Err(ArgumentFault::Invalid { name, value, expected });
    };
    let role = role(words);
    let reason = words.take_rest().unwrap_or_default();
    let reason: String = reason.trim().chars().take(TEXT_CHARS_MAX).collect();
    if reason.is_empty() {
        return Err(ArgumentFault::Missing { name: "reason".to_owned() });
    }
    Ok(Delegate::Begin { to, for_ms, role, reason })
}

/// Lists, begins or ends.
pub async fn run(
    delegate: Delegate,
    context: &Context<'_>,
    by: &Authorized,
    asked: Asked,
) -> Result<String, Error> {
    match delegate {
        Delegate::List => list(context, asked).await,
        Delegate::Begin { to, for_ms, role, reason } => {
            let roles = match own_roles(role, by) {
                Ok(roles) => roles,
                Err(words) => return refused(&words, "not_a_member", context, asked).await,
            };
            if let Some((why, words)) = speaks_against(&to, context).await {
                return refused(&words, why, context, asked).await;
            }
            let until_ms = context.engine.clock().now_ms().saturating_add_unsigned(for_ms);
            let delegations = roles.into_iter().map(|role| Delegation {
                role,
                from: by.user().clone(),
                to: to.clone(),
                reason: reason.clone(),
                until_ms,
            });
            let delegations: Vec<Delegation> = delegations.collect();
            let card = |lang| delegation::begun_card(&delegations, lang);
            let told = told(card, context);
            context.engine.delegate(asked, by, Change::Begin(delegations), told).await
        }
        Delegate::End { to, role } => {
            let roles = match own_roles(role, by) {
                Ok(roles) => roles,
                Err(words) => return refused(&words, "not_a_member", context, asked).await,
            };
            let card = |lang| delegation::ended_card(by.user(), &to, &roles, lang);
            let told = told(card, context);
            let change = Change::End { to: to.clone(), roles: roles.clone() };
            context.engine.delegate(asked, by, change, told).await
        }
    }
}

/// The roles that are meant: nobody delegates what they do not hold.
fn own_roles(role: Option<String>, by: &Authorized) -> Result<Vec<String>, Text> {
    match role {
        None => Ok(by.roles().to_vec()),
        Some(role) if by.roles().contains(&role) => Ok(vec![role]),
        Some(role) => {
            let role = cut(&role);
            let held = by.roles().join("`, `");
            Err(Text::new(
                format!("您没有可以委托的 `{role}` 角色；您有：`{held}`。什么也没有改变。"),
                format!(
                    "You hold no role `{role}` that could be delegated; you hold `{held}`. Nothing was \
                     changed."
                ),
            ))
        }
    }
}

/// Only somebody who is a full member can decide, and nobody in their own place.
async fn speaks_against(to: &UserId, context: &Context<'_>) -> Option<(&'static str, Text)> {
    if *to == context.powers.actor.user {
        return Some((
            "oneself",
            Text::new("不能委托给自己。", "You decide in your own place already."),
        ));
    }
    let actor = Actor { user: to.clone(), team: context.powers.actor.team.clone() };
    let is_full = context.powers.of(actor).is_full_member().await;
    (!is_full).then(|| {
        (
            "no_full_member",
            Text::new(
                "只能委托给本工作区的正式成员（现在无法确认对方是），什么也没有改变。",
                "Only a full member of this workspace can decide in your place, and that cannot be \
                 said of this person now; nothing was changed.",
            ),
        )
    })
}

async fn refused(
    words: &Text,
    why: &'static str,
    context: &Context<'_>,
    asked: Asked,
) -> Result<String, Error> {
    let detail = json!({"text": asked.text, "channel": asked.channel, "why": why});
    let card = refusal(with_code(words.get(context.lang)));
    answer_with(context, asked, "request.refused", detail, &card).await
}

/// The channel reads it in its language, the asker in theirs.
fn told(card: impl Fn(Lang) -> Card, context: &Context<'_>) -> Told {
    let runbook = context.runbook;
    let channel = runbook.default_environment().or_else(|| runbook.environments.values().next());
    let nothing = refusal(vec![text(context.lang.pick(
        "没有这样的委托，什么也没有改变。",
        "Nothing of that kind is delegated; nothing was changed.",
    ))]);
    Told {
        channel: channel.map(|environment| environment.channel.clone()),
        card: card(runbook.language),
        done: ephemeral(&card(context.lang)),
        nothing: ephemeral(&nothing),
    }
}

async fn list(context: &Context<'_>, asked: Asked) -> Result<String, Error> {
    let lang = context.lang;
    let all = context.engine.delegations().await?;
    let mut line = vec![Span::Bold(lang.pick("现有的委托", "Delegations in force").to_owned())];
    if all.is_empty() {
        line.push(text(lang.pick("：没有", ": none")));
    }
    for one in &all {
        line.push(text("\n🤝 "));
        line.extend(delegation::words(one, lang));
    }
    let card =
        Card { summary: plain(&line), tone: Tone::Neutral, parts: vec![Part::Paragraph(line)] };
    answer(context, asked, "request.answered", &card).await
}
