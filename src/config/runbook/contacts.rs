//! Emergency contacts: a number that nobody can dial, or a contact that cannot be reached at all, is a fault now
//! and not on the night when it is needed.

use super::{Reading, localized, text_of};
use crate::config::tree::Node;
use crate::core::action::Role;
use crate::core::contact::{Contact, Contacts, Day, is_email, is_phone};
use crate::core::text::Text;
use std::collections::BTreeMap;

/// The role that reads them unless the runbook says otherwise.
const ROLE_DEFAULT: &str = "operator";

impl Reading<'_> {
    pub(super) fn contacts(
        &mut self,
        node: Option<&Node>,
        roles: &BTreeMap<String, Role>,
    ) -> Option<Contacts> {
        let node = node?;
        let role = self.reader(node, roles);
        let reviewed = node.get("reviewed").and_then(|day| self.day(day));
        let people = node.get("people").map_or(&[][..], Node::items);
        let people = people.iter().map(|one| self.contact(one)).collect();
        Some(Contacts { role, reviewed: reviewed?, people })
    }

    /// The role that reads them, which there must be.
    fn reader(&mut self, node: &Node, roles: &BTreeMap<String, Role>) -> String {
        if let Some(role) = node.get("role") {
            self.check_role(Some(role), roles);
            return text_of(Some(role));
        }
        if !roles.contains_key(ROLE_DEFAULT) {
            let message = format!("there is no role `{ROLE_DEFAULT}` to read the contacts");
            self.faults.add_with(node.at, message, "say which may: `role: …`");
        }
        ROLE_DEFAULT.to_owned()
    }

    fn day(&mut self, node: &Node) -> Option<Day> {
        let text = node.text()?;
        let found = Day::parse(text);
        if found.is_none() {
            let message = format!("`{text}` is no day of a calendar");
            let way = "write it from the year down, from 2000 to 2099: 2026-11-01";
            self.faults.add_with(node.at, message, way);
        }
        found
    }

    fn contact(&mut self, node: &Node) -> Contact {
        let words = |key| node.get(key).map(|words| localized(Some(words)));
        let text = |key| node.get(key).and_then(Node::text).map(str::to_owned);
        let (slack, phone, email) = (text("slack"), text("phone"), text("email"));
        if slack.is_none() && phone.is_none() && email.is_none() {
            let message = "this contact cannot be reached";
            self.faults.add_with(node.at, message, "add `phone`, `slack` or `email`");
        }
        if let (Some(at), Some(number)) = (node.get("phone"), &phone)
            && !is_phone(number)
        {
            let message = format!("`{number}` is no telephone number that everybody can dial");
            let way = "write it with `+` and the country, digits in groups: +86 10 5550 0100";
            self.faults.add_with(at.at, message, way);
        }
        if let (Some(at), Some(address)) = (node.get("email"), &email)
            && !is_email(address)
        {
            let message = format!("`{address}` is no e-mail address");
            self.faults.add_with(at.at, message, "for example: oncall@example.com");
        }
        let name: Text = localized(node.get("name"));
        let duty = localized(node.get("duty"));
        Contact { name, duty, when: words("when"), hours: words("hours"), slack, phone, email }
    }
}

#[cfg(test)]
mod tests {
    use super::super::parse;
    use crate::config::fault::listing;
    use crate::core::contact_card::EXAMPLE;
    use crate::core::text::{Lang, Text};

    fn runbook(contacts: &str) -> String {
        format!(
            "service: shop
environments:
  production: {{workdir: /srv, channel: C0OPS}}
roles: {{operator: {{members: [S0OPS]}}, viewer: {{members: [everyone]}}}}
actions:
  tidy: {{summary: Tidy up, role: operator, steps: [{{name: Step, run: [a]}}]}}
{contacts}
"
        )
    }

    fn faults(contacts: &str) -> String {
        let read = parse("runbook.yml", runbook(contacts).as_bytes());
        read.map_or_else(|faults| listing(&faults), |_| String::new())
    }

    #[test]
    fn what_the_empty_card_proposes_is_read_as_it_stands() {
        let read = parse("runbook.yml", runbook(EXAMPLE).as_bytes()).unwrap();

        let contacts = read.contacts.unwrap();
        assert_eq!((contacts.role.as_str(), contacts.people.len()), ("operator", 1));
        assert_eq!(contacts.reviewed.to_string(), "2026-11-01");
        let first = &contacts.people[0];
        assert_eq!(first.name, Text::new("值班工程师", "Engineer on call"));
        assert_eq!(first.hours.as_ref().map(|hours| hours.get(Lang::En)), Some("Around the clock"));
        assert_eq!(first.phone.as_deref(), Some("+86 10 5550 0100"));
        assert_eq!((first.slack.as_deref(), first.email.as_deref()), (Some("S0123456789"), None));
    }

    #[test]
    fn a_contact_that_nobody_could_call_is_a_fault_with_its_place_and_a_way_out() {
        let found = faults(
            "contacts:
  role: oncal
  reviewed: 2026-02-30
  people:
    - {name: A, duty: a}
    - {name: B, duty: b, phone: 110}
    - {name: C, duty: c, phone: 010-5550, email: nobody}
    - {name: D, duty: d, slack: '@dora', mobile: +86 10 5550 0100}
    - {duty: e, email: e@example.com}",
        );
        insta::assert_snapshot!(found, @r#"
        runbook.yml:8:9: there is no role `oncal`
            roles: `operator`, `viewer`
        runbook.yml:9:13: `2026-02-30` is no day of a calendar
            write it from the year down, from 2000 to 2099: 2026-11-01
        runbook.yml:11:7: this contact cannot be reached
            add `phone`, `slack` or `email`
        runbook.yml:12:33: `110` is no telephone number that everybody can dial
            write it with `+` and the country, digits in groups: +86 10 5550 0100
        runbook.yml:12:33: a number found, a telephone number (text) expected
            put quotes around it: "110"
        runbook.yml:13:33: `010-5550` is no telephone number that everybody can dial
            write it with `+` and the country, digits in groups: +86 10 5550 0100
        runbook.yml:13:50: `nobody` is no e-mail address
            for example: oncall@example.com
        runbook.yml:14:33: `@dora` is not a Slack user id (`U…` or `W…`) or user group id (`S…`)
            for example: S0123456789
        runbook.yml:14:42: `mobile` is not a key of a contact
            keys: `name`, `duty`, `when`, `hours`, `slack`, `phone`, `email`
        runbook.yml:15:7: a contact needs `name`
            Who; a post is better than a person's name; for example `name: {zh: 值班工程师, en: Engineer on call}`
        "#);
    }

    #[test]
    fn contacts_without_anybody_or_anybody_to_read_them_are_faults() {
        insta::assert_snapshot!(faults("contacts: {reviewed: 2026-11-01, people: []}"), @r"
        runbook.yml:7:42: 0 contacts found, at least 1 expected
            for example: [{name: Engineer on call, duty: Whatever it is, phone: +86 10 5550 0100}]
        ");
        let many = "{name: A, duty: a, slack: U1}, ".repeat(41);
        let found = faults(&format!("contacts: {{reviewed: 2026-11-01, people: [{many}]}}"));
        assert!(found.contains("41 contacts found, at most 40 expected"), "{found}");

        let text = runbook(EXAMPLE).replace("operator", "worker");
        let found = listing(&parse("runbook.yml", text.as_bytes()).unwrap_err());
        insta::assert_snapshot!(found, @r"
        runbook.yml:8:3: there is no role `operator` to read the contacts
            say which may: `role: …`
        ");
    }
}
