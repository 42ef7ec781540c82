//! The archive of one server's history.
//!
//! The server's binary logs are pulled over its replication protocol ([`pull`])
//! and kept, byte for byte, in *chunks* of about 4 MiB, beside an index of what
//! each chunk holds. Everything lies in an object store, under one prefix:
//!
//! ```text
//! chunks/<incarnation>/<file's number>-<first byte>-<bytes>      immutable, compressed, checksummed
//! index/<incarnation>/<file's number>-<first byte>.<version>     pages of at most 256 entries
//! damage/<incarnation>/<file's number>-<first byte>-<bytes>      a chunk that was found damaged
//! summaries/pages                                                what the pages say, in short
//! ```
//!
//! | module | what it does |
//! |---|---|
//! | `objects` | the object store, for code that is not asynchronous |
//! | `chunk` | the form of a chunk and of its journal of microseconds |
//! | `scan` | what a run of events holds: groups, tables, statements, XA |
//! | `index` | pages of entries, one entry a chunk |
//! | `summary` | what a page says as a whole, so that few are read |
//! | `core` | what all clones share: walks, reads, appends, merges and deletes |
//! | [`pull`], `stream` | follows a server |
//! | `source` | hands chunks to a reader, skipping what does not concern it |
//! | `listing` | windows, transactions around a time, crossings, DDL |
//! | `locate` | from a time, an id or a position to where history is cut |
//!
//! Invariants:
//! - a chunk is written before the index names it, and the index forgets it
//!   before it is deleted: whatever the index names is there, unless damaged;
//! - a page is never overwritten: a new version is created, and creating fails
//!   when another writer was faster. The highest version counts;
//! - positions are those of the server. A server whose logs were reset begins
//!   them anew: that is a new *incarnation*, and positions are only compared
//!   within one;
//! - nothing that is read back is trusted: lengths are bounded before anything
//!   is allocated, and every chunk and page has a checksum.

mod chunk;
mod core;
mod index;
mod listing;
mod locate;
#[cfg(test)]
mod many;
mod objects;
pub mod pull;
mod scan;
mod source;
mod stream;
mod summary;
mod text;

use std::collections::HashSet;
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use object_store::ObjectStore;
use object_store::local::LocalFileSystem;
use serde::{Deserialize, Serialize};

use crate::change::{Gtid, Micros, Position, Statement, TableName};
use crate::error::{Error, Result};

use self::core::Core;
use self::objects::Objects;
pub use self::source::ArchiveSource;

/// How long a waiter sleeps when nobody tells it that something was written: a
/// follower in another process.
const POLL: Duration = Duration::from_millis(50);

/// The archive of one server's history. Cheap to clone; clones share one state.
#[derive(Clone, Debug)]
pub struct Archive {
    core: Arc<Core>,
    /// `None` is the newest.
    incarnation: Option<u32>,
}

/// A stretch of history without a gap.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// Which life of the server's logs; grows by one with each reset.
    pub incarnation: u32,
    /// The first state that can be told.
    pub from: Instant,
    /// The last.
    pub to: Instant,
    /// Why history before it is missing, a fragment; `None` for the first.
    pub gap_before: Option<String>,
}

/// What the archive has of one of the server's files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArchivedFile {
    /// Which life of the server's logs it is of: names come again in each.
    pub incarnation: u32,
    /// Its name.
    pub name: String,
    /// When it was begun, to the second; `None` when its begin is not archived.
    pub created: Option<Micros>,
    /// Its first byte that is archived; 0 is its begin.
    pub begin: u64,
    /// The byte after the last that is.
    pub end: u64,
    /// How many bytes between are archived: fewer when there is a gap.
    pub bytes: u64,
    /// How many transactions, and statements that commit by themselves, begin in
    /// what is archived.
    pub transactions: u64,
    /// When the first of them committed, and the latest of all, as exactly as it
    /// is known; `None` when there are none.
    pub time: Option<(Micros, Micros)>,
}

impl ArchivedFile {
    /// Whether nothing is missing from its begin to [`ArchivedFile::end`].
    #[must_use]
    pub const fn is_whole(&self) -> bool {
        self.begin == 0 && self.bytes == self.end
    }
}

/// A moment in a history: between two groups.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instant {
    /// The time, as exactly as it is known.
    pub time: Micros,
    /// The position.
    pub position: Position,
    /// The id of the last group before it, where known.
    pub gtid: Option<Gtid>,
}

/// Where history is to be cut.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Until {
    /// What committed before this instant is kept.
    Time(Micros),
    /// What committed up to and including this transaction is kept.
    Gtid(Gtid),
    /// What lies before this position is kept.
    Position(Position),
}

impl fmt::Display for Until {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Time(at) => at.fmt(f),
            Self::Gtid(gtid) => gtid.fmt(f),
            Self::Position(at) => at.fmt(f),
        }
    }
}

/// Where history is cut.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Located {
    /// Which life of the server's logs `position` is of.
    pub incarnation: u32,
    /// The first byte that is undone: where a group begins, or the archive ends.
    pub position: Position,
    /// The last group that is kept; `None` at the begin of the archive.
    pub kept: Option<Txn>,
    /// The first that is undone; `None` at the end of the archive.
    pub undone: Option<Txn>,
    /// Whether the order of the cut and the asked instant is known for sure.
    pub exact: bool,
}

/// A transaction, or a statement that commits by itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Txn {
    /// Its id.
    pub gtid: Option<Gtid>,
    /// Where it begins (an XA transaction: its `XA COMMIT`).
    pub position: Position,
    /// The byte after it.
    pub end: Position,
    /// When it committed.
    pub time: Micros,
    /// Whether `time` is known below one second.
    pub exact: bool,
    /// Which rows it changed, by table, in the order of names.
    pub tables: Vec<TableCount>,
    /// The definition statements in it, as text, at most 1,024 bytes each.
    pub ddl: Vec<String>,
}

/// How many rows of a table were changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableCount {
    /// The table.
    pub name: TableName,
    /// Rows inserted.
    pub inserts: u64,
    /// Rows updated.
    pub updates: u64,
    /// Rows deleted.
    pub deletes: u64,
}

impl Archive {
    /// The archive under `prefix` of a store; it need not exist yet.
    ///
    /// # Errors
    /// The store cannot be read, or what is there is damaged.
    pub fn open(store: Arc<dyn ObjectStore>, prefix: &str) -> Result<Self> {
        Ok(Self {
            core: Arc::new(Core::new(Objects::new(store, prefix)?)),
            incarnation: None,
        })
    }

    /// The archive in a folder of this host, made when missing. What is written
    /// is synced.
    ///
    /// # Errors
    /// As [`Archive::open`].
    pub fn local(folder: &Path) -> Result<Self> {
        let failed = |source| Error::Io {
            doing: "make the folder",
            path: folder.to_owned(),
            source,
        };
        std::fs::create_dir_all(folder).map_err(failed)?;
        let store = LocalFileSystem::new_with_prefix(folder)
            .map_err(|e| failed(std::io::Error::other(e)))?;
        Self::open(Arc::new(store.with_fsync(true)), "")
    }

    /// The same archive, reading an older life of the server's logs.
    #[must_use]
    pub fn at_incarnation(&self, incarnation: u32) -> Self {
        Self {
            core: Arc::clone(&self.core),
            incarnation: Some(incarnation),
        }
    }

    /// Which life of the server's logs is read: the newest, unless another was
    /// chosen.
    ///
    /// # Errors
    /// The index cannot be read.
    pub fn incarnation(&self) -> Result<u32> {
        match self.incarnation {
            Some(incarnation) => Ok(incarnation),
            None => Ok(self.core.newest()?.unwrap_or(0)),
        }
    }

    /// Until when it is known that the archive lacks nothing: when the follower
    /// of this process last had all that the server has. `None` when this
    /// process does not follow, or was never that far.
    #[must_use]
    pub fn caught_up(&self) -> Option<Micros> {
        let at = self.core.caught_up.load(Ordering::Acquire);
        (at != 0).then_some(Micros(at))
    }

    fn core(&self) -> &Core {
        &self.core
    }

    /// The next byte that is wanted of the server; `None` when there is nothing
    /// yet.
    ///
    /// # Errors
    /// The index cannot be read.
    pub fn end(&self) -> Result<Option<Position>> {
        self.core.end(self.incarnation()?)
    }

    /// Waits until everything before `position` is archived; `false` when
    /// `patience` ran out. Blocks.
    ///
    /// # Errors
    /// The index cannot be read; [`crate::Error::Cancelled`].
    pub fn wait_until(
        &self,
        position: &Position,
        patience: Duration,
        cancelled: &dyn Fn() -> bool,
    ) -> Result<bool> {
        let start = std::time::Instant::now();
        loop {
            if self.end()?.is_some_and(|end| end >= *position) {
                return Ok(true);
            }
            self.core.hurry.store(true, Ordering::Release);
            if start.elapsed() >= patience {
                return Ok(false);
            }
            if cancelled() {
                return Err(Error::Cancelled);
            }
            self.core.wait(POLL);
        }
    }

    /// The stretches without a gap, oldest first, of all incarnations.
    ///
    /// # Errors
    /// The index cannot be read.
    pub fn windows(&self) -> Result<Vec<Window>> {
        self.all_windows()
    }

    /// What there is of each of the server's files, oldest first, of all
    /// incarnations.
    ///
    /// # Errors
    /// The index cannot be read.
    pub fn files(&self) -> Result<Vec<ArchivedFile>> {
        let all = self.core.summaries(None)?;
        Ok(summary::files(all.iter().map(|(id, _, s)| (id, &**s))))
    }

    /// Where history is cut.
    ///
    /// # Errors
    /// [`crate::Error::Gap`] when it is not in the archive.
    pub fn locate(&self, until: &Until) -> Result<Located> {
        self.locate_in(until)
    }

    /// The names that the tables had between two positions, followed across
    /// renames.
    ///
    /// # Errors
    /// As [`Archive::source`].
    pub fn names(
        &self,
        from: &Position,
        to: &Position,
        tables: &HashSet<TableName>,
    ) -> Result<HashSet<TableName>> {
        self.names_between(from, to, tables)
    }

    /// The events between two positions (both between groups). With `tables`,
    /// what does not concern them, under any name they had, is left out, in
    /// whole chunks and whole groups.
    ///
    /// # Errors
    /// [`crate::Error::Gap`] when not all of it is in the archive.
    pub fn source(
        &self,
        from: &Position,
        to: &Position,
        tables: Option<&HashSet<TableName>>,
    ) -> Result<ArchiveSource> {
        self.source_between(from, to, tables)
    }

    /// Transactions around an instant, oldest first: at most `before` that
    /// committed before it and `after` that did not. With `table`, those that
    /// changed it.
    ///
    /// # Errors
    /// As [`Archive::source`].
    pub fn transactions(
        &self,
        table: Option<&TableName>,
        around: Micros,
        before: usize,
        after: usize,
    ) -> Result<Vec<Txn>> {
        self.transactions_around(table, around, before, after)
    }

    /// The first transaction that changed both a chosen table and another.
    ///
    /// # Errors
    /// As [`Archive::source`].
    pub fn crossings(
        &self,
        from: &Position,
        to: &Position,
        chosen: &HashSet<TableName>,
        cancelled: &dyn Fn() -> bool,
    ) -> Result<Option<Txn>> {
        self.first_crossing(from, to, chosen, cancelled)
    }

    /// The definition statements about the tables (all of them when `None`), in
    /// order.
    ///
    /// # Errors
    /// As [`Archive::source`].
    pub fn ddl(
        &self,
        from: &Position,
        to: &Position,
        tables: Option<&HashSet<TableName>>,
    ) -> Result<Vec<Statement>> {
        self.ddl_between(from, to, tables)
    }

    /// Deletes what lies before `position`, in whole pages of the index (about
    /// 1 GiB of log); what is needed to read from `position` on stays, and so
    /// does the last page. Older incarnations go as a whole.
    ///
    /// # Errors
    /// The store cannot be written.
    pub fn purge_before(&self, position: &Position) -> Result<()> {
        self.core.purge_before(self.incarnation()?, position)
    }
}
