//! The sample's history: five releases with their migrations, made by the real git, with the same
//! commit ids on every machine.

use anyhow::Context;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

/// One commit; the last of a release carries its tag.
struct Commit {
    message: &'static str,
    /// Seconds since 1970.
    at_secs: i64,
    files: &'static [(&'static str, &'static str)],
    tag: Option<(&'static str, &'static str)>,
}

const HISTORY: [Commit; 9] = [
    Commit {
        message: "feat(server): 行情与订单\n\n/api/quotes 提供最新报价；订单写入 SQLite。",
        at_secs: 1_741_572_000,
        files: &[
            ("README.md", "# NeoStock\n\n股票数据服务。操作步骤见 DevOps 操作程序手册。\n"),
            ("config/neostock.toml", "[server]\ncache_secs = 5\n"),
            (
                "db/0001_quotes_orders.up.sql",
                "create table quotes (\n  symbol text primary key,\n  name text not null,\n  \
                 price_cents bigint not null,\n  at_ms bigint not null\n);\n\ncreate table orders \
                 (\n  id bigint primary key,\n  symbol text not null references quotes (symbol),\n  \
                 quantity bigint not null,\n  price_cents bigint not null,\n  at_ms bigint not \
                 null\n);\n",
            ),
            ("db/0001_quotes_orders.down.sql", "drop table orders;\ndrop table quotes;\n"),
        ],
        tag: None,
    },
    Commit {
        message: "chore(release): v1.0",
        at_secs: 1_741_600_800,
        files: &[("VERSION", "v1.0\n"), ("CHANGELOG.md", "## v1.0\n- 首个版本：行情与订单\n")],
        tag: Some(("v1.0", "NeoStock v1.0：首个版本")),
    },
    Commit {
        message: "feat(auth): Better Auth 登录\n\n会话存入 sessions 表，7 天过期。",
        at_secs: 1_744_336_800,
        files: &[
            ("config/neostock.toml", "[server]\ncache_secs = 5\n\n[auth]\nsession_days = 7\n"),
            (
                "db/0002_users_sessions.up.sql",
                "create table users (\n  id bigint primary key,\n  email text not null unique,\n  \
                 created_ms bigint not null\n);\n\ncreate table sessions (\n  token_hash text \
                 primary key,\n  user_id bigint not null references users (id),\n  expires_ms \
                 bigint not null\n);\n",
            ),
            ("db/0002_users_sessions.down.sql", "drop table sessions;\ndrop table users;\n"),
            ("VERSION", "v1.1\n"),
            ("CHANGELOG.md", "## v1.1\n- 用户登录与会话\n\n## v1.0\n- 首个版本：行情与订单\n"),
        ],
        tag: Some(("v1.1", "NeoStock v1.1：用户登录")),
    },
    Commit {
        message: "feat(alerts): 价格提醒\n\n用户可以为一只股票设置上限或下限。",
        at_secs: 1_747_101_600,
        files: &[
            (
                "db/0003_price_alerts.up.sql",
                "create table price_alerts (\n  id bigint primary key,\n  user_id bigint not null \
                 references users (id),\n  symbol text not null references quotes (symbol),\n  \
                 above_cents bigint,\n  below_cents bigint\n);\n",
            ),
            ("db/0003_price_alerts.down.sql", "drop table price_alerts;\n"),
        ],
        tag: None,
    },
    Commit {
        message: "chore(release): v1.2",
        at_secs: 1_747_130_400,
        files: &[
            ("VERSION", "v1.2\n"),
            (
                "CHANGELOG.md",
                "## v1.2\n- 价格提醒\n\n## v1.1\n- 用户登录与会话\n\n## v1.0\n- \
                 首个版本：行情与订单\n",
            ),
        ],
        tag: Some(("v1.2", "NeoStock v1.2：价格提醒")),
    },
    Commit {
        message: "perf(quotes): 缓存延长到 30 秒\n\n减少对上游行情源的请求。",
        at_secs: 1_749_780_000,
        files: &[(
            "config/neostock.toml",
            "[server]\ncache_secs = 30\n\n[auth]\nsession_days = 7\n",
        )],
        tag: None,
    },
    Commit {
        message: "feat(orders): 手续费与成交流水\n\norders 增加 fee_cents；每次状态变化写入 \
                  order_events。",
        at_secs: 1_749_808_800,
        files: &[
            (
                "db/0004_order_fees.up.sql",
                "alter table orders add column fee_cents bigint not null default 0;\n\ncreate \
                 table order_events (\n  order_id bigint not null references orders (id),\n  kind \
                 text not null,\n  at_ms bigint not null\n);\n",
            ),
            (
                "db/0004_order_fees.down.sql",
                "drop table order_events;\nalter table orders drop column fee_cents;\n",
            ),
            ("VERSION", "v1.3\n"),
            (
                "CHANGELOG.md",
                "## v1.3\n- 订单手续费与成交流水\n- 行情缓存延长到 30 秒\n\n## v1.2\n- \
                 价格提醒\n\n## v1.1\n- 用户登录与会话\n\n## v1.0\n- 首个版本：行情与订单\n",
            ),
        ],
        tag: Some(("v1.3", "NeoStock v1.3：订单手续费")),
    },
    Commit {
        message: "fix(quotes): 缓存改为 10 秒\n\n30 秒的报价对提醒来说太旧。",
        at_secs: 1_752_458_400,
        files: &[(
            "config/neostock.toml",
            "[server]\ncache_secs = 10\n\n[auth]\nsession_days = 7\n",
        )],
        tag: None,
    },
    Commit {
        message: "feat(alerts): 提醒备注\n\nprice_alerts 增加 note。",
        at_secs: 1_752_487_200,
        files: &[
            (
                "db/0005_alert_notes.up.sql",
                "alter table price_alerts add column note text not null default '';\n",
            ),
            ("db/0005_alert_notes.down.sql", "alter table price_alerts drop column note;\n"),
            ("VERSION", "v1.4\n"),
            (
                "CHANGELOG.md",
                "## v1.4\n- 提醒备注\n- 行情缓存改为 10 秒\n\n## v1.3\n- \
                 订单手续费与成交流水\n- 行情缓存延长到 30 秒\n\n## v1.2\n- 价格提醒\n\n## \
                 v1.1\n- 用户登录与会话\n\n## v1.0\n- 首个版本：行情与订单\n",
            ),
        ],
        tag: Some(("v1.4", "NeoStock v1.4：提醒备注")),
    },
];

/// Makes the repository.
pub(super) fn create(repo: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(repo).context("make the folder of the repository")?;
    git(repo, 0, &["init", "--quiet", "--initial-branch=main", "."])?;
    for commit in &HISTORY {
        for (path, content) in commit.files {
            let path = repo.join(path);
            if let Some(folder) = path.parent() {
                fs::create_dir_all(folder).context("make a folder of the repository")?;
            }
            fs::write(&path, content).with_context(|| format!("write {}", path.display()))?;
        }
        git(repo, commit.at_secs, &["add", "--all"])?;
        git(repo, commit.at_secs, &["commit", "--quiet", "--message", commit.message])?;
        if let Some((tag, message)) = commit.tag {
            git(repo, commit.at_secs, &["tag", "--annotate", tag, "--message", message])?;
        }
    }
    Ok(())
}

/// Writes the tree of a version into a folder that is not there yet. The repository's own work tree
/// and index are left alone.
pub(super) fn export(repo: &Path, version: &str, into: &Path) -> anyhow::Result<()> {
    let commit = commit_of(repo, version)?;
    let commit = commit.with_context(|| format!("错误: 无效的版本 {version}"))?;
    fs::create_dir_all(into).with_context(|| format!("make {}", into.display()))?;
    let index = into.with_extension("index");
    let prefix = into.to_str().context("the path is not UTF-8")?;
    git_with(repo, 0, Some(&index), &["read-tree", &commit])?;
    git_with(repo, 0, Some(&index), &["checkout-index", "--all", &format!("--prefix={prefix}/")])?;
    fs::remove_file(&index).context("remove the index of the export")
}

/// The names of the files in a version's `db/`, or `None` when there is no such version.
pub(super) fn migrations_of(repo: &Path, version: &str) -> anyhow::Result<Option<Vec<String>>> {
    let Some(commit) = commit_of(repo, version)? else { return Ok(None) };
    let files = git(repo, 0, &["ls-tree", "--name-only", &commit, "db/"])?;
    let names = files.lines().map(|path| path.trim_start_matches("db/").to_owned());
    Ok(Some(names.collect()))
}

/// What a file of a version holds.
pub(super) fn file_of(repo: &Path, version: &str, path: &str) -> anyhow::Result<String> {
    let commit = commit_of(repo, version)?;
    let commit = commit.with_context(|| format!("错误: 无效的版本 {version}"))?;
    git(repo, 0, &["show", &format!("{commit}:{path}")])
}

/// The number of the newest migration among these files; 0 without any.
pub(super) fn newest(files: &[String]) -> i64 {
    files.iter().filter_map(|file| number_of(file)).max().unwrap_or(0)
}

fn commit_of(repo: &Path, version: &str) -> anyhow::Result<Option<String>> {
    anyhow::ensure!(repo.join(".git").exists(), "{} is no repository", repo.display());
    let name = format!("{version}^{{commit}}");
    let arguments = ["rev-parse", "--quiet", "--verify", "--end-of-options", &name];
    Ok(git(repo, 0, &arguments).ok().map(|commit| commit.trim().to_owned()))
}

/// The number of a migration `NNNN_name.up.sql`.
pub(super) fn number_of(file: &str) -> Option<i64> {
    let (number, _) = file.strip_suffix(".up.sql")?.split_once('_')?;
    number.parse().ok()
}

/// Runs git with an identity of its own and nobody's configuration, and gives its output.
fn git(repo: &Path, at_secs: i64, arguments: &[&str]) -> anyhow::Result<String> {
    git_with(repo, at_secs, None, arguments)
}

/// The same with an index of its own.
fn git_with(
    repo: &Path,
    at_secs: i64,
    index: Option<&Path>,
    arguments: &[&str],
) -> anyhow::Result<String> {
    const NAME: &str = "NeoStock Team";
    const EMAIL: &str = "team@neostock.example";
    let date = format!("@{at_secs} +0800");
    #[expect(clippy::disallowed_methods, reason = "the sandbox is its own small application")]
    let mut command = Command::new("git");
    for inherited in ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY"] {
        command.env_remove(inherited);
    }
    command.envs(index.map(|index| ("GIT_INDEX_FILE", index)));
    let output = command
        .args(["-c", "commit.gpgSign=false", "-c", "tag.gpgSign=false"])
        .args(["-c", "core.hooksPath=/dev/null", "-c", "core.autocrlf=false"])
        .args(["-c", "gc.auto=0", "-c", "safe.directory=*"])
        .args(arguments)
        .current_dir(repo)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_SYSTEM", "/dev/null")
        .env("GIT_TERMINAL_PROMPT", "0")
        .env("GIT_TEMPLATE_DIR", "")
        .env("GIT_AUTHOR_NAME", NAME)
        .env("GIT_AUTHOR_EMAIL", EMAIL)
        .env("GIT_AUTHOR_DATE", &date)
        .env("GIT_COMMITTER_NAME", NAME)
        .env("GIT_COMMITTER_EMAIL", EMAIL)
        .env("GIT_COMMITTER_DATE", &date)
        .stdin(Stdio::null())
        .output()
        .context("start git; is it installed?")?;
    let said = String::from_utf8_lossy(&output.stderr);
    let verb = arguments.first().unwrap_or(&"");
    anyhow::ensure!(output.status.success(), "git {verb}: {} {}", output.status, said.trim());
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
