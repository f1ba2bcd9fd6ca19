//! What PagerDuty says of its incidents (webhooks v3): reads bytes that were signed, and decides nothing.
//! Unknown fields and unknown events are ignored: they may come with any new version.

use crate::core::alert_page::alert_of;
use crate::core::told::one_line;
use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use sha2::Sha256;

/// The header with the signatures: `v1=hex[,v1=hex]…`, one for each secret while they are changed.
pub const SIGNATURE_HEADER: &str = "x-pagerduty-signature";
/// The header with a delivery's name.
pub const DELIVERY_HEADER: &str = "x-webhook-id";
/// What a signature begins with.
const VERSION: &str = "v1=";
/// Signatures that are looked at.
const SIGNATURES_MAX: usize = 10;
/// Hexadecimal digits of a SHA-256.
const SIGNATURE_CHARS: usize = 64;
/// Bytes of a delivery's name.
const NAME_BYTES_MAX: usize = 100;

/// Whether one of the signatures was made over these bytes with one of the secrets.
pub fn is_signed(secrets: &[SecretString], header: &str, body: &[u8]) -> bool {
    let signatures = header.split(',').take(SIGNATURES_MAX).filter_map(|one| {
        let digits = one.trim().strip_prefix(VERSION)?;
        (digits.len() == SIGNATURE_CHARS).then(|| hex::decode(digits).ok()).flatten()
    });
    let signatures: Vec<Vec<u8>> = signatures.collect();
    secrets.iter().any(|secret| {
        let key = secret.expose_secret().as_bytes();
        let Ok(mac) = Hmac::<Sha256>::new_from_slice(key) else { return false };
        let mac = mac.chain_update(body);
        // `verify_slice` compares in constant time.
        !key.is_empty() && signatures.iter().any(|one| mac.clone().verify_slice(one).is_ok())
    })
}

/// What happened to an incident.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// Somebody took it.
    Acknowledged,
    /// Nobody has it any more.
    Unacknowledged,
    /// Somebody closed it.
    Resolved,
}

/// What a person did to an incident of one of our alerts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// The event's own name: a delivery that is made again says the same.
    pub event_id: String,
    /// What.
    pub what: What,
    /// The alert.
    pub alert: String,
    /// Who, as PagerDuty names them; empty: it does not.
    pub by: String,
    /// When.
    pub at_ms: i64,
}

#[derive(Deserialize)]
struct Body {
    event: Event,
}

#[derive(Deserialize)]
struct Event {
    #[serde(default)]
    id: String,
    event_type: String,
    #[serde(default)]
    occurred_at: String,
    #[serde(default)]
    agent: Option<Agent>,
    #[serde(default)]
    data: serde_json::Value,
}

#[derive(Deserialize)]
struct Agent {
    #[serde(default, rename = "type")]
    kind: Option<String>,
    #[serde(default)]
    summary: Option<String>,
}

/// The bytes are not a webhook of this kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the body is not a webhook of PagerDuty's version 3")]
pub struct Malformed;

/// Reads a body; `None`: it says nothing that concerns us. What a service or an integration did is what
/// this bot told it, and no news.
///
/// # Errors
/// [`Malformed`].
pub fn read(body: &[u8]) -> Result<Option<Said>, Malformed> {
    let Body { event } = serde_json::from_slice(body).map_err(|_| Malformed)?;
    let what = match event.event_type.as_str() {
        "incident.acknowledged" => What::Acknowledged,
        "incident.unacknowledged" => What::Unacknowledged,
        "incident.resolved" => What::Resolved,
        _ => return Ok(None),
    };
    let Some(agent) = event.agent else { return Ok(None) };
    if !agent.kind.is_some_and(|kind| kind.starts_with("user")) {
        return Ok(None);
    }
    let key = event.data["incident_key"].as_str().unwrap_or_default();
    let Some(alert) = alert_of(key) else { return Ok(None) };
    if event.id.is_empty() || event.id.len() > NAME_BYTES_MAX {
        return Err(Malformed);
    }
    let at = chrono::DateTime::parse_from_rfc3339(&event.occurred_at).map_err(|_| Malformed)?;
    Ok(Some(Said {
        event_id: event.id,
        what,
        alert: alert.to_owned(),
        by: one_line(&agent.summary.unwrap_or_default()),
        at_ms: at.timestamp_millis(),
    }))
}

/// The header's value for a body: for tests that play PagerDuty.
pub fn sign(secret: &SecretString, body: &[u8]) -> String {
    let key = secret.expose_secret().as_bytes();
    // A key of any length is one.
    let Ok(mac) = Hmac::<Sha256>::new_from_slice(key) else { return String::new() };
    format!("{VERSION}{}", hex::encode(mac.chain_update(body).finalize().into_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    fn body() -> Value {
        json!({"event": {
            "id": "01CE9P5UQPR6VLYG4TJH8WMQWL", "event_type": "incident.acknowledged",
            "resource_type": "incident", "occurred_at": "2026-11-24T03:00:00Z",
            "agent": {"id": "PLH1HKV", "type": "user_reference", "summary": "Tenex Engineer"},
            "client": null,
            "data": {"id": "PGR0VU2", "type": "incident", "status": "acknowledged",
                     "incident_key": "neostock-ops/neostock/AL-12345678"},
        }})
    }

    fn read_value(value: &Value) -> Result<Option<Said>, Malformed> {
        read(value.to_string().as_bytes())
    }

    #[test]
    fn what_a_person_did_to_one_of_our_incidents_is_read() {
        let said = read_value(&body()).unwrap().unwrap();

        assert_eq!((said.what, said.alert.as_str()), (What::Acknowledged, "AL-12345678"));
        assert_eq!((said.by.as_str(), said.at_ms), ("Tenex Engineer", 1_795_489_200_000));
    }

    #[test]
    fn what_does_not_concern_us_is_no_fault() {
        for (path, value) in [
            ("/event/event_type", json!("incident.priority_updated")),
            ("/event/event_type", json!("pagey.ping")),
            ("/event/data/incident_key", json!("grafana/7")),
            ("/event/data/incident_key", json!(7)),
            ("/event/data", json!(null)),
            ("/event/agent", json!(null)),
            ("/event/agent/type", json!("service_reference")),
            ("/event/agent/type", json!("inbound_integration_reference")),
            ("/event/agent/type", json!(null)),
        ] {
            let mut other = body();
            *other.pointer_mut(path).unwrap() = value;
            assert_eq!(read_value(&other), Ok(None), "{path}");
        }
    }

    #[test]
    fn what_is_no_webhook_is_malformed() {
        for wrong in ["", "[]", "null", "{}", "{\"event\": 7}", "{\"event\": {\"event_type\": 1}}"]
        {
            assert_eq!(read(wrong.as_bytes()), Err(Malformed), "{wrong}");
        }
        for (path, value) in [
            ("/event/id", json!("x".repeat(101))),
            ("/event/id", json!("")),
            ("/event/occurred_at", json!("yesterday")),
        ] {
            let mut other = body();
            *other.pointer_mut(path).unwrap() = value;
            assert_eq!(read_value(&other), Err(Malformed), "{path}");
        }
    }

    #[test]
    fn any_secret_and_any_signature_will_do_and_nothing_else() {
        let secrets = ["old", "new"].map(SecretString::from);
        let good = sign(&secrets[1], b"body");
        let other = sign(&SecretString::from("other"), b"body");

        assert!(is_signed(&secrets, &good, b"body"));
        assert!(is_signed(&secrets, &format!("{other}, {good}"), b"body"));
        for header in ["", "v1=", "v1=00", &other, &good[3..], &good.replace("v1", "v2")] {
            assert!(!is_signed(&secrets, header, b"body"), "{header}");
        }
        assert!(!is_signed(&secrets, &good, b"body "));
        assert!(!is_signed(&[], &good, b"body"));
        let empty = SecretString::from("");
        assert!(!is_signed(std::slice::from_ref(&empty), &sign(&empty, b"body"), b"body"));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in any::<Vec<u8>>(), header in any::<String>()) {
            let _ = read(&bytes);
            prop_assert!(!is_signed(&[SecretString::from("key")], &header, &bytes));
        }
    }
}
