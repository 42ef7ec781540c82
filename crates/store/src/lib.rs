//! Durable state: SQLite or PostgreSQL behind one small trait.
//!
//! A unit of work is a closure over [`Tx`]. It runs inside one transaction,
//! which commits when the closure returns `Ok` and leaves no trace when it
//! returns `Err`. The SQL is written once, in the subset both databases share
//! (`$1` placeholders, `ON CONFLICT`, `RETURNING`, BIGINT, TEXT and BYTEA
//! columns), by the crate that owns the table. What differs is told by
//! [`Dialect`].
//!
//! Architecture invariants: this crate owns no table but its list of
//! migrations, and knows no product. [`Store::write`] returns only after the
//! transaction is on disk (SQLite: WAL with `synchronous=FULL`; PostgreSQL: its
//! own `synchronous_commit`). Closures must not block on anything but the
//! transaction: on SQLite there is one writer.

mod migrate;
mod postgres_backend;
pub mod rows;
mod sqlite_backend;
#[cfg(feature = "testing")]
pub mod testing;
mod value;

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

pub use migrate::Migration;
pub use value::{FromValue, Row, Value};

/// Which database it is, for the few places where SQL must differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// SQLite 3.
    Sqlite,
    /// PostgreSQL 13 or later.
    Postgres,
}

impl Dialect {
    /// What to add to a `SELECT` that picks rows to be changed, so that workers
    /// do not wait for each other. SQLite has one writer and needs nothing.
    #[must_use]
    pub const fn skip_locked(self) -> &'static str {
        match self {
            Self::Sqlite => "",
            Self::Postgres => " FOR UPDATE SKIP LOCKED",
        }
    }
}

/// Why the store could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database cannot be opened or reached; the call may be repeated.
    #[error("reach the {what}: {detail}")]
    Unavailable {
        /// Which database.
        what: &'static str,
        /// The driver's own words, without secrets.
        detail: String,
    },
    /// Another transaction was in the way (deadlock, serialization failure,
    /// lock time-out); the call may be repeated.
    #[error("finish the transaction, another one was in the way: {0}")]
    Contended(String),
    /// A statement was refused: a fault of ours, or a damaged database.
    #[error("run a statement: {0}")]
    Statement(String),
    /// A stored value is not what the code expects.
    #[error("read a stored value: {0}")]
    Corrupt(String),
    /// The database was written by a newer Backout, or by something else.
    #[error("use this database: {0}")]
    Foreign(String),
}

impl Error {
    /// A value that does not decode.
    pub fn corrupt(what: impl Into<String>) -> Self {
        Self::Corrupt(what.into())
    }
}

/// A transaction that is under way.
pub trait Tx {
    /// Runs a statement. Returns the number of rows it changed.
    ///
    /// # Errors
    /// [`Error::Statement`], [`Error::Contended`] or [`Error::Unavailable`].
    /// After an error the whole unit of work must return `Err`.
    fn execute(&mut self, sql: &str, params: &[Value]) -> Result<u64, Error>;

    /// Runs a query and returns its rows. Callers bound them with `LIMIT`.
    ///
    /// # Errors
    /// As [`Tx::execute`].
    fn query(&mut self, sql: &str, params: &[Value]) -> Result<Vec<Row>, Error>;

    /// Which database this is.
    fn dialect(&self) -> Dialect;
}

/// The first row of a query, if there is one.
///
/// # Errors
/// As [`Tx::query`].
pub fn query_one(tx: &mut dyn Tx, sql: &str, params: &[Value]) -> Result<Option<Row>, Error> {
    Ok(tx.query(sql, params)?.into_iter().next())
}

/// Shorthand for a parameter list: `params![id, 3_i64, None::<String>]`.
#[macro_export]
macro_rules! params {
    ($($v:expr),* $(,)?) => { &[$($crate::Value::from($v)),*] };
}

/// Runs inside a transaction; says whether to commit. The outcome is kept by
/// the closure itself, see [`Store::run`].
type Work = Box<dyn FnOnce(&mut dyn Tx) -> Verdict + Send>;

/// What a unit of work wants done with its transaction.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Commit,
    RollBack,
}

/// Told once the transaction's fate is durable.
type Done = tokio::sync::oneshot::Sender<Result<(), Error>>;

trait Backend: Send + Sync {
    fn dialect(&self) -> Dialect;
    /// Queues a unit of work that may write.
    fn write(&self, work: Work, done: Done);
    /// Runs, or queues, a unit of work that only reads.
    fn read(&self, work: Work, done: Done);
    /// See [`Store::version`].
    fn version(&self) -> Option<u64>;
}

/// A handle on the store. Cheap to clone.
#[derive(Clone)]
pub struct Store {
    backend: Arc<dyn Backend>,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store")
            .field("dialect", &self.dialect())
            .finish()
    }
}

impl Store {
    /// Opens, and creates when missing, the SQLite file at `path`, and brings
    /// its tables up to date.
    ///
    /// # Errors
    /// [`Error::Unavailable`], or [`Error::Foreign`] for a database that a
    /// newer version has written.
    pub fn open_sqlite(path: &Path, migrations: &[Migration]) -> Result<Self, Error> {
        Ok(Self {
            backend: Arc::new(sqlite_backend::Sqlite::open(path, migrations)?),
        })
    }

    /// Connects to the PostgreSQL database at `url`
    /// (`postgres://USER:PASSWORD@HOST:PORT/DB`) with `connections`
    /// connections, and brings its tables up to date. The wire is not
    /// encrypted: use a socket, loopback, or a tunnel.
    ///
    /// # Errors
    /// As [`Store::open_sqlite`].
    pub fn open_postgres(
        url: &str,
        connections: usize,
        migrations: &[Migration],
    ) -> Result<Self, Error> {
        Ok(Self {
            backend: Arc::new(postgres_backend::Postgres::open(
                url,
                connections,
                migrations,
            )?),
        })
    }

    /// Which database this is.
    #[must_use]
    pub fn dialect(&self) -> Dialect {
        self.backend.dialect()
    }

    /// A number that is another one after every commit, of this process or of
    /// another. `None` where the database cannot tell it in a few microseconds:
    /// on PostgreSQL, and after an error.
    #[must_use]
    pub fn version(&self) -> Option<u64> {
        self.backend.version()
    }

    /// Runs `work` in a transaction that may write; returns when it is durable.
    ///
    /// # Errors
    /// What `work` returned, or the store's own [`Error`].
    pub async fn write<T, E>(
        &self,
        work: impl FnOnce(&mut dyn Tx) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        self.run(work, |backend, work, done| backend.write(work, done))
            .await
    }

    /// Runs `work` in a transaction that only reads, from one snapshot.
    ///
    /// # Errors
    /// As [`Store::write`].
    pub async fn read<T, E>(
        &self,
        work: impl FnOnce(&mut dyn Tx) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        self.run(work, |backend, work, done| backend.read(work, done))
            .await
    }

    /// Wraps `work` so that its result waits in a slot until the transaction's
    /// fate is known, and hands it to the backend.
    async fn run<T, E>(
        &self,
        work: impl FnOnce(&mut dyn Tx) -> Result<T, E> + Send + 'static,
        hand_over: impl FnOnce(&dyn Backend, Work, Done),
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        let slot = Arc::new(Mutex::new(None));
        let fill = Arc::clone(&slot);
        let work: Work = Box::new(move |tx| {
            let result = work(tx);
            let verdict = if result.is_ok() {
                Verdict::Commit
            } else {
                Verdict::RollBack
            };
            *fill.lock().unwrap_or_else(PoisonError::into_inner) = Some(result);
            verdict
        });
        let (done, wait) = tokio::sync::oneshot::channel();
        hand_over(self.backend.as_ref(), work, done);
        let fate = wait.await.unwrap_or_else(|_| {
            Err(Error::Statement(
                "a unit of work panicked, its transaction was rolled back".into(),
            ))
        });
        let result = slot.lock().unwrap_or_else(PoisonError::into_inner).take();
        match (fate, result) {
            // The closure's own error says more than a failed roll-back.
            (_, Some(Err(e))) => Err(e),
            (Err(e), _) => Err(e.into()),
            (Ok(()), Some(Ok(value))) => Ok(value),
            (Ok(()), None) => {
                Err(Error::Statement("a unit of work was dropped before it ran".into()).into())
            }
        }
    }
}
