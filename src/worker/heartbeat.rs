//! Gives the sign of life that others expect of this bot, as long as it is really well: its database and
//! Slack can be reached, and nothing waits for Slack for long. A bot that cannot tell people anything is
//! silent here, and whoever listens calls them.

use crate::engine::Engine;
use crate::notify::heartbeat::Beacon;
use crate::vitals::Part;
use tokio_util::sync::CancellationToken;
use tracing::warn;

/// While none is asked for, or it is not well, it is looked again after this.
const LOOK_MS: u64 = 5_000;
/// A sign that did not arrive is given again after this: who listens may call people for a single one.
const AGAIN_MS: u64 = 15_000;
/// A message that waits longer than this is behind.
const OUTBOX_AGE_MS_MAX: i64 = 5 * 60_000;

/// Gives signs of life until it is told to stop.
///
/// # Errors
/// Only where TLS cannot be set up.
pub async fn beat(engine: Engine, stop: CancellationToken) -> anyhow::Result<()> {
    let beacon = Beacon::new()?;
    loop {
        let wait_ms = once(&engine, &beacon).await;
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = engine.clock().sleep_ms(wait_ms) => {}
        }
    }
}

/// Gives one sign, if one is due; after how long the next may be.
async fn once(engine: &Engine, beacon: &Beacon) -> u64 {
    let alerting = engine.alerting();
    let Some(heartbeat) = &alerting.liveness.heartbeat else { return LOOK_MS };
    if !is_well(engine).await {
        return LOOK_MS.min(heartbeat.every_ms);
    }
    let given = match heartbeat.url() {
        Ok(url) => beacon.give(&url).await,
        Err(why) => Err(why),
    };
    match given {
        Ok(()) => heartbeat.every_ms,
        Err(why) => {
            warn!("give a sign of life: {why}");
            AGAIN_MS.min(heartbeat.every_ms)
        }
    }
}

async fn is_well(engine: &Engine) -> bool {
    let sight = engine.vitals().sight();
    if !sight.is_good(Part::Database) || !sight.is_good(Part::Slack) {
        return false;
    }
    // Asking is the proof that the database answers now.
    let Ok(census) = engine.take_census().await else { return false };
    census.oldest_ms == 0 || engine.clock().now_ms() - census.oldest_ms <= OUTBOX_AGE_MS_MAX
}
