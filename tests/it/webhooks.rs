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
use crate::outage::server;
use neostock_ops::clock::Clock;
use neostock_ops::config::{alerting, runbook};
use neostock_ops::core::alert::{Condition, Sighting, State};
use neostock_ops::core::alert_card::AlertView;
use neostock_ops::engine::{Engine, Identity, Terms};
use neostock_ops::metrics::Metrics;
use neostock_ops::sandbox::{Fault, Options};
use neostock_ops::source::{Surroundings, alertmanager as source};
use neostock_ops::store::Store;
use neostock_ops::store::alerts::AlertFilter;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use reqwest::Method;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use sqlx::Row as _;
use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::{JoinSet, block_in_place};

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
/// What eight bodies may take that are made to fill the memory.
const MEMORY_MIB_MAX: u64 = 400;
/// Sequences of bodies that are tried.
const SEQUENCES: u32 = 24;
/// What is said to fire so long after its end is no late delivery.
const LATE_MS_MAX: i64 = 2 * 60_000;
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

/// What is stored of a world, as far as it counts: which instances are over; and its alerts: whether they are,
/// how many of their instances fire, and how often they came back.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Standing {
    instances: BTreeMap<String, bool>,
    alerts: Vec<(bool, i64, u32)>,
}

async fn standing(database: &TestDatabase, world: usize) -> Standing {
    let mut connection = database.raw().await;
    let instances =
        sqlx::query("select series, ended_ms from alert_instances where series like $1")
            .bind(format!("alertmanager/%-{world}"))
            .fetch_all(&mut connection)
            .await
            .unwrap();
    let instances = instances.iter().map(|row| {
        let series: String = row.get(0);
        (of_no_world(series.strip_prefix("alertmanager/").unwrap()), row.get::<i64, _>(1) != 0)
    });
    let alerts = sqlx::query(
        "select a.condition, sum(case when i.ended_ms = 0 then 1 else 0 end) from alerts a \
         join alert_instances i on i.alert_id = a.id where i.series like $1 group by a.id, a.condition",
    )
    .bind(format!("alertmanager/%-{world}"))
    .fetch_all(&mut connection)
    .await
    .unwrap();
    let alerts = alerts.iter().map(|row| {
        let condition: String = row.get(0);
        let condition: Condition = serde_json::from_str(&condition).unwrap();
        (condition.is_over(), row.get(1), condition.returns)
    });
    let mut standing = Standing { instances: instances.collect(), alerts: alerts.collect() };
    standing.alerts.sort_unstable();
    standing
}

/// A fingerprint without its world's number.
fn of_no_world(fingerprint: &str) -> String {
    fingerprint.rsplit_once('-').unwrap().0.to_owned()
}

fn assert_right(standing: &Standing, expected: &BTreeMap<String, (i64, bool)>) {
    let expected =
        expected.iter().map(|(fingerprint, (_, is_over))| (fingerprint.clone(), *is_over));
    assert_eq!(standing.instances, expected.collect::<BTreeMap<_, _>>());
    for (is_over, firing, _) in &standing.alerts {
        assert_eq!(*is_over, *firing == 0, "{standing:?}");
    }
}

/// Bodies that name the same alert, directly or by way of others, in one set.
fn sets(bodies: Vec<Value>) -> Vec<Vec<Value>> {
    let names_of = |body: &Value| {
        let alerts = body["alerts"].as_array().unwrap().iter();
        alerts.map(|alert| alert["labels"]["alertname"].to_string()).collect::<BTreeSet<_>>()
    };
    let mut sets: Vec<(BTreeSet<String>, Vec<Value>)> = Vec::new();
    for body in bodies {
        let names = names_of(&body);
        let (joined, apart) = sets.into_iter().partition(|(of, _)| !of.is_disjoint(&names));
        sets = apart;
        let mut set = (names, vec![body]);
        for (names, bodies) in joined {
            set.0.extend(names);
            set.1.extend(bodies);
        }
        sets.push(set);
    }
    sets.into_iter().map(|(_, bodies)| bodies).collect()
}

/// One instance, as it stands when nothing else is ever said: it fires when that is said, until its end is;
/// after that only when it is said so much later that it is no late delivery.
#[derive(Default)]
struct Alone {
    over_ms: Option<i64>,
}

impl Alone {
    fn take(&mut self, one: &Sighting, now_ms: i64) {
        match one.ended_ms {
            Some(_) => self.over_ms = self.over_ms.or(Some(now_ms)),
            None if self.over_ms.is_some_and(|over_ms| now_ms - over_ms < LATE_MS_MAX) => {}
            None => self.over_ms = None,
        }
    }

    fn is_over(&self) -> bool {
        self.over_ms.is_some()
    }
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
    assert_alerts_follow(database).await;
    engine.store().close().await;
}

/// An alert is over when none of its instances fires.
async fn assert_alerts_follow(database: &TestDatabase) {
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
}

both_engines! {
    async fn whatever_order_the_captured_bodies_come_in_and_however_often_they_are_told_as_they_are(database: TestDatabase) {
        // When the captured bodies were sent.
        let clock = Clock::manual(1_795_474_100_000);
        let engine = engine(&database, &clock).await;
        let bodies: Vec<Value> = captured().into_iter().map(|(_, body)| body).collect();
        let mut world = 0;
        let mut counts = Vec::new();
        // Bodies that share no alert share nothing: each of these sets is a question of its own.
        for bodies in sets(bodies) {
            // Breadth first from nothing: each state that any sequence leads to, and from each of them every
            // body, until none leads to a state that is new. That is every order with any number of repeats.
            let mut reached: BTreeSet<Standing> = BTreeSet::from([Standing::default()]);
            let mut ways = VecDeque::from([Vec::new()]);
            while let Some(way) = ways.pop_front() {
                for next in 0..bodies.len() {
                    let way: Vec<usize> = way.iter().copied().chain([next]).collect();
                    world += 1;
                    for at in &way {
                        engine.observe(sightings(&engine, &in_world(&bodies[*at], world))).await.unwrap();
                    }
                    let given: Vec<Value> = way.iter().map(|at| bodies[*at].clone()).collect();
                    let standing = standing(&database, world).await;
                    assert_right(&standing, &expected(&given));
                    if reached.insert(standing) {
                        ways.push_back(way);
                    }
                }
            }
            counts.push((bodies.len(), reached.len()));
        }

        counts.sort_unstable();
        // Of 2, 4 and 8 bodies, each about two instances that are unknown, fire or are over.
        assert_eq!(counts.iter().map(|(bodies, _)| *bodies).collect::<Vec<_>>(), [2, 4, 8]);
        assert!(counts.iter().all(|(_, states)| (3..40).contains(states)), "{counts:?}");
        engine.store().close().await;
    }

    async fn each_alert_of_interleaved_bodies_stands_as_if_it_came_alone(database: TestDatabase) {
        // When the captured bodies were sent.
        let clock = Clock::manual(1_795_474_100_000);
        let engine = engine(&database, &clock).await;
        let bodies: Vec<Value> = captured().into_iter().map(|(_, body)| body).collect();
        let turns = prop::collection::vec((0..bodies.len(), prop::sample::select(vec![0_u64, 0, 0, 1, 3, 11])), 1..40);
        let config = Config { cases: SEQUENCES, failure_persistence: None, ..Config::default() };
        let worlds = Cell::new(0);

        let outcome = TestRunner::new(config).run(&turns, |turns| {
            let world = worlds.get();
            worlds.set(world + 1);
            block_in_place(|| Handle::current().block_on(async {
                let mut alone: BTreeMap<String, Alone> = BTreeMap::new();
                for (at, minutes) in &turns {
                    clock.advance_ms(minutes * 60_000);
                    let body = in_world(&bodies[*at], world);
                    let told = sightings(&engine, &body);
                    for one in &told {
                        alone.entry(of_no_world(&one.fingerprint)).or_default().take(one, clock.now_ms());
                    }
                    engine.observe(told).await.unwrap();
                }
                let alone = alone.into_iter().map(|(fingerprint, one)| (fingerprint, one.is_over()));
                let standing = standing(&database, world).await;
                prop_assert_eq!(standing.instances, alone.collect::<BTreeMap<_, _>>());
                // What comes and goes is over only when that has lasted.
                clock.advance_ms(11 * 60_000);
                while engine.advance_alerts().await.unwrap() > 0 {}
                assert_alerts_follow(&database).await;
                Ok(())
            }))
        });

        outcome.unwrap_or_else(|failure| panic!("{failure}"));
        engine.store().close().await;
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
    async fn the_requests_of_a_real_alertmanager_are_taken_and_what_it_answers_elsewhere_is_not(database: TestDatabase) {
        let bot = bot(&database).await;
        let client = reqwest::Client::new();
        let post = |bytes: Vec<u8>| {
            let request = client.post(format!("{}/{ALERTMANAGER}", bot.url)).bearer_auth(WEBHOOK_TOKEN);
            // Its headers, as captured.
            let request = request.header("user-agent", "Alertmanager/0.25.0");
            request.header("content-type", "application/json").body(bytes).send()
        };
        let files = |folder: &str| {
            let folder = format!("{}/tests/fixtures/{folder}", env!("CARGO_MANIFEST_DIR"));
            let files = std::fs::read_dir(folder).unwrap().map(|file| std::fs::read(file.unwrap().path()).unwrap());
            files.collect::<Vec<_>>()
        };

        let (hooks, others) = (files("alertmanager"), files("alertmanager-api"));
        assert_eq!((hooks.len(), others.len()), (14, 4));
        for body in others {
            let answer = post(body).await.unwrap();
            assert_eq!(answer.status(), 400);
            assert!(answer.json::<Value>().await.unwrap()["errors"][0]["fault"].is_string());
        }
        assert_eq!(rows(&database, "alert_instances").await, 0);
        for body in hooks {
            let alerts = serde_json::from_slice::<Value>(&body).unwrap()["alerts"].as_array().unwrap().len();
            let answer = post(body).await.unwrap();
            assert_eq!(answer.status(), 200);
            let answer: Value = answer.json().await.unwrap();
            assert_eq!(answer, json!({"taken": alerts, "ignored": 0, "refused": 0}));
        }
        assert_eq!(rows(&database, "alert_instances").await, 6);
        bot.finish().await;
    }

    async fn what_is_said_again_long_after_its_end_fires_again(database: TestDatabase) {
        let bot = bot(&database).await;
        let (fires, over) = (body_of("firing-single"), body_of("resolved-single"));
        let state = async || {
            let found = alerts(&bot.database_url, "InstanceDown").await;
            found.iter().map(|alert| (alert.condition.state, alert.firing)).collect::<Vec<_>>()
        };
        for body in [&fires, &over] {
            assert_eq!(send(&bot.url, ALERTMANAGER, body).await.status, 200);
        }

        // Late: a retry that the end overtook.
        bot.advance_ms(90_000);
        send(&bot.url, ALERTMANAGER, &fires).await;
        assert_eq!(state().await, [(State::Resolved, 0)]);
        // Prometheus was out of Alertmanager's reach and is back: the same beginning, and it fires.
        bot.advance_ms(30_000);
        send(&bot.url, ALERTMANAGER, &fires).await;
        assert_eq!(state().await, [(State::Open, 1)]);
        let told = |bot: &Bot| bot.thread().iter().any(|line| line.contains("It came back"));
        bot.until("people are told", told).await;
        send(&bot.url, ALERTMANAGER, &over).await;
        assert_eq!(state().await, [(State::Resolved, 0)]);
        // So long after it that it is another alert.
        bot.advance_ms(11 * 60_000);
        send(&bot.url, ALERTMANAGER, &fires).await;
        assert_eq!(state().await, [(State::Open, 1), (State::Resolved, 0)]);
        send(&bot.url, ALERTMANAGER, &over).await;
        assert_eq!(state().await, [(State::Resolved, 0); 2]);
        bot.finish().await;
    }

    async fn what_the_bot_measured_itself_never_fires_again_by_a_word_that_is_late(database: TestDatabase) {
        let clock = Clock::manual(1_795_474_100_000);
        let engine = engine(&database, &clock).await;
        let of_rule = |name: &str| {
            let mut found = sightings(&engine, &body_of(name));
            for one in &mut found {
                "rule".clone_into(&mut one.source);
            }
            found
        };
        engine.observe(of_rule("firing-single")).await.unwrap();
        engine.observe(of_rule("resolved-single")).await.unwrap();

        // A bot that was frozen meanwhile.
        clock.advance_ms(60 * 60_000);
        let late = engine.observe(of_rule("firing-single")).await.unwrap();

        assert_eq!((late.fired, late.known), (0, 1));
        engine.store().close().await;
    }

    async fn an_end_is_one_whichever_of_two_prometheus_it_names(database: TestDatabase) {
        let bot = bot(&database).await;
        let (one, two) = ("2026-11-24T02:00:00Z", "2026-11-24T02:00:07Z");
        let with = |mut alert: Value| {
            alert["fingerprint"] = json!("aa");
            body(&[alert])
        };
        let firing_count = async || alerts(&bot.database_url, "A").await[0].firing;

        // Alertmanager knows the earlier beginning, forgets it in a restart, and learns it again.
        send(&bot.url, ALERTMANAGER, &with(firing("A", "a", one))).await;
        send(&bot.url, ALERTMANAGER, &with(firing("A", "a", two))).await;
        assert_eq!(firing_count().await, 1);
        let over = with(resolved("A", "a", one, "2026-11-24T02:30:00Z"));
        send(&bot.url, ALERTMANAGER, &over).await;
        assert_eq!(firing_count().await, 0);
        // And what it says of the earlier one later on is heard.
        bot.advance_ms(5 * 60_000);
        send(&bot.url, ALERTMANAGER, &with(firing("A", "a", one))).await;
        assert_eq!(firing_count().await, 1);
        let over = with(resolved("A", "a", two, "2026-11-24T03:04:00Z"));
        send(&bot.url, ALERTMANAGER, &over).await;
        assert_eq!(firing_count().await, 0);
        bot.finish().await;
    }

    async fn an_alert_that_alertmanager_forgot_is_over_when_a_person_says_so(database: TestDatabase) {
        let bot = bot(&database).await;
        send(&bot.url, ALERTMANAGER, &body_of("firing-single")).await;
        let id = alerts(&bot.database_url, "InstanceDown").await[0].id.clone();

        let answer = bot.say("U0BOB", &format!("alert {id} resolve Alertmanager was replaced")).await;
        bot.advance_ms(60 * 60_000);
        bot.until_quiet().await;

        assert!(answer.contains("resolved") && !answer.contains("opens again"), "{answer}");
        let found = alerts(&bot.database_url, "InstanceDown").await;
        assert_eq!((found.len(), found[0].condition.state, found[0].firing), (1, State::Resolved, 0));
        // It was not forgotten after all.
        send(&bot.url, ALERTMANAGER, &body_of("firing-repeat")).await;
        let found = alerts(&bot.database_url, "InstanceDown").await;
        assert_eq!((found.len(), found[0].condition.state, found[0].firing), (2, State::Open, 1));
        bot.finish().await;
    }

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

        for method in [Method::GET, Method::HEAD, Method::PUT, Method::DELETE, Method::OPTIONS] {
            let request = client.request(method.clone(), &url).bearer_auth(WEBHOOK_TOKEN);
            assert_eq!(request.send().await.unwrap().status(), 405, "{method}");
        }
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

/// A hostile body, by what it is; how it is answered, and how many of its alerts are kept.
type Hostile = (&'static str, Vec<u8>, u16, i64);

fn hostile_bodies() -> Vec<Hostile> {
    let count = Cell::new(0);
    let with = |path: &str, value: Value| {
        let mut alert = firing("Hostile", "a", "2026-11-24T02:00:00Z");
        alert["fingerprint"] = json!(format!("hostile-{}", count.replace(count.get() + 1)));
        let (parent, key) = path.rsplit_once('/').unwrap();
        alert.pointer_mut(parent).unwrap()[key] = value;
        body(&[alert]).to_string()
    };
    let text = |with: String, put: &[u8]| {
        let at = with.find("PUT").unwrap();
        [&with.as_bytes()[..at], put, &with.as_bytes()[at + 3..]].concat()
    };
    let labels = |count: usize, bytes: usize| {
        let name = |index| format!("l{index:04}");
        let labels = (0..count).map(|index| (name(index), json!("\u{202e}é".repeat(bytes / 5))));
        with("/labels", Value::Object(labels.collect())).into_bytes()
    };
    let names = json!({
        "<!channel>": "<!here>", "": "x", "\0": "\0", "\u{202e}": "\u{200b}", "a/b~c": "'; drop table alerts; --",
        "`*_~": "```", "名称": "值", ("x".repeat(70_000)): "y",
    });
    let plain = body(&[firing("A", "a", "2026-11-24T02:00:00Z")]).to_string();
    let twice = plain.replacen("\"status\"", "\"status\": \"firing\", \"status\"", 1);
    let nested = format!("{}{}", "[".repeat(500_000), "]".repeat(500_000));
    vec![
        (
            "1 MB of annotations",
            with("/annotations/summary", json!("\u{2067}<!channel>".repeat(80_000))).into_bytes(),
            200,
            1,
        ),
        ("1,000 labels", labels(1_000, 100), 200, 1),
        ("labels of 64 KB", labels(50, 64 * 1024), 200, 1),
        ("hostile names of labels", with("/labels", names).into_bytes(), 200, 1),
        (
            "bytes that are no text",
            text(with("/annotations/summary", json!("PUT")), b"\xff\xfe\xb4\xc5"),
            200,
            1,
        ),
        ("half a pair", text(with("/annotations/summary", json!("PUT")), br"\ud83d"), 200, 1),
        ("NUL in a text", with("/labels/alertname", json!("a\0b")).into_bytes(), 200, 1),
        ("NUL between texts", [plain.as_bytes(), b"\0"].concat(), 400, 0),
        ("a key twice", twice.into_bytes(), 400, 0),
        ("the year 1", with("/startsAt", json!("0001-01-01T00:00:00Z")).into_bytes(), 400, 0),
        ("the year -1", with("/startsAt", json!("-001-01-01T00:00:00Z")).into_bytes(), 400, 0),
        ("the year 9999", with("/startsAt", json!("9999-12-31T23:59:59Z")).into_bytes(), 200, 1),
        ("a number for a time", with("/startsAt", json!(1.8e12)).into_bytes(), 400, 0),
        (
            "deep nesting where nobody looks",
            with("/extra", json!("PUT")).replace("\"PUT\"", &nested).into_bytes(),
            200,
            1,
        ),
        (
            "deep nesting in a label",
            with("/labels/x", json!("PUT")).replace("\"PUT\"", &nested).into_bytes(),
            400,
            0,
        ),
        ("brackets that nobody closes", vec![b'['; BODY_BYTES_MAX], 400, 0),
        ("nothing", Vec::new(), 400, 0),
    ]
}

both_engines! {
    async fn a_hostile_body_is_answered_clearly_and_delays_nobody(database: TestDatabase) {
        let bot = bot(&database).await;
        let mut kept = 0;
        for (what, bytes, status, more) in hostile_bodies() {
            let began = Instant::now();
            let answer = send_bytes(&bot.url, ALERTMANAGER, bytes).await.expect(what);
            assert_eq!(answer.status, status, "{what}: {}", answer.body);
            assert!(began.elapsed() < SLACK_WAITS, "{what}: {:?}", began.elapsed());
            if status == 400 {
                let fault = answer.json()["errors"][0]["fault"].as_str().unwrap_or_default().to_owned();
                assert!((5..400).contains(&fault.len()), "{what}: {}", answer.body);
            }
            kept += more;
            assert_eq!(rows(&database, "alert_instances").await, kept, "{what}");
        }
        assert!(bot.say("U0BOB", "status").await.contains("neostock · status"));
        bot.until_quiet().await;
        let said = bot.workspace.messages("C0OPS").iter().map(|one| format!("{one:?}")).collect::<Vec<_>>().concat();
        for called in ["<!channel", "<!here", "\u{202e}", "\u{2067}", "\u{200b}"] {
            assert!(!said.contains(called), "{called:?}");
        }
        bot.finish().await;
    }

    async fn killed_in_the_middle_of_a_body_it_goes_on_when_it_comes_again(database: TestDatabase) {
        let mut bot = process(&database.url).await;
        assert!(bot.start(Some("webhook_part@2")).await);
        let many: Vec<Value> =
            (0..500).map(|index| firing("Many", &format!("{index}"), "2026-11-24T02:00:00Z")).collect();
        let many = body(&many);

        assert!(send_bytes(&bot.url, ALERTMANAGER, many.to_string().into_bytes()).await.is_none());
        bot.until("it is dead", Process::has_died).await;
        assert_eq!(rows(&database, "alert_instances").await, 400);
        assert!(bot.start(None).await, "{}", bot.log());
        send_until_taken(&bot.url, &many).await;
        let is_told = |bot: &mut Process| bot.told().iter().any(|card| card.contains("500 instances"));
        bot.until("the card", is_told).await;

        assert_eq!(rows(&database, "alert_instances").await, 500);
        assert_eq!(rows(&database, "alerts").await, 1);
        let messages = bot.workspace.messages("C0OPS");
        assert_eq!(messages.iter().filter(|one| one.is_bot && one.thread_ts.is_none()).count(), 1);
        assert_eq!(bot.workspace.faults(), Vec::<String>::new());
        bot.kill();
    }
}

/// The most memory that a bot ever had, in KiB.
fn peak_kib(bot: &Process) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", bot.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[test]
fn bodies_made_to_fill_the_memory_do_not() {
    run(crate::harness::database::Engine::Sqlite, async |database| {
        let mut bot = process(&database.url).await;
        assert!(bot.start(None).await);
        let fill = |start: &str, piece: &str, end: &str| {
            let room = BODY_BYTES_MAX - start.len() - end.len();
            format!("{start}{}{end}", piece.repeat(room / piece.len())).into_bytes()
        };
        let empty = format!("{{\"alerts\":[{}{{}}]}},", "{},".repeat(9_999));
        let hostile = [
            // Lists within a list.
            (ALERTS, fill("{\"alerts\":[", &empty, "{}]}")),
            (ALERTS, fill("{\"alerts\":[", "{},", "{}]}")),
            // Labels that are as short as they can be.
            (ALERTMANAGER, fill("{\"alerts\":[{\"labels\":{", "\"\":0,", "\"\":0}}]}")),
            (ALERTMANAGER, fill("{\"alerts\":[", "{\"labels\":{\"a\":[]}},", "{}]}")),
        ];

        let before = peak_kib(&bot);
        let mut sending = JoinSet::new();
        for (path, bytes) in hostile.into_iter().cycle().take(8) {
            let url = bot.url.clone();
            sending.spawn(async move { send_bytes(&url, path, bytes).await.unwrap().status });
        }
        let statuses = sending.join_all().await;
        let grew = (peak_kib(&bot) - before) / 1_024;

        assert!(statuses.iter().all(|status| *status == 400), "{statuses:?}");
        println!("8 bodies of 4 MiB: {grew} MiB more at the most");
        assert!(grew < MEMORY_MIB_MAX, "{grew} MiB");
        bot.kill();
    });
}

#[test]
fn a_database_that_says_nothing_is_503_in_time_and_nothing_is_lost() {
    run(crate::harness::database::Engine::Sqlite, async |_| {
        let cluster = Cluster::start();
        let mut bot = process(&cluster.url).await;
        assert!(bot.start(None).await);
        send_until_taken(&bot.url, &body_of("firing-single")).await;

        let stopped = server(cluster.pid());
        let signal = |signal| {
            for pid in &stopped {
                let _ = kill_process(Pid::from_raw(*pid).unwrap(), signal);
            }
        };
        signal(Signal::STOP);
        let began = Instant::now();
        let sent = body_of("firing-warning-grouped").to_string().into_bytes();
        let answer = send_bytes(&bot.url, ALERTMANAGER, sent).await.expect("an answer");
        let took = began.elapsed();
        signal(Signal::CONT);

        assert_eq!(
            (answer.status, answer.headers["retry-after"].to_str().unwrap()),
            (503, "5"),
            "{}",
            answer.body
        );
        // Alertmanager's own patience is its `group_interval`, ten seconds at least; ours is twenty.
        assert!(took < Duration::from_secs(25), "{took:?}");
        send_until_taken(&bot.url, &body_of("firing-warning-grouped")).await;
        let states: Vec<_> = alerts(&bot.database_url, "")
            .await
            .iter()
            .map(|one| (one.condition.state, one.total))
            .collect();
        assert_eq!(states, [(State::Open, 2), (State::Open, 1)]);
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
