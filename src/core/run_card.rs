//! The one card of a run: what people see from the question to the end.

use super::card::{Card, Line, Part, Span, Tone, prose, text};
use super::checklist;
use super::checklist_card;
use super::decision::{self, Decision};
use super::decision_card;
use super::emergency::{self, Review};
use super::evidence::Evidence;
use super::follow_up_card;
use super::freeze_card;
use super::gate::{self, Gate};
use super::host_card;
use super::id::{RunId, UserId};
use super::plan::{FollowUp, Plan, PlannedStep};
use super::queue_card::{self, Queue, TakenOver};
use super::release_card::{self, COMMIT_CHARS};
use super::result_card;
use super::run::{State, StepState};
use super::settle_card;
use super::text::{Lang, Text};
use sha2::{Digest, Sha256};

/// Lines of a failing step's output on the card.
pub const TAIL_LINES_MAX: usize = 15;
/// Characters of them.
const TAIL_CHARS_MAX: usize = 1_500;

/// A run as a card needs it.
#[derive(Debug, Clone)]
pub struct RunView {
    /// Its id.
    pub id: RunId,
    /// What it does.
    pub plan: Plan,
    /// Where it stands.
    pub state: State,
    /// Who asked.
    pub actor: UserId,
    /// Each step.
    pub steps: Vec<StepView>,
    /// What people decided about it, in order.
    pub decisions: Vec<Decision>,
    /// How far its checklist is.
    pub checklist: checklist::Seen,
    /// Approvals that held no more when its turn came.
    pub voided: Vec<Decision>,
    /// What it waits for, while it is queued and that is known.
    pub queue: Option<Queue>,
    /// What whoever reviewed it found, if it was an emergency.
    pub review: Option<Review>,
    /// Who took its environment from it.
    pub taken_over: Option<TakenOver>,
    /// When it stops waiting for people; 0: never.
    pub expires_ms: i64,
    /// The host that keeps its evidence; empty before it is claimed.
    pub host: String,
    /// Since when that host cannot be asked; 0: it can.
    pub unreachable_ms: i64,
    /// When it was asked.
    pub created_ms: i64,
    /// When a worker took it; 0: not yet.
    pub started_ms: i64,
    /// When it ended; 0: not yet.
    pub ended_ms: i64,
}

impl RunView {
    /// Whether somebody wants it stopped.
    pub fn is_cancel_asked(&self) -> bool {
        decision::is_cancel_asked(&self.decisions)
    }

    /// Whether it is an emergency that nobody has reviewed yet.
    pub fn awaits_review(&self) -> bool {
        self.plan.emergency.is_some() && self.review.is_none()
    }

    /// The plan that follows its failure, and the run of it; once that has begun, or while it may.
    pub fn follow_up(&self) -> Option<(&Plan, RunId)> {
        let Some(FollowUp::Plan { plan, .. }) = &self.plan.on_failure else { return None };
        Some((plan, follow_up_of(&self.id)))
    }

    /// Whether it ended so that what follows its failure was begun.
    pub fn is_followed(&self) -> bool {
        let Some(FollowUp::Plan { from_step, .. }) = self.plan.on_failure else { return false };
        let is_bad = matches!(self.state, State::Failed | State::TimedOut);
        // Whoever took the environment over has used it since: what follows would undo their work.
        let is_bad = is_bad && self.taken_over.is_none();
        is_bad && self.steps.iter().skip(from_step).any(|step| step.begun > 0)
    }
}

/// The one run that can follow a run's failure has its id from it: asked twice, it is the same.
pub fn follow_up_of(run: &RunId) -> RunId {
    let hash = Sha256::digest(format!("on_failure {run}"));
    RunId::from_entropy(std::array::from_fn(|at| hash[at]))
}

/// A step as a card needs it.
#[derive(Debug, Clone)]
pub struct StepView {
    /// Where it stands.
    pub state: StepState,
    /// Tries so far.
    pub attempts: i64,
    /// How many of them began, by their evidence.
    pub begun: i64,
    /// How many of these ended badly and were tried again.
    pub failures: i64,
    /// When the next try is due; 0: at once.
    pub due_ms: i64,
    /// When it was started; 0: not yet.
    pub started_ms: i64,
    /// When it ended; 0: not yet.
    pub ended_ms: i64,
    /// How it ended, if it has.
    pub evidence: Option<Evidence>,
    /// The last of its output.
    pub tail: String,
}

/// The run's card, as it is at a moment.
pub fn card(run: &RunView, lang: Lang, now_ms: i64) -> Card {
    let headline = headline(run, lang, now_ms);
    let mut parts = vec![Part::Header(headline.clone())];
    parts.extend(emergency::on_card(run, lang));
    parts.extend(freeze_card::overridden(&run.plan, lang));
    parts.push(Part::Fields(fields(run, lang)));
    if !run.plan.reason().is_empty() {
        let mut line = vec![Span::Bold(lang.pick("原因", "Reason").into()), text(" ")];
        line.extend(prose(run.plan.reason()));
        parts.push(Part::Paragraph(line));
    }
    parts.extend(release_card::changes(&run.plan, release_card::ON_CARD_MAX, lang));
    parts.extend(release_card::database(&run.plan, release_card::ON_CARD_MAX, lang));
    parts.extend(checklist_card::on_card(run, lang));
    if !run.steps.is_empty() {
        parts.push(Part::Paragraph(step_list(run, lang)));
    }
    parts.extend(result_card::on_card(run, lang));
    parts.extend(follow_up_card::on_card(run, lang).map(Part::Paragraph));
    parts.extend(queue_card::on_card(run, lang));
    parts.extend(host_card::unreachable(run, lang).map(Part::Paragraph));
    parts.extend(decision_card::question(run, lang));
    parts.extend(freeze_card::question(run, lang, now_ms));
    parts.extend(queue_card::voided(run, lang));
    parts.extend(decision_card::decisions(run, lang));
    parts.extend(queue_card::taken_over(run, lang));
    if let Some(step) = run.steps.iter().find(|step| wants_output(step.state))
        && !step.tail.trim().is_empty()
    {
        parts.push(Part::Output(last_lines(&step.tail)));
    }
    if run.state == State::NeedsAttention {
        parts.push(Part::Paragraph(settle_card::what_now(run, lang)));
        parts.extend(settle_card::buttons(run, lang));
    }
    parts.extend(checklist_card::buttons(run, lang));
    parts.extend(decision_card::buttons(run, lang));
    parts.extend(emergency::buttons(run, lang));
    parts.push(Part::Context(times(run, lang)));
    Card { summary: headline, tone: tone_of(run), parts }
}

/// The words with which a run ends, for its thread; `None` while it goes on.
pub fn closing_words(run: &RunView) -> Option<Text> {
    let title = run.plan.title();
    let general = |zh: &str, en: &str| Text::new(format!("{title} {zh}"), format!("{title} {en}"));
    Some(match run.state {
        State::Succeeded => {
            run.plan.succeeded.clone().unwrap_or_else(|| general("✅ 已完成", "✅ done"))
        }
        State::Failed => run.plan.failed.clone().unwrap_or_else(|| {
            general("🚨 失败，需要立即人工干预", "🚨 failed: somebody must act now")
        }),
        State::TimedOut => run.plan.failed.clone().unwrap_or_else(|| {
            general("🚨 超时，需要立即人工干预", "🚨 timed out: somebody must act now")
        }),
        State::NeedsAttention => Text::new(
            format!("⚠️ {title}：有一个步骤的结果未知，需要人工确认。不会自动重跑。"),
            format!(
                "⚠️ {title}: a step's outcome is unknown. Somebody must look; it is not run again by itself."
            ),
        ),
        State::Cancelled => general("🛑 已取消", "🛑 was cancelled"),
        State::Rejected => general("⛔ 已被拒绝，没有执行", "⛔ was rejected; nothing was done"),
        State::Expired if run.plan.checklist.is_some() => general(
            "⌛ 批准或检查清单没有在时限内完成，已过期，没有执行",
            "⌛ was not approved and in order in time; nothing was done",
        ),
        State::Expired => general(
            "⌛ 无人及时批准，已过期，没有执行",
            "⌛ was not approved in time; nothing was done",
        ),
        State::Waiting | State::Queued | State::Running => return None,
    })
}

/// The thread message that ends a run: its words, and the asker's mention.
pub fn closing_card(run: &RunView, lang: Lang) -> Option<Card> {
    let words = closing_words(run)?;
    let words = words.get(lang);
    let mut line = vec![text(words), text(" "), Span::User(run.actor.clone())];
    line.extend(decision_card::ending(run, lang));
    line.extend(follow_up_card::at_the_end(run, lang));
    let mut parts = vec![Part::Paragraph(line)];
    if run.state == State::NeedsAttention {
        parts.extend(settle_card::buttons(run, lang));
    }
    parts.extend(settle_card::ask_again(run, lang));
    if run.state.is_final() {
        parts.extend(emergency::at_the_end(run, lang));
    }
    Some(Card { summary: words.to_owned(), tone: tone_of(run), parts })
}

fn headline(run: &RunView, lang: Lang, now_ms: i64) -> String {
    let banner = emergency::banner(run, lang);
    match closing_words(run) {
        Some(words) => format!("{banner}{}", words.get(lang)),
        None => format!(
            "{banner}{} {} → {} · {}",
            standing_icon(run, now_ms),
            run.plan.title(),
            run.plan.environment,
            standing(run, now_ms).get(lang)
        ),
    }
}

/// Its state in words: what waits does not always wait for people.
pub fn standing(run: &RunView, now_ms: i64) -> Text {
    if freeze_card::is_all_that_it_waits_for(run, now_ms) {
        return Text::new("等待冻结结束", "waiting for a freeze to end");
    }
    let open = gate::open(run, now_ms);
    if run.state == State::Waiting && open.first() == Some(&Gate::Checklist) {
        return Text::new("等待检查清单", "waiting for its checklist");
    }
    run.state.text()
}

/// The same as one sign.
pub fn standing_icon(run: &RunView, now_ms: i64) -> &'static str {
    if freeze_card::is_all_that_it_waits_for(run, now_ms) { "❄️" } else { icon(run.state) }
}

fn fields(run: &RunView, lang: Lang) -> Vec<(String, Line)> {
    let mut fields = vec![
        (lang.pick("执行", "Run").to_owned(), vec![Span::Code(run.id.to_string())]),
        (lang.pick("操作", "Action").to_owned(), vec![text(run.plan.summary.get(lang))]),
        (lang.pick("环境", "Environment").to_owned(), vec![text(run.plan.environment.clone())]),
        (lang.pick("操作人", "Asked by").to_owned(), vec![Span::User(run.actor.clone())]),
    ];
    if let Some(first) = &run.plan.retry_of {
        let label = lang.pick("重新执行", "Another try of").to_owned();
        fields.push((label, vec![Span::Code(first.to_string())]));
    }
    if let Some(cause) = &run.plan.cause {
        let label = lang.pick("起因：执行失败", "Follows the failure of").to_owned();
        fields.push((label, vec![Span::Code(cause.to_string())]));
    }
    for (name, value) in run.plan.arguments.iter().filter(|(name, _)| *name != "reason") {
        let mut line = vec![Span::Code(value.clone())];
        if let Some(commit) = run.plan.commits.get(name) {
            let short = commit.get(..COMMIT_CHARS).unwrap_or(commit);
            line.extend([text(" "), Span::Code(short.to_owned())]);
        }
        fields.push((argument_label(name, lang), line));
    }
    fields
}

fn argument_label(name: &str, lang: Lang) -> String {
    match (name, lang) {
        ("version", Lang::Zh) => "版本".to_owned(),
        ("version", Lang::En) => "Version".to_owned(),
        (other, _) => other.to_owned(),
    }
}

fn step_list(run: &RunView, lang: Lang) -> Line {
    let mut line = Vec::new();
    for (index, (planned, step)) in run.plan.steps.iter().zip(&run.steps).enumerate() {
        if index > 0 {
            line.push(text("\n"));
        }
        line.extend(numbered(index, planned, step, lang));
    }
    line
}

/// One step as its line of the card, counted from 0; empty where there is none.
pub fn step_line(run: &RunView, index: usize, lang: Lang) -> Line {
    let step = run.plan.steps.get(index).zip(run.steps.get(index));
    step.map(|(planned, step)| numbered(index, planned, step, lang)).unwrap_or_default()
}

fn numbered(index: usize, planned: &PlannedStep, step: &StepView, lang: Lang) -> Line {
    let mut line = vec![
        text(format!("{} {}. ", step_icon(step.state), index + 1)),
        text(planned.name.get(lang)),
    ];
    for (index, note) in notes(planned, step, lang).into_iter().enumerate() {
        line.push(text(if index == 0 { " — " } else { lang.pick("，", ", ") }));
        line.extend(note);
    }
    line
}

/// What is said behind a step's name.
fn notes(planned: &PlannedStep, step: &StepView, lang: Lang) -> Vec<Line> {
    let mut notes: Vec<Line> = Vec::new();
    let mut note = |words: &str| notes.push(vec![text(words)]);
    if planned.always {
        note(lang.pick("收尾", "cleanup"));
    }
    if !matches!(step.state, StepState::Pending | StepState::Ok) {
        note(step.state.text().get(lang));
    }
    let is_undecided = matches!(step.state, StepState::Pending | StepState::Skipped);
    if let Some(when) = planned.when.as_ref().filter(|_| is_undecided) {
        note(when.text().get(lang));
    }
    if step.ended_ms > 0 && step.started_ms > 0 {
        note(&seconds(step.ended_ms - step.started_ms));
    }
    if step.attempts > 1 {
        let times = step.attempts;
        note(Text::new(format!("第 {times} 次"), format!("attempt {times}")).get(lang));
    }
    if let Some(evidence) = &step.evidence {
        let said = evidence.text();
        let left = evidence.left_behind_text(planned.leaves_processes);
        for words in [said, left].into_iter().flatten() {
            note(words.get(lang));
        }
        if let Some(result) = &evidence.result {
            note(&result_card::sentence(result, lang));
        }
        for fault in &evidence.output_faults {
            note(fault.get(lang));
        }
        if evidence.is_output_incomplete {
            note(lang.pick("输出不完整（磁盘已满）", "output incomplete (disk full)"));
        }
    }
    if step.state == StepState::Pending && step.failures > 0 {
        let (number, all) = (step.failures, planned.retry.map_or(0, |retry| retry.times));
        let words = Text::new(
            format!("第 {number}/{all} 次重试于 "),
            format!("retry {number} of {all} at "),
        );
        notes.push(vec![text(words.get(lang)), Span::Time(step.due_ms)]);
    }
    notes
}

fn times(run: &RunView, lang: Lang) -> Line {
    let mut line = vec![text(lang.pick("提出于 ", "asked ")), Span::Time(run.created_ms)];
    if run.ended_ms > 0 {
        let took = seconds(run.ended_ms - run.started_ms.max(run.created_ms));
        line.push(text(lang.pick(" · 结束于 ", " · ended ")));
        line.push(Span::Time(run.ended_ms));
        line.push(text(format!(" · {} {took}", lang.pick("用时", "took"))));
    }
    line
}

/// `2026-11-24 03:00:05 UTC`.
pub fn clock_time(at_ms: i64) -> String {
    chrono::DateTime::from_timestamp_millis(at_ms)
        .map_or_else(|| at_ms.to_string(), |at| at.format("%Y-%m-%d %H:%M:%S UTC").to_string())
}

/// `36 ms`, `1.4 s`, `12 s`, `3 min 5 s`.
pub fn seconds(took_ms: i64) -> String {
    let took_ms = took_ms.max(0);
    if took_ms < 1_000 {
        format!("{took_ms} ms")
    } else if took_ms < 10_000 {
        format!("{}.{} s", took_ms / 1_000, took_ms % 1_000 / 100)
    } else if took_ms < 60_000 {
        format!("{} s", took_ms / 1_000)
    } else {
        format!("{} min {} s", took_ms / 60_000, took_ms / 1_000 % 60)
    }
}

/// The last lines of an output, within what a card may show.
pub fn last_lines(output: &str) -> String {
    let lines: Vec<&str> = output.trim_end().lines().collect();
    let from = lines.len().saturating_sub(TAIL_LINES_MAX);
    let shown = lines[from..].join("\n");
    let extra = shown.chars().count().saturating_sub(TAIL_CHARS_MAX);
    let cut: String = shown.chars().skip(extra).collect();
    if from > 0 || extra > 0 { format!("…\n{cut}") } else { cut }
}

fn wants_output(state: StepState) -> bool {
    matches!(
        state,
        StepState::Failed | StepState::TimedOut | StepState::Cancelled | StepState::Unknown
    )
}

/// The colour of a run's card: an emergency is red until somebody has reviewed it.
fn tone_of(run: &RunView) -> Tone {
    if run.awaits_review() { Tone::Bad } else { tone(run.state) }
}

/// The colour of a state.
pub fn tone(state: State) -> Tone {
    match state {
        State::Waiting | State::Queued => Tone::Neutral,
        State::Running => Tone::Active,
        State::Succeeded => Tone::Good,
        State::NeedsAttention | State::Expired | State::Rejected | State::Cancelled => {
            Tone::Warning
        }
        State::Failed | State::TimedOut => Tone::Bad,
    }
}

/// A state as one sign.
pub fn icon(state: State) -> &'static str {
    match state {
        State::Waiting => "✋",
        State::Queued => "🕒",
        State::Running => "⏳",
        State::Succeeded => "✅",
        State::Failed | State::TimedOut => "🚨",
        State::Cancelled | State::Rejected | State::Expired => "⛔",
        State::NeedsAttention => "⚠️",
    }
}

fn step_icon(state: StepState) -> &'static str {
    match state {
        StepState::Pending => "▫️",
        StepState::Starting | StepState::Running => "⏳",
        StepState::Ok => "✅",
        StepState::Failed | StepState::TimedOut => "❌",
        StepState::Cancelled => "⛔",
        StepState::Unknown => "⚠️",
        StepState::Skipped => "➖",
    }
}
