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

pub use crate::common::{PATIENCE, until};
pub use requests::Load;
pub use watcher::Watcher;
