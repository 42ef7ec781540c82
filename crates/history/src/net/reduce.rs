//! Takes changes, spills, finishes.

use std::path::Path;

use super::{NetSummary, NetTable};
use crate::change::{Change, TableName};
use crate::error::{Error, Result};

/// Reduces changes to their net effect, in bounded memory.
#[derive(Debug)]
pub struct Reducer {}

impl Reducer {
    /// An empty one. The folder is its own: what is there of an earlier
    /// reduction is removed. `memory_bytes` is what it may use, and a few times
    /// the longest row beyond that.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn new(folder: &Path, memory_bytes: u64, tables: Vec<NetTable>) -> Result<Self> {
        let _ = (folder, memory_bytes, tables);
        Ok(Self {})
    }

    /// Takes in the next change, in the order of the history. Changes of other
    /// tables are passed over.
    ///
    /// # Errors
    /// [`Error::Net`] when the columns of the table changed within the window;
    /// [`Error::Io`].
    pub fn change(&mut self, change: &Change<'_>) -> Result<()> {
        let _ = change;
        Err(Error::Cancelled)
    }

    /// From here on the table `from` is called `to`.
    pub fn rename(&mut self, from: &TableName, to: &TableName) {
        let _ = (from, to);
    }

    /// Writes the result, durably: it is complete or absent, across a crash.
    /// `cancelled` is asked every few MB.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Cancelled`].
    pub fn finish(self, cancelled: &dyn Fn() -> bool) -> Result<Vec<NetSummary>> {
        let _ = cancelled;
        Err(Error::Cancelled)
    }
}
