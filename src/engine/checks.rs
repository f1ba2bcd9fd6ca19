//! The checklist of a run that waits: its checks are a run of their own, whose state the waiting run takes
//! into account; and people tick items off.

use super::requests::{insert_run, request_entry, stored_answer};
use super::{
    Asked, Engine, Error, Facts, PRIORITY_THREAD, apply_in, bot_entry, gates, put_slot, view,
};
use crate::core::checklist::{
    Asks, Checks, Refused, Seen, Tick, checks_of, may_check_again, may_tick,
};
use crate::core::checklist_card;
use crate::core::gate;
use crate::core::id::{RunId, UserId};
use crate::core::plan::Plan;
use crate::core::policy::Authorized;
use crate::core::run::{Event, State};
use crate::core::run_card::RunView;
use crate::store::checks::{self, TickRow};
use crate::store::{Unit, deliveries, queue, runs};
use serde_json::json;
use sqlx::AnyConnection;
use std::sync::Arc;

/// By which way a run of checks was asked for.
pub const ORIGIN: &str = "checklist";

/// What somebody wants of a checklist, and how what came of it is said to them.
pub struct Listed {
    /// The digest of the plan that was shown; `None`: typed, and means the run's own.
    pub digest: Option<String>,
    /// What.
    pub wish: OnList,
    /// The answer, by what came of it and the run as it stood before.
    pub answer: Answer,
}

/// What somebody wants of a checklist.
#[derive(Debug, Clone)]
pub enum OnList {
    /// An item is in order.
    Tick {
        /// Which, counted from 0.
        item: usize,
        /// What they write; may be empty.
        note: String,
    },
    /// The checks are to be done again.
    CheckAgain,
}

/// Says what came of it.
type Answer = Box<dyn Fn(Result<(), Refused>, &RunView) -> String + Send + Sync>;

impl Engine {
    /// Ticks an item off, or has the checks done again, if that counts, with its answer.
    ///
    /// # Errors
    /// The database's, or [`Error::NoSuchRun`]; then nothing is written.
    pub async fn checklist(
        &self,
        asked: Asked,
        by: &Authorized,
        run: &RunId,
        listed: Listed,
    ) -> Result<String, Error> {
        let wish = Arc::new((asked, by.clone(), run.clone(), listed));
        let answer = self
            .patiently(|| {
                let wish = Arc::clone(&wish);
                self.store.unit(move |unit| Box::pin(async move { listed_in(unit, &wish).await }))
            })
            .await?;
        self.work.notify_one();
        self.mail.notify_one();
        Ok(answer)
    }

    /// Whether a run still waits for the checks that a driver has in hand.
    ///
    /// # Errors
    /// The database's.
    pub async fn are_checks_wanted(&self, checks: &RunView) -> Result<bool, Error> {
        let Some(waiting) = &checks.plan.checks else { return Ok(false) };
        let mut reader = self.store.read().await?;
        let row = view::row(&mut reader, waiting).await?;
        let newest = checks::newest_of(&mut reader, waiting.as_str()).await?;
        let is_newest = newest.is_some_and(|(run, _)| run == checks.id.as_str());
        Ok(row.state == State::Waiting.as_str() && is_newest)
    }
}

/// Fills in what a run's own rows do not say.
pub(super) async fn fill(connection: &mut AnyConnection, run: &mut RunView) -> Result<(), Error> {
    let Some(checklist) = &run.plan.checklist else { return Ok(()) };
    let ticks = checks::ticks_of(connection, run.id.as_str()).await?;
    let ticks = ticks.into_iter().filter_map(|row| {
        Some(Tick {
            item: usize::try_from(row.item).ok()?,
            by: UserId::new(row.user_id),
            role: row.role,
            note: row.note,
            at_ms: row.at_ms,
        })
    });
    let ticks = ticks.collect();
    let newest = match checklist.checks {
        Some(_) => checks::newest_of(connection, run.id.as_str()).await?,
        None => None,
    };
    let found = match newest {
        None => None,
        Some((id, number)) => {
            let id = RunId::new(id);
            let row = view::row(connection, &id).await?;
            let steps = runs::steps_of(connection, id.as_str()).await?;
            let RunView { state, steps, .. } = view::assemble(&id, row, &steps, &[])?;
            Some(Checks { run: id, number, state, steps })
        }
    };
    run.checklist = Seen { checks: found, ticks };
    Ok(())
}

/// Begins the checks of a run that waits, if it has any; for the first time or again.
pub(super) async fn begin(
    unit: &mut Unit,
    (run, plan): (&RunId, &Plan),
    asker: &str,
) -> Result<(), Error> {
    let checks = plan.checklist.as_ref().and_then(|checklist| checklist.checks.as_deref());
    let Some(checks) = checks else { return Ok(()) };
    let newest = checks::newest_of(unit.connection(), run.as_str()).await?;
    let number = newest.map_or(1, |(_, number)| number + 1);
    let id = checks_of(run, number);
    let checks = Plan { checks: Some(run.clone()), ..checks.clone() };
    insert_run(unit, (asker, ORIGIN, plan.channel.as_str()), &id, &checks).await?;
    checks::put(unit.connection(), run.as_str(), (id.as_str(), number)).await?;
    let detail = json!({"of": run.as_str(), "number": number, "digest": checks.digest()});
    let mut entry = bot_entry(unit.now_ms(), "checklist.begun", id.as_str(), detail);
    ORIGIN.clone_into(&mut entry.origin);
    unit.journal(entry);
    apply_in(unit, &id, &[Event::GatesPassed], Facts::default()).await.map(drop)
}

pub(super) async fn check_anew(unit: &mut Unit, run: &RunId) -> Result<(), Error> {
    let now_ms = unit.now_ms();
    let row = view::row(unit.connection(), run).await?;
    let before = view::with_parts(unit.connection(), row).await?;
    let Some(checklist) = &before.plan.checklist else { return Ok(()) };
    let since_ms = now_ms.saturating_sub_unsigned(checklist.valid_ms);
    let host = before.plan.host.as_deref().unwrap_or_default();
    let expires_ms = gate::expires_ms(&before.plan, now_ms);
    queue::wait_again(unit.connection(), run.as_str(), (expires_ms, host)).await?;
    let ticks = checks::void_ticks_before(unit.connection(), run.as_str(), since_ms).await?;
    let checked = before.checklist.checks.iter().flat_map(|checks| &checks.steps);
    if checked.clone().any(|step| step.ended_ms < since_ms) {
        begin(unit, (run, &before.plan), before.actor.as_str()).await?;
    }
    let detail =
        json!({"checklist": checklist.name, "older_than_ms": checklist.valid_ms, "ticks": ticks});
    let facts = Facts { detail, ..Facts::default() };
    let after = apply_in(unit, run, &[Event::GateVoided], facts).await?;
    let card = checklist_card::old_card(&after, after.plan.language);
    put_slot(unit, &after, format!("{run}/checked_anew.{now_ms}"), PRIORITY_THREAD, &card).await
}

async fn listed_in(
    unit: &mut Unit,
    (asked, by, run, listed): &(Asked, Authorized, RunId, Listed),
) -> Result<String, Error> {
    if !runs::hold_whoever_drives(unit.connection(), run.as_str()).await? {
        return Err(Error::NoSuchRun(run.clone()));
    }
    let row = view::row(unit.connection(), run).await?;
    let before = view::with_parts(unit.connection(), row).await?;
    let now_ms = unit.now_ms();
    let asks = Asks { by: by.user(), roles: by.roles(), digest: listed.digest.as_deref() };
    let ruling = match &listed.wish {
        OnList::Tick { item, .. } => may_tick(&before, *item, &asks, now_ms),
        OnList::CheckAgain => may_check_again(&before, &asks, now_ms),
    };
    let answer = (listed.answer)(ruling, &before);
    if !deliveries::insert_once(unit, &asked.delivery, &answer).await? {
        return stored_answer(unit, &asked.delivery).await;
    }
    if let Err(refused) = ruling {
        let detail = json!({
            "text": asked.text, "why": refused.as_str(), "state": before.state.as_str(),
        });
        unit.journal(request_entry(asked, "checklist.refused", run.as_str(), detail, now_ms));
        return Ok(answer);
    }
    match &listed.wish {
        OnList::Tick { item, note } => tick(unit, asked, &before, (*item, note)).await?,
        OnList::CheckAgain => {
            let detail = json!({"text": asked.text, "role": by.role()});
            unit.journal(request_entry(asked, "checklist.again", run.as_str(), detail, now_ms));
            begin(unit, (run, &before.plan), before.actor.as_str()).await?;
        }
    }
    let actor = Some((asked.actor.to_string(), asked.origin.to_owned()));
    gates::ask(unit, run, Facts { actor, ..Facts::default() }).await?;
    Ok(answer)
}

async fn tick(
    unit: &mut Unit,
    asked: &Asked,
    run: &RunView,
    (item, note): (usize, &str),
) -> Result<(), Error> {
    let checklist = run.plan.checklist.as_ref();
    let Some(planned) = checklist.and_then(|checklist| checklist.items.get(item)) else {
        return Ok(());
    };
    let role = planned.tick.as_ref().map_or("", |tick| tick.role.as_str());
    let (now_ms, digest) = (unit.now_ms(), run.plan.digest());
    let row = TickRow {
        item: i64::try_from(item).unwrap_or(i64::MAX),
        user_id: asked.actor.to_string(),
        role: role.to_owned(),
        note: note.to_owned(),
        at_ms: now_ms,
    };
    checks::insert_tick(unit.connection(), run.id.as_str(), &digest, &row).await?;
    let detail = json!({
        "text": asked.text, "item": item + 1, "name": planned.name.en, "role": role, "note": note,
        "digest": digest,
    });
    unit.journal(request_entry(asked, "checklist.ticked", run.id.as_str(), detail, now_ms));
    Ok(())
}
