//! Emergencies: what was done without its gates is reviewed afterwards, and people are reminded until it is.

use super::requests::{request_entry, stored_answer};
use super::{Asked, Engine, Error, Facts, PRIORITY_THREAD, apply_in, bot_entry, put_slot, view};
use crate::core::emergency::{self, Refused, may_review};
use crate::core::id::RunId;
use crate::core::policy::Authorized;
use crate::core::run_card::RunView;
use crate::store::{Unit, deliveries, reviews, runs};
use serde_json::json;
use std::sync::Arc;

/// When people are reminded of an emergency that nobody has reviewed, counted from its request; then every
/// day, until somebody does.
const REMINDERS_MIN: [i64; 3] = [30, 2 * 60, 8 * 60];
/// Between two reminders after those.
const REMINDER_DAILY_MIN: i64 = 24 * 60;
/// Runs of which people are reminded in one look.
const REMINDED_MAX: i64 = 100;
/// Open reviews that `status` lists.
const OPEN_MAX: i64 = 20;

/// What somebody found, and how what came of it is said to them.
pub struct Reviewed {
    /// The digest of the plan that was shown; `None`: typed, and means the run's own.
    pub digest: Option<String>,
    /// What they wrote.
    pub note: String,
    /// The answer, by what came of it.
    pub answer: Answer,
}

/// Says what came of a review.
type Answer = Box<dyn Fn(Result<(), Refused>, &RunView) -> String + Send + Sync>;

impl Engine {
    /// Writes a review, if it counts, with its answer.
    ///
    /// # Errors
    /// The database's, or [`Error::NoSuchRun`]; then nothing is written.
    pub async fn review(
        &self,
        asked: Asked,
        by: &Authorized,
        run: &RunId,
        reviewed: Reviewed,
    ) -> Result<String, Error> {
        let wish = Arc::new((asked, by.clone(), run.clone(), reviewed));
        let answer = self
            .patiently(|| {
                let wish = Arc::clone(&wish);
                self.store.unit(move |unit| Box::pin(async move { review_in(unit, &wish).await }))
            })
            .await?;
        self.mail.notify_one();
        Ok(answer)
    }

    /// The emergencies that nobody has reviewed yet, the oldest first.
    ///
    /// # Errors
    /// The database's.
    pub async fn open_reviews(&self) -> Result<Vec<RunView>, Error> {
        let mut reader = self.store.read().await?;
        let mut open = Vec::new();
        for id in reviews::open(&mut reader, OPEN_MAX).await? {
            let row = view::row(&mut reader, &RunId::new(id)).await?;
            open.push(view::with_parts(&mut reader, row).await?);
        }
        Ok(open)
    }

    /// Reminds people of emergencies that nobody has reviewed, as far as that is due; how many reminders.
    ///
    /// # Errors
    /// The database's; those before the failure are written.
    pub async fn remind_of_reviews(&self) -> Result<u64, Error> {
        let mut reader = self.store.read().await?;
        let due = reviews::reminders_due(&mut reader, self.clock().now_ms(), REMINDED_MAX).await?;
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
pub(super) async fn fill(
    connection: &mut sqlx::AnyConnection,
    run: &mut RunView,
) -> Result<(), Error> {
    if run.plan.emergency.is_some() {
        let row = reviews::of_run(connection, run.id.as_str()).await?;
        run.review = row.filter(|row| row.at_ms > 0).map(|row| emergency::Review {
            by: crate::core::id::UserId::new(row.user_id),
            note: row.note,
            at_ms: row.at_ms,
        });
    }
    Ok(())
}

/// Notes that a new run is an emergency, in the transaction of its request.
pub(super) async fn begin(unit: &mut Unit, asked: &Asked, run: &RunView) -> Result<(), Error> {
    let Some(emergency) = &run.plan.emergency else { return Ok(()) };
    let now_ms = unit.now_ms();
    let due_ms = now_ms + next_reminder_ms(0);
    reviews::begin(unit.connection(), run.id.as_str(), (now_ms, due_ms)).await?;
    let detail = json!({
        "text": asked.text, "role": emergency.role, "review": emergency.review,
        "reason": run.plan.reason(), "without": emergency.without,
        "without_checklist": emergency.without_checklist, "digest": run.plan.digest(),
    });
    unit.journal(request_entry(asked, "emergency.used", run.id.as_str(), detail, now_ms));
    Ok(())
}

async fn review_in(
    unit: &mut Unit,
    (asked, by, run, reviewed): &(Asked, Authorized, RunId, Reviewed),
) -> Result<String, Error> {
    if !runs::hold_whoever_drives(unit.connection(), run.as_str()).await? {
        return Err(Error::NoSuchRun(run.clone()));
    }
    let row = view::row(unit.connection(), run).await?;
    let before = view::with_parts(unit.connection(), row).await?;
    let ruling = may_review(&before, by, reviewed.digest.as_deref());
    let answer = (reviewed.answer)(ruling, &before);
    if !deliveries::insert_once(unit, &asked.delivery, &answer).await? {
        return stored_answer(unit, &asked.delivery).await;
    }
    let now_ms = unit.now_ms();
    if let Err(refused) = ruling {
        let detail = json!({
            "text": asked.text, "why": refused.as_str(), "state": before.state.as_str(),
        });
        unit.journal(request_entry(asked, "review.refused", run.as_str(), detail, now_ms));
        return Ok(answer);
    }
    let (note, role) = (&reviewed.note, by.role());
    reviews::end(unit.connection(), run.as_str(), (asked.actor.as_str(), role, note), now_ms)
        .await?;
    let mut detail = json!({"text": asked.text, "role": role, "note": note});
    if let Some(holder) = by.on_behalf() {
        detail["on_behalf"] = json!(holder.as_str());
    }
    unit.journal(request_entry(asked, "emergency.reviewed", run.as_str(), detail, now_ms));
    let after = apply_in(unit, run, &[], Facts::default()).await?;
    if let Some(review) = &after.review {
        let card = emergency::reviewed_card(&after, review, after.plan.language);
        put_slot(unit, &after, format!("{run}/reviewed"), PRIORITY_THREAD, &card).await?;
    }
    Ok(answer)
}

/// From the reminder of this number, or from the request, to the next.
fn next_reminder_ms(sent: i64) -> i64 {
    let at = |number: i64| usize::try_from(number).ok().and_then(|at| REMINDERS_MIN.get(at));
    let minutes = match at(sent) {
        Some(next) => next - at(sent - 1).copied().unwrap_or(0),
        None => REMINDER_DAILY_MIN,
    };
    minutes * 60_000
}

/// Whether it did: another bot may have done it, or somebody reviewed it.
async fn remind_in(unit: &mut Unit, run: &RunId) -> Result<bool, Error> {
    runs::hold_whoever_drives(unit.connection(), run.as_str()).await?;
    let now_ms = unit.now_ms();
    let Some(review) = reviews::of_run(unit.connection(), run.as_str()).await? else {
        return Ok(false);
    };
    if review.at_ms > 0 || review.due_ms > now_ms {
        return Ok(false);
    }
    let row = view::row(unit.connection(), run).await?;
    let view = view::with_parts(unit.connection(), row).await?;
    // While it goes on there is nothing to judge: its card is red all the same.
    let number = if view.state.is_final() { review.sent + 1 } else { review.sent };
    // From now on, not from when it was due: a bot that was away says it once.
    let next_ms = now_ms + next_reminder_ms(number);
    reviews::remind_again(unit.connection(), run.as_str(), (next_ms, number)).await?;
    if number == review.sent {
        return Ok(false);
    }
    let card = emergency::reminder_card(&view, review.created_ms, view.plan.language);
    let key = format!("{run}/review.{number}");
    put_slot(unit, &view, key, PRIORITY_THREAD, &card).await?;
    let detail = json!({"number": number, "waited_ms": now_ms - review.created_ms});
    unit.journal(bot_entry(now_ms, "emergency.reminded", run.as_str(), detail));
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_are_reminded_after_half_an_hour_two_hours_eight_hours_and_then_daily() {
        let mut at = 0;
        let mut minutes = Vec::new();
        for sent in 0..5 {
            at += next_reminder_ms(sent) / 60_000;
            minutes.push(at);
        }
        assert_eq!(minutes, [30, 120, 480, 480 + 1_440, 480 + 2_880]);
    }
}
