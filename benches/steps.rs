//! What a step costs beyond its program: start, evidence and verdict of `true` under the supervisor,
//! beside a bare fork, exec and wait of it, and beside the syncs that one durable record costs on the
//! same disk in the same minute: a step writes two.
#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a bench measures real time, starts programs and speaks to whoever runs it"
)]

mod support;

use anyhow::{bail, ensure};
use neostock_ops::core::id::AttemptId;
use neostock_ops::exec::local::{Local, Verdict};
use neostock_ops::exec::spec::StepSpec;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};
use support::folder::Folder;
use support::stats::{Sorted, ms, print_table};

/// Of each, in turn, so that a slow moment of the machine hits both.
const TIMES: usize = 200;
const WARM_UP: usize = 5;
const PROGRAM: &str = "/bin/true";
const STEP_TIMEOUT_MS: u64 = 10_000;
/// About what a record holds.
const RECORD_BYTES: usize = 200;
/// How long one step may take here at all.
const PATIENCE: Duration = Duration::from_secs(10);

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let folder = Folder::new()?;
    let local = Local::new(env!("CARGO_BIN_EXE_neostock-ops"));
    let (mut bare, mut started, mut ended) = (Vec::new(), Vec::new(), Vec::new());
    let mut records = Vec::new();
    for count in 0..WARM_UP + TIMES {
        let bare_took = fork_and_wait()?;
        let record_took = write_record(folder.path(), count)?;
        let (start_took, step_took) = step(&local, folder.path(), count).await?;
        if count >= WARM_UP {
            bare.push(bare_took);
            records.push(record_took);
            started.push(start_took);
            ended.push(step_took);
        }
    }
    let overhead: Vec<_> =
        ended.iter().zip(&bare).map(|(step, bare)| step.saturating_sub(*bare)).collect();
    let rows = [
        ("bare fork, exec, wait", bare),
        ("one bare record: write, sync, rename, sync of the folder", records),
        ("step: until it is under way", started),
        ("step: until it is known to have ended", ended),
        ("overhead of the step", overhead),
    ]
    .map(|(what, took)| {
        let took = Sorted::of(took);
        vec![what.to_owned(), ms(took.p50()), ms(took.p99())]
    });
    println!("## A step that runs {PROGRAM}, {TIMES} times\n");
    print_table(&["what", "p50", "p99"], &rows);
    Ok(())
}

fn fork_and_wait() -> anyhow::Result<Duration> {
    let began = Instant::now();
    ensure!(Command::new(PROGRAM).env_clear().status()?.success(), "{PROGRAM} failed");
    Ok(began.elapsed())
}

/// What makes one record of a step durable.
fn write_record(folder: &Path, count: usize) -> anyhow::Result<Duration> {
    let dir = folder.join(format!("bare-{count}"));
    std::fs::create_dir(&dir)?;
    let began = Instant::now();
    let temporary = dir.join("record.tmp");
    let mut file = File::create(&temporary)?;
    file.write_all(&[b'x'; RECORD_BYTES])?;
    file.sync_all()?;
    std::fs::rename(&temporary, dir.join("record"))?;
    File::open(&dir)?.sync_all()?;
    Ok(began.elapsed())
}

/// One step as the driver runs it; until it is under way, and until it is known to have ended.
async fn step(local: &Local, folder: &Path, count: usize) -> anyhow::Result<(Duration, Duration)> {
    let attempt = format!("A-{count}");
    let dir = folder.join(&attempt);
    let spec = StepSpec::new(AttemptId::new(attempt), vec![PROGRAM.into()], "/", STEP_TIMEOUT_MS);
    let began = Instant::now();
    local.start(&dir, &spec).await?;
    let started = began.elapsed();
    loop {
        match local.observe(&dir).await? {
            Verdict::Finished(exit) => {
                ensure!(exit.is_success(), "{PROGRAM} ended as {exit:?}");
                return Ok((started, began.elapsed()));
            }
            Verdict::Running => local.wait(&dir).await,
            other => bail!("{PROGRAM}: {other:?}"),
        }
        ensure!(began.elapsed() < PATIENCE, "{PROGRAM} does not end");
    }
}
