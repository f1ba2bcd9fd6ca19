//! Parameters: their types, their defaults, and an order that people can type.

use super::grammar::TYPES;
use super::{BUILT_IN_NAMES, Reading, entries, is_true, key_at, localized, text_of};
use crate::config::shape::integer;
use crate::config::tree::{Entry, Node, Value};
use crate::core::action::{Environment, Parameter, ParameterKind, Suggest};
use crate::core::duration;
use crate::core::id::RunId;
use std::collections::{BTreeMap, BTreeSet};

/// Chooses the environment in a request: `env=staging`.
const ENVIRONMENT_ARGUMENT: &str = "env";

impl Reading<'_> {
    pub(super) fn parameters(
        &mut self,
        section: Option<&Node>,
        environments: &BTreeMap<String, Environment>,
    ) -> Vec<Parameter> {
        let mut parameters: Vec<Parameter> = Vec::new();
        for entry in entries(section) {
            self.check_parameter_name(entry, environments);
            let parameter = self.parameter(entry);
            self.check_order(entry, &parameter, parameters.last());
            parameters.push(parameter);
        }
        parameters
    }

    fn check_parameter_name(
        &mut self,
        entry: &Entry,
        environments: &BTreeMap<String, Environment>,
    ) {
        let name = entry.key.as_str();
        let holder = environments.values().find(|one| one.variables.contains_key(name));
        let message = if name == ENVIRONMENT_ARGUMENT {
            "`env` chooses the environment in every request".to_owned()
        } else if BUILT_IN_NAMES.contains(&name) {
            format!("`{name}` is a name that templates have already")
        } else if let Some(environment) = holder {
            format!("`{name}` is a variable of environment `{}` too", environment.name)
        } else {
            return;
        };
        self.faults.add_with(entry.key_at, message, "choose another name for the parameter");
    }

    fn check_order(&mut self, entry: &Entry, parameter: &Parameter, before: Option<&Parameter>) {
        let Some(before) = before else { return };
        if before.kind == ParameterKind::Text {
            let message = format!(
                "`{}` can never be given: the text `{}` before it takes all remaining words",
                entry.key, before.name
            );
            let way = format!("move `{}` to the end", before.name);
            self.faults.add_with(entry.key_at, message, way);
        } else if parameter.required && !before.required {
            let message = format!(
                "`{}` is required and comes after `{}`, which may be left out",
                entry.key, before.name
            );
            let way = format!("move `{}` before `{}`", entry.key, before.name);
            self.faults.add_with(entry.key_at, message, way);
        }
    }

    fn parameter(&mut self, entry: &Entry) -> Parameter {
        let node = &entry.value;
        let kind = self.kind(node);
        let required = is_true(node.get("required"));
        let default = node.get("default").filter(|node| node.text().is_some());
        if let Some(default) = default {
            let text = text_of(Some(default));
            if required {
                let message = format!("`{}` is required, so its default is never used", entry.key);
                let at = key_at(node, "default");
                self.faults.add_with(at, message, "remove `default` or `required: true`");
            }
            if let Err(expected) = accepts(&kind, &text) {
                let message = format!("default `{text}` is not {expected}");
                self.faults.add(default.at, message);
            }
        }
        let suggest = node.get("suggest").and_then(Node::text).map(|_| Suggest::LastGood);
        if suggest.is_some() && !(required && kind == ParameterKind::GitRef) {
            let message =
                "`suggest` proposes a version: it needs `type: git_ref` and `required: true`";
            self.faults.add_with(key_at(node, "suggest"), message, "remove it, or add both");
        }
        Parameter {
            suggest,
            name: entry.key.clone(),
            kind,
            required,
            default: default.map(|default| text_of(Some(default))),
            help: node.get("help").map(|help| localized(Some(help))),
        }
    }

    fn kind(&mut self, node: &Node) -> ParameterKind {
        let name = node.get("type").and_then(Node::text).unwrap_or_default();
        for (key, owner) in [("choices", "choice"), ("min", "number"), ("max", "number")] {
            if node.entry(key).is_some() && name != owner && TYPES.contains(&name) {
                let message = format!("`{key}` means nothing for type `{name}`");
                let way = format!("remove it, or write `type: {owner}`");
                self.faults.add_with(key_at(node, key), message, way);
            }
        }
        match name {
            "git_ref" => ParameterKind::GitRef,
            "choice" => ParameterKind::Choice(self.choices(node)),
            "duration" => ParameterKind::Duration,
            "number" => self.number(node),
            "user" => ParameterKind::User,
            "run" => ParameterKind::Run,
            _ => ParameterKind::Text,
        }
    }

    fn choices(&mut self, node: &Node) -> Vec<String> {
        let Some(section) = node.get("choices") else {
            let way = "add them: `choices: [blue, green]`";
            self.faults.add_with(key_at(node, "type"), "a choice needs its `choices`", way);
            return Vec::new();
        };
        let mut seen = BTreeSet::new();
        for item in section.items() {
            let Some(word) = item.text() else { continue };
            if word.starts_with('-') || word.contains(|letter: char| !is_typeable(letter)) {
                let message = format!("`{word}` cannot be typed as one argument");
                let way = "use one word that does not begin with `-` and has no `=` or quotes";
                self.faults.add_with(item.at, message, way);
            }
            if !seen.insert(word) {
                self.faults.add(item.at, format!("`{word}` is here twice"));
            }
        }
        section.items().iter().filter_map(Node::text).map(str::to_owned).collect()
    }

    fn number(&mut self, node: &Node) -> ParameterKind {
        let bound = |key| match node.get(key).map(|bound| &bound.value) {
            Some(Value::Scalar(scalar)) => integer(scalar),
            _ => None,
        };
        let min = bound("min").unwrap_or(i64::MIN);
        let max = bound("max").unwrap_or(i64::MAX);
        if min > max {
            let message = format!("`min` {min} is greater than `max` {max}: no number fits");
            self.faults.add(key_at(node, "min"), message);
        }
        ParameterKind::Number { min, max }
    }
}

fn is_typeable(letter: char) -> bool {
    !letter.is_whitespace() && !letter.is_control() && !matches!(letter, '=' | '"' | '\'' | '`')
}

/// Whether a default could also have been typed; else what was expected.
fn accepts(kind: &ParameterKind, text: &str) -> Result<(), String> {
    let option_like = text.starts_with('-');
    let is_right = match kind {
        ParameterKind::GitRef => {
            !text.is_empty() && !option_like && text.chars().all(|letter| !letter.is_whitespace())
        }
        ParameterKind::Choice(choices) => {
            choices.is_empty() || choices.iter().any(|one| one == text)
        }
        ParameterKind::Duration => duration::parse(text).is_some(),
        ParameterKind::Number { min, max } => {
            text.parse::<i64>().is_ok_and(|number| *min <= number && number <= *max)
        }
        ParameterKind::Text => true,
        ParameterKind::User => {
            text.starts_with(['U', 'W'])
                && text.len() > 1
                && text.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())
        }
        ParameterKind::Run => RunId::parse(text).is_some(),
    };
    let expected = match kind {
        _ if is_right => return Ok(()),
        ParameterKind::GitRef => "a tag, branch or commit".to_owned(),
        ParameterKind::Choice(choices) => format!("one of its choices: {}", choices.join(", ")),
        ParameterKind::Duration => "a duration such as `15m`".to_owned(),
        ParameterKind::Number { min: i64::MIN, max: i64::MAX } => "a whole number".to_owned(),
        ParameterKind::Number { min: i64::MIN, max } => format!("a whole number up to {max}"),
        ParameterKind::Number { min, max: i64::MAX } => format!("a whole number from {min} on"),
        ParameterKind::Number { min, max } => format!("a whole number from {min} to {max}"),
        ParameterKind::Text => "text".to_owned(),
        ParameterKind::User => "a Slack user id (`U…` or `W…`)".to_owned(),
        ParameterKind::Run => "a run such as `R-7Q2M4K9X`".to_owned(),
    };
    Err(expected)
}
