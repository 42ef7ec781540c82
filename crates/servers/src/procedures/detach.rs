//! Takes data disks from a server.
//!
//! | step | do | undo |
//! |---|---|---|
//! | unplug | unplug the disks from the server's machine, if that runs; a guest that does not let go fails the step | plug them in again |
//!
//! The machine cannot be asked to forget that a disk was to go. So after a
//! failure the disks are attached, and plugged in, but a guest that then resets
//! itself comes back without them, until the server is rebooted, or stopped and
//! started, from here; the error says so.

use backout_core::outcome::Outcome;
use backout_jobs::{Commit, Done, Procedure, Step, StepContext, StepError, Undo};

use super::attach::{AttachInput, plug, refuse_running, unplug};
use super::{Runtime, server, settle};
use crate::model::{DiskState, Subject};
use crate::persistence;

/// The procedure. It is told an [`AttachInput`].
#[derive(Clone, Debug)]
pub struct Detach(pub Runtime);

const STEPS: &[Step<Detach>] = &[Step {
    name: "unplug",
    does: "unplug the disks from the server's machine, if it runs",
    run: |p, ctx| Box::pin(let_go(&p.0, ctx)),
    undo: Undo::By {
        does: "plug them in again",
        run: |p, ctx| Box::pin(take_back(&p.0, ctx)),
    },
}];

impl Procedure for Detach {
    fn name(&self) -> &'static str {
        "servers.detach"
    }

    fn steps(&self) -> &[Step<Self>] {
        STEPS
    }

    fn settle(&self, ctx: &StepContext, outcome: Outcome, _failure: Option<&StepError>) -> Commit {
        let input = ctx.input::<AttachInput>();
        Box::new(move |tx| {
            let Ok(input) = input else { return Ok(()) };
            for disk in &input.disks {
                let (id, owner) = (&disk.id, Some(&input.server));
                match outcome {
                    Outcome::Applied => {
                        persistence::set_attachment(tx, id, None, DiskState::Unattached)?;
                    }
                    Outcome::Reverted => {
                        persistence::set_attachment(tx, id, owner, DiskState::Attached)?;
                    }
                    Outcome::Held => {}
                }
                settle(tx, &Subject::Disk(id.clone()), outcome)?;
            }
            Ok(())
        })
    }
}

async fn let_go(runtime: &Runtime, ctx: &StepContext) -> Result<Done, StepError> {
    let input: AttachInput = ctx.input()?;
    let server = server(ctx, &input.server).await?;
    if server.machine.is_none() {
        refuse_running(ctx, &server, input.disks, "detach").await?;
    }
    unplug(runtime, ctx).await
}

async fn take_back(runtime: &Runtime, ctx: &StepContext) -> Result<Done, StepError> {
    let input: AttachInput = ctx.input()?;
    if server(ctx, &input.server).await?.machine.is_none() {
        // It was never let go.
        return Ok(Done::nothing());
    }
    plug(runtime, ctx).await
}
