//! From the program's start to the end of everything it started.
//!
//! One loop polls the program, its output and the control socket; one enum says what is being waited
//! for. It never blocks on anything a step or a bot does.

use super::super::control::Control;
use super::super::handed::Handed;
use super::super::output::{Counts, Output};
use super::super::record::{Exit, Process, Reason};
use super::super::redact;
use super::super::spec::StepSpec;
use super::super::streams::Stream;
use super::super::tree;
use super::{Step, now, spawn_failed};
use crate::clock::{Clock, Millis};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{
    PidfdFlags, Signal, WaitOptions, WaitStatus, getpid, kill_process, kill_process_group,
    pidfd_open, wait,
};
use std::io::{self, PipeReader, Read};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

/// What the program leaves may be about to end by itself: the last of a pipeline.
const SETTLE: Duration = Duration::from_millis(100);
/// A killed process that does not die hangs in the kernel (a lost disk): it is named, and left.
const KILL_WAIT: Duration = Duration::from_secs(10);
/// How long output may still come once the step has ended …
const DRAIN: Duration = Duration::from_secs(1);
/// … or be silent, while somebody still holds it.
const DRAIN_SILENCE: Duration = Duration::from_millis(100);
/// How many processes left behind are named.
const NAMED_MAX: usize = 50;
const CHUNK_BYTES: usize = 64 * 1024;

/// What is being waited for.
#[derive(Debug, Clone, Copy)]
enum Phase {
    /// The program, until its time is over.
    Running(Instant),
    /// What it left, to end by itself.
    Settling(Instant),
    /// Everything, to follow TERM.
    Stopping(Instant),
    /// Everything, to follow KILL.
    Killing(Instant),
    /// The rest of the output: until it is silent, and not beyond the limit.
    Draining { silence: Instant, limit: Instant },
}

impl Phase {
    /// When something is due although nothing was heard.
    fn tick(self) -> Duration {
        let (until, at_most_ms) = match self {
            // Orphans of the step end without a sound; they are reaped by the way.
            Self::Running(until) => (until, 1_000),
            Self::Settling(until) | Self::Killing(until) => (until, 5),
            Self::Stopping(until) => (until, 20),
            Self::Draining { silence, limit } => (silence.min(limit), 20),
        };
        until.saturating_duration_since(now()).min(Duration::from_millis(at_most_ms))
    }
}

/// Watches the step until nothing of it is left, or only what may stay.
pub(super) fn to_its_end(
    spec: &StepSpec,
    step: Step,
    control: &mut Control,
    output: Output,
    started_ms: Millis,
) -> Exit {
    let mut watch = Watch::new(spec, step, control, output);
    while watch.advance() {
        watch.listen();
    }
    watch.into_exit(started_ms)
}

struct Watch<'s> {
    spec: &'s StepSpec,
    step: Step,
    /// Not ours to close: whoever listens hears of the end only when it is written.
    control: &'s mut Control,
    output: Output,
    phase: Phase,
    reason: Reason,
    /// Readable when the program has ended; `None` once it is reaped, or without kernel support.
    pidfd: Option<OwnedFd>,
    status: Option<WaitStatus>,
    /// Nothing the step started lives.
    is_alone: bool,
    left_behind: Vec<(tree::Entry, Process)>,
    chunk: Vec<u8>,
}

impl<'s> Watch<'s> {
    fn new(spec: &'s StepSpec, step: Step, control: &'s mut Control, output: Output) -> Self {
        let far = Duration::from_hours(365 * 24);
        let timeout = Duration::from_millis(spec.timeout_ms).min(far);
        Self {
            pidfd: pidfd_open(step.pid(), PidfdFlags::empty()).ok(),
            phase: Phase::Running(now() + timeout),
            spec,
            step,
            control,
            output,
            reason: Reason::Exited,
            status: None,
            is_alone: false,
            left_behind: Vec::new(),
            chunk: vec![0; CHUNK_BYTES],
        }
    }

    /// Takes in what has happened and moves on. False at the end.
    fn advance(&mut self) -> bool {
        self.reap();
        let is_cancel_asked = self.control.serve();
        let now = now();
        match self.phase {
            Phase::Running(_) if self.status.is_some() => self.program_ended(now),
            Phase::Running(_) if is_cancel_asked => self.stop(Reason::Cancelled, now),
            Phase::Running(until) if now >= until => self.stop(Reason::Timeout, now),
            Phase::Settling(_) | Phase::Stopping(_) | Phase::Killing(_) if self.is_alone => {
                self.drain(now);
            }
            Phase::Settling(until) if now >= until => {
                self.name_what_is_left();
                self.stop(Reason::Exited, now);
            }
            Phase::Stopping(until) if now >= until => {
                self.phase = Phase::Killing(now + KILL_WAIT);
                self.kill();
            }
            Phase::Killing(until) if now >= until => {
                self.name_what_is_left();
                self.drain(now);
            }
            // Children of the killed have become ours by now.
            Phase::Killing(_) => self.kill(),
            Phase::Draining { silence, limit } if now >= silence.min(limit) => return false,
            _ => {}
        }
        // Whoever asked to cancel hears that the step was told, or that it had ended.
        self.control.answer();
        // With the output closed there is nothing to drain, and nothing would wake the next wait.
        !matches!(self.phase, Phase::Draining { .. }) || self.is_output_open()
    }

    fn program_ended(&mut self, now: Instant) {
        if self.is_alone {
            self.drain(now);
        } else if self.spec.leaves_processes {
            self.name_what_is_left();
            self.drain(now);
        } else {
            self.phase = Phase::Settling(now + SETTLE);
        }
    }

    /// Tells everything the step started to end.
    fn stop(&mut self, reason: Reason, now: Instant) {
        self.reason = reason;
        for entry in tree::descendants_of(getpid()) {
            entry.signal(Signal::TERM);
            // A stopped process would not hear it.
            entry.signal(Signal::CONT);
        }
        self.phase = Phase::Stopping(now + Duration::from_millis(self.spec.grace_ms));
    }

    fn kill(&self) {
        if let Some(group) = &self.step.group {
            group.kill();
        }
        kill_children();
    }

    fn drain(&mut self, now: Instant) {
        let limit = now + DRAIN;
        // With nobody left to write, end-of-file is near; else silence must do.
        let silence = if self.is_alone { limit } else { now + DRAIN_SILENCE };
        self.phase = Phase::Draining { silence, limit };
    }

    fn name_what_is_left(&mut self) {
        for entry in tree::descendants_of(getpid()) {
            let is_new = !self.left_behind.iter().any(|(known, _)| known.is_same_as(&entry));
            if is_new && !entry.is_zombie() && self.left_behind.len() < NAMED_MAX {
                let named = entry.describe(|name| redact::text(&self.spec.secrets, name));
                self.left_behind.push((entry, named));
            }
        }
    }

    /// Collects the program and every orphan that has ended.
    fn reap(&mut self) {
        loop {
            match wait(WaitOptions::NOHANG) {
                Ok(Some((pid, status))) if pid == self.step.pid() => {
                    self.status = Some(status);
                    self.pidfd = None;
                }
                Ok(Some(_)) | Err(Errno::INTR) => {}
                Ok(None) => return,
                Err(_) => {
                    self.is_alone = true;
                    return;
                }
            }
        }
    }

    /// Waits for news, and takes output.
    fn listen(&mut self) {
        let mut fds: Vec<PollFd<'_>> = self.control.poll_fds().collect();
        if let Some(pidfd) = &self.pidfd {
            fds.push(PollFd::new(pidfd, PollFlags::IN));
        }
        let first_output = fds.len();
        let open: Vec<&PipeReader> = self.step.outputs.iter().flatten().collect();
        fds.extend(open.iter().map(|pipe| PollFd::new(*pipe, PollFlags::IN)));
        let tick = self.tick() + Duration::from_millis(1);
        let tick = Timespec {
            tv_sec: tick.as_secs().cast_signed(),
            tv_nsec: i64::from(tick.subsec_nanos()),
        };
        let news = poll(&mut fds, Some(&tick));
        let has_output =
            news.is_ok() && fds[first_output..].iter().any(|output| !output.revents().is_empty());
        drop(fds);
        if has_output {
            self.take_output(Stream::Out);
            self.take_output(Stream::Err);
        }
        self.output.tick(now());
    }

    /// How long to wait for news: a line that was waited for long enough is due as well.
    fn tick(&self) -> Duration {
        let line = self.output.due().map(|due| due.saturating_duration_since(now()));
        self.phase.tick().min(line.unwrap_or(Duration::MAX))
    }

    fn is_output_open(&self) -> bool {
        self.step.outputs.iter().any(Option::is_some)
    }

    /// Takes a chunk of what is there; never waits.
    fn take_output(&mut self, stream: Stream) {
        let Some(pipe) = &mut self.step.outputs[stream as usize] else { return };
        match pipe.read(&mut self.chunk) {
            Ok(count @ 1..) => {
                self.output.push(stream, &self.chunk[..count], now());
                if let Phase::Draining { silence, .. } = &mut self.phase {
                    *silence = now() + DRAIN_SILENCE;
                }
            }
            Err(fault)
                if matches!(
                    fault.kind(),
                    io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock
                ) => {}
            Ok(0) | Err(_) => {
                self.step.outputs[stream as usize] = None;
                self.output.close(stream);
            }
        }
    }

    fn into_exit(mut self, started_ms: Millis) -> Exit {
        // A program that never ended may not have told why: do not wait for it.
        let why = self.status.and_then(|_| self.step.why_not_executed());
        let handover = self.step.handover.take();
        if let Some(why) = why {
            return spawn_failed(self.spec, &why, started_ms);
        }
        let output_left_open = self.is_output_open();
        let left_behind = self
            .left_behind
            .into_iter()
            .map(|(entry, process)| Process { alive: entry.is_alive(), ..process })
            .collect();
        let is_success = self.reason == Reason::Exited
            && self.status.and_then(WaitStatus::exit_status) == Some(0);
        let handed = handover.map(|handover| handover.take(self.spec, is_success));
        let Handed { outputs, faults: output_faults } = handed.unwrap_or_default();
        let Counts { bytes, dropped, incomplete } = self.output.finish();
        Exit {
            reason: self.reason,
            code: self.status.and_then(WaitStatus::exit_status),
            signal: self.status.and_then(WaitStatus::terminating_signal),
            left_behind,
            bytes,
            dropped,
            output_incomplete: incomplete,
            output_left_open,
            outputs,
            output_faults,
            started_ms,
            ended_ms: Clock::System.now_ms(),
        }
    }
}

/// Kills our direct children and the groups they lead. Nobody else reaps them, so their ids cannot
/// have become a stranger's.
fn kill_children() {
    for child in tree::children_of(getpid()) {
        let _ = kill_process_group(child.pid, Signal::KILL);
        let _ = kill_process(child.pid, Signal::KILL);
    }
}
