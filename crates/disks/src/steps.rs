//! The steps that are the same for every driver: they move names, and look at
//! no contents.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::error::{Error, Result};
use crate::fsx::{self, TmpFile};
use crate::holders::refuse_writers;
use crate::lock::Guard;
use crate::model::{
    Disk, FileId, Format, HeadFacts, Kept, Name, Point, PointFacts, Purged, Retired, Staged,
    Swapped,
};
use crate::qcow2::header;

/// Free space to leave for the file system's own records of a clone, an overlay
/// or a name, in bytes.
pub(crate) const METADATA_BYTES: u64 = 16 << 20;

/// Size of the disk in an image file, as a machine sees it, in bytes.
pub(crate) fn virtual_size(path: &Path, metadata: &Metadata, format: Format) -> Result<u64> {
    match format {
        Format::Raw => Ok(metadata.len()),
        Format::Qcow2 => Ok(header::read(path)?.size_bytes),
    }
}

pub(crate) fn facts(path: &Path, metadata: &Metadata, format: Format) -> Result<PointFacts> {
    Ok(PointFacts {
        size_bytes: virtual_size(path, metadata, format)?,
        allocated_bytes: fsx::allocated(metadata),
    })
}

pub(crate) fn unstage(guard: &Guard, disk: &Disk, name: &Name) -> Result<()> {
    guard.covers(disk)?;
    fsx::unlink(&guard.folder().join(name.stage_file()))?;
    fsx::sync_folder(guard.folder())
}

pub(crate) fn keep(guard: &Guard, disk: &Disk, name: &Name) -> Result<Kept> {
    guard.covers(disk)?;
    let metadata = fsx::head(&disk.head)?;
    let id = FileId::of(&metadata);
    let point = name.point(disk.format);
    let path = disk.point_path(&point)?;
    let facts = facts(&disk.head, &metadata, disk.format)?;
    match fsx::id(&path)? {
        Some(kept) if kept.same_file(&id) => {}
        Some(_) => {
            return Err(Error::HeadChanged {
                path: disk.head.clone(),
                why: format!(
                    "another file was kept as {:?} before: put that one back, or take the step \
                     back",
                    point.file
                ),
            });
        }
        None => {
            // The point must not lose what its last writer left in the cache.
            fsx::sync_file(&fsx::open(&disk.head)?, &disk.head)?;
            fsx::link(&disk.head, &path)?;
        }
    }
    fsx::sync_folder(guard.folder())?;
    // Only now: a stacked file system may have moved the file when it was
    // linked.
    let id = FileId::of(&fsx::head(&disk.head)?);
    Ok(Kept { point, id, facts })
}

pub(crate) fn unkeep(guard: &Guard, disk: &Disk, name: &Name) -> Result<()> {
    guard.covers(disk)?;
    let point = name.point(disk.format);
    let path = disk.point_path(&point)?;
    let Some(kept) = fsx::id(&path)? else {
        return fsx::sync_folder(guard.folder());
    };
    if !fsx::id(&disk.head)?.is_some_and(|head| head.same_file(&kept)) {
        return Err(Error::HeadChanged {
            path: disk.head.clone(),
            why: format!(
                "it is no longer the file that was kept as {:?}, which is now the only name of \
                 the old contents: move the one that is wanted to the disk's path",
                point.file
            ),
        });
    }
    fsx::unlink(&path)?;
    fsx::sync_folder(guard.folder())
}

/// The head, which must be one of the two files that a swap knows.
fn swap_head(disk: &Disk, staged: &Staged, kept: &Kept) -> Result<FileId> {
    let head = FileId::of(&fsx::head(&disk.head)?);
    if head.same_file(&staged.id) || head.same_file(&kept.id) {
        return Ok(head);
    }
    Err(Error::HeadChanged {
        path: disk.head.clone(),
        why: format!(
            "somebody has put another file there since it was kept as {:?}: put that one back, \
             or take the steps back and begin anew",
            kept.point.file
        ),
    })
}

pub(crate) fn swap(guard: &Guard, disk: &Disk, staged: &Staged, kept: &Kept) -> Result<Swapped> {
    guard.covers(disk)?;
    let head = swap_head(disk, staged, kept)?;
    let stage = guard.folder().join(staged.name.stage_file());
    let safe = disk.point_path(&kept.point)?;
    if head.same_file(&staged.id) {
        // Done before, but a crash may have left one of the two files, which
        // both have another name, at the staged name.
        if let Some(left) = fsx::id(&stage)? {
            expect_file(&safe, &kept.id)?;
            if left.same_file(&kept.id) || left.same_file(&staged.id) {
                fsx::unlink(&stage)?;
            }
        }
    } else {
        expect_file(&safe, &kept.id)?;
        expect_file(&stage, &staged.id)?;
        refuse_writers(&disk.head)?;
        fsx::sync_file(&fsx::open(&disk.head)?, &disk.head)?;
        fsx::replace(&stage, &disk.head, &kept.id)?;
    }
    sync_both(guard, disk)?;
    Ok(Swapped { head: staged.id })
}

pub(crate) fn unswap(guard: &Guard, disk: &Disk, staged: &Staged, kept: &Kept) -> Result<()> {
    guard.covers(disk)?;
    let head = swap_head(disk, staged, kept)?;
    if head.same_file(&staged.id) {
        let safe = disk.point_path(&kept.point)?;
        expect_file(&safe, &kept.id)?;
        refuse_writers(&disk.head)?;
        let stage = guard.folder().join(staged.name.stage_file());
        // The swap may have crashed half way through an exchange of names.
        if fsx::id(&stage)?.is_some_and(|left| left.same_file(&kept.id)) {
            fsx::unlink(&stage)?;
        }
        if fsx::id(&stage)?.is_none() {
            fsx::link(&disk.head, &stage)?;
        }
        expect_file(&stage, &staged.id)?;
        let tmp = TmpFile::claim(guard.folder().join(staged.name.tmp_file()))?;
        fsx::link(&safe, tmp.path())?;
        fsx::sync_folder(guard.folder())?;
        tmp.publish_over(&disk.head, &staged.id)?;
    }
    sync_both(guard, disk)
}

/// A name must still be of the file that was noted.
fn expect_file(path: &Path, id: &FileId) -> Result<()> {
    match fsx::id(path)? {
        Some(found) if found.same_file(id) => Ok(()),
        Some(_) => Err(Error::HeadChanged {
            path: path.to_owned(),
            why: "it is another file than the one that was noted: take the steps back and begin \
                  anew"
                .to_owned(),
        }),
        None => Err(Error::PointMissing {
            path: path.to_owned(),
        }),
    }
}

/// Makes the names of the head and of everything beside it durable.
pub(crate) fn sync_both(guard: &Guard, disk: &Disk) -> Result<()> {
    fsx::sync_folder(fsx::parent(&disk.head)?)?;
    fsx::sync_folder(guard.folder())
}

/// Moves a point that nothing is built on out of the way.
pub(crate) fn retire_by_rename(guard: &Guard, disk: &Disk, point: &Point) -> Result<Retired> {
    guard.covers(disk)?;
    let path = disk.point_path(point)?;
    if fsx::find(&path)?.is_some() {
        fsx::rename(&path, &guard.folder().join(point.trash_file()))?;
    }
    fsx::sync_folder(guard.folder())?;
    Ok(Retired::Moved)
}

pub(crate) fn unretire(guard: &Guard, disk: &Disk, point: &Point) -> Result<()> {
    guard.covers(disk)?;
    let path = disk.point_path(point)?;
    let trash = guard.folder().join(point.trash_file());
    if fsx::find(&trash)?.is_some() && fsx::find(&path)?.is_none() {
        fsx::rename(&trash, &path)?;
    }
    fsx::unlink(&guard.folder().join(point.gone_file()))?;
    fsx::sync_folder(guard.folder())
}

/// Removes the retired file of `point` for good.
pub(crate) fn purge_trash(
    guard: &Guard,
    disk: &Disk,
    point: &Point,
    live: &[Point],
    purged: &mut Purged,
) -> Result<()> {
    guard.covers(disk)?;
    disk.point_path(point)?;
    if live.contains(point) {
        return Ok(());
    }
    remove(guard, point.trash_file(), purged)
}

/// Removes a file of the disk's folder for good, and counts it.
pub(crate) fn remove(guard: &Guard, file: String, purged: &mut Purged) -> Result<()> {
    let path = guard.folder().join(&file);
    if let Some(metadata) = fsx::find(&path)?
        && fsx::unlink(&path)?
    {
        // The same contents may go on under another name.
        if metadata.nlink() <= 1 {
            purged.allocated_bytes += fsx::allocated(&metadata);
        }
        purged.removed.push(file);
    }
    Ok(())
}

/// Checks that a disk's names can be played with at all: better at adoption
/// than in the middle of the first rollback.
pub(crate) fn try_names(guard: &Guard, disk: &Disk, name: &Name) -> Result<()> {
    let tmp = TmpFile::claim(guard.folder().join(name.tmp_file()))?;
    fsx::link(&disk.head, tmp.path())
}

pub(crate) fn inspect(disk: &Disk, layers: u32) -> Result<HeadFacts> {
    let metadata = fsx::head(&disk.head)?;
    Ok(HeadFacts {
        size_bytes: virtual_size(&disk.head, &metadata, disk.format)?,
        allocated_bytes: fsx::allocated(&metadata),
        format: disk.format,
        layers,
        id: FileId::of(&metadata),
    })
}

/// The receipt for a head that lies staged.
pub(crate) fn staged(disk: &Disk, stage: &Path, name: &Name) -> Result<Staged> {
    let metadata = fsx::regular(stage)?;
    Ok(Staged {
        name: name.clone(),
        id: FileId::of(&metadata),
        size_bytes: virtual_size(stage, &metadata, disk.format)?,
    })
}
