//! The scripts that look after keys, secrets and logs, each alone: what they do, what they say of every failure that they
//! can meet, and that they leave nothing half done.

mod chat;
mod keys;
mod logs;
mod rotation;
mod secrets;

use crate::harness::parts::result_of;
use serde_json::Value;
use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use tempfile::TempDir;

const GOOD: i32 = 0;
const FAILED: i32 = 1;
const REFUSED: i32 = 2;
const COULD_NOT_RUN: i32 = 69;
const STOPPED_BY_TERM: i32 = 143;

/// Where somebody runs these scripts by hand: a folder, settings, and what must never be shown.
struct Desk {
    folder: TempDir,
    settings: BTreeMap<String, String>,
    secrets: Vec<String>,
}

/// How a script ended.
#[derive(Debug)]
struct Ended {
    code: i32,
    outcome: String,
    zh: String,
    en: String,
    figures: BTreeMap<String, Value>,
    words: String,
}

impl Ended {
    fn figure(&self, name: &str) -> f64 {
        self.figures[name].as_f64().unwrap()
    }

    /// A figure that counts something.
    fn count(&self, name: &str) -> u64 {
        self.figures[name].as_u64().unwrap()
    }
}

impl Desk {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let desk = Self { folder, settings: BTreeMap::new(), secrets: Vec::new() };
        for name in ["home", "temporary"] {
            std::fs::create_dir(desk.path(name)).unwrap();
        }
        let bin = project().join("build/parts/bin");
        assert!(bin.join("bun").exists(), "bun and pm2 are not here: run tools/prepare.sh");
        desk.with("PATH", &format!("{}:/usr/local/bin:/usr/bin:/bin:/usr/sbin", bin.display()))
            .with("LANG", "C.UTF-8")
            .with_path("HOME", "home")
            .with_path("TMPDIR", "temporary")
    }

    fn with(mut self, name: &str, value: &str) -> Self {
        self.settings.insert(name.to_owned(), value.to_owned());
        self
    }

    fn with_path(self, name: &str, file: &str) -> Self {
        let path = self.path(file).display().to_string();
        self.with(name, &path)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }

    fn command(&self, script: &str, arguments: &[&str], more: &[(&str, &str)]) -> Command {
        let mut command = Command::new(project().join("runbook/scripts").join(script));
        command.args(arguments).current_dir(self.folder.path()).stdin(Stdio::null());
        command.env_clear().envs(&self.settings).envs(more.iter().copied());
        command
    }

    /// Runs a script that must end so, and keep to the contract.
    fn expect(
        &self,
        code: i32,
        script: &str,
        arguments: &[&str],
        more: &[(&str, &str)],
        words: &[&str],
    ) -> Ended {
        let output = self.command(script, arguments, more).output().unwrap();
        let ended = self.ended(script, &output);
        assert_eq!(ended.code, code, "{script} {arguments:?} {more:?}: {}", ended.words);
        for word in words {
            assert!(ended.words.contains(word), "{word} is missing: {}", ended.words);
        }
        ended
    }

    /// Reads the end of a script, and holds it to the contract.
    fn ended(&self, script: &str, output: &Output) -> Ended {
        let code = output.status.code().unwrap_or(-1);
        let words = [&output.stdout[..], &output.stderr[..]].map(String::from_utf8_lossy).concat();
        assert!(output.stdout.ends_with(b"\n"), "{script}: {words}");
        let result = result_of(output);
        let text = |name: &str| result[name].as_str().unwrap().to_owned();
        let (outcome, zh, en) = (text("outcome"), text("zh"), text("en"));
        let fitting: &[&str] = match code {
            GOOD => &["done", "passed", "dry_run"],
            REFUSED | COULD_NOT_RUN => &["could_not_run"],
            FAILED => &["failed"],
            _ => &["failed", "could_not_run"],
        };
        assert!(fitting.contains(&outcome.as_str()), "{script}: {code} is {outcome}: {words}");
        assert!(zh.chars().any(|letter| letter > '\u{2e7f}'), "{script} says no Chinese: {zh}");
        assert!(en.contains(|letter: char| letter.is_ascii_alphabetic()), "{script}: {en}");
        let odd = |letter: char| letter.is_control() && letter != '\n';
        assert!(!words.contains(odd), "{script} shows control characters: {words:?}");
        for secret in &self.secrets {
            assert!(!words.contains(secret), "{script} shows a secret: {words}");
        }
        let left: Vec<_> = std::fs::read_dir(self.path("temporary")).unwrap().collect();
        assert!(left.is_empty(), "{script} leaves {left:?}");
        let figures = result["figures"].as_array().unwrap().iter();
        let figures =
            figures.map(|one| (one["name"].as_str().unwrap().to_owned(), one["value"].clone()));
        Ended { code, outcome, zh, en, figures: figures.collect(), words }
    }
}

/// Every file below a folder with its mode and what it holds.
fn listing(folder: &Path) -> BTreeMap<PathBuf, (u32, Vec<u8>)> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let mode = std::fs::symlink_metadata(&path).unwrap().permissions().mode();
        if path.is_dir() {
            found.extend(listing(&path));
            found.insert(path, (mode, Vec::new()));
        } else {
            let content = std::fs::read(&path).unwrap();
            found.insert(path, (mode, content));
        }
    }
    found
}

fn project() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// A moment that many seconds ago, as logs write it.
fn ago(secs: i64) -> String {
    use std::time::{SystemTime, UNIX_EPOCH};

    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64;
    let moment = chrono::DateTime::from_timestamp_millis(now - secs * 1000).unwrap();
    moment.format("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}

#[test]
fn whoever_calls_them_wrongly_is_told_how() {
    let desk = Desk::new();
    for script in SCRIPTS {
        let help = desk.command(script, &["--help"], &[]).output().unwrap();
        let text = String::from_utf8(help.stdout).unwrap();
        assert!(help.status.success() && text.contains(script), "{text}");
        for words in ["--dry-run", "退出码 / exit code: 0 ", "69 "] {
            assert!(text.contains(words), "{script} --help does not say {words}: {text}");
        }

        let ended = desk.expect(REFUSED, script, &["a", "b"], &[], &["用法见 / usage"]);
        assert!(ended.zh.contains("参数个数不对"), "{}", ended.zh);
    }
    for script in ["audit-api-calls.sh", "analyze-logs.sh", "aggregate-errors.sh"] {
        for window in ["1", "-1h", "1h; id", "0s", "32d", "99999999d", "1.5h", "$(id)"] {
            desk.expect(REFUSED, script, &[window], &[], &["时间范围写作"]);
        }
    }
    for name in ["Web", "-x", "a b", "$(id)", "../x"] {
        desk.expect(REFUSED, "rotate-api-keys.sh", &[name], &[], &["密钥名只能用"]);
    }
    desk.expect(REFUSED, "rotate-logs.sh", &["soon"], &[], &["参数是 due 或 now"]);
    desk.expect(REFUSED, "rotate-api-keys.sh", &[], &[], &["NGINX_UPSTREAM_FILE"]);
    desk.expect(REFUSED, "audit-api-calls.sh", &[], &[], &["API_LOG_FILES"]);
    desk.expect(REFUSED, "verify-secrets.sh", &[], &[("REQUIRED_SECRETS", "a-b")], &["a-b"]);
    let log = ("API_LOG_FILE", "relative.log");
    desk.expect(REFUSED, "audit-api-calls.sh", &[], &[log], &["必须是绝对路径"]);
    let limit = [("API_LOG_FILE", "/nowhere.log"), ("BURST_MAX", "many")];
    desk.expect(REFUSED, "audit-api-calls.sh", &[], &limit, &["BURST_MAX"]);
}

const SCRIPTS: [&str; 6] = [
    "aggregate-errors.sh",
    "analyze-logs.sh",
    "audit-api-calls.sh",
    "rotate-api-keys.sh",
    "rotate-logs.sh",
    "verify-secrets.sh",
];
