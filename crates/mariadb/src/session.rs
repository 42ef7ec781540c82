//! A connection to a server, with settings of ours: UTC, UTF-8, strict values,
//! and no habit of the server's configuration that would change what a
//! statement means.
//!
//! Invariants:
//! - names and values are quoted by [`ident`], [`quoted`] and [`text`], never
//!   pasted;
//! - errors carry what was being done, and never a password.

use std::sync::{Arc, mpsc};
use std::time::Duration;

use backout_history::TableName;
use mysql::prelude::{FromRow, Queryable};
use mysql::{Conn, OptsBuilder};

use crate::endpoint::Endpoint;
use crate::error::{Error, Result, number};
use crate::watch::{self, Busy, Line};

/// How long a TCP connection may take to come up.
const CONNECT_PATIENCE: Duration = Duration::from_secs(5);

/// How long the server may take to greet us and check the password: a server
/// that is stopped in its tracks accepts connections and says nothing.
const GREETING_PATIENCE: Duration = Duration::from_secs(15);

/// After how long a silent peer is asked whether it is still there, and how
/// often: a host that is gone is noticed within a minute, however long a
/// statement may take.
const KEEPALIVE_MS: u32 = 20_000;
const KEEPALIVE_INTERVAL_S: u32 = 10;
const KEEPALIVE_PROBES: u32 = 4;
const UNACKNOWLEDGED_MS: u32 = 60_000;

/// What a session sets before anything else. Strict, so that no value is
/// changed silently; zero keys and odd dates are let through, since they may
/// be in the data. Locks are waited for briefly: whoever waits holds others up.
/// Long lists of keys stay ranges of the key.
const SETTINGS: &str = "SET NAMES utf8mb4, \
    SESSION sql_mode='STRICT_ALL_TABLES,NO_AUTO_VALUE_ON_ZERO,ALLOW_INVALID_DATES', \
    SESSION time_zone='+00:00', SESSION autocommit=1, SESSION completion_type=0, \
    SESSION wait_timeout=28800, SESSION net_read_timeout=600, SESSION net_write_timeout=600, \
    SESSION lock_wait_timeout=60, SESSION innodb_lock_wait_timeout=10, \
    SESSION sql_quote_show_create=1, SESSION sql_auto_is_null=0, SESSION sql_big_selects=1, \
    SESSION sql_safe_updates=0, SESSION sql_select_limit=18446744073709551615, \
    SESSION foreign_key_checks=1, SESSION unique_checks=1 \
    /*M! , SESSION max_statement_time=0, SESSION idle_transaction_timeout=0, \
    SESSION idle_write_transaction_timeout=0, SESSION idle_readonly_transaction_timeout=0, \
    SESSION check_constraint_checks=1, SESSION in_predicate_conversion_threshold=0 */";

/// Takes back what was set for values that are bytes.
pub(crate) const RESET_NAMES: &str = "SET NAMES utf8mb4, \
    SESSION sql_mode='STRICT_ALL_TABLES,NO_AUTO_VALUE_ON_ZERO,ALLOW_INVALID_DATES'";

/// A connection to a server. It is closed when it is dropped; a transaction
/// that is open is then rolled back by the server.
pub struct Session {
    conn: Conn,
    endpoint: Endpoint,
    /// The endpoint for people.
    server: String,
    /// `max_allowed_packet`, in bytes.
    packet_bytes: u64,
    /// What ends statements on a server that hangs.
    line: Option<Arc<Line>>,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Session({}, {})", self.server, self.conn.connection_id())
    }
}

impl Session {
    /// Connects, and makes the settings.
    ///
    /// # Errors
    /// [`Error::Unreachable`] when the server does not answer within 20
    /// seconds or does not let us in, [`Error::Refused`] when it refuses a
    /// setting.
    pub fn open(endpoint: &Endpoint) -> Result<Self> {
        let conn = connect(endpoint, CONNECT_PATIENCE + GREETING_PATIENCE)?;
        let line = watch::watched(&conn, endpoint);
        Self::set_up(conn, endpoint, line)
    }

    /// As [`Session::open`], looked after by another watch than the usual.
    #[cfg(all(test, feature = "testing"))]
    pub(crate) fn open_watched(endpoint: &Endpoint, watch: &watch::Watch) -> Result<Self> {
        let conn = connect(endpoint, CONNECT_PATIENCE + GREETING_PATIENCE)?;
        let line = watch.line(&conn, endpoint);
        assert!(line.is_some(), "its socket cannot be had");
        Self::set_up(conn, endpoint, line)
    }

    fn set_up(conn: Conn, endpoint: &Endpoint, line: Option<Arc<Line>>) -> Result<Self> {
        let mut session = Self {
            conn,
            endpoint: endpoint.clone(),
            server: endpoint.to_string(),
            packet_bytes: 0,
            line,
        };
        session.exec("set up the session", SETTINGS)?;
        session.packet_bytes = session
            .first("set up the session", "SELECT @@max_allowed_packet")?
            .unwrap_or(PACKET_BYTES_MIN);
        Ok(session)
    }

    /// Another connection to the same server, as the same user.
    ///
    /// # Errors
    /// As [`Session::open`].
    pub fn another(&self) -> Result<Self> {
        Self::open(&self.endpoint)
    }

    /// Where it leads.
    #[must_use]
    pub const fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Its number on the server.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.conn.connection_id()
    }

    /// How long a statement may be, in bytes.
    #[must_use]
    pub const fn packet_bytes(&self) -> u64 {
        self.packet_bytes
    }

    /// Runs a statement and tells how many rows it affected. `doing` is a
    /// fragment that fits "failed to ...".
    ///
    /// # Errors
    /// [`Error::Refused`], [`Error::Lost`].
    pub fn exec(&mut self, doing: &str, sql: impl AsRef<str>) -> Result<u64> {
        let _busy = Busy::on(self.line.as_ref());
        match self.conn.query_drop(sql) {
            Ok(()) => Ok(self.conn.affected_rows()),
            Err(e) => Err(self.fault(doing, e)),
        }
    }

    /// Runs a query and takes all its rows: for answers of bounded size.
    ///
    /// # Errors
    /// As [`Session::exec`]; [`Error::State`] when a row is not as expected.
    pub fn query<T: FromRow>(&mut self, doing: &str, sql: impl AsRef<str>) -> Result<Vec<T>> {
        let mut all = Vec::new();
        self.each(doing, sql, |row| {
            all.push(take(doing, row)?);
            Ok(())
        })?;
        Ok(all)
    }

    /// The first row of a query's answer.
    ///
    /// # Errors
    /// As [`Session::query`].
    pub fn first<T: FromRow>(&mut self, doing: &str, sql: impl AsRef<str>) -> Result<Option<T>> {
        let _busy = Busy::on(self.line.as_ref());
        let row: std::result::Result<Option<mysql::Row>, _> = self.conn.query_first(sql);
        match row {
            Ok(row) => row.map(|row| take(doing, row)).transpose(),
            Err(e) => Err(self.fault(doing, e)),
        }
    }

    /// Runs a query and hands its rows on one by one, as they come: for
    /// answers of any size. When `row` fails, the rest is read and dropped.
    ///
    /// # Errors
    /// As [`Session::exec`], and what `row` returns.
    pub fn each(
        &mut self,
        doing: &str,
        sql: impl AsRef<str>,
        mut row: impl FnMut(mysql::Row) -> Result<()>,
    ) -> Result<()> {
        let server = &self.server;
        let mut busy = Busy::on(self.line.as_ref());
        let rows = self
            .conn
            .query_iter(sql)
            .map_err(|e| fault(server, doing, e))?;
        for next in rows {
            let next = next.map_err(|e| fault(server, doing, e))?;
            // What is done with a row is not waited for.
            drop(busy);
            row(next)?;
            busy = Busy::on(self.line.as_ref());
        }
        Ok(())
    }

    /// Whether the connection still stands.
    ///
    /// # Errors
    /// [`Error::Lost`].
    pub fn ping(&mut self) -> Result<()> {
        self.conn.ping().map_err(|e| self.fault("ask for life", e))
    }

    /// The client's connection, for what is not wrapped here.
    pub const fn conn(&mut self) -> &mut Conn {
        &mut self.conn
    }

    /// Our error for one of the client's.
    #[must_use]
    pub fn fault(&self, doing: &str, error: mysql::Error) -> Error {
        fault(&self.server, doing, error)
    }
}

/// A connection, without settings.
fn connect(endpoint: &Endpoint, patience: Duration) -> Result<Conn> {
    let server = endpoint.to_string();
    greeted(endpoint, opts(endpoint), patience)?
        .ok_or_else(|| Error::Unreachable {
            server: server.clone(),
            why: "it accepts connections but does not greet; see whether it hangs".to_owned(),
            passing: true,
        })?
        .map_err(|e| unreachable(&server, e))
}

/// Whether a server greets who comes, be it to say no.
pub(crate) fn greets(endpoint: &Endpoint, patience: Duration) -> bool {
    // Its thread ends with the patience: it is asked again and again.
    let opts = opts(endpoint).read_timeout(Some(patience));
    match greeted(endpoint, opts, patience) {
        Ok(None) | Ok(Some(Err(mysql::Error::DriverError(_) | mysql::Error::IoError(_)))) => false,
        // That no thread could be started tells nothing of the server.
        Ok(Some(_)) | Err(_) => true,
    }
}

/// What becomes of a new connection; `None` when nothing does in time.
fn greeted(
    endpoint: &Endpoint,
    opts: OptsBuilder,
    patience: Duration,
) -> Result<Option<mysql::Result<Conn>>> {
    let (sender, receiver) = mpsc::sync_channel(1);
    // In a thread of its own, since the client has no limit for the time until
    // the greeting. A thread that is left behind ends with the connection.
    std::thread::Builder::new()
        .name("backout-connect".to_owned())
        .spawn(move || {
            // Nobody listens any more: the connection is closed.
            let _ = sender.send(Conn::new(opts));
        })
        .map_err(|e| Error::Unreachable {
            server: endpoint.to_string(),
            why: format!("no thread could be started: {e}"),
            passing: true,
        })?;
    Ok(receiver.recv_timeout(patience).ok())
}

/// The least `max_allowed_packet` that servers allow.
const PACKET_BYTES_MIN: u64 = 1024;

fn opts(endpoint: &Endpoint) -> OptsBuilder {
    let tls = endpoint.tls.options().filter(|_| endpoint.socket.is_none());
    OptsBuilder::new()
        .ip_or_hostname(Some(endpoint.host.clone()))
        .tcp_port(endpoint.port)
        .socket(
            endpoint
                .socket
                .as_ref()
                .map(|path| path.to_string_lossy().into_owned()),
        )
        .user(Some(endpoint.user.clone()))
        .pass(Some(endpoint.password.expose()))
        // It would leave TCP for a socket that the server names.
        .prefer_socket(false)
        .ssl_opts(tls)
        .tcp_connect_timeout(Some(CONNECT_PATIENCE))
        .tcp_keepalive_time_ms(Some(KEEPALIVE_MS))
        .tcp_keepalive_probe_interval_secs(Some(KEEPALIVE_INTERVAL_S))
        .tcp_keepalive_probe_count(Some(KEEPALIVE_PROBES))
        .tcp_user_timeout_ms(Some(UNACKNOWLEDGED_MS))
}

fn take<T: FromRow>(doing: &str, row: mysql::Row) -> Result<T> {
    mysql::from_row_opt(row).map_err(|_| Error::State {
        what: doing.to_owned(),
        why: "the server's answer has not the form that was expected; see its version".to_owned(),
    })
}

fn unreachable(server: &str, error: mysql::Error) -> Error {
    let (why, passing) = match error {
        mysql::Error::MySqlError(e) => match e.code {
            number::ACCESS_DENIED | number::DBACCESS_DENIED => (
                format!("{}; check the user and the password", e.message),
                false,
            ),
            _ => (
                format!("{} ({})", e.message, e.code),
                is_passing_at_the_door(e.code),
            ),
        },
        mysql::Error::TlsError(e) => (format!("{e}; see the tls parameter of the URL"), false),
        mysql::Error::DriverError(mysql::DriverError::TlsNotSupported) => (
            "it offers no TLS; give it a certificate, or say tls=off in the URL".to_owned(),
            false,
        ),
        mysql::Error::DriverError(mysql::DriverError::UnknownAuthPlugin(plugin)) => (
            format!("the account is checked by {plugin:?}, which is not supported; use a password"),
            false,
        ),
        mysql::Error::DriverError(mysql::DriverError::CouldNotConnect(Some((_, why, _)))) => {
            (format!("{why}; see whether the server runs"), true)
        }
        e => (format!("{}; see whether the server runs", words(e)), true),
    };
    Error::Unreachable {
        server: server.to_owned(),
        why,
        passing,
    }
}

fn is_passing_at_the_door(code: u16) -> bool {
    matches!(
        code,
        number::CON_COUNT | number::SERVER_SHUTDOWN | number::TOO_MANY_USER_CONNECTIONS
    )
}

fn fault(server: &str, doing: &str, error: mysql::Error) -> Error {
    match error {
        mysql::Error::MySqlError(e)
            if !matches!(e.code, number::SERVER_SHUTDOWN | number::CONNECTION_KILLED) =>
        {
            Error::Refused {
                doing: doing.to_owned(),
                number: e.code,
                why: e.message,
            }
        }
        mysql::Error::DriverError(mysql::DriverError::PacketTooLarge) => Error::Settings {
            why: format!(
                "{doing}: a statement is longer than the server takes; \
                 `SET GLOBAL max_allowed_packet=1073741824`"
            ),
        },
        e => Error::Lost {
            server: server.to_owned(),
            doing: doing.to_owned(),
            why: words(e),
        },
    }
}

fn words(error: mysql::Error) -> String {
    match error {
        mysql::Error::IoError(e) => e.to_string(),
        mysql::Error::CodecError(e) => e.to_string(),
        mysql::Error::MySqlError(e) => e.message,
        mysql::Error::DriverError(e) => e.to_string(),
        e => e.to_string(),
    }
}

/// A name, quoted for a statement.
#[must_use]
pub fn ident(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

/// A table's name, quoted for a statement.
#[must_use]
pub fn quoted(table: &TableName) -> String {
    format!("{}.{}", ident(&table.schema), ident(&table.table))
}

/// A text, quoted for a statement of a session of ours (whose `sql_mode`
/// lets a backslash escape).
#[must_use]
pub fn text(value: &str) -> String {
    let mut out = String::with_capacity(value.len() + 2);
    out.push('\'');
    for c in value.chars() {
        match c {
            '\'' => out.push_str("''"),
            '\\' => out.push_str("\\\\"),
            '\0' => out.push_str("\\0"),
            c => out.push(c),
        }
    }
    out.push('\'');
    out
}
