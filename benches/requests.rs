//! A signed `/neostock status` from its first byte to its answer, its journal row being durable by
//! then; beside it, on the same disk and in the same minute, the two things that bound it: a bare
//! fdatasync, and a bare answer of the same HTTP server.
#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a bench measures real time and speaks to whoever runs it"
)]

mod support;

use anyhow::{Context, ensure};
use axum::Router;
use axum::routing::post;
use bytes::Bytes;
use neostock_ops::audit;
use neostock_ops::clock::Clock;
use neostock_ops::core::text::Lang;
use neostock_ops::sandbox::Workspace;
use neostock_ops::store::Store;
use secrecy::SecretString;
use sqlx::{AnyConnection, AssertSqlSafe, Connection as _};
use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use support::bot::Bot;
use support::folder::Folder;
use support::http::{self, Load};
use support::stats::{Sorted, median_and_range, ms, print_table};
use tokio::net::TcpListener;

/// Connections at once, and how many requests a round sends over them.
const LOADS: [(usize, usize); 3] = [(1, 1_500), (16, 12_000), (64, 12_000)];
/// Rounds of everything, one after another, so that a slow moment of the machine hits all alike.
const ROUNDS: usize = 3;
/// Requests before anything is measured.
const WARM_UP: usize = 2_000;
/// Syncs in a round.
const SYNCS: usize = 300;
/// About what SQLite appends to its log for a small transaction.
const SYNC_BYTES: usize = 4_096;
/// How long the bot may take to become ready, and a run to end.
const PATIENCE: Duration = Duration::from_secs(20);
/// Where PostgreSQL may make databases; without it only SQLite is measured.
const CLUSTER_VARIABLE: &str = "NEOSTOCK_TEST_POSTGRES";

fn main() -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    // The bot keeps the runtime's threads; this one only waits.
    runtime.block_on(async {
        let folder = Folder::new()?;
        measure("SQLite", &folder, &folder.sqlite_url()).await?;
        if let Ok(cluster) = std::env::var(CLUSTER_VARIABLE) {
            let name = format!("bench_{}_{}", std::process::id(), now_secs()?);
            let mut maintenance = AnyConnection::connect(&cluster).await?;
            let (server, _) = cluster.rsplit_once('/').context("a url of a database")?;
            maintain(&mut maintenance, format!("create database {name}")).await?;
            let measured =
                measure("PostgreSQL", &Folder::new()?, &format!("{server}/{name}")).await;
            maintain(&mut maintenance, format!("drop database {name} with (force)")).await?;
            measured?;
        }
        Ok(())
    })
}

async fn maintain(connection: &mut AnyConnection, statement: String) -> anyhow::Result<()> {
    // A database's name cannot be a parameter; this one is made of digits.
    sqlx::raw_sql(AssertSqlSafe(statement)).execute(connection).await?;
    Ok(())
}

async fn measure(engine: &str, folder: &Folder, database_url: &str) -> anyhow::Result<()> {
    let bot = Bot::start(folder, database_url).await?;
    leave_a_history(&bot).await?;
    let mut slack = Slack { workspace: bot.workspace.clone(), sent: 0 };
    send(bot.address, 16, slack.statuses(WARM_UP)?).await?;
    let (status, example) = bot.ask(&slack.status()?).await?;
    ensure!(status == 200 && example.contains("ephemeral"), "answered {status}: {example}");
    let bare = bare_server(example.into()).await?;

    let mut syncs = Vec::new();
    let mut bare_loads: Vec<Vec<Load>> = LOADS.iter().map(|_| Vec::new()).collect();
    let mut bot_loads: Vec<Vec<Load>> = LOADS.iter().map(|_| Vec::new()).collect();
    for _ in 0..ROUNDS {
        syncs.extend(sync(folder.path())?);
        for (index, (connections, count)) in LOADS.into_iter().enumerate() {
            bare_loads[index].push(send(bare, connections, slack.statuses(count)?).await?);
            // What the bare server was sent, the bot never saw.
            slack.sent -= count;
            bot_loads[index].push(send(bot.address, connections, slack.statuses(count)?).await?);
        }
    }
    bot.end().await?;
    prove(database_url, slack.sent).await?;

    println!("## {engine}: {} requests, every one answered 200 and in the journal\n", slack.sent);
    let syncs = Sorted::of(syncs);
    let per_second = format!("{:.0}", 1.0 / syncs.p50().as_secs_f64());
    let mut rows = vec![row("fdatasync", "1", &per_second, &syncs)];
    for (what, loads) in [("bare answer", bare_loads), ("status", bot_loads)] {
        for ((connections, _), loads) in LOADS.iter().zip(loads) {
            let (median, least, most) =
                median_and_range(loads.iter().map(Load::per_second).collect());
            let per_second = format!("{median:.0} ({least:.0}–{most:.0})");
            let latencies = loads.into_iter().flat_map(|load| load.latencies).collect();
            rows.push(row(what, &connections.to_string(), &per_second, &Sorted::of(latencies)));
        }
    }
    print_table(&["what", "connections", "per second", "p50", "p99"], &rows);
    Ok(())
}

fn row(what: &str, connections: &str, per_second: &str, latencies: &Sorted) -> Vec<String> {
    [what, connections, per_second, &ms(latencies.p50()), &ms(latencies.p99())]
        .map(str::to_owned)
        .to_vec()
}

/// Loads a server from another thread while this one's runtime serves.
async fn send(
    address: SocketAddr,
    connections: usize,
    requests: Vec<Vec<u8>>,
) -> anyhow::Result<Load> {
    tokio::task::spawn_blocking(move || http::load(address, connections, requests)).await?
}

/// Appends and syncs, one after another.
fn sync(folder: &Path) -> anyhow::Result<Vec<Duration>> {
    let mut file = std::fs::File::create(folder.join("sync"))?;
    let bytes = [7; SYNC_BYTES];
    let once = |_| {
        let began = Instant::now();
        file.write_all(&bytes)?;
        file.sync_data()?;
        Ok(began.elapsed())
    };
    (0..SYNCS).map(once).collect()
}

/// The same server with nothing behind it: it reads the body and answers the same bytes.
async fn bare_server(answer: Bytes) -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let respond = move |_: Bytes| {
        let answer = answer.clone();
        async move { ([("content-type", "application/json; charset=utf-8")], answer) }
    };
    let router = Router::new().route(PATH, post(respond));
    tokio::spawn(async { axum::serve(listener, router).await });
    Ok(address)
}

/// Counts what the journal tells, over a connection of its own, and checks its chain.
async fn prove(database_url: &str, sent: usize) -> anyhow::Result<()> {
    let store = Store::inspect(database_url, Clock::System, None::<SecretString>).await?;
    let (report, is_sound) = audit::verify_report(&store, None, Lang::En).await?;
    ensure!(is_sound, "{report}");
    let mut reader = store.read().await?;
    let (rows,): (i64,) = sqlx::query_as(
        "select cast(count(*) as bigint) from journal where kind = 'request.answered'",
    )
    .fetch_one(&mut *reader)
    .await?;
    ensure!(rows == sent as i64, "{sent} requests were answered, the journal has {rows}");
    drop(reader);
    store.close().await;
    Ok(())
}

/// Where Slack sends everything.
const PATH: &str = "/slack/events";

/// Requests as Slack sends them.
struct Slack {
    workspace: Workspace,
    sent: usize,
}

impl Slack {
    fn statuses(&mut self, count: usize) -> anyhow::Result<Vec<Vec<u8>>> {
        (0..count).map(|_| self.status()).collect()
    }

    fn status(&mut self) -> anyhow::Result<Vec<u8>> {
        self.sent += 1;
        command(&self.workspace, "status", &format!("status{}", self.sent))
    }
}

/// A signed slash command of Ann's.
fn command(workspace: &Workspace, text: &str, trigger: &str) -> anyhow::Result<Vec<u8>> {
    let form = form_urlencoded::Serializer::new(String::new())
        .append_pair("token", "gIkuvaNzQIHg97ATvDxqgjtO")
        .append_pair("team_id", &workspace.team_id())
        .append_pair("team_domain", "neostock")
        .append_pair("channel_id", "C0OPS")
        .append_pair("channel_name", "ops")
        .append_pair("user_id", "U0ANN")
        .append_pair("user_name", "ann")
        .append_pair("command", "/neostock")
        .append_pair("text", text)
        .append_pair("api_app_id", "A0NEOSTOCK")
        .append_pair("is_enterprise_install", "false")
        .append_pair("response_url", "https://hooks.slack.com/commands/T0NEO/398738663015/4cPFJn1q")
        .append_pair("trigger_id", &format!("398738663015.47445629121.{trigger}"))
        .finish();
    let timestamp = now_secs()?;
    let signature = workspace.sign(timestamp, form.as_bytes());
    let headers = [
        ("user-agent", "Slackbot 1.0 (+https://api.slack.com/robots)"),
        ("accept", "application/json,*/*"),
        ("content-type", "application/x-www-form-urlencoded"),
        ("x-slack-request-timestamp", &timestamp.to_string()),
        ("x-slack-signature", &signature),
    ];
    Ok(http::request(PATH, &headers, &form))
}

fn now_secs() -> anyhow::Result<i64> {
    Ok(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs().try_into()?)
}

/// Does a run in each environment, so that `status` has to tell of them.
async fn leave_a_history(bot: &Bot) -> anyhow::Result<()> {
    let deadline = Instant::now() + PATIENCE;
    for (environment, channel) in [("production", "C0OPS"), ("staging", "C0DEV")] {
        let text = format!("touch env={environment} for the bench");
        let (status, answer) = bot.ask(&command(&bot.workspace, &text, environment)?).await?;
        ensure!(status == 200, "answered {status}: {answer}");
        let has_ended = || {
            let messages = bot.workspace.messages(channel);
            messages.iter().any(|message| format!("{:?}", message.blocks).contains('✅'))
        };
        while !has_ended() {
            ensure!(Instant::now() < deadline, "no run ended in {environment}: {answer}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
    Ok(())
}
