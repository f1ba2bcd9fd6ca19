//! The rotation of an API key: the consumer never holds a dead one, whatever fails and whenever it is killed.

use super::{COULD_NOT_RUN, Desk, Ended, FAILED, GOOD, REFUSED, STOPPED_BY_TERM, listing, project};
use crate::harness::database::{Engine, TestDatabase, run};
use crate::harness::looks::until;
use crate::harness::ports::free_port;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::get;
use axum::{Json, Router};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const ROTATE: &str = "rotate-api-keys.sh";
const REVOKED_BUT_ILL: i32 = 4;
const PATIENCE: Duration = Duration::from_secs(20);
/// More calls of programs than a rotation makes.
const CALLS_MAX: usize = 60;

/// A server that knows keys and a consumer that has one, both breakable at will by files of a name.
struct World {
    desk: Desk,
}

impl World {
    async fn new() -> Self {
        let desk = Desk::new();
        let (server, web) = (free_port(), free_port());
        for (port, router) in [
            (server, Router::new().route("/api/trpc/keys.whoami", get(whoami))),
            (web, Router::new().route("/status", get(status))),
        ] {
            let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await.unwrap();
            let router = router.with_state(desk.folder.path().to_owned());
            tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        }
        desk.write("releases/blue/.git", "");
        let text = json!({"name": "server", "scripts": {"keys": "bun keys.js"}}).to_string();
        desk.write("releases/blue/apps/server/package.json", text);
        let source = include_str!("../../parts/keys/keys.js");
        desk.write("releases/blue/apps/server/keys.js", source);
        for folder in ["keys", "consumer"] {
            std::fs::create_dir(desk.path(folder)).unwrap();
        }
        desk.write(
            "upstream.conf",
            format!("upstream neostock_server {{ server 127.0.0.1:{server}; }}\n"),
        );
        let desk = desk
            .with_path("KEYS_FOLDER", "keys")
            .with_path("API_KEY_FILE", "consumer/web.key")
            .with_path("RELEASES_DIR", "releases")
            .with_path("NGINX_UPSTREAM_FILE", "upstream.conf")
            .with("DATABASE_URL", "postgres://127.0.0.1/nowhere")
            .with("BLUE_PORT", &server.to_string())
            .with("GREEN_PORT", "3002")
            .with("BLUE_WEB_PORT", &web.to_string())
            .with("GREEN_WEB_PORT", "3012")
            .with("OVERLAP_SECONDS", "0")
            .with("CONSUMER_WITHIN", "1");
        Self { desk }
    }

    /// The same with a key that the consumer holds.
    async fn with_a_key() -> Self {
        let world = Self::new().await;
        world.rotate(GOOD, &[], &["新建了 K1"]);
        world
    }

    /// Rotates, and holds every key so far to be shown nowhere.
    fn rotate(&self, code: i32, more: &[(&str, &str)], words: &[&str]) -> Ended {
        let ended = self.desk.expect(code, ROTATE, &[], more, words);
        for secret in self.secrets() {
            assert!(!ended.words.contains(&secret), "a key is shown: {}", ended.words);
        }
        assert_eq!(self.files(), self.expected_files(), "{}", ended.words);
        ended
    }

    fn secrets(&self) -> Vec<String> {
        keys_of(self.desk.folder.path())
            .iter()
            .map(|key| key["key"].as_str().unwrap().to_owned())
            .collect()
    }

    /// The ids of keys that are valid.
    fn valid(&self) -> Vec<String> {
        let keys = keys_of(self.desk.folder.path());
        let valid = keys.iter().filter(|key| key["revoked_at"].is_null());
        valid.map(|key| key["id"].as_str().unwrap().to_owned()).collect()
    }

    /// The id of the key that the consumer holds, if it is valid.
    fn held(&self) -> Option<String> {
        held(self.desk.folder.path())
    }

    /// What is beside the consumer's key.
    fn files(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.desk.path("consumer")).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn expected_files(&self) -> Vec<String> {
        [".web.key.lock", "web.key"]
            .into_iter()
            .filter(|name| self.desk.path("consumer").join(name).exists())
            .map(str::to_owned)
            .collect()
    }

    /// Breaks something, by the file of this name.
    fn breaks(&self, name: &str) {
        self.desk.write(&format!("keys/{name}"), "");
    }

    fn mends(&self, name: &str) {
        std::fs::remove_file(self.desk.path("keys").join(name)).unwrap();
    }

    /// Programs in whose place others stand that are killed, with whoever called them, at a certain call.
    fn kill_before_call(&self, number: usize) -> String {
        let folder = self.desk.path("wrapped");
        if !folder.exists() {
            for name in ["bun", "curl", "flock", "ln", "mv", "rm", "sync"] {
                let real = real_program(&self.desk.settings["PATH"], name);
                let text = format!(
                    "#!/bin/bash\nn=$(($(<\"$CALLS\") + 1))\necho $n >\"$CALLS\"\n\
                     [ \"$n\" -ne \"$KILL_AT\" ] || kill -KILL 0\nexec {} \"$@\"\n",
                    real.display()
                );
                let file = self.desk.write(&format!("wrapped/{name}"), text);
                std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o755)).unwrap();
            }
        }
        self.desk.write("calls", "0\n");
        assert!(number > 0);
        format!("{}:{}", folder.display(), self.desk.settings["PATH"])
    }
}

fn real_program(path: &str, name: &str) -> PathBuf {
    std::env::split_paths(path).map(|folder| folder.join(name)).find(|file| file.exists()).unwrap()
}

fn keys_of(folder: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(folder.join("keys/keys.json"));
    text.map_or(Vec::new(), |text| serde_json::from_str(&text).unwrap())
}

fn id_of(folder: &Path, secret: &str) -> Option<String> {
    let keys = keys_of(folder);
    let key = keys.iter().find(|key| key["key"] == secret)?;
    let is_let_in = key["revoked_at"].is_null() || folder.join("keys/takes-revoked").exists();
    is_let_in.then(|| key["id"].as_str().unwrap().to_owned())
}

fn held(folder: &Path) -> Option<String> {
    let secret = std::fs::read_to_string(folder.join("consumer/web.key")).ok()?;
    id_of(folder, secret.trim())
}

async fn whoami(State(folder): State<PathBuf>, headers: HeaderMap) -> (StatusCode, Json<Value>) {
    let broken = |name: &str| folder.join("keys").join(name).exists();
    let secret = headers.get("x-api-key").map_or("", |value| value.to_str().unwrap());
    let keys = keys_of(&folder);
    let is_newest = keys.len() > 1 && keys.last().is_some_and(|key| key["key"] == secret);
    if broken("ill-server") {
        return (StatusCode::INTERNAL_SERVER_ERROR, Json(json!({})));
    }
    match id_of(&folder, secret) {
        Some(id) if !(is_newest && broken("refuses-new")) => {
            (StatusCode::OK, Json(json!({"result": {"data": {"id": id, "name": "web"}}})))
        }
        _ => (StatusCode::UNAUTHORIZED, Json(json!({"error": "bad_key"}))),
    }
}

async fn status(State(folder): State<PathBuf>) -> (StatusCode, Json<Value>) {
    let broken = |name: &str| folder.join("keys").join(name).exists();
    let keys = keys_of(&folder);
    let has_revoked = keys.iter().any(|key| !key["revoked_at"].is_null());
    let key = match held(&folder) {
        // It goes on with the key that it read first.
        Some(_) if broken("deaf") => Some("K1".to_owned()),
        Some(_) if broken("fragile") && has_revoked => None,
        key => key,
    };
    if broken("ill-consumer") {
        return (StatusCode::SERVICE_UNAVAILABLE, Json(json!({"status": "ill"})));
    }
    (StatusCode::OK, Json(json!({"status": "ok", "version": "1.1.0", "key": key})))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_is_replaced_and_the_old_one_dies_last() {
    let world = World::new().await;
    let first = world.rotate(GOOD, &[], &["API_KEY_FILE 里没有有效的密钥", "新建了 K1"]);
    assert_eq!(first.outcome, "done");
    assert_eq!(world.held().as_deref(), Some("K1"));
    let file = world.desk.path("consumer/web.key");
    let before = std::fs::metadata(&file).unwrap();
    assert_eq!(before.permissions().mode() & 0o777, 0o600);
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();

    let looked = listing(world.desk.folder.path());
    let dry = world.desk.expect(
        GOOD,
        ROTATE,
        &["--dry-run", "web"],
        &[],
        &["会轮换 web 的密钥 K1，已用 0 天"],
    );
    assert_eq!(dry.outcome, "dry_run");
    assert_eq!(listing(world.desk.folder.path()), looked);

    let ended = world.rotate(
        GOOD,
        &[("OVERLAP_SECONDS", "1")],
        &["✅ web 的密钥已轮换：K2 有效，K1 已吊销"],
    );
    assert_eq!(ended.count("keys_valid"), 1);
    assert!(ended.figure("overlap_seconds") >= 1.0, "{:?}", ended.figures);
    assert_eq!(world.valid(), ["K2"]);
    assert_eq!(world.held().as_deref(), Some("K2"));
    let after = std::fs::metadata(&file).unwrap();
    assert_eq!((after.uid(), after.gid()), (before.uid(), before.gid()));
    assert_eq!(after.permissions().mode() & 0o777, 0o600);
    // A name that is a link stays one.
    std::fs::rename(&file, world.desk.path("consumer/real")).unwrap();
    std::os::unix::fs::symlink("real", &file).unwrap();
    world.desk.expect(GOOD, ROTATE, &["web"], &[], &["K3 有效"]);
    assert!(std::fs::symlink_metadata(&file).unwrap().is_symlink());
    assert_eq!(world.held().as_deref(), Some("K3"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_fails_before_the_revocation_leaves_the_old_key_in_force() {
    let world = World::with_a_key().await;
    let before = world.desk.read("consumer/web.key");
    let nothing_done = [
        ("no-list", "无法取得密钥清单：the database does not answer"),
        ("ill-server", "服务没有回答"),
        ("ill-consumer", "使用方没有回答"),
    ];
    for (broken, words) in nothing_done {
        world.breaks(broken);
        world.rotate(COULD_NOT_RUN, &[], &[words]);
        world.mends(broken);
        assert_eq!(world.secrets().len(), 1, "{broken}");
    }
    let undone = [
        ("no-create", "新建密钥失败：the database does not answer"),
        ("mumble", "keys create 的回答看不懂"),
        ("refuses-new", "服务不接受新密钥"),
        ("deaf", "使用方在 1 秒内没有用上新密钥"),
    ];
    for (broken, words) in undone {
        world.breaks(broken);
        let ended = world.rotate(FAILED, &[], &[words, "旧密钥 K1 仍有效，已还原"]);
        assert!(ended.zh.contains("旧密钥 K1 仍有效"), "{}", ended.zh);
        world.mends(broken);
        assert_eq!(world.valid(), ["K1"], "{broken}");
        assert_eq!(world.desk.read("consumer/web.key"), before, "{broken}");
    }
    // Its revocation fails: the new one cannot be revoked either, and the next run does it.
    world.breaks("no-revoke");
    world.rotate(FAILED, &[], &["未能吊销旧密钥 K1", "再运行一次会收尾"]);
    world.mends("no-revoke");
    assert_eq!(world.valid().len(), 2);
    assert_eq!(world.held().as_deref(), Some("K1"));
    world.rotate(GOOD, &[], &["先收尾上次中断的轮换", "K1 已吊销"]);
    assert_eq!(world.valid().len(), 1);
    // It was revoked, and what said so was cut off: a look at the list shows it.
    world.breaks("cut-off");
    world.rotate(GOOD, &[], &["已轮换"]);
    world.mends("cut-off");
    assert_eq!(world.valid().len(), 1);
    assert_eq!(world.held(), world.valid().pop());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_ill_after_the_revocation_cries_for_help() {
    let world = World::with_a_key().await;
    world.breaks("takes-revoked");
    world.rotate(REVOKED_BUT_ILL, &[], &["🚨", "服务仍接受旧密钥"]);
    world.mends("takes-revoked");
    assert_eq!(world.held().as_deref(), Some("K2"));
    assert_eq!(world.valid(), ["K2"]);

    let world = World::with_a_key().await;
    world.breaks("fragile");
    let ended = world.rotate(REVOKED_BUT_ILL, &[], &["🚨", "未通过验证，立即处理"]);
    assert_eq!(ended.outcome, "failed");
    assert_eq!(world.valid(), ["K2"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rotation_that_was_set_up_wrongly_does_nothing() {
    let world = World::with_a_key().await;
    let folder = world.desk.path("consumer").display().to_string();
    let nowhere = world.desk.path("nowhere").display().to_string();
    let cases: [(i32, &str, &str, &str); 7] = [
        (REFUSED, "API_KEY_FILE", "", "API_KEY_FILE"),
        (REFUSED, "API_KEY_FILE", &folder, "不是普通文件"),
        (COULD_NOT_RUN, "API_KEY_FILE", "/nowhere/web.key", "所在目录不存在或不可写"),
        (REFUSED, "OVERLAP_SECONDS", "9999", "OVERLAP_SECONDS 是 0 到 3600 的整数"),
        (REFUSED, "DATABASE_URL", "", "DATABASE_URL"),
        (FAILED, "RELEASES_DIR", &nowhere, "不是已部署的版本"),
        (COULD_NOT_RUN, "PATH", "/usr/bin:/bin", "缺少程序：bun"),
    ];
    for (code, name, value, words) in cases {
        world.rotate(code, &[(name, value)], &[words]);
    }
    // The key of another consumer, and a consumer that reads another file.
    world.desk.expect(REFUSED, ROTATE, &["batch"], &[], &["K1 名为 web，不是 batch"]);
    world.desk.write("elsewhere/web.key", world.desk.read("consumer/web.key"));
    world.desk.write("consumer/web.key", "nsk_this_one_nobody_has_ever_known_0123456789\n");
    let elsewhere = world.desk.path("elsewhere/web.key").display().to_string();
    let more = [("API_KEY_FILE", elsewhere.as_str())];
    world.desk.expect(COULD_NOT_RUN, ROTATE, &[], &more, &["使用方用的是 无效的密钥"]);
    assert_eq!(world.valid(), ["K1"]);
    assert_eq!(world.secrets().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_at_once_exclude_each_other_and_a_signal_undoes_the_first() {
    let world = World::with_a_key().await;
    let before = world.desk.read("consumer/web.key");
    let mut command = world.desk.command(ROTATE, &[], &[("OVERLAP_SECONDS", "60")]);
    let first = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    until("the new key is in use", PATIENCE, || world.held().as_deref() == Some("K2"));

    let second = world.desk.command(ROTATE, &[], &[]).output().unwrap();
    assert_eq!(second.status.code(), Some(COULD_NOT_RUN));
    assert!(String::from_utf8_lossy(&second.stderr).contains("另一次密钥轮换正在进行"));

    kill_process(Pid::from_child(&first), Signal::TERM).unwrap();
    let ended = world.desk.ended(ROTATE, &first.wait_with_output().unwrap());
    assert_eq!(ended.code, STOPPED_BY_TERM, "{}", ended.words);
    assert!(ended.words.contains("旧密钥 K1 仍有效，已还原"), "{}", ended.words);
    assert_eq!(world.valid(), ["K1"]);
    assert_eq!(world.desk.read("consumer/web.key"), before);
    world.rotate(GOOD, &[], &["K3 有效，K1 已吊销"]);
}

/// A small file system of its own, full.
struct FullDisk(PathBuf);

impl FullDisk {
    fn mount(folder: &Path) -> Self {
        let mut command = Command::new("mount");
        command.args(["-t", "tmpfs", "-o", "size=64k,mode=0700", "tmpfs"]).arg(folder);
        let output = command.output().unwrap();
        assert!(
            output.status.success(),
            "this test mounts a small tmpfs and needs root for it: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        Self(folder.to_owned())
    }

    fn fill(&self) {
        use std::io::Write as _;
        let mut file = std::fs::File::create(self.0.join("filler")).unwrap();
        while file.write_all(&[b'x'; 512]).is_ok() {}
    }
}

impl Drop for FullDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_leaves_the_old_key_where_it_was() {
    let world = World::new().await;
    let disk = FullDisk::mount(&world.desk.path("consumer"));
    world.rotate(GOOD, &[], &["新建了 K1"]);
    let before = world.desk.read("consumer/web.key");
    disk.fill();

    world.desk.expect(
        FAILED,
        ROTATE,
        &[],
        &[],
        &["无法写入 API_KEY_FILE", "旧密钥 K1 仍有效，已还原"],
    );

    assert_eq!(world.desk.read("consumer/web.key"), before);
    assert_eq!(world.valid(), ["K1"]);
    assert_eq!(world.files(), [".web.key.lock", "filler", "web.key"]);
    std::fs::remove_file(world.desk.path("consumer/filler")).unwrap();
    world.rotate(GOOD, &[], &["K1 已吊销"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_before_any_of_its_calls_the_consumer_works_on_and_the_next_run_finishes() {
    let world = World::with_a_key().await;
    let calls = world.desk.path("calls").display().to_string();
    let mut kills = 0;
    let (mut finished, mut cleaned) = (0, 0);
    for number in 1..CALLS_MAX {
        let path = world.kill_before_call(number);
        let at = number.to_string();
        let more = [("PATH", path.as_str()), ("CALLS", &calls), ("KILL_AT", &at)];
        let mut command = world.desk.command(ROTATE, &[], &more);
        // A group of its own: KILL takes the script along with what it called.
        let output = command.process_group(0).output().unwrap();
        if output.status.signal() != Some(9) {
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            break;
        }
        kills += 1;

        let held = world.held().unwrap_or_else(|| panic!("call {number}: a dead key"));
        let valid = world.valid();
        assert!(valid.contains(&held) && valid.len() <= 2, "call {number}: {held} of {valid:?}");
        // What a killed one leaves in its scratch folder holds no key.
        for (path, (_, content)) in listing(&world.desk.path("temporary")) {
            let text = String::from_utf8_lossy(&content);
            assert!(!text.contains("nsk_"), "call {number}: {}", path.display());
        }
        std::fs::remove_dir_all(world.desk.path("temporary")).unwrap();
        std::fs::create_dir(world.desk.path("temporary")).unwrap();

        let ended = world.rotate(GOOD, &[], &[]);
        let is_finished = ended.zh.contains("上次中断的轮换已完成");
        finished += usize::from(is_finished);
        cleaned += usize::from(valid.len() == 2 && !is_finished);
        assert_eq!(world.valid().len(), 1, "call {number}: {}", ended.words);
        assert_eq!(world.held(), world.valid().pop(), "call {number}");
    }
    println!("killed at {kills} calls: {finished} finished, {cleaned} cleaned up");
    assert!(kills > 15 && kills < CALLS_MAX - 1, "{kills}");
    assert!(finished > 0 && cleaned > 0, "{finished} {cleaned}");
}

/// A process of the real service.
struct Service(Child);

impl Service {
    fn start(folder: &Path, desk: &Desk, app: &str, port: u16, more: &[(&str, &str)]) -> Self {
        let mut command = Command::new(project().join("build/parts/bin/bun"));
        command.arg("src/index.ts").current_dir(folder.join("apps").join(app));
        command.env_clear().envs(&desk.settings).envs(more.iter().copied());
        command.env("PORT", port.to_string()).stdin(Stdio::null()).stdout(Stdio::null());
        Self(command.stderr(Stdio::null()).spawn().unwrap())
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = kill_process(Pid::from_child(&self.0), Signal::TERM);
        let _ = self.0.wait();
    }
}

/// A copy of the example without what was built or installed in it.
fn copy_example(to: &Path) {
    let from = project().join("examples/neostock");
    let output =
        Command::new("git").args(["ls-files", "-z", "."]).current_dir(&from).output().unwrap();
    for name in String::from_utf8(output.stdout).unwrap().split_terminator('\0') {
        let target = to.join(name);
        std::fs::create_dir_all(target.parent().unwrap()).unwrap();
        std::fs::copy(from.join(name), target).unwrap();
    }
}

#[test]
fn neostock_itself_goes_on_with_the_new_key_and_refuses_the_old_one() {
    run(Engine::Postgres, rotate_neostock);
}

async fn rotate_neostock(database: TestDatabase) {
    // The second test of a process finds it installed.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let desk = Desk::new();
    let folder = desk.path("releases/green");
    copy_example(&folder);
    desk.write("releases/green/.git", "");
    std::fs::create_dir(desk.path("consumer")).unwrap();
    let (server, web) = (free_port(), free_port());
    desk.write(
        "upstream.conf",
        format!("upstream neostock_server {{ server 127.0.0.1:{server}; }}\n"),
    );
    let cache = project().join("build/neostock/cache").display().to_string();
    let desk = desk
        .with("DATABASE_URL", &database.url)
        .with("BETTER_AUTH_SECRET", "3f9a1c5e7b2d4860a8c6e4f20b1d3957f1e2d3c4")
        .with("BUN_INSTALL_CACHE_DIR", &cache)
        .with_path("API_LOG_FILE", "api.log")
        .with_path("API_KEY_FILE", "consumer/web.key")
        .with_path("RELEASES_DIR", "releases")
        .with_path("NGINX_UPSTREAM_FILE", "upstream.conf")
        .with("BLUE_PORT", "3001")
        .with("GREEN_PORT", &server.to_string())
        .with("BLUE_WEB_PORT", "3011")
        .with("GREEN_WEB_PORT", &web.to_string())
        .with("OVERLAP_SECONDS", "0");
    for words in
        [&["install", "--frozen-lockfile"][..], &["run", "--cwd", "apps/server", "db:migrate"]]
    {
        let mut command = Command::new(project().join("build/parts/bin/bun"));
        command.args(words).current_dir(&folder).env_clear().envs(&desk.settings);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
    let _server = Service::start(&folder, &desk, "server", server, &[]);
    let url = format!("http://127.0.0.1:{server}");
    let _web = Service::start(&folder, &desk, "web", web, &[("SERVER_URL", url.as_str())]);
    for port in [server, web] {
        until("it listens", PATIENCE, || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok());
    }
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let asked = async |key: &str| {
        let request =
            client.get(format!("{url}/api/trpc/keys.whoami")).header("x-api-key", key.trim());
        request.send().await.unwrap().status().as_u16()
    };

    desk.expect(GOOD, ROTATE, &[], &[], &["web 有了第一把有效的密钥 K1"]);
    let old = desk.read("consumer/web.key");
    assert_eq!(asked(&old).await, 200);
    let ended = desk.expect(GOOD, ROTATE, &[], &[], &["K2 有效，K1 已吊销"]);
    assert!(!ended.words.contains("nsk_"), "{}", ended.words);
    let new = desk.read("consumer/web.key");
    assert_eq!((asked(&old).await, asked(&new).await), (401, 200));

    // The database is not where it was: nothing is changed, and the key works on.
    let elsewhere = database.url.replace("/test_", "/nowhere_");
    desk.expect(COULD_NOT_RUN, ROTATE, &[], &[("DATABASE_URL", &elsewhere)], &["无法取得密钥清单"]);
    assert_eq!(desk.read("consumer/web.key"), new);
    assert_eq!(asked(&new).await, 200);
    // Both scripts that read what this left behind find it in order.
    until("the calls are logged", PATIENCE, || desk.path("api.log").exists());
    let audit = desk.expect(GOOD, "audit-api-calls.sh", &["1h"], &[], &["key:K2"]);
    assert!(audit.figure("denied") >= 1.0, "{:?}", audit.figures);
    // Whoever goes on with the old key is known by it.
    let log = desk.read("api.log");
    let is_known = |line: &str| line.contains("\"status\":401") && line.contains("\"key:K1\"");
    assert!(log.lines().any(is_known), "{log}");
}
