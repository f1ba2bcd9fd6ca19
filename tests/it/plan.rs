//! `plan`: exactly what an action would do, with nothing done; its button asks for that plan and no other.

use crate::harness::bot::Bot;
use crate::harness::database::{TestDatabase, both_engines};
use crate::harness::place::Place;
use crate::releases::ended;
use neostock_ops::sandbox::Options;

const ACTIONS: &str = r#"
  deploy:
    summary: {zh: 部署, en: Deploy}
    role: operator
    approval: {from: lead, expires: 15m}
    rules:
      - {when: {environment: staging}, approval: none}
    makes_live: version
    on_failure: {action: back, with: {version: "{live_version}"}}
    parameters:
      version: {type: git_ref, required: true}
      reason: {type: text}
    steps:
      - {name: {zh: 部署, en: Deploy}, run: [sh, -c, "echo deployed $1: $NEOSTOCK_ARG_REASON >> $MARKS", sh, "{version}"], timeout: 20s}
      - {name: {zh: 检查, en: Check}, run: [test, -e, "two words"], timeout: 90s, idempotent: true, when: {value: "{reason}", is: check}}
  back:
    summary: {zh: 退回, en: Go back}
    role: operator
    makes_live: version
    parameters: {version: {type: git_ref, required: true}}
    steps:
      - {name: {zh: 退回, en: Go back}, run: [sh, -c, "echo back to $1 >> $MARKS", sh, "{version}"], timeout: 20s}
migrations: db
"#;

/// A repository whose v1.3 has a database change that v1.2 has not.
async fn start(database: &TestDatabase) -> Bot {
    let place = Place::new(ACTIONS);
    std::fs::create_dir(place.repo().join("db")).unwrap();
    for file in ["0002.up.sql", "0002.down.sql"] {
        std::fs::write(place.repo().join("db").join(file), "select 1").unwrap();
    }
    place.git(&["add", "."]);
    place.git(&["commit", "--quiet", "-m", "a database change"]);
    place.git(&["tag", "--force", "v1.3"]);
    Bot::in_workspace(database, place, Options::default()).await
}

both_engines! {
    async fn a_plan_tells_everything_and_does_nothing(database: TestDatabase) {
        let bot = start(&database).await;
        bot.say("U0BOB", "deploy v1.2 env=staging first").await;
        ended(&bot, 1).await;

        let plan = bot.say("U0BOB", "plan deploy v1.3 env=staging new fees").await;
        for words in [
            "Plan: deploy v1.3 → staging", "Only looked at: nothing was done.", "reason `new fees`",
            "version (commit) `", "May be asked by `operator` (the rule on line", "needs nobody's approval",
            "holds the environment while it runs", "digest of the plan `", "runbook `",
            "🔀 2 commits since `v1.2`", "a database change",
            "🗄️ `db` 2 files of database changes\nA `db/0002.down.sql`\nA `db/0002.up.sql`",
            "1. Deploy", "at most 20s", "2. Check", "at most 90s · may be repeated · only if {reason} is “check”", "test -e \"two words\"",
            "If it fails, by itself: `back v1.2`", "sh v1.2", "Ask for this plan",
        ] {
            assert!(plan.contains(words), "{words}\n{plan}");
        }
        let production = bot.say("U0BOB", "plan deploy v1.3 because").await;
        assert!(production.contains("to be approved by `lead` <@U0BOB>: 1 of them, within 15m, not whoever asks"), "{production}");
        let chinese = bot.say("U0ANN", "plan deploy v1.3 env=staging").await;
        assert!(chinese.contains("计划：deploy v1.3 → staging") && chinese.contains("只是查看，什么也没有执行") && chinese.contains("不需要审批"), "{chinese}");
        bot.advance_ms(5_000);

        assert_eq!(bot.place.marks(), ["deployed v1.2: first"]);
        assert_eq!(bot.journal_kinds().await.iter().filter(|kind| *kind == "run.requested").count(), 1);
        bot.finish().await;
    }

    async fn its_button_asks_for_that_plan_and_for_no_other(database: TestDatabase) {
        let bot = start(&database).await;
        bot.say("U0BOB", "plan deploy v1.2 env=staging “new & <fees>”").await;
        let asked = bot.click("U0BOB", "Ask for this plan").await;
        assert!(asked.contains("deploy v1.2 → staging is accepted"), "{asked}");
        ended(&bot, 1).await;
        assert_eq!(bot.place.marks(), ["deployed v1.2: new & <fees>"]);

        bot.say("U0BOB", "plan deploy v1.3 env=staging").await;
        bot.place.git(&["tag", "--force", "v1.3", "v1.1"]);
        let moved = bot.click("U0BOB", "Ask for this plan").await;
        assert!(moved.contains("What you were shown does not hold any more"), "{moved}");
        bot.advance_ms(5_000);

        assert_eq!(bot.place.marks().len(), 1, "a plan that was not shown was done");
        bot.finish().await;
    }

    async fn a_plan_is_shown_to_whoever_may_ask_for_it(database: TestDatabase) {
        let bot = start(&database).await;
        let cases = [
            ("U0CAT", "plan deploy v1.3", "您没有 `operator` 角色"),
            ("U0BOB", "plan deploy v9.9", "`v9.9` is not a tag"),
            ("U0BOB", "plan deplyo v1.3", "Did you mean `/neostock deploy`"),
            ("U0BOB", "plan status", "`status` is no action of the runbook"),
            ("U0BOB", "plan plan plan", "`action` is missing"),
            ("U0BOB", "plan", "`action` is missing"),
        ];
        for (user, typed, words) in cases {
            let answer = bot.say(user, typed).await;
            assert!(answer.contains(words), "{typed}: {answer}");
            assert!(!answer.contains("digest of the plan"), "{typed}: {answer}");
        }
        let denied = bot.journal().await.into_iter().find(|(kind, ..)| kind == "request.denied").unwrap();
        assert_eq!((denied.1.as_str(), denied.2["command"].as_str()), ("U0CAT", Some("deploy")));
        bot.finish().await;
    }
}
