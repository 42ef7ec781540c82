//! Values: what the packed bytes of a row image say.
//!
//! | file | what it does |
//! |---|---|
//! | `value/column.rs` | [`ColumnInfo`]: what the catalogue says of a column |
//! | `value/codec.rs` | [`Codec`]: one column's values as literals, as the server's texts, for people |
//! | `value/row.rs` | [`RowCodec`]: whole rows; the hash of a row, and the SQL that computes the same |
//! | `value/number.rs`, `temporal.rs`, `bytes.rs` | how each family of types is packed |
//!
//! Invariants:
//! - what cannot be told exactly is refused, by name, when a codec is made: not
//!   in the middle of a table;
//! - [`Codec::text`] is, byte for byte, what the server answers to
//!   [`digest_expression`] in a session with the settings of
//!   [`DIGEST_SETTINGS`];
//! - [`Codec::literal`] stores exactly the value that it was made of, in a session
//!   with the settings of [`WRITE_SETTINGS`].

mod bytes;
mod codec;
mod column;
mod number;
mod row;
mod temporal;

pub use codec::{Codec, ValueError, digest_expression};
pub use column::{CatalogueRow, ColumnInfo, Generated, quote_name};
pub use row::{RowCodec, row_hash_expression};

/// What a session sets before it answers [`digest_expression`] or
/// [`row_hash_expression`]: names are UTF-8, times are UTC, and no mode pads
/// `CHAR` or changes what operators mean.
pub const DIGEST_SETTINGS: &str = "SET NAMES utf8mb4, SESSION time_zone='+00:00', \
     SESSION sql_mode='NO_AUTO_VALUE_ON_ZERO,ALLOW_INVALID_DATES', \
     SESSION sql_big_selects=1, SESSION sql_select_limit=DEFAULT, SESSION max_statement_time=0";

/// What a session sets before it stores [`Codec::literal`]s: as for digests. Not
/// strict, since the value that an `ENUM` has when it has none of its members
/// cannot be stored otherwise: who writes so compares afterwards.
pub const WRITE_SETTINGS: &str = DIGEST_SETTINGS;
