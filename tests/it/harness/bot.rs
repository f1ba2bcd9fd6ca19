//! A bot inside the test, on a clock that the test moves, in a workspace that is the sandbox's.

use super::database::TestDatabase;
use super::looks::Looks;
use super::place::Place;
use neostock_ops::app::{Start, serve};
use neostock_ops::audit;
use neostock_ops::clock::Clock;
use neostock_ops::config::settings::{Sources, from_sources};
use neostock_ops::core::text::Lang;
use neostock_ops::sandbox::{Answer, Message, Options, Workspace};
use neostock_ops::store::Store;
use neostock_ops::store::journal::{Filter, newest_of};
use neostock_ops::worker::reload::Reload;
use secrecy::SecretString;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// 2026-11-24 03:00:00 UTC.
pub const NIGHT_MS: i64 = 1_795_489_200_000;
/// What whoever sends alerts shows, where a test has an alerting configuration.
pub const WEBHOOK_TOKEN: &str = "s3cr3t-token";
/// How long a test waits, in real time, for what must happen.
const PATIENCE: Duration = Duration::from_secs(40);
/// How far the clock moves at each look.
const TICK_MS: u64 = 100;

/// The bot, its workspace and its clock.
pub struct Bot {
    pub workspace: Workspace,
    pub clock: Clock,
    pub place: Place,
    pub url: String,
    pub database_url: String,
    pub reload: Reload,
    stop: CancellationToken,
    task: Option<JoinHandle<anyhow::Result<()>>>,
}

impl Bot {
    /// Starts a bot whose runbook has these actions.
    pub async fn start(database: &TestDatabase, actions: &str) -> Self {
        Self::in_workspace(database, Place::new(actions), Options::default()).await
    }

    pub async fn in_workspace(database: &TestDatabase, place: Place, options: Options) -> Self {
        // The second test of a process finds it installed.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let clock = Clock::manual(NIGHT_MS);
        let now = clock.clone();
        let options = Options { now: Arc::new(move || now.now_ms()), ..options };
        let workspace = Workspace::start(options).await.unwrap();
        let mut bot = Self {
            workspace,
            clock,
            place,
            url: String::new(),
            database_url: database.url.clone(),
            reload: Reload::default(),
            stop: CancellationToken::new(),
            task: None,
        };
        bot.begin().await;
        bot
    }

    /// Starts the bot, for the first time or again after [`Bot::end`].
    pub async fn begin(&mut self) {
        self.begin_unready().await;
        self.until_answered("readyz", 0).await;
    }

    /// Waits until everything is as it should be again; it looks for Slack by its own clock.
    pub async fn until_ready(&mut self) {
        self.until_answered("readyz", TICK_MS).await;
    }

    /// Starts the bot while Slack cannot be asked: it listens, and knows which workspace it is in.
    pub async fn begin_away_from_slack(&mut self) {
        self.begin_unready().await;
        self.until_answered("healthz", 0).await;
        let looks = Looks::within(PATIENCE);
        while self.say("U0BOB", "whoami").await.contains("has not reached Slack yet") {
            looks.again(|| "the bot does not know its workspace".to_owned()).await;
        }
    }

    async fn begin_unready(&mut self) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        self.url = format!("http://{}", listener.local_addr().unwrap());
        self.workspace.set_request_url(&self.url);
        let settings = from_sources(&sources(&self.workspace, &self.place, &self.database_url));
        self.stop = CancellationToken::new();
        let start = Start {
            settings: settings.unwrap(),
            listener,
            clock: self.clock.clone(),
            program: env!("CARGO_BIN_EXE_neostock-ops").into(),
            stop: self.stop.clone(),
            reload: self.reload.clone(),
        };
        self.task = Some(tokio::spawn(serve(start)));
    }

    async fn until_answered(&mut self, path: &str, tick_ms: u64) {
        let url = format!("{}/{path}", self.url);
        let client = reqwest::Client::new();
        let looks = Looks::within(PATIENCE);
        while !client.get(&url).send().await.is_ok_and(|answer| answer.status().is_success()) {
            let has_ended = self.task.as_ref().is_some_and(JoinHandle::is_finished);
            assert!(!has_ended, "the bot ended: {:?}", self.task.take().unwrap().await);
            self.clock.advance_ms(tick_ms);
            looks.again(|| "the bot did not become ready".to_owned()).await;
        }
    }

    /// Starts another bot beside this one: the same database, runbook and workspace, a data folder of
    /// its own. Slack keeps talking to the first.
    pub async fn second(&self) -> (CancellationToken, JoinHandle<anyhow::Result<()>>) {
        self.another(&[]).await
    }

    /// The same with more in its environment.
    pub async fn another(
        &self,
        more: &[(&str, &str)],
    ) -> (CancellationToken, JoinHandle<anyhow::Result<()>>) {
        let (_, stop, task) = self.beside(more).await;
        (stop, task)
    }

    /// The same; where it listens too.
    pub async fn beside(
        &self,
        more: &[(&str, &str)],
    ) -> (String, CancellationToken, JoinHandle<anyhow::Result<()>>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let mut sources = sources(&self.workspace, &self.place, &self.database_url);
        let more = more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        sources.environment.extend(more);
        let folder = self.place.path().join("data-2").display().to_string();
        sources.environment.retain(|(name, _)| name != "NEOSTOCK_DATA_DIR");
        sources.environment.push(("NEOSTOCK_DATA_DIR".to_owned(), folder));
        let stop = CancellationToken::new();
        let start = Start {
            settings: from_sources(&sources).unwrap(),
            listener,
            clock: self.clock.clone(),
            program: env!("CARGO_BIN_EXE_neostock-ops").into(),
            stop: stop.clone(),
            reload: Reload::default(),
        };
        (url, stop, tokio::spawn(serve(start)))
    }

    /// Waits, by the bot's clock, until it ends by itself: what it says.
    pub async fn ended(&mut self) -> String {
        let looks = Looks::within(PATIENCE);
        while !self.task.as_ref().is_some_and(JoinHandle::is_finished) {
            self.clock.advance_ms(TICK_MS);
            looks.again(|| "the bot did not end".to_owned()).await;
        }
        let ended = self.task.take().unwrap().await.unwrap();
        ended.map_or_else(|error| format!("{error:#}"), |()| String::new())
    }

    /// Takes the bot away without a goodbye.
    pub async fn abort(&mut self) {
        let task = self.task.take().unwrap();
        task.abort();
        let _ = task.await;
    }

    /// Stops the bot gracefully.
    pub async fn end(&mut self) {
        self.stop.cancel();
        if let Some(task) = self.task.take() {
            task.await.unwrap().unwrap();
        }
    }

    /// Types `/neostock …` in #ops; what that person reads.
    pub async fn say(&self, user: &str, text: &str) -> String {
        self.say_in(user, "C0OPS", text).await
    }

    pub async fn say_in(&self, user: &str, channel: &str, text: &str) -> String {
        let answer = self.workspace.say(user, channel, text).await;
        let Answer::Given { status: 200, message: Some(message), .. } = &answer else {
            panic!("{text:?} was answered {answer:?}");
        };
        shown(message)
    }

    /// Presses the newest button that says this; what that person reads.
    pub async fn click(&self, user: &str, label: &str) -> String {
        let before = self.workspace.ephemerals(user).len();
        let answer = self.workspace.press(user, label).await;
        assert!(answer.is_ok(), "{label:?} was answered {answer:?}\n{}", self.everything());
        let after = self.workspace.ephemerals(user);
        assert!(after.len() > before, "nothing was said to {user} who pressed {label:?}");
        after.last().map_or_else(String::new, shown)
    }

    /// Presses the newest button that says this and opens a form; its id, if one was opened.
    pub async fn opens(&self, user: &str, label: &str) -> Option<String> {
        let before = self.workspace.views().len();
        let answer = self.workspace.press(user, label).await;
        assert!(answer.is_ok(), "{label:?} was answered {answer:?}");
        self.workspace.views().get(before).map(|view| view.id.clone())
    }

    /// Sends a form off; what stands under its question, empty when it closed.
    pub async fn submits(&self, user: &str, view: &str, reason: &str) -> String {
        let values = json!({"reason": {"reason": {"type": "plain_text_input", "value": reason}}});
        let answer = self.workspace.submit(user, view, &values).await;
        let Answer::Given { status: 200, body, .. } = &answer else { panic!("{answer:?}") };
        if body.is_empty() {
            return String::new();
        }
        let body: Value = serde_json::from_str(body).unwrap();
        assert_eq!(body["response_action"], "errors", "{body}");
        body["errors"]["reason"].as_str().unwrap().to_owned()
    }

    /// Rejects the newest run that waits, through the form.
    pub async fn rejects(&self, user: &str, reason: &str) {
        let form = self.opens(user, "Reject").await.expect("no form was opened");
        assert_eq!(self.submits(user, &form, reason).await, "");
    }

    /// What the newest card's buttons say.
    pub fn buttons(&self) -> Vec<String> {
        let buttons = self.newest_card().as_ref().map(Message::buttons).unwrap_or_default();
        buttons.into_iter().map(|button| button.label).collect()
    }

    /// The id of the run of the newest card.
    pub fn run_id(&self) -> String {
        let card = self.card();
        let at = card.find("R-").unwrap_or_else(|| panic!("no run id in {card:?}"));
        card[at..at + 10].to_owned()
    }

    pub fn advance_ms(&self, by_ms: u64) {
        self.clock.advance_ms(by_ms);
    }

    /// Moves the clock on until something holds.
    pub async fn until(&self, what: &str, mut holds: impl FnMut(&Self) -> bool) {
        let looks = Looks::within(PATIENCE);
        while !holds(self) {
            self.clock.advance_ms(TICK_MS);
            looks.again(|| format!("not in time: {what}\n{}", self.everything())).await;
        }
    }

    /// Waits until the card of the newest run says this.
    pub async fn until_card(&self, words: &str) -> String {
        self.until(words, |bot| bot.card().contains(words)).await;
        self.card()
    }

    /// Waits until nothing is due any more.
    pub async fn until_quiet(&self) {
        let store = self.inspect().await;
        let looks = Looks::within(PATIENCE);
        loop {
            let mut reader = store.read().await.unwrap();
            let census = neostock_ops::store::outbox::census(&mut reader).await.unwrap();
            drop(reader);
            if census.due == 0 {
                break;
            }
            self.clock.advance_ms(TICK_MS);
            looks.again(|| format!("messages stay due: {census:?}\n{}", self.everything())).await;
        }
        store.close().await;
    }

    /// What the newest card in #ops says.
    pub fn card(&self) -> String {
        self.newest_card().as_ref().map_or_else(String::new, shown)
    }

    /// The newest message of the bot outside threads. The journal's head, which comes when a day goes by,
    /// is no card of anybody's run.
    fn newest_card(&self) -> Option<Message> {
        let is_card = |message: &Message| {
            let is_own = message.thread_ts.is_none() && message.is_bot;
            is_own && !shown(message).contains("audit verify --anchor")
        };
        self.workspace.messages("C0OPS").into_iter().rfind(is_card)
    }

    /// What the thread of the newest card says, a message a line.
    pub fn thread(&self) -> Vec<String> {
        let all = self.workspace.messages("C0OPS");
        all.iter().filter(|message| message.thread_ts.is_some()).map(shown).collect()
    }

    pub fn everything(&self) -> String {
        neostock_ops::sandbox::transcript(&self.workspace, neostock_ops::sandbox::Language::En)
    }

    /// The kinds of the journal's newest entries, oldest first.
    pub async fn journal(&self) -> Vec<(String, String, Value)> {
        let store = self.inspect().await;
        let mut reader = store.read().await.unwrap();
        let mut rows = newest_of(&mut reader, &Filter::default(), 200).await.unwrap();
        drop(reader);
        store.close().await;
        rows.sort_by_key(|row| row.seq);
        rows.into_iter()
            .map(|row| (row.kind, row.actor, serde_json::from_str(&row.detail).unwrap()))
            .collect()
    }

    pub async fn journal_kinds(&self) -> Vec<String> {
        self.journal().await.into_iter().map(|(kind, ..)| kind).collect()
    }

    pub async fn inspect(&self) -> Store {
        let keys = None::<SecretString>;
        Store::inspect(&self.database_url, self.clock.clone(), keys).await.unwrap()
    }

    pub async fn metric(&self, line: &str) -> u64 {
        let text =
            reqwest::get(format!("{}/metrics", self.url)).await.unwrap().text().await.unwrap();
        let found = text.lines().find_map(|found| found.strip_prefix(line)?.trim().parse().ok());
        found.unwrap_or(0)
    }

    /// Ends the test: nothing due, nothing wrong in any call, and a journal that verifies.
    pub async fn finish(mut self) {
        self.until_quiet().await;
        self.end().await;
        assert_eq!(self.workspace.faults(), Vec::<String>::new());
        let store = self.inspect().await;
        let (report, is_sound) = audit::verify_report(&store, None, Lang::En).await.unwrap();
        assert!(is_sound, "{report}");
        store.close().await;
        self.workspace.shutdown().await;
    }
}

/// The settings, as a person would give them.
pub fn sources(workspace: &Workspace, place: &Place, database_url: &str) -> Sources {
    let environment = environment(workspace, place, database_url);
    Sources {
        file: None,
        environment,
        working_dir: place.path().to_owned(),
        hostname: "test".to_owned(),
    }
}

/// The same as environment variables.
pub fn environment(
    workspace: &Workspace,
    place: &Place,
    database_url: &str,
) -> Vec<(String, String)> {
    let host = workspace.base_url().trim_start_matches("http://").trim_end_matches('/').to_owned();
    let mut environment = [
        ("SLACK_BOT_TOKEN", workspace.bot_token()),
        ("SLACK_SIGNING_SECRET", workspace.signing_secret()),
        ("SLACK_API_URL", workspace.api_url()),
        ("DATABASE_URL", database_url.to_owned()),
        ("NEOSTOCK_RUNBOOK", place.runbook().display().to_string()),
        ("NEOSTOCK_DATA_DIR", place.data().display().to_string()),
        ("NEOSTOCK_RESPONSE_HOSTS", host),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .to_vec();
    // Set where a test has written them.
    let alerting = place.alerting();
    if alerting.exists() {
        environment.push(("NEOSTOCK_ALERTING".to_owned(), alerting.display().to_string()));
        environment.push(("NEOSTOCK_WEBHOOK_TOKEN".to_owned(), WEBHOOK_TOKEN.to_owned()));
    }
    environment
}

/// Every text of a message's blocks, a block a line.
pub fn shown(message: &Message) -> String {
    fn gather(value: &Value, out: &mut Vec<String>) {
        match value {
            Value::Object(object) => {
                if let Some(Value::String(text)) = object.get("text") {
                    out.push(text.replace('\u{200b}', ""));
                }
                for (key, inner) in object {
                    if key != "text" || !inner.is_string() {
                        gather(inner, out);
                    }
                }
            }
            Value::Array(items) => items.iter().for_each(|item| gather(item, out)),
            _ => {}
        }
    }
    let mut out = Vec::new();
    for block in &message.blocks {
        gather(block, &mut out);
    }
    if out.is_empty() { message.text.clone() } else { out.join("\n") }
}
