//! `help [command]`: what can be typed.

use super::roles::{role_named, roles_of_verb};
use super::whoami::{self, roles_in_use};
use super::{Context, Spec, VERBS, action_usage, answer, refusal, text, whom_to_ask, with_code};
use crate::core::action::{Action, Member, ParameterKind, Role};
use crate::core::card::{Card, Line, Part, Span, Tone};
use crate::core::param::{ArgumentFault, cut};
use crate::core::policy::{Denied, Facts, authorize};
use crate::core::rule;
use crate::core::text::{Lang, Text};
use crate::core::words::Words;
use crate::engine::{Asked, Error};

/// Commands that one paragraph explains: Slack cuts a paragraph after 3,000 characters.
const ENTRIES_A_PARAGRAPH: usize = 12;
/// Mentions of those who may what the asker may not.
const WHOM_MAX: usize = 12;

/// How help is asked for.
pub const SPEC: Spec = Spec {
    name: "help",
    usage: "[command]",
    example: "help rollback",
    zh: "列出命令，或说明一个命令",
    en: "List the commands, or explain one",
};

/// A request for help, about everything or about one command.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Help {
    /// The command, if one is named.
    pub command: Option<String>,
}

/// Reads the words after `help`.
pub fn parse(words: &mut Words<'_>) -> Result<Help, ArgumentFault> {
    let command = words.take().map(|word| word.text.to_lowercase());
    super::nothing_more(words)?;
    Ok(Help { command })
}

/// Answers.
pub async fn run(help: &Help, context: &Context<'_>, asked: Asked) -> Result<String, Error> {
    let facts = context.powers.facts(&roles_in_use(context)).await;
    let card = match &help.command {
        None => everything(&may_list(&facts, context), context),
        Some(name) => {
            let mut card = match (context.runbook.actions.get(name), verb(name)) {
                (Some(action), _) => about_action(action, context),
                (None, Some(spec)) => about_verb(spec, context.lang),
                (None, None) => {
                    let fault = super::unknown_command(&cut(name), context.runbook);
                    let card = fault.card(context.lang);
                    return answer(context, asked, "request.refused", &card).await;
                }
            };
            let entry = Entry { name: name.clone(), ..Entry::default() };
            card.parts.extend(entry.may_not(&facts, context).map(Part::Paragraph));
            card
        }
    };
    answer(context, asked, "request.answered", &card).await
}

/// A command as help lists it.
#[derive(Default)]
struct Entry<'c> {
    name: String,
    usage: String,
    summary: &'c str,
}

impl Entry<'_> {
    /// The roles of which any lets a person use it.
    fn roles(&self, context: &Context<'_>) -> Vec<Role> {
        match context.runbook.actions.get(&self.name) {
            Some(action) => {
                rule::roles(action).map(|role| role_named(role, context.runbook)).collect()
            }
            None => roles_of_verb(&self.name, context.runbook),
        }
    }

    /// Whether the asker may; the first refusal when no role lets them.
    fn asked(&self, facts: &Facts, context: &Context<'_>) -> Result<(), Option<Denied>> {
        if self.name == whoami::SPEC.name {
            return Ok(());
        }
        let actor = &context.powers.actor;
        let mut first = None;
        for role in self.roles(context) {
            match authorize(actor, &role, facts) {
                Ok(_) => return Ok(()),
                Err(denied @ Denied::CannotTell { .. }) => first = Some(denied),
                // No other role would let them.
                Err(denied @ Denied::NoFullMember { .. }) => return Err(Some(denied)),
                Err(denied) => first = first.or(Some(denied)),
            }
        }
        Err(first)
    }

    /// What `help <command>` adds for somebody who may not.
    fn may_not(&self, facts: &Facts, context: &Context<'_>) -> Option<Line> {
        let denied = self.asked(facts, context).err()??;
        let lang = context.lang;
        let mut line = vec![text(match denied {
            Denied::CannotTell { .. } => "❔ ",
            Denied::NotAMember { .. } | Denied::NoFullMember { .. } => "⛔ ",
        })];
        let words = match denied {
            denied @ Denied::NoFullMember { .. } => denied.text(),
            Denied::CannotTell { role, .. } => Text::new(
                format!("现在无法向 Slack 查询您是否有 `{role}` 角色。"),
                format!("Slack cannot be asked right now whether you hold the role `{role}`."),
            ),
            Denied::NotAMember { role, members } if members.is_empty() => Text::new(
                format!("没有人有 `{role}` 角色。"),
                format!("Nobody holds the role `{role}`."),
            ),
            Denied::NotAMember { role, members } => {
                line.push(text(
                    lang.pick("您不能使用：需要角色 ", "You may not: it needs the role "),
                ));
                line.push(Span::Code(role));
                line.push(text(lang.pick("。可以请他们来做：", ". Ask one of: ")));
                line.extend(whom_to_ask(&members));
                return Some(line);
            }
        };
        line.extend(with_code(words.get(lang)));
        Some(line)
    }
}

/// What a person may, may not, and what cannot be told, as Slack answered.
pub(super) struct MayList<'c> {
    actions: Vec<Entry<'c>>,
    verbs: Vec<Entry<'c>>,
    /// Names of commands, with why not.
    denied: Vec<(String, Denied)>,
    /// Names of commands, with the role that Slack could not be asked about.
    unknown: Vec<(String, String)>,
}

impl MayList<'_> {
    /// The names of what the asker may.
    pub(super) fn names(&self, lang: Lang) -> Line {
        let mut line = vec![text(lang.pick("可以使用：", "You may use: "))];
        for (index, entry) in self.actions.iter().chain(&self.verbs).enumerate() {
            if index > 0 {
                line.push(text(lang.pick("、", ", ")));
            }
            line.push(Span::Code(entry.name.clone()));
        }
        line
    }
}

/// Sorts every command by whether the asker may use it.
pub(super) fn may_list<'c>(facts: &Facts, context: &Context<'c>) -> MayList<'c> {
    let lang = context.lang;
    let mut list =
        MayList { actions: Vec::new(), verbs: Vec::new(), denied: Vec::new(), unknown: Vec::new() };
    let actions = context.runbook.actions.values().map(|action| Entry {
        name: action.name.clone(),
        usage: action_usage(action),
        summary: action.summary.get(lang),
    });
    let verbs = VERBS.iter().map(|spec| Entry {
        name: spec.name.to_owned(),
        usage: format!("{} {}", spec.name, spec.usage),
        summary: lang.pick(spec.zh, spec.en),
    });
    for (entry, is_action) in
        actions.map(|entry| (entry, true)).chain(verbs.map(|entry| (entry, false)))
    {
        match entry.asked(facts, context) {
            Ok(()) if is_action => list.actions.push(entry),
            Ok(()) => list.verbs.push(entry),
            Err(Some(Denied::CannotTell { role, .. })) => list.unknown.push((entry.name, role)),
            Err(Some(denied)) => list.denied.push((entry.name.clone(), denied)),
            // No action of this runbook has a use for the verb.
            Err(None) => {}
        }
    }
    list
}

/// How many commands the asker may not use and whom to ask; what Slack did not tell.
pub(super) fn whom_line(list: &MayList<'_>, lang: Lang) -> Option<Line> {
    let mut line = Vec::new();
    if let Some((_, role)) = list.unknown.first() {
        let names: Vec<&str> = list.unknown.iter().map(|(name, _)| name.as_str()).collect();
        line.extend(with_code(
            Text::new(
                format!(
                    "❔ 现在无法向 Slack 查询您的角色（如 `{role}`），所以不知道您能否使用：{}。请一分钟后再试。",
                    names.join("、")
                ),
                format!(
                    "❔ Slack cannot be asked right now about your roles (such as `{role}`), so it is not \
                     known whether you may use: {}. Try again in a minute.",
                    names.join(", ")
                ),
            )
            .get(lang),
        ));
    }
    if !list.denied.is_empty() {
        if !line.is_empty() {
            line.push(text("\n"));
        }
        line.push(text(lang.pick("⛔ 您不能使用：", "⛔ You may not use: ")));
        for (index, (name, _)) in list.denied.iter().enumerate() {
            if index > 0 {
                line.push(text(lang.pick("、", ", ")));
            }
            line.push(Span::Code(name.clone()));
        }
        let mut members: Vec<Member> = Vec::new();
        for (_, denied) in &list.denied {
            members.extend(denied.whom_to_ask().iter().cloned());
        }
        if !members.is_empty() {
            line.push(text(lang.pick("。可以请他们来做：", ". Ask one of: ")));
        }
        let mut seen = Vec::new();
        members.retain(|member| {
            let is_new = !seen.contains(member);
            seen.push(member.clone());
            is_new
        });
        members.truncate(WHOM_MAX);
        line.extend(whom_to_ask(&members));
        line.extend(with_code(lang.pick(
            "。原因见 `/neostock why <命令>`",
            ". The rule is shown by `/neostock why <command>`",
        )));
    }
    (!line.is_empty()).then_some(line)
}

fn verb(name: &str) -> Option<&'static Spec> {
    VERBS.iter().find(|spec| spec.name == name)
}

fn everything(list: &MayList<'_>, context: &Context<'_>) -> Card {
    let lang = context.lang;
    let title = format!("{} · {}", context.runbook.service, lang.pick("命令", "commands"));
    let paragraph = |entries: &[Entry<'_>]| {
        let mut line: Line = Vec::new();
        for each in entries {
            entry(&mut line, &each.usage, each.summary);
        }
        Part::Paragraph(line)
    };
    let mut parts = vec![Part::Header(title.clone())];
    for entries in [&list.actions, &list.verbs] {
        parts.extend(entries.chunks(ENTRIES_A_PARAGRAPH).map(paragraph));
    }
    parts.extend(whom_line(list, lang).map(Part::Context));
    // An example that is there: an action before a verb.
    let example = list.actions.iter().find(|entry| entry.name == "rollback");
    let example = example.or(list.actions.first()).map_or("why", |entry| entry.name.as_str());
    parts.push(Part::Context(with_code(
        Text::new(
            format!("`/neostock help {example}` 说明一个命令；`<…>` 必填，`[…]` 可选。"),
            format!("`/neostock help {example}` explains one; `<…>` is required, `[…]` is not."),
        )
        .get(lang),
    )));
    Card { summary: title, tone: Tone::Neutral, parts }
}

fn entry(line: &mut Line, usage: &str, summary: &str) {
    if !line.is_empty() {
        line.push(text("\n"));
    }
    line.push(Span::Code(format!("/neostock {}", usage.trim_end())));
    line.push(text(format!("  {summary}")));
}

fn about_verb(spec: &Spec, lang: Lang) -> Card {
    let line = vec![
        Span::Code(format!("/neostock {} {}", spec.name, spec.usage).trim_end().to_owned()),
        text(format!("\n{}\n{} ", lang.pick(spec.zh, spec.en), lang.pick("例如", "For example"))),
        Span::Code(format!("/neostock {}", spec.example)),
    ];
    Card { tone: Tone::Neutral, ..refusal(line) }
}

fn about_action(action: &Action, context: &Context<'_>) -> Card {
    let lang = context.lang;
    let mut line = vec![
        Span::Code(format!("/neostock {}", action_usage(action))),
        text(format!("\n{}\n", action.summary.get(lang))),
    ];
    for parameter in &action.parameters {
        line.push(text("• "));
        line.push(Span::Code(parameter.name.clone()));
        let need = if parameter.required {
            lang.pick("必填", "required")
        } else {
            lang.pick("可选", "optional")
        };
        line.push(text(format!(" ({need}) {}", takes(&parameter.kind, lang))));
        if let Some(help) = &parameter.help {
            line.push(text(format!(" — {}", help.get(lang))));
        }
        line.push(text("\n"));
    }
    line.push(text(lang.pick("步骤：", "Steps: ")));
    let steps: Vec<&str> = action.steps.iter().map(|step| step.name.get(lang)).collect();
    line.push(text(steps.join(" → ")));
    line.push(text(lang.pick("\n需要角色 ", "\nNeeds the role ")));
    line.push(Span::Code(action.role.clone()));
    if context.runbook.emergency.as_ref().is_some_and(|one| one.actions.contains(&action.name)) {
        line.extend(with_code(lang.pick(
            "\n紧急情况：加 `--emergency` 并写明原因，不经审批直接执行，事后必须复核。",
            "\nIn an emergency: add `--emergency` and say why; it is done without approval, and reviewed \
             afterwards.",
        )));
    }
    if action.makes_live.is_some() {
        // Asked with buttons; whoever types can say it at once.
        line.extend(with_code(lang.pick(
            "\n已有一次同样的操作还没开始时：`supersede=R-…` 取代它，`supersede=no` 排在它后面；不写会先问。",
            "\nWhile another has not begun: `supersede=R-…` takes its place, `supersede=no` goes behind \
             it; without either you are asked.",
        )));
    }
    Card { tone: Tone::Neutral, ..refusal(line) }
}

fn takes(kind: &ParameterKind, lang: Lang) -> String {
    match kind {
        ParameterKind::GitRef => {
            lang.pick("标签、分支或提交", "a tag, branch or commit").to_owned()
        }
        ParameterKind::Choice(choices) => choices.join(" | "),
        ParameterKind::Duration => lang.pick("时长，如 15m", "a duration such as 15m").to_owned(),
        ParameterKind::Number { min, max } => format!("{min}…{max}"),
        ParameterKind::Text => lang.pick("文字", "text").to_owned(),
        ParameterKind::User => lang.pick("一个人，如 @ann", "a person, such as @ann").to_owned(),
        ParameterKind::Run => {
            lang.pick("执行编号，如 R-7K3QZD5A", "a run id such as R-7K3QZD5A").to_owned()
        }
    }
}
