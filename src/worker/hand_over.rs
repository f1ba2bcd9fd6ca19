//! Tells each change of who is on call once, whatever the number of bots: who takes over, and what is left to
//! do. After a downtime only the latest change is told. A rotation that is new, or whose file was changed, is
//! told from its next change on.

use crate::clock::Millis;
use crate::command::{link_to, oncall::seen};
use crate::core::card::{Line, Span, text};
use crate::core::oncall::Roster;
use crate::core::oncall_card::{HandOverView, handed_over};
use crate::core::run::State;
use crate::engine::{Engine, Error, HandOver};
use crate::pipeline::Workspace;
use crate::vitals::Part;
use std::sync::{Arc, OnceLock};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// How often it is looked whether somebody else is on call.
const LOOK_MS: u64 = 5_000;
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
    loop {
        if engine.vitals().is_good(Part::Database)
            && let Err(failure) = look(&engine, &workspace).await
        {
            warn!("look whether somebody else is on call: {failure:#}");
        }
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = engine.clock().sleep_ms(LOOK_MS) => {}
        }
    }
}

async fn look(engine: &Engine, workspace: &OnceLock<Workspace>) -> Result<(), Error> {
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
            && change_ms > told_ms
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
    let mentioned = engine.on_call(&engine.alerting(), name, now_ms).await?;
    let Some(to) = mentioned.first().cloned() else { return Ok(()) };
    let has_left = mentioned.len() > 1;
    let standing = seen(roster, name, now_ms, (mentioned, has_left));
    let url = workspace.get().map_or("", |workspace| workspace.url.as_str());
    let runs = runs(engine, url).await?;
    let view = HandOverView { standing: &standing, from: &from, alerts: &[], runs: &runs };
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

/// Runs that need somebody, with links to their cards.
async fn runs(engine: &Engine, url: &str) -> Result<Vec<Line>, Error> {
    let open = engine.open_runs().await?;
    let needy = open.iter().filter(|run| run.state == State::NeedsAttention).take(RUNS_MAX);
    let mut lines = Vec::new();
    for run in needy {
        let message = engine.card_message(&run.id).await?;
        lines.push(vec![
            Span::Code(run.id.to_string()),
            text(format!(" {} → {} · ", run.plan.title(), run.plan.environment)),
            link_to(url, message.as_ref(), &run.plan.channel, "→"),
        ]);
    }
    Ok(lines)
}
