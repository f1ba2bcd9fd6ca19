//! Two bots on one PostgreSQL: each effect happens once, and a bot that is gone is replaced.

use crate::harness::bot::{Bot, shown};
use crate::harness::database::{Engine, TestDatabase, run};
use crate::harness::place::ROLLBACK;

const HANG: &str = r#"
  hang:
    summary: hang
    role: operator
    steps:
      - {name: Hang, run: [sh, -c, "echo hang >> $MARKS; while ! [ -e go ]; do sleep 0.05; done"], timeout: 60s}
      - {name: After, run: [sh, -c, "echo after >> $MARKS"], timeout: 20s}
"#;

#[test]
fn two_bots_do_every_run_once_and_tell_it_once() {
    run(Engine::Postgres, |database: TestDatabase| async move {
        let bot = Bot::start(&database, ROLLBACK).await;
        let (stop, second) = bot.second().await;
        let versions = ["v1.0", "v1.1", "v1.2"];

        for version in versions {
            bot.say("U0BOB", &format!("rollback {version} why")).await;
            bot.say("U0BOB", &format!("rollback {version} env=staging why")).await;
        }
        let ends = |bot: &Bot, version: &str| {
            let words = format!("rolled back to version {version} ");
            ["C0OPS", "C0DEV"].map(|channel| {
                let messages = bot.workspace.messages(channel);
                let replies = messages.iter().filter(|one| one.thread_ts.is_some());
                replies.filter(|one| shown(one).contains(&words)).count()
            })
        };
        for version in versions {
            bot.until(version, |bot| ends(bot, version) == [1, 1]).await;
        }
        bot.until_quiet().await;

        let mut marks = bot.place.marks();
        marks.sort();
        assert_eq!(
            marks,
            ["back v1.0", "back v1.0", "back v1.1", "back v1.1", "back v1.2", "back v1.2"]
        );
        for version in versions {
            assert_eq!(ends(&bot, version), [1, 1], "{version}");
        }
        stop.cancel();
        second.await.unwrap().unwrap();
        bot.finish().await;
    });
}

#[test]
fn a_bot_that_is_gone_is_replaced_and_its_step_is_not_run_again() {
    run(Engine::Postgres, |database: TestDatabase| async move {
        let mut bot = Bot::start(&database, HANG).await;
        bot.say("U0BOB", "hang").await;
        bot.until_card("Hang — running").await;

        bot.abort().await;
        let (stop, second) = bot.second().await;
        bot.until("the lease has ended", |bot| {
            bot.clock.now_ms() > crate::harness::bot::NIGHT_MS + 45_000
        })
        .await;
        std::fs::write(bot.place.repo().join("go"), "").unwrap();
        bot.until_card("hang ✅ done").await;

        assert_eq!(bot.place.marks(), ["hang", "after"]);
        let kinds = bot.journal_kinds().await;
        assert!(kinds.iter().any(|kind| kind == "run.resumed"), "{kinds:?}");
        bot.until_quiet().await;
        stop.cancel();
        second.await.unwrap().unwrap();
        bot.begin().await;
        bot.finish().await;
    });
}
