//! Everything that can go wrong.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use backout_core::code::Code;
use backout_core::fence::Fence;
use serde::{Deserialize, Serialize};

/// Result of this crate's functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a gateway could not be managed. The messages are fragments that fit
/// "failed to ...".
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file of the gateway's folder cannot be used.
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
    /// A file of the folder does not hold what it should.
    #[error("read {path:?}: {why}")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong, and what to do.
        why: String,
    },
    /// What the gateway should do makes no sense.
    #[error("tell the gateway what to do: {why}")]
    BadDesired {
        /// What is wrong.
        why: String,
    },
    /// A setting is out of its range.
    #[error("set up the gateway: {why}")]
    BadSettings {
        /// Which, and the range.
        why: String,
    },
    /// Something newer was said before.
    #[error(
        "tell the gateway what to do: it was told something newer (fence {fence}, generation \
         {generation}); look at its status, and start from there"
    )]
    Stale {
        /// What the gateway has.
        fence: Fence,
        /// What the gateway has.
        generation: u64,
    },
    /// The port cannot be had.
    #[error("listen on {address}: {why}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// Why, and what to do.
        why: String,
    },
    /// Nobody answers on the control socket.
    #[error("reach the gateway of {dir:?}: {why}")]
    Unreachable {
        /// The gateway's folder.
        dir: PathBuf,
        /// Why, and what to do.
        why: String,
    },
    /// The gateway runs, with other settings.
    #[error(
        "start the gateway of {dir:?}: it runs with other settings; stop it first, which closes \
         its connections"
    )]
    OtherSettings {
        /// The gateway's folder.
        dir: PathBuf,
    },
    /// Another gateway has the folder.
    #[error("start the gateway of {dir:?}: another one runs there")]
    Taken {
        /// The gateway's folder.
        dir: PathBuf,
    },
    /// The gateway was asked something that it does not know.
    #[error("ask the gateway: {why}")]
    BadRequest {
        /// What is wrong.
        why: String,
    },
    /// The supervisor of the gateway said so.
    #[error(transparent)]
    Shim(#[from] backout_shim::Error),
}

impl Error {
    /// Our stable code for it.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::Io { source, .. }
                if matches!(
                    source.kind(),
                    io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
                ) =>
            {
                Code::NoSpace
            }
            Self::BadDesired { .. } | Self::BadSettings { .. } | Self::BadRequest { .. } => {
                Code::BadRequest
            }
            Self::Stale { .. } => Code::StaleFence,
            Self::Io { .. }
            | Self::Malformed { .. }
            | Self::Bind { .. }
            | Self::Unreachable { .. } => Code::ProcessStart,
            Self::OtherSettings { .. } | Self::Taken { .. } => Code::ResourceBusy,
            Self::Shim(error) => error.code(),
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

/// An error on its way over the control socket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(crate) enum Refusal {
    BadDesired {
        why: String,
    },
    Stale {
        fence: Fence,
        generation: u64,
    },
    Bind {
        address: SocketAddr,
        why: String,
    },
    BadRequest {
        why: String,
    },
    /// The desired state could not be written down.
    NotKept {
        why: String,
    },
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        match error {
            Error::BadDesired { why } => Self::BadDesired { why },
            Error::Stale { fence, generation } => Self::Stale { fence, generation },
            Error::Bind { address, why } => Self::Bind { address, why },
            Error::BadRequest { why } => Self::BadRequest { why },
            Error::Io { op, path, source } => Self::NotKept {
                why: format!("{op} {path:?}: {source}"),
            },
            other => Self::NotKept {
                why: other.to_string(),
            },
        }
    }
}

impl Refusal {
    pub(crate) fn into_error(self, dir: &Path) -> Error {
        match self {
            Self::BadDesired { why } => Error::BadDesired { why },
            Self::Stale { fence, generation } => Error::Stale { fence, generation },
            Self::Bind { address, why } => Error::Bind { address, why },
            Self::BadRequest { why } => Error::BadRequest { why },
            Self::NotKept { why } => Error::Io {
                path: dir.to_owned(),
                op: "keep the desired state in",
                source: io::Error::other(why),
            },
        }
    }
}
