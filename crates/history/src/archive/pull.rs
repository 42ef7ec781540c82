//! Follows a server: its binary logs are pulled over the replication protocol.

use std::path::PathBuf;

use super::Archive;
use crate::change::Micros;
use crate::error::Result;

/// Whom to pull from.
#[derive(Clone)]
pub struct PullFrom {
    /// The host; unused with a socket.
    pub host: String,
    /// The TCP port; unused with a socket.
    pub port: u16,
    /// A unix socket, preferred when there is one.
    pub socket: Option<PathBuf>,
    /// The user: needs REPLICATION SLAVE and (to list the logs) BINLOG MONITOR.
    pub user: String,
    /// The password.
    pub password: String,
    /// The number we register with; must differ from that of every server and
    /// replica, or the server ends the other's connection.
    pub server_id: u32,
    /// Whether to speak TLS (over TCP only).
    pub tls: bool,
}

impl std::fmt::Debug for PullFrom {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PullFrom")
            .field("host", &self.host)
            .field("port", &self.port)
            .field("socket", &self.socket)
            .field("user", &self.user)
            .field("server_id", &self.server_id)
            .finish_non_exhaustive()
    }
}

/// Pulls until `stop` says so (then `Ok`) or something fails. Continues at the
/// exact byte where the archive ends; begins with the oldest log that the
/// server still has. Purged logs, reset logs and rotation are dealt with. Call
/// it again when the error [is passing](crate::Error::is_passing).
///
/// # Errors
/// [`crate::Error::Server`], [`crate::Error::Archive`],
/// [`crate::Error::Damaged`].
pub fn pull(
    _archive: &Archive,
    _from: &PullFrom,
    _clock: &(dyn Fn() -> Micros + Sync),
    _stop: &dyn Fn() -> bool,
) -> Result<()> {
    Err(super::unfinished())
}
