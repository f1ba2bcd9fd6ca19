//! The result line of a step: on the card in both languages, kept, and compared with the last time's.

use crate::harness::bot::{Bot, shown};
use crate::harness::database::both_engines;

/// A test whose last line is what the file `$MARKS.says` holds, and which ends with 1 where there is `$MARKS.bad`.
const ACTIONS: &str = r#"
  test:
    summary: {zh: 运行测试, en: Run the tests}
    role: operator
    lock: none
    steps:
      - name: {zh: 单元测试, en: Unit tests}
        run: [sh, -c, "echo one; echo two; cat $MARKS.says; test ! -e $MARKS.bad"]
        timeout: 20s
  look:
    summary: {zh: 检查, en: Check}
    role: operator
    lock: none
    checklist: list
checklists:
  list:
    title: {zh: 清单, en: A list}
    items:
      - name: {zh: 测试通过, en: Tests pass}
        run: [sh, -c, "cat $MARKS.says; test ! -e $MARKS.bad"]
        timeout: 20s
"#;

fn says(bot: &Bot, line: &str) {
    let marks = bot.place.marks_file().display().to_string();
    std::fs::write(format!("{marks}.says"), format!("{line}\n")).unwrap();
}

fn unit(tests: u32, seconds: &str) -> String {
    format!(
        r#"{{"result":"test.unit","outcome":"passed","zh":"{tests} 个测试通过","en":"{tests} tests passed","figures":[{{"name":"tests","value":{tests},"zh":"测试","en":"tests"}},{{"name":"seconds","value":{seconds},"zh":"秒","en":"seconds"}}]}}"#
    )
}

/// The same end with another outcome.
fn ends(outcome: &str, words: &str) -> String {
    format!(r#"{{"result":"test.unit","outcome":"{outcome}","zh":"{words}","en":"{words}"}}"#)
}

/// Messages that end a run, in both channels.
fn closings(bot: &Bot) -> usize {
    let all = ["C0OPS", "C0DEV"].map(|channel| bot.workspace.messages(channel)).concat();
    let threads = all.iter().filter(|message| message.thread_ts.is_some()).map(shown);
    threads.filter(|words| words.contains("✅ done") || words.contains("🚨 failed")).count()
}

/// Asks for a run and waits for its end; its card.
async fn ended(bot: &Bot, text: &str) -> String {
    let before = closings(bot);
    bot.say("U0ANN", text).await;
    bot.until("the run ends", |bot| closings(bot) > before).await;
    bot.until_quiet().await;
    let channel = if text.contains("staging") { "C0DEV" } else { "C0OPS" };
    let mut cards = bot.workspace.messages(channel).into_iter();
    shown(&cards.rfind(|message| message.thread_ts.is_none() && message.is_bot).unwrap())
}

both_engines! {
    async fn a_result_is_on_the_card_and_compared_with_the_last_one(database: TestDatabase) {
        let bot = Bot::start(&database, ACTIONS).await;
        says(&bot, &unit(12, "3.5"));

        let card = ended(&bot, "test").await;

        assert!(card.contains("✅ 1. Unit tests"), "{card}");
        assert!(card.contains("12 tests passed"), "{card}");
        assert!(card.contains("📊 Unit tests: tests *12* · seconds *3.5*"), "{card}");
        assert!(!card.contains("in brackets"), "there is nothing to compare with: {card}");
        let thread = bot.thread().join("\n");
        assert!(thread.contains("one\ntwo") && !thread.contains("\"result\""), "{thread}");
        let first = bot.run_id();

        says(&bot, &unit(13, "3.5"));
        let card = ended(&bot, "test").await;
        assert!(card.contains("tests *13* (↑ 12) · seconds *3.5* (=)"), "{card}");
        assert!(card.contains(&format!("(in brackets: `{first}`")), "{card}");

        // What could not be run tells nothing of how things are: it is no measure for the next.
        says(&bot, &ends("could_not_run", "no database"));
        std::fs::write(format!("{}.bad", bot.place.marks_file().display()), "").unwrap();
        let card = ended(&bot, "test").await;
        assert!(card.contains("could not be run: no database"), "{card}");
        assert!(card.contains("one\ntwo") && !card.contains("\"result\""), "{card}");
        // Neither does a dry run, which is not kept at all.
        std::fs::remove_file(format!("{}.bad", bot.place.marks_file().display())).unwrap();
        says(&bot, &ends("dry_run", "would run 12 tests"));
        assert!(ended(&bot, "test").await.contains("dry run: would run 12 tests"));
        says(&bot, &unit(11, "2"));
        let card = ended(&bot, "test env=staging").await;
        assert!(!card.contains("in brackets"), "another environment is another story: {card}");
        let card = ended(&bot, "test").await;
        assert!(card.contains("tests *11* (↓ 13) · seconds *2* (↓ 3.5)"), "{card}");

        let journal = bot.journal().await;
        let (.., detail) = journal.iter().rfind(|(kind, ..)| kind == "step.ok").unwrap();
        assert_eq!(detail["evidence"]["result"]["figures"][0]["value"], 11);
        bot.finish().await;
    }
}

both_engines! {
    async fn results_are_listed_the_newest_of_each_and_one_over_time(database: TestDatabase) {
        let bot = Bot::start(&database, ACTIONS).await;
        assert!(bot.say("U0CAT", "results").await.contains("还没有结果"));
        for tests in 1..=12 {
            says(&bot, &unit(tests, "1"));
            ended(&bot, "test").await;
        }
        says(&bot, &unit(20, "1").replace("test.unit", "scan.sast"));
        ended(&bot, "test").await;
        says(&bot, &unit(7, "1"));
        ended(&bot, "test env=staging").await;

        let all = bot.say("U0CAT", "results").await;
        for words in ["`test.unit` · ✅ *12 个测试通过* · production", "`scan.sast` · ✅ *20 个测试通过*", "*7 个测试通过* · staging"] {
            assert!(all.contains(words), "{words}: {all}");
        }
        assert!(!all.contains("*11 个测试通过*"), "{all}");
        let one = bot.say("U0BOB", "results test.unit env=production").await;
        assert!(one.contains("tests *12* (↑ 11)") && one.contains("tests *3* (↑ 2)"), "{one}");
        assert!(!one.contains("*2 tests passed*"), "the rest is on the next page: {one}");
        assert!(bot.workspace.press("U0BOB", "Older").await.is_ok());
        let older = bot.workspace.ephemerals("U0BOB").last().map(shown).unwrap();
        assert!(older.contains("tests *2* (↑ 1)") && older.contains("*1 tests passed*"), "{older}");
        assert!(!older.contains("*3 tests passed*"), "{older}");
        let none = bot.say("U0BOB", "results test.moon").await;
        assert!(none.contains("No results of `test.moon`. There are: `scan.sast, test.unit"), "{none}");
        bot.finish().await;
    }
}

both_engines! {
    async fn a_result_line_that_is_wrong_is_told_and_hurts_nobody(database: TestDatabase) {
        let bot = Bot::start(&database, ACTIONS).await;
        says(&bot, r#"{"result":"test.unit","outcome":"perhaps"}"#);

        let card = ended(&bot, "test").await;

        assert!(card.contains("its result line cannot be read") && card.contains("perhaps"), "{card}");
        assert!(card.contains("test ✅ done"), "{card}");
        // What it says is text and nothing else.
        says(&bot, &ends("passed", "<!channel> *bold* <https://evil.example|here>"));
        let card = ended(&bot, "test").await;
        assert!(card.contains("&lt;!channel&gt;"), "{card}");
        assert!(!bot.say("U0ANN", "results").await.contains("<!channel>"));
        // JSON that is no result line is output like any other.
        says(&bot, r#"{"status":"ok"}"#);
        ended(&bot, "test").await;
        assert!(bot.thread().join("\n").contains("{\"status\":\"ok\"}"));
        bot.finish().await;
    }
}

both_engines! {
    async fn a_checklist_shows_what_its_checks_say(database: TestDatabase) {
        let bot = Bot::start(&database, ACTIONS).await;
        says(&bot, &unit(12, "3.5"));

        bot.say("U0ANN", "look").await;
        let card = bot.until_card("✅ 1. Tests pass").await;

        assert!(card.contains("✅ 1. Tests pass — 12 tests passed"), "{card}");
        assert!(bot.say("U0ANN", "results").await.contains("`test.unit` · ✅"));
        bot.finish().await;
    }
}
