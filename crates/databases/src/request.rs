//! What is asked of the ways back, and what was found about it.

use std::fmt;
use std::str::FromStr;

use backout_core::ids::DatabaseId;
use backout_history::archive::Txn;
use backout_history::{Gtid, Position, TableName};
use serde::{Deserialize, Serialize};

use crate::model::{Copying, Renamed, Road, Shape, Strategy};
use crate::zone::{Malformed, Written};

/// Where history is to be cut.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Until {
    /// What committed before this instant is kept.
    Written(Written),
    /// What committed up to and including this transaction is kept.
    Gtid(Gtid),
    /// What lies before this position is kept.
    Position(Position),
}

impl FromStr for Until {
    type Err = Malformed;

    /// A time, a transaction id, or a position.
    fn from_str(text: &str) -> Result<Self, Malformed> {
        if let Ok(gtid) = text.parse() {
            return Ok(Self::Gtid(gtid));
        }
        match text.parse() {
            Ok(written) => Ok(Self::Written(written)),
            Err(malformed) => text.parse().map(Self::Position).map_err(|_| malformed),
        }
    }
}

/// Tables or databases taken back, under new names.
#[derive(Clone, Debug)]
pub struct RollbackRequest {
    /// The instance, by id or name.
    pub instance: String,
    /// To when.
    pub until: Until,
    /// How much of history is read.
    pub strategy: Strategy,
    /// Whole databases.
    pub databases: Vec<Renamed<String>>,
    /// Tables.
    pub tables: Vec<Renamed<TableName>>,
    /// Whether halves of transactions are accepted.
    pub torn: bool,
    /// The way, when it is not to be chosen.
    pub road: Option<Road>,
}

impl fmt::Display for RollbackRequest {
    /// The instance that it is about.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.instance)
    }
}

/// Tables taken back in place.
#[derive(Clone, Debug)]
pub struct RewindRequest {
    /// The instance, by id or name.
    pub instance: String,
    /// What is taken back.
    pub what: RewindWhat,
    /// Whether halves of transactions are accepted.
    pub torn: bool,
}

/// What is taken back in place.
#[derive(Clone, Debug)]
pub enum RewindWhat {
    /// Everything that these tables saw since.
    Until {
        /// Since when.
        until: Until,
        /// The tables.
        tables: Vec<TableName>,
    },
    /// Some transactions, and nothing that came after them.
    Transactions {
        /// Their ids.
        gtids: Vec<Gtid>,
        /// Only in these tables; in all that they changed when empty.
        tables: Vec<TableName>,
    },
}

/// An instance that is to be made of another's past.
#[derive(Clone, Debug)]
pub struct CloneRequest {
    /// The instance whose past it is, by id or name.
    pub source: String,
    /// Which past.
    pub to: CloneTo,
    /// What people will call the new one; a name is drawn when it is empty.
    pub name: String,
    /// The size of the new one; that of the source when there is none.
    pub shape: Option<Shape>,
    /// The port of the new one; a free one when there is none.
    pub port: Option<u16>,
}

/// Which past an instance is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CloneTo {
    /// The state at an instant.
    Until(Until),
    /// What a base backup holds, by its number.
    Backup(u64),
    /// The newest state that is archived.
    Newest,
}

/// What a preflight of a clone found, for people.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct FoundClone {
    /// The source.
    pub instance: DatabaseId,
    /// The instant that was meant, microseconds since 1970, when it was one.
    pub until_us: Option<i64>,
    /// The same, with its zone; or the id, position or backup that was given.
    pub until: String,
    /// The first byte of history that is left out; `None` when none is read.
    pub cut: Option<Position>,
    /// The last transaction that is kept.
    pub kept: Option<Txn>,
    /// The first that is left out.
    pub undone: Option<Txn>,
    /// Whether the order of the cut and the instant is known for sure.
    pub exact: bool,
    /// The number of the base backup that it begins with.
    pub backup: u64,
    /// Where in history that is; `None` when the server kept no log.
    pub from: Option<Position>,
    /// Bytes of its files.
    pub bytes: u64,
}

/// What a preflight found, for people.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Found {
    /// The instance.
    pub instance: DatabaseId,
    /// The instant that was meant, microseconds since 1970, when it was one.
    pub until_us: Option<i64>,
    /// The same, with its zone; or the id or position that was given.
    pub until: String,
    /// The first byte of history that is taken back.
    pub cut: Position,
    /// The last transaction that is kept.
    pub kept: Option<Txn>,
    /// The first that is taken back.
    pub undone: Option<Txn>,
    /// Whether the order of the cut and the instant is known for sure.
    pub exact: bool,
    /// The way.
    pub road: Road,
    /// Why that one.
    pub why: String,
    /// How rows are copied.
    pub copying: Copying,
    /// The tables.
    pub tables: Vec<FoundTable>,
}

/// One table of a [`Found`].
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct FoundTable {
    /// What it is called.
    pub from: TableName,
    /// What its earlier state will be called; the same in place.
    pub to: TableName,
    /// Its rows now, as the server estimates them.
    pub rows_now: u64,
    /// Its bytes now, as the server estimates them.
    pub bytes: u64,
}

/// Rows that would change, for people.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Preview {
    /// The rows, as many as were asked for at most.
    pub rows: Vec<PreviewRow>,
    /// How many there are in all.
    pub total: u64,
}

/// A row that would change.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PreviewRow {
    /// The table.
    pub table: TableName,
    /// The names of its columns.
    pub columns: Vec<String>,
    /// The row as it is; `None` when it is not there.
    pub now: Option<Vec<String>>,
    /// The row as it would be; `None` when it would go.
    pub then: Option<Vec<String>>,
}
