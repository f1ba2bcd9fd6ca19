//! Silences: about which alerts nobody is told for a while, who wanted that, and why. Pure: asks no clock.

use super::alert::Sighting;
use super::id::{SilenceId, UserId};
use super::param::cut;
use super::text::Text;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// The shortest and the longest silence.
pub const LENGTH_MS: (i64, i64) = (5 * MINUTE_MS, 7 * 24 * 60 * MINUTE_MS);
/// Its owner is warned this part of its length before its end …
const WARNED_PART: i64 = 10;
/// … at least and at most so long.
const WARNED_MS: (i64, i64) = (5 * MINUTE_MS, 60 * MINUTE_MS);
/// What one matcher may say.
pub const TERMS_MAX: usize = 10;
/// Characters of one name or value.
pub const TERM_CHARS_MAX: usize = 200;
const MINUTE_MS: i64 = 60_000;

/// Which alerts are meant: those of which all of this holds. Says at least one thing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Matcher {
    /// What is wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// With what.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// Where.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<String>,
    /// One alert, by what its instances have in common ([`Sighting::group`]): also when it comes back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// Its labels.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

/// Why words are no matcher.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotMatcher {
    /// They say nothing: everything would be silent.
    Empty,
    /// More than [`TERMS_MAX`] of them.
    TooMany,
    /// This is not `key=value`, or too long.
    Form(String),
    /// This is said twice.
    Twice(String),
}

impl NotMatcher {
    /// What its writer reads.
    pub fn text(&self) -> Text {
        match self {
            Self::Empty => Text::new(
                "请说明静默哪些告警，例如 `name=error_rate env=production`。",
                "Say which alerts, for example `name=error_rate env=production`.",
            ),
            Self::TooMany => Text::new(
                format!("条件最多 {TERMS_MAX} 个。"),
                format!("At most {TERMS_MAX} conditions."),
            ),
            Self::Form(word) => Text::new(
                format!("`{word}` 不是 `键=值`，例如 `name=error_rate`、`instance=web-1`。"),
                format!(
                    "`{word}` is not `key=value`, such as `name=error_rate` or `instance=web-1`."
                ),
            ),
            Self::Twice(key) => Text::new(
                format!("`{key}` 写了两次；所有条件须同时成立。"),
                format!("`{key}` is there twice; all conditions must hold at once."),
            ),
        }
    }
}

impl Matcher {
    /// One alert, as its sightings name it.
    pub fn of_alert(first: &Sighting) -> Self {
        Self { group: Some(first.group()), ..Self::default() }
    }

    /// Reads `name=…`, `service=…`, `env=…`; every other key is a label's.
    ///
    /// # Errors
    /// [`NotMatcher`]: why they are none.
    pub fn parse(words: &[String]) -> Result<Self, NotMatcher> {
        let mut found = Self::default();
        if words.len() > TERMS_MAX {
            return Err(NotMatcher::TooMany);
        }
        for word in words {
            let wrong = || NotMatcher::Form(cut(word).replace('`', "'"));
            let (key, value) = word.split_once('=').ok_or_else(wrong)?;
            let (key, value) = (key.trim(), value.trim());
            if key.is_empty() || value.is_empty() || word.chars().count() > TERM_CHARS_MAX {
                return Err(wrong());
            }
            let before = match key {
                "name" => found.name.replace(value.to_owned()),
                "service" => found.service.replace(value.to_owned()),
                "env" | "environment" => found.environment.replace(value.to_owned()),
                label => found.labels.insert(label.to_owned(), value.to_owned()),
            };
            if before.is_some() {
                return Err(NotMatcher::Twice(cut(key).replace('`', "'")));
            }
        }
        if found == Self::default() { Err(NotMatcher::Empty) } else { Ok(found) }
    }

    /// Whether a sighting is meant.
    pub fn matches(&self, sighting: &Sighting) -> bool {
        let is = |wanted: &Option<String>, value: &str| {
            wanted.as_deref().is_none_or(|wanted| wanted == value)
        };
        is(&self.name, &sighting.name)
            && is(&self.service, &sighting.service)
            && is(&self.environment, &sighting.environment)
            && (self.group.is_none() || is(&self.group, &sighting.group()))
            && self.labels.iter().all(|(label, value)| sighting.labels.get(label) == Some(value))
            && *self != Self::default()
    }
}

impl fmt::Display for Matcher {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = [
            ("name", &self.name),
            ("service", &self.service),
            ("env", &self.environment),
            ("alert", &self.group),
        ];
        let named = named.into_iter().filter_map(|(key, value)| Some((key, value.as_deref()?)));
        let labels = self.labels.iter().map(|(key, value)| (key.as_str(), value.as_str()));
        for (index, (key, value)) in named.chain(labels).enumerate() {
            let blank = if index == 0 { "" } else { " " };
            write!(out, "{blank}{key}={value}")?;
        }
        Ok(())
    }
}

/// A silence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Silence {
    /// Its id.
    pub id: SilenceId,
    /// Of which alerts.
    pub matcher: Matcher,
    /// Who wanted it, and is warned before its end.
    pub owner: UserId,
    /// Why.
    pub reason: String,
    /// From when.
    pub from_ms: i64,
    /// Until when.
    pub until_ms: i64,
}

/// When its owner is warned that it ends; 0: it is too short for that.
pub fn warn_ms((from_ms, until_ms): (i64, i64)) -> i64 {
    let length_ms = until_ms - from_ms;
    if length_ms < 2 * WARNED_MS.0 {
        return 0;
    }
    until_ms - (length_ms / WARNED_PART).clamp(WARNED_MS.0, WARNED_MS.1)
}

/// Until when nobody is told of a sighting: by the silence that ends last; `None`: it is not silent.
pub fn silent_until_ms(silences: &[Silence], sighting: &Sighting, now_ms: i64) -> Option<i64> {
    let holds = |one: &&Silence| (one.from_ms..one.until_ms).contains(&now_ms);
    let matching = silences.iter().filter(holds).filter(|one| one.matcher.matches(sighting));
    matching.map(|one| one.until_ms).max()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::alert::Level;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn sighting() -> Sighting {
        Sighting {
            source: "rule".into(),
            fingerprint: "1".into(),
            starts_ms: 1,
            ended_ms: None,
            name: "error_rate".into(),
            service: "neostock".into(),
            environment: "production".into(),
            level: Level::Error,
            ways: BTreeSet::new(),
            summary: String::new(),
            description: String::new(),
            labels: BTreeMap::from([("instance".into(), "web-1".into())]),
            links: Vec::new(),
            value: String::new(),
            owner: String::new(),
        }
    }

    fn read(text: &str) -> Result<Matcher, NotMatcher> {
        Matcher::parse(&text.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn a_matcher_means_what_fulfils_all_of_it_and_never_everything() {
        for (words, is_meant) in [
            ("name=error_rate", true),
            ("name=error_rate env=production instance=web-1", true),
            ("environment=production", true),
            ("service=neostock", true),
            ("name=error_rate env=staging", false),
            ("instance=web-2", false),
            ("rack=", false),
        ] {
            let meant = read(words).map(|matcher| matcher.matches(&sighting()));
            assert_eq!(meant.unwrap_or(false), is_meant, "{words}");
        }
        assert!(!Matcher::default().matches(&sighting()));
        assert_eq!(read(""), Err(NotMatcher::Empty));
        assert_eq!(read("error_rate"), Err(NotMatcher::Form("error_rate".into())));
        assert_eq!(read("name=a name=b"), Err(NotMatcher::Twice("name".into())));
        assert_eq!(read("env=a environment=b"), Err(NotMatcher::Twice("environment".into())));
        assert_eq!(read(&"a=b ".repeat(11)), Err(NotMatcher::TooMany));
        assert!(read(&format!("a={}", "b".repeat(500))).is_err());
        let one = Matcher::of_alert(&sighting());
        assert!(one.matches(&Sighting { fingerprint: "2".into(), ..sighting() }));
        assert!(!one.matches(&Sighting { environment: "staging".into(), ..sighting() }));
        assert_eq!(read("instance=web-1 name=x").unwrap().to_string(), "name=x instance=web-1");
    }

    #[test]
    fn its_owner_is_warned_a_tenth_before_its_end_but_five_minutes_at_least_and_an_hour_at_most() {
        let before = |minutes: i64| {
            let until_ms = minutes * MINUTE_MS;
            (until_ms - warn_ms((0, until_ms))) / MINUTE_MS
        };
        assert_eq!([10, 30, 100, 600, 7 * 24 * 60].map(before), [5, 5, 10, 60, 60]);
        assert_eq!(warn_ms((0, 9 * MINUTE_MS)), 0);
    }

    #[test]
    fn the_silence_that_ends_last_counts_as_long_as_it_holds() {
        let one = |from_ms, until_ms, words: &str| Silence {
            id: SilenceId::new("SL-1"),
            matcher: read(words).unwrap(),
            owner: UserId::new("U1"),
            reason: "why".into(),
            from_ms,
            until_ms,
        };
        let all = [
            one(0, 100, "name=error_rate"),
            one(50, 80, "env=production"),
            one(0, 500, "name=other"),
            one(100, 900, "service=neostock"),
        ];
        let until = |now_ms| silent_until_ms(&all, &sighting(), now_ms);
        assert_eq!(
            [0, 60, 99, 100, 900].map(until),
            [Some(100), Some(100), Some(100), Some(900), None]
        );
    }

    proptest! {
        #[test]
        fn a_matcher_is_read_back_from_its_words_and_from_its_json(words in "[a-z=]{0,9}( [a-z=]{1,9}){0,4}") {
            if let Ok(matcher) = read(&words) {
                prop_assert_eq!(&read(&matcher.to_string()).unwrap(), &matcher);
                let json = serde_json::to_string(&matcher).unwrap();
                prop_assert_eq!(serde_json::from_str::<Matcher>(&json).unwrap(), matcher);
            }
        }
    }
}
