//! Freezes: windows that are none, names that nothing has, and overrides that nobody could be given are faults.

use super::{Reading, entries, key_at, localized, text_of};
use crate::config::fault::{did_you_mean, mean_or_list};
use crate::config::tree::{Entry, Node};
use crate::core::action::{Action, Approval, Environment, Member, Parameter, ParameterKind, Role};
use crate::core::freeze::{
    Freeze, Moment, NotWeekly, ONCE_DAYS_MAX, PlannedFreeze, Then, Times, Weekly, Zone, with_role,
};
use crate::core::param::REASON;
use crate::core::quorum;
use crate::core::rule;
use std::collections::BTreeMap;

/// What freezes can name.
pub(super) struct Names<'n> {
    pub environments: &'n BTreeMap<String, Environment>,
    pub roles: &'n BTreeMap<String, Role>,
    pub actions: &'n BTreeMap<String, Action>,
}

impl Reading<'_> {
    pub(super) fn freezes(&mut self, node: Option<&Node>, names: &Names<'_>) -> Vec<Freeze> {
        entries(node).filter_map(|entry| self.freeze(entry, names)).collect()
    }

    /// `None`: it has faults.
    fn freeze(&mut self, entry: &Entry, names: &Names<'_>) -> Option<Freeze> {
        let node = &entry.value;
        let known = names.environments.keys().map(String::as_str).collect::<Vec<_>>();
        let environments =
            node.get("environments").map(|node| self.named(node, "environment", &known));
        let known = names.actions.keys().map(String::as_str).collect::<Vec<_>>();
        let actions =
            node.get("actions").map(|node| self.named(node, "action", &known)).unwrap_or_default();
        let times = self.times(node);
        let zone = node.get("zone").and_then(|zone| self.zone(zone));
        let overridable_by = node.get("override").map(|role| {
            self.check_role(Some(role), names.roles);
            for action in actions.iter().filter_map(|name| names.actions.get(name)) {
                self.check_override(role, action, names);
            }
            text_of(Some(role))
        });
        let then = match node.get("then").and_then(Node::text) {
            Some("refuse") => Then::Refuse,
            _ => Then::Wait,
        };
        let planned = PlannedFreeze {
            name: entry.key.clone(),
            summary: localized(node.get("summary")),
            times: times?,
            zone: zone?,
            then,
            overridable_by,
        };
        Some(Freeze { planned, environments, actions, line: entry.key_at.line })
    }

    /// Names that something has, each once.
    fn named(&mut self, node: &Node, what: &str, known: &[&str]) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        for item in node.items() {
            let Some(name) = item.text() else { continue };
            if !known.contains(&name) {
                let message = format!("there is no {what} `{name}`");
                let way = mean_or_list(name, &format!("{what}s"), known);
                self.faults.add_with(item.at, message, way);
            } else if names.iter().any(|one| one == name) {
                self.faults.add(item.at, format!("`{name}` is here twice"));
            }
            names.push(name.to_owned());
        }
        names
    }

    fn times(&mut self, node: &Node) -> Option<Times> {
        let Some(weekly) = node.get("weekly") else { return self.once(node) };
        if let Some(until) = node.entry("until") {
            let message = "`until` is the end of a freeze that is not repeated";
            let way = "leave `until` out, or write `from` instead of `weekly`";
            self.faults.add_with(until.key_at, message, way);
        }
        let mut windows: Vec<Weekly> = Vec::new();
        let mut is_whole = true;
        for item in weekly.items() {
            let Some(window) = self.weekly(item) else {
                is_whole = false;
                continue;
            };
            if let Some(other) = windows.iter().find(|other| other.overlaps(&window)) {
                is_whole = false;
                let message = format!("`{window}` overlaps `{other}`");
                let way = "make one window of the two, or move an edge";
                self.faults.add_with(item.at, message, way);
            }
            windows.push(window);
        }
        let times = Times::Weekly(windows);
        if is_whole && times.is_endless() {
            let message = "this freeze never ends: its windows fill the whole week";
            let way =
                "leave a gap between them; what nobody may do at any time is a rule that denies";
            self.faults.add_with(weekly.at, message, way);
        }
        is_whole.then_some(times)
    }

    fn weekly(&mut self, node: &Node) -> Option<Weekly> {
        let text = node.text()?;
        let fault = match text.parse() {
            Ok(window) => return Some(window),
            Err(fault) => fault,
        };
        let (message, way) = match fault {
            NotWeekly::Form => (
                format!("`{text}` is no weekly window"),
                "write days and times: `mon-fri 09:15-15:00`, or `fri 18:00 - mon 08:00`"
                    .to_owned(),
            ),
            NotWeekly::Day(word) => {
                let way = mean_or_list(&word, "days", &Weekly::DAYS);
                (format!("`{word}` is no day of the week"), way)
            }
            NotWeekly::Time(word) => (
                format!("`{word}` is no time of the day"),
                "write hours and minutes: 09:15; the end of a day is 24:00".to_owned(),
            ),
            NotWeekly::Empty => (
                format!("`{text}` ends as it begins"),
                "for the whole day write 00:00-24:00".to_owned(),
            ),
        };
        self.faults.add_with(node.at, message, way);
        None
    }

    /// From a minute until another.
    fn once(&mut self, node: &Node) -> Option<Times> {
        let from = node.get("from")?;
        let Some(until) = node.get("until") else {
            let way = "add `until`, the first minute after it: `until: 2027-01-04 08:00`";
            self.faults.add_with(key_at(node, "from"), "this freeze has no end", way);
            return None;
        };
        let (start, end) = (self.moment(from), self.moment(until));
        let (from, end) = (start?, end?);
        let minutes = end.minutes_after(from);
        if minutes <= 0 {
            let message = format!("{end} is not after {from}: this freeze ends before it begins");
            self.faults.add_with(until.at, message, "exchange `from` and `until`, or correct one");
        } else if minutes > ONCE_DAYS_MAX * 24 * 60 {
            let message = format!("this freeze is longer than {ONCE_DAYS_MAX} days");
            let way = "end it earlier; what nobody may do at any time is a rule that denies";
            self.faults.add_with(until.at, message, way);
        }
        Some(Times::Once { from, until: end })
    }

    fn moment(&mut self, node: &Node) -> Option<Moment> {
        let text = node.text()?;
        let found = Moment::parse(text);
        if found.is_none() {
            let message = format!("`{text}` is no minute of a calendar");
            let way = "write date and time, the year from 2000 to 2099: 2026-12-30 18:00";
            self.faults.add_with(node.at, message, way);
        }
        found
    }

    fn zone(&mut self, node: &Node) -> Option<Zone> {
        let name = node.text()?;
        let found = Zone::parse(name);
        if found.is_none() {
            let message = format!("there is no time zone `{name}`");
            let such =
                "names are those of the time-zone database, such as Asia/Shanghai or Europe/Berlin";
            let way = match did_you_mean(name, Zone::names()) {
                Some(close) => format!("did you mean `{close}`? {such}"),
                None => such.to_owned(),
            };
            self.faults.add_with(node.at, message, way);
        }
        found
    }

    /// Whoever overrides says why, and somebody of the role can take part in every approval of the action.
    fn check_override(&mut self, node: &Node, action: &Action, names: &Names<'_>) {
        let (role, name) = (text_of(Some(node)), &action.name);
        let is_reason = |one: &Parameter| one.name == REASON && one.kind == ParameterKind::Text;
        if !action.parameters.iter().any(is_reason) {
            let message = format!("`{name}` has no parameter in which an override says why");
            let way = "give it one: `reason: {type: text}`; or leave `override` out";
            self.faults.add_with(node.at, message, way);
        }
        for approval in rule::approvals(action) {
            let Approval { from, count, .. } = approval;
            let Some((from, count)) = with_role(from, *count, &role) else {
                let message = format!(
                    "an approval of `{role}` cannot be joined to that of `{name}`: {count} of {}",
                    from.iter().map(|one| format!("`{one}`")).collect::<Vec<_>>().join(", ")
                );
                let way = format!(
                    "let `{role}` approve `{name}`, or one person of another role, or all of several \
                     roles; or leave `override` out"
                );
                self.faults.add_with(node.at, message, way);
                continue;
            };
            if !can_approve(&from, count, names.roles) {
                let message = format!(
                    "nobody could override for `{name}`: {count} different people are needed in {}",
                    from.iter().map(|one| format!("`{one}`")).collect::<Vec<_>>().join(", ")
                );
                self.faults.add_with(node.at, message, "add members to the roles");
            }
        }
    }
}

/// Whether people who are named by id are enough; of groups that cannot be told.
fn can_approve(from: &[String], count: u32, roles: &BTreeMap<String, Role>) -> bool {
    let mut held: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for name in from {
        for member in roles.get(name).map_or(&[][..], |role| &role.members) {
            let Member::User(user) = member else { return true };
            held.entry(user).or_default().push(name.clone());
        }
    }
    let held: Vec<Vec<String>> = held.into_values().collect();
    // A role that there is not is a fault already.
    from.iter().any(|name| !roles.contains_key(name)) || quorum::reached(from, &held) >= count
}

#[cfg(test)]
mod tests {
    use super::super::parse;
    use crate::config::fault::listing;
    use crate::core::freeze::{Then, Times};
    use crate::core::text::Lang;

    /// A runbook whose deploy is approved as `approval` says, with these freezes.
    fn runbook(approval: &str, freezes: &str) -> String {
        format!(
            "service: shop
environments:
  production: {{workdir: /srv, default: true, channel: C0OPS}}
  staging: {{workdir: /srv, channel: C0DEV}}
roles:
  operator: {{members: [everyone]}}
  lead: {{members: [U1, U2]}}
  dba: {{members: [U1]}}
  alone: {{members: [U1]}}
actions:
  deploy:
    summary: Deploy it
    role: operator
    parameters: {{reason: {{type: text}}}}
    {approval}
    steps: [{{name: Step, run: [a]}}]
  tidy:
    summary: Tidy up
    role: operator
    steps: [{{name: Step, run: [a]}}]
freezes:
{freezes}
"
        )
    }

    fn faults(approval: &str, freezes: &str) -> String {
        let text = runbook(approval, freezes);
        let read = parse("runbook.yml", text.as_bytes());
        read.map_or_else(|faults| listing(&faults), |_| String::new())
    }

    #[test]
    fn a_freeze_is_read_with_what_it_does_not_say() {
        let text = runbook(
            "approval: {from: lead}",
            "  trading:
    summary: {zh: 交易时段, en: Trading hours}
    environments: [production]
    actions: [deploy]
    weekly: [mon-fri 09:15-11:30, 'Mon-Fri 13:00 - 15:00']
    zone: Asia/Shanghai
    override: lead
  year-end:
    summary: Year end
    actions: [deploy, tidy]
    from: 2026-12-30 18:00
    until: 2027-01-04 08:00
    zone: Europe/Berlin
    then: refuse",
        );

        let runbook = parse("runbook.yml", text.as_bytes()).unwrap();

        let [trading, year_end] = &runbook.freezes[..] else { panic!("two") };
        assert_eq!(
            trading.planned.times.shown(Lang::En),
            "mon-fri 09:15-11:30, mon-fri 13:00-15:00"
        );
        assert_eq!(
            (trading.planned.then, trading.planned.zone.name()),
            (Then::Wait, "Asia/Shanghai")
        );
        assert_eq!(trading.planned.overridable_by.as_deref(), Some("lead"));
        assert!(trading.applies("deploy", "production") && !trading.applies("deploy", "staging"));
        assert!(!trading.applies("tidy", "production"));
        assert!(matches!(year_end.planned.times, Times::Once { .. }));
        assert_eq!(
            (year_end.planned.then, &year_end.planned.overridable_by),
            (Then::Refuse, &None)
        );
        assert!(year_end.applies("tidy", "staging"));
        assert_eq!(year_end.line, text.lines().position(|line| line == "  year-end:").unwrap() + 1);
    }

    #[test]
    fn a_freeze_that_cannot_be_meant_is_a_fault_with_its_place_and_a_way_out() {
        let found = faults(
            "approval: {from: lead}",
            "  names: {summary: A, environments: [prodution, staging, staging], actions: [depoly], weekly: [mon 09:00-10:00], zone: Asia/Shangai, override: laed}
  words: {summary: A, actions: [deploy], weekly: [weekdays 09:00-10:00, mon 9-10, mon 09:00-25:00, mon 09:00-09:00, nonsense], zone: Beijing}
  overlap: {summary: A, actions: [deploy], weekly: [mon-fri 09:00-12:00, fri 11:00-13:00], zone: UTC}
  always: {summary: A, actions: [deploy], weekly: [mon-sun 06:00-18:00, mon-sun 18:00-06:00], zone: UTC}
  reversed: {summary: A, actions: [deploy], from: 2027-01-04 08:00, until: 2026-12-30 18:00, zone: UTC}
  long: {summary: A, actions: [deploy], from: 2026-01-04 08:00, until: 2027-12-30 18:00, zone: UTC}
  day: {summary: A, actions: [deploy], from: 2026-02-30 08:00, until: tomorrow, zone: UTC}
  endless: {summary: A, actions: [deploy], from: 2026-02-03 08:00, zone: UTC}
  both: {summary: A, actions: [deploy], weekly: [mon 09:00-10:00], from: 2026-02-03 08:00, until: 2026-02-04 08:00, zone: UTC}
  neither: {summary: A, actions: [deploy], zone: UTC, then: maybe}
  reason: {summary: A, actions: [tidy], weekly: [mon 09:00-10:00], zone: UTC, override: lead}",
        );
        insta::assert_snapshot!(found);
    }

    #[test]
    fn an_override_that_no_approval_of_the_action_leaves_room_for_is_a_fault() {
        let freeze = |role: &str| {
            format!(
                "  f: {{summary: A, actions: [deploy], weekly: [mon 09:00-10:00], zone: UTC, override: {role}}}"
            )
        };
        for (approval, role) in [
            ("", "lead"),
            ("approval: {from: lead, count: 2}", "lead"),
            ("approval: {from: dba}", "lead"),
            ("approval: {from: [lead, dba], count: 2}", "lead"),
            ("rules: [{when: {environment: staging}, approval: none}]", "lead"),
        ] {
            assert_eq!(faults(approval, &freeze(role)), "", "{approval}");
        }
        insta::assert_snapshot!([
            faults("approval: {from: lead, count: 2}", &freeze("dba")),
            faults("approval: {from: [lead, dba], count: 1}", &freeze("lead")),
            faults("rules: [{when: {environment: staging}, approval: {from: lead, count: 2}}]", &freeze("dba")),
            faults("approval: {from: dba}", &freeze("alone")),
        ].join("\n"), @r"
        runbook.yml:22:86: an approval of `dba` cannot be joined to that of `deploy`: 2 of `lead`
            let `dba` approve `deploy`, or one person of another role, or all of several roles; or leave `override` out

        runbook.yml:22:86: an approval of `lead` cannot be joined to that of `deploy`: 1 of `lead`, `dba`
            let `lead` approve `deploy`, or one person of another role, or all of several roles; or leave `override` out

        runbook.yml:22:86: an approval of `dba` cannot be joined to that of `deploy`: 2 of `lead`
            let `dba` approve `deploy`, or one person of another role, or all of several roles; or leave `override` out

        runbook.yml:22:86: nobody could override for `deploy`: 2 different people are needed in `dba`, `alone`
            add members to the roles
        ");
    }
}
