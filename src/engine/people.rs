//! What Slack last said of its people, kept for the time when it cannot be asked. One bot learns it, any
//! other may use it, and it outlives a restart. What it is worth then is the role's to say.

use super::{Engine, Error};
use crate::clock::Millis;
use crate::core::id::UserId;
use crate::core::policy::Standing;
use crate::store::people;
use std::collections::BTreeSet;

/// The same answer is written again only after so long: a stored answer may be so much older than the
/// last one that a bot had.
pub const KEPT_AGAIN_MS: i64 = 5 * 60_000;
/// How long what Slack said is kept: no role believes anything older.
pub const KNOWLEDGE_KEPT_MS: i64 = 31 * 24 * 3_600_000;
/// People, and lists, that are kept.
const ENTRIES_MAX: i64 = 20_000;
/// A longer list of a user group is not kept: nobody of it can do anything while Slack is away.
const MEMBERS_MAX: usize = 10_000;

impl Engine {
    /// The workspace that Slack named last: its team and its address.
    ///
    /// # Errors
    /// The database's.
    pub async fn known_workspace(&self) -> Result<Option<(String, String)>, Error> {
        let mut reader = self.store.read().await?;
        Ok(people::workspace(&mut reader).await?)
    }

    /// Keeps which workspace Slack named now.
    ///
    /// # Errors
    /// The database's.
    pub async fn keep_workspace(&self, team_id: &str, url: &str) -> Result<(), Error> {
        let (team_id, url) = (team_id.to_owned(), url.to_owned());
        self.store
            .unit_single_write(move |unit| {
                Box::pin(async move {
                    let now_ms = unit.now_ms();
                    Ok(people::put_workspace(unit.connection(), &team_id, &url, now_ms).await?)
                })
            })
            .await
    }

    /// What Slack last said of a person's account to any bot, and when.
    ///
    /// # Errors
    /// The database's.
    pub async fn known_standing(
        &self,
        team_id: &str,
        user: &UserId,
    ) -> Result<Option<(Standing, Millis)>, Error> {
        let mut reader = self.store.read().await?;
        let known = people::person(&mut reader, team_id, user.as_str()).await?;
        // A word of a later version says nothing to this one.
        Ok(known.and_then(|(word, at_ms)| Some((Standing::parse(&word)?, at_ms))))
    }

    /// Keeps what Slack said of a person's account.
    ///
    /// # Errors
    /// The database's.
    pub async fn keep_standing(
        &self,
        team_id: &str,
        user: &UserId,
        (standing, at_ms): (Standing, Millis),
    ) -> Result<(), Error> {
        if is_kept(self.known_standing(team_id, user).await?.as_ref(), &standing, at_ms) {
            return Ok(());
        }
        let (team_id, user) = (team_id.to_owned(), user.to_string());
        self.store
            .unit_single_write(move |unit| {
                Box::pin(async move {
                    let said = (standing.as_str(), at_ms);
                    Ok(people::put_person(unit.connection(), &team_id, &user, said).await?)
                })
            })
            .await
    }

    /// Who was in a user group by what Slack last said to any bot, and when.
    ///
    /// # Errors
    /// The database's.
    pub async fn known_members(
        &self,
        team_id: &str,
        group: &str,
    ) -> Result<Option<(BTreeSet<UserId>, Millis)>, Error> {
        let mut reader = self.store.read().await?;
        let known = people::group(&mut reader, team_id, group).await?;
        // A list that cannot be read names nobody; it is not "nobody" either.
        Ok(known.and_then(|(list, at_ms)| Some((serde_json::from_str(&list).ok()?, at_ms))))
    }

    /// Keeps who is in a user group.
    ///
    /// # Errors
    /// The database's.
    pub async fn keep_members(
        &self,
        team_id: &str,
        group: &str,
        (members, at_ms): (&BTreeSet<UserId>, Millis),
    ) -> Result<(), Error> {
        if is_kept(self.known_members(team_id, group).await?.as_ref(), members, at_ms) {
            return Ok(());
        }
        if members.len() > MEMBERS_MAX {
            tracing::warn!(
                "the user group {group} has more than {MEMBERS_MAX} members: it is not kept for the \
                 time when Slack cannot be asked"
            );
            return Ok(());
        }
        // A set of texts always serializes.
        let list = serde_json::to_string(members).unwrap_or_default();
        let (team_id, group) = (team_id.to_owned(), group.to_owned());
        self.store
            .unit_single_write(move |unit| {
                Box::pin(async move {
                    let said = (list.as_str(), at_ms);
                    Ok(people::put_group(unit.connection(), &team_id, &group, said).await?)
                })
            })
            .await
    }

    /// Forgets what no role believes any more; how many answers.
    ///
    /// # Errors
    /// The database's.
    pub async fn forget_people(&self) -> Result<u64, Error> {
        let before_ms = self.clock().now_ms() - KNOWLEDGE_KEPT_MS;
        self.store
            .unit(move |unit| {
                Box::pin(async move {
                    Ok(people::prune(unit.connection(), before_ms, ENTRIES_MAX).await?)
                })
            })
            .await
    }
}

/// Whether the same answer stands there already and is young enough, or a newer one.
fn is_kept<T: PartialEq>(known: Option<&(T, Millis)>, said: &T, at_ms: Millis) -> bool {
    known.is_some_and(|(value, known_ms)| {
        let younger_ms = at_ms.saturating_sub(*known_ms);
        younger_ms <= 0 || (value == said && younger_ms < KEPT_AGAIN_MS)
    })
}
