//! Brings an isolated instance back.
//!
//! | step | do | undo |
//! |---|---|---|
//! | start | start a server that we run; one that others run is looked at | stop it |
//! | follow | let its history be followed | no longer |

use backout_core::ids::DatabaseId;
use backout_core::outcome::Outcome;
use backout_jobs::{Commit, Done, Procedure, Step, StepContext, StepError, Undo};
use serde::{Deserialize, Serialize};

use super::{instance, managed, session, settle_task, under_lock};
use crate::model::{InstanceState, Kind};
use crate::runtime::Runtime;
use crate::{follower, persistence};

/// The procedure.
#[derive(Clone, Debug)]
pub struct Release(pub Runtime);

/// What it is told.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ReleaseInput {
    /// The instance.
    pub instance: DatabaseId,
    /// Who runs its server.
    pub kind: Kind,
}

const STEPS: &[Step<Release>] = &[
    Step {
        name: "start",
        does: "start the server; see that it answers, when others run it",
        run: |p, ctx| Box::pin(start(p, ctx)),
        undo: Undo::By {
            does: "stop the server",
            run: |p, ctx| Box::pin(stop(p, ctx)),
        },
    },
    Step {
        name: "follow",
        does: "let its history be followed",
        run: |p, ctx| Box::pin(follow(p, ctx)),
        undo: Undo::By {
            does: "let it be followed no longer",
            run: |p, ctx| Box::pin(unfollow(p, ctx)),
        },
    },
];

impl Procedure for Release {
    fn name(&self) -> &'static str {
        "databases.release"
    }

    fn steps(&self) -> &[Step<Self>] {
        STEPS
    }

    fn settle(&self, ctx: &StepContext, outcome: Outcome, failure: Option<&StepError>) -> Commit {
        let input = ctx.input::<ReleaseInput>();
        let task = settle_task(ctx, outcome, failure, |_| {});
        Box::new(move |tx| {
            if let (Ok(ReleaseInput { instance, .. }), Outcome::Applied) = (input, outcome) {
                persistence::set_state(tx, &instance, InstanceState::Running)?;
                persistence::set_isolated(tx, &instance, None)?;
            }
            task(tx)
        })
    }
}

async fn start(procedure: &Release, ctx: &StepContext) -> Result<Done, StepError> {
    let input: ReleaseInput = ctx.input()?;
    match input.kind {
        Kind::Managed => managed::start(&procedure.0, ctx, &input.instance).await?,
        Kind::Reached => {
            let (runtime, row) = (procedure.0.clone(), instance(ctx, &input.instance).await?);
            ctx.blocking(move || session(&runtime, &row)).await?;
        }
    }
    Ok(Done::nothing())
}

async fn stop(procedure: &Release, ctx: &StepContext) -> Result<Done, StepError> {
    let input: ReleaseInput = ctx.input()?;
    if input.kind == Kind::Managed {
        managed::stop(&procedure.0, ctx, &input.instance).await?;
    }
    Ok(Done::nothing())
}

async fn follow(procedure: &Release, ctx: &StepContext) -> Result<Done, StepError> {
    let input: ReleaseInput = ctx.input()?;
    let home = procedure.0.home(&input.instance);
    under_lock(ctx, &procedure.0, &input.instance, move |_| {
        follower::allow(&home)
    })
    .await?;
    Ok(Done::nothing())
}

async fn unfollow(procedure: &Release, ctx: &StepContext) -> Result<Done, StepError> {
    let input: ReleaseInput = ctx.input()?;
    let home = procedure.0.home(&input.instance);
    under_lock(ctx, &procedure.0, &input.instance, move |_| {
        follower::forbid(&home)
    })
    .await?;
    Ok(Done::nothing())
}
