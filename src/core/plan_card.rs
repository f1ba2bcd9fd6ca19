//! A plan in full, for whoever wants to see exactly what a run does before they decide about it.

use super::action::Lock;
use super::card::{Card, Line, Part, Span, Tone, text};
use super::follow_up_card;
use super::plan::{Plan, PlannedStep, Work};
use super::release_card;
use super::run_card::RunView;
use super::text::Lang;
use std::fmt::Write as _;

/// Steps that are written out; a plan has fewer than this, and the card has room for it.
const STEPS_SHOWN: usize = 40;

/// The plan of a run: every step as it would be started, and what the approval binds to.
pub fn card(run: &RunView, lang: Lang) -> Card {
    let plan = &run.plan;
    let title = format!("{}{} → {}", lang.pick("计划：", "Plan: "), plan.title(), plan.environment);
    // What the approval binds to comes first: a card that is too long loses its end.
    let mut parts = vec![
        Part::Header(title.clone()),
        Part::Paragraph(facts(run, lang)),
        Part::Context(binding(plan, lang)),
    ];
    parts.extend(release_card::changes(plan, usize::MAX, lang));
    for (index, step) in plan.steps.iter().take(STEPS_SHOWN).enumerate() {
        let mut line = vec![Span::Bold(format!("{}. {}", index + 1, step.name.get(lang)))];
        line.push(text(format!("  {}", terms(step, lang))));
        parts.push(Part::Paragraph(line));
        parts.push(Part::Output(work(&step.work, lang)));
    }
    parts.extend(follow_up_card::on_card(run, lang).map(Part::Paragraph));
    if let Some((plan, _)) = run.follow_up() {
        // One block: the plan itself has the room.
        let steps = plan.steps.iter().enumerate();
        let lines = steps.map(|(index, step)| format!("{}. {}", index + 1, work(&step.work, lang)));
        parts.push(Part::Output(lines.collect::<Vec<_>>().join("\n")));
    }
    Card { summary: title, tone: Tone::Neutral, parts }
}

fn facts(run: &RunView, lang: Lang) -> Line {
    let plan = &run.plan;
    let mut line = vec![Span::Code(run.id.to_string()), text(" · "), Span::User(run.actor.clone())];
    let mut fact = |label: &str, value: &str| {
        line.push(text(format!("\n{label} ")));
        line.push(Span::Code(value.to_owned()));
    };
    for (name, value) in &plan.arguments {
        fact(name, value);
    }
    for (name, commit) in &plan.commits {
        fact(&format!("{name} ({})", lang.pick("提交", "commit")), commit);
    }
    fact(lang.pick("目录", "in"), &plan.workdir.display().to_string());
    if let Some(host) = &plan.host {
        fact(lang.pick("主机", "on"), host);
    }
    if plan.lock == Lock::Environment {
        line.push(text(
            lang.pick("\n🔒 执行期间锁定该环境", "\n🔒 holds the environment while it runs"),
        ));
    }
    if let Some(retried) = &plan.retry_of {
        line.push(text(lang.pick("\n重新执行 ", "\nanother try of ")));
        line.push(Span::Code(retried.to_string()));
    }
    line
}

fn terms(step: &PlannedStep, lang: Lang) -> String {
    let mut words =
        format!("{} {}", lang.pick("限时", "at most"), super::duration::spell(step.timeout_ms));
    if step.idempotent {
        words.push_str(lang.pick(" · 可重复", " · may be repeated"));
    }
    if step.leaves_processes {
        words.push_str(lang.pick(" · 保留其进程", " · leaves processes"));
    }
    if step.always {
        words.push_str(lang.pick(" · 收尾，总会执行", " · cleanup, done in any case"));
    }
    if let Some(when) = &step.when {
        words = format!("{words} · {}", when.text().get(lang));
    }
    if let Some(retry) = &step.retry {
        words = format!("{words} · {} {}", lang.pick("重试", "retried"), retry.shown());
    }
    if let Some(user) = &step.user {
        words = format!("{words} · {} {user}", lang.pick("用户", "as user"));
    }
    if !step.outputs.is_empty() {
        let names = step.outputs.join(", ");
        words = format!("{words} · {} {names}", lang.pick("产出", "hands on"));
    }
    words
}

/// A step's work on one line; an argument that a reader could take for two stands in quotes.
fn work(work: &Work, lang: Lang) -> String {
    match work {
        Work::Run { argv, .. } => {
            let quoted = argv.iter().map(|argument| match argument {
                plain if is_plain(plain) => plain.clone(),
                other => format!("{other:?}"),
            });
            quoted.collect::<Vec<_>>().join(" ")
        }
        Work::Http { url, expect, contains, within_ms } => {
            let within = super::duration::spell(*within_ms);
            let mut words = format!("GET {url} → {expect} ({within})");
            if let Some(contains) = contains {
                // Writing to a String cannot fail.
                _ = write!(words, " ∋ {contains:?}");
            }
            words
        }
        Work::Logs { files, window_ms, .. } => {
            let window = super::duration::spell(*window_ms);
            format!("{} {window}: {}", lang.pick("分析日志", "read the log of"), files.join(" "))
        }
        Work::Journal { window_ms } => {
            let window = super::duration::spell(*window_ms);
            format!("{} {window}", lang.pick("汇总审计日志", "sum up the journal of"))
        }
    }
}

fn is_plain(argument: &str) -> bool {
    let is_odd = |letter: char| letter.is_whitespace() || letter.is_control() || letter == '"';
    !argument.is_empty() && !argument.contains(is_odd)
}

/// What an approval is bound to.
fn binding(plan: &Plan, lang: Lang) -> Line {
    let mut line = vec![
        text(lang.pick("计划摘要 ", "digest of the plan ")),
        Span::Code(plan.digest()),
        text(lang.pick("\n操作手册 ", "\nrunbook ")),
        Span::Code(plan.runbook.clone()),
    ];
    for (path, digest) in &plan.scripts {
        line.push(text("\n"));
        line.push(Span::Code(path.clone()));
        line.push(text(" "));
        line.push(Span::Code(digest.clone()));
    }
    line
}
