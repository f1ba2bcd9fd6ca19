//! Arguments: from a request's words to typed values, by an action's parameters.
//!
//! A value that leaves this file is safe to hand to a program as one argument: it holds no NUL, and a
//! git reference cannot be read as an option, a range or a path out of the repository.

use super::action::{Parameter, ParameterKind};
use super::duration;
use super::emergency;
use super::freeze;
use super::id::RunId;
use super::text::Text;
use super::words::{Words, narrow};
use std::collections::BTreeMap;

/// The longest free text, in characters.
pub const TEXT_CHARS_MAX: usize = 1_000;
/// The longest git reference, in bytes.
pub const GIT_REF_BYTES_MAX: usize = 200;
/// The longest duration: a leap year.
const DURATION_MS_MAX: u64 = 366 * 86_400_000;
/// A name is close to another when at most this many letters differ.
const TYPO_DISTANCE_MAX: usize = 2;

/// An argument that passed its type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Argument {
    /// The parameter's name.
    pub name: String,
    /// Its value as a program gets it.
    pub value: String,
}

/// What the words of a request gave.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Arguments {
    /// The environment it names, if any.
    pub environment: Option<String>,
    /// `supersede=…`: the run whose place it takes, or that it takes nobody's.
    pub supersede: Option<Supersede>,
    /// Whether it is said to be an emergency: done without its gates.
    pub is_emergency: bool,
    /// Whether it is to go ahead in spite of the freezes in force.
    pub overrides_freeze: bool,
    /// In the order of the parameters; those that were left out have no entry.
    pub values: Vec<Argument>,
}

/// Whose place a new run takes among those of the same action that have not begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Supersede {
    /// This one's, which is cancelled.
    Run(RunId),
    /// Nobody's: it goes behind.
    Nobody,
}

/// The name under which a request says it.
pub const SUPERSEDE: &str = "supersede";
/// The parameter in which an asker says why.
pub const REASON: &str = "reason";

impl Supersede {
    fn read(value: &str) -> Result<Self, ArgumentFault> {
        if value.eq_ignore_ascii_case("no") {
            return Ok(Self::Nobody);
        }
        RunId::parse(value).map(Self::Run).ok_or_else(|| ArgumentFault::Invalid {
            name: SUPERSEDE.to_owned(),
            value: cut(value),
            expected: Text::new(
                "要取代的执行编号，例如 R-7K3QZD5A；no 表示排在它后面",
                "the run whose place it takes, such as R-7K3QZD5A; `no` to go behind it",
            ),
        })
    }
}

impl Arguments {
    /// The value of a parameter, if it was given.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.values.iter().find(|argument| argument.name == name).map(|found| found.value.as_str())
    }
}

/// Why arguments were refused; each says what to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ArgumentFault {
    /// A required parameter is missing.
    Missing {
        /// Its name.
        name: String,
    },
    /// A value does not fit its type.
    Invalid {
        /// The parameter.
        name: String,
        /// What was given, cut for display.
        value: String,
        /// What it takes.
        expected: Text,
    },
    /// `evn=staging`: no such name, but one is close.
    Unknown {
        /// What was written.
        name: String,
        /// The close one.
        did_you_mean: String,
    },
    /// The same name twice.
    Twice {
        /// The name.
        name: String,
    },
    /// Words that no parameter takes.
    Leftover {
        /// The first of them.
        word: String,
    },
}

/// Reads the words after the verb: positional arguments and `name=value` in any order, then the free
/// text of a last `text` parameter.
///
/// # Errors
/// The first [`ArgumentFault`]; nothing was done.
pub fn read(parameters: &[Parameter], words: &mut Words<'_>) -> Result<Arguments, ArgumentFault> {
    // Wherever it stands, behind the reason too: who writes it there means it.
    let is_emergency = words.take_flag(&emergency::WORDS);
    let overrides_freeze = words.take_flag(&freeze::WORDS);
    let mut found = Arguments { is_emergency, overrides_freeze, ..Arguments::default() };
    let mut given: Vec<(usize, String)> = Vec::new();
    while let Some(word) = words.peek() {
        if !word.quoted
            && let Some((name, value)) = named(parameters, &word.text)?
        {
            let value = value.to_owned();
            words.take();
            match name {
                Named::Environment => {
                    let again = found.environment.replace(narrow(&value)).is_some();
                    refuse_twice(again, "env")?;
                }
                Named::Supersede => {
                    let again =
                        found.supersede.replace(Supersede::read(&narrow(&value))?).is_some();
                    refuse_twice(again, SUPERSEDE)?;
                }
                Named::Parameter(index) => give(parameters, &mut given, index, value)?,
            }
            continue;
        }
        let open = |index: &usize| !given.iter().any(|(at, _)| at == index);
        let Some(index) = (0..parameters.len()).find(open) else {
            return Err(ArgumentFault::Leftover { word: cut(&word.text) });
        };
        let is_text = matches!(parameters[index].kind, ParameterKind::Text);
        let taken = if is_text { words.take_rest() } else { words.take().map(|word| word.text) };
        give(parameters, &mut given, index, taken.unwrap_or_default())?;
    }
    let says_why = |(at, _): &(usize, String)| parameters[*at].name == REASON;
    if (is_emergency || overrides_freeze) && !given.iter().any(says_why) {
        // A default is no reason.
        return Err(ArgumentFault::Missing { name: REASON.to_owned() });
    }
    let named = given.into_iter().map(|(index, value)| (parameters[index].name.clone(), value));
    found.values = from_values(parameters, &named.collect())?.values;
    Ok(found)
}

/// Reads values by name, whoever gives them: defaults for what is left out, each by its type.
///
/// # Errors
/// The first [`ArgumentFault`].
pub fn from_values(
    parameters: &[Parameter],
    given: &BTreeMap<String, String>,
) -> Result<Arguments, ArgumentFault> {
    let mut found = Arguments::default();
    for parameter in parameters {
        let raw = given.get(&parameter.name).or(parameter.default.as_ref());
        match raw {
            Some(raw) => {
                let value = value(parameter, raw)?;
                found.values.push(Argument { name: parameter.name.clone(), value });
            }
            None if parameter.required => {
                return Err(ArgumentFault::Missing { name: parameter.name.clone() });
            }
            None => {}
        }
    }
    Ok(found)
}

enum Named {
    Environment,
    Supersede,
    Parameter(usize),
}

/// `name=value` with a name that is known; a fault when the name is a slip of a known one. Anything
/// else with a `=` is an ordinary word: a reason may say `p99=5s`.
fn named<'w>(
    parameters: &[Parameter],
    word: &'w str,
) -> Result<Option<(Named, &'w str)>, ArgumentFault> {
    let Some(at) = word.find(['=', '＝']) else { return Ok(None) };
    let width = word[at..].chars().next().map_or(1, char::len_utf8);
    let name = narrow(word[..at].trim_start_matches('-')).to_lowercase();
    let value = &word[at + width..];
    if name == "env" || name == "environment" {
        return Ok(Some((Named::Environment, value)));
    }
    if let Some(index) = parameters.iter().position(|parameter| parameter.name == name) {
        return Ok(Some((Named::Parameter(index), value)));
    }
    if name == SUPERSEDE {
        return Ok(Some((Named::Supersede, value)));
    }
    let names = parameters.iter().map(|parameter| parameter.name.as_str()).chain(["env"]);
    match did_you_mean(&name, names) {
        Some(close) => Err(ArgumentFault::Unknown { name: cut(&name), did_you_mean: close }),
        None => Ok(None),
    }
}

fn give(
    parameters: &[Parameter],
    given: &mut Vec<(usize, String)>,
    index: usize,
    value: String,
) -> Result<(), ArgumentFault> {
    refuse_twice(given.iter().any(|(at, _)| *at == index), &parameters[index].name)?;
    given.push((index, value));
    Ok(())
}

fn refuse_twice(again: bool, name: &str) -> Result<(), ArgumentFault> {
    if again { Err(ArgumentFault::Twice { name: name.to_owned() }) } else { Ok(()) }
}

/// The one of `known` that `typed` is a slip of.
pub fn did_you_mean<'k>(typed: &str, known: impl Iterator<Item = &'k str>) -> Option<String> {
    known
        .map(|name| (strsim::damerau_levenshtein(typed, name), name))
        .filter(|(distance, name)| {
            *distance > 0 && *distance <= TYPO_DISTANCE_MAX && *distance * 2 < name.len().max(3)
        })
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name.to_owned())
}

/// A value by its type.
fn value(parameter: &Parameter, raw: &str) -> Result<String, ArgumentFault> {
    let invalid = |zh: String, en: String| ArgumentFault::Invalid {
        name: parameter.name.clone(),
        value: cut(raw),
        expected: Text::new(zh, en),
    };
    match &parameter.kind {
        ParameterKind::GitRef => {
            let name = narrow(raw);
            if is_git_ref(&name) {
                Ok(name)
            } else {
                Err(invalid(
                    "一个标签、分支或提交，例如 v1.2".into(),
                    "a tag, branch or commit, such as v1.2".into(),
                ))
            }
        }
        ParameterKind::Choice(choices) => {
            let typed = narrow(raw).to_lowercase();
            let chosen = choices.iter().find(|choice| choice.to_lowercase() == typed);
            chosen.cloned().ok_or_else(|| {
                let list = choices.join(", ");
                invalid(format!("以下之一：{list}"), format!("one of: {list}"))
            })
        }
        ParameterKind::Duration => {
            let typed = narrow(raw);
            duration_ms(&typed).map(|_| typed.clone()).ok_or_else(|| {
                invalid(
                    "一段时间，例如 90s、15m、2h、1d".into(),
                    "a duration such as 90s, 15m, 2h or 1d".into(),
                )
            })
        }
        ParameterKind::Number { min, max } => {
            let number =
                narrow(raw).parse::<i64>().ok().filter(|number| (min..=max).contains(&number));
            number.map(|number| number.to_string()).ok_or_else(|| {
                invalid(
                    format!("{min} 到 {max} 之间的整数"),
                    format!("a whole number from {min} to {max}"),
                )
            })
        }
        ParameterKind::Text => {
            let text = raw.trim();
            let clean =
                !text.chars().any(|letter| letter.is_control() && !matches!(letter, '\n' | '\t'));
            if !text.is_empty() && clean && text.chars().count() <= TEXT_CHARS_MAX {
                Ok(text.to_owned())
            } else {
                Err(invalid(
                    format!("1 到 {TEXT_CHARS_MAX} 个字符的文字，不含控制字符"),
                    format!("1 to {TEXT_CHARS_MAX} characters of text without control characters"),
                ))
            }
        }
        ParameterKind::User => user_id(raw).ok_or_else(|| {
            invalid("一个人，写作 @名字".into(), "a person, written as @name".into())
        }),
        ParameterKind::Run => RunId::parse(raw).map(|id| id.to_string()).ok_or_else(|| {
            invalid("一个执行编号，例如 R-7K3QZD5A".into(), "a run id such as R-7K3QZD5A".into())
        }),
    }
}

/// `<@U1>`, `<@U1|ann>` → `U1`.
pub fn user_id(raw: &str) -> Option<String> {
    match super::card::prose(raw.trim()).as_slice() {
        [super::card::Span::User(user)] => Some(user.to_string()),
        _ => None,
    }
}

/// A command's name as typed, in lower-case ASCII.
pub fn narrow_word(raw: &str) -> String {
    narrow(raw).to_lowercase()
}

/// Whether a text can only be the name of a tag, branch or commit: what `git check-ref-format`
/// refuses is refused, and so is everything that `git rev-parse` would read as an expression.
fn is_git_ref(name: &str) -> bool {
    let plain = |letter: char| {
        letter.is_alphanumeric() || matches!(letter, '.' | '_' | '-' | '/' | '+' | '#' | '@' | '=')
    };
    !name.is_empty()
        && name.len() <= GIT_REF_BYTES_MAX
        && name.chars().all(plain)
        && !name.starts_with(['-', '.', '/', '@'])
        && !name.ends_with(['.', '/'])
        && !["..", "//", "/.", ".lock/", "@{"].iter().any(|part| name.contains(part))
        && !name.to_ascii_lowercase().ends_with(".lock")
}

/// A duration in milliseconds; `None` for anything else, for nothing and past 366 days.
pub fn duration_ms(text: &str) -> Option<u64> {
    duration::parse(text).filter(|total_ms| (1..=DURATION_MS_MAX).contains(total_ms))
}

/// A value for display in a refusal: short, without control characters.
pub fn cut(text: &str) -> String {
    const SHOWN_CHARS_MAX: usize = 60;
    let shown: String = text
        .chars()
        .take(SHOWN_CHARS_MAX)
        .map(|letter| if letter.is_control() { '␀' } else { letter })
        .collect();
    if text.chars().count() > SHOWN_CHARS_MAX { format!("{shown}…") } else { shown }
}

impl ArgumentFault {
    /// What the asker reads.
    pub fn text(&self) -> Text {
        match self {
            Self::Missing { name } => {
                Text::new(format!("缺少参数 `{name}`。"), format!("`{name}` is missing."))
            }
            Self::Invalid { name, value, expected } => Text::new(
                format!("参数 `{name}` 不能是 `{value}`：需要{}。", expected.zh),
                format!("`{name}` cannot be `{value}`: it takes {}.", expected.en),
            ),
            Self::Unknown { name, did_you_mean } => Text::new(
                format!("没有参数 `{name}`。您是指 `{did_you_mean}=` 吗？"),
                format!("There is no `{name}=`. Did you mean `{did_you_mean}=`?"),
            ),
            Self::Twice { name } => {
                Text::new(format!("参数 `{name}` 给了两次。"), format!("`{name}` is given twice."))
            }
            Self::Leftover { word } => Text::new(
                format!("多余的内容：`{word}`。"),
                format!("`{word}` is more than this command takes."),
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parameter(name: &str, kind: ParameterKind, required: bool) -> Parameter {
        Parameter { name: name.into(), kind, required, default: None, suggest: None, help: None }
    }

    fn rollback() -> Vec<Parameter> {
        vec![
            parameter("version", ParameterKind::GitRef, true),
            parameter("reason", ParameterKind::Text, true),
        ]
    }

    fn ask(raw: &str) -> Result<Arguments, ArgumentFault> {
        read(&rollback(), &mut Words::read(raw).unwrap())
    }

    #[test]
    fn positional_named_and_free_text_are_told_apart() {
        let found = ask("“v1.2” env=staging bad p99=5s, ask <@U1|ann>").unwrap();

        assert_eq!(found.environment.as_deref(), Some("staging"));
        assert_eq!(found.get("version"), Some("v1.2"));
        assert_eq!(found.get("reason"), Some("bad p99=5s, ask <@U1|ann>"));
        assert_eq!(ask("reason=\"a b\" version=v1").unwrap().get("reason"), Some("a b"));
        assert_eq!(ask("—env=staging v1 why").unwrap().environment.as_deref(), Some("staging"));
    }

    #[test]
    fn each_fault_says_what_to_do() {
        assert_eq!(ask("v1.2").unwrap_err(), ArgumentFault::Missing { name: "reason".into() });
        assert_eq!(
            ask("v1.2 evn=staging why").unwrap_err(),
            ArgumentFault::Unknown { name: "evn".into(), did_you_mean: "env".into() }
        );
        assert_eq!(
            ask("v1 version=v2 why").unwrap_err(),
            ArgumentFault::Twice { name: "version".into() }
        );
        let only = [parameter("n", ParameterKind::Number { min: 1, max: 5 }, true)];
        let mut words = Words::read("3 4").unwrap();
        assert_eq!(
            read(&only, &mut words).unwrap_err(),
            ArgumentFault::Leftover { word: "4".into() }
        );
    }

    #[test]
    fn a_version_that_could_be_anything_but_a_name_is_refused() {
        let hostile = [
            ";rm",
            "$(id)",
            "--upload-pack=x",
            "../x",
            "a..b",
            "v1\u{0}",
            "v1\nv2",
            "-x",
            "v1^",
            "v1~2",
            "a:b",
            "@{u}",
            "x.lock",
            "/etc/passwd",
            "a//b",
            "*",
            "v1 v2",
        ];
        for raw in hostile {
            assert!(!is_git_ref(raw), "{raw:?} was taken");
        }
        for good in ["v1.2", "release/2026-11", "3f2a9c", "hotfix_1", "v1.2+build.5", "版本1"] {
            assert!(is_git_ref(good), "{good:?} was refused");
        }
    }

    #[test]
    fn durations_have_a_unit_and_a_bound() {
        assert_eq!(duration_ms("90s"), Some(90_000));
        assert_eq!(duration_ms("1d"), Some(86_400_000));
        assert_eq!(duration_ms("0s"), None);
        assert_eq!(duration_ms("5"), None);
        assert_eq!(duration_ms("-5s"), None);
        assert_eq!(duration_ms("99999999999999999999s"), None);
    }

    #[test]
    fn a_slip_is_recognised_and_another_word_is_not() {
        let verbs = ["rollback", "status", "show", "help"];
        assert_eq!(did_you_mean("rollbak", verbs.into_iter()).as_deref(), Some("rollback"));
        assert_eq!(did_you_mean("staus", verbs.into_iter()).as_deref(), Some("status"));
        assert_eq!(did_you_mean("deploy", verbs.into_iter()), None);
    }

    proptest! {
        #[test]
        fn reading_never_panics_and_never_passes_a_nul(raw: String) {
            if let Some(mut words) = Words::read(&raw)
                && let Ok(found) = read(&rollback(), &mut words)
            {
                prop_assert!(found.values.iter().all(|argument| !argument.value.contains('\0')));
                prop_assert!(found.get("version").is_some_and(|version| !version.starts_with('-')));
            }
        }
    }
}
