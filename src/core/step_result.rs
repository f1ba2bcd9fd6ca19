//! The result line: the last line that a script prints, for the bot. It says in both languages what came
//! of it, with figures that are compared with the last time's. README.md of the runbook has its shape.

use super::id::RunId;
use super::text::Text;
use serde::{Deserialize, Serialize};
use serde_json::Number;

/// Bytes of a result line.
pub const LINE_BYTES_MAX: usize = 4_096;
/// What every result line begins with; any other last line is ordinary output.
const BEGINNING: &str = "{\"result\":";
/// Characters of a sentence or a label.
const WORDS_CHARS_MAX: usize = 300;
/// Figures of a result.
const FIGURES_MAX: usize = 20;
/// Letters of a result's name.
const NAME_BYTES_MAX: usize = 64;
/// Letters of a figure's name.
const FIGURE_NAME_BYTES_MAX: usize = 40;

/// What a step says of its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub struct StepResult {
    /// What is compared over time: `test.unit`.
    #[serde(rename = "result")]
    pub name: String,
    /// What came of it.
    pub outcome: Outcome,
    /// One sentence.
    #[serde(flatten)]
    pub words: Text,
    /// Numbers, in the script's order.
    #[serde(default)]
    pub figures: Vec<Figure>,
}

/// What came of a step, in its own words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It did what it was for.
    Done,
    /// What it checked is in order.
    Passed,
    /// What it checked is not in order, or what it did went wrong.
    Failed,
    /// It could not be found out, or was called wrongly.
    CouldNotRun,
    /// It was only asked what it would do.
    DryRun,
}

impl Outcome {
    /// The word that is stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Passed => "passed",
            Self::Failed => "failed",
            Self::CouldNotRun => "could_not_run",
            Self::DryRun => "dry_run",
        }
    }

    /// For people.
    pub fn text(self) -> Text {
        match self {
            Self::Done => Text::new("完成", "done"),
            Self::Passed => Text::new("通过", "passed"),
            Self::Failed => Text::new("未通过", "failed"),
            Self::CouldNotRun => Text::new("未能执行", "could not be run"),
            Self::DryRun => Text::new("试运行", "dry run"),
        }
    }

    /// As one sign.
    pub fn icon(self) -> &'static str {
        match self {
            Self::Done | Self::Passed => "✅",
            Self::Failed => "❌",
            Self::CouldNotRun => "⛔",
            Self::DryRun => "📝",
        }
    }

    /// Whether its figures tell how things are, so that a later result is compared with it.
    pub fn is_comparable(self) -> bool {
        matches!(self, Self::Done | Self::Passed | Self::Failed)
    }
}

/// A number of a result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Figure {
    /// Its name with its unit last: `p99_ms`.
    pub name: String,
    /// How much.
    pub value: Number,
    /// Its name for people.
    #[serde(flatten)]
    pub label: Text,
}

/// A result of an earlier run of the same environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Earlier {
    /// Whose it is.
    pub run: RunId,
    /// When it ended.
    pub at_ms: i64,
    /// What it said.
    pub result: StepResult,
}

/// What the end of an output holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Last {
    /// No result line.
    Output,
    /// A result.
    Result(Box<StepResult>),
    /// A line that was meant as one and cannot be read, and why.
    Fault(Text),
}

/// Reads the last line of an output.
pub fn last(output: &str) -> Last {
    let line = output.trim_end().rsplit('\n').next().unwrap_or_default().trim();
    if !line.starts_with(BEGINNING) {
        return Last::Output;
    }
    match read(line) {
        Ok(result) => Last::Result(Box::new(result)),
        Err(why) => Last::Fault(why),
    }
}

/// The output without a last line that is meant for the bot.
pub fn for_people(output: &str) -> &str {
    let whole = output.trim_end();
    let from = whole.rfind('\n').map_or(0, |at| at + 1);
    if whole[from..].trim().starts_with(BEGINNING) { &whole[..from] } else { output }
}

fn read(line: &str) -> Result<StepResult, Text> {
    let fault = |zh: &str, en: &str| {
        Text::new(format!("结果行无法读取：{zh}"), format!("its result line cannot be read: {en}"))
    };
    if line.len() > LINE_BYTES_MAX {
        return Err(fault("超过 4,096 字节", "it has more than 4,096 bytes"));
    }
    let mut result: StepResult = serde_json::from_str(line)
        .map_err(|error| fault(&error.to_string(), &error.to_string()))?;
    if !is_name(&result.name, NAME_BYTES_MAX, b".-") {
        return Err(fault(
            "名称只能用 a-z、0-9、点和连字符",
            "its name takes a-z, 0-9, dots and dashes",
        ));
    }
    if result.figures.len() > FIGURES_MAX {
        return Err(fault("数字超过 20 个", "it has more than 20 figures"));
    }
    for figure in &mut result.figures {
        if !is_name(&figure.name, FIGURE_NAME_BYTES_MAX, b"_") {
            let name = &figure.name;
            return Err(fault(
                &format!("数字名称 {name} 只能用 a-z、0-9 和下划线"),
                &format!("the name of a figure takes a-z, 0-9 and underscores, not {name}"),
            ));
        }
        figure.label = in_bounds(&figure.label);
    }
    result.words = in_bounds(&result.words);
    Ok(result)
}

/// Lower-case letters, digits and a few signs, a letter or digit first.
fn is_name(name: &str, bytes_max: usize, signs: &[u8]) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    name.len() <= bytes_max
        && name.bytes().next().is_some_and(is_plain)
        && name.bytes().all(|byte| is_plain(byte) || signs.contains(&byte))
}

fn in_bounds(words: &Text) -> Text {
    let cut = |text: &str| {
        let plain = text.chars().map(|letter| if letter.is_control() { ' ' } else { letter });
        plain.take(WORDS_CHARS_MAX).collect::<String>()
    };
    Text::new(cut(&words.zh), cut(&words.en))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const GOOD: &str = r#"{"result":"test.unit","outcome":"passed","zh":"12 个测试通过","en":"12 tests passed","figures":[{"name":"tests","value":12,"zh":"测试","en":"tests"},{"name":"p99_ms","value":34.2,"zh":"P99","en":"P99"}]}"#;

    #[test]
    fn the_last_line_is_read_and_kept_from_people() {
        let output = format!("one\ntwo\n{GOOD}\n");

        let Last::Result(result) = last(&output) else { panic!("{:?}", last(&output)) };

        assert_eq!((result.name.as_str(), result.outcome), ("test.unit", Outcome::Passed));
        assert_eq!(result.words.en, "12 tests passed");
        assert_eq!(result.figures[1].value.to_string(), "34.2");
        assert_eq!(for_people(&output), "one\ntwo\n");
        assert_eq!(for_people(GOOD), "");
        assert_eq!(serde_json::to_string(&result).unwrap(), GOOD, "it is stored as it is written");
    }

    #[test]
    fn other_output_stays_as_it_is() {
        for output in ["", "\n", "done", "{\"status\":\"ok\"}", "{\"result\":1}\nmore"] {
            assert_eq!(last(output), Last::Output, "{output}");
            assert_eq!(for_people(output), output);
        }
    }

    #[test]
    fn a_line_that_is_wrong_says_why() {
        let long = format!("{{\"result\":\"{}\"}}", "x".repeat(LINE_BYTES_MAX));
        let figure = r#"{"name":"a","value":1,"zh":"","en":""},"#.repeat(21);
        let many = format!(
            r#"{{"result":"a","outcome":"done","zh":"","en":"","figures":[{}]}}"#,
            figure.trim_end_matches(',')
        );
        for (line, why) in [
            (r#"{"result":"a"}"#, "missing field"),
            (r#"{"result":"a","outcome":"maybe","zh":"","en":""}"#, "maybe"),
            (r#"{"result":"A b","outcome":"done","zh":"","en":""}"#, "its name takes"),
            (
                r#"{"result":"a","outcome":"done","zh":"","en":"","figures":[{"name":"P99","value":1,"zh":"","en":""}]}"#,
                "not P99",
            ),
            (
                r#"{"result":"a","outcome":"done","zh":"","en":"","figures":[{"name":"a","value":"1","zh":"","en":""}]}"#,
                "number",
            ),
            (long.as_str(), "4,096"),
            (many.as_str(), "20 figures"),
        ] {
            let Last::Fault(words) = last(line) else { panic!("{line}: {:?}", last(line)) };
            assert!(words.en.contains(why), "{line}: {}", words.en);
            assert_eq!(for_people(line), "");
        }
    }

    proptest! {
        #[test]
        fn no_output_makes_it_panic(output in r#"(\{"result":)?[ -~文\n"{}:,\[\]]{0,300}"#) {
            let rest = for_people(&output);
            prop_assert!(output.starts_with(rest));
            if let Last::Result(result) = last(&output) {
                let line = serde_json::to_string(&result).unwrap();
                prop_assert_eq!(last(&line), Last::Result(result));
            }
        }
    }
}
