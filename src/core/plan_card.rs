//! A plan in full, for whoever wants to see exactly what a run does before they decide about it.

use super::action::Lock;
use super::card::{Card, Line, Part, Span, Tone, text};
use super::checklist_card;
use super::decision_card::called;
use super::follow_up_card;
use super::freeze_card;
use super::plan::{FollowUp, Plan, PlannedStep, Work};
use super::release_card;
use super::run_card::RunView;
use super::text::Lang;
use std::fmt::Write as _;

/// Steps that are written out; a plan has fewer than this, and the card has room for it.
const STEPS_SHOWN: usize = 40;

/// The plan of a run: every step as it would be started, and what the approval binds to.
pub fn card(run: &RunView, lang: Lang) -> Card {
    let mut first =
        vec![Span::Code(run.id.to_string()), text(" · "), Span::User(run.actor.clone())];
    first.extend(facts(&run.plan, lang));
    let mut parts = vec![Part::Paragraph(first)];
    parts.extend(body(&run.plan, lang));
    let after = follow_up_card::on_card(run, lang).map(Part::Paragraph);
    parts.extend(after.into_iter().chain(follow_up(&run.plan, lang)));
    titled(&run.plan, parts, lang)
}

/// A plan that nobody has asked for yet.
pub fn preview(plan: &Plan, lang: Lang) -> Card {
    let mut first = vec![text(
        lang.pick("🔍 只是查看，什么也没有执行。", "🔍 Only looked at: nothing was done."),
    )];
    first.extend(facts(plan, lang));
    let mut parts = vec![Part::Paragraph(first)];
    parts.extend(body(plan, lang));
    let after = plan.on_failure.as_ref().map(|next| follow_up_card::foreseen(next, lang));
    parts.extend(after.map(Part::Paragraph).into_iter().chain(follow_up(plan, lang)));
    titled(plan, parts, lang)
}

fn titled(plan: &Plan, parts: Vec<Part>, lang: Lang) -> Card {
    let title = format!("{}{} → {}", lang.pick("计划：", "Plan: "), plan.title(), plan.environment);
    let mut all = vec![Part::Header(title.clone())];
    all.extend(parts);
    Card { summary: title, tone: Tone::Neutral, parts: all }
}

/// What the approval binds to comes first: a card that is too long loses its end.
fn body(plan: &Plan, lang: Lang) -> Vec<Part> {
    let mut parts = vec![Part::Paragraph(gates(plan, lang)), Part::Context(binding(plan, lang))];
    parts.extend(release_card::changes(plan, usize::MAX, lang));
    parts.extend(release_card::database(plan, usize::MAX, lang));
    let checks = plan.checklist.as_ref().and_then(|checklist| checklist.checks.as_deref());
    if let Some(checks) = checks {
        parts.push(Part::Paragraph(vec![Span::Bold(
            lang.pick("先检查：", "Checked first:").to_owned(),
        )]));
        parts.push(Part::Output(works(checks, lang)));
    }
    for (index, step) in plan.steps.iter().take(STEPS_SHOWN).enumerate() {
        let mut line = vec![Span::Bold(format!("{}. {}", index + 1, step.name.get(lang)))];
        line.push(text(format!("  {}", terms(step, lang))));
        parts.push(Part::Paragraph(line));
        parts.push(Part::Output(work(&step.work, lang)));
    }
    parts
}

/// The steps of what follows a failure, in one block: the plan itself has the room.
fn follow_up(plan: &Plan, lang: Lang) -> Option<Part> {
    let Some(FollowUp::Plan { plan, .. }) = &plan.on_failure else { return None };
    Some(Part::Output(works(plan, lang)))
}

/// The steps of a plan, one a line.
fn works(plan: &Plan, lang: Lang) -> String {
    let steps = plan.steps.iter().enumerate();
    let lines = steps.map(|(index, step)| format!("{}. {}", index + 1, work(&step.work, lang)));
    lines.collect::<Vec<_>>().join("\n")
}

/// Who may ask, who must agree, and what it holds.
fn gates(plan: &Plan, lang: Lang) -> Line {
    let mut line = vec![text(lang.pick("👤 可发起的角色 ", "👤 May be asked by "))];
    for (index, role) in plan.roles().enumerate() {
        if index > 0 {
            line.push(text(" + "));
        }
        line.push(Span::Code(role.to_owned()));
    }
    if let Some(rule) = plan.rule_line {
        line.push(text(match lang {
            Lang::Zh => format!("（操作手册第 {rule} 行的规则）"),
            Lang::En => format!(" (the rule on line {rule} of the runbook)"),
        }));
    }
    line.push(text("\n"));
    line.extend(approval(plan, lang));
    if let Some(checklist) = &plan.checklist {
        line.push(text("\n"));
        line.extend(checklist_card::planned(checklist, lang));
    }
    line.extend(freeze_card::in_plan(plan, lang));
    line.push(text(match plan.lock {
        Lock::Environment => {
            lang.pick("\n🔒 执行期间锁定该环境", "\n🔒 holds the environment while it runs")
        }
        Lock::None => lang.pick("\n🔓 不占用环境", "\n🔓 holds no environment"),
    }));
    line
}

fn approval(plan: &Plan, lang: Lang) -> Line {
    if let Some(emergency) = &plan.emergency {
        let without = emergency.without();
        let without = without.as_ref().map_or("", |without| without.get(lang));
        return vec![
            text(match lang {
                Lang::Zh => format!("🚨 紧急操作：{without}，事后由 "),
                Lang::En => format!("🚨 An emergency: {without}, reviewed afterwards by "),
            }),
            Span::Code(emergency.review.clone()),
            text(lang.pick(" 复核", "")),
        ];
    }
    let Some(approval) = &plan.approval else {
        return vec![text(lang.pick("✋ 不需要审批", "✋ needs nobody's approval"))];
    };
    let mut line = vec![text(lang.pick("✋ 需要审批：", "✋ to be approved by "))];
    line.extend(called(approval));
    let (count, within) = (approval.count, super::duration::spell(approval.expires_ms));
    line.push(text(match lang {
        Lang::Zh => format!(" 中 {count} 人，{within} 内"),
        Lang::En => format!(": {count} of them, within {within}"),
    }));
    if !approval.allows_self {
        line.push(text(lang.pick("，本人不算", ", not whoever asks")));
    }
    line
}

fn facts(plan: &Plan, lang: Lang) -> Line {
    let mut line = Line::new();
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
    let checks = plan.checklist.iter().filter_map(|checklist| checklist.checks.as_deref());
    for (path, digest) in checks.chain([plan]).flat_map(|plan| &plan.scripts) {
        line.push(text("\n"));
        line.push(Span::Code(path.clone()));
        line.push(text(" "));
        line.push(Span::Code(digest.clone()));
    }
    line
}
