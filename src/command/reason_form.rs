//! The form behind the buttons of decisions that say why: it asks for the reason, and its submission is
//! the command that the button stands for, bound to what the button was about.

use super::alert::{self, OfAlert, Wish};
use super::decide::{self, Decide};
use super::review::{self, Review};
use super::settle::{self, Settle};
use super::show::no_such_run;
use super::{Command, Context, answer_with, refusal, with_code};
use crate::core::alert_press::{Deed, Seen as SeenAlert};
use crate::core::card::{Card, Line, Span, text};
use crate::core::decision::Verdict;
use crate::core::decision_card;
use crate::core::emergency;
use crate::core::id::{AlertId, RunId};
use crate::core::param::TEXT_CHARS_MAX;
use crate::core::policy::Authorized;
use crate::core::press::Press;
use crate::core::run_card::RunView;
use crate::core::settle_card::{self, Seen, Settlement};
use crate::core::text::{Lang, Text};
use crate::engine::{Asked, Error};
use crate::slack::render::{Choice, Form};
use serde_json::{Value, json};

/// Which form it is.
pub const CALLBACK: &str = "reason";
/// What a request says that came from a form.
pub const ORIGIN: &str = "form";
/// The block and the input that hold the reason.
pub const REASON: &str = "reason";

/// The block and the menu that hold what is chosen before it.
pub const CHOICE: &str = "choice";
/// How long a silence can be by the form: what comes back, and its milliseconds; the first stands there.
const SILENCES: [(&str, u64); 4] =
    [("1h", 3_600_000), ("30m", 1_800_000), ("4h", 14_400_000), ("1d", 86_400_000)];

/// A press that asks for the form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReasonForm {
    /// What became of a lost step.
    Settle {
        /// What is decided.
        settlement: Settlement,
        /// About which run.
        run: RunId,
        /// The try that the button was about.
        seen: Seen,
    },
    /// A run that waits for approval is not to be done.
    Reject {
        /// Which.
        run: RunId,
        /// The digest of the plan that was shown.
        digest: String,
    },
    /// An emergency is reviewed.
    Review {
        /// Which.
        run: RunId,
        /// The digest of the plan that was shown.
        digest: String,
    },
    /// Nobody is to be told of an alert for a while.
    Silence {
        /// Which.
        alert: AlertId,
        /// How it was shown.
        seen: SeenAlert,
    },
}

impl ReasonForm {
    /// The form of a press; the press itself when it needs none.
    ///
    /// # Errors
    /// The press.
    pub fn of(press: Press) -> Result<Self, Press> {
        match press {
            Press::Settle { settlement, run, seen } => Ok(Self::Settle { settlement, run, seen }),
            Press::Decide { verdict: Verdict::Rejected, run, digest } => {
                Ok(Self::Reject { run, digest })
            }
            Press::Review { run, digest } => Ok(Self::Review { run, digest }),
            Press::Alert { deed: Deed::Silence, alert, seen } => Ok(Self::Silence { alert, seen }),
            other => Err(other),
        }
    }

    /// Reads what the form was opened with.
    pub fn read(private: &str) -> Option<Self> {
        let (action, value) = private.split_once(' ')?;
        Self::of(Press::parse(action, value)?).ok()
    }

    /// The command that its submission is.
    pub fn submitted(self, reason: &str, chosen: Option<&str>) -> Command {
        let reason: String = reason.trim().chars().take(TEXT_CHARS_MAX).collect();
        match self {
            Self::Settle { settlement, run, seen } => {
                Command::Settle(Settle { run, settlement, reason, seen: Some(seen) })
            }
            Self::Reject { run, digest } => {
                let (verdict, digest) = (Verdict::Rejected, Some(digest));
                Command::Decide(Decide { verdict, run, digest, reason })
            }
            Self::Review { run, digest } => {
                Command::Review(Review { run, digest: Some(digest), note: reason })
            }
            Self::Silence { alert, seen } => {
                let found = SILENCES.iter().find(|(value, _)| Some(*value) == chosen);
                let (_, for_ms) = *found.unwrap_or(&SILENCES[0]);
                let (wish, seen) = (Wish::Silence { for_ms }, Some(seen));
                Command::Alert(OfAlert { alert, wish, reason, seen })
            }
        }
    }

    /// The verb that it stands for.
    pub fn verb(&self) -> &'static str {
        match self {
            Self::Settle { .. } => settle::SPEC.name,
            Self::Reject { .. } => decide::REJECT.name,
            Self::Review { .. } => review::SPEC.name,
            Self::Silence { .. } => alert::SPEC.name,
        }
    }

    fn press(&self) -> Press {
        match self.clone() {
            Self::Settle { settlement, run, seen } => Press::Settle { settlement, run, seen },
            Self::Reject { run, digest } => {
                Press::Decide { verdict: Verdict::Rejected, run, digest }
            }
            Self::Review { run, digest } => Press::Review { run, digest },
            Self::Silence { alert, seen } => Press::Alert { deed: Deed::Silence, alert, seen },
        }
    }

    /// Why the decision would not count any more: the journal's kind and detail, and the answer.
    fn speaks_against(
        &self,
        view: &RunView,
        context: &Context<'_>,
        (by, asked): (&Authorized, &Asked),
    ) -> Option<(&'static str, Value, Card)> {
        let (lang, text) = (context.lang, &asked.text);
        match self {
            Self::Settle { seen, .. } => (settle_card::lost(view) != Some(*seen)).then(|| {
                let detail = json!({"text": text, "state": view.state.as_str()});
                ("settle.refused", detail, settle::not_waiting(view, Some(*seen), lang))
            }),
            Self::Reject { digest, .. } => {
                let vote = (Verdict::Rejected, Some(digest.as_str()));
                let refused = decide::foretold(view, vote, context, by).err()?;
                let detail = json!({
                    "text": text, "verdict": "rejected", "why": refused.as_str(),
                    "state": view.state.as_str(),
                });
                let card = decide::not_counted(refused, Verdict::Rejected, view, lang);
                Some(("decision.refused", detail, card))
            }
            Self::Review { digest, .. } => {
                let refused = emergency::may_review(view, by, Some(digest)).err()?;
                let detail = json!({
                    "text": text, "why": refused.as_str(), "state": view.state.as_str(),
                });
                Some(("review.refused", detail, review::not_counted(refused, view, lang)))
            }
            Self::Silence { .. } => None,
        }
    }

    /// Slack takes 24 characters.
    fn title(&self, lang: Lang) -> String {
        match self {
            Self::Settle { settlement, .. } => settle_card::form_title(*settlement, lang),
            Self::Reject { .. } => lang.pick("拒绝这次执行", "Reject this run").to_owned(),
            Self::Review { .. } => lang.pick("复核紧急操作", "Review an emergency").to_owned(),
            Self::Silence { .. } => lang.pick("静默一个告警", "Silence an alert").to_owned(),
        }
    }

    /// What stands above the question.
    fn words(&self, view: &RunView, lang: Lang) -> Line {
        match self {
            Self::Settle { settlement, seen, .. } => {
                settle_card::form_words(*settlement, view, *seen, lang)
            }
            Self::Reject { .. } => decision_card::reject_words(view, lang),
            Self::Review { .. } => emergency::form_words(view, lang),
            Self::Silence { .. } => Line::new(),
        }
    }

    /// What its question is called.
    fn label(&self, lang: Lang) -> &'static str {
        match self {
            Self::Settle { .. } | Self::Reject { .. } | Self::Silence { .. } => {
                lang.pick("原因", "Reason")
            }
            Self::Review { .. } => lang.pick("复核意见", "What you found"),
        }
    }

    fn hint(&self, lang: Lang) -> &'static str {
        match self {
            Self::Settle { .. } => {
                lang.pick("您看到了什么，为什么这样决定", "What you saw, and why you decide so")
            }
            Self::Reject { .. } => lang.pick(
                "发起人会看到，并记入审计日志",
                "Whoever asked for it reads this, and the journal keeps it",
            ),
            Self::Review { .. } => lang.pick(
                "做得对吗？以后要改变什么？会记入审计日志",
                "Was it right? What should change? The journal keeps it",
            ),
            Self::Silence { .. } => lang.pick(
                "为什么在这段时间里不需要叫人；会写在告警的消息串里，并记入审计日志",
                "Why nobody needs to be called meanwhile: the alert's thread shows it",
            ),
        }
    }

    /// What is chosen before it.
    fn choice(&self, lang: Lang) -> Option<Choice> {
        let Self::Silence { .. } = self else { return None };
        let options = SILENCES
            .iter()
            .map(|(value, ms)| (*value, crate::core::duration::about(*ms).get(lang).to_owned()));
        let question = lang.pick("静默多久", "For how long").to_owned();
        Some(Choice { input: (CHOICE, question), options: options.collect() })
    }

    /// The same decision as a command.
    fn typed(&self, lang: Lang) -> String {
        let reason = lang.pick("原因", "reason");
        match self {
            Self::Settle { run, settlement, .. } => {
                format!("/neostock settle {run} {} {reason}", settlement.as_str())
            }
            Self::Reject { run, .. } => format!("/neostock reject {run} {reason}"),
            Self::Review { run, .. } => format!("/neostock review {run} {reason}"),
            Self::Silence { alert, .. } => format!("/neostock alert {alert} silence 1h {reason}"),
        }
    }
}

/// Opens the form. It says nothing more when that worked; else how to decide without it.
///
/// # Errors
/// The database's; then nothing is written.
pub async fn run(
    form: &ReasonForm,
    context: &Context<'_>,
    by: &Authorized,
    asked: Asked,
) -> Result<String, Error> {
    // Its trigger opens one form: the same delivery again gets the answer of the first.
    if let Some(answered) = context.engine.answered(&asked.delivery).await? {
        return Ok(answered);
    }
    let lang = context.lang;
    let words = match form {
        ReasonForm::Silence { alert, seen } => match silence_words(alert, *seen, context).await? {
            Ok(words) => words,
            Err(card) => return answer_with_why(context, asked, "not_as_shown", &card).await,
        },
        ReasonForm::Settle { run, .. }
        | ReasonForm::Reject { run, .. }
        | ReasonForm::Review { run, .. } => {
            let Some(view) = context.engine.view(run).await? else {
                return no_such_run(run, context, asked).await;
            };
            if let Some((kind, detail, card)) = form.speaks_against(&view, context, (by, &asked)) {
                return answer_with(context, asked, kind, detail, &card).await;
            }
            form.words(&view, lang)
        }
    };
    let press = form.press();
    let opened = Form {
        callback_id: CALLBACK,
        private_metadata: format!("{} {}", press.action(), press.value()),
        title: form.title(lang),
        submit: lang.pick("确定", "Confirm").to_owned(),
        close: lang.pick("返回", "Go back").to_owned(),
        words,
        choice: form.choice(lang),
        input: (REASON, form.label(lang).to_owned()),
        hint: form.hint(lang).to_owned(),
        chars_max: TEXT_CHARS_MAX,
    };
    let not_opened = not_opened(form, lang);
    let Some(trigger) = context.trigger else {
        return answer_with_why(context, asked, "no_trigger", &not_opened).await;
    };
    if let Err(error) = context.client.open_form(trigger, &opened).await {
        tracing::warn!(form = opened.private_metadata, "open a form: {error}");
        return answer_with_why(context, asked, "form_not_opened", &not_opened).await;
    }
    let detail = json!({"text": asked.text, "channel": asked.channel});
    context.engine.answer(asked, "request.answered", detail, String::new()).await
}

async fn answer_with_why(
    context: &Context<'_>,
    asked: Asked,
    why: &str,
    card: &Card,
) -> Result<String, Error> {
    let detail = json!({"text": asked.text, "why": why});
    answer_with(context, asked, "request.refused", detail, card).await
}

/// What stands above the question of a silence; the refusal where the alert is not as it was shown.
async fn silence_words(
    id: &AlertId,
    seen: SeenAlert,
    context: &Context<'_>,
) -> Result<Result<Line, Card>, Error> {
    let lang = context.lang;
    let Some(found) = context.engine.alert(id).await? else {
        return Ok(Err(alert::no_such(id, lang)));
    };
    if found.condition.is_over() {
        return Ok(Err(alert::over(&found, lang)));
    }
    if found.condition.returns != seen.returns {
        return Ok(Err(alert::changed(&found, lang)));
    }
    let words = lang.pick(
        "\n静默期间不会通知任何人，级别也不会升高；到时若仍在告警会再次通知。",
        "\nMeanwhile nobody is told and its level does not rise; if it still fires then, people are told \
         again.",
    );
    Ok(Ok(vec![Span::Code(id.to_string()), text(format!(" {}", found.title())), text(words)]))
}

/// Without the form the command does the same.
fn not_opened(form: &ReasonForm, lang: Lang) -> Card {
    let typed = form.typed(lang);
    let sentence = Text::new(
        format!("现在打不开表单，什么也没有改变。请再按一次，或输入 `{typed}`"),
        format!(
            "The form could not be opened, and nothing was changed. Press again, or type `{typed}`"
        ),
    );
    refusal(with_code(sentence.get(lang)))
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
