//! Runs, steps and environment locks: one function per question. Only `engine` calls the writers.

use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row};

/// A row of `runs`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunRow {
    /// `R-…`
    pub id: String,
    /// The action's name.
    pub action: String,
    /// The environment's name.
    pub environment: String,
    /// The only host that may run its steps; empty: any, until one claims it.
    pub host: String,
    /// Whether it takes its environment's lock.
    pub holds_lock: bool,
    /// Who asked: a Slack user id.
    pub actor: String,
    /// By which way: `slash`.
    pub origin: String,
    /// Where it was asked.
    pub origin_channel: String,
    /// Where its card is.
    pub channel: String,
    /// The plan's JSON.
    pub plan: String,
    /// The plan's digest.
    pub plan_digest: String,
    /// A `core::run::State` word.
    pub state: String,
    /// The step that is next or under way.
    pub position: i64,
    /// Which bot drives it.
    pub owner: String,
    /// Rises with every change of driver; a writer with an older one is refused.
    pub fence: i64,
    /// Until when the owner need not be asked.
    pub lease_until_ms: i64,
    /// When it was asked.
    pub created_ms: i64,
    /// When a worker took it; 0: not yet.
    pub started_ms: i64,
    /// When it ended; 0: not yet.
    pub ended_ms: i64,
    /// When it stops waiting for people; 0: never.
    pub expires_ms: i64,
    /// Since when its host cannot be asked; 0: it can.
    pub unreachable_ms: i64,
}

/// A row of `steps`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StepRow {
    /// From 0.
    pub position: i64,
    /// A `core::run::StepState` word.
    pub state: String,
    /// The latest attempt's id; empty before the first.
    pub attempt: String,
    /// How many attempts were decided.
    pub attempts: i64,
    /// Where the latest attempt's evidence is; absolute.
    pub directory: String,
    /// When its start was decided.
    pub started_ms: i64,
    /// When it ended.
    pub ended_ms: i64,
    /// `core::evidence` as JSON; empty before the end.
    pub evidence: String,
    /// The last of its output, redacted.
    pub tail: String,
    /// How many attempts began, by their evidence.
    pub begun: i64,
    /// How many of these ended badly and were tried again.
    pub failures: i64,
    /// When the next attempt is due; 0: at once.
    pub due_ms: i64,
}

/// A row of `environment_locks`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LockRow {
    /// What is held.
    pub environment: String,
    /// Who holds it.
    pub run_id: String,
    /// Since when.
    pub taken_ms: i64,
}

fn run_row(row: &AnyRow) -> sqlx::Result<RunRow> {
    Ok(RunRow {
        id: row.try_get(0)?,
        action: row.try_get(1)?,
        environment: row.try_get(2)?,
        host: row.try_get(3)?,
        holds_lock: row.try_get::<i64, _>(4)? != 0,
        actor: row.try_get(5)?,
        origin: row.try_get(6)?,
        origin_channel: row.try_get(7)?,
        channel: row.try_get(8)?,
        plan: row.try_get(9)?,
        plan_digest: row.try_get(10)?,
        state: row.try_get(11)?,
        position: row.try_get(12)?,
        owner: row.try_get(13)?,
        fence: row.try_get(14)?,
        lease_until_ms: row.try_get(15)?,
        created_ms: row.try_get(16)?,
        started_ms: row.try_get(17)?,
        ended_ms: row.try_get(18)?,
        expires_ms: row.try_get(19)?,
        unreachable_ms: row.try_get(20)?,
    })
}

fn step_row(row: &AnyRow) -> sqlx::Result<StepRow> {
    Ok(StepRow {
        position: row.try_get(0)?,
        state: row.try_get(1)?,
        attempt: row.try_get(2)?,
        attempts: row.try_get(3)?,
        directory: row.try_get(4)?,
        started_ms: row.try_get(5)?,
        ended_ms: row.try_get(6)?,
        evidence: row.try_get(7)?,
        tail: row.try_get(8)?,
        begun: row.try_get(9)?,
        failures: row.try_get(10)?,
        due_ms: row.try_get(11)?,
    })
}

/// Writes a new run.
///
/// # Errors
/// The database's; nothing was written.
pub async fn insert(connection: &mut AnyConnection, run: &RunRow) -> sqlx::Result<()> {
    sqlx::query(
        "insert into runs (id, action, environment, host, holds_lock, actor, origin, origin_channel, \
         channel, plan, plan_digest, state, position, owner, fence, lease_until_ms, created_ms, \
         started_ms, ended_ms, expires_ms) values \
         ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20)",
    )
    .bind(&run.id)
    .bind(&run.action)
    .bind(&run.environment)
    .bind(&run.host)
    .bind(i64::from(run.holds_lock))
    .bind(&run.actor)
    .bind(&run.origin)
    .bind(&run.origin_channel)
    .bind(&run.channel)
    .bind(&run.plan)
    .bind(&run.plan_digest)
    .bind(&run.state)
    .bind(run.position)
    .bind(&run.owner)
    .bind(run.fence)
    .bind(run.lease_until_ms)
    .bind(run.created_ms)
    .bind(run.started_ms)
    .bind(run.ended_ms)
    .bind(run.expires_ms)
    .execute(connection)
    .await?;
    Ok(())
}

/// Writes a step, new or changed.
///
/// # Errors
/// The database's.
pub async fn put_step(
    connection: &mut AnyConnection,
    run_id: &str,
    step: &StepRow,
) -> sqlx::Result<()> {
    sqlx::query(
        "insert into steps (run_id, position, state, attempt, attempts, directory, started_ms, \
         ended_ms, evidence, tail, begun, failures, due_ms) values \
         ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) \
         on conflict (run_id, position) do update set state = excluded.state, \
         attempt = excluded.attempt, attempts = excluded.attempts, directory = excluded.directory, \
         started_ms = excluded.started_ms, ended_ms = excluded.ended_ms, \
         evidence = excluded.evidence, tail = excluded.tail, begun = excluded.begun, \
         failures = excluded.failures, due_ms = excluded.due_ms",
    )
    .bind(run_id)
    .bind(step.position)
    .bind(&step.state)
    .bind(&step.attempt)
    .bind(step.attempts)
    .bind(&step.directory)
    .bind(step.started_ms)
    .bind(step.ended_ms)
    .bind(&step.evidence)
    .bind(&step.tail)
    .bind(step.begun)
    .bind(step.failures)
    .bind(step.due_ms)
    .execute(connection)
    .await?;
    Ok(())
}

/// The run with this id.
///
/// # Errors
/// The database's.
pub async fn run(connection: &mut AnyConnection, id: &str) -> sqlx::Result<Option<RunRow>> {
    let row = sqlx::query(
        "select id, action, environment, host, holds_lock, actor, origin, origin_channel, channel, \
         plan, plan_digest, state, position, owner, fence, lease_until_ms, created_ms, started_ms, \
         ended_ms, expires_ms, unreachable_ms from runs where id = $1",
    )
    .bind(id)
    .fetch_optional(connection)
    .await?;
    row.as_ref().map(run_row).transpose()
}

/// The latest attempt of every step that began, and when its run ended; 0: it has not.
///
/// # Errors
/// The database's.
pub async fn attempts(connection: &mut AnyConnection) -> sqlx::Result<Vec<(String, i64)>> {
    let rows = sqlx::query(
        "select s.attempt, r.ended_ms from steps s join runs r on r.id = s.run_id \
         where s.attempt <> ''",
    )
    .fetch_all(connection)
    .await?;
    rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
}

/// When the oldest run that has not ended was asked for; `None`: all have ended.
///
/// # Errors
/// The database's.
pub async fn oldest_open_ms(connection: &mut AnyConnection) -> sqlx::Result<Option<i64>> {
    sqlx::query_scalar("select cast(min(created_ms) as bigint) from runs where ended_ms = 0")
        .fetch_one(connection)
        .await
}

/// A run's steps, in order.
///
/// # Errors
/// The database's.
pub async fn steps_of(connection: &mut AnyConnection, run_id: &str) -> sqlx::Result<Vec<StepRow>> {
    let rows = sqlx::query(
        "select position, state, attempt, attempts, directory, started_ms, ended_ms, evidence, tail, \
         begun, failures, due_ms from steps where run_id = $1 order by position",
    )
    .bind(run_id)
    .fetch_all(connection)
    .await?;
    rows.iter().map(step_row).collect()
}

/// Runs that have not ended, oldest first, at most `limit`.
///
/// # Errors
/// The database's.
pub async fn open_runs(connection: &mut AnyConnection, limit: i64) -> sqlx::Result<Vec<RunRow>> {
    let rows = sqlx::query(
        "select id, action, environment, host, holds_lock, actor, origin, origin_channel, channel, \
         plan, plan_digest, state, position, owner, fence, lease_until_ms, created_ms, started_ms, \
         ended_ms, expires_ms, unreachable_ms from runs \
         where state in ('waiting', 'queued', 'running', 'needs_attention') \
         order by created_ms, id limit $1",
    )
    .bind(limit)
    .fetch_all(connection)
    .await?;
    rows.iter().map(run_row).collect()
}

/// Which runs a person looks for; empty texts are for all.
#[derive(Debug, Clone, Copy)]
pub struct RunFilter<'f> {
    /// Of this action.
    pub action: &'f str,
    /// In this environment.
    pub environment: &'f str,
    /// In this state; `open`: not ended.
    pub state: &'f str,
    /// Asked by this person.
    pub actor: &'f str,
    /// Not asked before this moment.
    pub since_ms: i64,
    /// Older than this run.
    pub before: &'f str,
}

/// The newest runs that a filter keeps, newest first; at most `limit`.
///
/// # Errors
/// The database's.
pub async fn newest(
    connection: &mut AnyConnection,
    filter: &RunFilter<'_>,
    limit: i64,
) -> sqlx::Result<Vec<RunRow>> {
    let rows = sqlx::query(
        "select id, action, environment, host, holds_lock, actor, origin, origin_channel, channel, \
         plan, plan_digest, state, position, owner, fence, lease_until_ms, created_ms, started_ms, \
         ended_ms, expires_ms, unreachable_ms from runs \
         where ($1 = '' or action = $1) and ($2 = '' or environment = $2) \
         and ($3 = '' or state = $3 or ($3 = 'open' and ended_ms = 0)) and ($4 = '' or actor = $4) \
         and created_ms >= $5 and ($6 = '' or (created_ms, id) < \
           (select created_ms, id from runs where id = $6)) \
         order by created_ms desc, id desc limit $7",
    )
    .bind(filter.action)
    .bind(filter.environment)
    .bind(filter.state)
    .bind(filter.actor)
    .bind(filter.since_ms)
    .bind(filter.before)
    .bind(limit)
    .fetch_all(connection)
    .await?;
    rows.iter().map(run_row).collect()
}

/// The run of an environment that ended last.
///
/// # Errors
/// The database's.
pub async fn last_ended(
    connection: &mut AnyConnection,
    environment: &str,
) -> sqlx::Result<Option<RunRow>> {
    let row = sqlx::query(
        "select id, action, environment, host, holds_lock, actor, origin, origin_channel, channel, \
         plan, plan_digest, state, position, owner, fence, lease_until_ms, created_ms, started_ms, \
         ended_ms, expires_ms, unreachable_ms from runs where environment = $1 and ended_ms > 0 \
         and origin <> 'checklist' order by ended_ms desc, id limit 1",
    )
    .bind(environment)
    .fetch_optional(connection)
    .await?;
    row.as_ref().map(run_row).transpose()
}

/// Takes the row lock of a run and proves that `fence` is still the newest; `false`: somebody else
/// drives it now, and the caller must stop. Who drives it is in reach of it, and heard of by this: the
/// lease is prolonged.
///
/// # Errors
/// The database's.
pub async fn hold(
    connection: &mut AnyConnection,
    id: &str,
    fence: i64,
    lease_until_ms: i64,
) -> sqlx::Result<bool> {
    let result = sqlx::query(
        "update runs set unreachable_ms = 0, lease_until_ms = $3 where id = $1 and fence = $2",
    )
    .bind(id)
    .bind(fence)
    .bind(lease_until_ms)
    .execute(connection)
    .await?;
    Ok(result.rows_affected() == 1)
}

/// Takes the row lock of a run, whoever drives it; `false`: there is no such run.
///
/// # Errors
/// The database's.
pub async fn hold_whoever_drives(connection: &mut AnyConnection, id: &str) -> sqlx::Result<bool> {
    let result = sqlx::query("update runs set fence = fence where id = $1")
        .bind(id)
        .execute(connection)
        .await?;
    Ok(result.rows_affected() == 1)
}

/// The runs of an action in an environment that somebody approved since a moment, the newest first, at most
/// `limit`.
///
/// # Errors
/// The database's.
pub async fn approved_since(
    connection: &mut AnyConnection,
    (action, environment): (&str, &str),
    since_ms: i64,
    limit: i64,
) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar(
        "select id from runs where action = $1 and environment = $2 and exists (select 1 from \
         decisions where run_id = runs.id and verdict = 'approved' and at_ms >= $3) \
         order by created_ms desc, id limit $4",
    )
    .bind(action)
    .bind(environment)
    .bind(since_ms)
    .bind(limit)
    .fetch_all(connection)
    .await
}

/// Runs that have waited for people for as long as they may, oldest first, at most `limit`.
///
/// # Errors
/// The database's.
pub async fn overdue(
    connection: &mut AnyConnection,
    now_ms: i64,
    limit: i64,
) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar(
        "select id from runs where state = 'waiting' and expires_ms > 0 and expires_ms <= $1 \
         order by expires_ms, id limit $2",
    )
    .bind(now_ms)
    .bind(limit)
    .fetch_all(connection)
    .await
}

/// Runs that wait for something that comes by itself, and for nobody's decision; the oldest first, at most
/// `limit`.
///
/// # Errors
/// The database's.
pub async fn waiting_for_nobody(
    connection: &mut AnyConnection,
    limit: i64,
) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar(
        "select id from runs where state = 'waiting' and expires_ms = 0 \
         order by created_ms, id limit $1",
    )
    .bind(limit)
    .fetch_all(connection)
    .await
}

/// A run that waits does so for nobody's decision any more, and expires no more. Its row is held.
///
/// # Errors
/// The database's.
pub async fn wait_for_nobody(connection: &mut AnyConnection, id: &str) -> sqlx::Result<()> {
    sqlx::query("update runs set expires_ms = 0 where id = $1 and state = 'waiting'")
        .bind(id)
        .execute(connection)
        .await?;
    Ok(())
}

/// Takes the row lock of a run that waits for a person, and shuts out whoever drove it: from this
/// moment on its host may claim it. `false`: it waits for nobody.
///
/// # Errors
/// The database's.
pub async fn hold_for_a_person(
    connection: &mut AnyConnection,
    id: &str,
    now_ms: i64,
) -> sqlx::Result<bool> {
    let result = sqlx::query(
        "update runs set fence = fence + 1, lease_until_ms = $2 \
         where id = $1 and state = 'needs_attention'",
    )
    .bind(id)
    .bind(now_ms)
    .execute(connection)
    .await?;
    Ok(result.rows_affected() == 1)
}

/// What an event changed of a run's row.
#[derive(Debug, Clone, Copy)]
pub struct RunChange<'r> {
    /// The new state's word.
    pub state: &'r str,
    /// The new position.
    pub position: i64,
    /// When a worker took it.
    pub started_ms: i64,
    /// When it ended.
    pub ended_ms: i64,
}

/// Writes an event's change. A run that does not run any more has no driver, and no lease to wait for
/// when it runs again.
///
/// # Errors
/// The database's.
pub async fn change(
    connection: &mut AnyConnection,
    id: &str,
    change: RunChange<'_>,
) -> sqlx::Result<()> {
    sqlx::query(
        "update runs set state = $2, position = $3, started_ms = $4, ended_ms = $5, \
         lease_until_ms = case when $2 = 'running' then lease_until_ms else 0 end where id = $1",
    )
    .bind(id)
    .bind(change.state)
    .bind(change.position)
    .bind(change.started_ms)
    .bind(change.ended_ms)
    .execute(connection)
    .await?;
    Ok(())
}

/// Who claims, and until when.
#[derive(Debug, Clone, Copy)]
pub struct Claim<'c> {
    /// The bot.
    pub owner: &'c str,
    /// Its host.
    pub host: &'c str,
    /// Now.
    pub now_ms: i64,
    /// The end of the lease.
    pub lease_until_ms: i64,
}

/// Takes the oldest run whose lease has ended and that runs, or whose evidence here was out of reach;
/// the run's id and its new fence.
///
/// # Errors
/// The database's.
pub async fn claim_abandoned(
    connection: &mut AnyConnection,
    claim: Claim<'_>,
) -> sqlx::Result<Option<(String, i64)>> {
    let row = sqlx::query(
        "update runs set owner = $1, fence = fence + 1, lease_until_ms = $2 \
         where (state = 'running' or unreachable_ms > 0) and lease_until_ms <= $3 and id = (\
           select id from runs where (state = 'running' or unreachable_ms > 0) \
           and lease_until_ms <= $3 and (host = '' or host = $4) order by created_ms, id limit 1) \
         returning id, fence",
    )
    .bind(claim.owner)
    .bind(claim.lease_until_ms)
    .bind(claim.now_ms)
    .bind(claim.host)
    .fetch_optional(connection)
    .await?;
    row.map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).transpose()
}

/// Takes the oldest queued run whose environment is free; the caller then takes the lock and writes
/// the run's state in the same unit. From here on the run belongs to this host: its evidence is here,
/// and a bot elsewhere could not tell a step that runs from one that never started.
///
/// # Errors
/// The database's.
pub async fn claim_queued(
    connection: &mut AnyConnection,
    claim: Claim<'_>,
) -> sqlx::Result<Option<(String, i64)>> {
    let row = sqlx::query(
        "update runs set owner = $1, fence = fence + 1, lease_until_ms = $2, host = $3 \
         where state = 'queued' and id = (\
           select r.id from runs r where r.state = 'queued' and (r.host = '' or r.host = $3) \
           and (r.holds_lock = 0 or not exists (\
             select 1 from environment_locks l where l.environment = r.environment \
             and l.run_id <> r.id)) \
           order by r.created_ms, r.id limit 1) \
         returning id, fence",
    )
    .bind(claim.owner)
    .bind(claim.lease_until_ms)
    .bind(claim.host)
    .fetch_optional(connection)
    .await?;
    row.map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).transpose()
}

/// Whether a claim would find anything; asked on a reader so that an idle bot writes nothing.
///
/// # Errors
/// The database's.
pub async fn is_work_due(connection: &mut AnyConnection, claim: Claim<'_>) -> sqlx::Result<bool> {
    let row = sqlx::query(
        "select id from runs r where (r.host = '' or r.host = $1) and (\
           ((r.state = 'running' or r.unreachable_ms > 0) and r.lease_until_ms <= $2) or \
           (r.state = 'queued' and (r.holds_lock = 0 or not exists (\
             select 1 from environment_locks l where l.environment = r.environment \
             and l.run_id <> r.id)))) limit 1",
    )
    .bind(claim.host)
    .bind(claim.now_ms)
    .fetch_optional(connection)
    .await?;
    Ok(row.is_some())
}

/// Prolongs a lease; `false`: it is somebody else's now.
///
/// # Errors
/// The database's.
pub async fn renew(
    connection: &mut AnyConnection,
    id: &str,
    fence: i64,
    lease_until_ms: i64,
) -> sqlx::Result<bool> {
    let result = sqlx::query("update runs set lease_until_ms = $3 where id = $1 and fence = $2")
        .bind(id)
        .bind(fence)
        .bind(lease_until_ms)
        .execute(connection)
        .await?;
    Ok(result.rows_affected() == 1)
}

/// Runs of other hosts that nobody drives although their lease ended before `silent_ms`, and that are
/// not known to be out of reach; oldest first, at most `limit`.
///
/// # Errors
/// The database's.
pub async fn silent(
    connection: &mut AnyConnection,
    host: &str,
    silent_ms: i64,
    limit: i64,
) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar(
        "select id from runs where state = 'running' and host <> '' and host <> $1 \
         and unreachable_ms = 0 and lease_until_ms <= $2 order by created_ms, id limit $3",
    )
    .bind(host)
    .bind(silent_ms)
    .bind(limit)
    .fetch_all(connection)
    .await
}

/// Runs that have been out of reach since before `since_ms`; oldest first, at most `limit`.
///
/// # Errors
/// The database's.
pub async fn long_unreachable(
    connection: &mut AnyConnection,
    since_ms: i64,
    limit: i64,
) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar(
        "select id from runs where state = 'running' and unreachable_ms > 0 \
         and unreachable_ms <= $1 order by created_ms, id limit $2",
    )
    .bind(since_ms)
    .bind(limit)
    .fetch_all(connection)
    .await
}

/// Notes since when a run's host cannot be asked; 0: it can.
///
/// # Errors
/// The database's.
pub async fn set_unreachable(
    connection: &mut AnyConnection,
    id: &str,
    since_ms: i64,
) -> sqlx::Result<()> {
    sqlx::query("update runs set unreachable_ms = $2 where id = $1")
        .bind(id)
        .bind(since_ms)
        .execute(connection)
        .await?;
    Ok(())
}

/// Shuts the run's driver out, wherever it is: its next write is refused.
///
/// # Errors
/// The database's.
pub async fn fence_off(connection: &mut AnyConnection, id: &str) -> sqlx::Result<()> {
    sqlx::query("update runs set fence = fence + 1 where id = $1")
        .bind(id)
        .execute(connection)
        .await?;
    Ok(())
}

/// Ends the leases of an owner that is known to be gone.
///
/// # Errors
/// The database's.
pub async fn end_leases_of(connection: &mut AnyConnection, owner: &str) -> sqlx::Result<u64> {
    let result = sqlx::query(
        "update runs set lease_until_ms = 0 where owner = $1 and state = 'running' \
         and lease_until_ms > 0",
    )
    .bind(owner)
    .execute(connection)
    .await?;
    Ok(result.rows_affected())
}

/// Takes an environment, which may have been handed to the run already; `false`: another holds it.
///
/// # Errors
/// The database's.
pub async fn take_lock(
    connection: &mut AnyConnection,
    lock: &LockRow,
    fence: i64,
) -> sqlx::Result<bool> {
    let result = sqlx::query(
        "insert into environment_locks (environment, run_id, fence, taken_ms) \
         values ($1, $2, $3, $4) on conflict (environment) do update set fence = excluded.fence \
         where environment_locks.run_id = excluded.run_id",
    )
    .bind(&lock.environment)
    .bind(&lock.run_id)
    .bind(fence)
    .bind(lock.taken_ms)
    .execute(connection)
    .await?;
    Ok(result.rows_affected() == 1)
}

/// Hands what a run holds to another, which is queued and does not hold it yet: nobody comes between.
///
/// # Errors
/// The database's.
pub async fn hand_lock(connection: &mut AnyConnection, from: &str, to: &str) -> sqlx::Result<()> {
    sqlx::query("update environment_locks set run_id = $2 where run_id = $1")
        .bind(from)
        .bind(to)
        .execute(connection)
        .await?;
    Ok(())
}

/// Frees what a run holds.
///
/// # Errors
/// The database's.
pub async fn release_lock(connection: &mut AnyConnection, run_id: &str) -> sqlx::Result<()> {
    sqlx::query("delete from environment_locks where run_id = $1")
        .bind(run_id)
        .execute(connection)
        .await?;
    Ok(())
}

/// Every lock that is held.
///
/// # Errors
/// The database's.
pub async fn locks(connection: &mut AnyConnection) -> sqlx::Result<Vec<LockRow>> {
    let rows = sqlx::query(
        "select environment, run_id, taken_ms from environment_locks order by environment",
    )
    .fetch_all(connection)
    .await?;
    rows.iter()
        .map(|row| {
            Ok(LockRow {
                environment: row.try_get(0)?,
                run_id: row.try_get(1)?,
                taken_ms: row.try_get(2)?,
            })
        })
        .collect()
}

/// How many runs stand in each state that is not final.
///
/// # Errors
/// The database's.
pub async fn open_counts(connection: &mut AnyConnection) -> sqlx::Result<Vec<(String, i64)>> {
    let rows = sqlx::query(
        "select state, cast(count(*) as bigint) from runs \
         where state in ('waiting', 'queued', 'running', 'needs_attention') group by state",
    )
    .fetch_all(connection)
    .await?;
    rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
}

/// Runs whose lease an owner holds at this moment.
///
/// # Errors
/// The database's.
pub async fn leases_held(
    connection: &mut AnyConnection,
    owner: &str,
    now_ms: i64,
) -> sqlx::Result<i64> {
    let row = sqlx::query(
        "select cast(count(*) as bigint) from runs \
         where state = 'running' and owner = $1 and lease_until_ms > $2",
    )
    .bind(owner)
    .bind(now_ms)
    .fetch_one(connection)
    .await?;
    row.try_get(0)
}
