//! Reads a history: what happened, in the order in which it took effect.

use std::collections::HashSet;
use std::path::PathBuf;

use crate::change::{Item, TableName};
use crate::error::Result;
use crate::source::{Block, Source};

pub(crate) const ENCRYPTED: &str =
    "the binary log is encrypted; have the server write it plain (encrypt_binlog=OFF)";

/// How to read.
#[derive(Clone, Debug)]
pub struct ReaderOptions {
    /// The tables whose rows are wanted; `None` for all. Rows of others are
    /// skipped undecoded, but groups and statements still come.
    pub wanted: Option<HashSet<TableName>>,
    /// A folder for what does not fit into `memory`; made when needed.
    pub spill: PathBuf,
    /// Bytes that prepared XA transactions may take before they go to `spill`.
    pub xa_memory: u64,
    /// Whether the server folds names of tables and databases to lower case
    /// (`lower_case_table_names` is not 0): then those in statements are, too.
    pub lower_case_names: bool,
}

/// Reads a history. Each call of [`Reader::next`] yields one item.
#[derive(Debug)]
pub struct Reader<S> {
    source: S,
    options: ReaderOptions,
    block: Block,
}

impl<S: Source> Reader<S> {
    /// Reads what `source` yields.
    #[must_use]
    pub fn new(source: S, options: ReaderOptions) -> Self {
        Self {
            source,
            options,
            block: Block::default(),
        }
    }

    /// What comes next; `None` at the end of the history.
    ///
    /// # Errors
    /// Those of the source; [`crate::Error::Damaged`] and
    /// [`crate::Error::Unsupported`].
    #[expect(clippy::should_implement_trait, reason = "what it yields is lent")]
    pub fn next(&mut self) -> Result<Option<Item<'_>>> {
        let _ = &self.options;
        while self.source.next_block(&mut self.block)? {}
        Ok(None)
    }

    /// The source, e.g. to ask whether it was torn.
    pub const fn source(&self) -> &S {
        &self.source
    }
}
