//! No message is lost and none is doubled, whatever Slack does.

use crate::harness::bot::{Bot, shown};
use crate::harness::database::both_engines;
use crate::harness::place::ROLLBACK;
use neostock_ops::sandbox::Fault;
use serde_json::Value;

/// Longer than the client waits for an answer is not needed: the connection drops after this.
const HANG_MS: u64 = 50;
/// In real time; longer than the test needs to move its clock past the claim of a channel.
const SLOW_MS: u64 = 7_500;

/// Asks for a rollback and waits until all of it is told.
async fn roll_back(bot: &Bot) {
    bot.say("U0BOB", "rollback v1.2 why").await;
    bot.until_card("rolled back to version v1.2").await;
    bot.until_quiet().await;
}

/// One card, one message of output for each of the two steps, one end, in this order.
fn assert_told_once(bot: &Bot) {
    let messages = bot.workspace.messages("C0OPS");
    let cards = messages.iter().filter(|one| one.is_bot && one.thread_ts.is_none()).count();
    let thread = bot.thread();
    let told: Vec<&str> = thread.iter().map(|text| text.lines().next().unwrap()).collect();
    assert_eq!(cards, 1, "{told:?}");
    let expected = [
        "1. Verify",
        "2. Roll back",
        "🔄 The application was rolled back to version v1.2 <@U0BOB>",
    ];
    assert_eq!(told, expected);
}

fn posts(bot: &Bot) -> Vec<i64> {
    let calls = bot.workspace.calls_of("chat.postMessage");
    calls.iter().filter(|call| call.answer["ok"] == true).map(|call| call.at_ms).collect()
}

both_engines! {
    async fn a_rate_limit_is_waited_out_and_the_message_comes_once(database: TestDatabase) {
        let bot = Bot::start(&database, ROLLBACK).await;
        let before_ms = bot.clock.now_ms();
        bot.workspace.fail_next("chat.postMessage", Fault::RateLimited { retry_after_secs: 30 });

        roll_back(&bot).await;

        assert_told_once(&bot);
        assert!(posts(&bot)[0] >= before_ms + 30_000, "posted too early");
        bot.finish().await;
    }

    async fn what_slack_did_not_take_is_sent_again_and_comes_once(database: TestDatabase) {
        let bot = Bot::start(&database, ROLLBACK).await;
        for fault in [Fault::ServerError(503), Fault::ServerError(500), Fault::NotJson, Fault::DropBefore] {
            bot.workspace.fail_next("chat.postMessage", fault);
        }

        roll_back(&bot).await;

        assert_told_once(&bot);
        bot.finish().await;
    }

    async fn a_post_whose_answer_was_lost_is_found_and_not_made_again(database: TestDatabase) {
        let bot = Bot::start(&database, ROLLBACK).await;
        // The card, and then each message of its thread.
        bot.workspace.fail_matching("chat.postMessage", 4, Fault::TimeoutAfterApplying(HANG_MS));

        roll_back(&bot).await;

        assert_told_once(&bot);
        bot.finish().await;
    }

    async fn a_lost_answer_while_the_search_fails_too_is_still_no_second_post(database: TestDatabase) {
        let bot = Bot::start(&database, ROLLBACK).await;
        bot.workspace.fail_next("chat.postMessage", Fault::TimeoutAfterApplying(HANG_MS));
        bot.workspace.fail_matching("conversations.history", 3, Fault::ServerError(500));

        roll_back(&bot).await;

        assert_told_once(&bot);
        bot.finish().await;
    }

    async fn a_search_that_outlasts_its_claim_is_followed_by_no_second_post(database: TestDatabase) {
        let bot = Bot::start(&database, ROLLBACK).await;
        bot.workspace.fail_next("chat.postMessage", Fault::DropBefore);
        bot.workspace.fail_next("conversations.history", Fault::Slow(SLOW_MS));
        bot.say("U0BOB", "rollback v1.2 why").await;
        let calls = |bot: &Bot, method: &str| bot.workspace.calls_of(method).len();
        bot.until("the post that is lost", |bot| calls(bot, "chat.postMessage") == 1).await;

        // While the first sender still searches, its claim ends and another does it all.
        bot.until("the other's post", |bot| !bot.card().is_empty()).await;
        assert_eq!(calls(&bot, "conversations.history"), 1, "the slow search is over too early");
        bot.until("the slow search", |bot| calls(bot, "conversations.history") == 2).await;
        bot.until_card("rolled back to version v1.2").await;
        bot.until_quiet().await;

        assert_told_once(&bot);
        bot.finish().await;
    }

    async fn a_card_that_could_not_be_edited_is_right_in_the_end(database: TestDatabase) {
        let bot = Bot::start(&database, ROLLBACK).await;
        for fault in [
            Fault::ServerError(500),
            Fault::RateLimited { retry_after_secs: 5 },
            Fault::TimeoutAfterApplying(HANG_MS),
            Fault::DropBefore,
        ] {
            bot.workspace.fail_next("chat.update", fault);
        }

        roll_back(&bot).await;

        assert_told_once(&bot);
        bot.finish().await;
    }

    async fn a_card_that_somebody_deleted_is_posted_anew(database: TestDatabase) {
        let bot = Bot::start(&database, ROLLBACK).await;
        bot.workspace.fail_next("chat.update", Fault::Error("message_not_found"));

        bot.say("U0BOB", "rollback v1.2 why").await;
        bot.until_card("rolled back to version v1.2").await;
        bot.until_quiet().await;

        // The sandbox kept the old one; what counts is that a second card came and is right.
        assert!(bot.card().contains("rolled back to version v1.2"), "{}", bot.card());
        bot.finish().await;
    }

    async fn a_channel_that_refuses_the_bot_gets_everything_once_it_lets_it_in(database: TestDatabase) {
        let bot = Bot::start(&database, ROLLBACK).await;
        bot.workspace.fail_matching("chat.postMessage", 5, Fault::Error("not_in_channel"));

        roll_back(&bot).await;

        assert_told_once(&bot);
        bot.finish().await;
    }

    async fn a_message_that_slack_will_never_take_is_written_down_and_shown(database: TestDatabase) {
        let bot = Bot::start(&database, ROLLBACK).await;
        bot.say("U0BOB", "rollback v1.2 why").await;
        bot.until_card("rolled back to version v1.2").await;
        bot.workspace.fail_next("chat.postMessage", Fault::Error("invalid_blocks"));
        bot.until_quiet().await;

        let kinds = bot.journal_kinds().await;
        let ready: Value = reqwest::get(format!("{}/readyz", bot.url)).await.unwrap().json().await.unwrap();

        assert!(kinds.iter().any(|kind| kind == "notice.refused"), "{kinds:?}");
        assert_eq!(ready["outbox_refused"], 1, "{ready}");
        bot.finish().await;
    }

    async fn messages_to_one_channel_keep_their_distance_and_their_order(database: TestDatabase) {
        let bot = Bot::start(&database, ROLLBACK).await;

        roll_back(&bot).await;

        assert_told_once(&bot);
        let calls = bot.workspace.calls();
        let mut times: Vec<i64> = calls
            .iter()
            .filter(|call| call.method == "chat.postMessage" || call.method == "chat.update")
            .map(|call| call.at_ms)
            .collect();
        times.sort_unstable();
        for pair in times.windows(2) {
            assert!(pair[1] - pair[0] >= 1_000, "two messages within {} ms", pair[1] - pair[0]);
        }
        bot.finish().await;
    }

    async fn a_run_goes_on_while_slack_is_down_and_is_told_whole_afterwards(database: TestDatabase) {
        let bot = Bot::start(&database, ROLLBACK).await;
        bot.say("U0BOB", "status").await;
        bot.workspace.fail_matching("chat.*", 1_000, Fault::DropBefore);
        bot.say("U0BOB", "rollback v1.2 why").await;
        bot.until("the step was done", |bot| bot.place.marks().len() == 1).await;
        for _ in 0..60 {
            bot.advance_ms(10_000);
            tokio::task::yield_now().await;
        }
        assert!(bot.card().is_empty(), "{}", bot.card());

        bot.workspace.clear_faults();
        bot.until_card("rolled back to version v1.2").await;
        bot.until_quiet().await;

        assert_told_once(&bot);
        bot.finish().await;
    }

    async fn under_slacks_own_limits_nothing_of_many_runs_is_lost_or_doubled(database: TestDatabase) {
        let bot = Bot::start(&database, ROLLBACK).await;
        bot.workspace.enforce_rate_limits(true);
        for _ in 0..4 {
            bot.say("U0BOB", "rollback v1.2 why").await;
        }
        let ends = |bot: &Bot| {
            let messages = bot.workspace.messages("C0OPS");
            let replies = messages.iter().filter(|one| one.thread_ts.is_some());
            replies.filter(|one| shown(one).contains("was rolled back to version")).count()
        };
        bot.until("every run is told", |bot| ends(bot) == 4).await;
        bot.until_quiet().await;

        let messages = bot.workspace.messages("C0OPS");
        let cards = messages.iter().filter(|one| one.is_bot && one.thread_ts.is_none()).count();
        // Three messages a run; those that waited were told of their turn besides.
        let thread = bot.thread();
        let told = thread.iter().filter(|one| !one.contains("It is the turn of")).count();
        assert_eq!((cards, ends(&bot), told), (4, 4, 12));
        bot.finish().await;
    }
}
