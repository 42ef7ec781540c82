//! Files: whole or not at all, copied cheaply, gone when they shall be.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use rustix::io::Errno;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{Error, Result};

/// How much is copied between two looks at whether it is still wanted, in
/// bytes: a few hundredths of a second.
const COPY_STEP_BYTES: usize = 16 << 20;

/// With less room than this, in bytes, no program of the server's packages does
/// anything: their first files take more.
const LITTLE: u64 = 1 << 20;

/// Whether the file system of a file is full: then what failed failed of it,
/// and may not even have had the room to say so.
pub(crate) fn has_no_room(path: &Path) -> bool {
    let room = path.parent().and_then(|folder| {
        let facts = rustix::fs::statvfs(folder).ok()?;
        Some(facts.f_bavail.saturating_mul(facts.f_frsize))
    });
    room.is_some_and(|bytes| bytes < LITTLE)
}

/// Writes a JSON file, whole or not at all, and durably.
pub(crate) fn write_json<T: Serialize>(path: &Path, value: &T) -> Result<()> {
    let text = serde_json::to_vec_pretty(value)
        .map_err(|e| Error::io("write", path)(std::io::Error::other(e)))?;
    write(path, &text, 0o600)
}

/// Writes a file, whole or not at all, and durably.
pub(crate) fn write(path: &Path, text: &[u8], mode: u32) -> Result<()> {
    let tmp = path.with_extension("tmp");
    let made = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(mode)
        .open(&tmp)
        .and_then(|mut out| {
            out.write_all(text)?;
            out.sync_all()
        })
        .and_then(|()| std::fs::rename(&tmp, path));
    made.map_err(Error::io("write", path))?;
    sync_folder(path.parent().unwrap_or(path))
}

/// Reads a JSON file; `None` when it is not there.
pub(crate) fn read_json<T: DeserializeOwned>(path: &Path) -> Result<Option<T>> {
    match std::fs::read(path) {
        Ok(text) => serde_json::from_slice(&text)
            .map(Some)
            .map_err(|e| Error::io("read", path)(std::io::Error::new(ErrorKind::InvalidData, e))),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
        Err(e) => Err(Error::io("read", path)(e)),
    }
}

/// Makes what was done to the names in a folder durable.
pub(crate) fn sync_folder(folder: &Path) -> Result<()> {
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(Error::io("sync", folder))
}

/// Removes a file; fine when it is not there.
pub(crate) fn remove_file(path: &Path) -> Result<()> {
    match std::fs::remove_file(path) {
        Err(e) if e.kind() != ErrorKind::NotFound => Err(Error::io("remove", path)(e)),
        _ => Ok(()),
    }
}

/// Removes a folder with all that is in it; fine when it is not there.
pub(crate) fn remove_tree(path: &Path) -> Result<()> {
    match std::fs::remove_dir_all(path) {
        Err(e) if e.kind() != ErrorKind::NotFound => Err(Error::io("remove", path)(e)),
        _ => Ok(()),
    }
}

/// Makes a folder that is for us alone, and what is above it.
pub(crate) fn make_folder(path: &Path) -> Result<()> {
    make(path, 0o700)
}

/// Makes a folder that others may pass through, without seeing what is in it:
/// a server has its data folder there, under another account.
pub(crate) fn make_way(path: &Path) -> Result<()> {
    if let Some(above) = path.parent() {
        make_folder(above)?;
    }
    make(path, 0o711)
}

fn make(path: &Path, mode: u32) -> Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(mode)
        .create(path)
        .map_err(Error::io("make the folder", path))
}

/// Copies a file to a new one: shares its blocks where the file system can,
/// within the kernel otherwise. The new one is not synced.
pub(crate) fn copy(from: &Path, to: &Path, cancelled: &dyn Fn() -> bool) -> Result<()> {
    let source = File::open(from).map_err(Error::io("open", from))?;
    let failed = Error::io("write", to);
    let target = match File::create_new(to) {
        Ok(target) => target,
        Err(e) => return Err(failed(e)),
    };
    if rustix::fs::ioctl_ficlone(&target, &source).is_ok() {
        return Ok(());
    }
    loop {
        if cancelled() {
            return Err(Error::Cancelled);
        }
        match rustix::fs::copy_file_range(&source, None, &target, None, COPY_STEP_BYTES) {
            Ok(0) => return Ok(()),
            Ok(_) | Err(Errno::INTR) => {}
            // Not on this file system: both are at the same place, since a
            // first call that fails moves neither.
            Err(Errno::XDEV | Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
                return std::io::copy(&mut &source, &mut &target)
                    .map(drop)
                    .map_err(failed);
            }
            Err(e) => return Err(failed(e.into())),
        }
    }
}

/// How much of a file is asked for at a time by [`read_ahead`], in bytes.
const AHEAD_BYTES: u64 = 1 << 20;

/// How many of these are asked for before the first is waited for: a disk is
/// kept busy, and others that use it do not wait behind more.
const AHEAD_STEPS: u64 = 4;

/// Has the kernel read the tables' files below a folder, each from its begin to
/// its end: a server that finds no pages in memory asks for one after another,
/// and waits for each. At most `bytes` in all.
pub(crate) fn read_ahead(folder: &Path, bytes: u64, cancelled: &dyn Fn() -> bool) -> Result<()> {
    use std::os::unix::fs::FileExt as _;
    let mut left = bytes;
    for (path, facts) in list(folder)? {
        if path.extension().is_none_or(|end| end != "ibd") {
            continue;
        }
        let path = folder.join(path);
        let failed = || Error::io("read", &path);
        let file = File::open(&path).map_err(failed())?;
        let len = facts.len().min(left);
        left -= len;
        for step in 0..len.div_ceil(AHEAD_BYTES) {
            if cancelled() {
                return Ok(());
            }
            let length = std::num::NonZeroU64::new(AHEAD_BYTES);
            rustix::fs::fadvise(
                &file,
                step * AHEAD_BYTES,
                length,
                rustix::fs::Advice::WillNeed,
            )
            .map_err(|e| failed()(e.into()))?;
            if let Some(before) = step.checked_sub(AHEAD_STEPS) {
                // Waits until it is there.
                file.read_at(&mut [0], (before + 1) * AHEAD_BYTES - 1)
                    .map_err(failed())?;
            }
        }
    }
    Ok(())
}

/// All files below a folder, by their path from there, in order.
pub(crate) fn list(folder: &Path) -> Result<Vec<(std::path::PathBuf, std::fs::Metadata)>> {
    let mut found = Vec::new();
    let mut folders = vec![std::path::PathBuf::new()];
    while let Some(inner) = folders.pop() {
        let path = folder.join(&inner);
        let failed = |e| Error::io("list", &path)(e);
        for entry in std::fs::read_dir(&path).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let facts = entry.metadata().map_err(failed)?;
            let name = inner.join(entry.file_name());
            if facts.is_dir() {
                folders.push(name);
            } else if facts.is_file() {
                found.push((name, facts));
            }
        }
    }
    found.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(found)
}
