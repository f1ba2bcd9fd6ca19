//! `alert <id>`: one alert in full, and what somebody wants of it: to take it, give it back, silence it, have
//! more people called, or say that it is over. A press of a button on its card is the same command, bound to
//! the alert as it was shown.
//!
//! Whether it counts is decided in `engine/alerts`, in the transaction that it changes.

use super::alert_follow_up::{self, ToDo};
use super::filter::invalid;
use super::roles::VIEWER;
use super::{
    Context, Spec, answer, ephemeral, message_link, reason_form, refusal, text, with_code,
};
use crate::core::action::Runbook;
use crate::core::alert::{Level, Sighting, taken_by};
use crate::core::alert_card::{self, AlertView, cut as cut_to, level_words};
use crate::core::alert_press::{self, Deed, Seen};
use crate::core::card::{Card, Line, Part, Span, Tone, prose};
use crate::core::duration;
use crate::core::escalation::Policies;
use crate::core::id::{AlertId, UserId};
use crate::core::journal::Row;
use crate::core::journal_words;
use crate::core::param::{ArgumentFault, TEXT_CHARS_MAX, narrow_word};
use crate::core::policy::Authorized;
use crate::core::rule;
use crate::core::silence::LENGTH_MS;
use crate::core::text::{Lang, Text};
use crate::core::words::Words;
use crate::engine::{AlertWish, Asked, Engine, Error, Wanted, Wished};
use crate::store::journal::Search;
use serde_json::Value;

/// Entries of its story that are shown, the newest.
const STORY_ENTRIES: usize = 20;
/// Labels of an instance that are shown.
const LABELS_SHOWN: usize = 8;
/// Characters of a name, a value or a reason that are shown.
const CHARS_SHOWN: usize = 80;
/// Who is on call acts on alerts whatever else the runbook lets them do.
const ONCALL: &str = "oncall";
/// Who silences an alert of level 3.
const LEAD: &str = "lead";

/// How it is asked for.
pub const SPEC: Spec = Spec {
    name: "alert",
    usage: "<alert> [ack|release|resolve|silence <2h> <reason…>|unsilence|escalate|follow-up @user <day> <text…>] [why…]",
    example: "alert AL-7K3QZD5A silence 2h the supplier is down until ten",
    zh: "查看一个告警，或接手 (ack)、放回 (release)、关闭 (resolve)、静默 (silence)、升级 (escalate)、记后续事项 (follow-up)",
    en: "Look at one alert; take it, give it back, resolve it, silence it, call more people, note what to do after it",
};

/// What is wanted of one alert.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OfAlert {
    /// Which.
    pub alert: AlertId,
    /// What.
    pub wish: Wish,
    /// Why; may be empty.
    pub reason: String,
    /// How it was shown on the card that was pressed; `None`: typed, and means it as it is.
    pub seen: Option<Seen>,
}

/// What.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wish {
    /// To see it.
    Look,
    /// To take it, or to say that they still have it.
    Acknowledge,
    /// To give it back.
    GiveBack,
    /// That it is over.
    Resolve,
    /// That nobody is told for so long.
    Silence {
        /// How long.
        for_ms: u64,
    },
    /// That a silence ends now.
    Unsilence,
    /// The next level at once.
    Escalate,
    /// Something is to be done after it, or is done.
    FollowUp(ToDo),
}

/// Sub-verbs: what they mean; a silence's duration is read after it.
static WISHES: [(&[&str], Wish); 6] = [
    (&["ack", "acknowledge", "take", "接手", "处理"], Wish::Acknowledge),
    (&["release", "give-back", "放回"], Wish::GiveBack),
    (&["resolve", "close", "关闭", "解决"], Wish::Resolve),
    (&["silence", "静默"], Wish::Silence { for_ms: 0 }),
    (&["unsilence", "取消静默"], Wish::Unsilence),
    (&["escalate", "升级"], Wish::Escalate),
];

/// Reads the words after `alert`.
pub fn parse(words: &mut Words<'_>) -> Result<OfAlert, ArgumentFault> {
    let alert = alert_id(words)?;
    let look = OfAlert { alert, wish: Wish::Look, reason: String::new(), seen: None };
    let Some(word) = words.take() else { return Ok(look) };
    let name = narrow_word(&word.text).replace('_', "-");
    if matches!(name.as_str(), "follow-up" | "followup" | "后续") {
        return Ok(OfAlert { wish: Wish::FollowUp(alert_follow_up::parse(words)?), ..look });
    }
    let found = WISHES.iter().find(|(spelt, _)| spelt.contains(&name.as_str()));
    let Some((_, wish)) = found else {
        let expected = Text::new(
            "以下之一：ack（接手）、release（放回）、resolve（关闭）、silence（静默）、unsilence（取消静默）、escalate（升级）、follow-up（后续）",
            "one of: ack, release, resolve, silence, unsilence, escalate, follow-up",
        );
        return Err(invalid("what", &word.text, &expected));
    };
    let wish = match wish {
        Wish::Silence { .. } => Wish::Silence { for_ms: silence_ms(words)? },
        other => other.clone(),
    };
    let reason = reason(&words.take_rest().unwrap_or_default());
    if reason.is_empty() && matches!(wish, Wish::Silence { .. }) {
        return Err(ArgumentFault::Missing { name: "reason".to_owned() });
    }
    Ok(OfAlert { wish, reason, ..look })
}

/// Takes an alert's id.
pub(super) fn alert_id(words: &mut Words<'_>) -> Result<AlertId, ArgumentFault> {
    let Some(word) = words.take() else {
        return Err(ArgumentFault::Missing { name: "alert".to_owned() });
    };
    read_id("alert", &word.text)
}

/// An alert, for the argument of this name.
pub(super) fn read_id(name: &str, value: &str) -> Result<AlertId, ArgumentFault> {
    AlertId::parse(value).ok_or_else(|| {
        let expected =
            Text::new("一个告警编号，例如 AL-7K3QZD5A", "an alert's id such as AL-7K3QZD5A");
        invalid(name, value, &expected)
    })
}

/// Takes how long a silence is.
pub(super) fn silence_ms(words: &mut Words<'_>) -> Result<u64, ArgumentFault> {
    let Some(word) = words.take() else {
        return Err(ArgumentFault::Missing { name: "duration".to_owned() });
    };
    // What is quiet for longer is a rule to be changed.
    let (min_ms, max_ms) = LENGTH_MS;
    let bounds = min_ms.unsigned_abs()..=max_ms.unsigned_abs();
    let for_ms = duration::parse(&narrow_word(&word.text)).filter(|ms| bounds.contains(ms));
    for_ms.ok_or_else(|| {
        let expected = Text::new(
            "5 分钟到 7 天的一段时间，例如 30m、2h",
            "a duration from 5m to 7d, such as 30m or 2h",
        );
        invalid("duration", &word.text, &expected)
    })
}

fn reason(typed: &str) -> String {
    typed.trim().chars().take(TEXT_CHARS_MAX).collect()
}

impl OfAlert {
    /// What a press of a button means; `None`: a form asks for more first.
    pub(super) fn pressed(deed: Deed, alert: AlertId, seen: Seen) -> Option<Self> {
        let wish = match deed {
            Deed::Acknowledge => Wish::Acknowledge,
            Deed::GiveBack => Wish::GiveBack,
            Deed::Resolve => Wish::Resolve,
            Deed::Unsilence => Wish::Unsilence,
            Deed::Escalate => Wish::Escalate,
            Deed::Details => Wish::Look,
            Deed::Silence => return None,
        };
        Some(Self { alert, wish, reason: String::new(), seen: Some(seen) })
    }

    /// The roles of which one is needed.
    ///
    /// # Errors
    /// The database's.
    pub(super) async fn roles(
        &self,
        runbook: &Runbook,
        engine: &Engine,
    ) -> Result<Vec<String>, Error> {
        match self.wish {
            Wish::Look => Ok(vec![VIEWER.to_owned()]),
            Wish::Silence { .. } => {
                let alert = engine.alert(&self.alert).await?;
                let level = alert.map_or(Level::Warning, |alert| alert.condition.level);
                Ok(silencing(level, runbook))
            }
            _ => Ok(acting(runbook)),
        }
    }
}

/// The roles that act on alerts: every role that operates the service by an action, and whoever is on call.
/// Looking alone is not operating.
pub(super) fn acting(runbook: &Runbook) -> Vec<String> {
    let operating = runbook.actions.values().flat_map(rule::roles).filter(|role| *role != VIEWER);
    let oncall = runbook.roles.contains_key(ONCALL).then_some(ONCALL);
    let mut roles: Vec<String> = operating.chain(oncall).map(str::to_owned).collect();
    roles.sort_unstable();
    roles.dedup();
    if roles.is_empty() { vec![VIEWER.to_owned()] } else { roles }
}

/// The roles that silence an alert of this level: of level 3 a lead's, where there is that role, for then
/// nobody is called about an incident.
pub(super) fn silencing(level: Level, runbook: &Runbook) -> Vec<String> {
    let is_led = runbook.roles.contains_key(LEAD);
    if level == Level::Critical && is_led { vec![LEAD.to_owned()] } else { acting(runbook) }
}

/// Shows it, or does what is wanted.
pub async fn run(
    of: OfAlert,
    context: &Context<'_>,
    by: &Authorized,
    asked: Asked,
) -> Result<String, Error> {
    let (lang, now_ms) = (context.lang, context.engine.clock().now_ms());
    let kind = of.wish.clone();
    let wish = match of.wish {
        Wish::Look => return show(&of.alert, context, asked).await,
        Wish::Acknowledge => AlertWish::Acknowledge,
        Wish::GiveBack => AlertWish::GiveBack,
        Wish::Resolve => AlertWish::Resolve,
        Wish::Silence { for_ms } => {
            AlertWish::Silence { until_ms: now_ms.saturating_add_unsigned(for_ms) }
        }
        Wish::Unsilence => AlertWish::Unsilence,
        Wish::Escalate => AlertWish::Escalate,
        Wish::FollowUp(to_do) => {
            return alert_follow_up::run(of.alert, to_do, context, by, asked).await;
        }
    };
    let is_form = asked.origin == reason_form::ORIGIN;
    // Only for the words: whether it counts is asked again in the transaction.
    let before = match wish {
        AlertWish::Acknowledge => context.engine.alert(&of.alert).await?,
        _ => None,
    };
    let mut before = before.and_then(|alert| alert.condition.acknowledged);
    before.take_if(|(owner, _)| owner == asked.actor.as_str());
    let (id, policies) = (of.alert.clone(), context.engine.alerting().policies.clone());
    let answer = Box::new(move |wished: &Wished| match wished {
        // A form that is done with closes; the card tells the rest.
        Wished::Done(_) if is_form => String::new(),
        Wished::Done(alert) => {
            let mut card = done(&kind, alert, &policies, lang);
            if let Some((owner, _)) = &before {
                let owner = taken_by(owner).map_or_else(|| text(owner.clone()), Span::User);
                card.parts.push(Part::Paragraph(vec![
                    text(lang.pick("在此之前由 ", "It was ")),
                    owner,
                    text(lang.pick(" 处理。", "'s until now.")),
                ]));
            }
            ephemeral(&card)
        }
        Wished::Already(alert) => ephemeral(&already(&kind, alert, lang)),
        Wished::Over(alert) => ephemeral(&over(alert, lang)),
        Wished::Changed(alert) => ephemeral(&changed(alert, lang)),
        Wished::NoSuch => ephemeral(&no_such(&id, lang)),
    });
    let seen = of.seen.map(|seen| (seen.returns, seen.level));
    let is_led = silencing(Level::Critical, context.runbook).iter().any(|role| role == by.role());
    let silences_up_to = if is_led { Level::Critical } else { Level::Error };
    let name = context.powers.name().unwrap_or_default();
    let wanted = Wanted { wish, reason: of.reason, name, seen, silences_up_to, answer };
    context.engine.alert_event(asked, by, &of.alert, wanted).await
}

/// `AL-… error_rate · neostock production: `
fn about(alert: &AlertView, lang: Lang) -> Line {
    let colon = lang.pick("：", ": ");
    vec![Span::Code(alert.id.to_string()), text(format!(" {}{colon}", alert.title()))]
}

fn said(mut line: Line, words: &str) -> Card {
    line.extend(with_code(words));
    Card { tone: Tone::Neutral, ..refusal(line) }
}

/// What somebody reads whose wish was done.
fn done(wish: &Wish, alert: &AlertView, policies: &Policies, lang: Lang) -> Card {
    let condition = &alert.condition;
    let mut line = about(alert, lang);
    match wish {
        // These are answered elsewhere.
        Wish::Look | Wish::FollowUp(_) => {}
        Wish::Acknowledge => {
            let after = duration::about(policies.remind_after_ms.unsigned_abs());
            let words = Text::new(
                format!("🙋 由您处理了。{} 后会问您是否仍在处理。", after.zh),
                format!("🙋 it is yours. In {} you are asked whether you still have it.", after.en),
            );
            return said(line, words.get(lang));
        }
        Wish::GiveBack => {
            let words = lang
                .pick("↩️ 已放回，会再次叫人。", "↩️ it is nobody's again, and people are called.");
            return said(line, words);
        }
        Wish::Resolve if condition.is_by_hand && condition.is_firing => {
            line.push(text(lang.pick(
                "🟢 已关闭。来源仍报告异常；若到时还是这样，会重新打开：",
                "🟢 resolved. Its source still says that it fires; unless that ends it opens again at ",
            )));
            line.push(Span::Time(condition.next_ms));
        }
        Wish::Resolve => return said(line, lang.pick("🟢 已关闭。", "🟢 resolved.")),
        Wish::Silence { .. } => {
            line.push(text(lang.pick("🔕 不再通知任何人，到 ", "🔕 nobody is told until ")));
            line.push(Span::Time(condition.silenced_until_ms));
            let words = Text::new(
                format!("。要提前结束，请输入 `/neostock alert {} unsilence`", alert.id),
                format!(". To end it before, `/neostock alert {} unsilence`", alert.id),
            );
            return said(line, words.get(lang));
        }
        Wish::Unsilence => {
            let words = lang.pick(
                "🔔 静默已取消，恢复通知。",
                "🔔 the silence is over; people are told again.",
            );
            return said(line, words);
        }
        Wish::Escalate => {
            let level = level_words(condition.level, lang);
            let words = Text::new(
                format!("⏫ 现为 {level}，已通知该级别的人。"),
                format!("⏫ it is of level {level} now, and that level's people are called."),
            );
            return said(line, words.get(lang));
        }
    }
    Card { tone: Tone::Neutral, ..refusal(line) }
}

/// What somebody reads who wanted what is so already: often the second press of a double click.
fn already(wish: &Wish, alert: &AlertView, lang: Lang) -> Card {
    let words = match wish {
        Wish::Acknowledge => {
            lang.pick("已经由您处理，没有改变什么。", "it is yours already; nothing was changed.")
        }
        Wish::GiveBack => lang.pick(
            "没有人在处理它，没有改变什么。要接手请用 `ack`。",
            "nobody has it, so nothing was changed. To take it, `ack`.",
        ),
        Wish::Unsilence => {
            lang.pick("它没有被静默，没有改变什么。", "it is not silenced; nothing was changed.")
        }
        Wish::Look | Wish::Resolve | Wish::Silence { .. } | Wish::Escalate | Wish::FollowUp(_) => {
            lang.pick("已经是这样，没有改变什么。", "it is so already; nothing was changed.")
        }
    };
    said(about(alert, lang), words)
}

/// What somebody reads who wanted something of an alert that is over.
pub(super) fn over(alert: &AlertView, lang: Lang) -> Card {
    let mut line = about(alert, lang);
    line.push(text(lang.pick(
        "它已经结束，没有改变什么。结束于 ",
        "it is over, so nothing was changed. It ended at ",
    )));
    line.push(Span::Time(alert.condition.resolved_ms));
    line.push(text(
        lang.pick("；再出现时会重新通知。", "; if it comes back, people are told again."),
    ));
    refusal(line)
}

/// What somebody reads who pressed on a card that is not the latest.
pub(super) fn changed(alert: &AlertView, lang: Lang) -> Card {
    let (returns, level) = (alert.condition.returns, level_words(alert.condition.level, lang));
    let words = Text::new(
        format!(
            "它和您看到的已经不同：现为 {level}，反复 {returns} 次。没有改变什么。请看最新的卡片再按，或输入 `/neostock alert {}`",
            alert.id
        ),
        format!(
            "it is not as you were shown any more: of level {level} now, and back {returns}×. Nothing was \
             changed. Look at its latest card and press there, or type `/neostock alert {}`",
            alert.id
        ),
    );
    let mut line = about(alert, lang);
    line.extend(with_code(words.get(lang)));
    refusal(line)
}

/// What somebody reads who named no alert of ours.
pub(super) fn no_such(alert: &AlertId, lang: Lang) -> Card {
    refusal(with_code(
        Text::new(
            format!("没有告警 `{alert}`，什么也没有改变。列表见 `/neostock alerts all`"),
            format!("There is no alert `{alert}`, so nothing was changed. They are listed by `/neostock alerts all`"),
        )
        .get(lang),
    ))
}

async fn show(id: &AlertId, context: &Context<'_>, asked: Asked) -> Result<String, Error> {
    let lang = context.lang;
    let Some(mut alert) = context.engine.alert(id).await? else {
        return answer(context, asked, "request.refused", &no_such(id, lang)).await;
    };
    alert.rollback = alert_press::rollback(&alert, context.runbook);
    let search = Search {
        actor: "",
        run: id.as_str(),
        action: "",
        kinds: Some(journal_words::beginning_with("alert.").collect()),
        since_ms: 0,
        before_seq: i64::MAX,
    };
    let mut story = context.engine.trail(&search, STORY_ENTRIES + 1).await?;
    let has_more = story.len() > STORY_ENTRIES;
    story.truncate(STORY_ENTRIES);
    story.reverse();
    let message = context.engine.alert_message(id).await?;
    let (policies, now_ms) =
        (context.engine.alerting().policies.clone(), context.engine.clock().now_ms());
    let mut card = alert_card::card(&alert, &policies, lang, now_ms);
    if alert.instances.len() > 1 {
        card.parts.push(Part::Paragraph(instances(&alert, lang)));
    }
    card.parts.extend(alert_follow_up::of_alert(id, context).await?);
    card.parts.push(Part::Paragraph(told(&story, has_more, lang)));
    let label = lang.pick("打开卡片", "Open its card");
    if !alert.channel.as_str().is_empty() {
        let link = message_link(context, message.as_ref(), &alert.channel, label);
        card.parts.push(Part::Context(vec![link]));
    }
    answer(context, asked, "request.answered", &card).await
}

/// Every instance that is known, by its labels.
fn instances(alert: &AlertView, lang: Lang) -> Line {
    let mut line = vec![Span::Bold(lang.pick("实例", "Instances").to_owned())];
    for one in &alert.instances {
        line.push(text(if one.ended_ms.is_none() { "\n🔴 " } else { "\n🟢 " }));
        line.push(Span::Code(labels(one)));
        line.push(text(" · "));
        line.push(Span::Time(one.starts_ms));
        if let Some(ended_ms) = one.ended_ms {
            line.extend([text(" – "), Span::Time(ended_ms)]);
        }
    }
    let more = alert.total.saturating_sub(alert.instances.len());
    if more > 0 {
        line.push(text(match lang {
            Lang::Zh => format!("\n… 还有 {more} 个"),
            Lang::En => format!("\n… and {more} more"),
        }));
    }
    line
}

fn labels(one: &Sighting) -> String {
    let shown: Vec<String> = one
        .labels
        .iter()
        .take(LABELS_SHOWN)
        .map(|(name, value)| {
            format!("{}={}", cut_to(name, CHARS_SHOWN), cut_to(value, CHARS_SHOWN))
        })
        .collect();
    if shown.is_empty() { cut_to(&one.fingerprint, CHARS_SHOWN) } else { shown.join(" ") }
}

/// Who did what when, the oldest first.
fn told(story: &[Row], has_more: bool, lang: Lang) -> Line {
    let mut line = vec![Span::Bold(lang.pick("经过", "What happened").to_owned())];
    if has_more {
        line.push(text(lang.pick("（最近的部分）", " (the latest of it)")));
    }
    for row in story {
        line.push(text("\n"));
        line.push(Span::Time(row.at_ms));
        line.push(text(" "));
        if let Some(person) = taken_by(&row.actor) {
            line.extend([Span::User(person), text(" ")]);
        }
        match journal_words::of(&row.kind) {
            Some((_, words)) => line.push(text(words.get(lang))),
            None => line.push(Span::Code(row.kind.clone())),
        }
        line.extend(more(row, lang));
    }
    line
}

/// What an entry tells besides: to whom, at which level, why.
fn more(row: &Row, lang: Lang) -> Line {
    let detail: Value = serde_json::from_str(&row.detail).unwrap_or_default();
    let mut line = Line::new();
    if let Some(level) = detail["level"].as_i64().and_then(Level::numbered) {
        line.push(text(format!(" · {}", level_words(level, lang))));
    }
    for id in detail["told"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        line.push(text(" "));
        line.push(match id.chars().next() {
            Some('U' | 'W') => Span::User(UserId::new(id)),
            Some('S') => Span::Group(id.to_owned()),
            // Shown, not called: this message is one person's.
            _ => Span::Code(format!("@{id}")),
        });
    }
    if let Some(until_ms) = detail["until_ms"].as_i64() {
        line.extend([text(lang.pick("，到 ", ", until ")), Span::Time(until_ms)]);
    }
    if let Some(reason) = detail["reason"].as_str() {
        line.push(text(lang.pick("：", ": ")));
        line.extend(prose(&cut_to(reason, CHARS_SHOWN)));
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::tests::runbook;

    fn read(text: &str) -> Result<OfAlert, ArgumentFault> {
        parse(&mut Words::read(text).unwrap())
    }

    #[test]
    fn a_wish_is_read_in_both_languages() {
        for (typed, wish, reason) in [
            ("al-7k3qzd5a", Wish::Look, ""),
            ("AL-7K3QZD5A ack", Wish::Acknowledge, ""),
            ("7K3QZD5A 接手 我在看", Wish::Acknowledge, "我在看"),
            ("AL-7K3QZD5A Release it is not mine", Wish::GiveBack, "it is not mine"),
            ("AL-7K3QZD5A 放回", Wish::GiveBack, ""),
            ("AL-7K3QZD5A resolve a false alarm", Wish::Resolve, "a false alarm"),
            ("AL-7K3QZD5A 关闭", Wish::Resolve, ""),
            (
                "AL-7K3QZD5A silence 2h why = because",
                Wish::Silence { for_ms: 7_200_000 },
                "why = because",
            ),
            ("AL-7K3QZD5A 静默 ３０ｍ 演练", Wish::Silence { for_ms: 1_800_000 }, "演练"),
            ("AL-7K3QZD5A unsilence", Wish::Unsilence, ""),
            ("AL-7K3QZD5A 升级 需要帮助", Wish::Escalate, "需要帮助"),
        ] {
            let found = read(typed).unwrap();
            assert_eq!(
                (found.wish, found.reason.as_str(), found.seen),
                (wish, reason, None),
                "{typed}"
            );
            assert_eq!(found.alert.as_str(), "AL-7K3QZD5A");
        }
    }

    #[test]
    fn what_cannot_be_read_is_refused_with_what_is_possible() {
        for (typed, expected) in [
            ("", "`alert` is missing"),
            ("R-7K3QZD5A", "AL-7K3QZD5A"),
            ("AL-7K3QZD5A akc", "ack, release"),
            ("AL-7K3QZD5A silence", "`duration` is missing"),
            ("AL-7K3QZD5A silence forever why", "from 5m to 7d"),
            ("AL-7K3QZD5A silence 8d why", "from 5m to 7d"),
            ("AL-7K3QZD5A silence 2h", "`reason` is missing"),
        ] {
            let fault = read(typed).unwrap_err().text();
            assert!(fault.en.contains(expected), "{typed}: {}", fault.en);
        }
    }

    #[test]
    fn a_follow_up_names_its_owner_its_day_and_what_is_to_be_done() {
        let made = read("AL-7K3QZD5A follow-up <@U0BOB|bob> 2026-12-01 add a test").unwrap();
        let Wish::FollowUp(ToDo::Make { owner, due, words }) = made.wish else {
            panic!("no follow-up")
        };
        assert_eq!(
            (owner.as_str(), due.to_string().as_str(), words.as_str()),
            ("U0BOB", "2026-12-01", "add a test")
        );
        let done = read("AL-7K3QZD5A 后续 完成 fu-7k3qzd5a").unwrap();
        assert!(
            matches!(done.wish, Wish::FollowUp(ToDo::Finish { id }) if id.as_str() == "FU-7K3QZD5A")
        );
        for (typed, expected) in [
            ("", "`owner` is missing"),
            ("bob 2026-12-01 x", "@name"),
            ("<@U0BOB> soon x", "2026-12-01"),
            ("<@U0BOB> 2026-12-01", "`text` is missing"),
            ("done 3", "FU-7K3QZD5A"),
        ] {
            let fault = read(&format!("AL-7K3QZD5A follow-up {typed}")).unwrap_err().text();
            assert!(fault.en.contains(expected), "{typed}: {}", fault.en);
        }
    }

    #[test]
    fn who_operates_or_is_on_call_acts_and_who_leads_silences_an_incident() {
        let mut runbook = runbook();
        assert_eq!(acting(&runbook), ["oncall", "operator"]);
        assert_eq!(silencing(Level::Error, &runbook), ["oncall", "operator"]);
        assert_eq!(silencing(Level::Critical, &runbook), ["lead"]);
        runbook.roles.clear();
        runbook.actions.clear();
        assert_eq!(acting(&runbook), ["viewer"]);
        assert_eq!(silencing(Level::Critical, &runbook), ["viewer"]);
    }
}
