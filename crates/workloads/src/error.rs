//! Everything that can go wrong.

use std::io;
use std::path::{Path, PathBuf};

use backout_core::code::Code;

use crate::model::{InstanceId, PackageHash};

/// Result of this crate's functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why something could not be done. The messages are fragments that fit
/// "failed to ...".
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// What was asked for cannot be.
    #[error("use {what}: {why}")]
    BadSpec {
        /// What is wrong.
        what: &'static str,
        /// Why, and what to do.
        why: String,
    },
    /// There is no such instance.
    #[error("find instance {id}: there is none on this host; start it first")]
    NoInstance {
        /// Its name.
        id: InstanceId,
    },
    /// The instance is not in a state for this.
    #[error("{what} instance {id}: {why}")]
    State {
        /// Its name.
        id: InstanceId,
        /// What was tried.
        what: &'static str,
        /// Why not, and what to do.
        why: String,
    },
    /// A newer fence was shown: somebody else looks after this by now.
    #[error("change instance {id}: its job went to another worker; leave it to that")]
    Stale {
        /// Its name.
        id: InstanceId,
    },
    /// Somebody else changes the instance, and does not let go.
    #[error("change instance {id}: another worker is busy with it; try again soon")]
    Busy {
        /// Its name.
        id: InstanceId,
    },
    /// Limits cannot be enforced.
    #[error("limit instance {id}: {why}")]
    NoLimits {
        /// Its name.
        id: InstanceId,
        /// Why not, and what to do.
        why: String,
    },
    /// No port is free.
    #[error("give instance {id} a port: {why}")]
    NoPort {
        /// Its name.
        id: InstanceId,
        /// Why not, and what to do.
        why: String,
    },
    /// The program did not start.
    #[error("start instance {id}: {why}")]
    NotStarted {
        /// Its name.
        id: InstanceId,
        /// Why, and what to do.
        why: String,
    },
    /// Its shim could not do it.
    #[error("{op} instance {id}")]
    Shim {
        /// Its name.
        id: InstanceId,
        /// What was tried.
        op: &'static str,
        /// What the shim said.
        #[source]
        source: backout_shim::Error,
    },
    /// A package cannot be taken.
    #[error("take the package {from}: {why}")]
    PackageRefused {
        /// Where it is.
        from: String,
        /// What is wrong with it, and what to do.
        why: String,
    },
    /// A package cannot be had.
    #[error("fetch the package {from}: {why}")]
    PackageUnreachable {
        /// Where it should be.
        from: String,
        /// Why not, and what to do.
        why: String,
    },
    /// A package is not kept here.
    #[error("find package {hash}: {why}")]
    NoPackage {
        /// Its hash.
        hash: PackageHash,
        /// Why not, and what to do.
        why: String,
    },
    /// The engine has not got an image, and cannot have it.
    #[error("find the image {name}: {why}")]
    NoImage {
        /// Its name.
        name: String,
        /// Why not, and what to do.
        why: String,
    },
    /// The container engine does not answer.
    #[error("reach the container engine at {socket:?}: {why}; see whether it runs, then try again")]
    EngineAway {
        /// Where it should listen.
        socket: PathBuf,
        /// Why not.
        why: String,
    },
    /// The container engine answered that it failed.
    #[error("{op} {what}: the container engine says: {why}; see to that, then try again")]
    Engine {
        /// What was tried.
        op: &'static str,
        /// The instance or image.
        what: String,
        /// The status of the answer; 0 when there was none.
        status: u16,
        /// What it said.
        why: String,
    },
    /// A file cannot be used.
    #[error("{op} {path:?}: see the cause, then try again")]
    Io {
        /// The file.
        path: PathBuf,
        /// What was tried.
        op: &'static str,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
}

impl Error {
    /// Our stable code for it.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::BadSpec { .. } => Code::BadRequest,
            Self::NoInstance { .. } => Code::NotFound,
            Self::State { .. } => Code::InstanceState,
            Self::Stale { .. } => Code::StaleFence,
            Self::Busy { .. } => Code::ResourceBusy,
            Self::NoLimits { .. } => Code::LimitsUnavailable,
            Self::NoPort { .. } => Code::Quota,
            Self::NotStarted { .. } => Code::ProcessStart,
            Self::Shim { source, .. } => source.code(),
            Self::PackageRefused { .. } => Code::PackageRefused,
            Self::PackageUnreachable { .. } => Code::PackageUnreachable,
            Self::NoPackage { .. } => Code::PackageMissing,
            Self::NoImage { .. } => Code::ImageMissing,
            Self::EngineAway { .. } => Code::EngineUnreachable,
            Self::Engine { .. } => Code::EngineFailed,
            Self::Io { source, .. } => match source.kind() {
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Code::NoSpace,
                _ => Code::InstanceIo,
            },
        }
    }

    /// Whether the same call may well succeed a little later without anybody
    /// doing anything.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Busy { .. } | Self::PackageUnreachable { .. } | Self::EngineAway { .. } => true,
            Self::Engine { status, .. } => *status >= 500,
            Self::Shim { source, .. } => matches!(
                source,
                backout_shim::Error::Busy { .. } | backout_shim::Error::Stuck { .. }
            ),
            _ => false,
        }
    }

    pub(crate) fn io(op: &'static str, path: &Path, source: impl Into<io::Error>) -> Self {
        Self::Io {
            path: path.to_owned(),
            op,
            source: source.into(),
        }
    }
}
