//! What Alertmanager sends: the body of its webhook, version 4, as sightings.
//!
//! Each alert of a body stands by itself: the body's own `status` is that of what is left after
//! `max_alerts` cut it, and its common labels and annotations as well. So none of them is read, and an
//! alert that a body does not name is not over. Fields that newer versions add are passed over.

use super::clean;
use super::loose::{Item, Loose, LooseList, LooseMap};
use super::received::{
    DESCRIPTION_CHARS_MAX, Looking, NAME_CHARS_MAX, Received, SUMMARY_CHARS_MAX, Surroundings,
    Unreadable, level_of, read_mended,
};
use crate::core::alert::{Level, Sighting};
use serde::Deserialize;

/// The source of its sightings.
pub const SOURCE: &str = "alertmanager";
/// An alert without a name.
const NAMELESS: &str = "unnamed";
/// The label that is an alert's name.
const NAME: &str = "alertname";
/// Labels that name its environment, the first one first.
const ENVIRONMENTS: [&str; 2] = ["environment", "env"];
/// Annotations that say it in one line, the first one first.
const SUMMARIES: [&str; 3] = ["summary", "title", "message"];
/// Annotations that are links, and what they are called.
const LINKS: [(&str, &str); 2] = [("runbook_url", "runbook"), ("dashboard_url", "dashboard")];

#[derive(Deserialize)]
struct Body<'a> {
    #[serde(borrow)]
    alerts: LooseList<Alert<'a>>,
    #[serde(default, borrow, rename = "truncatedAlerts")]
    truncated: Loose<'a>,
    #[serde(default, borrow, rename = "externalURL")]
    external_url: Loose<'a>,
}

#[derive(Deserialize)]
struct Alert<'a> {
    #[serde(default, borrow)]
    status: Loose<'a>,
    #[serde(default, borrow)]
    labels: LooseMap<'a>,
    #[serde(default, borrow)]
    annotations: LooseMap<'a>,
    #[serde(default, borrow, rename = "startsAt")]
    starts_at: Loose<'a>,
    #[serde(default, borrow, rename = "endsAt")]
    ends_at: Loose<'a>,
    #[serde(default, borrow, rename = "generatorURL")]
    generator_url: Loose<'a>,
    #[serde(default, borrow)]
    fingerprint: Loose<'a>,
}

/// Reads a body.
///
/// # Errors
/// [`Unreadable`] when it is no JSON with a list of alerts; an alert that cannot be read is counted
/// instead.
pub fn read(body: &[u8], around: Surroundings<'_>) -> Result<Received, Unreadable> {
    read_mended(body, |body| read_strictly(body, around))
}

fn read_strictly(body: &[u8], around: Surroundings<'_>) -> Result<Received, Unreadable> {
    let body: Item<Body<'_>> =
        serde_json::from_slice(body).map_err(|error| Unreadable::json(&error))?;
    let body = match body {
        Item::Object(body) => body,
        Item::Wrong(what) => {
            return Err(Unreadable::new("", format!("{what}, an object expected")));
        }
    };
    let (items, more) = match body.alerts {
        LooseList::List(items, more) => (items, more),
        LooseList::Wrong(what) => {
            return Err(Unreadable::new("/alerts", format!("{what}, a list expected")));
        }
    };
    let origin = body.external_url.text_or_none().and_then(clean::link);
    let truncated = body.truncated.text_or_none().and_then(|count| count.parse().ok());
    let mut received = Received { truncated: truncated.unwrap_or(0), ..Received::default() };
    for (index, item) in items.iter().enumerate() {
        let mut looking = Looking::at(format!("/alerts/{index}"));
        match item {
            Item::Object(alert) => alert.tell(&mut received, looking, around, origin.as_deref()),
            Item::Wrong(what) => {
                looking.fault("", format!("{what}, an alert expected"));
                received.refuse(looking.faults);
            }
        }
    }
    received.refuse_more(more);
    Ok(received)
}

impl Alert<'_> {
    /// Adds what this alert says.
    fn tell(
        &self,
        received: &mut Received,
        mut looking: Looking,
        around: Surroundings<'_>,
        origin: Option<&str>,
    ) {
        let is_over = looking.is_over("status", &self.status);
        let is_over = looking.required("status", is_over, "`firing` or `resolved` expected");
        let starts_ms = looking.time("startsAt", &self.starts_at);
        let what = "the time of its beginning expected";
        let starts_ms = looking.required("startsAt", starts_ms, what);
        let ends_ms = looking.time("endsAt", &self.ends_at);
        let labels = looking.labels("labels", &self.labels);
        let (Some(is_over), Some(starts_ms), true) =
            (is_over, starts_ms, looking.faults.is_empty())
        else {
            received.refuse(looking.faults);
            return;
        };
        let starts_ms = around.begun_ms(starts_ms);
        let label =
            |name: &str| self.labels.get(name).map(str::trim).filter(|text| !text.is_empty());
        let name = label(NAME).map(|name| clean::line(name, NAME_CHARS_MAX));
        let name = name.filter(|name| !name.is_empty()).unwrap_or_else(|| NAMELESS.to_owned());
        if !around.watchdog.is_empty() && name == around.watchdog {
            received.is_watchdog_heard |= !is_over;
            received.ignored += 1;
            return;
        }
        let Some(level) = level_of(label("severity")) else {
            received.ignored += 1;
            return;
        };
        let environment = ENVIRONMENTS.into_iter().find_map(label);
        let texts = self.labels.entries().iter();
        let texts = texts.map(|(name, value)| (&**name, value.text_or_none().unwrap_or_default()));
        received.sightings.push(Sighting {
            source: SOURCE.to_owned(),
            fingerprint: clean::fingerprint(self.fingerprint.text_or_none(), "", texts),
            starts_ms,
            ended_ms: is_over.then(|| ends_ms.unwrap_or(around.now_ms).max(starts_ms)),
            service: around.service(label("service")),
            environment: around.environment(environment),
            owner: clean::line(
                label("owner").or(label("team")).unwrap_or_default(),
                NAME_CHARS_MAX,
            ),
            ..self.said(name, level, labels, origin)
        });
    }

    /// What it says for people.
    fn said(
        &self,
        name: String,
        level: Level,
        labels: std::collections::BTreeMap<String, String>,
        origin: Option<&str>,
    ) -> Sighting {
        let annotation = |name: &str| self.annotations.get(name).unwrap_or_default();
        let summaries = SUMMARIES.into_iter().map(annotation);
        let summary = summaries.map(|text| clean::line(text, SUMMARY_CHARS_MAX));
        let generator = self.generator_url.text_or_none().unwrap_or_default();
        let links = LINKS.into_iter().map(|(from, called)| (called, annotation(from)));
        let links =
            links.chain([("query", generator), ("alertmanager", origin.unwrap_or_default())]);
        let links =
            links.filter_map(|(called, text)| Some((called.to_owned(), clean::link(text)?)));
        Sighting {
            source: String::new(),
            fingerprint: String::new(),
            starts_ms: 0,
            ended_ms: None,
            name,
            service: String::new(),
            environment: String::new(),
            level,
            ways: clean::ways_of(level),
            summary: summary.into_iter().find(|text| !text.is_empty()).unwrap_or_default(),
            description: clean::lines(annotation("description"), DESCRIPTION_CHARS_MAX),
            owner: String::new(),
            labels,
            links: links.collect(),
            value: clean::line(annotation("value"), super::received::VALUE_CHARS_MAX),
        }
    }
}
