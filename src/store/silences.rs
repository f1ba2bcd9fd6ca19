//! Silences of alerts: one function a question. Only `engine` calls the writers.
//!
//! An alert that begins while a silence does must not miss it: whoever takes alerts in looks at the silences
//! under [`share`], whoever begins or ends one does so under [`alone`]. On SQLite, which has one writer, they
//! are never side by side.

use super::Unit;
use super::connect::Engine;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row};

/// All alerts have heard of a silence; the statements have it as a literal, for the index.
pub const ALL_HEARD: &str = "~";
/// None has: it stands before every id.
pub const NONE_HEARD: &str = "";
/// Held until the transaction ends; the number is this lock's alone. Both answer one row, for the driver knows
/// no `void`.
const SHARE_POSTGRES: &str = "select pg_advisory_xact_lock_shared(7100) is null";
const ALONE_POSTGRES: &str = "select pg_advisory_xact_lock(7100) is null";

/// A row of `silences`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SilenceRow {
    /// `SL-…`.
    pub id: String,
    /// A `core::silence::Matcher` as JSON.
    pub matcher: String,
    /// Who wanted it.
    pub owner: String,
    /// Why.
    pub reason: String,
    /// From when.
    pub from_ms: i64,
    /// Until when.
    pub until_ms: i64,
}

/// What alerts are told of a silence, and by whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unheard {
    /// The silence.
    pub silence: SilenceRow,
    /// Whether it was ended.
    pub is_ended: bool,
    /// Who began or ended it.
    pub by: String,
    /// By which way.
    pub origin: String,
    /// Up to which alert it was told.
    pub heard: String,
}

/// No silence begins or ends before this transaction ends.
///
/// # Errors
/// The database's.
pub async fn share(unit: &mut Unit) -> sqlx::Result<()> {
    if unit.engine() == Engine::Postgres {
        sqlx::query(SHARE_POSTGRES).execute(unit.connection()).await?;
    }
    Ok(())
}

/// No alert begins before this transaction ends, and all that began are seen by it.
///
/// # Errors
/// The database's.
pub async fn alone(unit: &mut Unit) -> sqlx::Result<()> {
    if unit.engine() == Engine::Postgres {
        sqlx::query(ALONE_POSTGRES).execute(unit.connection()).await?;
    }
    Ok(())
}

/// Writes one; when its owner is warned, 0: never; by which way it came, and up to which alert it is heard of.
///
/// # Errors
/// The database's.
pub async fn insert(
    connection: &mut AnyConnection,
    row: &SilenceRow,
    (warn_ms, now_ms): (i64, i64),
    (origin, heard): (&str, &str),
) -> sqlx::Result<()> {
    sqlx::query(
        "insert into silences (id, matcher, owner, reason, from_ms, until_ms, warn_ms, ended_ms, \
         ended_by, created_ms, origin, heard) values ($1, $2, $3, $4, $5, $6, $7, 0, '', $8, $9, $10)",
    )
    .bind(&row.id)
    .bind(&row.matcher)
    .bind(&row.owner)
    .bind(&row.reason)
    .bind(row.from_ms)
    .bind(row.until_ms)
    .bind(warn_ms)
    .bind(now_ms)
    .bind(origin)
    .bind(heard)
    .execute(connection)
    .await?;
    Ok(())
}

/// Ends one that is in force; `None`: there is no such one.
///
/// # Errors
/// The database's.
pub async fn end(
    connection: &mut AnyConnection,
    id: &str,
    (by, now_ms): (&str, i64),
    (origin, heard): (&str, &str),
) -> sqlx::Result<Option<SilenceRow>> {
    let row = sqlx::query(
        "update silences set ended_ms = $2, ended_by = $3, warn_ms = 0, origin = $4, heard = $5 \
         where id = $1 and ended_ms = 0 and until_ms > $2 \
         returning id, matcher, owner, reason, from_ms, until_ms",
    )
    .bind(id)
    .bind(now_ms)
    .bind(by)
    .bind(origin)
    .bind(heard)
    .fetch_optional(connection)
    .await?;
    row.as_ref().map(silence).transpose()
}

/// Those of which not every alert has heard; at most `limit`.
///
/// # Errors
/// The database's.
pub async fn unheard(connection: &mut AnyConnection, limit: i64) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar("select id from silences where heard <> '~' order by id limit $1")
        .bind(limit)
        .fetch_all(connection)
        .await
}

/// Takes one of which not every alert has heard, so that nobody else tells them before this transaction ends.
///
/// # Errors
/// The database's.
pub async fn hold_unheard(
    connection: &mut AnyConnection,
    id: &str,
) -> sqlx::Result<Option<Unheard>> {
    let row = sqlx::query(
        "update silences set heard = heard where id = $1 and heard <> '~' \
         returning id, matcher, owner, reason, from_ms, until_ms, ended_ms, ended_by, origin, heard",
    )
    .bind(id)
    .fetch_optional(connection)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let silence = silence(&row)?;
    let is_ended = row.try_get::<i64, _>(6)? != 0;
    let by = if is_ended { row.try_get(7)? } else { silence.owner.clone() };
    Ok(Some(Unheard { silence, is_ended, by, origin: row.try_get(8)?, heard: row.try_get(9)? }))
}

/// Writes down up to which alert it is heard of.
///
/// # Errors
/// The database's.
pub async fn set_heard(connection: &mut AnyConnection, id: &str, heard: &str) -> sqlx::Result<()> {
    sqlx::query("update silences set heard = $2 where id = $1")
        .bind(id)
        .bind(heard)
        .execute(connection)
        .await?;
    Ok(())
}

/// Those in force or to come, the first to end first; at most `limit`.
///
/// # Errors
/// The database's.
pub async fn open(
    connection: &mut AnyConnection,
    now_ms: i64,
    limit: i64,
) -> sqlx::Result<Vec<SilenceRow>> {
    let rows = sqlx::query(
        "select id, matcher, owner, reason, from_ms, until_ms from silences \
         where until_ms > $1 and ended_ms = 0 order by until_ms, id limit $2",
    )
    .bind(now_ms)
    .bind(limit)
    .fetch_all(connection)
    .await?;
    rows.iter().map(silence).collect()
}

/// Those whose owner is to be warned by now; at most `limit`.
///
/// # Errors
/// The database's.
pub async fn warnings_due(
    connection: &mut AnyConnection,
    now_ms: i64,
    limit: i64,
) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar(
        "select id from silences where warn_ms > 0 and warn_ms <= $1 and until_ms > $1 \
         and ended_ms = 0 order by warn_ms, id limit $2",
    )
    .bind(now_ms)
    .bind(limit)
    .fetch_all(connection)
    .await
}

/// Writes down that its owner is warned; `None`: that was done, or it is over.
///
/// # Errors
/// The database's.
pub async fn warn(
    connection: &mut AnyConnection,
    id: &str,
    now_ms: i64,
) -> sqlx::Result<Option<SilenceRow>> {
    let row = sqlx::query(
        "update silences set warn_ms = 0 where id = $1 and warn_ms > 0 and warn_ms <= $2 \
         and until_ms > $2 and ended_ms = 0 \
         returning id, matcher, owner, reason, from_ms, until_ms",
    )
    .bind(id)
    .bind(now_ms)
    .fetch_optional(connection)
    .await?;
    row.as_ref().map(silence).transpose()
}

fn silence(row: &AnyRow) -> sqlx::Result<SilenceRow> {
    Ok(SilenceRow {
        id: row.try_get(0)?,
        matcher: row.try_get(1)?,
        owner: row.try_get(2)?,
        reason: row.try_get(3)?,
        from_ms: row.try_get(4)?,
        until_ms: row.try_get(5)?,
    })
}
