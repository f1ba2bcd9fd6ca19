//! The workspace itself: started, configured, read, shut down. What persons do in it is in
//! `deliver`, what the bot may call in `api`.

use super::api;
use super::fault::Fault;
use super::guide::Guide;
use super::message::Message;
use super::options::Options;
use super::state::{ApiCall, SharedFile, State, View};
use super::traffic::Delivery;
use anyhow::Context;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;

/// How long [`Workspace::shutdown`] lets answers under way finish.
const SHUTDOWN_MS: u64 = 2_000;
/// How many pages may listen for changes at once.
const LISTENERS_MAX: usize = 64;

/// A running workspace. Cheap to clone; every clone is the same workspace.
#[derive(Clone)]
pub struct Workspace(pub(super) Arc<Inner>);

pub(super) struct Inner {
    state: Mutex<State>,
    /// Counts changes, for whoever waits for one.
    pub(super) ticks: watch::Sender<u64>,
    pub(super) client: reqwest::Client,
    pub(super) closing: watch::Sender<bool>,
    /// How many more pages may listen for changes.
    pub(super) listeners: Arc<Semaphore>,
    server: Mutex<Option<JoinHandle<()>>>,
}

impl Inner {
    pub(super) fn read(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the state and wakes whoever waits for a change.
    pub(super) fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let result = change(&mut self.read());
        self.ticks.send_modify(|ticks| *ticks += 1);
        result
    }
}

impl Workspace {
    /// Listens on 127.0.0.1 and answers from now on.
    ///
    /// # Errors
    /// The port could not be had, or the HTTP client for deliveries could not be made.
    pub async fn start(options: Options) -> anyhow::Result<Self> {
        // Whoever came first chose the same provider; a second installation changes nothing.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .context("make the client that delivers to the bot")?;
        let listener = TcpListener::bind(("127.0.0.1", options.port))
            .await
            .with_context(|| format!("listen on port {} of 127.0.0.1", options.port))?;
        let address = listener.local_addr().context("read the port of the sandbox")?;
        let inner = Arc::new(Inner {
            state: Mutex::new(State::new(options, format!("http://{address}"))),
            ticks: watch::Sender::new(0),
            client,
            closing: watch::Sender::new(false),
            listeners: Arc::new(Semaphore::new(LISTENERS_MAX)),
            server: Mutex::new(None),
        });
        let serving = api::serve(listener, Arc::clone(&inner));
        #[expect(clippy::disallowed_methods, reason = "the sandbox is its own small application")]
        let server = tokio::spawn(serving);
        *inner.server.lock().unwrap_or_else(PoisonError::into_inner) = Some(server);
        Ok(Self(inner))
    }

    /// Stops listening and ends what is under way; returns when the port is free again.
    pub async fn shutdown(&self) {
        self.0.closing.send_replace(true);
        let server = self.0.server.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(mut server) = server
            && tokio::time::timeout(Duration::from_millis(SHUTDOWN_MS), &mut server).await.is_err()
        {
            server.abort();
        }
    }

    /// The base of the Web API, without a trailing slash: what the bot is configured with.
    pub fn api_url(&self) -> String {
        format!("{}/api", self.0.read().base_url)
    }

    /// Where response URLs live: `http://127.0.0.1:port`, the host the bot must be told to trust.
    pub fn base_url(&self) -> String {
        self.0.read().base_url.clone()
    }

    /// What the bot shows as its bearer token.
    pub fn bot_token(&self) -> String {
        self.0.read().options.bot_token.clone()
    }

    /// What requests to the bot are signed with.
    pub fn signing_secret(&self) -> String {
        self.0.read().options.signing_secret.clone()
    }

    /// The workspace's id.
    pub fn team_id(&self) -> String {
        self.0.read().options.team_id.clone()
    }

    /// The bot's own user id in this workspace.
    pub fn bot_user_id(&self) -> String {
        self.0.read().bot.user_id.clone()
    }

    /// Where the bot listens: `http://127.0.0.1:port`; everything goes to `/slack/events` there.
    pub fn set_request_url(&self, url: &str) {
        self.0.change(|state| state.request_url = Some(url.trim_end_matches('/').to_owned()));
    }

    /// What the page helps people to type.
    pub fn set_guide(&self, guide: Guide) {
        self.0.change(|state| state.guide = guide);
    }

    /// Changes who is in a user group; the bot learns of it when it asks again.
    pub fn set_group(&self, id: &str, members: &[&str]) {
        self.0.change(|state| {
            if let Some(group) = state.options.groups.iter_mut().find(|group| group.id == id) {
                group.members = members.iter().map(|&member| member.to_owned()).collect();
            }
        });
    }

    /// Deactivates a person's account.
    pub fn deactivate(&self, user: &str) {
        self.0.change(|state| {
            if let Some(person) = state.options.persons.iter_mut().find(|person| person.id == user)
            {
                person.is_deactivated = true;
            }
        });
    }

    // Reading.

    /// The messages of a channel that are there now, threads included, oldest first.
    pub fn messages(&self, channel: &str) -> Vec<Message> {
        self.0.read().rooms.get(channel).map(|room| room.messages.clone()).unwrap_or_default()
    }

    /// A message and the replies to it, oldest first.
    pub fn thread(&self, channel: &str, ts: &str) -> Vec<Message> {
        let mut messages = self.messages(channel);
        messages.retain(|message| message.ts == ts || message.thread_ts.as_deref() == Some(ts));
        messages
    }

    /// One message as it stands now.
    pub fn message(&self, channel: &str, ts: &str) -> Option<Message> {
        self.0.read().find(channel, ts).cloned()
    }

    /// What only this person was shown, oldest first.
    pub fn ephemerals(&self, user: &str) -> Vec<Message> {
        let state = self.0.read();
        let theirs = |message: &&Message| message.visible_to.as_deref() == Some(user);
        state.ephemerals.iter().filter(theirs).cloned().collect()
    }

    /// The private conversation between this person and the bot.
    pub fn private_messages(&self, user: &str) -> Vec<Message> {
        let state = self.0.read();
        let theirs = state.rooms.values().find(|room| room.with.as_deref() == Some(user));
        theirs.map(|room| room.messages.clone()).unwrap_or_default()
    }

    /// The modals that the bot opened, oldest first.
    pub fn views(&self) -> Vec<View> {
        self.0.read().views.clone()
    }

    /// The files that the bot uploaded or announced.
    pub fn files(&self) -> Vec<SharedFile> {
        self.0.read().files.values().cloned().collect()
    }

    /// Every call that the bot made, oldest first; the latest 20,000.
    pub fn calls(&self) -> Vec<ApiCall> {
        self.0.read().calls.iter().cloned().collect()
    }

    /// What was delivered to the bot and what it answered, oldest first; the latest 2,000.
    pub fn deliveries(&self) -> Vec<Delivery> {
        self.0.read().deliveries.iter().cloned().collect()
    }

    /// The calls of one method.
    pub fn calls_of(&self, method: &str) -> Vec<ApiCall> {
        let mut calls = self.calls();
        calls.retain(|call| call.method == method);
        calls
    }

    /// Everything invalid that the bot sent; a good test ends with this being empty.
    pub fn faults(&self) -> Vec<String> {
        self.0.read().faults.clone()
    }

    // What goes wrong.

    /// The next call of this method goes wrong. `response_url` and `upload` name those addresses.
    pub fn fail_next(&self, method: &str, fault: Fault) {
        self.fail_matching(method, 1, fault);
    }

    /// The next calls whose method is this, or begins like this before a final `*`, go wrong.
    pub fn fail_matching(&self, method: &str, times: u32, fault: Fault) {
        self.0.change(|state| state.planned.plan(method, times, fault));
    }

    /// For so many milliseconds of the workspace's clock every call goes wrong, in one way after the
    /// other; those that were planned by name go first.
    pub fn storm(&self, for_ms: i64, ways: Vec<Fault>) {
        self.0.change(|state| {
            let until_ms = state.now_ms().saturating_add(for_ms);
            state.planned.storm(until_ms, ways);
        });
    }

    /// Forgets every fault that is still to come.
    pub fn clear_faults(&self) {
        self.0.change(|state| state.planned = crate::sandbox::fault::Faults::default());
    }

    /// Whether `chat.postMessage` is held to about one a second and channel, after a burst of 3.
    pub fn enforce_rate_limits(&self, enforced: bool) {
        self.0.change(|state| state.enforces_rate_limits = enforced);
    }

    // Waiting.

    /// A counter that moves whenever anything changes.
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.0.ticks.subscribe()
    }

    /// Waits until the predicate holds, looking after every change; `false` when this many real
    /// milliseconds passed first.
    pub async fn wait_until(
        &self,
        deadline_real_ms: u64,
        mut predicate: impl FnMut(&Self) -> bool,
    ) -> bool {
        let mut ticks = self.subscribe();
        let wait = async {
            loop {
                ticks.mark_unchanged();
                if predicate(self) || ticks.changed().await.is_err() {
                    break;
                }
            }
        };
        tokio::time::timeout(Duration::from_millis(deadline_real_ms), wait).await.is_ok()
    }
}
