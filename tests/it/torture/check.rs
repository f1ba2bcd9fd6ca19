//! What must hold of a history, at any moment and at rest. Pure, so that forged histories prove that each
//! rule can fail.

use super::history::{Entry, History, Run, RunStep, is_followed, step_of};
use super::world::{Policy, Step};
use neostock_ops::core::run::{Event, Progress};
use std::collections::{BTreeMap, BTreeSet};

/// States in which a run has ended.
const FINALS: [&str; 6] = ["succeeded", "failed", "cancelled", "timed_out", "rejected", "expired"];

/// Every rule that does not hold although nothing is at rest: what must be true while all goes on.
pub fn violations_under_way(history: &History) -> Vec<String> {
    let mut found = of_runs(history, |run, told, wrong| {
        journal_agrees(run, told, wrong);
        verdicts(history, run, told, wrong);
        executions(run, told, wrong);
        follow_ups(history, run, told, wrong);
    });
    no_two_at_once(history, &mut found);
    no_message_twice(history, &mut found);
    found
}

/// What a rule finds in each run, behind the run's name.
fn of_runs(history: &History, rule: impl Fn(&Run, &Told<'_>, &mut Vec<String>)) -> Vec<String> {
    let mut found = Vec::new();
    for run in &history.runs {
        let mut wrong = Vec::new();
        rule(run, &Told::of(history, run), &mut wrong);
        let name = format!("{} ({} in {})", run.id, run.action, run.environment);
        found.extend(wrong.into_iter().map(|what| format!("{name}: {what}")));
    }
    found
}

/// Every rule that does not hold at rest, in words.
pub fn violations(history: &History) -> Vec<String> {
    let mut found = violations_under_way(history);
    found.extend(of_runs(history, |run, told, wrong| {
        stuck(run, wrong);
        outputs(history, run, told, wrong);
        policies(run, told, wrong);
        notices(history, run, wrong);
    }));
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
    /// The attempts of which there were lines before the journal was read.
    begun: BTreeSet<&'h str>,
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
        let lines = lines_of(&history.evidence, run).collect();
        let begun = lines_of(&history.evidence_before, run).map(|words| words[3]).collect();
        Self { journal, attempts, lines, begun }
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

/// The lines of a run, in words.
fn lines_of<'h>(
    evidence: &'h BTreeMap<String, Vec<String>>,
    run: &Run,
) -> impl Iterator<Item = Vec<&'h str>> {
    let lines = evidence.get(&run.environment).into_iter().flatten();
    let lines = lines.map(|line| line.split(' ').collect::<Vec<_>>());
    lines.filter(move |words| words.get(1) == Some(&run.id.as_str()))
}

impl Attempt<'_> {
    fn has(&self, kind: &str) -> bool {
        self.after.iter().any(|entry| entry.kind == kind)
    }
}

/// Everything has ended, or waits for nobody any more.
fn stuck(run: &Run, wrong: &mut Vec<String>) {
    if !FINALS.contains(&run.state.as_str()) {
        wrong.push(format!("it is stuck: {}", run.state));
    }
}

/// The journal's events are legal one after the other, and lead to what the rows say.
fn journal_agrees(run: &Run, told: &Told<'_>, wrong: &mut Vec<String>) {
    let steps = 0..run.steps.len();
    let policy = |position| step_of(&run.action, position).map(Step::policy);
    let mut progress =
        Progress::new(steps.map(|position| policy(position) == Some(Policy::Always)).collect());
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
            "timed_out" => meant.is_late(),
            "cancelled" => true,
            "skipped" => attempts.iter().all(|attempt| told.begins(attempt.id) == 0),
            _ => !FINALS.contains(&run.state.as_str()),
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
fn executions(run: &Run, told: &Told<'_>, wrong: &mut Vec<String>) {
    for (position, attempts) in told.attempts.iter().enumerate() {
        let meant = step_of(&run.action, position);
        let is_idempotent = meant.is_some_and(|step| step.is_idempotent);
        let is_retried = meant.is_some_and(|step| step.policy() == Policy::Retry);
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
                || (is_idempotent && attempt.has("step.again"))
                || (is_retried && attempt.has("step.retrying"));
            if !is_allowed {
                wrong.push(format!("step {} was begun again after {}", position + 1, attempt.id));
            }
        }
    }
    let decided: BTreeSet<&str> =
        told.attempts.iter().flatten().map(|attempt| attempt.id).collect();
    for attempt in told.begun.difference(&decided) {
        wrong.push(format!("{attempt} ran and was never decided"));
    }
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
            let ends = ["step.ok", "step.failed", "step.retrying"];
            if !ends.iter().any(|kind| attempt.has(kind)) {
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

/// Cleanup is done once anything began, a retry as often as the runbook says, and a condition decides
/// by the value that was handed on.
fn policies(run: &Run, told: &Told<'_>, wrong: &mut Vec<String>) {
    let mut handed = None;
    for (position, (step, attempts)) in run.steps.iter().zip(&told.attempts).enumerate() {
        let Some(meant) = step_of(&run.action, position) else { continue };
        let name = format!("step {}", position + 1);
        let has_begun = attempts.iter().any(|attempt| told.begins(attempt.id) > 0);
        let is_anything_begun =
            told.attempts[..position].iter().flatten().any(|attempt| told.begins(attempt.id) > 0);
        match meant.policy() {
            Policy::Always => {
                if step.state == "skipped" && is_anything_begun {
                    wrong.push(format!("{name} is cleanup, and was not done"));
                }
            }
            Policy::Retry => {
                let entries = attempts.iter().flat_map(|attempt| &attempt.after);
                let retries = entries.filter(|entry| entry.kind == "step.retrying").count();
                let ended = attempts.last();
                // Whoever wants it stopped wants no other try either.
                let is_stopped =
                    told.journal.iter().any(|entry| entry.kind == "decision.cancelled");
                let is_over =
                    !is_stopped && ended.is_some_and(|attempt| attempt.has("step.failed"));
                if retries > 2 || (is_over && retries < 2) {
                    wrong.push(format!("{name} was tried again {retries} times"));
                }
            }
            Policy::Hands => {
                // Settled by a person, it handed nothing on.
                let is_ok = attempts.last().is_some_and(|attempt| attempt.has("step.ok"));
                handed = is_ok.then_some("full");
            }
            Policy::IfEmpty => {
                if has_begun {
                    wrong.push(format!("{name} was to be skipped"));
                }
            }
            Policy::IfFull => {
                let is_left_out = step.state == "skipped" && run.state == "succeeded";
                if handed.is_none() && has_begun {
                    wrong.push(format!("{name} was done without the value that it needs"));
                }
                if handed.is_some() && is_left_out {
                    wrong.push(format!("{name} was skipped, and its condition held"));
                }
            }
            Policy::Plain => {}
        }
    }
}

/// What follows a failure is begun once, and only after a failure of something that began.
fn follow_ups(history: &History, run: &Run, told: &Told<'_>, wrong: &mut Vec<String>) {
    if !is_followed(&run.action) {
        return;
    }
    let has_begun = told.journal.iter().any(|entry| entry.kind == "step.started");
    let is_due = has_begun && matches!(run.state.as_str(), "failed" | "timed_out");
    let followers = history
        .journal
        .iter()
        .filter(|entry| entry.kind == "run.follows" && entry.detail["cause"] == run.id.as_str());
    let count = followers.filter(|entry| history.runs.iter().any(|run| run.id == entry.subject));
    let count = count.count();
    if count != usize::from(is_due) {
        wrong.push(format!("it is {}, and {count} runs follow it", run.state));
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

#[cfg(test)]
mod forged {
    use super::super::history::Said;
    use super::*;
    use serde_json::{Value, json};

    const RUN: &str = "R-AAAAAAAA";

    fn entry(actor: &str, kind: &str, detail: Value) -> Entry {
        let (actor, kind) = (actor.to_owned(), kind.to_owned());
        Entry { actor, kind, subject: RUN.to_owned(), detail }
    }

    fn said(part: &str, text: &str) -> Said {
        Said {
            key: format!("{RUN}/{part}"),
            channel: "C0E00".to_owned(),
            is_reply: part != "card",
            text: text.to_owned(),
        }
    }

    /// A run of `quick` that lost its first attempt, was settled by a person to run again, and succeeded.
    fn sound() -> History {
        let output =
            |attempt: &str| [1, 2, 3, 0].map(|line| format!("{RUN}.1.{attempt}.{line}")).join("\n");
        let bot = |kind: &str| entry("neostock-ops", kind, json!({"step": 1}));
        let starting = |attempt: &str| {
            entry("neostock-ops", "step.starting", json!({"step": 1, "attempt": attempt}))
        };
        let step = RunStep {
            state: "ok".to_owned(),
            attempt: "A-2".to_owned(),
            attempts: 2,
            tail: output("A-2"),
        };
        let run = Run {
            id: RUN.to_owned(),
            action: "quick".to_owned(),
            environment: "e00".to_owned(),
            state: "succeeded".to_owned(),
            steps: vec![step],
        };
        let lines = ["begin R 1 A-1", "begin R 1 A-2", "end R 1 A-2 0"];
        let lines = lines.map(|line| line.replace(" R ", &format!(" {RUN} ")));
        History {
            runs: vec![run],
            journal: vec![
                entry("U0ANN", "run.requested", json!({})),
                entry("U0ANN", "run.queued", json!({})),
                entry("neostock-ops", "run.started", json!({})),
                starting("A-1"),
                bot("step.started"),
                bot("step.lost"),
                entry("U0BOB", "step.again", json!({"step": 1})),
                starting("A-2"),
                bot("step.started"),
                bot("step.ok"),
            ],
            messages: vec![
                said("card", "quick ✅ done"),
                said("0.2.0", &output("A-2")),
                said("end", "quick ✅ done"),
            ],
            evidence: [("e00".to_owned(), lines.to_vec())].into(),
            evidence_before: [("e00".to_owned(), lines.to_vec())].into(),
            outputs: [("A-2".to_owned(), output("A-2"))].into(),
            killed: ["A-1".to_owned()].into(),
            accepted: [RUN.to_owned()].into(),
            ..History::default()
        }
    }

    /// Forges a history and expects one violation that says this.
    fn forge(words: &str, change: impl FnOnce(&mut History)) {
        let mut history = sound();
        change(&mut history);
        let found = violations(&history);
        assert!(found.iter().any(|what| what.contains(words)), "{words:?} is not in {found:#?}");
    }

    fn lines(history: &mut History) -> &mut Vec<String> {
        history.evidence.get_mut("e00").unwrap()
    }

    #[test]
    fn a_sound_history_has_no_violation() {
        assert_eq!(violations(&sound()), Vec::<String>::new());
    }

    #[test]
    fn what_is_under_way_has_no_violation_and_a_lie_about_it_does() {
        let mut history = sound();
        // The second attempt runs: its end is still to come, on paper too.
        history.runs[0].state = "running".to_owned();
        history.runs[0].steps[0].state = "running".to_owned();
        history.journal.pop();
        lines(&mut history).pop();
        history.messages.truncate(1);
        assert_eq!(violations_under_way(&history), Vec::<String>::new());
        // Decided after the journal was read, it may have begun meanwhile.
        lines(&mut history).push(format!("begin {RUN} 1 A-3"));
        assert_eq!(violations_under_way(&history), Vec::<String>::new());

        lines(&mut history).push(format!("begin {RUN} 1 A-2"));
        history.runs[0].steps[0].state = "ok".to_owned();
        let found = violations_under_way(&history).join("\n");
        for words in ["A-2 began 2 times", "step 1 is ok", "the journal says"] {
            assert!(found.contains(words), "{words:?} is not in {found}");
        }
    }

    #[test]
    fn a_wrong_verdict_is_found() {
        forge("step 1 is ok", |history| drop(lines(history).pop()));
        forge("called ok and says otherwise", |history| {
            *lines(history).last_mut().unwrap() = format!("end {RUN} 1 A-2 3");
        });
        forge("nobody killed the supervisor of A-1", |history| history.killed.clear());
        forge("the journal says succeeded, the database failed", |history| {
            history.runs[0].state = "failed".to_owned();
        });
        forge("its journal is impossible", |history| drop(history.journal.remove(8)));
    }

    #[test]
    fn a_double_execution_is_found() {
        forge("A-2 began 2 times", |history| {
            lines(history).push(format!("begin {RUN} 1 A-2"));
        });
        // Not a person but the bot itself says that it is to run again.
        forge("was begun again after A-1", |history| {
            history.journal[6].actor = "neostock-ops".to_owned();
        });
        forge("A-3 ran and was never decided", |history| {
            let before = history.evidence_before.get_mut("e00").unwrap();
            before.push(format!("begin {RUN} 1 A-3"));
        });
        forge("A-1 began and is said never to have started", |history| {
            history.journal[5].kind = "step.never_started".to_owned();
        });
    }

    #[test]
    fn two_runs_that_had_one_environment_are_found() {
        forge("had e00 at the same time", |history| {
            lines(history).insert(1, "begin R-BBBBBBBB 1 A-9".to_owned());
        });
    }

    #[test]
    fn lost_output_is_found() {
        forge("2 stands 0 times in its log", |history| {
            let log = history.outputs.get_mut("A-2").unwrap();
            *log = log.replace(&format!("{RUN}.1.A-2.2\n"), "");
        });
        forge("A-2.3 is not in the database", |history| history.runs[0].steps[0].tail.clear());
        forge("A-2.1 is not in the thread", |history| drop(history.messages.remove(1)));
    }

    /// The sound history with another action in its place, whose steps have these states.
    fn of_action(history: &mut History, action: &str, states: &[&str]) {
        let first = history.runs[0].steps[0].clone();
        history.runs[0].action = action.to_owned();
        history.runs[0].steps = states
            .iter()
            .enumerate()
            .map(|(position, state)| match position {
                0 => RunStep { state: (*state).to_owned(), ..first.clone() },
                _ => RunStep {
                    state: (*state).to_owned(),
                    attempt: String::new(),
                    attempts: 0,
                    tail: String::new(),
                },
            })
            .collect();
    }

    #[test]
    fn a_policy_that_was_not_kept_is_found() {
        forge("step 4 is cleanup, and was not done", |history| {
            of_action(history, "tidying", &["ok", "skipped", "skipped", "skipped"]);
        });
        forge("step 1 was tried again 3 times", |history| {
            of_action(history, "retrying", &["ok", "ok"]);
            for _ in 0..3 {
                history.journal.push(entry("neostock-ops", "step.retrying", json!({"step": 1})));
            }
        });
        forge("step 3 was skipped, and its condition held", |history| {
            of_action(history, "choosing", &["ok", "skipped", "skipped"]);
        });
        forge("step 2 was to be skipped", |history| {
            of_action(history, "choosing", &["ok", "ok", "ok"]);
            let detail = json!({"step": 2, "attempt": "A-3"});
            history.journal.push(entry("neostock-ops", "step.starting", detail));
            lines(history).push(format!("begin {RUN} 2 A-3"));
        });
        forge("step 3 was done without the value", |history| {
            of_action(history, "choosing", &["ok", "skipped", "ok"]);
            history.journal[9].kind = "step.settled_ok".to_owned();
            let detail = json!({"step": 3, "attempt": "A-3"});
            history.journal.push(entry("neostock-ops", "step.starting", detail));
            lines(history).push(format!("begin {RUN} 3 A-3"));
        });
    }

    #[test]
    fn a_failure_that_nothing_or_too_much_follows_is_found() {
        forge("and 0 runs follow it", |history| {
            history.runs[0].action = "undoing".to_owned();
            history.runs[0].state = "failed".to_owned();
        });
        forge("it is succeeded, and 1 runs follow it", |history| {
            history.runs[0].action = "undoing".to_owned();
            let cause = json!({"cause": RUN});
            history.journal.push(entry("neostock-ops", "run.follows", cause));
        });
    }

    #[test]
    fn lost_and_doubled_notices_are_found() {
        forge("it has 0 closing messages", |history| drop(history.messages.pop()));
        forge("it has 2 cards", |history| {
            history.messages.push(said("card", "quick ✅ done"));
        });
        forge("is told so", |history| history.messages[0].text = "running".to_owned());
        forge("is 2 times in C0E00", |history| {
            let again = history.messages[1].clone();
            history.messages.push(again);
        });
        forge("was never sent", |history| history.due.push("x".to_owned()));
    }

    #[test]
    fn what_is_stuck_or_forgotten_is_found() {
        forge("it is stuck: running", |history| history.runs[0].state = "running".to_owned());
        forge("the lock of e00 is still held", |history| history.locks.push("e00".to_owned()));
        forge("R-ZZZZZZZZ was accepted and is not in the database", |history| {
            history.accepted.insert("R-ZZZZZZZZ".to_owned());
        });
    }
}
