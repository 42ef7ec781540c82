//! What a server says of itself: version, settings, databases, tables, and
//! what else is defined in them.
//!
//! What is told of a table can be serialized, so that a plan can keep it and
//! compare it later.

use backout_history::TableName;
use backout_history::value::{CatalogueRow, ColumnInfo, Generated};
use mysql::prelude::FromRow;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result, number};
use crate::session::{Session, ident, quoted, text};

/// Databases that are the server's own.
pub const SYSTEM_DATABASES: [&str; 4] =
    ["information_schema", "mysql", "performance_schema", "sys"];

/// Which family a server is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Flavour {
    /// GTIDs are triples; `BINLOG` replays; `mariadb-backup` copies.
    MariaDb,
    /// GTIDs are uuids and numbers.
    MySql,
}

/// A server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Server {
    /// `@@version`, whole.
    pub version: String,
    /// Its first three numbers.
    pub number: (u16, u16, u16),
    /// Its family.
    pub flavour: Flavour,
    /// The name of its host, as it says.
    pub hostname: String,
    /// Its port.
    pub port: u16,
    /// Its socket on its host.
    pub socket: String,
    /// Its data folder on its host.
    pub datadir: String,
    /// Its id in replication.
    pub server_id: u64,
    /// Its time zone.
    pub zone: Zone,
}

/// A server's time zone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Zone {
    /// `@@global.time_zone`: `SYSTEM`, an offset, or a name.
    pub setting: String,
    /// `@@system_time_zone`: what the host calls its zone, e.g. `CET`.
    pub system: String,
    /// How far local time is ahead of UTC now, in seconds.
    pub offset_s: i32,
}

/// A table, as a list shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableSummary {
    /// Its name.
    pub name: String,
    /// `BASE TABLE`, `SYSTEM VERSIONED`, `SEQUENCE`.
    pub kind: String,
    /// Its engine, e.g. `InnoDB`; empty when the server cannot open it.
    pub engine: String,
    /// Rows, as the server estimates.
    pub rows: u64,
    /// Bytes of rows and indexes, as the server estimates.
    pub bytes: u64,
    /// Unix seconds of its definition, where the server tells.
    pub created_s: Option<i64>,
}

/// All about a table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableDef {
    /// Its name.
    pub name: TableName,
    /// Its columns, in the order of its row images.
    pub columns: Vec<ColumnInfo>,
    /// By what rows are told apart: the primary key, or else the first unique
    /// key that is never null; places in `columns`, in the order of the key.
    pub key: Option<Vec<usize>>,
    /// The name of that key, e.g. `PRIMARY`.
    pub key_name: Option<String>,
    /// The columns of every other unique key.
    pub unique: Vec<Vec<usize>>,
    /// Its engine, e.g. `InnoDB`.
    pub engine: String,
    /// `SHOW CREATE TABLE`.
    pub create_sql: String,
    /// E.g. `Dynamic`.
    pub row_format: String,
    /// The default collation.
    pub collation: String,
    /// Rows, as the server estimates.
    pub rows: u64,
    /// Bytes of rows, as the server estimates.
    pub data_bytes: u64,
    /// Bytes of indexes, as the server estimates.
    pub index_bytes: u64,
    /// Its partitions that have files of their own, in order; empty when it is
    /// not partitioned.
    pub partitions: Vec<Partition>,
    /// Its FULLTEXT indexes.
    pub fulltext: Vec<IndexClause>,
    /// Whether it has a SPATIAL index.
    pub spatial: bool,
    /// Whether it keeps old versions of its rows.
    pub system_versioned: bool,
    /// The next value of its AUTO_INCREMENT column.
    pub auto_increment: Option<u64>,
    /// Foreign keys of its own.
    pub foreign_keys: Vec<ForeignKey>,
    /// Foreign keys of others that refer to it.
    pub referenced_by: Vec<ForeignKey>,
    /// Its triggers.
    pub triggers: Vec<Definition>,
    /// The names of its CHECK constraints.
    pub checks: Vec<String>,
    /// Its comment.
    pub comment: String,
}

/// A partition with a file of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Partition {
    /// Its name.
    pub name: String,
    /// The name of the part of it.
    pub subpartition: Option<String>,
}

/// An index, with the clause that makes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IndexClause {
    /// Its name.
    pub name: String,
    /// For `ALTER TABLE ... ADD`, e.g. ``FULLTEXT KEY `a` (`b`)``.
    pub clause: String,
}

/// A foreign key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForeignKey {
    /// Its name.
    pub name: String,
    /// Whose it is.
    pub child: TableName,
    /// Its columns.
    pub columns: Vec<String>,
    /// What it refers to.
    pub parent: TableName,
    /// The columns that it refers to.
    pub parent_columns: Vec<String>,
    /// `RESTRICT`, `NO ACTION`, `CASCADE`, `SET NULL`, `SET DEFAULT`.
    pub on_update: String,
    /// As `on_update`.
    pub on_delete: String,
}

impl ForeignKey {
    /// Whether a change of the parent changes the child, without a trace in the
    /// binary log.
    #[must_use]
    pub fn cascades(&self) -> bool {
        let acts = |rule: &str| !matches!(rule, "RESTRICT" | "NO ACTION");
        acts(&self.on_update) || acts(&self.on_delete)
    }
}

/// What a definition defines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A view.
    View,
    /// A trigger.
    Trigger,
    /// A stored procedure.
    Procedure,
    /// A stored function.
    Function,
    /// A package: what it offers.
    Package,
    /// The body of a package.
    PackageBody,
    /// A scheduled event.
    Event,
    /// A sequence.
    Sequence,
}

impl Kind {
    /// The word for it, e.g. `procedure`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::View => "view",
            Self::Trigger => "trigger",
            Self::Procedure => "procedure",
            Self::Function => "function",
            Self::Package => "package",
            Self::PackageBody => "package body",
            Self::Event => "event",
            Self::Sequence => "sequence",
        }
    }

    /// The same, as statements have it, e.g. `PACKAGE BODY`.
    #[must_use]
    pub const fn keyword(self) -> &'static str {
        match self {
            Self::View => "VIEW",
            Self::Trigger => "TRIGGER",
            Self::Procedure => "PROCEDURE",
            Self::Function => "FUNCTION",
            Self::Package => "PACKAGE",
            Self::PackageBody => "PACKAGE BODY",
            Self::Event => "EVENT",
            Self::Sequence => "SEQUENCE",
        }
    }
}

/// Something other than a table that is defined in a database.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Definition {
    /// What it is.
    pub kind: Kind,
    /// Its name.
    pub name: String,
    /// The statement that makes it; `None` when our user may not see it.
    pub sql: Option<String>,
    /// The `sql_mode` that it runs under; empty where there is none.
    pub sql_mode: String,
    /// The table that a trigger is on.
    pub table: Option<String>,
    /// The character set of the client that made it; empty where that does not
    /// matter.
    #[serde(default)]
    pub character_set_client: String,
    /// What its texts are compared by; empty where that does not matter.
    #[serde(default)]
    pub collation_connection: String,
    /// The default of its database when it was made; empty where that does not
    /// matter.
    #[serde(default)]
    pub database_collation: String,
    /// The zone of an event's times; empty for others.
    #[serde(default)]
    pub time_zone: String,
}

/// What some account may do with a table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// Who, as a statement names it, e.g. `'shop'@'%'`.
    pub grantee: String,
    /// What, e.g. `SELECT`, or ``SELECT (`a`)`` for one column.
    pub privileges: Vec<String>,
    /// Whether it may be passed on.
    pub grantable: bool,
}

impl Grant {
    /// The statement that gives the same for another table.
    #[must_use]
    pub fn statement(&self, table: &TableName) -> String {
        format!(
            "GRANT {} ON {} TO {}{}",
            self.privileges.join(", "),
            quoted(table),
            self.grantee,
            if self.grantable {
                " WITH GRANT OPTION"
            } else {
                ""
            }
        )
    }
}

/// What the server says of itself.
///
/// # Errors
/// As [`Session::exec`].
pub fn server(session: &mut Session) -> Result<Server> {
    let doing = "ask the server what it is";
    let (version, hostname, port, socket, datadir, server_id): (
        String,
        String,
        u16,
        Option<String>,
        String,
        u64,
    ) = one(
        session,
        doing,
        "SELECT @@version, @@hostname, @@port, @@socket, @@datadir, @@global.server_id",
    )?;
    let (setting, system, offset_s): (String, String, Option<i32>) = one(
        session,
        doing,
        "SELECT @@global.time_zone, @@system_time_zone, CAST(TIMESTAMPDIFF(SECOND, \
         UTC_TIMESTAMP(), CONVERT_TZ(UTC_TIMESTAMP(), '+00:00', @@global.time_zone)) AS SIGNED)",
    )?;
    let flavour = if version.to_ascii_lowercase().contains("mariadb") {
        Flavour::MariaDb
    } else {
        Flavour::MySql
    };
    Ok(Server {
        number: version_number(&version),
        version,
        flavour,
        hostname,
        port,
        socket: socket.unwrap_or_default(),
        datadir,
        server_id,
        zone: Zone {
            setting,
            system,
            offset_s: offset_s.unwrap_or(0),
        },
    })
}

/// The first three numbers in a version.
fn version_number(version: &str) -> (u16, u16, u16) {
    // Replicas of old clients saw 5.5.5- in front of the real one.
    let version = version.strip_prefix("5.5.5-").unwrap_or(version);
    let mut numbers = version
        .split(|c: char| !c.is_ascii_digit())
        .map(|n| n.parse().unwrap_or(0));
    let mut next = || numbers.next().unwrap_or(0);
    (next(), next(), next())
}

/// Unix microseconds of a local time of the server, `YYYY-MM-DD hh:mm:ss[.f]`,
/// by the server's own rules of its zone. `None` when it is no time.
///
/// # Errors
/// As [`Session::exec`].
pub fn instant_of(session: &mut Session, local: &str) -> Result<Option<i64>> {
    in_zone(session, |session| {
        session
            .first::<Option<i64>>(
                "read a local time",
                format!(
                    "SELECT CAST(UNIX_TIMESTAMP(CAST({} AS DATETIME(6))) * 1000000 AS SIGNED)",
                    text(local)
                ),
            )
            .map(Option::flatten)
    })
}

/// The local time of the server at an instant, in unix microseconds:
/// `YYYY-MM-DD hh:mm:ss.ffffff`. `None` when the server has no such time.
///
/// # Errors
/// As [`Session::exec`].
pub fn local_of(session: &mut Session, micros: i64) -> Result<Option<String>> {
    in_zone(session, |session| {
        session
            .first::<Option<String>>(
                "make a local time",
                format!(
                    "SELECT CAST(FROM_UNIXTIME({}.{:06}) AS DATETIME(6))",
                    micros.div_euclid(1_000_000),
                    micros.rem_euclid(1_000_000)
                ),
            )
            .map(Option::flatten)
    })
}

fn in_zone<T>(session: &mut Session, ask: impl FnOnce(&mut Session) -> Result<T>) -> Result<T> {
    let doing = "set the session's time zone";
    session.exec(doing, "SET SESSION time_zone=@@global.time_zone")?;
    let answer = ask(session);
    session.exec(doing, "SET SESSION time_zone='+00:00'")?;
    answer
}

/// Where the server's binary log ends; `None` when it writes none.
///
/// # Errors
/// As [`Session::exec`].
pub fn binlog_end(session: &mut Session) -> Result<Option<backout_history::Position>> {
    let row: Option<mysql::Row> =
        session.first("ask where the binary log ends", "SHOW MASTER STATUS")?;
    Ok(row.and_then(|row| {
        Some(backout_history::Position {
            file: row.get_opt::<String, _>(0)?.ok()?,
            offset: row.get_opt::<u64, _>(1)?.ok()?,
        })
    }))
}

/// The replicas that are connected to the server, as people know them; those who
/// only read its log, as we do, are none.
///
/// # Errors
/// As [`Session::exec`].
pub fn replicas(session: &mut Session) -> Result<Vec<String>> {
    let doing = "list the replicas";
    let denied = |e: &Error| {
        matches!(
            e.number(),
            Some(number::SPECIFIC_ACCESS_DENIED | number::ACCESS_DENIED)
        )
    };
    match session.query::<mysql::Row>(doing, "SHOW SLAVE HOSTS") {
        // A server tells its port, others none.
        Ok(rows) => Ok(rows
            .iter()
            .filter_map(|row| {
                let number: u32 = column(row, 0)?;
                let host: String = column(row, 1).unwrap_or_default();
                let port: u32 = column(row, 2).unwrap_or_default();
                (port != 0).then(|| format!("server {number} ({host}:{port})"))
            })
            .collect()),
        Err(e) if denied(&e) => session.query(
            doing,
            "SELECT CONCAT(USER, ' at ', HOST) FROM information_schema.PROCESSLIST \
             WHERE COMMAND LIKE 'Binlog Dump%' \
             AND USER <> SUBSTRING_INDEX(CURRENT_USER(), '@', 1) ORDER BY 1",
        ),
        Err(e) => Err(e),
    }
}

/// From which server a replica gets changes now; `None` when it gets none.
///
/// # Errors
/// As [`Session::exec`].
pub fn follows(session: &mut Session) -> Result<Option<String>> {
    let rows: Vec<mysql::Row> =
        match session.query("ask whether it is a replica", "SHOW ALL SLAVES STATUS") {
            Ok(rows) => rows,
            Err(e) if e.number() == Some(number::SPECIFIC_ACCESS_DENIED) => Vec::new(),
            Err(e) => return Err(e),
        };
    let named = |row: &mysql::Row, name: &str| -> Option<String> {
        let at = row
            .columns_ref()
            .iter()
            .position(|c| c.name_str() == name)?;
        column(row, at)
    };
    Ok(rows.iter().find_map(|row| {
        let applies = named(row, "Slave_SQL_Running").is_some_and(|state| state == "Yes");
        applies.then(|| named(row, "Master_Host").unwrap_or_default())
    }))
}

/// The names of all databases but the server's own, in order.
///
/// # Errors
/// As [`Session::exec`].
pub fn databases(session: &mut Session) -> Result<Vec<String>> {
    let names: Vec<String> = session.query(
        "list the databases",
        "SELECT SCHEMA_NAME FROM information_schema.SCHEMATA ORDER BY SCHEMA_NAME",
    )?;
    Ok(names.into_iter().filter(|name| !is_system(name)).collect())
}

/// Whether the database is one of the server's own.
#[must_use]
pub fn is_system(database: &str) -> bool {
    SYSTEM_DATABASES
        .iter()
        .any(|system| system.eq_ignore_ascii_case(database))
}

/// The tables of a database, without views, in the order of their names.
///
/// # Errors
/// As [`Session::exec`].
pub fn tables(session: &mut Session, database: &str) -> Result<Vec<TableSummary>> {
    type Row = (
        String,
        String,
        Option<String>,
        Option<u64>,
        Option<u64>,
        Option<i64>,
    );
    let rows: Vec<Row> = session.query(
        "list the tables",
        format!(
            "SELECT TABLE_NAME, TABLE_TYPE, ENGINE, TABLE_ROWS, DATA_LENGTH + INDEX_LENGTH, \
             CAST(UNIX_TIMESTAMP(CREATE_TIME) AS SIGNED) FROM information_schema.TABLES \
             WHERE TABLE_SCHEMA = {} AND TABLE_TYPE NOT LIKE '%VIEW' ORDER BY TABLE_NAME",
            text(database)
        ),
    )?;
    Ok(rows
        .into_iter()
        .map(
            |(name, kind, engine, rows, bytes, created_s)| TableSummary {
                name,
                kind,
                engine: engine.unwrap_or_default(),
                rows: rows.unwrap_or(0),
                bytes: bytes.unwrap_or(0),
                created_s,
            },
        )
        .collect())
}

/// Whether there is a table, view or sequence of that name.
///
/// # Errors
/// As [`Session::exec`].
pub fn exists(session: &mut Session, table: &TableName) -> Result<bool> {
    // Not by information_schema, which shows only what our user may see.
    match session.exec(
        "see whether a name is taken",
        format!("SHOW CREATE TABLE {}", quoted(table)),
    ) {
        Ok(_) => Ok(true),
        Err(e) if matches!(e.number(), Some(number::NO_SUCH_TABLE | number::BAD_DB)) => Ok(false),
        Err(e) => Err(e),
    }
}

/// All about a table.
///
/// # Errors
/// [`Error::NoTable`]; [`Error::Table`] for a view or a sequence; as
/// [`Session::exec`], without the privilege `PROCESS` as well.
pub fn table(session: &mut Session, name: &TableName) -> Result<TableDef> {
    let doing = format!("look at {name}");
    let at = format!(
        "TABLE_SCHEMA = {} AND TABLE_NAME = {}",
        text(&name.schema),
        text(&name.table)
    );
    let row: Option<mysql::Row> = session.first(
        &doing,
        format!(
            "SELECT TABLE_TYPE, ENGINE, ROW_FORMAT, TABLE_COLLATION, TABLE_ROWS, DATA_LENGTH, \
             INDEX_LENGTH, AUTO_INCREMENT, TABLE_COMMENT FROM information_schema.TABLES WHERE {at}"
        ),
    )?;
    let Some(row) = row else {
        return Err(Error::NoTable {
            table: name.clone(),
        });
    };
    let word = |i: usize| -> String { column(&row, i).unwrap_or_default() };
    let count = |i: usize| -> Option<u64> { column(&row, i) };
    let kind = word(0);
    if !matches!(kind.as_str(), "BASE TABLE" | "SYSTEM VERSIONED") {
        return Err(Error::Table {
            doing: "look at",
            table: name.clone(),
            why: format!("it is a {}, not a table", kind.to_ascii_lowercase()),
        });
    }
    let create_sql = {
        let (_, sql): (String, String) = one(
            session,
            &doing,
            &format!("SHOW CREATE TABLE {}", quoted(name)),
        )?;
        sql
    };
    let system_versioned = kind == "SYSTEM VERSIONED";
    let mut columns = columns(session, &doing, &at, system_versioned)?;
    let indexes = indexes(session, &doing, &at, &columns)?;
    if word(1).eq_ignore_ascii_case("innodb") {
        let hashed = indexes.iter().filter(|index| index.kind == "HASH").count();
        columns.extend((1..=hashed).map(ColumnInfo::implicit_hash));
    }
    let chosen = indexes
        .iter()
        .filter(|index| index.unique && index.whole && index.never_null)
        .min_by_key(|index| index.name != "PRIMARY");
    let unique = indexes
        .iter()
        .filter(|index| index.unique && chosen.is_none_or(|chosen| chosen.name != index.name))
        .map(|index| index.columns.clone())
        .collect();
    let partitions: Vec<(Option<String>, Option<String>)> = session.query(
        &doing,
        format!(
            "SELECT PARTITION_NAME, SUBPARTITION_NAME FROM information_schema.PARTITIONS \
             WHERE {at} ORDER BY PARTITION_ORDINAL_POSITION, SUBPARTITION_ORDINAL_POSITION"
        ),
    )?;
    Ok(TableDef {
        name: name.clone(),
        key: chosen.map(|index| index.columns.clone()),
        key_name: chosen.map(|index| index.name.clone()),
        unique,
        engine: word(1),
        row_format: word(2),
        collation: word(3),
        rows: count(4).unwrap_or(0),
        data_bytes: count(5).unwrap_or(0),
        index_bytes: count(6).unwrap_or(0),
        auto_increment: count(7),
        comment: word(8),
        partitions: partitions
            .into_iter()
            .filter_map(|(name, subpartition)| {
                Some(Partition {
                    name: name?,
                    subpartition,
                })
            })
            .collect(),
        fulltext: indexes
            .iter()
            .filter(|index| index.kind == "FULLTEXT")
            .filter_map(|index| {
                Some(IndexClause {
                    name: index.name.clone(),
                    clause: clause_of(&create_sql, "FULLTEXT KEY ", &index.name)?,
                })
            })
            .collect(),
        spatial: indexes.iter().any(|index| index.kind == "SPATIAL"),
        system_versioned,
        foreign_keys: foreign_keys(session, &doing, name)?,
        referenced_by: referenced_by(session, &doing, name)?,
        triggers: triggers(session, &name.schema, Some(&name.table))?,
        checks: checks(session, &doing, name)?,
        columns,
        create_sql,
    })
}

fn columns(
    session: &mut Session,
    doing: &str,
    at: &str,
    system_versioned: bool,
) -> Result<Vec<ColumnInfo>> {
    type Row = (
        String,
        String,
        Option<String>,
        Option<String>,
        String,
        String,
        Option<String>,
    );
    let rows: Vec<Row> = session.query(
        doing,
        format!(
            "SELECT {} FROM information_schema.COLUMNS WHERE {at} ORDER BY ORDINAL_POSITION",
            CatalogueRow::SELECTED
        ),
    )?;
    let mut columns: Vec<_> = rows
        .iter()
        .map(
            |(name, column_type, charset, collation, nullable, extra, expression)| {
                ColumnInfo::of(&CatalogueRow {
                    name,
                    column_type,
                    charset: charset.as_deref(),
                    collation: collation.as_deref(),
                    nullable,
                    extra,
                    expression: expression.as_deref(),
                })
            },
        )
        .collect();
    if system_versioned
        && !columns
            .iter()
            .any(|column| column.generated == Generated::RowStart)
    {
        columns.extend(ColumnInfo::implicit_period());
    }
    Ok(columns)
}

struct Index {
    name: String,
    kind: String,
    columns: Vec<usize>,
    unique: bool,
    /// No column of it is cut to a prefix, and it is no index of hashes.
    whole: bool,
    never_null: bool,
}

/// The indexes, in the order the server has them.
fn indexes(
    session: &mut Session,
    doing: &str,
    at: &str,
    columns: &[ColumnInfo],
) -> Result<Vec<Index>> {
    type Row = (
        String,
        u8,
        Option<String>,
        Option<u64>,
        Option<String>,
        String,
    );
    // Ordered by nothing, since the order of indexes is not told: it is the one
    // that the rows come in.
    let rows: Vec<Row> = session.query(
        doing,
        format!(
            "SELECT INDEX_NAME, NON_UNIQUE, COLUMN_NAME, SUB_PART, NULLABLE, INDEX_TYPE \
             FROM information_schema.STATISTICS WHERE {at}"
        ),
    )?;
    let mut indexes: Vec<Index> = Vec::new();
    for (name, non_unique, column, sub_part, nullable, kind) in rows {
        let Some(place) = column.and_then(|c| columns.iter().position(|info| info.name == c))
        else {
            continue;
        };
        // The end of a row's time is part of the keys of a table that keeps old
        // versions; among the rows of now it tells nothing apart.
        if columns[place].generated == Generated::RowEnd {
            continue;
        }
        let whole = sub_part.is_none() && kind == "BTREE";
        let never_null = nullable.as_deref() != Some("YES");
        match indexes.iter_mut().find(|index| index.name == name) {
            Some(index) => {
                index.columns.push(place);
                index.whole &= whole;
                index.never_null &= never_null;
            }
            None => indexes.push(Index {
                name,
                kind,
                columns: vec![place],
                unique: non_unique == 0,
                whole,
                never_null,
            }),
        }
    }
    Ok(indexes)
}

/// The foreign keys of one table. Each query names the table by constants, so
/// that the server opens no other: 10.11 may crash (a null pointer in InnoDB)
/// when it lists the foreign keys of all tables while others are dropped.
fn foreign_keys(session: &mut Session, doing: &str, child: &TableName) -> Result<Vec<ForeignKey>> {
    let schema = text(&child.schema);
    let table = text(&child.table);
    let rules: Vec<(String, String, String)> = session.query(
        doing,
        format!(
            "SELECT CONSTRAINT_NAME, UPDATE_RULE, DELETE_RULE \
             FROM information_schema.REFERENTIAL_CONSTRAINTS \
             WHERE CONSTRAINT_SCHEMA = {schema} AND TABLE_NAME = {table} ORDER BY CONSTRAINT_NAME"
        ),
    )?;
    if rules.is_empty() {
        return Ok(Vec::new());
    }
    type Row = (String, String, String, String, String);
    let columns: Vec<Row> = session.query(
        doing,
        format!(
            "SELECT CONSTRAINT_NAME, COLUMN_NAME, REFERENCED_TABLE_SCHEMA, REFERENCED_TABLE_NAME, \
             REFERENCED_COLUMN_NAME FROM information_schema.KEY_COLUMN_USAGE \
             WHERE TABLE_SCHEMA = {schema} AND TABLE_NAME = {table} \
             AND REFERENCED_TABLE_NAME IS NOT NULL ORDER BY CONSTRAINT_NAME, ORDINAL_POSITION"
        ),
    )?;
    Ok(rules
        .into_iter()
        .filter_map(|(name, on_update, on_delete)| {
            let mut of_it = columns.iter().filter(|(n, ..)| *n == name).peekable();
            let (_, _, schema, table, _) = of_it.peek()?;
            let parent = TableName::new(schema.clone(), table.clone());
            let (columns, parent_columns) =
                of_it.map(|(_, c, _, _, p)| (c.clone(), p.clone())).unzip();
            Some(ForeignKey {
                name,
                child: child.clone(),
                columns,
                parent,
                parent_columns,
                on_update,
                on_delete,
            })
        })
        .collect())
}

/// A part of a name in InnoDB's dictionary: 1 the database, -1 the table.
fn name_part(column: &str, at: i8) -> String {
    format!(
        "CONVERT(CONVERT(CONVERT(SUBSTRING_INDEX({column}, '/', {at}) USING binary) \
         USING filename) USING utf8mb4)"
    )
}

/// That one table refers to another by a foreign key.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Reference {
    /// Whose key it is.
    pub child: TableName,
    /// What it refers to.
    pub parent: TableName,
    /// Whether a change of the parent changes the child.
    pub cascades: bool,
}

/// Every foreign key of the server, by InnoDB's dictionary, which needs the
/// privilege `PROCESS`.
///
/// # Errors
/// As [`Session::exec`].
pub fn references(session: &mut Session) -> Result<Vec<Reference>> {
    // The lower bits of its type: on delete and on update, cascade and set null.
    const CHANGES: u32 = 1 | 2 | 4 | 8;
    let rows: Vec<(String, String, String, String, u32)> = session.query(
        "list the foreign keys",
        format!(
            "SELECT {}, {}, {}, {}, TYPE FROM information_schema.INNODB_SYS_FOREIGN",
            name_part("FOR_NAME", 1),
            name_part("FOR_NAME", -1),
            name_part("REF_NAME", 1),
            name_part("REF_NAME", -1),
        ),
    )?;
    Ok(rows
        .into_iter()
        .map(|(schema, table, of, to, kind)| Reference {
            child: TableName::new(schema, table),
            parent: TableName::new(of, to),
            cascades: kind & CHANGES != 0,
        })
        .collect())
}

/// The foreign keys of others (and of its own) that refer to a table. Who they
/// are is asked of InnoDB's dictionary, which needs the privilege `PROCESS`.
fn referenced_by(
    session: &mut Session,
    doing: &str,
    parent: &TableName,
) -> Result<Vec<ForeignKey>> {
    let part = name_part;
    let children: Vec<(String, String)> = session.query(
        doing,
        format!(
            "SELECT DISTINCT {}, {} FROM information_schema.INNODB_SYS_FOREIGN \
             WHERE BINARY {} = BINARY {} AND BINARY {} = BINARY {} ORDER BY 1, 2",
            part("FOR_NAME", 1),
            part("FOR_NAME", -1),
            part("REF_NAME", 1),
            text(&parent.schema),
            part("REF_NAME", -1),
            text(&parent.table),
        ),
    )?;
    let mut keys = Vec::new();
    for (schema, table) in children {
        let child = TableName::new(schema, table);
        keys.extend(
            foreign_keys(session, doing, &child)?
                .into_iter()
                .filter(|key| key.parent == *parent),
        );
    }
    Ok(keys)
}

fn checks(session: &mut Session, doing: &str, name: &TableName) -> Result<Vec<String>> {
    session.query(
        doing,
        format!(
            "SELECT CONSTRAINT_NAME FROM information_schema.TABLE_CONSTRAINTS \
             WHERE TABLE_SCHEMA = {} AND TABLE_NAME = {} AND CONSTRAINT_TYPE = 'CHECK' \
             ORDER BY CONSTRAINT_NAME",
            text(&name.schema),
            text(&name.table)
        ),
    )
}

/// The triggers of a database, or of one table of it, in the order in which
/// they act.
fn triggers(session: &mut Session, database: &str, table: Option<&str>) -> Result<Vec<Definition>> {
    let only = table.map_or_else(String::new, |table| {
        format!(" AND EVENT_OBJECT_TABLE = {}", text(table))
    });
    let names: Vec<(String, String)> = session.query(
        "list the triggers",
        format!(
            "SELECT TRIGGER_NAME, EVENT_OBJECT_TABLE FROM information_schema.TRIGGERS \
             WHERE TRIGGER_SCHEMA = {}{only} \
             ORDER BY EVENT_OBJECT_TABLE, ACTION_ORDER, TRIGGER_NAME",
            text(database)
        ),
    )?;
    let mut triggers = Vec::with_capacity(names.len());
    for (name, table) in names {
        match definition(session, database, Kind::Trigger, name) {
            Ok(mut trigger) => {
                trigger.table = Some(table);
                triggers.push(trigger);
            }
            // Dropped meanwhile; or of a backup of some tables, which has one of
            // the two files that make a trigger.
            Err(e) if e.number() == Some(number::NO_SUCH_TRIGGER) => {}
            Err(e) => return Err(e),
        }
    }
    Ok(triggers)
}

/// What is defined in a database beside its tables: sequences, functions,
/// procedures, packages, views, events, triggers, in the order in which they can
/// be made. (A view may need a later view: make those that fail again.) The
/// database is the session's current one from then on: views name no other
/// database than their own only so.
///
/// # Errors
/// As [`Session::exec`].
pub fn definitions(session: &mut Session, database: &str) -> Result<Vec<Definition>> {
    session.exec("list definitions", format!("USE {}", ident(database)))?;
    let at = text(database);
    let mut all = Vec::new();
    let mut add = |session: &mut Session, kind: Kind, list: String| -> Result<()> {
        let names: Vec<String> = session.query("list definitions", list)?;
        for name in names {
            all.push(definition(session, database, kind, name)?);
        }
        Ok(())
    };
    add(
        session,
        Kind::Sequence,
        format!(
            "SELECT TABLE_NAME FROM information_schema.TABLES \
             WHERE TABLE_SCHEMA = {at} AND TABLE_TYPE = 'SEQUENCE' ORDER BY TABLE_NAME"
        ),
    )?;
    for kind in [
        Kind::Function,
        Kind::Procedure,
        Kind::Package,
        Kind::PackageBody,
    ] {
        add(
            session,
            kind,
            format!(
                "SELECT ROUTINE_NAME FROM information_schema.ROUTINES \
                 WHERE ROUTINE_SCHEMA = {at} AND ROUTINE_TYPE = '{}' ORDER BY ROUTINE_NAME",
                kind.keyword()
            ),
        )?;
    }
    add(
        session,
        Kind::View,
        format!(
            "SELECT TABLE_NAME FROM information_schema.VIEWS \
             WHERE TABLE_SCHEMA = {at} ORDER BY TABLE_NAME"
        ),
    )?;
    add(
        session,
        Kind::Event,
        format!(
            "SELECT EVENT_NAME FROM information_schema.EVENTS \
             WHERE EVENT_SCHEMA = {at} ORDER BY EVENT_NAME"
        ),
    )?;
    all.extend(triggers(session, database, None)?);
    Ok(all)
}

/// One thing that is defined in a database, as the server tells it.
///
/// # Errors
/// As [`Session::exec`].
pub fn definition(
    session: &mut Session,
    database: &str,
    kind: Kind,
    name: String,
) -> Result<Definition> {
    let (mode_at, zone_at, sql_at) = match kind {
        Kind::View | Kind::Sequence => (None, None, 1),
        Kind::Event => (Some(1), Some(2), 3),
        _ => (Some(1), None, 2),
    };
    let row: Option<mysql::Row> = session.first(
        &format!("look at {database}.{name}"),
        format!(
            "SHOW CREATE {} {}.{}",
            kind.keyword(),
            ident(database),
            ident(&name)
        ),
    )?;
    let word = |i: usize| row.as_ref().and_then(|row| column::<String>(row, i));
    let settings = |i: usize| match kind {
        Kind::Sequence => String::new(),
        _ => word(sql_at + i).unwrap_or_default(),
    };
    Ok(Definition {
        kind,
        sql: word(sql_at),
        sql_mode: mode_at.and_then(word).unwrap_or_default(),
        character_set_client: settings(1),
        collation_connection: settings(2),
        database_collation: match kind {
            Kind::View => String::new(),
            _ => settings(3),
        },
        time_zone: zone_at.and_then(word).unwrap_or_default(),
        name,
        table: None,
    })
}

/// Who has been given something on that very table, beyond what holds for its
/// whole database. Needs `SELECT` on `mysql.*` to see others.
///
/// # Errors
/// As [`Session::exec`].
pub fn grants(session: &mut Session, name: &TableName) -> Result<Vec<Grant>> {
    let at = format!(
        "TABLE_SCHEMA = {} AND TABLE_NAME = {}",
        text(&name.schema),
        text(&name.table)
    );
    let rows: Vec<(String, String, Option<String>, String)> = session.query(
        "list the grants",
        format!(
            "SELECT GRANTEE, PRIVILEGE_TYPE, NULL, IS_GRANTABLE \
             FROM information_schema.TABLE_PRIVILEGES WHERE {at} UNION ALL \
             SELECT GRANTEE, PRIVILEGE_TYPE, COLUMN_NAME, IS_GRANTABLE \
             FROM information_schema.COLUMN_PRIVILEGES WHERE {at} ORDER BY 1, 4, 2, 3"
        ),
    )?;
    let mut grants: Vec<Grant> = Vec::new();
    for (grantee, privilege, column, grantable) in rows {
        // A role has no host.
        let grantee = grantee.strip_suffix("@''").unwrap_or(&grantee).to_owned();
        let grantable = grantable == "YES";
        let privilege = match column {
            Some(column) => format!("{privilege} ({})", ident(&column)),
            None => privilege,
        };
        match grants
            .last_mut()
            .filter(|grant| grant.grantee == grantee && grant.grantable == grantable)
        {
            Some(grant) => grant.privileges.push(privilege),
            None => grants.push(Grant {
                grantee,
                privileges: vec![privilege],
                grantable,
            }),
        }
    }
    Ok(grants)
}

/// What a copy of a table is to keep of the original's definition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CopyOf {
    /// Its foreign keys. Their names must be free in the database of the copy.
    pub foreign_keys: bool,
    /// Its FULLTEXT indexes.
    pub fulltext: bool,
}

impl TableDef {
    /// The statement that makes an empty table of this definition under
    /// another name, without its triggers. Folders that the definition names
    /// are left out, since the original's files are there.
    ///
    /// # Errors
    /// [`Error::Table`] when the definition has not the form that was expected.
    pub fn create_as(&self, target: &TableName, what: CopyOf) -> Result<String> {
        let odd = || Error::Table {
            doing: "copy the definition of",
            table: self.name.clone(),
            why: "`SHOW CREATE TABLE` has not the form that was expected".to_owned(),
        };
        let (head, rest) = self.create_sql.split_once(" (\n").ok_or_else(odd)?;
        if !head.starts_with("CREATE TABLE `") {
            return Err(odd());
        }
        let (body, tail) = rest.split_once("\n)").ok_or_else(odd)?;
        let kept: Vec<&str> = body
            .split('\n')
            .map(|line| line.strip_suffix(',').unwrap_or(line))
            .filter(|line| {
                let clause = line.trim_start();
                let foreign =
                    clause.starts_with("CONSTRAINT `") && clause.contains(" FOREIGN KEY ");
                (what.foreign_keys || !foreign)
                    && (what.fulltext || !clause.starts_with("FULLTEXT KEY "))
            })
            .collect();
        Ok(format!(
            "CREATE TABLE {} (\n{}\n){}",
            quoted(target),
            kept.join(",\n"),
            without_folders(tail)
        ))
    }

    /// The columns that a statement names when it writes rows.
    #[must_use]
    pub fn inserted(&self) -> Vec<&ColumnInfo> {
        self.columns
            .iter()
            .filter(|column| column.is_inserted())
            .collect()
    }

    /// The places of the columns that the server computes when rows are read,
    /// but for those that keep a hash, which it writes with the row.
    #[must_use]
    pub fn computed(&self) -> Vec<usize> {
        self.columns
            .iter()
            .enumerate()
            .filter(|(_, c)| c.generated == Generated::Virtual && !c.is_implicit_hash())
            .map(|(place, _)| place)
            .collect()
    }

    /// The columns of the key, in its order; empty when there is none.
    #[must_use]
    pub fn key_columns(&self) -> Vec<&ColumnInfo> {
        self.key
            .iter()
            .flatten()
            .filter_map(|place| self.columns.get(*place))
            .collect()
    }
}

/// The options at a definition's end, without the folders that they name.
fn without_folders(tail: &str) -> String {
    let mut out = String::with_capacity(tail.len());
    let mut rest = tail;
    while let Some((at, word)) = [" DATA DIRECTORY", " INDEX DIRECTORY"]
        .iter()
        .filter_map(|word| Some((rest.find(word)?, *word)))
        .min()
    {
        let after = &rest[at + word.len()..];
        // `='path'`, or ` = 'path'` within partitions; a quote is doubled.
        let Some(value) = after
            .trim_start()
            .strip_prefix('=')
            .map(str::trim_start)
            .and_then(|value| value.strip_prefix('\''))
        else {
            out.push_str(&rest[..at + word.len()]);
            rest = after;
            continue;
        };
        let Some(end) = value.find('\'') else { break };
        out.push_str(&rest[..at]);
        rest = &value[end + 1..];
    }
    out.push_str(rest);
    out
}

/// The line of a definition that begins with `word` and that name.
fn clause_of(create_sql: &str, word: &str, name: &str) -> Option<String> {
    let start = format!("{word}{} ", ident(name));
    create_sql
        .split('\n')
        .map(str::trim_start)
        .find(|line| line.starts_with(&start))
        .map(|line| line.strip_suffix(',').unwrap_or(line).to_owned())
}

/// A row that is always there.
fn one<T: FromRow>(session: &mut Session, doing: &str, sql: &str) -> Result<T> {
    session.first(doing, sql)?.ok_or_else(|| Error::State {
        what: doing.to_owned(),
        why: "the server answered nothing; see its version".to_owned(),
    })
}

/// A value of a row; `None` for null, and for what is not of that type.
fn column<T: mysql::prelude::FromValue>(row: &mysql::Row, i: usize) -> Option<T> {
    row.get_opt::<Option<T>, _>(i)?.ok()?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read() {
        for (text, number) in [
            ("10.11.19-MariaDB-0+deb12u1-log", (10, 11, 19)),
            ("5.5.5-10.6.1-MariaDB", (10, 6, 1)),
            ("8.0.36", (8, 0, 36)),
            ("odd", (0, 0, 0)),
        ] {
            assert_eq!(version_number(text), number, "{text}");
        }
    }

    #[test]
    fn folders_are_left_out_of_a_copy() {
        for (tail, wanted) in [
            (" ENGINE=InnoDB", " ENGINE=InnoDB"),
            (
                " ENGINE=InnoDB DATA DIRECTORY='/a b/' COMMENT='x'",
                " ENGINE=InnoDB COMMENT='x'",
            ),
            (
                "(PARTITION `p` DATA DIRECTORY = '/a' INDEX DIRECTORY = '/b' ENGINE = InnoDB)",
                "(PARTITION `p` ENGINE = InnoDB)",
            ),
            (
                " COMMENT='my DATA DIRECTORY is here'",
                " COMMENT='my DATA DIRECTORY is here'",
            ),
        ] {
            assert_eq!(without_folders(tail), wanted);
        }
    }
}
