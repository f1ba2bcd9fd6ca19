//! Who people are and which groups they belong to, asked of Slack and remembered for a while.
//!
//! Fails closed: when Slack cannot be asked, nobody is a member, and the caller can say why. Language
//! is a courtesy and never worth waiting for. Decides no permission.

use super::client::{CallError, Client, Person};
use crate::clock::{Clock, Millis};
use crate::core::id::UserId;
use crate::core::text::Lang;
use std::collections::HashMap;
use std::collections::HashSet;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Semaphore;

/// How long a person's language is believed.
const LOCALE_FRESH_MS: i64 = 600_000;
/// How long a membership, and what a person is, is believed.
const MEMBERSHIP_FRESH_MS: i64 = 60_000;
/// How long after a failure Slack is not asked the same again.
const FAILURE_FRESH_MS: i64 = 3_000;
/// The longest wait for a language.
const LOCALE_TIMEOUT: Duration = Duration::from_secs(1);
/// The longest wait for a membership: two of them fit into the 3 s in which Slack wants its answer.
const MEMBERSHIP_TIMEOUT: Duration = Duration::from_millis(1_300);
/// People and groups that are remembered.
const ENTRIES_MAX: usize = 4_096;
/// Questions to Slack under way at once.
const QUESTIONS_MAX: usize = 4;

/// Slack could not be asked; nothing is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("Slack could not be asked who belongs to what")]
pub struct Unavailable;

/// The people and groups of one workspace.
#[derive(Debug)]
pub struct Directory {
    client: Client,
    clock: Clock,
    team_id: String,
    people: Mutex<Cache<UserId, Option<Arc<Person>>>>,
    groups: Mutex<Cache<String, Arc<HashSet<UserId>>>>,
    /// Holds back a burst: who waits here finds the answer of who went before.
    questions: Semaphore,
}

impl Directory {
    /// Of the workspace `team_id`, with its client.
    pub fn new(client: Client, clock: Clock, team_id: impl Into<String>) -> Self {
        Self {
            client,
            clock,
            team_id: team_id.into(),
            people: Mutex::new(Cache::default()),
            groups: Mutex::new(Cache::default()),
            questions: Semaphore::new(QUESTIONS_MAX),
        }
    }

    /// The language a person reads, within a second; `None` when Slack does not say.
    pub async fn locale(&self, user: &UserId) -> Option<Lang> {
        let asked = self.person_within(user, LOCALE_FRESH_MS, LOCALE_TIMEOUT).await;
        asked.ok()??.locale.as_deref().map(Lang::from_locale)
    }

    /// A person as they were at most a minute ago; `None` when Slack knows nobody of this id.
    ///
    /// # Errors
    /// [`Unavailable`].
    pub async fn person(&self, user: &UserId) -> Result<Option<Arc<Person>>, Unavailable> {
        self.person_within(user, MEMBERSHIP_FRESH_MS, MEMBERSHIP_TIMEOUT).await
    }

    /// Whether a person was in a user group at most a minute ago.
    ///
    /// # Errors
    /// [`Unavailable`]: the answer is not "no", but nothing may be done on it either.
    pub async fn is_member(&self, user: &UserId, group: &str) -> Result<bool, Unavailable> {
        let members = tokio::time::timeout(MEMBERSHIP_TIMEOUT, self.members(group)).await;
        let members = members.unwrap_or_else(|_| {
            self.groups().put(group.to_owned(), self.now(), Err(Unavailable));
            Err(Unavailable)
        })?;
        Ok(members.contains(user))
    }

    /// Whether a person is a full member of the workspace: no guest, no bot, not deactivated, not
    /// from elsewhere. Somebody whom Slack does not know is not.
    ///
    /// # Errors
    /// [`Unavailable`].
    pub async fn is_full_member(&self, user: &UserId) -> Result<bool, Unavailable> {
        Ok(self.person(user).await?.is_some_and(|person| {
            let is_less = person.is_bot
                || person.deleted
                || person.is_restricted
                || person.is_ultra_restricted
                || person.is_stranger;
            let is_home = person.team_id.as_deref() == Some(self.team_id.as_str())
                || person.enterprise_teams.contains(&self.team_id);
            is_home && !is_less
        }))
    }

    async fn person_within(
        &self,
        user: &UserId,
        fresh_ms: i64,
        timeout: Duration,
    ) -> Result<Option<Arc<Person>>, Unavailable> {
        let asked = tokio::time::timeout(timeout, self.ask_person(user, fresh_ms)).await;
        asked.unwrap_or_else(|_| {
            self.people().put(user.clone(), self.now(), Err(Unavailable));
            Err(Unavailable)
        })
    }

    async fn ask_person(
        &self,
        user: &UserId,
        fresh_ms: i64,
    ) -> Result<Option<Arc<Person>>, Unavailable> {
        let known = || self.people().get(user, self.now(), fresh_ms);
        if let Some(known) = known() {
            return known;
        }
        let _turn = self.questions.acquire().await.map_err(|_| Unavailable)?;
        if let Some(known) = known() {
            return known;
        }
        let asked = match self.client.user_info(user).await {
            Ok(person) => Ok(Some(Arc::new(person))),
            Err(refused) if is_nobody(&refused) => Ok(None),
            Err(error) => {
                tracing::warn!(slack.error = %error, "could not ask Slack who a person is");
                Err(Unavailable)
            }
        };
        self.people().put(user.clone(), self.now(), asked.clone());
        asked
    }

    async fn members(&self, group: &str) -> Result<Arc<HashSet<UserId>>, Unavailable> {
        let known = || self.groups().get(group, self.now(), MEMBERSHIP_FRESH_MS);
        if let Some(known) = known() {
            return known;
        }
        let _turn = self.questions.acquire().await.map_err(|_| Unavailable)?;
        if let Some(known) = known() {
            return known;
        }
        let asked = match self.client.group_members(group).await {
            Ok(members) => Ok(Arc::new(members.into_iter().collect())),
            Err(error) => {
                tracing::warn!(slack.error = %error, "could not ask Slack who is in group {group}");
                Err(Unavailable)
            }
        };
        self.groups().put(group.to_owned(), self.now(), asked.clone());
        asked
    }

    fn now(&self) -> Millis {
        self.clock.now_ms()
    }

    fn people(&self) -> std::sync::MutexGuard<'_, Cache<UserId, Option<Arc<Person>>>> {
        self.people.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn groups(&self) -> std::sync::MutexGuard<'_, Cache<String, Arc<HashSet<UserId>>>> {
        self.groups.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_nobody(error: &CallError) -> bool {
    error.is_code("user_not_found") || error.is_code("user_not_visible")
}

/// Answers with the time they came; a failure is remembered too, beside the last success.
#[derive(Debug)]
struct Cache<K, V> {
    known: HashMap<K, (Millis, V)>,
    failed: HashMap<K, Millis>,
}

impl<K, V> Default for Cache<K, V> {
    fn default() -> Self {
        Self { known: HashMap::new(), failed: HashMap::new() }
    }
}

impl<K: Hash + Eq + Clone, V: Clone> Cache<K, V> {
    fn get<Q: Hash + Eq + ?Sized>(
        &self,
        key: &Q,
        now: Millis,
        fresh_ms: i64,
    ) -> Option<Result<V, Unavailable>>
    where
        K: std::borrow::Borrow<Q>,
    {
        // A clock that was set back makes nothing fresh.
        let is_fresh = |at: Millis, fresh_ms: i64| (0..fresh_ms).contains(&now.saturating_sub(at));
        if let Some((at, value)) = self.known.get(key)
            && is_fresh(*at, fresh_ms)
        {
            return Some(Ok(value.clone()));
        }
        let failed = self.failed.get(key).is_some_and(|at| is_fresh(*at, FAILURE_FRESH_MS));
        failed.then_some(Err(Unavailable))
    }

    fn put(&mut self, key: K, now: Millis, asked: Result<V, Unavailable>) {
        if let Ok(value) = asked {
            self.failed.remove(&key);
            make_room(&mut self.known, &key, |(at, _)| *at);
            self.known.insert(key, (now, value));
        } else {
            make_room(&mut self.failed, &key, |at| *at);
            self.failed.insert(key, now);
        }
    }
}

/// Forgets the oldest entry when there is no room for another key.
fn make_room<K: Hash + Eq + Clone, V>(
    entries: &mut HashMap<K, V>,
    key: &K,
    at: impl Fn(&V) -> Millis,
) {
    if entries.len() < ENTRIES_MAX || entries.contains_key(key) {
        return;
    }
    let oldest = entries.iter().min_by_key(|(_, entry)| at(entry)).map(|(key, _)| key.clone());
    if let Some(oldest) = oldest {
        entries.remove(&oldest);
    }
}

#[cfg(test)]
mod tests {
    use super::super::client::Timeouts;
    use super::super::fake::{Fake, Reply};
    use super::*;
    use secrecy::SecretString;
    use serde_json::{Value, json};

    async fn directory(replies: Vec<Reply>) -> (Fake, Clock, Directory) {
        let fake = Fake::start(replies).await;
        let token = SecretString::from("xoxb-secret");
        let client = Client::new(&fake.base_url(), &token, Timeouts::default()).unwrap();
        let clock = Clock::manual(1_000_000);
        let directory = Directory::new(client, clock.clone(), "T1");
        (fake, clock, directory)
    }

    fn members(users: &[&str]) -> Reply {
        Reply::json(200, &json!({"ok": true, "users": users}))
    }

    fn person(more: &Value) -> Reply {
        let mut user = json!({"id": "U1", "team_id": "T1", "locale": "en-GB", "name": "ann"});
        user.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        Reply::json(200, &json!({"ok": true, "user": user}))
    }

    fn ann() -> UserId {
        UserId::new("U1")
    }

    #[tokio::test]
    async fn a_group_is_asked_once_a_minute() {
        let (fake, clock, directory) = directory(vec![members(&["U1"]), members(&["U2"])]).await;

        assert_eq!(directory.is_member(&ann(), "S1").await, Ok(true));
        clock.advance_ms(59_999);
        assert_eq!(directory.is_member(&UserId::new("U2"), "S1").await, Ok(false));
        assert_eq!(fake.requests().len(), 1);
        clock.advance_ms(1);
        assert_eq!(directory.is_member(&ann(), "S1").await, Ok(false));
        assert_eq!(fake.requests().len(), 2);
    }

    #[tokio::test]
    async fn nobody_is_a_member_while_slack_cannot_be_asked() {
        let refused = Reply::json(200, &json!({"ok": false, "error": "invalid_auth"}));
        let (fake, clock, directory) =
            directory(vec![members(&["U1"]), refused, members(&["U1"])]).await;
        assert_eq!(directory.is_member(&ann(), "S1").await, Ok(true));
        clock.advance_ms(60_000);

        assert_eq!(directory.is_member(&ann(), "S1").await, Err(Unavailable));
        assert_eq!(directory.is_member(&ann(), "S1").await, Err(Unavailable));
        assert_eq!(fake.requests().len(), 2);
        clock.advance_ms(3_000);
        assert_eq!(directory.is_member(&ann(), "S1").await, Ok(true));
    }

    #[tokio::test]
    async fn a_slack_that_hangs_is_not_waited_for() {
        let (fake, _clock, directory) = directory(vec![Reply::Hang, Reply::Hang]).await;

        assert_eq!(directory.locale(&ann()).await, None);
        assert_eq!(directory.is_member(&ann(), "S1").await, Err(Unavailable));
        assert_eq!(directory.locale(&ann()).await, None);
        assert_eq!(fake.requests().len(), 2);
    }

    #[tokio::test]
    async fn a_language_is_believed_longer_than_a_membership() {
        let guest = json!({"is_restricted": true});
        let (fake, clock, directory) = directory(vec![person(&json!({})), person(&guest)]).await;

        assert_eq!(directory.is_full_member(&ann()).await, Ok(true));
        clock.advance_ms(60_000);
        assert_eq!(directory.locale(&ann()).await, Some(Lang::En));
        assert_eq!(fake.requests().len(), 1);
        assert_eq!(directory.is_full_member(&ann()).await, Ok(false));
        assert_eq!(fake.requests().len(), 2);
    }

    #[tokio::test]
    async fn only_full_members_of_the_team_are_full_members() {
        let nobody = Reply::json(200, &json!({"ok": false, "error": "user_not_found"}));
        let cases = [
            (person(&json!({})), true),
            (person(&json!({"team_id": "T2"})), false),
            (person(&json!({"team_id": "T2", "enterprise_user": {"teams": ["T1"]}})), true),
            (person(&json!({"team_id": null})), false),
            (person(&json!({"is_bot": true})), false),
            (person(&json!({"deleted": true})), false),
            (person(&json!({"is_ultra_restricted": true})), false),
            (person(&json!({"is_stranger": true})), false),
            (nobody, false),
        ];
        for (reply, expected) in cases {
            let (_fake, _clock, directory) = directory(vec![reply.clone()]).await;
            assert_eq!(directory.is_full_member(&ann()).await, Ok(expected), "{reply:?}");
        }
    }

    #[tokio::test]
    async fn a_burst_asks_little() {
        let (fake, _clock, directory) = directory(vec![members(&["U1"]); QUESTIONS_MAX]).await;

        let ann = ann();
        let burst = (0..100).map(|_| directory.is_member(&ann, "S1"));
        let all = futures_util::future::join_all(burst).await;

        assert!(all.into_iter().all(|member| member == Ok(true)));
        assert!(fake.requests().len() <= QUESTIONS_MAX);
    }

    #[test]
    fn a_cache_is_bounded_and_forgets_the_oldest() {
        let mut cache = Cache::default();
        for n in 0..ENTRIES_MAX + 10 {
            cache.put(n, n as Millis, Ok(n));
            cache.put(n + 1_000_000, n as Millis, Err(Unavailable));
        }

        let now = ENTRIES_MAX as Millis;
        assert_eq!(cache.known.len(), ENTRIES_MAX);
        assert_eq!(cache.failed.len(), ENTRIES_MAX);
        assert_eq!(cache.get(&0, now, i64::MAX), None);
        assert_eq!(cache.get(&100, now, i64::MAX), Some(Ok(100)));
        assert_eq!(cache.get(&100, 99, i64::MAX), None);
    }
}
