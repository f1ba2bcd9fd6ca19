//! What people see of a step while it runs, what is kept of it when it has ended, and for how long.

use crate::harness::attempt::peak_kib;
use crate::harness::bot::{Bot, shown};
use crate::harness::database::{Engine, TestDatabase, both_engines};
use crate::harness::process::Process;
use neostock_ops::exec::record::{self, Started};
use std::path::PathBuf;
use std::time::Instant;

const TALKING: &str = r#"
  work:
    summary: work
    role: operator
    steps:
      - {name: Talk, run: [sh, -c, "i=0; while ! test -e go; do echo line $i; echo oops >&2; i=$((i+1)); sleep 0.05; done; echo the end"], timeout: 1h}
"#;

/// A day, in steps that wake every loop.
const HOUR_MS: u64 = 3_600_000;

fn attempts(bot: &Bot) -> Vec<PathBuf> {
    let folders = std::fs::read_dir(bot.place.data().join("attempts")).unwrap();
    folders.map(|entry| entry.unwrap().path()).collect()
}

both_engines! {
    async fn a_running_step_shows_its_last_lines_in_one_message_that_the_end_takes_over(database: TestDatabase) {
        let bot = Bot::start(&database, TALKING).await;
        bot.say("U0BOB", "work").await;

        let live = |bot: &Bot| bot.thread().into_iter().find(|line| line.contains("still running"));
        bot.until("the last lines are there", |bot| live(bot).is_some_and(|text| text.contains("! oops"))).await;
        let first = live(&bot).unwrap();
        bot.until("they move on", |bot| live(bot).is_some_and(|text| text != first)).await;
        let since_ms = bot.clock.now_ms();
        let messages = bot.workspace.messages("C0OPS");
        let message = messages.iter().find(|message| shown(message).contains("still running")).unwrap();
        let (ts, edits) = (message.ts.clone(), message.edits);
        let edits_of = |bot: &Bot| {
            let messages = bot.workspace.messages("C0OPS");
            messages.iter().find(|message| message.ts == ts).unwrap().edits
        };
        bot.until("more edits", |bot| edits_of(bot) >= edits + 4).await;
        let passed_ms = bot.clock.now_ms() - since_ms;
        assert!(passed_ms >= 3 * 3_000, "4 edits in {passed_ms} ms");

        std::fs::write(bot.place.repo().join("go"), "").unwrap();
        bot.until_card("work ✅").await;
        bot.until_quiet().await;
        let thread = bot.thread();
        assert!(thread.iter().all(|line| !line.contains("still running")), "{thread:?}");
        let messages = bot.workspace.messages("C0OPS");
        let message = messages.iter().find(|message| message.ts == ts).unwrap();
        assert!(shown(message).contains("line 0"), "{}", shown(message));
        assert!(thread.iter().any(|line| line.contains("the end")), "{thread:?}");
        bot.finish().await;
    }

    async fn evidence_of_ended_runs_goes_with_its_time_and_logs_say_so(database: TestDatabase) {
        let bot = Bot::start(&database, TALKING).await;
        std::fs::write(bot.place.repo().join("go"), "").unwrap();
        bot.say("U0BOB", "work").await;
        bot.until_card("work ✅").await;
        bot.until_quiet().await;
        let ended = bot.run_id();
        assert_eq!(attempts(&bot).len(), 1);
        std::fs::remove_file(bot.place.repo().join("go")).unwrap();
        bot.say("U0BOB", "work").await;
        bot.until("the second works", |bot| attempts(bot).iter().any(|folder| {
            std::fs::read_to_string(folder.join("output.log")).is_ok_and(|text| text.contains("line 1"))
        })).await;
        bot.until_card("· running").await;

        // Time goes on while it looks: the bot may have looked in the middle of these days.
        for _ in 0..91 * 24 {
            bot.advance_ms(HOUR_MS);
        }
        bot.until("the old folder is gone", |bot| {
            bot.advance_ms(HOUR_MS);
            attempts(bot).len() == 1
        }).await;

        let running = bot.run_id();
        assert_ne!(running, ended);
        let told = bot.say("U0BOB", &format!("logs {ended}")).await;
        assert!(told.contains("its logs were removed"), "{told}");
        let swept: Vec<_> = bot.journal().await.into_iter().filter(|(kind, ..)| kind == "bot.swept").collect();
        assert!(!swept.is_empty() && swept[0].2["evidence_folders"] == 1, "{swept:?}");
        assert!(swept[0].2["messages"].as_u64().unwrap() >= 3, "{swept:?}");
        // The run that goes on kept its own, and ends well.
        std::fs::write(bot.place.repo().join("go"), "").unwrap();
        bot.until_card("work ✅").await;
        bot.finish().await;
    }
}

/// The whole way with real processes: a step that prints a gigabyte, its supervisor, and the bot.
#[tokio::test]
async fn a_gigabyte_of_output_leaves_bot_and_supervisor_small() {
    let actions = r#"
  flood:
    summary: flood
    role: operator
    steps:
      - {name: Flood, run: [sh, -c, "yes \"$(head -c 98 /dev/zero | tr '\\0' x)\" | head -c 999999999; echo; echo last >&2"], timeout: 5m}
"#;
    let database = TestDatabase::new(Engine::Sqlite).await;
    let mut bot = Process::new(&database.url, actions).await;
    assert!(bot.start(None).await);
    let since = Instant::now();
    bot.workspace.say("U0BOB", "C0OPS", "flood").await;
    let folder = bot.place.data().join("attempts");
    let mut supervisor = None;
    let (mut peak, mut anonymous) = (0, 0);
    bot.until("the run ends", |bot| {
        supervisor = supervisor.or_else(|| {
            let attempt = std::fs::read_dir(&folder).ok()?.next()?.ok()?.path();
            Some(record::read::<Started>(&attempt).ok()??.supervisor_pid)
        });
        if let Some(pid) = supervisor {
            peak = peak_kib(pid).unwrap_or(0).max(peak);
            anonymous = crate::harness::attempt::anonymous_kib(pid).unwrap_or(0).max(anonymous);
        }
        bot.workspace.messages("C0OPS").iter().any(|message| shown(message).contains("flood ✅"))
    })
    .await;

    let bot_peak = peak_kib(bot.pid().unsigned_abs()).unwrap();
    println!(
        "1 GB in {:?}: bot at most {bot_peak} KiB, supervisor at most {peak} KiB, {anonymous} KiB of it its own",
        since.elapsed()
    );
    bot.until("its end is shown", |bot| {
        bot.workspace.messages("C0OPS").iter().any(|message| shown(message).contains("! last"))
    })
    .await;
    assert!(bot_peak < 60 * 1024, "{bot_peak} KiB");
    assert!(anonymous > 0 && anonymous < 10 * 1024, "{anonymous} KiB");
    // What it maps of its own program counts as well; unoptimised, that program is huge.
    let peak_max = if cfg!(debug_assertions) { 40 } else { 10 };
    assert!(peak < peak_max * 1024, "{peak} KiB");
}
