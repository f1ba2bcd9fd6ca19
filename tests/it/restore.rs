//! The bot's own database is backed up, lost and restored; the journal's key is changed and lost.

use crate::harness::database::{Engine, TestDatabase, both_engines};
use crate::harness::process::Process;
use crate::outage::{HANG, go};
use neostock_ops::clock::Clock;
use neostock_ops::core::journal::{Anchor, Fault, Keys};
use neostock_ops::store::{Store, journal};
use rustix::process::Signal;
use secrecy::SecretString;
use sqlx::Connection;
use std::path::{Path, PathBuf};
use std::process::Command;

const KEY_ONE: &str = "the first key of this journal, thirty-two bytes and more";
const KEY_TWO: &str = "the second key of this journal, thirty-two bytes and more";
const KEY_THREE: &str = "the third key of this journal, thirty-two bytes and more";

/// As the page on operating says it.
async fn back_up(database: &TestDatabase, to: &Path) {
    match database.engine {
        Engine::Sqlite => {
            let mut connection = database.raw().await;
            let statement = format!("vacuum into '{}'", to.display());
            sqlx::raw_sql(sqlx::AssertSqlSafe(statement)).execute(&mut connection).await.unwrap();
            connection.close().await.unwrap();
        }
        Engine::Postgres => program("pg_dump", |command| {
            command.args(["--format=custom", "--file"]).arg(to).arg(&database.url);
        }),
    }
}

/// Where the restored database is.
async fn restore(database: &TestDatabase, from: &Path) -> (String, Option<TestDatabase>) {
    match database.engine {
        Engine::Sqlite => {
            let file = PathBuf::from(database.url.trim_start_matches("sqlite:"));
            for suffix in ["", "-wal", "-shm"] {
                let _ = std::fs::remove_file(format!("{}{suffix}", file.display()));
            }
            std::fs::copy(from, &file).unwrap();
            (database.url.clone(), None)
        }
        Engine::Postgres => {
            let new = TestDatabase::new(Engine::Postgres).await;
            program("pg_restore", |command| {
                command.args(["--exit-on-error", "--dbname", &new.url]).arg(from);
            });
            (new.url.clone(), Some(new))
        }
    }
}

fn program(name: &str, arguments: impl FnOnce(&mut Command)) {
    let mut command = Command::new(name);
    arguments(&mut command);
    let output = command.output().unwrap_or_else(|error| panic!("{name}: {error}"));
    assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
}

async fn head(url: &str) -> Anchor {
    let store = Store::inspect(url, Clock::System, None::<SecretString>).await.unwrap();
    let mut reader = store.read().await.unwrap();
    let head = journal::head(&mut reader).await.unwrap();
    drop(reader);
    store.close().await;
    head
}

async fn done(bot: &mut Process, title: &str) {
    let words = format!("{title} ✅ done");
    bot.until(&words, |bot| bot.told().iter().any(|text| text.contains(&words))).await;
}

both_engines! {
    async fn after_a_restore_nothing_that_was_done_is_done_again(database: TestDatabase) {
        let mut bot = Process::new(&database.url, HANG).await;
        assert!(bot.start(None).await);
        bot.say("U0BOB", "quick").await;
        done(&mut bot, "quick").await;
        bot.say("U0BOB", "hang").await;
        bot.say("U0BOB", "gated").await;
        bot.until("the step hangs", |bot| bot.place.marks() == ["quick", "hang"]).await;
        bot.until("the gate", |bot| bot.workspace.can_press("U0BOB", "Approve")).await;
        bot.until("it is written", |bot| bot.told().iter().any(|text| text.contains("Hang — running")))
            .await;
        let backup = bot.place.path().join("backup");
        back_up(&database, &backup).await;

        // What comes now is not in the backup, and is done all the same.
        go(&bot);
        done(&mut bot, "hang").await;
        bot.workspace.press("U0BOB", "Approve").await;
        done(&mut bot, "gated").await;
        let marks = ["quick", "hang", "after", "gated"];
        assert_eq!(bot.place.marks(), marks);
        bot.signal(Signal::TERM);
        assert_eq!(bot.ended().await.0, Some(0));
        let anchor = head(&database.url).await;
        let (url, restored) = restore(&database, &backup).await;
        bot.database_url.clone_from(&url);
        std::fs::remove_file(bot.place.repo().join("go")).unwrap();
        assert!(bot.start(None).await);
        // The run that was open then goes to its end by its evidence: both of its steps ran.
        bot.until_ready("all is told", |_, report| report["outbox_due"] == 0).await;
        let is_ended = async |run: &str| {
            let store = Store::inspect(&url, Clock::System, None::<SecretString>).await.unwrap();
            let mut reader = store.read().await.unwrap();
            let open = neostock_ops::store::runs::open_runs(&mut reader, 9).await.unwrap();
            drop(reader);
            store.close().await;
            !open.iter().any(|row| row.action == run)
        };
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(40);
        while !is_ended("hang").await {
            assert!(std::time::Instant::now() < deadline, "{}", bot.log());
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        assert_eq!(bot.place.marks(), marks);
        // The approval is forgotten and must be given again; what it led to is not done again.
        let run = bot.told().iter().find_map(|text| {
            let at = text.contains("gated").then(|| text.find("R-"))??;
            Some(text[at..at + 10].to_owned())
        }).unwrap();
        let answer = bot.say("U0BOB", &format!("approve {run}")).await;
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(40);
        while !is_ended("gated").await {
            assert!(std::time::Instant::now() < deadline, "{answer}\n{}", bot.log());
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        assert_eq!(bot.place.marks(), marks);
        // New runs work as before.
        bot.say("U0BOB", "quick").await;
        bot.until("one more", |bot| bot.place.marks().len() == 5).await;
        bot.kill();

        // The journal is sound in itself, and the head that was noted outside tells what it lost.
        let store = Store::inspect(&url, Clock::System, None::<SecretString>).await.unwrap();
        assert!(journal::verify(&store, None).await.unwrap().is_sound());
        let report = journal::verify(&store, Some(anchor)).await.unwrap();
        assert!(!report.is_sound(), "{report:?}");
        let faults: Vec<_> = report.findings.iter().map(|finding| &finding.fault).collect();
        assert!(
            faults.iter().all(|fault| matches!(fault, Fault::AnchorMissing { .. } | Fault::AnchorDiffers)),
            "{faults:?}"
        );
        store.close().await;
        drop(restored);
    }
}

async fn verified(url: &str, keys: Keys) -> journal_report::Report {
    let store = Store::inspect(url, Clock::System, keys).await.unwrap();
    let report = journal::verify(&store, None).await.unwrap();
    store.close().await;
    report
}

use neostock_ops::core::journal as journal_report;

fn keys(current: &str, previous: &[&str]) -> Keys {
    let keys = Keys::from(Some(SecretString::from(current)));
    previous.iter().fold(keys, |keys, key| keys.and_previous(&SecretString::from(*key)))
}

fn with_key(bot: &mut Process, current: &str, previous: &str) {
    bot.variables = vec![
        ("NEOSTOCK_JOURNAL_KEY".to_owned(), current.to_owned()),
        ("NEOSTOCK_JOURNAL_KEY_PREVIOUS".to_owned(), previous.to_owned()),
    ];
}

/// Runs a subcommand with the bot's settings; its exit code and what it said.
fn command(bot: &Process, words: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(&bot.program)
        .args(words)
        .env_clear()
        .env("DATABASE_URL", &bot.database_url)
        .envs(bot.variables.iter().filter(|(_, value)| !value.is_empty()).cloned())
        .current_dir(bot.place.path())
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(said).unwrap())
}

both_engines! {
    async fn a_key_is_changed_through_the_settings_and_a_lost_one_is_left_behind(
        database: TestDatabase
    ) {
        let mut bot = Process::new(&database.url, HANG).await;
        with_key(&mut bot, KEY_ONE, "");
        assert!(bot.start(None).await);
        bot.say("U0BOB", "quick").await;
        done(&mut bot, "quick").await;
        bot.kill();

        // A change that is recorded.
        with_key(&mut bot, KEY_TWO, "");
        assert!(!bot.start(None).await, "another key without the old one");
        assert!(bot.log().contains("NEOSTOCK_JOURNAL_KEY_PREVIOUS"), "{}", bot.log());
        with_key(&mut bot, KEY_TWO, KEY_ONE);
        assert!(bot.start(None).await);
        bot.kill();
        let (code, said) = command(&bot, &["audit", "verify"]);
        assert_eq!(code, Some(0), "{said}");

        // Nothing is lost: nothing is left behind.
        let (code, said) = command(&bot, &["lost-key", "--reason", "none"]);
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains("nothing is lost"), "{said}");
        with_key(&mut bot, KEY_THREE, KEY_TWO);
        let (code, said) = command(&bot, &["lost-key", "--reason", "none"]);
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains("start the bot"), "{said}");

        // The second key is lost; the first is still there.
        with_key(&mut bot, KEY_THREE, KEY_ONE);
        assert!(!bot.start(None).await, "a key that nobody announced");
        assert!(bot.log().contains("neostock-ops lost-key --reason"), "{}", bot.log());
        let before = head(&database.url).await;
        let (code, said) = command(&bot, &["lost-key", "--reason", "the safe burnt down"]);
        assert_eq!(code, Some(0), "{said}");
        assert!(said.contains(&before.to_string()), "{said}");
        assert!(bot.start(None).await);
        bot.say("U0BOB", "quick").await;
        bot.until("it works", |bot| bot.place.marks().len() == 2).await;
        bot.kill();

        let (code, said) = command(&bot, &["audit", "verify"]);
        assert_eq!(code, Some(0), "{said}");
        assert!(said.contains("under a key that was lost"), "{said}");
        let (_, said) = command(&bot, &["audit", "show", "--kind", "journal.key_lost", "--json"]);
        assert!(said.contains("the safe burnt down"), "{said}");
        let report = verified(&database.url, keys(KEY_THREE, &[KEY_ONE])).await;
        assert!(report.is_sound() && report.lost > 0, "{report:?}");
        // Should the key be found again, every entry is checked by itself.
        let report = verified(&database.url, keys(KEY_THREE, &[KEY_ONE, KEY_TWO])).await;
        assert!(report.is_sound() && report.lost == 0, "{report:?}");

        // From the seal on, a change of what nobody can check is seen.
        let mut intruder = database.raw().await;
        let open = match database.engine {
            Engine::Sqlite => "drop trigger journal_no_update",
            Engine::Postgres => "alter table journal disable trigger all",
        };
        sqlx::raw_sql(open).execute(&mut intruder).await.unwrap();
        sqlx::query("update journal set actor = 'U_EVE' where seq = $1")
            .bind(before.seq)
            .execute(&mut intruder)
            .await
            .unwrap();
        intruder.close().await.unwrap();
        let report = verified(&database.url, keys(KEY_THREE, &[KEY_ONE])).await;
        let seal = report.findings.iter().any(|finding| finding.fault == Fault::SealDiffers);
        assert!(seal, "{report:?}");
    }
}
