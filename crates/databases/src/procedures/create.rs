//! Makes a server, run by us on this host, and takes it under management.
//!
//! | step | do | undo |
//! |---|---|---|
//! | files | make the files of a fresh server, with our account and the passwords | remove them |
//! | start | start the server, and look at it | stop it |
//! | history | make the archive of its history | remove it, with all that was made |
//!
//! When all is taken back the row goes: nothing was there before.

use backout_core::ids::DatabaseId;
use backout_core::outcome::Outcome;
use backout_core::time::{Clock as _, SystemClock};
use backout_jobs::{Commit, Done, Procedure, Step, StepContext, StepError, Undo};
use serde::{Deserialize, Serialize};

use super::adopt::{begin_history, made, remove_home};
use super::{database_error, instance, managed, session, settle_task, under_lock};
use crate::runtime::Runtime;
use crate::{facts, files, persistence};

/// The procedure.
#[derive(Clone, Debug)]
pub struct Create(pub Runtime);

/// What it is told.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CreateInput {
    /// The instance, whose row is there already: its address is the one that
    /// the server gets, its account the one that is made for us.
    pub instance: DatabaseId,
    /// The password of `root`, sealed for that instance.
    pub root: Vec<u8>,
}

const STEPS: &[Step<Create>] = &[
    Step {
        name: "files",
        does: "make the files of a fresh server",
        run: |p, ctx| Box::pin(make(p, ctx)),
        undo: Undo::By {
            does: "remove them",
            run: |p, ctx| Box::pin(unmake(p, ctx)),
        },
    },
    Step {
        name: "start",
        does: "start the server, and look at it",
        run: |p, ctx| Box::pin(start(p, ctx)),
        undo: Undo::By {
            does: "stop the server",
            run: |p, ctx| Box::pin(stop(p, ctx)),
        },
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

impl Procedure for Create {
    fn name(&self) -> &'static str {
        "databases.create"
    }

    fn steps(&self) -> &[Step<Self>] {
        STEPS
    }

    fn settle(&self, ctx: &StepContext, outcome: Outcome, failure: Option<&StepError>) -> Commit {
        let input = ctx.input::<CreateInput>();
        let task = settle_task(ctx, outcome, failure, |_| {});
        Box::new(move |tx| {
            if let Ok(input) = input {
                made(tx, &input.instance, outcome)?;
            }
            task(tx)
        })
    }
}

async fn make(procedure: &Create, ctx: &StepContext) -> Result<Done, StepError> {
    let input: CreateInput = ctx.input()?;
    managed::make(&procedure.0, ctx, &input.instance, input.root).await?;
    Ok(Done::nothing())
}

async fn unmake(procedure: &Create, ctx: &StepContext) -> Result<Done, StepError> {
    let input: CreateInput = ctx.input()?;
    managed::destroy(&procedure.0, ctx, &input.instance).await?;
    remove_home(&procedure.0, ctx, &input.instance).await?;
    Ok(Done::nothing())
}

async fn start(procedure: &Create, ctx: &StepContext) -> Result<Done, StepError> {
    let input: CreateInput = ctx.input()?;
    managed::first_start(&procedure.0, ctx, &input.instance, input.root).await?;
    let (runtime, row) = (procedure.0.clone(), instance(ctx, &input.instance).await?);
    let facts = ctx
        .blocking(move || {
            let mut session = session(&runtime, &row)?;
            facts::look(&mut session, SystemClock.now()).map_err(database_error)
        })
        .await?;
    Ok(Done::nothing().with(move |tx| persistence::set_facts(tx, &input.instance, &facts)))
}

async fn stop(procedure: &Create, ctx: &StepContext) -> Result<Done, StepError> {
    let input: CreateInput = ctx.input()?;
    managed::stop(&procedure.0, ctx, &input.instance).await?;
    Ok(Done::nothing())
}

async fn history(procedure: &Create, ctx: &StepContext) -> Result<Done, StepError> {
    let input: CreateInput = ctx.input()?;
    begin_history(&procedure.0, ctx, &input.instance).await?;
    Ok(Done::nothing())
}

async fn unhistory(procedure: &Create, ctx: &StepContext) -> Result<Done, StepError> {
    let input: CreateInput = ctx.input()?;
    let (work, id) = (procedure.0.clone(), input.instance.clone());
    under_lock(ctx, &procedure.0, &input.instance, move |_| {
        work.forget_archive(&id);
        files::remove_folder(&work.history_folder(&id))
    })
    .await?;
    Ok(Done::nothing())
}
