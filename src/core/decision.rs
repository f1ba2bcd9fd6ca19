//! What people decide about a run, and whether it counts: approvals, rejections, cancellations.
//!
//! A decision binds to the plan that was shown. Everything that could have changed since then is
//! asked again at the moment of the press: the state, the plan, the time, who the person is to it. (The
//! role is `policy`'s.)

use super::id::UserId;
use super::plan::{Plan, PlannedApproval};
use super::quorum;
use super::run::State;
use super::text::Text;
use crate::core::run_card::clock_time;

/// What a person says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It may be done.
    Approved,
    /// It may not be done.
    Rejected,
    /// It is to stop.
    Cancelled,
}

impl Verdict {
    /// The word in the store.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Approved => "approved",
            Self::Rejected => "rejected",
            Self::Cancelled => "cancelled",
        }
    }

    /// Reads the store's word.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Approved, Self::Rejected, Self::Cancelled]
            .into_iter()
            .find(|verdict| verdict.as_str() == word)
    }
}

/// A decision that counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// Whose.
    pub user: UserId,
    /// What they said.
    pub verdict: Verdict,
    /// The roles by which they could.
    pub roles: Vec<String>,
    /// In whose place; `None`: in their own.
    pub on_behalf: Option<UserId>,
    /// Why; may be empty.
    pub reason: String,
    /// When.
    pub at_ms: i64,
}

impl Decision {
    /// Who holds the role by which it counts.
    fn authority(&self) -> &UserId {
        self.on_behalf.as_ref().unwrap_or(&self.user)
    }
}

/// Somebody decides.
#[derive(Debug, Clone)]
pub struct Vote<'v> {
    /// Who.
    pub by: &'v UserId,
    /// By which roles.
    pub roles: &'v [String],
    /// In whose place; `None`: in their own.
    pub on_behalf: Option<&'v UserId>,
    /// What.
    pub verdict: Verdict,
    /// The digest of the plan that the person was shown; `None`: typed, and means the run's own.
    pub digest: Option<&'v str>,
    /// Now.
    pub now_ms: i64,
}

/// A run, as far as deciding about it goes.
#[derive(Debug, Clone)]
pub struct Standing<'s> {
    /// Its plan.
    pub plan: &'s Plan,
    /// Where it stands.
    pub state: State,
    /// Who asked.
    pub asker: &'s UserId,
    /// What was decided so far.
    pub decisions: &'s [Decision],
    /// When it stops waiting; 0: never.
    pub expires_ms: i64,
}

/// What a vote that counts comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ruling {
    /// Counted; more are needed.
    Counted {
        /// Approvals with this one.
        have: u32,
        /// Approvals needed.
        need: u32,
    },
    /// The gate is open.
    Enough,
    /// The run ends before it began.
    Ends,
    /// What runs is to be stopped.
    Stops,
}

/// Why a vote does not count; nothing was changed by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// The person was shown another plan than the run's.
    OtherPlan,
    /// This action needs nobody's approval.
    NothingToApprove,
    /// The run does not wait for this any more.
    TooLate(State),
    /// Its time is over; nobody has noted it yet.
    Expired,
    /// The asker's own approval does not count.
    Own,
    /// This person has said so before.
    Already,
    /// Whoever holds the role has approved it, themselves or through another: that is one person.
    SameAuthority,
    /// A step's outcome is unknown: it is settled, not cancelled.
    NeedsSettling,
}

/// Whether a vote counts, and what it comes to.
///
/// # Errors
/// [`Refused`].
pub fn rule(run: &Standing<'_>, vote: &Vote<'_>) -> Result<Ruling, Refused> {
    if vote.digest.is_some_and(|shown| shown != run.plan.digest()) {
        return Err(Refused::OtherPlan);
    }
    let has_said = run
        .decisions
        .iter()
        .any(|decision| decision.user == *vote.by && decision.verdict == vote.verdict);
    if vote.verdict == Verdict::Cancelled {
        return cancel(run, has_said);
    }
    let approval = run.plan.approval.as_ref().ok_or(Refused::NothingToApprove)?;
    if has_said {
        return Err(Refused::Already);
    }
    if run.state != State::Waiting {
        return Err(Refused::TooLate(run.state));
    }
    if run.expires_ms > 0 && vote.now_ms >= run.expires_ms {
        return Err(Refused::Expired);
    }
    if vote.verdict == Verdict::Rejected {
        return Ok(Ruling::Ends);
    }
    // Nor does it help to choose who decides in one's place.
    let authority = vote.on_behalf.unwrap_or(vote.by);
    if (vote.by == run.asker || authority == run.asker) && !approval.allows_self {
        return Err(Refused::Own);
    }
    if approving(run.decisions).any(|one| one.authority() == authority) {
        return Err(Refused::SameAuthority);
    }
    let mut held: Vec<Vec<String>> =
        approving(run.decisions).map(|one| one.roles.clone()).collect();
    held.push(vote.roles.to_vec());
    let have = quorum::reached(&approval.from, &held);
    let need = approval.count;
    Ok(if have >= need { Ruling::Enough } else { Ruling::Counted { have, need } })
}

fn cancel(run: &Standing<'_>, has_said: bool) -> Result<Ruling, Refused> {
    match run.state {
        State::Waiting | State::Queued => Ok(Ruling::Ends),
        State::NeedsAttention => Err(Refused::NeedsSettling),
        State::Running if has_said || is_cancel_asked(run.decisions) => Err(Refused::Already),
        State::Running => Ok(Ruling::Stops),
        ended => Err(Refused::TooLate(ended)),
    }
}

/// Whether a person holds a role, as far as that could be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holds {
    /// They do.
    Yes,
    /// They do not.
    No,
    /// Slack could not be asked.
    Unknown,
}

/// How the gate of a run stands when its turn has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AtItsTurn {
    /// It holds.
    Stands,
    /// Who asked may not ask for it any more.
    AskerLost,
    /// The approvals of these people hold no more.
    Void(Vec<UserId>),
    /// It cannot be told: the run waits.
    Unknown,
}

/// Asks once more who stands behind a run: its asker, and those who approved it. What is known to be lost
/// counts, whatever else could not be asked.
pub fn at_its_turn(asker: Holds, approvers: &[(UserId, Holds)]) -> AtItsTurn {
    if asker == Holds::No {
        return AtItsTurn::AskerLost;
    }
    let lost = approvers.iter().filter(|(_, holds)| *holds == Holds::No);
    let lost: Vec<UserId> = lost.map(|(user, _)| user.clone()).collect();
    if !lost.is_empty() {
        return AtItsTurn::Void(lost);
    }
    let is_known = |holds: &Holds| *holds == Holds::Yes;
    if is_known(&asker) && approvers.iter().all(|(_, holds)| is_known(holds)) {
        AtItsTurn::Stands
    } else {
        AtItsTurn::Unknown
    }
}

/// How far the approvals so far have come, of as many as are needed.
pub fn approvals(decisions: &[Decision], approval: &PlannedApproval) -> u32 {
    let held: Vec<Vec<String>> = approving(decisions).map(|one| one.roles.clone()).collect();
    quorum::reached(&approval.from, &held)
}

fn approving(decisions: &[Decision]) -> impl Iterator<Item = &Decision> {
    decisions.iter().filter(|decision| decision.verdict == Verdict::Approved)
}

/// Whether somebody wants it stopped.
pub fn is_cancel_asked(decisions: &[Decision]) -> bool {
    decisions.iter().any(|decision| decision.verdict == Verdict::Cancelled)
}

impl Refused {
    /// The word in the journal and in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::OtherPlan => "other_plan",
            Self::NothingToApprove => "nothing_to_approve",
            Self::TooLate(_) => "too_late",
            Self::Expired => "expired",
            Self::Own => "own_request",
            Self::Already => "already",
            Self::SameAuthority => "same_authority",
            Self::NeedsSettling => "needs_settling",
        }
    }

    /// What the presser reads, and what to do instead.
    pub fn text(self, verdict: Verdict, expires_ms: i64) -> Text {
        match self {
            Self::OtherPlan => Text::new(
                "您看到的不是这次执行的计划，所以没有算数。请用 `/neostock show` 查看现在的计划。",
                "What you were shown is not this run's plan, so it did not count. See the plan as it \
                 is with `/neostock show`.",
            ),
            Self::NothingToApprove => Text::new(
                "这个操作不需要审批，什么也没有改变。",
                "This action needs nobody's approval; nothing was changed.",
            ),
            Self::TooLate(state) => {
                let state = state.text();
                Text::new(
                    format!("来不及了：它现在是「{}」，什么也没有改变。", state.zh),
                    format!("Too late: it is “{}” now; nothing was changed.", state.en),
                )
            }
            Self::Expired => {
                let time = clock_time(expires_ms);
                Text::new(
                    format!("来不及了：审批在 {time} 到期，没有执行。需要的话请重新发起。"),
                    format!(
                        "Too late: the request expired at {time} and nothing was done. Ask for it \
                         again if it is still wanted."
                    ),
                )
            }
            Self::Own => Text::new(
                "不能批准自己发起的操作，需要另一个人来批准。",
                "You asked for this yourself: somebody else has to approve it.",
            ),
            Self::Already => match verdict {
                Verdict::Approved => Text::new(
                    "您已经批准过了，只算一次。",
                    "You have approved it already; that counts once.",
                ),
                Verdict::Rejected => Text::new("您已经拒绝过了。", "You have rejected it already."),
                Verdict::Cancelled => Text::new(
                    "已经在取消了，进展见卡片。",
                    "It is being cancelled already; its card shows how far that is.",
                ),
            },
            Self::SameAuthority => Text::new(
                "这一票已经算过：委托人和代理人只算一个人。",
                "That approval has been counted: somebody and whoever decides in their place are one \
                 person.",
            ),
            Self::NeedsSettling => Text::new(
                "有一个步骤的结果未知，不能直接取消：请先确认它做到了哪里，再按卡片上的 \
                 `/neostock settle` 选择。",
                "A step's outcome is unknown, so it cannot simply be cancelled: find out how far it \
                 got, then choose with `/neostock settle` as its card says.",
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::plan::tests::sample;
    use proptest::prelude::*;

    const EXPIRES_MS: i64 = 900_000;

    fn plan(count: u32, allows_self: bool) -> Plan {
        let approval = PlannedApproval {
            from: vec!["lead".into()],
            call: vec!["S0LEADS".into()],
            count,
            allows_self,
            expires_ms: 900_000,
            reuse_ms: None,
        };
        Plan { approval: Some(approval), ..sample() }
    }

    fn decision(user: &str, verdict: Verdict) -> Decision {
        Decision {
            user: UserId::new(user),
            verdict,
            roles: vec!["lead".into()],
            on_behalf: None,
            reason: String::new(),
            at_ms: 1,
        }
    }

    fn ask(
        plan: &Plan,
        state: State,
        decisions: &[Decision],
        (by, verdict, digest, now_ms): (&str, Verdict, Option<&str>, i64),
    ) -> Result<Ruling, Refused> {
        let asker = UserId::new("U0ANN");
        let by = UserId::new(by);
        let run = Standing { plan, state, asker: &asker, decisions, expires_ms: EXPIRES_MS };
        let roles = ["lead".to_owned()];
        rule(&run, &Vote { by: &by, roles: &roles, on_behalf: None, verdict, digest, now_ms })
    }

    #[test]
    fn one_approval_of_somebody_else_opens_the_gate() {
        let plan = plan(1, false);
        let yes = |by| (by, Verdict::Approved, None, 1);

        assert_eq!(ask(&plan, State::Waiting, &[], yes("U0BOB")), Ok(Ruling::Enough));
        assert_eq!(ask(&plan, State::Waiting, &[], yes("U0ANN")), Err(Refused::Own));
    }

    #[test]
    fn two_approvals_are_two_people() {
        let plan = plan(2, true);
        let yes = |by| (by, Verdict::Approved, None, 1);
        let bob = [decision("U0BOB", Verdict::Approved)];

        assert_eq!(
            ask(&plan, State::Waiting, &[], yes("U0BOB")),
            Ok(Ruling::Counted { have: 1, need: 2 })
        );
        assert_eq!(ask(&plan, State::Waiting, &bob, yes("U0BOB")), Err(Refused::Already));
        assert_eq!(ask(&plan, State::Waiting, &bob, yes("U0ANN")), Ok(Ruling::Enough));
    }

    #[test]
    fn a_press_on_another_plan_or_after_its_time_does_not_count() {
        let plan = plan(1, false);
        let digest = plan.digest();
        let yes = |digest, now_ms| ("U0BOB", Verdict::Approved, digest, now_ms);

        assert_eq!(ask(&plan, State::Waiting, &[], yes(Some("0"), 1)), Err(Refused::OtherPlan));
        assert_eq!(
            ask(&plan, State::Waiting, &[], yes(Some(&digest), EXPIRES_MS - 1)),
            Ok(Ruling::Enough)
        );
        assert_eq!(
            ask(&plan, State::Waiting, &[], yes(Some(&digest), EXPIRES_MS)),
            Err(Refused::Expired)
        );
        assert_eq!(
            ask(&plan, State::Running, &[], yes(Some(&digest), 1)),
            Err(Refused::TooLate(State::Running))
        );
    }

    #[test]
    fn who_asked_may_reject_and_cancel_but_not_approve() {
        let plan = plan(1, false);
        let say = |verdict| ("U0ANN", verdict, None, 1);

        assert_eq!(ask(&plan, State::Waiting, &[], say(Verdict::Rejected)), Ok(Ruling::Ends));
        assert_eq!(ask(&plan, State::Queued, &[], say(Verdict::Cancelled)), Ok(Ruling::Ends));
        assert_eq!(ask(&plan, State::Running, &[], say(Verdict::Cancelled)), Ok(Ruling::Stops));
        let cancelled = [decision("U0BOB", Verdict::Cancelled)];
        assert_eq!(
            ask(&plan, State::Running, &cancelled, say(Verdict::Cancelled)),
            Err(Refused::Already)
        );
    }

    #[test]
    fn somebody_and_whoever_decides_in_their_place_are_one_person() {
        let plan = plan(2, false);
        let (asker, bob, cat, dan) = (
            UserId::new("U0ANN"),
            UserId::new("U0BOB"),
            UserId::new("U0CAT"),
            UserId::new("U0DAN"),
        );
        let roles = ["lead".to_owned()];
        let vote = |by, on_behalf, decisions: &[Decision]| {
            let state = State::Waiting;
            let run = Standing { plan: &plan, state, asker: &asker, decisions, expires_ms: 0 };
            let verdict = Verdict::Approved;
            rule(&run, &Vote { by, roles: &roles, on_behalf, verdict, digest: None, now_ms: 1 })
        };
        let for_bob =
            Decision { on_behalf: Some(bob.clone()), ..decision("U0CAT", Verdict::Approved) };

        assert_eq!(vote(&cat, Some(&bob), &[]), Ok(Ruling::Counted { have: 1, need: 2 }));
        assert_eq!(vote(&bob, None, std::slice::from_ref(&for_bob)), Err(Refused::SameAuthority));
        assert_eq!(
            vote(&dan, Some(&bob), std::slice::from_ref(&for_bob)),
            Err(Refused::SameAuthority)
        );
        let own = decision("U0BOB", Verdict::Approved);
        assert_eq!(vote(&cat, Some(&bob), &[own]), Err(Refused::SameAuthority));
        assert_eq!(vote(&dan, None, &[for_bob]), Ok(Ruling::Enough));
        // The asker chose who decides in their place.
        assert_eq!(vote(&cat, Some(&asker), &[]), Err(Refused::Own));
        assert_eq!(vote(&asker, Some(&bob), &[]), Err(Refused::Own));
    }

    #[test]
    fn a_gate_stands_at_its_turn_only_when_everybody_is_known_to_hold() {
        use Holds::{No, Unknown, Yes};
        let bob = || UserId::new("U0BOB");
        let cat = || UserId::new("U0CAT");
        let void = |who: UserId| AtItsTurn::Void(vec![who]);

        assert_eq!(at_its_turn(Yes, &[]), AtItsTurn::Stands);
        assert_eq!(at_its_turn(Yes, &[(bob(), Yes), (cat(), Yes)]), AtItsTurn::Stands);
        assert_eq!(at_its_turn(Unknown, &[(bob(), Yes)]), AtItsTurn::Unknown);
        assert_eq!(at_its_turn(Yes, &[(bob(), Yes), (cat(), Unknown)]), AtItsTurn::Unknown);
        assert_eq!(at_its_turn(Yes, &[(bob(), Unknown), (cat(), No)]), void(cat()));
        assert_eq!(at_its_turn(No, &[(bob(), No)]), AtItsTurn::AskerLost);
    }

    fn any_verdict() -> impl Strategy<Value = Verdict> {
        prop_oneof![Just(Verdict::Approved), Just(Verdict::Rejected), Just(Verdict::Cancelled)]
    }

    proptest! {
        /// Whatever is pressed in whatever order, the gate opens only for `count` different people, and
        /// never through the asker unless the runbook says so.
        #[test]
        fn the_gate_opens_only_for_enough_different_people(
            count in 1..4_u32,
            allows_self: bool,
            presses in prop::collection::vec((0..5_usize, any_verdict(), 0..1_000_000_i64), 0..30),
        ) {
            let plan = plan(count, allows_self);
            let people = ["U0ANN", "U0BOB", "U0CAT", "U0DAN", "U0EVE"];
            let mut decisions: Vec<Decision> = Vec::new();
            for (person, verdict, now_ms) in presses {
                let by = people[person];
                match ask(&plan, State::Waiting, &decisions, (by, verdict, None, now_ms)) {
                    Ok(Ruling::Enough) => {
                        decisions.push(decision(by, Verdict::Approved));
                        let mut who: Vec<&str> = decisions.iter().map(|one| one.user.as_str()).collect();
                        who.sort_unstable();
                        who.dedup();
                        prop_assert_eq!(who.len(), count as usize);
                        prop_assert!(allows_self || !who.contains(&"U0ANN"));
                        prop_assert!(now_ms < EXPIRES_MS);
                        return Ok(());
                    }
                    Ok(Ruling::Counted { have, need }) => {
                        prop_assert!(have < need);
                        decisions.push(decision(by, Verdict::Approved));
                    }
                    Ok(Ruling::Ends) => prop_assert!(verdict != Verdict::Approved),
                    Ok(Ruling::Stops) => prop_assert!(false, "nothing runs"),
                    Err(_) => {}
                }
            }
        }
    }
}
