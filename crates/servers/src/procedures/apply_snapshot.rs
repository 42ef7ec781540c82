//! Takes a disk back to a restore point.
//!
//! | step | do | undo |
//! |---|---|---|
//! | stage | build the new head beside the present one | remove it |
//! | stop | stop the server, if it runs | start it again |
//! | keep | give the present head a second name: the safety point | take that name away |
//! | swap | rename the new head over the present one; after the undo of a reset the disk has its old id again | rename the kept one over it |
//! | start | start the server, if it was running | stop it again |
//!
//! The server is the one that uses the disk, if any does.
//!
//! The order keeps the server up while the long work, the staging, is done.

use backout_core::code::Code;
use backout_core::ids::{InstanceId, JobId, PointId};
use backout_core::outcome::Outcome;
use backout_core::size::told_apart;
use backout_core::time::Timestamp;
use backout_disks::{Kept, Point};
use backout_jobs::{Commit, Done, Procedure, Step, StepContext, StepError, Undo};
use backout_machines::Stop;
use backout_store::{Error as StoreError, Tx};
use serde::{Deserialize, Serialize};

use super::reset::become_disk;
use super::{Becomes, Runtime, heads, name, on_disk, operation_state, server, settle};
use crate::model::{Power, Snapshot, SnapshotKind, SnapshotState, Subject, Volume};
use crate::persistence;
use crate::power;
use crate::service::{BACKUP_NAME_MAX_CHARS, NAME_MAX_CHARS};

/// The procedure.
#[derive(Clone, Debug)]
pub struct ApplySnapshot(pub Runtime);

/// What it is told.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ApplyInput {
    /// Whose disk it is.
    pub subject: Subject,
    /// The server that uses it.
    pub host: Option<InstanceId>,
    /// The restore point to go back to.
    pub snapshot: PointId,
    /// The id that the safety point will have.
    pub safety: PointId,
    /// The disk.
    pub disk: Volume,
    /// The snapshot's file.
    pub point: Point,
    /// Whether the server runs, and so must be stopped and started.
    pub stop: bool,
    /// When it was asked for.
    pub asked: Timestamp,
    /// The job that it takes back, if it is an undo.
    pub undo_of: Option<JobId>,
    /// What a system disk becomes, when that job had made another of it.
    #[serde(default)]
    pub becomes: Option<Becomes>,
}

const STEPS: &[Step<ApplySnapshot>] = &[
    Step {
        name: "stage",
        does: "build the new head out of the snapshot, beside the present one",
        run: |_, ctx| Box::pin(stage(ctx)),
        undo: Undo::By {
            does: "remove the new head",
            run: |_, ctx| Box::pin(unstage(ctx)),
        },
    },
    Step {
        name: "stop",
        does: "stop the server, if it runs",
        run: |p, ctx| Box::pin(stop(p, ctx)),
        undo: Undo::By {
            does: "start the server again, if it ran",
            run: |p, ctx| Box::pin(start(p, ctx)),
        },
    },
    Step {
        name: "keep",
        does: "keep the present head as a safety point",
        run: |_, ctx| Box::pin(keep(ctx)),
        undo: Undo::By {
            does: "forget the safety point",
            run: |_, ctx| Box::pin(unkeep(ctx)),
        },
    },
    Step {
        name: "swap",
        does: "put the new head in the place of the present one",
        run: |_, ctx| Box::pin(swap(ctx)),
        undo: Undo::By {
            does: "put the kept head back",
            run: |_, ctx| Box::pin(unswap(ctx)),
        },
    },
    Step {
        name: "start",
        does: "start the server, if it was running",
        run: |p, ctx| Box::pin(start(p, ctx)),
        undo: Undo::By {
            does: "stop the server again, if it was started",
            run: |p, ctx| Box::pin(stop(p, ctx)),
        },
    },
];

impl Procedure for ApplySnapshot {
    fn name(&self) -> &'static str {
        "servers.apply_snapshot"
    }

    fn steps(&self) -> &[Step<Self>] {
        STEPS
    }

    fn settle(&self, ctx: &StepContext, outcome: Outcome, _failure: Option<&StepError>) -> Commit {
        let input = ctx.input::<ApplyInput>();
        let kept = ctx.output::<Kept>("keep");
        let job = ctx.job.clone();
        let runtime = self.0.clone();
        Box::new(move |tx| {
            let Ok(input) = input else { return Ok(()) };
            persistence::end_snapshot_operation(
                tx,
                &input.snapshot,
                Some(operation_state(outcome)),
            )?;
            if let (Outcome::Applied, Ok(Some(kept))) = (outcome, kept) {
                let expires = runtime.safety_expiry(input.asked);
                let safety = safety_point(tx, &input, kept, job.clone(), expires)?;
                persistence::insert_snapshot(tx, &safety)?;
                persistence::insert_safety_point(tx, &job, &safety.id)?;
            }
            settle(tx, &input.subject, outcome)
        })
    }
}

/// The row of the safety point that a finished rollback leaves.
fn safety_point(
    tx: &mut dyn Tx,
    input: &ApplyInput,
    kept: Kept,
    job: JobId,
    expires: Timestamp,
) -> Result<Snapshot, StoreError> {
    let target = persistence::snapshot_by_id(tx, &input.snapshot)?.ok_or_else(|| {
        StoreError::corrupt("the snapshot's row is gone while its job has the claim")
    })?;
    let name = match &input.undo_of {
        Some(undone) => format!("before undoing {undone}"),
        None => format!("before going back to {}", target.name),
    };
    let most = match &input.subject {
        Subject::Server(_) => NAME_MAX_CHARS,
        Subject::Disk(_) => BACKUP_NAME_MAX_CHARS,
    };
    let name = name.chars().take(most).collect();
    Ok(Snapshot {
        id: input.safety.clone(),
        owner: target.owner,
        subject: input.subject.clone(),
        disk: input.disk.id.clone(),
        kind: SnapshotKind::Safety,
        name,
        state: SnapshotState::Normal,
        point: Some(kept.point),
        size_bytes: kept.facts.size_bytes,
        latest: None,
        job: Some(job),
        created: input.asked,
        expires: Some(expires),
        tags: Vec::new(),
    })
}

async fn stage(ctx: &StepContext) -> Result<Done, StepError> {
    let input: ApplyInput = ctx.input()?;
    let (name, point) = (name(&input.safety)?, input.point);
    let (staged, head) = on_disk(ctx, &input.disk, move |driver, guard, disk, progress| {
        let staged = driver.stage(guard, disk, &point, &name, progress)?;
        Ok((staged, driver.inspect(disk)?))
    })
    .await?;
    // The preflight may have been made on another host, which cannot look.
    if staged.size_bytes != head.size_bytes {
        let [then, now] = told_apart(staged.size_bytes, head.size_bytes);
        return Err(StepError::failed(
            Code::DiskSizeChanged,
            format!(
                "go back to snapshot {} of {then}: the disk has {now} now; give it the snapshot's size again",
                input.snapshot
            ),
        ));
    }
    Done::remember(&staged)
}

async fn unstage(ctx: &StepContext) -> Result<Done, StepError> {
    let input: ApplyInput = ctx.input()?;
    heads::unstage(ctx, &input.disk, &input.safety).await
}

async fn stop(procedure: &ApplySnapshot, ctx: &StepContext) -> Result<Done, StepError> {
    let input: ApplyInput = ctx.input()?;
    let (true, Some(host)) = (input.stop, &input.host) else {
        return Ok(Done::nothing());
    };
    let server = server(ctx, host).await?;
    // By force, as the documentation of the rollback says.
    power::stop(&procedure.0, ctx, &server, Stop::Hard).await?;
    power::wait_until_let_go(ctx, &server, &input.disk).await?;
    Ok(Done::nothing().with(move |tx| persistence::set_power(tx, &server.id, Power::Stopped)))
}

async fn start(procedure: &ApplySnapshot, ctx: &StepContext) -> Result<Done, StepError> {
    let input: ApplyInput = ctx.input()?;
    let (true, Some(host)) = (input.stop, &input.host) else {
        return Ok(Done::nothing());
    };
    let server = server(ctx, host).await?;
    if !power::start(&procedure.0, ctx, &server).await? {
        return Ok(Done::nothing());
    }
    Ok(Done::nothing().with(move |tx| persistence::set_power(tx, &server.id, Power::Running)))
}

async fn keep(ctx: &StepContext) -> Result<Done, StepError> {
    let input: ApplyInput = ctx.input()?;
    heads::keep(ctx, &input.disk, &input.safety).await
}

async fn unkeep(ctx: &StepContext) -> Result<Done, StepError> {
    let input: ApplyInput = ctx.input()?;
    heads::unkeep(ctx, &input.disk, &input.safety).await
}

async fn swap(ctx: &StepContext) -> Result<Done, StepError> {
    let input: ApplyInput = ctx.input()?;
    let (done, size_bytes) = heads::swap(ctx, &input.disk).await?;
    Ok(match (input.becomes, input.subject) {
        // Before the start, whose machine calls its disk by that id.
        (Some(becomes), Subject::Server(server)) => {
            done.with(move |tx| become_disk(tx, &server, &becomes.to, size_bytes))
        }
        _ => done,
    })
}

async fn unswap(ctx: &StepContext) -> Result<Done, StepError> {
    let input: ApplyInput = ctx.input()?;
    heads::unswap(ctx, &input.disk).await?;
    let size_bytes = input.disk.size_bytes;
    Ok(match (input.becomes, input.subject) {
        (Some(becomes), Subject::Server(server)) => {
            Done::nothing().with(move |tx| become_disk(tx, &server, &becomes.from, size_bytes))
        }
        _ => Done::nothing(),
    })
}
