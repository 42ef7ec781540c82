//! PostgreSQL: a fixed number of connections, a thread each.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::Duration;

use postgres::error::SqlState;
use postgres::types::private::BytesMut;
use postgres::types::{IsNull, ToSql, Type, to_sql_checked};
use postgres::{Client, Config, IsolationLevel, NoTls, Statement};

use crate::{Backend, Dialect, Done, Error, Migration, Row, Tx, Value, Verdict, Work, migrate};

/// How long one connection attempt may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How many prepared statements a connection keeps. Lists with filters make
/// many distinct ones; all others together are fewer.
const STATEMENTS_MAX: usize = 512;

pub(crate) struct Postgres {
    queue: mpsc::Sender<Item>,
}

impl Postgres {
    pub(crate) fn open(
        url: &str,
        connections: usize,
        migrations: &[Migration],
    ) -> Result<Self, Error> {
        let mut config: Config = url.parse().map_err(|_| Error::Unavailable {
            what: "PostgreSQL server",
            detail: "the address is malformed: give postgres://USER:PASSWORD@HOST:PORT/DATABASE"
                .into(),
        })?;
        config
            .connect_timeout(CONNECT_TIMEOUT)
            .application_name("backout");
        // On a thread of its own: the client drives a runtime of its own, which
        // must not be done on a thread that already drives one.
        let opened = std::thread::scope(|scope| {
            scope
                .spawn(|| {
                    let mut first = Connection::open(&config)?;
                    first.transaction(Access::Write, |tx| migrate::apply(tx, migrations))?;
                    Ok(first)
                })
                .join()
        });
        let first = opened.unwrap_or_else(|_| {
            Err(Error::Statement(
                "opening the PostgreSQL database panicked".into(),
            ))
        })?;
        let (queue, work) = mpsc::channel();
        let work = Arc::new(Mutex::new(work));
        let mut first = Some(first);
        for number in 0..connections.max(1) {
            let work = Arc::clone(&work);
            let config = config.clone();
            let mut connection = first.take();
            std::thread::Builder::new()
                .name(format!("postgres-{number}"))
                .spawn(move || serve(&config, &mut connection, &work))
                .map_err(|e| Error::Unavailable {
                    what: "PostgreSQL server",
                    detail: e.to_string(),
                })?;
        }
        Ok(Self { queue })
    }
}

impl Backend for Postgres {
    fn dialect(&self) -> Dialect {
        Dialect::Postgres
    }

    // A closed queue drops `done`, which tells the caller.
    fn write(&self, work: Work, done: Done) {
        drop(self.queue.send((Access::Write, work, done)));
    }

    fn read(&self, work: Work, done: Done) {
        drop(self.queue.send((Access::Read, work, done)));
    }

    fn version(&self) -> Option<u64> {
        None
    }
}

/// What a unit of work wants to do.
#[derive(Clone, Copy)]
enum Access {
    /// READ COMMITTED: a statement that waited for another transaction's row
    /// goes on with the row as it is then. The claims rely on it.
    Write,
    /// All queries from one snapshot.
    Read,
}

type Item = (Access, Work, Done);

fn serve(
    config: &Config,
    connection: &mut Option<Connection>,
    queue: &Mutex<mpsc::Receiver<Item>>,
) {
    loop {
        let next = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok((access, work, done)) = next else {
            return;
        };
        if connection.as_ref().is_none_or(|c| c.client.is_closed()) {
            match Connection::open(config) {
                Ok(fresh) => *connection = Some(fresh),
                Err(e) => {
                    drop(done.send(Err(e)));
                    continue;
                }
            }
        }
        let Some(open) = connection.as_mut() else {
            continue;
        };
        let ran = catch_unwind(AssertUnwindSafe(|| {
            open.transaction(access, |tx| match work(tx) {
                Verdict::Commit => Ok(()),
                Verdict::RollBack => Err(Error::Statement("rolled back on request".into())),
            })
        }));
        match ran {
            // The caller may have gone away; what it asked for is done.
            Ok(fate) => drop(done.send(fate)),
            // The connection is inside an unknown transaction: start afresh.
            Err(_panic) => *connection = None,
        }
    }
}

struct Connection {
    client: Client,
    statements: HashMap<String, Statement>,
}

impl Connection {
    fn open(config: &Config) -> Result<Self, Error> {
        let client = config.connect(NoTls).map_err(|e| failed(&e))?;
        Ok(Self {
            client,
            statements: HashMap::new(),
        })
    }

    fn transaction<T>(
        &mut self,
        access: Access,
        work: impl FnOnce(&mut dyn Tx) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let builder = self.client.build_transaction();
        let transaction = match access {
            Access::Write => builder.start(),
            Access::Read => builder
                .read_only(true)
                .isolation_level(IsolationLevel::RepeatableRead)
                .start(),
        }
        .map_err(|e| failed(&e))?;
        let mut tx = PostgresTx {
            transaction,
            statements: &mut self.statements,
        };
        // Dropping an unfinished transaction rolls it back.
        let value = work(&mut tx)?;
        tx.transaction.commit().map_err(|e| failed(&e))?;
        Ok(value)
    }
}

struct PostgresTx<'a> {
    transaction: postgres::Transaction<'a>,
    statements: &'a mut HashMap<String, Statement>,
}

impl PostgresTx<'_> {
    fn statement(&mut self, sql: &str) -> Result<Statement, Error> {
        if let Some(known) = self.statements.get(sql) {
            return Ok(known.clone());
        }
        if self.statements.len() >= STATEMENTS_MAX {
            self.statements.clear();
        }
        let prepared = self.transaction.prepare(sql).map_err(|e| failed(&e))?;
        self.statements.insert(sql.to_owned(), prepared.clone());
        Ok(prepared)
    }
}

impl Tx for PostgresTx<'_> {
    fn execute(&mut self, sql: &str, params: &[Value]) -> Result<u64, Error> {
        let statement = self.statement(sql)?;
        self.transaction
            .execute(&statement, &refs(params))
            .map_err(|e| failed(&e))
    }

    fn query(&mut self, sql: &str, params: &[Value]) -> Result<Vec<Row>, Error> {
        let statement = self.statement(sql)?;
        let rows = self
            .transaction
            .query(&statement, &refs(params))
            .map_err(|e| failed(&e))?;
        rows.iter().map(read_row).collect()
    }

    fn dialect(&self) -> Dialect {
        Dialect::Postgres
    }
}

fn refs(params: &[Value]) -> Vec<&(dyn ToSql + Sync)> {
    params.iter().map(|p| p as &(dyn ToSql + Sync)).collect()
}

fn read_row(row: &postgres::Row) -> Result<Row, Error> {
    let mut values = Vec::with_capacity(row.len());
    for (index, column) in row.columns().iter().enumerate() {
        let kind = column.type_();
        let value = if *kind == Type::INT8 {
            row.try_get::<_, Option<i64>>(index)
                .map(|v| v.map_or(Value::Null, Value::Int))
        } else if *kind == Type::INT4 {
            row.try_get::<_, Option<i32>>(index)
                .map(|v| v.map_or(Value::Null, |v| Value::Int(v.into())))
        } else if *kind == Type::BOOL {
            row.try_get::<_, Option<bool>>(index).map(Value::from)
        } else if *kind == Type::BYTEA {
            row.try_get::<_, Option<Vec<u8>>>(index).map(Value::from)
        } else if *kind == Type::VOID {
            Ok(Value::Null)
        } else {
            row.try_get::<_, Option<String>>(index).map(Value::from)
        };
        values.push(
            value.map_err(|e| Error::corrupt(format!("column {index} of type {kind}: {e}")))?,
        );
    }
    Ok(Row(values))
}

impl ToSql for Value {
    fn to_sql(
        &self,
        kind: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        match self {
            Self::Null => Ok(IsNull::Yes),
            Self::Int(v) if *kind == Type::INT4 => i32::try_from(*v)?.to_sql(kind, out),
            Self::Int(v) if *kind == Type::BOOL => (*v != 0).to_sql(kind, out),
            Self::Int(v) => v.to_sql(kind, out),
            Self::Text(v) => v.to_sql(kind, out),
            Self::Bytes(v) => v.to_sql(kind, out),
        }
    }

    fn accepts(_: &Type) -> bool {
        // The server checks: a value that does not fit its column is refused
        // there, as SQLite would refuse it when it is read.
        true
    }

    to_sql_checked!();
}

fn failed(e: &postgres::Error) -> Error {
    let detail = e.as_db_error().map_or_else(
        || e.to_string(),
        |db| format!("{} ({})", db.message(), db.code().code()),
    );
    match e.code() {
        Some(code)
            if *code == SqlState::T_R_DEADLOCK_DETECTED
                || *code == SqlState::T_R_SERIALIZATION_FAILURE
                || *code == SqlState::LOCK_NOT_AVAILABLE =>
        {
            Error::Contended(detail)
        }
        Some(code)
            if code.code().starts_with("08")
                || code.code().starts_with("57")
                || code.code().starts_with("28") =>
        {
            Error::Unavailable {
                what: "PostgreSQL server",
                detail,
            }
        }
        Some(_) => Error::Statement(detail),
        None => Error::Unavailable {
            what: "PostgreSQL server",
            detail,
        },
    }
}
