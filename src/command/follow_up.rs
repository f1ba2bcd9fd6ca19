//! Plans what follows a failure, when the action itself is planned: people see both, and agree to both.

use super::Context;
use super::action::{self, Ask};
use crate::core::action::{OnFailure, Runbook};
use crate::core::param::{self, ArgumentFault};
use crate::core::plan::{FollowUp, LIVE_VERSION};
use crate::core::release;
use crate::core::text::Text;
use crate::engine::Error;
use std::collections::BTreeMap;

/// The plan of an action's `on_failure`; `None` where the action has none.
pub(super) async fn plan(ask: &Ask, context: &Context<'_>) -> Result<Option<FollowUp>, Error> {
    let Some(on_failure) = &ask.action.on_failure else { return Ok(None) };
    let history = context.engine.releases(&ask.environment.name).await?;
    let live = release::live(&history).map(|live| live.version.as_str());
    let follow_up = match arguments(on_failure, ask, live, context.runbook) {
        Ok(follow_up) => follow_up,
        Err(why) => return Ok(Some(FollowUp::Impossible(why))),
    };
    let Ok(plan) = action::resolve(&follow_up, action::On::Runbook, context).await? else {
        let name = &on_failure.action;
        return Ok(Some(FollowUp::Impossible(Text::new(
            format!("现在无法制定 `{name}` 的计划"),
            format!("`{name}` cannot be planned right now"),
        ))));
    };
    // In the night of a failure nobody is asked.
    let plan = Box::new(plan.by_itself());
    Ok(Some(FollowUp::Plan { plan, from_step: on_failure.from_step }))
}

/// The request that the runbook makes, or why it cannot.
pub(super) fn arguments(
    on_failure: &OnFailure,
    ask: &Ask,
    live: Option<&str>,
    runbook: &Runbook,
) -> Result<Ask, Text> {
    let name = &on_failure.action;
    let gone = || Text::new(format!("没有操作 `{name}`"), format!("there is no action `{name}`"));
    let action = runbook.actions.get(name).ok_or_else(gone)?;
    let value = |name: &str| match name {
        LIVE_VERSION => live,
        name => {
            let known = || ask.environment.value(&runbook.service, name);
            ask.arguments.get(name).or_else(known)
        }
    };
    let mut given = BTreeMap::new();
    for (parameter, template) in &on_failure.arguments {
        let value = template.expand(value).map_err(|missing| {
            if missing == LIVE_VERSION {
                return Text::new("还没有已知的线上版本", "no version is known to be live yet");
            }
            Text::new(format!("没有 `{missing}`"), format!("there is no `{missing}`"))
        })?;
        given.insert(parameter.clone(), value);
    }
    let arguments = param::from_values(&action.parameters, &given)
        .map_err(|fault: ArgumentFault| fault.text())?;
    Ok(Ask {
        action: action.clone(),
        environment: ask.environment.clone(),
        arguments,
        retry_of: None,
        digest: None,
    })
}
