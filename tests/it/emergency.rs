//! Break-glass: what the emergency role does without approval, who is called, and how it is reviewed.

use crate::harness::bot::Bot;
use crate::harness::database::{TestDatabase, both_engines};
use crate::harness::place::Place;
use crate::releases::ended;
use neostock_ops::sandbox::Options;

const ACTIONS: &str = r#"
  rollback:
    summary: {zh: 回滚, en: Roll back}
    role: operator
    approval: {from: lead, expires: 15m}
    makes_live: version
    parameters:
      version: {type: git_ref, required: true, suggest: last_good}
      reason: {type: text, default: routine}
    steps:
      - {name: {zh: 回滚, en: Roll back}, run: [sh, -c, "echo back to $1: $NEOSTOCK_ARG_REASON >> $MARKS", sh, "{version}"], timeout: 20s}
  wipe:
    summary: {zh: 清空, en: Wipe}
    role: operator
    parameters:
      reason: {type: text}
    steps:
      - {name: {zh: 清空, en: Wipe}, run: [sh, -c, "echo wiped >> $MARKS"], timeout: 20s}
emergency: {role: oncall, actions: [rollback], review: lead}
"#;

/// Ann and Bob operate; Ann and Cat are on call; Bob and Cat lead.
async fn start(database: &TestDatabase) -> Bot {
    let place = Place::new(ACTIONS);
    let runbook = std::fs::read_to_string(place.runbook()).unwrap();
    let roles = "  lead: {members: [U0BOB, U0CAT]}\n  oncall: {members: [U0ANN, U0CAT]}\n";
    let runbook = runbook.replace("  lead: {members: [U0BOB]}\n", roles);
    std::fs::write(place.runbook(), runbook).unwrap();
    Bot::in_workspace(database, place, Options::default()).await
}

async fn count(bot: &Bot, kind: &str) -> usize {
    bot.journal_kinds().await.iter().filter(|found| *found == kind).count()
}

/// Lets a time go by in which reminders come due.
async fn pass(bot: &Bot, minutes: u64) {
    for _ in 0..minutes {
        bot.advance_ms(60_000);
        tokio::task::yield_now().await;
    }
}

both_engines! {
    async fn a_lone_on_call_rolls_back_and_a_lead_reviews_it(database: TestDatabase) {
        let bot = start(&database).await;

        let answer = bot.say("U0ANN", "rollback v1.2 env=production p99 是 9 秒 --emergency").await;
        assert!(answer.contains("作为紧急操作，未经审批；已通知 `lead` 复核"), "{answer}");
        ended(&bot, 1).await;
        assert_eq!(bot.place.marks(), ["back to v1.2: p99 是 9 秒"]);
        let card = bot.card();
        assert!(card.contains("🔴 EMERGENCY · rollback v1.2 ✅ done"), "{card}");
        assert!(card.contains("An emergency, done without approval. To be reviewed by `lead` <@U0BOB> <@U0CAT>"), "{card}");
        assert_eq!(bot.buttons(), ["Review"]);
        let end = bot.thread().join("\n");
        assert!(end.contains("This was an emergency; please review it: `lead` <@U0BOB> <@U0CAT>"), "{end}");
        let status = bot.say("U0BOB", "status").await;
        assert!(status.contains("Emergencies to be reviewed:") && status.contains(&bot.run_id()), "{status}");

        let ann = bot.click("U0ANN", "Review").await;
        assert!(ann.contains("您没有 `lead` 角色"), "{ann}");
        pass(&bot, 31).await;
        bot.until("the first reminder", |bot| bot.thread().join("\n").matches("Nobody has reviewed").count() == 1).await;
        pass(&bot, 91).await;
        bot.until("the second reminder", |bot| bot.thread().join("\n").matches("Nobody has reviewed").count() == 2).await;
        assert_eq!(count(&bot, "emergency.reminded").await, 2);

        let form = bot.opens("U0BOB", "Review").await.unwrap();
        assert_eq!(bot.submits("U0BOB", &form, "right; the alert came late").await, "");
        let card = bot.until_card("🔎 An emergency (without approval), reviewed by <@U0BOB>: right; the alert came late").await;
        assert!(!card.contains("EMERGENCY") && !card.contains("🔴"), "{card}");
        assert_eq!(bot.buttons(), Vec::<String>::new());
        let late = bot.say("U0CAT", &format!("review {} 我也看了", bot.run_id())).await;
        assert!(late.contains("已由 U0BOB 复核过了"), "{late}");
        pass(&bot, 60 * 30).await;
        bot.until_quiet().await;

        assert_eq!(count(&bot, "emergency.reminded").await, 2, "people were reminded after the review");
        let journal = bot.journal().await;
        let used = journal.iter().find(|(kind, ..)| kind == "emergency.used").unwrap();
        assert_eq!((used.1.as_str(), used.2["without"]["from"].as_str()), ("U0ANN", Some("lead")));
        assert_eq!(used.2["reason"], "p99 是 9 秒");
        let thread = bot.thread().join("\n");
        assert!(thread.contains("right; the alert came late") && thread.contains("<@U0ANN>"), "{thread}");
        bot.finish().await;
    }

    async fn without_the_role_a_reason_or_a_listed_action_it_is_none(database: TestDatabase) {
        let bot = start(&database).await;
        let cases = [
            ("U0BOB", "rollback v1.2 p99 --emergency", "You do not hold the role `oncall`"),
            ("U0CAT", "rollback v1.2 p99 --emergency", "您没有 `operator` 角色"),
            ("U0ANN", "rollback v1.2 --emergency", "缺少参数 `reason`"),
            ("U0ANN", "wipe it is broken --emergency", "`wipe` 不能作为紧急操作"),
            ("U0ANN", "status --emergency", "--emergency"),
        ];

        for (user, typed, words) in cases {
            let answer = bot.say(user, typed).await;
            assert!(answer.contains(words), "{typed}: {answer}");
        }
        let quoted = bot.say("U0ANN", "rollback v1.2 \"--emergency\"").await;
        assert!(quoted.contains("等待批准"), "words in quotes are no flag: {quoted}");
        bot.until_card("✋ rollback v1.2").await;
        bot.advance_ms(5_000);

        assert!(bot.place.marks().is_empty(), "{:?}", bot.place.marks());
        assert_eq!(count(&bot, "emergency.used").await, 0);
        assert_eq!(count(&bot, "request.denied").await, 3);
        bot.click("U0ANN", "Cancel").await;
        bot.until_card("was cancelled").await;
        let why = bot.say("U0BOB", "why rollback v1.2 —emergency p99").await;
        assert!(why.contains("And the role `oncall` (roles.oncall, line") && why.contains("⛔ You do not hold the role `oncall`"), "{why}");
        bot.finish().await;
    }

    async fn nobody_reviews_their_own_and_nothing_that_still_goes_on(database: TestDatabase) {
        let place = Place::new(&ACTIONS.replace("echo back", "echo begun >> $MARKS; sleep 2; echo back"));
        let runbook = std::fs::read_to_string(place.runbook()).unwrap();
        let roles = "  lead: {members: [U0BOB, U0ANN]}\n  oncall: {members: [U0ANN]}\n";
        std::fs::write(place.runbook(), runbook.replace("  lead: {members: [U0BOB]}\n", roles)).unwrap();
        let bot = Bot::in_workspace(&database, place, Options::default()).await;
        // As a phone writes it.
        bot.say("U0ANN", "rollback v1.2 —emergency p99 是 9 秒").await;
        bot.until("it has begun", |bot| bot.place.marks() == ["begun"]).await;
        bot.until_card("🔴 EMERGENCY · ⏳ rollback v1.2").await;
        let run = bot.run_id();

        let early = bot.say("U0BOB", &format!("review {run} fine")).await;
        assert!(early.contains("has not ended, it is “running” now"), "{early}");
        ended(&bot, 2).await;
        let own = bot.click("U0ANN", "Review").await;
        assert!(own.contains("是您自己发起的"), "{own}");
        let typed = bot.say("U0ANN", &format!("review {run} 没问题")).await;
        assert!(typed.contains("是您自己发起的"), "{typed}");
        let other = bot.say("U0BOB", "review R-00000000 fine").await;
        assert!(other.contains("There is no run"), "{other}");
        let done = bot.say("U0BOB", &format!("review {run} fine")).await;
        assert!(done.contains("is reviewed"), "{done}");

        assert_eq!(count(&bot, "review.refused").await, 3);
        assert_eq!(count(&bot, "emergency.reviewed").await, 1);
        bot.finish().await;
    }

    async fn an_emergency_keeps_its_word_when_a_version_is_proposed(database: TestDatabase) {
        let bot = start(&database).await;
        for version in ["v1.1", "v1.3"] {
            bot.say("U0ANN", &format!("rollback {version} p99 --emergency")).await;
            ended(&bot, bot.place.marks().len() + 1).await;
        }

        let proposed = bot.say("U0ANN", "rollback --emergency 网站挂了 快").await;
        assert!(proposed.contains("`v1.1`"), "{proposed}");
        let pressed = bot.click("U0ANN", "回滚到 v1.1").await;
        assert!(pressed.contains("作为紧急操作"), "{pressed}");
        ended(&bot, 3).await;

        assert_eq!(bot.place.marks()[2], "back to v1.1: 网站挂了 快");
        assert_eq!(count(&bot, "emergency.used").await, 3);
        bot.finish().await;
    }
}
