//! Removes a server that was given back, or that could not be made.
//!
//! | step | do | undo |
//! |---|---|---|
//! | stop | switch it off, should it run after all | none: a server that was given back does not run |
//! | destroy | remove the disk with its restore points, when Backout made it; a user's file stays with its own | none: from its intent on the job goes forward only |
//!
//! The rows of the server and of its restore points go with the outcome; its
//! data disks stand alone from then on.

use backout_core::ids::InstanceId;
use backout_core::outcome::Outcome;
use backout_jobs::{Commit, Done, Procedure, Step, StepContext, StepError, Undo};
use backout_machines::Stop;
use serde::{Deserialize, Serialize};

use super::{Member, Runtime, disk_error, power_change, server, settle_server};
use crate::model::Power;
use crate::persistence;

/// The procedure.
#[derive(Clone, Debug)]
pub struct TerminateServer(pub Runtime);

/// What it is told.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TerminateInput {
    /// The server.
    pub server: InstanceId,
    /// What its state was, to go back to.
    pub was: Power,
    /// As in [`super::PowerInput`].
    #[serde(default)]
    pub batch: Vec<Member>,
}

const STEPS: &[Step<TerminateServer>] = &[
    Step {
        name: "stop",
        does: "switch the server off, should it run after all",
        run: |p, ctx| Box::pin(stop(p, ctx)),
        undo: Undo::Nothing,
    },
    Step {
        name: "destroy",
        does: "remove the disk with its restore points, when Backout made it",
        run: |p, ctx| Box::pin(destroy(p, ctx)),
        undo: Undo::Never,
    },
];

impl Procedure for TerminateServer {
    fn name(&self) -> &'static str {
        "servers.terminate"
    }

    fn steps(&self) -> &[Step<Self>] {
        STEPS
    }

    fn settle(&self, ctx: &StepContext, outcome: Outcome, _failure: Option<&StepError>) -> Commit {
        let input = ctx.input::<TerminateInput>();
        Box::new(move |tx| {
            let Ok(input) = input else { return Ok(()) };
            match outcome {
                Outcome::Applied => return persistence::delete_server(tx, &input.server),
                Outcome::Reverted => persistence::set_power(tx, &input.server, input.was)?,
                Outcome::Held => {}
            }
            settle_server(tx, &input.server, outcome)
        })
    }
}

async fn stop(procedure: &TerminateServer, ctx: &StepContext) -> Result<Done, StepError> {
    let input: TerminateInput = ctx.input()?;
    // What could not be made has no disk, whose lock would be asked for.
    if input.was != Power::LaunchFailed {
        power_change::stop(&procedure.0, ctx, &input.server, Stop::Hard).await?;
    }
    Ok(Done::nothing())
}

async fn destroy(procedure: &TerminateServer, ctx: &StepContext) -> Result<Done, StepError> {
    let input: TerminateInput = ctx.input()?;
    let server = server(ctx, &input.server).await?;
    let (spec, fence) = (server.disk.spec(), ctx.fence);
    // The lock lies beside the disk; when its folder is gone, so is all that
    // was to be removed.
    if spec.head.parent().is_some_and(std::path::Path::exists) {
        power_change::forget(&procedure.0, ctx, &server).await?;
    }
    if server.made {
        ctx.blocking(move || backout_disks::destroy(&spec, fence).map_err(disk_error))
            .await?;
    }
    Ok(Done::nothing())
}
