//! `runs [filters]`: runs of the past and the present, newest first, a page at a time.

use super::filter::{self, Whose, by, environment, invalid, once, pages, since, take_named};
use super::{Context, Spec, answer, text};
use crate::core::action::Runbook;
use crate::core::card::{Card, Line, Part, Span, Tone};
use crate::core::duration;
use crate::core::id::{RunId, UserId};
use crate::core::param::{ArgumentFault, cut, narrow_word};
use crate::core::queue_card;
use crate::core::run::State;
use crate::core::run_card::{RunView, icon, seconds};
use crate::core::text::{Lang, Text};
use crate::core::words::Words;
use crate::engine::{Asked, Error};
use crate::store::runs::RunFilter;

/// Runs on a page.
const PAGE_RUNS: usize = 10;
/// The word for runs that have not ended.
const OPEN: &str = "open";

/// How they are asked for.
pub const SPEC: Spec = Spec {
    name: "runs",
    usage: "[action] [state] [env=…] [by @user] [since 7d]",
    example: "runs failed by me since 7d",
    zh: "列出执行记录，最新的在前；条件顺序不限",
    en: "List runs, newest first; filters in any order",
};

/// Which runs are wanted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Runs {
    action: Option<String>,
    environment: Option<String>,
    /// A state's word, or `open`.
    state: Option<&'static str>,
    by: Option<Whose>,
    since_ms: Option<u64>,
    before: Option<RunId>,
}

/// Reads the words after `runs`.
pub fn parse(words: &mut Words<'_>, runbook: &Runbook) -> Result<Runs, ArgumentFault> {
    let mut runs = Runs::default();
    while !words.is_empty() {
        match take_named(words, &["env", "by", "since", "action", "state", "before"])? {
            Some(("env", value)) => {
                once(&mut runs.environment, "env", environment(&value, runbook)?)?;
            }
            Some(("by", value)) => once(&mut runs.by, "by", by(&value)?)?,
            Some(("since", value)) => once(&mut runs.since_ms, "since", since(&value)?)?,
            Some(("before", value)) => {
                once(&mut runs.before, "before", filter::run("before", &value)?)?;
            }
            Some((_, value)) => word(&value, &mut runs, runbook)?,
            None => {
                let Some(next) = words.take() else { break };
                word(&next.text, &mut runs, runbook)?;
            }
        }
    }
    Ok(runs)
}

/// A state or an action; anything else is refused with what is possible.
fn word(raw: &str, runs: &mut Runs, runbook: &Runbook) -> Result<(), ArgumentFault> {
    let name = narrow_word(raw).replace('-', "_");
    let state = State::ALL.iter().find(|state| name == state.as_str() || raw == state.text().zh);
    if let Some(state) = state {
        return once(&mut runs.state, "state", state.as_str());
    }
    if name == OPEN || raw == "未结束" {
        return once(&mut runs.state, "state", OPEN);
    }
    let name = narrow_word(raw);
    if runbook.actions.contains_key(&name) {
        return once(&mut runs.action, "action", name);
    }
    let states: Vec<&str> = State::ALL.iter().map(|state| state.as_str()).collect();
    let actions: Vec<&str> = runbook.actions.keys().map(String::as_str).collect();
    let (states, actions) = (states.join(", "), actions.join(", "));
    let expected = Text::new(
        format!(
            "操作（{actions}）、状态（{OPEN}, {states}）、`env=环境`、`by @某人`、`by=me` 或 `since 7d`"
        ),
        format!(
            "an action ({actions}), a state ({OPEN}, {states}), `env=name`, `by @user`, `by=me` or \
             `since 7d`"
        ),
    );
    Err(invalid("filter", raw, &expected))
}

impl Runs {
    /// The command without its place in the list.
    fn words(&self) -> String {
        let mut words = vec![SPEC.name.to_owned()];
        words.extend(self.action.clone());
        words.extend(self.state.map(str::to_owned));
        words.extend(self.environment.as_ref().map(|name| format!("env={name}")));
        words.extend(self.by.as_ref().map(Whose::words));
        words.extend(self.since_ms.map(|ms| format!("since={}", duration::spell(ms))));
        words.join(" ")
    }
}

/// Answers.
pub async fn run(runs: &Runs, context: &Context<'_>, asked: Asked) -> Result<String, Error> {
    let now_ms = context.engine.clock().now_ms();
    let by = runs.by.as_ref().map(|whose| whose.user(&asked.actor));
    let filter = RunFilter {
        action: runs.action.as_deref().unwrap_or_default(),
        environment: runs.environment.as_deref().unwrap_or_default(),
        state: runs.state.unwrap_or_default(),
        actor: by.map_or("", UserId::as_str),
        since_ms: runs.since_ms.map_or(0, |ms| now_ms.saturating_sub_unsigned(ms)),
        before: runs.before.as_ref().map_or("", RunId::as_str),
    };
    let mut found = context.engine.runs(&filter, PAGE_RUNS + 1).await?;
    let has_more = found.len() > PAGE_RUNS;
    found.truncate(PAGE_RUNS);
    let card = card(runs, &found, has_more, now_ms, context.lang);
    answer(context, asked, "request.answered", &card).await
}

fn card(runs: &Runs, found: &[RunView], has_more: bool, now_ms: i64, lang: Lang) -> Card {
    let title = lang.pick("执行记录", "Runs").to_owned();
    let words = runs.words();
    let mut parts = vec![
        Part::Header(title.clone()),
        Part::Context(vec![Span::Code(format!("/neostock {words}"))]),
    ];
    parts.extend(found.iter().map(|run| Part::Paragraph(row(run, now_ms, lang))));
    if found.is_empty() {
        let none = lang.pick("没有符合条件的执行。", "No run fits.");
        parts.push(Part::Paragraph(vec![text(none)]));
    }
    let next = found.last().filter(|_| has_more).map(|run| run.id.as_str());
    let before = runs.before.as_ref().map(RunId::as_str);
    parts.extend(pages(&words, before, next, lang));
    Card { summary: title, tone: Tone::Neutral, parts }
}

fn row(run: &RunView, now_ms: i64, lang: Lang) -> Line {
    let state = run.state.text();
    let mut line = vec![
        text(format!("{} ", icon(run.state))),
        Span::Bold(cut(&run.plan.title())),
        text(format!(" · {} · {} · ", state.get(lang), run.plan.environment)),
        Span::User(run.actor.clone()),
        text(" · "),
        Span::Time(run.created_ms),
    ];
    if run.started_ms > 0 {
        let until_ms = if run.ended_ms > 0 { run.ended_ms } else { now_ms };
        line.push(text(format!(" · {}", seconds(until_ms - run.started_ms))));
    }
    line.extend([text(" · "), Span::Code(run.id.to_string())]);
    line.extend(queue_card::place(run, lang).map(text));
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::tests::runbook;

    fn read(text: &str) -> Result<Runs, ArgumentFault> {
        parse(&mut Words::read(text).unwrap(), &runbook())
    }

    #[test]
    fn filters_are_read_in_any_order_and_written_back() {
        let one = read("failed rollback env=production by <@U0BOB|bob> since 7d").unwrap();
        let other = read("since=7d by U0BOB state=failed env production action rollback").unwrap();

        assert_eq!(one, other);
        assert_eq!(one.words(), "runs rollback failed env=production by=U0BOB since=7d");
        let again = one.words();
        assert_eq!(read(again.strip_prefix("runs ").unwrap()).unwrap(), one);
        assert_eq!(read("open by=me").unwrap().words(), "runs open by=me");
        assert_eq!(read("失败").unwrap(), read("failed").unwrap());
        assert_eq!(read("needs-attention").unwrap().state, Some("needs_attention"));
    }

    #[test]
    fn an_unknown_word_is_refused_with_what_is_possible() {
        for (typed, expected) in [
            ("failled", "needs_attention"),
            ("deploi", "rollback"),
            ("env=moon", "production"),
            ("since=soon", "7d"),
            ("by=@bob", "@name"),
            ("before=12", "R-7K3QZD5A"),
        ] {
            let fault = read(typed).unwrap_err().text();
            assert!(fault.en.contains(expected), "{typed}: {}", fault.en);
        }
        assert_eq!(read("failed open"), Err(ArgumentFault::Twice { name: "state".into() }));
    }
}
