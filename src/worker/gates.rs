//! Asks the gates of a run once more at its turn, before the first step: whether the people behind it
//! still may, and whether what is live is still what they saw. Decides nothing itself: `core::decision` does.

use crate::command::{Powers, role_named};
use crate::core::action::Runbook;
use crate::core::decision::{AtItsTurn, Holds, Verdict, at_its_turn};
use crate::core::id::UserId;
use crate::core::policy::{Actor, Denied, Known, Standing};
use crate::core::release;
use crate::core::run_card::RunView;
use crate::core::text::Text;
use crate::engine::{Engine, Error};
use crate::pipeline::Workspace;
use std::sync::{Arc, OnceLock};
use tokio::sync::watch;

/// Whom to ask about people, and by which file.
#[derive(Debug, Clone)]
pub struct Gates {
    /// Set when Slack has answered who we are, now or to an earlier process.
    pub workspace: Arc<OnceLock<Workspace>>,
    /// The reviewed file in force.
    pub runbook: watch::Receiver<Arc<Runbook>>,
}

impl Gates {
    /// Whether the people behind a run still hold their roles; while Slack cannot be asked, as far as
    /// each role believes what it said before. What follows a failure was approved with the runbook:
    /// nobody is asked about it.
    pub async fn people(&self, engine: &Engine, run: &RunView) -> AtItsTurn {
        if run.plan.cause.is_some() {
            return AtItsTurn::Stands;
        }
        let roles: Vec<String> = run.plan.roles().map(str::to_owned).collect();
        let asker = self.holds_all(engine, &run.actor, &roles).await;
        let mut approvers = Vec::new();
        let approved = run.decisions.iter().filter(|one| one.verdict == Verdict::Approved);
        for decision in approved {
            let holds = match &decision.on_behalf {
                None => self.holds_all(engine, &decision.user, &decision.roles).await,
                // Whoever let them decide must hold the role still, and they must not have left.
                Some(holder) => match self.is_full_member(engine, &decision.user).await {
                    Holds::Yes => self.holds_all(engine, holder, &decision.roles).await,
                    other => other,
                },
            };
            approvers.push((decision.user.clone(), holds));
        }
        for tick in &run.checklist.ticks {
            let holds = self.holds(engine, &tick.by, &tick.role).await;
            approvers.push((tick.by.clone(), holds));
        }
        at_its_turn(asker, &approvers)
    }

    /// Whether somebody holds every one of these roles: one that was lost may be the one that counted.
    async fn holds_all(&self, engine: &Engine, user: &UserId, roles: &[String]) -> Holds {
        let mut all = Holds::Yes;
        for role in roles {
            match self.holds(engine, user, role).await {
                Holds::No => return Holds::No,
                Holds::Unknown => all = Holds::Unknown,
                Holds::Yes => {}
            }
        }
        all
    }

    async fn is_full_member(&self, engine: &Engine, user: &UserId) -> Holds {
        let Some(workspace) = self.workspace.get() else { return Holds::Unknown };
        let actor = Actor { user: user.clone(), team: workspace.team_id.clone() };
        let powers = Powers { engine, directory: &workspace.directory, actor };
        match powers.facts([]).await.person {
            Known::Told { value: Standing::Full, .. } => Holds::Yes,
            Known::Told { .. } => Holds::No,
            Known::Nothing | Known::Refused => Holds::Unknown,
        }
    }

    async fn holds(&self, engine: &Engine, user: &UserId, role: &str) -> Holds {
        let Some(workspace) = self.workspace.get() else { return Holds::Unknown };
        let role = role_named(role, &self.runbook.borrow());
        let actor = Actor { user: user.clone(), team: workspace.team_id.clone() };
        let powers = Powers { engine, directory: &workspace.directory, actor };
        match powers.hold(&role).await {
            Ok(_) => Holds::Yes,
            Err(Denied::NotAMember { .. } | Denied::NoFullMember { .. }) => Holds::No,
            Err(Denied::CannotTell { .. }) => Holds::Unknown,
        }
    }
}

/// What is live is not what people saw in the plan; in words.
///
/// # Errors
/// The database's.
pub async fn live_changed(engine: &Engine, run: &RunView) -> Result<Option<Text>, Error> {
    let plan = &run.plan;
    if plan.makes_live.is_none() || plan.cause.is_some() {
        return Ok(None);
    }
    let history = engine.releases(&plan.environment).await?;
    let Some(live) = release::changed_since(plan.changes.as_ref(), &history) else {
        return Ok(None);
    };
    let (now, by) = (&live.version, &live.run);
    Ok(Some(match &plan.changes {
        Some(changes) => Text::new(
            format!(
                "提出时线上是 `{}`，现在是 `{now}`（{by}）：大家看到的计划已经不成立",
                changes.version
            ),
            format!(
                "`{}` was live when it was asked, and `{now}` is now ({by}): it would not do what \
                 people saw",
                changes.version
            ),
        ),
        None => Text::new(
            format!("提出时不知道线上是什么版本，现在是 `{now}`（{by}）：大家看到的计划已经不成立"),
            format!(
                "nothing was known to be live when it was asked, and `{now}` is now ({by}): it would \
                 not do what people saw"
            ),
        ),
    }))
}
