//! Makes a server's system disk anew of an image.
//!
//! | step | do | undo |
//! |---|---|---|
//! | stage | build the new head of the image, beside the present one | remove it |
//! | stop | stop the server by force, if it runs | start it again |
//! | keep | give the present head a second name: the safety point | take that name away |
//! | swap | rename the new head over the present one; the disk is another from then on | rename the kept one over it; the disk is what it was |
//! | start | start the server, if it was running | stop it again |
//!
//! The disk gets another id, so the restore points of the old one do not fit any
//! more. The safety point is one of them, and the way back: undoing the job
//! brings the old contents under the old id, and with that what they fit.

use backout_core::ids::{BlueprintId, DiskId, InstanceId, PointId};
use backout_core::outcome::Outcome;
use backout_core::time::Timestamp;
use backout_disks::Kept;
use backout_jobs::{Commit, Done, Procedure, Step, StepContext, StepError, Undo};
use backout_machines::{Spec, Stop};
use backout_store::{Error as StoreError, Tx};
use serde::{Deserialize, Serialize};

use super::{ImageFile, Runtime, heads, name, on_disk, power_change, settle_server};
use crate::model::{Power, Snapshot, SnapshotKind, SnapshotState, Subject, Volume};
use crate::persistence;
use crate::service::NAME_MAX_CHARS;

/// The procedure.
#[derive(Clone, Debug)]
pub struct ResetServer(pub Runtime);

/// What a server's system disk is, beside its file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The disk's id.
    pub disk: DiskId,
    /// The image that it was made of.
    pub blueprint: Option<BlueprintId>,
    /// The machine that starts from it.
    pub machine: Option<Spec>,
}

/// From one identity of a system disk to another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Becomes {
    /// What it was.
    pub from: Identity,
    /// What it is then.
    pub to: Identity,
}

/// What it is told.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ResetInput {
    /// The server.
    pub server: InstanceId,
    /// Its system disk, as it is before.
    pub disk: Volume,
    /// What the disk becomes.
    pub becomes: Becomes,
    /// What it is made of.
    pub image: ImageFile,
    /// The name of that, for people.
    pub image_name: String,
    /// The id that the safety point will have.
    pub safety: PointId,
    /// Whether the server runs, and so must be stopped and started.
    pub stop: bool,
    /// When it was asked for.
    pub asked: Timestamp,
}

const STEPS: &[Step<ResetServer>] = &[
    Step {
        name: "stage",
        does: "build the new head of the image, beside the present one",
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

impl Procedure for ResetServer {
    fn name(&self) -> &'static str {
        "servers.reset"
    }

    fn steps(&self) -> &[Step<Self>] {
        STEPS
    }

    fn settle(&self, ctx: &StepContext, outcome: Outcome, _failure: Option<&StepError>) -> Commit {
        let input = ctx.input::<ResetInput>();
        let kept = ctx.output::<Kept>("keep");
        let job = ctx.job.clone();
        let runtime = self.0.clone();
        Box::new(move |tx| {
            let Ok(input) = input else { return Ok(()) };
            if let (Outcome::Applied, Ok(Some(kept))) = (outcome, kept) {
                let owner = persistence::server_by_id(tx, &input.server)?
                    .ok_or_else(|| {
                        StoreError::corrupt("the server's row is gone while its job has the claim")
                    })?
                    .owner;
                let name = format!("before resetting to {}", input.image_name);
                persistence::insert_snapshot(
                    tx,
                    &Snapshot {
                        id: input.safety.clone(),
                        owner,
                        subject: Subject::Server(input.server.clone()),
                        disk: input.becomes.from.disk.clone(),
                        kind: SnapshotKind::Safety,
                        name: name.chars().take(NAME_MAX_CHARS).collect(),
                        state: SnapshotState::Normal,
                        point: Some(kept.point),
                        size_bytes: kept.facts.size_bytes,
                        latest: None,
                        job: Some(job.clone()),
                        created: input.asked,
                        expires: Some(runtime.safety_expiry(input.asked)),
                        tags: Vec::new(),
                    },
                )?;
                persistence::insert_safety_point(tx, &job, &input.safety)?;
            }
            settle_server(tx, &input.server, outcome)
        })
    }
}

/// Writes what the system disk of server `id` is from now on.
pub(super) fn become_disk(
    tx: &mut dyn Tx,
    id: &InstanceId,
    identity: &Identity,
    size_bytes: u64,
) -> Result<(), StoreError> {
    let Some(mut server) = persistence::server_by_id(tx, id)? else {
        return Err(StoreError::corrupt(
            "the server's row is gone while its job has the claim",
        ));
    };
    server.blueprint.clone_from(&identity.blueprint);
    server.machine.clone_from(&identity.machine);
    let volume = Volume {
        id: identity.disk.clone(),
        size_bytes,
        ..server.disk.clone()
    };
    persistence::replace_system_disk(tx, &server, &volume)
}

async fn stage(ctx: &StepContext) -> Result<Done, StepError> {
    let input: ResetInput = ctx.input()?;
    let (name, image) = (name(&input.safety)?, input.image);
    let size_bytes = input.disk.size_bytes;
    let staged = on_disk(ctx, &input.disk, move |driver, guard, disk, progress| {
        let (file, format) = (&image.file, image.format);
        driver.stage_image(guard, disk, file, format, size_bytes, &name, progress)
    })
    .await?;
    Done::remember(&staged)
}

async fn unstage(ctx: &StepContext) -> Result<Done, StepError> {
    let input: ResetInput = ctx.input()?;
    heads::unstage(ctx, &input.disk, &input.safety).await
}

async fn stop(procedure: &ResetServer, ctx: &StepContext) -> Result<Done, StepError> {
    let input: ResetInput = ctx.input()?;
    if !input.stop {
        return Ok(Done::nothing());
    }
    // What it would write out is thrown away with its disk.
    power_change::stop(&procedure.0, ctx, &input.server, Stop::Hard).await?;
    Ok(Done::nothing().with(move |tx| persistence::set_power(tx, &input.server, Power::Stopped)))
}

async fn start(procedure: &ResetServer, ctx: &StepContext) -> Result<Done, StepError> {
    let input: ResetInput = ctx.input()?;
    if !input.stop || !power_change::start(&procedure.0, ctx, &input.server).await? {
        return Ok(Done::nothing());
    }
    Ok(Done::nothing().with(move |tx| persistence::set_power(tx, &input.server, Power::Running)))
}

async fn keep(ctx: &StepContext) -> Result<Done, StepError> {
    let input: ResetInput = ctx.input()?;
    heads::keep(ctx, &input.disk, &input.safety).await
}

async fn unkeep(ctx: &StepContext) -> Result<Done, StepError> {
    let input: ResetInput = ctx.input()?;
    heads::unkeep(ctx, &input.disk, &input.safety).await
}

async fn swap(ctx: &StepContext) -> Result<Done, StepError> {
    let input: ResetInput = ctx.input()?;
    let (done, size_bytes) = heads::swap(ctx, &input.disk).await?;
    // Before the start, whose machine calls its disk by that id.
    Ok(done.with(move |tx| become_disk(tx, &input.server, &input.becomes.to, size_bytes)))
}

async fn unswap(ctx: &StepContext) -> Result<Done, StepError> {
    let input: ResetInput = ctx.input()?;
    heads::unswap(ctx, &input.disk).await?;
    let size_bytes = input.disk.size_bytes;
    Ok(Done::nothing()
        .with(move |tx| become_disk(tx, &input.server, &input.becomes.from, size_bytes)))
}
