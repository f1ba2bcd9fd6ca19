//! A plan: an action with everything resolved, and the digest that binds people's decisions to it.

use super::action::{
    APPROVAL_EXPIRES_DEFAULT_MS, AccessFormat, Action, Approval, Emergency, Environment,
    LocalTemplate, Lock, Member, Runbook, SecretSource, StepKind,
};
use super::checklist::PlannedChecklist;
use super::emergency::PlannedEmergency;
use super::freeze::{self, PlannedFreeze, PlannedOverride};
use super::id::{ChannelId, RunId};
use super::param::{Arguments, REASON, cut, duration_ms};
use super::release::{Changes, DatabaseChanges};
use super::rule::Ruled;
use super::step::{Retry, When};
use super::template::Template;
use super::text::{Lang, Text};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// What exactly is to be done. Its JSON is stored with the run and is what runs, whatever happens to
/// the runbook afterwards.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// The action's name.
    pub action: String,
    /// The action's one line.
    pub summary: Text,
    /// The service's name.
    pub service: String,
    /// The language of its channel.
    pub language: Lang,
    /// The environment's name.
    pub environment: String,
    /// Where its card goes.
    pub channel: ChannelId,
    /// The bot that may run its steps; `None`: any.
    pub host: Option<String>,
    /// Where its steps run.
    pub workdir: PathBuf,
    /// What it holds.
    pub lock: Lock,
    /// The role that may ask for it and settle it.
    pub role: String,
    /// The line of the runbook's rule by which its role and approval are these; `None`: they are the
    /// action's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule_line: Option<usize>,
    /// Who must agree before it is queued.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval: Option<PlannedApproval>,
    /// What must be found in order before it is queued.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checklist: Option<PlannedChecklist>,
    /// It is an emergency: done without its gates, and reviewed afterwards.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub emergency: Option<PlannedEmergency>,
    /// The freezes that stop it while they are in force.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub freezes: Vec<PlannedFreeze>,
    /// The freezes that it goes ahead in spite of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overrides: Option<PlannedOverride>,
    /// The argument whose version is live once this has succeeded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub makes_live: Option<String>,
    /// How that version differs from the one that was live when the plan was made; `None`: nothing was
    /// known to be live.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changes: Option<Changes>,
    /// What changes in the folder of database migrations; `None`: the runbook names none, or nothing was
    /// known to be live.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database: Option<DatabaseChanges>,
    /// The run that this is another try of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_of: Option<RunId>,
    /// The run whose failure it follows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<RunId>,
    /// The waiting run whose checklist it goes through: its steps do not depend on each other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checks: Option<RunId>,
    /// What is done by itself when it has failed or timed out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_failure: Option<FollowUp>,
    /// Every argument by name, as given.
    pub arguments: BTreeMap<String, String>,
    /// Each git reference among them: the full commit it named when the plan was made.
    pub commits: BTreeMap<String, String>,
    /// The environment of every step, without secrets.
    pub variables: BTreeMap<String, String>,
    /// Which secrets every step gets; names and places, never values.
    pub secrets: BTreeMap<String, SecretSource>,
    /// In order.
    pub steps: Vec<PlannedStep>,
    /// Each script file that a step names: SHA-256 of its bytes.
    pub scripts: BTreeMap<String, String>,
    /// Said when it succeeds, instead of the general words.
    pub succeeded: Option<Text>,
    /// Said when it does not.
    pub failed: Option<Text>,
    /// SHA-256 of the runbook it came from.
    pub runbook: String,
}

/// The name under which `on_failure` knows the version that was live when the plan was made.
pub const LIVE_VERSION: &str = "live_version";

/// What follows a failure, settled before the first step: people see it, and agree to it, with the rest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FollowUp {
    /// This is done if a step from this one on began. Nothing follows it in turn.
    Plan {
        /// What.
        plan: Box<Plan>,
        /// Counted from 0: before it nothing is done that must be undone.
        from_step: usize,
    },
    /// Nothing can be done by itself, and why.
    Impossible(Text),
}

/// The people who must agree, as the runbook named them when the plan was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedApproval {
    /// The roles whose holders may approve or reject; who holds them is asked at the press. One alone is
    /// written as text.
    #[serde(with = "one_or_several")]
    pub from: Vec<String>,
    /// Whom to call: the roles' users (`U…`, `W…`) and groups (`S…`).
    pub call: Vec<String>,
    /// How many people must approve; of several roles, each for another one.
    pub count: u32,
    /// Whether the asker's own approval counts.
    pub allows_self: bool,
    /// How long it waits for them.
    pub expires_ms: u64,
    /// For how long its approvals count once more for the same work; `None`: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reuse_ms: Option<u64>,
}

impl PlannedApproval {
    /// What it asks, without whom it calls for that.
    fn terms(&self) -> (Vec<String>, u32, bool, u64) {
        (self.from.clone(), self.count, self.allows_self, self.expires_ms)
    }
}

/// A step with every name filled in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedStep {
    /// What people read.
    pub name: Text,
    /// What it does.
    pub work: Work,
    /// After this it is stopped.
    pub timeout_ms: u64,
    /// Whether it may be run again without a person.
    pub idempotent: bool,
    /// Whether what it leaves running stays.
    pub leaves_processes: bool,
    /// Whether it is done although an earlier one ended badly.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub always: bool,
    /// On what condition it is done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when: Option<When>,
    /// When it is tried again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry: Option<Retry>,
    /// What it hands to later steps.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub outputs: Vec<String>,
    /// The system user as whom it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
}

/// What a step does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Work {
    /// A program and its arguments.
    Run {
        /// One argument an element.
        argv: Vec<String>,
        /// The elements that wait for what earlier steps hand on.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        late: BTreeMap<usize, Template>,
    },
    /// Asking an address until it answers as expected.
    Http {
        /// Where.
        url: String,
        /// The status wanted.
        expect: u16,
        /// The text wanted in the body.
        contains: Option<String>,
        /// For how long.
        within_ms: u64,
    },
    /// Summing up the service's log.
    Logs {
        /// Files, or patterns with `*` and `?` in their last part.
        files: Vec<String>,
        /// How far back.
        window_ms: u64,
        /// How the lines are written.
        format: AccessFormat,
        /// The beginning of the paths where people sign in.
        sign_in: String,
    },
    /// Summing up the bot's own journal.
    Journal {
        /// How far back.
        window_ms: u64,
    },
}

/// Why an action cannot be planned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PlanFault {
    /// A step names something that has no value, such as an optional argument that was left out.
    NoValue {
        /// The name.
        name: String,
    },
    /// A value that begins with `-` would stand where a program reads options.
    LooksLikeAnOption {
        /// The name.
        name: String,
    },
    /// How far to look back is not a duration.
    NotAWindow {
        /// What it is.
        value: String,
    },
}

impl Plan {
    /// Fills an action in for one environment.
    ///
    /// # Errors
    /// [`PlanFault`]; nothing was done.
    pub fn resolve(
        action: &Action,
        environment: &Environment,
        runbook: &Runbook,
        arguments: &Arguments,
        ruled: &Ruled<'_>,
    ) -> Result<Self, PlanFault> {
        let value =
            |name: &str| arguments.get(name).or_else(|| environment.value(&runbook.service, name));
        let fill = |template: &Template| {
            template.expand(value).map_err(|name| PlanFault::NoValue { name })
        };
        let both = |template: &LocalTemplate| {
            Ok(Text { zh: fill(&template.zh)?, en: fill(&template.en)? })
        };
        let window = |template: &Template| {
            let value = fill(template)?;
            duration_ms(&value).ok_or(PlanFault::NotAWindow { value })
        };
        let mut steps = Vec::new();
        let mut outputs: Vec<&str> = Vec::new();
        for step in &action.steps {
            let work = match &step.kind {
                StepKind::Run { argv } => argument_vector(argv, &outputs, &value)?,
                StepKind::Http { url, expect, contains, within_ms } => Work::Http {
                    url: fill(url)?,
                    expect: *expect,
                    contains: contains.as_ref().map(fill).transpose()?,
                    within_ms: *within_ms,
                },
                StepKind::Logs { files, window: back, format, sign_in } => Work::Logs {
                    files: files.iter().map(fill).collect::<Result<_, _>>()?,
                    window_ms: window(back)?,
                    format: *format,
                    sign_in: sign_in.clone(),
                },
                StepKind::Journal { window: back } => Work::Journal { window_ms: window(back)? },
            };
            steps.push(PlannedStep {
                name: step.name.clone(),
                work,
                timeout_ms: step.timeout_ms,
                idempotent: step.idempotent,
                leaves_processes: step.leaves_processes,
                always: step.always,
                when: step.when.as_ref().map(|when| condition(when, &outputs, &value)),
                retry: step.retry,
                outputs: step.outputs.clone(),
                user: step.user.clone(),
            });
            outputs.extend(step.outputs.iter().map(String::as_str));
        }
        let given = arguments.values.iter();
        Ok(Self {
            action: action.name.clone(),
            summary: action.summary.clone(),
            service: runbook.service.clone(),
            language: runbook.language,
            environment: environment.name.clone(),
            channel: environment.channel.clone(),
            host: environment.host.clone(),
            workdir: environment.workdir.clone(),
            lock: action.lock,
            role: ruled.role.to_owned(),
            rule_line: ruled.rule.map(|rule| rule.line),
            approval: ruled.approval.map(|one| approval(one, runbook)),
            checklist: None,
            emergency: None,
            freezes: freezes(&action.name, &environment.name, runbook),
            overrides: None,
            makes_live: action.makes_live.clone(),
            changes: None,
            database: None,
            retry_of: None,
            cause: None,
            checks: None,
            on_failure: None,
            arguments: given.map(|one| (one.name.clone(), one.value.clone())).collect(),
            commits: BTreeMap::new(),
            variables: environment.variables.clone(),
            secrets: environment.secrets.clone(),
            steps,
            scripts: BTreeMap::new(),
            succeeded: action.notices.succeeded.as_ref().map(both).transpose()?,
            failed: action.notices.failed.as_ref().map(both).transpose()?,
            runbook: runbook.digest.clone(),
        })
    }

    /// The same as an emergency: without its gates, and reviewed afterwards.
    #[must_use]
    pub fn without_gates(
        mut self,
        ruled: &Ruled<'_>,
        emergency: &Emergency,
        runbook: &Runbook,
    ) -> Self {
        let checklist = ruled.checklist.and_then(|name| runbook.checklists.get(name));
        self.emergency = Some(PlannedEmergency {
            role: emergency.role.clone(),
            review: emergency.review.clone(),
            call: whom_to_call(std::slice::from_ref(&emergency.review), runbook),
            without: self.approval.take(),
            without_checklist: checklist.map(|checklist| checklist.title.clone()),
        });
        self.freezes.clear();
        self
    }

    /// The same as what follows a failure: whoever reviewed the runbook has agreed, and nothing is waited for.
    #[must_use]
    pub fn by_itself(self) -> Self {
        Self { approval: None, checklist: None, freezes: Vec::new(), ..self }
    }

    /// The same in spite of some of its freezes: people of the role that each of them names must take part
    /// in its approval, and never whoever asks. Names that it does not know are passed over.
    ///
    /// # Errors
    /// The role that cannot be joined to the approval; `None`: a freeze lets nobody pass.
    pub fn in_spite_of(
        mut self,
        names: &[String],
        runbook: &Runbook,
    ) -> Result<Self, Option<String>> {
        let is_named = |freeze: &PlannedFreeze| names.contains(&freeze.name);
        let (passed, freezes) = self.freezes.into_iter().partition(is_named);
        self.freezes = freezes;
        let passed: Vec<PlannedFreeze> = passed;
        let mut overrides = PlannedOverride { freezes: Vec::new(), roles: Vec::new() };
        for freeze in passed {
            let role = freeze.overridable_by.ok_or(None)?;
            let terms =
                self.approval.as_ref().map_or((&[][..], 0), |one| (&one.from[..], one.count));
            let (from, count) =
                freeze::with_role(terms.0, terms.1, &role).ok_or_else(|| Some(role.clone()))?;
            let expires_ms =
                self.approval.map_or(APPROVAL_EXPIRES_DEFAULT_MS, |one| one.expires_ms);
            self.approval = Some(PlannedApproval {
                call: whom_to_call(&from, runbook),
                from,
                count,
                allows_self: false,
                expires_ms,
                // It is about this freeze and this hour.
                reuse_ms: None,
            });
            overrides.freezes.push(freeze.name);
            if !overrides.roles.contains(&role) {
                overrides.roles.push(role);
            }
        }
        self.overrides = (!overrides.freezes.is_empty()).then_some(overrides);
        Ok(self)
    }

    /// What of it a plan that was made anew says otherwise, in words, the first thing; `None`: nothing that
    /// decides what is done, by whom and where. What only names things (texts, lines of the file, whom to
    /// call) may differ.
    pub fn differs_from(&self, now: &Self) -> Option<Text> {
        let where_to = |plan: &Self| {
            (plan.workdir.clone(), plan.host.clone(), plan.variables.clone(), plan.secrets.clone())
        };
        if where_to(self) != where_to(now) {
            return Some(Text::new(
                format!("环境 `{}` 的目录、主机、变量或机密变了", self.environment),
                format!(
                    "the folder, host, variables or secrets of the environment `{}` changed",
                    self.environment
                ),
            ));
        }
        if let Some(step) = self.differing_step(now) {
            return Some(Text::new(
                format!("第 {step} 步变了"),
                format!("step {step} is another one now"),
            ));
        }
        if let Some(words) = self.checklist_differs(now) {
            return Some(words);
        }
        let terms = |plan: &Self| {
            let approval = plan.approval.as_ref().map(PlannedApproval::terms);
            let emergency = plan.emergency.as_ref();
            let without = emergency.and_then(|one| one.without.as_ref());
            let emergency = emergency.map(|one| {
                let is_unlisted = one.without_checklist.is_some();
                let without = without.map(PlannedApproval::terms);
                (one.role.clone(), one.review.clone(), without, is_unlisted)
            });
            (plan.role.clone(), plan.lock, plan.makes_live.clone(), approval, emergency)
        };
        if terms(self) != terms(now) {
            return Some(Text::new(
                "所需的角色、审批或锁变了",
                "the role, the approval or the lock that it needs is another one now",
            ));
        }
        let freezes = |plan: &Self| {
            let terms = plan.freezes.iter().map(PlannedFreeze::terms);
            let terms: Vec<_> = terms
                .map(|(name, times, zone, then)| (name.to_owned(), times.clone(), zone, then))
                .collect();
            (terms, plan.overrides.clone())
        };
        if freezes(self) != freezes(now) {
            return Some(Text::new(
                "冻结时段变了",
                "the freezes that it is subject to are others now",
            ));
        }
        let is_same = match (&self.on_failure, &now.on_failure) {
            (
                Some(FollowUp::Plan { plan, from_step }),
                Some(FollowUp::Plan { plan: again, from_step: from }),
            ) => {
                from_step == from
                    && plan.action == again.action
                    && plan.differs_from(again).is_none()
            }
            (Some(FollowUp::Impossible(_)), Some(_)) | (None, None) => true,
            _ => false,
        };
        (!is_same)
            .then(|| Text::new("失败后的操作变了", "what follows a failure is another thing now"))
    }

    /// Whether it is the same work on the same ground: commits, arguments, scripts, steps and terms, and
    /// what is live. Only why it is asked may differ.
    pub fn is_same_work(&self, other: &Self) -> bool {
        let given = |plan: &Self| {
            let mut arguments = plan.arguments.clone();
            arguments.remove(REASON);
            let live = plan.changes.as_ref().map(|changes| changes.commit.clone());
            (plan.action.clone(), plan.environment.clone(), arguments, plan.commits.clone(), live)
        };
        given(self) == given(other)
            && self.scripts == other.scripts
            && self.differs_from(other).is_none()
    }

    /// The first step that is not the same, counted from 1; names aside.
    pub(super) fn differing_step(&self, now: &Self) -> Option<usize> {
        let nameless = |step: &PlannedStep| PlannedStep { name: Text::same(""), ..step.clone() };
        let count = self.steps.len().max(now.steps.len());
        let is_other =
            |at: &usize| self.steps.get(*at).map(nameless) != now.steps.get(*at).map(nameless);
        (0..count).find(is_other).map(|at| at + 1)
    }

    /// Every role that its asker must hold.
    pub fn roles(&self) -> impl Iterator<Item = &str> {
        let emergency = self.emergency.iter().map(|emergency| emergency.role.as_str());
        std::iter::once(self.role.as_str()).chain(emergency)
    }

    /// SHA-256 of the plan's canonical JSON (sorted keys, no spaces), lower-case hex.
    pub fn digest(&self) -> String {
        // Going through a Value sorts the keys of structs too: the order of fields is not the plan.
        let canonical = serde_json::to_value(self).map(|value| value.to_string());
        hex::encode(Sha256::digest(canonical.unwrap_or_default()))
    }

    /// One line for logs and lists: `rollback v1.2`.
    pub fn title(&self) -> String {
        let version = self.commits.keys().next().and_then(|name| self.arguments.get(name));
        version.map_or_else(|| self.action.clone(), |version| format!("{} {version}", self.action))
    }

    /// The free text in which the asker said why, if the action takes one named `reason`.
    pub fn reason(&self) -> &str {
        self.arguments.get("reason").map_or("", String::as_str)
    }
}

fn freezes(action: &str, environment: &str, runbook: &Runbook) -> Vec<PlannedFreeze> {
    let applying = runbook.freezes.iter().filter(|freeze| freeze.applies(action, environment));
    applying.map(|freeze| freeze.planned.clone()).collect()
}

fn approval(approval: &Approval, runbook: &Runbook) -> PlannedApproval {
    PlannedApproval {
        from: approval.from.clone(),
        call: whom_to_call(&approval.from, runbook),
        count: approval.count,
        allows_self: approval.allows_self,
        expires_ms: approval.expires_ms,
        reuse_ms: approval.reuse_ms,
    }
}

/// The users and groups that roles name, each once, in the order of the runbook.
pub(super) fn whom_to_call(roles: &[String], runbook: &Runbook) -> Vec<String> {
    let mut call: Vec<String> = Vec::new();
    let members = roles.iter().filter_map(|role| runbook.roles.get(role));
    for member in members.flat_map(|role| &role.members) {
        match member {
            Member::User(id) | Member::Group(id) if !call.contains(id) => call.push(id.clone()),
            Member::User(_) | Member::Group(_) | Member::Everyone => {}
        }
    }
    call
}

/// A list of one is written as its one element, as it was before there could be several: the digest of a
/// stored plan stays what it was.
mod one_or_several {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written {
        One(String),
        Several(Vec<String>),
    }

    pub(super) fn serialize<S: Serializer>(words: &[String], to: S) -> Result<S::Ok, S::Error> {
        match words {
            [only] => only.serialize(to),
            several => several.serialize(to),
        }
    }

    pub(super) fn deserialize<'d, D: Deserializer<'d>>(from: D) -> Result<Vec<String>, D::Error> {
        Ok(match Written::deserialize(from)? {
            Written::One(only) => vec![only],
            Written::Several(several) => several,
        })
    }
}

/// Each element is one argument whatever it holds. An element that begins with a substituted value
/// that begins with `-` is refused unless an earlier element ended the options. What names an output
/// is filled in when its step begins.
fn argument_vector<'v>(
    argv: &[Template],
    outputs: &[&str],
    value: &impl Fn(&str) -> Option<&'v str>,
) -> Result<Work, PlanFault> {
    let mut filled: Vec<String> = Vec::with_capacity(argv.len());
    let mut late = BTreeMap::new();
    for (index, template) in argv.iter().enumerate() {
        let is_output = |name: &str| outputs.contains(&name);
        let element = if template.names().any(is_output) {
            let known = |name: &str| if is_output(name) { None } else { value(name) };
            let rest = template.expand_known(known);
            if let Some(name) = rest.names().find(|name| !is_output(name)) {
                return Err(PlanFault::NoValue { name: name.to_owned() });
            }
            let shown = rest.shown();
            late.insert(index, rest);
            shown
        } else {
            template.expand(value).map_err(|name| PlanFault::NoValue { name })?
        };
        let options_ended =
            filled.iter().any(|earlier| earlier == "--" || earlier == "--end-of-options");
        if let Some(name) = template.leading_name()
            && element.starts_with('-')
            && !options_ended
        {
            return Err(PlanFault::LooksLikeAnOption { name: name.to_owned() });
        }
        filled.push(element);
    }
    Ok(Work::Run { argv: filled, late })
}

/// An argument that was left out is empty; an output waits for its step.
fn condition<'v>(when: &When, outputs: &[&str], value: &impl Fn(&str) -> Option<&'v str>) -> When {
    let known =
        |name: &str| if outputs.contains(&name) { None } else { Some(value(name).unwrap_or("")) };
    When { value: when.value.expand_known(known), ..when.clone() }
}

impl PlanFault {
    /// What the asker reads.
    pub fn text(&self) -> Text {
        match self {
            Self::NoValue { name } => Text::new(
                format!("步骤需要 `{name}`，但没有给出。请加上 `{name}=…`。"),
                format!("A step needs `{name}`, and it has no value. Add `{name}=…`."),
            ),
            Self::NotAWindow { value } => {
                let value = cut(value);
                Text::new(
                    format!("`{value}` 不是一段时间，例如 90s、15m、2h、7d。"),
                    format!("`{value}` is not a duration such as 90s, 15m, 2h or 7d."),
                )
            }
            Self::LooksLikeAnOption { name } => Text::new(
                format!("参数 `{name}` 不能以 `-` 开头：程序会把它当作选项。"),
                format!("`{name}` must not begin with `-`: a program would read it as an option."),
            ),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::core::action::{Notices, Step};
    use crate::core::param::Argument;
    use crate::core::rule::own_terms;

    fn action(argv: &[&str]) -> Action {
        Action {
            name: "say".into(),
            summary: Text::same("say"),
            parameters: vec![],
            role: "operator".into(),
            role_line: 1,
            approval: None,
            checklist: None,
            rules: vec![],
            makes_live: None,
            on_failure: None,
            lock: Lock::Environment,
            steps: vec![Step {
                name: Text::same("say"),
                kind: StepKind::Run {
                    argv: argv.iter().map(|element| Template::parse(element).unwrap()).collect(),
                },
                timeout_ms: 1_000,
                idempotent: false,
                leaves_processes: false,
                always: false,
                when: None,
                retry: None,
                outputs: vec![],
                user: None,
            }],
            notices: Notices::default(),
        }
    }

    fn environment() -> Environment {
        Environment {
            name: "production".into(),
            workdir: "/srv".into(),
            default: true,
            protected: true,
            channel: ChannelId::new("C1"),
            host: None,
            variables: BTreeMap::new(),
            secrets: BTreeMap::new(),
        }
    }

    fn plan(argv: &[&str], word: &str) -> Result<Plan, PlanFault> {
        let values = vec![Argument { name: "word".into(), value: word.into() }];
        let arguments = Arguments { values, ..Arguments::default() };
        let runbook = runbook();
        let action = action(argv);
        Plan::resolve(&action, &environment(), &runbook, &arguments, &own_terms(&action))
    }

    fn runbook() -> Runbook {
        Runbook {
            service: "neostock".into(),
            language: Lang::Zh,
            environments: BTreeMap::new(),
            roles: BTreeMap::new(),
            actions: BTreeMap::new(),
            checklists: BTreeMap::new(),
            emergency: None,
            freezes: vec![],
            contacts: None,
            migrations: None,
            logins: BTreeMap::new(),
            digest: "d".into(),
        }
    }

    /// An action of one step and one parameter.
    pub(crate) fn sample_action() -> Action {
        action(&["echo", "{word}"])
    }

    /// A plan of one step.
    pub(crate) fn sample() -> Plan {
        plan(&["echo", "{word}"], "a").unwrap()
    }

    #[test]
    fn whatever_a_value_holds_it_stays_one_argument() {
        let hostile = "a; rm -rf / $(id) `id` \n 'x' \"y\"";
        let found = plan(&["echo", "{word}", "x={word}"], hostile).unwrap();

        let argv = vec!["echo".into(), hostile.to_owned(), format!("x={hostile}")];
        assert_eq!(found.steps[0].work, Work::Run { argv, late: BTreeMap::new() });
    }

    #[test]
    fn a_value_that_a_program_would_read_as_an_option_is_refused() {
        let refused = plan(&["git", "log", "{word}"], "--upload-pack=x").unwrap_err();

        assert_eq!(refused, PlanFault::LooksLikeAnOption { name: "word".into() });
        assert!(plan(&["git", "log", "--end-of-options", "{word}"], "-x").is_ok());
        assert!(plan(&["git", "log", "--grep={word}"], "-x").is_ok());
    }

    #[test]
    fn the_digest_follows_every_value() {
        let one = plan(&["echo", "{word}"], "a").unwrap();
        let mut other = one.clone();
        other.commits.insert("version".into(), "0".repeat(40));

        assert_eq!(one.digest(), plan(&["echo", "{word}"], "a").unwrap().digest());
        assert_ne!(one.digest(), plan(&["echo", "{word}"], "b").unwrap().digest());
        assert_ne!(one.digest(), other.digest());
    }

    #[test]
    fn one_approving_role_is_written_as_it_was_before_there_were_several() {
        let approval = |from: &[&str]| PlannedApproval {
            from: from.iter().map(ToString::to_string).collect(),
            call: vec!["S1".into()],
            count: 1,
            allows_self: false,
            expires_ms: 5,
            reuse_ms: None,
        };
        let (one, two) = (approval(&["lead"]), approval(&["lead", "dba"]));

        let text = serde_json::to_string(&one).unwrap();
        assert!(text.starts_with(r#"{"from":"lead","call":["S1"]"#), "{text}");
        assert_eq!(serde_json::from_str::<PlannedApproval>(&text).unwrap(), one);
        let text = serde_json::to_string(&two).unwrap();
        assert_eq!(serde_json::from_str::<PlannedApproval>(&text).unwrap(), two);
    }

    fn frozen(names: &[(&str, Option<&str>)]) -> Plan {
        let freeze = |(name, role): &(&str, Option<&str>)| PlannedFreeze {
            name: (*name).to_owned(),
            summary: Text::same(*name),
            times: freeze::Times::Weekly(vec!["mon-fri 09:15-15:00".parse().unwrap()]),
            zone: freeze::Zone::parse("Asia/Shanghai").unwrap(),
            then: freeze::Then::Wait,
            overridable_by: role.map(str::to_owned),
        };
        Plan { freezes: names.iter().map(freeze).collect(), ..sample() }
    }

    #[test]
    fn a_plan_without_freezes_is_written_as_it_was_before_there_were_any() {
        let text = serde_json::to_string(&sample()).unwrap();
        assert!(!text.contains("freezes") && !text.contains("overrides"), "{text}");
        let frozen = frozen(&[("hours", Some("lead"))]);
        let text = serde_json::to_string(&frozen).unwrap();
        assert_eq!(serde_json::from_str::<Plan>(&text).unwrap(), frozen);
        assert_ne!(frozen.digest(), sample().digest());
    }

    #[test]
    fn another_freeze_makes_another_plan_and_other_words_do_not() {
        let (one, none) = (frozen(&[("hours", Some("lead"))]), sample());
        assert!(one.differs_from(&none).unwrap().en.contains("freezes"));
        assert!(none.differs_from(&one).is_some());
        let mut other = one.clone();
        other.freezes[0].summary = Text::same("Other words");
        other.freezes[0].overridable_by = None;
        assert_eq!(one.differs_from(&other), None);
        other.freezes[0].then = freeze::Then::Refuse;
        assert!(one.differs_from(&other).is_some());
        assert!(one.differs_from(&one.clone().by_itself()).is_some());
        assert_eq!(one.clone().by_itself().freezes, []);
    }

    #[test]
    fn an_override_drops_what_it_names_and_joins_its_role_to_the_approval() {
        let runbook = runbook();
        let names = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
        let plan = frozen(&[("hours", Some("lead")), ("audit", Some("dba")), ("never", None)]);

        let one = plan.clone().in_spite_of(&names(&["hours", "other"]), &runbook).unwrap();
        let left: Vec<&str> = one.freezes.iter().map(|freeze| freeze.name.as_str()).collect();
        assert_eq!(left, ["audit", "never"]);
        let approval = one.approval.as_ref().unwrap();
        assert_eq!((approval.from.join("+"), approval.count), ("lead".to_owned(), 1));
        assert!(one.differs_from(&plan).is_some());
        let both = plan.clone().in_spite_of(&names(&["hours", "audit"]), &runbook).unwrap();
        let approval = both.approval.unwrap();
        assert_eq!((approval.from.join("+"), approval.count), ("lead+dba".to_owned(), 2));
        let overrides = both.overrides.unwrap();
        assert_eq!(
            (overrides.freezes.join("+"), overrides.roles.join("+")),
            ("hours+audit".into(), "lead+dba".into())
        );
        assert_eq!(plan.clone().in_spite_of(&names(&["never"]), &runbook), Err(None));
        let mut own = plan.clone();
        own.approval = Some(PlannedApproval {
            from: vec!["lead".into()],
            call: vec![],
            count: 2,
            allows_self: true,
            expires_ms: 5,
            reuse_ms: Some(5),
        });
        let alone =
            own.clone().in_spite_of(&names(&["hours"]), &runbook).unwrap().approval.unwrap();
        assert_eq!(
            (alone.count, alone.allows_self, alone.expires_ms, alone.reuse_ms),
            (2, false, 5, None)
        );
        assert_eq!(own.in_spite_of(&names(&["audit"]), &runbook), Err(Some("dba".to_owned())));
        assert_eq!(plan.clone().in_spite_of(&[], &runbook), Ok(plan));
    }

    #[test]
    fn a_plan_survives_the_store() {
        let one = plan(&["echo", "{word}"], "a").unwrap();
        let text = serde_json::to_string(&one).unwrap();
        assert_eq!(serde_json::from_str::<Plan>(&text).unwrap().digest(), one.digest());
    }
}
