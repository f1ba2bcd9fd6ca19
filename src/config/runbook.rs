//! The runbook: YAML in, [`Runbook`] out, or every fault at once.
//!
//! `grammar` says which keys there are and how they are spelt; here names are resolved: roles exist,
//! one environment is the default, parameters come in an order that people can type.

mod checklists;
mod contacts;
mod freezes;
mod gates;
pub(super) mod grammar;
mod machine;
mod parameters;
mod policy;
mod reports;
mod rules;
mod steps;

pub use machine::check_machine;

use super::fault::{Fault, Faults, Position};
use super::settings::{OWN_SECRETS, has_own_prefix};
use super::tree::{self, Entry, FILE_BYTES_MAX, Node, Value};
use crate::core::action::{
    Action, Environment, Lock, Member, Notices, Role, Runbook, SecretSource,
};
use crate::core::duration;
use crate::core::id::{ChannelId, UserId};
use crate::core::text::{Lang, Text};
use checklists::Checklists;
use serde_json::{Value as Json, json};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use steps::Scope;

/// Chat verbs that the bot has of its own: no action can take their names.
pub const BUILT_IN_VERBS: [&str; 28] = [
    "status",
    "show",
    "help",
    "settle",
    "unlock",
    "runs",
    "results",
    "whoami",
    "why",
    "audit",
    "approve",
    "reject",
    "cancel",
    "retry",
    "logs",
    "plan",
    "check",
    "oncall",
    "alerts",
    "alert",
    "silence",
    "contacts",
    "compliance",
    "review",
    "delegate",
    "freeze",
    "tick",
    "recheck",
];
/// Names that every template knows without declaring them.
pub const BUILT_IN_NAMES: [&str; 3] = ["environment", "service", "workdir"];

/// Reads a runbook from a file.
///
/// # Errors
/// Every fault of the file, or the one that it cannot be read.
pub fn load(path: &Path) -> Result<Runbook, Vec<Fault>> {
    let name = path.display().to_string();
    let bytes = read_bounded(path).map_err(|error| {
        let fault = Fault::whole(name.clone(), format!("the runbook cannot be read: {error}"));
        vec![fault.suggest("name the right file with NEOSTOCK_RUNBOOK or the setting `runbook`")]
    })?;
    parse(&name, &bytes)
}

/// Reads a runbook from bytes. `file_name` stands in the faults, and relative paths in the runbook
/// start at its folder.
///
/// # Errors
/// Every fault of the file, in its order.
pub fn parse(file_name: &str, bytes: &[u8]) -> Result<Runbook, Vec<Fault>> {
    let mut faults = Faults::new(file_name);
    let Some(root) = tree::parse(bytes, &mut faults) else {
        return Err(faults.finish());
    };
    grammar::ROOT.check(&root, &mut faults);
    let folder = Path::new(file_name).parent().unwrap_or(Path::new(""));
    let runbook = Reading { folder, faults: &mut faults }.runbook(&root, bytes);
    if faults.is_empty() { Ok(runbook) } else { Err(faults.finish()) }
}

/// The JSON Schema (draft 2020-12) of a runbook, from the same description that checks it.
pub fn schema() -> Json {
    let mut schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "NeoStock Ops runbook",
    });
    if let (Json::Object(outer), Json::Object(inner)) = (&mut schema, grammar::ROOT.schema()) {
        outer.extend(inner);
    }
    schema
}

/// One byte more than is allowed, so that the reader of the bytes can tell.
pub(super) fn read_bounded(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(FILE_BYTES_MAX as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Turns a checked tree into values. Where the tree has faults the values are makeshift and only
/// serve to find more faults.
struct Reading<'r> {
    folder: &'r Path,
    faults: &'r mut Faults,
}

impl Reading<'_> {
    fn runbook(&mut self, root: &Node, bytes: &[u8]) -> Runbook {
        let service = text_of(root.get("service"));
        let language = match root.get("language").and_then(Node::text) {
            Some("en") => Lang::En,
            _ => Lang::Zh,
        };
        let environments = self.environments(root.entry("environments"));
        let roles: BTreeMap<_, _> = entries(root.get("roles")).map(role).collect();
        let mut lists = Checklists::new(root.get("checklists"));
        let mut actions = BTreeMap::new();
        for entry in entries(root.get("actions")) {
            let action = self.action(entry, &roles, (&environments, &service), &mut lists);
            actions.insert(entry.key.clone(), action);
        }
        for entry in entries(root.get("actions")) {
            self.check_follow_up(entry, &actions);
        }
        let emergency = root.entry("emergency");
        let emergency = emergency.map(|entry| self.emergency(entry, &roles, &actions));
        let names =
            freezes::Names { environments: &environments, roles: &roles, actions: &actions };
        let freezes = self.freezes(root.get("freezes"), &names);
        let contacts = self.contacts(root.get("contacts"), &roles);
        let migrations = root.get("migrations").and_then(|node| self.in_repository(node));
        let checklists = self.checklists(lists);
        let digest = hex::encode(Sha256::digest(bytes));
        let logins = logins(root.get("command_line"));
        Runbook {
            service,
            language,
            environments,
            roles,
            actions,
            checklists,
            migrations,
            emergency,
            freezes,
            contacts,
            logins,
            digest,
        }
    }

    fn environments(&mut self, section: Option<&Entry>) -> BTreeMap<String, Environment> {
        let mut environments = BTreeMap::new();
        let mut first_default: Option<&Entry> = None;
        for entry in entries(section.map(|section| &section.value)) {
            let environment = self.environment(entry);
            match (environment.default, first_default) {
                (true, None) => first_default = Some(entry),
                (true, Some(first)) => {
                    let at = entry.value.entry("default").map_or(entry.key_at, |key| key.key_at);
                    let message = format!("`{}` is the default environment already", first.key);
                    self.faults.add_with(at, message, "keep `default: true` in one of them");
                }
                (false, _) => {}
            }
            environments.insert(entry.key.clone(), environment);
        }
        if let (1, Some(only)) = (environments.len(), environments.values_mut().next()) {
            only.default = true;
        } else if let (None, Some(section)) = (first_default, section)
            && section.value.entries().iter().all(|one| !claims_default(&one.value))
        {
            let message = "none of several environments is the default";
            let way = "add `default: true` to the one that a request without `env=` means";
            self.faults.add_with(section.key_at, message, way);
        }
        environments
    }

    fn environment(&mut self, entry: &Entry) -> Environment {
        let node = &entry.value;
        let mut variables = BTreeMap::new();
        for variable in entries(node.get("variables")) {
            self.check_variable_name(variable);
            variables.insert(variable.key.clone(), text_of(Some(&variable.value)));
        }
        let mut secrets = BTreeMap::new();
        for secret in entries(node.get("secrets")) {
            self.check_variable_name(secret);
            if variables.contains_key(&secret.key) {
                let message = format!("`{}` is a variable of this environment too", secret.key);
                self.faults.add_with(secret.key_at, message, "remove or rename one of the two");
            }
            if let Some(source) = self.secret_source(&secret.value) {
                secrets.insert(secret.key.clone(), source);
            }
        }
        Environment {
            name: entry.key.clone(),
            workdir: self.path(node.get("workdir")),
            default: is_true(node.get("default")),
            protected: is_true(node.get("protected")),
            channel: ChannelId::new(text_of(node.get("channel"))),
            host: node.get("host").and_then(Node::text).map(str::to_owned),
            variables,
            secrets,
        }
    }

    /// The loader's variables change which code runs; `NEOSTOCK_*` is the bot's own.
    fn check_variable_name(&mut self, variable: &Entry) {
        let name = variable.key.as_str();
        let message = if name.starts_with("LD_") {
            format!("`{name}` would change which code every program loads")
        } else if has_own_prefix(name) {
            format!("`{name}`: names that begin with NEOSTOCK_ are the bot's own")
        } else if BUILT_IN_NAMES.contains(&name) {
            format!("`{name}` is a name that templates have already")
        } else {
            return;
        };
        self.faults.add_with(variable.key_at, message, "choose another name");
    }

    fn secret_source(&mut self, node: &Node) -> Option<SecretSource> {
        if let Some(name) = node.get("env").and_then(Node::text) {
            if OWN_SECRETS.contains(&name) {
                let at = node.get("env").map_or(node.at, |env| env.at);
                let message = format!("`{name}` is the bot's own secret; no step may see it");
                self.faults.add_with(at, message, "name another variable: NEOSTOCK_SECRET_…");
            }
            return Some(SecretSource::Env(name.to_owned()));
        }
        node.get("file").map(|file| SecretSource::File(self.path(Some(file))))
    }

    /// A folder of the repository, from its top.
    fn in_repository(&mut self, node: &Node) -> Option<String> {
        let folder = node.text()?;
        let is_outside = folder.starts_with('/') || folder.split('/').any(|part| part == "..");
        if is_outside {
            let message = format!("`{folder}` does not lie in the repository");
            self.faults.add_with(node.at, message, "write the folder from the repository's top");
        }
        Some(folder.trim_end_matches('/').to_owned())
    }

    fn path(&mut self, node: Option<&Node>) -> PathBuf {
        let Some((node, text)) = node.and_then(|node| Some((node, node.text()?))) else {
            return PathBuf::new();
        };
        if text.starts_with('~') {
            let message = "`~` is a shell's abbreviation and not a path";
            self.faults.add_with(node.at, message, "write the whole path");
        }
        let path = self.folder.join(text);
        std::path::absolute(&path).unwrap_or(path)
    }

    fn action(
        &mut self,
        entry: &Entry,
        roles: &BTreeMap<String, Role>,
        (environments, service): (&BTreeMap<String, Environment>, &str),
        lists: &mut Checklists<'_>,
    ) -> Action {
        let node = &entry.value;
        if BUILT_IN_VERBS.contains(&entry.key.as_str()) {
            let message = format!("`{}` is a command that the bot has already", entry.key);
            let way = format!("choose another name, such as `{}-service`", entry.key);
            self.faults.add_with(entry.key_at, message, way);
        }
        let parameters = self.parameters(node.get("parameters"), environments);
        let role = node.get("role");
        self.check_role(role, roles);
        let approval = node.get("approval").map(|node| self.approval(node, roles));
        let makes_live = self.makes_live(node.get("makes_live"), &parameters);
        let mut outputs = Vec::new();
        let scope = Scope {
            parameters: &parameters,
            outputs: &[],
            takes_outputs: false,
            environments,
            service,
        };
        let checklist = self.checklist(node.get("checklist"), lists, (&scope, roles));
        let rule_names = rules::Names { parameters: &parameters, environments, roles, scope };
        let terms = self.rules(node.get("rules"), &rule_names, lists);
        if node.get("steps").is_none() && checklist.is_none() {
            let message = "this action does nothing";
            let way = "give it `steps`, or a `checklist` that is all there is to do";
            self.faults.add_with(entry.key_at, message, way);
        }
        let mut steps = Vec::new();
        for node in node.get("steps").map_or(&[][..], Node::items) {
            let Some(step) = self.step(node, &Scope { outputs: &outputs, ..scope }) else {
                continue;
            };
            outputs.extend_from_slice(&step.outputs);
            steps.push(step);
        }
        let on_failure = node.get("on_failure").map(|node| self.on_failure(node, &scope, &steps));
        let notices = node.get("notices");
        let mut notice = |key| self.notice(notices.and_then(|notices| notices.get(key)), &scope);
        let notices = Notices { succeeded: notice("succeeded"), failed: notice("failed") };
        let lock = match node.get("lock").and_then(Node::text) {
            Some("none") => Lock::None,
            _ => Lock::Environment,
        };
        if makes_live.is_some() && lock == Lock::None {
            let way = "leave `lock` out, or leave `makes_live` out";
            let message = "what makes a version live must hold its environment";
            self.faults.add_with(key_at(node, "lock"), message, way);
        }
        Action {
            name: entry.key.clone(),
            summary: localized(node.get("summary")),
            parameters,
            role: text_of(role),
            role_line: key_at(node, "role").line,
            approval,
            checklist,
            rules: terms,
            makes_live,
            on_failure,
            lock,
            steps,
            notices,
        }
    }
}

fn role(entry: &Entry) -> (String, Role) {
    let members = entry.value.get("members").map_or(&[][..], Node::items);
    let members = members.iter().filter_map(Node::text).map(|member| match member {
        "everyone" => Member::Everyone,
        group if group.starts_with('S') => Member::Group(group.to_owned()),
        user => Member::User(user.to_owned()),
    });
    let (name, line) = (entry.key.clone(), entry.key_at.line);
    let max_age_ms = entry.value.get("max_age").and_then(Node::text).and_then(duration::parse);
    (name.clone(), Role { name, members: members.collect(), max_age_ms, line })
}

/// Who each system user is. The same login twice is a fault of the tree already.
fn logins(node: Option<&Node>) -> BTreeMap<String, UserId> {
    entries(node.and_then(|node| node.get("users")))
        .map(|entry| (entry.key.clone(), UserId::new(text_of(Some(&entry.value)))))
        .collect()
}

fn entries(node: Option<&Node>) -> impl Iterator<Item = &Entry> {
    node.map_or(&[][..], Node::entries).iter()
}

fn text_of(node: Option<&Node>) -> String {
    node.and_then(Node::text).unwrap_or_default().to_owned()
}

fn is_true(node: Option<&Node>) -> bool {
    node.and_then(Node::text) == Some("true")
}

/// Whether an environment has a `default` that is not a plain `false`, however misspelt.
fn claims_default(environment: &Node) -> bool {
    environment.get("default").is_some_and(|default| default.text() != Some("false"))
}

fn localized(node: Option<&Node>) -> Text {
    match node {
        Some(node) if matches!(node.value, Value::Map(_)) => {
            Text::new(text_of(node.get("zh")), text_of(node.get("en")))
        }
        other => Text::same(text_of(other)),
    }
}

/// Where a key stands, or else its map.
fn key_at(node: &Node, key: &str) -> Position {
    node.entry(key).map_or(node.at, |entry| entry.key_at)
}

#[cfg(test)]
mod tests;
