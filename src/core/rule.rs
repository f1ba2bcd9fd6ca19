//! Who may do an action, down to its arguments: the first of its rules whose conditions all hold decides;
//! where none does, the action's own role and approval do. Asks nobody and knows no person.

use super::action::{Action, Approval};
use super::text::Text;

/// The condition on where an action is done; every other name is a parameter's.
pub const ENVIRONMENT: &str = "environment";

/// One rule of an action.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    /// Its line in the runbook, from 1.
    pub line: usize,
    /// All of them must hold.
    pub when: Vec<Condition>,
    /// What it decides.
    pub then: Then,
}

/// A condition on the environment or on an argument.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// [`ENVIRONMENT`], or a parameter.
    pub name: String,
    /// What must be true of its value; a parameter that was left out is empty.
    pub test: Test,
}

/// What is asked of a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Test {
    /// It is one of these words.
    OneOf(Vec<String>),
    /// It is none of these words.
    NoneOf(Vec<String>),
    /// It is a number, and not smaller.
    AtLeast(i64),
    /// It is a number, and not greater.
    AtMost(i64),
    /// Its commit was live in the environment before, or was not.
    WasLive(bool),
}

/// What a rule decides.
#[derive(Debug, Clone, PartialEq)]
pub enum Then {
    /// Nobody may; and what the asker reads.
    Deny(Text),
    /// What replaces the action's own terms; `None`: the action's hold.
    Allow {
        /// The role that may ask.
        role: Option<String>,
        /// Whether, and by whom, it must be approved.
        approval: Option<Terms>,
        /// Whether, and which, checklist must be in order.
        checklist: Option<Listed>,
    },
}

/// Whether an approval is needed.
#[derive(Debug, Clone, PartialEq)]
pub enum Terms {
    /// Nobody's.
    None,
    /// This one.
    Approval(Approval),
}

/// Whether a checklist is needed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listed {
    /// None.
    None,
    /// The one of this name.
    Checklist(String),
}

/// What rules ask about a request.
pub struct Facts<'f> {
    /// The environment's name.
    pub environment: &'f str,
    /// The value of a parameter; `None`: it was left out.
    pub value: &'f (dyn Fn(&str) -> Option<&'f str> + Sync),
    /// Whether the commit of a version parameter was live there; `None`: that cannot be told.
    pub was_live: &'f (dyn Fn(&str) -> Option<bool> + Sync),
}

/// The terms on which a request may be made.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ruled<'a> {
    /// The role that may ask.
    pub role: &'a str,
    /// Who must agree; `None`: nobody.
    pub approval: Option<&'a Approval>,
    /// The checklist that must be in order; `None`: none.
    pub checklist: Option<&'a str>,
    /// The rule that decided; `None`: the action's own terms.
    pub rule: Option<&'a Rule>,
}

/// Why a request may not be made by anybody.
#[derive(Debug, Clone, PartialEq)]
pub enum Forbidden<'a> {
    /// A rule denies it.
    Denied {
        /// Which.
        rule: &'a Rule,
        /// What the asker reads.
        words: &'a Text,
    },
    /// Whether a rule applies cannot be told, and so it is denied.
    CannotTell {
        /// Which rule.
        rule: &'a Rule,
        /// The parameter that it asks about.
        name: &'a str,
    },
}

/// Decides by an action's rules.
///
/// # Errors
/// [`Forbidden`]: whoever asks.
pub fn decide<'a>(action: &'a Action, facts: &Facts<'_>) -> Result<Ruled<'a>, Forbidden<'a>> {
    for rule in &action.rules {
        match rule.applies(facts) {
            Applies::No => {}
            Applies::CannotTell(name) => return Err(Forbidden::CannotTell { rule, name }),
            Applies::Yes => return rule.decided(action),
        }
    }
    Ok(own_terms(action))
}

/// The action's own terms, as if it had no rules.
pub fn own_terms(action: &Action) -> Ruled<'_> {
    Ruled {
        role: &action.role,
        approval: action.approval.as_ref(),
        checklist: action.checklist.as_deref(),
        rule: None,
    }
}

/// The roles of which some request for an action needs one.
pub fn roles(action: &Action) -> impl Iterator<Item = &str> {
    let by_rule = action.rules.iter().filter_map(|rule| match &rule.then {
        Then::Allow { role, .. } => role.as_deref(),
        Then::Deny(_) => None,
    });
    std::iter::once(action.role.as_str()).chain(by_rule)
}

/// Every checklist that some request for an action needs.
pub fn checklists(action: &Action) -> impl Iterator<Item = &str> {
    let by_rule = action.rules.iter().filter_map(|rule| match &rule.then {
        Then::Allow { checklist: Some(Listed::Checklist(name)), .. } => Some(name.as_str()),
        _ => None,
    });
    action.checklist.as_deref().into_iter().chain(by_rule)
}

/// Every approval that some request for an action needs.
pub fn approvals(action: &Action) -> impl Iterator<Item = &Approval> {
    let by_rule = action.rules.iter().filter_map(|rule| match &rule.then {
        Then::Allow { approval: Some(Terms::Approval(approval)), .. } => Some(approval),
        _ => None,
    });
    action.approval.iter().chain(by_rule)
}

enum Applies<'a> {
    Yes,
    No,
    CannotTell(&'a str),
}

impl Rule {
    /// What is known not to hold decides, whatever else cannot be told.
    fn applies(&self, facts: &Facts<'_>) -> Applies<'_> {
        let mut unknown = None;
        for condition in &self.when {
            match condition.holds(facts) {
                Some(true) => {}
                Some(false) => return Applies::No,
                None => unknown = Some(condition.name.as_str()),
            }
        }
        unknown.map_or(Applies::Yes, Applies::CannotTell)
    }

    fn decided<'a>(&'a self, action: &'a Action) -> Result<Ruled<'a>, Forbidden<'a>> {
        match &self.then {
            Then::Deny(words) => Err(Forbidden::Denied { rule: self, words }),
            Then::Allow { role, approval, checklist } => Ok(Ruled {
                role: role.as_deref().unwrap_or(&action.role),
                approval: match approval {
                    None => action.approval.as_ref(),
                    Some(Terms::None) => None,
                    Some(Terms::Approval(approval)) => Some(approval),
                },
                checklist: match checklist {
                    None => action.checklist.as_deref(),
                    Some(Listed::None) => None,
                    Some(Listed::Checklist(name)) => Some(name),
                },
                rule: Some(self),
            }),
        }
    }
}

impl Condition {
    fn holds(&self, facts: &Facts<'_>) -> Option<bool> {
        if let Test::WasLive(wanted) = self.test {
            return (facts.was_live)(&self.name).map(|was_live| was_live == wanted);
        }
        let value = match self.name.as_str() {
            ENVIRONMENT => facts.environment,
            name => (facts.value)(name).unwrap_or_default(),
        };
        let is_word = |words: &[String]| words.iter().any(|word| word == value);
        let number = || value.parse::<i64>().ok();
        Some(match &self.test {
            Test::OneOf(words) => is_word(words),
            Test::NoneOf(words) => !is_word(words),
            Test::AtLeast(least) => number().is_some_and(|number| number >= *least),
            Test::AtMost(most) => number().is_some_and(|number| number <= *most),
            Test::WasLive(_) => return None,
        })
    }
}

impl Forbidden<'_> {
    /// The word in the journal and in metrics.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Denied { .. } => "rule",
            Self::CannotTell { .. } => "rule_cannot_tell",
        }
    }

    /// The rule that says so.
    pub fn rule(&self) -> &Rule {
        match self {
            Self::Denied { rule, .. } | Self::CannotTell { rule, .. } => rule,
        }
    }

    /// What the asker reads.
    pub fn text(&self) -> Text {
        let line = self.rule().line;
        match self {
            Self::Denied { words, .. } => Text::new(
                format!("{}（操作手册第 {line} 行的规则；什么也没有执行。）", words.zh),
                format!("{} (The rule on line {line} of the runbook; nothing was done.)", words.en),
            ),
            Self::CannotTell { name, .. } => Text::new(
                format!(
                    "现在无法确认 `{name}` 是否曾经上线，而操作手册第 {line} 行的规则取决于它，所以什么也没有执行。\
                     请稍后再试。"
                ),
                format!(
                    "It cannot be told right now whether `{name}` was ever live, and the rule on line \
                     {line} of the runbook depends on it; nothing was done. Try again in a moment."
                ),
            ),
        }
    }
}

impl Condition {
    /// The condition as it is written: `environment: staging`.
    pub fn shown(&self) -> String {
        let list = |words: &[String]| match words {
            [only] => only.clone(),
            several => format!("[{}]", several.join(", ")),
        };
        let test = match &self.test {
            Test::OneOf(words) => list(words),
            Test::NoneOf(words) => format!("{{not: {}}}", list(words)),
            Test::AtLeast(least) => format!("{{at_least: {least}}}"),
            Test::AtMost(most) => format!("{{at_most: {most}}}"),
            Test::WasLive(wanted) => format!("{{was_live: {wanted}}}"),
        };
        format!("{}: {test}", self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::plan::tests::sample_action;
    use proptest::prelude::*;

    fn condition(name: &str, test: Test) -> Condition {
        Condition { name: name.into(), test }
    }

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(ToString::to_string).collect()
    }

    fn staging_freely_production_by_leads_and_nothing_new_back() -> Action {
        let rule = |line, when, then| Rule { line, when, then };
        let by =
            |role: &str| Then::Allow { role: Some(role.into()), approval: None, checklist: None };
        Action {
            role: "developer".into(),
            rules: vec![
                rule(
                    10,
                    vec![
                        condition(ENVIRONMENT, Test::OneOf(words(&["production"]))),
                        condition("version", Test::WasLive(false)),
                    ],
                    Then::Deny(Text::same("only back")),
                ),
                rule(20, vec![condition("count", Test::AtLeast(10))], by("lead")),
                rule(
                    30,
                    vec![condition(ENVIRONMENT, Test::NoneOf(words(&["staging", "test"])))],
                    by("operator"),
                ),
            ],
            ..sample_action()
        }
    }

    fn decided(environment: &str, count: &str, was_live: Option<bool>) -> (String, usize) {
        let action = staging_freely_production_by_leads_and_nothing_new_back();
        let value = |name: &str| (name == "count").then_some(count);
        let facts = Facts { environment, value: &value, was_live: &|_| was_live };
        match decide(&action, &facts) {
            Ok(ruled) => (ruled.role.to_owned(), ruled.rule.map_or(0, |rule| rule.line)),
            Err(forbidden) => (forbidden.as_str().to_owned(), forbidden.rule().line),
        }
    }

    #[test]
    fn the_first_rule_that_applies_decides_and_else_the_actions_own_role() {
        let is = |found: (String, usize), role: &str, line| assert_eq!(found, (role.into(), line));

        is(decided("staging", "1", Some(false)), "developer", 0);
        is(decided("staging", "10", None), "lead", 20);
        is(decided("staging", "many", None), "developer", 0);
        is(decided("production", "1", Some(false)), "rule", 10);
        is(decided("production", "1", Some(true)), "operator", 30);
        is(decided("production", "99", Some(true)), "lead", 20);
    }

    #[test]
    fn what_cannot_be_told_is_denied_only_where_it_matters() {
        assert_eq!(decided("production", "1", None), ("rule_cannot_tell".into(), 10));
        assert_eq!(decided("staging", "1", None), ("developer".into(), 0));
    }

    proptest! {
        /// A rule about the environment alone is about nothing else.
        #[test]
        fn a_rule_for_one_environment_never_decides_for_another(environment in "[a-z]{1,8}", value: String) {
            let only = condition(ENVIRONMENT, Test::OneOf(words(&["production"])));
            let then = Then::Allow {
                role: Some("anybody".into()),
                approval: Some(Terms::None),
                checklist: None,
            };
            let rules = vec![Rule { line: 1, when: vec![only], then }];
            let action = Action { rules, role: "lead".into(), ..sample_action() };
            let facts = Facts { environment: &environment, value: &|_| Some(&value), was_live: &|_| None };

            let role = decide(&action, &facts).unwrap().role;

            prop_assert_eq!(role == "anybody", environment == "production");
        }
    }
}
