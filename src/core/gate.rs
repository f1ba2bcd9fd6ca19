//! What must hold before a run begins. Each gate says for itself whether it holds; a run that waits is
//! queued when none is open any more.

use super::decision::approvals;
use super::plan::Plan;
use super::run_card::RunView;

/// What a run can wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gate {
    /// People have to agree.
    Approval,
}

/// The gates of a run that do not hold, in the order in which people read of them.
pub fn open(run: &RunView) -> Vec<Gate> {
    let mut open = Vec::new();
    let approval = run.plan.approval.as_ref();
    if approval.is_some_and(|approval| approvals(&run.decisions, approval) < approval.count) {
        open.push(Gate::Approval);
    }
    open
}

/// Until when a run that begins to wait at this moment waits for people; 0: for ever.
pub fn expires_ms(plan: &Plan, now_ms: i64) -> i64 {
    let approval = plan.approval.as_ref();
    approval.map_or(0, |approval| now_ms.saturating_add_unsigned(approval.expires_ms))
}
