//! `show <run>`: one run's card, privately, and a link to the public one.

use super::{Context, Spec, answer, message_link, refusal, text};
use crate::core::card::{Part, Span};
use crate::core::id::RunId;
use crate::core::param::{ArgumentFault, cut, narrow_word};
use crate::core::plan_card;
use crate::core::run_card;
use crate::core::text::Text;
use crate::core::words::Words;
use crate::engine::{Asked, Error};

/// How it is asked for.
pub const SPEC: Spec = Spec {
    name: "show",
    usage: "<run> [plan]",
    example: "show R-7K3QZD5A",
    zh: "查看一次执行；加 plan 看完整的计划",
    en: "Look at one run; with the word plan, at exactly what it does",
};

/// A request to see one run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Show {
    /// Which.
    pub run: RunId,
    /// Whether the whole plan is wanted instead of the card.
    pub is_whole: bool,
}

/// Reads the words after `show`.
pub fn parse(words: &mut Words<'_>) -> Result<Show, ArgumentFault> {
    let run = run_id(words)?;
    let is_whole = words.peek().is_some_and(|word| narrow_word(&word.text) == "plan");
    if is_whole {
        words.take();
    }
    super::nothing_more(words)?;
    Ok(Show { run, is_whole })
}

/// Takes a run id.
pub(super) fn run_id(words: &mut Words<'_>) -> Result<RunId, ArgumentFault> {
    let name = "run".to_owned();
    let Some(word) = words.take() else { return Err(ArgumentFault::Missing { name }) };
    RunId::parse(&word.text).ok_or_else(|| ArgumentFault::Invalid {
        name,
        value: cut(&word.text),
        expected: Text::new("一个执行编号，例如 R-7K3QZD5A", "a run id such as R-7K3QZD5A"),
    })
}

/// Answers.
pub async fn run(show: &Show, context: &Context<'_>, asked: Asked) -> Result<String, Error> {
    let Some(view) = context.engine.view(&show.run).await? else {
        return no_such_run(&show.run, context, asked).await;
    };
    let mut card = if show.is_whole {
        plan_card::card(&view, context.lang)
    } else {
        run_card::card(&view, context.lang, context.engine.clock().now_ms())
    };
    let message = context.engine.card_message(&show.run).await?;
    let label = context.lang.pick("打开卡片", "Open its card");
    let link = message_link(context, message.as_ref(), &view.plan.channel, label);
    card.parts.push(Part::Context(vec![link]));
    answer(context, asked, "request.answered", &card).await
}

/// The answer for an id that no run has.
pub(super) async fn no_such_run(
    run: &RunId,
    context: &Context<'_>,
    asked: Asked,
) -> Result<String, Error> {
    let lang = context.lang;
    let line = vec![
        text(lang.pick("没有执行 ", "There is no run ")),
        Span::Code(run.to_string()),
        text(lang.pick("。正在进行的见 ", ". What is going on is shown by ")),
        Span::Code("/neostock status".to_owned()),
    ];
    answer(context, asked, "request.refused", &refusal(line)).await
}
