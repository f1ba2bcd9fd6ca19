//! What people read of a host that cannot be asked, and of what is found when it can be again.

use super::card::{Card, Line, Part, Span, Tone, text};
use super::evidence::{End, Evidence};
use super::run_card::RunView;
use super::text::Lang;

/// That the host cannot be asked, on the run's card; `None` while it can.
pub(super) fn unreachable(run: &RunView, lang: Lang) -> Option<Line> {
    if run.unreachable_ms == 0 {
        return None;
    }
    let host = &run.host;
    let (before, after) = match lang {
        Lang::Zh => (
            format!("📡 主机 {host} 上的机器人失联，自 "),
            "。已开始的步骤可能仍在那里运行；不会在别处重跑。".to_owned(),
        ),
        Lang::En => (
            format!("📡 The bot on host {host} has not been heard of since "),
            ". A step that began may still run there; it is not run anywhere else.".to_owned(),
        ),
    };
    Some(vec![text(before), Span::Time(run.unreachable_ms), text(after)])
}

/// The thread message by which the asker learns it.
pub fn unreachable_card(run: &RunView, lang: Lang) -> Option<Card> {
    let mut line = unreachable(run, lang)?;
    line.extend([text(" "), Span::User(run.actor.clone())]);
    let summary = format!("📡 {} · {}", run.plan.title(), run.host);
    Some(Card { summary, tone: Tone::Warning, parts: vec![Part::Paragraph(line)] })
}

/// What the evidence of a step says now that its host is back; `None`: it runs still.
pub fn amended_card(
    run: &RunView,
    position: usize,
    evidence: Option<&Evidence>,
    lang: Lang,
) -> Card {
    let name = run.plan.steps.get(position).map_or("", |step| step.name.get(lang));
    let found = match evidence.map(|evidence| (&evidence.end, evidence.text())) {
        None => lang.pick("仍在运行", "it runs still").to_owned(),
        Some((End::Exited(0), _)) => lang.pick("已成功结束", "it ended well").to_owned(),
        Some((End::TimedOut, _)) => {
            lang.pick("超时后被停止", "it took too long and was stopped").to_owned()
        }
        Some((End::Cancelled, _)) => lang.pick("已被取消", "it was cancelled").to_owned(),
        Some((_, words)) => words.map(|words| words.get(lang).to_owned()).unwrap_or_default(),
    };
    let words = match lang {
        Lang::Zh => {
            format!("📡 主机 {} 已恢复。第 {} 步「{name}」的证据：{found}", run.host, position + 1)
        }
        Lang::En => {
            format!(
                "📡 Host {} is back. The evidence of step {}, “{name}”: {found}",
                run.host,
                position + 1
            )
        }
    };
    let line = vec![text(words.clone()), text(" "), Span::User(run.actor.clone())];
    Card { summary: words, tone: Tone::Neutral, parts: vec![Part::Paragraph(line)] }
}
