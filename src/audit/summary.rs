//! The journal of a window of time, summed up: who did what, what was denied, what went wrong.
//!
//! Entries are read page by page, and every map has a named limit. Whether the chain is whole is not
//! said here: only a check of all of it shows that (`audit verify`).

use crate::clock::Millis;
use crate::core::denial::{Reason, asked, is_denial};
use crate::core::duration;
use crate::core::journal::Row;
use crate::core::journal_words;
use crate::core::run::State;
use crate::core::table::{Page, Side, cut, thousands};
use crate::core::text::{Lang, Text};
use crate::store::journal::{Filter, Moment, Stored, first};
use crate::store::{Error, Store};
use chrono::DateTime;
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};

/// Runs whose end is followed.
const RUNS_MAX: usize = 10_000;
/// Different deeds, denials and exceptions that are told apart, each.
const GROUPS_MAX: usize = 2_000;
const LINES_MAX: usize = 60;
/// Slack's escaping makes letters longer; this leaves room.
const CHARS_MAX: usize = 2_600;
const DEEDS_SHOWN: usize = 16;
const DENIALS_SHOWN: usize = 10;
const EXCEPTIONS_SHOWN: usize = 12;
const TEXT_WIDTH: usize = 40;
/// The actor of the bot's own entries.
const BOT: &str = "neostock-ops";

/// Sums up the entries of the last `window_ms` before `until_ms`; the text for the reader.
///
/// # Errors
/// As the store gives them.
pub async fn summary(
    store: &Store,
    (window_ms, until_ms): (u64, Millis),
    lang: Lang,
) -> Result<String, Error> {
    let since_ms = until_ms.saturating_sub_unsigned(window_ms);
    let filter = Filter { since_ms, until_ms: Some(until_ms), ..Filter::default() };
    let mut sums = Sums::default();
    let mut journal = Moment::of(store).await?;
    let as_it_is = |rows: Vec<Stored>| rows;
    journal
        .each_page(&filter, as_it_is, |rows| {
            for stored in &rows {
                sums.add(&stored.row);
            }
            Ok::<_, Error>(())
        })
        .await?;
    journal.end().await?;
    let (since, until) = (moment(since_ms), moment(until_ms));
    let window = duration::spell(window_ms);
    let title = lang.pick("审计日志", "Journal");
    let page = sums.page(&format!("{title}  {since} – {until} ({window})"), lang);
    let archived = archived(store, since_ms).await?;
    Ok(archived.map_or(page.clone(), |words| format!("{page}{}\n", words.get(lang))))
}

/// That entries of a window that begins so are not there any more; `None`: all are.
pub(super) async fn archived(store: &Store, since_ms: Millis) -> Result<Option<Text>, Error> {
    let mut reader = store.read().await?;
    let first = first(&mut reader).await?;
    let first = first.filter(|row| row.seq > 1 && row.at_ms > since_ms);
    Ok(first.map(|row| {
        let (to, at) = (row.seq - 1, moment(row.at_ms));
        Text::new(
            format!("第 1 至 {to} 条（早于 {at}）已归档，不在其中。"),
            format!("Entries 1 to {to}, from before {at}, are archived and not among these."),
        )
    }))
}

/// A run that was asked for in the window.
struct Run {
    actor: String,
    what: String,
    state: String,
}

/// How often something was, and when last.
#[derive(Default)]
struct Count {
    times: u64,
    last_ms: Millis,
    /// About what, the last time.
    subject: String,
}

/// Different things and how often each was; what finds no room is counted together.
struct Groups<K> {
    counts: BTreeMap<K, Count>,
    total: u64,
    unshown: u64,
}

impl<K> Default for Groups<K> {
    fn default() -> Self {
        Self { counts: BTreeMap::new(), total: 0, unshown: 0 }
    }
}

impl<K: Ord> Groups<K> {
    fn add(&mut self, key: K, at_ms: Millis, subject: &str) {
        self.total += 1;
        if self.counts.len() == GROUPS_MAX && !self.counts.contains_key(&key) {
            self.unshown += 1;
            return;
        }
        let count = self.counts.entry(key).or_default();
        count.times += 1;
        count.last_ms = count.last_ms.max(at_ms);
        subject.clone_into(&mut count.subject);
    }

    /// The most frequent, and how many entries the others come to.
    fn top(&self, shown: usize) -> (Vec<(&K, &Count)>, u64) {
        let mut all: Vec<(&K, &Count)> = self.counts.iter().collect();
        all.sort_by_key(|(_, count)| std::cmp::Reverse(count.times));
        let rest = all.iter().skip(shown).map(|(_, count)| count.times).sum::<u64>();
        all.truncate(shown);
        (all, rest + self.unshown)
    }
}

#[derive(Default)]
struct Sums {
    entries: u64,
    runs: HashMap<String, Run>,
    /// Runs beyond [`RUNS_MAX`].
    runs_unshown: u64,
    /// Actor and kind.
    deeds: Groups<(String, String)>,
    /// Actor, what was asked, and why not.
    denials: Groups<(String, String, Reason)>,
    /// Kinds.
    exceptions: Groups<String>,
}

impl Sums {
    fn add(&mut self, row: &Row) {
        self.entries += 1;
        let detail: Value = serde_json::from_str(&row.detail).unwrap_or_default();
        if row.kind == "run.requested" {
            self.add_run(row, &detail);
        } else if let (Some(run), Some(state)) =
            (self.runs.get_mut(&row.subject), detail["state"].as_str())
        {
            state.clone_into(&mut run.state);
        }
        if is_denial(&row.kind) {
            let key = (row.actor.clone(), asked(&detail), Reason::of(row, &detail));
            self.denials.add(key, row.at_ms, &row.subject);
        } else if is_exception(&row.kind) {
            self.exceptions.add(row.kind.clone(), row.at_ms, &row.subject);
        } else if row.actor != BOT && !row.actor.is_empty() && !row.kind.starts_with("run.") {
            // What a run did on somebody's word stands with the decision.
            self.deeds.add((row.actor.clone(), row.kind.clone()), row.at_ms, &row.subject);
        }
    }

    fn add_run(&mut self, row: &Row, detail: &Value) {
        if self.runs.len() == RUNS_MAX {
            self.runs_unshown += 1;
            return;
        }
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let plan = &detail["plan"];
        let run = Run {
            actor: row.actor.clone(),
            what: format!("{} → {}", text(&plan["action"]), text(&plan["environment"])),
            state: State::Waiting.as_str().to_owned(),
        };
        self.runs.insert(row.subject.clone(), run);
    }

    fn page(&self, title: &str, lang: Lang) -> String {
        let mut page = Page::new(LINES_MAX, CHARS_MAX);
        page.line(title);
        let runs = thousands(self.runs.len() as u64 + self.runs_unshown);
        let (entries, denials) = (thousands(self.entries), thousands(self.denials.total));
        let exceptions = thousands(self.exceptions.total);
        page.line(&match lang {
            Lang::Zh => {
                format!("{entries} 条记录：请求执行 {runs} 次，被拒绝 {denials} 次，异常 {exceptions} 次")
            }
            Lang::En => format!(
                "{entries} entries: runs asked for {runs}, denials {denials}, exceptions {exceptions}"
            ),
        });
        self.denied(&mut page, lang);
        self.went_wrong(&mut page, lang);
        self.done(&mut page, lang);
        let (text, left_out) = page.finish();
        match (left_out, lang) {
            (0, _) => text,
            (_, Lang::Zh) => format!("{text}… 另有 {left_out} 行\n"),
            (_, Lang::En) => format!("{text}… and {left_out} lines more\n"),
        }
    }

    fn done(&self, page: &mut Page, lang: Lang) {
        let mut deeds: Groups<(String, String, String)> = Groups::default();
        for run in self.runs.values() {
            let outcome = State::parse(&run.state).map(|state| state.text().get(lang).to_owned());
            deeds.add((run.actor.clone(), run.what.clone(), outcome.unwrap_or_default()), 0, "");
        }
        for ((actor, kind), count) in &self.deeds.counts {
            let what = words(kind).get(lang).to_owned();
            let found = deeds.counts.entry((actor.clone(), what, String::new())).or_default();
            found.times += count.times;
        }
        deeds.unshown += self.runs_unshown + self.deeds.unshown;
        let (shown, rest) = deeds.top(DEEDS_SHOWN);
        if shown.is_empty() {
            return;
        }
        page.title(lang.pick("谁做了什么", "Who did what"));
        let names = [("次数", "count"), ("操作人", "who"), ("内容", "what"), ("结果", "outcome")];
        let rows = shown.iter().map(|((actor, what, outcome), count)| {
            vec![thousands(count.times), actor.clone(), cut(what, TEXT_WIDTH), outcome.clone()]
        });
        table(page, lang, &names, rows, rest);
    }

    fn denied(&self, page: &mut Page, lang: Lang) {
        let (shown, rest) = self.denials.top(DENIALS_SHOWN);
        if shown.is_empty() {
            return;
        }
        page.title(lang.pick("被拒绝的请求", "Denials"));
        let names = [("次数", "count"), ("谁", "who"), ("要做什么", "what"), ("原因", "why")];
        let rows = shown.iter().map(|((actor, what, why), count)| {
            vec![thousands(count.times), actor.clone(), cut(what, TEXT_WIDTH), why.words(lang)]
        });
        table(page, lang, &names, rows, rest);
    }

    fn went_wrong(&self, page: &mut Page, lang: Lang) {
        let (shown, rest) = self.exceptions.top(EXCEPTIONS_SHOWN);
        if shown.is_empty() {
            return;
        }
        page.title(lang.pick("异常", "Exceptions"));
        let names = [("次数", "count"), ("最后一次", "last"), ("内容", "what"), ("对象", "about")];
        let rows = shown.iter().map(|(kind, count)| {
            let last = DateTime::from_timestamp_millis(count.last_ms).unwrap_or_default();
            let last = last.format("%m-%d %H:%M:%SZ").to_string();
            let subject = cut(&count.subject, TEXT_WIDTH);
            vec![thousands(count.times), last, words(kind).get(lang).to_owned(), subject]
        });
        table(page, lang, &names, rows, rest);
    }
}

fn table(
    page: &mut Page,
    lang: Lang,
    names: &[(&str, &str); 4],
    rows: impl Iterator<Item = Vec<String>>,
    rest: u64,
) {
    let head = names.iter().map(|(zh, en)| lang.pick(zh, en).to_owned()).collect();
    let rows: Vec<Vec<String>> = std::iter::once(head).chain(rows).collect();
    page.table(&[Side::Right, Side::Left, Side::Left, Side::Left], &rows);
    if rest > 0 {
        let rest = thousands(rest);
        page.line(&match lang {
            Lang::Zh => format!("  另有 {rest} 次"),
            Lang::En => format!("  and {rest} more"),
        });
    }
}

fn moment(at_ms: Millis) -> String {
    let at = DateTime::from_timestamp_millis(at_ms).unwrap_or_default();
    at.format("%Y-%m-%d %H:%M:%SZ").to_string()
}

/// What is out of the ordinary, by the last word of its kind; kinds of later versions are found too.
fn is_exception(kind: &str) -> bool {
    const LAST_WORDS: [&str; 12] = [
        "failed",
        "timed_out",
        "lost",
        "cannot_start",
        "never_started",
        "resumed",
        "refused",
        "expired",
        "gate_voided",
        "key_changed",
        "archived",
        "quarantined",
    ];
    kind == "bot.started" || kind.rsplit('.').next().is_some_and(|last| LAST_WORDS.contains(&last))
}

/// A kind as people say it; the kind itself where there are no words for it yet.
fn words(kind: &str) -> Text {
    journal_words::of(kind).map_or_else(|| Text::same(kind), |(_, words)| words)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn row(actor: &str, kind: &str, subject: &str, detail: &Value) -> Row {
        Row {
            seq: 1,
            at_ms: 1_795_489_200_000,
            actor: actor.into(),
            origin: "slash".into(),
            kind: kind.into(),
            subject: subject.into(),
            detail: detail.to_string(),
            key_id: String::new(),
            prev_hash: String::new(),
            hash: String::new(),
        }
    }

    fn a_night() -> Sums {
        let mut sums = Sums::default();
        let plan = json!({"plan": {"action": "rollback", "environment": "production"}});
        for (run, state) in [("R-1", "succeeded"), ("R-2", "failed"), ("R-3", "succeeded")] {
            sums.add(&row("U0BOB", "run.requested", run, &plan));
            let kind = if state == "failed" { "step.failed" } else { "step.ok" };
            sums.add(&row(BOT, kind, run, &json!({"state": state})));
        }
        let denied = json!({"command": "rollback", "role": "operator", "why": "not_a_member"});
        sums.add(&row("U0CAT", "request.denied", "", &denied));
        sums.add(&row("U0CAT", "request.denied", "", &denied));
        sums.add(&row("U9", "request.other_team", "", &json!({"text": "status\u{1b}[2J"})));
        sums.add(&row("U0ANN", "request.answered", "", &json!({"text": "status"})));
        sums.add(&row("U0ANN", "step.settled_ok", "R-2", &json!({"state": "running"})));
        sums.add(&row("U0ANN", "release.pinned", "v1", &json!(null)));
        sums
    }

    #[test]
    fn a_night_reads_well_in_both_languages() {
        insta::assert_snapshot!(a_night().page("审计日志", Lang::Zh));
        insta::assert_snapshot!(a_night().page("Journal", Lang::En));
    }

    #[test]
    fn however_much_happened_it_stays_small() {
        let mut sums = Sums::default();
        for number in 0..RUNS_MAX + 5 {
            let plan = json!({"plan": {"action": format!("a{number}"), "environment": "e"}});
            sums.add(&row(&format!("U{number}"), "run.requested", &format!("R-{number}"), &plan));
            let detail = json!({"text": "x".repeat(500), "why": format!("w{number}")});
            sums.add(&row(&format!("U{number}"), "request.denied", "", &detail));
        }

        let text = sums.page("Journal", Lang::En);

        assert_eq!((sums.runs.len(), sums.denials.counts.len()), (RUNS_MAX, GROUPS_MAX));
        assert!(text.lines().count() <= LINES_MAX + 1 && text.chars().count() < 2_700, "{text}");
        assert!(text.contains("runs asked for 10,005, denials 10,005"), "{text}");
        assert!(text.contains("and 9,995 more"), "{text}");
    }
}
