//! Rules from a sample to a message: on real Prometheus with an exporter that the test moves, and their
//! machine held against promtool's at every tick.

use crate::harness::bot::Bot;
use crate::harness::database::{Engine as On, TestDatabase, both_engines, run_within};
use crate::harness::looks::Looks;
use crate::harness::monitoring::{Exporter, prometheus};
use crate::harness::place::Place;
use crate::harness::process::Process;
use neostock_ops::clock::Clock;
use neostock_ops::config::alerting;
use neostock_ops::core::alert_rule::{Answer, Outcome, Reading, Rule, Standing, State};
use neostock_ops::core::id::ChannelId;
use neostock_ops::core::series::{self, Sample};
use neostock_ops::core::text::{Lang, Text};
use neostock_ops::engine::{Engine, HeldRule, Identity, Whereabouts};
use neostock_ops::metrics::Metrics;
use neostock_ops::sandbox::Options;
use neostock_ops::store::Store;
use neostock_ops::store::journal::{Filter, newest_of};
use neostock_ops::worker::evaluate::tick_of;
use secrecy::SecretString;
use sqlx::{AssertSqlSafe, Row};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(40);
const LONG: Duration = Duration::from_mins(4);

/// A service whose error rate the test moves: fifty requests a second, counted as they would be.
struct Service {
    exporter: Exporter,
    percent: Arc<AtomicU64>,
}

impl Service {
    async fn start() -> Self {
        let exporter = Exporter::start().await;
        let percent = Arc::new(AtomicU64::new(0));
        let moved = Arc::clone(&percent);
        let mut counts = [0.0, 0.0];
        let mut last = Instant::now();
        exporter.tells(move || {
            let requests = last.elapsed().as_secs_f64() * 50.0;
            last = Instant::now();
            let bad = moved.load(Ordering::SeqCst) as f64 / 100.0;
            counts[0] += requests * (1.0 - bad);
            counts[1] += requests * bad;
            format!(
                "http_requests_total{{method=\"GET\",route=\"/\",status=\"200\"}} {}\n\
                 http_requests_total{{method=\"GET\",route=\"/\",status=\"500\"}} {}\n",
                counts[0], counts[1]
            )
        });
        Self { exporter, percent }
    }

    fn fails(&self, percent: u64) {
        self.percent.store(percent, Ordering::SeqCst);
    }
}

/// A rule as the database has it.
#[derive(Debug, Clone)]
struct Stored {
    standing: Standing,
    why: String,
    tick_ms: i64,
}

async fn stored(database: &TestDatabase, name: &str) -> Option<Stored> {
    let mut raw = database.raw().await;
    let select = format!("select standing, why, tick_ms from alert_rules where name = '{name}'");
    // The table may not be there yet.
    let row = sqlx::query(AssertSqlSafe(select)).fetch_optional(&mut raw).await.ok().flatten()?;
    let text: String = row.get(0);
    let standing = serde_json::from_str(&text).unwrap();
    Some(Stored { standing, why: row.get(1), tick_ms: row.get(2) })
}

async fn until(
    database: &TestDatabase,
    name: &str,
    what: &str,
    holds: impl Fn(&Stored) -> bool,
) -> Stored {
    let looks = Looks::within(PATIENCE);
    loop {
        let found = stored(database, name).await;
        if let Some(found) = found.clone().filter(|found| holds(found)) {
            return found;
        }
        looks.again(|| format!("not in time: {what}; now {found:?}")).await;
    }
}

/// A bot whose configuration is this.
async fn bot(database: &TestDatabase, configuration: &str) -> Process {
    let mut bot = Process::new(
        &database.url,
        "  tidy: {summary: Tidy, role: operator, steps: [{name: Tidy, run: ['true']}]}\n",
    )
    .await;
    let file = bot.place.path().join("alerting-config.yml");
    std::fs::write(&file, configuration).unwrap();
    bot.variables.push(("NEOSTOCK_ALERTING".to_owned(), file.display().to_string()));
    assert!(bot.start(None).await);
    bot
}

async fn until_told(bot: &mut Process, words: &str) {
    bot.until(&format!("«{words}» is told"), |bot| {
        bot.told().iter().any(|message| message.contains(words))
    })
    .await;
}

both_engines! {
    async fn a_breach_becomes_a_card_that_turns_green_when_it_is_over(database: TestDatabase) {
        let service = Service::start().await;
        let prometheus = prometheus("1s", &[("neostock", service.exporter.address())]).await;
        let mut bot = bot(&database, &format!(
            "prometheus: {{url: '{}'}}\nalerts:\n  error_rate: {{threshold: 0.05, duration: 6s, severity: error, \
             channels: [slack], window: 4s, scrape_interval: 1s, min_samples: 20}}\n\
             escalation:\n  error: {{steps: [{{tell: [U0BOB]}}], rises_after: 4s}}\n  critical: {{steps: [{{tell: [S0LEADS]}}]}}\n",
            prometheus.url()
        )).await;
        until(&database, "error_rate", "in order", |found| {
            found.tick_ms > 0 && found.standing.state == State::Ok && found.why.is_empty()
        }).await;

        service.fails(25);
        let pending = until(&database, "error_rate", "pending", |found| found.standing.state == State::Pending).await;
        let firing = until(&database, "error_rate", "firing", |found| found.standing.is_firing()).await;
        assert_eq!(firing.standing.fired_ms, pending.standing.since_ms + 6_000);
        until_told(&mut bot, "🔴 error_rate · neostock production").await;
        until_told(&mut bot, "&gt; 5%").await;
        until_told(&mut bot, "Level 2").await;
        until_told(&mut bot, "Nobody answered: level 3 now").await;
        until_told(&mut bot, "This is an incident").await;
        assert!(bot.workspace.press("U0BOB", "Acknowledge").await.is_ok());
        until_told(&mut bot, "🟡 error_rate · neostock production").await;

        service.fails(0);
        until(&database, "error_rate", "over", |found| found.standing.state == State::Ok).await;
        until_told(&mut bot, "🟢 error_rate · neostock production").await;
        assert!(bot.metric("neostock_rule_ticks_total{outcome=\"breach\"}").await.unwrap() >= 7);
    }

    async fn a_bot_restarted_in_mid_pending_fires_for_the_same_moment(database: TestDatabase) {
        let service = Service::start().await;
        let prometheus = prometheus("1s", &[("neostock", service.exporter.address())]).await;
        let mut bot = bot(&database, &format!(
            "prometheus: {{url: '{}'}}\nalerts:\n  error_rate: {{threshold: 0.05, duration: 12s, severity: error, \
             channels: [slack], window: 4s, scrape_interval: 1s, min_samples: 20}}\n", prometheus.url()
        )).await;
        until(&database, "error_rate", "in order", |found| found.tick_ms > 0 && found.why.is_empty()).await;
        service.fails(50);
        let pending = until(&database, "error_rate", "pending", |found| found.standing.state == State::Pending).await;

        bot.kill();
        let due_ms = pending.standing.since_ms + 12_000;
        let looks = Looks::within(PATIENCE);
        while Clock::System.now_ms() < due_ms + 2_000 {
            looks.again(|| "time goes by".to_owned()).await;
        }
        assert!(!stored(&database, "error_rate").await.unwrap().standing.is_firing());
        assert!(bot.start(None).await);

        let firing = until(&database, "error_rate", "firing", |found| found.standing.is_firing()).await;
        assert_eq!(firing.standing.fired_ms, due_ms);
        until_told(&mut bot, "🔴 error_rate").await;
        let log = bot.log();
        assert!(!log.contains("ERROR"), "{log}");
    }
}

/// One measure, in words that the test sets (`0.5`, `NaN`, none), and a sign of life beside it whose samples
/// carry their own time.
struct Measure {
    exporter: Exporter,
}

impl Measure {
    async fn start() -> Self {
        Self { exporter: Exporter::start().await }
    }

    fn is(&self, words: &str) {
        let words = words.to_owned();
        self.exporter.tells(move || match words.as_str() {
            "" => String::new(),
            words => measured(words),
        });
    }

    /// The same sample again and again.
    fn stands_still(&self, words: &str) {
        self.exporter.says(measured(words));
    }
}

fn measured(words: &str) -> String {
    format!("bad_part {words}\nbeat 1 {}\n", Clock::System.now_ms())
}

#[test]
fn nothing_that_happens_to_prometheus_ends_an_alert_and_all_of_it_is_said() {
    run_within(LONG, On::Sqlite, |database| async move {
        let measure = Measure::start().await;
        measure.is("0.5");
        let mut prometheus = prometheus("1s", &[("shop", measure.exporter.address())]).await;
        let mut bot = bot(&database, &format!(
            "prometheus: {{url: '{}', timeout: 500ms}}\nalerts:\n  bad_part: {{query: max(bad_part), samples: beat, \
             threshold: 0.05, duration: 2s, severity: error, channels: [slack], scrape_interval: 1s}}\n",
            prometheus.url()
        )).await;
        let firing =
            until(&database, "bad_part", "firing", |found| found.standing.is_firing()).await;
        let fired_ms = firing.standing.fired_ms;
        let unknown = async |words: &str| {
            let found = until(&database, "bad_part", words, |found| {
                found.standing.state == State::Unknown
                    && found.standing.is_told
                    && found.why.contains(words)
            })
            .await;
            assert_eq!(found.standing.fired_ms, fired_ms, "{words}: it was ended by absence");
        };
        let again = async |words: &str| {
            let found = until(&database, "bad_part", words, |found| {
                found.standing.state == State::Firing && !found.standing.is_told
            })
            .await;
            assert_eq!(found.standing.fired_ms, fired_ms, "{words}");
        };

        measure.is("NaN");
        unknown("not_a_number").await;
        until_told(&mut bot, "the measure is no number").await;
        measure.is("0.5");
        again("after NaN").await;
        until_told(&mut bot, "All alert rules can be evaluated again").await;

        // Prometheus takes the same old sample again and again, and goes on answering with it.
        measure.stands_still("0.5");
        unknown("stale").await;
        measure.is("0.5");
        again("after stale samples").await;

        measure.is("");
        unknown("empty").await;
        measure.is("0.5");
        again("after nothing").await;

        prometheus.suspend();
        unknown("no answer within 500 ms").await;
        // Who waits for Prometheus keeps nobody waiting.
        let began = Instant::now();
        let answer = bot.say("U0BOB", "alert-rules?").await;
        assert!(began.elapsed() < Duration::from_secs(2), "{answer}");
        prometheus.go_on();
        again("after a pause").await;

        prometheus.kill();
        unknown("it cannot be reached").await;
        {
            let stranger = Exporter::start_at(&prometheus.address()).await;
            stranger.says("<html>It works!</html>");
            unknown("no answer of a Prometheus").await;
        }
        prometheus.begin().await;
        again("after Prometheus is back").await;
        let told = bot.told();
        let cards = told.iter().filter(|message| message.contains("🔴 bad_part")).count();
        assert_eq!(cards, 1, "{told:#?}");

        measure.is("0.01");
        until(&database, "bad_part", "over", |found| found.standing.state == State::Ok).await;
        until_told(&mut bot, "🟢 bad_part").await;
    });
}

/// A bot's engine on a database that others share.
async fn engine(database: &TestDatabase, clock: &Clock, owner: &str) -> Engine {
    let keys = None::<SecretString>;
    let store = Store::connect(&database.url, clock.clone(), keys).await.unwrap();
    let identity = Identity { owner: owner.to_owned(), host: "test".to_owned(), lease_ms: 30_000 };
    Engine::new(store, identity, Metrics::new().unwrap())
}

fn place() -> Whereabouts {
    Whereabouts {
        service: "shop".to_owned(),
        environment: "production".to_owned(),
        channel: Some(ChannelId::new("C0OPS")),
        lang: Lang::En,
    }
}

/// The rule of a measure over 5% for so long.
fn rule(name: &str, seconds: u64) -> Rule {
    let text = format!(
        "alerts: {{{name}: {{query: x, threshold: 0.05, duration: {seconds}s, severity: error, channels: [slack]}}}}"
    );
    alerting::parse("a.yml", text.as_bytes()).unwrap().alerts[name].rule(name, "shop")
}

/// The states of all alerts.
async fn states(database: &TestDatabase) -> Vec<String> {
    let mut raw = database.raw().await;
    let rows = sqlx::query("select state from alerts").fetch_all(&mut raw).await.unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

/// The details of the newest entry of a kind.
async fn journal(engine: &Engine, kind: &str) -> String {
    let mut reader = engine.store().read().await.unwrap();
    let filter = Filter { kind_prefix: kind.to_owned(), ..Filter::default() };
    newest_of(&mut reader, &filter, 1).await.unwrap().remove(0).detail
}

/// Evaluates the next tick of a rule, with this answer.
async fn tick(engine: &Engine, held: &mut HeldRule, rule: &Rule, answer: Answer) -> bool {
    let at_ms = rule.tick_ms(engine.clock().now_ms());
    let tick = tick_of(rule, at_ms, false, &Reading::of(answer));
    engine.keep_tick(held, &place(), rule, tick).await.unwrap()
}

both_engines! {
    async fn one_bot_of_two_evaluates_a_rule_and_the_other_goes_on_where_it_stopped(database: TestDatabase) {
        let clock = Clock::manual(1_795_489_200_000);
        let (one, two) = (engine(&database, &clock, "one").await, engine(&database, &clock, "two").await);
        let rule = rule("part", 30);

        let mut first = one.claim_rule(&place(), &rule).await.unwrap().unwrap();
        assert_eq!(two.claim_rule(&place(), &rule).await.unwrap(), None);
        assert!(tick(&one, &mut first, &rule, Answer::Number(0.5)).await);
        assert_eq!(first.standing.state, State::Pending);

        clock.advance_ms(60_000);
        let mut second = two.claim_rule(&place(), &rule).await.unwrap().unwrap();
        assert_eq!(second.standing, first.standing);
        assert_eq!(second.tick_ms(), first.tick_ms());
        // The one that was away is refused, and writes nothing.
        assert!(!tick(&one, &mut first, &rule, Answer::Number(0.0)).await);
        assert!(tick(&two, &mut second, &rule, Answer::Number(0.5)).await);
        let rules = one.rules("production").await.unwrap();
        assert_eq!(rules[0].standing.state, State::Firing);
        assert_eq!(rules[0].value, "0.5 > 0.05");
        let doubts = one.doubts_of_rule("production", &rule).await.unwrap();
        let words: Vec<String> = doubts.iter().map(|doubt| doubt.words().en).collect();
        assert_eq!(words.len(), 2, "{words:?}");
        one.store().close().await;
        two.store().close().await;
    }

    async fn rules_that_cannot_be_evaluated_are_one_message_until_none_is_left(database: TestDatabase) {
        let clock = Clock::manual(1_795_489_200_000);
        let engine = engine(&database, &clock, "one").await;
        let rules = [rule("a", 30), rule("b", 30)];
        let mut held = Vec::new();
        for rule in &rules {
            held.push(engine.claim_rule(&place(), rule).await.unwrap().unwrap());
        }
        let slots = async || -> Vec<(String, String)> {
            let mut raw = database.raw().await;
            let select = "select key, body from outbox where key like 'rules/%' order by seq";
            let rows = sqlx::query(select).fetch_all(&mut raw).await.unwrap();
            rows.iter().map(|row| (row.get(0), row.get(1))).collect()
        };
        let mut all = async |a: Answer, b: Answer| {
            clock.advance_ms(5_000);
            assert!(tick(&engine, &mut held[0], &rules[0], a).await);
            assert!(tick(&engine, &mut held[1], &rules[1], b).await);
        };
        let good = || Answer::Number(0.0);
        let bad = || Answer::Failed(Text::same("away"));

        for _ in 0..2 {
            all(bad(), good()).await;
        }
        assert_eq!(slots().await, []);
        all(bad(), good()).await;
        let told = slots().await;
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(told[0].1.contains("An alert rule cannot be evaluated") && told[0].1.contains("away"));
        for _ in 0..4 {
            all(bad(), bad()).await;
        }
        let told = slots().await;
        assert_eq!(told.len(), 2, "{told:?}");
        assert!(told[0].1.contains("2 alert rules cannot") && told[1].1.contains("Another rule"));
        all(good(), bad()).await;
        assert!(slots().await[0].1.contains("An alert rule cannot"));
        all(good(), good()).await;
        let told = slots().await;
        assert_eq!(told.len(), 3, "{told:?}");
        assert!(told[0].1.contains("All alert rules can") && told[2].0.ends_with("/over"));
        // A new time of it is a new message.
        for _ in 0..3 {
            all(bad(), good()).await;
        }
        assert_eq!(slots().await.len(), 4);
        engine.store().close().await;
    }

    async fn a_rule_that_is_changed_starts_anew_and_one_that_is_removed_ends(database: TestDatabase) {
        let clock = Clock::manual(1_795_489_200_000);
        let engine = engine(&database, &clock, "one").await;
        let old = rule("part", 30);
        let mut held = engine.claim_rule(&place(), &old).await.unwrap().unwrap();
        assert!(tick(&engine, &mut held, &old, Answer::Number(0.5)).await);

        let new = rule("part", 60);
        assert!(!held.is_of(&place(), &new));
        let mut held = engine.claim_rule(&place(), &new).await.unwrap().unwrap();
        assert_eq!(held.standing.state, State::Unknown);
        for _ in 0..7 {
            clock.advance_ms(10_000);
            assert!(!held.standing.is_firing());
            assert!(tick(&engine, &mut held, &new, Answer::Number(0.5)).await);
        }
        assert!(held.standing.is_firing());
        assert_eq!(engine.doubts_of_rule("production", &new).await.unwrap().len(), 2);
        assert_eq!(engine.doubts_of_rule("production", &old).await.unwrap().len(), 1);

        assert_eq!(states(&database).await, ["open"]);
        assert_eq!(engine.drop_rules(&place(), &BTreeSet::from(["part".to_owned()])).await.unwrap(), 0);
        assert_eq!(engine.drop_rules(&place(), &BTreeSet::new()).await.unwrap(), 1);
        assert_eq!(engine.rules("production").await.unwrap(), []);
        assert_eq!(states(&database).await, ["resolved"]);
        // It is not said that it is in order: nobody has seen that.
        let said = journal(&engine, "alert.resolved").await;
        assert!(said.contains("its rule is not in the alerting configuration any more"), "{said}");
        engine.store().close().await;
    }

    async fn what_another_bot_still_evaluates_is_left_to_it_and_what_nobody_does_ends(database: TestDatabase) {
        let clock = Clock::manual(1_795_489_200_000);
        let (one, two) = (engine(&database, &clock, "one").await, engine(&database, &clock, "two").await);
        let rule = rule("part", 30);
        let mut held = one.claim_rule(&place(), &rule).await.unwrap().unwrap();
        assert!(tick(&one, &mut held, &rule, Answer::Number(0.5)).await);

        // The other has read the new configuration first.
        assert_eq!(two.drop_rules(&place(), &BTreeSet::new()).await.unwrap(), 0);
        clock.advance_ms(30_000);
        assert!(tick(&one, &mut held, &rule, Answer::Number(0.5)).await);
        assert_eq!(states(&database).await, ["open"]);
        clock.advance_ms(60_000);
        assert_eq!(two.drop_rules(&place(), &BTreeSet::new()).await.unwrap(), 1);
        assert_eq!(states(&database).await, ["resolved"]);

        // The default environment is another one: the rules of the old one end, whatever their names.
        let mut held = one.claim_rule(&place(), &rule).await.unwrap().unwrap();
        assert!(tick(&one, &mut held, &rule, Answer::Number(0.5)).await);
        let staging = Whereabouts { environment: "staging".to_owned(), ..place() };
        assert!(held.is_of(&place(), &rule) && !held.is_of(&staging, &rule));
        let kept = BTreeSet::from(["part".to_owned()]);
        assert_eq!(one.drop_rules(&staging, &kept).await.unwrap(), 1);
        assert!(!tick(&one, &mut held, &rule, Answer::Number(0.5)).await, "it was removed");
        one.store().close().await;
        two.store().close().await;
    }

    async fn a_bot_that_lost_its_rule_neither_opens_an_alert_nor_ends_one(database: TestDatabase) {
        let clock = Clock::manual(1_795_489_200_000);
        let (one, two) = (engine(&database, &clock, "one").await, engine(&database, &clock, "two").await);
        let rule = rule("part", 30);
        let mut first = one.claim_rule(&place(), &rule).await.unwrap().unwrap();
        assert!(tick(&one, &mut first, &rule, Answer::Number(0.5)).await);
        assert!(one.metrics().exposition().contains("neostock_rule_state{rule=\"part\""));
        clock.advance_ms(60_000);
        let mut second = two.claim_rule(&place(), &rule).await.unwrap().unwrap();

        assert!(!tick(&one, &mut first, &rule, Answer::Number(0.5)).await);

        assert_eq!(states(&database).await, Vec::<String>::new(), "an alert that nobody would end");
        // What this bot knew of it is not what is so.
        assert!(!one.metrics().exposition().contains("neostock_rule_state{rule=\"part\""));
        assert!(tick(&two, &mut second, &rule, Answer::Number(0.5)).await);
        assert_eq!(states(&database).await, ["open"]);
        clock.advance_ms(60_000);
        let _third = one.claim_rule(&place(), &rule).await.unwrap().unwrap();
        assert!(!tick(&two, &mut second, &rule, Answer::Number(0.0)).await);
        assert_eq!(states(&database).await, ["open"], "it fires still");
        one.store().close().await;
        two.store().close().await;
    }

    async fn a_bot_whose_clock_was_wrong_keeps_no_rule_from_the_others(database: TestDatabase) {
        let (clock, wrong) = (Clock::manual(1_795_489_200_000), Clock::manual(1_795_489_200_000 + 86_400_000));
        let (one, two) = (engine(&database, &clock, "one").await, engine(&database, &wrong, "two").await);
        let rule = rule("part", 30);
        let mut held = two.claim_rule(&place(), &rule).await.unwrap().unwrap();
        assert!(tick(&two, &mut held, &rule, Answer::Number(0.5)).await);

        let held = one.claim_rule(&place(), &rule).await.unwrap();

        assert!(held.is_some(), "it would be evaluated tomorrow");
        one.store().close().await;
        two.store().close().await;
    }

    async fn a_rule_that_is_written_anew_while_it_fires_proves_nothing_before_its_own_duration(database: TestDatabase) {
        let clock = Clock::manual(1_795_489_200_000);
        let engine = engine(&database, &clock, "one").await;
        let of = |threshold: &str, seconds: u64| {
            let text = format!(
                "alerts: {{part: {{query: x, samples: s, volume: n, min_samples: 1, threshold: {threshold}, \
                 duration: {seconds}s, severity: error, channels: [slack]}}}}"
            );
            alerting::parse("a.yml", text.as_bytes()).unwrap().alerts["part"].rule("part", "shop")
        };
        let (old, new) = (of("0.05", 30), of("0.06", 60));
        let doubts = async |rule: &Rule| -> Vec<String> {
            let doubts = engine.doubts_of_rule("production", rule).await.unwrap();
            doubts.iter().map(|doubt| doubt.words().en).collect()
        };
        let unknown = ["not in breach for the whole duration (it is unknown)"];
        assert_eq!(doubts(&old).await, unknown, "nobody has evaluated it");
        let mut held = engine.claim_rule(&place(), &old).await.unwrap().unwrap();
        for _ in 0..7 {
            assert_ne!(doubts(&old).await, Vec::<String>::new());
            assert!(tick(&engine, &mut held, &old, Answer::Number(0.5)).await);
            clock.advance_ms(5_000);
        }
        assert_eq!(doubts(&old).await, Vec::<String>::new());
        assert_eq!(doubts(&new).await, unknown, "no bot has read it yet");

        let mut held = engine.claim_rule(&place(), &new).await.unwrap().unwrap();
        assert!(held.standing.is_firing());
        assert_ne!(doubts(&new).await, Vec::<String>::new());
        for _ in 0..7 {
            clock.advance_ms(10_000);
            let before = doubts(&new).await;
            assert!(tick(&engine, &mut held, &new, Answer::Number(0.5)).await);
            assert_ne!(before, Vec::<String>::new());
        }
        assert_eq!(doubts(&new).await, Vec::<String>::new());
        assert_eq!(doubts(&old).await, unknown);
        // Whoever evaluates it goes away: what was proved is old.
        clock.advance_ms(21_000);
        assert_eq!(doubts(&new).await.len(), 1, "{:?}", doubts(&new).await);
        engine.store().close().await;
    }

    async fn without_a_prometheus_no_rule_is_left_that_nobody_evaluates(database: TestDatabase) {
        let place = Place::new("  tidy: {summary: Tidy, role: operator, steps: [{name: Tidy, run: ['true']}]}\n");
        let alerts = "alerts: {part: {query: x, threshold: 0.05, duration: 30s, severity: error, channels: [slack]}}\n";
        let nobody = "prometheus: {url: 'http://127.0.0.1:9'}\n";
        std::fs::write(place.alerting(), format!("{nobody}{alerts}")).unwrap();
        let bot = Bot::in_workspace(&database, place, Options::default()).await;
        bot.until("it is told", |bot| bot.everything().contains("An alert rule cannot be evaluated")).await;
        assert!(stored(&database, "part").await.is_some());

        std::fs::write(bot.place.alerting(), alerts).unwrap();
        bot.reload.wanted.notify_one();

        bot.until("the rule is gone", |bot| bot.everything().contains("All alert rules can be evaluated again")).await;
        assert!(stored(&database, "part").await.is_none());
        bot.until_quiet().await;
        bot.finish().await;
    }
}

/// A generator that gives the same numbers every time.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

/// A rule for promtool and for ours: how long, and its series, a sample a tick.
struct Case {
    seconds: u64,
    series: String,
}

fn cases(dice: &mut Dice, seconds: [u64; 2], gap: &str, count: usize) -> Vec<Case> {
    let case = |dice: &mut Dice| {
        let mut series = String::new();
        let mut samples = 0;
        while samples < 60 {
            let times = 1 + dice.below(12);
            let what = match dice.below(if gap.is_empty() { 4 } else { 6 }) {
                0 => "0.05".to_owned(),
                1 => "0.01".to_owned(),
                2 | 3 => format!("0.{:02}", 6 + dice.below(90)),
                _ => gap.to_owned(),
            };
            let times = if what == gap { 1 + times % 4 } else { times };
            for _ in 0..times {
                let _ = write!(series, "{what} ");
            }
            samples += times;
        }
        Case { seconds: seconds[0] + dice.below(seconds[1] - seconds[0]), series }
    };
    (0..count).map(|_| case(dice)).collect()
}

/// What our machine says at each tick.
fn ours(case: &Case) -> Vec<State> {
    let rule = rule("r", case.seconds);
    let mut standing = Standing::new();
    let samples = series::parse(&case.series).unwrap();
    let ticks = (1_i64..).map(|count| count * rule.interval_ms());
    let state = |(sample, tick_ms): (Sample, i64)| {
        let outcome = tick_of(&rule, tick_ms, false, &Reading::of(sample.answer())).outcome;
        standing = standing.after(&rule, outcome, tick_ms).0;
        standing.state
    };
    samples.into_iter().zip(ticks).map(state).collect()
}

/// What Prometheus is documented to say: an alert is there as long as its expression answers something.
/// Where a sample is missing it repeats the last one for five minutes.
fn prometheus_says(case: &Case) -> Vec<State> {
    let rule = rule("r", case.seconds);
    let mut since = None;
    let mut last: Option<(usize, f64)> = None;
    let samples = series::parse(&case.series).unwrap();
    let state = |(index, sample): (usize, Sample)| {
        match sample {
            Sample::Value(value) => last = Some((index, value)),
            Sample::Stale => last = None,
            Sample::Missing | Sample::Error => {}
        }
        let ms = |ticks: usize| ticks as i64 * rule.interval_ms();
        let value = last.filter(|(at, _)| ms(index - at) < 300_000).map(|(_, value)| value);
        if value.is_none_or(|value| value <= 0.05) {
            since = None;
            return State::Ok;
        }
        let began = *since.get_or_insert(index);
        if ms(index - began) >= rule.duration_ms { State::Firing } else { State::Pending }
    };
    samples.into_iter().enumerate().map(state).collect()
}

/// A file for `promtool test rules` in which every case is expected to be as given, at every tick.
fn promtool(
    folder: &std::path::Path,
    name: &str,
    cases: &[Case],
    expected: &[Vec<State>],
) -> String {
    let every = rule("r", cases[0].seconds).interval_ms() / 1_000;
    let mut rules = "groups:\n- name: g\n  rules:\n".to_owned();
    let mut tests = format!(
        "rule_files: [{name}.rules.yml]\nevaluation_interval: {every}s\ntests:\n- interval: {every}s\n  input_series:\n"
    );
    for (index, case) in cases.iter().enumerate() {
        let _ = writeln!(
            rules,
            "  - {{alert: r{index}, expr: m{index} > 0.05, for: {}s}}",
            case.seconds
        );
        let _ = writeln!(tests, "  - {{series: m{index}, values: '{}'}}", case.series.trim());
    }
    tests += "  promql_expr_test:\n";
    for (index, states) in expected.iter().enumerate() {
        for (tick, state) in states.iter().enumerate() {
            let at = tick as i64 * every;
            let samples = match state {
                State::Pending | State::Firing => format!(
                    "[{{labels: 'ALERTS{{alertname=\"r{index}\",alertstate=\"{}\"}}', value: 1}}]",
                    state.as_str()
                ),
                _ => "[]".to_owned(),
            };
            let _ = writeln!(
                tests,
                "  - {{expr: 'ALERTS{{alertname=\"r{index}\"}}', eval_time: {at}s, exp_samples: {samples}}}"
            );
        }
    }
    std::fs::write(folder.join(format!("{name}.rules.yml")), rules).unwrap();
    let file = folder.join(format!("{name}.yml"));
    std::fs::write(&file, tests).unwrap();
    let output = Command::new("promtool").args(["test", "rules"]).arg(&file).output();
    let output = output.expect("promtool is not here: apt-get install prometheus");
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    assert_eq!(output.status.success(), said.contains("SUCCESS"), "{said}");
    said
}

/// Durations whose ticks are as far apart: 5 s, 10 s and 15 s.
const DURATIONS: [[u64; 2]; 3] = [[30, 36], [60, 66], [90, 400]];

#[test]
fn without_gaps_our_machine_and_promtool_agree_at_every_tick() {
    let folder = tempfile::tempdir().unwrap();
    let mut dice = Dice(7);
    let (mut ticks, mut fired) = (0, 0);
    for (index, seconds) in DURATIONS.into_iter().enumerate() {
        let cases = cases(&mut dice, seconds, "", 30);
        let expected: Vec<Vec<State>> = cases.iter().map(ours).collect();
        let said = promtool(folder.path(), &format!("same{index}"), &cases, &expected);
        assert!(said.contains("SUCCESS"), "{}", said.chars().take(3_000).collect::<String>());
        ticks += expected.iter().map(Vec::len).sum::<usize>();
        fired += expected.iter().flatten().filter(|state| **state == State::Firing).count();
    }
    assert!(ticks > 5_000 && fired > 500, "{ticks} ticks, {fired} of them firing");

    // It would be told if one tick were another.
    let cases = cases(&mut dice, DURATIONS[0], "", 1);
    let mut expected: Vec<Vec<State>> = cases.iter().map(ours).collect();
    let last = expected[0].last_mut().unwrap();
    *last = if *last == State::Ok { State::Firing } else { State::Ok };
    assert!(promtool(folder.path(), "other", &cases, &expected).contains("FAILED"));
}

#[test]
fn with_gaps_our_machine_differs_from_promtool_exactly_as_the_document_lists() {
    let folder = tempfile::tempdir().unwrap();
    let mut dice = Dice(11);
    let mut differences = [0_usize; 4];
    for (index, gap) in ["stale", "_", "stale", "_"].into_iter().enumerate() {
        let cases = cases(&mut dice, DURATIONS[index % 3], gap, 30);
        let theirs: Vec<Vec<State>> = cases.iter().map(prometheus_says).collect();
        let said = promtool(folder.path(), &format!("gaps{index}"), &cases, &theirs);
        assert!(said.contains("SUCCESS"), "{}", said.chars().take(3_000).collect::<String>());
        for (case, theirs) in cases.iter().zip(theirs) {
            let samples = series::parse(&case.series).unwrap();
            let (mut frozen, mut is_after_gap) = (0, false);
            for ((ours, theirs), sample) in ours(case).into_iter().zip(theirs).zip(samples) {
                let is_gap = !matches!(sample, Sample::Value(_));
                frozen = if is_gap { frozen + 1 } else { 0 };
                if ours == theirs {
                    // Pending, both may have begun to count at different moments.
                    is_after_gap = is_gap || (is_after_gap && ours == State::Pending);
                    continue;
                }
                // Nothing differs but from a gap on.
                is_after_gap |= is_gap;
                assert!(is_after_gap, "{ours:?} and {theirs:?} without a gap");
                let row = match (ours, is_gap) {
                    // 1. What cannot be told for more than two ticks is unknown.
                    (State::Unknown, true) if frozen > 2 => 0,
                    // 2. What fires goes on firing while nothing is known.
                    (State::Firing, true) if frozen <= 2 => 1,
                    // 3. What is pending, or in order, stays so for two ticks.
                    (State::Pending | State::Ok, true) if frozen <= 2 => 2,
                    // 4. After the gap: the time before it counted for one, and not for the other.
                    (State::Pending | State::Firing, false) => 3,
                    other => panic!("{other:?} after {frozen} frozen ticks, and {theirs:?}"),
                };
                differences[row] += 1;
            }
        }
    }
    assert!(differences.iter().all(|count| *count > 20), "{differences:?}");
}

#[test]
fn an_outcome_that_is_no_breach_never_fires_in_any_duration() {
    for seconds in [1, 6, 30, 61, 300] {
        let rule = rule("r", seconds);
        let mut standing = Standing::new();
        for count in 1..400_i64 {
            let outcome = Outcome::ALL[1 + (count as usize * 7 + count as usize / 3) % 4];
            standing = standing.after(&rule, outcome, count * rule.interval_ms()).0;
            assert!(!standing.is_firing() && standing.state != State::Pending);
        }
    }
}

/// `neostock-ops …` in the project's folder: whether it went well, and what it said.
fn program(arguments: &[&str]) -> (bool, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_neostock-ops"))
        .args(arguments)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env_clear()
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(said).unwrap())
}

#[test]
fn the_shipped_configuration_does_what_its_tests_expect() {
    let (is_good, said) = program(&["alerts", "test", "runbook/alerting-tests.yml"]);

    assert!(is_good, "{said}");
    assert!(said.ends_with("6 tests, 0 failed\n"), "{said}");
}

#[test]
fn the_test_in_the_document_is_one_that_holds() {
    let page =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/alerts.md")).unwrap();
    let after =
        page.split("```yaml\nalerting: ").nth(1).expect("the document shows a file of tests");
    let text = format!("alerting: {}", after.split("```").next().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let shipped = concat!(env!("CARGO_MANIFEST_DIR"), "/runbook/alerting-config.yml");
    std::fs::copy(shipped, folder.path().join("alerting-config.yml")).unwrap();
    let file = folder.path().join("tests.yml");
    std::fs::write(&file, text).unwrap();

    let (is_good, said) = program(&["alerts", "test", file.to_str().unwrap()]);

    assert!(is_good && said.contains("ok     errors rise and fall"), "{said}");
}

#[test]
fn what_is_not_as_expected_is_told_line_by_line() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write(
        "a.yml",
        "alerts: {part: {query: x, threshold: 0.05, duration: 30s, severity: error, channels: [slack]}}\n",
    );
    write(
        "t.yml",
        "alerting: a.yml\ntests:\n  - name: wrong\n    interval: 5s\n    measures: {part: 0.5x10}\n    expect:\n      \
         - {at: 25s, rules: {part: firing}, alerts: {part: open}, notices: [never]}\n      \
         - {at: 30s, rules: {part: firing}, alerts: {part: open 3}, notices: [part, never, neostock]}\n",
    );
    let file = folder.path().join("t.yml").display().to_string();

    let (is_good, said) = program(&["alerts", "test", &file]);

    assert!(!is_good, "{said}");
    insta::assert_snapshot!(said.replace(&folder.path().display().to_string(), "[folder]"), @r"
    FAILED wrong (2 notices)
      [folder]/t.yml:7: after 25s
        rule part: expected firing, found pending
        alert part: expected open, found none
        notices: 1 expected, 0 told
          - never
      [folder]/t.yml:8: after 30s
        alert part: expected open 3, found open 2
        notices: 3 expected, 2 told
            30s slack 🔴 part · neostock production
          - never
            30s slack ↳ 📣 part · neostock production: Level 2
    1 test, 1 failed
    ");
    let (is_good, said) = program(&["alerts", "test", "runbook/alerting-config.yml"]);
    assert!(!is_good && said.contains("is not a key of the tests"), "{said}");
}

#[test]
fn what_people_do_in_a_test_counts_and_what_comes_to_nothing_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write(
        "a.yml",
        "alerts: {part: {query: x, threshold: 0.05, duration: 30s, severity: error, channels: [slack]}}\n",
    );
    write(
        "t.yml",
        "alerting: a.yml\ntests:\n  - name: people\n    interval: 1m\n    measures: {part: 0.5x300}\n    people:\n      \
         - {at: 10s, alert: part, do: resolve}\n      \
         - {at: 1m, alert: part, do: acknowledge}\n      \
         - {at: 20m, alert: part, do: release}\n      \
         - {at: 21m, alert: part, do: silence, for: 1h}\n      \
         - {at: 90m, alert: part, do: escalate}\n      \
         - {at: 2h, alert: part, do: resolve}\n    expect:\n      \
         - {at: 1m, alerts: {part: acknowledged 2}}\n      \
         - {at: 19m, alerts: {part: acknowledged 2}, notices: []}\n      \
         - {at: 20m, alerts: {part: open 2}, notices: [↩, 🔴 Never]}\n      \
         - {at: 80m, alerts: {part: open 2}}\n      \
         - {at: 90m, alerts: {part: open 3}}\n      \
         - {at: 2h, alerts: {part: resolved}}\n      \
         - {at: 134m, alerts: {part: resolved}}\n      \
         - {at: 135m, alerts: {part: open 3}}\n",
    );
    let file = folder.path().join("t.yml").display().to_string();

    let (is_good, said) = program(&["alerts", "test", &file]);

    assert!(!is_good, "{said}");
    insta::assert_snapshot!(said.replace(&folder.path().display().to_string(), "[folder]"), @r"
    FAILED people (18 notices)
      [folder]/t.yml:7: after 10s
        alert part: nothing came of resolve
      [folder]/t.yml:16: after 20m
        notices: 2 expected, 2 told
            20m slack ↳ ↩️ part · neostock production
          - 🔴 Never
          + 20m slack ↳ 📣 part · neostock production: Nobody has it any more
    1 test, 1 failed
    ");
}

#[test]
fn a_histogram_that_cannot_exceed_its_threshold_is_told_before_anybody_relies_on_it() {
    run_within(LONG, On::Sqlite, |_database| async move {
        let exporter = Exporter::start().await;
        let histogram = |greatest: &str| {
            let line =
                |le: &str| format!("http_request_duration_seconds_bucket{{le=\"{le}\"}} 1\n");
            [line("0.5"), line(greatest), line("+Inf")].concat()
        };
        exporter.says(histogram("5"));
        let prometheus = prometheus("1s", &[("neostock", exporter.address())]).await;
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.yml");
        let alert = "{threshold: 5000ms, percentile: 99, duration: 120s, severity: warning, channels: [slack]}";
        let text = format!(
            "prometheus: {{url: '{}'}}\nalerts: {{response_time: {alert}}}\n",
            prometheus.url()
        );
        std::fs::write(&file, text).unwrap();
        let check = || program(&["check", "--alerting", file.to_str().unwrap()]);

        let looks = Looks::within(PATIENCE);
        while !check().1.contains("the greatest bucket of http_request_duration_seconds_bucket is 5s, and P99 5s is never exceeded") {
            looks.again(|| check().1).await;
        }
        exporter.says(histogram("7.5"));
        let looks = Looks::within(PATIENCE);
        while check().1.contains("note:") {
            looks.again(|| check().1).await;
        }
        // What it cannot answer, and what is not there.
        let more = |name: &str, query: &str| {
            format!(
                "  {name}: {{query: '{query}', threshold: 1, duration: 30s, severity: error, channels: [slack]}}\n"
            )
        };
        let several = more("several", "http_request_duration_seconds_bucket");
        let text = format!(
            "prometheus: {{url: '{}'}}\nalerts:\n{several}{}{}",
            prometheus.url(),
            more("misspelt", "http_reqests"),
            more("broken", "sum by (x http_requests)")
        );
        std::fs::write(&file, text).unwrap();
        let (is_good, said) = check();
        assert!(is_good, "{said}");
        for words in [
            "note: several: it could not be asked: the query answers 3 series, one expected: rewrite it with max(…)",
            "note: misspelt: there is no such series",
            "note: broken: it could not be asked: status 400, bad_data",
        ] {
            assert!(said.contains(words), "{words} in {said}");
        }
        drop(prometheus);
        let (is_good, said) = check();
        assert!(is_good && said.contains("was not asked: it cannot be reached"), "{said}");
    });
}

#[test]
fn the_built_in_measures_are_what_they_say_of_the_documented_metrics() {
    let text =
        std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/runbook/alerting-config.yml")).unwrap();
    let shipped = alerting::parse("alerting-config.yml", &text).unwrap();
    let mut file =
        "evaluation_interval: 15s\ntests:\n- interval: 15s\n  input_series:\n".to_owned();
    for (series, values) in [
        ("http_requests_total{job=\"neostock\",status=\"200\"}", "0+9x60"),
        ("http_requests_total{job=\"neostock\",status=\"503\"}", "0+1x60"),
        ("http_requests_total{job=\"other\",status=\"500\"}", "0+99x60"),
        ("auth_attempts_total{job=\"neostock\",result=\"success\"}", "0+3x60"),
        ("auth_attempts_total{job=\"neostock\",result=\"failure\"}", "0+1x60"),
        // Nothing has failed yet: 0, and not nothing.
        ("data_fetches_total{job=\"neostock\",result=\"success\"}", "0+4x60"),
        ("http_request_duration_seconds_bucket{job=\"neostock\",le=\"0.5\"}", "0+50x60"),
        ("http_request_duration_seconds_bucket{job=\"neostock\",le=\"1\"}", "0+100x60"),
        ("http_request_duration_seconds_bucket{job=\"neostock\",le=\"+Inf\"}", "0+100x60"),
        ("http_request_duration_seconds_count{job=\"neostock\"}", "0+100x60"),
        ("node_cpu_seconds_total{instance=\"a\",cpu=\"0\",mode=\"idle\"}", "0+3x60"),
        ("node_cpu_seconds_total{instance=\"b\",cpu=\"0\",mode=\"idle\"}", "0+12x60"),
        ("node_memory_MemAvailable_bytes{instance=\"a\"}", "25x60"),
        ("node_memory_MemTotal_bytes{instance=\"a\"}", "100x60"),
    ] {
        let _ = writeln!(file, "  - {{series: '{series}', values: '{values}'}}");
    }
    file += "  promql_expr_test:\n";
    let mut expect = |query: &str, value: &str| {
        let _ = writeln!(
            file,
            "  - {{expr: 'round({query}, 0.001)', eval_time: 10m, exp_samples: [{{labels: '{{}}', value: {value}}}]}}"
        );
    };
    for (name, value, volume) in [
        ("error_rate", "0.1", "40"),
        ("response_time", "0.99", "400"),
        ("auth_failure", "0.25", "16"),
        ("data_fetch_failure", "0", "16"),
        ("cpu", "0.8", ""),
        ("memory", "0.75", ""),
    ] {
        let asked = shipped.alerts[name].rule(name, "neostock").questions;
        expect(&asked.value, value);
        expect(&asked.age, "0");
        assert_eq!(asked.volume.is_empty(), volume.is_empty(), "{name}");
        if !volume.is_empty() {
            expect(&asked.volume, volume);
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("measures.yml");
    std::fs::write(&path, file).unwrap();
    let output = Command::new("promtool").args(["test", "rules"]).arg(&path).output();
    let output = output.expect("promtool is not here: apt-get install prometheus");
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success(), "{said}");

    // The example serves what is asked for.
    let metrics =
        concat!(env!("CARGO_MANIFEST_DIR"), "/examples/neostock/apps/server/src/metrics.ts");
    let metrics = std::fs::read_to_string(metrics).unwrap();
    for name in [
        "http_requests_total",
        "http_request_duration_seconds",
        "auth_attempts_total",
        "data_fetches_total",
    ] {
        assert!(metrics.contains(&format!("\"{name}\"")), "{name}");
    }
}
