//! What must hold of a history at rest. Pure, so that forged histories prove that each rule can fail.

use super::history::{Entry, History, Run, RunStep, step_of};
use super::world::Step;
use neostock_ops::core::run::{Event, Progress};
use std::collections::{BTreeMap, BTreeSet};

/// Every rule that does not hold, in words.
pub fn violations(history: &History) -> Vec<String> {
    let mut found = Vec::new();
    for run in &history.runs {
        let mut wrong = Vec::new();
        let told = Told::of(history, run);
        stuck(run, &mut wrong);
        journal_agrees(run, &told, &mut wrong);
        verdicts(history, run, &told, &mut wrong);
        executions(history, run, &told, &mut wrong);
        outputs(history, run, &told, &mut wrong);
        notices(history, run, &mut wrong);
        let name = format!("{} ({} in {})", run.id, run.action, run.environment);
        found.extend(wrong.into_iter().map(|what| format!("{name}: {what}")));
    }
    no_two_at_once(history, &mut found);
    no_message_twice(history, &mut found);
    let known: BTreeSet<&str> = history.runs.iter().map(|run| run.id.as_str()).collect();
    let lost = history.accepted.iter().filter(|run| !known.contains(run.as_str()));
    found.extend(lost.map(|run| format!("{run} was accepted and is not in the database")));
    found.extend(history.locks.iter().map(|name| format!("the lock of {name} is still held")));
    found.extend(history.due.iter().map(|key| format!("the message {key} was never sent")));
    found
}

/// What journal and evidence say of one run.
struct Told<'h> {
    journal: Vec<&'h Entry>,
    /// For each step, its attempts in the order in which they were decided, and what parted each
    /// from the one before.
    attempts: Vec<Vec<Attempt<'h>>>,
    /// Lines of evidence: what, step, attempt, code.
    lines: Vec<Vec<&'h str>>,
}

struct Attempt<'h> {
    id: &'h str,
    /// The entries about it, after its `step.starting`.
    after: Vec<&'h Entry>,
}

impl<'h> Told<'h> {
    fn of(history: &'h History, run: &'h Run) -> Self {
        let journal: Vec<_> =
            history.journal.iter().filter(|entry| entry.subject == run.id).collect();
        let mut attempts: Vec<Vec<Attempt<'h>>> = run.steps.iter().map(|_| Vec::new()).collect();
        for entry in &journal {
            let step = entry.detail["step"].as_u64().unwrap_or_default() as usize;
            let Some(of_step) = step.checked_sub(1).and_then(|step| attempts.get_mut(step)) else {
                continue;
            };
            if entry.kind == "step.starting" {
                let id = entry.detail["attempt"].as_str().unwrap_or_default();
                of_step.push(Attempt { id, after: Vec::new() });
            } else if let Some(attempt) = of_step.last_mut() {
                attempt.after.push(entry);
            }
        }
        let lines = history.evidence.get(&run.environment).into_iter().flatten();
        let lines = lines.map(|line| line.split(' ').collect::<Vec<_>>());
        let lines = lines.filter(|words| words.get(1) == Some(&run.id.as_str())).collect();
        Self { journal, attempts, lines }
    }

    fn begins(&self, attempt: &str) -> usize {
        self.lines.iter().filter(|words| words[0] == "begin" && words[3] == attempt).count()
    }

    /// The code with which an attempt says it ended.
    fn end(&self, attempt: &str) -> Option<&'h str> {
        let end = self.lines.iter().find(|words| words[0] == "end" && words[3] == attempt)?;
        end.get(4).copied()
    }
}

impl Attempt<'_> {
    fn has(&self, kind: &str) -> bool {
        self.after.iter().any(|entry| entry.kind == kind)
    }
}

/// Everything has ended, or waits for nobody any more.
fn stuck(run: &Run, wrong: &mut Vec<String>) {
    let finals = ["succeeded", "failed", "cancelled", "timed_out", "rejected", "expired"];
    if !finals.contains(&run.state.as_str()) {
        wrong.push(format!("it is stuck: {}", run.state));
    }
}

/// The journal's events are legal one after the other, and lead to what the rows say.
fn journal_agrees(run: &Run, told: &Told<'_>, wrong: &mut Vec<String>) {
    let mut progress = Progress::new(vec![false; run.steps.len()]);
    for entry in &told.journal {
        let Some(event) = event_of(&entry.kind) else { continue };
        match progress.after(event) {
            Ok(next) => progress = next,
            Err(illegal) => return wrong.push(format!("its journal is impossible: {illegal}")),
        }
    }
    let said = progress.state.as_str();
    if said != run.state {
        wrong.push(format!("the journal says {said}, the database {}", run.state));
    }
    let steps: Vec<&str> = progress.steps.iter().map(|step| step.as_str()).collect();
    let rows: Vec<&str> = run.steps.iter().map(|step| step.state.as_str()).collect();
    if steps != rows {
        wrong.push(format!("the journal says {steps:?}, the database {rows:?}"));
    }
}

fn event_of(kind: &str) -> Option<Event> {
    Some(match kind {
        "run.queued" => Event::GatesPassed,
        "run.gate_voided" => Event::GateVoided,
        "run.rejected" => Event::Rejected,
        "run.expired" => Event::Expired,
        "run.started" => Event::Claimed,
        "run.cancelled" => Event::Cancelled,
        "step.starting" => Event::Starting,
        "step.never_started" => Event::NeverStarted,
        "step.cannot_start" => Event::CannotStart,
        "step.started" => Event::Started,
        "step.ok" => Event::StepOk,
        "step.failed" => Event::StepFailed,
        "step.timed_out" => Event::StepTimedOut,
        "step.cancelled" => Event::StepCancelled,
        "step.lost" => Event::StepLost,
        "step.skipped" => Event::StepSkipped,
        "step.retrying" => Event::Retrying,
        "step.again" => Event::Again,
        "step.settled_ok" => Event::SettledOk,
        "step.settled_failed" => Event::SettledFailed,
        _ => return None,
    })
}

/// What is said of each step is what its own evidence says.
fn verdicts(history: &History, run: &Run, told: &Told<'_>, wrong: &mut Vec<String>) {
    for (position, (step, attempts)) in run.steps.iter().zip(&told.attempts).enumerate() {
        let Some(meant) = step_of(&run.action, position) else { continue };
        let name = format!("step {}", position + 1);
        let last = attempts.last();
        let end = last.and_then(|attempt| told.end(attempt.id));
        if let Some(attempt) = last
            && attempt.id != step.attempt
        {
            wrong.push(format!(
                "{name} is about {}, its journal about {}",
                step.attempt, attempt.id
            ));
        }
        let fits = match step.state.as_str() {
            "ok" => end == Some("0"),
            "failed" => fits_failed(step, last, end, meant),
            // Its time was over, or somebody stopped it: it may have come to its end all the same.
            "timed_out" => meant.lines >= 50,
            "cancelled" => true,
            "skipped" => attempts.iter().all(|attempt| told.begins(attempt.id) == 0),
            _ => false,
        };
        if !fits {
            wrong.push(format!("{name} is {}, and its own evidence ends with {end:?}", step.state));
        }
        for attempt in attempts.iter().filter(|attempt| attempt.has("step.lost")) {
            if !history.killed.contains(attempt.id) {
                let id = attempt.id;
                wrong.push(format!(
                    "{name} was called lost, and nobody killed the supervisor of {id}"
                ));
            }
        }
        let is_judged = |kind: &str, code: &str| {
            let judged = attempts.iter().filter(|attempt| attempt.has(kind));
            judged.filter(|attempt| told.end(attempt.id) != Some(code)).count()
        };
        if is_judged("step.ok", "0") > 0 {
            wrong.push(format!("an attempt of {name} was called ok and says otherwise"));
        }
    }
}

fn fits_failed(step: &RunStep, last: Option<&Attempt<'_>>, end: Option<&str>, meant: Step) -> bool {
    let Some(last) = last else { return false };
    if last.has("step.settled_failed") {
        return end != Some("0");
    }
    if last.has("step.cannot_start") {
        // Five starts in a row were proved not to have happened.
        return step.attempts >= 5;
    }
    end.is_some_and(|code| code != "0" && code == meant.code.to_string())
}

/// Nothing began twice without proof that it never ran, its own word, or a person's.
fn executions(history: &History, run: &Run, told: &Told<'_>, wrong: &mut Vec<String>) {
    for (position, attempts) in told.attempts.iter().enumerate() {
        let is_idempotent = step_of(&run.action, position).is_some_and(|step| step.is_idempotent);
        for attempt in attempts {
            let begins = told.begins(attempt.id);
            if begins > 1 {
                wrong.push(format!("{} began {begins} times", attempt.id));
            }
            if begins > 0 && attempt.has("step.never_started") {
                wrong.push(format!("{} began and is said never to have started", attempt.id));
            }
        }
        for attempt in attempts.iter().rev().skip(1) {
            let by_person =
                |entry: &&Entry| entry.kind == "step.again" && entry.actor != "neostock-ops";
            let is_allowed = attempt.has("step.never_started")
                || attempt.after.iter().copied().any(|entry| by_person(&entry))
                || (is_idempotent && attempt.has("step.again"));
            if !is_allowed {
                wrong.push(format!("step {} was begun again after {}", position + 1, attempt.id));
            }
        }
    }
    let decided: BTreeSet<&str> =
        told.attempts.iter().flatten().map(|attempt| attempt.id).collect();
    for words in &told.lines {
        if !decided.contains(words[3]) {
            wrong.push(format!("{} ran and was never decided", words[3]));
        }
    }
    let _ = history;
}

/// Every line that a step printed is in its log, in the database and in the thread.
fn outputs(history: &History, run: &Run, told: &Told<'_>, wrong: &mut Vec<String>) {
    let prefix = format!("{}/", run.id);
    let thread =
        history.messages.iter().filter(|said| said.is_reply && said.key.starts_with(&prefix));
    let thread: BTreeSet<&str> = thread.flat_map(|said| said.text.lines()).collect();
    for (position, (step, attempts)) in run.steps.iter().zip(&told.attempts).enumerate() {
        let Some(meant) = step_of(&run.action, position) else { continue };
        for attempt in attempts.iter().filter(|attempt| told.end(attempt.id).is_some()) {
            // How it ended was read from its supervisor: then all of its output is there.
            if !(attempt.has("step.ok") || attempt.has("step.failed")) {
                continue;
            }
            let name = format!("{}.{}.{}", run.id, position + 1, attempt.id);
            let log = history.outputs.get(attempt.id).map_or("", String::as_str);
            let log: Vec<&str> = log.lines().collect();
            let tail: Vec<&str> = step.tail.lines().collect();
            for line in (1..=meant.lines).map(|number| format!("{name}.{number}")) {
                let count = log.iter().filter(|found| **found == line).count();
                if count != 1 {
                    wrong.push(format!("{line} stands {count} times in its log"));
                }
                if step.attempt == attempt.id && !tail.contains(&line.as_str()) {
                    wrong.push(format!("{line} is not in the database"));
                }
                if !thread.contains(line.as_str()) {
                    wrong.push(format!("{line} is not in the thread"));
                }
            }
        }
    }
}

/// One card, one closing message, and both say how it ended.
fn notices(history: &History, run: &Run, wrong: &mut Vec<String>) {
    let words = match run.state.as_str() {
        "succeeded" => "✅ done",
        "failed" => "🚨 failed",
        "timed_out" => "🚨 timed out",
        "cancelled" => "🛑 was cancelled",
        _ => return,
    };
    for (key, what) in [("card", "cards"), ("end", "closing messages")] {
        let key = format!("{}/{key}", run.id);
        let found: Vec<_> = history.messages.iter().filter(|said| said.key == key).collect();
        if found.len() != 1 {
            wrong.push(format!("it has {} {what}", found.len()));
        }
        let other = found.iter().find(|said| !said.text.contains(words));
        if let Some(other) = other {
            wrong.push(format!("it is {}, and is told so: {:?}", run.state, other.text));
        }
    }
}

/// The lines of an environment's runs stand together: no run began while another had the lock.
fn no_two_at_once(history: &History, found: &mut Vec<String>) {
    for (environment, lines) in &history.evidence {
        let mut over = BTreeSet::new();
        let mut current = "";
        for run in lines.iter().filter_map(|line| line.split(' ').nth(1)) {
            if run == current {
                continue;
            }
            if over.contains(run) {
                found.push(format!("{run} and {current} had {environment} at the same time"));
            }
            over.insert(current);
            current = run;
        }
    }
}

fn no_message_twice(history: &History, found: &mut Vec<String>) {
    let mut counts: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for said in &history.messages {
        *counts.entry((&said.key, &said.channel)).or_default() += 1;
    }
    for ((key, channel), count) in counts {
        if count > 1 || key.is_empty() {
            found.push(format!("the message {key:?} is {count} times in {channel}"));
        }
    }
}
