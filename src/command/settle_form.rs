//! The form behind the buttons of a lost step: it asks why, and its submission is the command `settle`,
//! bound to the try that the button was about.

use super::settle::Settle;
use super::show::no_such_run;
use super::{Context, answer_with, refusal, with_code};
use crate::core::card::Card;
use crate::core::id::RunId;
use crate::core::param::TEXT_CHARS_MAX;
use crate::core::press::Press;
use crate::core::settle_card::{self, Seen, Settlement};
use crate::core::text::Lang;
use crate::engine::{Asked, Error};
use crate::slack::render::Form;
use serde_json::json;

/// Which form it is.
pub const CALLBACK: &str = "settle";
/// The block and the input that hold the reason.
pub const REASON: &str = "reason";

/// A press that asks for the form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettleForm {
    /// What is decided.
    pub settlement: Settlement,
    /// About which run.
    pub run: RunId,
    /// The try that the button was about.
    pub seen: Seen,
}

impl SettleForm {
    /// Reads what the form was opened with.
    pub fn read(private: &str) -> Option<Self> {
        let (action, value) = private.split_once(' ')?;
        match Press::parse(action, value)? {
            Press::Settle { settlement, run, seen } => Some(Self { settlement, run, seen }),
            _ => None,
        }
    }

    /// The command that its submission is.
    pub fn submitted(self, reason: &str) -> Settle {
        let reason = reason.trim().chars().take(TEXT_CHARS_MAX).collect();
        let Self { settlement, run, seen } = self;
        Settle { run, settlement, reason, seen: Some(seen) }
    }
}

/// Opens the form. It says nothing more when that worked; else how to decide without it.
///
/// # Errors
/// The database's; then nothing is written.
pub async fn run(form: &SettleForm, context: &Context<'_>, asked: Asked) -> Result<String, Error> {
    // Its trigger opens one form: the same delivery again gets the answer of the first.
    if let Some(answered) = context.engine.answered(&asked.delivery).await? {
        return Ok(answered);
    }
    let Some(view) = context.engine.view(&form.run).await? else {
        return no_such_run(&form.run, context, asked).await;
    };
    let lang = context.lang;
    if settle_card::lost(&view) != Some(form.seen) {
        let card = super::settle::not_waiting(&view, Some(form.seen), lang);
        let detail = json!({"text": asked.text, "state": view.state.as_str()});
        return answer_with(context, asked, "settle.refused", detail, &card).await;
    }
    let (settlement, seen) = (form.settlement, form.seen);
    let press = Press::Settle { settlement, run: form.run.clone(), seen };
    let words = settle_card::form_words(form.settlement, &view, form.seen, lang);
    let opened = Form {
        callback_id: CALLBACK,
        private_metadata: format!("{} {}", press.action(), press.value()),
        title: settle_card::form_title(form.settlement, lang),
        submit: lang.pick("确定", "Confirm").to_owned(),
        close: lang.pick("返回", "Go back").to_owned(),
        words,
        input: (REASON, lang.pick("原因", "Reason").to_owned()),
        hint: lang
            .pick("您看到了什么，为什么这样决定", "What you saw, and why you decide so")
            .to_owned(),
        chars_max: TEXT_CHARS_MAX,
    };
    let Some(trigger) = context.trigger else {
        return answer_with(
            context,
            asked,
            "request.refused",
            json!({"why": "no_trigger"}),
            &typed(form, lang),
        )
        .await;
    };
    if let Err(error) = context.client.open_form(trigger, &opened).await {
        tracing::warn!(run.id = %form.run, "open a form: {error}");
        let detail = json!({"text": asked.text, "why": "form_not_opened"});
        return answer_with(context, asked, "request.refused", detail, &typed(form, lang)).await;
    }
    let detail = json!({"text": asked.text, "channel": asked.channel});
    context.engine.answer(asked, "request.answered", detail, String::new()).await
}

/// Without the form the command does the same.
fn typed(form: &SettleForm, lang: Lang) -> Card {
    let (run, word) = (&form.run, form.settlement.as_str());
    let sentence = match lang {
        Lang::Zh => format!(
            "现在打不开表单，什么也没有改变。请再按一次，或输入 `/neostock settle {run} {word} 原因`"
        ),
        Lang::En => format!(
            "The form could not be opened, and nothing was changed. Press again, or type `/neostock \
             settle {run} {word} reason`"
        ),
    };
    refusal(with_code(&sentence))
}

/// The answer that leaves the form open and says why, under its question: Slack shows it as it is.
pub fn stays_open(words: &str) -> String {
    let plain = words.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&");
    json!({"response_action": "errors", "errors": {REASON: plain}}).to_string()
}

/// Slack refuses an empty reason itself; whoever sends one all the same is told.
pub fn no_reason(lang: Lang) -> &'static str {
    lang.pick("请写明原因，它会记入审计日志。", "Say why: the journal keeps it.")
}
