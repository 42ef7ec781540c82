//! Folders and marks of a job, with errors that steps return.

use std::fs::{self, DirBuilder};
use std::io::{self, ErrorKind};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;

use backout_core::code::Code;
use backout_jobs::StepError;

fn failed(doing: &str, path: &Path, e: &io::Error) -> StepError {
    let code = match e.kind() {
        ErrorKind::StorageFull => Code::NoSpace,
        _ => Code::ArchiveIo,
    };
    StepError::failed(code, format!("{doing} {}: {e}", path.display()))
}

/// Makes a folder that others may pass, but not list: the servers that work in
/// it have users of their own.
pub(crate) fn make_folder(path: &Path) -> Result<(), StepError> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o711)
        .create(path)
        .map_err(|e| failed("make folder", path, &e))
}

/// Removes a folder with all that is in it; fine when there is none.
pub(crate) fn remove_folder(path: &Path) -> Result<(), StepError> {
    match fs::remove_dir_all(path) {
        Err(e) if e.kind() != ErrorKind::NotFound => Err(failed("remove folder", path, &e)),
        _ => Ok(()),
    }
}

/// Leaves a mark that outlives a crash.
pub(crate) fn mark(path: &Path) -> Result<(), StepError> {
    let write = || -> io::Result<()> {
        fs::File::create(path)?.sync_all()?;
        match path.parent() {
            Some(folder) => fs::File::open(folder)?.sync_all(),
            None => Ok(()),
        }
    };
    write().map_err(|e| failed("write", path, &e))
}
