//! Checklists: what must be found in order before a run begins. An item is checked by a program, or ticked
//! off by a person; both bind to the plan of the run that waits for it.
//!
//! The checks of a list are the steps of a run of their own, so that their evidence is that of any step. What
//! could not be checked blocks as much as what was found wanting, and is said to be another thing.

use super::action::{Action, Environment, Lock, Notices, Runbook, Step};
use super::evidence::{End, Evidence};
use super::id::{RunId, UserId};
use super::param::{Argument, Arguments};
use super::plan::{LIVE_VERSION, Plan, PlanFault, whom_to_call};
use super::rule::Ruled;
use super::run::{State, StepState};
use super::run_card::{RunView, StepView};
use super::text::Text;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Items of one list.
pub const ITEMS_MAX: usize = 20;
/// The exit code by which a check says that it found something. With any other but 0 it could not be done.
const FOUND_WANTING: i32 = 1;

/// A checklist of the runbook.
#[derive(Debug, Clone, PartialEq)]
pub struct Checklist {
    /// Its key in the file.
    pub name: String,
    /// What people call it.
    pub title: Text,
    /// In order.
    pub items: Vec<Item>,
    /// How long a run waits for it.
    pub expires_ms: u64,
    /// How long what was found counts.
    pub valid_ms: u64,
}

/// One line of a checklist.
#[derive(Debug, Clone, PartialEq)]
pub struct Item {
    /// What people read.
    pub name: Text,
    /// Who says that it is in order.
    pub by: By,
}

/// Who says that an item is in order.
#[derive(Debug, Clone, PartialEq)]
pub enum By {
    /// A program does.
    Check(Box<Step>),
    /// A person does.
    Tick {
        /// The role that may.
        role: String,
        /// Whether who asked for the run may.
        allows_self: bool,
    },
}

/// A checklist as a plan carries it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedChecklist {
    /// Its key in the runbook.
    pub name: String,
    /// What people call it.
    pub title: Text,
    /// In order.
    pub items: Vec<PlannedItem>,
    /// How long the run waits for it.
    pub expires_ms: u64,
    /// How long what was found counts: what is older when the run's turn comes is looked at anew.
    pub valid_ms: u64,
    /// The checks, in the order of their items; `None`: people tick all of it off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checks: Option<Box<Plan>>,
}

/// One line of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedItem {
    /// What people read.
    pub name: Text,
    /// Who ticks it off; `None`: the next of the checks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tick: Option<PlannedTick>,
}

/// The people who can tick an item off.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedTick {
    /// Their role.
    pub role: String,
    /// Whom to call: its users (`U…`, `W…`) and groups (`S…`).
    pub call: Vec<String>,
    /// Whether who asked for the run may.
    pub allows_self: bool,
}

impl Plan {
    /// The same with the checklist that its terms name. `live`: the version that is live, for templates;
    /// empty where none is known to be.
    ///
    /// # Errors
    /// [`PlanFault`], of a check.
    pub fn with_checklist(
        mut self,
        name: Option<&str>,
        (environment, runbook): (&Environment, &Runbook),
        arguments: &Arguments,
        live: Option<&str>,
    ) -> Result<Self, PlanFault> {
        let Some(checklist) = name.and_then(|name| runbook.checklists.get(name)) else {
            return Ok(self);
        };
        let items = checklist.items.iter().map(|item| PlannedItem {
            name: item.name.clone(),
            tick: match &item.by {
                By::Check(_) => None,
                By::Tick { role, allows_self } => Some(PlannedTick {
                    role: role.clone(),
                    call: whom_to_call(std::slice::from_ref(role), runbook),
                    allows_self: *allows_self,
                }),
            },
        });
        let items = items.collect();
        let action = checklist.as_action(&self.role);
        let checks = if action.steps.is_empty() {
            None
        } else {
            let mut arguments = arguments.clone();
            let value = live.unwrap_or_default().to_owned();
            arguments.values.push(Argument { name: LIVE_VERSION.to_owned(), value });
            let ruled = Ruled { role: &self.role, approval: None, checklist: None, rule: None };
            let checks = Self::resolve(&action, environment, runbook, &arguments, &ruled)?;
            Some(Box::new(Self { commits: self.commits.clone(), ..checks }))
        };
        self.checklist = Some(PlannedChecklist {
            name: checklist.name.clone(),
            title: checklist.title.clone(),
            items,
            expires_ms: checklist.expires_ms,
            valid_ms: checklist.valid_ms,
            checks,
        });
        Ok(self)
    }

    /// What of its checklist another plan says otherwise, in words.
    pub(super) fn checklist_differs(&self, now: &Self) -> Option<Text> {
        let is_same = match (&self.checklist, &now.checklist) {
            (None, None) => true,
            (Some(then), Some(now)) => {
                let is_same_check = match (&then.checks, &now.checks) {
                    (Some(then), Some(now)) => then.differing_step(now).is_none(),
                    (then, now) => then.is_none() && now.is_none(),
                };
                then.is_like(now) && is_same_check
            }
            _ => false,
        };
        (!is_same).then(|| Text::new("检查清单变了", "the checklist is another one now"))
    }
}

impl Checklist {
    /// The roles that tick some of its items off.
    pub fn roles(&self) -> impl Iterator<Item = &str> {
        self.items.iter().filter_map(|item| match &item.by {
            By::Check(_) => None,
            By::Tick { role, .. } => Some(role.as_str()),
        })
    }

    /// Its checks as the steps of an action, which no person can ask for: its name is none that a person can
    /// type.
    fn as_action(&self, role: &str) -> Action {
        let steps = self.items.iter().filter_map(|item| match &item.by {
            By::Check(step) => Some((**step).clone()),
            By::Tick { .. } => None,
        });
        Action {
            name: format!("checklist:{}", self.name),
            summary: self.title.clone(),
            parameters: Vec::new(),
            role: role.to_owned(),
            role_line: 0,
            approval: None,
            checklist: None,
            rules: Vec::new(),
            makes_live: None,
            on_failure: None,
            lock: Lock::None,
            steps: steps.collect(),
            notices: Notices::default(),
        }
    }
}

/// How far a checklist is.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// The newest run of its checks.
    pub checks: Option<Checks>,
    /// What was ticked off.
    pub ticks: Vec<Tick>,
}

/// A run of checks.
#[derive(Debug, Clone)]
pub struct Checks {
    /// Which.
    pub run: RunId,
    /// From 1: how often they were begun.
    pub number: i64,
    /// Where it stands.
    pub state: State,
    /// Each check.
    pub steps: Vec<StepView>,
}

/// Somebody says that an item is in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tick {
    /// Which, counted from 0.
    pub item: usize,
    /// Who.
    pub by: UserId,
    /// By which role.
    pub role: String,
    /// What they wrote; may be empty.
    pub note: String,
    /// When.
    pub at_ms: i64,
}

/// How one item stands.
#[derive(Debug, Clone, Copy)]
pub enum Standing<'r> {
    /// A person is to tick it off, or its check has not begun.
    Open,
    /// Its check is under way.
    Checking,
    /// Its check found it in order.
    Passed(&'r StepView),
    /// A person did.
    Ticked(&'r Tick),
    /// Its check found it wanting.
    Failed(&'r StepView),
    /// Its check could not be done.
    NotChecked(&'r StepView),
}

impl PlannedChecklist {
    /// Which check is an item's, counted from 0; `None`: a person ticks it off.
    pub fn check_of(&self, item: usize) -> Option<usize> {
        self.items.get(item).filter(|item| item.tick.is_none())?;
        Some(self.items[..item].iter().filter(|item| item.tick.is_none()).count())
    }

    /// How each item stands.
    pub fn standings<'r>(&self, seen: &'r Seen) -> Vec<Standing<'r>> {
        (0..self.items.len()).map(|item| self.standing(item, seen)).collect()
    }

    fn standing<'r>(&self, item: usize, seen: &'r Seen) -> Standing<'r> {
        let Some(check) = self.check_of(item) else {
            let tick = seen.ticks.iter().find(|tick| tick.item == item);
            return tick.map_or(Standing::Open, Standing::Ticked);
        };
        let checks = seen.checks.as_ref();
        let step = checks.and_then(|checks| checks.steps.get(check));
        step.map_or(Standing::Open, found)
    }

    /// Whether another says the same, apart from what only names things or calls people.
    fn is_like(&self, other: &Self) -> bool {
        let terms = |list: &Self| (list.name.clone(), list.expires_ms, list.valid_ms);
        let ticks = |list: &Self| -> Vec<Option<(String, bool)>> {
            let ticks = list.items.iter().map(|item| item.tick.as_ref());
            ticks.map(|tick| tick.map(|tick| (tick.role.clone(), tick.allows_self))).collect()
        };
        terms(self) == terms(other) && ticks(self) == ticks(other)
    }
}

impl Standing<'_> {
    /// Whether it lets the run begin.
    pub fn is_in_order(self) -> bool {
        matches!(self, Self::Passed(_) | Self::Ticked(_))
    }

    /// Whether it stays as it is until somebody has it checked again.
    pub fn is_wanting(self) -> bool {
        matches!(self, Self::Failed(_) | Self::NotChecked(_))
    }
}

fn found(step: &StepView) -> Standing<'_> {
    let end = step.evidence.as_ref().map(|evidence: &Evidence| &evidence.end);
    match (step.state, end) {
        (StepState::Pending, _) => Standing::Open,
        (StepState::Starting | StepState::Running, _) => Standing::Checking,
        (StepState::Ok, _) => Standing::Passed(step),
        (StepState::Failed, Some(End::Exited(FOUND_WANTING))) => Standing::Failed(step),
        _ => Standing::NotChecked(step),
    }
}

/// Whether every item of a run's checklist is in order; a run without one has nothing to wait for.
pub fn is_done(run: &RunView) -> bool {
    let Some(checklist) = &run.plan.checklist else { return true };
    checklist.standings(&run.checklist).into_iter().all(Standing::is_in_order)
}

/// Whether something that was found in order was found so too long ago to count.
pub fn is_old(run: &RunView, now_ms: i64) -> bool {
    let Some(checklist) = &run.plan.checklist else { return false };
    let since_ms = now_ms.saturating_sub_unsigned(checklist.valid_ms);
    checklist.standings(&run.checklist).into_iter().any(|standing| match standing {
        Standing::Passed(step) => step.ended_ms < since_ms,
        Standing::Ticked(tick) => tick.at_ms < since_ms,
        _ => false,
    })
}

/// The one run of a run's checks with this number has its id from both: asked twice, it is the same.
pub fn checks_of(run: &RunId, number: i64) -> RunId {
    let hash = Sha256::digest(format!("checklist {number} {run}"));
    RunId::from_entropy(std::array::from_fn(|at| hash[at]))
}

/// Somebody wants to tick an item off, or to have the checks done again.
#[derive(Debug, Clone)]
pub struct Asks<'a> {
    /// Who.
    pub by: &'a UserId,
    /// By which roles.
    pub roles: &'a [String],
    /// The digest of the plan that they were shown; `None`: typed, and means the run's own.
    pub digest: Option<&'a str>,
}

/// Why it does not count; nothing was changed by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// The run has no checklist.
    NoChecklist,
    /// The person was shown another plan than the run's.
    OtherPlan,
    /// The run does not wait any more.
    TooLate(State),
    /// Its time is over; nobody has noted it yet.
    Expired,
    /// There is no such item; how many there are.
    NoSuchItem(usize),
    /// A program checks it.
    Checked,
    /// Who asked for the run cannot tick it off.
    Own,
    /// The person does not hold the role of the item.
    OtherRole,
    /// Somebody has.
    Already,
    /// The checks are under way.
    UnderWay,
    /// Every check has passed.
    AllPassed,
}

fn speaks_against(run: &RunView, asks: &Asks<'_>, now_ms: i64) -> Option<Refused> {
    if run.plan.checklist.is_none() {
        return Some(Refused::NoChecklist);
    }
    if asks.digest.is_some_and(|shown| shown != run.plan.digest()) {
        return Some(Refused::OtherPlan);
    }
    if run.state != State::Waiting {
        return Some(Refused::TooLate(run.state));
    }
    (run.expires_ms > 0 && now_ms >= run.expires_ms).then_some(Refused::Expired)
}

/// Whether somebody can tick an item off, counted from 0.
///
/// # Errors
/// [`Refused`].
pub fn may_tick(run: &RunView, item: usize, asks: &Asks<'_>, now_ms: i64) -> Result<(), Refused> {
    if let Some(refused) = speaks_against(run, asks, now_ms) {
        return Err(refused);
    }
    let checklist = run.plan.checklist.as_ref().ok_or(Refused::NoChecklist)?;
    let planned = checklist.items.get(item);
    let planned = planned.ok_or(Refused::NoSuchItem(checklist.items.len()))?;
    let tick = planned.tick.as_ref().ok_or(Refused::Checked)?;
    if !asks.roles.contains(&tick.role) {
        return Err(Refused::OtherRole);
    }
    if *asks.by == run.actor && !tick.allows_self {
        return Err(Refused::Own);
    }
    if run.checklist.ticks.iter().any(|tick| tick.item == item) {
        return Err(Refused::Already);
    }
    Ok(())
}

/// Whether the checks of a run can be done again.
///
/// # Errors
/// [`Refused`].
pub fn may_check_again(run: &RunView, asks: &Asks<'_>, now_ms: i64) -> Result<(), Refused> {
    if let Some(refused) = speaks_against(run, asks, now_ms) {
        return Err(refused);
    }
    let Some(checks) = &run.checklist.checks else { return Err(Refused::AllPassed) };
    if checks.steps.iter().all(|step| step.state == StepState::Ok) {
        return Err(Refused::AllPassed);
    }
    // One whose outcome is unknown waits for a person, and this person wants it anew.
    if checks.state.is_final() || checks.state == State::NeedsAttention {
        Ok(())
    } else {
        Err(Refused::UnderWay)
    }
}

impl Refused {
    /// The word in the journal.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NoChecklist => "no_checklist",
            Self::OtherPlan => "other_plan",
            Self::TooLate(_) => "too_late",
            Self::Expired => "expired",
            Self::NoSuchItem(_) => "no_such_item",
            Self::Checked => "checked_by_a_program",
            Self::Own => "own_request",
            Self::OtherRole => "other_role",
            Self::Already => "already",
            Self::UnderWay => "under_way",
            Self::AllPassed => "all_passed",
        }
    }

    /// What the presser reads, and what to do instead.
    pub fn text(self) -> Text {
        match self {
            Self::NoChecklist => Text::new(
                "没有检查清单，什么也没有改变。",
                "has no checklist; nothing was changed.",
            ),
            Self::OtherPlan => Text::new(
                "您看到的不是这次执行的计划，所以没有算数。请用 `/neostock show` 查看现在的计划。",
                "is not of the plan that you were shown, so it did not count. See the plan as it is \
                 with `/neostock show`.",
            ),
            Self::TooLate(state) => {
                let state = state.text();
                Text::new(
                    format!("来不及了：它现在是「{}」，什么也没有改变。", state.zh),
                    format!("is “{}” now: too late, nothing was changed.", state.en),
                )
            }
            Self::Expired => Text::new(
                "来不及了：等待的时间已过。需要的话请重新发起。",
                "has waited for as long as it may. Ask for it again if it is still wanted.",
            ),
            Self::NoSuchItem(count) => Text::new(
                format!("没有这一项：清单有 1 到 {count} 项。"),
                format!("has no such item: its list has 1 to {count}."),
            ),
            Self::Checked => Text::new(
                "这一项由程序检查，不能人工确认。修好之后用 `/neostock recheck` 重新检查。",
                "has that item checked by a program: it cannot be ticked off. Mend it, then use \
                 `/neostock recheck`.",
            ),
            Self::Own => Text::new(
                "这一项不能由发起人自己确认，需要另一个人。",
                "is yours: somebody else has to tick that item off.",
            ),
            Self::OtherRole => Text::new(
                "这一项要由别的角色确认，见卡片。",
                "has that item ticked off by another role, as its card says.",
            ),
            Self::Already => Text::new("这一项已经确认过了。", "has that item ticked off already."),
            Self::UnderWay => Text::new(
                "检查还在进行，请等它结束。",
                "is being checked right now: wait for the end of that.",
            ),
            Self::AllPassed => {
                Text::new("所有检查都已通过，不必重做。", "has passed all of its checks already.")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::run::Progress;
    use proptest::prelude::*;

    fn step(state: StepState, code: Option<i32>) -> StepView {
        StepView {
            state,
            attempts: 1,
            begun: 1,
            failures: 0,
            due_ms: 0,
            started_ms: 1,
            ended_ms: 2,
            evidence: code.map(|code| Evidence::of(End::Exited(code))),
            tail: String::new(),
        }
    }

    fn list(are_ticked: &[bool]) -> PlannedChecklist {
        let tick = || PlannedTick { role: "operator".into(), call: vec![], allows_self: true };
        let items = are_ticked
            .iter()
            .map(|ticked| PlannedItem { name: Text::same("item"), tick: ticked.then(tick) });
        PlannedChecklist {
            name: "before".into(),
            title: Text::same("Before it"),
            items: items.collect(),
            expires_ms: 1,
            valid_ms: 1_000,
            checks: None,
        }
    }

    fn ticked(item: usize) -> Tick {
        Tick {
            item,
            by: UserId::new("U0ANN"),
            role: "operator".into(),
            note: String::new(),
            at_ms: 1,
        }
    }

    fn any_end() -> impl Strategy<Value = (StepState, Option<i32>)> {
        prop_oneof![
            Just((StepState::Ok, Some(0))),
            Just((StepState::Pending, None)),
            Just((StepState::Running, None)),
            Just((StepState::Failed, Some(1))),
            (2..130_i32).prop_map(|code| (StepState::Failed, Some(code))),
            Just((StepState::Failed, None)),
            Just((StepState::TimedOut, None)),
            Just((StepState::Unknown, None)),
            Just((StepState::Cancelled, None)),
            Just((StepState::Skipped, None)),
        ]
    }

    #[test]
    fn only_exit_code_1_is_a_finding_and_what_could_not_be_done_is_no_pass() {
        let said = |state, code| match found(&step(state, code)) {
            Standing::Open => "open",
            Standing::Checking => "checking",
            Standing::Passed(_) => "passed",
            Standing::Ticked(_) => "ticked",
            Standing::Failed(_) => "failed",
            Standing::NotChecked(_) => "not checked",
        };

        assert_eq!(said(StepState::Ok, Some(0)), "passed");
        assert_eq!(said(StepState::Failed, Some(1)), "failed");
        for code in [2, 69, 126, 127] {
            assert_eq!(said(StepState::Failed, Some(code)), "not checked", "{code}");
        }
        assert_eq!(said(StepState::Failed, None), "not checked");
        assert_eq!(said(StepState::TimedOut, None), "not checked");
        assert_eq!(said(StepState::Unknown, None), "not checked");
        assert_eq!(said(StepState::Skipped, None), "not checked");
    }

    proptest! {
        /// Whatever stands between them, a check is its own item's and no other's; and only all of them
        /// together are in order.
        #[test]
        fn a_list_is_in_order_only_when_every_item_is(
            items in prop::collection::vec((any::<bool>(), any::<bool>(), any_end()), 1..ITEMS_MAX),
        ) {
            let are_ticked: Vec<bool> = items.iter().map(|(is_ticked, ..)| *is_ticked).collect();
            let list = list(&are_ticked);
            let checks = items.iter().filter(|(is_ticked, ..)| !is_ticked);
            let steps: Vec<StepView> = checks.map(|(.., (state, code))| step(*state, *code)).collect();
            let run = RunId::from_entropy([7; 8]);
            let checks = Checks { run, number: 1, state: State::Running, steps };
            let ticks = items.iter().enumerate();
            let ticks = ticks.filter(|(_, (is_ticked, has_tick, _))| *is_ticked && *has_tick);
            let seen = Seen { checks: Some(checks), ticks: ticks.map(|(at, _)| ticked(at)).collect() };

            let standings = list.standings(&seen);

            for ((is_ticked, has_tick, (state, _)), standing) in items.iter().zip(&standings) {
                let expected = if *is_ticked { *has_tick } else { *state == StepState::Ok };
                prop_assert_eq!(standing.is_in_order(), expected);
            }
        }

        /// Checks do not depend on each other: however they end, each is done, unless somebody stops them.
        #[test]
        fn one_check_that_ends_badly_keeps_none_of_the_others_from_being_done(
            ends in prop::collection::vec(0..4_usize, 1..8),
        ) {
            use crate::core::run::Event as E;
            let new = Progress { is_checklist: true, ..Progress::new(vec![false; ends.len()]) };
            let mut run = new.after(E::GatesPassed).unwrap().after(E::Claimed).unwrap();
            for end in &ends {
                prop_assert_eq!(run.state, State::Running);
                if *end == 3 {
                    run = run.after(E::CannotStart).unwrap();
                    continue;
                }
                run = run.after(E::Starting).unwrap().after(E::Started).unwrap();
                run = run.after([E::StepOk, E::StepFailed, E::StepTimedOut][*end]).unwrap();
            }

            prop_assert!(run.state.is_final());
            prop_assert!(!run.steps.contains(&StepState::Skipped));
            prop_assert_eq!(run.state == State::Succeeded, ends.iter().all(|end| *end == 0));
        }
    }
}
