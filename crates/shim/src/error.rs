//! Everything that can go wrong.

use std::io;
use std::path::{Path, PathBuf};

use backout_core::code::Code;

/// Result of this crate's functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a process could not be managed. The messages are fragments that fit
/// "failed to ...".
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file of the run folder cannot be used.
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
    /// A file of the run folder does not hold what it should.
    #[error("read {path:?}: {why}")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong, and what to do.
        why: String,
    },
    /// The program, or the shim itself, did not start.
    #[error("start {program:?}: {why}")]
    NotStarted {
        /// The program.
        program: PathBuf,
        /// Why, and what to do.
        why: String,
    },
    /// Another start in the same folder takes too long.
    #[error("start a process in {folder:?}: another start is under way there: try again soon")]
    Busy {
        /// The run folder.
        folder: PathBuf,
    },
    /// The process does not run.
    #[error("reach the process of {folder:?}: it does not run, so start it first")]
    NotRunning {
        /// The run folder.
        folder: PathBuf,
    },
    /// The process goes on.
    #[error("see the end of process {pid} of {folder:?}: it goes on; wait longer, or kill it")]
    GoesOn {
        /// The run folder.
        folder: PathBuf,
        /// Its pid.
        pid: u32,
    },
    /// The shim lives but does not record what happened to its process.
    #[error(
        "learn the state of {folder:?}: its shim{} does not record it; see whether that is \
         stopped, or its file system full", shim.map_or(String::new(), |pid| format!(", process {pid},"))
    )]
    Stuck {
        /// The run folder.
        folder: PathBuf,
        /// The shim's pid; `None` before it recorded anything.
        shim: Option<u32>,
    },
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
            Self::Io { .. }
            | Self::Malformed { .. }
            | Self::NotStarted { .. }
            | Self::Stuck { .. } => Code::ProcessStart,
            Self::Busy { .. } => Code::ResourceBusy,
            Self::NotRunning { .. } | Self::GoesOn { .. } => Code::ServerState,
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
