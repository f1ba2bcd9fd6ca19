//! Alive, ready, measured.

use super::Web;
use crate::engine::Engine;
use crate::pipeline::Workspace;
use crate::store::outbox::Census;
use crate::vitals::Part;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;
use std::sync::{Arc, OnceLock};

/// A message that is due for longer than this makes the bot say that it is behind.
const OUTBOX_AGE_MS_MAX: i64 = 60_000;

/// What readiness depends on.
pub struct Health {
    /// The store is asked for a sign of life.
    pub engine: Engine,
    /// Set once Slack has answered.
    pub workspace: Arc<OnceLock<Workspace>>,
}

/// The process runs.
pub async fn healthz() -> &'static str {
    "ok\n"
}

/// Whether requests can be served; which part cannot, in words. 503 tells a balancer to ask another
/// bot. A low disk is no reason: everything but a new run can still be done here.
pub async fn readyz(State(web): State<Web>) -> Response {
    let health = &web.0.health;
    let sight = health.engine.vitals().sight();
    let database = sight.is_good(Part::Database) && health.engine.store().ping().await.is_ok();
    let has_greeted = health.workspace.get().is_some_and(Workspace::is_confirmed);
    let slack = has_greeted && sight.is_good(Part::Slack);
    let (census, waits) = if database {
        let census = health.engine.take_census().await.unwrap_or_default();
        (census, health.engine.why_messages_wait().await.unwrap_or_default())
    } else {
        (Census::default(), Vec::new())
    };
    let now_ms = web.0.clock.now_ms();
    let age_ms = if census.oldest_ms == 0 { 0 } else { now_ms - census.oldest_ms };
    let state = |good: bool, bad: &'static str| if good { "ok" } else { bad };
    let report = json!({
        "ready": database && slack,
        "database": state(database, "cannot be reached"),
        "slack": if has_greeted {
            state(slack, "does not answer")
        } else {
            "has not answered auth.test yet"
        },
        "disk": state(sight.is_good(Part::Disk), "is low: no new run begins"),
        "disk_free_bytes": sight.free_bytes,
        "outbox": state(age_ms <= OUTBOX_AGE_MS_MAX, "messages wait for more than a minute"),
        "outbox_due": census.due,
        "outbox_refused": census.refused,
        "outbox_oldest_age_ms": age_ms,
        "outbox_waits_because": waits,
        "runbook": web.0.pipeline.runbook.borrow().digest,
        "version": env!("CARGO_PKG_VERSION"),
    });
    let status = if database && slack { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let body = format!("{report}\n");
    (status, [(header::CONTENT_TYPE, "application/json")], body).into_response()
}

/// Prometheus' text format.
pub async fn metrics(State(web): State<Web>) -> Response {
    // A database that is gone leaves its gauges as they were; `neostock_part_up` tells.
    let _ = web.0.health.engine.take_census().await;
    let body = web.0.metrics.exposition();
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], body).into_response()
}
