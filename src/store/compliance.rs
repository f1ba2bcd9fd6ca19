//! What a compliance report asks of the database: one function a question. Writes nothing.

mod facts;

pub use facts::facts;

use super::{Error, Store};
use sqlx::AnyConnection;

/// A row of `reviews` with its run.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct EmergencyRow {
    /// Which run.
    pub run_id: String,
    /// Its action.
    pub action: String,
    /// Where.
    pub environment: String,
    /// Who asked.
    pub actor: String,
    /// Its plan as JSON.
    pub plan: String,
    /// When it was asked for.
    pub created_ms: i64,
    /// Who reviewed it; empty: nobody yet.
    pub user_id: String,
    /// What they wrote.
    pub note: String,
    /// When; 0: not yet.
    pub at_ms: i64,
}

/// An approval by whoever asked.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct OwnApprovalRow {
    /// Of which run.
    pub run_id: String,
    /// Its action.
    pub action: String,
    /// Where.
    pub environment: String,
    /// Who.
    pub actor: String,
    /// When.
    pub at_ms: i64,
}

/// A delegation that was in force.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct DelegatedRow {
    /// In which role.
    pub role: String,
    /// In whose place.
    pub from_user: String,
    /// Who decides.
    pub to_user: String,
    /// Why.
    pub reason: String,
    /// Since when.
    pub created_ms: i64,
    /// Its end, or an earlier one.
    pub until_ms: i64,
}

/// A run that has ended.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct EndedRow {
    /// Which.
    pub id: String,
    /// Who asked.
    pub actor: String,
    /// How it ended.
    pub state: String,
    /// When.
    pub ended_ms: i64,
}

/// Emergencies that nobody has reviewed, the oldest first, at most `limit`; and how many there are.
///
/// # Errors
/// The database's.
pub async fn open_emergencies(
    connection: &mut AnyConnection,
    limit: i64,
) -> sqlx::Result<(Vec<EmergencyRow>, i64)> {
    let rows = sqlx::query_as(
        "select v.run_id, r.action, r.environment, r.actor, r.plan, v.created_ms, v.user_id, v.note, \
         v.at_ms from reviews v join runs r on r.id = v.run_id where v.at_ms = 0 \
         order by v.created_ms, v.run_id limit $1",
    )
    .bind(limit)
    .fetch_all(&mut *connection)
    .await?;
    let total = sqlx::query_scalar("select count(*) from reviews where at_ms = 0")
        .fetch_one(connection)
        .await?;
    Ok((rows, total))
}

/// Emergencies that were reviewed or asked for since a moment, and reviewed; the newest first.
///
/// # Errors
/// The database's.
pub async fn reviewed_emergencies(
    connection: &mut AnyConnection,
    since_ms: i64,
    limit: i64,
) -> sqlx::Result<(Vec<EmergencyRow>, i64)> {
    let rows = sqlx::query_as(
        "select v.run_id, r.action, r.environment, r.actor, r.plan, v.created_ms, v.user_id, v.note, \
         v.at_ms from reviews v join runs r on r.id = v.run_id where v.at_ms >= $1 and v.at_ms > 0 \
         order by v.created_ms desc, v.run_id limit $2",
    )
    .bind(since_ms)
    .bind(limit)
    .fetch_all(&mut *connection)
    .await?;
    let total = sqlx::query_scalar("select count(*) from reviews where at_ms >= $1 and at_ms > 0")
        .bind(since_ms)
        .fetch_one(connection)
        .await?;
    Ok((rows, total))
}

/// Approvals by whoever asked for the run, in their own name or through somebody who decides for them, since
/// a moment; the newest first.
///
/// # Errors
/// The database's.
pub async fn own_approvals(
    connection: &mut AnyConnection,
    since_ms: i64,
    limit: i64,
) -> sqlx::Result<(Vec<OwnApprovalRow>, i64)> {
    let rows = sqlx::query_as(
        "select d.run_id, r.action, r.environment, r.actor, d.at_ms from decisions d \
         join runs r on r.id = d.run_id where d.verdict = 'approved' and d.at_ms >= $1 \
         and (d.user_id = r.actor or d.on_behalf = r.actor) order by d.at_ms desc, d.run_id limit $2",
    )
    .bind(since_ms)
    .bind(limit)
    .fetch_all(&mut *connection)
    .await?;
    let total = sqlx::query_scalar(
        "select count(*) from decisions d join runs r on r.id = d.run_id \
         where d.verdict = 'approved' and d.at_ms >= $1 \
         and (d.user_id = r.actor or d.on_behalf = r.actor)",
    )
    .bind(since_ms)
    .fetch_one(connection)
    .await?;
    Ok((rows, total))
}

/// Delegations that were in force since a moment, the newest first.
///
/// # Errors
/// The database's.
pub async fn delegations(
    connection: &mut AnyConnection,
    since_ms: i64,
    limit: i64,
) -> sqlx::Result<(Vec<DelegatedRow>, i64)> {
    let rows = sqlx::query_as(
        "select role, from_user, to_user, reason, created_ms, \
         case when ended_ms > 0 then ended_ms else until_ms end as until_ms from delegations \
         where until_ms >= $1 and (ended_ms = 0 or ended_ms >= $1) \
         order by created_ms desc, id limit $2",
    )
    .bind(since_ms)
    .bind(limit)
    .fetch_all(&mut *connection)
    .await?;
    let total = sqlx::query_scalar(
        "select count(*) from delegations where until_ms >= $1 and (ended_ms = 0 or ended_ms >= $1)",
    )
    .bind(since_ms)
    .fetch_one(connection)
    .await?;
    Ok((rows, total))
}

/// The run of an action that ended last in an environment, in this state or in any (`""`).
///
/// # Errors
/// The database's.
pub async fn ended_last(
    connection: &mut AnyConnection,
    (action, environment, state): (&str, &str, &str),
) -> sqlx::Result<Option<EndedRow>> {
    sqlx::query_as(
        "select id, actor, state, ended_ms from runs where action = $1 and environment = $2 \
         and ended_ms > 0 and (state = $3 or $3 = '') order by ended_ms desc, id limit 1",
    )
    .bind(action)
    .bind(environment)
    .bind(state)
    .fetch_optional(connection)
    .await
}

/// Whether PostgreSQL says that the connection is encrypted; `None`: it is SQLite's, or the server may not
/// say.
///
/// # Errors
/// As the database gives them.
pub async fn is_connection_encrypted(store: &Store) -> Result<Option<bool>, Error> {
    if store.is_sqlite() {
        return Ok(None);
    }
    let mut reader = store.read().await?;
    let asked = sqlx::query_scalar::<_, i64>(
        "select cast(case when ssl then 1 else 0 end as bigint) from pg_stat_ssl \
         where pid = pg_backend_pid()",
    );
    Ok(asked.fetch_optional(&mut *reader).await?.map(|ssl| ssl == 1))
}
