//! The shape of a table's row images.
//!
//! An image is a null bitmap, one bit a column, and then the packed values of
//! the columns that are not null, one after another. How long a value is follows
//! from its column's type and metadata, which the table map event tells, and
//! for some types from the value's first bytes.

use std::ops::Range;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::change::TableName;

/// A column as the table map event tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Column {
    /// The type: one of [`kind`]. For `CHAR`, `ENUM` and `SET`, which the event
    /// folds into one, the type that it really is.
    pub kind: u8,
    /// The metadata, as the type defines it:
    /// the greatest length in bytes for `CHAR`, `VARCHAR`; the bytes of the
    /// length for blobs, JSON and geometries; precision in the low and scale in
    /// the high byte for `DECIMAL`; digits of the second for times; bits for
    /// `BIT`; bytes for `ENUM` and `SET`.
    pub meta: u16,
    /// Whether it may be null.
    pub nullable: bool,
}

/// The types of columns, with the names that the protocol gives them.
#[expect(
    missing_docs,
    reason = "they have the names that the protocol gives them"
)]
pub mod kind {
    pub const TINY: u8 = 1;
    pub const SHORT: u8 = 2;
    pub const LONG: u8 = 3;
    pub const FLOAT: u8 = 4;
    pub const DOUBLE: u8 = 5;
    pub const NULL: u8 = 6;
    pub const TIMESTAMP: u8 = 7;
    pub const LONGLONG: u8 = 8;
    pub const INT24: u8 = 9;
    pub const DATE: u8 = 10;
    pub const TIME: u8 = 11;
    pub const DATETIME: u8 = 12;
    pub const YEAR: u8 = 13;
    pub const NEWDATE: u8 = 14;
    pub const VARCHAR: u8 = 15;
    pub const BIT: u8 = 16;
    pub const TIMESTAMP2: u8 = 17;
    pub const DATETIME2: u8 = 18;
    pub const TIME2: u8 = 19;
    pub const BLOB_COMPRESSED: u8 = 140;
    pub const VARCHAR_COMPRESSED: u8 = 141;
    pub const JSON: u8 = 245;
    pub const NEWDECIMAL: u8 = 246;
    pub const ENUM: u8 = 247;
    pub const SET: u8 = 248;
    pub const TINY_BLOB: u8 = 249;
    pub const MEDIUM_BLOB: u8 = 250;
    pub const LONG_BLOB: u8 = 251;
    pub const BLOB: u8 = 252;
    pub const VAR_STRING: u8 = 253;
    pub const STRING: u8 = 254;
    pub const GEOMETRY: u8 = 255;
}

/// The shape of a table's row images.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    columns: Vec<Column>,
    /// The body of the table map event, for who writes such events.
    body: Vec<u8>,
    /// Where in it the column count begins: what comes before are the table's
    /// id, flags and names.
    shape_at: usize,
}

/// Columns that a table may have, and then some: the server's limit is 4096.
const COLUMNS_MAX: usize = 4096;

/// What a table map event says: the table's id within the log, its name, and
/// its layout. `Err` tells, in words, why it cannot be read.
///
/// # Errors
/// The words.
pub fn read_table_map(body: &[u8]) -> Result<(u64, TableName, Layout), &'static str> {
    let mut at = Bytes { rest: body };
    let id = at
        .take(6)?
        .iter()
        .rev()
        .fold(0, |id, b| id << 8 | u64::from(*b));
    at.take(2)?;
    let mut name = || -> Result<String, &'static str> {
        let length = usize::from(at.take(1)?[0]);
        let text = at.take(length)?;
        at.take(1)?;
        String::from_utf8(text.to_vec()).map_err(|_| "a table's name is not UTF-8")
    };
    let name = TableName {
        schema: name()?,
        table: name()?,
    };
    let shape_at = body.len() - at.rest.len();
    let count = usize::try_from(at.packed_int()?)
        .ok()
        .filter(|n| *n <= COLUMNS_MAX)
        .ok_or("a table has more columns than any can")?;
    let kinds = at.take(count)?;
    let length = usize::try_from(at.packed_int()?).map_err(|_| "metadata are too long")?;
    let mut meta = Bytes {
        rest: at.take(length)?,
    };
    let nulls = at.take(count.div_ceil(8))?;
    let mut columns = Vec::with_capacity(count);
    for (i, kind) in kinds.iter().enumerate() {
        let nullable = nulls[i / 8] >> (i % 8) & 1 == 1;
        let (kind, meta) = column(*kind, &mut meta)?;
        columns.push(Column {
            kind,
            meta,
            nullable,
        });
    }
    let layout = Layout {
        columns,
        body: body.to_vec(),
        shape_at,
    };
    Ok((id, name, layout))
}

fn column(kind: u8, meta: &mut Bytes<'_>) -> Result<(u8, u16), &'static str> {
    use kind::{
        BIT, BLOB, BLOB_COMPRESSED, DATE, DATETIME, DATETIME2, DOUBLE, ENUM, FLOAT, GEOMETRY,
        INT24, JSON, LONG, LONG_BLOB, LONGLONG, MEDIUM_BLOB, NEWDATE, NEWDECIMAL, NULL, SET, SHORT,
        STRING, TIME, TIME2, TIMESTAMP, TIMESTAMP2, TINY, TINY_BLOB, VAR_STRING, VARCHAR,
        VARCHAR_COMPRESSED, YEAR,
    };
    Ok(match kind {
        TINY | SHORT | LONG | NULL | TIMESTAMP | LONGLONG | INT24 | DATE | TIME | DATETIME
        | YEAR | NEWDATE => (kind, 0),
        FLOAT | DOUBLE | TIMESTAMP2 | DATETIME2 | TIME2 | JSON | TINY_BLOB | MEDIUM_BLOB
        | LONG_BLOB | BLOB | BLOB_COMPRESSED | GEOMETRY => (kind, u16::from(meta.take(1)?[0])),
        VARCHAR | VAR_STRING | VARCHAR_COMPRESSED | NEWDECIMAL => {
            let m = meta.take(2)?;
            (kind, u16::from_le_bytes([m[0], m[1]]))
        }
        BIT => {
            let m = meta.take(2)?;
            (kind, u16::from(m[1]) * 8 + u16::from(m[0]))
        }
        STRING | ENUM | SET => {
            let m = meta.take(2)?;
            // The two upper bits of a long CHAR's length are in the type byte,
            // inverted.
            let (real, length) = if m[0] & 0x30 == 0x30 {
                (m[0], u16::from(m[1]))
            } else {
                (
                    m[0] | 0x30,
                    u16::from(m[1]) | (u16::from((m[0] & 0x30) ^ 0x30) << 4),
                )
            };
            match real {
                STRING | ENUM | SET => (real, length),
                _ => return Err("a column has an unknown type"),
            }
        }
        _ => return Err("a column has an unknown type"),
    })
}

impl Layout {
    /// The columns, in order.
    #[must_use]
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// What a table map event for another table of this shape ends with: the
    /// column count and all that follows.
    #[must_use]
    pub fn shape(&self) -> &[u8] {
        &self.body[self.shape_at..]
    }

    /// Whether images of the one are images of the other: the same number,
    /// types and lengths of columns.
    #[must_use]
    pub fn same_shape(&self, other: &Self) -> bool {
        self.columns == other.columns
    }

    /// The length of the null bitmap, in bytes.
    #[must_use]
    pub fn null_bytes(&self) -> usize {
        self.columns.len().div_ceil(8)
    }

    /// The length of the image at the start of `raw`, in bytes; `None` when
    /// `raw` ends before it does.
    #[must_use]
    pub fn image_bytes(&self, raw: &[u8]) -> Option<usize> {
        let nulls = raw.get(..self.null_bytes())?;
        let mut at = nulls.len();
        for (i, column) in self.columns.iter().enumerate() {
            if !is_null(nulls, i) {
                at += column.value_bytes(raw.get(at..)?)?;
            }
        }
        (at <= raw.len()).then_some(at)
    }

    /// Where each column's value is in `image`, in order: `None` for null.
    /// `ranges` is emptied first. `None` when the image does not fit the
    /// layout.
    #[must_use]
    pub fn take_apart(&self, image: &[u8], ranges: &mut Vec<Option<Range<usize>>>) -> Option<()> {
        ranges.clear();
        let nulls = image.get(..self.null_bytes())?;
        let mut at = nulls.len();
        for (i, column) in self.columns.iter().enumerate() {
            if is_null(nulls, i) {
                ranges.push(None);
            } else {
                let end = at + column.value_bytes(image.get(at..)?)?;
                image.get(at..end)?;
                ranges.push(Some(at..end));
                at = end;
            }
        }
        (at == image.len()).then_some(())
    }
}

/// As the base64 text of the body of a table map event.
impl Serialize for Layout {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(&self.body))
    }
}

impl<'de> Deserialize<'de> for Layout {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use serde::de::Error as _;
        let text = String::deserialize(deserializer)?;
        let body = STANDARD.decode(text).map_err(D::Error::custom)?;
        let (_, _, layout) = read_table_map(&body).map_err(D::Error::custom)?;
        Ok(layout)
    }
}

/// Whether the bitmap says that column `i` is null.
#[must_use]
pub fn is_null(nulls: &[u8], i: usize) -> bool {
    nulls.get(i / 8).is_some_and(|b| b >> (i % 8) & 1 == 1)
}

impl Column {
    /// The length of the packed value at the start of `raw`, in bytes; `None`
    /// when `raw` is too short to tell. It may be longer than `raw`.
    #[must_use]
    #[inline]
    pub fn value_bytes(&self, raw: &[u8]) -> Option<usize> {
        let fraction = usize::from(self.meta).div_ceil(2);
        Some(match self.kind {
            kind::NULL => 0,
            kind::TINY | kind::YEAR => 1,
            kind::SHORT => 2,
            kind::INT24 | kind::DATE | kind::TIME | kind::NEWDATE => 3,
            kind::LONG | kind::FLOAT | kind::TIMESTAMP => 4,
            kind::LONGLONG | kind::DOUBLE | kind::DATETIME => 8,
            kind::TIMESTAMP2 => 4 + fraction,
            kind::DATETIME2 => 5 + fraction,
            kind::TIME2 => 3 + fraction,
            kind::BIT => usize::from(self.meta).div_ceil(8),
            kind::ENUM | kind::SET => usize::from(self.meta),
            kind::NEWDECIMAL => {
                decimal_bytes(usize::from(self.meta & 0xff), usize::from(self.meta >> 8))?
            }
            kind::VARCHAR | kind::VAR_STRING | kind::VARCHAR_COMPRESSED | kind::STRING => {
                match self.meta {
                    ..=255 => 1 + usize::from(*raw.first()?),
                    _ => {
                        let length: &[u8; 2] = raw.first_chunk()?;
                        2 + usize::from(u16::from_le_bytes(*length))
                    }
                }
            }
            kind::JSON
            | kind::TINY_BLOB
            | kind::MEDIUM_BLOB
            | kind::LONG_BLOB
            | kind::BLOB
            | kind::BLOB_COMPRESSED
            | kind::GEOMETRY => {
                let prefix = usize::from(self.meta);
                let length = raw.get(..prefix).filter(|_| (1..=4).contains(&prefix))?;
                let length = length.iter().rev().fold(0, |n, b| n << 8 | usize::from(*b));
                prefix + length
            }
            _ => return None,
        })
    }
}

/// The length of a packed `DECIMAL(precision, scale)`, in bytes: nine digits
/// fit into four.
#[must_use]
pub fn decimal_bytes(precision: usize, scale: usize) -> Option<usize> {
    const OF_DIGITS: [usize; 10] = [0, 1, 1, 2, 2, 3, 3, 4, 4, 4];
    let whole = precision.checked_sub(scale)?;
    Some(whole / 9 * 4 + OF_DIGITS[whole % 9] + scale / 9 * 4 + OF_DIGITS[scale % 9])
}

struct Bytes<'a> {
    rest: &'a [u8],
}

impl<'a> Bytes<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], &'static str> {
        let (taken, rest) = self
            .rest
            .split_at_checked(length)
            .ok_or("a table map event ends too early")?;
        self.rest = rest;
        Ok(taken)
    }

    fn packed_int(&mut self) -> Result<u64, &'static str> {
        let first = self.take(1)?[0];
        let length = match first {
            ..=250 => return Ok(u64::from(first)),
            252 => 2,
            253 => 3,
            254 => 8,
            _ => return Err("a number in a table map event is malformed"),
        };
        Ok(self
            .take(length)?
            .iter()
            .rev()
            .fold(0, |n, b| n << 8 | u64::from(*b)))
    }
}
