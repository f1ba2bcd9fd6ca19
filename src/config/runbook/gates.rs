//! What must hold before a run starts, and what holds after it: roles that exist, approvals that can be
//! given, a version that becomes live.

use super::steps::milliseconds;
use super::{Reading, is_true, key_at, text_of};
use crate::config::fault::mean_or_list;
use crate::config::tree::{Entry, Node};
use crate::core::action::{
    APPROVAL_EXPIRES_DEFAULT_MS, Action, Approval, Emergency, Member, Parameter, ParameterKind,
    Role,
};
use crate::core::param::REASON;
use std::collections::BTreeMap;

/// Approvals wanted where the runbook does not say how many.
const APPROVALS_DEFAULT: u32 = 1;

impl Reading<'_> {
    pub(super) fn check_role(&mut self, node: Option<&Node>, roles: &BTreeMap<String, Role>) {
        if let Some((at, name)) = node.and_then(|role| Some((role.at, role.text()?)))
            && !roles.contains_key(name)
        {
            let known = roles.keys().map(String::as_str).collect::<Vec<_>>();
            let message = format!("there is no role `{name}`");
            self.faults.add_with(at, message, mean_or_list(name, "roles", &known));
        }
    }

    /// An approval that nobody could ever complete is a fault.
    pub(super) fn approval(&mut self, node: &Node, roles: &BTreeMap<String, Role>) -> Approval {
        let given = node.get("count").and_then(Node::text).and_then(|count| count.parse().ok());
        let count: u32 = given.unwrap_or(APPROVALS_DEFAULT);
        let from = node.get("from");
        let from = match from.map(Node::items) {
            Some(items) if from.and_then(Node::text).is_none() => {
                self.several_roles(node, items, (given, count), roles)
            }
            _ => {
                self.check_role(from, roles);
                self.check_enough(node, &text_of(from), count, roles);
                vec![text_of(from)]
            }
        };
        Approval {
            from,
            count,
            allows_self: is_true(node.get("self")),
            expires_ms: milliseconds(node.get("expires")).unwrap_or(APPROVAL_EXPIRES_DEFAULT_MS),
            reuse_ms: milliseconds(node.get("reuse")),
        }
    }

    /// So many of several roles.
    fn several_roles(
        &mut self,
        node: &Node,
        items: &[Node],
        (given, count): (Option<u32>, u32),
        roles: &BTreeMap<String, Role>,
    ) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        for item in items {
            self.check_role(Some(item), roles);
            let name = text_of(Some(item));
            if names.contains(&name) {
                self.faults.add(item.at, format!("`{name}` is here twice"));
            }
            names.push(name);
        }
        let of = names.len();
        if given.is_none() {
            let message = "of several roles, how many must approve is to be said";
            let way = format!("add `count: {of}` for all of them, or a smaller number");
            self.faults.add_with(node.at, message, way);
        } else if count as usize > of {
            let message =
                format!("{count} approvals are asked of {of} roles, each of which counts once");
            self.faults.add_with(key_at(node, "count"), message, "lower `count`, or add roles");
        }
        names
    }

    /// People who are named by id can be counted.
    fn check_enough(
        &mut self,
        node: &Node,
        from: &str,
        count: u32,
        roles: &BTreeMap<String, Role>,
    ) {
        let members = roles.get(from).map_or(&[][..], |role| &role.members);
        let is_bounded = members.iter().all(|member| matches!(member, Member::User(_)));
        if is_bounded && !members.is_empty() && members.len() < count as usize {
            let message =
                format!("{count} approvals are asked of `{from}`, which names {}", members.len());
            let way = "lower `count`, or add members to the role";
            self.faults.add_with(key_at(node, "count"), message, way);
        }
    }

    /// Whoever breaks the glass says why.
    pub(super) fn emergency(
        &mut self,
        entry: &Entry,
        roles: &BTreeMap<String, Role>,
        actions: &BTreeMap<String, Action>,
    ) -> Emergency {
        let node = &entry.value;
        let (role, review) = (node.get("role"), node.get("review"));
        self.check_role(role, roles);
        self.check_role(review, roles);
        let mut named: Vec<String> = Vec::new();
        for item in node.get("actions").map_or(&[][..], Node::items) {
            let Some(name) = item.text() else { continue };
            let is_reason = |one: &Parameter| one.name == REASON && one.kind == ParameterKind::Text;
            match actions.get(name) {
                None => {
                    let known = actions.keys().map(String::as_str).collect::<Vec<_>>();
                    let message = format!("there is no action `{name}`");
                    self.faults.add_with(item.at, message, mean_or_list(name, "actions", &known));
                }
                Some(action) if !action.parameters.iter().any(is_reason) => {
                    let message =
                        format!("`{name}` has no parameter in which an emergency says why");
                    let way = "give it one: `reason: {type: text}`";
                    self.faults.add_with(item.at, message, way);
                }
                Some(_) => {}
            }
            named.push(name.to_owned());
        }
        Emergency {
            role: text_of(role),
            actions: named,
            review: text_of(review),
            line: entry.key_at.line,
        }
    }

    pub(super) fn makes_live(
        &mut self,
        node: Option<&Node>,
        parameters: &[Parameter],
    ) -> Option<String> {
        let name = node?.text()?;
        let named = parameters.iter().find(|parameter| parameter.name == name);
        if !named.is_some_and(|one| one.kind == ParameterKind::GitRef && one.required) {
            let message = format!("`{name}` is not a required parameter of `type: git_ref`");
            let way = "name the parameter that holds the version: `makes_live: version`";
            self.faults.add_with(node?.at, message, way);
        }
        Some(name.to_owned())
    }
}
