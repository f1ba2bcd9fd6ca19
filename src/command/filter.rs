//! Filters of a list, in any order: `since 7d`, `since=7d`, `by @ann`, `by=me`.

use crate::core::action::Runbook;
use crate::core::card::{Button, ButtonStyle, Part};
use crate::core::duration;
use crate::core::id::{RunId, UserId};
use crate::core::param::{ArgumentFault, cut, narrow_word, user_id};
use crate::core::press::Press;
use crate::core::text::{Lang, Text};
use crate::core::words::Words;

/// The longest look back: ten years.
const SINCE_MS_MAX: u64 = 3_660 * 86_400_000;

/// Takes `name value` or `name=value` if one of these names stands next.
pub fn take_named(
    words: &mut Words<'_>,
    names: &[&'static str],
) -> Result<Option<(&'static str, String)>, ArgumentFault> {
    let Some(word) = words.peek() else { return Ok(None) };
    let (name, value) = match word.text.split_once(['=', '＝']) {
        Some((name, value)) => (narrow_word(name), Some(value.to_owned())),
        None => (narrow_word(&word.text), None),
    };
    let name = name.trim_start_matches("--");
    let Some(name) = names.iter().copied().find(|known| *known == name) else { return Ok(None) };
    words.take();
    let value = value.or_else(|| words.take().map(|word| word.text));
    match value.filter(|value| !value.is_empty()) {
        Some(value) => Ok(Some((name, value))),
        None => Err(ArgumentFault::Missing { name: name.to_owned() }),
    }
}

/// Sets what may be given once.
pub fn once<T>(slot: &mut Option<T>, name: &str, value: T) -> Result<(), ArgumentFault> {
    if slot.replace(value).is_some() {
        return Err(ArgumentFault::Twice { name: name.to_owned() });
    }
    Ok(())
}

/// An environment of the runbook.
pub fn environment(value: &str, runbook: &Runbook) -> Result<String, ArgumentFault> {
    let name = narrow_word(value);
    if runbook.environments.contains_key(&name) {
        return Ok(name);
    }
    let known: Vec<&str> = runbook.environments.keys().map(String::as_str).collect();
    Err(invalid("env", value, &Text::same(known.join(", "))))
}

/// A run, for the argument of this name.
pub fn run(name: &str, value: &str) -> Result<RunId, ArgumentFault> {
    RunId::parse(value).ok_or_else(|| {
        let expected = Text::new("一个执行编号，例如 R-7K3QZD5A", "a run id such as R-7K3QZD5A");
        invalid(name, value, &expected)
    })
}

/// How far to look back.
pub fn since(value: &str) -> Result<u64, ArgumentFault> {
    duration::parse(&narrow_word(value)).filter(|ms| *ms <= SINCE_MS_MAX).ok_or_else(|| {
        invalid(
            "since",
            value,
            &Text::new("时长，如 90m、24h、7d", "a duration such as 90m, 24h, 7d"),
        )
    })
}

/// Whose rows are wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Whose {
    /// The asker's own.
    Mine,
    /// This person's.
    Theirs(UserId),
}

impl Whose {
    /// The person, when this one asks.
    pub fn user<'w>(&'w self, asker: &'w UserId) -> &'w UserId {
        match self {
            Self::Mine => asker,
            Self::Theirs(user) => user,
        }
    }

    /// As it is typed: `by=me`.
    pub fn words(&self) -> String {
        match self {
            Self::Mine => "by=me".to_owned(),
            Self::Theirs(user) => format!("by={user}"),
        }
    }
}

/// Reads whose.
pub fn by(value: &str) -> Result<Whose, ArgumentFault> {
    if matches!(narrow_word(value).as_str(), "me" | "我") {
        return Ok(Whose::Mine);
    }
    let is_id = |id: &&str| {
        id.len() > 4
            && id.starts_with(['U', 'W'])
            && id.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit())
    };
    let id = user_id(value).or_else(|| Some(value).filter(is_id).map(str::to_owned));
    id.map(|id| Whose::Theirs(UserId::new(id))).ok_or_else(|| {
        let expected = Text::new("一个人，写作 @名字，或 me", "a person, written as @name, or me");
        invalid("by", value, &expected)
    })
}

/// A value that does not fit.
pub fn invalid(name: &str, value: &str, expected: &Text) -> ArgumentFault {
    ArgumentFault::Invalid { name: name.to_owned(), value: cut(value), expected: expected.clone() }
}

/// The way to the next page and back to the first: `words` is the list without its place in it,
/// `before` this page's place, `next` the next one's.
pub fn pages(words: &str, before: Option<&str>, next: Option<&str>, lang: Lang) -> Option<Part> {
    let button = |press: Press, label: &str| Button {
        label: label.to_owned(),
        action: press.action().to_owned(),
        value: press.value(),
        style: ButtonStyle::Default,
        confirm: None,
    };
    let mut buttons = Vec::new();
    if before.is_some() {
        let press = Press::Page { words: words.to_owned(), is_first: true };
        buttons.push(button(press, lang.pick("回到最新", "Newest")));
    }
    if let Some(next) = next {
        let press = Press::Page { words: format!("{words} before={next}"), is_first: false };
        buttons.push(button(press, lang.pick("更早的", "Older")));
    }
    (!buttons.is_empty()).then_some(Part::Buttons(buttons))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(text: &str) -> Result<Option<(&'static str, String)>, ArgumentFault> {
        take_named(&mut Words::read(text).unwrap(), &["since", "by"])
    }

    #[test]
    fn a_filter_is_read_with_and_without_its_sign() {
        for text in ["since 7d", "since=7d", "SINCE 7d", "—since=7d", "ｓｉｎｃｅ＝7d"] {
            assert_eq!(taken(text).unwrap(), Some(("since", "7d".to_owned())), "{text}");
        }
        assert_eq!(taken("failed").unwrap(), None);
        assert_eq!(taken("since"), Err(ArgumentFault::Missing { name: "since".into() }));
        assert_eq!(taken("by="), Err(ArgumentFault::Missing { name: "by".into() }));
    }

    #[test]
    fn a_person_is_a_mention_an_id_or_oneself() {
        assert_eq!(by("me").unwrap(), Whose::Mine);
        assert_eq!(by("<@U0BOB|bob>").unwrap(), Whose::Theirs(UserId::new("U0BOB")));
        assert_eq!(by("U0BOB").unwrap(), Whose::Theirs(UserId::new("U0BOB")));
        assert!(by("@bob").is_err() && by("").is_err());
    }

    #[test]
    fn a_look_back_is_a_duration_of_ten_years_at_most() {
        assert_eq!(since("7d").unwrap(), 604_800_000);
        assert!(since("7").is_err() && since("9999d").is_err());
    }
}
