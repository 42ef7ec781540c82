//! Copies of a table within a server, made while others write.
//!
//! Two ways:
//! - *by key*: chunks of the key's order, each a statement of its own, at READ
//!   COMMITTED, so that the original's rows are never locked (with row-format
//!   logs; at REPEATABLE READ the same statement would lock them). Such a copy
//!   is of no one instant: every row that was there all the time and did not
//!   change is in it as it is, and what was changed meanwhile must be written
//!   again from history.
//! - *by snapshot*: for tables without a key that chunks can follow. The copy is
//!   of one instant, and the place in the binary log that belongs to it is told.
//!
//! Both rest after each chunk for a part of the time that it took, so that
//! others get their share of the server.

use std::time::{Duration, Instant};

use backout_history::value::ColumnInfo;
use backout_history::{Position, TableName};
use mysql::Value;
use mysql::prelude::Queryable;

use crate::catalog::TableDef;
use crate::error::{Error, Result};
use crate::session::{Session, quoted};

/// How a copy is made.
#[derive(Clone, Debug)]
pub struct CopyOptions {
    /// The most rows of a chunk. What is in a chunk is written to the binary
    /// log as one transaction.
    pub chunk_rows: u64,
    /// About how many bytes of rows a chunk has at most.
    pub chunk_bytes: u64,
    /// How long a chunk should take. Chunks shrink and grow towards it.
    pub chunk_time: Duration,
    /// How long to rest after a chunk, in percent of the time that it took.
    pub rest_percent: u32,
}

impl Default for CopyOptions {
    fn default() -> Self {
        Self {
            chunk_rows: 20_000,
            // Fits into the transaction cache's first spill and keeps undo
            // short.
            chunk_bytes: 8 << 20,
            chunk_time: Duration::from_millis(150),
            rest_percent: 25,
        }
    }
}

/// A finished copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Copied {
    /// How many rows were written.
    pub rows: u64,
    /// For a copy by snapshot: the place in the binary log whose state it is.
    pub at: Option<Position>,
}

/// How often a chunk is tried that waits for a lock in vain. The target is
/// ours, and the source is not locked, so that this should never happen.
const TRIES: u32 = 5;

/// The fewest rows of a chunk, lest the work between chunks be more than that
/// within.
const CHUNK_ROWS_MIN: u64 = 100;

/// Copies all rows of `from` to `to`, which is there, is empty, and has the
/// same columns and key. Generated columns are made anew. The next value of an
/// AUTO_INCREMENT column is taken over. `progress` hears of the rows that were
/// written so far.
///
/// # Errors
/// [`Error::Table`] for a table that keeps old versions; [`Error::Settings`]
/// when a snapshot's place in the log cannot be told; [`Error::Cancelled`];
/// [`Error::Refused`], [`Error::Lost`]. What was written stays: drop `to`.
pub fn chunked(
    session: &mut Session,
    from: &TableName,
    to: &TableName,
    def: &TableDef,
    options: &CopyOptions,
    progress: &mut dyn FnMut(u64),
    cancelled: &dyn Fn() -> bool,
) -> Result<Copied> {
    if def.system_versioned {
        return Err(Error::Table {
            doing: "copy",
            table: from.clone(),
            why: "it keeps old versions of its rows, which a copy by statements would lose; \
                  restore it from a base backup"
                .to_owned(),
        });
    }
    let copied = if follows_key(def) {
        by_key(session, from, to, def, options, progress, cancelled)?
    } else {
        by_snapshot(session, from, to, def, options, progress, cancelled)?
    };
    if let Some(next) = def.auto_increment {
        session.exec(
            &format!("set the next number of {to}"),
            format!("ALTER TABLE {} AUTO_INCREMENT={next}", quoted(to)),
        )?;
    }
    Ok(copied)
}

/// Whether chunks can follow the key: texts of `ENUM` and `SET` compare in
/// another order than their index has, and bits come as text.
#[must_use]
pub fn follows_key(def: &TableDef) -> bool {
    let key = def.key_columns();
    !key.is_empty()
        && key
            .iter()
            .all(|column| !matches!(column.type_name().as_str(), "enum" | "set" | "bit"))
}

fn by_key(
    session: &mut Session,
    from: &TableName,
    to: &TableName,
    def: &TableDef,
    options: &CopyOptions,
    progress: &mut dyn FnMut(u64),
    cancelled: &dyn Fn() -> bool,
) -> Result<Copied> {
    let doing = format!("copy {from}");
    session.exec(
        &doing,
        "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
    )?;
    let key: Vec<String> = def.key_columns().iter().map(|c| c.quoted()).collect();
    let index = def.key_name.as_deref().unwrap_or("PRIMARY");
    let last: Vec<String> = (0..key.len()).map(|i| format!("@backout_{i}")).collect();
    let names = names(&def.inserted());
    // A unique value may have moved, while we copied, from a row that is in the
    // copy to one that comes later. The former changed since it was read: history
    // writes it again, so that it may go.
    let verb = if def.unique.is_empty() {
        "INSERT"
    } else {
        "REPLACE"
    };
    let head = format!(
        "{verb} INTO {} ({names}) SELECT {names} FROM {} FORCE INDEX ({})",
        quoted(to),
        quoted(from),
        crate::session::ident(index),
    );
    let behind = behind(&key, &last);
    let order = key.join(", ");
    // The target holds nothing behind the last chunk: its last key is where the
    // next one begins.
    let remember = format!(
        "SELECT {order} INTO {} FROM {} FORCE INDEX ({}) ORDER BY {} LIMIT 1",
        last.join(", "),
        quoted(to),
        crate::session::ident(index),
        key.iter()
            .map(|k| format!("{k} DESC"))
            .collect::<Vec<_>>()
            .join(", "),
    );
    let row_bytes = (def.data_bytes / def.rows.max(1)).clamp(16, options.chunk_bytes);
    let most = options
        .chunk_rows
        .min(options.chunk_bytes / row_bytes)
        .max(CHUNK_ROWS_MIN);
    let mut limit = most.min(1000);
    let mut rows = 0;
    let mut first = true;
    loop {
        if cancelled() {
            return Err(Error::Cancelled);
        }
        let began = Instant::now();
        let condition = if first {
            String::new()
        } else {
            format!(" WHERE {behind}")
        };
        let sql = format!("{head}{condition} ORDER BY {order} LIMIT {limit}");
        let affected = again(|| session.exec(&doing, &sql))?;
        let (read, replaced) = read_and_replaced(&session.conn().info_str(), affected);
        rows += read.saturating_sub(replaced);
        progress(rows);
        if read < limit {
            return Ok(Copied { rows, at: None });
        }
        if session.exec(&doing, &remember)? != 1 {
            return Err(Error::State {
                what: doing,
                why: "rows of the copy vanished; leave the copy alone until it is done".to_owned(),
            });
        }
        first = false;
        let took = began.elapsed();
        limit = next_limit(limit, took, options.chunk_time).clamp(CHUNK_ROWS_MIN, most);
        rest(took, options.rest_percent, cancelled);
    }
}

/// How many rows a statement read, and how many it replaced, by the server's
/// words: `Records: 3  Duplicates: 1  Warnings: 0`.
fn read_and_replaced(info: &str, affected: u64) -> (u64, u64) {
    let number = |word: &str| -> Option<u64> {
        let rest = info.split_once(word)?.1.trim_start();
        rest.split(|c: char| !c.is_ascii_digit())
            .next()?
            .parse()
            .ok()
    };
    match (number("Records:"), number("Duplicates:")) {
        (Some(read), Some(replaced)) => (read, replaced),
        _ => (affected, 0),
    }
}

/// Half as many rows when a chunk took too long, half as many more when it was
/// done in no time.
fn next_limit(limit: u64, took: Duration, wanted: Duration) -> u64 {
    if took > wanted {
        limit / 2
    } else if took < wanted / 2 {
        limit + limit / 2
    } else {
        limit
    }
}

/// The condition that tells the rows behind `last` in the order of the key. In
/// this form, and not as a comparison of tuples, the server makes ranges of it.
fn behind(key: &[String], last: &[String]) -> String {
    let mut alternatives = Vec::with_capacity(key.len());
    for i in 0..key.len() {
        let mut parts: Vec<String> = (0..i).map(|j| format!("{}={}", key[j], last[j])).collect();
        parts.push(format!("{}>{}", key[i], last[i]));
        alternatives.push(format!("({})", parts.join(" AND ")));
    }
    alternatives.join(" OR ")
}

fn names(columns: &[&ColumnInfo]) -> String {
    columns
        .iter()
        .map(|c| c.quoted())
        .collect::<Vec<_>>()
        .join(", ")
}

/// Runs a statement that commits by itself, again when it waited for a lock in
/// vain.
fn again<T>(mut run: impl FnMut() -> Result<T>) -> Result<T> {
    let mut tries = 1;
    loop {
        match run() {
            Err(e @ Error::Refused { .. }) if e.is_passing() && tries < TRIES => tries += 1,
            result => return result,
        }
    }
}

/// Rests for that part of the time; not longer once it is wanted no more.
fn rest(took: Duration, percent: u32, cancelled: &dyn Fn() -> bool) {
    const LONGEST: Duration = Duration::from_secs(2);
    const SLICE: Duration = Duration::from_millis(100);
    let mut left = (took * percent / 100).min(LONGEST);
    while !left.is_zero() && !cancelled() {
        let slice = left.min(SLICE);
        std::thread::sleep(slice);
        left -= slice;
    }
}

/// Rows that one statement inserts at most.
const INSERT_ROWS: usize = 200;

/// The most parameters of a statement, by the protocol.
const PARAMETERS_MAX: usize = 65_000;

/// About how many bytes one statement inserts at most, unless one row is
/// longer; less where the server takes less.
const INSERT_BYTES: u64 = 2 << 20;

fn by_snapshot(
    session: &mut Session,
    from: &TableName,
    to: &TableName,
    def: &TableDef,
    options: &CopyOptions,
    progress: &mut dyn FnMut(u64),
    cancelled: &dyn Fn() -> bool,
) -> Result<Copied> {
    let doing = format!("copy {from}");
    let mut reader = session.another()?;
    let columns = def.inserted();
    // Numbers and bytes for what has no text that could be stored as bytes: an
    // ENUM may hold 0, which no text names.
    let selected: Vec<String> = columns
        .iter()
        .map(|c| match c.type_name().as_str() {
            "enum" | "set" | "bit" => format!("{} + 0", c.quoted()),
            "uuid" | "inet6" => format!("CAST({} AS BINARY(16))", c.quoted()),
            "inet4" => format!("CAST({} AS BINARY(4))", c.quoted()),
            _ => c.quoted(),
        })
        .collect();
    reader.exec(
        &doing,
        "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ",
    )?;
    reader.exec(&doing, "START TRANSACTION WITH CONSISTENT SNAPSHOT")?;
    let at = snapshot_position(&mut reader, &doing)?;
    let select = reader
        .conn()
        .prep(format!(
            "SELECT {} FROM {}",
            selected.join(", "),
            quoted(from)
        ))
        .map_err(|e| session.fault(&doing, e))?;
    // Bytes as they are stored, in whatever character set.
    reader.exec(&doing, "SET character_set_results=NULL")?;

    let mut writer = Writer::new(session, to, &columns, &doing)?;
    let endpoint = reader.endpoint().to_string();
    let lost = |e: mysql::Error| Error::Lost {
        server: endpoint.clone(),
        doing: doing.clone(),
        why: e.to_string(),
    };
    let result = (|| {
        let rows = reader.conn().exec_iter(&select, ()).map_err(lost)?;
        let mut written = 0;
        let mut began = Instant::now();
        for row in rows {
            writer.row(row.map_err(lost)?.unwrap())?;
            if writer.written != written {
                written = writer.written;
                progress(written);
                if cancelled() {
                    return Err(Error::Cancelled);
                }
                rest(began.elapsed(), options.rest_percent, cancelled);
                began = Instant::now();
            }
        }
        writer.flush()?;
        progress(writer.written);
        Ok(Copied {
            rows: writer.written,
            at: Some(at),
        })
    })();
    if result.is_err() {
        // It would otherwise be read to its end before the connection closes.
        let id = reader.id();
        // The connection may be gone already; either way nothing is left.
        let _ = writer
            .session
            .exec("end the reading session", format!("KILL {id}"));
    }
    let names = writer.session.exec(&doing, crate::session::RESET_NAMES);
    let copied = result?;
    names?;
    Ok(copied)
}

/// The place in the binary log that belongs to the snapshot of this session.
fn snapshot_position(session: &mut Session, doing: &str) -> Result<Position> {
    let rows: Vec<(String, String)> =
        session.query(doing, "SHOW STATUS LIKE 'binlog\\_snapshot\\_%'")?;
    let value = |name: &str| {
        rows.iter()
            .find(|(n, _)| n.eq_ignore_ascii_case(name))
            .map(|(_, v)| v.clone())
    };
    let file =
        value("Binlog_snapshot_file").filter(|file| !file.is_empty() && file != "not_in_use");
    let offset = value("Binlog_snapshot_position").and_then(|offset| offset.parse().ok());
    match (file, offset) {
        (Some(file), Some(offset)) => Ok(Position { file, offset }),
        _ => Err(Error::Settings {
            why: "take a snapshot with its place in the binary log: the server tells none; set \
                  log_bin in its configuration and start it again"
                .to_owned(),
        }),
    }
}

/// Inserts rows in statements of bounded size.
struct Writer<'a> {
    session: &'a mut Session,
    doing: &'a str,
    many: mysql::Statement,
    one: mysql::Statement,
    batch_rows: usize,
    batch_bytes: u64,
    pending: Vec<Value>,
    pending_rows: usize,
    pending_bytes: u64,
    written: u64,
}

impl<'a> Writer<'a> {
    fn new(
        session: &'a mut Session,
        to: &TableName,
        columns: &[&ColumnInfo],
        doing: &'a str,
    ) -> Result<Self> {
        let batch_rows = (PARAMETERS_MAX / columns.len().max(1)).clamp(1, INSERT_ROWS);
        let marks = format!("({})", vec!["?"; columns.len()].join(", "));
        let head = format!("INSERT INTO {} ({}) VALUES ", quoted(to), names(columns));
        let mut prepare = |n: usize| {
            let sql = format!("{head}{}", vec![marks.as_str(); n].join(", "));
            session.conn().prep(sql)
        };
        let many = prepare(batch_rows);
        let one = prepare(1);
        let many = many.map_err(|e| session.fault(doing, e))?;
        let one = one.map_err(|e| session.fault(doing, e))?;
        // After the statements, whose names are UTF-8. Values are bytes as they
        // were stored. The one that an ENUM has when it has none of its members
        // cannot be stored strictly.
        let strict = if columns.iter().any(|c| c.type_name() == "enum") {
            ""
        } else {
            "STRICT_ALL_TABLES,"
        };
        session.exec(
            doing,
            format!(
                "SET NAMES binary, \
                 SESSION sql_mode='{strict}NO_AUTO_VALUE_ON_ZERO,ALLOW_INVALID_DATES'"
            ),
        )?;
        Ok(Self {
            batch_bytes: INSERT_BYTES.min(session.packet_bytes() / 2),
            session,
            doing,
            many,
            one,
            batch_rows,
            pending: Vec::new(),
            pending_rows: 0,
            pending_bytes: 0,
            written: 0,
        })
    }

    fn row(&mut self, values: Vec<Value>) -> Result<()> {
        let bytes: u64 = values.iter().map(Value::bin_len).sum();
        if self.pending_bytes + bytes > self.batch_bytes {
            self.flush()?;
        }
        self.pending_bytes += bytes;
        self.pending_rows += 1;
        self.pending.extend(values);
        if self.pending_rows == self.batch_rows {
            self.flush()?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        let values = std::mem::take(&mut self.pending);
        let rows = std::mem::take(&mut self.pending_rows);
        self.pending_bytes = 0;
        if rows == 0 {
            return Ok(());
        }
        if rows == self.batch_rows {
            self.insert(self.many.clone(), values)?;
        } else {
            let width = values.len() / rows;
            // One transaction, as the statement for many is.
            self.session.exec(self.doing, "START TRANSACTION")?;
            for row in values.chunks(width.max(1)) {
                self.insert(self.one.clone(), row.to_vec())?;
            }
            self.session.exec(self.doing, "COMMIT")?;
        }
        self.written += rows as u64;
        Ok(())
    }

    fn insert(&mut self, statement: mysql::Statement, values: Vec<Value>) -> Result<()> {
        self.session
            .conn()
            .exec_drop(statement, mysql::Params::Positional(values))
            .map_err(|e| self.session.fault(self.doing, e))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_behind_a_key_is_said_in_ranges() {
        let texts = |all: &[&str]| all.iter().map(|t| (*t).to_owned()).collect::<Vec<_>>();
        assert_eq!(behind(&texts(&["a"]), &texts(&["1"])), "(a>1)");
        assert_eq!(
            behind(&texts(&["a", "b", "c"]), &texts(&["1", "2", "3"])),
            "(a>1) OR (a=1 AND b>2) OR (a=1 AND b=2 AND c>3)"
        );
    }

    #[test]
    fn rows_are_counted_by_the_words_of_the_server() {
        let info = "Records: 30  Duplicates: 2  Warnings: 0";
        assert_eq!(read_and_replaced(info, 32), (30, 2));
        assert_eq!(read_and_replaced("", 7), (7, 0));
    }

    #[test]
    fn chunks_grow_and_shrink_towards_a_time() {
        let ms = Duration::from_millis;
        assert_eq!(next_limit(1000, ms(10), ms(100)), 1500);
        assert_eq!(next_limit(1000, ms(70), ms(100)), 1000);
        assert_eq!(next_limit(1000, ms(170), ms(100)), 500);
    }
}
