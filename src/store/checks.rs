//! Checklists of runs that wait: the newest run of their checks, and what people ticked off. Only `engine`
//! calls the writers.

use sqlx::{AnyConnection, Row};

/// A row of `ticks`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TickRow {
    /// The item, counted from 0.
    pub item: i64,
    /// Who.
    pub user_id: String,
    /// By which role.
    pub role: String,
    /// What they wrote.
    pub note: String,
    /// When.
    pub at_ms: i64,
}

/// The newest run of a run's checks, and its number from 1; `None`: they were never begun.
///
/// # Errors
/// The database's.
pub async fn newest_of(
    connection: &mut AnyConnection,
    run_id: &str,
) -> sqlx::Result<Option<(String, i64)>> {
    let row = sqlx::query("select check_run, number from checks where run_id = $1")
        .bind(run_id)
        .fetch_optional(connection)
        .await?;
    row.map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).transpose()
}

/// Notes a new run of a run's checks.
///
/// # Errors
/// The database's.
pub async fn put(
    connection: &mut AnyConnection,
    run_id: &str,
    (check_run, number): (&str, i64),
) -> sqlx::Result<()> {
    sqlx::query(
        "insert into checks (run_id, check_run, number, seen) values ($1, $2, $3, '') \
         on conflict (run_id) do update set check_run = excluded.check_run, \
         number = excluded.number, seen = ''",
    )
    .bind(run_id)
    .bind(check_run)
    .bind(number)
    .execute(connection)
    .await?;
    Ok(())
}

/// Notes that a waiting run has taken the state of its checks into account.
///
/// # Errors
/// The database's.
pub async fn put_seen(
    connection: &mut AnyConnection,
    run_id: &str,
    (check_run, state): (&str, &str),
) -> sqlx::Result<()> {
    sqlx::query("update checks set seen = $3 where run_id = $1 and check_run = $2")
        .bind(run_id)
        .bind(check_run)
        .bind(state)
        .execute(connection)
        .await?;
    Ok(())
}

/// Waiting runs that have not taken the state of their checks into account, the oldest first, at most
/// `limit`.
///
/// # Errors
/// The database's.
pub async fn unseen(connection: &mut AnyConnection, limit: i64) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar(
        "select r.id from runs r join checks c on c.run_id = r.id \
         join runs k on k.id = c.check_run \
         where r.state = 'waiting' and c.seen <> k.state order by r.created_ms, r.id limit $1",
    )
    .bind(limit)
    .fetch_all(connection)
    .await
}

/// What people ticked off, in the order of the items.
///
/// # Errors
/// The database's.
pub async fn ticks_of(connection: &mut AnyConnection, run_id: &str) -> sqlx::Result<Vec<TickRow>> {
    let rows = sqlx::query(
        "select item, user_id, role, note, at_ms from ticks where run_id = $1 order by item",
    )
    .bind(run_id)
    .fetch_all(connection)
    .await?;
    let read = |row: &sqlx::any::AnyRow| {
        Ok(TickRow {
            item: row.try_get(0)?,
            user_id: row.try_get(1)?,
            role: row.try_get(2)?,
            note: row.try_get(3)?,
            at_ms: row.try_get(4)?,
        })
    };
    rows.iter().map(read).collect()
}

/// Ticks an item off, under the digest of the plan that it is about.
///
/// # Errors
/// The database's, also when somebody has.
pub async fn insert_tick(
    connection: &mut AnyConnection,
    run_id: &str,
    digest: &str,
    tick: &TickRow,
) -> sqlx::Result<()> {
    sqlx::query(
        "insert into ticks (run_id, item, user_id, role, note, digest, at_ms) \
         values ($1, $2, $3, $4, $5, $6, $7)",
    )
    .bind(run_id)
    .bind(tick.item)
    .bind(&tick.user_id)
    .bind(&tick.role)
    .bind(&tick.note)
    .bind(digest)
    .bind(tick.at_ms)
    .execute(connection)
    .await?;
    Ok(())
}

/// Sets aside what was ticked off before a moment; how much.
///
/// # Errors
/// The database's.
pub async fn void_ticks_before(
    connection: &mut AnyConnection,
    run_id: &str,
    before_ms: i64,
) -> sqlx::Result<u64> {
    let gone = sqlx::query("delete from ticks where run_id = $1 and at_ms < $2")
        .bind(run_id)
        .bind(before_ms)
        .execute(connection)
        .await?;
    Ok(gone.rows_affected())
}

/// Sets aside what one person ticked off; the journal keeps who did.
///
/// # Errors
/// The database's.
pub async fn void_ticks(
    connection: &mut AnyConnection,
    run_id: &str,
    user_id: &str,
) -> sqlx::Result<u64> {
    let gone = sqlx::query("delete from ticks where run_id = $1 and user_id = $2")
        .bind(run_id)
        .bind(user_id)
        .execute(connection)
        .await?;
    Ok(gone.rows_affected())
}
