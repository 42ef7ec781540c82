//! Servers, their disks, and the restore points of those.

use std::path::PathBuf;

use backout_core::ids::{AccountId, BlueprintId, DiskId, InstanceId, JobId, PointId, RequestId};
use backout_core::time::Timestamp;
use backout_disks::{Disk, DriverKind, Format, Point};
use serde::{Deserialize, Serialize};

/// Bytes in the gigabyte that disk sizes are shown in (2^30).
const GIB: u64 = 1 << 30;

/// A type whose values are stored, and shown by the native API, as words.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum $name {
            $($(#[$variant_doc])* #[serde(rename = $word)] $variant,)*
        }

        impl $name {
            /// Every value.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The word that is stored and shown.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }

            /// Reads the word back.
            #[must_use]
            pub fn parse(word: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|v| v.as_str() == word)
            }
        }
    };
}

/// A server: a system disk, and a way to start and stop what runs on it.
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
    /// How it is started and stopped by the user's own commands, if by any.
    pub commands: PowerCommands,
    /// The virtual machine that it is, when Backout runs it.
    pub machine: Option<backout_machines::Spec>,
    /// Its system disk.
    pub disk: Volume,
    /// Whether Backout made its disk, and so removes it when the server is
    /// terminated. A file that the user brought is never removed.
    pub made: bool,
    /// The size it was made in.
    pub bundle: Option<String>,
    /// The image that its disk was made of.
    pub blueprint: Option<BlueprintId>,
    /// When it was isolated; absent while it is not.
    pub isolated: Option<Timestamp>,
    /// When snapshots of it are taken by themselves.
    pub schedule: Option<Schedule>,
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

    /// Whether Backout can stop it, and start it again.
    #[must_use]
    pub fn can_stop(&self) -> bool {
        self.machine.is_some() || self.commands.stop.is_some()
    }
}

/// The name of the claim on server `id`.
#[must_use]
pub fn resource(id: &InstanceId) -> String {
    format!("server/{id}")
}

/// The name of the claim on data disk `id`.
#[must_use]
pub fn disk_resource(id: &DiskId) -> String {
    format!("disk/{id}")
}

/// The name of the claim on image `id`.
#[must_use]
pub fn blueprint_resource(id: &BlueprintId) -> String {
    format!("blueprint/{id}")
}

/// What an operation on a disk is about: whose latest operation it is, and
/// whose claim covers it and its restore points.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Subject {
    /// A server, by its system disk.
    Server(InstanceId),
    /// A data disk.
    Disk(DiskId),
}

impl Subject {
    /// The name of its claim.
    #[must_use]
    pub fn resource(&self) -> String {
        match self {
            Self::Server(id) => resource(id),
            Self::Disk(id) => disk_resource(id),
        }
    }
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

words! {
    /// Whether a server runs, as far as Backout knows.
    Power {
        /// It is being made, or taken under management.
        Creating = "creating",
        /// It could not be made.
        LaunchFailed = "launch_failed",
        /// It runs.
        Running = "running",
        /// It does not run; also a disk that stands alone.
        Stopped = "stopped",
        /// It is being started.
        Starting = "starting",
        /// It is being stopped.
        Stopping = "stopping",
        /// It is being stopped and started again.
        Rebooting = "rebooting",
        /// Given back: it does not run, and waits to be terminated.
        Isolated = "isolated",
        /// It is being removed.
        Terminating = "terminating",
    }
}

impl Power {
    /// Whether it is on its way from one state to another.
    #[must_use]
    pub const fn is_passing(self) -> bool {
        matches!(
            self,
            Self::Creating | Self::Starting | Self::Stopping | Self::Rebooting | Self::Terminating
        )
    }
}

/// A disk's image file and how restore points of it are made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Volume {
    /// The disk's id, e.g. `lhdisk-f71kc5bh`.
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

impl Volume {
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

/// A disk as something of its own: a data disk, or a server's system disk in a
/// list of disks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManagedDisk {
    /// Its file.
    pub volume: Volume,
    /// Whose it is.
    pub owner: AccountId,
    /// The host that holds it.
    pub node: String,
    /// Its name; a data disk's is unique for its owner, a system disk has its
    /// server's.
    pub name: String,
    /// What it is for.
    pub usage: Usage,
    /// The server that uses it.
    pub server: Option<InstanceId>,
    /// Where it is in its life.
    pub state: DiskState,
    /// Whether Backout made its file, and so may remove it.
    pub made: bool,
    /// What was last asked of it.
    pub latest: Option<LatestOperation>,
    /// When it came under management.
    pub created: Timestamp,
    /// Free labels.
    pub tags: Vec<Tag>,
}

impl ManagedDisk {
    /// Whose claim covers it.
    #[must_use]
    pub fn subject(&self) -> Subject {
        match (&self.usage, &self.server) {
            (Usage::System, Some(server)) => Subject::Server(server.clone()),
            _ => Subject::Disk(self.volume.id.clone()),
        }
    }
}

words! {
    /// What a disk is for.
    Usage {
        /// A server starts from it.
        System = "system",
        /// A server keeps data on it, and it can go to another.
        Data = "data",
    }
}

words! {
    /// Where a disk is in its life.
    DiskState {
        /// It is being taken under management.
        Creating = "creating",
        /// No server uses it.
        Unattached = "unattached",
        /// It is being given to a server.
        Attaching = "attaching",
        /// A server uses it.
        Attached = "attached",
        /// It is being taken from its server.
        Detaching = "detaching",
    }
}

/// An image that new disks are made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blueprint {
    /// Its id, e.g. `lhbp-xkeh87da`.
    pub id: BlueprintId,
    /// Whose it is.
    pub owner: AccountId,
    /// Its name, at most 60 characters.
    pub name: String,
    /// Free text.
    pub description: String,
    /// The host that holds it.
    pub node: String,
    /// Whether it can be used.
    pub state: BlueprintState,
    /// The image file.
    pub file: PathBuf,
    /// Its format.
    pub format: Format,
    /// Its virtual size, in bytes.
    pub size_bytes: u64,
    /// How a machine made of it starts.
    pub boot: backout_machines::Boot,
    /// Whether Backout made the file, and so may remove it.
    pub made: bool,
    /// When it was made.
    pub created: Timestamp,
    /// Free labels.
    pub tags: Vec<Tag>,
}

words! {
    /// Whether an image can be used.
    BlueprintState {
        /// Being made.
        Creating = "creating",
        /// Usable.
        Normal = "normal",
        /// It could not be made.
        Failed = "failed",
        /// Being deleted.
        Deleting = "deleting",
    }
}

/// When snapshots are taken by themselves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schedule {
    /// From one to the next, in milliseconds.
    pub every_ms: i64,
    /// How many of them are kept; the oldest goes first.
    pub keep: u32,
    /// When the next is due.
    pub next: Timestamp,
}

/// Whole gigabytes (2^30 bytes), rounded up.
#[must_use]
pub const fn size_gib(size_bytes: u64) -> u64 {
    size_bytes.div_ceil(GIB)
}

/// What was last asked of a server, a disk or a restore point.
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

words! {
    /// What can be asked of a server, a disk or a restore point.
    OperationKind {
        /// Taken under management.
        Adopt = "adopt",
        /// Made of an image.
        Create = "create",
        /// Started.
        Start = "start",
        /// Stopped.
        Stop = "stop",
        /// Stopped and started again.
        Reboot = "reboot",
        /// Given back.
        Isolate = "isolate",
        /// Removed.
        Terminate = "terminate",
        /// Its system disk is made anew of an image.
        Reset = "reset",
        /// Renamed.
        Rename = "rename",
        /// An image is made of its system disk.
        CreateBlueprint = "create_blueprint",
        /// An image is deleted.
        DeleteBlueprint = "delete_blueprint",
        /// A restore point is taken.
        CreateSnapshot = "create_snapshot",
        /// The disk goes back to a restore point.
        ApplySnapshot = "apply_snapshot",
        /// A restore point is deleted.
        DeleteSnapshot = "delete_snapshot",
        /// A data disk is made, or taken under management.
        AddDisk = "add_disk",
        /// A data disk is taken out of management; a file that Backout made
        /// goes.
        RemoveDisk = "remove_disk",
        /// A data disk is given to a server.
        Attach = "attach",
        /// A data disk is taken from its server.
        Detach = "detach",
        /// The chain of layers under a disk is shortened.
        Compact = "compact",
        /// Taken out of management.
        Release = "release",
    }
}

words! {
    /// How an operation stands.
    OperationState {
        /// Under way.
        Operating = "operating",
        /// Applied.
        Success = "success",
        /// Reverted, or held.
        Failed = "failed",
    }
}

/// A restore point of a disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// Its id, e.g. `lhsnap-nv6aqcv6`, or `lhbak-nuen5foj` for a data disk's.
    pub id: PointId,
    /// Whose it is.
    pub owner: AccountId,
    /// What it is a restore point of.
    pub subject: Subject,
    /// The disk it was taken of. Another disk of the same server does not fit.
    pub disk: DiskId,
    /// Who took it.
    pub kind: SnapshotKind,
    /// Its name, at most 60 characters (90 for a data disk's).
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
    /// When it goes by itself; absent when it does not.
    pub expires: Option<Timestamp>,
    /// Free labels.
    pub tags: Vec<Tag>,
}

impl Snapshot {
    /// The server whose system disk it was taken of, if it was one.
    #[must_use]
    pub fn server(&self) -> Option<&InstanceId> {
        match &self.subject {
            Subject::Server(id) => Some(id),
            Subject::Disk(_) => None,
        }
    }
}

words! {
    /// Who took a restore point.
    SnapshotKind {
        /// Somebody asked for it.
        User = "user",
        /// A schedule asked for it.
        Scheduled = "scheduled",
        /// A rollback kept the head it replaced.
        Safety = "safety",
    }
}

words! {
    /// Whether a restore point can be used.
    SnapshotState {
        /// Being taken.
        Creating = "creating",
        /// Usable.
        Normal = "normal",
        /// The disk is going back to it.
        RollingBack = "rolling_back",
        /// Being deleted.
        Deleting = "deleting",
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

/// The job that has a claim on a server or a disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holding {
    /// The job.
    pub job: JobId,
    /// What it does; absent when it is not a job of this product.
    pub kind: Option<OperationKind>,
    /// Whether it is held: nothing moves until somebody resolves it.
    pub held: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_come_back() {
        for power in Power::ALL {
            assert_eq!(Power::parse(power.as_str()), Some(*power));
            let json = serde_json::to_string(power).unwrap();
            assert_eq!(json, format!("{:?}", power.as_str()));
        }
        assert_eq!(Power::parse("RUNNING"), None);
    }

    #[test]
    fn claims_of_disks() {
        let subject = Subject::Disk("lhdisk-f71kc5bh".parse().unwrap());
        assert_eq!(subject.resource(), "disk/lhdisk-f71kc5bh");
    }
}
