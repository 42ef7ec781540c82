//! The kinds of job that engines have, a file each, and what they share.

pub mod change;
pub mod delete;
mod drive;
mod launch;

use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use backout_core::code::Code;
use backout_core::ids::{EngineId, OsEntropy, RecordId};
use backout_core::outcome::Outcome;
use backout_core::time::{Clock as _, SystemClock};
use backout_jobs::{Commit, Done, StepContext, StepError};
use backout_rollout::Limits;
use backout_store::{Error as StoreError, Tx};
use serde::{Deserialize, Serialize};

use crate::model::{Change, ChangeKind, Drive, Engine, EngineState, Record};
use crate::persistence;
use crate::planning;
use crate::refusal::Refusal;
use crate::runtime::Runtime;
use crate::service::facts::{engine_by_id, gather};

/// What a job is told. All else is in the row of its change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangeInput {
    /// The engine.
    pub engine: EngineId,
}

/// The row of a job's change, and that of its engine.
async fn rows(ctx: &StepContext) -> Result<(Change, Engine), StepError> {
    let job = ctx.job.clone();
    let found = ctx
        .store
        .read(move |tx| {
            let Some(change) = persistence::change(tx, &job)? else {
                return Ok(None);
            };
            let engine = persistence::engine_by_id(tx, &change.engine)?;
            Ok::<_, StoreError>(engine.map(|engine| (change, engine)))
        })
        .await?;
    found.ok_or_else(|| {
        StepError::failed(
            Code::NotFound,
            format!("find the change of job {}: its row is gone", ctx.job),
        )
    })
}

/// Looks at everything again, under the claim, refuses what the call would
/// refuse by now, and makes the machine.
async fn look(runtime: &Runtime, ctx: &StepContext) -> Result<Done, StepError> {
    let (change, _) = rows(ctx).await?;
    let (job, id, wanted) = (
        ctx.job.clone(),
        change.engine.clone(),
        change.wanted.clone(),
    );
    let asked = wanted.clone();
    let gathered = ctx
        .store
        .read(move |tx| {
            let mut engine = engine_by_id(tx, &id)?;
            // It is called so since the call was accepted.
            engine.state = change.state_before;
            gather(tx, engine, &asked, Some(&job))
        })
        .await
        .map_err(refused)?;
    let (processes, asked) = (Arc::clone(&runtime.processes), wanted.clone());
    let gathered = ctx
        .blocking(move || gathered.look(&processes, &asked).map_err(refused))
        .await?;
    let mut proposal = gathered.propose(&wanted);
    if !proposal.blockers.is_empty() {
        return Err(refused(proposal.blockers.swap_remove(0)));
    }
    let from = gathered
        .setup
        .clone()
        .filter(|_| gathered.standing.is_some());
    let same = planning::is_same(from.as_ref(), proposal.to.as_ref());
    let limits = limits(runtime, &change_limits(&proposal, &wanted));
    let rollout = proposal
        .machine(gathered.standing, same, limits)
        .ok_or_else(|| {
            StepError::failed(
                Code::Internal,
                format!("lay out the change of data engine {}", gathered.engine.id),
            )
        })?;
    let standing = gathered.engine.instance.clone();
    let drive = Drive {
        rollout,
        standing: standing
            .filter(|_| gathered.standing.is_some())
            .into_iter()
            .collect(),
        round: 0,
        trouble: None,
    };
    let (job, to, restores) = (ctx.job.clone(), proposal.to, proposal.restores);
    Ok(Done::nothing().with(move |tx| {
        let course = (from.as_ref(), to.as_ref());
        persistence::set_course(tx, &job, course, restores.as_ref(), &drive)
    }))
}

/// What of the time a change takes is its own.
struct Times {
    start_ms: Option<u32>,
    waits: bool,
}

fn change_limits(proposal: &planning::Proposal, wanted: &crate::model::Wanted) -> Times {
    Times {
        start_ms: proposal.to.as_ref().map(|to| to.launch.start_ms),
        waits: !matches!(
            wanted,
            crate::model::Wanted::Restart { forced: true } | crate::model::Wanted::Mend
        ),
    }
}

/// How long things may take.
fn limits(runtime: &Runtime, times: &Times) -> Limits {
    let grace_ms = u32::try_from(runtime.grace_ms).unwrap_or(u32::MAX);
    Limits {
        ready_ms: times.start_ms.unwrap_or(1),
        drain_ms: match times.waits {
            true => runtime.drain_ms.max(1),
            false => 1,
        },
        // Beside its grace, what a killed process group takes on a busy host.
        stop_ms: grace_ms.saturating_add(60_000),
    }
}

/// How long the process on the endpoint may take to end: nobody has anything
/// under way there.
const GATEWAY_PATIENCE: Duration = Duration::from_secs(5);

/// Ends the process on an engine's endpoint, and removes what the engine keeps.
async fn clear(runtime: &Runtime, ctx: &StepContext, id: &EngineId) -> Result<(), StepError> {
    let client = runtime.gateway(id).map_err(gateway)?;
    client.stop(GATEWAY_PATIENCE).await.map_err(gateway)?;
    let folders = [runtime.gateway_folder(id), runtime.data(id)];
    ctx.blocking(move || folders.iter().try_for_each(|folder| remove(folder)))
        .await
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

/// Writes down how a change ended, in the transaction that writes the outcome.
fn settle(ctx: &StepContext, outcome: Outcome, failure: Option<&StepError>) -> Commit {
    let job = ctx.job.clone();
    let why = match failure {
        Some(StepError::Failed { message, .. } | StepError::Again { message, .. }) => {
            format!("failed to {message}")
        }
        Some(StepError::Cancelled) => "stopped on request".to_owned(),
        Some(StepError::Stale) | None => "failed".to_owned(),
    };
    let now = SystemClock.now();
    let record = RecordId::random(&OsEntropy);
    Box::new(move |tx| {
        let Some(change) = persistence::change(tx, &job)? else {
            return Ok(());
        };
        let Some(mut engine) = persistence::engine_by_id(tx, &change.engine)? else {
            return Ok(());
        };
        engine.updated = now;
        if let Some(drive) = &change.drive {
            engine.instance = drive.answering(&engine.id, change.number);
        }
        let kind = change.wanted.kind();
        let name = event_name(&change);
        match outcome {
            Outcome::Applied => {
                engine.state = kind.state_after();
                applied(tx, &change, &mut engine, record)?;
                persistence::record_event(tx, &engine.id, &name, "done", now)?;
            }
            Outcome::Reverted => {
                engine.state = change.state_before;
                let name = format!("{name}Failed");
                persistence::record_event(tx, &engine.id, &name, &why, now)?;
            }
            Outcome::Held => {
                engine.state = EngineState::Failed;
                let name = format!("{name}Held");
                let message = format!("{why}; next: backout jobs retry {job}");
                persistence::record_event(tx, &engine.id, &name, &message, now)?;
            }
        }
        let over = (outcome != Outcome::Held).then_some(now);
        persistence::end_change(tx, &job, over)?;
        let gone = match (kind, outcome) {
            (ChangeKind::Delete, Outcome::Applied) => true,
            // Nothing was there before.
            (ChangeKind::Create, Outcome::Reverted) => true,
            _ => false,
        };
        match gone {
            true => persistence::delete_engine(tx, &engine.id, &job),
            false => persistence::update_engine(tx, &engine),
        }
    })
}

/// What the engine is from now on, and the record of it.
fn applied(
    tx: &mut dyn Tx,
    change: &Change,
    engine: &mut Engine,
    id: RecordId,
) -> Result<(), StoreError> {
    let Some(to) = &change.to else {
        return Ok(());
    };
    engine.size = to.size;
    persistence::set_setup(tx, &engine.id, to)?;
    let Some(operation) = change.wanted.kind().operation() else {
        return Ok(());
    };
    persistence::set_uses(tx, &engine.id, &to.uses)?;
    persistence::set_config(tx, &engine.id, &to.config)?;
    persistence::append_record(
        tx,
        Record {
            id,
            engine: engine.id.clone(),
            number: 0,
            operation,
            before: None,
            restored: change.restores.clone(),
            uses: to.uses.clone(),
            config: to.config.clone(),
            size: to.size,
            job: change.job.clone(),
            at: engine.updated,
        },
    )
}

/// What happened, in one word: that of the log where it is in the log.
fn event_name(change: &Change) -> String {
    let kind = change.wanted.kind();
    match kind.operation() {
        Some(operation) => operation.as_str().to_owned(),
        None => {
            let word = kind.as_str();
            let (first, rest) = word.split_at(1);
            format!("{}{rest}", first.to_uppercase())
        }
    }
}

/// A refusal, as the failure of a step.
fn refused(refusal: Refusal) -> StepError {
    match refusal {
        Refusal::Store(e) => e.into(),
        other => StepError::failed(other.code(), other.to_string()),
    }
}

fn workload(e: backout_workloads::Error) -> StepError {
    let message = crate::service::with_cause(&e);
    match e {
        backout_workloads::Error::Stale { .. } => StepError::Stale,
        backout_workloads::Error::Busy { .. } | backout_workloads::Error::Io { .. } => {
            StepError::again(e.code(), message)
        }
        _ => StepError::failed(e.code(), message),
    }
}

fn gateway(e: backout_gateway::Error) -> StepError {
    let message = crate::service::with_cause(&e);
    match e {
        backout_gateway::Error::Stale { .. } => StepError::Stale,
        backout_gateway::Error::Bind { .. } => StepError::failed(e.code(), message),
        _ => StepError::again(e.code(), message),
    }
}
