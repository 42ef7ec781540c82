//! Databases: instances whose tables can be taken back to a point in time.
//!
//! Architecture invariants: this crate knows no vendor and no protocol; how a
//! server is reached, run and copied is the driver's affair; what it changes in
//! the world it changes inside a job's step. The call, its dry run and the
//! windows that are shown ask the same functions of `preflight`.

pub mod model;
pub mod persistence;
pub mod zone;
