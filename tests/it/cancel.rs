//! Cancelling: what waits does not begin, what runs is stopped with everything it started; and doing
//! again what is safe to do again.

use crate::harness::bot::Bot;
use crate::harness::database::both_engines;
use crate::harness::place::is_alive;
use std::time::{Duration, Instant};

/// A step with a grandchild that ignores TERM and a daemon in a session of its own; then another step.
const STUBBORN: &str = r#"
  work:
    summary: work
    role: operator
    steps:
      - {name: Work, run: [sh, -c, "trap 'date +%s%N >> term' TERM; (trap '' TERM; while :; do sleep 0.1; done) & echo $! >> pids; setsid sh -c 'while :; do sleep 0.1; done' & echo $! >> pids; echo $$ >> pids; echo begun >> $MARKS; while :; do sleep 0.02; done"], timeout: 60s}
      - {name: After, run: [sh, -c, "echo after >> $MARKS"], timeout: 20s}
  harmless:
    summary: harmless
    role: operator
    parameters:
      version: {type: git_ref, required: true}
    steps:
      - {name: Try, idempotent: true, run: [sh, -c, "echo try $1 >> $MARKS; test -e ok", sh, "{version}"], timeout: 20s}
"#;

fn pids(bot: &Bot) -> Vec<i32> {
    let text = std::fs::read_to_string(bot.place.repo().join("pids")).unwrap_or_default();
    text.lines().map(|line| line.parse().unwrap()).collect()
}

both_engines! {
    async fn a_running_step_is_stopped_with_everything_it_started(database: TestDatabase) {
        let bot = Bot::start(&database, STUBBORN).await;
        bot.say("U0BOB", "work").await;
        bot.until("the step works", |bot| bot.place.marks() == ["begun"] && pids(bot).len() == 3).await;
        bot.until_card("Work — running").await;
        assert_eq!(bot.buttons(), ["Cancel", "Details"]);

        let pressed = Instant::now();
        let answer = bot.click("U0BOB", "Cancel").await;
        assert!(answer.contains("it is being stopped"), "{answer}");
        let term = bot.place.repo().join("term");
        bot.until("TERM arrives", |_| term.exists()).await;
        let after = pressed.elapsed();
        let again = bot.say("U0BOB", &format!("cancel {}", bot.run_id())).await;
        assert!(again.contains("It is being cancelled already"), "{again}");
        let card = bot.until_card("work 🛑 was cancelled").await;

        assert!(after < Duration::from_secs(1), "TERM came after {after:?}");
        assert!(pids(&bot).into_iter().all(|pid| !is_alive(pid)), "something still runs");
        assert!(card.contains("🛑 <@U0BOB> cancelled"), "{card}");
        assert_eq!(bot.buttons(), Vec::<String>::new());
        assert_eq!(bot.place.marks(), ["begun"], "the next step began");
        let late = bot.say("U0BOB", &format!("cancel {}", bot.run_id())).await;
        assert!(late.contains("Too late: it is “cancelled” now"), "{late}");
        bot.finish().await;
    }

    async fn another_bot_takes_the_wish_and_the_step_stops_all_the_same(database: TestDatabase) {
        let bot = Bot::start(&database, STUBBORN).await;
        let (stop, second) = bot.second().await;
        bot.say("U0BOB", "work").await;
        bot.until("the step works", |bot| bot.place.marks() == ["begun"] && pids(bot).len() == 3).await;

        // Whichever of the two drives it: Slack talks to the first.
        bot.until_card("Work — running").await;
        bot.say("U0BOB", &format!("cancel {} wrong version", bot.run_id())).await;
        let card = bot.until_card("work 🛑 was cancelled").await;

        assert!(card.contains("🛑 <@U0BOB> cancelled: wrong version"), "{card}");
        assert!(pids(&bot).into_iter().all(|pid| !is_alive(pid)));
        stop.cancel();
        second.await.unwrap().unwrap();
        bot.finish().await;
    }

    async fn what_waits_in_the_queue_never_begins(database: TestDatabase) {
        let bot = Bot::start(&database, STUBBORN).await;
        bot.say("U0BOB", "work").await;
        bot.until("the step works", |bot| bot.place.marks() == ["begun"]).await;
        bot.advance_ms(10);
        bot.say("U0ANN", "harmless v1.2").await;
        bot.until_card("harmless v1.2 → production · queued").await;
        let queued = bot.run_id();

        let denied = bot.say("U0CAT", &format!("cancel {queued}")).await;
        assert!(denied.contains("operator"), "{denied}");
        let answer = bot.say("U0ANN", &format!("cancel {queued} 不用了")).await;
        assert!(answer.contains("没有开始执行"), "{answer}");
        bot.until_card("harmless v1.2 🛑 was cancelled").await;
        let first = bot.say("U0BOB", "status").await;
        let at = first.find("R-").unwrap();
        bot.say("U0BOB", &format!("cancel {}", &first[at..at + 10])).await;
        bot.until("the first ends", |bot| pids(bot).into_iter().all(|pid| !is_alive(pid))).await;
        bot.until_quiet().await;

        assert_eq!(bot.place.marks(), ["begun"]);
        bot.finish().await;
    }

    async fn a_failed_run_is_done_again_where_that_is_safe(database: TestDatabase) {
        let bot = Bot::start(&database, STUBBORN).await;
        bot.say("U0ANN", "harmless v1.2").await;
        bot.until_card("harmless v1.2 🚨 failed").await;
        let failed = bot.run_id();

        std::fs::write(bot.place.repo().join("ok"), "").unwrap();
        let denied = bot.say("U0CAT", &format!("retry {failed}")).await;
        assert!(denied.contains("operator"), "{denied}");
        bot.advance_ms(1_000);
        let answer = bot.say("U0BOB", &format!("retry {failed}")).await;
        assert!(answer.contains("harmless v1.2 → production is accepted"), "{answer}");
        let card = bot.until_card("harmless v1.2 ✅ done").await;
        assert!(card.contains(&failed), "the card does not name the first try: {card}");
        let done = bot.run_id();
        assert_ne!(done, failed);
        let again = bot.say("U0BOB", &format!("retry {done}")).await;
        assert!(again.contains("it has succeeded"), "{again}");

        assert_eq!(bot.place.marks(), ["try v1.2", "try v1.2"]);
        bot.finish().await;
    }

    async fn a_run_whose_step_may_not_be_repeated_is_not_done_again(database: TestDatabase) {
        let bot = Bot::start(&database, STUBBORN).await;
        bot.say("U0BOB", "work").await;
        bot.until("the step works", |bot| bot.place.marks() == ["begun"]).await;
        bot.until_card("Work — running").await;
        let early = bot.say("U0BOB", &format!("retry {}", bot.run_id())).await;
        assert!(early.contains("it has not ended yet"), "{early}");
        bot.click("U0BOB", "Cancel").await;
        bot.until_card("work 🛑 was cancelled").await;

        let answer = bot.say("U0BOB", &format!("retry {}", bot.run_id())).await;
        assert!(answer.contains("its step “Work” has begun") && answer.contains("not call it idempotent"), "{answer}");
        assert_eq!(bot.place.marks(), ["begun"]);
        bot.finish().await;
    }
}
