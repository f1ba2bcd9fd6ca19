//! Silences: begun and ended for a person, ended by themselves, and their owner warned once before that.
//! Alerts that are open hear of it at once, in batches that a crash does not forget; one that begins later is
//! asked about with [`silent_until`]. [`share`] lets none begin in between.

use super::alerts::{By, Held, InForce};
use super::requests::{request_entry, stored_answer};
use super::{Asked, Engine, Error, bot_entry};
use crate::core::alert::{Event, Sighting};
use crate::core::card::{Card, Part, Span, Tone, prose, text};
use crate::core::id::{SilenceId, UserId};
use crate::core::policy::Authorized;
use crate::core::silence::{Matcher, Silence, silent_until_ms, warn_ms};
use crate::core::text::Lang;
use crate::store::outbox::{self, Slot};
use crate::store::silences::{self as rows, ALL_HEARD, NONE_HEARD, SilenceRow};
use crate::store::{Unit, alerts, deliveries};
use serde_json::json;
use sqlx::AnyConnection;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Silences in force or to come at once.
pub const OPEN_MAX: i64 = 200;
/// Open alerts that one transaction tells of one.
const TOLD_TOGETHER: usize = 100;
/// Open alerts that are looked through at once.
const PAGE: i64 = 1_000;
/// Pages of them: as many alerts as may be open at all.
const PAGES_MAX: usize = 200;
/// Silences of which alerts are told by one look.
const UNHEARD_MAX: i64 = 5;
/// An alert with so many instances is silenced by no label: each would have to be looked at.
const INSTANCES_MAX: i64 = 1_000;
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

/// Whoever takes alerts in does this first: then no silence begins or ends before their transaction does.
pub(super) async fn share(unit: &mut Unit) -> Result<(), Error> {
    Ok(rows::share(unit).await?)
}

/// Those in force, by which a transaction goes.
pub(super) async fn now(unit: &mut Unit) -> Result<Vec<Silence>, Error> {
    let now_ms = unit.now_ms();
    in_force(unit.connection(), now_ms).await
}

/// Until when nobody is told of an alert: as long as every instance of it that fires is silent. `None`: it is not.
pub(super) async fn silent_until(
    unit: &mut Unit,
    all: &[Silence],
    (id, first): (&str, &Sighting),
) -> Result<Option<i64>, Error> {
    let now_ms = unit.now_ms();
    if all.iter().all(|one| one.matcher.labels.is_empty()) {
        // All else is the same for every instance.
        return Ok(silent_until_ms(all, first, now_ms));
    }
    let Some(firing) = firing(unit, id).await? else {
        let plain = all.iter().filter(|one| one.matcher.labels.is_empty()).cloned();
        return Ok(silent_until_ms(&plain.collect::<Vec<_>>(), first, now_ms));
    };
    if firing.is_empty() {
        return Ok(silent_until_ms(all, first, now_ms));
    }
    let each = firing.iter().map(|one| silent_until_ms(all, one, now_ms));
    // `None`, for one that is not silent, is the least.
    Ok(each.min().flatten())
}

/// The instances of an alert that fire; `None`: too many to look at each.
async fn firing(unit: &mut Unit, id: &str) -> Result<Option<Vec<Sighting>>, Error> {
    let found = alerts::firing_sightings(unit.connection(), id, INSTANCES_MAX).await?;
    if i64::try_from(found.len()).unwrap_or(INSTANCES_MAX) >= INSTANCES_MAX {
        return Ok(None);
    }
    Ok(Some(found.iter().filter_map(|json| serde_json::from_str(json).ok()).collect()))
}

async fn in_force(connection: &mut AnyConnection, now_ms: i64) -> Result<Vec<Silence>, Error> {
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

/// Keeps a silence of one alert, which its caller tells it: so that it is listed, and its owner warned before it
/// ends. One more than there may be is not kept, and is silent all the same. Until when the alert is silent: by
/// this or by another one that means it.
pub(super) async fn keep_of_alert(
    unit: &mut Unit,
    (id, first): (&str, &Sighting),
    until_ms: i64,
    by: &By<'_>,
) -> Result<i64, Error> {
    let now_ms = unit.now_ms();
    let before = now(unit).await?;
    end_of_alert(unit, &before, first, by).await?;
    let open = now(unit).await?;
    let longer_ms = silent_until(unit, &open, (id, first)).await?.unwrap_or(0);
    if i64::try_from(open.len()).unwrap_or(OPEN_MAX) >= OPEN_MAX {
        return Ok(until_ms.max(longer_ms));
    }
    let row = SilenceRow {
        id: SilenceId::from_entropy(crate::entropy::bytes()).to_string(),
        matcher: serde_json::to_string(&Matcher::of_alert(first)).unwrap_or_default(),
        owner: by.actor.to_owned(),
        reason: by.reason.to_owned(),
        from_ms: now_ms,
        until_ms,
    };
    let times = (warn_ms((now_ms, until_ms)), now_ms);
    rows::insert(unit.connection(), &row, times, (by.origin, ALL_HEARD)).await?;
    Ok(until_ms.max(longer_ms))
}

/// Ends those that silence one alert, and nothing else; its caller tells it. Whether there was something to end.
pub(super) async fn end_of_alert(
    unit: &mut Unit,
    all: &[Silence],
    first: &Sighting,
    by: &By<'_>,
) -> Result<bool, Error> {
    let now_ms = unit.now_ms();
    let mut is_ended = false;
    let its_own = Matcher::of_alert(first);
    for silence in all {
        if silence.matcher == its_own {
            let (id, ended) = (silence.id.as_str(), (by.actor, now_ms));
            rows::end(unit.connection(), id, ended, (by.origin, ALL_HEARD)).await?;
            is_ended = true;
        }
    }
    Ok(is_ended)
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
        let now_ms = self.clock().now_ms();
        Ok(silent_until_ms(&in_force(&mut reader, now_ms).await?, sighting, now_ms))
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
        let wish = Arc::new((asked, by.role().to_owned(), wanted));
        let answer = self
            .patiently(|| {
                let wish = Arc::clone(&wish);
                self.store.unit(move |unit| Box::pin(async move { wish_in(unit, &wish).await }))
            })
            .await?;
        // It is answered: who keeps the alerts goes on with what is left.
        if let Err(failure) = self.tell_of_silences().await {
            tracing::warn!("tell open alerts of a silence: {failure:#}");
        }
        self.alarms.notify_one();
        Ok(answer)
    }

    /// Tells open alerts of silences that began or ended, a batch of each silence; how many alerts were told or
    /// looked at. 0: all have heard of all.
    ///
    /// # Errors
    /// The database's; what was not told is by the next call.
    pub async fn tell_of_silences(&self) -> Result<usize, Error> {
        let mut reader = self.store.read().await?;
        let unheard = rows::unheard(&mut reader, UNHEARD_MAX).await?;
        drop(reader);
        let terms = self.terms_now();
        let mut told = 0;
        for id in unheard {
            told += self
                .patiently(|| {
                    let (id, terms) = (id.clone(), terms.clone());
                    self.store
                        .unit(move |unit| Box::pin(async move { tell_in(unit, &id, &terms).await }))
                })
                .await?;
        }
        if told > 0 {
            self.mail.notify_one();
        }
        Ok(told)
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
            begin_in(unit, asked, silence).await?
        }
        SilenceWish::End { id } => end_in(unit, asked, id).await?,
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

async fn begin_in(unit: &mut Unit, asked: &Asked, silence: Silence) -> Result<Silenced, Error> {
    let now_ms = unit.now_ms();
    rows::alone(unit).await?;
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
    let times = (warn_ms((silence.from_ms, silence.until_ms)), now_ms);
    rows::insert(unit.connection(), &row, times, (asked.origin, NONE_HEARD)).await?;
    let alerts = open_alerts(unit, &silence.matcher).await?;
    Ok(Silenced::Begun(silence, alerts))
}

async fn end_in(unit: &mut Unit, asked: &Asked, id: &SilenceId) -> Result<Silenced, Error> {
    let by = (asked.actor.as_str(), unit.now_ms());
    rows::alone(unit).await?;
    let ended = rows::end(unit.connection(), id.as_str(), by, (asked.origin, NONE_HEARD)).await?;
    let Some(silence) = ended.and_then(read) else { return Ok(Silenced::NoSuch) };
    let alerts = open_alerts(unit, &silence.matcher).await?;
    Ok(Silenced::Ended(silence, alerts))
}

/// How many open alerts a matcher means, by what speaks for each.
async fn open_alerts(unit: &mut Unit, matcher: &Matcher) -> Result<usize, Error> {
    let (mut count, mut after) = (0, String::new());
    for _ in 0..PAGES_MAX {
        let page = alerts::open_sightings_after(unit.connection(), &after, PAGE).await?;
        let Some((last, _)) = page.last() else { break };
        last.clone_into(&mut after);
        count += page.iter().filter(|(_, sighting)| means(matcher, sighting)).count();
    }
    Ok(count)
}

fn means(matcher: &Matcher, sighting: &str) -> bool {
    serde_json::from_str(sighting).is_ok_and(|one: Sighting| matcher.matches(&one))
}

/// Tells a batch of open alerts that a silence began or ended: each is silent as long as the silences say now.
async fn tell_in(unit: &mut Unit, id: &str, terms: &InForce) -> Result<usize, Error> {
    let Some(unheard) = rows::hold_unheard(unit.connection(), id).await? else { return Ok(0) };
    let (by, origin, is_ended) = (unheard.by, unheard.origin, unheard.is_ended);
    let Some(silence) = read(unheard.silence) else {
        rows::set_heard(unit.connection(), id, ALL_HEARD).await?;
        return Ok(0);
    };
    let all = now(unit).await?;
    let by = By { actor: &by, name: "", origin: &origin, reason: &silence.reason };
    // Every instance has what is no label in common.
    let about = Matcher { labels: BTreeMap::new(), ..silence.matcher.clone() };
    let (mut told, mut heard) = (0, unheard.heard);
    let page = alerts::open_sightings_after(unit.connection(), &heard, PAGE).await?;
    let looked_at = page.len();
    for (alert, sighting) in page {
        if told == TOLD_TOGETHER {
            rows::set_heard(unit.connection(), id, &heard).await?;
            return Ok(looked_at);
        }
        alert.clone_into(&mut heard);
        let is_about = about == Matcher::default() || means(&about, &sighting);
        let is_meant = is_about && is_any_meant(unit, &silence.matcher, &alert).await?;
        if is_meant && tell_alert(unit, &alert, (&all, is_ended), &by, terms).await? {
            told += 1;
        }
    }
    let is_last = i64::try_from(looked_at).is_ok_and(|count| count < PAGE);
    let heard = if is_last { ALL_HEARD } else { &heard };
    rows::set_heard(unit.connection(), id, heard).await?;
    Ok(looked_at)
}

/// Whether a silence by label means an instance of an alert that fires; without labels it means each.
async fn is_any_meant(unit: &mut Unit, matcher: &Matcher, id: &str) -> Result<bool, Error> {
    if matcher.labels.is_empty() {
        return Ok(true);
    }
    let firing = firing(unit, id).await?;
    Ok(firing.is_none_or(|firing| firing.iter().any(|one| matcher.matches(one))))
}

/// Tells one alert; whether there was something to tell.
async fn tell_alert(
    unit: &mut Unit,
    id: &str,
    (all, is_ended): (&[Silence], bool),
    by: &By<'_>,
    terms: &InForce,
) -> Result<bool, Error> {
    let Some(row) = alerts::hold(unit.connection(), id).await? else { return Ok(false) };
    // One that cannot be read keeps no other from hearing of it.
    let Ok(mut held) = Held::of(row) else { return Ok(false) };
    let silent_until_ms = silent_until(unit, all, held.named()).await?;
    let event = match silent_until_ms {
        Some(until_ms) if held.silenced_until_ms() != until_ms => Event::Silenced { until_ms },
        None if is_ended => Event::Unsilenced,
        _ => return Ok(false),
    };
    if is_ended && held.silenced_until_ms() == 0 {
        // Somebody ended it for this one before.
        return Ok(false);
    }
    // One that is over by now has nobody to be told anyway.
    let is_taken = held.take(unit, &event, by, terms).await?.is_ok();
    held.refresh(unit, terms).await?;
    Ok(is_taken)
}
