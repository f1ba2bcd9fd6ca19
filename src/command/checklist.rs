//! `tick <run> <item>` and `recheck <run>`: an item of a run's checklist is in order; or its checks are to be
//! done again.
//!
//! Whether that counts is `core::checklist`'s, asked in the transaction that it changes.

use super::show::{no_such_run, run_id};
use super::{Context, Spec, ephemeral, refusal, text, with_code};
use crate::core::card::{Card, Span, Tone};
use crate::core::checklist::{ITEMS_MAX, Refused};
use crate::core::id::RunId;
use crate::core::param::{ArgumentFault, TEXT_CHARS_MAX, cut, narrow_word};
use crate::core::plan::Plan;
use crate::core::policy::Authorized;
use crate::core::run_card::RunView;
use crate::core::text::{Lang, Text};
use crate::core::words::Words;
use crate::engine::{Asked, Error, Listed, OnList};

/// How an item is ticked off.
pub const TICK: Spec = Spec {
    name: "tick",
    usage: "<run> <item> [note…]",
    example: "tick R-7K3QZD5A 5 the rollback was rehearsed this morning",
    zh: "确认检查清单中的一项",
    en: "Tick an item of a run's checklist off",
};

/// How the checks are done again.
pub const RECHECK: Spec = Spec {
    name: "recheck",
    usage: "<run>",
    example: "recheck R-7K3QZD5A",
    zh: "重新做检查清单中的自动检查",
    en: "Have the checks of a run's checklist done again",
};

/// What somebody wants of a run's checklist.
#[derive(Debug, Clone)]
pub struct Checklist {
    /// Which run.
    pub run: RunId,
    /// The digest of the plan that was shown; `None`: typed, and means the run's own.
    pub digest: Option<String>,
    /// What.
    pub wish: OnList,
}

impl Checklist {
    /// The verb.
    pub fn spec(&self) -> &'static Spec {
        match self.wish {
            OnList::Tick { .. } => &TICK,
            OnList::CheckAgain => &RECHECK,
        }
    }

    /// The roles of which one is needed: the item's, or the one that may ask for the run.
    pub(super) fn roles(&self, plan: Plan) -> Vec<String> {
        let item = match self.wish {
            OnList::Tick { item, .. } => {
                plan.checklist.and_then(|list| list.items.into_iter().nth(item))
            }
            OnList::CheckAgain => None,
        };
        vec![item.and_then(|item| item.tick).map_or(plan.role, |tick| tick.role)]
    }
}

/// Reads the words after `tick`.
pub fn parse_tick(words: &mut Words<'_>) -> Result<Checklist, ArgumentFault> {
    let run = run_id(words)?;
    let name = || "item".to_owned();
    let Some(word) = words.take() else { return Err(ArgumentFault::Missing { name: name() }) };
    let number = narrow_word(&word.text).parse::<usize>().ok();
    let number = number.filter(|number| (1..=ITEMS_MAX).contains(number));
    let number = number.ok_or_else(|| ArgumentFault::Invalid {
        name: name(),
        value: cut(&word.text),
        expected: Text::new(
            "清单中的序号，例如 5",
            "the number of an item on the card's list, such as 5",
        ),
    })?;
    let note = words.take_rest().unwrap_or_default();
    let note = note.trim().chars().take(TEXT_CHARS_MAX).collect();
    Ok(Checklist { run, digest: None, wish: OnList::Tick { item: number - 1, note } })
}

/// Reads the words after `recheck`.
pub fn parse_recheck(words: &mut Words<'_>) -> Result<Checklist, ArgumentFault> {
    let run = run_id(words)?;
    super::nothing_more(words)?;
    Ok(Checklist { run, digest: None, wish: OnList::CheckAgain })
}

/// Does it, if it counts.
pub async fn run(
    checklist: Checklist,
    context: &Context<'_>,
    by: &Authorized,
    asked: Asked,
) -> Result<String, Error> {
    let Checklist { run, digest, wish } = checklist;
    if context.engine.view(&run).await?.is_none() {
        return no_such_run(&run, context, asked).await;
    }
    let (lang, wished) = (context.lang, wish.clone());
    let answer = Box::new(move |ruling: Result<(), Refused>, view: &RunView| {
        ephemeral(&match ruling {
            Ok(()) => counted(&wished, view, lang),
            Err(refused) => not_counted(refused, view, lang),
        })
    });
    context.engine.checklist(asked, by, &run, Listed { digest, wish, answer }).await
}

fn counted(wish: &OnList, view: &RunView, lang: Lang) -> Card {
    let mut line = vec![Span::Code(view.id.to_string())];
    match wish {
        OnList::Tick { item, .. } => {
            let items = view.plan.checklist.as_ref().map(|list| list.items.as_slice());
            let name = items.and_then(|items| items.get(*item)).map(|item| item.name.get(lang));
            line.push(text(format!(" ✅ {}. {}", item + 1, name.unwrap_or_default())));
            line.push(text(lang.pick("：已确认。", " is ticked off.")));
        }
        OnList::CheckAgain => {
            line.push(text(lang.pick(
                " 🔁 正在重新检查，结果见卡片。",
                " 🔁 is being checked again; its card shows what comes of it.",
            )));
        }
    }
    Card { tone: Tone::Neutral, ..refusal(line) }
}

/// Why it does not count.
fn not_counted(refused: Refused, view: &RunView, lang: Lang) -> Card {
    let mut line = vec![Span::Code(view.id.to_string()), text(" ")];
    line.extend(with_code(refused.text().get(lang)));
    refusal(line)
}
