//! Where rules stand: one function a question. Only `engine` calls the writers.

use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row};

/// A row of `alert_rules`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RuleRow {
    /// Of which environment.
    pub environment: String,
    /// Its name in the file.
    pub name: String,
    /// Of what decides when it fires.
    pub digest: String,
    /// The last tick that was evaluated; 0: none.
    pub tick_ms: i64,
    /// Where it stands, as JSON.
    pub standing: String,
    /// What the last tick came to.
    pub outcome: String,
    /// Why that told nothing, as JSON; empty: it told something.
    pub why: String,
    /// The measure as it is shown; empty: there was none.
    pub value: String,
    /// By which message it is told to be unknown; 0: by none.
    pub told_ms: i64,
    /// Who evaluates it.
    pub owner: String,
    /// Until when.
    pub until_ms: i64,
    /// The number that goes with every write.
    pub fence: i64,
}

/// No lease is longer, by whatever bots' clocks differ: what ends later was written by a clock that was wrong, and
/// would keep everybody from evaluating a rule.
const LEASE_MS_MAX: i64 = 60_000;

/// Who wants to evaluate a rule, and until when.
#[derive(Debug, Clone, Copy)]
pub struct Claim<'c> {
    /// The bot.
    pub owner: &'c str,
    /// Now.
    pub now_ms: i64,
    /// Until when the rule is its own.
    pub until_ms: i64,
}

impl RuleRow {
    /// Whether this bot may evaluate it: nobody else does.
    pub fn is_free(&self, owner: &str, now_ms: i64) -> bool {
        let is_leased = (now_ms + 1..=now_ms + LEASE_MS_MAX).contains(&self.until_ms);
        self.owner == owner || !is_leased
    }
}

/// Writes a rule that nobody has evaluated yet; nothing if there is one.
///
/// # Errors
/// The database's.
pub async fn begin(connection: &mut AnyConnection, row: &RuleRow) -> sqlx::Result<()> {
    sqlx::query(
        "insert into alert_rules (environment, name, digest, tick_ms, standing, outcome, why, value, \
         told_ms, owner, until_ms, fence) values ($1, $2, $3, 0, $4, '', '', '', 0, '', 0, 0) \
         on conflict (environment, name) do nothing",
    )
    .bind(&row.environment)
    .bind(&row.name)
    .bind(&row.digest)
    .bind(&row.standing)
    .execute(connection)
    .await?;
    Ok(())
}

/// Takes a rule to evaluate, unless somebody else has it.
///
/// # Errors
/// The database's.
pub async fn claim(
    connection: &mut AnyConnection,
    (environment, name): (&str, &str),
    claim: Claim<'_>,
) -> sqlx::Result<Option<RuleRow>> {
    let claimed = sqlx::query(
        "update alert_rules set owner = $3, until_ms = $4, fence = fence + 1 \
         where environment = $1 and name = $2 and (owner = $3 or until_ms <= $5 or until_ms > $6) \
         returning environment, name, digest, tick_ms, standing, outcome, why, value, told_ms, owner, \
         until_ms, fence",
    )
    .bind(environment)
    .bind(name)
    .bind(claim.owner)
    .bind(claim.until_ms)
    .bind(claim.now_ms)
    .bind(claim.now_ms + LEASE_MS_MAX)
    .fetch_optional(connection)
    .await?;
    claimed.as_ref().map(row).transpose()
}

/// Writes where a rule stands after a tick, and keeps it until then; `false`: it is somebody else's now.
///
/// # Errors
/// The database's.
pub async fn keep(connection: &mut AnyConnection, row: &RuleRow) -> sqlx::Result<bool> {
    let kept = sqlx::query(
        "update alert_rules set digest = $3, tick_ms = $4, standing = $5, outcome = $6, why = $7, \
         value = $8, until_ms = $9 where environment = $1 and name = $2 and fence = $10",
    )
    .bind(&row.environment)
    .bind(&row.name)
    .bind(&row.digest)
    .bind(row.tick_ms)
    .bind(&row.standing)
    .bind(&row.outcome)
    .bind(&row.why)
    .bind(&row.value)
    .bind(row.until_ms)
    .bind(row.fence)
    .execute(connection)
    .await?;
    Ok(kept.rows_affected() == 1)
}

/// Takes the rows of an environment, so that what is told of its rules is told by one after the other.
///
/// # Errors
/// The database's.
pub async fn hold_all(connection: &mut AnyConnection, environment: &str) -> sqlx::Result<()> {
    // In one order, by the first of them: whoever holds it may change the others.
    sqlx::query(
        "update alert_rules set told_ms = told_ms where environment = $1 and name = \
         (select min(name) from alert_rules where environment = $1)",
    )
    .bind(environment)
    .execute(connection)
    .await?;
    Ok(())
}

/// Writes by which message a rule is told to be unknown.
///
/// # Errors
/// The database's.
pub async fn set_told(
    connection: &mut AnyConnection,
    (environment, name): (&str, &str),
    told_ms: i64,
) -> sqlx::Result<()> {
    sqlx::query("update alert_rules set told_ms = $3 where environment = $1 and name = $2")
        .bind(environment)
        .bind(name)
        .bind(told_ms)
        .execute(connection)
        .await?;
    Ok(())
}

/// Removes a rule that the configuration does not have any more, unless another bot still evaluates it; as it
/// was.
///
/// # Errors
/// The database's.
pub async fn remove(
    connection: &mut AnyConnection,
    (environment, name): (&str, &str),
    (owner, now_ms): (&str, i64),
) -> sqlx::Result<Option<RuleRow>> {
    let removed = sqlx::query(
        "delete from alert_rules where environment = $1 and name = $2 and (owner = $3 or until_ms <= $4 or until_ms > $5) \
         returning environment, name, digest, tick_ms, standing, outcome, why, value, told_ms, owner, \
         until_ms, fence",
    )
    .bind(environment)
    .bind(name)
    .bind(owner)
    .bind(now_ms)
    .bind(now_ms + LEASE_MS_MAX)
    .fetch_optional(connection)
    .await?;
    removed.as_ref().map(row).transpose()
}

/// One rule.
///
/// # Errors
/// The database's.
pub async fn one(
    connection: &mut AnyConnection,
    (environment, name): (&str, &str),
) -> sqlx::Result<Option<RuleRow>> {
    let found = sqlx::query(
        "select environment, name, digest, tick_ms, standing, outcome, why, value, told_ms, owner, \
         until_ms, fence from alert_rules where environment = $1 and name = $2",
    )
    .bind(environment)
    .bind(name)
    .fetch_optional(connection)
    .await?;
    found.as_ref().map(row).transpose()
}

/// Every rule of an environment by its name, at most `limit`.
///
/// # Errors
/// The database's.
pub async fn all(
    connection: &mut AnyConnection,
    environment: &str,
    limit: i64,
) -> sqlx::Result<Vec<RuleRow>> {
    let rows = sqlx::query(
        "select environment, name, digest, tick_ms, standing, outcome, why, value, told_ms, owner, \
         until_ms, fence from alert_rules where environment = $1 order by name limit $2",
    )
    .bind(environment)
    .bind(limit)
    .fetch_all(connection)
    .await?;
    rows.iter().map(row).collect()
}

/// Every rule of every environment, at most `limit`: what the configuration does not have is among them.
///
/// # Errors
/// The database's.
pub async fn everywhere(connection: &mut AnyConnection, limit: i64) -> sqlx::Result<Vec<RuleRow>> {
    let rows = sqlx::query(
        "select environment, name, digest, tick_ms, standing, outcome, why, value, told_ms, owner, \
         until_ms, fence from alert_rules order by environment, name limit $1",
    )
    .bind(limit)
    .fetch_all(connection)
    .await?;
    rows.iter().map(row).collect()
}

fn row(row: &AnyRow) -> sqlx::Result<RuleRow> {
    Ok(RuleRow {
        environment: row.try_get(0)?,
        name: row.try_get(1)?,
        digest: row.try_get(2)?,
        tick_ms: row.try_get(3)?,
        standing: row.try_get(4)?,
        outcome: row.try_get(5)?,
        why: row.try_get(6)?,
        value: row.try_get(7)?,
        told_ms: row.try_get(8)?,
        owner: row.try_get(9)?,
        until_ms: row.try_get(10)?,
        fence: row.try_get(11)?,
    })
}
