//! Stops a server and starts it again.
//!
//! | step | do | undo |
//! |---|---|---|
//! | stop | stop it the way that was asked for | start it again |
//! | start | start it | none: what the undo of stop wants is that it runs |

use backout_core::outcome::Outcome;
use backout_jobs::{Commit, Done, Procedure, Step, StepContext, StepError, Undo};

use super::{PowerInput, Runtime, power_change};
use crate::model::Power;

/// The procedure.
#[derive(Clone, Debug)]
pub struct RebootServer(pub Runtime);

const STEPS: &[Step<RebootServer>] = &[
    Step {
        name: "stop",
        does: "stop the server",
        run: |p, ctx| Box::pin(stop(p, ctx)),
        undo: Undo::By {
            does: "start the server again",
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

impl Procedure for RebootServer {
    fn name(&self) -> &'static str {
        "servers.reboot"
    }

    fn steps(&self) -> &[Step<Self>] {
        STEPS
    }

    fn settle(&self, ctx: &StepContext, outcome: Outcome, _failure: Option<&StepError>) -> Commit {
        power_change::settle(ctx, outcome, Power::Running)
    }
}

async fn stop(procedure: &RebootServer, ctx: &StepContext) -> Result<Done, StepError> {
    let input: PowerInput = ctx.input()?;
    power_change::stop(&procedure.0, ctx, &input.server, input.how).await?;
    Ok(Done::nothing())
}

async fn start(procedure: &RebootServer, ctx: &StepContext) -> Result<Done, StepError> {
    let input: PowerInput = ctx.input()?;
    power_change::start(&procedure.0, ctx, &input.server).await?;
    Ok(Done::nothing())
}
