//! Whether the runbook in force still means by a run what people saw in its plan. Decides nothing about the
//! run: who approves it, and its driver before the first step, do.

use super::action::{self, Ask, NotAnew};
use super::follow_up;
use super::freeze;
use super::roles::as_emergency;
use super::rules;
use crate::core::action::Runbook;
use crate::core::plan::{FollowUp, Plan};
use crate::core::rule::own_terms;
use crate::core::text::Text;
use crate::engine::{Engine, Error};

/// What of a plan the runbook says otherwise now, in words; `None`: nothing that matters. What follows a
/// failure was settled with the run that failed.
///
/// # Errors
/// The database's.
pub async fn changed(
    plan: &Plan,
    runbook: &Runbook,
    engine: &Engine,
) -> Result<Option<Text>, Error> {
    if plan.runbook == runbook.digest || plan.cause.is_some() {
        return Ok(None);
    }
    let ask = match asked_anew(plan, runbook) {
        Ok(ask) => ask,
        Err(why) => return Ok(Some(why)),
    };
    let ruled = match rules::planned(&ask, &plan.commits, engine).await? {
        Ok(ruled) => ruled,
        Err(forbidden) => return Ok(Some(forbidden.text())),
    };
    let (action, environment) = (&ask.action, &ask.environment);
    let now = match Plan::resolve(action, environment, runbook, &ask.arguments, &ruled) {
        Ok(now) => now,
        Err(fault) => return Ok(Some(fault.text())),
    };
    let mut now = match as_emergency(&ask, runbook) {
        Ok(Some(emergency)) => now.without_gates(&ruled, emergency, runbook),
        Ok(None) => {
            let live = plan.changes.as_ref().map(|changes| changes.version.as_str());
            let place = (environment, runbook);
            match now.with_checklist(ruled.checklist, place, &ask.arguments, live) {
                Ok(now) => now,
                Err(fault) => return Ok(Some(fault.text())),
            }
        }
        Err(words) => return Ok(Some(words)),
    };
    if let Some(overrides) = &plan.overrides {
        now = match freeze::again(now, &overrides.freezes, runbook) {
            Ok(now) => now,
            Err(why) => return Ok(Some(why)),
        };
    }
    now.on_failure = after(plan, &ask, runbook);
    Ok(plan.differs_from(&now))
}

/// The request that the plan came from, an emergency if it was one.
fn asked_anew(plan: &Plan, runbook: &Runbook) -> Result<Ask, Text> {
    let mut ask = action::anew(plan, runbook).map_err(|why| match why {
        NotAnew::Gone => Text::new(
            "操作手册里已经没有这个操作或环境",
            "the runbook has this action or this environment no more",
        ),
        NotAnew::Wants(name) => Text::new(
            format!("操作手册现在还要求 `{name}`"),
            format!("the runbook wants `{name}` now"),
        ),
    })?;
    ask.arguments.is_emergency = plan.emergency.is_some();
    Ok(ask)
}

/// What would follow a failure by the runbook in force, from what was live when the plan was made.
fn after(plan: &Plan, ask: &Ask, runbook: &Runbook) -> Option<FollowUp> {
    let on_failure = ask.action.on_failure.as_ref()?;
    let live = plan.changes.as_ref().map(|changes| changes.version.as_str());
    let follow_up = match follow_up::arguments(on_failure, ask, live, runbook) {
        Ok(follow_up) => follow_up,
        Err(why) => return Some(FollowUp::Impossible(why)),
    };
    let (action, environment) = (&follow_up.action, &follow_up.environment);
    let terms = own_terms(action);
    let planned = Plan::resolve(action, environment, runbook, &follow_up.arguments, &terms);
    Some(match planned {
        Ok(planned) => {
            let plan = Box::new(planned.by_itself());
            FollowUp::Plan { plan, from_step: on_failure.from_step }
        }
        Err(fault) => FollowUp::Impossible(fault.text()),
    })
}
