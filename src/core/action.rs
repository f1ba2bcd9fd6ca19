//! The runbook as values: environments, roles, actions, parameters and steps.
//!
//! `config` makes these from YAML and proves what the types alone cannot (that a named role exists,
//! that a template's names are declared); everybody else may rely on it.

use super::checklist::Checklist;
use super::contact::Contacts;
use super::freeze::Freeze;
use super::id::{ChannelId, UserId};
use super::rule::Rule;
use super::step::{Retry, When};
use super::template::Template;
use super::text::{Lang, Text};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// How long a step may take when the runbook does not say.
pub const STEP_TIMEOUT_DEFAULT_MS: u64 = 600_000;
/// How long an approval is waited for when the runbook does not say.
pub const APPROVAL_EXPIRES_DEFAULT_MS: u64 = 15 * 60_000;
/// The `PATH` a step gets when the runbook does not say.
pub const PATH_DEFAULT: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The whole reviewed file.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Runbook {
    /// The name of what is operated; a label in messages.
    pub service: String,
    /// The language of channels; persons read their own.
    pub language: Lang,
    /// By name; exactly one is the default when there are several.
    pub environments: BTreeMap<String, Environment>,
    /// By name.
    pub roles: BTreeMap<String, Role>,
    /// By name, which is also the chat command.
    pub actions: BTreeMap<String, Action>,
    /// By name; what must be in order before certain runs begin.
    pub checklists: BTreeMap<String, Checklist>,
    /// The folder of database migrations in the repository, with `/` between its parts.
    pub migrations: Option<String>,
    /// Who may do what without its gates; `None`: nobody.
    pub emergency: Option<Emergency>,
    /// When which actions wait or are refused, in the order of the file.
    pub freezes: Vec<Freeze>,
    /// Whom people call in an emergency.
    pub contacts: Option<Contacts>,
    /// Who a system user of the bot's machine is, by login: for the command line.
    pub logins: BTreeMap<String, UserId>,
    /// SHA-256 of the file's bytes, lower-case hex: what a standing approval names.
    pub digest: String,
}

impl Runbook {
    /// The environment that a request means when it names none.
    pub fn default_environment(&self) -> Option<&Environment> {
        self.environments.values().find(|environment| environment.default)
    }

    /// Where the bot's own words go: the default environment's channel, else the first one's.
    pub fn operations_channel(&self) -> Option<&ChannelId> {
        let first = self.environments.values().next();
        self.default_environment().or(first).map(|environment| &environment.channel)
    }
}

/// One place where the service runs.
#[derive(Debug, Clone, PartialEq)]
pub struct Environment {
    /// Its key in the file.
    pub name: String,
    /// Absolute; where steps run and git references are resolved.
    pub workdir: PathBuf,
    /// Meant when a request names no environment.
    pub default: bool,
    /// Shown as such; later issues hang gates on it.
    pub protected: bool,
    /// Where its cards go.
    pub channel: ChannelId,
    /// Only a bot whose `NEOSTOCK_HOST` equals this runs its steps; `None`: any bot.
    pub host: Option<String>,
    /// Names for templates, also given to each step's environment.
    pub variables: BTreeMap<String, String>,
    /// Given to each step's environment and blotted out of all output.
    pub secrets: BTreeMap<String, SecretSource>,
}

impl Environment {
    /// What a name of the runbook means here, parameters aside.
    pub fn value<'v>(&'v self, service: &'v str, name: &str) -> Option<&'v str> {
        match name {
            "environment" => Some(&self.name),
            "service" => Some(service),
            "workdir" => self.workdir.to_str(),
            _ => self.variables.get(name).map(String::as_str),
        }
    }
}

/// Where the value of a secret is read when a step starts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SecretSource {
    /// A variable of the bot's own environment.
    Env(String),
    /// A file; one trailing newline is cut.
    File(PathBuf),
}

/// Who may do something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Role {
    /// Its key in the file.
    pub name: String,
    /// Any one of these suffices.
    pub members: Vec<Member>,
    /// How long what Slack said of people counts while it cannot be asked; `None`: a minute.
    pub max_age_ms: Option<u64>,
    /// Its line in the runbook, from 1; 0: the runbook does not define it.
    pub line: usize,
}

/// Break-glass: what may be done without its gates, by whom, and who reviews it afterwards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Emergency {
    /// The role that may, besides the action's own.
    pub role: String,
    /// The actions; each has a `text` parameter `reason`.
    pub actions: Vec<String>,
    /// The role that reviews afterwards.
    pub review: String,
    /// Its line in the runbook, from 1.
    pub line: usize,
}

/// One line of a role's members.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Member {
    /// Every full member of the configured team.
    Everyone,
    /// A Slack user id (`U…`, `W…`).
    User(String),
    /// A Slack user group id (`S…`).
    Group(String),
}

/// Something the runbook lets people do.
#[derive(Debug, Clone, PartialEq)]
pub struct Action {
    /// Its key in the file and its chat command.
    pub name: String,
    /// One line for help.
    pub summary: Text,
    /// In the order in which a person writes them.
    pub parameters: Vec<Parameter>,
    /// The role that may ask for it.
    pub role: String,
    /// The line of the runbook that says so, from 1.
    pub role_line: usize,
    /// Who must agree before it is queued; `None`: nobody.
    pub approval: Option<Approval>,
    /// The checklist that must be in order before it is queued; `None`: none.
    pub checklist: Option<String>,
    /// Other terms for certain environments and arguments; the first that applies decides.
    pub rules: Vec<Rule>,
    /// The `git_ref` parameter whose version is live once a run has succeeded.
    pub makes_live: Option<String>,
    /// What is done by itself when a run of it has failed or timed out.
    pub on_failure: Option<OnFailure>,
    /// What it holds while it runs.
    pub lock: Lock,
    /// In order; none where a checklist is all there is to do.
    pub steps: Vec<Step>,
    /// What is said at the end instead of the general words.
    pub notices: Notices,
}

/// An action that follows one that failed. It is approved by whoever reviewed the runbook, and nothing
/// follows it in turn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OnFailure {
    /// The action's name.
    pub action: String,
    /// Its arguments, from names that the failed one knows and from `live_version`.
    pub arguments: BTreeMap<String, Template>,
    /// The first step, counted from 0, that must have begun: before it nothing needs undoing.
    pub from_step: usize,
}

/// A gate that people open: so many holders of a role agree to exactly this plan; or, of several roles,
/// so many, each through another person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Approval {
    /// The roles whose holders may approve or reject; at least one.
    pub from: Vec<String>,
    /// How many people must approve.
    pub count: u32,
    /// Whether the asker's own approval counts.
    pub allows_self: bool,
    /// How long the request waits for them.
    pub expires_ms: u64,
    /// For how long the approvals count once more for the same work; `None`: never.
    pub reuse_ms: Option<u64>,
}

/// What a run holds, so that no other run works on the same thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Lock {
    /// Its environment; the default.
    Environment,
    /// Nothing: it only reads.
    None,
}

/// The action's own closing words; `{name}` of parameters, variables, `environment` and `service`
/// substitute.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Notices {
    /// When every step was ok.
    pub succeeded: Option<LocalTemplate>,
    /// When a step failed, timed out or has an unknown outcome.
    pub failed: Option<LocalTemplate>,
}

/// A template in both languages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalTemplate {
    /// 中文
    pub zh: Template,
    /// English
    pub en: Template,
}

/// One typed argument.
#[derive(Debug, Clone, PartialEq)]
pub struct Parameter {
    /// Its name in `name=value`, in templates and in help.
    pub name: String,
    /// What values it takes.
    pub kind: ParameterKind,
    /// Whether a request without it is refused.
    pub required: bool,
    /// Used when a request leaves it out.
    pub default: Option<String>,
    /// What is proposed when a request leaves out a required one.
    pub suggest: Option<Suggest>,
    /// One line for help.
    pub help: Option<Text>,
}

/// Where a proposal for a left-out argument comes from. A proposal is shown with a button; it is never
/// taken by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Suggest {
    /// The release that was live before the one that is, and was not rolled back.
    LastGood,
}

/// The type of an argument.
#[derive(Debug, Clone, PartialEq)]
pub enum ParameterKind {
    /// A tag, branch or commit of the environment's repository, resolved to a commit in the plan.
    GitRef,
    /// One of these words.
    Choice(Vec<String>),
    /// `90s`, `15m`, `2h`, `1d`.
    Duration,
    /// A whole number within bounds, both inclusive.
    Number {
        /// Smallest.
        min: i64,
        /// Largest.
        max: i64,
    },
    /// Free words; only the last parameter can take more than one word.
    Text,
    /// A Slack user.
    User,
    /// A run of this bot.
    Run,
}

/// One stage of an action.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// What people read on the card.
    pub name: Text,
    /// What it does.
    pub kind: StepKind,
    /// After this it is stopped, the whole tree.
    pub timeout_ms: u64,
    /// Whether doing it twice is the same as once: only then may it be run again without a person.
    pub idempotent: bool,
    /// Whether what it left running is meant to stay.
    pub leaves_processes: bool,
    /// Whether it is cleanup: done although an earlier step ended badly.
    pub always: bool,
    /// On what condition it is done; `None`: in any case.
    pub when: Option<When>,
    /// How often it is tried again when it ended badly; only where it is `idempotent`.
    pub retry: Option<Retry>,
    /// Names of values that it hands to later steps.
    pub outputs: Vec<String>,
    /// The system user as whom it runs; `None`: the bot's own.
    pub user: Option<String>,
}

/// The kinds of step.
#[derive(Debug, Clone, PartialEq)]
pub enum StepKind {
    /// A program and its arguments; no shell reads them.
    Run {
        /// At least one element; each is one argument whatever a value holds.
        argv: Vec<Template>,
    },
    /// Asks an address until it answers as expected.
    Http {
        /// `http` or `https`.
        url: Template,
        /// The status that counts as healthy.
        expect: u16,
        /// A text that the body must hold, if any.
        contains: Option<Template>,
        /// How long to keep asking.
        within_ms: u64,
    },
    /// A report on the service's log.
    Logs {
        /// Files, or patterns with `*` and `?` in their last part.
        files: Vec<Template>,
        /// How far back, as a duration.
        window: Template,
        /// How the lines are written.
        format: AccessFormat,
        /// The beginning of the paths where people sign in; empty: every path.
        sign_in: String,
    },
    /// A summary of the bot's own journal.
    Journal {
        /// How far back, as a duration.
        window: Template,
    },
}

/// How the lines of an access log are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AccessFormat {
    /// As nginx and Apache do by default; a last field such as `0.123` is the time to answer, in
    /// seconds.
    Combined,
    /// One JSON object a line.
    Json,
}

impl AccessFormat {
    /// The words of the runbook and the command line, the default first.
    pub const NAMES: &[&str] = &["combined", "json"];

    /// The format of a name.
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Combined, Self::Json].into_iter().find(|format| format.as_str() == name)
    }

    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Combined => "combined",
            Self::Json => "json",
        }
    }
}
