//! Applications: replicas of a release that can be taken back to an earlier one.
//!
//! Architecture invariants: this crate knows no vendor and no protocol, and not
//! which driver runs the replicas; what it changes in the world it changes
//! inside a job's step. A version is never changed once it is written: going
//! back to it brings all of it back.

pub mod components;
pub mod model;
pub mod orders;
pub mod persistence;
pub mod planning;
pub mod procedures;
mod refusal;
pub mod retention;
pub mod runtime;
pub mod scaling;
mod service;
pub mod world;

pub use persistence::MIGRATIONS;
pub use refusal::{QuotaOf, Refusal};
pub use runtime::{Runtime, Secrets};
pub use service::{
    APPLICATIONS_MAX, ApplicationView, Apps, Asked, BATCH_MAX, CONFIG_MAPS_MAX, Caller, Created,
    DEFAULT_NAMESPACE, DESCRIPTION_MAX_CHARS, ENTRIES_MAX_BYTES, FILES_MAX, Group, How,
    LABEL_MAX_CHARS, NAME_MAX_CHARS, NAMESPACES_MAX, NamespaceResources, NewApplication,
    NewArtifact, NewFile, NewRelease, OrderMetric, OrderView, PACKAGE_VERSION_MAX_CHARS, Proposal,
    ReplicaView, SECRET_MAX_BYTES, SECRETS_MAX, Swept, TAGS_MAX, Tended, Usage, Wanted,
};
