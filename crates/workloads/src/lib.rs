//! Drivers that run instances of releases: real processes of this host, kept
//! within limits, asked how they are, and found again.
//!
//! | part | what it is |
//! |---|---|
//! | [`Workloads`] | what every driver does |
//! | [`process`] | the driver for processes of this host |
//! | [`docker`] | the driver for containers of a Docker Engine on this host |
//! | [`packages`] | what releases are made of, kept by what is in it |
//!
//! Architecture invariants:
//! 1. Nothing here knows a job, a product, a store or a vendor.
//! 2. An instance goes on while Backout is dead, is started again by its shim
//!    when it fails, and is never taken for another or started twice.
//! 3. Whoever changes an instance shows a fence, under its lock; every function
//!    may be repeated after a crash at any instant in it.
//! 4. Limits that cannot be enforced are refused, or reported as not enforced,
//!    as the caller chose.
//! 5. Nothing of a package lands outside its folder, whatever its names say, and
//!    what it takes is bounded before it is written.

mod check;
mod command;
pub mod docker;
mod driver;
mod error;
mod model;
pub mod packages;
pub mod process;
mod root;

pub use command::split_command;
pub use driver::{PAGE_MAX, Watch, Workloads};
pub use error::{Error, Result};
pub use model::{
    Ask, Enforced, Event, EventKind, Exit, Fetched, Finding, InstanceId, InstanceSpec, Limits,
    LogChunk, LogFrom, LogLimits, LogPosition, MountedFile, PackageHash, Phase, PortWish, Probe,
    Restart, Secrets, Source, Started, Status, Task, When,
};
