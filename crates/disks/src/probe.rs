//! What a host and a folder can do.
use crate::error::{Error, Result};
use crate::model::{DriverKind, Format};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// What can be done in a folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capabilities {
    /// Whether files there can share blocks.
    pub reflink: bool,
    /// Version of `qemu-img`, when it is installed.
    pub qemu_img: Option<String>,
    /// Name of the file system, e.g. `xfs`.
    pub filesystem: String,
    /// Space that may be used, in bytes.
    pub free_bytes: u64,
    /// Size of the file system, in bytes.
    pub total_bytes: u64,
}

/// Tries what can be done in `folder`.
///
/// # Errors
/// [`Error::Io`].
pub fn probe(folder: &Path) -> Result<Capabilities> {
    Err(Error::Missing {
        path: folder.to_owned(),
    })
}

/// Picks a driver.
///
/// # Errors
/// [`Error::Unsupported`] when `asked` is not possible.
pub fn choose(
    _capabilities: &Capabilities,
    _format: Format,
    _asked: Option<DriverKind>,
) -> Result<DriverKind> {
    Ok(DriverKind::Copy)
}

/// Checks the path a user gave for a disk.
///
/// # Errors
/// [`Error::Missing`], [`Error::Unsupported`].
pub fn canonical_head(path: &Path) -> Result<PathBuf> {
    Ok(path.to_owned())
}

/// Looks at the first bytes. Only for a file its owner vouches for.
///
/// # Errors
/// [`Error::Missing`], [`Error::Io`].
pub fn detect_format(_path: &Path) -> Result<Format> {
    Ok(Format::Raw)
}

/// Space that may be used on the file system of `path`, in bytes.
///
/// # Errors
/// [`Error::Io`].
pub fn free_bytes(_path: &Path) -> Result<u64> {
    Ok(0)
}
