//! The history of a database server: its binary logs, read, archived and
//! reduced.
//!
//! | module | what it does |
//! |---|---|
//! | [`event`] | splits a log into events and checks their checksums |
//! | [`layout`] | what a table's row images look like, and how to take them apart |
//! | [`change`] | what reading yields: groups (transactions), changes of rows, statements |
//! | [`error`] | what may be wrong with a history |
//!
//! Architecture invariants:
//! - nothing here knows a job, a product, or how a database server is run;
//! - everything in a log is untrusted: no event, however torn, makes this crate
//!   panic or allocate more than the event itself explains;
//! - memory is bounded whatever the size of the history;
//! - what cannot be reduced (text statements, partial images, encrypted logs,
//!   unknown events that matter) is refused by name, never skipped.

pub mod change;
pub mod error;
pub mod event;
pub mod layout;

pub use change::{Change, Group, GroupEnd, Gtid, Item, Position, Statement, Table, TableName};
pub use error::{Error, Result};
