//! Who people are while Slack cannot be asked: what it said before counts for as long as the runbook
//! says, for every bot on the database, and never for somebody who is no active full member.

use crate::harness::bot::{Bot, shown};
use crate::harness::database::{TestDatabase, both_engines};
use crate::harness::looks::Looks;
use crate::harness::place::{Place, ROLLBACK};
use crate::harness::wire::rows;
use neostock_ops::sandbox::{Answer, Fault, Options};
use serde_json::Value;
use sqlx::{Connection, Row};
use std::time::Duration;

const MINUTE_MS: u64 = 60_000;
const HOUR_MS: u64 = 60 * MINUTE_MS;
/// More calls than a test makes.
const ALWAYS: u32 = 100_000;

/// A rollback for people on call, and an action for those whom its role names by their id.
const ACTIONS: &str = r#"
  wipe:
    summary: wipe
    role: lead
    lock: none
    steps:
      - {name: Wipe, run: [sh, -c, "echo wiped >> $MARKS"], timeout: 20s}
"#;

/// Two hours for people on call, nothing said of leads.
fn place() -> Place {
    let place = Place::new(&format!("{ROLLBACK}{ACTIONS}"));
    let text = std::fs::read_to_string(place.runbook()).unwrap();
    let text = text
        .replace("operator: {members: [S0OPS]}", "operator: {members: [S0OPS], max_age: 2h}")
        .replace("viewer: {members: [everyone]}", "viewer: {members: [everyone], max_age: 2h}")
        .replace("lead: {members: [U0BOB]}", "lead: {members: [U0BOB, U0EVE]}");
    std::fs::write(place.runbook(), text).unwrap();
    place
}

async fn start(database: &TestDatabase) -> Bot {
    Bot::in_workspace(database, place(), Options::default()).await
}

/// From now on Slack answers no question about anybody, and does not say who the bot is.
fn slack_goes(bot: &Bot) {
    for method in ["user*", "auth.test"] {
        bot.workspace.fail_matching(method, ALWAYS, Fault::ServerError(503));
    }
}

async fn denials(bot: &Bot) -> Vec<Value> {
    let journal = bot.journal().await;
    let denied = journal.into_iter().filter(|(kind, ..)| kind == "request.denied");
    denied.map(|(.., detail)| detail["why"].clone()).collect()
}

/// When Slack said what is kept of a person.
async fn seen_ms(database: &TestDatabase, user: &str) -> i64 {
    let mut raw = database.raw().await;
    let row = sqlx::query("select seen_ms from people where user_id = $1")
        .bind(user)
        .fetch_one(&mut raw)
        .await
        .unwrap();
    raw.close().await.unwrap();
    row.get(0)
}

both_engines! {
    async fn what_slack_said_before_counts_as_long_as_the_role_says(database: TestDatabase) {
        let bot = start(&database).await;
        bot.say("U0BOB", "rollback v1.2 one").await;
        bot.until_card("rolled back to version v1.2").await;
        slack_goes(&bot);

        bot.advance_ms(HOUR_MS);
        let answer = bot.say("U0BOB", "rollback v1.1 alone at night").await;
        assert!(answer.contains("is accepted"), "{answer}");
        // Its people are asked about once more at its turn.
        bot.until_card("rolled back to version v1.1").await;
        let who = bot.say("U0BOB", "whoami").await;
        assert!(who.contains("a full member") && who.contains("✅ `operator` through"), "{who}");
        // Nothing is said of leads: a minute, and not longer, also for whom the role names.
        assert!(who.contains("❔ `lead` unknown"), "{who}");
        assert!(who.contains("Slack cannot be asked right now; the oldest of its answers is from"), "{who}");
        assert!(who.contains("1 h") && who.contains("ago"), "{who}");
        // The list is known, and does not name everybody.
        assert!(bot.say("U0CAT", "rollback v1.3 x").await.contains("You do not hold the role `operator`"));

        bot.advance_ms(HOUR_MS);
        let late = bot.say("U0BOB", "rollback v1.3 two").await;
        assert!(late.contains("Slack cannot be asked right now whether you hold the role `operator`"), "{late}");
        assert!(late.contains("what is known is 2 h"), "{late}");
        assert!(late.contains("the runbook believes it for 2 h, so nothing was done. Try again"), "{late}");
        assert_eq!(denials(&bot).await, ["not_a_member", "cannot_tell"]);
        assert_eq!(bot.metric("neostock_denied_total{why=\"cannot_tell\"}").await, 1);
        assert_eq!(bot.place.marks(), ["back v1.2", "back v1.1"]);

        bot.workspace.clear_faults();
        bot.advance_ms(MINUTE_MS);
        assert!(bot.say("U0BOB", "rollback v1.3 two").await.contains("is accepted"));
        bot.until_card("rolled back to version v1.3").await;
        bot.finish().await;
    }

    async fn whom_nothing_is_known_of_waits_for_slack(database: TestDatabase) {
        let bot = start(&database).await;
        bot.workspace.set_group("S0OPS", &["U0ANN", "U0BOB"]);
        bot.say("U0BOB", "rollback v1.2 one").await;
        bot.until_card("rolled back to version v1.2").await;
        slack_goes(&bot);
        bot.advance_ms(HOUR_MS);

        // On the list that is known; whether the account is active was never said.
        let answer = bot.say("U0ANN", "rollback v1.1 x").await;
        assert!(answer.contains("and nothing is known from before, so nothing was done"), "{answer}");
        let why = bot.say("U0ANN", "why rollback v1.1 x").await;
        assert!(why.contains("nothing is known from before"), "{why}");
        assert_eq!(denials(&bot).await[0], "cannot_tell");
        bot.finish().await;
    }

    async fn who_is_named_by_id_is_out_once_deactivated_a_guest_or_not_to_be_asked_about(database: TestDatabase) {
        let bot = start(&database).await;
        assert!(bot.say("U0BOB", "wipe").await.contains("is accepted"));
        bot.until_card("wipe ✅ done").await;
        let guest = bot.say("U0EVE", "wipe").await;
        assert!(guest.contains("for full members of this workspace, and you are a guest"), "{guest}");

        // The role says no `max_age`: a minute, and not longer.
        slack_goes(&bot);
        bot.advance_ms(59_000);
        bot.say("U0BOB", "whoami").await;
        bot.advance_ms(2 * MINUTE_MS);
        let away = bot.say("U0BOB", "wipe").await;
        assert!(away.contains("as the runbook states no `max_age` for this role, it counts for 1 min"), "{away}");

        bot.workspace.clear_faults();
        bot.advance_ms(MINUTE_MS);
        bot.workspace.deactivate("U0BOB");
        bot.advance_ms(MINUTE_MS);
        let leaver = bot.say("U0BOB", "wipe").await;
        assert!(leaver.contains("your account is deactivated"), "{leaver}");
        // Nor does it help that Slack goes.
        slack_goes(&bot);
        bot.advance_ms(2 * MINUTE_MS);
        let answer = bot.say("U0BOB", "rollback v1.2 x").await;
        assert!(answer.contains("your account is deactivated"), "{answer}");

        assert_eq!(denials(&bot).await, ["guest", "cannot_tell", "deactivated", "deactivated"]);
        for (why, times) in [("guest", 1), ("cannot_tell", 1), ("deactivated", 2)] {
            let line = format!("neostock_denied_total{{why=\"{why}\"}}");
            assert_eq!(bot.metric(&line).await, times, "{why}");
        }
        assert_eq!(bot.place.marks(), ["wiped"]);
        bot.finish().await;
    }

    async fn a_group_that_was_emptied_stays_empty_when_slack_goes(database: TestDatabase) {
        let mut bot = start(&database).await;
        bot.say("U0BOB", "rollback v1.2 one").await;
        bot.until_card("rolled back to version v1.2").await;
        bot.workspace.set_group("S0OPS", &[]);
        bot.advance_ms(MINUTE_MS);
        assert!(bot.say("U0BOB", "rollback v1.1 two").await.contains("You do not hold the role"));

        slack_goes(&bot);
        bot.advance_ms(2 * MINUTE_MS);
        assert!(bot.say("U0BOB", "rollback v1.1 two").await.contains("You do not hold the role"));
        bot.end().await;
        bot.begin_away_from_slack().await;
        assert!(bot.say("U0BOB", "rollback v1.1 two").await.contains("You do not hold the role"));

        assert_eq!(denials(&bot).await, ["not_a_member"; 3]);
        assert_eq!(bot.place.marks(), ["back v1.2"]);
        bot.workspace.clear_faults();
        bot.finish().await;
    }

    async fn what_is_known_outlives_a_restart_also_one_without_slack(database: TestDatabase) {
        let mut bot = start(&database).await;
        bot.say("U0BOB", "rollback v1.2 one").await;
        bot.until_card("rolled back to version v1.2").await;
        bot.until_quiet().await;
        bot.end().await;
        // It hangs, and whoever starts does not wait for it.
        bot.workspace.fail_matching("auth.test", ALWAYS, Fault::Slow(30_000));
        slack_goes(&bot);
        bot.advance_ms(HOUR_MS);
        bot.begin_away_from_slack().await;

        let ready = reqwest::get(format!("{}/readyz", bot.url)).await.unwrap();
        assert_eq!(ready.status().as_u16(), 503, "it is not as it should be");
        let answer = bot.say("U0BOB", "rollback v1.1 alone at night").await;
        assert!(answer.contains("is accepted"), "{answer}");
        bot.until_card("rolled back to version v1.1").await;
        bot.workspace.clear_faults();
        bot.until_ready().await;
        assert_eq!(bot.place.marks(), ["back v1.2", "back v1.1"]);
        bot.finish().await;
    }

    async fn a_token_of_another_team_than_the_known_one_ends_the_bot(database: TestDatabase) {
        let mut bot = start(&database).await;
        bot.say("U0BOB", "rollback v1.2 one").await;
        bot.until_card("rolled back to version v1.2").await;
        bot.until_quiet().await;
        bot.end().await;
        let mut raw = database.raw().await;
        let other = "insert into workspaces (team_id, url, seen_ms) values ('T0OLD', '', $1)";
        sqlx::query(other).bind(bot.clock.now_ms() + 1).execute(&mut raw).await.unwrap();
        raw.close().await.unwrap();
        slack_goes(&bot);
        bot.begin_away_from_slack().await;

        // What is known of one team is nothing to another.
        let answer = bot.say("U0BOB", "rollback v1.1 x").await;
        assert!(answer.contains("belongs to another workspace"), "{answer}");
        bot.workspace.clear_faults();
        let ended = bot.ended().await;
        assert!(ended.contains("belongs to the team T0NEO now"), "{ended}");
        bot.begin().await;
        assert!(bot.say("U0BOB", "rollback v1.1 x").await.contains("is accepted"));
        bot.until_card("rolled back to version v1.1").await;
        bot.finish().await;
    }

    async fn what_one_bot_learned_another_uses(database: TestDatabase) {
        let bot = start(&database).await;
        bot.say("U0BOB", "rollback v1.2 one").await;
        bot.until_card("rolled back to version v1.2").await;
        slack_goes(&bot);
        bot.advance_ms(HOUR_MS);
        let (url, stop, second) = bot.beside(&[]).await;
        bot.workspace.set_request_url(&url);
        let looks = Looks::within(Duration::from_secs(20));
        let knows = |answer: &Answer| answer.message().is_some_and(|said| shown(said).contains("a full member"));
        while !knows(&bot.workspace.say("U0BOB", "C0OPS", "whoami").await) {
            looks.again(|| "the second bot does not know him".to_owned()).await;
        }

        let answer = bot.say("U0BOB", "rollback v1.1 by the other").await;
        assert!(answer.contains("is accepted"), "{answer}");
        bot.until_card("rolled back to version v1.1").await;
        bot.workspace.clear_faults();
        bot.workspace.set_request_url(&bot.url);
        bot.until_quiet().await;
        stop.cancel();
        second.await.unwrap().unwrap();
        assert_eq!(bot.place.marks(), ["back v1.2", "back v1.1"]);
        bot.finish().await;
    }

    async fn what_slack_said_is_kept_when_it_changed_or_is_five_minutes_old_and_forgotten_after_a_month(database: TestDatabase) {
        let bot = start(&database).await;
        bot.say("U0BOB", "rollback v1.2 one").await;
        let first = seen_ms(&database, "U0BOB").await;
        for _ in 0..4 {
            bot.advance_ms(MINUTE_MS);
            bot.say("U0BOB", "status").await;
        }
        assert_eq!(seen_ms(&database, "U0BOB").await, first);
        bot.advance_ms(MINUTE_MS);
        bot.say("U0BOB", "status").await;
        let second = seen_ms(&database, "U0BOB").await;
        assert!(second >= first + 300_000, "{first} {second}");
        bot.advance_ms(MINUTE_MS);
        bot.workspace.deactivate("U0BOB");
        bot.say("U0BOB", "status").await;
        assert!(seen_ms(&database, "U0BOB").await > second, "a change is kept at once");

        assert_eq!(rows(&database, "group_members").await, 1);
        bot.until_quiet().await;
        let looks = Looks::within(Duration::from_secs(20));
        while rows(&database, "people").await + rows(&database, "group_members").await > 0 {
            bot.advance_ms(24 * HOUR_MS);
            looks.again(|| "it is not forgotten".to_owned()).await;
        }
        assert_eq!(rows(&database, "workspaces").await, 1);
        bot.finish().await;
    }
}
