//! Takes a server's disk back to a snapshot.
//!
//! | step | do | undo |
//! |---|---|---|
//! | stage | build the new head beside the present one | remove it |
//! | stop | stop the server, if it runs | start it again |
//! | keep | give the present head a second name: the safety point | take that name away |
//! | swap | rename the new head over the present one | rename the kept one over it |
//! | start | start the server, if it was running | stop it again |
//!
//! The order keeps the server up while the long work, the staging, is done.

use std::path::PathBuf;
use std::time::Duration;

use backout_core::code::Code;
use backout_core::ids::{InstanceId, JobId, SnapshotId};
use backout_core::outcome::Outcome;
use backout_core::time::Timestamp;
use backout_disks::{Kept, Point, Staged};
use backout_jobs::{Commit, Done, Procedure, Step, StepContext, StepError, Undo};
use backout_store::{Error as StoreError, Tx};
use serde::{Deserialize, Serialize};

use super::{disk_error, name, on_disk, operation_state, server, settle_server};
use crate::model::{Power, Server, Snapshot, SnapshotKind, SnapshotState, SystemDisk};
use crate::persistence;
use crate::power;
use crate::preflight::{holder_names, writers};
use crate::service::NAME_MAX_CHARS;

/// How long a stopped server may take to let its disk go after its stop command
/// has returned.
const LET_GO_TRIES: u32 = 100;

/// The pause between two looks at who holds the disk.
const LET_GO_PAUSE: Duration = Duration::from_millis(100);

/// The procedure.
#[derive(Clone, Debug, Default)]
pub struct ApplySnapshot {
    /// Where the output of start and stop commands goes.
    pub logs: PathBuf,
}

/// What it is told.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ApplyInput {
    /// The server.
    pub server: InstanceId,
    /// The snapshot to go back to.
    pub snapshot: SnapshotId,
    /// The id that the safety point will have.
    pub safety: SnapshotId,
    /// The disk.
    pub disk: SystemDisk,
    /// The snapshot's file.
    pub point: Point,
    /// Whether the server runs, and so must be stopped and started.
    pub stop: bool,
    /// When it was asked for.
    pub asked: Timestamp,
    /// The job that it takes back, if it is an undo.
    pub undo_of: Option<JobId>,
}

const STEPS: &[Step<ApplySnapshot>] = &[
    Step {
        name: "stage",
        does: "build the new head out of the snapshot, beside the present one",
        run: |_, ctx| Box::pin(stage(ctx)),
        undo: Undo::By {
            does: "remove the new head",
            run: |_, ctx| Box::pin(unstage(ctx)),
        },
    },
    Step {
        name: "stop",
        does: "stop the server, if it runs",
        run: |p, ctx| Box::pin(stop(p, ctx)),
        undo: Undo::By {
            does: "start the server again, if it ran",
            run: |p, ctx| Box::pin(start(p, ctx)),
        },
    },
    Step {
        name: "keep",
        does: "keep the present head as a safety point",
        run: |_, ctx| Box::pin(keep(ctx)),
        undo: Undo::By {
            does: "forget the safety point",
            run: |_, ctx| Box::pin(unkeep(ctx)),
        },
    },
    Step {
        name: "swap",
        does: "put the new head in the place of the present one",
        run: |_, ctx| Box::pin(swap(ctx)),
        undo: Undo::By {
            does: "put the kept head back",
            run: |_, ctx| Box::pin(unswap(ctx)),
        },
    },
    Step {
        name: "start",
        does: "start the server, if it was running",
        run: |p, ctx| Box::pin(start(p, ctx)),
        undo: Undo::By {
            does: "stop the server again, if it was started",
            run: |p, ctx| Box::pin(stop(p, ctx)),
        },
    },
];

impl Procedure for ApplySnapshot {
    fn name(&self) -> &'static str {
        "servers.apply_snapshot"
    }

    fn steps(&self) -> &[Step<Self>] {
        STEPS
    }

    fn settle(&self, ctx: &StepContext, outcome: Outcome, _failure: Option<&StepError>) -> Commit {
        let input = ctx.input::<ApplyInput>();
        let kept = ctx.output::<Kept>("keep");
        let job = ctx.job.clone();
        Box::new(move |tx| {
            let Ok(input) = input else { return Ok(()) };
            persistence::end_snapshot_operation(
                tx,
                &input.snapshot,
                Some(operation_state(outcome)),
            )?;
            if let (Outcome::Applied, Ok(Some(kept))) = (outcome, kept) {
                let safety = safety_point(tx, &input, kept, job.clone())?;
                persistence::insert_snapshot(tx, &safety)?;
                persistence::insert_safety_point(tx, &job, &safety.id)?;
            }
            settle_server(tx, &input.server, outcome)
        })
    }
}

/// The row of the safety point that a finished rollback leaves.
fn safety_point(
    tx: &mut dyn Tx,
    input: &ApplyInput,
    kept: Kept,
    job: JobId,
) -> Result<Snapshot, StoreError> {
    let target = persistence::snapshot_by_id(tx, &input.snapshot)?.ok_or_else(|| {
        StoreError::corrupt("the snapshot's row is gone while its job has the claim")
    })?;
    let name = match &input.undo_of {
        Some(undone) => format!("before undoing {undone}"),
        None => format!("before going back to {}", target.name),
    };
    let name = name.chars().take(NAME_MAX_CHARS).collect();
    Ok(Snapshot {
        id: input.safety.clone(),
        owner: target.owner,
        server: input.server.clone(),
        disk: input.disk.id.clone(),
        kind: SnapshotKind::Safety,
        name,
        state: SnapshotState::Normal,
        point: Some(kept.point),
        size_bytes: kept.facts.size_bytes,
        latest: None,
        job: Some(job),
        created: input.asked,
        tags: Vec::new(),
    })
}

async fn stage(ctx: &StepContext) -> Result<Done, StepError> {
    let input: ApplyInput = ctx.input()?;
    let (name, point) = (name(&input.safety)?, input.point);
    let (staged, head) = on_disk(ctx, &input.disk, move |driver, guard, disk, progress| {
        let staged = driver.stage(guard, disk, &point, &name, progress)?;
        Ok((staged, driver.inspect(disk)?))
    })
    .await?;
    // The preflight may have been made on another host, which cannot look.
    if staged.size_bytes != head.size_bytes {
        return Err(StepError::failed(
            Code::DiskSizeChanged,
            format!(
                "go back to snapshot {} of {} bytes: the disk has {} bytes now; give it the snapshot's size again",
                input.snapshot, staged.size_bytes, head.size_bytes
            ),
        ));
    }
    Done::remember(&staged)
}

async fn unstage(ctx: &StepContext) -> Result<Done, StepError> {
    let input: ApplyInput = ctx.input()?;
    let staged = name(&input.safety)?;
    on_disk(ctx, &input.disk, move |driver, guard, disk, _| {
        driver.unstage(guard, disk, &staged)
    })
    .await?;
    Ok(Done::nothing())
}

async fn stop(procedure: &ApplySnapshot, ctx: &StepContext) -> Result<Done, StepError> {
    let input: ApplyInput = ctx.input()?;
    if !input.stop {
        return Ok(Done::nothing());
    }
    let server = server(ctx, &input.server).await?;
    if let Some(command) = &server.commands.stop {
        power::run("stop", command, &server, &procedure.logs).await?;
    }
    wait_until_let_go(ctx, &server).await?;
    Ok(Done::nothing().with(move |tx| persistence::set_power(tx, &server.id, Power::Stopped)))
}

async fn start(procedure: &ApplySnapshot, ctx: &StepContext) -> Result<Done, StepError> {
    let input: ApplyInput = ctx.input()?;
    if !input.stop {
        return Ok(Done::nothing());
    }
    let server = server(ctx, &input.server).await?;
    let Some(command) = &server.commands.start else {
        return Ok(Done::nothing());
    };
    power::run("start", command, &server, &procedure.logs).await?;
    Ok(Done::nothing().with(move |tx| persistence::set_power(tx, &server.id, Power::Running)))
}

/// Waits until nothing has the head open: its contents must not change any
/// more.
async fn wait_until_let_go(ctx: &StepContext, server: &Server) -> Result<(), StepError> {
    let head = server.disk.head.clone();
    let name = server.name.clone();
    ctx.blocking(move || {
        for _ in 0..LET_GO_TRIES {
            if writers(&head).map_err(disk_error)?.is_empty() {
                return Ok(());
            }
            std::thread::sleep(LET_GO_PAUSE);
        }
        let holders = holder_names(&writers(&head).map_err(disk_error)?);
        Err(StepError::failed(
            Code::DiskInUse,
            format!("stop server {name}: its stop command returned, but the disk is still open in {holders}"),
        ))
    })
    .await
}

async fn keep(ctx: &StepContext) -> Result<Done, StepError> {
    let input: ApplyInput = ctx.input()?;
    let safety = name(&input.safety)?;
    let kept = on_disk(ctx, &input.disk, move |driver, guard, disk, _| {
        driver.keep(guard, disk, &safety)
    })
    .await?;
    Done::remember(&kept)
}

async fn unkeep(ctx: &StepContext) -> Result<Done, StepError> {
    let input: ApplyInput = ctx.input()?;
    let safety = name(&input.safety)?;
    on_disk(ctx, &input.disk, move |driver, guard, disk, _| {
        driver.unkeep(guard, disk, &safety)
    })
    .await?;
    Ok(Done::nothing())
}

/// What `stage` and `keep` left, if both have run.
fn receipts(ctx: &StepContext) -> Result<Option<(Staged, Kept)>, StepError> {
    Ok(ctx.output("stage")?.zip(ctx.output("keep")?))
}

async fn swap(ctx: &StepContext) -> Result<Done, StepError> {
    let input: ApplyInput = ctx.input()?;
    let (staged, kept) = receipts(ctx)?.ok_or_else(|| {
        StepError::failed(
            Code::Internal,
            "swap heads: the records of stage and keep are missing",
        )
    })?;
    let swapped = on_disk(ctx, &input.disk, move |driver, guard, disk, _| {
        driver.swap(guard, disk, &staged, &kept)
    })
    .await?;
    Done::remember(&swapped)
}

async fn unswap(ctx: &StepContext) -> Result<Done, StepError> {
    let input: ApplyInput = ctx.input()?;
    if let Some((staged, kept)) = receipts(ctx)? {
        on_disk(ctx, &input.disk, move |driver, guard, disk, _| {
            driver.unswap(guard, disk, &staged, &kept)
        })
        .await?;
    }
    Ok(Done::nothing())
}
