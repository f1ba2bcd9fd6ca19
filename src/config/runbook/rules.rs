//! The rules of an action: terms for certain environments and arguments. What could never apply, or never
//! hold, is a fault.

use super::checklists::Checklists;
use super::steps::Scope;
use super::{Reading, key_at, localized, text_of};
use crate::config::fault::mean_or_list;
use crate::config::shape::integer;
use crate::config::tree::{Entry, Node, Value};
use crate::core::action::{Environment, Parameter, ParameterKind, Role};
use crate::core::rule::{Condition, ENVIRONMENT, Rule, Terms, Test, Then};
use std::collections::BTreeMap;

/// What rules of an action can name.
pub(super) struct Names<'n> {
    pub parameters: &'n [Parameter],
    pub environments: &'n BTreeMap<String, Environment>,
    pub roles: &'n BTreeMap<String, Role>,
    /// What the templates of a checklist may name.
    pub scope: Scope<'n>,
}

impl Reading<'_> {
    pub(super) fn rules(
        &mut self,
        node: Option<&Node>,
        names: &Names<'_>,
        lists: &mut Checklists<'_>,
    ) -> Vec<Rule> {
        let items = node.map_or(&[][..], Node::items);
        let mut rules: Vec<Rule> = Vec::new();
        for item in items {
            let rule = self.rule(item, names, lists);
            // The same conditions or more: the earlier one has decided.
            let earlier =
                rules.iter().find(|one| one.when.iter().all(|asked| rule.when.contains(asked)));
            if let Some(earlier) = earlier {
                let message = format!(
                    "this rule never decides: wherever it applies, the one on line {} does",
                    earlier.line
                );
                self.faults.add_with(item.at, message, "put the more special rule first");
            }
            rules.push(rule);
        }
        rules
    }

    fn rule(&mut self, node: &Node, names: &Names<'_>, lists: &mut Checklists<'_>) -> Rule {
        let conditions = node.get("when").map_or(&[][..], Node::entries);
        let when = conditions.iter().filter_map(|entry| self.condition(entry, names)).collect();
        let role = node.get("role");
        self.check_role(role, names.roles);
        let approval = node.get("approval").map(|node| match node.text() {
            Some(_) => Terms::None,
            None => Terms::Approval(self.approval(node, names.roles)),
        });
        let checklist = self.listed(node.get("checklist"), lists, (&names.scope, names.roles));
        let deny = node.get("deny");
        let has_terms = role.is_some() || approval.is_some() || checklist.is_some();
        if deny.is_some() && has_terms {
            let message = "a rule that denies has no other terms";
            let way = "leave `role`, `approval` and `checklist` out, or leave `deny` out";
            self.faults.add_with(key_at(node, "deny"), message, way);
        }
        if deny.is_none() && !has_terms {
            let message = "this rule decides nothing";
            let way = "give it `role`, `approval`, `checklist` or `deny`";
            self.faults.add_with(node.at, message, way);
        }
        let then = match deny {
            Some(words) => Then::Deny(localized(Some(words))),
            None => Then::Allow { role: role.map(|role| text_of(Some(role))), approval, checklist },
        };
        Rule { line: node.at.line, when, then }
    }

    fn condition(&mut self, entry: &Entry, names: &Names<'_>) -> Option<Condition> {
        let name = entry.key.as_str();
        let parameter = names.parameters.iter().find(|parameter| parameter.name == name);
        if parameter.is_none() && name != ENVIRONMENT {
            let mut known = vec![ENVIRONMENT];
            known.extend(names.parameters.iter().map(|parameter| parameter.name.as_str()));
            let message = format!("`{name}` is neither `environment` nor a parameter here");
            self.faults.add_with(entry.key_at, message, mean_or_list(name, "names", &known));
            return None;
        }
        let test = self.test(&entry.value, name, parameter)?;
        if let Test::OneOf(words) | Test::NoneOf(words) = &test {
            for word in words {
                self.check_word(entry, word, parameter, names);
            }
        }
        Some(Condition { name: name.to_owned(), test })
    }

    fn test(&mut self, node: &Node, name: &str, parameter: Option<&Parameter>) -> Option<Test> {
        if !matches!(node.value, Value::Map(_)) {
            return Some(Test::OneOf(words(node)));
        }
        let entry = node.entries().first()?;
        let number = match &entry.value.value {
            Value::Scalar(scalar) => integer(scalar).unwrap_or_default(),
            _ => 0,
        };
        let kind = parameter.map(|parameter| &parameter.kind);
        let is_number = matches!(kind, Some(ParameterKind::Number { .. }));
        let is_version = kind == Some(&ParameterKind::GitRef);
        let (test, fits, wanted) = match entry.key.as_str() {
            "not" => (Test::NoneOf(words(&entry.value)), true, ""),
            "at_least" => (Test::AtLeast(number), is_number, "number"),
            "at_most" => (Test::AtMost(number), is_number, "number"),
            "was_live" => {
                (Test::WasLive(entry.value.text() == Some("true")), is_version, "git_ref")
            }
            _ => return None,
        };
        if !fits {
            let message = format!("`{}` asks about a `{wanted}`, and `{name}` is none", entry.key);
            self.faults.add_with(entry.key_at, message, "compare its words instead");
        }
        Some(test)
    }

    /// A word that the value can never be is a slip.
    fn check_word(
        &mut self,
        entry: &Entry,
        word: &str,
        parameter: Option<&Parameter>,
        names: &Names<'_>,
    ) {
        let known: Vec<&str> = match parameter.map(|parameter| &parameter.kind) {
            None => names.environments.keys().map(String::as_str).collect(),
            Some(ParameterKind::Choice(choices)) => choices.iter().map(String::as_str).collect(),
            Some(_) => return,
        };
        let may_be_empty = parameter.is_some_and(|one| !one.required && one.default.is_none());
        if known.contains(&word) || (word.is_empty() && may_be_empty) {
            return;
        }
        let message = format!("`{}` is never `{word}`", entry.key);
        self.faults.add_with(entry.value.at, message, mean_or_list(word, "choices", &known));
    }
}

/// One word or several.
fn words(node: &Node) -> Vec<String> {
    match node.text() {
        Some(only) => vec![only.to_owned()],
        None => node.items().iter().map(|item| text_of(Some(item))).collect(),
    }
}
