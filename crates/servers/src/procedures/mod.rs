//! The kinds of job that servers have, a file each.

mod add_disk;
mod adopt;
mod apply_snapshot;
mod attach;
mod compact;
mod create;
mod create_blueprint;
mod create_snapshot;
mod delete_blueprint;
mod delete_snapshot;
mod detach;
mod heads;
mod isolate;
mod power_change;
mod reboot;
mod release;
mod remove_disk;
mod reset;
mod start;
mod stop;
mod terminate;

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use backout_core::code::Code;
use backout_core::ids::{InstanceId, PointId};
use backout_core::outcome::Outcome;
use backout_core::size::Size;
use backout_core::time::Timestamp;
use backout_disks::{Disk, DiskLock, Driver, Guard, Name, Progress};
use backout_jobs::{StepContext, StepError};
use backout_machines::Machines;
use backout_shim::Shim;
use backout_store::Tx;

pub use add_disk::{AddDisk, AddDiskInput};
pub use adopt::{Adopt, AdoptInput};
pub use apply_snapshot::{ApplyInput, ApplySnapshot};
pub use attach::{Attach, AttachInput};
pub use compact::{Compact, CompactInput};
pub use create::{CreateServer, CreateServerInput, ImageFile};
pub use create_blueprint::{CreateBlueprint, CreateBlueprintInput};
pub use create_snapshot::{CreateInput, CreateSnapshot};
pub use delete_blueprint::{DeleteBlueprint, DeleteBlueprintInput};
pub use delete_snapshot::{DeleteInput, DeleteSnapshot};
pub use detach::Detach;
pub use isolate::{IsolateInput, IsolateServer};
pub use power_change::{Member, PowerInput};
pub use reboot::RebootServer;
pub use release::{Release, ReleaseInput};
pub use remove_disk::{RemoveDisk, RemoveDiskInput};
pub use reset::{Becomes, Identity, ResetInput, ResetServer};
pub use start::StartServer;
pub use stop::StopServer;
pub use terminate::{TerminateInput, TerminateServer};

use crate::model::{OperationKind, OperationState, Server, Subject, Volume};
use crate::persistence;
use crate::refusal::{with_cause, with_machine_cause};
use crate::retention::{DAY_MS, SAFETY_KEEP_MS};

/// What the steps work with on this host.
#[derive(Clone)]
pub struct Runtime {
    /// The folder for the output of start and stop commands.
    pub logs: PathBuf,
    /// What runs virtual machines.
    pub machines: Machines,
    /// The folder for disks and images that Backout makes.
    pub pool: PathBuf,
    /// How long safety points are kept, in milliseconds.
    pub safety_keep_ms: i64,
}

impl Runtime {
    /// All in one folder; `shim` runs the machines.
    #[must_use]
    pub fn new(folder: &Path, shim: Shim) -> Self {
        Self {
            logs: folder.join("logs"),
            machines: Machines::new(folder.join("machines"), shim),
            pool: folder.join("pool"),
            safety_keep_ms: SAFETY_KEEP_MS,
        }
    }

    /// The same, with safety points kept for `days`.
    #[must_use]
    pub fn keeping_safety_points(mut self, days: u32) -> Self {
        self.safety_keep_ms = i64::from(days) * DAY_MS;
        self
    }

    /// When the safety point of work that was asked for at `asked` goes.
    #[must_use]
    pub fn safety_expiry(&self, asked: Timestamp) -> Timestamp {
        asked.plus_ms(self.safety_keep_ms)
    }
}

impl std::fmt::Debug for Runtime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Runtime")
            .field("logs", &self.logs)
            .field("pool", &self.pool)
            .finish_non_exhaustive()
    }
}

/// What the job of that procedure does to its server or disk; `None` when it is
/// not one of ours.
#[must_use]
pub fn kind_of(procedure: &str) -> Option<OperationKind> {
    OperationKind::parse(procedure.strip_prefix("servers.")?)
}

/// How often a step asks again for a disk that another step still works on.
const LOCK_RETRY: Duration = Duration::from_millis(50);

/// How many times. A worker that was stopped in the middle of a step keeps the
/// lock until it goes on or dies; after these the step fails with
/// [`StepError::Again`] and the engine waits longer.
const LOCK_TRIES: u32 = 40;

/// Performs `work` on a disk on a thread for blocking work, holding its lock
/// and showing the job's fence.
async fn on_disk<T: Send + 'static>(
    ctx: &StepContext,
    disk: &Volume,
    work: impl FnOnce(&dyn Driver, &Guard, &Disk, &dyn Progress) -> backout_disks::Result<T>
    + Send
    + 'static,
) -> Result<T, StepError> {
    let driver = backout_disks::driver(disk.driver);
    under_lock(ctx, disk, move |guard, spec, progress| {
        work(driver, guard, spec, progress).map_err(disk_error)
    })
    .await
}

/// Performs `work` on files on a thread for blocking work, where no lock of a
/// disk is asked for, or `work` takes it itself.
async fn with_progress<T: Send + 'static>(
    ctx: &StepContext,
    work: impl FnOnce(&dyn Progress) -> backout_disks::Result<T> + Send + 'static,
) -> Result<T, StepError> {
    let for_worker = ctx.clone();
    ctx.blocking(move || {
        let progress = StepProgress {
            ctx: &for_worker,
            last_percent: Mutex::new(None),
        };
        work(&progress).map_err(disk_error)
    })
    .await
}

/// As [`on_disk`], for work that is not the driver's alone.
pub(crate) async fn under_lock<T: Send + 'static>(
    ctx: &StepContext,
    disk: &Volume,
    work: impl FnOnce(&Guard, &Disk, &dyn Progress) -> Result<T, StepError> + Send + 'static,
) -> Result<T, StepError> {
    let spec = disk.spec();
    let for_worker = ctx.clone();
    ctx.blocking(move || {
        let guard = lock(&for_worker, &spec)?;
        let progress = StepProgress {
            ctx: &for_worker,
            last_percent: Mutex::new(None),
        };
        work(&guard, &spec, &progress)
    })
    .await
}

pub(crate) fn lock(ctx: &StepContext, disk: &Disk) -> Result<Guard, StepError> {
    let mut tries = 0;
    loop {
        match DiskLock::acquire(disk, ctx.fence) {
            Err(e) if e.is_passing() && tries < LOCK_TRIES => {
                if ctx.cancel.requested() {
                    return Err(StepError::Cancelled);
                }
                tries += 1;
                std::thread::sleep(LOCK_RETRY);
            }
            other => return other.map_err(disk_error),
        }
    }
}

pub(crate) fn disk_error(e: backout_disks::Error) -> StepError {
    match e {
        backout_disks::Error::Stale { .. } => StepError::Stale,
        backout_disks::Error::Cancelled { .. } => StepError::Cancelled,
        e => {
            let message = with_cause(&e);
            if e.is_passing() {
                StepError::again(e.code(), message)
            } else {
                StepError::failed(e.code(), message)
            }
        }
    }
}

pub(crate) fn machine_error(e: backout_machines::Error) -> StepError {
    if e.is_cancelled() {
        return StepError::Cancelled;
    }
    let message = with_machine_cause(&e);
    if e.is_passing() {
        StepError::again(e.code(), message)
    } else {
        StepError::failed(e.code(), message)
    }
}

/// Hands a driver's progress to the job.
struct StepProgress<'a> {
    ctx: &'a StepContext,
    last_percent: Mutex<Option<u8>>,
}

impl Progress for StepProgress<'_> {
    fn at(&self, done: u64, total: u64) {
        let percent = u8::try_from(
            done.saturating_mul(100)
                .checked_div(total)
                .unwrap_or(100)
                .min(100),
        )
        .unwrap_or(100);
        let mut last = self
            .last_percent
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        if *last != Some(percent) {
            *last = Some(percent);
            self.ctx
                .progress(percent, format!("{} of {}", Size(done), Size(total)));
        }
    }

    fn cancelled(&self) -> bool {
        self.ctx.cancel.requested()
    }
}

/// The name of a file that is made for the restore point, or safety point,
/// `id`.
fn name(id: &PointId) -> Result<Name, StepError> {
    Name::new(id.as_str()).map_err(disk_error)
}

/// The server's row, as it is now.
async fn server(ctx: &StepContext, id: &InstanceId) -> Result<Server, StepError> {
    let wanted = id.clone();
    let found = ctx
        .store
        .read(move |tx| persistence::server_by_id(tx, &wanted))
        .await?;
    found.ok_or_else(|| {
        StepError::failed(Code::NotFound, format!("find server {id}: its row is gone"))
    })
}

/// Records on the server or the data disk how its operation ended.
fn settle(
    tx: &mut dyn Tx,
    subject: &Subject,
    outcome: Outcome,
) -> Result<(), backout_store::Error> {
    persistence::end_subject_operation(tx, subject, operation_state(outcome))
}

/// [`settle`] for a server.
fn settle_server(
    tx: &mut dyn Tx,
    id: &InstanceId,
    outcome: Outcome,
) -> Result<(), backout_store::Error> {
    settle(tx, &Subject::Server(id.clone()), outcome)
}

const fn operation_state(outcome: Outcome) -> OperationState {
    match outcome {
        Outcome::Applied => OperationState::Success,
        Outcome::Reverted | Outcome::Held => OperationState::Failed,
    }
}
