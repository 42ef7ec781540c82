//! Where a reader gets the bytes of a history from.
//!
//! Architecture invariants:
//! - a block holds whole events only, each in the order of the log;
//! - blocks follow each other without a gap, unless the source leaves out what
//!   nobody asked for; then the block after the gap carries its context
//!   ([`Block::carry`]).

use std::collections::VecDeque;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use crate::change::Position;
use crate::error::{Error, Result};
use crate::event::{Checksum, Format, HEADER_BYTES, Header, Kind, MAGIC, split};

/// A run of whole events. The reader owns it and hands it to the source to be
/// filled again, so that its memory is used anew.
#[derive(Clone, Debug)]
pub struct Block {
    /// Where `raw` begins.
    pub at: Position,
    /// The events, whole, one after another.
    pub raw: Vec<u8>,
    /// Whether they (and those of `carry`) end with a checksum.
    pub checksum: Checksum,
    /// Events before `raw` that give it context. They are read for what they
    /// say and yield nothing. Read only when this block is the first, or does
    /// not begin where the one before it ended. It holds, in this order:
    /// - whole groups of XA transactions that were prepared before and not
    ///   ended since (from their GTID event to their `XA PREPARE`),
    /// - when `raw` begins within a group: that group's GTID event (with the
    ///   `BEGIN` or `XA START` after it, where there is one), and the table
    ///   maps of the statement that `raw` begins within.
    pub carry: Vec<u8>,
}

impl Default for Block {
    fn default() -> Self {
        Self {
            at: Position {
                file: String::new(),
                offset: 0,
            },
            raw: Vec::new(),
            checksum: Checksum::None,
            carry: Vec::new(),
        }
    }
}

/// Yields the events of a history: files, archived chunks, a connection.
///
/// A source may leave out blocks that do not concern the tables that are asked
/// for. It must not leave out: a format description, statements (other than
/// `BEGIN`, `COMMIT` and `SAVEPOINT`), any part of an XA transaction, nor the
/// end of a group of which it yielded a part. What follows a gap within one
/// group carries that group's GTID event.
pub trait Source {
    /// Fills `block` with the next run of events, however many; all of its
    /// members are set. `false` at the end, and `block` is then as it was or
    /// empty.
    ///
    /// # Errors
    /// As the source has them.
    fn next_block(&mut self, block: &mut Block) -> Result<bool>;
}

impl<S: Source + ?Sized> Source for Box<S> {
    fn next_block(&mut self, block: &mut Block) -> Result<bool> {
        (**self).next_block(block)
    }
}

impl<S: Source + ?Sized> Source for &mut S {
    fn next_block(&mut self, block: &mut Block) -> Result<bool> {
        (**self).next_block(block)
    }
}

/// What is read from a file at once: fits into the second-level cache, and is
/// far more than most events need.
const BLOCK_BYTES: u64 = 1 << 20;

/// Binary log files, one after another.
///
/// A file may end within an event, as a crash of the server leaves it: the
/// stream then goes on with the next file, and [`FileSource::torn`] tells.
#[derive(Debug)]
pub struct FileSource {
    coming: VecDeque<PathBuf>,
    open: Option<Open>,
    torn: Option<Position>,
}

#[derive(Debug)]
struct Open {
    file: File,
    path: PathBuf,
    at: Position,
    checksum: Checksum,
}

impl FileSource {
    /// The files, in this order, each from its start.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Damaged`], and [`Error::Unsupported`] when the
    /// first is encrypted.
    pub fn open(paths: &[PathBuf]) -> Result<Self> {
        let mut source = Self {
            coming: paths.iter().cloned().collect(),
            open: None,
            torn: None,
        };
        source.turn_over()?;
        Ok(source)
    }

    /// One file, from the event that begins at byte `offset` (4 is the first).
    ///
    /// # Errors
    /// As [`FileSource::open`].
    pub fn open_at(path: &Path, offset: u64) -> Result<Self> {
        let mut source = Self::open(&[path.to_owned()])?;
        if let Some(open) = &mut source.open {
            open.at.offset = offset.max(MAGIC.len() as u64);
        }
        Ok(source)
    }

    /// Where the last file that ends within an event has its last whole
    /// event's end; `None` while no such end was met.
    #[must_use]
    pub const fn torn(&self) -> Option<&Position> {
        self.torn.as_ref()
    }

    /// Opens the next file that has a whole format description.
    fn turn_over(&mut self) -> Result<()> {
        self.open = None;
        while let Some(path) = self.coming.pop_front() {
            let mut open = Open::new(path)?;
            if open.begin()? {
                self.open = Some(open);
                break;
            }
            self.torn = Some(open.at);
        }
        Ok(())
    }
}

impl Source for FileSource {
    fn next_block(&mut self, block: &mut Block) -> Result<bool> {
        while let Some(open) = &mut self.open {
            let at = open.at.offset;
            let whole = open.fill(block)?;
            if let Whole::Torn = whole {
                self.torn = Some(open.at.clone());
            }
            if !block.raw.is_empty() {
                block.at.file.clone_from(&open.at.file);
                block.at.offset = at;
                block.checksum = open.checksum;
                block.carry.clear();
                return Ok(true);
            }
            self.turn_over()?;
        }
        Ok(false)
    }
}

/// How a run of events ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Whole {
    /// Where the next event begins.
    Yes,
    /// Where the file ends within an event.
    Torn,
}

impl Open {
    fn new(path: PathBuf) -> Result<Self> {
        let file = File::open(&path).map_err(|source| io("open", &path, source))?;
        let name = path
            .file_name()
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default();
        Ok(Self {
            file,
            path,
            at: Position {
                file: name,
                offset: 0,
            },
            checksum: Checksum::None,
        })
    }

    /// Reads the start of the file. `false` when it ends before its first
    /// event does.
    fn begin(&mut self) -> Result<bool> {
        // The format description has some 250 bytes; the start of encryption,
        // which comes second, 36.
        let mut head = Vec::new();
        self.read(0, 4096, &mut head)?;
        let damaged = |offset, what: &str| Error::Damaged {
            at: Position {
                file: self.at.file.clone(),
                offset,
            },
            what: what.to_owned(),
        };
        if head.len() < MAGIC.len() && MAGIC.starts_with(&head) {
            return Ok(false);
        }
        if !head.starts_with(&MAGIC) {
            return Err(damaged(0, "it is not a binary log: its first bytes differ"));
        }
        self.at.offset = MAGIC.len() as u64;
        let first = &head[MAGIC.len()..];
        let Some(header) = Header::read(first) else {
            return if first.len() < HEADER_BYTES || first.iter().all(|b| *b == 0) {
                Ok(false)
            } else {
                Err(damaged(4, "an event's length is less than its header's"))
            };
        };
        if header.kind != Kind::FORMAT_DESCRIPTION {
            return Err(damaged(4, "its first event is not a format description"));
        }
        let Some(raw) = first.get(..header.bytes as usize) else {
            return if first.len() < 4096 - MAGIC.len() {
                Ok(false)
            } else {
                Err(damaged(4, "its format description is too long"))
            };
        };
        let format = Format::read(&raw[HEADER_BYTES..])
            .ok_or_else(|| damaged(4, "its format description is malformed"))?;
        self.checksum = format.checksum;
        if let Some(second) = Header::read(&first[raw.len()..])
            && second.kind == Kind::START_ENCRYPTION
        {
            return Err(Error::Unsupported {
                at: Position {
                    file: self.at.file.clone(),
                    offset: (MAGIC.len() + raw.len()) as u64,
                },
                what: crate::reader::ENCRYPTED.to_owned(),
            });
        }
        Ok(true)
    }

    /// Fills the block with the whole events that come next, and goes behind
    /// them. No events at the end of the file.
    fn fill(&mut self, block: &mut Block) -> Result<Whole> {
        let raw = &mut block.raw;
        self.read(self.at.offset, BLOCK_BYTES, raw)?;
        let (end, last, zeros) = self.cut(raw)?;
        if end == 0 && !raw.is_empty() {
            let needed = match Header::read(raw) {
                Some(header) => u64::from(header.bytes),
                None => 0,
            };
            let left = self.length()?.saturating_sub(self.at.offset);
            if needed <= raw.len() as u64 || needed > left {
                raw.clear();
                return Ok(Whole::Torn);
            }
            self.read(self.at.offset, needed, raw)?;
            if (raw.len() as u64) < needed {
                raw.clear();
                return Ok(Whole::Torn);
            }
            self.at.offset += needed;
            return Ok(Whole::Yes);
        }
        // A page that was not written before the machine went down is all
        // zeros: then the last event may lack its end.
        let at_end = (raw.len() as u64) < BLOCK_BYTES;
        let zeros =
            zeros || (at_end && raw.last() == Some(&0) && raw[end..].iter().all(|b| *b == 0));
        raw.truncate(end);
        if end > 0 && zeros && split(&raw[last..], self.checksum, || self.at.clone()).is_err() {
            raw.truncate(last);
            self.at.offset += last as u64;
            return Ok(Whole::Torn);
        }
        self.at.offset += end as u64;
        Ok(Whole::Yes)
    }

    /// Where the last whole event at the start of `raw` ends, where it begins,
    /// and whether nothing but zeros follows it.
    fn cut(&self, raw: &[u8]) -> Result<(usize, usize, bool)> {
        let (mut end, mut last) = (0, 0);
        while raw.len() - end >= HEADER_BYTES {
            let at = || Position {
                file: self.at.file.clone(),
                offset: self.at.offset + end as u64,
            };
            // A header that was begun, and zeros after it, are a tail as well.
            let damaged = |what: &str| -> Result<(usize, usize, bool)> {
                if self.is_zero(at().offset + HEADER_BYTES as u64)? {
                    return Ok((end, last, true));
                }
                // First what comes before it: it may be that event's length
                // that is wrong, which its checksum tells.
                if end > 0 {
                    return Ok((end, last, false));
                }
                Err(Error::Damaged {
                    at: at(),
                    what: what.to_owned(),
                })
            };
            let Some(header) = Header::read(&raw[end..]) else {
                return damaged("an event's length is less than its header's");
            };
            let next = end + header.bytes as usize;
            if next > raw.len() {
                // An event that was begun says where it will end.
                let ends = at().offset + u64::from(header.bytes);
                if header.next != 0 && u64::from(header.next) != ends & u64::from(u32::MAX) {
                    return damaged("an event's length and the position of the next do not fit");
                }
                break;
            }
            (last, end) = (end, next);
        }
        Ok((end, last, false))
    }

    /// Whether nothing but zeros follows.
    fn is_zero(&self, mut offset: u64) -> Result<bool> {
        let mut raw = Vec::new();
        loop {
            self.read(offset, BLOCK_BYTES, &mut raw)?;
            if raw.is_empty() {
                return Ok(true);
            }
            if raw.iter().any(|b| *b != 0) {
                return Ok(false);
            }
            offset += raw.len() as u64;
        }
    }

    fn length(&self) -> Result<u64> {
        let metadata = self.file.metadata();
        metadata
            .map(|m| m.len())
            .map_err(|source| io("look at", &self.path, source))
    }

    /// At most `bytes` from `offset`; fewer at the end of the file.
    fn read(&self, offset: u64, bytes: u64, into: &mut Vec<u8>) -> Result<()> {
        into.clear();
        let mut file = &self.file;
        file.seek(SeekFrom::Start(offset))
            .and_then(|_| file.take(bytes).read_to_end(into))
            .map(drop)
            .map_err(|source| io("read", &self.path, source))
    }
}

fn io(doing: &'static str, path: &Path, source: std::io::Error) -> Error {
    Error::Io {
        doing,
        path: path.to_owned(),
        source,
    }
}
