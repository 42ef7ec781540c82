//! Gives a server back: it is stopped, and waits to be terminated.
//!
//! | step | do | undo |
//! |---|---|---|
//! | stop | stop it, if it runs: by the power button, and by force when it does not obey | start it again, if it ran |
//!
//! Data disks that are to go to others are let go with the outcome.

use backout_core::ids::{DiskId, InstanceId};
use backout_core::outcome::Outcome;
use backout_core::time::Timestamp;
use backout_jobs::{Commit, Done, Procedure, Step, StepContext, StepError, Undo};
use backout_machines::Stop;
use serde::{Deserialize, Serialize};

use super::{Member, Runtime, power_change, server, settle_server};
use crate::model::{DiskState, Power};
use crate::{persistence, power};

/// The procedure.
#[derive(Clone, Debug)]
pub struct IsolateServer(pub Runtime);

/// What it is told.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct IsolateInput {
    /// The server.
    pub server: InstanceId,
    /// What its state was, to go back to.
    pub was: Power,
    /// The data disks that are detached from it.
    pub detach: Vec<DiskId>,
    /// When it was asked for.
    pub asked: Timestamp,
    /// As in [`super::PowerInput`].
    #[serde(default)]
    pub batch: Vec<Member>,
}

const STEPS: &[Step<IsolateServer>] = &[Step {
    name: "stop",
    does: "stop the server, if it runs",
    run: |p, ctx| Box::pin(stop(p, ctx)),
    undo: Undo::By {
        does: "start the server again, if it ran",
        run: |p, ctx| Box::pin(unstop(p, ctx)),
    },
}];

impl Procedure for IsolateServer {
    fn name(&self) -> &'static str {
        "servers.isolate"
    }

    fn steps(&self) -> &[Step<Self>] {
        STEPS
    }

    fn settle(&self, ctx: &StepContext, outcome: Outcome, _failure: Option<&StepError>) -> Commit {
        let input = ctx.input::<IsolateInput>();
        Box::new(move |tx| {
            let Ok(input) = input else { return Ok(()) };
            let server = &input.server;
            match outcome {
                Outcome::Applied => {
                    persistence::set_power(tx, server, Power::Isolated)?;
                    persistence::set_isolated(tx, server, Some(input.asked))?;
                    for disk in &input.detach {
                        persistence::set_attachment(tx, disk, None, DiskState::Unattached)?;
                    }
                }
                Outcome::Reverted => persistence::set_power(tx, server, input.was)?,
                Outcome::Held => {}
            }
            settle_server(tx, server, outcome)
        })
    }
}

/// A machine that should be off is looked at as well: nobody would look at it
/// later.
async fn stop(procedure: &IsolateServer, ctx: &StepContext) -> Result<Done, StepError> {
    let input: IsolateInput = ctx.input()?;
    let server = server(ctx, &input.server).await?;
    if input.was == Power::Running || server.machine.is_some() {
        power::stop(&procedure.0, ctx, &server, Stop::SoftFirst).await?;
    }
    Ok(Done::nothing())
}

async fn unstop(procedure: &IsolateServer, ctx: &StepContext) -> Result<Done, StepError> {
    let input: IsolateInput = ctx.input()?;
    if input.was == Power::Running {
        power_change::start(&procedure.0, ctx, &input.server).await?;
    }
    Ok(Done::nothing())
}
