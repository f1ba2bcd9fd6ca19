//! Checklists: every one is used, and its checks name only what every action that uses it knows.

use super::steps::{Scope, milliseconds};
use super::{Reading, entries, is_true, key_at, localized, text_of};
use crate::config::fault::mean_or_list;
use crate::config::tree::{Entry, Node};
use crate::core::action::Role;
use crate::core::checklist::{By, Checklist, Item};
use crate::core::plan::LIVE_VERSION;
use crate::core::rule::Listed;
use std::collections::BTreeMap;

/// How long a run waits for its checklist when the runbook does not say.
const EXPIRES_DEFAULT_MS: u64 = 2 * 3_600_000;
/// How long what was found counts when the runbook does not say.
const VALID_DEFAULT_MS: u64 = 24 * 3_600_000;
/// What a rule says where no checklist is needed.
const NONE: &str = "none";

/// The section as it stands, and what of it was read so far.
pub(super) struct Checklists<'n> {
    section: Option<&'n Node>,
    read: BTreeMap<String, Checklist>,
}

impl<'n> Checklists<'n> {
    pub fn new(section: Option<&'n Node>) -> Self {
        Self { section, read: BTreeMap::new() }
    }

    fn entry(&self, name: &str) -> Option<&'n Entry> {
        entries(self.section).find(|entry| entry.key == name)
    }
}

impl Reading<'_> {
    /// The checklist that an action names.
    pub(super) fn checklist(
        &mut self,
        node: Option<&Node>,
        lists: &mut Checklists<'_>,
        (scope, roles): (&Scope<'_>, &BTreeMap<String, Role>),
    ) -> Option<String> {
        let node = node?;
        let name = text_of(Some(node));
        let Some(entry) = lists.entry(&name) else {
            let known = entries(lists.section).map(|entry| entry.key.as_str()).collect::<Vec<_>>();
            let message = format!("there is no checklist `{name}`");
            self.faults.add_with(node.at, message, mean_or_list(&name, "checklists", &known));
            return Some(name);
        };
        // Read once for each action that uses it: what its checks may name differs.
        let checklist = self.read_checklist(entry, scope, roles);
        lists.read.insert(name.clone(), checklist);
        Some(name)
    }

    /// What a rule says of the checklist.
    pub(super) fn listed(
        &mut self,
        node: Option<&Node>,
        lists: &mut Checklists<'_>,
        names: (&Scope<'_>, &BTreeMap<String, Role>),
    ) -> Option<Listed> {
        match node?.text() {
            Some(NONE) => Some(Listed::None),
            _ => self.checklist(node, lists, names).map(Listed::Checklist),
        }
    }

    /// All that were read; one that no action names is a slip.
    pub(super) fn checklists(&mut self, lists: Checklists<'_>) -> BTreeMap<String, Checklist> {
        for entry in entries(lists.section) {
            if entry.key == NONE {
                let message = "`none` is what a rule says where no checklist is needed";
                self.faults.add_with(entry.key_at, message, "choose another name");
            } else if !lists.read.contains_key(&entry.key) {
                let message = format!("no action names the checklist `{}`", entry.key);
                let way = format!("write `checklist: {}` in an action, or remove it", entry.key);
                self.faults.add_with(entry.key_at, message, way);
            }
        }
        lists.read
    }

    fn read_checklist(
        &mut self,
        entry: &Entry,
        scope: &Scope<'_>,
        roles: &BTreeMap<String, Role>,
    ) -> Checklist {
        let node = &entry.value;
        // What is live is no output, but it is known as late, and read here.
        let live = [LIVE_VERSION.to_owned()];
        let scope = Scope { outputs: &live, takes_outputs: true, ..*scope };
        let mut items = Vec::new();
        for item in node.get("items").map_or(&[][..], Node::items) {
            let by = if let Some(role) = item.get("tick") {
                self.check_role(Some(role), roles);
                self.check_ticked(item);
                let allows_self = item.get("self").is_none_or(|own| is_true(Some(own)));
                Some(By::Tick { role: text_of(Some(role)), allows_self })
            } else {
                if item.get("self").is_some() {
                    let message = "`self` says who may tick an item off, and this one is checked";
                    self.faults.add_with(key_at(item, "self"), message, "leave it out");
                }
                self.step(item, &scope).map(|mut step| {
                    // It changes nothing: whatever became of it, it may be done again.
                    step.idempotent = true;
                    By::Check(Box::new(step))
                })
            };
            items.extend(by.map(|by| Item { name: localized(item.get("name")), by }));
        }
        Checklist {
            name: entry.key.clone(),
            title: localized(node.get("title")),
            items,
            expires_ms: milliseconds(node.get("expires")).unwrap_or(EXPIRES_DEFAULT_MS),
            valid_ms: milliseconds(node.get("valid")).unwrap_or(VALID_DEFAULT_MS),
        }
    }

    /// What only a check has.
    fn check_ticked(&mut self, item: &Node) {
        for key in ["timeout", "user"] {
            if item.get(key).is_some() {
                let message = format!("`{key}` is for a check, and a person ticks this item off");
                self.faults.add_with(key_at(item, key), message, "leave it out");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::config::fault::listing;
    use crate::config::runbook::parse;
    use crate::core::checklist::By;

    fn runbook(action: &str, checklists: &str) -> String {
        format!(
            "service: shop
environments: {{production: {{workdir: /srv, channel: C0OPS}}}}
roles: {{operator: {{members: [everyone]}}}}
actions:
  deploy:
    summary: Deploy it
    role: operator
    parameters: {{version: {{type: git_ref, required: true}}}}
    {action}
checklists:
{checklists}
"
        )
    }

    fn faults_of(text: &str) -> String {
        let faults = parse("runbook.yml", text.as_bytes()).unwrap_err();
        listing(&faults)
    }

    #[test]
    fn a_check_may_be_done_twice_and_knows_what_is_live() {
        let text = runbook(
            "checklist: before",
            "  before:
    title: Before it
    items:
      - {name: Tests, run: [check, '{version}', '{live_version}']}
      - {name: Rehearsed, tick: operator, self: false}",
        );

        let runbook = parse("runbook.yml", text.as_bytes()).unwrap();

        let list = &runbook.checklists["before"];
        assert_eq!((list.expires_ms, list.valid_ms), (7_200_000, 86_400_000));
        let By::Check(step) = &list.items[0].by else { panic!("a check") };
        assert!(step.idempotent);
        let ticked = By::Tick { role: "operator".into(), allows_self: false };
        assert_eq!(list.items[1].by, ticked);
        assert_eq!(runbook.actions["deploy"].checklist.as_deref(), Some("before"));
    }

    #[test]
    fn what_could_never_work_is_a_fault() {
        let items = "
    title: Before it
    items:
      - {name: Tests, run: [check, '{branch}'], self: true}
      - {name: Rehearsed, tick: operater, timeout: 5s}
      - {name: Neither}";
        let text = runbook(
            "checklist: befor
    rules: [{when: {environment: production}, checklist: before}]",
            &format!(
                "  before:{items}\n  none:\n    title: None\n    items: [{{name: A, tick: operator}}]"
            ),
        );

        insta::assert_snapshot!(faults_of(&text), @r"
        runbook.yml:9:16: there is no checklist `befor`
            did you mean `before`? checklists: `before`, `none`
        runbook.yml:15:37: `branch` is neither a parameter nor a variable
            names here: `version`, `live_version`, `environment`, `service`, `workdir`
        runbook.yml:15:49: `self` says who may tick an item off, and this one is checked
            leave it out
        runbook.yml:16:33: there is no role `operater`
            did you mean `operator`? roles: `operator`
        runbook.yml:16:43: `timeout` is for a check, and a person ticks this item off
            leave it out
        runbook.yml:17:9: an item has exactly one of `tick`, `run`, `http`, `logs` and `journal`; none found
            for example: {name: The rollback was rehearsed, tick: operator}
        runbook.yml:18:3: `none` is what a rule says where no checklist is needed
            choose another name
        ");
    }

    #[test]
    fn an_action_has_steps_or_a_checklist() {
        let text = runbook("lock: none", "  {}");

        insta::assert_snapshot!(faults_of(&text), @r"
        runbook.yml:5:3: this action does nothing
            give it `steps`, or a `checklist` that is all there is to do
        ");
    }
}
