//! Silences of alerts, and what is to be done after incidents: told once by whichever of two bots is quicker,
//! in virtual time.

use crate::harness::alerts::{asked, bob, engine};
use crate::harness::database::{TestDatabase, both_engines};
use crate::harness::place::{Place, ROLLBACK};
use neostock_ops::clock::Clock;
use neostock_ops::config;
use neostock_ops::config::alerting::Alerting;
use neostock_ops::core::alert::{Level, Sighting};
use neostock_ops::core::alert_card::AlertView;
use neostock_ops::core::contact::Day;
use neostock_ops::core::id::{AlertId, FollowUpId, SilenceId, UserId};
use neostock_ops::core::silence::Matcher;
use neostock_ops::engine::{
    Engine, FollowUpWanted, FollowUpWish, FollowedUp, SilenceWanted, SilenceWish, Silenced, Terms,
};
use neostock_ops::store::alerts::AlertFilter;
use neostock_ops::store::journal::{Filter, newest_of};
use neostock_ops::store::outbox;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tokio::sync::watch;

/// 2026-11-24 03:00:00 UTC, eleven in the morning in China.
const NOW_MS: i64 = 1_795_489_200_000;
const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;

/// Two bots on one database and one clock.
struct Two {
    bots: [Engine; 2],
    clock: Clock,
}

impl Two {
    async fn start(database: &TestDatabase) -> Self {
        let clock = Clock::manual(NOW_MS);
        let place = Place::new(ROLLBACK);
        let runbook = config::runbook::load(&place.runbook()).unwrap();
        let terms = Terms {
            runbook: watch::Sender::new(Arc::new(runbook)).subscribe(),
            alerting: watch::Sender::new(Arc::new(Alerting::default())).subscribe(),
        };
        let first = engine(database, &clock, &terms, "one").await;
        let second = engine(database, &clock, &terms, "two").await;
        Self { bots: [first, second], clock }
    }

    fn engine(&self) -> &Engine {
        &self.bots[0]
    }

    fn advance_ms(&self, by_ms: i64) {
        self.clock.advance_ms(by_ms.unsigned_abs());
    }

    async fn begin(&self, id: &str, words: &str, for_ms: i64) -> String {
        let matcher = Matcher::parse(&words.split(' ').map(str::to_owned).collect::<Vec<_>>());
        let wish = SilenceWish::Begin {
            id: SilenceId::new(id),
            matcher: matcher.unwrap(),
            until_ms: self.clock.now_ms() + for_ms,
            reason: "a <!channel> rehearsal".to_owned(),
        };
        self.silence(&format!("begin {id}"), wish).await
    }

    async fn end(&self, id: &str) -> String {
        let wish = SilenceWish::End { id: SilenceId::new(id) };
        self.silence(&format!("end {id}"), wish).await
    }

    async fn silence(&self, delivery: &str, wish: SilenceWish) -> String {
        let answer = Box::new(|outcome: &Silenced| match outcome {
            Silenced::Begun(_, alerts) => format!("begun {alerts}"),
            Silenced::Ended(_, alerts) => format!("ended {alerts}"),
            Silenced::TooMany => "too many".to_owned(),
            Silenced::NoSuch => "none".to_owned(),
        });
        let wanted = SilenceWanted { wish, answer };
        self.engine().silence(asked(delivery), &bob(), wanted).await.unwrap()
    }

    async fn follow_up(&self, delivery: &str, wish: FollowUpWish) -> String {
        let answer = Box::new(|outcome: &FollowedUp| match outcome {
            FollowedUp::Made(one) => format!("made {}", one.id),
            FollowedUp::Finished(one) => format!("done {}", one.id),
            FollowedUp::NoAlert => "no alert".to_owned(),
            FollowedUp::NoSuch => "none".to_owned(),
            FollowedUp::TooMany => "too many".to_owned(),
        });
        let wanted = FollowUpWanted { wish, answer };
        self.engine().follow_up(asked(delivery), &bob(), wanted).await.unwrap()
    }

    async fn alert(&self) -> AlertView {
        let filter = AlertFilter { is_open: true, limit: 10, ..AlertFilter::default() };
        let mut all = self.engine().alerts(&filter).await.unwrap();
        assert_eq!(all.len(), 1, "{all:?}");
        all.remove(0)
    }

    async fn warned(&self) -> [usize; 2] {
        let [one, two] = &self.bots;
        let (one, two) = tokio::join!(one.warn_of_silences(), two.warn_of_silences());
        [one.unwrap(), two.unwrap()]
    }

    async fn reminded(&self) -> usize {
        let [one, two] = &self.bots;
        let (one, two) = tokio::join!(one.remind_of_follow_ups(), two.remind_of_follow_ups());
        one.unwrap() + two.unwrap()
    }

    async fn body(&self, key: &str) -> Option<String> {
        let mut reader = self.engine().store().read().await.unwrap();
        outbox::body_of(&mut reader, key).await.unwrap()
    }

    async fn kinds(&self, wanted: &str) -> usize {
        let mut reader = self.engine().store().read().await.unwrap();
        let rows = newest_of(&mut reader, &Filter::default(), 200).await.unwrap();
        rows.iter().filter(|row| row.kind == wanted).count()
    }
}

fn fires(environment: &str, instance: &str) -> Sighting {
    Sighting {
        source: "rule".to_owned(),
        fingerprint: format!("{environment}/{instance}"),
        starts_ms: NOW_MS - MINUTE_MS,
        ended_ms: None,
        name: "error_rate".to_owned(),
        service: "neostock".to_owned(),
        environment: environment.to_owned(),
        level: Level::Error,
        ways: BTreeSet::new(),
        summary: "too many errors".to_owned(),
        description: String::new(),
        labels: BTreeMap::from([("instance".to_owned(), instance.to_owned())]),
        links: Vec::new(),
        value: String::new(),
        owner: String::new(),
    }
}

both_engines! {
    async fn a_silence_reaches_the_alert_that_is_open_and_what_fires_later_and_ends_by_itself(database: TestDatabase) {
        let two = Two::start(&database).await;
        two.engine().observe(vec![fires("production", "web-1")]).await.unwrap();
        assert_eq!(two.alert().await.condition.silenced_until_ms, 0);

        assert_eq!(two.begin("SL-A", "name=error_rate env=production", HOUR_MS).await, "begun 1");
        assert_eq!(two.begin("SL-A", "name=error_rate env=production", HOUR_MS).await, "begun 1", "twice");

        let until_ms = NOW_MS + HOUR_MS;
        assert_eq!(two.alert().await.condition.silenced_until_ms, until_ms);
        let until = async |one: &Sighting| two.engine().silent_until_ms(one).await.unwrap();
        assert_eq!(until(&fires("production", "web-2")).await, Some(until_ms));
        assert_eq!(until(&fires("staging", "web-1")).await, None);
        two.advance_ms(HOUR_MS);
        assert_eq!(until(&fires("production", "web-2")).await, None);
        assert_eq!(two.engine().silences().await.unwrap(), []);
        two.engine().advance_alerts().await.unwrap();
        assert_eq!(two.alert().await.condition.silenced_until_ms, 0, "it speaks again");
        assert_eq!(two.kinds("silence.begun").await, 1);
    }

    async fn what_is_ended_is_over_unless_another_silence_holds(database: TestDatabase) {
        let two = Two::start(&database).await;
        two.engine().observe(vec![fires("production", "web-1")]).await.unwrap();
        two.begin("SL-A", "name=error_rate", 2 * HOUR_MS).await;
        two.begin("SL-B", "instance=web-1", HOUR_MS).await;
        assert_eq!(two.begin("SL-C", "instance=web-2", HOUR_MS).await, "begun 0");
        // The one that ends last counts.
        assert_eq!(two.alert().await.condition.silenced_until_ms, NOW_MS + 2 * HOUR_MS);

        assert_eq!(two.end("SL-A").await, "ended 1");
        assert_eq!(two.alert().await.condition.silenced_until_ms, NOW_MS + HOUR_MS);
        assert_eq!(two.end("SL-B").await, "ended 1");
        assert_eq!(two.alert().await.condition.silenced_until_ms, 0);
        assert_eq!(two.end("SL-X").await, "none");
        let left: Vec<String> =
            two.engine().silences().await.unwrap().into_iter().map(|one| one.id.to_string()).collect();
        assert_eq!(left, ["SL-C"]);
        assert_eq!((two.kinds("silence.ended").await, two.kinds("request.refused").await), (2, 1));
    }

    async fn its_owner_is_warned_once_before_its_end_whatever_the_number_of_bots(database: TestDatabase) {
        let two = Two::start(&database).await;
        two.begin("SL-A", "name=error_rate", 10 * HOUR_MS).await;
        two.begin("SL-B", "name=other", 10 * HOUR_MS).await;
        two.begin("SL-C", "name=brief", 6 * MINUTE_MS).await;
        two.end("SL-B").await;
        two.advance_ms(9 * HOUR_MS - 1);
        assert_eq!(two.warned().await, [0, 0]);

        two.advance_ms(1);
        let warned = two.warned().await;
        assert_eq!(warned[0] + warned[1], 1);
        assert_eq!(two.warned().await, [0, 0]);

        let body = two.body("silence/SL-A/warning").await.unwrap();
        assert!(body.contains(r#"{"user":"U0BOB"}"#) && body.contains(r#"{"time":1795525200000}"#), "{body}");
        assert!(body.contains("name=error_rate") && body.contains(r#"{"text":"a <!channel> rehearsal"}"#), "{body}");
        assert_eq!(two.body("silence/SL-B/warning").await, None);
        assert_eq!(two.kinds("silence.warned").await, 1);
    }

    async fn what_is_to_be_done_is_told_at_nine_from_its_day_on_until_it_is_done(database: TestDatabase) {
        let two = Two::start(&database).await;
        two.engine().observe(vec![fires("production", "web-1")]).await.unwrap();
        let alert = two.alert().await.id;
        let make = |alert: &AlertId, id: &str, day: &str| FollowUpWish::Make {
            id: FollowUpId::new(id),
            alert: alert.clone(),
            words: "alert on <!here> the queue's length".to_owned(),
            owner: UserId::new("U0ANN"),
            due: Day::parse(day).unwrap(),
        };

        assert_eq!(two.follow_up("1", make(&alert, "FU-A", "2026-11-26")).await, "made FU-A");
        assert_eq!(two.follow_up("1", make(&alert, "FU-B", "2026-11-26")).await, "made FU-A", "twice");
        assert_eq!(two.follow_up("2", make(&AlertId::new("AL-NONE"), "FU-C", "2026-11-26")).await, "no alert");
        // Nine in the morning there is one o'clock UTC.
        two.advance_ms(46 * HOUR_MS - 1);
        assert_eq!(two.reminded().await, 0);
        two.advance_ms(1);
        assert_eq!(two.reminded().await, 1);
        assert_eq!(two.reminded().await, 0);
        let at_ms = two.clock.now_ms();
        let first = two.body(&format!("alert/{alert}/follow-up/FU-A/{at_ms}")).await.unwrap();
        assert!(first.contains(r#"{"user":"U0ANN"}"#) && first.contains("is due today"), "{first}");
        // Nobody looked for some days: once, and it is overdue.
        two.advance_ms(70 * HOUR_MS);
        assert_eq!(two.reminded().await, 1);
        let at_ms = two.clock.now_ms();
        let late = two.body(&format!("alert/{alert}/follow-up/FU-A/{at_ms}")).await.unwrap();
        assert!(late.contains("is overdue since") && late.contains("2026-11-26"), "{late}");

        let open = two.engine().open_follow_ups().await.unwrap();
        assert_eq!((open.len(), open[0].is_overdue(at_ms)), (1, true));
        // The alert's card is so old that retention has forgotten it: the reminder must not wait for it.
        let mut connection = database.raw().await;
        sqlx::query("delete from outbox").execute(&mut connection).await.unwrap();
        two.advance_ms(24 * HOUR_MS);
        assert_eq!(two.reminded().await, 1);
        let parent: String = sqlx::query_scalar("select parent from outbox where key like '%/follow-up/%'")
            .fetch_one(&mut connection).await.unwrap();
        assert_eq!(parent, "");

        let finish = || FollowUpWish::Finish { id: FollowUpId::new("FU-A") };
        assert_eq!(two.follow_up("3", finish()).await, "done FU-A");
        assert_eq!(two.follow_up("4", finish()).await, "none");
        two.advance_ms(24 * HOUR_MS);
        assert_eq!(two.reminded().await, 0);
        let all = two.engine().follow_ups_of(&alert).await.unwrap();
        assert_eq!(all[0].done, Some((UserId::new("U0BOB"), at_ms + 24 * HOUR_MS)));
        let kinds = [two.kinds("follow_up.made").await, two.kinds("follow_up.done").await, two.kinds("follow_up.reminded").await];
        assert_eq!(kinds, [1, 1, 3]);
    }
}
