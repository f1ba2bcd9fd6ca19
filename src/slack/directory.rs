//! Who people are and which groups they belong to, asked of Slack and remembered for a while.
//!
//! Says what Slack said and when, and when Slack cannot be asked; what an old answer is worth is the
//! role's to say (`core::policy`). Language is a courtesy and never worth waiting for. Decides no
//! permission.

use super::client::{CallError, Client, Person};
use crate::clock::{Clock, Millis};
use crate::core::id::UserId;
use crate::core::policy::{FRESH_MS, Standing};
use crate::core::text::Lang;
use std::borrow::Borrow;
use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Semaphore;

/// How long a person's language is believed.
const LOCALE_FRESH_MS: i64 = 600_000;
/// How long Slack is not asked again about a membership, and what a person is.
const MEMBERSHIP_FRESH_MS: i64 = FRESH_MS.cast_signed();
/// How long after a failure Slack is not asked the same again.
const FAILURE_FRESH_MS: i64 = 3_000;
/// The longest wait for a language.
const LOCALE_TIMEOUT: Duration = Duration::from_secs(1);
/// The longest wait for a membership: two of them fit into the 3 s in which Slack wants its answer.
const MEMBERSHIP_TIMEOUT: Duration = Duration::from_millis(1_200);
/// People and groups that are remembered.
const ENTRIES_MAX: usize = 4_096;
/// Questions to Slack under way at once.
const QUESTIONS_MAX: usize = 4;

/// Slack told nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unavailable {
    /// It does not answer, or wants to be left alone for now.
    #[error("Slack cannot be asked who belongs to what")]
    Away,
    /// It answers, and refuses to say: what it said before is not to be held against that.
    #[error("Slack refuses to say who belongs to what")]
    Refused,
}

/// The members of a user group.
pub type Members = Arc<BTreeSet<UserId>>;

/// What Slack said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Told<T> {
    /// What.
    pub value: T,
    /// When.
    pub at_ms: Millis,
    /// Whether nobody was told before: whoever keeps what Slack says keeps it now.
    pub is_news: bool,
}

/// The people and groups of one workspace.
#[derive(Debug)]
pub struct Directory {
    client: Client,
    clock: Clock,
    team_id: String,
    people: Mutex<Cache<UserId, Option<Arc<Person>>>>,
    groups: Mutex<Cache<String, Members>>,
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

    /// The language a person reads, within a second; while Slack does not say, what it said before.
    pub async fn locale(&self, user: &UserId) -> Option<Lang> {
        let asked = self.person_within(user, LOCALE_FRESH_MS, LOCALE_TIMEOUT).await;
        let person = asked.or_else(|_| self.people().last(user).ok_or(Unavailable::Away));
        person.ok()?.0?.locale.as_deref().map(Lang::from_locale)
    }

    /// What a person's account was at most a minute ago. Somebody whom Slack does not know is of
    /// another team.
    ///
    /// # Errors
    /// [`Unavailable`].
    pub async fn standing(&self, user: &UserId) -> Result<Told<Standing>, Unavailable> {
        let asked = self.person_within(user, MEMBERSHIP_FRESH_MS, MEMBERSHIP_TIMEOUT).await;
        let (person, at_ms) = asked?;
        let is_news = self.people().is_news(user);
        Ok(Told { value: self.standing_of(person.as_deref()), at_ms, is_news })
    }

    /// What Slack last said of a person's account to this process, however long ago, and when.
    pub fn last_standing(&self, user: &UserId) -> Option<(Standing, Millis)> {
        let (person, at_ms) = self.people().last(user)?;
        Some((self.standing_of(person.as_deref()), at_ms))
    }

    /// Who was in a user group at most a minute ago; nobody is in one that does not exist.
    ///
    /// # Errors
    /// [`Unavailable`]: the answer is not "nobody", but nothing may be done on it either.
    pub async fn members(&self, group: &str) -> Result<Told<Members>, Unavailable> {
        let asked = tokio::time::timeout(MEMBERSHIP_TIMEOUT, self.ask_members(group)).await;
        let (value, at_ms) = asked.unwrap_or_else(|_| {
            self.groups().put(group.to_owned(), self.now(), Err(Unavailable::Away));
            Err(Unavailable::Away)
        })?;
        let is_news = self.groups().is_news(group);
        Ok(Told { value, at_ms, is_news })
    }

    /// Who was in a user group by what Slack last said to this process, however long ago, and when.
    pub fn last_members(&self, group: &str) -> Option<(Members, Millis)> {
        self.groups().last(group)
    }

    /// What a person is called, by what Slack last said to this process; their own words.
    pub fn last_name(&self, user: &UserId) -> Option<String> {
        let (person, _) = self.people().last(user)?;
        Some(person?.name.clone())
    }

    fn standing_of(&self, person: Option<&Person>) -> Standing {
        let Some(person) = person else { return Standing::OtherTeam };
        let is_home = person.team_id.as_deref() == Some(self.team_id.as_str())
            || person.enterprise_teams.contains(&self.team_id);
        if person.deleted {
            Standing::Deactivated
        } else if !is_home || person.is_stranger {
            Standing::OtherTeam
        } else if person.is_bot {
            Standing::Bot
        } else if person.is_restricted || person.is_ultra_restricted {
            Standing::Guest
        } else {
            Standing::Full
        }
    }

    async fn person_within(
        &self,
        user: &UserId,
        fresh_ms: i64,
        timeout: Duration,
    ) -> Result<(Option<Arc<Person>>, Millis), Unavailable> {
        let asked = tokio::time::timeout(timeout, self.ask_person(user, fresh_ms)).await;
        asked.unwrap_or_else(|_| {
            self.people().put(user.clone(), self.now(), Err(Unavailable::Away));
            Err(Unavailable::Away)
        })
    }

    async fn ask_person(
        &self,
        user: &UserId,
        fresh_ms: i64,
    ) -> Result<(Option<Arc<Person>>, Millis), Unavailable> {
        let known = || self.people().get(user, self.now(), fresh_ms);
        if let Some(known) = known() {
            return known;
        }
        let _turn = self.questions.acquire().await.map_err(|_| Unavailable::Away)?;
        if let Some(known) = known() {
            return known;
        }
        let asked = match self.client.user_info(user).await {
            Ok(person) => Ok(Some(Arc::new(person))),
            Err(refused) if is_nobody(&refused) => Ok(None),
            Err(error) => {
                tracing::warn!(slack.error = %error, "could not ask Slack who a person is");
                Err(unavailable(&error))
            }
        };
        let now = self.now();
        self.people().put(user.clone(), now, asked.clone());
        asked.map(|person| (person, now))
    }

    async fn ask_members(&self, group: &str) -> Result<(Members, Millis), Unavailable> {
        let known = || self.groups().get(group, self.now(), MEMBERSHIP_FRESH_MS);
        if let Some(known) = known() {
            return known;
        }
        let _turn = self.questions.acquire().await.map_err(|_| Unavailable::Away)?;
        if let Some(known) = known() {
            return known;
        }
        let asked = match self.client.group_members(group).await {
            Ok(members) => Ok(Arc::new(members.into_iter().collect())),
            Err(refused) if is_no_group(&refused) => {
                tracing::warn!("Slack knows no user group {group}: nobody is in it");
                Ok(Members::default())
            }
            Err(error) => {
                tracing::warn!(slack.error = %error, "could not ask Slack who is in group {group}");
                Err(unavailable(&error))
            }
        };
        let now = self.now();
        self.groups().put(group.to_owned(), now, asked.clone());
        asked.map(|members| (members, now))
    }

    fn now(&self) -> Millis {
        self.clock.now_ms()
    }

    fn people(&self) -> MutexGuard<'_, Cache<UserId, Option<Arc<Person>>>> {
        self.people.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn groups(&self) -> MutexGuard<'_, Cache<String, Members>> {
        self.groups.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_nobody(error: &CallError) -> bool {
    error.is_code("user_not_found") || error.is_code("user_not_visible")
}

fn is_no_group(error: &CallError) -> bool {
    error.is_code("no_such_subteam") || error.is_code("subteam_not_found")
}

fn unavailable(error: &CallError) -> Unavailable {
    match error {
        CallError::Refused(_) => Unavailable::Refused,
        CallError::RateLimited { .. } | CallError::Transient | CallError::Unknown => {
            Unavailable::Away
        }
    }
}

/// An answer, when it came, and whether nobody was told yet.
type Kept<V> = (Millis, V, bool);

/// Answers with the time they came; a failure is remembered too, beside the last success.
#[derive(Debug)]
struct Cache<K, V> {
    known: HashMap<K, Kept<V>>,
    failed: HashMap<K, (Millis, Unavailable)>,
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
    ) -> Option<Result<(V, Millis), Unavailable>>
    where
        K: Borrow<Q>,
    {
        // A clock that was set back makes nothing fresh.
        let is_fresh = |at: Millis, fresh_ms: i64| (0..fresh_ms).contains(&now.saturating_sub(at));
        if let Some((at, value, _)) = self.known.get(key)
            && is_fresh(*at, fresh_ms)
        {
            return Some(Ok((value.clone(), *at)));
        }
        let (at, why) = self.failed.get(key)?;
        is_fresh(*at, FAILURE_FRESH_MS).then_some(Err(*why))
    }

    /// The last answer, however old.
    fn last<Q: Hash + Eq + ?Sized>(&self, key: &Q) -> Option<(V, Millis)>
    where
        K: Borrow<Q>,
    {
        self.known.get(key).map(|(at, value, _)| (value.clone(), *at))
    }

    /// Whether nobody was told of this answer before; from now on somebody was.
    fn is_news<Q: Hash + Eq + ?Sized>(&mut self, key: &Q) -> bool
    where
        K: Borrow<Q>,
    {
        self.known.get_mut(key).is_some_and(|(_, _, is_news)| std::mem::take(is_news))
    }

    fn put(&mut self, key: K, now: Millis, asked: Result<V, Unavailable>) {
        match asked {
            Ok(value) => {
                self.failed.remove(&key);
                make_room(&mut self.known, &key, |(at, ..)| *at);
                self.known.insert(key, (now, value, true));
            }
            Err(why) => {
                make_room(&mut self.failed, &key, |(at, _)| *at);
                self.failed.insert(key, (now, why));
            }
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

    /// Whether somebody is in the group S1.
    async fn is_in(directory: &Directory, user: &str) -> Result<bool, Unavailable> {
        let members = directory.members("S1").await?.value;
        Ok(members.contains(&UserId::new(user)))
    }

    async fn standing(directory: &Directory) -> Result<Standing, Unavailable> {
        Ok(directory.standing(&ann()).await?.value)
    }

    #[tokio::test]
    async fn a_group_is_asked_once_a_minute() {
        let (fake, clock, directory) = directory(vec![members(&["U1"]), members(&["U2"])]).await;

        assert_eq!(is_in(&directory, "U1").await, Ok(true));
        clock.advance_ms(59_999);
        assert_eq!(is_in(&directory, "U2").await, Ok(false));
        assert_eq!(fake.requests().len(), 1);
        clock.advance_ms(1);
        assert_eq!(is_in(&directory, "U1").await, Ok(false));
        assert_eq!(fake.requests().len(), 2);
    }

    #[tokio::test]
    async fn while_slack_cannot_be_asked_it_says_so_and_what_was_said_before() {
        let (fake, clock, directory) =
            directory(vec![members(&["U1"]), Reply::Drop, members(&["U1"])]).await;
        assert_eq!(directory.last_members("S1"), None);
        assert_eq!(is_in(&directory, "U1").await, Ok(true));
        clock.advance_ms(60_000);

        assert_eq!(is_in(&directory, "U1").await, Err(Unavailable::Away));
        assert_eq!(is_in(&directory, "U1").await, Err(Unavailable::Away));
        assert_eq!(fake.requests().len(), 2);
        let last = directory.last_members("S1").unwrap();
        assert_eq!(last, (Arc::new(BTreeSet::from([ann()])), 1_000_000));
        clock.advance_ms(3_000);
        assert_eq!(is_in(&directory, "U1").await, Ok(true));
    }

    #[tokio::test]
    async fn a_refusal_is_not_an_absence_and_a_group_that_is_gone_has_nobody() {
        let refused = |code| Reply::json(200, &json!({"ok": false, "error": code}));
        let replies = vec![refused("invalid_auth"), refused("no_such_subteam")];
        let (_fake, clock, directory) = directory(replies).await;

        assert_eq!(is_in(&directory, "U1").await, Err(Unavailable::Refused));
        assert_eq!(is_in(&directory, "U1").await, Err(Unavailable::Refused));
        clock.advance_ms(3_000);
        assert_eq!(is_in(&directory, "U1").await, Ok(false));
    }

    #[tokio::test]
    async fn an_answer_is_news_once_also_when_the_language_was_asked_first() {
        let (_fake, clock, directory) = directory(vec![person(&json!({})); 2]).await;

        directory.locale(&ann()).await;
        let told = directory.standing(&ann()).await.unwrap();
        assert_eq!(told, Told { value: Standing::Full, at_ms: 1_000_000, is_news: true });
        assert!(!directory.standing(&ann()).await.unwrap().is_news);
        clock.advance_ms(60_000);
        let told = directory.standing(&ann()).await.unwrap();
        assert_eq!((told.at_ms, told.is_news), (1_060_000, true));
        assert_eq!(directory.last_standing(&ann()), Some((Standing::Full, 1_060_000)));
    }

    #[tokio::test]
    async fn a_language_outlasts_slack() {
        let (_fake, clock, directory) = directory(vec![person(&json!({})), Reply::Drop]).await;

        assert_eq!(directory.locale(&ann()).await, Some(Lang::En));
        clock.advance_ms(600_000);
        assert_eq!(directory.locale(&ann()).await, Some(Lang::En));
    }

    #[tokio::test]
    async fn a_slack_that_hangs_is_not_waited_for() {
        let (fake, _clock, directory) = directory(vec![Reply::Hang, Reply::Hang]).await;

        assert_eq!(directory.locale(&ann()).await, None);
        assert_eq!(is_in(&directory, "U1").await, Err(Unavailable::Away));
        assert_eq!(directory.locale(&ann()).await, None);
        assert_eq!(fake.requests().len(), 2);
    }

    #[tokio::test]
    async fn a_language_is_believed_longer_than_a_membership() {
        let guest = json!({"is_restricted": true});
        let (fake, clock, directory) = directory(vec![person(&json!({})), person(&guest)]).await;

        assert_eq!(standing(&directory).await, Ok(Standing::Full));
        clock.advance_ms(60_000);
        assert_eq!(directory.locale(&ann()).await, Some(Lang::En));
        assert_eq!(fake.requests().len(), 1);
        assert_eq!(standing(&directory).await, Ok(Standing::Guest));
        assert_eq!(fake.requests().len(), 2);
    }

    #[tokio::test]
    async fn only_full_members_of_the_team_are_full_members() {
        use Standing::{Bot, Deactivated, Full, Guest, OtherTeam};
        let nobody = Reply::json(200, &json!({"ok": false, "error": "user_not_found"}));
        let cases = [
            (person(&json!({})), Full),
            (person(&json!({"team_id": "T2"})), OtherTeam),
            (person(&json!({"team_id": "T2", "enterprise_user": {"teams": ["T1"]}})), Full),
            (person(&json!({"team_id": null})), OtherTeam),
            (person(&json!({"is_bot": true})), Bot),
            (person(&json!({"deleted": true, "is_restricted": true})), Deactivated),
            (person(&json!({"is_restricted": true})), Guest),
            (person(&json!({"is_ultra_restricted": true})), Guest),
            (person(&json!({"is_stranger": true})), OtherTeam),
            (nobody, OtherTeam),
        ];
        for (reply, expected) in cases {
            let (_fake, _clock, directory) = directory(vec![reply.clone()]).await;
            assert_eq!(standing(&directory).await, Ok(expected), "{reply:?}");
        }
    }

    #[tokio::test]
    async fn a_burst_asks_little() {
        let (fake, _clock, directory) = directory(vec![members(&["U1"]); QUESTIONS_MAX]).await;

        let burst = (0..100).map(|_| is_in(&directory, "U1"));
        let all = futures_util::future::join_all(burst).await;

        assert!(all.into_iter().all(|member| member == Ok(true)));
        assert!(fake.requests().len() <= QUESTIONS_MAX);
    }

    #[test]
    fn a_cache_is_bounded_and_forgets_the_oldest() {
        let mut cache = Cache::default();
        for n in 0..ENTRIES_MAX + 10 {
            cache.put(n, n as Millis, Ok(n));
            cache.put(n + 1_000_000, n as Millis, Err(Unavailable::Away));
        }

        let now = ENTRIES_MAX as Millis;
        assert_eq!(cache.known.len(), ENTRIES_MAX);
        assert_eq!(cache.failed.len(), ENTRIES_MAX);
        assert_eq!(cache.get(&0, now, i64::MAX), None);
        assert_eq!(cache.get(&100, now, i64::MAX), Some(Ok((100, 100))));
        assert_eq!(cache.get(&100, 99, i64::MAX), None);
    }
}
