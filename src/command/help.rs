//! `help [command]`: what can be typed.

use super::{Context, Spec, VERBS, action_usage, answer, refusal, text, with_code};
use crate::core::action::{Action, ParameterKind};
use crate::core::card::{Card, Line, Part, Span, Tone};
use crate::core::param::{ArgumentFault, cut};
use crate::core::text::Lang;
use crate::core::words::Words;
use crate::engine::{Asked, Error};

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
    let card = match &help.command {
        None => everything(context),
        Some(name) => match (context.runbook.actions.get(name), verb(name)) {
            (Some(action), _) => about_action(action, context.lang),
            (None, Some(spec)) => about_verb(spec, context.lang),
            (None, None) => {
                let fault = super::unknown_command(&cut(name), context.runbook);
                return answer(context, asked, "request.refused", &fault.card(context.lang)).await;
            }
        },
    };
    answer(context, asked, "request.answered", &card).await
}

fn verb(name: &str) -> Option<&'static Spec> {
    VERBS.iter().find(|spec| spec.name == name)
}

fn everything(context: &Context<'_>) -> Card {
    let lang = context.lang;
    let title = format!("{} · {}", context.runbook.service, lang.pick("命令", "commands"));
    let mut actions: Line = Vec::new();
    for action in context.runbook.actions.values() {
        entry(&mut actions, &action_usage(action), action.summary.get(lang));
    }
    let mut verbs: Line = Vec::new();
    for spec in VERBS {
        entry(&mut verbs, &format!("{} {}", spec.name, spec.usage), lang.pick(spec.zh, spec.en));
    }
    let hint = with_code(lang.pick(
        "`/neostock help rollback` 说明一个命令；`<…>` 必填，`[…]` 可选。",
        "`/neostock help rollback` explains one; `<…>` is required, `[…]` is not.",
    ));
    Card {
        summary: title.clone(),
        tone: Tone::Neutral,
        parts: vec![
            Part::Header(title),
            Part::Paragraph(actions),
            Part::Paragraph(verbs),
            Part::Context(hint),
        ],
    }
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

fn about_action(action: &Action, lang: Lang) -> Card {
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
