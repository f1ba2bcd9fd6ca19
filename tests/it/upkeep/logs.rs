//! The readers of logs: calls audited, requests measured, errors grouped; on logs that nobody would wish for too.

use super::{COULD_NOT_RUN, Desk, FAILED, GOOD, ago, listing};
use serde_json::{Value, json};
use std::io::Write as _;
use std::process::{Command, Stdio};

const AUDIT: &str = "audit-api-calls.sh";
const ANALYZE: &str = "analyze-logs.sh";
const ERRORS: &str = "aggregate-errors.sh";
const READERS: [&str; 3] = [AUDIT, ANALYZE, ERRORS];
/// As the readers have them.
const LINE_BYTES_MAX: usize = 65_536;
const NAMES_MAX: usize = 10_000;
/// Of memory, for reading what does not fit into it.
const PEAK_KIB_MAX: u64 = 250 * 1024;

fn desk() -> Desk {
    let desk = Desk::new();
    std::fs::create_dir_all(desk.path("pm2/logs")).unwrap();
    desk.with_path("API_LOG_FILE", "logs/api.log").with_path("PM2_HOME", "pm2")
}

/// A line of the API log, with what is different about it.
fn call(secs: i64, different: &Value) -> String {
    let mut line = json!({
        "at": ago(secs), "kind": "api", "method": "GET", "route": "/api/trpc/quotes.list",
        "status": 200, "ms": 3.2, "actor": "key:K1", "address": "203.0.113.1",
    });
    for (name, value) in different.as_object().unwrap() {
        line[name] = value.clone();
    }
    format!("{line}\n")
}

fn calls(count: usize, secs: i64, different: &Value) -> String {
    (0..count).map(|_| call(secs, different)).collect()
}

fn error(secs: i64, message: &str) -> String {
    let stack = "Error: x\n    at read (/srv/neostock/releases/blue/apps/server/src/db.ts:12:3)";
    let line = json!({"at": ago(secs), "level": "error", "kind": "error", "message": message, "stack": stack});
    format!("{line}\n")
}

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut child =
        Command::new("gzip").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    let text = text.to_vec();
    let writer = std::thread::spawn(move || input.write_all(&text).unwrap());
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    output.stdout
}

/// A release that is live whose `keys` are these.
fn with_keys(desk: Desk, keys: &Value) -> Desk {
    desk.write("releases/blue/.git", "");
    let text = json!({"name": "server", "scripts": {"keys": "bun keys.js"}}).to_string();
    desk.write("releases/blue/apps/server/package.json", text);
    let source = include_str!("../../parts/keys/keys.js");
    desk.write("releases/blue/apps/server/keys.js", source);
    desk.write("keys/keys.json", keys.to_string());
    desk.write("upstream.conf", "upstream neostock_server { server 127.0.0.1:3001; }\n");
    desk.with_path("KEYS_FOLDER", "keys")
        .with_path("RELEASES_DIR", "releases")
        .with_path("NGINX_UPSTREAM_FILE", "upstream.conf")
        .with("BLUE_PORT", "3001")
        .with("GREEN_PORT", "3002")
        .with("BLUE_WEB_PORT", "3011")
        .with("GREEN_WEB_PORT", "3012")
}

#[test]
fn ordinary_calls_are_nothing_unusual_and_are_told_apart() {
    let desk = with_keys(
        desk(),
        &json!([
            {"id": "K1", "name": "web", "key": "x", "created_at": ago(9000), "revoked_at": null},
            {"id": "K2", "name": "batch", "key": "y", "created_at": ago(9000), "revoked_at": null},
        ]),
    );
    let old = calls(4, 3000, &json!({"actor": "user:u7", "status": 403}));
    desk.write("logs/api.log-20261125-000000.gz", gzip(old.as_bytes()));
    desk.write(
        "logs/api.log",
        calls(10, 60, &json!({})) + &calls(1, 9000, &json!({"status": 500})),
    );

    let ended = desk.expect(
        GOOD,
        AUDIT,
        &["1h"],
        &[],
        &["10  key:K1", "4  user:u7", "4  403", "K2 (batch)", "✅ 14 次调用，没有异常"],
    );

    assert_eq!(ended.outcome, "passed");
    assert_eq!(ended.count("calls"), 14);
    assert_eq!(ended.count("denied"), 4);
    assert_eq!(ended.count("keys_never_used"), 1);
    // The same file twice is read once; without a list of keys it says so.
    let both = format!("{0}/* {0}/api.log*", desk.path("logs").display());
    let more = [("API_LOG_FILES", both.as_str()), ("RELEASES_DIR", "")];
    let ended = desk.expect(GOOD, AUDIT, &["1h"], &more, &["不核对密钥清单"]);
    assert_eq!(ended.count("calls"), 14);
}

#[test]
fn each_thing_that_is_unusual_about_calls_is_a_finding() {
    let keys = json!([
        {"id": "K1", "name": "web", "key": "x", "created_at": ago(9000), "revoked_at": null},
        {"id": "K2", "name": "web", "key": "y", "created_at": ago(9000), "revoked_at": ago(500)},
    ]);
    let denied = json!({"status": 401, "actor": "anonymous", "address": "198.51.100.7"});
    let many = (0..6).map(|n| call(60, &json!({"address": format!("192.0.2.{n}")}))).collect();
    let findings: [(&str, String, &str); 8] = [
        ("地址 198.51.100.7 被拒绝 51 次", calls(51, 60, &denied), "198.51.100.7"),
        (
            "user:eve 被拒绝 21 次",
            calls(21, 60, &json!({"status": 403, "actor": "user:eve"})),
            "eve",
        ),
        ("密钥 K1 来自 6 个地址", many, "6 addresses"),
        ("key:K1 一分钟内调用 601 次", calls(601, 60, &json!({})), "601 calls in the minute"),
        (
            "地址 203.0.113.1 探测不存在的路由 51 次",
            calls(51, 60, &json!({"route": "other", "status": 404})),
            "51",
        ),
        (
            "已吊销的密钥 K2 仍被使用 1 次",
            call(60, &json!({"actor": "key:K2", "status": 401})),
            "tried",
        ),
        ("已吊销的密钥 K2 有 1 次调用被接受", call(60, &json!({"actor": "key:K2"})), "ACCEPTED"),
        ("日志中的密钥 K9 不在密钥清单里", call(60, &json!({"actor": "key:K9"})), "K9"),
    ];
    let desk = with_keys(desk(), &keys);
    for (zh, log, en) in findings {
        // What was allowed before the revocation is no finding, nor is the try with which it ends.
        let before = call(600, &json!({"actor": "key:K2"}));
        let last = call(480, &json!({"actor": "key:K2", "status": 401}));
        desk.write("logs/api.log", before + &last + &log);
        let ended = desk.expect(FAILED, AUDIT, &["1h"], &[], &[&format!("❌ {zh}")]);
        assert!(ended.zh.contains(zh) && ended.en.contains(en), "{ended:?}");
        assert_eq!(ended.count("findings"), 1, "{}", ended.words);
    }
    let limits = [("DENIED_ADDRESS_MAX", "51"), ("DENIED_ACTOR_MAX", "51")];
    desk.write("logs/api.log", calls(51, 60, &denied));
    desk.expect(GOOD, AUDIT, &["1h"], &limits, &[]);
}

#[test]
fn keys_that_cannot_be_listed_leave_it_open_unless_something_is_found() {
    let desk = with_keys(desk(), &json!([]));
    desk.write("keys/no-list", "");
    desk.write("logs/api.log", call(60, &json!({})));
    let unknown = desk.expect(COULD_NOT_RUN, AUDIT, &[], &[], &["无法取得密钥清单"]);
    assert!(unknown.en.contains("the database does not answer"), "{}", unknown.en);

    desk.write("logs/api.log", calls(60, 60, &json!({"status": 401, "address": "198.51.100.7"})));
    desk.expect(FAILED, AUDIT, &[], &[], &["198.51.100.7 被拒绝 60 次", "无法取得密钥清单"]);
}

#[test]
fn a_log_that_is_not_there_or_says_nothing_proves_nothing() {
    let desk = desk();
    for script in READERS {
        desk.expect(COULD_NOT_RUN, script, &[], &[], &["没有日志文件"]);
        let more = [("PATH", "/usr/bin:/bin")];
        desk.expect(COULD_NOT_RUN, script, &[], &more, &["缺少程序：bun"]);
    }
    desk.write("logs/api.log", call(9000, &json!({})));
    for script in [AUDIT, ANALYZE] {
        desk.expect(COULD_NOT_RUN, script, &["1h"], &[], &["无从判断"]);
    }
    // Without errors there is nothing to say of them, which is good.
    desk.write("pm2/logs/neostock-server-blue-error.log", error(9000, "long ago"));
    let ended = desk.expect(GOOD, ERRORS, &["1h"], &[], &["0 个错误"]);
    assert_eq!(ended.outcome, "done");
}

#[test]
fn hostile_lines_are_counted_and_shown_without_harm() {
    let desk = desk();
    let mut log = Vec::new();
    log.extend(call(60, &json!({})).as_bytes());
    log.extend(vec![b'x'; 1 << 20]);
    log.extend(b"\n\xff\xfe not UTF-8\n{\"at\":1}\nnull\n[[[\n\n");
    log.extend(call(-9000, &json!({})).as_bytes());
    let evil = "\u{1b}[31m\u{202e}\u{7}<!channel>\n❌";
    let strange = json!({"actor": evil, "address": evil, "route": evil, "method": evil});
    log.extend(call(60, &strange).as_bytes());
    log.extend(call(60, &json!({"status": "200", "route": {}})).as_bytes());
    log.extend(b"{\"at\":\"2026-11-2");
    desk.write("logs/api.log", &log);
    for script in [AUDIT, ANALYZE] {
        let ended = desk.expect(
            GOOD,
            script,
            &["1h"],
            &[],
            &[
                &format!("1 行超过 {LINE_BYTES_MAX} 字节"),
                "6 行无法解析",
                "1 行时间在未来",
                "1 行不是 UTF-8",
                "1 行正在写入",
            ],
        );
        assert_eq!(ended.count("unreadable_lines"), 8, "{}", ended.words);
        assert!(!ended.words.contains('\u{202e}'), "{}", ended.words);
    }
    let error_log = "pm2/logs/neostock-web-green-error.log";
    desk.write(error_log, [&log[..], b"\n", error(60, evil).as_bytes()].concat());
    desk.expect(GOOD, ERRORS, &["1h"], &[], &["1 行超过", "<!channel>"]);
}

#[test]
fn a_file_that_cannot_be_read_to_its_end_is_said_and_decides() {
    let desk = desk();
    let whole = gzip(calls(500, 60, &json!({"actor": "user:u"})).as_bytes());
    let api = desk.write("logs/api.log", call(60, &json!({})));
    desk.write("logs/api.log-20261126-000000.gz", &whole[..whole.len() / 2]);
    desk.write("pm2/logs/neostock-server-blue-error.log", error(60, "a"));
    desk.write("pm2/logs/neostock-server-blue-error.log-1.gz", &whole[..whole.len() / 2]);
    for script in READERS {
        let ended = desk.expect(COULD_NOT_RUN, script, &["1h"], &[], &["⛔ 未读完"]);
        assert!(ended.zh.contains("没有读完"), "{}", ended.zh);
    }
    // A folder where a log should be.
    std::fs::remove_file(desk.path("logs/api.log-20261126-000000.gz")).unwrap();
    std::fs::create_dir(desk.path("logs/api.log-folder")).unwrap();
    desk.expect(COULD_NOT_RUN, AUDIT, &["1h"], &[], &["api.log-folder: not a file"]);
    // A finding is one all the same.
    std::fs::write(api, calls(51, 60, &json!({"status": 401, "address": "198.51.100.7"}))).unwrap();
    desk.expect(FAILED, AUDIT, &["1h"], &[], &["198.51.100.7", "⛔ 未读完"]);
    // What is being compressed stands there twice, and counts once.
    std::fs::remove_dir(desk.path("logs/api.log-folder")).unwrap();
    desk.write("logs/api.log", call(60, &json!({})));
    desk.write("logs/api.log-1", calls(5, 60, &json!({})));
    desk.write("logs/api.log-1.gz", &gzip(calls(5, 60, &json!({})).as_bytes())[..20]);
    let ended = desk.expect(GOOD, AUDIT, &["1h"], &[], &[]);
    assert_eq!(ended.count("calls"), 6);
}

#[test]
fn a_flood_of_names_stays_small_in_memory_and_is_counted() {
    let desk = desk();
    let mut log = String::new();
    for n in 0..60_000 {
        let different =
            json!({"actor": format!("user:{n}"), "address": format!("2001:db8::{n:x}")});
        log += &call(60, &different);
    }
    desk.write("logs/api.log", log);
    let rest = 60_000 - NAMES_MAX;
    let words = format!("超过 {NAMES_MAX} 个后不再区分：{rest} 次");

    desk.expect(GOOD, AUDIT, &["1h"], &[], &[&words]);

    let mut command = desk.command(AUDIT, &["1h"], &[]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let mut peak = 0;
    while child.try_wait().unwrap().is_none() {
        peak = peak.max(peak_of_children(child.id()));
    }
    assert!(peak > 0 && peak < PEAK_KIB_MAX, "{peak} KiB");
}

/// The most memory that a process below this one has used.
fn peak_of_children(pid: u32) -> u64 {
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
    let children = children.unwrap_or_default();
    let peaks = children.split_whitespace().map(|child| {
        let child = child.parse().unwrap();
        crate::harness::attempt::peak_kib(child).unwrap_or(0).max(peak_of_children(child))
    });
    peaks.max().unwrap_or(0)
}

#[test]
fn each_of_the_manuals_thresholds_is_a_breach_of_its_own_and_below_it_all_is_well() {
    let sign_in =
        json!({"method": "POST", "route": "/api/auth/sign-in/email", "actor": "anonymous"});
    let fetch = json!({"method": "POST", "route": "/api/trpc/quotes.refresh"});
    let with = |base: &Value, name: &str, value: Value| {
        let mut one = base.clone();
        one[name] = value;
        one
    };
    let cases = [
        ("错误率", json!({}), with(&json!({}), "status", json!(500)), 5),
        ("P99 超过 5 秒", json!({}), with(&json!({}), "ms", json!(5100.0)), 1),
        ("认证失败率", sign_in.clone(), with(&sign_in, "status", json!(401)), 10),
        ("数据拉取失败率", fetch.clone(), with(&fetch, "status", json!(502)), 20),
    ];
    for (zh, well, ill, percent) in cases {
        let desk = desk();
        let log = |bad: usize| {
            // Only the worst minute is bad: over the hour it would not be seen.
            calls(100 - bad, 1200, &well) + &calls(bad, 1200, &ill) + &calls(3000, 3000, &json!({}))
        };
        desk.write("logs/api.log", log(percent));
        // Fetches that fail are errors too: only their own threshold is looked at here.
        let at = desk.command(ANALYZE, &["1h"], &[]).output().unwrap();
        let at = desk.ended(ANALYZE, &at);
        assert!(!at.words.contains(&format!("❌ {zh}")), "{}", at.words);

        desk.write("logs/api.log", log(percent + 1));
        let above = desk.expect(FAILED, ANALYZE, &["1h"], &[], &[&format!("❌ {zh}：")]);
        assert!(above.words.contains(&format!("（{}/100）", percent + 1)), "{}", above.words);
    }
}

#[test]
fn requests_are_measured_and_compared_with_the_window_before() {
    let desk = desk();
    let slow = json!({"route": "/api/trpc/watchlist.list", "ms": 900.0});
    let now = calls(95, 600, &json!({"ms": 10.0})) + &calls(5, 600, &slow);
    let before = calls(50, 5000, &json!({"ms": 20.0}));
    desk.write("logs/api.log", before + &now);

    let ended = desk.expect(
        GOOD,
        ANALYZE,
        &["1h"],
        &[],
        &["请求 / requests: 100   （上一时段 / before: 50）", "GET /api/trpc/watchlist.list"],
    );

    let near = |name: &str, value: f64| (ended.figure(name) - value).abs() <= value * 0.02;
    assert!(near("p50_ms", 10.0) && near("p99_ms", 900.0), "{:?}", ended.figures);
    assert_eq!(ended.count("error_rate_percent"), 0);
    // nginx's combined log will do, ids in its addresses are one route.
    let moment = chrono::DateTime::parse_from_rfc3339(&ago(60)).unwrap();
    let moment = moment.format("%d/%b/%Y:%H:%M:%S %z");
    let line = |n: usize, status: u16| {
        format!(
            "203.0.113.9 - - [{moment}] \"GET /q/{n}?x=\\\"1 HTTP/1.1\" {status} 12 \"-\" \"curl\" 0.250\n"
        )
    };
    let log: String = (0..99).map(|n| line(n, 200)).chain([line(99, 500)]).collect();
    desk.write("nginx/access.log", log + "what is this\n");
    let file = desk.path("nginx/access.log").display().to_string();
    let more = [("REQUEST_LOG_FILES", file.as_str())];
    let ended = desk.expect(GOOD, ANALYZE, &["1h"], &more, &["100  GET /q/:id", "1 行无法解析"]);
    assert_eq!(ended.count("error_rate_percent"), 1);
    assert!((ended.figure("p99_ms") - 250.0).abs() <= 5.0, "{:?}", ended.figures);
}

#[test]
fn errors_are_grouped_by_what_they_share_and_new_ones_are_marked() {
    let mut desk = desk();
    let secret = "hunter2hunter2hunter2";
    let key = "nsk_0123456789abcdefABCDEF0123456789abcdefABCD";
    desk.secrets = vec![secret.to_owned(), key.to_owned(), "ann@example.com".to_owned()];
    let blue = (0..30).map(|n| {
        let id = format!("{:08x}", n * 7_654_321 + 1);
        error(
            n * 60 + 30,
            &format!("no answer from 10.0.0.{n}:5432 for postgres://neo:{secret}@db/x, request {id}, ann@example.com, key {key}, password={secret}"),
        )
    });
    let known = error(4000, "seen before 17") + &error(200, "seen before 18");
    desk.write("pm2/logs/neostock-server-blue-error.log", blue.collect::<String>() + &known);
    let plain = "1 | throw new Error(\"boom\");\n          ^\nerror: boom 4711\n      at go (/srv/x/apps/web/src/index.ts:1:7)\n\nBun v1.4.5 (Linux x64)\n";
    desk.write("pm2/logs/neostock-web-blue-error.log", plain.repeat(3));

    let ended = desk.expect(
        GOOD,
        ERRORS,
        &["1h"],
        &[],
        &[
            "🆕 30×",
            "postgres://***@db/x",
            "🆕 3×（上一时段 / before: 0）≈",
            "error: boom 4711",
            "\n1×（上一时段 / before: 1）",
            "✅ 34 个错误，3 组，其中 2 组是新的",
        ],
    );

    assert_eq!(ended.count("new_groups"), 2);
    assert_eq!(ended.count("errors_before"), 1);
}

#[test]
fn more_kinds_of_errors_than_fit_are_counted() {
    let desk = desk();
    let kind = |n: usize| {
        let letters: String =
            format!("{n:04}").bytes().map(|b| char::from(b - b'0' + b'a')).collect();
        error(60, &format!("kind {letters}"))
    };
    desk.write("pm2/logs/a-error.log", (0..2100).map(kind).collect::<String>());

    let ended = desk.expect(
        GOOD,
        ERRORS,
        &["1h"],
        &[],
        &["另有 1980 组、1980 个错误未列出", "超过 2000 组后不再区分：100 个"],
    );

    assert_eq!(ended.count("errors"), 2100);
    assert_eq!(ended.words.matches("🆕 1×").count(), 20);
}

#[test]
fn a_dry_run_of_a_reader_only_looks() {
    let desk = desk();
    desk.write("logs/api.log", call(60, &json!({})));
    desk.write("pm2/logs/a-error.log", error(60, "a"));
    let before = listing(desk.folder.path());
    for script in READERS {
        let ended = desk.expect(GOOD, script, &["1h", "--dry-run"], &[], &["的 1 个日志文件"]);
        assert_eq!(ended.outcome, "dry_run");
    }
    assert_eq!(listing(desk.folder.path()), before);
}
