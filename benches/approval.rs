//! From a press of Approve to the first step's own process: the press is signed and verified, the
//! decision and the queued run are durable, the run is claimed, the step's start is durable, and the
//! program runs. The program is `date`, which says when that was.
#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a bench measures real time and speaks to whoever runs it"
)]

mod support;

use anyhow::{Context, ensure};
use neostock_ops::clock::Clock;
use neostock_ops::store::Store;
use neostock_ops::store::runs::{self, RunRow};
use secrecy::SecretString;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use support::bot::Bot;
use support::folder::Folder;
use support::stats::{Sorted, ms, print_table};

const TIMES: usize = 150;
const WARM_UP: usize = 10;
/// How long one run may take.
const PATIENCE: Duration = Duration::from_secs(20);

fn main() -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(measure())
}

async fn measure() -> anyhow::Result<()> {
    let folder = Folder::new()?;
    let url = folder.sqlite_url();
    let bot = Bot::start(&folder, &url).await?;
    let store = Store::inspect(&url, Clock::System, None::<SecretString>).await?;
    let mut took = Vec::new();
    for count in 0..WARM_UP + TIMES {
        let one = approve(&bot, &store, count).await?;
        if count >= WARM_UP {
            took.push(one);
        }
    }
    store.close().await;
    bot.end().await?;
    let took = Sorted::of(took);
    let row = vec!["SQLite".to_owned(), ms(took.p50()), ms(took.at(0.9)), ms(took.p99())];
    println!("## From Approve to the first step's process, {TIMES} times\n");
    print_table(&["store", "p50", "p90", "p99"], &[row]);
    Ok(())
}

/// Asks, approves as somebody else, and reads from the step when it began.
async fn approve(bot: &Bot, store: &Store, count: usize) -> anyhow::Result<Duration> {
    let answer = bot.workspace.say("U0ANN", "C0OPS", "stamp").await;
    let body = answer.body();
    let at = body.find("R-").with_context(|| format!("no run in {body}"))?;
    let run = body[at..at + 10].to_owned();
    let waiting = row(store, &run).await?;
    ensure!(waiting.state == "waiting", "{run} is {}", waiting.state);
    let form = press(&run, &waiting.plan_digest, count);
    let pressed = since_epoch()?;
    let answer =
        bot.workspace.deliver_signed("application/x-www-form-urlencoded", &form, &[]).await;
    ensure!(answer.is_ok(), "the press was answered {answer:?}");
    let deadline = Instant::now() + PATIENCE;
    while row(store, &run).await?.ended_ms == 0 {
        ensure!(Instant::now() < deadline, "{run} does not end");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let mut reader = store.read().await?;
    let steps = runs::steps_of(&mut reader, &run).await?;
    let said = &steps.first().context("a step")?.tail;
    let began = Duration::from_nanos(said.trim().parse().with_context(|| format!("{said:?}"))?);
    began.checked_sub(pressed).context("the step began before the press")
}

async fn row(store: &Store, run: &str) -> anyhow::Result<RunRow> {
    let mut reader = store.read().await?;
    runs::run(&mut reader, run).await?.with_context(|| format!("no run {run}"))
}

fn since_epoch() -> anyhow::Result<Duration> {
    Ok(SystemTime::now().duration_since(UNIX_EPOCH)?)
}

/// The press as Slack sends it, without an address for its answer.
fn press(run: &str, digest: &str, count: usize) -> String {
    let payload = serde_json::json!({
        "type": "block_actions",
        "user": {"id": "U0BOB", "team_id": "T0NEO"},
        "team": {"id": "T0NEO"},
        "container": {"type": "message", "channel_id": "C0OPS", "message_ts": "1.000001"},
        "trigger_id": format!("1.2.{count}"),
        "actions": [{
            "type": "button", "action_id": "approve", "block_id": "b",
            "value": format!("{run} {digest}"), "action_ts": "1.0",
        }],
    });
    form_urlencoded::Serializer::new(String::new())
        .append_pair("payload", &payload.to_string())
        .finish()
}
