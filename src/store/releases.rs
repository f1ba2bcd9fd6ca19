//! What is and was live in each environment: one function a question. Only `engine` calls the writers.

use crate::core::id::RunId;
use crate::core::release::{Ended, Release, Way};
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row};

fn release(row: &AnyRow) -> sqlx::Result<Release> {
    let ended_ms: i64 = row.try_get(5)?;
    let word: String = row.try_get(6)?;
    let way = Way::parse(&word);
    if ended_ms > 0 && way.is_none() {
        return Err(sqlx::Error::Decode(format!("a release ended as {word:?}").into()));
    }
    Ok(Release {
        run: RunId::new(row.try_get::<String, _>(0)?),
        environment: row.try_get(1)?,
        version: row.try_get(2)?,
        commit: row.try_get(3)?,
        live_ms: row.try_get(4)?,
        ended: way.filter(|_| ended_ms > 0).map(|way| Ended { at_ms: ended_ms, way }),
        quarantined_ms: row.try_get(7)?,
    })
}

/// Writes a release that is live from now on; the former one has ended.
///
/// # Errors
/// The database's; it refuses a second live one in an environment.
pub async fn insert_live(connection: &mut AnyConnection, release: &Release) -> sqlx::Result<()> {
    sqlx::query(
        "insert into releases (run_id, environment, version, commit_id, live_ms, ended_ms, ended_as) \
         values ($1, $2, $3, $4, $5, 0, '')",
    )
    .bind(release.run.as_str())
    .bind(&release.environment)
    .bind(&release.version)
    .bind(&release.commit)
    .bind(release.live_ms)
    .execute(connection)
    .await?;
    Ok(())
}

/// Ends the release that is live in an environment.
///
/// # Errors
/// The database's.
pub async fn end_live(
    connection: &mut AnyConnection,
    environment: &str,
    ended: Ended,
) -> sqlx::Result<()> {
    sqlx::query(
        "update releases set ended_ms = $2, ended_as = $3 where environment = $1 and ended_ms = 0",
    )
    .bind(environment)
    .bind(ended.at_ms)
    .bind(ended.way.as_str())
    .execute(connection)
    .await?;
    Ok(())
}

/// The releases of an environment, the newest first, at most `limit`.
///
/// # Errors
/// The database's.
pub async fn history(
    connection: &mut AnyConnection,
    environment: &str,
    limit: i64,
) -> sqlx::Result<Vec<Release>> {
    let rows = sqlx::query(
        "select run_id, environment, version, commit_id, live_ms, ended_ms, ended_as, quarantined_ms \
         from releases where environment = $1 order by live_ms desc limit $2",
    )
    .bind(environment)
    .bind(limit)
    .fetch_all(connection)
    .await?;
    rows.iter().map(release).collect()
}

/// Whether a commit is or was live in an environment.
///
/// # Errors
/// The database's.
pub async fn was_live(
    connection: &mut AnyConnection,
    environment: &str,
    commit: &str,
) -> sqlx::Result<bool> {
    let row = sqlx::query(
        "select run_id from releases where environment = $1 and commit_id = $2 limit 1",
    )
    .bind(environment)
    .bind(commit)
    .fetch_optional(connection)
    .await?;
    Ok(row.is_some())
}

/// What is live, in every environment.
///
/// # Errors
/// The database's.
pub async fn live(connection: &mut AnyConnection) -> sqlx::Result<Vec<Release>> {
    let rows = sqlx::query(
        "select run_id, environment, version, commit_id, live_ms, ended_ms, ended_as, quarantined_ms \
         from releases where ended_ms = 0",
    )
    .fetch_all(connection)
    .await?;
    rows.iter().map(release).collect()
}

/// The runs that made something live since `since_ms` and have no message of this kind in the outbox, the
/// oldest first.
///
/// # Errors
/// The database's.
pub async fn untold(
    connection: &mut AnyConnection,
    since_ms: i64,
    limit: i64,
) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar(
        "select r.run_id from releases r where r.live_ms >= $1 and not exists (\
           select 1 from outbox o where o.key = 'change/' || r.run_id) \
         order by r.live_ms limit $2",
    )
    .bind(since_ms)
    .bind(limit)
    .fetch_all(connection)
    .await
}
