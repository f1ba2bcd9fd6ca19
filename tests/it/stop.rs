//! The bot stops, is replaced and starts again while steps run: they do not notice.

use crate::harness::database::both_engines;
use crate::harness::place::is_alive;
use crate::harness::process::Process;
use crate::outage::{HANG, go, has_exit};
use neostock_ops::clock::Clock;
use neostock_ops::store::Store;
use neostock_ops::store::journal::{Filter, newest_of};
use rustix::process::Signal;
use secrecy::SecretString;
use serde_json::Value;
use std::io::Write;
use std::net::TcpStream;
use std::path::Path;
use std::time::Duration;

/// How long a stop may take.
const STOP_TIME_MAX: Duration = Duration::from_secs(10);

async fn kinds(url: &str) -> Vec<String> {
    let store = Store::inspect(url, Clock::System, None::<SecretString>).await.unwrap();
    let mut reader = store.read().await.unwrap();
    let rows = newest_of(&mut reader, &Filter::default(), 200).await.unwrap();
    drop(reader);
    store.close().await;
    rows.into_iter().map(|row| row.kind).collect()
}

/// The supervisor of the step that hangs.
fn supervisor(bot: &Process) -> Option<i32> {
    let folders = std::fs::read_dir(bot.place.data().join("attempts")).ok()?;
    folders.flatten().find_map(|folder| {
        let started = std::fs::read_to_string(folder.path().join("started")).ok()?;
        let started: Value = serde_json::from_str(&started).unwrap();
        i32::try_from(started["supervisor_pid"].as_i64()?).ok()
    })
}

async fn hang(bot: &mut Process) -> i32 {
    assert!(bot.start(None).await);
    bot.say("U0BOB", "hang").await;
    bot.until("the step hangs", |bot| bot.place.marks().contains(&"hang".to_owned())).await;
    bot.until("its card", |bot| bot.told().iter().any(|text| text.contains("Hang — running")))
        .await;
    supervisor(bot).unwrap()
}

async fn stop(bot: &mut Process) {
    bot.signal(Signal::TERM);
    let (code, took) = bot.ended().await;
    assert_eq!(code, Some(0), "{}", bot.log());
    assert!(took < STOP_TIME_MAX, "it took {took:?}");
}

both_engines! {
    async fn a_bot_told_to_stop_leaves_its_steps_alone_and_the_next_start_adopts_them(
        database: TestDatabase
    ) {
        let mut bot = Process::new(&database.url, HANG).await;
        let supervisor = hang(&mut bot).await;
        // Somebody who asks and never ends asking must not hold it up.
        let mut slow = TcpStream::connect(bot.url.trim_start_matches("http://")).unwrap();
        slow.write_all(b"POST /slack/events HTTP/1.1\r\nHost: bot\r\nContent-Length: 9\r\n\r\n").unwrap();

        stop(&mut bot).await;
        assert!(is_alive(supervisor), "the step was stopped with the bot");
        go(&bot);
        bot.until("the step ends without a bot", |bot| has_exit(bot)).await;
        assert_eq!(bot.place.marks(), ["hang"], "nobody was there to go on");
        assert!(bot.start(None).await);
        bot.until("the run ends", |bot| bot.told().iter().any(|text| text.contains("hang ✅ done")))
            .await;

        assert_eq!(bot.place.marks(), ["hang", "after"]);
        let kinds = kinds(&database.url).await;
        let count = |word: &str| kinds.iter().filter(|kind| *kind == word).count();
        assert_eq!((count("run.resumed"), count("step.starting"), count("step.lost")), (1, 2, 0));
        drop(slow);
        stop(&mut bot).await;
    }

    async fn a_bot_whose_program_is_replaced_goes_on_with_what_runs(database: TestDatabase) {
        let mut bot = Process::new(&database.url, HANG).await;
        let program = bot.place.path().join("neostock-ops");
        copy(&program);
        bot.program.clone_from(&program);
        let supervisor = hang(&mut bot).await;

        // As a package does it: the new file takes the old one's name.
        let new = bot.place.path().join("neostock-ops.new");
        copy(&new);
        std::fs::rename(&new, &program).unwrap();
        bot.say("U0BOB", "quick").await;
        bot.until("the old bot with the new program", |bot| {
            bot.told().iter().any(|text| text.contains("quick ✅ done"))
        }).await;
        stop(&mut bot).await;
        assert!(bot.start(None).await);
        assert!(is_alive(supervisor), "the step was lost on the way");
        go(&bot);
        bot.until("the run ends", |bot| bot.told().iter().any(|text| text.contains("hang ✅ done")))
            .await;

        assert_eq!(bot.place.marks(), ["hang", "quick", "after"]);
        let kinds = kinds(&database.url).await;
        assert!(kinds.iter().any(|kind| kind == "run.resumed"), "{kinds:?}");
        assert!(!kinds.iter().any(|kind| kind == "step.lost"), "{kinds:?}");
        stop(&mut bot).await;
    }
}

fn copy(to: &Path) {
    std::fs::copy(env!("CARGO_BIN_EXE_neostock-ops"), to).unwrap();
}
