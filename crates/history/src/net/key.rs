//! Keys as bytes that compare as the values do.
//!
//! Each column of the key becomes bytes whose order is the order of its values,
//! and no column's bytes are the beginning of another's, so that whole keys
//! compare column by column. Two keys have the same bytes exactly if their raw
//! values are the same. A server may think otherwise: by a collation `a` and
//! `A` are one key, and so are `-0.0` and `0.0`. Here they are two, and
//! [`Phase`](crate::synth::Phase) is why that does no harm.

use crate::layout::{Column, Layout, is_null, kind};

/// How a column's packed value becomes bytes that compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// It is as it has to be: packed times and decimals, bits, years.
    AsIs,
    /// A number with the lowest byte first.
    Unsigned,
    /// The same, with a sign.
    Signed,
    /// A floating point number with the lowest byte first.
    Float,
    /// A length of so many bytes and then the text.
    Text(usize),
}

impl Form {
    fn of(column: &Column, unsigned: bool) -> Self {
        match column.kind {
            kind::TINY | kind::SHORT | kind::INT24 | kind::LONG | kind::LONGLONG if !unsigned => {
                Self::Signed
            }
            // The old TIME is a number of the form hhmmss, with a sign.
            kind::TIME => Self::Signed,
            kind::TINY
            | kind::SHORT
            | kind::INT24
            | kind::LONG
            | kind::LONGLONG
            | kind::DATE
            | kind::NEWDATE
            | kind::DATETIME
            | kind::TIMESTAMP
            | kind::ENUM
            | kind::SET => Self::Unsigned,
            kind::FLOAT | kind::DOUBLE => Self::Float,
            kind::VARCHAR | kind::VAR_STRING | kind::VARCHAR_COMPRESSED | kind::STRING => {
                Self::Text(if column.meta > 255 { 2 } else { 1 })
            }
            kind::JSON
            | kind::TINY_BLOB
            | kind::MEDIUM_BLOB
            | kind::LONG_BLOB
            | kind::BLOB
            | kind::BLOB_COMPRESSED
            | kind::GEOMETRY => Self::Text(usize::from(column.meta)),
            _ => Self::AsIs,
        }
    }

    fn write(self, value: &[u8], out: &mut Vec<u8>) {
        match self {
            Self::AsIs => out.extend_from_slice(value),
            Self::Unsigned | Self::Signed | Self::Float => {
                let start = out.len();
                out.extend(value.iter().rev());
                let Some(first) = out.get_mut(start) else {
                    return;
                };
                match self {
                    Self::Signed => *first ^= 0x80,
                    Self::Float if *first & 0x80 == 0 => *first |= 0x80,
                    Self::Float => out[start..].iter_mut().for_each(|b| *b = !*b),
                    _ => {}
                }
            }
            // A zero byte within the text is told from its end by what follows.
            Self::Text(prefix) => {
                let mut rest = value.get(prefix..).unwrap_or_default();
                while let Some(zero) = rest.iter().position(|b| *b == 0) {
                    out.extend_from_slice(&rest[..zero]);
                    out.extend_from_slice(&[0, 0xff]);
                    rest = &rest[zero + 1..];
                }
                out.extend_from_slice(rest);
                out.extend_from_slice(&[0, 0]);
            }
        }
    }
}

/// How the key of an image is made.
#[derive(Debug)]
pub(super) struct KeyPlan {
    /// All columns up to the last one of the key; for those of the key, which
    /// place they have in it.
    columns: Vec<(Column, Option<usize>)>,
    /// In the order of the key.
    forms: Vec<(Form, bool)>,
    null_bytes: usize,
    /// Where the key's values are, in the order of the key.
    found: Vec<Option<(usize, usize)>>,
}

impl KeyPlan {
    /// `None` when the layout does not have one of the columns, or the key has
    /// one twice or none at all.
    pub(super) fn new(layout: &Layout, key: &[usize], signedness: &[bool]) -> Option<Self> {
        let last = *key.iter().max()?;
        let mut columns: Vec<_> = layout
            .columns()
            .get(..=last)?
            .iter()
            .map(|column| (*column, None))
            .collect();
        let mut forms = Vec::with_capacity(key.len());
        for (place, index) in key.iter().enumerate() {
            let (column, of_key) = &mut columns[*index];
            if of_key.replace(place).is_some() {
                return None;
            }
            let unsigned = signedness.get(*index).copied().unwrap_or(false);
            forms.push((Form::of(column, unsigned), column.nullable));
        }
        Some(Self {
            null_bytes: layout.null_bytes(),
            found: vec![None; forms.len()],
            columns,
            forms,
        })
    }

    /// The key of an image, appended to `out`; `None` when the image ends
    /// before the key does.
    pub(super) fn encode(&mut self, image: &[u8], out: &mut Vec<u8>) -> Option<()> {
        let nulls = image.get(..self.null_bytes)?;
        let mut at = self.null_bytes;
        for (i, (column, of_key)) in self.columns.iter().enumerate() {
            let value = if is_null(nulls, i) {
                None
            } else {
                let end = at + column.value_bytes(image.get(at..)?)?;
                let value = (at, end);
                at = end;
                Some(value)
            };
            if let Some(place) = of_key {
                self.found[*place] = value;
            }
        }
        for (value, (form, nullable)) in self.found.iter().zip(&self.forms) {
            // Null comes before all else, as it does in the server.
            if *nullable {
                out.push(u8::from(value.is_some()));
            }
            if let Some((start, end)) = *value {
                form.write(image.get(start..end)?, out);
            } else if !nullable {
                return None;
            }
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(form: Form, values: &[Vec<u8>]) {
        let keys: Vec<Vec<u8>> = values
            .iter()
            .map(|v| {
                let mut out = Vec::new();
                form.write(v, &mut out);
                out
            })
            .collect();
        assert!(keys.is_sorted_by(|a, b| a < b), "{form:?}: {keys:x?}");
    }

    #[test]
    fn bytes_compare_as_the_values_do() {
        let ints = [i64::MIN, -70000, -256, -2, -1, 0, 1, 255, 256, i64::MAX];
        order(Form::Signed, &ints.map(|i| i.to_le_bytes().to_vec()));
        let naturals = [0, 1, 255, 256, 65536, u64::MAX];
        order(Form::Unsigned, &naturals.map(|i| i.to_le_bytes().to_vec()));
        let floats = [f64::MIN, -1.5, -1e-300, -0.0, 0.0, 1e-300, 1.5, f64::MAX];
        order(Form::Float, &floats.map(|f| f.to_le_bytes().to_vec()));
        let texts: [&[u8]; 6] = [b"", b"\0", b"\0\0", b"\0a", b"a", b"a\0"];
        order(Form::Text(1), &texts.map(|t| [&[9], t].concat()));
        order(Form::Text(2), &texts.map(|t| [&[9, 9], t].concat()));
    }

    #[test]
    fn the_end_of_a_text_is_not_mistaken_for_what_follows() {
        let key = |a: &[u8], b: &[u8]| {
            let mut out = Vec::new();
            Form::Text(1).write(&[&[9], a].concat(), &mut out);
            Form::Text(1).write(&[&[9], b].concat(), &mut out);
            out
        };
        assert!(key(b"a", b"z") < key(b"aa", b"a"));
        assert!(key(b"a", b"z") < key(b"a\0", b"a"));
        assert_ne!(key(b"a\0", b"b"), key(b"a", b"\0b"));
        assert_ne!(key(b"", b"\0\0"), key(b"\0", b"\0"));
    }
}
