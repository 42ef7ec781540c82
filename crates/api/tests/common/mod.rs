//! What the tests of all families share.
#![allow(
    dead_code,
    clippy::allow_attributes,
    clippy::panic,
    clippy::unwrap_used,
    reason = "each family uses its own part of this, and nothing but tests does"
)]

pub mod house;
pub mod pages;
pub mod shape;
