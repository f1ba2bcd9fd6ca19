//! A run that somebody of the emergency role does without its gates, and what is said of it: at once to
//! those who review it, on its card until one of them has, and in reminders until then.

use super::card::{Button, ButtonStyle, Card, Line, Part, Span, Tone, mention, prose, text};
use super::id::UserId;
use super::plan::PlannedApproval;
use super::policy::Authorized;
use super::press::Press;
use super::run_card::RunView;
use super::text::{Lang, Text};
use serde::{Deserialize, Serialize};

/// How an emergency is said in a command, behind `--`.
pub const WORDS: [&str; 2] = ["emergency", "紧急"];
/// The flag as it is shown to people.
pub const FLAG: &str = "--emergency";

/// What the plan of an emergency says of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedEmergency {
    /// The role that may do without the gates; the asker holds it besides the action's.
    pub role: String,
    /// The role that reviews it afterwards; never the asker.
    pub review: String,
    /// Whom to call for that: users (`U…`, `W…`) and groups (`S…`).
    pub call: Vec<String>,
    /// The approval that it does without; `None`: the action needs none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub without: Option<PlannedApproval>,
    /// The title of the checklist that it does without; `None`: the action needs none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub without_checklist: Option<Text>,
}

impl PlannedEmergency {
    /// The gates that it does without, in words; `None`: the action has none.
    pub fn without(&self) -> Option<Text> {
        Some(match (&self.without, &self.without_checklist) {
            (Some(_), None) => Text::new("未经审批", "without approval"),
            (None, Some(_)) => Text::new("未经检查清单", "without its checklist"),
            (Some(_), Some(_)) => Text::new("未经审批和检查清单", "without approval and checklist"),
            (None, None) => return None,
        })
    }
}

/// What somebody who reviewed an emergency found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Review {
    /// Who.
    pub by: UserId,
    /// What they wrote.
    pub note: String,
    /// When.
    pub at_ms: i64,
}

/// Why a review does not count; nothing was changed by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// It was no emergency.
    NoEmergency,
    /// The person was shown another plan than the run's.
    OtherPlan,
    /// The asker's own.
    Own,
    /// It has not ended: what came of it cannot be judged yet.
    NotEnded,
    /// Somebody has reviewed it.
    Already,
}

/// Whether somebody's review of a run counts. `digest`: of the plan that they were shown; `None`: typed, and
/// means the run's own.
///
/// # Errors
/// [`Refused`].
pub fn may_review(run: &RunView, by: &Authorized, digest: Option<&str>) -> Result<(), Refused> {
    if run.plan.emergency.is_none() {
        return Err(Refused::NoEmergency);
    }
    if digest.is_some_and(|shown| shown != run.plan.digest()) {
        return Err(Refused::OtherPlan);
    }
    if *by.user() == run.actor || by.on_behalf() == Some(&run.actor) {
        return Err(Refused::Own);
    }
    if run.review.is_some() {
        return Err(Refused::Already);
    }
    if !run.state.is_final() {
        return Err(Refused::NotEnded);
    }
    Ok(())
}

impl Refused {
    /// The word in the journal.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NoEmergency => "no_emergency",
            Self::OtherPlan => "other_plan",
            Self::Own => "own_request",
            Self::NotEnded => "not_ended",
            Self::Already => "already",
        }
    }

    /// What the reviewer reads.
    pub fn text(self, run: &RunView) -> Text {
        match self {
            Self::NoEmergency => Text::new(
                "不是紧急操作，不需要复核。",
                "was no emergency, so there is nothing to review.",
            ),
            Self::OtherPlan => Text::new(
                "的计划不是您看到的那一份，所以没有算数。请用 `/neostock show` 查看。",
                "has another plan than you were shown, so it did not count. See it with `/neostock \
                 show`.",
            ),
            Self::Own => Text::new(
                "是您自己发起的，需要另一个人来复核。",
                "was yours: somebody else has to review it.",
            ),
            Self::NotEnded => Text::new(
                format!("还没有结束，它现在是「{}」。结束后再复核。", run.state.text().zh),
                format!(
                    "has not ended, it is “{}” now. Review it when it has.",
                    run.state.text().en
                ),
            ),
            Self::Already => {
                let by = run.review.as_ref().map_or("", |review| review.by.as_str());
                Text::new(format!("已由 {by} 复核过了。"), format!("was reviewed by {by} already."))
            }
        }
    }
}

/// What stands before the headline of an emergency that nobody has reviewed yet.
pub(super) fn banner(run: &RunView, lang: Lang) -> &'static str {
    if run.awaits_review() { lang.pick("🔴 紧急操作 · ", "🔴 EMERGENCY · ") } else { "" }
}

/// What a card says of it.
pub(super) fn on_card(run: &RunView, lang: Lang) -> Option<Part> {
    let emergency = run.plan.emergency.as_ref()?;
    if let Some(review) = &run.review {
        return Some(Part::Paragraph(reviewed(run, review, lang)));
    }
    let mut line = vec![text(match (emergency.without(), lang) {
        (Some(without), Lang::Zh) => format!("🚨 紧急操作，{}。", without.zh),
        (Some(without), Lang::En) => format!("🚨 An emergency, done {}. ", without.en),
        (None, lang) => lang.pick("🚨 紧急操作。", "🚨 An emergency. ").to_owned(),
    })];
    line.push(text(lang.pick("请复核：", "To be reviewed by ")));
    line.extend(called(emergency));
    Some(Part::Paragraph(line))
}

/// At the end of an emergency: whoever reviews it is called again.
pub(super) fn at_the_end(run: &RunView, lang: Lang) -> Vec<Part> {
    let Some(emergency) = run.plan.emergency.as_ref().filter(|_| run.awaits_review()) else {
        return Vec::new();
    };
    let mut line = vec![text(
        lang.pick("🚨 这是紧急操作，请复核：", "🚨 This was an emergency; please review it: "),
    )];
    line.extend(called(emergency));
    vec![Part::Paragraph(line), Part::Buttons(vec![button(run, lang)])]
}

/// The button of a run that has ended and is to be reviewed.
pub(super) fn buttons(run: &RunView, lang: Lang) -> Option<Part> {
    let is_due = run.awaits_review() && run.state.is_final();
    is_due.then(|| Part::Buttons(vec![button(run, lang)]))
}

fn button(run: &RunView, lang: Lang) -> Button {
    let press = Press::Review { run: run.id.clone(), digest: run.plan.digest() };
    Button {
        label: lang.pick("复核", "Review").to_owned(),
        action: press.action().to_owned(),
        value: press.value(),
        style: ButtonStyle::Primary,
        confirm: None,
    }
}

fn called(emergency: &PlannedEmergency) -> Line {
    let mut line = vec![Span::Code(emergency.review.clone())];
    for id in &emergency.call {
        line.push(text(" "));
        line.push(mention(id));
    }
    line
}

fn reviewed(run: &RunView, review: &Review, lang: Lang) -> Line {
    let without = run.plan.emergency.as_ref().and_then(PlannedEmergency::without);
    let mut line = vec![text(match (without, lang) {
        (Some(without), Lang::Zh) => format!("🔎 紧急操作（{}），已复核：", without.zh),
        (Some(without), Lang::En) => format!("🔎 An emergency ({}), reviewed by ", without.en),
        (None, lang) => {
            lang.pick("🔎 紧急操作，已复核：", "🔎 An emergency, reviewed by ").to_owned()
        }
    })];
    line.push(Span::User(review.by.clone()));
    line.push(text(lang.pick("：", ": ")));
    line.extend(prose(&review.note));
    line.push(text(" · "));
    line.push(Span::Time(review.at_ms));
    line
}

/// Reminds people that nobody has reviewed it; the number of the reminder, and since when.
pub fn reminder_card(run: &RunView, since_ms: i64, lang: Lang) -> Card {
    let title = run.plan.title();
    let words = Text::new(
        format!("⏰ 紧急操作 {title} 还没有人复核，自 "),
        format!("⏰ Nobody has reviewed the emergency {title} yet, done at "),
    );
    let mut line = vec![text(words.get(lang)), Span::Time(since_ms), text(" ")];
    line.extend(run.plan.emergency.as_ref().map(called).unwrap_or_default());
    let parts = vec![Part::Paragraph(line), Part::Buttons(vec![button(run, lang)])];
    Card { summary: words.get(lang).to_owned(), tone: Tone::Bad, parts }
}

/// Tells the asker that it was reviewed.
pub fn reviewed_card(run: &RunView, review: &Review, lang: Lang) -> Card {
    let mut line = reviewed(run, review, lang);
    line.extend([text(" "), Span::User(run.actor.clone())]);
    let title = run.plan.title();
    let summary = Text::new(format!("🔎 {title} 已复核"), format!("🔎 {title} was reviewed"));
    let parts = vec![Part::Paragraph(line)];
    Card { summary: summary.get(lang).to_owned(), tone: Tone::Neutral, parts }
}

/// What the form that asks for the note of a review says above its question.
pub fn form_words(run: &RunView, lang: Lang) -> Line {
    let state = run.state.text();
    let mut line = vec![
        Span::Code(run.id.to_string()),
        text(format!(" {} → {} · {}\n", run.plan.title(), run.plan.environment, state.get(lang))),
        Span::User(run.actor.clone()),
        text(lang.pick("：", ": ")),
    ];
    line.extend(prose(run.plan.reason()));
    line.push(text(lang.pick(
        "\n复核之后卡片不再是红色，也不再提醒。",
        "\nReviewed, its card is red no more and nobody is reminded.",
    )));
    line
}
