//! What a step's policy and an action's `on_failure` say: conditions, retries, outputs, and what follows
//! a failure.

use super::steps::{Scope, milliseconds};
use super::{BUILT_IN_NAMES, Reading, entries, key_at, text_of};
use crate::config::fault::mean_or_list;
use crate::config::shape::integer;
use crate::config::tree::{Entry, Node, Value};
use crate::core::action::{Action, OnFailure, Parameter, ParameterKind, Step};
use crate::core::param;
use crate::core::plan::LIVE_VERSION;
use crate::core::step::{Retry, When};
use crate::core::template::Template;
use std::collections::BTreeMap;

/// The pause before another try where the runbook does not say.
const RETRY_DELAY_DEFAULT_MS: u64 = 5_000;

impl Reading<'_> {
    pub(super) fn when(&mut self, node: &Node, scope: &Scope<'_>) -> Option<When> {
        let value = node.get("value")?;
        // A parameter that may be left out is empty here, so any declared one will do.
        let given: Vec<Parameter> = scope
            .parameters
            .iter()
            .map(|parameter| Parameter { required: true, ..parameter.clone() })
            .collect();
        let template = self.template(value, &Scope { parameters: &given, ..*scope })?;
        if template.names().next().is_none() {
            let message = "this compares the same words every time";
            self.faults.add_with(value.at, message, "name what is compared: \"{mode}\"");
        }
        let (words, is_one) = match (node.get("is"), node.get("is_not"), node.get("is_one_of")) {
            (Some(word), ..) => (vec![text_of(Some(word))], true),
            (_, Some(word), _) => (vec![text_of(Some(word))], false),
            (.., list) => {
                let items = list.map_or(&[][..], Node::items);
                (items.iter().map(|item| text_of(Some(item))).collect(), true)
            }
        };
        self.check_words(node, &template, &words, scope);
        Some(When { shown: template.shown(), value: template, words, is_one })
    }

    /// A choice that can never be one of the words is a slip.
    fn check_words(
        &mut self,
        node: &Node,
        template: &Template,
        words: &[String],
        scope: &Scope<'_>,
    ) {
        let mut names = template.names();
        let (Some(name), None) = (names.next(), names.next()) else { return };
        let is_bare = template.shown() == format!("{{{name}}}");
        let Some(Parameter { kind: ParameterKind::Choice(choices), required, default, .. }) =
            scope.parameter(name).filter(|_| is_bare)
        else {
            return;
        };
        let may_be_empty = !required && default.is_none();
        let can_be = |word: &&String| choices.contains(word) || (word.is_empty() && may_be_empty);
        for word in words.iter().filter(|word| !can_be(word)) {
            let known = choices.iter().map(String::as_str).collect::<Vec<_>>();
            let message = format!("`{name}` is never `{word}`");
            self.faults.add_with(node.at, message, mean_or_list(word, "choices", &known));
        }
    }

    /// Only a step that may be done twice is tried again.
    pub(super) fn retry(&mut self, step: &Node, is_idempotent: bool) -> Option<Retry> {
        let node = step.get("retry")?;
        if !is_idempotent {
            let message = "a step that is not `idempotent` is never tried again by itself";
            let way = "say `idempotent: true` if doing it twice is the same as once; else leave \
                       `retry` out, and a person decides";
            self.faults.add_with(key_at(step, "retry"), message, way);
        }
        let number = |key: &str, default: u32| match node.get(key).map(|node| &node.value) {
            Some(Value::Scalar(scalar)) => {
                integer(scalar).and_then(|number| u32::try_from(number).ok()).unwrap_or(default)
            }
            _ => default,
        };
        Some(Retry {
            times: number("times", 1),
            delay_ms: milliseconds(node.get("delay")).unwrap_or(RETRY_DELAY_DEFAULT_MS),
            backoff: number("backoff", 1),
        })
    }

    /// An output's name means one thing in the whole action.
    pub(super) fn outputs(&mut self, node: Option<&Node>, scope: &Scope<'_>) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        for item in node.map_or(&[][..], Node::items) {
            let Some(name) = item.text() else { continue };
            let taken = if scope.parameter(name).is_some() {
                "a parameter"
            } else if scope.is_output(name) || names.iter().any(|one| one == name) {
                "an output already"
            } else if BUILT_IN_NAMES.contains(&name)
                || scope.environments.values().any(|one| one.variables.contains_key(name))
            {
                "a name that templates have already"
            } else {
                names.push(name.to_owned());
                continue;
            };
            let message = format!("`{name}` is {taken}");
            self.faults.add_with(item.at, message, "choose another name");
        }
        names
    }

    pub(super) fn on_failure(
        &mut self,
        node: &Node,
        scope: &Scope<'_>,
        steps: &[Step],
    ) -> OnFailure {
        let mut arguments = BTreeMap::new();
        let live = [LIVE_VERSION.to_owned()];
        // What is live is no output, but it is known as late, and read here.
        let scope = Scope { outputs: &live, takes_outputs: true, ..*scope };
        for entry in entries(node.get("with")) {
            if let Some(template) = self.template(&entry.value, &scope) {
                arguments.insert(entry.key.clone(), template);
            }
        }
        let from_step = node.get("from_step").map_or(0, |name| self.step_named(name, steps));
        OnFailure { action: text_of(node.get("action")), arguments, from_step }
    }

    /// A step by its name in either language, so that adding one before it changes nothing.
    fn step_named(&mut self, node: &Node, steps: &[Step]) -> usize {
        let name = text_of(Some(node));
        let found = steps.iter().position(|step| step.name.zh == name || step.name.en == name);
        found.unwrap_or_else(|| {
            let known = steps.iter().map(|step| step.name.en.as_str()).collect::<Vec<_>>();
            let message = format!("there is no step `{name}`");
            self.faults.add_with(node.at, message, mean_or_list(&name, "steps", &known));
            0
        })
    }

    /// What follows a failure exists, gets what it needs, and is not the action itself.
    pub(super) fn check_follow_up(&mut self, entry: &Entry, actions: &BTreeMap<String, Action>) {
        let Some(node) = entry.value.get("on_failure") else { return };
        let Some(name) = node.get("action") else { return };
        let (at, wanted) = (name.at, text_of(Some(name)));
        let others = actions.keys().filter(|one| **one != entry.key).map(String::as_str);
        let others = others.collect::<Vec<_>>();
        let Some(action) = actions.get(&wanted).filter(|_| wanted != entry.key) else {
            let message = if wanted == entry.key {
                "an action cannot follow its own failure".to_owned()
            } else {
                format!("there is no action `{wanted}`")
            };
            return self.faults.add_with(at, message, mean_or_list(&wanted, "actions", &others));
        };
        for given in entries(node.get("with")) {
            let Some(parameter) = action.parameters.iter().find(|one| one.name == given.key) else {
                let known = action.parameters.iter().map(|one| one.name.as_str());
                let known = known.collect::<Vec<_>>();
                let message = format!("`{wanted}` has no parameter `{}`", given.key);
                let way = mean_or_list(&given.key, "parameters", &known);
                self.faults.add_with(given.key_at, message, way);
                continue;
            };
            self.check_given(parameter, given);
        }
        for parameter in &action.parameters {
            let is_given = entries(node.get("with")).any(|given| given.key == parameter.name);
            if parameter.required && parameter.default.is_none() && !is_given {
                let message = format!("`{wanted}` needs `{}`", parameter.name);
                let way = format!("give it: `with: {{{}: …}}`", parameter.name);
                self.faults.add_with(at, message, way);
            }
        }
    }

    /// A value that holds no name is known now.
    fn check_given(&mut self, parameter: &Parameter, given: &Entry) {
        let text = text_of(Some(&given.value));
        let Ok(template) = Template::parse(&text) else { return };
        let Ok(value) = template.expand(|_| None) else { return };
        let values = BTreeMap::from([(parameter.name.clone(), value)]);
        if let Err(fault) = param::from_values(std::slice::from_ref(parameter), &values) {
            self.faults.add(given.value.at, fault.text().en);
        }
    }
}
