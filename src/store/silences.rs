//! Silences of alerts: one function a question. Only `engine` calls the writers.

use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row};

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

/// Writes one; when its owner is warned, 0: never.
///
/// # Errors
/// The database's.
pub async fn insert(
    connection: &mut AnyConnection,
    row: &SilenceRow,
    warn_ms: i64,
    now_ms: i64,
) -> sqlx::Result<()> {
    sqlx::query(
        "insert into silences (id, matcher, owner, reason, from_ms, until_ms, warn_ms, ended_ms, \
         ended_by, created_ms) values ($1, $2, $3, $4, $5, $6, $7, 0, '', $8)",
    )
    .bind(&row.id)
    .bind(&row.matcher)
    .bind(&row.owner)
    .bind(&row.reason)
    .bind(row.from_ms)
    .bind(row.until_ms)
    .bind(warn_ms)
    .bind(now_ms)
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
) -> sqlx::Result<Option<SilenceRow>> {
    let row = sqlx::query(
        "update silences set ended_ms = $2, ended_by = $3, warn_ms = 0 \
         where id = $1 and ended_ms = 0 and until_ms > $2 \
         returning id, matcher, owner, reason, from_ms, until_ms",
    )
    .bind(id)
    .bind(now_ms)
    .bind(by)
    .fetch_optional(connection)
    .await?;
    row.as_ref().map(silence).transpose()
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
