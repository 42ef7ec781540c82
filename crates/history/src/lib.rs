//! The history of a database server: its binary logs, read, archived and
//! reduced.
//!
//! | module | what it does |
//! |---|---|
//! | [`event`] | splits a log into events and checks their checksums |
//! | [`layout`] | what a table's row images look like, and how to take them apart |
//! | [`body`] | what the bodies of events say: transaction ids, statements, XA |
//! | [`ddl`] | what a statement does to which tables, told from its words |
//! | [`change`] | what reading yields: groups (transactions), changes of rows, statements |
//! | [`archive`] | keeps the history of a server: pulls, indexes, finds, hands out |
//! | [`net`] | the net effect of a window: how each touched row was, and how it is |
//! | [`synth`] | statements of synthesised events that bring rows to another state |
//! | [`source`](mod@source) | where the bytes of a history come from; binary log files |
//! | [`reader`] | yields groups, changes and statements in the order in which they took effect |
//! | [`value`] | what the packed bytes of a value say: literals, texts, what people read |
//! | [`digest`] | digests of rows, by which a result is proved |
//! | [`error`] | what may be wrong with a history |
//!
//! Architecture invariants:
//! - nothing here knows a job, a product, or how a database server is run;
//! - everything in a log is untrusted: no event, however torn, makes this crate
//!   panic or allocate more than the event itself explains;
//! - memory is bounded whatever the size of the history;
//! - what cannot be reduced (text statements, partial images, encrypted logs,
//!   unknown events that matter) is refused by name, never skipped.

pub mod archive;
pub mod body;
pub mod change;
mod compressed;
pub mod ddl;
pub mod digest;
pub mod error;
pub mod event;
pub mod layout;
mod mysql8;
pub mod net;
pub mod reader;
pub mod source;
pub mod synth;
pub mod value;
mod xa;

pub use archive::{Archive, ArchiveSource, Instant, Located, TableCount, Txn, Until, Window};
pub use change::{
    Change, Group, GroupEnd, Gtid, Item, Micros, Position, Statement, Table, TableName,
};
pub use digest::RowDigest;
pub use error::{Error, Result};
pub use net::{Direction, Key, NetFiles, NetRow, NetRows, NetSummary, NetTable, Reducer};
pub use reader::{Reader, ReaderOptions};
pub use source::{Block, FileSource, Source};
pub use synth::{Phase, Synth, SynthOptions};
pub use value::{CatalogueRow, Codec, ColumnInfo, Generated, RowCodec, ValueError};
