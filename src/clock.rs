//! The one source of time: the system's, or a test's own that moves only when told.
//!
//! Leases, expiry, pacing and the age of a signature use it; socket time-outs and a step's timeout
//! are real time and do not.

use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// Milliseconds since 1970-01-01T00:00:00Z.
pub type Millis = i64;

/// Where `now` comes from. Cheap to clone; clones of a manual clock move together.
#[derive(Debug, Clone, Default)]
pub enum Clock {
    /// The machine's clock.
    #[default]
    System,
    /// A clock that a test moves.
    Manual(Arc<watch::Sender<Millis>>),
}

impl Clock {
    /// A clock that stands at `now_ms` until it is advanced.
    pub fn manual(now_ms: Millis) -> Self {
        Self::Manual(Arc::new(watch::Sender::new(now_ms)))
    }

    /// Now.
    pub fn now_ms(&self) -> Millis {
        match self {
            Self::System => {
                #[expect(clippy::disallowed_methods, reason = "this is time's home")]
                let now = std::time::SystemTime::now();
                let since = now.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
                i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
            }
            Self::Manual(now) => *now.borrow(),
        }
    }

    /// Waits until `at_ms`; returns at once when that is past.
    pub async fn sleep_until(&self, at_ms: Millis) {
        match self {
            Self::System => {
                let wait = u64::try_from(at_ms.saturating_sub(self.now_ms())).unwrap_or(0);
                #[expect(clippy::disallowed_methods, reason = "this is waiting's home")]
                tokio::time::sleep(Duration::from_millis(wait)).await;
            }
            Self::Manual(now) => {
                // The sender lives in `self`, so the channel cannot close under the wait.
                let _ = now.subscribe().wait_for(|now| *now >= at_ms).await;
            }
        }
    }

    /// Waits `wait_ms` from now.
    pub async fn sleep_ms(&self, wait_ms: u64) {
        self.sleep_until(self.now_ms().saturating_add_unsigned(wait_ms)).await;
    }

    /// Moves a manual clock; a system clock stays what it is.
    pub fn advance_ms(&self, by_ms: u64) {
        if let Self::Manual(now) = self {
            now.send_modify(|now| *now = now.saturating_add_unsigned(by_ms));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_manual_clock_wakes_sleepers_when_it_is_advanced() {
        let clock = Clock::manual(1_000);
        let sleeper = {
            let clock = clock.clone();
            async move {
                clock.sleep_ms(500).await;
                clock.now_ms()
            }
        };
        let mover = async {
            clock.advance_ms(499);
            clock.advance_ms(1);
        };

        let (woke, ()) = tokio::join!(sleeper, mover);

        assert_eq!(woke, 1_500);
    }
}
