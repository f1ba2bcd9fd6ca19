//! Which role a command needs. Decides about nobody: who holds a role is `powers`'.

use super::action::Ask;
use super::delegate::Delegate;
use super::oncall::{self, OnCall};
use super::silence::Silence;
use super::{Command, alert, audit, contacts, logs, retry, rules, settle, unlock};
use crate::core::action::{Emergency, Member, Role, Runbook};
use crate::core::alert::Level;
use crate::core::checklist::Checklist;
use crate::core::decision::Verdict;
use crate::core::id::{RunId, UserId};
use crate::core::plan::Plan;
use crate::core::policy::Needed;
use crate::core::rule;
use crate::core::text::Text;
use crate::engine::{Engine, Error};

/// What a command asks of who gives it.
pub enum Asks {
    /// These roles.
    Needed(Needed),
    /// It is about the asker, whom this names: nothing.
    Oneself(Role),
    /// Nobody may: a rule of the runbook says so.
    Forbidden {
        /// The word in the journal.
        why: &'static str,
        /// What the asker reads.
        words: Text,
    },
}

/// The roles that a command needs. Whoever touches a run needs the role that its plan names: the
/// action's, or one that approves. About oneself everybody may ask.
///
/// # Errors
/// The database's.
pub async fn needed(
    command: &Command,
    runbook: &Runbook,
    engine: &Engine,
    asker: &UserId,
) -> Result<Asks, Error> {
    let names = match command {
        Command::ReasonForm(form) => {
            let command = form.clone().submitted("", None);
            return Box::pin(needed(&command, runbook, engine, asker)).await;
        }
        Command::Action(ask) => return by_rules(ask, runbook, engine).await,
        Command::Propose(propose) => return by_rules(&propose.ask, runbook, engine).await,
        Command::Settle(settle::Settle { run, .. })
        | Command::Retry(retry::Retry { run })
        | Command::Logs(logs::Logs { run, .. }) => {
            roles_of_run(engine, run, |plan| vec![plan.role]).await?
        }
        Command::Decide(decide) => {
            let is_cancel = decide.verdict == Verdict::Cancelled;
            roles_of_run(engine, &decide.run, |plan| match plan.approval {
                Some(approval) if !is_cancel => approval.from,
                _ => vec![plan.role],
            })
            .await?
        }
        Command::Checklist(list) => {
            roles_of_run(engine, &list.run, |plan| list.roles(plan)).await?
        }
        Command::Review(review) => {
            roles_of_run(engine, &review.run, |plan| match plan.emergency {
                Some(emergency) => vec![emergency.review],
                None => vec![plan.role],
            })
            .await?
        }
        Command::Delegate(Delegate::Begin { .. } | Delegate::End { .. }) => {
            delegable(runbook).into_iter().map(str::to_owned).collect()
        }
        // It may be about an incident, and about what is still to come.
        Command::Silence(Silence::Begin { .. }) => alert::silencing(Level::Critical, runbook),
        Command::Silence(Silence::End { .. }) => alert::acting(runbook),
        Command::Alert(of) => of.roles(runbook, engine).await?,
        Command::Unlock(_) => vec![unlock::ROLE.to_owned()],
        Command::Audit(_) | Command::Compliance(_) => vec![audit::role(runbook).to_owned()],
        Command::Contacts(_) => vec![contacts::role(runbook).to_owned()],
        Command::OnCall(OnCall::Override { .. } | OnCall::End { .. }) => oncall::roles(runbook),
        // Whoever exchanges a shift must have one: the roster says so, not a role.
        Command::Whoami(_) | Command::OnCall(OnCall::Swap { .. }) => {
            let members = vec![Member::User(asker.to_string())];
            let name = command.name().to_owned();
            let role = Role { name, members, max_age_ms: None, line: 0 };
            return Ok(Asks::Oneself(role));
        }
        Command::Delegate(Delegate::List)
        | Command::OnCall(OnCall::List | OnCall::Who { .. })
        | Command::Status(_)
        | Command::Show(_)
        | Command::Runs(_)
        | Command::Results(_)
        | Command::Alerts(_)
        | Command::Silence(Silence::List)
        | Command::Why(_)
        | Command::Plan(_)
        | Command::Freeze(_)
        | Command::Help(_) => vec![VIEWER.to_owned()],
    };
    let one_of = names.iter().map(|name| role_named(name, runbook)).collect();
    let is_delegable = match command {
        Command::Decide(decide) => decide.verdict != Verdict::Cancelled,
        Command::Review(_) => true,
        _ => false,
    };
    Ok(Asks::Needed(Needed { one_of, also: Vec::new(), is_delegable }))
}

async fn by_rules(ask: &Ask, runbook: &Runbook, engine: &Engine) -> Result<Asks, Error> {
    let also = match as_emergency(ask, runbook) {
        Ok(emergency) => emergency.map(|one| role_named(&one.role, runbook)),
        Err(words) => return Ok(Asks::Forbidden { why: "no_emergency", words }),
    };
    Ok(match rules::foreseen(ask, engine).await? {
        Ok(ruled) => Asks::Needed(Needed {
            one_of: vec![role_named(ruled.role, runbook)],
            also: also.into_iter().collect(),
            is_delegable: false,
        }),
        Err(forbidden) => Asks::Forbidden { why: forbidden.as_str(), words: forbidden.text() },
    })
}

/// The emergency terms of a request that says it is one; `None`: it does not.
///
/// # Errors
/// What the asker reads where the runbook knows no such emergency.
pub(super) fn as_emergency<'r>(
    ask: &Ask,
    runbook: &'r Runbook,
) -> Result<Option<&'r Emergency>, Text> {
    if !ask.arguments.is_emergency {
        return Ok(None);
    }
    let action = &ask.action.name;
    let emergency = runbook.emergency.as_ref().ok_or_else(|| {
        Text::new(
            "操作手册没有定义紧急操作 (emergency)，什么也没有执行。请去掉 `--emergency` 再发起。",
            "The runbook defines no `emergency` section, so nothing was done. Ask for it without \
             `--emergency`.",
        )
    })?;
    if emergency.actions.contains(action) {
        return Ok(Some(emergency));
    }
    let may = emergency.actions.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>();
    Err(Text::new(
        format!(
            "`{action}` 不能作为紧急操作，什么也没有执行。可以的有：{}。请去掉 `--emergency` 再发起。",
            may.join("、")
        ),
        format!(
            "`{action}` cannot be an emergency, so nothing was done; these can: {}. Ask for it without \
             `--emergency`.",
            may.join(", ")
        ),
    ))
}

/// A role as the runbook has it.
pub fn role_named(name: &str, runbook: &Runbook) -> Role {
    runbook.roles.get(name).cloned().unwrap_or_else(|| {
        // Looking is for every full member unless the runbook says otherwise; a role that the
        // runbook no longer knows is held by nobody.
        let members = if name == VIEWER { vec![Member::Everyone] } else { Vec::new() };
        Role { name: name.to_owned(), members, max_age_ms: None, line: 0 }
    })
}

/// The roles in which people approve or review: each can be delegated. Nobody's, where there is none.
fn delegable(runbook: &Runbook) -> Vec<&str> {
    let mut names = approving(runbook);
    names.extend(runbook.emergency.iter().map(|emergency| emergency.review.as_str()));
    names.sort_unstable();
    names.dedup();
    names
}

/// The roles that approve something, an override of a freeze too.
fn approving(runbook: &Runbook) -> Vec<&str> {
    let approvals = runbook.actions.values().flat_map(rule::approvals);
    let roles = approvals.flat_map(|approval| approval.from.iter().map(String::as_str));
    let overrides =
        runbook.freezes.iter().filter_map(|freeze| freeze.planned.overridable_by.as_deref());
    roles.chain(overrides).collect()
}

/// The roles of which any lets a person use a verb; for a verb about a run, of some run at least.
pub(super) fn roles_of_verb(verb: &str, runbook: &Runbook) -> Vec<Role> {
    let actions = || runbook.actions.values();
    let mut names: Vec<&str> = match verb {
        "approve" | "reject" => approving(runbook),
        "cancel" | "retry" | "settle" | "logs" => actions().flat_map(rule::roles).collect(),
        "tick" => runbook.checklists.values().flat_map(Checklist::roles).collect(),
        "recheck" => {
            let listed = actions().filter(|action| rule::checklists(action).next().is_some());
            listed.flat_map(rule::roles).collect()
        }
        "delegate" => delegable(runbook),
        "unlock" => vec![unlock::ROLE],
        "review" => runbook.emergency.iter().map(|emergency| emergency.review.as_str()).collect(),
        "audit" | "compliance" => vec![audit::role(runbook)],
        "contacts" => vec![contacts::role(runbook)],
        _ => vec![VIEWER],
    };
    names.sort_unstable();
    names.dedup();
    names.into_iter().map(|name| role_named(name, runbook)).collect()
}

/// Roles that a run's plan names; looking is enough to be told that there is no such run.
async fn roles_of_run(
    engine: &Engine,
    run: &RunId,
    roles: impl FnOnce(Plan) -> Vec<String>,
) -> Result<Vec<String>, Error> {
    Ok(engine.view(run).await?.map_or_else(|| vec![VIEWER.to_owned()], |view| roles(view.plan)))
}

/// Who may look: the runbook can define this role.
pub(super) const VIEWER: &str = "viewer";
