//! Applications through the whole way of a vendor's call: bytes in, bytes out,
//! with real processes for replicas. Every answer is held against the contract,
//! and every refusal is checked to be one that it has.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on fails"
)]

mod cloud;
mod codes;
#[path = "../common/mod.rs"]
mod common;
mod contract;
mod lists;
mod orders;
mod parameters;
