//! The file operations everything here is made of.
//!
//! Every operation that changes something passes [`before`] first. In tests
//! that is where a crash happens, and where the order of operations is
//! recorded; otherwise it is nothing.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Gid, IFlags, Mode, OFlags, RenameFlags, SeekFrom, Uid, XattrFlags};
use rustix::io::Errno;

use crate::error::{Error, Result};
use crate::model::{FileId, Progress};

/// How much is copied between two looks at the progress. Small enough that a
/// slow disk answers a cancel within a second, large enough that the looks cost
/// nothing. Tests cut small disks into several pieces.
const CHUNK_BYTES: u64 = if cfg!(test) { 128 << 10 } else { 8 << 20 };

/// How much may wait in the page cache during a copy. The last sync cannot be
/// cancelled, so it must not have everything left to do.
const DIRTY_BYTES: u64 = 256 << 20;

/// Largest list of extended attributes, and largest attribute, that Linux has
/// (`XATTR_LIST_MAX`, `XATTR_SIZE_MAX`).
const XATTR_BYTES: usize = 64 << 10;

/// An operation that changes something.
#[cfg_attr(not(test), expect(dead_code, reason = "only the seam reads it"))]
#[derive(Clone, Copy, Debug)]
pub(crate) enum Op<'a> {
    /// A new, empty file, or a new folder.
    Create(&'a Path),
    /// New contents, or part of them.
    Write(&'a Path),
    /// Contents made durable.
    SyncFile(&'a Path),
    /// Names in a folder made durable.
    SyncFolder(&'a Path),
    /// A second name.
    Link(&'a Path, &'a Path),
    /// Another name.
    Rename(&'a Path, &'a Path),
    /// One name less.
    Unlink(&'a Path),
    /// A run of `qemu-img` that writes the file.
    Tool(&'a Path),
}

#[cfg(not(test))]
#[expect(
    clippy::unnecessary_wraps,
    reason = "the seam of tests can refuse, this one never does"
)]
#[inline(always)]
pub(crate) fn before(_op: Op<'_>) -> Result<()> {
    Ok(())
}

#[cfg(test)]
pub(crate) use seam::before;

/// Looks at `path` itself, not at what it may point to.
pub(crate) fn find(path: &Path) -> Result<Option<Metadata>> {
    match std::fs::symlink_metadata(path) {
        Ok(metadata) => Ok(Some(metadata)),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
        Err(e) => Err(Error::io("look at", path, e)),
    }
}

/// Which file has the name `path`, if any.
pub(crate) fn id(path: &Path) -> Result<Option<FileId>> {
    Ok(find(path)?.map(|metadata| FileId::of(&metadata)))
}

/// Looks at a regular file.
///
/// # Errors
/// [`Error::PointMissing`], [`Error::Unsupported`] for anything but a regular
/// file.
pub(crate) fn regular(path: &Path) -> Result<Metadata> {
    let metadata = find(path)?.ok_or_else(|| Error::PointMissing {
        path: path.to_owned(),
    })?;
    if !metadata.is_file() {
        return Err(Error::Unsupported {
            path: path.to_owned(),
            why: "it is not a regular file: put the image file itself there".to_owned(),
        });
    }
    Ok(metadata)
}

/// [`regular`], of a head.
///
/// # Errors
/// [`Error::Missing`], [`Error::Unsupported`].
pub(crate) fn head(path: &Path) -> Result<Metadata> {
    regular(path).map_err(|e| match e {
        Error::PointMissing { path } => Error::Missing { path },
        other => other,
    })
}

/// Space that the file takes, in bytes.
pub(crate) fn allocated(metadata: &Metadata) -> u64 {
    // st_blocks counts 512-byte units on every file system.
    metadata.blocks().saturating_mul(512)
}

/// Opens for reading, refusing a symbolic link.
pub(crate) fn open(path: &Path) -> Result<File> {
    OpenOptions::new()
        .read(true)
        .custom_flags(OFlags::NOFOLLOW.bits().cast_signed())
        .open(path)
        .map_err(|e| match e.kind() {
            ErrorKind::NotFound => Error::PointMissing {
                path: path.to_owned(),
            },
            _ => Error::io("open", path, e),
        })
}

/// The file names in `folder`; none when the folder is not there. Names that
/// are not text are none of ours.
pub(crate) fn list(folder: &Path) -> Result<Vec<String>> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(Error::io("list", folder, e)),
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|e| Error::io("list", folder, e))?;
        if let Ok(name) = entry.file_name().into_string() {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

/// A file in the making: dropped without [`TmpFile::publish`], it is unlinked.
pub(crate) struct TmpFile {
    path: PathBuf,
    published: bool,
}

impl TmpFile {
    /// Claims `path`, removing what an earlier try may have left there. The
    /// disk's lock makes sure that nobody else is writing it.
    pub(crate) fn claim(path: PathBuf) -> Result<Self> {
        unlink(&path)?;
        Ok(Self {
            path,
            published: false,
        })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Makes the empty file, readable by nobody else until it gets its owner.
    pub(crate) fn create(&self) -> Result<File> {
        before(Op::Create(&self.path))?;
        OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&self.path)
            .map_err(|e| Error::io("create", &self.path, e))
    }

    /// [`replace`]s the file `old`, which has another name, at `to`.
    pub(crate) fn publish_over(mut self, to: &Path, old: &FileId) -> Result<()> {
        replace(&self.path, to, old)?;
        self.published = true;
        Ok(())
    }

    /// Gives the file its name at last, unless something else has that.
    ///
    /// # Errors
    /// [`Error::Exists`].
    pub(crate) fn publish_new(mut self, to: &Path) -> Result<()> {
        before(Op::Rename(&self.path, to))?;
        let exists = || Error::Exists {
            path: to.to_owned(),
        };
        match rustix::fs::renameat_with(CWD, &self.path, CWD, to, RenameFlags::NOREPLACE) {
            Ok(()) => self.published = true,
            Err(Errno::EXIST) => return Err(exists()),
            // Not every file system can refuse by itself; a second name is
            // refused on all. The first goes when this value does.
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
                std::fs::hard_link(&self.path, to).map_err(|e| match e.kind() {
                    ErrorKind::AlreadyExists => exists(),
                    _ => Error::io("link a file as", to, e),
                })?;
            }
            Err(e) => return Err(Error::io("rename a file to", to, e)),
        }
        Ok(())
    }

    /// Gives the file its name at last; nothing has that yet.
    pub(crate) fn publish(mut self, to: &Path) -> Result<()> {
        rename(&self.path, to)?;
        self.published = true;
        Ok(())
    }
}

impl Drop for TmpFile {
    fn drop(&mut self) {
        if !self.published {
            // The error that brought us here is the one worth telling; what
            // stays is swept when the disk is locked next.
            drop(unlink(&self.path));
        }
    }
}

/// Removes a name; `false` when it was not there.
pub(crate) fn unlink(path: &Path) -> Result<bool> {
    if find(path)?.is_none() {
        return Ok(false);
    }
    before(Op::Unlink(path))?;
    match std::fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(false),
        Err(e) => Err(Error::io("remove", path, e)),
    }
}

/// Renames, replacing `to`. The caller has made sure that the two are not names
/// of one file: then the system call would leave both, and say nothing.
pub(crate) fn rename(from: &Path, to: &Path) -> Result<()> {
    before(Op::Rename(from, to))?;
    std::fs::rename(from, to).map_err(|e| Error::io("rename a file to", to, e))
}

/// Renames `from` to `to`, where the file `old` is, which has another name too.
/// Should somebody have put another file there at the last moment, it stays:
/// the two names are exchanged, so that nothing is lost before we have looked.
///
/// A crash in it may leave `old` at `from`.
pub(crate) fn replace(from: &Path, to: &Path, old: &FileId) -> Result<()> {
    before(Op::Rename(from, to))?;
    match exchange(from, to) {
        Ok(()) => {}
        // Not every file system can exchange names; then there is an instant
        // between the caller's look and the rename.
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
            return std::fs::rename(from, to).map_err(|e| Error::io("rename a file to", to, e));
        }
        Err(e) => return Err(Error::io("exchange a file with", to, e)),
    }
    if id(from)?.is_some_and(|found| found.same_file(old)) {
        unlink(from)?;
        return Ok(());
    }
    before(Op::Rename(from, to))?;
    exchange(from, to).map_err(|e| Error::io("exchange a file with", to, e))?;
    Err(Error::HeadChanged {
        path: to.to_owned(),
        why: "somebody has just put another file there: put the old one back, or take the steps \
              back and begin anew"
            .to_owned(),
    })
}

fn exchange(a: &Path, b: &Path) -> rustix::io::Result<()> {
    rustix::fs::renameat_with(CWD, a, CWD, b, RenameFlags::EXCHANGE)
}

/// Gives `from` the second name `to`.
pub(crate) fn link(from: &Path, to: &Path) -> Result<()> {
    before(Op::Link(from, to))?;
    std::fs::hard_link(from, to).map_err(|e| match Errno::from_io_error(&e) {
        Some(Errno::PERM | Errno::OPNOTSUPP) => Error::Unsupported {
            path: from.to_owned(),
            why: "it cannot be given a second name: run Backout as the file's owner, on a file \
                  system that has hard links"
                .to_owned(),
        },
        _ => Error::io("link a file as", to, e),
    })
}

/// Makes an empty file whose name says it all; fine when it is there.
pub(crate) fn mark(path: &Path) -> Result<()> {
    if find(path)?.is_some() {
        return Ok(());
    }
    before(Op::Create(path))?;
    match OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
    {
        Ok(_) => Ok(()),
        Err(e) if e.kind() == ErrorKind::AlreadyExists => Ok(()),
        Err(e) => Err(Error::io("create", path, e)),
    }
}

/// Removes every mark whose name begins with `prefix`, but not `except`.
pub(crate) fn unmark(folder: &Path, prefix: &str, except: Option<&str>) -> Result<()> {
    for file in list(folder)? {
        if file.starts_with(prefix) && except != Some(file.as_str()) {
            unlink(&folder.join(file))?;
        }
    }
    Ok(())
}

/// Makes `folder`, and what is missing above it, durably.
pub(crate) fn make_folders(folder: &Path) -> Result<()> {
    let mut missing = Vec::new();
    for above in folder.ancestors() {
        if std::fs::metadata(above).is_ok() {
            break;
        }
        missing.push(above);
    }
    for folder in missing.into_iter().rev() {
        before(Op::Create(folder))?;
        match std::fs::create_dir(folder) {
            Ok(()) => {}
            Err(e) if e.kind() == ErrorKind::AlreadyExists => {}
            Err(e) => return Err(Error::io("create the folder", folder, e)),
        }
        sync_folder(parent(folder)?)?;
    }
    Ok(())
}

/// Removes a folder when nothing is in it; says whether it did.
pub(crate) fn remove_empty_folder(folder: &Path) -> Result<bool> {
    before(Op::Unlink(folder))?;
    match std::fs::remove_dir(folder) {
        Ok(()) => {}
        Err(e) if e.kind() == ErrorKind::NotFound => {}
        Err(e) if e.kind() == ErrorKind::DirectoryNotEmpty => return Ok(false),
        Err(e) => return Err(Error::io("remove the folder", folder, e)),
    }
    sync_folder(parent(folder)?)?;
    Ok(true)
}

/// Sets the size of a file.
pub(crate) fn set_size(file: &File, path: &Path, size_bytes: u64) -> Result<()> {
    before(Op::Write(path))?;
    file.set_len(size_bytes)
        .map_err(|e| Error::io("set the size of", path, e))
}

/// Makes a file's contents durable.
pub(crate) fn sync_file(file: &File, path: &Path) -> Result<()> {
    before(Op::SyncFile(path))?;
    file.sync_all().map_err(|e| Error::io("sync", path, e))
}

/// Makes the names in a folder durable.
pub(crate) fn sync_folder(folder: &Path) -> Result<()> {
    before(Op::SyncFolder(folder))?;
    match File::open(folder).and_then(|folder| folder.sync_all()) {
        Ok(()) => Ok(()),
        // Some network and FUSE file systems cannot sync a folder, because
        // their names are durable at once.
        Err(e) if Errno::from_io_error(&e) == Some(Errno::INVAL) => Ok(()),
        Err(e) => Err(Error::io("sync the folder", folder, e)),
    }
}

/// The folder a file lies in.
pub(crate) fn parent(path: &Path) -> Result<&Path> {
    path.parent().ok_or_else(|| Error::Unsupported {
        path: path.to_owned(),
        why: "it lies in no folder: name a file".to_owned(),
    })
}

/// Gives `to` the owner, mode and extended attributes of `from`, so that the
/// machine that could open the one can open the other.
pub(crate) fn dress(from: &File, to: &File, to_path: &Path) -> Result<()> {
    let wanted = from
        .metadata()
        .map_err(|e| Error::io("read the owner for", to_path, e))?;
    let present = to
        .metadata()
        .map_err(|e| Error::io("look at", to_path, e))?;
    before(Op::Write(to_path))?;
    if (wanted.uid(), wanted.gid()) != (present.uid(), present.gid()) {
        rustix::fs::fchown(
            to,
            Some(Uid::from_raw(wanted.uid())),
            Some(Gid::from_raw(wanted.gid())),
        )
        .map_err(|e| Error::io("give the disk's owner to", to_path, e))?;
    }
    copy_attributes(from, to, to_path)?;
    // After the owner, because changing that clears bits of the mode.
    rustix::fs::fchmod(to, Mode::from_raw_mode(wanted.mode() & 0o7777))
        .map_err(|e| Error::io("give the disk's mode to", to_path, e))
}

/// Copies access control lists, labels and the user's own attributes, as far as
/// we may set them.
fn copy_attributes(from: &File, to: &File, to_path: &Path) -> Result<()> {
    let mut names = vec![0_u8; XATTR_BYTES];
    let used = match rustix::fs::flistxattr(from, &mut names[..]) {
        Ok(used) => used,
        Err(Errno::OPNOTSUPP | Errno::NOSYS) => return Ok(()),
        Err(e) => return Err(Error::io("list attributes for", to_path, e)),
    };
    let names = names.get(..used).unwrap_or_default();
    let mut value = vec![0_u8; XATTR_BYTES];
    for name in names.split(|b| *b == 0).filter(|name| !name.is_empty()) {
        // Signatures of the old contents would be wrong for the new file.
        if name == b"security.ima" || name == b"security.evm" {
            continue;
        }
        let Ok(length) = rustix::fs::fgetxattr(from, name, &mut value[..]) else {
            continue;
        };
        let value = value.get(..length).unwrap_or_default();
        match rustix::fs::fsetxattr(to, name, value, XattrFlags::empty()) {
            Ok(()) | Err(Errno::PERM | Errno::ACCESS | Errno::OPNOTSUPP | Errno::INVAL) => {}
            Err(e) => return Err(Error::io("give the disk's attributes to", to_path, e)),
        }
    }
    Ok(())
}

/// Makes the empty file `to` share the blocks of `from`.
pub(crate) fn clone_blocks(from: &File, to: &File, to_path: &Path) -> Result<()> {
    // btrfs refuses to share blocks between a file that is exempt from
    // copy-on-write (virtual machine tools set that for images) and one that
    // is not.
    let no_cow = IFlags::NOCOW;
    if let Ok(flags) = rustix::fs::ioctl_getflags(from)
        && flags.contains(no_cow)
        && let Ok(own) = rustix::fs::ioctl_getflags(to)
    {
        before(Op::Write(to_path))?;
        rustix::fs::ioctl_setflags(to, own | no_cow)
            .map_err(|e| Error::io("set the no-copy-on-write flag of", to_path, e))?;
    }
    before(Op::Write(to_path))?;
    rustix::fs::ioctl_ficlone(to, from).map_err(|e| match e {
        Errno::OPNOTSUPP | Errno::NOTTY | Errno::INVAL => Error::Unsupported {
            path: to_path.to_owned(),
            why: "its file system cannot share blocks between files: use XFS with reflink=1 or \
                  btrfs, or the copy driver"
                .to_owned(),
        },
        e => Error::io("clone the disk to", to_path, e),
    })
}

/// Fills the empty file `to` with the contents of `from`: shares the blocks
/// where that is possible, else copies.
pub(crate) fn clone_or_copy(
    from: &File,
    to: &File,
    to_path: &Path,
    progress: &dyn Progress,
) -> Result<()> {
    if progress.cancelled() {
        return Err(Error::Cancelled {
            path: to_path.to_owned(),
        });
    }
    match clone_blocks(from, to, to_path) {
        Err(Error::Unsupported { .. }) => copy_data(from, to, to_path, progress),
        other => other,
    }
}

/// Copies the data of `from` into the empty file `to`, and leaves its holes
/// holes.
pub(crate) fn copy_data(
    from: &File,
    to: &File,
    to_path: &Path,
    progress: &dyn Progress,
) -> Result<()> {
    Copying {
        from,
        to,
        to_path,
        progress,
        in_kernel: true,
    }
    .run()
}

struct Copying<'a> {
    from: &'a File,
    to: &'a File,
    to_path: &'a Path,
    progress: &'a dyn Progress,
    /// Whether the kernel can copy between the two by itself.
    in_kernel: bool,
}

impl Copying<'_> {
    fn run(mut self) -> Result<()> {
        let metadata = self
            .from
            .metadata()
            .map_err(|e| Error::io("look at the source of", self.to_path, e))?;
        let length = metadata.len();
        let total = allocated(&metadata).min(length);
        before(Op::Write(self.to_path))?;
        self.to
            .set_len(length)
            .map_err(|e| Error::io("set the size of", self.to_path, e))?;
        let mut done = 0_u64;
        let mut unsynced = 0_u64;
        let mut at = 0;
        while let Some((start, end)) = self.next_data(at, length)? {
            at = start;
            while at < end {
                if self.progress.cancelled() {
                    return Err(Error::Cancelled {
                        path: self.to_path.to_owned(),
                    });
                }
                before(Op::Write(self.to_path))?;
                let copied = self.chunk(at, (end - at).min(CHUNK_BYTES))?;
                at += copied;
                unsynced += copied;
                done = (done + copied).min(total);
                self.progress.at(done, total);
                if unsynced >= DIRTY_BYTES {
                    self.to
                        .sync_data()
                        .map_err(|e| Error::io("sync", self.to_path, e))?;
                    unsynced = 0;
                }
            }
        }
        self.progress.at(total, total);
        Ok(())
    }

    /// The next run of data at or after `at`.
    fn next_data(&self, at: u64, length: u64) -> Result<Option<(u64, u64)>> {
        let fail = |e| Error::io("look for data in the source of", self.to_path, e);
        if at >= length {
            return Ok(None);
        }
        let start = match rustix::fs::seek(self.from, SeekFrom::Data(at)) {
            Ok(start) => start,
            Err(Errno::NXIO) => return Ok(None),
            // Not every file system knows where its holes are.
            Err(Errno::INVAL | Errno::OPNOTSUPP) => return Ok(Some((at, length))),
            Err(e) => return Err(fail(e)),
        };
        let end = match rustix::fs::seek(self.from, SeekFrom::Hole(start)) {
            Ok(end) => end.min(length),
            Err(Errno::NXIO) => return Ok(None),
            Err(e) => return Err(fail(e)),
        };
        // A file that shrinks meanwhile could stop us from getting on.
        Ok((start < end).then_some((start, end)))
    }

    /// Copies up to `length` bytes at `at`; returns how many, at least one.
    fn chunk(&mut self, at: u64, length: u64) -> Result<u64> {
        let wanted = usize::try_from(length).unwrap_or(usize::MAX);
        while self.in_kernel {
            let (mut source, mut target) = (at, at);
            let copied = rustix::fs::copy_file_range(
                self.from,
                Some(&mut source),
                self.to,
                Some(&mut target),
                wanted,
            );
            match copied {
                Ok(0) => self.in_kernel = false,
                Ok(copied) => return Ok(copied as u64),
                Err(Errno::INTR) => {}
                Err(Errno::XDEV | Errno::NOSYS | Errno::OPNOTSUPP | Errno::INVAL | Errno::PERM) => {
                    self.in_kernel = false;
                }
                Err(e) => return Err(Error::io("copy the disk to", self.to_path, e)),
            }
        }
        let mut buffer = vec![0_u8; wanted.min(1 << 20)];
        let read = loop {
            match self.from.read_at(&mut buffer, at) {
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return Err(Error::io("read the source of", self.to_path, e)),
                Ok(0) => {
                    return Err(Error::io(
                        "read the source of",
                        self.to_path,
                        io::Error::new(ErrorKind::UnexpectedEof, "it shrank while it was copied"),
                    ));
                }
                Ok(read) => break read,
            }
        };
        self.to
            .write_all_at(buffer.get(..read).unwrap_or_default(), at)
            .map_err(|e| Error::io("write", self.to_path, e))?;
        Ok(read as u64)
    }
}

/// Where tests stop a function after any of its operations, and see in which
/// order it did them.
#[cfg(test)]
pub(crate) mod seam {
    use std::cell::RefCell;
    use std::collections::BTreeSet;
    use std::io;
    use std::path::{Path, PathBuf};

    use super::Op;
    use crate::error::{Error, Result};

    #[derive(Default)]
    struct State {
        /// Operations still allowed; `None`: all.
        allowed: Option<u32>,
        done: u32,
        crashed: bool,
        /// What a power loss now could undo.
        unsynced_files: BTreeSet<PathBuf>,
        unsynced_folders: BTreeSet<PathBuf>,
        complaints: Vec<String>,
    }

    thread_local! {
        static STATE: RefCell<State> = RefCell::default();
    }

    /// What was seen while a function ran.
    pub(crate) struct Seen {
        /// Operations performed.
        pub(crate) done: u32,
        /// Whether the crash came.
        pub(crate) crashed: bool,
        /// Breaches of the order that a power loss needs.
        pub(crate) complaints: Vec<String>,
        /// Files and folders that were left unsynced.
        pub(crate) unsynced: Vec<PathBuf>,
    }

    /// Runs `work` and crashes before its operation number `allowed`. From then
    /// on nothing in it changes anything, as if the process were dead.
    pub(crate) fn watch<T>(allowed: Option<u32>, work: impl FnOnce() -> T) -> (T, Seen) {
        STATE.with_borrow_mut(|state| {
            *state = State {
                allowed,
                ..State::default()
            };
        });
        let result = work();
        let state = STATE.take();
        let seen = Seen {
            done: state.done,
            crashed: state.crashed,
            complaints: state.complaints,
            unsynced: state
                .unsynced_files
                .into_iter()
                .chain(state.unsynced_folders)
                .collect(),
        };
        (result, seen)
    }

    fn is_tmp(path: &Path) -> bool {
        path.file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with("tmp-"))
    }

    fn folder(path: &Path) -> PathBuf {
        path.parent().unwrap().to_owned()
    }

    pub(crate) fn before(op: Op<'_>) -> Result<()> {
        STATE.with_borrow_mut(|state| {
            if state.crashed || state.allowed == Some(state.done) {
                if !state.crashed {
                    state.crashed = true;
                    torn(op);
                }
                let (Op::Create(path)
                | Op::Write(path)
                | Op::SyncFile(path)
                | Op::SyncFolder(path)
                | Op::Link(path, _)
                | Op::Rename(path, _)
                | Op::Unlink(path)
                | Op::Tool(path)) = op;
                return Err(Error::io("crash before", path, io::Error::other("test")));
            }
            state.done += 1;
            match op {
                // A name that nobody relies on needs not be durable.
                Op::Create(path) | Op::Unlink(path) if is_tmp(path) => {
                    state.unsynced_files.remove(path);
                }
                Op::Create(path) | Op::Unlink(path) => {
                    state.unsynced_files.remove(path);
                    // A folder that goes takes the names in it along.
                    state.unsynced_folders.remove(path);
                    state.unsynced_folders.insert(folder(path));
                }
                Op::Write(path) | Op::Tool(path) => {
                    state.unsynced_files.insert(path.to_owned());
                }
                Op::SyncFile(path) => {
                    state.unsynced_files.remove(path);
                }
                Op::SyncFolder(path) => {
                    state.unsynced_folders.remove(path);
                }
                Op::Link(_, to) => {
                    if !is_tmp(to) {
                        state.unsynced_folders.insert(folder(to));
                    }
                }
                Op::Rename(from, to) => {
                    if state.unsynced_files.contains(from) {
                        state
                            .complaints
                            .push(format!("{from:?} renamed to {to:?} before it was synced"));
                    }
                    // Renaming over a file takes a name from it: the names that
                    // keep it, and the layers the new one needs, come first.
                    if to.exists() && !state.unsynced_folders.is_empty() {
                        state.complaints.push(format!(
                            "{to:?} replaced while {:?} was not synced",
                            state.unsynced_folders
                        ));
                    }
                    if !is_tmp(from) {
                        state.unsynced_folders.insert(folder(from));
                    }
                    state.unsynced_folders.insert(folder(to));
                }
            }
            Ok(())
        })
    }

    /// The operations that are not atomic leave something half done.
    fn torn(op: Op<'_>) {
        if let Op::Tool(path) = op {
            std::fs::write(path, b"half an image").unwrap();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::NoProgress;

    #[test]
    fn a_file_that_came_at_the_last_moment_is_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        for name in ["old", "new", "theirs"] {
            std::fs::write(path(name), name).unwrap();
        }
        let ids = ["old", "new", "theirs"].map(|name| id(&path(name)).unwrap().unwrap());
        let error = replace(&path("new"), &path("theirs"), &ids[0]).unwrap_err();
        assert!(matches!(error, Error::HeadChanged { .. }));
        for name in ["new", "theirs"] {
            assert_eq!(std::fs::read_to_string(path(name)).unwrap(), name);
        }
        replace(&path("new"), &path("old"), &ids[0]).unwrap();
        assert_eq!(std::fs::read_to_string(path("old")).unwrap(), "new");
        assert!(!path("new").exists());
    }

    #[test]
    fn the_copy_without_help_from_the_kernel_keeps_data_and_holes() {
        let folder = tempfile::tempdir().unwrap();
        let from = tempfile::tempfile_in(folder.path()).unwrap();
        from.set_len(64 << 20).unwrap();
        for at in [0, 300_000, 5 << 20, (64 << 20) - 7] {
            from.write_all_at(b"data...", at).unwrap();
        }
        for in_kernel in [true, false] {
            let to = tempfile::tempfile_in(folder.path()).unwrap();
            let copying = Copying {
                from: &from,
                to: &to,
                to_path: folder.path(),
                progress: &NoProgress,
                in_kernel,
            };
            copying.run().unwrap();
            let metadata = to.metadata().unwrap();
            assert_eq!(metadata.len(), 64 << 20);
            assert!(allocated(&metadata) < 4 << 20);
            let mut a = vec![0; 64 << 20];
            let mut b = a.clone();
            from.read_exact_at(&mut a, 0).unwrap();
            to.read_exact_at(&mut b, 0).unwrap();
            assert!(a == b);
        }
    }
}
