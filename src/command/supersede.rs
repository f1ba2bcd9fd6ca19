//! A version is asked for while another of the same action has not begun: whether the new one takes its
//! place or goes behind it is a person's to say. Their answer binds to the plan that they were shown.

use super::action::Ask;
use super::roles::role_named;
use super::{Context, denied_line, ephemeral, plain, refusal, text, typed, with_code};
use crate::core::card::{Button, ButtonStyle, Card, Part, Span, Tone};
use crate::core::id::RunId;
use crate::core::param::Supersede as Wanted;
use crate::core::plan::Plan;
use crate::core::press::{Press, Wish};
use crate::core::run::State;
use crate::core::run_card::RunView;
use crate::core::text::{Lang, Text};
use crate::engine::{Error, Supersede};

/// Whether the asker has to be asked something first.
pub(super) enum Asks {
    /// Nothing: the run that is superseded, if any.
    Nothing(Option<Supersede>),
    /// This, or it is refused: the journal's kind, and the answer.
    Person {
        /// Of the entry.
        kind: &'static str,
        /// What they read.
        card: Card,
    },
}

/// Looks for runs of the same action that have not begun.
pub(super) async fn ask(ask: &Ask, plan: &Plan, context: &Context<'_>) -> Result<Asks, Error> {
    let lang = context.lang;
    let refused = |card| Asks::Person { kind: "request.refused", card };
    if ask.digest.as_ref().is_some_and(|shown| *shown != plan.digest()) {
        return Ok(refused(changed(ask, lang)));
    }
    match &ask.arguments.supersede {
        Some(Wanted::Nobody) => Ok(Asks::Nothing(None)),
        Some(Wanted::Run(run)) => superseded(run, ask, plan, context).await,
        // Only what decides which version is live makes an earlier one pointless.
        None if plan.makes_live.is_none() || ask.retry_of.is_some() => Ok(Asks::Nothing(None)),
        None => {
            let waiting = context.engine.not_begun(&plan.action, &plan.environment).await?;
            Ok(match waiting.last() {
                Some(newest) => {
                    let card = question(newest, waiting.len(), ask, plan, lang);
                    Asks::Person { kind: "request.answered", card }
                }
                None => Asks::Nothing(None),
            })
        }
    }
}

/// The run whose place is to be taken, if the asker may cancel it and it has not begun.
async fn superseded(
    run: &RunId,
    ask: &Ask,
    plan: &Plan,
    context: &Context<'_>,
) -> Result<Asks, Error> {
    let lang = context.lang;
    let refused = |card| Ok(Asks::Person { kind: "supersede.refused", card });
    let Some(view) = context.engine.view(run).await? else {
        let words = Text::new(
            format!("没有执行 `{run}`，什么也没有排队。"),
            format!("There is no run `{run}`; nothing was queued."),
        );
        return refused(refusal(with_code(words.get(lang))));
    };
    if (&view.plan.action, &view.plan.environment) != (&plan.action, &plan.environment) {
        let words = Text::new(
            format!("`{run}` 是另一个操作或另一个环境的，不能取代它。什么也没有排队。"),
            format!(
                "`{run}` is of another action or environment and cannot be superseded; nothing was \
                 queued."
            ),
        );
        return refused(refusal(with_code(words.get(lang))));
    }
    let role = role_named(&view.plan.role, context.runbook);
    if let Err(denied) = context.powers.hold(&role).await {
        return refused(refusal(denied_line(&denied, lang)));
    }
    let words = typed::words(ask, Some("no"));
    if !matches!(view.state, State::Waiting | State::Queued) {
        return refused(too_late(&view, &words, lang));
    }
    let too_late = Box::new(move |view: &RunView| ephemeral(&too_late(view, &words, lang)));
    Ok(Asks::Nothing(Some(Supersede { run: run.clone(), role: role.name, too_late })))
}

fn too_late(old: &RunView, words: &str, lang: Lang) -> Card {
    let (id, state) = (&old.id, old.state.text());
    let sentence = match lang {
        Lang::Zh => format!(
            "来不及了：`{id}` 现在是「{}」，不能再被取代。什么也没有排队；要排在它后面，请输入 \
             `/neostock {words}`",
            state.zh
        ),
        Lang::En => format!(
            "Too late: `{id}` is “{}” now and cannot be superseded. Nothing was queued; to queue \
             behind it, type `/neostock {words}`",
            state.en
        ),
    };
    refusal(with_code(&sentence))
}

fn changed(ask: &Ask, lang: Lang) -> Card {
    let action = &ask.action.name;
    let words = Text::new(
        format!(
            "您看到的计划已经不成立（版本、脚本或线上版本变了），什么也没有排队。请重新输入 `/neostock {action}`。"
        ),
        format!(
            "What you were shown does not hold any more (a version, a script or what is live has \
             changed), so nothing was queued. Give `/neostock {action}` again."
        ),
    );
    refusal(with_code(words.get(lang)))
}

/// Which of the two; each button is the whole command.
fn question(old: &RunView, count: usize, ask: &Ask, plan: &Plan, lang: Lang) -> Card {
    let (new, environment) = (plan.title(), &plan.environment);
    let mut line = vec![
        text("🕒 "),
        Span::Code(old.id.to_string()),
        text(format!(" {} → {environment} · {} · ", old.plan.title(), old.state.text().get(lang))),
        Span::User(old.actor.clone()),
        text(match lang {
            Lang::Zh if count > 1 => format!("\n（共有 {count} 个同样的操作还没有开始）"),
            Lang::En if count > 1 => format!("\n({count} runs of this action have not begun)"),
            _ => String::new(),
        }),
    ];
    line.push(text(match lang {
        Lang::Zh => format!("\n它还没有开始。{new} 要取代它，还是排在它后面？现在什么也没有排队。"),
        Lang::En => format!(
            "\nIt has not begun. Does {new} take its place, or go behind it? Nothing is queued yet."
        ),
    }));
    let digest = plan.digest();
    let press = |wish, whose: &str| Press::Queue {
        wish,
        digest: digest.clone(),
        words: typed::words(ask, Some(whose)),
    };
    let button = |press: &Press, label: String, style| Button {
        label,
        action: press.action().to_owned(),
        value: press.value(),
        style,
        confirm: None,
    };
    let supersede = lang.pick("取代", "Supersede");
    let buttons = vec![
        button(
            &press(Wish::Supersede, old.id.as_str()),
            format!("{supersede} {}", old.id),
            ButtonStyle::Danger,
        ),
        button(
            &press(Wish::Behind, "no"),
            lang.pick("排在它后面", "Queue behind it").to_owned(),
            ButtonStyle::Default,
        ),
    ];
    let summary = plain(&line);
    Card {
        summary,
        tone: Tone::Neutral,
        parts: vec![Part::Paragraph(line), Part::Buttons(buttons)],
    }
}
