//! What others send: alerts in the bot's own JSON, which docs/alerts.md describes. One alert, or a list of
//! them under `alerts`.
//!
//! Whoever writes it writes it for this bot, so that a key that is not known is a fault, with its place
//! and what was probably meant.

use super::clean;
use super::loose::{Item, Loose, LooseList, LooseMap, Name};
use super::received::{
    DESCRIPTION_CHARS_MAX, LINKS_MAX, Looking, NAME_CHARS_MAX, Received, SUMMARY_CHARS_MAX,
    Surroundings, Unreadable, VALUE_CHARS_MAX, level_of, pointed, read_mended, shown,
};
use crate::core::alert::{Level, Sighting};
use serde::de::{Deserialize, Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};
use std::fmt;

/// The source of its sightings.
pub const SOURCE: &str = "webhook";
/// The keys of an alert.
pub const KEYS: [&str; 14] = [
    "name",
    "status",
    "severity",
    "service",
    "environment",
    "summary",
    "description",
    "labels",
    "links",
    "starts_at",
    "ends_at",
    "fingerprint",
    "value",
    "owner",
];
/// Keys that are not known, of which an alert's faults tell.
const UNKNOWN_MAX: usize = 5;
/// Closer than this, somebody probably meant it.
const LIKENESS_MIN: f64 = 0.8;
/// A link's own name.
const LINK_NAME_CHARS_MAX: usize = 40;

#[derive(Default)]
struct Alert<'a> {
    name: Loose<'a>,
    status: Loose<'a>,
    severity: Loose<'a>,
    service: Loose<'a>,
    environment: Loose<'a>,
    summary: Loose<'a>,
    description: Loose<'a>,
    labels: LooseMap<'a>,
    links: LooseMap<'a>,
    starts_at: Loose<'a>,
    ends_at: Loose<'a>,
    fingerprint: Loose<'a>,
    value: Loose<'a>,
    owner: Loose<'a>,
    /// Whether it has `alerts`, as a body may and an alert may not.
    has_alerts: bool,
    /// Keys that are not known.
    unknown: Vec<String>,
    /// Keys that are.
    has_keys: bool,
}

/// A body: an alert, or a list of them.
struct Body<'a> {
    alert: Alert<'a>,
    alerts: Option<LooseList<Alert<'a>>>,
}

/// An object of these keys; with a place for a list under `alerts` where that is read. Elsewhere it is passed
/// over: lists within lists would take a hundred times the memory of their bytes.
struct Keys<'l, 'de>(Option<&'l mut Option<LooseList<Alert<'de>>>>);

impl<'de> Visitor<'de> for Keys<'_, 'de> {
    type Value = Alert<'de>;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("an alert, or a list of them under `alerts`")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<Alert<'de>, A::Error> {
        let mut alert = Alert::default();
        let mut seen = Vec::new();
        while let Some(Name(key)) = map.next_key()? {
            let index = KEYS.iter().position(|known| *known == key);
            let known = index.map(|index| KEYS[index]).or((key == "alerts").then_some("alerts"));
            let Some(known) = known else {
                map.next_value::<IgnoredAny>()?;
                if alert.unknown.len() < UNKNOWN_MAX {
                    alert.unknown.push(clean::line(&key, NAME_CHARS_MAX));
                }
                continue;
            };
            if seen.contains(&known) {
                return Err(A::Error::custom(format!("the key `{known}` is there twice")));
            }
            seen.push(known);
            if known == "alerts" {
                alert.has_alerts = true;
                match &mut self.0 {
                    Some(alerts) => **alerts = Some(map.next_value()?),
                    None => _ = map.next_value::<IgnoredAny>()?,
                }
                continue;
            }
            alert.has_keys = true;
            match known {
                "labels" => alert.labels = map.next_value()?,
                "links" => alert.links = map.next_value()?,
                _ => *alert.field(known) = map.next_value()?,
            }
        }
        Ok(alert)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Alert<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_map(Keys(None))
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Body<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let mut alerts = None;
        let alert = from.deserialize_map(Keys(Some(&mut alerts)))?;
        Ok(Self { alert, alerts })
    }
}

/// Reads a body.
///
/// # Errors
/// [`Unreadable`] when it is no JSON of that shape; an alert that cannot be read is counted instead.
pub fn read(body: &[u8], around: Surroundings<'_>) -> Result<Received, Unreadable> {
    read_mended(body, |body| read_strictly(body, around))
}

fn read_strictly(body: &[u8], around: Surroundings<'_>) -> Result<Received, Unreadable> {
    let Body { alert: root, alerts } =
        serde_json::from_slice(body).map_err(|error| Unreadable::json(&error))?;
    let mut received = Received::default();
    match alerts {
        None => root.tell(&mut received, Looking::at(String::new()), around),
        Some(LooseList::Wrong(what)) => {
            return Err(Unreadable::new("/alerts", format!("{what}, a list expected")));
        }
        Some(LooseList::List(items, more)) => {
            if root.has_keys || !root.unknown.is_empty() {
                let fault = "beside `alerts` there is nothing else: every key belongs to an alert";
                return Err(Unreadable::new("", fault));
            }
            for (index, item) in items.iter().enumerate() {
                let mut looking = Looking::at(format!("/alerts/{index}"));
                match item {
                    Item::Object(alert) => alert.tell(&mut received, looking, around),
                    Item::Wrong(what) => {
                        looking.fault("", format!("{what}, an alert expected"));
                        received.refuse(looking.faults);
                    }
                }
            }
            received.refuse_more(more);
        }
    }
    Ok(received)
}

impl<'a> Alert<'a> {
    fn field(&mut self, key: &str) -> &mut Loose<'a> {
        match key {
            "name" => &mut self.name,
            "status" => &mut self.status,
            "severity" => &mut self.severity,
            "service" => &mut self.service,
            "environment" => &mut self.environment,
            "summary" => &mut self.summary,
            "description" => &mut self.description,
            "starts_at" => &mut self.starts_at,
            "ends_at" => &mut self.ends_at,
            "fingerprint" => &mut self.fingerprint,
            "value" => &mut self.value,
            _ => &mut self.owner,
        }
    }

    /// Adds what this alert says.
    fn tell(&self, received: &mut Received, mut looking: Looking, around: Surroundings<'_>) {
        for key in &self.unknown {
            looking.fault(&pointed(key), unknown(key));
        }
        if self.has_alerts {
            looking.fault("alerts", "an alert has no alerts");
        }
        let name = looking.text("name", &self.name).map(|name| clean::line(name, NAME_CHARS_MAX));
        let name = name.unwrap_or_default();
        if name.is_empty() && self.name.text().is_ok() {
            looking.fault("name", "missing, what is wrong expected, such as `DiskFull`");
        }
        // Without a word it fires: that is why it was sent.
        let is_over = looking.is_over("status", &self.status).unwrap_or(false);
        let starts_ms = looking.time("starts_at", &self.starts_at);
        let what = "since when expected: the same time again is the same alert";
        let starts_ms = looking.required("starts_at", starts_ms, what);
        let ends_ms = looking.time("ends_at", &self.ends_at);
        if !is_over && ends_ms.is_some() {
            looking.fault(
                "ends_at",
                "an alert that fires has no end: `\"status\": \"resolved\"` has one",
            );
        }
        let labels = looking.labels("labels", &self.labels);
        let links = self.links(&mut looking);
        let mut line = |key: &str, value: &Loose<'_>, chars_max: usize| {
            looking.text(key, value).map(|text| clean::line(text, chars_max)).unwrap_or_default()
        };
        let summary = line("summary", &self.summary, SUMMARY_CHARS_MAX);
        let value = line("value", &self.value, VALUE_CHARS_MAX);
        let owner = line("owner", &self.owner, NAME_CHARS_MAX);
        let description = looking.text("description", &self.description).unwrap_or_default();
        let description = clean::lines(description, DESCRIPTION_CHARS_MAX);
        let service = around.service(looking.text("service", &self.service));
        let environment = looking.text("environment", &self.environment);
        let environment = known(environment, &mut looking, around);
        let level = level_of(looking.text("severity", &self.severity));
        let given = looking.text("fingerprint", &self.fingerprint);
        let (Some(starts_ms), true) = (starts_ms, looking.faults.is_empty()) else {
            received.refuse(looking.faults);
            return;
        };
        // An end counts, whatever it is called by then.
        let Some(level) = level.or(is_over.then_some(Level::Warning)) else {
            received.ignored += 1;
            return;
        };
        let starts_ms = around.begun_ms(starts_ms);
        let given =
            given.map(|given| clean::fingerprint_within(given, [&name, &service, &environment]));
        let place = [("service", &*service), ("environment", &*environment)];
        // Whole, as they were sent: what is cut off may be all that tells two instances apart.
        let texts = self.labels.entries().iter();
        let texts = texts.map(|(name, value)| (&**name, value.text_or_none().unwrap_or_default()));
        received.sightings.push(Sighting {
            source: SOURCE.to_owned(),
            fingerprint: clean::fingerprint(given.as_deref(), &name, texts.chain(place)),
            starts_ms,
            ended_ms: is_over.then(|| ends_ms.unwrap_or(around.now_ms).max(starts_ms)),
            name,
            service,
            environment,
            level,
            ways: clean::ways_of(level),
            summary,
            description,
            labels,
            links,
            value,
            owner,
        });
    }

    fn links(&self, looking: &mut Looking) -> Vec<(String, String)> {
        if let LooseMap::Wrong(what) = &self.links {
            looking.fault("links", format!("{what}, names and addresses expected"));
        }
        let mut kept = Vec::new();
        for (name, value) in self.links.entries() {
            let name = clean::line(name, LINK_NAME_CHARS_MAX);
            match value.text_or_none().and_then(clean::link) {
                Some(address) if kept.len() < LINKS_MAX => kept.push((name, address)),
                Some(_) => looking.fault("links", format!("more than {LINKS_MAX} links")),
                None => {
                    let place = format!("links/{}", pointed(&name));
                    looking
                        .fault(&place, "an address that begins with http:// or https:// expected");
                }
            }
        }
        kept.dedup();
        kept
    }
}

/// An environment that the runbook does not have is a fault: whoever writes for this bot knows them.
fn known(named: Option<&str>, looking: &mut Looking, around: Surroundings<'_>) -> String {
    if let Some(named) = named
        && !around.runbook.environments.contains_key(named)
    {
        let known: Vec<&str> = around.runbook.environments.keys().map(String::as_str).collect();
        let fault = format!("{}, expected is one of: {}", shown(named), known.join(", "));
        looking.fault("environment", fault);
    }
    around.environment(named)
}

/// What is wrong with a key, and what was probably meant.
fn unknown(key: &str) -> String {
    let likeness = |known: &&str| strsim::jaro_winkler(key, known);
    let alike = KEYS.into_iter().filter(|known| likeness(known) >= LIKENESS_MIN);
    match alike.max_by(|one, other| likeness(one).total_cmp(&likeness(other))) {
        Some(known) => format!("unknown key, did you mean `{known}`?"),
        None => format!("unknown key; keys: {}", KEYS.join(", ")),
    }
}
