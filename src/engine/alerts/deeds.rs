//! What people want of an alert, by a command, a button, or PagerDuty: each happens once, and only to the
//! alert as they saw it.

use super::super::requests::{request_entry, stored_answer};
use super::super::silences;
use super::super::{Asked, Engine, Error};
use super::{By, Held, InForce, rows, view};
use crate::core::alert::{Condition, Event, Level};
use crate::core::alert_card::AlertView;
use crate::core::id::AlertId;
use crate::core::policy::Authorized;
use crate::store::{Unit, deliveries};
use serde_json::json;
use std::sync::Arc;

/// People of level 3 who were called so lately are not called again.
const CALLED_AGAIN_MS: i64 = 30_000;

/// What was done elsewhere before people were last called is no answer to that call; clocks there and here
/// differ by so much.
const SKEW_MS: i64 = 60_000;

/// What a person wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AlertWish {
    /// To take it, or to say that they still have it.
    Acknowledge,
    /// To give it back.
    GiveBack,
    /// That it is over.
    Resolve,
    /// That nobody is told until then.
    Silence {
        /// When it ends.
        until_ms: i64,
    },
    /// That a silence ends now.
    Unsilence,
    /// The next level at once.
    Escalate,
}

/// A wish, as it was made.
pub struct Wanted {
    /// What.
    pub wish: AlertWish,
    /// What they said of it; may be empty.
    pub reason: String,
    /// What people outside Slack call them; empty: not known.
    pub name: String,
    /// How often it had come back, and its level, as it was shown; `None`: typed, and means it as it is.
    pub seen: Option<(u32, Level)>,
    /// The highest level of which they may silence an alert.
    pub silences_up_to: Level,
    /// What they read.
    pub answer: Box<dyn Fn(&Wished) -> String + Send + Sync>,
}

/// What became of a wish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wished {
    /// It was done.
    Done(Box<AlertView>),
    /// It was so already.
    Already(Box<AlertView>),
    /// The alert is over.
    Over(Box<AlertView>),
    /// It is another than was shown: it came back, or its level changed.
    Changed(Box<AlertView>),
    /// There is no such alert.
    NoSuch,
}

/// What became of what PagerDuty said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard {
    /// It was taken in.
    Taken,
    /// It changes nothing, was heard before, or is about no alert of ours.
    Nothing,
}

impl AlertWish {
    fn event(&self, actor: &str) -> Event {
        match self {
            Self::Acknowledge => Event::Acknowledged { by: actor.to_owned() },
            Self::GiveBack => Event::Unacknowledged,
            Self::Resolve => Event::Resolved,
            Self::Silence { until_ms } => Event::Silenced { until_ms: *until_ms },
            Self::Unsilence => Event::Unsilenced,
            Self::Escalate => Event::Escalated,
        }
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Acknowledge => "acknowledge",
            Self::GiveBack => "give_back",
            Self::Resolve => "resolve",
            Self::Silence { .. } => "silence",
            Self::Unsilence => "unsilence",
            Self::Escalate => "escalate",
        }
    }
}

impl Engine {
    /// Does what a person wants of an alert, and answers. The same delivery twice does nothing more.
    ///
    /// # Errors
    /// The database's; then nothing is written and the asker must be told so.
    pub async fn alert_event(
        &self,
        asked: Asked,
        by: &Authorized,
        id: &AlertId,
        wanted: Wanted,
    ) -> Result<String, Error> {
        let in_force = self.terms_now();
        let wish = Arc::new((asked, by.role().to_owned(), id.clone(), wanted));
        let answer = self
            .patiently(|| {
                let (wish, in_force) = (Arc::clone(&wish), in_force.clone());
                self.store().unit(move |unit| {
                    Box::pin(async move { wish_in(unit, &wish, &in_force).await })
                })
            })
            .await?;
        self.mail.notify_one();
        self.alarms.notify_one();
        Ok(answer)
    }

    /// Takes in what was done to an alert outside Slack: by whom, and when. `delivery` names it for ever: it
    /// happens once. What comes so late that people were called anew since changes nothing.
    ///
    /// # Errors
    /// The database's; then it can be said again.
    pub async fn hear_of_alert(
        &self,
        delivery: &str,
        id: &AlertId,
        event: Event,
        (by, at_ms): (&str, i64),
    ) -> Result<Heard, Error> {
        let in_force = self.terms_now();
        let said = Arc::new((delivery.to_owned(), id.clone(), event, (by.to_owned(), at_ms)));
        let heard = self
            .patiently(|| {
                let (said, in_force) = (Arc::clone(&said), in_force.clone());
                self.store().unit(move |unit| {
                    Box::pin(async move { hear_in(unit, &said, &in_force).await })
                })
            })
            .await?;
        self.mail.notify_one();
        self.alarms.notify_one();
        Ok(heard)
    }
}

async fn wish_in(
    unit: &mut Unit,
    (asked, role, id, wanted): &(Asked, String, AlertId, Wanted),
    in_force: &InForce,
) -> Result<String, Error> {
    let answered = deliveries::answer_of(unit.connection(), &asked.delivery).await?;
    if let Some(answered) = answered {
        return Ok(answered);
    }
    let outcome = match rows::hold(unit.connection(), id.as_str()).await? {
        None => Wished::NoSuch,
        Some(row) => done(unit, Held::of(row)?, (asked, wanted), in_force).await?,
    };
    let answer = (wanted.answer)(&outcome);
    if !deliveries::insert_once(unit, &asked.delivery, &answer).await? {
        return stored_answer(unit, &asked.delivery).await;
    }
    let why = match outcome {
        Wished::Done(_) => return Ok(answer),
        Wished::Already(_) => "already",
        Wished::Over(_) => "over",
        Wished::Changed(_) => "changed",
        Wished::NoSuch => "no_such_alert",
    };
    let detail = json!({
        "text": asked.text, "role": role, "why": why, "wish": wanted.wish.name(),
    });
    let now_ms = unit.now_ms();
    unit.journal(request_entry(asked, "request.refused", id.as_str(), detail, now_ms));
    Ok(answer)
}

async fn done(
    unit: &mut Unit,
    mut held: Held,
    (asked, wanted): (&Asked, &Wanted),
    in_force: &InForce,
) -> Result<Wished, Error> {
    let condition = held.condition.clone();
    let shown = Box::new(view(unit.connection(), &held.row).await?);
    if condition.is_over() {
        return Ok(Wished::Over(shown));
    }
    let is_other = wanted.seen.is_some_and(|(returns, level)| {
        returns != condition.returns
            || (wanted.wish == AlertWish::Escalate && level != condition.level)
    });
    // It may have become worse since they were let in.
    let is_silence = matches!(wanted.wish, AlertWish::Silence { .. });
    if is_other || (is_silence && condition.level > wanted.silences_up_to) {
        return Ok(Wished::Changed(shown));
    }
    if is_so(&condition, &wanted.wish, asked.actor.as_str(), unit.now_ms()) {
        return Ok(Wished::Already(shown));
    }
    let by = By {
        actor: asked.actor.as_str(),
        name: wanted.name.as_str(),
        origin: asked.origin,
        reason: wanted.reason.as_str(),
    };
    let mut event = wanted.wish.event(by.actor);
    match &mut event {
        Event::Silenced { until_ms } => {
            *until_ms = silences::keep_of_alert(unit, held.named(), *until_ms, &by).await?;
        }
        Event::Unsilenced | Event::Escalated => {
            let all = silences::now(unit).await?;
            silences::end_of_alert(unit, &all, &held.first, &by).await?;
        }
        _ => {}
    }
    if held.take(unit, &event, &by, in_force).await?.is_err() {
        return Ok(Wished::Over(shown));
    }
    if matches!(wanted.wish, AlertWish::Resolve) {
        held.end_by_hand(unit, in_force).await?;
    }
    held.refresh(unit, in_force).await?;
    Ok(Wished::Done(Box::new(view(unit.connection(), &held.row).await?)))
}

/// Whether it is as somebody wants it: the second press of a double click.
fn is_so(condition: &Condition, wish: &AlertWish, actor: &str, now_ms: i64) -> bool {
    match wish {
        AlertWish::Acknowledge => {
            let is_theirs = condition.acknowledged.as_ref().is_some_and(|(by, _)| by == actor);
            is_theirs && !condition.is_reminded
        }
        AlertWish::GiveBack => condition.acknowledged.is_none(),
        AlertWish::Unsilence => condition.silenced_until_ms == 0,
        AlertWish::Silence { until_ms } => condition.silenced_until_ms == *until_ms,
        // There is no level above: called once more is called twice by a double click.
        AlertWish::Escalate => {
            let is_highest = condition.level == Level::Critical;
            is_highest && now_ms - condition.since_ms < CALLED_AGAIN_MS
        }
        AlertWish::Resolve => false,
    }
}

async fn hear_in(
    unit: &mut Unit,
    (delivery, id, event, (by, at_ms)): &(String, AlertId, Event, (String, i64)),
    in_force: &InForce,
) -> Result<Heard, Error> {
    if !deliveries::insert_once(unit, delivery, "").await? {
        return Ok(Heard::Nothing);
    }
    let Some(row) = rows::hold(unit.connection(), id.as_str()).await? else {
        return Ok(Heard::Nothing);
    };
    let mut held = Held::of(row)?;
    let before = held.condition.clone();
    if at_ms.saturating_add(SKEW_MS) < before.since_ms {
        return Ok(Heard::Nothing);
    }
    let by = By { actor: by, name: "", origin: by, reason: "" };
    if held.take(unit, event, &by, in_force).await?.is_err() || held.condition == before {
        return Ok(Heard::Nothing);
    }
    if *event == Event::Resolved {
        held.end_by_hand(unit, in_force).await?;
    }
    held.refresh(unit, in_force).await?;
    Ok(Heard::Taken)
}

impl Held {
    /// What is told from outside may have been forgotten there, and then nobody ever says that it is over:
    /// a person's word ends it, and whoever says again that it fires opens it again. What the bot measures
    /// itself is over when the measure is.
    async fn end_by_hand(&mut self, unit: &mut Unit, in_force: &InForce) -> Result<(), Error> {
        if self.first.is_from_outside() {
            let now_ms = unit.now_ms();
            rows::end_instances(unit.connection(), &self.row.id, now_ms).await?;
            let _ = self.take(unit, &Event::Cleared, &By::BOT, in_force).await?;
        }
        Ok(())
    }
}
