//! Notices leave by several ways, and none holds another up.

use crate::harness::database::both_engines;
use neostock_ops::clock::Clock;
use neostock_ops::core::alert::Way;
use neostock_ops::engine::{Engine, Error, Identity, Outcome};
use neostock_ops::metrics::Metrics;
use neostock_ops::store::Store;
use neostock_ops::store::outbox::{self, Slot};

/// 2026-11-24 03:00:00 UTC.
const NOW_MS: i64 = 1_795_489_200_000;

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

    async fn a_message_stands_as_long_as_there_are_replies_to_it(database: TestDatabase) {
        let engine = engine(&database.url).await;
        put(&engine, "alert/card", "C0OPS", "", 10).await;
        assert_eq!(next(&engine, Way::Slack, sent()).await, "alert/card");
        engine.clock().advance_ms(10_000);
        put(&engine, "alert/1", "C0OPS", "alert/card", 10).await;
        assert_eq!(next(&engine, Way::Slack, sent()).await, "alert/1");
        let left = async |before_ms: i64| {
            engine.swept(neostock_ops::engine::Swept::default(), before_ms, 100).await.unwrap();
            let mut reader = engine.store().read().await.unwrap();
            let mut left = Vec::new();
            for key in ["alert/card", "alert/1"] {
                if outbox::is_written(&mut reader, key).await.unwrap() {
                    left.push(key);
                }
            }
            left
        };

        assert_eq!(left(NOW_MS + 5_000).await, ["alert/card", "alert/1"]);
        assert_eq!(left(NOW_MS + 20_000).await, ["alert/card"]);
        assert_eq!(left(NOW_MS + 20_000).await, Vec::<&str>::new());
    }
}
