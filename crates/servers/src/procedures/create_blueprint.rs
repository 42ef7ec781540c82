//! Makes an image of a server's system disk.
//!
//! | step | do | undo |
//! |---|---|---|
//! | stop | stop the server, if it runs: by the power button, and by force when it does not obey | start it again |
//! | export | write what the disk holds to one image file, while nobody can change it | remove that |
//! | start | start the server, if it was stopped for this | stop it again |
//!
//! The server is off for as long as the export takes, so that the image holds
//! what a guest has written out, and no half of it. When all is taken back the
//! row stays, as that of an image that could not be made.

use std::path::PathBuf;

use backout_core::code::Code;
use backout_core::ids::{BlueprintId, InstanceId};
use backout_core::outcome::Outcome;
use backout_disks::{ExportFacts, Format, Name};
use backout_jobs::{Commit, Done, Procedure, Step, StepContext, StepError, Undo};
use backout_machines::Stop;
use serde::{Deserialize, Serialize};

use super::{Runtime, disk_error, on_disk, power_change, settle_server, under_lock};
use crate::model::{BlueprintState, Power, Volume};
use crate::persistence;
use crate::preflight::{holder_names, writers};

/// The procedure.
#[derive(Clone, Debug)]
pub struct CreateBlueprint(pub Runtime);

/// What it is told.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CreateBlueprintInput {
    /// The server.
    pub server: InstanceId,
    /// Its system disk.
    pub disk: Volume,
    /// The image, whose row is there already.
    pub blueprint: BlueprintId,
    /// The file to write.
    pub file: PathBuf,
    /// Its format.
    pub format: Format,
    /// Whether the server runs, and so is stopped and started.
    pub stop: bool,
}

const STEPS: &[Step<CreateBlueprint>] = &[
    Step {
        name: "stop",
        does: "stop the server, if it runs",
        run: |p, ctx| Box::pin(stop(p, ctx)),
        undo: Undo::By {
            does: "start the server again, if it ran",
            run: |p, ctx| Box::pin(start(p, ctx)),
        },
    },
    Step {
        name: "export",
        does: "write what the disk holds to one image file",
        run: |_, ctx| Box::pin(export(ctx)),
        undo: Undo::By {
            does: "remove the image file",
            run: |_, ctx| Box::pin(unexport(ctx)),
        },
    },
    Step {
        name: "start",
        does: "start the server, if it ran",
        run: |p, ctx| Box::pin(start(p, ctx)),
        undo: Undo::By {
            does: "stop the server again, if it was started",
            run: |p, ctx| Box::pin(stop(p, ctx)),
        },
    },
];

impl Procedure for CreateBlueprint {
    fn name(&self) -> &'static str {
        "servers.create_blueprint"
    }

    fn steps(&self) -> &[Step<Self>] {
        STEPS
    }

    fn settle(&self, ctx: &StepContext, outcome: Outcome, _failure: Option<&StepError>) -> Commit {
        let input = ctx.input::<CreateBlueprintInput>();
        let exported = ctx.output::<ExportFacts>("export");
        Box::new(move |tx| {
            let Ok(input) = input else { return Ok(()) };
            let state = match outcome {
                Outcome::Applied => BlueprintState::Normal,
                Outcome::Reverted => BlueprintState::Failed,
                Outcome::Held => BlueprintState::Creating,
            };
            let size_bytes = match exported {
                Ok(Some(facts)) => facts.size_bytes,
                _ => input.disk.size_bytes,
            };
            persistence::set_blueprint_state(tx, &input.blueprint, state, size_bytes)?;
            settle_server(tx, &input.server, outcome)
        })
    }
}

async fn stop(procedure: &CreateBlueprint, ctx: &StepContext) -> Result<Done, StepError> {
    let input: CreateBlueprintInput = ctx.input()?;
    if !input.stop {
        return Ok(Done::nothing());
    }
    power_change::stop(&procedure.0, ctx, &input.server, Stop::SoftFirst).await?;
    Ok(Done::nothing().with(move |tx| persistence::set_power(tx, &input.server, Power::Stopped)))
}

async fn start(procedure: &CreateBlueprint, ctx: &StepContext) -> Result<Done, StepError> {
    let input: CreateBlueprintInput = ctx.input()?;
    if !input.stop {
        return Ok(Done::nothing());
    }
    power_change::start(&procedure.0, ctx, &input.server).await?;
    Ok(Done::nothing().with(move |tx| persistence::set_power(tx, &input.server, Power::Running)))
}

fn mark(input: &CreateBlueprintInput) -> Result<Name, StepError> {
    Name::new(input.blueprint.as_str()).map_err(disk_error)
}

async fn export(ctx: &StepContext) -> Result<Done, StepError> {
    let input: CreateBlueprintInput = ctx.input()?;
    let (mark, file, format) = (mark(&input)?, input.file, input.format);
    let driver = backout_disks::driver(input.disk.driver);
    let facts = under_lock(ctx, &input.disk, move |guard, disk, progress| {
        // Whoever began to use it since it was looked at would leave half of
        // what it writes in the image.
        let holders = writers(&disk.head).map_err(disk_error)?;
        if !holders.is_empty() {
            return Err(StepError::failed(
                Code::DiskInUse,
                format!(
                    "make an image of {}: it is open in {}; stop that first",
                    disk.head.display(),
                    holder_names(&holders)
                ),
            ));
        }
        driver
            .export(guard, disk, &file, format, &mark, progress)
            .map_err(disk_error)
    })
    .await?;
    Done::remember(&facts)
}

async fn unexport(ctx: &StepContext) -> Result<Done, StepError> {
    let input: CreateBlueprintInput = ctx.input()?;
    let (mark, file) = (mark(&input)?, input.file);
    on_disk(ctx, &input.disk, move |driver, guard, disk, _| {
        driver.unexport(guard, disk, &file, &mark)
    })
    .await?;
    Ok(Done::nothing())
}
