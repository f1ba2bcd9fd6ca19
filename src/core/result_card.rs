//! Results of steps for people: their sentence, and their figures beside the last time's.

use super::card::{Line, Part, Span, text};
use super::evidence::Evidence;
use super::plan::PlannedStep;
use super::run_card::{RunView, StepView};
use super::step_result::{Earlier, Figure, Outcome, StepResult};
use super::text::Lang;

/// A result's sentence, with its outcome where the step's state does not say it.
pub fn sentence(result: &StepResult, lang: Lang) -> String {
    let words = result.words.get(lang);
    match result.outcome {
        Outcome::Done | Outcome::Passed | Outcome::Failed => words.to_owned(),
        Outcome::CouldNotRun | Outcome::DryRun => {
            let outcome = result.outcome.text();
            format!("{}{}{words}", outcome.get(lang), lang.pick("：", ": "))
        }
    }
}

/// The figures of a run's steps, below its steps; `None`: there are none.
pub(super) fn on_card(run: &RunView, lang: Lang) -> Option<Part> {
    let mut line = Line::new();
    for (planned, step) in run.plan.steps.iter().zip(&run.steps) {
        let found = with_figures(planned, step, lang);
        if !line.is_empty() && !found.is_empty() {
            line.push(text("\n"));
        }
        line.extend(found);
    }
    (!line.is_empty()).then_some(Part::Paragraph(line))
}

fn with_figures(planned: &PlannedStep, step: &StepView, lang: Lang) -> Line {
    let Some(Evidence { result: Some(result), earlier, .. }) = &step.evidence else {
        return Line::new();
    };
    let mut line = figures(result, earlier.as_ref().map(|earlier| &earlier.result), lang);
    if line.is_empty() {
        return line;
    }
    let name = format!("📊 {}{}", planned.name.get(lang), lang.pick("：", ": "));
    line.insert(0, text(name));
    if let Some(earlier) = earlier {
        line.extend(compared_with(earlier, lang));
    }
    line
}

/// `tests 12 (11) · seconds 3.2 (3.0)`: each with the last time's.
pub fn figures(result: &StepResult, earlier: Option<&StepResult>, lang: Lang) -> Line {
    let mut line = Line::new();
    for figure in &result.figures {
        if !line.is_empty() {
            line.push(text(" · "));
        }
        line.push(text(format!("{} ", figure.label.get(lang))));
        line.push(Span::Bold(figure.value.to_string()));
        let before = earlier.and_then(|earlier| of_name(earlier, &figure.name));
        line.extend(before.map(|before| text(format!(" ({})", changed(figure, before)))));
    }
    line
}

fn of_name<'r>(result: &'r StepResult, name: &str) -> Option<&'r Figure> {
    result.figures.iter().find(|figure| figure.name == name)
}

/// The last time's number, and which way it went since.
fn changed(now: &Figure, before: &Figure) -> String {
    let sign = match (now.value.as_f64(), before.value.as_f64()) {
        (Some(now), Some(before)) if now > before => "↑",
        (Some(now), Some(before)) if now < before => "↓",
        _ => "=",
    };
    if sign == "=" { sign.to_owned() } else { format!("{sign} {}", before.value) }
}

fn compared_with(earlier: &Earlier, lang: Lang) -> Line {
    vec![
        text(lang.pick("（括号内为上次 ", " (in brackets: ")),
        Span::Code(earlier.run.to_string()),
        text(" "),
        Span::Time(earlier.at_ms),
        text(lang.pick("）", ")")),
    ]
}
