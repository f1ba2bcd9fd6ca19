//! Approvals that count once more: for the same work on what is still live, within the time that the runbook
//! gives them. Their people are asked about again at the run's turn, as of any approval.

use super::requests::request_entry;
use super::{Asked, Error, view};
use crate::core::decision::{Verdict, approvals};
use crate::core::id::RunId;
use crate::core::plan::Plan;
use crate::core::run::State;
use crate::core::run_card::RunView;
use crate::store::decisions::{self, DecisionRow};
use crate::store::{Unit, runs};
use serde_json::json;

/// Earlier runs that are looked at.
const EARLIER_MAX: i64 = 20;

/// The approvals of an earlier run that a new one can go on.
pub(super) struct Reusable {
    earlier: RunId,
    digest: String,
    approved: Vec<DecisionRow>,
}

/// The approvals that count for a plan as it is asked for; `None`: people are asked.
pub(super) async fn find(
    unit: &mut Unit,
    asked: &Asked,
    plan: &Plan,
) -> Result<Option<Reusable>, Error> {
    let Some(approval) = &plan.approval else { return Ok(None) };
    let Some(reuse_ms) = approval.reuse_ms else { return Ok(None) };
    let since_ms = unit.now_ms().saturating_sub_unsigned(reuse_ms);
    let of = (plan.action.as_str(), plan.environment.as_str());
    for id in runs::approved_since(unit.connection(), of, since_ms, EARLIER_MAX).await? {
        let earlier = RunId::new(id);
        let row = view::row(unit.connection(), &earlier).await?;
        let view = view::with_parts(unit.connection(), row).await?;
        if !counts_again(&view, asked, plan, since_ms) {
            continue;
        }
        let rows = decisions::of_run(unit.connection(), earlier.as_str()).await?;
        let approved = rows.into_iter().filter(|row| row.verdict == Verdict::Approved.as_str());
        let (digest, approved) = (view.plan.digest(), approved.collect());
        return Ok(Some(Reusable { earlier, digest, approved }));
    }
    Ok(None)
}

/// Makes them the new run's own, each with a word where it comes from.
pub(super) async fn write(
    unit: &mut Unit,
    asked: &Asked,
    (run, plan): (&RunId, &Plan),
    reusable: Reusable,
) -> Result<(), Error> {
    let Reusable { earlier, digest, approved } = reusable;
    let mut people = Vec::new();
    for row in approved {
        let word = plan.language.pick("沿用自", "reused from");
        let reason = format!("{word} {earlier} {}", row.reason);
        people.push(row.user_id.clone());
        let row = DecisionRow { reason: reason.trim_end().to_owned(), ..row };
        decisions::insert(unit.connection(), run.as_str(), &row).await?;
    }
    let detail = json!({
        "from": earlier.as_str(), "approvals": people, "digest": plan.digest(),
        "digest_then": digest,
    });
    let now_ms = unit.now_ms();
    unit.journal(request_entry(asked, "approval.reused", run.as_str(), detail, now_ms));
    Ok(())
}

/// Whether the approvals of a run count for a new one.
fn counts_again(earlier: &RunView, asked: &Asked, plan: &Plan, since_ms: i64) -> bool {
    let Some(approval) = &plan.approval else { return false };
    let ours = || earlier.decisions.iter().filter(|one| one.verdict == Verdict::Approved);
    let is_own = |user: &crate::core::id::UserId| *user == asked.actor;
    let by_asker =
        ours().any(|one| is_own(&one.user) || one.on_behalf.as_ref().is_some_and(is_own));
    // Somebody said no after all, or an approval was found not to hold.
    let is_void = earlier.state == State::Rejected || !earlier.voided.is_empty();
    let is_enough = approvals(&earlier.decisions, approval) >= approval.count;
    let is_young = ours().all(|one| one.at_ms >= since_ms);
    is_enough
        && is_young
        && !is_void
        && (approval.allows_self || !by_asker)
        && plan.is_same_work(&earlier.plan)
}
