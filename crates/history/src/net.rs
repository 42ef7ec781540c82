//! The net effect of a window of history: for each row that was touched, how it
//! was before its first change and how it is after its last one.
//!
//! | file | what it does |
//! |---|---|
//! | `net/key.rs` | keys as bytes that compare as the values do |
//! | `net/pool.rs` | the hash table of touched rows, in an arena of bounded size |
//! | `net/runs.rs` | sorted runs in files, and the merge that combines the parts of one key |
//! | `net/reduce.rs` | [`Reducer`]: takes changes, spills, finishes |
//! | `net/files.rs` | [`NetFiles`], [`NetRows`]: the result, durable and checksummed |

mod files;
mod key;
mod pool;
mod reduce;
mod runs;

pub use files::{NetFiles, NetRows};
pub use reduce::{MEMORY_MIN, Reducer};

use serde::{Deserialize, Serialize};

use crate::change::TableName;
use crate::layout::Layout;

/// How the rows of a table are told apart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Key {
    /// By a primary key, or a unique one that is never null: the indices of its
    /// columns in the layout, from 0, in the order of the key.
    Columns(Vec<usize>),
    /// Not at all: equal rows are counted.
    WholeRow,
}

/// A table whose changes are reduced.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetTable {
    /// Its name when the window begins.
    pub name: TableName,
    /// How its rows are told apart.
    pub key: Key,
    /// Whether each column is unsigned; one that is missing counts as signed.
    /// Only the order of the result depends on it.
    pub signedness: Vec<bool>,
    /// The indices of columns that the server computes whenever it reads a row
    /// (`VIRTUAL`). Two images of one state of a row may differ in them: such a
    /// column of an `AUTO_INCREMENT` value is computed before that is known.
    #[serde(default)]
    pub computed: Vec<usize>,
}

/// What was reduced, for one table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NetSummary {
    /// Its name when the window begins.
    pub table: TableName,
    /// Its name when the window ends.
    pub renamed: TableName,
    /// How its rows are told apart.
    pub key: Key,
    /// Rows that are not at the end as they were at the beginning: keys, or
    /// rows of a table without one (equal ones counted one by one).
    pub rows: u64,
    /// Of these, those that are there only at the end.
    pub inserted: u64,
    /// Those that are there at both, and differ.
    pub updated: u64,
    /// Those that were there only at the beginning.
    pub deleted: u64,
    /// Changes that were taken in.
    pub changes: u64,
    /// Changes that do not begin where the change of the same row before them
    /// ended: something changed the table that is not in the history (a
    /// foreign key's cascade, a session that did not log). The net effect can
    /// not be relied on unless it is 0.
    pub broken: u64,
    /// Bytes of all images.
    pub bytes: u64,
    /// The shape of all images; `None` when there was no change.
    pub layout: Option<Layout>,
}

/// A row that is not at the end of the window as it was at its beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NetRow<'a> {
    /// Before the window's first change of it; `None` when it was not there.
    pub first_before: Option<&'a [u8]>,
    /// After the last; `None` when it is not there.
    pub last_after: Option<&'a [u8]>,
    /// How many equal rows: 1 in tables with a key.
    pub count: u64,
}

/// Which end of the window is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Direction {
    /// From the end of the window to its beginning: the undo road.
    Backward,
    /// From its beginning to its end: the restore road.
    Forward,
}

impl<'a> NetRow<'a> {
    /// The row as it is, and as it shall be.
    #[must_use]
    pub const fn step(&self, direction: Direction) -> (Option<&'a [u8]>, Option<&'a [u8]>) {
        match direction {
            Direction::Backward => (self.last_after, self.first_before),
            Direction::Forward => (self.first_before, self.last_after),
        }
    }
}
