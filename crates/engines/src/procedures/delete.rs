//! Takes an engine away.
//!
//! | step | do | undo |
//! |---|---|---|
//! | look | look at everything again | nothing: that is of this job only |
//! | stop | wait for statements that run, and stop its instance | start it again |
//! | clear | end the process on its endpoint, remove what it keeps | never: it is gone |

use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;

use backout_core::code::Code;
use backout_core::outcome::Outcome;
use backout_jobs::{Commit, Done, Procedure, Step, StepContext, StepError, Undo};

use super::{ChangeInput, drive, gateway, look, settle};
use crate::runtime::Runtime;

/// How long the process on the endpoint may take to end: nobody has anything
/// under way there.
const GATEWAY_PATIENCE: Duration = Duration::from_secs(5);

/// The procedure.
#[derive(Clone, Debug)]
pub struct DeleteEngine(pub Runtime);

const STEPS: &[Step<DeleteEngine>] = &[
    Step {
        name: "look",
        does: "look at everything again",
        run: |p, ctx| Box::pin(look(&p.0, ctx)),
        undo: Undo::Nothing,
    },
    Step {
        name: "stop",
        does: "stop its instance",
        run: |p, ctx| Box::pin(drive::forward(&p.0, ctx)),
        undo: Undo::By {
            does: "start it again",
            run: |p, ctx| Box::pin(drive::back(&p.0, ctx)),
        },
    },
    Step {
        name: "clear",
        does: "end the process on its endpoint, remove what it keeps",
        run: |p, ctx| Box::pin(clear(p, ctx)),
        undo: Undo::Never,
    },
];

impl Procedure for DeleteEngine {
    fn name(&self) -> &'static str {
        "engines.delete"
    }

    fn steps(&self) -> &[Step<Self>] {
        STEPS
    }

    fn settle(&self, ctx: &StepContext, outcome: Outcome, failure: Option<&StepError>) -> Commit {
        settle(ctx, outcome, failure)
    }
}

async fn clear(procedure: &DeleteEngine, ctx: &StepContext) -> Result<Done, StepError> {
    let input: ChangeInput = ctx.input()?;
    let runtime = &procedure.0;
    let client = runtime.gateway(&input.engine).map_err(gateway)?;
    client.stop(GATEWAY_PATIENCE).await.map_err(gateway)?;
    let folders = [
        runtime.gateway_folder(&input.engine),
        runtime.data(&input.engine),
    ];
    ctx.blocking(move || folders.iter().try_for_each(|folder| remove(folder)))
        .await?;
    Ok(Done::nothing())
}

fn remove(folder: &Path) -> Result<(), StepError> {
    match std::fs::remove_dir_all(folder) {
        Err(e) if e.kind() != ErrorKind::NotFound => Err(StepError::again(
            Code::InstanceIo,
            format!("remove {folder:?}: {e}"),
        )),
        _ => Ok(()),
    }
}
