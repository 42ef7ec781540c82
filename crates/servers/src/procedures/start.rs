//! Starts a server.
//!
//! | step | do | undo |
//! |---|---|---|
//! | start | start it; nothing, when it runs | stop it by force |

use backout_core::outcome::Outcome;
use backout_jobs::{Commit, Done, Procedure, Step, StepContext, StepError, Undo};
use backout_machines::Stop;

use super::{PowerInput, Runtime, power_change};
use crate::model::Power;

/// The procedure.
#[derive(Clone, Debug)]
pub struct StartServer(pub Runtime);

const STEPS: &[Step<StartServer>] = &[Step {
    name: "start",
    does: "start the server",
    run: |p, ctx| Box::pin(start(p, ctx)),
    undo: Undo::By {
        does: "stop the server by force",
        run: |p, ctx| Box::pin(unstart(p, ctx)),
    },
}];

impl Procedure for StartServer {
    fn name(&self) -> &'static str {
        "servers.start"
    }

    fn steps(&self) -> &[Step<Self>] {
        STEPS
    }

    fn settle(&self, ctx: &StepContext, outcome: Outcome, _failure: Option<&StepError>) -> Commit {
        power_change::settle(ctx, outcome, Power::Running)
    }
}

async fn start(procedure: &StartServer, ctx: &StepContext) -> Result<Done, StepError> {
    let input: PowerInput = ctx.input()?;
    power_change::start(&procedure.0, ctx, &input.server).await?;
    Ok(Done::nothing())
}

async fn unstart(procedure: &StartServer, ctx: &StepContext) -> Result<Done, StepError> {
    let input: PowerInput = ctx.input()?;
    // It has only just begun: there is nothing in it that could be lost.
    power_change::stop(&procedure.0, ctx, &input.server, Stop::Hard).await?;
    Ok(Done::nothing())
}
