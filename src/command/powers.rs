//! What the asker may: the facts that roles need of a person, asked of Slack all at once.
//!
//! Nothing is asked before a verb wants to know, and the directory bounds every question, so that an
//! answer comes in time even when Slack hangs.

use crate::core::action::{Member, Role};
use crate::core::policy::{Actor, Authorized, Denied, Facts, Needed, authorize, authorize_all};
use crate::slack::client::Person;
use crate::slack::directory::{Directory, Unavailable};
use futures_util::future::{join, join_all};
use std::collections::BTreeSet;
use std::sync::Arc;

/// A person and what Slack knows of them.
#[derive(Debug)]
pub struct Powers<'c> {
    /// Asked about people and groups.
    pub directory: &'c Directory,
    /// Who asks.
    pub actor: Actor,
}

impl Powers<'_> {
    /// Whether the asker holds a role.
    ///
    /// # Errors
    /// [`Denied`], also when Slack cannot be asked.
    pub async fn hold(&self, role: &Role) -> Result<Authorized, Denied> {
        authorize(&self.actor, role, &self.facts([role]).await)
    }

    /// Whether the asker holds what a command needs.
    ///
    /// # Errors
    /// [`Denied`], also when Slack cannot be asked.
    pub async fn meet(&self, needed: &Needed) -> Result<Authorized, Denied> {
        authorize_all(&self.actor, needed, &self.facts(needed.roles()).await)
    }

    /// What the lines of these roles need to know of the asker, and not more.
    pub async fn facts<'r>(&self, roles: impl IntoIterator<Item = &'r Role>) -> Facts {
        let own = Member::User(self.actor.user.to_string());
        let (mut asks_person, mut groups) = (false, BTreeSet::new());
        for member in roles
            .into_iter()
            .filter(|role| !role.members.contains(&own))
            .flat_map(|role| &role.members)
        {
            match member {
                Member::Everyone => asks_person = true,
                Member::Group(group) => _ = groups.insert(group),
                Member::User(_) => {}
            }
        }
        let full_member = async {
            if !asks_person {
                return None;
            }
            self.directory.is_full_member(&self.actor.user).await.ok()
        };
        let groups = join_all(groups.into_iter().map(async |group| {
            (group.clone(), self.directory.is_member(&self.actor.user, group).await.ok())
        }));
        let (full_member, groups) = join(full_member, groups).await;
        Facts { full_member, groups: groups.into_iter().collect() }
    }

    /// The asker as Slack describes them.
    ///
    /// # Errors
    /// [`Unavailable`].
    pub async fn person(&self) -> Result<Option<Arc<Person>>, Unavailable> {
        self.directory.person(&self.actor.user).await
    }
}
