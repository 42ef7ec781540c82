//! Stops a server.
//!
//! | step | do | undo |
//! |---|---|---|
//! | stop | stop it the way that was asked for | start it again |

use backout_core::outcome::Outcome;
use backout_jobs::{Commit, Done, Procedure, Step, StepContext, StepError, Undo};

use super::{PowerInput, Runtime, power_change};
use crate::model::Power;

/// The procedure.
#[derive(Clone, Debug)]
pub struct StopServer(pub Runtime);

const STEPS: &[Step<StopServer>] = &[Step {
    name: "stop",
    does: "stop the server",
    run: |p, ctx| Box::pin(stop(p, ctx)),
    undo: Undo::By {
        does: "start the server again",
        run: |p, ctx| Box::pin(unstop(p, ctx)),
    },
}];

impl Procedure for StopServer {
    fn name(&self) -> &'static str {
        "servers.stop"
    }

    fn steps(&self) -> &[Step<Self>] {
        STEPS
    }

    fn settle(&self, ctx: &StepContext, outcome: Outcome, _failure: Option<&StepError>) -> Commit {
        power_change::settle(ctx, outcome, Power::Stopped)
    }
}

async fn stop(procedure: &StopServer, ctx: &StepContext) -> Result<Done, StepError> {
    let input: PowerInput = ctx.input()?;
    power_change::stop(&procedure.0, ctx, &input.server, input.how).await?;
    Ok(Done::nothing())
}

async fn unstop(procedure: &StopServer, ctx: &StepContext) -> Result<Done, StepError> {
    let input: PowerInput = ctx.input()?;
    power_change::start(&procedure.0, ctx, &input.server).await?;
    Ok(Done::nothing())
}
