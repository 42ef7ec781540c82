//! The driver for database servers that speak the MySQL protocol.
//!
//! | module | what it does |
//! |---|---|
//! | [`endpoint`] | where a server is, and as whom we come |
//! | [`session`] | connections, with settings of ours |
//! | [`catalog`] | what a server says of itself: databases, tables, definitions |
//! | [`copy`] | copies of a table while others write |
//! | [`apply`] | brings tables to the state that a net effect tells |
//! | [`definitions`] | views, triggers, routines and events, made again in another database |
//! | [`digest`] | digests of tables, by which results are proved |
//! | [`doctor`] | what stands in the way, and what fixes it |
//! | [`guard`] | one worker at a time makes effects on an instance |
//! | [`backup`] | base backups, and copies of tables, by the server's own tool |
//! | [`scratch`] | throwaway servers on such copies |
//! | [`replay`] | brings a server of ours forward through history, statement by statement |
//! | [`transport`] | moves tables as files, out of a scratch server into a live one |
//! | [`local`] | servers of ours on this host |
//! | [`process`] | the programs of the server's packages |
//! | [`error`] | what can go wrong |
//!
//! Architecture invariants:
//! - nothing here knows a job, a product or a store;
//! - what a server, its catalogue or its rows say is untrusted: names and values
//!   are quoted, never pasted.

pub mod apply;

pub mod catalog;
pub mod copy;
pub mod definitions;
pub mod digest;
pub mod doctor;
pub mod endpoint;
pub mod error;
pub mod guard;
pub mod others;

pub use catalog::TableDef;
pub use endpoint::{Endpoint, Password, Tls};
pub use error::{Error, Result};
pub use session::Session;

pub mod backup;
mod daemon;
mod files;
pub mod local;
pub mod process;
pub mod replay;
pub mod scratch;
pub mod session;
mod stream;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
mod tool;
pub mod transport;
mod watch;
