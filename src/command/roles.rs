//! Which role a command needs. Decides about nobody: who holds a role is `powers`'.

use super::{Command, audit, logs, retry, settle, settle_form, unlock, whoami};
use crate::core::action::{Member, Role, Runbook};
use crate::core::decision::Verdict;
use crate::core::id::{RunId, UserId};
use crate::core::plan::Plan;
use crate::engine::{Engine, Error};

/// The role that a command needs. Whoever touches a run needs the role that its plan names: the
/// action's, or the one that approves. About oneself everybody may ask.
///
/// # Errors
/// The database's.
pub async fn needed_role(
    command: &Command,
    runbook: &Runbook,
    engine: &Engine,
    asker: &UserId,
) -> Result<Role, Error> {
    let name = match command {
        Command::Action(ask) => ask.action.role.clone(),
        Command::Propose(propose) => propose.ask.action.role.clone(),
        Command::Settle(settle::Settle { run, .. })
        | Command::SettleForm(settle_form::SettleForm { run, .. })
        | Command::Retry(retry::Retry { run })
        | Command::Logs(logs::Logs { run, .. }) => {
            role_of_run(engine, run, |plan| plan.role).await?
        }
        Command::Decide(decide) => {
            let is_cancel = decide.verdict == Verdict::Cancelled;
            role_of_run(engine, &decide.run, |plan| match plan.approval {
                Some(approval) if !is_cancel => approval.from,
                _ => plan.role,
            })
            .await?
        }
        Command::Unlock(_) => unlock::ROLE.to_owned(),
        Command::Audit(_) => audit::role(runbook).to_owned(),
        Command::Whoami(_) => {
            let members = vec![Member::User(asker.to_string())];
            return Ok(Role { name: whoami::SPEC.name.to_owned(), members, max_age_ms: None });
        }
        Command::Status(_)
        | Command::Show(_)
        | Command::Runs(_)
        | Command::Why(_)
        | Command::Help(_) => VIEWER.to_owned(),
    };
    Ok(role_named(&name, runbook))
}

/// A role as the runbook has it.
pub fn role_named(name: &str, runbook: &Runbook) -> Role {
    runbook.roles.get(name).cloned().unwrap_or_else(|| {
        // Looking is for every full member unless the runbook says otherwise; a role that the
        // runbook no longer knows is held by nobody.
        let members = if name == VIEWER { vec![Member::Everyone] } else { Vec::new() };
        Role { name: name.to_owned(), members, max_age_ms: None }
    })
}

/// The roles of which any lets a person use a verb; for a verb about a run, of some run at least.
pub(super) fn roles_of_verb(verb: &str, runbook: &Runbook) -> Vec<Role> {
    let actions = || runbook.actions.values();
    let mut names: Vec<&str> = match verb {
        "approve" | "reject" => actions()
            .filter_map(|action| action.approval.as_ref())
            .map(|a| a.from.as_str())
            .collect(),
        "cancel" | "retry" | "settle" | "logs" => {
            actions().map(|action| action.role.as_str()).collect()
        }
        "unlock" => vec![unlock::ROLE],
        "audit" => vec![audit::role(runbook)],
        _ => vec![VIEWER],
    };
    names.sort_unstable();
    names.dedup();
    names.into_iter().map(|name| role_named(name, runbook)).collect()
}

/// A role that a run's plan names; looking is enough to be told that there is no such run.
async fn role_of_run(
    engine: &Engine,
    run: &RunId,
    role: impl FnOnce(Plan) -> String,
) -> Result<String, Error> {
    Ok(engine.view(run).await?.map_or_else(|| VIEWER.to_owned(), |view| role(view.plan)))
}

/// Who may look: the runbook can define this role.
pub(super) const VIEWER: &str = "viewer";
