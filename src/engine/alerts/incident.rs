//! What level 3 begins: the manual's checklist for a disaster is opened, in the transaction that makes the
//! incident, so that a crash leaves both or neither.

use super::super::requests::insert_run;
use super::super::{Error, Facts, bot_entry, checks, gates};
use super::{Held, InForce};
use crate::core::action::{Action, Runbook};
use crate::core::id::RunId;
use crate::core::param::Arguments;
use crate::core::plan::Plan;
use crate::core::rule::own_terms;
use crate::store::{Unit, runs};
use serde_json::json;
use sha2::{Digest, Sha256};

/// By which way its run was asked for.
const ORIGIN: &str = "alert";
const ACTOR: &str = "neostock-ops";

/// The checklist of one alert can be opened once: its run has its id from it.
fn run_of(alert: &str) -> RunId {
    let hash = Sha256::digest(format!("incident {alert}"));
    RunId::from_entropy(std::array::from_fn(|at| hash[at]))
}

/// Whether level 3 can open it by itself: it is a list that people tick off, and asks for nothing.
fn is_plain_list(action: &Action) -> bool {
    action.checklist.is_some()
        && action.steps.is_empty()
        && action.approval.is_none()
        && !action.parameters.iter().any(|parameter| parameter.required)
}

/// The plan of the list; `None`: the runbook has none that can be opened without being asked.
fn plan(held: &Held, in_force: &InForce) -> Option<Plan> {
    let runbook: &Runbook = &in_force.runbook;
    let action = runbook.actions.get(&in_force.alerting.policies.checklist)?;
    let environment = runbook.environments.get(&held.first.environment);
    let environment = environment.or_else(|| runbook.default_environment())?;
    if !is_plain_list(action) {
        return None;
    }
    let (arguments, ruled) = (Arguments::default(), own_terms(action));
    let plan = Plan::resolve(action, environment, runbook, &arguments, &ruled).ok()?;
    let plan =
        plan.with_checklist(ruled.checklist, (environment, runbook), &arguments, None).ok()?;
    plan.checklist.as_ref().is_some_and(|list| list.checks.is_none()).then_some(plan)
}

/// Opens the list, once; its run, or `None` where there is none to open.
pub(super) async fn open_checklist(
    unit: &mut Unit,
    held: &mut Held,
    in_force: &InForce,
) -> Result<Option<RunId>, Error> {
    let Some(plan) = plan(held, in_force) else { return Ok(None) };
    let run = run_of(&held.row.id);
    if runs::run(unit.connection(), run.as_str()).await?.is_none() {
        insert_run(unit, (ACTOR, ORIGIN, plan.channel.as_str()), &run, &plan).await?;
        let detail = json!({
            "alert": held.row.id, "approved_by": "alerting", "alerting": in_force.alerting.digest,
            "digest": plan.digest(), "plan": plan,
        });
        let mut entry = bot_entry(unit.now_ms(), "run.requested", run.as_str(), detail);
        ORIGIN.clone_into(&mut entry.origin);
        unit.journal(entry);
        checks::begin(unit, (&run, &plan), ACTOR).await?;
        gates::ask(unit, &run, Facts::default()).await?;
    }
    held.row.checklist_run = run.to_string();
    Ok(Some(run))
}
