//! Data engines: what answers statements, in a version that can be switched and
//! taken back.
//!
//! Architecture invariants: this crate knows no vendor and no protocol, and not
//! which driver runs an engine; what it changes in the world it changes inside
//! a job's step. What is recorded of an engine, and every entry of the
//! catalogue, is met when it is read: nothing damaged is acted on.

pub mod catalogue;
pub mod log;
pub mod model;
pub mod parameters;
pub mod persistence;
pub mod planning;
pub mod procedures;
mod refusal;
pub mod runtime;
pub mod service;

pub use persistence::MIGRATIONS;
pub use refusal::{Damage, Refusal};
pub use runtime::Runtime;
pub use service::Engines;
