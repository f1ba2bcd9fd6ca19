//! Named places where a test can end the process as a power cut would.
//!
//! A debug build that is started with `NEOSTOCK_FAULT=name@N` kills itself with SIGKILL at the
//! N-th passage of that place. A release build has no such code.

/// Passes a named place.
#[cfg(not(debug_assertions))]
#[inline]
pub fn point(_name: &'static str) {}

/// Passes a named place; ends the process when `NEOSTOCK_FAULT` asks for it.
#[cfg(debug_assertions)]
pub fn point(name: &'static str) {
    use std::sync::atomic::{AtomicU64, Ordering};

    static PASSAGES: AtomicU64 = AtomicU64::new(0);
    let Some((place, at)) = asked() else { return };
    if *place != *name || PASSAGES.fetch_add(1, Ordering::SeqCst) + 1 != *at {
        return;
    }
    let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    // The signal ends every thread; nothing may happen in this one until it does.
    loop {
        std::thread::park();
    }
}

/// The place and the passage that the environment names; read once.
#[cfg(debug_assertions)]
fn asked() -> Option<&'static (String, u64)> {
    use std::sync::OnceLock;

    static ASKED: OnceLock<Option<(String, u64)>> = OnceLock::new();
    let read = || {
        #[expect(clippy::disallowed_methods, reason = "a test's switch, not a setting")]
        let asked = std::env::var("NEOSTOCK_FAULT").ok()?;
        let (name, passage) = asked.rsplit_once('@')?;
        Some((name.to_owned(), passage.parse().ok()?))
    };
    ASKED.get_or_init(read).as_ref()
}
