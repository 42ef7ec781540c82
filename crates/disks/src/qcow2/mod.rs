//! The driver whose points are layers of qcow2 images.
//!
//! The head is an overlay on the newest layer. Layers are never written again,
//! so points form a tree: going back to an old one puts a fresh overlay on it,
//! and newer ones stay as they are.
//!
//! | function | do | undo |
//! |---|---|---|
//! | capture | make an overlay on the layer-to-be, link the head as the layer, rename the overlay over the head | nothing written since: rename the layer back over the head; else mark the layer as given up |
//! | capture_paused | as capture, though a paused machine has the head open | as that of capture |
//! | stage_flat | convert the head into one image, rename it to `stage` | unlink `stage` |
//! | stage | make an overlay on the point, rename it to `stage` | unlink `stage` |
//! | retire | nothing is built on it: rename it to `trash`; else mark it as given up | rename it back, remove the mark |
//! | adopt a raw head | as capture, with the raw file as the layer | as that of capture; else flatten to raw |
//!
//! An image names the one below by its absolute path, because the same file is
//! found by two paths in its life: as the head, and as a layer.

pub(crate) mod header;
pub(crate) mod layers;
pub(crate) mod tool;

use std::ffi::OsStr;
use std::path::Path;

pub use layers::MAX_LAYERS;
use layers::{Layers, check_chain, file_below};

use crate::driver::Driver;
use crate::error::{Error, Result};
use crate::fsx::{self, TmpFile};
use crate::holders::refuse_writers;
use crate::lock::Guard;
use crate::model::{
    Adopted, Captured, Disk, DriverKind, FileId, Format, HeadFacts, Kept, Name, Point, PointFacts,
    Progress, Purged, Retired, Staged, Swapped,
};
use crate::steps;

/// The driver.
pub(crate) static QCOW2: Qcow2 = Qcow2;

/// The driver whose points are layers.
pub(crate) struct Qcow2;

/// QEMU counts in sectors of this many bytes, and rounds a raw image up.
const SECTOR_BYTES: u64 = 512;

/// Makes a durable, empty overlay on `backing`, which need not be there yet.
fn overlay(
    guard: &Guard,
    disk: &Disk,
    name: &Name,
    backing: &Path,
    format: Format,
    size_bytes: u64,
    progress: &dyn Progress,
) -> Result<TmpFile> {
    if backing.as_os_str().len() > header::MAX_BACKING_BYTES as usize {
        return Err(Error::Unsupported {
            path: backing.to_owned(),
            why: "its path is longer than qcow2 can name: move the disk to a shorter path, or \
                  use another driver"
                .to_owned(),
        });
    }
    let tmp = TmpFile::claim(guard.folder().join(name.tmp_file()))?;
    let size = size_bytes.next_multiple_of(SECTOR_BYTES).to_string();
    let arguments: [&OsStr; 10] = [
        "create".as_ref(),
        "-q".as_ref(),
        "-f".as_ref(),
        "qcow2".as_ref(),
        "-F".as_ref(),
        format.as_str().as_ref(),
        // Do not look at the backing file: it may not have its name yet.
        "-ub".as_ref(),
        backing.as_os_str(),
        tmp.path().as_os_str(),
        size.as_ref(),
    ];
    tool::write(guard, &arguments, tmp.path(), 0, progress)?;
    let file = fsx::open(tmp.path())?;
    fsx::dress(&fsx::open(&disk.head)?, &file, tmp.path())?;
    fsx::sync_file(&file, tmp.path())?;
    Ok(tmp)
}

/// Notes how long the raw file is that becomes the lowest layer: nothing in it
/// says so, and QEMU reads zeros where it was cut.
fn note_length(guard: &Guard, name: &Name, size_bytes: u64) -> Result<()> {
    let note = layers::length_note(&name.point(Format::Raw), size_bytes);
    let notes = layers::length_notes(&name.point(Format::Raw));
    fsx::unmark(guard.folder(), &notes, Some(&note))?;
    fsx::mark(&guard.folder().join(note))
}

/// What to do about a process that can write to the head.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Writers {
    Refused,
    Paused,
}

/// Makes the head, of `format`, the layer `point`, and puts an overlay on it in
/// its place. A writer is fine only when it is a machine that is paused and will
/// be told of the new head before it goes on.
fn push(
    guard: &Guard,
    disk: &Disk,
    format: Format,
    name: &Name,
    writers: Writers,
    progress: &dyn Progress,
) -> Result<()> {
    let layer = disk.point_path(&name.point(format))?;
    let metadata = fsx::head(&disk.head)?;
    let head = FileId::of(&metadata);
    let linked = fsx::id(&layer)?;
    if linked.is_none_or(|layer| layer.same_file(&head)) {
        if writers == Writers::Refused {
            refuse_writers(&disk.head)?;
        }
        let depth = check_chain(disk, &disk.head, format)?;
        refuse_deeper(&disk.head, depth)?;
        let size_bytes = steps::virtual_size(&disk.head, &metadata, format)?;
        let tmp = overlay(guard, disk, name, &layer, format, size_bytes, progress)?;
        fsx::sync_file(&fsx::open(&disk.head)?, &disk.head)?;
        if format == Format::Raw {
            note_length(guard, name, size_bytes)?;
        }
        if linked.is_none() {
            fsx::link(&disk.head, &layer)?;
        }
        fsx::sync_folder(guard.folder())?;
        // Linking may have moved the file on a stacked file system.
        let head = FileId::of(&fsx::regular(&layer)?);
        tmp.publish_over(&disk.head, &head)?;
    } else if header::read(&disk.head).ok().and_then(|h| h.backing) != Some(layer) {
        return Err(Error::HeadChanged {
            path: disk.head.clone(),
            why: format!(
                "somebody has put another file there since {:?} was made of it: put that one \
                 back, or take the step back",
                name.point(format).file
            ),
        });
    }
    steps::sync_both(guard, disk)
}

fn refuse_deeper(path: &Path, depth: u32) -> Result<()> {
    if depth < MAX_LAYERS {
        return Ok(());
    }
    Err(Error::Unsupported {
        path: path.to_owned(),
        why: format!(
            "its chain is {depth} files long, and {MAX_LAYERS} is the most: run backout servers \
             compact, or wait until it is made shorter in the background, then try again"
        ),
    })
}

/// Whether the head is an overlay on `layer` with nothing in it.
fn is_untouched(disk: &Disk, layer: &Path, format: Format) -> Result<bool> {
    let above = header::read(&disk.head)?;
    if above.backing.as_deref() != Some(layer) {
        return Ok(false);
    }
    let size_bytes = steps::virtual_size(layer, &fsx::regular(layer)?, format)?;
    Ok(
        above.size_bytes == size_bytes.next_multiple_of(SECTOR_BYTES)
            && header::is_pristine(&disk.head, &above)?,
    )
}

/// Whether a process can write to `path`.
fn is_held(path: &Path) -> Result<bool> {
    match refuse_writers(path) {
        Ok(()) => Ok(false),
        Err(Error::InUse { .. }) => Ok(true),
        Err(e) => Err(e),
    }
}

fn capture(
    guard: &Guard,
    disk: &Disk,
    name: &Name,
    writers: Writers,
    progress: &dyn Progress,
) -> Result<Captured> {
    guard.covers(disk)?;
    push(guard, disk, disk.format, name, writers, progress)?;
    let point = name.point(disk.format);
    let path = disk.point_path(&point)?;
    let facts = steps::facts(&path, &fsx::regular(&path)?, point.format)?;
    let head = FileId::of(&fsx::head(&disk.head)?);
    Ok(Captured { point, facts, head })
}

/// The layer of the disk's folder that the head is built on.
fn below_head(disk: &Disk) -> Result<Option<String>> {
    Ok(file_below(&disk.folder(), &header::read(&disk.head)?))
}

impl Driver for Qcow2 {
    fn kind(&self) -> DriverKind {
        DriverKind::Qcow2
    }

    fn constant_time(&self) -> bool {
        true
    }

    fn adopt(&self, guard: &Guard, disk: &Disk, name: &Name) -> Result<Adopted> {
        guard.covers(disk)?;
        fsx::head(&disk.head)?;
        if tool::version().is_none() {
            return Err(Error::Tool {
                path: disk.head.clone(),
                why: "it is not installed: install qemu-utils, or use another driver".to_owned(),
            });
        }
        let mut base = None;
        match disk.format {
            Format::Raw => {
                let refused = Writers::Refused;
                push(guard, disk, Format::Raw, name, refused, &crate::NoProgress)?;
                base = Some(name.point(Format::Raw));
            }
            Format::Qcow2 => {
                steps::try_names(guard, disk, name)?;
                let header = header::read(&disk.head)?;
                check_chain(disk, &disk.head, Format::Qcow2)?;
                if header.backing.is_some_and(|backing| is_relative(&backing)) {
                    return Err(Error::Unsupported {
                        path: disk.head.clone(),
                        why: "it names its backing file relative to its own folder, and would \
                              lose it as a layer: name it absolutely with qemu-img rebase -u -b"
                            .to_owned(),
                    });
                }
            }
        }
        let disk = Disk {
            format: Format::Qcow2,
            ..disk.clone()
        };
        let head = self.inspect(&disk)?;
        Ok(Adopted { disk, base, head })
    }

    fn unadopt(
        &self,
        guard: &Guard,
        disk: &Disk,
        name: &Name,
        progress: &dyn Progress,
    ) -> Result<()> {
        guard.covers(disk)?;
        match disk.format {
            Format::Raw => back_to_raw(guard, disk, name, progress),
            // Adoption changed nothing.
            Format::Qcow2 => Ok(()),
        }
    }

    fn inspect(&self, disk: &Disk) -> Result<HeadFacts> {
        fsx::head(&disk.head)?;
        steps::inspect(disk, check_chain(disk, &disk.head, disk.format)?)
    }

    fn capture(
        &self,
        guard: &Guard,
        disk: &Disk,
        name: &Name,
        progress: &dyn Progress,
    ) -> Result<Captured> {
        capture(guard, disk, name, Writers::Refused, progress)
    }

    fn capture_paused(
        &self,
        guard: &Guard,
        disk: &Disk,
        name: &Name,
        progress: &dyn Progress,
    ) -> Result<Captured> {
        capture(guard, disk, name, Writers::Paused, progress)
    }

    fn uncapture(&self, guard: &Guard, disk: &Disk, name: &Name) -> Result<()> {
        guard.covers(disk)?;
        let point = name.point(disk.format);
        let layer = disk.point_path(&point)?;
        let head = FileId::of(&fsx::head(&disk.head)?);
        match fsx::id(&layer)? {
            None => {}
            Some(layer_id) if layer_id.same_file(&head) => {
                fsx::unlink(&layer)?;
            }
            Some(_) => {
                let shared = Layers::read(guard.folder(), None)?.is_below_another(&point.file);
                // A machine may write into the new head by now, be it that it
                // has not yet. Or it is paused, and still has the layer open:
                // then it has the head again.
                let untouched = !shared && is_untouched(disk, &layer, point.format)?;
                let held = untouched && is_held(&disk.head)?;
                if untouched && !held {
                    fsx::rename(&layer, &disk.head)?;
                } else {
                    fsx::mark(&guard.folder().join(point.gone_file()))?;
                }
            }
        }
        steps::sync_both(guard, disk)
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
            let path = disk.point_path(point)?;
            let depth = check_chain(disk, &path, point.format)?;
            refuse_deeper(&path, depth)?;
            let size_bytes = steps::virtual_size(&path, &fsx::regular(&path)?, point.format)?;
            overlay(guard, disk, name, &path, point.format, size_bytes, progress)?
                .publish(&stage)?;
        }
        fsx::sync_folder(guard.folder())?;
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
            check_chain(disk, &disk.head, disk.format)?;
            flatten(guard, disk, name, Format::Qcow2, &stage, progress)?;
        }
        fsx::sync_folder(guard.folder())?;
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
        guard.covers(disk)?;
        let path = disk.point_path(point)?;
        let needed = Layers::read(guard.folder(), None)?.is_below_another(&point.file)
            || below_head(disk)?.as_deref() == Some(&point.file);
        if !needed || fsx::find(&path)?.is_none() {
            return steps::retire_by_rename(guard, disk, point);
        }
        fsx::mark(&guard.folder().join(point.gone_file()))?;
        fsx::sync_folder(guard.folder())?;
        Ok(Retired::NeededAsLayer)
    }

    fn unretire(&self, guard: &Guard, disk: &Disk, point: &Point) -> Result<()> {
        steps::unretire(guard, disk, point)
    }

    fn purge(&self, guard: &Guard, disk: &Disk, point: &Point, live: &[Point]) -> Result<Purged> {
        let mut purged = Purged::default();
        steps::purge_trash(guard, disk, point, live, &mut purged)?;
        let layers = Layers::read(guard.folder(), None)?;
        let below_head = below_head(disk)?;
        let needed = layers.needed(
            (layers.unmarked())
                .chain(below_head.as_deref())
                .chain(live.iter().map(|point| point.file.as_str())),
        );
        sweep(guard, &layers, &needed, &mut purged)?;
        fsx::sync_folder(guard.folder())?;
        Ok(purged)
    }

    fn verify_point(&self, disk: &Disk, point: &Point) -> Result<PointFacts> {
        let path = disk.point_path(point)?;
        check_chain(disk, &path, point.format)?;
        steps::facts(&path, &fsx::regular(&path)?, point.format)
    }

    fn space_needed(&self, disk: &Disk, point: Option<&Point>) -> Result<u64> {
        match point {
            Some(point) => fsx::regular(&disk.point_path(point)?)?,
            None => fsx::head(&disk.head)?,
        };
        Ok(steps::METADATA_BYTES)
    }

    fn space_needed_flat(&self, disk: &Disk) -> Result<u64> {
        fsx::head(&disk.head)?;
        let data = layers::flat_bytes(disk, &disk.head, disk.format)?;
        Ok(data.saturating_add(steps::METADATA_BYTES))
    }
}

/// Removes layers that were given up and that nothing needs. Both must hold: a
/// list of live points that is short by mistake costs nothing.
fn sweep(
    guard: &Guard,
    layers: &Layers,
    needed: &std::collections::BTreeSet<&str>,
    purged: &mut Purged,
) -> Result<()> {
    for file in layers.marked() {
        let Some(point) = Point::of_file(file).filter(|_| !needed.contains(file)) else {
            continue;
        };
        steps::remove(guard, point.file.clone(), purged)?;
        // After the file: a mark without a file is removed by the next sweep.
        fsx::unlink(&guard.folder().join(point.gone_file()))?;
    }
    Ok(())
}

/// Whether QEMU looks for a backing file of that name beside the image: it has
/// neither a root nor a protocol.
fn is_relative(backing: &Path) -> bool {
    let name = backing.as_os_str().as_encoded_bytes();
    match name.iter().find(|byte| matches!(byte, b':' | b'/')) {
        Some(b':') => false,
        _ => !backing.is_absolute(),
    }
}

/// Makes the head a raw file again. The lowest layer becomes the head when
/// nothing was written since; else the head is flattened into a new file, which
/// keeps its staged name until all that was below is gone: so a repeat knows
/// that the head is raw, without guessing from its contents.
fn back_to_raw(guard: &Guard, disk: &Disk, name: &Name, progress: &dyn Progress) -> Result<()> {
    let base = name.point(Format::Raw);
    let base_path = disk.point_path(&base)?;
    let stage_file = name.stage_file();
    let flat = guard.folder().join(&stage_file);
    let head = FileId::of(&fsx::head(&disk.head)?);
    let is_head = |id: Option<FileId>| id.is_some_and(|id| id.same_file(&head));
    let base_id = fsx::id(&base_path)?;
    let notes = layers::length_notes(&base);
    if base_id.is_none() || is_head(base_id) {
        fsx::unlink(&base_path)?;
        if is_head(fsx::id(&flat)?) {
            fsx::unlink(&flat)?;
        }
        fsx::unmark(guard.folder(), &notes, None)?;
        return steps::sync_both(guard, disk);
    }
    let layers = Layers::read(guard.folder(), Some(&stage_file))?;
    let wanted = || layers.wanted().filter(|file| *file != base.file);
    let needed = layers.needed(wanted());
    if !is_head(fsx::id(&flat)?) {
        if needed.contains(base.file.as_str()) {
            return Err(Error::Unsupported {
                path: disk.head.clone(),
                why: "restore points are built on the file it was: delete them first".to_owned(),
            });
        }
        refuse_writers(&disk.head)?;
        let untouched = is_untouched(disk, &base_path, Format::Raw)?;
        if untouched && !layers.is_below_another(&base.file) {
            fsx::rename(&base_path, &disk.head)?;
            fsx::unmark(guard.folder(), &notes, None)?;
            return steps::sync_both(guard, disk);
        }
        if fsx::find(&flat)?.is_none() {
            flatten(guard, disk, name, Format::Raw, &flat, progress)?;
        }
        fsx::sync_folder(guard.folder())?;
        let tmp = TmpFile::claim(guard.folder().join(name.tmp_file()))?;
        fsx::link(&flat, tmp.path())?;
        // What is replaced has no other name: its contents are in the new file.
        fsx::rename(tmp.path(), &disk.head)?;
    }
    steps::sync_both(guard, disk)?;
    let mut purged = Purged::default();
    sweep(guard, &layers, &needed, &mut purged)?;
    fsx::unlink(&base_path)?;
    fsx::unmark(guard.folder(), &notes, None)?;
    fsx::sync_folder(guard.folder())?;
    fsx::unlink(&flat)?;
    fsx::sync_folder(guard.folder())
}

/// Writes what the head holds to the file `flat`, which is built on nothing.
fn flatten(
    guard: &Guard,
    disk: &Disk,
    name: &Name,
    format: Format,
    flat: &Path,
    progress: &dyn Progress,
) -> Result<()> {
    let tmp = TmpFile::claim(guard.folder().join(name.tmp_file()))?;
    let arguments: [&OsStr; 8] = [
        "convert".as_ref(),
        "-q".as_ref(),
        "-f".as_ref(),
        "qcow2".as_ref(),
        "-O".as_ref(),
        format.as_str().as_ref(),
        disk.head.as_os_str(),
        tmp.path().as_os_str(),
    ];
    let total = layers::flat_bytes(disk, &disk.head, Format::Qcow2)?;
    tool::write(guard, &arguments, tmp.path(), total, progress)?;
    let file = fsx::open(tmp.path())?;
    fsx::dress(&fsx::open(&disk.head)?, &file, tmp.path())?;
    fsx::sync_file(&file, tmp.path())?;
    tmp.publish(flat)
}
