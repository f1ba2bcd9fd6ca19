//! Who may do what. [`authorize`] is the only maker of [`Authorized`], and whoever acts for a person
//! takes one.

use super::action::{Member, Role};
use super::id::UserId;
use super::text::Text;
use std::collections::BTreeMap;

/// A person as a verified request names them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor {
    /// The Slack user.
    pub user: UserId,
    /// The Slack team the request came from.
    pub team: String,
}

/// What Slack said about a person; a fact that could not be had is `None` and counts as no.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    /// A full, active, human member of the configured team.
    pub full_member: Option<bool>,
    /// Of the groups that a role names: whether the person is in.
    pub groups: BTreeMap<String, Option<bool>>,
}

/// Proof that a person holds a role, or several of those that would do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authorized {
    user: UserId,
    /// At least one.
    roles: Vec<String>,
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
    /// Slack could not be asked about the lines that might name them.
    CannotTell {
        /// The role that is needed.
        role: String,
    },
}

/// What each line of a role says of a person; `None`: that could not be asked.
pub fn lines<'r>(actor: &Actor, role: &'r Role, facts: &Facts) -> Vec<(&'r Member, Option<bool>)> {
    let answer = |member: &Member| match member {
        Member::Everyone => facts.full_member,
        Member::User(user) => Some(user == actor.user.as_str()),
        Member::Group(group) => facts.groups.get(group).copied().flatten(),
    };
    role.members.iter().map(|member| (member, answer(member))).collect()
}

/// Decides by one role.
///
/// # Errors
/// [`Denied`]; a fact that could not be had never lets anybody in.
pub fn authorize(actor: &Actor, role: &Role, facts: &Facts) -> Result<Authorized, Denied> {
    let answers: Vec<Option<bool>> =
        lines(actor, role, facts).into_iter().map(|(_, answer)| answer).collect();
    if answers.contains(&Some(true)) {
        return Ok(Authorized { user: actor.user.clone(), roles: vec![role.name.clone()] });
    }
    if answers.contains(&None) {
        return Err(Denied::CannotTell { role: role.name.clone() });
    }
    Err(Denied::NotAMember { role: role.name.clone(), members: role.members.clone() })
}

/// What a command asks of who gives it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Needed {
    /// One of these roles; which are held is in the proof.
    pub one_of: Vec<Role>,
    /// And each of these.
    pub also: Vec<Role>,
}

impl Needed {
    /// One role.
    pub fn role(role: Role) -> Self {
        Self { one_of: vec![role], also: Vec::new() }
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
    Ok(Authorized { user: actor.user.clone(), roles: held })
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
            Self::CannotTell { .. } => "cannot_tell",
        }
    }

    /// The role that is needed.
    pub fn role(&self) -> &str {
        match self {
            Self::NotAMember { role, .. } | Self::CannotTell { role } => role,
        }
    }

    /// What the asker reads; whom to ask is added by the caller as mentions.
    pub fn text(&self) -> Text {
        match self {
            Self::NotAMember { members, .. } if members.contains(&Member::Everyone) => Text::new(
                "只有本工作区的正式成员可以使用，访客和已停用的帐号不行；什么也没有执行。",
                "This is for full members of this workspace, not for guests or deactivated accounts; \
                 nothing was done.",
            ),
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
            Self::CannotTell { role } => Text::new(
                format!(
                    "现在无法向 Slack 查询您是否有 `{role}` 角色，所以没有执行。请一分钟后再试。"
                ),
                format!(
                    "Slack cannot be asked right now whether you hold the role `{role}`, so nothing was \
                     done. Try again in a minute."
                ),
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn actor() -> Actor {
        Actor { user: UserId::new("U1"), team: "T1".into() }
    }

    fn role(members: Vec<Member>) -> Role {
        Role { name: "operator".into(), members, line: 1 }
    }

    #[test]
    fn one_line_that_names_the_person_suffices() {
        let role = role(vec![Member::Group("S1".into()), Member::User("U1".into())]);

        let held = authorize(&actor(), &role, &Facts::default()).unwrap();

        assert_eq!((held.user().as_str(), held.role()), ("U1", "operator"));
    }

    #[test]
    fn a_fact_that_cannot_be_had_lets_nobody_in() {
        let group = role(vec![Member::Group("S1".into())]);
        let everyone = role(vec![Member::Everyone]);

        for role in [group, everyone] {
            let denied = authorize(&actor(), &role, &Facts::default()).unwrap_err();
            assert_eq!(denied, Denied::CannotTell { role: "operator".into() });
        }
    }

    #[test]
    fn a_role_without_members_denies() {
        let denied = authorize(&actor(), &role(vec![]), &Facts::default()).unwrap_err();
        assert_eq!(denied.as_str(), "not_a_member");
        assert!(denied.text().en.contains("Nobody holds"), "{}", denied.text().en);
    }

    #[test]
    fn a_guest_is_not_everyone() {
        let facts = Facts { full_member: Some(false), ..Facts::default() };
        let denied = authorize(&actor(), &role(vec![Member::Everyone]), &facts).unwrap_err();
        assert_eq!(denied.as_str(), "not_a_member");
    }
}
