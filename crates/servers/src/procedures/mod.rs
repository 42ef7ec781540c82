//! The kinds of job that servers have, a file each.

mod adopt;
mod apply_snapshot;
mod create_snapshot;
mod delete_snapshot;
mod release;

use std::sync::Mutex;
use std::time::Duration;

use backout_core::code::Code;
use backout_core::ids::InstanceId;
use backout_core::outcome::Outcome;
use backout_disks::{Disk, DiskLock, Driver, Guard, Name, Progress};
use backout_jobs::{StepContext, StepError};
use backout_store::Tx;

pub use adopt::{Adopt, AdoptInput};
pub use apply_snapshot::{ApplyInput, ApplySnapshot};
pub use create_snapshot::{CreateInput, CreateSnapshot};
pub use delete_snapshot::{DeleteInput, DeleteSnapshot};
pub use release::{Release, ReleaseInput};

use crate::model::{OperationState, Server, SystemDisk};
use crate::persistence;
use crate::refusal::with_cause;

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
    disk: &SystemDisk,
    work: impl FnOnce(&dyn Driver, &Guard, &Disk, &dyn Progress) -> backout_disks::Result<T>
    + Send
    + 'static,
) -> Result<T, StepError> {
    let (ctx, spec) = (ctx.clone(), disk.spec());
    let for_worker = ctx.clone();
    ctx.blocking(move || {
        let guard = lock(&for_worker, &spec)?;
        let progress = StepProgress {
            ctx: &for_worker,
            last_percent: Mutex::new(None),
        };
        work(backout_disks::driver(spec.driver), &guard, &spec, &progress).map_err(disk_error)
    })
    .await
}

fn lock(ctx: &StepContext, disk: &Disk) -> Result<Guard, StepError> {
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

fn disk_error(e: backout_disks::Error) -> StepError {
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
                .progress(percent, format!("{done} of {total} bytes"));
        }
    }

    fn cancelled(&self) -> bool {
        self.ctx.cancel.requested()
    }
}

/// The name of a file that is made for the restore point, or safety point,
/// `id`.
fn name(id: &backout_core::ids::SnapshotId) -> Result<Name, StepError> {
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

/// Records on the server how its operation ended.
fn settle_server(
    tx: &mut dyn Tx,
    id: &InstanceId,
    outcome: Outcome,
) -> Result<(), backout_store::Error> {
    persistence::end_server_operation(tx, id, operation_state(outcome))
}

const fn operation_state(outcome: Outcome) -> OperationState {
    match outcome {
        Outcome::Applied => OperationState::Success,
        Outcome::Reverted | Outcome::Held => OperationState::Failed,
    }
}
