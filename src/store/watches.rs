//! What the bots watch of themselves and of Alertmanager.

use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row as _};

/// A row of `watches`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct WatchRow {
    /// What is watched.
    pub name: String,
    /// When it was last heard of, or seen wrong by the bot whose it is; 0: never.
    pub heard_ms: i64,
    /// Since when something is wrong; 0: nothing is.
    pub firing_ms: i64,
}

fn watch(row: &AnyRow) -> sqlx::Result<WatchRow> {
    Ok(WatchRow { name: row.try_get(0)?, heard_ms: row.try_get(1)?, firing_ms: row.try_get(2)? })
}

/// What is known of a watch.
///
/// # Errors
/// The database's.
pub async fn watch_of(
    connection: &mut AnyConnection,
    name: &str,
) -> sqlx::Result<Option<WatchRow>> {
    let row = sqlx::query("select name, heard_ms, firing_ms from watches where name = $1")
        .bind(name)
        .fetch_optional(connection)
        .await?;
    row.as_ref().map(watch).transpose()
}

/// Writes down that it was heard of; an older moment changes nothing.
///
/// # Errors
/// The database's.
pub async fn hear(connection: &mut AnyConnection, name: &str, at_ms: i64) -> sqlx::Result<()> {
    sqlx::query(
        "insert into watches (name, heard_ms, firing_ms) values ($1, $2, 0) on conflict (name) do update \
         set heard_ms = excluded.heard_ms where watches.heard_ms < excluded.heard_ms",
    )
    .bind(name)
    .bind(at_ms)
    .execute(connection)
    .await?;
    Ok(())
}

/// Writes down since when something is wrong, unless that is known already; since when it is.
///
/// # Errors
/// The database's.
pub async fn begin(connection: &mut AnyConnection, name: &str, since_ms: i64) -> sqlx::Result<i64> {
    let row = sqlx::query(
        "insert into watches (name, heard_ms, firing_ms) values ($1, 0, $2) on conflict (name) do update \
         set firing_ms = case when watches.firing_ms = 0 then excluded.firing_ms else watches.firing_ms end \
         returning firing_ms",
    )
    .bind(name)
    .bind(since_ms)
    .fetch_one(connection)
    .await?;
    row.try_get(0)
}

/// Writes down that it is over, unless something else is wrong by now.
///
/// # Errors
/// The database's.
pub async fn end(connection: &mut AnyConnection, name: &str, since_ms: i64) -> sqlx::Result<()> {
    sqlx::query("update watches set firing_ms = 0 where name = $1 and firing_ms = $2")
        .bind(name)
        .bind(since_ms)
        .execute(&mut *connection)
        .await?;
    // What is watched only once, such as a step, or by one bot, would stay for ever: its name has a slash.
    sqlx::query(
        "delete from watches where name = $1 and firing_ms = 0 and (heard_ms = 0 or name like '%/%')",
    )
    .bind(name)
    .execute(connection)
    .await?;
    Ok(())
}

/// Writes down that what is wrong was seen so again; `false`: it is not known to be wrong.
///
/// # Errors
/// The database's.
pub async fn stand_by(
    connection: &mut AnyConnection,
    name: &str,
    at_ms: i64,
) -> sqlx::Result<bool> {
    let result = sqlx::query("update watches set heard_ms = $2 where name = $1 and firing_ms > 0")
        .bind(name)
        .bind(at_ms)
        .execute(connection)
        .await?;
    Ok(result.rows_affected() == 1)
}

/// Where something is wrong, by name.
///
/// # Errors
/// The database's.
pub async fn firing(connection: &mut AnyConnection, limit: i64) -> sqlx::Result<Vec<WatchRow>> {
    let rows = sqlx::query(
        "select name, heard_ms, firing_ms from watches where firing_ms > 0 order by name limit $1",
    )
    .bind(limit)
    .fetch_all(connection)
    .await?;
    rows.iter().map(watch).collect()
}

/// A step that is under way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnderWay {
    /// Its run.
    pub run_id: String,
    /// Its place in the plan, from 0.
    pub position: i64,
    /// When its start was decided.
    pub started_ms: i64,
    /// The run's plan as JSON.
    pub plan: String,
}

/// The steps of running runs that were started before a moment and have not ended, the oldest first.
///
/// # Errors
/// The database's.
pub async fn under_way_since(
    connection: &mut AnyConnection,
    before_ms: i64,
    limit: i64,
) -> sqlx::Result<Vec<UnderWay>> {
    let rows = sqlx::query(
        "select s.run_id, s.position, s.started_ms, r.plan from steps s join runs r on r.id = s.run_id \
         where r.state = 'running' and s.state in ('starting', 'running') and s.started_ms > 0 \
         and s.started_ms < $1 order by s.started_ms, s.run_id limit $2",
    )
    .bind(before_ms)
    .bind(limit)
    .fetch_all(connection)
    .await?;
    let step = |row: &AnyRow| {
        Ok(UnderWay {
            run_id: row.try_get(0)?,
            position: row.try_get(1)?,
            started_ms: row.try_get(2)?,
            plan: row.try_get(3)?,
        })
    };
    rows.iter().map(step).collect()
}
