//! The lock of an instance on this host, and the fence in it.
//!
//! A step holds it while it works, so that a worker that was stopped in the
//! middle, lost its lease and goes on is not joined by another; the highest
//! fence that was ever shown stays in it, so that what is older does nothing.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::time::Duration;

use backout_core::code::Code;
use backout_core::fence::Fence;
use backout_jobs::{StepContext, StepError};
use rustix::fs::{FlockOperation, flock};

/// How often a step asks again for an instance that another still works on.
const RETRY: Duration = Duration::from_millis(50);

/// How many times; then the engine waits longer.
const TRIES: u32 = 40;

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

/// Takes the lock of the instance whose folder is `home`, which is made when it
/// is missing. Blocks.
///
/// # Errors
/// [`StepError::Stale`] when a newer fence was here, [`StepError::Cancelled`],
/// [`StepError::Again`] when another process does not let go.
pub(crate) fn hold(ctx: &StepContext, home: &Path) -> Result<Guard, StepError> {
    let failed = |doing: &str, e: std::io::Error| {
        let message = format!("{doing} {}: {e}", home.join("lock").display());
        match e.kind() {
            std::io::ErrorKind::StorageFull => StepError::failed(Code::NoSpace, message),
            _ => StepError::again(Code::ArchiveIo, message),
        }
    };
    DirBuilder::new()
        .recursive(true)
        .mode(0o711)
        .create(home)
        .map_err(|e| failed("make the folder of", e))?;
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(home.join("lock"))
        .map_err(|e| failed("open", e))?;
    let mut tries = 0;
    while let Err(e) = flock(&file, FlockOperation::NonBlockingLockExclusive) {
        if e != rustix::io::Errno::WOULDBLOCK {
            return Err(failed("lock", e.into()));
        }
        if ctx.cancel.requested() {
            return Err(StepError::Cancelled);
        }
        tries += 1;
        if tries == TRIES {
            return Err(StepError::again(
                Code::ResourceBusy,
                format!(
                    "lock {}: a worker that was stopped in the middle of a step still holds it",
                    home.display()
                ),
            ));
        }
        std::thread::sleep(RETRY);
    }
    let mut guard = Guard { file };
    show(&mut guard.file, ctx.fence).map_err(|e| failed("write", e))??;
    Ok(guard)
}

/// Leaves the fence in the file, unless a newer one is there.
fn show(file: &mut File, fence: Fence) -> std::io::Result<Result<(), StepError>> {
    let mut text = String::new();
    // What is there is ours; should it be anything else, it counts as older.
    file.take(64).read_to_string(&mut text).unwrap_or_default();
    let seen = text.trim().parse().map_or(Fence(0), Fence);
    if seen > fence {
        return Ok(Err(StepError::Stale));
    }
    if seen < fence {
        file.seek(SeekFrom::Start(0))?;
        file.write_all(format!("{:>20}\n", fence.0).as_bytes())?;
        file.sync_all()?;
    }
    Ok(Ok(()))
}
