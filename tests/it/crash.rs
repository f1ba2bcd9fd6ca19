//! kill -9, anywhere: the next start tells the truth and does nothing twice.

use crate::harness::bot::shown;
use crate::harness::database::{Engine, TestDatabase, both_engines};
use crate::harness::place::ROLLBACK;
use crate::harness::process::Process;
use neostock_ops::audit;
use neostock_ops::clock::Clock;
use neostock_ops::core::text::Lang;
use neostock_ops::store::Store;
use neostock_ops::store::runs::open_runs;
use secrecy::SecretString;
use tokio::task::JoinSet;

/// Scenarios under way at once: they mostly wait.
const AT_ONCE: usize = 6;
/// A sweep that finds no end has found a fault.
const WRITES_MAX: usize = 120;

async fn inspect(url: &str) -> Store {
    Store::inspect(url, Clock::System, None::<SecretString>).await.unwrap()
}

async fn has_run(url: &str) -> bool {
    let store = inspect(url).await;
    let mut reader = store.read().await.unwrap();
    let open = !open_runs(&mut reader, 5).await.unwrap().is_empty();
    let ended =
        neostock_ops::store::runs::last_ended(&mut reader, "production").await.unwrap().is_some();
    drop(reader);
    store.close().await;
    open || ended
}

/// One run with one death at `fault`; whether the bot died of it.
async fn one_death(engine: Engine, fault: String) -> bool {
    let fault = fault.as_str();
    let database = TestDatabase::new(engine).await;
    let gated =
        ROLLBACK.replace("    role: operator", "    role: operator\n    approval: {from: lead}");
    let mut bot = Process::new(&database.url, &gated).await;

    let is_up = bot.start(Some(fault)).await;
    if is_up {
        bot.workspace.say("U0ANN", "C0OPS", "rollback v1.2 why").await;
        approve(&mut bot).await;
        bot.until("the run ends or the bot dies", |bot| bot.has_died() || is_told(bot)).await;
        // What comes after the last message is a write too.
        if !bot.has_died() {
            let settled = std::time::Instant::now();
            bot.until("rest", |bot| bot.has_died() || settled.elapsed().as_millis() > 400).await;
        }
    }
    let died = bot.has_died();
    bot.kill();
    assert!(bot.start(None).await, "{fault}: no second start\n{}", bot.log());
    if !has_run(&database.url).await {
        // The asker saw an error and asks again.
        bot.workspace.say("U0ANN", "C0OPS", "rollback v1.2 why").await;
    }
    // A press that was lost is made again; one that counted already is refused.
    approve(&mut bot).await;
    bot.until(fault, is_told).await;
    bot.until(fault, |bot| final_card(bot).is_some()).await;

    assert_eq!(bot.place.marks(), ["back v1.2"], "{fault}\n{}\n{}", bot.everything(), bot.log());
    let messages = bot.workspace.messages("C0OPS");
    let cards = messages.iter().filter(|one| one.is_bot && one.thread_ts.is_none()).count();
    let ends = messages.iter().filter(|one| is_end(one)).count();
    assert_eq!((cards, ends), (1, 1), "{fault}\n{}\n{}", bot.everything(), bot.log());
    assert_eq!(bot.workspace.faults(), Vec::<String>::new(), "{fault}");
    bot.kill();
    let store = inspect(&database.url).await;
    let (report, is_sound) = audit::verify_report(&store, None, Lang::En).await.unwrap();
    assert!(is_sound, "{fault}: {report}");
    store.close().await;
    bot.workspace.shutdown().await;
    died
}

/// A run that fails, and what follows it by itself.
const FOLLOWED: &str = r#"
  work:
    summary: work
    role: operator
    on_failure: {action: undo}
    steps:
      - {name: Work, run: [sh, -c, "echo work >> $MARKS; exit 1"], timeout: 20s}
      - {name: Clean, run: [sh, -c, "echo clean >> $MARKS"], timeout: 20s, always: true}
  undo:
    summary: undo
    role: operator
    steps:
      - {name: Undo, run: [sh, -c, "echo undo >> $MARKS"], timeout: 20s}
"#;

/// A run that waits for its checks: what it does itself, it does once; a check may be done again.
const LISTED: &str = r#"
  work:
    summary: work
    role: operator
    checklist: before
    steps:
      - {name: Work, run: [sh, -c, "echo work >> $MARKS"], timeout: 20s}
checklists:
  before:
    title: before
    items:
      - {name: First, run: [sh, -c, "echo first >> $MARKS"], timeout: 20s}
      - {name: Second, run: [sh, -c, "echo second >> $MARKS"], timeout: 20s}
"#;

/// What is asked with one word and goes on by itself.
struct Scenario {
    actions: &'static str,
    /// With which each of its runs ends, in its thread.
    ends: &'static [&'static str],
    /// What may happen twice after a death.
    repeatable: &'static [&'static str],
    marks: &'static [&'static str],
}

async fn one_death_of_two(engine: Engine, fault: String) -> bool {
    let ends = &["work 🚨 failed", "undo ✅ done"];
    let marks = &["work", "clean", "undo"];
    one_death_of(engine, fault, Scenario { actions: FOLLOWED, ends, repeatable: &[], marks }).await
}

async fn one_death_of_a_list(engine: Engine, fault: String) -> bool {
    let (repeatable, marks) = (&["first", "second"], &["first", "second", "work"]);
    let ends = &["work ✅ done"];
    one_death_of(engine, fault, Scenario { actions: LISTED, ends, repeatable, marks }).await
}

/// A scenario with one death at `fault`; whether the bot died of it.
async fn one_death_of(engine: Engine, fault: String, scenario: Scenario) -> bool {
    let fault = fault.as_str();
    let database = TestDatabase::new(engine).await;
    let mut bot = Process::new(&database.url, scenario.actions).await;
    let ends = |bot: &Process, words: &str| {
        let messages = bot.workspace.messages("C0OPS");
        let is_end = |one: &&neostock_ops::sandbox::Message| {
            one.thread_ts.is_some() && shown(one).contains(words)
        };
        messages.iter().filter(is_end).count()
    };
    let all = |bot: &Process| scenario.ends.iter().all(|words| ends(bot, words) > 0);

    if bot.start(Some(fault)).await {
        bot.workspace.say("U0ANN", "C0OPS", "work").await;
        bot.until("the runs end or the bot dies", |bot| bot.has_died() || all(bot)).await;
        if !bot.has_died() {
            let settled = std::time::Instant::now();
            bot.until("rest", |bot| bot.has_died() || settled.elapsed().as_millis() > 400).await;
        }
    }
    let died = bot.has_died();
    bot.kill();
    assert!(bot.start(None).await, "{fault}: no second start\n{}", bot.log());
    if !has_run(&database.url).await {
        bot.workspace.say("U0ANN", "C0OPS", "work").await;
    }
    bot.until(fault, |bot| all(bot)).await;

    let seen = format!("{fault}\n{}\n{}", bot.everything(), bot.log());
    let mut marks = bot.place.marks();
    let again = |mark: &str| scenario.repeatable.contains(&mark);
    marks.dedup_by(|one, other| one == other && again(one));
    assert_eq!(marks, scenario.marks, "{seen}");
    let messages = bot.workspace.messages("C0OPS");
    let cards = messages.iter().filter(|one| one.is_bot && one.thread_ts.is_none()).count();
    let counts: Vec<usize> = scenario.ends.iter().map(|words| ends(&bot, words)).collect();
    assert_eq!((cards, counts), (scenario.ends.len(), vec![1; scenario.ends.len()]), "{seen}");
    bot.kill();
    bot.workspace.shutdown().await;
    died
}

/// Presses Approve once the button is there; nobody is there to press when the bot has died.
async fn approve(bot: &mut Process) {
    let has_button = |bot: &Process| {
        let buttons = bot.workspace.messages("C0OPS").into_iter().flat_map(|one| one.buttons());
        buttons.into_iter().any(|button| button.action_id == "approve")
    };
    bot.until("the button", |bot| bot.has_died() || is_told(bot) || has_button(bot)).await;
    if has_button(bot) {
        bot.workspace.press("U0BOB", "Approve").await;
    }
}

fn is_end(message: &neostock_ops::sandbox::Message) -> bool {
    message.thread_ts.is_some() && shown(message).contains("🔄 The application was rolled back")
}

fn is_told(bot: &mut Process) -> bool {
    bot.workspace.messages("C0OPS").iter().any(is_end)
}

fn final_card(bot: &Process) -> Option<String> {
    let messages = bot.workspace.messages("C0OPS");
    let card = messages.iter().rfind(|one| one.is_bot && one.thread_ts.is_none())?;
    Some(shown(card)).filter(|card| card.contains("🔄 The application was rolled back"))
}

/// Dies before each write in turn, until a run comes through alive; how many deaths there were.
async fn sweep<F>(point: &str, one_death: impl Fn(String) -> F) -> usize
where
    F: Future<Output = bool> + Send + 'static,
{
    let mut deaths = 0;
    let mut next = 1;
    loop {
        let mut batch = JoinSet::new();
        for _ in 0..AT_ONCE {
            let at = next;
            next += 1;
            batch.spawn(one_death(format!("{point}@{at}")));
        }
        let mut lived = 0;
        while let Some(died) = batch.join_next().await {
            if died.unwrap() { deaths += 1 } else { lived += 1 }
        }
        if lived > 0 {
            return deaths;
        }
        assert!(next < WRITES_MAX, "no end of writes");
    }
}

macro_rules! sweeps {
    ($($name:ident: $scenario:ident on $engine:ident, $point:literal, $least:literal;)+) => {
        $(#[test]
        fn $name() {
            let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
            let deaths = runtime.block_on(sweep($point, |fault| $scenario(Engine::$engine, fault)));
            println!("{deaths} deaths at {}", $point);
            assert!(deaths >= $least, "only {deaths} deaths: the point is not passed");
        })+
    };
}

sweeps! {
    killed_between_every_two_writes_on_sqlite: one_death on Sqlite, "unit.before_commit", 15;
    killed_between_every_two_writes_on_postgres: one_death on Postgres, "unit.before_commit", 15;
    killed_around_the_start_of_a_step_on_sqlite: one_death on Sqlite, "driver.before_start", 2;
    killed_after_the_start_of_a_step_on_postgres: one_death on Postgres, "driver.after_start", 2;
    killed_before_a_call_to_slack_on_postgres: one_death on Postgres, "sender.before_call", 3;
    killed_after_a_call_to_slack_on_sqlite: one_death on Sqlite, "sender.after_call", 3;
    killed_between_a_failure_and_what_follows_it_on_sqlite: one_death_of_two on Sqlite, "unit.before_commit", 12;
    killed_between_a_failure_and_what_follows_it_on_postgres: one_death_of_two on Postgres, "unit.before_commit", 12;
    killed_between_a_checklist_and_its_run_on_sqlite: one_death_of_a_list on Sqlite, "unit.before_commit", 18;
    killed_between_a_checklist_and_its_run_on_postgres: one_death_of_a_list on Postgres, "unit.before_commit", 18;
}

/// Prints twenty lines in two seconds.
const SLOW: &str = r#"
  slow:
    summary: slow
    role: operator
    steps:
      - {name: Count, run: [sh, -c, "echo one >> $MARKS; for i in $(seq 20); do echo line $i; sleep 0.1; done"], timeout: 30s}
"#;

both_engines! {
    async fn a_step_goes_on_while_the_bot_is_dead_and_its_output_is_whole(database: TestDatabase) {
        let mut bot = Process::new(&database.url, SLOW).await;
        assert!(bot.start(None).await);
        bot.workspace.say("U0ANN", "C0OPS", "slow").await;
        bot.until("the step runs", |bot| bot.place.marks().len() == 1).await;

        bot.kill();
        assert!(bot.start(None).await);
        let done = |bot: &mut Process| {
            bot.workspace.messages("C0OPS").iter().any(|one| shown(one).contains("slow ✅ done"))
        };
        bot.until("the run ends", done).await;
        bot.until("its output", |bot| {
            bot.workspace.messages("C0OPS").iter().any(|one| shown(one).contains("line 20"))
        }).await;

        assert_eq!(bot.place.marks(), ["one"]);
        let messages = bot.workspace.messages("C0OPS");
        let output = messages.iter().map(shown).find(|text| text.contains("line 20")).unwrap();
        for line in 1..=20 {
            assert!(output.contains(&format!("line {line}")), "line {line} is missing: {output}");
        }
        bot.kill();
    }
}
