//! Reminds people of what they wanted or took on: a silence that ends soon, something to be done after an
//! incident. Each is told once by whichever bot is quicker.

use crate::engine::Engine;
use crate::vitals::Part;
use tokio_util::sync::CancellationToken;
use tracing::warn;

/// How often it is looked whether something is due.
const LOOK_MS: u64 = 5_000;

/// Reminds until it is told to stop.
///
/// # Errors
/// None: what cannot be written is tried again.
pub async fn keep_reminding(engine: Engine, stop: CancellationToken) -> anyhow::Result<()> {
    loop {
        if engine.vitals().is_good(Part::Database) {
            if let Err(failure) = engine.warn_of_silences().await {
                warn!("warn of silences that end soon: {failure:#}");
            }
            if let Err(failure) = engine.remind_of_follow_ups().await {
                warn!("remind people of what is to be done: {failure:#}");
            }
        }
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = engine.clock().sleep_ms(LOOK_MS) => {}
        }
    }
}
