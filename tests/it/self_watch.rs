//! What a bot watches of itself becomes an alert, in the language of the runbook, and is over with its cause.

use crate::harness::bot::{Bot, NIGHT_MS, shown};
use crate::harness::database::both_engines;
use crate::harness::looks::Looks;
use crate::harness::place::Place;
use neostock_ops::clock::Clock;
use neostock_ops::config::alerting::{Alerting, parse};
use neostock_ops::config::runbook;
use neostock_ops::core::alert_card::AlertView;
use neostock_ops::engine::{Engine, Identity, Terms};
use neostock_ops::metrics::Metrics;
use neostock_ops::sandbox::Options;
use neostock_ops::store::Store;
use neostock_ops::store::alerts::AlertFilter;
use neostock_ops::vitals::Part;
use neostock_ops::worker::self_watch::watch_itself;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// How long a test waits, in real time, for what must happen.
const PATIENCE: Duration = Duration::from_mins(1);
const MINUTE_MS: i64 = 60_000;
const ALERTING: &str = r"
alerts:
  error_rate: {threshold: 0.05, duration: 60s, severity: error, channels: [slack]}
escalation:
  error: {steps: [{tell: [U0BOB]}], rises_after: 24h}
";
const PROMETHEUS: &str = "prometheus: {url: 'http://127.0.0.1:9'}\n";

/// A step that hangs until the file `go` appears.
const SLOW: &str = r#"
  slow:
    summary: {zh: 慢, en: Slow}
    role: operator
    steps:
      - {name: Slow, run: [sh, -c, "echo slow >> $MARKS; while ! [ -e go ]; do sleep 0.05; done"], timeout: 90s}
"#;

fn alerting(more: &str) -> Arc<Alerting> {
    Arc::new(parse("a.yml", format!("{ALERTING}{more}").as_bytes()).unwrap())
}

/// A bot that does nothing but watch itself.
struct Watching {
    engine: Engine,
    alerting: watch::Sender<Arc<Alerting>>,
    stop: CancellationToken,
    task: JoinHandle<anyhow::Result<()>>,
}

impl Watching {
    async fn start(url: &str, clock: &Clock, owner: &str, language: &str) -> Self {
        let place = Place::new(SLOW);
        speak(&place, language);
        let runbook = runbook::load(&place.runbook()).unwrap();
        let alerting = watch::Sender::new(alerting(""));
        let terms = Terms {
            runbook: watch::Sender::new(Arc::new(runbook)).subscribe(),
            alerting: alerting.subscribe(),
        };
        let store = Store::join(url, clock.clone(), None).await.unwrap();
        let identity =
            Identity { owner: owner.to_owned(), host: "web-1".to_owned(), lease_ms: 30_000 };
        let engine = Engine::new(store, identity, Metrics::new().unwrap()).with_terms(terms);
        let stop = CancellationToken::new();
        let task = tokio::spawn(watch_itself(engine.clone(), stop.clone()));
        Self { engine, alerting, stop, task }
    }

    async fn alert(&self, name: &str) -> Option<AlertView> {
        let filter = AlertFilter { name: name.to_owned(), limit: 2, ..AlertFilter::default() };
        let mut found = self.engine.alerts(&filter).await.unwrap();
        assert!(found.len() <= 1, "{found:#?}");
        found.pop()
    }

    /// Moves the clock on until the alert of a name is there, or is over.
    async fn until(&self, name: &str, is_over: bool) -> AlertView {
        let looks = Looks::within(PATIENCE);
        loop {
            let alert = self.alert(name).await;
            if let Some(alert) = alert.filter(|alert| alert.condition.is_over() == is_over) {
                return alert;
            }
            self.engine.clock().advance_ms(1_000);
            looks.again(|| format!("{name}: over {is_over}")).await;
        }
    }

    /// The end of an alert is told before its watch ends. Nobody sends here: the outbox may stay behind.
    async fn until_the_disk_is_well(&self) {
        let looks = Looks::within(PATIENCE);
        loop {
            let wrong = self.engine.watches_wrong().await.unwrap();
            if !wrong.iter().any(|row| row.name.starts_with(Part::Disk.as_str())) {
                return;
            }
            self.engine.clock().advance_ms(1_000);
            looks.again(|| format!("something stays wrong: {wrong:?}")).await;
        }
    }

    /// Lets time go by.
    async fn pass(&self, by_ms: i64) {
        let until_ms = self.engine.clock().now_ms() + by_ms;
        let looks = Looks::within(PATIENCE);
        while self.engine.clock().now_ms() < until_ms {
            self.engine.clock().advance_ms(20_000);
            looks.again(|| "time goes by".to_owned()).await;
        }
    }

    async fn end(self) {
        self.stop.cancel();
        self.task.await.unwrap().unwrap();
        self.engine.store().close().await;
    }
}

fn speak(place: &Place, language: &str) {
    let text = std::fs::read_to_string(place.runbook()).unwrap();
    let text = text.replace("language: en", &format!("language: {language}"));
    std::fs::write(place.runbook(), text).unwrap();
}

both_engines! {
    async fn a_disk_that_is_low_is_an_alert_and_over_with_it(database: TestDatabase) {
        for (language, words) in [
            ("en", "the data folder on web-1 is short of space: no new run begins"),
            ("zh", "主机 web-1 的数据目录空间不足，新的执行不会开始"),
        ] {
            let (database, clock) = (TestDatabase::new(database.engine).await, Clock::manual(NIGHT_MS));
            Store::connect(&database.url, clock.clone(), None).await.unwrap().close().await;
            let bot = Watching::start(&database.url, &clock, "a", language).await;
            bot.engine.vitals().see(Part::Disk, false, NIGHT_MS);

            let low = bot.until("DiskLow", false).await;
            bot.engine.vitals().see(Part::Disk, true, clock.now_ms());
            let over = bot.until("DiskLow", true).await;

            assert_eq!((low.first.summary.as_str(), low.first.starts_ms), (words, NIGHT_MS + MINUTE_MS));
            assert_eq!((low.first.environment.as_str(), low.condition.level.number()), ("production", 2));
            assert!(over.condition.resolved_ms >= low.first.starts_ms + 30_000, "over before it lasted");
            bot.until_the_disk_is_well().await;
            bot.end().await;
        }
    }

    async fn what_a_bot_saw_of_itself_stands_while_it_is_there_and_an_hour_longer(database: TestDatabase) {
        let clock = Clock::manual(NIGHT_MS);
        Store::connect(&database.url, clock.clone(), None).await.unwrap().close().await;
        let gone = Watching::start(&database.url, &clock, "a", "en").await;
        let stays = Watching::start(&database.url, &clock, "b", "en").await;
        gone.engine.vitals().see(Part::Disk, false, NIGHT_MS);
        gone.until("DiskLow", false).await;
        stays.pass(70 * MINUTE_MS).await;
        assert!(!stays.alert("DiskLow").await.unwrap().condition.is_over(), "its bot is there");

        gone.end().await;
        stays.pass(50 * MINUTE_MS).await;
        assert!(!stays.alert("DiskLow").await.unwrap().condition.is_over(), "it may come back");
        stays.until("DiskLow", true).await;

        stays.until_the_disk_is_well().await;
        stays.end().await;
    }

    async fn rules_that_nobody_evaluates_are_an_alert_as_long_as_there_are_any(database: TestDatabase) {
        let clock = Clock::manual(NIGHT_MS);
        Store::connect(&database.url, clock.clone(), None).await.unwrap().close().await;
        let bot = Watching::start(&database.url, &clock, "a", "en").await;
        bot.alerting.send_replace(alerting(PROMETHEUS));

        let late = bot.until("RulesNotEvaluated", false).await;
        bot.alerting.send_replace(alerting(""));
        bot.until("RulesNotEvaluated", true).await;

        let late_ms = late.first.starts_ms - NIGHT_MS;
        assert!((2 * MINUTE_MS..3 * MINUTE_MS).contains(&late_ms), "{late_ms}");
        bot.end().await;
    }

    async fn a_step_that_outlives_its_time_is_an_alert_until_it_ends(database: TestDatabase) {
        for (language, words, over) in [
            ("en", "a step is long past its time-out and has not ended: R-", "It is over"),
            ("zh", "步骤早已超时却没有结束：R-", "已恢复"),
        ] {
            let database = TestDatabase::new(database.engine).await;
            let place = Place::new(SLOW);
            speak(&place, language);
            std::fs::write(place.alerting(), ALERTING).unwrap();
            let bot = Bot::in_workspace(&database, place, Options::default()).await;
            let is_told = |bot: &Bot, words: &str| {
                bot.workspace.messages("C0OPS").iter().any(|one| shown(one).contains(words))
            };
            bot.say("U0BOB", "slow").await;
            bot.until("the step hangs", |bot| bot.place.marks() == ["slow"]).await;
            let began_ms = bot.clock.now_ms();

            bot.until("the alert", |bot| is_told(bot, words)).await;
            assert!(bot.clock.now_ms() >= began_ms + 90_000, "told before its time is over");
            std::fs::write(bot.place.repo().join("go"), "").unwrap();
            bot.until("the end", |bot| is_told(bot, over)).await;
            bot.finish().await;
        }
    }
}
