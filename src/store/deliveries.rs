//! What was delivered and how it was answered: a retry gets the first answer again.

use super::{Error, Unit};
use crate::clock::Millis;
use sqlx::AnyConnection;

/// How long a delivery is remembered; the platform retries within minutes.
pub const KEPT_MS: Millis = 24 * 60 * 60 * 1_000;

/// Remembers a delivery and its answer. `false` when it was already there: then the first
/// answer stands, and this one is dropped.
///
/// # Errors
/// As the database gives them.
pub async fn insert_once(unit: &mut Unit, key: &str, answer: &str) -> Result<bool, Error> {
    let now_ms = unit.now_ms();
    let inserted = sqlx::query(
        "insert into deliveries (key, answer, created_ms) values ($1, $2, $3) \
         on conflict (key) do nothing",
    )
    .bind(key)
    .bind(answer)
    .bind(now_ms)
    .execute(unit.connection())
    .await?;
    Ok(inserted.rows_affected() == 1)
}

/// What a delivery was answered.
///
/// # Errors
/// As the database gives them.
pub async fn answer_of(connection: &mut AnyConnection, key: &str) -> Result<Option<String>, Error> {
    let answer = sqlx::query_scalar("select answer from deliveries where key = $1")
        .bind(key)
        .fetch_optional(connection)
        .await?;
    Ok(answer)
}

/// Forgets at most `limit` deliveries from before `before_ms`, the oldest first; says how many.
///
/// # Errors
/// As the database gives them.
pub async fn prune(unit: &mut Unit, before_ms: Millis, limit: i64) -> Result<u64, Error> {
    let pruned = sqlx::query(
        "delete from deliveries where key in (select key from deliveries where created_ms < $1 \
         order by created_ms limit $2)",
    )
    .bind(before_ms)
    .bind(limit)
    .execute(unit.connection())
    .await?;
    Ok(pruned.rows_affected())
}
