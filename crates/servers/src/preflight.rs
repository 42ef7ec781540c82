//! What stands in the way of an operation on a server's disk.
//!
//! One function for each operation. The call, its dry run, the list of denied
//! actions and the console all ask the same one. The functions are pure: what
//! they judge was looked at before, by [`look`].

mod lifecycle;

mod compact;

use std::path::Path;

use backout_core::code::Code;
use backout_core::plan::{Estimate, Finding, Preflight};
use backout_core::size::Size;
use backout_disks::{DriverKind, HeadFacts, Holder, MAX_LAYERS, Point, PointFacts};
use backout_machines::{Machines, State};

use crate::model::{
    DiskState, Holding, ManagedDisk, Power, Server, Snapshot, SnapshotState, Subject, Usage, Volume,
};
use crate::refusal::Refusal;

pub use compact::*;

pub use lifecycle::*;

/// A disk that is to be worked on, the server that uses it, and the jobs that
/// have claims on the two.
#[derive(Clone, Debug)]
pub struct Target {
    /// Its file.
    pub volume: Volume,
    /// The host that holds it.
    pub node: String,
    /// The server that uses it.
    pub host: Option<Server>,
    /// The job that has a claim on that server.
    pub host_holding: Option<Holding>,
    /// The disk itself, when it was named as a disk and not by its server.
    pub disk: Option<ManagedDisk>,
    /// The job that has a claim on that disk.
    pub disk_holding: Option<Holding>,
    /// How many restore points there are, safety points not counted.
    pub points: u64,
}

impl Target {
    /// A server's system disk.
    #[must_use]
    pub fn system(server: Server, holding: Option<Holding>) -> Self {
        Self {
            volume: server.disk.clone(),
            node: server.node.clone(),
            host: Some(server),
            host_holding: holding,
            disk: None,
            disk_holding: None,
            points: 0,
        }
    }

    /// Whose operation work on it is.
    #[must_use]
    pub fn subject(&self) -> Subject {
        match (&self.disk, &self.host) {
            (Some(disk), _) => disk.subject(),
            (None, Some(server)) => Subject::Server(server.id.clone()),
            (None, None) => Subject::Disk(self.volume.id.clone()),
        }
    }

    /// What it is called in titles and messages.
    #[must_use]
    pub fn name(&self) -> &str {
        match (&self.disk, &self.host) {
            (Some(disk), _) => &disk.name,
            (None, Some(server)) => &server.name,
            (None, None) => self.volume.id.as_str(),
        }
    }

    /// What a job on it claims.
    #[must_use]
    pub fn claims(&self) -> Vec<String> {
        let mut claims = vec![self.subject().resource()];
        claims.extend(self.host.as_ref().map(Server::resource));
        claims.dedup();
        claims
    }
}

/// How many data disks a server may have: as many slots a machine has for them.
pub const DISKS_PER_SERVER_MAX: u64 = 16;

/// How many backups a data disk may have, safety points not counted. Each is a
/// file in one folder that every step goes through, and under qcow2 an overlay;
/// two a day for a year come to less.
pub const BACKUPS_PER_DISK_MAX: u64 = 1000;

/// What an operation costs that copies nothing.
const METADATA_ONLY: Estimate = Estimate {
    copy_bytes: Some(0),
    space_bytes: Some(0),
    constant_time: true,
};

/// A server that is to have a disk.
#[derive(Clone, Copy, Debug)]
pub struct Onto<'a> {
    /// The server.
    pub server: &'a Server,
    /// The job that has a claim on it.
    pub holding: Option<&'a Holding>,
    /// How many data disks it has before.
    pub disks: u64,
}

/// What the disk itself tells, looked at in one moment.
#[derive(Debug)]
pub struct DiskFacts {
    /// The head, or why it cannot be read; absent when the disk is on another
    /// host and was not looked at.
    pub head: Option<Result<HeadFacts, backout_disks::Error>>,
    /// The processes and loop devices that can write to the head, besides the
    /// machine of the server that uses it.
    pub holders: Vec<Holder>,
    /// Whether that machine runs, or why it cannot be told; absent when there
    /// is none, and when it was not looked at.
    pub machine: Option<Result<State, backout_machines::Error>>,
    /// The restore point, or why it cannot be used; absent when none is meant.
    pub point: Option<Result<PointFacts, backout_disks::Error>>,
    /// Bytes that the operation would copy; 0 when it works by metadata.
    /// Absent when the disk was not looked at.
    pub copy_bytes: Option<u64>,
    /// Bytes that are free beside the head.
    pub free_bytes: Option<u64>,
}

impl DiskFacts {
    /// Of a disk that is on another host: nothing.
    #[must_use]
    pub const fn elsewhere() -> Self {
        Self {
            head: None,
            holders: Vec::new(),
            machine: None,
            point: None,
            copy_bytes: None,
            free_bytes: None,
        }
    }

    /// How large the disk is, in bytes: as it was seen, since its user may have
    /// made it larger, else as `volume` is known.
    #[must_use]
    pub fn size_bytes(&self, volume: &Volume) -> u64 {
        match &self.head {
            Some(Ok(head)) => head.size_bytes,
            _ => volume.size_bytes,
        }
    }
}

/// Looks at a disk, at the machine that uses it, and at the point it is to go
/// back to. Blocks on files.
#[must_use]
pub fn look(target: &Target, machines: &Machines, point: Option<&Point>) -> DiskFacts {
    let volume = &target.volume;
    let spec = volume.spec();
    let driver = backout_disks::driver(volume.driver);
    let machine = target
        .host
        .as_ref()
        .filter(|server| server.machine.is_some())
        .map(|server| machines.state(server.id.as_str()));
    let own = match &machine {
        Some(Ok(State::On { pid, .. })) => Some(*pid),
        _ => None,
    };
    let mut holders = writers(&volume.head).unwrap_or_default();
    holders.retain(|h| own.is_none() || h.pid != own);
    DiskFacts {
        head: Some(driver.inspect(&spec)),
        holders,
        machine,
        point: point.map(|p| driver.verify_point(&spec, p)),
        copy_bytes: Some(driver.space_needed(&spec, point).unwrap_or(0)),
        free_bytes: backout_disks::free_bytes(&volume.head).ok(),
    }
}

/// Who can write to `head`. Readers do no harm: they go on with the file they
/// opened.
///
/// # Errors
/// As [`backout_disks::holders`].
pub fn writers(head: &Path) -> Result<Vec<Holder>, backout_disks::Error> {
    let mut holders = backout_disks::holders(head)?;
    holders.retain(|h| h.writable);
    Ok(holders)
}

/// `12 (qemu-system), loop0`.
#[must_use]
pub fn holder_names(holders: &[Holder]) -> String {
    let name = |h: &Holder| {
        h.pid
            .map_or_else(|| h.comm.clone(), |pid| format!("{} (pid {pid})", h.comm))
    };
    holders
        .iter()
        .take(NAMED_HOLDERS)
        .map(name)
        .collect::<Vec<_>>()
        .join(", ")
}

/// How many holders a message names; one is enough to act on.
const NAMED_HOLDERS: usize = 4;

/// The judgement on an operation.
#[derive(Debug, Default)]
pub struct Checked {
    /// What stands in the way, the most telling first.
    pub blockers: Vec<Refusal>,
    /// What does not, but should be known.
    pub warnings: Vec<Finding>,
    /// What it will cost.
    pub estimate: Estimate,
}

/// Proof that a preflight passed. Only [`Checked::clear`] makes one, and what
/// changes a disk asks for it.
#[derive(Debug)]
pub struct Cleared(());

impl Checked {
    /// The plain data that is shown.
    #[must_use]
    pub fn view(&self) -> Preflight {
        Preflight {
            blockers: self
                .blockers
                .iter()
                .map(|b| Finding {
                    code: b.code(),
                    message: b.to_string(),
                })
                .collect(),
            warnings: self.warnings.clone(),
            estimate: self.estimate.clone(),
        }
    }

    /// The proof that nothing stands in the way.
    ///
    /// # Errors
    /// The first blocker.
    pub fn clear(self) -> Result<Cleared, Refusal> {
        self.blockers
            .into_iter()
            .next()
            .map_or(Ok(Cleared(())), Err)
    }

    fn block_if(&mut self, condition: bool, refusal: impl FnOnce() -> Refusal) {
        if condition {
            self.blockers.push(refusal());
        }
    }

    fn warn(&mut self, code: Code, message: impl Into<String>) {
        self.warnings.push(Finding {
            code,
            message: message.into(),
        });
    }

    /// What every operation asks of the disk and of the server that uses it.
    fn target(&mut self, action: &'static str, target: &Target) {
        if let Some(disk) = &target.disk {
            let id = &disk.volume.id;
            self.block_if(disk.usage == Usage::System, || Refusal::DiskUsage {
                action,
                disk: id.clone(),
                why: "it is a system disk: use its server's snapshots",
            });
            if let Some(holding) = &target.disk_holding {
                self.blockers.push(Refusal::disk_busy(id, holding));
            } else {
                self.block_if(
                    !matches!(disk.state, DiskState::Attached | DiskState::Unattached),
                    || Refusal::DiskState {
                        action,
                        disk: id.clone(),
                        state: disk.state,
                        hint: "wait for its job",
                    },
                );
            }
        }
        if let Some(server) = &target.host {
            self.server(action, server, target.host_holding.as_ref());
        }
    }

    /// That it is a data disk, in state `wanted`, and no job works on it.
    fn data_disk(
        &mut self,
        action: &'static str,
        target: &Target,
        why: &'static str,
        wanted: DiskState,
    ) {
        let id = &target.volume.id;
        let Some(disk) = target.disk.as_ref().filter(|d| d.usage == Usage::Data) else {
            self.blockers.push(Refusal::DiskUsage {
                action,
                disk: id.clone(),
                why,
            });
            return;
        };
        if let Some(holding) = &target.disk_holding {
            self.blockers.push(Refusal::disk_busy(id, holding));
            return;
        }
        let hint = match disk.state {
            DiskState::Attached => "detach it first",
            DiskState::Unattached => "attach it first",
            DiskState::Creating | DiskState::Attaching | DiskState::Detaching => "wait for its job",
        };
        self.block_if(disk.state != wanted, || Refusal::DiskState {
            action,
            disk: id.clone(),
            state: disk.state,
            hint,
        });
    }

    /// What every operation asks of a server: that it stands still.
    pub(crate) fn server(
        &mut self,
        action: &'static str,
        server: &Server,
        holding: Option<&Holding>,
    ) {
        let state = |hint: &'static str| Refusal::ServerState {
            action,
            server: server.id.clone(),
            power: server.power,
            hint: hint.into(),
        };
        match (server.power, holding) {
            // Nobody is creating it any more: it waits for a person.
            (Power::Creating, Some(holding)) if holding.held => self
                .blockers
                .push(Refusal::server_busy(&server.id, holding)),
            (Power::Creating, _) => self
                .blockers
                .push(Refusal::ServerCreating(server.id.clone())),
            (_, Some(holding)) => self
                .blockers
                .push(Refusal::server_busy(&server.id, holding)),
            (Power::Running | Power::Stopped, None) => {}
            (Power::Isolated, None) => self.blockers.push(state(
                "it was given back: all that is left is to terminate it",
            )),
            (Power::LaunchFailed, None) => self
                .blockers
                .push(state("it could not be made; terminate it")),
            (_, None) => self.blockers.push(state("wait for its job")),
        }
    }

    /// What every operation asks of a snapshot.
    fn snapshot(&mut self, target: &Target, snapshot: &Snapshot) {
        self.block_if(
            snapshot.subject != target.subject() || snapshot.disk != target.volume.id,
            || Refusal::OtherDisk {
                snapshot: snapshot.id.clone(),
                server: target.subject().resource(),
            },
        );
        self.block_if(snapshot.state != SnapshotState::Normal, || {
            Refusal::SnapshotState {
                snapshot: snapshot.id.clone(),
                state: snapshot.state,
            }
        });
    }

    /// What copying asks of the file system.
    fn space(&mut self, volume: &Volume, copy_bytes: Option<u64>, free_bytes: Option<u64>) {
        let constant = backout_disks::driver(volume.driver).constant_time();
        self.estimate = Estimate {
            copy_bytes,
            space_bytes: copy_bytes,
            constant_time: constant,
        };
        if let Some((needed_bytes, free_bytes)) = copy_bytes.zip(free_bytes) {
            self.block_if(needed_bytes > free_bytes, || Refusal::NoSpace {
                path: volume.head.display().to_string(),
                needed_bytes,
                free_bytes,
            });
        }
        if let (false, Some(copy_bytes)) = (constant, copy_bytes) {
            self.warn(
                Code::NotConstantTime,
                format!(
                    "copies {}: this file system cannot share them; backout doctor says what constant time needs",
                    Size(copy_bytes)
                ),
            );
        }
    }

    /// What was not looked at must be known.
    fn elsewhere(&mut self, node: &str) {
        self.warn(
            Code::Elsewhere,
            format!(
                "the disk is on host {node}: what stands in the way there is found when the job runs"
            ),
        );
    }

    /// That a machine whose state cannot be told stays as it is.
    fn machine(&mut self, machine: Option<Result<State, backout_machines::Error>>) {
        if let Some(Err(e)) = machine {
            self.blockers.push(Refusal::Machine(e));
        }
    }
}

/// Whether the server must be stopped before its disk can change: Backout was
/// told that it runs, or something has the disk open.
#[must_use]
pub fn must_stop(target: &Target, facts: &DiskFacts) -> bool {
    target
        .host
        .as_ref()
        .is_some_and(|server| server.power == Power::Running)
        || matches!(facts.machine, Some(Ok(State::On { .. })))
        || !facts.holders.is_empty()
}

/// Whether stopping `server` frees its disk, which `holders` have open besides
/// its machine: that lets go when it is stopped, but nobody else does, while a
/// server of the user's own commands is what has it open.
fn frees(server: &Server, holders: &[Holder]) -> bool {
    server.can_stop() && (server.machine.is_none() || holders.is_empty())
}

/// Judges a rollback of a disk to `snapshot`.
#[must_use]
pub fn rollback(target: &Target, snapshot: &Snapshot, facts: DiskFacts) -> Checked {
    let mut checked = Checked::default();
    // That a restore point is not there yet, or goes, says more than that its
    // disk is busy with just that.
    let telling = matches!(
        snapshot.state,
        SnapshotState::Creating | SnapshotState::Deleting
    );
    if telling {
        checked.snapshot(target, snapshot);
    }
    checked.target("roll back", target);
    if !telling {
        checked.snapshot(target, snapshot);
    }
    let stop = must_stop(target, &facts);
    let DiskFacts {
        head,
        holders,
        machine,
        point,
        copy_bytes,
        free_bytes,
    } = facts;
    match head {
        None => checked.elsewhere(&target.node),
        Some(Ok(head)) => checked.block_if(head.size_bytes != snapshot.size_bytes, || {
            Refusal::SizeChanged {
                snapshot: snapshot.id.clone(),
                snapshot_bytes: snapshot.size_bytes,
                head_bytes: head.size_bytes,
            }
        }),
        Some(Err(e)) => checked.blockers.push(Refusal::Disk(e)),
    }
    checked.machine(machine);
    if let Some(Err(e)) = point {
        checked.blockers.push(Refusal::Disk(e));
    }
    match target.host.as_ref().filter(|s| frees(s, &holders)) {
        Some(server) if stop => checked.warn(
            Code::ForcedStop,
            format!(
                "stops server {} by force, and starts it again afterwards; what it holds in memory is lost",
                server.name
            ),
        ),
        _ => checked.block_if(stop, || Refusal::in_use(&target.volume, &holders)),
    }
    checked.space(&target.volume, copy_bytes, free_bytes);
    checked
}

/// Judges the taking of a restore point.
#[must_use]
pub fn create_snapshot(target: &Target, facts: DiskFacts) -> Checked {
    let mut checked = Checked::default();
    checked.target("take a restore point of", target);
    checked
        .blockers
        .extend(too_many_points(&target.subject(), target.points));
    let DiskFacts {
        head,
        holders,
        machine,
        copy_bytes,
        free_bytes,
        ..
    } = facts;
    match head {
        // The snapshot adds one to the chain.
        None => checked.elsewhere(&target.node),
        Some(Ok(head)) => checked.block_if(head.layers >= MAX_LAYERS, || Refusal::ChainFull {
            path: target.volume.head.display().to_string(),
            layers: head.layers,
        }),
        Some(Err(e)) => checked.blockers.push(Refusal::Disk(e)),
    }
    let running = matches!(machine, Some(Ok(State::On { .. })));
    checked.machine(machine);
    let driver = target.volume.driver;
    if running && driver == DriverKind::Copy {
        checked.warn(
            Code::DiskInUse,
            "the machine stands still while its disk is copied",
        );
    }
    if !holders.is_empty() && driver == DriverKind::Reflink {
        checked.warn(
            Code::DiskInUse,
            "the disk is in use: the snapshot will be as after a power cut, of one instant",
        );
    } else if !holders.is_empty() {
        checked
            .blockers
            .push(Refusal::in_use(&target.volume, &holders));
    }
    checked.space(&target.volume, copy_bytes, free_bytes);
    checked
}

/// Judges giving a data disk to a server; without one, whether any could have
/// it. The facts are those of the disk with the machine of that server.
#[must_use]
pub fn attach(target: &Target, onto: Option<&Onto<'_>>, facts: DiskFacts) -> Checked {
    let mut checked = Checked::default();
    let why = "it is a system disk, which stays with its server; add a data disk";
    checked.data_disk("attach", target, why, DiskState::Unattached);
    let DiskFacts {
        head,
        holders,
        machine,
        ..
    } = facts;
    match head {
        None => checked.elsewhere(&target.node),
        Some(Ok(_)) => {}
        Some(Err(e)) => checked.blockers.push(Refusal::Disk(e)),
    }
    let Some(onto) = onto else {
        return checked;
    };
    let server = onto.server;
    checked.server("attach a disk to", server, onto.holding);
    checked.block_if(server.node != target.node, || {
        Refusal::Invalid(format!(
            "attach disk {} of host {} to server {} of host {}: a disk stays on its host, so choose a server there",
            target.volume.id, target.node, server.id, server.node
        ))
    });
    checked.block_if(onto.disks >= DISKS_PER_SERVER_MAX, too_many_disks);
    checked.machine(machine);
    // What a server of the user's own commands has open is its affair; it must
    // not run, or nobody knows what it has open.
    let is_apart = server.machine.is_none() && server.power != Power::Running;
    checked.block_if(!holders.is_empty() && !is_apart, || {
        Refusal::in_use(&target.volume, &holders)
    });
    checked.estimate = METADATA_ONLY;
    checked
}

/// That a server has as many data disks as it may have.
#[must_use]
pub fn too_many_disks() -> Refusal {
    Refusal::Quota {
        what: "data disks on one server",
        max: DISKS_PER_SERVER_MAX,
        hint: "detach one first",
    }
}

/// That a data disk has as many backups as it may have.
#[must_use]
pub fn too_many_backups() -> Refusal {
    Refusal::Quota {
        what: "backups of one disk",
        max: BACKUPS_PER_DISK_MAX,
        hint: "delete one first",
    }
}

/// Judges taking a data disk from its server.
#[must_use]
pub fn detach(target: &Target, facts: DiskFacts) -> Checked {
    let mut checked = Checked::default();
    let why = "it is a system disk, which stays with its server";
    checked.data_disk("detach", target, why, DiskState::Attached);
    if let Some(server) = &target.host {
        checked.server("detach a disk from", server, target.host_holding.as_ref());
        // A machine lets go when it is asked to; commands stop a server whole.
        let open =
            server.machine.is_none() && server.power == Power::Running && !facts.holders.is_empty();
        checked.block_if(open, || Refusal::in_use(&target.volume, &facts.holders));
    }
    // A file that is gone does not stand in the way.
    if facts.head.is_none() {
        checked.elsewhere(&target.node);
    }
    checked.machine(facts.machine);
    checked.estimate = METADATA_ONLY;
    checked
}

/// Judges taking a data disk out of management.
#[must_use]
pub fn remove_disk(target: &Target, facts: &DiskFacts) -> Checked {
    let mut checked = Checked::default();
    let why = "it is a system disk: release or terminate its server";
    checked.data_disk("remove", target, why, DiskState::Unattached);
    if facts.head.is_none() {
        checked.elsewhere(&target.node);
    }
    let made = target.disk.as_ref().is_some_and(|d| d.made);
    checked.block_if(made && !facts.holders.is_empty(), || {
        Refusal::in_use(&target.volume, &facts.holders)
    });
    if made {
        checked.warn(
            Code::NotReversible,
            "the file was made here: it is removed for good, with its restore points",
        );
    }
    checked.estimate = METADATA_ONLY;
    checked
}

/// Judges taking `server` out of management.
#[must_use]
pub fn release(server: &Server, holding: Option<&Holding>) -> Checked {
    let mut checked = Checked::default();
    match holding {
        Some(holding) => checked
            .blockers
            .push(Refusal::server_busy(&server.id, holding)),
        None => checked.block_if(server.power == Power::Creating, || {
            Refusal::ServerCreating(server.id.clone())
        }),
    }
    checked.block_if(
        server.machine.is_some() && server.power == Power::Running,
        || Refusal::ServerState {
            action: "release",
            server: server.id.clone(),
            power: server.power,
            hint: "stop it first, since nobody would watch its machine".into(),
        },
    );
    checked
}

/// Judges the deletion of `snapshot`. A server that was given back, and a
/// snapshot of a disk that was since made anew, do not stand in its way.
#[must_use]
pub fn delete_snapshot(snapshot: &Snapshot, target: &Target) -> Checked {
    let mut checked = Checked::default();
    // The snapshot's own state says more than that its server is busy.
    checked.block_if(snapshot.state != SnapshotState::Normal, || {
        Refusal::SnapshotState {
            snapshot: snapshot.id.clone(),
            state: snapshot.state,
        }
    });
    match (&target.disk, &target.disk_holding) {
        (Some(disk), Some(holding)) => checked
            .blockers
            .push(Refusal::disk_busy(&disk.volume.id, holding)),
        (Some(_), None) => {}
        (None, _) => {
            if let (Some(server), Some(holding)) = (&target.host, &target.host_holding) {
                checked
                    .blockers
                    .push(Refusal::server_busy(&server.id, holding));
            }
        }
    }
    checked.estimate = Estimate {
        copy_bytes: Some(0),
        space_bytes: Some(0),
        constant_time: true,
    };
    checked
}
