//! The control socket: one line of JSON each way, and more of them over one
//! connection.
//!
//! ```text
//! > {"v":1,"op":"apply","desired":{...}}
//! < {"ok":{...}}
//! > {"v":1,"op":"wait_drained","ids":["a"],"patience_ms":30000}
//! < {"ok":{"left":[]}}
//! ```

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::Refusal;
use crate::model::Desired;

/// The version of what is said here. Another is refused.
pub(crate) const VERSION: u32 = 1;

/// The longest question: what a gateway should do has at most 1024 backends,
/// each of some 200 bytes.
pub(crate) const ASK_MAX_BYTES: u64 = 1 << 20;

/// The longest answer: the status of as many, and of those that leave.
pub(crate) const ANSWER_MAX_BYTES: u64 = 8 << 20;

/// A question.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Ask {
    pub v: u32,
    #[serde(flatten)]
    pub op: Op,
}

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
pub(crate) enum Op {
    /// Do this from now on. Answered with the status.
    Apply { desired: Desired },
    /// Answered with the status.
    Status,
    /// Answered with what was told last.
    Desired,
    /// Answered when all these are drained, or when the time is over.
    WaitDrained { ids: Vec<String>, patience_ms: u64 },
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum Reply {
    Ok { ok: Value },
    Error { error: Refusal },
}
