//! Notices leave by several ways, and none holds another up.

use crate::harness::alerts::Source;
use crate::harness::bot::{Bot, WEBHOOK_TOKEN, shown};
use crate::harness::database::{TestDatabase, both_engines};
use crate::harness::looks::Looks;
use crate::harness::mail::MailServer;
use crate::harness::pagerduty::{Mode, PagerDuty, ROUTING_KEY, WEBHOOK_SECRET};
use crate::harness::place::Place;
use crate::harness::process::Process;
use axum::http::StatusCode;
use neostock_ops::clock::Clock;
use neostock_ops::core::alert::{Event, State, Way};
use neostock_ops::core::alert_page::alert_of;
use neostock_ops::core::id::AlertId;
use neostock_ops::engine::{Engine, Error, Heard, Identity, Outcome};
use neostock_ops::metrics::Metrics;
use neostock_ops::sandbox::{Fault, Options};
use neostock_ops::source::pagerduty::sign;
use neostock_ops::store::Store;
use neostock_ops::store::alerts::AlertFilter;
use neostock_ops::store::outbox::{self, Slot};
use secrecy::SecretString;
use serde_json::json;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// 2026-11-24 03:00:00 UTC.
const NOW_MS: i64 = 1_795_489_200_000;
/// How long a test waits, in real time, for what must happen.
const PATIENCE: Duration = Duration::from_mins(1);

async fn engine(url: &str) -> Engine {
    let store = Store::connect(url, Clock::manual(NOW_MS), None).await.unwrap();
    let identity =
        Identity { owner: "test/1".to_owned(), host: "test".to_owned(), lease_ms: 30_000 };
    Engine::new(store, identity, Metrics::new().unwrap())
}

/// Writes a message of a row.
async fn put(engine: &Engine, key: &str, channel: &str, parent: &str, priority: i64) {
    let slot = Slot {
        key: key.to_owned(),
        channel: channel.to_owned(),
        parent: parent.to_owned(),
        priority,
        run_id: String::new(),
        body: "{}".to_owned(),
    };
    let put = engine.store().unit(move |unit| {
        Box::pin(async move {
            let now_ms = unit.now_ms();
            outbox::put(unit.connection(), &slot, now_ms).await?;
            Ok::<_, Error>(())
        })
    });
    put.await.unwrap();
}

/// The key of the message of a way that goes next, with this outcome; empty: none may go now.
async fn next(engine: &Engine, way: Way, outcome: Outcome) -> String {
    let Some(message) = engine.next_message(way).await.unwrap() else { return String::new() };
    let key = message.key.clone();
    engine.message_done(message, outcome).await.unwrap();
    key
}

fn sent() -> Outcome {
    Outcome::Sent("1".to_owned())
}

both_engines! {
    async fn what_one_way_waits_for_is_not_claimed_by_another(database: TestDatabase) {
        let engine = engine(&database.url).await;
        put(&engine, "mail", "email:ann@example.org", "", 10).await;
        put(&engine, "page", "pagerduty:default", "", 10).await;
        put(&engine, "card", "C0OPS", "", 10).await;

        let mut taken = Vec::new();
        for way in Way::ALL {
            taken.push(next(&engine, way, Outcome::NotSent).await);
            taken.push(next(&engine, way, sent()).await);
        }

        assert_eq!(taken, ["card", "", "mail", "", "page", ""]);
        let troubles = engine.channels_in_trouble().await.unwrap();
        let channels: Vec<&str> = troubles.iter().map(|one| one.channel.as_str()).collect();
        assert_eq!(channels, ["C0OPS", "email:ann@example.org", "pagerduty:default"]);
    }

    async fn a_row_keeps_its_order_whatever_is_more_urgent(database: TestDatabase) {
        let engine = engine(&database.url).await;
        let channel = "pagerduty:default";
        put(&engine, "a/trigger", channel, "a", 10).await;
        put(&engine, "b/trigger", channel, "b", 20).await;
        put(&engine, "a/worse", channel, "a", 30).await;
        put(&engine, "a/resolve", channel, "a", 30).await;
        put(&engine, "b/resolve", channel, "b", 20).await;

        let mut taken = Vec::new();
        for _ in 0..5 {
            taken.push(next(&engine, Way::Pagerduty, sent()).await);
            engine.clock().advance_ms(1_000);
        }

        assert_eq!(taken, ["b/trigger", "b/resolve", "a/trigger", "a/worse", "a/resolve"]);
    }

    async fn an_event_that_was_refused_holds_nothing_up_and_is_never_sent_late(database: TestDatabase) {
        let engine = engine(&database.url).await;
        put(&engine, "a/trigger", "pagerduty:default", "a", 10).await;
        put(&engine, "a/resolve", "pagerduty:default", "a", 10).await;

        let refused = next(&engine, Way::Pagerduty, Outcome::Refused("400".to_owned())).await;
        engine.clock().advance_ms(1_000);
        let resolved = next(&engine, Way::Pagerduty, sent()).await;
        engine.begin("1", String::new()).await.unwrap();
        engine.clock().advance_ms(120_000);

        assert_eq!((refused.as_str(), resolved.as_str()), ("a/trigger", "a/resolve"));
        assert_eq!(next(&engine, Way::Pagerduty, sent()).await, "");
    }

    async fn a_reply_to_what_slack_will_never_take_stands_by_itself(database: TestDatabase) {
        let engine = engine(&database.url).await;
        put(&engine, "card", "C0OPS", "", 20).await;
        put(&engine, "card/1", "C0OPS", "card", 10).await;
        assert_eq!(next(&engine, Way::Slack, Outcome::Refused("invalid_blocks".to_owned())).await, "card");
        engine.clock().advance_ms(2_000);

        let reply = engine.next_message(Way::Slack).await.unwrap().expect("who is called never hears of it");

        assert_eq!((reply.key.as_str(), &reply.parent_ts), ("card/1", &None));
        engine.message_done(reply, sent()).await.unwrap();
    }

    async fn what_was_refused_outside_slack_is_forgotten_in_time_and_what_slack_refused_is_not(database: TestDatabase) {
        let engine = engine(&database.url).await;
        put(&engine, "mail", "email:ann@example.org", "", 10).await;
        put(&engine, "card", "C0OPS", "", 10).await;
        for (way, key) in [(Way::Email, "mail"), (Way::Slack, "card")] {
            assert_eq!(next(&engine, way, Outcome::Refused("no".to_owned())).await, key);
        }

        engine.swept(neostock_ops::engine::Swept::default(), NOW_MS + 1_000, 100).await.unwrap();

        let mut reader = engine.store().read().await.unwrap();
        assert!(!outbox::is_written(&mut reader, "mail").await.unwrap());
        assert!(outbox::is_written(&mut reader, "card").await.unwrap());
    }

    async fn a_message_stands_as_long_as_there_are_replies_to_it(database: TestDatabase) {
        let engine = engine(&database.url).await;
        put(&engine, "report", "C0OPS", "", 10).await;
        assert_eq!(next(&engine, Way::Slack, sent()).await, "report");
        engine.clock().advance_ms(10_000);
        put(&engine, "report/1", "C0OPS", "report", 10).await;
        assert_eq!(next(&engine, Way::Slack, sent()).await, "report/1");
        let left = async |before_ms: i64| {
            engine.swept(neostock_ops::engine::Swept::default(), before_ms, 100).await.unwrap();
            let mut reader = engine.store().read().await.unwrap();
            let mut left = Vec::new();
            for key in ["report", "report/1"] {
                if outbox::is_written(&mut reader, key).await.unwrap() {
                    left.push(key);
                }
            }
            left
        };

        assert_eq!(left(NOW_MS + 5_000).await, ["report", "report/1"]);
        assert_eq!(left(NOW_MS + 20_000).await, ["report"]);
        assert_eq!(left(NOW_MS + 20_000).await, Vec::<&str>::new());
    }
}

/// A bot that tells Slack, a mail server and PagerDuty.
struct Told {
    /// How far the clock moves at each look.
    tick_ms: u64,
    bot: Bot,
    mail: MailServer,
    pager: PagerDuty,
}

/// Somebody is called by name: the sandbox wants nobody to call a whole channel.
const CALLED: &str =
    "escalation: {error: {steps: [{tell: [U0BOB]}]}, critical: {steps: [{tell: [U0BOB]}]}}";

fn configuration(place: &Place, mail: &MailServer, pager: &PagerDuty) -> String {
    let (email, pagerduty) =
        (mail.configuration("ann@example.org"), pager.configuration(place.path()));
    format!(
        "alerts:\n  cpu: {{threshold: 0.8, duration: 5m, severity: warning, channels: [slack]}}\n{CALLED}\nnotices:\n  {email}\n  {pagerduty}\n"
    )
}

impl Told {
    async fn start(database: &TestDatabase, left_out: &str) -> Self {
        let (mail, pager) = (MailServer::start(left_out).await, PagerDuty::start().await);
        let place = Place::new(LIVE);
        std::fs::write(place.alerting(), configuration(&place, &mail, &pager)).unwrap();
        let bot = Bot::in_workspace(database, place, Options::default()).await;
        Self { tick_ms: 100, bot, mail, pager }
    }

    /// Moves the clock on until something holds.
    async fn until(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        let seen = || {
            let mails: Vec<String> =
                self.mail.mails().iter().map(|mail| mail.header("X-Test-Subject")).collect();
            format!(
                "{what}: mails {mails:?}, events {:?}\n{}",
                self.pager.actions(),
                self.mail.log()
            )
        };
        let looks = Looks::within(PATIENCE);
        while !holds(self) {
            self.bot.advance_ms(self.tick_ms);
            looks.again(seen).await;
        }
    }

    /// Lets a minute go by on the bot's clock.
    async fn a_minute_later(&self) {
        let until_ms = self.bot.clock.now_ms() + 60_000;
        let looks = Looks::within(PATIENCE);
        while self.bot.clock.now_ms() < until_ms {
            self.bot.advance_ms(1_000);
            looks.again(|| "a minute".to_owned()).await;
        }
    }

    /// How many mails and events are about this.
    fn about(&self, name: &str) -> (usize, usize) {
        let mails = self.mail.mails();
        let mails =
            mails.iter().filter(|mail| mail.header("X-Test-Subject").contains(name)).count();
        let events = self.pager.events();
        let events = events.iter().filter(|event| event["payload"]["class"] == name).count();
        (mails, events)
    }

    fn is_in_slack(&self, name: &str) -> bool {
        self.bot.workspace.messages("C0OPS").iter().any(|one| shown(one).contains(name))
    }
}

/// Something that makes a version live.
const LIVE: &str = r"
  release:
    summary: Release
    role: operator
    makes_live: version
    parameters: {version: {type: git_ref, required: true}}
    steps: [{name: Release, run: [git, --version], timeout: 20s}]
";

/// What Alertmanager sends of one alert of level 3.
fn report_of(url: &str, name: &str, status: &str) -> reqwest::RequestBuilder {
    let ends_at = if status == "firing" { "0001-01-01T00:00:00Z" } else { "2026-11-24T03:00:30Z" };
    let alert = json!({
        "status": status,
        "labels": {"alertname": name, "severity": "critical", "instance": "web-1"},
        "annotations": {"summary": format!("{name} on web-1")},
        "startsAt": "2026-11-24T02:59:00Z", "endsAt": ends_at,
    });
    let body = json!({"version": "4", "status": status, "alerts": [alert], "truncatedAlerts": 0});
    reqwest::Client::new()
        .post(format!("{url}/webhooks/alertmanager"))
        .bearer_auth(WEBHOOK_TOKEN)
        .header("content-type", "application/json")
        .body(body.to_string())
}

/// Alertmanager's report is taken.
async fn report(url: &str, name: &str, status: &str) {
    assert_eq!(report_of(url, name, status).send().await.unwrap().status(), 200);
}

/// The id of the alert of this name, as PagerDuty knows it.
fn id_at(pager: &PagerDuty, name: &str) -> AlertId {
    let events = pager.events();
    let event = events.iter().find(|event| event["payload"]["class"] == name).unwrap();
    AlertId::new(alert_of(event["dedup_key"].as_str().unwrap()).unwrap().to_owned())
}

/// What PagerDuty sends of an incident; the status that is answered.
async fn webhook(url: &str, body: &str, secret: &str) -> u16 {
    let signature = sign(&SecretString::from(secret), body.as_bytes());
    let request = reqwest::Client::new()
        .post(format!("{url}/webhooks/pagerduty"))
        .header("x-pagerduty-signature", signature)
        .header("x-webhook-id", "w-1")
        .body(body.to_owned());
    request.send().await.unwrap().status().as_u16()
}

fn incident(event_id: &str, kind: &str, id: &AlertId) -> String {
    json!({"event": {
        "id": event_id, "event_type": kind, "resource_type": "incident",
        "occurred_at": "2026-11-24T03:00:01Z",
        "agent": {"type": "user_reference", "summary": "Ann Lee"},
        "data": {"type": "incident", "incident_key": format!("neostock-ops/neostock/{id}")},
    }})
    .to_string()
}

both_engines! {
    async fn an_alert_is_told_by_every_way_and_its_end_too(database: TestDatabase) {
        let told = Told::start(&database, "LOGIN").await;

        report(&told.bot.url, "Boom", "firing").await;
        told.until("the beginning", |told| told.about("Boom") == (1, 1)).await;
        report(&told.bot.url, "Boom", "resolved").await;
        told.until("the end", |told| told.pager.actions() == ["trigger", "resolve"]).await;
        told.until("its mail", |told| told.about("Boom").0 == 2).await;

        let mails = told.mail.mails();
        assert!(mails[0].header("X-Test-Subject").starts_with("[level 3"), "{}", mails[0].text);
        assert_eq!(mails[0].header("X-Test-To"), "ann@example.org");
        assert_eq!(mails[0].header("Auto-Submitted"), "auto-generated");
        assert_ne!(mails[0].header("Message-ID"), mails[1].header("Message-ID"));
        let thread = mails[0].header("References");
        assert!(thread.ends_with("@example.org>"), "{thread}");
        assert_eq!([&thread, &thread], [&mails[1].header("References"), &mails[1].header("In-Reply-To")]);
        let keys: Vec<_> = told.pager.events().iter().map(|one| one["dedup_key"].clone()).collect();
        assert_eq!(keys[0], keys[1]);
        told.bot.finish().await;
    }

    async fn a_mail_server_that_fails_for_a_minute_loses_and_delays_nothing(database: TestDatabase) {
        let told = Told::start(&database, "").await;
        for mode in ["refuse", "451", "535", "drop"] {
            let name = format!("Fails{mode}");
            told.mail.behave(mode);
            report(&told.bot.url, &name, "firing").await;

            let before_ms = told.bot.clock.now_ms();
            told.until("Slack and PagerDuty", |told| {
                told.is_in_slack(&name) && told.about(&name).1 == 1
            }).await;
            assert!(told.bot.clock.now_ms() - before_ms < 60_000, "{mode} delays the others");
            told.a_minute_later().await;
            assert_eq!(told.about(&name), (0, 1), "{mode}");
            told.mail.behave("ok");
            told.until("the mail", |told| told.about(&name) == (1, 1)).await;
            report(&told.bot.url, &name, "resolved").await;
            told.until("its end", |told| told.about(&name).0 == 2).await;
        }
        told.bot.finish().await;
    }

    async fn a_mail_server_that_says_nothing_delays_nothing_but_mail(database: TestDatabase) {
        // What hangs does so in real time.
        let told = Told { tick_ms: 20, ..Told::start(&database, "").await };
        told.mail.behave("hang");
        report(&told.bot.url, "Hangs", "firing").await;

        told.until("Slack and PagerDuty", |told| {
            told.is_in_slack("Hangs") && told.about("Hangs").1 == 1
        }).await;
        assert_eq!(told.about("Hangs").0, 0);
        told.mail.behave("ok");
        told.until("the mail", |told| told.about("Hangs") == (1, 1)).await;

        report(&told.bot.url, "Hangs", "resolved").await;
        told.until("its end", |told| told.about("Hangs").0 == 2).await;
        told.bot.finish().await;
    }

    async fn a_mail_whose_answer_was_lost_comes_again_under_its_own_name(database: TestDatabase) {
        let told = Told::start(&database, "").await;
        told.mail.behave("mute");
        report(&told.bot.url, "Mute", "firing").await;
        told.until("the first", |told| told.about("Mute").0 == 1).await;

        told.mail.behave("ok");
        told.until("the second", |told| told.about("Mute").0 == 2).await;

        let mails = told.mail.mails();
        assert_eq!(mails[0].header("Message-ID"), mails[1].header("Message-ID"));
        report(&told.bot.url, "Mute", "resolved").await;
        told.until("its end", |told| told.about("Mute").0 == 3).await;
        told.bot.finish().await;
    }

    async fn a_person_who_is_not_there_is_written_down_and_holds_nobody_up(database: TestDatabase) {
        let told = Told::start(&database, "").await;
        told.mail.behave("550");
        report(&told.bot.url, "Nobody", "firing").await;
        told.until("PagerDuty", |told| told.about("Nobody").1 == 1).await;
        told.bot.until_quiet().await;
        told.mail.behave("ok");
        report(&told.bot.url, "Nobody", "resolved").await;
        told.until("the end", |told| told.about("Nobody").0 == 1).await;

        let refused = told.bot.journal().await.into_iter().find(|(kind, ..)| kind == "notice.refused");
        let (_, _, detail) = refused.expect("the refusal is written down");
        assert_eq!(detail["channel"], "email:ann@example.org");
        assert!(detail["why"].as_str().unwrap().contains("550"), "{detail}");
        told.bot.finish().await;
    }

    async fn whatever_pagerduty_does_for_a_minute_its_events_come_in_order(database: TestDatabase) {
        let told = Told::start(&database, "").await;
        let engine = engine_on(&told.bot).await;
        for (at, mode) in [Mode::Status(500), Mode::Status(429), Mode::Hangs, Mode::TakesInSilence]
            .into_iter()
            .enumerate()
        {
            let name = format!("Fails{at}");
            let before = told.pager.events().len();
            told.pager.behave(mode);
            report(&told.bot.url, &name, "firing").await;
            told.until("Slack and mail", |told| told.is_in_slack(&name) && told.about(&name).0 == 1).await;
            let id = open_alert(&engine, &name).await;
            let taken = Event::Acknowledged { by: "U0BOB".to_owned() };
            let by = ("U0BOB", told.bot.clock.now_ms());
            let heard = engine.hear_of_alert(&format!("test/{name}"), &id, taken, by).await;
            assert_eq!(heard.unwrap(), Heard::Taken);
            report(&told.bot.url, &name, "resolved").await;
            told.a_minute_later().await;
            told.pager.behave(Mode::Works);
            let since = |told: &Told| {
                let mut actions = told.pager.actions().split_off(before);
                // What was taken in silence is sent again: the same event, by its key.
                actions.dedup();
                actions
            };
            told.until("every event", |told| since(told) == ["trigger", "acknowledge", "resolve"]).await;
        }
        engine.store().close().await;
        told.bot.finish().await;
    }

    async fn an_event_that_pagerduty_will_never_take_is_written_down(database: TestDatabase) {
        let told = Told::start(&database, "").await;
        let key = told.bot.place.path().join("routing-key");
        std::fs::write(&key, "f".repeat(32)).unwrap();
        report(&told.bot.url, "Refused", "firing").await;
        told.until("the mail", |told| told.about("Refused").0 == 1 && told.pager.calls() > 0).await;
        told.bot.until_quiet().await;

        let kinds = told.bot.journal_kinds().await;
        assert!(kinds.iter().any(|kind| kind == "notice.refused"), "{kinds:?}");
        assert_eq!(told.pager.events().len(), 0);
        told.bot.finish().await;
    }

    async fn without_a_routing_key_events_wait_and_say_why(database: TestDatabase) {
        let told = Told::start(&database, "").await;
        let engine = engine_on(&told.bot).await;
        let key = told.bot.place.path().join("routing-key");
        std::fs::remove_file(&key).unwrap();
        report(&told.bot.url, "Waits", "firing").await;
        told.until("the mail", |told| told.about("Waits").0 == 1).await;
        told.a_minute_later().await;

        let troubles = engine.channels_in_trouble().await.unwrap();
        assert_eq!(troubles.len(), 1, "{troubles:?}");
        assert_eq!(troubles[0].channel, "pagerduty:default");
        assert!(troubles[0].why.contains("cannot be read"), "{troubles:?}");
        let ready: serde_json::Value =
            reqwest::get(format!("{}/readyz", told.bot.url)).await.unwrap().json().await.unwrap();
        let why = ready["outbox_waits_because"][0].as_str().unwrap();
        assert!(why.starts_with("pagerduty: routing key default: "), "{ready}");
        std::fs::write(&key, ROUTING_KEY).unwrap();
        told.until("the event", |told| told.about("Waits").1 == 1).await;
        engine.store().close().await;
        told.bot.finish().await;
    }

    async fn what_a_person_does_at_pagerduty_is_done_here_once_and_not_sent_back(database: TestDatabase) {
        let told = Told::start(&database, "").await;
        let engine = engine_on(&told.bot).await;
        report(&told.bot.url, "Boom", "firing").await;
        told.until("the beginning", |told| told.about("Boom") == (1, 1)).await;
        let id = id_at(&told.pager, "Boom");
        let url = &told.bot.url;
        let acknowledged = incident("e-1", "incident.acknowledged", &id);

        assert_eq!(webhook(url, &acknowledged, "another secret").await, 401);
        assert_eq!(webhook(url, "{}", WEBHOOK_SECRET).await, 400);
        assert_eq!(webhook(url, &"x".repeat(600_000), WEBHOOK_SECRET).await, 413);
        assert_eq!(webhook(url, &incident("e-0", "incident.annotated", &id), WEBHOOK_SECRET).await, 200);
        assert_eq!(engine.alert(&id).await.unwrap().unwrap().condition.state, State::Open);
        for _ in 0..2 {
            assert_eq!(webhook(url, &acknowledged, WEBHOOK_SECRET).await, 200);
        }
        told.until("the mail", |told| told.about("Boom").0 == 2).await;
        let condition = engine.alert(&id).await.unwrap().unwrap().condition;
        assert_eq!(condition.state, State::Acknowledged);
        assert_eq!(condition.acknowledged.unwrap().0, "pagerduty: Ann Lee");
        assert_eq!(webhook(url, &incident("e-2", "incident.resolved", &id), WEBHOOK_SECRET).await, 200);
        told.until("the mail", |told| told.about("Boom").0 == 3).await;
        told.bot.until_quiet().await;

        assert_eq!(told.pager.actions(), ["trigger"], "what came from there went back");
        assert!(engine.alert(&id).await.unwrap().unwrap().condition.is_over());
        engine.store().close().await;
        told.bot.finish().await;
    }

    async fn what_was_done_at_pagerduty_before_an_alert_came_back_takes_nobody_off_it(database: TestDatabase) {
        let told = Told::start(&database, "").await;
        let engine = engine_on(&told.bot).await;
        report(&told.bot.url, "Boom", "firing").await;
        told.until("the beginning", |told| told.about("Boom") == (1, 1)).await;
        let id = id_at(&told.pager, "Boom");
        // By the clock there, just after it began.
        let late = incident("e-1", "incident.acknowledged", &id);
        report(&told.bot.url, "Boom", "resolved").await;
        told.until("the end", |told| told.pager.actions().len() == 2).await;
        told.a_minute_later().await;
        told.a_minute_later().await;
        let again = report_of(&told.bot.url, "Boom", "firing").build().unwrap();
        let body = String::from_utf8(again.body().unwrap().as_bytes().unwrap().to_vec()).unwrap();
        let again = report_of(&told.bot.url, "Boom", "firing").body(body.replace("02:59:00", "03:02:00"));
        assert_eq!(again.send().await.unwrap().status(), 200);
        told.until("its return", |told| told.pager.actions().len() == 3).await;

        assert_eq!(webhook(&told.bot.url, &late, WEBHOOK_SECRET).await, 200);

        assert_eq!(engine.alert(&id).await.unwrap().unwrap().condition.state, State::Open);
        engine.store().close().await;
        told.bot.finish().await;
    }

    async fn what_rises_to_level_3_is_told_by_every_way_that_is_set_up(database: TestDatabase) {
        let told = Told::start(&database, "").await;
        let engine = engine_on(&told.bot).await;
        let request = report_of(&told.bot.url, "Rises", "firing").build().unwrap();
        let body = String::from_utf8(request.body().unwrap().as_bytes().unwrap().to_vec()).unwrap();
        let request = report_of(&told.bot.url, "Rises", "firing").body(body.replace("critical", "error"));
        assert_eq!(request.send().await.unwrap().status(), 200);
        told.until("the mail", |told| told.about("Rises").0 == 1).await;
        assert_eq!(told.pager.actions(), Vec::<String>::new());
        let id = open_alert(&engine, "Rises").await;

        told.bot.say("U0BOB", &format!("alert {id} escalate")).await;

        told.until("every way", |told| told.about("Rises") == (2, 1)).await;
        assert_eq!(told.pager.events()[0]["payload"]["severity"], "critical");
        engine.store().close().await;
        told.bot.finish().await;
    }

    async fn a_mail_names_who_has_it_as_people_know_them(database: TestDatabase) {
        let told = Told::start(&database, "").await;
        report(&told.bot.url, "Boom", "firing").await;
        told.until("the beginning", |told| told.about("Boom") == (1, 1)).await;
        let id = id_at(&told.pager, "Boom");

        told.bot.say("U0BOB", &format!("alert {id} ack")).await;
        told.until("the mail", |told| told.about("Boom").0 == 2).await;

        let mails = told.mail.mails();
        assert!(mails[1].text.contains("By: bob\n"), "{}", mails[1].text);
        assert!(!mails[1].text.contains("U0BOB"), "{}", mails[1].text);
        told.bot.finish().await;
    }

    async fn a_way_that_the_configuration_names_no_more_holds_nothing_up(database: TestDatabase) {
        let told = Told::start(&database, "").await;
        report(&told.bot.url, "Boom", "firing").await;
        told.until("the beginning", |told| told.about("Boom") == (1, 1)).await;
        told.mail.behave("451");
        report(&told.bot.url, "Waits", "firing").await;
        told.until("its event", |told| told.about("Waits").1 == 1).await;
        let path = told.bot.place.alerting();
        let text = std::fs::read_to_string(&path).unwrap();
        let without: Vec<&str> = text.lines().filter(|line| !line.contains("email:")).collect();
        std::fs::write(&path, without.join("\n")).unwrap();
        told.bot.reload.wanted.notify_one();
        told.until("it is in force", |told| told.is_in_slack("alerting configuration")).await;

        report(&told.bot.url, "Boom", "resolved").await;
        told.until("its end", |told| told.pager.actions().contains(&"resolve".to_owned())).await;
        for _ in 0..5 {
            told.a_minute_later().await;
        }
        told.bot.until_quiet().await;

        let refused = told.bot.journal().await.into_iter().find(|(kind, ..)| kind == "notice.refused");
        let (_, _, detail) = refused.expect("the refusal is written down");
        assert_eq!(detail["why"], "the configuration names no mail server");
        assert_eq!(told.about("Boom").0, 1);
        told.bot.finish().await;
    }

    async fn two_bots_tell_each_alert_once(database: TestDatabase) {
        let told = Told::start(&database, "").await;
        let (stop, task) = told.bot.second().await;
        let names = ["One", "Two", "Three", "Four"];
        for name in names {
            report(&told.bot.url, name, "firing").await;
        }
        told.until("every alert", |told| names.iter().all(|name| told.about(name) == (1, 1))).await;
        for name in names {
            report(&told.bot.url, name, "resolved").await;
        }
        told.until("every end", |told| names.iter().all(|name| told.about(name).0 == 2)).await;
        told.bot.until_quiet().await;

        assert_eq!(told.mail.mails().len(), 2 * names.len());
        assert_eq!(told.pager.events().len(), 2 * names.len());
        stop.cancel();
        task.await.unwrap().unwrap();
        told.bot.finish().await;
    }

    async fn what_was_made_live_is_told_to_pagerduty_once(database: TestDatabase) {
        let told = Told::start(&database, "").await;
        told.bot.say("U0BOB", "release v1.2").await;

        told.until("the change", |told| told.pager.changes().len() == 1).await;
        told.a_minute_later().await;

        let changes = told.pager.changes();
        assert_eq!(changes.len(), 1);
        assert_eq!(changes[0]["payload"]["summary"], "production: neostock v1.2 (Release)");
        told.bot.finish().await;
    }

    async fn killed_before_a_call_nothing_is_lost(database: TestDatabase) {
        for passage in 1..=3 {
            kill_once(&database, &format!("sender.before_call@{passage}")).await;
        }
    }

    async fn killed_after_a_call_nothing_new_is_made(database: TestDatabase) {
        for passage in 1..=3 {
            kill_once(&database, &format!("sender.after_call@{passage}")).await;
        }
    }
}

/// One alert, and one death at `fault` while it is told.
async fn kill_once(database: &TestDatabase, fault: &str) {
    let database = TestDatabase::new(database.engine).await;
    let (mail, pager) = (MailServer::start("").await, PagerDuty::start().await);
    let mut bot = Process::new(&database.url, LIVE).await;
    std::fs::write(bot.place.alerting(), configuration(&bot.place, &mail, &pager)).unwrap();
    assert!(bot.start(Some(fault)).await, "{fault}: {}", bot.log());
    // Stored, it is told at once: the bot may die of that before it answers.
    let _ = report_of(&bot.url, "Kill", "firing").send().await;
    bot.until(fault, Process::has_died).await;

    assert!(bot.start(None).await, "{fault}: {}", bot.log());
    report(&bot.url, "Kill", "firing").await;
    let names = || mail.mails().iter().map(|one| one.header("Message-ID")).collect::<BTreeSet<_>>();
    let events = || {
        let mut actions = pager.actions();
        // Sent again, it is the same event by its key.
        actions.dedup();
        actions
    };
    bot.until(fault, |_| names().len() == 1 && events() == ["trigger"]).await;
    report(&bot.url, "Kill", "resolved").await;
    bot.until(fault, |_| names().len() == 2 && events() == ["trigger", "resolve"]).await;

    let cards = bot.told().iter().filter(|text| text.contains("Kill on web-1")).count();
    assert!(cards >= 1, "{fault}: {}", bot.everything());
    let keys: BTreeSet<String> =
        pager.events().iter().map(|one| one["dedup_key"].to_string()).collect();
    assert_eq!(keys.len(), 1, "{fault}");
    bot.kill();
    bot.workspace.shutdown().await;
}

/// An engine of the bot's own database, files and clock, with nobody around it.
async fn engine_on(bot: &Bot) -> Engine {
    Source::beside(bot).await.engine
}

/// The id of the alert of this name that is open.
async fn open_alert(engine: &Engine, name: &str) -> AlertId {
    let filter =
        AlertFilter { name: name.to_owned(), is_open: true, limit: 2, ..AlertFilter::default() };
    let found = engine.alerts(&filter).await.unwrap();
    assert_eq!(found.len(), 1, "{name}");
    found[0].id.clone()
}

/// Counts the calls, and answers 503 to the first ones.
async fn listener(refused: usize) -> (String, Arc<AtomicUsize>) {
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    let count = move || {
        let is_refused = counted.fetch_add(1, Ordering::SeqCst) < refused;
        async move { if is_refused { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK } }
    };
    let router = axum::Router::new().route("/ping", axum::routing::get(count));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/ping", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    (url, calls)
}

both_engines! {
    async fn a_sign_of_life_is_given_as_long_as_people_can_be_told(database: TestDatabase) {
        let (url, calls) = listener(0).await;
        let place = Place::new(LIVE);
        let configuration = format!(
            "alerts: {{cpu: {{threshold: 0.8, duration: 5m, severity: warning, channels: [slack]}}}}\n{CALLED}\nliveness: {{heartbeat: {{url: '{url}', every: 1m}}}}\n"
        );
        std::fs::write(place.alerting(), configuration).unwrap();
        let bot = Bot::in_workspace(&database, place, Options::default()).await;
        let count = || calls.load(Ordering::SeqCst);
        bot.until("two signs", |_| count() >= 2).await;

        bot.workspace.fail_matching("chat.postMessage", 100_000, Fault::ServerError(503));
        bot.say("U0BOB", "release v1.2").await;
        later(&bot, 700_000).await;
        let silent = count();
        later(&bot, 300_000).await;
        assert_eq!(count(), silent, "it says that it is well while nothing can be told");
        bot.workspace.clear_faults();
        bot.until("signs again", |_| count() > silent).await;
        bot.finish().await;
    }
}

both_engines! {
    async fn a_sign_of_life_that_did_not_arrive_is_given_again_soon(database: TestDatabase) {
        let (url, calls) = listener(1).await;
        let place = Place::new(LIVE);
        let configuration = format!(
            "alerts: {{cpu: {{threshold: 0.8, duration: 5m, severity: warning, channels: [slack]}}}}\n{CALLED}\nliveness: {{heartbeat: {{url: '{url}', every: 1h}}}}\n"
        );
        std::fs::write(place.alerting(), configuration).unwrap();
        let bot = Bot::in_workspace(&database, place, Options::default()).await;
        bot.until("the first", |_| calls.load(Ordering::SeqCst) == 1).await;
        let failed_ms = bot.clock.now_ms();

        bot.until("the second", |_| calls.load(Ordering::SeqCst) == 2).await;

        assert!(bot.clock.now_ms() - failed_ms < 120_000, "it waited for the hour");
        bot.finish().await;
    }
}

/// Lets time go by on the bot's clock, in large steps.
async fn later(bot: &Bot, by_ms: i64) {
    let until_ms = bot.clock.now_ms() + by_ms;
    let looks = Looks::within(PATIENCE);
    while bot.clock.now_ms() < until_ms {
        bot.advance_ms(5_000);
        looks.again(|| "time goes by".to_owned()).await;
    }
}
