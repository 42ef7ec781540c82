//! Lighthouse through the whole way of a vendor's call: bytes in, bytes out.
//! Every refusal that any of these tests meets is checked to be one that the
//! contract lets the operation answer.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on fails"
)]

mod catalog;
mod cloud;
mod codes;
#[path = "../common/mod.rs"]
mod common;
mod disks;
mod front_door;
mod instances;
mod machines;
mod snapshots;
