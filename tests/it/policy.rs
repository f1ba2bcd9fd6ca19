//! What a step's policy promises: tries again, conditions, cleanup, values for later steps; and what
//! follows a failure by itself.

use crate::harness::bot::Bot;
use crate::harness::database::both_engines;

const MINUTE_MS: u64 = 60_000;

const POLICY: &str = r#"
  flaky:
    summary: flaky
    role: operator
    parameters:
      needed: {type: number, min: 1, max: 9, default: 3}
    steps:
      - name: Try
        run: [sh, -c, "echo try >> $MARKS; test $(wc -l < $MARKS) -ge $1", sh, "{needed}"]
        idempotent: true
        retry: {times: 2, delay: 10m, backoff: 3}
        timeout: 20s
      - {name: Clean, run: [sh, -c, "echo clean >> $MARKS"], always: true, timeout: 20s}
  copy:
    summary: copy
    role: operator
    parameters:
      mode: {type: choice, choices: [full, quick], required: true}
      note: {type: text}
    steps:
      - {name: Check, when: {value: "{mode}", is: full}, run: [sh, -c, "echo check >> $MARKS"], timeout: 20s}
      - {name: Copy, run: [sh, -c, "echo copy >> $MARKS; case $1 in full) exit 3;; esac", sh, "{mode}"], timeout: 20s}
      - {name: Never, run: [sh, -c, "echo never >> $MARKS"], when: {value: "{mode}", is: full}, timeout: 20s}
      - {name: Tidy, run: [sh, -c, "echo tidy >> $MARKS"], always: true, timeout: 20s}
      - {name: Note, run: [sh, -c, "echo note >> $MARKS"], when: {value: "{note}", is_not: ""}, timeout: 20s}
  hand:
    summary: hand
    role: operator
    parameters:
      what: {type: text, required: true}
    steps:
      - {name: Make, run: [sh, -c, "echo \"$1\" | tr '|' '\n' >> $NEOSTOCK_OUTPUTS", sh, "{what}"], outputs: [path, size], timeout: 20s}
      - {name: Use, run: [sh, -c, "echo \"use $1 $2 $NEOSTOCK_OUTPUT_SIZE\" >> $MARKS", sh, "{path}", "--size={size}"], timeout: 20s}
      - {name: Big, run: [sh, -c, "echo big >> $MARKS"], when: {value: "{size}", is_one_of: [big, huge]}, timeout: 20s}
  long:
    summary: long
    role: operator
    steps:
      - {name: Work, run: [sh, -c, "echo work >> $MARKS; exec sleep 60"], timeout: 90s}
      - {name: After, run: [sh, -c, "echo after >> $MARKS"], timeout: 20s}
      - {name: Sweep, run: [sh, -c, "echo sweep >> $MARKS"], always: true, timeout: 20s}
"#;

/// A deploy that goes back by itself; the reason `break it` fails it, `break both` the way back too.
pub const FOLLOWED: &str = r#"
  deploy:
    summary: {zh: 部署一个版本, en: Deploy a version}
    role: operator
    approval: {from: lead}
    makes_live: version
    on_failure: {action: rollback, with: {version: "{live_version}", reason: "deploy {version}: {reason}"}}
    parameters:
      version: {type: git_ref, required: true}
      reason: {type: text, default: routine}
    steps:
      - {name: {zh: 部署, en: Deploy}, run: [sh, -c, "echo deploy $1 >> $MARKS; case \"$2\" in break*) exit 1;; esac", sh, "{version}", "{reason}"], timeout: 20s}
  rollback:
    summary: {zh: 回滚到指定版本, en: Roll the service back to a version}
    role: operator
    approval: {from: lead}
    makes_live: version
    on_failure: {action: cry}
    parameters:
      version: {type: git_ref, required: true}
      reason: {type: text, required: true}
    steps:
      - {name: {zh: 回滚, en: Roll back}, run: [sh, -c, "echo \"back $1: $2 ${{NEOSTOCK_CAUSE:+by itself}}\" >> $MARKS; case \"$2\" in *both) exit 1;; esac", sh, "{version}", "{reason}"], timeout: 20s}
  cry:
    summary: cry
    role: operator
    steps:
      - {name: Cry, run: [sh, -c, "echo cry >> $MARKS"], timeout: 20s}
"#;

/// Asks for it, lets the lead approve, and waits for its end.
async fn deploy(bot: &Bot, text: &str, end: &str) {
    let answer = bot.say("U0ANN", text).await;
    assert!(answer.contains("等待批准"), "{answer}");
    bot.until_card("Waiting for").await;
    bot.click("U0BOB", "Approve").await;
    bot.until(end, |bot| bot.everything().contains(end)).await;
    bot.until_quiet().await;
}

both_engines! {
    async fn a_step_is_tried_again_after_pauses_that_grow(database: TestDatabase) {
        let bot = Bot::start(&database, POLICY).await;
        bot.say("U0BOB", "flaky").await;

        let first = bot.until_card("retry 1 of 2 at").await;
        assert!(first.contains("exit code 1"), "{first}");
        assert_eq!(bot.place.marks(), ["try"]);
        bot.advance_ms(8 * MINUTE_MS);
        bot.until_quiet().await;
        assert_eq!(bot.place.marks(), ["try"], "it did not wait its 10 min");
        bot.advance_ms(2 * MINUTE_MS);
        bot.until_card("retry 2 of 2 at").await;
        bot.advance_ms(28 * MINUTE_MS);
        bot.until_quiet().await;
        assert_eq!(bot.place.marks(), ["try"; 2], "it did not wait its 30 min");
        bot.advance_ms(2 * MINUTE_MS);
        let card = bot.until_card("flaky ✅ done").await;

        assert!(card.contains("attempt 3"), "{card}");
        assert_eq!(bot.place.marks(), ["try", "try", "try", "clean"]);
        let kinds = bot.journal_kinds().await;
        assert_eq!(kinds.iter().filter(|kind| *kind == "step.retrying").count(), 2, "{kinds:?}");
        bot.finish().await;
    }

    async fn tries_end_and_cleanup_is_done(database: TestDatabase) {
        let bot = Bot::start(&database, POLICY).await;
        bot.say("U0BOB", "flaky 9").await;
        bot.until_card("retry 1 of 2").await;
        bot.advance_ms(10 * MINUTE_MS);
        bot.until_card("retry 2 of 2").await;
        bot.advance_ms(30 * MINUTE_MS);
        let card = bot.until_card("flaky 🚨 failed").await;

        assert!(card.contains("✅ 2. Clean"), "{card}");
        assert_eq!(bot.place.marks(), ["try", "try", "try", "clean"]);
        bot.finish().await;
    }

    async fn a_cancel_ends_the_waiting_for_another_try_and_cleanup_is_done(database: TestDatabase) {
        let bot = Bot::start(&database, POLICY).await;
        bot.say("U0BOB", "flaky 9").await;
        bot.until_card("retry 1 of 2").await;
        bot.say("U0BOB", &format!("cancel {} enough", bot.run_id())).await;
        let card = bot.until_card("flaky 🛑 was cancelled").await;

        assert!(card.contains("✅ 2. Clean"), "{card}");
        assert_eq!(bot.place.marks(), ["try", "clean"]);
        bot.finish().await;
    }

    async fn a_run_that_is_cancelled_cleans_up(database: TestDatabase) {
        let bot = Bot::start(&database, POLICY).await;
        bot.say("U0BOB", "long").await;
        bot.until("the step works", |bot| bot.place.marks() == ["work"]).await;
        bot.until_card("Work — running").await;
        bot.click("U0BOB", "Cancel").await;
        let card = bot.until_card("long 🛑 was cancelled").await;

        assert!(card.contains("✅ 3. Sweep — cleanup"), "{card}");
        assert!(card.contains("➖ 2. After"), "{card}");
        assert_eq!(bot.place.marks(), ["work", "sweep"]);
        bot.finish().await;
    }

    async fn a_step_is_done_only_on_its_condition(database: TestDatabase) {
        let bot = Bot::start(&database, POLICY).await;
        bot.say("U0BOB", "copy quick").await;
        let card = bot.until_card("copy ✅ done").await;
        assert!(card.contains("➖ 1. Check — skipped, only if {mode} is “full”"), "{card}");
        assert_eq!(bot.place.marks(), ["copy", "tidy"]);

        bot.advance_ms(10);
        bot.say("U0BOB", "copy full because").await;
        let card = bot.until_card("copy 🚨 failed").await;

        assert!(card.contains("➖ 3. Never — skipped"), "{card}");
        assert!(card.contains("➖ 5. Note — skipped"), "an ordinary step ran after a failure: {card}");
        assert_eq!(bot.place.marks(), ["copy", "tidy", "check", "copy", "tidy"]);
        bot.finish().await;
    }

    async fn what_a_step_hands_on_reaches_later_ones_as_one_argument(database: TestDatabase) {
        let bot = Bot::start(&database, POLICY).await;
        bot.say("U0BOB", "hand path=a; touch x $(id)|size=big").await;
        bot.until_card("hand ✅ done").await;
        assert_eq!(bot.place.marks(), ["use a; touch x $(id) --size=big big", "big"]);

        bot.advance_ms(10);
        bot.say("U0BOB", "hand path=-rf|size=small").await;
        let card = bot.until_card("hand 🚨 failed").await;
        assert!(card.contains("a program would read it as an option"), "{card}");

        bot.advance_ms(10);
        bot.say("U0BOB", "hand size=small|other=1").await;
        let card = bot.until_card("no earlier step handed on").await;
        assert!(card.contains("✅ 1. Make"), "{card}");
        assert_eq!(bot.place.marks().len(), 2);
        bot.finish().await;
    }

    async fn a_failed_deploy_goes_back_by_itself_and_says_so(database: TestDatabase) {
        let bot = Bot::start(&database, FOLLOWED).await;
        deploy(&bot, "deploy v1.1", "deploy v1.1 ✅ done").await;
        bot.advance_ms(1_000);
        bot.say("U0ANN", "deploy v1.3 break it").await;
        let plan = bot.until_card("If it fails, by itself: `rollback v1.1`").await;
        assert!(plan.contains("Waiting for"), "{plan}");
        let failing = bot.run_id();
        bot.click("U0BOB", "Approve").await;
        bot.until("the end", |bot| bot.everything().contains("rollback v1.1 ✅ done")).await;
        bot.until_quiet().await;

        assert_eq!(bot.place.marks(), ["deploy v1.1", "deploy v1.3", "back v1.1: deploy v1.3: break it by itself"]);
        let card = bot.card();
        assert!(card.contains(&failing), "the linked run does not name its cause: {card}");
        assert!(!card.contains("If it fails"), "something would follow in turn: {card}");
        let everything = bot.everything();
        assert!(everything.contains("Begun by itself: `rollback v1.1`"), "{everything}");
        let journal = bot.journal().await;
        let (_, subject, detail) = journal.iter().find(|(kind, ..)| kind == "run.follows").unwrap();
        assert_eq!(detail["cause"], failing.as_str());
        assert_eq!(detail["plan"]["cause"], failing.as_str());
        assert_ne!(*subject, failing);
        bot.finish().await;
    }

    async fn nobody_comes_between_a_failure_and_what_follows_it(database: TestDatabase) {
        let bot = Bot::start(&database, &FOLLOWED.replace("break*) exit 1", "break*) sleep 1; exit 1")).await;
        deploy(&bot, "deploy v1.1", "deploy v1.1 ✅ done").await;
        bot.advance_ms(1_000);
        bot.say("U0ANN", "deploy v1.3 break it").await;
        bot.until_card("If it fails").await;
        bot.click("U0BOB", "Approve").await;
        bot.until("the deploy works", |bot| bot.place.marks().len() == 2).await;
        bot.say("U0BOB", "cry").await;
        bot.until("the other ends", |bot| bot.everything().contains("cry ✅ done")).await;
        bot.until_quiet().await;

        let back = "back v1.1: deploy v1.3: break it by itself";
        assert_eq!(bot.place.marks(), ["deploy v1.1", "deploy v1.3", back, "cry"]);
        bot.finish().await;
    }

    async fn nothing_follows_what_follows(database: TestDatabase) {
        let bot = Bot::start(&database, FOLLOWED).await;
        deploy(&bot, "deploy v1.1", "deploy v1.1 ✅ done").await;
        bot.advance_ms(1_000);
        deploy(&bot, "deploy v1.3 break both", "rollback v1.1 🚨 failed").await;

        assert_eq!(bot.place.marks().last().unwrap(), "back v1.1: deploy v1.3: break both by itself");
        assert!(!bot.everything().contains("cry"), "it went on: {}", bot.everything());
        let status = bot.say("U0BOB", "status").await;
        assert!(!status.contains("🔒"), "the environment is still held: {status}");
        bot.finish().await;
    }

    async fn without_a_release_the_plan_says_that_nothing_follows(database: TestDatabase) {
        let bot = Bot::start(&database, FOLLOWED).await;
        bot.say("U0ANN", "deploy v1.3 break it").await;
        bot.until_card("nothing is done by itself: no version is known to be live yet").await;
        bot.click("U0BOB", "Approve").await;
        bot.until_card("deploy v1.3 🚨 failed").await;
        bot.until_quiet().await;

        assert_eq!(bot.place.marks(), ["deploy v1.3"]);
        bot.finish().await;
    }

    async fn what_never_began_is_followed_by_nothing(database: TestDatabase) {
        let bot = Bot::start(&database, FOLLOWED).await;
        deploy(&bot, "deploy v1.1", "deploy v1.1 ✅ done").await;
        bot.advance_ms(1_000);
        bot.say("U0ANN", "deploy v1.3").await;
        bot.until_card("If it fails").await;
        let run = bot.run_id();
        bot.say("U0BOB", &format!("reject {run} not tonight")).await;
        bot.until_card("was rejected").await;
        bot.until_quiet().await;

        assert_eq!(bot.place.marks(), ["deploy v1.1"]);
        assert!(!bot.journal_kinds().await.contains(&"run.follows".to_owned()));
        bot.finish().await;
    }
}
