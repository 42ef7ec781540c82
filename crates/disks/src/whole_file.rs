//! The drivers whose points are whole files: clones that share blocks, or
//! sparse copies. They differ only in how a file is duplicated.
//!
//! | function | do | undo |
//! |---|---|---|
//! | capture | duplicate the head to `tmp`, sync, rename to the point | unlink the point |
//! | stage | duplicate the point to `tmp`, sync, rename to `stage` | unlink `stage` |
//! | retire | rename the point to `trash` | rename it back |

use std::fs::File;
use std::path::{Path, PathBuf};

use crate::driver::Driver;
use crate::error::{Error, Result};
use crate::fsx::{self, TmpFile};
use crate::holders::refuse_writers;
use crate::lock::Guard;
use crate::model::{
    Adopted, Captured, Disk, DriverKind, FileId, Format, HeadFacts, Kept, Name, Point, PointFacts,
    Progress, Purged, Retired, Staged, Swapped,
};
use crate::qcow2::header;
use crate::steps;

/// Fills an empty file with the contents of another.
type Duplicate = fn(&File, &File, &Path, &dyn Progress) -> Result<()>;

/// The driver for file systems that share blocks between files.
pub(crate) static REFLINK: WholeFile = WholeFile {
    kind: DriverKind::Reflink,
    duplicate: |from, to, to_path, progress| {
        if progress.cancelled() {
            return Err(Error::Cancelled {
                path: to_path.to_owned(),
            });
        }
        fsx::clone_blocks(from, to, to_path)
    },
};

/// The driver for every other file system.
pub(crate) static COPY: WholeFile = WholeFile {
    kind: DriverKind::Copy,
    duplicate: fsx::copy_data,
};

/// A driver whose points are whole files.
pub(crate) struct WholeFile {
    kind: DriverKind,
    duplicate: Duplicate,
}

impl WholeFile {
    /// Makes `to` a durable duplicate of `from`, unless it is there already: it
    /// got its name only when it was whole.
    fn make(
        &self,
        guard: &Guard,
        disk: &Disk,
        from: &Path,
        to: &Path,
        name: &Name,
        progress: &dyn Progress,
    ) -> Result<()> {
        if fsx::find(to)?.is_none() {
            let source = fsx::open(from)?;
            let tmp = TmpFile::claim(guard.folder().join(name.tmp_file()))?;
            let file = tmp.create()?;
            (self.duplicate)(&source, &file, tmp.path(), progress)?;
            fsx::dress(&fsx::open(&disk.head)?, &file, tmp.path())?;
            fsx::sync_file(&file, tmp.path())?;
            tmp.publish(to)?;
        }
        fsx::sync_folder(guard.folder())
    }

    /// The copy is complete in itself only when the image is.
    fn check(path: &Path, format: Format) -> Result<()> {
        if format == Format::Raw {
            return Ok(());
        }
        let header = header::read(path)?;
        header.check_usable(path)?;
        if header.backing.is_some() {
            return Err(Error::Unsupported {
                path: path.to_owned(),
                why: "it has a backing file, and this driver copies single files: flatten it \
                      with qemu-img convert, or use driver qcow2"
                    .to_owned(),
            });
        }
        Ok(())
    }

    fn point_file(disk: &Disk, point: &Point) -> Result<(PathBuf, PointFacts)> {
        let path = disk.point_path(point)?;
        if point.format != disk.format {
            return Err(Error::Format {
                path,
                why: format!(
                    "it is {} and the disk is {}: choose a point of this disk",
                    point.format, disk.format
                ),
            });
        }
        let metadata = fsx::regular(&path)?;
        let facts = steps::facts(&path, &metadata, point.format)?;
        Ok((path, facts))
    }
}

impl Driver for WholeFile {
    fn kind(&self) -> DriverKind {
        self.kind
    }

    fn constant_time(&self) -> bool {
        self.kind == DriverKind::Reflink
    }

    fn adopt(&self, guard: &Guard, disk: &Disk, name: &Name) -> Result<Adopted> {
        guard.covers(disk)?;
        let head = self.inspect(disk)?;
        Self::check(&disk.head, disk.format)?;
        steps::try_names(guard, disk, name)?;
        if self.kind == DriverKind::Reflink {
            // An empty clone would say nothing: some file systems allow that.
            let tmp = TmpFile::claim(guard.folder().join(name.tmp_file()))?;
            let file = tmp.create()?;
            fsx::clone_blocks(&fsx::open(&disk.head)?, &file, tmp.path())?;
        }
        Ok(Adopted {
            disk: disk.clone(),
            base: None,
            head,
        })
    }

    fn unadopt(
        &self,
        guard: &Guard,
        disk: &Disk,
        _name: &Name,
        _progress: &dyn Progress,
    ) -> Result<()> {
        // Adoption changed nothing.
        guard.covers(disk)
    }

    fn inspect(&self, disk: &Disk) -> Result<HeadFacts> {
        if disk.format == Format::Qcow2 {
            fsx::head(&disk.head)?;
            header::read(&disk.head)?.check_usable(&disk.head)?;
        }
        steps::inspect(disk, 1)
    }

    fn capture(
        &self,
        guard: &Guard,
        disk: &Disk,
        name: &Name,
        progress: &dyn Progress,
    ) -> Result<Captured> {
        guard.covers(disk)?;
        let head = fsx::head(&disk.head)?;
        let point = name.point(disk.format);
        let path = disk.point_path(&point)?;
        if fsx::find(&path)?.is_none() {
            Self::check(&disk.head, disk.format)?;
        }
        self.make(guard, disk, &disk.head, &path, name, progress)?;
        let (_, facts) = Self::point_file(disk, &point)?;
        Ok(Captured {
            point,
            facts,
            head: FileId::of(&head),
        })
    }

    fn uncapture(&self, guard: &Guard, disk: &Disk, name: &Name) -> Result<()> {
        guard.covers(disk)?;
        fsx::unlink(&disk.point_path(&name.point(disk.format))?)?;
        fsx::sync_folder(guard.folder())
    }

    fn stage(
        &self,
        guard: &Guard,
        disk: &Disk,
        point: &Point,
        name: &Name,
        progress: &dyn Progress,
    ) -> Result<Staged> {
        guard.covers(disk)?;
        fsx::head(&disk.head)?;
        let stage = guard.folder().join(name.stage_file());
        if fsx::find(&stage)?.is_none() {
            self.verify_point(disk, point)?;
        }
        let from = disk.point_path(point)?;
        self.make(guard, disk, &from, &stage, name, progress)?;
        steps::staged(disk, &stage, name)
    }

    fn stage_flat(
        &self,
        guard: &Guard,
        disk: &Disk,
        name: &Name,
        progress: &dyn Progress,
    ) -> Result<Staged> {
        guard.covers(disk)?;
        fsx::head(&disk.head)?;
        let stage = guard.folder().join(name.stage_file());
        if fsx::find(&stage)?.is_none() {
            refuse_writers(&disk.head)?;
        }
        self.make(guard, disk, &disk.head, &stage, name, progress)?;
        steps::staged(disk, &stage, name)
    }

    fn unstage(&self, guard: &Guard, disk: &Disk, name: &Name) -> Result<()> {
        steps::unstage(guard, disk, name)
    }

    fn keep(&self, guard: &Guard, disk: &Disk, name: &Name) -> Result<Kept> {
        steps::keep(guard, disk, name)
    }

    fn unkeep(&self, guard: &Guard, disk: &Disk, name: &Name) -> Result<()> {
        steps::unkeep(guard, disk, name)
    }

    fn swap(&self, guard: &Guard, disk: &Disk, staged: &Staged, kept: &Kept) -> Result<Swapped> {
        steps::swap(guard, disk, staged, kept)
    }

    fn unswap(&self, guard: &Guard, disk: &Disk, staged: &Staged, kept: &Kept) -> Result<()> {
        steps::unswap(guard, disk, staged, kept)
    }

    fn retire(&self, guard: &Guard, disk: &Disk, point: &Point) -> Result<Retired> {
        steps::retire_by_rename(guard, disk, point)
    }

    fn unretire(&self, guard: &Guard, disk: &Disk, point: &Point) -> Result<()> {
        steps::unretire(guard, disk, point)
    }

    fn purge(&self, guard: &Guard, disk: &Disk, point: &Point, live: &[Point]) -> Result<Purged> {
        let mut purged = Purged::default();
        steps::purge_trash(guard, disk, point, live, &mut purged)?;
        fsx::sync_folder(guard.folder())?;
        Ok(purged)
    }

    fn verify_point(&self, disk: &Disk, point: &Point) -> Result<PointFacts> {
        let (path, facts) = Self::point_file(disk, point)?;
        Self::check(&path, point.format)?;
        Ok(facts)
    }

    fn space_needed(&self, disk: &Disk, point: Option<&Point>) -> Result<u64> {
        let source = match point {
            Some(point) => fsx::regular(&disk.point_path(point)?)?,
            None => fsx::head(&disk.head)?,
        };
        let data = match self.kind {
            DriverKind::Copy => fsx::allocated(&source),
            DriverKind::Reflink | DriverKind::Qcow2 => 0,
        };
        Ok(data.saturating_add(steps::METADATA_BYTES))
    }

    fn space_needed_flat(&self, disk: &Disk) -> Result<u64> {
        self.space_needed(disk, None)
    }
}
