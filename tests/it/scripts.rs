//! Each script alone, on the real programs: what it does, what it says it would do, and every failure it can meet;
//! with its exit code, its result line in both languages, and nothing half done left behind.

use crate::harness::database::{Engine, run};
use crate::harness::looks::{Looks, until};
use crate::harness::parts::{Parts, figure, result_of, said, signal_tree};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use sqlx::{AssertSqlSafe, Row};
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs::{File, Permissions};
use std::net::TcpListener;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::Duration;

const GOOD: i32 = 0;
const FAILED: i32 = 1;
const REFUSED: i32 = 2;
const COULD_NOT_RUN: i32 = 69;
const STOPPED_BY_TERM: i32 = 143;
/// How long a script may take to come to where a test wants it, or to end.
const PATIENCE: Duration = Duration::from_secs(30);

/// The scripts that are tried here, with arguments that fit.
const SCRIPTS: [(&str, &[&str]); 17] = [
    ("backup-database.sh", &[]),
    ("blue-green-deploy.sh", &["v1.2.0"]),
    ("check-alerting.sh", &["v1.2.0"]),
    ("check-balancer.sh", &[]),
    ("check-migrations.sh", &["v1.2.0", "v1.1.0"]),
    ("check-performance.sh", &["v1.2.0"]),
    ("check-rollback-plan.sh", &["v1.2.0", "v1.1.0"]),
    ("check-system.sh", &[]),
    ("check-tests.sh", &["v1.2.0"]),
    ("check-vulnerabilities.sh", &["v1.2.0"]),
    ("health-check.sh", &["v1.2.0"]),
    ("live.sh", &["restart", "neostock-server"]),
    ("pre-deploy-check.sh", &["v1.2.0"]),
    ("rollback.sh", &["v1.1.0", "p99 is high"]),
    ("run-suite.sh", &["unit", "v1.2.0"]),
    ("switch-traffic.sh", &["v1.2.0"]),
    ("verify-backup.sh", &[]),
];
/// Those that give a verdict rather than do something.
const CHECKS: [&str; 12] = [
    "check-alerting.sh",
    "check-balancer.sh",
    "check-migrations.sh",
    "check-performance.sh",
    "check-rollback-plan.sh",
    "check-system.sh",
    "check-tests.sh",
    "check-vulnerabilities.sh",
    "health-check.sh",
    "pre-deploy-check.sh",
    "run-suite.sh",
    "verify-backup.sh",
];

type Settings<'a> = &'a [(&'a str, &'a str)];

/// The words of a script, and its result.
struct Ended {
    words: String,
    result: Value,
}

impl Ended {
    fn figure(&self, name: &str) -> f64 {
        figure(&self.result, name)
    }
}

/// Parts with a folder of their own for what is temporary, and the bot's program for check-alerting.sh.
struct Scene {
    parts: Parts,
    temporary: PathBuf,
}

impl Scene {
    async fn new() -> Self {
        let parts = Parts::new().await;
        let temporary = parts.place.path().join("temporary");
        std::fs::create_dir(&temporary).unwrap();
        Self { parts, temporary }
    }

    /// The same, and v1.1.0 is live on blue.
    async fn serving() -> Self {
        let mut scene = Self::new().await;
        scene.parts.serve();
        scene
    }

    fn command(&self, script: &str, arguments: &[&str], more: Settings<'_>) -> Command {
        let own = [
            ("TMPDIR", self.temporary.to_str().unwrap()),
            ("NEOSTOCK_OPS", env!("CARGO_BIN_EXE_neostock-ops")),
            ("SCAN_COMMAND", "echo {\"auditReportVersion\":2,\"vulnerabilities\":{}}"),
        ];
        let settings: Vec<_> = own.into_iter().chain(more.iter().copied()).collect();
        self.parts.command(script, arguments, &settings)
    }

    /// A script ends with this code, which its `--help` documents, and a result in these words.
    fn expect(
        &self,
        code: i32,
        script: &str,
        arguments: &[&str],
        more: Settings<'_>,
        (zh, en): (&str, &str),
    ) -> Ended {
        let output = self.command(script, arguments, more).output().unwrap();
        let words = said(&output);
        let about = format!("{script} {arguments:?} {more:?}: {words}");
        assert_eq!(output.status.code(), Some(code), "{about}");
        let result = result_of(&output);
        let is_dry = arguments.contains(&"--dry-run");
        assert_eq!(result["outcome"], outcome_of(script, code, is_dry), "{about}");
        for (language, part) in [("zh", zh), ("en", en)] {
            let sentence = result[language].as_str().unwrap();
            assert!(sentence.contains(part), "{part}: {about}");
            assert_eq!(sentence.contains(is_han), language == "zh", "{sentence}: {about}");
        }
        assert!(self.documented(script).contains(&code), "{code} is not in its --help: {about}");
        assert!(self.left_in_temporary().is_empty(), "{:?}: {about}", self.left_in_temporary());
        Ended { words, result }
    }

    /// The same, and nothing of the service is other than before.
    fn expect_unchanged(
        &self,
        code: i32,
        script: &str,
        arguments: &[&str],
        more: Settings<'_>,
        words: (&str, &str),
    ) -> Ended {
        let before = self.state();
        let ended = self.expect(code, script, arguments, more, words);
        let changed: Vec<_> = differences(&before, &self.state());
        assert!(changed.is_empty(), "{script} {arguments:?}: {changed:#?}\n{}", ended.words);
        ended
    }

    /// The exit codes that a script's `--help` names.
    fn documented(&self, script: &str) -> BTreeSet<i32> {
        let help = self.parts.by_hand(script, &["--help"], &[]);
        assert_eq!(help.status.code(), Some(0), "{script}");
        let text = said(&help);
        let (_, codes) = text.split_once("exit code").unwrap_or_else(|| panic!("{script}: {text}"));
        codes
            .split(|letter: char| !letter.is_ascii_digit())
            .filter_map(|code| code.parse().ok())
            .collect()
    }

    fn left_in_temporary(&self) -> Vec<PathBuf> {
        std::fs::read_dir(&self.temporary).unwrap().map(|entry| entry.unwrap().path()).collect()
    }

    /// Every file of the service: its size and when it was written; logs aside, which whoever asks may write.
    fn state(&self) -> BTreeMap<PathBuf, String> {
        let mut folders = vec![self.parts.place.path().to_owned()];
        let mut state = BTreeMap::new();
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                let data = std::fs::symlink_metadata(&path).unwrap();
                let name = path.file_name().unwrap().to_string_lossy().into_owned();
                let is_log = path.extension().is_some_and(|kind| kind == "log");
                if is_log || name.starts_with("without-") || name == "with" {
                    continue;
                }
                let is_folder = data.is_dir();
                let facts = if is_folder {
                    "folder".to_owned()
                } else {
                    format!("{} {}.{}", data.len(), data.mtime(), data.mtime_nsec())
                };
                state.insert(path.clone(), facts);
                if is_folder {
                    folders.push(path);
                }
            }
        }
        state
    }

    /// A `PATH` in which this program is that script.
    fn path_with(&self, program: &str, body: &str) -> String {
        let folder = self.parts.place.path().join("with").join(program);
        std::fs::create_dir_all(&folder).unwrap();
        let path = self.parts.setting("PATH");
        let file = folder.join(program);
        std::fs::write(&file, format!("#!/bin/sh\nPATH={path}\n{body}\n")).unwrap();
        std::fs::set_permissions(&file, Permissions::from_mode(0o755)).unwrap();
        format!("{}:{path}", folder.display())
    }

    fn releases(&self) -> PathBuf {
        self.parts.place.path().join("releases")
    }

    /// Whether pm2 knows a process of a colour.
    fn runs(&self, colour: &str) -> bool {
        let pids = self.parts.place.path().join("pm2/pids");
        std::fs::read_dir(pids).into_iter().flatten().any(|entry| {
            entry.unwrap().file_name().to_str().unwrap().contains(&format!("-{colour}-"))
        })
    }

    /// Green is as if there had never been a release of it.
    fn assert_green_is_gone(&self, about: &str) {
        let left: Vec<_> = std::fs::read_dir(self.releases())
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .filter(|name| name != "blue")
            .collect();
        assert!(left.is_empty(), "{left:?}: {about}");
        let known = self.parts.repository().join(".git/worktrees/green");
        assert!(!known.exists(), "git still knows it: {about}");
        assert!(!self.runs("green"), "it runs: {about}");
        let saved = std::fs::read_to_string(self.parts.place.path().join("pm2/dump.pm2")).unwrap();
        assert!(!saved.contains("neostock-server-green"), "a reboot would start it: {about}");
    }

    fn upstream(&self) -> String {
        std::fs::read_to_string(self.parts.upstream_file()).unwrap()
    }

    async fn live_version(&self) -> String {
        let answer = reqwest::get(self.parts.health_url()).await.unwrap();
        answer.json::<Value>().await.unwrap()["version"].as_str().unwrap().to_owned()
    }

    async fn sql(&self, statement: &str) {
        let mut raw = self.parts.database.raw().await;
        sqlx::query(AssertSqlSafe(statement.to_owned())).execute(&mut raw).await.unwrap();
    }

    async fn count(&self, query: &str) -> i64 {
        let mut raw = self.parts.database.raw().await;
        sqlx::query(AssertSqlSafe(query.to_owned())).fetch_one(&mut raw).await.unwrap().get(0)
    }

    /// A release whose root has this script.
    fn release_with(&self, tag: &str, name: &str, script: &str) {
        let file = self.parts.repository().join("package.json");
        let mut package: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
        package["scripts"][name] = script.into();
        self.parts.write("package.json", &package.to_string());
        self.parts.commit(tag);
    }

    /// Starts a script and waits until it has said this.
    fn begin(&self, script: &str, arguments: &[&str], more: Settings<'_>, begun: &str) -> Begun {
        let file = self.parts.place.path().join("said.log");
        let _ = std::fs::remove_file(&file);
        let out = File::options().create(true).append(true).open(&file).unwrap();
        let err = out.try_clone().unwrap();
        let child = self.command(script, arguments, more).stdout(out).stderr(err).spawn().unwrap();
        let begun_script = Begun { script: script.to_owned(), child, file };
        let looks = Looks::within(PATIENCE);
        while !begun_script.words().contains(begun) {
            looks.again_blocking(|| format!("{begun}: {}", begun_script.words()));
        }
        begun_script
    }
}

/// A script on its way.
struct Begun {
    script: String,
    child: Child,
    file: PathBuf,
}

impl Begun {
    fn words(&self) -> String {
        std::fs::read_to_string(&self.file).unwrap()
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    fn end(&mut self) -> Option<i32> {
        let looks = Looks::within(PATIENCE);
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            looks.again_blocking(|| format!("{} does not end: {}", self.script, self.words()));
        }
    }

    /// TERM to the script alone; it says so, and ends with what that means.
    fn stop(mut self) -> String {
        kill_process(self.pid(), Signal::TERM).unwrap();
        assert_eq!(self.end(), Some(STOPPED_BY_TERM), "{}: {}", self.script, self.words());
        let words = self.words();
        let result: Value = serde_json::from_str(words.lines().last().unwrap()).unwrap();
        assert_eq!(result["outcome"], outcome_of(&self.script, STOPPED_BY_TERM, false), "{words}");
        assert!(result["zh"].as_str().unwrap().contains("被信号中止"), "{words}");
        assert!(result["en"].as_str().unwrap().contains("stopped by a signal"), "{words}");
        words
    }

    /// KILL to all of it, as when the power fails.
    fn kill(mut self) {
        signal_tree(self.pid(), Signal::KILL);
        assert_eq!(self.end(), None, "{}", self.words());
    }
}

/// What the exit code means.
fn outcome_of(script: &str, code: i32, is_dry: bool) -> &'static str {
    let is_check = CHECKS.contains(&script);
    match code {
        GOOD if is_dry => "dry_run",
        GOOD if is_check => "passed",
        GOOD => "done",
        REFUSED | COULD_NOT_RUN => "could_not_run",
        STOPPED_BY_TERM if is_check => "could_not_run",
        _ => "failed",
    }
}

fn is_han(letter: char) -> bool {
    matches!(letter, '\u{4e00}'..='\u{9fff}')
}

fn differences(
    before: &BTreeMap<PathBuf, String>,
    after: &BTreeMap<PathBuf, String>,
) -> Vec<String> {
    let names: BTreeSet<_> = before.keys().chain(after.keys()).collect();
    let differs = names.into_iter().filter(|name| before.get(*name) != after.get(*name));
    differs
        .map(|name| format!("{}: {:?} → {:?}", name.display(), before.get(name), after.get(name)))
        .collect()
}

/// A disk so small that it can be filled; gone when this is dropped.
struct SmallDisk {
    folder: PathBuf,
}

impl SmallDisk {
    fn new(folder: &Path, size: &str) -> Self {
        std::fs::create_dir_all(folder).unwrap();
        let status = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"])
            .arg(folder)
            .status()
            .unwrap();
        assert!(status.success(), "a full disk cannot be tried: mounting a tmpfs takes root");
        Self { folder: folder.to_owned() }
    }

    /// Takes all that is free but this much.
    fn fill(&self, left_bytes: u64) {
        let _ = std::fs::remove_file(self.folder.join("filler"));
        let free =
            rustix::fs::statvfs(&self.folder).map(|disk| disk.f_bavail * disk.f_frsize).unwrap();
        let filler = vec![0; usize::try_from(free.saturating_sub(left_bytes)).unwrap()];
        std::fs::write(self.folder.join("filler"), filler).unwrap();
    }

    fn empty(&self) {
        std::fs::remove_file(self.folder.join("filler")).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.folder).status();
    }
}

#[test]
fn what_is_called_wrongly_is_refused_and_changes_nothing() {
    run(Engine::Sqlite, |_| async move {
        let scene = Scene::new().await;
        // Whatever stands in the folder explains itself.
        let folder = std::fs::read_dir(scene.parts.repository().join("scripts")).unwrap();
        let mut names: Vec<_> =
            folder.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        let is_script = |name: &str| Path::new(name).extension().is_some_and(|kind| kind == "sh");
        names.retain(|name| is_script(name) && !name.starts_with("lib"));
        assert!(SCRIPTS.iter().all(|(script, _)| names.iter().any(|name| name == script)));
        let number = ("参数个数不对：给了 5 个", "wrong number of arguments: 5");
        for script in &names {
            let documented = scene.documented(script);
            assert!(documented.contains(&GOOD) && documented.contains(&REFUSED), "{script}");
            let help = said(&scene.parts.by_hand(script, &["--help"], &[]));
            for part in [script, "--dry-run", "退出码"] {
                assert!(help.contains(part), "{part}: {help}");
            }
            if script == "live.sh" {
                let verb = ("第一个参数是 run 或 restart", "the first argument is run or restart");
                scene.expect_unchanged(REFUSED, script, &["stop", "neostock-web"], &[], verb);
            } else {
                scene.expect_unchanged(REFUSED, script, &["a", "b", "c", "d", "e"], &[], number);
            }
        }

        // A version is one word that git knows, and nothing else.
        let marks = scene.parts.place.path().join("marks");
        let run_me = format!("$(touch${{IFS}}{})", marks.display());
        let end_me = format!("v1.2.0;touch {}", marks.display());
        let long = "v".repeat(5_000);
        let no_version = ("不是版本", "not a version");
        let unknown = ("无效的版本", "invalid version");
        let versioned = SCRIPTS
            .iter()
            .filter(|(_, words)| words.contains(&"v1.2.0") || words.contains(&"v1.1.0"));
        std::fs::create_dir_all(scene.parts.upstream_file().parent().unwrap()).unwrap();
        let upstream = format!(
            "upstream neostock_server {{ server 127.0.0.1:{}; }}\n",
            scene.parts.setting("BLUE_PORT")
        );
        std::fs::write(scene.parts.upstream_file(), upstream).unwrap();
        for (script, words) in versioned {
            let with = |version| -> Vec<&str> {
                let place = words.iter().position(|word| word.starts_with('v')).unwrap();
                let mut words = words.to_vec();
                words[place] = version;
                words
            };
            for version in ["", "-x", "--all", "v1.2.0 v1.1.0", "v1.2.0\nv1.1.0", &end_me] {
                scene.expect_unchanged(REFUSED, script, &with(version), &[], no_version);
            }
            let is_deed = !CHECKS.contains(script) || *script == "pre-deploy-check.sh";
            let code = if is_deed { FAILED } else { COULD_NOT_RUN };
            let forty = "0123456789012345678901234567890123456789";
            for version in ["v9.9.9", forty, &run_me, "v1.2.0:package.json", "\u{1b}[2Jv1", &long] {
                scene.expect_unchanged(code, script, &with(version), &[], unknown);
            }
            let moved = [("NEOSTOCK_COMMIT_VERSION", forty)];
            let words_of_it = ("在请求之后被移动了", "has moved since it was asked for");
            scene.expect_unchanged(code, script, words, &moved, words_of_it);
            let nowhere = [("GIT_DIR", "/nowhere")];
            let words_of_it = ("不是可用的 git 仓库", "not a git repository");
            scene.expect_unchanged(COULD_NOT_RUN, script, words, &nowhere, words_of_it);
            let path = scene.parts.path_without(&["git"]);
            let words_of_it = ("缺少程序：git", "programs not found: git");
            scene.expect_unchanged(COULD_NOT_RUN, script, words, &[("PATH", &path)], words_of_it);
        }
        assert!(!marks.exists());

        // What is no text at all gives a result that is one all the same.
        let mut command = scene.command("blue-green-deploy.sh", &[], &[]);
        let output = command.arg(OsStr::from_bytes(b"v1\xff\"\\")).output().unwrap();
        assert_eq!(result_of(&output)["outcome"], "failed", "{}", said(&output));
        // A word that looks like an option is one only before the two dashes.
        let words = ["--", "--dry-run"];
        scene.expect(REFUSED, "blue-green-deploy.sh", &words, &[], ("'--dry-run'", "'--dry-run'"));
    });
}

#[test]
fn without_its_settings_a_script_names_them_all() {
    run(Engine::Sqlite, |_| async move {
        let scene = Scene::new().await;
        let pair: Settings<'_> =
            &[("NGINX_UPSTREAM_FILE", ""), ("BLUE_PORT", ""), ("GREEN_WEB_PORT", "")];
        let names = "NGINX_UPSTREAM_FILE BLUE_PORT GREEN_WEB_PORT";
        let unset = (format!("缺少设置：{names}"), format!("not set: {names}"));
        for script in [
            "blue-green-deploy.sh",
            "check-balancer.sh",
            "health-check.sh",
            "live.sh",
            "pre-deploy-check.sh",
            "rollback.sh",
            "switch-traffic.sh",
        ] {
            let (_, words) = SCRIPTS.into_iter().find(|(name, _)| *name == script).unwrap();
            let expect = |more: Settings<'_>, words_of_it| {
                scene.expect_unchanged(REFUSED, script, words, more, words_of_it);
            };
            expect(pair, (&unset.0, &unset.1));
            expect(
                &[("BLUE_PORT", "x1")],
                ("BLUE_PORT 必须是正整数", "BLUE_PORT must be a whole number"),
            );
            expect(&[("BLUE_PORT", "70000")], ("BLUE_PORT 不是端口", "BLUE_PORT is not a port"));
            let same = scene.parts.setting("GREEN_PORT");
            expect(&[("BLUE_PORT", same)], ("四个端口必须各不相同", "the four ports must differ"));
        }
        let set = |name| (format!("缺少设置：{name}"), format!("not set: {name}"));
        for (script, name) in [
            ("backup-database.sh", "BACKUP_DIR"),
            ("verify-backup.sh", "PGDATABASE"),
            ("check-migrations.sh", "PGDATABASE"),
            ("blue-green-deploy.sh", "RELEASES_DIR"),
            ("live.sh", "RELEASES_DIR"),
            ("rollback.sh", "HEALTH_URL"),
            ("switch-traffic.sh", "HEALTH_URL"),
            ("pre-deploy-check.sh", "HEALTH_URL"),
        ] {
            let (_, words) = SCRIPTS.into_iter().find(|(known, _)| *known == script).unwrap();
            let (zh, en) = set(name);
            scene.expect_unchanged(REFUSED, script, words, &[(name, "")], (&zh, &en));
        }
        let number =
            |name| (format!("{name} 必须是正整数"), format!("{name} must be a whole number"));
        for (script, name) in [
            ("backup-database.sh", "BACKUP_KEEP"),
            ("verify-backup.sh", "RPO_MINUTES"),
            ("verify-backup.sh", "RTO_MINUTES"),
            ("health-check.sh", "HEALTH_WITHIN"),
            ("switch-traffic.sh", "SWITCH_WITHIN"),
            ("pre-deploy-check.sh", "FREE_MB_MIN"),
            ("check-migrations.sh", "COPY_MB_MAX"),
        ] {
            let (_, words) = SCRIPTS.into_iter().find(|(known, _)| *known == script).unwrap();
            let (zh, en) = number(name);
            scene.expect_unchanged(REFUSED, script, words, &[(name, "-1")], (&zh, &en));
        }
        for (script, words, zh, en) in [
            (
                "backup-database.sh",
                &["old"][..],
                "参数是 new 或 latest",
                "the argument is new or latest",
            ),
            (
                "health-check.sh",
                &["v1.2.0", "both"],
                "第二个参数是 idle 或 live",
                "the second argument is idle or live",
            ),
            ("live.sh", &["restart", "postgres"], "不能重启：postgres", "not: postgres"),
            ("run-suite.sh", &["load", "v1.2.0"], "没有这样的套件：load", "no such suite: load"),
            ("rollback.sh", &["v1.1.0", "  "], "请写明回滚原因", "say why it is rolled back"),
        ] {
            scene.expect_unchanged(REFUSED, script, words, &[], (zh, en));
        }
        // Nobody knows which colour is live.
        let cannot = ("无法读取 nginx 的 upstream 文件", "cannot read nginx's upstream file");
        for (script, code) in [
            ("blue-green-deploy.sh", FAILED),
            ("health-check.sh", COULD_NOT_RUN),
            ("live.sh", FAILED),
            ("pre-deploy-check.sh", FAILED),
            ("rollback.sh", FAILED),
            ("switch-traffic.sh", FAILED),
        ] {
            let (_, words) = SCRIPTS.into_iter().find(|(known, _)| *known == script).unwrap();
            scene.expect_unchanged(code, script, words, &[], cannot);
        }
    });
}

#[test]
fn a_dry_run_says_what_would_be_done_and_changes_nothing() {
    run(Engine::Sqlite, |_| async move {
        let mut scene = Scene::serving().await;
        scene.parts.done("blue-green-deploy.sh", &["v1.2.0"]);
        scene.parts.done("backup-database.sh", &[]);
        // Whatever database a script made would be this role's.
        let role = format!("dry_{}", std::process::id());
        scene.sql(&format!("create role {role} superuser login")).await;
        let owned = format!("select count(*) from pg_database where datdba = '{role}'::regrole");
        let tables = "select count(*) from pg_class";
        let before = (scene.upstream(), scene.count(tables).await);
        let user = [
            ("PGUSER", role.as_str()),
            ("CPU_PERCENT_MAX", "100"),
            ("MEMORY_PERCENT_MAX", "100"),
            ("DISK_PERCENT_MAX", "100"),
            ("SAMPLE_SECONDS", "1"),
        ];
        let would = ("会", "would");
        for (script, words) in [
            ("pre-deploy-check.sh", &["v1.2.0"][..]),
            ("blue-green-deploy.sh", &["v1.2.0"]),
            ("health-check.sh", &["v1.2.0"]),
            ("health-check.sh", &["v1.1.0", "live"]),
            ("health-check.sh", &["v1.3.0"]),
            ("switch-traffic.sh", &["v1.2.0"]),
            ("rollback.sh", &["v1.1.0", "p99 is high"]),
            ("live.sh", &["run", "git", "clean", "-ffdx"]),
            ("live.sh", &["restart", "neostock-web"]),
            ("backup-database.sh", &[]),
            ("backup-database.sh", &["latest"]),
            ("verify-backup.sh", &[]),
            ("check-tests.sh", &["v1.2.0"]),
            ("check-performance.sh", &["v1.2.0"]),
            ("run-suite.sh", &["e2e", "v1.2.0"]),
            ("check-vulnerabilities.sh", &["v1.2.0"]),
            ("check-migrations.sh", &["v1.2.0", "v1.1.0"]),
            ("check-rollback-plan.sh", &["v1.2.0", "v1.1.0"]),
            ("check-alerting.sh", &["v1.2.0"]),
            ("check-balancer.sh", &[]),
            ("check-system.sh", &[]),
        ] {
            let words = [&["--dry-run"], words].concat();
            // Those that only read have done it all.
            let only_reads = words.contains(&"latest")
                || [
                    "pre-deploy-check.sh",
                    "check-rollback-plan.sh",
                    "check-balancer.sh",
                    "check-system.sh",
                ]
                .contains(&script);
            let says = if only_reads { ("", "") } else { would };
            scene.expect_unchanged(GOOD, script, &words, &user, says);
        }
        assert_eq!(scene.count(&owned).await, 0);
        assert_eq!((scene.upstream(), scene.count(tables).await), before);
        assert_eq!(scene.live_version().await, "1.1.0");

        // What the real run would find at its beginning, a dry one finds.
        let suite = [("TEST_SUITES", "test:load")];
        let words = ("没有这些脚本：test:load", "has no script: test:load");
        scene.expect_unchanged(
            COULD_NOT_RUN,
            "check-tests.sh",
            &["--dry-run", "v1.2.0"],
            &suite,
            words,
        );
        let words = ("不切换：green 不健康或不是 v1.3.0", "green is not healthy or not v1.3.0");
        let soon = [("HEALTH_WITHIN", "1")];
        scene.expect_unchanged(FAILED, "switch-traffic.sh", &["--dry-run", "v1.3.0"], &soon, words);
        let nowhere = [("PGPORT", "9")];
        for (script, words) in [
            ("backup-database.sh", ("连不上数据库", "cannot be reached")),
            ("verify-backup.sh", ("连不上恢复用的服务器", "cannot be reached")),
        ] {
            scene.expect_unchanged(COULD_NOT_RUN, script, &["--dry-run"], &nowhere, words);
        }
        scene.sql(&format!("drop role {role}")).await;
        assert_eq!(scene.parts.stop(), Vec::<String>::new());
    });
}

#[test]
fn before_a_deploy_every_fault_is_named() {
    run(Engine::Sqlite, |_| async move {
        let mut scene = Scene::serving().await;
        let version = ["v1.2.0"];
        let script = "pre-deploy-check.sh";
        let ready = ("预部署验证通过：v1.2.0 将部署到 green", "ready to deploy v1.2.0 onto green");
        let ended = scene.expect_unchanged(GOOD, script, &version, &[], ready);
        assert!(ended.figure("free_mb") > 0.0 && ended.figure("faults").abs() < 0.5);
        let fault = |more: Settings<'_>, words: &str| {
            let faults = ("v1.2.0 有 1 个问题", "v1.2.0 is not ready to be deployed: 1 faults");
            let ended = scene.expect_unchanged(FAILED, script, &version, more, faults);
            assert!(ended.words.contains(words), "{words}: {}", ended.words);
            assert!((ended.figure("faults") - 1.0).abs() < 0.5);
        };
        for program in ["bun", "pm2"] {
            let path = scene.parts.path_without(&[program]);
            fault(&[("PATH", &path)], &format!("programs not found: {program}"));
        }
        fault(&[("FREE_MB_MIN", "999999999")], "too little free space");
        fault(&[("NGINX_COMMAND", "false")], "nginx 配置无效");
        let port: u16 = scene.parts.setting("GREEN_PORT").parse().unwrap();
        let other = TcpListener::bind(("127.0.0.1", port)).unwrap();
        fault(&[], &format!("port {port} is taken by something else"));
        drop(other);
        // Live is ill: no reason to keep its cure out.
        let ill = [("HEALTH_URL", "http://127.0.0.1:9/health")];
        let ended = scene.expect_unchanged(GOOD, script, &version, &ill, ready);
        assert!(ended.words.contains("仍可部署"), "{}", ended.words);
        // What is not committed stays here.
        scene.parts.write("apps/server/src/index.ts", "not committed");
        let ended = scene.expect_unchanged(GOOD, script, &version, &[], ready);
        assert!(ended.words.contains("uncommitted changes here"), "{}", ended.words);
        // It goes to green all the same, as v1.2.0 has it; and what is changed there by hand is not lost.
        scene.parts.done("blue-green-deploy.sh", &version);
        scene.parts.done("health-check.sh", &version);
        std::fs::write(scene.releases().join("green/apps/web/src/index.ts"), "by hand").unwrap();
        let fault = |words: &str| {
            let faults = ("v1.2.0 有 1 个问题", "v1.2.0 is not ready to be deployed: 1 faults");
            let ended = scene.expect_unchanged(FAILED, script, &version, &[], faults);
            assert!(ended.words.contains(words), "{words}: {}", ended.words);
        };
        fault("was changed by hand:  M apps/web/src/index.ts");
        std::fs::remove_file(scene.releases().join("green/.git")).unwrap();
        fault("is not a git worktree");
        assert_eq!(scene.parts.stop(), Vec::<String>::new());
    });
}

#[test]
fn a_deploy_that_cannot_be_done_leaves_the_idle_colour_as_it_was_or_none() {
    run(Engine::Sqlite, |_| async move {
        let mut scene = Scene::serving().await;
        let script = "blue-green-deploy.sh";
        scene.parts.done(script, &["v1.2.0"]);
        for program in ["bun", "pm2"] {
            let path = scene.parts.path_without(&[program]);
            let words = (format!("缺少程序：{program}"), format!("programs not found: {program}"));
            scene.expect_unchanged(
                COULD_NOT_RUN,
                script,
                &["v1.2.0"],
                &[("PATH", &path)],
                (&words.0, &words.1),
            );
        }
        let file = scene.releases().join("green/apps/web/src/index.ts");
        let text = std::fs::read(&file).unwrap();
        std::fs::write(&file, "by hand").unwrap();
        let words = ("里有手工修改", "was changed by hand");
        scene.expect_unchanged(FAILED, script, &["v1.2.0"], &[], words);
        std::fs::write(&file, text).unwrap();

        // A release that cannot be built, or whose database cannot be reached: not even the old one stays.
        scene.release_with("v1.4.0", "build", "echo cannot build >&2; exit 3");
        let words = ("v1.4.0 构建失败", "v1.4.0 could not be built");
        let ended = scene.expect(FAILED, script, &["v1.4.0"], &[], words);
        scene.assert_green_is_gone(&ended.words);
        let words =
            ("idle (green) 在 1 秒内没有以 v1.2.0", "idle (green) was not healthy with v1.2.0");
        scene.expect_unchanged(
            FAILED,
            "health-check.sh",
            &["v1.2.0"],
            &[("HEALTH_WITHIN", "1")],
            words,
        );
        let nowhere = [("DATABASE_URL", "postgres://postgres@127.0.0.1:9/none")];
        let words = ("数据库迁移到 v1.2.0 失败", "could not be migrated to v1.2.0");
        let ended = scene.expect(FAILED, script, &["v1.2.0"], &nowhere, words);
        scene.assert_green_is_gone(&ended.words);
        let path = scene.path_with(
            "pm2",
            "case \"$*\" in *' start '*web*) echo no >&2; exit 1 ;; esac\nexec pm2 \"$@\"",
        );
        let words = ("pm2 没有启动 neostock-web-green", "pm2 did not start neostock-web-green");
        let ended = scene.expect(FAILED, script, &["v1.2.0"], &[("PATH", &path)], words);
        scene.assert_green_is_gone(&ended.words);

        let port: u16 = scene.parts.setting("GREEN_WEB_PORT").parse().unwrap();
        let other = TcpListener::bind(("127.0.0.1", port)).unwrap();
        let words = (
            format!("端口 {port} 被别的程序占用"),
            format!("port {port} is taken by something else"),
        );
        scene.expect_unchanged(FAILED, script, &["v1.2.0"], &[], (&words.0, &words.1));
        drop(other);
        let foreign = scene.releases().join("green/notes.txt");
        std::fs::create_dir(foreign.parent().unwrap()).unwrap();
        std::fs::write(&foreign, "mine").unwrap();
        let words = ("不是 git worktree，请先移走", "is not a git worktree: move it away first");
        scene.expect_unchanged(FAILED, script, &["v1.2.0"], &[], words);
        std::fs::remove_dir_all(foreign.parent().unwrap()).unwrap();

        // When the cause is mended it works, and live has served throughout.
        assert_eq!(scene.live_version().await, "1.1.0");
        let words = ("v1.2.0 已在 green 启动", "v1.2.0 is started on green");
        let ended = scene.expect(GOOD, script, &["v1.2.0"], &[], words);
        for name in ["install_seconds", "build_seconds", "migrate_seconds", "seconds", "release_mb"]
        {
            assert!(ended.figure(name) >= 0.0);
        }
        scene.expect(
            GOOD,
            "health-check.sh",
            &["v1.2.0"],
            &[],
            ("健康，版本 v1.2.0", "is healthy"),
        );
        assert_eq!(scene.parts.stop(), Vec::<String>::new());
    });
}

#[test]
fn a_deploy_that_is_stopped_or_killed_can_be_made_again_and_is_never_taken_for_whole() {
    run(Engine::Sqlite, |_| async move {
        let mut scene = Scene::serving().await;
        let script = "blue-green-deploy.sh";
        scene.parts.done(script, &["v1.2.0"]);
        scene.release_with("v1.4.0", "build", "echo it is being built && sleep 60");

        let begun = scene.begin(script, &["v1.4.0"], &[], "it is being built");
        // The old release there answers no more, so that nobody takes it for the new one.
        assert!(!scene.runs("green"));
        let words = begun.stop();
        scene.assert_green_is_gone(&words);

        scene.begin(script, &["v1.4.0"], &[], "it is being built").kill();
        let mark = scene.releases().join(".green.unfinished");
        assert_eq!(std::fs::read_to_string(&mark).unwrap(), "v1.4.0\n");
        let soon = [("HEALTH_WITHIN", "1")];
        let words = ("green 的部署没有做完", "the deploy of green was cut short");
        scene.expect_unchanged(FAILED, "health-check.sh", &["v1.4.0"], &soon, words);
        let words = ("不切换：green 不健康", "not switched: green is not healthy");
        scene.expect_unchanged(FAILED, "switch-traffic.sh", &["v1.4.0"], &soon, words);
        let words = ("v1.2.0 已在 green 启动", "v1.2.0 is started on green");
        let ended = scene.expect(GOOD, script, &["v1.2.0"], &[], words);
        assert!(ended.words.contains("the last deploy was cut short"), "{}", ended.words);
        assert!(!mark.exists());
        scene.expect(
            GOOD,
            "health-check.sh",
            &["v1.2.0"],
            &[],
            ("健康，版本 v1.2.0", "is healthy"),
        );
        assert_eq!(scene.live_version().await, "1.1.0");
        assert_eq!(scene.parts.stop(), Vec::<String>::new());
    });
}

#[test]
fn on_a_full_disk_nothing_half_done_is_left() {
    run(Engine::Sqlite, |_| async move {
        let mut scene = Scene::new().await;
        let nginx = scene.parts.upstream_file().parent().unwrap().to_owned();
        let disks = [scene.releases(), scene.parts.backups(), nginx]
            .map(|folder| SmallDisk::new(&folder, "2m"));
        let [releases, backups, nginx] = &disks;
        scene.parts.serve();
        let upstream = scene.upstream();
        let gone = |words: &str| {
            for name in [".green.unfinished", "green"] {
                assert!(!scene.releases().join(name).exists(), "{name}: {words}");
            }
            assert!(!scene.runs("green"), "{words}");
        };

        // Not even the mark; not the files of the commit; not what is built.
        releases.fill(0);
        let script = "blue-green-deploy.sh";
        let words = ("不能写入", "cannot write in");
        gone(&scene.expect_unchanged(FAILED, script, &["v1.2.0"], &[], words).words);
        releases.fill(8 << 10);
        let words = ("无法把 v1.2.0 取出", "v1.2.0 cannot be checked out");
        gone(&scene.expect(FAILED, script, &["v1.2.0"], &[], words).words);
        releases.empty();
        scene.release_with("v1.4.0", "build", "head -c 3000000 /dev/zero > dist-of-all");
        let words = ("v1.4.0 构建失败", "v1.4.0 could not be built");
        let ended = scene.expect(FAILED, script, &["v1.4.0"], &[], words);
        assert!(ended.words.contains("No space left"), "{}", ended.words);
        gone(&ended.words);
        scene.expect(GOOD, script, &["v1.2.0"], &[], ("已在 green 启动", "is started on green"));
        scene.expect(GOOD, "health-check.sh", &["v1.2.0"], &[], ("健康", "is healthy"));

        nginx.fill(0);
        let words = ("无法保存原来的", "cannot be kept: not switched");
        scene.expect_unchanged(FAILED, "switch-traffic.sh", &["v1.2.0"], &[], words);
        // Room for the one copy, and none for the other.
        nginx.fill(4 << 10);
        let words = ("无法写入", "cannot be written");
        scene.expect(FAILED, "switch-traffic.sh", &["v1.2.0"], &[], words);
        let left: Vec<_> = std::fs::read_dir(scene.parts.upstream_file().parent().unwrap())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name.starts_with("upstream"))
            .collect();
        assert_eq!(left, ["upstream.conf"]);
        assert_eq!(scene.upstream(), upstream);
        assert_eq!(scene.live_version().await, "1.1.0");
        nginx.empty();
        scene.expect(GOOD, "switch-traffic.sh", &["v1.2.0"], &[], ("流量已切换", "was switched"));

        let script = "backup-database.sh";
        scene.sql("create table quotes_of_old as select n, md5(n::text) from generate_series(1, 50000) n").await;
        let words = ("备份失败（pg_dump）", "could not be backed up (pg_dump)");
        backups.fill(64 << 10);
        scene.expect_unchanged(FAILED, script, &[], &[], words);
        backups.fill(0);
        scene.expect_unchanged(FAILED, script, &[], &[], words);
        backups.empty();
        scene.expect(GOOD, script, &[], &[], ("备份完成", "backed up"));
        assert_eq!(scene.parts.stop(), Vec::<String>::new());
        drop(disks);
    });
}

#[test]
fn a_switch_that_cannot_be_made_puts_back_what_was() {
    run(Engine::Sqlite, |_| async move {
        let mut scene = Scene::serving().await;
        scene.parts.done("blue-green-deploy.sh", &["v1.2.0"]);
        scene.parts.done("health-check.sh", &["v1.2.0"]);
        let script = "switch-traffic.sh";
        let same = |code: i32, more: Settings<'_>, words: (&str, &str)| {
            let before = scene.upstream();
            let ended = scene.expect(code, script, &["v1.2.0"], more, words);
            assert_eq!(scene.upstream(), before, "{}", ended.words);
            for name in ["upstream.conf.next", "upstream.conf.before"] {
                assert!(!scene.parts.upstream_file().with_file_name(name).exists(), "{name}");
            }
        };
        let nginx = scene.parts.setting("NGINX_COMMAND");
        let path = scene.parts.path_without(&["nginx"]);
        same(COULD_NOT_RUN, &[("PATH", &path)], ("缺少程序：nginx", "programs not found: nginx"));
        // An nginx that fails at its COUNTth call of a kind.
        let fake = scene.parts.place.path().join("nginx.sh");
        let fails_at = |kind: &str, count: u32| {
            let counter = scene.parts.place.path().join("count.log");
            let text = format!(
                "case \"$*\" in *{kind}*) echo x >>{0}; [ $(wc -l <{0}) -ne {count} ] || {{ echo 'nginx: [emerg] no' >&2; exit 1; }} ;; esac\nexec {nginx} \"$@\"\n",
                counter.display()
            );
            let _ = std::fs::remove_file(counter);
            std::fs::write(&fake, text).unwrap();
        };
        let command = format!("sh {}", fake.display());
        let faulty = [("NGINX_COMMAND", command.as_str())];
        fails_at("-t", 1);
        same(FAILED, &faulty, ("现有配置无效，不切换", "configuration is not valid: not switched"));
        fails_at("-t", 2);
        same(FAILED, &faulty, ("新配置未通过 nginx -t", "nginx refuses the new configuration"));
        fails_at("reload", 1);
        same(FAILED, &faulty, ("nginx 重新加载失败", "nginx could not reload"));
        let nowhere = [("HEALTH_URL", "http://127.0.0.1:9/health"), ("SWITCH_WITHIN", "1")];
        same(
            FAILED,
            &nowhere,
            ("经过 nginx 没有得到 v1.2.0", "v1.2.0 does not answer through nginx"),
        );
        let ill = (
            "不切换：green 不健康或不是 v1.3.0",
            "not switched: green is not healthy or not v1.3.0",
        );
        scene.expect_unchanged(FAILED, script, &["v1.3.0"], &[("HEALTH_WITHIN", "1")], ill);
        assert_eq!(scene.live_version().await, "1.1.0");

        // Stopped in the middle, and killed.
        let upstream = scene.upstream();
        let waiting = [nowhere[0], ("SWITCH_WITHIN", "60")];
        let switched = || scene.upstream() != upstream;
        let begun = scene.begin(script, &["v1.2.0"], &waiting, "healthy");
        until("it switches", PATIENCE, switched);
        begun.stop();
        assert_eq!(scene.upstream(), upstream);
        let begun = scene.begin(script, &["v1.2.0"], &waiting, "healthy");
        until("it switches", PATIENCE, switched);
        begun.kill();
        // Nobody can tell what nginx serves: nothing else goes on before that is settled.
        let unsettled = ("上一次流量切换没有做完", "a switch was cut short");
        for (script, words, code) in [
            ("blue-green-deploy.sh", &["v1.2.0"][..], FAILED),
            ("live.sh", &["restart", "neostock-web"], FAILED),
            ("health-check.sh", &["v1.2.0"], COULD_NOT_RUN),
            ("pre-deploy-check.sh", &["v1.2.0"], FAILED),
        ] {
            scene.expect_unchanged(code, script, words, &[], unsettled);
        }
        // Where not even that can be put back, somebody must act.
        fails_at("reload", 1);
        scene.expect(3, script, &["v1.2.0"], &faulty, ("未能恢复", "could not be put back"));
        let words = (
            "流量已切换：blue → green，版本 v1.2.0",
            "was switched from blue to green, version v1.2.0",
        );
        let ended = scene.expect(GOOD, script, &["v1.2.0"], &[], words);
        assert!(ended.figure("seconds") >= 0.0);
        until("v1.2.0 answers", PATIENCE, || {
            scene.parts.by_hand("health-check.sh", &["v1.2.0", "live"], &[]).status.success()
        });
        assert_eq!(scene.parts.stop(), Vec::<String>::new());
    });
}

#[test]
fn health_is_an_answer_with_the_wanted_version_in_time() {
    run(Engine::Sqlite, |_| async move {
        let mut scene = Scene::serving().await;
        let script = "health-check.sh";
        let soon = [("HEALTH_WITHIN", "1")];
        let live = ("live (blue) 健康，版本 v1.1.0", "live (blue) is healthy, version v1.1.0");
        let ended = scene.expect_unchanged(GOOD, script, &["v1.1.0", "live"], &[], live);
        assert!(ended.figure("seconds") < 5.0);
        let other = ("回答的版本是 1.1.0", "answers version 1.1.0");
        scene.expect_unchanged(FAILED, script, &["v1.2.0", "live"], &soon, other);
        // Nothing runs on green yet.
        let nobody =
            ("idle (green) 在 1 秒内没有以 v1.2.0", "idle (green) was not healthy with v1.2.0");
        scene.expect_unchanged(FAILED, script, &["v1.2.0"], &soon, nobody);
        // It answers, and never well; what it wrote to its error log is shown.
        scene.parts.done("blue-green-deploy.sh", &["v1.3.0"]);
        let log = scene.parts.place.path().join("pm2/logs/neostock-server-green-error.log");
        std::fs::write(log, "the database is away\n").unwrap();
        let ill = ("idle (green) 在 1 秒内没有以 v1.3.0", "was not healthy with v1.3.0 within 1s");
        let ended = scene.expect_unchanged(FAILED, script, &["v1.3.0"], &soon, ill);
        assert!(
            ended.words.contains("error: 503") && ended.words.contains("the database is away"),
            "{}",
            ended.words
        );
        // The server is well, the web is not.
        let web = [soon[0], ("BLUE_WEB_PORT", "9")];
        let no_web = ("web: 没有正常回答", "does not answer well");
        scene.expect_unchanged(FAILED, script, &["v1.1.0", "live"], &web, no_web);
        let path = scene.parts.path_without(&["curl"]);
        let words = ("缺少程序：curl", "programs not found: curl");
        scene.expect_unchanged(COULD_NOT_RUN, script, &["v1.1.0"], &[("PATH", &path)], words);
        scene.begin(script, &["v1.2.0"], &[("HEALTH_WITHIN", "60")], "server:").stop();
        assert_eq!(scene.parts.stop(), Vec::<String>::new());
    });
}

#[test]
fn a_rollback_looks_first_and_goes_no_further_than_what_failed() {
    run(Engine::Sqlite, |_| async move {
        let mut scene = Scene::serving().await;
        for script in ["blue-green-deploy.sh", "health-check.sh", "switch-traffic.sh"] {
            scene.parts.done(script, &["v1.2.0"]);
        }
        let script = "rollback.sh";
        let back = ["v1.1.0", "p99 is \"high\""];
        let applied = "select count(*) from migrations";
        assert_eq!(scene.count(applied).await, 2);
        let folder = scene.releases().join("green");
        let commit = || {
            let mut git = Command::new("git");
            let output = git.args(["rev-parse", "HEAD"]).current_dir(&folder).output().unwrap();
            String::from_utf8(output.stdout).unwrap()
        };
        let before = commit();
        for program in ["bun", "pm2", "curl"] {
            let path = scene.parts.path_without(&[program]);
            let words = (format!("缺少程序：{program}"), format!("programs not found: {program}"));
            scene.expect_unchanged(
                COULD_NOT_RUN,
                script,
                &back,
                &[("PATH", &path)],
                (&words.0, &words.1),
            );
        }
        // git would refuse to check out over it, when the database is back already.
        let file = folder.join("apps/web/src/index.ts");
        let text = std::fs::read(&file).unwrap();
        std::fs::write(&file, "by hand").unwrap();
        let words = (
            "里有手工修改，请先提交或还原，什么都没有改变",
            "was changed by hand: commit or undo it first, nothing was changed",
        );
        scene.expect_unchanged(FAILED, script, &back, &[], words);
        std::fs::write(&file, text).unwrap();
        let nowhere = [("RELEASES_DIR", "/nowhere")];
        let words =
            ("不是已部署的版本，什么都没有改变", "is not a deployed release, nothing was changed");
        scene.expect_unchanged(FAILED, script, &back, &nowhere, words);

        // The database cannot be rolled back: the code stays as it is.
        let nowhere = [("DATABASE_URL", "postgres://postgres@127.0.0.1:9/none")];
        let words = (
            "数据库回滚失败，之后的步骤没有执行",
            "the database's rollback failed, the steps after it were not begun",
        );
        let ended = scene.expect(FAILED, script, &back, &nowhere, words);
        assert!(!ended.words.contains("执行应用回滚"), "{}", ended.words);
        assert_eq!((commit(), scene.count(applied).await), (before.clone(), 2));
        // Stopped while it is rolled back: the same, and it can be done again.
        let slow = scene.path_with(
            "bun",
            "case \"$*\" in *db:rollback*) echo rolling; exec sleep 60 ;; esac\nexec bun \"$@\"",
        );
        scene.begin(script, &back, &[("PATH", &slow)], "rolling").stop();
        assert_eq!((commit(), scene.count(applied).await), (before, 2));
        // It is back, and does not answer.
        let nobody = [("HEALTH_URL", "http://127.0.0.1:9/health"), ("HEALTH_WITHIN", "1")];
        let words = ("回滚后健康检查失败", "the health check after the rollback failed");
        let ended = scene.expect(FAILED, script, &back, &nobody, words);
        assert!(ended.words.contains("❌ 回滚后健康检查失败"), "{}", ended.words);
        // Once more: what is done already is no obstacle.
        let words = ("回滚成功完成：green 是 v1.1.0", "rolled back: green is v1.1.0");
        let ended = scene.expect(GOOD, script, &back, &[], words);
        for name in
            ["database_seconds", "checkout_seconds", "install_seconds", "build_seconds", "seconds"]
        {
            assert!(ended.figure(name) >= 0.0);
        }
        assert_eq!(
            (scene.live_version().await, scene.count(applied).await),
            ("1.1.0".to_owned(), 1)
        );
        assert_eq!(ended.words.matches("{\"result\"").count(), 1, "{}", ended.words);

        // What it is made of.
        let script = "live.sh";
        let ended = scene.expect(
            GOOD,
            script,
            &["restart", "neostock-web"],
            &[],
            ("已重启 neostock-web-green", "neostock-web-green was restarted"),
        );
        assert_eq!(ended.result["result"], "live.restart");
        let output =
            scene.command(script, &["run", "echo", "--dry-run", "--help"], &[]).output().unwrap();
        assert_eq!(said(&output), "--dry-run --help\n");
        let output = scene.command(script, &["run", "sh", "-c", "exit 7"], &[]).output().unwrap();
        assert_eq!((output.status.code(), said(&output)), (Some(7), String::new()));
        let words = ("缺少程序：program-of-nobody", "programs not found: program-of-nobody");
        scene.expect_unchanged(
            COULD_NOT_RUN,
            script,
            &["run", "program-of-nobody", "x"],
            &[],
            words,
        );
        let path = scene.parts.path_without(&["pm2"]);
        let words = ("缺少程序：pm2", "programs not found: pm2");
        scene.expect_unchanged(
            COULD_NOT_RUN,
            script,
            &["restart", "neostock-web"],
            &[("PATH", &path)],
            words,
        );
        let path = scene.path_with("pm2", "exit 1");
        let words = ("neostock-web-green 重启失败", "neostock-web-green could not be restarted");
        scene.expect_unchanged(
            FAILED,
            script,
            &["restart", "neostock-web"],
            &[("PATH", &path)],
            words,
        );
        assert_eq!(scene.parts.stop(), Vec::<String>::new());
    });
}

#[test]
fn a_backup_is_whole_or_none_and_what_cannot_be_verified_is_not() {
    run(Engine::Sqlite, |_| async move {
        let scene = Scene::new().await;
        scene.sql("create table quotes as select n from generate_series(1, 1000) n").await;
        let script = "backup-database.sh";
        let none = ("没有备份", "there is no backup");
        scene.expect_unchanged(3, script, &["latest"], &[], none);
        scene.expect_unchanged(3, "verify-backup.sh", &[], &[], none);
        let words = ("连不上数据库", "cannot be reached, nothing was backed up");
        scene.expect_unchanged(COULD_NOT_RUN, script, &[], &[("PGPORT", "9")], words);
        for program in ["psql", "pg_dump"] {
            let path = scene.parts.path_without(&[program]);
            let words = (format!("缺少程序：{program}"), format!("programs not found: {program}"));
            scene.expect_unchanged(
                COULD_NOT_RUN,
                script,
                &[],
                &[("PATH", &path)],
                (&words.0, &words.1),
            );
        }
        let words = ("不能写入", "cannot write in");
        let file = scene.parts.place.path().join("a-file");
        std::fs::write(&file, "").unwrap();
        scene.expect_unchanged(
            FAILED,
            script,
            &[],
            &[("BACKUP_DIR", file.to_str().unwrap())],
            words,
        );
        let ended = scene.expect(GOOD, script, &[], &[], ("备份完成", "backed up"));
        assert!(
            (ended.figure("rows") - 1000.0).abs() < 0.5
                && (ended.figure("tables") - 1.0).abs() < 0.5
        );
        assert!(ended.figure("dump_bytes") > 0.0);
        let newest = ("按要求不做新备份", "no new backup was asked for");
        scene.expect_unchanged(GOOD, script, &["latest"], &[], newest);

        // It fails, or is stopped, in the middle: what there was is all there is.
        let path = scene.path_with("pg_dump", "echo dumping; exec sleep 60");
        let held = scene.state();
        scene.begin(script, &[], &[("PATH", &path)], "dumping").stop();
        assert_eq!(differences(&held, &scene.state()), Vec::<String>::new());
        let path = scene.path_with("pg_dump", "exit 1");
        let words = ("备份失败（pg_dump）", "could not be backed up (pg_dump)");
        scene.expect_unchanged(FAILED, script, &[], &[("PATH", &path)], words);

        let script = "verify-backup.sh";
        let sound = scene.expect_unchanged(
            GOOD,
            script,
            &[],
            &[],
            ("完好：1 张表", "is sound: 1 tables agree"),
        );
        for (name, value) in [("rows", 1000.0), ("tables", 1.0), ("differences", 0.0)] {
            assert!((sound.figure(name) - value).abs() < 0.5, "{name}");
        }
        let words = ("无法建立临时数据库", "no scratch database could be made");
        scene.expect_unchanged(COULD_NOT_RUN, script, &[], &[("VERIFY_PGPORT", "9")], words);
        let path = scene.parts.path_without(&["pg_restore"]);
        let words = ("缺少程序：pg_restore", "programs not found: pg_restore");
        scene.expect_unchanged(COULD_NOT_RUN, script, &[], &[("PATH", &path)], words);
        let path = scene.path_with("pg_restore", "echo restoring >>\"$MARK\"; exec sleep 60");
        let mark = scene.parts.place.path().join("mark.log");
        let settings = [("PATH", path.as_str()), ("MARK", mark.to_str().unwrap())];
        let begun = scene.begin(script, &[], &settings, "验证");
        until("it restores", PATIENCE, || mark.exists());
        let scratch = format!(
            "select count(*) from pg_database where datname like 'neostock\\_verify\\_%\\_{}'",
            begun.child.id()
        );
        assert_eq!(scene.count(&scratch).await, 1);
        begun.stop();
        assert_eq!(scene.count(&scratch).await, 0);
        assert!(scene.left_in_temporary().is_empty());
        let late = [("RPO_MINUTES", "1")];
        let folder =
            std::fs::read_dir(scene.parts.backups()).unwrap().next().unwrap().unwrap().path();
        let manifest = folder.join("manifest");
        let text = std::fs::read_to_string(&manifest).unwrap();
        let (before, after) = text.split_once("taken\t").unwrap();
        let (_, after) = after.split_once('\n').unwrap();
        std::fs::write(&manifest, format!("{before}taken\t1\n{after}")).unwrap();
        let words = ("完好，但未达到恢复目标", "is sound, but a recovery objective is missed");
        scene.expect_unchanged(4, script, &[], &late, words);
        std::fs::write(&manifest, "").unwrap();
        let words = ("损坏：清单缺失或不完整", "its manifest is missing or cut short");
        scene.expect_unchanged(FAILED, script, &[], &[], words);
        std::fs::write(&manifest, text).unwrap();
        std::fs::write(folder.join("dump"), "").unwrap();
        let words = ("处不同", "differences");
        scene.expect_unchanged(FAILED, script, &[], &[], words);
        let words = ("1 个文件不是写入的那个", "1 files are not those that were written");
        scene.expect_unchanged(FAILED, script, &["--dry-run"], &[], words);
    });
}

#[test]
fn a_suite_is_seen_while_it_runs_and_its_own_figures_are_kept() {
    run(Engine::Sqlite, |_| async move {
        let mut scene = Scene::new().await;
        let script = "run-suite.sh";
        let gate = scene.parts.place.path().join("gate");
        let test = format!(
            "import {{ existsSync }} from \"node:fs\";\nimport {{ expect, test }} from \"bun:test\";\n\
             test(\"waits\", async () => {{\n  console.log(\"figure p99_ms 1.5\");\n  console.log(\"figure tests 99\");\n  \
             console.log(\"figure p99_ms 12.25\\u001b[2J\");\n  console.log(\"figure p99_ms 34.5\");\n  \
             while (!existsSync(\"{}\")) await Bun.sleep(10);\n}}, 30_000);\n",
            gate.display()
        );
        scene.parts.write("tests/performance/waits.test.ts", &test);
        scene.parts.commit("v1.4.0");
        let mut begun = scene.begin(script, &["performance", "v1.4.0"], &[], "figure p99_ms 34.5");
        // The suite waits for this test, and its line is here.
        assert!(begun.child.try_wait().unwrap().is_none());
        std::fs::write(&gate, "").unwrap();
        assert_eq!(begun.end(), Some(GOOD), "{}", begun.words());
        let words = begun.words();
        let result: Value = serde_json::from_str(words.lines().last().unwrap()).unwrap();
        assert_eq!(
            (&result["result"], &result["outcome"]),
            (&"test.performance".into(), &"passed".into())
        );
        for (name, value) in [("tests", 2.0), ("failed", 0.0), ("p99_ms", 34.5)] {
            assert!((figure(&result, name) - value).abs() < 0.001, "{name}: {words}");
        }
        assert!(words.contains("waits") && !words.contains('\u{1b}'), "{words}");

        for suite in ["unit", "integration", "e2e"] {
            let passed =
                (format!("测试套件 {suite} 全部通过"), format!("the suite {suite} passed"));
            let ended = scene.expect_unchanged(
                GOOD,
                script,
                &[suite, "v1.2.0"],
                &[],
                (&passed.0, &passed.1),
            );
            assert_eq!(ended.result["result"], format!("test.{suite}"));
        }
        let failed = (
            "测试套件 integration 未通过：test:integration（2 个测试中 1 个未通过）",
            "the suite integration failed: test:integration (1 of 2 tests)",
        );
        let ended = scene.expect_unchanged(FAILED, script, &["integration", "v1.3.0"], &[], failed);
        assert!(
            ended.words.contains("Received: 503") && (ended.figure("failed") - 1.0).abs() < 0.5
        );
        scene.release_with("v1.5.0", "test:unit", "true");
        let none = ("没有真正执行：test:unit", "nothing of the suite unit was really run");
        scene.expect_unchanged(COULD_NOT_RUN, script, &["unit", "v1.5.0"], &[], none);
        let path = scene.parts.path_without(&["bun"]);
        let words = ("缺少程序：bun", "programs not found: bun");
        scene.expect_unchanged(
            COULD_NOT_RUN,
            script,
            &["unit", "v1.2.0"],
            &[("PATH", &path)],
            words,
        );
        // One that ends and leaves somebody who holds its output.
        let suite = "setsid sh -c 'echo $$ >$TEST_PID; exec sleep 60' & bun test tests/unit";
        scene.release_with("v1.6.0", "test:unit", suite);
        let file = scene.parts.place.path().join("pid.log");
        let settings = [("TEST_PID", file.to_str().unwrap())];
        scene.expect(GOOD, script, &["unit", "v1.6.0"], &settings, ("全部通过", "passed"));
        // Nobody has waited for it, which left of its own will.
        let pid: i32 = std::fs::read_to_string(&file).unwrap().trim().parse().unwrap();
        kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL).unwrap();
        std::fs::remove_file(&gate).unwrap();
        let begun = scene.begin(script, &["performance", "v1.4.0"], &[], "figure p99_ms 34.5");
        begun.stop();
        assert!(scene.left_in_temporary().is_empty());
        assert_eq!(scene.parts.stop(), Vec::<String>::new());
    });
}

/// What stands in the manual's own rollback.sh after this beginning, up to its first variable or end.
fn words_of_the_manual(beginning: &str) -> Vec<String> {
    let manual = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/manual.txt");
    let manual = std::fs::read_to_string(manual).unwrap();
    let (_, script) = manual.split_once("# scripts/rollback.sh").unwrap();
    let (script, _) = script.split_once("```").unwrap();
    let said = script.lines().filter_map(|line| Some(line.split_once(beginning)?.1));
    said.map(|words| words.split(['$', '"', '\'']).next().unwrap().to_owned()).collect()
}

#[test]
fn a_rollback_by_hand_speaks_the_manuals_words() {
    run(Engine::Sqlite, |_| async move {
        let mut scene = Scene::serving().await;
        for script in ["blue-green-deploy.sh", "health-check.sh", "switch-traffic.sh"] {
            scene.parts.done(script, &["v1.2.0"]);
        }
        let text =
            std::fs::read_to_string(scene.parts.repository().join("scripts/rollback.sh")).unwrap();
        let notices = words_of_the_manual("{\"text\":\"");
        assert_eq!(notices.len(), 2, "{notices:?}");
        for notice in notices {
            assert!(text.contains(&format!("tell \"{notice}")), "{notice}");
        }

        let words = ("错误: 无效的版本 v9.9.9", "invalid version v9.9.9");
        let mut told =
            scene.expect_unchanged(FAILED, "rollback.sh", &["v9.9.9", "x"], &[], words).words;
        let nobody = [("HEALTH_URL", "http://127.0.0.1:9/health"), ("HEALTH_WITHIN", "1")];
        let words = ("回滚后健康检查失败", "the health check after the rollback failed");
        told +=
            &scene.expect(FAILED, "rollback.sh", &["v1.1.0", "p99 is high"], &nobody, words).words;
        let words = ("回滚成功完成", "rolled back");
        told += &scene.expect(GOOD, "rollback.sh", &["v1.1.0", "p99 is high"], &[], words).words;
        let manual = words_of_the_manual("echo \"");
        assert_eq!(manual.len(), 9, "{manual:?}");
        for word in &manual {
            assert!(told.contains(word), "{word}: {told}");
        }
        // Its steps in its order; what it says of a version that is none stands among them.
        let steps = manual.iter().filter(|word| !word.starts_with(['错', '✅', '❌']));
        let order: Vec<_> = steps.map(|word| told.find(word)).collect();
        assert!(order.is_sorted(), "{told}");
        assert_eq!(scene.parts.stop(), Vec::<String>::new());
    });
}
