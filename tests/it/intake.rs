//! Alerts without Slack, in virtual time: what sources say, what time brings and what people silence, with two bots
//! at work on one database at once.
//!
//! **Every order.** The captured bodies cannot be had in every order, and need not be: what a body says of one
//! instance (source, fingerprint) has no say in what becomes of another
//! (`what_is_said_of_one_instance_changes_no_other`), so that of all bodies only the order of those counts that speak
//! of one instance. Those few are had in every order, with repeats: here as sightings
//! (`every_order_of_what_is_said_of_one_instance_ends_alike`), in `webhooks` as bodies.

use crate::harness::alerts::{asked, bob, engine};
use crate::harness::database::{TestDatabase, both_engines};
use crate::harness::place::{Place, ROLLBACK};
use neostock_ops::clock::Clock;
use neostock_ops::config;
use neostock_ops::config::alerting::{self, Alerting};
use neostock_ops::core::alert::{Event, Level, Sighting, State};
use neostock_ops::core::alert_card::AlertView;
use neostock_ops::core::id::{AlertId, SilenceId};
use neostock_ops::core::silence::Matcher;
use neostock_ops::engine::{
    AlertWish, Engine, Heard, SilenceWanted, SilenceWish, Silenced, Terms, Wanted, Wished,
};
use neostock_ops::store::alerts::{self as rows, AlertFilter};
use neostock_ops::store::journal::{Filter, newest_of};
use serde_json::Value;
use sqlx::Row as _;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tokio::sync::watch;

/// 2026-11-24 03:00:00 UTC.
const NOW_MS: i64 = 1_795_489_200_000;
const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;
/// Level 2 calls Bob, level 3 whoever is there; an instance that is down explains errors.
const ALERTING: &str = "
alerts:
  error_rate: {threshold: 0.05, duration: 60s, severity: error, channels: [slack]}
escalation:
  error: {steps: [{tell: [U0BOB]}], rises_after: 15m}
  critical: {steps: [{tell: [here]}], repeat: {every: 5m, times: 24}}
inhibit:
  - {by: ZoneDown, quiet: [error_rate]}
";

/// Two bots on one database and one clock.
struct Bots {
    bots: [Engine; 2],
    clock: Clock,
    alerting: watch::Sender<Arc<Alerting>>,
}

impl Bots {
    async fn start(database: &TestDatabase) -> Self {
        let clock = Clock::manual(NOW_MS);
        let place = Place::new(ROLLBACK);
        let runbook = config::runbook::load(&place.runbook()).unwrap();
        let alerting = watch::Sender::new(Arc::new(read(ALERTING)));
        let terms = Terms {
            runbook: watch::Sender::new(Arc::new(runbook)).subscribe(),
            alerting: alerting.subscribe(),
        };
        let one = engine(database, &clock, &terms, "one").await;
        let two = engine(database, &clock, &terms, "two").await;
        Self { bots: [one, two], clock, alerting }
    }

    fn one(&self) -> &Engine {
        &self.bots[0]
    }

    async fn says(&self, sightings: &[Sighting]) {
        self.one().observe(sightings.to_vec()).await.unwrap();
    }

    /// Moves the clock on and does what is due, as the alarm clock would.
    async fn after_ms(&self, by_ms: i64) {
        self.clock.advance_ms(by_ms.unsigned_abs());
        while self.one().advance_alerts().await.unwrap() > 0 {}
    }

    async fn all(&self, name: &str) -> Vec<AlertView> {
        let filter = AlertFilter { name: name.to_owned(), limit: 200, ..AlertFilter::default() };
        self.one().alerts(&filter).await.unwrap()
    }

    /// The one alert of this name.
    async fn alert(&self, name: &str) -> AlertView {
        let mut all = self.all(name).await;
        assert_eq!(all.len(), 1, "{all:#?}");
        all.remove(0)
    }

    async fn wishes(&self, id: &AlertId, wish: AlertWish, up_to: Level) -> &'static str {
        let delivery = format!("{id} {wish:?} {up_to:?} {}", self.clock.now_ms());
        let answer = Box::new(|wished: &Wished| {
            let words = match wished {
                Wished::Done(_) => "done",
                Wished::Already(_) => "already",
                Wished::Over(_) => "over",
                Wished::Changed(_) => "changed",
                Wished::NoSuch => "none",
            };
            words.to_owned()
        });
        let wanted = Wanted {
            wish,
            reason: "why".into(),
            name: String::new(),
            seen: None,
            silences_up_to: up_to,
            answer,
        };
        let said = self.one().alert_event(asked(&delivery), &bob(), id, wanted).await.unwrap();
        ["done", "already", "over", "changed", "none"].into_iter().find(|one| *one == said).unwrap()
    }

    async fn silence(&self, wish: SilenceWish, delivery: &str) -> String {
        let answer = Box::new(|outcome: &Silenced| match outcome {
            Silenced::Begun(_, alerts) => format!("begun {alerts}"),
            Silenced::Ended(_, alerts) => format!("ended {alerts}"),
            Silenced::TooMany => "too many".to_owned(),
            Silenced::NoSuch => "none".to_owned(),
        });
        let wanted = SilenceWanted { wish, answer };
        self.one().silence(asked(delivery), &bob(), wanted).await.unwrap()
    }

    async fn begin(&self, id: &str, words: &str, for_ms: i64) -> String {
        let words: Vec<String> = words.split(' ').map(str::to_owned).collect();
        let wish = SilenceWish::Begin {
            id: SilenceId::new(id),
            matcher: Matcher::parse(&words).unwrap(),
            until_ms: self.clock.now_ms() + for_ms,
            reason: "a rehearsal".to_owned(),
        };
        self.silence(wish, &format!("begin {id}")).await
    }

    async fn end(&self, id: &str) -> String {
        self.silence(SilenceWish::End { id: SilenceId::new(id) }, &format!("end {id}")).await
    }

    /// What the journal says of an alert, the oldest first: `told new`, `kept_quiet worse`.
    async fn story(&self, id: &AlertId) -> Vec<String> {
        let mut reader = self.one().store().read().await.unwrap();
        let rows = newest_of(&mut reader, &Filter::default(), 2_000).await.unwrap();
        let mut lines: Vec<String> = rows
            .iter()
            .filter(|row| row.subject == id.as_str())
            .filter_map(|row| {
                let kind = row.kind.strip_prefix("alert.")?;
                let detail: Value = serde_json::from_str(&row.detail).unwrap();
                let why = detail["why"].as_str().unwrap_or_default();
                Some(format!("{kind} {why}").trim().to_owned())
            })
            .collect();
        lines.reverse();
        lines
    }
}

fn read(text: &str) -> Alerting {
    alerting::parse("alerting.yml", text.as_bytes()).unwrap()
}

/// An instance of an alert that fires.
fn fires(name: &str, instance: &str, level: Level) -> Sighting {
    Sighting {
        source: "alertmanager".to_owned(),
        fingerprint: format!("{name}/{instance}"),
        starts_ms: NOW_MS - MINUTE_MS,
        ended_ms: None,
        name: name.to_owned(),
        service: "neostock".to_owned(),
        environment: "production".to_owned(),
        level,
        ways: BTreeSet::new(),
        summary: format!("{name} on {instance}"),
        description: String::new(),
        labels: BTreeMap::from([("instance".to_owned(), instance.to_owned())]),
        links: Vec::new(),
        value: String::new(),
        owner: String::new(),
    }
}

fn over(one: &Sighting) -> Sighting {
    Sighting { ended_ms: Some(NOW_MS), ..one.clone() }
}

/// The same way each time.
struct Random(u64);

impl Random {
    fn below(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % u64::try_from(below).unwrap()).unwrap()
    }
}

/// What is stored of each instance whose fingerprint begins so: its beginnings, and whether each is over.
async fn instances(database: &TestDatabase, prefix: &str) -> BTreeMap<(String, i64), bool> {
    let mut connection = database.raw().await;
    let rows = sqlx::query("select series, starts_ms, ended_ms from alert_instances")
        .fetch_all(&mut connection)
        .await
        .unwrap();
    let found = rows.iter().map(|row| {
        let (series, starts_ms, ended_ms): (String, i64, i64) =
            (row.get(0), row.get(1), row.get(2));
        let series = series.trim_start_matches("alertmanager/").to_owned();
        ((series, starts_ms), ended_ms != 0)
    });
    let own = found.filter(|((series, _), _)| series.starts_with(prefix));
    own.map(|((series, starts_ms), is_over)| {
        ((series[prefix.len()..].to_owned(), starts_ms), is_over)
    })
    .collect()
}

/// All that two firings of an instance can be said to do.
fn said_of(name: &str, instance: &str) -> [Sighting; 4] {
    let first = fires(name, instance, Level::Error);
    let second = Sighting { starts_ms: NOW_MS, ..first.clone() };
    [first.clone(), over(&first), second.clone(), over(&second)]
}

/// Every order of so many things.
fn orders(of: usize) -> Vec<Vec<usize>> {
    let mut all = vec![Vec::new()];
    for next in 0..of {
        all = all
            .into_iter()
            .flat_map(|order: Vec<usize>| {
                (0..=order.len()).map(move |at| {
                    let mut longer = order.clone();
                    longer.insert(at, next);
                    longer
                })
            })
            .collect();
    }
    all
}

both_engines! {
    async fn every_order_of_what_is_said_of_one_instance_ends_alike(database: TestDatabase) {
        let bots = Bots::start(&database).await;
        // Of all four, of those that leave it firing, and each with what was said once more somewhere.
        let mut tried = 0;
        for said in [&[0, 1, 2, 3][..], &[0, 1, 2], &[0, 2]] {
            for order in orders(said.len()) {
                for again in 0..=said.len() {
                    let name = format!("w{tried:03}");
                    let of = said_of(&name, "a");
                    let mut order: Vec<usize> = order.iter().map(|at| said[*at]).collect();
                    if let Some(once_more) = said.get(again) {
                        order.push(*once_more);
                    }
                    for at in &order {
                        bots.says(std::slice::from_ref(&of[*at])).await;
                    }

                    let found = instances(&database, &format!("{name}/")).await;
                    let is_over = said.contains(&3);
                    let right = BTreeMap::from([
                        (("a".to_owned(), NOW_MS - MINUTE_MS), true),
                        (("a".to_owned(), NOW_MS), is_over),
                    ]);
                    assert_eq!(found, right, "{order:?}");
                    // What began and ended before it was heard of has no alert.
                    let open = bots.all(&name).await.iter().filter(|one| !one.condition.is_over()).count();
                    assert_eq!(open, usize::from(!is_over), "{order:?}");
                    tried += 1;
                }
            }
        }
        assert_eq!(tried, 24 * 5 + 6 * 4 + 2 * 3);
    }

    async fn what_is_said_of_one_instance_changes_no_other(database: TestDatabase) {
        let bots = Bots::start(&database).await;
        let mut random = Random(0x9e37_79b9_7f4a_7c15);
        for world in 0..12 {
            let (mixed, apart) = (format!("m{world}-"), format!("a{world}-"));
            // Two names, of one two instances: they share an alert. What is said of all, in one order …
            let those = [("x", "1"), ("x", "2"), ("y", "1")];
            let mut said: Vec<(usize, usize)> = (0..those.len()).flat_map(|one| (0..4).map(move |at| (one, at))).collect();
            // … with repeats, and without some of it.
            for _ in 0..4 {
                let again = said[random.below(said.len())];
                said.push(again);
                said.swap_remove(random.below(said.len()));
            }
            for at in (1..said.len()).rev() {
                said.swap(at, random.below(at + 1));
            }

            let mut rest = &said[..];
            while !rest.is_empty() {
                let (body, later) = rest.split_at(1 + random.below(rest.len()));
                let body: Vec<Sighting> = body.iter().map(|(one, at)| {
                    let (name, instance) = those[*one];
                    said_of(&format!("{mixed}{name}"), instance)[*at].clone()
                }).collect();
                bots.bots[random.below(2)].observe(body).await.unwrap();
                rest = later;
            }
            // The same of each by itself, one after the other.
            for (one, (name, instance)) in those.iter().enumerate() {
                for (_, at) in said.iter().filter(|(of, _)| *of == one) {
                    bots.says(&[said_of(&format!("{apart}{name}"), instance)[*at].clone()]).await;
                }
            }

            let found = instances(&database, &mixed).await;
            assert_eq!(found, instances(&database, &apart).await, "{said:?}");
            for name in ["x", "y"] {
                let alerts = bots.all(&format!("{mixed}{name}")).await;
                let open = alerts.iter().filter(|one| one.condition.is_firing).count();
                let fires = found.iter().any(|((series, _), is_over)| series.starts_with(name) && !is_over);
                assert_eq!(open, usize::from(fires), "{name} {said:?}");
            }
        }
    }

    async fn a_beginning_far_in_the_future_hides_nothing_that_begins_now(database: TestDatabase) {
        let bots = Bots::start(&database).await;
        let now = fires("error_rate", "web-1", Level::Error);
        let mistaken = Sighting { starts_ms: NOW_MS + 24 * 365 * HOUR_MS, ..now.clone() };
        bots.says(std::slice::from_ref(&mistaken)).await;

        bots.says(std::slice::from_ref(&now)).await;
        assert_eq!(bots.alert("error_rate").await.firing, 1);
        bots.says(&[over(&now)]).await;
        assert!(bots.alert("error_rate").await.condition.is_over());
        bots.says(&[mistaken, Sighting { starts_ms: NOW_MS, ..now }]).await;
        let alert = bots.alert("error_rate").await;
        assert_eq!((alert.condition.state, alert.firing), (State::Open, 1));
    }

    async fn what_becomes_worse_beside_something_new_is_worse(database: TestDatabase) {
        let bots = Bots::start(&database).await;
        let known = fires("error_rate", "web-1", Level::Error);
        bots.says(std::slice::from_ref(&known)).await;

        let worse = Sighting { level: Level::Critical, ..known };
        bots.says(&[worse, fires("error_rate", "web-2", Level::Warning)]).await;

        let alert = bots.alert("error_rate").await;
        assert_eq!(alert.condition.level, Level::Critical);
        assert_eq!(bots.story(&alert.id).await, ["opened", "told new", "incident", "told worse"]);
    }

    async fn one_that_fires_speaks_for_its_alert(database: TestDatabase) {
        let bots = Bots::start(&database).await;
        let first = fires("error_rate", "web-1", Level::Critical);
        let second = Sighting { starts_ms: NOW_MS, ..fires("error_rate", "web-2", Level::Error) };
        bots.says(&[first.clone(), second]).await;
        assert_eq!(bots.alert("error_rate").await.first.summary, "error_rate on web-1");

        bots.says(&[over(&first)]).await;

        let alert = bots.alert("error_rate").await;
        assert_eq!(alert.first.summary, "error_rate on web-2");
        // It is still the alert that began then, and as bad as it was.
        assert_eq!((alert.first.starts_ms, alert.condition.level), (first.starts_ms, Level::Critical));
    }

    async fn a_silence_of_one_instance_hides_no_other(database: TestDatabase) {
        let bots = Bots::start(&database).await;
        bots.begin("SL-A", "instance=web-1", 2 * HOUR_MS).await;
        bots.says(&[fires("error_rate", "web-1", Level::Error)]).await;
        let alert = bots.alert("error_rate").await;
        assert_eq!(bots.story(&alert.id).await, ["opened", "kept_quiet new"]);

        bots.says(&[fires("error_rate", "web-2", Level::Error)]).await;
        assert_eq!(bots.alert("error_rate").await.condition.silenced_until_ms, 0);
        assert_eq!(bots.story(&alert.id).await[2..], ["unsilenced", "told silence_over"]);

        // Nor does a silence that begins later; both together do.
        assert_eq!(bots.begin("SL-B", "instance=web-3", HOUR_MS).await, "begun 0");
        assert_eq!(bots.alert("error_rate").await.condition.silenced_until_ms, 0);
        bots.begin("SL-C", "instance=web-2", HOUR_MS).await;
        assert_eq!(bots.alert("error_rate").await.condition.silenced_until_ms, NOW_MS + HOUR_MS);
        bots.end("SL-A").await;
        assert_eq!(bots.alert("error_rate").await.condition.silenced_until_ms, 0);
    }

    async fn a_silence_by_name_holds_when_it_becomes_worse_and_that_of_the_alert_does_not(database: TestDatabase) {
        let bots = Bots::start(&database).await;
        let one = fires("error_rate", "web-1", Level::Error);
        let worse = Sighting { level: Level::Critical, ..one.clone() };
        bots.begin("SL-A", "name=error_rate", HOUR_MS).await;
        bots.says(std::slice::from_ref(&one)).await;
        bots.says(std::slice::from_ref(&worse)).await;
        let alert = bots.alert("error_rate").await;
        assert_eq!(bots.story(&alert.id).await, ["opened", "kept_quiet new", "incident", "kept_quiet worse"]);

        let other = Sighting { service: "other".into(), fingerprint: "other".into(), name: "late".into(), ..one };
        bots.says(std::slice::from_ref(&other)).await;
        let late = bots.alert("late").await;
        let until_ms = NOW_MS + 3 * HOUR_MS;
        assert_eq!(bots.wishes(&late.id, AlertWish::Silence { until_ms }, Level::Error).await, "done");
        assert_eq!(bots.one().silences().await.unwrap().len(), 2);
        bots.says(&[Sighting { level: Level::Critical, ..other }]).await;
        assert_eq!(bots.alert("late").await.condition.silenced_until_ms, 0);
        assert_eq!(bots.story(&late.id).await, ["opened", "told new", "silenced", "unsilenced", "incident", "told worse"]);
        // It is no more, and not listed as if it were.
        assert_eq!(bots.one().silences().await.unwrap().len(), 1);
        // Another silence that begins or ends beside it brings it back no more.
        bots.begin("SL-B", "service=other", HOUR_MS).await;
        bots.end("SL-B").await;
        assert_eq!(bots.alert("late").await.condition.silenced_until_ms, 0);
        // Whoever was let in for a lesser alert does not silence an incident.
        let until_ms = until_ms + 1;
        assert_eq!(bots.wishes(&late.id, AlertWish::Silence { until_ms }, Level::Error).await, "changed");
        assert_eq!(bots.wishes(&late.id, AlertWish::Silence { until_ms }, Level::Critical).await, "done");
    }

    async fn of_two_silences_of_an_alert_the_one_that_ends_last_counts(database: TestDatabase) {
        let bots = Bots::start(&database).await;
        bots.says(&[fires("error_rate", "web-1", Level::Error)]).await;
        bots.begin("SL-A", "name=error_rate", 4 * HOUR_MS).await;
        let id = bots.alert("error_rate").await.id;

        bots.wishes(&id, AlertWish::Silence { until_ms: NOW_MS + HOUR_MS }, Level::Error).await;

        bots.after_ms(2 * HOUR_MS).await;
        assert_eq!(bots.alert("error_rate").await.condition.silenced_until_ms, NOW_MS + 4 * HOUR_MS);
        assert_eq!(bots.story(&id).await, ["opened", "told new", "silenced"]);
    }

    async fn a_recovery_that_takes_too_long_calls_nobody_while_it_is_silenced(database: TestDatabase) {
        let bots = Bots::start(&database).await;
        bots.begin("SL-A", "name=error_rate", 4 * HOUR_MS).await;
        bots.says(&[fires("error_rate", "web-1", Level::Critical)]).await;

        bots.after_ms(61 * MINUTE_MS).await;

        let alert = bots.alert("error_rate").await;
        assert_eq!(bots.story(&alert.id).await, ["opened", "incident", "kept_quiet new", "recovery_overdue"]);
        let mut reader = bots.one().store().read().await.unwrap();
        let slots = neostock_ops::store::outbox::written_after(&mut reader, 0, 100).await.unwrap();
        let bodies: Vec<String> = slots.into_iter().map(|(_, slot)| slot.body).collect();
        assert!(bodies.iter().any(|body| body.contains("longer than it may")), "{bodies:?}");
        assert!(!bodies.iter().any(|body| body.contains("\"here\"")), "{bodies:?}");
    }

    async fn what_another_alert_explains_calls_nobody_whatever_comes_together(database: TestDatabase) {
        let bots = Bots::start(&database).await;
        let (one, two) = (fires("error_rate", "web-1", Level::Error), fires("error_rate", "web-2", Level::Error));
        let down = fires("ZoneDown", "zone", Level::Error);
        bots.says(&[one.clone(), two.clone(), down.clone()]).await;
        let id = bots.alert("error_rate").await.id;
        assert_eq!(bots.story(&id).await, ["opened", "kept_quiet new"]);

        // What explained it ends in the body in which one of its instances does.
        bots.says(&[over(&one), over(&down)]).await;
        assert!(!bots.alert("error_rate").await.condition.is_inhibited);
        assert_eq!(bots.story(&id).await, ["opened", "kept_quiet new", "released", "told released"]);

        // And both together: nobody is called for what is over.
        let down = Sighting { starts_ms: NOW_MS, ..down };
        bots.says(std::slice::from_ref(&down)).await;
        bots.says(&[over(&two), over(&down)]).await;
        assert_eq!(bots.story(&id).await[4..], ["inhibited", "resolved"]);
    }

    async fn what_opens_again_by_itself_looks_at_what_ended_meanwhile(database: TestDatabase) {
        let bots = Bots::start(&database).await;
        let down = fires("ZoneDown", "zone", Level::Error);
        // What others sent stays over until they say it again; what the bot measures is looked at again.
        let measured =
            Sighting { source: "rule".to_owned(), ..fires("error_rate", "web-1", Level::Error) };
        bots.says(&[measured, down.clone()]).await;
        let id = bots.alert("error_rate").await.id;
        bots.wishes(&id, AlertWish::Resolve, Level::Error).await;
        bots.says(&[over(&down)]).await;

        bots.after_ms(15 * MINUTE_MS).await;

        let alert = bots.alert("error_rate").await;
        assert!(!alert.condition.is_inhibited, "nothing explains it");
        assert_eq!(bots.story(&id).await.last().unwrap(), "told still_firing");
        // And at what began.
        bots.wishes(&id, AlertWish::Resolve, Level::Error).await;
        bots.begin("SL-A", "name=error_rate", HOUR_MS).await;
        bots.after_ms(15 * MINUTE_MS).await;
        assert_eq!(bots.story(&id).await.last().unwrap(), "kept_quiet still_firing");
    }

    async fn an_alert_is_not_quiet_for_ever_when_the_configuration_changes(database: TestDatabase) {
        let bots = Bots::start(&database).await;
        let down = fires("ZoneDown", "zone", Level::Error);
        bots.says(&[fires("error_rate", "web-1", Level::Error), down.clone()]).await;
        let id = bots.alert("error_rate").await.id;
        assert_eq!(bots.one().weigh_inhibitions().await.unwrap(), 0);

        bots.alerting.send_replace(Arc::new(read(ALERTING.split("inhibit:").next().unwrap())));
        let [one, two] = &bots.bots;
        let (first, second) = tokio::join!(one.weigh_inhibitions(), two.weigh_inhibitions());
        assert_eq!(first.unwrap() + second.unwrap(), 1);
        assert_eq!(bots.story(&id).await.last().unwrap(), "told released");

        bots.alerting.send_replace(Arc::new(read(ALERTING)));
        assert_eq!(bots.one().weigh_inhibitions().await.unwrap(), 1);
        assert_eq!(bots.story(&id).await.last().unwrap(), "inhibited");
    }

    async fn one_alert_that_cannot_be_read_keeps_no_other_from_rising(database: TestDatabase) {
        let bots = Bots::start(&database).await;
        let names: Vec<String> = (0..30).map(|at| format!("n{at:02}")).collect();
        bots.says(&names.iter().map(|name| fires(name, "a", Level::Error)).collect::<Vec<_>>()).await;
        let mut connection = database.raw().await;
        sqlx::query("update alerts set condition = '{}' where name = 'n07'").execute(&mut connection).await.unwrap();

        bots.clock.advance_ms(15 * 60_000);
        assert_eq!(bots.one().advance_alerts().await.unwrap(), 29);
        // What is left is said, and no endless work.
        assert!(bots.one().advance_alerts().await.is_err());

        let mut reader = bots.one().store().read().await.unwrap();
        assert_eq!(rows::census(&mut reader).await.unwrap(), [0, 1, 29]);
    }

    async fn two_bots_tell_what_is_due_at_the_same_moment_once(database: TestDatabase) {
        let bots = Bots::start(&database).await;
        let names: Vec<String> = (0..120).map(|at| format!("n{at:03}")).collect();
        bots.says(&names.iter().map(|name| fires(name, "a", Level::Error)).collect::<Vec<_>>()).await;
        // Level 3, and its first repetition: twice all of them at one moment.
        for minutes in [15, 5] {
            bots.clock.advance_ms(minutes * 60_000);
            let rounds = bots.bots.clone().map(|engine| tokio::spawn(async move {
                while engine.advance_alerts().await.unwrap() > 0 {}
            }));
            for round in rounds {
                round.await.unwrap();
            }
        }

        let mut reader = bots.one().store().read().await.unwrap();
        let slots = neostock_ops::store::outbox::written_after(&mut reader, 0, 10_000).await.unwrap();
        drop(reader);
        for alert in bots.all("").await {
            let story = bots.story(&alert.id).await;
            let right = ["opened", "told new", "incident", "told unanswered", "told repeated"];
            assert_eq!(story, right, "{}", alert.first.name);
            let prefix = format!("alert/{}/", alert.id);
            // Its card, and a reply for each of them.
            assert_eq!(slots.iter().filter(|(_, slot)| slot.key.starts_with(&prefix)).count(), 5);
        }
    }

    async fn what_fires_and_ends_at_the_same_moment_is_over(database: TestDatabase) {
        let bots = Bots::start(&database).await;
        let [one, two] = &bots.bots;
        for round in 0..60 {
            let fires = fires(&format!("n{round}"), "a", Level::Error);
            let over = over(&fires);
            let (first, second) = tokio::join!(one.observe(vec![fires]), two.observe(vec![over]));
            first.unwrap();
            second.unwrap();
        }

        for alert in bots.all("").await {
            let is_over = alert.condition.is_over();
            assert!(is_over && alert.firing == 0, "{}: {:?} {}", alert.first.name, alert.condition.state, alert.firing);
        }
    }

    async fn two_beginnings_of_one_instance_at_the_same_moment_leave_the_newer(database: TestDatabase) {
        let bots = Bots::start(&database).await;
        let [one, two] = &bots.bots;
        for round in 0..60 {
            let first = fires(&format!("n{round}"), "a", Level::Error);
            let second = Sighting { starts_ms: NOW_MS, ..first.clone() };
            let (first, second) = tokio::join!(one.observe(vec![first]), two.observe(vec![second]));
            first.unwrap();
            second.unwrap();
        }

        for alert in bots.all("").await {
            assert_eq!(alert.firing, 1, "{:#?}", alert.instances);
        }
    }

    async fn no_alert_that_begins_with_a_silence_misses_it(database: TestDatabase) {
        let bots = Bots::start(&database).await;
        let [one, _] = &bots.bots;
        for round in 0..30 {
            let (name, silence) = (format!("n{round}"), format!("SL-{round}"));
            let said: Vec<Sighting> = ["a", "b", "c"].map(|service| {
                let one = fires(&name, service, Level::Error);
                Sighting { service: service.to_owned(), ..one }
            }).to_vec();
            let (observed, words) = (one.observe(said), format!("name={name}"));
            let (begun, observed) = tokio::join!(bots.begin(&silence, &words, HOUR_MS), observed);
            observed.unwrap();
            assert!(begun.starts_with("begun"), "{begun}");
            for alert in bots.all(&name).await {
                let until_ms = alert.condition.silenced_until_ms;
                assert_eq!(until_ms, NOW_MS + HOUR_MS, "{name} {} after it {begun}", alert.first.service);
            }
            // Nor does one that begins with its end stay silent.
            let again = Sighting { service: "d".into(), ..fires(&name, "d", Level::Error) };
            let (ended, observed) = tokio::join!(bots.end(&silence), one.observe(vec![again]));
            observed.unwrap();
            assert!(ended.starts_with("ended"), "{ended}");
            for alert in bots.all(&name).await {
                assert_eq!(alert.condition.silenced_until_ms, 0, "{name} {} after it {ended}", alert.first.service);
            }
        }
    }

    async fn a_silence_reaches_every_open_alert_whoever_goes_on_with_it(database: TestDatabase) {
        let bots = Bots::start(&database).await;
        // More than one page holds.
        let all: Vec<Sighting> = (0..1_100).map(|at| {
            let one = fires("error_rate", &format!("i{at}"), Level::Error);
            Sighting { service: format!("s{at}"), ..one }
        }).collect();
        for some in all.chunks(100) {
            bots.says(some).await;
        }
        let silenced = async || {
            let mut connection = database.raw().await;
            let count: i64 = sqlx::query_scalar("select count(*) from alerts where condition not like '%\"silenced_until_ms\":0,%'")
                .fetch_one(&mut connection).await.unwrap();
            count
        };

        assert_eq!(bots.begin("SL-A", "name=error_rate", HOUR_MS).await, "begun 1100");
        // The bot that took the wish is gone: another goes on.
        assert!(silenced().await < 1_100);
        while bots.bots[1].tell_of_silences().await.unwrap() > 0 {}
        assert_eq!(silenced().await, 1_100);

        assert_eq!(bots.end("SL-A").await, "ended 1100");
        while bots.bots[1].tell_of_silences().await.unwrap() > 0 {}
        assert_eq!(silenced().await, 0);
    }

    async fn what_pagerduty_says_counts_once_and_not_of_what_is_over(database: TestDatabase) {
        let bots = Bots::start(&database).await;
        let fires = fires("error_rate", "web-1", Level::Error);
        bots.says(std::slice::from_ref(&fires)).await;
        let id = bots.alert("error_rate").await.id;
        let taken = || Event::Acknowledged { by: "pagerduty".to_owned() };
        let [one, two] = &bots.bots;
        let by = ("pagerduty", one.clock().now_ms());

        let (first, second) = tokio::join!(
            one.hear_of_alert("pd/1", &id, taken(), by),
            two.hear_of_alert("pd/1", &id, taken(), by)
        );
        let mut heard = [first.unwrap(), second.unwrap()];
        heard.sort_by_key(|heard| *heard == Heard::Nothing);
        assert_eq!(heard, [Heard::Taken, Heard::Nothing]);
        assert_eq!(bots.alert("error_rate").await.condition.state, State::Acknowledged);
        bots.says(&[over(&fires)]).await;
        let late = one.hear_of_alert("pd/2", &id, taken(), by).await.unwrap();
        assert_eq!(late, Heard::Nothing);
        assert_eq!(bots.story(&id).await, ["opened", "told new", "acknowledged", "resolved"]);
    }

    async fn old_refusals_hide_no_notice_that_waits_now(database: TestDatabase) {
        let bots = Bots::start(&database).await;
        let ended = fires("ended", "a", Level::Error);
        bots.says(std::slice::from_ref(&ended)).await;
        bots.says(&[over(&ended), fires("open", "a", Level::Error)]).await;
        let (ended, open) = (bots.alert("ended").await.id, bots.alert("open").await.id);
        let mut connection = database.raw().await;
        for at in 0..250_i64 {
            sqlx::query(
                "insert into outbox (key, seq, channel, parent, priority, run_id, body, version, sent_version, ts, state, \
                 posting, attempts, refusal, created_ms, due_ms) values ($1, $2, 'C0OPS', '', 1, '', '{}', 1, 0, '', \
                 'refused', 0, 1, 'channel_not_found', 1, 1)",
            )
            .bind(format!("alert/{ended}/old-{at}"))
            .bind(1_000_000 + at)
            .execute(&mut connection)
            .await
            .unwrap();
        }
        sqlx::query("update outbox set state = 'refused' where key = $1").bind(format!("alert/{open}/card")).execute(&mut connection).await.unwrap();

        assert_eq!(bots.one().tell_undelivered().await.unwrap(), 1);
        assert_eq!(bots.story(&open).await, ["opened", "told new", "undelivered", "told undelivered"]);
        assert_eq!(bots.one().tell_undelivered().await.unwrap(), 0);
    }

    async fn a_notice_that_waits_calls_nobody_about_a_silenced_alert_until_it_speaks(database: TestDatabase) {
        let bots = Bots::start(&database).await;
        bots.begin("SL-A", "name=error_rate", HOUR_MS).await;
        bots.says(&[fires("error_rate", "web-1", Level::Error)]).await;
        let id = bots.alert("error_rate").await.id;
        let mut connection = database.raw().await;
        sqlx::query("update outbox set state = 'refused' where key = $1").bind(format!("alert/{id}/card")).execute(&mut connection).await.unwrap();

        assert_eq!(bots.one().tell_undelivered().await.unwrap(), 0);
        assert_eq!(bots.story(&id).await, ["opened", "kept_quiet new"]);
        bots.after_ms(HOUR_MS).await;
        sqlx::query("update outbox set state = 'refused' where key = $1").bind(format!("alert/{id}/card")).execute(&mut connection).await.unwrap();
        assert_eq!(bots.one().tell_undelivered().await.unwrap(), 1);
        assert_eq!(bots.story(&id).await[2..], ["told silence_over", "undelivered", "told undelivered"]);
    }
}
