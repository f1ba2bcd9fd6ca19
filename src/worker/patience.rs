//! Drives a run through times in which the database is away. The step goes on meanwhile, and its
//! evidence is on disk: when the database is back, it is read and written down.

use super::driver::{Means, drive};
use crate::engine::{Driven, Engine, Error};
use crate::vitals::Part;
use std::time::Duration;
use tracing::warn;

/// Between two tries.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

/// As [`drive`], but what only keeps it waiting does not end it. Should another bot take the run over
/// meanwhile, the fence says so.
///
/// # Errors
/// As [`drive`]'s, except those that pass.
pub async fn drive_patiently(engine: &Engine, means: &Means, driven: &Driven) -> Result<(), Error> {
    let mut was_told = false;
    loop {
        match drive(engine, means, driven).await {
            Err(Error::Store(cause)) if cause.is_passing() => {
                if !was_told {
                    warn!(run.id = %driven.run, "{} waits for the database: {cause}", driven.run);
                }
                was_told = true;
            }
            ended => return ended,
        }
        #[expect(clippy::disallowed_methods, reason = "the database is away in real time")]
        tokio::time::sleep(AGAIN_AFTER).await;
        engine.vitals().until_good(Part::Database).await;
    }
}
