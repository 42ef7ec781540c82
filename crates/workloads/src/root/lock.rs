//! The lock of an instance, and the fence in it.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use backout_core::fence::Fence;
use rustix::fs::{FlockOperation, OFlags, flock};

use crate::error::{Error, Result};
use crate::model::InstanceId;

/// How long an instance that another worker is busy with is waited for; then
/// the caller decides. A stop may take longer, and is then tried again.
const PATIENCE: Duration = Duration::from_secs(10);

/// How often it is looked at meanwhile.
const TICK: Duration = Duration::from_millis(20);

/// Shows that the lock is held by the owner of the newest fence. Dropping it
/// lets go.
#[derive(Debug)]
pub(crate) struct Guard {
    file: File,
}

impl Drop for Guard {
    fn drop(&mut self) {
        // Explicitly, because a process that another thread is just starting
        // may hold a copy of the descriptor for a moment. Should it fail,
        // closing the file does the same a moment later.
        let _ = flock(&self.file, FlockOperation::Unlock);
    }
}

/// Opens a lock file, making it where it is missing.
pub(crate) fn open(path: &Path) -> Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags(OFlags::NOFOLLOW.bits().cast_signed())
        .open(path)
        .map_err(|e| Error::io("open", path, e))
}

/// Takes the lock at `path`, and leaves the fence in it.
pub(crate) fn hold(path: &Path, id: &InstanceId, fence: Fence) -> Result<Guard> {
    let until = Instant::now() + PATIENCE;
    let file = open(path)?;
    while let Err(e) = flock(&file, FlockOperation::NonBlockingLockExclusive) {
        if e != rustix::io::Errno::WOULDBLOCK && e != rustix::io::Errno::INTR {
            return Err(Error::io("lock", path, e));
        }
        if Instant::now() >= until {
            return Err(Error::Busy { id: id.clone() });
        }
        std::thread::sleep(TICK);
    }
    let mut guard = Guard { file };
    let newest = show(&mut guard.file, fence).map_err(|e| Error::io("write", path, e))?;
    if !newest {
        return Err(Error::Stale { id: id.clone() });
    }
    Ok(guard)
}

/// Leaves the fence in the file, unless a newer one is there. Whether it is the
/// newest.
fn show(file: &mut File, fence: Fence) -> std::io::Result<bool> {
    let mut text = String::new();
    file.seek(SeekFrom::Start(0))?;
    // What is there is ours; should it be anything else, it counts as older.
    (&*file)
        .take(64)
        .read_to_string(&mut text)
        .unwrap_or_default();
    let seen = text.trim().parse().map_or(Fence(0), Fence);
    if seen < fence {
        file.seek(SeekFrom::Start(0))?;
        // One line of fixed length, so that a newer one covers an older one.
        file.write_all(format!("{:>20}\n", fence.0).as_bytes())?;
        file.sync_all()?;
    }
    Ok(seen <= fence)
}
