//! Freezes: what waits, what is refused, what passes, and who may override. It is Tuesday, 11:00 in Shanghai,
//! when a test begins.

use crate::harness::bot::{Bot, NIGHT_MS};
use crate::harness::database::{Engine as Database, TestDatabase, both_engines, run};
use crate::harness::place::Place;
use neostock_ops::sandbox::Options;
use neostock_ops::store::journal::{Filter, newest_of};

const HOUR_MS: i64 = 3_600_000;
/// 15:00 in Shanghai: the end of the trading hours.
const CLOSE_MS: i64 = NIGHT_MS + 4 * HOUR_MS;

const ACTIONS: &str = r#"
  deploy:
    summary: {zh: 部署, en: Deploy}
    role: operator
    approval: {from: lead, expires: 15m}
    on_failure: {action: rollback, with: {version: v1.0, reason: "it failed"}}
    parameters:
      version: {type: git_ref, required: true}
      reason: {type: text}
    steps:
      - {name: {zh: 部署, en: Deploy}, run: [sh, -c, "echo deployed $1: $NEOSTOCK_ARG_REASON >> $MARKS; test $1 != v1.3", sh, "{version}"], timeout: 20s}
  quick:
    summary: {zh: 快, en: Quick}
    role: operator
    parameters:
      reason: {type: text}
    steps:
      - {name: {zh: 快, en: Quick}, run: [sh, -c, "echo quick >> $MARKS"], timeout: 20s}
  rollback:
    summary: {zh: 回滚, en: Roll back}
    role: operator
    parameters:
      version: {type: git_ref, required: true}
      reason: {type: text, required: true}
    steps:
      - {name: {zh: 回滚, en: Roll back}, run: [sh, -c, "echo back to $1 >> $MARKS", sh, "{version}"], timeout: 20s}
  hold:
    summary: hold
    role: operator
    steps:
      - {name: Hold, run: [sh, -c, "echo held >> $MARKS; until test -e $MARKS.go; do sleep 0.05; done"], timeout: 60s}
emergency: {role: oncall, actions: [deploy], review: lead}
"#;

const TRADING: &str = r"
freezes:
  trading-hours:
    summary: {zh: 交易时段, en: Trading hours}
    environments: [production]
    actions: [deploy, quick]
    weekly: [mon-fri 09:15-15:00]
    zone: Asia/Shanghai
    override: lead
";

/// Ann and Bob operate; Bob and Cat lead; Ann is on call.
fn place(freezes: &str) -> Place {
    let place = Place::new(&format!("{ACTIONS}{freezes}"));
    let runbook = std::fs::read_to_string(place.runbook()).unwrap();
    let roles = "  lead: {members: [U0BOB, U0CAT]}\n  oncall: {members: [U0ANN]}\n";
    std::fs::write(place.runbook(), runbook.replace("  lead: {members: [U0BOB]}\n", roles))
        .unwrap();
    place
}

async fn start(database: &TestDatabase, freezes: &str) -> Bot {
    Bot::in_workspace(database, place(freezes), Options::default()).await
}

/// Trading hours in which what is asked for is refused.
fn refusing() -> String {
    TRADING.replace("    override: lead", "    then: refuse\n    override: lead")
}

/// Moves the clock to a moment.
async fn at(bot: &Bot, at_ms: i64) {
    let rest_ms = at_ms - bot.clock.now_ms();
    assert!(rest_ms >= 0, "the clock is past it by {rest_ms} ms");
    bot.advance_ms(rest_ms.unsigned_abs());
    tokio::task::yield_now().await;
}

/// When each entry of a kind was written.
async fn moments(bot: &Bot, kind: &str) -> Vec<i64> {
    let store = bot.inspect().await;
    let mut reader = store.read().await.unwrap();
    let rows = newest_of(&mut reader, &Filter::default(), 200).await.unwrap();
    drop(reader);
    store.close().await;
    let mut found: Vec<i64> =
        rows.into_iter().filter(|row| row.kind == kind).map(|row| row.at_ms).collect();
    found.sort_unstable();
    found
}

fn go(bot: &Bot) {
    std::fs::write(bot.place.path().join("marks.go"), "").unwrap();
}

fn is_at(found: &[i64], expected_ms: i64) {
    let late_ms: Vec<i64> = found.iter().map(|at_ms| at_ms - expected_ms).collect();
    assert!(matches!(late_ms[..], [0..=60_000]), "{late_ms:?} ms after the moment");
}

both_engines! {
    async fn a_run_waits_for_the_end_of_a_freeze_and_goes_on_by_itself(database: TestDatabase) {
        let mut bot = start(&database, TRADING).await;

        let asked = bot.say("U0ANN", "deploy v1.2 new fees").await;
        assert!(asked.contains("等待批准") && asked.contains("❄️ 冻结中：`trading-hours` 交易时段，到 "), "{asked}");
        let card = bot.until_card("✋ deploy v1.2").await;
        assert!(card.contains("❄️ Frozen: `trading-hours` Trading hours, until "), "{card}");
        assert!(card.contains("2026-11-24 07:00"), "{card}");
        assert!(card.contains("Waiting for `lead`"), "{card}");
        let approved = bot.click("U0BOB", "Approve").await;
        assert!(approved.contains("it still waits for its other gates"), "{approved}");
        let card = bot.until_card("❄️ deploy v1.2 → production · waiting for a freeze to end").await;
        assert!(!card.contains("Waiting for `lead`"), "{card}");
        assert_eq!(bot.buttons(), ["Reject", "Details", "Cancel"]);
        let show = bot.say("U0BOB", &format!("show {}", bot.run_id())).await;
        assert!(show.contains("waiting for a freeze to end"), "{show}");
        // Longer than its approval would have been waited for.
        at(&bot, CLOSE_MS - 10 * 60_000).await;
        bot.end().await;
        bot.begin().await;
        at(&bot, CLOSE_MS - 60_000).await;
        bot.until_quiet().await;
        assert!(bot.place.marks().is_empty(), "it began within the freeze");
        assert!(bot.card().contains("waiting for a freeze to end"), "{}", bot.card());
        at(&bot, CLOSE_MS - 1).await;
        bot.until("it is deployed", |bot| bot.place.marks() == ["deployed v1.2: new fees"]).await;
        bot.until_card("deploy v1.2 ✅ done").await;
        bot.until_quiet().await;

        is_at(&moments(&bot, "run.queued").await, CLOSE_MS);
        let thread = bot.thread().join("\n");
        assert_eq!(thread.matches("The freeze is over: deploy v1.2 is queued now <@U0ANN>").count(), 1, "{thread}");
        bot.finish().await;
    }

    async fn what_needs_nobodys_approval_waits_too_and_what_a_freeze_does_not_name_passes(database: TestDatabase) {
        let bot = start(&database, TRADING).await;

        let waits = bot.say("U0BOB", "quick").await;
        assert!(waits.contains("It waits for a freeze to end: `trading-hours`") && !waits.contains("accepted"), "{waits}");
        bot.until_card("❄️ quick → production").await;
        assert_eq!(bot.buttons(), ["Details", "Cancel"]);
        bot.say("U0BOB", "rollback v1.1 it is slow").await;
        bot.until("it is back", |bot| bot.place.marks() == ["back to v1.1"]).await;
        bot.say("U0BOB", "quick env=staging").await;
        bot.until("staging is not frozen", |bot| bot.place.marks() == ["back to v1.1", "quick"]).await;
        // What follows a failure passes: the deploy is an emergency, its rollback is not waited for.
        bot.say("U0ANN", "deploy v1.3 p99 --emergency").await;
        bot.until("the emergency passes", |bot| bot.place.marks().len() == 4).await;
        assert_eq!(bot.place.marks()[2..], ["deployed v1.3: p99", "back to v1.0"]);
        let status = bot.say("U0BOB", "status").await;
        assert!(status.contains("❄️ quick · waiting for a freeze to end"), "{status}");
        assert!(status.contains("❄️ `deploy` `quick` frozen: `trading-hours` Trading hours, until "), "{status}");
        at(&bot, CLOSE_MS).await;
        bot.until("it goes on", |bot| bot.place.marks().len() == 5).await;
        bot.until_quiet().await;

        is_at(&moments(&bot, "run.queued").await[4..], CLOSE_MS);
        bot.finish().await;
    }

    async fn what_a_freeze_refuses_is_not_begun_at_its_request_nor_at_its_turn(database: TestDatabase) {
        let bot = start(&database, &refusing()).await;

        let refused = bot.say("U0BOB", "deploy v1.2 new fees").await;
        for words in [
            "production is frozen, so nothing was done: `trading-hours` Trading hours, until ", "2026-11-24 07:00",
            "Ask again after that.", "ask with a reason and `--override-freeze`; it needs the approval of `lead`",
        ] {
            assert!(refused.contains(words), "{words}: {refused}");
        }
        let chinese = bot.say("U0ANN", "deploy v1.2").await;
        assert!(chinese.contains("production 冻结中，什么也没有执行：`trading-hours` 交易时段，到 "), "{chinese}");
        assert!(chinese.contains("须由 `lead` 批准"), "{chinese}");
        assert_eq!(moments(&bot, "run.requested").await.len(), 0);
        // A minute before it begins it is asked for, and approved too late.
        at(&bot, NIGHT_MS + 22 * HOUR_MS + 14 * 60_000).await;
        bot.say("U0ANN", "deploy v1.1 early").await;
        bot.until_card("✋ deploy v1.1").await;
        at(&bot, NIGHT_MS + 22 * HOUR_MS + 16 * 60_000).await;
        let late = bot.click("U0BOB", "Approve").await;
        assert!(late.contains("a freeze has begun, so it was not approved: `trading-hours` Trading hours, until "), "{late}");
        bot.click("U0ANN", "Cancel").await;
        bot.until_card("was cancelled").await;
        // An hour before the market opens again it is asked for, and waits behind another until it has.
        at(&bot, NIGHT_MS + 45 * HOUR_MS).await;
        bot.say("U0BOB", "hold").await;
        bot.until_card("Hold — running").await;
        bot.say("U0ANN", "deploy v1.2 early").await;
        bot.until_card("✋ deploy v1.2").await;
        bot.click("U0BOB", "Approve").await;
        bot.until_card("deploy v1.2 → production · queued").await;
        at(&bot, NIGHT_MS + 46 * HOUR_MS + HOUR_MS / 2).await;
        go(&bot);
        bot.until_card("the freeze trading-hours has begun and lasts until 2026-11-26 07:00:00 UTC").await;
        bot.until_quiet().await;

        assert_eq!(bot.place.marks(), ["held"]);
        bot.finish().await;
    }

    async fn a_freeze_that_begins_while_a_run_is_queued_sends_it_back_to_wait(database: TestDatabase) {
        let bot = start(&database, TRADING).await;
        at(&bot, NIGHT_MS + 21 * HOUR_MS).await;
        bot.say("U0BOB", "hold").await;
        bot.until_card("Hold — running").await;
        bot.say("U0ANN", "deploy v1.2 early").await;
        bot.until_card("✋ deploy v1.2").await;
        bot.click("U0BOB", "Approve").await;
        bot.until_card("deploy v1.2 → production · queued").await;
        at(&bot, NIGHT_MS + 22 * HOUR_MS + HOUR_MS / 2).await;
        go(&bot);

        let card = bot.until_card("❄️ deploy v1.2 → production · waiting for a freeze to end").await;
        assert!(card.contains("<@U0BOB> approved"), "its approval was set aside: {card}");
        bot.until_quiet().await;
        let thread = bot.thread().join("\n");
        assert_eq!(thread.matches("but a freeze has begun, so nothing is begun: `trading-hours`").count(), 1, "{thread}");
        // Its environment is free for what the freeze does not stop.
        bot.say("U0BOB", "rollback v1.1 it is slow").await;
        bot.until("the environment is free", |bot| bot.place.marks() == ["held", "back to v1.1"]).await;
        at(&bot, CLOSE_MS + 24 * HOUR_MS).await;
        bot.until("it goes on by itself", |bot| bot.place.marks().len() == 3).await;
        bot.until_quiet().await;

        assert_eq!(bot.place.marks()[2], "deployed v1.2: early");
        assert_eq!(moments(&bot, "run.frozen").await.len(), 1);
        assert_eq!(moments(&bot, "decision.approved").await.len(), 1);
        let frozen = bot.journal().await.into_iter().find(|(kind, ..)| kind == "run.frozen").unwrap();
        assert_eq!(frozen.2["more"]["freezes"], serde_json::json!(["trading-hours"]));
        assert_eq!(frozen.2["more"]["ends_ms"], CLOSE_MS + 24 * HOUR_MS);
        bot.finish().await;
    }

    async fn an_approval_that_nobody_gives_expires_in_a_freeze_as_at_any_time(database: TestDatabase) {
        let bot = start(&database, TRADING).await;
        bot.say("U0ANN", "deploy v1.2").await;
        bot.until_card("✋ deploy v1.2").await;

        at(&bot, NIGHT_MS + 16 * 60_000).await;
        bot.until_card("was not approved in time").await;
        bot.until_quiet().await;

        assert!(bot.place.marks().is_empty());
        bot.finish().await;
    }

    async fn an_override_needs_another_lead_and_a_reason(database: TestDatabase) {
        let bot = start(&database, &refusing()).await;

        // Bob leads and operates; what he asks is another lead's to approve.
        let asked = bot.say("U0BOB", "deploy v1.2 --override-freeze the exchange asks for it").await;
        assert!(asked.contains("waits for approval"), "{asked}");
        let card = bot.until_card("✋ deploy v1.2").await;
        assert!(card.contains("⚠️ Overrides the freeze `trading-hours`, which needs the approval of `lead`: the exchange asks for it"), "{card}");
        assert!(!card.contains("❄️"), "{card}");
        let own = bot.click("U0BOB", "Approve").await;
        assert!(own.contains("You asked for this yourself"), "{own}");
        let ann = bot.click("U0ANN", "Approve").await;
        assert!(ann.contains("您没有 `lead` 角色"), "{ann}");
        assert!(bot.place.marks().is_empty());
        bot.click("U0CAT", "Approve").await;
        bot.until("it is deployed", |bot| bot.place.marks() == ["deployed v1.2: the exchange asks for it"]).await;
        bot.until_card("deploy v1.2 ✅ done").await;

        // What needs nobody's approval needs a lead's for this.
        bot.say("U0BOB", "quick —越过冻结 交易所要求").await;
        bot.until_card("✋ quick").await;
        let own = bot.click("U0BOB", "Approve").await;
        assert!(own.contains("You asked for this yourself"), "{own}");
        bot.click("U0CAT", "Approve").await;
        bot.until("it is done", |bot| bot.place.marks().len() == 2).await;
        bot.until_quiet().await;

        let journal = bot.journal().await;
        let overridden = journal.iter().filter(|(kind, ..)| kind == "freeze.overridden").collect::<Vec<_>>();
        assert_eq!(overridden.len(), 2);
        assert_eq!(overridden[0].1, "U0BOB");
        assert_eq!(overridden[0].2["freezes"], serde_json::json!(["trading-hours"]));
        assert_eq!(overridden[0].2["reason"], "the exchange asks for it");
        bot.finish().await;
    }

    async fn an_override_adds_its_role_to_the_approval_that_is_needed_anyway(database: TestDatabase) {
        let place = place(TRADING);
        let runbook = std::fs::read_to_string(place.runbook()).unwrap();
        let runbook = runbook.replace("approval: {from: lead, expires: 15m}", "approval: {from: dba, self: true, reuse: 1h, expires: 15m}");
        std::fs::write(place.runbook(), runbook.replace("  oncall:", "  dba: {members: [U0BOB, U0ANN]}\n  oncall:")).unwrap();
        let bot = Bot::in_workspace(&database, place, Options::default()).await;

        bot.say("U0BOB", "deploy v1.2 now --override-freeze").await;
        let card = bot.until_card("✋ deploy v1.2").await;
        assert!(card.contains("Waiting for `dba` / `lead` <@U0BOB> <@U0ANN> <@U0CAT>: 2 of these roles to approve"), "{card}");
        // Their own counts for a dba at any other time.
        let own = bot.click("U0BOB", "Approve").await;
        assert!(own.contains("You asked for this yourself"), "{own}");
        let one = bot.click("U0ANN", "Approve").await;
        assert!(one.contains("1/2") || one.contains("1 of 2"), "{one}");
        assert!(bot.place.marks().is_empty());
        bot.click("U0CAT", "Approve").await;
        bot.until("it is deployed", |bot| bot.place.marks().len() == 1).await;
        bot.until_card("deploy v1.2 ✅ done").await;
        // The next override of the same work is asked for anew.
        bot.say("U0BOB", "deploy v1.2 again --override-freeze").await;
        bot.until_card("✋ deploy v1.2").await;
        let run = bot.run_id();
        bot.say("U0BOB", &format!("cancel {run}")).await;
        bot.until_card("was cancelled").await;
        bot.finish().await;
    }

    async fn approvals_of_an_earlier_run_count_again_and_then_only_the_freeze_is_waited_for(database: TestDatabase) {
        let place = place(TRADING);
        let runbook = std::fs::read_to_string(place.runbook()).unwrap();
        std::fs::write(place.runbook(), runbook.replace("expires: 15m", "expires: 15m, reuse: 1h")).unwrap();
        let bot = Bot::in_workspace(&database, place, Options::default()).await;
        bot.say("U0ANN", "deploy v1.2 first").await;
        bot.until_card("✋ deploy v1.2").await;
        bot.click("U0BOB", "Approve").await;
        bot.until_card("waiting for a freeze to end").await;
        bot.say("U0BOB", &format!("cancel {}", bot.run_id())).await;
        bot.until_card("was cancelled").await;

        let again = bot.say("U0ANN", "deploy v1.2 second").await;
        assert!(again.contains("沿用之前对同一计划的批准。") && again.contains("结束后自动继续"), "{again}");
        bot.until_card("❄️ deploy v1.2 → production · waiting for a freeze to end").await;
        at(&bot, CLOSE_MS).await;
        bot.until("it goes on", |bot| bot.place.marks() == ["deployed v1.2: second"]).await;
        bot.until_quiet().await;

        is_at(&moments(&bot, "run.queued").await, CLOSE_MS);
        bot.finish().await;
    }

    async fn an_override_that_means_nothing_or_may_not_be_is_refused(database: TestDatabase) {
        let nobody = "  year-end:\n    summary: Year end\n    environments: [staging]\n    actions: [quick]\n    from: 2026-11-20 00:00\n    until: 2026-12-01 00:00\n    zone: Asia/Shanghai\n";
        let bot = start(&database, &format!("{TRADING}{nobody}")).await;
        let cases = [
            ("U0BOB", "deploy v1.2 --override-freeze", "`reason` is missing"),
            ("U0BOB", "deploy v1.2 --override-freeze env=staging now", "No freeze stops `deploy` in staging now"),
            ("U0BOB", "rollback v1.2 slow --override-freeze", "No freeze stops `rollback` in production now"),
            ("U0ANN", "deploy v1.2 --override-freeze 交易所 --emergency", "紧急操作不受冻结限制"),
            ("U0BOB", "quick env=staging now --override-freeze", "Nobody can override the freeze `year-end`"),
            ("U0BOB", "status --override-freeze", "--override-freeze"),
        ];
        for (user, typed, words) in cases {
            let answer = bot.say(user, typed).await;
            assert!(answer.contains(words), "{typed}: {answer}");
        }
        at(&bot, CLOSE_MS).await;
        let over = bot.say("U0BOB", "deploy v1.2 now --override-freeze").await;
        assert!(over.contains("No freeze stops `deploy` in production now, so nothing was done. Ask for it without `--override-freeze`"), "{over}");

        assert!(bot.place.marks().is_empty());
        assert_eq!(moments(&bot, "run.requested").await.len(), 0);
        bot.finish().await;
    }

    async fn freeze_plan_and_why_tell_what_is_frozen_until_when(database: TestDatabase) {
        let more = "  weekend:\n    summary: {zh: 周末, en: Weekend}\n    actions: [quick]\n    weekly: [fri 18:00 - mon 08:00]\n    zone: Europe/Berlin\n    then: refuse\n";
        let bot = start(&database, &format!("{TRADING}{more}")).await;

        let list = bot.say("U0BOB", "freeze").await;
        for words in [
            "🔴 In force, until ", "2026-11-24 07:00", "`trading-hours` Trading hours (mon-fri 09:15-15:00, Asia/Shanghai): waits for its end",
            "stops `deploy` `quick` in `production`.", "it needs the approval of `lead`.",
            "⚪ Next: ", "2026-11-27 17:00", "2026-11-30 07:00", "`weekend` Weekend (fri 18:00 - mon 08:00, Europe/Berlin): is refused",
            "stops `quick` in every environment. Nobody can override it.",
        ] {
            assert!(list.contains(words), "{words}: {list}");
        }
        let chinese = bot.say("U0ANN", "freeze").await;
        for words in ["🔴 冻结中，到 ", "`trading-hours` 交易时段（周一至周五 09:15-15:00，Asia/Shanghai）：等待其结束", "周五 18:00 至周一 08:00", "任何人都不能越过它。"] {
            assert!(chinese.contains(words), "{words}: {chinese}");
        }
        let plan = bot.say("U0BOB", "plan deploy v1.2 why not").await;
        assert!(plan.contains("❄️ `trading-hours` Trading hours (mon-fri 09:15-15:00, Asia/Shanghai): waits for its end"), "{plan}");
        assert!(plan.contains("production is frozen: `trading-hours` Trading hours, until ") && plan.contains("It would wait for that."), "{plan}");
        let why = bot.say("U0BOB", "why deploy v1.2 —override-freeze it must").await;
        assert!(why.contains("Then needs 1 approval(s) of `lead`") && !why.contains("is frozen"), "{why}");
        let why = bot.say("U0BOB", "why deploy v1.2").await;
        assert!(why.contains("production is frozen: `trading-hours`"), "{why}");
        let plan = bot.say("U0BOB", "plan deploy v1.2 --override-freeze it must").await;
        assert!(plan.contains("overrides the freeze `trading-hours`, needs `lead`"), "{plan}");
        let pressed = bot.click("U0BOB", "Ask for this plan").await;
        assert!(pressed.contains("waits for approval"), "{pressed}");
        bot.until_card("⚠️ Overrides the freeze").await;
        bot.click("U0BOB", "Cancel").await;
        bot.until_card("was cancelled").await;
        let help = bot.say("U0BOB", "help freeze").await;
        assert!(help.contains("which are in force"), "{help}");
        bot.finish().await;
    }

    async fn a_runbook_that_adds_a_freeze_voids_what_waits(database: TestDatabase) {
        let bot = start(&database, "").await;
        bot.say("U0ANN", "deploy v1.2").await;
        bot.until_card("✋ deploy v1.2").await;
        let run = bot.run_id();
        let none = bot.say("U0BOB", "freeze").await;
        assert!(none.contains("The runbook defines no `freezes`"), "{none}");
        let text = std::fs::read_to_string(bot.place.runbook()).unwrap();
        std::fs::write(bot.place.runbook(), format!("{text}{TRADING}")).unwrap();
        bot.reload.wanted.notify_one();
        bot.until("it is reread", |bot| bot.everything().contains("A new runbook is in force")).await;

        let void = bot.click("U0BOB", "Approve").await;
        assert!(void.contains("the freezes that it is subject to are others now"), "{void}");
        // And one that takes it away again, of a run that was asked for under it.
        bot.say("U0BOB", &format!("cancel {run}")).await;
        bot.say("U0ANN", "deploy v1.1 --override-freeze 交易所").await;
        bot.until_card("✋ deploy v1.1").await;
        let run = bot.run_id();
        std::fs::write(bot.place.runbook(), text).unwrap();
        bot.reload.wanted.notify_one();
        bot.until("it is reread", |bot| bot.everything().matches("A new runbook is in force").count() == 2).await;
        let void = bot.click("U0BOB", "Approve").await;
        assert!(void.contains("What you were shown does not hold any more"), "{void}");

        assert!(bot.place.marks().is_empty());
        bot.say("U0BOB", &format!("cancel {run}")).await;
        bot.finish().await;
    }

    async fn a_freeze_ends_by_the_clocks_of_its_zone_on_the_day_on_which_they_change(database: TestDatabase) {
        let window = TRADING.replace("mon-fri 09:15-15:00", "sun 00:30-02:30").replace("Asia/Shanghai", "Europe/Berlin");
        let bot = start(&database, &window).await;
        // 00:45 in Berlin on 28 March 2027, when 02:00 is followed by 03:00: an hour and a quarter are left.
        let gap_ms = 1_806_195_600_000;
        at(&bot, gap_ms - 75 * 60_000).await;

        bot.say("U0BOB", "quick").await;
        let card = bot.until_card("❄️ quick → production · waiting for a freeze to end").await;
        assert!(card.contains("2027-03-28 01:00"), "{card}");
        at(&bot, gap_ms - 1).await;
        bot.until("it goes on", |bot| bot.place.marks() == ["quick"]).await;
        bot.until_quiet().await;

        is_at(&moments(&bot, "run.queued").await, gap_ms);
        bot.finish().await;
    }
}

#[test]
fn two_bots_queue_what_waited_for_a_freeze_once() {
    run(Database::Postgres, |database: TestDatabase| async move {
        let bot = start(&database, TRADING).await;
        let (stop, second) = bot.second().await;
        for _ in 0..3 {
            bot.say("U0BOB", "quick").await;
        }
        bot.until_card("waiting for a freeze to end").await;

        at(&bot, CLOSE_MS).await;
        bot.until("each is done", |bot| bot.place.marks().len() == 3).await;
        bot.until_quiet().await;

        assert_eq!(bot.place.marks(), ["quick", "quick", "quick"]);
        assert_eq!(moments(&bot, "run.queued").await.len(), 3);
        let thread = bot.thread().join("\n");
        assert_eq!(thread.matches("The freeze is over").count(), 3, "{thread}");
        stop.cancel();
        second.await.unwrap().unwrap();
        bot.finish().await;
    });
}
