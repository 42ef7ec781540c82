//! Data engines through the whole way of a vendor's call: bytes in, bytes out.
//! Where an engine is run it is a small real process. Every answer is held
//! against the contract, and every refusal is checked to be one that it has.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on fails"
)]

mod cloud;
mod codes;
#[path = "../common/mod.rs"]
mod common;
mod life;
mod lists;
mod parameters;
