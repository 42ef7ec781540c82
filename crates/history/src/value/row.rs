//! Whole rows: their hash, here and on the server.
//!
//! The text of a row is a head and then the bytes of its strings, one after
//! another. The head has, with commas between: one digit for each column that
//! may be null (1 when it is), then of each column that is not null its text,
//! or for a string its length. No two different rows have the same text: the
//! digits tell which columns are there, the lengths where each string ends.
//! The strings stand apart since the server can so hash them where they are:
//! nothing is copied, and `max_allowed_packet` does not matter.
//!
//! A row of many columns is cut into parts of [`PART`] columns, each with a
//! checksum of its own; the checksums, with commas between, are then the text.

use std::fmt::Write as _;
use std::ops::Range;

use crate::layout::Layout;
use crate::value::codec::{Codec, ValueError, digest_expression, string_expressions};
use crate::value::column::ColumnInfo;
use crate::value::number;

/// How many columns are hashed in one expression: every string is a level of
/// nesting, and the server's stack allows some 600 of them.
const PART: usize = 64;

/// The SQL expression that computes what [`RowCodec::hash`] does: a number of 64
/// bits without a sign. It needs `CRC32C`, which MariaDB has since 10.8.
///
/// # Errors
/// [`ValueError::Unsupported`].
pub fn row_hash_expression(infos: &[ColumnInfo]) -> Result<String, ValueError> {
    let infos: Vec<&ColumnInfo> = infos.iter().filter(|info| info.is_digested()).collect();
    let parts: Vec<(String, Vec<String>)> = infos
        .chunks(PART)
        .map(part_expressions)
        .collect::<Result<_, _>>()?;
    Ok(format!(
        "{}*{}",
        checksum_expression("CRC32", &parts),
        checksum_expression("CRC32C", &parts)
    ))
}

/// The head of a part, and its strings.
fn part_expressions(infos: &[&ColumnInfo]) -> Result<(String, Vec<String>), ValueError> {
    let mut head = Vec::new();
    let mut strings = Vec::new();
    let nulls: Vec<String> = infos
        .iter()
        .filter(|info| info.nullable)
        .map(|info| format!("{} IS NULL", info.quoted()))
        .collect();
    if !nulls.is_empty() {
        head.push(format!("CONCAT({})", nulls.join(",")));
    }
    for info in infos {
        match string_expressions(info)? {
            Some((length, bytes)) => {
                head.push(length);
                strings.push(bytes);
            }
            None => head.push(digest_expression(info)?),
        }
    }
    Ok((format!("CONCAT_WS(',',{})", head.join(",")), strings))
}

fn checksum_expression(function: &str, parts: &[(String, Vec<String>)]) -> String {
    let parts: Vec<String> = parts
        .iter()
        .map(|(head, strings)| {
            let mut expression = format!("{function}({head})");
            for string in strings {
                expression = format!("{function}({expression},{string})");
            }
            expression
        })
        .collect();
    match parts.as_slice() {
        [one] => one.clone(),
        // No columns at all.
        [] => format!("{function}('')"),
        many => format!("{function}(CONCAT_WS(',',{}))", many.join(",")),
    }
}

/// Reads the rows of one table.
#[derive(Clone, Debug)]
pub struct RowCodec {
    layout: Layout,
    infos: Vec<ColumnInfo>,
    codecs: Vec<Codec>,
    /// Indices of the columns that are digested.
    digested: Vec<usize>,
    // Kept so that a row costs no allocation.
    ranges: Vec<Option<Range<usize>>>,
    head: Vec<u8>,
}

impl RowCodec {
    /// For a table of that layout, whose columns the catalogue tells so.
    ///
    /// # Errors
    /// [`ValueError::Unsupported`] when a column's values cannot be told, or
    /// the two do not fit each other.
    pub fn new(layout: &Layout, infos: &[ColumnInfo]) -> Result<Self, ValueError> {
        if layout.columns().len() != infos.len() {
            return Err(ValueError::Unsupported {
                column: infos.last().map_or_else(String::new, |i| i.name.clone()),
                why: format!(
                    "the table has {} columns, its rows in the log have {}: it was altered in between",
                    infos.len(),
                    layout.columns().len()
                ),
            });
        }
        let codecs = layout
            .columns()
            .iter()
            .zip(infos)
            .map(|(column, info)| Codec::new(column, info))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            layout: layout.clone(),
            infos: infos.to_vec(),
            codecs,
            digested: (0..infos.len())
                .filter(|i| infos[*i].is_digested())
                .collect(),
            ranges: Vec::new(),
            head: Vec::new(),
        })
    }

    /// What the catalogue says of the columns, in the order of the images.
    #[must_use]
    pub fn infos(&self) -> &[ColumnInfo] {
        &self.infos
    }

    /// The codecs of the columns, in the order of the images.
    #[must_use]
    pub fn codecs(&self) -> &[Codec] {
        &self.codecs
    }

    /// The hash of a row. Virtual columns are no part of it.
    ///
    /// # Errors
    /// [`ValueError::Damaged`], [`ValueError::Shape`].
    pub fn hash(&mut self, image: &[u8]) -> Result<u64, ValueError> {
        self.layout
            .take_apart(image, &mut self.ranges)
            .ok_or(ValueError::Shape)?;
        if self.digested.len() <= PART {
            let (ieee, castagnoli) = self.part(image, 0..self.digested.len())?;
            return Ok(u64::from(ieee) * u64::from(castagnoli));
        }
        let (mut ieee, mut castagnoli) = (String::new(), String::new());
        for start in (0..self.digested.len()).step_by(PART) {
            let end = (start + PART).min(self.digested.len());
            let (a, b) = self.part(image, start..end)?;
            let comma = if start == 0 { "" } else { "," };
            // A String takes everything.
            let _ = write!(ieee, "{comma}{a}");
            let _ = write!(castagnoli, "{comma}{b}");
        }
        Ok(u64::from(crc32fast::hash(ieee.as_bytes()))
            * u64::from(crc32c::crc32c(castagnoli.as_bytes())))
    }

    fn part(&mut self, image: &[u8], columns: Range<usize>) -> Result<(u32, u32), ValueError> {
        let columns = &self.digested[columns];
        let value = |i: usize| self.ranges[i].as_ref().and_then(|r| image.get(r.clone()));
        let head = &mut self.head;
        head.clear();
        for i in columns {
            if self.infos[*i].nullable {
                head.push(if value(*i).is_none() { b'1' } else { b'0' });
            }
        }
        let mut first = head.is_empty();
        let mut strings = Vec::new();
        for i in columns {
            let Some(raw) = value(*i) else { continue };
            if !std::mem::take(&mut first) {
                head.push(b',');
            }
            match self.codecs[*i].bytes(raw)? {
                Some(bytes) => {
                    number::write_int(bytes.len().try_into().unwrap_or(i128::MAX), head);
                    strings.push(bytes);
                }
                None => self.codecs[*i].scalar(raw, head)?,
            }
        }
        let mut castagnoli = crc32c::crc32c(head);
        let mut ieee = crc32fast::Hasher::new();
        ieee.update(head);
        for bytes in strings {
            ieee.update(&bytes);
            castagnoli = crc32c::crc32c_append(castagnoli, &bytes);
        }
        Ok((ieee.finalize(), castagnoli))
    }

    /// The bytes of each column's value in `image`, in order, length prefixes
    /// included; `None` for null.
    ///
    /// # Errors
    /// [`ValueError::Shape`].
    pub fn values<'a>(
        &mut self,
        image: &'a [u8],
    ) -> Result<impl Iterator<Item = Option<&'a [u8]>>, ValueError> {
        self.layout
            .take_apart(image, &mut self.ranges)
            .ok_or(ValueError::Shape)?;
        Ok(self
            .ranges
            .iter()
            .map(move |range| range.as_ref().and_then(|r| image.get(r.clone()))))
    }

    /// Appends the literals of some columns of a row, with commas between.
    ///
    /// # Errors
    /// As [`RowCodec::hash`].
    pub fn literals(
        &mut self,
        image: &[u8],
        columns: &[usize],
        out: &mut String,
    ) -> Result<(), ValueError> {
        self.layout
            .take_apart(image, &mut self.ranges)
            .ok_or(ValueError::Shape)?;
        for (n, i) in columns.iter().enumerate() {
            if n > 0 {
                out.push(',');
            }
            let (Some(range), Some(codec)) = (self.ranges.get(*i), self.codecs.get(*i)) else {
                return Err(ValueError::Shape);
            };
            codec.literal(range.as_ref().and_then(|r| image.get(r.clone())), out)?;
        }
        Ok(())
    }

    /// The row for people: each column's name and value, in order.
    ///
    /// # Errors
    /// [`ValueError::Shape`].
    pub fn display(&mut self, image: &[u8]) -> Result<Vec<(String, String)>, ValueError> {
        let values: Vec<Option<&[u8]>> = self.values(image)?.collect();
        Ok(self
            .codecs
            .iter()
            .zip(values)
            .map(|(codec, raw)| (codec.name().to_owned(), codec.display(raw)))
            .collect())
    }
}
