//! Steps and notices: what a template may name, and where an asker's words may not go.

use super::{BUILT_IN_NAMES, Reading, is_true, key_at, localized, text_of};
use crate::config::fault::{Position, mean_or_list};
use crate::config::shape::integer;
use crate::config::tree::{Node, Value};
use crate::core::action::{
    Environment, LocalTemplate, Parameter, STEP_TIMEOUT_DEFAULT_MS, Step, StepKind,
};
use crate::core::duration;
use crate::core::step::output_variable;
use crate::core::template::{Template, TemplateError};
use std::collections::BTreeMap;

/// How long an `http` step keeps asking when the runbook does not say.
const HTTP_WITHIN_DEFAULT_MS: u64 = 60_000;
/// What an `http` step's timeout allows beyond its own `within`.
const HTTP_TIMEOUT_EXTRA_MS: u64 = 10_000;
const HTTP_EXPECT_DEFAULT: u16 = 200;
/// Programs that read the argument after `-c` or `-e` as a script.
const INTERPRETERS: [&str; 15] = [
    "sh", "bash", "dash", "ash", "zsh", "ksh", "fish", "busybox", "python", "python3", "perl",
    "ruby", "node", "bun", "deno",
];
/// Stands for a parameter's value when an address is taken apart.
const ASKED: &str = "\u{1}";

/// What the templates of one action may name.
#[derive(Clone, Copy)]
pub(super) struct Scope<'s> {
    pub parameters: &'s [Parameter],
    /// What steps before this one hand on.
    pub outputs: &'s [String],
    /// Whether that is read here.
    pub takes_outputs: bool,
    pub environments: &'s BTreeMap<String, Environment>,
    pub service: &'s str,
}

impl Scope<'_> {
    pub(super) fn parameter(&self, name: &str) -> Option<&Parameter> {
        self.parameters.iter().find(|parameter| parameter.name == name)
    }

    /// The first name in a template whose value is not the runbook's: a parameter or an output.
    pub(super) fn parameter_in<'t>(&self, template: &'t Template) -> Option<&'t str> {
        template.names().find(|name| self.parameter(name).is_some() || self.is_output(name))
    }

    pub(super) fn is_output(&self, name: &str) -> bool {
        self.outputs.iter().any(|output| output == name)
    }

    /// Every name that a template may use in all environments.
    fn names(&self) -> Vec<&str> {
        let mut names = self.parameters.iter().map(|one| one.name.as_str()).collect::<Vec<_>>();
        if let Some(first) = self.environments.values().next() {
            let everywhere = |name: &&String| self.lacking(name).is_empty();
            names.extend(first.variables.keys().filter(everywhere).map(String::as_str));
        }
        names.extend(self.outputs.iter().map(String::as_str));
        names.extend(BUILT_IN_NAMES);
        names
    }

    /// The environments without this variable.
    fn lacking(&self, name: &str) -> Vec<&str> {
        let without = self.environments.values().filter(|one| !one.variables.contains_key(name));
        without.map(|one| one.name.as_str()).collect()
    }

    fn value<'v>(&'v self, environment: &'v Environment, name: &str) -> Option<&'v str> {
        if self.parameter(name).is_some() {
            return Some(ASKED);
        }
        environment.value(self.service, name)
    }
}

impl Reading<'_> {
    /// `None` where the step has no kind; the grammar has said so.
    pub(super) fn step(&mut self, node: &Node, scope: &Scope<'_>) -> Option<Step> {
        let timeout_ms = milliseconds(node.get("timeout"));
        let reading = Scope { takes_outputs: true, ..*scope };
        let (kind, timeout_default_ms, idempotent_default) = if let Some(argv) = node.get("run") {
            (self.argv(argv, &reading), STEP_TIMEOUT_DEFAULT_MS, false)
        } else if let Some(logs) = node.get("logs") {
            (self.logs(logs, scope)?, STEP_TIMEOUT_DEFAULT_MS, true)
        } else if let Some(journal) = node.get("journal") {
            (self.journal(journal, scope)?, STEP_TIMEOUT_DEFAULT_MS, true)
        } else {
            let http = node.get("http")?;
            let within_ms = milliseconds(http.get("within")).unwrap_or(HTTP_WITHIN_DEFAULT_MS);
            if timeout_ms.is_some_and(|timeout_ms| timeout_ms < within_ms) {
                let message = format!(
                    "the step is stopped before its `within` of {} is over",
                    duration::spell(within_ms)
                );
                let way = "leave `timeout` out: it is `within` and 10s more";
                self.faults.add_with(key_at(node, "timeout"), message, way);
            }
            let timeout_ms = within_ms.saturating_add(HTTP_TIMEOUT_EXTRA_MS);
            (self.http(http, scope, within_ms)?, timeout_ms, true)
        };
        let is_idempotent =
            node.get("idempotent").map_or(idempotent_default, |one| is_true(Some(one)));
        Some(Step {
            name: localized(node.get("name")),
            kind,
            timeout_ms: timeout_ms.unwrap_or(timeout_default_ms),
            idempotent: is_idempotent,
            leaves_processes: is_true(node.get("leaves_processes")),
            always: is_true(node.get("always")),
            when: node.get("when").and_then(|when| self.when(when, &reading)),
            retry: self.retry(node, is_idempotent),
            outputs: self.outputs(node.get("outputs"), scope),
            user: node.get("user").and_then(Node::text).map(str::to_owned),
        })
    }

    fn argv(&mut self, section: &Node, scope: &Scope<'_>) -> StepKind {
        let items = section.items();
        let mut argv = Vec::new();
        for (index, item) in items.iter().enumerate() {
            let Some(template) = self.template(item, scope) else { continue };
            if let Some(name) = scope.parameter_in(&template) {
                let at = place_of_name(item, name);
                if index == 0 {
                    let who = if scope.is_output(name) { "another step" } else { "the asker" };
                    let message = format!("`{name}` would let {who} choose the program");
                    let way = "name the program in the runbook; use a choice of actions instead";
                    self.faults.add_with(at, message, way);
                } else if is_script(&items[..index]) {
                    let message =
                        format!("a program would read the value of `{name}` as its script");
                    let way = format!(
                        "hand it over as an argument: [sh, -c, 'echo \"$1\"', sh, \"{{{name}}}\"]"
                    );
                    self.faults.add_with(at, message, way);
                }
            }
            argv.push(template);
        }
        if let Some(program) = items.first().filter(|program| program.text() == Some("")) {
            self.faults.add(program.at, "the program's name is empty");
        }
        StepKind::Run { argv }
    }

    fn http(&mut self, node: &Node, scope: &Scope<'_>, within_ms: u64) -> Option<StepKind> {
        let contains = node.get("contains").and_then(|text| self.template(text, scope));
        let url = node.get("url").and_then(|url| {
            let template = self.template(url, scope)?;
            self.check_url(url, &template, scope);
            Some(template)
        });
        let expect = match node.get("expect").map(|expect| &expect.value) {
            Some(Value::Scalar(scalar)) => {
                integer(scalar).and_then(|code| u16::try_from(code).ok())
            }
            _ => None,
        };
        let expect = expect.unwrap_or(HTTP_EXPECT_DEFAULT);
        Some(StepKind::Http { url: url?, expect, contains, within_ms })
    }

    /// The scheme and the host are the runbook's in every environment.
    fn check_url(&mut self, node: &Node, template: &Template, scope: &Scope<'_>) {
        for environment in scope.environments.values() {
            let Ok(url) = template.expand(|name| scope.value(environment, name)) else { continue };
            let rest = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"));
            let host = rest.map(|rest| rest.split(['/', '?', '#']).next().unwrap_or_default());
            let message = match host {
                None if url.starts_with(ASKED) => "the asker would choose the address".to_owned(),
                None => format!("in {} this is not an http or https address", environment.name),
                Some("") => format!("in {} the address has no host", environment.name),
                Some(host) if host.contains(ASKED) => {
                    "the asker would choose the address's host".to_owned()
                }
                Some(_) => continue,
            };
            let way = "for example: \"http://127.0.0.1:3000/health\"";
            self.faults.add_with(node.at, message, way);
            return;
        }
    }

    pub(super) fn notice(
        &mut self,
        node: Option<&Node>,
        scope: &Scope<'_>,
    ) -> Option<LocalTemplate> {
        let node = node?;
        if matches!(node.value, Value::Map(_)) {
            let zh = node.get("zh").and_then(|zh| self.template(zh, scope));
            let en = node.get("en").and_then(|en| self.template(en, scope));
            return Some(LocalTemplate { zh: zh?, en: en? });
        }
        let both = self.template(node, scope)?;
        Some(LocalTemplate { zh: both.clone(), en: both })
    }

    /// Takes a string apart and checks its names.
    pub(super) fn template(&mut self, node: &Node, scope: &Scope<'_>) -> Option<Template> {
        let text = node.text()?;
        let template = match Template::parse(text) {
            Ok(template) => template,
            Err(error) => {
                self.brace_fault(node, text, &error);
                return None;
            }
        };
        let mut seen = Vec::new();
        for name in template.names() {
            if !seen.contains(&name) {
                seen.push(name);
                self.check_name(node, name, scope);
            }
        }
        Some(template)
    }

    fn brace_fault(&mut self, node: &Node, text: &str, error: &TemplateError) {
        let (byte, message, brace) = match error {
            TemplateError::Unclosed(byte) => (*byte, "`{` is never closed".to_owned(), "{{"),
            TemplateError::Unopened(byte) => (*byte, "`}` closes nothing".to_owned(), "}}"),
            TemplateError::BadName(name) => {
                let byte = text.find(&format!("{{{name}}}")).unwrap_or_default();
                let message = format!("`{{{name}}}` is not a name: use letters, digits and `_`");
                (byte, message, "{{")
            }
        };
        let way = format!("double a brace that is meant as itself: `{brace}`");
        self.faults.add_with(node.place_in_text(byte), message, way);
    }

    fn check_name(&mut self, node: &Node, name: &str, scope: &Scope<'_>) {
        let at = place_of_name(node, name);
        if let Some(parameter) = scope.parameter(name) {
            if !parameter.required && parameter.default.is_none() {
                let message = format!("`{name}` may be left out, and then nothing can stand here");
                let way = "give the parameter a `default`, or `required: true`";
                self.faults.add_with(at, message, way);
            }
            return;
        }
        if scope.is_output(name) {
            if !scope.takes_outputs {
                let message =
                    format!("`{name}` is an output, and only `run` and `when` read outputs");
                let way = format!("let a program read it: ${}", output_variable(name));
                self.faults.add_with(at, message, way);
            }
            return;
        }
        if BUILT_IN_NAMES.contains(&name) || scope.environments.is_empty() {
            return;
        }
        let lacking = scope.lacking(name);
        if lacking.is_empty() {
            return;
        }
        if scope.environments.values().any(|one| one.secrets.contains_key(name)) {
            let message = format!("`{name}` is a secret; it would stand in the list of processes");
            let way = format!("the program finds it in its environment as ${name}");
            return self.faults.add_with(at, message, way);
        }
        if lacking.len() < scope.environments.len() {
            let message = format!("environment {} has no variable `{name}`", lacking.join(", "));
            return self.faults.add_with(at, message, "add it there, under `variables`");
        }
        let message = format!("`{name}` is neither a parameter nor a variable");
        self.faults.add_with(at, message, mean_or_list(name, "names here", &scope.names()));
    }
}

/// Whether the element after these is a script: `[…, bash, -c, <here>`, `[env, sh, -ec, <here>`.
fn is_script(before: &[Node]) -> bool {
    let words = before.iter().filter_map(Node::text).collect::<Vec<_>>();
    let Some((flag, programs)) = words.split_last() else { return false };
    let takes_script =
        flag.starts_with('-') && !flag.starts_with("--") && flag.contains(['c', 'e']);
    takes_script
        && programs.iter().any(|word| {
            let program = word.rsplit('/').next().unwrap_or_default();
            INTERPRETERS.contains(&program)
        })
}

/// Where `{name}` stands in the file.
pub(super) fn place_of_name(node: &Node, name: &str) -> Position {
    let text = text_of(Some(node));
    node.place_in_text(text.find(&format!("{{{name}}}")).unwrap_or_default())
}

pub(super) fn milliseconds(node: Option<&Node>) -> Option<u64> {
    node.and_then(Node::text).and_then(duration::parse)
}
