//! The runbook is read anew while the bot runs: a good one is in force for the next request, a faulty
//! one for nobody. What it changes of a plan that waits voids that plan.

use crate::harness::bot::Bot;
use crate::harness::database::both_engines;
use crate::harness::process::Process;
use rustix::process::Signal;

const OLD: &str = r#"
  greet:
    summary: greet
    role: operator
    approval: {from: lead}
    steps:
      - {name: Old, run: [sh, -c, "echo old >> $MARKS"], timeout: 20s}
"#;
const NEW: &str = r#"
  greet:
    summary: greet
    role: operator
    steps:
      - {name: New, run: [sh, -c, "echo new >> $MARKS"], timeout: 20s}
  wave:
    summary: wave
    role: operator
    steps:
      - {name: Wave, run: [sh, -c, "echo wave >> $MARKS"], timeout: 20s}
"#;

/// Holds the environment until the test says so.
const HOLD: &str = r#"
  hold:
    summary: hold
    role: operator
    steps:
      - {name: Hold, run: [sh, -c, "echo held >> $MARKS; until test -e $MARKS.go; do sleep 0.05; done"], timeout: 60s}
"#;

fn told(bot: &Bot, words: &str) -> Option<String> {
    let messages = bot.workspace.messages("C0OPS");
    let mut all = messages.iter().map(crate::harness::bot::shown);
    all.find(|text| text.contains(words))
}

/// Puts other actions behind the head of the place's runbook.
fn rewrite(runbook: &std::path::Path, actions: &str) {
    let text = std::fs::read_to_string(runbook).unwrap();
    let (head, _) = text.split_once("\nactions:\n").unwrap();
    std::fs::write(runbook, format!("{head}\nactions:\n{actions}")).unwrap();
}

fn entry<'e>(
    journal: &'e [(String, String, serde_json::Value)],
    kind: &str,
) -> Option<&'e serde_json::Value> {
    journal.iter().find(|(found, ..)| found == kind).map(|(.., detail)| detail)
}

both_engines! {
    async fn a_new_runbook_is_in_force_and_a_plan_that_it_changes_is_not_approved(database: TestDatabase) {
        let bot = Bot::start(&database, OLD).await;
        bot.say("U0ANN", "greet").await;
        bot.until("the gate", |bot| bot.buttons().contains(&"Approve".to_owned())).await;
        assert!(bot.say("U0BOB", "wave").await.contains("wave"), "no such action yet");

        rewrite(&bot.place.runbook(), NEW);
        bot.reload.wanted.notify_one();
        bot.until("it is told", |bot| told(bot, "A new runbook is in force").is_some()).await;
        let void = bot.click("U0BOB", "Approve").await;
        assert!(void.contains("step 1 is another one now. What you were shown does not hold any more"), "{void}");
        bot.advance_ms(2_000);
        assert!(bot.place.marks().is_empty());
        bot.rejects("U0BOB", "ask anew").await;
        bot.say("U0BOB", "wave").await;
        bot.until("the new action", |bot| bot.place.marks() == ["wave"]).await;
        bot.say("U0BOB", "greet").await;
        bot.until("the new plan", |bot| bot.place.marks() == ["wave", "new"]).await;

        let journal = bot.journal().await;
        let started = entry(&journal, "bot.started").unwrap();
        let reloaded = entry(&journal, "runbook.reloaded").unwrap();
        assert_eq!(reloaded["from"], started["runbook"]);
        assert_ne!(reloaded["from"], reloaded["to"]);
        assert_eq!(reloaded["roles"], serde_json::json!({}));
        let to = reloaded["to"].as_str().unwrap();
        assert_eq!(bot.metric(&format!("neostock_runbook_info{{digest=\"{to}\"}}")).await, 1);
        let ready: serde_json::Value =
            reqwest::get(format!("{}/readyz", bot.url)).await.unwrap().json().await.unwrap();
        assert_eq!(ready["runbook"], to);
        bot.finish().await;
    }

    async fn a_run_that_a_new_runbook_changes_refuses_to_start_and_others_go_on(database: TestDatabase) {
        let both = format!("{OLD}{}", OLD.replace("greet", "smile").replace("echo old", "echo smile"));
        let bot = Bot::start(&database, &format!("{both}{HOLD}")).await;
        bot.say("U0BOB", "hold").await;
        bot.until("it holds the environment", |bot| bot.place.marks() == ["held"]).await;
        for action in ["smile", "greet"] {
            bot.say("U0ANN", action).await;
            bot.until_card(&format!("✋ {action}")).await;
            bot.click("U0BOB", "Approve").await;
            bot.until_card(&format!("{action} → production · queued")).await;
        }
        // Other words, other lines, one more action; and for one of them another step.
        let new = both.replace("summary: greet", "summary: Say hello").replace("echo old", "echo new");
        rewrite(&bot.place.runbook(), &format!("# A new line.\n{HOLD}{new}"));
        bot.reload.wanted.notify_one();
        bot.until("it is told", |bot| told(bot, "A new runbook is in force").is_some()).await;
        std::fs::write(bot.place.path().join("marks.go"), "").unwrap();

        bot.until("the other goes on", |bot| bot.place.marks() == ["held", "smile"]).await;
        bot.until("it is told why", |bot| bot.everything().contains("step 1 is another one now")).await;

        assert!(bot.everything().contains("could not be started: the runbook changed since"), "{}", bot.everything());
        assert_eq!(bot.place.marks(), ["held", "smile"]);
        bot.until_quiet().await;
        bot.finish().await;
    }

    async fn a_reading_that_changes_who_is_in_a_role_says_who(database: TestDatabase) {
        let bot = Bot::start(&database, NEW).await;
        let path = bot.place.runbook();
        let text = std::fs::read_to_string(&path).unwrap();
        let line = text.lines().find(|line| line.trim_start().starts_with("operator:")).unwrap();
        let spaces = &line[..line.len() - line.trim_start().len()];
        let new = format!("{spaces}operator: {{members: [U0CAT]}}\n{spaces}auditor: {{members: [everyone]}}");

        std::fs::write(&path, text.replacen(line, &new, 1)).unwrap();
        bot.reload.wanted.notify_one();
        bot.until("it is told", |bot| told(bot, "A new runbook is in force").is_some()).await;

        let journal = bot.journal().await;
        let roles = &entry(&journal, "runbook.reloaded").unwrap()["roles"];
        assert_eq!(roles["operator"]["added"], serde_json::json!(["U0CAT"]));
        assert!(!roles["operator"]["removed"].as_array().unwrap().is_empty(), "{roles}");
        assert_eq!(roles["auditor"]["added"], serde_json::json!(["everyone"]));
        assert!(roles.get("lead").is_none(), "{roles}");
        bot.finish().await;
    }

    async fn a_faulty_runbook_is_refused_with_all_its_faults_and_the_old_one_stays(
        database: TestDatabase
    ) {
        let bot = Bot::start(&database, NEW).await;

        rewrite(&bot.place.runbook(), &NEW.replace("timeout: 20s", "timeout: soon").replace("role: operator", "role: opera"));
        bot.reload.wanted.notify_one();
        bot.until("it is told", |bot| told(bot, "has faults and is not in force").is_some()).await;
        bot.say("U0BOB", "wave").await;
        bot.until("the old one", |bot| bot.place.marks() == ["wave"]).await;

        let told = told(&bot, "has faults and is not in force").unwrap();
        let file = bot.place.runbook().display().to_string();
        let places = told.lines().filter(|line| line.starts_with(&format!("{file}:"))).count();
        assert_eq!(places, 4, "file, line and column of each fault: {told}");
        let at = told.lines().find(|line| line.contains("soon")).unwrap();
        let mut numbers = at.trim_start_matches(&format!("{file}:")).split(':');
        assert!(numbers.next().unwrap().parse::<u32>().is_ok_and(|line| line > 20), "{at}");
        assert!(numbers.next().unwrap().parse::<u32>().is_ok_and(|column| column > 1), "{at}");
        let journal = bot.journal().await;
        let refused = entry(&journal, "runbook.refused").unwrap();
        assert_eq!(refused["faults_total"], 4, "{refused}");
        assert!(entry(&journal, "runbook.reloaded").is_none());

        // Put right, it is taken; the same once more changes nothing.
        rewrite(&bot.place.runbook(), OLD);
        bot.reload.wanted.notify_one();
        bot.until("it is told", |bot| super::told(bot, "A new runbook is in force").is_some()).await;
        bot.reload.wanted.notify_one();
        bot.say("U0BOB", "wave").await;
        let journal = bot.journal().await;
        let count = journal.iter().filter(|(kind, ..)| kind == "runbook.reloaded").count();
        assert_eq!(count, 1);
        bot.finish().await;
    }

    async fn a_hangup_reads_runbook_and_settings_and_names_what_waits_for_the_next_start(
        database: TestDatabase
    ) {
        let mut bot = Process::new(&database.url, OLD).await;
        let settings = bot.place.path().join("neostock.yml");
        std::fs::write(&settings, "log: info\n").unwrap();
        assert!(bot.start(None).await);

        std::fs::write(&settings, "log: warn,neostock_ops=debug\nwebhook_token: other\n").unwrap();
        rewrite(&bot.place.runbook(), NEW);
        bot.signal(Signal::HUP);
        bot.until("it is told", |bot| {
            bot.told().iter().any(|text| text.contains("A new runbook is in force"))
        })
        .await;
        bot.say("U0BOB", "wave").await;
        bot.until("the new action", |bot| bot.place.marks() == ["wave"]).await;

        let told = bot.told();
        let told = told.iter().find(|text| text.contains("A new runbook is in force")).unwrap();
        assert!(told.contains("These settings wait for the next start: webhook_token."), "{told}");

        // A faulty settings file is as bad as a faulty runbook.
        std::fs::write(&settings, "logg: info\n").unwrap();
        bot.signal(Signal::HUP);
        bot.until("it is refused", |bot| {
            bot.told().iter().any(|text| text.contains("neostock.yml:1:1") && text.contains("logg"))
        })
        .await;
        assert!(!bot.has_died());
        bot.kill();
    }
}
