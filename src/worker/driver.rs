//! Drives one run from step to step. What a step did is never assumed: it is read from the evidence
//! that its supervisor wrote, by the table in ARCHITECTURE.md.

use super::gates::{self, Gates};
use super::{output, tail};
use crate::command::unchanged;
use crate::config::settings::DATABASE_VARIABLE;
use crate::core::card::Card;
use crate::core::checklist;
use crate::core::decision::AtItsTurn;
use crate::core::evidence::{End, Evidence, Survivor};
use crate::core::freeze;
use crate::core::freeze_card;
use crate::core::host_card;
use crate::core::id::AttemptId;
use crate::core::plan::{PlannedStep, Work};
use crate::core::run::{Event, State, StepState};
use crate::core::run_card::RunView;
use crate::core::step::{self, Outputs};
use crate::core::step_result::{self, Last};
use crate::core::text::Text;
use crate::engine::gates::Back;
use crate::engine::{Attended, Driven, Engine, Error, Facts};
use crate::exec::drift;
use crate::exec::handed::OutputFault;
use crate::exec::local::{Local, Verdict};
use crate::exec::past::{self, Past};
use crate::exec::record::{Exit, Process, Reason, make_folder};
use crate::exec::space::has_room_for_a_step;
use crate::exec::spec::StepSpec;
use crate::store::runs::StepRow;
use secrecy::{ExposeSecret, SecretString};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tracing::{error, info, warn};

/// How often a start that is proved not to have happened is tried again.
const STARTS_MAX: i64 = 5;
/// How often an idempotent step that was lost is tried again without a person.
const LOST_AGAIN_MAX: i64 = 3;
/// Between two tries to ask whether a gate still holds.
const GATE_LOOK_MS: u64 = 5_000;
/// The longest wait for another try before the lease is renewed.
const RETRY_LOOK_MS: u64 = 5_000;
/// How often the survivors of a lost step are counted again before they are reported.
const SURVIVOR_LOOKS: u32 = 4;
/// Between two counts.
const SURVIVOR_WAIT: Duration = Duration::from_millis(250);
/// How often a step that waits for room on the disk looks for it.
const ROOM_WAIT_MS: u64 = 1_000;
/// Bytes of output that the store keeps.
const TAIL_BYTES_MAX: usize = 16 * 1024;

/// What a driver needs besides the engine.
#[derive(Debug, Clone)]
pub struct Means {
    /// Starts and observes steps on this host.
    pub local: Local,
    /// Where attempts leave their evidence.
    pub attempts: PathBuf,
    /// What was begun before this process did.
    pub past: Arc<Past>,
    /// This program, for every kind of step but `run`.
    pub program: PathBuf,
    /// The bot's own database, for `journal` steps alone.
    pub database_url: SecretString,
    /// Asked at a run's turn whether its people still may.
    pub gates: Gates,
}

/// Drives a claimed run until it ends, waits for a person, or belongs to another bot.
///
/// # Errors
/// The engine's. [`Error::Fenced`] means that all is well elsewhere. After any other, the lease ends
/// and the run is claimed again: nothing is decided twice.
pub async fn drive(engine: &Engine, means: &Means, driven: &Driven) -> Result<(), Error> {
    loop {
        let Attended { view, steps } = engine.attend(driven).await?;
        if let Some(position) = out_of_reach(&view) {
            let (Some(row), Some(step)) = (steps.get(position), view.plan.steps.get(position))
            else {
                let what = "a step of it is not in its plan".to_owned();
                return Err(Error::Corrupt { run: view.id, what });
            };
            let outputs = outputs_before(&view, row.position);
            At { engine, means, driven, view: &view, row, step, outputs }.amend().await?;
            continue;
        }
        if view.state != State::Running {
            if view.unreachable_ms > 0 {
                // There was nothing to read; it is in reach, and is not to be claimed for that again.
                engine.apply(driven, &[], Facts::default()).await?;
            }
            info!(run.id = %view.id, "{} is {}", view.id, view.state.as_str());
            return Ok(());
        }
        let current = steps
            .iter()
            .zip(&view.plan.steps)
            .find(|(row, _)| StepState::parse(&row.state).is_none_or(|state| !state.is_final()));
        let Some((row, step)) = current else {
            let what = "it runs and has no step left".to_owned();
            return Err(Error::Corrupt { run: view.id, what });
        };
        let outputs = outputs_before(&view, row.position);
        let at = At { engine, means, driven, view: &view, row, step, outputs };
        match StepState::parse(&row.state) {
            Some(StepState::Pending) => at.begin().await?,
            Some(StepState::Starting | StepState::Running) => at.follow().await?,
            _ => {
                let what = format!("it runs and its step {} is {}", row.position, row.state);
                return Err(Error::Corrupt { run: view.id, what });
            }
        }
    }
}

/// A driver at one step.
struct At<'d> {
    engine: &'d Engine,
    means: &'d Means,
    driven: &'d Driven,
    view: &'d RunView,
    row: &'d StepRow,
    step: &'d PlannedStep,
    /// What earlier steps handed on.
    outputs: Outputs,
}

/// Whether a run begins at its turn.
enum Turn {
    /// It does.
    Begins,
    /// It is not what was asked for any more, and why.
    Never(String),
    /// Somebody has to be asked, or decide, first.
    NotYet,
    /// Nobody waits for it any more.
    Unwanted,
}

impl At<'_> {
    /// Decides a new attempt, durably, and only then starts it.
    async fn begin(&self) -> Result<(), Error> {
        if let Some((attempt, directory)) = self.forgotten() {
            warn!(
                run.id = %self.view.id,
                "step {} began before, which the database does not know: it was restored",
                self.row.position + 1
            );
            let facts = Facts {
                attempt: Some((attempt.clone(), directory.clone())),
                detail: serde_json::json!({"found": "evidence that the database lacked"}),
                ..Facts::default()
            };
            return self.engine.apply(self.driven, &[Event::Starting], facts).await.map(drop);
        }
        if self.is_to_be_stopped() {
            return self.apply(&[Event::StepCancelled], Facts::default()).await;
        }
        if self.row.attempts == 0
            && self.step.when.as_ref().is_some_and(|when| !when.holds(&self.outputs))
        {
            return self.apply(&[Event::StepSkipped], Facts::default()).await;
        }
        if self.row.due_ms > self.engine.clock().now_ms() {
            self.wait_until_due().await;
            return Ok(());
        }
        let starts = self.row.attempts - self.row.begun;
        if starts >= STARTS_MAX {
            return self.cannot_start(format!("{starts} starts in a row did not happen")).await;
        }
        match self.turn().await? {
            Turn::Begins => {}
            Turn::Never(why) => return self.cannot_start(why).await,
            Turn::NotYet => return Ok(()),
            Turn::Unwanted => return self.apply(&[Event::StepCancelled], Facts::default()).await,
        }
        if !has_room_for_a_step(&self.means.attempts) {
            // Waiting is not failing: the step begins when there is room, or the run is cancelled.
            warn!(run.id = %self.view.id, "no room for the evidence of step {}", self.row.position + 1);
            self.engine.clock().sleep_ms(ROOM_WAIT_MS).await;
            return Ok(());
        }
        let attempt = AttemptId::from_entropy(crate::entropy::bytes());
        let spec = match self.spec(&attempt) {
            Ok(spec) => spec,
            Err(why) => return self.cannot_start(why).await,
        };
        let directory = self.means.attempts.join(attempt.as_str());
        let (run, position) = (self.view.id.as_str(), self.row.position);
        let made = make_folder(&directory).and_then(|()| past::mark(&directory, run, position));
        if let Err(error) = made {
            return self.cannot_start(format!("no folder for its evidence: {error}")).await;
        }
        let facts = Facts {
            attempt: Some((attempt, directory.clone())),
            detail: self.scripts_now().await,
            ..Facts::default()
        };
        self.engine.apply(self.driven, &[Event::Starting], facts).await?;
        crate::fault::point("driver.before_start");
        if let Err(error) = self.means.local.start(&directory, &spec).await {
            // What really happened is read from the evidence next.
            warn!(run.id = %self.view.id, "start step {}: {error:#}", self.row.position + 1);
        }
        crate::fault::point("driver.after_start");
        Ok(())
    }

    /// An attempt that the data folder knows and the database does not.
    fn forgotten(&self) -> Option<&(AttemptId, PathBuf)> {
        let run = self.view.id.as_str();
        self.means.past.attempt_after(run, self.row.position, self.row.begun)
    }

    /// Before the first step: what people saw, and who they are, is asked once more.
    async fn turn(&self) -> Result<Turn, Error> {
        if self.view.plan.checks.is_some() {
            return self.turn_of_check().await;
        }
        if self.row.position > 0 || self.row.attempts > 0 {
            return Ok(Turn::Begins);
        }
        let plan = &self.view.plan;
        if let Some(drift) = drift::drift(plan).await {
            info!(run.id = %self.view.id, "{} is not what was asked for: {drift:?}", self.view.id);
            return Ok(Turn::Never(drift.text().get(plan.language).to_owned()));
        }
        if let Some(changed) = gates::live_changed(self.engine, self.view).await? {
            info!(run.id = %self.view.id, "{} is not what was asked for: {}", self.view.id, changed.en);
            return Ok(Turn::Never(changed.get(plan.language).to_owned()));
        }
        let runbook = self.means.gates.runbook.borrow().clone();
        if let Some(changed) = unchanged::changed(plan, &runbook, self.engine).await? {
            info!(run.id = %self.view.id, "{} is not what was asked for: {}", self.view.id, changed.en);
            let words = Text::new(
                format!("操作手册在提出之后变了：{}", changed.zh),
                format!("the runbook changed since it was asked: {}", changed.en),
            );
            return Ok(Turn::Never(words.get(plan.language).to_owned()));
        }
        if let Some(turn) = self.frozen().await? {
            return Ok(turn);
        }
        if checklist::is_old(self.view, self.engine.clock().now_ms()) {
            info!(run.id = %self.view.id, "{} waits again: its checklist is too old", self.view.id);
            self.engine.send_back(self.driven, Back::Unchecked).await?;
            return Ok(Turn::NotYet);
        }
        match self.means.gates.people(self.engine, self.view).await {
            // Asking took time, in which a freeze may have begun.
            AtItsTurn::Stands => Ok(self.frozen().await?.unwrap_or(Turn::Begins)),
            AtItsTurn::AskerLost => {
                let roles = plan.roles().collect::<Vec<_>>().join("` / `");
                let why = Text::new(
                    format!("发起人已不在角色 `{roles}` 中"),
                    format!("who asked for it does not hold the role `{roles}` any more"),
                );
                Ok(Turn::Never(why.get(plan.language).to_owned()))
            }
            AtItsTurn::Void(who) => {
                info!(run.id = %self.view.id, "approvals of {} hold no more: {who:?}", self.view.id);
                self.engine.send_back(self.driven, Back::NotApproved(who)).await?;
                Ok(Turn::NotYet)
            }
            AtItsTurn::Unknown => {
                warn!(run.id = %self.view.id, "Slack cannot be asked about the people of {}", self.view.id);
                self.engine.gate_unasked(self.driven).await?;
                tokio::select! {
                    () = self.engine.clock().sleep_ms(GATE_LOOK_MS) => {}
                    () = self.engine.cancel_asked(&self.view.id) => {}
                }
                Ok(Turn::NotYet)
            }
        }
    }

    /// Before each check: whether anybody waits for it, and what it is about is still what was asked for.
    /// The people are asked about at the turn of the run that waits.
    async fn turn_of_check(&self) -> Result<Turn, Error> {
        if !self.engine.are_checks_wanted(self.view).await? {
            info!(run.id = %self.view.id, "nobody waits for {} any more", self.view.id);
            return Ok(Turn::Unwanted);
        }
        let plan = &self.view.plan;
        let drift = drift::drift(plan).await;
        Ok(drift.map_or(Turn::Begins, |drift| {
            info!(run.id = %self.view.id, "{} is not what was asked for: {drift:?}", self.view.id);
            Turn::Never(drift.text().get(plan.language).to_owned())
        }))
    }

    /// What becomes of a run at whose turn a freeze is in force; `None`: none is. Between this look and the
    /// start of the program lies a moment in which one may begin: that is tolerated.
    async fn frozen(&self) -> Result<Option<Turn>, Error> {
        let (plan, now_ms) = (&self.view.plan, self.engine.clock().now_ms());
        if let Some(why) = freeze_card::never(plan, now_ms) {
            info!(run.id = %self.view.id, "{} is frozen: {}", self.view.id, why.en);
            return Ok(Some(Turn::Never(why.get(plan.language).to_owned())));
        }
        if freeze::waited_for(&plan.freezes, now_ms).is_empty() {
            return Ok(None);
        }
        info!(run.id = %self.view.id, "{} waits again: a freeze has begun", self.view.id);
        self.engine.send_back(self.driven, Back::Frozen).await?;
        Ok(Some(Turn::NotYet))
    }

    /// Whether a person wants this step not to go on. Cleanup is done all the same.
    fn is_to_be_stopped(&self) -> bool {
        self.view.is_cancel_asked() && !self.step.always
    }

    /// Waits for the time of another try, a cancel, or the lease: the caller looks again.
    async fn wait_until_due(&self) {
        let rest_ms = self.row.due_ms - self.engine.clock().now_ms();
        let rest_ms = u64::try_from(rest_ms).unwrap_or(0).min(RETRY_LOOK_MS);
        if self.step.always {
            return self.engine.clock().sleep_ms(rest_ms).await;
        }
        tokio::select! {
            () = self.engine.clock().sleep_ms(rest_ms) => {}
            () = self.engine.cancel_asked(&self.view.id) => {}
        }
    }

    /// What the scripts of a linked run are as its first step begins: nobody compares them with those of
    /// the time when it was agreed to.
    async fn scripts_now(&self) -> serde_json::Value {
        if self.view.plan.cause.is_none() || self.row.position > 0 {
            return serde_json::Value::Null;
        }
        serde_json::json!({"scripts": drift::scripts(&self.view.plan).await})
    }

    async fn cannot_start(&self, why: String) -> Result<(), Error> {
        error!(run.id = %self.view.id, "step {} cannot start: {why}", self.row.position + 1);
        let facts =
            Facts { evidence: Some(Evidence::of(End::NotStarted(why))), ..Facts::default() };
        self.engine.apply(self.driven, &[Event::CannotStart], facts).await.map(drop)
    }

    fn spec(&self, attempt: &AttemptId) -> Result<StepSpec, String> {
        let plan = &self.view.plan;
        let secrets = crate::config::secrets::resolve(&plan.secrets).map_err(|missing| {
            let all: Vec<String> = missing.iter().map(ToString::to_string).collect();
            all.join("; ")
        })?;
        let mut env = vec![
            ("PATH".to_owned(), crate::core::action::PATH_DEFAULT.to_owned()),
            ("LANG".to_owned(), "C.UTF-8".to_owned()),
            ("NEOSTOCK_RUN".to_owned(), self.view.id.to_string()),
            ("NEOSTOCK_ENVIRONMENT".to_owned(), plan.environment.clone()),
            ("NEOSTOCK_ACTOR".to_owned(), self.view.actor.to_string()),
        ];
        let given = plan.arguments.iter();
        env.extend(
            given.map(|(name, value)| {
                (format!("NEOSTOCK_ARG_{}", name.to_uppercase()), value.clone())
            }),
        );
        let commits = plan.commits.iter();
        env.extend(commits.map(|(name, commit)| {
            (format!("NEOSTOCK_COMMIT_{}", name.to_uppercase()), commit.clone())
        }));
        let handed = self.outputs.iter();
        env.extend(handed.map(|(name, value)| (step::output_variable(name), value.clone())));
        env.extend(plan.cause.iter().map(|cause| ("NEOSTOCK_CAUSE".to_owned(), cause.to_string())));
        env.extend(plan.variables.clone());
        let mut hidden = Vec::new();
        for (name, value) in secrets {
            hidden.push(value.expose_secret().to_owned());
            env.push((name, value.expose_secret().to_owned()));
        }
        let mut workdir = plan.workdir.clone();
        if let Work::Journal { .. } = self.step.work {
            // The one kind of step that sees a secret of the bot's own: it is the bot's own program. It
            // gets nothing else, and stands where the bot does, as a url may name a relative file.
            let url = self.means.database_url.expose_secret();
            env = vec![(DATABASE_VARIABLE.to_owned(), url.to_owned())];
            hidden.extend(url_secrets(url));
            workdir = std::env::current_dir().map_err(|error| format!("no folder: {error}"))?;
        }
        let timeout_ms = self.step.timeout_ms;
        let argv = self.argv().map_err(|why| why.get(plan.language).to_owned())?;
        let mut spec = StepSpec::new(attempt.clone(), argv, workdir, timeout_ms);
        spec.env = env;
        spec.secrets = hidden;
        spec.leaves_processes = self.step.leaves_processes;
        spec.user.clone_from(&self.step.user);
        spec.outputs.clone_from(&self.step.outputs);
        Ok(spec)
    }

    fn argv(&self) -> Result<Vec<String>, Text> {
        let (role, arguments) = match &self.step.work {
            Work::Run { argv, late } => return step::fill(argv, late, &self.outputs),
            Work::Http { url, expect, contains, within_ms } => {
                let mut arguments = vec![
                    format!("--url={url}"),
                    format!("--expect={expect}"),
                    format!("--within-ms={within_ms}"),
                ];
                arguments.extend(contains.as_ref().map(|text| format!("--contains={text}")));
                ("probe", arguments)
            }
            Work::Logs { files, window_ms, format, sign_in } => {
                let mut arguments = self.report_arguments(*window_ms);
                arguments.extend(files.iter().map(|file| format!("--file={file}")));
                arguments.push(format!("--format={}", format.as_str()));
                arguments.push(format!("--sign-in={sign_in}"));
                ("log-report", arguments)
            }
            Work::Journal { window_ms } => ("journal-report", self.report_arguments(*window_ms)),
        };
        let mut argv = vec![self.means.program.display().to_string(), role.to_owned()];
        argv.extend(arguments);
        Ok(argv)
    }

    fn report_arguments(&self, window_ms: u64) -> Vec<String> {
        let until_ms = self.engine.clock().now_ms();
        vec![
            format!("--window-ms={window_ms}"),
            format!("--until-ms={until_ms}"),
            format!("--lang={}", self.view.plan.language.pick("zh", "en")),
        ]
    }

    /// Asks the evidence once, waits while the step runs, and writes what it says.
    async fn follow(&self) -> Result<(), Error> {
        let directory = Path::new(&self.row.directory);
        let is_starting = self.row.state == StepState::Starting.as_str();
        if !directory.is_dir() {
            // It was made before the start was decided. Without it nothing is proved: this may be
            // another machine of the same name, or somebody cleaned up.
            return self.lost(false, Vec::new()).await;
        }
        let verdict = match self.verdict(directory).await {
            Ok(verdict) => verdict,
            Err(error) => {
                error!(run.id = %self.view.id, "read the evidence in {}: {error:#}", directory.display());
                self.engine.clock().sleep_ms(1_000).await;
                return Ok(());
            }
        };
        match verdict {
            Verdict::NeverStarted if is_starting => {
                self.apply(&[Event::NeverStarted], Facts::default()).await
            }
            // It was seen running; evidence that is gone now proves nothing.
            Verdict::NeverStarted => self.lost(false, Vec::new()).await,
            Verdict::Running => {
                if is_starting {
                    self.apply(&[Event::Started], Facts::default()).await?;
                }
                self.wait(directory).await
            }
            Verdict::Finished(exit) => self.ended(directory, &exit).await,
            Verdict::Unknown { rebooted, survivors } => {
                self.lost(rebooted, survivors.iter().map(survivor).collect()).await
            }
        }
    }

    /// Waits while the step runs, and stops it when a person wants that. Asking its supervisor again does
    /// no harm: it is asked whenever it is found running.
    async fn wait(&self, directory: &Path) -> Result<(), Error> {
        let name = self.name();
        let shown = Box::pin(tail::show(
            self.engine,
            &self.means.local,
            (self.driven, self.view),
            (self.row, &name),
        ));
        if self.step.always {
            tokio::select! {
                () = self.means.local.wait(directory) => {}
                () = shown => {}
            }
            return Ok(());
        }
        if !self.view.is_cancel_asked() {
            // Back in time to prolong the lease.
            let ended =
                tokio::time::timeout(self.engine.renewal(), self.means.local.wait(directory));
            tokio::select! {
                _ = ended => return Ok(()),
                () = shown => {}
                () = self.engine.cancel_asked(&self.view.id) => {}
            }
        }
        if let Err(error) = self.means.local.cancel(directory).await {
            warn!(run.id = %self.view.id, "stop step {}: {error}", self.row.position + 1);
        }
        self.means.local.wait(directory).await;
        Ok(())
    }

    /// The step as people call it.
    fn name(&self) -> String {
        let name = self.step.name.get(self.view.plan.language);
        format!("{}. {name}", self.row.position + 1)
    }

    /// What the evidence proves. A process that is only just dying with its supervisor is no survivor:
    /// it gets a moment to be gone.
    async fn verdict(&self, directory: &Path) -> std::io::Result<Verdict> {
        let mut verdict = self.means.local.observe(directory).await?;
        for _ in 0..SURVIVOR_LOOKS {
            let Verdict::Unknown { survivors, .. } = &verdict else { break };
            if survivors.is_empty() {
                break;
            }
            #[expect(clippy::disallowed_methods, reason = "processes die in real time")]
            tokio::time::sleep(SURVIVOR_WAIT).await;
            verdict = self.means.local.observe(directory).await?;
        }
        Ok(verdict)
    }

    /// Reads the evidence of a step whose host could not be asked for a while: this is that host. Where
    /// people have decided meanwhile, their decision stands and the evidence is told; nothing goes on
    /// while the step still runs.
    async fn amend(&self) -> Result<(), Error> {
        let directory = Path::new(&self.row.directory);
        let position = usize::try_from(self.row.position).unwrap_or_default();
        let is_undecided = self.view.state == State::NeedsAttention
            && self.row.state == StepState::Unknown.as_str();
        if !directory.is_dir() {
            let evidence = Evidence::of(End::Lost { rebooted: false, survivors: Vec::new() });
            return self.engine.amend(self.driven, position, evidence).await;
        }
        let verdict = match self.verdict(directory).await {
            Ok(verdict) => verdict,
            Err(error) => {
                error!(run.id = %self.view.id, "read the evidence in {}: {error:#}", directory.display());
                self.engine.clock().sleep_ms(1_000).await;
                return Ok(());
            }
        };
        info!(run.id = %self.view.id, "step {} is in reach again: {verdict:?}", position + 1);
        match verdict {
            Verdict::Finished(exit) if is_undecided => self.ended(directory, &exit).await,
            Verdict::Running if is_undecided => {
                let output = self.found_late(None);
                self.apply(&[Event::Started], Facts { output, ..Facts::default() }).await
            }
            Verdict::NeverStarted if is_undecided => {
                self.apply(&[Event::NeverStarted], Facts::default()).await
            }
            Verdict::Running => {
                self.means.local.wait(directory).await;
                Ok(())
            }
            Verdict::Finished(exit) => {
                self.engine.amend(self.driven, position, evidence(&exit)).await
            }
            Verdict::NeverStarted => {
                let end = End::NotStarted("it never began".to_owned());
                self.engine.amend(self.driven, position, Evidence::of(end)).await
            }
            Verdict::Unknown { rebooted, survivors } => {
                let survivors = survivors.iter().map(survivor).collect();
                let end = End::Lost { rebooted, survivors };
                self.engine.amend(self.driven, position, Evidence::of(end)).await
            }
        }
    }

    /// What is told first of evidence that appears after its step was given up.
    fn found_late(&self, evidence: Option<&Evidence>) -> Vec<Card> {
        if self.row.state != StepState::Unknown.as_str() {
            return Vec::new();
        }
        let position = usize::try_from(self.row.position).unwrap_or_default();
        let lang = self.view.plan.language;
        vec![host_card::amended_card(self.view, position, evidence, lang)]
    }

    async fn ended(&self, directory: &Path, exit: &Exit) -> Result<(), Error> {
        let event = match &exit.reason {
            Reason::Exited if exit.is_success() => Event::StepOk,
            Reason::Exited | Reason::SpawnFailed(_) => Event::StepFailed,
            Reason::Timeout => Event::StepTimedOut,
            Reason::Cancelled => Event::StepCancelled,
        };
        let tail = match self.means.local.shown_last(directory, TAIL_BYTES_MAX).await {
            Ok(tail) => output::text(&tail),
            Err(error) => {
                warn!(run.id = %self.view.id, "read the output in {}: {error:#}", directory.display());
                String::new()
            }
        };
        let whole = self.printed(directory).await;
        let lang = self.view.plan.language;
        let name = self.name();
        let again_ms = self.due_again(event);
        let event = if again_ms.is_some() { Event::Retrying } else { event };
        let mut found = evidence(exit);
        match step_result::last(&tail) {
            Last::Output => {}
            Last::Result(result) => found.result = Some(*result),
            Last::Fault(why) => found.output_faults.push(why),
        }
        let tail = step_result::for_people(&tail).to_owned();
        let whole = output::text(&whole);
        let mut output = self.found_late(Some(&found));
        output.extend(output::cards(&name, step_result::for_people(&whole), lang));
        let facts = Facts {
            evidence: Some(found),
            due_ms: again_ms.unwrap_or_default(),
            output,
            tail,
            ..Facts::default()
        };
        self.apply(&[event], facts).await
    }

    /// All that is kept of its output, as people read it: head and end are within the limit.
    async fn printed(&self, directory: &Path) -> Vec<u8> {
        let mut whole = Vec::new();
        let mut at = 0;
        while whole.len() < output::READ_BYTES_MAX {
            let room = output::READ_BYTES_MAX - whole.len();
            match self.means.local.shown(directory, at, room).await {
                Ok((bytes, next)) if !bytes.is_empty() => {
                    whole.extend_from_slice(&bytes);
                    at = next;
                }
                // What cannot be read now is in the step's log all the same.
                _ => break,
            }
        }
        whole
    }

    /// When the step is tried again although it ended badly; `None`: not by itself.
    fn due_again(&self, event: Event) -> Option<i64> {
        let retry = self.step.retry.filter(|_| self.step.idempotent)?;
        if !matches!(event, Event::StepFailed | Event::StepTimedOut) || self.is_to_be_stopped() {
            return None;
        }
        let failures = u32::try_from(self.row.failures).ok()?.checked_add(1)?;
        let pause_ms = retry.pause_ms(failures)?;
        Some(self.engine.clock().now_ms().saturating_add_unsigned(pause_ms))
    }

    /// The step began and nobody saw it end. Only one that says so itself is run again unasked, and
    /// only when nothing of it lives.
    async fn lost(&self, rebooted: bool, survivors: Vec<Survivor>) -> Result<(), Error> {
        let is_again =
            self.step.idempotent && survivors.is_empty() && self.losses() < LOST_AGAIN_MAX;
        let directory = Path::new(&self.row.directory);
        let tail = self.means.local.shown_last(directory, TAIL_BYTES_MAX).await.unwrap_or_default();
        let facts = Facts {
            evidence: Some(Evidence::of(End::Lost { rebooted, survivors })),
            output: output::cards(&self.name(), &output::text(&tail), self.view.plan.language),
            tail: output::text(&tail),
            ..Facts::default()
        };
        warn!(run.id = %self.view.id, "the outcome of step {} is unknown", self.row.position + 1);
        let events: &[Event] =
            if is_again { &[Event::StepLost, Event::Again] } else { &[Event::StepLost] };
        self.apply(events, facts).await
    }

    /// How often this step began and was lost, this time included.
    fn losses(&self) -> i64 {
        let is_starting = self.row.state == StepState::Starting.as_str();
        self.row.begun - self.row.failures + i64::from(is_starting)
    }

    /// Writes events; a step that was only starting is first said to have started.
    async fn apply(&self, events: &[Event], facts: Facts) -> Result<(), Error> {
        let is_starting = self.row.state == StepState::Starting.as_str();
        let is_first = !matches!(events, [Event::NeverStarted | Event::Started, ..]);
        let mut all = Vec::with_capacity(events.len() + 1);
        if is_starting && is_first {
            all.push(Event::Started);
        }
        all.extend_from_slice(events);
        self.engine.apply(self.driven, &all, facts).await.map(drop)
    }
}

/// The first step whose evidence this host has not read since it could not be asked.
fn out_of_reach(view: &RunView) -> Option<usize> {
    let is_out = |evidence: &Evidence| matches!(evidence.end, End::Unreachable { .. });
    view.steps.iter().position(|step| step.evidence.as_ref().is_some_and(is_out))
}

/// What the steps before this one handed on.
fn outputs_before(view: &RunView, position: i64) -> Outputs {
    let before = view.steps.iter().take(usize::try_from(position).unwrap_or_default());
    let evidence = before.filter_map(|step| step.evidence.as_ref());
    evidence.flat_map(|evidence| evidence.outputs.clone()).collect()
}

/// What must not be shown of a database's url: the whole, and its password as it is written there and
/// as it is meant.
fn url_secrets(url: &str) -> Vec<String> {
    let parsed = url::Url::parse(url).ok();
    let written = parsed.as_ref().and_then(url::Url::password).unwrap_or_default();
    let plain = written.replace('+', "%2B").replace('=', "%3D");
    let meant = form_urlencoded::parse(plain.as_bytes()).map(|(text, _)| text).collect();
    vec![url.to_owned(), written.to_owned(), meant]
}

/// What later steps get: a value that held a secret is not what the step meant, and is kept from them.
fn handed_on(exit: &Exit) -> Outputs {
    let is_whole = |name: &str| {
        let held = OutputFault::HeldSecret(name.to_owned());
        !exit.output_faults.contains(&held)
    };
    let outputs = exit.outputs.iter().filter(|(name, _)| is_whole(name));
    outputs.map(|(name, value)| (name.clone(), value.clone())).collect()
}

fn survivor(process: &Process) -> Survivor {
    let name = process.name.rsplit('/').next().unwrap_or_default().to_owned();
    Survivor { pid: i32::try_from(process.pid).unwrap_or(i32::MAX), name }
}

fn evidence(exit: &Exit) -> Evidence {
    let end = match (&exit.reason, exit.code, exit.signal) {
        (Reason::Timeout, ..) => End::TimedOut,
        (Reason::Cancelled, ..) => End::Cancelled,
        (Reason::SpawnFailed(why), ..) => End::NotStarted(why.clone()),
        (Reason::Exited, _, Some(signal)) => End::Signalled(signal),
        (Reason::Exited, code, None) => End::Exited(code.unwrap_or(-1)),
    };
    Evidence {
        end,
        left_behind: exit.left_behind.iter().map(survivor).collect(),
        output_bytes: exit.bytes,
        dropped_bytes: exit.dropped,
        is_output_incomplete: exit.output_incomplete,
        outputs: handed_on(exit),
        output_faults: exit.output_faults.iter().map(OutputFault::words).collect(),
        result: None,
        earlier: None,
    }
}
