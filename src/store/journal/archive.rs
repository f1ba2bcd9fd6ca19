//! Removing what is sealed in a file: the only place that takes rows out of the journal, in one
//! transaction with the entry that tells of it. The guards are away only inside that transaction.

use super::super::connect::Engine;
use super::super::{Error, Store, Unit};
use super::head;
use crate::clock::Millis;
use crate::core::journal::{Anchor, Entry, KIND_ARCHIVED};
use serde_json::json;
use sqlx::AnyConnection;

/// Rows of one segment: what one transaction removes while everybody else waits.
pub const SEGMENT_ROWS_MAX: i64 = 50_000;

const DROP_SQLITE: &str = "drop trigger journal_no_delete";
/// As `migrations/sqlite` made it.
const RESTORE_SQLITE: &str = "create trigger journal_no_delete before delete on journal
begin
    select raise(abort, 'the journal only grows: delete refused');
end";
const DROP_POSTGRES: &str = "alter table journal disable trigger journal_no_change";
const RESTORE_POSTGRES: &str = "alter table journal enable trigger journal_no_change";

/// Rows that are to be archived, as the journal holds them now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due {
    /// The first row that is there.
    pub first_seq: i64,
    /// The last of the segment.
    pub last_seq: i64,
    /// The last of all that are due.
    pub all_to_seq: i64,
}

/// A segment that is complete in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// Its first row.
    pub first_seq: i64,
    /// What that row stands on.
    pub prev_hash: String,
    /// Its last row.
    pub last: Anchor,
    /// How many rows.
    pub count: i64,
    /// Of the file's lines.
    pub sha256: String,
    /// The file's name.
    pub file: String,
}

/// The next segment whose rows are all from before a moment; `None`: none is due.
///
/// # Errors
/// As the database gives them.
pub async fn due(connection: &mut AnyConnection, before_ms: Millis) -> Result<Option<Due>, Error> {
    let first: Option<i64> =
        sqlx::query_scalar("select min(seq) from journal").fetch_one(&mut *connection).await?;
    let young: Option<i64> = sqlx::query_scalar("select min(seq) from journal where at_ms >= $1")
        .bind(before_ms)
        .fetch_one(&mut *connection)
        .await?;
    let head_seq = head(connection).await?.seq;
    let Some(first_seq) = first else { return Ok(None) };
    let all_to_seq = young.map_or(head_seq, |seq| seq - 1);
    let last_seq = all_to_seq.min(first_seq + SEGMENT_ROWS_MAX - 1);
    Ok((last_seq >= first_seq).then_some(Due { first_seq, last_seq, all_to_seq }))
}

/// Removes a segment's rows and writes down that they are in a file, in one transaction.
///
/// # Errors
/// [`Error::Setup`] when the journal does not hold exactly the segment's rows; nothing was changed then.
/// Others as the database gives them.
pub async fn remove(store: &Store, segment: Segment, by: &str) -> Result<(), Error> {
    let (engine, by) = (store.shared.engine, by.to_owned());
    store
        .unit(move |unit| Box::pin(async move { remove_in(unit, engine, &segment, &by).await }))
        .await
}

async fn remove_in(
    unit: &mut Unit,
    engine: Engine,
    segment: &Segment,
    by: &str,
) -> Result<(), Error> {
    let connection = unit.connection();
    // The head first, as whoever writes an entry has it when the table's lock is asked for.
    sqlx::query("update journal_head set seq = seq where id = 1").execute(&mut *connection).await?;
    if !is_held(connection, segment).await? {
        return Err(Error::Setup(format!(
            "{} does not hold what the journal holds: nothing was removed",
            segment.file
        )));
    }
    let (drop, restore) = match engine {
        Engine::Sqlite => (DROP_SQLITE, RESTORE_SQLITE),
        Engine::Postgres => (DROP_POSTGRES, RESTORE_POSTGRES),
    };
    sqlx::raw_sql(drop).execute(&mut *connection).await?;
    sqlx::query("delete from journal where seq >= $1 and seq <= $2")
        .bind(segment.first_seq)
        .bind(segment.last.seq)
        .execute(&mut *connection)
        .await?;
    sqlx::raw_sql(restore).execute(&mut *connection).await?;
    let detail = json!({
        "first": segment.first_seq, "last": segment.last.seq, "prev_hash": segment.prev_hash,
        "hash": segment.last.hash, "count": segment.count, "sha256": segment.sha256,
        "file": segment.file,
    });
    let at_ms = unit.now_ms();
    unit.journal(Entry {
        at_ms,
        actor: by.to_owned(),
        origin: "cli".to_owned(),
        kind: KIND_ARCHIVED.to_owned(),
        subject: "journal".to_owned(),
        detail,
    });
    Ok(())
}

/// Whether the journal begins with exactly this segment.
async fn is_held(connection: &mut AnyConnection, segment: &Segment) -> Result<bool, Error> {
    let (first, count): (Option<i64>, i64) =
        sqlx::query_as("select min(seq), count(*) from journal where seq <= $1")
            .bind(segment.last.seq)
            .fetch_one(&mut *connection)
            .await?;
    let prev_hash: Option<String> =
        hash_of(connection, "select prev_hash from journal where seq = $1", segment.first_seq)
            .await?;
    let hash =
        hash_of(connection, "select hash from journal where seq = $1", segment.last.seq).await?;
    Ok(first == Some(segment.first_seq)
        && count == segment.count
        && prev_hash.as_ref() == Some(&segment.prev_hash)
        && hash.as_ref() == Some(&segment.last.hash))
}

async fn hash_of(
    connection: &mut AnyConnection,
    statement: &'static str,
    seq: i64,
) -> Result<Option<String>, Error> {
    Ok(sqlx::query_scalar(statement).bind(seq).fetch_optional(connection).await?)
}
