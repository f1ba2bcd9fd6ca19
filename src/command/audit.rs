//! `audit [filters]`: what the journal tells, newest first, a page at a time.

use super::filter::{self, Whose, by, invalid, once, pages, since, take_named};
use super::roles::VIEWER;
use super::{Context, Spec, answer, text};
use crate::core::action::Runbook;
use crate::core::card::{Card, Line, Part, Span, Tone};
use crate::core::duration;
use crate::core::id::{RunId, UserId};
use crate::core::journal::Row;
use crate::core::journal_words::{self, Outcome};
use crate::core::param::{ArgumentFault, cut, narrow_word};
use crate::core::text::{Lang, Text};
use crate::core::words::Words;
use crate::engine::{Asked, Error};
use crate::store::journal::Search;
use serde_json::Value;

/// Entries on a page.
const PAGE_ENTRIES: usize = 15;
/// How far back it looks when nobody says: a whole journal may be long.
const SINCE_DEFAULT_MS: u64 = 7 * 86_400_000;

/// The kind of the entry that tells that somebody read other people's entries.
const KIND_READ: &str = "journal.read";

/// How it is asked for.
pub const SPEC: Spec = Spec {
    name: "audit",
    usage: "[since 7d] [by @user] [action <name>] [outcome denied] [run R-…]",
    example: "audit since 7d outcome denied",
    zh: "查看审计日志，最新的在前；条件顺序不限，默认最近 7 天",
    en: "Read the audit trail, newest first; filters in any order, the last 7 days by default",
};

/// Which entries are wanted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Trail {
    since_ms: Option<u64>,
    by: Option<Whose>,
    action: Option<String>,
    outcome: Option<Outcome>,
    run: Option<RunId>,
    before: Option<i64>,
}

/// The role that may read the trail: `auditor`, else `lead`, if the runbook defines one of them.
pub fn role(runbook: &Runbook) -> &'static str {
    let is_defined = |name: &&str| runbook.roles.contains_key(*name);
    ["auditor", "lead"].into_iter().find(is_defined).unwrap_or(VIEWER)
}

/// Reads the words after `audit`.
pub fn parse(words: &mut Words<'_>, runbook: &Runbook) -> Result<Trail, ArgumentFault> {
    let mut trail = Trail::default();
    while !words.is_empty() {
        let named = take_named(words, &["since", "by", "action", "outcome", "run", "before"])?;
        match named {
            Some(("since", value)) => once(&mut trail.since_ms, "since", since(&value)?)?,
            Some(("by", value)) => once(&mut trail.by, "by", by(&value)?)?,
            Some(("action", value)) => {
                let name = narrow_word(&value);
                if !runbook.actions.contains_key(&name) {
                    let known: Vec<&str> = runbook.actions.keys().map(String::as_str).collect();
                    let known = known.join(", ");
                    let words = Text::new(format!("以下之一：{known}"), format!("one of: {known}"));
                    return Err(invalid("action", &value, &words));
                }
                once(&mut trail.action, "action", name)?;
            }
            Some(("outcome", value)) => {
                let outcome = Outcome::parse(&narrow_word(&value)).ok_or_else(|| {
                    let known = Outcome::ALL.map(Outcome::as_str).join(", ");
                    let words = Text::new(format!("以下之一：{known}"), format!("one of: {known}"));
                    invalid("outcome", &value, &words)
                })?;
                once(&mut trail.outcome, "outcome", outcome)?;
            }
            Some(("run", value)) => {
                once(&mut trail.run, "run", filter::run("run", &value)?)?;
            }
            Some((_, value)) => {
                let seq = value.parse::<i64>().ok().filter(|seq| *seq > 0).ok_or_else(|| {
                    invalid("before", &value, &Text::new("一条记录的编号", "an entry's number"))
                })?;
                once(&mut trail.before, "before", seq)?;
            }
            None => {
                let word = words.take().map(|word| word.text).unwrap_or_default();
                let expected = Text::new(
                    "`since 7d`、`by @某人`、`action 名称`、`outcome denied`、`run R-…`，顺序不限",
                    "`since 7d`, `by @user`, `action name`, `outcome denied`, `run R-…`, in any order",
                );
                return Err(invalid("filter", &word, &expected));
            }
        }
    }
    Ok(trail)
}

impl Trail {
    /// How far it looks back; a run's whole story however old it is.
    fn since(&self) -> Option<u64> {
        self.since_ms.or(self.run.is_none().then_some(SINCE_DEFAULT_MS))
    }

    /// The command without its place in the list.
    fn words(&self) -> String {
        let mut words = vec![SPEC.name.to_owned()];
        words.extend(self.since().map(|ms| format!("since={}", duration::spell(ms))));
        words.extend(self.by.as_ref().map(Whose::words));
        words.extend(self.action.as_ref().map(|name| format!("action={name}")));
        words.extend(self.outcome.map(|outcome| format!("outcome={}", outcome.as_str())));
        words.extend(self.run.as_ref().map(|run| format!("run={run}")));
        words.join(" ")
    }
}

/// Answers.
pub async fn run(trail: &Trail, context: &Context<'_>, asked: Asked) -> Result<String, Error> {
    let now_ms = context.engine.clock().now_ms();
    let by = trail.by.as_ref().map(|whose| whose.user(&asked.actor));
    let search = Search {
        actor: by.map_or("", UserId::as_str),
        run: trail.run.as_ref().map_or("", RunId::as_str),
        action: trail.action.as_deref().unwrap_or_default(),
        kinds: trail.outcome.map(|outcome| outcome.kinds().collect()),
        since_ms: trail.since().map_or(0, |ms| now_ms.saturating_sub_unsigned(ms)),
        before_seq: trail.before.unwrap_or(i64::MAX),
    };
    let mut rows = context.engine.trail(&search, PAGE_ENTRIES + 1).await?;
    let has_more = rows.len() > PAGE_ENTRIES;
    rows.truncate(PAGE_ENTRIES);
    let mut card = card(trail, &rows, has_more, context.lang);
    if !has_more && let Some(first) = context.engine.first_entry().await? {
        card.parts.extend(archived(&first, search.since_ms, context.lang));
    }
    // Of entries that are not only the reader's own, somebody else may ask who has read them.
    let kind = if by == Some(&asked.actor) { "request.answered" } else { KIND_READ };
    answer(context, asked, kind, &card).await
}

/// That older entries, which were asked for too, are archived.
fn archived(first: &Row, since_ms: i64, lang: Lang) -> Option<Part> {
    if first.seq <= 1 || first.at_ms <= since_ms {
        return None;
    }
    let to = first.seq - 1;
    let words = match lang {
        Lang::Zh => format!("更早的第 1 至 {to} 条已归档，不在其中。"),
        Lang::En => format!("The older entries, 1 to {to}, are archived and not among these."),
    };
    Some(Part::Context(vec![text(words)]))
}

fn card(trail: &Trail, rows: &[Row], has_more: bool, lang: Lang) -> Card {
    let title = lang.pick("审计日志", "Audit trail").to_owned();
    let words = trail.words();
    let mut parts = vec![
        Part::Header(title.clone()),
        Part::Context(vec![Span::Code(format!("/neostock {words}"))]),
    ];
    parts.extend(rows.iter().map(|row| Part::Paragraph(entry(row, lang))));
    if rows.is_empty() {
        let none = lang.pick("没有符合条件的记录。", "No entry fits.");
        parts.push(Part::Paragraph(vec![text(none)]));
    }
    let next = rows.last().filter(|_| has_more).map(|row| row.seq.to_string());
    let before = trail.before.map(|seq| seq.to_string());
    parts.extend(pages(&words, before.as_deref(), next.as_deref(), lang));
    parts.push(Part::Context(vec![
        text(lang.pick("完整导出（在主机上）：", "The whole of it, on the host: ")),
        Span::Code("neostock-ops audit show".to_owned()),
    ]));
    Card { summary: title, tone: Tone::Neutral, parts }
}

/// One entry as a sentence: when, who, what, on what, and what more was noted.
fn entry(row: &Row, lang: Lang) -> Line {
    let is_person = row.actor.starts_with(['U', 'W']);
    let (icon, words) = match journal_words::of(&row.kind) {
        Some((outcome, words)) => (outcome.icon(), text(words.get(lang))),
        None => ("▫️", Span::Code(cut(&row.kind))),
    };
    let mut line = vec![text(format!("{icon} ")), Span::Time(row.at_ms), text(" ")];
    if is_person {
        line.extend([Span::User(UserId::new(row.actor.clone())), text(" ")]);
    }
    line.push(words);
    if !row.subject.is_empty() {
        line.extend([text(" "), Span::Code(cut(&row.subject))]);
    }
    let detail: Value = serde_json::from_str(&row.detail).unwrap_or_default();
    if let Some(typed) = detail["text"].as_str() {
        line.extend([text(" "), Span::Code(cut(typed))]);
    }
    if let Some(role) = detail["role"].as_str() {
        line.extend([text(lang.pick(" 角色 ", " role ")), Span::Code(cut(role))]);
    }
    if let Some(why) = detail["why"].as_str() {
        line.push(text(format!(" ({})", cut(why))));
    }
    line.push(text(format!("  #{}", row.seq)));
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::tests::runbook;

    fn read(text: &str) -> Result<Trail, ArgumentFault> {
        parse(&mut Words::read(text).unwrap(), &runbook())
    }

    #[test]
    fn filters_are_read_in_any_order_and_written_back() {
        let one = read("outcome denied since 2d by <@U0BOB> action rollback run 7k3qzd5a").unwrap();
        let other =
            read("run=R-7K3QZD5A action=rollback by=U0BOB since=48h outcome=denied").unwrap();

        assert_eq!(one, other);
        assert_eq!(
            one.words(),
            "audit since=2d by=U0BOB action=rollback outcome=denied run=R-7K3QZD5A"
        );
        assert_eq!(read("").unwrap().words(), "audit since=7d");
        assert_eq!(read("run R-7K3QZD5A").unwrap().words(), "audit run=R-7K3QZD5A");
        assert_eq!(read("before=12").unwrap().before, Some(12));
    }

    #[test]
    fn an_unknown_word_is_refused_with_what_is_possible() {
        for (typed, expected) in [
            ("denied", "`outcome denied`"),
            ("outcome bad", "denied, refused"),
            ("action deploi", "rollback"),
            ("run R-1", "R-7K3QZD5A"),
            ("before=-1", "entry's number"),
            ("since 7", "7d"),
        ] {
            let fault = read(typed).unwrap_err().text();
            assert!(fault.en.contains(expected), "{typed}: {}", fault.en);
        }
    }

    #[test]
    fn the_trail_is_for_auditors_else_leads_else_viewers() {
        let mut runbook = runbook();
        runbook.roles.clear();
        assert_eq!(role(&runbook), "viewer");
        for name in ["lead", "auditor"] {
            let defined = crate::command::role_named(name, &runbook);
            runbook.roles.insert(name.to_owned(), defined);
            assert_eq!(role(&runbook), name);
        }
    }
}
