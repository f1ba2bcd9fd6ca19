//! What `defaults.yml` says of each setting, for `docs/configuration.md`: one source for people and program.

use super::{DEFAULTS, LISTS, VARIABLES};

/// What stands before a default that no line of the file can spell.
const UNLESS_GIVEN: &str = "Unless given: ";
/// What the comment of a list says of its variable.
const COMMAS: &str = "(comma-separated in the variable)";

/// One setting as people read of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Documented {
    /// Its environment variable.
    pub variable: &'static str,
    /// Its key in the file.
    pub key: &'static str,
    /// What holds where nobody gives it; `None`: it is not set.
    pub default: Option<String>,
    /// In English, with `code` between backticks.
    pub meaning: String,
}

/// Every setting, in the order of the file.
pub fn documented() -> Vec<Documented> {
    VARIABLES.iter().filter_map(|(variable, key)| setting(variable, key)).collect()
}

fn setting(variable: &'static str, key: &'static str) -> Option<Documented> {
    let leaf = key.rsplit('.').next()?;
    let opens = |line: &&str| {
        let comment =
            line.trim_start().strip_prefix("# ").and_then(|rest| rest.strip_prefix(variable));
        comment.is_some_and(|rest| rest.starts_with([' ', '.']))
    };
    let lines = DEFAULTS.lines().skip_while(|line| !opens(line)).map(str::trim_start);
    let mut words = Vec::new();
    let mut default = None;
    for line in lines {
        let comment = line.strip_prefix('#').map(str::trim_start);
        let value =
            comment.unwrap_or(line).strip_prefix(leaf).and_then(|rest| rest.strip_prefix(':'));
        match (value, comment) {
            // An example, not a default.
            (Some(_), Some(_)) => break,
            (Some(value), None) => {
                default = Some(value.trim().to_owned());
                break;
            }
            (None, Some(comment)) => words.push(comment),
            (None, None) => return None,
        }
    }
    let said = words.join(" ");
    let said = said.strip_prefix(variable)?.trim_start().trim_start_matches(COMMAS);
    let said = said.trim_start_matches('.').trim_start();
    let (meaning, unless_given) = match said.split_once(UNLESS_GIVEN) {
        Some((meaning, default)) => {
            (meaning.trim_end(), Some(default.trim_end_matches('.').to_owned()))
        }
        None => (said, None),
    };
    let commas =
        if LISTS.contains(&key) { " In the variable, commas stand between them." } else { "" };
    let default = default.or(unless_given);
    Some(Documented { variable, key, default, meaning: format!("{meaning}{commas}") })
}

#[cfg(test)]
mod tests {
    use super::super::{USED_ELSEWHERE, USED_ELSEWHERE_PREFIXES};
    use super::*;

    #[test]
    fn the_defaults_file_says_of_every_setting_what_it_means() {
        let found = documented();

        let keys: Vec<&str> = found.iter().map(|one| one.key).collect();
        let known: Vec<&str> = VARIABLES.iter().map(|(_, key)| *key).collect();
        assert_eq!(keys, known);
        for one in &found {
            assert!(one.meaning.len() > 15 && one.meaning.ends_with('.'), "{one:?}");
            assert!(!one.meaning.contains("NEOSTOCK_LOG."), "{one:?}");
        }
    }

    #[test]
    fn a_default_is_the_value_of_the_file_or_what_the_comment_says_of_it() {
        let default = |key: &str| {
            documented().into_iter().find(|one| one.key == key).and_then(|one| one.default)
        };
        assert_eq!(default("listen").as_deref(), Some("127.0.0.1:8080"));
        assert_eq!(default("slack.api_url").as_deref(), Some("https://slack.com/api"));
        assert_eq!(default("database_url").as_deref(), Some("sqlite:<data_dir>/neostock.db"));
        assert_eq!(default("response_hosts").as_deref(), Some("[]"));
        assert_eq!(default("journal_key"), None);
        assert_eq!(default("alerting"), None);
    }

    #[test]
    fn names_that_are_no_settings_are_documented_too() {
        let documented = include_str!("../../../docs/configuration.md");
        for name in USED_ELSEWHERE.iter().chain(&USED_ELSEWHERE_PREFIXES) {
            assert!(documented.contains(&format!("`{name}")), "{name}");
        }
    }
}
