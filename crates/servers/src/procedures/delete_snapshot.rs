//! Deletes restore points of one disk.
//!
//! | step | do | undo |
//! |---|---|---|
//! | retire | move the restore points out of the way | move them back |
//! | purge | remove them for good, with the layers that nothing needs any more | none: from its intent on the job goes forward only |

use backout_core::ids::PointId;
use backout_core::outcome::Outcome;
use backout_disks::Point;
use backout_jobs::{Commit, Done, Procedure, Step, StepContext, StepError, Undo};
use serde::{Deserialize, Serialize};

use super::on_disk;
use crate::model::{Subject, Volume};
use crate::persistence;

/// The procedure.
#[derive(Clone, Copy, Debug, Default)]
pub struct DeleteSnapshot;

/// What it is told.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DeleteInput {
    /// Whose disk it is.
    pub subject: Subject,
    /// The disk.
    pub disk: Volume,
    /// The snapshots, with their files.
    pub snapshots: Vec<(PointId, Option<Point>)>,
}

impl DeleteInput {
    fn points(&self) -> Vec<Point> {
        self.snapshots
            .iter()
            .filter_map(|(_, point)| point.clone())
            .collect()
    }
}

const STEPS: &[Step<DeleteSnapshot>] = &[
    Step {
        name: "retire",
        does: "move the restore points out of the way",
        run: |_, ctx| Box::pin(retire(ctx)),
        undo: Undo::By {
            does: "move the restore points back",
            run: |_, ctx| Box::pin(unretire(ctx)),
        },
    },
    Step {
        name: "purge",
        does: "remove them for good, with the layers that nothing needs any more",
        run: |_, ctx| Box::pin(purge(ctx)),
        undo: Undo::Never,
    },
];

impl Procedure for DeleteSnapshot {
    fn name(&self) -> &'static str {
        "servers.delete_snapshot"
    }

    fn steps(&self) -> &[Step<Self>] {
        STEPS
    }

    fn settle(&self, ctx: &StepContext, outcome: Outcome, _failure: Option<&StepError>) -> Commit {
        let input = ctx.input::<DeleteInput>();
        Box::new(move |tx| {
            let Ok(input) = input else { return Ok(()) };
            for (id, _) in &input.snapshots {
                match outcome {
                    Outcome::Applied => persistence::delete_snapshot(tx, id)?,
                    Outcome::Reverted => persistence::end_snapshot_operation(tx, id, None)?,
                    Outcome::Held => {}
                }
            }
            Ok(())
        })
    }
}

async fn retire(ctx: &StepContext) -> Result<Done, StepError> {
    let input: DeleteInput = ctx.input()?;
    let points = input.points();
    on_disk(ctx, &input.disk, move |driver, guard, disk, _| {
        for point in &points {
            driver.retire(guard, disk, point)?;
        }
        Ok(())
    })
    .await?;
    Ok(Done::nothing())
}

async fn unretire(ctx: &StepContext) -> Result<Done, StepError> {
    let input: DeleteInput = ctx.input()?;
    let points = input.points();
    on_disk(ctx, &input.disk, move |driver, guard, disk, _| {
        // Last out, first back: a layer returns before what is built on it.
        for point in points.iter().rev() {
            driver.unretire(guard, disk, point)?;
        }
        Ok(())
    })
    .await?;
    Ok(Done::nothing())
}

async fn purge(ctx: &StepContext) -> Result<Done, StepError> {
    let input: DeleteInput = ctx.input()?;
    let (subject, gone) = (input.subject.clone(), input.snapshots.clone());
    let live = ctx
        .store
        .read(move |tx| {
            let all = persistence::points_of(tx, &subject)?;
            let live = all
                .into_iter()
                .filter(|(id, _)| gone.iter().all(|(g, _)| g != id));
            Ok::<Vec<Point>, backout_store::Error>(live.map(|(_, point)| point).collect())
        })
        .await?;
    let points = input.points();
    on_disk(ctx, &input.disk, move |driver, guard, disk, _| {
        for point in &points {
            driver.purge(guard, disk, point, &live)?;
        }
        Ok(())
    })
    .await?;
    Ok(Done::nothing())
}
