//! Makes a server of an image.
//!
//! | step | do | undo |
//! |---|---|---|
//! | image | make the disk's file of the image, in a folder of its own | remove it |
//! | start | start the server | switch it off, and remove what its machine left |
//!
//! A disk that is made for its driver needs no adoption. When all is taken back
//! the row stays, as that of a server that could not be made, until somebody
//! terminates it: so whoever asked for it sees what became of it.

use std::path::PathBuf;

use backout_core::ids::InstanceId;
use backout_core::outcome::Outcome;
use backout_disks::{Format, Name};
use backout_jobs::{Commit, Done, Procedure, Step, StepContext, StepError, Undo};
use backout_machines::Stop;
use serde::{Deserialize, Serialize};

use super::{Member, Runtime, disk_error, power_change, server, settle_server, with_progress};
use crate::model::{Power, Volume};
use crate::{persistence, power};

/// The procedure.
#[derive(Clone, Debug)]
pub struct CreateServer(pub Runtime);

/// An image file that a disk is made of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageFile {
    /// Where it lies.
    pub file: PathBuf,
    /// How its bytes are to be read.
    pub format: Format,
}

/// What it is told.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CreateServerInput {
    /// The server, whose row is there already.
    pub server: InstanceId,
    /// The disk to make.
    pub disk: Volume,
    /// What it is made of.
    pub image: ImageFile,
    /// As in [`super::PowerInput`].
    #[serde(default)]
    pub batch: Vec<Member>,
}

const STEPS: &[Step<CreateServer>] = &[
    Step {
        name: "image",
        does: "make the disk of the image",
        run: |_, ctx| Box::pin(image(ctx)),
        undo: Undo::By {
            does: "remove the disk",
            run: |_, ctx| Box::pin(unimage(ctx)),
        },
    },
    Step {
        name: "start",
        does: "start the server",
        run: |p, ctx| Box::pin(start(p, ctx)),
        undo: Undo::By {
            does: "switch the server off",
            run: |p, ctx| Box::pin(unstart(p, ctx)),
        },
    },
];

impl Procedure for CreateServer {
    fn name(&self) -> &'static str {
        "servers.create"
    }

    fn steps(&self) -> &[Step<Self>] {
        STEPS
    }

    fn settle(&self, ctx: &StepContext, outcome: Outcome, _failure: Option<&StepError>) -> Commit {
        let input = ctx.input::<CreateServerInput>();
        Box::new(move |tx| {
            let Ok(input) = input else { return Ok(()) };
            match outcome {
                Outcome::Applied => persistence::set_power(tx, &input.server, Power::Running)?,
                Outcome::Reverted => {
                    persistence::set_power(tx, &input.server, Power::LaunchFailed)?;
                }
                Outcome::Held => {}
            }
            settle_server(tx, &input.server, outcome)
        })
    }
}

/// What marks the file as made by this job.
fn mark(input: &CreateServerInput) -> Result<Name, StepError> {
    Name::new(input.disk.id.as_str()).map_err(disk_error)
}

async fn image(ctx: &StepContext) -> Result<Done, StepError> {
    let input: CreateServerInput = ctx.input()?;
    let (mark, fence) = (mark(&input)?, ctx.fence);
    let disk = input.disk;
    let made = with_progress(ctx, move |progress| {
        let source = Some((input.image.file.as_path(), input.image.format));
        let (head, size_bytes) = (&disk.head, disk.size_bytes);
        backout_disks::make(
            head,
            disk.driver,
            source,
            size_bytes,
            &mark,
            fence,
            progress,
        )
    })
    .await?;
    Done::remember(&made)
}

async fn unimage(ctx: &StepContext) -> Result<Done, StepError> {
    let input: CreateServerInput = ctx.input()?;
    let (mark, fence) = (mark(&input)?, ctx.fence);
    with_progress(ctx, move |_| {
        backout_disks::unmake(&input.disk.head, input.disk.driver, &mark, fence)
    })
    .await?;
    Ok(Done::nothing())
}

async fn start(procedure: &CreateServer, ctx: &StepContext) -> Result<Done, StepError> {
    let input: CreateServerInput = ctx.input()?;
    power_change::start(&procedure.0, ctx, &input.server).await?;
    Ok(Done::nothing())
}

async fn unstart(procedure: &CreateServer, ctx: &StepContext) -> Result<Done, StepError> {
    let input: CreateServerInput = ctx.input()?;
    let server = server(ctx, &input.server).await?;
    power::stop(&procedure.0, ctx, &server, Stop::Hard).await?;
    power_change::forget(&procedure.0, ctx, &server).await?;
    Ok(Done::nothing())
}
