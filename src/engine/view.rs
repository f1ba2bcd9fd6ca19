//! Rows become what people and drivers look at.

use super::gathered::Gathered;
use super::{Engine, Error};
use crate::core::checklist::Seen;
use crate::core::decision::{Decision, Verdict};
use crate::core::evidence::Evidence;
use crate::core::id::{RunId, UserId};
use crate::core::journal::Row;
use crate::core::plan::Plan;
use crate::core::release::Release;
use crate::core::run::{Progress, State, StepState};
use crate::core::run_card::{RunView, StepView};
use crate::store::decisions::{self, DecisionRow};
use crate::store::journal::{self, Search};
use crate::store::outbox::Census;
use crate::store::releases;
use crate::store::runs::{self, LockRow, RunFilter, RunRow, StepRow};
use sqlx::AnyConnection;
use std::sync::Arc;

/// Between the roles by which somebody decided, in the store; no role's name holds it.
pub(super) const ROLES_JOINED_BY: &str = ",";
/// Runs that `status` lists; more are counted.
pub const OPEN_RUNS_MAX: usize = 20;

/// The state of everything, for `status`.
#[derive(Debug, Clone)]
pub struct Overview {
    /// Runs that have not ended, oldest first: title, environment and so on; at most
    /// `OPEN_RUNS_MAX`, with how many there are in all.
    pub open: Vec<RunView>,
    /// Whether there are more than are listed.
    pub has_more: bool,
    /// Who holds which environment.
    pub locks: Vec<LockRow>,
    /// By environment: the run that ended last.
    pub last: Vec<(String, RunView)>,
    /// What is live, in each environment where it is known.
    pub live: Vec<Release>,
}

/// Overviews of the named environments.
pub(super) type SharedOverview = Gathered<Vec<String>, Result<Arc<Overview>, Error>>;

impl Engine {
    /// A run as it stands; `None` when there is none with this id.
    ///
    /// # Errors
    /// The database's.
    pub async fn view(&self, run: &RunId) -> Result<Option<RunView>, Error> {
        let mut reader = self.store.read().await?;
        let Some(row) = runs::run(&mut reader, run.as_str()).await? else { return Ok(None) };
        with_parts(&mut reader, row).await.map(Some)
    }

    /// The steps of a run as they are stored: attempts, directories.
    ///
    /// # Errors
    /// The database's.
    pub async fn steps(&self, run: &RunId) -> Result<Vec<StepRow>, Error> {
        let mut reader = self.store.read().await?;
        Ok(runs::steps_of(&mut reader, run.as_str()).await?)
    }

    /// Everything that is going on, and what ended last in each of the named environments. Those who
    /// ask while it is being read share the next reading.
    ///
    /// # Errors
    /// The database's.
    pub async fn overview(&self, environments: Vec<String>) -> Result<Arc<Overview>, Error> {
        let read =
            async |environments: &Vec<String>| self.read_overview(environments).await.map(Arc::new);
        self.overview.get(environments, read).await
    }

    async fn read_overview(&self, environments: &[String]) -> Result<Overview, Error> {
        let mut reader = self.store.read().await?;
        let (open, has_more) = open_runs(&mut reader).await?;
        let locks = if open.is_empty() { Vec::new() } else { runs::locks(&mut reader).await? };
        let mut last = Vec::new();
        for environment in environments {
            if let Some(row) = runs::last_ended(&mut reader, environment).await? {
                let id = RunId::new(row.id.clone());
                last.push((environment.clone(), assemble(&id, row, &[], &[])?));
            }
        }
        let live = releases::live(&mut reader).await?;
        Ok(Overview { open, has_more, locks, last, live })
    }

    /// Runs that have not ended, oldest first; at most `OPEN_RUNS_MAX`.
    ///
    /// # Errors
    /// The database's.
    pub async fn open_runs(&self) -> Result<Vec<RunView>, Error> {
        let mut reader = self.store.read().await?;
        Ok(open_runs(&mut reader).await?.0)
    }

    /// Runs that a filter keeps, newest first, without their steps; at most `limit`.
    ///
    /// # Errors
    /// The database's.
    pub async fn runs(&self, filter: &RunFilter<'_>, limit: usize) -> Result<Vec<RunView>, Error> {
        let mut reader = self.store.read().await?;
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let rows = runs::newest(&mut reader, filter, limit).await?;
        let mut views = Vec::with_capacity(rows.len());
        for row in rows {
            let mut view = assemble(&RunId::new(row.id.clone()), row, &[], &[])?;
            if view.state == State::Queued {
                super::queue::fill(&mut reader, &mut view).await?;
            }
            views.push(view);
        }
        Ok(views)
    }

    /// Entries of the journal that a search finds, newest first; at most `limit`.
    ///
    /// # Errors
    /// The database's.
    pub async fn trail(&self, search: &Search<'_>, limit: usize) -> Result<Vec<Row>, Error> {
        let mut reader = self.store.read().await?;
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        Ok(journal::search(&mut reader, search, limit).await?)
    }

    /// The first entry that is there; those before it are archived.
    ///
    /// # Errors
    /// The database's.
    pub async fn first_entry(&self) -> Result<Option<Row>, Error> {
        let mut reader = self.store.read().await?;
        Ok(journal::first(&mut reader).await?)
    }

    /// The message of a run's card: its channel and `ts`, once it is in Slack.
    ///
    /// # Errors
    /// The database's.
    pub async fn card_message(&self, run: &RunId) -> Result<Option<(String, String)>, Error> {
        let mut reader = self.store.read().await?;
        Ok(crate::store::outbox::message_of(&mut reader, &super::card_key(run)).await?)
    }

    /// Brings the gauges up to date and says how the outbox stands.
    ///
    /// # Errors
    /// The database's.
    pub async fn take_census(&self) -> Result<Census, Error> {
        let mut reader = self.store.read().await?;
        let census = crate::store::outbox::census(&mut reader).await?;
        let counts = runs::open_counts(&mut reader).await?;
        let now_ms = self.clock().now_ms();
        let age_ms = if census.oldest_ms == 0 { 0 } else { now_ms - census.oldest_ms };
        self.metrics.outbox(census.due, census.refused, age_ms);
        let held = runs::leases_held(&mut reader, &self.identity.owner, now_ms).await?;
        self.metrics.leases_held(held);
        for state in State::ALL.iter().filter(|state| !state.is_final()) {
            let count = counts.iter().find(|(word, _)| word == state.as_str());
            self.metrics.runs_open(state.as_str(), count.map_or(0, |(_, count)| *count));
        }
        Ok(census)
    }

    /// Why no further run may be asked for: how many wait or are queued, and how many may. People who
    /// ask at the same moment can pass the limit together.
    ///
    /// # Errors
    /// The database's.
    pub async fn too_many_waiting(&self) -> Result<Option<(i64, i64)>, Error> {
        let mut reader = self.store.read().await?;
        let counts = runs::open_counts(&mut reader).await?;
        let waits = |word: &str| word == State::Waiting.as_str() || word == State::Queued.as_str();
        let waiting: i64 =
            counts.iter().filter(|(word, _)| waits(word)).map(|(_, count)| count).sum();
        Ok((waiting >= self.runs_waiting_max).then_some((waiting, self.runs_waiting_max)))
    }
}

/// The oldest runs that have not ended, and whether there are more.
async fn open_runs(reader: &mut AnyConnection) -> Result<(Vec<RunView>, bool), Error> {
    let limit = i64::try_from(OPEN_RUNS_MAX).unwrap_or(i64::MAX) + 1;
    let rows = runs::open_runs(reader, limit).await?;
    let has_more = rows.len() > OPEN_RUNS_MAX;
    let mut open = Vec::new();
    for row in rows.into_iter().take(OPEN_RUNS_MAX) {
        open.push(with_parts(reader, row).await?);
    }
    Ok((open, has_more))
}

/// A run with its steps and what was decided about it.
pub(super) async fn with_parts(
    connection: &mut AnyConnection,
    row: RunRow,
) -> Result<RunView, Error> {
    let steps = runs::steps_of(connection, &row.id).await?;
    with_steps(connection, row, &steps).await
}

/// A run with what was decided about it, whose steps are read already.
pub(super) async fn with_steps(
    connection: &mut AnyConnection,
    row: RunRow,
    steps: &[StepRow],
) -> Result<RunView, Error> {
    let decisions = decisions::of_run(connection, &row.id).await?;
    let id = RunId::new(row.id.clone());
    let mut view = assemble(&id, row, steps, &decisions)?;
    super::queue::fill(connection, &mut view).await?;
    super::reviews::fill(connection, &mut view).await?;
    super::checks::fill(connection, &mut view).await?;
    Ok(view)
}

/// A run's row, which must be there.
pub(super) async fn row(connection: &mut AnyConnection, run: &RunId) -> Result<RunRow, Error> {
    runs::run(connection, run.as_str()).await?.ok_or_else(|| Error::NoSuchRun(run.clone()))
}

/// A run's plan.
pub(super) fn plan(run: &RunId, row: &RunRow) -> Result<Plan, Error> {
    serde_json::from_str(&row.plan).map_err(|error| corrupt(run, &error.to_string()))
}

/// The machines' part of a run.
pub(super) fn progress(
    run: &RunId,
    row: &RunRow,
    plan: &Plan,
    rows: &[StepRow],
) -> Result<Progress, Error> {
    let steps = rows
        .iter()
        .map(|step| StepState::parse(&step.state).ok_or_else(|| corrupt(run, &step.state)))
        .collect::<Result<_, _>>()?;
    Ok(Progress {
        state: State::parse(&row.state).ok_or_else(|| corrupt(run, &row.state))?,
        position: usize::try_from(row.position).map_err(|_| corrupt(run, "position"))?,
        steps,
        always: plan.steps.iter().map(|step| step.always).collect(),
        has_begun: rows.iter().any(|step| step.begun > 0),
        is_checklist: plan.checks.is_some(),
    })
}

/// Everything a card needs.
pub(super) fn assemble(
    run: &RunId,
    row: RunRow,
    steps: &[StepRow],
    decisions: &[DecisionRow],
) -> Result<RunView, Error> {
    let plan = plan(run, &row)?;
    let steps = steps
        .iter()
        .map(|step| {
            let evidence: Option<Evidence> = if step.evidence.is_empty() {
                None
            } else {
                let read = serde_json::from_str(&step.evidence);
                Some(read.map_err(|error| corrupt(run, &error.to_string()))?)
            };
            Ok(StepView {
                state: StepState::parse(&step.state).ok_or_else(|| corrupt(run, &step.state))?,
                attempts: step.attempts,
                begun: step.begun,
                failures: step.failures,
                due_ms: step.due_ms,
                started_ms: step.started_ms,
                ended_ms: step.ended_ms,
                evidence,
                tail: step.tail.clone(),
            })
        })
        .collect::<Result<_, Error>>()?;
    let decisions = decisions
        .iter()
        .map(|row| {
            let verdict = Verdict::parse(&row.verdict);
            let verdict = verdict.ok_or_else(|| corrupt(run, &row.verdict))?;
            Ok(decision(row.clone(), verdict))
        })
        .collect::<Result<_, Error>>()?;
    Ok(RunView {
        id: run.clone(),
        plan,
        state: State::parse(&row.state).ok_or_else(|| corrupt(run, &row.state))?,
        actor: UserId::new(row.actor),
        steps,
        decisions,
        checklist: Seen::default(),
        voided: Vec::new(),
        queue: None,
        review: None,
        taken_over: None,
        expires_ms: row.expires_ms,
        host: row.host,
        unreachable_ms: row.unreachable_ms,
        created_ms: row.created_ms,
        started_ms: row.started_ms,
        ended_ms: row.ended_ms,
    })
}

/// A decision as it is stored.
pub(super) fn decision(row: DecisionRow, verdict: Verdict) -> Decision {
    Decision {
        user: UserId::new(row.user_id),
        verdict,
        roles: row.role.split(ROLES_JOINED_BY).map(str::to_owned).collect(),
        on_behalf: (!row.on_behalf.is_empty()).then(|| UserId::new(row.on_behalf)),
        reason: row.reason,
        at_ms: row.at_ms,
    }
}

pub(super) fn corrupt(run: &RunId, what: &str) -> Error {
    Error::Corrupt { run: run.clone(), what: what.to_owned() }
}
