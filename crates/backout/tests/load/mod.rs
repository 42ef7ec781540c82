//! A load that keeps every failure with its reason, and a watcher that counts
//! ready instances by asking each of them, not Backout.
#![allow(
    dead_code,
    clippy::allow_attributes,
    clippy::panic,
    clippy::unwrap_used,
    reason = "each test binary uses its own part of this, and nothing but tests does"
)]

pub mod requests;
pub mod watcher;

pub use requests::Load;
pub use watcher::Watcher;

use std::time::{Duration, Instant};

/// How long anything may take: generous, since machines that run tests are
/// busy. It bounds a hang; it measures nothing.
pub const PATIENCE: Duration = Duration::from_secs(120);

pub fn until<T>(what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = found() {
            return found;
        }
        assert!(Instant::now() < end, "never: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}
