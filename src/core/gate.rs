//! What must hold before a run begins. Each gate says for itself whether it holds; a run that waits is
//! queued when none is open any more.

use super::checklist;
use super::decision::approvals;
use super::freeze;
use super::plan::Plan;
use super::run_card::RunView;

/// What a run can wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gate {
    /// People have to agree.
    Approval,
    /// Every item of its checklist has to be in order.
    Checklist,
    /// A freeze has to end.
    Freeze,
}

/// The gates of a run that do not hold at a moment, in the order in which people read of them.
pub fn open(run: &RunView, now_ms: i64) -> Vec<Gate> {
    let mut open = Vec::new();
    if asks_people(run) {
        open.push(Gate::Approval);
    }
    if !checklist::is_done(run) {
        open.push(Gate::Checklist);
    }
    if !freeze::waited_for(&run.plan.freezes, now_ms).is_empty() {
        open.push(Gate::Freeze);
    }
    open
}

/// Whether more people have to agree.
pub fn asks_people(run: &RunView) -> bool {
    let approval = run.plan.approval.as_ref();
    approval.is_some_and(|approval| approvals(&run.decisions, approval) < approval.count)
}

/// Until when a run that begins to wait at this moment waits for people; 0: for ever.
pub fn expires_ms(plan: &Plan, now_ms: i64) -> i64 {
    let approval = plan.approval.as_ref().map(|approval| approval.expires_ms);
    let checklist = plan.checklist.as_ref().map(|checklist| checklist.expires_ms);
    // The checks may take longer than people do, and people may wait for the checks.
    approval.max(checklist).map_or(0, |wait_ms| now_ms.saturating_add_unsigned(wait_ms))
}
