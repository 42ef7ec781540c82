//! Takes a restore point of a disk.
//!
//! | step | do | undo |
//! |---|---|---|
//! | capture | make the restore point beside the disk; a machine that uses it stands still meanwhile | remove it; the head keeps its contents |

use backout_core::ids::{InstanceId, PointId};
use backout_core::outcome::Outcome;
use backout_disks::Captured;
use backout_jobs::{Commit, Done, Procedure, Step, StepContext, StepError, Undo};
use serde::{Deserialize, Serialize};

use super::{Runtime, disk_error, name, operation_state, server, settle, under_lock};
use crate::model::{Server, Subject, Volume};
use crate::persistence;
use crate::power::Running;

/// The procedure.
#[derive(Clone, Debug)]
pub struct CreateSnapshot(pub Runtime);

/// What it is told.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CreateInput {
    /// Whose disk it is.
    pub subject: Subject,
    /// The server that uses it.
    pub host: Option<InstanceId>,
    /// The restore point, whose row is there already.
    pub snapshot: PointId,
    /// The disk.
    pub disk: Volume,
    /// Whether nobody asked for it, but a schedule.
    #[serde(default)]
    pub by_itself: bool,
}

const STEPS: &[Step<CreateSnapshot>] = &[Step {
    name: "capture",
    does: "make the restore point beside the disk",
    run: |p, ctx| Box::pin(capture(p, ctx)),
    undo: Undo::By {
        does: "remove the restore point",
        run: |p, ctx| Box::pin(uncapture(p, ctx)),
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
            if input.by_itself {
                return Ok(());
            }
            settle(tx, &input.subject, outcome)
        })
    }
}

/// The machine that may have the disk open.
async fn machine(ctx: &StepContext, input: &CreateInput) -> Result<Option<Server>, StepError> {
    match &input.host {
        None => Ok(None),
        Some(id) => Ok(Some(server(ctx, id).await?).filter(|s| s.machine.is_some())),
    }
}

async fn capture(procedure: &CreateSnapshot, ctx: &StepContext) -> Result<Done, StepError> {
    let input: CreateInput = ctx.input()?;
    let point = name(&input.snapshot)?;
    let machine = machine(ctx, &input).await?;
    let (machines, inside) = (procedure.0.machines.clone(), ctx.clone());
    let disk = input.disk.clone();
    let captured: Captured = under_lock(ctx, &input.disk, move |guard, spec, progress| {
        let driver = backout_disks::driver(spec.driver);
        let Some(server) = machine else {
            return driver
                .capture(guard, spec, &point, progress)
                .map_err(disk_error);
        };
        let Some(running) = Running::pause(&machines, &inside, &server, guard, &disk)? else {
            return driver
                .capture(guard, spec, &point, progress)
                .map_err(disk_error);
        };
        let captured = driver
            .capture_paused(guard, spec, &point, progress)
            .map_err(disk_error)?;
        running.follow(&disk, &captured)?;
        running.resume()?;
        Ok(captured)
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

async fn uncapture(procedure: &CreateSnapshot, ctx: &StepContext) -> Result<Done, StepError> {
    let input: CreateInput = ctx.input()?;
    let point = name(&input.snapshot)?;
    let machine = machine(ctx, &input).await?;
    let (machines, inside) = (procedure.0.machines.clone(), ctx.clone());
    let disk = input.disk.clone();
    under_lock(ctx, &input.disk, move |guard, spec, _| {
        let driver = backout_disks::driver(spec.driver);
        let Some(server) = machine else {
            return driver.uncapture(guard, spec, &point).map_err(disk_error);
        };
        let running = Running::pause(&machines, &inside, &server, guard, &disk)?;
        driver.uncapture(guard, spec, &point).map_err(disk_error)?;
        running.map_or(Ok(()), Running::resume)
    })
    .await?;
    Ok(Done::nothing())
}
