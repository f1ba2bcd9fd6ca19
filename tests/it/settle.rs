//! A step whose supervisor died: nothing is run again by itself, people are told and decide.

use crate::harness::bot::Bot;
use crate::harness::database::both_engines;
use crate::harness::place::is_alive;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::path::Path;

/// A step that hangs until the file `go` appears, with a process of its own session beside it.
pub const HANG: &str = r#"
  hang:
    summary: hang
    role: operator
    steps:
      - {name: Hang, run: [sh, -c, "echo hang >> $MARKS; setsid sleep 300 & echo $! > survivor; echo before; while ! [ -e go ]; do sleep 0.05; done"], timeout: 60s}
      - {name: After, run: [sh, -c, "echo after >> $MARKS"], timeout: 20s}
  quick:
    summary: quick
    role: operator
    steps:
      - {name: Quick, run: [sh, -c, "echo quick >> $MARKS"], timeout: 20s}
"#;

/// The same, but doing it twice does no harm.
const HARMLESS: &str = r#"
  hang:
    summary: hang
    role: operator
    steps:
      - {name: Hang, idempotent: true, run: [sh, -c, "echo hang >> $MARKS; while ! [ -e go ]; do sleep 0.05; done"], timeout: 60s}
"#;

/// The supervisors of steps that run.
pub fn supervisors(bot: &Bot) -> Vec<i32> {
    supervisors_in(&bot.place.data())
}

/// The same, of a bot with that data folder.
pub fn supervisors_in(data: &Path) -> Vec<i32> {
    let Ok(attempts) = std::fs::read_dir(data.join("attempts")) else { return vec![] };
    attempts
        .filter_map(|attempt| {
            let folder = attempt.ok()?.path();
            if folder.join("exit").exists() {
                return None;
            }
            let started: Value =
                serde_json::from_str(&std::fs::read_to_string(folder.join("started")).ok()?)
                    .ok()?;
            i32::try_from(started["supervisor_pid"].as_i64()?).ok()
        })
        .filter(|pid| is_alive(*pid))
        .collect()
}

/// kill -9.
pub fn kill(pid: i32) {
    kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL).unwrap();
}

/// Asks for `hang`, waits until it hangs and is seen running, and kills its supervisor.
async fn lose(bot: &Bot, marks: usize) {
    bot.until("the step hangs", |bot| {
        bot.place.marks().len() == marks && supervisors(bot).len() == 1
    })
    .await;
    bot.until_card("Hang — running").await;
    kill(supervisors(bot)[0]);
}

pub fn survivor(bot: &Bot) -> i32 {
    std::fs::read_to_string(bot.place.repo().join("survivor")).unwrap().trim().parse().unwrap()
}

both_engines! {
    async fn a_lost_step_waits_for_a_person_and_its_survivor_is_reported(database: TestDatabase) {
        let bot = Bot::start(&database, HANG).await;
        bot.say("U0BOB", "hang").await;
        lose(&bot, 1).await;
        let card = bot.until_card("a step's outcome is unknown").await;
        let run = bot.run_id();
        let survivor = survivor(&bot);

        assert!(card.contains(&format!("sleep ({survivor})")), "{card}");
        assert!(card.contains(&format!("/neostock settle {run} again")), "{card}");
        let queued = bot.say("U0BOB", "quick").await;
        assert!(queued.contains("is queued behind 1"), "{queued}");
        bot.advance_ms(3_600_000);
        bot.until_quiet().await;
        assert_eq!(bot.place.marks(), ["hang"], "it was run again by itself");

        let refused = bot.say("U0BOB", &format!("settle {run} again it is fine")).await;
        assert!(refused.contains("Stop them before"), "{refused}");
        assert!(is_alive(survivor));
        bot.say("U0BOB", &format!("settle {run} stop it must not go on")).await;
        assert!(!is_alive(survivor), "the survivor lives");
        std::fs::write(bot.place.repo().join("go"), "").unwrap();
        let again = bot.say("U0BOB", &format!("settle {run} again nothing was changed")).await;
        assert!(again.contains("done again"), "{again}");
        bot.until("both runs end", |bot| bot.place.marks().len() == 4).await;

        assert_eq!(bot.place.marks(), ["hang", "hang", "after", "quick"]);
        let kinds = bot.journal_kinds().await;
        for kind in ["step.lost", "settle.refused", "step.survivors_stopped", "step.again"] {
            assert!(kinds.iter().any(|found| found == kind), "no {kind} in {kinds:?}");
        }
        bot.finish().await;
    }

    async fn a_person_who_says_that_it_was_done_lets_the_run_go_on(database: TestDatabase) {
        let bot = Bot::start(&database, HANG).await;
        bot.say("U0BOB", "hang").await;
        lose(&bot, 1).await;
        bot.until_card("a step's outcome is unknown").await;
        let run = bot.run_id();

        let denied = bot.say("U0CAT", &format!("settle {run} ok I think so")).await;
        assert!(denied.contains("operator"), "{denied}");
        bot.say("U0BOB", &format!("settle {run} ok I looked: it was done")).await;
        bot.until_card("hang ✅ done").await;
        let late = bot.say("U0BOB", &format!("settle {run} failed too late")).await;

        assert!(late.contains("成功") || late.contains("succeeded"), "{late}");
        assert_eq!(bot.place.marks(), ["hang", "after"]);
        kill(survivor(&bot));
        bot.finish().await;
    }

    async fn a_person_who_says_that_it_failed_ends_the_run_and_frees_the_environment(database: TestDatabase) {
        let bot = Bot::start(&database, HANG).await;
        bot.say("U0BOB", "hang").await;
        lose(&bot, 1).await;
        bot.until_card("a step's outcome is unknown").await;
        let run = bot.run_id();

        bot.say("U0BOB", &format!("settle {run} failed it was cut off")).await;
        bot.until_card("somebody must act now").await;
        bot.say("U0BOB", "quick").await;
        bot.until("the environment is free", |bot| bot.place.marks().len() == 2).await;

        assert_eq!(bot.place.marks(), ["hang", "quick"]);
        kill(survivor(&bot));
        bot.finish().await;
    }

    async fn a_lost_step_that_is_harmless_to_repeat_is_repeated(database: TestDatabase) {
        let bot = Bot::start(&database, HARMLESS).await;
        bot.say("U0BOB", "hang").await;
        lose(&bot, 1).await;
        bot.until("the second attempt", |bot| bot.place.marks().len() == 2).await;
        std::fs::write(bot.place.repo().join("go"), "").unwrap();
        let card = bot.until_card("hang ✅ done").await;

        assert!(card.contains("attempt 2"), "{card}");
        bot.finish().await;
    }

    async fn a_bot_that_stops_gracefully_leaves_the_step_running_and_adopts_it(database: TestDatabase) {
        let mut bot = Bot::start(&database, HANG).await;
        bot.say("U0BOB", "hang").await;
        bot.until_card("Hang — running").await;

        bot.end().await;
        assert_eq!(supervisors(&bot).len(), 1, "the step went with the bot");
        std::fs::write(bot.place.repo().join("go"), "").unwrap();
        bot.begin().await;
        let card = bot.until_card("hang ✅ done").await;

        assert!(card.contains("left behind, stopped: sleep"), "{card}");
        assert_eq!(bot.place.marks(), ["hang", "after"]);
        assert!(!is_alive(survivor(&bot)));
        bot.finish().await;
    }
}
