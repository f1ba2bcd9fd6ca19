//! The page's addresses: what each person is shown, what they may do, and whom it does not answer.

use axum::extract::{Request, State};
use neostock_ops::sandbox::{CommandHint, Guide, Idea, Options, Workspace};
use reqwest::header::{CONTENT_DISPOSITION, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HOST, ORIGIN};
use reqwest::{Response, StatusCode};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const HOSTILE: &str = "<img src=x onerror=alert(1)><script>alert(2)</script> & \" '";
/// How long a change may take to reach a page.
const PATIENCE: Duration = Duration::from_secs(10);

/// A workspace with a bot that answers every command and press with nothing, and a browser.
struct Stage {
    workspace: Workspace,
    http: reqwest::Client,
    heard: Arc<Mutex<Vec<String>>>,
}

impl Stage {
    async fn new() -> Self {
        let workspace = Workspace::start(Options::default()).await.unwrap();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        workspace.set_request_url(&format!("http://{}", listener.local_addr().unwrap()));
        let router = axum::Router::new().fallback(hear).with_state(Arc::clone(&heard));
        tokio::spawn(async move { axum::serve(listener, router).await });
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        Self { workspace, http, heard }
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.workspace.base_url())
    }

    async fn get(&self, path: &str) -> Response {
        self.http.get(self.url(path)).send().await.unwrap()
    }

    async fn seen_by(&self, user: &str) -> Value {
        let answer = self.get(&format!("/page/state?as={user}")).await;
        assert_eq!(answer.status(), StatusCode::OK);
        answer.json().await.unwrap()
    }

    async fn messages_seen_by(&self, user: &str, channel: &str) -> Vec<Value> {
        let seen = self.seen_by(user).await;
        let rooms = seen["rooms"].as_array().unwrap();
        let room = rooms.iter().find(|room| room["id"] == channel);
        room.map(|room| room["messages"].as_array().unwrap().clone()).unwrap_or_default()
    }

    async fn post(&self, path: &str, body: &Value) -> (StatusCode, Value) {
        let answer = self.http.post(self.url(path)).json(body).send().await.unwrap();
        (answer.status(), answer.json().await.unwrap())
    }

    /// What the bot calls.
    async fn call(&self, method: &str, body: &Value) -> Value {
        let url = format!("{}/{method}", self.workspace.api_url());
        let request = self.http.post(url).bearer_auth(self.workspace.bot_token()).json(body);
        let answer: Value = request.send().await.unwrap().json().await.unwrap();
        assert_eq!(answer["ok"], true, "{answer}");
        answer
    }
}

async fn hear(State(heard): State<Arc<Mutex<Vec<String>>>>, request: Request) {
    let body = axum::body::to_bytes(request.into_body(), 1 << 20).await.unwrap();
    heard.lock().unwrap().push(String::from_utf8(body.to_vec()).unwrap());
}

#[tokio::test]
async fn the_page_and_all_that_it_loads_are_served_and_may_load_nothing_else() {
    let stage = Stage::new().await;

    let page = stage.get("/").await;
    let policy = page.headers()[CONTENT_SECURITY_POLICY].to_str().unwrap().to_owned();
    let html = page.text().await.unwrap();
    let deep = stage.get("/archives/C0OPS/p1700000000000100?as=U0BOB").await.text().await.unwrap();

    assert!(policy.starts_with("default-src 'self';") && !policy.contains("unsafe"), "{policy}");
    assert_eq!(html, deep);
    let mut waiting: Vec<String> =
        html.split('"').filter(|word| word.starts_with("/page/")).map(str::to_owned).collect();
    let mut seen = Vec::new();
    while let Some(path) = waiting.pop() {
        if seen.contains(&path) {
            continue;
        }
        let answer = stage.get(&path).await;
        assert_eq!(answer.status(), StatusCode::OK, "{path}");
        assert_eq!(answer.headers()["x-content-type-options"], "nosniff");
        let kind = answer.headers()[CONTENT_TYPE].to_str().unwrap().to_owned();
        // The name of a vocabulary is no address.
        let text = answer.text().await.unwrap().replace("http://www.w3.org/2000/svg", "");
        if kind.starts_with("text/javascript") {
            assert!(
                !text.contains("innerHTML")
                    && !text.contains("http://")
                    && !text.contains("https://"),
                "{path}"
            );
            let imported = text.split('\'').filter_map(|word| word.strip_prefix("./"));
            waiting.extend(imported.map(|name| format!("/page/{name}")));
        }
        seen.push(path);
    }
    assert!(seen.len() >= 12, "{seen:?}");
    assert_eq!(stage.get("/page/other.js").await.status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn another_host_another_origin_and_anything_but_json_are_refused() {
    let stage = Stage::new().await;
    let number = stage.workspace.base_url().rsplit(':').next().unwrap().to_owned();
    let said = json!({"as": "U0ANN", "channel": "C0OPS", "text": "hello"});

    for host in [
        "evil.example".to_owned(),
        format!("evil.example:{number}"),
        "127.0.0.1".to_owned(),
        "127.0.0.1:1".to_owned(),
    ] {
        for path in ["/", "/page/state?as=U0ANN", "/page/events", "/page/traffic", "/page/app.js"] {
            let answer = stage.http.get(stage.url(path)).header(HOST, &host).send().await.unwrap();
            assert_eq!(answer.status(), StatusCode::FORBIDDEN, "{host} {path}");
        }
        let post = stage.http.post(stage.url("/page/say")).header(HOST, &host).json(&said);
        assert_eq!(post.send().await.unwrap().status(), StatusCode::FORBIDDEN, "{host}");
    }
    for origin in ["http://evil.example", "null", "https://127.0.0.1", "http://127.0.0.1:1"] {
        for path in ["/page/say", "/page/press"] {
            let post = stage.http.post(stage.url(path)).header(ORIGIN, origin).json(&said);
            assert_eq!(
                post.send().await.unwrap().status(),
                StatusCode::FORBIDDEN,
                "{origin} {path}"
            );
        }
    }
    for kind in ["text/plain", "application/x-www-form-urlencoded", "application/jsonp", ""] {
        let post = stage
            .http
            .post(stage.url("/page/say"))
            .header(CONTENT_TYPE, kind)
            .body(said.to_string());
        assert_eq!(
            post.send().await.unwrap().status(),
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "{kind}"
        );
    }
    let bot = stage
        .http
        .post(stage.url("/api/chat.postMessage"))
        .bearer_auth(stage.workspace.bot_token());
    let bot = bot.header(ORIGIN, stage.workspace.base_url()).json(&said);
    assert_eq!(bot.send().await.unwrap().status(), StatusCode::FORBIDDEN);
    let answer = stage.http.post(stage.url("/commands/T0NEO/1")).header(HOST, "evil.example");
    assert_eq!(answer.json(&said).send().await.unwrap().status(), StatusCode::FORBIDDEN);
    assert!(stage.workspace.messages("C0OPS").is_empty());

    let own = stage.http.post(stage.url("/page/say")).header(ORIGIN, stage.workspace.base_url());
    assert_eq!(own.json(&said).send().await.unwrap().status(), StatusCode::OK);
    let local = stage.http.get(stage.url("/")).header(HOST, format!("localhost:{number}"));
    assert_eq!(local.send().await.unwrap().status(), StatusCode::OK);
    assert_eq!(stage.workspace.messages("C0OPS").len(), 1);
}

#[tokio::test]
async fn each_person_sees_what_is_theirs_and_nothing_else() {
    let stage = Stage::new().await;
    stage.call("chat.postMessage", &json!({"channel": "C0OPS", "text": "for all"})).await;
    stage
        .call(
            "chat.postEphemeral",
            &json!({"channel": "C0OPS", "user": "U0ANN", "text": "for ann"}),
        )
        .await;
    stage.call("chat.postMessage", &json!({"channel": "U0BOB", "text": "for bob"})).await;
    stage.workspace.say("U0CAT", "C0OPS", "help").await;

    let texts = async |user: &str, channel: &str| -> Vec<String> {
        let messages = stage.messages_seen_by(user, channel).await;
        messages.iter().map(|message| message["text"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(texts("U0ANN", "C0OPS").await, ["for all", "for ann"]);
    assert_eq!(texts("U0BOB", "C0OPS").await, ["for all"]);
    assert_eq!(texts("U0CAT", "C0OPS").await, ["for all", "help"]);
    assert_eq!(texts("U0BOB", "D0BOB").await, ["for bob"]);
    let everything = stage.seen_by("U0ANN").await.to_string();
    assert!(!everything.contains("for bob") && !everything.contains("D0BOB"), "{everything}");
    assert!(everything.contains("D0ANN"), "everybody has the bot among their conversations");
    assert!(!everything.contains(&stage.workspace.bot_token()));
    assert!(!everything.contains(&stage.workspace.signing_secret()));

    stage.workspace.deactivate("U0EVE");
    for nobody in ["U0EVE", "U0NOBODY", ""] {
        let answer = stage.get(&format!("/page/state?as={nobody}")).await;
        assert_eq!(answer.status(), StatusCode::NOT_FOUND);
    }
}

#[tokio::test]
async fn what_is_typed_is_a_command_or_a_message_and_hostile_text_stays_text() {
    let stage = Stage::new().await;
    let say = async |body: Value| stage.post("/page/say", &body).await;

    let (status, answer) =
        say(json!({"as": "U0ANN", "channel": "C0OPS", "text": "/neostock status now"})).await;
    assert_eq!((status, &answer["status"]), (StatusCode::OK, &json!(200)));
    assert!(stage.heard.lock().unwrap()[0].contains("text=status+now"));
    say(json!({"as": "U0ANN", "channel": "D0ANN", "text": "/neostock"})).await;
    stage.seen_by("U0ANN").await;
    assert_eq!(
        say(json!({"as": "U0ANN", "channel": "D0ANN", "text": "/neostock"})).await.0,
        StatusCode::OK
    );
    say(json!({"as": "U0BOB", "channel": "C0OPS", "text": HOSTILE})).await;
    say(json!({"as": "U0BOB", "channel": "C0OPS", "text": "/neostockish is no command"})).await;
    assert_eq!(stage.heard.lock().unwrap().len(), 2);
    let head = stage.workspace.messages("C0OPS")[0].clone();
    let reply =
        json!({"as": "U0CAT", "channel": "C0OPS", "thread_ts": head.ts, "text": "in its thread"});
    assert_eq!(say(reply).await.0, StatusCode::OK);

    let seen = stage.messages_seen_by("U0ANN", "C0OPS").await;
    assert_eq!((&seen[0]["kind"], &seen[0]["text"]), (&json!("typed"), &json!("status now")));
    let escaped = HOSTILE.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    assert_eq!(seen[1]["text"], escaped);
    assert_eq!(seen[2]["text"], "/neostockish is no command");
    assert_eq!((&seen[3]["thread_ts"], &seen[3]["user"]), (&json!(head.ts), &json!("U0CAT")));

    let refused = [
        (json!({"as": "U0ANN", "channel": "C0OPS", "text": "  "}), "no_text"),
        (json!({"as": "U0ANN", "channel": "C0OPS", "text": "字".repeat(4_001)}), "msg_too_long"),
        (json!({"as": "U0NOBODY", "channel": "C0OPS", "text": "x"}), "no_such_person"),
        (json!({"as": "U0BOB", "channel": "D0ANN", "text": "x"}), "channel_not_found"),
        (
            json!({"as": "U0BOB", "channel": "C0OPS", "text": "x", "thread_ts": "1.0"}),
            "thread_not_found",
        ),
        (
            json!({"as": "U0BOB", "channel": "C0OPS", "text": "/neostock", "thread_ts": head.ts}),
            "no_commands_in_threads",
        ),
    ];
    for (body, error) in refused {
        let (status, answer) = say(body.clone()).await;
        assert!(status.is_client_error() && answer["error"] == error, "{body} {status} {answer}");
    }
    let large = json!({"as": "U0ANN", "channel": "C0OPS", "text": "x".repeat(70_000)}).to_string();
    let post = stage.http.post(stage.url("/page/say")).header(CONTENT_TYPE, "application/json");
    assert_eq!(post.body(large).send().await.unwrap().status(), StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(stage.workspace.messages("C0OPS").len(), 3);
}

#[tokio::test]
async fn a_press_reaches_the_bot_only_from_whoever_sees_the_button() {
    let stage = Stage::new().await;
    let button = json!({"type": "button", "action_id": "approve", "value": "R-1 a", "text": {"type": "plain_text", "text": "Approve"}});
    let blocks = json!([{"type": "actions", "elements": [button]}]);
    let message = json!({"channel": "C0OPS", "user": "U0BOB", "text": "card", "blocks": blocks});
    let ts = stage.call("chat.postEphemeral", &message).await["message_ts"].clone();
    let press = |user: &str, action: &str| json!({"as": user, "channel": "C0OPS", "ts": ts, "action_id": action, "value": "R-1 a"});

    let (status, answer) = stage.post("/page/press", &press("U0ANN", "approve")).await;
    assert_eq!((status, &answer["error"]), (StatusCode::CONFLICT, &json!("no_such_button")));
    let (status, _) = stage.post("/page/press", &press("U0BOB", "other")).await;
    assert_eq!(status, StatusCode::CONFLICT);
    assert!(stage.heard.lock().unwrap().is_empty());

    let (status, _) = stage.post("/page/press", &press("U0BOB", "approve")).await;
    assert_eq!(status, StatusCode::OK);
    assert!(stage.heard.lock().unwrap()[0].contains("block_actions"));
    stage.workspace.set_request_url("http://127.0.0.1:1");
    let (status, answer) = stage.post("/page/press", &press("U0BOB", "approve")).await;
    assert_eq!((status, &answer["error"]), (StatusCode::BAD_GATEWAY, &json!("dispatch_failed")));
}

#[tokio::test]
async fn a_page_that_listens_hears_of_changes_and_a_workspace_that_stops_lets_it_go() {
    let stage = Stage::new().await;
    let mut events = stage.get("/page/events").await;
    assert_eq!(events.headers()[CONTENT_TYPE], "text/event-stream");
    let mut next = async || tokio::time::timeout(PATIENCE, events.chunk()).await.unwrap().unwrap();

    let first = next().await.unwrap();
    stage.workspace.write("U0ANN", "C0OPS", "one");
    let second = next().await.unwrap();

    assert!(first.starts_with(b"data: ") && second.starts_with(b"data: "), "{second:?}");
    assert_ne!(first, second);
    stage.workspace.shutdown().await;
    assert!(next().await.is_none());
}

#[tokio::test]
async fn only_so_many_pages_listen_at_once() {
    let stage = Stage::new().await;
    let mut open = Vec::new();
    for _ in 0..64 {
        let events = stage.get("/page/events").await;
        assert_eq!(events.status(), StatusCode::OK);
        open.push(events);
    }
    assert_eq!(stage.get("/page/events").await.status(), StatusCode::SERVICE_UNAVAILABLE);
    stage.workspace.shutdown().await;
}

#[tokio::test]
async fn the_traffic_shows_both_directions_without_secrets() {
    let stage = Stage::new().await;
    stage.workspace.say("U0ANN", "C0OPS", "status").await;
    stage.call("chat.postMessage", &json!({"channel": "C0OPS", "text": "hello"})).await;

    let traffic: Value = stage.get("/page/traffic").await.json().await.unwrap();

    let exchanges = traffic["exchanges"].as_array().unwrap();
    assert_eq!(exchanges.len(), 2);
    assert_eq!(
        (&exchanges[0]["direction"], &exchanges[0]["name"]),
        (&json!("to_bot"), &json!("slash_command"))
    );
    assert_eq!(
        (&exchanges[0]["status"], &exchanges[0]["asked"]["text"]),
        (&json!(200), &json!("status"))
    );
    assert_eq!(
        (&exchanges[1]["direction"], &exchanges[1]["name"]),
        (&json!("from_bot"), &json!("chat.postMessage"))
    );
    let shown = traffic.to_string();
    for secret in [
        stage.workspace.bot_token(),
        stage.workspace.signing_secret(),
        "legacy-token".to_owned(),
        "/commands/".to_owned(),
    ] {
        assert!(!shown.contains(&secret), "{secret} in {shown}");
    }
    let later: Value = stage.get("/page/traffic?after=1").await.json().await.unwrap();
    assert_eq!(later["exchanges"].as_array().unwrap().len(), 1);
    assert_eq!(stage.workspace.deliveries().len(), 1);
}

#[tokio::test]
async fn a_file_is_for_those_who_see_its_channel_and_never_a_page_of_its_own() {
    let stage = Stage::new().await;
    let share = async |name: &str, bytes: &[u8], channel: &str| {
        let query = format!("filename={name}&length={}", bytes.len());
        let url = format!("{}/files.getUploadURLExternal?{query}", stage.workspace.api_url());
        let request = stage.http.get(url).bearer_auth(stage.workspace.bot_token());
        let place: Value = request.send().await.unwrap().json().await.unwrap();
        let upload = stage.http.post(place["upload_url"].as_str().unwrap()).body(bytes.to_vec());
        assert!(upload.send().await.unwrap().status().is_success());
        let id = place["file_id"].as_str().unwrap().to_owned();
        let done = json!({"files": [{"id": id}], "channel_id": channel});
        stage.call("files.completeUploadExternal", &done).await;
        id
    };
    stage.seen_by("U0BOB").await;
    let page = share("a.html", HOSTILE.as_bytes(), "C0OPS").await;
    let private = share("b.log", b"line", "D0BOB").await;
    let binary = share("c.bin", &[0xff, 0xfe], "C0OPS").await;

    let answer = stage.get(&format!("/page/file/{page}?as=U0ANN")).await;
    assert_eq!(answer.headers()[CONTENT_TYPE], "text/plain; charset=utf-8");
    assert_eq!(answer.headers()["x-content-type-options"], "nosniff");
    assert_eq!(answer.headers()[CONTENT_DISPOSITION], "inline; filename*=UTF-8''a.html");
    assert_eq!(answer.text().await.unwrap(), HOSTILE);
    let answer = stage.get(&format!("/page/file/{page}?as=U0ANN&download=1")).await;
    assert!(answer.headers()[CONTENT_DISPOSITION].to_str().unwrap().starts_with("attachment"));
    let answer = stage.get(&format!("/page/file/{binary}?as=U0ANN")).await;
    assert!(answer.headers()[CONTENT_DISPOSITION].to_str().unwrap().starts_with("attachment"));
    assert_eq!(stage.get(&format!("/page/file/{private}?as=U0BOB")).await.status(), StatusCode::OK);
    for path in
        [format!("{private}?as=U0ANN"), format!("{page}?as=U0NOBODY"), "F09?as=U0ANN".to_owned()]
    {
        let answer = stage.get(&format!("/page/file/{path}")).await;
        assert_eq!(answer.status(), StatusCode::NOT_FOUND, "{path}");
    }
    let files = &stage.messages_seen_by("U0ANN", "C0OPS").await[0]["files"];
    assert_eq!((&files[0]["id"], &files[0]["bytes"]), (&json!(page), &json!(HOSTILE.len())));
}

#[tokio::test]
async fn the_page_offers_what_whoever_started_it_said() {
    let stage = Stage::new().await;
    stage.workspace.set_guide(Guide {
        commands: vec![CommandHint {
            usage: "status".into(),
            zh: "状态".into(),
            en: "state".into(),
        }],
        choices: [("version".to_owned(), vec!["v1.3".to_owned()])].into(),
        ideas: vec![Idea {
            user: "U0ANN".into(),
            channel: "C0OPS".into(),
            text: "status".into(),
            zh: "看".into(),
            en: "look".into(),
        }],
    });

    let guide = stage.seen_by("U0BOB").await["guide"].clone();

    assert_eq!(guide["commands"][0]["usage"], "status");
    assert_eq!(guide["choices"]["version"], json!(["v1.3"]));
    assert_eq!(guide["ideas"][0]["zh"], "看");
}
