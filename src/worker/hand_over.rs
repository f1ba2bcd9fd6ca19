//! Tells each change of who is on call once, whatever the number of bots: who takes over, and what is left to
//! do. After a downtime only the latest change is told. A rotation that is new, or whose file was changed, is
//! told from its next change on.

use crate::clock::Millis;
use crate::command::{Powers, link_to, oncall};
use crate::core::alert_card::{level_words, state_words};
use crate::core::card::{Line, text};
use crate::core::escalation::Target;
use crate::core::id::UserId;
use crate::core::oncall::Roster;
use crate::core::oncall_card::{HandOverView, handed_over};
use crate::core::policy::Actor;
use crate::core::run::State;
use crate::engine::{Engine, Error, HandOver};
use crate::pipeline::Workspace;
use crate::store::alerts::AlertFilter;
use crate::vitals::Part;
use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// How often Slack is asked whether those on call are still there.
const ASK_MS: Millis = 10 * 60_000;
/// Of those whom policies name it is asked about so many.
const NAMED_MAX: usize = 50;
/// How often it is looked whether somebody else is on call.
const LOOK_MS: u64 = 5_000;
/// Alerts that are listed.
const ALERTS_MAX: i64 = 10;
/// Runs that are listed.
const RUNS_MAX: usize = 10;

/// Tells changes until it is told to stop.
///
/// # Errors
/// None: what cannot be written is tried again.
pub async fn tell_hand_overs(
    engine: Engine,
    workspace: Arc<OnceLock<Workspace>>,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let mut asked_ms: Option<Millis> = None;
    let mut file = File { digest: engine.alerting().digest.clone(), since_ms: 0 };
    loop {
        let now_ms = engine.clock().now_ms();
        file.look(&engine.alerting().digest, now_ms);
        if engine.vitals().is_good(Part::Database) {
            // A clock that was set back must not keep it from asking; before it is known where, nobody is asked.
            let is_due = asked_ms.is_none_or(|ms| !(0..ASK_MS).contains(&(now_ms - ms)));
            if is_due && workspace.get().is_some() {
                asked_ms = Some(now_ms);
                if let Err(failure) = ask(&engine, &workspace).await {
                    warn!("ask whether those on call have left: {failure:#}");
                }
            }
            if let Err(failure) = look(&engine, &workspace, file.since_ms).await {
                warn!("look whether somebody else is on call: {failure:#}");
            }
        }
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = engine.clock().sleep_ms(LOOK_MS) => {}
        }
    }
}

/// The configuration, and since when it is in force as far as this process saw a change of it.
struct File {
    digest: String,
    since_ms: Millis,
}

impl File {
    fn look(&mut self, digest: &str, now_ms: Millis) {
        if self.digest != digest {
            *self = Self { digest: digest.to_owned(), since_ms: now_ms };
        }
    }
}

/// Asks Slack about those whom alerts would mention until it is asked again, and where they have left, about the
/// next in order: what it says is kept, and whoever escalates an alert reads it.
async fn ask(engine: &Engine, workspace: &OnceLock<Workspace>) -> Result<(), Error> {
    let (alerting, now_ms) = (engine.alerting(), engine.clock().now_ms());
    let overrides = engine.oncall_overrides(now_ms).await?;
    let roster = Roster { rotations: &alerting.oncall, overrides: &overrides };
    for name in alerting.oncall.keys() {
        for at_ms in [now_ms, now_ms + ASK_MS] {
            ask_about(engine, workspace, roster.line_up(name, at_ms)).await;
        }
    }
    let steps = alerting.policies.levels.iter().flat_map(|policy| &policy.steps);
    let named: BTreeSet<&str> = steps.flat_map(|step| &step.tell).filter_map(named).collect();
    for id in named.into_iter().take(NAMED_MAX) {
        ask_about(engine, workspace, vec![id.to_owned()]).await;
    }
    Ok(())
}

/// The person or the user group that a policy names.
fn named(target: &Target) -> Option<&str> {
    match target {
        Target::User(user) => Some(user.as_str()),
        Target::Group(group) => Some(group),
        Target::OnCall(_) | Target::Here => None,
    }
}

async fn ask_about(engine: &Engine, workspace: &OnceLock<Workspace>, line_up: Vec<String>) {
    let Some(workspace) = workspace.get() else { return };
    // The bot asks for itself.
    let actor = Actor { user: UserId::new(""), team: workspace.team_id.clone() };
    let powers = Powers { engine, directory: &workspace.directory, actor };
    oncall::ask_about(&powers, line_up).await;
}

/// Tells what changed since the file is in force: what it says of the time before never was.
async fn look(
    engine: &Engine,
    workspace: &OnceLock<Workspace>,
    since_ms: Millis,
) -> Result<(), Error> {
    let (alerting, now_ms) = (engine.alerting(), engine.clock().now_ms());
    if alerting.oncall.values().all(|rotation| !rotation.hand_over) {
        return Ok(());
    }
    let overrides = engine.oncall_overrides(now_ms - crate::core::oncall::BACK_MS).await?;
    let roster = Roster { rotations: &alerting.oncall, overrides: &overrides };
    let told = alerting.oncall.iter().filter(|(_, rotation)| rotation.hand_over);
    for (name, _) in told {
        let change = roster.last_change(name, now_ms);
        let Some(told_ms) = engine.told_hand_over(name).await? else {
            let begins_ms = change.map_or(now_ms, |(at_ms, _)| at_ms);
            engine.begin_hand_overs(name, begins_ms).await?;
            continue;
        };
        if let Some((change_ms, before)) = change
            && change_ms > told_ms.max(since_ms)
        {
            tell(engine, workspace, (roster, name), (change_ms, before.id)).await?;
        }
    }
    Ok(())
}

async fn tell(
    engine: &Engine,
    workspace: &OnceLock<Workspace>,
    (roster, name): (Roster<'_>, &str),
    (change_ms, from): (Millis, String),
) -> Result<(), Error> {
    let (runbook, now_ms) = (engine.runbook(), engine.clock().now_ms());
    let Some(channel) = runbook.operations_channel() else { return Ok(()) };
    ask_about(engine, workspace, roster.line_up(name, now_ms)).await;
    let called = engine.on_call(&engine.alerting(), name, now_ms).await?;
    let Some(to) = called.mentioned.first().cloned() else { return Ok(()) };
    let standing = oncall::seen(roster, name, now_ms, called);
    let url = workspace.get().map_or("", |workspace| workspace.url.as_str());
    let (alerts, runs) = (alerts(engine, url).await?, runs(engine, url).await?);
    let view = HandOverView { standing: &standing, from: &from, alerts: &alerts, runs: &runs };
    let change = HandOver {
        rotation: name.to_owned(),
        change_ms,
        card: handed_over(&view, runbook.language),
        channel: channel.clone(),
        to,
        from,
    };
    if engine.hand_over(change).await? {
        info!("told who is on call now in {name}");
    }
    Ok(())
}

/// Alerts that are open, with links to their cards.
async fn alerts(engine: &Engine, url: &str) -> Result<Vec<Line>, Error> {
    let limit = ALERTS_MAX;
    let filter = AlertFilter { is_open: true, limit, ..AlertFilter::default() };
    let (lang, now_ms) = (engine.runbook().language, engine.clock().now_ms());
    let mut lines = Vec::new();
    for alert in engine.alerts(&filter).await? {
        let message = engine.message_of(&format!("alert/{}/card", alert.id)).await?;
        let (icon, state) = (alert.icon(now_ms), state_words(&alert, lang, now_ms));
        let mut line = vec![
            text(format!("{icon} {} · ", level_words(alert.condition.level, lang))),
            text(alert.title()),
            text(format!(" · {state} · ")),
        ];
        line.extend(alert.owner().into_iter().flat_map(|owner| [owner, text(" · ")]));
        line.push(link_to(url, message.as_ref(), &alert.channel, alert.id.as_str()));
        lines.push(line);
    }
    Ok(lines)
}

/// Runs that need somebody, with links to their cards.
async fn runs(engine: &Engine, url: &str) -> Result<Vec<Line>, Error> {
    let open = engine.open_runs().await?;
    let needy = open.iter().filter(|run| run.state == State::NeedsAttention).take(RUNS_MAX);
    let mut lines = Vec::new();
    for run in needy {
        let message = engine.card_message(&run.id).await?;
        lines.push(vec![
            text(format!("{} → {} · ", run.plan.title(), run.plan.environment)),
            link_to(url, message.as_ref(), &run.plan.channel, run.id.as_str()),
        ]);
    }
    Ok(lines)
}
