//! How a job ends.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The three ways in which a job can end, across `kill -9` at any instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Done, and itself reversible until its safety point expires.
    Applied,
    /// All durable state as before it began.
    Reverted,
    /// Nothing moving, safe, with the exact next command. Its claims stay.
    Held,
}

impl Outcome {
    /// The word that is stored and shown.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Reverted => "reverted",
            Self::Held => "held",
        }
    }

    /// Reads [`Outcome::as_str`] back.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        match word {
            "applied" => Some(Self::Applied),
            "reverted" => Some(Self::Reverted),
            "held" => Some(Self::Held),
            _ => None,
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
