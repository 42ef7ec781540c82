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
use crate::error::Result;
use crate::event::{CHECKSUM_BYTES, Checksum, HEADER_BYTES, Kind};
use crate::layout::Layout;
use crate::net::{Direction, NetRow, NetRows};

/// Text of a statement, unless asked otherwise: half of the smallest
/// `max_allowed_packet` that a server comes with; longer ones gain nothing.
pub const TEXT_BYTES: usize = 1 << 20;

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
}

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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
        let heads = table_map.len() + 3 * rows_head(layout).0.len();
        Self {
            room: (options.text_bytes.saturating_sub(64) / 4 * 3).saturating_sub(heads),
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
            parts: Default::default(),
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

    fn changes_unique(&self, now: &[u8], wanted: &[u8], taking: &mut Taking) -> bool {
        if self.unique.is_empty() {
            return false;
        }
        let (a, b) = (&mut taking.now, &mut taking.wanted);
        if self.layout.take_apart(now, a).is_none() || self.layout.take_apart(wanted, b).is_none() {
            // The server will say what is wrong with it.
            return true;
        }
        self.unique.iter().any(|i| {
            let value = |image, ranges: &[Option<Range<usize>>]| -> Option<&[u8]> {
                let range = ranges.get(*i)?.clone()?;
                <[u8]>::get(image, range)
            };
            value(now, a) != value(wanted, b)
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
    /// The images of each kind of event of the statement that is being made.
    parts: [Vec<u8>; 3],
    /// A row that did not fit into the statement before, or not all of it:
    /// what is done to it, its image or images, and how often yet.
    kept: Option<(Act, Vec<u8>, u64)>,
    raw: Vec<u8>,
    sql: String,
    taking: Taking,
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
        self.parts.iter_mut().for_each(Vec::clear);
        let mut used = 0;
        let mut rows = 0;
        loop {
            if let Some((act, images, left)) = &mut self.kept {
                let part = &mut self.parts[*act as usize];
                while *left > 0 && (rows == 0 || used + images.len() <= self.synth.room) {
                    part.extend_from_slice(images);
                    used += images.len();
                    rows += 1;
                    *left -= 1;
                }
                if *left > 0 {
                    break;
                }
                self.kept = None;
            }
            let Some(row) = self.rows.next()? else {
                break;
            };
            let Some((act, images)) = self.synth.act(&row, self.phase, &mut self.taking) else {
                continue;
            };
            let length = images[0].len() + images[1].len();
            if row.count == 1 && (rows == 0 || used + length <= self.synth.room) {
                let part = &mut self.parts[act as usize];
                part.extend_from_slice(images[0]);
                part.extend_from_slice(images[1]);
                used += length;
                rows += 1;
            } else {
                self.kept = Some((act, images.concat(), row.count));
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

    /// Makes the text from the parts.
    fn assemble(&mut self) {
        let options = &self.synth.options;
        self.raw.clear();
        self.raw.extend_from_slice(&self.synth.table_map);
        let (head, columns) = rows_head(&self.synth.layout);
        let last = self.parts.iter().rposition(|p| !p.is_empty());
        for (act, part) in Act::ALL.into_iter().zip(&self.parts) {
            if part.is_empty() {
                continue;
            }
            let mut flags = NO_CHECK_CONSTRAINT_CHECKS;
            if !options.foreign_key_checks {
                flags |= NO_FOREIGN_KEY_CHECKS;
            }
            if last == Some(act as usize) {
                flags |= STMT_END;
            }
            let start = self.raw.len();
            begin(&mut self.raw, act.kind(), options.time_s);
            self.raw.extend_from_slice(&TABLE_ID);
            self.raw.extend_from_slice(&flags.to_le_bytes());
            self.raw.extend_from_slice(&head);
            if act == Act::Update {
                self.raw.extend_from_slice(&head[columns..]);
            }
            self.raw.extend_from_slice(part);
            end(&mut self.raw, start);
        }
        self.sql.clear();
        write_statement(&self.raw, &mut self.sql);
    }
}

/// What a row event has between its flags and its images: the number of
/// columns and a bitmap of those that are there, all; and where in it the
/// bitmap begins, of which an update has two.
fn rows_head(layout: &Layout) -> (Vec<u8>, usize) {
    let n = layout.columns().len();
    let mut head = match u8::try_from(n) {
        Ok(n) if n <= 250 => vec![n],
        _ => {
            let [low, high, ..] = n.to_le_bytes();
            vec![252, low, high]
        }
    };
    let columns = head.len();
    head.resize(columns + n.div_ceil(8), 0xff);
    if let Some(last) = head.last_mut()
        && !n.is_multiple_of(8)
    {
        *last = (1 << (n % 8)) - 1;
    }
    (head, columns)
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
