//! Servers: a system disk that can be taken back to a snapshot.
//!
//! Architecture invariants: this crate knows no vendor and no protocol, and not
//! which disk driver it has; what it changes in the world it changes inside a
//! job's step. The call, its dry run and the list of denied actions ask the
//! same function of [`preflight`].

pub mod bundles;
pub mod model;
pub mod persistence;
pub mod plan;
mod power;
pub mod preflight;
pub mod procedures;
mod refusal;
pub mod retention;
mod service;

pub use persistence::MIGRATIONS;
pub use procedures::Runtime;
pub use refusal::Refusal;
pub use service::{
    AskedBy, BACKUP_NAME_MAX_CHARS, BATCH_MAX, BLANK_MAX_BYTES, BLANK_MIN_BYTES, Caller,
    DATA_DISKS_MAX, DELETE_MAX, DISKS_MAX, Denied, DiskRef, NAME_MAX_CHARS, NewBlueprint, NewDisk,
    NewInstances, NewServer, Proposal, Quota, Quotas, Servers, Source, TAGS_MAX, Tended,
};
