//! Makes a blank data disk, or takes an existing image file under management
//! as one, in place.
//!
//! | step | do | undo |
//! |---|---|---|
//! | add | make the file; or make the folder for restore points beside an existing one, and that file what the driver needs | remove the file that was made; make an existing one what it was |

use std::sync::Mutex;

use backout_core::outcome::Outcome;
use backout_disks::{DriverKind, Format, Name};
use backout_jobs::{Commit, Done, Procedure, Step, StepContext, StepError, Undo};
use serde::{Deserialize, Serialize};

use super::{StepProgress, disk_error, on_disk, settle};
use crate::model::{DiskState, Subject, Volume};
use crate::persistence;

/// The procedure.
#[derive(Clone, Copy, Debug, Default)]
pub struct AddDisk;

/// What it is told.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AddDiskInput {
    /// The disk, whose row is there already, with the format of the user's
    /// file.
    pub disk: Volume,
    /// Whether its file is to be made, blank and of the disk's size.
    pub blank: bool,
}

/// What the disk has become.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Added {
    format: Format,
    size_bytes: u64,
}

const STEPS: &[Step<AddDisk>] = &[Step {
    name: "add",
    does: "make a blank disk; or make the folder for restore points beside an existing one, and its head what the driver needs",
    run: |_, ctx| Box::pin(add(ctx)),
    undo: Undo::By {
        does: "remove the disk that was made; or make the head what it was",
        run: |_, ctx| Box::pin(remove(ctx)),
    },
}];

impl Procedure for AddDisk {
    fn name(&self) -> &'static str {
        "servers.add_disk"
    }

    fn steps(&self) -> &[Step<Self>] {
        STEPS
    }

    fn settle(&self, ctx: &StepContext, outcome: Outcome, _failure: Option<&StepError>) -> Commit {
        let input = ctx.input::<AddDiskInput>();
        let added = ctx.output::<Added>("add");
        Box::new(move |tx| {
            let Ok(input) = input else { return Ok(()) };
            let id = input.disk.id.clone();
            match outcome {
                Outcome::Applied => {
                    if let Ok(Some(added)) = added {
                        let disk = Volume {
                            format: added.format,
                            size_bytes: added.size_bytes,
                            ..input.disk
                        };
                        persistence::update_disk(tx, &disk)?;
                    }
                    persistence::set_attachment(tx, &id, None, DiskState::Unattached)?;
                    settle(tx, &Subject::Disk(id), outcome)
                }
                Outcome::Reverted => persistence::delete_disk(tx, &id),
                Outcome::Held => settle(tx, &Subject::Disk(id), outcome),
            }
        })
    }
}

/// The name of what is made here: the layer under an existing head, or the head.
fn name(input: &AddDiskInput) -> Result<Name, StepError> {
    Name::new(format!("base-{}", input.disk.id)).map_err(disk_error)
}

async fn add(ctx: &StepContext) -> Result<Done, StepError> {
    let input: AddDiskInput = ctx.input()?;
    let name = name(&input)?;
    let added = if input.blank {
        let inside = ctx.clone();
        ctx.blocking(move || {
            let Volume {
                head,
                driver,
                size_bytes,
                ..
            } = &input.disk;
            let progress = StepProgress {
                ctx: &inside,
                last_percent: Mutex::new(None),
            };
            let fence = inside.fence;
            let disk =
                backout_disks::make(head, *driver, None, *size_bytes, &name, fence, &progress)
                    .map_err(disk_error)?;
            let facts = backout_disks::driver(disk.driver)
                .inspect(&disk)
                .map_err(disk_error)?;
            Ok(Added {
                format: disk.format,
                size_bytes: facts.size_bytes,
            })
        })
        .await?
    } else {
        let adopted = on_disk(ctx, &input.disk, move |driver, guard, disk, _| {
            driver.adopt(guard, disk, &name)
        })
        .await?;
        Added {
            format: adopted.disk.format,
            size_bytes: adopted.head.size_bytes,
        }
    };
    Done::remember(&added)
}

async fn remove(ctx: &StepContext) -> Result<Done, StepError> {
    let input: AddDiskInput = ctx.input()?;
    let name = name(&input)?;
    if input.blank {
        let fence = ctx.fence;
        ctx.blocking(move || {
            let (head, driver): (_, DriverKind) = (&input.disk.head, input.disk.driver);
            backout_disks::unmake(head, driver, &name, fence).map_err(disk_error)
        })
        .await?;
    } else {
        on_disk(ctx, &input.disk, move |driver, guard, disk, progress| {
            driver.unadopt(guard, disk, &name, progress)
        })
        .await?;
    }
    Ok(Done::nothing())
}
