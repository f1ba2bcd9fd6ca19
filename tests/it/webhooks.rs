//! What monitoring sends: nobody without the token, nothing lost, nothing twice, in whatever order it
//! comes, and nothing else delayed.

use crate::harness::bot::{Bot, WEBHOOK_TOKEN, shown};
use crate::harness::cluster::Cluster;
use crate::harness::database::{TestDatabase, both_engines, run};
use crate::harness::looks::Looks;
use crate::harness::monitoring::{alertmanager, to_webhook};
use crate::harness::place::{Place, ROLLBACK};
use crate::harness::process::Process;
use crate::harness::wire::{exchange, rows};
use neostock_ops::clock::Clock;
use neostock_ops::config::{alerting, runbook};
use neostock_ops::core::alert::{Sighting, State};
use neostock_ops::core::alert_card::AlertView;
use neostock_ops::engine::{Engine, Identity, Terms};
use neostock_ops::metrics::Metrics;
use neostock_ops::sandbox::{Fault, Options};
use neostock_ops::source::{Surroundings, alertmanager as source};
use neostock_ops::store::Store;
use neostock_ops::store::alerts::AlertFilter;
use serde_json::{Value, json};
use sqlx::Row as _;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// How long a test waits, in real time, for what must happen.
const PATIENCE: Duration = Duration::from_secs(40);
/// The bot's limit for a body.
const BODY_BYTES_MAX: usize = 4 * 1024 * 1024;
/// And for bodies at once.
const BODIES_MAX: usize = 64;
/// Slack's own limit for an answer.
const SLACK_WAITS: Duration = Duration::from_secs(3);
const ALERTMANAGER: &str = "webhooks/alertmanager";
const ALERTS: &str = "webhooks/alerts";
/// What is watched does not matter here.
const CONFIGURATION: &str = "
alerts:
  cpu: {threshold: 0.8, duration: 5m, severity: warning, channels: [slack]}
escalation:
  error: {steps: [{tell: [U0BOB]}], rises_after: 15m}
  critical: {steps: [{tell: [U0BOB]}]}
liveness:
  watchdog: {name: Watchdog, within: 5m}
";

/// Every captured body, by its name.
fn captured() -> Vec<(String, Value)> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/alertmanager");
    let read = |file: std::io::Result<std::fs::DirEntry>| {
        let path = file.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        (name, serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap())
    };
    let mut bodies: Vec<(String, Value)> = std::fs::read_dir(folder).unwrap().map(read).collect();
    bodies.sort_by(|one, other| one.0.cmp(&other.0));
    assert_eq!(bodies.len(), 14);
    bodies
}

fn body_of(name: &str) -> Value {
    captured().into_iter().find(|(found, _)| found == name).unwrap().1
}

/// A body of alerts of one's own.
fn body(alerts: &[Value]) -> Value {
    json!({"version": "4", "status": "firing", "alerts": alerts, "truncatedAlerts": 0})
}

fn firing(name: &str, instance: &str, starts_at: &str) -> Value {
    json!({
        "status": "firing",
        "labels": {"alertname": name, "severity": "error", "instance": instance},
        "annotations": {"summary": format!("{name} on {instance}")},
        "startsAt": starts_at,
        "endsAt": "0001-01-01T00:00:00Z",
    })
}

fn resolved(name: &str, instance: &str, starts_at: &str, ends_at: &str) -> Value {
    let mut alert = firing(name, instance, starts_at);
    alert["status"] = json!("resolved");
    alert["endsAt"] = json!(ends_at);
    alert
}

/// What was answered.
struct Answered {
    status: u16,
    headers: reqwest::header::HeaderMap,
    body: String,
}

impl Answered {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("{} {}", self.status, self.body))
    }
}

async fn send_bytes(url: &str, path: &str, bytes: Vec<u8>) -> Option<Answered> {
    let request = reqwest::Client::new()
        .post(format!("{url}/{path}"))
        .bearer_auth(WEBHOOK_TOKEN)
        .header("content-type", "application/json")
        .body(bytes);
    let answer = request.send().await.ok()?;
    let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
    Some(Answered { status, headers, body: answer.text().await.ok()? })
}

async fn send(url: &str, path: &str, body: &Value) -> Answered {
    send_bytes(url, path, body.to_string().into_bytes()).await.expect("an answer")
}

/// Sends until it is taken, as Alertmanager does.
async fn send_until_taken(url: &str, body: &Value) {
    let looks = Looks::within(PATIENCE);
    loop {
        let answer = send_bytes(url, ALERTMANAGER, body.to_string().into_bytes()).await;
        match answer.map(|answer| answer.status) {
            Some(200) => return,
            None | Some(503) => looks.again(|| "the body is not taken".to_owned()).await,
            Some(other) => panic!("answered {other}"),
        }
    }
}

async fn bot(database: &TestDatabase) -> Bot {
    bot_with(database, CONFIGURATION).await
}

async fn bot_with(database: &TestDatabase, configuration: &str) -> Bot {
    let place = Place::new(ROLLBACK);
    std::fs::write(place.alerting(), configuration).unwrap();
    Bot::in_workspace(database, place, Options::default()).await
}

async fn process(database_url: &str) -> Process {
    let process = Process::new(database_url, ROLLBACK).await;
    std::fs::write(process.place.alerting(), CONFIGURATION).unwrap();
    process
}

/// The alerts of a database, the newest first.
async fn alerts(url: &str, name: &str) -> Vec<AlertView> {
    let store = Store::inspect(url, Clock::System, None).await.unwrap();
    let engine = Engine::new(store.clone(), identity(), Metrics::new().unwrap());
    let filter = AlertFilter { name: name.to_owned(), limit: 200, ..AlertFilter::default() };
    let found = engine.alerts(&filter).await.unwrap();
    store.close().await;
    found
}

fn identity() -> Identity {
    Identity { owner: "test/1".to_owned(), host: "test".to_owned(), lease_ms: 30_000 }
}

/// An engine with nobody around it.
async fn engine(database: &TestDatabase, clock: &Clock) -> Engine {
    let place = Place::new(ROLLBACK);
    let runbook = runbook::parse("r.yml", &std::fs::read(place.runbook()).unwrap()).unwrap();
    let alerting = alerting::parse("a.yml", CONFIGURATION.as_bytes()).unwrap();
    let terms = Terms {
        runbook: watch::Sender::new(Arc::new(runbook)).subscribe(),
        alerting: watch::Sender::new(Arc::new(alerting)).subscribe(),
    };
    let store = Store::connect(&database.url, clock.clone(), None).await.unwrap();
    Engine::new(store, identity(), Metrics::new().unwrap()).with_terms(terms)
}

fn sightings(engine: &Engine, body: &Value) -> Vec<Sighting> {
    let runbook = engine.runbook();
    let around = Surroundings { runbook: &runbook, watchdog: "", now_ms: engine.clock().now_ms() };
    let received = source::read(body.to_string().as_bytes(), around).unwrap();
    assert_eq!(received.refused, 0, "{:?}", received.faults);
    received.sightings
}

/// The same body of another world: its names and fingerprints are its own.
fn in_world(body: &Value, world: usize) -> Value {
    let mut body = body.clone();
    for alert in body["alerts"].as_array_mut().unwrap() {
        let name = alert["labels"]["alertname"].as_str().unwrap().to_owned();
        alert["labels"]["alertname"] = json!(format!("{name}{world}"));
        let fingerprint = alert["fingerprint"].as_str().unwrap().to_owned();
        alert["fingerprint"] = json!(format!("{fingerprint}-{world}"));
    }
    body
}

/// By fingerprint the newest beginning, and whether any body says that it is over: whatever the order.
fn expected(bodies: &[Value]) -> BTreeMap<String, (i64, bool)> {
    let mut found: BTreeMap<String, (i64, bool)> = BTreeMap::new();
    for alert in bodies.iter().flat_map(|body| body["alerts"].as_array().unwrap()) {
        let starts = alert["startsAt"].as_str().unwrap();
        let starts_ms = chrono::DateTime::parse_from_rfc3339(starts).unwrap().timestamp_millis();
        let is_over = alert["status"] == "resolved";
        let fingerprint = alert["fingerprint"].as_str().unwrap().to_owned();
        let entry = found.entry(fingerprint).or_insert((starts_ms, is_over));
        if starts_ms > entry.0 {
            *entry = (starts_ms, is_over);
        } else if starts_ms == entry.0 {
            entry.1 |= is_over;
        }
    }
    found
}

/// What is stored, in the same shape.
async fn stored(database: &TestDatabase) -> BTreeMap<String, (i64, bool)> {
    let mut connection = database.raw().await;
    let rows =
        sqlx::query("select series, starts_ms, ended_ms from alert_instances order by starts_ms")
            .fetch_all(&mut connection)
            .await
            .unwrap();
    let mut found = BTreeMap::new();
    for row in rows {
        let (series, starts_ms, ended_ms): (String, i64, i64) =
            (row.get(0), row.get(1), row.get(2));
        let fingerprint = series.strip_prefix("alertmanager/").unwrap().to_owned();
        // The rows come by their beginnings: the newest stays.
        found.insert(fingerprint, (starts_ms, ended_ms != 0));
    }
    found
}

/// Every order of some things.
fn orders(of: usize) -> Vec<Vec<usize>> {
    if of == 0 {
        return vec![Vec::new()];
    }
    let mut found = Vec::new();
    for order in orders(of - 1) {
        for at in 0..=order.len() {
            let mut order = order.clone();
            order.insert(at, of - 1);
            found.push(order);
        }
    }
    found
}

/// Lets every world's bodies come in its own order, then time pass; the state must be that of the bodies,
/// and each alert that of its instances.
async fn assert_orders(database: &TestDatabase, bodies: &[Value], orders: &[Vec<usize>]) {
    // When the captured bodies were sent.
    let clock = Clock::manual(1_795_474_100_000);
    let engine = engine(database, &clock).await;
    let mut right = BTreeMap::new();
    for (world, order) in orders.iter().enumerate() {
        let bodies: Vec<Value> = bodies.iter().map(|body| in_world(body, world)).collect();
        for at in order {
            engine.observe(sightings(&engine, &bodies[*at])).await.unwrap();
        }
        let given: Vec<Value> = order.iter().map(|at| bodies[*at].clone()).collect();
        right.extend(expected(&given));
    }
    assert_eq!(stored(database).await, right);

    // What comes and goes is over only when that has lasted.
    clock.advance_ms(11 * 60_000);
    while engine.advance_alerts().await.unwrap() > 0 {}
    let mut connection = database.raw().await;
    let rows = sqlx::query(
        "select a.id, a.state, sum(case when i.ended_ms = 0 then 1 else 0 end), a.name from alerts a \
         join alert_instances i on i.alert_id = a.id group by a.id, a.state, a.name",
    )
    .fetch_all(&mut connection)
    .await
    .unwrap();
    for row in rows {
        let (id, state, firing): (String, String, i64) = (row.get(0), row.get(1), row.get(2));
        let name: String = row.get(3);
        assert_eq!(state == "resolved", firing == 0, "{id} {name}: {firing} fire, {state}");
    }
    engine.store().close().await;
}

both_engines! {
    async fn the_captured_bodies_in_many_orders_and_with_repeats_end_in_the_right_state(database: TestDatabase) {
        let bodies: Vec<Value> = captured().into_iter().map(|(_, body)| body).collect();
        let mut random = Random(0x9e37_79b9_7f4a_7c15);
        let mut orders = Vec::new();
        for _ in 0..20 {
            // Each body twice, in any order.
            let mut order: Vec<usize> = (0..bodies.len()).chain(0..bodies.len()).collect();
            for at in (1..order.len()).rev() {
                order.swap(at, random_below(&mut random, at + 1));
            }
            orders.push(order);
        }

        assert_orders(&database, &bodies, &orders).await;
    }

    async fn every_order_of_a_few_bodies_ends_in_the_right_state(database: TestDatabase) {
        let names = [
            "firing-grouped",
            "mixed-one-resolved-one-firing",
            "resolved-single",
            "duplicate-resolved-after-60s",
        ];
        let bodies: Vec<Value> = names.into_iter().map(body_of).collect();

        assert_orders(&database, &bodies, &orders(bodies.len())).await;
    }

    async fn every_order_of_two_firings_of_one_instance_ends_in_the_right_state(database: TestDatabase) {
        let (one, two) = ("2026-11-23T22:00:00Z", "2026-11-23T22:10:00Z");
        let with = |mut alert: Value| {
            alert["fingerprint"] = json!("aa");
            body(&[alert])
        };
        let bodies = [
            with(firing("A", "a", one)),
            with(resolved("A", "a", one, "2026-11-23T22:05:00Z")),
            with(firing("A", "a", two)),
            with(resolved("A", "a", two, "2026-11-23T22:12:00Z")),
        ];
        // Of all four, and of those that leave it firing.
        let mut all = orders(4);
        all.extend(orders(3));

        assert_orders(&database, &bodies, &all).await;
    }

    async fn what_fires_and_ends_in_one_body_is_over(database: TestDatabase) {
        let clock = Clock::manual(1_795_474_100_000);
        let engine = engine(&database, &clock).await;
        let (one, two) = ("2026-11-23T22:00:00Z", "2026-11-23T22:10:00Z");
        let body = body(&[
            firing("A", "a", one),
            resolved("A", "a", one, "2026-11-23T22:05:00Z"),
            firing("B", "b", one),
            firing("B", "b", two),
            firing("B", "b", two),
        ]);

        let observed = engine.observe(sightings(&engine, &body)).await.unwrap();
        let again = engine.observe(sightings(&engine, &body)).await.unwrap();

        assert_eq!((observed.fired, observed.ended, observed.known), (3, 2, 1));
        assert_eq!((again.fired, again.ended, again.known), (0, 0, 5));
        let found = alerts(&database.url, "").await;
        assert_eq!((found.len(), &*found[0].first.name, found[0].firing), (1, "B", 1), "{found:#?}");
        engine.store().close().await;
    }

    async fn a_truncated_body_never_ends_what_it_does_not_name(database: TestDatabase) {
        let clock = Clock::manual(1_795_474_100_000);
        let engine = engine(&database, &clock).await;
        engine.observe(sightings(&engine, &body_of("firing-grouped"))).await.unwrap();

        let resolved = body_of("truncated-resolved-while-group-still-firing");
        let observed = engine.observe(sightings(&engine, &resolved)).await.unwrap();

        assert_eq!((observed.fired, observed.ended, observed.known), (0, 1, 0));
        let stored = stored(&database).await;
        assert!(stored["ccca33268041f23d"].1 && !stored["21c417107e3058de"].1, "{stored:?}");
        engine.store().close().await;
    }
}

/// Numbers that are the same in every run of the test: xorshift64*.
struct Random(u64);

/// A number below another.
fn random_below(random: &mut Random, below: usize) -> usize {
    random.0 ^= random.0 >> 12;
    random.0 ^= random.0 << 25;
    random.0 ^= random.0 >> 27;
    let drawn = random.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33;
    usize::try_from(drawn).unwrap() % below
}

both_engines! {
    async fn an_alert_is_one_card_whatever_is_repeated_and_green_when_it_is_over(database: TestDatabase) {
        let bot = bot(&database).await;
        let cards = |bot: &Bot| {
            let messages = bot.workspace.messages("C0OPS");
            messages.iter().filter(|one| one.is_bot && one.thread_ts.is_none()).map(shown).collect::<Vec<_>>()
        };

        let first = send(&bot.url, ALERTMANAGER, &body_of("firing-single")).await;
        assert_eq!((first.status, first.json()), (200, json!({"taken": 1, "ignored": 0, "refused": 0})));
        for _ in 0..3 {
            assert_eq!(send(&bot.url, ALERTMANAGER, &body_of("firing-repeat")).await.status, 200);
        }
        bot.until("the card", |bot| !cards(bot).is_empty()).await;
        let over = send(&bot.url, ALERTMANAGER, &body_of("resolved-single")).await;
        assert_eq!(over.status, 200);
        bot.until("it is green", |bot| cards(bot)[0].contains('🟢')).await;

        let cards = cards(&bot);
        assert_eq!(cards.len(), 1, "{cards:#?}");
        assert!(cards[0].contains("InstanceDown"), "{}", cards[0]);
        assert_eq!(alerts(&bot.database_url, "").await.len(), 1);
        let counted = |outcome: &str| format!("neostock_webhook_alerts_total{{outcome=\"{outcome}\"}}");
        assert_eq!(bot.metric(&counted("fired")).await, 1);
        assert_eq!(bot.metric(&counted("known")).await, 3);
        assert_eq!(bot.metric(&counted("ended")).await, 1);
        bot.finish().await;
    }

    async fn hostile_text_mentions_nobody_and_is_shown_as_letters(database: TestDatabase) {
        let bot = bot(&database).await;
        let mut hostile = firing("<!channel>", "<@U0ANN> <!subteam^S0OPS>", "2026-11-24T02:00:00Z");
        hostile["annotations"] = json!({
            "summary": format!("<!here|x> \u{202e}*bold* `x` <https://evil.test|click> {}", "a".repeat(1_000_000)),
            "description": "@everyone <!everyone> \0 \u{2066}\u{1b}[31m",
        });
        hostile["labels"]["service"] = json!("<!channel>");

        let answers = [
            send(&bot.url, ALERTMANAGER, &body_of("firing-hostile-text-grouped")).await,
            send(&bot.url, ALERTMANAGER, &body(&[hostile])).await,
        ];

        assert!(answers.iter().all(|answer| answer.status == 200), "{}", answers[1].body);
        bot.until("both cards", |bot| {
            bot.workspace.messages("C0OPS").iter().filter(|one| one.thread_ts.is_none()).count() >= 2
        }).await;
        bot.until_quiet().await;
        for message in bot.workspace.messages("C0OPS") {
            let raw = format!("{}{}", message.text, serde_json::to_string(&message.blocks).unwrap());
            // The policy calls Bob; nothing else is called.
            for called in ["<!channel", "<!everyone", "<!subteam", "<!here", "<@U0ANN", "\u{202e}", "<https://evil"] {
                assert!(!raw.contains(called), "{called}: {raw}");
            }
            assert!(raw.len() < 40_000, "{}", raw.len());
        }
        bot.finish().await;
    }

    async fn whoever_does_not_show_the_token_is_refused_before_the_body_is_read(database: TestDatabase) {
        let bot = bot(&database).await;
        let url = format!("{}/{ALERTMANAGER}", bot.url);
        let client = reqwest::Client::new();
        let post = |url: &str| {
            client.post(url).header("content-type", "application/json").body(body_of("firing-single").to_string())
        };
        let refused = [
            post(&url),
            post(&url).bearer_auth("another"),
            post(&url).bearer_auth(format!("{WEBHOOK_TOKEN}x")),
            post(&url).basic_auth("bearer", Some(WEBHOOK_TOKEN)),
            post(&url).header("authorization", WEBHOOK_TOKEN),
            post(&url).bearer_auth(WEBHOOK_TOKEN).bearer_auth(WEBHOOK_TOKEN),
            post(&format!("{url}?token={WEBHOOK_TOKEN}")),
            post(&format!("{url}?access_token={WEBHOOK_TOKEN}")),
        ];
        for request in refused {
            let answer = request.send().await.unwrap();
            assert_eq!(answer.status(), 401);
            assert_eq!(answer.headers()["www-authenticate"], "Bearer");
        }
        // A body that never comes is not waited for.
        let mut raw = bot.connect().await;
        let head = format!("POST /{ALERTMANAGER} HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\n");
        let began = Instant::now();
        let answer = exchange_first(&mut raw, head.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 401"), "{answer}");
        assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());

        assert_eq!(bot.refused("webhook_token").await, 9);
        assert_eq!(rows(&database, "alerts").await, 0);
        bot.finish().await;
    }

    async fn without_a_token_in_the_settings_nobody_is_let_in(database: TestDatabase) {
        let bot = Bot::start(&database, ROLLBACK).await;

        for path in [ALERTMANAGER, ALERTS] {
            assert_eq!(send(&bot.url, path, &body_of("firing-single")).await.status, 403);
        }

        assert_eq!(bot.refused("webhook_no_token").await, 2);
        assert_eq!(rows(&database, "alerts").await, 0);
        bot.finish().await;
    }

    async fn what_could_never_be_taken_is_refused_with_its_reason(database: TestDatabase) {
        let bot = bot(&database).await;
        let url = format!("{}/{ALERTMANAGER}", bot.url);
        let client = reqwest::Client::new();
        let post = || client.post(&url).bearer_auth(WEBHOOK_TOKEN);
        let json = || post().header("content-type", "application/json");
        let text = body_of("firing-single").to_string();

        assert_eq!(client.get(&url).bearer_auth(WEBHOOK_TOKEN).send().await.unwrap().status(), 405);
        assert_eq!(post().body(text.clone()).send().await.unwrap().status(), 415);
        let form = post().header("content-type", "application/x-www-form-urlencoded");
        assert_eq!(form.body(text.clone()).send().await.unwrap().status(), 415);
        let packed = json().header("content-encoding", "gzip").body(vec![0x1f, 0x8b, 8]);
        let packed = packed.send().await.unwrap();
        assert_eq!(packed.status(), 415);
        assert!(packed.text().await.unwrap().contains("not compressed"));
        let large = json().body(vec![b' '; BODY_BYTES_MAX + 1]).send().await;
        assert!(large.map_or(true, |answer| answer.status() == 413));
        let largest = json().body(vec![b' '; BODY_BYTES_MAX]).send().await.unwrap();
        assert_eq!(largest.status(), 400);
        // Without a length it is counted as it comes.
        let mut raw = bot.connect().await;
        let mut chunked = format!(
            "POST /{ALERTMANAGER} HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {WEBHOOK_TOKEN}\r\n\
             content-type: application/json\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n{:x}\r\n",
            BODY_BYTES_MAX + 1
        ).into_bytes();
        chunked.resize(chunked.len() + BODY_BYTES_MAX + 1, b' ');
        chunked.extend(b"\r\n0\r\n\r\n");
        let answer = exchange(&mut raw, &chunked).await;
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 413"), "{answer}");
        let with_kind = json().header("content-encoding", "identity").body(text).send().await.unwrap();
        assert_eq!(with_kind.status(), 200);
        assert_eq!(bot.metric("neostock_http_answers_total{status=\"500\"}").await, 0);
        bot.finish().await;
    }

    async fn beyond_the_limit_of_bodies_it_is_503_and_a_body_that_never_ends_is_given_up(database: TestDatabase) {
        let bot = bot(&database).await;
        let head = format!(
            "POST /{ALERTMANAGER} HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {WEBHOOK_TOKEN}\r\n\
             content-type: application/json\r\ncontent-length: 100\r\n\r\n{{"
        );
        let mut hanging = Vec::new();
        for _ in 0..BODIES_MAX {
            let mut connection = bot.connect().await;
            connection.write_all(head.as_bytes()).await.unwrap();
            hanging.push(connection);
        }
        // The last of them may not have been read yet.
        let looks = Looks::within(PATIENCE);
        let busy = loop {
            let answer = send(&bot.url, ALERTMANAGER, &body_of("firing-single")).await;
            if answer.status == 503 {
                break answer;
            }
            looks.again(|| format!("answered {}", answer.status)).await;
        };
        assert_eq!(busy.headers["retry-after"], "5");
        assert_eq!(busy.headers["content-type"], "application/problem+json");
        assert!(bot.refused("webhook_overloaded").await > 0);
        // Slack's requests have a way of their own.
        assert!(bot.say("U0BOB", "status").await.contains("neostock · status"));

        let given_up = read_some(&mut hanging[0]).await;
        assert!(given_up.starts_with("HTTP/1.1 408"), "{given_up}");
        drop(hanging);
        send_until_taken(&bot.url, &body_of("firing-single")).await;
        assert_eq!(alerts(&bot.database_url, "").await.len(), 1);
        bot.finish().await;
    }

    async fn one_bad_alert_is_told_and_journaled_and_the_others_are_taken(database: TestDatabase) {
        let bot = bot(&database).await;
        let good = firing("Good", "a", "2026-11-24T02:00:00Z");
        let mut bad = firing("Bad", "a", "2026-11-24T02:00:00Z");
        bad["startsAt"] = json!(17);

        let answer = send(&bot.url, ALERTMANAGER, &body(&[bad.clone(), good])).await;
        let all_bad = send(&bot.url, ALERTMANAGER, &body(&[bad])).await;

        assert_eq!(answer.status, 200);
        let fault = json!({
            "at": "/alerts/0/startsAt",
            "fault": "`17` found, a time like 2026-11-23T22:35:56Z expected",
        });
        assert_eq!(answer.json(), json!({"taken": 1, "ignored": 0, "refused": 1, "errors": [fault]}));
        assert_eq!(all_bad.status, 400);
        assert_eq!(all_bad.headers["content-type"], "application/problem+json");
        assert_eq!(all_bad.json()["errors"], json!([fault]));
        let journal = bot.journal().await;
        let entries: Vec<&Value> =
            journal.iter().filter(|(kind, ..)| kind == "alerts.refused").map(|(.., detail)| detail).collect();
        // Sent again within the minute it is not written again.
        assert_eq!(entries.len(), 1, "{journal:#?}");
        assert_eq!(entries[0]["faults"], json!([fault]));
        assert_eq!(alerts(&bot.database_url, "").await.len(), 1);
        bot.finish().await;
    }

    async fn alerts_of_ones_own_are_taken_and_their_faults_told(database: TestDatabase) {
        let bot = bot(&database).await;
        let own = json!({
            "name": "BackupLate", "severity": "error", "summary": "no backup since noon",
            "starts_at": "2026-11-24T02:00:00Z", "environment": "staging",
        });
        let mut over = own.clone();
        over["status"] = json!("resolved");

        assert_eq!(send(&bot.url, ALERTS, &own).await.json()["taken"], 1);
        assert_eq!(send(&bot.url, ALERTS, &own).await.json()["taken"], 1);
        let faulty = send(&bot.url, ALERTS, &json!({"nmae": "A"})).await;
        let opened = alerts(&bot.database_url, "BackupLate").await;
        assert_eq!(send(&bot.url, ALERTS, &json!({"alerts": [over]})).await.status, 200);

        assert_eq!(faulty.status, 400);
        assert!(faulty.body.contains("did you mean `name`?"), "{}", faulty.body);
        assert_eq!((opened.len(), opened[0].condition.state), (1, State::Open));
        assert_eq!(opened[0].channel.as_str(), "C0DEV");
        let ended = alerts(&bot.database_url, "BackupLate").await;
        assert_eq!((ended.len(), ended[0].condition.state), (1, State::Resolved));
        bot.finish().await;
    }

    async fn ten_thousand_alerts_in_a_body_delay_nobody_else(database: TestDatabase) {
        let bot = bot(&database).await;
        let many: Vec<Value> = (0..10_000)
            .map(|index| {
                let mut alert = firing(&format!("Many{}", index % 20), "x", "2026-11-24T02:00:00Z");
                alert["fingerprint"] = json!(format!("{index:x}"));
                alert["annotations"] = json!({});
                alert
            })
            .collect();
        let flood = body(&many).to_string().into_bytes();
        assert!(flood.len() < BODY_BYTES_MAX, "{}", flood.len());
        let mut sending = JoinSet::new();
        for _ in 0..4 {
            let (url, flood) = (bot.url.clone(), flood.clone());
            sending.spawn(async move { send_bytes(&url, ALERTMANAGER, flood).await.unwrap() });
        }

        let mut slowest = Duration::ZERO;
        let (mut asked, mut late) = (0, 0);
        let mut statuses = Vec::new();
        while statuses.len() < 4 {
            let began = Instant::now();
            let answer = bot.say("U0BOB", "status").await;
            let is_late = answer.contains("the answer follows");
            assert!(is_late || answer.contains("neostock · status"), "{answer}");
            slowest = slowest.max(began.elapsed());
            asked += 1;
            late += i32::from(is_late);
            while let Some(answer) = sending.try_join_next() {
                let answer = answer.unwrap();
                statuses.push(answer.status);
                assert!([200, 503].contains(&answer.status), "{}", answer.body);
            }
        }

        println!("{asked} requests of Slack beside the flood, {late} late, the slowest took {slowest:?}; {statuses:?}");
        assert!(slowest < SLACK_WAITS, "{slowest:?}");
        assert!(asked > 3 && late * 2 < asked, "{late} of {asked}");
        // What was too much is sent again, and is known then.
        send_until_taken(&bot.url, &body(&many)).await;
        assert_eq!(rows(&database, "alert_instances").await, 10_000);
        assert_eq!(rows(&database, "alerts").await, 20);
    }

    async fn two_bots_that_get_the_same_body_at_once_open_one_alert(database: TestDatabase) {
        let bot = bot(&database).await;
        let (other, stop, task) = bot.beside(&[]).await;
        let looks = Looks::within(PATIENCE);
        while !reqwest::get(format!("{other}/readyz")).await.is_ok_and(|answer| answer.status() == 200) {
            looks.again(|| "the other bot is not ready".to_owned()).await;
        }

        for round in 0..5 {
            let both = in_world(&body_of("firing-grouped"), round);
            let over = in_world(&body_of("resolved-single"), round);
            for body in [both, over] {
                let (one, two) = tokio::join!(
                    send(&bot.url, ALERTMANAGER, &body),
                    send(&other, ALERTMANAGER, &body),
                );
                assert_eq!((one.status, two.status), (200, 200), "{}\n{}", one.body, two.body);
            }
        }

        let alerts = alerts(&bot.database_url, "").await;
        assert_eq!(alerts.len(), 5, "{alerts:#?}");
        assert!(alerts.iter().all(|alert| (alert.firing, alert.total) == (1, 2)), "{alerts:#?}");
        let opened = bot.journal_kinds().await;
        assert_eq!(opened.iter().filter(|kind| *kind == "alert.opened").count(), 5);
        stop.cancel();
        task.await.unwrap().unwrap();
        bot.finish().await;
    }

    async fn killed_between_storing_and_answering_it_knows_the_body_when_it_comes_again(database: TestDatabase) {
        let mut bot = process(&database.url).await;
        assert!(bot.start(Some("webhook_stored@1")).await);

        let sent = body_of("firing-single").to_string().into_bytes();
        assert!(send_bytes(&bot.url, ALERTMANAGER, sent).await.is_none(), "it was answered");
        bot.until("it is dead", Process::has_died).await;
        assert!(bot.start(None).await, "{}", bot.log());
        send_until_taken(&bot.url, &body_of("firing-single")).await;
        let is_told = |bot: &mut Process| bot.told().iter().any(|card| card.contains("InstanceDown"));
        bot.until("the card", is_told).await;

        let messages = bot.workspace.messages("C0OPS");
        assert_eq!(messages.iter().filter(|one| one.is_bot && one.thread_ts.is_none()).count(), 1);
        assert_eq!(alerts(&database.url, "").await.len(), 1);
        assert_eq!(bot.workspace.faults(), Vec::<String>::new());
        bot.kill();
    }

    async fn an_alertmanager_that_is_silent_is_an_alert_and_its_word_ends_it(database: TestDatabase) {
        let mut bot = bot(&database).await;
        let watchdog = || {
            let mut alert = firing("Watchdog", "", "2026-11-23T00:00:00Z");
            alert["labels"]["severity"] = json!("none");
            body(&[alert])
        };
        let silent = async |bot: &Bot| {
            let found = alerts(&bot.database_url, "AlertmanagerSilent").await;
            assert!(found.len() <= 1, "{found:#?}");
            found.first().map(|alert| (alert.condition.is_over(), alert.firing, alert.opened_ms))
        };
        let pass = async |bot: &Bot, ms: u64| {
            for _ in 0..ms / 5_000 {
                bot.advance_ms(5_000);
                // The loop looks once in this time, by the clock that was moved.
                tokio::time::sleep(Duration::from_millis(30)).await;
            }
        };

        // The first start: nobody is missed before their time.
        pass(&bot, 280_000).await;
        assert_eq!(silent(&bot).await, None);
        let answer = send(&bot.url, ALERTMANAGER, &watchdog()).await;
        assert_eq!(answer.json(), json!({"taken": 0, "ignored": 1, "refused": 0}));
        pass(&bot, 280_000).await;
        assert_eq!(silent(&bot).await, None);
        pass(&bot, 40_000).await;
        until_alert(&bot, "AlertmanagerSilent", false).await;
        let (_, _, opened_ms) = silent(&bot).await.unwrap();

        // A restart neither forgets it nor opens another.
        bot.end().await;
        bot.begin().await;
        pass(&bot, 60_000).await;
        assert_eq!(silent(&bot).await, Some((false, 1, opened_ms)));

        send(&bot.url, ALERTMANAGER, &watchdog()).await;
        until_alert(&bot, "AlertmanagerSilent", true).await;
        assert_eq!(silent(&bot).await, Some((true, 0, opened_ms)));
        bot.finish().await;
    }

    async fn a_slack_that_does_not_answer_and_messages_that_wait_are_alerts_of_the_bots_own(database: TestDatabase) {
        let bot = bot_with(&database, &CONFIGURATION.replace("liveness", "# liveness").replace("  watchdog", "  # watchdog")).await;
        bot.workspace.fail_matching("*", 100_000, Fault::ServerError(503));
        assert_eq!(send(&bot.url, ALERTMANAGER, &body_of("firing-single")).await.status, 200);

        until_alert(&bot, "OutboxBehind", false).await;
        until_alert(&bot, "SlackUnanswered", false).await;
        bot.workspace.clear_faults();
        until_alert(&bot, "OutboxBehind", true).await;
        until_alert(&bot, "SlackUnanswered", true).await;

        for name in ["OutboxBehind", "SlackUnanswered"] {
            let found = alerts(&bot.database_url, name).await;
            assert_eq!((found.len(), found[0].total), (1, 1), "{found:#?}");
        }
        let looks = Looks::within(PATIENCE);
        while rows(&database, "watches").await != 0 {
            looks.again(|| "a watch that is over stays".to_owned()).await;
        }
        bot.finish().await;
    }
}

/// Moves the clock on until the alert of a name is there, or is over.
async fn until_alert(bot: &Bot, name: &str, is_over: bool) {
    let looks = Looks::within(PATIENCE);
    loop {
        let found = alerts(&bot.database_url, name).await;
        if found.first().is_some_and(|alert| alert.condition.is_over() == is_over) {
            return;
        }
        bot.advance_ms(1_000);
        looks.again(|| format!("{name}, over: {is_over}: {found:#?}")).await;
    }
}

/// Writes the head of a request, and reads what is answered to it alone.
async fn exchange_first(connection: &mut TcpStream, head: &[u8]) -> String {
    connection.write_all(head).await.unwrap();
    read_some(connection).await
}

/// What comes next.
async fn read_some(connection: &mut TcpStream) -> String {
    let mut buffer = vec![0; 4_096];
    let read = tokio::time::timeout(PATIENCE, connection.read(&mut buffer)).await.unwrap().unwrap();
    String::from_utf8_lossy(&buffer[..read]).into_owned()
}

/// Bodies that something was done to: all are answered, and none with a fault of the bot's own.
fn odd_bodies(random: &mut Random, count: usize) -> Vec<Vec<u8>> {
    let captured = captured();
    let odd: [Value; 9] = [
        json!(null),
        json!(7),
        json!(-1.5e300),
        json!(true),
        json!([]),
        json!({}),
        json!("\0\u{202e}<!channel>"),
        json!("9999-12-31T23:59:59Z"),
        json!([[[{"a": {}}]]]),
    ];
    let mut bodies = Vec::new();
    for index in 0..count {
        let mut body = captured[random_below(random, captured.len())].1.clone();
        for _ in 0..=random_below(random, 3) {
            let mut at = &mut body;
            let mut steps = 1 + random_below(random, 5);
            while steps > 0 {
                steps -= 1;
                let count = at
                    .as_array()
                    .map(Vec::len)
                    .or(at.as_object().map(serde_json::Map::len))
                    .unwrap_or(0);
                if count == 0 {
                    break;
                }
                let inner = random_below(random, count);
                at = match at {
                    Value::Array(items) => &mut items[inner],
                    Value::Object(object) => object.values_mut().nth(inner).unwrap(),
                    _ => break,
                };
            }
            *at = odd[random_below(random, odd.len())].clone();
        }
        let mut bytes = body.to_string().into_bytes();
        if index % 5 == 0 {
            let at = random_below(random, bytes.len());
            bytes[at] = u8::try_from(random_below(random, 256)).unwrap();
        }
        if index % 7 == 0 {
            bytes.truncate(random_below(random, bytes.len()));
        }
        bodies.push(bytes);
    }
    bodies
}

both_engines! {
    async fn whatever_stands_in_a_body_it_is_answered_and_the_bot_is_well(database: TestDatabase) {
        let bot = bot(&database).await;
        let mut random = Random(0x9e37_79b9_7f4a_7c15);
        let mut counts: BTreeMap<u16, usize> = BTreeMap::new();
        for bytes in odd_bodies(&mut random, 150) {
            for path in [ALERTMANAGER, ALERTS] {
                let answer = send_bytes(&bot.url, path, bytes.clone()).await.expect("an answer");
                assert!([200, 400].contains(&answer.status), "{} {}\n{}", answer.status, answer.body,
                    String::from_utf8_lossy(&bytes));
                *counts.entry(answer.status).or_default() += 1;
            }
        }

        // Both happen, or the bodies were not odd.
        assert!(counts.get(&200) > Some(&20) && counts.get(&400) > Some(&20), "{counts:?}");
        assert!(bot.say("U0BOB", "status").await.contains("neostock · status"));
    }
}

#[test]
fn a_database_that_is_gone_is_503_and_nothing_is_lost_when_it_is_sent_again() {
    run(crate::harness::database::Engine::Sqlite, async |_| {
        let cluster = Cluster::start();
        let mut bot = process(&cluster.url).await;
        assert!(bot.start(None).await);
        send_until_taken(&bot.url, &body_of("firing-single")).await;

        cluster.halt();
        let looks = Looks::within(PATIENCE);
        let answer = loop {
            let sent = body_of("firing-warning-grouped").to_string().into_bytes();
            let answer = send_bytes(&bot.url, ALERTMANAGER, sent).await.unwrap();
            assert!(answer.status >= 500, "{}", answer.status);
            if answer.status == 503 {
                break answer;
            }
            looks.again(|| format!("answered {}: {}", answer.status, answer.body)).await;
        };
        assert_eq!(answer.headers["retry-after"], "5");
        cluster.resume();
        send_until_taken(&bot.url, &body_of("firing-warning-grouped")).await;
        send_until_taken(&bot.url, &body_of("resolved-single")).await;

        let states: BTreeMap<String, State> = alerts(&bot.database_url, "")
            .await
            .into_iter()
            .map(|alert| (alert.first.name, alert.condition.state))
            .collect();
        let expected = [("DbPoolNearlyFull", State::Open), ("InstanceDown", State::Resolved)];
        assert_eq!(states, expected.map(|(name, state)| (name.to_owned(), state)).into());
        bot.kill();
    });
}

/// What a person posts to Alertmanager.
async fn post_alert(url: &str, name: &str, instance: &str, ends_at: Option<String>) {
    let mut alert = json!({
        "labels": {"alertname": name, "severity": "error", "instance": instance},
        "annotations": {"summary": format!("{instance} is odd")},
        "startsAt": "2026-11-24T02:00:00Z",
    });
    alert["endsAt"] = json!(ends_at.unwrap_or_else(|| "2030-01-01T00:00:00Z".to_owned()));
    let posted = reqwest::Client::new().post(format!("{url}/api/v2/alerts")).json(&json!([alert]));
    assert_eq!(posted.send().await.unwrap().status(), 200);
}

#[test]
fn a_real_alertmanager_loses_nothing_over_silences_restarts_and_a_bot_that_is_away() {
    run(crate::harness::database::Engine::Sqlite, async |database| {
        let mut bot = process(&database.url).await;
        assert!(bot.start(None).await);
        let hook = format!("{}/{ALERTMANAGER}", bot.url);
        let mut manager = alertmanager(&to_webhook(&hook, WEBHOOK_TOKEN)).await;
        let state = async |name: &str| {
            let found = alerts(&database.url, name).await;
            assert!(found.len() <= 1, "{found:#?}");
            found.first().map(|alert| (alert.condition.state, alert.firing, alert.total))
        };
        let until = async |name: &str, wanted: (State, usize, usize)| {
            let looks = Looks::within(PATIENCE);
            loop {
                let found = state(name).await;
                if found == Some(wanted) {
                    return;
                }
                looks.again(|| format!("{name}: {found:?}, {wanted:?} expected")).await;
            }
        };
        let now = || Some("2026-11-24T02:30:00Z".to_owned());

        post_alert(&manager.url(), "Odd", "a", None).await;
        until("Odd", (State::Open, 1, 1)).await;
        // Another instance of the group, and the first again.
        post_alert(&manager.url(), "Odd", "b", None).await;
        post_alert(&manager.url(), "Odd", "a", None).await;
        until("Odd", (State::Open, 2, 2)).await;
        post_alert(&manager.url(), "Odd", "a", now()).await;
        until("Odd", (State::Open, 1, 2)).await;

        // What is silenced there comes when the silence is over.
        let silence = json!({
            "matchers": [{"name": "alertname", "value": "Quiet", "isRegex": false, "isEqual": true}],
            "startsAt": chrono_now(0), "endsAt": chrono_now(6), "createdBy": "ann", "comment": "test",
        });
        let client = reqwest::Client::new();
        let silenced = client.post(format!("{}/api/v2/silences", manager.url())).json(&silence);
        assert_eq!(silenced.send().await.unwrap().status(), 200);
        post_alert(&manager.url(), "Quiet", "a", None).await;
        post_alert(&manager.url(), "Loud", "a", None).await;
        until("Loud", (State::Open, 1, 1)).await;
        assert_eq!(state("Quiet").await, None);
        until("Quiet", (State::Open, 1, 1)).await;

        // A restart of Alertmanager: what it says again changes nothing.
        manager.kill();
        manager.begin().await;
        post_alert(&manager.url(), "Odd", "b", None).await;
        post_alert(&manager.url(), "Loud", "a", None).await;
        until("Odd", (State::Open, 1, 2)).await;

        // The bot is away while one ends and another begins.
        bot.kill();
        post_alert(&manager.url(), "Loud", "a", now()).await;
        post_alert(&manager.url(), "Late", "a", None).await;
        assert!(bot.start_at(port_of(&hook), None).await, "{}", bot.log());
        until("Late", (State::Open, 1, 1)).await;
        until("Loud", (State::Resolved, 0, 1)).await;

        let expected = ["Late", "Loud", "Odd", "Quiet"];
        let mut names: Vec<String> =
            alerts(&database.url, "").await.into_iter().map(|alert| alert.first.name).collect();
        names.sort();
        assert_eq!(names, expected);
        bot.until("its cards", |bot| {
            let told = bot.told();
            expected.iter().all(|name| told.iter().any(|card| card.contains(name)))
        })
        .await;
        let messages = bot.workspace.messages("C0OPS");
        assert_eq!(messages.iter().filter(|one| one.is_bot && one.thread_ts.is_none()).count(), 4);
        bot.kill();
    });
}

/// The port of a webhook's address.
fn port_of(hook: &str) -> u16 {
    hook.trim_start_matches("http://127.0.0.1:").split('/').next().unwrap().parse().unwrap()
}

/// So many seconds from now, as Alertmanager wants it.
fn chrono_now(secs: i64) -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let at =
        chrono::DateTime::from_timestamp(i64::try_from(now.as_secs()).unwrap() + secs, 0).unwrap();
    at.to_rfc3339()
}
