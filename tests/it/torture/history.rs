//! Everything that is to agree: rows, journal, messages, evidence; gathered at rest, or at any moment.

use super::people::key;
use super::world::{ACTIONS, World, channel, environment};
use crate::harness::bot::shown;
use serde_json::Value;
use sqlx::{AnyConnection, Connection, Row};
use std::collections::{BTreeMap, BTreeSet};

/// What is held against each other.
#[derive(Debug, Clone, Default)]
pub struct History {
    pub runs: Vec<Run>,
    /// Environments whose lock is held.
    pub locks: Vec<String>,
    /// What is still to be sent.
    pub due: Vec<String>,
    pub journal: Vec<Entry>,
    pub messages: Vec<Said>,
    /// Each environment's lines, in order.
    pub evidence: BTreeMap<String, Vec<String>>,
    /// The same, read before the database was: whatever stands here was decided there.
    pub evidence_before: BTreeMap<String, Vec<String>>,
    /// What each attempt printed.
    pub outputs: BTreeMap<String, String>,
    /// Attempts whose supervisor was killed.
    pub killed: BTreeSet<String>,
    /// Runs that a bot said it accepted.
    pub accepted: BTreeSet<String>,
}

#[derive(Debug, Clone)]
pub struct Run {
    pub id: String,
    pub action: String,
    pub environment: String,
    pub state: String,
    pub steps: Vec<RunStep>,
}

#[derive(Debug, Clone)]
pub struct RunStep {
    pub state: String,
    pub attempt: String,
    pub attempts: i64,
    pub tail: String,
}

#[derive(Debug, Clone)]
pub struct Entry {
    pub actor: String,
    pub kind: String,
    pub subject: String,
    pub detail: Value,
}

/// A message of the bot.
#[derive(Debug, Clone)]
pub struct Said {
    pub key: String,
    pub channel: String,
    pub is_reply: bool,
    pub text: String,
}

/// The runs that have not ended and the messages that are due; an error while the database is away.
pub async fn unrest(world: &World) -> sqlx::Result<Vec<String>> {
    let mut connection = AnyConnection::connect(&world.database.url).await?;
    let rows = sqlx::query(
        "select 'run ' || id || ' is ' || state || ', owner ' || owner from runs \
         where state in ('waiting', 'queued', 'running', 'needs_attention') union all \
         select 'message ' || key || ' is due' from outbox where state <> 'sent' union all \
         select 'a decision about ' || run_id || ' is open' from settle_wishes",
    )
    .fetch_all(&mut connection)
    .await?;
    connection.close().await?;
    rows.iter().map(|row| row.try_get(0)).collect()
}

/// Gathers everything. Rows and journal are of one moment; messages and evidence are read after them, and
/// evidence once before.
pub async fn gather(world: &World) -> sqlx::Result<History> {
    let evidence_before = evidence(world);
    let mut connection = AnyConnection::connect(&world.database.url).await?;
    let moment = if world.shape.is_postgres {
        "begin isolation level repeatable read read only"
    } else {
        "begin deferred"
    };
    sqlx::query(moment).execute(&mut connection).await?;
    let mut runs = runs(&mut connection).await?;
    for run in &mut runs {
        run.steps = steps(&mut connection, &run.id).await?;
    }
    let locks = texts(&mut connection, "select environment from environment_locks").await?;
    let due = texts(&mut connection, "select key from outbox where state <> 'sent'").await?;
    let journal = journal(&mut connection).await?;
    connection.close().await?;
    let evidence = evidence(world);
    let environments = 0..world.shape.environments;
    let messages = environments.flat_map(|index| said(world, &channel(index))).collect();
    let (killed, accepted) = (world.killed(), world.accepted());
    let outputs = BTreeMap::new();
    Ok(History {
        runs,
        locks,
        due,
        journal,
        messages,
        evidence,
        evidence_before,
        outputs,
        killed,
        accepted,
    })
}

/// The same with what each attempt printed.
pub async fn gather_with_outputs(world: &World) -> sqlx::Result<History> {
    let mut history = gather(world).await?;
    let lines = history.evidence.values().flatten();
    let begun = lines.filter_map(|line| line.split(' ').nth(3));
    history.outputs = begun.map(|attempt| (attempt.to_owned(), world.output(attempt))).collect();
    Ok(history)
}

fn evidence(world: &World) -> BTreeMap<String, Vec<String>> {
    let names = (0..world.shape.environments).map(environment);
    names.map(|name| (name.clone(), world.evidence(&name))).collect()
}

async fn texts(connection: &mut AnyConnection, query: &'static str) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar(query).fetch_all(connection).await
}

async fn runs(connection: &mut AnyConnection) -> sqlx::Result<Vec<Run>> {
    let rows = sqlx::query("select id, action, environment, state from runs order by created_ms")
        .fetch_all(connection)
        .await?;
    let run = |row: &sqlx::any::AnyRow| {
        Ok(Run {
            id: row.try_get(0)?,
            action: row.try_get(1)?,
            environment: row.try_get(2)?,
            state: row.try_get(3)?,
            steps: Vec::new(),
        })
    };
    rows.iter().map(run).collect()
}

async fn steps(connection: &mut AnyConnection, run: &str) -> sqlx::Result<Vec<RunStep>> {
    let rows = sqlx::query(
        "select state, attempt, attempts, tail from steps where run_id = $1 order by position",
    )
    .bind(run)
    .fetch_all(connection)
    .await?;
    let step = |row: &sqlx::any::AnyRow| {
        Ok(RunStep {
            state: row.try_get(0)?,
            attempt: row.try_get(1)?,
            attempts: row.try_get(2)?,
            tail: row.try_get(3)?,
        })
    };
    rows.iter().map(step).collect()
}

async fn journal(connection: &mut AnyConnection) -> sqlx::Result<Vec<Entry>> {
    let rows = sqlx::query("select actor, kind, subject, detail from journal order by seq")
        .fetch_all(connection)
        .await?;
    let entry = |row: &sqlx::any::AnyRow| {
        let detail: String = row.try_get(3)?;
        Ok(Entry {
            actor: row.try_get(0)?,
            kind: row.try_get(1)?,
            subject: row.try_get(2)?,
            detail: serde_json::from_str(&detail).unwrap_or_default(),
        })
    };
    rows.iter().map(entry).collect()
}

fn said(world: &World, channel: &str) -> Vec<Said> {
    let messages = world.workspace.messages(channel).into_iter();
    let bots = messages.filter(|message| message.is_bot);
    bots.map(|message| Said {
        key: key(&message).unwrap_or_default(),
        channel: channel.to_owned(),
        is_reply: message.thread_ts.is_some(),
        text: shown(&message),
    })
    .collect()
}

/// Whether something follows an action's failure.
pub fn is_followed(action: &str) -> bool {
    ACTIONS.iter().any(|known| known.name == action && known.follows())
}

/// What an action's step is called with.
pub fn step_of(action: &str, position: usize) -> Option<super::world::Step> {
    let action = ACTIONS.iter().find(|known| known.name == action)?;
    action.steps.get(position).copied()
}
