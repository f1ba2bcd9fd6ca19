//! `results [name]`: the newest result of every check and test, or one's over time, newest first.

use super::filter::{self, environment, once, pages, take_named};
use super::{Context, Spec, answer, text};
use crate::core::action::Runbook;
use crate::core::card::{Card, Line, Part, Span, Tone};
use crate::core::id::RunId;
use crate::core::param::{ArgumentFault, cut, narrow_word};
use crate::core::result_card;
use crate::core::step_result::StepResult;
use crate::core::text::{Lang, Text};
use crate::core::words::Words;
use crate::engine::results::Kept;
use crate::engine::{Asked, Error};

/// Results of one name on a page.
const PAGE_RESULTS: usize = 10;
/// Names that an overview shows; a card holds no more.
const NAMES_MAX: usize = 40;

/// How they are asked for.
pub const SPEC: Spec = Spec {
    name: "results",
    usage: "[name] [env=…]",
    example: "results test.unit",
    zh: "测试、扫描等的结果：各项最新一次，或某一项历次对比",
    en: "Results of tests, scans and so on: the newest of each, or one over time",
};

/// Which results are wanted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Results {
    name: Option<String>,
    environment: Option<String>,
    before: Option<RunId>,
}

/// Reads the words after `results`.
pub fn parse(words: &mut Words<'_>, runbook: &Runbook) -> Result<Results, ArgumentFault> {
    let mut results = Results::default();
    while !words.is_empty() {
        match take_named(words, &["env", "before"])? {
            Some(("env", value)) => {
                once(&mut results.environment, "env", environment(&value, runbook)?)?;
            }
            Some((_, value)) => {
                once(&mut results.before, "before", filter::run("before", &value)?)?;
            }
            None => {
                let Some(word) = words.take() else { break };
                once(&mut results.name, "name", narrow_word(&word.text))?;
            }
        }
    }
    Ok(results)
}

impl Results {
    /// The command without its place in the list.
    fn words(&self) -> String {
        let mut words = vec![SPEC.name.to_owned()];
        words.extend(self.name.clone());
        words.extend(self.environment.as_ref().map(|name| format!("env={name}")));
        words.join(" ")
    }
}

/// Answers.
pub async fn run(results: &Results, context: &Context<'_>, asked: Asked) -> Result<String, Error> {
    let environment = results.environment.as_deref().unwrap_or_default();
    let lang = context.lang;
    let mut parts = vec![
        Part::Header(lang.pick("结果", "Results").to_owned()),
        Part::Context(vec![Span::Code(cut(&format!("/neostock {}", results.words())))]),
    ];
    match &results.name {
        Some(name) => {
            let (place, before) = ((environment, name.as_str()), results.before.as_ref());
            // One more for the page's last to be compared with, and one that tells of another page.
            let found = context.engine.results_of(place, before, PAGE_RESULTS + 1).await?;
            parts.extend(over_time(&found, lang));
            if found.is_empty() {
                let known = context.engine.newest_results(environment).await?;
                parts.push(nothing_of_it(name, &known, lang));
            }
            let last = found.get(PAGE_RESULTS - 1).filter(|_| found.len() > PAGE_RESULTS);
            let next = last.map(|kept| kept.earlier.run.as_str());
            parts.extend(pages(&results.words(), before.map(RunId::as_str), next, lang));
        }
        None => parts.extend(overview(&context.engine.newest_results(environment).await?, lang)),
    }
    let summary = lang.pick("结果", "Results").to_owned();
    answer(context, asked, "request.answered", &Card { summary, tone: Tone::Neutral, parts }).await
}

/// One line a name.
fn overview(newest: &[Kept], lang: Lang) -> Vec<Part> {
    let mut parts: Vec<Part> = newest
        .iter()
        .take(NAMES_MAX)
        .map(|kept| {
            let mut line = vec![Span::Code(kept.earlier.result.name.clone()), text(" · ")];
            line.extend(head(kept, lang));
            Part::Paragraph(line)
        })
        .collect();
    if newest.is_empty() {
        let none = lang.pick(
            "还没有结果。脚本的最后一行输出是结果行时，结果会保存在这里。",
            "No results yet. They are kept when a script's last line is a result line.",
        );
        parts.push(Part::Paragraph(vec![text(none)]));
    }
    if newest.len() > NAMES_MAX {
        let more = newest.len() - NAMES_MAX;
        let words = Text::new(format!("另有 {more} 项。"), format!("{more} more."));
        parts.push(Part::Context(vec![text(words.get(lang))]));
    }
    parts
}

/// One result after the other, each beside the one before it in the same environment.
fn over_time(found: &[Kept], lang: Lang) -> Vec<Part> {
    let rows = found.iter().take(PAGE_RESULTS).enumerate();
    rows.map(|(index, kept)| {
        let mut line = head(kept, lang);
        let before = found.iter().skip(index + 1).find(|other| {
            other.environment == kept.environment && other.earlier.result.outcome.is_comparable()
        });
        let before: Option<&StepResult> = before.map(|other| &other.earlier.result);
        let figures = result_card::figures(&kept.earlier.result, before, lang);
        if !figures.is_empty() {
            line.push(text("\n"));
            line.extend(figures);
        }
        Part::Paragraph(line)
    })
    .collect()
}

fn head(kept: &Kept, lang: Lang) -> Line {
    let earlier = &kept.earlier;
    vec![
        text(format!("{} ", earlier.result.outcome.icon())),
        Span::Bold(cut(&result_card::sentence(&earlier.result, lang))),
        text(format!(" · {} · ", kept.environment)),
        Span::Time(earlier.at_ms),
        text(" · "),
        Span::Code(earlier.run.to_string()),
    ]
}

fn nothing_of_it(name: &str, known: &[Kept], lang: Lang) -> Part {
    let mut names: Vec<&str> = known.iter().map(|kept| kept.earlier.result.name.as_str()).collect();
    names.dedup();
    names.truncate(NAMES_MAX);
    let mut line = vec![text(lang.pick("没有结果：", "No results of ")), Span::Code(cut(name))];
    if !names.is_empty() {
        line.push(text(lang.pick("。现有：", ". There are: ")));
        line.push(Span::Code(names.join(", ")));
    }
    Part::Paragraph(line)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::tests::runbook;

    fn read(text: &str) -> Result<Results, ArgumentFault> {
        parse(&mut Words::read(text).unwrap(), &runbook())
    }

    #[test]
    fn a_name_and_an_environment_are_read_in_any_order() {
        let one = read("test.unit env=production").unwrap();

        assert_eq!(one, read("env production TEST.unit").unwrap());
        assert_eq!(one.words(), "results test.unit env=production");
        assert_eq!(read("").unwrap(), Results::default());
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        assert!(read("env=moon").unwrap_err().text().en.contains("production"));
        assert!(read("before=12").unwrap_err().text().en.contains("R-7K3QZD5A"));
        assert_eq!(read("a b"), Err(ArgumentFault::Twice { name: "name".into() }));
    }
}
