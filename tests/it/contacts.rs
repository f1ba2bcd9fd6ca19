//! `/neostock contacts`: whom to call, for those who may know, in private.

use crate::harness::bot::{Bot, NIGHT_MS};
use crate::harness::database::both_engines;
use crate::harness::place::{Place, ROLLBACK};
use neostock_ops::sandbox::Options;

const CONTACTS: &str = "
contacts:
  reviewed: 2026-11-01
  people:
    - {name: {zh: 值班工程师, en: Engineer on call}, duty: {zh: 任何故障, en: Whatever it is}, slack: S0OPS, phone: +86 10 5550 0100}
    - {name: Lead, duty: {zh: 决定, en: Decides}, when: {zh: 无人应答时, en: Nobody answers}, hours: 24/7, slack: U0BOB, email: lead@example.com}
";

both_engines! {
    async fn contacts_are_listed_in_the_order_of_calling_for_the_asker_alone(database: TestDatabase) {
        let bot = Bot::start(&database, &format!("{ROLLBACK}{CONTACTS}")).await;
        let posted = bot.workspace.messages("C0OPS").len();

        let english = bot.say("U0BOB", "contacts").await;
        let chinese = bot.say("U0ANN", "contacts").await;

        let first = english.find("1. *Engineer on call* · Whatever it is").unwrap();
        let second = english.find("2. *Lead* · Decides").unwrap();
        assert!(first < second, "{english}");
        for word in [
            "<tel:+861055500100|+86 10 5550 0100>", "<!subteam^S0OPS>", "<@U0BOB>",
            "<mailto:lead@example.com|lead@example.com>", "👉 Nobody answers", "🕒 24/7",
            "Reviewed on 2026-11-01, again by 2027-02-01", "Only you see this",
        ] {
            assert!(english.contains(word), "{word}: {english}");
        }
        for word in ["1. *值班工程师* · 任何故障", "👉 无人应答时", "2026-11-01 审查过"] {
            assert!(chinese.contains(word), "{word}: {chinese}");
        }
        // Nobody is called: it is posted nowhere, and the answer is shown to who asked.
        assert_eq!(bot.workspace.messages("C0OPS").len(), posted);
        assert_eq!(bot.workspace.ephemerals("U0BOB").len(), 1);
        assert_eq!(bot.workspace.ephemerals("U0ANN").len(), 1);
        // The journal says who read them, and none of what they read.
        let journal = bot.journal().await;
        let read = journal.iter().filter(|(kind, _, detail)| {
            kind == "request.answered" && detail["text"] == "contacts"
        });
        assert_eq!(read.count(), 2);
        assert!(!format!("{journal:?}").contains("5550"), "{journal:?}");
        bot.finish().await;
    }

    async fn contacts_are_for_the_role_that_the_runbook_names(database: TestDatabase) {
        let place = Place::new(ROLLBACK);
        let runbook = std::fs::read_to_string(place.runbook()).unwrap();
        let write = |contacts: &str| {
            std::fs::write(place.runbook(), format!("{runbook}{contacts}")).unwrap();
        };
        write(CONTACTS);
        let mut bot = Bot::in_workspace(&database, place, Options::default()).await;
        let reads = |answer: &str| answer.contains("+86 10 5550 0100");

        // A member who operates nothing.
        let answer = bot.say("U0CAT", "contacts").await;
        assert!(!reads(&answer) && answer.contains("operator"), "{answer}");
        assert!(!bot.say("U0CAT", "help").await.contains("/neostock contacts  "));

        bot.end().await;
        let path = bot.place.runbook();
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, text.replace("  reviewed:", "  role: viewer\n  reviewed:")).unwrap();
        bot.begin().await;
        assert!(reads(&bot.say("U0CAT", "contacts").await));
        bot.finish().await;
    }

    async fn a_runbook_without_contacts_says_how_to_add_them(database: TestDatabase) {
        let bot = Bot::start(&database, ROLLBACK).await;

        let answer = bot.say("U0CAT", "contacts").await;

        for word in ["操作手册没有应急联系人", "runbook.yml", "reviewed: 2026-11-01", "phone: +86"] {
            assert!(answer.contains(word), "{word}: {answer}");
        }
        bot.finish().await;
    }

    async fn contacts_that_nobody_reviewed_for_a_quarter_say_so_first(database: TestDatabase) {
        let contacts = CONTACTS.replace("2026-11-01", "2026-08-23");
        let bot = Bot::start(&database, &format!("{ROLLBACK}{contacts}")).await;

        let answer = bot.say("U0BOB", "contacts").await;

        let warned = answer.find("⚠️ Last reviewed on 2026-08-23, 93 days ago").unwrap();
        assert!(warned < answer.find("1. *").unwrap(), "{answer}");
        assert_eq!(bot.clock.now_ms(), NIGHT_MS);
        bot.finish().await;
    }
}
