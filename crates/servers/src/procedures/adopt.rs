//! Takes an existing image file under management, in place.
//!
//! | step | do | undo |
//! |---|---|---|
//! | adopt | make the folder for restore points; put a raw head under an overlay, when the qcow2 driver was asked for | make the head what it was |

use backout_core::ids::InstanceId;
use backout_core::outcome::Outcome;
use backout_disks::{Adopted, Name};
use backout_jobs::{Commit, Done, Procedure, Step, StepContext, StepError, Undo};
use serde::{Deserialize, Serialize};

use super::{disk_error, on_disk, settle_server};
use crate::model::{Power, Volume};
use crate::persistence;

/// The procedure.
#[derive(Clone, Copy, Debug, Default)]
pub struct Adopt;

/// What it is told.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AdoptInput {
    /// The server, whose row is there already.
    pub server: InstanceId,
    /// Its disk, with the format of the user's file.
    pub disk: Volume,
    /// Whether it is to be taken as running.
    pub running: bool,
}

const STEPS: &[Step<Adopt>] = &[Step {
    name: "adopt",
    does: "make the folder for restore points beside the disk, and the head what the driver needs",
    run: |_, ctx| Box::pin(adopt(ctx)),
    undo: Undo::By {
        does: "make the head what it was",
        run: |_, ctx| Box::pin(unadopt(ctx)),
    },
}];

impl Procedure for Adopt {
    fn name(&self) -> &'static str {
        "servers.adopt"
    }

    fn steps(&self) -> &[Step<Self>] {
        STEPS
    }

    fn settle(&self, ctx: &StepContext, outcome: Outcome, _failure: Option<&StepError>) -> Commit {
        let input = ctx.input::<AdoptInput>();
        let adopted = ctx.output::<Adopted>("adopt");
        Box::new(move |tx| {
            let Ok(input) = input else { return Ok(()) };
            match outcome {
                Outcome::Applied => {
                    if let Ok(Some(adopted)) = adopted {
                        let disk = Volume {
                            format: adopted.disk.format,
                            size_bytes: adopted.head.size_bytes,
                            ..input.disk
                        };
                        persistence::update_disk(tx, &disk)?;
                    }
                    let power = if input.running {
                        Power::Running
                    } else {
                        Power::Stopped
                    };
                    persistence::set_power(tx, &input.server, power)?;
                    settle_server(tx, &input.server, outcome)
                }
                Outcome::Reverted => persistence::delete_server(tx, &input.server),
                Outcome::Held => settle_server(tx, &input.server, outcome),
            }
        })
    }
}

fn layer(input: &AdoptInput) -> Result<Name, StepError> {
    Name::new(format!("base-{}", input.disk.id)).map_err(disk_error)
}

async fn adopt(ctx: &StepContext) -> Result<Done, StepError> {
    let input: AdoptInput = ctx.input()?;
    let layer = layer(&input)?;
    let adopted = on_disk(ctx, &input.disk, move |driver, guard, disk, _| {
        driver.adopt(guard, disk, &layer)
    })
    .await?;
    Done::remember(&adopted)
}

async fn unadopt(ctx: &StepContext) -> Result<Done, StepError> {
    let input: AdoptInput = ctx.input()?;
    let layer = layer(&input)?;
    on_disk(ctx, &input.disk, move |driver, guard, disk, progress| {
        driver.unadopt(guard, disk, &layer, progress)
    })
    .await?;
    Ok(Done::nothing())
}
