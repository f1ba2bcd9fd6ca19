//! `plan <action …>`: exactly what an action would do, with nothing done; its button asks for that plan and
//! no other.

use super::action::{self, Ask};
use super::{
    Asks, Command, Context, Misunderstood, Spec, answer, answer_with, denied_line, refusal, text,
    typed, with_code,
};
use crate::core::action::Runbook;
use crate::core::card::{Button, ButtonStyle, Card, Part};
use crate::core::freeze_card;
use crate::core::param::ArgumentFault;
use crate::core::plan::Plan as Planned;
use crate::core::plan_card;
use crate::core::press::{Press, Wish};
use crate::core::text::{Lang, Text};
use crate::core::words::Words;
use crate::engine::{Asked, Error};
use serde_json::json;

/// How it is asked for.
pub const SPEC: Spec = Spec {
    name: "plan",
    usage: "<action…>",
    example: "plan audit since 7d",
    zh: "查看一个操作究竟会做什么：每一步、审批、锁、提交；什么也不会执行",
    en: "Exactly what an action would do: steps, approvals, lock, commits; nothing is done",
};

/// A question about an action.
#[derive(Debug, Clone)]
pub struct Plan {
    /// As it would be read.
    read: Result<Command, Misunderstood>,
}

/// Reads the words after `plan`.
pub fn parse(words: &mut Words<'_>, runbook: &Runbook) -> Result<Plan, ArgumentFault> {
    // Plan plan? The same answer; and no nesting that a long text could make deep.
    while words.peek().is_some_and(|word| word.text.eq_ignore_ascii_case(SPEC.name)) {
        words.take();
    }
    if words.is_empty() {
        return Err(ArgumentFault::Missing { name: "action".to_owned() });
    }
    Ok(Plan { read: super::parse_words(words, runbook) })
}

/// Answers, to whoever may do the action itself: a plan tells of hosts, folders and versions.
pub async fn run(plan: Plan, context: &Context<'_>, asked: Asked) -> Result<String, Error> {
    let lang = context.lang;
    let command = match plan.read {
        Ok(command) => command,
        Err(misunderstood) => {
            return answer(context, asked, "request.refused", &misunderstood.card(lang)).await;
        }
    };
    let needed = super::needed(&command, context.runbook, context.engine, &asked.actor).await?;
    let denied = match needed {
        Asks::Oneself(_) => None,
        Asks::Needed(needed) => {
            context.powers.meet(&needed).await.err().map(|denied| {
                (denied.as_str(), denied.role().to_owned(), denied_line(&denied, lang))
            })
        }
        Asks::Forbidden { why, words } => Some((why, String::new(), with_code(words.get(lang)))),
    };
    if let Some((why, role, line)) = denied {
        let detail = json!({
            "text": asked.text, "channel": asked.channel, "role": role,
            "command": command.name(), "why": why,
        });
        return answer_with(context, asked, "request.denied", detail, &refusal(line)).await;
    }
    match command {
        Command::Action(ask) => shown(&ask, context, asked).await,
        Command::Propose(propose) => super::propose::run(&propose, context, asked).await,
        other => {
            let name = other.name();
            let words = Text::new(
                format!("`{name}` 不是操作手册里的操作，没有计划可看。"),
                format!("`{name}` is no action of the runbook: it has no plan."),
            );
            let card = refusal(with_code(words.get(lang)));
            answer(context, asked, "request.refused", &card).await
        }
    }
}

async fn shown(ask: &Ask, context: &Context<'_>, asked: Asked) -> Result<String, Error> {
    let lang = context.lang;
    let planned = match action::plan(ask, context).await? {
        Ok(planned) => planned,
        Err(refused) => return answer(context, asked, "request.refused", &refused).await,
    };
    let mut card: Card = plan_card::preview(&planned, lang);
    let now_ms = context.engine.clock().now_ms();
    card.parts.extend(freeze_card::now(&planned, lang, now_ms).map(Part::Paragraph));
    let ahead = action::ahead_of(&planned, context).await?;
    if let Some(first) = ahead.first() {
        card.parts.push(Part::Context(vec![text(match lang {
            Lang::Zh => {
                format!("现在前面有 {} 个：{} {}", ahead.len(), first.id, first.plan.title())
            }
            Lang::En => {
                format!("{} before it now: {} {}", ahead.len(), first.id, first.plan.title())
            }
        })]));
    }
    card.parts.push(Part::Buttons(vec![button(ask, &planned, lang)]));
    let detail = json!({
        "text": asked.text, "channel": asked.channel, "digest": planned.digest(),
    });
    answer_with(context, asked, "request.answered", detail, &card).await
}

/// Asks for the plan that was shown, and refuses any other.
fn button(ask: &Ask, planned: &Planned, lang: Lang) -> Button {
    let press = Press::Queue {
        wish: Wish::AsPlanned,
        digest: planned.digest(),
        words: typed::words(ask, None),
    };
    Button {
        label: lang.pick("按此计划发起", "Ask for this plan").to_owned(),
        action: press.action().to_owned(),
        value: press.value(),
        style: ButtonStyle::Primary,
        confirm: None,
    }
}
