//! Brings a table to the state that a net effect tells.
//!
//! | file | what it does |
//! |---|---|
//! | `apply.rs` | [`events`]: synthesised row events, for a table that is exactly as history says; [`upserts`]: statements, for a copy that was made while others wrote |
//! | `apply/in_place.rs` | [`in_place()`]: in one transaction, on a table that others use |
//! | `apply/rows.rs` | what is in the table, compared with what should be |
//!
//! Triggers do not fire for row events, and the next value of an AUTO_INCREMENT
//! column never goes back.

mod in_place;
pub(crate) mod rows;

pub use in_place::{Done, Follow, InPlace, InPlaceOptions, Until, in_place};

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use backout_history::synth::TEXT_BYTES;
use backout_history::value::{ColumnInfo, Generated, RowCodec, ValueError, WRITE_SETTINGS};
use backout_history::{Direction, NetFiles, NetRows, Phase, Synth, SynthOptions, TableName};

use crate::catalog::TableDef;
use crate::endpoint::Endpoint;
use crate::error::{Error, Result, number};
use crate::others::Others;
use crate::session::{Session, quoted};

/// What is applied to which table.
#[derive(Clone, Copy, Debug)]
pub struct Work<'a> {
    /// The net effect.
    pub net: &'a NetFiles,
    /// The place of the table in it.
    pub table: usize,
    /// Which end of its window is wanted.
    pub direction: Direction,
    /// The table to be written, which has the columns and keys of the original.
    pub target: &'a TableName,
    /// Its definition.
    pub def: &'a TableDef,
}

/// How it is applied.
#[derive(Clone, Debug)]
pub struct ApplyOptions<'a> {
    /// How many sessions work at a time, each on ranges of keys of its own.
    pub sessions: usize,
    /// Statements that each session runs first, e.g. `SET SESSION
    /// sql_log_bin=0` in a server of our own.
    pub setup: Vec<String>,
    /// Those for whom each session makes way.
    pub beside: Option<&'a Others>,
}

impl Default for ApplyOptions<'_> {
    fn default() -> Self {
        Self {
            sessions: 2,
            setup: Vec::new(),
            beside: None,
        }
    }
}

/// The most sessions at a time: more gain nothing, since they meet at the log.
const SESSIONS_MAX: usize = 16;

/// Parts of the rows for each session, so that none waits long for the last.
const PARTS_EACH: usize = 4;

/// How often a statement is tried that waited for a lock in vain: sessions may
/// meet at the edges of their ranges, and in secondary indexes.
const TRIES: u32 = 20;

/// How often progress is told, and cancellation asked for.
const TICK: Duration = Duration::from_millis(100);

/// Applies the net effect by synthesised row events. The table must be exactly
/// as history says, and nobody else may write to it. Our user needs the
/// privilege `BINLOG REPLAY`. `progress` hears of the rows done so far.
///
/// # Errors
/// [`Error::RowsChanged`] when the table is not as history says;
/// [`Error::Cancelled`]; [`Error::Refused`], [`Error::Lost`];
/// [`Error::History`]. What was applied stays, and applying again fails: make
/// the table anew.
pub fn events(
    endpoint: &Endpoint,
    work: &Work<'_>,
    options: &ApplyOptions<'_>,
    progress: &mut dyn FnMut(u64),
    cancelled: &dyn Fn() -> bool,
) -> Result<u64> {
    let Some(summary) = work.net.summaries().get(work.table) else {
        return Ok(0);
    };
    let Some(layout) = &summary.layout else {
        return Ok(0);
    };
    let mut first = Session::open(endpoint)?;
    let options_of_synth = SynthOptions {
        reduce_to: reduced_to(work.def, layout.columns().len()),
        ..synth_options(work.def, work.direction, first.packet_bytes(), false)
    };
    let synth = Synth::new(layout, work.target, options_of_synth);
    setup(&mut first, &options.setup)?;
    drop(first);
    let doing = format!("apply history to {}", work.target);
    let description = Synth::format_description();
    let mut done = 0;
    for phase in [Phase::Remove, Phase::Write] {
        done += parallel(
            endpoint,
            work,
            options,
            &mut |rows| progress(done + rows),
            cancelled,
            |session| session.exec(&doing, &description).map(|_| ()),
            |session, rows, report| {
                let mut statements = synth.statements(rows, phase);
                while let Some(batch) = statements.next()? {
                    again(|| session.exec(&doing, batch.sql))
                        .map_err(|e| not_as_told(e, work.target))?;
                    report(batch.rows)?;
                }
                Ok(())
            },
        )?;
    }
    Ok(done)
}

/// Applies the net effect by `DELETE` and `REPLACE` with the wanted rows'
/// values. The table may be a copy that was made while others wrote: whatever
/// it has of the touched rows, it has the wanted ones in the end. It needs a
/// key, and may be repeated.
///
/// # Errors
/// [`Error::Table`] without a key, or when a value cannot be told;
/// [`Error::Cancelled`]; [`Error::Refused`], [`Error::Lost`];
/// [`Error::History`].
pub fn upserts(
    endpoint: &Endpoint,
    work: &Work<'_>,
    options: &ApplyOptions<'_>,
    progress: &mut dyn FnMut(u64),
    cancelled: &dyn Fn() -> bool,
) -> Result<u64> {
    let Some(layout) = work
        .net
        .summaries()
        .get(work.table)
        .and_then(|summary| summary.layout.as_ref())
    else {
        return Ok(0);
    };
    let Some(key) = work.def.key.clone() else {
        return Err(Error::Table {
            doing: "write rows of",
            table: work.target.clone(),
            why: "its rows cannot be told apart, so that it must be copied by snapshot and \
                  written by events"
                .to_owned(),
        });
    };
    let codec = RowCodec::new(layout, &work.def.columns).map_err(|e| value_error(work, &e))?;
    let columns: Vec<usize> = (0..work.def.columns.len())
        .filter(|i| work.def.columns[*i].is_inserted())
        .collect();
    let names: Vec<String> = columns
        .iter()
        .map(|i| work.def.columns[*i].quoted())
        .collect();
    let doing = format!("write rows of {}", work.target);
    let target = quoted(work.target);
    // A `REPLACE` does not find every row that is in its way by a unique key that
    // is kept by a hash: what is to be written again goes first.
    let hashed = work.def.columns.iter().any(ColumnInfo::is_implicit_hash);
    let replace = format!("REPLACE INTO {target} ({}) VALUES ", names.join(","));
    let mut done = 0;
    for phase in [Phase::Remove, Phase::Write] {
        done += parallel(
            endpoint,
            work,
            options,
            &mut |rows| progress(done + rows),
            cancelled,
            |session| session.exec(&doing, WRITE_SETTINGS).map(|_| ()),
            |session, mut rows, report| {
                let mut codec = codec.clone();
                let limit = text_limit(session.packet_bytes());
                let mut batch = Batch::default();
                let run = |batch: &mut Batch, session: &mut Session| -> Result<()> {
                    if batch.rows == 0 {
                        return Ok(());
                    }
                    let sql = match phase {
                        Phase::Remove => format!(
                            "DELETE FROM {target} WHERE {}",
                            rows::keys_condition(work.def, &key, &batch.text)
                        ),
                        Phase::Write => format!("{replace}{}", batch.text.join(",")),
                    };
                    again(|| session.exec(&doing, &sql))?;
                    report(batch.rows)?;
                    *batch = Batch::default();
                    Ok(())
                };
                while let Some(row) = rows.next()? {
                    let (image, places) = match (row.step(work.direction), phase) {
                        ((Some(now), wanted), Phase::Remove) if wanted.is_none() || hashed => {
                            (now, &key)
                        }
                        ((_, Some(wanted)), Phase::Write) => (wanted, &columns),
                        _ => continue,
                    };
                    let mut text = String::from("(");
                    codec
                        .literals(image, places, &mut text)
                        .map_err(|e| value_error(work, &e))?;
                    text.push(')');
                    if batch.bytes + text.len() > limit || batch.rows == rows::KEYS_MAX {
                        run(&mut batch, session)?;
                    }
                    batch.add(text);
                }
                run(&mut batch, session)
            },
        )?;
    }
    Ok(done)
}

/// Rows of a statement in the making.
#[derive(Default)]
struct Batch {
    text: Vec<String>,
    bytes: usize,
    rows: u64,
}

impl Batch {
    fn add(&mut self, text: String) {
        self.bytes += text.len() + 1;
        self.rows += 1;
        self.text.push(text);
    }
}

/// What synthesised events need to know.
fn synth_options(
    def: &TableDef,
    direction: Direction,
    packet_bytes: u64,
    foreign_key_checks: bool,
) -> SynthOptions {
    let time_s = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |d| d.as_secs());
    SynthOptions {
        direction,
        unique: def.unique.clone(),
        text_bytes: text_limit(packet_bytes),
        time_s: u32::try_from(time_s).unwrap_or(u32::MAX),
        foreign_key_checks,
        reduce_to: None,
    }
}

/// The columns of the primary key, when that is all that the server needs of a
/// row to find and change it.
fn reduced_to(def: &TableDef, columns: usize) -> Option<Vec<usize>> {
    let plain = def.columns.len() == columns
        && def
            .columns
            .iter()
            .all(|column| column.generated == Generated::No);
    let primary = def.key_name.as_deref() == Some("PRIMARY");
    def.key.clone().filter(|_| plain && primary)
}

/// How long a statement may become, in bytes.
fn text_limit(packet_bytes: u64) -> usize {
    usize::try_from(packet_bytes / 2)
        .unwrap_or(TEXT_BYTES)
        .min(TEXT_BYTES)
}

fn value_error(work: &Work<'_>, error: &ValueError) -> Error {
    Error::Table {
        doing: "write rows of",
        table: work.target.clone(),
        why: error.to_string(),
    }
}

/// What it means when an event finds no row, or one too many.
fn not_as_told(error: Error, table: &TableName) -> Error {
    match error.number() {
        Some(number::KEY_NOT_FOUND | number::DUP_ENTRY) => Error::RowsChanged {
            table: table.clone(),
            why: format!(
                "it is not as its history says ({error}): something changed it without a trace in \
                 the binary log; use the restore road"
            ),
        },
        _ => error,
    }
}

fn setup(session: &mut Session, statements: &[String]) -> Result<()> {
    let doing = "set up the session";
    session.exec(
        doing,
        "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
    )?;
    for statement in statements {
        session.exec(doing, statement)?;
    }
    Ok(())
}

/// Runs a statement that commits by itself, again when it waited for a lock in
/// vain: nothing of it is left then.
fn again<T>(mut run: impl FnMut() -> Result<T>) -> Result<T> {
    let mut tries = 1;
    loop {
        match run() {
            Err(Error::Refused {
                number: number::LOCK_WAIT_TIMEOUT | number::LOCK_DEADLOCK,
                ..
            }) if tries < TRIES => tries += 1,
            result => return result,
        }
    }
}

/// Lets several sessions do something with the rows, each with a range at a
/// time, and returns how many rows were done.
fn parallel(
    endpoint: &Endpoint,
    work: &Work<'_>,
    options: &ApplyOptions<'_>,
    progress: &mut dyn FnMut(u64),
    cancelled: &dyn Fn() -> bool,
    begin: impl Fn(&mut Session) -> Result<()> + Sync,
    part: impl Fn(&mut Session, NetRows, &dyn Fn(u64) -> Result<()>) -> Result<()> + Sync,
) -> Result<u64> {
    let sessions = options.sessions.clamp(1, SESSIONS_MAX);
    let parts: Vec<Mutex<Option<NetRows>>> = work
        .net
        .parts(work.table, sessions * PARTS_EACH)?
        .into_iter()
        .map(|rows| Mutex::new(Some(rows)))
        .collect();
    let next = AtomicUsize::new(0);
    let stop = AtomicBool::new(false);
    let worker = |reports: SyncSender<Report>| {
        let report = |rows: u64| -> Result<()> {
            // Whoever listens ends only after us.
            let _ = reports.send(Report::Rows(rows));
            if let Some(others) = options.beside {
                others.make_way(&|| stop.load(Ordering::Relaxed));
            }
            if stop.load(Ordering::Relaxed) {
                return Err(Error::Cancelled);
            }
            Ok(())
        };
        let run = || -> Result<()> {
            let mut session = Session::open(endpoint)?;
            setup(&mut session, &options.setup)?;
            begin(&mut session)?;
            while let Some(rows) = parts.get(next.fetch_add(1, Ordering::Relaxed)) {
                let rows = rows.lock().unwrap_or_else(PoisonError::into_inner).take();
                if let Some(rows) = rows {
                    part(&mut session, rows, &report)?;
                }
                report(0)?;
            }
            Ok(())
        };
        let result = run();
        let _ = reports.send(Report::End(result));
    };
    std::thread::scope(|scope| {
        let workers = sessions.min(parts.len());
        let (sender, reports) = sync_channel(workers * 2);
        for _ in 0..workers {
            let sender = sender.clone();
            scope.spawn(|| worker(sender));
        }
        drop(sender);
        let mut done = 0;
        let mut failed: Option<Error> = None;
        let mut left = workers;
        while left > 0 {
            match reports.recv_timeout(TICK) {
                Ok(Report::Rows(rows)) => {
                    done += rows;
                    progress(done);
                }
                Ok(Report::End(result)) => {
                    left -= 1;
                    if let Err(e) = result {
                        stop.store(true, Ordering::Relaxed);
                        // The first is the cause; those that were told to stop
                        // say so.
                        failed.get_or_insert(e);
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                // A worker panicked; the scope tells.
                Err(RecvTimeoutError::Disconnected) => break,
            }
            if cancelled() {
                stop.store(true, Ordering::Relaxed);
            }
        }
        match failed {
            Some(e) => Err(e),
            None => Ok(done),
        }
    })
}

enum Report {
    Rows(u64),
    End(Result<()>),
}
