//! Where a measured bot lives: on the disk that holds the build, never in a temporary file system.

use neostock_ops::config::settings::Sources;
use neostock_ops::sandbox::Workspace;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// What whoever sends alerts shows, where there is an alerting configuration.
pub const WEBHOOK_TOKEN: &str = "bench";

/// Two environments and an action that takes no time, so that `status` has something to say; and a
/// third whose steps only one host runs.
const RUNBOOK: &str = r#"
service: neostock
language: en
environments:
  production: {workdir: /, default: true, channel: C0OPS}
  staging: {workdir: /, channel: C0DEV}
  elsewhere: {workdir: /, channel: C0RANDOM, host: worker}
roles:
  viewer: {members: [everyone]}
  operator: {members: [S0OPS]}
actions:
  touch:
    summary: {zh: 什么也不做, en: Do nothing}
    role: operator
    parameters:
      reason: {type: text, required: true}
    steps:
      - {name: {zh: 什么也不做, en: Do nothing}, run: ["true"], timeout: 10s}
  nothing:
    summary: {zh: 什么也不做, en: Do nothing}
    role: operator
    lock: none
    steps:
      - {name: {zh: 什么也不做, en: Do nothing}, run: ["/bin/true"], timeout: 10s}
  hold:
    summary: {zh: 等待, en: Wait}
    role: operator
    lock: none
    steps:
      - {name: {zh: 等待, en: Wait}, run: [/bin/sleep, "600"], timeout: 15m}
  stamp:
    summary: {zh: 记下时刻, en: Say the time}
    role: operator
    approval: {from: operator}
    steps:
      - {name: {zh: 记下时刻, en: Say the time}, run: [/bin/date, "+%s%N"], timeout: 10s}
"#;

/// A bot's folder; it goes when this is dropped.
pub struct Folder {
    folder: TempDir,
    /// The host whose steps a bot here runs.
    pub host: &'static str,
}

impl Folder {
    pub fn new() -> anyhow::Result<Self> {
        let folder = TempDir::new_in(env!("CARGO_TARGET_TMPDIR"))?;
        let folder = Self { folder, host: "bench" };
        std::fs::write(folder.runbook(), RUNBOOK)?;
        Ok(folder)
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Its alerting configuration, which counts once it is written.
    pub fn alerting(&self) -> PathBuf {
        self.path().join("alerting.yml")
    }

    fn runbook(&self) -> PathBuf {
        self.path().join("runbook.yml")
    }

    pub fn sqlite_url(&self) -> String {
        format!("sqlite:{}", self.path().join("neostock.db").display())
    }

    /// The settings of a bot in this folder, as environment variables.
    pub fn environment(&self, workspace: &Workspace, database_url: &str) -> Vec<(String, String)> {
        let mut environment = [
            ("SLACK_BOT_TOKEN", workspace.bot_token()),
            ("SLACK_SIGNING_SECRET", workspace.signing_secret()),
            ("SLACK_API_URL", workspace.api_url()),
            ("DATABASE_URL", database_url.to_owned()),
            ("NEOSTOCK_RUNBOOK", self.runbook().display().to_string()),
            ("NEOSTOCK_DATA_DIR", self.path().join("data").display().to_string()),
            ("NEOSTOCK_HOST", self.host.to_owned()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .to_vec();
        if self.alerting().exists() {
            let path = self.alerting().display().to_string();
            environment.push(("NEOSTOCK_ALERTING".to_owned(), path));
            environment.push(("NEOSTOCK_WEBHOOK_TOKEN".to_owned(), WEBHOOK_TOKEN.to_owned()));
        }
        environment
    }

    /// The same, for a bot inside the bench.
    pub fn sources(&self, workspace: &Workspace, database_url: &str) -> Sources {
        Sources {
            file: None,
            environment: self.environment(workspace, database_url),
            working_dir: self.path().to_owned(),
            hostname: "bench".to_owned(),
        }
    }
}
