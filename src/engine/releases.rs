//! What becomes live when a run succeeds, written in the transaction of its success.

use super::{Engine, Error, bot_entry};
use crate::core::journal::Entry;
use crate::core::release::{self, Ended, Release};
use crate::core::run_card::RunView;
use crate::store::{Unit, releases};
use serde_json::json;

/// How far back an environment's history is read.
const HISTORY_MAX: i64 = 200;

impl Engine {
    /// The releases of an environment, the newest first.
    ///
    /// # Errors
    /// The database's.
    pub async fn releases(&self, environment: &str) -> Result<Vec<Release>, Error> {
        let mut reader = self.store.read().await?;
        Ok(releases::history(&mut reader, environment, HISTORY_MAX).await?)
    }

    /// Whether a commit is or was live in an environment.
    ///
    /// # Errors
    /// The database's.
    pub async fn was_live(&self, environment: &str, commit: &str) -> Result<bool, Error> {
        let mut reader = self.store.read().await?;
        Ok(releases::was_live(&mut reader, environment, commit).await?)
    }
}

/// Notes that a run that has succeeded made its version live; the entry that tells. The run holds the
/// environment, so nobody else writes its releases.
pub(super) async fn go_live(unit: &mut Unit, run: &RunView) -> Result<Option<Entry>, Error> {
    let plan = &run.plan;
    let parts = plan
        .makes_live
        .as_ref()
        .and_then(|parameter| Some((plan.arguments.get(parameter)?, plan.commits.get(parameter)?)));
    let Some((version, commit)) = parts else { return Ok(None) };
    let environment = &plan.environment;
    let history = releases::history(unit.connection(), environment, HISTORY_MAX).await?;
    let live = release::live(&history);
    let mut detail = json!({"environment": environment, "version": version, "commit": commit});
    if let Some(live) = live {
        detail["before"] = json!({
            "run": live.run.as_str(), "version": live.version, "commit": live.commit,
            "since_ms": live.live_ms,
        });
    }
    // Two bots' clocks may differ; the order of an environment's releases must not.
    let now_ms = unit.now_ms();
    let live_ms = live.map_or(now_ms, |live| now_ms.max(live.live_ms + 1));
    if live.is_some_and(|live| live.commit == *commit) {
        detail["outcome"] = json!("goes_on");
    } else {
        if live.is_some() {
            let way = release::ends_as(&history, commit, plan.changes.as_ref());
            detail["outcome"] = json!(way.as_str());
            releases::end_live(unit.connection(), environment, Ended { at_ms: live_ms, way })
                .await?;
        }
        let release = Release {
            run: run.id.clone(),
            environment: environment.clone(),
            version: version.clone(),
            commit: commit.clone(),
            live_ms,
            ended: None,
            quarantined_ms: 0,
        };
        releases::insert_live(unit.connection(), &release).await?;
    }
    Ok(Some(bot_entry(now_ms, "release.live", run.id.as_str(), detail)))
}
