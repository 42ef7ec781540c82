//! The surfaces: what callers say, mapped onto products, and what products say,
//! mapped onto each caller's codes.
//!
//! One module a surface: [`lighthouse`], [`cdb`], [`cdb_v2`], [`dlc`] and
//! [`sae`] are a vendor's, [`native`] is our own.
//! [`front`] is the way of a vendor's signed call through all of them: parse,
//! look the key up, verify, decode, limit, authorise, act, encode.
//!
//! Architecture invariants: this crate and `wire` are the only ones that know a
//! vendor; it knows no HTTP stack; it changes nothing itself, but asks products
//! to.

pub mod audit;
pub mod cdb;
pub mod cdb_v2;
pub mod dlc;
pub mod front;
mod kept;
pub mod lighthouse;
pub mod native;
pub mod sae;
pub mod secrets;
