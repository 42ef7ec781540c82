//! Fencing tokens.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A fencing token: it grows each time a job changes hands. Every write to the
/// store, and every effect on something real, names the token it was begun
/// with; a smaller one than was seen before is refused.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Fence(pub i64);

impl fmt::Display for Fence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}
