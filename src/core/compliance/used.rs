//! Who used the rules: the journal's entries of a window, counted. Every map and list has a named limit,
//! and what finds no room is counted.

use super::page::Group;
use crate::core::card::{Line, Span, text};
use crate::core::denial::{Reason, asked, is_denial};
use crate::core::journal::Row;
use crate::core::journal_words;
use crate::core::param::cut;
use crate::core::text::Lang;
use serde_json::Value;
use std::cmp::Reverse;
use std::collections::BTreeMap;

/// The kinds of entries that are counted.
pub const KINDS: [&str; 28] = [
    "run.requested",
    "run.follows",
    "run.superseded",
    "decision.approved",
    "decision.rejected",
    "decision.cancelled",
    "step.settled_ok",
    "step.settled_failed",
    "emergency.reviewed",
    "role.delegated",
    "role.delegation_ended",
    "journal.read",
    "journal.exported",
    "journal.archived",
    "compliance.reported",
    "request.denied",
    "request.other_team",
    "request.refused",
    "decision.refused",
    "settle.refused",
    "supersede.refused",
    "review.refused",
    "lock.refused",
    "lock.taken_over",
    "approval.reused",
    "freeze.overridden",
    "checklist.ticked",
    "checklist.refused",
];

/// Different things that are told apart, each.
const GROUPS_MAX: usize = 2_000;
const ACTIONS_MAX: usize = 20;
const PEOPLE_MAX: usize = 8;
const LINES_MAX: usize = 15;

/// How often different things were.
#[derive(Debug, Clone)]
struct Tally<K> {
    counts: BTreeMap<K, u64>,
    /// Of things that found no room.
    rest: u64,
}

impl<K> Default for Tally<K> {
    fn default() -> Self {
        Self { counts: BTreeMap::new(), rest: 0 }
    }
}

impl<K: Ord> Tally<K> {
    fn add(&mut self, key: K) {
        if self.counts.len() == GROUPS_MAX && !self.counts.contains_key(&key) {
            self.rest += 1;
        } else {
            *self.counts.entry(key).or_default() += 1;
        }
    }

    /// The most frequent, and how many the others come to.
    fn top(&self, shown: usize) -> (Vec<(&K, u64)>, u64) {
        let mut all: Vec<(&K, u64)> =
            self.counts.iter().map(|(key, times)| (key, *times)).collect();
        all.sort_by_key(|(_, times)| Reverse(*times));
        let rest = all.iter().skip(shown).map(|(_, times)| times).sum::<u64>() + self.rest;
        all.truncate(shown);
        (all, rest)
    }
}

/// One entry that a list shows.
#[derive(Debug, Clone)]
struct Deed {
    at_ms: i64,
    actor: String,
    /// About which run.
    run: String,
    /// What more is said of it, from outside.
    about: String,
    reason: String,
}

/// The newest of them, and how many there are.
#[derive(Debug, Clone, Default)]
struct Deeds {
    newest: Vec<Deed>,
    total: u64,
}

impl Deeds {
    fn add(&mut self, deed: Deed) {
        self.total += 1;
        if self.newest.len() < LINES_MAX {
            self.newest.push(deed);
        }
    }
}

/// What people did in a window of time; entries are added newest first.
#[derive(Debug, Clone, Default)]
pub struct Used {
    /// Entries that were counted.
    pub entries: u64,
    /// Whether older entries of the window were left out.
    pub is_cut: bool,
    /// Action and person.
    runs: Tally<(String, String)>,
    /// Person and kind.
    deeds: Tally<(String, String)>,
    /// What was asked, person and why not.
    denials: Tally<(String, String, Reason)>,
    /// Kind, person and why not.
    refusals: Tally<(String, String, String)>,
    takeovers: Deeds,
    reused: Deeds,
    overridden: Deeds,
}

impl Used {
    /// Counts one entry.
    pub fn add(&mut self, row: &Row) {
        self.entries += 1;
        let detail: Value = serde_json::from_str(&row.detail).unwrap_or_default();
        let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let deed = |about: String, reason: String| Deed {
            at_ms: row.at_ms,
            actor: row.actor.clone(),
            run: row.subject.clone(),
            about,
            reason,
        };
        match row.kind.as_str() {
            "run.requested" | "run.follows" => {
                self.runs.add((word(&detail["plan"]["action"]), row.actor.clone()));
            }
            "lock.taken_over" => {
                self.takeovers.add(deed(word(&detail["environment"]), word(&detail["reason"])));
            }
            "approval.reused" => self.reused.add(deed(word(&detail["from"]), String::new())),
            "freeze.overridden" => {
                let names = detail["freezes"].as_array().map_or(&[][..], Vec::as_slice);
                let names: Vec<&str> = names.iter().filter_map(Value::as_str).collect();
                self.overridden.add(deed(names.join(", "), word(&detail["reason"])));
            }
            kind if is_denial(kind) => {
                let reason = Reason::of(row, &detail);
                self.denials.add((asked(&detail), row.actor.clone(), reason));
            }
            // A typing mistake is no refused press.
            "request.refused" if row.origin != "button" => {}
            kind if kind.ends_with(".refused") => {
                let why = cut(detail["why"].as_str().unwrap_or_default());
                self.refusals.add((kind.to_owned(), row.actor.clone(), why));
            }
            kind => self.deeds.add((row.actor.clone(), kind.to_owned())),
        }
    }

    /// How many locks were taken over.
    pub(super) fn takeovers(&self) -> u64 {
        self.takeovers.total
    }

    /// Who used which action, decided, was denied, and pressed in vain.
    pub(super) fn groups(&self, lang: Lang) -> Vec<Group> {
        let source = lang.pick("审计日志", "the journal");
        vec![
            self.runs_group(source, lang),
            self.deeds_group(source, lang),
            self.denials_group(source, lang),
            self.refusals_group(source, lang),
        ]
    }

    /// Locks that were taken over, approvals that counted twice, and freezes that were to be passed.
    pub(super) fn bypasses(&self, lang: Lang) -> Vec<Group> {
        let source = lang.pick("审计日志", "the journal");
        let line = |deed: &Deed, between: &str| {
            let mut line = vec![Span::Code(cut(&deed.run)), text(between)];
            line.extend([Span::Code(cut(&deed.about)), text(" · "), person(&deed.actor)]);
            line.extend([text(" · "), Span::Time(deed.at_ms)]);
            if !deed.reason.is_empty() {
                line.push(text(format!(" · {}", cut(&deed.reason))));
            }
            line
        };
        let rest = |deeds: &Deeds| deeds.total - deeds.newest.len() as u64;
        let takeovers = self.takeovers.newest.iter();
        let takeovers = takeovers.map(|deed| line(deed, lang.pick(" 失去 ", " lost ")));
        let overridden = self.overridden.newest.iter();
        let overridden = overridden.map(|deed| line(deed, lang.pick(" 越过 ", " in spite of ")));
        let reused = self.reused.newest.iter();
        let reused = reused.map(|deed| line(deed, lang.pick(" 沿用 ", " on the approvals of ")));
        vec![
            Group::new(
                lang.pick("被接管的锁 (unlock)", "Locks that were taken over (unlock)"),
                source,
            )
            .with(takeovers)
            .and_more(rest(&self.takeovers)),
            Group::new(lang.pick("沿用的批准", "Approvals that were used again"), source)
                .with(reused)
                .and_more(rest(&self.reused)),
            Group::new(lang.pick("申请越过的冻结", "Freezes that were to be passed"), source)
                .with(overridden)
                .and_more(rest(&self.overridden)),
        ]
    }

    fn runs_group(&self, source: &str, lang: Lang) -> Group {
        let mut by_action: BTreeMap<&str, Vec<(&str, u64)>> = BTreeMap::new();
        for ((action, actor), times) in &self.runs.counts {
            by_action.entry(action).or_default().push((actor, *times));
        }
        let more = by_action.len().saturating_sub(ACTIONS_MAX) as u64;
        let lines = by_action.into_iter().take(ACTIONS_MAX).map(|(action, mut people)| {
            people.sort_by_key(|(_, times)| Reverse(*times));
            let total: u64 = people.iter().map(|(_, times)| times).sum();
            let mut line = vec![Span::Code(cut(action)), text(format!(" {total}: "))];
            for (index, (actor, times)) in people.iter().take(PEOPLE_MAX).enumerate() {
                let comma = if index > 0 { ", " } else { "" };
                line.extend([text(comma), person(actor), text(format!(" ×{times}"))]);
            }
            line.extend(others(people.len().saturating_sub(PEOPLE_MAX), lang));
            line
        });
        let title = lang.pick("谁发起了哪个操作（允许的）", "Who asked for which action (allowed)");
        Group::new(title, source).with(lines).and_more(more + self.runs.rest)
    }

    fn deeds_group(&self, source: &str, lang: Lang) -> Group {
        let (shown, rest) = self.deeds.top(LINES_MAX);
        let lines = shown.into_iter().map(|((actor, kind), times)| {
            vec![person(actor), text(format!(" {} ×{times}", words(kind, lang)))]
        });
        let title = lang.pick("其他敏感操作", "Other sensitive deeds");
        Group::new(title, source).with(lines).and_more(rest)
    }

    fn denials_group(&self, source: &str, lang: Lang) -> Group {
        let (shown, rest) = self.denials.top(LINES_MAX);
        let lines = shown.into_iter().map(|((what, actor, why), times)| {
            let why = why.words(lang);
            vec![person(actor), text(" "), Span::Code(cut(what)), text(format!(" ×{times}: {why}"))]
        });
        let title = lang.pick("被拒绝的请求及原因", "Denied, and why");
        Group::new(title, source).with(lines).and_more(rest)
    }

    fn refusals_group(&self, source: &str, lang: Lang) -> Group {
        let (shown, rest) = self.refusals.top(LINES_MAX);
        let lines = shown.into_iter().map(|((kind, actor, why), times)| {
            let mut line = vec![person(actor), text(format!(" {} ×{times}", words(kind, lang)))];
            if !why.is_empty() {
                line.extend([text(" "), Span::Code(why.clone())]);
            }
            line
        });
        let title = lang.pick("没有算数的决定与按键", "Decisions and presses that did not count");
        Group::new(title, source).with(lines).and_more(rest)
    }
}

fn words(kind: &str, lang: Lang) -> String {
    journal_words::of(kind).map_or_else(|| kind.to_owned(), |(_, words)| words.get(lang).to_owned())
}

fn others(more: usize, lang: Lang) -> Option<Span> {
    (more > 0).then(|| {
        text(match lang {
            Lang::Zh => format!("，另有 {more} 人"),
            Lang::En => format!(" and {more} more"),
        })
    })
}

/// An id and no mention: a report calls nobody.
pub(super) fn person(id: &str) -> Span {
    Span::Code(cut(id))
}

/// A line of a run: which, what and where.
pub(super) fn run_line(run: &str, action: &str, environment: &str) -> Line {
    vec![Span::Code(run.to_owned()), text(format!(" {} → {}", cut(action), cut(environment)))]
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn row(actor: &str, kind: &str, origin: &str, detail: &Value) -> Row {
        Row {
            seq: 1,
            at_ms: 1_795_489_200_000,
            actor: actor.into(),
            origin: origin.into(),
            kind: kind.into(),
            subject: "R-7K3QZD5A".into(),
            detail: detail.to_string(),
            key_id: String::new(),
            prev_hash: String::new(),
            hash: String::new(),
        }
    }

    #[test]
    fn however_much_happened_it_stays_small() {
        let mut used = Used::default();
        for number in 0..GROUPS_MAX + 50 {
            let (who, why) = (format!("U{number}"), format!("w{number}"));
            let plan = json!({"plan": {"action": format!("a{number}")}});
            used.add(&row(&who, "run.requested", "slash", &plan));
            used.add(&row(&who, "request.denied", "slash", &json!({"why": why})));
            used.add(&row(&who, "lock.taken_over", "slash", &json!({"reason": "x".repeat(9_000)})));
            used.add(&row(&who, "decision.approved", "button", &json!(null)));
        }

        let all = used.groups(Lang::En).into_iter().chain(used.bypasses(Lang::En)).collect();
        let card = super::super::page::card("Used", all, Lang::En);

        assert_eq!(used.takeovers.total, 2_050);
        let shown = format!("{card:?}");
        assert!(card.parts.len() < 20 && shown.len() < 20_000, "{}", shown.len());
        assert!(shown.contains("and 2030 more") && shown.contains("and 2035 more"), "{shown}");
    }

    #[test]
    fn a_freeze_that_was_to_be_passed_is_named_with_its_reason() {
        let mut used = Used::default();
        let detail = json!({"freezes": ["trading-hours"], "reason": "it burns"});
        used.add(&row("U0ANN", "freeze.overridden", "slash", &detail));

        let card = super::super::page::card("Used", used.bypasses(Lang::En), Lang::En);

        let shown = format!("{card:?}");
        for words in ["trading-hours", " in spite of ", "it burns", "U0ANN", "R-7K3QZD5A"] {
            assert!(shown.contains(words), "{words}: {shown}");
        }
    }

    #[test]
    fn a_typing_mistake_is_no_refused_press() {
        let mut used = Used::default();
        let why = json!({"why": "unknown_button"});
        used.add(&row("U0ANN", "request.refused", "slash", &why));
        assert!(used.refusals.counts.is_empty());
        used.add(&row("U0ANN", "request.refused", "button", &why));
        assert_eq!(used.refusals.counts.len(), 1);
    }

    #[test]
    fn every_kind_that_is_counted_has_words() {
        for kind in KINDS {
            assert!(journal_words::of(kind).is_some(), "{kind}");
        }
    }
}
