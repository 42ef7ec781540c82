//! Shortens the chain of layers under a disk, and stops nobody.
//!
//! | step | do | undo |
//! |---|---|---|
//! | flatten | a disk that nobody has open: write what it holds as one image beside it | remove it |
//! | keep | give the present head a second name | take that name away |
//! | swap | rename the one image over the head | rename the kept one over it, unless somebody wrote since |
//! | stream | a machine that runs: let it pull all layers into its head | let it stop; what it pulled stays |
//! | purge | remove the old head, and the layers that nothing needs any more | none: from its intent on the job goes forward only |
//!
//! Of the first three and the fourth only one part does something: which, is
//! found out by the first. Restore points are not touched, and the disk has the
//! same contents before, between and after, whatever happens: also when somebody
//! who is not known here writes to it meanwhile.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use backout_core::code::Code;
use backout_core::ids::{InstanceId, JobId};
use backout_core::outcome::Outcome;
use backout_disks::{Disk, DiskLock, Format, Kept, Name, Point, Progress, Staged};
use backout_jobs::{Commit, Done, Procedure, Step, StepContext, StepError, Undo};
use backout_machines::State;
use serde::{Deserialize, Serialize};

use super::{Runtime, disk_error, machine_error, on_disk, server, settle, under_lock};
use crate::model::{Server, Subject, Volume};
use crate::persistence;
use crate::power::of_machine;

/// The procedure.
#[derive(Clone, Debug)]
pub struct Compact(pub Runtime);

/// What it is told.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CompactInput {
    /// Whose disk it is.
    pub subject: Subject,
    /// The server that uses it.
    pub host: Option<InstanceId>,
    /// The disk.
    pub disk: Volume,
    /// Whether somebody asked for it, rather than the background keeper.
    pub asked: bool,
}

const STEPS: &[Step<Compact>] = &[
    Step {
        name: "flatten",
        does: "write what the disk holds as one image beside it, if nobody has it open",
        run: |p, ctx| Box::pin(flatten(p, ctx)),
        undo: Undo::By {
            does: "remove that image",
            run: |_, ctx| Box::pin(unflatten(ctx)),
        },
    },
    Step {
        name: "keep",
        does: "give the present head a second name",
        run: |_, ctx| Box::pin(keep(ctx)),
        undo: Undo::By {
            does: "take that name away",
            run: |_, ctx| Box::pin(unkeep(ctx)),
        },
    },
    Step {
        name: "swap",
        does: "put the one image in the place of the head",
        run: |_, ctx| Box::pin(swap(ctx)),
        undo: Undo::By {
            does: "put the kept head back, unless somebody wrote to the disk since",
            run: |_, ctx| Box::pin(unswap(ctx)),
        },
    },
    Step {
        name: "stream",
        does: "let the machine pull all layers into its head, if it runs",
        run: |p, ctx| Box::pin(stream(p, ctx)),
        undo: Undo::By {
            does: "let it stop; what it has pulled stays, its contents are the same",
            run: |p, ctx| Box::pin(unstream(p, ctx)),
        },
    },
    Step {
        name: "purge",
        does: "remove the old head, and the layers that nothing needs any more",
        run: |_, ctx| Box::pin(purge(ctx)),
        undo: Undo::Never,
    },
];

impl Procedure for Compact {
    fn name(&self) -> &'static str {
        "servers.compact"
    }

    fn steps(&self) -> &[Step<Self>] {
        STEPS
    }

    fn settle(&self, ctx: &StepContext, outcome: Outcome, _failure: Option<&StepError>) -> Commit {
        let input = ctx.input::<CompactInput>();
        Box::new(move |tx| match input {
            Ok(input) if input.asked => settle(tx, &input.subject, outcome),
            _ => Ok(()),
        })
    }
}

/// What the first step found, and did.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Flattened {
    /// The disk's machine runs, and does the work.
    Live,
    /// The one image lies beside the head.
    Staged {
        staged: Staged,
        /// The head that it was made of.
        head: Stamp,
    },
}

/// What changes whenever somebody writes to a file, and stays when it is
/// renamed or gets another name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Stamp {
    bytes: u64,
    modified_s: i64,
    modified_ns: i64,
}

impl Stamp {
    fn of(path: &Path) -> Result<Self, StepError> {
        let metadata = std::fs::metadata(path).map_err(|e| {
            StepError::failed(Code::DiskIo, format!("look at {}: {e}", path.display()))
        })?;
        Ok(Self {
            bytes: metadata.size(),
            modified_s: metadata.mtime(),
            modified_ns: metadata.mtime_nsec(),
        })
    }
}

fn name(job: &JobId) -> Result<Name, StepError> {
    Name::new(job.as_str()).map_err(disk_error)
}

/// The server that may have the disk open, if it is a virtual machine.
async fn machine(ctx: &StepContext, input: &CompactInput) -> Result<Option<Server>, StepError> {
    match &input.host {
        None => Ok(None),
        Some(id) => Ok(Some(server(ctx, id).await?).filter(|s| s.machine.is_some())),
    }
}

fn written(disk: &Disk) -> StepError {
    StepError::failed(
        Code::DiskInUse,
        format!(
            "shorten the chain of {}: somebody wrote to it meanwhile; stop that, and try again",
            disk.head.display()
        ),
    )
}

async fn flatten(procedure: &Compact, ctx: &StepContext) -> Result<Done, StepError> {
    let input: CompactInput = ctx.input()?;
    let name = name(&ctx.job)?;
    let machine = machine(ctx, &input).await?;
    let machines = procedure.0.machines.clone();
    let flattened = under_lock(ctx, &input.disk, move |guard, disk, progress| {
        if let Some(server) = machine
            && let State::On { .. } = machines.state(server.id.as_str()).map_err(machine_error)?
        {
            return Ok(Flattened::Live);
        }
        let driver = backout_disks::driver(disk.driver);
        // What a crash left may be of contents that are no longer there.
        driver.unstage(guard, disk, &name).map_err(disk_error)?;
        let head = Stamp::of(&disk.head)?;
        let staged = driver
            .stage_flat(guard, disk, &name, progress)
            .map_err(disk_error)?;
        if Stamp::of(&disk.head)? != head {
            driver.unstage(guard, disk, &name).map_err(disk_error)?;
            return Err(written(disk));
        }
        Ok(Flattened::Staged { staged, head })
    })
    .await?;
    Done::remember(&flattened)
}

async fn unflatten(ctx: &StepContext) -> Result<Done, StepError> {
    let input: CompactInput = ctx.input()?;
    let name = name(&ctx.job)?;
    on_disk(ctx, &input.disk, move |driver, guard, disk, _| {
        driver.unstage(guard, disk, &name)
    })
    .await?;
    Ok(Done::nothing())
}

/// What the first step left, if it left an image, and the head it was made of.
fn staged(ctx: &StepContext) -> Result<Option<(Staged, Stamp)>, StepError> {
    Ok(match ctx.output::<Flattened>("flatten")? {
        Some(Flattened::Staged { staged, head }) => Some((staged, head)),
        Some(Flattened::Live) | None => None,
    })
}

async fn keep(ctx: &StepContext) -> Result<Done, StepError> {
    let input: CompactInput = ctx.input()?;
    if staged(ctx)?.is_none() {
        return Ok(Done::nothing());
    }
    let name = name(&ctx.job)?;
    let kept = on_disk(ctx, &input.disk, move |driver, guard, disk, _| {
        driver.keep(guard, disk, &name)
    })
    .await?;
    Done::remember(&kept)
}

async fn unkeep(ctx: &StepContext) -> Result<Done, StepError> {
    let input: CompactInput = ctx.input()?;
    let Some((staged, _)) = staged(ctx)? else {
        return Ok(Done::nothing());
    };
    let name = name(&ctx.job)?;
    let live = live(ctx, &input.subject).await?;
    on_disk(ctx, &input.disk, move |driver, guard, disk, _| {
        if driver.inspect(disk)?.id.same_file(&staged.id) {
            // The one image has to stay: then the old head goes.
            let old = name.point(disk.format);
            driver.retire(guard, disk, &old)?;
            driver.purge(guard, disk, &old, &live)?;
            return Ok(());
        }
        driver.unkeep(guard, disk, &name)
    })
    .await?;
    Ok(Done::nothing())
}

async fn swap(ctx: &StepContext) -> Result<Done, StepError> {
    let input: CompactInput = ctx.input()?;
    let Some((staged, stamp)) = staged(ctx)? else {
        return Ok(Done::nothing());
    };
    let kept: Kept = ctx.output("keep")?.ok_or_else(|| {
        StepError::failed(Code::Internal, "swap heads: the record of keep is missing")
    })?;
    let image = under_lock(ctx, &input.disk, move |guard, disk, _| {
        let driver = backout_disks::driver(disk.driver);
        let head = driver.inspect(disk).map_err(disk_error)?;
        let first = head.id.same_file(&kept.id);
        if first && Stamp::of(&disk.head)? != stamp {
            return Err(written(disk));
        }
        driver
            .swap(guard, disk, &staged, &kept)
            .map_err(disk_error)?;
        // After a crash nobody knows whether it was written to since.
        first.then(|| Stamp::of(&disk.head)).transpose()
    })
    .await?;
    Done::remember(&image)
}

async fn unswap(ctx: &StepContext) -> Result<Done, StepError> {
    let input: CompactInput = ctx.input()?;
    let (Some((staged, _)), Some(kept)) = (staged(ctx)?, ctx.output::<Kept>("keep")?) else {
        return Ok(Done::nothing());
    };
    let image: Option<Stamp> = ctx.output("swap")?;
    under_lock(ctx, &input.disk, move |guard, disk, _| {
        let driver = backout_disks::driver(disk.driver);
        let head = driver.inspect(disk).map_err(disk_error)?;
        let open = !crate::preflight::writers(&disk.head)
            .map_err(disk_error)?
            .is_empty();
        if head.id.same_file(&staged.id) && (open || Some(Stamp::of(&disk.head)?) != image) {
            return Ok(());
        }
        driver
            .unswap(guard, disk, &staged, &kept)
            .map_err(disk_error)
    })
    .await?;
    Ok(Done::nothing())
}

/// Whether the machine is to do it.
fn is_live(ctx: &StepContext) -> Result<bool, StepError> {
    Ok(matches!(
        ctx.output::<Flattened>("flatten")?,
        Some(Flattened::Live)
    ))
}

async fn stream(procedure: &Compact, ctx: &StepContext) -> Result<Done, StepError> {
    pull(procedure, ctx, false).await
}

async fn unstream(procedure: &Compact, ctx: &StepContext) -> Result<Done, StepError> {
    pull(procedure, ctx, true).await
}

/// Lets the machine pull all layers into the head of the disk, or lets it stop
/// that, if a worker that died left it at that.
async fn pull(procedure: &Compact, ctx: &StepContext, stop: bool) -> Result<Done, StepError> {
    let input: CompactInput = ctx.input()?;
    let (true, Some(server)) = (is_live(ctx)?, machine(ctx, &input).await?) else {
        return Ok(Done::nothing());
    };
    let (machines, fence) = (procedure.0.machines.clone(), ctx.fence);
    let volume = input.disk.clone();
    under_lock(ctx, &input.disk, move |guard, _, progress| {
        // A machine is told what to do under the lock of its system disk.
        let more = match volume.id == server.disk.id {
            true => None,
            false => Some(DiskLock::acquire(&server.disk.spec(), fence).map_err(disk_error)?),
        };
        let guard = more.as_ref().unwrap_or(guard);
        let progress: &dyn Progress = if stop { &Enough } else { progress };
        match machines.stream(guard, server.id.as_str(), &of_machine(&volume), progress) {
            Err(e) if stop && (e.is_cancelled() || is_off(&e)) => Ok(()),
            other => other.map_err(machine_error),
        }
    })
    .await?;
    Ok(Done::nothing())
}

fn is_off(e: &backout_machines::Error) -> bool {
    matches!(e, backout_machines::Error::State { .. })
}

/// Stops work as soon as it has begun.
struct Enough;

impl Progress for Enough {
    fn at(&self, _done: u64, _total: u64) {}

    fn cancelled(&self) -> bool {
        true
    }
}

/// The files of all restore points of the disk.
async fn live(ctx: &StepContext, subject: &Subject) -> Result<Vec<Point>, StepError> {
    let subject = subject.clone();
    let all = ctx
        .store
        .read(move |tx| persistence::points_of(tx, &subject))
        .await?;
    Ok(all.into_iter().map(|(_, point)| point).collect())
}

async fn purge(ctx: &StepContext) -> Result<Done, StepError> {
    let input: CompactInput = ctx.input()?;
    let live = live(ctx, &input.subject).await?;
    let mut gone = vec![name(&ctx.job)?.point(input.disk.format)];
    // What the disk was when it came under management is a layer that no
    // restore point names.
    let base = Name::new(format!("base-{}", input.disk.id)).map_err(disk_error)?;
    gone.push(base.point(Format::Raw));
    on_disk(ctx, &input.disk, move |driver, guard, disk, _| {
        for point in &gone {
            driver.retire(guard, disk, point)?;
            driver.purge(guard, disk, point, &live)?;
        }
        Ok(())
    })
    .await?;
    Ok(Done::nothing())
}
