//! What a run's card says of decisions: who is asked, who said what, and the buttons that still do
//! something.

use super::card::{
    Button, ButtonStyle, Card, Confirm, Line, Part, Span, Tone, mention, prose, text,
};
use super::decision::{Decision, Verdict, approvals};
use super::gate;
use super::plan::{Plan, PlannedApproval};
use super::press::Press;
use super::run::State;
use super::run_card::RunView;
use super::text::{Lang, Text};

/// Who is asked to approve, while the run waits for them. In a new message their mentions ping.
pub(super) fn question(run: &RunView, lang: Lang) -> Option<Part> {
    let approval = run.plan.approval.as_ref().filter(|_| is_asked(run))?;
    let (need, have) = (approval.count, approvals(&run.decisions, approval));
    let mut line = vec![text(lang.pick("请 ", "Waiting for "))];
    line.extend(called(approval));
    let words = match lang {
        Lang::Zh if approval.from.len() > 1 => {
            format!(" 中 {need} 个角色批准，每个角色由不同的人")
        }
        Lang::En if approval.from.len() > 1 => {
            format!(": {need} of these roles to approve, each through another person")
        }
        Lang::Zh => format!(" 中的 {need} 人批准"),
        Lang::En if need == 1 => " to approve".to_owned(),
        Lang::En => format!(": {need} of them to approve"),
    };
    line.push(text(words));
    if need > 1 {
        line.push(text(match lang {
            Lang::Zh if approval.from.len() > 1 => format!("（已有 {have} 个）"),
            Lang::Zh => format!("（已有 {have} 人）"),
            Lang::En => format!(" ({have} so far)"),
        }));
    }
    if !approval.allows_self {
        line.push(text(
            lang.pick("，本人不能批准自己的操作", "; one's own request does not count"),
        ));
    }
    line.push(text(lang.pick("。有效期至 ", ". Until ")));
    line.push(Span::Time(run.expires_ms));
    Some(Part::Paragraph(line))
}

/// Whether people are still asked to approve it.
fn is_asked(run: &RunView) -> bool {
    run.state == State::Waiting && gate::asks_people(run)
}

/// The approving roles, and their people and groups as mentions.
pub(super) fn called(approval: &PlannedApproval) -> Line {
    let mut line = Line::new();
    for role in &approval.from {
        if !line.is_empty() {
            line.push(text(" / "));
        }
        line.push(Span::Code(role.clone()));
    }
    for id in &approval.call {
        line.push(text(" "));
        line.push(mention(id));
    }
    line
}

/// Who said what, one a line.
pub(super) fn decisions(run: &RunView, lang: Lang) -> Option<Part> {
    let mut line = Line::new();
    for decision in &run.decisions {
        if !line.is_empty() {
            line.push(text("\n"));
        }
        line.extend(said(decision, lang));
        line.push(text(" · "));
        line.push(Span::Time(decision.at_ms));
    }
    if run.state == State::Running && run.is_cancel_asked() {
        line.push(text(lang.pick(
            "\n正在停止这一步：先请它结束，5 秒后强制结束。",
            "\nStopping the step: it is asked to end, and killed after 5 seconds.",
        )));
    }
    if line.is_empty() { None } else { Some(Part::Paragraph(line)) }
}

/// `✅ @bob approved: why`.
fn said(decision: &Decision, lang: Lang) -> Line {
    let (icon, words) = match decision.verdict {
        Verdict::Approved => ("✅", Text::new("批准", "approved")),
        Verdict::Rejected => ("⛔", Text::new("拒绝", "rejected")),
        Verdict::Cancelled => ("🛑", Text::new("取消", "cancelled")),
    };
    let mut line = vec![
        text(format!("{icon} ")),
        Span::User(decision.user.clone()),
        text(format!(" {}", words.get(lang))),
    ];
    if let Some(holder) = &decision.on_behalf {
        line.push(text(lang.pick("（代 ", " (for ")));
        line.push(Span::User(holder.clone()));
        line.push(text(lang.pick("）", ")")));
    }
    if !decision.reason.is_empty() {
        line.push(text(lang.pick("：", ": ")));
        line.extend(prose(&decision.reason));
    }
    line
}

/// The decision that ended a run, for its closing words.
pub(super) fn ending(run: &RunView, lang: Lang) -> Line {
    let verdict = match run.state {
        State::Rejected => Verdict::Rejected,
        State::Cancelled => Verdict::Cancelled,
        _ => return Line::new(),
    };
    let last = run.decisions.iter().rfind(|decision| decision.verdict == verdict);
    last.map_or_else(Line::new, |decision| {
        let mut line = vec![text("\n")];
        line.extend(said(decision, lang));
        line
    })
}

/// The buttons that can still do something in this state; none at the end.
pub(super) fn buttons(run: &RunView, lang: Lang) -> Option<Part> {
    let digest = run.plan.digest();
    let decide = |verdict| Press::Decide { verdict, run: run.id.clone(), digest: digest.clone() };
    let what = format!("{} → {}", run.plan.title(), run.plan.environment);
    let cancel = button(
        &decide(Verdict::Cancelled),
        (lang.pick("取消", "Cancel"), ButtonStyle::Default),
        Some(Confirm {
            title: lang.pick("取消这次执行？", "Cancel this run?").to_owned(),
            text: match lang {
                Lang::Zh => format!("{what}。正在执行的步骤会被停止，已经做完的不会撤销。"),
                Lang::En => {
                    format!("{what}. A step under way is stopped; what is done stays done.")
                }
            },
            yes: lang.pick("取消执行", "Cancel the run").to_owned(),
            no: lang.pick("返回", "Go back").to_owned(),
        }),
    );
    let details = button(
        &Press::Details { run: run.id.clone() },
        (lang.pick("详情", "Details"), ButtonStyle::Default),
        None,
    );
    let row = match run.state {
        State::Waiting => {
            let approve = button(
                &decide(Verdict::Approved),
                (lang.pick("批准", "Approve"), ButtonStyle::Primary),
                Some(approve_question(&run.plan, &what, lang)),
            );
            let reject = button(
                &decide(Verdict::Rejected),
                (lang.pick("拒绝", "Reject"), ButtonStyle::Danger),
                None,
            );
            match (is_asked(run), run.plan.approval.is_some()) {
                (true, _) => vec![approve, reject, details, cancel],
                (false, true) => vec![reject, details, cancel],
                (false, false) => vec![details, cancel],
            }
        }
        State::Running if run.is_cancel_asked() => vec![details],
        State::Queued | State::Running => vec![cancel, details],
        _ => return None,
    };
    Some(Part::Buttons(row))
}

/// What the form that asks for the reason of a rejection says above its question.
pub fn reject_words(run: &RunView, lang: Lang) -> Line {
    let mut line = vec![
        Span::Code(run.id.to_string()),
        text(format!(" {} → {}\n", run.plan.title(), run.plan.environment)),
        Span::User(run.actor.clone()),
    ];
    if !run.plan.reason().is_empty() {
        line.push(text(lang.pick("：", ": ")));
        line.extend(prose(run.plan.reason()));
    }
    line.push(text(lang.pick(
        "\n拒绝之后它不会执行；需要的话可以重新发起。",
        "\nRejected, it is not done; it can be asked for again.",
    )));
    line
}

fn approve_question(plan: &Plan, what: &str, lang: Lang) -> Confirm {
    let mut words = what.to_owned();
    if let Some(commit) = plan.commits.values().next() {
        words = format!("{words} ({})", commit.get(..10).unwrap_or(commit));
    }
    let reason = plan.reason();
    if !reason.is_empty() {
        words = format!("{words}\n{reason}");
    }
    Confirm {
        title: lang.pick("批准执行？", "Approve it?").to_owned(),
        text: words,
        yes: lang.pick("批准", "Approve").to_owned(),
        no: lang.pick("返回", "Go back").to_owned(),
    }
}

fn button(press: &Press, (label, style): (&str, ButtonStyle), confirm: Option<Confirm>) -> Button {
    Button {
        label: label.to_owned(),
        action: press.action().to_owned(),
        value: press.value(),
        style,
        confirm,
    }
}

/// The thread message by which the asker learns that enough people agree.
pub fn approved_card(run: &RunView, lang: Lang) -> Card {
    let mut line = Line::new();
    for decision in run.decisions.iter().filter(|one| one.verdict == Verdict::Approved) {
        if !line.is_empty() {
            line.push(text("\n"));
        }
        line.extend(said(decision, lang));
    }
    line.push(text(format!(
        "\n{} {}",
        run.plan.title(),
        match run.state {
            State::Waiting => lang.pick("还在等其他关卡", "still waits for its other gates"),
            _ => lang.pick("开始排队执行", "is queued now"),
        }
    )));
    line.push(text(" "));
    line.push(Span::User(run.actor.clone()));
    let summary = format!("✅ {} {}", run.plan.title(), lang.pick("已获批准", "is approved"));
    Card { summary, tone: Tone::Neutral, parts: vec![Part::Paragraph(line)] }
}
