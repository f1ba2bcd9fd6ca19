//! What people ask, written down with its answer: the same request twice gets the stored answer and
//! does nothing.

use super::{Engine, Error, Facts, apply_in, bot_entry, checks, gates, reuse, reviews, view};
use crate::core::decision::Verdict;
use crate::core::evidence::{End, Evidence};
use crate::core::gate;
use crate::core::id::{RunId, UserId};
use crate::core::journal::Entry;
use crate::core::plan::Plan;
use crate::core::policy::Authorized;
use crate::core::run::{Event, State, StepState};
use crate::core::run_card::RunView;
use crate::core::settle_card::{self, Seen, Settlement};
use crate::store::decisions::{self, DecisionRow};
use crate::store::runs::{self, RunRow, StepRow};
use crate::store::{Unit, deliveries};
use serde_json::{Value, json};
use std::sync::Arc;

/// How long an answer is kept for a repeated delivery.
const DELIVERY_KEPT_MS: i64 = 24 * 3_600_000;
/// Deliveries forgotten in one unit.
const PRUNED_MAX: i64 = 1_000;

/// A verified request, as far as the journal and deduplication care.
#[derive(Debug, Clone)]
pub struct Asked {
    /// Names this delivery for ever: the same one twice is the same request.
    pub delivery: String,
    /// Who.
    pub actor: UserId,
    /// By which way: `slash`, `button`, `form`, `cli`.
    pub origin: &'static str,
    /// In which conversation.
    pub channel: String,
    /// What was written.
    pub text: String,
    /// The system user who typed it on the bot's machine.
    pub login: Option<String>,
}

/// A run that has not begun and whose place a new one takes.
pub struct Supersede {
    /// Which.
    pub run: RunId,
    /// The role by which the asker may cancel it.
    pub role: String,
    /// The answer when it has begun, or ended, meanwhile: nothing is queued then.
    pub too_late: Box<dyn Fn(&RunView) -> String + Send + Sync>,
}

/// A run that is asked for.
pub struct NewRun {
    /// Its id.
    pub run: RunId,
    /// What it does.
    pub plan: Plan,
    /// The run whose place it takes, if any.
    pub supersede: Option<Supersede>,
    /// What its asker reads.
    pub answer: String,
    /// What they read when it goes on the approvals of an earlier run.
    pub answer_reused: String,
}

/// What a person says of a lost step.
#[derive(Debug, Clone)]
pub struct Settled {
    /// What.
    pub settlement: Settlement,
    /// The try that they were shown; `None`: typed, and means the step that is lost now.
    pub seen: Option<Seen>,
    /// Why.
    pub reason: String,
}

/// What is answered to a settlement, by whether the run waits for one.
pub struct Answers {
    /// When it is written.
    pub done: String,
    /// When the run does not wait for this.
    pub not_waiting: Box<dyn Fn(&RunView) -> String + Send + Sync>,
}

impl Engine {
    /// Writes a request that ends with its answer: the answer, or the stored one if this delivery
    /// was answered before.
    ///
    /// # Errors
    /// The database's; then nothing is written and the asker must be told so.
    pub async fn answer(
        &self,
        asked: Asked,
        kind: &'static str,
        detail: Value,
        answer: String,
    ) -> Result<String, Error> {
        self.patiently(|| {
            let (asked, detail, answer) = (asked.clone(), detail.clone(), answer.clone());
            self.store.unit_single_write(move |unit| {
                Box::pin(async move {
                    if !deliveries::insert_once(unit, &asked.delivery, &answer).await? {
                        return stored_answer(unit, &asked.delivery).await;
                    }
                    let entry = request_entry(&asked, kind, "", detail, unit.now_ms());
                    unit.journal(entry);
                    Ok(answer)
                })
            })
        })
        .await
    }

    /// What a delivery was answered, if it was delivered before.
    ///
    /// # Errors
    /// The database's.
    pub async fn answered(&self, delivery: &str) -> Result<Option<String>, Error> {
        let mut reader = self.store().read().await?;
        Ok(deliveries::answer_of(&mut reader, delivery).await?)
    }

    /// Writes a new run: its plan, its steps, its card and its first events.
    ///
    /// # Errors
    /// The database's; then nothing is written.
    pub async fn request_run(
        &self,
        asked: Asked,
        by: &Authorized,
        new: NewRun,
    ) -> Result<String, Error> {
        let request = Arc::new((asked, by.role().to_owned(), new));
        let stored = self
            .patiently(|| {
                let request = Arc::clone(&request);
                self.store
                    .unit(move |unit| Box::pin(async move { request_in(unit, &request).await }))
            })
            .await?;
        self.work.notify_one();
        self.mail.notify_one();
        Ok(stored)
    }

    /// Writes what a person says of a lost step; the answer.
    ///
    /// # Errors
    /// The database's, or [`Error::NoSuchRun`]; then nothing is written.
    pub async fn settle(
        &self,
        asked: Asked,
        by: &Authorized,
        run: &RunId,
        settled: Settled,
        answers: Answers,
    ) -> Result<String, Error> {
        let role = by.role().to_owned();
        let answers = Arc::new(answers);
        let answer = self
            .patiently(|| {
                let (asked, role, run) = (asked.clone(), role.clone(), run.clone());
                let (settled, answers) = (settled.clone(), Arc::clone(&answers));
                self.store.unit(move |unit| {
                    Box::pin(async move {
                        settle_in(unit, &asked, &role, &run, settled, &answers).await
                    })
                })
            })
            .await?;
        self.work.notify_one();
        self.mail.notify_one();
        Ok(answer)
    }

    /// Forgets answers that no repeated delivery can ask for any more; how many.
    ///
    /// # Errors
    /// The database's.
    pub async fn forget_deliveries(&self) -> Result<u64, Error> {
        let before_ms = self.clock().now_ms() - DELIVERY_KEPT_MS;
        self.store
            .unit(move |unit| {
                Box::pin(async move { Ok(deliveries::prune(unit, before_ms, PRUNED_MAX).await?) })
            })
            .await
    }
}

async fn request_in(
    unit: &mut Unit,
    (asked, role, new): &(Asked, String, NewRun),
) -> Result<String, Error> {
    let NewRun { run, plan, supersede, answer, answer_reused } = new;
    if let Some(supersede) = supersede
        && let Some(refused) = supersede_in(unit, asked, run, supersede).await?
    {
        return Ok(refused);
    }
    let reusable = reuse::find(unit, asked, plan).await?;
    let answer = if reusable.is_some() { answer_reused } else { answer };
    if !deliveries::insert_once(unit, &asked.delivery, answer).await? {
        return stored_answer(unit, &asked.delivery).await;
    }
    let by = (asked.actor.as_str(), asked.origin, asked.channel.as_str());
    insert_run(unit, by, run, plan).await?;
    let detail = json!({
        "text": asked.text, "channel": asked.channel, "role": role, "digest": plan.digest(),
        "plan": plan,
    });
    let entry = request_entry(asked, "run.requested", run.as_str(), detail, unit.now_ms());
    unit.journal(entry);
    if let Some(reusable) = reusable {
        reuse::write(unit, asked, (run, plan), reusable).await?;
    }
    if let Some(overrides) = &plan.overrides {
        let detail = json!({
            "freezes": overrides.freezes, "roles": overrides.roles, "reason": plan.reason(),
            "digest": plan.digest(),
        });
        let now_ms = unit.now_ms();
        unit.journal(request_entry(asked, "freeze.overridden", run.as_str(), detail, now_ms));
    }
    if plan.emergency.is_some() {
        let row = view::row(unit.connection(), run).await?;
        let asked_for = view::with_parts(unit.connection(), row).await?;
        reviews::begin(unit, asked, &asked_for).await?;
    }
    checks::begin(unit, (run, plan), asked.actor.as_str()).await?;
    gates::ask(unit, run, Facts::default()).await?;
    Ok(answer.clone())
}

/// Cancels the run whose place the new one takes, with its row held; the answer when it cannot any more.
async fn supersede_in(
    unit: &mut Unit,
    asked: &Asked,
    run: &RunId,
    supersede: &Supersede,
) -> Result<Option<String>, Error> {
    // The same delivery again finds its answer, and the run cancelled by it.
    let answered = deliveries::answer_of(unit.connection(), &asked.delivery).await?;
    if answered.is_some() {
        return Ok(answered);
    }
    let old = &supersede.run;
    if !runs::hold_whoever_drives(unit.connection(), old.as_str()).await? {
        return Err(Error::NoSuchRun(old.clone()));
    }
    let row = view::row(unit.connection(), old).await?;
    let standing = view::with_parts(unit.connection(), row).await?;
    if !matches!(standing.state, State::Waiting | State::Queued) {
        let answer = (supersede.too_late)(&standing);
        if !deliveries::insert_once(unit, &asked.delivery, &answer).await? {
            return stored_answer(unit, &asked.delivery).await.map(Some);
        }
        let detail =
            json!({"text": asked.text, "why": "too_late", "state": standing.state.as_str()});
        unit.journal(request_entry(
            asked,
            "supersede.refused",
            old.as_str(),
            detail,
            unit.now_ms(),
        ));
        return Ok(Some(answer));
    }
    let digest = standing.plan.digest();
    let reason = standing.plan.language.pick("被取代：", "superseded by ");
    let decision = DecisionRow {
        user_id: asked.actor.to_string(),
        verdict: Verdict::Cancelled.as_str().to_owned(),
        reason: format!("{reason}{run}"),
        digest: digest.clone(),
        role: supersede.role.clone(),
        on_behalf: String::new(),
        at_ms: unit.now_ms(),
    };
    decisions::insert(unit.connection(), old.as_str(), &decision).await?;
    let detail = json!({
        "text": asked.text, "role": supersede.role, "digest": digest, "reason": decision.reason,
        "superseded_by": run.as_str(),
    });
    unit.journal(request_entry(asked, "run.superseded", old.as_str(), detail, unit.now_ms()));
    let actor = Some((asked.actor.to_string(), asked.origin.to_owned()));
    apply_in(unit, old, &[Event::Cancelled], Facts { actor, ..Facts::default() }).await?;
    Ok(None)
}

async fn settle_in(
    unit: &mut Unit,
    asked: &Asked,
    role: &str,
    run: &RunId,
    settled: Settled,
    answers: &Answers,
) -> Result<String, Error> {
    let now_ms = unit.now_ms();
    let is_held = runs::hold_for_a_person(unit.connection(), run.as_str(), now_ms).await?;
    let row = view::row(unit.connection(), run).await?;
    let standing = view::with_parts(unit.connection(), row).await?;
    let is_waiting = is_held && is_awaited(&standing, &settled);
    let answer = if is_waiting { answers.done.clone() } else { (answers.not_waiting)(&standing) };
    if !deliveries::insert_once(unit, &asked.delivery, &answer).await? {
        return stored_answer(unit, &asked.delivery).await;
    }
    if !is_waiting {
        let detail = json!({"text": asked.text, "state": standing.state.as_str()});
        let entry = request_entry(asked, "settle.refused", run.as_str(), detail, unit.now_ms());
        unit.journal(entry);
        return Ok(answer);
    }
    carry_out(unit, asked, role, run, settled).await?;
    Ok(answer)
}

/// Whether a run waits for this decision. A form is about the try that it was opened for; without its
/// environment nothing is done again.
pub(super) fn is_awaited(standing: &RunView, settled: &Settled) -> bool {
    let is_about_it = settled.seen.is_none() || settled.seen == settle_card::lost(standing);
    let is_possible = settled.settlement != Settlement::Again || standing.taken_over.is_none();
    standing.state == State::NeedsAttention && is_about_it && is_possible
}

/// Writes a decision about a run whose row is held, and which waits for it.
pub(super) async fn carry_out(
    unit: &mut Unit,
    asked: &Asked,
    role: &str,
    run: &RunId,
    Settled { settlement, reason, .. }: Settled,
) -> Result<(), Error> {
    let facts = Facts {
        actor: Some((asked.actor.to_string(), asked.origin.to_owned())),
        detail: settled_detail(asked, role, &reason),
        ..Facts::default()
    };
    let event: &[Event] = match settlement {
        Settlement::Ok => &[Event::SettledOk],
        Settlement::Failed => &[Event::SettledFailed],
        Settlement::Again => &[Event::Again],
        Settlement::Stopped => {
            survivors_stopped(unit, asked, run, &facts.detail).await?;
            &[]
        }
    };
    apply_in(unit, run, event, facts).await.map(drop)
}

fn settled_detail(asked: &Asked, role: &str, reason: &str) -> Value {
    let mut detail = json!({"reason": reason, "role": role, "text": asked.text});
    if let Some(login) = &asked.login {
        detail["login"] = json!(login);
        detail["request"] = json!(asked.delivery);
    }
    detail
}

/// The lost step's evidence no longer names processes; the run waits on.
async fn survivors_stopped(
    unit: &mut Unit,
    asked: &Asked,
    run: &RunId,
    detail: &Value,
) -> Result<(), Error> {
    let steps = runs::steps_of(unit.connection(), run.as_str()).await?;
    let lost = steps.into_iter().find(|step| step.state == StepState::Unknown.as_str());
    if let Some(mut step) = lost {
        let known = serde_json::from_str::<Evidence>(&step.evidence).map(|evidence| evidence.end);
        let rebooted = matches!(known, Ok(End::Lost { rebooted: true, .. }));
        let evidence = Evidence::of(End::Lost { rebooted, survivors: Vec::new() });
        step.evidence = serde_json::to_string(&evidence).unwrap_or_default();
        runs::put_step(unit.connection(), run.as_str(), &step).await?;
    }
    let kind = "step.survivors_stopped";
    let entry = request_entry(asked, kind, run.as_str(), detail.clone(), unit.now_ms());
    unit.journal(entry);
    Ok(())
}

pub(super) async fn stored_answer(unit: &mut Unit, delivery: &str) -> Result<String, Error> {
    Ok(deliveries::answer_of(unit.connection(), delivery).await?.unwrap_or_default())
}

pub(super) fn request_entry(
    asked: &Asked,
    kind: &str,
    subject: &str,
    detail: Value,
    now_ms: i64,
) -> Entry {
    let mut detail = detail;
    if let (Some(login), Value::Object(more)) = (&asked.login, &mut detail) {
        more.insert("login".to_owned(), json!(login));
        more.insert("request".to_owned(), json!(asked.delivery));
    }
    let mut entry = bot_entry(now_ms, kind, subject, detail);
    entry.actor = asked.actor.to_string();
    asked.origin.clone_into(&mut entry.origin);
    entry
}

/// Writes the rows of a run that waits for its gates; by whom, by which way and where it was asked.
pub(super) async fn insert_run(
    unit: &mut Unit,
    (actor, origin, channel): (&str, &str, &str),
    run: &RunId,
    plan: &Plan,
) -> Result<(), Error> {
    let now_ms = unit.now_ms();
    let row = RunRow {
        id: run.to_string(),
        action: plan.action.clone(),
        environment: plan.environment.clone(),
        host: plan.host.clone().unwrap_or_default(),
        holds_lock: plan.lock == crate::core::action::Lock::Environment,
        actor: actor.to_owned(),
        origin: origin.to_owned(),
        origin_channel: channel.to_owned(),
        channel: plan.channel.to_string(),
        plan: serde_json::to_string(plan).unwrap_or_default(),
        plan_digest: plan.digest(),
        state: State::Waiting.as_str().to_owned(),
        position: 0,
        owner: String::new(),
        fence: 0,
        lease_until_ms: 0,
        created_ms: now_ms,
        started_ms: 0,
        ended_ms: 0,
        expires_ms: gate::expires_ms(plan, now_ms),
        unreachable_ms: 0,
    };
    runs::insert(unit.connection(), &row).await?;
    for position in 0..plan.steps.len() {
        let step = StepRow {
            position: i64::try_from(position).unwrap_or(i64::MAX),
            state: StepState::Pending.as_str().to_owned(),
            ..StepRow::default()
        };
        runs::put_step(unit.connection(), run.as_str(), &step).await?;
    }
    Ok(())
}
