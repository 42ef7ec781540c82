//! Servers, their disks, and the restore points of those.

use std::path::PathBuf;

use backout_core::ids::{AccountId, DiskId, InstanceId, JobId, RequestId, SnapshotId};
use backout_core::time::Timestamp;
use backout_disks::{Disk, DriverKind, Format, Point};
use serde::{Deserialize, Serialize};

/// Bytes in the gigabyte that disk sizes are shown in (2^30).
const GIB: u64 = 1 << 30;

/// A server: a disk, and optionally commands that start and stop what runs on
/// it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// Its id, e.g. `lhins-k31c771o`.
    pub id: InstanceId,
    /// Whose it is.
    pub owner: AccountId,
    /// Its name, unique for its owner.
    pub name: String,
    /// The host that holds its disk; only that host's workers act on it.
    pub node: String,
    /// Whether it runs.
    pub power: Power,
    /// How it is started and stopped.
    pub commands: PowerCommands,
    /// Its system disk.
    pub disk: SystemDisk,
    /// What was last asked of it.
    pub latest: Option<LatestOperation>,
    /// When it came under management.
    pub created: Timestamp,
    /// Free labels.
    pub tags: Vec<Tag>,
}

impl Server {
    /// The name of its claim.
    #[must_use]
    pub fn resource(&self) -> String {
        resource(&self.id)
    }
}

/// The name of the claim on server `id`.
#[must_use]
pub fn resource(id: &InstanceId) -> String {
    format!("server/{id}")
}

/// The user's own commands. Both must return when their work is done, and be
/// safe to repeat.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PowerCommands {
    /// Run by `sh -c` to start the server.
    pub start: Option<String>,
    /// Run by `sh -c` to stop the server; returns when the disk is let go.
    pub stop: Option<String>,
}

/// Whether a server runs, as far as Backout has been told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Power {
    /// It is being taken under management.
    Creating,
    /// It runs.
    Running,
    /// It does not run; also a disk that stands alone.
    Stopped,
}

impl Power {
    /// The word that is stored and shown.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Creating => "creating",
            Self::Running => "running",
            Self::Stopped => "stopped",
        }
    }

    /// Reads [`Power::as_str`] back.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Creating, Self::Running, Self::Stopped]
            .into_iter()
            .find(|p| p.as_str() == word)
    }
}

/// A server's system disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SystemDisk {
    /// Its id, e.g. `lhdisk-f71kc5bh`.
    pub id: DiskId,
    /// The file that holds the present contents.
    pub head: PathBuf,
    /// The head's format.
    pub format: Format,
    /// What takes its snapshots.
    pub driver: DriverKind,
    /// Virtual size in bytes, as of the last job.
    pub size_bytes: u64,
}

impl SystemDisk {
    /// What the driver is told.
    #[must_use]
    pub fn spec(&self) -> Disk {
        Disk {
            head: self.head.clone(),
            format: self.format,
            driver: self.driver,
        }
    }
}

/// Whole gigabytes (2^30 bytes), rounded up.
#[must_use]
pub const fn size_gib(size_bytes: u64) -> u64 {
    size_bytes.div_ceil(GIB)
}

/// What was last asked of a server or a snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LatestOperation {
    /// What.
    pub kind: OperationKind,
    /// How it stands.
    pub state: OperationState,
    /// The call that asked.
    pub request: RequestId,
    /// When.
    pub started: Timestamp,
}

/// What can be asked of a server or a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OperationKind {
    /// Taken under management.
    Adopt,
    /// A snapshot is taken.
    CreateSnapshot,
    /// The disk goes back to a snapshot.
    ApplySnapshot,
    /// A snapshot is deleted.
    DeleteSnapshot,
    /// Taken out of management.
    Release,
}

impl OperationKind {
    /// The word that is stored and shown.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Adopt => "adopt",
            Self::CreateSnapshot => "create_snapshot",
            Self::ApplySnapshot => "apply_snapshot",
            Self::DeleteSnapshot => "delete_snapshot",
            Self::Release => "release",
        }
    }

    /// Reads [`OperationKind::as_str`] back.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        [
            Self::Adopt,
            Self::CreateSnapshot,
            Self::ApplySnapshot,
            Self::DeleteSnapshot,
            Self::Release,
        ]
        .into_iter()
        .find(|k| k.as_str() == word)
    }
}

/// How an operation stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OperationState {
    /// Under way.
    Operating,
    /// Applied.
    Success,
    /// Reverted, or held.
    Failed,
}

impl OperationState {
    /// The word that is stored and shown.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Operating => "operating",
            Self::Success => "success",
            Self::Failed => "failed",
        }
    }

    /// Reads [`OperationState::as_str`] back.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Operating, Self::Success, Self::Failed]
            .into_iter()
            .find(|s| s.as_str() == word)
    }
}

/// A restore point of a disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// Its id, e.g. `lhsnap-nv6aqcv6`.
    pub id: SnapshotId,
    /// Whose it is.
    pub owner: AccountId,
    /// The server it was taken of.
    pub server: InstanceId,
    /// The disk it was taken of. Another disk of the same server does not fit.
    pub disk: DiskId,
    /// Taken by somebody, or by a rollback.
    pub kind: SnapshotKind,
    /// Its name, at most 60 characters.
    pub name: String,
    /// Whether it can be used.
    pub state: SnapshotState,
    /// The driver's file; absent while it is being made.
    pub point: Option<Point>,
    /// Virtual size of the disk when it was taken, in bytes.
    pub size_bytes: u64,
    /// What was last done with it.
    pub latest: Option<LatestOperation>,
    /// The job that made it, or that works on it now.
    pub job: Option<JobId>,
    /// When it was taken.
    pub created: Timestamp,
    /// Free labels.
    pub tags: Vec<Tag>,
}

/// Who took a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SnapshotKind {
    /// Somebody asked for it.
    User,
    /// A rollback kept the head it replaced.
    Safety,
}

impl SnapshotKind {
    /// The word that is stored and shown.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Safety => "safety",
        }
    }

    /// Reads [`SnapshotKind::as_str`] back.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        [Self::User, Self::Safety]
            .into_iter()
            .find(|k| k.as_str() == word)
    }
}

/// Whether a snapshot can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SnapshotState {
    /// Being taken.
    Creating,
    /// Usable.
    Normal,
    /// The disk is going back to it.
    RollingBack,
    /// Being deleted.
    Deleting,
}

impl SnapshotState {
    /// The word that is stored and shown.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Creating => "creating",
            Self::Normal => "normal",
            Self::RollingBack => "rolling_back",
            Self::Deleting => "deleting",
        }
    }

    /// Reads [`SnapshotState::as_str`] back.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        [
            Self::Creating,
            Self::Normal,
            Self::RollingBack,
            Self::Deleting,
        ]
        .into_iter()
        .find(|s| s.as_str() == word)
    }
}

/// A free label.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tag {
    /// Its key, unique for a resource.
    pub key: String,
    /// Its value.
    pub value: String,
}
