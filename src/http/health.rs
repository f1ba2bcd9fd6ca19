//! Alive, ready, measured.

use super::Web;
use crate::engine::Engine;
use crate::pipeline::Workspace;
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

/// Whether requests can be served; which part cannot, in words.
pub async fn readyz(State(web): State<Web>) -> Response {
    let health = &web.0.health;
    let database = health.engine.store().ping().await.is_ok();
    let slack = health.workspace.get().is_some();
    let census = health.engine.take_census().await.unwrap_or_default();
    let now_ms = web.0.clock.now_ms();
    let age_ms = if census.oldest_ms == 0 { 0 } else { now_ms - census.oldest_ms };
    let state = |good: bool, bad: &'static str| if good { "ok" } else { bad };
    let report = json!({
        "ready": database && slack,
        "database": state(database, "cannot be reached"),
        "slack": state(slack, "has not answered auth.test yet"),
        "outbox": state(age_ms <= OUTBOX_AGE_MS_MAX, "messages wait for more than a minute"),
        "outbox_due": census.due,
        "outbox_refused": census.refused,
    });
    let status = if database && slack { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let body = format!("{report}\n");
    (status, [(header::CONTENT_TYPE, "application/json")], body).into_response()
}

/// Prometheus' text format.
pub async fn metrics(State(web): State<Web>) -> Response {
    // A database that is gone leaves the gauges as they were; readiness tells.
    let _ = web.0.health.engine.take_census().await;
    let body = web.0.metrics.exposition();
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], body).into_response()
}
