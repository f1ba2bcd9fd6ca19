//! Asking the sample's own processes over HTTP on loopback.

use anyhow::Context;
use axum::body::{Body, to_bytes};
use axum::http::StatusCode;
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde::Deserialize;
use std::fmt;
use std::time::Duration;

/// How long a connection on loopback may take.
const CONNECT_TIME_MAX: Duration = Duration::from_secs(1);
/// How long an answer may take that a command waits for.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(5);
/// How much of an answer is read.
const ANSWER_BYTES_MAX: usize = 64 * 1024;
/// How long an unused connection is kept.
const IDLE_TIME_MAX: Duration = Duration::from_secs(30);
/// How many unused connections are kept.
const IDLE_CONNECTIONS_MAX: usize = 32;

pub(super) type Client = legacy::Client<HttpConnector, Body>;

/// What a colour says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Health {
    pub(super) is_ok: bool,
    pub(super) version: String,
    said: String,
}

impl Health {
    pub(super) fn is(&self, version: &str) -> bool {
        self.is_ok && self.version == version
    }
}

impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.said)
    }
}

pub(super) fn client() -> Client {
    let mut connector = HttpConnector::new();
    connector.set_connect_timeout(Some(CONNECT_TIME_MAX));
    connector.set_nodelay(true);
    legacy::Client::builder(TokioExecutor::new())
        .pool_idle_timeout(IDLE_TIME_MAX)
        .pool_max_idle_per_host(IDLE_CONNECTIONS_MAX)
        .build(connector)
}

/// Asks once and reads the whole answer.
pub(super) async fn get(port: u16, path: &str) -> anyhow::Result<(StatusCode, String)> {
    let url = format!("http://127.0.0.1:{port}{path}").parse().context("make the address")?;
    let answer = async {
        let answer = client().get(url).await.with_context(|| format!("ask port {port}"))?;
        let status = answer.status();
        let body = to_bytes(Body::new(answer.into_body()), ANSWER_BYTES_MAX).await;
        let body = body.with_context(|| format!("read the answer of port {port}"))?;
        Ok((status, String::from_utf8_lossy(&body).into_owned()))
    };
    tokio::time::timeout(ANSWER_TIME_MAX, answer)
        .await
        .with_context(|| format!("no answer within {} s", ANSWER_TIME_MAX.as_secs()))?
}

/// Asks for `/health`; an answer that is no health report counts as not well.
pub(super) async fn health(port: u16) -> anyhow::Result<Health> {
    #[derive(Deserialize)]
    struct Report {
        version: String,
    }
    let (status, body) = get(port, "/health").await?;
    let version =
        serde_json::from_str(&body).map_or_else(|_| String::new(), |it: Report| it.version);
    let said = format!("{} {}", status.as_u16(), body.trim());
    Ok(Health { is_ok: status == StatusCode::OK, version, said })
}
