//! Every reason why a server's disk cannot be worked on now.

use std::borrow::Cow;
use std::path::Path;

use backout_core::code::Code;
use backout_core::ids::{AccountId, BlueprintId, DiskId, InstanceId, JobId, PointId};
use backout_core::size::told_apart;
use backout_disks::Holder;

use crate::model::{
    BlueprintState, DiskState, Holding, OperationKind, Power, SnapshotState, Volume,
};
use crate::persistence::FileUser;
use crate::preflight::holder_names;

/// Why not. The message is a lower-case fragment that fits "failed to ..." and
/// ends with what to do next.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// No server has this id or name.
    #[error("find server {0:?}: list the servers to see which there are")]
    ServerNotFound(String),
    /// No snapshot has this id or name.
    #[error("find snapshot {0:?}: list the snapshots to see which there are")]
    SnapshotNotFound(String),
    /// No disk has this id or name.
    #[error("find disk {0:?}: list the disks to see which there are")]
    DiskNotFound(String),
    /// No image has this id or name.
    #[error("find image {0:?}: list the images to see which there are")]
    BlueprintNotFound(String),
    /// No size has this id.
    #[error("find size {0:?}: list the sizes to see which there are")]
    BundleNotFound(String),
    /// Several have this name.
    #[error(
        "tell which {what} is meant by {name:?}: several have that name; give one of the ids {ids}"
    )]
    Ambiguous {
        /// What was looked for.
        what: &'static str,
        /// The name.
        name: String,
        /// Some of their ids, the newest first.
        ids: String,
    },
    /// The snapshot was taken of another disk.
    #[error(
        "use restore point {snapshot} on {server}: it was taken of another disk, and only the original one can go back to it"
    )]
    OtherDisk {
        /// The snapshot.
        snapshot: PointId,
        /// The server, or the data disk, it was to be used on.
        server: String,
    },
    /// The server is being taken under management.
    #[error("use server {0}: it is still being created, wait for its job")]
    ServerCreating(InstanceId),
    /// The server is in a state that does not allow this.
    #[error("{action} server {server} while it is {}: {hint}", power.as_str())]
    ServerState {
        /// What was to be done, as a verb.
        action: &'static str,
        /// The server.
        server: InstanceId,
        /// Its state.
        power: Power,
        /// What to do instead.
        hint: Cow<'static, str>,
    },
    /// A job works on the server, or is held on it.
    #[error("use server {server}: job {job} holds it; follow it with: backout jobs show {job}")]
    ServerBusy {
        /// The server.
        server: InstanceId,
        /// The job that holds it.
        job: JobId,
        /// What that job does.
        kind: Option<OperationKind>,
        /// Whether it is held.
        held: bool,
    },
    /// A job works on the data disk, or is held on it.
    #[error("use disk {disk}: job {job} holds it; follow it with: backout jobs show {job}")]
    DiskBusy {
        /// The disk.
        disk: DiskId,
        /// The job that holds it.
        job: JobId,
        /// What that job does.
        kind: Option<OperationKind>,
        /// Whether it is held.
        held: bool,
    },
    /// The disk is in a state that does not allow this.
    #[error("{action} disk {disk} while it is {}: {hint}", state.as_str())]
    DiskState {
        /// What was to be done, as a verb.
        action: &'static str,
        /// The disk.
        disk: DiskId,
        /// Its state.
        state: DiskState,
        /// What to do instead.
        hint: &'static str,
    },
    /// It was a system disk, and data disks only can do this; or the other way
    /// round.
    #[error("{action} disk {disk}: {why}")]
    DiskUsage {
        /// What was to be done, as a verb.
        action: &'static str,
        /// The disk.
        disk: DiskId,
        /// Why it cannot be, and what to do instead.
        why: &'static str,
    },
    /// The image cannot be used now.
    #[error("use image {blueprint} while it is {}: wait for its job, or take another", state.as_str())]
    BlueprintState {
        /// The image.
        blueprint: BlueprintId,
        /// Its state.
        state: BlueprintState,
    },
    /// A job makes a disk of the image.
    #[error("delete image {blueprint}: job {job} makes a disk of it; wait for that")]
    BlueprintUsed {
        /// The image.
        blueprint: BlueprintId,
        /// The job.
        job: JobId,
    },
    /// There would be more of something than there may be.
    #[error("have more than {max} {what}: {hint}")]
    Quota {
        /// Of what, in the plural.
        what: &'static str,
        /// How many there may be.
        max: u64,
        /// What to do.
        hint: &'static str,
    },
    /// The host cannot run machines, or not this one.
    #[error("{}", with_machine_cause(.0))]
    Machine(backout_machines::Error),
    /// The snapshot is not usable now.
    #[error("use snapshot {snapshot} while it is {}: wait for its job", state.as_str())]
    SnapshotState {
        /// The snapshot.
        snapshot: PointId,
        /// Its state.
        state: SnapshotState,
    },
    /// The head has another virtual size than the snapshot.
    #[error(
        "go back to snapshot {snapshot} of {}: the disk has {} now; give it the snapshot's size again",
        told_apart(*.snapshot_bytes, *.head_bytes)[0],
        told_apart(*.snapshot_bytes, *.head_bytes)[1]
    )]
    SizeChanged {
        /// The snapshot.
        snapshot: PointId,
        /// Its virtual size, in bytes.
        snapshot_bytes: u64,
        /// The head's, in bytes.
        head_bytes: u64,
    },
    /// A process has the disk open.
    #[error(
        "change disk {path} while it is open in {holders}: stop that, or give the server a stop command"
    )]
    InUse {
        /// The head.
        path: String,
        /// Who holds it, for people.
        holders: String,
    },
    /// The copy would not fit.
    #[error(
        "copy {} beside {path}: only {} is free; make room",
        told_apart(*.needed_bytes, *.free_bytes)[0],
        told_apart(*.needed_bytes, *.free_bytes)[1]
    )]
    NoSpace {
        /// The head.
        path: String,
        /// What the copy takes, in bytes.
        needed_bytes: u64,
        /// What is free, in bytes.
        free_bytes: u64,
    },
    /// The driver found something wrong with a file.
    #[error("{}", with_cause(.0))]
    Disk(backout_disks::Error),
    /// There is no file to take under management.
    #[error("find disk {0}: give the path of an existing raw or qcow2 image")]
    NoDiskFile(String),
    /// The chain of overlays is as long as it may be.
    #[error(
        "take a snapshot of {path}: its chain has {layers} files, the most there may be; go back to an older snapshot, or move the disk to a file system with reflinks"
    )]
    ChainFull {
        /// The head.
        path: String,
        /// How many files the chain has.
        layers: u32,
    },
    /// The name is taken.
    #[error("use the name {0:?}: there is one of this name already; give another")]
    Taken(String),
    /// The file is a disk or an image already.
    #[error(
        "use the file {path}: it is {by} already; give another file, or take that out of management first"
    )]
    FileTaken {
        /// The file.
        path: String,
        /// What it is.
        by: String,
    },
    /// A parameter is out of its range.
    #[error("{0}")]
    Invalid(String),
    /// The same idempotency key came with another request.
    #[error("use this idempotency key: it was used for another request")]
    IdempotencyMismatch,
    /// The job cannot be undone.
    #[error("undo job {job}: {why}")]
    NotReversible {
        /// The job.
        job: JobId,
        /// Why, and what to do instead.
        why: &'static str,
    },
    /// The store is in the way.
    #[error("reach the state: {0}")]
    Store(#[from] backout_store::Error),
}

impl Refusal {
    /// Our stable code.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::ServerNotFound(_)
            | Self::SnapshotNotFound(_)
            | Self::DiskNotFound(_)
            | Self::BlueprintNotFound(_)
            | Self::BundleNotFound(_) => Code::NotFound,
            Self::OtherDisk { .. } => Code::WrongDisk,
            Self::ServerCreating(_) | Self::ServerState { .. } => Code::ServerState,
            Self::ServerBusy { .. } | Self::DiskBusy { .. } => Code::ResourceBusy,
            Self::DiskState { .. } | Self::DiskUsage { .. } => Code::DiskState,
            Self::BlueprintState { .. } => Code::BlueprintState,
            Self::BlueprintUsed { .. } => Code::ResourceBusy,
            Self::Quota { .. } => Code::Quota,
            Self::Machine(e) => e.code(),
            Self::SnapshotState { .. } => Code::SnapshotState,
            Self::SizeChanged { .. } => Code::DiskSizeChanged,
            Self::InUse { .. } => Code::DiskInUse,
            Self::NoSpace { .. } => Code::NoSpace,
            Self::Disk(e) => e.code(),
            Self::NoDiskFile(_) => Code::DiskMissing,
            Self::ChainFull { .. } => Code::ChainFull,
            Self::Taken(_) | Self::FileTaken { .. } => Code::NameTaken,
            Self::Invalid(_) | Self::Ambiguous { .. } => Code::BadRequest,
            Self::IdempotencyMismatch => Code::IdempotencyMismatch,
            Self::NotReversible { .. } => Code::NotReversible,
            Self::Store(_) => Code::Store,
        }
    }
}

impl Refusal {
    /// That a file is `user` already, as `asker` may know it.
    #[must_use]
    pub fn file_taken(path: &Path, user: FileUser, asker: &AccountId) -> Self {
        let by = if user.owner == *asker {
            user.what
        } else {
            format!("another account's {}", user.kind)
        };
        Self::FileTaken {
            path: path.display().to_string(),
            by,
        }
    }

    /// That `holding` is in the way of work on server `server`.
    #[must_use]
    pub fn server_busy(server: &InstanceId, holding: &Holding) -> Self {
        Self::ServerBusy {
            server: server.clone(),
            job: holding.job.clone(),
            kind: holding.kind,
            held: holding.held,
        }
    }

    /// That `holders` have a disk open.
    #[must_use]
    pub fn in_use(volume: &Volume, holders: &[Holder]) -> Self {
        Self::InUse {
            path: volume.head.display().to_string(),
            holders: holder_names(holders),
        }
    }

    /// That `holding` is in the way of work on data disk `disk`.
    #[must_use]
    pub fn disk_busy(disk: &DiskId, holding: &Holding) -> Self {
        Self::DiskBusy {
            disk: disk.clone(),
            job: holding.job.clone(),
            kind: holding.kind,
            held: holding.held,
        }
    }
}

/// A machine driver's message with the operating system's own word behind it.
pub(crate) fn with_machine_cause(e: &backout_machines::Error) -> String {
    match std::error::Error::source(e) {
        Some(cause) => format!("{e}: {cause}"),
        None => e.to_string(),
    }
}

/// A driver's message with the operating system's own word behind it.
pub(crate) fn with_cause(e: &backout_disks::Error) -> String {
    match std::error::Error::source(e) {
        Some(cause) => format!("{e}: {cause}"),
        None => e.to_string(),
    }
}
