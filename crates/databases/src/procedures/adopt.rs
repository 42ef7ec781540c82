//! Takes a server that others run under management.
//!
//! | step | do | undo |
//! |---|---|---|
//! | look | ask the server about itself, and see that nothing stands in the way | none: it only reads |
//! | history | make the archive of its history | remove it |
//!
//! From the outcome on the instance is running, and the keeper of this host
//! follows its history. When all is taken back the row goes: nothing was there
//! before.

use backout_core::ids::DatabaseId;
use backout_core::outcome::Outcome;
use backout_core::time::{Clock as _, SystemClock};
use backout_jobs::{Commit, Done, Procedure, Step, StepContext, StepError, Undo};
use backout_mariadb::doctor;
use serde::{Deserialize, Serialize};

use super::{database_error, instance, refusal_error, session, settle_task, under_lock};
use crate::model::InstanceState;
use crate::refusal::Refusal;
use crate::runtime::Runtime;
use crate::{facts, files, persistence};

/// The procedure.
#[derive(Clone, Debug)]
pub struct Adopt(pub Runtime);

/// What it is told.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AdoptInput {
    /// The instance, whose row is there already.
    pub instance: DatabaseId,
}

const STEPS: &[Step<Adopt>] = &[
    Step {
        name: "look",
        does: "ask the server about itself, and see that nothing stands in the way",
        run: |p, ctx| Box::pin(look(p, ctx)),
        undo: Undo::Nothing,
    },
    Step {
        name: "history",
        does: "make the archive of its history",
        run: |p, ctx| Box::pin(history(p, ctx)),
        undo: Undo::By {
            does: "remove the archive",
            run: |p, ctx| Box::pin(unhistory(p, ctx)),
        },
    },
];

impl Procedure for Adopt {
    fn name(&self) -> &'static str {
        "databases.adopt"
    }

    fn steps(&self) -> &[Step<Self>] {
        STEPS
    }

    fn settle(&self, ctx: &StepContext, outcome: Outcome, failure: Option<&StepError>) -> Commit {
        let input = ctx.input::<AdoptInput>();
        let task = settle_task(ctx, outcome, failure, |_| {});
        Box::new(move |tx| {
            if let Ok(input) = input {
                made(tx, &input.instance, outcome)?;
            }
            task(tx)
        })
    }
}

/// What becomes of the row of an instance that was to be made.
pub(super) fn made(
    tx: &mut dyn backout_store::Tx,
    id: &DatabaseId,
    outcome: Outcome,
) -> Result<(), backout_store::Error> {
    match outcome {
        Outcome::Applied => persistence::set_state(tx, id, InstanceState::Running),
        Outcome::Reverted => persistence::delete_instance(tx, id),
        Outcome::Held => Ok(()),
    }
}

async fn look(procedure: &Adopt, ctx: &StepContext) -> Result<Done, StepError> {
    let input: AdoptInput = ctx.input()?;
    let (runtime, row) = (procedure.0.clone(), instance(ctx, &input.instance).await?);
    let facts = ctx
        .blocking(move || {
            let mut session = session(&runtime, &row)?;
            let findings = doctor::examine(&mut session).map_err(database_error)?;
            let blockers = crate::service::blockers(&findings);
            if !blockers.is_empty() {
                return Err(refusal_error(Refusal::Blocked(blockers)));
            }
            facts::look(&mut session, SystemClock.now()).map_err(database_error)
        })
        .await?;
    Ok(Done::nothing().with(move |tx| persistence::set_facts(tx, &input.instance, &facts)))
}

async fn history(procedure: &Adopt, ctx: &StepContext) -> Result<Done, StepError> {
    let input: AdoptInput = ctx.input()?;
    begin_history(&procedure.0, ctx, &input.instance).await?;
    Ok(Done::nothing())
}

async fn unhistory(procedure: &Adopt, ctx: &StepContext) -> Result<Done, StepError> {
    let input: AdoptInput = ctx.input()?;
    remove_home(&procedure.0, ctx, &input.instance).await?;
    Ok(Done::nothing())
}

/// Makes the archive of an instance's history.
pub(super) async fn begin_history(
    runtime: &Runtime,
    ctx: &StepContext,
    id: &DatabaseId,
) -> Result<(), StepError> {
    let (work, wanted) = (runtime.clone(), id.clone());
    under_lock(ctx, runtime, id, move |_| {
        files::make_folder(&work.history_folder(&wanted))?;
        work.archive(&wanted).map_err(refusal_error)?;
        Ok(())
    })
    .await
}

/// Removes everything that was made for an instance that will not be there.
pub(super) async fn remove_home(
    runtime: &Runtime,
    ctx: &StepContext,
    id: &DatabaseId,
) -> Result<(), StepError> {
    let (work, wanted) = (runtime.clone(), id.clone());
    under_lock(ctx, runtime, id, move |_| {
        work.forget_archive(&wanted);
        files::remove_folder(&work.home(&wanted))
    })
    .await
}
