//! How another head takes the place of a disk's present one: what rollbacks and
//! resets have in common.
//!
//! Steps named `stage`, `keep` and `swap`, in this order, each remembering its
//! driver's receipt; the first is the procedure's own.

use backout_core::code::Code;
use backout_core::ids::PointId;
use backout_disks::{Kept, Staged};
use backout_jobs::{Done, StepContext, StepError};

use super::{name, on_disk};
use crate::model::Volume;

/// Removes the head that was staged for the safety point `safety`.
pub(super) async fn unstage(
    ctx: &StepContext,
    disk: &Volume,
    safety: &PointId,
) -> Result<Done, StepError> {
    let staged = name(safety)?;
    on_disk(ctx, disk, move |driver, guard, disk, _| {
        driver.unstage(guard, disk, &staged)
    })
    .await?;
    Ok(Done::nothing())
}

/// Gives the present head a second name: that of the safety point `safety`.
pub(super) async fn keep(
    ctx: &StepContext,
    disk: &Volume,
    safety: &PointId,
) -> Result<Done, StepError> {
    let safety = name(safety)?;
    let kept = on_disk(ctx, disk, move |driver, guard, disk, _| {
        driver.keep(guard, disk, &safety)
    })
    .await?;
    Done::remember(&kept)
}

/// Takes that name away.
pub(super) async fn unkeep(
    ctx: &StepContext,
    disk: &Volume,
    safety: &PointId,
) -> Result<Done, StepError> {
    let safety = name(safety)?;
    on_disk(ctx, disk, move |driver, guard, disk, _| {
        driver.unkeep(guard, disk, &safety)
    })
    .await?;
    Ok(Done::nothing())
}

/// What `stage` and `keep` left, if both have run.
fn receipts(ctx: &StepContext) -> Result<Option<(Staged, Kept)>, StepError> {
    Ok(ctx.output("stage")?.zip(ctx.output("keep")?))
}

/// Puts the staged head in the place of the kept one; gives its size, in bytes.
pub(super) async fn swap(ctx: &StepContext, disk: &Volume) -> Result<(Done, u64), StepError> {
    let (staged, kept) = receipts(ctx)?.ok_or_else(|| {
        StepError::failed(
            Code::Internal,
            "swap heads: the records of stage and keep are missing",
        )
    })?;
    let size_bytes = staged.size_bytes;
    let swapped = on_disk(ctx, disk, move |driver, guard, disk, _| {
        driver.swap(guard, disk, &staged, &kept)
    })
    .await?;
    Ok((Done::remember(&swapped)?, size_bytes))
}

/// Puts the kept head back, if it ever was replaced.
pub(super) async fn unswap(ctx: &StepContext, disk: &Volume) -> Result<(), StepError> {
    if let Some((staged, kept)) = receipts(ctx)? {
        on_disk(ctx, disk, move |driver, guard, disk, _| {
            driver.unswap(guard, disk, &staged, &kept)
        })
        .await?;
    }
    Ok(())
}
