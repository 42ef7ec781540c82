//! Digests of tables that do not depend on the order of their rows.
//!
//! The hash of a row is made of a CRC-32 and a CRC-32C of its text, multiplied;
//! the digest of a table is the number of its rows and the sum of their hashes.
//! Sums can be added and subtracted, so that what a table must become is known
//! before it is made:
//!
//! ```text
//! digest(result) = digest(now) - digest(rows that are replaced) + digest(what replaces them)
//! ```
//!
//! The product is what keeps the two sums from being blind to the same things:
//! CRCs are linear, so that values that changed places between two rows would
//! show in plain sums of them much less often than chance allows.
//!
//! It tells mistakes, not malice: it is no cryptographic hash.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The digest of any number of rows.
///
/// Sums wrap, so that a difference may be taken before what it is taken from is
/// complete.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct RowDigest {
    /// How many rows.
    rows: u64,
    /// The sum of their hashes.
    sum: u128,
}

impl RowDigest {
    /// The digest of `rows` rows whose hashes have the sum `sum`.
    #[must_use]
    pub fn new(rows: u64, sum: u128) -> Self {
        Self { rows, sum }
    }

    /// How many rows it covers.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Covers another row, of that hash.
    pub fn add_hash(&mut self, hash: u64) {
        self.add_hashes(hash, 1);
    }

    /// Covers `count` more rows, all of that hash.
    pub fn add_hashes(&mut self, hash: u64, count: u64) {
        // At most 2^128 - 2^65 + 1: no overflow.
        self.add(&Self::new(count, u128::from(hash) * u128::from(count)));
    }

    /// Covers what `other` covers as well.
    pub fn add(&mut self, other: &Self) {
        self.rows = self.rows.wrapping_add(other.rows);
        self.sum = self.sum.wrapping_add(other.sum);
    }

    /// Covers what `other` covers no longer.
    pub fn subtract(&mut self, other: &Self) {
        self.rows = self.rows.wrapping_sub(other.rows);
        self.sum = self.sum.wrapping_sub(other.sum);
    }
}

/// The number of rows and the sum, in hexadecimal digits: `rows:sum`.
impl fmt::Display for RowDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}:{:032x}", self.rows, self.sum)
    }
}

impl From<RowDigest> for String {
    fn from(digest: RowDigest) -> Self {
        digest.to_string()
    }
}

/// A text that is not a digest.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("read a digest: it is not ROWS:SUM in hexadecimal digits")]
pub struct NotADigest;

impl TryFrom<String> for RowDigest {
    type Error = NotADigest;

    fn try_from(text: String) -> Result<Self, NotADigest> {
        let (rows, sum) = text.split_once(':').ok_or(NotADigest)?;
        Ok(Self {
            rows: u64::from_str_radix(rows, 16).map_err(|_| NotADigest)?,
            sum: u128::from_str_radix(sum, 16).map_err(|_| NotADigest)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_do_not_depend_on_order_and_can_be_taken_back() {
        let mut all = RowDigest::default();
        let mut back = RowDigest::default();
        let hashes = [3, u64::MAX, 0, 17, u64::MAX];
        for hash in hashes {
            all.add_hash(hash);
        }
        for hash in hashes.iter().rev() {
            back.add_hash(*hash);
        }
        assert_eq!(all, back);
        assert_eq!(all.rows(), 5);
        let mut twice = RowDigest::default();
        twice.add_hashes(u64::MAX, 2);
        let mut rest = RowDigest::default();
        for hash in [0, 3, 17] {
            rest.add_hash(hash);
        }
        // Below zero and up again.
        let mut difference = RowDigest::default();
        difference.subtract(&twice);
        difference.add(&all);
        assert_eq!(difference, rest);
    }

    #[test]
    fn a_digest_is_kept_as_text() {
        let digest = RowDigest::new(0x10, u128::MAX - 1);
        let text = serde_json::to_string(&digest).unwrap();
        assert_eq!(text, "\"10:fffffffffffffffffffffffffffffffe\"");
        assert_eq!(serde_json::from_str::<RowDigest>(&text).unwrap(), digest);
        for bad in ["\"\"", "\"1\"", "\"x:1\"", "\"1:\"", "3"] {
            assert!(serde_json::from_str::<RowDigest>(bad).is_err(), "{bad}");
        }
    }
}
