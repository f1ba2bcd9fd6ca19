//! What a step's policy decides: on what condition it is done, when it is tried again, what it is
//! handed by earlier ones. Pure; the driver asks.

use super::template::Template;
use super::text::Text;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The longest pause before another try, whatever the backoff makes of it.
pub const RETRY_DELAY_MS_MAX: u64 = 3_600_000;

/// Values that earlier steps handed on, by name.
pub type Outputs = BTreeMap<String, String>;

/// The variable of a step's environment in which it finds what an earlier one handed on.
pub fn output_variable(name: &str) -> String {
    format!("NEOSTOCK_OUTPUT_{}", name.to_uppercase())
}

/// How often, and after what pause, a step that ended badly is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retry {
    /// Further tries.
    pub times: u32,
    /// Before the first of them.
    pub delay_ms: u64,
    /// What the pause is multiplied by for each further one.
    pub backoff: u32,
}

impl Retry {
    /// The pause before the next try after so many that ended badly (at least one); `None`: no more.
    pub fn pause_ms(&self, failures: u32) -> Option<u64> {
        if failures > self.times {
            return None;
        }
        let factor = u64::from(self.backoff).saturating_pow(failures.saturating_sub(1));
        Some(self.delay_ms.saturating_mul(factor).min(RETRY_DELAY_MS_MAX))
    }

    /// `3 × 5s`, `3 × 5s … ×2`.
    pub fn shown(&self) -> String {
        let pause = super::duration::spell(self.delay_ms);
        match self.backoff {
            0 | 1 => format!("{} × {pause}", self.times),
            factor => format!("{} × {pause} … ×{factor}", self.times),
        }
    }
}

/// A condition: a value compared with words of the runbook.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct When {
    /// What is compared. Once planned, only names of outputs are left in it.
    pub value: Template,
    /// What the runbook wrote there, for people.
    pub shown: String,
    /// With what.
    pub words: Vec<String>,
    /// Whether it must be one of them, or none.
    pub is_one: bool,
}

impl When {
    /// Whether it holds. A name that nobody gave is empty.
    pub fn holds(&self, outputs: &Outputs) -> bool {
        let value = self.value.expand(|name| Some(outputs.get(name).map_or("", String::as_str)));
        // Every name has a value above.
        let value = value.unwrap_or_default();
        self.words.contains(&value) == self.is_one
    }

    /// `only if {mode} is full`, for a plan.
    pub fn text(&self) -> Text {
        let words = self.words.iter().map(|word| format!("“{word}”")).collect::<Vec<_>>();
        let shown = &self.shown;
        let (zh, en) = (words.join("、"), words.join(", "));
        if self.is_one {
            let is = if words.len() > 1 { "is one of" } else { "is" };
            Text::new(format!("仅当 {shown} 为 {zh}"), format!("only if {shown} {is} {en}"))
        } else {
            Text::new(format!("仅当 {shown} 不为 {zh}"), format!("only if {shown} is not {en}"))
        }
    }
}

/// Fills outputs into the arguments that wait for them.
///
/// # Errors
/// What is wrong with a value, for people.
pub fn fill(
    argv: &[String],
    late: &BTreeMap<usize, Template>,
    outputs: &Outputs,
) -> Result<Vec<String>, Text> {
    let mut filled: Vec<String> = Vec::with_capacity(argv.len());
    for (index, element) in argv.iter().enumerate() {
        let Some(template) = late.get(&index) else {
            filled.push(element.clone());
            continue;
        };
        let value = template.expand(|name| outputs.get(name).map(String::as_str));
        let value = value.map_err(|name| {
            Text::new(
                format!("前面的步骤没有给出 `{name}`"),
                format!("no earlier step handed on `{name}`"),
            )
        })?;
        let is_open = !filled.iter().any(|one| one == "--" || one == "--end-of-options");
        if let Some(name) = template.leading_name()
            && value.starts_with('-')
            && is_open
        {
            return Err(Text::new(
                format!("`{name}` 的值以 `-` 开头：程序会把它当作选项"),
                format!(
                    "the value of `{name}` begins with `-`: a program would read it as an option"
                ),
            ));
        }
        filled.push(value);
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outputs(pairs: &[(&str, &str)]) -> Outputs {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn when(value: &str, words: &[&str], is_one: bool) -> When {
        let words = words.iter().map(|word| (*word).to_owned()).collect();
        When { value: Template::parse(value).unwrap(), shown: value.into(), words, is_one }
    }

    #[test]
    fn pauses_grow_and_end() {
        let retry = Retry { times: 3, delay_ms: 1_000, backoff: 2 };
        let pauses: Vec<_> = (1..=4).map(|failures| retry.pause_ms(failures)).collect();
        assert_eq!(pauses, [Some(1_000), Some(2_000), Some(4_000), None]);

        let long = Retry { times: u32::MAX, delay_ms: 1_000, backoff: 10 };
        assert_eq!(long.pause_ms(u32::MAX), Some(RETRY_DELAY_MS_MAX));
    }

    #[test]
    fn a_condition_compares_whole_values() {
        let full = when("{mode}", &["full", "all"], true);
        assert!(full.holds(&outputs(&[("mode", "all")])));
        assert!(!full.holds(&outputs(&[("mode", "fuller")])));
        assert!(!full.holds(&Outputs::new()));
        assert!(when("{note}", &[""], true).holds(&Outputs::new()));
        assert!(!when("{note}", &[""], false).holds(&Outputs::new()));
    }

    #[test]
    fn an_output_stays_one_argument_and_is_no_option() {
        let argv = ["restore".to_owned(), "{path}".to_owned()];
        let late = BTreeMap::from([(1, Template::parse("{path}").unwrap())]);
        let fill = |value: &str| fill(&argv, &late, &outputs(&[("path", value)]));

        assert_eq!(fill("a b; $(id)").unwrap(), ["restore", "a b; $(id)"]);
        assert!(fill("--force").unwrap_err().en.contains("option"));
        assert!(super::fill(&argv, &late, &Outputs::new()).unwrap_err().en.contains("`path`"));
    }
}
