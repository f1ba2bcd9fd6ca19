//! The sample's own HTTP service: health, metrics, quotes, an access log, and misbehaviour on
//! demand.
//!
//! It reads its version and the schema it expects once, at its start, as a built program would: a new
//! tree alone changes nothing until the restart. The database's schema is read on each request. A
//! newer one is fine, for migrations only add: the old colour serves on while the new one is
//! prepared. An older one is a half-done rollback and shows as 503.

use super::pair::{self, Colour};
use super::process::{self, Unit};
use super::{Place, database};
use anyhow::Context;
use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use chrono::DateTime;
use prometheus::{
    Encoder, HistogramOpts, HistogramVec, IntCounterVec, IntGauge, Opts, Registry, TextEncoder,
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

/// On every answer, so that a load test can tell the versions apart.
const VERSION: HeaderName = HeaderName::from_static("x-neostock-version");

struct Service {
    colour: Colour,
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
    in_flight: IntGauge,
    latency: HistogramVec,
    auth: IntCounterVec,
    fetches: IntCounterVec,
}

#[derive(Serialize)]
struct Health<'h> {
    status: &'static str,
    version: &'h str,
    schema: i64,
    colour: &'static str,
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
pub(super) async fn serve(place: Place, colour: Colour) -> anyhow::Result<()> {
    let unit = Unit::Slot(colour);
    process::ensure_alone(&place, unit)?;
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
        colour,
        version: pair::release(&place, colour)?,
        expected_schema: database::expected_schema(&place, colour)?,
        database: SqlitePoolOptions::new().max_connections(2).connect_lazy_with(options),
        misbehave: place.misbehave(),
        access_log: Mutex::new(access_log),
        draws: AtomicU64::new(0),
        metrics: Metrics::new()?,
    });
    // Any port does: the front reads it where the process writes itself down.
    let listener = TcpListener::bind("127.0.0.1:0").await.context("listen on loopback")?;
    process::write_down(&place, unit, listener.local_addr().context("read our port")?.port())?;
    let router = Router::new().fallback(answer).with_state(service);
    let served = axum::serve(listener, router)
        .with_graceful_shutdown(process::end_of_service(place.clone()));
    served.await.context("serve")
}

async fn answer(State(service): State<Arc<Service>>, request: Request) -> Response {
    #[expect(clippy::disallowed_methods, reason = "a latency is real time")]
    let started = Instant::now();
    let path = request.uri().path().to_owned();
    let misbehaviour = Misbehaviour::read(&service.misbehave, &service.version);
    let is_counted = path != "/metrics";
    let _under_way = is_counted.then(|| UnderWay::new(&service.metrics.in_flight));
    if is_counted && misbehaviour.latency_ms > 0 {
        #[expect(clippy::disallowed_methods, reason = "it was asked to be slow")]
        tokio::time::sleep(Duration::from_millis(misbehaviour.latency_ms)).await;
    }
    let mut response = match path.as_str() {
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
    if let Ok(version) = HeaderValue::from_str(&service.version) {
        response.headers_mut().insert(VERSION, version);
    }
    response
}

/// Counts a request for as long as it lives, also when its asker goes away.
struct UnderWay(IntGauge);

impl UnderWay {
    fn new(gauge: &IntGauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl Service {
    async fn health(&self, misbehaviour: &Misbehaviour) -> Response {
        let schema = self.schema().await;
        let is_fit = schema.as_ref().is_ok_and(|schema| *schema >= self.expected_schema);
        let (status, word) = match misbehaviour.health.map(StatusCode::from_u16) {
            Some(Ok(status)) if status != StatusCode::OK => (status, "failing"),
            _ if is_fit => (StatusCode::OK, "ok"),
            _ => (StatusCode::SERVICE_UNAVAILABLE, "schema_mismatch"),
        };
        let schema = schema.unwrap_or(0);
        let colour = self.colour.name();
        json(status, &Health { status: word, version: &self.version, schema, colour })
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
        let line =
            format!("127.0.0.1 - - [{at}] \"{method} {path} HTTP/1.1\" {status} - {took:.3}\n");
        let mut log = self.access_log.lock().unwrap_or_else(PoisonError::into_inner);
        // One write a line, for both colours append to this file. A full disk must not take the
        // service down.
        let _ = log.write_all(line.as_bytes());
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
        let in_flight = IntGauge::new("http_requests_in_flight", "Requests under way.")?;
        registry.register(Box::new(in_flight.clone()))?;
        Ok(Self { registry, requests, in_flight, latency, auth, fetches })
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
    fn read(path: &std::path::Path, version: &str) -> Self {
        Self::parse(&fs::read_to_string(path).unwrap_or_default(), version)
    }

    /// Lines or words of `name=value`; what is not understood is nothing. A line that names a version
    /// is for that one alone.
    fn parse(text: &str, version: &str) -> Self {
        let mut asked = Self::default();
        let rate = |value: &str| value.parse().unwrap_or(0.0_f64).clamp(0.0, 1.0);
        let concerns_us =
            |line: &&str| pairs(line).all(|(name, value)| name != "version" || value == version);
        for (name, value) in text.lines().filter(concerns_us).flat_map(pairs) {
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

/// The words `name=value` of a line.
fn pairs(line: &str) -> impl Iterator<Item = (&str, &str)> {
    line.split_whitespace().filter_map(|word| word.split_once('='))
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
        assert_eq!(Misbehaviour::parse("nonsense latency_ms=x", "v1"), Misbehaviour::default());
        assert_eq!(
            Misbehaviour::parse("health=500\nlatency_ms=6000\nerror_rate=0.2\n", "v1"),
            Misbehaviour {
                health: Some(500),
                latency_ms: 6_000,
                error_rate: 0.2,
                ..Misbehaviour::default()
            }
        );
    }

    #[test]
    fn a_line_that_names_a_version_is_for_that_one_alone() {
        let text = "version=v2 health=500\nlatency_ms=9";

        assert_eq!(Misbehaviour::parse(text, "v2").health, Some(500));
        assert_eq!(Misbehaviour::parse(text, "v1").health, None);
        assert_eq!(Misbehaviour::parse(text, "v1").latency_ms, 9);
    }
}
