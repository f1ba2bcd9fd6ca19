//! A folder with a git repository, a runbook and a file in which steps leave their marks.

use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// The head of every test's runbook; `{repo}` is filled in.
const RUNBOOK: &str = r#"
service: neostock
language: en
environments:
  production:
    workdir: {repo}
    default: true
    channel: C0OPS
    variables: {MARKS: "{marks}"}
  staging:
    workdir: {repo}
    channel: C0DEV
    variables: {MARKS: "{marks}"}
roles:
  viewer: {members: [everyone]}
  operator: {members: [S0OPS]}
  lead: {members: [U0BOB]}
actions:
"#;

/// A rollback whose steps only leave marks.
pub const ROLLBACK: &str = r#"
  rollback:
    summary: {zh: 回滚到指定版本, en: Roll the service back to a version}
    role: operator
    parameters:
      version: {type: git_ref, required: true}
      reason: {type: text, required: true}
    notices:
      succeeded: {zh: "🔄 应用已成功回滚到版本 {version}", en: "🔄 The application was rolled back to version {version}"}
      failed: {zh: 🚨 应用回滚失败，需要立即人工干预, en: "🚨 The rollback failed: somebody must act now"}
    steps:
      - {name: {zh: 验证, en: Verify}, run: [git, rev-parse, --verify, --end-of-options, "{version}^{{commit}}"], timeout: 10s, idempotent: true}
      - {name: {zh: 回滚, en: Roll back}, run: [sh, -c, "echo back $1 >> $MARKS; echo rolling back to $1", sh, "{version}"], timeout: 20s}
"#;

/// Where a bot of a test lives.
pub struct Place {
    folder: TempDir,
}

impl Place {
    /// Makes one with a repository (tags v1.0 to v1.3) and a runbook of these actions.
    pub fn new(actions: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let place = Self { folder };
        std::fs::create_dir(place.repo()).unwrap();
        place.git(&["init", "--quiet", "--initial-branch=main"]);
        for version in ["v1.0", "v1.1", "v1.2", "v1.3"] {
            std::fs::write(place.repo().join("VERSION"), version).unwrap();
            place.git(&["add", "."]);
            place.git(&["commit", "--quiet", "-m", version]);
            place.git(&["tag", version]);
        }
        let head = RUNBOOK
            .replace("{repo}", &place.repo().display().to_string())
            .replace("{marks}", &place.marks_file().display().to_string());
        std::fs::write(place.runbook(), head + actions).unwrap();
        place
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    pub fn repo(&self) -> PathBuf {
        self.path().join("repo")
    }

    pub fn runbook(&self) -> PathBuf {
        self.path().join("runbook.yml")
    }

    /// Its alerting configuration, which counts once it is written.
    pub fn alerting(&self) -> PathBuf {
        self.path().join("alerting.yml")
    }

    pub fn data(&self) -> PathBuf {
        self.path().join("data")
    }

    pub fn marks_file(&self) -> PathBuf {
        self.path().join("marks")
    }

    /// Every line that steps left, in order.
    pub fn marks(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.marks_file()).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    pub fn git(&self, arguments: &[&str]) {
        let status = Command::new("git")
            .args(["-c", "user.name=test", "-c", "user.email=test@example.invalid"])
            .args(arguments)
            .current_dir(self.repo())
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .status()
            .unwrap();
        assert!(status.success(), "git {arguments:?}");
    }
}

/// Whether a process lives.
pub fn is_alive(pid: i32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat.contains(") Z ") && !stat.contains(") X "))
}
