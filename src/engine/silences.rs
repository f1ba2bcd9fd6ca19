//! Silences: begun and ended for a person, ended by themselves, and their owner warned once before that.
//! Alerts that are open hear of it in the same transaction; one that fires later is asked about with [`of`].

use super::alerts::{By, Held, InForce};
use super::requests::{request_entry, stored_answer};
use super::{Asked, Engine, Error, bot_entry};
use crate::core::alert::{Event, Sighting};
use crate::core::card::{Card, Part, Span, Tone, prose, text};
use crate::core::id::{SilenceId, UserId};
use crate::core::policy::Authorized;
use crate::core::silence::{Matcher, Silence, silent_until_ms, warn_ms};
use crate::core::text::Lang;
use crate::store::alerts::{self, AlertFilter};
use crate::store::outbox::{self, Slot};
use crate::store::silences::{self as rows, SilenceRow};
use crate::store::{Unit, deliveries};
use serde_json::json;
use sqlx::AnyConnection;
use std::sync::Arc;

/// Silences in force or to come at once.
pub const OPEN_MAX: i64 = 200;
/// Open alerts that hear of one at once.
const ALERTS_MAX: i64 = 1_000;
/// Owners that are warned by one look.
const WARNED_MAX: i64 = 50;
/// Such a message goes before what runs say.
const PRIORITY: i64 = 30;

/// What somebody wants about silences.
pub enum SilenceWish {
    /// One begins now.
    Begin {
        /// Its id.
        id: SilenceId,
        /// Of which alerts.
        matcher: Matcher,
        /// Until when.
        until_ms: i64,
        /// Why.
        reason: String,
    },
    /// One ends now.
    End {
        /// Which.
        id: SilenceId,
    },
}

/// What became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Silenced {
    /// It is in force, and so many open alerts heard of it.
    Begun(Silence, usize),
    /// It is no more, and so many open alerts heard of it.
    Ended(Silence, usize),
    /// There are too many.
    TooMany,
    /// There is no such silence in force.
    NoSuch,
}

/// A wish, as it was made.
pub struct SilenceWanted {
    /// What.
    pub wish: SilenceWish,
    /// What they read.
    pub answer: Box<dyn Fn(&Silenced) -> String + Send + Sync>,
}

/// Until when nobody is told of a sighting; `None`: it is not silent.
pub(super) async fn of(
    connection: &mut AnyConnection,
    sighting: &Sighting,
    now_ms: i64,
) -> Result<Option<i64>, Error> {
    let all = in_force(connection, now_ms).await?;
    Ok(silent_until_ms(&all, sighting, now_ms))
}

/// Those in force or to come, for whoever asks about many sightings.
pub(super) async fn in_force(
    connection: &mut AnyConnection,
    now_ms: i64,
) -> Result<Vec<Silence>, Error> {
    let all = rows::open(connection, now_ms, OPEN_MAX).await?;
    Ok(all.into_iter().filter_map(read).collect())
}

/// `None`: a later version wrote it, and it silences nothing here.
fn read(row: SilenceRow) -> Option<Silence> {
    Some(Silence {
        matcher: serde_json::from_str(&row.matcher).ok()?,
        id: SilenceId::new(row.id),
        owner: UserId::new(row.owner),
        reason: row.reason,
        from_ms: row.from_ms,
        until_ms: row.until_ms,
    })
}

/// Keeps a silence of one alert, which has heard of it: so that it is listed, and its owner warned before it
/// ends. One more than there may be is not kept, and is silent all the same.
pub(super) async fn keep_of_alert(
    unit: &mut Unit,
    first: &Sighting,
    (owner, reason, until_ms): (&str, &str, i64),
) -> Result<(), Error> {
    let now_ms = unit.now_ms();
    end_of_alert(unit, first, owner).await?;
    let open = rows::open(unit.connection(), now_ms, OPEN_MAX).await?;
    if i64::try_from(open.len()).unwrap_or(OPEN_MAX) >= OPEN_MAX {
        return Ok(());
    }
    let row = SilenceRow {
        id: SilenceId::from_entropy(crate::entropy::bytes()).to_string(),
        matcher: serde_json::to_string(&Matcher::of_alert(first)).unwrap_or_default(),
        owner: owner.to_owned(),
        reason: reason.to_owned(),
        from_ms: now_ms,
        until_ms,
    };
    let warned_ms = warn_ms((now_ms, until_ms));
    Ok(rows::insert(unit.connection(), &row, warned_ms, now_ms).await?)
}

/// Ends what silences one alert, and nothing else.
pub(super) async fn end_of_alert(unit: &mut Unit, first: &Sighting, by: &str) -> Result<(), Error> {
    let now_ms = unit.now_ms();
    let its_own = Matcher::of_alert(first);
    for silence in in_force(unit.connection(), now_ms).await? {
        if silence.matcher == its_own {
            rows::end(unit.connection(), silence.id.as_str(), (by, now_ms)).await?;
        }
    }
    Ok(())
}

impl Engine {
    /// Those in force, the first to end first.
    ///
    /// # Errors
    /// The database's.
    pub async fn silences(&self) -> Result<Vec<Silence>, Error> {
        let mut reader = self.store.read().await?;
        in_force(&mut reader, self.clock().now_ms()).await
    }

    /// Until when nobody would be told of a sighting now; `None`: people are.
    ///
    /// # Errors
    /// The database's.
    pub async fn silent_until_ms(&self, sighting: &Sighting) -> Result<Option<i64>, Error> {
        let mut reader = self.store.read().await?;
        of(&mut reader, sighting, self.clock().now_ms()).await
    }

    /// Begins or ends a silence, and answers. The same delivery twice does nothing more.
    ///
    /// # Errors
    /// The database's; then nothing is written and the asker must be told so.
    pub async fn silence(
        &self,
        asked: Asked,
        by: &Authorized,
        wanted: SilenceWanted,
    ) -> Result<String, Error> {
        let terms = self.terms_now();
        let wish = Arc::new((asked, by.role().to_owned(), wanted));
        let answer = self
            .patiently(|| {
                let (wish, terms) = (Arc::clone(&wish), terms.clone());
                self.store
                    .unit(move |unit| Box::pin(async move { wish_in(unit, &wish, &terms).await }))
            })
            .await?;
        self.mail.notify_one();
        self.alarms.notify_one();
        Ok(answer)
    }

    /// Warns owners whose silence ends soon, each once; how many.
    ///
    /// # Errors
    /// The database's; those before the failure are written.
    pub async fn warn_of_silences(&self) -> Result<usize, Error> {
        let mut reader = self.store.read().await?;
        let due = rows::warnings_due(&mut reader, self.clock().now_ms(), WARNED_MAX).await?;
        drop(reader);
        let mut warned = 0;
        let runbook = self.runbook();
        for id in due {
            let is_warned = self
                .patiently(|| {
                    let (id, runbook) = (id.clone(), Arc::clone(&runbook));
                    let lang = runbook.language;
                    self.store.unit(move |unit| {
                        Box::pin(async move {
                            let channel = runbook.operations_channel();
                            let channel = channel.map_or("", |channel| channel.as_str());
                            warn_in(unit, &id, channel, lang).await
                        })
                    })
                })
                .await?;
            warned += usize::from(is_warned);
        }
        if warned > 0 {
            self.mail.notify_one();
        }
        Ok(warned)
    }
}

async fn warn_in(unit: &mut Unit, id: &str, channel: &str, lang: Lang) -> Result<bool, Error> {
    let now_ms = unit.now_ms();
    let Some(silence) = rows::warn(unit.connection(), id, now_ms).await?.and_then(read) else {
        return Ok(false);
    };
    if !channel.is_empty() {
        let slot = Slot {
            key: format!("silence/{id}/warning"),
            parent: String::new(),
            channel: channel.to_owned(),
            priority: PRIORITY,
            run_id: String::new(),
            body: serde_json::to_string(&warning(&silence, lang)).unwrap_or_default(),
        };
        outbox::put(unit.connection(), &slot, now_ms).await?;
    }
    let detail = json!({"owner": silence.owner.as_str(), "until_ms": silence.until_ms});
    unit.journal(bot_entry(now_ms, "silence.warned", id, detail));
    Ok(true)
}

fn warning(silence: &Silence, lang: Lang) -> Card {
    let mut line = vec![
        text("🔕 "),
        Span::User(silence.owner.clone()),
        text(lang.pick(" 您的静默 ", " your silence ")),
        Span::Code(silence.id.to_string()),
        text(lang.pick(" 将结束于 ", " ends at ")),
        Span::Time(silence.until_ms),
        text(lang.pick(
            "，之后仍在触发的告警会再次通知：",
            "; alerts that still fire are told again then: ",
        )),
        Span::Code(silence.matcher.to_string()),
        text("\n"),
    ];
    line.extend(prose(&silence.reason));
    let summary = lang.pick("🔕 静默即将结束", "🔕 A silence ends soon").to_owned();
    Card { summary, tone: Tone::Neutral, parts: vec![Part::Paragraph(line)] }
}

async fn wish_in(
    unit: &mut Unit,
    (asked, role, wanted): &(Asked, String, SilenceWanted),
    terms: &InForce,
) -> Result<String, Error> {
    if let Some(answered) = deliveries::answer_of(unit.connection(), &asked.delivery).await? {
        return Ok(answered);
    }
    let now_ms = unit.now_ms();
    let outcome = match &wanted.wish {
        SilenceWish::Begin { id, matcher, until_ms, reason } => {
            let silence = Silence {
                id: id.clone(),
                matcher: matcher.clone(),
                owner: asked.actor.clone(),
                reason: reason.clone(),
                from_ms: now_ms,
                until_ms: *until_ms,
            };
            begin_in(unit, asked, silence, terms).await?
        }
        SilenceWish::End { id } => end_in(unit, asked, id, terms).await?,
    };
    let answer = (wanted.answer)(&outcome);
    if !deliveries::insert_once(unit, &asked.delivery, &answer).await? {
        return stored_answer(unit, &asked.delivery).await;
    }
    let (kind, subject, detail) = match &outcome {
        Silenced::Begun(one, alerts) => {
            let detail = json!({
                "text": asked.text, "role": role, "matcher": one.matcher, "reason": one.reason,
                "until_ms": one.until_ms, "alerts": alerts,
            });
            ("silence.begun", one.id.as_str(), detail)
        }
        Silenced::Ended(one, alerts) => {
            let detail = json!({
                "text": asked.text, "role": role, "owner": one.owner.as_str(), "alerts": alerts,
            });
            ("silence.ended", one.id.as_str(), detail)
        }
        Silenced::TooMany | Silenced::NoSuch => {
            let why = if outcome == Silenced::NoSuch { "no_silence" } else { "too_many" };
            ("request.refused", "", json!({"text": asked.text, "role": role, "why": why}))
        }
    };
    unit.journal(request_entry(asked, kind, subject, detail, now_ms));
    Ok(answer)
}

async fn begin_in(
    unit: &mut Unit,
    asked: &Asked,
    silence: Silence,
    terms: &InForce,
) -> Result<Silenced, Error> {
    let now_ms = unit.now_ms();
    let before = rows::open(unit.connection(), now_ms, OPEN_MAX).await?;
    if i64::try_from(before.len()).unwrap_or(OPEN_MAX) >= OPEN_MAX {
        return Ok(Silenced::TooMany);
    }
    let row = SilenceRow {
        id: silence.id.to_string(),
        matcher: serde_json::to_string(&silence.matcher).unwrap_or_default(),
        owner: silence.owner.to_string(),
        reason: silence.reason.clone(),
        from_ms: silence.from_ms,
        until_ms: silence.until_ms,
    };
    let warned_ms = warn_ms((silence.from_ms, silence.until_ms));
    rows::insert(unit.connection(), &row, warned_ms, now_ms).await?;
    let heard = tell_alerts(unit, asked, &silence, terms).await?;
    Ok(Silenced::Begun(silence, heard))
}

async fn end_in(
    unit: &mut Unit,
    asked: &Asked,
    id: &SilenceId,
    terms: &InForce,
) -> Result<Silenced, Error> {
    let by = (asked.actor.as_str(), unit.now_ms());
    let ended = rows::end(unit.connection(), id.as_str(), by).await?;
    let Some(silence) = ended.and_then(read) else { return Ok(Silenced::NoSuch) };
    let heard = tell_alerts(unit, asked, &silence, terms).await?;
    Ok(Silenced::Ended(silence, heard))
}

/// Open alerts that a silence is about are silent as long as any silence says now; how many changed.
async fn tell_alerts(
    unit: &mut Unit,
    asked: &Asked,
    silence: &Silence,
    terms: &InForce,
) -> Result<usize, Error> {
    let now_ms = unit.now_ms();
    let all = in_force(unit.connection(), now_ms).await?;
    let filter = AlertFilter { is_open: true, limit: ALERTS_MAX, ..AlertFilter::default() };
    let mut open = alerts::list(unit.connection(), &filter).await?;
    // Held in their order, so that two bots do not wait for each other in a circle.
    open.sort_unstable_by(|one, other| one.id.cmp(&other.id));
    let mut heard = 0;
    for listed in open {
        let Ok(first) = serde_json::from_str::<Sighting>(&listed.sighting) else { continue };
        if !silence.matcher.matches(&first) {
            continue;
        }
        let Some(row) = alerts::hold(unit.connection(), &listed.id).await? else { continue };
        let mut held = Held::of(row)?;
        let event = match silent_until_ms(&all, &first, now_ms) {
            Some(until_ms) => Event::Silenced { until_ms },
            None => Event::Unsilenced,
        };
        let (actor, reason) = (asked.actor.as_str(), silence.reason.as_str());
        let by = By { actor, name: "", origin: asked.origin, reason };
        // One that is over by now has nobody to be told anyway.
        if held.take(unit, &event, &by, terms).await?.is_ok() {
            heard += 1;
        }
        held.refresh(unit, terms).await?;
    }
    Ok(heard)
}
