//! Servers, disks, images and restore points, as JSON.

use backout_machines::{Boot, Forward, Stop};
use backout_servers::bundles::Bundle;
use backout_servers::model;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Tag;

/// Anything that is managed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Resource {
    /// How calls and commands name it, e.g. `server/web`.
    #[schema(example = "server/web")]
    pub resource: String,
    /// `server`, `disk` for a data disk, or `database`.
    #[schema(example = "server")]
    pub kind: String,
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its state, in the words of its kind.
    pub state: String,
}

/// What was last asked of a server, a disk or a restore point.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Operation {
    /// What: `adopt`, `create`, `start`, `stop`, `create_snapshot`,
    /// `apply_snapshot`, `attach`, ...
    pub kind: String,
    /// `operating`, `success` or `failed`.
    pub state: String,
    /// The call that asked.
    pub request_id: String,
    /// When.
    pub started: String,
}

impl From<model::LatestOperation> for Operation {
    fn from(o: model::LatestOperation) -> Self {
        Self {
            kind: o.kind.as_str().into(),
            state: o.state.as_str().into(),
            request_id: o.request.0,
            started: o.started.iso8601(),
        }
    }
}

/// A server's system disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Disk {
    /// Its id.
    pub id: String,
    /// The file that holds the present contents.
    pub path: String,
    /// `raw` or `qcow2`.
    pub format: String,
    /// `reflink`, `qcow2` or `copy`.
    pub driver: String,
    /// Virtual size in bytes.
    pub size_bytes: u64,
}

/// A port of the host's loopback address that leads into a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PortForward {
    /// TCP port of 127.0.0.1 on the host.
    pub host: u16,
    /// TCP port in the guest.
    pub guest: u16,
}

impl From<Forward> for PortForward {
    fn from(f: Forward) -> Self {
        Self {
            host: f.host,
            guest: f.guest,
        }
    }
}

impl From<PortForward> for Forward {
    fn from(f: PortForward) -> Self {
        Self {
            host: f.host,
            guest: f.guest,
        }
    }
}

/// A kernel that a machine starts with, instead of what its disk has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Kernel {
    /// The kernel: an absolute path on the host.
    pub kernel: String,
    /// The initial RAM disk: an absolute path on the host.
    #[serde(default)]
    #[schema(required = false)]
    pub initrd: Option<String>,
    /// The kernel's command line.
    #[serde(default)]
    pub append: String,
}

fn kernel_of(boot: Boot) -> Option<Kernel> {
    match boot {
        Boot::Disk => None,
        Boot::Kernel {
            kernel,
            initrd,
            append,
        } => Some(Kernel {
            kernel: kernel.display().to_string(),
            initrd: initrd.map(|path| path.display().to_string()),
            append,
        }),
    }
}

/// What a machine boots: a kernel, or without one its system disk.
#[must_use]
pub fn boot_of(kernel: Option<Kernel>) -> Boot {
    match kernel {
        None => Boot::Disk,
        Some(k) => Boot::Kernel {
            kernel: k.kernel.into(),
            initrd: k.initrd.map(Into::into),
            append: k.append,
        },
    }
}

const CPUS_DEFAULT: u32 = 1;
/// Enough for a small Linux with a service on it.
const MEMORY_DEFAULT_BYTES: u64 = 512 << 20;

const fn cpus_default() -> u32 {
    CPUS_DEFAULT
}

const fn memory_default() -> u64 {
    MEMORY_DEFAULT_BYTES
}

/// A virtual machine that is run on a disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Machine {
    /// Virtual CPUs, 1 to 255; 1 when it is left out.
    #[serde(default = "cpus_default")]
    pub cpus: u32,
    /// Memory in bytes, in whole MiB; 512 MiB when it is left out.
    #[serde(default = "memory_default")]
    pub memory_bytes: u64,
    /// What it starts with; null: what its disk has.
    #[serde(default)]
    pub boot: Option<Kernel>,
    /// Ports of the host that lead into it.
    #[serde(default)]
    pub forwards: Vec<PortForward>,
}

impl From<backout_machines::Spec> for Machine {
    fn from(s: backout_machines::Spec) -> Self {
        Self {
            cpus: s.cpus,
            memory_bytes: s.memory_bytes,
            boot: kernel_of(s.boot),
            forwards: s.forwards.into_iter().map(Into::into).collect(),
        }
    }
}

impl From<Machine> for backout_machines::Spec {
    fn from(m: Machine) -> Self {
        Self {
            cpus: m.cpus,
            memory_bytes: m.memory_bytes,
            boot: boot_of(m.boot),
            forwards: m.forwards.into_iter().map(Into::into).collect(),
        }
    }
}

/// When snapshots are taken by themselves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Schedule {
    /// From one to the next.
    pub every_seconds: i64,
    /// How many of them are kept; the oldest goes first.
    pub keep: u32,
    /// When the next is due.
    pub next: String,
}

impl From<model::Schedule> for Schedule {
    fn from(s: model::Schedule) -> Self {
        Self {
            every_seconds: s.every_ms / 1000,
            keep: s.keep,
            next: s.next.iso8601(),
        }
    }
}

/// A schedule to set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetSchedule {
    /// From one snapshot to the next: 300 (five minutes) to a year.
    pub every_seconds: i64,
    /// How many of them are kept, 1 to 64.
    pub keep: u32,
}

/// A data disk, where its server is shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct AttachedDisk {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// `attaching`, `attached` or `detaching`.
    pub state: String,
    /// Virtual size in bytes.
    pub size_bytes: u64,
}

/// A server: a system disk, and a virtual machine, or commands, that what runs
/// on it is started and stopped by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Server {
    /// Its id.
    #[schema(example = "lhins-k31c771o")]
    pub id: String,
    /// Its name, unique for its owner.
    pub name: String,
    /// How calls and commands name it.
    #[schema(example = "server/web")]
    pub resource: String,
    /// `creating`, `launch_failed`, `running`, `stopped`, `starting`,
    /// `stopping`, `rebooting`, `isolated` or `terminating`.
    pub state: String,
    /// The host that holds its disk.
    pub node: String,
    /// Its system disk.
    pub disk: Disk,
    /// The data disks that it uses, or that are on their way.
    pub disks: Vec<AttachedDisk>,
    /// The virtual machine that it is; null when it is none.
    #[schema(required)]
    pub machine: Option<Machine>,
    /// The command that starts it.
    #[schema(required)]
    pub start_cmd: Option<String>,
    /// The command that stops it.
    #[schema(required)]
    pub stop_cmd: Option<String>,
    /// The size that it was made in.
    #[schema(required)]
    pub size: Option<String>,
    /// The id of the image that it was made of.
    #[schema(required)]
    pub image: Option<String>,
    /// When snapshots of it are taken by themselves.
    #[schema(required)]
    pub schedule: Option<Schedule>,
    /// When it was given back.
    #[schema(required)]
    pub isolated: Option<String>,
    /// What was last asked of it.
    #[schema(required)]
    pub latest: Option<Operation>,
    /// Its labels.
    pub tags: Vec<Tag>,
    /// When it came under management.
    pub created: String,
}

impl Server {
    /// A server with those of `disks` that it uses.
    #[must_use]
    pub fn of(s: model::Server, disks: &[model::ManagedDisk]) -> Self {
        let own = disks
            .iter()
            .filter(|d| d.server.as_ref() == Some(&s.id))
            .map(|d| AttachedDisk {
                id: d.volume.id.to_string(),
                name: d.name.clone(),
                state: d.state.as_str().into(),
                size_bytes: d.volume.size_bytes,
            })
            .collect();
        Self {
            id: s.id.to_string(),
            resource: format!("server/{}", s.name),
            name: s.name,
            state: s.power.as_str().into(),
            node: s.node,
            disk: Disk {
                id: s.disk.id.to_string(),
                path: s.disk.head.display().to_string(),
                format: s.disk.format.as_str().into(),
                driver: s.disk.driver.as_str().into(),
                size_bytes: s.disk.size_bytes,
            },
            disks: own,
            machine: s.machine.map(Into::into),
            start_cmd: s.commands.start,
            stop_cmd: s.commands.stop,
            size: s.bundle,
            image: s.blueprint.map(|id| id.to_string()),
            schedule: s.schedule.map(Into::into),
            isolated: s.isolated.map(backout_core::time::Timestamp::iso8601),
            latest: s.latest.map(Into::into),
            tags: s.tags.into_iter().map(Into::into).collect(),
            created: s.created.iso8601(),
        }
    }
}

/// A disk to take under management.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AddServer {
    /// The server's name: 1 to 60 characters.
    pub name: String,
    /// The image file on the host of this Backout, raw or qcow2.
    pub disk: String,
    /// `raw` or `qcow2`; what the file looks like when it is left out, unless a
    /// guest may have made it look so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<String>,
    /// `reflink`, `qcow2` or `copy`; the fastest that keeps the format when it
    /// is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub driver: Option<String>,
    /// Run by `sh -c` to start the server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_cmd: Option<String>,
    /// Run by `sh -c` to stop the server; returns when the disk is let go.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop_cmd: Option<String>,
    /// The virtual machine to run on it; excludes the two commands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine: Option<Machine>,
    /// Whether it runs now; needs `stop_cmd`.
    #[serde(default)]
    pub running: bool,
    /// Labels.
    #[serde(default)]
    pub tags: Vec<Tag>,
}

/// A server that is being taken under management.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct AddedServer {
    /// The server.
    pub server: Server,
    /// The job that does it.
    pub job: String,
}

/// A restore point of a disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Snapshot {
    /// Its id.
    #[schema(example = "lhsnap-nv6aqcv6")]
    pub id: String,
    /// Its name.
    pub name: String,
    /// `user`, `scheduled`, or `safety` for what a rollback kept.
    pub kind: String,
    /// `creating`, `normal`, `rolling_back` or `deleting`.
    pub state: String,
    /// The id of the server whose system disk it is of.
    #[schema(required)]
    pub server: Option<String>,
    /// The id of the disk it was taken of.
    pub disk: String,
    /// Virtual size of the disk when it was taken.
    pub size_bytes: u64,
    /// How far the job on it is; 100 when there is none.
    pub percent: u8,
    /// The job that made it, or works on it.
    #[schema(required)]
    pub job: Option<String>,
    /// What was last asked of it.
    #[schema(required)]
    pub latest: Option<Operation>,
    /// Its labels.
    pub tags: Vec<Tag>,
    /// When it was taken.
    pub created: String,
    /// When it goes by itself; null when it does not.
    #[schema(required)]
    pub expires: Option<String>,
}

impl From<(model::Snapshot, u8)> for Snapshot {
    fn from((s, percent): (model::Snapshot, u8)) -> Self {
        Self {
            server: s.server().map(ToString::to_string),
            id: s.id.to_string(),
            name: s.name,
            kind: s.kind.as_str().into(),
            state: s.state.as_str().into(),
            disk: s.disk.to_string(),
            size_bytes: s.size_bytes,
            percent,
            job: s.job.map(|j| j.to_string()),
            latest: s.latest.map(Into::into),
            tags: s.tags.into_iter().map(Into::into).collect(),
            created: s.created.iso8601(),
            expires: s.expires.map(backout_core::time::Timestamp::iso8601),
        }
    }
}

/// A snapshot to take.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateSnapshot {
    /// Its name; the server's or the disk's name and the time when it is left
    /// out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Labels.
    #[serde(default)]
    pub tags: Vec<Tag>,
}

/// Another name for something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Rename {
    /// The name.
    pub name: String,
}

/// What to change of a server: its name, or its commands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangeServer {
    /// Another name; left out when its commands are changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Command, for `sh -c`, that starts what runs on the disk. An empty text
    /// takes it away; what is left out stays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_cmd: Option<String>,
    /// Command, for `sh -c`, that stops it. An empty text takes it away; what is
    /// left out stays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop_cmd: Option<String>,
}

/// A snapshot that is being taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct CreatedSnapshot {
    /// Its id.
    pub snapshot_id: String,
    /// The job that takes it.
    pub job: String,
}

/// A size that servers are made in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct ServerSize {
    /// Its id.
    #[schema(example = "bundle_1c1g20")]
    pub id: String,
    /// Virtual CPUs.
    pub cpus: u32,
    /// Memory in bytes.
    pub memory_bytes: u64,
    /// Virtual size of the system disk in bytes.
    pub disk_bytes: u64,
}

impl From<&Bundle> for ServerSize {
    fn from(b: &Bundle) -> Self {
        Self {
            id: b.id.to_owned(),
            cpus: b.cpus,
            memory_bytes: b.memory_bytes,
            disk_bytes: b.disk_bytes,
        }
    }
}

/// Every size.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct ServerSizes {
    /// The sizes, the smallest first.
    pub items: Vec<ServerSize>,
}

/// Servers to make of an image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateServers {
    /// Their name; `-1`, `-2` and so on follow it when there are several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// How many, 1 to 100; 1 when it is left out.
    #[serde(default = "one")]
    pub count: u32,
    /// The id of their size; see `GET /v1/sizes`.
    pub size: String,
    /// Ports of the host that lead into the guest; of one server only.
    #[serde(default)]
    pub forwards: Vec<PortForward>,
    /// Labels.
    #[serde(default)]
    pub tags: Vec<Tag>,
}

const fn one() -> u32 {
    1
}

/// A server that is being made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct CreatedServer {
    /// Its id.
    pub id: String,
    /// The job that makes it.
    pub job: String,
}

/// Servers that are being made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct CreatedServers {
    /// Each with its job.
    pub servers: Vec<CreatedServer>,
}

/// Servers that something is to be done to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OnServers {
    /// Their names or ids, 1 to 100.
    pub servers: Vec<String>,
}

/// How a server is stopped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum How {
    /// By the power button; fails when the guest does not obey.
    Soft,
    /// By force: for the guest, a power cut.
    Hard,
    /// By the power button, and by force when the guest does not obey.
    #[default]
    SoftFirst,
}

impl From<How> for Stop {
    fn from(how: How) -> Self {
        match how {
            How::Soft => Self::Soft,
            How::Hard => Self::Hard,
            How::SoftFirst => Self::SoftFirst,
        }
    }
}

/// Servers to stop, or to reboot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StopServers {
    /// Their names or ids, 1 to 100.
    pub servers: Vec<String>,
    /// How; `soft_first` when it is left out. A server with a stop command is
    /// stopped by that in any case.
    #[serde(default)]
    pub how: How,
}

/// Servers to give back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct IsolateServers {
    /// Their names or ids, 1 to 100.
    pub servers: Vec<String>,
    /// Whether their data disks are detached now, rather than when they are
    /// terminated.
    #[serde(default)]
    pub with_disks: bool,
}

/// Jobs that were accepted, all of them in one transaction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct AcceptedJobs {
    /// Their ids.
    pub jobs: Vec<String>,
}

/// What a server's system disk is made anew of.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ResetServer {
    /// The id or name of an image; the one that the server was made of when it
    /// is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
}

/// One resource.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OneResource {
    /// `server/NAME`, `disk/NAME`, one of the two with an id, or just the name
    /// of a server.
    #[schema(example = "server/web")]
    pub resource: String,
}

/// A disk as something of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct ManagedDisk {
    /// Its id.
    #[schema(example = "lhdisk-f71kc5bh")]
    pub id: String,
    /// Its name, unique for its owner; a system disk has its server's.
    pub name: String,
    /// How calls and commands name it.
    #[schema(example = "disk/data")]
    pub resource: String,
    /// `system` or `data`.
    pub usage: String,
    /// `creating`, `unattached`, `attaching`, `attached` or `detaching`.
    pub state: String,
    /// The id of the server that uses it.
    #[schema(required)]
    pub server: Option<String>,
    /// The host that holds it.
    pub node: String,
    /// The file that holds the present contents.
    pub path: String,
    /// `raw` or `qcow2`.
    pub format: String,
    /// `reflink`, `qcow2` or `copy`.
    pub driver: String,
    /// Virtual size in bytes.
    pub size_bytes: u64,
    /// Whether Backout made its file, and removes it with the disk.
    pub made: bool,
    /// What was last asked of it.
    #[schema(required)]
    pub latest: Option<Operation>,
    /// Its labels.
    pub tags: Vec<Tag>,
    /// When it came under management.
    pub created: String,
}

impl From<model::ManagedDisk> for ManagedDisk {
    fn from(d: model::ManagedDisk) -> Self {
        let resource = match d.usage {
            // Its name is its server's: only the id is its own.
            model::Usage::System => format!("disk/{}", d.volume.id),
            model::Usage::Data => format!("disk/{}", d.name),
        };
        Self {
            id: d.volume.id.to_string(),
            name: d.name,
            resource,
            usage: d.usage.as_str().into(),
            state: d.state.as_str().into(),
            server: d.server.map(|id| id.to_string()),
            node: d.node,
            path: d.volume.head.display().to_string(),
            format: d.volume.format.as_str().into(),
            driver: d.volume.driver.as_str().into(),
            size_bytes: d.volume.size_bytes,
            made: d.made,
            latest: d.latest.map(Into::into),
            tags: d.tags.into_iter().map(Into::into).collect(),
            created: d.created.iso8601(),
        }
    }
}

/// A data disk to make, or to take under management.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AddDisk {
    /// Its name.
    pub name: String,
    /// An image file on the host of this Backout, raw or qcow2; it stays where
    /// it is. Either this or `size_bytes`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// Virtual size of a blank disk to make, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size_bytes: Option<u64>,
    /// `raw` or `qcow2`, of `file`; what that looks like when it is left out, unless a
    /// guest may have made it look so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<String>,
    /// `reflink`, `qcow2` or `copy`; the fastest that fits when it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub driver: Option<String>,
    /// Labels.
    #[serde(default)]
    pub tags: Vec<Tag>,
}

/// A data disk that is being made, or taken under management.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct AddedDisk {
    /// The disk.
    pub disk: ManagedDisk,
    /// The job that does it.
    pub job: String,
}

/// Data disks to give to a server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AttachDisks {
    /// Their names or ids.
    pub disks: Vec<String>,
    /// The name or id of the server.
    pub server: String,
}

/// Data disks to take from their servers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DetachDisks {
    /// Their names or ids.
    pub disks: Vec<String>,
}

/// An image that disks are made of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Image {
    /// Its id.
    #[schema(example = "lhbp-xkeh87da")]
    pub id: String,
    /// Its name.
    pub name: String,
    /// Free text.
    pub description: String,
    /// `creating`, `normal` or `failed`.
    pub state: String,
    /// The host that holds it.
    pub node: String,
    /// The image file.
    pub path: String,
    /// `raw` or `qcow2`.
    pub format: String,
    /// Virtual size in bytes.
    pub size_bytes: u64,
    /// What a machine made of it starts with; null: what its disk has.
    #[schema(required)]
    pub boot: Option<Kernel>,
    /// Whether Backout made the file, and removes it with the image.
    pub made: bool,
    /// Its labels.
    pub tags: Vec<Tag>,
    /// When it was made.
    pub created: String,
}

impl From<model::Blueprint> for Image {
    fn from(b: model::Blueprint) -> Self {
        Self {
            id: b.id.to_string(),
            name: b.name,
            description: b.description,
            state: b.state.as_str().into(),
            node: b.node,
            path: b.file.display().to_string(),
            format: b.format.as_str().into(),
            size_bytes: b.size_bytes,
            boot: kernel_of(b.boot),
            made: b.made,
            tags: b.tags.into_iter().map(Into::into).collect(),
            created: b.created.iso8601(),
        }
    }
}

/// An image file to refer to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AddImage {
    /// Its name.
    pub name: String,
    /// The file on the host of this Backout, raw or qcow2. It stays where it
    /// is, and nobody may write to it any more.
    pub file: String,
    /// `raw` or `qcow2`; what the file looks like when it is left out, unless a
    /// guest may have made it look so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<String>,
    /// Free text.
    #[serde(default)]
    pub description: String,
    /// What a machine made of it starts with; null: what its disk has.
    #[serde(default)]
    pub boot: Option<Kernel>,
    /// Labels.
    #[serde(default)]
    pub tags: Vec<Tag>,
}

/// An image to make of a server's system disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateImage {
    /// Its name.
    pub name: String,
    /// Free text.
    #[serde(default)]
    pub description: String,
    /// Whether a server that runs is stopped for it, and started again.
    #[serde(default)]
    pub force_stop: bool,
    /// Labels.
    #[serde(default)]
    pub tags: Vec<Tag>,
}

/// An image that is being made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct CreatedImage {
    /// Its id.
    pub image_id: String,
    /// The job that makes it.
    pub job: String,
}
