//! What people decided about runs: one function a question. Only `engine` calls the writer.

use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row};

/// A row of `decisions`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DecisionRow {
    /// Whose: a Slack user id.
    pub user_id: String,
    /// A `core::decision::Verdict` word.
    pub verdict: String,
    /// Why; may be empty.
    pub reason: String,
    /// The digest of the plan that was decided about.
    pub digest: String,
    /// The role by which the person may.
    pub role: String,
    /// In whose place; empty: in their own.
    pub on_behalf: String,
    /// When.
    pub at_ms: i64,
}

/// Writes a decision; one person's same decision twice is one.
///
/// # Errors
/// The database's.
pub async fn insert(
    connection: &mut AnyConnection,
    run_id: &str,
    decision: &DecisionRow,
) -> sqlx::Result<()> {
    sqlx::query(
        "insert into decisions (run_id, user_id, verdict, reason, digest, role, at_ms, on_behalf) \
         values ($1, $2, $3, $4, $5, $6, $7, $8) on conflict (run_id, user_id, verdict) do nothing",
    )
    .bind(run_id)
    .bind(&decision.user_id)
    .bind(&decision.verdict)
    .bind(&decision.reason)
    .bind(&decision.digest)
    .bind(&decision.role)
    .bind(decision.at_ms)
    .bind(&decision.on_behalf)
    .execute(connection)
    .await?;
    Ok(())
}

/// What was decided about a run, in order.
///
/// # Errors
/// The database's.
pub async fn of_run(
    connection: &mut AnyConnection,
    run_id: &str,
) -> sqlx::Result<Vec<DecisionRow>> {
    let rows = sqlx::query(
        "select user_id, verdict, reason, digest, role, at_ms, on_behalf from decisions \
         where run_id = $1 \
         order by at_ms, user_id, verdict",
    )
    .bind(run_id)
    .fetch_all(connection)
    .await?;
    rows.iter().map(decision_row).collect()
}

/// Reads the columns in the order of [`DecisionRow`]'s fields.
pub(super) fn decision_row(row: &AnyRow) -> sqlx::Result<DecisionRow> {
    Ok(DecisionRow {
        user_id: row.try_get(0)?,
        verdict: row.try_get(1)?,
        reason: row.try_get(2)?,
        digest: row.try_get(3)?,
        role: row.try_get(4)?,
        at_ms: row.try_get(5)?,
        on_behalf: row.try_get(6)?,
    })
}

/// Whether somebody wants a run stopped.
///
/// # Errors
/// The database's.
pub async fn is_cancel_asked(connection: &mut AnyConnection, run_id: &str) -> sqlx::Result<bool> {
    let row = sqlx::query(
        "select user_id from decisions where run_id = $1 and verdict = 'cancelled' limit 1",
    )
    .bind(run_id)
    .fetch_optional(connection)
    .await?;
    Ok(row.is_some())
}
