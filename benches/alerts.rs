//! What alerts cost: bodies of a hundred accepted and durable a second, from a POST to its notice in Slack's
//! hands, memory with a hundred thousand that fire, and six thousand escalations due at once.
#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a bench measures real time, starts programs and speaks to whoever runs it"
)]

mod support;

use anyhow::{Context, ensure};
use neostock_ops::clock::Clock;
use neostock_ops::config::{alerting, runbook};
use neostock_ops::core::alert::{Level, Sighting, Way};
use neostock_ops::engine::{Engine, Identity, Terms};
use neostock_ops::metrics::Metrics;
use neostock_ops::sandbox::{Options, Workspace};
use neostock_ops::store::Store;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use support::database::Database;
use support::folder::{Folder, WEBHOOK_TOKEN};
use support::http::{self, Connection, Load};
use support::stats::{Sorted, median_and_range, ms, print_table};
use tokio::sync::watch;

/// Alerts of a body.
const BODY_ALERTS: usize = 100;
/// Bodies of a round, and connections that bring them.
const BODIES: usize = 200;
const CONNECTIONS: usize = 8;
const ROUNDS: usize = 3;
/// Alerts whose way to Slack is measured.
const NOTICES: usize = 20;
/// Slack takes one message a second in a channel: an alert writes its card and a reply.
const NOTICE_PAUSE: Duration = Duration::from_millis(3_300);
/// Alerts that fire at once when memory is weighed.
const ACTIVE: usize = 100_000;
/// Escalations that are due at once.
const DUE: usize = 6_000;
/// 2026-11-24 03:00:00 UTC.
const NIGHT_MS: i64 = 1_795_489_200_000;
/// The manual's level 2 is answered within this.
const ANSWERED_WITHIN_MS: u64 = 15 * 60_000;
const PATIENCE: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(1);
const KIB_IN_MIB: f64 = 1_024.0;
const CONFIGURATION: &str =
    "alerts: {cpu: {threshold: 0.8, duration: 5m, severity: warning, channels: [slack]}}\n";

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    println!("load average before: {}", std::fs::read_to_string("/proc/loadavg")?.trim());
    let folder = Folder::new()?;
    let url = folder.sqlite_url();
    measure("SQLite", folder, &url).await?;
    if let Some(database) = Database::new().await? {
        measure("PostgreSQL", Folder::new()?, &database.url).await?;
        database.drop().await?;
    }
    println!("## {DUE} escalations due at once\n");
    let mut rows = vec![escalate("SQLite", &Folder::new()?.sqlite_url()).await?];
    if let Some(database) = Database::new().await? {
        rows.push(escalate("PostgreSQL", &database.url).await?);
        database.drop().await?;
    }
    print_table(&["engine", "all told and in the outbox after", "a second"], &rows);
    Ok(())
}

async fn measure(engine: &str, folder: Folder, database_url: &str) -> anyhow::Result<()> {
    let workspace = Workspace::start(Options::default()).await?;
    let bot = Bot::start(folder, &workspace, database_url).await?;
    let at_first = bot.mib("VmRSS")?;
    let mut bodies = Bodies::default();
    send(bot.address, bodies.next(20, 1)).await?;

    let handed = notices(&bot, &workspace, &mut bodies).await?;
    let (mut fresh, mut again) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let round = bodies.next(BODIES, BODY_ALERTS);
        fresh.push(send(bot.address, round.clone()).await?);
        again.push(send(bot.address, round).await?);
    }
    let sent = ROUNDS * BODIES * BODY_ALERTS;
    while bodies.alerts < ACTIVE {
        send(bot.address, bodies.next(100, BODY_ALERTS)).await?;
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    let loaded = bot.mib("VmRSS")?;

    println!(
        "## {engine}: {sent} alerts in bodies of {BODY_ALERTS}, each answered 200 when it was durable\n"
    );
    let rows = [("new alerts", fresh), ("the same again", again)].map(|(what, loads)| {
        let rates = loads.iter().map(|load| load.per_second() * BODY_ALERTS as f64).collect();
        let (median, least, most) = median_and_range(rates);
        let latencies = Sorted::of(loads.into_iter().flat_map(|load| load.latencies).collect());
        vec![
            what.to_owned(),
            format!("{median:.0} ({least:.0}–{most:.0})"),
            ms(latencies.p50()),
            ms(latencies.p99()),
        ]
    });
    print_table(&["what", "alerts a second", "a body, p50", "p99"], &rows);
    println!(
        "from POST to the notice in Slack's hands: p50 {}, p99 {}",
        ms(handed.p50()),
        ms(handed.p99())
    );
    println!(
        "memory: {at_first:.1} MiB before, {loaded:.1} MiB with {} that fire\n",
        bodies.alerts
    );
    drop(bot);
    workspace.shutdown().await;
    Ok(())
}

/// One alert at a time, each a group of its own, until Slack has its card.
async fn notices(bot: &Bot, workspace: &Workspace, bodies: &mut Bodies) -> anyhow::Result<Sorted> {
    // Those of the warm-up go first.
    let quiet = Instant::now();
    let mut count = 0;
    while quiet.elapsed() < Duration::from_secs(3) || workspace.messages("C0OPS").len() != count {
        count = workspace.messages("C0OPS").len();
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
    let mut took = Vec::new();
    for _ in 0..NOTICES {
        tokio::time::sleep(NOTICE_PAUSE).await;
        let body = bodies.next(1, 1);
        let name = format!("Load{}", bodies.groups - 1);
        let began = Instant::now();
        send(bot.address, body).await?;
        let is_there = || {
            let messages = workspace.messages("C0OPS");
            messages.iter().rev().take(3).any(|one| format!("{:?}", one.blocks).contains(&name))
        };
        while !is_there() {
            ensure!(began.elapsed() < PATIENCE, "{name} is not in Slack\n{}", bot.log());
            tokio::time::sleep(LOOK).await;
        }
        took.push(began.elapsed());
    }
    Ok(Sorted::of(took))
}

/// Lets alerts of level 2 wait for an answer until it is too late, all at the same moment.
async fn escalate(name: &str, database_url: &str) -> anyhow::Result<Vec<String>> {
    let folder = Folder::new()?;
    let faults = |faults| anyhow::anyhow!("{faults:?}");
    let runbook =
        runbook::parse("r", &std::fs::read(folder.path().join("runbook.yml"))?).map_err(faults)?;
    let alerting = alerting::parse("a", CONFIGURATION.as_bytes()).map_err(faults)?;
    let terms = Terms {
        runbook: watch::Sender::new(Arc::new(runbook)).subscribe(),
        alerting: watch::Sender::new(Arc::new(alerting)).subscribe(),
    };
    let clock = Clock::manual(NIGHT_MS);
    let store = Store::connect(database_url, clock.clone(), None).await?;
    let identity =
        Identity { owner: "bench/1".to_owned(), host: "bench".to_owned(), lease_ms: 30_000 };
    let engine = Engine::new(store, identity, Metrics::new()?).with_terms(terms);
    let sightings: Vec<Sighting> = (0..DUE).map(sighting).collect();
    for part in sightings.chunks(200) {
        engine.observe(part.to_vec()).await?;
    }
    while engine.advance_alerts().await? > 0 {}

    clock.advance_ms(ANSWERED_WITHIN_MS);
    let began = Instant::now();
    let mut advanced = 0;
    loop {
        let found = engine.advance_alerts().await?;
        if found == 0 {
            break;
        }
        advanced += found;
    }
    let took = began.elapsed();
    ensure!(advanced == DUE, "{advanced} alerts moved");
    let census = engine.alert_census().await?;
    ensure!(census == [0, 0, DUE as i64], "by level: {census:?}");
    engine.store().close().await;
    let rate = DUE as f64 / took.as_secs_f64();
    Ok(vec![name.to_owned(), format!("{:.1} s", took.as_secs_f64()), format!("{rate:.0}")])
}

fn sighting(index: usize) -> Sighting {
    Sighting {
        source: "rule".to_owned(),
        fingerprint: format!("{index:x}"),
        starts_ms: NIGHT_MS,
        ended_ms: None,
        name: format!("Due{index}"),
        service: "neostock".to_owned(),
        environment: "production".to_owned(),
        level: Level::Error,
        ways: BTreeSet::from([Way::Slack]),
        summary: "it takes too long".to_owned(),
        description: String::new(),
        labels: BTreeMap::new(),
        links: Vec::new(),
        value: String::new(),
        owner: String::new(),
    }
}

/// Bodies as Alertmanager sends them, no alert twice.
#[derive(Default)]
struct Bodies {
    alerts: usize,
    groups: usize,
}

impl Bodies {
    /// So many bodies of so many alerts; a body is one group.
    fn next(&mut self, bodies: usize, alerts: usize) -> Vec<Vec<u8>> {
        (0..bodies).map(|_| self.body(alerts)).collect()
    }

    fn body(&mut self, alerts: usize) -> Vec<u8> {
        let name = format!("Load{}", self.groups);
        self.groups += 1;
        let alerts: Vec<_> = (0..alerts)
            .map(|_| {
                self.alerts += 1;
                let index = self.alerts;
                json!({
                    "status": "firing",
                    "labels": {
                        "alertname": name, "severity": "error", "service": "neostock", "env": "production",
                        "instance": format!("10.0.{}.{}:9100", index / 250 % 250, index % 250),
                        "job": "node", "cluster": "neostock-1",
                    },
                    "annotations": {
                        "summary": format!("Load on instance {index} is above 80%"),
                        "description": "The load of the last five minutes is above the limit of 80%.",
                        "runbook_url": "https://runbook.test/load",
                    },
                    "startsAt": "2026-11-24T02:00:00Z",
                    "endsAt": "0001-01-01T00:00:00Z",
                    "generatorURL": "http://prometheus:9090/graph?g0.expr=load5+%3E+0.8&g0.tab=1",
                    "fingerprint": format!("{index:016x}"),
                })
            })
            .collect();
        let body = json!({
            "receiver": "bot", "status": "firing", "alerts": alerts, "version": "4",
            "groupLabels": {"alertname": name}, "commonLabels": {}, "commonAnnotations": {},
            "externalURL": "http://alertmanager:9093", "groupKey": "{}", "truncatedAlerts": 0,
        });
        let bearer = format!("Bearer {WEBHOOK_TOKEN}");
        let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
        http::request("/webhooks/alertmanager", &headers, &body.to_string())
    }
}

/// Loads the bot from another thread.
async fn send(address: SocketAddr, requests: Vec<Vec<u8>>) -> anyhow::Result<Load> {
    tokio::task::spawn_blocking(move || http::load(address, CONNECTIONS, requests)).await?
}

/// A bot in a process of its own; it is killed when this is dropped.
struct Bot {
    child: Child,
    address: SocketAddr,
    folder: Folder,
}

impl Bot {
    async fn start(
        folder: Folder,
        workspace: &Workspace,
        database_url: &str,
    ) -> anyhow::Result<Self> {
        std::fs::write(folder.alerting(), CONFIGURATION)?;
        let address = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let child = Command::new(env!("CARGO_BIN_EXE_neostock-ops"))
            .arg("serve")
            .env_clear()
            .envs(folder.environment(workspace, database_url))
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("NEOSTOCK_LISTEN", address.to_string())
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(folder.path().join("log"))?)
            .spawn()?;
        let bot = Self { child, address, folder };
        let began = Instant::now();
        let request = http::request("/readyz", &[], "");
        loop {
            if let Ok(mut connection) = Connection::open(address).await
                && connection.exchange(&request).await.is_ok_and(|answer| answer.status == 200)
            {
                return Ok(bot);
            }
            ensure!(began.elapsed() < PATIENCE, "the bot did not start: {}", bot.log());
            tokio::time::sleep(LOOK).await;
        }
    }

    /// One line of its `/proc/PID/status`.
    fn mib(&self, field: &str) -> anyhow::Result<f64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB")).context("a size")?;
        Ok(kib.parse::<f64>()? / KIB_IN_MIB)
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Bot {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to kill.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
