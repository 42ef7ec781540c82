//! Takes an engine away.
//!
//! | step | do | undo |
//! |---|---|---|
//! | look | look at everything again | nothing: that is of this job only |
//! | stop | wait for statements that run, and stop its instance | start it again |
//! | clear | end the process on its endpoint, remove what it keeps | never: it is gone |

use backout_core::outcome::Outcome;
use backout_jobs::{Commit, Done, Procedure, Step, StepContext, StepError, Undo};

use super::{ChangeInput, drive, look, settle};
use crate::runtime::Runtime;

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
    super::clear(&procedure.0, ctx, &input.engine).await?;
    Ok(Done::nothing())
}
