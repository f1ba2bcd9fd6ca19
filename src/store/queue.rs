//! What stands between a run and its turn: who is ahead, whose approval held no more, who took an
//! environment over, whom to remind. Only `engine` calls the writers.

use super::decisions::{DecisionRow, decision_row};
use sqlx::{AnyConnection, Row};

/// A row of `lock_takeovers`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TakeoverRow {
    /// Who did it.
    pub user_id: String,
    /// The role by which they may.
    pub role: String,
    /// Why.
    pub reason: String,
    /// When.
    pub at_ms: i64,
}

/// Sets one person's approval of a run aside; `false`: there is none.
///
/// # Errors
/// The database's.
pub async fn void_approval(
    connection: &mut AnyConnection,
    run_id: &str,
    user_id: &str,
    now_ms: i64,
) -> sqlx::Result<bool> {
    sqlx::query(
        "insert into voided_decisions (run_id, user_id, verdict, reason, digest, role, at_ms, \
         on_behalf, voided_ms) select run_id, user_id, verdict, reason, digest, role, at_ms, \
         on_behalf, $3 \
         from decisions where run_id = $1 and user_id = $2 and verdict = 'approved'",
    )
    .bind(run_id)
    .bind(user_id)
    .bind(now_ms)
    .execute(&mut *connection)
    .await?;
    let gone = sqlx::query(
        "delete from decisions where run_id = $1 and user_id = $2 and verdict = 'approved'",
    )
    .bind(run_id)
    .bind(user_id)
    .execute(connection)
    .await?;
    Ok(gone.rows_affected() > 0)
}

/// The approvals of a run that were set aside, in order.
///
/// # Errors
/// The database's.
pub async fn voided_of(
    connection: &mut AnyConnection,
    run_id: &str,
) -> sqlx::Result<Vec<DecisionRow>> {
    let rows = sqlx::query(
        "select user_id, verdict, reason, digest, role, at_ms, on_behalf from voided_decisions \
         where run_id = $1 order by voided_ms, at_ms, user_id",
    )
    .bind(run_id)
    .fetch_all(connection)
    .await?;
    rows.iter().map(decision_row).collect()
}

/// Puts a run back among those that wait: until when, and for which host.
///
/// # Errors
/// The database's.
pub async fn wait_again(
    connection: &mut AnyConnection,
    run_id: &str,
    (expires_ms, host): (i64, &str),
) -> sqlx::Result<()> {
    sqlx::query(
        "update runs set expires_ms = $2, host = $3, owner = '', lease_until_ms = 0, \
         fence = fence + 1 where id = $1",
    )
    .bind(run_id)
    .bind(expires_ms)
    .bind(host)
    .execute(connection)
    .await?;
    Ok(())
}

/// Who took a run's environment over.
///
/// # Errors
/// The database's.
pub async fn takeover_of(
    connection: &mut AnyConnection,
    run_id: &str,
) -> sqlx::Result<Option<TakeoverRow>> {
    let row =
        sqlx::query("select user_id, role, reason, at_ms from lock_takeovers where run_id = $1")
            .bind(run_id)
            .fetch_optional(connection)
            .await?;
    row.map(|row| {
        Ok(TakeoverRow {
            user_id: row.try_get(0)?,
            role: row.try_get(1)?,
            reason: row.try_get(2)?,
            at_ms: row.try_get(3)?,
        })
    })
    .transpose()
}

/// Takes an environment from the run that holds it; `false`: that run holds it no more.
///
/// # Errors
/// The database's.
pub async fn take_over(
    connection: &mut AnyConnection,
    (environment, run_id): (&str, &str),
    takeover: &TakeoverRow,
) -> sqlx::Result<bool> {
    let freed = sqlx::query("delete from environment_locks where environment = $1 and run_id = $2")
        .bind(environment)
        .bind(run_id)
        .execute(&mut *connection)
        .await?;
    if freed.rows_affected() == 0 {
        return Ok(false);
    }
    sqlx::query(
        "insert into lock_takeovers (run_id, environment, user_id, role, reason, at_ms) \
         values ($1, $2, $3, $4, $5, $6)",
    )
    .bind(run_id)
    .bind(environment)
    .bind(&takeover.user_id)
    .bind(&takeover.role)
    .bind(&takeover.reason)
    .bind(takeover.at_ms)
    .execute(connection)
    .await?;
    Ok(true)
}

/// The run that holds an environment, and since when.
///
/// # Errors
/// The database's.
pub async fn holder(
    connection: &mut AnyConnection,
    environment: &str,
) -> sqlx::Result<Option<(String, i64)>> {
    let row = sqlx::query("select run_id, taken_ms from environment_locks where environment = $1")
        .bind(environment)
        .fetch_optional(connection)
        .await?;
    row.map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).transpose()
}

/// The queued runs of an environment that come before one, the first first, at most `limit`.
///
/// # Errors
/// The database's.
pub async fn ahead_of(
    connection: &mut AnyConnection,
    (environment, run_id, created_ms): (&str, &str, i64),
    limit: i64,
) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar(
        "select id from runs where state = 'queued' and environment = $1 and holds_lock = 1 \
         and id <> $2 and (created_ms < $3 or (created_ms = $3 and id < $2)) \
         order by created_ms, id limit $4",
    )
    .bind(environment)
    .bind(run_id)
    .bind(created_ms)
    .bind(limit)
    .fetch_all(connection)
    .await
}

/// The queued runs that wait for an environment, the oldest first, at most `limit`; with what their
/// cards say of it so far.
///
/// # Errors
/// The database's.
pub async fn queued(
    connection: &mut AnyConnection,
    limit: i64,
) -> sqlx::Result<Vec<(String, String)>> {
    let rows = sqlx::query(
        "select r.id, coalesce(q.shown, '') from runs r left join queue_shown q on q.run_id = r.id \
         where r.state = 'queued' and r.holds_lock = 1 order by r.created_ms, r.id limit $1",
    )
    .bind(limit)
    .fetch_all(connection)
    .await?;
    rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
}

/// Takes the row lock of a queued run; `false`: it is queued no more.
///
/// # Errors
/// The database's.
pub async fn hold_queued(connection: &mut AnyConnection, run_id: &str) -> sqlx::Result<bool> {
    let held = sqlx::query("update runs set fence = fence where id = $1 and state = 'queued'")
        .bind(run_id)
        .execute(connection)
        .await?;
    Ok(held.rows_affected() == 1)
}

/// What the card of a run says of its place in the queue.
///
/// # Errors
/// The database's.
pub async fn shown_of(
    connection: &mut AnyConnection,
    run_id: &str,
) -> sqlx::Result<Option<String>> {
    sqlx::query_scalar("select shown from queue_shown where run_id = $1")
        .bind(run_id)
        .fetch_optional(connection)
        .await
}

/// Notes what the card of a run says of its place now.
///
/// # Errors
/// The database's.
pub async fn put_shown(
    connection: &mut AnyConnection,
    run_id: &str,
    shown: &str,
) -> sqlx::Result<()> {
    sqlx::query(
        "insert into queue_shown (run_id, shown) values ($1, $2) \
         on conflict (run_id) do update set shown = excluded.shown",
    )
    .bind(run_id)
    .bind(shown)
    .execute(connection)
    .await?;
    Ok(())
}

/// Forgets what a card said of its place; whether it said anything.
///
/// # Errors
/// The database's.
pub async fn forget_shown(connection: &mut AnyConnection, run_id: &str) -> sqlx::Result<bool> {
    let gone = sqlx::query("delete from queue_shown where run_id = $1")
        .bind(run_id)
        .execute(connection)
        .await?;
    Ok(gone.rows_affected() > 0)
}

/// The runs of an action that have not begun in an environment, the oldest first, at most `limit`.
///
/// # Errors
/// The database's.
pub async fn not_begun(
    connection: &mut AnyConnection,
    (action, environment): (&str, &str),
    limit: i64,
) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar(
        "select id from runs where state in ('waiting', 'queued') and action = $1 \
         and environment = $2 order by created_ms, id limit $3",
    )
    .bind(action)
    .bind(environment)
    .bind(limit)
    .fetch_all(connection)
    .await
}

/// Begins to remind people of a run, or goes on: when next, and how often it was done.
///
/// # Errors
/// The database's.
pub async fn put_reminder(
    connection: &mut AnyConnection,
    run_id: &str,
    (due_ms, sent): (i64, i64),
) -> sqlx::Result<()> {
    sqlx::query(
        "insert into reminders (run_id, due_ms, sent) values ($1, $2, $3) \
         on conflict (run_id) do update set due_ms = excluded.due_ms, sent = excluded.sent",
    )
    .bind(run_id)
    .bind(due_ms)
    .bind(sent)
    .execute(connection)
    .await?;
    Ok(())
}

/// Nobody is to be reminded of a run any more.
///
/// # Errors
/// The database's.
pub async fn end_reminder(connection: &mut AnyConnection, run_id: &str) -> sqlx::Result<()> {
    sqlx::query("delete from reminders where run_id = $1").bind(run_id).execute(connection).await?;
    Ok(())
}

/// When people are reminded of a run next, and how often they were; `None`: not at all.
///
/// # Errors
/// The database's.
pub async fn reminder_of(
    connection: &mut AnyConnection,
    run_id: &str,
) -> sqlx::Result<Option<(i64, i64)>> {
    let row = sqlx::query("select due_ms, sent from reminders where run_id = $1")
        .bind(run_id)
        .fetch_optional(connection)
        .await?;
    row.map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).transpose()
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
        "select run_id from reminders where due_ms <= $1 order by due_ms, run_id limit $2",
    )
    .bind(now_ms)
    .bind(limit)
    .fetch_all(connection)
    .await
}
