//! Databases: instances whose tables can be taken back to a point in time.
//!
//! Architecture invariants: this crate knows no vendor and no protocol; how a
//! server is reached, run and copied is the driver's affair; what it changes in
//! the world it changes inside a job's step. The call, its dry run and the
//! windows that are shown ask the same functions of `preflight`.

mod beside;
mod cascade;
mod facts;
mod files;
mod follower;
mod lock;
pub mod model;
pub mod persistence;
mod preflight;
mod preview;
pub mod procedures;
mod reduction;
mod refusal;
pub mod request;
mod runtime;
mod service;
pub mod zone;

pub use beside::Placed;
pub use cascade::Replay;
pub use persistence::MIGRATIONS;
pub use preflight::TABLES_MAX;
pub use refusal::Refusal;
pub use request::{
    CloneRequest, CloneTo, Found, FoundClone, FoundTable, Preview, PreviewRow, RewindRequest,
    RewindWhat, RollbackRequest, Until,
};
pub use runtime::{MEMORY_BYTES, Runtime, SAFETY_KEEP_MS, Secrets};
pub use service::{
    Asked, Caller, DATABASES_MAX, Databases, Holding, INSTANCES_MAX, KEEP_DAYS_MAX, LOG_HOURS,
    LOG_PERCENTS, LogFile, LogFiles, LogFilter, MADE_MAX, NAME_MAX_CHARS, NewBackup, NewInstance,
    NewManaged, Proposal, TAGS_MAX, TRANSACTIONS_MAX, Tended, Trouble,
};
pub use zone::{Written, Zone};
