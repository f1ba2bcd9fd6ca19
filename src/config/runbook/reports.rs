//! Steps that report: where a log may be read, and how far back.

use super::steps::{Scope, place_of_name};
use super::{Reading, text_of};
use crate::config::tree::Node;
use crate::core::action::{AccessFormat, ParameterKind, StepKind};
use crate::core::param::duration_ms;
use crate::core::template::Template;

/// How far a report looks back when the runbook does not say.
const WINDOW_DEFAULT: &str = "24h";
/// Stands for an asker's duration.
const ASKED_WINDOW: &str = "1h";

impl Reading<'_> {
    /// `None` where the report has faults.
    pub(super) fn journal(&mut self, node: &Node, scope: &Scope<'_>) -> Option<StepKind> {
        Some(StepKind::Journal { window: self.window(node, scope)? })
    }

    /// `None` where the report has faults.
    pub(super) fn logs(&mut self, node: &Node, scope: &Scope<'_>) -> Option<StepKind> {
        let mut files = Vec::new();
        for item in node.get("files").map_or(&[][..], Node::items) {
            let Some(template) = self.template(item, scope) else { continue };
            self.check_file(item, &template, scope);
            files.push(template);
        }
        let format = node.get("format").and_then(Node::text).and_then(AccessFormat::parse);
        Some(StepKind::Logs {
            files,
            window: self.window(node, scope)?,
            format: format.unwrap_or(AccessFormat::Combined),
            sign_in: text_of(node.get("sign_in")),
        })
    }

    /// The files are the runbook's, never an asker's; only the last part is a pattern.
    fn check_file(&mut self, node: &Node, template: &Template, scope: &Scope<'_>) {
        if let Some(name) = scope.parameter_in(template) {
            let message = format!("`{name}` would let the asker choose the file");
            let way = "name the files in the runbook, or in a variable of each environment";
            return self.faults.add_with(place_of_name(node, name), message, way);
        }
        for environment in scope.environments.values() {
            let value = |name: &str| environment.value(scope.service, name);
            let Ok(path) = template.expand(value) else { continue };
            if path.rsplit_once('/').is_some_and(|(folder, _)| folder.contains(['*', '?'])) {
                let message = "`*` and `?` stand for something only behind the last `/`";
                let way = "list the folders one by one";
                return self.faults.add_with(node.at, message, way);
            }
        }
    }

    /// A duration in every environment, whatever an asker gives.
    fn window(&mut self, report: &Node, scope: &Scope<'_>) -> Option<Template> {
        let Some(node) = report.get("window") else { return Template::parse(WINDOW_DEFAULT).ok() };
        let template = self.template(node, scope)?;
        for environment in scope.environments.values() {
            let value = |name: &str| match scope.parameter(name).map(|one| &one.kind) {
                Some(ParameterKind::Duration) => Some(ASKED_WINDOW),
                Some(_) => Some(""),
                None => environment.value(scope.service, name),
            };
            let Ok(window) = template.expand(value) else { continue };
            if duration_ms(&window).is_none() {
                let message = "this is not a duration of at most 366 days";
                let way = "write one such as 24h, or name a parameter of `type: duration`";
                self.faults.add_with(node.at, message, way);
                return None;
            }
        }
        Some(template)
    }
}
