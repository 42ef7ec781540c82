//! Synthesised events: `BINLOG` statements that bring rows to another state.
//!
//! A statement holds a table map for the target and row events with the raw
//! images of a net effect. The server stores them as they are: nothing is
//! converted, generated or rounded.
//!
//! # Which order is always right
//!
//! Unique values must not meet on the way: two rows may have swapped theirs,
//! and what are two keys here may be one for the server (`a` and `A` by a
//! collation). So the work is done in two [phases](Phase). First all rows go
//! that shall not be there, or that change in any unique key. What is left then
//! has, in every unique key, the values that it has in the end. Whatever comes
//! afterwards, in any order and from any number of sessions, could only meet a
//! value that it meets in the end as well; and that state was a valid one.
//! Between the phases all sessions wait for each other.
//!
//! A row whose key differs only for us is told as a deletion and an insertion,
//! since the net effect knows it under two keys; the phases put them in order.
//!
//! # What a server makes of them
//!
//! Tried on MariaDB 10.11, with its binary log on, and held by a test:
//! - A session needs [`Synth::format_description`] once (else error 1609), and
//!   the privilege BINLOG REPLAY.
//! - They are part of the transaction that is open, and are rolled back with
//!   it. Without one, each is a transaction of its own.
//! - A row that is not there is error 1032, one that is there already 1062:
//!   nothing is done twice silently.
//! - Only the key is looked up, unless the table has none: the other columns of
//!   the row that is found are not compared with the image.
//! - Triggers do not fire, unless the server was told so for replication
//!   (`slave_run_triggers_for_rbr`).
//! - Foreign keys are neither checked nor do they cascade, unless asked for by
//!   [`SynthOptions::foreign_key_checks`]: then both happen, and what cascades
//!   is in no log of rows.
//! - They are logged as rows, with the server's own number and a new
//!   transaction id, at [`SynthOptions::time_s`], which stays the session's time:
//!   `SET timestamp = DEFAULT` ends that. A time in the future stays all the
//!   same, since a session's clock does not go back.
//! - Virtual columns are in the images, as they are in those of the log; so is
//!   the hidden column of a long unique text, after all others: a layout may
//!   have more columns than the catalogue tells.
//! - Sessions side by side may deadlock over secondary unique keys (error 1213).
//!   Without an open transaction just that statement is to be repeated.
//! - A table without any key is searched from its start for each row.

use std::ops::Range;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use crate::change::TableName;
use crate::error::{Error, Result};
use crate::event::{CHECKSUM_BYTES, Checksum, HEADER_BYTES, Kind};
use crate::layout::Layout;
use crate::net::{Direction, NetRow, NetRows};

/// Text of a statement, unless asked otherwise: it fits into the second-level
/// cache with the events that it is decoded into; longer ones cost more.
pub const TEXT_BYTES: usize = 256 << 10;

/// The table's number in the events: any will do.
const TABLE_ID: [u8; 6] = [1, 0, 0, 0, 0, 0];
/// `TM_BIT_LEN_EXACT_F`, as every server sets it.
const TABLE_FLAGS: u16 = 1;
/// Row events: the last one of a statement.
const STMT_END: u16 = 1;
/// Row events: foreign keys are not checked.
const NO_FOREIGN_KEY_CHECKS: u16 = 2;
/// Row events: `CHECK` constraints are not checked. The rows were there before,
/// whatever has been added since.
const NO_CHECK_CONSTRAINT_CHECKS: u16 = 0x80;

/// What the format description says of who wrote the events.
const WRITER: &[u8] = b"10.11.0-MariaDB";

/// What is asked of the statements.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SynthOptions {
    /// Which end of the window is wanted.
    pub direction: Direction,
    /// The columns of every unique key of the target beside the one that rows
    /// are told apart by: indices in the layout, from 0.
    pub unique: Vec<Vec<usize>>,
    /// Text that a statement does not exceed unless one row alone does, in
    /// bytes: [`TEXT_BYTES`], and less than the server's `max_allowed_packet`.
    pub text_bytes: usize,
    /// Unix seconds: when this happens. A server that logs what it does gives
    /// its own events this time; later than its clock it must not be.
    pub time_s: u32,
    /// Whether foreign keys are checked. Then they cascade as well.
    pub foreign_key_checks: bool,
    /// The columns of the primary key, in order of the layout, where images may
    /// be reduced to what the server needs (as it does itself with
    /// `binlog_row_image=MINIMAL`): of a row that goes its key, of one that
    /// changes its key and what changes. The server then has a third less to
    /// do. Not for tables with generated columns, nor where what is done is
    /// logged: `None` for whole images.
    pub reduce_to: Option<Vec<usize>>,
}

/// How many sets of changed columns a statement tells apart. Rows that change
/// in yet another set come with all their columns.
const SETS_MAX: usize = 8;

/// The two halves of bringing a table to another state. All of the first is
/// done, by all sessions, before any of the second begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Phase {
    /// Rows go: those that shall not be there, and those that change in a
    /// unique key.
    Remove,
    /// Rows come, or change in other columns.
    Write,
}

/// What is done to a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Act {
    Delete,
    Update,
    Write,
}

impl Act {
    const ALL: [Self; 3] = [Self::Delete, Self::Update, Self::Write];

    const fn kind(self) -> Kind {
        match self {
            Self::Delete => Kind::DELETE_ROWS_V1,
            Self::Update => Kind::UPDATE_ROWS_V1,
            Self::Write => Kind::WRITE_ROWS_V1,
        }
    }
}

/// Makes statements for one table.
#[derive(Clone, Debug)]
pub struct Synth {
    layout: Layout,
    options: SynthOptions,
    /// Columns of all unique keys, each once.
    unique: Vec<usize>,
    /// The table map event.
    table_map: Vec<u8>,
    /// Bytes of images that a statement may have.
    room: usize,
    /// Bitmaps of columns: all of them, and those that a row is found by.
    all: Vec<u8>,
    found_by: Vec<u8>,
}

impl Synth {
    /// For rows of that layout, to be written to `target`.
    #[must_use]
    pub fn new(layout: &Layout, target: &TableName, options: SynthOptions) -> Self {
        let mut table_map = Vec::new();
        begin(&mut table_map, Kind::TABLE_MAP, options.time_s);
        table_map.extend_from_slice(&TABLE_ID);
        table_map.extend_from_slice(&TABLE_FLAGS.to_le_bytes());
        for name in [&target.schema, &target.table] {
            // A server's names have 64 characters, of at most three bytes.
            let length = u8::try_from(name.len()).unwrap_or(u8::MAX);
            table_map.push(length);
            table_map.extend_from_slice(&name.as_bytes()[..usize::from(length)]);
            table_map.push(0);
        }
        table_map.extend_from_slice(layout.shape());
        end(&mut table_map, 0);
        let mut unique = options.unique.concat();
        unique.sort_unstable();
        unique.dedup();
        let columns = layout.columns().len();
        let all = bitmap(columns, 0..columns);
        let found_by = match &options.reduce_to {
            Some(key) => bitmap(columns, key.iter().copied()),
            None => all.clone(),
        };
        // Header, table id and flags, the number of columns, and two bitmaps.
        let head = HEADER_BYTES + TABLE_ID.len() + 2 + 3 + 2 * all.len();
        let heads = table_map.len() + (Act::ALL.len() + SETS_MAX) * head;
        Self {
            room: (options.text_bytes.saturating_sub(64) / 4 * 3).saturating_sub(heads),
            all,
            found_by,
            layout: layout.clone(),
            options,
            unique,
            table_map,
        }
    }

    /// What was asked.
    #[must_use]
    pub const fn options(&self) -> &SynthOptions {
        &self.options
    }

    /// The statement that a session needs once, before all others.
    #[must_use]
    pub fn format_description() -> String {
        statement(&format_description())
    }

    /// The statements of one phase for these rows.
    #[must_use]
    pub fn statements(&self, rows: NetRows, phase: Phase) -> Statements<'_> {
        Statements {
            synth: self,
            rows,
            phase,
            parts: Vec::new(),
            used: 0,
            kept: None,
            raw: Vec::new(),
            sql: String::new(),
            taking: Taking::default(),
        }
    }

    /// What is done to a row in this phase, and with which images.
    fn act<'a>(
        &self,
        row: &NetRow<'a>,
        phase: Phase,
        taking: &mut Taking,
    ) -> Option<(Act, [&'a [u8]; 2])> {
        match (row.step(self.options.direction), phase) {
            ((Some(now), None), Phase::Remove) => Some((Act::Delete, [now, &[]])),
            ((None, Some(wanted)), Phase::Write) => Some((Act::Write, [&[], wanted])),
            ((Some(now), Some(wanted)), phase) => {
                match (self.changes_unique(now, wanted, taking), phase) {
                    (true, Phase::Remove) => Some((Act::Delete, [now, &[]])),
                    (true, Phase::Write) => Some((Act::Write, [&[], wanted])),
                    (false, Phase::Remove) => None,
                    (false, Phase::Write) => Some((Act::Update, [now, wanted])),
                }
            }
            _ => None,
        }
    }

    /// Puts the bitmap of the columns whose values are to be written into `set`.
    fn written(
        &self,
        act: Act,
        [now, wanted]: [&[u8]; 2],
        taking: &mut Taking,
        set: &mut Vec<u8>,
    ) -> Result<()> {
        set.clone_from(&self.all);
        if self.options.reduce_to.is_none() || act != Act::Update {
            return Ok(());
        }
        set.fill(0);
        self.take_apart(now, &mut taking.now)?;
        self.take_apart(wanted, &mut taking.wanted)?;
        for (i, (a, b)) in taking.now.iter().zip(&taking.wanted).enumerate() {
            if value(now, a) != value(wanted, b) {
                set[i / 8] |= 1 << (i % 8);
            }
        }
        if set.iter().all(|byte| *byte == 0) {
            set.clone_from(&self.all);
        }
        Ok(())
    }

    /// Appends what an event has of a row, of which it writes the columns of
    /// `set`.
    fn images(
        &self,
        [now, wanted]: [&[u8]; 2],
        taking: &mut Taking,
        set: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<()> {
        for (image, columns, ranges) in [
            (now, &*self.found_by, &mut taking.now),
            (wanted, set, &mut taking.wanted),
        ] {
            if image.is_empty() || columns == self.all {
                out.extend_from_slice(image);
                continue;
            }
            self.take_apart(image, ranges)?;
            reduced(image, ranges, columns, out);
        }
        Ok(())
    }

    fn take_apart(&self, image: &[u8], ranges: &mut Vec<Option<Range<usize>>>) -> Result<()> {
        self.layout
            .take_apart(image, ranges)
            .ok_or_else(|| Error::Net {
                doing: "make a row event".to_owned(),
                what: "a row does not have the shape of its table".to_owned(),
                unsupported: false,
            })
    }

    fn changes_unique(&self, now: &[u8], wanted: &[u8], taking: &mut Taking) -> bool {
        if self.unique.is_empty() {
            return false;
        }
        let (a, b) = (&mut taking.now, &mut taking.wanted);
        if self.layout.take_apart(now, a).is_none() || self.layout.take_apart(wanted, b).is_none() {
            // The server will say what is wrong with it.
            return true;
        }
        self.unique.iter().any(|i| match (a.get(*i), b.get(*i)) {
            (Some(a), Some(b)) => value(now, a) != value(wanted, b),
            _ => false,
        })
    }
}

/// Where the values of two images are.
#[derive(Debug, Default)]
struct Taking {
    now: Vec<Option<Range<usize>>>,
    wanted: Vec<Option<Range<usize>>>,
}

/// Statements, one after another.
#[derive(Debug)]
pub struct Statements<'a> {
    synth: &'a Synth,
    rows: NetRows,
    phase: Phase,
    /// The events of the statement that is being made, and how many of them are
    /// in use; those behind lend their memory.
    parts: Vec<Part>,
    used: usize,
    /// A row that did not fit into the statement before, or not all of it:
    /// what is done to it, and how often yet.
    kept: Option<(Part, u64)>,
    raw: Vec<u8>,
    sql: String,
    taking: Taking,
}

/// What an event has, or what it has of one row.
#[derive(Debug)]
struct Part {
    act: Act,
    /// The bitmap of the columns that it changes.
    set: Vec<u8>,
    images: Vec<u8>,
}

impl Default for Part {
    fn default() -> Self {
        Self {
            act: Act::Delete,
            set: Vec::new(),
            images: Vec::new(),
        }
    }
}

/// A statement.
#[derive(Clone, Copy, Debug)]
pub struct Batch<'a> {
    /// Its text: `BINLOG '...'`.
    pub sql: &'a str,
    /// How many rows it changes.
    pub rows: u64,
}

impl Statements<'_> {
    /// The next statement; `None` when all are made.
    ///
    /// # Errors
    /// As [`NetRows::next`].
    #[expect(
        clippy::should_implement_trait,
        reason = "a batch borrows from the maker, which an Iterator cannot say"
    )]
    pub fn next(&mut self) -> Result<Option<Batch<'_>>> {
        self.used = 0;
        let mut bytes = 0;
        let mut rows = 0;
        let mut one = Part::default();
        loop {
            if let Some((row, left)) = self.kept.take() {
                let length = row.images.len();
                // That many fit; one is always taken.
                let fitting = (self.synth.room.saturating_sub(bytes) / length.max(1)) as u64;
                let fitting = if rows == 0 { fitting.max(1) } else { fitting }.min(left);
                for _ in 0..fitting {
                    self.add(&row);
                }
                bytes += length * usize::try_from(fitting).unwrap_or(usize::MAX);
                rows += fitting;
                if fitting < left {
                    self.kept = Some((row, left - fitting));
                    break;
                }
            }
            let Some(row) = self.rows.next()? else {
                break;
            };
            let Some((act, images)) = self.synth.act(&row, self.phase, &mut self.taking) else {
                continue;
            };
            one.act = act;
            one.images.clear();
            let (synth, taking) = (self.synth, &mut self.taking);
            synth.written(act, images, taking, &mut one.set)?;
            if !tells_apart(&self.parts[..self.used], &one) {
                one.set.clone_from(&synth.all);
            }
            synth.images(images, taking, &one.set, &mut one.images)?;
            if row.count == 1 && (rows == 0 || bytes + one.images.len() <= self.synth.room) {
                self.add(&one);
                bytes += one.images.len();
                rows += 1;
            } else {
                self.kept = Some((std::mem::take(&mut one), row.count));
            }
        }
        if rows == 0 {
            return Ok(None);
        }
        self.assemble();
        Ok(Some(Batch {
            sql: &self.sql,
            rows,
        }))
    }

    /// Adds a row to the event of its kind.
    fn add(&mut self, row: &Part) {
        let parts = &mut self.parts[..self.used];
        let place = parts
            .iter()
            .position(|part| part.act == row.act && part.set == row.set);
        let place = place.unwrap_or_else(|| {
            if self.used == self.parts.len() {
                self.parts.push(Part::default());
            }
            let part = &mut self.parts[self.used];
            part.act = row.act;
            part.set.clone_from(&row.set);
            part.images.clear();
            self.used += 1;
            self.used - 1
        });
        self.parts[place].images.extend_from_slice(&row.images);
    }

    /// Makes the text from the parts.
    fn assemble(&mut self) {
        let synth = self.synth;
        self.raw.clear();
        self.raw.extend_from_slice(&synth.table_map);
        let columns = synth.layout.columns().len();
        let parts = &mut self.parts[..self.used];
        // What goes makes room for what comes.
        parts.sort_by_key(|part| part.act);
        for (i, part) in parts.iter().enumerate() {
            let mut flags = NO_CHECK_CONSTRAINT_CHECKS;
            if !synth.options.foreign_key_checks {
                flags |= NO_FOREIGN_KEY_CHECKS;
            }
            if i + 1 == self.used {
                flags |= STMT_END;
            }
            let start = self.raw.len();
            begin(&mut self.raw, part.act.kind(), synth.options.time_s);
            self.raw.extend_from_slice(&TABLE_ID);
            self.raw.extend_from_slice(&flags.to_le_bytes());
            match u8::try_from(columns) {
                Ok(n) if n <= 250 => self.raw.push(n),
                _ => {
                    let [low, high, ..] = columns.to_le_bytes();
                    self.raw.extend_from_slice(&[252, low, high]);
                }
            }
            // An update has two: what a row is found by, and what changes.
            match part.act {
                Act::Delete => self.raw.extend_from_slice(&synth.found_by),
                Act::Write => self.raw.extend_from_slice(&synth.all),
                Act::Update => {
                    self.raw.extend_from_slice(&synth.found_by);
                    self.raw.extend_from_slice(&part.set);
                }
            }
            self.raw.extend_from_slice(&part.images);
            end(&mut self.raw, start);
        }
        self.sql.clear();
        write_statement(&self.raw, &mut self.sql);
    }
}

/// Whether a statement with these events may have another for rows that write
/// the columns of `row`.
fn tells_apart(parts: &[Part], row: &Part) -> bool {
    let updates = || parts.iter().filter(|part| part.act == Act::Update);
    row.act != Act::Update
        || updates().count() < SETS_MAX
        || updates().any(|part| part.set == row.set)
}

/// The value in an image, length and all.
fn value<'a>(image: &'a [u8], range: &Option<Range<usize>>) -> Option<&'a [u8]> {
    image.get(range.clone()?)
}

/// Appends the image that has only some columns of one.
fn reduced(image: &[u8], ranges: &[Option<Range<usize>>], columns: &[u8], out: &mut Vec<u8>) {
    let nulls = out.len();
    let there: u32 = columns.iter().map(|byte| byte.count_ones()).sum();
    out.resize(nulls + (there as usize).div_ceil(8), 0);
    let mut bit = 0;
    for (i, range) in ranges.iter().enumerate() {
        if columns[i / 8] >> (i % 8) & 1 == 0 {
            continue;
        }
        match value(image, range) {
            Some(value) => out.extend_from_slice(value),
            None => out[nulls + bit / 8] |= 1 << (bit % 8),
        }
        bit += 1;
    }
}

/// A bitmap of so many columns in which some are set.
fn bitmap(columns: usize, set: impl IntoIterator<Item = usize>) -> Vec<u8> {
    let mut bitmap = vec![0; columns.div_ceil(8)];
    for i in set {
        if let Some(byte) = bitmap.get_mut(i / 8) {
            *byte |= 1 << (i % 8);
        }
    }
    bitmap
}

/// Begins an event: its header, but for its length.
fn begin(out: &mut Vec<u8>, kind: Kind, time_s: u32) {
    let start = out.len();
    out.resize(start + HEADER_BYTES, 0);
    out[start..start + 4].copy_from_slice(&time_s.to_le_bytes());
    out[start + 4] = kind.0;
}

/// Ends the event that began at `start`: its length becomes known.
fn end(out: &mut [u8], start: usize) {
    let length = u32::try_from(out.len() - start).unwrap_or(u32::MAX);
    out[start + 9..start + 13].copy_from_slice(&length.to_le_bytes());
}

/// The event that tells a session how the others are made: version 4, no
/// checksums.
fn format_description() -> Vec<u8> {
    format_event(Checksum::None)
}

/// A format description event, as it stands at the begin of a log whose other
/// events are made so: for a log that is put together of parts of others.
#[must_use]
pub fn format_event(checksum: Checksum) -> Vec<u8> {
    /// Bytes that each kind of event has after its header, by kind, from 1.
    const KINDS: usize = 171;
    let mut lengths = [0u8; KINDS];
    for (kind, length) in [
        (1, 56),
        (2, 13),
        (4, 8),
        (6, 18),
        (8, 4),
        (9, 4),
        (10, 4),
        (11, 4),
        (12, 18),
        (15, 57 + KINDS as u8),
        (17, 4),
        (18, 26),
        (19, 8),
        (23, 8),
        (24, 8),
        (25, 8),
        (26, 2),
        (30, 10),
        (31, 10),
        (32, 10),
        (161, 4),
        (162, 19),
        (163, 4),
        (165, 13),
        (166, 8),
        (167, 8),
        (168, 8),
        (169, 10),
        (170, 10),
        (171, 10),
    ] {
        lengths[kind - 1] = length;
    }
    let mut raw = Vec::new();
    begin(&mut raw, Kind::FORMAT_DESCRIPTION, 0);
    raw.extend_from_slice(&4u16.to_le_bytes());
    let mut writer = [0; 50];
    writer[..WRITER.len()].copy_from_slice(WRITER);
    raw.extend_from_slice(&writer);
    raw.extend_from_slice(&0u32.to_le_bytes());
    raw.push(19);
    raw.extend_from_slice(&lengths);
    // This one has room for a checksum in any case.
    raw.push(u8::from(checksum == Checksum::Crc32));
    raw.extend_from_slice(&[0; CHECKSUM_BYTES]);
    end(&mut raw, 0);
    let covered = raw.len() - CHECKSUM_BYTES;
    let sum = crc32fast::hash(&raw[..covered]);
    raw[covered..].copy_from_slice(&sum.to_le_bytes());
    raw
}

fn statement(raw: &[u8]) -> String {
    let mut sql = String::new();
    write_statement(raw, &mut sql);
    sql
}

fn write_statement(raw: &[u8], sql: &mut String) {
    sql.push_str("BINLOG '");
    STANDARD.encode_string(raw, sql);
    sql.push('\'');
}
