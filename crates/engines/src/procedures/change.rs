//! Changes what an engine runs: it is made, switched, upgraded, rolled back,
//! modified, suspended, resumed, or started anew.
//!
//! | step | do | undo |
//! |---|---|---|
//! | look | look at everything again, and write down what runs and what is to run | nothing: that is of this job only |
//! | roll | start the new instance beside the old one, ask its health query, move the endpoint, wait for statements that run, stop the old one | go back to what ran: the old instance takes statements again, or one like it is started, and the new one is stopped |
//!
//! All of `roll` is done by the machine of `backout-rollout`, one replica of
//! which at least one stays ready where there is memory for two; see
//! [`super::drive`]. The row of the change is the safety record: it has all of
//! what ran before.

use backout_core::outcome::Outcome;
use backout_jobs::{Commit, Procedure, Step, StepContext, StepError, Undo};

use super::{drive, look, settle};
use crate::runtime::Runtime;

/// The procedure.
#[derive(Clone, Debug)]
pub struct ChangeEngine(pub Runtime);

const STEPS: &[Step<ChangeEngine>] = &[
    Step {
        name: "look",
        does: "look at everything again",
        run: |p, ctx| Box::pin(look(&p.0, ctx)),
        undo: Undo::Nothing,
    },
    Step {
        name: "roll",
        does: "start what is to run, move the endpoint, stop what ran",
        run: |p, ctx| Box::pin(drive::forward(&p.0, ctx)),
        undo: Undo::By {
            does: "go back to what ran",
            run: |p, ctx| Box::pin(drive::back(&p.0, ctx)),
        },
    },
];

impl Procedure for ChangeEngine {
    fn name(&self) -> &'static str {
        "engines.change"
    }

    fn steps(&self) -> &[Step<Self>] {
        STEPS
    }

    fn settle(&self, ctx: &StepContext, outcome: Outcome, failure: Option<&StepError>) -> Commit {
        settle(ctx, outcome, failure)
    }
}
