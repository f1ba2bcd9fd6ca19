//! `status`: what is going on, by environment.

use super::{Context, Spec, alerts, answer, freeze, text};
use crate::core::card::{Card, Line, Part, Span, Tone};
use crate::core::param::{ArgumentFault, cut};
use crate::core::queue_card;
use crate::core::release::Release;
use crate::core::release_card::COMMIT_CHARS;
use crate::core::run::State;
use crate::core::run_card::{RunView, icon, standing, standing_icon};
use crate::core::text::Lang;
use crate::core::words::Words;
use crate::engine::{Asked, Error, Overview};

/// How it is asked for.
pub const SPEC: Spec = Spec {
    name: "status",
    usage: "",
    example: "status",
    zh: "各环境现在的情况：正在执行、排队、需要处理的事",
    en: "What each environment is doing: running, queued, waiting for somebody",
};

/// A request for the status of everything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status;

/// Reads the words after `status`: none.
pub fn parse(words: &mut Words<'_>) -> Result<Status, ArgumentFault> {
    super::nothing_more(words)?;
    Ok(Status)
}

/// Answers.
pub async fn run(_: &Status, context: &Context<'_>, asked: Asked) -> Result<String, Error> {
    let environments: Vec<String> = context.runbook.environments.keys().cloned().collect();
    let overview = context.engine.overview(environments.clone()).await?;
    let mut card = card(context, &environments, &overview);
    if let Some((line, tone)) = alerts::open(context).await? {
        card.tone = tone;
        // Before the environments: the worst stands first.
        card.parts.insert(1, Part::Paragraph(line));
    }
    let open = context.engine.open_reviews().await?;
    if !open.is_empty() {
        if card.tone != Tone::Bad {
            card.tone = Tone::Warning;
        }
        card.parts.push(Part::Paragraph(to_review(&open, context.lang)));
    }
    answer(context, asked, "request.answered", &card).await
}

fn card(context: &Context<'_>, environments: &[String], overview: &Overview) -> Card {
    let lang = context.lang;
    let title = format!("{} · {}", context.runbook.service, lang.pick("状态", "status"));
    let mut parts = vec![Part::Header(title.clone())];
    let mut tone = Tone::Neutral;
    for environment in environments {
        let open: Vec<&RunView> =
            overview.open.iter().filter(|run| run.plan.environment == *environment).collect();
        let mut line = vec![Span::Bold(environment.clone())];
        if open.is_empty() {
            line.push(text(lang.pick("  空闲", "  idle")));
        }
        for run in open {
            line.push(text("\n"));
            line.extend(open_run(run, overview, context));
            tone = match (run.state, tone) {
                (State::NeedsAttention, _) | (_, Tone::Warning) => Tone::Warning,
                _ => Tone::Active,
            };
        }
        line.extend(freeze::in_environment(environment, context));
        if let Some(live) = overview.live.iter().find(|live| live.environment == *environment) {
            line.extend(live_release(live, lang));
        }
        if let Some((_, last)) = overview.last.iter().find(|(name, _)| name == environment) {
            line.push(text(lang.pick("\n最近一次：", "\nlast: ")));
            line.extend(ended_run(last, lang));
        }
        parts.push(Part::Paragraph(line));
    }
    if overview.has_more {
        parts.push(Part::Context(vec![text(
            lang.pick("还有更多未结束的执行。", "There are more open runs."),
        )]));
    }
    Card { summary: title, tone, parts }
}

/// The emergencies that nobody has reviewed yet.
fn to_review(open: &[RunView], lang: Lang) -> Line {
    let mut line = vec![text(lang.pick("🚨 待复核的紧急操作：", "🚨 Emergencies to be reviewed:"))];
    for run in open {
        line.push(text("\n"));
        line.push(Span::Code(run.id.to_string()));
        line.push(text(format!(" {} → {} ", run.plan.title(), run.plan.environment)));
        line.push(Span::User(run.actor.clone()));
        line.push(text(" · "));
        line.push(Span::Time(run.created_ms));
    }
    line
}

/// What is live, since when, and by which run.
fn live_release(live: &Release, lang: Lang) -> Line {
    let short = live.commit.get(..COMMIT_CHARS).unwrap_or(&live.commit);
    vec![
        text(lang.pick("\n在线：", "\nlive: ")),
        Span::Code(live.version.clone()),
        text(" "),
        Span::Code(short.to_owned()),
        text(lang.pick(" · 自 ", " · since ")),
        Span::Time(live.live_ms),
        text(" · "),
        Span::Code(live.run.to_string()),
    ]
}

fn open_run(run: &RunView, overview: &Overview, context: &Context<'_>) -> Line {
    let (lang, now_ms) = (context.lang, context.engine.clock().now_ms());
    let (icon, state) = (standing_icon(run, now_ms), standing(run, now_ms));
    let mut words = format!("{icon} {} · {}", run.plan.title(), state.get(lang));
    let done = run.steps.iter().filter(|step| step.ended_ms > 0).count();
    if run.state == State::Running {
        let name = run.plan.steps.get(done).map_or("", |step| step.name.get(lang));
        let (at, of) = ((done + 1).min(run.steps.len()), run.steps.len());
        words = format!("{words} {at}/{of} {name}");
    }
    words.extend(queue_card::place(run, lang));
    words.push(' ');
    let mut line =
        vec![text(words), Span::Code(run.id.to_string()), text(" "), Span::User(run.actor.clone())];
    if let Some(lock) = overview.locks.iter().find(|lock| lock.run_id == run.id.as_str()) {
        line.push(text(lang.pick(" 🔒 自 ", " 🔒 since ")));
        line.push(Span::Time(lock.taken_ms));
    }
    if let Some(taken) = &run.taken_over {
        line.push(text(lang.pick(" 🔓 锁已被接管：", " 🔓 lock taken over by ")));
        line.push(Span::User(taken.by.clone()));
    }
    if !run.plan.reason().is_empty() {
        line.push(text(lang.pick("：", ": ")));
        line.push(text(cut(run.plan.reason())));
    }
    line
}

fn ended_run(run: &RunView, lang: Lang) -> Line {
    let state = run.state.text();
    let words = format!("{} {} · {} · ", icon(run.state), run.plan.title(), state.get(lang));
    vec![text(words), Span::Time(run.ended_ms), text(" "), Span::Code(run.id.to_string())]
}
