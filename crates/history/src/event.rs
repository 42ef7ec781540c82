//! Events: how a binary log is cut into pieces.

use crate::change::Position;
use crate::error::{Error, Result};

/// What every log file begins with.
pub const MAGIC: [u8; 4] = *b"\xfebin";

/// The length of an event's header, in bytes.
pub const HEADER_BYTES: usize = 19;

/// The length of a checksum, in bytes.
pub const CHECKSUM_BYTES: usize = 4;

/// The flag of an event that is there for one connection only, and not in the
/// file (`LOG_EVENT_ARTIFICIAL_F`).
pub const FLAG_ARTIFICIAL: u16 = 0x20;

/// The kind of an event: the number in its header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Kind(pub u8);

#[expect(
    missing_docs,
    reason = "they have the names that the protocol gives them"
)]
impl Kind {
    pub const QUERY: Self = Self(2);
    pub const STOP: Self = Self(3);
    pub const ROTATE: Self = Self(4);
    pub const INTVAR: Self = Self(5);
    pub const RAND: Self = Self(13);
    pub const USER_VAR: Self = Self(14);
    pub const FORMAT_DESCRIPTION: Self = Self(15);
    pub const XID: Self = Self(16);
    pub const BEGIN_LOAD_QUERY: Self = Self(17);
    pub const EXECUTE_LOAD_QUERY: Self = Self(18);
    pub const TABLE_MAP: Self = Self(19);
    pub const WRITE_ROWS_V1: Self = Self(23);
    pub const UPDATE_ROWS_V1: Self = Self(24);
    pub const DELETE_ROWS_V1: Self = Self(25);
    pub const INCIDENT: Self = Self(26);
    pub const HEARTBEAT: Self = Self(27);
    pub const IGNORABLE: Self = Self(28);
    pub const ROWS_QUERY: Self = Self(29);
    pub const WRITE_ROWS: Self = Self(30);
    pub const UPDATE_ROWS: Self = Self(31);
    pub const DELETE_ROWS: Self = Self(32);
    /// `GTID_LOG_EVENT` of the family with uuids.
    pub const SOURCE_GTID: Self = Self(33);
    pub const ANONYMOUS_GTID: Self = Self(34);
    pub const PREVIOUS_GTIDS: Self = Self(35);
    pub const TRANSACTION_CONTEXT: Self = Self(36);
    pub const VIEW_CHANGE: Self = Self(37);
    pub const XA_PREPARE: Self = Self(38);
    pub const PARTIAL_UPDATE_ROWS: Self = Self(39);
    pub const TRANSACTION_PAYLOAD: Self = Self(40);
    pub const HEARTBEAT_V2: Self = Self(41);
    pub const TAGGED_GTID: Self = Self(42);
    pub const ANNOTATE_ROWS: Self = Self(160);
    pub const BINLOG_CHECKPOINT: Self = Self(161);
    /// The GTID event of triples.
    pub const GTID: Self = Self(162);
    pub const GTID_LIST: Self = Self(163);
    pub const START_ENCRYPTION: Self = Self(164);
    pub const QUERY_COMPRESSED: Self = Self(165);
    pub const WRITE_ROWS_COMPRESSED_V1: Self = Self(166);
    pub const UPDATE_ROWS_COMPRESSED_V1: Self = Self(167);
    pub const DELETE_ROWS_COMPRESSED_V1: Self = Self(168);
    pub const WRITE_ROWS_COMPRESSED: Self = Self(169);
    pub const UPDATE_ROWS_COMPRESSED: Self = Self(170);
    pub const DELETE_ROWS_COMPRESSED: Self = Self(171);
}

/// The header of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Unix seconds.
    pub time_s: u32,
    /// The kind.
    pub kind: Kind,
    /// Who wrote it first.
    pub server: u32,
    /// The length of the whole event: header, body, checksum.
    pub bytes: u32,
    /// Where the next event begins in its file; 0 in artificial events.
    pub next: u32,
    /// Flags.
    pub flags: u16,
}

impl Header {
    /// The header at the start of `raw`; `None` when `raw` is shorter than one,
    /// or its length is less than a header's.
    #[must_use]
    pub fn read(raw: &[u8]) -> Option<Self> {
        let raw: &[u8; HEADER_BYTES] = raw.first_chunk()?;
        let u32_at =
            |at: usize| u32::from_le_bytes([raw[at], raw[at + 1], raw[at + 2], raw[at + 3]]);
        let header = Self {
            time_s: u32_at(0),
            kind: Kind(raw[4]),
            server: u32_at(5),
            bytes: u32_at(9),
            next: u32_at(13),
            flags: u16::from_le_bytes([raw[17], raw[18]]),
        };
        (header.bytes as usize >= HEADER_BYTES).then_some(header)
    }
}

/// Whether events end with a checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checksum {
    /// They do not.
    None,
    /// A CRC-32 of all bytes before it.
    Crc32,
}

/// A whole event.
#[derive(Clone, Copy, Debug)]
pub struct Event<'a> {
    /// Its header.
    pub header: Header,
    /// What is between the header and the checksum.
    pub body: &'a [u8],
    /// All its bytes.
    pub raw: &'a [u8],
}

/// The event at the start of `raw`, its checksum compared; `None` when `raw`
/// ends before the event does. `at` is where it is, for messages.
///
/// # Errors
/// [`Error::Damaged`].
pub fn split<'a>(
    raw: &'a [u8],
    checksum: Checksum,
    at: impl Fn() -> Position,
) -> Result<Option<Event<'a>>> {
    if raw.len() < HEADER_BYTES {
        return Ok(None);
    }
    let damaged = |what: &str| Error::Damaged {
        at: at(),
        what: what.to_owned(),
    };
    let header =
        Header::read(raw).ok_or_else(|| damaged("an event's length is less than its header's"))?;
    let Some(raw) = raw.get(..header.bytes as usize) else {
        return Ok(None);
    };
    let end = match checksum {
        Checksum::None => raw.len(),
        Checksum::Crc32 => {
            let end = raw.len() - CHECKSUM_BYTES;
            if end < HEADER_BYTES {
                return Err(damaged("an event is too short to have a checksum"));
            }
            if !crc_holds(raw, header.kind) {
                return Err(damaged("an event does not have its checksum"));
            }
            end
        }
    };
    Ok(Some(Event {
        header,
        body: &raw[HEADER_BYTES..end],
        raw,
    }))
}

/// Whether the last four bytes are the CRC-32 of those before them. The format
/// description counts without its "in use" flag, which is set while the server
/// writes the file.
fn crc_holds(raw: &[u8], kind: Kind) -> bool {
    let (covered, sum) = raw.split_at(raw.len() - CHECKSUM_BYTES);
    let mut hasher = crc32fast::Hasher::new();
    if kind == Kind::FORMAT_DESCRIPTION {
        hasher.update(&covered[..17]);
        hasher.update(&[covered[17] & !1, covered[18]]);
        hasher.update(&covered[19..]);
    } else {
        hasher.update(covered);
    }
    hasher.finalize().to_le_bytes() == *sum
}

/// What a format description event says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Format {
    /// The version of the server that wrote the log, e.g.
    /// `10.11.6-MariaDB-log`.
    pub server_version: String,
    /// Whether the events after it end with a checksum.
    pub checksum: Checksum,
}

impl Format {
    /// What the event says; `body` is all that comes after the header, the
    /// checksum included. `None` when it is malformed, or of a format other
    /// than the one that there has been since 2005.
    #[must_use]
    pub fn read(body: &[u8]) -> Option<Self> {
        const VERSION: usize = 50;
        let version = body.get(2..2 + VERSION)?;
        if body.get(..2)? != [4, 0] || usize::from(*body.get(2 + VERSION + 4)?) != HEADER_BYTES {
            return None;
        }
        let end = version.iter().position(|b| *b == 0).unwrap_or(VERSION);
        let server_version = String::from_utf8_lossy(&version[..end]).into_owned();
        let mut numbers = server_version
            .split(|c: char| !c.is_ascii_digit())
            .map(|n| n.parse::<u32>().unwrap_or(0));
        let number = (numbers.next()?, numbers.next().unwrap_or(0));
        let first = if server_version.contains("MariaDB") {
            (5, 3)
        } else {
            (5, 6)
        };
        let checksum = if number < first {
            Checksum::None
        } else {
            match body.get(body.len().checked_sub(CHECKSUM_BYTES + 1)?)? {
                0 => Checksum::None,
                1 => Checksum::Crc32,
                _ => return None,
            }
        };
        Some(Self {
            server_version,
            checksum,
        })
    }
}
