//! The archive of one server's history.
//!
//! The server's binary logs are pulled over its replication protocol ([`pull`])
//! and kept, byte for byte, in *chunks* of about 4 MiB, beside an index of what
//! each chunk holds. Everything lies in an object store, under one prefix:
//!
//! ```text
//! chunks/<incarnation>/<file's number>-<first byte>-<bytes>      immutable, compressed, checksummed
//! index/<incarnation>/<file's number>-<first byte>.<version>     pages of at most 256 entries
//! damage/<incarnation>/<file's number>-<first byte>              a chunk that was found damaged
//! ```
//!
//! | module | what it does |
//! |---|---|
//! | `objects` | the object store, for code that is not asynchronous |
//! | `chunk` | the form of a chunk and of its journal of microseconds |
//! | `scan` | what a run of events holds: groups, tables, statements, XA |
//! | `index` | pages of entries, one entry a chunk |
//! | `writer` | appends, cuts, merges and deletes |
//! | [`pull`] | follows a server |
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

pub mod pull;

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use object_store::ObjectStore;
use serde::{Deserialize, Serialize};

use crate::change::{Gtid, Micros, Position, Statement, TableName};
use crate::error::Result;

/// The archive of one server's history. Cheap to clone; clones share one state.
#[derive(Clone, Debug)]
pub struct Archive {}

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
    pub fn open(_store: Arc<dyn ObjectStore>, _prefix: &str) -> Result<Self> {
        Err(unfinished())
    }

    /// The archive in a folder of this host, made when missing. What is written
    /// is synced.
    ///
    /// # Errors
    /// As [`Archive::open`].
    pub fn local(_folder: &Path) -> Result<Self> {
        Err(unfinished())
    }

    /// The same archive, reading an older life of the server's logs.
    #[must_use]
    pub fn at_incarnation(&self, _incarnation: u32) -> Self {
        Self {}
    }

    /// The next byte that is wanted of the server; `None` when there is nothing
    /// yet.
    ///
    /// # Errors
    /// The index cannot be read.
    pub fn end(&self) -> Result<Option<Position>> {
        Err(unfinished())
    }

    /// Waits until everything before `position` is archived; `false` when
    /// `patience` ran out. Blocks.
    ///
    /// # Errors
    /// The index cannot be read; [`crate::Error::Cancelled`].
    pub fn wait_until(
        &self,
        _position: &Position,
        _patience: Duration,
        _cancelled: &dyn Fn() -> bool,
    ) -> Result<bool> {
        Err(unfinished())
    }

    /// The stretches without a gap, oldest first, of all incarnations.
    ///
    /// # Errors
    /// The index cannot be read.
    pub fn windows(&self) -> Result<Vec<Window>> {
        Err(unfinished())
    }

    /// Where history is cut.
    ///
    /// # Errors
    /// [`crate::Error::Gap`] when it is not in the archive.
    pub fn locate(&self, _until: &Until) -> Result<Located> {
        Err(unfinished())
    }

    /// The names that the tables had between two positions, followed across
    /// renames.
    ///
    /// # Errors
    /// As [`Archive::source`].
    pub fn names(
        &self,
        _from: &Position,
        _to: &Position,
        _tables: &HashSet<TableName>,
    ) -> Result<HashSet<TableName>> {
        Err(unfinished())
    }

    /// The events between two positions (both between groups). With `tables`,
    /// what does not concern them, under any name they had, is left out, in
    /// whole chunks and whole groups.
    ///
    /// # Errors
    /// [`crate::Error::Gap`] when not all of it is in the archive.
    pub fn source(
        &self,
        _from: &Position,
        _to: &Position,
        _tables: Option<&HashSet<TableName>>,
    ) -> Result<ArchiveSource> {
        Err(unfinished())
    }

    /// Transactions around an instant, oldest first: at most `before` that
    /// committed before it and `after` that did not. With `table`, those that
    /// changed it.
    ///
    /// # Errors
    /// As [`Archive::source`].
    pub fn transactions(
        &self,
        _table: Option<&TableName>,
        _around: Micros,
        _before: usize,
        _after: usize,
    ) -> Result<Vec<Txn>> {
        Err(unfinished())
    }

    /// The first transaction that changed both a chosen table and another.
    ///
    /// # Errors
    /// As [`Archive::source`].
    pub fn crossings(
        &self,
        _from: &Position,
        _to: &Position,
        _chosen: &HashSet<TableName>,
        _cancelled: &dyn Fn() -> bool,
    ) -> Result<Option<Txn>> {
        Err(unfinished())
    }

    /// The definition statements about the tables (all of them when `None`), in
    /// order.
    ///
    /// # Errors
    /// As [`Archive::source`].
    pub fn ddl(
        &self,
        _from: &Position,
        _to: &Position,
        _tables: Option<&HashSet<TableName>>,
    ) -> Result<Vec<Statement>> {
        Err(unfinished())
    }

    /// Deletes what lies before `position`, in whole chunks; what is needed to
    /// read from `position` on stays. Older incarnations go as a whole.
    ///
    /// # Errors
    /// The store cannot be written.
    pub fn purge_before(&self, _position: &Position) -> Result<()> {
        Err(unfinished())
    }
}

/// Hands the events of an archive to a reader.
#[derive(Debug)]
pub struct ArchiveSource {}

fn unfinished() -> crate::Error {
    crate::Error::Archive {
        doing: "use the archive".to_owned(),
        why: "this build has none".to_owned(),
        passing: false,
    }
}
