//! The sample's own HTTP service: health, metrics, quotes, an access log, and misbehaviour on
//! demand.
//!
//! It reads its version and the schema it expects once, at its start, as a built program would: a
//! checkout alone changes nothing until the restart. The database's schema is read on each request,
//! so that a half-done rollback shows as 503.

use super::Place;
use super::{database, process};
use anyhow::Context;
use axum::Router;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use chrono::DateTime;
use prometheus::{
    Encoder, HistogramOpts, HistogramVec, IntCounterVec, Opts, Registry, TextEncoder,
};
use serde::Serialize;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool, SqlitePoolOptions};
use std::fs::{self, File};
use std::io::Write;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};
use tokio::net::TcpListener;

/// Seconds; the manual's threshold is 5, so there must be more beyond it.
const LATENCY_BUCKETS: [f64; 12] =
    [0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 7.5, 10.0, 30.0];
/// The longest that `latency_ms` may ask for.
const LATENCY_MS_MAX: u64 = 60_000;

struct Service {
    version: String,
    expected_schema: i64,
    database: SqlitePool,
    misbehave: PathBuf,
    access_log: Mutex<File>,
    /// Counts draws, so that a rate of 0.2 is every fifth and no matter of luck.
    draws: AtomicU64,
    metrics: Metrics,
}

struct Metrics {
    registry: Registry,
    requests: IntCounterVec,
    latency: HistogramVec,
    auth: IntCounterVec,
    fetches: IntCounterVec,
}

#[derive(Serialize)]
struct Health<'h> {
    status: &'static str,
    version: &'h str,
    schema: i64,
}

#[derive(Serialize, sqlx::FromRow)]
struct Quote {
    symbol: String,
    name: String,
    price_cents: i64,
    at_ms: i64,
}

/// What the file `misbehave` asks for now.
#[derive(Debug, Default, PartialEq)]
struct Misbehaviour {
    health: Option<u16>,
    latency_ms: u64,
    error_rate: f64,
    auth_failure_rate: f64,
    fetch_failure_rate: f64,
}

/// Serves until the process is stopped.
pub(super) async fn serve(place: Place, port: u16) -> anyhow::Result<()> {
    process::ensure_alone(&place)?;
    let version = fs::read_to_string(place.repo().join("VERSION")).context("read VERSION")?;
    let options = SqliteConnectOptions::new()
        .filename(place.database())
        .read_only(true)
        .busy_timeout(Duration::from_secs(2));
    let access_log = File::options()
        .create(true)
        .append(true)
        .open(place.access_log())
        .context("open the access log")?;
    let service = Arc::new(Service {
        version: version.trim().to_owned(),
        expected_schema: database::expected_schema(&place)?,
        database: SqlitePoolOptions::new().max_connections(2).connect_lazy_with(options),
        misbehave: place.misbehave(),
        access_log: Mutex::new(access_log),
        draws: AtomicU64::new(0),
        metrics: Metrics::new()?,
    });
    let listener = TcpListener::bind(("127.0.0.1", port))
        .await
        .with_context(|| format!("listen on 127.0.0.1:{port}"))?;
    process::write_down(&place)?;
    let router = Router::new().fallback(answer).with_state(service);
    axum::serve(listener, router).await.context("serve")
}

async fn answer(State(service): State<Arc<Service>>, request: Request) -> Response {
    #[expect(clippy::disallowed_methods, reason = "a latency is real time")]
    let started = Instant::now();
    let path = request.uri().path().to_owned();
    let misbehaviour = Misbehaviour::read(&service.misbehave);
    if path != "/metrics" && misbehaviour.latency_ms > 0 {
        #[expect(clippy::disallowed_methods, reason = "it was asked to be slow")]
        tokio::time::sleep(Duration::from_millis(misbehaviour.latency_ms)).await;
    }
    let response = match path.as_str() {
        "/health" => service.health(&misbehaviour).await,
        "/metrics" => service.metrics.page(),
        "/api/quotes" => service.quotes(&misbehaviour).await,
        _ => (StatusCode::NOT_FOUND, "not found\n").into_response(),
    };
    let took = started.elapsed();
    let label = if path.starts_with("/api/") { path.as_str() } else { "other" };
    let status = response.status().as_u16();
    if path.starts_with("/api/") {
        service.metrics.requests.with_label_values(&[label, &status.to_string()]).inc();
        service.metrics.latency.with_label_values(&[label]).observe(took.as_secs_f64());
    }
    service.log(request.method().as_str(), &path, status, took);
    response
}

impl Service {
    async fn health(&self, misbehaviour: &Misbehaviour) -> Response {
        let schema = self.schema().await;
        let is_fit = schema.as_ref().is_ok_and(|schema| *schema == self.expected_schema);
        let (status, word) = match misbehaviour.health.map(StatusCode::from_u16) {
            Some(Ok(status)) if status != StatusCode::OK => (status, "failing"),
            _ if is_fit => (StatusCode::OK, "ok"),
            _ => (StatusCode::SERVICE_UNAVAILABLE, "schema_mismatch"),
        };
        let schema = schema.unwrap_or(0);
        json(status, &Health { status: word, version: &self.version, schema })
    }

    async fn schema(&self) -> anyhow::Result<i64> {
        let mut connection = self.database.acquire().await.context("open the database")?;
        database::schema(&mut connection).await
    }

    async fn quotes(&self, misbehaviour: &Misbehaviour) -> Response {
        if self.draw(misbehaviour.auth_failure_rate) {
            self.metrics.auth.with_label_values(&["failure"]).inc();
            return (StatusCode::UNAUTHORIZED, "unauthorized\n").into_response();
        }
        self.metrics.auth.with_label_values(&["success"]).inc();
        if self.draw(misbehaviour.error_rate) {
            return (StatusCode::INTERNAL_SERVER_ERROR, "internal error\n").into_response();
        }
        if self.draw(misbehaviour.fetch_failure_rate) {
            self.metrics.fetches.with_label_values(&["failure"]).inc();
            return (StatusCode::BAD_GATEWAY, "quote source failed\n").into_response();
        }
        self.metrics.fetches.with_label_values(&["success"]).inc();
        let quotes: Result<Vec<Quote>, _> =
            sqlx::query_as("select symbol, name, price_cents, at_ms from quotes order by symbol")
                .fetch_all(&self.database)
                .await;
        match quotes {
            Ok(quotes) => json(StatusCode::OK, &quotes),
            Err(_) => (StatusCode::INTERNAL_SERVER_ERROR, "database error\n").into_response(),
        }
    }

    /// Whether this time is one of the share that `rate` asks for.
    fn draw(&self, rate: f64) -> bool {
        let draw = self.draws.fetch_add(u64::from(rate > 0.0), Ordering::Relaxed) as f64;
        ((draw + 1.0) * rate).floor() > (draw * rate).floor()
    }

    fn log(&self, method: &str, path: &str, status: u16, took: Duration) {
        #[expect(clippy::disallowed_methods, reason = "the sandbox uses none of the other rooms")]
        let now: DateTime<chrono::Utc> = SystemTime::now().into();
        let at = now.format("%d/%b/%Y:%H:%M:%S +0000");
        let took = took.as_secs_f64();
        let mut log = self.access_log.lock().unwrap_or_else(PoisonError::into_inner);
        // A full disk must not take the service down.
        let _ =
            writeln!(log, "127.0.0.1 - - [{at}] \"{method} {path} HTTP/1.1\" {status} - {took:.3}");
    }
}

impl Metrics {
    fn new() -> anyhow::Result<Self> {
        let registry = Registry::new();
        let counter = |name: &str, help: &str, labels: &[&str]| {
            let counter = IntCounterVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(counter.clone()))?;
            anyhow::Ok(counter)
        };
        let requests = counter("http_requests_total", "Requests to the API.", &["path", "status"])?;
        let auth = counter("auth_attempts_total", "Attempts to authenticate.", &["result"])?;
        let fetches = counter("data_fetch_total", "Fetches from the quote source.", &["result"])?;
        let options = HistogramOpts::new("http_request_duration_seconds", "Time to answer.")
            .buckets(LATENCY_BUCKETS.to_vec());
        let latency = HistogramVec::new(options, &["path"])?;
        registry.register(Box::new(latency.clone()))?;
        Ok(Self { registry, requests, latency, auth, fetches })
    }

    fn page(&self) -> Response {
        let mut text = Vec::new();
        match TextEncoder::new().encode(&self.registry.gather(), &mut text) {
            Ok(()) => ([(header::CONTENT_TYPE, prometheus::TEXT_FORMAT)], text).into_response(),
            Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        }
    }
}

impl Misbehaviour {
    fn read(path: &std::path::Path) -> Self {
        Self::parse(&fs::read_to_string(path).unwrap_or_default())
    }

    /// Lines or words of `name=value`; what is not understood is nothing.
    fn parse(text: &str) -> Self {
        let mut asked = Self::default();
        let rate = |value: &str| value.parse().unwrap_or(0.0_f64).clamp(0.0, 1.0);
        for (name, value) in text.split_whitespace().filter_map(|word| word.split_once('=')) {
            match name {
                "health" => asked.health = value.parse().ok(),
                "latency_ms" => {
                    asked.latency_ms = value.parse().unwrap_or(0).min(LATENCY_MS_MAX);
                }
                "error_rate" => asked.error_rate = rate(value),
                "auth_failure_rate" => asked.auth_failure_rate = rate(value),
                "fetch_failure_rate" => asked.fetch_failure_rate = rate(value),
                _ => {}
            }
        }
        asked
    }
}

fn json(status: StatusCode, body: &impl Serialize) -> Response {
    let text = serde_json::to_string(body).unwrap_or_default();
    (status, [(header::CONTENT_TYPE, "application/json")], text).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn misbehaviour_is_what_the_file_says_and_nothing_otherwise() {
        assert_eq!(Misbehaviour::parse("nonsense latency_ms=x"), Misbehaviour::default());
        assert_eq!(
            Misbehaviour::parse("health=500\nlatency_ms=6000\nerror_rate=0.2\n"),
            Misbehaviour {
                health: Some(500),
                latency_ms: 6_000,
                error_rate: 0.2,
                ..Misbehaviour::default()
            }
        );
    }
}
