//! Emergencies and their reviews: one function a question. Only `engine` calls the writers.

use sqlx::{AnyConnection, Row};

/// A row of `reviews`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReviewRow {
    /// When it was asked for.
    pub created_ms: i64,
    /// When people are reminded next.
    pub due_ms: i64,
    /// How often they were.
    pub sent: i64,
    /// Who reviewed it; empty: nobody yet.
    pub user_id: String,
    /// What they wrote.
    pub note: String,
    /// When; 0: not yet.
    pub at_ms: i64,
}

/// Notes that a run is to be reviewed, with its first reminder.
///
/// # Errors
/// The database's.
pub async fn begin(
    connection: &mut AnyConnection,
    run_id: &str,
    (now_ms, due_ms): (i64, i64),
) -> sqlx::Result<()> {
    sqlx::query(
        "insert into reviews (run_id, created_ms, due_ms, sent, user_id, role, note, at_ms) \
         values ($1, $2, $3, 0, '', '', '', 0)",
    )
    .bind(run_id)
    .bind(now_ms)
    .bind(due_ms)
    .execute(connection)
    .await?;
    Ok(())
}

/// The review of a run; `None`: it was no emergency.
///
/// # Errors
/// The database's.
pub async fn of_run(
    connection: &mut AnyConnection,
    run_id: &str,
) -> sqlx::Result<Option<ReviewRow>> {
    let row = sqlx::query(
        "select created_ms, due_ms, sent, user_id, note, at_ms from reviews where run_id = $1",
    )
    .bind(run_id)
    .fetch_optional(connection)
    .await?;
    row.map(|row| {
        Ok(ReviewRow {
            created_ms: row.try_get(0)?,
            due_ms: row.try_get(1)?,
            sent: row.try_get(2)?,
            user_id: row.try_get(3)?,
            note: row.try_get(4)?,
            at_ms: row.try_get(5)?,
        })
    })
    .transpose()
}

/// Notes who reviewed a run; whether nobody had.
///
/// # Errors
/// The database's.
pub async fn end(
    connection: &mut AnyConnection,
    run_id: &str,
    (user_id, role, note): (&str, &str, &str),
    at_ms: i64,
) -> sqlx::Result<bool> {
    let done = sqlx::query(
        "update reviews set user_id = $2, role = $3, note = $4, at_ms = $5 \
         where run_id = $1 and at_ms = 0",
    )
    .bind(run_id)
    .bind(user_id)
    .bind(role)
    .bind(note)
    .bind(at_ms)
    .execute(connection)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// When people are reminded next, and how often they were.
///
/// # Errors
/// The database's.
pub async fn remind_again(
    connection: &mut AnyConnection,
    run_id: &str,
    (due_ms, sent): (i64, i64),
) -> sqlx::Result<()> {
    sqlx::query("update reviews set due_ms = $2, sent = $3 where run_id = $1 and at_ms = 0")
        .bind(run_id)
        .bind(due_ms)
        .bind(sent)
        .execute(connection)
        .await?;
    Ok(())
}

/// Runs of which people are to be reminded now, at most `limit`.
///
/// # Errors
/// The database's.
pub async fn reminders_due(
    connection: &mut AnyConnection,
    now_ms: i64,
    limit: i64,
) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar(
        "select run_id from reviews where at_ms = 0 and due_ms <= $1 order by due_ms, run_id limit $2",
    )
    .bind(now_ms)
    .bind(limit)
    .fetch_all(connection)
    .await
}

/// Runs that nobody has reviewed yet, the oldest first, at most `limit`.
///
/// # Errors
/// The database's.
pub async fn open(connection: &mut AnyConnection, limit: i64) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar(
        "select run_id from reviews where at_ms = 0 order by created_ms, run_id limit $1",
    )
    .bind(limit)
    .fetch_all(connection)
    .await
}
