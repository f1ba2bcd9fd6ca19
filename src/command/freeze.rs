//! `freeze`: which freezes there are, which are in force, when the next begins. And what a request says of
//! them: whether it goes ahead in spite of one.

use super::action::Ask;
use super::{Context, Spec, answer, text};
use crate::core::action::{Environment, Runbook};
use crate::core::card::{Card, Line, Part, Span, Tone};
use crate::core::freeze::{self, FLAG, Freeze as Window, PlannedFreeze, begins_ms};
use crate::core::freeze_card::{described, end, how_to_pass, named};
use crate::core::param::ArgumentFault;
use crate::core::plan::Plan;
use crate::core::text::{Lang, Text};
use crate::core::words::Words;
use crate::engine::{Asked, Error};

/// How it is asked for.
pub const SPEC: Spec = Spec {
    name: "freeze",
    usage: "",
    example: "freeze",
    zh: "冻结时段：现在是否冻结、下一次何时、影响哪些操作、谁可以批准越过",
    en: "Freezes: which are in force, when the next begins, what they stop, who may let a run pass",
};

/// A question about freezes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Freeze;

/// Reads the words after `freeze`: none.
pub fn parse(words: &mut Words<'_>) -> Result<Freeze, ArgumentFault> {
    super::nothing_more(words)?;
    Ok(Freeze)
}

/// Answers.
pub async fn run(context: &Context<'_>, asked: Asked) -> Result<String, Error> {
    answer(context, asked, "request.answered", &card(context)).await
}

fn card(context: &Context<'_>) -> Card {
    let (lang, now_ms) = (context.lang, context.engine.clock().now_ms());
    let title = lang.pick("❄️ 冻结时段", "❄️ Freezes").to_owned();
    let mut parts = vec![Part::Header(title.clone())];
    let freezes = &context.runbook.freezes;
    if freezes.is_empty() {
        parts.push(Part::Paragraph(super::with_code(lang.pick(
            "操作手册没有定义冻结时段 (`freezes`)：操作随时可以执行。",
            "The runbook defines no `freezes`: actions may be done at any time.",
        ))));
    }
    let (now, later): (Vec<&Window>, Vec<&Window>) =
        freezes.iter().partition(|freeze| freeze.planned.holds(now_ms));
    let tone = if now.is_empty() { Tone::Neutral } else { Tone::Warning };
    for freeze in now {
        let ends_ms = freeze::ends_ms(&[&freeze.planned], now_ms);
        let mut line = vec![text(lang.pick("🔴 冻结中，到 ", "🔴 In force, until "))];
        line.push(end(ends_ms, lang));
        line.push(text("\n"));
        line.extend(listed(freeze, lang));
        parts.push(Part::Paragraph(line));
    }
    for freeze in later {
        let mut line = next(&freeze.planned, lang, now_ms);
        line.push(text("\n"));
        line.extend(listed(freeze, lang));
        parts.push(Part::Paragraph(line));
    }
    Card { summary: title, tone, parts }
}

/// When a freeze that is not in force begins, and when that ends.
fn next(freeze: &PlannedFreeze, lang: Lang, now_ms: i64) -> Line {
    let Some(from_ms) = begins_ms(freeze, now_ms) else {
        return vec![text(lang.pick("⚪ 近期不会开始", "⚪ Not to come"))];
    };
    vec![
        text(lang.pick("⚪ 下一次：", "⚪ Next: ")),
        Span::Time(from_ms),
        text(" – "),
        end(freeze::ends_ms(&[freeze], from_ms), lang),
    ]
}

/// What a freeze stops where, and who may let a run pass.
fn listed(freeze: &Window, lang: Lang) -> Line {
    let mut line = described(&freeze.planned, lang);
    line.push(text(lang.pick("\n操作：", "\nstops ")));
    line.extend(codes(&freeze.actions));
    match &freeze.environments {
        Some(environments) => {
            line.push(text(lang.pick("，环境：", " in ")));
            line.extend(codes(environments));
        }
        None => line.push(text(lang.pick("，所有环境", " in every environment"))),
    }
    line.push(text(lang.pick("。", ".")));
    line.extend(how_to_pass(&[&freeze.planned], lang));
    line
}

fn codes(names: &[String]) -> Line {
    let mut line = Line::new();
    for name in names {
        if !line.is_empty() {
            line.push(text(" "));
        }
        line.push(Span::Code(name.clone()));
    }
    line
}

/// The freezes that are in force in an environment, for `status`.
pub(super) fn in_environment(name: &str, context: &Context<'_>) -> Line {
    let (lang, now_ms) = (context.lang, context.engine.clock().now_ms());
    let is_here = |freeze: &&Window| {
        freeze.environments.as_deref().is_none_or(|all| all.iter().any(|one| one == name))
    };
    let in_force = |freeze: &&Window| freeze.planned.holds(now_ms);
    let mut line = Line::new();
    for freeze in context.runbook.freezes.iter().filter(is_here).filter(in_force) {
        line.push(text("\n❄️ "));
        line.extend(codes(&freeze.actions));
        line.push(text(lang.pick(" 冻结中：", " frozen: ")));
        let freeze = &freeze.planned;
        line.extend(named(&[freeze], lang));
        line.push(text(lang.pick("，到 ", ", until ")));
        line.push(end(freeze::ends_ms(&[freeze], now_ms), lang));
    }
    line
}

/// Whether a request would wait for the end of a freeze.
pub(super) fn is_waited_for(plan: &Plan, context: &Context<'_>) -> bool {
    let now_ms = context.engine.clock().now_ms();
    !freeze::waited_for(&plan.freezes, now_ms).is_empty()
}

/// For which freeze a request waits that was accepted, and until when; nothing where it waits for none.
pub(super) fn waits(plan: &Plan, context: &Context<'_>) -> Line {
    let (lang, now_ms) = (context.lang, context.engine.clock().now_ms());
    let freezes = freeze::waited_for(&plan.freezes, now_ms);
    if freezes.is_empty() {
        return Line::new();
    }
    let mut line = vec![text(lang.pick(" ❄️ 冻结中：", " ❄️ It waits for a freeze to end: "))];
    line.extend(named(&freezes, lang));
    line.push(text(lang.pick("，到 ", ", until ")));
    line.push(end(freeze::wait_ends_ms(&plan.freezes, now_ms), lang));
    line.push(text(lang.pick("，结束后自动继续。", ", and goes on by itself after that.")));
    line
}

/// The plan of a request that may say that it goes ahead in spite of the freezes in force.
///
/// # Errors
/// What the asker reads where it cannot.
pub(super) fn overridden(
    ask: &Ask,
    plan: Plan,
    runbook: &Runbook,
    now_ms: i64,
) -> Result<Plan, Text> {
    if !ask.arguments.overrides_freeze {
        return Ok(plan);
    }
    if plan.emergency.is_some() {
        return Err(Text::new(
            format!("紧急操作不受冻结限制，什么也没有执行。请去掉 `{FLAG}` 再发起。"),
            format!(
                "No freeze stops an emergency, so nothing was done: the two are not asked for together. \
                 Ask for it without `{FLAG}`."
            ),
        ));
    }
    let freezes = freeze::in_force(&plan.freezes, now_ms);
    let names: Vec<String> = freezes.iter().map(|freeze| freeze.name.clone()).collect();
    if names.is_empty() {
        let (action, Environment { name, .. }) = (&ask.action.name, &ask.environment);
        return Err(Text::new(
            format!(
                "`{action}` 现在在 {name} 没有被冻结，什么也没有执行。请去掉 `{FLAG}` 再发起。"
            ),
            format!(
                "No freeze stops `{action}` in {name} now, so nothing was done. Ask for it without \
                 `{FLAG}`."
            ),
        ));
    }
    again(plan, &names, runbook)
}

/// The same for freezes that are named; those that it is not subject to are passed over.
///
/// # Errors
/// Where one of them lets nobody pass, or its role cannot be joined to the approval.
pub(super) fn again(plan: Plan, names: &[String], runbook: &Runbook) -> Result<Plan, Text> {
    let stopping = names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>();
    plan.in_spite_of(names, runbook).map_err(|role| match role {
        None => Text::new(
            format!("任何人都不能越过冻结 {}，什么也没有执行。请等它结束。", stopping.join("、")),
            format!(
                "Nobody can override the freeze {}, so nothing was done. Wait for its end.",
                stopping.join(", ")
            ),
        ),
        Some(role) => Text::new(
            format!(
                "冻结 {} 须由 `{role}` 批准才能越过，但与这个操作的审批无法合并，什么也没有执行。请让维护操作手册的人修改。",
                stopping.join("、")
            ),
            format!(
                "The freeze {} needs an approval of `{role}`, which cannot be joined to the one that this \
                 needs, so nothing was done. Whoever looks after the runbook can change that.",
                stopping.join(", ")
            ),
        ),
    })
}
