//! What follows a failure, begun in the transaction that ends the run: nobody comes between the two, and
//! a crash leaves both or neither.

use super::requests::insert_run;
use super::{Error, Facts, apply_in, bot_entry};
use crate::core::id::RunId;
use crate::core::plan::Plan;
use crate::core::run::Event;
use crate::core::run_card::RunView;
use crate::store::{Unit, runs};
use serde_json::json;

/// By which way a linked run was asked for.
pub const ORIGIN: &str = "on_failure";

/// Queues the run that follows a failure, if the plan names one, and hands it the environment.
pub(super) async fn begin(unit: &mut Unit, failed: &RunView) -> Result<(), Error> {
    let Some((plan, run)) = failed.follow_up() else { return Ok(()) };
    if runs::run(unit.connection(), run.as_str()).await?.is_some() {
        tracing::error!(run.id = %failed.id, "{run} is there already: nothing follows {}", failed.id);
        return Ok(());
    }
    let plan = Plan { cause: Some(failed.id.clone()), ..plan.clone() };
    let by = (failed.actor.as_str(), ORIGIN, plan.channel.as_str());
    insert_run(unit, by, &run, &plan).await?;
    runs::hand_lock(unit.connection(), failed.id.as_str(), run.as_str()).await?;
    journal(unit, failed, &run, &plan);
    // It is of the same kind as what called this: the compiler wants the box.
    Box::pin(apply_in(unit, &run, &[Event::GatesPassed], Facts::default())).await?;
    Ok(())
}

fn journal(unit: &mut Unit, failed: &RunView, run: &RunId, plan: &Plan) {
    let detail = json!({
        "cause": failed.id.as_str(), "approved_by": "runbook", "runbook": plan.runbook,
        "digest": plan.digest(), "plan": plan,
    });
    let mut entry = bot_entry(unit.now_ms(), "run.follows", run.as_str(), detail);
    ORIGIN.clone_into(&mut entry.origin);
    unit.journal(entry);
}
