//! `alerts test`: an alerting configuration tried out in virtual time, over the whole way from a sample to
//! a message. Nothing is asked and nothing is sent: what would be posted is read from the outbox of a
//! database that lives as long as the test.

use anyhow::Context as _;
use futures_util::stream::{self, StreamExt as _};
use neostock_ops::clock::Clock;
use neostock_ops::config::alerting::rehearsal::{self, Deed, Expected, Rehearsal, SOMEBODY};
use neostock_ops::config::alerting::{self, Alerting};
use neostock_ops::config::fault::Fault;
use neostock_ops::config::runbook;
use neostock_ops::config::settings::Settings;
use neostock_ops::core::action::Runbook;
use neostock_ops::core::alert;
use neostock_ops::core::alert_card::AlertView;
use neostock_ops::core::alert_measure::{DURATION_BUCKETS, Signal, bounds};
use neostock_ops::core::alert_rule::{Answer, Reading, Rule, State, Why, judge};
use neostock_ops::core::duration;
use neostock_ops::core::series::Sample;
use neostock_ops::engine::{Engine, Heard, HeldRule, Identity, Terms, Whereabouts};
use neostock_ops::metrics::Metrics;
use neostock_ops::source::prometheus::Client;
use neostock_ops::store::Store;
use neostock_ops::store::alerts::AlertFilter;
use neostock_ops::store::outbox;
use neostock_ops::worker::evaluate::{rules_of, tick_of, whereabouts};
use secrecy::SecretString;
use serde_json::Value;
use std::fmt::Write as _;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// The runbook of tests that name none.
const RUNBOOK: &str = "service: neostock\nlanguage: en\n\
    environments: {production: {workdir: /, default: true, channel: C0OPS}}\n\
    roles: {operator: {members: [everyone]}}\n\
    actions: {none: {summary: Nothing, role: operator, steps: [{name: Nothing, run: ['true']}]}}\n";
/// Moments that one test may go through.
const MOMENTS_MAX: usize = 200_000;
/// Alerts that advance at one moment, in rounds.
const ROUNDS_MAX: usize = 100;
/// Notices that are read at once.
const NOTICES_MAX: i64 = 1_000;
/// Alerts of one name that a test looks at: the newest.
const ALERTS_MAX: i64 = 1;
/// Rules that Prometheus is asked about at once.
const RULES_AT_ONCE: usize = 8;

/// What is asked about alerts.
#[derive(clap::Subcommand)]
pub enum Alerts {
    /// Try an alerting configuration out: series of samples in, states and notices out, in virtual time.
    /// Exit code 1: something is not as the file expects.
    Test {
        /// The tests: YAML, as docs/alerts.md describes it.
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// Also print every notice.
        #[arg(long)]
        verbose: bool,
    },
}

/// Does what is asked.
///
/// # Errors
/// A file with faults; a database that cannot be made.
pub async fn run(alerts: Alerts, out: &mut impl Write) -> anyhow::Result<ExitCode> {
    let Alerts::Test { file, verbose } = alerts;
    let (named, bytes) = rehearsal::names(&file).map_err(faulty)?;
    let alerting = Arc::new(alerting::load(&named.alerting).map_err(faulty)?);
    let runbook = match &named.runbook {
        Some(path) => runbook::load(path).map_err(faulty)?,
        None => runbook::parse("the built-in runbook", RUNBOOK.as_bytes()).map_err(faulty)?,
    };
    let runbook = Arc::new(runbook);
    let tests = rehearsal::parse(&file.display().to_string(), &bytes, &alerting).map_err(faulty)?;
    let mut failed = 0;
    for test in &tests {
        let folder = Folder::make()?;
        let tried = Trial::begin(folder.path(), test, &alerting, &runbook).await?;
        let Verdict { differences, notices } = tried.go(&file).await?;
        let word = if differences.is_empty() { "ok    " } else { "FAILED" };
        writeln!(out, "{word} {} ({} notices)", test.name, notices.len())?;
        for difference in &differences {
            writeln!(out, "{difference}")?;
        }
        if verbose {
            for notice in notices {
                writeln!(out, "  {notice}")?;
            }
        }
        failed += usize::from(!differences.is_empty());
    }
    let count = tests.len();
    let plural = if count == 1 { "" } else { "s" };
    writeln!(out, "{count} test{plural}, {failed} failed")?;
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What Prometheus says of a configuration now: rules that it cannot answer, of which there is nothing, and a
/// histogram that can never exceed its threshold.
pub async fn notes(file: Option<&Path>, settings: Option<&Settings>) -> Vec<String> {
    let Some(alerting) = file.and_then(|file| alerting::load(file).ok()) else { return Vec::new() };
    let Some(prometheus) = &alerting.prometheus else { return Vec::new() };
    let away =
        |words: &str| vec![format!("Prometheus at {} was not asked: {words}", prometheus.url)];
    let runbook = settings.and_then(|settings| runbook::load(&settings.runbook).ok());
    let Some(service) = runbook.map(|runbook| runbook.service) else {
        return away("there is no runbook whose service it could be asked about");
    };
    let client = match Client::new(prometheus) {
        Ok(client) => client,
        Err(failure) => return away(&format!("{failure:#}")),
    };
    let (now_ms, time_max) = (Clock::System.now_ms(), Duration::from_millis(prometheus.timeout_ms));
    if let Answer::Failed(words) = client.ask("1", now_ms, time_max).await.answer {
        return away(&words.en);
    }
    let asked = rules_of(&alerting, &service).into_iter().map(|rule| {
        let client = client.clone();
        async move {
            let reading = client.read(&rule.questions, now_ms, time_max).await;
            note_of(&rule, &reading)
        }
    });
    let found = stream::iter(asked).buffered(RULES_AT_ONCE).collect::<Vec<_>>().await;
    let mut notes: Vec<String> = found.into_iter().flatten().collect();
    let name = Signal::ResponseTime.name();
    if let Some(alert) = alerting.alerts.get(name).filter(|alert| alert.query.is_none()) {
        // Why it could not be had stands above.
        let bounds = client.labels(&bounds(&service), "le", now_ms).await.unwrap_or_default();
        notes.extend(too_low(&bounds, alert.threshold.value()).map(|greatest| {
            format!(
                "{name}: the greatest bucket of {DURATION_BUCKETS} is {greatest}s, and {} is never \
                 exceeded: add greater buckets, or lower the threshold",
                alert.threshold
            )
        }));
    }
    notes
}

/// What keeps a rule from being evaluated; a measure of too little may be the hour's.
fn note_of(rule: &Rule, reading: &Reading) -> Option<String> {
    let (name, why) = (&rule.name, judge(rule, reading).1?);
    let words = why.words().en;
    match why {
        Why::NotANumber | Why::Few { .. } => None,
        Why::Failed(_) | Why::Warned(_) => Some(format!("{name}: {words}")),
        Why::Empty | Why::Stale { .. } => {
            Some(format!("{name}: {words}; docs/alerts.md says which metrics are read"))
        }
    }
}

/// The greatest finite bound, where it is no greater than the threshold.
fn too_low(bounds: &[String], threshold: f64) -> Option<f64> {
    let finite = bounds.iter().filter_map(|bound| bound.parse::<f64>().ok());
    let greatest = finite.filter(|bound| bound.is_finite()).reduce(f64::max)?;
    (greatest <= threshold).then_some(greatest)
}

fn faulty(faults: Vec<Fault>) -> anyhow::Error {
    let count = faults.len();
    let lines: Vec<String> = faults.into_iter().map(|fault| fault.to_string()).collect();
    anyhow::anyhow!("{count} faults\n{}", lines.join("\n"))
}

/// A folder that goes with its test.
struct Folder(PathBuf);

impl Folder {
    fn make() -> anyhow::Result<Self> {
        let name = format!("neostock-alerts-{}", hex::encode(neostock_ops::entropy::bytes::<8>()));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path).with_context(|| format!("make {}", path.display()))?;
        Ok(Self(path))
    }

    fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What cannot be removed is a temporary folder that stays behind.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A test on its way.
struct Trial<'t> {
    test: &'t Rehearsal,
    engine: Engine,
    clock: Clock,
    at: Whereabouts,
    rules: Vec<(Rule, HeldRule)>,
    seen: i64,
    notices: Vec<String>,
}

/// What came of it.
struct Verdict {
    differences: Vec<String>,
    notices: Vec<String>,
}

impl<'t> Trial<'t> {
    async fn begin(
        folder: &Path,
        test: &'t Rehearsal,
        alerting: &Arc<Alerting>,
        runbook: &Arc<Runbook>,
    ) -> anyhow::Result<Self> {
        let clock = Clock::manual(test.starts_ms);
        let url = format!("sqlite:{}", folder.join("test.db").display());
        let store = Store::connect(&url, clock.clone(), None::<SecretString>).await?;
        let (owner, host) = ("test".to_owned(), "test".to_owned());
        let identity = Identity { owner, host, lease_ms: 30_000 };
        let terms = Terms {
            runbook: watch::Sender::new(Arc::clone(runbook)).subscribe(),
            alerting: watch::Sender::new(Arc::clone(alerting)).subscribe(),
        };
        let engine = Engine::new(store, identity, Metrics::new()?).with_terms(terms);
        let at = whereabouts(runbook).context("the runbook has no environment")?;
        let mut rules = Vec::new();
        for rule in rules_of(alerting, &at.service) {
            let is_measured = test.measures.contains_key(&rule.name);
            if is_measured && let Some(held) = engine.claim_rule(&at, &rule).await? {
                rules.push((rule, held));
            }
        }
        Ok(Self { test, engine, clock, at, rules, seen: 0, notices: Vec::new() })
    }

    /// From the first moment to the last that is looked at.
    async fn go(mut self, file: &Path) -> anyhow::Result<Verdict> {
        let mut differences = Vec::new();
        let mut told = 0;
        let mut expected = self.test.expected.iter().peekable();
        let mut deeds = self.test.deeds.iter().enumerate().peekable();
        for _ in 0..MOMENTS_MAX {
            let now_ms = self.clock.now_ms();
            let after_ms = now_ms - self.test.starts_ms;
            self.tick(now_ms).await?;
            self.advance().await?;
            while let Some((number, deed)) = deeds.next_if(|(_, deed)| deed.after_ms <= after_ms) {
                if !self.does(number, deed).await? {
                    let Deed { line, alert, what, .. } = deed;
                    let (place, after) = (file.display(), spell(deed.after_ms));
                    differences.push(format!(
                        "  {place}:{line}: after {after}\n    alert {alert}: nothing came of {what}"
                    ));
                }
                self.advance().await?;
            }
            self.gather().await?;
            while let Some(one) = expected.next_if(|one| one.after_ms <= after_ms) {
                let found = self.differences(one, &self.notices[told..]).await?;
                if !found.is_empty() {
                    let place = format!("{}:{}", file.display(), one.line);
                    differences.push(format!("  {place}: after {}", spell(one.after_ms)));
                    differences.extend(found.into_iter().map(|line| format!("    {line}")));
                }
                told = self.notices.len();
            }
            let Some(next) = expected.peek() else { break };
            let next_ms =
                deeds.peek().map_or(next.after_ms, |(_, deed)| next.after_ms.min(deed.after_ms));
            let next_ms = self.next_ms(self.test.starts_ms + next_ms, now_ms).await?;
            self.clock.advance_ms((next_ms - now_ms).unsigned_abs());
        }
        anyhow::ensure!(expected.peek().is_none(), "more than {MOMENTS_MAX} moments");
        self.engine.store().close().await;
        Ok(Verdict { differences, notices: self.notices })
    }

    /// What time brings to alerts.
    async fn advance(&self) -> anyhow::Result<()> {
        for _ in 0..ROUNDS_MAX {
            if self.engine.advance_alerts().await? == 0 {
                break;
            }
        }
        Ok(())
    }

    /// Does what somebody does; `false`: there is no such alert, or it changes nothing.
    async fn does(&self, number: usize, deed: &Deed) -> anyhow::Result<bool> {
        let Some(alert) = self.alert(&deed.alert).await? else { return Ok(false) };
        let delivery = format!("deed/{number}");
        let by = (SOMEBODY, self.engine.clock().now_ms());
        let heard = self.engine.hear_of_alert(&delivery, &alert.id, deed.event.clone(), by).await?;
        Ok(heard == Heard::Taken)
    }

    /// The newest alert of a name; `None`: there was none.
    async fn alert(&self, name: &str) -> anyhow::Result<Option<AlertView>> {
        let filter = AlertFilter {
            environment: self.at.environment.clone(),
            name: name.to_owned(),
            limit: ALERTS_MAX,
            ..AlertFilter::default()
        };
        Ok(self.engine.alerts(&filter).await?.into_iter().next())
    }

    /// Evaluates the rules whose tick it is.
    async fn tick(&mut self, now_ms: i64) -> anyhow::Result<()> {
        let (test, engine, at) = (self.test, &self.engine, &self.at);
        for (rule, held) in &mut self.rules {
            if rule.tick_ms(now_ms) != now_ms {
                continue;
            }
            let sample = |of: &std::collections::BTreeMap<String, Vec<Sample>>| {
                let index = (now_ms - test.starts_ms) / test.interval_ms;
                let samples = of.get(&rule.name)?;
                let sample = usize::try_from(index).ok().and_then(|index| samples.get(index));
                Some(sample.map_or(Answer::Nothing, |sample| sample.answer()))
            };
            let reading = Reading {
                value: sample(&test.measures).unwrap_or(Answer::Nothing),
                age: sample(&test.ages),
                volume: sample(&test.volumes),
                warning: None,
            };
            let tick = tick_of(rule, now_ms, false, &reading);
            let is_kept = engine.keep_tick(held, at, rule, tick).await?;
            anyhow::ensure!(is_kept, "the rule {} was lost", rule.name);
        }
        Ok(())
    }

    /// The notices that are new.
    async fn gather(&mut self) -> anyhow::Result<()> {
        let mut reader = self.engine.store().read().await?;
        let mut slots = outbox::written_after(&mut reader, self.seen, NOTICES_MAX).await?;
        // A reply waits until its thread's first message is there.
        slots.sort_by_key(|(_, slot)| !slot.parent.is_empty());
        for (seq, slot) in slots {
            self.seen = self.seen.max(seq);
            let after = spell(self.clock.now_ms() - self.test.starts_ms);
            self.notices.push(format!("{after} {}", line(&slot)));
        }
        Ok(())
    }

    /// When something happens next.
    async fn next_ms(&self, expected_ms: i64, now_ms: i64) -> anyhow::Result<i64> {
        let ticks = self.rules.iter().map(|(rule, _)| rule.tick_ms(now_ms) + rule.interval_ms());
        let due_ms = self.engine.next_alert_ms().await?;
        let next_ms = ticks.chain(due_ms).chain([expected_ms]).min().unwrap_or(expected_ms);
        Ok(next_ms.max(now_ms + 1))
    }

    async fn differences(&self, one: &Expected, told: &[String]) -> anyhow::Result<Vec<String>> {
        let mut lines = Vec::new();
        for (name, expected) in &one.rules {
            let found = self.rules.iter().find(|(rule, _)| rule.name == *name);
            let found = found.map_or(State::Ok, |(_, held)| held.standing.state);
            if found != *expected {
                let (expected, found) = (expected.as_str(), found.as_str());
                lines.push(format!("rule {name}: expected {expected}, found {found}"));
            }
        }
        for (name, expected) in &one.alerts {
            let found = self.alert(name).await?.map(|found| found.condition);
            let is_same = match (expected, &found) {
                (None, None) => true,
                (Some((state, level)), Some(found)) => {
                    *state == found.state && level.is_none_or(|level| level == found.level)
                }
                _ => false,
            };
            if !is_same {
                let expected = standing(*expected);
                let found = standing(found.map(|found| (found.state, Some(found.level))));
                lines.push(format!("alert {name}: expected {expected}, found {found}"));
            }
        }
        if let Some(expected) = &one.notices {
            lines.extend(compared(expected, told));
        }
        Ok(lines)
    }
}

fn standing(found: Option<(alert::State, Option<alert::Level>)>) -> String {
    match found {
        None => "none".to_owned(),
        Some((state, None)) => state.as_str().to_owned(),
        Some((state, Some(level))) => format!("{} {}", state.as_str(), level.number()),
    }
}

/// Notices side by side: `-` is expected and was not told, `+` was told and is not expected.
fn compared(expected: &[String], told: &[String]) -> Vec<String> {
    let is_same = |(expected, told): (&String, &String)| told.contains(expected.as_str());
    if expected.len() == told.len() && expected.iter().zip(told).all(is_same) {
        return Vec::new();
    }
    let mut lines = vec![format!("notices: {} expected, {} told", expected.len(), told.len())];
    let mut rest = told.iter().peekable();
    for words in expected {
        if !rest.clone().any(|told| told.contains(words.as_str())) {
            lines.push(format!("  - {words}"));
            continue;
        }
        for told in rest.by_ref() {
            if told.contains(words.as_str()) {
                lines.push(format!("    {told}"));
                break;
            }
            lines.push(format!("  + {told}"));
        }
    }
    lines.extend(rest.map(|told| format!("  + {told}")));
    lines
}

/// By which way, and what people read first.
fn line(slot: &outbox::Slot) -> String {
    let way = slot.channel.split_once(':').map_or("slack", |(way, _)| way);
    let body: Value = serde_json::from_str(&slot.body).unwrap_or_default();
    let places = ["/summary", "/subject", "/payload/summary", "/event_action"];
    let words = places.iter().find_map(|place| body.pointer(place)?.as_str()).unwrap_or_default();
    let mut line = way.to_owned();
    let _ = write!(line, " {}{words}", if slot.parent.is_empty() { "" } else { "↳ " });
    line
}

/// As the file would write it.
fn spell(ms: i64) -> String {
    duration::spell(ms.unsigned_abs())
}
