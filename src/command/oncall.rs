//! `oncall`: who is on call, and when; `swap` exchanges one's own shift with another's; `override` puts
//! somebody on call in the place of whoever would be.

use super::{Context, Spec, answer, answer_with, ephemeral, refusal, text, with_code};
use crate::core::action::Runbook;
use crate::core::card::Card;
use crate::core::contact::Day;
use crate::core::duration;
use crate::core::freeze::Moment;
use crate::core::id::UserId;
use crate::core::oncall::{NoSwap, Override, Roster, Rotation};
use crate::core::oncall_card::{self, Standing};
use crate::core::param::{ArgumentFault, TEXT_CHARS_MAX, cut, did_you_mean, narrow_word, user_id};
use crate::core::policy::{Actor, Authorized, Known, Standing as Account};
use crate::core::text::{Lang, Text};
use crate::core::words::Words;
use crate::engine::{Asked, Error, OPEN_OVERRIDES_MAX, OnCallChange, Told};
use futures_util::future::join_all;
use serde_json::json;

/// How it is asked for.
pub const SPEC: Spec = Spec {
    name: "oncall",
    usage: "[who [rotation] [day] | swap @user [day] | override <rotation> @user <from> <until> <reason…>]",
    example: "oncall",
    zh: "现在谁值班、到何时、下一位是谁；swap 交换自己的班；override 调整（oncall 或 lead 角色）",
    en: "Who is on call, until when, who next; swap one's own shift; override (role oncall or lead)",
};

/// The role that may put others on call, beside leads, where the runbook defines it.
pub const ROLE: &str = "oncall";
/// How long a schedule is shown where no day is named.
const SHOWN_MS: i64 = 14 * DAY_MS;
const DAY_MS: i64 = 24 * 3_600_000;
/// The longest override: after that it is a change of the file.
const OVERRIDE_MS_MAX: i64 = 92 * DAY_MS;
/// An override begins within this.
const AHEAD_MS_MAX: i64 = 400 * DAY_MS;
/// Somebody can type for so long: an earlier beginning is a mistake.
const LATE_MS_MAX: i64 = 60_000;

/// A moment as it was typed, by the clocks of a rotation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// At once.
    Now,
    /// A whole day, from its first minute to the next day's.
    Day(Moment, Moment),
    /// A minute of a day.
    At(Moment),
    /// So long after the beginning.
    After(i64),
}

/// What is asked about who is on call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OnCall {
    /// Who is now, in every rotation.
    List,
    /// Who is, in one, when.
    Who {
        /// Which; `None`: every one.
        rotation: Option<String>,
        /// When; `None`: from now on.
        when: Option<When>,
    },
    /// The asker exchanges a shift with somebody.
    Swap {
        /// With whom.
        with: UserId,
        /// In which rotation; `None`: the first in which they can.
        rotation: Option<String>,
        /// Which shift of the asker's; `None`: the next.
        when: Option<When>,
        /// Why; may be empty.
        reason: String,
    },
    /// Somebody is on call in the place of whoever would be.
    Override {
        /// In which rotation.
        rotation: String,
        /// Who.
        user: UserId,
        /// From when.
        from: When,
        /// Until when.
        until: When,
        /// Why.
        reason: String,
    },
    /// What was overridden is no more.
    End {
        /// In which rotation.
        rotation: String,
        /// Of whom; `None`: of everybody.
        user: Option<UserId>,
    },
}

/// Roles of which one is needed to change what others do.
pub fn roles(runbook: &Runbook) -> Vec<String> {
    let lead = super::unlock::ROLE.to_owned();
    let own = runbook.roles.contains_key(ROLE).then(|| ROLE.to_owned());
    own.into_iter().chain([lead]).collect()
}

/// Reads the words after the verb.
///
/// # Errors
/// What lacks, or cannot be.
pub fn parse(words: &mut Words<'_>) -> Result<OnCall, ArgumentFault> {
    let Some(word) = words.take() else { return Ok(OnCall::List) };
    match narrow_word(&word.text).as_str() {
        "who" | "谁" => {
            let rotation = rotation_before_time(words);
            let when = moment(words)?;
            super::nothing_more(words)?;
            Ok(OnCall::Who { rotation, when })
        }
        "swap" | "交换" => {
            let with = person(words)?;
            let rotation = words.peek().and_then(|word| {
                let typed = narrow_word(&word.text);
                typed.strip_prefix("rotation=").map(str::to_owned)
            });
            if rotation.is_some() {
                words.take();
            }
            let when = moment(words)?;
            Ok(OnCall::Swap { with, rotation, when, reason: reason(words) })
        }
        "override" | "调整" => overriding(words),
        other => {
            let known = ["who", "swap", "override"];
            let meant = did_you_mean(other, known.into_iter());
            let meant = meant.map_or_else(|| known.join(", "), |meant| format!("`{meant}`"));
            let (name, value) = ("what".to_owned(), cut(&word.text));
            Err(ArgumentFault::Invalid { name, value, expected: Text::same(meant) })
        }
    }
}

fn overriding(words: &mut Words<'_>) -> Result<OnCall, ArgumentFault> {
    let missing = |name: &str| ArgumentFault::Missing { name: name.to_owned() };
    let first = words.take().ok_or_else(|| missing("rotation"))?;
    let rotation = narrow_word(&first.text);
    if matches!(rotation.as_str(), "end" | "结束") {
        let rotation = words.take().ok_or_else(|| missing("rotation"))?;
        let user = if words.is_empty() { None } else { Some(person(words)?) };
        super::nothing_more(words)?;
        return Ok(OnCall::End { rotation: narrow_word(&rotation.text), user });
    }
    let user = person(words)?;
    let from = moment(words)?.ok_or_else(|| time_wanted("from", words))?;
    if let When::After(_) = from {
        return Err(missing("from"));
    }
    let until = moment(words)?.ok_or_else(|| time_wanted("until", words))?;
    let reason = reason(words);
    if reason.is_empty() {
        return Err(missing("reason"));
    }
    Ok(OnCall::Override { rotation, user, from, until, reason })
}

/// The fault of a word that is no time.
fn time_wanted(name: &str, words: &Words<'_>) -> ArgumentFault {
    let name = name.to_owned();
    let Some(word) = words.peek() else { return ArgumentFault::Missing { name } };
    let expected = Text::new(
        "now、2026-12-01、2026-12-01 09:00，结束也可写 8h",
        "`now`, `2026-12-01`, `2026-12-01 09:00`; an end also as `8h`",
    );
    ArgumentFault::Invalid { name, value: cut(&word.text), expected }
}

fn person(words: &mut Words<'_>) -> Result<UserId, ArgumentFault> {
    let Some(word) = words.take() else {
        return Err(ArgumentFault::Missing { name: "user".to_owned() });
    };
    user_id(&word.text).map(UserId::new).ok_or_else(|| {
        let (name, value) = ("user".to_owned(), cut(&word.text));
        let expected = Text::new("一个人，写作 @名字", "a person, written as @name");
        ArgumentFault::Invalid { name, value, expected }
    })
}

fn reason(words: &mut Words<'_>) -> String {
    let reason = words.take_rest().unwrap_or_default();
    reason.trim().chars().take(TEXT_CHARS_MAX).collect()
}

/// A rotation's name, unless a time comes first.
fn rotation_before_time(words: &mut Words<'_>) -> Option<String> {
    let word = words.peek()?;
    let typed = narrow_word(&word.text);
    if is_time(&typed) {
        return None;
    }
    words.take();
    Some(typed)
}

fn is_time(typed: &str) -> bool {
    typed == "now" || typed == "现在" || typed.starts_with(|one: char| one.is_ascii_digit())
}

/// A moment, where one is typed next: a day, a day and a minute, `now`, or how long.
fn moment(words: &mut Words<'_>) -> Result<Option<When>, ArgumentFault> {
    let Some(word) = words.peek() else { return Ok(None) };
    let typed = narrow_word(&word.text).replace('t', " ");
    if !is_time(&typed) {
        return Ok(None);
    }
    let when = if matches!(typed.as_str(), "now" | "现在") {
        Some(When::Now)
    } else if let Some(at) = Moment::parse(&typed) {
        Some(When::At(at))
    } else if Day::parse(&typed).is_some() {
        words.take();
        return Ok(Some(of_day(&typed, words)?));
    } else {
        duration::parse(&typed).and_then(|ms| i64::try_from(ms).ok()).map(When::After)
    };
    match when {
        Some(when) => {
            words.take();
            Ok(Some(when))
        }
        None => Err(time_wanted("time", words)),
    }
}

/// A day, or the minute of it that is typed next.
fn of_day(day: &str, words: &mut Words<'_>) -> Result<When, ArgumentFault> {
    if let Some(word) = words.peek()
        && let Some(at) = Moment::parse(&format!("{day} {}", narrow_word(&word.text)))
    {
        words.take();
        return Ok(When::At(at));
    }
    let first = Moment::parse(&format!("{day} 00:00"));
    let whole = first.and_then(|first| Some(When::Day(first, first.a_day_later()?)));
    whole.ok_or_else(|| ArgumentFault::Invalid {
        name: "day".to_owned(),
        value: day.to_owned(),
        expected: Text::same("2026-12-01"),
    })
}

/// Answers, exchanges, overrides or ends.
///
/// # Errors
/// The engine's; then nothing was done.
pub async fn run(
    oncall: OnCall,
    context: &Context<'_>,
    by: &Authorized,
    asked: Asked,
) -> Result<String, Error> {
    let now_ms = context.engine.clock().now_ms();
    let alerting = context.engine.alerting();
    let overrides = context.engine.oncall_overrides(now_ms).await?;
    let roster = Roster { rotations: &alerting.oncall, overrides: &overrides };
    let asking = Asking { context, roster, now_ms };
    match oncall {
        OnCall::List | OnCall::Who { rotation: None, when: None } => asking.list(asked).await,
        OnCall::Who { rotation, when } => asking.who(rotation, when, asked).await,
        OnCall::Swap { with, rotation, when, reason } => {
            asking.swap(by, asked, with, (rotation, when, reason)).await
        }
        OnCall::Override { rotation, user, from, until, reason } => {
            let wanted = (rotation, user, reason);
            asking.put(by, asked, wanted, (from, until)).await
        }
        OnCall::End { rotation, user } => asking.end(by, asked, rotation, user).await,
    }
}

/// What every answer needs.
struct Asking<'a> {
    context: &'a Context<'a>,
    roster: Roster<'a>,
    now_ms: i64,
}

impl Asking<'_> {
    async fn list(&self, asked: Asked) -> Result<String, Error> {
        let all = self
            .roster
            .rotations
            .keys()
            .map(|name| standing(self.context, self.roster, name, self.now_ms));
        let card = oncall_card::list(&join_all(all).await, self.context.lang);
        answer(self.context, asked, "request.answered", &card).await
    }

    async fn who(
        &self,
        rotation: Option<String>,
        when: Option<When>,
        asked: Asked,
    ) -> Result<String, Error> {
        let Some(name) = rotation.or_else(|| self.roster.rotations.keys().next().cloned()) else {
            return self.list(asked).await;
        };
        let Some(rotation) = self.roster.rotations.get(&name) else {
            return self.unknown(&name, asked).await;
        };
        let (from_ms, until_ms) = match when {
            None => (self.now_ms, self.now_ms + SHOWN_MS),
            Some(When::Day(first, next)) => (first.at_ms(rotation.zone), next.at_ms(rotation.zone)),
            Some(when) => {
                let at_ms = self.at_ms(when, rotation, self.now_ms);
                (at_ms, at_ms + 1)
            }
        };
        let all = self.roster.schedule(&name, from_ms, until_ms);
        let card = oncall_card::schedule(&name, rotation.zone.name(), &all, self.context.lang);
        answer(self.context, asked, "request.answered", &card).await
    }

    async fn swap(
        &self,
        by: &Authorized,
        asked: Asked,
        with: UserId,
        (rotation, when, reason): (Option<String>, Option<When>, String),
    ) -> Result<String, Error> {
        let from = by.user().clone();
        if from == with {
            let words = Text::new("不能和自己交换。", "You cannot exchange shifts with yourself.");
            return self.refused(&words, "oneself", asked).await;
        }
        for user in [&from, &with] {
            if let Some(words) = self.speaks_against(user).await {
                return self.refused(&words, "no_full_member", asked).await;
            }
        }
        if let Some(name) = &rotation
            && !self.roster.rotations.contains_key(name)
        {
            return self.unknown(name, asked).await;
        }
        let named = |name: &&String| rotation.as_ref().is_none_or(|one| one == *name);
        let mut why = NoSwap::NoTurns;
        let mut found = None;
        for name in self.roster.rotations.keys().filter(named) {
            let within = when.map(|when| self.day_of(when, name));
            match self.roster.swap(name, (&from, &with), within, self.now_ms) {
                Ok(swap) => {
                    found = Some((name, swap));
                    break;
                }
                Err(NoSwap::NoTurns) => {}
                Err(other) => why = other,
            }
        }
        let Some((name, swap)) = found else {
            return self.refused(&no_swap(why), "no_swap", asked).await;
        };
        let one = |user: &UserId, (from_ms, until_ms)| Override {
            id: String::new(),
            rotation: name.clone(),
            user: user.clone(),
            from_ms,
            until_ms,
            by: from.clone(),
            reason: reason.clone(),
        };
        let change = OnCallChange::Override(vec![one(&with, swap.given), one(&from, swap.taken)]);
        let card = |lang| oncall_card::swapped(name, (&from, &with), &swap, &reason, lang);
        self.context.engine.change_oncall(asked, by, change, self.told(card)).await
    }

    async fn put(
        &self,
        by: &Authorized,
        asked: Asked,
        (name, user, reason): (String, UserId, String),
        (from, until): (When, When),
    ) -> Result<String, Error> {
        let Some(rotation) = self.roster.rotations.get(&name) else {
            return self.unknown(&name, asked).await;
        };
        let from_ms = self.at_ms(from, rotation, self.now_ms);
        let until_ms = self.at_ms(until, rotation, from_ms);
        if let Some(words) = times_fault((from_ms, until_ms), self.now_ms) {
            return self.refused(&words, "times", asked).await;
        }
        if let Some(words) = self.speaks_against(&user).await {
            return self.refused(&words, "no_full_member", asked).await;
        }
        if self.context.engine.open_overrides(&name).await? >= OPEN_OVERRIDES_MAX {
            let words = Text::new(
                "这个轮值的调整太多了，什么也没有改变。请先结束一些：`/neostock oncall override end …`",
                "Too much is changed in this rotation already; nothing was done. End some first: \
                 `/neostock oncall override end …`",
            );
            return self.refused(&words, "too_many", asked).await;
        }
        let one = Override {
            id: String::new(),
            rotation: name,
            user,
            from_ms: from_ms.max(self.now_ms),
            until_ms,
            by: by.user().clone(),
            reason,
        };
        let told = self.told(|lang| oncall_card::overridden(&one, lang));
        let change = OnCallChange::Override(vec![one]);
        self.context.engine.change_oncall(asked, by, change, told).await
    }

    async fn end(
        &self,
        by: &Authorized,
        asked: Asked,
        name: String,
        user: Option<UserId>,
    ) -> Result<String, Error> {
        if !self.roster.rotations.contains_key(&name) {
            return self.unknown(&name, asked).await;
        }
        let card = |lang| oncall_card::override_ended(by.user(), &name, user.as_ref(), lang);
        let told = self.told(card);
        let change = OnCallChange::End { rotation: name.clone(), user: user.clone() };
        self.context.engine.change_oncall(asked, by, change, told).await
    }

    /// A moment by the clocks of a rotation.
    fn at_ms(&self, when: When, rotation: &Rotation, begins_ms: i64) -> i64 {
        match when {
            When::Now => self.now_ms,
            When::Day(first, _) => first.at_ms(rotation.zone),
            When::At(at) => at.at_ms(rotation.zone),
            When::After(ms) => begins_ms.saturating_add(ms),
        }
    }

    /// The stretch of time in which a shift is meant.
    fn day_of(&self, when: When, name: &str) -> (i64, i64) {
        let Some(rotation) = self.roster.rotations.get(name) else { return (0, 0) };
        match when {
            When::Day(first, next) => (first.at_ms(rotation.zone), next.at_ms(rotation.zone)),
            when => {
                let at_ms = self.at_ms(when, rotation, self.now_ms);
                (at_ms, at_ms + 1)
            }
        }
    }

    /// Only an active full member can be on call.
    async fn speaks_against(&self, user: &UserId) -> Option<Text> {
        let powers = self.context.powers;
        let actor = Actor { user: user.clone(), team: powers.actor.team.clone() };
        let is_full = powers.of(actor).is_full_member().await;
        (!is_full).then(|| {
            Text::new(
                format!(
                    "只有本工作区的正式成员能值班（现在无法确认 `{user}` 是），什么也没有改变。"
                ),
                format!(
                    "Only a full member of this workspace can be on call, and that cannot be said of \
                     `{user}` now; nothing was changed."
                ),
            )
        })
    }

    async fn unknown(&self, name: &str, asked: Asked) -> Result<String, Error> {
        let known: Vec<&str> = self.roster.rotations.keys().map(String::as_str).collect();
        let (name, known) = (cut(name).replace('`', "'"), known.join("`, `"));
        let words = if known.is_empty() {
            Text::new(
                "告警配置没有定义值班 (`oncall`)，什么也没有改变。",
                "The alerting configuration defines nobody on call (`oncall`); nothing was changed.",
            )
        } else {
            Text::new(
                format!("没有轮值 `{name}`；有：`{known}`。什么也没有改变。"),
                format!("There is no rotation `{name}`; there are `{known}`. Nothing was changed."),
            )
        };
        self.refused(&words, "unknown_rotation", asked).await
    }

    async fn refused(
        &self,
        words: &Text,
        why: &'static str,
        asked: Asked,
    ) -> Result<String, Error> {
        let detail = json!({"text": asked.text, "channel": asked.channel, "why": why});
        let card = refusal(with_code(words.get(self.context.lang)));
        answer_with(self.context, asked, "request.refused", detail, &card).await
    }

    /// The channel reads it in its language, the asker in theirs.
    fn told(&self, card: impl Fn(Lang) -> Card) -> Told {
        let runbook = self.context.runbook;
        let nothing = refusal(vec![text(self.context.lang.pick(
            "没有这样的值班调整，什么也没有改变。",
            "Nothing of that kind was changed, so nothing was ended.",
        ))]);
        Told {
            channel: runbook.operations_channel().cloned(),
            card: card(runbook.language),
            done: ephemeral(&card(self.context.lang)),
            nothing: ephemeral(&nothing),
        }
    }
}

/// A rotation at a moment, with what Slack says now of whose turn it is.
async fn standing(context: &Context<'_>, roster: Roster<'_>, name: &str, now_ms: i64) -> Standing {
    let mut mentioned = Vec::new();
    let mut has_left = false;
    for id in roster.line_up(name, now_ms) {
        let is_there = id.starts_with('S') || {
            let actor = Actor { user: UserId::new(&*id), team: context.powers.actor.team.clone() };
            let account = context.powers.of(actor).facts([]).await.person;
            !matches!(account, Known::Told { value, .. } if value != Account::Full)
        };
        has_left |= mentioned.is_empty() && !is_there;
        if mentioned.is_empty() || is_there {
            mentioned.push(id);
        }
        if is_there {
            break;
        }
    }
    seen(roster, name, now_ms, (mentioned, has_left))
}

/// A rotation at a moment, where it is known who is mentioned.
pub fn seen(
    roster: Roster<'_>,
    name: &str,
    now_ms: i64,
    (mentioned, has_left): (Vec<String>, bool),
) -> Standing {
    let duty = roster.duty(name, now_ms);
    let by = duty.as_ref().and_then(|duty| duty.by_override.as_ref());
    let by = by.and_then(|id| roster.overrides.iter().find(|one| one.id == *id)).cloned();
    let next = roster.next_change_ms(name, now_ms);
    let next = next.and_then(|at_ms| Some((at_ms, roster.duty(name, at_ms)?.id)));
    let instead = duty.map(|duty| duty.rotation).filter(|other| other != name);
    Standing { name: name.to_owned(), mentioned, has_left, instead, by, next }
}

fn no_swap(why: NoSwap) -> Text {
    match why {
        NoSwap::NoTurns => Text::new(
            "没有人们轮流值班的轮值，无法交换。可以用 `/neostock oncall override`。",
            "People take turns in no such rotation, so there is nothing to exchange. \
             `/neostock oncall override` puts somebody on call.",
        ),
        NoSwap::NothingToGive => Text::new(
            "那时您没有班可以交换，什么也没有改变。`/neostock oncall who` 可查看排班。",
            "You have no shift then, so nothing was exchanged. `/neostock oncall who` shows who has.",
        ),
        NoSwap::NothingToTake => Text::new(
            "对方之后没有班可以换给您，什么也没有改变。可请 lead 用 `/neostock oncall override` 安排。",
            "They have no shift to come that you could take for it, so nothing was exchanged. A lead can \
             say `/neostock oncall override`.",
        ),
    }
}

fn times_fault((from_ms, until_ms): (i64, i64), now_ms: i64) -> Option<Text> {
    if until_ms <= from_ms {
        return Some(Text::new(
            "结束不晚于开始，什么也没有改变。",
            "It would end before it begins; nothing was changed.",
        ));
    }
    if from_ms < now_ms - LATE_MS_MAX || from_ms > now_ms + AHEAD_MS_MAX {
        return Some(Text::new(
            "开始的时间已经过去，或太远；马上开始请写 `now`。什么也没有改变。",
            "It would begin in the past, or too far from now; write `now` to begin at once. Nothing was \
             changed.",
        ));
    }
    if until_ms - from_ms > OVERRIDE_MS_MAX {
        return Some(Text::new(
            "一次最多调整 92 天；更久请修改告警配置。什么也没有改变。",
            "At most 92 days at once; for longer, change the alerting configuration. Nothing was changed.",
        ));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(typed: &str) -> Result<OnCall, ArgumentFault> {
        let mut words = Words::read(typed).unwrap();
        parse(&mut words)
    }

    fn at(text: &str) -> Moment {
        Moment::parse(text).unwrap()
    }

    #[test]
    fn what_is_typed_is_read_in_either_language() {
        let day = When::Day(at("2026-12-31 00:00"), at("2027-01-01 00:00"));
        let bob = UserId::new("U0BOB");
        let who = |rotation: Option<&str>, when| OnCall::Who {
            rotation: rotation.map(str::to_owned),
            when,
        };
        let cases = [
            ("", OnCall::List),
            ("who", who(None, None)),
            ("who primary", who(Some("primary"), None)),
            ("谁 2026-12-31", who(None, Some(day))),
            (
                "who primary 2026-12-31 09:00",
                who(Some("primary"), Some(When::At(at("2026-12-31 09:00")))),
            ),
            ("override end primary", OnCall::End { rotation: "primary".into(), user: None }),
            (
                "override end primary <@U0BOB>",
                OnCall::End { rotation: "primary".into(), user: Some(bob.clone()) },
            ),
            (
                "swap <@U0BOB|bob> rotation=night 2026-12-31 a wedding",
                OnCall::Swap {
                    with: bob.clone(),
                    rotation: Some("night".into()),
                    when: Some(day),
                    reason: "a wedding".into(),
                },
            ),
            (
                "override primary <@U0BOB> now 8h ann is ill",
                OnCall::Override {
                    rotation: "primary".into(),
                    user: bob.clone(),
                    from: When::Now,
                    until: When::After(8 * 3_600_000),
                    reason: "ann is ill".into(),
                },
            ),
            (
                "调整 primary <@U0BOB> 2026-12-30T18:00 “2026-12-31 09:00” 出差",
                OnCall::Override {
                    rotation: "primary".into(),
                    user: bob,
                    from: When::At(at("2026-12-30 18:00")),
                    until: When::At(at("2026-12-31 09:00")),
                    reason: "出差".into(),
                },
            ),
        ];
        for (typed, expected) in cases {
            assert_eq!(read(typed).as_ref(), Ok(&expected), "{typed}");
        }
    }

    #[test]
    fn what_lacks_or_cannot_be_is_said() {
        let cases = [
            ("whom", "what"),
            ("swap bob", "user"),
            ("swap", "user"),
            ("override", "rotation"),
            ("override primary", "user"),
            ("override primary <@U0BOB>", "from"),
            ("override primary <@U0BOB> tomorrow 8h ill", "from"),
            ("override primary <@U0BOB> 8h 8h ill", "from"),
            ("override primary <@U0BOB> now", "until"),
            ("override primary <@U0BOB> now 8h", "reason"),
            ("override primary <@U0BOB> now 2026-02-30 ill", "time"),
            ("who primary 25:00", "time"),
        ];
        for (typed, name) in cases {
            let fault = read(typed).unwrap_err();
            let words = format!("{fault:?}");
            assert!(words.contains(&format!("name: \"{name}\"")), "{typed}: {words}");
        }
        assert!(matches!(read("who primary 2026-12-31 x"), Err(ArgumentFault::Leftover { .. })));
    }

    proptest! {
        #[test]
        fn nothing_typed_makes_it_panic(typed in "(who|swap|override)? ?(end|primary)? ?(<@U0BOB>)? ?.{0,30}") {
            if let Some(mut words) = Words::read(&typed) {
                let _ = parse(&mut words);
            }
        }
    }
}
