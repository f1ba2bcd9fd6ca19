//! What people read of a run's turn: its place and what it waits for, an approval that holds no more, an
//! environment that was taken over, and that somebody still has to decide.

use super::action::Lock;
use super::card::{Card, Line, Part, Span, Tone, prose, text};
use super::checklist;
use super::decision_card::called;
use super::id::{RunId, UserId};
use super::run::State;
use super::run_card::RunView;
use super::text::{Lang, Text};
use serde::{Deserialize, Serialize};

/// Runs ahead that are named; more are counted.
pub const AHEAD_NAMED_MAX: usize = 3;

/// What a queued run waits for. Its JSON is compared with what its card says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Queue {
    /// Counted from 1, among the queued runs of its environment.
    pub place: usize,
    /// Who holds the environment.
    pub holder: Option<Holder>,
    /// The first of those ahead of it: run and title.
    pub ahead: Vec<(RunId, String)>,
}

/// The run that holds an environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// Which.
    pub run: RunId,
    /// What it does.
    pub title: String,
    /// Who asked for it.
    pub actor: UserId,
    /// Why it was asked for; may be empty.
    pub reason: String,
    /// Since when it holds the environment.
    pub since_ms: i64,
    /// Whether it waits for a person to decide about a lost step.
    pub needs_attention: bool,
    /// The step it is at: its number from 1, how many there are, and its name.
    pub step: Option<(usize, usize, Text)>,
}

/// A lead took the environment from the run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TakenOver {
    /// Who.
    pub by: UserId,
    /// Why.
    pub reason: String,
    /// When.
    pub at_ms: i64,
}

impl Holder {
    /// A run that holds an environment since a moment.
    pub fn of(run: &RunView, since_ms: i64) -> Self {
        let at = run.steps.iter().position(|step| !step.state.is_final());
        let step = at.and_then(|at| {
            let planned = run.plan.steps.get(at)?;
            Some((at + 1, run.steps.len(), planned.name.clone()))
        });
        Self {
            run: run.id.clone(),
            title: run.plan.title(),
            actor: run.actor.clone(),
            reason: run.plan.reason().to_owned(),
            since_ms,
            needs_attention: run.state == State::NeedsAttention,
            step,
        }
    }

    /// `R-… deploy v1.4 of @ann, since 03:00, at step 2/3 Migrate: why`.
    pub fn line(&self, lang: Lang) -> Line {
        let mut line = vec![
            Span::Code(self.run.to_string()),
            text(format!(" {} · ", self.title)),
            Span::User(self.actor.clone()),
            text(lang.pick(" · 自 ", " · since ")),
            Span::Time(self.since_ms),
        ];
        if let Some((at, of, name)) = &self.step {
            let name = name.get(lang);
            line.push(text(match lang {
                Lang::Zh => format!(" · 第 {at}/{of} 步「{name}」"),
                Lang::En => format!(" · at step {at}/{of} “{name}”"),
            }));
        }
        if self.needs_attention {
            line.push(text(lang.pick(" · ⚠️ 等待人工确认", " · ⚠️ waits for somebody to decide")));
        }
        if !self.reason.is_empty() {
            line.push(text(lang.pick("：", ": ")));
            line.extend(prose(&self.reason));
        }
        line
    }
}

/// Place and holder, on the card of a queued run.
pub(super) fn on_card(run: &RunView, lang: Lang) -> Option<Part> {
    let queue = run.queue.as_ref().filter(|_| run.state == State::Queued)?;
    let place = queue.place;
    let mut line = vec![text(match lang {
        Lang::Zh => format!("🕒 排在第 {place} 位"),
        Lang::En => format!("🕒 Place {place} in the queue"),
    })];
    if let Some(holder) = &queue.holder {
        line.push(text(lang.pick("，等待：", ", waiting for: ")));
        line.extend(holder.line(lang));
    }
    if !queue.ahead.is_empty() {
        line.push(text(lang.pick("\n前面还有：", "\nAhead of it: ")));
        for (index, (id, title)) in queue.ahead.iter().enumerate() {
            if index > 0 {
                line.push(text(lang.pick("、", ", ")));
            }
            line.extend([Span::Code(id.to_string()), text(format!(" {title}"))]);
        }
        let more = (queue.place - 1).saturating_sub(queue.ahead.len());
        if more > 0 {
            line.push(text(match lang {
                Lang::Zh => format!("，以及另外 {more} 个"),
                Lang::En => format!(", and {more} more"),
            }));
        }
    }
    Some(Part::Paragraph(line))
}

/// The place alone, for a list.
pub fn place(run: &RunView, lang: Lang) -> Option<String> {
    let queue = run.queue.as_ref().filter(|_| run.state == State::Queued)?;
    let place = queue.place;
    let mut words = match lang {
        Lang::Zh => format!(" · 第 {place} 位"),
        Lang::En => format!(" · place {place}"),
    };
    if let Some(holder) = &queue.holder {
        words.push_str(lang.pick("，等待 ", ", waits for "));
        words.push_str(holder.run.as_str());
    }
    Some(words)
}

/// Tells the asker of a run that had to wait that it begins now.
pub fn turn_card(run: &RunView, lang: Lang) -> Card {
    let words = Text::new(
        format!("▶️ 轮到 {} 了。", run.plan.title()),
        format!("▶️ It is the turn of {} now.", run.plan.title()),
    );
    said(words.get(lang), vec![text(" "), Span::User(run.actor.clone())], Tone::Active)
}

/// Calls the approvers again: some approvals held no more at the run's turn.
pub fn voided_card(run: &RunView, who: &[UserId], lang: Lang) -> Card {
    let title = run.plan.title();
    let words = Text::new(
        format!("✋ {title} 轮到时，以下人员的批准或确认已失效（已不在相应角色中），没有执行："),
        format!(
            "✋ When the turn of {title} came, what these people had approved or ticked off held no \
             more (they are not in the role any longer), so nothing was done: "
        ),
    );
    let mut line = vec![];
    for user in who {
        line.extend([Span::User(user.clone()), text(" ")]);
    }
    if let Some(approval) = run.plan.approval.as_ref() {
        line.push(text(lang.pick("\n请重新批准：", "\nPlease approve it anew: ")));
        line.extend(called(approval));
    }
    if !checklist::is_done(run) {
        line.push(text(lang.pick(
            "\n请在卡片上重新确认检查清单。",
            "\nPlease tick the checklist on its card off anew.",
        )));
    }
    line.extend([text(" "), Span::User(run.actor.clone())]);
    said(words.get(lang), line, Tone::Warning)
}

/// The approvals of the past that do not count, on the card.
pub(super) fn voided(run: &RunView, lang: Lang) -> Option<Part> {
    let mut line = Line::new();
    for decision in &run.voided {
        if !line.is_empty() {
            line.push(text("\n"));
        }
        line.extend([
            text(lang.pick("🚫 不再算数：", "🚫 counts no more: ")),
            Span::User(decision.user.clone()),
            text(lang.pick(" 的批准 · ", "'s approval · ")),
            Span::Time(decision.at_ms),
        ]);
    }
    if line.is_empty() { None } else { Some(Part::Paragraph(line)) }
}

/// Says that nobody could be asked whether the gate still holds.
pub fn unasked_card(run: &RunView, lang: Lang) -> Card {
    let title = run.plan.title();
    let words = Text::new(
        format!(
            "⏸️ {title} 轮到了，但现在无法向 Slack 确认审批人和操作人的角色，所以先不执行；能确认时会自动继续。"
        ),
        format!(
            "⏸️ It is the turn of {title}, but Slack cannot be asked whether its people still hold \
             their roles, so nothing is begun; it goes on by itself as soon as Slack answers."
        ),
    );
    said(words.get(lang), vec![text(" "), Span::User(run.actor.clone())], Tone::Warning)
}

/// Who took the environment over, and what that means; on the card.
pub(super) fn taken_over(run: &RunView, lang: Lang) -> Option<Part> {
    let taken = run.taken_over.as_ref()?;
    let mut line = takeover(run, taken, lang);
    if run.state == State::NeedsAttention {
        line.push(text(lang.pick(
            "\n它不能再继续：Succeeded 或 Failed 都会结束这次执行，剩下的步骤不再执行，也不会自动回滚。",
            "\nIt cannot go on: Succeeded and Failed both end it, what is left is not begun, and \
             nothing follows by itself.",
        )));
    }
    Some(Part::Paragraph(line))
}

/// The same as words in the thread.
pub fn takeover_card(run: &RunView, lang: Lang) -> Option<Card> {
    let mut line = takeover(run, run.taken_over.as_ref()?, lang);
    line.extend([text(" "), Span::User(run.actor.clone())]);
    let summary = lang.pick("🔓 环境被接管", "🔓 the environment was taken over").to_owned();
    Some(Card { summary, tone: Tone::Warning, parts: vec![Part::Paragraph(line)] })
}

fn takeover(run: &RunView, taken: &TakenOver, lang: Lang) -> Line {
    let environment = &run.plan.environment;
    let mut line = vec![
        text("🔓 "),
        Span::User(taken.by.clone()),
        text(match lang {
            Lang::Zh => format!(" 接管了 {environment} 的锁："),
            Lang::En => format!(" took the lock of {environment} over: "),
        }),
    ];
    line.extend(prose(&taken.reason));
    line.extend([text(" · "), Span::Time(taken.at_ms)]);
    line
}

/// Somebody still has to decide; the number of the reminder decides who is called.
pub fn reminder_card(run: &RunView, (number, since_ms): (i64, i64), lang: Lang) -> Card {
    let title = run.plan.title();
    let minutes = since_ms / 60_000;
    let lock = match (run.plan.lock, &run.taken_over) {
        (Lock::Environment, None) => {
            let environment = &run.plan.environment;
            Text::new(format!("，{environment} 仍被锁定"), format!("; {environment} stays locked"))
        }
        _ => Text::new("", ""),
    };
    let words = Text::new(
        format!("⏰ {title} 已等待人工确认 {minutes} 分钟{}。请在卡片上选择。", lock.zh),
        format!(
            "⏰ {title} has waited for {minutes} min for somebody to decide{}. Choose on its card.",
            lock.en
        ),
    );
    let mut line = vec![text(" "), Span::User(run.actor.clone())];
    if number > 1
        && let Some(approval) = &run.plan.approval
    {
        line.push(text(" "));
        line.extend(called(approval));
    }
    said(words.get(lang), line, Tone::Warning)
}

fn said(words: &str, more: Line, tone: Tone) -> Card {
    let mut line = vec![text(words)];
    line.extend(more);
    Card { summary: words.to_owned(), tone, parts: vec![Part::Paragraph(line)] }
}
