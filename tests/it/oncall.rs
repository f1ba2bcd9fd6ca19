//! Who is on call: by the order, by what people change, over restarts and changed clocks; and each change of
//! hands, told once.

use crate::harness::alerts::{Source, firing, watching};
use crate::harness::bot::{Bot, NIGHT_MS, shown};
use crate::harness::database::{TestDatabase, both_engines};
use crate::harness::looks::Looks;
use crate::harness::place::Place;
use neostock_ops::core::alert::Level;
use neostock_ops::core::id::UserId;
use neostock_ops::core::policy::Standing;
use neostock_ops::sandbox::Options;
use std::time::Duration;

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
    started(database, oncall, Options::default()).await
}

async fn started(database: &TestDatabase, oncall: &str, options: Options) -> Bot {
    let place = Place::new(ACTIONS);
    std::fs::write(place.alerting(), format!("{ALERTS}{oncall}")).unwrap();
    Bot::in_workspace(database, place, options).await
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

/// How long the bot may take to ask Slack.
const PATIENCE: Duration = Duration::from_secs(40);

/// Puts another configuration in force; the message that says so.
async fn rewritten(bot: &Bot, oncall: &str) -> String {
    let is_told = |text: &String| text.contains("A new alerting configuration is in force");
    std::fs::write(bot.place.alerting(), format!("{ALERTS}{oncall}")).unwrap();
    bot.reload.wanted.notify_one();
    let all = |bot: &Bot| bot.workspace.messages("C0OPS").iter().map(shown).collect::<Vec<_>>();
    bot.until("the file is in force", |bot| all(bot).iter().any(is_told)).await;
    all(bot).into_iter().rfind(|text| is_told(text)).unwrap().replace('*', "")
}

/// Waits until the bot knows of a person that Slack has deactivated them.
async fn until_known_to_have_left(bot: &Bot, source: &Source, user: &str) {
    let looks = Looks::within(PATIENCE);
    loop {
        let known = source.engine.known_standing("T0NEO", &UserId::new(user)).await.unwrap();
        if known.is_some_and(|(standing, _)| standing == Standing::Deactivated) {
            return;
        }
        bot.advance_ms(1_000);
        looks.again(|| format!("{user} is {known:?}")).await;
    }
}

/// Whom the tellings of an alert called.
async fn called(bot: &Bot, name: &str) -> Vec<serde_json::Value> {
    let all = kinds(bot, "alert.told").await.into_iter().filter(|one| one["name"] == name);
    all.map(|one| one["told"].clone()).collect()
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
            ("U0BOB", "oncall who primary 106751991167d", "`time` cannot be"),
            ("U0BOB", "oncall swap <@U0CAT> 2099-06-01", "too far from now"),
            ("U0BOB", "oncall override end nobody", "There is no rotation `nobody`"),
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

    async fn where_none_of_those_meant_can_answer_whoever_is_active_is_called_and_it_is_said(database: TestDatabase) {
        let policies = "escalation: {error: {steps: [{tell: ['oncall:primary']}]}, critical: {steps: [{tell: [S0LEADS]}]}}\n";
        let people = DAYS.replace("U0ANN, U0BOB, U0CAT", "U0ANN, U0CAT");
        let file = format!("{people}  ops: {{group: S0OPS}}\n{policies}");
        let bot = started(&database, &file, Options { allow_broadcasts: true, ..Options::default() }).await;
        bot.workspace.deactivate("U0ANN");
        bot.workspace.deactivate("U0CAT");
        bot.workspace.set_group("S0LEADS", &[]);
        bot.workspace.set_group("S0OPS", &[]);
        bot.advance_ms(11 * 60_000);
        let source = Source::beside(&bot).await;
        until_known_to_have_left(&bot, &source, "U0CAT").await;
        let looks = Looks::within(PATIENCE);
        while !source.engine.known_members("T0NEO", "S0LEADS").await.unwrap().is_some_and(|(all, _)| all.is_empty()) {
            bot.advance_ms(1_000);
            looks.again(|| "the group is not known to be empty".to_owned()).await;
        }

        source.says(&[firing(&bot, "error_rate", Level::Error), firing(&bot, "auth_failure", Level::Critical)]).await;
        let reply = |bot: &Bot, words: &str| {
            let all = bot.workspace.messages("C0OPS").into_iter().map(|message| shown(&message));
            all.rev().find(|text| text.contains(words))
        };
        bot.until("both are told", |bot| reply(bot, "Level 2").is_some() && reply(bot, "Level 3").is_some()).await;

        for (words, meant) in [("Level 2", "<@U0ANN>"), ("Level 3", "<!subteam^S0LEADS>")] {
            let reply = reply(&bot, words).unwrap();
            assert!(reply.contains(meant) && reply.contains("<!here>"), "{reply}");
            assert!(reply.contains("None of those meant is an active full member here"), "{reply}");
        }
        assert_eq!(called(&bot, "error_rate").await, [serde_json::json!(["U0ANN", "here"])]);
        assert_eq!(called(&bot, "auth_failure").await, [serde_json::json!(["S0LEADS", "here"])]);
        let list = bot.say("U0BOB", "oncall").await;
        assert!(list.contains("<@U0ANN> is no full member") && list.contains("whoever is active in the channel"), "{list}");
        assert!(list.contains("<!subteam^S0OPS> is a user group without anybody"), "{list}");
        source.end().await;
        bot.until_quiet().await;
        bot.finish().await;
    }

    async fn whoever_takes_over_next_is_known_to_have_left_before_their_shift_begins(database: TestDatabase) {
        let bot = start(&database, &format!("{DAYS}    hand_over: false\n")).await;
        bot.workspace.deactivate("U0BOB");
        // Five minutes before bob's shift.
        bot.advance_ms(5 * HOUR_MS - 5 * 60_000);
        let source = Source::beside(&bot).await;
        until_known_to_have_left(&bot, &source, "U0BOB").await;
        let left_ms = NIGHT_MS + 5 * 3_600_000 - bot.clock.now_ms();
        bot.advance_ms(u64::try_from(left_ms).expect("his shift has not begun"));

        source.says(&[firing(&bot, "error_rate", Level::Error)]).await;
        let looks = Looks::within(PATIENCE);
        while called(&bot, "error_rate").await.is_empty() {
            looks.again(|| "nobody was told".to_owned()).await;
        }

        assert_eq!(called(&bot, "error_rate").await, [serde_json::json!(["U0BOB", "U0CAT"])]);
        source.end().await;
        bot.until_quiet().await;
        bot.finish().await;
    }

    async fn an_edit_says_whom_it_puts_on_call_and_which_changes_it_leaves_behind(database: TestDatabase) {
        let backup = DAYS.replace("primary", "backup");
        let bot = start(&database, &format!("{DAYS}{backup}")).await;
        bot.say("U0BOB", "oncall override primary <@U0ANN> 2026-11-30 2026-11-30 a trade").await;
        bot.say("U0BOB", "oncall override backup <@U0BOB> 2026-11-30 8h a wedding").await;
        bot.until_quiet().await;

        // Ann is gone, the days begin six hours earlier, and there is no backup.
        let edited = DAYS.replace("U0ANN, ", "").replace("09:00", "03:00");
        let said = rewritten(&bot, &edited).await;

        assert!(said.contains("primary: now <@U0CAT>, before it <@U0ANN>"), "{said}");
        assert!(said.contains("primary` <@U0ANN>") && said.contains("no more in the rotation, but on call by"), "{said}");
        assert!(said.contains("that the configuration no longer has") && said.contains("backup` <@U0BOB>"), "{said}");
        // By the new file cat's day began an hour ago; nothing changed hands then.
        for _ in 0..30 {
            bot.advance_ms(1_000);
            bot.say("U0BOB", "status").await;
        }
        assert_eq!(told(&bot), [""; 0]);
        let list = bot.say("U0BOB", "oncall").await;
        assert!(list.contains("*primary*: <@U0CAT>") && list.contains("oncall override end backup"), "{list}");
        let ended = bot.say("U0BOB", "oncall override end backup").await;
        assert!(ended.contains("ended what was changed"), "{ended}");
        let list = bot.say("U0BOB", "oncall").await;
        assert!(!list.contains("backup"), "{list}");
        // The next change is told as always.
        bot.advance_ms(24 * HOUR_MS);
        bot.until("bob takes over", |bot| told(bot).iter().any(|text| text.contains("primary: <@U0BOB>"))).await;
        bot.until_quiet().await;
        bot.finish().await;
    }

    async fn a_day_is_meant_with_all_its_hours_and_is_still_known_when_it_is_over(database: TestDatabase) {
        let bot = start(&database, DAYS).await;
        let put = bot.say("U0BOB", "oncall override primary <@U0CAT> 2026-11-27 2026-11-27 a trip").await;
        // From midnight in Berlin to the next.
        assert!(is_at(&put, 1_795_734_000) && is_at(&put, 1_795_820_400), "{put}");
        let today = bot.say("U0BOB", "oncall override primary <@U0CAT> 2026-11-24 2026-11-24 ann is ill").await;
        assert!(is_at(&today, bot.clock.now_ms() / 1_000) && is_at(&today, 1_795_561_200), "{today}");
        // 02:30 is not shown on that day: 03:00 is the first moment after it.
        let gap = bot.say("U0BOB", "oncall override primary <@U0CAT> 2027-03-28 02:30 1h the night").await;
        assert!(is_at(&gap, 1_806_195_600) && is_at(&gap, 1_806_199_200), "{gap}");

        let noon = "oncall who primary 2026-11-27 12:00";
        let before = bot.say("U0BOB", noon).await;
        bot.advance_ms(6 * 24 * HOUR_MS);
        let after = bot.say("U0BOB", noon).await;

        for shown in [before, after] {
            assert!(shown.contains("<@U0CAT>") && shown.contains("(changed)"), "{shown}");
        }
        bot.until_quiet().await;
        bot.finish().await;
    }

    async fn a_rotation_that_is_full_of_changes_takes_no_swap_either(database: TestDatabase) {
        let bot = start(&database, DAYS).await;
        let mut raw = database.raw().await;
        for number in 0..200 {
            let begins_ms = NIGHT_MS + 30 * 24 * 3_600_000 + number;
            sqlx::query(
                "insert into oncall_overrides (id, rotation, user_id, from_ms, until_ms, made_by, reason, \
                 created_ms, ended_ms, ended_by) values ($1, 'primary', 'U0CAT', $2, $3, 'U0BOB', '', $4, 0, '')",
            )
            .bind(format!("full/{number}"))
            .bind(begins_ms)
            .bind(begins_ms + 1)
            .bind(NIGHT_MS)
            .execute(&mut raw)
            .await
            .unwrap();
        }

        for typed in ["oncall swap <@U0CAT> a wedding", "oncall override primary <@U0CAT> now 8h ill"] {
            let answer = bot.say("U0BOB", typed).await;
            assert!(answer.contains("Too much is changed in this rotation"), "{answer}");
        }
        assert_eq!(kinds(&bot, "oncall.overridden").await.len(), 0);
        bot.finish().await;
    }

    async fn what_is_to_be_done_is_given_to_somebody_who_reads_it_on_a_day_that_comes(database: TestDatabase) {
        let bot = watching(&database, ACTIONS).await;
        let source = Source::beside(&bot).await;
        source.says(&[firing(&bot, "error_rate", Level::Error)]).await;
        bot.until_card("error_rate").await;
        let card = bot.card();
        let id = &card[card.find("AL-").unwrap()..][..11];
        bot.workspace.deactivate("U0CAT");
        for (typed, words) in [
            ("<@U0NONE> 2026-12-01 add a test", "`U0NONE` is no full member"),
            ("<@U0CAT> 2026-12-01 add a test", "`U0CAT` is no full member"),
            ("<@U0ANN> 2025-12-01 add a test", "`2025-12-01` is over"),
            ("<@U0ANN> 2026-11-23 add a test", "`2026-11-23` is over"),
            ("<@U0ANN> 2026-11-24 add a test", "add a test"),
        ] {
            let answer = bot.say("U0BOB", &format!("alert {id} follow-up {typed}")).await;
            assert!(answer.contains(words), "{typed}: {answer}");
        }
        assert_eq!(kinds(&bot, "follow_up.made").await.len(), 1);
        source.end().await;
        bot.until_quiet().await;
        bot.finish().await;
    }
}
