//! The lock of a disk, and the fence in it.

use std::fs::{DirBuilder, File, Metadata, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use backout_core::fence::Fence;
use rustix::fs::{FlockOperation, OFlags};
use rustix::io::Errno;

use crate::error::{Error, Result};
use crate::fsx::{self, Op};
use crate::model::{Disk, FileId, is_points_folder};

/// Name of the lock file in a disk's folder.
const LOCK_FILE: &str = "lock";

/// How the names of marks begin: which files were made here (see
/// [`crate::make`] and [`crate::Driver::export`]), and how long a layer is. None
/// is of use without a job or a point.
const MARKS: [&str; 3] = ["made-", "exported-", "length-"];

/// The fence is written as a line of this many bytes, so that a newer one
/// covers an older one in a single sector.
const FENCE_BYTES: usize = 21;

/// How often the lock file may vanish under us before we call it busy.
const MAX_VANISHED: u32 = 8;

/// Takes the lock of a disk.
///
/// The lock is an OS file lock, so it ends with the process that holds it; a
/// `qemu-img` that was started under it holds it too, so that an orphan of a
/// killed worker keeps others away until it has ended. The highest fence that
/// was ever shown stays in the lock file.
#[derive(Clone, Copy, Debug)]
pub struct DiskLock;

/// Shows that the lock of a disk is held by the owner of the newest fence.
/// Dropping it lets go.
#[derive(Debug)]
pub struct Guard {
    file: File,
    head: PathBuf,
    folder: PathBuf,
    fence: Fence,
}

impl DiskLock {
    /// Tries to take the lock, without waiting. Makes the disk's folder when it
    /// is not there, and sweeps what crashed functions left half made.
    ///
    /// # Errors
    /// [`Error::Busy`]: try again; [`Error::Stale`]: a newer fence was here;
    /// [`Error::Unsupported`]: the folder is not one, or on another file system.
    pub fn acquire(disk: &Disk, fence: Fence) -> Result<Guard> {
        let folder = disk.folder();
        make_folder(&disk.head, &folder)?;
        let file = lock_file(&disk.head, &folder.join(LOCK_FILE))?;
        let guard = Guard {
            file,
            head: disk.head.clone(),
            folder,
            fence,
        };
        guard.show_fence()?;
        guard.sweep()?;
        Ok(guard)
    }

    /// Removes the disk's folder when nothing but the lock and marks of files
    /// that were made is in it; says
    /// whether it did. The memory of fences goes with it, so call it only when
    /// no job of the disk can still be under way anywhere.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn erase(guard: Guard) -> Result<bool> {
        let mut files = fsx::list(&guard.folder)?;
        let is_mark = |file: &str| MARKS.iter().any(|mark| file.starts_with(mark));
        files.retain(|file| !is_mark(file));
        if files != [LOCK_FILE] {
            return Ok(false);
        }
        for mark in MARKS {
            fsx::unmark(&guard.folder, mark, None)?;
        }
        Self::erase_bare(guard)
    }

    /// [`DiskLock::erase`], but a mark keeps the folder.
    pub(crate) fn erase_bare(guard: Guard) -> Result<bool> {
        if fsx::list(&guard.folder)? != [LOCK_FILE] {
            return Ok(false);
        }
        fsx::unlink(&guard.folder.join(LOCK_FILE))?;
        fsx::remove_empty_folder(&guard.folder)
    }
}

impl Guard {
    /// The fence it was taken with.
    #[must_use]
    pub fn fence(&self) -> Fence {
        self.fence
    }

    /// The head of the disk that is locked.
    #[must_use]
    pub fn head(&self) -> &Path {
        &self.head
    }

    /// The folder of restore points that is locked.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Refuses to work on another disk than the one that is locked.
    pub(crate) fn covers(&self, disk: &Disk) -> Result<()> {
        if disk.head == self.head {
            return Ok(());
        }
        Err(Error::Unsupported {
            path: disk.head.clone(),
            why: format!("the lock held is of {:?}: take the disk's own", self.head),
        })
    }

    /// The lock, to be held by a child process as well.
    pub(crate) fn share(&self) -> Result<File> {
        self.file
            .try_clone()
            .map_err(|e| Error::io("share the lock of", &self.head, e))
    }

    fn show_fence(&self) -> Result<()> {
        let path = self.folder.join(LOCK_FILE);
        let mut bytes = [0_u8; 64];
        let used = self
            .file
            .read_at(&mut bytes, 0)
            .map_err(|e| Error::io("read", &path, e))?;
        let text = bytes.get(..used).unwrap_or_default().trim_ascii();
        let seen = if text.is_empty() {
            None
        } else {
            let seen = std::str::from_utf8(text).ok().and_then(|t| t.parse().ok());
            Some(Fence(seen.ok_or_else(|| Error::Format {
                path: path.clone(),
                why: "it holds no fence: remove it when no job of this disk runs".to_owned(),
            })?))
        };
        match seen {
            Some(seen) if seen > self.fence => Err(Error::Stale {
                path: self.head.clone(),
                given: self.fence,
                seen,
            }),
            Some(seen) if seen == self.fence => Ok(()),
            _ => {
                let line = format!("{:>1$}\n", self.fence.0, FENCE_BYTES - 1);
                fsx::before(Op::Write(&path))?;
                self.file
                    .write_all_at(line.as_bytes(), 0)
                    .map_err(|e| Error::io("write", &path, e))?;
                fsx::sync_file(&self.file, &path)?;
                fsx::sync_folder(&self.folder)
            }
        }
    }

    /// Whoever holds the lock is alone, so what is half made has no maker.
    fn sweep(&self) -> Result<()> {
        for name in fsx::list(&self.folder)? {
            if name.starts_with("tmp-") {
                fsx::unlink(&self.folder.join(name))?;
            }
        }
        Ok(())
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        // Explicitly, because a process that another thread is just starting
        // may hold a copy of the descriptor for a moment. No child of our own
        // is left: each was waited for.
        // Should it fail, closing the file does the same a moment later.
        let _ = rustix::fs::flock(&self.file, FlockOperation::Unlock);
    }
}

/// Looks whether the lock of `disk` could be taken: whether its restore points
/// can lie where they must. Makes nothing, and takes nothing.
///
/// # Errors
/// [`Error::Unsupported`] as for [`DiskLock::acquire`], [`Error::Missing`],
/// [`Error::Io`].
pub fn check_folder(disk: &Disk) -> Result<()> {
    check_parent(&disk.head)?;
    let folder = disk.folder();
    match fsx::find(&folder)? {
        Some(found) => check_found(&disk.head, &folder, &found),
        None => Ok(()),
    }
}

fn make_folder(head: &Path, folder: &Path) -> Result<()> {
    let parent = check_parent(head)?;
    if fsx::find(folder)?.is_none() {
        fsx::before(Op::Create(folder))?;
        // Machines that run as other users must reach the layers in it; what
        // they may read there is up to each file's own mode.
        match DirBuilder::new().mode(0o755).create(folder) {
            Ok(()) => {}
            Err(e) if e.kind() == ErrorKind::AlreadyExists => {}
            Err(e) if e.kind() == ErrorKind::NotFound => {
                return Err(Error::Missing {
                    path: head.to_owned(),
                });
            }
            Err(e) => return Err(Error::io("create the folder", folder, e)),
        }
        fsx::sync_folder(parent)?;
    }
    let found = fsx::find(folder)?.ok_or_else(|| Error::Unsupported {
        path: folder.to_owned(),
        why: "it vanished: try again".to_owned(),
    })?;
    check_found(head, folder, &found)
}

/// The folder that `head` lies in, unless that is one for restore points.
fn check_parent(head: &Path) -> Result<&Path> {
    let parent = fsx::parent(head)?;
    if is_points_folder(parent) {
        return Err(Error::Unsupported {
            path: head.to_owned(),
            why: "it lies among the restore points of another disk: name that disk instead"
                .to_owned(),
        });
    }
    Ok(parent)
}

/// Refuses what is `found` at the path of a disk's folder, when the disk's
/// restore points could not lie there.
fn check_found(head: &Path, folder: &Path, found: &Metadata) -> Result<()> {
    let unsupported = |why: &str| Error::Unsupported {
        path: folder.to_owned(),
        why: why.to_owned(),
    };
    if !found.is_dir() {
        return Err(unsupported(
            "it is not a folder, but restore points must lie there: move it away",
        ));
    }
    let outside = fsx::find(fsx::parent(head)?)?.ok_or_else(|| Error::Missing {
        path: head.to_owned(),
    })?;
    if found.dev() != outside.dev() {
        return Err(unsupported(
            "it is on another file system than its disk, so nothing can be renamed between the \
             two: remove the mount or subvolume",
        ));
    }
    Ok(())
}

fn lock_file(head: &Path, path: &Path) -> Result<File> {
    let busy = || Error::Busy {
        path: head.to_owned(),
    };
    for _ in 0..MAX_VANISHED {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(OFlags::NOFOLLOW.bits().cast_signed())
            .open(path)
            .map_err(|e| Error::io("open", path, e))?;
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => return Err(busy()),
            Err(Errno::INTR) => continue,
            Err(e) => return Err(Error::io("lock", path, e)),
        }
        // Whoever erased the folder may have unlinked this file between our
        // open and our lock; then others will lock another one.
        let locked = file
            .metadata()
            .map(|metadata| FileId::of(&metadata))
            .map_err(|e| Error::io("look at", path, e))?;
        if fsx::id(path)?.is_some_and(|named| named.same_file(&locked)) {
            return Ok(file);
        }
    }
    Err(busy())
}
