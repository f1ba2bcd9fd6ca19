//! Decisions about lost steps that wait for the bot of the step's host, one a run. Only `engine` calls
//! the writers.

use sqlx::{AnyConnection, Row};

/// A row of `settle_wishes`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WishRow {
    /// About which run.
    pub run_id: String,
    /// Whose bot does it.
    pub host: String,
    /// The settlement's word.
    pub settlement: String,
    /// The lost step, from 0.
    pub position: i64,
    /// Its attempt, from 1.
    pub attempt: i64,
    /// Who decided.
    pub user_id: String,
    /// The role by which they may.
    pub role: String,
    /// By which way it came.
    pub origin: String,
    /// In which conversation.
    pub channel: String,
    /// What was written.
    pub words: String,
    /// Why.
    pub reason: String,
    /// When; with the run, it names this wish.
    pub at_ms: i64,
}

/// Writes a wish. The last word about a run counts; the same once more changes nothing.
///
/// # Errors
/// The database's.
pub async fn put(connection: &mut AnyConnection, wish: &WishRow) -> sqlx::Result<()> {
    sqlx::query(
        "insert into settle_wishes (run_id, host, settlement, position, attempt, user_id, role, \
         origin, channel, words, reason, at_ms) \
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) \
         on conflict (run_id) do update set host = excluded.host, \
         settlement = excluded.settlement, position = excluded.position, \
         attempt = excluded.attempt, user_id = excluded.user_id, role = excluded.role, \
         origin = excluded.origin, channel = excluded.channel, words = excluded.words, \
         reason = excluded.reason, at_ms = excluded.at_ms \
         where settle_wishes.settlement <> excluded.settlement \
         or settle_wishes.position <> excluded.position \
         or settle_wishes.attempt <> excluded.attempt or settle_wishes.host <> excluded.host",
    )
    .bind(&wish.run_id)
    .bind(&wish.host)
    .bind(&wish.settlement)
    .bind(wish.position)
    .bind(wish.attempt)
    .bind(&wish.user_id)
    .bind(&wish.role)
    .bind(&wish.origin)
    .bind(&wish.channel)
    .bind(&wish.words)
    .bind(&wish.reason)
    .bind(wish.at_ms)
    .execute(connection)
    .await?;
    Ok(())
}

/// Wishes that nobody has answered yet, oldest first, at most `limit`.
///
/// # Errors
/// The database's.
pub async fn open(connection: &mut AnyConnection, limit: i64) -> sqlx::Result<Vec<WishRow>> {
    let rows = sqlx::query(
        "select run_id, host, settlement, position, attempt, user_id, role, origin, channel, words, \
         reason, at_ms from settle_wishes order by at_ms, run_id limit $1",
    )
    .bind(limit)
    .fetch_all(connection)
    .await?;
    rows.iter()
        .map(|row| {
            Ok(WishRow {
                run_id: row.try_get(0)?,
                host: row.try_get(1)?,
                settlement: row.try_get(2)?,
                position: row.try_get(3)?,
                attempt: row.try_get(4)?,
                user_id: row.try_get(5)?,
                role: row.try_get(6)?,
                origin: row.try_get(7)?,
                channel: row.try_get(8)?,
                words: row.try_get(9)?,
                reason: row.try_get(10)?,
                at_ms: row.try_get(11)?,
            })
        })
        .collect()
}

/// Ends a wish: whoever does so answers it. `false`: somebody else did, or a later one took its place.
///
/// # Errors
/// The database's.
pub async fn take(connection: &mut AnyConnection, run_id: &str, at_ms: i64) -> sqlx::Result<bool> {
    let result = sqlx::query("delete from settle_wishes where run_id = $1 and at_ms = $2")
        .bind(run_id)
        .bind(at_ms)
        .execute(connection)
        .await?;
    Ok(result.rows_affected() == 1)
}
