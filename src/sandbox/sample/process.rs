//! The sample's processes: started detached, each known by a file that names it beyond doubt, stopped
//! by that and by nothing else.

use super::Place;
use super::pair::Colour;
use anyhow::{Context, bail, ensure};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long a new process may take until it answers.
const START_MS: u64 = 15_000;
/// How long an old process may take to finish its requests before it is killed.
const STOP_MS: i64 = 5_000;
/// Between two looks.
const POLL_MS: u64 = 20;
/// The stem of the file that names whoever started the sample.
const OWNER: &str = "owner";
/// Between two looks at the owner.
const OWNER_PERIOD: Duration = Duration::from_millis(500);
/// How much of the log an error shows.
const LOG_TAIL_CHARS: usize = 600;

/// One of the three processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    Front,
    Slot(Colour),
}

/// The front goes first, so that nobody asks for what is gone.
const UNITS: [Unit; 3] = [Unit::Front, Unit::Slot(Colour::Blue), Unit::Slot(Colour::Green)];

impl Unit {
    /// The stem of its files.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Front => "front",
            Self::Slot(colour) => colour.name(),
        }
    }
}

/// A process of the sample, as it wrote itself down. Process ids are used again; together with the
/// start time and the command line they are not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Running {
    /// Where it listens on loopback.
    pub(super) port: u16,
    #[serde(flatten)]
    process: Process,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Process {
    pid: i32,
    started_ticks: u64,
    command: Vec<String>,
}

impl Running {
    pub(super) fn pid(&self) -> i32 {
        self.process.pid
    }
}

/// Leaves the session of whoever started us, so that its end is not ours.
pub(super) fn detach() {
    // Refused only to a leader of a process group, which has nobody to leave.
    let _ = rustix::process::setsid();
}

/// Resolves when this process must end: it is asked to, or its owner is gone. A demo that is killed,
/// or a folder that is deleted, leaves nothing running.
pub(super) async fn end_of_service(place: Place) {
    use tokio::signal::unix::{SignalKind, signal};
    let asked = async {
        match signal(SignalKind::terminate()) {
            Ok(mut terminated) => drop(terminated.recv().await),
            // Then the signal ends the process by itself.
            Err(_) => std::future::pending().await,
        }
    };
    let orphaned = async {
        while read_from(&place.pid_file(OWNER)).is_some() {
            #[expect(clippy::disallowed_methods, reason = "the owner dies in real time")]
            tokio::time::sleep(OWNER_PERIOD).await;
        }
    };
    tokio::select! {
        () = asked => {}
        () = orphaned => {}
    }
}

/// Writes this process down as the one that serves.
pub(super) fn write_down(place: &Place, unit: Unit, port: u16) -> anyhow::Result<()> {
    write_to(&place.pid_file(unit.name()), port)
}

/// Writes this process down as the one for which the sample runs.
pub(super) fn write_down_owner(place: &Place) -> anyhow::Result<()> {
    write_to(&place.pid_file(OWNER), 0)
}

fn write_to(file: &Path, port: u16) -> anyhow::Result<()> {
    let pid = i32::try_from(std::process::id()).context("read our process id")?;
    let process = identify(pid).context("read our own process")?;
    let text = serde_json::to_vec(&Running { port, process })?;
    super::replace(file, &text).context("write the pid file")
}

/// The process that serves now; `None` when it ended or another one has its number.
pub(super) fn running(place: &Place, unit: Unit) -> Option<Running> {
    read_from(&place.pid_file(unit.name()))
}

fn read_from(file: &Path) -> Option<Running> {
    let written: Running = serde_json::from_slice(&fs::read(file).ok()?).ok()?;
    identify(written.process.pid).filter(|now| *now == written.process).map(|_| written)
}

/// Stops a process and waits until it is gone; says which it was.
pub(super) fn stop(place: &Place, unit: Unit) -> anyhow::Result<Option<i32>> {
    let Some(found) = running(place, unit) else { return Ok(None) };
    let pid = Pid::from_raw(found.pid()).context("read the pid file")?;
    let handle = match pidfd_open(pid, PidfdFlags::empty()) {
        Ok(handle) => handle,
        Err(rustix::io::Errno::SRCH) => return Ok(None),
        Err(error) => return Err(error).context("take hold of the old process"),
    };
    // The handle may be of a later process with the same number: only now can that not change.
    if running(place, unit).is_none_or(|now| now != found) {
        return Ok(None);
    }
    for signal in [Signal::TERM, Signal::KILL] {
        match pidfd_send_signal(&handle, signal) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => {}
            Err(error) => return Err(error).context("signal the old process"),
        }
        if has_ended(&handle)? {
            // Somebody else may have tidied up before us.
            let _ = fs::remove_file(place.pid_file(unit.name()));
            return Ok(Some(found.pid()));
        }
    }
    bail!("错误: 旧进程 {} 无法停止", found.pid())
}

/// Stops the front and both colours; says which processes it ended.
pub(super) fn stop_all(place: &Place) -> anyhow::Result<Vec<i32>> {
    let mut ended = Vec::new();
    for unit in UNITS {
        ended.extend(stop(place, unit)?);
    }
    Ok(ended)
}

fn has_ended(handle: &OwnedFd) -> anyhow::Result<bool> {
    let limit = Timespec { tv_sec: STOP_MS / 1_000, tv_nsec: (STOP_MS % 1_000) * 1_000_000 };
    let mut handles = [PollFd::new(handle, PollFlags::IN)];
    let ready = rustix::io::retry_on_intr(|| poll(&mut handles, Some(&limit)))
        .context("wait for the old process")?;
    Ok(ready > 0)
}

/// Stops what serves, starts `program sample <words> --detach`, and waits until it answers.
pub(super) fn restart(
    program: &Path,
    place: &Place,
    unit: Unit,
    words: &[String],
) -> anyhow::Result<Running> {
    stop(place, unit)?;
    let log = File::options()
        .create(true)
        .append(true)
        .open(place.log(unit.name()))
        .context("open the service's log")?;
    let errors = log.try_clone().context("open the service's log twice")?;
    #[expect(clippy::disallowed_methods, reason = "the sandbox is its own small application")]
    let mut command = Command::new(program);
    // Nothing of ours goes along, least of all the mark by which the bot knows a step's processes.
    let mut child = command
        .env_clear()
        .arg("sample")
        .args(words)
        .args(["--detach", "--dir"])
        .arg(&place.dir)
        .current_dir(&place.dir)
        .stdin(Stdio::null())
        .stdout(log)
        .stderr(errors)
        .spawn()
        .with_context(|| format!("start {}", program.display()))?;
    let pid = i32::try_from(child.id()).context("read the new process id")?;
    let waited = wait_for(&mut child, pid, place, unit);
    if waited.is_err() {
        // It may have ended by itself.
        let _ = child.kill();
    }
    // Whoever started it also has to collect it, or it stays as a zombie after its end.
    std::thread::spawn(move || {
        let _ = child.wait();
    });
    waited
}

fn wait_for(child: &mut Child, pid: i32, place: &Place, unit: Unit) -> anyhow::Result<Running> {
    #[expect(clippy::disallowed_methods, reason = "a process takes real time to start")]
    let started = Instant::now();
    while started.elapsed() < Duration::from_millis(START_MS) {
        if let Some(status) = child.try_wait().context("look at the new process")? {
            bail!("错误: 服务启动失败 ({status})\n{}", log_tail(place, unit));
        }
        let ours = running(place, unit).filter(|running| running.pid() == pid);
        if let Some(running) = ours.filter(|running| answers(running.port)) {
            return Ok(running);
        }
        std::thread::sleep(Duration::from_millis(POLL_MS));
    }
    bail!("错误: 服务在 {} 秒内没有响应\n{}", START_MS / 1_000, log_tail(place, unit))
}

/// Whether anything at all answers on the port.
fn answers(port: u16) -> bool {
    let ask = || -> std::io::Result<()> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let limit = Duration::from_secs(1);
        let mut stream = TcpStream::connect_timeout(&address, limit)?;
        stream.set_read_timeout(Some(limit))?;
        stream.write_all(b"GET /health HTTP/1.0\r\nHost: localhost\r\n\r\n")?;
        let mut first = [0; 1];
        stream.read_exact(&mut first)
    };
    match ask() {
        Ok(()) => true,
        // It listens, but takes its time to answer: it was asked to misbehave.
        Err(error) => matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
    }
}

fn log_tail(place: &Place, unit: Unit) -> String {
    let log = fs::read(place.log(unit.name())).unwrap_or_default();
    let log = String::from_utf8_lossy(&log);
    let skip = log.chars().count().saturating_sub(LOG_TAIL_CHARS);
    log.chars().skip(skip).collect()
}

/// What the kernel says about a process; `None` when it is gone or only waits to be collected.
fn identify(pid: i32) -> Option<Process> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may hold anything; the state is the first word after it.
    let (_, after) = stat.rsplit_once(") ")?;
    let words: Vec<&str> = after.split_whitespace().collect();
    if matches!(*words.first()?, "Z" | "X") {
        return None;
    }
    let started_ticks = words.get(19)?.parse().ok()?;
    let line = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let command = line
        .split(|byte| *byte == 0)
        .map(|word| String::from_utf8_lossy(word).into_owned())
        .collect();
    Some(Process { pid, started_ticks, command })
}

/// Refuses to serve the same thing twice.
pub(super) fn ensure_alone(place: &Place, unit: Unit) -> anyhow::Result<()> {
    let other = running(place, unit);
    ensure!(other.is_none(), "错误: 服务已经在运行 (pid {})", other.map_or(0, |it| it.pid()));
    Ok(())
}
