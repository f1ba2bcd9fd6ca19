//! A source of alerts beside a bot, on its database and by its clock; and presses that no card shows any more.

use super::bot::{Bot, shown};
use super::database::TestDatabase;
use super::place::Place;
use neostock_ops::clock::Clock;
use neostock_ops::config::{alerting, runbook};
use neostock_ops::core::action::Role;
use neostock_ops::core::alert::{Level, Sighting};
use neostock_ops::core::id::UserId;
use neostock_ops::core::policy::{Actor, Authorized, about_oneself};
use neostock_ops::core::press::Press;
use neostock_ops::engine::{Asked, Engine, Identity, Observed, Terms};
use neostock_ops::metrics::Metrics;
use neostock_ops::sandbox::Options;
use neostock_ops::store::Store;
use secrecy::SecretString;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use tokio::sync::watch;

/// Level 2 calls Bob, level 3 the leads and Ann; the rest is the manual's.
const ALERTING: &str = r"
alerts:
  error_rate: {threshold: 0.05, duration: 60s, severity: error, channels: [slack]}
escalation:
  error: {steps: [{tell: [U0BOB]}], rises_after: 15m}
  critical: {steps: [{tell: [S0LEADS, U0ANN]}], repeat: {every: 5m, times: 24}}
";

/// A bot that knows whom to call about alerts.
pub async fn watching(database: &TestDatabase, actions: &str) -> Bot {
    let place = Place::new(actions);
    std::fs::write(place.alerting(), ALERTING).unwrap();
    Bot::in_workspace(database, place, Options::default()).await
}

/// A bot's engine alone, on a database and a clock that several share.
pub async fn engine(database: &TestDatabase, clock: &Clock, terms: &Terms, owner: &str) -> Engine {
    let store = Store::connect(&database.url, clock.clone(), None).await.unwrap();
    let identity = Identity { owner: owner.to_owned(), host: "test".to_owned(), lease_ms: 30_000 };
    Engine::new(store, identity, Metrics::new().unwrap()).with_terms(terms.clone())
}

/// Bob, as a lead.
pub fn bob() -> Authorized {
    let actor = Actor { user: UserId::new("U0BOB"), team: "T1".to_owned() };
    let role = Role { name: "lead".to_owned(), members: Vec::new(), max_age_ms: None, line: 0 };
    about_oneself(&actor, &role)
}

/// What Bob types, once.
pub fn asked(delivery: &str) -> Asked {
    Asked {
        delivery: delivery.to_owned(),
        actor: UserId::new("U0BOB"),
        origin: "slash",
        channel: "C0OPS".to_owned(),
        text: delivery.to_owned(),
        login: None,
    }
}

/// What brings sightings in.
pub struct Source {
    pub engine: Engine,
}

impl Source {
    /// One beside a bot, on the same files.
    pub async fn beside(bot: &Bot) -> Self {
        let keys = None::<SecretString>;
        let store = Store::join(&bot.database_url, bot.clock.clone(), keys).await.unwrap();
        let identity =
            Identity { owner: "test/source".into(), host: "test".into(), lease_ms: 30_000 };
        let runbook = runbook::load(&bot.place.runbook()).unwrap();
        let path = bot.place.alerting();
        let alerting = if path.exists() {
            alerting::load(&path).unwrap()
        } else {
            alerting::Alerting::default()
        };
        let terms = Terms {
            runbook: watch::Sender::new(Arc::new(runbook)).subscribe(),
            alerting: watch::Sender::new(Arc::new(alerting)).subscribe(),
        };
        Self { engine: Engine::new(store, identity, Metrics::new().unwrap()).with_terms(terms) }
    }

    /// Says these.
    pub async fn says(&self, sightings: &[Sighting]) -> Observed {
        self.engine.observe(sightings.to_vec()).await.unwrap()
    }

    pub async fn end(self) {
        self.engine.store().close().await;
    }
}

/// An error rate of production that fires since now.
pub fn firing(bot: &Bot, name: &str, level: Level) -> Sighting {
    Sighting {
        source: "rule".into(),
        fingerprint: format!("f-{name}"),
        starts_ms: bot.clock.now_ms(),
        ended_ms: None,
        name: name.into(),
        service: "neostock".into(),
        environment: "production".into(),
        level,
        ways: BTreeSet::new(),
        summary: "7.2% of all answers are errors".into(),
        description: String::new(),
        labels: BTreeMap::new(),
        links: Vec::new(),
        value: "7.2% > 5%".into(),
        owner: String::new(),
    }
}

/// The same, over by now.
pub fn over(bot: &Bot, firing: &Sighting) -> Sighting {
    Sighting { ended_ms: Some(bot.clock.now_ms()), ..firing.clone() }
}

/// Presses a button as it stood on an older card; what that person reads.
pub async fn press(bot: &Bot, user: &str, press: &Press) -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let path = bot.workspace.open_response_url(user, "C0OPS");
    let payload = json!({
        "type": "block_actions", "user": {"id": user, "team_id": "T0NEO"}, "team": {"id": "T0NEO"},
        "trigger_id": format!("old.{number}"),
        "response_url": format!("{}{path}", bot.workspace.base_url()),
        "container": {"type": "message", "channel_id": "C0OPS", "message_ts": "1.000001"},
        "actions": [{
            "type": "button", "action_id": press.action(), "block_id": "b", "value": press.value(),
            "action_ts": "1.0",
        }],
    });
    let form = super::wire::form(&[("payload", &payload.to_string())]);
    let before = bot.workspace.ephemerals(user).len();
    let answer = bot.workspace.deliver_signed(super::wire::FORM, &form, &[]).await;
    assert!(answer.is_ok(), "{answer:?}");
    let after = bot.workspace.ephemerals(user);
    after.get(before..).unwrap_or_default().iter().map(shown).collect()
}
