//! Everything that can go wrong with a database server.

use std::io;
use std::path::{Path, PathBuf};

use backout_core::code::Code;
use backout_history::TableName;

/// As everywhere in this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why something with a database server did not work. Every text is a fragment
/// that fits "failed to ...". No text holds a password.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The URL of a server is not one.
    #[error("read the URL of the database server: {why}")]
    BadEndpoint {
        /// What is wrong, and what is wanted.
        why: String,
    },
    /// The server cannot be reached, or does not let us in.
    #[error("connect to the database server {server}: {why}")]
    Unreachable {
        /// Where it should be, without a password.
        server: String,
        /// Why, and what to do.
        why: String,
        /// Whether it may work when repeated.
        passing: bool,
    },
    /// The connection was lost in the middle.
    #[error("{doing} on {server}: the connection was lost ({why}); see whether the server runs")]
    Lost {
        /// Where the server is.
        server: String,
        /// What was being done, e.g. `copy shop.orders`.
        doing: String,
        /// The cause, in words.
        why: String,
    },
    /// The server refused a statement.
    #[error("{doing}: the server said {number}: {why}")]
    Refused {
        /// What was being done.
        doing: String,
        /// The server's number for it, e.g. 1205.
        number: u16,
        /// The server's words.
        why: String,
    },
    /// A setting of the server stands in the way.
    #[error("{why}")]
    Settings {
        /// A fragment, with the statement that fixes it.
        why: String,
    },
    /// A table cannot be handled this way.
    #[error("{doing} {table}: {why}")]
    Table {
        /// A verb, e.g. `copy`.
        doing: &'static str,
        /// The table.
        table: TableName,
        /// Why, and what can be done instead.
        why: String,
    },
    /// The table that was asked for is not there.
    #[error("find the table {table}: there is none of this name; see `SHOW TABLES`")]
    NoTable {
        /// The table.
        table: TableName,
    },
    /// The name is taken.
    #[error("make {table}: the name is taken; choose another, or drop what has it")]
    TargetExists {
        /// The table (or view).
        table: TableName,
    },
    /// The server, or what is on it, is not in a state for this.
    #[error("{what}: {why}")]
    State {
        /// What was tried, e.g. `start the scratch server`.
        what: String,
        /// What stands in the way, and what to do.
        why: String,
    },
    /// What cannot be taken up again was cut off in the middle.
    #[error("{what}: it was cut off in the middle ({why}); begin again with a new copy")]
    Interrupted {
        /// What was tried, e.g. `import shop.orders`.
        what: String,
        /// What was found.
        why: String,
    },
    /// Rows that are to be taken back were changed by someone else since.
    #[error("take back rows of {table}: {why}")]
    RowsChanged {
        /// The table.
        table: TableName,
        /// Which rows, and what to do.
        why: String,
    },
    /// The result is not what was computed.
    #[error("prove {table}: {why}")]
    Proof {
        /// The table.
        table: TableName,
        /// What differs.
        why: String,
    },
    /// A backup is not usable.
    #[error("use the backup {}: {why}", .folder.display())]
    Backup {
        /// Its folder.
        folder: PathBuf,
        /// Why not, and what to do.
        why: String,
    },
    /// A tool of the server failed.
    #[error("{doing} with {tool}: {why}")]
    Tool {
        /// The program, e.g. `mariadb-backup`.
        tool: &'static str,
        /// What it was asked to do.
        doing: String,
        /// Its last words.
        why: String,
        /// Whether it may work when repeated.
        passing: bool,
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
        source: io::Error,
    },
    /// A managed process could not be started, seen or ended.
    #[error("{doing}")]
    Process {
        /// What was tried, e.g. `start the database server`.
        doing: String,
        /// Why.
        #[source]
        source: backout_shim::Error,
    },
    /// History could not be read or reduced.
    #[error(transparent)]
    History(#[from] backout_history::Error),
    /// Whoever asked wants it no longer.
    #[error("stop on request")]
    Cancelled,
}

/// Numbers of the server's errors, with the names that it gives them.
#[expect(
    missing_docs,
    reason = "they have the names that the server gives them"
)]
pub mod number {
    pub const CON_COUNT: u16 = 1040;
    pub const DBACCESS_DENIED: u16 = 1044;
    pub const ACCESS_DENIED: u16 = 1045;
    pub const BAD_DB: u16 = 1049;
    pub const BAD_FIELD: u16 = 1054;
    pub const TABLE_EXISTS: u16 = 1050;
    pub const SERVER_SHUTDOWN: u16 = 1053;
    pub const DUP_ENTRY: u16 = 1062;
    pub const NO_SUCH_TABLE: u16 = 1146;
    pub const NO_SUCH_THREAD: u16 = 1094;
    pub const NO_SUCH_TRIGGER: u16 = 1360;
    pub const NO_SUCH_ROUTINE: u16 = 1305;
    pub const NO_SUCH_EVENT: u16 = 1539;
    pub const VIEW_INVALID: u16 = 1356;
    pub const UNKNOWN_SYSTEM_VARIABLE: u16 = 1193;
    pub const CHECKREAD: u16 = 1020;
    pub const DISK_FULL: u16 = 1021;
    pub const KEY_NOT_FOUND: u16 = 1032;
    pub const RECORD_FILE_FULL: u16 = 1114;
    pub const TOO_MANY_USER_CONNECTIONS: u16 = 1203;
    pub const LOCK_WAIT_TIMEOUT: u16 = 1205;
    pub const LOCK_DEADLOCK: u16 = 1213;
    pub const SPECIFIC_ACCESS_DENIED: u16 = 1227;
    pub const OPTION_PREVENTS_STATEMENT: u16 = 1290;
    pub const QUERY_INTERRUPTED: u16 = 1317;
    pub const CONNECTION_KILLED: u16 = 1927;
    pub const STATEMENT_TIMEOUT: u16 = 1969;
}

/// What may pass by itself: locks that others hold, and limits on how many are
/// connected.
const PASSING: [u16; 9] = [
    number::CHECKREAD,
    number::CON_COUNT,
    number::SERVER_SHUTDOWN,
    number::TOO_MANY_USER_CONNECTIONS,
    number::LOCK_WAIT_TIMEOUT,
    number::LOCK_DEADLOCK,
    number::QUERY_INTERRUPTED,
    number::CONNECTION_KILLED,
    number::STATEMENT_TIMEOUT,
];

impl Error {
    /// For `map_err` on file operations.
    pub fn io(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io {
            doing,
            path,
            source,
        }
    }

    /// Our code for it.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::BadEndpoint { .. } => Code::BadRequest,
            Self::Unreachable { .. } | Self::Lost { .. } => Code::DatabaseUnreachable,
            Self::Refused { number, .. } => match *number {
                number::DISK_FULL | number::RECORD_FILE_FULL => Code::NoSpace,
                number::TABLE_EXISTS => Code::TargetExists,
                _ => Code::DatabaseRefused,
            },
            Self::Settings { .. } => Code::DatabaseSettings,
            Self::Table { .. } => Code::TableUnsupported,
            Self::NoTable { .. } => Code::NotFound,
            Self::TargetExists { .. } => Code::TargetExists,
            Self::State { .. } | Self::Interrupted { .. } => Code::DatabaseState,
            Self::RowsChanged { .. } => Code::RowsChanged,
            Self::Proof { .. } => Code::ProofFailed,
            Self::Backup { .. } => Code::BackupState,
            Self::Tool { .. } => Code::BackupTool,
            Self::Io { source, .. } if source.kind() == io::ErrorKind::StorageFull => Code::NoSpace,
            Self::Io { .. } => Code::ArchiveIo,
            Self::Process { .. } => Code::ProcessStart,
            Self::History(e) => e.code(),
            Self::Cancelled => Code::Cancelled,
        }
    }

    /// Whether it may work when repeated.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Unreachable { passing, .. } | Self::Tool { passing, .. } => *passing,
            Self::Lost { .. } => true,
            Self::Refused { number, .. } => PASSING.contains(number),
            Self::History(e) => e.is_passing(),
            _ => false,
        }
    }

    /// The server's number for it, when it is the server that refused.
    #[must_use]
    pub const fn number(&self) -> Option<u16> {
        match self {
            Self::Refused { number, .. } => Some(*number),
            _ => None,
        }
    }
}
