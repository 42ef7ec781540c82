//! The events that a server sends, as they are in its file.
//!
//! The client library opens the session. It cannot ask for the texts of
//! statements (`BINLOG_SEND_ANNOTATE_ROWS_EVENT`), takes each event apart and
//! panics on some, so the dump itself is asked for and read here, on a second
//! handle of the session's socket. Where there is none to be had (the session
//! is encrypted, or the kernel forbids it) the library's stream is used.

use std::fs::File;
use std::io::{BufReader, ErrorKind, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};

use mysql::{BinlogRequest, BinlogStream, Conn};

use super::pull::{PullFrom, malformed, server};
use crate::error::{Error, Result};
use crate::event::{HEADER_BYTES, Header, Kind};

/// Small events come many at once.
const BUFFER_BYTES: usize = 256 << 10;

/// A packet of this length goes on in the next.
const PACKET_BYTES_MAX: usize = 0x00ff_ffff;

/// What the server sends.
pub(super) enum Stream {
    Socket {
        socket: BufReader<File>,
        /// Holds the session.
        _conn: Box<Conn>,
    },
    Library(Box<BinlogStream>),
}

impl Stream {
    /// Asks for the events of a file from a byte on, and all that follow.
    pub(super) fn begin(conn: Conn, from: &PullFrom, file: &str, at: u64) -> Result<Self> {
        let is_plain = from.socket.is_some() || from.tls.is_none();
        if let Some(socket) = is_plain.then(|| second_handle(&conn)).flatten() {
            return Self::ask(socket, conn, from, file, at);
        }
        tracing::info!("the texts of statements are not archived: the session is encrypted");
        let request = BinlogRequest::new(from.server_id)
            .with_filename(file.as_bytes().to_vec())
            .with_pos(at);
        conn.get_binlog_stream(request)
            .map(|stream| Self::Library(Box::new(stream)))
            .map_err(server)
    }

    fn ask(mut socket: File, conn: Conn, from: &PullFrom, file: &str, at: u64) -> Result<Self> {
        const COM_BINLOG_DUMP: u8 = 0x12;
        const SEND_ANNOTATE_ROWS: u16 = 2;
        let at = u32::try_from(at).map_err(|_| malformed("an offset"))?;
        let mut packet = vec![0; 4];
        packet.push(COM_BINLOG_DUMP);
        packet.extend_from_slice(&at.to_le_bytes());
        packet.extend_from_slice(&SEND_ANNOTATE_ROWS.to_le_bytes());
        packet.extend_from_slice(&from.server_id.to_le_bytes());
        packet.extend_from_slice(file.as_bytes());
        let length = u32::try_from(packet.len() - 4).unwrap_or(0).to_le_bytes();
        packet[..3].copy_from_slice(&length[..3]);
        socket.write_all(&packet).map_err(|e| lost(&e))?;
        Ok(Self::Socket {
            socket: BufReader::with_capacity(BUFFER_BYTES, socket),
            _conn: Box::new(conn),
        })
    }

    /// The next event, into `raw`; `false` when the server has ended the stream.
    pub(super) fn next(&mut self, raw: &mut Vec<u8>) -> Result<bool> {
        match self {
            Self::Socket { socket, .. } => {
                if !packet(socket, raw)? {
                    return Ok(false);
                }
            }
            Self::Library(stream) => match stream.next() {
                Some(event) => rebuild(&event.map_err(server)?, raw),
                None => return Ok(false),
            },
        }
        if Header::read(raw).is_none_or(|header| header.bytes as usize != raw.len()) {
            return Err(malformed("an event of another length than it says"));
        }
        Ok(true)
    }
}

/// The session's socket once more. (To borrow a descriptor by its number would
/// be unsafe; asking the kernel for another of ours is not.)
fn second_handle(conn: &Conn) -> Option<File> {
    let me = rustix::process::pidfd_open(
        rustix::process::getpid(),
        rustix::process::PidfdFlags::empty(),
    )
    .ok()?;
    let again: OwnedFd = rustix::process::pidfd_getfd(
        me,
        conn.as_raw_fd(),
        rustix::process::PidfdGetfdFlags::empty(),
    )
    .ok()?;
    Some(File::from(again))
}

/// Reads one event, of one packet or several. `false` at the end.
fn packet(socket: &mut BufReader<File>, raw: &mut Vec<u8>) -> Result<bool> {
    raw.clear();
    let mut first = true;
    loop {
        let mut head = [0; 4];
        socket.read_exact(&mut head).map_err(|e| lost(&e))?;
        let mut length =
            usize::from(head[0]) | usize::from(head[1]) << 8 | usize::from(head[2]) << 16;
        let goes_on = length == PACKET_BYTES_MAX;
        if first {
            let mut kind = [0];
            socket.read_exact(&mut kind).map_err(|e| lost(&e))?;
            length = length.saturating_sub(1);
            match kind[0] {
                0 => {}
                0xff => {
                    raw.resize(length, 0);
                    socket.read_exact(raw).map_err(|e| lost(&e))?;
                    return Err(refused(raw));
                }
                0xfe => return Ok(false),
                _ => return Err(malformed("a packet")),
            }
        }
        first = false;
        let at = raw.len();
        raw.resize(at + length, 0);
        socket.read_exact(&mut raw[at..]).map_err(|e| lost(&e))?;
        if !goes_on {
            return Ok(true);
        }
    }
}

fn refused(packet: &[u8]) -> Error {
    let (code, text) = packet.split_first_chunk().unwrap_or((&[0, 0], packet));
    let text = match text {
        [b'#', _, _, _, _, _, text @ ..] => text,
        text => text,
    };
    Error::Server {
        why: format!(
            "{} ({})",
            String::from_utf8_lossy(text),
            u16::from_le_bytes(*code)
        ),
        passing: true,
    }
}

fn lost(error: &std::io::Error) -> Error {
    let why = match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut => "the server has gone silent".to_owned(),
        ErrorKind::UnexpectedEof => "the server ended the connection".to_owned(),
        _ => error.to_string(),
    };
    Error::Server { why, passing: true }
}

/// The bytes of an event that the library took apart.
fn rebuild(event: &mysql::binlog::events::Event, raw: &mut Vec<u8>) {
    let header = event.header();
    raw.clear();
    raw.reserve(HEADER_BYTES + event.data().len() + 5);
    raw.extend_from_slice(&header.timestamp().to_le_bytes());
    raw.push(header.event_type_raw());
    raw.extend_from_slice(&header.server_id().to_le_bytes());
    raw.extend_from_slice(&header.event_size().to_le_bytes());
    raw.extend_from_slice(&header.log_pos().to_le_bytes());
    raw.extend_from_slice(&header.flags_raw().to_le_bytes());
    raw.extend_from_slice(event.data());
    if header.event_type_raw() == Kind::FORMAT_DESCRIPTION.0
        && let Ok(Some(algorithm)) = event.footer().get_checksum_alg()
    {
        raw.push(algorithm as u8);
    }
    if let Some(checksum) = event.checksum() {
        raw.extend_from_slice(&checksum);
    }
}
