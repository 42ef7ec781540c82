//! Restarts a server that we run.
//!
//! | step | do | undo |
//! |---|---|---|
//! | stop | stop the server | start it |
//! | start | start the server | none: that of the stop does the same |

use backout_core::ids::DatabaseId;
use backout_core::outcome::Outcome;
use backout_jobs::{Commit, Done, Procedure, Step, StepContext, StepError, Undo};
use serde::{Deserialize, Serialize};

use super::{managed, settle_task};
use crate::runtime::Runtime;

/// The procedure.
#[derive(Clone, Debug)]
pub struct Restart(pub Runtime);

/// What it is told.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RestartInput {
    /// The instance.
    pub instance: DatabaseId,
}

const STEPS: &[Step<Restart>] = &[
    Step {
        name: "stop",
        does: "stop the server",
        run: |p, ctx| Box::pin(stop(p, ctx)),
        undo: Undo::By {
            does: "start the server",
            run: |p, ctx| Box::pin(start(p, ctx)),
        },
    },
    Step {
        name: "start",
        does: "start the server",
        run: |p, ctx| Box::pin(start(p, ctx)),
        undo: Undo::Nothing,
    },
];

impl Procedure for Restart {
    fn name(&self) -> &'static str {
        "databases.restart"
    }

    fn steps(&self) -> &[Step<Self>] {
        STEPS
    }

    fn settle(&self, ctx: &StepContext, outcome: Outcome, failure: Option<&StepError>) -> Commit {
        settle_task(ctx, outcome, failure, |_| {})
    }
}

async fn stop(procedure: &Restart, ctx: &StepContext) -> Result<Done, StepError> {
    let input: RestartInput = ctx.input()?;
    managed::stop(&procedure.0, ctx, &input.instance).await?;
    Ok(Done::nothing())
}

async fn start(procedure: &Restart, ctx: &StepContext) -> Result<Done, StepError> {
    let input: RestartInput = ctx.input()?;
    managed::start(&procedure.0, ctx, &input.instance).await?;
    Ok(Done::nothing())
}
