//! The kinds of job that databases have, a file each.

pub mod adopt;
pub mod backup;
pub(crate) mod beside;
pub mod clone;
pub mod create;
pub mod delete_backup;
pub mod isolate;
pub(crate) mod managed;
pub mod release;
pub mod remove;
pub mod restart;
pub mod rewind;
pub mod rollback;
pub mod withdraw;

use backout_core::code::Code;
use backout_core::ids::DatabaseId;
use backout_core::outcome::Outcome;
use backout_core::time::{Clock as _, SystemClock};
use backout_history::TableName;
use backout_jobs::{Commit, StepContext, StepError};
use backout_mariadb::Session;
use backout_mariadb::catalog::{self, TableDef};

use crate::lock;
use crate::model::{Detail, Instance, Standing};
use crate::persistence::{self, End};
use crate::refusal::{Refusal, with_cause};
use crate::runtime::Runtime;

/// The instance's row, as it is now.
pub(crate) async fn instance(ctx: &StepContext, id: &DatabaseId) -> Result<Instance, StepError> {
    let wanted = id.clone();
    let found = ctx
        .store
        .read(move |tx| persistence::instance_by_id(tx, &wanted))
        .await?;
    found.ok_or_else(|| {
        StepError::failed(
            Code::NotFound,
            format!("find database {id}: its row is gone"),
        )
    })
}

/// Performs blocking work on an instance, under its lock on this host and
/// showing the job's fence.
pub(crate) async fn under_lock<T: Send + 'static>(
    ctx: &StepContext,
    runtime: &Runtime,
    id: &DatabaseId,
    work: impl FnOnce(&StepContext) -> Result<T, StepError> + Send + 'static,
) -> Result<T, StepError> {
    let home = runtime.home(id);
    let for_worker = ctx.clone();
    ctx.blocking(move || {
        let _guard = lock::hold(&for_worker, &home)?;
        work(&for_worker)
    })
    .await
}

/// How much less of the processors than the rest of the host work gets that can
/// wait: a tenth where both want all of it, and all when nobody else does.
const NICE: i32 = 10;

/// Does work that can wait: on a thread of low priority, which the threads and
/// the programs that it starts have as well.
pub(crate) fn yielding<T: Send>(
    work: impl FnOnce() -> Result<T, StepError> + Send,
) -> Result<T, StepError> {
    let work = || {
        // Where it is not allowed, the work is done all the same.
        let _ = rustix::process::setpriority_process(None, NICE);
        work()
    };
    std::thread::scope(|scope| scope.spawn(work).join()).unwrap_or_else(|_| {
        Err(StepError::failed(
            Code::Internal,
            "finish a step: it panicked",
        ))
    })
}

/// A session with the server of an instance. Blocking.
pub(crate) fn session(runtime: &Runtime, instance: &Instance) -> Result<Session, StepError> {
    let endpoint = runtime.endpoint(instance).map_err(refusal_error)?;
    Session::open(&endpoint).map_err(database_error)
}

/// How a table is defined; `None` when it is not there.
pub(crate) fn found(
    session: &mut Session,
    name: &TableName,
) -> Result<Option<TableDef>, backout_mariadb::Error> {
    match catalog::table(session, name) {
        Ok(def) => Ok(Some(def)),
        Err(backout_mariadb::Error::NoTable { .. }) => Ok(None),
        Err(e) => Err(e),
    }
}

pub(crate) fn database_error(e: backout_mariadb::Error) -> StepError {
    match e {
        backout_mariadb::Error::Cancelled => StepError::Cancelled,
        e => {
            let message = with_cause(&e);
            match e.is_passing() {
                true => StepError::again(e.code(), message),
                false => StepError::failed(e.code(), message),
            }
        }
    }
}

pub(crate) fn history_error(e: backout_history::Error) -> StepError {
    match e {
        backout_history::Error::Cancelled => StepError::Cancelled,
        e => {
            let message = with_cause(&e);
            match e.is_passing() {
                true => StepError::again(e.code(), message),
                false => StepError::failed(e.code(), message),
            }
        }
    }
}

pub(crate) fn refusal_error(refusal: Refusal) -> StepError {
    match refusal {
        Refusal::Database(e) => database_error(e),
        Refusal::History(e) => history_error(e),
        Refusal::Store(e) => e.into(),
        other => StepError::failed(other.code(), other.to_string()),
    }
}

/// Ends the task of a job, in the transaction that writes its outcome;
/// `detail` adds what the job found.
pub(crate) fn settle_task(
    ctx: &StepContext,
    outcome: Outcome,
    failure: Option<&StepError>,
    detail: impl FnOnce(&mut Detail) + Send + 'static,
) -> Commit {
    let cancelled = matches!(failure, Some(StepError::Cancelled));
    let error = match failure {
        Some(StepError::Failed { code, message } | StepError::Again { code, message }) => {
            Some((*code, message.clone()))
        }
        _ => None,
    };
    let standing = Standing::of(outcome, cancelled);
    let job = ctx.job.clone();
    let words = match (standing, &error) {
        (Standing::Applied, _) => "done".to_owned(),
        (Standing::Stopped, _) => "stopped on request".to_owned(),
        (Standing::Held, error) => format!(
            "held{}; next: backout jobs retry {job}",
            error
                .as_ref()
                .map_or_else(String::new, |(_, why)| format!(", failed to {why}"))
        ),
        (_, Some((_, why))) => format!("failed to {why}"),
        (_, None) => "failed".to_owned(),
    };
    let end = End {
        standing,
        words,
        error,
        at: SystemClock.now(),
    };
    Box::new(move |tx| {
        if let Some(mut task) = persistence::task_of_job(tx, &job)? {
            detail(&mut task.detail);
            persistence::set_task_detail(tx, &job, &task.detail)?;
        }
        persistence::end_task(tx, &job, &end)
    })
}
