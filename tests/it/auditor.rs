//! The auditor: alerts that should have moved and did not, and notices that do not get through.

use crate::harness::alerts::{Source, firing};
use crate::harness::bot::{Bot, NIGHT_MS};
use crate::harness::database::{TestDatabase, both_engines};
use crate::harness::place::Place;
use neostock_ops::clock::Clock;
use neostock_ops::config::{alerting, runbook};
use neostock_ops::core::alert::{Event, Level, Sighting, Way};
use neostock_ops::core::id::AlertId;
use neostock_ops::engine::{Engine, Identity, Outcome, Terms};
use neostock_ops::metrics::Metrics;
use neostock_ops::sandbox::{Fault, Options};
use neostock_ops::store::Store;
use neostock_ops::store::alerts::{AlertFilter, waiting_notices};
use neostock_ops::store::journal::{Filter, newest_of};
use neostock_ops::store::outbox;
use std::sync::Arc;
use tokio::sync::watch;

const MINUTE_MS: u64 = 60_000;
/// Mail is set up, and the alert does not ask for it.
const ALERTING: &str = r"
alerts:
  error_rate: {threshold: 0.05, duration: 60s, severity: error, channels: [slack]}
escalation:
  error: {steps: [{tell: [U0BOB]}], rises_after: 15m}
notices:
  email: {smtp: '127.0.0.1:9', tls: none, from: ops@example.org, to: [ann@example.org, eve@example.org]}
";

const ACTIONS: &str = r"
  quick:
    summary: {zh: 快, en: Quick}
    role: operator
    steps:
      - {name: Quick, run: [true]}
";

/// An engine that nobody drives: what is due stays so until it is asked to do it.
async fn undriven(database: &TestDatabase, place: &Place, clock: &Clock) -> Engine {
    std::fs::write(place.alerting(), ALERTING).unwrap();
    let store = Store::connect(&database.url, clock.clone(), None).await.unwrap();
    let identity =
        Identity { owner: "test/1".to_owned(), host: "test".to_owned(), lease_ms: 30_000 };
    let runbook = runbook::load(&place.runbook()).unwrap();
    let alerting = alerting::load(&place.alerting()).unwrap();
    let terms = Terms {
        runbook: watch::Sender::new(Arc::new(runbook)).subscribe(),
        alerting: watch::Sender::new(Arc::new(alerting)).subscribe(),
    };
    Engine::new(store, identity, Metrics::new().unwrap()).with_terms(terms)
}

/// A sender tries the next message to Slack, and it is not taken.
async fn refuse_one(engine: &Engine) {
    let message = engine.next_message(Way::Slack).await.unwrap().expect("nothing is due");
    engine.message_done(message, Outcome::NotSent).await.unwrap();
}

async fn undelivered(engine: &Engine) -> Vec<String> {
    let mut reader = engine.store().read().await.unwrap();
    let rows = newest_of(&mut reader, &Filter::default(), 200).await.unwrap();
    let rows = rows.into_iter().filter(|row| row.kind == "alert.undelivered");
    rows.map(|row| row.detail).collect()
}

async fn mails(engine: &Engine) -> usize {
    let mut reader = engine.store().read().await.unwrap();
    let all = outbox::written_after(&mut reader, 0, 1_000).await.unwrap();
    all.iter().filter(|(_, slot)| slot.channel == "email:ann@example.org").count()
}

both_engines! {
    async fn an_alert_that_nobody_moves_is_found_and_one_that_moved_is_not(database: TestDatabase) {
        let (place, clock) = (Place::new(ACTIONS), Clock::manual(NIGHT_MS));
        let engine = undriven(&database, &place, &clock).await;
        let sighting = sighting_at(NIGHT_MS);
        engine.observe(vec![sighting]).await.unwrap();
        clock.advance_ms(15 * MINUTE_MS);
        assert_eq!(engine.stuck_alerts().await.unwrap(), (0, 0), "due, and not late yet");

        clock.advance_ms(MINUTE_MS + 1);

        let rise_ms = NIGHT_MS + 15 * 60_000;
        assert_eq!(engine.stuck_alerts().await.unwrap(), (1, rise_ms));
        engine.advance_alerts().await.unwrap();
        assert_eq!(engine.stuck_alerts().await.unwrap(), (0, 0));
        engine.store().close().await;
    }

    async fn a_notice_that_does_not_get_through_is_told_by_every_other_way_once_a_level(database: TestDatabase) {
        let (place, clock) = (Place::new(ACTIONS), Clock::manual(NIGHT_MS));
        let engine = undriven(&database, &place, &clock).await;
        engine.observe(vec![sighting_at(NIGHT_MS)]).await.unwrap();
        clock.advance_ms(2 * MINUTE_MS);
        refuse_one(&engine).await;
        assert_eq!(engine.tell_undelivered().await.unwrap(), 0, "it has two minutes");
        assert_eq!(mails(&engine).await, 0, "nobody asked for mail");

        clock.advance_ms(1);

        assert_eq!(engine.tell_undelivered().await.unwrap(), 1);
        assert_eq!(mails(&engine).await, 1);
        clock.advance_ms(5 * MINUTE_MS);
        engine.tell_undelivered().await.unwrap();
        assert_eq!(undelivered(&engine).await.iter().filter(|one| one.contains("C0OPS")).count(), 1);
        clock.advance_ms(9 * MINUTE_MS);
        engine.advance_alerts().await.unwrap();
        clock.advance_ms(3 * MINUTE_MS);
        engine.tell_undelivered().await.unwrap();
        let told = undelivered(&engine).await;
        assert_eq!(told.iter().filter(|one| one.contains("C0OPS")).count(), 2, "{told:?}");
        engine.store().close().await;
    }

    async fn two_bots_that_look_at_once_tell_it_once(database: TestDatabase) {
        let (place, clock) = (Place::new(ACTIONS), Clock::manual(NIGHT_MS));
        let one = undriven(&database, &place, &clock).await;
        let other = undriven(&database, &place, &clock).await;
        one.observe(vec![sighting_at(NIGHT_MS)]).await.unwrap();
        refuse_one(&one).await;
        clock.advance_ms(3 * MINUTE_MS);

        let (told, told_too) = tokio::join!(one.tell_undelivered(), other.tell_undelivered());

        assert_eq!(told.unwrap() + told_too.unwrap(), 1);
        assert_eq!((mails(&one).await, undelivered(&one).await.len()), (1, 1));
        one.store().close().await;
        other.store().close().await;
    }

    async fn what_somebody_has_or_wants_quiet_calls_nobody_by_another_way(database: TestDatabase) {
        let (place, clock) = (Place::new(ACTIONS), Clock::manual(NIGHT_MS));
        let engine = undriven(&database, &place, &clock).await;
        engine.observe(vec![sighting_at(NIGHT_MS)]).await.unwrap();
        let id = only_alert(&engine).await;
        refuse_one(&engine).await;
        clock.advance_ms(MINUTE_MS);
        let now_ms = clock.now_ms();
        let until_ms = now_ms + 10 * 60_000;
        engine.hear_of_alert("t/1", &id, Event::Silenced { until_ms }, ("U0BOB", now_ms)).await.unwrap();
        clock.advance_ms(3 * MINUTE_MS);
        assert_eq!(engine.tell_undelivered().await.unwrap(), 0, "it is silent");

        let now_ms = clock.now_ms();
        engine.hear_of_alert("t/2", &id, Event::Unsilenced, ("U0BOB", now_ms)).await.unwrap();
        assert_eq!(engine.tell_undelivered().await.unwrap(), 1, "it is not any more");
        assert_eq!(undelivered(&engine).await.len(), 1);
        engine.store().close().await;
    }

    async fn a_mail_server_that_takes_nothing_is_told_of_once_and_gets_no_more_mail_for_it(database: TestDatabase) {
        let (place, clock) = (Place::new(ACTIONS), Clock::manual(NIGHT_MS));
        let engine = undriven(&database, &place, &clock).await;
        let ways = std::collections::BTreeSet::from([Way::Email]);
        engine.observe(vec![Sighting { ways, ..sighting_at(NIGHT_MS) }]).await.unwrap();
        for _ in 0..2 {
            let message = engine.next_message(Way::Email).await.unwrap().expect("a mail each");
            engine.message_done(message, Outcome::NotSent).await.unwrap();
        }
        while let Some(message) = engine.next_message(Way::Slack).await.unwrap() {
            engine.message_done(message, Outcome::Sent("1.1".to_owned())).await.unwrap();
            clock.advance_ms(2_000);
        }
        clock.advance_ms(3 * MINUTE_MS);

        assert_eq!(engine.tell_undelivered().await.unwrap(), 1);
        assert_eq!(engine.tell_undelivered().await.unwrap(), 0);

        assert_eq!(mails(&engine).await, 1, "the way that fails gets more of it");
        assert_eq!(undelivered(&engine).await.len(), 1);
        engine.store().close().await;
    }

    async fn notices_of_what_is_over_are_not_looked_at_for_ever(database: TestDatabase) {
        let (place, clock) = (Place::new(ACTIONS), Clock::manual(NIGHT_MS));
        let engine = undriven(&database, &place, &clock).await;
        engine.observe(vec![sighting_at(NIGHT_MS)]).await.unwrap();
        let message = engine.next_message(Way::Slack).await.unwrap().expect("nothing is due");
        engine.message_done(message, Outcome::Refused("invalid_blocks".to_owned())).await.unwrap();
        clock.advance_ms(MINUTE_MS);
        let looked_at = async || {
            let mut reader = engine.store().read().await.unwrap();
            waiting_notices(&mut reader, (i64::MAX, i64::MAX), 10).await.unwrap().len()
        };
        assert!(looked_at().await > 0);

        let ended_ms = Some(clock.now_ms());
        engine.observe(vec![Sighting { ended_ms, ..sighting_at(NIGHT_MS) }]).await.unwrap();

        assert_eq!(looked_at().await, 0);
        engine.store().close().await;
    }

    async fn a_running_bot_tells_by_mail_what_slack_does_not_take(database: TestDatabase) {
        let place = Place::new(ACTIONS);
        std::fs::write(place.alerting(), ALERTING).unwrap();
        let mut bot = Bot::in_workspace(&database, place, Options::default()).await;
        let source = Source::beside(&bot).await;
        bot.workspace.fail_matching("chat.postMessage", 10_000, Fault::Error("channel_not_found"));

        source.says(&[firing(&bot, "error_rate", Level::Error)]).await;
        let begin_ms = bot.clock.now_ms();
        bot.until("people are told by mail", |bot| bot.clock.now_ms() > begin_ms + 140_000).await;

        let kinds = bot.journal_kinds().await;
        assert!(kinds.iter().any(|kind| kind == "alert.undelivered"), "{kinds:?}");
        source.end().await;
        bot.end().await;
    }
}

/// The id of the alert that there is.
async fn only_alert(engine: &Engine) -> AlertId {
    let found = engine.alerts(&AlertFilter { limit: 2, ..AlertFilter::default() }).await.unwrap();
    assert_eq!(found.len(), 1);
    found[0].id.clone()
}

fn sighting_at(at_ms: i64) -> Sighting {
    Sighting {
        source: "rule".into(),
        fingerprint: "error_rate".into(),
        starts_ms: at_ms,
        ended_ms: None,
        name: "error_rate".into(),
        service: "neostock".into(),
        environment: "production".into(),
        level: Level::Error,
        ways: std::collections::BTreeSet::new(),
        summary: "7.2% of all answers are errors".into(),
        description: String::new(),
        labels: std::collections::BTreeMap::new(),
        links: Vec::new(),
        value: String::new(),
        owner: String::new(),
    }
}
