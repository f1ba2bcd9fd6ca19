//! A run that needs attention: buttons that ask why, reminders until somebody decides, and the lock that a
//! lead takes over.

use crate::harness::bot::Bot;
use crate::harness::database::both_engines;
use crate::settle::{kill, supervisors};

/// A step that hangs until `go` appears, one after it, and cleanup.
const ACTIONS: &str = r#"
  hang:
    summary: hang
    role: operator
    parameters:
      reason: {type: text, default: routine}
    steps:
      - {name: Hang, run: [sh, -c, "echo hang >> $MARKS; while ! [ -e go ]; do sleep 0.05; done"], timeout: 60s}
      - {name: After, run: [sh, -c, "echo after >> $MARKS"], timeout: 20s}
      - {name: Clean, run: [sh, -c, "echo clean >> $MARKS"], always: true, timeout: 20s}
  linger:
    summary: linger
    role: operator
    steps:
      - {name: Linger, run: [sh, -c, "echo hang >> $MARKS; setsid sleep 300 & echo $! > survivor; while ! [ -e go ]; do sleep 0.05; done"], timeout: 60s}
  quick:
    summary: quick
    role: operator
    steps:
      - {name: Quick, run: [sh, -c, "echo quick >> $MARKS"], timeout: 20s}
"#;

async fn lose(bot: &Bot, action: &str, marks: usize) -> String {
    if marks == 1 {
        bot.say("U0BOB", action).await;
    }
    lose_running(bot, marks).await
}

/// Kills the supervisor of a step that hangs.
async fn lose_running(bot: &Bot, marks: usize) -> String {
    bot.until("the step hangs", |bot| {
        bot.place.marks().len() == marks && supervisors(bot).len() == 1
    })
    .await;
    bot.until_card(" — running").await;
    kill(supervisors(bot)[0]);
    bot.until_card("a step's outcome is unknown").await;
    bot.until_quiet().await;
    bot.run_id()
}

fn said_to(bot: &Bot, user: &str) -> String {
    let all = bot.workspace.ephemerals(user);
    all.last().map_or_else(String::new, crate::harness::bot::shown)
}

async fn count(bot: &Bot, kind: &str) -> usize {
    bot.journal_kinds().await.iter().filter(|found| *found == kind).count()
}

both_engines! {
    async fn a_button_asks_why_and_only_one_answer_counts(database: TestDatabase) {
        let bot = Bot::start(&database, ACTIONS).await;
        lose(&bot, "hang", 1).await;
        assert_eq!(bot.buttons(), ["Succeeded", "Failed", "Run again"]);

        assert_eq!(bot.opens("U0CAT", "Succeeded").await, None, "somebody without the role got a form");
        assert!(said_to(&bot, "U0CAT").contains("operator"));
        let bobs = bot.opens("U0BOB", "Succeeded").await.unwrap();
        let anns = bot.opens("U0ANN", "Failed").await.unwrap();
        let view = bot.workspace.views().into_iter().find(|view| view.id == bobs).unwrap();
        let words = view.view["blocks"][0]["text"]["text"].as_str().unwrap().to_owned();
        assert!(words.contains("step 1 “Hang”, attempt 1"), "{words}");
        let empty = bot.submits("U0BOB", &bobs, "  ").await;
        assert!(empty.contains("Say why"), "{empty}");
        assert_eq!(bot.submits("U0BOB", &bobs, "I looked: it was done").await, "");
        let late = bot.submits("U0ANN", &anns, "没有做成").await;
        assert!(late.contains("没有等待决定"), "{late}");
        bot.until_card("hang ✅ done").await;

        assert_eq!(bot.place.marks(), ["hang", "after", "clean"]);
        let journal = bot.journal().await;
        let (_, actor, detail) = journal.iter().find(|(kind, ..)| kind == "step.settled_ok").unwrap();
        assert_eq!((actor.as_str(), detail["more"]["reason"].as_str()), ("U0BOB", Some("I looked: it was done")));
        assert_eq!(journal.iter().filter(|(kind, ..)| kind == "settle.refused").count(), 1);
        bot.finish().await;
    }

    async fn a_form_about_an_earlier_attempt_does_not_count(database: TestDatabase) {
        let bot = Bot::start(&database, ACTIONS).await;
        let run = lose(&bot, "hang", 1).await;
        let old = bot.opens("U0BOB", "Succeeded").await.unwrap();
        bot.say("U0BOB", &format!("settle {run} again nothing was changed")).await;
        lose(&bot, "hang", 2).await;

        let late = bot.submits("U0BOB", &old, "I looked").await;

        assert!(late.contains("this was about attempt 1 of step 1"), "{late}");
        assert!(late.contains("attempt 2 of step 1"), "{late}");
        assert!(bot.card().contains("a step's outcome is unknown"));
        let new = bot.opens("U0BOB", "Failed").await.unwrap();
        bot.workspace.set_group("S0OPS", &["U0ANN"]);
        bot.advance_ms(61_000);
        let lost_role = bot.submits("U0BOB", &new, "it was cut off").await;
        assert!(lost_role.contains("operator"), "the role is asked again: {lost_role}");
        bot.workspace.set_group("S0OPS", &["U0ANN", "U0BOB"]);
        bot.advance_ms(61_000);
        assert_eq!(bot.submits("U0BOB", &new, "it was cut off").await, "");
        bot.until_card("somebody must act now").await;
        assert_eq!(bot.place.marks(), ["hang", "hang", "clean"]);
        bot.finish().await;
    }

    async fn people_are_reminded_until_somebody_decides(database: TestDatabase) {
        let bot = Bot::start(&database, ACTIONS).await;
        let run = lose(&bot, "hang", 1).await;
        let (stop, task) = bot.second().await;
        let lost_ms = bot.clock.now_ms();
        let reminders = |bot: &Bot| bot.thread().join("\n").matches("for somebody to decide").count();
        for (minutes, expected) in [(6, 1), (16, 2), (31, 3), (91, 4)] {
            let due_ms = lost_ms + minutes * 60_000;
            bot.advance_ms(u64::try_from(due_ms - bot.clock.now_ms()).unwrap());
            bot.until(&format!("reminder {expected}"), |bot| reminders(bot) == expected).await;
        }
        bot.until_quiet().await;
        assert_eq!(reminders(&bot), 4, "two bots reminded twice: {:?}", bot.thread());
        assert!(bot.thread().join("\n").contains("production stays locked"));
        assert_eq!(count(&bot, "run.reminded").await, 4);

        bot.say("U0BOB", &format!("settle {run} failed it was cut off")).await;
        bot.until_card("somebody must act now").await;
        bot.advance_ms(2 * 3_600_000);
        let seen = bot.clock.now_ms();
        bot.until("the loops look again", |bot| bot.clock.now_ms() > seen + 5_000).await;
        bot.until_quiet().await;

        assert_eq!(count(&bot, "run.reminded").await, 4, "somebody was reminded of what is settled");
        stop.cancel();
        task.await.unwrap().unwrap();
        bot.finish().await;
    }

    async fn a_lead_takes_a_lock_over_and_the_run_goes_no_further(database: TestDatabase) {
        let bot = Bot::start(&database, ACTIONS).await;
        let none = bot.say("U0BOB", "unlock production because").await;
        assert!(none.contains("production is not locked"), "{none}");
        bot.say("U0BOB", "hang load test").await;
        bot.until_card("Hang — running").await;
        let running = bot.say("U0BOB", "unlock production I am in a hurry").await;
        assert!(running.contains("Cancel it first") && running.contains("Hang"), "{running}");
        let run = lose_running(&bot, 1).await;
        bot.say("U0BOB", "quick").await;
        bot.until_card("waits for somebody to decide").await;
        let denied = bot.say("U0ANN", "unlock production 我着急").await;
        assert!(denied.contains("lead"), "{denied}");
        let silent = bot.say("U0BOB", "unlock production").await;
        assert!(silent.contains("reason"), "{silent}");

        let taken = bot.say("U0BOB", "unlock production the host is gone").await;
        assert!(taken.contains("is taken over; the next run can begin") && taken.contains(&run), "{taken}");
        bot.until_card("quick ✅ done").await;
        let twice = bot.say("U0BOB", "unlock production once more").await;
        assert!(twice.contains("is not locked"), "{twice}");
        let shown = bot.say("U0BOB", &format!("show {run}")).await;
        assert!(shown.contains("<@U0BOB> took the lock of production over: the host is gone"), "{shown}");
        let again = bot.say("U0BOB", &format!("settle {run} again please")).await;
        assert!(again.contains("has lost its lock to a takeover"), "{again}");
        bot.say("U0BOB", &format!("settle {run} ok it was done")).await;
        bot.until_quiet().await;
        let ended = bot.say("U0BOB", &format!("show {run}")).await;

        assert!(ended.contains("failed"), "{ended}");
        assert_eq!(bot.place.marks(), ["hang", "quick"], "a step ran without the lock");
        assert_eq!(count(&bot, "lock.taken_over").await, 1);
        assert_eq!(count(&bot, "lock.refused").await, 3);
        let thread = bot.thread().join("\n");
        assert!(thread.contains("took the lock of production over: the host is gone"), "{thread}");
        bot.finish().await;
    }

    async fn a_lock_is_not_taken_over_while_processes_of_the_step_live(database: TestDatabase) {
        let bot = Bot::start(&database, ACTIONS).await;
        let run = lose(&bot, "linger", 1).await;
        assert_eq!(bot.buttons(), ["Succeeded", "Failed", "Run again", "Stop"]);
        let refused = bot.say("U0BOB", "unlock production hurry").await;
        assert!(refused.contains("Stop them first"), "{refused}");

        let form = bot.opens("U0BOB", "Stop").await.unwrap();
        assert_eq!(bot.submits("U0BOB", &form, "it must not go on").await, "");
        bot.until("the button goes", |bot| bot.buttons() == ["Succeeded", "Failed", "Run again"]).await;
        let taken = bot.say("U0BOB", "unlock production hurry").await;
        assert!(taken.contains("taken over"), "{taken}");
        bot.say("U0BOB", &format!("settle {run} failed gone")).await;
        bot.until_card("somebody must act now").await;
        bot.finish().await;
    }

    async fn a_settlement_and_a_takeover_at_the_same_moment_exclude_each_other(database: TestDatabase) {
        let bot = Bot::start(&database, ACTIONS).await;
        let run = lose(&bot, "hang", 1).await;
        std::fs::write(bot.place.repo().join("go"), "").unwrap();
        let settle = format!("settle {run} again it is fine");
        let (settled, taken, other) = tokio::join!(
            bot.say("U0BOB", &settle),
            bot.say("U0BOB", "unlock production at once"),
            bot.say("U0BOB", "unlock production me too"),
        );
        let takeovers = count(&bot, "lock.taken_over").await;
        let is_settled = settled.contains("The step is done again");

        assert!(takeovers <= 1, "two took it: {taken} / {other}");
        assert!(is_settled != (takeovers == 1), "{settled} / {taken} / {other}");
        if is_settled {
            bot.until_card("hang ✅ done").await;
            assert_eq!(bot.place.marks(), ["hang", "hang", "after", "clean"]);
        } else {
            bot.say("U0BOB", &format!("settle {run} failed it is over")).await;
            bot.until_card("somebody must act now").await;
            assert_eq!(bot.place.marks(), ["hang"]);
        }
        bot.finish().await;
    }
}
