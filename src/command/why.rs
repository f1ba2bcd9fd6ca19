//! `why <command …>`: which rule decides about a command, for the asker. Reads what the pipeline would
//! read, asks what it would ask, and does nothing.

use super::action::{self, Ask};
use super::whoami::{member_span, since};
use super::{
    Asks, Command, Context, Misunderstood, Spec, answer, denied_line, needed, rules, text,
    with_code,
};
use crate::core::action::{Lock, Role, Runbook};
use crate::core::card::{Card, Line, Part, Span, Tone};
use crate::core::checklist_card;
use crate::core::duration;
use crate::core::freeze_card;
use crate::core::param::{ArgumentFault, cut};
use crate::core::plan::PlannedApproval;
use crate::core::policy::{Authorized, Facts, Needed, lines};
use crate::core::rule::{Condition, Rule};
use crate::core::run_card::RunView;
use crate::core::text::{Lang, Text};
use crate::core::words::Words;
use crate::engine::{Asked, Error};

/// Characters of the runbook's digest that are shown.
const DIGEST_CHARS: usize = 12;

/// How it is asked for.
pub const SPEC: Spec = Spec {
    name: "why",
    usage: "<command…>",
    example: "why audit since 7d",
    zh: "说明一个命令由哪条规则决定您能否执行；什么也不会做",
    en: "Which rule decides whether you may use a command; does nothing",
};

/// A question about a command.
#[derive(Debug, Clone)]
pub struct Why {
    /// As typed, cut.
    typed: String,
    /// As it would be read.
    read: Result<Command, Misunderstood>,
}

/// Reads the words after `why`.
pub fn parse(words: &mut Words<'_>, runbook: &Runbook) -> Result<Why, ArgumentFault> {
    // Why why? The same answer; and no nesting that a long text could make deep.
    while words.peek().is_some_and(|word| word.text.eq_ignore_ascii_case(SPEC.name)) {
        words.take();
    }
    let Some(typed) = words.clone().take_rest() else {
        return Err(ArgumentFault::Missing { name: "command".to_owned() });
    };
    Ok(Why { typed: cut(&typed), read: super::parse_words(words, runbook) })
}

/// Answers.
pub async fn run(why: Why, context: &Context<'_>, asked: Asked) -> Result<String, Error> {
    let card = card(why, context, &asked).await?;
    answer(context, asked, "request.answered", &card).await
}

/// The same about a command as it would be typed, and whether the asker may; writes nothing.
///
/// # Errors
/// The database's.
pub async fn explain(
    typed: &str,
    context: &Context<'_>,
    asked: &Asked,
) -> Result<(Card, bool), Error> {
    let read = super::parse(typed, context.runbook);
    let may = match &read {
        Ok(command) => may(command, context, asked).await?,
        Err(_) => false,
    };
    let why = Why { typed: cut(typed), read };
    Ok((card(why, context, asked).await?, may))
}

async fn may(command: &Command, context: &Context<'_>, asked: &Asked) -> Result<bool, Error> {
    let asks = needed(command, context.runbook, context.engine, &asked.actor).await?;
    Ok(match asks {
        Asks::Oneself(_) => true,
        Asks::Needed(needed) => context.powers.meet(&needed).await.is_ok(),
        Asks::Forbidden { .. } => false,
    })
}

async fn card(why: Why, context: &Context<'_>, asked: &Asked) -> Result<Card, Error> {
    let lang = context.lang;
    let title = Text::new("为什么", "Why");
    let mut parts = vec![Part::Paragraph(vec![
        Span::Bold(title.get(lang).to_owned()),
        text(" "),
        Span::Code(format!("/neostock {}", why.typed)),
    ])];
    match why.read {
        Err(misunderstood) => {
            parts.push(Part::Paragraph(vec![text(lang.pick(
                "❌ 在看您的权限之前就会被拒绝：",
                "❌ It would be refused before anybody asks who you are:",
            ))]));
            parts.extend(misunderstood.card(lang).parts);
        }
        Ok(command) => decided(command, &mut parts, context, asked).await?,
    }
    let mut footer = with_code(lang.pick(
        "这只是查询，什么也没有执行。规则来自操作手册 ",
        "Only asked, nothing was done. The rules are those of the runbook ",
    ));
    let digest = &context.runbook.digest;
    footer.push(Span::Code(digest.get(..DIGEST_CHARS).unwrap_or(digest).to_owned()));
    parts.push(Part::Context(footer));
    Ok(Card { summary: title.get(lang).to_owned(), tone: Tone::Neutral, parts })
}

/// The rules about a command that was understood.
async fn decided(
    command: Command,
    parts: &mut Vec<Part>,
    context: &Context<'_>,
    asked: &Asked,
) -> Result<(), Error> {
    let lang = context.lang;
    parts.push(Part::Paragraph(read_as(&command, lang)));
    if let Command::Whoami(_) = command {
        parts.push(Part::Paragraph(vec![text(
            lang.pick("✅ 任何人都可以查询自己。", "✅ About oneself everybody may ask."),
        )]));
        return Ok(());
    }
    let needed = match needed(&command, context.runbook, context.engine, &asked.actor).await? {
        Asks::Needed(needed) => needed,
        // About oneself: that was said above.
        Asks::Oneself(_) => return Ok(()),
        Asks::Forbidden { words, .. } => {
            let mut line = vec![text("⛔ ")];
            line.extend(with_code(words.get(lang)));
            parts.push(Part::Paragraph(line));
            return Ok(());
        }
    };
    let facts = context.powers.facts(needed.roles()).await;
    let source = source(&command, &needed, context).await?;
    parts.push(Part::Paragraph(role_rule(&needed, &source, &facts, context)));
    parts.extend(since(&facts, context).map(Part::Context));
    let by = match context.powers.meet(&needed).await {
        Ok(by) => by,
        Err(denied) => {
            let mut line = vec![text("⛔ ")];
            line.extend(denied_line(&denied, lang));
            parts.push(Part::Paragraph(line));
            return Ok(());
        }
    };
    let mut may = vec![text(lang.pick("✅ 您可以执行。", "✅ You may."))];
    if let Some(holder) = by.on_behalf() {
        may.push(text(lang.pick("（代 ", " (For ")));
        may.push(Span::User(holder.clone()));
        may.push(text(lang.pick(" 行使）", ", who lets you.)")));
    }
    parts.push(Part::Paragraph(may));
    match command {
        Command::Action(ask) => action_rules(&ask, parts, context).await,
        Command::Propose(propose) => {
            parts.push(Part::Paragraph(with_code(
                Text::new(
                    format!("没有写 `{}`：会先提议一个，按下按钮才执行。", propose.parameter.name),
                    format!(
                        "`{}` is left out: one is proposed first, and only its button does it.",
                        propose.parameter.name
                    ),
                )
                .get(lang),
            )));
            Ok(())
        }
        Command::Decide(decide) => {
            let view = context.engine.view(&decide.run).await?;
            let line = match &view {
                Some(view) => vote_rule(&decide, view, context, &by),
                None => no_run(&decide.run, lang),
            };
            parts.push(Part::Paragraph(line));
            Ok(())
        }
        _ => Ok(()),
    }
}

fn no_run(run: &crate::core::id::RunId, lang: Lang) -> Line {
    vec![text(lang.pick("没有执行 ", "There is no run ")), Span::Code(run.to_string())]
}

/// What the words were understood as.
fn read_as(command: &Command, lang: Lang) -> Line {
    let mut line = vec![text(lang.pick("读作 ", "Read as "))];
    line.push(Span::Code(command.name().to_owned()));
    let ask = match command {
        Command::Action(ask) => Some(ask.as_ref()),
        Command::Propose(propose) => Some(&propose.ask),
        _ => None,
    };
    if let Some(ask) = ask {
        line.push(text(lang.pick("，环境 ", " in the environment ")));
        line.push(Span::Code(ask.environment.name.clone()));
        if ask.arguments.environment.is_none() {
            line.push(text(lang.pick("（默认）", " (the default)")));
        }
        for argument in &ask.arguments.values {
            line.push(text(lang.pick("，", ", ")));
            line.push(Span::Code(format!("{}={}", argument.name, cut(&argument.value))));
        }
    }
    line
}

/// Where it is written which role decides.
async fn source(
    command: &Command,
    needed: &Needed,
    context: &Context<'_>,
) -> Result<String, Error> {
    let lang = context.lang;
    let ask = match command {
        Command::Action(ask) => Some(ask.as_ref()),
        Command::Propose(propose) => Some(&propose.ask),
        _ => None,
    };
    if let Some(ask) = ask {
        let ruled = rules::foreseen(ask, context.engine).await?;
        let rule = ruled.ok().and_then(|ruled| ruled.rule);
        let own =
            || line_of(&format!("actions.{}.role", ask.action.name), ask.action.role_line, lang);
        return Ok(rule.map_or_else(own, |rule| rule_source(rule, lang)));
    }
    let is_of_run = matches!(
        command,
        Command::Decide(_) | Command::Settle(_) | Command::Retry(_) | Command::Logs(_)
    );
    Ok(match needed.one_of.first() {
        _ if is_of_run => lang.pick("该次执行的计划", "the run's plan").to_owned(),
        Some(role) if role.line > 0 => line_of(&format!("roles.{}", role.name), role.line, lang),
        _ => lang.pick("没有定义时的默认值", "the default, as the runbook defines none").to_owned(),
    })
}

fn line_of(place: &str, line: usize, lang: Lang) -> String {
    match lang {
        Lang::Zh => format!("{place}，第 {line} 行"),
        Lang::En => format!("{place}, line {line}"),
    }
}

/// The rule that decides: its line and what it asks.
fn rule_source(rule: &Rule, lang: Lang) -> String {
    let asked: Vec<String> = rule.when.iter().map(Condition::shown).collect();
    let (line, asked) = (rule.line, asked.join(", "));
    match lang {
        Lang::Zh => format!("第 {line} 行的规则：{asked}"),
        Lang::En => format!("the rule on line {line}: {asked}"),
    }
}

/// The roles that decide, where that is written, and what each of their lines says of the asker.
fn role_rule(needed: &Needed, source: &str, facts: &Facts, context: &Context<'_>) -> Line {
    let lang = context.lang;
    let mut line = vec![text(lang.pick("需要角色 ", "Needs the role "))];
    for (index, role) in needed.one_of.iter().enumerate() {
        if index > 0 {
            line.push(text(lang.pick(" 或 ", " or ")));
        }
        line.push(Span::Code(role.name.clone()));
    }
    line.push(text(format!(" ({source})")));
    for role in &needed.one_of {
        line.extend(membership(role, facts, context));
    }
    for role in &needed.also {
        line.push(text(lang.pick("\n还需要角色 ", "\nAnd the role ")));
        line.push(Span::Code(role.name.clone()));
        line.push(text(format!(
            " ({})",
            line_of(&format!("roles.{}", role.name), role.line, lang)
        )));
        line.extend(membership(role, facts, context));
    }
    line
}

/// What each line of a role says of the asker.
fn membership(role: &Role, facts: &Facts, context: &Context<'_>) -> Line {
    let lang = context.lang;
    let mut line = Line::new();
    for (member, answer) in lines(&context.powers.actor, role, facts) {
        let (sign, words) = match answer {
            Some(true) => ("✅", lang.pick(" 包括您", " names you")),
            Some(false) => ("➖", lang.pick(" 不包括您", " does not name you")),
            None => ("❔", lang.pick(" 现在无法向 Slack 查询", " Slack cannot be asked right now")),
        };
        line.extend([text(format!("\n{sign} ")), member_span(member, lang), text(words)]);
    }
    line
}

/// What else decides about an action: its versions, approval, lock.
async fn action_rules(
    ask: &Ask,
    parts: &mut Vec<Part>,
    context: &Context<'_>,
) -> Result<(), Error> {
    let lang = context.lang;
    let plan = match action::plan(ask, context).await? {
        Ok(plan) => plan,
        Err(refused) => {
            let line = vec![text(lang.pick("❌ 但会被拒绝：", "❌ But it would be refused:"))];
            parts.push(Part::Paragraph(line));
            parts.extend(refused.parts);
            return Ok(());
        }
    };
    parts.push(Part::Paragraph(match &plan.approval {
        Some(approval) => approval_rule(approval, context),
        None => vec![text(lang.pick("不需要审批。", "Needs nobody's approval."))],
    }));
    let checklist = plan.checklist.as_ref();
    parts.extend(checklist.map(|list| Part::Paragraph(checklist_card::planned(list, lang))));
    let now_ms = context.engine.clock().now_ms();
    parts.extend(freeze_card::now(&plan, lang, now_ms).map(Part::Paragraph));
    let ahead = action::ahead_of(&plan, context).await?;
    parts.push(Part::Paragraph(lock_rule(plan.lock, &plan.environment, &ahead, lang)));
    Ok(())
}

fn approval_rule(approval: &PlannedApproval, context: &Context<'_>) -> Line {
    let lang = context.lang;
    let PlannedApproval { from, count, allows_self, expires_ms, .. } = approval;
    let within = duration::spell(*expires_ms);
    let roles = from.iter().map(|role| format!("`{role}`")).collect::<Vec<_>>();
    let mut line = with_code(
        (if let [role] = &roles[..] {
            Text::new(
                format!("✋ 之后需要 {role} 中 {count} 人批准，{within} 内有效"),
                format!("✋ Then needs {count} approval(s) of {role} within {within}"),
            )
        } else {
            Text::new(
                format!(
                    "✋ 之后需要 {} 中 {count} 个角色各由不同的人批准，{within} 内有效",
                    roles.join("、")
                ),
                format!(
                    "✋ Then needs {count} of the roles {} to approve, each through another person, \
                     within {within}",
                    roles.join(", ")
                ),
            )
        })
        .get(lang),
    );
    line.push(text(if *allows_self {
        lang.pick("，您自己的也算：", ", your own counts: ")
    } else {
        lang.pick("，您自己的不算：", ", not your own: ")
    }));
    for role in from {
        line.extend(super::whom_to_ask(&super::roles::role_named(role, context.runbook).members));
    }
    line
}

fn lock_rule(lock: Lock, environment: &str, ahead: &[RunView], lang: Lang) -> Line {
    if lock == Lock::None {
        return vec![text(
            lang.pick("不占用环境：随时可以开始。", "Holds no environment: it begins at any time."),
        )];
    }
    let mut line = vec![
        text(lang.pick("🔒 独占环境 ", "🔒 Holds the environment ")),
        Span::Code(environment.to_owned()),
    ];
    match ahead.first() {
        None => line.push(text(lang.pick("，现在空闲。", ", which is free now."))),
        Some(first) => {
            let count = ahead.len();
            line.push(text(match lang {
                Lang::Zh => format!("，前面有 {count} 个："),
                Lang::En => format!("; {count} before it: "),
            }));
            line.push(Span::Code(first.id.to_string()));
            line.push(text(format!(" {} · {}", first.plan.title(), first.state.text().get(lang))));
        }
    }
    line
}

/// Whether the asker's decision about a run would count.
fn vote_rule(
    decide: &super::decide::Decide,
    view: &RunView,
    context: &Context<'_>,
    by: &Authorized,
) -> Line {
    let lang = context.lang;
    let verdict = decide.verdict;
    match super::decide::foretold(view, (verdict, None), context, by) {
        Ok(_) => vec![text(lang.pick("它会算数。", "It would count."))],
        Err(refused) => {
            let mut line = vec![text(lang.pick("❌ 但不会算数：", "❌ But it would not count: "))];
            line.extend(with_code(refused.text(verdict, view.expires_ms).get(lang)));
            line
        }
    }
}
