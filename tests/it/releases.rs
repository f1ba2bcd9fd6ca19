//! What is live where, what lies between, and the way back when nobody remembers the version.

use crate::harness::bot::Bot;
use crate::harness::database::both_engines;
use crate::harness::place::Place;
use neostock_ops::sandbox::Options;
use serde_json::Value;

/// A deploy and a rollback that only leave marks; `v1.3` with the reason `break it` fails.
pub const ACTIONS: &str = r#"
  deploy:
    summary: {zh: 部署一个版本, en: Deploy a version}
    role: operator
    makes_live: version
    parameters:
      version: {type: git_ref, required: true}
      reason: {type: text, default: routine}
    steps:
      - {name: {zh: 部署, en: Deploy}, run: [sh, -c, "echo deploy $1 >> $MARKS; [ \"$2\" != 'break it' ]", sh, "{version}", "{reason}"], timeout: 20s}
  rollback:
    summary: {zh: 回滚到指定版本, en: Roll the service back to a version}
    role: operator
    makes_live: version
    parameters:
      version: {type: git_ref, required: true, suggest: last_good}
      reason: {type: text, required: true}
    steps:
      - {name: {zh: 回滚, en: Roll back}, run: [sh, -c, "echo \"back $1: $2\" >> $MARKS", sh, "{version}", "{reason}"], timeout: 20s}
"#;

/// Gives a command that runs and waits until its step has left its mark and the run has ended.
async fn done(bot: &Bot, text: &str) {
    let before = bot.place.marks().len();
    let answer = bot.say("U0BOB", text).await;
    assert!(answer.contains("is accepted"), "{text}: {answer}");
    ended(bot, before + 1).await;
}

/// Waits until so many steps have run and nothing is open.
pub async fn ended(bot: &Bot, marks: usize) {
    bot.until("the step runs", |bot| bot.place.marks().len() == marks).await;
    let store = bot.inspect().await;
    loop {
        let mut reader = store.read().await.unwrap();
        let open = neostock_ops::store::runs::open_runs(&mut reader, 1).await.unwrap();
        drop(reader);
        if open.is_empty() {
            break;
        }
        bot.advance_ms(100);
        tokio::task::yield_now().await;
    }
    store.close().await;
    bot.until_quiet().await;
}

/// The line of `status` that says what is live in an environment.
async fn live(bot: &Bot, environment: &str) -> Option<String> {
    let status = bot.say("U0BOB", "status").await;
    let (_, from) = status.split_once(&format!("*{environment}*")).unwrap();
    let lines = from.lines().skip(1).take_while(|line| !line.starts_with('*'));
    lines.filter_map(|line| line.strip_prefix("live: ")).map(str::to_owned).next()
}

/// The details of the entries that tell what went live, in order.
async fn releases(bot: &Bot) -> Vec<Value> {
    let journal = bot.journal().await;
    let told = journal.into_iter().filter(|(kind, ..)| kind == "release.live");
    told.map(|(.., detail)| detail).collect()
}

/// What the one button says of what a person was shown last.
fn proposed(bot: &Bot, user: &str) -> String {
    let messages = bot.workspace.ephemerals(user);
    let buttons = messages.last().unwrap().buttons();
    assert_eq!(buttons.len(), 1, "{buttons:?}");
    buttons[0].label.clone()
}

both_engines! {
    async fn what_a_run_made_live_is_known_and_the_next_one_replaces_it(database: TestDatabase) {
        let bot = Bot::start(&database, ACTIONS).await;
        assert_eq!(live(&bot, "production").await, None);

        done(&bot, "deploy v1.0").await;
        let first = bot.run_id();
        assert!(!bot.card().contains("🔀"), "{}", bot.card());
        let line = live(&bot, "production").await.unwrap();
        assert!(line.starts_with("`v1.0` `") && line.ends_with(&format!("`{first}`")), "{line}");
        assert!(line.contains("since <!date^1795489"), "{line}");
        assert_eq!(live(&bot, "staging").await, None);

        done(&bot, "deploy v1.3").await;
        let card = bot.card();
        assert!(card.contains("🔀 3 commits since `v1.0`"), "{card}");
        for subject in ["v1.1", "v1.2", "v1.3"] {
            assert!(card.contains(&format!("` {subject}")), "{card}");
        }
        let line = live(&bot, "production").await.unwrap();
        assert!(line.starts_with("`v1.3` `") && line.ends_with(&format!("`{}`", bot.run_id())), "{line}");
        let told = releases(&bot).await;
        assert_eq!((told.len(), told[0].get("before"), told[0].get("outcome")), (2, None, None));
        assert_eq!((told[1]["before"]["run"].as_str(), told[1]["outcome"].as_str()), (Some(first.as_str()), Some("replaced")));
        bot.finish().await;
    }

    async fn a_rollback_without_a_version_is_proposed_and_done_by_a_press(database: TestDatabase) {
        let bot = Bot::start(&database, ACTIONS).await;
        done(&bot, "deploy v1.1").await;
        done(&bot, "deploy v1.3").await;

        let answer = bot.say("U0BOB", "rollback").await;
        assert!(answer.contains("The last good release of production is `v1.1`, live from <!date"), "{answer}");
        assert!(answer.contains("takes back 2 commits of `v1.3`"), "{answer}");
        assert_eq!(proposed(&bot, "U0BOB"), "Roll back to v1.1");
        let denied = bot.say("U0CAT", "rollback").await;
        assert!(denied.contains("operator") && !denied.contains("v1.1"), "{denied}");
        let chinese = bot.say("U0ANN", "rollback env=production").await;
        assert!(chinese.contains("撤回 `v1.3` 的 2 个提交"), "{chinese}");
        assert_eq!(bot.place.marks().len(), 2, "a proposal did something");

        let pressed = bot.click("U0ANN", "回滚到 v1.1").await;
        assert!(pressed.contains("rollback v1.1 → production"), "{pressed}");
        ended(&bot, 3).await;
        assert_eq!(bot.place.marks()[2], "back v1.1: 回到最近的正常版本");
        assert!(bot.card().contains("🔀 takes back 2 commits of `v1.3`"), "{}", bot.card());
        assert!(live(&bot, "production").await.unwrap().starts_with("`v1.1` `"));
        let told = releases(&bot).await;
        assert_eq!(told[2]["outcome"].as_str(), Some("rolled_back"));

        let again = bot.say("U0BOB", "rollback").await;
        assert!(again.contains("no release of production to go back to is known"), "{again}");
        assert!(again.contains("`v1.3`, `v1.2`") && again.contains("/neostock rollback &lt;version&gt;"), "{again}");
        done(&bot, "deploy v1.2").await;
        bot.say("U0BOB", "rollback").await;
        assert_eq!(proposed(&bot, "U0BOB"), "Roll back to v1.1", "what was rolled back is proposed");
        bot.finish().await;
    }

    async fn words_that_are_no_version_become_the_reason_of_the_proposal(database: TestDatabase) {
        let bot = Bot::start(&database, ACTIONS).await;
        done(&bot, "deploy v1.1").await;
        done(&bot, "deploy v1.2").await;
        let typed = [
            ("rollback p99 too slow", "p99 too slow", "`p99` is not a tag"),
            ("rollback “p99 > 5s & rising”", "p99 > 5s & rising", "The last good release"),
            ("rollback reason=\"env=prod is & slow\" env=production", "env=prod is & slow", "The last good release"),
        ];

        for (index, (text, reason, words)) in typed.into_iter().enumerate() {
            let answer = bot.say("U0BOB", text).await;
            assert!(answer.contains(words), "{text}: {answer}");
            assert_eq!(proposed(&bot, "U0BOB"), "Roll back to v1.1", "{text}");
            bot.click("U0BOB", "Roll back to v1.1").await;
            ended(&bot, 3 + 2 * index).await;
            assert_eq!(bot.place.marks().last().unwrap(), &format!("back v1.1: {reason}"));
            done(&bot, "deploy v1.2").await;
        }
        let slip = bot.say("U0BOB", "rollback v1.11 too slow").await;
        assert!(slip.contains("Did you mean `v1.1`?") && !slip.contains("last good"), "{slip}");
        bot.finish().await;
    }

    async fn a_failed_run_makes_nothing_live_and_environments_stand_apart(database: TestDatabase) {
        let bot = Bot::start(&database, ACTIONS).await;
        done(&bot, "deploy v1.1").await;
        done(&bot, "deploy v1.3 break it").await;
        assert!(bot.card().contains("failed"), "{}", bot.card());
        assert!(live(&bot, "production").await.unwrap().starts_with("`v1.1` `"));

        done(&bot, "deploy v1.0 env=staging").await;
        done(&bot, "deploy v1.2 env=staging").await;
        assert!(live(&bot, "production").await.unwrap().starts_with("`v1.1` `"));
        assert!(live(&bot, "staging").await.unwrap().starts_with("`v1.2` `"));
        let nothing = bot.say("U0BOB", "rollback").await;
        assert!(nothing.contains("no release of production"), "{nothing}");
        let staging = bot.say("U0BOB", "rollback env=staging").await;
        assert!(staging.contains("The last good release of staging is `v1.0`"), "{staging}");
        assert_eq!(releases(&bot).await.len(), 3);
        bot.finish().await;
    }

    async fn the_same_version_again_goes_on_being_live(database: TestDatabase) {
        let bot = Bot::start(&database, ACTIONS).await;
        done(&bot, "deploy v1.1").await;
        done(&bot, "deploy v1.2").await;
        let since = live(&bot, "production").await;
        bot.advance_ms(3_600_000);

        done(&bot, "deploy v1.2 once more").await;

        assert!(bot.card().contains("🔀 `v1.2` is live already: the same commit"), "{}", bot.card());
        assert_eq!(live(&bot, "production").await, since);
        assert_eq!(releases(&bot).await[2]["outcome"].as_str(), Some("goes_on"));
        bot.say("U0BOB", "rollback").await;
        assert_eq!(proposed(&bot, "U0BOB"), "Roll back to v1.1");
        bot.finish().await;
    }

    async fn a_tag_that_moved_or_a_commit_that_is_gone_stops_no_rollback(database: TestDatabase) {
        let place = Place::new(ACTIONS);
        let bot = Bot::in_workspace(&database, place, Options::default()).await;
        done(&bot, "deploy v1.1").await;
        std::fs::write(bot.place.repo().join("VERSION"), "lost").unwrap();
        bot.place.git(&["commit", "--quiet", "--all", "-m", "a long subject \u{7} *bold* <!channel>"]);
        bot.place.git(&["tag", "v1.4"]);
        done(&bot, "deploy v1.4").await;
        assert!(bot.card().contains("3 commits since `v1.1`") && bot.card().contains("&lt;!channel&gt;"), "{}", bot.card());

        bot.place.git(&["tag", "--force", "v1.1", "v1.0"]);
        bot.say("U0BOB", "rollback").await;
        let label = proposed(&bot, "U0BOB");
        assert!(label.len() == "Roll back to ".len() + 10 && !label.contains("v1.1"), "{label}");
        bot.place.git(&["reset", "--quiet", "--hard", "v1.3"]);
        bot.place.git(&["tag", "--delete", "v1.4"]);
        bot.place.git(&["reflog", "expire", "--expire=now", "--all"]);
        bot.place.git(&["gc", "--quiet", "--prune=now"]);
        let answer = bot.click("U0BOB", &label).await;
        assert!(answer.contains("is accepted"), "{answer}");
        ended(&bot, 3).await;

        let card = bot.card();
        assert!(card.contains("the difference to `v1.4`, which is live, could not be read"), "{card}");
        assert!(live(&bot, "production").await.is_some());
        let outcome = releases(&bot).await[2]["outcome"].clone();
        assert_eq!(outcome.as_str(), Some("rolled_back"));
        bot.finish().await;
    }
}
