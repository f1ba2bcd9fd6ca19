//! The rotation of logs with the configuration that ships: what is put aside, what is kept, and that no line is lost while
//! everybody goes on writing.

use super::{COULD_NOT_RUN, Desk, FAILED, GOOD, listing, project};
use crate::harness::looks::{Looks, pause, until};
use crate::harness::ports::free_port;
use rustix::fs::FlockOperation;
use rustix::process::{Pid, Signal, kill_process};
use std::collections::BTreeSet;
use std::fs::Permissions;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const ROTATE: &str = "rotate-logs.sh";
const PATIENCE: Duration = Duration::from_secs(20);
/// Names hold the second: two rotations of a log are further apart.
const APART: Duration = Duration::from_millis(1_050);
const ROTATIONS: usize = 3;

/// A server's folders, and the shipped configuration for them and for whoever runs this.
fn desk() -> Desk {
    let desk = Desk::new();
    for folder in ["srv/logs", "srv/.pm2/logs", "staging", "nginx"] {
        std::fs::create_dir_all(desk.path(folder)).unwrap();
    }
    let path = |name: &str| desk.path(name).display().to_string();
    let shipped = std::fs::read_to_string(project().join("runbook/logrotate/neostock")).unwrap();
    let lines = shipped.lines().filter(|line| !line.trim_start().starts_with("su ")).map(|line| {
        let line = line.split(" create 0640").next().unwrap().to_owned()
            + if line.contains(" create 0640") { " create 0640" } else { "" };
        line.replace("/srv/neostock-staging", &path("staging"))
            .replace("/srv/neostock", &path("srv"))
            .replace("/var/log/neostock", &path("nginx"))
            .replace("/run/nginx.pid", &path("nginx.pid"))
    });
    let text = lines.collect::<Vec<_>>().join("\n") + "\n";
    let file = desk.write("logrotate.conf", text);
    std::fs::set_permissions(file, Permissions::from_mode(0o644)).unwrap();
    desk.with_path("LOGROTATE_CONFIG", "logrotate.conf").with_path("LOGROTATE_STATE", "state")
}

/// The files of a log, and every line of them, the oldest first.
fn lines_of(folder: &Path, log: &str) -> Vec<String> {
    let names = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut names: Vec<_> =
        names.filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with(log)).collect();
    // What is written now has the shortest name, and is the newest.
    names.sort_by_key(|path| (path.file_name().unwrap() == log, path.clone()));
    let text = names.iter().map(|path| {
        let output = Command::new("gzip").arg("-cdf").arg(path).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    });
    text.collect::<String>().lines().map(str::to_owned).collect()
}

#[test]
fn what_is_due_is_put_aside_by_a_name_that_stays_and_the_oldest_go() {
    let desk = desk();
    desk.write("srv/logs/api.log", "one\n");
    desk.write("nginx/access.log", "two\n");
    desk.write("nginx/error.log", "");
    for day in 1..=20 {
        desk.write(&format!("srv/logs/api.log-202601{day:02}-000000.gz"), "x");
    }

    let before = listing(desk.folder.path());
    let dry =
        desk.expect(GOOD, ROTATE, &["now", "--dry-run"], &[], &["会轮转 2 个日志", "api.log"]);
    assert_eq!(dry.outcome, "dry_run");
    assert_eq!(listing(desk.folder.path()), before);

    let ended = desk.expect(
        GOOD,
        ROTATE,
        &["now"],
        &[],
        &["api.log-20", "（4 字节 / bytes）", "✅ 轮转了 2 个日志，共 8 字节"],
    );
    assert_eq!((ended.count("files_rotated"), ended.count("rotated_bytes")), (2, 8));
    let names: Vec<_> = std::fs::read_dir(desk.path("srv/logs")).unwrap().collect();
    assert_eq!(names.len(), 14, "{names:?}");
    // The server makes its own anew; nginx finds one that others cannot read; an empty one stays.
    assert!(!desk.path("srv/logs/api.log").exists());
    let mode = std::fs::metadata(desk.path("nginx/access.log")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o640);

    let again = desk.expect(GOOD, ROTATE, &[], &[], &["没有到期的日志"]);
    assert_eq!(again.outcome, "done");
}

#[test]
fn a_rotation_that_cannot_be_made_says_why_and_touches_nothing() {
    let desk = desk();
    desk.write("srv/logs/api.log", "one\n");
    let path = |name: &str| desk.path(name).display().to_string();
    let shipped = desk.read("logrotate.conf");
    let with = |name: &str, text: &str| {
        let file = desk.write(name, text);
        std::fs::set_permissions(file, Permissions::from_mode(0o644)).unwrap();
        path(name)
    };
    let unknown = with("unknown.conf", &(shipped.clone() + "rotat 3\n"));
    let open = with("open.conf", "/var/log/x {\n    rotate 3\n");
    let before = listing(&desk.path("srv"));
    let cases: [(i32, &str, &str, &str); 6] = [
        (COULD_NOT_RUN, "LOGROTATE_COMMAND", "nowhere", "缺少程序：nowhere"),
        (COULD_NOT_RUN, "LOGROTATE_CONFIG", "/nowhere/neostock", "没有可读的 logrotate 配置"),
        (FAILED, "LOGROTATE_CONFIG", &unknown, "unknown option 'rotat'"),
        (FAILED, "LOGROTATE_CONFIG", &open, "什么都没有轮转"),
        (FAILED, "LOGROTATE_STATE", "/nowhere/state", "/nowhere/state"),
        (COULD_NOT_RUN, "LOGROTATE_COMMAND", "sudo-is-not-here -n", "sudo-is-not-here"),
    ];
    for (code, name, value, words) in cases {
        desk.expect(code, ROTATE, &["now"], &[(name, value)], &[words]);
        assert_eq!(listing(&desk.path("srv")), before, "{name}={value}");
    }

    // Somebody else rotates at this moment.
    let state = desk.write("state", "logrotate state -- version 2\n");
    // One that everybody can read is one that everybody could lock: logrotate does not heed that.
    std::fs::set_permissions(&state, Permissions::from_mode(0o600)).unwrap();
    let held = std::fs::File::options().write(true).open(state).unwrap();
    rustix::fs::flock(&held, FlockOperation::LockExclusive).unwrap();
    desk.expect(COULD_NOT_RUN, ROTATE, &["now"], &[], &["另一次日志轮转正在进行"]);
    assert_eq!(listing(&desk.path("srv")), before);
    drop(held);

    // What was told to whoever writes failed: it was put aside, and that is said.
    let failing = with(
        "failing.conf",
        &format!(
            "{} {{\n    rotate 2\n    postrotate\n        exit 3\n    endscript\n}}\n",
            path("srv/logs/api.log")
        ),
    );
    let more = [("LOGROTATE_CONFIG", failing.as_str())];
    desk.expect(FAILED, ROTATE, &["now"], &more, &["轮转失败（1），已轮转 1 个", "postrotate"]);
}

/// Something that is stopped when this is dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = kill_process(Pid::from_child(&self.0), Signal::TERM);
        let _ = self.0.wait();
    }
}

/// The server's own log of calls, five lines a millisecond, until a file says stop; then it prints how many.
const API_WRITER: &str = r#"
import { existsSync } from "node:fs";
const [file, stop, log] = process.argv.slice(2);
const { ApiLog } = await import(log);
const api = new ApiLog(file);
let n = 0;
const timer = setInterval(() => {
  for (let i = 0; i < 5; i++) api.write({ at: "", kind: "api", method: "GET", route: String(n++), status: 200, ms: 1, actor: "", address: "" });
  // More often than it would by itself: there is hardly a moment in which nothing is written.
  api.flush();
  if (!existsSync(stop)) return;
  clearInterval(timer);
  console.log(n);
}, 1);
"#;

/// What pm2 keeps the errors of.
const ERROR_WRITER: &str = "let n = 0; setInterval(() => console.error(`line ${n++}`), 10);";

fn start_nginx(desk: &Desk, port: u16) -> Running {
    let dir = desk.path("nginx").display().to_string();
    let pid = desk.path("nginx.pid").display().to_string();
    let other = desk.path("nginx-temporary").display().to_string();
    std::fs::create_dir_all(&other).unwrap();
    let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("{kind}_temp_path {other}/{kind};"))
        .concat();
    let text = format!(
        "daemon off; pid {pid}; worker_processes 2;\nevents {{}}\nhttp {{ {temporary} access_log {dir}/access.log;\n\
         server {{ listen 127.0.0.1:{port}; location / {{ return 200 ok; }} }} }}\n"
    );
    let file = desk.write("nginx.conf", text);
    let mut command = Command::new("nginx");
    command.env("PATH", &desk.settings["PATH"]).arg("-e").arg(desk.path("nginx/error.log"));
    command.arg("-c").arg(file).stdin(Stdio::null()).stderr(Stdio::null());
    let running = Running(command.spawn().unwrap());
    until("nginx listens", PATIENCE, || TcpStream::connect(("127.0.0.1", port)).is_ok());
    running
}

/// Asks nginx one question after another; how many were answered.
fn ask(port: u16) -> usize {
    let mut answered = 0;
    while !IS_OVER.load(Ordering::Relaxed) {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.write_all(b"GET /asked HTTP/1.0\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        answered += 1;
        std::thread::sleep(Duration::from_millis(1));
    }
    answered
}

/// pm2 and what it has started; they end with this, also where the test fails.
struct Pm2<'a>(&'a Desk);

impl<'a> Pm2<'a> {
    fn start(desk: &'a Desk, program: &str, name: &str) -> Self {
        let pm2 = Self(desk);
        let output = pm2.call(&["start", program, "--name", name, "--interpreter", "bun"]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        pm2
    }

    fn call(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(project().join("build/parts/bin/pm2"));
        command.args(arguments).env_clear().envs(&self.0.settings);
        command.env("PM2_HOME", self.0.path("srv/.pm2")).current_dir(self.0.folder.path());
        command.output().unwrap()
    }
}

impl Drop for Pm2<'_> {
    fn drop(&mut self) {
        self.call(&["kill"]);
    }
}

/// Set when nobody needs to ask any more.
static IS_OVER: AtomicBool = AtomicBool::new(false);

#[test]
fn nobody_who_goes_on_writing_loses_a_line() {
    let desk = desk();
    let source = project().join("examples/neostock/apps/server/src/api-log.ts");
    desk.write("api-writer.js", API_WRITER);
    desk.write("error-writer.js", ERROR_WRITER);
    let port = free_port();
    let nginx = start_nginx(&desk, port);
    let pm2 = Pm2::start(&desk, "error-writer.js", "errors");
    let mut writer = Command::new(project().join("build/parts/bin/bun"));
    writer.arg(desk.path("api-writer.js")).arg(desk.path("srv/logs/api.log"));
    writer.arg(desk.path("stop")).arg(source).stdout(Stdio::piped());
    let mut writer = Running(writer.spawn().unwrap());
    let asking = std::thread::spawn(move || ask(port));
    let error_log = desk.path("srv/.pm2/logs/errors-error.log");
    until("pm2 writes", PATIENCE, || std::fs::metadata(&error_log).is_ok_and(|one| one.len() > 0));

    for _ in 0..ROTATIONS {
        std::thread::sleep(APART);
        let ended = desk.expect(
            GOOD,
            ROTATE,
            &["now"],
            &[],
            &["api.log", "access.log", "errors-error.log"],
        );
        assert!(ended.figure("rotated_bytes") > 0.0, "{}", ended.words);
    }
    until("pm2 writes to the new file", PATIENCE, || {
        std::fs::metadata(&error_log).is_ok_and(|one| one.len() > 0)
    });
    IS_OVER.store(true, Ordering::Relaxed);
    desk.write("stop", "");
    let answered = asking.join().unwrap();
    let mut told = String::new();
    writer.0.stdout.take().unwrap().read_to_string(&mut told).unwrap();
    drop(pm2);

    // The server: every line once, in order.
    let written: usize = told.trim().parse().unwrap();
    let found = lines_of(&desk.path("srv/logs"), "api.log");
    let expected = (0..written).map(|n| format!("\"route\":\"{n}\""));
    assert!(written > 1_000 && found.len() == written, "{} of {written}", found.len());
    assert!(found.iter().zip(expected).all(|(line, route)| line.contains(&route)));
    // nginx: a line for each answer. It writes when the answer is out.
    let asked = |desk: &Desk| {
        let lines = lines_of(&desk.path("nginx"), "access.log");
        lines.iter().filter(|line| line.contains("/asked")).count()
    };
    let looks = Looks::within(PATIENCE);
    while asked(&desk) < answered && !looks.is_over() {
        pause();
    }
    assert!(answered > 100);
    assert_eq!(asked(&desk), answered);
    drop(nginx);
    // pm2: nothing twice; while it opens its file anew one may fall between.
    let errors = lines_of(&desk.path("srv/.pm2/logs"), "errors-error.log");
    let numbers: BTreeSet<usize> =
        errors.iter().map(|line| line.strip_prefix("line ").unwrap().parse().unwrap()).collect();
    let last = *numbers.last().unwrap();
    assert_eq!(numbers.len(), errors.len());
    println!(
        "rotated {ROTATIONS} times: {written} calls, {answered} answers, pm2 lost {} of {}",
        last + 1 - numbers.len(),
        last + 1
    );
    assert!(last + 1 - numbers.len() <= ROTATIONS, "{} of {}", numbers.len(), last + 1);
}
