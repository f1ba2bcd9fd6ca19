//! The sandbox itself: that it is Slack enough for Slack's client, strict, and faulty on demand.

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use neostock_ops::sandbox::{Answer, Fault, Language, Options, Workspace, transcript};
use serde_json::{Value, json};
use slack_morphism::prelude::*;
use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};

/// A Tuesday in November 2023.
const NOON_MS: i64 = 1_700_000_000_000;

/// A workspace whose clock a test moves.
struct Stage {
    workspace: Workspace,
    now_ms: Arc<AtomicI64>,
    http: reqwest::Client,
}

impl Stage {
    async fn new() -> Self {
        Self::with(Options::default()).await
    }

    async fn with(options: Options) -> Self {
        let now_ms = Arc::new(AtomicI64::new(NOON_MS));
        let clock = Arc::clone(&now_ms);
        let now = Arc::new(move || clock.load(Ordering::SeqCst));
        let workspace =
            Workspace::start(Options { now, ..options }).await.expect("the sandbox starts");
        let http = reqwest::Client::builder().no_proxy().build().expect("a client");
        Self { workspace, now_ms, http }
    }

    fn advance_ms(&self, by_ms: i64) {
        self.now_ms.fetch_add(by_ms, Ordering::SeqCst);
    }

    async fn try_call(
        &self,
        method: &str,
        args: &Value,
    ) -> Result<reqwest::Response, reqwest::Error> {
        self.http
            .post(format!("{}/{method}", self.workspace.api_url()))
            .bearer_auth(self.workspace.bot_token())
            .json(args)
            .send()
            .await
    }

    async fn call(&self, method: &str, args: &Value) -> Value {
        let response = self.try_call(method, args).await.expect("an answer");
        response.json().await.expect("JSON")
    }

    /// A method that reads, which Slack answers to a query.
    async fn read(&self, method: &str, query: &str) -> Value {
        let url = format!("{}/{method}?{query}", self.workspace.api_url());
        let request = self.http.get(url).bearer_auth(self.workspace.bot_token());
        request.send().await.expect("an answer").json().await.expect("JSON")
    }

    async fn post(&self, args: &Value) -> String {
        let answer = self.call("chat.postMessage", args).await;
        assert_eq!(answer["ok"], true, "{answer}");
        answer["ts"].as_str().expect("a timestamp").to_owned()
    }
}

/// A bot that answers as it was told and remembers what it was asked.
#[derive(Clone, Default)]
struct Bot {
    answers: Arc<Mutex<VecDeque<Response>>>,
    heard: Arc<Mutex<Vec<Heard>>>,
}

#[derive(Clone)]
struct Heard {
    headers: HashMap<String, String>,
    body: String,
}

impl Heard {
    fn form(&self) -> HashMap<String, String> {
        form_urlencoded::parse(self.body.as_bytes()).into_owned().collect()
    }

    fn payload(&self) -> Value {
        serde_json::from_str(&self.form()["payload"]).expect("a JSON payload")
    }
}

impl Bot {
    async fn start(workspace: &Workspace) -> Self {
        let bot = Self::default();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let router = axum::Router::new().fallback(hear).with_state(bot.clone());
        #[expect(clippy::disallowed_methods, reason = "a bot of the test's own")]
        tokio::spawn(async move { axum::serve(listener, router).await });
        workspace.set_request_url(&format!("http://{address}/"));
        bot
    }

    fn will_answer(&self, answer: impl IntoResponse) {
        self.answers.lock().expect("no panic").push_back(answer.into_response());
    }

    fn heard(&self) -> Vec<Heard> {
        self.heard.lock().expect("no panic").clone()
    }
}

async fn hear(State(bot): State<Bot>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    assert_eq!(head.uri.path(), "/slack/events");
    let headers = head
        .headers
        .iter()
        .map(|(name, value)| (name.to_string(), value.to_str().expect("ASCII").to_owned()))
        .collect();
    let body = axum::body::to_bytes(body, 1 << 20).await.expect("a body");
    let body = String::from_utf8(body.to_vec()).expect("UTF-8");
    bot.heard.lock().expect("no panic").push(Heard { headers, body });
    let answer = bot.answers.lock().expect("no panic").pop_front();
    if answer.as_ref().is_some_and(|answer| answer.status() == StatusCode::REQUEST_TIMEOUT) {
        std::future::pending::<()>().await;
    }
    answer.unwrap_or_else(|| StatusCode::OK.into_response())
}

fn approve_card() -> Value {
    json!([
        {"type": "header", "text": {"type": "plain_text", "text": "回滚 v1.2"}},
        {"type": "section", "fields": [
            {"type": "mrkdwn", "text": "*操作人*\n<@U0ANN>"},
            {"type": "mrkdwn", "text": "*原因*\nP99 &gt; 5 s"},
        ]},
        {"type": "actions", "block_id": "gate", "elements": [
            {"type": "button", "text": {"type": "plain_text", "text": "批准"}, "style": "primary",
             "action_id": "approve", "value": "R-1"},
            {"type": "button", "text": {"type": "plain_text", "text": "拒绝"},
             "action_id": "reject", "value": "R-1"},
        ]},
    ])
}

#[tokio::test]
async fn slacks_own_client_can_post_edit_and_find_its_message_again() {
    let stage = Stage::new().await;
    let tls = rustls::ClientConfig::builder()
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    let connector = hyper_rustls::HttpsConnectorBuilder::new()
        .with_tls_config(tls)
        .https_or_http()
        .enable_http1()
        .build();
    let connector = SlackClientHyperConnector::with_connector(connector)
        .with_slack_api_url(&stage.workspace.api_url());
    let client = SlackClient::new(connector);
    let token = SlackApiToken::new(stage.workspace.bot_token().into());
    let session = client.open_session(&token);

    let who = session.auth_test().await.expect("auth.test");
    let metadata = SlackMessageMetadata {
        event_type: "neostock".into(),
        event_payload: Some(HashMap::from([("effect".to_owned(), "E-1".to_owned())])),
    };
    let content = SlackMessageContent::new().with_text("first".into()).with_metadata(metadata);
    let post = SlackApiChatPostMessageRequest::new("C0OPS".into(), content);
    let posted = session.chat_post_message(&post).await.expect("chat.postMessage");
    let edited = SlackMessageContent::new().with_text("second".into());
    let edit = SlackApiChatUpdateRequest::new("C0OPS".into(), edited, posted.ts.clone());
    session.chat_update(&edit).await.expect("chat.update");
    let reply = SlackMessageContent::new().with_text("a reply".into());
    let reply = SlackApiChatPostMessageRequest::new("C0OPS".into(), reply)
        .with_thread_ts(posted.ts.clone());
    session.chat_post_message(&reply).await.expect("a reply");
    let history = SlackApiConversationsHistoryRequest::new()
        .with_channel("C0OPS".into())
        .with_include_all_metadata(true);
    let history = session.conversations_history(&history).await.expect("conversations.history");
    let user = SlackApiUsersInfoRequest::new("U0ANN".into()).with_include_locale(true);
    let user = session.users_info(&user).await.expect("users.info").user;
    let unknown = SlackApiChatUpdateRequest::new(
        "C0OPS".into(),
        SlackMessageContent::new().with_text("x".into()),
        "1.000001".into(),
    );
    let refused = session.chat_update(&unknown).await.expect_err("there is no such message");

    assert_eq!(who.team_id.0, stage.workspace.team_id());
    assert_eq!(history.messages.len(), 1);
    let found = &history.messages[0];
    assert_eq!(found.content.text.as_deref(), Some("second"));
    let kept = found.content.metadata.as_ref().and_then(|it| it.event_payload.as_ref());
    assert_eq!(kept.and_then(|it| it.get("effect")).map(String::as_str), Some("E-1"));
    assert_eq!(found.parent.reply_count, Some(1));
    assert_eq!(user.locale.map(|locale| locale.0).as_deref(), Some("zh-CN"));
    assert!(refused.to_string().contains("message_not_found"), "{refused}");
    assert_eq!(stage.workspace.thread("C0OPS", &posted.ts.0).len(), 2);
    assert!(stage.workspace.messages("C0OPS")[0].is_edited());
    assert_eq!(stage.workspace.faults(), Vec::<String>::new());
    stage.workspace.shutdown().await;
}

#[tokio::test]
async fn nothing_is_idempotent_and_timestamps_never_repeat() {
    let stage = Stage::new().await;

    let first = stage.post(&json!({"channel": "C0OPS", "text": "same"})).await;
    let second = stage.post(&json!({"channel": "C0OPS", "text": "same"})).await;

    assert_eq!(first, "1700000000.000000");
    assert_eq!(second, "1700000000.000100");
    assert_eq!(stage.workspace.messages("C0OPS").len(), 2);
}

#[tokio::test]
async fn what_is_invalid_is_refused_and_remembered() {
    let stage = Stage::new().await;
    let long = "x".repeat(3_001);
    let blocks = json!([{"type": "section", "text": {"type": "mrkdwn", "text": long}}]);

    let refused =
        stage.call("chat.postMessage", &json!({"channel": "C0OPS", "blocks": blocks})).await;
    let nothing = stage.call("chat.postMessage", &json!({"channel": "C0OPS"})).await;
    let elsewhere = stage.call("chat.postMessage", &json!({"channel": "C9", "text": "a"})).await;
    let shout =
        stage.call("chat.postMessage", &json!({"channel": "C0OPS", "text": "<!here> a"})).await;
    let unknown = stage.call("chat.shout", &json!({})).await;
    let json_read = stage.call("conversations.history", &json!({"channel": "C0OPS"})).await;
    let forged = stage
        .http
        .post(format!("{}/auth.test", stage.workspace.api_url()))
        .bearer_auth("xoxb-other")
        .send()
        .await
        .expect("an answer");
    let forged: Value = forged.json().await.expect("JSON");

    assert_eq!(refused["error"], "invalid_blocks");
    assert!(refused["response_metadata"]["messages"][0].is_string());
    assert_eq!(nothing["error"], "no_text");
    assert_eq!(elsewhere["error"], "channel_not_found");
    assert_eq!(shout["ok"], true);
    assert_eq!(unknown["error"], "unknown_method");
    assert_eq!(json_read["error"], "invalid_arguments");
    assert_eq!(forged["error"], "invalid_auth");
    insta::assert_snapshot!(stage.workspace.faults().join("\n"), @r#"
    chat.postMessage: blocks[0].text: must be 1 to 3000 characters
    chat.postMessage: text: the message says nothing
    chat.postMessage: text: <!here> would notify everybody
    chat.shout: unknown_method
    conversations.history: takes no JSON body; its arguments were overlooked
    conversations.history: invalid_arguments [ERROR] missing required field: channel
    auth.test: invalid_auth
    "#);
}

#[tokio::test]
async fn history_and_replies_page_and_bound() {
    let stage = Stage::new().await;
    let mut all = Vec::new();
    for number in 1..=5 {
        all.push(stage.post(&json!({"channel": "C0DEV", "text": format!("{number}")})).await);
        stage.advance_ms(1_000);
    }
    let reply = json!({"channel": "C0DEV", "text": "r", "thread_ts": all[0]});
    stage.post(&reply).await;
    let texts = |page: &Value| -> Vec<String> {
        let messages = page["messages"].as_array().expect("messages");
        messages.iter().map(|it| it["text"].as_str().expect("text").to_owned()).collect()
    };

    let first = stage.read("conversations.history", "channel=C0DEV&limit=2").await;
    let cursor = first["response_metadata"]["next_cursor"].as_str().expect("a cursor");
    let query = format!("channel=C0DEV&limit=2&cursor={cursor}");
    let second = stage.read("conversations.history", &query).await;
    let query = format!("channel=C0DEV&oldest={}&latest={}", all[1], all[3]);
    let between = stage.read("conversations.history", &query).await;
    let inclusive = stage.read("conversations.history", &format!("{query}&inclusive=true")).await;
    let thread = stage.read("conversations.replies", &format!("channel=C0DEV&ts={}", all[0])).await;
    let orphan = json!({"channel": "C0DEV", "text": "r", "thread_ts": "1.000001"});
    let orphan = stage.call("chat.postMessage", &orphan).await;

    assert_eq!(texts(&first), ["5", "4"]);
    assert_eq!(texts(&second), ["3", "2"]);
    assert_eq!(texts(&between), ["3"]);
    assert_eq!(texts(&inclusive), ["4", "3", "2"]);
    assert_eq!(texts(&thread), ["1", "r"]);
    assert_eq!(thread["messages"][0]["reply_count"], 1);
    assert_eq!(orphan["error"], "thread_not_found");
}

#[tokio::test]
async fn private_conversations_people_and_groups() {
    let stage = Stage::with(Options {
        persons: {
            let mut persons = Options::default().persons;
            persons[1].is_deactivated = true;
            persons
        },
        ..Options::default()
    })
    .await;

    let opened = stage.call("conversations.open", &json!({"users": "U0CAT"})).await;
    let channel = opened["channel"]["id"].as_str().expect("a conversation").to_owned();
    stage.post(&json!({"channel": channel, "text": "hello"})).await;
    stage.post(&json!({"channel": "U0CAT", "text": "again"})).await;
    let guest = stage.read("users.info", "user=U0EVE").await;
    let gone = stage.read("users.info", "user=U0BOB&include_locale=true").await;
    let nobody = stage.read("users.info", "user=U9").await;
    let group = stage.read("usergroups.users.list", "usergroup=S0OPS").await;
    stage.workspace.set_group("S0OPS", &["U0CAT"]);
    let changed = stage.read("usergroups.users.list", "usergroup=S0OPS").await;
    let no_group = stage.read("usergroups.users.list", "usergroup=S9").await;

    assert_eq!(stage.workspace.private_messages("U0CAT").len(), 2);
    assert_eq!(guest["user"]["is_restricted"], true);
    assert_eq!(guest["user"]["locale"], Value::Null);
    assert_eq!(gone["user"]["deleted"], true);
    assert_eq!(gone["user"]["locale"], "en-US");
    assert_eq!(nobody["error"], "user_not_found");
    assert_eq!(group["users"], json!(["U0ANN", "U0BOB"]));
    assert_eq!(changed["users"], json!(["U0CAT"]));
    assert_eq!(no_group["error"], "no_such_subteam");
}

#[tokio::test]
async fn every_fault_looks_as_it_does_from_slack() {
    let stage = Stage::new().await;
    let post = json!({"channel": "C0OPS", "text": "a"});
    let count = || stage.workspace.messages("C0OPS").len();

    stage.workspace.fail_next("chat.postMessage", Fault::RateLimited { retry_after_secs: 7 });
    let limited = stage.try_call("chat.postMessage", &post).await.expect("an answer");
    assert_eq!((limited.status().as_u16(), count()), (429, 0));
    assert_eq!(limited.headers()["retry-after"], "7");

    stage.workspace.fail_next("chat.*", Fault::ServerError(503));
    let failed = stage.try_call("chat.postMessage", &post).await.expect("an answer");
    assert_eq!((failed.status().as_u16(), count()), (503, 0));

    stage.workspace.fail_next("chat.postMessage", Fault::NotJson);
    let page = stage.try_call("chat.postMessage", &post).await.expect("an answer");
    assert_eq!((page.status().as_u16(), count()), (200, 0));
    assert!(page.json::<Value>().await.is_err());

    stage.workspace.fail_next("chat.postMessage", Fault::Error("fatal_error"));
    assert_eq!(stage.call("chat.postMessage", &post).await["error"], "fatal_error");
    assert_eq!(count(), 0);

    stage.workspace.fail_next("chat.postMessage", Fault::DropBefore);
    assert!(stage.try_call("chat.postMessage", &post).await.is_err());
    assert_eq!(count(), 0);

    stage.workspace.fail_next("chat.postMessage", Fault::TimeoutAfterApplying(50));
    assert!(stage.try_call("chat.postMessage", &post).await.is_err());
    assert_eq!(count(), 1);

    stage.workspace.fail_matching("chat.postMessage", 2, Fault::Slow(50));
    stage.post(&post).await;
    assert_eq!(count(), 2);
    stage.post(&post).await;
    stage.post(&post).await;

    let statuses: Vec<u16> =
        stage.workspace.calls_of("chat.postMessage").iter().map(|call| call.status).collect();
    assert_eq!(statuses, [429, 503, 200, 200, 0, 0, 200, 200, 200]);
    assert_eq!(stage.workspace.faults(), Vec::<String>::new());
}

#[tokio::test]
async fn a_channel_takes_about_one_post_a_second() {
    let stage = Stage::new().await;
    stage.workspace.enforce_rate_limits(true);
    let status = async |channel: &str| {
        let post = json!({"channel": channel, "text": "a"});
        stage.try_call("chat.postMessage", &post).await.expect("an answer").status().as_u16()
    };

    let burst = [
        status("C0OPS").await,
        status("C0OPS").await,
        status("C0OPS").await,
        status("C0OPS").await,
    ];
    let other = status("C0DEV").await;
    stage.advance_ms(1_000);
    let later = [status("C0OPS").await, status("C0OPS").await];

    assert_eq!(burst, [200, 200, 200, 429]);
    assert_eq!(other, 200);
    assert_eq!(later, [200, 429]);
}

#[tokio::test]
async fn a_command_arrives_with_every_field_and_a_right_signature() {
    let stage = Stage::new().await;
    let bot = Bot::start(&stage.workspace).await;
    bot.will_answer(([("content-type", "application/json")], r#"{"text":"*ok* &lt;3"}"#));

    let answer = stage.workspace.say("U0ANN", "C0OPS", "rollback v1.2 ask @bob a<b").await;

    let heard = &bot.heard()[0];
    let timestamp: i64 = heard.headers["x-slack-request-timestamp"].parse().expect("a number");
    assert_eq!(timestamp, NOON_MS / 1_000);
    let right = stage.workspace.sign(timestamp, heard.body.as_bytes());
    assert_eq!(heard.headers["x-slack-signature"], right);
    assert_eq!(heard.headers["content-type"], "application/x-www-form-urlencoded");
    let form = heard.form();
    for (key, value) in [
        ("team_id", "T0NEO"),
        ("team_domain", "neostock"),
        ("channel_id", "C0OPS"),
        ("channel_name", "ops"),
        ("user_id", "U0ANN"),
        ("user_name", "ann"),
        ("command", "/neostock"),
        ("text", "rollback v1.2 ask <@U0BOB|bob> a&lt;b"),
        ("is_enterprise_install", "false"),
    ] {
        assert_eq!(form.get(key).map(String::as_str), Some(value), "{key}");
    }
    for key in ["token", "api_app_id", "response_url", "trigger_id"] {
        assert!(!form[key].is_empty(), "{key}");
    }
    assert_eq!(answer.message().map(|it| it.text.as_str()), Some("*ok* &lt;3"));
    assert_eq!(stage.workspace.ephemerals("U0ANN").len(), 1);
    assert_eq!(stage.workspace.ephemerals("U0BOB").len(), 0);
    assert_eq!(stage.workspace.messages("C0OPS").len(), 0);
}

#[tokio::test]
async fn answers_can_be_public_empty_late_wrong_or_impossible() {
    let stage = Stage::with(Options { answer_limit_ms: 200, ..Options::default() }).await;
    let unreachable = stage.workspace.say("U0ANN", "C0OPS", "zero").await;
    let bot = Bot::start(&stage.workspace).await;
    bot.will_answer(r#"{"response_type":"in_channel","text":"for all"}"#);
    bot.will_answer("");
    bot.will_answer("plain words");
    bot.will_answer(StatusCode::INTERNAL_SERVER_ERROR);
    bot.will_answer(StatusCode::REQUEST_TIMEOUT);
    bot.will_answer(r#"{"response_type":"public","colour":"red","text":"a"}"#);

    let mut answers = Vec::new();
    for text in ["one", "two", "three", "four", "five", "six"] {
        answers.push(stage.workspace.say("U0ANN", "C0OPS", text).await);
    }

    assert!(matches!(unreachable, Answer::Unreachable(_)));
    assert_eq!(stage.workspace.messages("C0OPS")[0].text, "for all");
    assert_eq!(answers[1].message(), None);
    assert_eq!(answers[2].message().map(|it| it.text.as_str()), Some("plain words"));
    assert_eq!(answers[3].status(), 500);
    assert_eq!(answers[4], Answer::TimedOut);
    assert_eq!(stage.workspace.faults().len(), 2, "{:?}", stage.workspace.faults());
}

#[tokio::test]
async fn a_press_carries_the_button_as_it_stands_on_the_message() {
    let stage = Stage::new().await;
    let bot = Bot::start(&stage.workspace).await;
    let ts =
        stage.post(&json!({"channel": "C0OPS", "text": "card", "blocks": approve_card()})).await;

    let pressed = stage.workspace.press("U0BOB", "批准").await;
    let edited = json!({"channel": "C0OPS", "ts": ts, "text": "done", "blocks": []});
    stage.call("chat.update", &edited).await;
    let too_late = stage.workspace.click("U0BOB", "C0OPS", &ts, "approve", None).await;

    assert!(pressed.is_ok());
    assert_eq!(too_late, Answer::NoSuchButton);
    let heard = bot.heard();
    assert_eq!(heard.len(), 1);
    let payload = heard[0].payload();
    assert_eq!(payload["type"], "block_actions");
    assert_eq!(payload["user"]["id"], "U0BOB");
    assert_eq!(payload["channel"]["id"], "C0OPS");
    assert_eq!(payload["container"]["message_ts"], json!(ts));
    assert_eq!(payload["message"]["blocks"][2]["block_id"], "gate");
    let action = &payload["actions"][0];
    assert_eq!(action["action_id"], "approve");
    assert_eq!(action["block_id"], "gate");
    assert_eq!(action["value"], "R-1");
    assert_eq!(action["style"], "primary");
}

#[tokio::test]
async fn a_response_url_works_five_times_and_for_half_an_hour() {
    let stage = Stage::new().await;
    let bot = Bot::start(&stage.workspace).await;
    bot.will_answer("wait");
    stage.workspace.say("U0ANN", "C0OPS", "slow").await;
    stage.workspace.say("U0ANN", "C0OPS", "slower").await;
    let urls: Vec<String> =
        bot.heard().iter().map(|heard| heard.form()["response_url"].clone()).collect();
    let send = async |url: &str, body: Value| {
        stage.http.post(url).json(&body).send().await.expect("an answer").status().as_u16()
    };

    let replaced = send(&urls[0], json!({"replace_original": true, "text": "done"})).await;
    let mut rest = Vec::new();
    for number in 2..=6 {
        rest.push(send(&urls[0], json!({"text": format!("{number}")})).await);
    }
    stage.advance_ms(30 * 60_000 + 1);
    let expired = send(&urls[1], json!({"text": "late"})).await;

    assert_eq!(replaced, 200);
    assert_eq!(rest, [200, 200, 200, 200, 404]);
    assert_eq!(expired, 404);
    let seen: Vec<String> =
        stage.workspace.ephemerals("U0ANN").into_iter().map(|message| message.text).collect();
    assert_eq!(seen, ["done", "2", "3", "4", "5"]);
    assert_eq!(stage.workspace.faults(), ["response_url: used_url", "response_url: expired_url"]);
}

#[tokio::test]
async fn a_trigger_opens_one_view_within_three_seconds() {
    let stage = Stage::new().await;
    let bot = Bot::start(&stage.workspace).await;
    stage.workspace.say("U0ANN", "C0OPS", "one").await;
    stage.workspace.say("U0ANN", "C0OPS", "two").await;
    let triggers: Vec<String> =
        bot.heard().iter().map(|heard| heard.form()["trigger_id"].clone()).collect();
    let view = json!({"type": "modal", "callback_id": "c", "blocks": [],
        "title": {"type": "plain_text", "text": "回滚"}});
    let open = async |trigger: &str| {
        stage.call("views.open", &json!({"trigger_id": trigger, "view": view})).await
    };

    let opened = open(&triggers[0]).await;
    let again = open(&triggers[0]).await;
    stage.advance_ms(3_001);
    let late = open(&triggers[1]).await;
    let id = opened["view"]["id"].as_str().expect("a view");
    let values = json!({"reason": {"text": {"type": "plain_text_input", "value": "P99"}}});
    let submitted = stage.workspace.submit("U0ANN", id, &values).await;

    assert_eq!(again["error"], "trigger_exchanged");
    assert_eq!(late["error"], "trigger_expired");
    assert!(submitted.is_ok());
    let payload = bot.heard()[2].payload();
    assert_eq!(payload["type"], "view_submission");
    assert_eq!(payload["view"]["state"]["values"], values);
}

#[tokio::test]
async fn an_event_comes_again_until_the_bot_agrees() {
    let stage = Stage::new().await;
    let bot = Bot::start(&stage.workspace).await;
    bot.will_answer(StatusCode::INTERNAL_SERVER_ERROR);
    bot.will_answer(StatusCode::SERVICE_UNAVAILABLE);

    let answers = stage.workspace.event(&json!({"type": "app_home_opened", "user": "U0ANN"})).await;

    let statuses: Vec<u16> = answers.iter().map(Answer::status).collect();
    assert_eq!(statuses, [500, 503, 200]);
    let heard = bot.heard();
    assert!(!heard[0].headers.contains_key("x-slack-retry-num"));
    assert_eq!(heard[2].headers["x-slack-retry-num"], "2");
    assert_eq!(heard[2].headers["x-slack-retry-reason"], "http_error");
    let ids: Vec<Value> = heard
        .iter()
        .map(|it| serde_json::from_str::<Value>(&it.body).expect("JSON")["event_id"].clone())
        .collect();
    assert!(ids[0] == ids[1] && ids[1] == ids[2], "{ids:?}");
}

#[tokio::test]
async fn a_file_is_announced_sent_and_shared() {
    let stage = Stage::new().await;
    let ts = stage.post(&json!({"channel": "C0OPS", "text": "card"})).await;

    let announced = stage.read("files.getUploadURLExternal", "filename=run.log&length=5").await;
    let url = announced["upload_url"].as_str().expect("an address");
    let sent = stage.http.post(url).body("bytes").send().await.expect("an answer");
    let complete = json!({"files": [{"id": announced["file_id"], "title": "R-1.log"}],
        "channel_id": "C0OPS", "thread_ts": ts});
    let completed = stage.call("files.completeUploadExternal", &complete).await;

    assert_eq!(sent.status().as_u16(), 200);
    assert_eq!(completed["ok"], true, "{completed}");
    let files = stage.workspace.files();
    assert_eq!(files[0].bytes.as_deref(), Some(b"bytes".as_slice()));
    assert_eq!(stage.workspace.thread("C0OPS", &ts)[1].files, [files[0].id.clone()]);
    assert_eq!(stage.workspace.faults(), Vec::<String>::new());
}

#[tokio::test]
async fn waiting_ends_with_the_change_or_with_the_deadline() {
    let stage = Stage::new().await;
    let has_one = |workspace: &Workspace| workspace.messages("C0OPS").len() == 1;

    let early = stage.workspace.wait_until(20, has_one).await;
    let post = json!({"channel": "C0OPS", "text": "a"});
    let (seen, _) = tokio::join!(stage.workspace.wait_until(5_000, has_one), stage.post(&post));

    assert!(!early);
    assert!(seen);
}

#[tokio::test]
async fn a_transcript_reads_like_the_conversation() {
    let stage = Stage::new().await;
    let bot = Bot::start(&stage.workspace).await;
    bot.will_answer(r#"{"text":"已收到，进度见 <#C0OPS>"}"#);
    stage.workspace.say("U0ANN", "C0OPS", "rollback v1.2 P99 > 5 s").await;
    stage.advance_ms(60_000);
    let card = json!({"channel": "C0OPS", "text": "card",
        "attachments": [{"color": "#2eb67d", "blocks": approve_card()}]});
    let ts = stage.post(&card).await;
    stage.advance_ms(60_000);
    let reply = json!({"channel": "C0OPS", "thread_ts": ts,
        "text": "1. 验证目标版本 ✅\n```\n3f1c2d0 v1.2\n```\n<@U0BOB> 请批准"});
    stage.post(&reply).await;
    stage
        .call(
            "chat.update",
            &json!({"channel": "C0OPS", "ts": ts, "text": "card",
        "attachments": [{"color": "#2eb67d", "blocks": approve_card()}]}),
        )
        .await;
    stage.workspace.write("U0BOB", "C0OPS", "看一下，@ann");
    stage.post(&json!({"channel": "U0CAT", "text": "*您的权限*：查看"})).await;

    insta::assert_snapshot!(transcript(&stage.workspace, Language::Zh), @r#"
    ── #ops ────────────────────────────────────────────────────────────────────────────────

      06:13  安安 ▸ /neostock rollback v1.2 P99 > 5 s

      06:13  NeoStock Ops（仅 安安 可见）
             已收到，进度见 #ops

      06:14  NeoStock Ops（已编辑）
             card
             │ 回滚 v1.2
             │ 操作人  @安安
             │ 原因    P99 > 5 s
             │ [ 批准 ]  [ 拒绝 ]

           06:15  NeoStock Ops
                  1. 验证目标版本 ✅
                      3f1c2d0 v1.2
                  @Bob 请批准

      06:15  Bob
             看一下，@安安

    ── 小猫 ⇄ NeoStock Ops ─────────────────────────────────────────────────────────────────

      06:15  NeoStock Ops
             您的权限：查看
    "#);
    assert!(transcript(&stage.workspace, Language::En).contains("(only visible to 安安)"));
    assert_eq!(stage.workspace.faults(), Vec::<String>::new());
}
