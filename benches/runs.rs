//! Runs a second: the whole way of a run whose only step is `true`, from the claim to the last row,
//! with up to 64 at once. Engine, driver, supervisor and journal as `neostock-ops serve` runs them, and
//! the senders with their messages to a local workspace, which are paced and go on behind.
//!
//! The runs are asked of a bot that is not their host, so that all of them wait when their host starts.
#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a bench measures real time and speaks to whoever runs it"
)]

mod support;

use anyhow::ensure;
use neostock_ops::sandbox::Answer;
use sqlx::{AnyConnection, Connection as _, Row as _};
use std::time::{Duration, Instant};
use support::bot::Bot;
use support::database::Database;
use support::folder::Folder;
use support::stats::{median_and_range, print_table};

/// Below the number of runs that may wait at once.
const RUNS: i64 = 480;
const ROUNDS: usize = 3;
/// How long all runs of a round may take.
const PATIENCE: Duration = Duration::from_mins(3);

fn main() -> anyhow::Result<()> {
    sqlx::any::install_default_drivers();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let (mut sqlite, mut postgres) = (Vec::new(), Vec::new());
        // Kept to the end: ext4 without a journal looks long for a place beside what was deleted lately.
        let mut folders = Vec::new();
        // In turn, so that a slow moment of the machine hits both.
        for _ in 0..ROUNDS {
            let mut folder = Folder::new()?;
            let url = folder.sqlite_url();
            sqlite.push(round(&mut folder, &url).await?);
            folders.push(folder);
            if let Some(database) = Database::new().await? {
                let mut folder = Folder::new()?;
                postgres.push(round(&mut folder, &database.url).await?);
                folders.push(folder);
                database.drop().await?;
            }
        }
        println!("## Runs a second, {RUNS} runs of one step that is `true`, {ROUNDS} rounds\n");
        let rows = [("SQLite", sqlite), ("PostgreSQL", postgres)];
        let rows = rows.into_iter().filter(|(_, rates)| !rates.is_empty()).map(|(name, rates)| {
            let (median, least, most) = median_and_range(rates);
            vec![name.to_owned(), format!("{median:.0} ({least:.0}–{most:.0})")]
        });
        print_table(&["store", "runs a second"], &rows.collect::<Vec<_>>());
        Ok(())
    })
}

/// Asks for all runs, lets their host start, and reads from their rows how long they took.
async fn round(folder: &mut Folder, url: &str) -> anyhow::Result<f64> {
    let asker = Bot::start(folder, url).await?;
    for _ in 0..RUNS {
        let answer = asker.workspace.say("U0BOB", "C0RANDOM", "nothing env=elsewhere").await;
        ensure!(matches!(answer, Answer::Given { status: 200, .. }), "answered {answer:?}");
    }
    asker.end().await?;
    folder.host = "worker";
    let worker = Bot::start(folder, url).await?;
    let mut connection = AnyConnection::connect(url).await?;
    let deadline = Instant::now() + PATIENCE;
    let took_ms = loop {
        let row = sqlx::query(
            "select cast(count(*) as bigint), cast(coalesce(max(ended_ms) - min(started_ms), 0) as \
             bigint) from runs where state = 'succeeded'",
        )
        .fetch_one(&mut connection)
        .await?;
        if row.try_get::<i64, _>(0)? == RUNS {
            break row.try_get::<i64, _>(1)?;
        }
        ensure!(Instant::now() < deadline, "the runs do not end");
        tokio::time::sleep(Duration::from_millis(200)).await;
    };
    connection.close().await?;
    worker.end().await?;
    Ok(RUNS as f64 * 1e3 / took_ms as f64)
}
