//! Takes a snapshot of a server's disk.
//!
//! | step | do | undo |
//! |---|---|---|
//! | capture | make the restore point beside the disk | remove it; the head keeps its contents |

use backout_core::ids::{InstanceId, SnapshotId};
use backout_core::outcome::Outcome;
use backout_disks::Captured;
use backout_jobs::{Commit, Done, Procedure, Step, StepContext, StepError, Undo};
use serde::{Deserialize, Serialize};

use super::{name, on_disk, operation_state, settle_server};
use crate::model::SystemDisk;
use crate::persistence;

/// The procedure.
#[derive(Clone, Copy, Debug, Default)]
pub struct CreateSnapshot;

/// What it is told.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CreateInput {
    /// The server.
    pub server: InstanceId,
    /// The snapshot, whose row is there already.
    pub snapshot: SnapshotId,
    /// The disk.
    pub disk: SystemDisk,
}

const STEPS: &[Step<CreateSnapshot>] = &[Step {
    name: "capture",
    does: "make the restore point beside the disk",
    run: |_, ctx| Box::pin(capture(ctx)),
    undo: Undo::By {
        does: "remove the restore point",
        run: |_, ctx| Box::pin(uncapture(ctx)),
    },
}];

impl Procedure for CreateSnapshot {
    fn name(&self) -> &'static str {
        "servers.create_snapshot"
    }

    fn steps(&self) -> &[Step<Self>] {
        STEPS
    }

    fn settle(&self, ctx: &StepContext, outcome: Outcome, _failure: Option<&StepError>) -> Commit {
        let input = ctx.input::<CreateInput>();
        Box::new(move |tx| {
            let Ok(input) = input else { return Ok(()) };
            match outcome {
                Outcome::Applied => {
                    persistence::end_snapshot_operation(
                        tx,
                        &input.snapshot,
                        Some(operation_state(outcome)),
                    )?;
                }
                Outcome::Reverted => persistence::delete_snapshot(tx, &input.snapshot)?,
                Outcome::Held => {}
            }
            settle_server(tx, &input.server, outcome)
        })
    }
}

async fn capture(ctx: &StepContext) -> Result<Done, StepError> {
    let input: CreateInput = ctx.input()?;
    let point = name(&input.snapshot)?;
    let captured: Captured = on_disk(ctx, &input.disk, move |driver, guard, disk, progress| {
        driver.capture(guard, disk, &point, progress)
    })
    .await?;
    let done = Done::remember(&captured)?;
    Ok(done.with(move |tx| {
        persistence::set_point(
            tx,
            &input.snapshot,
            &captured.point,
            captured.facts.size_bytes,
        )
    }))
}

async fn uncapture(ctx: &StepContext) -> Result<Done, StepError> {
    let input: CreateInput = ctx.input()?;
    let point = name(&input.snapshot)?;
    on_disk(ctx, &input.disk, move |driver, guard, disk, _| {
        driver.uncapture(guard, disk, &point)
    })
    .await?;
    Ok(Done::nothing())
}
