//! Everything that can go wrong.

use std::io;
use std::path::{Path, PathBuf};

use backout_core::code::Code;
use backout_core::fence::Fence;
use backout_core::size::told_apart;
use rustix::io::Errno;

/// Result of this crate's functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a disk function did not do its work. The messages are fragments that
/// fit "failed to ...".
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The disk's image file is not there.
    #[error("find the disk {path:?}: put it back, or take the disk out of management")]
    Missing {
        /// The head.
        path: PathBuf,
    },
    /// A restore point's file, or a layer below it, is not there.
    #[error("find {path:?}, which a restore point needs: restore the file, or delete the point")]
    PointMissing {
        /// The file.
        path: PathBuf,
    },
    /// A process or loop device holds the head open.
    #[error("change {path:?} while it is held open by {holders}: stop that first")]
    InUse {
        /// The head.
        path: PathBuf,
        /// Who, for people.
        holders: String,
    },
    /// The file system, or the quota, is full.
    #[error("{op} {path:?}: no space left on its file system: free some, then try again")]
    NoSpace {
        /// The file.
        path: PathBuf,
        /// What was tried.
        op: &'static str,
    },
    /// The file system is mounted read-only.
    #[error("{op} {path:?}: its file system is read-only: remount it, then try again")]
    ReadOnly {
        /// The file.
        path: PathBuf,
        /// What was tried.
        op: &'static str,
    },
    /// The driver cannot work with this disk on this host.
    #[error("handle {path:?}: {why}")]
    Unsupported {
        /// The file or folder.
        path: PathBuf,
        /// Why, and what to do.
        why: String,
    },
    /// A file is not in the format it should have.
    #[error("read {path:?}: {why}")]
    Format {
        /// The file.
        path: PathBuf,
        /// Why, and what to do.
        why: String,
    },
    /// Somebody with a newer fence has worked on the disk.
    #[error("work on {path:?} with fence {given}: fence {seen} has been here, so leave it alone")]
    Stale {
        /// The head.
        path: PathBuf,
        /// The fence that was shown.
        given: Fence,
        /// The highest that was ever shown.
        seen: Fence,
    },
    /// Another step, or a `qemu-img` it left behind, is at work on the disk.
    #[error("lock {path:?}: another step is at work on it: try again soon")]
    Busy {
        /// The head.
        path: PathBuf,
    },
    /// [`crate::Progress::cancelled`] said so.
    #[error("finish with {path:?}: stopped on request")]
    Cancelled {
        /// The file in the making, now gone.
        path: PathBuf,
    },
    /// The head is another file than the one the function was to work on.
    #[error("change {path:?}: {why}")]
    HeadChanged {
        /// The head.
        path: PathBuf,
        /// What was found, and what to do.
        why: String,
    },
    /// `qemu-img` is missing, failed or was killed.
    #[error("run qemu-img on {path:?}: {why}")]
    Tool {
        /// The file.
        path: PathBuf,
        /// The end of what it wrote, or how it ended.
        why: String,
    },
    /// The image that a disk is to be made of is not there.
    #[error("find the image {path:?}: put it back, or choose another")]
    ImageMissing {
        /// The image.
        path: PathBuf,
    },
    /// An image does not fit into the disk that is to be made of it.
    #[error(
        "fit the image {path:?} of {} into a disk of {}: choose a larger disk, or a smaller image",
        told_apart(*.image_bytes, *.disk_bytes)[0],
        told_apart(*.image_bytes, *.disk_bytes)[1]
    )]
    ImageTooLarge {
        /// The image.
        path: PathBuf,
        /// Size of the disk in it, in bytes.
        image_bytes: u64,
        /// Size of the disk that is to be made, in bytes.
        disk_bytes: u64,
    },
    /// A file that somebody else made is where a new one should go.
    #[error("make {path:?}: another file is there: move it away, or choose another path")]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// A name is not acceptable.
    #[error("use \"{given}\" as a {what}: want {want}")]
    BadName {
        /// What kind of name.
        what: &'static str,
        /// The name, shortened.
        given: String,
        /// What it must look like.
        want: &'static str,
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
    /// Our stable code for it.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::Missing { .. } | Self::ImageMissing { .. } => Code::DiskMissing,
            Self::PointMissing { .. } => Code::SnapshotState,
            Self::InUse { .. } => Code::DiskInUse,
            Self::NoSpace { .. } => Code::NoSpace,
            Self::Unsupported { .. } => Code::DriverUnsupported,
            Self::Format { .. } => Code::DiskFormat,
            Self::Stale { .. } => Code::StaleFence,
            Self::Busy { .. } => Code::ResourceBusy,
            Self::Cancelled { .. } => Code::Cancelled,
            Self::BadName { .. } | Self::ImageTooLarge { .. } => Code::BadRequest,
            Self::Exists { .. } => Code::NameTaken,
            Self::ReadOnly { .. }
            | Self::HeadChanged { .. }
            | Self::Tool { .. }
            | Self::Io { .. } => Code::DiskIo,
        }
    }

    /// Whether the same call may well succeed a little later without anybody
    /// doing anything.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Busy { .. } => true,
            Self::Io { source, .. } => matches!(
                source.kind(),
                io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
            ),
            _ => false,
        }
    }

    /// Sorts a failure of the operating system.
    pub(crate) fn io(op: &'static str, path: &Path, source: impl Into<io::Error>) -> Self {
        let source = source.into();
        let path = path.to_owned();
        match Errno::from_io_error(&source) {
            Some(Errno::NOSPC | Errno::DQUOT) => Self::NoSpace { path, op },
            Some(Errno::ROFS) => Self::ReadOnly { path, op },
            Some(Errno::XDEV) => Self::Unsupported {
                path,
                why: "the disk and its .backout folder are on different file systems: \
                      remove the mount or move the folder beside the disk"
                    .to_owned(),
            },
            _ => Self::Io { path, op, source },
        }
    }
}
