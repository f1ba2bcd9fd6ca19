//! A decision about a lost step whose host is another's: written down for that host's bot, which alone
//! sees the step's processes, and answered by it in the run's thread.

use super::requests::{
    Answers, Asked, Settled, carry_out, is_awaited, request_entry, stored_answer,
};
use super::{Engine, Error, PRIORITY_THREAD, put_slot, view};
use crate::core::card::Card;
use crate::core::id::{RunId, UserId};
use crate::core::policy::Authorized;
use crate::core::run_card::RunView;
use crate::core::settle_card::{self, Seen, Settlement};
use crate::store::wishes::{self, WishRow};
use crate::store::{Unit, deliveries, runs};
use serde_json::json;
use std::sync::Arc;

/// Wishes that are looked at in one go.
const WISHES_MAX: i64 = 100;

/// What a person wants done about a lost step.
#[derive(Debug, Clone)]
pub struct Wish {
    /// About which run.
    pub run: RunId,
    /// Whose bot does it.
    pub host: String,
    /// What.
    pub settlement: Settlement,
    /// The try that it is about.
    pub seen: Seen,
    /// Why.
    pub reason: String,
    /// The role by which they may.
    pub role: String,
    /// The request that it was.
    pub asked: Asked,
    /// When; with the run, it names this wish.
    pub at_ms: i64,
}

/// Says that a run does not wait for a wish any more.
pub type NotWaiting = Box<dyn Fn(&RunView) -> Card + Send + Sync>;

impl Engine {
    /// Writes a decision down for the bot of the run's host; the answer.
    ///
    /// # Errors
    /// The database's, or [`Error::NoSuchRun`]; then nothing is written.
    pub async fn hand_on(
        &self,
        asked: Asked,
        by: &Authorized,
        run: &RunId,
        settled: Settled,
        answers: Answers,
    ) -> Result<String, Error> {
        let role = by.role().to_owned();
        let request = Arc::new((asked, role, run.clone(), settled, answers));
        self.patiently(|| {
            let request = Arc::clone(&request);
            self.store.unit(move |unit| Box::pin(async move { hand_on_in(unit, &request).await }))
        })
        .await
    }

    /// Wishes that nobody has answered yet, oldest first. One that cannot be read is logged and keeps no
    /// other from being done.
    ///
    /// # Errors
    /// The database's.
    pub async fn wishes(&self) -> Result<Vec<Wish>, Error> {
        let mut reader = self.store.read().await?;
        let rows = wishes::open(&mut reader, WISHES_MAX).await?;
        let readable = rows.into_iter().map(read).filter_map(|wish| {
            wish.inspect_err(|error| tracing::error!("a decision that was handed on: {error}")).ok()
        });
        Ok(readable.collect())
    }

    /// Does what was wished, if the run still waits for it, and says so in its thread. Nothing if
    /// somebody else has answered the wish.
    ///
    /// # Errors
    /// The database's; then nothing is written.
    pub async fn settle_wish(
        &self,
        wish: &Wish,
        done: Card,
        not_waiting: NotWaiting,
    ) -> Result<(), Error> {
        let granted = Arc::new((wish.clone(), done, not_waiting));
        self.patiently(|| {
            let granted = Arc::clone(&granted);
            self.store.unit(move |unit| Box::pin(async move { settle_in(unit, &granted).await }))
        })
        .await?;
        self.work.notify_one();
        self.mail.notify_one();
        Ok(())
    }

    /// Says in the run's thread why a wish was not done; `why` for the journal. Nothing if somebody else
    /// has answered it.
    ///
    /// # Errors
    /// The database's; then nothing is written.
    pub async fn refuse_wish(
        &self,
        wish: &Wish,
        why: &'static str,
        card: Card,
    ) -> Result<(), Error> {
        let refused = Arc::new((wish.clone(), card));
        self.patiently(|| {
            let refused = Arc::clone(&refused);
            self.store.unit(move |unit| {
                Box::pin(async move {
                    let (wish, card) = &*refused;
                    let Some(standing) = take(unit, wish).await? else { return Ok(()) };
                    refuse(unit, wish, why, (&standing, card)).await
                })
            })
        })
        .await?;
        self.mail.notify_one();
        Ok(())
    }
}

async fn hand_on_in(
    unit: &mut Unit,
    (asked, role, run, settled, answers): &(Asked, String, RunId, Settled, Answers),
) -> Result<String, Error> {
    runs::hold_whoever_drives(unit.connection(), run.as_str()).await?;
    let row = view::row(unit.connection(), run).await?;
    let standing = view::with_parts(unit.connection(), row).await?;
    let seen = settle_card::lost(&standing).filter(|_| is_awaited(&standing, settled));
    let answer = match seen {
        Some(_) => answers.done.clone(),
        None => (answers.not_waiting)(&standing),
    };
    if !deliveries::insert_once(unit, &asked.delivery, &answer).await? {
        return stored_answer(unit, &asked.delivery).await;
    }
    let now_ms = unit.now_ms();
    let settlement = settled.settlement.as_str();
    let Some(seen) = seen else {
        let detail = json!({"text": asked.text, "state": standing.state.as_str()});
        unit.journal(request_entry(asked, "settle.refused", run.as_str(), detail, now_ms));
        return Ok(answer);
    };
    let wish = WishRow {
        run_id: run.to_string(),
        host: standing.host.clone(),
        settlement: settlement.to_owned(),
        position: i64::try_from(seen.position).unwrap_or(i64::MAX),
        attempt: seen.attempt,
        user_id: asked.actor.to_string(),
        role: role.clone(),
        origin: asked.origin.to_owned(),
        channel: asked.channel.clone(),
        words: asked.text.clone(),
        reason: settled.reason.clone(),
        at_ms: now_ms,
    };
    wishes::put(unit.connection(), &wish).await?;
    let detail = json!({
        "reason": settled.reason, "role": role, "text": asked.text, "host": standing.host,
        "settlement": settlement,
    });
    unit.journal(request_entry(asked, "settle.handed_on", run.as_str(), detail, now_ms));
    Ok(answer)
}

async fn settle_in(
    unit: &mut Unit,
    (wish, done, not_waiting): &(Wish, Card, NotWaiting),
) -> Result<(), Error> {
    let Some(standing) = take(unit, wish).await? else { return Ok(()) };
    let settled =
        Settled { settlement: wish.settlement, seen: Some(wish.seen), reason: wish.reason.clone() };
    if !is_awaited(&standing, &settled) {
        let card = not_waiting(&standing);
        return refuse(unit, wish, "not_waiting", (&standing, &card)).await;
    }
    let now_ms = unit.now_ms();
    runs::hold_for_a_person(unit.connection(), wish.run.as_str(), now_ms).await?;
    carry_out(unit, &wish.asked, &wish.role, &wish.run, settled).await?;
    put_slot(unit, &standing, key(wish), PRIORITY_THREAD, done).await
}

/// The run as it stands, its row held; `None`: the wish is not to be answered any more.
async fn take(unit: &mut Unit, wish: &Wish) -> Result<Option<RunView>, Error> {
    // The run's row first, as everywhere.
    runs::hold_whoever_drives(unit.connection(), wish.run.as_str()).await?;
    if !wishes::take(unit.connection(), wish.run.as_str(), wish.at_ms).await? {
        return Ok(None);
    }
    let row = view::row(unit.connection(), &wish.run).await?;
    view::with_parts(unit.connection(), row).await.map(Some)
}

async fn refuse(
    unit: &mut Unit,
    wish: &Wish,
    why: &str,
    (standing, card): (&RunView, &Card),
) -> Result<(), Error> {
    put_slot(unit, standing, key(wish), PRIORITY_THREAD, card).await?;
    let detail = json!({"text": wish.asked.text, "host": wish.host, "why": why});
    let now_ms = unit.now_ms();
    let entry = request_entry(&wish.asked, "settle.refused", wish.run.as_str(), detail, now_ms);
    unit.journal(entry);
    Ok(())
}

/// The outbox key of its answer.
fn key(wish: &Wish) -> String {
    format!("{}/wish.{}", wish.run, wish.at_ms)
}

fn read(row: WishRow) -> Result<Wish, Error> {
    let run = RunId::new(row.run_id);
    let corrupt = |what: &str| view::corrupt(&run, what);
    let position = usize::try_from(row.position).map_err(|_| corrupt("a wish's step"))?;
    let settlement = Settlement::parse(&row.settlement).ok_or_else(|| corrupt(&row.settlement))?;
    let origin =
        ["slash", "button", "form", "cli"].into_iter().find(|origin| *origin == row.origin);
    let asked = Asked {
        delivery: format!("{run}/wish.{}", row.at_ms),
        actor: UserId::new(row.user_id),
        origin: origin.ok_or_else(|| corrupt(&row.origin))?,
        channel: row.channel,
        text: row.words,
        login: None,
    };
    Ok(Wish {
        host: row.host,
        settlement,
        seen: Seen { position, attempt: row.attempt },
        reason: row.reason,
        role: row.role,
        asked,
        at_ms: row.at_ms,
        run,
    })
}
