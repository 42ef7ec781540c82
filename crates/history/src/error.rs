//! What may be wrong with a history.

use std::path::PathBuf;

use backout_core::code::Code;

use crate::change::Position;
use crate::value::ValueError;

/// As everywhere in this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why history could not be read, kept or reduced. Every text is a fragment
/// that fits "failed to ...".
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A log is torn, or does not have its checksum.
    #[error("read the binary log at {at}: {what}")]
    Damaged {
        /// Where.
        at: Position,
        /// What is wrong.
        what: String,
    },
    /// A log holds what cannot be reduced row by row.
    #[error("read the binary log at {at}: {what}")]
    Unsupported {
        /// Where.
        at: Position,
        /// What it is, by name, and what would avoid it.
        what: String,
    },
    /// The history asked for is not there.
    #[error("{what}")]
    Gap {
        /// What is missing and what is there, a fragment that fits "failed to".
        what: String,
    },
    /// A file operation failed.
    #[error("{doing} {}", .path.display())]
    Io {
        /// A verb, e.g. `write`.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A net effect could not be made, or is torn.
    #[error("{doing}: {what}")]
    Net {
        /// E.g. `reduce the changes of shop.orders`.
        doing: String,
        /// What stands in the way, and what to do.
        what: String,
        /// Whether it is the history that cannot be reduced; else it is
        /// damaged.
        unsupported: bool,
    },
    /// The archive could not be read or written.
    #[error("{doing}: {why}")]
    Archive {
        /// E.g. `write segment 12 of the archive`.
        doing: String,
        /// The cause, in words.
        why: String,
        /// Whether it may work when repeated.
        passing: bool,
    },
    /// The server could not be reached, or refused to send its log.
    #[error("follow the binary log of the server: {why}")]
    Server {
        /// The cause, in words.
        why: String,
        /// Whether it may work when repeated.
        passing: bool,
    },
    /// Values of a row cannot be told.
    #[error(transparent)]
    Value(#[from] ValueError),
    /// Whoever asked wants it no longer.
    #[error("stop on request")]
    Cancelled,
}

impl Error {
    /// Our code for it.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::Damaged { .. }
            | Self::Net {
                unsupported: false, ..
            } => Code::HistoryDamaged,
            Self::Unsupported { .. }
            | Self::Net {
                unsupported: true, ..
            } => Code::HistoryUnsupported,
            Self::Gap { .. } => Code::HistoryGap,
            Self::Io { source, .. } if source.kind() == std::io::ErrorKind::StorageFull => {
                Code::NoSpace
            }
            Self::Io { .. } | Self::Archive { .. } => Code::ArchiveIo,
            Self::Value(ValueError::Unsupported { .. }) => Code::TableUnsupported,
            Self::Value(_) => Code::HistoryDamaged,
            Self::Server { .. } => Code::DatabaseUnreachable,
            Self::Cancelled => Code::Cancelled,
        }
    }

    /// Whether it may work when repeated.
    #[must_use]
    pub const fn is_passing(&self) -> bool {
        match self {
            Self::Archive { passing, .. } | Self::Server { passing, .. } => *passing,
            _ => false,
        }
    }
}
