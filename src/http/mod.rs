//! The way in: Slack's requests, what monitoring sends, health, metrics. Nothing reads a body but through
//! `signed::Signed`, `webhooks::Bearer` and `pagerduty::Signed`.

mod health;
mod pagerduty;
mod signed;
mod slack;
mod webhooks;

pub use health::Health;
pub use webhooks::Webhooks;

use crate::clock::Clock;
use crate::metrics::Metrics;
use crate::pipeline::Pipeline;
use crate::slack::verify::SigningSecret;
use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::{get, post};
use std::sync::Arc;

/// What the routes share.
#[derive(Clone)]
pub struct Web(pub(crate) Arc<Parts>);

/// See [`Web`].
pub struct Parts {
    /// Where verified requests go.
    pub pipeline: Arc<Pipeline>,
    /// Proves that a request is Slack's.
    pub secret: SigningSecret,
    /// When a signature is too old.
    pub clock: Clock,
    /// Counts refusals and answers.
    pub metrics: Metrics,
    /// What readiness depends on.
    pub health: Health,
    /// Who may send alerts, and how much of it is taken at once.
    pub webhooks: Webhooks,
}

impl Web {
    /// The routes' shared parts.
    pub fn new(parts: Parts) -> Self {
        Self(Arc::new(parts))
    }
}

/// Every route.
pub fn router(web: Web) -> Router {
    Router::new()
        .route("/slack/events", post(slack::any))
        .route("/slack/commands", post(slack::command))
        .route("/slack/interactions", post(slack::interaction))
        .route("/webhooks/alertmanager", post(webhooks::alertmanager))
        .route("/webhooks/alerts", post(webhooks::alerts))
        .route("/webhooks/pagerduty", post(pagerduty::webhook))
        .route("/healthz", get(health::healthz))
        .route("/readyz", get(health::readyz))
        .route("/metrics", get(health::metrics))
        .layer(middleware::from_fn_with_state(web.clone(), count))
        .with_state(web)
}

async fn count(State(web): State<Web>, request: Request, next: Next) -> Response {
    let response = next.run(request).await;
    web.0.metrics.http_answer(response.status().as_u16());
    response
}
