//! What the asker may: the facts that roles need of a person, asked of Slack all at once; while it
//! cannot be asked, what it said before, to this bot or another, and how long ago.
//!
//! Nothing is asked before a verb wants to know, and the directory bounds every question, so that an
//! answer comes in time even when Slack hangs.

use crate::clock::Millis;
use crate::core::action::{Member, Role};
use crate::core::id::UserId;
use crate::core::policy::{
    Actor, Authorized, Denied, FRESH_MS, Facts, Known, Needed, Standing, authorize, authorize_all,
    authorize_in_place_of,
};
use crate::engine::{Engine, Error};
use crate::slack::directory::{Directory, Members, Told, Unavailable};
use futures_util::future::{join, join_all};
use std::collections::BTreeSet;
use std::time::Duration;

/// How long an answer waits for what Slack said to be kept; it may be kept later, or not.
const KEEP_TIME_MAX: Duration = Duration::from_millis(500);
/// How far the clocks of two bots may differ; an answer from further ahead is not believed.
const SKEW_MS: i64 = 5_000;

/// A person and what is known of them.
#[derive(Clone)]
pub struct Powers<'c> {
    /// Keeps what Slack said.
    pub engine: &'c Engine,
    /// Asked about people and groups.
    pub directory: &'c Directory,
    /// Who asks.
    pub actor: Actor,
}

impl Powers<'_> {
    /// Whether the asker holds a role.
    ///
    /// # Errors
    /// [`Denied`], also when Slack cannot be asked and what is known does not count for the role.
    pub async fn hold(&self, role: &Role) -> Result<Authorized, Denied> {
        let facts = self.facts([role]).await;
        self.told(authorize(&self.actor, role, &facts), &facts)
    }

    /// Whether the asker holds what a command needs.
    ///
    /// # Errors
    /// [`Denied`], also when Slack cannot be asked.
    pub async fn meet(&self, needed: &Needed) -> Result<Authorized, Denied> {
        let facts = self.facts(needed.roles()).await;
        let held = self.told(authorize_all(&self.actor, needed, &facts), &facts);
        match held {
            Err(denied) if needed.is_delegable => {
                self.in_place_of_another(needed, &facts).await.ok_or(denied)
            }
            held => held,
        }
    }

    /// What the asker may in the place of somebody who let them.
    async fn in_place_of_another(&self, needed: &Needed, facts: &Facts) -> Option<Authorized> {
        let delegations = self.engine.delegations_to(&self.actor.user).await;
        let delegations = delegations.unwrap_or_else(|error| {
            tracing::warn!("look up what is delegated to {}: {error}", self.actor.user);
            Vec::new()
        });
        for delegation in delegations {
            let role = needed.one_of.iter().find(|role| role.name == delegation.role);
            let Some(role) = role else { continue };
            let team = self.actor.team.clone();
            // Whether they hold it themselves is asked now, not when they delegated it.
            let Ok(holder) = self.of(Actor { user: delegation.from, team }).hold(role).await else {
                continue;
            };
            if let Ok(by) = authorize_in_place_of(&self.actor, role, facts, &holder) {
                return Some(by);
            }
        }
        None
    }

    /// Of another person, asked of the same directory.
    pub fn of(&self, actor: Actor) -> Powers<'_> {
        Powers { engine: self.engine, directory: self.directory, actor }
    }

    /// Whether the person is an active full member, as Slack says now.
    pub async fn is_full_member(&self) -> bool {
        self.standing().await.within(FRESH_MS) == Some(Standing::Full)
    }

    /// What the asker is called, as far as Slack has said; their own words.
    pub fn name(&self) -> Option<String> {
        self.directory.last_name(&self.actor.user)
    }

    /// Whether a mention of a person or a user group reaches somebody who can answer: an active full member, or a
    /// group that is not empty. What Slack says is kept; `None`: it does not say.
    pub async fn can_answer(&self, id: &str) -> Option<bool> {
        if !id.starts_with('S') {
            let actor = Actor { user: UserId::new(id), team: self.actor.team.clone() };
            let standing = self.of(actor).standing().await.within(FRESH_MS);
            return standing.map(|standing| standing == Standing::Full);
        }
        let told = self.directory.members(id).await.ok()?;
        self.keep_members(id, &told).await;
        Some(!told.value.is_empty())
    }

    async fn keep_members(&self, group: &str, told: &Told<Members>) {
        if told.is_news {
            let said = (&*told.value, told.at_ms);
            keep(self.engine.keep_members(&self.actor.team, group, said)).await;
        }
    }

    /// Leaves a word in the log where somebody was let in on what Slack said before.
    fn told(&self, held: Result<Authorized, Denied>, facts: &Facts) -> Result<Authorized, Denied> {
        if let (Ok(by), Some(age_ms)) = (&held, facts.stale_ms()) {
            let (user, role) = (&self.actor.user, by.role());
            tracing::info!(
                "Slack cannot be asked: {user} holds {role} by what it said {age_ms} ms ago"
            );
        }
        held
    }

    /// What the lines of these roles need to know of the asker, and not more.
    pub async fn facts<'r>(&self, roles: impl IntoIterator<Item = &'r Role>) -> Facts {
        let own = Member::User(self.actor.user.to_string());
        let groups: BTreeSet<&String> = roles
            .into_iter()
            .filter(|role| !role.members.contains(&own))
            .flat_map(|role| &role.members)
            .filter_map(|member| match member {
                Member::Group(group) => Some(group),
                Member::Everyone | Member::User(_) => None,
            })
            .collect();
        let groups =
            groups.into_iter().map(async |group| (group.clone(), self.membership(group).await));
        let (person, groups) = join(self.standing(), join_all(groups)).await;
        Facts { person, groups: groups.into_iter().collect() }
    }

    /// What the asker's account is.
    async fn standing(&self) -> Known<Standing> {
        let (team, user) = (&self.actor.team, &self.actor.user);
        match self.directory.standing(user).await {
            Ok(told) => {
                if told.is_news {
                    keep(self.engine.keep_standing(team, user, (told.value, told.at_ms))).await;
                }
                self.now(told.value, told.at_ms)
            }
            Err(Unavailable::Refused) => Known::Refused,
            Err(Unavailable::Away) => {
                let stored = found(self.engine.known_standing(team, user).await);
                self.before([self.directory.last_standing(user), stored])
            }
        }
    }

    /// Whether the asker is in a user group.
    async fn membership(&self, group: &str) -> Known<bool> {
        let (team, user) = (&self.actor.team, &self.actor.user);
        match self.directory.members(group).await {
            Ok(told) => {
                self.keep_members(group, &told).await;
                self.now(told.value.contains(user), told.at_ms)
            }
            Err(Unavailable::Refused) => Known::Refused,
            Err(Unavailable::Away) => {
                let stored = found(self.engine.known_members(team, group).await);
                let stored = stored.map(|(members, at_ms)| (members.contains(user), at_ms));
                let last = self.directory.last_members(group);
                let last = last.map(|(members, at_ms)| (members.contains(user), at_ms));
                self.before([last, stored])
            }
        }
    }

    /// What Slack said within the last minute; it is fresh however long the question took.
    fn now<T>(&self, value: T, at_ms: Millis) -> Known<T> {
        let age_ms = self.engine.clock().now_ms().saturating_sub(at_ms).max(0).unsigned_abs();
        Known::Told { value, age_ms: age_ms.min(FRESH_MS - 1) }
    }

    /// The newest of what Slack said before.
    fn before<T>(&self, answers: [Option<(T, Millis)>; 2]) -> Known<T> {
        let newest = answers.into_iter().flatten().max_by_key(|(_, at_ms)| *at_ms);
        let Some((value, at_ms)) = newest else { return Known::Nothing };
        match self.engine.clock().now_ms().saturating_sub(at_ms) {
            // From the future: a clock is wrong, and so may be everything about it.
            age_ms if age_ms < -SKEW_MS => Known::Nothing,
            age_ms => Known::Told { value, age_ms: age_ms.max(0).unsigned_abs() },
        }
    }
}

/// Keeps what Slack said. That it cannot be kept is no reason to refuse anybody now.
async fn keep(keeping: impl Future<Output = Result<(), Error>>) {
    match tokio::time::timeout(KEEP_TIME_MAX, keeping).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!("keep what Slack said of its people: {error:#}"),
        Err(_) => tracing::warn!("what Slack said of its people could not be kept in time"),
    }
}

/// What is stored; a database that cannot be asked knows nothing.
fn found<T>(stored: Result<Option<T>, Error>) -> Option<T> {
    stored.unwrap_or_else(|error| {
        tracing::warn!("look up what Slack said of its people: {error:#}");
        None
    })
}
