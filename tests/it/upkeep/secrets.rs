//! What is wrong with secrets: how strong they are, where they stand, and where they have got to; never a value of one.

use super::{COULD_NOT_RUN, Desk, FAILED, GOOD, ago, listing};
use serde_json::json;
use std::fs::Permissions;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

const VERIFY: &str = "verify-secrets.sh";
const AUTH: &str = "3f9a1c5e7b2d4860a8c6e4f20b1d3957f1e2d3c4";
const KEY: &str = "nsk_Zk3vX9qLmT7bR2wYc8NfHs5JdPgQa1Ue6oViKtBxErM";
/// It gets onto a command line, where the tests beside this one would find it as well.
const LEAKED: &str = "nsk_Qw7eR2tY9uI4oP6aS1dF8gH3jK5lZ0xC_vB-nM2sXrT";
const PASSWORD: &str = "pT8-kW3_xZ6-mQ9_vB2-nL5_rH7-cJ4_sD1";

/// Everything is as it should be: a repository, secrets in files of one's own, a young key.
fn desk() -> Desk {
    let mut desk = Desk::new();
    desk.secrets = [AUTH, KEY, PASSWORD].map(str::to_owned).to_vec();
    desk.write("repo/README", "nothing\n");
    git(&desk, &["init", "--quiet", "--initial-branch=main"]);
    commit(&desk, "begin");
    secret(&desk, "private/auth", AUTH);
    secret(&desk, "private/web.key", KEY);
    secret(
        &desk,
        "private/pgpass",
        &format!("# one\n127.0.0.1:5432:neo\\:stock:neostock:{PASSWORD}\n"),
    );
    secret(&desk, "pm2/dump.pm2", "[]");
    mode(&desk.path("pm2"), 0o700);
    desk.write("pm2/logs/neostock-server-blue-error.log", "an error\n");
    desk.write("logs/api.log", "a call\n");
    desk.write("releases/blue/.git", "");
    let text = json!({"name": "server", "scripts": {"keys": "bun keys.js"}}).to_string();
    desk.write("releases/blue/apps/server/package.json", text);
    desk.write("releases/blue/apps/server/keys.js", include_str!("../../parts/keys/keys.js"));
    write_key(&desk, 10);
    desk.write("upstream.conf", "upstream neostock_server { server 127.0.0.1:3001; }\n");
    desk.with_path("BETTER_AUTH_SECRET_FILE", "private/auth")
        .with("DATABASE_URL", &format!("postgres://neostock:{PASSWORD}@127.0.0.1/neostock"))
        .with_path("API_KEY_FILE", "private/web.key")
        .with_path("PGPASSFILE", "private/pgpass")
        .with_path("PM2_HOME", "pm2")
        .with_path("API_LOG_FILE", "logs/api.log")
        .with_path("KEYS_FOLDER", "keys")
        .with_path("RELEASES_DIR", "releases")
        .with_path("NGINX_UPSTREAM_FILE", "upstream.conf")
        .with("BLUE_PORT", "3001")
        .with("GREEN_PORT", "3002")
        .with("BLUE_WEB_PORT", "3011")
        .with("GREEN_WEB_PORT", "3012")
}

fn write_key(desk: &Desk, days: i64) {
    let made = ago(days * 86_400 + 60);
    let keys =
        json!([{"id": "K4", "name": "web", "key": "x", "created_at": made, "revoked_at": null}]);
    desk.write("keys/keys.json", keys.to_string());
}

fn secret(desk: &Desk, name: &str, text: &str) {
    let path = desk.write(name, text);
    mode(&path, 0o600);
    mode(path.parent().unwrap(), 0o700);
}

fn mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

fn git(desk: &Desk, arguments: &[&str]) {
    let mut command = Command::new("git");
    command.args(["-c", "user.name=test", "-c", "user.email=test@example.invalid"]).args(arguments);
    command.current_dir(desk.path("repo")).env("HOME", desk.path("home"));
    assert!(command.status().unwrap().success(), "{arguments:?}");
}

fn commit(desk: &Desk, message: &str) {
    git(desk, &["add", "--force", "."]);
    git(desk, &["commit", "--quiet", "--allow-empty", "-m", message]);
}

/// In the repository, as people run it.
fn verify(desk: &Desk, code: i32, more: &[(&str, &str)], words: &[&str]) -> super::Ended {
    let mut command = desk.command(VERIFY, &[], more);
    let output = command.current_dir(desk.path("repo")).output().unwrap();
    let ended = desk.ended(VERIFY, &output);
    assert_eq!(ended.code, code, "{more:?}: {}", ended.words);
    for word in words {
        assert!(ended.words.contains(word), "{word} is missing: {}", ended.words);
    }
    ended
}

#[test]
fn secrets_as_they_should_be_pass_and_nothing_is_changed() {
    let desk = desk();
    let before = listing(desk.folder.path());
    let dry = desk.expect(GOOD, VERIFY, &["--dry-run"], &[], &["BETTER_AUTH_SECRET DATABASE_URL"]);
    assert_eq!(dry.outcome, "dry_run");

    let ended = verify(
        &desk,
        GOOD,
        &[],
        &[
            "最近 1 个提交里没有机密",
            "没有进程的命令行里有机密",
            "2 个日志里没有机密",
            "最老 10 天",
        ],
    );

    assert_eq!(ended.outcome, "passed");
    assert_eq!(ended.count("key_age_days"), 10);
    assert_eq!(ended.count("secrets"), 4);
    assert!(!ended.words.contains('❌'), "{}", ended.words);
    assert_eq!(listing(desk.folder.path()), before);
}

#[test]
fn weak_missing_and_doubled_secrets_are_told_at_once() {
    let desk = desk();
    desk.write("private/env", "export FROM_FILE='development-development-development'\nLEFT=\n");
    mode(&desk.path("private/env"), 0o600);
    let env = desk.path("private/env").display().to_string();
    let more = [
        ("ENV_FILE", env.as_str()),
        ("REQUIRED_SECRETS", "SHORT PLACE SAME FROM_FILE LEFT TWIN OTHER DATABASE_URL"),
        ("SHORT", "2short"),
        ("PLACE", "please-ChangeMe-please-ChangeMe-please"),
        ("SAME", "zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz"),
        ("TWIN", AUTH),
        ("OTHER", AUTH),
    ];

    let ended = verify(
        &desk,
        FAILED,
        &more,
        &[
            "❌ SHORT 只有 6 个字符",
            "❌ PLACE 是占位值（含 changeme）",
            "❌ SAME 只用了 1 种字符",
            "❌ ENV_FILE: FROM_FILE 是占位值（含 development）",
            "❌ 缺少 LEFT",
            "❌ TWIN 与 OTHER 相同",
        ],
    );

    assert_eq!(ended.count("findings"), 6, "{}", ended.words);
    assert_eq!(ended.zh, "机密有 6 处问题");
}

#[test]
fn files_that_others_can_read_or_that_git_knows_are_told() {
    let desk = desk();
    mode(&desk.path("private/web.key"), 0o640);
    mode(&desk.path("pm2/dump.pm2"), 0o644);
    mode(&desk.path("private"), 0o755);
    mode(desk.folder.path(), 0o755);
    secret(&desk, "repo/tracked/pgpass", &format!("*:*:*:*:{PASSWORD}\n"));
    git(&desk, &["add", "."]);
    secret(&desk, "repo/loose/auth", AUTH);
    let path = |name: &str| desk.path(name).display().to_string();
    let (pgpass, auth) = (path("repo/tracked/pgpass"), path("repo/loose/auth"));
    let more = [
        ("PGPASSFILE", pgpass.as_str()),
        ("BETTER_AUTH_SECRET_FILE", auth.as_str()),
        ("ENV_FILE", "/nowhere/env"),
    ];

    let ended = verify(
        &desk,
        FAILED,
        &more,
        &[
            "❌ API_KEY_FILE 的权限是 640",
            "❌ API_KEY_FILE 所在目录他人可读",
            "❌ dump.pm2 的权限是 644",
            "❌ PGPASSFILE 被 git 跟踪",
            "❌ BETTER_AUTH_SECRET_FILE 在 git 仓库里且未被忽略",
            "❌ ENV_FILE 不存在",
        ],
    );

    assert_eq!(ended.count("findings"), 6, "{}", ended.words);
    // Ignored is enough; a folder above that everybody may write is not.
    desk.write("repo/.git/info/exclude", "/loose\n");
    // So is a folder that others do not get to.
    mode(desk.folder.path(), 0o700);
    mode(&desk.path("private/web.key"), 0o600);
    mode(&desk.path("pm2/dump.pm2"), 0o600);
    let more = [("BETTER_AUTH_SECRET_FILE", auth.as_str())];
    verify(&desk, GOOD, &more, &[]);
    mode(&desk.path("repo"), 0o777);
    verify(&desk, FAILED, &more, &["❌ BETTER_AUTH_SECRET_FILE 的上级目录任何人可写（777）"]);
}

#[test]
fn a_secret_that_got_out_is_found_and_its_place_is_told() {
    let mut desk = desk();
    desk.secrets.push(LEAKED.to_owned());
    secret(&desk, "private/web.key", LEAKED);
    desk.write("repo/config/old.env", format!("A=1\nSECRET={AUTH}\n"));
    commit(&desk, "a file");
    std::fs::remove_file(desk.path("repo/config/old.env")).unwrap();
    commit(&desk, &format!("remove it, it was {LEAKED}"));
    desk.write(
        "pm2/logs/neostock-server-blue-error.log",
        format!("x\ncannot connect with {PASSWORD}\n"),
    );
    let mut gzip =
        Command::new("gzip").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    gzip.stdin.take().unwrap().write_all(format!("key {LEAKED}\n").as_bytes()).unwrap();
    desk.write("logs/api.log-1.gz", gzip.wait_with_output().unwrap().stdout);
    let mut leaking =
        Command::new("sh").args(["-c", "read line", LEAKED]).stdin(Stdio::piped()).spawn().unwrap();

    let ended = verify(
        &desk,
        FAILED,
        &[],
        &[
            "config/old.env",
            "（提交说明 / message）",
            &format!("进程 {}（sh）", leaking.id()),
            "日志里有机密（1 行），必须更换",
            "api.log-1.gz",
        ],
    );
    drop(leaking.stdin.take());
    leaking.wait().unwrap();

    // Its coming and its going are two commits, and a message; a process; two logs.
    assert_eq!(ended.count("findings"), 6, "{}", ended.words);
    // A history that is not looked at as far back says so by its number.
    std::fs::remove_file(desk.path("logs/api.log-1.gz")).unwrap();
    desk.write("pm2/logs/neostock-server-blue-error.log", "");
    commit(&desk, "more");
    verify(&desk, GOOD, &[("HISTORY_COMMITS", "1")], &["最近 1 个提交里没有机密"]);
}

#[test]
fn a_key_past_its_days_is_a_fault_and_what_cannot_be_asked_is_left_open() {
    let desk = desk();
    write_key(&desk, 91);
    let ended = verify(&desk, FAILED, &[], &["❌ API 密钥 K4（web）已用 91 天，超过 90 天"]);
    assert_eq!(ended.count("key_age_days"), 91);

    desk.write("keys/no-list", "");
    let unknown = verify(&desk, COULD_NOT_RUN, &[], &["⛔ 未能查明：无法取得密钥清单"]);
    assert_eq!(unknown.zh, "没有发现问题，但有 1 项未能查明");
    verify(&desk, COULD_NOT_RUN, &[("RELEASES_DIR", "")], &["未设 RELEASES_DIR"]);

    std::fs::remove_file(desk.path("keys/no-list")).unwrap();
    write_key(&desk, 1);
    desk.write("logs/api.log-1.gz", "not gzip, but it says so".repeat(10));
    verify(&desk, GOOD, &[], &["3 个日志里没有机密"]);
    desk.write("logs/api.log-1.gz", [0x1f, 0x8b, 8, 0, 1, 2, 3]);
    verify(&desk, COULD_NOT_RUN, &[], &["日志无法读取"]);
    std::fs::remove_file(desk.path("logs/api.log-1.gz")).unwrap();
    let output = desk.command(VERIFY, &[], &[]).output().unwrap();
    let elsewhere = desk.ended(VERIFY, &output);
    assert_eq!(elsewhere.code, COULD_NOT_RUN);
    assert!(elsewhere.words.contains("这里不是 git 仓库"), "{}", elsewhere.words);
}
