//! The six scans of the manual's security list: what they pass, what they find, and what they could not find out, on
//! the real scanners and the real service; that they change nothing and show no secret.

use crate::harness::bot::Bot;
use crate::harness::database::{Engine, TestDatabase, run};
use crate::harness::looks::until;
use crate::harness::parts::{Parts, result_of, said};
use crate::harness::place::{Place, is_alive};
use crate::harness::ports::free_port;
use neostock_ops::sandbox::Options;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

const PASSED: i32 = 0;
const FAILED: i32 = 1;
const REFUSED: i32 = 2;
const COULD_NOT_RUN: i32 = 69;
const STOPPED_BY_TERM: i32 = 143;
/// How many findings a scan lists; the others are counted.
const LINES_MAX: usize = 50;
/// How long a program may take to do what a test waits for.
const PATIENCE: Duration = Duration::from_secs(20);

/// Every scan, with arguments that fit.
const SCANS: [(&str, &[&str]); 6] = [
    ("scan-sast.sh", &["v1.0.0"]),
    ("scan-sca.sh", &["v1.0.0"]),
    ("scan-image.sh", &["v1.0.0"]),
    ("scan-api.sh", &["http://127.0.0.1:9"]),
    ("scan-auth.sh", &["http://127.0.0.1:9"]),
    ("scan-crypto.sh", &["127.0.0.1:9"]),
];

/// A Dockerfile with nothing wrong.
const DOCKERFILE: &str = "FROM oven/bun:1.4.5-slim AS build\nWORKDIR /src\nCOPY . .\nRUN bun install --frozen-lockfile\n\
     FROM build\nUSER 10001:10001\nHEALTHCHECK CMD [\"bun\", \"health.ts\"]\nCMD [\"bun\", \"run\", \"start\"]\n";

/// A repository of NeoStock, as v1.0.0, to scan.
struct Scans {
    place: tempfile::TempDir,
    settings: BTreeMap<String, String>,
}

impl Scans {
    fn new() -> Self {
        let scanners = project().join("build/scanners/bin");
        assert!(
            scanners.join("semgrep").exists(),
            "the scanners are not here: run tools/prepare.sh"
        );
        let place = tempfile::tempdir().unwrap();
        let folder = |name: &str| {
            let folder = place.path().join(name);
            std::fs::create_dir(&folder).unwrap();
            folder.display().to_string()
        };
        let parts = project().join("build/parts/bin");
        let path = format!(
            "{}:{}:/usr/local/bin:/usr/bin:/bin:/usr/sbin",
            parts.display(),
            scanners.display()
        );
        let settings = BTreeMap::from([
            ("PATH".to_owned(), path),
            ("HOME".to_owned(), folder("home")),
            ("TMPDIR".to_owned(), folder("temporary")),
            ("LANG".to_owned(), "C.UTF-8".to_owned()),
        ]);
        let scans = Self { place, settings };
        scans.copy_neostock();
        scans.run("git", &["init", "--quiet", "--initial-branch=main"]);
        scans.commit("v1.0.0");
        scans
    }

    fn copy_neostock(&self) {
        let from = project().join("examples/neostock");
        let listed =
            Command::new("git").args(["ls-files", "-z"]).current_dir(&from).output().unwrap();
        let listed = String::from_utf8(listed.stdout).unwrap();
        assert!(listed.contains("apps/server/src/"), "git knows nothing of NeoStock");
        for file in listed.split_terminator('\0').filter(|file| from.join(file).exists()) {
            self.write(file, &std::fs::read_to_string(from.join(file)).unwrap());
        }
    }

    fn repository(&self) -> PathBuf {
        self.place.path().join("neostock")
    }

    fn temporary(&self) -> PathBuf {
        self.place.path().join("temporary")
    }

    fn write(&self, file: &str, text: &str) {
        let path = self.repository().join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    /// A file with a secret: for its owner only.
    fn secret(&self, name: &str, text: &str) -> String {
        let path = self.place.path().join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        path.display().to_string()
    }

    /// Programs that stand before the real ones of their names; a `PATH` with them.
    fn instead_of(&self, programs: &[(&str, &str)]) -> String {
        let folder = self.place.path().join("instead");
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir(&folder).unwrap();
        for (program, text) in programs {
            let file = folder.join(program);
            std::fs::write(&file, format!("#!/bin/sh\n{text}\n")).unwrap();
            std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o755)).unwrap();
        }
        format!("{}:{}", folder.display(), self.settings["PATH"])
    }

    /// A `PATH` with every program but this one.
    fn path_without(&self, program: &str) -> String {
        let folder = self.place.path().join(format!("without-{program}"));
        std::fs::create_dir_all(&folder).unwrap();
        for place in self.settings["PATH"].split(':') {
            for entry in std::fs::read_dir(place).into_iter().flatten().flatten() {
                let name = entry.file_name();
                if name != program {
                    // The first of a name is the one that counts.
                    let _ = std::os::unix::fs::symlink(entry.path(), folder.join(name));
                }
            }
        }
        folder.display().to_string()
    }

    fn run(&self, program: &str, arguments: &[&str]) -> String {
        let mut command = Command::new(program);
        command.args(arguments).current_dir(self.repository()).env_clear().envs(&self.settings);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{program} {arguments:?}: {}", said(&output));
        String::from_utf8(output.stdout).unwrap()
    }

    /// What is there, as a commit with a tag.
    fn commit(&self, tag: &str) {
        self.run("git", &["add", "--all", "--force", "."]);
        let person = ["-c", "user.name=test", "-c", "user.email=test@example.invalid"];
        self.run("git", &[&person[..], &["commit", "--quiet", "-m", tag]].concat());
        self.run("git", &["tag", tag]);
    }

    /// The repository's files and what git says of it: what no scan may change.
    fn state(&self) -> String {
        let status = self.run("git", &["status", "--porcelain", "--ignored"]);
        status + &self.run("git", &["for-each-ref"]) + &self.run("git", &["count-objects", "-v"])
    }

    fn command(&self, script: &str, arguments: &[&str], more: &[(&str, &str)]) -> Command {
        let mut command = Command::new(project().join("runbook/scripts").join(script));
        command.args(arguments).current_dir(self.repository()).stdin(Stdio::null());
        command.env_clear().envs(&self.settings).envs(more.iter().copied());
        command
    }

    fn output(&self, script: &str, arguments: &[&str], more: &[(&str, &str)]) -> Output {
        self.command(script, arguments, more).output().unwrap()
    }

    /// Runs a scan that must end so, in these words; its result and all that it said. Nothing may be left of it.
    fn expect(
        &self,
        code: i32,
        (script, arguments): (&str, &[&str]),
        more: &[(&str, &str)],
        words: &[&str],
    ) -> (Value, String) {
        let output = self.output(script, arguments, more);
        let text = said(&output);
        assert_eq!(output.status.code(), Some(code), "{script} {arguments:?} {more:?}: {text}");
        for word in words {
            assert!(text.contains(word), "{script} {arguments:?} {more:?}: {word}: {text}");
        }
        let result = result_of(&output);
        let outcome = match code {
            PASSED if arguments.contains(&"--dry-run") => "dry_run",
            PASSED => "passed",
            FAILED => "failed",
            _ => "could_not_run",
        };
        assert_eq!(result["outcome"], outcome, "{text}");
        let name = script.trim_end_matches(".sh").replace("scan-", "scan.");
        assert_eq!(result["result"], name.as_str(), "{text}");
        let left: Vec<_> = std::fs::read_dir(self.temporary()).unwrap().collect();
        assert!(left.is_empty(), "{script} leaves {left:?}");
        (result, text)
    }
}

/// A figure that counts.
fn count(result: &Value, name: &str) -> u64 {
    let figures = result["figures"].as_array().unwrap();
    let found = figures.iter().find(|one| one["name"] == name);
    found.and_then(|one| one["value"].as_u64()).unwrap_or_else(|| panic!("no {name}: {result}"))
}

fn project() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The rules' test files: their name and text.
fn rule_files() -> Vec<(String, String)> {
    let files = std::fs::read_dir(project().join("runbook/scan/rules")).unwrap().flatten();
    let mut found: Vec<_> = files
        .map(|entry| (entry.file_name().into_string().unwrap(), entry.path()))
        .filter(|(name, _)| {
            Path::new(name).extension().is_some_and(|kind| kind == "ts" || kind == "tsx")
        })
        .map(|(name, path)| (name, std::fs::read_to_string(path).unwrap()))
        .collect();
    found.sort();
    found
}

/// Where a test file says that a rule finds something, or does not: file, line, rule.
fn marked(mark: &str) -> BTreeSet<(String, u64, String)> {
    let mut found = BTreeSet::new();
    for (name, text) in rule_files() {
        for (number, line) in text.lines().enumerate() {
            if let Some(rule) = line.trim_start().strip_prefix(mark) {
                found.insert((name.clone(), number as u64 + 2, rule.trim().to_owned()));
            }
        }
    }
    found
}

#[test]
fn every_rule_finds_what_its_test_file_marks_and_nothing_else() {
    let scans = Scans::new();
    let rules = project().join("runbook/scan/rules");
    let mut command = Command::new(project().join("build/scanners/bin/semgrep"));
    command.args([
        "scan",
        "--config",
        ".",
        "--json",
        "--quiet",
        "--metrics=off",
        "--disable-version-check",
    ]);
    command.args(["--no-git-ignore", "--x-ignore-semgrepignore-files", "."]).current_dir(rules);
    let output = command.env_clear().envs(&scans.settings).output().unwrap();

    let report: Value =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", said(&output)));
    assert_eq!(report["errors"], json!([]));
    let found: BTreeSet<_> = report["results"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| {
            let rule = one["check_id"].as_str().unwrap().rsplit('.').next().unwrap();
            let line = one["start"]["line"].as_u64().unwrap();
            (one["path"].as_str().unwrap().to_owned(), line, rule.to_owned())
        })
        .collect();
    let (bad, good) = (marked("// ruleid: "), marked("// ok: "));
    assert_eq!(found, bad);
    assert!(found.is_disjoint(&good));
    let names = |marks: &BTreeSet<(String, u64, String)>| -> BTreeSet<String> {
        marks.iter().map(|(_, _, rule)| rule.clone()).collect()
    };
    assert_eq!(names(&bad), names(&good), "each rule has a good and a bad example");
    assert!(names(&bad).len() >= 19, "{:?}", names(&bad));
}

#[test]
fn sources_pass_and_planted_faults_and_secrets_are_found() {
    let scans = Scans::new();
    let sast = |code, version: &str, more: &[(&str, &str)], words: &[&str]| {
        scans.expect(code, ("scan-sast.sh", &[version]), more, words)
    };
    // Every example of every rule, and three more than are listed: what is above fifty is counted.
    for (name, text) in rule_files() {
        scans.write(&format!("apps/server/src/{name}"), &text);
    }
    let planted = marked("// ruleid: ");
    let more = LINES_MAX + 3 - planted.len();
    scans.write("apps/server/src/z.ts", &"eval(\"1\");\n".repeat(more));
    scans.commit("v2.0.0");
    let (result, words) = sast(FAILED, "v2.0.0", &[], &["… 还有 3 条 / more"]);
    assert_eq!(count(&result, "findings_high"), LINES_MAX as u64 + 3, "{words}");
    for (file, line, rule) in planted {
        let place = format!("❌ high  {rule}  apps/server/src/{file}:{line}  ");
        assert!(words.contains(&place), "{place}: {words}");
    }

    // What is checked out is not what is scanned.
    let before = scans.state();
    let (result, _) = sast(PASSED, "v1.0.0", &[], &["没有高危问题", "no high finding"]);
    assert!(count(&result, "files") > 20, "{result}");
    assert!(count(&result, "rules") >= 19, "{result}");
    assert_eq!(count(&result, "findings_high"), 0);
    assert_eq!(count(&result, "commits"), 1);
    let dry = ("scan-sast.sh", &["--dry-run", "v1.0.0"][..]);
    scans.expect(PASSED, dry, &[], &["semgrep 1.", "gitleaks 8.", "什么都没有改变"]);
    assert_eq!(scans.state(), before);
    scans.run("git", &["reset", "--quiet", "--hard", "v1.0.0"]);

    // A secret in the sources, one that was taken out again, and what people have accepted.
    let secrets = [format!("nsk_{}", "Zk3".repeat(15).split_at(43).0), "s3cretWord7x".to_owned()];
    scans.write("notes.txt", &format!("the key: {}\n", secrets[0]));
    scans.commit("v3.0.0");
    std::fs::remove_file(scans.repository().join("notes.txt")).unwrap();
    scans.write(
        ".env.production",
        &format!("DATABASE_URL=postgres://neostock:{}@db.internal/neostock\n", secrets[1]),
    );
    scans.write(
        "apps/server/src/rates.ts",
        "// nosemgrep: dynamic-code\nexport const rate = eval(\"1\");\n",
    );
    // What a test invents for its own machine opens nothing.
    let invented = "export const url = \"postgres://nobody:hidden@127.0.0.1:1/nothing\";\n";
    scans.write("apps/server/src/__tests__/address.test.ts", invented);
    scans.write("apps/server/src/bare.ts", "// nosemgrep\nexport const rate = eval(\"1\");\n");
    scans.commit("v3.1.0");
    let (result, words) = sast(
        FAILED,
        "v3.1.0",
        &[],
        &[
            "❌ high  password-in-address  .env.production:1",
            ":notes.txt:1  历史提交中有机密",
            "⚠️ lower  dynamic-code  apps/server/src/rates.ts:2  源码中已标明接受",
            "❌ high  dynamic-code  apps/server/src/bare.ts:2",
        ],
    );
    assert_eq!(
        (count(&result, "findings_high"), count(&result, "findings_lower")),
        (3, 1),
        "{words}"
    );
    assert!(secrets.iter().all(|secret| !words.contains(secret)), "{words}");
    scans.run("git", &["reset", "--quiet", "--hard", "v3.0.0"]);
    let commit = scans.run("git", &["rev-parse", "v3.0.0"]);
    scans.write(
        ".gitleaksignore",
        &format!("notes.txt:neostock-api-key:1\n{}:notes.txt:neostock-api-key:1\n", commit.trim()),
    );
    scans.commit("v3.2.0");
    let (result, words) = sast(PASSED, "v3.2.0", &[], &["⚠️ lower  accepted-secret"]);
    assert_eq!(count(&result, "findings_lower"), 2, "{words}");
}

#[test]
fn sources_that_cannot_be_scanned_have_not_passed() {
    let scans = Scans::new();
    let sast = |version: &str, more: &[(&str, &str)], words: &[&str]| {
        scans.expect(COULD_NOT_RUN, ("scan-sast.sh", &[version]), more, words);
    };
    scans.write("apps/server/src/broken.ts", "export const b = ( {{{ ;\n");
    scans.commit("v1.1.0");
    sast("v1.1.0", &[], &["semgrep 未能完整读懂 apps/server/src/broken.ts"]);
    scans.run("git", &["rm", "-r", "--quiet", "."]);
    scans.write("README.md", "Nothing else.\n");
    scans.commit("v1.2.0");
    sast("v1.2.0", &[], &["没有可扫描的源文件", "there is no source file to scan"]);
    sast("v9.9.9", &[], &["v9.9.9"]);
    scans.expect(REFUSED, ("scan-sast.sh", &[]), &[], &["用法见"]);
    scans.expect(REFUSED, ("scan-sast.sh", &["-x"]), &[], &[]);

    for program in ["semgrep", "gitleaks", "bun", "git"] {
        let path = scans.path_without(program);
        sast("v1.0.0", &[("PATH", &path)], &["缺少程序", program]);
    }
    let scanned = |files: &str| {
        let report =
            format!(r#"{{"results": [], "errors": [], "paths": {{"scanned": [{files}]}}}}"#);
        format!("while [ \"$1\" != --output ]; do shift; done; echo '{report}' >\"$2\"")
    };
    let (good, nothing) = (scanned(r#""apps/server/src/index.ts""#), scanned(""));
    let leaks = "while [ \"$1\" != --report-path ]; do shift; done; echo '[]' >\"$2\"";
    for (programs, words) in [
        (&[("semgrep", "exit 2")][..], "semgrep 以 2 退出"),
        (&[("semgrep", "exit 0")], "semgrep 以 0 退出"),
        (&[("semgrep", nothing.as_str())], "没有可扫描的源文件"),
        (&[("semgrep", good.as_str()), ("gitleaks", "exit 1")], "gitleaks 以 1 退出"),
        (&[("semgrep", good.as_str()), ("gitleaks", "exit 0")], "gitleaks 以 0 退出"),
        (&[("semgrep", good.as_str()), ("gitleaks", leaks)], "没有读到任何历史提交"),
    ] {
        let path = scans.instead_of(programs);
        sast("v1.0.0", &[("PATH", &path)], &[words]);
    }

    // Rules that are not there, cannot be parsed, or name a language that nobody knows.
    let own = scans.place.path().join("scan");
    std::fs::create_dir_all(own.join("rules")).unwrap();
    let folder = own.display().to_string();
    sast("v1.0.0", &[("SCAN_DIR", &folder)], &["没有 semgrep 规则"]);
    let rule = |text: &str| std::fs::write(own.join("rules/own.yml"), text).unwrap();
    rule("rules:\n  - id: own\n    languages: [typescript]\n");
    sast("v1.0.0", &[("SCAN_DIR", &folder)], &["没有 gitleaks 的配置"]);
    std::fs::copy(project().join("runbook/scan/gitleaks.toml"), own.join("gitleaks.toml")).unwrap();
    sast("v1.0.0", &[("SCAN_DIR", &folder)], &["semgrep 以 7 退出"]);
    rule(
        "rules:\n  - id: own\n    languages: [typescript]\n    severity: ERROR\n    message: x\n    pattern: 'eval((('\n",
    );
    sast("v1.0.0", &[("SCAN_DIR", &folder)], &["⛔"]);
    let dry = ("scan-sast.sh", &["--dry-run", "v1.0.0"][..]);
    rule("rules: [");
    scans.expect(COULD_NOT_RUN, dry, &[("SCAN_DIR", &folder)], &["⛔"]);

    // Stopped in the middle: nothing is known, and neither the scanner nor a folder stays.
    let started = scans.place.path().join("started");
    let waits = format!("echo $$ >{}; exec sleep 300", started.display());
    let path = scans.instead_of(&[("semgrep", &waits)]);
    let mut command = scans.command("scan-sast.sh", &["v1.0.0"], &[("PATH", &path)]);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let pid = || std::fs::read_to_string(&started).ok()?.trim().parse::<i32>().ok();
    until("the scanner", PATIENCE, || pid().is_some());
    let script = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(script, rustix::process::Signal::TERM).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(STOPPED_BY_TERM), "{}", said(&output));
    assert_eq!(result_of(&output)["outcome"], "could_not_run");
    assert!(!is_alive(pid().unwrap()), "the scanner goes on");
    assert_eq!(std::fs::read_dir(scans.temporary()).unwrap().count(), 0);

    let shallow = scans.place.path().join("shallow");
    let from = format!("file://{}", scans.repository().display());
    scans.run(
        "git",
        &["clone", "--quiet", "--depth=1", "--branch=v1.0.0", &from, shallow.to_str().unwrap()],
    );
    let script = project().join("runbook/scripts/scan-sast.sh");
    let mut command = Command::new(script);
    command.arg("v1.0.0").current_dir(shallow).env_clear().envs(&scans.settings);
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(COULD_NOT_RUN), "{}", said(&output));
    assert!(said(&output).contains("仓库是浅克隆"), "{}", said(&output));
}

#[test]
fn dependencies_pass_fail_or_are_not_known() {
    let scans = Scans::new();
    let sca = ("scan-sca.sh", &["v1.0.0"][..]);
    let report = |severity: &str| {
        let text = format!(
            r#"{{"ms": [{{"id": 1, "severity": "{severity}", "title": "Slow", "vulnerable_versions": "<2"}}]}}"#
        );
        format!("cat {}", scans.secret("report.json", &text))
    };

    let command = report("low");
    let (result, _) = scans.expect(PASSED, sca, &[("SCAN_COMMAND", &command)], &["没有高危漏洞"]);
    assert_eq!(count(&result, "findings_lower"), 1);
    let command = report("critical");
    let (result, _) =
        scans.expect(FAILED, sca, &[("SCAN_COMMAND", &command)], &["critical  1  ms <2  Slow"]);
    assert_eq!(count(&result, "findings_high"), 1);

    // Its database cannot be reached: that is never passed.
    let nowhere = [("BUN_CONFIG_REGISTRY", "http://127.0.0.1:9/")];
    scans.expect(COULD_NOT_RUN, sca, &nowhere, &["扫描报告无法读取"]);
    scans.expect(
        COULD_NOT_RUN,
        sca,
        &[("SCAN_COMMAND", "scanner-of-nobody")],
        &["缺少程序", "scanner-of-nobody"],
    );
    scans.expect(COULD_NOT_RUN, ("scan-sca.sh", &["v9.9.9"]), &nowhere, &["v9.9.9"]);
    let before = scans.state();
    scans.expect(PASSED, ("scan-sca.sh", &["--dry-run", "v1.0.0"]), &[], &["bun audit --json"]);
    assert_eq!(scans.state(), before);
}

#[test]
fn images_are_judged_by_how_they_are_made() {
    let scans = Scans::new();
    let image = ("scan-image.sh", &["v1.0.0"][..]);
    let before = scans.state();
    let (result, _) =
        scans.expect(PASSED, image, &[], &["镜像层的漏洞未扫描：没有设置 IMAGE_SCAN_COMMAND"]);
    assert!(result["zh"].as_str().unwrap().contains("镜像层的漏洞未扫描"), "{result}");
    let dry = ("scan-image.sh", &["--dry-run", "v1.0.0"][..]);
    scans.expect(PASSED, dry, &[], &["2.15", "IMAGE_SCAN_COMMAND"]);
    assert_eq!(scans.state(), before);

    // One fault at a time, in an otherwise good file.
    for (number, (from, to, found)) in [
        ("USER 10001:10001\n", "", "image.root"),
        ("USER 10001:10001", "USER root", "image.root"),
        ("HEALTHCHECK CMD [\"bun\", \"health.ts\"]\n", "", "image.health"),
        ("HEALTHCHECK CMD [\"bun\", \"health.ts\"]", "HEALTHCHECK NONE", "image.health"),
        ("oven/bun:1.4.5-slim", "oven/bun:latest", "image.base"),
        ("oven/bun:1.4.5-slim", "oven/bun", "DL3006"),
        ("COPY . .", "ADD https://example.com/tool.tar.gz /tool", "image.add-address"),
        ("COPY . .", "COPY .env /src/.env", "image.secret-file"),
        ("WORKDIR /src", "ENV NODE_ENV=production API_KEY=abcdef", "image.secret"),
        ("WORKDIR /src", "ARG NPM_TOKEN", "image.secret"),
        (
            "RUN bun install --frozen-lockfile",
            "RUN curl -fsSL https://example.com/i.sh | \\\n    # so\n    sh",
            "image.piped",
        ),
        ("RUN bun install --frozen-lockfile", "RUN chmod -R 777 /src", "image.writable"),
        ("FROM build\n", "FROM build AS other\nUSER root\nFROM build\n", "image.root"),
        ("COPY . .", "COPY --from=nginx:latest /etc/nginx /etc/nginx", "image.base"),
    ]
    .into_iter()
    .enumerate()
    {
        assert!(DOCKERFILE.contains(from), "{from}");
        let tag = format!("v2.{number}.0");
        scans.write("docker/web.Dockerfile", &DOCKERFILE.replace(from, to));
        scans.commit(&tag);
        let high = format!("❌ high  {found}  docker/web.Dockerfile:");
        scans.expect(FAILED, ("scan-image.sh", &[&tag]), &[], &[&high]);
    }
    // hadolint's own, accepted in the file; and what moves within a version.
    let text =
        DOCKERFILE.replace("USER 10001:10001", "# hadolint ignore=DL3002\nUSER 0\nUSER 10001");
    scans.write("docker/web.Dockerfile", &text.replace("1.4.5-slim", "slim"));
    scans.commit("v3.0.0");
    let words = ["⚠️ lower  image.base  docker/web.Dockerfile:1"];
    scans.expect(PASSED, ("scan-image.sh", &["v3.0.0"]), &[], &words);

    let not_known = |tag: &str, more: &[(&str, &str)], words: &[&str]| {
        scans.expect(COULD_NOT_RUN, ("scan-image.sh", &[tag]), more, words);
    };
    scans.write("docker/web.Dockerfile", "ARG BASE\nFROM ${BASE}\nUSER 1\nHEALTHCHECK CMD true\n");
    scans.commit("v3.1.0");
    not_known("v3.1.0", &[], &["取决于构建参数"]);
    scans.write("docker/web.Dockerfile", "FORM debian\n");
    scans.commit("v3.2.0");
    not_known("v3.2.0", &[], &["读不懂"]);
    scans.run("git", &["rm", "-r", "--quiet", "Dockerfile", "docker"]);
    scans.commit("v3.3.0");
    not_known("v3.3.0", &[], &["没有 Dockerfile"]);
    let path = scans.path_without("hadolint");
    not_known("v1.0.0", &[("PATH", &path)], &["缺少程序", "hadolint"]);
    let path = scans.instead_of(&[("hadolint", "exit 3")]);
    not_known("v1.0.0", &[("PATH", &path)], &["hadolint 以 3 退出"]);
    not_known("v1.0.0", &[("SCAN_DIR", "/nowhere")], &["没有 hadolint 的配置"]);

    // With a scanner of layers its report counts as well.
    let sarif = |level: &str| {
        let text = format!(
            r#"{{"version": "2.1", "runs": [{{"tool": {{"driver": {{"name": "layers"}}}}, "results": [{{"ruleId": "CVE-1", "level": "{level}", "message": {{"text": "libc"}}}}]}}]}}"#
        );
        format!("cat {}", scans.secret("layers.json", &text))
    };
    let command = sarif("note");
    scans.expect(
        PASSED,
        image,
        &[("IMAGE_SCAN_COMMAND", &command)],
        &["镜像层已由 IMAGE_SCAN_COMMAND 扫描"],
    );
    let command = sarif("error");
    scans.expect(FAILED, image, &[("IMAGE_SCAN_COMMAND", &command)], &["❌ high  image.layers"]);
    not_known("v1.0.0", &[("IMAGE_SCAN_COMMAND", "false")], &["镜像扫描器没有给出可读的报告"]);
}

/// NeoStock itself on a free port, behind proxies each of which plants a fault, and nginx with TLS where asked for.
struct Service {
    scans: Scans,
    server: Child,
    proxies: Child,
    nginx: Option<Child>,
    ports: BTreeMap<String, u16>,
    database: TestDatabase,
}

impl Service {
    /// With `https` as the address by which people know it, its cookies are for TLS alone.
    async fn start(faults: &[&str], public_url: &str) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let database = TestDatabase::new(Engine::Postgres).await;
        let mut scans = Scans::new();
        let url = url::Url::parse(&database.url).unwrap();
        let cache = project().join("build/neostock/cache");
        assert!(cache.exists(), "bun's cache is not filled: run tools/prepare.sh");
        for (name, value) in [
            ("BUN_INSTALL_CACHE_DIR", cache.display().to_string()),
            ("PGHOST", url.host_str().unwrap().to_owned()),
            ("PGPORT", url.port().unwrap().to_string()),
            ("PGUSER", url.username().to_owned()),
            ("PGDATABASE", url.path().trim_start_matches('/').to_owned()),
        ] {
            scans.settings.insert(name.to_owned(), value);
        }
        scans.run("bun", &["install", "--frozen-lockfile", "--silent"]);
        let service_settings = [
            ("DATABASE_URL", database.url.clone()),
            ("BETTER_AUTH_SECRET", "only-for-tests-".repeat(3)),
            ("PORT", "0".to_owned()),
            ("PUBLIC_URL", public_url.to_owned()),
            ("API_LOG_FILE", scans.place.path().join("api.log").display().to_string()),
        ];
        let bun = |folder: PathBuf, arguments: &[&str]| {
            let mut command = Command::new(project().join("build/parts/bin/bun"));
            command.args(arguments).current_dir(folder).env_clear().envs(&scans.settings);
            command.envs(service_settings.clone()).stdin(Stdio::null()).stdout(Stdio::piped());
            command
        };
        let apps = scans.repository().join("apps/server");
        let migrated = bun(apps.clone(), &["run", "db:migrate"]).output().unwrap();
        assert!(migrated.status.success(), "{}", said(&migrated));
        let mut server = bun(apps, &["src/index.ts"]).spawn().unwrap();
        let started = first_line(&mut server);
        let upstream = started["url"].as_str().unwrap().trim_end_matches('/');
        let proxy = project().join("tests/parts/faulty-proxy.ts");
        let arguments = [&[proxy.to_str().unwrap(), upstream][..], faults].concat();
        let mut proxies = bun(scans.place.path().to_owned(), &arguments).spawn().unwrap();
        let ports = serde_json::from_value(first_line(&mut proxies)).unwrap();
        Self { scans, server, proxies, nginx: None, ports, database }
    }

    fn url(&self, fault: &str) -> String {
        format!("http://127.0.0.1:{}", self.ports[fault])
    }

    /// A command of the server's own, such as `keys create`; the JSON that it prints.
    fn tell(&self, arguments: &[&str]) -> Value {
        let mut command = Command::new(project().join("build/parts/bin/bun"));
        command
            .args(["run", "--silent", "--cwd", "apps/server"])
            .args(arguments)
            .current_dir(self.scans.repository());
        command.env_clear().envs(&self.scans.settings).env("DATABASE_URL", &self.database.url);
        let output = command.output().unwrap();
        serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|_| panic!("{arguments:?}: {}", said(&output)))
    }

    /// Everybody whom scan-auth.sh asks as, in files, and that users may be made by sign-up.
    async fn identities(&self) -> Vec<(&'static str, String)> {
        let email = "admin@example.com";
        let body = json!({"email": email, "password": "correct-horse-7", "name": "admin"});
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let url = format!("{}/api/auth/sign-up/email", self.url("none"));
        let answer = http.post(url).json(&body).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        self.tell(&["users", "role", email, "admin"]);
        let [key, revoked] =
            ["scan", "old"].map(|name| self.tell(&["keys", "create", "--name", name]));
        self.tell(&["keys", "revoke", revoked["id"].as_str().unwrap()]);
        let file = |name: &str, text: &str| self.scans.secret(name, text);
        vec![
            ("SCAN_SIGN_UP", "yes".to_owned()),
            ("SCAN_ADMIN_FILE", file("admin", &format!("{email}\ncorrect-horse-7\n"))),
            ("SCAN_KEY_FILE", file("key", key["key"].as_str().unwrap())),
            ("SCAN_REVOKED_KEY_FILE", file("revoked", revoked["key"].as_str().unwrap())),
        ]
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        for child in [Some(&mut self.server), Some(&mut self.proxies), self.nginx.as_mut()]
            .into_iter()
            .flatten()
        {
            // TERM, so that nginx takes its workers along.
            let pid = rustix::process::Pid::from_child(child);
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
            let _ = child.wait();
        }
    }
}

/// Settings, and one more.
fn with<'a>(
    settings: &[(&'a str, &'a str)],
    more: &'a (&'static str, String),
) -> Vec<(&'a str, &'a str)> {
    [settings, &[(more.0, more.1.as_str())]].concat()
}

/// A program that says in its first line where it listens.
fn first_line(child: &mut Child) -> Value {
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    serde_json::from_str(&line).unwrap_or_else(|_| panic!("it did not start: {line}"))
}

fn borrowed<'a>(settings: &'a [(&'static str, String)]) -> Vec<(&'static str, &'a str)> {
    settings.iter().map(|(name, value)| (*name, value.as_str())).collect()
}

#[test]
fn an_api_is_found_out_fault_by_fault() {
    let faults = [
        ("nosniff", "api.nosniff"),
        ("csp", "api.csp"),
        ("frame", "api.frame"),
        ("referrer", "api.referrer"),
        ("banner", "api.banner"),
        ("version", "api.banner"),
        ("method", "api.method"),
        ("unknown", "api.unknown"),
        ("malformed", "api.malformed"),
        ("type", "api.content-type"),
        ("large", "api.body-size"),
        ("path", "api.path"),
        ("env", "api.path"),
        ("cors", "api.cors"),
        ("cookie", "api.cookie"),
        ("inside", "api.inside"),
        ("address", "api.rate-limit"),
        ("limit", "api.rate-limit"),
    ];
    run(Engine::Sqlite, |_| async move {
        let names: Vec<_> =
            ["none", "metrics"].into_iter().chain(faults.map(|(fault, _)| fault)).collect();
        let service = Service::start(&names, "http://127.0.0.1:3000").await;
        let scans = &service.scans;
        let signs_up = ("SCAN_SIGN_UP", "yes");
        let api = |code, fault: &str, more: &[(&str, &str)], words: &[&str]| {
            scans.expect(code, ("scan-api.sh", &[&service.url(fault)]), more, words)
        };

        let (result, _) = api(PASSED, "none", &[signs_up], &["没有高危问题", "✅ api.cookie"]);
        assert!(count(&result, "checks") > 50, "{result}");
        api(PASSED, "metrics", &[signs_up], &["⚠️ lower  api.metrics"]);
        for (fault, rule) in faults {
            let (_, words) = api(FAILED, fault, &[signs_up], &[&format!("❌ high  {rule}  ")]);
            let others: Vec<_> = words
                .lines()
                .filter(|line| line.trim_start().starts_with("❌ high") && !line.contains(rule))
                .collect();
            // A body that is too large is one of those that must be refused.
            assert!(others.is_empty() || fault == "large", "{fault}: {others:?}");
        }

        // HEALTH_URL says where it is; nothing is asked but that in a dry run. The log is written a little later.
        let health = [("HEALTH_URL", format!("{}/health", service.url("none")))];
        let log = scans.place.path().join("api.log");
        let lines = || -> Vec<String> {
            std::fs::read_to_string(&log).unwrap().lines().map(str::to_owned).collect()
        };
        let marks = || {
            lines()
                .iter()
                .filter(|line| line.contains("quotes.get") && line.contains("PATCH"))
                .count()
        };
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        for mark in 1..=2 {
            let url = format!("{}/api/trpc/quotes.get", service.url("none"));
            http.patch(url).send().await.unwrap();
            until("the log", PATIENCE, || marks() == mark);
            if mark == 1 {
                let dry = ("scan-api.sh", &["--dry-run"][..]);
                scans.expect(PASSED, dry, &borrowed(&health), &["什么都没有改变"]);
            }
        }
        let lines = lines();
        assert!(lines[lines.len() - 2].contains("\"route\":\"/health\""), "{lines:?}");
        assert!(lines[lines.len() - 3].contains("PATCH"), "{lines:?}");

        api(COULD_NOT_RUN, "none", &[], &["没有测试账号"]);
        let account = scans.secret("account", "nobody@example.com\nwrong-password\n");
        api(COULD_NOT_RUN, "none", &[("SCAN_USER_FILE", &account)], &["测试账号无法登录"]);
        std::fs::set_permissions(&account, std::fs::Permissions::from_mode(0o644)).unwrap();
        api(REFUSED, "none", &[("SCAN_USER_FILE", &account)], &["others may read", "chmod 600"]);
        api(COULD_NOT_RUN, "none", &[("SCAN_USER_FILE", "/nowhere")], &["无法读取"]);
        for program in ["bun", "curl"] {
            let path = scans.path_without(program);
            api(COULD_NOT_RUN, "none", &[("PATH", &path)], &["缺少程序", program]);
        }
        let nobody = ("scan-api.sh", &["http://127.0.0.1:9"][..]);
        scans.expect(COULD_NOT_RUN, nobody, &[signs_up], &["服务没有回答", "does not answer"]);
        scans.expect(REFUSED, ("scan-api.sh", &[]), &[], &["HEALTH_URL"]);
        scans.expect(
            REFUSED,
            ("scan-api.sh", &["ftp://127.0.0.1/$(id)"]),
            &[],
            &["不是 http(s) 地址"],
        );
    });
}

#[test]
fn authentication_is_compared_with_the_services_own_table() {
    let faults = [
        ("admin", "auth.matrix  GET /api/trpc/admin.users 匿名"),
        ("closed", "auth.matrix  GET /api/trpc/quotes.list 用户"),
        ("gone", "auth.matrix  GET /api/trpc/quotes.get 匿名"),
        ("session", "auth.matrix  GET /api/trpc/watchlist.list 已登出的会话"),
        ("revoked", "auth.matrix  GET /api/trpc/keys.whoami API 密钥"),
        ("origin", "auth.origin  POST /api/trpc/watchlist.add"),
        ("link", "auth.link  GET /api/trpc/watchlist.add"),
        ("owner", "auth.owner  /api/trpc/watchlist.list"),
        ("enumeration", "auth.enumeration"),
    ];
    run(Engine::Sqlite, |_| async move {
        let names: Vec<_> = ["none"].into_iter().chain(faults.map(|(fault, _)| fault)).collect();
        let service = Service::start(&names, "http://127.0.0.1:3000").await;
        let identities = service.identities().await;
        let everybody = borrowed(&identities);
        let scans = &service.scans;
        let auth = |code, fault: &str, more: &[(&str, &str)], words: &[&str]| {
            scans.expect(code, ("scan-auth.sh", &[&service.url(fault)]), more, words)
        };

        let (result, words) = auth(PASSED, "none", &everybody, &["没有高危问题"]);
        assert_eq!((count(&result, "routes"), count(&result, "identities")), (14, 10), "{words}");
        for (fault, found) in faults {
            auth(FAILED, fault, &everybody, &[&format!("❌ high  {found}")]);
        }
        let (_, words) = auth(FAILED, "admin", &everybody, &[]);
        for (name, file) in &everybody {
            let shown = name.ends_with("FILE").then(|| std::fs::read_to_string(file).unwrap());
            for secret in shown.iter().flat_map(|text| text.lines()) {
                assert!(!words.contains(secret), "{name}: {words}");
            }
        }

        // The table is asked of the service: what it lacks, and one that is none.
        let table = |need: &str| {
            let routes = format!(
                r#"{{"routes":[{{"method":"GET","path":"/health","need":"public"}},{{"method":"GET","path":"/api/trpc/quotes.list","need":{need}}}]}}"#
            );
            ("ACCESS_COMMAND", format!("cat {}", scans.secret("access.json", &routes)))
        };
        auth(
            FAILED,
            "none",
            &with(&everybody, &table("null")),
            &["❌ high  auth.table  GET /api/trpc/quotes.list  这个路由不在权限表里"],
        );
        auth(
            FAILED,
            "none",
            &with(&everybody, &table("\"admin\"")),
            &["❌ high  auth.matrix  GET /api/trpc/quotes.list 匿名"],
        );
        for text in ["{}", "[]", "not JSON", r#"{"routes":[{"method":"GET","path":"x y"}]}"#] {
            let table = ("ACCESS_COMMAND", format!("cat {}", scans.secret("access.json", text)));
            auth(COULD_NOT_RUN, "none", &with(&everybody, &table), &["⛔ auth.table"]);
        }
        for (command, words) in
            [("false", "读不到权限表"), ("true", "读不到权限表"), ("program-of-nobody", "缺少程序")]
        {
            auth(
                COULD_NOT_RUN,
                "none",
                &with(&everybody, &("ACCESS_COMMAND", command.to_owned())),
                &[words],
            );
        }

        // Whoever is missing makes it unknown.
        for missing in ["SCAN_SIGN_UP", "SCAN_ADMIN_FILE", "SCAN_KEY_FILE", "SCAN_REVOKED_KEY_FILE"]
        {
            let rest: Vec<_> =
                everybody.iter().copied().filter(|(name, _)| *name != missing).collect();
            auth(COULD_NOT_RUN, "none", &rest, &["缺少身份"]);
        }
        // Behind two colours it is the table of the one that serves.
        let upstream =
            scans.secret("upstream.conf", "upstream neostock_server { server 127.0.0.1:3001; }\n");
        let releases = scans.place.path().join("releases");
        std::fs::create_dir(&releases).unwrap();
        let folder = releases.display().to_string();
        let colours = [
            ("RELEASES_DIR", folder.as_str()),
            ("NGINX_UPSTREAM_FILE", upstream.as_str()),
            ("BLUE_PORT", "3001"),
            ("GREEN_PORT", "3002"),
            ("BLUE_WEB_PORT", "3011"),
            ("GREEN_WEB_PORT", "3012"),
        ];
        let live = [&everybody[..], &colours].concat();
        auth(COULD_NOT_RUN, "none", &live, &["没有线上版本的目录", "/releases/blue"]);
        std::os::unix::fs::symlink(scans.repository(), releases.join("blue")).unwrap();
        auth(PASSED, "none", &live, &["/releases/blue 的权限表"]);

        let nobody = ("scan-auth.sh", &["http://127.0.0.1:9"][..]);
        scans.expect(COULD_NOT_RUN, nobody, &everybody, &["服务没有回答"]);
        let before = scans.state();
        let url = service.url("none");
        scans.expect(
            PASSED,
            ("scan-auth.sh", &["--dry-run", &url]),
            &everybody,
            &["什么都没有改变"],
        );
        assert_eq!(scans.state(), before);
    });
}

/// Certificates of a CA of the test's own, one for each way in which they can be wrong.
fn certificates(scans: &Scans) {
    let folder = scans.place.path().join("tls");
    std::fs::create_dir(&folder).unwrap();
    let openssl = |arguments: &str| {
        let mut command = Command::new("openssl");
        command.args(arguments.split(' ')).current_dir(&folder).stdin(Stdio::null());
        let output = command.output().unwrap();
        assert!(output.status.success(), "{arguments}: {}", said(&output));
    };
    openssl(
        "req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -days 3650 -subj /CN=Test",
    );
    openssl(
        "req -x509 -newkey rsa:2048 -nodes -keyout self.key -out self.pem -days 90 -subj /CN=localhost -addext subjectAltName=DNS:localhost",
    );
    let kinds = [
        ("good", "localhost", 90, "rsa:2048"),
        ("soon", "localhost", 5, "rsa:2048"),
        ("expired", "localhost", -1, "rsa:2048"),
        ("name", "elsewhere", 90, "rsa:2048"),
        ("short", "localhost", 90, "rsa:1024"),
    ];
    for (name, host, days, key) in kinds {
        std::fs::write(folder.join("extensions"), format!("subjectAltName=DNS:{host}")).unwrap();
        openssl(&format!(
            "req -newkey {key} -nodes -keyout {name}.key -out {name}.csr -subj /CN={host}"
        ));
        openssl(&format!(
            "x509 -req -in {name}.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days {days} -extfile extensions -out {name}.pem"
        ));
    }
}

/// nginx with TLS before the service, a port for each case: certificate, further lines, which proxy.
fn serve_tls(service: &mut Service, cases: &[(&str, &str, &str, &str)]) -> BTreeMap<String, u16> {
    let folder = service.scans.place.path().join("nginx");
    std::fs::create_dir(&folder).unwrap();
    let (dir, tls) = (folder.display(), service.scans.place.path().join("tls"));
    let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("{kind}_temp_path {dir}/{kind};"))
        .join(" ");
    let mut ports = BTreeMap::new();
    let mut servers = String::new();
    for (name, certificate, lines, fault) in cases {
        let port = free_port();
        ports.insert((*name).to_owned(), port);
        let server = format!(
            "server {{ listen 127.0.0.1:{port} ssl; ssl_certificate {tls}/{certificate}.pem; ssl_certificate_key {tls}/{certificate}.key; {lines}\n\
             location / {{ proxy_pass {}; proxy_set_header Host $http_host; }} }}\n",
            service.url(fault),
            tls = tls.display()
        );
        servers.push_str(&server);
    }
    let text = format!(
        "daemon off; pid {dir}/pid; worker_processes 1;\nevents {{}}\nhttp {{ access_log off; server_tokens off; {temporary}\n{servers} }}\n"
    );
    std::fs::write(folder.join("nginx.conf"), text).unwrap();
    let mut command = Command::new("/usr/sbin/nginx");
    command
        .args(["-p", folder.to_str().unwrap(), "-e", "error.log", "-c", "nginx.conf"])
        .current_dir(&folder);
    service.nginx = Some(command.stdin(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
    for port in ports.values() {
        until("nginx", PATIENCE, || std::net::TcpStream::connect(("127.0.0.1", *port)).is_ok());
    }
    ports
}

#[test]
fn encryption_is_looked_at_on_the_way_and_in_the_database() {
    const MODERN: &str = "ssl_protocols TLSv1.2 TLSv1.3; ssl_ciphers ECDHE+AESGCM;";
    const HSTS: &str = "add_header Strict-Transport-Security \"max-age=31536000\" always;";
    run(Engine::Sqlite, |_| async move {
        let mut service = Service::start(&["none", "insecure"], "https://localhost").await;
        service.identities().await;
        certificates(&service.scans);
        let good = format!("{MODERN} {HSTS}");
        let old =
            format!("ssl_protocols TLSv1 TLSv1.1 TLSv1.2; ssl_ciphers ALL:@SECLEVEL=0; {HSTS}");
        let weak = format!(
            "ssl_protocols TLSv1.2; ssl_ciphers ECDHE+AESGCM:NULL-SHA256:@SECLEVEL=0; {HSTS}"
        );
        let short = format!("ssl_protocols TLSv1.2; ssl_ciphers ECDHE+AESGCM:@SECLEVEL=0; {HSTS}");
        let ports = serve_tls(
            &mut service,
            &[
                ("good", "good", &good, "none"),
                ("soon", "soon", &good, "none"),
                ("expired", "expired", &good, "none"),
                ("name", "name", &good, "none"),
                ("self", "self", &good, "none"),
                ("short", "short", &short, "none"),
                ("old", "good", &old, "none"),
                ("weak", "good", &weak, "none"),
                ("hsts", "good", MODERN, "none"),
                ("cookie", "good", &good, "insecure"),
            ],
        );
        let scans = &service.scans;
        let backups = scans.place.path().join("backups");
        std::fs::create_dir(&backups).unwrap();
        std::fs::set_permissions(&backups, std::fs::Permissions::from_mode(0o700)).unwrap();
        let (backups, ca) = (
            backups.display().to_string(),
            scans.place.path().join("tls/ca.pem").display().to_string(),
        );
        let usual = [
            ("SCAN_SIGN_UP", "yes"),
            ("API_CA_FILE", ca.as_str()),
            ("BACKUP_DIR", backups.as_str()),
        ];
        let crypto = |code, case: &str, more: &[(&str, &str)], words: &[&str]| {
            let target = format!("localhost:{}", ports[case]);
            let settings: Vec<_> = usual.iter().copied().chain(more.iter().copied()).collect();
            scans.expect(code, ("scan-crypto.sh", &[&target]), &settings, words)
        };

        let words = [
            "accounts.password (argon2id ",
            "api_keys (2)",
            "不离开本机",
            "✅ crypto.hsts",
            "✅ crypto.cookie",
        ];
        let (result, _) = crypto(PASSED, "good", &[], &words);
        assert!((88..=90).contains(&count(&result, "certificate_days")), "{result}");
        crypto(PASSED, "soon", &[], &["⚠️ lower  crypto.certificate"]);
        for (case, found) in [
            ("expired", "crypto.certificate"),
            ("name", "crypto.name"),
            ("self", "crypto.chain"),
            ("short", "crypto.key"),
            ("old", "crypto.protocol  localhost:"),
            ("weak", "crypto.cipher"),
            ("hsts", "crypto.hsts"),
            ("cookie", "crypto.cookie"),
        ] {
            crypto(FAILED, case, &[], &[&format!("❌ high  {found}")]);
        }

        // What the database keeps: one fault at a time, and no secret of it is shown.
        let mut raw = service.database.raw().await;
        for (change, back, found) in [
            ("update accounts set password = 'correct-horse-7'", "", "crypto.password"),
            ("update accounts set password = md5('x')", "", "crypto.password"),
            ("update accounts set password = '$2b$05$' || repeat('a', 53)", "", "crypto.password"),
            (
                "update accounts set password = '$argon2id$v=19$' || id; update api_keys set key_sha256 = 'nsk_' || repeat('k', 42) || id",
                "update api_keys set key_sha256 = encode(sha256(id::text::bytea), 'hex')",
                "crypto.key-hash",
            ),
        ] {
            sqlx::raw_sql(sqlx::AssertSqlSafe(change)).execute(&mut raw).await.unwrap();
            let (_, words) = crypto(
                FAILED,
                "good",
                &[("SCAN_SIGN_UP", "no"), ("SCAN_USER_FILE", "")],
                &[&format!("❌ high  {found}")],
            );
            assert!(!words.contains("correct-horse-7") && !words.contains("kkkkkk"), "{words}");
            if !back.is_empty() {
                sqlx::raw_sql(sqlx::AssertSqlSafe(back)).execute(&mut raw).await.unwrap();
            }
        }
        let open = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(&backups, open).unwrap();
        crypto(FAILED, "good", &[], &["❌ high  crypto.backup"]);
        std::fs::set_permissions(&backups, std::fs::Permissions::from_mode(0o700)).unwrap();

        crypto(COULD_NOT_RUN, "good", &[("PGPORT", "9")], &["⛔ crypto.database"]);
        crypto(
            COULD_NOT_RUN,
            "good",
            &[("PASSWORD_COLUMN", "people.word")],
            &["⛔ crypto.password"],
        );
        crypto(
            COULD_NOT_RUN,
            "good",
            &[("PASSWORD_COLUMN", "a.b; drop table users")],
            &["⛔ crypto.settings"],
        );
        crypto(COULD_NOT_RUN, "good", &[("KEY_COLUMN", "keys.hash")], &["⛔ crypto.key-hash"]);
        crypto(COULD_NOT_RUN, "good", &[("BACKUP_DIR", "/nowhere")], &["⛔ crypto.backup"]);
        crypto(COULD_NOT_RUN, "good", &[("SCAN_SIGN_UP", "no")], &["⛔ crypto.cookie"]);
        for program in ["openssl", "psql", "bun"] {
            let path = scans.path_without(program);
            crypto(COULD_NOT_RUN, "good", &[("PATH", &path)], &["缺少程序", program]);
        }
        scans.expect(
            COULD_NOT_RUN,
            ("scan-crypto.sh", &["127.0.0.1:9"]),
            &usual,
            &["⛔ crypto.tls"],
        );
        scans.expect(COULD_NOT_RUN, ("scan-crypto.sh", &[]), &usual, &["CRYPTO_URL"]);
        scans.expect(REFUSED, ("scan-crypto.sh", &["http://localhost"]), &usual, &["用法见"]);
        scans.expect(
            PASSED,
            ("scan-crypto.sh", &["--dry-run", "localhost:9"]),
            &usual,
            &["什么都没有改变"],
        );
    });
}

#[test]
fn every_scan_explains_itself_in_both_languages() {
    let scans = Scans::new();
    for (script, arguments) in SCANS {
        let help = said(&scans.output(script, &["--help"], &[]));
        for words in [script, "--dry-run", "退出码 / exit code: 0", "69 未能", "129 130 143"] {
            assert!(help.contains(words), "{script}: {words}: {help}");
        }
        let two = [arguments, arguments].concat();
        scans.expect(REFUSED, (script, &two), &[], &["参数个数不对"]);
    }
}

#[test]
fn scans_are_asked_for_in_chat_and_by_the_checklist() {
    run(Engine::Sqlite, |database| async move {
        let parts = Parts::new().await;
        let runbook = std::fs::read_to_string(parts.place.runbook()).unwrap();
        // Without its database the scanner of dependencies knows nothing.
        let known =
            runbook.lines().find(|line| line.trim_start().starts_with("SCAN_COMMAND:")).unwrap();
        let unknown = "      BUN_CONFIG_REGISTRY: \"http://127.0.0.1:9/\"";
        let place = Place::new("");
        std::fs::write(place.runbook(), runbook.replace(known, unknown)).unwrap();
        let bot = Bot::in_workspace(&database, place, Options::default()).await;

        bot.say("U0ANN", "scan sast").await;
        let card = bot.until_card("✅ 安全扫描 sast 通过（HEAD）").await;
        assert!(card.contains("SAST（HEAD）：7 项检查，没有高危问题"), "{card}");
        bot.say("U0ANN", "scan sca v1.1.0").await;
        let card = bot.until_card("❌ 安全扫描 sca 未通过或未能执行").await;
        assert!(card.contains("扫描报告无法读取"), "{card}");
        bot.say("U0ANN", "scan crypto").await;
        let card = bot.until_card("❌ 安全扫描 crypto 未通过或未能执行").await;
        assert!(card.contains("没有 TLS 地址"), "{card}");

        // The list runs all six, and what could not be run blocks: nothing of this service runs yet.
        bot.say("U0ANN", "security-review v1.1.0").await;
        let card = bot.until_card("⛔ 5 项不通过").await;
        for words in [
            "安全扫描检查清单 1/6",
            "SAST（v1.1.0）：7 项检查，没有高危问题",
            "扫描报告无法读取",
            "没有 Dockerfile",
            "服务没有回答",
            "没有 TLS 地址",
        ] {
            assert!(card.contains(words), "{words}: {card}");
        }
        bot.finish().await;
    });
}
