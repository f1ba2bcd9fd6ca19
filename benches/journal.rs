//! The journal over a million entries: how quickly it is checked, exported and looked through, in how
//! much memory, and what its indexes cost whoever writes.
#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a bench measures real time, starts programs and speaks to whoever runs it"
)]

mod support;

use anyhow::ensure;
use neostock_ops::clock::Clock;
use neostock_ops::core::journal::Entry;
use neostock_ops::store::journal::{Filter, Search, page_of, search};
use neostock_ops::store::{Error, Store};
use secrecy::SecretString;
use serde_json::json;
use sqlx::{AnyConnection, Connection as _};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use support::database::Database;
use support::folder::Folder;
use support::stats::{Sorted, median_and_range, ms, print_table};

const ENTRIES: usize = 1_000_000;
/// Entries in one unit while the journal is filled.
const FILL: usize = 512;
const ROUNDS: usize = 3;
const SINGLE_UNITS: usize = 2_000;
const MANY_UNITS: usize = 100;
/// What `migrations/0001` has.
const OLD_INDEXES: &str = "drop index journal_by_subject; drop index journal_by_time; \
    drop index journal_by_actor; drop index journal_by_kind; drop index journal_by_asked; \
    create index journal_by_subject on journal (subject, seq); \
    create index journal_by_time on journal (at_ms)";
const PAGES: usize = 40;
/// Entries of a page in chat, and one more that says whether there is another page.
const PAGE_ENTRIES: i64 = 16;
const SHOWN_ENTRIES: i64 = 100;
/// Between two looks at the memory of the process.
const LOOK: Duration = Duration::from_millis(2);
const KIB_IN_MIB: f64 = 1_024.0;
const KEY: &str = "a key of the bench, long enough to be taken";
/// 2026-01-01; an entry every ten seconds makes a third of a year of a million.
const BEGIN_MS: i64 = 1_767_225_600_000;
const EVERY_MS: i64 = 10_000;
/// Entries of one run, from its request to its end.
const RUN_ENTRIES: usize = 10;
const KINDS: [&str; RUN_ENTRIES] = [
    "run.requested",
    "decision.approved",
    "run.queued",
    "run.started",
    "step.starting",
    "step.started",
    "step.ok",
    "request.answered",
    "request.denied",
    "run.expired",
];
const RUN: &str = "insert into runs (id, action, environment, host, holds_lock, actor, origin, \
    origin_channel, channel, plan, plan_digest, state, position, owner, fence, lease_until_ms, \
    created_ms, started_ms, ended_ms) values ($1, $2, 'production', '', 0, '', '', '', '', '{}', '', \
    'succeeded', 0, '', 0, 0, $3, 1, 1)";

fn entry(number: usize) -> Entry {
    let (run, place) = (number / RUN_ENTRIES, number % RUN_ENTRIES);
    let action = action(run);
    let is_asked = (7..9).contains(&place);
    let detail = match place {
        0 => {
            json!({"plan": {"action": action, "environment": "production", "digest": "9".repeat(64)},
            "text": format!("{action} v1.{run} because the last one was slow"), "channel": "C0OPS"})
        }
        7 => json!({"text": "status", "channel": "C0OPS"}),
        8 => json!({"text": format!("{action} v1.{run}"), "channel": "C0OPS", "role": "operator",
            "command": action, "why": "not_a_member"}),
        _ => json!({"state": "running", "step": place, "attempt": format!("A-{number:016}"),
            "code": 0, "lasted_ms": 1_234, "output_bytes": 4_096}),
    };
    Entry {
        at_ms: BEGIN_MS + number as i64 * EVERY_MS,
        actor: match place {
            // One of a thousand people; one of them is seldom seen.
            0 | 7 | 8 => format!("U{:07}", if run == 77 { 9_999_999 } else { run % 40 }),
            _ => "neostock-ops".to_owned(),
        },
        origin: "slash".to_owned(),
        kind: if number % 100_000 == 9 { "lock.taken_over" } else { KINDS[place] }.to_owned(),
        subject: if is_asked { String::new() } else { format!("R-{run:08}") },
        detail,
    }
}

/// One action of a thousand is seldom asked for.
fn action(run: usize) -> &'static str {
    match run % 1_000 {
        77 => "restore",
        run if run % 2 == 0 => "deploy",
        _ => "rollback",
    }
}

async fn fill(store: &Store) -> anyhow::Result<()> {
    for from in (0..ENTRIES).step_by(FILL) {
        let filled: Result<(), Error> = store
            .unit(move |unit| {
                Box::pin(async move {
                    for number in from..ENTRIES.min(from + FILL) {
                        if number % RUN_ENTRIES == 0 {
                            let run = number / RUN_ENTRIES;
                            sqlx::query(RUN)
                                .bind(format!("R-{run:08}"))
                                .bind(action(run))
                                .bind(BEGIN_MS + number as i64 * EVERY_MS)
                                .execute(&mut *unit.connection())
                                .await?;
                        }
                        unit.journal(entry(number));
                    }
                    Ok(())
                })
            })
            .await;
        filled?;
    }
    Ok(())
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let folder = Folder::new()?;
    println!("## What the journal's indexes cost\n");
    appends(&folder).await?;
    measure("SQLite", &folder.sqlite_url(), &folder).await?;
    if let Some(database) = Database::new().await? {
        measure("PostgreSQL", &database.url, &folder).await?;
        database.drop().await?;
    }
    Ok(())
}

async fn measure(engine: &str, url: &str, folder: &Folder) -> anyhow::Result<()> {
    let keys = Some(SecretString::from(KEY));
    let store = Store::connect(url, Clock::System, keys).await?;
    let began = Instant::now();
    fill(&store).await?;
    let filled = ENTRIES as f64 / began.elapsed().as_secs_f64();
    println!("## The journal on {engine}: {ENTRIES} entries, written {filled:.0} a second\n");

    pages(&store).await?;
    let mut rows = Vec::new();
    let file = folder.path().join("export");
    for (what, words) in [
        ("`audit verify`", vec!["verify"]),
        ("`audit export --format jsonl`", vec!["export", "--format", "jsonl", "--output"]),
        ("`audit export --format csv`", vec!["export", "--format", "csv", "--output"]),
    ] {
        let (mut rates, mut peaks) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            let _ = std::fs::remove_file(&file);
            let mut command = Command::new(env!("CARGO_BIN_EXE_neostock-ops"));
            command.arg("audit").args(&words);
            if words.contains(&"--output") {
                command.arg(&file);
            }
            let (took, peak) = run(command, url)?;
            rates.push(ENTRIES as f64 / took.as_secs_f64());
            peaks.push(peak);
        }
        let (median, least, most) = median_and_range(rates);
        let (_, _, peak) = median_and_range(peaks);
        rows.push(vec![
            what.to_owned(),
            format!("{median:.0} ({least:.0}–{most:.0})"),
            format!("{peak:.1} MiB"),
        ]);
    }
    print_table(&["what", "entries a second", "most memory"], &rows);
    store.close().await;
    Ok(())
}

/// Runs the program to its end; how long it took, and the most memory it held, in MiB.
fn run(mut command: Command, url: &str) -> anyhow::Result<(Duration, f64)> {
    let began = Instant::now();
    let mut child = command
        .env_clear()
        .env("DATABASE_URL", url)
        .env("NEOSTOCK_JOURNAL_KEY", KEY)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()?;
    let mut peak = 0.0;
    while child.try_wait()?.is_none() {
        let status = std::fs::read_to_string(format!("/proc/{}/status", child.id()));
        let line = status.as_deref().unwrap_or_default();
        let line = line.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<f64>().ok());
        peak = kib.map_or(peak, |kib| kib / KIB_IN_MIB);
        std::thread::sleep(LOOK);
    }
    let took = began.elapsed();
    ensure!(child.wait_with_output()?.status.success(), "it failed");
    Ok((took, peak))
}

/// What the indexes cost whoever writes: SQLite with them, and with those of the first schema alone.
async fn appends(folder: &Folder) -> anyhow::Result<()> {
    let mut rates = [(Vec::new(), Vec::new()), (Vec::new(), Vec::new())];
    for round in 0..ROUNDS {
        for (number, is_old) in [(0, true), (1, false)] {
            let path = folder.path().join(format!("appends-{round}-{number}.db"));
            let url = format!("sqlite:{}", path.display());
            let store = Store::connect(&url, Clock::System, Some(SecretString::from(KEY))).await?;
            if is_old {
                let mut connection = AnyConnection::connect(&url).await?;
                sqlx::raw_sql(OLD_INDEXES).execute(&mut connection).await?;
                connection.close().await?;
            }
            let (single, many) = &mut rates[number];
            single.push(append(&store, SINGLE_UNITS, 1).await?);
            many.push(append(&store, MANY_UNITS, FILL).await?);
            store.close().await;
        }
    }
    let [old, new] = rates;
    let median = |rates: &Vec<f64>| median_and_range(rates.clone()).0;
    let row = |what: &str, old: &Vec<f64>, new: &Vec<f64>| {
        let (old, new) = (median(old), median(new));
        vec![what.to_owned(), format!("{old:.0}"), format!("{new:.0}"), format!("{:.2}", old / new)]
    };
    print_table(
        &["entries a second", "two indexes", "all", "ratio"],
        &[row("one a unit, durable", &old.0, &new.0), row("512 a unit", &old.1, &new.1)],
    );
    Ok(())
}

/// Writes entries; how many a second.
async fn append(store: &Store, units: usize, each: usize) -> anyhow::Result<f64> {
    let began = Instant::now();
    for unit_number in 0..units {
        let written: Result<(), Error> = store
            .unit(move |unit| {
                Box::pin(async move {
                    (0..each).for_each(|at| unit.journal(entry(unit_number * each + at)));
                    Ok(())
                })
            })
            .await;
        written?;
    }
    Ok((units * each) as f64 / began.elapsed().as_secs_f64())
}

async fn pages(store: &Store) -> anyhow::Result<()> {
    let end_ms = BEGIN_MS + ENTRIES as i64 * EVERY_MS;
    let all =
        Search { actor: "", run: "", action: "", kinds: None, since_ms: 0, before_seq: i64::MAX };
    let week = end_ms - 7 * 86_400_000;
    let some = Filter::default();
    let chat = [
        ("nothing", all.clone()),
        ("somebody", Search { actor: "U0000007", ..all.clone() }),
        ("somebody seldom seen", Search { actor: "U9999999", ..all.clone() }),
        ("what was denied", Search { kinds: Some(vec!["request.denied"]), ..all.clone() }),
        ("a rare kind", Search { kinds: Some(vec!["lock.taken_over"]), ..all.clone() }),
        (
            "a rare kind of somebody",
            Search { kinds: Some(vec!["lock.taken_over"]), actor: "neostock-ops", ..all.clone() },
        ),
        ("a run", Search { run: "R-00050000", ..all.clone() }),
        ("an action", Search { action: "deploy", ..all.clone() }),
        ("a rare action", Search { action: "restore", ..all.clone() }),
        ("an action, the last week", Search { action: "deploy", since_ms: week, ..all.clone() }),
        ("the last minute", Search { since_ms: end_ms - 60_000, ..all.clone() }),
        ("the middle", Search { before_seq: ENTRIES as i64 / 2, ..all.clone() }),
    ];
    let mut rows = Vec::new();
    for (what, wanted) in &chat {
        let mut times = Vec::new();
        for _ in 0..PAGES {
            let mut connection = store.read().await?;
            let began = Instant::now();
            let found = search(&mut connection, wanted, PAGE_ENTRIES).await?;
            times.push(began.elapsed());
            ensure!(!found.is_empty(), "nothing found for {what}");
        }
        let times = Sorted::of(times);
        rows.push(vec![format!("chat: {what}"), ms(times.p50()), ms(times.p99())]);
    }
    let shown = [
        ("kinds `run.`", Filter { kind_prefix: "run.".to_owned(), ..some.clone() }),
        ("a rare kind", Filter { kind_prefix: "lock.".to_owned(), ..some.clone() }),
        ("somebody", Filter { actor: "U0000007".to_owned(), ..some.clone() }),
        ("a run", Filter { subject: "R-00050000".to_owned(), ..some.clone() }),
        ("the last week", Filter { since_ms: week, ..some.clone() }),
    ];
    for (what, filter) in &shown {
        let mut times = Vec::new();
        for _ in 0..PAGES {
            let mut connection = store.read().await?;
            let began = Instant::now();
            let found = page_of(&mut connection, filter, 0, SHOWN_ENTRIES).await?;
            times.push(began.elapsed());
            ensure!(!found.is_empty(), "nothing found for {what}");
        }
        let times = Sorted::of(times);
        rows.push(vec![format!("`audit show`: {what}"), ms(times.p50()), ms(times.p99())]);
    }
    print_table(&["a page of", "p50", "p99"], &rows);
    Ok(())
}
