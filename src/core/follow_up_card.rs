//! What a card says of what follows a failure: before it happens, and when it has.

use super::card::{Line, Span, text};
use super::plan::FollowUp;
use super::run_card::RunView;
use super::text::Lang;

/// What is done by itself if the run fails, while it may; and what was, once it has.
pub(super) fn on_card(run: &RunView, lang: Lang) -> Option<Line> {
    if run.is_followed() {
        return Some(begun(run, lang));
    }
    if run.state.is_final() {
        return None;
    }
    run.plan.on_failure.as_ref().map(|next| foreseen(next, lang))
}

/// What is done by itself if it fails.
pub(super) fn foreseen(next: &FollowUp, lang: Lang) -> Line {
    match next {
        FollowUp::Plan { plan, from_step: 0 } => vec![
            text(lang.pick("↩️ 若失败则自动执行 ", "↩️ If it fails, by itself: ")),
            Span::Code(plan.title()),
        ],
        FollowUp::Plan { plan, from_step } => vec![
            text(match lang {
                Lang::Zh => format!("↩️ 第 {} 步开始后若失败则自动执行 ", from_step + 1),
                Lang::En => {
                    format!("↩️ If it fails once step {} has begun, by itself: ", from_step + 1)
                }
            }),
            Span::Code(plan.title()),
        ],
        FollowUp::Impossible(why) => vec![text(match lang {
            Lang::Zh => format!("↩️ 若失败不会自动处理：{}", why.zh),
            Lang::En => format!("↩️ If it fails, nothing is done by itself: {}", why.en),
        })],
    }
}

/// The closing words' last line.
pub(super) fn at_the_end(run: &RunView, lang: Lang) -> Line {
    if !run.is_followed() {
        return Line::new();
    }
    let mut line = vec![text("\n")];
    line.extend(begun(run, lang));
    line
}

fn begun(run: &RunView, lang: Lang) -> Line {
    let Some((plan, id)) = run.follow_up() else { return Line::new() };
    vec![
        text(lang.pick("↩️ 已自动开始 ", "↩️ Begun by itself: ")),
        Span::Code(plan.title()),
        text(" · "),
        Span::Code(id.to_string()),
    ]
}
