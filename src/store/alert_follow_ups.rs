//! What is to be done after incidents: one function a question. Only `engine` calls the writers.

use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row};

/// A row of `alert_follow_ups`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FollowUpRow {
    /// `FU-…`.
    pub id: String,
    /// After which alert.
    pub alert_id: String,
    /// What.
    pub words: String,
    /// Who does it.
    pub owner: String,
    /// `2026-11-30`.
    pub due_day: String,
    /// Who wrote it down.
    pub made_by: String,
    /// When.
    pub created_ms: i64,
    /// When it was done; 0: it is not.
    pub done_ms: i64,
    /// Who did it; empty: nobody.
    pub done_by: String,
}

/// Writes one, and when its owner is reminded.
///
/// # Errors
/// The database's.
pub async fn insert(
    connection: &mut AnyConnection,
    row: &FollowUpRow,
    remind_ms: i64,
) -> sqlx::Result<()> {
    sqlx::query(
        "insert into alert_follow_ups (id, alert_id, words, owner, due_day, remind_ms, made_by, \
         created_ms, done_ms, done_by) values ($1, $2, $3, $4, $5, $6, $7, $8, 0, '')",
    )
    .bind(&row.id)
    .bind(&row.alert_id)
    .bind(&row.words)
    .bind(&row.owner)
    .bind(&row.due_day)
    .bind(remind_ms)
    .bind(&row.made_by)
    .bind(row.created_ms)
    .execute(connection)
    .await?;
    Ok(())
}

/// Writes down that one is done; `None`: there is none that is not.
///
/// # Errors
/// The database's.
pub async fn finish(
    connection: &mut AnyConnection,
    id: &str,
    (by, now_ms): (&str, i64),
) -> sqlx::Result<Option<FollowUpRow>> {
    let row = sqlx::query(
        "update alert_follow_ups set done_ms = $2, done_by = $3 where id = $1 and done_ms = 0 \
         returning id, alert_id, words, owner, due_day, made_by, created_ms, done_ms, done_by",
    )
    .bind(id)
    .bind(now_ms)
    .bind(by)
    .fetch_optional(connection)
    .await?;
    row.as_ref().map(follow_up).transpose()
}

/// Those of one alert in their order, done or not; of every alert those not done, the first due first, where
/// none is given. At most `limit`.
///
/// # Errors
/// The database's.
pub async fn list(
    connection: &mut AnyConnection,
    alert_id: &str,
    limit: i64,
) -> sqlx::Result<Vec<FollowUpRow>> {
    let rows = sqlx::query(
        "select id, alert_id, words, owner, due_day, made_by, created_ms, done_ms, done_by \
         from alert_follow_ups where alert_id = $1 or ($1 = '' and done_ms = 0) \
         order by due_day, created_ms, id limit $2",
    )
    .bind(alert_id)
    .bind(limit)
    .fetch_all(connection)
    .await?;
    rows.iter().map(follow_up).collect()
}

/// How many there are of one alert.
///
/// # Errors
/// The database's.
pub async fn count(connection: &mut AnyConnection, alert_id: &str) -> sqlx::Result<i64> {
    sqlx::query_scalar("select count(*) from alert_follow_ups where alert_id = $1")
        .bind(alert_id)
        .fetch_one(connection)
        .await
}

/// Those whose owner is to be reminded by now; at most `limit`.
///
/// # Errors
/// The database's.
pub async fn reminders_due(
    connection: &mut AnyConnection,
    now_ms: i64,
    limit: i64,
) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar(
        "select id from alert_follow_ups where done_ms = 0 and remind_ms <= $1 \
         order by remind_ms, id limit $2",
    )
    .bind(now_ms)
    .bind(limit)
    .fetch_all(connection)
    .await
}

/// Writes down that its owner is reminded, and when again; `None`: that was done, or it is.
///
/// # Errors
/// The database's.
pub async fn remind(
    connection: &mut AnyConnection,
    id: &str,
    (now_ms, next_ms): (i64, i64),
) -> sqlx::Result<Option<FollowUpRow>> {
    let row = sqlx::query(
        "update alert_follow_ups set remind_ms = $3 where id = $1 and done_ms = 0 \
         and remind_ms <= $2 \
         returning id, alert_id, words, owner, due_day, made_by, created_ms, done_ms, done_by",
    )
    .bind(id)
    .bind(now_ms)
    .bind(next_ms)
    .fetch_optional(connection)
    .await?;
    row.as_ref().map(follow_up).transpose()
}

fn follow_up(row: &AnyRow) -> sqlx::Result<FollowUpRow> {
    Ok(FollowUpRow {
        id: row.try_get(0)?,
        alert_id: row.try_get(1)?,
        words: row.try_get(2)?,
        owner: row.try_get(3)?,
        due_day: row.try_get(4)?,
        made_by: row.try_get(5)?,
        created_ms: row.try_get(6)?,
        done_ms: row.try_get(7)?,
        done_by: row.try_get(8)?,
    })
}
