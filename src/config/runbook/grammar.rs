//! The runbook's grammar: the one description that checks it and prints its schema.

mod checklists;
mod contacts;
mod freezes;
mod rules;

use crate::config::shape::{
    List, Map, Object, Range, Shape, Text, TextKind, Word, default, optional, required,
};
use crate::core::action::AccessFormat;

/// No step, and no waiting within one, is given longer.
const WAIT_MS_MAX: u64 = 24 * 3_600_000;
/// The shortest and the longest time for which a role may believe what Slack said before.
const MAX_AGE_MS: (u64, u64) = (60_000, 30 * 24 * 3_600_000);
const LOGINS_MAX: usize = 200;
const ENVIRONMENTS_MAX: usize = 60;
const ROLES_MAX: usize = 50;
const MEMBERS_MAX: usize = 100;
const ACTIONS_MAX: usize = 100;
const PARAMETERS_MAX: usize = 12;
const CHOICES_MAX: usize = 50;
const STEPS_MAX: usize = 50;
const APPROVALS_MAX: i64 = 10;
const ARGUMENTS_MAX: usize = 100;
const LOG_FILES_MAX: usize = 10;
const OUTPUTS_MAX: usize = 20;
const WORDS_MAX: usize = 20;
const RETRIES_MAX: i64 = 10;
const BACKOFF_MAX: i64 = 10;
/// No pause before another try is longer, whatever the backoff makes of it.
const RETRY_DELAY_MS_MAX: u64 = crate::core::step::RETRY_DELAY_MS_MAX;
const VARIABLES_MAX: usize = 100;

const LOWER: Range = ('a', 'z');
const UPPER: Range = ('A', 'Z');
const DIGIT: Range = ('0', '9');
const UNDERSCORE: Range = ('_', '_');

/// Names of environments, roles and actions: people type them in chat.
pub(in crate::config) static NAME: Word = Word {
    name: "a name here (lower-case letters, digits and single `-`, at most 30)",
    literals: &[],
    first: &[LOWER],
    rest: &[LOWER, DIGIT],
    joiner: Some('-'),
    chars_min: 1,
    chars_max: 30,
    example: "backup-verify",
};
static PARAMETER_NAME: Word = Word {
    name: "a parameter's name (lower-case letters, digits and `_`, at most 30)",
    literals: &[],
    first: &[LOWER],
    rest: &[LOWER, DIGIT, UNDERSCORE],
    joiner: None,
    chars_min: 1,
    chars_max: 30,
    example: "version",
};
static VARIABLE_NAME: Word = Word {
    name: "a variable's name (letters, digits and `_`)",
    literals: &[],
    first: &[LOWER, UPPER, UNDERSCORE],
    rest: &[LOWER, UPPER, DIGIT, UNDERSCORE],
    joiner: None,
    chars_min: 1,
    chars_max: 100,
    example: "HEALTH_URL",
};
static CHANNEL_ID: Word = Word {
    name: "a Slack conversation id (`C…`, `G…` or `D…`; in Slack: the channel's details, at the bottom)",
    literals: &[],
    first: &[('C', 'C'), ('G', 'G'), ('D', 'D')],
    rest: &[UPPER, DIGIT],
    joiner: None,
    chars_min: 2,
    chars_max: 30,
    example: "C0123456789",
};
static MEMBER: Word = Word {
    name: "a member (`everyone`, a Slack user id `U…` or `W…`, or a user group id `S…`)",
    literals: &["everyone"],
    first: &[('U', 'U'), ('W', 'W'), ('S', 'S')],
    rest: &[UPPER, DIGIT],
    joiner: None,
    chars_min: 2,
    chars_max: 30,
    example: "S0123456789",
};
static USER_NAME: Word = Word {
    name: "a system user's name (lower-case letters, digits, `_` and `-`)",
    literals: &[],
    first: &[LOWER, UNDERSCORE],
    rest: &[LOWER, DIGIT, UNDERSCORE, ('-', '-')],
    joiner: None,
    chars_min: 1,
    chars_max: 32,
    example: "neostock",
};
static LOGIN: Word = Word {
    name: "a login (letters, digits, `_`, `-`, `.` and `@`)",
    literals: &[],
    first: &[LOWER, UPPER, UNDERSCORE],
    rest: &[LOWER, UPPER, DIGIT, UNDERSCORE, ('.', '.'), ('@', '@'), ('-', '-')],
    joiner: None,
    chars_min: 1,
    chars_max: 64,
    example: "alice",
};
static PERSON: Word = Word {
    name: "a Slack user id (`U…` or `W…`; in Slack: the person's profile, “Copy member ID”)",
    literals: &[],
    first: &[('U', 'U'), ('W', 'W')],
    rest: &[UPPER, DIGIT],
    joiner: None,
    chars_min: 2,
    chars_max: 30,
    example: "U0123456789",
};
static HOST: Word = Word {
    name: "a host's name (letters, digits and `-`, parts joined by `.`)",
    literals: &[],
    first: &[LOWER, UPPER, DIGIT],
    rest: &[LOWER, UPPER, DIGIT, UNDERSCORE, ('-', '-')],
    joiner: Some('.'),
    chars_min: 1,
    chars_max: 253,
    example: "app-1.example.com",
};

static SERVICE: Text = Text {
    name: "a service name",
    kind: TextKind::Line,
    chars_min: 1,
    chars_max: 40,
    example: "neostock",
};
static SUMMARY: Text = Text {
    name: "a summary",
    kind: TextKind::Line,
    chars_min: 1,
    chars_max: 150,
    example: "{zh: 回滚到指定版本, en: Roll back to a version}",
};
static STEP_NAME: Text = Text {
    name: "a step's name",
    kind: TextKind::Line,
    chars_min: 1,
    chars_max: 100,
    example: "{zh: 健康检查, en: Health check}",
};
static NOTICE: Text = Text {
    name: "a notice",
    kind: TextKind::AsWritten,
    chars_min: 1,
    chars_max: 1_000,
    example: "{zh: \"已回滚到 {version}\", en: \"Rolled back to {version}\"}",
};
static PATH: Text = Text {
    name: "a path",
    kind: TextKind::Line,
    chars_min: 1,
    chars_max: 1_000,
    example: "/srv/app",
};
static REPOSITORY_PATH: Text = Text {
    name: "a folder of the repository",
    kind: TextKind::Line,
    chars_min: 1,
    chars_max: 300,
    example: "apps/server/db",
};
static VALUE: Text = Text {
    name: "a value",
    kind: TextKind::AsWritten,
    chars_min: 0,
    chars_max: 10_000,
    example: "\"http://127.0.0.1:3000/health\"",
};
static CHOICE: Text = Text {
    name: "a choice",
    kind: TextKind::AsWritten,
    chars_min: 1,
    chars_max: 75,
    example: "blue",
};
static ARGUMENT: Text = Text {
    name: "an argument",
    kind: TextKind::AsWritten,
    chars_min: 0,
    chars_max: 10_000,
    example: "\"--to={version}\"",
};
static URL: Text = Text {
    name: "an address",
    kind: TextKind::Line,
    chars_min: 1,
    chars_max: 2_000,
    example: "\"{HEALTH_URL}\"",
};
static LOG_FILE: Text = Text {
    name: "a log file",
    kind: TextKind::Line,
    chars_min: 1,
    chars_max: 1_000,
    example: "\"/var/log/neostock/access.log*\"",
};
static WINDOW: Text = Text {
    name: "a window of time",
    kind: TextKind::Line,
    chars_min: 1,
    chars_max: 100,
    example: "\"{window}\"",
};
static PATH_START: Text = Text {
    name: "the beginning of a path",
    kind: TextKind::Line,
    chars_min: 1,
    chars_max: 100,
    example: "/api/auth/",
};
static HOST_TEXT: Text = word("a host", &HOST);
static CHANNEL: Text = word("a channel", &CHANNEL_ID);
static ROLE_NAME: Text = word("a role's name", &NAME);
static MEMBER_TEXT: Text = word("a member", &MEMBER);
static PERSON_TEXT: Text = word("a person", &PERSON);
static ENV_NAME: Text = word("a variable's name", &VARIABLE_NAME);

const fn word(name: &'static str, word: &'static Word) -> Text {
    Text { name, kind: TextKind::Word(word), chars_min: 1, chars_max: 300, example: word.example }
}

static ACTION_NAME: Text = word("an action's name", &NAME);
static USER_TEXT: Text = word("a system user's name", &USER_NAME);
static OUTPUT_NAME: Text = word("an output's name", &PARAMETER_NAME);
static COMPARED: Text = Text {
    name: "a value to compare",
    kind: TextKind::AsWritten,
    chars_min: 1,
    chars_max: 1_000,
    example: "\"{mode}\"",
};
static PARAMETER_TEXT: Text = word("a parameter's name", &PARAMETER_NAME);

/// Nobody remembers what a request of last week was about.
const APPROVAL_WAIT: Shape = Shape::Duration { min_ms: 1_000, max_ms: 7 * 24 * 3_600_000 };
/// What was approved longer ago is looked at again.
const APPROVAL_REUSE: Shape = Shape::Duration { min_ms: 60_000, max_ms: 24 * 3_600_000 };
const WAIT: Shape = Shape::Duration { min_ms: 1, max_ms: WAIT_MS_MAX };

/// Keys that the design names and that come later; here so that nobody is told "did you mean".
const LATER_IN_PARAMETER: &[&str] = &["when"];
const LATER_IN_STEP: &[&str] = &["approval", "checklist"];

/// The whole file.
pub(super) const ROOT: Shape = Shape::Object(&RUNBOOK);

static RUNBOOK: Object = Object {
    name: "the runbook",
    doc: "A NeoStock Ops runbook: who may do what to which service, step by step.",
    fields: &[
        required("service", Shape::Text(&SERVICE), "The name of what is operated"),
        default("language", "zh", Shape::Choice(&["zh", "en"]), "The language of channels"),
        required("environments", Shape::Map(&ENVIRONMENTS), "The places where the service runs"),
        required("roles", Shape::Map(&ROLES), "Who may ask for what"),
        required("actions", Shape::Map(&ACTIONS), "What people can do; each is a chat command"),
        optional(
            "checklists",
            Shape::Map(&checklists::CHECKLISTS),
            "What must be in order before certain runs begin; actions and rules name them",
        ),
        optional(
            "migrations",
            Shape::Text(&REPOSITORY_PATH),
            "The folder of database migrations in the repository; a plan lists what changes in it",
        ),
        optional(
            "emergency",
            Shape::Object(&EMERGENCY),
            "Break-glass: what may be done without its gates, with `--emergency` and a reason",
        ),
        freezes::FIELD,
        contacts::FIELD,
        optional(
            "command_line",
            Shape::Object(&COMMAND_LINE),
            "Who may give commands with `neostock-ops do` on the bot's machine",
        ),
    ],
    exactly_one: &[],
    later: &[],
    example: "service: neostock",
};

static EMERGENCY: Object = Object {
    name: "the emergency section",
    doc: "Who may do which actions without their gates. Leads are called at once, the card stays red and people are reminded until one of them reviews it.",
    fields: &[
        required("role", Shape::Text(&ROLE_NAME), "The role that may, besides the action's own"),
        required("actions", Shape::List(&ACTION_NAMES), "Actions with a `text` parameter `reason`"),
        required(
            "review",
            Shape::Text(&ROLE_NAME),
            "The role that is called at once and reviews it; never whoever asked",
        ),
    ],
    exactly_one: &[],
    later: &[],
    example: "{role: oncall, actions: [rollback], review: lead}",
};

static ACTION_NAMES: List = List {
    name: "actions",
    item: Shape::Text(&ACTION_NAME),
    min: 1,
    max: ACTIONS_MAX,
    example: "[rollback]",
};

static ENVIRONMENTS: Map = Map {
    name: "environments",
    key: &NAME,
    value: Shape::Object(&ENVIRONMENT),
    min: 1,
    max: ENVIRONMENTS_MAX,
    example: "{production: {workdir: /srv/app, channel: C0123456789}}",
};

static ENVIRONMENT: Object = Object {
    name: "an environment",
    doc: "One place where the service runs.",
    fields: &[
        required(
            "workdir",
            Shape::Text(&PATH),
            "Where steps run and git references are resolved; a relative path starts at this file's folder",
        ),
        default(
            "default",
            "false",
            Shape::Bool,
            "Meant when a request names no environment; one of several has it",
        ),
        default("protected", "false", Shape::Bool, "Shown as such; gates hang on it"),
        required("channel", Shape::Text(&CHANNEL), "The Slack conversation of its cards"),
        optional(
            "host",
            Shape::Text(&HOST_TEXT),
            "Only a bot whose NEOSTOCK_HOST equals this runs its steps",
        ),
        optional(
            "variables",
            Shape::Map(&VARIABLES),
            "Names for templates, also given to each step's environment; no secrets here",
        ),
        optional(
            "secrets",
            Shape::Map(&SECRETS),
            "Read when a step starts, given to its environment and blotted out of all output",
        ),
    ],
    exactly_one: &[],
    later: &[],
    example: "{workdir: /srv/app, channel: C0123456789}",
};

static VARIABLES: Map = Map {
    name: "variables",
    key: &VARIABLE_NAME,
    value: Shape::Text(&VALUE),
    min: 0,
    max: VARIABLES_MAX,
    example: "{HEALTH_URL: \"http://127.0.0.1:3000/health\"}",
};

static SECRETS: Map = Map {
    name: "secrets",
    key: &VARIABLE_NAME,
    value: Shape::Object(&SECRET),
    min: 0,
    max: VARIABLES_MAX,
    example: "{DB_PASSWORD: {env: NEOSTOCK_SECRET_DB}}",
};

pub(in crate::config) static SECRET: Object = Object {
    name: "a secret's source",
    doc: "Where the value of a secret is read; the value itself never stands in this file.",
    fields: &[
        optional("env", Shape::Text(&ENV_NAME), "A variable of the bot's own environment"),
        optional(
            "file",
            Shape::Text(&PATH),
            "A file; one newline at its end is cut; a relative path starts at this file's folder",
        ),
    ],
    exactly_one: &["env", "file"],
    later: &[],
    example: "{env: NEOSTOCK_SECRET_DB}",
};

static ROLES: Map = Map {
    name: "roles",
    key: &NAME,
    value: Shape::Object(&ROLE),
    min: 1,
    max: ROLES_MAX,
    example: "{operator: {members: [S0123456789]}}",
};

static ROLE: Object = Object {
    name: "a role",
    doc: "Who may do something.",
    fields: &[
        required("members", Shape::List(&MEMBERS), "Any one of these suffices"),
        optional(
            "max_age",
            Shape::Duration { min_ms: MAX_AGE_MS.0, max_ms: MAX_AGE_MS.1 },
            "How long what Slack last said of people counts while it cannot be asked; a minute unless given",
        ),
    ],
    exactly_one: &[],
    later: &[],
    example: "{members: [everyone], max_age: 12h}",
};

static COMMAND_LINE: Object = Object {
    name: "the command line",
    doc: "Who the system users of the bot's machine are in Slack.",
    fields: &[required(
        "users",
        Shape::Map(&LOGINS),
        "Each login that may use it, and whose it is: the Slack user's id",
    )],
    exactly_one: &[],
    later: &[],
    example: "{users: {alice: U0123456789}}",
};

static LOGINS: Map = Map {
    name: "users",
    key: &LOGIN,
    value: Shape::Text(&PERSON_TEXT),
    min: 1,
    max: LOGINS_MAX,
    example: "{alice: U0123456789}",
};

static MEMBERS: List = List {
    name: "members",
    item: Shape::Text(&MEMBER_TEXT),
    min: 1,
    max: MEMBERS_MAX,
    example: "[everyone]",
};

static ACTIONS: Map = Map {
    name: "actions",
    key: &NAME,
    value: Shape::Object(&ACTION),
    min: 1,
    max: ACTIONS_MAX,
    example: "{restart: {summary: Restart it, role: operator, steps: […]}}",
};

static ACTION: Object = Object {
    name: "an action",
    doc: "Something the runbook lets people do; its name is the chat command.",
    fields: &[
        required("summary", Shape::Localized(&SUMMARY), "One line for help"),
        optional("parameters", Shape::Map(&PARAMETERS), "In the order in which people write them"),
        required("role", Shape::Text(&ROLE_NAME), "The role that may ask for it"),
        optional(
            "approval",
            Shape::Object(&APPROVAL),
            "Who must agree to exactly this plan before it is queued",
        ),
        optional(
            "rules",
            Shape::List(&rules::RULES),
            "Who may ask on what terms, by environment and arguments; the first that applies decides, else `role` and `approval`",
        ),
        optional(
            "makes_live",
            Shape::Text(&PARAMETER_TEXT),
            "The `git_ref` parameter whose version is live once a run has succeeded",
        ),
        optional(
            "on_failure",
            Shape::Object(&ON_FAILURE),
            "What is done by itself when a run has failed or timed out; shown in the plan",
        ),
        default(
            "lock",
            "environment",
            Shape::Choice(&["environment", "none"]),
            "What it holds while it runs; `none` only for what merely reads",
        ),
        optional(
            "checklist",
            Shape::Text(&checklists::CHECKLIST_NAME),
            "The checklist that must be in order before it is queued",
        ),
        optional(
            "steps",
            Shape::List(&STEPS),
            "Done in order; the first failure ends the run; only with a `checklist` can they be left out",
        ),
        optional("notices", Shape::Object(&NOTICES), "The action's own closing words"),
    ],
    exactly_one: &[],
    later: &[],
    example: "{summary: Restart it, role: operator, steps: […]}",
};

static ON_FAILURE: Object = Object {
    name: "what follows a failure",
    doc: "An action that is done by itself when a run has failed or timed out after its first step began. Nothing follows it in turn, and it needs no approval of its own.",
    fields: &[
        required("action", Shape::Text(&ACTION_NAME), "Another action of this file"),
        optional(
            "with",
            Shape::Map(&WITH),
            "Its arguments; `{name}` of this action's parameters and variables, and `{live_version}`",
        ),
        optional(
            "from_step",
            Shape::Text(&STEP_NAME),
            "The name of the first step whose beginning makes it necessary; the first unless given",
        ),
    ],
    exactly_one: &[],
    later: &[],
    example: "{action: rollback, with: {version: \"{live_version}\", reason: \"deploy {version} failed\"}}",
};

static WITH: Map = Map {
    name: "arguments",
    key: &PARAMETER_NAME,
    value: Shape::Text(&VALUE),
    min: 0,
    max: PARAMETERS_MAX,
    example: "{version: \"{live_version}\"}",
};

static APPROVAL: Object = Object {
    name: "an approval",
    doc: "A gate that people open: so many holders of a role agree to exactly this plan.",
    fields: &[
        required(
            "from",
            Shape::Either(&[Shape::Text(&ROLE_NAME), Shape::List(&ROLE_NAMES)]),
            "The role whose holders may approve or reject; or several, each of which counts once",
        ),
        default(
            "count",
            "1",
            Shape::Integer { min: 1, max: APPROVALS_MAX },
            "How many of them must approve, each another person; needed where `from` is a list",
        ),
        default("self", "false", Shape::Bool, "The asker's own approval counts"),
        default("expires", "15m", APPROVAL_WAIT, "How long the request waits for them"),
        optional(
            "reuse",
            APPROVAL_REUSE,
            "For how long approvals count once more for the same commit and unchanged steps; never unless given",
        ),
    ],
    exactly_one: &[],
    later: &[],
    example: "{from: lead, count: 1, expires: 15m}",
};

static ROLE_NAMES: List = List {
    name: "roles",
    item: Shape::Text(&ROLE_NAME),
    min: 1,
    max: ROLES_MAX,
    example: "[lead, dba]",
};

static PARAMETERS: Map = Map {
    name: "parameters",
    key: &PARAMETER_NAME,
    value: Shape::Object(&PARAMETER),
    min: 0,
    max: PARAMETERS_MAX,
    example: "{version: {type: git_ref, required: true}}",
};

/// The types of parameters.
pub(super) const TYPES: &[&str] =
    &["git_ref", "choice", "duration", "number", "text", "user", "run"];

static PARAMETER: Object = Object {
    name: "a parameter",
    doc: "One typed argument.",
    fields: &[
        required(
            "type",
            Shape::Choice(TYPES),
            "What values it takes; `text` takes all remaining words and comes last",
        ),
        default("required", "false", Shape::Bool, "Whether a request without it is refused"),
        optional("default", Shape::Text(&VALUE), "Used when a request leaves it out"),
        optional("choices", Shape::List(&CHOICES), "The words that a `choice` takes"),
        optional("min", Shape::Integer { min: i64::MIN, max: i64::MAX }, "A `number`'s smallest"),
        optional("max", Shape::Integer { min: i64::MIN, max: i64::MAX }, "A `number`'s largest"),
        optional(
            "suggest",
            Shape::Choice(&["last_good"]),
            "What a button proposes when a request leaves out a required version",
        ),
        optional("help", Shape::Localized(&SUMMARY), "One line for help"),
    ],
    exactly_one: &[],
    later: LATER_IN_PARAMETER,
    example: "{type: git_ref, required: true}",
};

static CHOICES: List = List {
    name: "choices",
    item: Shape::Text(&CHOICE),
    min: 1,
    max: CHOICES_MAX,
    example: "[blue, green]",
};

static STEPS: List = List {
    name: "steps",
    item: Shape::Object(&STEP),
    min: 1,
    max: STEPS_MAX,
    example: "[{name: Restart, run: [pm2, restart, server]}]",
};

static STEP: Object = Object {
    name: "a step",
    doc: "One stage of an action: a program (`run`), an address that must answer (`http`), or a report (`logs`, `journal`).",
    fields: &[
        required("name", Shape::Localized(&STEP_NAME), "What people read on the card"),
        optional(
            "run",
            Shape::List(&ARGV),
            "A program and its arguments; no shell reads them; `{name}` substitutes inside one argument",
        ),
        optional("http", Shape::Object(&HTTP), "Asks an address until it answers as expected"),
        optional("logs", Shape::Object(&LOGS), "Sums up the service's log over a window of time"),
        optional("journal", Shape::Object(&JOURNAL), "Sums up the bot's own journal"),
        optional(
            "timeout",
            WAIT,
            "After this it is stopped, the whole process tree; 10m unless given, for `http` within + 10s",
        ),
        optional(
            "idempotent",
            Shape::Bool,
            "Doing it twice is the same as once; false for `run` unless given, true for all others",
        ),
        default(
            "leaves_processes",
            "false",
            Shape::Bool,
            "What it left running is meant to stay (a restart through pm2)",
        ),
        optional(
            "when",
            Shape::Object(&WHEN),
            "On what condition it is done; else it is passed over",
        ),
        default(
            "always",
            "false",
            Shape::Bool,
            "It cleans up: done although an earlier step failed, timed out or was cancelled",
        ),
        optional(
            "retry",
            Shape::Object(&RETRY),
            "It is tried again when it failed or timed out; only where it is `idempotent`",
        ),
        optional(
            "outputs",
            Shape::List(&OUTPUTS),
            "Values it hands to later steps: it writes `name=value` lines to the file $NEOSTOCK_OUTPUTS",
        ),
        optional(
            "user",
            Shape::Text(&USER_TEXT),
            "The system user as whom it runs; the bot must be allowed to change users",
        ),
    ],
    exactly_one: &["run", "http", "logs", "journal"],
    later: LATER_IN_STEP,
    example: "{name: Restart, run: [pm2, restart, server]}",
};

static ARGV: List = List {
    name: "arguments",
    item: Shape::Text(&ARGUMENT),
    min: 1,
    max: ARGUMENTS_MAX,
    example: "[git, checkout, \"{version}\"]",
};

static WHEN: Object = Object {
    name: "a condition",
    doc: "A value compared with words, letter for letter. A parameter that was left out is empty.",
    fields: &[
        required("value", Shape::Text(&COMPARED), "`{name}` of parameters, variables and outputs"),
        optional("is", Shape::Text(&VALUE), "It must be this"),
        optional("is_not", Shape::Text(&VALUE), "It must not be this"),
        optional("is_one_of", Shape::List(&WORDS), "It must be one of these"),
    ],
    exactly_one: &["is", "is_not", "is_one_of"],
    later: &[],
    example: "{value: \"{mode}\", is: full}",
};

static WORDS: List = List {
    name: "words",
    item: Shape::Text(&VALUE),
    min: 1,
    max: WORDS_MAX,
    example: "[full, incremental]",
};

static RETRY: Object = Object {
    name: "a retry",
    doc: "Further tries of a step that failed or timed out. A person's cancel ends them.",
    fields: &[
        required("times", Shape::Integer { min: 1, max: RETRIES_MAX }, "Further tries"),
        default(
            "delay",
            "5s",
            Shape::Duration { min_ms: 0, max_ms: RETRY_DELAY_MS_MAX },
            "The pause before the first of them",
        ),
        default(
            "backoff",
            "1",
            Shape::Integer { min: 1, max: BACKOFF_MAX },
            "What the pause is multiplied by for each further one, up to an hour",
        ),
    ],
    exactly_one: &[],
    later: &[],
    example: "{times: 3, delay: 5s, backoff: 2}",
};

static OUTPUTS: List = List {
    name: "outputs",
    item: Shape::Text(&OUTPUT_NAME),
    min: 1,
    max: OUTPUTS_MAX,
    example: "[backup_path]",
};

static HTTP: Object = Object {
    name: "an http step",
    doc: "Asks an address until it answers as expected.",
    fields: &[
        required(
            "url",
            Shape::Text(&URL),
            "http or https; the host is the runbook's, never an asker's",
        ),
        default("expect", "200", Shape::Integer { min: 100, max: 599 }, "The healthy status"),
        default("within", "60s", WAIT, "How long to keep asking"),
        optional("contains", Shape::Text(&VALUE), "A text that the body must hold"),
    ],
    exactly_one: &[],
    later: &[],
    example: "{url: \"{HEALTH_URL}\", within: 60s}",
};

static LOGS: Object = Object {
    name: "a logs step",
    doc: "Sums up the service's access log: requests, errors, failed sign-ins, the slowest routes.",
    fields: &[
        required(
            "files",
            Shape::List(&LOG_FILES),
            "Files, rotated and gzipped ones too; `*` and `?` in the last part; relative to workdir",
        ),
        default("window", "24h", Shape::Text(&WINDOW), "How far to look back"),
        default(
            "format",
            "combined",
            Shape::Choice(AccessFormat::NAMES),
            "`combined` as nginx and Apache write it, or one `json` object a line",
        ),
        optional(
            "sign_in",
            Shape::Text(&PATH_START),
            "The beginning of the paths where people sign in: 401 and 403 there are failed sign-ins",
        ),
    ],
    exactly_one: &[],
    later: &[],
    example: "{files: [\"/var/log/neostock/access.log*\"], window: \"{window}\"}",
};

static LOG_FILES: List = List {
    name: "log files",
    item: Shape::Text(&LOG_FILE),
    min: 1,
    max: LOG_FILES_MAX,
    example: "[\"/var/log/neostock/access.log*\"]",
};

static JOURNAL: Object = Object {
    name: "a journal step",
    doc: "Sums up the bot's own journal: who did what, what was denied, what went wrong.",
    fields: &[default("window", "24h", Shape::Text(&WINDOW), "How far to look back")],
    exactly_one: &[],
    later: &[],
    example: "{window: \"{window}\"}",
};

static NOTICES: Object = Object {
    name: "the notices",
    doc: "The action's own closing words; `{name}` of parameters, variables, environment, service and workdir substitute.",
    fields: &[
        optional("succeeded", Shape::Localized(&NOTICE), "When every step was ok"),
        optional(
            "failed",
            Shape::Localized(&NOTICE),
            "When a step failed, timed out or has an unknown outcome",
        ),
    ],
    exactly_one: &[],
    later: &[],
    example: "{succeeded: Done, failed: Somebody must act now}",
};
