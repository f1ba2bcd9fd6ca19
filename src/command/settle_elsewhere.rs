//! A lost step whose host is another's: `settle … again|stop` looks at its processes and stops them, so
//! the decision is handed to the bot that can, and answered in the run's thread.

use super::settle::{not_waiting, speaks_against};
use super::{ephemeral, refusal, text};
use crate::clock::Millis;
use crate::core::card::{Card, Line, Part, Span, Tone};
use crate::core::evidence::{End, Evidence};
use crate::core::id::RunId;
use crate::core::policy::Authorized;
use crate::core::run::StepState;
use crate::core::run_card::RunView;
use crate::core::settle_card::Settlement;
use crate::core::text::Lang;
use crate::engine::{Answers, Asked, Engine, Error, Settled, Wish};
use crate::exec::local::Local;
use tracing::warn;

/// The bot of the host begins nothing later than this …
const DONE_WITHIN_MS: Millis = 30_000;
/// … and after this any bot says that it did not answer. Stopping processes takes up to ten seconds.
const ANSWERED_WITHIN_MS: Millis = 60_000;

/// The host that alone can do this about a run; `None`: it can be done here.
pub(super) fn host(run: &RunView, settlement: Settlement, here: &str) -> Option<String> {
    let is_about_processes = matches!(settlement, Settlement::Again | Settlement::Stopped);
    let is_elsewhere = !run.host.is_empty() && run.host != here;
    (is_about_processes && is_elsewhere).then(|| run.host.clone())
}

/// That a step's host cannot be asked at all; `None`: as far as is known it can.
pub(super) fn out_of_reach(run: &RunView, lang: Lang) -> Option<Card> {
    let mut lost = run.steps.iter().filter(|step| step.state == StepState::Unknown);
    let is_out = |evidence: &Evidence| matches!(evidence.end, End::Unreachable { .. });
    if !lost.any(|step| step.evidence.as_ref().is_some_and(is_out)) {
        return None;
    }
    let host = &run.host;
    let words = match lang {
        Lang::Zh => format!(
            "主机 {host} 现在无法询问，这一步可能仍在那里运行。请恢复那台主机上的机器人：它一回来就会补上证据；\
             或者在主机上确认之后选择 ok 或 failed。"
        ),
        Lang::En => format!(
            "Host {host} cannot be asked now, and the step may still run there. Bring the bot on that \
             host back, which adds the evidence by itself; or look on the host, and choose ok or failed."
        ),
    };
    Some(refusal(vec![text(words)]))
}

/// Hands a decision on; the answer.
pub(super) async fn hand_on(
    engine: &Engine,
    (asked, by): (Asked, &Authorized),
    (run, host): (&RunId, &str),
    settled: Settled,
    lang: Lang,
) -> Result<String, Error> {
    let seen = settled.seen;
    let words = match lang {
        Lang::Zh => format!(" 已转给主机 {host} 上的机器人；结果会写在它的消息串里。"),
        Lang::En => {
            format!(
                ": handed to the bot on host {host}. The run's thread will say what came of it."
            )
        }
    };
    let line = vec![Span::Code(run.to_string()), text(words)];
    let answers = Answers {
        // A form that is done with closes; the thread tells the rest.
        done: match seen {
            Some(_) => String::new(),
            None => ephemeral(&Card { tone: Tone::Neutral, ..refusal(line) }),
        },
        not_waiting: Box::new(move |view| ephemeral(&not_waiting(view, seen, lang))),
    };
    engine.hand_on(asked, by, run, settled, answers).await
}

/// Does what people decided about lost steps of this host, and says where another host's bot does not.
///
/// # Errors
/// The database's; what was not answered then is looked at again.
pub async fn keep(engine: &Engine, local: &Local) -> Result<(), Error> {
    for wish in engine.wishes().await? {
        let age_ms = engine.clock().now_ms() - wish.at_ms;
        let Some(view) = engine.view(&wish.run).await? else { continue };
        let lang = view.plan.language;
        if wish.host == engine.host() && age_ms < DONE_WITHIN_MS {
            // It is looked at again, until somebody says that it was not answered; the others go on.
            if let Err(failure) = grant(engine, local, &wish, &view).await {
                warn!(run.id = %wish.run, "do what was decided about {}: {failure:#}", wish.run);
            }
        } else if age_ms >= ANSWERED_WITHIN_MS {
            warn!(run.id = %wish.run, "the bot on host {} did not answer a decision", wish.host);
            engine.refuse_wish(&wish, "unanswered", unanswered_card(&wish, lang)).await?;
        }
    }
    Ok(())
}

async fn grant(engine: &Engine, local: &Local, wish: &Wish, view: &RunView) -> Result<(), Error> {
    let lang = view.plan.language;
    if let Some(why) = speaks_against(engine, local, wish.settlement, view, lang).await? {
        return engine.refuse_wish(wish, "evidence", refused_card(wish, why, lang)).await;
    }
    let asked = wish.clone();
    let not_waiting = move |view: &RunView| {
        let lang = view.plan.language;
        refused_card(&asked, not_waiting(view, Some(asked.seen), lang), lang)
    };
    engine.settle_wish(wish, done_card(wish, lang), Box::new(not_waiting)).await
}

fn done_card(wish: &Wish, lang: Lang) -> Card {
    let host = &wish.host;
    let done = match (wish.settlement, lang) {
        (Settlement::Stopped, Lang::Zh) => {
            format!(" 的决定已在主机 {host} 上执行：遗留的进程已停止。")
        }
        (Settlement::Stopped, Lang::En) => {
            format!(" decided it, and on host {host} it was done: what still ran was stopped.")
        }
        (_, Lang::Zh) => format!(" 的决定已被主机 {host} 上的机器人接受：这一步将再做一次。"),
        (_, Lang::En) => {
            format!(" decided it, and the bot on host {host} agrees: the step is done again.")
        }
    };
    card(Tone::Neutral, vec![Span::User(wish.asked.actor.clone()), text(done)])
}

/// Why it was not done, in the words that its asker would have got on that host.
fn refused_card(wish: &Wish, why: Card, lang: Lang) -> Card {
    let (host, word) = (&wish.host, wish.settlement.label());
    let words = match lang {
        Lang::Zh => format!(" 的决定「{}」没有在主机 {host} 上执行：", word.zh),
        Lang::En => format!(" decided “{}”, which was not done on host {host}:", word.en),
    };
    let mut refused = card(Tone::Warning, vec![Span::User(wish.asked.actor.clone()), text(words)]);
    refused.parts.extend(why.parts);
    refused
}

fn unanswered_card(wish: &Wish, lang: Lang) -> Card {
    let (host, word) = (&wish.host, wish.settlement.label());
    let words = match lang {
        Lang::Zh => format!(
            " 的决定「{}」一分钟内没有得到主机 {host} 上的机器人的答复。请确认它在运行，看这张卡片的最新状态，再决定一次。",
            word.zh
        ),
        Lang::En => format!(
            " decided “{}”, and the bot on host {host} did not answer within a minute. Make sure that it \
             runs, look at the card as it is then, and decide again.",
            word.en
        ),
    };
    card(Tone::Warning, vec![Span::User(wish.asked.actor.clone()), text(words)])
}

fn card(tone: Tone, line: Line) -> Card {
    Card { summary: super::plain(&line), tone, parts: vec![Part::Paragraph(line)] }
}
