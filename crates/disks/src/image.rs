//! Whole disks out of image files, and image files out of disks.
//!
//! | function | do | undo |
//! |---|---|---|
//! | make | build `tmp`, sync, mark it as made, rename it to the head unless a file is there | unlink the head when the mark is of it, remove what lies beside it |
//! | stage_image | build `tmp`, sync, rename to `stage` | unlink `stage` |
//! | export | build `tmp` beside the target, sync, mark it as exported, rename it to the target unless a file is there | unlink the target when the mark is of it |
//! | destroy | unlink the head, then all that lies beside it | none |
//!
//! A mark is an empty file whose name holds the id of another. So a repeat after
//! a crash tells what it made itself from what somebody else has put there.

use std::ffi::OsStr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use backout_core::fence::Fence;

use crate::error::{Error, Result};
use crate::fsx::{self, TmpFile};
use crate::holders::refuse_writers;
use crate::lock::{DiskLock, Guard};
use crate::model::{
    Disk, DriverKind, ExportFacts, FileId, Format, Name, Progress, Purged, Staged, is_points_folder,
};
use crate::probe;
use crate::qcow2::{header, layers, tool};
use crate::steps;

/// QEMU counts in sectors of this many bytes.
const SECTOR_BYTES: u64 = 512;

/// What marks say that their file was made for.
const MADE: &str = "made";
const EXPORTED: &str = "exported";

/// Files that may be among restore points, by how their names begin.
const OURS: [&str; 8] = [
    "point-",
    "gone-",
    "trash-",
    "stage-",
    "tmp-",
    "made-",
    "exported-",
    "length-",
];

/// An image file, and how it is to be read.
type Source<'a> = Option<(&'a Path, Format)>;

/// Makes a new disk of `size_bytes` (of a qcow2 disk, rounded up to 512) whose
/// file is `head`: blank, or with the contents of `source`. Its format is qcow2
/// under the qcow2 driver, else raw, and only the owner may read it. The folder
/// of `head` is made as well; give each machine a folder of its own, because
/// [`unmake`] and [`destroy`] remove an empty one. The disk needs no
/// [`crate::Driver::adopt`].
///
/// Takes the disk's lock with `fence`, and may be repeated under the same
/// `name`.
///
/// # Errors
/// [`Error::Exists`] when a file is at `head` that was not made under `name`,
/// [`Error::Unsupported`] when the driver cannot work there or `head` is no
/// absolute UTF-8 path, [`Error::ImageMissing`], [`Error::ImageTooLarge`],
/// [`Error::Format`], [`Error::InUse`], [`Error::Tool`], [`Error::Cancelled`],
/// and those of [`DiskLock::acquire`].
pub fn make(
    head: &Path,
    driver: DriverKind,
    source: Source<'_>,
    size_bytes: u64,
    name: &Name,
    fence: Fence,
    progress: &dyn Progress,
) -> Result<Disk> {
    check_new_head(head)?;
    let parent = fsx::parent(head)?;
    fsx::make_folders(parent)?;
    let disk = new_disk(head, driver)?;
    let guard = DiskLock::acquire(&disk, fence)?;
    match fsx::id(&disk.head)? {
        Some(id) if is_marked(&guard, name, MADE, &id)? => {}
        Some(_) => {
            return Err(Error::Exists {
                path: disk.head.clone(),
            });
        }
        None => {
            check_driver(&guard, &disk)?;
            let tmp = guard.folder().join(name.tmp_file());
            let tmp = build(&guard, tmp, source, disk.format, size_bytes, progress)?;
            mark(&guard, name, MADE, &tmp)?;
            tmp.publish_new(&disk.head)?;
        }
    }
    steps::sync_both(&guard, &disk)?;
    Ok(disk)
}

/// Undoes [`make`]; `head`, `driver` and `name` as they were given to it. A file
/// that was not made under `name` stays.
///
/// # Errors
/// [`Error::HeadChanged`] when there are restore points: [`destroy`] the disk
/// instead; [`Error::InUse`], and those of [`DiskLock::acquire`].
pub fn unmake(head: &Path, driver: DriverKind, name: &Name, fence: Fence) -> Result<()> {
    check_new_head(head)?;
    let Some(disk) = existing(head, driver)? else {
        return Ok(());
    };
    let guard = DiskLock::acquire(&disk, fence)?;
    let prefix = name.mark_prefix(MADE);
    let files = fsx::list(guard.folder())?;
    if files.iter().any(|file| file.starts_with(&prefix)) {
        let is_used = |file: &String| file.starts_with("point-") || file.starts_with("stage-");
        if files.iter().any(is_used) {
            return Err(Error::HeadChanged {
                path: disk.head.clone(),
                why: "it has been used since it was made: destroy the disk instead".to_owned(),
            });
        }
        if let Some(id) = fsx::id(&disk.head)?
            && is_marked(&guard, name, MADE, &id)?
        {
            refuse_writers(&disk.head)?;
            fsx::unlink(&disk.head)?;
            fsx::sync_folder(fsx::parent(&disk.head)?)?;
        }
        fsx::unmark(guard.folder(), &prefix, None)?;
        fsx::sync_folder(guard.folder())?;
    }
    leave(guard, &disk)
}

/// Removes a disk for good: its head, then every restore point and whatever else
/// is ours beside it, then the folder it lies in when that is empty. For disks
/// that [`make`] made, which is for the caller to know. There is no undo.
///
/// Takes the disk's lock with `fence`, and may be repeated. The memory of fences
/// goes as well, as with [`DiskLock::erase`].
///
/// # Errors
/// [`Error::InUse`] while a process can write to the head, and those of
/// [`DiskLock::acquire`].
pub fn destroy(disk: &Disk, fence: Fence) -> Result<Purged> {
    let mut purged = Purged::default();
    check_new_head(&disk.head)?;
    if fsx::find(fsx::parent(&disk.head)?)?.is_none() {
        return Ok(purged);
    }
    let guard = DiskLock::acquire(disk, fence)?;
    if let Some(metadata) = fsx::find(&disk.head)? {
        refuse_writers(&disk.head)?;
        fsx::unlink(&disk.head)?;
        fsx::sync_folder(fsx::parent(&disk.head)?)?;
        if metadata.nlink() <= 1 {
            purged.allocated_bytes += fsx::allocated(&metadata);
        }
        let file = disk.head.file_name().unwrap_or_default();
        purged.removed.push(file.to_string_lossy().into_owned());
    }
    for file in fsx::list(guard.folder())? {
        if OURS.iter().any(|prefix| file.starts_with(prefix)) {
            steps::remove(&guard, file, &mut purged)?;
        }
    }
    fsx::sync_folder(guard.folder())?;
    leave(guard, disk)?;
    Ok(purged)
}

/// Removes the folder of restore points, when nothing of worth is in it, and
/// then the one the head lies in.
fn leave(guard: Guard, disk: &Disk) -> Result<()> {
    if DiskLock::erase_bare(guard)? {
        fsx::remove_empty_folder(fsx::parent(&disk.head)?)?;
    }
    Ok(())
}

/// Free space to have in `folder` before [`make`] or
/// [`crate::Driver::stage_image`] of a disk under `driver` with `format`, in
/// bytes. The folder need not be there.
///
/// # Errors
/// [`Error::ImageMissing`], [`Error::Format`].
pub fn space_needed_image(
    folder: &Path,
    driver: DriverKind,
    format: Format,
    source: Option<(&Path, Format)>,
) -> Result<u64> {
    let Some((path, from)) = source else {
        return Ok(steps::METADATA_BYTES);
    };
    let metadata = source_file(path)?;
    if driver == DriverKind::Reflink && from == format && on_one_filesystem(path, folder)? {
        return Ok(steps::METADATA_BYTES);
    }
    let data = match from {
        Format::Raw => fsx::allocated(&metadata),
        Format::Qcow2 => header::data_bytes(path, &header::read(path)?)?,
    };
    Ok(layers::with_tables(data).saturating_add(steps::METADATA_BYTES))
}

/// See [`crate::Driver::space_needed_export`].
pub(crate) fn space_needed_export(disk: &Disk, target: &Path, format: Format) -> Result<u64> {
    fsx::head(&disk.head)?;
    let clones = disk.driver == DriverKind::Reflink
        && is_whole(&disk.head, disk.format, format)?
        && on_one_filesystem(&disk.head, fsx::parent(target)?)?;
    let data = if clones {
        0
    } else {
        layers::flat_bytes(disk, &disk.head, disk.format)?
    };
    Ok(data.saturating_add(steps::METADATA_BYTES))
}

/// Whether what is made in `folder`, which need not be there, lies on the file
/// system of `path`.
fn on_one_filesystem(path: &Path, folder: &Path) -> Result<bool> {
    let Some(file) = fsx::find(path)? else {
        return Ok(false);
    };
    let there = folder.ancestors().find_map(|at| std::fs::metadata(at).ok());
    Ok(there.is_some_and(|there| there.dev() == file.dev()))
}

/// See [`crate::Driver::stage_image`].
pub(crate) fn stage(
    guard: &Guard,
    disk: &Disk,
    source: Source<'_>,
    size_bytes: u64,
    name: &Name,
    progress: &dyn Progress,
) -> Result<Staged> {
    guard.covers(disk)?;
    fsx::head(&disk.head)?;
    let stage = guard.folder().join(name.stage_file());
    if fsx::find(&stage)?.is_none() {
        let tmp = guard.folder().join(name.tmp_file());
        let tmp = build(guard, tmp, source, disk.format, size_bytes, progress)?;
        let file = fsx::open(tmp.path())?;
        fsx::dress(&fsx::open(&disk.head)?, &file, tmp.path())?;
        fsx::sync_file(&file, tmp.path())?;
        tmp.publish(&stage)?;
    }
    fsx::sync_folder(guard.folder())?;
    steps::staged(disk, &stage, name)
}

/// See [`crate::Driver::export`].
pub(crate) fn export(
    guard: &Guard,
    disk: &Disk,
    target: &Path,
    format: Format,
    name: &Name,
    progress: &dyn Progress,
) -> Result<ExportFacts> {
    guard.covers(disk)?;
    check_absolute(target)?;
    fsx::head(&disk.head)?;
    let folder = fsx::parent(target)?;
    let tmp = folder.join(name.tmp_file());
    match fsx::id(target)? {
        Some(id) if is_marked(guard, name, EXPORTED, &id)? => {
            // Where a file system needs two steps for the rename, a crash may
            // have come between.
            fsx::unlink(&tmp)?;
        }
        Some(_) => {
            return Err(Error::Exists {
                path: target.to_owned(),
            });
        }
        None => {
            let total = layers::flat_bytes(disk, &disk.head, disk.format)?;
            fsx::make_folders(folder)?;
            let tmp = TmpFile::claim(tmp)?;
            let file = tmp.create()?;
            if is_whole(&disk.head, disk.format, format)? {
                fsx::clone_or_copy(&fsx::open(&disk.head)?, &file, tmp.path(), progress)?;
            } else {
                // A paused machine has the head locked.
                let paths = [disk.head.as_path(), tmp.path()];
                let formats = (disk.format, format);
                convert(guard, Locked::Ignored, formats, paths, total, progress)?;
            }
            fsx::sync_file(&file, tmp.path())?;
            mark(guard, name, EXPORTED, &tmp)?;
            tmp.publish_new(target)?;
        }
    }
    fsx::sync_folder(folder)?;
    fsx::sync_folder(guard.folder())?;
    let metadata = fsx::regular(target)?;
    let facts = steps::facts(target, &metadata, format)?;
    Ok(ExportFacts {
        size_bytes: facts.size_bytes,
        allocated_bytes: facts.allocated_bytes,
    })
}

/// See [`crate::Driver::unexport`].
pub(crate) fn unexport(guard: &Guard, disk: &Disk, target: &Path, name: &Name) -> Result<()> {
    guard.covers(disk)?;
    let folder = fsx::parent(target)?;
    if fsx::find(folder)?.is_some() {
        fsx::unlink(&folder.join(name.tmp_file()))?;
        if let Some(id) = fsx::id(target)?
            && is_marked(guard, name, EXPORTED, &id)?
        {
            fsx::unlink(target)?;
        }
        fsx::sync_folder(folder)?;
    }
    fsx::unmark(guard.folder(), &name.mark_prefix(EXPORTED), None)?;
    fsx::sync_folder(guard.folder())
}

/// Whether the file `id` was made under `name`.
fn is_marked(guard: &Guard, name: &Name, what: &str, id: &FileId) -> Result<bool> {
    let mark = guard.folder().join(name.mark_file(what, id));
    Ok(fsx::find(&mark)?.is_some())
}

/// Marks the file as made under `name`, durably, before it gets its own. Marks
/// of others for the same are dropped: their jobs have ended.
fn mark(guard: &Guard, name: &Name, what: &str, tmp: &TmpFile) -> Result<()> {
    let id = FileId::of(&fsx::regular(tmp.path())?);
    let mark = name.mark_file(what, &id);
    fsx::unmark(guard.folder(), &format!("{what}-"), Some(&mark))?;
    fsx::mark(&guard.folder().join(mark))?;
    fsx::sync_folder(guard.folder())
}

/// Refuses a path at which no disk of ours can be.
fn check_new_head(head: &Path) -> Result<()> {
    let refuse = |why: &str| {
        Err(Error::Unsupported {
            path: head.to_owned(),
            why: why.to_owned(),
        })
    };
    if !head.is_absolute() || head.file_name().is_none() {
        return refuse("it is no absolute path of a file: name one");
    }
    if head.to_str().is_none() {
        return refuse("its path is not UTF-8: choose another");
    }
    if head.ancestors().any(is_points_folder) {
        return refuse("it would lie among the restore points of a disk: choose another path");
    }
    Ok(())
}

/// The tool takes what does not begin with `/` for an option or a protocol.
fn check_absolute(path: &Path) -> Result<()> {
    if path.is_absolute() {
        return Ok(());
    }
    Err(Error::Unsupported {
        path: path.to_owned(),
        why: "its path is not absolute: name it from the root".to_owned(),
    })
}

/// The disk at `head`, with the links in the path of its folder followed.
fn new_disk(head: &Path, driver: DriverKind) -> Result<Disk> {
    let parent = fsx::parent(head)?;
    let resolved = parent.canonicalize().unwrap_or_else(|_| parent.to_owned());
    let found = |path: &Path| fsx::id(path).ok().flatten();
    // What lies on a mount that was detached has no path from the root.
    let folder = match (found(&resolved), std::fs::metadata(parent)) {
        (Some(found), Ok(given)) if found == FileId::of(&given) => resolved.as_path(),
        _ => parent,
    };
    let head = folder.join(head.file_name().unwrap_or_default());
    check_new_head(&head)?;
    let format = match driver {
        DriverKind::Qcow2 => Format::Qcow2,
        DriverKind::Reflink | DriverKind::Copy => Format::Raw,
    };
    Ok(Disk {
        head,
        format,
        driver,
    })
}

/// [`new_disk`], when its folder is there.
fn existing(head: &Path, driver: DriverKind) -> Result<Option<Disk>> {
    match std::fs::metadata(fsx::parent(head)?) {
        Ok(_) => new_disk(head, driver).map(Some),
        Err(_) => Ok(None),
    }
}

/// What adoption checks.
fn check_driver(guard: &Guard, disk: &Disk) -> Result<()> {
    let unsupported = |why: &str| {
        Err(Error::Unsupported {
            path: disk.head.clone(),
            why: why.to_owned(),
        })
    };
    match disk.driver {
        DriverKind::Reflink if !probe::can_reflink(guard.folder())? => unsupported(
            "its file system cannot share blocks between files: use XFS with reflink=1 or btrfs, \
             or the copy driver",
        ),
        DriverKind::Qcow2 if tool::version().is_none() => Err(Error::Tool {
            path: disk.head.clone(),
            why: "it is not installed: install qemu-utils, or use another driver".to_owned(),
        }),
        _ => Ok(()),
    }
}

/// Looks at an image that a disk is to be made of.
fn source_file(path: &Path) -> Result<std::fs::Metadata> {
    fsx::regular(path).map_err(|e| match e {
        Error::PointMissing { path } => Error::ImageMissing { path },
        other => other,
    })
}

/// Whether the image at `path` is complete in itself and of the format that is
/// wanted, so that its bytes can be taken as they are.
fn is_whole(path: &Path, format: Format, wanted: Format) -> Result<bool> {
    if format != wanted {
        return Ok(false);
    }
    if format == Format::Raw {
        return Ok(true);
    }
    let header = header::read(path)?;
    header.check_usable(path)?;
    Ok(header.backing.is_none() && !header.has_snapshots())
}

/// Makes the durable file `tmp`, an image of `format` with `size_bytes`.
fn build(
    guard: &Guard,
    tmp: PathBuf,
    source: Source<'_>,
    format: Format,
    size_bytes: u64,
    progress: &dyn Progress,
) -> Result<TmpFile> {
    let size_bytes = match format {
        Format::Raw => size_bytes,
        Format::Qcow2 => size_bytes.next_multiple_of(SECTOR_BYTES),
    };
    let size = size_bytes.to_string();
    if let Some(source) = source {
        check_fits(source, size_bytes)?;
    }
    let tmp = TmpFile::claim(tmp)?;
    let file = tmp.create()?;
    match (source, format) {
        (None, Format::Raw) => {}
        (None, Format::Qcow2) => {
            let create = ["create", "-q", "-f", "qcow2"].map(OsStr::new);
            let arguments = [&create[..], &[tmp.path().as_os_str(), size.as_ref()]].concat();
            tool::write(guard, &arguments, tmp.path(), 0, progress)?;
        }
        (Some((path, from)), _) if is_whole(path, from, format)? => {
            fsx::clone_or_copy(&fsx::open(path)?, &file, tmp.path(), progress)?;
        }
        (Some((path, from)), _) => {
            let total = match from {
                Format::Raw => fsx::allocated(&source_file(path)?),
                Format::Qcow2 => header::data_bytes(path, &header::read(path)?)?,
            };
            let paths = [path, tmp.path()];
            convert(
                guard,
                Locked::Refused,
                (from, format),
                paths,
                total,
                progress,
            )?;
        }
    }
    match format {
        Format::Raw => fsx::set_size(&file, tmp.path(), size_bytes)?,
        Format::Qcow2 if header::read(tmp.path())?.size_bytes < size_bytes => {
            let resize = ["resize", "-q", "-f", "qcow2"].map(OsStr::new);
            let arguments = [&resize[..], &[tmp.path().as_os_str(), size.as_ref()]].concat();
            tool::write(guard, &arguments, tmp.path(), 0, progress)?;
        }
        Format::Qcow2 => {}
    }
    fsx::sync_file(&file, tmp.path())?;
    Ok(tmp)
}

/// Looks at an image that disks are to be made of: how large the disk in it is,
/// in bytes.
///
/// # Errors
/// [`Error::ImageMissing`], [`Error::Format`], [`Error::Unsupported`] for one
/// that is built on another, or that is named by no absolute path.
pub fn image_size(path: &Path, format: Format) -> Result<u64> {
    check_absolute(path)?;
    let metadata = source_file(path)?;
    if format == Format::Qcow2 {
        let header = header::read(path)?;
        header.check_usable(path)?;
        if header.backing.is_some() {
            return Err(Error::Unsupported {
                path: path.to_owned(),
                why: "it has a backing file, and a disk is made of one image only: flatten it \
                      with qemu-img convert"
                    .to_owned(),
            });
        }
    }
    steps::virtual_size(path, &metadata, format)
}

/// Refuses an image that is larger than the disk, or no image of its own.
fn check_fits((path, format): (&Path, Format), disk_bytes: u64) -> Result<()> {
    let image_bytes = image_size(path, format)?;
    if image_bytes > disk_bytes {
        return Err(Error::ImageTooLarge {
            path: path.to_owned(),
            image_bytes,
            disk_bytes,
        });
    }
    Ok(())
}

/// What to do about an image that a machine has locked.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Locked {
    Refused,
    Ignored,
}

/// Writes the contents of one image, and of those it is built on, to another.
fn convert(
    guard: &Guard,
    locked: Locked,
    (from, to): (Format, Format),
    paths: [&Path; 2],
    total: u64,
    progress: &dyn Progress,
) -> Result<()> {
    let mut arguments = vec![OsStr::new("convert"), OsStr::new("-q")];
    if locked == Locked::Ignored {
        arguments.push(OsStr::new("-U"));
    }
    arguments.extend(["-f", from.as_str(), "-O", to.as_str()].map(OsStr::new));
    arguments.extend(paths.map(Path::as_os_str));
    tool::write(guard, &arguments, paths[1], total, progress)
}
