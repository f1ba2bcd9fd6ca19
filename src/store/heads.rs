//! The days on which the journal's head was posted.

use super::Error;
use crate::clock::Millis;
use crate::core::journal::Anchor;
use sqlx::AnyConnection;

/// Writes down that the head of a day, counted from 1970, is posted; `false`: it was already.
///
/// # Errors
/// As the database gives them.
pub async fn insert_once(
    connection: &mut AnyConnection,
    day: i64,
    head: &Anchor,
    at_ms: Millis,
) -> Result<bool, Error> {
    let inserted = sqlx::query(
        "insert into daily_heads (day, seq, hash, at_ms) values ($1, $2, $3, $4) \
         on conflict (day) do nothing",
    )
    .bind(day)
    .bind(head.seq)
    .bind(&head.hash)
    .bind(at_ms)
    .execute(connection)
    .await?;
    Ok(inserted.rows_affected() == 1)
}
