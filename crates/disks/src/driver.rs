//! What every driver does.

use std::path::Path;

use crate::error::Result;
use crate::lock::Guard;
use crate::model::{
    Adopted, Captured, Disk, DriverKind, ExportFacts, Format, HeadFacts, Kept, Name, Point,
    PointFacts, Progress, Purged, Retired, Staged, Swapped,
};
use crate::{image, qcow2, whole_file};

/// Makes restore points of a disk, and goes back to them.
///
/// All functions block. Those that change something take a [`Guard`] of the
/// same disk, may be repeated after a crash, and clean up after themselves when
/// they fail. An undo takes no receipt of the function it undoes, because that
/// may have crashed before it could give one.
///
/// Every function can return [`crate::Error::Io`], [`crate::Error::NoSpace`],
/// [`crate::Error::ReadOnly`], and [`crate::Error::Missing`] when the head is
/// not there; only further errors are named below.
pub trait Driver: Send + Sync {
    /// Which driver it is.
    fn kind(&self) -> DriverKind;

    /// Whether capture and stage take the same time for any size of disk.
    fn constant_time(&self) -> bool;

    /// Checks that the driver can work with `disk`, and makes it ready. `disk`
    /// has the format of the user's file. `name` names the lowest layer, where
    /// the driver makes one.
    ///
    /// # Errors
    /// [`crate::Error::Unsupported`], [`crate::Error::Format`], and for a raw head
    /// under the qcow2 driver [`crate::Error::InUse`].
    fn adopt(&self, guard: &Guard, disk: &Disk, name: &Name) -> Result<Adopted>;

    /// Undoes [`Driver::adopt`]; `disk` and `name` as they were given to it. A
    /// head that was put under the qcow2 driver becomes raw again, with the
    /// contents it has now.
    ///
    /// # Errors
    /// [`crate::Error::InUse`], [`crate::Error::Tool`],
    /// [`crate::Error::Cancelled`].
    fn unadopt(
        &self,
        guard: &Guard,
        disk: &Disk,
        name: &Name,
        progress: &dyn Progress,
    ) -> Result<()>;

    /// Looks at the head.
    ///
    /// # Errors
    /// [`crate::Error::Format`].
    fn inspect(&self, disk: &Disk) -> Result<HeadFacts>;

    /// Makes the restore point `name.point(disk.format)` of the head.
    ///
    /// While a machine writes to the head, a clone is what the machine would
    /// find after a power loss; a copy is of no one instant, so the caller stops
    /// the machine or warns; an overlay is refused.
    ///
    /// # Errors
    /// [`crate::Error::InUse`] (qcow2 only: a writer would go on to write into
    /// the point), [`crate::Error::Tool`], [`crate::Error::Cancelled`],
    /// [`crate::Error::Unsupported`].
    fn capture(
        &self,
        guard: &Guard,
        disk: &Disk,
        name: &Name,
        progress: &dyn Progress,
    ) -> Result<Captured>;

    /// [`Driver::capture`] while the machine that has the head open is paused
    /// and has written out what it held back.
    ///
    /// The caller promises that no other process writes, and that the machine
    /// is told to write into the file that lies at the head's path afterwards
    /// (for QEMU: `blockdev-add` of it without a backing file, then
    /// `blockdev-snapshot`) before it goes on. Only under the qcow2 driver is
    /// that another file than the machine has open, which is then the point:
    /// [`Disk::point_path`] of [`Captured::point`].
    ///
    /// # Errors
    /// As [`Driver::capture`], but never [`crate::Error::InUse`].
    fn capture_paused(
        &self,
        guard: &Guard,
        disk: &Disk,
        name: &Name,
        progress: &dyn Progress,
    ) -> Result<Captured> {
        self.capture(guard, disk, name, progress)
    }

    /// Undoes [`Driver::capture`] and [`Driver::capture_paused`]. The head keeps
    /// its contents.
    ///
    /// A machine may be paused meanwhile, in either state: when it still has
    /// open what became the point, that is the head again; when it has the new
    /// head open, that stays the head, and the point is given up as
    /// [`Driver::retire`] does, to go with the next purge. A machine that has
    /// both open but was not yet told to write into the new head must let go of
    /// that (`blockdev-del`) first.
    ///
    /// # Errors
    /// [`crate::Error::Format`] when a header cannot be read.
    fn uncapture(&self, guard: &Guard, disk: &Disk, name: &Name) -> Result<()>;

    /// Builds a new head out of `point`, beside the present one.
    ///
    /// # Errors
    /// [`crate::Error::PointMissing`], [`crate::Error::Format`],
    /// [`crate::Error::Tool`], [`crate::Error::Cancelled`].
    fn stage(
        &self,
        guard: &Guard,
        disk: &Disk,
        point: &Point,
        name: &Name,
        progress: &dyn Progress,
    ) -> Result<Staged>;

    /// Builds a new head with the contents of the present one that is built on
    /// nothing else. The head must not be written to until the swap, or that is
    /// lost.
    ///
    /// # Errors
    /// [`crate::Error::InUse`], and as [`Driver::stage`].
    fn stage_flat(
        &self,
        guard: &Guard,
        disk: &Disk,
        name: &Name,
        progress: &dyn Progress,
    ) -> Result<Staged>;

    /// Builds a new head out of the image file `source`, which is none of the
    /// disk's: a reinstall. It has the disk's format, `size_bytes` (of a qcow2
    /// disk, rounded up to 512), and is built on nothing else. The image must
    /// not be written to meanwhile.
    ///
    /// # Errors
    /// [`crate::Error::ImageMissing`], [`crate::Error::ImageTooLarge`],
    /// [`crate::Error::Format`], [`crate::Error::Unsupported`] for an image that
    /// is built on another one, [`crate::Error::InUse`] when a machine has
    /// locked it, [`crate::Error::Tool`], [`crate::Error::Cancelled`].
    #[expect(clippy::too_many_arguments, reason = "each is its own thing")]
    fn stage_image(
        &self,
        guard: &Guard,
        disk: &Disk,
        source: &Path,
        source_format: Format,
        size_bytes: u64,
        name: &Name,
        progress: &dyn Progress,
    ) -> Result<Staged> {
        let source = Some((source, source_format));
        image::stage(guard, disk, source, size_bytes, name, progress)
    }

    /// Undoes [`Driver::stage`], [`Driver::stage_flat`] and
    /// [`Driver::stage_image`].
    ///
    /// # Errors
    /// None of its own.
    fn unstage(&self, guard: &Guard, disk: &Disk, name: &Name) -> Result<()>;

    /// Gives the present head a second name, so that it outlives the swap: the
    /// safety point `name.point(disk.format)`.
    ///
    /// # Errors
    /// [`crate::Error::HeadChanged`] when something else is kept under `name`
    /// already.
    fn keep(&self, guard: &Guard, disk: &Disk, name: &Name) -> Result<Kept>;

    /// Undoes [`Driver::keep`].
    ///
    /// # Errors
    /// [`crate::Error::HeadChanged`] when the name is the only one left of what
    /// was kept.
    fn unkeep(&self, guard: &Guard, disk: &Disk, name: &Name) -> Result<()>;

    /// Puts the staged head in the place of the kept one.
    ///
    /// # Errors
    /// [`crate::Error::HeadChanged`] when the head is no longer the kept file,
    /// [`crate::Error::PointMissing`], [`crate::Error::InUse`].
    fn swap(&self, guard: &Guard, disk: &Disk, staged: &Staged, kept: &Kept) -> Result<Swapped>;

    /// Undoes [`Driver::swap`]: the kept file is the head again, and the staged
    /// one is back under its staged name, with whatever was written since.
    ///
    /// # Errors
    /// As [`Driver::swap`].
    fn unswap(&self, guard: &Guard, disk: &Disk, staged: &Staged, kept: &Kept) -> Result<()>;

    /// Takes a point away, undoably. Nothing is freed yet.
    ///
    /// # Errors
    /// [`crate::Error::Format`] when a header cannot be read, so that it is not
    /// known who needs the point.
    fn retire(&self, guard: &Guard, disk: &Disk, point: &Point) -> Result<Retired>;

    /// Undoes [`Driver::retire`]. Not after the purge.
    ///
    /// # Errors
    /// None of its own.
    fn unretire(&self, guard: &Guard, disk: &Disk, point: &Point) -> Result<()>;

    /// Removes the retired `point` for good, and every forgotten layer that
    /// neither the head nor a `live` point needs. There is no undo. A point in
    /// `live` is never removed.
    ///
    /// # Errors
    /// As [`Driver::retire`].
    fn purge(&self, guard: &Guard, disk: &Disk, point: &Point, live: &[Point]) -> Result<Purged>;

    /// Checks that a point is there, whole as far as its headers tell, and that
    /// every layer below it is there.
    ///
    /// # Errors
    /// [`crate::Error::PointMissing`], [`crate::Error::Format`].
    fn verify_point(&self, disk: &Disk, point: &Point) -> Result<PointFacts>;

    /// Writes what the head holds to `target` as one image file of `format` that
    /// is built on nothing else, readable by its owner only; makes the folder
    /// that `target` lies in. The caller sees to it that nobody writes to the
    /// head: a paused machine may have it open.
    ///
    /// # Errors
    /// [`crate::Error::Exists`] when a file is at `target` that was not made
    /// under `name`, [`crate::Error::PointMissing`], [`crate::Error::Format`],
    /// [`crate::Error::Tool`], [`crate::Error::Cancelled`].
    fn export(
        &self,
        guard: &Guard,
        disk: &Disk,
        target: &Path,
        format: Format,
        name: &Name,
        progress: &dyn Progress,
    ) -> Result<ExportFacts> {
        image::export(guard, disk, target, format, name, progress)
    }

    /// Undoes [`Driver::export`]: removes `target` when it was made under
    /// `name`, until the next export from this disk begins. Another file that is
    /// there stays.
    ///
    /// # Errors
    /// None of its own.
    fn unexport(&self, guard: &Guard, disk: &Disk, target: &Path, name: &Name) -> Result<()> {
        image::unexport(guard, disk, target, name)
    }

    /// Free space to have before capturing the head (`None`) or staging a
    /// point, in bytes.
    ///
    /// # Errors
    /// [`crate::Error::PointMissing`].
    fn space_needed(&self, disk: &Disk, point: Option<&Point>) -> Result<u64>;

    /// Free space to have before [`Driver::stage_flat`], in bytes. Looks at
    /// every layer.
    ///
    /// # Errors
    /// [`crate::Error::PointMissing`], [`crate::Error::Format`],
    /// [`crate::Error::Unsupported`].
    fn space_needed_flat(&self, disk: &Disk) -> Result<u64>;

    /// Free space to have on the file system of `target` before
    /// [`Driver::export`], in bytes. The folder of `target` need not be there.
    ///
    /// # Errors
    /// As [`Driver::space_needed_flat`].
    fn space_needed_export(&self, disk: &Disk, target: &Path, format: Format) -> Result<u64> {
        image::space_needed_export(disk, target, format)
    }
}

/// The driver of that kind.
#[must_use]
pub fn driver(kind: DriverKind) -> &'static dyn Driver {
    match kind {
        DriverKind::Reflink => &whole_file::REFLINK,
        DriverKind::Copy => &whole_file::COPY,
        DriverKind::Qcow2 => &qcow2::QCOW2,
    }
}
