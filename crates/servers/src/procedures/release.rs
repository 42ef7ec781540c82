//! Takes a disk out of management.
//!
//! | step | do | undo |
//! |---|---|---|
//! | forget | none: the rows of the server and of its snapshots go with the outcome, no file is touched | none |

use backout_core::ids::InstanceId;
use backout_core::outcome::Outcome;
use backout_jobs::{Commit, Done, Procedure, Step, StepContext, StepError, Undo};
use serde::{Deserialize, Serialize};

use super::settle_server;
use crate::persistence;

/// The procedure.
#[derive(Clone, Copy, Debug, Default)]
pub struct Release;

/// What it is told.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ReleaseInput {
    /// The server.
    pub server: InstanceId,
}

const STEPS: &[Step<Release>] = &[Step {
    name: "forget",
    does: "forget the server and its snapshots; the disk and its restore points stay where they are",
    run: |_, ctx| Box::pin(forget(ctx)),
    undo: Undo::Nothing,
}];

impl Procedure for Release {
    fn name(&self) -> &'static str {
        "servers.release"
    }

    fn steps(&self) -> &[Step<Self>] {
        STEPS
    }

    fn settle(&self, ctx: &StepContext, outcome: Outcome, _failure: Option<&StepError>) -> Commit {
        let input = ctx.input::<ReleaseInput>();
        Box::new(move |tx| match (input, outcome) {
            (Ok(input), Outcome::Applied) => persistence::delete_server(tx, &input.server),
            (Ok(input), Outcome::Reverted | Outcome::Held) => {
                settle_server(tx, &input.server, outcome)
            }
            (Err(_), _) => Ok(()),
        })
    }
}

/// Until the outcome is written the server can still be kept.
async fn forget(ctx: &StepContext) -> Result<Done, StepError> {
    ctx.input::<ReleaseInput>()?;
    Ok(Done::nothing())
}
