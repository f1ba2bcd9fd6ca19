//! The demo as a person meets it: started, its page used in a real browser, stopped with Ctrl-C.

use crate::harness::looks::{Looks, until};
use crate::harness::ports::free_port;
use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

/// How long the demo may take to start, or to stop.
const PATIENCE: Duration = Duration::from_mins(1);

struct Demo {
    child: Child,
    out: BufReader<ChildStdout>,
    /// What it makes its own folder in.
    folder: TempDir,
}

impl Demo {
    fn start(port: u16) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_neostock-ops"))
            .args(["demo", "--port", &port.to_string()])
            .env("TMPDIR", folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        Self { child, out, folder }
    }

    /// What it prints until it waits for people.
    fn welcome(&mut self) -> String {
        let mut words = String::new();
        while !words.contains("Ctrl-C") {
            assert_ne!(self.out.read_line(&mut words).unwrap(), 0, "it ended: {words}");
        }
        words
    }

    /// Sends a signal, and the exit code.
    fn end_with(&mut self, signal: Signal) -> Option<i32> {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
        self.exit_code()
    }

    fn exit_code(&mut self) -> Option<i32> {
        let looks = Looks::within(PATIENCE);
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            looks.again_blocking(|| "it did not end".to_owned());
        }
    }

    fn complaint(&mut self) -> String {
        let mut words = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut words).unwrap();
        words
    }

    fn assert_nothing_is_left(&self) {
        let files: Vec<_> = fs::read_dir(self.folder.path()).unwrap().collect();
        assert!(files.is_empty(), "{files:?}");
        let left = processes_naming(self.folder.path());
        assert!(left.is_empty(), "{left:?}");
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        // Only a test that failed gets here with a living demo; nobody else will end it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The command lines of living processes that name a folder, in their arguments or environment.
fn processes_naming(folder: &Path) -> Vec<String> {
    let name = folder.to_str().unwrap();
    let processes = fs::read_dir("/proc").unwrap().filter_map(|entry| {
        let process = entry.unwrap().path();
        // A process that ends while it is looked at has ended.
        let read = |file: &str| fs::read(process.join(file)).unwrap_or_default();
        let line = String::from_utf8_lossy(&read("cmdline")).replace('\0', " ");
        let names = line.contains(name) || String::from_utf8_lossy(&read("environ")).contains(name);
        names.then_some(line)
    });
    processes.collect()
}

#[test]
fn the_page_does_what_people_do_and_ctrl_c_leaves_nothing() {
    let port = free_port();
    let mut demo = Demo::start(port);
    let welcome = demo.welcome();
    let url = format!("http://127.0.0.1:{port}");
    assert!(welcome.contains(&format!("{url}/")) && welcome.contains("/readyz"), "{welcome}");
    assert!(welcome.contains("help") && welcome.contains("see what she may do"), "{welcome}");
    assert!(!processes_naming(demo.folder.path()).is_empty(), "the search finds the demo itself");

    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/browser/page.mjs");
    let played = Command::new("node").arg(script).arg(&url).output();

    let played = played.expect("node is missing; tools/prepare.sh installs it");
    let told = String::from_utf8_lossy(&played.stdout);
    let complaint = String::from_utf8_lossy(&played.stderr);
    assert!(
        played.status.success(),
        "{told}\n{complaint}\n(tools/prepare.sh installs the browser)"
    );
    assert!(told.matches("ok ").count() >= 11, "{told}");
    println!("{told}");
    assert_eq!(demo.end_with(Signal::INT), Some(0));
    demo.assert_nothing_is_left();
}

#[test]
fn a_demo_that_is_ended_while_it_starts_leaves_nothing_either() {
    let mut demo = Demo::start(0);
    let folder = demo.folder.path().to_owned();
    until("it makes a folder", PATIENCE, || fs::read_dir(&folder).unwrap().next().is_some());

    assert_eq!(demo.end_with(Signal::TERM), Some(0));

    demo.assert_nothing_is_left();
}

#[test]
fn a_port_that_is_taken_is_named_and_another_way_told() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let mut demo = Demo::start(port);

    assert_eq!(demo.exit_code(), Some(1));

    let complaint = demo.complaint();
    assert!(complaint.contains(&port.to_string()) && complaint.contains("--port"), "{complaint}");
    demo.assert_nothing_is_left();
}
