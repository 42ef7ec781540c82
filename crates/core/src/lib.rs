//! Words that every floor shares: ids, time, sizes, fencing, plans, outcomes,
//! error codes and policies.
//!
//! Architecture invariant: pure. Nothing here does I/O, reads a clock or draws
//! randomness by itself; both are handed in as [`time::Clock`] and
//! [`ids::Entropy`]. Nothing here knows a vendor, a protocol, a database or a
//! driver.

pub mod code;
pub mod fence;
pub mod ids;
pub mod outcome;
pub mod plan;
pub mod policy;
pub mod size;
pub mod time;
