//! Everything that can go wrong.

use std::io;
use std::path::{Path, PathBuf};

use backout_core::code::Code;

/// Result of this crate's functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a machine was not handled. The messages are fragments that fit
/// "failed to ...".
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Something in a machine's specification is not acceptable.
    #[error("build the machine: {why}")]
    BadMachine {
        /// What, and what is wanted.
        why: String,
    },
    /// QEMU is not there, or does not run.
    #[error("run QEMU: {why}")]
    NoQemu {
        /// Why, and what to do.
        why: String,
    },
    /// QEMU ended before the machine was up.
    #[error("start {id}: {why}")]
    NotStarted {
        /// The machine.
        id: String,
        /// What QEMU said, and what to do.
        why: String,
    },
    /// Another process has an image of the machine open.
    #[error("start {id}: another process has its disk open; stop that first. QEMU said: {why}")]
    ImageLocked {
        /// The machine.
        id: String,
        /// What QEMU said.
        why: String,
    },
    /// The process is there, but its monitor is silent.
    #[error(
        "hear from {id}: its process {pid} is there but does not answer ({why}); try again, or \
         stop it by force"
    )]
    Unanswered {
        /// The machine.
        id: String,
        /// The pid of its process.
        pid: u32,
        /// What was waited for.
        why: String,
    },
    /// The guest did not do what it was asked for.
    #[error("{what} {id}: {why}")]
    Disobeyed {
        /// The machine.
        id: String,
        /// What was tried.
        what: &'static str,
        /// What the guest did not do, and what to do.
        why: String,
    },
    /// QEMU refused.
    #[error("{what} {id}: QEMU refused: {why}; see the machine's log")]
    Refused {
        /// The machine.
        id: String,
        /// What was tried.
        what: &'static str,
        /// What QEMU said.
        why: String,
    },
    /// The machine is not in the state for this.
    #[error("{what} {id}: {why}")]
    State {
        /// The machine.
        id: String,
        /// What was tried.
        what: &'static str,
        /// What state it is in, and what to do.
        why: String,
    },
    /// The lock is of another disk than the machine's system disk.
    #[error(
        "work on {id} under the lock of {locked:?}: its system disk is {wanted:?}, so take the \
         lock of that"
    )]
    WrongLock {
        /// The machine.
        id: String,
        /// What is locked.
        locked: PathBuf,
        /// What should be.
        wanted: PathBuf,
    },
    /// [`backout_disks::Progress::cancelled`] said so.
    #[error("finish with {id}: stopped on request")]
    Cancelled {
        /// The machine.
        id: String,
    },
    /// Its supervisor.
    #[error("supervise {id}: see the cause")]
    Shim {
        /// The machine.
        id: String,
        /// What went wrong.
        #[source]
        source: backout_shim::Error,
    },
    /// Any other failure of the operating system.
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
    /// Whether it only stopped because it was asked to.
    #[must_use]
    pub const fn is_cancelled(&self) -> bool {
        matches!(self, Self::Cancelled { .. })
    }

    /// Our stable code for it.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::BadMachine { .. } => Code::BadRequest,
            Self::NoQemu { .. } => Code::QemuMissing,
            Self::NotStarted { .. } | Self::Refused { .. } => Code::MachineStart,
            Self::ImageLocked { .. } => Code::DiskInUse,
            Self::Unanswered { .. } => Code::MachineSilent,
            Self::Disobeyed { .. } => Code::GuestDisobeyed,
            Self::State { .. } => Code::ServerState,
            Self::WrongLock { .. } => Code::Internal,
            Self::Cancelled { .. } => Code::Cancelled,
            Self::Shim { source, .. } => source.code(),
            Self::Io { source, .. } => match source.kind() {
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Code::NoSpace,
                io::ErrorKind::NotFound => Code::DiskMissing,
                _ => Code::DiskIo,
            },
        }
    }

    /// Whether the same call may well succeed a little later without anybody
    /// doing anything.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::Unanswered { .. })
            || matches!(
                self,
                Self::Shim {
                    source: backout_shim::Error::Busy { .. } | backout_shim::Error::Stuck { .. },
                    ..
                }
            )
    }

    pub(crate) fn io(op: &'static str, path: &Path, source: impl Into<io::Error>) -> Self {
        Self::Io {
            path: path.to_owned(),
            op,
            source: source.into(),
        }
    }
}
