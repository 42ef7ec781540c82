//! Values: what the packed bytes of a row image say.

mod column;

pub use column::{CatalogueRow, ColumnInfo, Generated, quote_name};
