//! What people type, however they type it, and what they read.

use crate::harness::bot::{Bot, shown};
use crate::harness::database::both_engines;
use crate::harness::place::{Place, ROLLBACK};
use crate::harness::wire::rows;
use neostock_ops::sandbox::{Answer, Fault, Options, Person};
use serde_json::Value;
use std::time::Instant;

/// A rollback that says that it has begun and waits until the test lets it go.
fn gated() -> String {
    let wait =
        "echo begin $1 >> $MARKS; while ! [ -e $MARKS.go ]; do sleep 0.02; done; echo back $1";
    ROLLBACK.replace("echo back $1", wait)
}

fn let_go(bot: &Bot) {
    std::fs::write(bot.place.marks_file().with_extension("go"), "").unwrap();
}

/// The first run id in a text.
fn run_id(text: &str) -> String {
    let at = text.find("R-").unwrap_or_else(|| panic!("no run id in {text:?}"));
    text[at..at + 10].to_owned()
}

/// What the newest card of a channel says.
fn card_in(bot: &Bot, channel: &str) -> String {
    let messages = bot.workspace.messages(channel);
    let card = messages.iter().rfind(|message| message.thread_ts.is_none() && message.is_bot);
    card.map_or_else(String::new, shown)
}

async fn details(bot: &Bot, kind: &str) -> Vec<(String, Value)> {
    let journal = bot.journal().await;
    journal
        .into_iter()
        .filter(|(found, ..)| found == kind)
        .map(|(_, actor, detail)| (actor, detail))
        .collect()
}

both_engines! {
    async fn what_people_mean_is_understood_as_they_type_it(database: TestDatabase) {
        let bot = Bot::start(&database, ROLLBACK).await;
        let typed = [
            ("rollback “v1.2” “bad p99”", "v1.2", "bad p99"),
            ("ROLLBACK v1.1 env=staging the cache is cold", "v1.1", "the cache is cold"),
            ("rollback env=staging v1.0 p99=5s since 09:00", "v1.0", "p99=5s since 09:00"),
            ("rollback —env=staging version=v1.1 reason=\"two words\"", "v1.1", "two words"),
            ("ｒｏｌｌｂａｃｋ　ｖ１。２ 版本有问题", "v1.2", "版本有问题"),
            ("  rollback\tv1.2   ask @bob,  see #dev ", "v1.2", "ask <@U0BOB>,  see <#C0DEV>"),
            ("rollback v1.2 see https://x.example/?a=1&b=2", "v1.2", "see https://x.example/?a=1&amp;b=2"),
        ];

        for (index, (text, version, reason)) in typed.into_iter().enumerate() {
            let answer = bot.say("U0BOB", text).await;
            assert!(answer.contains(&format!("rollback {version} → ")), "{text}: {answer}");
            bot.until(text, |bot| bot.place.marks().len() == index + 1).await;
            assert_eq!(bot.place.marks()[index], format!("back {version}"));
            let id = run_id(&answer);
            let channel = if text.contains("staging") { "C0DEV" } else { "C0OPS" };
            let card_of = |bot: &Bot| {
                let cards: Vec<String> = bot.workspace.messages(channel).iter().map(shown).collect();
                cards.into_iter().find(|card| card.contains(&id))
            };
            bot.until("its card is there", |bot| card_of(bot).is_some()).await;
            let card = card_of(&bot).unwrap();
            assert!(card.contains(reason), "{text}: {card}");
        }

        bot.finish().await;
    }

    async fn a_slip_is_answered_with_what_was_meant_and_nothing_is_done(database: TestDatabase) {
        let bot = Bot::start(&database, ROLLBACK).await;
        let slips = [
            ("rollbak v1.2 x", vec!["There is no command `rollbak`", "Did you mean `/neostock rollback`"]),
            ("satus", vec!["Did you mean `/neostock status`"]),
            ("deploy v1.2", vec!["There is no command `deploy`", "/neostock help"]),
            ("rollback v1.2 evn=staging x", vec!["There is no `evn=`", "Did you mean `env=`"]),
            ("rollback v1.2 env=stagging x", vec!["There is no environment `stagging`", "production, staging"]),
            ("rollback v1.2 env=production env=staging x", vec!["`env` is given twice"]),
            ("rollback v1.2", vec!["`reason` is missing", "/neostock rollback <version> [env=…] <reason…>"]),
            ("rollback", vec!["`version` is missing"]),
            ("rollback v9.9 x", vec!["`v9.9` is not a tag", "newest tags are `v1.3`, `v1.2`, `v1.1`, `v1.0`"]),
            ("rollback v1.22 x", vec!["Did you mean `v1.2`"]),
            ("status now", vec!["`now` is more than this command takes"]),
            ("show", vec!["`run` is missing"]),
            ("show R-1234", vec!["cannot be `R-1234`", "a run id such as"]),
            ("show R-00000000", vec!["There is no run `R-00000000`"]),
            ("help rolback", vec!["There is no command `rolback`"]),
        ];

        for (text, words) in &slips {
            let answer = bot.say("U0BOB", text).await;
            for word in words {
                assert!(answer.replace("&lt;", "<").replace("&gt;", ">").contains(word), "{text}: {answer}");
            }
        }

        let refused = details(&bot, "request.refused").await;
        assert_eq!(refused.len(), slips.len());
        for ((text, _), (actor, detail)) in slips.iter().zip(refused) {
            assert_eq!((actor.as_str(), detail["text"].as_str()), ("U0BOB", Some(*text)));
        }
        assert_eq!(rows(&database, "runs").await, 0);
        bot.finish().await;
    }

    async fn help_lists_what_can_be_typed_and_explains_one(database: TestDatabase) {
        let bot = Bot::start(&database, ROLLBACK).await;

        for text in ["help", "", "?", "帮助"] {
            let answer = bot.say("U0BOB", text).await.replace("&lt;", "<").replace("&gt;", ">");
            for word in ["rollback <version> [env=…] <reason…>", "Roll the service back", "status", "show <run>", "settle <run>", "help [command]"] {
                assert!(answer.contains(word), "{text:?}: {answer}");
            }
        }
        let answer = bot.say("U0BOB", "help rollback").await;
        for word in ["a tag, branch or commit", "(required)", "Verify → Roll back", "`operator`"] {
            assert!(answer.contains(word), "{answer}");
        }
        let answer = bot.say("U0BOB", "help status").await;
        assert!(answer.contains("For example `/neostock status`"), "{answer}");
        let answer = bot.say("U0ANN", "help").await;
        assert!(answer.contains("回滚到指定版本") && answer.contains("列出命令"), "{answer}");
        bot.finish().await;
    }

    async fn a_person_reads_their_own_language_and_a_channel_the_runbooks(database: TestDatabase) {
        let place = Place::new(ROLLBACK);
        let runbook = std::fs::read_to_string(place.runbook()).unwrap();
        std::fs::write(place.runbook(), runbook.replace("language: en", "language: zh")).unwrap();
        let bot = Bot::in_workspace(&database, place, Options::default()).await;

        let chinese = bot.say("U0ANN", "status").await;
        let english = bot.say("U0BOB", "status").await;
        assert!(chinese.contains("空闲") && !chinese.contains("idle"), "{chinese}");
        assert!(english.contains("idle") && !english.contains("空闲"), "{english}");
        let answer = bot.say("U0BOB", "rollback v1.2 bad p99").await;
        assert!(answer.contains("is accepted"), "{answer}");
        let card = bot.until_card("🔄 应用已成功回滚到版本 v1.2").await;
        assert!(card.contains("原因") && card.contains("回滚到指定版本"), "{card}");
        bot.until_quiet().await;
        assert!(bot.thread().last().unwrap().contains("🔄 应用已成功回滚到版本 v1.2 <@U0BOB>"));
        bot.finish().await;
    }

    async fn a_failure_is_told_in_the_manuals_words(database: TestDatabase) {
        let place = Place::new(&ROLLBACK.replace("echo rolling back to $1", "exit 7"));
        let runbook = std::fs::read_to_string(place.runbook()).unwrap();
        std::fs::write(place.runbook(), runbook.replace("language: en", "language: zh")).unwrap();
        let bot = Bot::in_workspace(&database, place, Options::default()).await;

        bot.say("U0ANN", "rollback v1.2 坏了").await;
        bot.until_card("🚨 应用回滚失败，需要立即人工干预").await;

        bot.until_quiet().await;
        assert!(bot.thread().last().unwrap().contains("🚨 应用回滚失败，需要立即人工干预 <@U0ANN>"));
        bot.finish().await;
    }

    async fn a_run_can_be_shown_by_its_id_as_people_type_it(database: TestDatabase) {
        let bot = Bot::start(&database, ROLLBACK).await;
        let id = run_id(&bot.say("U0BOB", "rollback v1.2 bad p99").await);
        bot.until_card("rolled back to version v1.2").await;
        let lower = id.to_lowercase();

        for typed in [id.as_str(), &lower, &id[2..], &lower[2..]] {
            let answer = bot.say("U0BOB", &format!("show {typed}")).await;
            assert!(answer.contains(&id) && answer.contains("bad p99"), "{typed}: {answer}");
            let card = bot.workspace.messages("C0OPS")[0].clone();
            let link = format!("/archives/C0OPS/p{}", card.ts.replace('.', ""));
            assert!(answer.contains(&link), "{typed}: {answer}");
        }
        // Only they see it.
        assert_eq!(bot.workspace.ephemerals("U0BOB").len(), 5);
        bot.finish().await;
    }

    async fn status_tells_idle_running_and_queued_by_environment(database: TestDatabase) {
        let bot = Bot::start(&database, &gated()).await;
        let idle = bot.say("U0BOB", "status").await;
        assert_eq!(idle.matches("idle").count(), 2, "{idle}");

        let first = run_id(&bot.say("U0BOB", "rollback v1.2 one").await);
        bot.until("the first has begun", |bot| bot.place.marks() == ["begin v1.2"]).await;
        bot.advance_ms(10);
        let answer = bot.say("U0BOB", "rollback v1.1 two").await;
        let second = run_id(&answer);
        assert!(answer.contains(&format!("is queued behind 1: `{first}`")), "{answer}");
        bot.until_card("queued").await;
        let busy = bot.say("U0BOB", "status").await;
        for words in [
            &format!("rollback v1.2 · running 2/2 Roll back `{first}` <@U0BOB> 🔒 since "),
            &format!("rollback v1.1 · queued · place 1, waits for {first} `{second}` <@U0BOB>: two"),
        ] {
            assert!(busy.contains(words.as_str()), "{words}\n{busy}");
        }
        assert_eq!(busy.matches("idle").count(), 1, "{busy}");
        assert_eq!(bot.place.marks(), ["begin v1.2"]);

        let_go(&bot);
        bot.until_card("rolled back to version v1.1").await;
        assert_eq!(bot.place.marks(), ["begin v1.2", "back v1.2", "begin v1.1", "back v1.1"]);
        let after = bot.say("U0BOB", "status").await;
        assert!(after.contains("last: ✅ rollback v1.1 · succeeded"), "{after}");
        assert!(after.contains(&second), "{after}");
        bot.finish().await;
    }

    async fn requests_at_once_in_one_environment_run_one_after_the_other(database: TestDatabase) {
        let bot = Bot::start(&database, &gated().replace("sleep 0.02", "sleep 0.01")).await;
        let_go(&bot);

        let say = |text| bot.workspace.say("U0BOB", "C0OPS", text);
        let answers = tokio::join!(
            say("rollback v1.0 a"), say("rollback v1.1 b"), say("rollback v1.2 c"), say("rollback v1.3 d"),
        );
        for answer in [answers.0, answers.1, answers.2, answers.3] {
            assert!(answer.is_ok(), "{answer:?}");
        }

        bot.until("all are done", |bot| bot.place.marks().len() == 8).await;
        for pair in bot.place.marks().chunks(2) {
            let version = pair[0].strip_prefix("begin ").unwrap();
            assert_eq!(pair[1], format!("back {version}"), "{:?}", bot.place.marks());
        }
        bot.finish().await;
    }

    async fn environments_do_not_wait_for_each_other(database: TestDatabase) {
        let bot = Bot::start(&database, &gated()).await;

        bot.say("U0BOB", "rollback v1.2 one").await;
        let answer = bot.say("U0BOB", "rollback v1.1 env=staging two").await;
        assert!(answer.contains("rollback v1.1 → staging is accepted"), "{answer}");
        assert!(answer.contains("Follow it in <#C0DEV>"), "{answer}");
        bot.until("both have begun", |bot| bot.place.marks().len() == 2).await;
        let_go(&bot);
        bot.until("both have ended", |bot| {
            card_in(bot, "C0OPS").contains("rolled back to version v1.2")
                && card_in(bot, "C0DEV").contains("rolled back to version v1.1")
        })
        .await;

        bot.finish().await;
    }

    async fn asked_elsewhere_a_run_is_followed_in_its_environments_channel(database: TestDatabase) {
        let bot = Bot::start(&database, ROLLBACK).await;

        let answer = bot.say_in("U0BOB", "C0DEV", "rollback v1.2 from elsewhere").await;
        assert!(answer.contains("Follow it in <#C0OPS>"), "{answer}");
        bot.until_card("rolled back to version v1.2").await;

        assert!(bot.workspace.messages("C0DEV").is_empty());
        let asked = details(&bot, "run.requested").await;
        assert_eq!(asked[0].1["channel"], "C0DEV");
        bot.finish().await;
    }

    async fn who_may_not_is_told_whom_to_ask_and_it_is_written_down(database: TestDatabase) {
        let bot = Bot::start(&database, ROLLBACK).await;

        let answer = bot.say("U0CAT", "rollback v1.2 please").await;
        assert!(answer.contains("您没有 `operator` 角色"), "{answer}");
        assert!(answer.contains("<!subteam^S0OPS>"), "{answer}");
        // They learn nothing about versions, and may look.
        let answer = bot.say("U0CAT", "rollback v9.9 please").await;
        assert!(answer.contains("您没有 `operator` 角色") && !answer.contains("v1.3"), "{answer}");
        assert!(bot.say("U0CAT", "status").await.contains("空闲"));

        let denied = details(&bot, "request.denied").await;
        assert_eq!(denied.len(), 2);
        let (actor, detail) = &denied[0];
        assert_eq!(actor, "U0CAT");
        assert_eq!((detail["role"].as_str(), detail["why"].as_str()), (Some("operator"), Some("not_a_member")));
        assert_eq!(detail["text"], "rollback v1.2 please");
        assert_eq!(bot.metric("neostock_requests_total{outcome=\"denied\"}").await, 2);
        assert_eq!(rows(&database, "runs").await, 0);
        bot.finish().await;
    }

    async fn guests_leavers_strangers_and_other_teams_may_not_even_look(database: TestDatabase) {
        let mut options = Options::default();
        let mut fay = Person::new("U0FAY", "fay", "Fay", "en-US");
        fay.team_id = Some("T0OTHER".to_owned());
        options.persons.push(fay);
        let bot = Bot::in_workspace(&database, Place::new(ROLLBACK), options).await;

        for text in ["status", "help", "rollback v1.2 x"] {
            let guest = bot.say("U0EVE", text).await;
            assert!(guest.contains("nothing was done"), "{text}: {guest}");
            let stranger = bot.say("U0NOBODY", text).await;
            assert!(stranger.contains("nothing was done"), "{text}: {stranger}");
            let other = bot.say("U0FAY", text).await;
            assert!(other.contains("belongs to another workspace"), "{text}: {other}");
        }
        let guest = bot.say("U0EVE", "status").await;
        assert!(guest.contains("for full members of this workspace") && !guest.contains("Ask"), "{guest}");
        assert!(bot.say("U0BOB", "status").await.contains("idle"));
        bot.workspace.deactivate("U0BOB");
        bot.advance_ms(60_000);
        let leaver = bot.say("U0BOB", "status").await;
        assert!(leaver.contains("nothing was done"), "{leaver}");

        assert_eq!(details(&bot, "request.other_team").await.len(), 3);
        assert_eq!(details(&bot, "request.denied").await.len(), 8);
        assert_eq!(rows(&database, "runs").await, 0);
        bot.finish().await;
    }

    async fn a_change_of_a_user_group_counts_within_a_minute(database: TestDatabase) {
        let bot = Bot::start(&database, ROLLBACK).await;
        bot.say("U0BOB", "rollback v1.2 one").await;
        bot.until_card("rolled back to version v1.2").await;
        bot.advance_ms(60_000);
        assert!(bot.say("U0BOB", "rollback v1.1 two").await.contains("rollback v1.1"));
        bot.until_card("rolled back to version v1.1").await;
        let asked = bot.workspace.calls_of("usergroups.users.list").len();

        bot.workspace.set_group("S0OPS", &["U0CAT"]);
        // Within the minute Slack is not asked again; after it, the group is what it is now.
        assert!(bot.say("U0CAT", "rollback v1.2 three").await.contains("没有"));
        assert_eq!(bot.workspace.calls_of("usergroups.users.list").len(), asked);
        bot.advance_ms(60_000);
        let answer = bot.say("U0BOB", "rollback v1.0 four").await;
        assert!(answer.contains("You do not hold the role `operator`"), "{answer}");
        assert!(bot.say("U0CAT", "rollback v1.3 five").await.contains("rollback v1.3"));

        bot.until("all are done", |bot| bot.place.marks().len() == 3).await;
        assert_eq!(bot.place.marks(), ["back v1.2", "back v1.1", "back v1.3"]);
        bot.finish().await;
    }

    async fn nobody_may_while_slack_cannot_be_asked_and_everybody_again_afterwards(database: TestDatabase) {
        let bot = Bot::start(&database, ROLLBACK).await;
        for fault in [Fault::ServerError(503), Fault::NotJson, Fault::DropBefore, Fault::RateLimited { retry_after_secs: 30 }, Fault::Error("missing_scope")] {
            bot.workspace.fail_next("usergroups.users.list", fault.clone());
            let answer = bot.say("U0BOB", "rollback v1.2 x").await;
            let (known, refused) = ("cannot be asked right now", "refuses to say");
            let says = if fault == Fault::Error("missing_scope") { refused } else { known };
            assert!(answer.contains(&format!("{says} whether you hold the role `operator`")), "{fault:?}: {answer}");
            bot.advance_ms(3_000);
            // Slack answers again: it is asked again.
            let answer = bot.say("U0CAT", "rollback v1.2 x").await;
            assert!(answer.contains("您没有 `operator` 角色"), "{fault:?}: {answer}");
            bot.advance_ms(60_000);
            bot.workspace.fail_next("users.info", fault.clone());
            let answer = bot.say("U0BOB", "status").await;
            assert!(answer.contains(&format!("{says} whether you hold the role `viewer`")), "{fault:?}: {answer}");
            bot.advance_ms(3_000);
            assert!(bot.say("U0BOB", "status").await.contains("idle"));
        }
        assert_eq!(rows(&database, "runs").await, 0);
        let why: Vec<_> = details(&bot, "request.denied").await.into_iter().map(|(_, detail)| detail["why"].clone()).collect();
        assert_eq!(why.iter().filter(|why| *why == "cannot_tell").count(), 10, "{why:?}");

        assert!(bot.say("U0BOB", "rollback v1.2 x").await.contains("is accepted"));
        bot.until_card("rolled back to version v1.2").await;
        bot.finish().await;
    }

    async fn a_slow_slack_does_not_keep_anybody_waiting_past_three_seconds(database: TestDatabase) {
        let bot = Bot::start(&database, ROLLBACK).await;
        bot.workspace.fail_matching("user*", 2, Fault::Slow(4_000));
        let since = Instant::now();

        let answer = bot.workspace.say("U0BOB", "C0OPS", "rollback v1.2 x").await;

        let Answer::Given { message: Some(message), .. } = &answer else { panic!("{answer:?}") };
        assert!(since.elapsed().as_millis() < 2_900, "{:?}", since.elapsed());
        let words = shown(message);
        assert!(words.contains("cannot be asked right now"), "{words}");
        assert_eq!(rows(&database, "runs").await, 0);
        bot.finish().await;
    }

    async fn a_repository_that_cannot_be_read_is_no_unknown_version(database: TestDatabase) {
        let bot = Bot::start(&database, ROLLBACK).await;
        let git = bot.place.repo().join(".git");
        std::fs::rename(&git, bot.place.repo().join("gone")).unwrap();

        let answer = bot.say("U0BOB", "rollback v1.2 x").await;
        assert!(answer.contains("The git repository of that environment cannot be read"), "{answer}");
        assert!(!answer.contains(&bot.place.repo().display().to_string()), "{answer}");

        std::fs::rename(bot.place.repo().join("gone"), git).unwrap();
        assert!(bot.say("U0BOB", "rollback v1.2 x").await.contains("is accepted"));
        bot.until_card("rolled back to version v1.2").await;
        bot.finish().await;
    }
}
