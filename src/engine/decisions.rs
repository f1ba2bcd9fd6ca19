//! What people decide about a run, written down: approvals, rejections, cancellations, and the end of
//! requests that nobody answered.

use super::requests::{request_entry, stored_answer};
use super::{Asked, Engine, Error, Facts, PRIORITY_THREAD, apply_in, gates, put_slot, view};
use crate::core::decision::{Refused, Ruling, Standing, Verdict, Vote, rule};
use crate::core::decision_card::approved_card;
use crate::core::id::RunId;
use crate::core::policy::Authorized;
use crate::core::run::{Event, State, StepState};
use crate::core::run_card::RunView;
use crate::store::decisions::{self, DecisionRow};
use crate::store::{Unit, deliveries, runs};
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;

/// Requests that are ended in one look.
const OVERDUE_MAX: i64 = 100;
/// How often a run is looked at for a cancellation that another bot took.
const CANCEL_LOOK: Duration = Duration::from_millis(500);

/// What a person decides, and how the outcome is said to them.
pub struct Decided {
    /// What.
    pub verdict: Verdict,
    /// The digest of the plan that was shown; `None`: typed, and means the run's own.
    pub digest: Option<String>,
    /// Why; may be empty.
    pub reason: String,
    /// The answer, by what came of it and the run as it stood before.
    pub answer: Answer,
}

/// Says what came of a decision.
type Answer = Box<dyn Fn(Result<Ruling, Refused>, &RunView) -> String + Send + Sync>;

impl Engine {
    /// Writes a decision, if it counts, with its answer: everything is asked again here, in the
    /// transaction that it changes. The same delivery twice gets the stored answer and does nothing.
    ///
    /// # Errors
    /// The database's, or [`Error::NoSuchRun`]; then nothing is written.
    pub async fn decide(
        &self,
        asked: Asked,
        by: &Authorized,
        run: &RunId,
        decided: Decided,
    ) -> Result<String, Error> {
        let decided = Arc::new((asked, by.clone(), run.clone(), decided));
        let answer = self
            .patiently(|| {
                let decided = Arc::clone(&decided);
                self.store
                    .unit(move |unit| Box::pin(async move { decide_in(unit, &decided).await }))
            })
            .await?;
        self.work.notify_one();
        self.mail.notify_one();
        self.cancels.notify_waiters();
        Ok(answer)
    }

    /// Ends requests that nobody answered in time.
    ///
    /// # Errors
    /// The database's; those before the failure are ended.
    pub async fn expire_overdue(&self) -> Result<(), Error> {
        let mut reader = self.store.read().await?;
        let overdue = runs::overdue(&mut reader, self.clock().now_ms(), OVERDUE_MAX).await?;
        drop(reader);
        for id in overdue {
            let run = RunId::new(id);
            let has_expired = self
                .patiently(|| {
                    let run = run.clone();
                    self.store
                        .unit(move |unit| Box::pin(async move { expire_in(unit, &run).await }))
                })
                .await?;
            if has_expired {
                self.metrics.run_event("run.expired");
                self.mail.notify_one();
            }
        }
        Ok(())
    }

    /// Returns when somebody wants this run stopped; asks again twice a second, for the wish may have
    /// been taken by another bot.
    pub async fn cancel_asked(&self, run: &RunId) {
        loop {
            let rung = self.cancels.notified();
            let asked = async {
                let mut reader = self.store.read().await?;
                Ok::<_, Error>(decisions::is_cancel_asked(&mut reader, run.as_str()).await?)
            };
            // A database that is away for a moment is asked again.
            if asked.await.unwrap_or(false) {
                return;
            }
            _ = tokio::time::timeout(CANCEL_LOOK, rung).await;
        }
    }
}

async fn decide_in(
    unit: &mut Unit,
    (asked, by, run, decided): &(Asked, Authorized, RunId, Decided),
) -> Result<String, Error> {
    if !runs::hold_whoever_drives(unit.connection(), run.as_str()).await? {
        return Err(Error::NoSuchRun(run.clone()));
    }
    let row = view::row(unit.connection(), run).await?;
    let before = view::with_parts(unit.connection(), row).await?;
    let standing = Standing {
        plan: &before.plan,
        state: before.state,
        asker: &before.actor,
        decisions: &before.decisions,
        expires_ms: before.expires_ms,
    };
    let vote = Vote {
        by: by.user(),
        roles: by.roles(),
        on_behalf: by.on_behalf(),
        verdict: decided.verdict,
        digest: decided.digest.as_deref(),
        now_ms: unit.now_ms(),
    };
    let ruling = rule(&standing, &vote);
    let answer = (decided.answer)(ruling, &before);
    if !deliveries::insert_once(unit, &asked.delivery, &answer).await? {
        return stored_answer(unit, &asked.delivery).await;
    }
    match ruling {
        Ok(ruling) => accept(unit, asked, by, &before, decided, ruling).await?,
        Err(refused) => {
            let detail = json!({
                "text": asked.text, "verdict": decided.verdict.as_str(), "why": refused.as_str(),
                "state": before.state.as_str(),
            });
            unit.journal(request_entry(
                asked,
                "decision.refused",
                run.as_str(),
                detail,
                unit.now_ms(),
            ));
            if refused == Refused::Expired {
                apply_in(unit, run, &[Event::Expired], Facts::default()).await?;
            }
        }
    }
    Ok(answer)
}

/// Writes a decision that counts, and what it changes.
async fn accept(
    unit: &mut Unit,
    asked: &Asked,
    by: &Authorized,
    before: &RunView,
    decided: &Decided,
    ruling: Ruling,
) -> Result<(), Error> {
    let digest = before.plan.digest();
    let role = by.roles().join(view::ROLES_JOINED_BY);
    let on_behalf = by.on_behalf().map(ToString::to_string);
    let decision = DecisionRow {
        user_id: asked.actor.to_string(),
        verdict: decided.verdict.as_str().to_owned(),
        reason: decided.reason.clone(),
        digest: digest.clone(),
        role: role.clone(),
        on_behalf: on_behalf.clone().unwrap_or_default(),
        at_ms: unit.now_ms(),
    };
    let run = &before.id;
    decisions::insert(unit.connection(), run.as_str(), &decision).await?;
    let mut detail = json!({
        "text": asked.text, "role": role, "digest": digest, "reason": decided.reason,
    });
    if let Some(holder) = on_behalf {
        detail["on_behalf"] = json!(holder);
    }
    let kind = match decided.verdict {
        Verdict::Approved => "decision.approved",
        Verdict::Rejected => "decision.rejected",
        Verdict::Cancelled => "decision.cancelled",
    };
    unit.journal(request_entry(asked, kind, run.as_str(), detail, unit.now_ms()));
    let actor = Some((asked.actor.to_string(), asked.origin.to_owned()));
    let facts = Facts { actor, ..Facts::default() };
    let events: &[Event] = match (ruling, decided.verdict) {
        (Ruling::Enough, _) => {
            let after = gates::ask(unit, run, facts).await?;
            return say_approved(unit, &after).await;
        }
        (Ruling::Ends, Verdict::Rejected) => &[Event::Rejected],
        (Ruling::Ends, _) => &[Event::Cancelled],
        // Its host cannot be asked, and nothing runs there: it need not be waited for.
        (Ruling::Stops, _) if before.unreachable_ms > 0 && is_between_steps(before) => {
            runs::fence_off(unit.connection(), run.as_str()).await?;
            &[Event::StepCancelled]
        }
        // The card alone tells of it, until more agree or the driver has stopped the step.
        (Ruling::Counted { .. } | Ruling::Stops, _) => &[],
    };
    apply_in(unit, run, events, facts).await.map(drop)
}

/// An edit of the card pings nobody, and the asker waits for this.
async fn say_approved(unit: &mut Unit, after: &RunView) -> Result<(), Error> {
    let card = approved_card(after, after.plan.language);
    // Approved anew after an approval was voided, it is said anew.
    let key = match after.voided.len() {
        0 => format!("{}/approved", after.id),
        times => format!("{}/approved.{times}", after.id),
    };
    put_slot(unit, after, key, PRIORITY_THREAD, &card).await
}

fn is_between_steps(run: &RunView) -> bool {
    run.steps.iter().map(|step| step.state).find(|step| !step.is_final())
        == Some(StepState::Pending)
}

/// Whether it did: somebody may have decided while this one waited for the row.
async fn expire_in(unit: &mut Unit, run: &RunId) -> Result<bool, Error> {
    runs::hold_whoever_drives(unit.connection(), run.as_str()).await?;
    let row = view::row(unit.connection(), run).await?;
    let is_due = row.state == State::Waiting.as_str() && row.expires_ms <= unit.now_ms();
    if is_due {
        apply_in(unit, run, &[Event::Expired], Facts::default()).await?;
    }
    Ok(is_due)
}
