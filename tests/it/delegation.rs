//! A lead lets somebody else approve in their place, for a while; and what that does not make possible.

use crate::harness::bot::Bot;
use crate::harness::database::{TestDatabase, both_engines};
use crate::harness::place::Place;
use crate::releases::ended;
use neostock_ops::sandbox::Options;

const ACTIONS: &str = r#"
  restore:
    summary: {zh: 恢复数据, en: Restore the data}
    role: viewer
    approval: {from: lead, expires: 1d}
    parameters: {reason: {type: text}}
    steps:
      - {name: {zh: 恢复, en: Restore}, run: [sh, -c, "echo restored >> $MARKS"], timeout: 20s}
  wipe:
    summary: {zh: 清空, en: Wipe}
    role: lead
    steps:
      - {name: {zh: 清空, en: Wipe}, run: [sh, -c, "echo wiped >> $MARKS"], timeout: 20s}
"#;

async fn start(database: &TestDatabase) -> Bot {
    Bot::in_workspace(database, Place::new(ACTIONS), Options::default()).await
}

async fn kinds(bot: &Bot, kind: &str) -> Vec<serde_json::Value> {
    let all = bot.journal().await.into_iter().filter(|(found, ..)| found == kind);
    all.map(|(.., detail)| detail).collect()
}

/// Asks for a restore and waits for its card.
async fn ask(bot: &Bot, user: &str) {
    bot.say(user, "restore").await;
    bot.until_card("✋ restore").await;
}

both_engines! {
    async fn whom_a_lead_lets_may_approve_until_the_end_and_no_longer(database: TestDatabase) {
        let bot = start(&database).await;
        ask(&bot, "U0ANN").await;
        let before = bot.click("U0CAT", "Approve").await;
        assert!(before.contains("您没有 `lead` 角色"), "{before}");

        let begun = bot.say("U0BOB", "delegate <@U0CAT|cat> 8h on a plane until the evening").await;
        assert!(begun.contains("<@U0BOB> lets <@U0CAT> decide as `lead` until"), "{begun}");
        bot.until("the channel is told", |bot| bot.card().contains("on a plane until the evening")).await;
        let why = bot.say("U0CAT", &format!("why approve {}", run_id(&bot))).await;
        assert!(why.contains("✅ 您可以执行。（代 <@U0BOB> 行使）"), "{why}");
        let list = bot.say("U0ANN", "delegate").await;
        assert!(list.contains("<@U0BOB> 委托 <@U0CAT> 代为以 `lead` 身份审批"), "{list}");
        let other = bot.say("U0CAT", "wipe").await;
        assert!(other.contains("您没有 `lead` 角色"), "an approval was delegated, nothing else: {other}");
        let approved = bot.say("U0CAT", &format!("approve {} 看过了", run_id(&bot))).await;
        assert!(approved.contains("开始排队执行"), "{approved}");
        ended(&bot, 1).await;

        let decided = &kinds(&bot, "decision.approved").await[0];
        assert_eq!((decided["role"].as_str(), decided["on_behalf"].as_str()), (Some("lead"), Some("U0BOB")));
        assert!(bot.everything().contains("@小猫 approved (for @Bob): 看过了"), "{}", bot.everything());
        bot.advance_ms(8 * 3_600_000);
        ask(&bot, "U0ANN").await;
        let late = bot.click("U0CAT", "Approve").await;
        assert!(late.contains("您没有 `lead` 角色"), "{late}");
        bot.rejects("U0BOB", "not today").await;
        assert_eq!(bot.place.marks(), ["restored"]);
        bot.finish().await;
    }

    async fn nobody_approves_their_own_through_somebody_they_chose(database: TestDatabase) {
        let bot = start(&database).await;
        bot.say("U0BOB", "delegate <@U0CAT> 8h away").await;

        ask(&bot, "U0BOB").await;
        let chosen = bot.click("U0CAT", "Approve").await;
        assert!(chosen.contains("不能批准自己发起的操作"), "{chosen}");
        bot.click("U0BOB", "Cancel").await;
        bot.until_card("was cancelled").await;
        ask(&bot, "U0CAT").await;
        let own = bot.click("U0CAT", "Approve").await;
        assert!(own.contains("不能批准自己发起的操作"), "{own}");
        bot.rejects("U0BOB", "not today").await;
        bot.advance_ms(5_000);

        assert!(bot.place.marks().is_empty());
        assert_eq!(kinds(&bot, "decision.refused").await.len(), 2);
        bot.finish().await;
    }

    async fn only_what_one_holds_is_delegated_to_whom_it_can_be_and_ends_when_somebody_says_so(database: TestDatabase) {
        let bot = start(&database).await;
        let cases = [
            ("U0ANN", "delegate <@U0CAT> 8h 出差", "您没有 `lead` 角色"),
            ("U0BOB", "delegate <@U0CAT> 15d away", "a duration from 1m to 14d"),
            ("U0BOB", "delegate <@U0CAT> 8h", "`reason` is missing"),
            ("U0BOB", "delegate cat 8h away", "a person, written as @name"),
            ("U0BOB", "delegate <@U0BOB> 8h away", "You decide in your own place already"),
            ("U0BOB", "delegate <@U0EVE> 8h away", "Only a full member"),
            ("U0BOB", "delegate <@U0CAT> 8h role=operator away", "You hold no role `operator`"),
            ("U0BOB", "delegate <@U0CAT> end", "Nothing of that kind is delegated"),
        ];
        for (user, typed, words) in cases {
            let answer = bot.say(user, typed).await;
            assert!(answer.contains(words), "{typed}: {answer}");
        }
        assert_eq!(kinds(&bot, "role.delegated").await.len(), 0);

        bot.say("U0BOB", "delegate <@U0CAT> 8h role=lead away").await;
        // What is delegated cannot be passed on.
        let passed = bot.say("U0CAT", "delegate <@U0ANN> 8h 也不在").await;
        assert!(passed.contains("您没有 `lead` 角色"), "{passed}");
        ask(&bot, "U0ANN").await;
        let ended_now = bot.say("U0BOB", "delegate <@U0CAT> end").await;
        assert!(ended_now.contains("<@U0BOB> ended what was delegated to <@U0CAT>: `lead`"), "{ended_now}");
        let late = bot.say("U0CAT", &format!("approve {}", run_id(&bot))).await;
        assert!(late.contains("您没有 `lead` 角色"), "{late}");

        assert_eq!((kinds(&bot, "role.delegated").await.len(), kinds(&bot, "role.delegation_ended").await.len()), (1, 1));
        bot.finish().await;
    }

    async fn an_approval_falls_with_the_role_of_whoever_delegated_it(database: TestDatabase) {
        let place = Place::new(&format!("{ACTIONS}{HOLD}"));
        let runbook = std::fs::read_to_string(place.runbook()).unwrap();
        std::fs::write(place.runbook(), runbook.replace("lead: {members: [U0BOB]}", "lead: {members: [S0LEADS]}")).unwrap();
        let bot = Bot::in_workspace(&database, place, Options::default()).await;
        bot.say("U0BOB", "delegate <@U0CAT> 8h away").await;
        bot.say("U0BOB", "hold").await;
        bot.until("it holds the environment", |bot| bot.place.marks() == ["held"]).await;
        ask(&bot, "U0ANN").await;
        bot.click("U0CAT", "Approve").await;
        bot.until_card("restore → production · queued").await;

        bot.workspace.set_group("S0LEADS", &["U0ANN"]);
        bot.advance_ms(61_000);
        std::fs::write(bot.place.path().join("marks.go"), "").unwrap();
        bot.until_card("counts no more: <@U0CAT>'s approval").await;

        assert_eq!(bot.place.marks(), ["held"]);
        bot.finish().await;
    }
}

/// Holds the environment until the test says so.
const HOLD: &str = r#"
  hold:
    summary: hold
    role: operator
    steps:
      - {name: Hold, run: [sh, -c, "echo held >> $MARKS; until test -e $MARKS.go; do sleep 0.05; done"], timeout: 60s}
"#;

/// The id of the newest run: the newest card may be another message.
fn run_id(bot: &Bot) -> String {
    let everything = bot.everything();
    let at = everything.rfind("R-").unwrap();
    everything[at..at + 10].to_owned()
}
