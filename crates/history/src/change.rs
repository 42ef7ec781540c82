//! What reading a history yields.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::layout::Layout;

/// An instant: microseconds since the Unix epoch.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
pub struct Micros(pub i64);

impl Micros {
    /// The begin of a second.
    #[must_use]
    pub fn from_s(seconds: u32) -> Self {
        Self(i64::from(seconds) * 1_000_000)
    }

    /// The second it lies in.
    #[must_use]
    pub const fn second(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }
}

impl fmt::Display for Micros {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (second, micros) = (self.second(), self.0.rem_euclid(1_000_000));
        write!(f, "{second}.{micros:06} (unix seconds)")
    }
}

/// A place in a server's binary logs: before the event at that byte.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Position {
    /// The file's name, without a folder, e.g. `mysql-bin.000007`.
    pub file: String,
    /// Bytes from its start.
    pub offset: u64,
}

impl Position {
    /// The number at the end of the file's name, by which files are ordered; 0
    /// when there is none.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.file
            .rsplit('.')
            .next()
            .and_then(|n| n.parse().ok())
            .unwrap_or(0)
    }
}

impl PartialOrd for Position {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Position {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.number(), &self.file, self.offset).cmp(&(other.number(), &other.file, other.offset))
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.offset)
    }
}

/// A text that is not a position or a transaction id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("read {text:?}: it is not {wanted}")]
pub struct Malformed {
    text: String,
    wanted: &'static str,
}

impl FromStr for Position {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        text.rsplit_once(':')
            .filter(|(file, _)| !file.is_empty() && !file.contains(['/', ':']))
            .and_then(|(file, offset)| {
                Some(Self {
                    file: file.to_owned(),
                    offset: offset.parse().ok()?,
                })
            })
            .ok_or_else(|| Malformed {
                text: text.chars().take(64).collect(),
                wanted: "a position, FILE:BYTE, e.g. mysql-bin.000007:4711",
            })
    }
}

/// The name of a transaction, the same on every replica.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum Gtid {
    /// `domain-server-sequence`, e.g. `0-1-270`.
    Triple {
        /// The domain.
        domain: u32,
        /// Who committed it first.
        server: u32,
        /// Grows within the domain.
        sequence: u64,
    },
    /// `uuid:number`, e.g. `3e11fa47-71ca-11e1-9e33-c80aa9429562:23`.
    Source {
        /// The uuid of who committed it first.
        source: [u8; 16],
        /// Grows within the source.
        number: u64,
    },
}

impl fmt::Display for Gtid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Triple {
                domain,
                server,
                sequence,
            } => write!(f, "{domain}-{server}-{sequence}"),
            Self::Source { source, number } => {
                for (i, byte) in source.iter().enumerate() {
                    if matches!(i, 4 | 6 | 8 | 10) {
                        f.write_str("-")?;
                    }
                    write!(f, "{byte:02x}")?;
                }
                write!(f, ":{number}")
            }
        }
    }
}

impl From<Gtid> for String {
    fn from(gtid: Gtid) -> Self {
        gtid.to_string()
    }
}

impl TryFrom<String> for Gtid {
    type Error = Malformed;

    fn try_from(text: String) -> Result<Self, Malformed> {
        text.parse()
    }
}

impl FromStr for Gtid {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let triple = || {
            let mut parts = text.split('-');
            let gtid = Self::Triple {
                domain: parts.next()?.parse().ok()?,
                server: parts.next()?.parse().ok()?,
                sequence: parts.next()?.parse().ok()?,
            };
            parts.next().is_none().then_some(gtid)
        };
        let source = || {
            let (uuid, number) = text.split_once(':')?;
            let digits: String = uuid.chars().filter(|c| *c != '-').collect();
            if uuid.len() != 36 || digits.len() != 32 || !digits.is_ascii() {
                return None;
            }
            let mut source = [0; 16];
            for (byte, at) in source.iter_mut().zip((0..32).step_by(2)) {
                *byte = u8::from_str_radix(digits.get(at..at + 2)?, 16).ok()?;
            }
            Some(Self::Source {
                source,
                number: number.parse().ok()?,
            })
        };
        triple().or_else(source).ok_or_else(|| Malformed {
            text: text.chars().take(64).collect(),
            wanted: "a transaction id, e.g. 0-1-270",
        })
    }
}

/// A table's name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TableName {
    /// The database.
    pub schema: String,
    /// The table.
    pub table: String,
}

impl TableName {
    /// `schema.table`.
    #[must_use]
    pub fn new(schema: impl Into<String>, table: impl Into<String>) -> Self {
        Self {
            schema: schema.into(),
            table: table.into(),
        }
    }
}

impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.schema, self.table)
    }
}

/// A table as one statement saw it.
#[derive(Clone, Debug)]
pub struct Table {
    /// Its name at that time.
    pub name: TableName,
    /// The shape of its row images.
    pub layout: Layout,
}

/// A group of events that took effect together: a transaction, or one
/// statement that commits by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Its id; `None` in logs without such.
    pub gtid: Option<Gtid>,
    /// Where its first event begins. For an XA transaction: that of its
    /// `COMMIT`, since that is where it took effect.
    pub start: Position,
    /// When it committed, unix seconds, as its first event's header says.
    pub time_s: u32,
    /// Whether it is a statement that commits by itself (most often DDL).
    pub standalone: bool,
}

/// The end of a [`Group`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupEnd {
    /// Where the next event begins.
    pub end: Position,
    /// Whether it took effect. Groups that were rolled back are told of only
    /// when tables without transactions were part of them.
    pub committed: bool,
}

/// A change of one row, with whole images.
#[derive(Clone, Copy, Debug)]
pub struct Change<'a> {
    /// The table.
    pub table: &'a Arc<Table>,
    /// The row before; `None` when it was inserted. Null bitmap and packed
    /// values, as [`Layout`] takes them apart.
    pub before: Option<&'a [u8]>,
    /// The row after; `None` when it was deleted.
    pub after: Option<&'a [u8]>,
    /// Whether it is the last change of its statement.
    pub ends_statement: bool,
}

/// A statement that was logged as text: DDL, or what is refused by whoever
/// needs the rows it changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// The database that was current.
    pub schema: String,
    /// The text, as the client sent it (in the client's character set).
    pub text: Vec<u8>,
    /// What it does, as far as its first words tell.
    pub kind: StatementKind,
    /// Where it is.
    pub at: Position,
}

/// What a [`Statement`] does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StatementKind {
    /// Creates, alters, renames, truncates or drops something.
    Ddl(Ddl),
    /// Changes rows by itself: its rows are not in the log. `INSERT`,
    /// `UPDATE`, `DELETE`, `REPLACE`, `LOAD DATA`, `CALL`, ...
    Rows,
    /// Concerns no table: accounts, settings.
    Other,
}

/// A definition statement about tables or databases.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ddl {
    /// `CREATE TABLE`, `CREATE SEQUENCE`.
    Create {
        /// The table.
        table: TableName,
        /// `IF NOT EXISTS`: such a statement is logged also when the table was
        /// there and nothing happened.
        unless_exists: bool,
    },
    /// `ALTER TABLE`, `CREATE INDEX`, `DROP INDEX`, `OPTIMIZE`, ...; a rename
    /// within it is told as well.
    Alter {
        /// The table.
        table: TableName,
        /// Its new name, when the statement gives one.
        renamed: Option<TableName>,
        /// Whether its words tell that every row stays as it is, and so does
        /// what tells rows apart: e.g. a secondary index is added. Dropping a
        /// partition, adding a column or a primary key is not such.
        keeps_rows: bool,
        /// Further tables that it changes, e.g. those of `EXCHANGE PARTITION`,
        /// `CONVERT PARTITION`, `REPAIR TABLE a, b`.
        others: Vec<TableName>,
    },
    /// `RENAME TABLE`, each from and to, in order.
    Rename(Vec<(TableName, TableName)>),
    /// `TRUNCATE`.
    Truncate(TableName),
    /// `DROP TABLE`.
    Drop(Vec<TableName>),
    /// `CREATE DATABASE`.
    CreateDatabase(String),
    /// `ALTER DATABASE`.
    AlterDatabase(String),
    /// `DROP DATABASE`.
    DropDatabase(String),
    /// `CREATE`, `ALTER` and `DROP` of what is no table: each that is named, and
    /// the new name where it gets one.
    Define(Vec<(Defined, TableName)>),
}

/// What is defined in a database beside its tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Defined {
    /// A view.
    View,
    /// A trigger.
    Trigger,
    /// A stored procedure.
    Procedure,
    /// A stored function.
    Function,
    /// A scheduled event.
    Event,
    /// A package, or its body.
    Package,
}

/// What a reader yields next.
#[derive(Clone, Copy, Debug)]
pub enum Item<'a> {
    /// A group begins.
    Begin(&'a Group),
    /// A row changed, in the group that began last.
    Change(Change<'a>),
    /// A statement ran, in the group that began last.
    Statement(&'a Statement),
    /// The group ends.
    End(&'a GroupEnd),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_ordered_by_the_number_of_their_file() {
        let at = |text: &str| text.parse::<Position>().unwrap();
        assert!(at("b.999999:5") < at("b.1000000:4"));
        assert!(at("b.000001:5") < at("b.000001:6"));
        assert!("b.000001".parse::<Position>().is_err());
        assert!("../b:1".parse::<Position>().is_err());
        assert_eq!(at("b.000001:5").to_string(), "b.000001:5");
    }

    #[test]
    fn ids_of_transactions_come_back_as_they_were() {
        for text in ["0-1-270", "3e11fa47-71ca-11e1-9e33-c80aa9429562:23"] {
            assert_eq!(text.parse::<Gtid>().unwrap().to_string(), text);
        }
        for bad in [
            "",
            "1-2",
            "1-2-3-4",
            "x-1-2",
            "3e11fa47:1",
            "é11fa47-71ca-11e1-9e33-c80aa942956:1",
        ] {
            assert!(bad.parse::<Gtid>().is_err(), "{bad}");
        }
    }
}
