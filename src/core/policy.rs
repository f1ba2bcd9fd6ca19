//! Who may do what. [`authorize`] and [`about_oneself`] are the only makers of [`Authorized`], and
//! whoever acts for a person takes one.
//!
//! What Slack said counts for a while: a minute, or as long as the role's `max_age` says when Slack
//! cannot be asked. What is older, or was never said, lets nobody in.

use super::action::{Member, Role};
use super::duration;
use super::id::UserId;
use super::text::Text;
use std::collections::BTreeMap;

/// How long an answer of Slack counts where the role states no `max_age`.
pub const FRESH_MS: u64 = 60_000;

/// A person as a verified request names them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor {
    /// The Slack user.
    pub user: UserId,
    /// The Slack team the request came from.
    pub team: String,
}

/// What an account is to the configured team.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// A full, active, human member.
    Full,
    /// A guest, of several channels or of one.
    Guest,
    /// Its account was deactivated.
    Deactivated,
    /// A program.
    Bot,
    /// From another team, or unknown to Slack.
    OtherTeam,
}

impl Standing {
    /// The word in the journal, in metrics and in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Guest => "guest",
            Self::Deactivated => "deactivated",
            Self::Bot => "bot",
            Self::OtherTeam => "other_team",
        }
    }

    /// Reads the word; `None` when it is none of them.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Full, Self::Guest, Self::Deactivated, Self::Bot, Self::OtherTeam]
            .into_iter()
            .find(|standing| standing.as_str() == word)
    }
}

/// What is known of one thing about a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Known<T> {
    /// Slack said so.
    Told {
        /// What.
        value: T,
        /// How long ago.
        age_ms: u64,
    },
    /// Slack cannot be asked, and nothing is known from before.
    #[default]
    Nothing,
    /// Slack answers, but refuses to say.
    Refused,
}

impl<T: Copy> Known<T> {
    /// Just said.
    pub fn fresh(value: T) -> Self {
        Self::Told { value, age_ms: 0 }
    }

    /// What may be believed by somebody who believes answers for so long.
    pub fn within(&self, max_age_ms: u64) -> Option<T> {
        match self {
            Self::Told { value, age_ms } if *age_ms < max_age_ms => Some(*value),
            _ => None,
        }
    }

    /// How long ago Slack said so; `None`: it did not.
    pub fn age_ms(&self) -> Option<u64> {
        match self {
            Self::Told { age_ms, .. } => Some(*age_ms),
            Self::Nothing | Self::Refused => None,
        }
    }

    fn untold(&self, max_age_ms: Option<u64>) -> Untold {
        match *self {
            Self::Told { age_ms, .. } => Untold::TooOld { age_ms, max_age_ms },
            Self::Nothing => Untold::Nothing,
            Self::Refused => Untold::Refused,
        }
    }
}

/// What Slack said about a person, now or before.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    /// What their account is.
    pub person: Known<Standing>,
    /// Of the groups that a role names: whether the person is in.
    pub groups: BTreeMap<String, Known<bool>>,
}

impl Facts {
    /// The age of the oldest answer, when one is not of the last minute: Slack cannot be asked.
    pub fn stale_ms(&self) -> Option<u64> {
        let groups = self.groups.values().filter_map(Known::age_ms);
        groups.chain(self.person.age_ms()).max().filter(|age_ms| *age_ms >= FRESH_MS)
    }
}

/// Proof that a person holds a role, or several of those that would do.
///
/// Nobody else makes one, not by its fields:
///
/// ```compile_fail,E0451
/// use neostock_ops::core::{id::UserId, policy::Authorized};
/// let (user, roles) = (UserId::new("U0EVE"), vec!["lead".to_owned()]);
/// let forged = Authorized { user, roles, on_behalf: None };
/// ```
///
/// nor out of nothing, nor from text:
///
/// ```compile_fail,E0277
/// fn made<T: Default>() {}
/// made::<neostock_ops::core::policy::Authorized>();
/// ```
///
/// ```compile_fail,E0277
/// let forged: neostock_ops::core::policy::Authorized = serde_json::from_str("{}").unwrap();
/// ```
///
/// Every deed of the engine that a person asks for takes one:
///
/// ```no_run
/// # fn any<T>() -> T { unreachable!() }
/// # async fn deeds(engine: neostock_ops::engine::Engine, by: &neostock_ops::core::policy::Authorized) {
/// let _ = engine.request_run(any(), by, any()).await;
/// let _ = engine.decide(any(), by, any(), any()).await;
/// let _ = engine.settle(any(), by, any(), any(), any()).await;
/// let _ = engine.hand_on(any(), by, any(), any(), any()).await;
/// let _ = engine.review(any(), by, any(), any()).await;
/// let _ = engine.checklist(any(), by, any(), any()).await;
/// let _ = engine.delegate(any(), by, any(), any()).await;
/// let _ = engine.change_oncall(any(), by, any(), any()).await;
/// let _ = engine.take_over(any(), by, any(), any(), any()).await;
/// let _ = engine.post_report(any(), by, any()).await;
/// # }
/// ```
///
/// and none is done by somebody's name alone:
///
/// ```compile_fail,E0308
/// # fn any<T>() -> T { unreachable!() }
/// # async fn deed(engine: neostock_ops::engine::Engine, user: &neostock_ops::core::id::UserId) {
/// let _ = engine.request_run(any(), user, any()).await;
/// # }
/// ```
/// ```compile_fail,E0308
/// # fn any<T>() -> T { unreachable!() }
/// # async fn deed(engine: neostock_ops::engine::Engine, user: &neostock_ops::core::id::UserId) {
/// let _ = engine.decide(any(), user, any(), any()).await;
/// # }
/// ```
/// ```compile_fail,E0308
/// # fn any<T>() -> T { unreachable!() }
/// # async fn deed(engine: neostock_ops::engine::Engine, user: &neostock_ops::core::id::UserId) {
/// let _ = engine.settle(any(), user, any(), any(), any()).await;
/// # }
/// ```
/// ```compile_fail,E0308
/// # fn any<T>() -> T { unreachable!() }
/// # async fn deed(engine: neostock_ops::engine::Engine, user: &neostock_ops::core::id::UserId) {
/// let _ = engine.hand_on(any(), user, any(), any(), any()).await;
/// # }
/// ```
/// ```compile_fail,E0308
/// # fn any<T>() -> T { unreachable!() }
/// # async fn deed(engine: neostock_ops::engine::Engine, user: &neostock_ops::core::id::UserId) {
/// let _ = engine.review(any(), user, any(), any()).await;
/// # }
/// ```
/// ```compile_fail,E0308
/// # fn any<T>() -> T { unreachable!() }
/// # async fn deed(engine: neostock_ops::engine::Engine, user: &neostock_ops::core::id::UserId) {
/// let _ = engine.checklist(any(), user, any(), any()).await;
/// # }
/// ```
/// ```compile_fail,E0308
/// # fn any<T>() -> T { unreachable!() }
/// # async fn deed(engine: neostock_ops::engine::Engine, user: &neostock_ops::core::id::UserId) {
/// let _ = engine.delegate(any(), user, any(), any()).await;
/// # }
/// ```
/// ```compile_fail,E0308
/// # fn any<T>() -> T { unreachable!() }
/// # async fn deed(engine: neostock_ops::engine::Engine, user: &neostock_ops::core::id::UserId) {
/// let _ = engine.change_oncall(any(), user, any(), any()).await;
/// # }
/// ```
/// ```compile_fail,E0308
/// # fn any<T>() -> T { unreachable!() }
/// # async fn deed(engine: neostock_ops::engine::Engine, user: &neostock_ops::core::id::UserId) {
/// let _ = engine.take_over(any(), user, any(), any(), any()).await;
/// # }
/// ```
/// ```compile_fail,E0308
/// # fn any<T>() -> T { unreachable!() }
/// # async fn deed(engine: neostock_ops::engine::Engine, user: &neostock_ops::core::id::UserId) {
/// let _ = engine.post_report(any(), user, any()).await;
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authorized {
    user: UserId,
    /// At least one.
    roles: Vec<String>,
    /// In whose place; `None`: in their own.
    on_behalf: Option<UserId>,
}

impl Authorized {
    /// Whose proof it is.
    pub fn user(&self) -> &UserId {
        &self.user
    }

    /// The role that was held; the first of several.
    pub fn role(&self) -> &str {
        self.roles.first().map_or("", String::as_str)
    }

    /// In whose place they act, who holds the role; `None`: in their own.
    pub fn on_behalf(&self) -> Option<&UserId> {
        self.on_behalf.as_ref()
    }

    /// Every role that was asked for and held.
    pub fn roles(&self) -> &[String] {
        &self.roles
    }
}

/// Why a person may not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Denied {
    /// Slack answered, and no line of the role names them.
    NotAMember {
        /// The role that is needed.
        role: String,
        /// Whom to ask: the role's users and groups.
        members: Vec<Member>,
    },
    /// They are no active full member of the team; then it does not matter who names them.
    NoFullMember {
        /// The role that is needed.
        role: String,
        /// What they are.
        standing: Standing,
    },
    /// Slack could not be asked, and what is known from before does not count.
    CannotTell {
        /// The role that is needed.
        role: String,
        /// What is known.
        why: Untold,
        /// Whom the role names by their id: they need no list of a group.
        named: Vec<Member>,
    },
}

/// Why something cannot be told of a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Untold {
    /// Nothing is known from before.
    Nothing,
    /// Slack answers, but refuses to say.
    Refused,
    /// What is known is too old.
    TooOld {
        /// How old.
        age_ms: u64,
        /// How long the role believes it; `None`: it does not say.
        max_age_ms: Option<u64>,
    },
}

/// What each line of a role says of a person; `None`: that could not be asked, and is not known well
/// enough for this role.
pub fn lines<'r>(actor: &Actor, role: &'r Role, facts: &Facts) -> Vec<(&'r Member, Option<bool>)> {
    let believed_ms = believed_ms(role);
    let answer = |member: &Member| match member {
        Member::Everyone => {
            facts.person.within(believed_ms).map(|standing| standing == Standing::Full)
        }
        Member::User(user) => Some(user == actor.user.as_str()),
        Member::Group(group) => facts.groups.get(group).and_then(|known| known.within(believed_ms)),
    };
    role.members.iter().map(|member| (member, answer(member))).collect()
}

fn believed_ms(role: &Role) -> u64 {
    role.max_age_ms.unwrap_or(FRESH_MS)
}

/// Decides by one role: a line of it names the person, and they are an active full member.
///
/// # Errors
/// [`Denied`]; a fact that could not be had, or is too old for the role, never lets anybody in.
pub fn authorize(actor: &Actor, role: &Role, facts: &Facts) -> Result<Authorized, Denied> {
    let standing = facts.person.within(believed_ms(role));
    if let Some(standing) = standing
        && standing != Standing::Full
    {
        return Err(Denied::NoFullMember { role: role.name.clone(), standing });
    }
    let answers = lines(actor, role, facts);
    let is_named = answers.iter().any(|(_, answer)| *answer == Some(true));
    let cannot_tell = |why| {
        let named = role.members.iter().filter(|member| matches!(member, Member::User(_)));
        let named = if is_named { Vec::new() } else { named.cloned().collect() };
        Err(Denied::CannotTell { role: role.name.clone(), why, named })
    };
    match (is_named, standing) {
        (true, Some(_)) => Ok(proof(actor, role)),
        (true, None) => cannot_tell(facts.person.untold(role.max_age_ms)),
        (false, _) => match answers.iter().find(|(_, answer)| answer.is_none()) {
            Some((Member::Group(group), _)) => {
                let known = facts.groups.get(group).copied().unwrap_or_default();
                cannot_tell(known.untold(role.max_age_ms))
            }
            Some(_) => cannot_tell(facts.person.untold(role.max_age_ms)),
            None => {
                let (role, members) = (role.name.clone(), role.members.clone());
                Err(Denied::NotAMember { role, members })
            }
        },
    }
}

/// About oneself everybody may ask, whatever they are.
pub fn about_oneself(actor: &Actor, role: &Role) -> Authorized {
    proof(actor, role)
}

fn proof(actor: &Actor, role: &Role) -> Authorized {
    Authorized { user: actor.user.clone(), roles: vec![role.name.clone()], on_behalf: None }
}

/// Decides for somebody whom a holder of the role lets decide in their place: they are an active full
/// member, and `holder` proves that the other holds the role now. Nobody passes on what was passed on.
///
/// # Errors
/// [`Denied`].
pub fn authorize_in_place_of(
    actor: &Actor,
    role: &Role,
    facts: &Facts,
    holder: &Authorized,
) -> Result<Authorized, Denied> {
    let (name, members) = (role.name.clone(), role.members.clone());
    if holder.on_behalf.is_some() || !holder.roles.contains(&name) {
        return Err(Denied::NotAMember { role: name, members });
    }
    let members = vec![Member::User(actor.user.to_string())];
    let by = authorize(actor, &Role { members, ..role.clone() }, facts)?;
    Ok(Authorized { on_behalf: Some(holder.user.clone()), ..by })
}

/// What a command asks of who gives it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Needed {
    /// One of these roles; which are held is in the proof.
    pub one_of: Vec<Role>,
    /// And each of these.
    pub also: Vec<Role>,
    /// Whether somebody may act who does so in the place of a holder.
    pub is_delegable: bool,
}

impl Needed {
    /// One role.
    pub fn role(role: Role) -> Self {
        Self { one_of: vec![role], also: Vec::new(), is_delegable: false }
    }

    /// Every role that is named.
    pub fn roles(&self) -> impl Iterator<Item = &Role> {
        self.one_of.iter().chain(&self.also)
    }
}

/// Decides by several roles.
///
/// # Errors
/// [`Denied`]: for the first of the roles that must be held and is not.
pub fn authorize_all(actor: &Actor, needed: &Needed, facts: &Facts) -> Result<Authorized, Denied> {
    let mut held = Vec::new();
    let mut denied: Option<Denied> = None;
    for role in &needed.one_of {
        match authorize(actor, role, facts) {
            Ok(by) => held.extend(by.roles),
            Err(one) => denied = Some(denied.map_or_else(|| one.clone(), |first| first.or(&one))),
        }
    }
    if held.is_empty() {
        return Err(denied.unwrap_or(Denied::NotAMember { role: String::new(), members: vec![] }));
    }
    for role in &needed.also {
        authorize(actor, role, facts)?;
    }
    Ok(Authorized { user: actor.user.clone(), roles: held, on_behalf: None })
}

impl Denied {
    /// The same for two roles of which one would do.
    fn or(self, other: &Self) -> Self {
        match (self, other) {
            (
                Self::NotAMember { role, mut members },
                Self::NotAMember { role: another, members: more },
            ) => {
                for member in more {
                    if !members.contains(member) {
                        members.push(member.clone());
                    }
                }
                Self::NotAMember { role: format!("{role} / {another}"), members }
            }
            (first @ Self::CannotTell { .. }, _) => first,
            (_, other) => other.clone(),
        }
    }

    /// The word in the journal and in metrics.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::NotAMember { .. } => "not_a_member",
            Self::NoFullMember { standing, .. } => standing.as_str(),
            Self::CannotTell { .. } => "cannot_tell",
        }
    }

    /// The role that is needed.
    pub fn role(&self) -> &str {
        match self {
            Self::NotAMember { role, .. }
            | Self::NoFullMember { role, .. }
            | Self::CannotTell { role, .. } => role,
        }
    }

    /// Whom to ask instead.
    pub fn whom_to_ask(&self) -> &[Member] {
        match self {
            Self::NotAMember { members, .. } => members,
            Self::NoFullMember { .. } => &[],
            Self::CannotTell { named, .. } => named,
        }
    }

    /// What the asker reads; whom to ask is added by the caller as mentions.
    pub fn text(&self) -> Text {
        match self {
            Self::NotAMember { role, members } if members.is_empty() => Text::new(
                format!(
                    "没有人有 `{role}` 角色，什么也没有执行。角色在操作手册文件 (runbook) 中定义。"
                ),
                format!(
                    "Nobody holds the role `{role}`; nothing was done. The runbook defines roles."
                ),
            ),
            Self::NotAMember { role, .. } => Text::new(
                format!("您没有 `{role}` 角色，什么也没有执行。可以请有此角色的人来做："),
                format!(
                    "You do not hold the role `{role}`; nothing was done. Ask somebody who does:"
                ),
            ),
            Self::NoFullMember { standing, .. } => no_full_member(*standing),
            Self::CannotTell { role, why, named } => cannot_tell(role, *why, !named.is_empty()),
        }
    }
}

fn no_full_member(standing: Standing) -> Text {
    let (zh, en) = match standing {
        Standing::Guest => ("您是访客", "you are a guest"),
        Standing::Deactivated => ("您的帐号已停用", "your account is deactivated"),
        Standing::Bot => ("您是机器人", "you are a bot"),
        Standing::OtherTeam | Standing::Full => {
            ("您不是本工作区的成员", "you are no member of this workspace")
        }
    };
    Text::new(
        format!("只有本工作区的正式成员可以使用，而{zh}；什么也没有执行。"),
        format!("This is for full members of this workspace, and {en}; nothing was done."),
    )
}

/// Why it cannot be told, how old what is known is, and what to do.
fn cannot_tell(role: &str, why: Untold, has_named: bool) -> Text {
    let question = Text::new(
        format!("现在无法向 Slack 查询您是否有 `{role}` 角色"),
        format!("Slack cannot be asked right now whether you hold the role `{role}`"),
    );
    let known = match why {
        Untold::Refused => {
            return Text::new(
                format!(
                    "Slack 拒绝回答您是否有 `{role}` 角色，所以没有执行。请联系维护机器人的人：原因在它的\
                     日志里。"
                ),
                format!(
                    "Slack refuses to say whether you hold the role `{role}`, so nothing was done. Tell \
                     whoever looks after this bot: the cause is in its log."
                ),
            );
        }
        Untold::Nothing => Text::new("，也没有以前的答复", ", and nothing is known from before"),
        Untold::TooOld { age_ms, max_age_ms } => {
            let age = duration::about(age_ms);
            let believed = duration::about(max_age_ms.unwrap_or(FRESH_MS));
            let (zh, en) = match max_age_ms {
                Some(_) => ("操作手册只采信", "and the runbook believes it for"),
                None => (
                    "而操作手册没有给这个角色写 `max_age`，只采信",
                    "and as the runbook states no `max_age` for this role, it counts for",
                ),
            };
            Text::new(
                format!("，已知的是 {}以前的，{zh} {}之内的", age.zh, believed.zh),
                format!("; what is known is {} old, {en} {}", age.en, believed.en),
            )
        }
    };
    let advice = if has_named {
        Text::new(
            "请一分钟后再试，或请角色直接写明的人来做：",
            "Try again in a minute, or ask somebody whom the role names itself:",
        )
    } else {
        Text::new("请一分钟后再试。", "Try again in a minute.")
    };
    Text::new(
        format!("{}{}，所以没有执行。{}", question.zh, known.zh, advice.zh),
        format!("{}{}, so nothing was done. {}", question.en, known.en, advice.en),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR_MS: u64 = 3_600_000;

    fn actor() -> Actor {
        Actor { user: UserId::new("U1"), team: "T1".into() }
    }

    fn role(members: Vec<Member>) -> Role {
        Role { name: "operator".into(), members, max_age_ms: None, line: 1 }
    }

    fn group() -> Member {
        Member::Group("S1".into())
    }

    fn me() -> Member {
        Member::User("U1".into())
    }

    fn facts(standing: Standing, standing_ms: u64, group: Known<bool>) -> Facts {
        let person = Known::Told { value: standing, age_ms: standing_ms };
        Facts { person, groups: BTreeMap::from([("S1".to_owned(), group)]) }
    }

    fn told(value: bool, age_ms: u64) -> Known<bool> {
        Known::Told { value, age_ms }
    }

    #[test]
    fn one_line_that_names_the_person_suffices() {
        let role = role(vec![group(), me()]);

        let held = authorize(&actor(), &role, &facts(Standing::Full, 0, Known::Nothing)).unwrap();

        assert_eq!((held.user().as_str(), held.role()), ("U1", "operator"));
    }

    #[test]
    fn a_fact_that_cannot_be_had_lets_nobody_in_not_even_whom_the_role_names() {
        for members in [vec![group()], vec![Member::Everyone], vec![me()]] {
            let denied = authorize(&actor(), &role(members), &Facts::default()).unwrap_err();
            let (role, why, named) = ("operator".to_owned(), Untold::Nothing, Vec::new());
            assert_eq!(denied, Denied::CannotTell { role, why, named });
        }
    }

    #[test]
    fn whoever_is_no_active_full_member_is_out_whoever_names_them() {
        let named = role(vec![me(), Member::Everyone, group()]);
        for standing in [Standing::Guest, Standing::Deactivated, Standing::Bot, Standing::OtherTeam]
        {
            let facts = facts(standing, 0, Known::fresh(true));
            let denied = authorize(&actor(), &named, &facts).unwrap_err();
            assert_eq!(denied.as_str(), standing.as_str());
            assert!(denied.text().en.contains("for full members"), "{}", denied.text().en);
            assert!(denied.whom_to_ask().is_empty());
            assert_eq!(Standing::parse(standing.as_str()), Some(standing));
        }
    }

    #[test]
    fn a_role_believes_what_is_younger_than_its_max_age() {
        let mut role = role(vec![group(), Member::User("U2".into())]);
        for (max_age_ms, age_ms, may) in [
            (None, FRESH_MS - 1, true),
            (None, FRESH_MS, false),
            (Some(2 * HOUR_MS), 2 * HOUR_MS - 1, true),
            (Some(2 * HOUR_MS), 2 * HOUR_MS, false),
        ] {
            role.max_age_ms = max_age_ms;
            for facts in [
                facts(Standing::Full, 0, told(true, age_ms)),
                facts(Standing::Full, age_ms, told(true, 0)),
            ] {
                let answer = authorize(&actor(), &role, &facts);
                assert_eq!(answer.is_ok(), may, "{max_age_ms:?} {age_ms} {answer:?}");
                let untold = Untold::TooOld { age_ms, max_age_ms };
                if let Err(Denied::CannotTell { why, .. }) = answer {
                    assert_eq!(why, untold);
                }
            }
        }
    }

    #[test]
    fn what_is_known_and_too_old_is_said_with_what_to_do() {
        let mut role = role(vec![group(), Member::User("U2".into())]);
        role.max_age_ms = Some(2 * HOUR_MS);
        let old = facts(Standing::Full, 0, told(true, 3 * HOUR_MS));
        let denied = authorize(&actor(), &role, &old).unwrap_err();

        let text = denied.text();
        assert_eq!(
            text.en,
            "Slack cannot be asked right now whether you hold the role `operator`; what is known is 3 h \
             old, and the runbook believes it for 2 h, so nothing was done. Try again in a minute, or \
             ask somebody whom the role names itself:"
        );
        assert_eq!(
            text.zh,
            "现在无法向 Slack 查询您是否有 `operator` 角色，已知的是 3 小时以前的，操作手册只采信 2 小时之内\
             的，所以没有执行。请一分钟后再试，或请角色直接写明的人来做："
        );
        assert_eq!(denied.whom_to_ask(), [Member::User("U2".into())]);
        role.max_age_ms = None;
        let text = authorize(&actor(), &role, &old).unwrap_err().text();
        assert!(
            text.en.contains("states no `max_age` for this role, it counts for 1 min"),
            "{}",
            text.en
        );
    }

    #[test]
    fn what_slack_refuses_to_say_is_not_taken_from_before() {
        let mut role = role(vec![group()]);
        role.max_age_ms = Some(HOUR_MS);
        let denied =
            authorize(&actor(), &role, &facts(Standing::Full, 0, Known::Refused)).unwrap_err();
        assert_eq!(denied.as_str(), "cannot_tell");
        assert!(denied.text().en.contains("refuses to say"), "{}", denied.text().en);
    }

    #[test]
    fn whom_no_line_can_name_is_no_member_whatever_else_is_unknown() {
        let others = role(vec![Member::User("U2".into())]);
        let denied = authorize(&actor(), &others, &Facts::default()).unwrap_err();
        assert_eq!(denied.as_str(), "not_a_member");
        let emptied = facts(Standing::Full, 0, Known::fresh(false));
        let denied = authorize(&actor(), &role(vec![group()]), &emptied).unwrap_err();
        assert_eq!(denied.as_str(), "not_a_member");
    }

    #[test]
    fn a_role_without_members_denies() {
        let denied = authorize(&actor(), &role(vec![]), &Facts::default()).unwrap_err();
        assert_eq!(denied.as_str(), "not_a_member");
        assert!(denied.text().en.contains("Nobody holds"), "{}", denied.text().en);
    }

    #[test]
    fn knowledge_is_stale_when_its_oldest_part_is_not_of_the_last_minute() {
        assert_eq!(facts(Standing::Full, 0, told(true, FRESH_MS - 1)).stale_ms(), None);
        assert_eq!(facts(Standing::Full, FRESH_MS, told(true, 5)).stale_ms(), Some(FRESH_MS));
        assert_eq!(Facts::default().stale_ms(), None);
    }
}
