//! Ports for what a test starts as a program of its own, which takes them a moment later.

use std::net::TcpListener;
use std::sync::atomic::{AtomicU16, Ordering};

/// Below those that the system gives to whoever connects, so that no connection takes one meanwhile;
/// those from 10,000 on belong to `tools/postgres-cluster.sh`.
const PORT_MIN: u16 = 20_000;
const PORT_MAX: u16 = 32_000;
/// Tests are processes that start one after the other: each begins at a place of its own.
const PORTS_A_TEST: u32 = 16;

/// One that nobody listens on and that no connection out of this machine will take.
pub fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let range = PORT_MAX - PORT_MIN;
    let first = (std::process::id() * PORTS_A_TEST % u32::from(range)) as u16;
    for _ in 0..range {
        let port = PORT_MIN + (first + NEXT.fetch_add(1, Ordering::Relaxed)) % range;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
    panic!("no free port");
}
