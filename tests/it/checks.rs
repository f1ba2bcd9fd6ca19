//! The checks behind the deploy's checklist: what they pass, what they fail, and what they could not run, on
//! the real programs; that they leave nothing behind.

use crate::harness::database::{Engine, run};
use crate::harness::looks::{Looks, until};
use crate::harness::parts::{Parts, figure, result_of, said, signal_tree};
use axum::Router;
use axum::routing::post;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use sqlx::{AssertSqlSafe, Row};
use std::fs::{File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

const PASSED: i32 = 0;
const FAILED: i32 = 1;
const REFUSED: i32 = 2;
const COULD_NOT_RUN: i32 = 69;
const STOPPED_BY_TERM: i32 = 143;
/// How long a check may take to come to where a test wants it, or to end.
const PATIENCE: Duration = Duration::from_secs(30);

/// Every check, with arguments that fit.
const CHECKS: [(&str, &[&str]); 7] = [
    ("check-tests.sh", &["v1.2.0"]),
    ("check-vulnerabilities.sh", &["v1.2.0"]),
    ("check-performance.sh", &["v1.2.0"]),
    ("check-migrations.sh", &["v1.2.0", "v1.1.0"]),
    ("check-rollback-plan.sh", &["v1.2.0", "v1.1.0"]),
    ("check-alerting.sh", &["v1.2.0"]),
    ("check-balancer.sh", &[]),
];

/// Parts with a folder of their own for what is temporary, and the bot's program for check-alerting.sh.
struct Checks {
    parts: Parts,
    temporary: PathBuf,
}

impl Checks {
    async fn new() -> Self {
        let parts = Parts::new().await;
        let temporary = parts.place.path().join("temporary");
        std::fs::create_dir(&temporary).unwrap();
        Self { parts, temporary }
    }

    fn settings<'s>(&'s self, more: &[(&'s str, &'s str)]) -> Vec<(&'s str, &'s str)> {
        let own = [
            ("TMPDIR", self.temporary.to_str().unwrap()),
            ("NEOSTOCK_OPS", env!("CARGO_BIN_EXE_neostock-ops")),
        ];
        own.into_iter().chain(more.iter().copied()).collect()
    }

    /// Runs a check; its exit code and its result line must agree, and nothing may be left.
    fn check(&self, script: &str, arguments: &[&str], more: &[(&str, &str)]) -> (i32, String) {
        let worktrees = self.worktrees();
        let output = self.parts.by_hand(script, arguments, &self.settings(more));
        let (code, words) = (output.status.code().unwrap(), said(&output));
        let outcome = match code {
            PASSED => "passed",
            FAILED => "failed",
            _ => "could_not_run",
        };
        let result = result_of(&output);
        assert_eq!(result["outcome"], outcome, "{script} {arguments:?}: {code}: {words}");
        self.assert_nothing_left(script);
        assert_eq!(self.worktrees(), worktrees, "{script}");
        (code, words)
    }

    /// Runs a check that must end so, in these words.
    fn expect(
        &self,
        code: i32,
        (script, arguments): (&str, &[&str]),
        more: &[(&str, &str)],
        words: &[&str],
    ) -> String {
        let (found, text) = self.check(script, arguments, more);
        assert_eq!(found, code, "{script} {arguments:?} {more:?}: {text}");
        for word in words {
            assert!(text.contains(word), "{script} {arguments:?} {more:?}: {word}: {text}");
        }
        text
    }

    fn assert_nothing_left(&self, script: &str) {
        let left: Vec<_> = std::fs::read_dir(&self.temporary).unwrap().collect();
        assert!(left.is_empty(), "{script} leaves {left:?}");
    }

    /// How many the repository knows.
    fn worktrees(&self) -> usize {
        let folder = self.parts.repository().join(".git/worktrees");
        std::fs::read_dir(folder).map_or(0, Iterator::count)
    }

    async fn sql(&self, statements: &[&str]) {
        let mut raw = self.parts.database.raw().await;
        for statement in statements {
            let query = sqlx::query(AssertSqlSafe((*statement).to_owned()));
            query.execute(&mut raw).await.unwrap();
        }
    }

    /// Every table of the real database, and what stands in two of them.
    async fn facts(&self) -> String {
        let mut raw = self.parts.database.raw().await;
        let query = sqlx::query(
            "select (select string_agg(oid::text || relname, ' ' order by oid) from pg_class \
             where relnamespace = 'public'::regnamespace) || (select string_agg(q::text, ' ') from quotes q) \
             || (select string_agg(m::text, ' ') from migrations m)",
        );
        query.fetch_one(&mut raw).await.unwrap().get(0)
    }

    async fn has_database(&self, name: &str) -> bool {
        let mut raw = self.parts.database.raw().await;
        let query = sqlx::query("select count(*) from pg_database where datname = $1").bind(name);
        query.fetch_one(&mut raw).await.unwrap().get::<i64, _>(0) > 0
    }
}

/// A figure of the result line that stands in these words.
fn figure_in(words: &str, name: &str) -> f64 {
    let line = words.lines().find(|line| line.starts_with("{\"result\":"));
    figure(&serde_json::from_str(line.unwrap()).unwrap(), name)
}

/// The scratch database that a check of migrations names.
fn copy_in(words: &str) -> String {
    let at = words.find("neostock_check_").unwrap_or_else(|| panic!("no copy: {words}"));
    words[at..].split_whitespace().next().unwrap().to_owned()
}

#[test]
fn suites_pass_or_fail_by_what_really_ran() {
    run(Engine::Sqlite, |_| async move {
        let checks = Checks::new().await;
        let parts = &checks.parts;
        // What is checked out is not what is checked: v1.3.0 stands there, and even that is broken.
        parts.write("tests/unit/version.test.ts", "not a test");

        let good = ("check-tests.sh", &["v1.2.0"][..]);
        let words = checks.expect(
            PASSED,
            good,
            &[],
            &["✅ 测试全部通过：4 个测试（test:unit test:integration test:e2e）"],
        );
        for suite in ["test:unit：1 个", "test:integration：2 个", "test:e2e：1 个"] {
            assert!(words.contains(suite), "{words}");
        }
        for (name, count) in
            [("tests", 4.0), ("failed", 0.0), ("unit_tests", 1.0), ("integration_tests", 2.0)]
        {
            assert!((figure_in(&words, name) - count).abs() < 0.5, "{name}: {words}");
        }
        let words = [
            "❌ 测试未通过：test:integration（4 个测试中 1 个未通过） / the tests failed: test:integration (1 of 4 tests)\n",
            "Received: 503",
            "test:e2e：1 个测试通过",
        ];
        checks.expect(FAILED, ("check-tests.sh", &["v1.3.0"]), &[], &words);

        // The tests' own database reaches them; the real one never does, which a test of v1.2.0 asserts.
        let database = [
            ("TEST_DATABASE_URL", "postgres://tests@127.0.0.1/tests"),
            ("CHECK_VARIABLES", "SOMETHING"),
        ];
        checks.expect(PASSED, good, &database, &[]);

        let suites = |names| [("TEST_SUITES", names)];
        let words = ["没有这些脚本：test:load test:ui", "has no script: test:load test:ui\n"];
        checks.expect(COULD_NOT_RUN, good, &suites("test:unit test:load test:ui"), &words);
        checks.expect(REFUSED, good, &suites(" "), &["TEST_SUITES 是空的"]);

        parts.run("git", &["checkout", "--quiet", "--force", "v1.2.0"]);
        let package = std::fs::read_to_string(parts.repository().join("package.json")).unwrap();
        let more = "\"scripts\": {\n    \"test:none\": \"bun test tests/nowhere\",\n    \
                    \"test:skipped\": \"bun test tests/skipped\",\n    \"test:silent\": \"true\",\n    \
                    \"test:absent\": \"playwright-of-nobody test\",\n    \"test:killed\": \"kill -KILL $$\",\n";
        parts.write("package.json", &package.replace("\"scripts\": {\n", more));
        let skipped = "import { test } from \"bun:test\";\ntest.skip(\"later\", () => {});\n";
        parts.write("tests/skipped/later.test.ts", skipped);
        parts.commit("v1.4.0");
        let odd = ("check-tests.sh", &["v1.4.0"][..]);
        for (suite, words) in [
            ("test:none", "没有测试"),
            ("test:skipped", "一个测试也没有执行"),
            ("test:silent", "一个测试也没有执行"),
            ("test:absent", "程序缺失或被终止"),
            ("test:killed", "程序缺失或被终止"),
        ] {
            let words = [words, "nothing of the tests was really run"];
            checks.expect(COULD_NOT_RUN, odd, &suites(suite), &words);
        }
        // One that failed has failed, whatever else could not be run.
        parts.write("tests/unit/version.test.ts", "not a test");
        parts.commit("v1.5.0");
        let words = [
            "测试未通过：test:unit；未能执行：test:none（",
            "the tests failed: test:unit; could not be run: test:none (",
        ];
        let wrong = ("check-tests.sh", &["v1.5.0"][..]);
        checks.expect(FAILED, wrong, &suites("test:none test:unit"), &words);

        std::fs::remove_file(parts.repository().join("bun.lock")).unwrap();
        parts.commit("v1.6.0");
        let unlocked = ("check-tests.sh", &["v1.6.0"][..]);
        checks.expect(COULD_NOT_RUN, unlocked, &[], &["没有提交 bun.lock"]);
    });
}

#[test]
fn a_benchmark_is_the_performance_suites_own() {
    run(Engine::Sqlite, |_| async move {
        let checks = Checks::new().await;
        let parts = &checks.parts;
        let good = ("check-performance.sh", &["v1.2.0"][..]);
        checks.expect(
            PASSED,
            good,
            &[],
            &["test:performance：1 个测试通过", "✅ 性能基准全部通过"],
        );

        let file = "tests/performance/response-time.test.ts";
        let text = std::fs::read_to_string(parts.repository().join(file)).unwrap();
        parts.write(file, &text.replace("P99_MS_MAX = 5_000", "P99_MS_MAX = 0"));
        parts.commit("v1.4.0");
        let slow = ("check-performance.sh", &["v1.4.0"][..]);
        checks.expect(FAILED, slow, &[], &["❌ 性能基准未通过：test:performance", "toBeLessThan"]);

        let suite = [("PERFORMANCE_SUITE", "bench")];
        checks.expect(COULD_NOT_RUN, good, &suite, &["has no script: bench"]);
    });
}

#[test]
fn a_scanners_report_decides_and_its_exit_code_does_not() {
    run(Engine::Sqlite, |_| async move {
        let checks = Checks::new().await;
        let scan = |code: i32, report: &str, exit_code: i32, words: &[&str]| {
            let file = checks.parts.place.path().join("report.json");
            std::fs::write(&file, report).unwrap();
            let scanner = checks.parts.place.path().join("scanner.sh");
            std::fs::write(&scanner, format!("cat \"$1\"\nexit {exit_code}\n")).unwrap();
            let command = format!("sh {} {}", scanner.display(), file.display());
            let version = ("check-vulnerabilities.sh", &["v1.2.0"][..]);
            checks.expect(code, version, &[("SCAN_COMMAND", &command)], words)
        };

        let bun = r#"{"ms": [{"id": 1, "url": "https://github.com/advisories/GHSA-aaaa", "title": "Slow", "severity": "SEV", "vulnerable_versions": "<2.1.0"}]}"#;
        let npm = r#"{"auditReportVersion": 2, "vulnerabilities": {
            "ms": {"name": "ms", "severity": "SEV", "via": [{"source": 1, "url": "https://github.com/advisories/GHSA-aaaa", "title": "Slow"}], "range": "<2.1.0"},
            "debug": {"name": "debug", "severity": "low", "via": ["ms"], "range": "*"}}}"#;
        let old = r#"{"advisories": {"1": {"id": 1, "module_name": "ms", "severity": "SEV", "title": "Slow", "url": "https://npmjs.com/advisories/1", "vulnerable_versions": "<2.1.0"}}, "metadata": {}}"#;
        for (format, id, lower) in [(bun, "GHSA-aaaa", 0), (npm, "GHSA-aaaa", 1), (old, "1", 0)] {
            for severity in ["high", "critical"] {
                let report = format.replace("SEV", severity);
                let line = format!("{severity}  {id}  ms <2.1.0  Slow");
                let closing = format!(
                    "❌ v1.2.0 有 1 个高危漏洞（较低的 {lower} 个） / v1.2.0 has 1 high or critical findings (and {lower} lower)"
                );
                scan(FAILED, &report, 0, &[&line, &closing]);
                scan(FAILED, &report, 1, &[&line]);
            }
            let closing = format!("✅ v1.2.0 没有高危漏洞（较低的 {} 个）", lower + 1);
            scan(PASSED, &format.replace("SEV", "moderate"), 1, &[&closing]);
            scan(
                COULD_NOT_RUN,
                &format.replace("SEV", "awful"),
                1,
                &["an unknown severity: awful"],
            );
        }
        let many = (0..30).map(|id| format!(r#"{{"id": {id}, "severity": "high", "title": "T"}}"#));
        let many = format!(r#"{{"ms": [{}]}}"#, many.collect::<Vec<_>>().join(","));
        let words = scan(FAILED, &many, 1, &["有 30 个高危漏洞", "… 10\n"]);
        assert_eq!(words.matches("high  ").count(), 20, "{words}");

        let sarif = |results: &str, score: &str| {
            format!(
                r#"{{"version": "2.1.0", "runs": [{{"tool": {{"driver": {{"name": "semgrep", "rules": [
                    {{"id": "sqli", "defaultConfiguration": {{"level": "error"}}}},
                    {{"id": "weak", "properties": {{"security-severity": "{score}"}}}}]}}}},
                    "results": [{results}]}}]}}"#
            )
        };
        let result = |id: &str, rest: &str| {
            format!(
                r#"{{"ruleId": "{id}", "message": {{"text": "Look\u001b[2J here"}}, {rest}
                    "locations": [{{"physicalLocation": {{"artifactLocation": {{"uri": "apps/server/src/db.ts"}}, "region": {{"startLine": 7}}}}}}]}}"#
            )
        };
        let sqli = sarif(&result("sqli", ""), "0");
        scan(FAILED, &sqli, 0, &["error  sqli  apps/server/src/db.ts:7  Look [2J here"]);
        scan(FAILED, &sarif(&result("weak", ""), "7.0"), 0, &["warning 7  weak  apps/server"]);
        scan(PASSED, &sarif(&result("weak", ""), "6.9"), 1, &["(lower: 1)"]);
        scan(PASSED, &sarif(&result("sqli", r#""level": "note","#), "0"), 0, &["(lower: 1)"]);
        let accepted = r#""suppressions": [{"kind": "inSource"}],"#;
        scan(PASSED, &sarif(&result("sqli", accepted), "0"), 0, &["(lower: 0)"]);
        let under_review = r#""suppressions": [{"kind": "external", "status": "underReview"}],"#;
        scan(FAILED, &sarif(&result("sqli", under_review), "0"), 0, &[]);
        let part = result("sqli", r#""kind": "open","#).replace("sqli", "sqli/where");
        scan(FAILED, &sarif(&part, "0"), 0, &["error  sqli/where"]);
        let gone = r#""baselineState": "absent","#;
        scan(PASSED, &sarif(&result("sqli", gone), "0"), 0, &["(lower: 0)"]);
        scan(COULD_NOT_RUN, &sarif(&result("weak", ""), "worst"), 0, &["an unknown score: worst"]);
        let level = r#""level": "fatal","#;
        scan(COULD_NOT_RUN, &sarif(&result("weak", level), "0"), 0, &["an unknown level: fatal"]);
        scan(PASSED, &sarif("", "0"), 0, &["(lower: 0)"]);
        let fell = sarif("", "0").replace(
            "\"results\"",
            "\"invocations\": [{\"executionSuccessful\": false}], \"results\"",
        );
        scan(COULD_NOT_RUN, &fell, 0, &["semgrep says that it did not succeed"]);

        // Nothing found, says a scanner that fell over.
        let words = "报告没有发现任何问题，扫描器却以 3 退出";
        scan(COULD_NOT_RUN, &sarif("", "0"), 3, &[words]);
        for (report, words) in [
            ("", "the report is empty"),
            ("  \n", "the report is empty"),
            ("{}", "the report says nothing"),
            ("[]", "not a JSON object"),
            ("null", "not a JSON object"),
            ("found 0 vulnerabilities", "the report is not JSON: found 0"),
            (&npm[..40], "the report is not JSON"),
            (r#"{"version": "2.1.0", "runs": []}"#, "no run of a scanner"),
            (
                r#"{"version": "2.1.0", "runs": [{"tool": {"driver": {"name": "x"}}}]}"#,
                "gives no results",
            ),
            (r#"{"ok": true}"#, "neither npm's, bun's nor SARIF"),
            (r#"{"ms": [null]}"#, "no advisory of ms"),
            (
                r#"{"error": {"code": "ENOLOCK", "summary": "needs a lock file"}}"#,
                "ENOLOCK: needs a lock",
            ),
        ] {
            scan(COULD_NOT_RUN, report, 0, &["扫描报告无法读取", words]);
        }
    });
}

/// A registry that knows nothing but advisories, and says these.
async fn registry(advisories: &'static str) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let path = "/-/npm/v1/security/advisories/bulk";
    let answer = move || async move { ([("content-type", "application/json")], advisories) };
    let router = Router::new().route(path, post(answer));
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    url
}

#[test]
fn bun_and_npm_audit_are_read_and_without_a_network_they_say_nothing() {
    run(Engine::Sqlite, |_| async move {
        let checks = Checks::new().await;
        let parts = &checks.parts;
        // Locked by hand: nothing is fetched for it.
        let lock = r#"{"lockfileVersion": 1, "workspaces": {"": {"name": "neostock", "dependencies": {"ms": "2.0.0"}}},
            "packages": {"ms": ["ms@2.0.0", "", {}, "sha512-Tpp60P6IUJDTuOq/5Z8cdskzJujfwqfOTkrwIwj7IRISpnkJnT6SyJ4PCPnGMoFjC9ddhal5KVIYtAt97ix05A=="]}}"#;
        let package = r#"{"name": "neostock", "private": true, "dependencies": {"ms": "2.0.0"}, "scripts": {"test:unit": "bun test"}}"#;
        let npm_lock = r#"{"name": "neostock", "lockfileVersion": 3, "packages": {"": {"name": "neostock", "dependencies": {"ms": "2.0.0"}},
            "node_modules/ms": {"version": "2.0.0", "resolved": "https://registry.npmjs.org/ms/-/ms-2.0.0.tgz"}}}"#;
        parts.write("bun.lock", lock);
        parts.write("package.json", package);
        parts.write("package-lock.json", npm_lock);
        parts.commit("v1.4.0");
        let version = ("check-vulnerabilities.sh", &["v1.4.0"][..]);
        let npm = ("SCAN_COMMAND", "npm audit --json --fetch-retries=0");
        let at = |url: &str| {
            [("BUN_CONFIG_REGISTRY", url.to_owned()), ("npm_config_registry", url.to_owned())]
        };

        let high = r#"{"ms": [{"id": 1, "url": "https://github.com/advisories/GHSA-w9mr", "title": "Inefficient", "severity": "high", "vulnerable_versions": "<2.1.0", "cwe": [], "cvss": {"score": 7.5}}]}"#;
        for (answer, code, words) in [
            (high, FAILED, "high  GHSA-w9mr  ms <2.1.0  Inefficient"),
            ("{}", PASSED, "✅ v1.4.0 没有高危漏洞"),
            ("<html>", COULD_NOT_RUN, "扫描报告无法读取"),
        ] {
            let [bun_at, npm_at] = at(&registry(answer).await);
            checks.expect(code, version, &[("BUN_CONFIG_REGISTRY", &bun_at.1)], &[words]);
            if code != COULD_NOT_RUN {
                checks.expect(code, version, &[npm, ("npm_config_registry", &npm_at.1)], &[]);
            }
        }
        let [bun_at, npm_at] = at("http://127.0.0.1:9/");
        let words = ["ConnectionRefused", "扫描报告无法读取"];
        checks.expect(COULD_NOT_RUN, version, &[("BUN_CONFIG_REGISTRY", &bun_at.1)], &words);
        let nowhere = [npm, ("npm_config_registry", npm_at.1.as_str())];
        checks.expect(COULD_NOT_RUN, version, &nowhere, &["扫描报告无法读取"]);
        // Without a lock file npm has nothing to look at, and says so in JSON.
        checks.expect(
            COULD_NOT_RUN,
            ("check-vulnerabilities.sh", &["v1.2.0"]),
            &nowhere,
            &["ENOLOCK"],
        );
        // Nor can anything be installed.
        let offline = [("BUN_CONFIG_REGISTRY", bun_at.1.as_str()), ("TEST_SUITES", "test:unit")];
        let words = ["ConnectionRefused", "依赖安装失败"];
        checks.expect(COULD_NOT_RUN, ("check-tests.sh", &["v1.4.0"]), &offline, &words);
    });
}

/// The database as v1.1.0 has left it, with something in it.
const STATE_OF_V1_1_0: [&str; 4] = [
    "create table migrations (id text primary key, number bigserial unique)",
    "insert into migrations values ('0001')",
    "create table quotes (symbol text primary key, price bigint not null)",
    "insert into quotes values ('S1', 100)",
];

#[test]
fn migrations_go_up_down_and_up_again_on_a_copy_alone() {
    run(Engine::Sqlite, |_| async move {
        let checks = Checks::new().await;
        let check = |version: &str, live: &str, more: &[(&str, &str)], words: &[&str]| {
            let words = [words, &["✅ 迁移可以执行、撤销、再执行"]].concat();
            checks.expect(PASSED, ("check-migrations.sh", &[version, live]), more, &words)
        };

        // A database that has nothing, and no version that is live.
        let back = "▶ 回滚：bun run --cwd apps/server db:rollback --to=";
        checks.expect(PASSED, ("check-migrations.sh", &["v1.2.0"]), &[], &[back]);
        check("v1.2.0", "", &[], &[back]);

        checks.sql(&STATE_OF_V1_1_0).await;
        let before = checks.facts().await;
        let words = check("v1.2.0", "v1.1.0", &[], &["--to=v1.1.0\n", "副本含表结构和数据"]);
        assert!(!checks.has_database(&copy_in(&words)).await, "{words}");
        // The newest tag before it is the right guess.
        check("v1.2.0", "", &[], &["--to=v1.1.0\n"]);
        check("v1.2.0", "v1.1.0", &[("COPY_MB_MAX", "1")], &["副本含表结构和 migrations"]);
        // What the real one holds was only read.
        assert_eq!(checks.facts().await, before);

        // What a deploy that never went live has left is no fault of the migrations.
        checks
            .sql(&[
                "insert into migrations values ('0002')",
                "create table alerts (id bigint primary key)",
            ])
            .await;
        let words = ["⚠️ 真实数据库里已有这些迁移", "▶ 再次回滚"];
        check("v1.2.0", "v1.1.0", &[], &words);
        // Nothing says what was before, and the guess is wrong.
        checks.sql(&["drop table quotes, alerts", "truncate migrations"]).await;
        let guess = ("check-migrations.sh", &["v1.3.0"][..]);
        let words = ["--to=v1.2.0\n", "+CREATE TABLE public.quotes", "请给出线上版本"];
        checks.expect(COULD_NOT_RUN, guess, &[], &words);
    });
}

#[test]
fn migrations_that_do_not_go_both_ways_fail_and_say_where() {
    run(Engine::Sqlite, |_| async move {
        let checks = Checks::new().await;
        let parts = &checks.parts;
        checks.sql(&STATE_OF_V1_1_0).await;
        let before = checks.facts().await;
        let check = |code: i32, version: &str, more: &[(&str, &str)], words: &[&str]| {
            checks.expect(code, ("check-migrations.sh", &[version, "v1.1.0"]), more, words)
        };
        let migrate = |tag: &str, up: &str, down: &str| {
            parts.run("git", &["checkout", "--quiet", "--force", "v1.2.0"]);
            parts.write("apps/server/db/0003.up.sql", up);
            if !down.is_empty() {
                parts.write("apps/server/db/0003.down.sql", down);
            }
            parts.commit(tag);
        };

        let index = "create index quotes_price on quotes (price);\n";
        migrate("v2.0", index, "");
        let words = ["   apps/server/db/0003.up.sql\n", "的 1 个迁移没有 .down.sql"];
        check(FAILED, "v2.0", &[], &words);
        // For that it takes no database.
        check(FAILED, "v2.0", &[("PGPORT", "9")], &words);
        migrate("v2.1", index, "-- nothing\n/* at; all */ ;\n");
        check(FAILED, "v2.1", &[], &words);
        migrate("v2.2", index, "select 1;\n");
        let words = ["+CREATE INDEX quotes_price", "❌ 回滚之后与迁移之前的表结构不同"];
        check(FAILED, "v2.2", &[], &words);
        // What only fails where there is data, fails.
        let column = "alter table quotes add column note text not null;\n";
        migrate("v2.3", column, "alter table quotes drop column note;\n");
        let words = ["contains null values", "❌ 迁移失败：db:migrate", "failed: db:migrate"];
        let words = check(FAILED, "v2.3", &[], &words);
        assert!(!checks.has_database(&copy_in(&words)).await, "{words}");
        check(PASSED, "v2.3", &[("COPY_MB_MAX", "1")], &[]);
        migrate("v2.4", index, "drop index nowhere;\n");
        check(FAILED, "v2.4", &[], &["❌ 回滚失败：db:rollback --to=v1.1.0"]);
        // What it does the second time depends on what the first time has left in a table.
        let up = "insert into quotes values ('X' || (select count(*) from quotes), 0);\n\
                  do $$ begin if (select count(*) from quotes) > 2 then \
                  create table later (id bigint); end if; end $$;\n";
        migrate("v2.5", up, "drop table if exists later;\n");
        let words = ["+CREATE TABLE public.later", "❌ 两次迁移之后的表结构不同"];
        check(FAILED, "v2.5", &[], &words);

        assert_eq!(checks.facts().await, before);
    });
}

#[test]
fn migrations_are_handed_the_copy_and_no_other_secret() {
    run(Engine::Sqlite, |_| async move {
        let checks = Checks::new().await;
        let parts = &checks.parts;
        let package = parts.repository().join("apps/server/package.json");
        let text = std::fs::read_to_string(package).unwrap();
        let echoes = r#""db:migrate": "echo url=$DATABASE_URL db=$PGDATABASE backups=$BACKUP_DIR mine=$MINE; exit 1""#;
        let shown = text.replace(r#""db:migrate": "bun src/db.ts up""#, echoes);
        assert_ne!(text, shown);
        parts.write("apps/server/package.json", &shown);
        parts.commit("v1.4.0");
        let (port, user) = (parts.setting("PGPORT"), parts.setting("PGUSER"));
        let file = parts.place.path().join("pgpass");
        let lines = format!(
            "# of every database\nelsewhere:*:*:*:wrong\nlocalhost:{port}:*:{user}:p@s\\:s\\\\中\n*:*:*:*:late\n"
        );
        std::fs::write(&file, lines).unwrap();
        std::fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
        let settings = [
            ("PGPASSFILE", file.to_str().unwrap()),
            // The same server by another name.
            ("VERIFY_PGHOST", "localhost"),
            ("CHECK_VARIABLES", "OTHER MINE"),
            ("MINE", "yes"),
        ];
        let version = ("check-migrations.sh", &["v1.4.0", "v1.1.0"][..]);
        let words = checks.expect(FAILED, version, &settings, &["❌ 迁移失败"]);
        let copy = copy_in(&words);
        let url = format!("url=postgres://{user}:p%40s%3As%5C%E4%B8%AD@localhost:{port}/{copy}");
        let line = format!("{url} db={copy} backups= mine=yes\n");
        assert!(words.contains(&line), "{line}: {words}");

        let settings = [("PGPASSWORD", "short"), ("PGPASSFILE", "/nowhere")];
        let words = checks.expect(FAILED, version, &settings, &[]);
        assert!(words.contains(&format!("url=postgres://{user}:short@127.0.0.1:")), "{words}");
    });
}

#[test]
fn migrations_that_cannot_be_tried_are_neither_good_nor_bad() {
    run(Engine::Sqlite, |_| async move {
        let checks = Checks::new().await;
        let parts = &checks.parts;
        let check = ("check-migrations.sh", &["v1.2.0", "v1.1.0"][..]);
        checks.expect(
            COULD_NOT_RUN,
            check,
            &[("PGPORT", "9")],
            &["连不上数据库", "Connection refused"],
        );
        checks.expect(
            COULD_NOT_RUN,
            check,
            &[("PGDATABASE", "nowhere")],
            &["连不上数据库 nowhere"],
        );
        checks.expect(COULD_NOT_RUN, check, &[("VERIFY_PGPORT", "9")], &["无法建立临时数据库"]);
        checks.expect(REFUSED, check, &[("PGDATABASE", "")], &["not set: PGDATABASE"]);
        checks.expect(REFUSED, check, &[("MIGRATIONS_TABLE", "m'; drop")], &["不是表名"]);
        checks.expect(REFUSED, check, &[("COPY_MB_MAX", "much")], &["COPY_MB_MAX"]);
        for program in ["pg_dump", "createdb", "bun"] {
            let path = checks.parts.path_without(&[program]);
            let words = [format!("programs not found: {program} (")];
            checks.expect(COULD_NOT_RUN, check, &[("PATH", &path)], &[&words[0]]);
        }
        let unknown = ("check-migrations.sh", &["v1.2.0", "v0.9"][..]);
        checks.expect(COULD_NOT_RUN, unknown, &[], &["线上版本 v0.9 不在这个仓库里"]);

        // Somebody who may read it all, and make no database.
        let role = format!("reader_{}", std::process::id());
        checks.sql(&[&format!("create role {role} login")]).await;
        let words = ["无法建立临时数据库", "permission denied to create database"];
        checks.expect(COULD_NOT_RUN, check, &[("PGUSER", &role)], &words);
        checks.sql(&[&format!("drop role {role}")]).await;

        // Too large for its data, and nothing says which migrations it has had.
        checks.sql(&["create table quotes (symbol text primary key, price bigint not null)"]).await;
        let words = ["却没有表 migrations"];
        checks.expect(COULD_NOT_RUN, check, &[("COPY_MB_MAX", "1")], &words);

        // A version that migrates has its migrations somewhere.
        let elsewhere = [("MIGRATIONS_DIR", "db/migrations")];
        for check in [check, ("check-rollback-plan.sh", &["v1.2.0", "v1.1.0"])] {
            checks.expect(
                COULD_NOT_RUN,
                check,
                &elsewhere,
                &["在 db/migrations 里找不到 .sql 迁移"],
            );
        }
        let package = parts.repository().join("apps/server/package.json");
        let text = std::fs::read_to_string(package).unwrap();
        parts.write("apps/server/package.json", &text.replace("db:migrate", "db:up"));
        parts.commit("v1.4.0");
        let renamed = ("check-migrations.sh", &["v1.4.0", "v1.1.0"][..]);
        checks.expect(FAILED, renamed, &[], &["apps/server 没有 db:migrate"]);
        parts.run("git", &["rm", "--quiet", "-r", "apps/server/db"]);
        parts.commit("v1.5.0");
        let none = ("check-migrations.sh", &["v1.5.0", "v1.1.0"][..]);
        checks.expect(PASSED, none, &[], &["v1.5.0 没有迁移"]);
    });
}

#[test]
fn a_rollback_plan_names_its_target_and_everything_that_is_in_the_way() {
    run(Engine::Sqlite, |_| async move {
        let checks = Checks::new().await;
        let parts = &checks.parts;
        let plan = |code: i32, version: &str, live: &str, words: &[&str]| {
            checks.expect(code, ("check-rollback-plan.sh", &[version, live]), &[], words)
        };
        let words = [
            "✅ 回滚目标是 v1.1.0 (",
            "✅ 可逆 / reversible: apps/server/db/0002.up.sql",
            "✅ 回滚计划已确认：v1.2.0 → v1.1.0",
        ];
        plan(PASSED, "v1.2.0", "v1.1.0", &words);
        plan(PASSED, "v1.3.0", "v1.2.0", &["其间没有迁移"]);
        plan(PASSED, "v1.2.0", "v1.2.0", &["⚠️ 它就是要部署的提交"]);
        // Back is where the other version's migrations are of no concern.
        plan(PASSED, "v1.1.0", "v1.2.0", &["其间没有迁移"]);
        plan(PASSED, "v1.2.0", "", &["暂无回滚目标", "✅ 首次登记 v1.2.0：之前没有可回滚的版本"]);
        plan(FAILED, "v1.2.0", "v0.9", &["线上版本 v0.9 不在这个仓库里"]);
        plan(REFUSED, "v1.2.0", "--all", &["不是版本"]);

        parts.write("apps/server/db/0003.up.sql", "create table a (id bigint);\n");
        parts.write("apps/server/db/0004.up.sql", "create table b (id bigint);\n");
        parts.write("apps/server/db/0004.down.sql", " -- 以后再说\n;\n");
        parts.write("apps/server/db/0005 中文.sql", "create table c (id bigint);\n");
        parts.write("apps/server/db/0005 中文.down.sql", &"drop table c; -- x\n".repeat(20_000));
        let package =
            std::fs::read_to_string(parts.repository().join("apps/server/package.json")).unwrap();
        parts.write("apps/server/package.json", &package.replace("db:rollback", "db:back"));
        parts.commit("v1.4.0");
        let words = [
            "❌ 不可逆，没有 .down.sql 或它是空的 / irreversible, its .down.sql is missing or empty: apps/server/db/0003.up.sql",
            "missing or empty: apps/server/db/0004.up.sql",
            "✅ 可逆 / reversible: apps/server/db/0005 中文.sql",
            "❌ v1.4.0 的 apps/server 没有 db:rollback",
            "❌ 回滚计划无法确认：v1.4.0 有 3 个问题",
        ];
        plan(FAILED, "v1.4.0", "v1.1.0", &words);
        let words = ["⚠️ v1.4.0 没有 db:rollback"];
        plan(PASSED, "v1.3.0", "v1.4.0", &words);
    });
}

#[test]
fn alerting_is_checked_as_the_commit_has_it() {
    run(Engine::Sqlite, |_| async move {
        let checks = Checks::new().await;
        let parts = &checks.parts;
        let file = "monitoring/alerting-config.yml";
        let good = ("check-alerting.sh", &["v1.2.0"][..]);
        parts.write(file, "alerts: {gpu: 1}\n");
        checks.expect(
            PASSED,
            good,
            &[],
            &["4 alerts (auth_failure over 10% for 30s: critical", "✅ 告警配置有效"],
        );

        parts.commit("v1.4.0");
        let words = [
            "monitoring/alerting-config.yml:1:10: `gpu` is not measured by itself, and there is no `query`",
            "❌ 告警配置有 2 处错误",
            "has 2 faults: ",
        ];
        checks.expect(FAILED, ("check-alerting.sh", &["v1.4.0"]), &[], &words);
        std::fs::remove_file(parts.repository().join(file)).unwrap();
        parts.commit("v1.5.0");
        let none = ("check-alerting.sh", &["v1.5.0"][..]);
        checks.expect(FAILED, none, &[], &["v1.5.0 里没有 monitoring/alerting-config.yml"]);
        // A link in its place leads nowhere.
        std::os::unix::fs::symlink("/etc/passwd", parts.repository().join(file)).unwrap();
        parts.commit("v1.6.0");
        checks.expect(
            FAILED,
            ("check-alerting.sh", &["v1.6.0"]),
            &[],
            &["`/etc/passwd`", "faults"][1..],
        );

        // The program is missing, or it is another.
        checks.expect(
            COULD_NOT_RUN,
            good,
            &[("NEOSTOCK_OPS", "nowhere-ops")],
            &["programs not found: nowhere-ops"],
        );
        for other in ["true", "false"] {
            checks.expect(COULD_NOT_RUN, good, &[("NEOSTOCK_OPS", other)], &["没有给出结论"]);
        }
        let outside = [("ALERTING_FILE", "../../etc/passwd")];
        checks.expect(REFUSED, good, &outside, &["不在仓库里"]);
    });
}

#[test]
fn the_balancer_is_asked_and_its_configuration_read() {
    run(Engine::Sqlite, |_| async move {
        let mut checks = Checks::new().await;
        checks.parts.serve();
        let parts = &checks.parts;
        let check = ("check-balancer.sh", &[][..]);
        let words = [
            "✅ nginx 包含",
            "✅ upstream neostock_server → 127.0.0.1:",
            "✅ location /health → http://neostock_server",
            "✅ 线上是 blue",
            "✅ http://127.0.0.1:",
            "✅ 负载均衡器的健康检查配置正确",
        ];
        checks.expect(PASSED, check, &[], &words);

        // nginx serves on as before; its files say something else.
        let (file, upstream) = (parts.nginx_file(), parts.upstream_file());
        let (text, pair) =
            (std::fs::read_to_string(&file).unwrap(), std::fs::read_to_string(&upstream).unwrap());
        let include = format!("include {};", upstream.display());
        let blue = parts.setting("BLUE_PORT");
        let health = "location /health { proxy_pass http://neostock_server; }";
        let with = |file: &Path, text: &str, code: i32, words: &[&str]| {
            let before = std::fs::read_to_string(file).unwrap();
            std::fs::write(file, text).unwrap();
            checks.expect(code, check, &[], words);
            std::fs::write(file, before).unwrap();
        };
        let to_web = text.replace(health, "location /health { proxy_pass http://neostock_web; }");
        with(&file, &to_web, FAILED, &["没有转发到 neostock_server", "：1 个问题"]);
        with(
            &file,
            &text.replace(health, ""),
            FAILED,
            &["❌ location / 没有转发到 neostock_server"],
        );
        // The first regular expression goes before the longest beginning.
        let stolen = text
            .replace(health, &format!("{health} location ~* ^/HEALTH {{ return 200 'ok }}'; }}"));
        with(&file, &stolen, FAILED, &["❌ location ~* ^/HEALTH 没有转发到 neostock_server"]);
        let exact = text.replace(health, "location ~ nowhere { return 404; } location = /health { proxy_pass http://neostock_server/health; } # }");
        with(&file, &exact, PASSED, &["✅ location = /health → http://neostock_server/health"]);
        let port = parts.setting("PORT");
        let elsewhere = text.replace(&format!("127.0.0.1:{port}"), "127.0.0.1:1");
        with(&file, &elsewhere, FAILED, &["没有 server 监听 HEALTH_URL 的端口"]);
        let fixed = text.replace(&include, &pair);
        with(
            &file,
            &fixed,
            FAILED,
            &["nginx 没有包含", "upstream neostock_server 不在", "：3 个问题"],
        );
        let none = pair.replace("neostock_web", "neostock_other");
        with(&file, &text.replace("http://neostock_web", "http://neostock_server"), PASSED, &[]);
        std::fs::write(&file, text.replace("http://neostock_web", "http://neostock_server"))
            .unwrap();
        with(&upstream, &none, FAILED, &["❌ 没有 upstream neostock_web"]);
        std::fs::write(&file, &text).unwrap();
        let both = pair.replacen(
            &format!("server 127.0.0.1:{blue};"),
            &format!("server 127.0.0.1:{blue}; server 127.0.0.1:1;"),
            1,
        );
        with(&upstream, &both, FAILED, &["names 127.0.0.1:"]);
        let mixed = pair.replace(parts.setting("BLUE_WEB_PORT"), parts.setting("GREEN_WEB_PORT"));
        with(&upstream, &mixed, FAILED, &["两个 upstream 指向不同的颜色"]);
        let unread = pair.replace("upstream neostock_server { ", "upstream neostock_server {\n");
        with(&upstream, &unread, FAILED, &["脚本读不出哪个颜色在线"]);
        with(
            &file,
            &text.replace("include", "included"),
            FAILED,
            &["unknown directive", "❌ nginx 配置无效"],
        );

        // Through nginx nobody answers well.
        let nobody = [("HEALTH_URL", "http://127.0.0.1:9/health")];
        checks.expect(FAILED, check, &nobody, &["没有回答 200 / does not answer 200: 000"]);

        checks.expect(
            COULD_NOT_RUN,
            check,
            &[("NGINX_COMMAND", "nginx-of-nobody -p /")],
            &["nginx-of-nobody"],
        );
        // sudo ends with 1 when it may not, as nginx does when its configuration is wrong.
        let sudo = parts.place.path().join("sudo.sh");
        let nginx = parts.setting("NGINX_COMMAND");
        for (allowed, words) in [("-x", "-t (1)"), ("-t", "-T (1)；sudo 需要允许它")] {
            let text = format!(
                "for last; do :; done\ncase $last in {allowed}) exec {nginx} $last ;; esac\n\
                 echo 'sudo: a password is required' >&2\nexit 1\n"
            );
            std::fs::write(&sudo, text).unwrap();
            let command = format!("sh {}", sudo.display());
            let words = ["sudo: a password is required", words];
            checks.expect(COULD_NOT_RUN, check, &[("NGINX_COMMAND", &command)], &words);
        }
        std::fs::write(
            &sudo,
            "echo 'nginx: [emerg] open() failed (13: Permission denied)' >&2\nexit 1\n",
        )
        .unwrap();
        let command = format!("sh {}", sudo.display());
        checks.expect(COULD_NOT_RUN, check, &[("NGINX_COMMAND", &command)], &["Permission denied"]);
        let unset = [("HEALTH_URL", ""), ("BLUE_PORT", "")];
        checks.expect(REFUSED, check, &unset, &["not set: BLUE_PORT"]);
        checks.expect(REFUSED, check, &[("HEALTH_URL", "localhost")], &["HEALTH_URL 不是地址"]);
        assert_eq!(checks.parts.stop(), Vec::<String>::new());
    });
}

#[test]
fn a_hostile_version_or_a_missing_program_gives_no_verdict() {
    run(Engine::Sqlite, |_| async move {
        let checks = Checks::new().await;
        let marks = checks.parts.place.path().join("marks");
        let run_me = format!("$(touch${{IFS}}{})", marks.display());
        let end_me = format!("v1.2.0;touch {}", marks.display());
        let hostile = [
            ("--upload-pack=x", REFUSED),
            ("-x", REFUSED),
            ("", REFUSED),
            ("v1.2.0 v1.1.0", REFUSED),
            ("v1.2.0\nv1.1.0", REFUSED),
            (&end_me, REFUSED),
            ("v9.9.9", COULD_NOT_RUN),
            (&run_me, COULD_NOT_RUN),
            ("../../etc/passwd", COULD_NOT_RUN),
            ("v1.2.0:package.json", COULD_NOT_RUN),
            ("版本", COULD_NOT_RUN),
        ];
        for (script, arguments) in CHECKS.into_iter().filter(|(_, arguments)| !arguments.is_empty())
        {
            let version = |text| -> Vec<&str> {
                std::iter::once(text).chain(arguments[1..].iter().copied()).collect()
            };
            for (text, code) in hostile {
                let words = if code == REFUSED { "不是版本" } else { "无效的版本" };
                checks.expect(code, (script, &version(text)), &[], &[words]);
            }
            let moved = [("NEOSTOCK_COMMIT_VERSION", "0123456789012345678901234567890123456789")];
            checks.expect(COULD_NOT_RUN, (script, arguments), &moved, &["被移动了"]);
            let nowhere = [("GIT_DIR", "/nowhere")];
            checks.expect(COULD_NOT_RUN, (script, arguments), &nowhere, &["不是可用的 git 仓库"]);
            let path = checks.parts.path_without(&["git"]);
            checks.expect(
                COULD_NOT_RUN,
                (script, arguments),
                &[("PATH", &path)],
                &["programs not found: git"],
            );
            let nowhere = [("TMPDIR", "/nowhere")];
            if script != "check-rollback-plan.sh" {
                checks.expect(
                    COULD_NOT_RUN,
                    (script, arguments),
                    &nowhere,
                    &["无法在 /nowhere 建立临时目录"],
                );
            }
        }
        for script in [
            "check-tests.sh",
            "check-performance.sh",
            "check-vulnerabilities.sh",
            "check-rollback-plan.sh",
        ] {
            let (_, arguments) = CHECKS.into_iter().find(|(name, _)| *name == script).unwrap();
            let path = checks.parts.path_without(&["bun"]);
            checks.expect(
                COULD_NOT_RUN,
                (script, arguments),
                &[("PATH", &path)],
                &["programs not found: bun"],
            );
        }
        let scan = [("SCAN_COMMAND", "scanner-of-nobody --json")];
        let check = ("check-vulnerabilities.sh", &["v1.2.0"][..]);
        checks.expect(COULD_NOT_RUN, check, &scan, &["programs not found: scanner-of-nobody"]);
        assert!(!marks.exists());
    });
}

/// TERM to the script alone, as a person would.
fn to_itself(script: Pid) {
    kill_process(script, Signal::TERM).unwrap();
}

/// TERM to what it has started first, as the bot does.
fn to_all_below_first(script: Pid) {
    signal_tree(script, Signal::TERM);
}

#[test]
fn a_check_that_is_stopped_leaves_nothing_and_gives_no_verdict() {
    run(Engine::Sqlite, |_| async move {
        let mut checks = Checks::new().await;
        let parts = &checks.parts;
        let slow = "import { test } from \"bun:test\";\ntest(\"slow\", () => Bun.sleep(60_000), 90_000);\n";
        parts.write("tests/unit/slow.test.ts", slow);
        parts.write("tests/performance/slow.test.ts", slow);
        parts.write("apps/server/db/0003.up.sql", "select pg_sleep(60);\n");
        parts.write("apps/server/db/0003.down.sql", "select 1;\n");
        parts.commit("v1.4.0");
        let scan = [("SCAN_COMMAND", "sleep 60")];
        let cases = [
            ("check-tests.sh", &["v1.4.0"][..], &[][..], "▶ bun run test:unit"),
            ("check-performance.sh", &["v1.4.0"], &[], "▶ bun run test:performance"),
            ("check-vulnerabilities.sh", &["v1.4.0"], &scan, "scanning a scratch copy"),
            ("check-migrations.sh", &["v1.4.0", "v1.1.0"], &[], "▶ 迁移"),
        ];
        for (script, arguments, more, begun) in cases {
            for is_below_first in [false, true] {
                let stop = if is_below_first { to_all_below_first } else { to_itself };
                let file = parts.place.path().join("said");
                let _ = std::fs::remove_file(&file);
                let out = File::options().create(true).append(true).open(&file).unwrap();
                let err = out.try_clone().unwrap();
                let mut command = parts.command(script, arguments, &checks.settings(more));
                let mut child = command.stdout(out).stderr(err).spawn().unwrap();
                let read = || std::fs::read_to_string(&file).unwrap();
                let scratch = || std::fs::read_dir(&checks.temporary).unwrap().flatten().next();
                let has = |name| scratch().is_some_and(|entry| entry.path().join(name).exists());
                let scans = script == "check-vulnerabilities.sh";
                until(script, PATIENCE, || {
                    read().contains(begun) && has(if scans { "report" } else { "log" })
                });
                if script == "check-migrations.sh" {
                    assert!(checks.has_database(&copy_in(&read())).await);
                }

                stop(Pid::from_child(&child));
                let looks = Looks::within(PATIENCE);
                let status = loop {
                    match child.try_wait().unwrap() {
                        Some(status) => break status,
                        None => looks.again_blocking(|| format!("{script} does not end")),
                    }
                };

                let words = read();
                // Where its program has gone first, the script may have said so already.
                let code = status.code().unwrap();
                let is_early = code == COULD_NOT_RUN && is_below_first;
                assert!(code == STOPPED_BY_TERM || is_early, "{script}: {code}: {words}");
                let last: Value = serde_json::from_str(words.lines().last().unwrap()).unwrap();
                assert_eq!(last["outcome"], "could_not_run", "{script}: {words}");
                assert!(words.contains("⛔ ") && !words.contains('❌'), "{script}: {words}");
                checks.assert_nothing_left(script);
                if script == "check-migrations.sh" {
                    assert!(!checks.has_database(&copy_in(&words)).await, "{words}");
                }
            }
        }
        // Nor do the programs that they had started.
        assert_eq!(checks.parts.stop(), Vec::<String>::new());
    });
}

#[test]
fn a_copy_that_is_just_being_made_goes_as_well() {
    run(Engine::Sqlite, |_| async move {
        let checks = Checks::new().await;
        let parts = &checks.parts;
        // Its database is there, and it has not said so yet.
        let folder = parts.place.path().join("slow");
        let mark = parts.place.path().join("made");
        std::fs::create_dir(&folder).unwrap();
        let path = parts.setting("PATH");
        let text = format!(
            "#!/bin/sh\nPATH={path}\ncreatedb \"$@\" && touch {} && sleep 2\n",
            mark.display()
        );
        let slow = folder.join("createdb");
        std::fs::write(&slow, text).unwrap();
        std::fs::set_permissions(&slow, Permissions::from_mode(0o755)).unwrap();
        let path = format!("{}:{path}", folder.display());
        let settings = checks.settings(&[("PATH", path.as_str())]);
        let arguments = ["v1.2.0", "v1.1.0"];
        let mut command = parts.command("check-migrations.sh", &arguments, &settings);
        let file = parts.place.path().join("said");
        let mut child = command.stdout(File::create(&file).unwrap()).spawn().unwrap();
        until("the copy is made", PATIENCE, || mark.exists());
        let copy = copy_in(&std::fs::read_to_string(&file).unwrap());
        assert!(checks.has_database(&copy).await);

        to_all_below_first(Pid::from_child(&child));

        until("it ends", PATIENCE, || child.try_wait().unwrap().is_some());
        assert!(!checks.has_database(&copy).await);
        checks.assert_nothing_left("check-migrations.sh");
    });
}
