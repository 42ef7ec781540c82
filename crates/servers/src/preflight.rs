//! What stands in the way of an operation on a server's disk.
//!
//! One function for each operation. The call, its dry run, the list of denied
//! actions and the console all ask the same one. The functions are pure: what
//! they judge was looked at before, by [`look`].

use std::path::Path;

use backout_core::code::Code;
use backout_core::ids::JobId;
use backout_core::plan::{Estimate, Finding, Preflight};
use backout_disks::{DriverKind, HeadFacts, Holder, MAX_LAYERS, Point, PointFacts};

use crate::model::{Power, Server, Snapshot, SnapshotState, SystemDisk};
use crate::refusal::Refusal;

/// What the disk itself tells, looked at in one moment.
#[derive(Debug)]
pub struct DiskFacts {
    /// The head, or why it cannot be read; absent when the disk is on another
    /// host and was not looked at.
    pub head: Option<Result<HeadFacts, backout_disks::Error>>,
    /// The processes and loop devices that can write to the head.
    pub holders: Vec<Holder>,
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
            point: None,
            copy_bytes: None,
            free_bytes: None,
        }
    }
}

/// Looks at a disk, and at the point it is to go back to. Blocks on files.
#[must_use]
pub fn look(disk: &SystemDisk, point: Option<&Point>) -> DiskFacts {
    let spec = disk.spec();
    let driver = backout_disks::driver(disk.driver);
    DiskFacts {
        head: Some(driver.inspect(&spec)),
        holders: writers(&disk.head).unwrap_or_default(),
        point: point.map(|p| driver.verify_point(&spec, p)),
        copy_bytes: Some(driver.space_needed(&spec, point).unwrap_or(0)),
        free_bytes: backout_disks::free_bytes(&disk.head).ok(),
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

    /// What every operation asks of the server.
    fn server(&mut self, server: &Server, holder: Option<&JobId>) {
        if let Some(job) = holder {
            if server.power == Power::Creating {
                self.blockers
                    .push(Refusal::ServerCreating(server.id.clone()));
            } else {
                self.blockers.push(Refusal::ServerBusy {
                    server: server.id.clone(),
                    job: job.clone(),
                });
            }
        } else {
            self.block_if(server.power == Power::Creating, || {
                Refusal::ServerCreating(server.id.clone())
            });
        }
    }

    /// What every operation asks of a snapshot.
    fn snapshot(&mut self, server: &Server, snapshot: &Snapshot) {
        self.block_if(
            snapshot.server != server.id || snapshot.disk != server.disk.id,
            || Refusal::OtherDisk {
                snapshot: snapshot.id.clone(),
                server: server.id.clone(),
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
    fn space(&mut self, server: &Server, copy_bytes: Option<u64>, free_bytes: Option<u64>) {
        let constant = backout_disks::driver(server.disk.driver).constant_time();
        self.estimate = Estimate {
            copy_bytes,
            space_bytes: copy_bytes,
            constant_time: constant,
        };
        if let Some((needed_bytes, free_bytes)) = copy_bytes.zip(free_bytes) {
            self.block_if(needed_bytes > free_bytes, || Refusal::NoSpace {
                path: server.disk.head.display().to_string(),
                needed_bytes,
                free_bytes,
            });
        }
        if let (false, Some(copy_bytes)) = (constant, copy_bytes) {
            self.warn(
                Code::NotConstantTime,
                format!(
                    "copies {copy_bytes} bytes: this file system cannot share them; backout doctor says what constant time needs"
                ),
            );
        }
    }

    /// What was not looked at must be known.
    fn elsewhere(&mut self, server: &Server) {
        self.warn(
            Code::Elsewhere,
            format!(
                "the disk is on host {}: what stands in the way there is found when the job runs",
                server.node
            ),
        );
    }
}

/// Whether the server must be stopped before its disk can change: Backout was
/// told that it runs, or something has the disk open.
#[must_use]
pub fn must_stop(server: &Server, facts: &DiskFacts) -> bool {
    server.power == Power::Running || !facts.holders.is_empty()
}

/// Judges a rollback of `server` to `snapshot`. `holder` is the job that has a
/// claim on the server.
#[must_use]
pub fn rollback(
    server: &Server,
    snapshot: &Snapshot,
    holder: Option<&JobId>,
    facts: DiskFacts,
) -> Checked {
    let mut checked = Checked::default();
    checked.server(server, holder);
    checked.snapshot(server, snapshot);
    let stop = must_stop(server, &facts);
    let DiskFacts {
        head,
        holders,
        point,
        copy_bytes,
        free_bytes,
    } = facts;
    match head {
        None => checked.elsewhere(server),
        Some(Ok(head)) => checked.block_if(head.size_bytes != snapshot.size_bytes, || {
            Refusal::SizeChanged {
                snapshot: snapshot.id.clone(),
                snapshot_bytes: snapshot.size_bytes,
                head_bytes: head.size_bytes,
            }
        }),
        Some(Err(e)) => checked.blockers.push(Refusal::Disk(e)),
    }
    if let Some(Err(e)) = point {
        checked.blockers.push(Refusal::Disk(e));
    }
    if stop && server.commands.stop.is_some() {
        checked.warn(
            Code::ForcedStop,
            format!(
                "stops server {} by its command, and starts it again afterwards; what it holds in memory is lost",
                server.name
            ),
        );
    } else if stop {
        checked.blockers.push(Refusal::InUse {
            path: server.disk.head.display().to_string(),
            holders: holder_names(&holders),
        });
    }
    checked.space(server, copy_bytes, free_bytes);
    checked
}

/// Judges the taking of a snapshot of `server`.
#[must_use]
pub fn create_snapshot(server: &Server, holder: Option<&JobId>, facts: DiskFacts) -> Checked {
    let mut checked = Checked::default();
    checked.server(server, holder);
    let DiskFacts {
        head,
        holders,
        copy_bytes,
        free_bytes,
        ..
    } = facts;
    match head {
        // The snapshot adds one to the chain.
        None => checked.elsewhere(server),
        Some(Ok(head)) => checked.block_if(head.layers >= MAX_LAYERS, || Refusal::ChainFull {
            path: server.disk.head.display().to_string(),
            layers: head.layers,
        }),
        Some(Err(e)) => checked.blockers.push(Refusal::Disk(e)),
    }
    if !holders.is_empty() && server.disk.driver == DriverKind::Reflink {
        checked.warn(
            Code::DiskInUse,
            "the disk is in use: the snapshot will be as after a power cut, of one instant",
        );
    } else if !holders.is_empty() {
        checked.blockers.push(Refusal::InUse {
            path: server.disk.head.display().to_string(),
            holders: holder_names(&holders),
        });
    }
    checked.space(server, copy_bytes, free_bytes);
    checked
}

/// Judges taking `server` out of management.
#[must_use]
pub fn release(server: &Server, holder: Option<&JobId>) -> Checked {
    let mut checked = Checked::default();
    checked.server(server, holder);
    checked
}

/// Judges the deletion of `snapshot`.
#[must_use]
pub fn delete_snapshot(server: &Server, snapshot: &Snapshot, holder: Option<&JobId>) -> Checked {
    let mut checked = Checked::default();
    // The snapshot's own state says more than that its server is busy.
    checked.snapshot(server, snapshot);
    checked.server(server, holder);
    checked.estimate = Estimate {
        copy_bytes: Some(0),
        space_bytes: Some(0),
        constant_time: true,
    };
    checked
}
