//! Removes an isolated instance.
//!
//! | step | do | undo |
//! |---|---|---|
//! | stop | stop a server that we run, should it run after all | none: an isolated server does not run |
//! | destroy | remove a server's files when we made it, its history and its backups; history and backups stay when that was asked for, and what others run is never touched | none: from its intent on the job goes forward only |
//!
//! The rows of the instance and of its backups go with the outcome.

use backout_core::ids::DatabaseId;
use backout_core::outcome::Outcome;
use backout_jobs::{Commit, Done, Procedure, Step, StepContext, StepError, Undo};
use serde::{Deserialize, Serialize};

use super::{managed, settle_task, under_lock};
use crate::model::{InstanceState, Kind};
use crate::runtime::Runtime;
use crate::{files, follower, persistence};

/// The procedure.
#[derive(Clone, Debug)]
pub struct Remove(pub Runtime);

/// What it is told.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RemoveInput {
    /// The instance.
    pub instance: DatabaseId,
    /// Who runs its server.
    pub kind: Kind,
    /// Whether the files of its history and its backups stay.
    pub keep: bool,
}

const STEPS: &[Step<Remove>] = &[
    Step {
        name: "stop",
        does: "stop the server, should it be ours and run after all",
        run: |p, ctx| Box::pin(stop(p, ctx)),
        undo: Undo::Nothing,
    },
    Step {
        name: "destroy",
        does: "remove the files of a server that we made, its history and its backups",
        run: |p, ctx| Box::pin(destroy(p, ctx)),
        undo: Undo::Never,
    },
];

impl Procedure for Remove {
    fn name(&self) -> &'static str {
        "databases.remove"
    }

    fn steps(&self) -> &[Step<Self>] {
        STEPS
    }

    fn settle(&self, ctx: &StepContext, outcome: Outcome, failure: Option<&StepError>) -> Commit {
        let input = ctx.input::<RemoveInput>();
        let task = settle_task(ctx, outcome, failure, |_| {});
        Box::new(move |tx| {
            if let Ok(RemoveInput { instance, .. }) = input {
                match outcome {
                    Outcome::Applied => persistence::delete_instance(tx, &instance)?,
                    Outcome::Reverted => {
                        persistence::set_state(tx, &instance, InstanceState::Isolated)?;
                    }
                    Outcome::Held => {}
                }
            }
            task(tx)
        })
    }
}

async fn stop(procedure: &Remove, ctx: &StepContext) -> Result<Done, StepError> {
    let input: RemoveInput = ctx.input()?;
    if input.kind == Kind::Managed {
        managed::stop(&procedure.0, ctx, &input.instance).await?;
    }
    Ok(Done::nothing())
}

async fn destroy(procedure: &Remove, ctx: &StepContext) -> Result<Done, StepError> {
    let input: RemoveInput = ctx.input()?;
    let runtime = procedure.0.clone();
    let id = input.instance.clone();
    if input.kind == Kind::Managed {
        managed::destroy(&runtime, ctx, &id).await?;
    }
    let work = runtime.clone();
    under_lock(ctx, &runtime, &id.clone(), move |ctx| {
        let home = work.home(&id);
        let _unfollowed = follower::quiesce(ctx, &home)?;
        if input.keep {
            for name in ["jobs", "safety"] {
                files::remove_folder(&home.join(name))?;
            }
            return Ok(());
        }
        work.forget_archive(&id);
        files::remove_folder(&home)
    })
    .await?;
    Ok(Done::nothing())
}
