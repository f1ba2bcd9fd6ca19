//! Alerts and their instances: one function a question. Only `engine` calls the writers.

use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row};

/// Instances that one statement asks about or writes.
pub const BATCH: usize = 32;

/// A row of `alerts`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlertRow {
    /// `AL-…`.
    pub id: String,
    /// What its instances have in common.
    pub group_key: String,
    /// Rises with each change.
    pub version: i64,
    /// `open`, `acknowledged`, `resolved`.
    pub state: String,
    /// 1, 2 or 3.
    pub level: i64,
    /// When something is due.
    pub next_ms: i64,
    /// When its first instance was taken in.
    pub opened_ms: i64,
    /// When it changed last.
    pub changed_ms: i64,
    /// When it was resolved; 0: it is not.
    pub resolved_ms: i64,
    /// What is wrong.
    pub name: String,
    /// With what.
    pub service: String,
    /// Where.
    pub environment: String,
    /// The conversation of its card.
    pub channel: String,
    /// A `core::alert::Condition` as JSON.
    pub condition: String,
    /// The `core::alert::Sighting` that speaks for it, as JSON.
    pub sighting: String,
    /// Replies so far.
    pub notices: i64,
    /// The run of the checklist that was opened for it; empty: none.
    pub checklist_run: String,
}

/// A row of `alert_instances`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstanceRow {
    /// Source, fingerprint and beginning.
    pub key: String,
    /// Source and fingerprint.
    pub series: String,
    /// Since when it fires, as its source says.
    pub starts_ms: i64,
    /// When it was over; 0: it fires.
    pub ended_ms: i64,
    /// The alert that it belongs to; empty: none, for it was over before it was heard of.
    pub alert_id: String,
    /// When it was heard of last.
    pub seen_ms: i64,
    /// A `core::alert::Sighting` as JSON.
    pub sighting: String,
}

/// What a list of alerts shows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AlertFilter {
    /// Only those that are not over.
    pub is_open: bool,
    /// Only of this level; `None`: of each.
    pub level: Option<i64>,
    /// Only there; empty: anywhere.
    pub environment: String,
    /// Only of this name; empty: any.
    pub name: String,
    /// Only those that were opened before; `None`: from the newest on.
    pub before_ms: Option<i64>,
    /// Of those that were opened at that moment only the ids before this one; empty: none of them.
    pub before_id: String,
    /// At most so many.
    pub limit: i64,
}

fn alert(row: &AnyRow) -> sqlx::Result<AlertRow> {
    Ok(AlertRow {
        id: row.try_get(0)?,
        group_key: row.try_get(1)?,
        version: row.try_get(2)?,
        state: row.try_get(3)?,
        level: row.try_get(4)?,
        next_ms: row.try_get(5)?,
        opened_ms: row.try_get(6)?,
        changed_ms: row.try_get(7)?,
        resolved_ms: row.try_get(8)?,
        name: row.try_get(9)?,
        service: row.try_get(10)?,
        environment: row.try_get(11)?,
        channel: row.try_get(12)?,
        condition: row.try_get(13)?,
        sighting: row.try_get(14)?,
        notices: row.try_get(15)?,
        checklist_run: row.try_get(16)?,
    })
}

fn instance(row: &AnyRow) -> sqlx::Result<InstanceRow> {
    Ok(InstanceRow {
        key: row.try_get(0)?,
        series: row.try_get(1)?,
        starts_ms: row.try_get(2)?,
        ended_ms: row.try_get(3)?,
        alert_id: row.try_get(4)?,
        seen_ms: row.try_get(5)?,
        sighting: row.try_get(6)?,
    })
}

/// Takes the living alert of a group, so that nobody else changes it before this transaction ends.
///
/// # Errors
/// The database's.
pub async fn hold_living(
    connection: &mut AnyConnection,
    group_key: &str,
) -> sqlx::Result<Option<AlertRow>> {
    let row = sqlx::query(
        "update alerts set version = version + 1 where live_key = $1 returning id, group_key, version, \
         state, level, next_ms, opened_ms, changed_ms, resolved_ms, name, service, environment, channel, \
         condition, sighting, notices, checklist_run",
    )
    .bind(group_key)
    .fetch_optional(connection)
    .await?;
    row.as_ref().map(alert).transpose()
}

/// Takes an alert, as [`hold_living`] does.
///
/// # Errors
/// The database's.
pub async fn hold(connection: &mut AnyConnection, id: &str) -> sqlx::Result<Option<AlertRow>> {
    let row = sqlx::query(
        "update alerts set version = version + 1 where id = $1 returning id, group_key, version, state, \
         level, next_ms, opened_ms, changed_ms, resolved_ms, name, service, environment, channel, \
         condition, sighting, notices, checklist_run",
    )
    .bind(id)
    .fetch_optional(connection)
    .await?;
    row.as_ref().map(alert).transpose()
}

/// An alert as it is.
///
/// # Errors
/// The database's.
pub async fn alert_of(connection: &mut AnyConnection, id: &str) -> sqlx::Result<Option<AlertRow>> {
    let row = sqlx::query(
        "select id, group_key, version, state, level, next_ms, opened_ms, changed_ms, resolved_ms, name, \
         service, environment, channel, condition, sighting, notices, checklist_run from alerts \
         where id = $1",
    )
    .bind(id)
    .fetch_optional(connection)
    .await?;
    row.as_ref().map(alert).transpose()
}

/// Makes an alert live; `false`: its group has one, which another bot was quicker to make.
///
/// # Errors
/// The database's.
pub async fn insert(connection: &mut AnyConnection, row: &AlertRow) -> sqlx::Result<bool> {
    let inserted = sqlx::query(
        "insert into alerts (id, live_key, group_key, version, state, level, next_ms, opened_ms, \
         changed_ms, resolved_ms, name, service, environment, channel, condition, sighting, notices, \
         checklist_run) values ($1, $2, $2, 1, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, 0, '') \
         on conflict (live_key) do nothing",
    )
    .bind(&row.id)
    .bind(&row.group_key)
    .bind(&row.state)
    .bind(row.level)
    .bind(row.next_ms)
    .bind(row.opened_ms)
    .bind(row.changed_ms)
    .bind(row.resolved_ms)
    .bind(&row.name)
    .bind(&row.service)
    .bind(&row.environment)
    .bind(&row.channel)
    .bind(&row.condition)
    .bind(&row.sighting)
    .execute(connection)
    .await?;
    Ok(inserted.rows_affected() == 1)
}

/// Writes what of a held alert moves.
///
/// # Errors
/// The database's.
pub async fn change(connection: &mut AnyConnection, row: &AlertRow) -> sqlx::Result<()> {
    sqlx::query(
        "update alerts set state = $2, level = $3, next_ms = $4, changed_ms = $5, resolved_ms = $6, \
         condition = $7, sighting = $8, notices = $9, checklist_run = $10 where id = $1",
    )
    .bind(&row.id)
    .bind(&row.state)
    .bind(row.level)
    .bind(row.next_ms)
    .bind(row.changed_ms)
    .bind(row.resolved_ms)
    .bind(&row.condition)
    .bind(&row.sighting)
    .bind(row.notices)
    .bind(&row.checklist_run)
    .execute(connection)
    .await?;
    Ok(())
}

/// Lets a held alert live no more: what comes next in its group is another.
///
/// # Errors
/// The database's.
pub async fn retire(connection: &mut AnyConnection, id: &str) -> sqlx::Result<()> {
    sqlx::query("update alerts set live_key = id where id = $1")
        .bind(id)
        .execute(connection)
        .await?;
    Ok(())
}

/// The alerts for which something is due, what is due longest first.
///
/// # Errors
/// The database's.
pub async fn due(
    connection: &mut AnyConnection,
    now_ms: i64,
    limit: i64,
) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar("select id from alerts where next_ms <= $1 order by next_ms, id limit $2")
        .bind(now_ms)
        .bind(limit)
        .fetch_all(connection)
        .await
}

/// When something is due next; `None`: nothing is.
///
/// # Errors
/// The database's.
pub async fn next_due_ms(connection: &mut AnyConnection) -> sqlx::Result<Option<i64>> {
    sqlx::query_scalar("select cast(min(next_ms) as bigint) from alerts")
        .fetch_one(connection)
        .await
}

/// Those that are wanted, the newest first.
///
/// # Errors
/// The database's.
pub async fn list(
    connection: &mut AnyConnection,
    filter: &AlertFilter,
) -> sqlx::Result<Vec<AlertRow>> {
    let rows = sqlx::query(
        "select id, group_key, version, state, level, next_ms, opened_ms, changed_ms, resolved_ms, name, \
         service, environment, channel, condition, sighting, notices, checklist_run from alerts \
         where ($1 = 0 or state <> 'resolved') and ($2 = 0 or level = $2) and ($3 = '' or environment = $3) \
         and ($4 = '' or name = $4) and ($5 = 0 or opened_ms < $5 \
         or opened_ms = $5 and id < $6) order by opened_ms desc, id desc limit $7",
    )
    .bind(i64::from(filter.is_open))
    .bind(filter.level.unwrap_or(0))
    .bind(&filter.environment)
    .bind(&filter.name)
    .bind(filter.before_ms.unwrap_or(0))
    .bind(&filter.before_id)
    .bind(filter.limit)
    .fetch_all(connection)
    .await?;
    rows.iter().map(alert).collect()
}

/// The ids of alerts in an environment that are not over and have this name.
///
/// # Errors
/// The database's.
pub async fn open_named(
    connection: &mut AnyConnection,
    environment: &str,
    name: &str,
    limit: i64,
) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar(
        "select id from alerts where state <> 'resolved' and environment = $1 and name = $2 \
         order by id limit $3",
    )
    .bind(environment)
    .bind(name)
    .bind(limit)
    .fetch_all(connection)
    .await
}

/// An alert that is not over, for whoever looks whether another explains it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenAlert {
    /// `AL-…`.
    pub id: String,
    /// What is wrong.
    pub name: String,
    /// Where.
    pub environment: String,
    /// Whether another alert keeps it quiet.
    pub is_inhibited: bool,
}

/// Alerts that are not over, in the order of their ids behind this one.
///
/// # Errors
/// The database's.
pub async fn open_after(
    connection: &mut AnyConnection,
    after: &str,
    limit: i64,
) -> sqlx::Result<Vec<OpenAlert>> {
    let rows = sqlx::query(
        "select id, name, environment, cast(case when condition like '%\"is_inhibited\":true%' then 1 else 0 end as bigint) \
         from alerts where id > $1 and state in ('open', 'acknowledged') order by id limit $2",
    )
    .bind(after)
    .bind(limit)
    .fetch_all(connection)
    .await?;
    let open = |row: &AnyRow| {
        Ok(OpenAlert {
            id: row.try_get(0)?,
            name: row.try_get(1)?,
            environment: row.try_get(2)?,
            is_inhibited: row.try_get::<i64, _>(3)? != 0,
        })
    };
    rows.iter().map(open).collect()
}

/// The same: their ids, and the sightings that speak for them, as JSON.
///
/// # Errors
/// The database's.
pub async fn open_sightings_after(
    connection: &mut AnyConnection,
    after: &str,
    limit: i64,
) -> sqlx::Result<Vec<(String, String)>> {
    let rows = sqlx::query(
        "select id, sighting from alerts where id > $1 and state in ('open', 'acknowledged') \
         order by id limit $2",
    )
    .bind(after)
    .bind(limit)
    .fetch_all(connection)
    .await?;
    rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
}

/// The sightings of the instances of an alert that fire, as JSON.
///
/// # Errors
/// The database's.
pub async fn firing_sightings(
    connection: &mut AnyConnection,
    alert_id: &str,
    limit: i64,
) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar(
        "select sighting from alert_instances where alert_id = $1 and ended_ms = 0 \
         order by key limit $2",
    )
    .bind(alert_id)
    .bind(limit)
    .fetch_all(connection)
    .await
}

/// How many alerts are open, by level from 1 on.
///
/// # Errors
/// The database's.
pub async fn census(connection: &mut AnyConnection) -> sqlx::Result<[i64; 3]> {
    let rows = sqlx::query(
        "select level, count(*) from alerts where state in ('open', 'acknowledged') group by level",
    )
    .fetch_all(connection)
    .await?;
    let mut census = [0; 3];
    for row in rows {
        let level: i64 = row.try_get(0)?;
        if let Some(count) = usize::try_from(level - 1).ok().and_then(|at| census.get_mut(at)) {
            *count = row.try_get(1)?;
        }
    }
    Ok(census)
}

/// What is known of instances, at most [`BATCH`] of them (their series and their keys): those themselves,
/// and of their series what fires and what began last, but not after `until_ms`. In the order of their beginnings.
///
/// # Errors
/// The database's.
pub async fn known_instances(
    connection: &mut AnyConnection,
    wanted: &[(String, String)],
    until_ms: i64,
) -> sqlx::Result<Vec<InstanceRow>> {
    let mut query = sqlx::query(
        "select key, series, starts_ms, ended_ms, alert_id, seen_ms, sighting from alert_instances a \
         where series in ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, \
         $19, $20, $21, $22, $23, $24, $25, $26, $27, $28, $29, $30, $31, $32) and (ended_ms = 0 or key in \
         ($33, $34, $35, $36, $37, $38, $39, $40, $41, $42, $43, $44, $45, $46, $47, $48, $49, $50, $51, \
         $52, $53, $54, $55, $56, $57, $58, $59, $60, $61, $62, $63, $64) or starts_ms = \
         (select max(b.starts_ms) from alert_instances b where b.series = a.series and b.starts_ms <= $65)) \
         order by starts_ms",
    );
    for at in 0..BATCH {
        query = query.bind(wanted.get(at).map_or("", |(series, _)| series.as_str()));
    }
    for at in 0..BATCH {
        query = query.bind(wanted.get(at).map_or("", |(_, key)| key.as_str()));
    }
    query = query.bind(until_ms);
    query.fetch_all(connection).await?.iter().map(instance).collect()
}

/// Writes instances, new or changed, at most [`BATCH`] of them and no key twice.
///
/// # Errors
/// The database's.
pub async fn put_instances(
    connection: &mut AnyConnection,
    rows: &[InstanceRow],
) -> sqlx::Result<()> {
    let mut query = sqlx::query(
        "insert into alert_instances (key, series, starts_ms, ended_ms, alert_id, seen_ms, \
         sighting) select column1, column2, column3, column4, column5, column6, column7 from \
         (values ($1, $2, $3, $4, $5, $6, $7), ($8, $9, $10, $11, $12, $13, $14), ($15, $16, \
         $17, $18, $19, $20, $21), ($22, $23, $24, $25, $26, $27, $28), ($29, $30, $31, $32, \
         $33, $34, $35), ($36, $37, $38, $39, $40, $41, $42), ($43, $44, $45, $46, $47, $48, \
         $49), ($50, $51, $52, $53, $54, $55, $56), ($57, $58, $59, $60, $61, $62, $63), \
         ($64, $65, $66, $67, $68, $69, $70), ($71, $72, $73, $74, $75, $76, $77), ($78, $79, \
         $80, $81, $82, $83, $84), ($85, $86, $87, $88, $89, $90, $91), ($92, $93, $94, $95, \
         $96, $97, $98), ($99, $100, $101, $102, $103, $104, $105), ($106, $107, $108, $109, \
         $110, $111, $112), ($113, $114, $115, $116, $117, $118, $119), ($120, $121, $122, \
         $123, $124, $125, $126), ($127, $128, $129, $130, $131, $132, $133), ($134, $135, \
         $136, $137, $138, $139, $140), ($141, $142, $143, $144, $145, $146, $147), ($148, \
         $149, $150, $151, $152, $153, $154), ($155, $156, $157, $158, $159, $160, $161), \
         ($162, $163, $164, $165, $166, $167, $168), ($169, $170, $171, $172, $173, $174, \
         $175), ($176, $177, $178, $179, $180, $181, $182), ($183, $184, $185, $186, $187, \
         $188, $189), ($190, $191, $192, $193, $194, $195, $196), ($197, $198, $199, $200, \
         $201, $202, $203), ($204, $205, $206, $207, $208, $209, $210), ($211, $212, $213, \
         $214, $215, $216, $217), ($218, $219, $220, $221, $222, $223, $224)) as v where \
         column1 <> '' on conflict (key) do update set ended_ms = case when \
         alert_instances.ended_ms <> 0 then alert_instances.ended_ms else excluded.ended_ms \
         end, alert_id = case when alert_instances.alert_id <> '' then \
         alert_instances.alert_id else excluded.alert_id end, seen_ms = excluded.seen_ms, \
         sighting = excluded.sighting",
    );
    // The places of those that there are not have no key, and are passed over.
    for at in 0..BATCH {
        let row = rows.get(at);
        let text = |of: fn(&InstanceRow) -> &str| row.map_or("", of);
        let number = |of: fn(&InstanceRow) -> i64| row.map_or(0, of);
        query = query
            .bind(text(|row| &row.key))
            .bind(text(|row| &row.series))
            .bind(number(|row| row.starts_ms))
            .bind(number(|row| row.ended_ms))
            .bind(text(|row| &row.alert_id))
            .bind(number(|row| row.seen_ms))
            .bind(text(|row| &row.sighting));
    }
    query.execute(connection).await?;
    Ok(())
}

/// Lets an instance that was over be taken in anew, by whichever alert of its group lives then.
///
/// # Errors
/// The database's.
pub async fn forget_end(connection: &mut AnyConnection, key: &str) -> sqlx::Result<()> {
    sqlx::query("update alert_instances set ended_ms = 0, alert_id = '' where key = $1")
        .bind(key)
        .execute(connection)
        .await?;
    Ok(())
}

/// Ends every instance of an alert that fires.
///
/// # Errors
/// The database's.
pub async fn end_instances(
    connection: &mut AnyConnection,
    alert_id: &str,
    now_ms: i64,
) -> sqlx::Result<()> {
    sqlx::query(
        "update alert_instances set ended_ms = $2, seen_ms = $2 where alert_id = $1 and ended_ms = 0",
    )
    .bind(alert_id)
    .bind(now_ms)
    .execute(connection)
    .await?;
    Ok(())
}

/// How many instances of an alert fire, and how many there were.
///
/// # Errors
/// The database's.
pub async fn count_instances(
    connection: &mut AnyConnection,
    alert_id: &str,
) -> sqlx::Result<(i64, i64)> {
    let row = sqlx::query(
        "select count(distinct case when ended_ms = 0 then series end), count(distinct series) \
         from alert_instances where alert_id = $1",
    )
    .bind(alert_id)
    .fetch_one(connection)
    .await?;
    Ok((row.try_get(0)?, row.try_get(1)?))
}

/// The instances of an alert, those that fire first, then the newest.
///
/// # Errors
/// The database's.
pub async fn instances_of_alert(
    connection: &mut AnyConnection,
    alert_id: &str,
    limit: i64,
) -> sqlx::Result<Vec<InstanceRow>> {
    let rows = sqlx::query(
        "select key, series, starts_ms, ended_ms, alert_id, seen_ms, sighting from alert_instances \
         where alert_id = $1 order by case when ended_ms = 0 then 0 else 1 end, starts_ms desc, key \
         limit $2",
    )
    .bind(alert_id)
    .bind(limit)
    .fetch_all(connection)
    .await?;
    rows.iter().map(instance).collect()
}

/// A notice of an alert that waits, or that was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// The slot's key: `alert/AL-…/…`.
    pub key: String,
    /// Where it should be.
    pub channel: String,
    /// Why it was refused; empty: it was not.
    pub refusal: String,
    /// The condition of its alert, as JSON.
    pub condition: String,
}

/// Notices of open alerts that were refused, or are due since before `tried_ms` though they were tried, or
/// since before `any_ms` though nobody has tried, and of which people were not told at this level: what waits
/// longest first.
///
/// # Errors
/// The database's.
pub async fn waiting_notices(
    connection: &mut AnyConnection,
    (tried_ms, any_ms): (i64, i64),
    limit: i64,
) -> sqlx::Result<Vec<Waiting>> {
    let rows = sqlx::query(
        // An alert's id is of eleven letters, and its notices are `alert/AL-…/…`.
        "select o.key, o.channel, o.refusal, a.condition from outbox o \
         join outbox_channels c on c.channel = o.channel join alerts a on a.id = substr(o.key, 7, 11) \
         where (o.state = 'refused' or (o.state = 'due' and o.due_ms < $2) or \
         (o.state = 'due' and o.due_ms < $1 and (o.attempts > 0 or c.failures > 0))) \
         and o.key like 'alert/%' and a.state = 'open' and not exists (\
           select 1 from alert_undelivered u where u.alert_id = a.id and u.channel = c.way \
           and u.level = a.level) order by o.due_ms, o.key limit $3",
    )
    .bind(tried_ms)
    .bind(any_ms)
    .bind(limit)
    .fetch_all(connection)
    .await?;
    rows.iter()
        .map(|row| {
            let (key, channel) = (row.try_get(0)?, row.try_get(1)?);
            Ok(Waiting { key, channel, refusal: row.try_get(2)?, condition: row.try_get(3)? })
        })
        .collect()
}

/// Notes that people are told by the other ways of what does not get through by one, at a level; `false`:
/// they were.
///
/// # Errors
/// The database's.
pub async fn tell_undelivered(
    connection: &mut AnyConnection,
    (alert_id, way, level): (&str, &str, i64),
    (key, now_ms): (&str, i64),
) -> sqlx::Result<bool> {
    let noted = sqlx::query(
        "insert into alert_undelivered (alert_id, channel, level, key, at_ms) values ($1, $2, $3, $4, $5) \
         on conflict (alert_id, channel, level) do nothing",
    )
    .bind(alert_id)
    .bind(way)
    .bind(level)
    .bind(key)
    .bind(now_ms)
    .execute(connection)
    .await?;
    Ok(noted.rows_affected() == 1)
}
