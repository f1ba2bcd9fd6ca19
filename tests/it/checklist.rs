//! Checklists: a run begins when programs and people have found every item in order, and not before.

use crate::harness::bot::{Bot, shown};
use crate::harness::database::{Engine, both_engines, run};
use crate::harness::place::Place;
use crate::releases::ended;
use neostock_ops::core::id::RunId;
use neostock_ops::sandbox::Options;

/// A deploy to production behind an approval and a checklist of two checks and two ticks; staging without
/// either; and a list that is all there is to do. A check ends as the file of its name says.
const ACTIONS: &str = r#"
  deploy:
    summary: {zh: 部署, en: Deploy}
    role: operator
    approval: {from: lead, expires: 15m}
    checklist: production
    rules:
      - {when: {environment: staging}, approval: none, checklist: none}
    makes_live: version
    parameters:
      version: {type: git_ref, required: true}
      reason: {type: text}
    steps:
      - {name: {zh: 部署, en: Deploy}, run: [sh, -c, "echo deployed $1 >> $MARKS", sh, "{version}"], timeout: 20s}
  recover:
    summary: {zh: 灾难恢复, en: Recover from a disaster}
    role: operator
    lock: none
    checklist: recovery
checklists:
  production:
    title: {zh: 生产部署检查清单, en: Production checklist}
    items:
      - {name: {zh: 测试, en: Tests pass}, run: [sh, -c, "echo tests >> $MARKS.checks; echo tested $1 after $2; exit $(cat $MARKS.tests 2>/dev/null || echo 0)", sh, "{version}", "[{live_version}]"], timeout: 20s}
      - {name: {zh: 扫描, en: No high vulnerability}, run: [sh, -c, "echo scan >> $MARKS.checks; sleep $(cat $MARKS.slow 2>/dev/null || echo 0); echo scanned; exit $(cat $MARKS.scan 2>/dev/null || echo 0)"], timeout: 20s}
      - {name: {zh: 回滚演练, en: The way back is rehearsed}, tick: operator}
      - {name: {zh: 有人值守, en: Somebody watches}, tick: lead, self: false}
  recovery:
    title: {zh: 灾难恢复检查清单, en: Disaster recovery}
    expires: 1h
    items:
      - {name: {zh: 识别故障范围和影响, en: What is hit is known}, tick: operator}
      - {name: {zh: 通知用户, en: Users are told}, tick: operator}
emergency: {role: operator, actions: [deploy], review: lead}
"#;

/// Holds production until it is let go.
const HOLD: &str = r#"
  hold:
    summary: hold
    role: operator
    steps:
      - {name: Hold, run: [sh, -c, "until test -e $MARKS.go; do sleep 0.05; done"], timeout: 20s}
"#;

const MINUTE_MS: u64 = 60_000;

/// How a check ends from now on.
fn set(bot: &Bot, check: &str, word: &str) {
    std::fs::write(format!("{}.{check}", bot.place.marks_file().display()), word).unwrap();
}

/// Every check that was begun, in order.
fn checked(bot: &Bot) -> Vec<String> {
    let file = format!("{}.checks", bot.place.marks_file().display());
    let text = std::fs::read_to_string(file).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

async fn count(bot: &Bot, kind: &str) -> usize {
    bot.journal_kinds().await.iter().filter(|found| *found == kind).count()
}

async fn refusals(bot: &Bot) -> Vec<String> {
    let journal = bot.journal().await;
    let refused = journal.into_iter().filter(|(kind, ..)| kind == "checklist.refused");
    refused.map(|(.., detail)| detail["why"].as_str().unwrap().to_owned()).collect()
}

/// The checks of the newest card's run.
fn checks(bot: &Bot, number: i64) -> RunId {
    neostock_ops::core::checklist::checks_of(&RunId::parse(&bot.run_id()).unwrap(), number)
}

/// Every message of the bot outside threads.
fn cards(bot: &Bot) -> usize {
    let all = bot.workspace.messages("C0OPS");
    all.iter().filter(|message| message.thread_ts.is_none() && message.is_bot).count()
}

both_engines! {
    async fn a_run_begins_when_people_and_programs_have_found_everything_in_order(database: TestDatabase) {
        let bot = Bot::start(&database, ACTIONS).await;

        let answer = bot.say("U0BOB", "deploy v1.1 the new quotes").await;
        assert!(answer.contains("waits for approval and its checklist"), "{answer}");
        let card = bot.until_card("Production checklist 2/4").await;
        assert!(card.contains("✅ 1. Tests pass — tested v1.1 after []"), "{card}");
        assert!(card.contains("✅ 2. No high vulnerability — scanned"), "{card}");
        assert!(card.contains("⬜ 3. The way back is rehearsed — for `operator`"), "{card}");
        assert!(card.contains("to tick off, not whoever asks"), "{card}");
        let own = bot.click("U0BOB", "☑ 4. Somebody watches").await;
        assert!(own.contains("is yours: somebody else has to tick that item off"), "{own}");
        let stranger = bot.say("U0CAT", &format!("tick {} 3", bot.run_id())).await;
        assert!(stranger.contains("您没有 `operator` 角色"), "{stranger}");
        let ticked = bot.click("U0ANN", "☑ 3. The way back is rehearsed").await;
        assert!(ticked.contains("3. 回滚演练：已确认"), "{ticked}");
        let by_program = bot.say("U0ANN", &format!("tick {} 1", bot.run_id())).await;
        assert!(by_program.contains("这一项由程序检查"), "{by_program}");
        let beyond = bot.say("U0ANN", &format!("tick {} 5", bot.run_id())).await;
        assert!(beyond.contains("清单有 1 到 4 项"), "{beyond}");
        bot.until_card("Production checklist 3/4").await;
        assert_eq!(bot.buttons(), ["☑ 4. Somebody watches", "Approve", "Reject", "Details", "Cancel"]);
        assert!(bot.place.marks().is_empty());
        assert_eq!(count(&bot, "run.queued").await, 1, "the checks alone were queued");
        assert_eq!(refusals(&bot).await, ["own_request", "checked_by_a_program", "no_such_item"]);
        // One card: the checks have none of their own.
        assert_eq!(cards(&bot), 1);

        bot.end_waiting().await;
    }

    async fn the_last_gate_that_opens_queues_it_whichever_that_is(database: TestDatabase) {
        let bot = Bot::start(&database, ACTIONS).await;
        bot.say("U0ANN", "deploy v1.1").await;
        bot.until_card("Production checklist 2/4").await;
        bot.say("U0ANN", &format!("tick {} 3 rehearsed at noon", bot.run_id())).await;
        let approved = bot.click("U0BOB", "Approve").await;
        assert!(approved.contains("it still waits for its other gates"), "{approved}");
        let card = bot.until_card("waiting for its checklist").await;
        assert!(card.contains("rehearsed at noon"), "{card}");
        assert_eq!(bot.buttons(), ["☑ 4. Somebody watches", "Reject", "Details", "Cancel"]);
        bot.click("U0BOB", "☑ 4. Somebody watches").await;
        ended(&bot, 1).await;
        assert_eq!(bot.place.marks(), ["deployed v1.1"]);

        // The other way round, with what is live known to the checks.
        bot.say("U0ANN", "deploy v1.2").await;
        let card = bot.until_card("Production checklist 2/4").await;
        assert!(card.contains("tested v1.2 after [v1.1]"), "{card}");
        bot.say("U0ANN", &format!("tick {} 3", bot.run_id())).await;
        bot.say("U0BOB", &format!("tick {} 4", bot.run_id())).await;
        bot.until_card("Production checklist 4/4").await;
        let twice = bot.say("U0BOB", &format!("tick {} 4", bot.run_id())).await;
        assert!(twice.contains("ticked off already"), "{twice}");
        assert_eq!(bot.place.marks().len(), 1);
        let approved = bot.click("U0BOB", "Approve").await;
        assert!(approved.contains("approved by you; it is queued now"), "{approved}");
        ended(&bot, 2).await;
        let late = bot.say("U0BOB", &format!("tick {} 4", bot.run_id())).await;
        assert!(late.contains("too late, nothing was changed"), "{late}");

        // Without either where a rule says so.
        let staging = bot.say("U0ANN", "deploy v1.3 env=staging").await;
        assert!(staging.contains("已接受"), "{staging}");
        ended(&bot, 3).await;
        assert_eq!(checked(&bot), ["tests", "scan", "tests", "scan"]);
        assert_eq!(count(&bot, "checklist.ticked").await, 4);
        bot.finish().await;
    }

    async fn what_is_wanting_or_could_not_be_checked_blocks_until_it_is_checked_again(database: TestDatabase) {
        let bot = Bot::start(&database, ACTIONS).await;
        set(&bot, "tests", "1");
        set(&bot, "scan", "69");

        bot.say("U0ANN", "deploy v1.1").await;
        let card = bot.until_card("Check again").await;
        assert!(card.contains("❌ 1. Tests pass — not passed: tested v1.1 after []"), "{card}");
        assert!(card.contains("⚠️ 2. No high vulnerability — could not be checked, exit code 69: scanned"), "{card}");
        assert!(card.contains("⛔ 2 not in order: the run does not begin"), "{card}");
        bot.say("U0ANN", &format!("tick {} 3", bot.run_id())).await;
        bot.say("U0BOB", &format!("tick {} 4", bot.run_id())).await;
        bot.click("U0BOB", "Approve").await;
        bot.until_card("Production checklist 2/4").await;
        // What they printed stands in the thread.
        bot.until_quiet().await;
        let thread = bot.thread().join("\n");
        assert!(thread.contains("tested v1.1") && thread.contains("scanned"), "{thread}");

        set(&bot, "tests", "0");
        set(&bot, "slow", "2");
        let again = bot.click("U0ANN", "🔁 Check again").await;
        assert!(again.contains("正在重新检查"), "{again}");
        bot.until("the scan goes on", |bot| checked(bot).len() == 4).await;
        let meanwhile = bot.say("U0BOB", &format!("recheck {}", bot.run_id())).await;
        assert!(meanwhile.contains("is being checked right now"), "{meanwhile}");
        bot.until_card("⛔ 1 not in order").await;
        assert!(bot.place.marks().is_empty());
        set(&bot, "scan", "0");
        set(&bot, "slow", "0");
        bot.click("U0BOB", "🔁 Check again").await;
        ended(&bot, 1).await;

        assert_eq!(bot.place.marks(), ["deployed v1.1"]);
        let expected = ["tests", "scan"].repeat(3);
        assert_eq!(checked(&bot), expected);
        assert_eq!(count(&bot, "checklist.begun").await, 3);
        let run = bot.run_id();
        let passed = bot.say("U0BOB", &format!("recheck {run}")).await;
        assert!(passed.contains("too late"), "{passed}");
        bot.finish().await;
    }

    async fn a_run_that_is_rejected_ends_its_checks_and_one_that_is_cancelled_too(database: TestDatabase) {
        let bot = Bot::start(&database, ACTIONS).await;
        set(&bot, "slow", "3");
        bot.say("U0ANN", "deploy v1.1").await;
        bot.until("the scan goes on", |bot| checked(bot).len() == 2).await;
        bot.rejects("U0BOB", "not today").await;
        bot.until_card("was rejected").await;
        let of_rejected = checks(&bot, 1);
        bot.until_run(&of_rejected, "succeeded").await;

        // Between two checks nobody waits any more.
        set(&bot, "tests", "1");
        bot.say("U0ANN", "deploy v1.2").await;
        bot.until_card("Tests pass — not passed").await;
        bot.until_card("🔄 2. No high vulnerability — being checked").await;
        bot.click("U0ANN", "Cancel").await;
        bot.until_card("was cancelled").await;
        let of_cancelled = checks(&bot, 1);
        bot.until_run(&of_cancelled, "failed").await;
        let late = bot.say("U0ANN", &format!("tick {} 3", bot.run_id())).await;
        assert!(late.contains("来不及了"), "{late}");
        assert!(bot.place.marks().is_empty());
        bot.finish().await;
    }

    async fn a_list_alone_is_done_when_everything_is_ticked_off_and_expires_otherwise(database: TestDatabase) {
        let bot = Bot::start(&database, ACTIONS).await;

        let answer = bot.say("U0ANN", "recover").await;
        assert!(answer.contains("等待检查清单，通过后执行"), "{answer}");
        bot.until_card("Disaster recovery 0/2").await;
        bot.click("U0ANN", "☑ 1. What is hit is known").await;
        bot.until_card("Disaster recovery 1/2").await;
        bot.click("U0BOB", "☑ 2. Users are told").await;
        let card = bot.until_card("recover ✅ done").await;
        assert!(card.contains("✅ 2. Users are told — "), "{card}");
        assert_eq!(bot.buttons(), Vec::<String>::new());

        bot.say("U0ANN", "recover").await;
        bot.until_card("Disaster recovery 0/2").await;
        bot.advance_ms(61 * MINUTE_MS);
        bot.until_card("was not approved and in order in time").await;
        bot.finish().await;
    }

    async fn an_emergency_does_without_and_a_plan_shows_every_item(database: TestDatabase) {
        let bot = Bot::start(&database, ACTIONS).await;

        let plan = bot.say("U0BOB", "plan deploy v1.1").await;
        for words in [
            "checklist: Production checklist, 4 items, within 2h",
            "3. The way back is rehearsed — for `operator`",
            "Checked first:",
            "1. sh -c \"echo tests",
        ] {
            assert!(plan.contains(words), "{words}: {plan}");
        }
        let nothing = bot.say("U0BOB", "recheck R-00000000").await;
        assert!(nothing.contains("There is no run"), "{nothing}");
        let answer = bot.say("U0BOB", "deploy v1.1 everything burns --emergency").await;
        assert!(answer.contains("goes ahead as an emergency without approval and checklist"), "{answer}");
        ended(&bot, 1).await;
        let card = bot.card();
        assert!(card.contains("done without approval and checklist"), "{card}");
        assert_eq!(checked(&bot), Vec::<String>::new());
        let run = bot.run_id();
        let none = bot.say("U0BOB", &format!("recheck {run}")).await;
        assert!(none.contains("has no checklist"), "{none}");
        bot.finish().await;
    }

    async fn who_ticked_an_item_off_holds_its_role_still_when_the_turn_comes(database: TestDatabase) {
        let place = Place::new(&format!("{HOLD}{ACTIONS}"));
        let runbook = std::fs::read_to_string(place.runbook()).unwrap();
        let runbook = runbook.replace("lead: {members: [U0BOB]}", "lead: {members: [U0BOB, U0CAT]}");
        std::fs::write(place.runbook(), runbook).unwrap();
        let bot = Bot::in_workspace(&database, place, Options::default()).await;
        bot.say("U0BOB", "hold").await;
        bot.until_card("running").await;
        bot.say("U0BOB", "deploy v1.1").await;
        bot.until_card("Production checklist 2/4").await;
        bot.say("U0ANN", &format!("tick {} 3", bot.run_id())).await;
        bot.say("U0CAT", &format!("tick {} 4", bot.run_id())).await;
        bot.say("U0CAT", &format!("approve {}", bot.run_id())).await;
        bot.until_card("queued").await;

        bot.workspace.set_group("S0OPS", &["U0BOB"]);
        bot.advance_ms(2 * MINUTE_MS);
        set(&bot, "go", "");
        let card = bot.until_card("waiting for its checklist").await;
        assert!(card.contains("⬜ 3. The way back is rehearsed"), "{card}");
        assert!(card.contains("✅ 4. Somebody watches"), "{card}");
        bot.until_quiet().await;
        let thread = bot.thread().join("\n");
        assert!(thread.contains("had approved or ticked off held no more"), "{thread}");
        assert!(bot.place.marks().is_empty());
        bot.say("U0BOB", &format!("tick {} 3", bot.run_id())).await;
        ended(&bot, 1).await;

        assert_eq!(checked(&bot), ["tests", "scan"], "what was checked is still so");
        bot.finish().await;
    }

    async fn what_was_found_too_long_ago_is_looked_at_anew_when_the_turn_comes(database: TestDatabase) {
        let bot = Bot::start(&database, &format!("{HOLD}{}", ACTIONS.replace(
            "    title: {zh: 生产部署检查清单, en: Production checklist}\n",
            "    title: {zh: 生产部署检查清单, en: Production checklist}\n    valid: 2h\n",
        ))).await;
        bot.say("U0BOB", "hold").await;
        bot.until_card("running").await;
        bot.say("U0ANN", "deploy v1.1").await;
        bot.until_card("Production checklist 2/4").await;
        bot.say("U0ANN", &format!("tick {} 3", bot.run_id())).await;
        bot.advance_ms(90 * MINUTE_MS);
        bot.say("U0BOB", &format!("tick {} 4", bot.run_id())).await;
        bot.click("U0BOB", "Approve").await;
        bot.until_card("queued").await;

        bot.advance_ms(45 * MINUTE_MS);
        set(&bot, "go", "");
        // Checks and one tick are older than two hours; the other tick and the approval are not.
        let card = bot.until_card("Production checklist 3/4").await;
        assert!(card.contains("⬜ 3. The way back is rehearsed"), "{card}");
        assert!(card.contains("waiting for its checklist"), "{card}");
        assert_eq!(checked(&bot), ["tests", "scan", "tests", "scan"]);
        bot.until_quiet().await;
        let thread = bot.thread().join("\n");
        assert!(thread.contains("some of its checklist was older than 2h"), "{thread}");
        bot.say("U0ANN", &format!("tick {} 3", bot.run_id())).await;
        ended(&bot, 1).await;

        assert_eq!(count(&bot, "run.gate_voided").await, 1);
        assert_eq!(bot.place.marks(), ["deployed v1.1"]);
        bot.finish().await;
    }

    async fn a_bot_that_dies_while_it_checks_goes_on_where_it_was(database: TestDatabase) {
        let mut bot = Bot::start(&database, ACTIONS).await;
        set(&bot, "slow", "2");
        bot.say("U0ANN", "deploy v1.1").await;
        bot.until("the scan goes on", |bot| checked(bot).len() == 2).await;

        bot.abort().await;
        bot.begin().await;

        bot.until_card("Production checklist 2/4").await;
        assert_eq!(checked(&bot), ["tests", "scan"]);
        bot.end_waiting().await;
    }
}

#[test]
fn of_several_bots_one_begins_what_the_checks_of_another_let_through() {
    run(Engine::Postgres, |database| async move {
        let bot = Bot::start(&database, ACTIONS).await;
        let (stop, second) = bot.second().await;
        for round in 1..=4 {
            // Now this one, now the other, claims the checks; both look for opened gates.
            bot.say("U0ANN", &format!("deploy v1.{} round {round}", round % 3)).await;
            bot.until_card("Production checklist 2/4").await;
            let id = bot.run_id();
            bot.say("U0ANN", &format!("tick {id} 3")).await;
            bot.say("U0BOB", &format!("approve {id}")).await;
            // The last gate, pressed twice.
            for _ in 0..2 {
                bot.say("U0BOB", &format!("tick {id} 4")).await;
            }
            ended(&bot, round).await;
        }

        assert_eq!(bot.place.marks().len(), 4);
        assert_eq!(checked(&bot).len(), 8);
        let queued = count(&bot, "run.queued").await;
        assert_eq!(queued, 8, "four runs and their checks");
        assert_eq!(refusals(&bot).await.len(), 4, "{:?}", refusals(&bot).await);
        stop.cancel();
        second.await.unwrap().unwrap();
        bot.finish().await;
    });
}

impl Bot {
    /// Waits until a run that has no card of its own stands so.
    async fn until_run(&self, run: &RunId, state: &str) {
        let words = format!("show {run}");
        let looks = crate::harness::looks::Looks::within(std::time::Duration::from_secs(40));
        loop {
            let store = self.inspect().await;
            let mut reader = store.read().await.unwrap();
            let row = neostock_ops::store::runs::run(&mut reader, run.as_str()).await.unwrap();
            drop(reader);
            store.close().await;
            let found = row.unwrap().state;
            if found == state {
                return;
            }
            self.advance_ms(100);
            looks.again(|| format!("{words} is {found}")).await;
        }
    }

    /// Ends a test whose run still waits.
    async fn end_waiting(self) {
        self.say("U0BOB", &format!("cancel {}", self.run_id())).await;
        self.until_card("was cancelled").await;
        assert!(self.place.marks().is_empty());
        let all = self.workspace.messages("C0OPS");
        assert!(all.iter().any(|message| shown(message).contains("was cancelled")));
        self.finish().await;
    }
}
