//! The turn of a run: its place in the queue, the gate that is asked once more, the environment's lock
//! that a lead takes over, and the reminders that somebody has to decide.

use super::requests::{request_entry, stored_answer};
use super::{
    Asked, Driven, Engine, Error, Facts, PRIORITY_THREAD, apply_in, bot_entry, hold, put_slot, view,
};
use crate::core::action::Lock;
use crate::core::decision::Verdict;
use crate::core::evidence::{End, Evidence};
use crate::core::gate;
use crate::core::id::{RunId, UserId};
use crate::core::policy::Authorized;
use crate::core::queue_card::{self, AHEAD_NAMED_MAX, Holder, Queue, TakenOver};
use crate::core::run::{Event, IllegalEvent, Progress, State, StepState};
use crate::core::run_card::{self, RunView};
use crate::store::outbox::is_written;
use crate::store::queue::{self, TakeoverRow};
use crate::store::{Unit, checks, deliveries, runs};
use serde_json::json;
use sqlx::AnyConnection;
use std::sync::Arc;

/// Cards of queued runs that are kept up to date; the runs behind them learn their place later.
const CARDS_KEPT_MAX: i64 = 50;
/// Runs ahead that are counted for a place.
const AHEAD_COUNTED_MAX: i64 = 1_000;
/// Runs of an action that wait, among which one can be superseded.
const NOT_BEGUN_MAX: i64 = 10;
/// When people are reminded of a run that needs attention, counted from the moment it does; then every
/// hour, after a day once a day, until somebody decides.
const REMINDERS_MIN: [i64; 3] = [5, 15, 30];
/// Between two reminders after those.
const REMINDER_EVERY_MIN: i64 = 60;
/// So many reminders are about a day of them …
const REMINDERS_OF_A_DAY: i64 = 27;
/// … and between two after that.
const REMINDER_DAILY_MIN: i64 = 24 * 60;
/// Runs of which people are reminded in one look.
const REMINDED_MAX: i64 = 100;

/// What came of the wish to take an environment over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Takeover {
    /// It is free for the next run.
    Done,
    /// Nobody holds it.
    Free,
    /// Another run holds it than the one that was looked at.
    ChangedHands,
    /// The run that holds it does not wait for a person.
    Holds(State),
}

/// Says what came of it.
pub type TakeoverAnswer = Box<dyn Fn(&Takeover) -> String + Send + Sync>;

impl Engine {
    /// Brings the cards of queued runs up to date where what they wait for has changed; how many. One
    /// edit a run and change, whoever of several bots is quicker.
    ///
    /// # Errors
    /// The database's; those before the failure are up to date.
    pub async fn show_queue(&self) -> Result<u64, Error> {
        let mut stale = Vec::new();
        let mut reader = self.store.read().await?;
        for (id, shown) in queue::queued(&mut reader, CARDS_KEPT_MAX).await? {
            let run = RunId::new(id);
            if spelled(&mut reader, &run).await?.is_some_and(|now| now != shown) {
                stale.push(run);
            }
        }
        drop(reader);
        let mut edited = 0;
        for run in stale {
            let is_edited = self
                .patiently(|| {
                    let run = run.clone();
                    self.store.unit(move |unit| Box::pin(async move { show_in(unit, &run).await }))
                })
                .await?;
            edited += u64::from(is_edited);
        }
        if edited > 0 {
            self.mail.notify_one();
        }
        Ok(edited)
    }

    /// The run that holds an environment as it stands, and since when.
    ///
    /// # Errors
    /// The database's.
    pub async fn holder(&self, environment: &str) -> Result<Option<(RunView, i64)>, Error> {
        let mut reader = self.store.read().await?;
        let Some((id, since_ms)) = queue::holder(&mut reader, environment).await? else {
            return Ok(None);
        };
        let row = view::row(&mut reader, &RunId::new(id)).await?;
        Ok(Some((view::with_parts(&mut reader, row).await?, since_ms)))
    }

    /// The runs of an action that have not begun in an environment, the oldest first.
    ///
    /// # Errors
    /// The database's.
    pub async fn not_begun(&self, action: &str, environment: &str) -> Result<Vec<RunView>, Error> {
        let mut reader = self.store.read().await?;
        let found = queue::not_begun(&mut reader, (action, environment), NOT_BEGUN_MAX).await?;
        let mut views = Vec::with_capacity(found.len());
        for id in found {
            let row = view::row(&mut reader, &RunId::new(id)).await?;
            views.push(view::with_parts(&mut reader, row).await?);
        }
        Ok(views)
    }

    /// Says, once, that nobody could be asked whether the gate of a run still holds.
    ///
    /// # Errors
    /// [`Error::Fenced`]: stop driving.
    pub async fn gate_unasked(&self, driven: &Driven) -> Result<(), Error> {
        self.patiently(|| {
            let driven = driven.clone();
            let lease_ms = self.identity.lease_ms;
            self.store.unit(move |unit| {
                Box::pin(async move {
                    let run = &driven.run;
                    hold(unit, &driven, lease_ms).await?;
                    let row = view::row(unit.connection(), run).await?;
                    let view = view::with_parts(unit.connection(), row).await?;
                    let key = format!("{run}/unasked.{}", view.voided.len());
                    if is_written(unit.connection(), &key).await? {
                        return Ok(());
                    }
                    let card = queue_card::unasked_card(&view, view.plan.language);
                    put_slot(unit, &view, key, PRIORITY_THREAD, &card).await?;
                    let detail = json!({"why": "unavailable"});
                    let now_ms = unit.now_ms();
                    unit.journal(bot_entry(now_ms, "run.gate_unasked", run.as_str(), detail));
                    Ok(())
                })
            })
        })
        .await?;
        self.mail.notify_one();
        Ok(())
    }

    /// Takes an environment from the run that was looked at and needs attention; the answer.
    ///
    /// # Errors
    /// The database's; then nothing is written.
    pub async fn take_over(
        &self,
        asked: Asked,
        by: &Authorized,
        (environment, run): (&str, &RunId),
        reason: String,
        answer: TakeoverAnswer,
    ) -> Result<String, Error> {
        let role = by.role().to_owned();
        let wish = Arc::new((asked, role, environment.to_owned(), run.clone(), reason, answer));
        let said = self
            .patiently(|| {
                let wish = Arc::clone(&wish);
                self.store
                    .unit(move |unit| Box::pin(async move { take_over_in(unit, &wish).await }))
            })
            .await?;
        self.work.notify_one();
        self.mail.notify_one();
        Ok(said)
    }

    /// Reminds people of runs that need attention, as far as that is due; how many reminders.
    ///
    /// # Errors
    /// The database's; those before the failure are written.
    pub async fn remind(&self) -> Result<u64, Error> {
        let mut reader = self.store.read().await?;
        let now_ms = self.clock().now_ms();
        let due = queue::reminders_due(&mut reader, now_ms, REMINDED_MAX).await?;
        drop(reader);
        let mut reminded = 0;
        for id in due {
            let run = RunId::new(id);
            let is_reminded = self
                .patiently(|| {
                    let run = run.clone();
                    self.store
                        .unit(move |unit| Box::pin(async move { remind_in(unit, &run).await }))
                })
                .await?;
            reminded += u64::from(is_reminded);
        }
        if reminded > 0 {
            self.mail.notify_one();
        }
        Ok(reminded)
    }
}

/// Fills in what a run's own rows do not say.
pub(super) async fn fill(connection: &mut AnyConnection, run: &mut RunView) -> Result<(), Error> {
    if run.plan.approval.is_some() {
        let voided = queue::voided_of(connection, run.id.as_str()).await?;
        run.voided = voided.into_iter().map(|row| view::decision(row, Verdict::Approved)).collect();
    }
    if run.plan.lock == Lock::None {
        return Ok(());
    }
    if !matches!(run.state, State::Waiting | State::Queued) {
        let taken = queue::takeover_of(connection, run.id.as_str()).await?;
        run.taken_over = taken.map(|row| TakenOver {
            by: UserId::new(row.user_id),
            reason: row.reason,
            at_ms: row.at_ms,
        });
    }
    if run.state == State::Queued {
        run.queue = place(connection, run).await?;
    }
    Ok(())
}

/// What a queued run waits for; `None`: for nobody.
async fn place(connection: &mut AnyConnection, run: &RunView) -> Result<Option<Queue>, Error> {
    let environment = run.plan.environment.as_str();
    let holder = match queue::holder(connection, environment).await? {
        // It was handed the environment.
        Some((id, _)) if id == run.id.as_str() => return Ok(None),
        Some((id, since_ms)) => {
            let id = RunId::new(id);
            let row = view::row(connection, &id).await?;
            let steps = runs::steps_of(connection, id.as_str()).await?;
            Some(Holder::of(&view::assemble(&id, row, &steps, &[])?, since_ms))
        }
        None => None,
    };
    let at = (environment, run.id.as_str(), run.created_ms);
    let before = queue::ahead_of(connection, at, AHEAD_COUNTED_MAX).await?;
    if holder.is_none() && before.is_empty() {
        return Ok(None);
    }
    let mut ahead = Vec::new();
    for id in before.iter().take(AHEAD_NAMED_MAX) {
        let id = RunId::new(id.clone());
        let row = view::row(connection, &id).await?;
        let title = view::plan(&id, &row)?.title();
        ahead.push((id, title));
    }
    Ok(Some(Queue { place: before.len() + 1, holder, ahead }))
}

/// What a queued run's card is to say, as it is compared; `None`: it is queued no more.
async fn spelled(connection: &mut AnyConnection, run: &RunId) -> Result<Option<String>, Error> {
    let row = view::row(connection, run).await?;
    if row.state != State::Queued.as_str() {
        return Ok(None);
    }
    let view = view::with_parts(connection, row).await?;
    Ok(Some(spell(&view)))
}

fn spell(run: &RunView) -> String {
    run.queue
        .as_ref()
        .map_or_else(String::new, |queue| serde_json::to_string(queue).unwrap_or_default())
}

/// Whether the card was written anew.
async fn show_in(unit: &mut Unit, run: &RunId) -> Result<bool, Error> {
    // Held, so that nobody writes the card of another state meanwhile.
    if !queue::hold_queued(unit.connection(), run.as_str()).await? {
        return Ok(false);
    }
    let row = view::row(unit.connection(), run).await?;
    let view = view::with_parts(unit.connection(), row).await?;
    let now = spell(&view);
    let shown = queue::shown_of(unit.connection(), run.as_str()).await?.unwrap_or_default();
    if now == shown {
        return Ok(false);
    }
    queue::put_shown(unit.connection(), run.as_str(), &now).await?;
    let lang = view.plan.language;
    let card = run_card::card(&view, lang, unit.now_ms());
    put_slot(unit, &view, super::card_key(run), super::PRIORITY_CARD, &card).await?;
    Ok(true)
}

/// A run that had to wait begins: its asker is told.
pub(super) async fn its_turn(unit: &mut Unit, run: &RunView) -> Result<(), Error> {
    if !queue::forget_shown(unit.connection(), run.id.as_str()).await? {
        return Ok(());
    }
    let card = queue_card::turn_card(run, run.plan.language);
    // Its turn comes again when its gate was voided at the first.
    let key = format!("{}/turn.{}", run.id, run.voided.len());
    put_slot(unit, run, key, PRIORITY_THREAD, &card).await
}

pub(super) async fn set_aside(unit: &mut Unit, run: &RunId, who: &[UserId]) -> Result<(), Error> {
    let row = view::row(unit.connection(), run).await?;
    let plan = view::plan(run, &row)?;
    let now_ms = unit.now_ms();
    for user in who {
        queue::void_approval(unit.connection(), run.as_str(), user.as_str(), now_ms).await?;
        checks::void_ticks(unit.connection(), run.as_str(), user.as_str()).await?;
    }
    let expires_ms = gate::expires_ms(&plan, now_ms);
    let host = plan.host.unwrap_or_default();
    queue::wait_again(unit.connection(), run.as_str(), (expires_ms, &host)).await?;
    let names: Vec<&str> = who.iter().map(UserId::as_str).collect();
    let facts = Facts { detail: json!({"approvals": names}), ..Facts::default() };
    let after = apply_in(unit, run, &[Event::GateVoided], facts).await?;
    let card = queue_card::voided_card(&after, who, after.plan.language);
    let key = format!("{run}/voided.{now_ms}");
    put_slot(unit, &after, key, PRIORITY_THREAD, &card).await
}

type Wish = (Asked, String, String, RunId, String, TakeoverAnswer);

async fn take_over_in(unit: &mut Unit, wish: &Wish) -> Result<String, Error> {
    let (asked, role, environment, run, reason, answer) = wish;
    // Raises the fence: whoever settles at this moment comes before or after, not between.
    let now_ms = unit.now_ms();
    let is_waiting = runs::hold_for_a_person(unit.connection(), run.as_str(), now_ms).await?;
    let row = view::row(unit.connection(), run).await?;
    let holder = queue::holder(unit.connection(), environment).await?;
    let taken = TakeoverRow {
        user_id: asked.actor.to_string(),
        role: role.clone(),
        reason: reason.clone(),
        at_ms: now_ms,
    };
    let outcome = match &holder {
        None => Takeover::Free,
        Some((id, _)) if id != run.as_str() => Takeover::ChangedHands,
        Some(_) if !is_waiting => {
            let corrupt = || Error::Corrupt { run: run.clone(), what: row.state.clone() };
            Takeover::Holds(State::parse(&row.state).ok_or_else(corrupt)?)
        }
        Some(_) => Takeover::Done,
    };
    let said = answer(&outcome);
    if !deliveries::insert_once(unit, &asked.delivery, &said).await? {
        return stored_answer(unit, &asked.delivery).await;
    }
    if outcome != Takeover::Done {
        let detail = json!({"text": asked.text, "environment": environment, "role": role});
        unit.journal(request_entry(asked, "lock.refused", run.as_str(), detail, now_ms));
        return Ok(said);
    }
    queue::take_over(unit.connection(), (environment, run.as_str()), &taken).await?;
    let detail = json!({
        "text": asked.text, "environment": environment, "role": role, "reason": reason,
        "held_since_ms": holder.map_or(0, |(_, since_ms)| since_ms),
    });
    unit.journal(request_entry(asked, "lock.taken_over", run.as_str(), detail, now_ms));
    let after = apply_in(unit, run, &[], Facts::default()).await?;
    if let Some(card) = queue_card::takeover_card(&after, after.plan.language) {
        put_slot(unit, &after, format!("{run}/taken_over"), PRIORITY_THREAD, &card).await?;
    }
    Ok(said)
}

/// What happens to a run whose environment was taken over, after an event: it begins no step any more.
/// Ends what is left without doing it.
///
/// # Errors
/// None that the table has; a pair that it lacks is an error.
pub(super) fn wind_up(mut progress: Progress) -> Result<Progress, IllegalEvent> {
    while progress.state == State::Running && progress.step() == Some(StepState::Pending) {
        let event = match progress.outcome() {
            State::Succeeded => Event::CannotStart,
            _ => Event::StepSkipped,
        };
        progress = progress.after(event)?;
    }
    Ok(progress)
}

/// Why the step that would have been next was not begun.
pub(super) fn wound_up() -> Evidence {
    Evidence::of(End::NotStarted("the environment's lock was taken over".to_owned()))
}

/// Begins to remind people of a lost step.
pub(super) async fn begin_reminding(unit: &mut Unit, run: &RunId) -> Result<(), Error> {
    let due_ms = unit.now_ms() + next_reminder_ms(0);
    queue::put_reminder(unit.connection(), run.as_str(), (due_ms, 0)).await?;
    Ok(())
}

/// From the reminder of this number, or from the loss, to the next.
fn next_reminder_ms(sent: i64) -> i64 {
    let at = |number: i64| usize::try_from(number).ok().and_then(|at| REMINDERS_MIN.get(at));
    let minutes = match (at(sent), at(sent - 1)) {
        (Some(next), last) => next - last.copied().unwrap_or(0),
        (None, _) if sent < REMINDERS_OF_A_DAY => REMINDER_EVERY_MIN,
        (None, _) => REMINDER_DAILY_MIN,
    };
    minutes * 60_000
}

/// Whether it did: another bot may have done it, or somebody decided.
async fn remind_in(unit: &mut Unit, run: &RunId) -> Result<bool, Error> {
    runs::hold_whoever_drives(unit.connection(), run.as_str()).await?;
    let now_ms = unit.now_ms();
    let Some((due_ms, sent)) = queue::reminder_of(unit.connection(), run.as_str()).await? else {
        return Ok(false);
    };
    let row = view::row(unit.connection(), run).await?;
    if row.state != State::NeedsAttention.as_str() {
        queue::end_reminder(unit.connection(), run.as_str()).await?;
        return Ok(false);
    }
    if due_ms > now_ms {
        return Ok(false);
    }
    let number = sent + 1;
    // From now on, not from when it was due: a bot that was away says it once.
    let next_ms = now_ms + next_reminder_ms(number);
    queue::put_reminder(unit.connection(), run.as_str(), (next_ms, number)).await?;
    let view = view::with_parts(unit.connection(), row).await?;
    let lost = view.steps.iter().enumerate().find(|(_, step)| step.state == StepState::Unknown);
    let Some((position, step)) = lost else { return Ok(false) };
    let since_ms = lost_ms(due_ms, sent, now_ms);
    let lang = view.plan.language;
    let card = queue_card::reminder_card(&view, (number, since_ms), lang);
    let key = format!("{run}/reminder.{position}.{}.{number}", step.attempts);
    put_slot(unit, &view, key, PRIORITY_THREAD, &card).await?;
    let detail = json!({"number": number, "step": position + 1, "waited_ms": since_ms});
    unit.journal(bot_entry(now_ms, "run.reminded", run.as_str(), detail));
    Ok(true)
}

/// How long it has waited: what the reminders so far add up to, and what this one is late.
fn lost_ms(due_ms: i64, sent: i64, now_ms: i64) -> i64 {
    let planned: i64 = (0..=sent).map(next_reminder_ms).sum();
    planned + (now_ms - due_ms).max(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::run::Event as E;

    #[test]
    fn people_are_reminded_after_5_15_and_30_minutes_then_every_hour_and_after_a_day_daily() {
        let mut at = 0;
        let mut minutes = Vec::new();
        for sent in 0..5 {
            at += next_reminder_ms(sent) / 60_000;
            minutes.push(at);
        }
        assert_eq!(minutes, [5, 15, 30, 90, 150]);
        let hours = |sent| next_reminder_ms(sent) / 3_600_000;
        assert_eq!([hours(26), hours(27), hours(1_000)], [1, 24, 24]);
        assert_eq!(lost_ms(1_000, 2, 61_000), 31 * 60_000);
    }

    #[test]
    fn a_run_whose_lock_was_taken_over_begins_no_step_whatever_it_is_told() {
        for (event, outcome) in [
            (E::SettledOk, State::Failed),
            (E::SettledFailed, State::Failed),
            (E::StepOk, State::Failed),
            (E::StepTimedOut, State::TimedOut),
        ] {
            let lost = [E::GatesPassed, E::Claimed, E::Starting, E::Started, E::StepLost];
            let new = Progress::new(vec![false, false, true]);
            let lost = lost.iter().try_fold(new, |run, event| run.after(*event)).unwrap();

            let ended = wind_up(lost.after(event).unwrap()).unwrap();

            assert_eq!(ended.state, outcome, "{event:?}");
            assert_eq!(ended.steps[2], StepState::Skipped, "cleanup would run without the lock");
        }
    }
}
