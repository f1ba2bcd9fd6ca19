//! `log-audit`: the service's log and the journal in one thread, and no password in either.

use crate::harness::bot::{Bot, NIGHT_MS};
use crate::harness::database::{TestDatabase, both_engines};
use crate::harness::place::{Place, ROLLBACK};
use neostock_ops::sandbox::Options;
use std::fmt::Write as _;
use std::fs::File;
use std::time::{Duration, SystemTime};

const HOUR_MS: i64 = 3_600_000;
const PASSWORD: &str = "hunter2-of-the-database";

/// `{log}` is filled in.
const LOG_AUDIT: &str = r#"
  log-audit:
    summary: {zh: 分析日志, en: Read the log and sum the journal up}
    role: operator
    lock: none
    parameters:
      window: {type: duration, default: 24h}
    steps:
      - name: {zh: 分析服务日志, en: Read the service's log}
        logs: {files: ["{log}"], window: "{window}", sign_in: /api/auth/}
      - name: {zh: 汇总审计日志, en: Sum the journal up}
        journal: {window: "{window}"}
      - name: {zh: 环境, en: Show what a program is given}
        run: [sh, -c, "env"]
"#;

async fn bot(database: &TestDatabase) -> Bot {
    let place = Place::new("");
    let log = place.path().join("access.log*").display().to_string();
    let actions = ROLLBACK.to_owned() + &LOG_AUDIT.replace("{log}", &log);
    let head = std::fs::read_to_string(place.runbook()).unwrap();
    std::fs::write(place.runbook(), head + &actions).unwrap();
    Bot::in_workspace(database, place, Options::default()).await
}

/// Writes a log that was last written at `written_ms`.
fn write(bot: &Bot, name: &str, written_ms: i64, lines: &[(&str, &str, u16)]) {
    let path = bot.place.path().join(name);
    let mut text = String::new();
    for (time, request, status) in lines {
        text += "203.0.113.9 - - [24/Nov/2026:";
        writeln!(text, "{time} +0000] \"{request} HTTP/1.1\" {status} - 0.250").unwrap();
    }
    std::fs::write(&path, text).unwrap();
    let at = SystemTime::UNIX_EPOCH + Duration::from_millis(written_ms as u64);
    File::options().write(true).open(path).unwrap().set_modified(at).unwrap();
}

both_engines! {
    async fn one_command_tells_what_the_service_and_the_people_did(database: TestDatabase) {
        let bot = bot(&database).await;
        let early = NIGHT_MS - 3 * HOUR_MS;
        write(&bot, "access.log.1", early, &[("00:00:00", "GET /yesterday", 500)]);
        let mut lines = vec![("02:10:00", "POST /api/auth/login", 401); 6];
        lines.push(("02:30:00", "GET /api/quotes/600519", 500));
        lines.push(("02:31:00", "GET /<!channel>", 404));
        lines.push(("01:30:00", "GET /too-early", 200));
        write(&bot, "access.log", NIGHT_MS, &lines);
        bot.say("U0BOB", "rollback v1.2 bad p99").await;
        bot.until_card("rolled back to version v1.2").await;
        let denied = bot.say("U0CAT", "rollback v1.1 let me").await;

        bot.say("U0BOB", "log-audit 1h").await;
        bot.until("the last step's output", |bot| {
            bot.thread().iter().any(|message| message.contains("NEOSTOCK_ACTOR="))
        }).await;

        assert!(denied.contains("operator"), "{denied}");
        let thread = bot.thread();
        let one = |words: &str| {
            let found: Vec<&String> = thread.iter().filter(|text| text.contains(words)).collect();
            assert_eq!(found.len(), 1, "{words}: {thread:#?}");
            found[0].clone()
        };
        let log = one("Service log");
        let journal = one("Journal");
        for words in [
            "1 file, 9 lines",
            "outside 1, not understood 0, older files 1",
            "Requests 8",
            "500  GET /api/quotes/:id",
            "404  GET /&lt;!channel&gt;",
            "Failed sign-ins 6 (401 and 403 at /api/auth/); elsewhere 0",
            "6  203.0.113.9  ⚠ repeated",
            "250 ms",
        ] {
            assert!(log.contains(words), "{words}: {log}");
        }
        for words in [
            "runs asked for 2, denials 1, exceptions ",
            "1  U0CAT  rollback  does not hold operator",
            "U0BOB  rollback → production   succeeded",
            "U0BOB  log-audit → production  running",
            "the bot started",
        ] {
            assert!(journal.contains(words), "{words}: {journal}");
        }
        let environment = one("NEOSTOCK_ACTOR=");
        assert!(!environment.contains("DATABASE_URL"), "{environment}");
        bot.until_card("log-audit ✅").await;
        bot.finish().await;
    }

    async fn the_databases_url_and_password_appear_nowhere(database: TestDatabase) {
        let mut database = database;
        let mut url = url::Url::parse(&database.url).unwrap();
        // The cluster of the tests trusts everybody, whatever the password.
        if url.set_password(Some(PASSWORD)).is_ok() {
            database.url = url.to_string();
        }
        let bot = bot(&database).await;
        write(&bot, "access.log", NIGHT_MS, &[("02:30:00", "GET /", 200)]);

        bot.say("U0BOB", "log-audit 1h").await;
        bot.until("the summary", |bot| {
            bot.thread().iter().any(|message| message.contains("runs asked for 1"))
        }).await;

        let mut left = vec![bot.everything()];
        let mut folders = vec![bot.place.data()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else if let Ok(bytes) = std::fs::read(&path) {
                    left.push(String::from_utf8_lossy(&bytes).into_owned());
                }
            }
        }
        let holds = |words: &str| left.iter().filter(|text| text.contains(words)).count();
        // On disk and in the thread.
        assert_eq!(holds("runs asked for 1"), 2);
        assert_eq!((holds(PASSWORD), holds(&database.url)), (0, 0));
        bot.finish().await;
    }

    async fn a_log_that_is_not_there_ends_the_run_with_words(database: TestDatabase) {
        let bot = bot(&database).await;

        bot.say("U0BOB", "log-audit").await;
        let card = bot.until_card("🚨").await;

        assert!(card.contains("No file could be read"), "{card}");
        assert!(card.contains("no file fits"), "{card}");
        bot.finish().await;
    }
}
