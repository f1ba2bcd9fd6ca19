//! What is to be done after an incident: `alert <id> follow-up @owner 2026-12-01 text`, `… follow-up done FU-…`,
//! and `alerts follow-ups`, which lists what nobody has done yet.

use super::alert::no_such;
use super::filter::invalid;
use super::{Context, answer, answer_with, ephemeral, plain, refusal, text, with_code};
use crate::core::alert_follow_up::{FollowUp, WORDS_CHARS_MAX, is_over};
use crate::core::card::{Card, Line, Part, Span, Tone, prose};
use crate::core::contact::Day;
use crate::core::id::{AlertId, FollowUpId, UserId};
use crate::core::param::{ArgumentFault, narrow_word, user_id};
use crate::core::policy::Authorized;
use crate::core::text::{Lang, Text};
use crate::core::words::Words;
use crate::engine::{Asked, Error, FollowUpWanted, FollowUpWish, FollowedUp};
use serde_json::json;

/// Those that a list shows.
const LISTED_MAX: usize = 20;

/// What is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ToDo {
    /// Something is to be done.
    Make {
        /// By whom.
        owner: UserId,
        /// Until when.
        due: Day,
        /// What.
        words: String,
    },
    /// It is done.
    Finish {
        /// Which.
        id: FollowUpId,
    },
}

/// Reads the words after `follow-up`.
pub(super) fn parse(words: &mut Words<'_>) -> Result<ToDo, ArgumentFault> {
    let missing = |name: &str| ArgumentFault::Missing { name: name.to_owned() };
    let word = words.take().ok_or_else(|| missing("owner"))?;
    if matches!(narrow_word(&word.text).as_str(), "done" | "完成") {
        let word = words.take().ok_or_else(|| missing("follow-up"))?;
        let id = FollowUpId::parse(&word.text).ok_or_else(|| {
            let expected =
                Text::new("一个后续事项的编号，例如 FU-7K3QZD5A", "its id, such as FU-7K3QZD5A");
            invalid("follow-up", &word.text, &expected)
        })?;
        super::nothing_more(words)?;
        return Ok(ToDo::Finish { id });
    }
    let owner = user_id(&word.text).map(UserId::new).ok_or_else(|| {
        let expected = Text::new(
            "负责人，写作 @名字；或 done 和编号",
            "whoever does it, written as @name; or `done` and its id",
        );
        invalid("owner", &word.text, &expected)
    })?;
    let word = words.take().ok_or_else(|| missing("due"))?;
    let due = Day::parse(&narrow_word(&word.text)).ok_or_else(|| {
        let expected =
            Text::new("到期日，例如 2026-12-01", "the last day for it, such as 2026-12-01");
        invalid("due", &word.text, &expected)
    })?;
    let what = words.take_rest().unwrap_or_default();
    let what: String = what.trim().chars().take(WORDS_CHARS_MAX).collect();
    if what.is_empty() {
        return Err(missing("text"));
    }
    Ok(ToDo::Make { owner, due, words: what })
}

/// Writes it down, or that it is done.
pub(super) async fn run(
    alert: AlertId,
    to_do: ToDo,
    context: &Context<'_>,
    by: &Authorized,
    asked: Asked,
) -> Result<String, Error> {
    let (lang, id) = (context.lang, alert.clone());
    if let Some((why, words)) = speaks_against(&to_do, context).await {
        let detail = json!({"text": asked.text, "why": why});
        let card = refusal(with_code(words.get(lang)));
        return answer_with(context, asked, "request.refused", detail, &card).await;
    }
    let wish = match to_do {
        ToDo::Finish { id } => FollowUpWish::Finish { id },
        ToDo::Make { owner, due, words } => {
            let id = FollowUpId::from_entropy(crate::entropy::bytes());
            FollowUpWish::Make { id, alert, words, owner, due }
        }
    };
    let now_ms = context.engine.clock().now_ms();
    let answer = Box::new(move |outcome: &FollowedUp| {
        let (sign, one) = match outcome {
            FollowedUp::Made(one) => ("📌 ", one),
            FollowedUp::Finished(one) => ("✅ ", one),
            FollowedUp::NoAlert => return ephemeral(&no_such(&id, lang)),
            FollowedUp::NoSuch => {
                return ephemeral(&refusal(with_code(lang.pick(
                    "没有这个未完成的后续事项，什么也没有改变。列表见 `/neostock alerts follow-ups`",
                    "There is no such follow-up that is not done; nothing was changed. They are listed by \
                     `/neostock alerts follow-ups`",
                ))));
            }
            FollowedUp::TooMany => {
                return ephemeral(&refusal(with_code(lang.pick(
                    "这个告警的后续事项太多了，什么也没有改变。请先完成一些。",
                    "This alert has too many follow-ups, so nothing was changed. Finish some first.",
                ))));
            }
        };
        let mut line = vec![text(sign)];
        line.extend(words_of(one, lang, now_ms));
        ephemeral(&Card { tone: Tone::Neutral, ..refusal(line) })
    });
    context.engine.follow_up(asked, by, FollowUpWanted { wish, answer }).await
}

/// Why nobody would ever do it: its day is over, or Slack says that its owner does not read it.
async fn speaks_against(to_do: &ToDo, context: &Context<'_>) -> Option<(&'static str, Text)> {
    let ToDo::Make { owner, due, .. } = to_do else { return None };
    if is_over(*due, context.engine.clock().now_ms()) {
        let words = Text::new(
            format!("`{due}` 已经过去，什么也没有记下。请写一个今天或以后的日期。"),
            format!("`{due}` is over, so nothing was written down. Name today or a later day."),
        );
        return Some(("day_over", words));
    }
    if context.powers.can_answer(owner.as_str()).await == Some(false) {
        let words = Text::new(
            format!(
                "`{owner}` 不是本工作区的正式成员，收不到提醒；什么也没有记下。请写另一位负责人。"
            ),
            format!(
                "`{owner}` is no full member of this workspace and would not be reminded, so nothing was \
                 written down. Name somebody else."
            ),
        );
        return Some(("no_full_member", words));
    }
    None
}

/// `FU-… @ann until 2026-12-01: text`
fn words_of(one: &FollowUp, lang: Lang, now_ms: i64) -> Line {
    let mut line = vec![
        Span::Code(one.id.to_string()),
        text(" "),
        Span::User(one.owner.clone()),
        text(lang.pick("，到 ", " until ")),
        text(one.due.to_string()),
    ];
    if one.is_overdue(now_ms) {
        line.push(text(lang.pick(" ⏰ 已过期", " ⏰ overdue")));
    }
    line.push(text(lang.pick("：", ": ")));
    line.extend(prose(&one.words));
    if let Some((who, at_ms)) = &one.done {
        line.extend([
            text(lang.pick(" · 完成：", " · done by ")),
            Span::User(who.clone()),
            text(" "),
            Span::Time(*at_ms),
        ]);
    }
    line
}

/// What is or was to be done after an alert, for its own page: a paragraph each, for each can be long.
pub(super) async fn of_alert(alert: &AlertId, context: &Context<'_>) -> Result<Vec<Part>, Error> {
    let (lang, now_ms) = (context.lang, context.engine.clock().now_ms());
    let all = context.engine.follow_ups_of(alert).await?;
    if all.is_empty() {
        return Ok(Vec::new());
    }
    let title = Span::Bold(lang.pick("后续事项", "Follow-ups").to_owned());
    let one = |one: &FollowUp| {
        let mut line = vec![text(if one.done.is_some() { "✅ " } else { "📌 " })];
        line.extend(words_of(one, lang, now_ms));
        Part::Paragraph(line)
    };
    let all = all.iter().take(LISTED_MAX).map(one);
    Ok([Part::Paragraph(vec![title])].into_iter().chain(all).collect())
}

/// What nobody has done yet after any alert, the first due first.
pub(super) async fn list(context: &Context<'_>, asked: Asked) -> Result<String, Error> {
    let (lang, now_ms) = (context.lang, context.engine.clock().now_ms());
    let all = context.engine.open_follow_ups().await?;
    let title = lang.pick("未完成的后续事项", "Follow-ups that are not done");
    let mut line = vec![Span::Bold(title.to_owned())];
    if all.is_empty() {
        line.push(text(lang.pick("：没有", ": none")));
    }
    let summary = plain(&line);
    let mut parts = vec![Part::Paragraph(line)];
    for one in all.iter().take(LISTED_MAX) {
        let mut line = vec![text("📌 ")];
        line.extend(words_of(one, lang, now_ms));
        line.extend([text(" · "), Span::Code(one.alert.to_string())]);
        parts.push(Part::Paragraph(line));
    }
    if all.len() > LISTED_MAX {
        let more = all.len() - LISTED_MAX;
        parts.push(Part::Context(vec![text(match lang {
            Lang::Zh => format!("… 还有 {more} 个"),
            Lang::En => format!("… and {more} more"),
        })]));
    }
    answer(context, asked, "request.answered", &Card { summary, tone: Tone::Neutral, parts }).await
}
