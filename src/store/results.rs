//! What steps said of themselves: one function a question. Only `engine` calls the writer.

use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row};

/// A row of `results`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResultRow {
    /// Whose step it was.
    pub run_id: String,
    /// Which step, from 0.
    pub position: i64,
    /// Where.
    pub environment: String,
    /// Its name: `test.unit`.
    pub name: String,
    /// A `core::step_result::Outcome` word.
    pub outcome: String,
    /// When the step ended.
    pub at_ms: i64,
    /// `core::step_result` as JSON.
    pub result: String,
}

/// Keeps a result; another try of the same step takes its place.
///
/// # Errors
/// The database's.
pub async fn put(connection: &mut AnyConnection, row: &ResultRow) -> sqlx::Result<()> {
    sqlx::query(
        "insert into results (run_id, position, environment, name, outcome, at_ms, result) \
         values ($1, $2, $3, $4, $5, $6, $7) on conflict (run_id, position) do update set \
         name = excluded.name, outcome = excluded.outcome, at_ms = excluded.at_ms, \
         result = excluded.result",
    )
    .bind(&row.run_id)
    .bind(row.position)
    .bind(&row.environment)
    .bind(&row.name)
    .bind(&row.outcome)
    .bind(row.at_ms)
    .bind(&row.result)
    .execute(connection)
    .await?;
    Ok(())
}

/// The newest result of a name of other runs that says how things are: what could not be run does not.
///
/// # Errors
/// The database's.
pub async fn before(
    connection: &mut AnyConnection,
    run_id: &str,
    (environment, name): (&str, &str),
) -> sqlx::Result<Option<ResultRow>> {
    let row = sqlx::query(
        "select run_id, position, environment, name, outcome, at_ms, result from results \
         where environment = $2 and name = $3 and run_id <> $1 \
         and outcome in ('done', 'passed', 'failed') order by at_ms desc, run_id limit 1",
    )
    .bind(run_id)
    .bind(environment)
    .bind(name)
    .fetch_optional(connection)
    .await?;
    row.as_ref().map(result_row).transpose()
}

/// The newest result of every name, by name; of one environment, or of all for an empty one. At most
/// `limit`.
///
/// # Errors
/// The database's.
pub async fn newest(
    connection: &mut AnyConnection,
    environment: &str,
    limit: i64,
) -> sqlx::Result<Vec<ResultRow>> {
    let rows = sqlx::query(
        "select r.run_id, r.position, r.environment, r.name, r.outcome, r.at_ms, r.result \
         from results r where ($1 = '' or r.environment = $1) and not exists ( \
           select 1 from results n where n.environment = r.environment and n.name = r.name \
           and (n.at_ms, n.run_id, n.position) > (r.at_ms, r.run_id, r.position)) \
         order by r.environment, r.name limit $2",
    )
    .bind(environment)
    .bind(limit)
    .fetch_all(connection)
    .await?;
    rows.iter().map(result_row).collect()
}

/// The results of a name, newest first, older than a run's if one is named; at most `limit`.
///
/// # Errors
/// The database's.
pub async fn of_name(
    connection: &mut AnyConnection,
    (environment, name): (&str, &str),
    before: &str,
    limit: i64,
) -> sqlx::Result<Vec<ResultRow>> {
    let rows = sqlx::query(
        "select run_id, position, environment, name, outcome, at_ms, result from results \
         where ($1 = '' or environment = $1) and name = $2 and ($3 = '' or (at_ms, run_id) < \
           (select min(at_ms), $3 from results where run_id = $3 and name = $2)) \
         order by at_ms desc, run_id desc, position desc limit $4",
    )
    .bind(environment)
    .bind(name)
    .bind(before)
    .bind(limit)
    .fetch_all(connection)
    .await?;
    rows.iter().map(result_row).collect()
}

fn result_row(row: &AnyRow) -> sqlx::Result<ResultRow> {
    Ok(ResultRow {
        run_id: row.try_get(0)?,
        position: row.try_get(1)?,
        environment: row.try_get(2)?,
        name: row.try_get(3)?,
        outcome: row.try_get(4)?,
        at_ms: row.try_get(5)?,
        result: row.try_get(6)?,
    })
}
