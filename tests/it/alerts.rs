//! Alerts as people see them and what they do about them: the card and its thread, buttons, commands, and what
//! time brings.

use crate::harness::alerts::{Source, firing, over, press, watching};
use crate::harness::bot::{Bot, shown};
use crate::harness::database::both_engines;
use crate::harness::looks::Looks;
use crate::harness::place::ROLLBACK;
use crate::releases::{ACTIONS, ended};
use neostock_ops::core::alert::{Level, Sighting};
use neostock_ops::core::alert_press::{Deed, Seen};
use neostock_ops::core::id::AlertId;
use neostock_ops::core::press::Press;
use neostock_ops::sandbox::{Answer, Message};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;

const MINUTE_MS: u64 = 60_000;
const HOUR_MS: u64 = 3_600_000;
/// How late people may be told: the bot looks once a second.
const TICK_MS: i64 = 1_000;
/// How long evidence may take that needs no clock.
const PATIENCE: Duration = Duration::from_secs(30);

async fn plain(bot: &Bot, user: &str, text: &str) -> String {
    bot.say(user, text).await.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
}

/// The id in the newest card.
fn alert_id(bot: &Bot) -> String {
    let card = bot.card();
    let at = card.find("AL-").unwrap_or_else(|| panic!("no alert in {card:?}"));
    card[at..at + 11].to_owned()
}

/// The details of the journal's entries of a kind.
async fn entries(bot: &Bot, kind: &str) -> Vec<(String, Value)> {
    let all = bot.journal().await.into_iter().filter(|(found, ..)| found == kind);
    all.map(|(_, actor, detail)| (actor, detail)).collect()
}

/// An alert that is in Slack.
async fn one(bot: &Bot, level: Level) -> (Source, Sighting, String) {
    let source = Source::beside(bot).await;
    let fires = firing(bot, "error_rate", level);
    source.says(std::slice::from_ref(&fires)).await;
    bot.until_card("error_rate · neostock production").await;
    bot.until_quiet().await;
    let id = alert_id(bot);
    (source, fires, id)
}

/// Waits until an alert's own card says this; what the bot says beside it may be newer.
async fn until_own_card(bot: &Bot, id: &str, words: &str) {
    bot.until(words, |bot| {
        let all = cards(bot);
        let own = all.iter().map(shown).find(|card| card.contains(id));
        own.is_some_and(|card| card.contains(words))
    })
    .await;
}

/// Cards outside threads.
fn cards(bot: &Bot) -> Vec<Message> {
    let all = bot.workspace.messages("C0OPS").into_iter();
    all.filter(|message| message.thread_ts.is_none() && message.is_bot).collect()
}

/// Sends the form of a silence off; what stands under its question.
async fn silences(bot: &Bot, user: &str, view: &str, (chosen, reason): (&str, &str)) -> String {
    let values = json!({
        "choice": {"choice": {"type": "static_select", "selected_option": {"value": chosen}}},
        "reason": {"reason": {"type": "plain_text_input", "value": reason}},
    });
    let answer = bot.workspace.submit(user, view, &values).await;
    let Answer::Given { status: 200, body, .. } = &answer else { panic!("{answer:?}") };
    let body: Value = serde_json::from_str(body).unwrap_or_default();
    body["errors"]["reason"].as_str().unwrap_or_default().to_owned()
}

/// Moves the clock on to a moment.
fn advance_to(bot: &Bot, at_ms: i64) {
    let left_ms = at_ms - bot.clock.now_ms();
    assert!(left_ms >= 0, "{at_ms} is over by {left_ms} ms");
    bot.advance_ms(left_ms.unsigned_abs());
}

/// Waits, without the clock moving, until so many tellings are written.
async fn told(bot: &Bot, count: usize) -> Vec<(i64, String)> {
    let looks = Looks::within(PATIENCE);
    loop {
        let store = bot.inspect().await;
        let mut reader = store.read().await.unwrap();
        let filter = neostock_ops::store::journal::Filter {
            kind_prefix: "alert.told".to_owned(),
            ..Default::default()
        };
        let mut rows =
            neostock_ops::store::journal::newest_of(&mut reader, &filter, 100).await.unwrap();
        drop(reader);
        store.close().await;
        rows.reverse();
        let found: Vec<(i64, String)> = rows
            .into_iter()
            .filter_map(|row| {
                let detail: Value = serde_json::from_str(&row.detail).unwrap();
                let told = format!("{} {}", detail["why"].as_str().unwrap(), detail["level"]);
                // The bot tells of itself too.
                (detail["name"] == "error_rate").then_some((row.at_ms, told))
            })
            .collect();
        if found.len() >= count {
            return found;
        }
        looks.again(|| format!("only {found:?} were told")).await;
    }
}

both_engines! {
    async fn an_instance_that_comes_back_is_one_instance_and_two_are_shown_by_what_tells_them_apart(database: TestDatabase) {
        let bot = watching(&database, ACTIONS).await;
        let (source, fires, id) = one(&bot, Level::Error).await;
        source.says(&[over(&bot, &fires)]).await;
        bot.advance_ms(5_000);
        let again = firing(&bot, "error_rate", Level::Error);
        source.says(std::slice::from_ref(&again)).await;
        until_own_card(&bot, &id, "Came back").await;
        let card = cards(&bot).iter().map(shown).find(|card| card.contains(&id)).unwrap();
        assert!(!card.contains("instances"), "{card}");

        let label = |host: &str| BTreeMap::from([("instance".to_owned(), host.to_owned()), ("job".to_owned(), "web".to_owned())]);
        let first = Sighting { labels: label("web-1"), ..again };
        let other = Sighting { fingerprint: "f-2".into(), labels: label("web-2"), ..first.clone() };
        source.says(&[first, other]).await;

        until_own_card(&bot, &id, "2 instances, 2 firing").await;
        let card = cards(&bot).iter().map(shown).find(|card| card.contains(&id)).unwrap();
        assert!(card.contains("instance=web-2"), "{card}");
        source.end().await;
        bot.until_quiet().await;
        bot.finish().await;
    }

    async fn an_alert_is_one_card_that_turns_from_red_to_yellow_to_green(database: TestDatabase) {
        let bot = watching(&database, ROLLBACK).await;
        let calm = plain(&bot, "U0BOB", "alerts").await;
        assert!(calm.contains("Nothing is wrong: no alert is open"), "{calm}");
        let (source, fires, id) = one(&bot, Level::Error).await;
        let ts = cards(&bot)[0].ts.clone();

        assert!(bot.card().contains("🔴 error_rate") && bot.card().contains("7.2% &gt; 5%"), "{}", bot.card());
        assert_eq!(bot.buttons(), ["Acknowledge", "Resolve", "Silence", "Escalate now", "Roll back", "Details"]);
        assert!(bot.thread()[0].contains("Level 2") && bot.thread()[0].contains("<@U0BOB>"), "{:?}", bot.thread());
        let status = plain(&bot, "U0BOB", "status").await;
        let line = format!("level 2 (error) × 1: error_rate · neostock production `{id}`");
        assert!(status.contains("🔔 Open alerts:") && status.contains(&line), "{status}");

        let taken = bot.click("U0ANN", "Acknowledge").await;
        assert!(taken.contains("由您处理了") && taken.contains("30 分钟"), "{taken}");
        bot.until_card("🟡 error_rate").await;
        assert!(bot.card().contains("<@U0ANN>"), "{}", bot.card());
        assert_eq!(bot.buttons(), ["Take over", "Give back", "Resolve", "Silence", "Escalate now", "Roll back", "Details"]);
        let again = bot.click("U0ANN", "Take over").await;
        assert!(again.contains("已经由您处理"), "{again}");
        let theirs = bot.click("U0BOB", "Take over").await;
        assert!(theirs.contains("it is yours") && theirs.contains("<@U0ANN>'s until now"), "{theirs}");
        let back = bot.click("U0BOB", "Give back").await;
        assert!(back.contains("nobody's again"), "{back}");
        bot.until_card("🔴 error_rate").await;

        bot.advance_ms(MINUTE_MS);
        source.says(&[over(&bot, &fires)]).await;
        bot.until_card("🟢 error_rate").await;
        bot.until_quiet().await;
        assert_eq!(bot.buttons(), ["Details"]);
        assert_eq!(cards(&bot).len(), 1, "{}", bot.everything());
        assert_eq!(cards(&bot)[0].ts, ts);
        let thread = bot.thread().join("\n");
        for words in ["<@U0ANN> is on it", "<@U0BOB> is on it", "<@U0BOB> gave it back", "It is over"] {
            assert_eq!(thread.matches(words).count(), 1, "{words}: {thread}");
        }
        let late = plain(&bot, "U0ANN", &format!("alert {id} ack")).await;
        assert!(late.contains("它已经结束，没有改变什么"), "{late}");
        assert!(!plain(&bot, "U0BOB", "status").await.contains("Open alerts"));
        source.end().await;
        bot.finish().await;
    }

    async fn every_wish_can_be_typed_in_both_languages_by_those_who_may(database: TestDatabase) {
        let bot = watching(&database, ROLLBACK).await;
        let (source, fires, id) = one(&bot, Level::Error).await;

        for (user, words, answer) in [
            ("U0CAT", "ack", "您没有"),
            ("U0CAT", "resolve", "<!subteam^S0OPS>"),
            ("U0EVE", "", "full member"),
            ("U0BOB", "release", "nobody has it"),
            ("U0BOB", "unsilence", "it is not silenced"),
            ("U0ANN", "接手 我在看", "由您处理了"),
            ("U0ANN", "ack", "已经由您处理"),
            ("U0ANN", "放回", "已放回"),
            ("U0BOB", "ack it is the new index", "it is yours"),
            ("U0BOB", "silence 2h the supplier is down", "nobody is told until"),
            ("U0ANN", "取消静默", "静默已取消"),
            ("U0BOB", "escalate I need the team", "level 3 · critical now"),
            ("U0ANN", "silence 2h 吵", "您没有 `lead` 角色"),
            ("U0BOB", "silence 2h known, and worked on", "nobody is told until"),
            ("U0BOB", "unsilence", "people are told again"),
            ("U0BOB", "akc", "ack, release"),
            ("U0BOB", "silence 9d why", "from 5m to 7d"),
            ("U0BOB", "resolve a false alarm", "unless that ends it opens again"),
            ("U0ANN", "关闭", "它已经结束"),
        ] {
            let said = plain(&bot, user, &format!("alert {id} {words}")).await;
            assert!(said.contains(answer), "{user} {words}: {said}");
        }
        let missing = plain(&bot, "U0BOB", "alert AL-00000000 ack").await;
        assert!(missing.contains("There is no alert `AL-00000000`"), "{missing}");
        let wrong = plain(&bot, "U0ANN", "alert R-7K3QZD5A ack").await;
        assert!(wrong.contains("AL-7K3QZD5A"), "{wrong}");
        bot.until_card("resolved by hand").await;

        let story = plain(&bot, "U0CAT", &format!("alert {id}")).await;
        for words in ["经过", "<@U0BOB>", "the supplier is down", "告警被人升级", "a false alarm"] {
            assert!(story.contains(words), "{words}: {story}");
        }
        let at = |words: &str| story.find(words).unwrap();
        assert!(at("我在看") < at("the supplier is down") && at("the supplier is down") < at("a false alarm"), "{story}");
        assert_eq!(entries(&bot, "alert.acknowledged").await.len(), 2);
        assert_eq!(entries(&bot, "request.denied").await.len(), 4);
        // Its source was not convinced: it is nobody's, and told again.
        bot.advance_ms(15 * MINUTE_MS);
        bot.until_card("🔴 error_rate").await;
        source.says(&[over(&bot, &fires)]).await;
        source.end().await;
        bot.finish().await;
    }

    async fn a_silence_is_chosen_in_a_form_and_ends_by_itself(database: TestDatabase) {
        let bot = watching(&database, ROLLBACK).await;
        let (source, _, id) = one(&bot, Level::Error).await;

        assert!(bot.opens("U0CAT", "Silence").await.is_none(), "a form for somebody who may not");
        let form = bot.opens("U0ANN", "Silence").await.expect("no form was opened");
        let view = bot.workspace.views().pop().unwrap().view;
        assert_eq!(view["blocks"][1]["element"]["options"].as_array().unwrap().len(), 4, "{view}");
        assert!(view["title"]["text"].as_str().unwrap().contains("静默"), "{view}");
        assert!(silences(&bot, "U0ANN", &form, ("4h", " ")).await.contains("请写明原因"));
        assert_eq!(silences(&bot, "U0ANN", &form, ("4h", "供应商 <!channel> 演练")).await, "");
        bot.until_card("🔕 error_rate").await;
        bot.until_quiet().await;
        assert!(bot.buttons().contains(&"End the silence".to_owned()), "{:?}", bot.buttons());
        let silenced = &entries(&bot, "alert.silenced").await[0].1;
        assert_eq!(silenced["reason"], "供应商 <!channel> 演练");
        let until_ms = silenced["until_ms"].as_i64().unwrap();
        assert!((until_ms - bot.clock.now_ms()).unsigned_abs() > 3 * HOUR_MS, "{until_ms}");

        let before = told(&bot, 1).await.len();
        bot.advance_ms(3 * HOUR_MS);
        bot.until_quiet().await;
        assert_eq!(told(&bot, 1).await.len(), before, "somebody was told of a silenced alert");
        let listed = plain(&bot, "U0BOB", "silence").await;
        assert!(listed.contains("<@U0ANN>") && listed.contains("error_rate"), "{listed}");
        // A tenth of its length before it ends.
        let left_ms = until_ms - bot.clock.now_ms();
        bot.advance_ms(left_ms.unsigned_abs() - 20 * MINUTE_MS);
        bot.until("its owner is warned", |bot| {
            bot.workspace.messages("C0OPS").iter().any(|one| shown(one).contains("your silence"))
        }).await;
        bot.until_quiet().await;
        let left_ms = until_ms - bot.clock.now_ms();
        bot.advance_ms(left_ms.unsigned_abs());
        let after = told(&bot, before + 1).await;
        let (at_ms, why) = after.last().unwrap();
        assert!(at_ms - until_ms <= TICK_MS && why == "silence_over 2", "{after:?} {until_ms}");
        bot.until("it is told in its thread", |bot| bot.thread().join("\n").contains("The silence is over and it still fires")).await;

        // Of an incident nobody silences but a lead, whether by the form or by a command.
        plain(&bot, "U0BOB", &format!("alert {id} escalate")).await;
        until_own_card(&bot, &id, "3 · critical").await;
        bot.until_quiet().await;
        assert!(bot.opens("U0ANN", "Silence").await.is_none());
        let form = bot.opens("U0BOB", "Silence").await.expect("no form for a lead");
        assert_eq!(silences(&bot, "U0BOB", &form, ("nonsense", "we know")).await, "");
        until_own_card(&bot, &id, "🔕 error_rate").await;
        let ended = bot.click("U0ANN", "End the silence").await;
        assert!(ended.contains("静默已取消"), "{ended}");
        source.end().await;
        bot.finish().await;
    }

    async fn a_button_of_an_older_card_does_nothing_and_says_so(database: TestDatabase) {
        let bot = watching(&database, ROLLBACK).await;
        let (source, fires, id) = one(&bot, Level::Error).await;
        let alert = AlertId::parse(&id).unwrap();
        let seen = Seen { returns: 0, level: Level::Error };
        let old = |deed| Press::Alert { deed, alert: alert.clone(), seen };

        plain(&bot, "U0BOB", &format!("alert {id} escalate")).await;
        let louder = press(&bot, "U0BOB", &old(Deed::Escalate)).await;
        assert!(louder.contains("it is not as you were shown any more") && louder.contains("3 · critical"), "{louder}");
        source.says(&[over(&bot, &fires)]).await;
        let late = press(&bot, "U0BOB", &old(Deed::Acknowledge)).await;
        assert!(late.contains("it is over, so nothing was changed"), "{late}");
        bot.advance_ms(MINUTE_MS);
        source.says(&[Sighting { starts_ms: bot.clock.now_ms(), ..fires.clone() }]).await;
        for deed in [Deed::Acknowledge, Deed::Resolve, Deed::Silence, Deed::Escalate] {
            let answer = press(&bot, "U0BOB", &old(deed)).await;
            assert!(answer.contains("it is not as you were shown any more"), "{deed:?}: {answer}");
        }
        assert!(entries(&bot, "alert.acknowledged").await.is_empty());
        let denied = press(&bot, "U0CAT", &old(Deed::Acknowledge)).await;
        assert!(denied.contains("您没有"), "{denied}");
        let details = press(&bot, "U0CAT", &old(Deed::Details)).await;
        assert!(details.contains("经过"), "{details}");
        bot.until_card("Came back").await;
        source.end().await;
        bot.finish().await;
    }

    async fn two_people_who_press_at_once_leave_one_owner(database: TestDatabase) {
        let bot = watching(&database, ROLLBACK).await;
        let (source, _, id) = one(&bot, Level::Error).await;
        let seen = Seen { returns: 0, level: Level::Error };
        let take = Press::Alert { deed: Deed::Acknowledge, alert: AlertId::parse(&id).unwrap(), seen };

        let (ann, bob) = tokio::join!(press(&bot, "U0ANN", &take), press(&bot, "U0BOB", &take));

        assert!(ann.contains("由您处理") && bob.contains("it is yours"), "{ann}\n{bob}");
        let taken = entries(&bot, "alert.acknowledged").await;
        assert_eq!(taken.len(), 2, "{taken:?}");
        let owner = &taken[1].0;
        bot.until_card("🟡 error_rate").await;
        bot.until_quiet().await;
        assert!(bot.card().contains(&format!("<@{owner}>")), "{owner}: {}", bot.card());
        // Whoever was quicker is told in the thread.
        assert_eq!(bot.thread().join("\n").matches(" is on it").count(), 2);
        source.end().await;
        bot.finish().await;
    }

    async fn roll_back_opens_the_ordinary_rollback_with_the_alert_as_its_reason(database: TestDatabase) {
        let bot = watching(&database, ACTIONS).await;
        for (marks, version) in [(1, "v1.1"), (2, "v1.2")] {
            bot.say("U0BOB", &format!("deploy {version}")).await;
            ended(&bot, marks).await;
        }
        bot.advance_ms(HOUR_MS);
        let (source, _, id) = one(&bot, Level::Error).await;

        let denied = bot.click("U0CAT", "Roll back").await;
        assert!(denied.contains("您没有 `operator` 角色"), "{denied}");
        let proposal = bot.click("U0BOB", "Roll back").await;
        assert!(proposal.contains("The last good release of production is `v1.1`"), "{proposal}");
        let accepted = bot.click("U0BOB", "Roll back to v1.1").await;
        assert!(accepted.contains("rollback v1.1 → production"), "{accepted}");
        ended(&bot, 3).await;

        let reason = format!("alert {id}: error_rate 7.2% > 5%");
        assert_eq!(bot.place.marks()[2], format!("back v1.1: {reason}"));
        source.end().await;
        bot.finish().await;
    }

    async fn a_kind_of_alerts_is_silenced_by_a_lead_those_to_come_too(database: TestDatabase) {
        let bot = watching(&database, ROLLBACK).await;
        let (source, fires, id) = one(&bot, Level::Error).await;

        assert!(plain(&bot, "U0CAT", "silence").await.contains("现有的静默"));
        let denied = plain(&bot, "U0ANN", "silence error_rate 2h 演练").await;
        assert!(denied.contains("您没有 `lead` 角色"), "{denied}");
        let nothing = plain(&bot, "U0BOB", "silence name=a name=b 2h why").await;
        assert!(nothing.contains("is there twice"), "{nothing}");
        let begun = plain(&bot, "U0BOB", "silence error_rate env=production 2h a <!channel> rehearsal").await;
        assert!(begun.contains("Open alerts that it is about: 1") && begun.contains("SL-"), "{begun}");
        let at = begun.find("SL-").unwrap();
        let silence = begun[at..at + 11].to_owned();
        bot.until_card("🔕 error_rate").await;
        let list = plain(&bot, "U0ANN", "silence").await;
        assert!(list.contains(&silence) && list.contains("<@U0BOB>"), "{list}");

        let told_before = told(&bot, 1).await.len();
        source.says(&[over(&bot, &fires)]).await;
        bot.until_card("🟢 error_rate").await;
        bot.until_quiet().await;
        bot.advance_ms(20 * MINUTE_MS);
        source.says(&[Sighting { starts_ms: bot.clock.now_ms(), ..fires.clone() }]).await;
        bot.until("another card is there", |bot| cards(bot).len() == 2).await;
        bot.until_quiet().await;
        assert!(bot.card().contains("🔕 error_rate"), "{}", bot.card());
        assert_eq!(told(&bot, 1).await.len(), told_before, "somebody was told of a silenced alert");
        let ended = plain(&bot, "U0ANN", &format!("silence end {silence}")).await;
        assert!(ended.contains("已结束"), "{ended}");
        assert_eq!(told(&bot, told_before + 1).await.last().unwrap().1, "silence_over 2");
        let twice = plain(&bot, "U0ANN", &format!("silence end {silence}")).await;
        assert!(twice.contains("没有这个静默"), "{twice}");
        assert_ne!(alert_id(&bot), id);
        source.end().await;
        bot.finish().await;
    }

    async fn what_is_to_be_done_after_an_alert_is_written_down_and_done(database: TestDatabase) {
        let bot = watching(&database, ROLLBACK).await;
        let (source, fires, id) = one(&bot, Level::Critical).await;
        source.says(&[over(&bot, &fires)]).await;
        bot.until_card("🟢 error_rate").await;

        let denied = plain(&bot, "U0CAT", &format!("alert {id} follow-up <@U0ANN> 2026-12-01 x")).await;
        assert!(denied.contains("您没有"), "{denied}");
        let made = plain(&bot, "U0BOB", &format!("alert {id} follow-up <@U0ANN|ann> 2026-12-01 add <!channel> a test")).await;
        assert!(made.contains("<@U0ANN> until 2026-12-01") && made.contains("FU-"), "{made}");
        let at = made.find("FU-").unwrap();
        let to_do = made[at..at + 11].to_owned();
        for typed in ["alerts follow-ups".to_owned(), format!("alert {id}")] {
            let shown = plain(&bot, "U0CAT", &typed).await;
            assert!(shown.contains(&to_do) && shown.contains("2026-12-01"), "{typed}: {shown}");
        }
        let done = plain(&bot, "U0ANN", &format!("alert {id} follow-up done {to_do}")).await;
        assert!(done.contains("完成：<@U0ANN>"), "{done}");
        let twice = plain(&bot, "U0BOB", &format!("alert {id} follow-up done {to_do}")).await;
        assert!(twice.contains("There is no such follow-up that is not done"), "{twice}");
        let none = plain(&bot, "U0BOB", "alert AL-00000000 follow-up <@U0ANN> 2026-12-01 x").await;
        assert!(none.contains("There is no alert"), "{none}");
        assert!(plain(&bot, "U0BOB", "alerts follow-ups").await.contains(": none"));
        source.end().await;
        bot.finish().await;
    }

    async fn an_alert_is_listed_by_level_place_and_name_a_page_at_a_time(database: TestDatabase) {
        let bot = watching(&database, ROLLBACK).await;
        let source = Source::beside(&bot).await;
        let mut all: Vec<Sighting> = (0..12).map(|at| firing(&bot, &format!("rule-{at}"), Level::Warning)).collect();
        all.push(Sighting { environment: "staging".into(), ..firing(&bot, "High latency", Level::Critical) });
        // Of one moment: a page must not lose any of them.
        source.says(&all).await;

        let first = plain(&bot, "U0BOB", "alerts").await;
        assert!(first.contains("Open: level 3 (critical) × 1, level 1 (warning) × 12"), "{first}");
        assert_eq!(first.matches("`AL-").count(), 10, "{first}");
        assert!(bot.workspace.press("U0BOB", "Older").await.is_ok());
        let second = bot.workspace.ephemerals("U0BOB").last().map_or_else(String::new, shown);
        assert_eq!(second.matches("`AL-").count(), 3, "{second}");
        let ids = |page: &str| page.split("`AL-").skip(1).map(|rest| rest[..8].to_owned()).collect::<Vec<_>>();
        assert!(ids(&second).iter().all(|id| !ids(&first).contains(id)), "{first}\n{second}");
        for (typed, count) in [("3", 1), ("warning", 10), ("staging", 1), ("name=rule-3", 1), ("name=\"High latency\" env=staging 3", 1), ("env=production 3", 0)] {
            let answer = plain(&bot, "U0CAT", &format!("alerts {typed}")).await;
            assert_eq!(answer.matches("`AL-").count(), count, "{typed}: {answer}");
        }
        let refused = plain(&bot, "U0BOB", "alerts moon").await;
        assert!(refused.contains("cannot be `moon`") && refused.contains("staging"), "{refused}");
        let ended: Vec<Sighting> = all.iter().map(|one| over(&bot, one)).collect();
        source.says(&ended).await;
        assert!(plain(&bot, "U0BOB", "alerts").await.contains("Nothing is wrong"));
        assert_eq!(plain(&bot, "U0BOB", "alerts all 3").await.matches("`AL-").count(), 1);
        source.end().await;
        bot.finish().await;
    }

    async fn hostile_words_of_a_source_reach_nobody_and_break_no_card(database: TestDatabase) {
        let bot = watching(&database, ROLLBACK).await;
        let source = Source::beside(&bot).await;
        let long = "字".repeat(10_000);
        let hostile = [
            "<!channel> <@U1> <!subteam^S1>", "`a` ``` *b* _c_ ~d~", "\u{202e}gnp.exe\u{2066}", &long,
            "</script><b>&amp;lt;", "a\n\n\n\u{0}\u{7}b", "rollback --emergency env=staging", "| < > & ' \" «»",
        ];
        let sightings: Vec<Sighting> = hostile.iter().enumerate().map(|(at, words)| {
            let words = (*words).to_owned();
            let name = words.replace('\0', "");
            Sighting {
                fingerprint: format!("h-{at}"),
                service: name.clone(),
                summary: words.clone(),
                description: words.clone(),
                value: words.clone(),
                owner: words.clone(),
                labels: BTreeMap::from([(words.clone(), words.clone()), ("host".into(), words.clone())]),
                links: vec![(words.clone(), "https://example.org/<!channel>".into()), (words.clone(), "javascript:alert(1)".into())],
                ..firing(&bot, &name, Level::Error)
            }
        }).collect();
        source.says(&sightings).await;
        bot.until("every card is there", |bot| cards(bot).len() == hostile.len()).await;
        bot.until_quiet().await;

        for card in cards(&bot) {
            let words = shown(&card);
            let at = words.find("AL-").unwrap_or_else(|| panic!("no id in {words:?}"));
            let id = &words[at..at + 11];
            plain(&bot, "U0BOB", &format!("alert {id}")).await;
            plain(&bot, "U0ANN", &format!("alert {id} ack <!channel> <@U1> `x`")).await;
            plain(&bot, "U0BOB", &format!("alert {id} silence 1h {}", "长".repeat(3_000))).await;
        }
        plain(&bot, "U0BOB", "alerts").await;
        plain(&bot, "U0BOB", "status").await;
        for typed in ["alerts name=<!channel>", "alerts \u{202e}x", "alert <!channel> ack", "alert AL-7K3QZD5A <@U1>"] {
            plain(&bot, "U0BOB", typed).await;
        }
        bot.until_quiet().await;
        assert_eq!(bot.workspace.faults(), Vec::<String>::new());
        for message in bot.workspace.messages("C0OPS").iter().chain(&bot.workspace.ephemerals("U0BOB")) {
            for words in mrkdwn_of(message) {
                for mention in ["<!channel", "<!subteam^S1", "<@U1>", "<javascript"] {
                    // A person whom somebody of ours names in a reason is meant.
                    let is_reason = mention == "<@U1>" && words.contains("is on it") || words.contains("经过") || words.contains("What happened");
                    assert!(is_reason || !words.contains(mention), "{mention} in {words}");
                }
            }
        }
        source.end().await;
        bot.finish().await;
    }

    async fn a_forgotten_acknowledgement_is_reminded_and_then_undone(database: TestDatabase) {
        let bot = watching(&database, ROLLBACK).await;
        let (source, _, _) = one(&bot, Level::Error).await;
        bot.click("U0ANN", "Acknowledge").await;
        bot.until_quiet().await;

        bot.advance_ms(30 * MINUTE_MS);
        bot.until("they are asked", |bot| bot.thread().join("\n").contains("are you still on it?")).await;
        bot.until_quiet().await;
        assert!(bot.buttons().contains(&"Still on it".to_owned()), "{:?}", bot.buttons());
        let still = bot.click("U0ANN", "Still on it").await;
        assert!(still.contains("由您处理了"), "{still}");
        bot.until_quiet().await;
        bot.advance_ms(25 * MINUTE_MS);
        bot.until_quiet().await;
        assert!(bot.card().contains("🟡 error_rate"), "{}", bot.card());
        bot.advance_ms(5 * MINUTE_MS);
        bot.until("they are asked again", |bot| bot.thread().join("\n").matches("are you still on it?").count() == 2).await;
        bot.until_quiet().await;
        bot.advance_ms(15 * MINUTE_MS);
        bot.until_card("🔴 error_rate").await;
        bot.until_quiet().await;

        let thread = bot.thread().join("\n");
        assert_eq!(thread.matches("was not heard of again").count(), 1, "{thread}");
        assert_eq!(told(&bot, 2).await.iter().filter(|(_, why)| why == "forgotten 2").count(), 1);
        source.end().await;
        bot.finish().await;
    }

    async fn levels_rise_in_time_over_restarts_and_nobody_is_told_twice(database: TestDatabase) {
        let mut bot = watching(&database, ROLLBACK).await;
        let source = Source::beside(&bot).await;
        let begun_ms = bot.clock.now_ms();
        source.says(&[firing(&bot, "error_rate", Level::Warning)]).await;
        bot.until_card("error_rate").await;
        bot.until_quiet().await;
        assert!(told(&bot, 0).await.is_empty(), "level 1 is told to nobody");

        // Just before its five minutes the bot is stopped, and is not there when they end.
        advance_to(&bot, begun_ms + 5 * 60_000 - 1);
        bot.end().await;
        bot.advance_ms(11);
        let back_ms = bot.clock.now_ms();
        bot.begin().await;
        let first = told(&bot, 1).await;
        bot.until_quiet().await;
        // Another restart in the middle of the fifteen minutes changes nothing.
        bot.advance_ms(7 * MINUTE_MS);
        bot.end().await;
        bot.begin().await;
        advance_to(&bot, first[0].0 + 15 * 60_000 - 1);
        assert_eq!(told(&bot, 1).await.len(), 1, "told too early");
        // The bot looks once a second at the least.
        bot.advance_ms(TICK_MS.unsigned_abs());
        let second = told(&bot, 2).await;
        bot.until_quiet().await;
        advance_to(&bot, second[1].0 + 5 * 60_000);
        let third = told(&bot, 3).await;

        let whys: Vec<&str> = third.iter().map(|(_, why)| why.as_str()).collect();
        assert_eq!(whys, ["unanswered 2", "unanswered 3", "repeated 3"]);
        let due_ms = [back_ms, first[0].0 + 15 * 60_000, second[1].0 + 5 * 60_000];
        for ((at_ms, why), due_ms) in third.iter().zip(due_ms) {
            assert!((0..=TICK_MS).contains(&(at_ms - due_ms)), "{why} at {at_ms}, due at {due_ms}, begun at {begun_ms}");
        }
        bot.until_card("3 · critical").await;
        bot.until_quiet().await;
        let thread = bot.thread().join("\n");
        for (words, count) in [("It did not pass by itself: level 2", 1), ("Nobody answered: level 3", 1), ("Again: nobody has taken it", 1), ("This is an incident", 1)] {
            assert_eq!(thread.matches(words).count(), count, "{words}: {thread}");
        }
        let taken = bot.click("U0BOB", "Acknowledge").await;
        assert!(taken.contains("it is yours"), "{taken}");
        source.end().await;
        bot.finish().await;
    }
}

/// Every text of a message that Slack would look for mentions in.
fn mrkdwn_of(message: &Message) -> Vec<String> {
    fn gather(value: &Value, out: &mut Vec<String>) {
        match value {
            Value::Object(object) => {
                if object.get("type").is_some_and(|kind| kind == "mrkdwn")
                    && let Some(Value::String(text)) = object.get("text")
                {
                    out.push(text.clone());
                }
                object.values().for_each(|inner| gather(inner, out));
            }
            Value::Array(items) => items.iter().for_each(|item| gather(item, out)),
            _ => {}
        }
    }
    let mut out = vec![message.text.clone()];
    message.blocks.iter().for_each(|block| gather(block, &mut out));
    out
}
