//! Who decides in whose place: one function a question. Only `engine` calls the writers.

use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row};

/// A row of `delegations` that has not been ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DelegationRow {
    /// In which role.
    pub role: String,
    /// In whose place.
    pub from_user: String,
    /// Who decides.
    pub to_user: String,
    /// Why.
    pub reason: String,
    /// When it ends.
    pub until_ms: i64,
}

/// Writes a delegation.
///
/// # Errors
/// The database's.
pub async fn insert(
    connection: &mut AnyConnection,
    id: &str,
    delegation: &DelegationRow,
    now_ms: i64,
) -> sqlx::Result<()> {
    sqlx::query(
        "insert into delegations (id, role, from_user, to_user, reason, created_ms, until_ms, \
         ended_ms, ended_by) values ($1, $2, $3, $4, $5, $6, $7, 0, '')",
    )
    .bind(id)
    .bind(&delegation.role)
    .bind(&delegation.from_user)
    .bind(&delegation.to_user)
    .bind(&delegation.reason)
    .bind(now_ms)
    .bind(delegation.until_ms)
    .execute(connection)
    .await?;
    Ok(())
}

/// Ends what is delegated to somebody in a role, whoever did it or one person's; whether there was any.
///
/// # Errors
/// The database's.
pub async fn end(
    connection: &mut AnyConnection,
    (role, to_user): (&str, &str),
    from_user: Option<&str>,
    (by, now_ms): (&str, i64),
) -> sqlx::Result<bool> {
    let done = sqlx::query(
        "update delegations set ended_ms = $4, ended_by = $5 where role = $1 and to_user = $2 \
         and (from_user = $3 or $3 = '') and ended_ms = 0 and until_ms > $4",
    )
    .bind(role)
    .bind(to_user)
    .bind(from_user.unwrap_or_default())
    .bind(now_ms)
    .bind(by)
    .execute(connection)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// What somebody may decide in another's place now, the oldest first, at most `limit`; everybody's where no
/// user is given.
///
/// # Errors
/// The database's.
pub async fn in_force(
    connection: &mut AnyConnection,
    to_user: &str,
    now_ms: i64,
    limit: i64,
) -> sqlx::Result<Vec<DelegationRow>> {
    let rows = sqlx::query(
        "select role, from_user, to_user, reason, until_ms from delegations \
         where (to_user = $1 or $1 = '') and until_ms > $2 and ended_ms = 0 \
         order by created_ms, id limit $3",
    )
    .bind(to_user)
    .bind(now_ms)
    .bind(limit)
    .fetch_all(connection)
    .await?;
    rows.iter().map(row).collect()
}

fn row(row: &AnyRow) -> sqlx::Result<DelegationRow> {
    Ok(DelegationRow {
        role: row.try_get(0)?,
        from_user: row.try_get(1)?,
        to_user: row.try_get(2)?,
        reason: row.try_get(3)?,
        until_ms: row.try_get(4)?,
    })
}
