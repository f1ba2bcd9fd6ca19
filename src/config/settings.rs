//! The bot's own settings: defaults, then a file, then the environment.
//!
//! `defaults.yml` is the documentation of every key. Secrets are [`SecretString`]; no fault and no
//! `Debug` ever shows one.

mod documented;

pub use documented::{Documented, documented};

use super::fault::{Fault, Faults, did_you_mean};
use super::runbook::read_bounded;
use super::shape::{List, Object, Shape, Text, TextKind, optional};
use super::tree::{self, Node, Value};
use crate::core::compliance::STATEMENT_CHARS_MAX;
use crate::core::duration;
use crate::core::journal::{ExportKey, Keys};
use crate::core::text::Lang;
use axum::http::Uri;
use secrecy::{ExposeSecret, SecretString};
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

/// Every setting with its default and its meaning; read by the same machinery as a person's file.
pub const DEFAULTS: &str = include_str!("defaults.yml");
/// The settings file that is read when none is named.
pub const FILE_DEFAULT: &str = "neostock.yml";
/// A journal key shorter than the hash is weaker than the hash.
const JOURNAL_KEY_BYTES_MIN: usize = 32;
const RESPONSE_HOSTS_MAX: usize = 20;
const KEYS_PREVIOUS_MAX: usize = 50;
/// The largest limit of runs that wait: the list of them is counted with every request.
const RUNS_WAITING_MAX_MAX: i64 = 100_000;
/// Settings that are lists; in a variable, commas stand between.
const LISTS: [&str; 2] = ["response_hosts", "journal_key_previous"];
/// A shorter lease would be lost to a busy machine; a longer one leaves runs without a driver.
const LEASE_MS_MIN: u64 = 2_000;
const LEASE_MS_MAX: u64 = 600_000;
/// An hour; ten years.
const EVIDENCE_KEPT_MS_MIN: u64 = 3_600_000;
const EVIDENCE_KEPT_MS_MAX: u64 = 3_650 * 86_400_000;
const MIB: u64 = 1024 * 1024;

/// Where the database's url stands: in the bot's environment, and in that of a `journal` step.
pub const DATABASE_VARIABLE: &str = "DATABASE_URL";
/// What exports of the journal are signed with.
const EXPORT_KEY_VARIABLE: &str = "NEOSTOCK_EXPORT_KEY";
/// Each setting: its environment variable and its key in the file.
const VARIABLES: [(&str, &str); 22] = [
    ("SLACK_BOT_TOKEN", "slack.bot_token"),
    ("SLACK_SIGNING_SECRET", "slack.signing_secret"),
    ("SLACK_APP_TOKEN", "slack.app_token"),
    ("SLACK_API_URL", "slack.api_url"),
    (DATABASE_VARIABLE, "database_url"),
    ("NEOSTOCK_LISTEN", "listen"),
    ("NEOSTOCK_DATA_DIR", "data_dir"),
    ("NEOSTOCK_RUNBOOK", "runbook"),
    ("NEOSTOCK_ALERTING", "alerting"),
    ("NEOSTOCK_HOST", "host"),
    ("NEOSTOCK_LEASE", "lease"),
    ("NEOSTOCK_EVIDENCE_KEPT", "evidence_kept"),
    ("NEOSTOCK_EVIDENCE_MIB_MAX", "evidence_mib_max"),
    ("NEOSTOCK_JOURNAL_KEY", "journal_key"),
    ("NEOSTOCK_JOURNAL_KEY_PREVIOUS", "journal_key_previous"),
    (EXPORT_KEY_VARIABLE, "export_key"),
    ("NEOSTOCK_WEBHOOK_TOKEN", "webhook_token"),
    ("NEOSTOCK_RESPONSE_HOSTS", "response_hosts"),
    ("NEOSTOCK_RUNS_WAITING_MAX", "runs_waiting_max"),
    ("NEOSTOCK_ENCRYPTION_AT_REST", "encryption_at_rest"),
    ("NEOSTOCK_LOG", "log"),
    ("NEOSTOCK_LOG_FORMAT", "log_format"),
];
const OWN_PREFIX: &str = "NEOSTOCK_";
/// `NEOSTOCK_` names that are not settings: the settings file's own, what a step's processes carry, and
/// what names this program to a script.
const USED_ELSEWHERE: [&str; 6] = [
    "NEOSTOCK_CONFIG",
    "NEOSTOCK_FAULT",
    "NEOSTOCK_RUN",
    "NEOSTOCK_ATTEMPT",
    "NEOSTOCK_OUTPUTS",
    "NEOSTOCK_OPS",
];
/// Families of names that are not settings: tests, and secrets that a runbook names.
const USED_ELSEWHERE_PREFIXES: [&str; 2] = ["NEOSTOCK_TEST_", "NEOSTOCK_SECRET_"];
/// Variables that hold the bot's own secrets: no runbook may hand them to a step.
pub(super) const OWN_SECRETS: [&str; 8] = [
    "SLACK_BOT_TOKEN",
    "SLACK_SIGNING_SECRET",
    "SLACK_APP_TOKEN",
    DATABASE_VARIABLE,
    "NEOSTOCK_JOURNAL_KEY",
    "NEOSTOCK_JOURNAL_KEY_PREVIOUS",
    EXPORT_KEY_VARIABLE,
    "NEOSTOCK_WEBHOOK_TOKEN",
];

/// Whether a name is reserved for the bot.
pub(super) fn has_own_prefix(name: &str) -> bool {
    name.starts_with(OWN_PREFIX)
}

/// The settings of one process.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `xoxb-…`.
    pub slack_bot_token: Option<SecretString>,
    /// What Slack's requests are verified with.
    pub slack_signing_secret: Option<SecretString>,
    /// `xapp-…`; present: Socket Mode.
    pub slack_app_token: Option<SecretString>,
    /// Without a slash at its end.
    pub slack_api_url: String,
    /// `sqlite:…` or `postgres://…`; it may hold a password.
    pub database_url: SecretString,
    /// Where HTTP is served.
    pub listen: SocketAddr,
    /// Absolute.
    pub data_dir: PathBuf,
    /// Absolute.
    pub runbook: PathBuf,
    /// Absolute.
    pub alerting: Option<PathBuf>,
    /// The name that an environment's `host` is compared with.
    pub host: String,
    /// How long this bot may be silent before another takes its runs over.
    pub lease_ms: u64,
    /// How long evidence and sent messages are kept after their run has ended.
    pub evidence_kept_ms: u64,
    /// How much evidence is kept in all; the oldest ended goes first.
    pub evidence_bytes_max: u64,
    /// At least 32 bytes.
    pub journal_key: Option<SecretString>,
    /// Keys that the journal was under before, each at least 32 bytes; in no order.
    pub journal_keys_previous: Vec<SecretString>,
    /// 32 bytes as hexadecimal digits; known to be a key.
    pub export_key: Option<SecretString>,
    /// What a webhook's caller must show.
    pub webhook_token: Option<SecretString>,
    /// `host` or `host:port` in lower case, besides Slack's own.
    pub response_hosts: Vec<String>,
    /// How many runs may wait or be queued.
    pub runs_waiting_max: i64,
    /// What the operator states of the encryption of disks, database and backups; nobody checks it.
    pub encryption_at_rest: Option<String>,
    /// A tracing filter that is known to parse.
    pub log: String,
    /// How a log line is written.
    pub log_format: LogFormat,
}

/// How a log line is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// For collectors.
    Json,
}

/// What the bot needs to speak to Slack.
#[derive(Debug, Clone)]
pub struct SlackSettings {
    /// `xoxb-…`.
    pub bot_token: SecretString,
    /// What Slack's requests are verified with.
    pub signing_secret: SecretString,
    /// `xapp-…`; present: Socket Mode.
    pub app_token: Option<SecretString>,
    /// Without a slash at its end.
    pub api_url: String,
}

/// Everything that settings are made from.
#[derive(Clone)]
pub struct Sources {
    /// The settings file: its name and its bytes.
    pub file: Option<(String, Vec<u8>)>,
    /// The environment; names without meaning here are passed over.
    pub environment: Vec<(String, String)>,
    /// Where relative paths start; absolute.
    pub working_dir: PathBuf,
    /// The machine's name.
    pub hostname: String,
}

/// The database that the bot hands to a `journal` step, which has no other settings.
pub fn database_of_step() -> Option<SecretString> {
    std::env::var_os(DATABASE_VARIABLE)?.into_string().ok().map(SecretString::from)
}

/// The language that the environment of this process asks for, as programs of a terminal read it (POSIX,
/// 8.2): the first of `LC_ALL`, `LC_MESSAGES` and `LANG` that is set; `None`: it asks for none.
pub fn language() -> Option<Lang> {
    let names = ["LC_ALL", "LC_MESSAGES", "LANG"];
    let values = names.into_iter().filter_map(|name| std::env::var_os(name)?.into_string().ok());
    language_of(values)
}

fn language_of(mut values: impl Iterator<Item = String>) -> Option<Lang> {
    let locale = values.find(|value| !value.is_empty())?;
    let name = locale.split(['.', '@']).next().unwrap_or_default();
    (!matches!(name, "C" | "POSIX")).then(|| Lang::from_locale(name))
}

/// Reads the settings of this process: the environment, and the file named by `config_path`, by
/// `NEOSTOCK_CONFIG`, or `./neostock.yml` if there is one.
///
/// # Errors
/// Every fault of the file and the environment.
pub fn read(config_path: Option<&Path>) -> Result<Settings, Vec<Fault>> {
    from_sources(&sources(config_path)?)
}

/// Gathers what [`read`] reads.
///
/// # Errors
/// A settings file that was named and cannot be read, a variable that is not text.
pub fn sources(config_path: Option<&Path>) -> Result<Sources, Vec<Fault>> {
    let mut faults = Vec::new();
    let mut environment = Vec::new();
    for (name, value) in std::env::vars_os() {
        let Ok(name) = name.into_string() else { continue };
        match value.into_string() {
            Ok(value) => environment.push((name, value)),
            Err(_) if has_own_prefix(&name) || variable_key(&name).is_some() => {
                faults.push(Fault::whole(name, "the value is not UTF-8 text"));
            }
            Err(_) => {}
        }
    }
    let named =
        environment.iter().find(|(name, value)| name == "NEOSTOCK_CONFIG" && !value.is_empty());
    let named = config_path.map(Path::to_path_buf).or(named.map(|(_, value)| PathBuf::from(value)));
    let path = named.clone().unwrap_or_else(|| PathBuf::from(FILE_DEFAULT));
    let file = match read_bounded(&path) {
        Ok(bytes) => Some((path.display().to_string(), bytes)),
        Err(error) if named.is_none() && error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => {
            let message = format!("the settings file cannot be read: {error}");
            let fault = Fault::whole(path.display().to_string(), message);
            faults.push(fault.suggest("it is named by --config or NEOSTOCK_CONFIG"));
            None
        }
    };
    let working_dir = match std::env::current_dir() {
        Ok(folder) => folder,
        Err(error) => {
            faults.push(Fault::whole(".", format!("the current folder is unknown: {error}")));
            PathBuf::new()
        }
    };
    let hostname = rustix::system::uname().nodename().to_string_lossy().into_owned();
    if faults.is_empty() {
        Ok(Sources { file, environment, working_dir, hostname })
    } else {
        Err(faults)
    }
}

/// Makes settings of given sources; touches nothing else.
///
/// # Errors
/// Every fault of the file and the environment.
pub fn from_sources(sources: &Sources) -> Result<Settings, Vec<Fault>> {
    let (settings, faults) = assemble(sources);
    if faults.is_empty() { Ok(settings) } else { Err(faults) }
}

impl Settings {
    /// The journal's key and those before it.
    pub fn journal_keys(&self) -> Keys {
        let keys = Keys::from(self.journal_key.clone());
        self.journal_keys_previous.iter().fold(keys, Keys::and_previous)
    }

    /// What exports are signed with, where that is set.
    pub fn export_key(&self) -> Option<ExportKey> {
        self.export_key.as_ref().and_then(|key| ExportKey::new(key).ok())
    }

    /// The settings in which another reading differs and which only a start puts in force.
    pub fn for_next_start(&self, other: &Self) -> Vec<&'static str> {
        let secret = |one: &Option<SecretString>, two: &Option<SecretString>| {
            one.as_ref().map(ExposeSecret::expose_secret)
                != two.as_ref().map(ExposeSecret::expose_secret)
        };
        let previous = |settings: &Self| {
            let keys = settings.journal_keys_previous.iter();
            keys.map(|key| key.expose_secret().to_owned()).collect::<Vec<_>>()
        };
        let database = |settings: &Self| settings.database_url.expose_secret().to_owned();
        let differs = [
            ("slack.bot_token", secret(&self.slack_bot_token, &other.slack_bot_token)),
            (
                "slack.signing_secret",
                secret(&self.slack_signing_secret, &other.slack_signing_secret),
            ),
            ("slack.app_token", secret(&self.slack_app_token, &other.slack_app_token)),
            ("slack.api_url", self.slack_api_url != other.slack_api_url),
            ("database_url", database(self) != database(other)),
            ("listen", self.listen != other.listen),
            ("data_dir", self.data_dir != other.data_dir),
            ("runbook", self.runbook != other.runbook),
            ("alerting", self.alerting != other.alerting),
            ("host", self.host != other.host),
            ("journal_key", secret(&self.journal_key, &other.journal_key)),
            ("journal_key_previous", previous(self) != previous(other)),
            ("webhook_token", secret(&self.webhook_token, &other.webhook_token)),
            ("response_hosts", self.response_hosts != other.response_hosts),
            ("runs_waiting_max", self.runs_waiting_max != other.runs_waiting_max),
            ("encryption_at_rest", self.encryption_at_rest != other.encryption_at_rest),
            ("log_format", self.log_format != other.log_format),
        ];
        differs.into_iter().filter(|(_, differs)| *differs).map(|(name, _)| name).collect()
    }

    /// The settings that speaking to Slack needs; `check`, `audit` and `schema` do without.
    ///
    /// # Errors
    /// Each one that is missing, and where to get it.
    pub fn slack(&self) -> Result<SlackSettings, Vec<Fault>> {
        let missing = |variable: &str, key: &str, place: &str| {
            let way = format!("get it from {place}; the settings file's key is `slack.{key}`");
            Fault::whole(variable, "is not set, and Slack cannot be spoken to without it")
                .suggest(way)
        };
        let bot_token = self.slack_bot_token.clone().ok_or_else(|| {
            let place = "your Slack app > OAuth & Permissions > Bot User OAuth Token (xoxb-…)";
            missing("SLACK_BOT_TOKEN", "bot_token", place)
        });
        let signing_secret = self.slack_signing_secret.clone().ok_or_else(|| {
            let place = "your Slack app > Basic Information > App Credentials > Signing Secret";
            missing("SLACK_SIGNING_SECRET", "signing_secret", place)
        });
        match (bot_token, signing_secret) {
            (Ok(bot_token), Ok(signing_secret)) => Ok(SlackSettings {
                bot_token,
                signing_secret,
                app_token: self.slack_app_token.clone(),
                api_url: self.slack_api_url.clone(),
            }),
            (bot_token, signing_secret) => {
                Err(bot_token.err().into_iter().chain(signing_secret.err()).collect())
            }
        }
    }
}

/// The settings as far as they can be read, and every fault; a faulty one has its default.
pub(super) fn assemble(sources: &Sources) -> (Settings, Vec<Fault>) {
    let mut faults = Vec::new();
    let mut given = BTreeMap::new();
    from_file("defaults.yml", DEFAULTS.as_bytes(), &mut given, &mut faults);
    let defaults = given.clone();
    if let Some((name, bytes)) = &sources.file {
        from_file(name, bytes, &mut given, &mut faults);
    }
    from_environment(&sources.environment, &mut given, &mut faults);
    let settings = Conversion { sources, given, defaults, faults: &mut faults }.settings();
    // The file's in its order, then the variables'.
    faults.sort_by_key(|fault| (fault.line == 0, fault.line, fault.column));
    (settings, faults)
}

/// A setting's words and whoever wrote them.
#[derive(Clone)]
struct Given {
    words: Vec<String>,
    /// A fault without a message: its place.
    place: Fault,
}

type Layers = BTreeMap<&'static str, Given>;

fn from_file(name: &str, bytes: &[u8], given: &mut Layers, all: &mut Vec<Fault>) {
    let mut faults = Faults::new(name);
    if let Some(root) = tree::parse(bytes, &mut faults) {
        Shape::Object(&ROOT).check(&root, &mut faults);
        for (_, key) in VARIABLES {
            let node = key.split('.').try_fold(&root, |node, part| node.get(part));
            let Some(node) = node.filter(|node| check_one(key, node).is_empty()) else { continue };
            let words = match &node.value {
                Value::List(items) => items.iter().filter_map(Node::text).collect(),
                _ => node.text().into_iter().collect::<Vec<_>>(),
            };
            let words = words.into_iter().map(str::to_owned).collect();
            let mut place = Fault::whole(name, "");
            (place.line, place.column) = (node.at.line, node.at.column);
            given.insert(key, Given { words, place });
        }
    }
    all.extend(faults.finish());
}

fn from_environment(variables: &[(String, String)], given: &mut Layers, all: &mut Vec<Fault>) {
    for (name, value) in variables.iter().filter(|(_, value)| !value.is_empty()) {
        let Some(key) = variable_key(name) else {
            if is_unknown(name) {
                let known = VARIABLES.iter().map(|(name, _)| *name).chain(USED_ELSEWHERE);
                let way = match did_you_mean(name, known) {
                    Some(name) => format!("did you mean {name}?"),
                    None => "defaults.yml lists all settings and their variables".to_owned(),
                };
                let fault = Fault::whole(name, "is not a setting; NEOSTOCK_ names are the bot's");
                all.push(fault.suggest(way));
            }
            continue;
        };
        let (node, words) = if LISTS.contains(&key) {
            let words = value.split(',').map(str::trim).filter(|word| !word.is_empty());
            let words = words.map(str::to_owned).collect::<Vec<_>>();
            (Node::list(words.iter().map(|word| Node::quoted(word)).collect()), words)
        } else if key == "evidence_mib_max" {
            (Node::plain(value), vec![value.clone()])
        } else {
            (Node::quoted(value), vec![value.clone()])
        };
        let faults = check_one(key, &node);
        if faults.is_empty() {
            given.insert(key, Given { words, place: Fault::whole(name, "") });
        }
        for fault in faults {
            all.push(Fault { file: name.clone(), line: 0, column: 0, ..fault });
        }
    }
}

fn is_unknown(name: &str) -> bool {
    has_own_prefix(name)
        && !USED_ELSEWHERE.contains(&name)
        && !USED_ELSEWHERE_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

fn variable_key(variable: &str) -> Option<&'static str> {
    VARIABLES.iter().find(|(name, _)| *name == variable).map(|(_, key)| *key)
}

/// The faults of one setting by its shape, whichever layer it comes from.
fn check_one(key: &str, node: &Node) -> Vec<Fault> {
    let mut faults = Faults::new("");
    let mut shape = Shape::Object(&ROOT);
    for part in key.split('.') {
        let Shape::Object(object) = shape else { break };
        let field = object.fields.iter().find(|field| field.name == part);
        shape = field.map_or(shape, |field| field.shape);
    }
    shape.check(node, &mut faults);
    faults.finish()
}

struct Conversion<'c> {
    sources: &'c Sources,
    given: Layers,
    defaults: Layers,
    faults: &'c mut Vec<Fault>,
}

impl Conversion<'_> {
    fn settings(&mut self) -> Settings {
        let data_dir = self.path("data_dir").unwrap_or_default();
        let sqlite = format!("sqlite:{}", data_dir.join("neostock.db").display());
        let host = self.sources.hostname.clone();
        Settings {
            slack_bot_token: self.token("slack.bot_token", "xoxb-"),
            slack_signing_secret: self.signing_secret(),
            slack_app_token: self.token("slack.app_token", "xapp-"),
            slack_api_url: self.convert("slack.api_url", api_url).unwrap_or_default(),
            database_url: self.convert("database_url", database_url).unwrap_or(sqlite).into(),
            listen: self
                .convert("listen", listen)
                .unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 0))),
            data_dir,
            runbook: self.path("runbook").unwrap_or_default(),
            alerting: self.path("alerting"),
            host: self.convert("host", |text| Ok(text.to_owned())).unwrap_or(host),
            lease_ms: self.duration_ms("lease"),
            evidence_kept_ms: self.duration_ms("evidence_kept"),
            evidence_bytes_max: self.whole("evidence_mib_max").saturating_mul(MIB),
            journal_key: self.convert("journal_key", journal_key),
            journal_keys_previous: self.journal_keys_previous(),
            export_key: self.convert("export_key", export_key),
            webhook_token: self.convert("webhook_token", |text| Ok(text.to_owned().into())),
            response_hosts: self.response_hosts(),
            runs_waiting_max: self.convert("runs_waiting_max", runs_waiting_max).unwrap_or(1),
            encryption_at_rest: self.convert("encryption_at_rest", |text| Ok(text.to_owned())),
            log: self.convert("log", log_filter).unwrap_or_default(),
            log_format: match self.convert("log_format", |text| Ok(text == "json")) {
                Some(true) => LogFormat::Json,
                _ => LogFormat::Text,
            },
        }
    }

    /// The value of a setting; where it is faulty, a fault and the default.
    fn convert<T>(&mut self, key: &str, convert: impl Fn(&str) -> Result<T, Wrong>) -> Option<T> {
        let given = self.given.get(key)?;
        match convert(given.words.first()?) {
            Ok(value) => Some(value),
            Err(wrong) => {
                let fault = Fault { message: wrong.message, ..given.place.clone() };
                self.faults.push(fault.suggest(wrong.way));
                convert(self.defaults.get(key)?.words.first()?).ok()
            }
        }
    }

    /// A duration, which its shape has proved to be one.
    fn duration_ms(&self, key: &str) -> u64 {
        let words = self.given.get(key).and_then(|given| given.words.first());
        words.and_then(|word| duration::parse(word)).unwrap_or_default()
    }

    /// A whole number, which its shape has proved to be one.
    fn whole(&self, key: &str) -> u64 {
        let words = self.given.get(key).and_then(|given| given.words.first());
        words.and_then(|word| word.parse().ok()).unwrap_or_default()
    }

    fn path(&mut self, key: &str) -> Option<PathBuf> {
        let given = self.given.get(key)?.words.first()?;
        let path = self.sources.working_dir.join(given);
        Some(std::path::absolute(&path).unwrap_or(path))
    }

    fn token(&mut self, key: &str, prefix: &str) -> Option<SecretString> {
        self.convert(key, |text| {
            let kind = match text.get(..5) {
                _ if text.starts_with(prefix) => return Ok(text.to_owned().into()),
                Some("xoxb-") => "; this is a bot token: SLACK_BOT_TOKEN, slack.bot_token",
                Some("xapp-") => "; this is an app-level token: SLACK_APP_TOKEN, slack.app_token",
                Some("xoxp-") => "; this is a person's token, which the bot does not use",
                _ => "",
            };
            let message = format!("the token does not begin with `{prefix}`{kind}");
            Err(Wrong { message, way: "copy it again from your Slack app's pages".to_owned() })
        })
    }

    fn signing_secret(&mut self) -> Option<SecretString> {
        self.convert("slack.signing_secret", |text| {
            if text.starts_with("xox") || text.starts_with("xapp-") {
                let message = "this is a token and not the signing secret".to_owned();
                let way = "your Slack app > Basic Information > App Credentials > Signing Secret";
                return Err(Wrong { message, way: way.to_owned() });
            }
            Ok(text.to_owned().into())
        })
    }

    fn journal_keys_previous(&mut self) -> Vec<SecretString> {
        let Some(given) = self.given.get("journal_key_previous").cloned() else {
            return Vec::new();
        };
        let mut keys = Vec::new();
        for word in &given.words {
            match journal_key(word) {
                Ok(key) => keys.push(key),
                Err(wrong) => {
                    let fault = Fault { message: wrong.message, ..given.place.clone() };
                    self.faults.push(fault.suggest("give each key as it was; commas between them"));
                }
            }
        }
        keys
    }

    fn response_hosts(&mut self) -> Vec<String> {
        let Some(given) = self.given.get("response_hosts") else { return Vec::new() };
        for word in given.words.iter().filter(|word| !is_authority(word)) {
            let message = format!("`{word}` is not a host or host:port");
            let fault = Fault { message, ..given.place.clone() };
            self.faults.push(fault.suggest("for example: 127.0.0.1:3999"));
        }
        given.words.iter().map(|word| word.to_ascii_lowercase()).collect()
    }
}

/// Why a value is refused; never the value of a secret.
struct Wrong {
    message: String,
    way: String,
}

fn wrong<T>(message: impl Into<String>, way: impl Into<String>) -> Result<T, Wrong> {
    Err(Wrong { message: message.into(), way: way.into() })
}

fn api_url(text: &str) -> Result<String, Wrong> {
    let way = "for example: https://slack.com/api";
    let Ok(uri) = text.parse::<Uri>() else {
        return wrong(format!("`{text}` is not an address"), way);
    };
    let authority = uri.authority().map_or("", |authority| authority.as_str());
    if uri.query().is_some() || authority.contains('@') || uri.host().is_none_or(str::is_empty) {
        return wrong("the address has a user, a query, or no host", way);
    }
    match uri.scheme_str() {
        Some("https") => {}
        Some("http") if uri.host().is_some_and(is_loopback) => {}
        Some("http") => return wrong("http would send the bot's token unencrypted", way),
        _ => return wrong(format!("`{text}` is not an https address"), way),
    }
    Ok(text.trim_end_matches('/').to_owned())
}

fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost")
        || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// `host` or `host:port`, without anything that a URL could hide behind it.
fn is_authority(text: &str) -> bool {
    let letters = |letter: char| letter.is_ascii_alphanumeric() || "-._:[]".contains(letter);
    let is_port = |authority: &axum::http::uri::Authority| {
        authority.port_u16().is_some() || authority.as_str() == authority.host()
    };
    text.chars().all(letters) && text.parse().is_ok_and(|authority| is_port(&authority))
}

fn database_url(text: &str) -> Result<String, Wrong> {
    if ["sqlite:", "postgres://", "postgresql://"].iter().any(|scheme| text.starts_with(scheme)) {
        return Ok(text.to_owned());
    }
    // The value may hold a password: it is not quoted.
    let way = "begin it with `sqlite:` or `postgres://`";
    wrong("the address is neither SQLite's nor PostgreSQL's", way)
}

fn listen(text: &str) -> Result<SocketAddr, Wrong> {
    match text.parse() {
        Ok(address) => Ok(address),
        Err(_) => wrong(
            format!("`{text}` is not an address with a port"),
            "for example: 127.0.0.1:8080, or 0.0.0.0:8080 for every interface",
        ),
    }
}

fn journal_key(text: &str) -> Result<SecretString, Wrong> {
    if text.len() >= JOURNAL_KEY_BYTES_MIN {
        return Ok(text.to_owned().into());
    }
    let message = format!("{} bytes; a key has at least {JOURNAL_KEY_BYTES_MIN}", text.len());
    wrong(message, "make one: openssl rand -hex 32")
}

fn export_key(text: &str) -> Result<SecretString, Wrong> {
    let key = SecretString::from(text);
    match ExportKey::new(&key) {
        Ok(_) => Ok(key),
        Err(bad) => wrong(bad.to_string(), "make one: openssl rand -hex 32"),
    }
}

fn runs_waiting_max(text: &str) -> Result<i64, Wrong> {
    match text.parse() {
        Ok(most) if (1..=RUNS_WAITING_MAX_MAX).contains(&most) => Ok(most),
        _ => wrong(
            format!("`{text}` is not a number from 1 to {RUNS_WAITING_MAX_MAX}"),
            "for example: 500",
        ),
    }
}

fn log_filter(text: &str) -> Result<String, Wrong> {
    match tracing_subscriber::EnvFilter::builder().parse(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(_) => wrong(
            format!("`{text}` is not a log filter"),
            "for example: info, or \"info,neostock_ops=debug\"",
        ),
    }
}

static ROOT: Object = Object {
    name: "the settings",
    doc: "The settings of NeoStock Ops.",
    fields: &[
        optional("slack", Shape::Object(&SLACK), "How to speak to Slack"),
        optional("database_url", Shape::Text(&SECRET), "sqlite:… or postgres://…"),
        optional("listen", Shape::Text(&LINE), "Address and port of the HTTP server"),
        optional("data_dir", Shape::Text(&LINE), "The folder of the database and the evidence"),
        optional("runbook", Shape::Text(&LINE), "What people may do"),
        optional("alerting", Shape::Text(&LINE), "The alerting configuration"),
        optional("host", Shape::Text(&LINE), "The name that environments' hosts are compared with"),
        optional(
            "lease",
            Shape::Duration { min_ms: LEASE_MS_MIN, max_ms: LEASE_MS_MAX },
            "How long a bot may be silent",
        ),
        optional(
            "evidence_kept",
            Shape::Duration { min_ms: EVIDENCE_KEPT_MS_MIN, max_ms: EVIDENCE_KEPT_MS_MAX },
            "How long the evidence of ended runs is kept",
        ),
        optional(
            "evidence_mib_max",
            Shape::Integer { min: 10, max: 1_000_000 },
            "How much evidence is kept, in MiB",
        ),
        optional("journal_key", Shape::Text(&SECRET), "The key of the journal's hash chain"),
        optional("journal_key_previous", Shape::List(&KEYS), "Keys that it was under before"),
        optional("export_key", Shape::Text(&SECRET), "What exports of the journal are signed with"),
        optional("webhook_token", Shape::Text(&SECRET), "What a webhook's caller must show"),
        optional("response_hosts", Shape::List(&HOSTS), "Hosts that a response_url may name"),
        optional("runs_waiting_max", Shape::Text(&NUMBER), "How many runs may wait or be queued"),
        optional(
            "encryption_at_rest",
            Shape::Text(&STATEMENT),
            "What the operator states of the encryption of disks, database and backups",
        ),
        optional("log", Shape::Text(&LINE), "A tracing filter"),
        optional("log_format", Shape::Choice(&["text", "json"]), "How a log line is written"),
    ],
    exactly_one: &[],
    later: &[],
    example: "listen: 127.0.0.1:8080",
};
static SLACK: Object = Object {
    name: "the Slack settings",
    doc: "How to speak to Slack.",
    fields: &[
        optional("bot_token", Shape::Text(&SECRET), "xoxb-…"),
        optional("signing_secret", Shape::Text(&SECRET), "What requests are verified with"),
        optional("app_token", Shape::Text(&SECRET), "xapp-…, for Socket Mode"),
        optional("api_url", Shape::Text(&LINE), "Slack's Web API"),
    ],
    exactly_one: &[],
    later: &[],
    example: "{api_url: https://slack.com/api}",
};
static HOSTS: List = List {
    name: "hosts",
    item: Shape::Text(&LINE),
    min: 0,
    max: RESPONSE_HOSTS_MAX,
    example: "[\"127.0.0.1:3999\"]",
};
static KEYS: List = List {
    name: "keys",
    item: Shape::Text(&SECRET),
    min: 0,
    max: KEYS_PREVIOUS_MAX,
    example: "[…]",
};
static LINE: Text =
    Text { name: "a value", kind: TextKind::Line, chars_min: 1, chars_max: 1_000, example: "text" };
static STATEMENT: Text = Text {
    name: "a statement",
    kind: TextKind::Line,
    chars_min: 1,
    chars_max: STATEMENT_CHARS_MAX,
    example: "LUKS on all disks",
};
static NUMBER: Text = Text {
    name: "a number",
    kind: TextKind::AsWritten,
    chars_min: 1,
    chars_max: 10,
    example: "500",
};
static SECRET: Text = Text {
    name: "a secret",
    kind: TextKind::AsWritten,
    chars_min: 1,
    chars_max: 10_000,
    example: "…",
};

#[cfg(test)]
mod tests;
