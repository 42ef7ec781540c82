//! Why a rule is refused.

use backout_core::code::Code;
use backout_core::ids::FaultId;
use backout_store::Error as StoreError;

use crate::model::{COUNT_MAX, LASTS_S_MAX, RULES_MAX};

/// Why a rule could not be added, found or removed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The store did not do it.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A text is empty, too long, or has characters that it must not have.
    #[error("accept the {what} {text:?}: give {expected}")]
    Text {
        /// Which text.
        what: &'static str,
        /// It, cut.
        text: String,
        /// What it may be.
        expected: String,
    },
    /// A count of none, or beyond all use.
    #[error("let a fault happen {count} times: give 1 to {COUNT_MAX}, or none for no limit")]
    Count {
        /// What was asked for.
        count: u32,
    },
    /// A time of none, or longer than a test lasts.
    #[error("keep a fault for {lasts_s} s: give 1 to {LASTS_S_MAX} seconds, or none for no limit")]
    Lasts {
        /// What was asked for.
        lasts_s: u32,
    },
    /// No such kind of job.
    #[error("let a step of {procedure:?} fail: there is no such procedure, give one of {known}")]
    UnknownProcedure {
        /// What was asked for, cut.
        procedure: String,
        /// Those that there are.
        known: String,
    },
    /// No such step.
    #[error("let the step {step:?} of {procedure} fail: it has no such step, give one of {known}")]
    UnknownStep {
        /// The procedure.
        procedure: String,
        /// What was asked for, cut.
        step: String,
        /// Those that it has.
        known: String,
    },
    /// The step is never undone.
    #[error("let the undo of {procedure}/{step} fail: that step has none, choose another step")]
    NoUndo {
        /// The procedure.
        procedure: String,
        /// The step.
        step: String,
    },
    /// The owner has as many rules as it may.
    #[error("add a fault: there are {RULES_MAX}, the most there may be, remove one first")]
    TooMany,
    /// No such rule.
    #[error("find the fault {0}: there is none of this id, see the list of faults")]
    NotFound(FaultId),
}

impl Error {
    /// Our stable code.
    #[must_use]
    pub const fn code(&self) -> Code {
        match self {
            Self::Store(_) => Code::Store,
            Self::NotFound(_) => Code::NotFound,
            Self::Text { .. }
            | Self::Count { .. }
            | Self::Lasts { .. }
            | Self::UnknownProcedure { .. }
            | Self::UnknownStep { .. }
            | Self::NoUndo { .. }
            | Self::TooMany => Code::BadRequest,
        }
    }
}
