//! The main job as people see it: ask, watch, read.

use crate::harness::bot::Bot;
use crate::harness::database::both_engines;
use crate::harness::place::ROLLBACK;

both_engines! {
    async fn a_rollback_is_asked_done_and_told(database: TestDatabase) {
        let bot = Bot::start(&database, ROLLBACK).await;

        let answer = bot.say("U0ANN", "rollback “v1.2” bad p99, ask @bob").await;
        assert!(answer.contains("rollback v1.2 → production"), "{answer}");
        let card = bot.until_card("rolled back to version v1.2").await;

        assert!(card.contains("bad p99, ask <@U0BOB>"), "{card}");
        assert_eq!(bot.place.marks(), ["back v1.2"]);
        bot.until_quiet().await;
        let thread = bot.thread().join("\n");
        assert!(thread.contains("rolling back to v1.2"), "{thread}");
        assert!(thread.contains("🔄 The application was rolled back to version v1.2 <@U0ANN>"), "{thread}");
        let kinds = bot.journal_kinds().await;
        for kind in ["run.requested", "run.queued", "run.started", "step.starting", "step.started", "step.ok"] {
            assert!(kinds.iter().any(|found| found == kind), "no {kind} in {kinds:?}");
        }
        bot.finish().await;
    }

    async fn a_failing_step_shows_its_last_lines_and_stops_the_run(database: TestDatabase) {
        let actions = ROLLBACK.replace("echo rolling back to $1", "echo the disk is full; exit 3");
        let bot = Bot::start(&database, &actions).await;

        bot.say("U0ANN", "rollback v1.1 why").await;
        let card = bot.until_card("The rollback failed: somebody must act now").await;

        assert!(card.contains("the disk is full") && card.contains("exit code 3"), "{card}");
        bot.finish().await;
    }
}
