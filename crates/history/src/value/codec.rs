//! One column's values.

use std::borrow::Cow;

use crate::layout::{Column, kind};
use crate::value::bytes::{self, after_length};
use crate::value::column::{ColumnInfo, Generated};
use crate::value::{number, temporal};

/// Why values cannot be told.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ValueError {
    /// No value of the column can.
    #[error("read the values of column {column}: {why}")]
    Unsupported {
        /// Its name.
        column: String,
        /// What it is, by name, and what to do.
        why: String,
    },
    /// This value cannot: its bytes are not one.
    #[error("read a value of column {column}: {why}")]
    Damaged {
        /// Its name.
        column: String,
        /// What is wrong.
        why: String,
    },
    /// A row image does not have the shape of its table.
    #[error(
        "read a row: its bytes do not have the shape of the table; see whether the history is damaged"
    )]
    Shape,
}

/// How many characters of a value [`Codec::display`] shows at most: more helps
/// nobody to tell rows apart.
const SHOWN_MAX: usize = 256;

/// What is known of a column's values.
#[derive(Clone, Debug)]
enum What {
    Int {
        signed: bool,
    },
    Year {
        two_digits: bool,
    },
    Float,
    Double,
    Decimal {
        precision: usize,
        scale: usize,
    },
    Bit,
    Enum {
        members: Vec<String>,
    },
    Set {
        members: Vec<String>,
    },
    Date,
    Time {
        digits: u8,
    },
    Datetime {
        digits: u8,
    },
    Timestamp {
        digits: u8,
    },
    OldTime,
    OldDatetime,
    OldTimestamp,
    /// Types that are a fixed number of bytes.
    Uuid,
    Inet6,
    Inet4,
    Bytes(Bytes),
}

#[derive(Clone, Debug)]
struct Bytes {
    /// Bytes of the length before the value.
    prefix: usize,
    /// `BINARY(n)`: the zeros at its end are not in the image.
    padded: Option<usize>,
    /// Of a `COMPRESSED` column.
    compressed: bool,
    charset: Option<String>,
    geometry: bool,
}

/// Reads the values of one column.
#[derive(Clone, Debug)]
pub struct Codec {
    what: What,
    name: String,
}

/// What a column is to the digest: which expression has an exact answer.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Family {
    /// Its own text is exact.
    Plain,
    /// As a number it is.
    Number,
    Float,
    /// `ENUM`, `SET`: as numbers, of which there may be 64 bits.
    Index,
    /// That many bytes behind a text of their own.
    Fixed(usize),
    String,
    Geometry,
}

fn family(info: &ColumnInfo) -> Result<Family, ValueError> {
    let zerofill = info.column_type.to_ascii_lowercase().contains("zerofill");
    Ok(match info.type_name().as_str() {
        "tinyint" | "smallint" | "mediumint" | "int" | "integer" | "bigint" | "decimal"
            if zerofill =>
        {
            Family::Number
        }
        "tinyint" | "smallint" | "mediumint" | "int" | "integer" | "bigint" | "decimal"
        | "date" | "time" | "datetime" | "timestamp" => Family::Plain,
        "year" | "bit" => Family::Number,
        "float" | "double" => Family::Float,
        "enum" | "set" => Family::Index,
        "uuid" | "inet6" => Family::Fixed(16),
        "inet4" => Family::Fixed(4),
        "char" | "varchar" | "binary" | "varbinary" | "tinytext" | "text" | "mediumtext"
        | "longtext" | "tinyblob" | "blob" | "mediumblob" | "longblob" => Family::String,
        "geometry" | "point" | "linestring" | "polygon" | "multipoint" | "multilinestring"
        | "multipolygon" | "geometrycollection" | "geomcollection" => Family::Geometry,
        other => {
            return Err(ValueError::Unsupported {
                column: info.name.clone(),
                why: match other {
                    "json" => "binary JSON is not supported; make the column a LONGTEXT".to_owned(),
                    _ => format!("the type {:?} is not supported", info.column_type),
                },
            });
        }
    })
}

/// The SQL expression of a column whose answer [`Codec::text`] gives from an
/// image: of numbers, times and the like the text; of strings their bytes, to
/// be read as bytes.
///
/// # Errors
/// [`ValueError::Unsupported`] when there is none for its type.
pub fn digest_expression(info: &ColumnInfo) -> Result<String, ValueError> {
    let name = info.quoted();
    Ok(match family(info)? {
        Family::Plain => name,
        Family::Number => format!("{name}+0"),
        // Its own text has 6 or 15 digits; the sum with a double has all.
        Family::Float => format!("{name}+0e0"),
        Family::Index => format!("CAST({name} AS UNSIGNED)"),
        Family::Fixed(length) => format!("HEX(CAST({name} AS BINARY({length})))"),
        Family::String | Family::Geometry => format!("CAST({name} AS BINARY)"),
    })
}

/// For a column whose values are strings, the expressions of its length and of
/// its bytes, which stand apart in a row's hash.
pub(super) fn string_expressions(
    info: &ColumnInfo,
) -> Result<Option<(String, String)>, ValueError> {
    let name = info.quoted();
    let bytes = match family(info)? {
        Family::String => name.clone(),
        Family::Geometry => format!("CAST({name} AS BINARY)"),
        _ => return Ok(None),
    };
    let bytes = if info.nullable {
        format!("COALESCE({bytes},'')")
    } else {
        bytes
    };
    Ok(Some((format!("LENGTH({name})"), bytes)))
}

impl Codec {
    /// For a column of that layout and catalogue entry.
    ///
    /// # Errors
    /// [`ValueError::Unsupported`] when its values cannot be told exactly, or
    /// the two do not fit each other.
    #[expect(
        clippy::too_many_lines,
        reason = "a table of types reads best in one piece"
    )]
    pub fn new(column: &Column, info: &ColumnInfo) -> Result<Self, ValueError> {
        let refused = |why: &str| ValueError::Unsupported {
            column: info.name.clone(),
            why: why.to_owned(),
        };
        let family = family(info)?;
        let type_name = info.type_name();
        let attributes = info.column_type.to_ascii_lowercase();
        let period = matches!(info.generated, Generated::RowStart | Generated::RowEnd);
        if period && type_name != "timestamp" {
            return Err(refused(
                "history by transaction ids has a meaning only on the server that wrote it; \
                 make the period's columns TIMESTAMP(6)",
            ));
        }
        let digits = || {
            u8::try_from(column.meta)
                .ok()
                .filter(|d| *d <= 6 && argument(&attributes) == usize::from(*d))
                .ok_or_else(|| refused("its times in the log have other digits than its type says"))
        };
        // Times before MySQL 5.6's format: without digits they can be told.
        let old = || {
            if argument(&attributes) == 0 {
                Ok(())
            } else {
                Err(refused(
                    "it has digits of the second in the format before MySQL 5.6, which the log \
                     does not describe; convert it with ALTER TABLE ... FORCE while \
                     mysql56_temporal_format is ON",
                ))
            }
        };
        let prefix = if column.meta > 255 { 2 } else { 1 };
        let string = |prefix, padded, compressed| {
            What::Bytes(Bytes {
                prefix,
                padded,
                compressed,
                charset: info.charset.clone(),
                geometry: family == Family::Geometry,
            })
        };
        if let Some(charset) = &info.charset
            && !charset
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'_')
        {
            return Err(refused("its character set is not a name"));
        }
        let members = || {
            bytes::members(&info.column_type)
                .ok_or_else(|| refused("its members cannot be read from its type"))
        };
        let what = match (type_name.as_str(), column.kind) {
            ("tinyint", kind::TINY)
            | ("smallint", kind::SHORT)
            | ("mediumint", kind::INT24)
            | ("int" | "integer", kind::LONG)
            | ("bigint", kind::LONGLONG) => What::Int {
                signed: !info.unsigned,
            },
            ("year", kind::YEAR) => What::Year {
                two_digits: argument(&attributes) == 2,
            },
            ("float", kind::FLOAT) => What::Float,
            ("double", kind::DOUBLE) | ("float", kind::DOUBLE) => What::Double,
            ("decimal", kind::NEWDECIMAL) => What::Decimal {
                precision: usize::from(column.meta & 0xff),
                scale: usize::from(column.meta >> 8),
            },
            ("bit", kind::BIT) => What::Bit,
            ("enum", kind::ENUM) => What::Enum {
                members: members()?,
            },
            ("set", kind::SET) => What::Set {
                members: members()?,
            },
            ("date", kind::DATE | kind::NEWDATE) => What::Date,
            ("time", kind::TIME2) => What::Time { digits: digits()? },
            ("datetime", kind::DATETIME2) => What::Datetime { digits: digits()? },
            ("timestamp", kind::TIMESTAMP2) => What::Timestamp { digits: digits()? },
            ("time", kind::TIME) => {
                old()?;
                What::OldTime
            }
            ("datetime", kind::DATETIME) => {
                old()?;
                What::OldDatetime
            }
            ("timestamp", kind::TIMESTAMP) => {
                old()?;
                What::OldTimestamp
            }
            ("uuid", kind::STRING) if attributes.trim() == "uuid" => What::Uuid,
            ("uuid", _) => {
                return Err(refused(
                    "it is a UUID in the format of MariaDB 10.10; convert it with ALTER TABLE ... FORCE",
                ));
            }
            ("inet6", kind::STRING) => What::Inet6,
            ("inet4", kind::STRING) => What::Inet4,
            ("char", kind::STRING) => string(prefix, None, false),
            ("binary", kind::STRING) => string(prefix, Some(usize::from(column.meta)), false),
            ("varchar" | "varbinary", kind::VARCHAR | kind::VAR_STRING) => {
                string(prefix, None, false)
            }
            ("varchar" | "varbinary", kind::VARCHAR_COMPRESSED) => string(prefix, None, true),
            (_, kind::BLOB | kind::TINY_BLOB | kind::MEDIUM_BLOB | kind::LONG_BLOB)
                if family == Family::String =>
            {
                string(usize::from(column.meta), None, false)
            }
            (_, kind::BLOB_COMPRESSED) if family == Family::String => {
                string(usize::from(column.meta), None, true)
            }
            (_, kind::GEOMETRY) if family == Family::Geometry => {
                string(usize::from(column.meta), None, false)
            }
            _ => {
                return Err(refused(&format!(
                    "the catalogue says {:?}, which is not what its rows in the log have (type {}); \
                     the table was altered in between",
                    info.column_type, column.kind
                )));
            }
        };
        Ok(Self {
            what,
            name: info.name.clone(),
        })
    }

    /// The column's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    fn damaged(&self, why: &str) -> ValueError {
        ValueError::Damaged {
            column: self.name.clone(),
            why: why.to_owned(),
        }
    }

    /// Writes what the server answers to [`digest_expression`] for this value;
    /// for null, nothing.
    ///
    /// # Errors
    /// [`ValueError::Damaged`].
    pub fn text(&self, raw: Option<&[u8]>, out: &mut Vec<u8>) -> Result<(), ValueError> {
        let Some(raw) = raw else { return Ok(()) };
        match self.bytes(raw)? {
            Some(bytes) => {
                out.extend_from_slice(&bytes);
                Ok(())
            }
            None => self.scalar(raw, out),
        }
    }

    /// The bytes of a string; `None` when the column holds none.
    pub(super) fn bytes<'a>(&self, raw: &'a [u8]) -> Result<Option<Cow<'a, [u8]>>, ValueError> {
        let What::Bytes(bytes) = &self.what else {
            return Ok(None);
        };
        let value = after_length(raw, bytes.prefix)
            .ok_or_else(|| self.damaged("it does not have the length that it says"))?;
        if bytes.compressed {
            return bytes::decompressed(value)
                .map(Some)
                .map_err(|why| self.damaged(why));
        }
        Ok(Some(match bytes.padded {
            Some(length) if value.len() < length => {
                let mut padded = Vec::with_capacity(length);
                padded.extend_from_slice(value);
                padded.resize(length, 0);
                Cow::Owned(padded)
            }
            _ => Cow::Borrowed(value),
        }))
    }

    /// Writes the text of what is no string.
    pub(super) fn scalar(&self, raw: &[u8], out: &mut Vec<u8>) -> Result<(), ValueError> {
        let written = match &self.what {
            What::Int { signed } => (1..=8).contains(&raw.len()).then(|| {
                number::write_int(number::little(raw, *signed), out);
            }),
            What::Year { two_digits } => raw.first().map(|year| {
                let year = match *year {
                    0 => 0,
                    y if *two_digits => i128::from(y) % 100,
                    y => i128::from(y) + 1900,
                };
                number::write_int(year, out);
            }),
            What::Float => raw
                .try_into()
                .ok()
                .and_then(|raw| number::write_double(f64::from(f32::from_le_bytes(raw)), out)),
            What::Double => raw
                .try_into()
                .ok()
                .and_then(|raw| number::write_double(f64::from_le_bytes(raw), out)),
            What::Decimal { precision, scale } => {
                number::write_decimal(raw, *precision, *scale, out)
            }
            What::Bit => (1..=8).contains(&raw.len()).then(|| {
                number::write_int(i128::from(number::big(raw)), out);
            }),
            What::Enum { .. } | What::Set { .. } => (1..=8).contains(&raw.len()).then(|| {
                number::write_int(number::little(raw, false), out);
            }),
            What::Date => raw
                .try_into()
                .ok()
                .and_then(|raw| temporal::write_date(raw, out)),
            What::Time { digits } => temporal::write_time(raw, *digits, out),
            What::Datetime { digits } => temporal::write_datetime(raw, *digits, out),
            What::Timestamp { digits } => temporal::write_timestamp(raw, *digits, out),
            What::OldTime => raw
                .try_into()
                .ok()
                .and_then(|raw| temporal::write_old_time(raw, out)),
            What::OldDatetime => raw
                .try_into()
                .ok()
                .and_then(|raw| temporal::write_old_datetime(raw, out)),
            What::OldTimestamp => raw
                .try_into()
                .ok()
                .and_then(|raw| temporal::write_utc(u32::from_le_bytes(raw), true, out)),
            What::Uuid => self
                .fixed::<16>(raw)
                .map(|raw| bytes::write_hex(&uuid_from_record(raw), out)),
            What::Inet6 => self.fixed::<16>(raw).map(|raw| bytes::write_hex(&raw, out)),
            What::Inet4 => self.fixed::<4>(raw).map(|raw| bytes::write_hex(&raw, out)),
            What::Bytes(_) => None,
        };
        written.ok_or_else(|| self.damaged("its bytes are not a value of the column's type"))
    }

    /// A value of that many bytes, whose zeros at the end are not in the image.
    fn fixed<const N: usize>(&self, raw: &[u8]) -> Option<[u8; N]> {
        let value = after_length(raw, 1)?;
        let mut all = [0; N];
        all.get_mut(..value.len())?.copy_from_slice(value);
        Some(all)
    }

    /// Appends an SQL literal that stores exactly this value, in a session with
    /// [`WRITE_SETTINGS`](crate::value::WRITE_SETTINGS).
    ///
    /// # Errors
    /// [`ValueError::Damaged`].
    pub fn literal(&self, raw: Option<&[u8]>, out: &mut String) -> Result<(), ValueError> {
        let Some(raw) = raw else {
            out.push_str("NULL");
            return Ok(());
        };
        if let Some(value) = self.bytes(raw)? {
            let mut digits = Vec::new();
            bytes::write_hex(&value, &mut digits);
            if let What::Bytes(Bytes {
                charset: Some(charset),
                ..
            }) = &self.what
            {
                out.push('_');
                out.push_str(charset);
                out.push(' ');
            }
            out.push_str("X'");
            out.push_str(&String::from_utf8_lossy(&digits));
            out.push('\'');
            return Ok(());
        }
        let mut text = Vec::new();
        self.scalar(raw, &mut text)?;
        let text = String::from_utf8_lossy(&text);
        match &self.what {
            What::Float | What::Double => {
                out.push_str(&text);
                // Without an exponent it would be a decimal, whose zero has no
                // sign.
                if !text.contains('e') {
                    out.push_str("e0");
                }
            }
            What::Date
            | What::Time { .. }
            | What::Datetime { .. }
            | What::Timestamp { .. }
            | What::OldTime
            | What::OldDatetime
            | What::OldTimestamp => {
                out.push('\'');
                out.push_str(&text);
                out.push('\'');
            }
            What::Uuid | What::Inet6 | What::Inet4 => {
                out.push_str("X'");
                out.push_str(&text);
                out.push('\'');
            }
            What::Year { two_digits: true } => {
                let year = raw.first().copied().unwrap_or(0);
                let year = if year == 0 { 0 } else { u16::from(year) + 1900 };
                out.push_str(&year.to_string());
            }
            _ => out.push_str(&text),
        }
        Ok(())
    }

    /// The value for people: at most 256 characters. What cannot be read is
    /// told as such.
    #[must_use]
    pub fn display(&self, raw: Option<&[u8]>) -> String {
        let Some(raw) = raw else {
            return "NULL".to_owned();
        };
        self.shown(raw)
            .unwrap_or_else(|_| "(not readable)".to_owned())
    }

    fn shown(&self, raw: &[u8]) -> Result<String, ValueError> {
        if let (What::Bytes(what), Some(value)) = (&self.what, self.bytes(raw)?) {
            // A character has at most 4 bytes.
            let head = &value[..value.len().min(SHOWN_MAX * 4)];
            let text = match &what.charset {
                Some(charset) => bytes::decode(charset, head),
                None if what.geometry => None,
                None => std::str::from_utf8(&value)
                    .ok()
                    .filter(|t| t.chars().all(|c| !c.is_control()))
                    .map(Cow::Borrowed),
            };
            let text = text.unwrap_or_else(|| {
                let mut digits = b"0x".to_vec();
                bytes::write_hex(&head[..head.len().min(SHOWN_MAX / 2)], &mut digits);
                Cow::Owned(String::from_utf8_lossy(&digits).into_owned())
            });
            let whole = head.len() == value.len() && text.chars().count() <= SHOWN_MAX;
            if whole && !(what.charset.is_none() && value.len() > SHOWN_MAX / 2) {
                return Ok(text.into_owned());
            }
            let head: String = text.chars().take(SHOWN_MAX).collect();
            return Ok(format!("{head}… ({} bytes)", value.len()));
        }
        let mut text = Vec::new();
        match &self.what {
            What::Enum { members } => {
                let index = usize::try_from(number::little(raw, false)).unwrap_or(0);
                return Ok(match index.checked_sub(1) {
                    None => String::new(),
                    Some(i) => members
                        .get(i)
                        .cloned()
                        .unwrap_or_else(|| format!("(member {index})")),
                });
            }
            What::Set { members } => {
                let bits = number::little(raw, false);
                let chosen: Vec<&str> = members
                    .iter()
                    .enumerate()
                    // A set has no more than 64.
                    .take(64)
                    .filter(|(i, _)| bits >> i & 1 == 1)
                    .map(|(_, m)| m.as_str())
                    .collect();
                return Ok(chosen.join(","));
            }
            What::Float => {
                let raw = raw
                    .try_into()
                    .map_err(|_| self.damaged("it is not a float"))?;
                return Ok(f32::from_le_bytes(raw).to_string());
            }
            What::Year { two_digits: false } => {
                self.scalar(raw, &mut text)?;
                return Ok(format!("{:0>4}", String::from_utf8_lossy(&text)));
            }
            What::Uuid => {
                self.scalar(raw, &mut text)?;
                let text = String::from_utf8_lossy(&text).to_ascii_lowercase();
                let parts: Vec<&str> = [0..8, 8..12, 12..16, 16..20, 20..32]
                    .into_iter()
                    .filter_map(|range| text.get(range))
                    .collect();
                return Ok(parts.join("-"));
            }
            What::Inet6 => {
                if let Some(raw) = self.fixed::<16>(raw) {
                    return Ok(std::net::Ipv6Addr::from(raw).to_string());
                }
            }
            What::Inet4 => {
                if let Some(raw) = self.fixed::<4>(raw) {
                    return Ok(std::net::Ipv4Addr::from(raw).to_string());
                }
            }
            _ => {}
        }
        self.scalar(raw, &mut text)?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    }
}

/// The number in the parentheses of a type; 0 without.
fn argument(column_type: &str) -> usize {
    column_type
        .split_once('(')
        .and_then(|(_, rest)| rest.split_once(')'))
        .and_then(|(argument, _)| argument.trim().parse().ok())
        .unwrap_or(0)
}

/// A UUID from what rows hold: versions 1 to 5 are kept with their last parts
/// first, so that they sort by time; others as they are.
fn uuid_from_record(raw: [u8; 16]) -> [u8; 16] {
    let swapped = raw[6] & 0x80 != 0 && raw[8] > 0 && raw[8] < 0x60;
    if !swapped {
        return raw;
    }
    let mut uuid = [0; 16];
    uuid[..4].copy_from_slice(&raw[12..]);
    uuid[4..6].copy_from_slice(&raw[10..12]);
    uuid[6..8].copy_from_slice(&raw[8..10]);
    uuid[8..10].copy_from_slice(&raw[6..8]);
    uuid[10..].copy_from_slice(&raw[..6]);
    uuid
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::column::CatalogueRow;
    use proptest::prelude::*;

    fn info(column_type: &str, charset: Option<&str>) -> ColumnInfo {
        ColumnInfo::of(&CatalogueRow {
            name: "a`b",
            column_type,
            charset,
            nullable: "YES",
            ..CatalogueRow::default()
        })
    }

    fn codec(kind: u8, meta: u16, info: &ColumnInfo) -> Codec {
        let column = Column {
            kind,
            meta,
            nullable: true,
        };
        Codec::new(&column, info).unwrap()
    }

    #[test]
    fn values_are_shown_to_people() {
        let shown = |kind, meta, column_type: &str, charset, raw: &[u8]| {
            codec(kind, meta, &info(column_type, charset)).display(Some(raw))
        };
        let some_enum = "enum('x','it''s')";
        let some_set = "set('a','b','c')";
        let utf8 = Some("utf8mb4");
        let latin1 = Some("latin1");
        assert_eq!(shown(kind::LONG, 0, "int(11)", None, &[0xff; 4]), "-1");
        assert_eq!(shown(kind::YEAR, 0, "year(4)", None, &[0]), "0000");
        assert_eq!(shown(kind::ENUM, 1, some_enum, utf8, &[2]), "it's");
        assert_eq!(shown(kind::ENUM, 1, some_enum, utf8, &[0]), "");
        assert_eq!(shown(kind::SET, 1, some_set, utf8, &[5]), "a,c");
        let float = 1.1_f32.to_le_bytes();
        assert_eq!(shown(kind::FLOAT, 0, "float", None, &float), "1.1");
        let text = shown(kind::VARCHAR, 9, "varchar(9)", latin1, b"\x02\xe9!");
        assert_eq!(text, "é!");
        assert_eq!(
            shown(kind::BLOB, 1, "tinyblob", None, b"\x02\0\xff"),
            "0x00FF"
        );
        assert_eq!(shown(kind::BLOB, 1, "tinyblob", None, b"\x02ok"), "ok");
        assert_eq!(shown(kind::STRING, 16, "inet6", None, b"\0"), "::");
        assert_eq!(
            shown(kind::STRING, 4, "inet4", None, b"\x01\x0a"),
            "10.0.0.0"
        );
        let text = shown(kind::VARCHAR, 9, "varchar(9)", latin1, b"\x05a");
        assert_eq!(text, "(not readable)");
        let long = [&[0x90, 0x01][..], &[b'x'; 400]].concat();
        let text = shown(kind::BLOB, 2, "text", utf8, &long);
        assert_eq!(text, format!("{}… (400 bytes)", "x".repeat(256)));
        assert_eq!(
            codec(kind::LONG, 0, &info("int", None)).display(None),
            "NULL"
        );
    }

    #[test]
    fn the_catalogue_tells_what_is_unsigned() {
        for (column_type, unsigned) in [
            ("int(10) unsigned", true),
            ("int(10) unsigned zerofill", true),
            ("int", false),
            ("float unsigned", true),
            ("bigint unsigned", true),
            ("enum(') unsigned')", false),
        ] {
            assert_eq!(info(column_type, None).unsigned, unsigned, "{column_type}");
        }
        let expression = digest_expression(&info("int(10)", None)).unwrap();
        assert_eq!(expression, "`a``b`");
    }

    const KINDS: [(u8, &str); 29] = [
        (kind::TINY, "tinyint"),
        (kind::SHORT, "smallint"),
        (kind::INT24, "mediumint"),
        (kind::LONG, "int"),
        (kind::LONGLONG, "bigint"),
        (kind::FLOAT, "float"),
        (kind::DOUBLE, "double"),
        (kind::NEWDECIMAL, "decimal(10,2)"),
        (kind::BIT, "bit(9)"),
        (kind::YEAR, "year(4)"),
        (kind::DATE, "date"),
        (kind::TIME, "time"),
        (kind::DATETIME, "datetime"),
        (kind::TIMESTAMP, "timestamp"),
        (kind::TIME2, "time(3)"),
        (kind::DATETIME2, "datetime(3)"),
        (kind::TIMESTAMP2, "timestamp(3)"),
        (kind::ENUM, "enum('a')"),
        (kind::SET, "set('a','b')"),
        (kind::STRING, "uuid"),
        (kind::STRING, "inet6"),
        (kind::STRING, "inet4"),
        (kind::STRING, "char(3)"),
        (kind::STRING, "binary(3)"),
        (kind::VARCHAR, "varchar(3)"),
        (kind::VARCHAR_COMPRESSED, "varchar(3)"),
        (kind::BLOB, "text"),
        (kind::BLOB_COMPRESSED, "blob"),
        (kind::GEOMETRY, "point"),
    ];

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(
            (kind, column_type) in prop::sample::select(KINDS.to_vec()),
            meta in prop_oneof![Just(3_u16), 0_u16..300, any::<u16>()],
            charset in prop::option::of(prop::sample::select(vec!["utf8mb4", "utf32", "gbk"])),
            raw in prop::collection::vec(any::<u8>(), 0..40),
        ) {
            let column = Column { kind, meta, nullable: true };
            if let Ok(codec) = Codec::new(&column, &info(column_type, charset)) {
                let told = codec.text(Some(&raw), &mut Vec::new());
                let written = codec.literal(Some(&raw), &mut String::new());
                prop_assert_eq!(written.is_ok(), told.is_ok());
                let shown = codec.display(Some(&raw));
                prop_assert!(told.is_err() || shown != "(not readable)");
            }
        }
    }
}
