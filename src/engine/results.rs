//! What steps say of themselves, kept in the transaction that ends them, and what they said before.

use super::{Engine, Error, Facts};
use crate::core::id::RunId;
use crate::core::step_result::{Earlier, Outcome};
use crate::store::results::{self, ResultRow};
use crate::store::{Unit, runs::RunRow};

/// Names that an overview lists.
const NAMES_MAX: i64 = 100;

/// A result with where it is from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// The environment.
    pub environment: String,
    /// What was said, when and in which run.
    pub earlier: Earlier,
}

impl Engine {
    /// The newest result of every name, in one environment or in all; at most 100.
    ///
    /// # Errors
    /// The database's.
    pub async fn newest_results(&self, environment: &str) -> Result<Vec<Kept>, Error> {
        let mut reader = self.store.read().await?;
        Ok(kept(results::newest(&mut reader, environment, NAMES_MAX).await?))
    }

    /// The results of a name, newest first, older than those of a run if one is named; at most `limit`.
    ///
    /// # Errors
    /// The database's.
    pub async fn results_of(
        &self,
        (environment, name): (&str, &str),
        before: Option<&RunId>,
        limit: usize,
    ) -> Result<Vec<Kept>, Error> {
        let mut reader = self.store.read().await?;
        let before = before.map_or("", RunId::as_str);
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        Ok(kept(results::of_name(&mut reader, (environment, name), before, limit).await?))
    }
}

fn kept(rows: Vec<ResultRow>) -> Vec<Kept> {
    let with_place = rows
        .into_iter()
        .filter_map(|row| Some(Kept { earlier: earlier(&row)?, environment: row.environment }));
    with_place.collect()
}

/// A row as a value. One that cannot be read belongs to another version of this program: it is passed
/// over, as nothing is decided by it.
fn earlier(row: &ResultRow) -> Option<Earlier> {
    let result = serde_json::from_str(&row.result).ok()?;
    Some(Earlier { run: RunId::new(row.run_id.clone()), at_ms: row.at_ms, result })
}

/// Keeps what a step said as it ended, and finds what it is compared with.
pub(super) async fn keep(
    unit: &mut Unit,
    run: &RunRow,
    position: usize,
    facts: &mut Facts,
) -> Result<(), Error> {
    let Some(evidence) = &mut facts.evidence else { return Ok(()) };
    let Some(result) = evidence.result.as_ref().filter(|result| result.outcome != Outcome::DryRun)
    else {
        return Ok(());
    };
    if result.outcome.is_comparable() {
        let place = (run.environment.as_str(), result.name.as_str());
        let before = results::before(unit.connection(), &run.id, place).await?;
        evidence.earlier = before.as_ref().and_then(earlier);
    }
    let row = ResultRow {
        run_id: run.id.clone(),
        position: i64::try_from(position).unwrap_or(i64::MAX),
        environment: run.environment.clone(),
        name: result.name.clone(),
        outcome: result.outcome.as_str().to_owned(),
        at_ms: unit.now_ms(),
        result: serde_json::to_string(result).unwrap_or_default(),
    };
    results::put(unit.connection(), &row).await?;
    Ok(())
}
