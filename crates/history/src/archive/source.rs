//! Hands chunks to a reader, without those that do not concern it.
//!
//! Groups are handed out whole: when a later chunk of a group concerns the
//! reader, so do its earlier ones, and all until its end. A thread of its own
//! reads and decompresses the next chunk while the one before is parsed.

use std::collections::HashSet;
use std::ops::ControlFlow;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};

use super::Archive;
use super::index::Entry;
use super::scan::{DdlNote, Notes, Prepared, Scanner};
use crate::change::{Position, TableName};
use crate::error::{Error, Result};
use crate::event::{HEADER_BYTES, Header, MAGIC};
use crate::source::{Block, Source};

/// Hands the events of an archive to a reader.
#[derive(Debug)]
pub struct ArchiveSource {
    state: State,
    skipped: u64,
}

#[derive(Debug)]
enum State {
    /// Nothing was asked for yet.
    Ready(Box<Order>),
    Running {
        blocks: Receiver<Result<Done>>,
        /// Buffers to be used again.
        back: Sender<Block>,
    },
    Ended,
}

#[derive(Debug)]
enum Done {
    Block(Block),
    /// The end; how many bytes were left out.
    End(u64),
}

/// What is to be read.
#[derive(Debug)]
struct Order {
    archive: Archive,
    incarnation: u32,
    from: Position,
    to: Position,
    names: Option<Names>,
}

/// Names of tables, compared without case: whether a server tells cases apart
/// is not known here, and reading a chunk too many does no harm.
#[derive(Clone, Debug, Default)]
pub(super) struct Names {
    tables: HashSet<TableName>,
    schemas: HashSet<String>,
}

impl Names {
    pub(super) fn new<'a>(tables: impl IntoIterator<Item = &'a TableName>) -> Self {
        let mut names = Self::default();
        for table in tables {
            names.add(table);
        }
        names
    }

    pub(super) fn add(&mut self, table: &TableName) -> bool {
        let table = lower(table);
        self.schemas.insert(table.schema.clone());
        self.tables.insert(table)
    }

    pub(super) fn has(&self, table: &TableName) -> bool {
        self.tables.contains(&lower(table))
    }

    /// Whether a definition statement is about one of them, or its database.
    pub(super) fn defined_by(&self, ddl: &DdlNote) -> bool {
        ddl.tables.iter().any(|table| self.has(table))
            || ddl
                .database
                .as_ref()
                .is_some_and(|name| self.schemas.contains(&name.to_lowercase()))
    }

    /// Whether a chunk with these notes must be read.
    pub(super) fn concerns(&self, notes: &Notes) -> bool {
        notes.opaque
            || notes.text
            || !notes.prepared.is_empty()
            || !notes.ended.is_empty()
            || notes.tables.iter().any(|(name, _, _)| self.has(name))
            || notes.ddl.iter().any(|ddl| self.defined_by(ddl))
    }

    /// Whether the group concerns them that a chunk with these notes begins
    /// within, as far as it is in that chunk.
    pub(super) fn concerns_head(&self, notes: &Notes) -> bool {
        let is_head = |at: u64| notes.first.is_none_or(|first| at < first);
        notes.opaque
            || notes.text
            || !notes.ended.is_empty()
            || notes.head_prepared
            || notes.head.iter().any(|name| self.has(name))
            || notes.ddl.iter().any(|ddl| is_head(ddl.at))
    }
}

fn lower(table: &TableName) -> TableName {
    TableName::new(table.schema.to_lowercase(), table.table.to_lowercase())
}

impl ArchiveSource {
    pub(super) fn new(
        archive: &Archive,
        incarnation: u32,
        from: &Position,
        to: &Position,
        names: Option<Names>,
    ) -> Self {
        Self {
            state: State::Ready(Box::new(Order {
                archive: archive.clone(),
                incarnation,
                from: from.clone(),
                to: to.clone(),
                names,
            })),
            skipped: 0,
        }
    }

    /// How many bytes of the log were left out; known at the end.
    #[must_use]
    pub const fn skipped_bytes(&self) -> u64 {
        self.skipped
    }
}

impl Source for ArchiveSource {
    fn next_block(&mut self, block: &mut Block) -> Result<bool> {
        if let State::Ready(_) = self.state
            && let State::Ready(order) = std::mem::replace(&mut self.state, State::Ended)
        {
            // One block waits while the one before is parsed and the one after
            // is read.
            let (send, blocks) = sync_channel(1);
            let (back, buffers) = channel();
            std::thread::Builder::new()
                .name("archive-read".to_owned())
                .spawn(move || {
                    let mut feeder = Feeder::new(&order, &send, &buffers);
                    let last = match feeder.run() {
                        Ok(()) => Ok(Done::End(feeder.skipped)),
                        Err(error) => Err(error),
                    };
                    // Nobody may be listening any more.
                    let _ = send.send(last);
                })
                .map_err(|e| Error::Archive {
                    doing: "read the archive".to_owned(),
                    why: e.to_string(),
                    passing: true,
                })?;
            self.state = State::Running { blocks, back };
        }
        let State::Running { blocks, back } = &self.state else {
            return Ok(false);
        };
        match blocks.recv() {
            Ok(Ok(Done::Block(next))) => {
                let used = std::mem::replace(block, next);
                let _ = back.send(used);
                Ok(true)
            }
            Ok(Ok(Done::End(skipped))) => {
                self.skipped = skipped;
                self.state = State::Ended;
                Ok(false)
            }
            Ok(Err(error)) => {
                self.state = State::Ended;
                Err(error)
            }
            Err(_) => Err(Error::Archive {
                doing: "read the archive".to_owned(),
                why: "its reader ended without a word".to_owned(),
                passing: false,
            }),
        }
    }
}

struct Feeder<'a> {
    order: &'a Order,
    send: &'a SyncSender<Result<Done>>,
    buffers: &'a Receiver<Block>,
    /// Chunks of a group that goes on, none of which was handed out, and from
    /// where on they belong to it.
    pending: Vec<(Entry, u64)>,
    /// Whether the last chunk was handed out and ends within a group.
    open: bool,
    /// The file of which just the format description was handed out, and where
    /// that ends.
    begun: Option<(String, u64)>,
    /// XA transactions that are prepared where reading begins.
    carry: Vec<u8>,
    skipped: u64,
}

/// The reader hung up.
struct HungUp;

impl<'a> Feeder<'a> {
    fn new(
        order: &'a Order,
        send: &'a SyncSender<Result<Done>>,
        buffers: &'a Receiver<Block>,
    ) -> Self {
        Self {
            order,
            send,
            buffers,
            pending: Vec::new(),
            open: false,
            begun: None,
            carry: Vec::new(),
            skipped: 0,
        }
    }

    fn run(&mut self) -> Result<()> {
        let order = self.order;
        if order.from == order.to {
            return Ok(());
        }
        let mut first = true;
        order
            .archive
            .core()
            .walk(order.incarnation, Some(&order.from), |entry, prepared| {
                if entry.at() >= order.to {
                    return Ok(ControlFlow::Break(()));
                }
                if first {
                    first = false;
                    self.carry = self.context(entry, prepared)?;
                }
                Ok(match self.entry(entry)? {
                    Ok(()) => ControlFlow::Continue(()),
                    Err(HungUp) => ControlFlow::Break(()),
                })
            })
    }

    fn entry(&mut self, entry: &Entry) -> Result<Result<(), HungUp>> {
        let names = self.order.names.as_ref();
        let notes = &entry.notes;
        let inside = notes.inside.is_some();
        let concerned = names.is_none_or(|names| names.concerns(notes));
        let head = inside
            && (self.open || (concerned && names.is_none_or(|names| names.concerns_head(notes))));
        let from = match notes.first {
            // The group that it begins within may be left out.
            Some(first) if inside && !head => Some(first),
            None if inside && !head => None,
            _ => Some(entry.start),
        };
        if let Some(from) = from
            && (head || concerned)
        {
            for (entry, from) in std::mem::take(&mut self.pending) {
                if head {
                    self.skipped = self.skipped.saturating_sub(entry.bytes());
                    if self.hand_out(&entry, from)?.is_err() {
                        return Ok(Err(HungUp));
                    }
                }
            }
            self.open = notes.open;
            return self.hand_out(entry, from);
        }
        self.open = false;
        self.skipped += entry.bytes();
        if !entry.notes.open || entry.notes.last.is_some() {
            self.pending.clear();
        }
        if entry.notes.open {
            let light = Entry {
                notes: Notes::default(),
                ..entry.clone()
            };
            self.pending
                .push((light, notes.last.unwrap_or(entry.start)));
        }
        if let Some(format) = &entry.notes.format {
            let mut block = self.buffer();
            block.at = Position {
                file: entry.file.clone(),
                offset: MAGIC.len() as u64,
            };
            block.checksum = entry.checksum();
            block.raw.extend_from_slice(format);
            self.begun = Some((entry.file.clone(), block.at.offset + format.len() as u64));
            return Ok(self.send(block));
        }
        Ok(Ok(()))
    }

    /// An empty block.
    fn buffer(&self) -> Block {
        let mut block: Block = self.buffers.try_recv().unwrap_or_default();
        block.raw.clear();
        block.carry.clear();
        block
    }

    fn send(&mut self, mut block: Block) -> Result<(), HungUp> {
        block.carry.append(&mut self.carry);
        self.send.send(Ok(Done::Block(block))).map_err(|_| HungUp)
    }

    fn hand_out(&mut self, entry: &Entry, from: u64) -> Result<Result<(), HungUp>> {
        let order = self.order;
        let mut block = self.buffer();
        let core = order.archive.core();
        core.fetch(order.incarnation, entry, &mut block.raw)?;
        let mut from = from.max(MAGIC.len() as u64);
        if entry.file == order.from.file {
            from = from.max(order.from.offset);
        }
        if let Some((file, behind)) = &self.begun
            && *file == entry.file
        {
            from = from.max(*behind);
        }
        let mut to = entry.end;
        if entry.file == order.to.file {
            to = to.min(order.to.offset);
        }
        if from >= to {
            return Ok(Ok(()));
        }
        clip(entry, &mut block.raw, from, to)?;
        block.at = Position {
            file: entry.file.clone(),
            offset: from,
        };
        block.checksum = entry.checksum();
        Ok(self.send(block))
    }

    /// What a reader must know that begins at `from`: the prepared XA
    /// transactions, whole.
    fn context(&self, entry: &Entry, prepared: &[Prepared]) -> Result<Vec<u8>> {
        let order = self.order;
        let core = order.archive.core();
        let mut prepared = prepared.to_vec();
        let mut raw = Vec::new();
        if entry.file == order.from.file && entry.start < order.from.offset {
            core.fetch(order.incarnation, entry, &mut raw)?;
            let mut scanner = Scanner::resume(&entry.file, entry.checksum(), &entry.notes);
            scanner.prepared = prepared;
            for (offset, event) in events(entry.start, &raw) {
                if offset >= order.from.offset {
                    break;
                }
                scanner.event(offset, event)?;
            }
            if let Some(group) = scanner.group() {
                return Err(Error::Gap {
                    what: format!(
                        "read history from {} on: that is within the transaction at byte {}; \
                         begin where one begins",
                        order.from, group.start
                    ),
                });
            }
            prepared = scanner.prepared;
        }
        prepared.sort_by(|a, b| {
            let at = |p: &Prepared| Position {
                file: p.file.clone(),
                offset: p.start,
            };
            at(a).cmp(&at(b))
        });
        let mut carry = Vec::new();
        for p in prepared {
            let from = Position {
                file: p.file.clone(),
                offset: p.start,
            };
            let mut found = 0;
            core.walk(order.incarnation, Some(&from), |entry, _| {
                if entry.file != p.file || entry.start >= p.end {
                    return Ok(ControlFlow::Break(()));
                }
                core.fetch(order.incarnation, entry, &mut raw)?;
                let (from, to) = (entry.start.max(p.start), entry.end.min(p.end));
                clip(entry, &mut raw, from, to)?;
                found += to - from;
                carry.extend_from_slice(&raw);
                Ok(ControlFlow::Continue(()))
            })?;
            if found != p.end - p.start {
                return Err(Error::Gap {
                    what: format!(
                        "read history from {} on: the XA transaction {} was prepared before, at \
                         {from}, which is not in the archive any more",
                        order.from, p.xid
                    ),
                });
            }
        }
        Ok(carry)
    }
}

/// Leaves what is between two offsets of the file, both between events.
fn clip(entry: &Entry, raw: &mut Vec<u8>, from: u64, to: u64) -> Result<()> {
    let begins =
        |at: u64| at == entry.end || events(entry.start, raw).any(|(offset, _)| offset == at);
    for at in [from, to] {
        if !begins(at) {
            return Err(Error::Gap {
                what: format!(
                    "read history at {}:{at}: no event begins there; take a position that the \
                     server or this archive told",
                    entry.file
                ),
            });
        }
    }
    let index = |at: u64| usize::try_from(at - entry.start).unwrap_or(usize::MAX);
    raw.truncate(index(to));
    raw.drain(..index(from).min(raw.len()));
    Ok(())
}

/// The events in the bytes of a chunk that begins at `start` of its file.
pub(super) fn events(start: u64, raw: &[u8]) -> impl Iterator<Item = (u64, &[u8])> {
    let mut at = if start == 0 { MAGIC.len() } else { 0 };
    std::iter::from_fn(move || {
        let rest = raw.get(at..)?;
        let header = Header::read(rest)?;
        let event = rest.get(..(header.bytes as usize).max(HEADER_BYTES))?;
        let offset = start + at as u64;
        at += event.len();
        Some((offset, event))
    })
}
