//! Digests of tables, by which results are proved.
//!
//! The server hashes each row, and adds the hashes up; [`RowCodec`] computes the
//! same from row images, so that what a table must become is known before it is
//! made: see [`backout_history::digest`].

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use backout_history::layout::Layout;
use backout_history::value::{DIGEST_SETTINGS, ValueError, row_hash_expression};
use backout_history::{ColumnInfo, Direction, Generated, NetFiles, NetRows, RowCodec, RowDigest};

use crate::apply::rows::{Image, check};
use crate::catalog::TableDef;
use crate::endpoint::Endpoint;
use crate::error::{Error, Result};
use crate::others::{self, REST};
use crate::session::{Session, ident, quoted};

/// The most sessions at a time: hashing is the server's work, one core each.
const SESSIONS_MAX: usize = 16;

/// About how many rows a part has: some hundredths of a second, the longest
/// that one of two cores is taken from others at a time.
const PART_ROWS: u64 = 25_000;

/// How many parts one statement covers where nobody else is at work: some tenths
/// of a second, so that a cancellation is heard soon and no session waits long
/// for the last one. A server reads pages ahead only of long stretches.
const PARTS_AT_ONCE: usize = 10;

/// How long a session that has nothing to do beside others waits.
const WAIT: Duration = Duration::from_millis(120);

/// The most parts: keys with wide gaps make many of them empty, at no cost.
const PARTS_MAX: u64 = 4096;

/// Rows between two questions whether to go on.
const ROWS_BETWEEN_QUESTIONS: u64 = 10_000;

/// What the server says when it does not know a function.
const NO_SUCH_FUNCTION: u16 = 1305;

/// Whose work the server is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// Ours: as fast as it goes.
    Own,
    /// That of others. While they have statements running, one session works in
    /// small parts and rests between them.
    Beside,
}

/// The digest of a whole table; of a system-versioned one with its history.
///
/// With one session it is of one instant, whoever writes meanwhile. With more,
/// nobody may write: each reads a range of keys of its own, at its own time.
/// Only tables whose key begins with an integer are divided so.
///
/// # Errors
/// [`Error::Table`] when values of the table cannot be told, or the server has
/// no `CRC32C` (MariaDB has it since 10.8); as [`Session::open`] and
/// [`Session::exec`]; [`Error::Cancelled`].
pub fn digest(
    endpoint: &Endpoint,
    def: &TableDef,
    sessions: usize,
    pace: Pace,
    cancelled: &(dyn Fn() -> bool + Sync),
) -> Result<RowDigest> {
    let doing = format!("compute the digest of {}", def.name);
    let odd = |e: ValueError| odd(def, &e);
    let hash = row_hash_expression(&def.columns).map_err(odd)?;
    let mut session = open(endpoint)?;
    let sessions = sessions.clamp(1, SESSIONS_MAX);
    if sessions == 1 {
        session.exec(
            &doing,
            "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ",
        )?;
        session.exec(&doing, "START TRANSACTION WITH CONSISTENT SNAPSHOT")?;
    }
    let parts = parts(&mut session, def, &doing)?;
    let history = if def
        .columns
        .iter()
        .any(|c| c.generated == Generated::RowStart)
    {
        " FOR SYSTEM_TIME ALL"
    } else {
        ""
    };
    let head = format!(
        "SELECT COUNT(*), CAST(COALESCE(SUM({hash}),0) AS CHAR) FROM {}{history}",
        quoted(&def.name),
    );
    let queue = Queue {
        head: &head,
        parts: &parts,
        sessions,
        next: AtomicUsize::new(0),
        failed: AtomicBool::new(false),
        pace,
        ours: Mutex::new(vec![session.id()]),
        sum: Mutex::new(RowDigest::default()),
    };
    let work = |session: &mut Session, first: bool| -> Result<()> {
        let done = queue.work(session, first, &doing, cancelled);
        if done.is_err() {
            queue.failed.store(true, Ordering::Relaxed);
        }
        done
    };
    std::thread::scope(|scope| {
        let others: Vec<_> = (1..sessions.min(parts.len()))
            .map(|_| {
                scope.spawn(|| {
                    let mut session = open(endpoint)?;
                    locked(&queue.ours).push(session.id());
                    work(&mut session, false)
                })
            })
            .collect();
        let mut done = work(&mut session, true);
        for other in others {
            let theirs = other.join().unwrap_or_else(|_| {
                Err(Error::State {
                    what: doing.clone(),
                    why: "a thread panicked; report it".to_owned(),
                })
            });
            done = done.and(theirs);
        }
        done
    })
    .map_err(|e| match e {
        Error::Refused {
            number: NO_SUCH_FUNCTION,
            ..
        } => Error::Table {
            doing: "compute the digest of",
            table: def.name.clone(),
            why: "the server has no function CRC32C; it needs MariaDB 10.8 or later".to_owned(),
        },
        other => other,
    })?;
    let sum = *locked(&queue.sum);
    Ok(sum)
}

fn open(endpoint: &Endpoint) -> Result<Session> {
    let mut session = Session::open(endpoint)?;
    session.exec("set up the session", DIGEST_SETTINGS)?;
    Ok(session)
}

fn odd(def: &TableDef, error: &ValueError) -> Error {
    Error::Table {
        doing: "compute the digest of",
        table: def.name.clone(),
        why: error.to_string(),
    }
}

fn locked<T>(value: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    value.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Parts of a table that sessions take one after another.
struct Queue<'a> {
    head: &'a str,
    /// Together they have every row, and no two the same; in order.
    parts: &'a [Part],
    /// How many sessions take them, at least 1.
    sessions: usize,
    next: AtomicUsize,
    failed: AtomicBool,
    pace: Pace,
    /// The ids of our sessions.
    ours: Mutex<Vec<u32>>,
    sum: Mutex<RowDigest>,
}

impl Queue<'_> {
    fn work(
        &self,
        session: &mut Session,
        first: bool,
        doing: &str,
        cancelled: &(dyn Fn() -> bool + Sync),
    ) -> Result<()> {
        loop {
            let busy = self.pace == Pace::Beside && self.others_work(session)?;
            if busy && !first {
                // The first does it alone for now.
                if self.next.load(Ordering::Relaxed) >= self.parts.len() {
                    return Ok(());
                }
                self.rest(WAIT, cancelled)?;
                continue;
            }
            let began = Instant::now();
            let parts = if busy { 1 } else { self.share() };
            if !self.take(session, parts, doing, cancelled)? {
                return Ok(());
            }
            if busy {
                self.rest(began.elapsed() * REST, cancelled)?;
            }
        }
    }

    /// How many parts a session takes at once that nobody hinders: fewer towards
    /// the end, so that all end at about the same time.
    fn share(&self) -> usize {
        let left = (self.parts.len()).saturating_sub(self.next.load(Ordering::Relaxed));
        (left / (2 * self.sessions)).clamp(1, PARTS_AT_ONCE)
    }

    /// Whether others have statements running.
    fn others_work(&self, session: &mut Session) -> Result<bool> {
        let ours = locked(&self.ours).clone();
        others::busy_but(session, &ours)
    }

    fn rest(&self, span: Duration, cancelled: &(dyn Fn() -> bool + Sync)) -> Result<()> {
        others::rest(span, &|| self.failed.load(Ordering::Relaxed) || cancelled());
        if cancelled() && !self.failed.load(Ordering::Relaxed) {
            return Err(Error::Cancelled);
        }
        Ok(())
    }

    /// Does that many of the next parts; `false` when none is left.
    fn take(
        &self,
        session: &mut Session,
        many: usize,
        doing: &str,
        cancelled: &(dyn Fn() -> bool + Sync),
    ) -> Result<bool> {
        let at = self.next.fetch_add(many, Ordering::Relaxed);
        let end = at.saturating_add(many).min(self.parts.len());
        let Some(part) = self.parts.get(at..end).and_then(Part::of) else {
            return Ok(false);
        };
        if self.failed.load(Ordering::Relaxed) {
            return Ok(false);
        }
        if cancelled() {
            return Err(Error::Cancelled);
        }
        let (rows, sum): (u64, String) = session
            .first(doing, format!("{}{}", self.head, part.condition()))?
            .unwrap_or_default();
        let sum = sum.parse().map_err(|_| Error::State {
            what: doing.to_owned(),
            why: format!("the server said that a sum is {sum:?}; report it"),
        })?;
        locked(&self.sum).add(&RowDigest::new(rows, sum));
        Ok(true)
    }
}

/// Some rows of a table.
#[derive(Clone, Debug, Default)]
struct Part {
    /// The key and its first column, quoted; `None` is the whole table.
    by: Option<(String, String)>,
    /// The least value of that column; `None` is open.
    from: Option<i128>,
    /// What all values are less than; `None` is open.
    to: Option<i128>,
}

impl Part {
    /// Neighbouring parts as one; `None` when there are none.
    fn of(parts: &[Self]) -> Option<Self> {
        let (first, last) = (parts.first()?, parts.last()?);
        Some(Self {
            to: last.to,
            ..first.clone()
        })
    }

    /// What follows the table's name in a statement.
    fn condition(&self) -> String {
        let Some((index, column)) = &self.by else {
            return String::new();
        };
        let ends: Vec<String> = (self.from.iter().map(|from| format!("{column} >= {from}")))
            .chain(self.to.iter().map(|to| format!("{column} < {to}")))
            .collect();
        let head = format!(" FORCE INDEX ({index})");
        match ends.is_empty() {
            true => head,
            false => format!("{head} WHERE {}", ends.join(" AND ")),
        }
    }
}

/// Parts of about [`PART_ROWS`] rows, by ranges of the key's first column when
/// that is an integer; else one part.
fn parts(session: &mut Session, def: &TableDef, doing: &str) -> Result<Vec<Part>> {
    let whole = vec![Part::default()];
    let wanted = (def.rows / PART_ROWS).min(PARTS_MAX);
    let (Some(column), Some(index)) = (def.key_columns().first().copied(), &def.key_name) else {
        return Ok(whole);
    };
    let integer = matches!(
        column.type_name().as_str(),
        "tinyint" | "smallint" | "mediumint" | "int" | "bigint"
    );
    if !integer || wanted < 2 {
        return Ok(whole);
    }
    let name = column.quoted();
    let index = ident(index);
    let ends: Option<(Option<String>, Option<String>)> = session.first(
        doing,
        format!(
            "SELECT CAST(MIN({name}+0) AS CHAR), CAST(MAX({name}+0) AS CHAR) FROM {} FORCE INDEX ({index})",
            quoted(&def.name),
        ),
    )?;
    let number = |text: Option<String>| text.and_then(|t| t.parse::<i128>().ok());
    let Some((least, greatest)) = ends.and_then(|(a, b)| Some((number(a)?, number(b)?))) else {
        return Ok(whole);
    };
    let step = (greatest - least) / i128::from(wanted) + 1;
    // Open at both ends: whoever writes meanwhile may be outside of them.
    let mut parts = Vec::new();
    let mut part = Part {
        by: Some((index, name)),
        from: None,
        to: Some(least + step),
    };
    while let Some(to) = part.to.filter(|to| *to <= greatest) {
        parts.push(part.clone());
        part.from = Some(to);
        part.to = Some(to + step);
    }
    part.to = None;
    parts.push(part);
    Ok(parts)
}

/// What the digest of a table will be when the net effect is applied to one
/// whose digest is `now`.
///
/// # Errors
/// [`Error::History`] when the net effect cannot be read, or its values cannot
/// be told; [`Error::Cancelled`].
pub fn predicted(
    net: &NetFiles,
    table: usize,
    columns: &[ColumnInfo],
    direction: Direction,
    now: RowDigest,
    cancelled: &dyn Fn() -> bool,
) -> Result<RowDigest> {
    let mut digest = now;
    let Some(layout) = net.summaries().get(table).and_then(|s| s.layout.as_ref()) else {
        // Nothing was touched.
        return Ok(digest);
    };
    let mut codec = RowCodec::new(layout, columns).map_err(backout_history::Error::from)?;
    let mut rows = net.rows(table)?;
    let mut seen: u64 = 0;
    while let Some(row) = rows.next()? {
        if seen.is_multiple_of(ROWS_BETWEEN_QUESTIONS) && cancelled() {
            return Err(Error::Cancelled);
        }
        seen += 1;
        let (is, shall) = row.step(direction);
        let mut one = |image: Option<&[u8]>| -> Result<RowDigest> {
            let mut digest = RowDigest::default();
            if let Some(image) = image {
                let hash = codec.hash(image).map_err(backout_history::Error::from)?;
                digest.add_hashes(hash, row.count);
            }
            Ok(digest)
        };
        digest.subtract(&one(is)?);
        digest.add(&one(shall)?);
    }
    Ok(digest)
}

/// What [`verify`] looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verified {
    /// How many keys.
    pub rows: u64,
}

/// Reads the rows that were touched back by their keys, and compares each with
/// what it should be: the image that the direction wants, or absent. `progress`
/// hears of the rows done so far.
///
/// # Errors
/// [`Error::Proof`] when a row is not as it should be; [`Error::Table`] without
/// a key, or when values cannot be told; as [`Session::exec`];
/// [`Error::Cancelled`].
pub fn verify(
    session: &mut Session,
    def: &TableDef,
    layout: &Layout,
    rows: NetRows,
    direction: Direction,
    progress: &mut dyn FnMut(u64),
    cancelled: &dyn Fn() -> bool,
) -> Result<Verified> {
    session.exec("set up the session", DIGEST_SETTINGS)?;
    let mut each = |done: u64| {
        progress(done);
        if cancelled() {
            Err(Error::Cancelled)
        } else {
            Ok(())
        }
    };
    let compared = check(
        session,
        def,
        layout,
        rows,
        direction,
        Image::Wanted,
        None,
        &mut each,
    )?;
    if compared.different > 0 {
        return Err(Error::Proof {
            table: def.name.clone(),
            why: format!(
                "of {} touched rows, {} are not as they were computed; keep the table for \
                 inspection, and take it back again under another name",
                compared.keys, compared.different
            ),
        });
    }
    Ok(Verified {
        rows: compared.keys,
    })
}
