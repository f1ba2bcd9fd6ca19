//! The sign of life that others expect of this bot, as the alerting configuration writes it: an address
//! that is called as long as all is well. Whoever watches it calls people when the calls stop.

use crate::config::alerting::ways::{SECRET, is_private, secret};
use crate::config::fault::{Fault, Faults};
use crate::config::secrets::read_one;
use crate::config::shape::{Object, Shape, Text, TextKind, optional, required};
use crate::config::tree::{Node, Value};
use crate::core::action::SecretSource;
use crate::core::duration;
use secrecy::{ExposeSecret, SecretString};

/// A minute unless the file says otherwise.
const EVERY_MS: u64 = 60_000;

/// A sign of life that is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heartbeat {
    /// Where to.
    address: Address,
    /// How often.
    pub every_ms: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Address {
    Written(String),
    Elsewhere(SecretSource),
}

impl Heartbeat {
    /// The address, read now: whoever knows it can play the bot, so it is treated as a secret.
    ///
    /// # Errors
    /// Why there is none, in words; never the value.
    pub fn url(&self) -> Result<SecretString, String> {
        let url = match &self.address {
            Address::Written(url) => SecretString::from(url.clone()),
            Address::Elsewhere(source) => read_one(source).map_err(|error| error.to_string())?,
        };
        if is_private(url.expose_secret()) { Ok(url) } else { Err(NO_ADDRESS.to_owned()) }
    }

    /// What keeps it from being sent now.
    pub fn note(&self, file: &str) -> Option<Fault> {
        let why = self.url().err()?;
        Some(Fault::whole(file, format!("no sign of life is sent: {why}")))
    }
}

const NO_ADDRESS: &str = "its address is not https (http only to this machine)";

pub(super) static GRAMMAR: Object = Object {
    name: "the sign of life",
    doc: "An address that is called as long as database, outbox and Slack are as they should be.",
    fields: &[
        required(
            "url",
            Shape::Either(&[Shape::Text(&URL), Shape::Object(&SECRET)]),
            "The address, or where it is read; it is called with GET",
        ),
        optional(
            "every",
            Shape::Duration { min_ms: 10_000, max_ms: 3_600_000 },
            "How often; 1m unless given",
        ),
    ],
    exactly_one: &[],
    later: &[],
    example: "{url: {env: NEOSTOCK_SECRET_HEARTBEAT}, every: 1m}",
};

static URL: Text = Text {
    name: "an address",
    kind: TextKind::Line,
    chars_min: 1,
    chars_max: 500,
    example: "https://hc-ping.com/…",
};

pub(super) fn read(node: &Node, faults: &mut Faults) -> Option<Heartbeat> {
    let url = node.get("url")?;
    let address = if let Value::Scalar(_) = url.value {
        let text = url.text()?;
        if !is_private(text) {
            faults.add_with(url.at, NO_ADDRESS, "for example: https://hc-ping.com/…");
        }
        Address::Written(text.to_owned())
    } else {
        Address::Elsewhere(secret(url, faults)?)
    };
    let every_ms = node.get("every").and_then(Node::text).and_then(duration::parse);
    Some(Heartbeat { address, every_ms: every_ms.unwrap_or(EVERY_MS) })
}

#[cfg(test)]
mod tests {
    use crate::config::alerting::parse;
    use crate::config::fault::listing;
    use secrecy::ExposeSecret;

    fn read(heartbeat: &str) -> Result<Option<super::Heartbeat>, String> {
        let text = format!(
            "alerts: {{cpu: {{threshold: 0.8, duration: 5m, severity: warning, channels: [slack]}}}}\nliveness: {{heartbeat: {heartbeat}}}\n"
        );
        let read = parse("a.yml", text.as_bytes());
        read.map(|read| read.liveness.heartbeat).map_err(|faults| listing(&faults))
    }

    #[test]
    fn an_address_stands_in_the_file_or_elsewhere() {
        let written = read("{url: 'https://hc-ping.com/1', every: 30s}").unwrap().unwrap();
        assert_eq!(
            (written.url().unwrap().expose_secret(), written.every_ms),
            ("https://hc-ping.com/1", 30_000)
        );
        let elsewhere = read("{url: {env: NEOSTOCK_TEST_UNSET}}").unwrap().unwrap();
        assert!(elsewhere.url().is_err_and(|why| why.contains("NEOSTOCK_TEST_UNSET")));
        assert!(elsewhere.note("a.yml").is_some());
        let faults = read("{url: 'http://example.org/1', every: 1s}").unwrap_err();
        assert!(faults.contains("is not https") && faults.contains("out of bounds"), "{faults}");
    }
}
