//! Applications: replicas of a release that can be taken back to an earlier one.
//!
//! Architecture invariants: this crate knows no vendor and no protocol, and not
//! which driver runs the replicas; what it changes in the world it changes
//! inside a job's step. A version is never changed once it is written: going
//! back to it brings all of it back.

pub mod model;
pub mod orders;
pub mod persistence;
pub mod planning;
mod refusal;
pub mod retention;

pub use persistence::MIGRATIONS;
pub use refusal::Refusal;
