//! Isolates an instance: nobody uses it any more, but nothing of it is gone.
//!
//! | step | do | undo |
//! |---|---|---|
//! | follow | follow its history no longer | follow it again |
//! | stop | stop a server that we run; one that others run is left alone | start it |
//!
//! Its history is not followed while it is isolated; what a server writes
//! meanwhile is caught up with when it is brought back, as far as the server
//! still has it.

use backout_core::ids::DatabaseId;
use backout_core::outcome::Outcome;
use backout_core::time::{Clock as _, SystemClock};
use backout_jobs::{Commit, Done, Procedure, Step, StepContext, StepError, Undo};
use serde::{Deserialize, Serialize};

use super::{managed, settle_task, under_lock};
use crate::model::{InstanceState, Kind};
use crate::runtime::Runtime;
use crate::{follower, persistence};

/// The procedure.
#[derive(Clone, Debug)]
pub struct Isolate(pub Runtime);

/// What it is told.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct IsolateInput {
    /// The instance.
    pub instance: DatabaseId,
    /// Who runs its server.
    pub kind: Kind,
}

const STEPS: &[Step<Isolate>] = &[
    Step {
        name: "follow",
        does: "follow its history no longer",
        run: |p, ctx| Box::pin(unfollow(p, ctx)),
        undo: Undo::By {
            does: "follow it again",
            run: |p, ctx| Box::pin(follow(p, ctx)),
        },
    },
    Step {
        name: "stop",
        does: "stop the server, when it is ours to run",
        run: |p, ctx| Box::pin(stop(p, ctx)),
        undo: Undo::By {
            does: "start the server",
            run: |p, ctx| Box::pin(start(p, ctx)),
        },
    },
];

impl Procedure for Isolate {
    fn name(&self) -> &'static str {
        "databases.isolate"
    }

    fn steps(&self) -> &[Step<Self>] {
        STEPS
    }

    fn settle(&self, ctx: &StepContext, outcome: Outcome, failure: Option<&StepError>) -> Commit {
        let input = ctx.input::<IsolateInput>();
        let now = SystemClock.now();
        let task = settle_task(ctx, outcome, failure, |_| {});
        Box::new(move |tx| {
            if let Ok(IsolateInput { instance, .. }) = input {
                match outcome {
                    Outcome::Applied => {
                        persistence::set_state(tx, &instance, InstanceState::Isolated)?;
                        persistence::set_isolated(tx, &instance, Some(now))?;
                    }
                    Outcome::Reverted => {
                        persistence::set_state(tx, &instance, InstanceState::Running)?;
                    }
                    Outcome::Held => {}
                }
            }
            task(tx)
        })
    }
}

async fn unfollow(procedure: &Isolate, ctx: &StepContext) -> Result<Done, StepError> {
    let input: IsolateInput = ctx.input()?;
    let home = procedure.0.home(&input.instance);
    under_lock(ctx, &procedure.0, &input.instance, move |_| {
        follower::forbid(&home)
    })
    .await?;
    Ok(Done::nothing())
}

async fn follow(procedure: &Isolate, ctx: &StepContext) -> Result<Done, StepError> {
    let input: IsolateInput = ctx.input()?;
    let home = procedure.0.home(&input.instance);
    under_lock(ctx, &procedure.0, &input.instance, move |_| {
        follower::allow(&home)
    })
    .await?;
    Ok(Done::nothing())
}

async fn stop(procedure: &Isolate, ctx: &StepContext) -> Result<Done, StepError> {
    let input: IsolateInput = ctx.input()?;
    if input.kind == Kind::Managed {
        managed::stop(&procedure.0, ctx, &input.instance).await?;
    }
    Ok(Done::nothing())
}

async fn start(procedure: &Isolate, ctx: &StepContext) -> Result<Done, StepError> {
    let input: IsolateInput = ctx.input()?;
    if input.kind == Kind::Managed {
        managed::start(&procedure.0, ctx, &input.instance).await?;
    }
    Ok(Done::nothing())
}
