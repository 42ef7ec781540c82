//! The result of a reduction: complete or absent.

use std::path::Path;

use super::{NetRow, NetSummary};
use crate::error::{Error, Result};

/// The files of a finished reduction.
#[derive(Debug)]
pub struct NetFiles {
    summaries: Vec<NetSummary>,
}

impl NetFiles {
    /// What a finished [`Reducer`](super::Reducer) left in the folder; `None`
    /// when there is none, or it never finished.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Net`].
    pub fn open(folder: &Path) -> Result<Option<Self>> {
        let _ = folder;
        Ok(None)
    }

    /// One for each table, in the order they were given in.
    #[must_use]
    pub fn summaries(&self) -> &[NetSummary] {
        &self.summaries
    }

    /// The rows of a table, by its place in [`Self::summaries`], in the order
    /// of the key.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Net`].
    pub fn rows(&self, table: usize) -> Result<NetRows> {
        let _ = table;
        Err(Error::Cancelled)
    }

    /// The same rows in at most `n` parts, each a range of keys, of about equal
    /// size; fewer when there is little.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Net`].
    pub fn parts(&self, table: usize, n: usize) -> Result<Vec<NetRows>> {
        let _ = (table, n);
        Err(Error::Cancelled)
    }
}

/// Rows, one after another.
#[derive(Debug)]
pub struct NetRows {}

impl NetRows {
    /// The next row.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Net`].
    #[expect(
        clippy::should_implement_trait,
        reason = "a row borrows from the reader, which an Iterator cannot say"
    )]
    pub fn next(&mut self) -> Result<Option<NetRow<'_>>> {
        Ok(None)
    }
}
