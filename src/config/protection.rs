//! How data is protected, as the settings and the runbook say it and as the files' permissions show it.
//! Holds and reads no secret: of a url only its host, of a file only its bits.

use super::settings::Settings;
use crate::core::action::{Runbook, SecretSource, StepKind};
use crate::core::compliance::{Database, Endpoint, FileFact, FileKind, Probe, Protection};
use axum::http::Uri;
use secrecy::ExposeSecret;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Files and steps that are looked at.
const LOOKED_AT_MAX: usize = 100;
/// What SQLite keeps beside its file.
const SQLITE_BESIDE: [&str; 2] = ["-wal", "-shm"];

/// What the settings say of it.
#[derive(Debug, Clone)]
pub struct Declared {
    listen: SocketAddr,
    slack: Endpoint,
    database: Database,
    sqlite: Option<PathBuf>,
    has_journal_key: bool,
    has_export_key: bool,
    data_dir: PathBuf,
    runbook: PathBuf,
    statement: Option<String>,
}

impl Declared {
    /// What these settings say.
    pub fn of(settings: &Settings) -> Self {
        let url = settings.database_url.expose_secret();
        let sqlite = url.strip_prefix("sqlite:").map(|path| path.trim_start_matches("//"));
        let sqlite = sqlite.map(|path| PathBuf::from(path.split('?').next().unwrap_or_default()));
        Self {
            listen: settings.listen,
            slack: endpoint(&settings.slack_api_url),
            database: if sqlite.is_some() { Database::Sqlite } else { postgres(url) },
            sqlite,
            has_journal_key: settings.journal_key.is_some(),
            has_export_key: settings.export_key.is_some(),
            data_dir: settings.data_dir.clone(),
            runbook: settings.runbook.clone(),
            statement: settings.encryption_at_rest.clone(),
        }
    }

    /// The same with a runbook, and with the files as they are now. `is_encrypted` is what the database
    /// says of its connection.
    pub fn look(&self, runbook: &Runbook, is_encrypted: Option<bool>) -> Protection {
        let mut database = self.database.clone();
        if let Database::Postgres { is_encrypted: told, .. } = &mut database {
            *told = is_encrypted;
        }
        Protection {
            listen: self.listen,
            slack: self.slack.clone(),
            database,
            asked: asked(runbook),
            has_journal_key: self.has_journal_key,
            has_export_key: self.has_export_key,
            files: self.files(runbook),
            secrets_by_variable: by_variable(runbook),
            statement: self.statement.clone(),
        }
    }

    fn files(&self, runbook: &Runbook) -> Vec<FileFact> {
        let mut files = Vec::new();
        if let Some(path) = &self.sqlite {
            files.push(file(FileKind::Database, path));
            let beside = SQLITE_BESIDE.iter().map(|end| {
                let mut name = path.clone().into_os_string();
                name.push(end);
                PathBuf::from(name)
            });
            // They are there while the database is open.
            files.extend(
                beside.filter(|path| path.exists()).map(|path| file(FileKind::Database, &path)),
            );
        }
        files.push(file(FileKind::DataFolder, &self.data_dir));
        files.push(file(FileKind::Runbook, &self.runbook));
        for environment in runbook.environments.values() {
            for (name, source) in &environment.secrets {
                if let SecretSource::File(path) = source
                    && files.len() < LOOKED_AT_MAX
                {
                    files.push(file(FileKind::Secret(name.clone()), path));
                }
            }
        }
        files
    }
}

fn file(kind: FileKind, path: &Path) -> FileFact {
    let mode = std::fs::metadata(path).ok().map(|found| found.permissions().mode() & 0o7777);
    FileFact { kind, path: path.display().to_string(), mode }
}

fn by_variable(runbook: &Runbook) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for environment in runbook.environments.values() {
        let names = environment.secrets.iter();
        let names = names.filter(|(_, source)| matches!(source, SecretSource::Env(_)));
        found.extend(names.map(|(name, _)| (environment.name.clone(), name.clone())));
    }
    found
}

/// Where `http` steps ask, each address of an action in an environment once.
fn asked(runbook: &Runbook) -> Vec<Probe> {
    let mut found: Vec<Probe> = Vec::new();
    for action in runbook.actions.values() {
        let urls = action.steps.iter().filter_map(|step| match &step.kind {
            StepKind::Http { url, .. } => Some(url),
            StepKind::Run { .. } | StepKind::Logs { .. } | StepKind::Journal { .. } => None,
        });
        for url in urls {
            for environment in runbook.environments.values() {
                let known = url.expand_known(|name| environment.value(&runbook.service, name));
                let one = Probe {
                    action: action.name.clone(),
                    environment: environment.name.clone(),
                    endpoint: endpoint(&known.shown()),
                };
                if found.len() < LOOKED_AT_MAX && !found.contains(&one) {
                    found.push(one);
                }
            }
        }
    }
    found
}

/// The scheme and the host of an address; a name that only a request fills in stays in its braces.
fn endpoint(url: &str) -> Endpoint {
    let parsed = url.parse::<Uri>().ok();
    let (scheme, host) = if let Some(uri) = &parsed {
        (uri.scheme_str().unwrap_or_default(), uri.host().unwrap_or_default())
    } else {
        let (scheme, rest) = url.split_once("://").unwrap_or_default();
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        (scheme, authority.rsplit('@').next().unwrap_or_default())
    };
    Endpoint { scheme: scheme.to_owned(), host: host.to_owned(), is_local: is_local(host) }
}

fn is_local(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    bare.eq_ignore_ascii_case("localhost")
        || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// What a url of PostgreSQL says, apart from who may and with which password.
fn postgres(url: &str) -> Database {
    let (address, query) = url.split_once('?').unwrap_or((url, ""));
    let value = |names: &[&str]| {
        let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        let mut found = pairs.filter(|(name, _)| names.contains(name));
        found.next().map(|(_, value)| value.to_owned())
    };
    let authority = address.split_once("://").map_or("", |(_, rest)| rest);
    let authority = authority.split('/').next().unwrap_or_default();
    let host = authority.rsplit('@').next().unwrap_or_default();
    let host = match host.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => host,
    };
    let host = value(&["host"]).unwrap_or_else(|| host.to_owned());
    // Without a host it is a socket; with a path too, as it is or with its slashes escaped.
    let is_socket = host.is_empty() || host.starts_with('/') || host.starts_with("%2F");
    Database::Postgres {
        sslmode: value(&["sslmode", "ssl-mode"]),
        is_local: is_socket || is_local(&host),
        is_encrypted: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_postgres_url_tells_its_mode_and_where_and_never_its_password() {
        let at = |url| match postgres(url) {
            Database::Postgres { sslmode, is_local, .. } => (sslmode, is_local),
            Database::Sqlite => unreachable!("it is PostgreSQL's"),
        };
        let full = Some("verify-full".to_owned());
        assert_eq!(
            at("postgres://u:p%40@db.example.com:5432/ops?sslmode=verify-full"),
            (full, false)
        );
        assert_eq!(at("postgres://u:secret@127.0.0.1/ops"), (None, true));
        assert_eq!(at("postgres://u@[::1]:5432/ops"), (None, true));
        assert_eq!(at("postgres:///ops?host=/run/postgresql"), (None, true));
        assert_eq!(at("postgres://%2Frun%2Fpg/ops?ssl-mode=require").0, Some("require".to_owned()));
        assert!(!format!("{:?}", postgres("postgres://u:secret@db/ops")).contains("secret"));
    }

    #[test]
    fn an_address_is_its_scheme_and_host_alone() {
        let shown = |url| {
            let Endpoint { scheme, host, is_local } = endpoint(url);
            (scheme, host, is_local)
        };
        let all = |scheme: &str, host: &str, is_local| (scheme.into(), host.into(), is_local);
        assert_eq!(shown("http://127.0.0.1:3000/health?key=1"), all("http", "127.0.0.1", true));
        assert_eq!(
            shown("https://u:secret@api.example.com/x"),
            all("https", "api.example.com", false)
        );
        assert_eq!(
            shown("http://{version}.example.com/x"),
            all("http", "{version}.example.com", false)
        );
        assert!(endpoint("http://db/").is_plain() && !endpoint("https://db/").is_plain());
    }
}
