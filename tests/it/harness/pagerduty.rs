//! A PagerDuty of one test's own: it takes events as the real one documents it, and can be told to fail.

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// A routing key as it is spelt.
pub const ROUTING_KEY: &str = "0123456789abcdef0123456789abcdef";
/// Longer than the bot waits for an answer.
const HANGS: Duration = Duration::from_mins(1);

/// How it behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    Works,
    Status(u16),
    /// Nothing is answered, and nothing taken.
    Hangs,
    /// The event is taken, and nothing answered.
    TakesInSilence,
}

#[derive(Default)]
struct Taken {
    mode: Option<Mode>,
    calls: usize,
    events: Vec<Value>,
    changes: Vec<Value>,
}

/// The server, until it is dropped.
pub struct PagerDuty {
    pub url: String,
    taken: Arc<Mutex<Taken>>,
    task: JoinHandle<()>,
}

impl PagerDuty {
    pub async fn start() -> Self {
        let taken = Arc::new(Mutex::new(Taken::default()));
        let router = Router::new()
            .route("/v2/enqueue", post(enqueue))
            .route("/v2/change/enqueue", post(change))
            .with_state(Arc::clone(&taken));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { url, taken, task }
    }

    pub fn behave(&self, mode: Mode) {
        self.taken.lock().unwrap().mode = Some(mode);
    }

    /// How often it was called, whatever became of it.
    pub fn calls(&self) -> usize {
        self.taken.lock().unwrap().calls
    }

    /// The events that it took, in order.
    pub fn events(&self) -> Vec<Value> {
        self.taken.lock().unwrap().events.clone()
    }

    /// Their actions.
    pub fn actions(&self) -> Vec<String> {
        let actions = self.events().into_iter();
        actions.map(|event| event["event_action"].as_str().unwrap().to_owned()).collect()
    }

    /// The changes that it took.
    pub fn changes(&self) -> Vec<Value> {
        self.taken.lock().unwrap().changes.clone()
    }

    /// The section `pagerduty` of an alerting configuration that calls here; the key stands in a file.
    pub fn configuration(&self, folder: &std::path::Path) -> String {
        let (key, secret) = (folder.join("routing-key"), folder.join("webhook-secret"));
        std::fs::write(&key, ROUTING_KEY).unwrap();
        std::fs::write(&secret, WEBHOOK_SECRET).unwrap();
        format!(
            "pagerduty: {{url: '{}', routing_keys: {{default: {{file: {}}}}}, webhook_secrets: [{{file: {}}}]}}",
            self.url,
            key.display(),
            secret.display()
        )
    }
}

/// With which it signs what it sends back.
pub const WEBHOOK_SECRET: &str = "webhook secret";

impl Drop for PagerDuty {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn enqueue(State(taken): State<Arc<Mutex<Taken>>>, body: Bytes) -> Response {
    take(taken, &body, |event| {
        let mut faults = faults_of(event);
        let action = event["event_action"].as_str().unwrap_or_default();
        if !["trigger", "acknowledge", "resolve"].contains(&action) {
            faults.push("'event_action' is missing or unknown");
        }
        let dedup = event["dedup_key"].as_str().unwrap_or_default();
        if dedup.chars().count() > 255 || (action != "trigger" && dedup.is_empty()) {
            faults.push("Length of 'dedup_key' is incorrect");
        }
        let payload = &event["payload"];
        if action == "trigger" {
            faults.extend(summary_fault(payload));
            let severity = payload["severity"].as_str().unwrap_or_default();
            if !["critical", "error", "warning", "info"].contains(&severity) {
                faults.push("'payload.severity' is invalid");
            }
            if payload["source"].as_str().is_none_or(str::is_empty) {
                faults.push("'payload.source' is missing or blank");
            }
        }
        faults
    })
    .await
}

async fn change(State(taken): State<Arc<Mutex<Taken>>>, body: Bytes) -> Response {
    take(taken, &body, |event| {
        let mut faults = faults_of(event);
        faults.extend(summary_fault(&event["payload"]));
        faults
    })
    .await
}

fn faults_of(event: &Value) -> Vec<&'static str> {
    let key = event["routing_key"].as_str().unwrap_or_default();
    if key == ROUTING_KEY { Vec::new() } else { vec!["Length of 'routing_key' is incorrect"] }
}

fn summary_fault(payload: &Value) -> Option<&'static str> {
    let summary = payload["summary"].as_str().unwrap_or_default();
    let is_right = (1..=1_024).contains(&summary.chars().count());
    (!is_right).then_some("'payload.summary' is missing, blank or too long")
}

async fn take(
    taken: Arc<Mutex<Taken>>,
    body: &[u8],
    check: impl Fn(&Value) -> Vec<&'static str>,
) -> Response {
    let mode = {
        let mut taken = taken.lock().unwrap();
        taken.calls += 1;
        taken.mode.unwrap_or(Mode::Works)
    };
    match mode {
        Mode::Works | Mode::TakesInSilence => {}
        Mode::Status(status) => return StatusCode::from_u16(status).unwrap().into_response(),
        Mode::Hangs => {
            tokio::time::sleep(HANGS).await;
            return StatusCode::INTERNAL_SERVER_ERROR.into_response();
        }
    }
    let event: Value = serde_json::from_slice(body).unwrap_or_default();
    let mut faults = check(&event);
    if body.len() > 512 * 1024 {
        faults.push("the event is too large");
    }
    if !faults.is_empty() {
        let answer = json!({"status": "invalid event", "message": "Event object is invalid", "errors": faults});
        return (StatusCode::BAD_REQUEST, answer.to_string()).into_response();
    }
    let dedup = event["dedup_key"].clone();
    {
        let mut taken = taken.lock().unwrap();
        let is_change = event["event_action"].is_null();
        if is_change { taken.changes.push(event) } else { taken.events.push(event) }
    }
    if mode == Mode::TakesInSilence {
        tokio::time::sleep(HANGS).await;
    }
    let answer = json!({"status": "success", "message": "Event processed", "dedup_key": dedup});
    (StatusCode::ACCEPTED, answer.to_string()).into_response()
}
