//! Where measures come from, as the alerting configuration writes it.

use super::duration_ms;
use crate::config::fault::Faults;
use crate::config::runbook::grammar;
use crate::config::secrets::{SecretError, read_one};
use crate::config::shape::{Object, Shape, Text, TextKind, optional, required};
use crate::config::tree::Node;
use crate::core::action::SecretSource;
use secrecy::SecretString;
use std::path::PathBuf;
use url::Url;

/// How long an answer may take, unless the file says so.
const TIMEOUT_MS: u64 = 5_000;

/// A Prometheus that is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prometheus {
    /// `http(s)://host:port/path`, without a slash at its end.
    pub url: String,
    /// How long an answer may take; never longer than a rule's interval.
    pub timeout_ms: u64,
    /// Where the token is read that it wants; `None`: it wants none.
    pub bearer_token: Option<SecretSource>,
    /// A certificate in PEM that is trusted besides the system's own.
    pub ca: Option<PathBuf>,
}

impl Prometheus {
    /// The token as it stands now.
    ///
    /// # Errors
    /// It is named and cannot be read.
    pub fn token(&self) -> Result<Option<SecretString>, SecretError> {
        self.bearer_token.as_ref().map(read_one).transpose()
    }
}

static URL: Text = Text {
    name: "an address",
    kind: TextKind::Line,
    chars_min: 1,
    chars_max: 500,
    example: "http://127.0.0.1:9090",
};
static FILE: Text = Text {
    name: "a file",
    kind: TextKind::Line,
    chars_min: 1,
    chars_max: 500,
    example: "/etc/neostock/ca.pem",
};

pub(super) static GRAMMAR: Object = Object {
    name: "a Prometheus",
    doc: "Where measures come from.",
    fields: &[
        required(
            "url",
            Shape::Text(&URL),
            "Its address: https, or http within one's own network; no user and no password in it",
        ),
        optional(
            "timeout",
            Shape::Duration { min_ms: 100, max_ms: 15_000 },
            "How long an answer may take, and never longer than a rule's interval; 5s unless given",
        ),
        optional(
            "bearer_token",
            Shape::Object(&grammar::SECRET),
            "Where the token is read that it wants",
        ),
        optional(
            "ca",
            Shape::Text(&FILE),
            "A certificate in PEM that is trusted besides the system's own; a whole path",
        ),
    ],
    exactly_one: &[],
    later: &[],
    example: "{url: 'http://127.0.0.1:9090'}",
};

pub(super) fn read(node: Option<&Node>, faults: &mut Faults) -> Option<Prometheus> {
    let node = node?;
    let ca = node.get("ca").and_then(|node| whole_path(node, faults));
    let bearer_token = node.get("bearer_token").and_then(|node| source(node, faults));
    let timeout = duration_ms(node.get("timeout"));
    let address = node.get("url")?;
    let url = url(address.text()?);
    if let Err(message) = &url {
        faults.add_with(address.at, *message, format!("for example: {}", URL.example));
    }
    let timeout_ms = timeout.unwrap_or(TIMEOUT_MS);
    Some(Prometheus { url: url.ok()?, timeout_ms, bearer_token, ca })
}

fn url(text: &str) -> Result<String, &'static str> {
    let url = Url::parse(text).map_err(|_| "this is not an address")?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err("the address is neither http nor https");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("a user or password in the address would stand in logs; use `bearer_token`");
    }
    if url.query().is_some() || url.fragment().is_some() || url.host_str().is_none() {
        return Err("the address has a query, a fragment, or no host");
    }
    Ok(text.trim_end_matches('/').to_owned())
}

/// Where a secret is read. A file's path is whole, so that it means the same wherever the bot is started.
fn source(node: &Node, faults: &mut Faults) -> Option<SecretSource> {
    if let Some(name) = node.get("env").and_then(Node::text) {
        return Some(SecretSource::Env(name.to_owned()));
    }
    node.get("file").and_then(|node| whole_path(node, faults)).map(SecretSource::File)
}

fn whole_path(node: &Node, faults: &mut Faults) -> Option<PathBuf> {
    let path = PathBuf::from(node.text()?);
    if !path.is_absolute() {
        let message = format!("`{}` is not a whole path", path.display());
        faults.add_with(node.at, message, format!("for example: {}", FILE.example));
    }
    Some(path)
}

#[cfg(test)]
mod tests {
    use super::super::parse;
    use super::*;
    use crate::config::fault::listing;

    fn read(section: &str) -> Result<Prometheus, String> {
        let alert = "{threshold: 0.8, duration: 5m, severity: warning, channels: [slack]}";
        let text = format!("prometheus: {section}\nalerts: {{cpu: {alert}}}\n");
        match parse("a.yml", text.as_bytes()) {
            Ok(alerting) => Ok(alerting.prometheus.unwrap()),
            Err(faults) => Err(listing(&faults)),
        }
    }

    #[test]
    fn an_address_is_enough() {
        let found = read("{url: 'http://metrics.internal:9090/prometheus/'}").unwrap();

        assert_eq!(found.url, "http://metrics.internal:9090/prometheus");
        assert_eq!((found.timeout_ms, found.bearer_token, found.ca), (5_000, None, None));
    }

    #[test]
    fn a_token_is_named_and_never_written() {
        let found = read(
            "{url: 'https://m.example.com', timeout: 2s, ca: /etc/ca.pem, bearer_token: {env: NEOSTOCK_SECRET_METRICS}}",
        );
        let found = found.unwrap();
        let source = SecretSource::Env("NEOSTOCK_SECRET_METRICS".to_owned());
        assert_eq!((found.timeout_ms, found.bearer_token.as_ref()), (2_000, Some(&source)));
        assert!(found.token().unwrap_err().to_string().contains("NEOSTOCK_SECRET_METRICS"));

        let faults = read("{url: 'https://m.example.com', bearer_token: abc}").unwrap_err();
        assert!(faults.contains("a secret's source (a map) expected"), "{faults}");
        assert!(!faults.contains("abc"), "{faults}");
    }

    #[test]
    fn an_address_that_cannot_be_asked_or_would_tell_a_secret_is_refused() {
        for (url, words) in [
            ("metrics:9090", "neither http nor https"),
            ("ftp://metrics", "neither http nor https"),
            ("9090", "put quotes around it"),
            ("http://", "not an address"),
            ("http://u:p@metrics", "use `bearer_token`"),
            ("http://metrics/?a=b", "a query"),
        ] {
            let faults = read(&format!("{{url: {url}}}")).unwrap_err();
            assert!(faults.contains(words), "{url}: {faults}");
            assert!(!faults.contains("u:p"), "{faults}");
        }
        let faults = read("{}").unwrap_err();
        assert!(faults.contains("a Prometheus needs `url`"), "{faults}");
        let faults = read("{url: 'http://m', ca: ca.pem}").unwrap_err();
        assert!(faults.contains("`ca.pem` is not a whole path"), "{faults}");
    }
}
