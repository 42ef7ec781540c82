//! Reads a history: what happened, in the order in which it took effect.
//!
//! Two passes go over the events of a group (a transaction, or a statement that
//! commits by itself), close behind each other. The first finds its end: where
//! it is, whether it was rolled back there, and which part was rolled back to a
//! savepoint, since a server writes such parts when a temporary table was made
//! among them. It compares the checksums, too. The second takes the events
//! apart. A group that spreads over several blocks is gathered; one that is
//! longer than [`HELD_BYTES_MAX`] is taken apart as it comes.
//!
//! Architecture invariants:
//! - rows are yielded only when their group is known to have taken effect; in a
//!   group longer than [`HELD_BYTES_MAX`] a later rollback is an error;
//! - rows of XA transactions are yielded where these were committed;
//! - a row event without a table map in its own statement is an error: table
//!   ids are given to other tables in the course of a log;
//! - nothing is allocated for a row, nor for a table map that was seen before.

use std::collections::{HashMap, HashSet, VecDeque};
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use crate::body::{Fields, GtidEvent, Query, Word, XaPhase, XaPrepare, Xid};
use crate::change::{
    Change, Group, GroupEnd, Item, Position, Statement, StatementKind, Table, TableName,
};
use crate::compressed::Inflater;
use crate::ddl;
use crate::error::{Error, Result};
use crate::event::{
    CHECKSUM_BYTES, Checksum, Event, FLAG_ARTIFICIAL, Format, HEADER_BYTES, Header, Kind, MAGIC,
    split,
};
use crate::layout::read_table_map;
use crate::mysql8::Payload;
use crate::source::{Block, Source};
use crate::xa::Kept;

pub(crate) const ENCRYPTED: &str =
    "the binary log is encrypted; have the server write it plain (encrypt_binlog=OFF)";

/// What a group that spreads over blocks may take in memory before it is taken
/// apart without its end being known. Most groups are far smaller; those that
/// are larger are hardly ever rolled back after a temporary table was made.
pub const HELD_BYTES_MAX: usize = 16 << 20;

/// Tables that are remembered between statements, to take a table map apart
/// once only. Beyond, all are forgotten.
const KNOWN_MAX: usize = 4096;

/// The flag of a rows event that is the last of its statement.
const STATEMENT_ENDS: u64 = 1;

/// The table id of a rows event that says only that a statement ended.
const NO_TABLE: u64 = 0x00ff_ffff;

/// The flag of an event that whoever does not know it may ignore.
const FLAG_IGNORABLE: u16 = 0x80;

const NO_SAVEPOINT: &str = "a transaction is rolled back to a savepoint that the history does not have; \
     read from before the transaction";

/// How to read.
#[derive(Clone, Debug, Default)]
pub struct ReaderOptions {
    /// The tables whose rows are wanted; `None` for all. Rows of others are
    /// skipped undecoded, but groups and statements still come.
    pub wanted: Option<HashSet<TableName>>,
    /// A folder for XA transactions that do not fit into `xa_memory`; made
    /// when needed.
    pub spill: PathBuf,
    /// Bytes that prepared XA transactions may take in memory.
    pub xa_memory: u64,
    /// Whether the server folds names of tables and databases to lower case
    /// (`lower_case_table_names` is not 0): then those in statements are, too.
    pub lower_case_names: bool,
}

/// Reads a history. Each call of [`Reader::next`] yields one item: a group
/// begins, a row changed, a statement ran, the group ends.
///
/// A group that has not ended when the history does is not told of: it has not
/// taken effect.
#[derive(Debug)]
pub struct Reader<S> {
    source: S,
    options: ReaderOptions,

    /// What is read now, and up to where the first pass went.
    block: Block,
    scanned: usize,
    /// The group that the first pass is in.
    scan: Option<Scan>,
    /// The begin of that group, when earlier blocks had it.
    held: Vec<u8>,
    held_at: u64,
    held_checksum: Checksum,
    /// The block does not begin where the one before it ended, and that was
    /// not looked into yet: the file of the one before it.
    gap: Option<String>,
    /// What is read is the context of a block: nothing of it is yielded.
    carrying: bool,
    /// What the second pass goes over.
    work: Option<Work>,
    /// Parts of it, by their place in the file, that were rolled back.
    void: Vec<Range<u64>>,

    /// The group that the second pass is in.
    open: Option<Open>,
    /// Tables by their id: as their table map said it last.
    known: HashMap<u64, Known>,
    /// The tables of the statement; `None` for those that are not wanted.
    current: Vec<(u64, Option<Arc<Table>>)>,
    rows: Option<Rows>,
    inflater: Inflater,
    inflated: Vec<u8>,
    payload: Option<Payload>,
    payload_event: Vec<u8>,
    /// Where the payload is, and where it ends.
    payload_at: Range<u64>,

    prepared: HashMap<Xid, Kept>,
    replay: Option<Replay>,
    replayed: Vec<u8>,

    /// What is to be yielded before the next event is looked at.
    coming: VecDeque<Coming>,
    group: Group,
    end: GroupEnd,
    statement: Statement,
}

/// The first pass over a group.
#[derive(Debug)]
struct Scan {
    start: u64,
    ends: Ends,
    /// Its parts are taken apart before its end is known.
    at_once: bool,
    /// It is an XA transaction that is prepared: its rows are kept anyway.
    xa: bool,
    savepoints: Vec<(Vec<u8>, u64)>,
}

/// How a group ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ends {
    /// With its only statement.
    WithStatement,
    /// With a commit, a rollback, or `XA PREPARE`.
    Explicit,
    /// Its first statement tells.
    Unknown,
}

/// What the first pass finds in an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
    /// The event stands alone, or the group ends behind it.
    End,
    /// The group goes on.
    Inside,
    /// The group before it was cut off: the server went down.
    CutOff,
}

/// Where bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Block,
    Held,
    Payload,
    Replayed,
    Inflated,
}

/// Whole events that the second pass goes over.
#[derive(Debug)]
struct Work {
    place: Place,
    at: usize,
    end: usize,
    /// Where in the file byte 0 of the place is.
    base: u64,
}

/// The second pass over a group.
#[derive(Debug)]
struct Open {
    start: u64,
    time_s: u32,
    gtid: Option<crate::change::Gtid>,
    standalone: bool,
    ends: Ends,
    /// Its begin was yielded, or is about to be.
    begun: bool,
    /// Where the last rows event is of which rows were yielded.
    yielded: Option<u64>,
    /// A first note of something that is told again.
    without_effect: bool,
    /// It is prepared: its events are kept.
    xa: Option<(Xid, Kept)>,
}

/// What was learned from a table map.
#[derive(Debug)]
struct Known {
    body: Vec<u8>,
    table: Option<Arc<Table>>,
}

/// A rows event that is being taken apart.
#[derive(Debug)]
struct Rows {
    table: Arc<Table>,
    kind: RowsKind,
    place: Place,
    at: usize,
    end: usize,
    ends_statement: bool,
    event_at: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RowsKind {
    Insert,
    Update,
    Delete,
}

/// An XA transaction that was committed.
#[derive(Debug)]
struct Replay {
    kept: Kept,
    at: usize,
    /// Where its commit is.
    commit: u64,
}

/// A row, by where its images are in the place of its event.
#[derive(Debug)]
struct Row {
    before: Option<Range<usize>>,
    after: Option<Range<usize>>,
    ends_statement: bool,
}

#[derive(Debug)]
enum Coming {
    Begin,
    Replay(Box<Replay>),
    Statement,
    End,
}

/// An event, and where it is.
#[derive(Debug)]
struct Seen<'a> {
    header: Header,
    place: Place,
    whole: &'a [u8],
    body: &'a [u8],
    /// Where the body begins in its place.
    body_at: usize,
    /// Where the event is in its file.
    span: Range<u64>,
    checksum: Checksum,
}

/// What sort of event a rows event is: its kind, whether it is of the second
/// version, whether it is compressed.
type Sort = (RowsKind, bool, bool);

fn rows_kind(kind: Kind) -> Option<Sort> {
    use RowsKind::{Delete, Insert, Update};
    Some(match kind {
        Kind::WRITE_ROWS_V1 => (Insert, false, false),
        Kind::UPDATE_ROWS_V1 => (Update, false, false),
        Kind::DELETE_ROWS_V1 => (Delete, false, false),
        Kind::WRITE_ROWS => (Insert, true, false),
        Kind::UPDATE_ROWS => (Update, true, false),
        Kind::DELETE_ROWS => (Delete, true, false),
        Kind::WRITE_ROWS_COMPRESSED_V1 => (Insert, false, true),
        Kind::UPDATE_ROWS_COMPRESSED_V1 => (Update, false, true),
        Kind::DELETE_ROWS_COMPRESSED_V1 => (Delete, false, true),
        Kind::WRITE_ROWS_COMPRESSED => (Insert, true, true),
        Kind::UPDATE_ROWS_COMPRESSED => (Update, true, true),
        Kind::DELETE_ROWS_COMPRESSED => (Delete, true, true),
        _ => return None,
    })
}

/// Whether the event says nothing about rows, tables or groups.
const fn is_aside(kind: Kind) -> bool {
    /// Loads of files in the old way, whose statement comes later.
    const APPEND_BLOCK: Kind = Kind(9);
    const DELETE_FILE: Kind = Kind(11);
    matches!(
        kind,
        Kind::STOP
            | Kind::ROTATE
            | Kind::INTVAR
            | Kind::RAND
            | Kind::USER_VAR
            | Kind::BEGIN_LOAD_QUERY
            | APPEND_BLOCK
            | DELETE_FILE
            | Kind::HEARTBEAT
            | Kind::HEARTBEAT_V2
            | Kind::IGNORABLE
            | Kind::ROWS_QUERY
            | Kind::PREVIOUS_GTIDS
            | Kind::TRANSACTION_CONTEXT
            | Kind::VIEW_CHANGE
            | Kind::ANNOTATE_ROWS
            | Kind::BINLOG_CHECKPOINT
            | Kind::GTID_LIST
    )
}

const fn is_statement(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::QUERY | Kind::QUERY_COMPRESSED | Kind::EXECUTE_LOAD_QUERY
    )
}

const fn is_gtid(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::GTID | Kind::SOURCE_GTID | Kind::ANONYMOUS_GTID | Kind::TAGGED_GTID
    )
}

impl<S: Source> Reader<S> {
    /// Reads what `source` yields.
    #[must_use]
    pub fn new(source: S, options: ReaderOptions) -> Self {
        let nowhere = || Position {
            file: String::new(),
            offset: 0,
        };
        Self {
            source,
            options,
            block: Block::default(),
            scanned: 0,
            scan: None,
            held: Vec::new(),
            held_at: 0,
            held_checksum: Checksum::None,
            gap: None,
            carrying: false,
            work: None,
            void: Vec::new(),
            open: None,
            known: HashMap::new(),
            current: Vec::new(),
            rows: None,
            inflater: Inflater::default(),
            inflated: Vec::new(),
            payload: None,
            payload_event: Vec::new(),
            payload_at: 0..0,
            prepared: HashMap::new(),
            replay: None,
            replayed: Vec::new(),
            coming: VecDeque::new(),
            group: Group {
                gtid: None,
                start: nowhere(),
                time_s: 0,
                standalone: false,
            },
            end: GroupEnd {
                end: nowhere(),
                committed: false,
            },
            statement: Statement {
                schema: String::new(),
                text: Vec::new(),
                kind: StatementKind::Other,
                at: nowhere(),
            },
        }
    }

    /// What comes next; `None` at the end of the history.
    ///
    /// # Errors
    /// Those of the source; [`Error::Damaged`], [`Error::Unsupported`],
    /// [`Error::Gap`] when the source left out what it must not, [`Error::Io`]
    /// of the spilled. After an error nothing more can be read.
    #[expect(clippy::should_implement_trait, reason = "what it yields is lent")]
    pub fn next(&mut self) -> Result<Option<Item<'_>>> {
        loop {
            if let Some(row) = self.row()? {
                let Some(rows) = &self.rows else {
                    return Ok(None);
                };
                let bytes = match rows.place {
                    Place::Block => &self.block.raw,
                    Place::Held => &self.held,
                    Place::Payload => &self.payload_event,
                    Place::Replayed => &self.replayed,
                    Place::Inflated => &self.inflated,
                };
                return Ok(Some(Item::Change(Change {
                    table: &rows.table,
                    before: row.before.map(|range| &bytes[range]),
                    after: row.after.map(|range| &bytes[range]),
                    ends_statement: row.ends_statement,
                })));
            }
            // One of an XA transaction comes before its end, which waits.
            if let Some(Coming::Statement) = self.coming.front() {
                self.coming.pop_front();
                return Ok(Some(Item::Statement(&self.statement)));
            }
            if self.replay.is_some() {
                self.replay_next()?;
                continue;
            }
            match self.coming.pop_front() {
                Some(Coming::Begin) => return Ok(Some(Item::Begin(&self.group))),
                Some(Coming::Statement) => return Ok(Some(Item::Statement(&self.statement))),
                Some(Coming::End) => {
                    self.open = None;
                    return Ok(Some(Item::End(&self.end)));
                }
                Some(Coming::Replay(replay)) => {
                    self.replayed.clear();
                    self.replay = Some(*replay);
                    continue;
                }
                None => {}
            }
            if self.payload.is_some() {
                self.payload_next()?;
            } else if self.work.is_some() {
                self.work_next()?;
            } else if !self.refill()? {
                return Ok(None);
            }
        }
    }

    /// The source, e.g. to ask whether it was torn.
    pub const fn source(&self) -> &S {
        &self.source
    }

    fn position(&self, offset: u64) -> Position {
        Position {
            file: self.block.at.file.clone(),
            offset,
        }
    }

    fn damaged(&self, offset: u64, what: impl Into<String>) -> Error {
        Error::Damaged {
            at: self.position(offset),
            what: what.into(),
        }
    }

    fn unsupported(&self, offset: u64, what: impl Into<String>) -> Error {
        Error::Unsupported {
            at: self.position(offset),
            what: what.into(),
        }
    }

    // The first pass.

    /// Makes work for the second pass. `false` at the end of the history.
    fn refill(&mut self) -> Result<bool> {
        loop {
            if let Some(file) = self.gap.take() {
                self.cross_gap(&file)?;
                if !self.coming.is_empty() {
                    return Ok(true);
                }
            }
            if self.scanned == self.block.raw.len() {
                if !self.next_block()? {
                    return Ok(false);
                }
                if self.gap.is_some() && !self.held.is_empty() {
                    // What was gathered is all that there is of it before the
                    // gap.
                    self.take_held();
                    return Ok(true);
                }
                continue;
            }
            let raw = std::mem::take(&mut self.block.raw);
            let scanned = self.scan(&raw);
            self.block.raw = raw;
            let (part, complete) = scanned?;
            let at_once = self.scan.as_ref().is_some_and(|s| s.at_once);
            if self.held.is_empty() && (complete || at_once) {
                self.work = Some(Work {
                    place: Place::Block,
                    at: part.start,
                    end: part.end,
                    base: self.block.at.offset,
                });
                return Ok(true);
            }
            if self.held.is_empty() {
                self.held_at = self.block.at.offset + part.start as u64;
                self.held_checksum = self.block.checksum;
            }
            self.held.extend_from_slice(&self.block.raw[part]);
            if complete || at_once || self.held.len() > HELD_BYTES_MAX {
                self.take_held();
                return Ok(true);
            }
        }
    }

    fn take_held(&mut self) {
        if let Some(scan) = &mut self.scan {
            scan.at_once = true;
        }
        self.work = Some(Work {
            place: Place::Held,
            at: 0,
            end: self.held.len(),
            base: self.held_at,
        });
    }

    /// Has the source fill the block again. `false` at the end.
    fn next_block(&mut self) -> Result<bool> {
        let mut before = self.block.at.clone();
        before.offset += self.block.raw.len() as u64;
        if !self.source.next_block(&mut self.block)? {
            self.block.at = before;
            self.block.raw.clear();
            self.scanned = 0;
            return match &self.open {
                Some(open) if open.yielded.is_some() => Err(self.damaged(
                    open.start,
                    "it ends within this transaction, of which rows were read already",
                )),
                _ => Ok(false),
            };
        }
        self.scanned = 0;
        let at = &self.block.at;
        let follows = if at.file == before.file {
            at.offset == before.offset
        } else {
            at.number() == before.number() + 1 && at.offset == MAGIC.len() as u64
        };
        if before.file.is_empty() || !follows {
            self.gap = Some(before.file);
        }
        Ok(true)
    }

    /// Reads the context of a block that does not follow the one before it,
    /// which was in `file`.
    fn cross_gap(&mut self, file: &str) -> Result<()> {
        let before = self.open.take().zip(self.scan.take());
        self.current.clear();
        let carry = std::mem::take(&mut self.block.carry);
        self.carrying = true;
        let read = self.read_carry(&carry);
        self.carrying = false;
        self.block.carry = carry;
        self.coming.clear();
        (self.rows, self.payload) = (None, None);
        read?;
        if let Some(scan) = &mut self.scan {
            scan.at_once = true;
        }
        if let Some((open, mut scan)) = before {
            let same = file == self.block.at.file
                && self.open.as_ref().is_some_and(|o| o.start == open.start);
            if !same {
                return Err(Error::Gap {
                    what: format!(
                        "read the transaction at {file}:{}: its end is not in the history; \
                         choose an instant after it",
                        open.start
                    ),
                });
            }
            scan.at_once = true;
            (self.open, self.scan) = (Some(open), Some(scan));
        } else if let Some(open) = &mut self.open
            && open.begun
        {
            self.coming.push_back(Coming::Begin);
        }
        Ok(())
    }

    fn read_carry(&mut self, carry: &[u8]) -> Result<()> {
        let checksum = self.block.checksum;
        let mut at = 0;
        while at < carry.len() {
            let event = split(&carry[at..], checksum, || self.block.at.clone())?
                .ok_or_else(|| self.damaged(self.block.at.offset, "its context is torn"))?;
            // The header has the lower half of where the event ends. What is
            // carried comes before the block.
            let next = self.block.at.offset & !u64::from(u32::MAX) | u64::from(event.header.next);
            let next = if next > self.block.at.offset {
                next.wrapping_sub(1 << 32)
            } else {
                next
            };
            let offset = next.wrapping_sub(u64::from(event.header.bytes));
            if self.scan_event(&event, offset)? != Found::Inside {
                self.scan = None;
            }
            self.event(Place::Inflated, carry, at, offset..next, checksum)?;
            if self.scan.is_none() {
                self.open = None;
            }
            self.coming.clear();
            (self.rows, self.payload) = (None, None);
            at += event.raw.len();
        }
        Ok(())
    }

    /// Goes on to the end of the group, or of the block: what part of it is to
    /// be looked at, and whether the group is complete.
    fn scan(&mut self, raw: &[u8]) -> Result<(Range<usize>, bool)> {
        let from = self.scanned;
        let checksum = self.block.checksum;
        while self.scanned < raw.len() {
            let at = self.scanned;
            let offset = self.block.at.offset + at as u64;
            let event = split(&raw[at..], checksum, || self.position(offset))?
                .ok_or_else(|| self.damaged(offset, "an event is torn"))?;
            let header = event.header;
            let next = offset + u64::from(header.bytes);
            if checksum == Checksum::None
                && header.next != 0
                && u64::from(header.next) != next & u64::from(u32::MAX)
            {
                return Err(self.damaged(
                    offset,
                    "an event's length and the position of the next do not fit",
                ));
            }
            let found = self.scan_event(&event, offset)?;
            self.scanned = at + event.raw.len();
            match found {
                Found::Inside => {}
                Found::End => {
                    self.scan = None;
                    return Ok((from..self.scanned, true));
                }
                Found::CutOff => {
                    self.scan = None;
                    self.held.clear();
                    return Ok((at..self.scanned, true));
                }
            }
        }
        Ok((from..self.scanned, false))
    }

    fn scan_event(&mut self, event: &Event<'_>, offset: u64) -> Result<Found> {
        let header = event.header;
        let kind = header.kind;
        let word = if is_statement(kind) && kind != Kind::EXECUTE_LOAD_QUERY {
            let query = Query::read(kind, event.body).map_err(|what| self.damaged(offset, what))?;
            Word::read(&query.text)
        } else {
            None
        };
        let Some(scan) = &mut self.scan else {
            self.void.clear();
            let (ends, xa) = match (kind, word) {
                (Kind::TAGGED_GTID, _) => return Ok(Found::End),
                (kind, _) if is_gtid(kind) => {
                    let gtid = GtidEvent::read(&header, event.body)
                        .ok_or_else(|| self.damaged(offset, "a transaction's id is malformed"))?;
                    let ends = match gtid.standalone {
                        Some(true) => Ends::WithStatement,
                        Some(false) => Ends::Explicit,
                        None => Ends::Unknown,
                    };
                    (ends, matches!(gtid.xa, Some(XaPhase::Prepared(_))))
                }
                (_, Some(Word::Begin)) => (Ends::Explicit, false),
                (_, Some(Word::XaStart(_))) => (Ends::Explicit, true),
                _ => return Ok(Found::End),
            };
            self.scan = Some(Scan {
                start: offset,
                ends,
                at_once: xa,
                xa,
                savepoints: Vec::new(),
            });
            return Ok(Found::Inside);
        };
        Ok(match (kind, word) {
            (Kind::FORMAT_DESCRIPTION, _) if header.flags & FLAG_ARTIFICIAL == 0 => Found::CutOff,
            (kind, _) if is_gtid(kind) => {
                let start = scan.start;
                return Err(self.damaged(start, "a transaction has no end"));
            }
            (Kind::XID | Kind::XA_PREPARE | Kind::TRANSACTION_PAYLOAD, _)
            | (Kind::INCIDENT | Kind::START_ENCRYPTION, _)
            | (_, Some(Word::Commit | Word::XaCommit(_) | Word::XaRollback(_))) => Found::End,
            (_, Some(Word::Rollback)) => {
                self.void.push(scan.start..offset);
                Found::End
            }
            (_, Some(Word::Begin)) => {
                scan.ends = Ends::Explicit;
                Found::Inside
            }
            (_, Some(Word::XaStart(_))) => {
                scan.ends = Ends::Explicit;
                (scan.xa, scan.at_once) = (true, true);
                Found::Inside
            }
            (_, Some(Word::Savepoint(name))) => {
                scan.savepoints.retain(|(n, _)| *n != name);
                scan.savepoints.push((name, offset));
                Found::Inside
            }
            (_, Some(Word::RollbackTo(name))) if !scan.xa => {
                let Some(at) = scan.savepoints.iter().rposition(|(n, _)| *n == name) else {
                    return Err(self.unsupported(offset, NO_SAVEPOINT));
                };
                self.void.push(scan.savepoints[at].1..offset);
                scan.savepoints.truncate(at + 1);
                Found::Inside
            }
            (kind, None) if is_statement(kind) && scan.ends != Ends::Explicit => Found::End,
            _ => Found::Inside,
        })
    }

    // The second pass.

    /// Takes events apart until there is something to yield.
    fn work_next(&mut self) -> Result<()> {
        let Some(work) = self.work.take() else {
            return Ok(());
        };
        let (raw, checksum) = match work.place {
            Place::Held => (std::mem::take(&mut self.held), self.held_checksum),
            _ => (std::mem::take(&mut self.block.raw), self.block.checksum),
        };
        let done = self.work_through(&raw, work, checksum);
        let work = done?;
        match work.place {
            Place::Held => self.held = raw,
            _ => self.block.raw = raw,
        }
        if work.at < work.end || self.rows.is_some() {
            self.work = Some(work);
        } else if work.place == Place::Held {
            self.held.clear();
        }
        Ok(())
    }

    fn work_through(&mut self, raw: &[u8], mut work: Work, checksum: Checksum) -> Result<Work> {
        while work.at < work.end
            && self.rows.is_none()
            && self.coming.is_empty()
            && self.payload.is_none()
        {
            let offset = work.base + work.at as u64;
            let bytes = Header::read(&raw[work.at..]).map_or(0, |h| h.bytes);
            let next = offset + u64::from(bytes);
            self.event(work.place, raw, work.at, offset..next, checksum)?;
            work.at += bytes as usize;
        }
        Ok(work)
    }

    fn payload_next(&mut self) -> Result<()> {
        let at = self.payload_at.clone();
        let Some(payload) = &mut self.payload else {
            return Ok(());
        };
        let mut raw = std::mem::take(&mut self.payload_event);
        match payload.next(&mut raw) {
            Err(what) => return Err(self.damaged(at.start, what)),
            Ok(true) => self.event(Place::Payload, &raw, 0, at, Checksum::None)?,
            Ok(false) => {
                self.payload = None;
                if self.open.is_some() {
                    return Err(self.damaged(at.start, "a transaction payload has no end"));
                }
            }
        }
        self.payload_event = raw;
        Ok(())
    }

    fn replay_next(&mut self) -> Result<()> {
        let Some(mut replay) = self.replay.take() else {
            return Ok(());
        };
        if replay.at == self.replayed.len() {
            replay.at = 0;
            if !replay.kept.next_run(&mut self.replayed)? {
                self.replayed = Vec::new();
                return Ok(());
            }
        }
        let raw = std::mem::take(&mut self.replayed);
        let bytes = Header::read(&raw[replay.at..]).map_or(0, |h| h.bytes as usize);
        let commit = replay.commit;
        let checksum = replay.kept.checksum;
        self.event(Place::Replayed, &raw, replay.at, commit..commit, checksum)?;
        self.replayed = raw;
        replay.at += bytes;
        self.replay = Some(replay);
        Ok(())
    }

    /// Takes apart the event that is in `raw`, which is `place`, from `at` on.
    /// Its checksum was compared. `span` is where it is in its file.
    fn event(
        &mut self,
        place: Place,
        raw: &[u8],
        at: usize,
        span: Range<u64>,
        checksum: Checksum,
    ) -> Result<()> {
        let offset = span.start;
        let sum = match checksum {
            Checksum::None => 0,
            Checksum::Crc32 => CHECKSUM_BYTES,
        };
        let torn = || self.damaged(offset, "an event is torn");
        let header = Header::read(&raw[at..]).ok_or_else(torn)?;
        let end = at + header.bytes as usize;
        let whole = raw.get(at..end).ok_or_else(torn)?;
        let body_at = at + HEADER_BYTES;
        let body = raw.get(body_at..end.saturating_sub(sum)).ok_or_else(torn)?;
        let seen = Seen {
            header,
            place,
            whole,
            body,
            body_at,
            span,
            checksum,
        };
        match header.kind {
            kind if let Some(kind) = rows_kind(kind) => self.rows_event(&seen, kind),
            Kind::TABLE_MAP => self.table_map(&seen),
            kind if is_statement(kind) => self.query(&seen),
            Kind::XID => {
                self.finish(true, seen.span.end);
                Ok(())
            }
            kind if is_gtid(kind) => self.gtid(&seen),
            Kind::XA_PREPARE => self.xa_prepare(&seen),
            Kind::TRANSACTION_PAYLOAD => {
                let payload = Payload::open(body).map_err(|what| self.damaged(offset, what))?;
                (self.payload, self.payload_at) = (Some(payload), seen.span);
                Ok(())
            }
            Kind::FORMAT_DESCRIPTION => self.format(&seen),
            Kind::PARTIAL_UPDATE_ROWS => self.partial_update(&seen),
            Kind::INCIDENT => Err(self.unsupported(
                offset,
                "the server noted an incident: statements are missing from its log; \
                 choose an instant after it",
            )),
            Kind::START_ENCRYPTION => Err(self.unsupported(offset, ENCRYPTED)),
            kind if is_aside(kind) || header.flags & FLAG_IGNORABLE != 0 => Ok(()),
            Kind(number) => Err(self.unsupported(
                offset,
                format!("events of kind {number} are not known; nothing was read beyond it"),
            )),
        }
    }

    fn format(&mut self, seen: &Seen<'_>) -> Result<()> {
        if seen.header.flags & FLAG_ARTIFICIAL != 0 {
            return Ok(());
        }
        if Format::read(&seen.whole[HEADER_BYTES..]).is_none() {
            return Err(self.unsupported(seen.span.start, "the log has an unknown format"));
        }
        self.known.clear();
        self.current.clear();
        match self.open.take() {
            Some(open) if open.yielded.is_some() => Err(self.damaged(
                seen.span.start,
                "the log before it ends within a transaction of which rows were read already",
            )),
            _ => Ok(()),
        }
    }

    fn gtid(&mut self, seen: &Seen<'_>) -> Result<()> {
        let offset = seen.span.start;
        if seen.header.kind == Kind::TAGGED_GTID {
            return Err(self.unsupported(
                offset,
                "transactions with tagged ids are not supported; \
                 have the server use untagged ones (gtid_next=AUTOMATIC)",
            ));
        }
        let event = GtidEvent::read(&seen.header, seen.body)
            .ok_or_else(|| self.damaged(offset, "a transaction's id is malformed"))?;
        if self.open.is_some() {
            return Err(self.damaged(offset, "the transaction before it has no end"));
        }
        let later = event.without_effect || event.standalone.is_none() || event.xa.is_some();
        self.open = Some(Open {
            start: offset,
            time_s: seen.header.time_s,
            gtid: event.gtid,
            standalone: event.standalone == Some(true),
            ends: match event.standalone {
                Some(true) => Ends::WithStatement,
                Some(false) => Ends::Explicit,
                None => Ends::Unknown,
            },
            begun: false,
            yielded: None,
            without_effect: event.without_effect,
            xa: match event.xa {
                Some(XaPhase::Prepared(xid)) => Some((xid, Kept::new(seen.checksum))),
                _ => None,
            },
        });
        if !later {
            self.begin();
        }
        Ok(())
    }

    /// Yields the begin of the group, unless that was done.
    fn begin(&mut self) {
        let Some(open) = &mut self.open else {
            return;
        };
        if open.begun {
            return;
        }
        open.begun = true;
        self.group.gtid.clone_from(&open.gtid);
        self.group.start.file.clone_from(&self.block.at.file);
        self.group.start.offset = open.start;
        self.group.time_s = open.time_s;
        self.group.standalone = open.standalone;
        self.coming.push_back(Coming::Begin);
    }

    /// Yields the end of the group, if its begin was.
    fn finish(&mut self, committed: bool, next: u64) {
        self.current.clear();
        match &self.open {
            Some(open) if open.begun => {
                self.end.end.file.clone_from(&self.block.at.file);
                self.end.end.offset = next;
                self.end.committed = committed;
                self.coming.push_back(Coming::End);
            }
            _ => self.open = None,
        }
    }

    fn query(&mut self, seen: &Seen<'_>) -> Result<()> {
        let offset = seen.span.start;
        let kind = seen.header.kind;
        let query = Query::read(kind, seen.body).map_err(|what| self.damaged(offset, what))?;
        let word = if kind == Kind::EXECUTE_LOAD_QUERY {
            None
        } else {
            Word::read(&query.text)
        };
        if self.open.is_none() {
            self.open = Some(Open {
                start: offset,
                time_s: seen.header.time_s,
                gtid: None,
                standalone: word.is_none(),
                ends: Ends::WithStatement,
                begun: false,
                yielded: None,
                without_effect: false,
                xa: None,
            });
        }
        let Some(open) = &mut self.open else {
            return Ok(());
        };
        match word {
            // What it does takes effect with the commit.
            None if open.xa.is_some() => self.keep(seen.whole)?,
            None => self.text(seen.place, &query, offset, seen.span.end),
            Some(Word::Begin) => {
                open.ends = Ends::Explicit;
                self.begin();
            }
            Some(Word::XaStart(xid)) => {
                open.ends = Ends::Explicit;
                open.xa = Some((xid, Kept::new(seen.checksum)));
            }
            Some(Word::XaEnd) => {}
            Some(Word::Commit) => self.finish(true, seen.span.end),
            Some(Word::Rollback) => {
                self.check_void(offset)?;
                self.finish(false, seen.span.end);
            }
            Some(Word::Savepoint(name)) => {
                if let Some((_, kept)) = &mut open.xa {
                    kept.savepoint(name);
                }
            }
            Some(Word::RollbackTo(name)) => match &mut open.xa {
                Some((_, kept)) => {
                    if !kept.roll_back_to(&name)? {
                        return Err(self.unsupported(offset, NO_SAVEPOINT));
                    }
                }
                None => self.check_void(offset)?,
            },
            Some(Word::XaCommit(xid)) => self.xa_commit(&xid, &seen.span)?,
            Some(Word::XaRollback(xid)) => {
                self.prepared.remove(&xid);
                self.finish(true, seen.span.end);
            }
        }
        Ok(())
    }

    /// A statement that is neither begin nor end of anything.
    fn text(&mut self, place: Place, query: &Query<'_>, offset: u64, next: u64) {
        let Some(open) = &mut self.open else {
            return;
        };
        let alone = open.ends != Ends::Explicit;
        if alone && open.ends == Ends::Unknown {
            open.standalone = true;
        }
        if !open.without_effect {
            self.begin();
            let statement = &mut self.statement;
            statement.schema = String::from_utf8_lossy(query.schema).into_owned();
            statement.text.clear();
            statement.text.extend_from_slice(&query.text);
            statement.at.file.clone_from(&self.block.at.file);
            statement.at.offset = offset;
            let dialect = ddl::Dialect {
                sql_mode: query.sql_mode,
                charset: query.charset,
                lower_case_names: self.options.lower_case_names,
            };
            statement.kind = ddl::classify_in(dialect, &statement.schema, &statement.text);
            if place == Place::Replayed {
                self.coming.push_front(Coming::Statement);
            } else {
                self.coming.push_back(Coming::Statement);
            }
        }
        if alone {
            self.finish(true, next);
        }
    }

    /// What was rolled back up to `offset` must not have been yielded.
    fn check_void(&self, offset: u64) -> Result<()> {
        let yielded = self.open.as_ref().and_then(|o| o.yielded);
        let torn = |void: &Range<u64>| void.end == offset && Some(void.start) <= yielded;
        if self.void.iter().any(torn) {
            return Err(self.unsupported(
                offset,
                format!(
                    "a transaction of more than {HELD_BYTES_MAX} bytes is rolled back after it \
                     made a temporary table; choose an instant after it"
                ),
            ));
        }
        Ok(())
    }

    fn xa_prepare(&mut self, seen: &Seen<'_>) -> Result<()> {
        let offset = seen.span.start;
        let event = XaPrepare::read(seen.body)
            .ok_or_else(|| self.damaged(offset, "the end of an XA transaction is malformed"))?;
        self.current.clear();
        let Some((_, kept)) = self.open.as_mut().and_then(|o| o.xa.take()) else {
            return Err(self.damaged(offset, "an XA transaction has no start"));
        };
        self.prepared.insert(event.xid.clone(), kept);
        if event.one_phase {
            return self.xa_commit(&event.xid, &seen.span);
        }
        self.open = None;
        Ok(())
    }

    /// Yields what was prepared.
    fn xa_commit(&mut self, xid: &Xid, span: &Range<u64>) -> Result<()> {
        let kept = self.prepared.remove(xid);
        if self.carrying {
            self.open = None;
            return Ok(());
        }
        let nothing = self.options.wanted.as_ref().is_some_and(HashSet::is_empty);
        if kept.is_none() && !nothing {
            return Err(self.unsupported(
                span.start,
                format!(
                    "the XA transaction {xid} is committed here, and was prepared before the \
                     history begins; choose an instant after it, or one before it was prepared"
                ),
            ));
        }
        if let Some(open) = &mut self.open {
            open.standalone = false;
            open.ends = Ends::Explicit;
        }
        self.begin();
        if let Some(kept) = kept {
            self.coming.push_back(Coming::Replay(Box::new(Replay {
                kept,
                at: 0,
                commit: span.start,
            })));
        }
        self.finish(true, span.end);
        Ok(())
    }

    /// Keeps an event for when the transaction is committed.
    fn keep(&mut self, whole: &[u8]) -> Result<()> {
        let taken: u64 = self.prepared.values().map(Kept::memory).sum();
        if let Some((_, kept)) = self.open.as_mut().and_then(|o| o.xa.as_mut()) {
            kept.push(whole)?;
            if kept.memory() + taken > self.options.xa_memory && !kept.is_spilled() {
                kept.spill(&self.options.spill)?;
            }
        }
        Ok(())
    }

    fn is_prepared(&self) -> bool {
        self.open.as_ref().is_some_and(|o| o.xa.is_some())
    }

    fn table_map(&mut self, seen: &Seen<'_>) -> Result<()> {
        let offset = seen.span.start;
        let malformed = "a table map is malformed";
        let id = Fields::new(seen.body)
            .number(6)
            .ok_or_else(|| self.damaged(offset, malformed))?;
        let table = match self.known.get(&id) {
            Some(known) if known.body == seen.body => known.table.clone(),
            _ => {
                let table = self.learn(seen.body, offset)?;
                if self.known.len() >= KNOWN_MAX {
                    self.known.clear();
                }
                let known = Known {
                    body: seen.body.to_vec(),
                    table: table.clone(),
                };
                self.known.insert(id, known);
                table
            }
        };
        if table.is_some() && self.is_prepared() {
            self.keep(seen.whole)?;
        }
        match self.current.iter_mut().find(|(i, _)| *i == id) {
            Some(slot) => slot.1 = table,
            None => self.current.push((id, table)),
        }
        Ok(())
    }

    /// The table that a table map tells, if it is wanted.
    fn learn(&self, body: &[u8], offset: u64) -> Result<Option<Arc<Table>>> {
        if let Some(wanted) = &self.options.wanted {
            let name =
                table_name(body).ok_or_else(|| self.damaged(offset, "a table map is malformed"))?;
            if !name.is_ok_and(|name| wanted.contains(&name)) {
                return Ok(None);
            }
        }
        let (_, name, layout) =
            read_table_map(body).map_err(|what| self.unsupported(offset, what))?;
        Ok(Some(Arc::new(Table { name, layout })))
    }

    /// The table of a rows event and whether its statement ends; `None` when
    /// there is nothing to read in it.
    fn rows_table(
        &mut self,
        fields: &mut Fields<'_>,
        offset: u64,
    ) -> Result<Option<(Arc<Table>, bool)>> {
        let (Some(id), Some(flags)) = (fields.number(6), fields.number(2)) else {
            return Err(self.damaged(offset, "an event with rows is malformed"));
        };
        let ends = flags & STATEMENT_ENDS != 0;
        let slot = self.current.iter().find(|(i, _)| *i == id);
        let table = match slot {
            Some((_, table)) => table.clone(),
            None if id == NO_TABLE => None,
            None => {
                return Err(self.damaged(
                    offset,
                    "rows come without the description of their table; \
                     read from before their transaction",
                ));
            }
        };
        if ends {
            self.current.clear();
        }
        Ok(table.map(|table| (table, ends)))
    }

    fn rows_event(&mut self, seen: &Seen<'_>, (kind, second, compressed): Sort) -> Result<()> {
        let offset = seen.span.start;
        let mut fields = Fields::new(seen.body);
        let Some((table, ends_statement)) = self.rows_table(&mut fields, offset)? else {
            return Ok(());
        };
        let Some(open) = &self.open else {
            return Err(self.damaged(offset, "rows come without a transaction"));
        };
        if open.xa.is_some() {
            return self.keep(seen.whole);
        }
        if self.void.iter().any(|void| void.contains(&offset)) {
            return Ok(());
        }
        let malformed = || self.damaged(offset, "an event with rows is malformed");
        if second {
            // The length counts itself.
            let extra = fields.length(2).and_then(|n| n.checked_sub(2));
            extra.and_then(|n| fields.take(n)).ok_or_else(malformed)?;
        }
        let columns = table.layout.columns().len();
        let width = fields.packed().ok_or_else(malformed)?;
        if width != columns as u64 {
            return Err(malformed());
        }
        let bitmaps = if kind == RowsKind::Update { 2 } else { 1 };
        for _ in 0..bitmaps {
            let bitmap = fields.take(columns.div_ceil(8)).ok_or_else(malformed)?;
            if !is_full(bitmap, columns) {
                return Err(self.unsupported(
                    offset,
                    format!(
                        "changes of {} were logged without all columns; \
                         set binlog_row_image to FULL, and choose an instant after that",
                        table.name
                    ),
                ));
            }
        }
        let rest = fields.rest();
        let (place, at, end) = if compressed {
            let inflated = self.inflater.inflate(rest, &mut self.inflated);
            inflated.map_err(|what| self.damaged(offset, what))?;
            (Place::Inflated, 0, self.inflated.len())
        } else {
            let end = seen.body_at + seen.body.len();
            (seen.place, end - rest.len(), end)
        };
        self.rows = Some(Rows {
            table,
            kind,
            place,
            at,
            end,
            ends_statement,
            event_at: offset,
        });
        Ok(())
    }

    fn partial_update(&mut self, seen: &Seen<'_>) -> Result<()> {
        let offset = seen.span.start;
        match self.rows_table(&mut Fields::new(seen.body), offset)? {
            None => Ok(()),
            Some((table, _)) => Err(self.unsupported(
                offset,
                format!(
                    "changes of {} were logged as parts of JSON documents; \
                     unset binlog_row_value_options, and choose an instant after that",
                    table.name
                ),
            )),
        }
    }

    /// The next row of the event that is being taken apart.
    #[inline]
    fn row(&mut self) -> Result<Option<Row>> {
        let Some(rows) = &mut self.rows else {
            return Ok(None);
        };
        if rows.at >= rows.end {
            self.rows = None;
            return Ok(None);
        }
        let bytes = match rows.place {
            Place::Block => &self.block.raw,
            Place::Held => &self.held,
            Place::Payload => &self.payload_event,
            Place::Replayed => &self.replayed,
            Place::Inflated => &self.inflated,
        };
        let layout = &rows.table.layout;
        let start = rows.at;
        let image = |at: usize| Some(at + layout.image_bytes(bytes.get(at..rows.end)?)?);
        let ends = image(start).and_then(|middle| match rows.kind {
            RowsKind::Update => Some((middle, image(middle)?)),
            _ => Some((middle, middle)),
        });
        // An image without a byte would never come to an end.
        let Some((middle, end)) = ends.filter(|(_, end)| *end > start) else {
            let (name, at) = (rows.table.name.clone(), rows.event_at);
            return Err(self.damaged(at, format!("a row of {name} does not fit its columns")));
        };
        rows.at = end;
        if let Some(open) = &mut self.open {
            open.yielded = Some(rows.event_at);
        }
        let (before, after) = match rows.kind {
            RowsKind::Insert => (None, Some(start..middle)),
            RowsKind::Update => (Some(start..middle), Some(middle..end)),
            RowsKind::Delete => (Some(start..middle), None),
        };
        Ok(Some(Row {
            before,
            after,
            ends_statement: rows.ends_statement && end == rows.end,
        }))
    }
}

/// The name in a table map. `None` when that is malformed, `Err` when the name
/// is none that can be asked for.
fn table_name(body: &[u8]) -> Option<std::result::Result<TableName, std::string::FromUtf8Error>> {
    let mut fields = Fields::new(body);
    fields.take(8)?;
    let mut part = || {
        let length = fields.length(1)?;
        let part = fields.take(length)?.to_vec();
        fields.take(1)?;
        Some(String::from_utf8(part))
    };
    let (schema, table) = (part()?, part()?);
    Some(schema.and_then(|schema| Ok(TableName::new(schema, table?))))
}

/// Whether the bitmap has the first `columns` bits set.
fn is_full(bitmap: &[u8], columns: usize) -> bool {
    let (whole, rest) = (columns / 8, columns % 8);
    let mask = (1_u8 << rest) - 1;
    bitmap.iter().take(whole).all(|b| *b == 0xff)
        && bitmap.get(whole).is_none_or(|b| b & mask == mask)
}
