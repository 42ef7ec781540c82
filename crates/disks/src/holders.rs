//! Who holds a file open.
use crate::error::Result;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// A process or loop device that holds a file open.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// Process id; `None` for a loop device.
    pub pid: Option<u32>,
    /// The process's short name, or that of the loop device.
    pub comm: String,
    /// Whether it can write to the file.
    pub writable: bool,
}

/// Who holds `head` open.
///
/// # Errors
/// Missing.
pub fn holders(_head: &Path) -> Result<Vec<Holder>> {
    Ok(Vec::new())
}
