//! `oncall`: who is on call, and when; `swap` exchanges one's own shift with another's; `override` puts
//! somebody on call in the place of whoever would be.

pub use super::oncall_words::{OnCall, parse};

use super::oncall_words::When;
use super::{Context, Powers, Spec, answer, answer_with, ephemeral, refusal, text, with_code};
use crate::core::action::Runbook;
use crate::core::card::Card;
use crate::core::id::UserId;
use crate::core::oncall::{Called, NoSwap, Override, Roster, Rotation, orphans};
use crate::core::oncall_card::{self, Standing};
use crate::core::param::cut;
use crate::core::policy::{Actor, Authorized};
use crate::core::text::{Lang, Text};
use crate::engine::{Asked, Error, OPEN_OVERRIDES_MAX, OnCallChange, Told};
use futures_util::future::join_all;
use serde_json::json;

/// How it is asked for.
pub const SPEC: Spec = Spec {
    name: "oncall",
    usage: "[who [rotation] [day] | swap @user [day] | override <rotation> @user <from> <until> <reason…> | override end <rotation> [@user]]",
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
/// Of one rotation Slack is asked about so many people, until one is there.
const ASKED_MAX: usize = 10;

/// Roles of which one is needed to change what others do.
pub fn roles(runbook: &Runbook) -> Vec<String> {
    let lead = super::unlock::ROLE.to_owned();
    let own = runbook.roles.contains_key(ROLE).then(|| ROLE.to_owned());
    own.into_iter().chain([lead]).collect()
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
        let rotations = self.roster.rotations;
        let all = join_all(rotations.keys().map(|name| self.standing(name))).await;
        let all = all.into_iter().collect::<Result<Vec<_>, _>>()?;
        let orphans: Vec<&Override> = orphans(rotations, self.roster.overrides).collect();
        let card = oncall_card::list(&all, &orphans, self.context.lang);
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
        // Of the past, what was overridden then counts too.
        let overrides = self.context.engine.oncall_overrides(from_ms.min(self.now_ms)).await?;
        let roster = Roster { overrides: &overrides, ..self.roster };
        let all = roster.schedule(&name, from_ms, until_ms);
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
        // Slack took its time: somebody else may have changed something meanwhile.
        let overrides = self.context.engine.oncall_overrides(self.now_ms).await?;
        let roster = Roster { overrides: &overrides, ..self.roster };
        let mut why = NoSwap::NoTurns;
        let mut found = None;
        for name in roster.rotations.keys().filter(named) {
            let within = when.map(|when| self.day_of(when, name));
            if within.is_some_and(|(first_ms, _)| first_ms > self.now_ms + AHEAD_MS_MAX) {
                return self.refused(&wrong_beginning(), "times", asked).await;
            }
            match roster.swap(name, (&from, &with), within, self.now_ms) {
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
        if let Some(words) = self.no_room(name).await? {
            return self.refused(&words, "too_many", asked).await;
        }
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
        // A day is meant with all of its hours that are still to come.
        let from_ms = match from {
            When::Day(first, next) if next.at_ms(rotation.zone) > self.now_ms => {
                first.at_ms(rotation.zone).max(self.now_ms)
            }
            from => self.at_ms(from, rotation, self.now_ms),
        };
        let until_ms = match until {
            When::Day(_, next) => next.at_ms(rotation.zone),
            until => self.at_ms(until, rotation, from_ms),
        };
        if let Some(words) = times_fault((from_ms, until_ms), self.now_ms) {
            return self.refused(&words, "times", asked).await;
        }
        if let Some(words) = self.speaks_against(&user).await {
            return self.refused(&words, "no_full_member", asked).await;
        }
        if let Some(words) = self.no_room(&name).await? {
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
        // What was changed in a rotation that is no more can be ended too.
        let is_known = self.roster.rotations.contains_key(&name)
            || self.roster.overrides.iter().any(|one| one.rotation == name);
        if !is_known {
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

    /// Why nothing more can be changed in a rotation.
    async fn no_room(&self, rotation: &str) -> Result<Option<Text>, Error> {
        let is_full = self.context.engine.open_overrides(rotation).await? >= OPEN_OVERRIDES_MAX;
        Ok(is_full.then(|| {
            Text::new(
                "这个轮值的调整太多了，什么也没有改变。请先结束一些：`/neostock oncall override end …`",
                "Too much is changed in this rotation already; nothing was done. End some first: \
                 `/neostock oncall override end …`",
            )
        }))
    }

    /// A rotation now, with what Slack says now of those whom an alert would mention.
    async fn standing(&self, name: &str) -> Result<Standing, Error> {
        ask_about(self.context.powers, self.roster.line_up(name, self.now_ms)).await;
        let engine = self.context.engine;
        let called = engine.on_call(&engine.alerting(), name, self.now_ms).await?;
        Ok(seen(self.roster, name, self.now_ms, called))
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

/// Asks Slack about those whom an alert would mention, until one can answer: what it says is kept, and whoever
/// escalates an alert reads it.
pub async fn ask_about(powers: &Powers<'_>, line_up: Vec<String>) {
    for id in line_up.iter().take(ASKED_MAX) {
        // A Slack that does not answer is not asked about the next one: somebody waits for this.
        if powers.can_answer(id).await != Some(false) {
            return;
        }
    }
}

/// A rotation at a moment, where it is known who is mentioned.
pub fn seen(roster: Roster<'_>, name: &str, now_ms: i64, called: Called) -> Standing {
    let duty = roster.duty(name, now_ms);
    let by = duty.as_ref().and_then(|duty| duty.by_override.as_ref());
    let by = by.and_then(|id| roster.overrides.iter().find(|one| one.id == *id)).cloned();
    let next = roster.next_change_ms(name, now_ms);
    let next = next.and_then(|at_ms| Some((at_ms, roster.duty(name, at_ms)?.id)));
    let instead = duty.map(|duty| duty.rotation).filter(|other| other != name);
    Standing { name: name.to_owned(), called, instead, by, next }
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

fn wrong_beginning() -> Text {
    Text::new(
        "开始的时间已经过去，或太远；马上开始请写 `now`。什么也没有改变。",
        "It would begin in the past, or too far from now; write `now` to begin at once. Nothing was changed.",
    )
}

fn times_fault((from_ms, until_ms): (i64, i64), now_ms: i64) -> Option<Text> {
    if until_ms <= from_ms {
        return Some(Text::new(
            "结束不晚于开始，什么也没有改变。",
            "It would end before it begins; nothing was changed.",
        ));
    }
    if from_ms < now_ms - LATE_MS_MAX || from_ms > now_ms + AHEAD_MS_MAX {
        return Some(wrong_beginning());
    }
    if until_ms - from_ms > OVERRIDE_MS_MAX {
        return Some(Text::new(
            "一次最多调整 92 天；更久请修改告警配置。什么也没有改变。",
            "At most 92 days at once; for longer, change the alerting configuration. Nothing was changed.",
        ));
    }
    None
}
