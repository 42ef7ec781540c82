//! What only the family with uuids writes: transactions compressed as a whole.
//!
//! The event begins with fields, each a type, a length and that many bytes, all
//! numbers packed; then come whole events without checksums, compressed by zstd
//! or not at all.

use std::fmt;
use std::io::{BufReader, Cursor, Read};

use crate::body::Fields;
use crate::event::{HEADER_BYTES, Header};

/// Greater than any event can be: the server's packets end at 1 GiB.
const EVENT_BYTES_MAX: u32 = 1 << 30;

/// The largest window that zstd gives a frame unless it is told to go beyond
/// (128 MiB, as a power of two): a frame that wants more is refused.
const WINDOW_LOG_MAX: u32 = 27;

/// The events of a transaction payload event.
pub(crate) struct Payload {
    events: Box<dyn Read + Send>,
}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Payload")
    }
}

impl Payload {
    /// Opens an event's body.
    pub(crate) fn open(body: &[u8]) -> Result<Self, &'static str> {
        const MALFORMED: &str = "a transaction payload is malformed";
        let mut fields = Fields::new(body);
        let (mut compression, mut size) = (255, None);
        loop {
            match fields.packed().ok_or(MALFORMED)? {
                0 => break,
                kind => {
                    let length = fields.packed().ok_or(MALFORMED)?;
                    let length = usize::try_from(length).map_err(|_| MALFORMED)?;
                    let mut value = Fields::new(fields.take(length).ok_or(MALFORMED)?);
                    match kind {
                        1 => size = Some(value.packed().ok_or(MALFORMED)?),
                        2 => compression = value.packed().ok_or(MALFORMED)?,
                        _ => {}
                    }
                }
            }
        }
        let rest = fields.rest();
        if size.is_some_and(|n| n != rest.len() as u64) {
            return Err(MALFORMED);
        }
        let raw = Cursor::new(rest.to_vec());
        let events: Box<dyn Read + Send> = match compression {
            0 => {
                let mut decoder =
                    zstd::stream::read::Decoder::with_buffer(raw).map_err(|_| MALFORMED)?;
                decoder
                    .window_log_max(WINDOW_LOG_MAX)
                    .map_err(|_| MALFORMED)?;
                Box::new(BufReader::new(decoder))
            }
            255 => Box::new(raw),
            _ => return Err("a transaction payload is compressed in an unknown way"),
        };
        Ok(Self { events })
    }

    /// Fills `event`, which is emptied first, with the next one; `false` at
    /// the end.
    pub(crate) fn next(&mut self, event: &mut Vec<u8>) -> Result<bool, &'static str> {
        const TORN: &str = "a transaction payload is torn";
        event.clear();
        let read = (&mut self.events)
            .take(HEADER_BYTES as u64)
            .read_to_end(event);
        match read {
            Ok(0) => return Ok(false),
            Ok(HEADER_BYTES) => {}
            _ => return Err(TORN),
        }
        let header = Header::read(event)
            .filter(|h| h.bytes <= EVENT_BYTES_MAX)
            .ok_or("an event of a transaction payload is malformed")?;
        let rest = u64::from(header.bytes) - HEADER_BYTES as u64;
        (&mut self.events)
            .take(rest)
            .read_to_end(event)
            .map_err(|_| TORN)?;
        if event.len() == header.bytes as usize {
            Ok(true)
        } else {
            Err(TORN)
        }
    }
}
