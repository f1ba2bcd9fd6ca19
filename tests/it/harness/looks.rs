//! Waiting for what real processes do: look, and look again after a moment, until it holds or takes too
//! long. The only place in the tests that sleeps for that.

use std::time::{Duration, Instant};

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(10);

/// Looks at something until a deadline.
#[derive(Debug, Clone, Copy)]
pub struct Looks {
    deadline: Instant,
}

impl Looks {
    #[expect(clippy::disallowed_methods, reason = "real processes take real time")]
    pub fn within(limit: Duration) -> Self {
        Self { deadline: Instant::now() + limit }
    }

    #[expect(clippy::disallowed_methods, reason = "real processes take real time")]
    pub fn is_over(self) -> bool {
        Instant::now() > self.deadline
    }

    /// Waits for the moment to look again; panics, in these words, when the time is over.
    pub async fn again(self, in_vain: impl FnOnce() -> String) {
        assert!(!self.is_over(), "{}", in_vain());
        tokio::time::sleep(PAUSE).await;
    }

    /// The same where nothing is async.
    pub fn again_blocking(self, in_vain: impl FnOnce() -> String) {
        assert!(!self.is_over(), "{}", in_vain());
        pause();
    }
}

/// The moment between two looks.
pub fn pause() {
    std::thread::sleep(PAUSE);
}

/// Waits until something holds.
pub fn until(what: &str, limit: Duration, mut holds: impl FnMut() -> bool) {
    let looks = Looks::within(limit);
    while !holds() {
        looks.again_blocking(|| format!("not in time: {what}"));
    }
}
