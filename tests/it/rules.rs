//! Who may do what down to the arguments' values, and approvals of several roles.

use crate::harness::bot::Bot;
use crate::harness::database::both_engines;
use crate::releases::ended;

/// Everybody deploys to staging; production needs the people on call and a lead; back goes only what was
/// live.
const ACTIONS: &str = r#"
  deploy:
    summary: {zh: 部署, en: Deploy}
    role: viewer
    rules:
      - {when: {environment: production}, role: operator, approval: {from: lead, expires: 15m}}
    makes_live: version
    parameters:
      version: {type: git_ref, required: true}
      reason: {type: text}
    steps:
      - {name: {zh: 部署, en: Deploy}, run: [sh, -c, "echo deployed $1 to $NEOSTOCK_ENVIRONMENT >> $MARKS", sh, "{version}"], timeout: 20s}
  rollback:
    summary: {zh: 回滚, en: Roll back}
    role: operator
    rules:
      - when: {version: {was_live: false}}
        deny: {zh: 只能回滚到曾经上线的版本。, en: Only a version that was live can be gone back to.}
    makes_live: version
    parameters:
      version: {type: git_ref, required: true, suggest: last_good}
      reason: {type: text, required: true}
    steps:
      - {name: {zh: 回滚, en: Roll back}, run: [sh, -c, "echo back to $1 >> $MARKS", sh, "{version}"], timeout: 20s}
  restore:
    summary: {zh: 恢复数据, en: Restore the data}
    role: operator
    approval: {from: [lead, dba, security], count: 2, expires: 15m}
    steps:
      - {name: {zh: 恢复, en: Restore}, run: [sh, -c, "echo restored >> $MARKS"], timeout: 20s}
"#;

/// A bot whose runbook has more roles than the others'.
async fn start(database: &crate::harness::database::TestDatabase) -> Bot {
    let place = crate::harness::place::Place::new(ACTIONS);
    let runbook = std::fs::read_to_string(place.runbook()).unwrap();
    let roles = "  lead: {members: [U0BOB, U0CAT]}\n  dba: {members: [U0BOB]}\n  security: {members: [U0DAN]}\n";
    let runbook = runbook.replace("  lead: {members: [U0BOB]}\n", roles);
    std::fs::write(place.runbook(), runbook).unwrap();
    Bot::in_workspace(database, place, neostock_ops::sandbox::Options::default()).await
}

async fn denials(bot: &Bot) -> Vec<(String, String)> {
    let denied = bot.journal().await.into_iter().filter(|(kind, ..)| kind == "request.denied");
    denied.map(|(_, actor, detail)| (actor, detail["why"].as_str().unwrap().to_owned())).collect()
}

/// The line of the runbook that holds these words first, from 1.
fn line_of(bot: &Bot, words: &str) -> usize {
    let runbook = std::fs::read_to_string(bot.place.runbook()).unwrap();
    1 + runbook.lines().position(|line| line.contains(words)).unwrap()
}

both_engines! {
    async fn one_environment_for_everybody_and_another_for_few(database: TestDatabase) {
        let bot = start(&database).await;

        let staging = bot.say("U0CAT", "deploy v1.1 env=staging").await;
        assert!(staging.contains("已接受"), "{staging}");
        ended(&bot, 1).await;
        assert_eq!(bot.place.marks(), ["deployed v1.1 to staging"]);
        let production = bot.say("U0CAT", "deploy v1.1").await;
        assert!(production.contains("您没有 `operator` 角色"), "{production}");
        let named = bot.say("U0CAT", "deploy v1.1 env=production").await;
        assert!(named.contains("您没有 `operator` 角色"), "{named}");
        let waits = bot.say("U0BOB", "deploy v1.1").await;
        assert!(waits.contains("waits for approval"), "{waits}");
        bot.until_card("✋ deploy v1.1 → production").await;
        let own = bot.click("U0BOB", "Approve").await;
        assert!(own.contains("You asked for this yourself"), "{own}");
        bot.click("U0CAT", "Approve").await;
        bot.until("it is deployed", |bot| bot.place.marks().len() == 2).await;

        assert_eq!(bot.place.marks()[1], "deployed v1.1 to production");
        let cat = || "U0CAT".to_owned();
        assert_eq!(denials(&bot).await, [(cat(), "not_a_member".into()), (cat(), "not_a_member".into())]);
        bot.finish().await;
    }

    async fn back_goes_only_what_was_live_there(database: TestDatabase) {
        let bot = start(&database).await;
        for version in ["v1.1", "v1.3"] {
            bot.say("U0BOB", &format!("deploy {version} env=staging")).await;
            ended(&bot, bot.place.marks().len() + 1).await;
        }

        let never = bot.say("U0BOB", "rollback v1.2 env=staging it is slow").await;
        assert!(never.contains("Only a version that was live can be gone back to."), "{never}");
        let line = line_of(&bot, "was_live: false");
        assert!(never.contains(&format!("line {line} of the runbook")), "{never}");
        let elsewhere = bot.say("U0BOB", "rollback v1.1 it is slow").await;
        assert!(elsewhere.contains("Only a version that was live"), "{elsewhere}");
        let nothing = bot.say("U0BOB", "rollback v9.9 env=staging it is slow").await;
        assert!(nothing.contains("`v9.9` is not a tag"), "{nothing}");
        let by_commit = bot.say("U0BOB", "rollback main env=staging it is slow").await;
        assert!(by_commit.contains("is accepted"), "v1.3 by its branch was live: {by_commit}");
        ended(&bot, 3).await;
        let proposed = bot.say("U0BOB", "rollback env=staging").await;
        assert!(proposed.contains("The last good release of staging is `v1.1`"), "{proposed}");
        let back = bot.say("U0BOB", "rollback v1.1 env=staging it is slow").await;
        assert!(back.contains("is accepted"), "{back}");
        ended(&bot, 4).await;

        let why: Vec<String> = denials(&bot).await.into_iter().map(|(_, why)| why).collect();
        assert_eq!(why, ["rule", "rule"]);
        bot.finish().await;
    }

    async fn why_names_the_rule_that_decides_and_its_line(database: TestDatabase) {
        let bot = start(&database).await;

        let denied = bot.say("U0CAT", "why deploy v1.1").await;
        let line = line_of(&bot, "environment: production}, role");
        assert!(denied.contains(&format!("需要角色 `operator` (第 {line} 行的规则：environment: production)")), "{denied}");
        let own = bot.say("U0BOB", "why deploy v1.1 env=staging").await;
        let line = line_of(&bot, "role: viewer");
        assert!(own.contains(&format!("Needs the role `viewer` (actions.deploy.role, line {line})")), "{own}");
        assert!(own.contains("Needs nobody's approval."), "{own}");
        let rule = bot.say("U0BOB", "why rollback v1.1 slow").await;
        let line = line_of(&bot, "was_live: false");
        assert!(rule.contains("⛔ Only a version that was live") && rule.contains(&format!("line {line}")), "{rule}");
        let restore = bot.say("U0ANN", "why restore").await;
        assert!(restore.contains("`lead`、`dba`、`security` 中 2 个角色各由不同的人批准"), "{restore}");

        assert!(bot.place.marks().is_empty());
        bot.finish().await;
    }

    async fn of_several_roles_each_counts_once_through_another_person(database: TestDatabase) {
        let bot = start(&database).await;
        bot.say("U0ANN", "restore").await;
        let card = bot.until_card("✋ restore").await;
        assert!(card.contains("Waiting for `lead` / `dba` / `security` <@U0BOB> <@U0CAT> <@U0DAN>: 2 of these roles to approve, each through another person (0 so far)"), "{card}");

        let bob = bot.click("U0BOB", "Approve").await;
        assert!(bob.contains("1 of 2"), "{bob}");
        bot.advance_ms(5_000);
        assert!(bot.place.marks().is_empty(), "one person was enough for two of their roles");
        // Cat is a lead as Bob is: Bob then counts as the dba.
        let cat = bot.click("U0CAT", "Approve").await;
        assert!(cat.contains("开始排队执行"), "{cat}");
        bot.until("it is restored", |bot| bot.place.marks() == ["restored"]).await;
        bot.until_quiet().await;

        let approved = bot.journal().await.into_iter().filter(|(kind, ..)| kind == "decision.approved");
        let roles: Vec<String> = approved.map(|(.., detail)| detail["role"].as_str().unwrap().to_owned()).collect();
        assert_eq!(roles, ["lead,dba", "lead"]);
        bot.finish().await;
    }

    async fn a_retry_is_on_the_terms_of_the_rules_as_they_are_now(database: TestDatabase) {
        let bot = start(&database).await;
        bot.say("U0CAT", "deploy v1.1 env=staging").await;
        ended(&bot, 1).await;
        bot.say("U0BOB", "deploy v1.2").await;
        bot.until_card("✋ deploy v1.2").await;
        let run = bot.run_id();
        bot.click("U0BOB", "Cancel").await;
        bot.until_card("was cancelled").await;
        let runbook = std::fs::read_to_string(bot.place.runbook()).unwrap();
        std::fs::write(bot.place.runbook(), runbook.replace("{environment: production}, role: operator,", "{environment: production}, role: dba,")).unwrap();
        bot.reload.wanted.notify_one();
        bot.until("it is reread", |bot| bot.everything().contains("runbook")).await;

        let refused = bot.say("U0ANN", &format!("retry {run}")).await;

        assert!(refused.contains("这需要角色 `dba`"), "{refused}");
        assert_eq!(denials(&bot).await, [("U0ANN".to_owned(), "other_terms".to_owned())]);
        bot.finish().await;
    }
}
