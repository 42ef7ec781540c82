//! Takes a data disk out of management.
//!
//! | step | do | undo |
//! |---|---|---|
//! | look | make sure that nobody writes to a file that is to go | none: nothing is changed |
//! | destroy | remove the file, when Backout made it, and its restore points; a file of the user's stays, with the restore points beside it | none: from its intent on the job goes forward only |
//!
//! The rows of the disk and of its restore points go with the outcome.

use backout_core::code::Code;
use backout_core::outcome::Outcome;
use backout_jobs::{Commit, Done, Procedure, Step, StepContext, StepError, Undo};
use serde::{Deserialize, Serialize};

use super::{disk_error, settle};
use crate::model::{Subject, Volume};
use crate::persistence;
use crate::preflight::{holder_names, writers};

/// The procedure.
#[derive(Clone, Copy, Debug, Default)]
pub struct RemoveDisk;

/// What it is told.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RemoveDiskInput {
    /// The disk.
    pub disk: Volume,
    /// Whether Backout made its file.
    pub made: bool,
}

const STEPS: &[Step<RemoveDisk>] = &[
    Step {
        name: "look",
        does: "make sure that nobody writes to a file that is to go",
        run: |_, ctx| Box::pin(look(ctx)),
        undo: Undo::Nothing,
    },
    Step {
        name: "destroy",
        does: "remove the file and its restore points, if the file was made here; one that was brought stays as it is",
        run: |_, ctx| Box::pin(destroy(ctx)),
        undo: Undo::Never,
    },
];

impl Procedure for RemoveDisk {
    fn name(&self) -> &'static str {
        "servers.remove_disk"
    }

    fn steps(&self) -> &[Step<Self>] {
        STEPS
    }

    fn settle(&self, ctx: &StepContext, outcome: Outcome, _failure: Option<&StepError>) -> Commit {
        let input = ctx.input::<RemoveDiskInput>();
        Box::new(move |tx| match (input, outcome) {
            (Ok(input), Outcome::Applied) => persistence::delete_disk(tx, &input.disk.id),
            (Ok(input), Outcome::Reverted | Outcome::Held) => {
                settle(tx, &Subject::Disk(input.disk.id), outcome)
            }
            (Err(_), _) => Ok(()),
        })
    }
}

async fn look(ctx: &StepContext) -> Result<Done, StepError> {
    let input: RemoveDiskInput = ctx.input()?;
    if !input.made {
        return Ok(Done::nothing());
    }
    ctx.blocking(move || {
        let path = &input.disk.head;
        let holders = match writers(path) {
            // Somebody was faster: what is left goes as well.
            Err(backout_disks::Error::Missing { .. }) => Vec::new(),
            other => other.map_err(disk_error)?,
        };
        if holders.is_empty() {
            return Ok(Done::nothing());
        }
        Err(StepError::failed(
            Code::DiskInUse,
            format!(
                "remove disk {} while it is open in {}: stop that first",
                path.display(),
                holder_names(&holders)
            ),
        ))
    })
    .await
}

async fn destroy(ctx: &StepContext) -> Result<Done, StepError> {
    let input: RemoveDiskInput = ctx.input()?;
    if !input.made {
        return Ok(Done::nothing());
    }
    let fence = ctx.fence;
    ctx.blocking(move || backout_disks::destroy(&input.disk.spec(), fence).map_err(disk_error))
        .await?;
    Ok(Done::nothing())
}
