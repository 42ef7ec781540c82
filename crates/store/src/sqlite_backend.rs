//! SQLite: one writer thread that commits in groups, readers on the caller's
//! own thread.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, mpsc};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, ErrorCode, OpenFlags};

use crate::{Backend, Dialect, Done, Error, Migration, Row, Tx, Value, Verdict, Work, migrate};

/// How many waiting units of work share one commit, and so one fsync. Larger
/// groups gain little: at 64 the fsync is already a small part of each.
const GROUP_MAX: usize = 64;

/// How long a statement waits for another process's transaction.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// How many prepared statements a connection keeps. There are fewer distinct
/// ones than that in all crates together.
const STATEMENT_CACHE: usize = 256;

/// How much of the file a reader keeps in memory at most, in KiB, until somebody
/// commits: what is asked again and again of a hundred thousand resources. A
/// small store takes what it has.
const READER_CACHE_KIB: i64 = 96 << 10;

/// How many idle read connections are kept; more are opened while needed.
const IDLE_READERS: usize = 8;

pub(crate) struct Sqlite {
    path: PathBuf,
    writes: mpsc::Sender<(Work, Done)>,
    /// By the order in which they were opened: the first one free is taken, so
    /// that a few have what is asked in their caches.
    idle_readers: Mutex<BTreeMap<u64, Connection>>,
    readers: AtomicU64,
    /// Never writes, so that it sees every commit as another's.
    watcher: Mutex<Connection>,
}

impl Sqlite {
    pub(crate) fn open(path: &Path, migrations: &[Migration]) -> Result<Self, Error> {
        let mut connection = connect(
            path,
            OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE,
        )?;
        in_transaction(&mut connection, "BEGIN IMMEDIATE", |tx| {
            migrate::apply(tx, migrations)
        })?;
        let (writes, queue) = mpsc::channel();
        std::thread::Builder::new()
            .name("sqlite-writer".into())
            .spawn(move || write_loop(&mut connection, &queue))
            .map_err(|e| unavailable(&e))?;
        Ok(Self {
            path: path.to_owned(),
            writes,
            idle_readers: Mutex::default(),
            readers: AtomicU64::new(0),
            watcher: Mutex::new(connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?),
        })
    }

    fn idle(&self) -> MutexGuard<'_, BTreeMap<u64, Connection>> {
        (self.idle_readers.lock()).unwrap_or_else(PoisonError::into_inner)
    }

    fn reader(&self) -> Result<(u64, Connection), Error> {
        if let Some(first) = self.idle().pop_first() {
            return Ok(first);
        }
        let fresh = connect(&self.path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        Ok((self.readers.fetch_add(1, Ordering::Relaxed), fresh))
    }
}

impl Backend for Sqlite {
    fn dialect(&self) -> Dialect {
        Dialect::Sqlite
    }

    fn write(&self, work: Work, done: Done) {
        // A closed queue means that the writer thread is gone; dropping `done`
        // tells the caller.
        drop(self.writes.send((work, done)));
    }

    fn read(&self, work: Work, done: Done) {
        // WAL readers wait for nobody and pages come from memory, so the
        // caller's thread is the cheapest place to run this.
        let fate = self.reader().and_then(|(number, mut connection)| {
            let fate = in_transaction(&mut connection, "BEGIN DEFERRED", |tx| {
                work(tx);
                Ok(())
            });
            if fate.is_ok() {
                let mut idle = self.idle();
                idle.insert(number, connection);
                if idle.len() > IDLE_READERS {
                    idle.pop_last();
                }
            }
            fate
        });
        // The caller may have gone away; its read has no effect to undo.
        drop(done.send(fate));
    }

    fn version(&self) -> Option<u64> {
        let watcher = self.watcher.lock().unwrap_or_else(PoisonError::into_inner);
        let mut statement = watcher.prepare_cached("PRAGMA data_version").ok()?;
        statement
            .query_row([], |row| row.get::<_, i64>(0))
            .ok()
            .map(i64::cast_unsigned)
    }
}

/// Takes units of work until every [`Sqlite`] handle is gone.
fn write_loop(connection: &mut Connection, queue: &mpsc::Receiver<(Work, Done)>) {
    while let Ok(first) = queue.recv() {
        let mut group = vec![first];
        while group.len() < GROUP_MAX {
            match queue.try_recv() {
                Ok(next) => group.push(next),
                Err(_) => break,
            }
        }
        let (works, dones): (Vec<Work>, Vec<Done>) = group.into_iter().unzip();
        let mut panicked = Vec::new();
        let fate = in_transaction(connection, "BEGIN IMMEDIATE", |tx| {
            for (index, work) in works.into_iter().enumerate() {
                if !run_in_savepoint(tx, work)? {
                    panicked.push(index);
                }
            }
            Ok(())
        });
        for (index, done) in dones.into_iter().enumerate() {
            if panicked.contains(&index) {
                // A dropped channel is how a panic is told.
                continue;
            }
            let fate = match &fate {
                Ok(()) => Ok(()),
                Err(e) => Err(Error::Unavailable {
                    what: "SQLite file",
                    detail: e.to_string(),
                }),
            };
            // The caller may have gone away; what it asked for is done.
            drop(done.send(fate));
        }
    }
}

/// Runs one unit of work so that its failure takes back only its own changes.
/// Returns false when it panicked: its caller is told by the dropped channel.
fn run_in_savepoint(tx: &mut SqliteTx<'_>, work: Work) -> Result<bool, Error> {
    tx.execute("SAVEPOINT unit", &[])?;
    let verdict = catch_unwind(AssertUnwindSafe(|| work(tx)));
    if !matches!(verdict, Ok(Verdict::Commit)) {
        tx.execute("ROLLBACK TO unit", &[])?;
    }
    tx.execute("RELEASE unit", &[])?;
    Ok(verdict.is_ok())
}

fn in_transaction<T>(
    connection: &mut Connection,
    begin: &str,
    work: impl FnOnce(&mut SqliteTx<'_>) -> Result<T, Error>,
) -> Result<T, Error> {
    let mut tx = SqliteTx { connection };
    tx.execute(begin, &[])?;
    let result = work(&mut tx).and_then(|value| tx.execute("COMMIT", &[]).map(|_| value));
    if result.is_err() && !tx.connection.is_autocommit() {
        // The first error is the one worth telling.
        drop(tx.execute("ROLLBACK", &[]));
    }
    result
}

fn connect(path: &Path, flags: OpenFlags) -> Result<Connection, Error> {
    let connection = Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)
        .map_err(|e| unavailable(&e))?;
    connection.set_prepared_statement_cache_capacity(STATEMENT_CACHE);
    connection
        .busy_timeout(BUSY_TIMEOUT)
        .map_err(|e| unavailable(&e))?;
    // A plan must not depend on the values bound: otherwise SQLite compiles a
    // statement with `LIMIT $n` anew each time it is bound, which costs as much
    // as all the rest of a short read.
    connection
        .set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)
        .map_err(|e| unavailable(&e))?;
    if flags.contains(OpenFlags::SQLITE_OPEN_READ_WRITE) {
        connection
            .pragma_update(None, "journal_mode", "WAL")
            .map_err(|e| unavailable(&e))?;
        connection
            .pragma_update(None, "synchronous", "FULL")
            .map_err(|e| unavailable(&e))?;
        connection
            .pragma_update(None, "foreign_keys", "ON")
            .map_err(|e| unavailable(&e))?;
    } else {
        connection
            // Pages when positive, KiB when negative.
            .pragma_update(None, "cache_size", -READER_CACHE_KIB)
            .map_err(|e| unavailable(&e))?;
    }
    Ok(connection)
}

struct SqliteTx<'a> {
    connection: &'a mut Connection,
}

impl Tx for SqliteTx<'_> {
    fn execute(&mut self, sql: &str, params: &[Value]) -> Result<u64, Error> {
        let mut statement = self
            .connection
            .prepare_cached(&placeholders(sql))
            .map_err(|e| failed(&e))?;
        if statement.column_count() > 0 {
            // RETURNING, or a pragma: step through all rows.
            let mut rows = statement
                .query(rusqlite::params_from_iter(params.iter().map(Bound)))
                .map_err(|e| failed(&e))?;
            let mut count = 0;
            while rows.next().map_err(|e| failed(&e))?.is_some() {
                count += 1;
            }
            return Ok(count);
        }
        let changed = statement
            .execute(rusqlite::params_from_iter(params.iter().map(Bound)))
            .map_err(|e| failed(&e))?;
        Ok(changed as u64)
    }

    fn query(&mut self, sql: &str, params: &[Value]) -> Result<Vec<Row>, Error> {
        let mut statement = self
            .connection
            .prepare_cached(&placeholders(sql))
            .map_err(|e| failed(&e))?;
        let columns = statement.column_count();
        let mut rows = statement
            .query(rusqlite::params_from_iter(params.iter().map(Bound)))
            .map_err(|e| failed(&e))?;
        let mut out = Vec::new();
        while let Some(row) = rows.next().map_err(|e| failed(&e))? {
            let mut values = Vec::with_capacity(columns);
            for index in 0..columns {
                values.push(match row.get_ref(index).map_err(|e| failed(&e))? {
                    ValueRef::Null => Value::Null,
                    ValueRef::Integer(v) => Value::Int(v),
                    ValueRef::Text(v) => Value::Text(
                        String::from_utf8(v.to_vec())
                            .map_err(|_| Error::corrupt("text that is not UTF-8"))?,
                    ),
                    ValueRef::Blob(v) => Value::Bytes(v.to_vec()),
                    ValueRef::Real(_) => return Err(Error::corrupt("a floating point number")),
                });
            }
            out.push(Row(values));
        }
        Ok(out)
    }

    fn dialect(&self) -> Dialect {
        Dialect::Sqlite
    }
}

struct Bound<'a>(&'a Value);

impl rusqlite::ToSql for Bound<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self.0 {
            Value::Null => ValueRef::Null,
            Value::Int(v) => ValueRef::Integer(*v),
            Value::Text(v) => ValueRef::Text(v.as_bytes()),
            Value::Bytes(v) => ValueRef::Blob(v),
        }))
    }
}

/// `$1` to `?1`: SQLite numbers `$1` by first appearance, not by its digit.
/// Our statements have no `$` anywhere else.
fn placeholders(sql: &str) -> Cow<'_, str> {
    if !sql.as_bytes().contains(&b'$') {
        return Cow::Borrowed(sql);
    }
    // Byte by byte: both signs are ASCII, so the text stays UTF-8.
    let bytes = sql.bytes().map(|b| if b == b'$' { b'?' } else { b });
    String::from_utf8(bytes.collect()).map_or(Cow::Borrowed(sql), Cow::Owned)
}

fn unavailable(e: &dyn std::error::Error) -> Error {
    Error::Unavailable {
        what: "SQLite file",
        detail: e.to_string(),
    }
}

fn failed(e: &rusqlite::Error) -> Error {
    match e.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            Error::Contended(e.to_string())
        }
        Some(
            ErrorCode::DiskFull
            | ErrorCode::SystemIoFailure
            | ErrorCode::CannotOpen
            | ErrorCode::ReadOnly
            | ErrorCode::DatabaseCorrupt
            | ErrorCode::NotADatabase,
        ) => unavailable(e),
        _ => Error::Statement(e.to_string()),
    }
}
