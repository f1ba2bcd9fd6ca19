//! What sources say, taken in: which instances are new, which are over, and what that means for the alert
//! that they belong to. The same again changes nothing, in whatever order it comes.

use super::super::silences;
use super::{By, Engine, Error, Held, INSTANCES_MAX, InForce, entry, rows};
use crate::core::alert::{CLOCK_AHEAD_MS_MAX, Condition, Event, Level, Sighting};
use crate::core::id::AlertId;
use crate::core::silence::Silence;
use crate::source::alertmanager;
use crate::store::Unit;
use crate::store::alerts::{AlertRow, BATCH, InstanceRow};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

/// Sightings that one transaction takes in; the rest goes into the next.
const TOGETHER_MAX: usize = 1_000;
/// What is said to fire so long after its end was taken in is no delivery that comes late: whoever sends
/// tries again within a minute and a half.
const LATE_MS_MAX: i64 = 2 * 60_000;

/// What came of sightings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Observed {
    /// New instances that fire.
    pub fired: usize,
    /// Instances that are over now.
    pub ended: usize,
    /// Nothing new.
    pub known: usize,
}

impl Engine {
    /// Takes in what sources say, in the order of the list. Instances are told apart by source,
    /// fingerprint and beginning. What comes late changes nothing: one that has ended does not fire again,
    /// and an older beginning does not take the place of a newer one; unless another program says so when
    /// nothing of that fingerprint has fired for two minutes. More than a thousand are several
    /// transactions, each whole.
    ///
    /// # Errors
    /// The database's; what was not written can be said again.
    pub async fn observe(&self, sightings: Vec<Sighting>) -> Result<Observed, Error> {
        let mut all = Observed::default();
        let in_force = self.terms_now();
        let mut rest = sightings.into_iter();
        loop {
            let together: Arc<[Sighting]> = rest.by_ref().take(TOGETHER_MAX).collect();
            if together.is_empty() {
                break;
            }
            let observed = self.observe_together(together, &in_force).await?;
            all.fired += observed.fired;
            all.ended += observed.ended;
            all.known += observed.known;
        }
        if all.fired + all.ended > 0 {
            self.mail.notify_one();
            self.alarms.notify_one();
        }
        Ok(all)
    }

    async fn observe_together(
        &self,
        sightings: Arc<[Sighting]>,
        in_force: &InForce,
    ) -> Result<Observed, Error> {
        // Alertmanager repeats itself: what is known needs no writer.
        let mut reader = self.store().read().await?;
        let known = known(&mut reader, &sightings, self.clock().now_ms()).await?;
        drop(reader);
        let now_ms = self.clock().now_ms();
        if sightings.iter().all(|one| known.says_nothing_new(one, now_ms)) {
            return Ok(Observed { known: sightings.len(), ..Observed::default() });
        }
        self.patiently(|| {
            let (sightings, in_force) = (Arc::clone(&sightings), in_force.clone());
            self.store().unit(move |unit| {
                Box::pin(async move {
                    Box::pin(observe_in(unit, &sightings, &By::BOT, &in_force)).await
                })
            })
        })
        .await
    }
}

fn series_of(one: &Sighting) -> String {
    format!("{}/{}", one.source, one.fingerprint)
}

fn key_of(one: &Sighting) -> String {
    format!("{}/{}/{}", one.source, one.fingerprint, one.starts_ms)
}

/// What is stored of the instances that sightings are about.
#[derive(Default)]
struct Known {
    by_key: HashMap<String, InstanceRow>,
    /// The beginnings of each series that are of interest, in their order.
    by_series: HashMap<String, Vec<String>>,
    /// What began later did not.
    until_ms: i64,
}

impl Known {
    fn put(&mut self, row: InstanceRow) {
        let keys = self.by_series.entry(row.series.clone()).or_default();
        if !keys.contains(&row.key) {
            keys.push(row.key.clone());
        }
        self.by_key.insert(row.key.clone(), row);
    }

    fn rows_of(&self, series: &str) -> impl Iterator<Item = &InstanceRow> {
        let keys = self.by_series.get(series).map_or(&[][..], Vec::as_slice);
        keys.iter().filter_map(|key| self.by_key.get(key))
    }

    /// When the newest of a series began, as far as that can be true.
    fn newest_ms(&self, series: &str) -> Option<i64> {
        let begun = self.rows_of(series).map(|row| row.starts_ms);
        begun.filter(|starts_ms| *starts_ms <= self.until_ms).max()
    }

    fn firing_of(&self, series: &str) -> Vec<InstanceRow> {
        self.rows_of(series).filter(|row| row.ended_ms == 0).cloned().collect()
    }

    /// Whether this says that what was over fires again: all that is known of it is over, and has been for
    /// longer than a delivery is late. Alertmanager says it of the same beginning when Prometheus was out of
    /// its reach meanwhile, or when one of two Prometheus goes on after the other's end. What the bot measures
    /// itself begins anew each time.
    fn fires_again(&self, one: &Sighting, now_ms: i64) -> bool {
        let is_long_over =
            |row: &InstanceRow| row.ended_ms != 0 && now_ms - row.seen_ms >= LATE_MS_MAX;
        one.ended_ms.is_none()
            && one.is_from_outside()
            && self.rows_of(&series_of(one)).all(is_long_over)
    }

    fn says_nothing_new(&self, one: &Sighting, now_ms: i64) -> bool {
        let Some(row) = self.by_key.get(&key_of(one)) else { return false };
        match one.ended_ms {
            Some(_) => row.ended_ms != 0 && self.firing_of(&row.series).is_empty(),
            None if row.ended_ms != 0 => !self.fires_again(one, now_ms),
            None => serde_json::to_string(one).is_ok_and(|json| json == row.sighting),
        }
    }
}

async fn known(
    connection: &mut sqlx::AnyConnection,
    sightings: &[Sighting],
    now_ms: i64,
) -> Result<Known, Error> {
    let until_ms = now_ms.saturating_add(CLOCK_AHEAD_MS_MAX);
    let mut known = Known { until_ms, ..Known::default() };
    for batch in sightings.chunks(BATCH) {
        let wanted: Vec<_> = batch.iter().map(|one| (series_of(one), key_of(one))).collect();
        for row in rows::known_instances(connection, &wanted, until_ms).await? {
            known.put(row);
        }
    }
    Ok(known)
}

/// What happens to one group in this transaction.
#[derive(Default)]
struct Change {
    fired: Vec<Sighting>,
    ended: Vec<InstanceRow>,
    changed: Vec<Sighting>,
}

/// Takes sightings in, all of them in this transaction. `by` says why, where that is not their source's word.
pub(in crate::engine) async fn observe_in(
    unit: &mut Unit,
    sightings: &[Sighting],
    by: &By<'_>,
    in_force: &InForce,
) -> Result<Observed, Error> {
    let now_ms = unit.now_ms();
    silences::share(unit).await?;
    // The groups first, always in their order: two bots that take in the same wait for each other here.
    let groups: BTreeSet<String> = sightings.iter().map(Sighting::group).collect();
    let mut held: BTreeSet<String> = BTreeSet::new();
    for group in groups {
        if rows::hold_living(unit.connection(), &group).await?.is_some() {
            held.insert(group);
        }
    }
    let mut known = known(unit.connection(), sightings, now_ms).await?;
    let mut observed = Observed::default();
    let mut changes: BTreeMap<String, Change> = BTreeMap::new();
    let mut ended_elsewhere: BTreeMap<String, Vec<InstanceRow>> = BTreeMap::new();
    // Over before any alert had them.
    let mut over: Vec<InstanceRow> = Vec::new();
    for one in sightings {
        let (key, series, group) = (key_of(one), series_of(one), one.group());
        let json = serde_json::to_string(one).unwrap_or_default();
        let ended_before = observed.ended;
        for row in known.firing_of(&series) {
            let Some(ended_ms) = end_of(&row, one) else { continue };
            observed.ended += 1;
            let row = InstanceRow { ended_ms: ended_ms.max(1), seen_ms: now_ms, ..row };
            known.put(row.clone());
            end(row, &mut changes, &mut ended_elsewhere, &mut over);
        }
        let fires_again = known.fires_again(one, now_ms);
        if let Some(row) = known.by_key.get(&key).cloned() {
            if !fires_again {
                if row.ended_ms == 0 && row.sighting != json {
                    known.put(InstanceRow { sighting: json, seen_ms: now_ms, ..row });
                    changes.entry(group).or_default().changed.push(one.clone());
                }
                observed.known += usize::from(observed.ended == ended_before);
                continue;
            }
            rows::forget_end(unit.connection(), &key).await?;
        }
        let newest_ms = known.newest_ms(&series).filter(|_| !fires_again);
        let mut row = InstanceRow {
            key,
            series: series.clone(),
            starts_ms: one.starts_ms,
            ended_ms: one.ended_ms.map_or(0, |ms| ms.max(1)),
            alert_id: String::new(),
            seen_ms: now_ms,
            sighting: json,
        };
        if let Some(newest_ms) = newest_ms.filter(|newest_ms| *newest_ms > one.starts_ms) {
            // Delivered late: what began after it says that it is over.
            row.ended_ms = if row.ended_ms == 0 { newest_ms.max(1) } else { row.ended_ms };
            observed.known += 1;
        } else {
            for older in known.firing_of(&series) {
                observed.ended += 1;
                let older = InstanceRow { ended_ms: one.starts_ms.max(1), ..older };
                known.put(older.clone());
                end(older, &mut changes, &mut ended_elsewhere, &mut over);
            }
            if row.ended_ms == 0 {
                observed.fired += 1;
                changes.entry(group).or_default().fired.push(one.clone());
            } else {
                observed.known += 1;
            }
        }
        if row.ended_ms != 0 {
            over.push(row.clone());
        }
        known.put(row);
    }
    put(unit, over.clone()).await?;
    if has_an_alert(unit, &over).await? {
        return Err(Error::Overtaken);
    }
    let silences = if changes.is_empty() { Vec::new() } else { silences::now(unit).await? };
    let explains = |name: &str| in_force.alerting.inhibitions.iter().any(|one| one.by == name);
    // What explains others begins before them, and ends after them: nobody is called in between.
    let mut changes: Vec<(String, Change)> = changes.into_iter().collect();
    changes.sort_by_key(|(_, change)| !change.fired.iter().any(|one| explains(&one.name)));
    // Read once more: what is worked into one may have moved another, which it explains.
    for (group, change) in changes {
        let alert = match rows::hold_living(unit.connection(), &group).await? {
            // Another transaction has made it since: what it knows was not known here.
            Some(_) if !held.contains(&group) && !change.fired.is_empty() => {
                return Err(Error::Overtaken);
            }
            row => row.map(Held::of).transpose()?,
        };
        let ended = alert.as_ref().and_then(|alert| ended_elsewhere.remove(&alert.row.id));
        let change = Change { ended: ended.unwrap_or_default(), ..change };
        work_in(unit, alert, (&group, change), &silences, (by, in_force)).await?;
    }
    let mut ended_elsewhere: Vec<(String, Vec<InstanceRow>)> =
        ended_elsewhere.into_iter().collect();
    ended_elsewhere.sort_by_key(|(_, ended)| ended.iter().any(|row| explains(&name_of(row))));
    for (id, ended) in ended_elsewhere {
        let alert = rows::hold(unit.connection(), &id).await?.map(Held::of).transpose()?;
        let change = Change { ended, ..Change::default() };
        work_in(unit, alert, ("", change), &silences, (by, in_force)).await?;
    }
    Ok(observed)
}

/// What is wrong, as an instance's last sighting says.
fn name_of(row: &InstanceRow) -> String {
    serde_json::from_str::<Sighting>(&row.sighting).map_or_else(|_| String::new(), |one| one.name)
}

/// Whether one of these instances, which no alert had, has one: another transaction took it in meanwhile.
async fn has_an_alert(unit: &mut Unit, instances: &[InstanceRow]) -> Result<bool, Error> {
    for batch in instances.chunks(BATCH) {
        let wanted: Vec<_> =
            batch.iter().map(|row| (row.series.clone(), row.key.clone())).collect();
        let stored = rows::known_instances(unit.connection(), &wanted, 0).await?;
        let is_one = |row: &InstanceRow| batch.iter().any(|one| one.key == row.key);
        if stored.iter().any(|row| is_one(row) && !row.alert_id.is_empty()) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// When an instance that fires was over, if this says so: its own end does, and from Alertmanager every end
/// after its beginning. Where two Prometheus watch the same, Alertmanager names now the one's beginning
/// and now the other's.
fn end_of(row: &InstanceRow, one: &Sighting) -> Option<i64> {
    let is_own = row.key == key_of(one);
    let is_anybodys = one.source == alertmanager::SOURCE;
    one.ended_ms.filter(|ended_ms| is_own || (is_anybodys && row.starts_ms < *ended_ms))
}

/// Ends an instance: as its alert's, or, where it began in this same transaction, before it had one.
fn end(
    row: InstanceRow,
    changes: &mut BTreeMap<String, Change>,
    ended_elsewhere: &mut BTreeMap<String, Vec<InstanceRow>>,
    over: &mut Vec<InstanceRow>,
) {
    if row.alert_id.is_empty() {
        for change in changes.values_mut() {
            change.fired.retain(|one| key_of(one) != row.key);
            change.changed.retain(|one| key_of(one) != row.key);
        }
        over.push(row);
    } else {
        ended_elsewhere.entry(row.alert_id.clone()).or_default().push(row);
    }
}

/// Writes instances; of one that is there twice, the last.
async fn put(unit: &mut Unit, instances: Vec<InstanceRow>) -> Result<(), Error> {
    let by_key: BTreeMap<String, InstanceRow> =
        instances.into_iter().map(|row| (row.key.clone(), row)).collect();
    let instances: Vec<InstanceRow> = by_key.into_values().collect();
    for batch in instances.chunks(BATCH) {
        rows::put_instances(unit.connection(), batch).await?;
    }
    Ok(())
}

/// Writes the instances of a group, and what they mean for its alert, which is made if there is none.
async fn work_in(
    unit: &mut Unit,
    alert: Option<Held>,
    (group, change): (&str, Change),
    silences: &[Silence],
    (by, in_force): (&By<'_>, &InForce),
) -> Result<(), Error> {
    let now_ms = unit.now_ms();
    let ended: BTreeSet<String> = change.ended.iter().map(|row| row.series.clone()).collect();
    put(unit, change.ended).await?;
    let mut alert = match alert {
        Some(alert) if alert.is_past(now_ms) && !change.fired.is_empty() => {
            rows::retire(unit.connection(), &alert.row.id).await?;
            None
        }
        other => other,
    };
    let mut held = match (alert.take(), worst(&change.fired)) {
        (Some(alert), _) => alert,
        (None, Some(first)) => begin(unit, group, first, in_force).await?,
        (None, None) => return Ok(()),
    };
    let id = held.row.id.clone();
    let firing = change.fired.iter().chain(&change.changed).map(|one| InstanceRow {
        key: key_of(one),
        series: series_of(one),
        starts_ms: one.starts_ms,
        ended_ms: 0,
        alert_id: id.clone(),
        seen_ms: now_ms,
        sighting: serde_json::to_string(one).unwrap_or_default(),
    });
    put(unit, firing.collect()).await?;
    let (firing, _) = rows::count_instances(unit.connection(), &id).await?;
    let spoke = series_of(&held.first);
    let is_well = ended.contains(&spoke) && !change.fired.iter().any(|one| series_of(one) == spoke);
    if is_well && firing > 0 {
        held.speak_for_who_is_left(unit).await?;
    } else if let Some(first) = worst(&change.fired).or_else(|| worst(&change.changed)) {
        held.speak_for(first, change.fired.is_empty() || firing > 1);
    }
    let level = worst(change.fired.iter().chain(&change.changed)).map(|one| one.level);
    if let Some(level) = level
        && (!change.fired.is_empty() || level > held.condition.level)
    {
        held.make_ready(unit, level, (silences, in_force)).await?;
        let _ = held.take(unit, &Event::Fired(level), by, in_force).await?;
    }
    if firing == 0 {
        let _ = held.take(unit, &Event::Cleared, by, in_force).await?;
    }
    // The count of its instances, or a value, may be all that changed.
    held.refresh(unit, in_force).await
}

/// The sighting that speaks for several: the worst, and of those the first.
fn worst<'s>(sightings: impl IntoIterator<Item = &'s Sighting>) -> Option<&'s Sighting> {
    sightings.into_iter().max_by_key(|one| (one.level, std::cmp::Reverse(one.starts_ms)))
}

/// A new alert of a group.
///
/// # Errors
/// [`Error::Overtaken`]: another bot has made it.
async fn begin(
    unit: &mut Unit,
    group: &str,
    first: &Sighting,
    in_force: &InForce,
) -> Result<Held, Error> {
    let now_ms = unit.now_ms();
    let runbook = &in_force.runbook;
    let environment = runbook.environments.get(&first.environment);
    let environment = environment.or_else(|| runbook.default_environment());
    let channel = environment.map(|one| one.channel.to_string()).unwrap_or_default();
    let condition = Condition::before(first.level);
    let row = AlertRow {
        id: AlertId::from_entropy(crate::entropy::bytes()).to_string(),
        group_key: group.to_owned(),
        version: 1,
        state: condition.state.as_str().to_owned(),
        level: i64::from(first.level.number()),
        next_ms: condition.next_ms,
        opened_ms: now_ms,
        changed_ms: now_ms,
        resolved_ms: 0,
        name: first.name.clone(),
        service: first.service.clone(),
        environment: first.environment.clone(),
        channel,
        condition: serde_json::to_string(&condition).unwrap_or_default(),
        sighting: serde_json::to_string(first).unwrap_or_default(),
        notices: 0,
        checklist_run: String::new(),
    };
    if !rows::insert(unit.connection(), &row).await? {
        return Err(Error::Overtaken);
    }
    Ok(Held { row, condition, first: first.clone() })
}

impl Held {
    /// Whether it ended so long ago that what comes now is another.
    fn is_past(&self, now_ms: i64) -> bool {
        let condition = &self.condition;
        let is_over = condition.is_over() && condition.resolved_ms > 0;
        is_over
            && !condition.is_firing
            && now_ms - condition.resolved_ms > crate::core::alert::REOPENS_WITHIN_MS
    }

    /// Whoever spoke for it is well again: the worst of those that fire does now.
    async fn speak_for_who_is_left(&mut self, unit: &mut Unit) -> Result<(), Error> {
        let id = &self.row.id;
        let left = rows::firing_sightings(unit.connection(), id, INSTANCES_MAX).await?;
        let left: Vec<Sighting> =
            left.iter().filter_map(|json| serde_json::from_str(json).ok()).collect();
        if let Some(first) = worst(&left) {
            let starts_ms = self.first.starts_ms.min(first.starts_ms);
            self.first = Sighting { starts_ms, ..first.clone() };
        }
        Ok(())
    }

    /// What holds for it as it opens, whatever held when it ended: whether another alert explains it, and
    /// until when it is silenced.
    pub(super) async fn look_around(
        &mut self,
        unit: &mut Unit,
        silences: &[Silence],
        in_force: &InForce,
    ) -> Result<(), Error> {
        self.condition.is_inhibited = self.is_inhibited(unit, in_force).await?;
        let silent_until_ms = silences::silent_until(unit, silences, self.named()).await?;
        self.condition.silenced_until_ms = silent_until_ms.unwrap_or(0);
        Ok(())
    }

    /// What an instance that is new, or of a higher level, finds around its alert.
    async fn make_ready(
        &mut self,
        unit: &mut Unit,
        level: Level,
        (silences, in_force): (&[Silence], &InForce),
    ) -> Result<(), Error> {
        let condition = &self.condition;
        let was_incident = !condition.is_over() && condition.level == Level::Critical;
        let is_new_incident = !was_incident && level.max(condition.level) == Level::Critical;
        // Who may silence a lesser alert need not be somebody who may silence an incident.
        let is_unsilenced = is_new_incident
            && silences::end_of_alert(unit, silences, &self.first, &By::BOT).await?;
        let left = if is_unsilenced { silences::now(unit).await? } else { Vec::new() };
        let silences = if is_unsilenced { &left[..] } else { silences };
        let lang = in_force.runbook.language;
        if is_unsilenced {
            let reason = lang.pick("现在是三级", "it is of level 3 now");
            let by = By { reason, ..By::BOT };
            let entry = entry(self, "alert.unsilenced", &by, json!({}), unit.now_ms());
            unit.journal(entry);
        }
        if self.condition.is_over() {
            return self.look_around(unit, silences, in_force).await;
        }
        if self.condition.silenced_until_ms > unit.now_ms() {
            match silences::silent_until(unit, silences, self.named()).await? {
                Some(until_ms) => self.condition.silenced_until_ms = until_ms,
                None if is_new_incident => self.condition.silenced_until_ms = 0,
                None => {
                    let reason =
                        lang.pick("有未被静默的实例", "an instance fires that no silence means");
                    let by = By { reason, ..By::BOT };
                    // It is open: nothing refuses this.
                    let _ = self.take(unit, &Event::Unsilenced, &by, in_force).await?;
                }
            }
        }
        Ok(())
    }

    /// Another instance, or another value of it, speaks for the alert. A worse one takes the place of what
    /// spoke before; else its beginning stays that of the first.
    fn speak_for(&mut self, one: &Sighting, is_joining: bool) {
        if is_joining && !self.condition.is_over() {
            if one.level < self.first.level {
                return;
            }
            let starts_ms = self.first.starts_ms.min(one.starts_ms);
            self.first = Sighting { starts_ms, ..one.clone() };
        } else {
            self.first = one.clone();
        }
    }
}
