//! Deletes an image.
//!
//! | step | do | undo |
//! |---|---|---|
//! | remove | remove the file, when Backout made it; a user's stays where it is | none: from its intent on the job goes forward only |
//!
//! The row goes with the outcome.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use backout_core::code::Code;
use backout_core::ids::BlueprintId;
use backout_core::outcome::Outcome;
use backout_jobs::{Commit, Done, Procedure, Step, StepContext, StepError, Undo};
use serde::{Deserialize, Serialize};

use crate::model::BlueprintState;
use crate::persistence;

/// The procedure.
#[derive(Clone, Copy, Debug, Default)]
pub struct DeleteBlueprint;

/// What it is told.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DeleteBlueprintInput {
    /// The image.
    pub blueprint: BlueprintId,
    /// Its file, when Backout made it.
    pub file: Option<PathBuf>,
    /// What its state was, to go back to.
    pub was: BlueprintState,
    /// Its virtual size, in bytes.
    pub size_bytes: u64,
}

const STEPS: &[Step<DeleteBlueprint>] = &[Step {
    name: "remove",
    does: "remove the image file, when Backout made it",
    run: |_, ctx| Box::pin(remove(ctx)),
    undo: Undo::Never,
}];

impl Procedure for DeleteBlueprint {
    fn name(&self) -> &'static str {
        "servers.delete_blueprint"
    }

    fn steps(&self) -> &[Step<Self>] {
        STEPS
    }

    fn settle(&self, ctx: &StepContext, outcome: Outcome, _failure: Option<&StepError>) -> Commit {
        let input = ctx.input::<DeleteBlueprintInput>();
        Box::new(move |tx| {
            let Ok(input) = input else { return Ok(()) };
            match outcome {
                Outcome::Applied => persistence::delete_blueprint(tx, &input.blueprint),
                Outcome::Reverted => persistence::set_blueprint_state(
                    tx,
                    &input.blueprint,
                    input.was,
                    input.size_bytes,
                ),
                Outcome::Held => Ok(()),
            }
        })
    }
}

/// Its name holds the image's id, so nothing else can have come there since: no
/// lock is needed to remove the right one.
async fn remove(ctx: &StepContext) -> Result<Done, StepError> {
    let input: DeleteBlueprintInput = ctx.input()?;
    if let Some(file) = input.file {
        ctx.blocking(move || unlink(&file)).await?;
    }
    Ok(Done::nothing())
}

fn unlink(file: &Path) -> Result<(), StepError> {
    let failed = |e: std::io::Error| {
        StepError::failed(
            Code::DiskIo,
            format!(
                "remove image {}: {e}; see to that, then try again",
                file.display()
            ),
        )
    };
    match std::fs::remove_file(file) {
        Ok(()) => {}
        Err(e) if e.kind() == ErrorKind::NotFound => {}
        Err(e) => return Err(failed(e)),
    }
    let Some(folder) = file.parent().filter(|f| f.exists()) else {
        return Ok(());
    };
    let folder = std::fs::File::open(folder).map_err(failed)?;
    folder.sync_all().map_err(failed)
}
