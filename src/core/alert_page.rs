//! What PagerDuty is told of an alert, and of a deploy: the body of a call of its Events API v2, without
//! the routing key, which is a secret and goes in when it is sent. Pure; `notify/pagerduty` sends it.
//!
//! The limits are PagerDuty's: <https://developer.pagerduty.com/docs/events-api-v2/trigger-events/>.

use super::alert::{Level, State};
use super::told::{Told, cut, lines, one_line, rfc3339};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// Characters of a summary.
const SUMMARY_CHARS_MAX: usize = 1_024;
/// Characters of a key.
const DEDUP_CHARS_MAX: usize = 255;
/// Bytes of a body; below PagerDuty's 512 KB by what the routing key adds.
const BODY_BYTES_MAX: usize = 500_000;
/// What an alert's key begins with, so that nobody else's is taken for one.
const DEDUP_PREFIX: &str = "neostock-ops/";
/// Links of an event.
const LINKS_MAX: usize = 10;

/// Which call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Call {
    /// An alert's event.
    Alert,
    /// A change that was made.
    Change,
}

impl Call {
    /// Where it goes, below the address of the API.
    pub fn path(self) -> &'static str {
        match self {
            Self::Alert => "/v2/enqueue",
            Self::Change => "/v2/change/enqueue",
        }
    }
}

/// A call to be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Page {
    /// Which.
    pub call: Call,
    /// Its body, without `routing_key`.
    pub event: Value,
}

/// An alert's key at PagerDuty, for ever.
pub fn dedup_key(service: &str, id: &str) -> String {
    // The id must survive: it is how the answer finds the alert again.
    let kept = DEDUP_CHARS_MAX.saturating_sub(DEDUP_PREFIX.len() + 1 + id.chars().count());
    format!("{DEDUP_PREFIX}{}/{id}", cut(one_line(service).replace('/', "-"), kept))
}

/// The id of the alert whose key this is; `None`: it is none of ours.
pub fn alert_of(dedup_key: &str) -> Option<&str> {
    dedup_key
        .strip_prefix(DEDUP_PREFIX)?
        .rsplit_once('/')
        .map(|(_, id)| id)
        .filter(|id| !id.is_empty())
}

/// The event for one telling: its state says which.
pub fn page(told: &Told<'_>) -> Page {
    let action = match told.state {
        State::Open => "trigger",
        State::Acknowledged => "acknowledge",
        State::Resolved => "resolve",
    };
    let mut event = json!({
        "event_action": action,
        "dedup_key": dedup_key(told.service, told.id),
        "client": "NeoStock Ops",
    });
    if told.state != State::Open {
        return Page { call: Call::Alert, event };
    }
    let links =
        told.open_links().take(LINKS_MAX).map(|(text, href)| json!({"href": href, "text": text}));
    event["links"] = links.collect();
    let summary = match one_line(told.summary) {
        summary if summary.is_empty() => told.title(),
        summary => format!("{}: {summary}", told.title()),
    };
    event["payload"] = json!({
        "summary": cut(summary, SUMMARY_CHARS_MAX),
        "source": format!("{}/{}", one_line(told.environment), one_line(told.service)),
        "severity": severity(told.level),
        "timestamp": rfc3339(told.since_ms),
        "component": one_line(told.service),
        "group": one_line(told.environment),
        "class": one_line(told.name),
        "custom_details": {
            "alert": one_line(told.id),
            "level": told.level.number(),
            "why": told.why_words(),
            "value": one_line(told.value),
            "description": lines(told.description),
        },
    });
    Page { call: Call::Alert, event: within_limits(event) }
}

/// The level as PagerDuty names it.
fn severity(level: Level) -> &'static str {
    match level {
        Level::Warning => "warning",
        Level::Error => "error",
        Level::Critical => "critical",
    }
}

/// A deploy, a rollback: something that made a version live.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Change<'a> {
    /// The run.
    pub run: &'a str,
    /// Its action, as people read it.
    pub action: &'a str,
    /// Of which service.
    pub service: &'a str,
    /// Where.
    pub environment: &'a str,
    /// What is live now.
    pub version: &'a str,
    /// Its commit.
    pub commit: &'a str,
    /// When.
    pub at_ms: i64,
}

/// The event for a change.
pub fn change(change: &Change<'_>) -> Page {
    let [action, service, environment, version] =
        [change.action, change.service, change.environment, change.version].map(one_line);
    let summary = format!("{environment}: {service} {version} ({action})");
    Page {
        call: Call::Change,
        event: within_limits(json!({
            "payload": {
                "summary": cut(summary, SUMMARY_CHARS_MAX),
                "source": format!("{environment}/{service}"),
                "timestamp": rfc3339(change.at_ms),
                "custom_details": {
                    "run": one_line(change.run),
                    "action": action,
                    "environment": environment,
                    "version": version,
                    "commit": one_line(change.commit),
                },
            },
        })),
    }
}

/// The same without its details where it would be too large.
fn within_limits(mut event: Value) -> Value {
    if event.to_string().len() > BODY_BYTES_MAX {
        event["payload"]["custom_details"] = json!({});
    }
    if event.to_string().len() > BODY_BYTES_MAX {
        event["links"] = json!([]);
    }
    event
}

#[cfg(test)]
mod tests {
    use super::super::told::tests::{NIGHT_MS, told};
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_state_is_an_action_under_one_key() {
        let actions = State::ALL.map(|state| {
            let page = page(&Told { state, ..told() });
            assert_eq!(page.event["dedup_key"], "neostock-ops/neostock/AL-7q2f8k1c");
            page.event["event_action"].as_str().unwrap().to_owned()
        });

        assert_eq!(actions, ["trigger", "acknowledge", "resolve"]);
    }

    #[test]
    fn a_trigger_says_what_where_and_how_bad() {
        insta::assert_snapshot!(serde_json::to_string_pretty(&page(&told()).event).unwrap());
    }

    #[test]
    fn a_change_says_what_is_live_now() {
        let page = change(&Change {
            run: "R-12345678",
            action: "Deploy",
            service: "neostock",
            environment: "production",
            version: "v1.3",
            commit: "c0ffee",
            at_ms: NIGHT_MS,
        });

        assert_eq!(page.call.path(), "/v2/change/enqueue");
        assert_eq!(page.event["payload"]["summary"], "production: neostock v1.3 (Deploy)");
        assert_eq!(page.event["payload"]["timestamp"], "2026-11-24T03:00:00.000Z");
    }

    #[test]
    fn a_key_leads_back_to_its_alert_and_others_do_not() {
        assert_eq!(alert_of(&dedup_key("a/b", "AL-1")), Some("AL-1"));
        assert_eq!(alert_of(&dedup_key(&"x".repeat(400), "AL-1")), Some("AL-1"));
        for other in ["", "AL-1", "neostock-ops/", "neostock-ops/x/", "grafana/AL-1"] {
            assert_eq!(alert_of(other), None, "{other}");
        }
    }

    proptest! {
        #[test]
        fn whatever_comes_stays_within_pagerdutys_limits(words in any::<String>(), long in 0_usize..3_000) {
            let words = words.repeat(long.min(50)) + &"界".repeat(long);
            let links = vec![(words.clone(), format!("https://example.org/{}", "x".repeat(long))); 40];
            let page = page(&Told {
                name: &words, service: &words, environment: &words, summary: &words, description: &words,
                value: &words, links: &links, ..told()
            });
            prop_assert!(page.event["payload"]["summary"].as_str().unwrap().chars().count() <= 1_024);
            prop_assert!(page.event["dedup_key"].as_str().unwrap().chars().count() <= 255);
            prop_assert!(page.event.to_string().len() <= 512_000 - 1_000);
        }
    }
}
