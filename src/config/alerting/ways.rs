//! How notices leave besides Slack, as the alerting configuration writes it: mail and PagerDuty. Secrets
//! are named here and read when they are used.

use super::NAMES_MAX;
use crate::config::fault::{Fault, Faults, mean_or_list};
use crate::config::runbook::grammar::NAME;
use crate::config::secrets::{SecretError, read_one};
use crate::config::settings::OWN_SECRETS;
use crate::config::shape::{List, Map, Object, Shape, Text, TextKind, Word, optional, required};
use crate::config::tree::Node;
use crate::core::action::SecretSource;
use crate::core::alert::Level;
use secrecy::{ExposeSecret, SecretString};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::PathBuf;

/// The routing key that is used where nothing else is said.
pub const DEFAULT_KEY: &str = "default";
/// Where PagerDuty takes events.
const PAGERDUTY_URL: &str = "https://events.pagerduty.com";
/// Characters of a routing key.
const ROUTING_KEY_CHARS: usize = 32;
const RECIPIENTS_MAX: usize = 20;
const KEYS_MAX: usize = 20;
const WEBHOOK_SECRETS_MAX: usize = 5;
/// RFC 5321's limit of an address.
const ADDRESS_CHARS_MAX: usize = 254;

/// How notices leave, besides Slack.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Ways {
    /// By mail; `None`: not at all.
    pub email: Option<Email>,
    /// By PagerDuty; `None`: not at all.
    pub pagerduty: Option<Pagerduty>,
}

/// A mail server, and who gets mail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Email {
    /// The server's name.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How the connection is protected.
    pub tls: Tls,
    /// A certificate in which the server's is trusted, besides the system's; PEM.
    pub ca: Option<PathBuf>,
    /// Who signs in; `None`: nobody does.
    pub user: Option<String>,
    /// With what.
    pub password: Option<SecretSource>,
    /// The sender.
    pub from: Sender,
    /// Who gets every mail.
    pub to: Vec<String>,
    /// Who gets those of a level instead.
    pub levels: BTreeMap<Level, Vec<String>>,
    /// How this bot introduces itself; `None`: by its address.
    pub helo: Option<String>,
}

/// Who sends mail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sender {
    /// As readers see it; may be empty.
    pub name: String,
    /// The address.
    pub address: String,
}

impl Sender {
    /// Reads an address, or a name and an address in angle brackets.
    fn parse(text: &str) -> Option<Self> {
        let (name, address) = match text.rsplit_once('<') {
            Some((name, rest)) => (name.trim(), rest.strip_suffix('>')?),
            None => ("", text),
        };
        let bare = name.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
        let name = bare.unwrap_or(name).to_owned();
        is_address(address).then(|| Self { name, address: address.to_owned() })
    }
}

/// How a connection to a mail server is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tls {
    /// It begins in the open and must become TLS before anything is said.
    Starttls,
    /// It is TLS from the first byte.
    Wrapped,
    /// It is not; only on this machine.
    None,
}

impl Tls {
    const NAMES: [&'static str; 3] = ["starttls", "tls", "none"];

    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "starttls" => Self::Starttls,
            "tls" => Self::Wrapped,
            "none" => Self::None,
            _ => return None,
        })
    }
}

impl Email {
    /// Who gets mail about an alert of a level.
    pub fn recipients(&self, level: Level) -> &[String] {
        self.levels.get(&level).unwrap_or(&self.to)
    }

    /// The password, read now; `None`: nobody signs in.
    ///
    /// # Errors
    /// It has no value.
    pub fn password(&self) -> Result<Option<SecretString>, SecretError> {
        self.password.as_ref().map(read_one).transpose()
    }
}

/// PagerDuty's services, and what comes back from there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pagerduty {
    /// By the names that this file gives them: an integration key of a service each.
    pub routing_keys: BTreeMap<String, SecretSource>,
    /// Which of them is used: by the name of an alert, of a service, or of a level.
    pub by: BTreeMap<String, String>,
    /// Where events go.
    pub url: String,
    /// With which its webhooks are signed; several while they are changed.
    pub webhook_secrets: Vec<SecretSource>,
}

impl Pagerduty {
    /// The name of the routing key for an alert: what is most particular counts.
    pub fn key_for(&self, alert: &str, service: &str, level: Level) -> &str {
        let named = [alert, service, level.name()].into_iter().find_map(|name| self.by.get(name));
        named.map_or(DEFAULT_KEY, String::as_str)
    }

    /// A routing key, read now.
    ///
    /// # Errors
    /// Why there is none, in words; never the value.
    pub fn routing_key(&self, name: &str) -> Result<SecretString, String> {
        let Some(source) = self.routing_keys.get(name) else {
            return Err(format!("the configuration names no routing key `{name}`"));
        };
        let key = read_one(source).map_err(|error| format!("routing key {name}: {error}"))?;
        let is_whole = key.expose_secret().chars().count() == ROUTING_KEY_CHARS;
        if is_whole && key.expose_secret().bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            Ok(key)
        } else {
            Err(format!("routing key {name}: it is not {ROUTING_KEY_CHARS} letters and digits"))
        }
    }

    /// The secrets of its webhooks that have a value now.
    pub fn webhook_secrets(&self) -> Vec<SecretString> {
        self.webhook_secrets.iter().filter_map(|source| read_one(source).ok()).collect()
    }
}

impl Ways {
    /// What keeps a way from being used now, one note each; `file` is named in them.
    pub fn notes(&self, file: &str) -> Vec<Fault> {
        let mut notes = Vec::new();
        if let Some(email) = &self.email {
            if let Err(error) = email.password() {
                let message = format!("notices by mail wait: {error}");
                notes.push(Fault::whole(file, message).suggest("set it before the bot starts"));
            }
            if let Some(ca) = email.ca.as_ref().filter(|ca| !ca.is_file()) {
                let message = format!("notices by mail wait: {} is not a file", ca.display());
                notes.push(Fault::whole(file, message));
            }
        }
        let Some(pagerduty) = &self.pagerduty else { return notes };
        for name in pagerduty.routing_keys.keys() {
            if let Err(why) = pagerduty.routing_key(name) {
                let message = format!("notices by PagerDuty wait: {why}");
                notes.push(Fault::whole(file, message).suggest("set it before the bot starts"));
            }
        }
        for source in &pagerduty.webhook_secrets {
            if let Err(error) = read_one(source) {
                let message = format!("webhooks that PagerDuty signs with it are refused: {error}");
                notes.push(Fault::whole(file, message));
            }
        }
        notes
    }
}

pub(super) static GRAMMAR: Object = Object {
    name: "the ways of notices",
    doc: "How notices leave, besides Slack.",
    fields: &[
        optional("email", Shape::Object(&EMAIL), "By mail"),
        optional("pagerduty", Shape::Object(&PAGERDUTY), "By PagerDuty"),
    ],
    exactly_one: &[],
    later: &[],
    example: "{email: {smtp: 'mail.example.org:587', from: ops@example.org, to: [ann@example.org]}}",
};

static EMAIL: Object = Object {
    name: "the mail",
    doc: "A mail server, and who gets mail.",
    fields: &[
        required("smtp", Shape::Text(&SERVER), "The mail server and its port"),
        optional(
            "tls",
            Shape::Choice(&Tls::NAMES),
            "`starttls` unless given: the connection must become TLS; `tls`: it is from the first byte; `none`: only on this machine",
        ),
        optional(
            "ca",
            Shape::Text(&PATH),
            "A file with a certificate (PEM) in which the server's is trusted, besides the system's",
        ),
        optional("user", Shape::Text(&LINE), "Who signs in; nobody unless given"),
        optional("password", Shape::Object(&SECRET), "With what"),
        required("from", Shape::Text(&SENDER), "The sender: an address, or a name and an address"),
        required("to", Shape::List(&RECIPIENTS), "Who gets mail"),
        optional("levels", Shape::Object(&LEVELS), "Who gets that of a level instead"),
        optional(
            "helo",
            Shape::Text(&HOST),
            "How the bot introduces itself; by its address unless given",
        ),
    ],
    exactly_one: &[],
    later: &[],
    example: "{smtp: 'mail.example.org:587', from: ops@example.org, to: [ann@example.org]}",
};

static LEVELS: Object = Object {
    name: "recipients by level",
    doc: "Who gets the mail of a level instead of `to`.",
    fields: &[
        optional("warning", Shape::List(&RECIPIENTS), "Level 1"),
        optional("error", Shape::List(&RECIPIENTS), "Level 2"),
        optional("critical", Shape::List(&RECIPIENTS), "Level 3"),
    ],
    exactly_one: &[],
    later: &[],
    example: "{critical: [ann@example.org, boss@example.org]}",
};

static PAGERDUTY: Object = Object {
    name: "PagerDuty",
    doc: "PagerDuty's services, and what comes back from there.",
    fields: &[
        required(
            "routing_keys",
            Shape::Map(&KEYS),
            "Integration keys (Events API v2) of services, by names that `by` uses; `default` where it names none",
        ),
        optional(
            "by",
            Shape::Map(&BY),
            "Which key is used, by the name of an alert, else of a service, else of a level",
        ),
        optional(
            "url",
            Shape::Text(&URL),
            "Where events go; https://events.pagerduty.com unless given",
        ),
        optional(
            "webhook_secrets",
            Shape::List(&WEBHOOK_SECRETS),
            "With which its webhooks are signed; without any they are refused",
        ),
    ],
    exactly_one: &[],
    later: &[],
    example: "{routing_keys: {default: {env: NEOSTOCK_SECRET_PAGERDUTY}}}",
};

static KEYS: Map = Map {
    name: "routing keys",
    key: &NAME,
    value: Shape::Object(&SECRET),
    min: 1,
    max: KEYS_MAX,
    example: "{default: {env: NEOSTOCK_SECRET_PAGERDUTY}}",
};

static BY: Map = Map {
    name: "routing keys by alert, service or level",
    key: &WHAT,
    value: Shape::Text(&KEY_NAME),
    min: 0,
    max: NAMES_MAX,
    example: "{critical: oncall}",
};

/// Alerts from elsewhere are named as they like there.
static WHAT: Word = Word {
    name: "the name of an alert, a service or a level",
    literals: &[],
    first: &[('a', 'z'), ('A', 'Z'), ('0', '9'), ('_', '_')],
    rest: &[('a', 'z'), ('A', 'Z'), ('0', '9'), ('_', '_')],
    joiner: Some('-'),
    chars_min: 1,
    chars_max: 100,
    example: "critical",
};

pub(super) static SECRET: Object = Object {
    name: "a secret's source",
    doc: "Where the value of a secret is read; the value itself never stands in this file.",
    fields: &[
        optional("env", Shape::Text(&LINE), "A variable of the bot's own environment"),
        optional(
            "file",
            Shape::Text(&PATH),
            "A file, by its whole path; one newline at its end is cut",
        ),
    ],
    exactly_one: &["env", "file"],
    later: &[],
    example: "{env: NEOSTOCK_SECRET_SMTP}",
};

static WEBHOOK_SECRETS: List = List {
    name: "webhook secrets",
    item: Shape::Object(&SECRET),
    min: 1,
    max: WEBHOOK_SECRETS_MAX,
    example: "[{env: NEOSTOCK_SECRET_PAGERDUTY_WEBHOOK}]",
};

static RECIPIENTS: List = List {
    name: "recipients",
    item: Shape::Text(&ADDRESS),
    min: 1,
    max: RECIPIENTS_MAX,
    example: "[ann@example.org]",
};

const fn line(name: &'static str, chars_max: usize, example: &'static str) -> Text {
    Text { name, kind: TextKind::Line, chars_min: 1, chars_max, example }
}

static SERVER: Text = line("a server and its port", 300, "mail.example.org:587");
static HOST: Text = line("a host's name", 253, "ops.example.org");
static ADDRESS: Text = line("an address", ADDRESS_CHARS_MAX, "ann@example.org");
static SENDER: Text = line("a sender", 400, "NeoStock Ops <ops@example.org>");
static LINE: Text = line("a name", 200, "NEOSTOCK_SECRET_SMTP");
static KEY_NAME: Text = line("a routing key's name", 64, "default");
static PATH: Text = line("a path", 4_096, "/etc/neostock/smtp-password");
static URL: Text = line("an address", 500, "https://events.eu.pagerduty.com");

pub(super) fn read(node: Option<&Node>, faults: &mut Faults) -> Ways {
    let Some(node) = node else { return Ways::default() };
    Ways {
        email: node.get("email").and_then(|email| read_email(email, faults)),
        pagerduty: node.get("pagerduty").map(|pagerduty| read_pagerduty(pagerduty, faults)),
    }
}

fn text<'n>(node: &'n Node, key: &str) -> Option<&'n str> {
    node.get(key).and_then(Node::text)
}

fn read_email(node: &Node, faults: &mut Faults) -> Option<Email> {
    let tls = text(node, "tls").map_or(Some(Tls::Starttls), Tls::named)?;
    let server = node.get("smtp")?;
    let Some((host, port)) = server.text().and_then(host_and_port) else {
        let message =
            format!("`{}` is not a server with a port", server.text().unwrap_or_default());
        faults.add_with(server.at, message, "for example: mail.example.org:587");
        return None;
    };
    if tls == Tls::None && !is_loopback(&host) {
        let at = node.get("tls").map_or(server.at, |tls| tls.at);
        let message = "without TLS mails and the password would be sent unencrypted";
        faults.add_with(at, message, "write `starttls` or `tls`; `none` only on this machine");
    }
    let (user, password) = (node.entry("user"), node.entry("password"));
    if user.is_some() != password.is_some() {
        let at = user.or(password).map_or(node.at, |entry| entry.key_at);
        faults.add_with(at, "`user` and `password` go together", "give both, or neither");
    }
    let from = node.get("from")?;
    let sender = Sender::parse(from.text()?).unwrap_or_else(|| {
        let message = format!("`{}` is not a sender", from.text().unwrap_or_default());
        faults.add_with(from.at, message, "for example: NeoStock Ops <ops@example.org>");
        Sender { name: String::new(), address: String::new() }
    });
    let mut levels = BTreeMap::new();
    for entry in node.get("levels").map_or(&[][..], Node::entries) {
        if let Some(level) = Level::named(&entry.key) {
            levels.insert(level, recipients(Some(&entry.value), faults));
        }
    }
    Some(Email {
        host,
        port,
        tls,
        ca: node.get("ca").and_then(|ca| path(ca, faults)),
        user: text(node, "user").map(str::to_owned),
        password: node.get("password").and_then(|source| secret(source, faults)),
        from: sender,
        to: recipients(node.get("to"), faults),
        levels,
        helo: text(node, "helo").map(str::to_owned),
    })
}

fn recipients(node: Option<&Node>, faults: &mut Faults) -> Vec<String> {
    let mut seen = BTreeSet::new();
    let mut found = Vec::new();
    for item in node.map_or(&[][..], Node::items) {
        let Some(address) = item.text() else { continue };
        if !is_address(address) {
            let message = format!("`{address}` is not a mail address");
            faults.add_with(item.at, message, "for example: ann@example.org");
        } else if !seen.insert(address.to_lowercase()) {
            faults.add_with(item.at, format!("`{address}` is here twice"), "remove one of the two");
        }
        found.push(address.to_owned());
    }
    found
}

fn read_pagerduty(node: &Node, faults: &mut Faults) -> Pagerduty {
    let mut routing_keys = BTreeMap::new();
    for entry in node.get("routing_keys").map_or(&[][..], Node::entries) {
        if let Some(source) = secret(&entry.value, faults) {
            routing_keys.insert(entry.key.clone(), source);
        }
    }
    let mut by = BTreeMap::new();
    for entry in node.get("by").map_or(&[][..], Node::entries) {
        let Some(name) = entry.value.text() else { continue };
        if !routing_keys.contains_key(name) {
            let known: Vec<&str> = routing_keys.keys().map(String::as_str).collect();
            let message = format!("there is no routing key `{name}`");
            faults.add_with(entry.value.at, message, mean_or_list(name, "routing keys", &known));
        }
        by.insert(entry.key.clone(), name.to_owned());
    }
    if let Some(keys) = node.entry("routing_keys")
        && !routing_keys.is_empty()
        && !routing_keys.contains_key(DEFAULT_KEY)
    {
        let message = format!("there is no routing key `{DEFAULT_KEY}`");
        faults.add_with(keys.key_at, message, "name the one that is used where `by` names none so");
    }
    let url = match node.get("url") {
        None => PAGERDUTY_URL.to_owned(),
        Some(url) => read_url(url, faults),
    };
    let secrets = node.get("webhook_secrets").map_or(&[][..], Node::items);
    let webhook_secrets = secrets.iter().filter_map(|source| secret(source, faults)).collect();
    Pagerduty { routing_keys, by, url, webhook_secrets }
}

/// Whether nobody on the way reads what is sent there: https, or http to this machine.
pub(super) fn is_private(text: &str) -> bool {
    let Ok(url) = url::Url::parse(text) else { return false };
    let has_user = !url.username().is_empty() || url.password().is_some();
    match url.scheme() {
        "https" => !has_user && url.has_host(),
        "http" => !has_user && url.host_str().is_some_and(is_loopback),
        _ => false,
    }
}

fn read_url(node: &Node, faults: &mut Faults) -> String {
    let text = node.text().unwrap_or_default();
    if !is_private(text) || text.contains(['?', '#']) {
        let message = format!("`{text}` is not an https address");
        let way = format!("for example: {PAGERDUTY_URL}; http only to this machine");
        faults.add_with(node.at, message, way);
    }
    text.trim_end_matches('/').to_owned()
}

pub(super) fn secret(node: &Node, faults: &mut Faults) -> Option<SecretSource> {
    if let Some(env) = node.get("env") {
        let name = env.text()?;
        let is_name = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if !is_name || OWN_SECRETS.contains(&name) {
            let message = format!("`{name}` is not a variable for this");
            faults.add_with(env.at, message, "name another variable: NEOSTOCK_SECRET_…");
        }
        return Some(SecretSource::Env(name.to_owned()));
    }
    Some(SecretSource::File(path(node.get("file")?, faults)?))
}

fn path(node: &Node, faults: &mut Faults) -> Option<PathBuf> {
    let path = PathBuf::from(node.text()?);
    if !path.is_absolute() {
        faults.add_with(node.at, "this path does not begin at the root", "write the whole path");
    }
    Some(path)
}

fn host_and_port(text: &str) -> Option<(String, u16)> {
    let (host, port) = text.rsplit_once(':')?;
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let is_host = bare.parse::<IpAddr>().is_ok()
        || (!host.is_empty()
            && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.".contains(&byte)));
    let port = port.parse().ok().filter(|port| *port != 0)?;
    is_host.then(|| (bare.to_owned(), port))
}

pub(super) fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    bare.eq_ignore_ascii_case("localhost")
        || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// An address as people write them (no quotes, no spaces, no second `@`), and as what sends mail takes it.
fn is_address(text: &str) -> bool {
    let Some((user, domain)) = text.split_once('@') else { return false };
    let is_user =
        |byte: u8| byte.is_ascii_alphanumeric() || b".!#$%&'*+/=?^_`{|}~-".contains(&byte);
    let is_domain = |byte: u8| byte.is_ascii_alphanumeric() || b"-.".contains(&byte);
    user.bytes().all(is_user)
        && domain.bytes().all(is_domain)
        && text.parse::<lettre::Address>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::super::parse;
    use super::*;
    use crate::config::fault::listing;

    const ALERTS: &str =
        "alerts: {cpu: {threshold: 0.8, duration: 5m, severity: warning, channels: [slack]}}\n";

    fn read(notices: &str) -> Result<Ways, String> {
        let text = format!("{ALERTS}notices:\n{notices}");
        parse("a.yml", text.as_bytes()).map(|read| read.ways).map_err(|faults| listing(&faults))
    }

    #[test]
    fn both_ways_are_read_with_what_holds_where_they_are_silent() {
        let ways = read(
            "  email: {smtp: 'mail.example.org:587', user: ops, password: {env: NEOSTOCK_SECRET_SMTP}, from: 'Ops <ops@example.org>', to: [ann@example.org], levels: {critical: [ann@example.org, bob@example.org]}}\n  pagerduty: {routing_keys: {default: {env: NEOSTOCK_SECRET_PD}, oncall: {file: /run/key}}, by: {critical: oncall, cpu: default}}\n",
        )
        .unwrap();

        let (email, pagerduty) = (ways.email.unwrap(), ways.pagerduty.unwrap());
        assert_eq!(
            (email.host.as_str(), email.port, email.tls),
            ("mail.example.org", 587, Tls::Starttls)
        );
        assert_eq!(email.recipients(Level::Error), ["ann@example.org"]);
        assert_eq!(email.recipients(Level::Critical).len(), 2);
        assert_eq!(pagerduty.url, "https://events.pagerduty.com");
        assert_eq!(pagerduty.key_for("error_rate", "neostock", Level::Critical), "oncall");
        assert_eq!(pagerduty.key_for("cpu", "neostock", Level::Critical), "default");
        assert_eq!(pagerduty.key_for("error_rate", "neostock", Level::Error), "default");
    }

    #[test]
    fn every_fault_is_told_with_a_way_out() {
        let faults = read(
            "  email: {smtp: mail.example.org, tls: none, user: ops, from: ops, to: ['ann@example.org\\r\\nBcc: x@y', a@b, A@b]}\n",
        )
        .unwrap_err();
        insta::assert_snapshot!(faults);
        let faults = read(
            "  email: {smtp: 'mail.example.org:25', tls: none, user: ops, from: 'x <ops>', to: ['a b@c', a@b.org, A@b.org], password: {file: secret}}\n  pagerduty: {routing_keys: {oncall: {env: SLACK_BOT_TOKEN}}, by: {critical: onkall}, url: 'http://pagerduty.example.org'}\n",
        )
        .unwrap_err();
        insta::assert_snapshot!(faults);
    }

    #[test]
    fn a_sender_is_an_address_with_whatever_name_people_give_it() {
        let sender = |text: &str| Sender::parse(text).map(|one| (one.name, one.address));
        let named = |name: &str| Some((name.to_owned(), "ops@example.org".to_owned()));
        assert_eq!(sender("ops@example.org"), named(""));
        assert_eq!(sender("NeoStock Ops <ops@example.org>"), named("NeoStock Ops"));
        assert_eq!(sender("\"Ops, (night)\" <ops@example.org>"), named("Ops, (night)"));
        assert_eq!(sender("Ops, night: us <ops@example.org>"), named("Ops, night: us"));
        assert_eq!(sender("运维 <ops@example.org>"), named("运维"));
        for wrong in ["", "ops", "Ops <ops>", "Ops <ops@example.org", "Ops ops@example.org"] {
            assert_eq!(sender(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn an_address_that_no_mail_could_be_sent_to_is_none() {
        let long = format!("{}@example.org", "a".repeat(65));
        for wrong in
            [long.as_str(), "a@-b.org", "a@b..org", ".a@b.org", "a..b@c.org", "@b.org", "a@"]
        {
            assert!(!is_address(wrong), "{wrong}");
        }
        for right in ["a@b.org", "o'hara+ops@mail.example.org", "root@localhost"] {
            assert!(is_address(right), "{right}");
        }
    }

    #[test]
    fn a_secret_without_a_value_is_a_note() {
        let ways = read(
            "  email: {smtp: '127.0.0.1:25', tls: none, user: a, password: {env: NEOSTOCK_TEST_UNSET}, from: a@b.org, to: [c@d.org]}\n  pagerduty: {routing_keys: {default: {env: PATH}}, webhook_secrets: [{file: /nowhere/at/all}]}\n",
        )
        .unwrap();

        let notes = listing(&ways.notes("a.yml"));

        assert!(
            notes.contains(
                "notices by mail wait: the bot's environment has no variable NEOSTOCK_TEST_UNSET"
            ),
            "{notes}"
        );
        assert!(notes.contains("routing key default: it is not 32 letters and digits"), "{notes}");
        assert!(notes.contains("webhooks that PagerDuty signs with it are refused"), "{notes}");
    }
}
