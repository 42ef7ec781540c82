//! Databases through the whole way of a vendor's call: bytes in, bytes out, in
//! both generations of the API. Every refusal that any of these tests meets is
//! checked to be one that the contract lets the operation answer.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on fails"
)]

mod clones;
mod cloud;
mod codes;
#[path = "../common/mod.rs"]
mod common;
mod contract;
mod legacy;
mod life;
mod lists;
mod parameters;
mod rollbacks;
mod work;
