//! Who is on call: by the order, by what people change, over restarts and changed clocks; and each change of
//! hands, told once.

use crate::harness::bot::{Bot, NIGHT_MS, shown};
use crate::harness::database::{TestDatabase, both_engines};
use crate::harness::place::Place;
use neostock_ops::sandbox::Options;

const ACTIONS: &str = r#"
  greet:
    summary: greet
    role: operator
    steps:
      - {name: Greet, run: ["true"], timeout: 20s}
"#;
const ALERTS: &str = "\
alerts:
  cpu: {threshold: 0.8, duration: 60s, severity: error, channels: [slack]}
oncall:
";
/// Ann, Bob and Cat, a day each from nine in the morning in Berlin. It is ann's day when the bots start.
const DAYS: &str = "  primary:
    people: [U0ANN, U0BOB, U0CAT]
    shift: 1d
    starts: 2026-11-23 09:00
    zone: Europe/Berlin
";
const HOUR_MS: u64 = 3_600_000;

async fn start(database: &TestDatabase, oncall: &str) -> Bot {
    let place = Place::new(ACTIONS);
    std::fs::write(place.alerting(), format!("{ALERTS}{oncall}")).unwrap();
    Bot::in_workspace(database, place, Options::default()).await
}

/// The changes of hands that stand in the channel, without what is only bold.
fn told(bot: &Bot) -> Vec<String> {
    let messages = bot.workspace.messages("C0OPS");
    let all = messages.iter().map(shown).filter(|text| text.contains("Takes over from"));
    all.map(|text| text.replace('*', "")).collect()
}

async fn kinds(bot: &Bot, kind: &str) -> Vec<serde_json::Value> {
    let all = bot.journal().await.into_iter().filter(|(found, ..)| found == kind);
    all.map(|(.., detail)| detail).collect()
}

/// Seconds since 1970 as Slack is given them.
fn is_at(text: &str, seconds: i64) -> bool {
    text.contains(&format!("<!date^{seconds}^"))
}

both_engines! {
    async fn two_bots_tell_a_change_of_hands_once_and_after_a_downtime_only_the_latest(database: TestDatabase) {
        let mut bot = start(&database, DAYS).await;
        let (stop, second) = bot.second().await;
        bot.say("U0BOB", "oncall").await;
        // Both have looked once; nothing was handed over.
        for _ in 0..30 {
            bot.advance_ms(1_000);
            bot.say("U0BOB", "oncall").await;
        }
        assert_eq!(told(&bot), [""; 0]);

        bot.advance_ms(6 * HOUR_MS);
        bot.until("bob takes over", |bot| !told(bot).is_empty()).await;
        for _ in 0..30 {
            bot.advance_ms(1_000);
            bot.say("U0BOB", "oncall").await;
        }
        bot.until_quiet().await;
        stop.cancel();
        second.await.unwrap().unwrap();
        let first = told(&bot);
        assert_eq!(first.len(), 1, "{first:?}");
        assert!(first[0].contains("primary: <@U0BOB> until"), "{first:?}");
        assert!(first[0].contains("then <@U0CAT>") && first[0].contains("Takes over from <@U0ANN>"), "{first:?}");
        assert!(first[0].contains("No alert is open, and no run needs anybody"), "{first:?}");

        bot.end().await;
        bot.advance_ms(48 * HOUR_MS);
        bot.begin().await;
        bot.until("ann takes over", |bot| told(bot).len() >= 2).await;
        bot.end().await;
        bot.begin().await;
        for _ in 0..30 {
            bot.advance_ms(1_000);
            bot.say("U0BOB", "oncall").await;
        }
        bot.until_quiet().await;

        let all = told(&bot);
        assert_eq!(all.len(), 2, "{all:?}");
        assert!(all[1].contains("primary: <@U0ANN> until") && all[1].contains("from <@U0CAT>"), "{all:?}");
        let entries = kinds(&bot, "oncall.handed_over").await;
        // 2026-11-24 08:00 and two days later.
        let changes: Vec<i64> = entries.iter().map(|one| one["change_ms"].as_i64().unwrap()).collect();
        assert_eq!(changes, [NIGHT_MS + 5 * 3_600_000, NIGHT_MS + 53 * 3_600_000]);
        bot.finish().await;
    }

    async fn a_shift_is_exchanged_by_the_two_whose_it_is_and_others_are_put_by_leads(database: TestDatabase) {
        let bot = start(&database, DAYS).await;
        let list = bot.say("U0BOB", "oncall").await;
        assert!(list.contains("*primary*: <@U0ANN> until") && list.contains("then <@U0BOB>"), "{list}");
        assert!(is_at(&list, 1_795_507_200), "2026-11-24 08:00 UTC: {list}");

        // Bob's next is today's, cat's tomorrow's.
        let swap = bot.say("U0BOB", "oncall swap <@U0CAT|cat> a <!channel> wedding").await;
        assert!(swap.contains("<@U0BOB> and <@U0CAT> exchange shifts · `primary`"), "{swap}");
        assert!(swap.contains("a &lt;!channel&gt; wedding"), "{swap}");
        bot.until("the channel is told", |bot| bot.card().contains("exchange shifts")).await;
        let days = bot.say("U0BOB", "oncall who primary").await;
        let order: Vec<&str> = days.lines().filter_map(|line| line.split("<@").nth(1)).collect();
        assert!(order[0].starts_with("U0ANN") && order[1].starts_with("U0CAT") && order[2].starts_with("U0BOB"), "{days}");
        assert!(days.contains("(changed)") && days.contains("Europe/Berlin"), "{days}");

        let denied = bot.say("U0ANN", "oncall override primary <@U0BOB> now 8h 生病").await;
        assert!(denied.contains("您没有 `lead` 角色"), "{denied}");
        let put = bot.say("U0BOB", "oncall override primary <@U0BOB> now 2026-11-24 06:00 ann is ill").await;
        assert!(put.contains("<@U0BOB> puts <@U0BOB> on call · `primary`"), "{put}");
        let now = bot.say("U0ANN", "oncall").await;
        assert!(now.contains("*primary*：<@U0BOB>") && now.contains("之后是 <@U0ANN>") && now.contains("ann is ill"), "{now}");
        // It is somebody else at once, and that is told.
        bot.until("bob takes over", |bot| told(bot).len() == 1).await;
        bot.say("U0BOB", "oncall override end primary <@U0BOB>").await;
        bot.until("ann has it again", |bot| told(bot).len() == 2).await;
        let nothing = bot.say("U0BOB", "oncall override end primary <@U0ANN>").await;
        assert!(nothing.contains("nothing was ended"), "{nothing}");

        let entries = kinds(&bot, "oncall.overridden").await;
        let users: Vec<&str> = entries.iter().map(|one| one["user"].as_str().unwrap()).collect();
        assert_eq!(users, ["U0CAT", "U0BOB", "U0BOB"]);
        assert_eq!(kinds(&bot, "oncall.override_ended").await.len(), 1);
        bot.finish().await;
    }

    async fn what_cannot_be_is_refused_with_what_to_do_instead(database: TestDatabase) {
        let bot = start(&database, &format!("{DAYS}  ops: {{group: S0OPS}}\n")).await;
        let cases = [
            ("U0BOB", "oncall swap <@U0BOB>", "You cannot exchange shifts with yourself"),
            ("U0BOB", "oncall swap <@U0EVE>", "Only a full member"),
            ("U0BOB", "oncall swap <@U0NONE>", "Only a full member"),
            ("U0EVE", "oncall swap <@U0BOB>", "Only a full member"),
            ("U0BOB", "oncall swap <@U0ANN> rotation=ops", "People take turns in no such rotation"),
            ("U0BOB", "oncall swap <@U0ANN> rotation=nihgt", "There is no rotation `nihgt`; there are `ops`, `primary`"),
            ("U0BOB", "oncall swap <@U0ANN> 2026-11-24 00:10", "You have no shift then"),
            ("U0BOB", "oncall override primary <@U0EVE> now 8h ill", "Only a full member"),
            ("U0BOB", "oncall override primary <@U0CAT> 2026-11-20 8h ill", "in the past"),
            ("U0BOB", "oncall override primary <@U0CAT> now 2026-11-20 ill", "end before it begins"),
            ("U0BOB", "oncall override primary <@U0CAT> now 100d ill", "At most 92 days"),
            ("U0BOB", "oncall override nobody <@U0CAT> now 8h ill", "There is no rotation `nobody`"),
            ("U0BOB", "oncall override primary <@U0CAT> now 8h", "`reason` is missing"),
            ("U0BOB", "oncall override `<!here>` <@U0CAT> now 8h ill", "There is no rotation"),
            ("U0BOB", "oncall who `<!here>`", "There is no rotation"),
            ("U0BOB", "oncall whom", "`who`"),
        ];
        for (user, typed, words) in cases {
            let answer = bot.say(user, typed).await;
            assert!(answer.contains(words) && !answer.contains("<!here>"), "{typed}: {answer}");
        }
        assert_eq!(kinds(&bot, "oncall.overridden").await.len(), 0);
        assert_eq!(told(&bot), [""; 0]);
        bot.finish().await;
    }

    async fn who_has_left_is_said_and_the_next_in_order_is_mentioned_too(database: TestDatabase) {
        let bot = start(&database, DAYS).await;
        bot.workspace.deactivate("U0ANN");
        bot.advance_ms(61_000);

        let list = bot.say("U0BOB", "oncall").await;
        assert!(list.contains("<@U0ANN> is no full member of this workspace"), "{list}");
        assert!(list.contains("Alerts mention also <@U0BOB>"), "{list}");

        // Ann's next day comes after bob's and cat's.
        bot.advance_ms(53 * HOUR_MS);
        bot.until("ann takes over", |bot| told(bot).iter().any(|text| text.contains("from <@U0CAT>"))).await;
        let newest = told(&bot).pop().unwrap();
        assert!(newest.contains("primary: <@U0ANN> until") && newest.contains("Alerts mention also <@U0BOB>"), "{newest}");
        bot.finish().await;
    }

    async fn a_change_of_hands_comes_at_its_hour_where_the_clocks_were_changed_that_night(database: TestDatabase) {
        // Both changed to summer time in the night: the day before was an hour later in UTC.
        let york = DAYS.replace("primary", "york").replace("Europe/Berlin", "America/New_York");
        let bot = start(&database, &format!("{DAYS}{york}")).await;
        for (rotation, day, before_s, at_s) in [
            ("york", "2027-03-14", 1_804_946_400, 1_805_029_200),
            ("primary", "2027-03-28", 1_806_134_400, 1_806_217_200),
        ] {
            assert_eq!(at_s - before_s, 23 * 3_600);
            let shown = bot.say("U0BOB", &format!("oncall who {rotation} {day}")).await;
            assert!(is_at(&shown, at_s), "{shown}");
            let next = format!("oncall who {rotation} {day} 08:59");
            let before = bot.say("U0BOB", &next).await;
            let after = bot.say("U0BOB", &next.replace("08:59", "09:00")).await;
            assert_ne!(before.split("<@").nth(1), after.split("<@").nth(1), "{before} {after}");
        }

        // In Berlin, two minutes before and after.
        let until_ms = 1_806_217_200_000 - 120_000 - bot.clock.now_ms();
        bot.advance_ms(u64::try_from(until_ms).unwrap());
        let mine = |bot: &Bot| told(bot).iter().filter(|text| text.contains("primary:")).count();
        bot.until("yesterday's is told", |bot| mine(bot) == 1).await;
        for _ in 0..10 {
            bot.advance_ms(1_000);
            bot.say("U0BOB", "oncall").await;
        }
        assert_eq!(mine(&bot), 1);
        bot.advance_ms(120_000);
        bot.until("today's is told", |bot| mine(bot) == 2).await;
        let entries = kinds(&bot, "oncall.handed_over").await;
        assert!(entries.iter().any(|one| one["change_ms"] == 1_806_217_200_000_i64), "{entries:?}");
        bot.finish().await;
    }
}
