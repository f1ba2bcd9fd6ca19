//! Who is on call in the place of whoever would be, and which changes were told: one function a question.
//! Only `engine` calls the writers.

use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row};

/// A row of `oncall_overrides`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OverrideRow {
    /// Its name for ever.
    pub id: String,
    /// In which rotation.
    pub rotation: String,
    /// Who.
    pub user_id: String,
    /// From when.
    pub from_ms: i64,
    /// Until when, or when it was ended.
    pub until_ms: i64,
    /// Who said so.
    pub made_by: String,
    /// Why.
    pub reason: String,
}

/// Writes an override.
///
/// # Errors
/// The database's.
pub async fn insert(
    connection: &mut AnyConnection,
    row: &OverrideRow,
    now_ms: i64,
) -> sqlx::Result<()> {
    sqlx::query(
        "insert into oncall_overrides (id, rotation, user_id, from_ms, until_ms, made_by, reason, \
         created_ms, ended_ms, ended_by) values ($1, $2, $3, $4, $5, $6, $7, $8, 0, '')",
    )
    .bind(&row.id)
    .bind(&row.rotation)
    .bind(&row.user_id)
    .bind(row.from_ms)
    .bind(row.until_ms)
    .bind(&row.made_by)
    .bind(&row.reason)
    .bind(now_ms)
    .execute(connection)
    .await?;
    Ok(())
}

/// Ends those of a rotation that are in force or to come, of one person or, where none is given, of all; how
/// many.
///
/// # Errors
/// The database's.
pub async fn end(
    connection: &mut AnyConnection,
    (rotation, user_id): (&str, &str),
    (by, now_ms): (&str, i64),
) -> sqlx::Result<u64> {
    let done = sqlx::query(
        "update oncall_overrides set ended_ms = $3, ended_by = $4 where rotation = $1 \
         and (user_id = $2 or $2 = '') and ended_ms = 0 and until_ms > $3",
    )
    .bind(rotation)
    .bind(user_id)
    .bind(now_ms)
    .bind(by)
    .execute(connection)
    .await?;
    Ok(done.rows_affected())
}

/// Those that hold at some moment after `after_ms`, in the order in which they were made; of more than
/// `limit` the newest.
///
/// # Errors
/// The database's.
pub async fn overrides(
    connection: &mut AnyConnection,
    after_ms: i64,
    limit: i64,
) -> sqlx::Result<Vec<OverrideRow>> {
    let rows = sqlx::query(
        "select id, rotation, user_id, from_ms, \
         case when ended_ms > 0 then ended_ms else until_ms end, made_by, reason \
         from oncall_overrides where until_ms > $1 \
         and (ended_ms = 0 or (ended_ms > $1 and ended_ms > from_ms)) \
         order by created_ms desc, id desc limit $2",
    )
    .bind(after_ms)
    .bind(limit)
    .fetch_all(connection)
    .await?;
    rows.iter().rev().map(row).collect()
}

/// How many of a rotation are in force or to come.
///
/// # Errors
/// The database's.
pub async fn count(
    connection: &mut AnyConnection,
    rotation: &str,
    now_ms: i64,
) -> sqlx::Result<i64> {
    sqlx::query_scalar(
        "select count(*) from oncall_overrides where rotation = $1 and ended_ms = 0 and until_ms > $2",
    )
    .bind(rotation)
    .bind(now_ms)
    .fetch_one(connection)
    .await
}

/// When the change of a rotation was that was told last; `None`: it was never looked at.
///
/// # Errors
/// The database's.
pub async fn told_change(
    connection: &mut AnyConnection,
    rotation: &str,
) -> sqlx::Result<Option<i64>> {
    sqlx::query_scalar("select change_ms from hand_overs where rotation = $1")
        .bind(rotation)
        .fetch_optional(connection)
        .await
}

/// Writes from when on changes of a rotation are told; what stands there stays.
///
/// # Errors
/// The database's.
pub async fn begin_telling(
    connection: &mut AnyConnection,
    rotation: &str,
    change_ms: i64,
) -> sqlx::Result<()> {
    sqlx::query(
        "insert into hand_overs (rotation, change_ms) values ($1, $2) \
         on conflict (rotation) do nothing",
    )
    .bind(rotation)
    .bind(change_ms)
    .execute(connection)
    .await?;
    Ok(())
}

/// Writes down that a change is told; `false`: it was, or a later one.
///
/// # Errors
/// The database's.
pub async fn tell_change(
    connection: &mut AnyConnection,
    rotation: &str,
    change_ms: i64,
) -> sqlx::Result<bool> {
    let done =
        sqlx::query("update hand_overs set change_ms = $2 where rotation = $1 and change_ms < $2")
            .bind(rotation)
            .bind(change_ms)
            .execute(connection)
            .await?;
    Ok(done.rows_affected() == 1)
}

fn row(row: &AnyRow) -> sqlx::Result<OverrideRow> {
    Ok(OverrideRow {
        id: row.try_get(0)?,
        rotation: row.try_get(1)?,
        user_id: row.try_get(2)?,
        from_ms: row.try_get(3)?,
        until_ms: row.try_get(4)?,
        made_by: row.try_get(5)?,
        reason: row.try_get(6)?,
    })
}
