//! The reader against what a real server wrote: a model that follows the
//! changes must end up with what the server has.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests may panic"
)]

mod common;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};

use backout_history::change::Ddl;
use backout_history::event::{Checksum, Header, Kind};
use backout_history::reader::HELD_BYTES_MAX;
use backout_history::{
    Block, Error, FileSource, Group, GroupEnd, Gtid, Item, Position, Reader, ReaderOptions, Result,
    Source, Statement, TableName,
};
use common::Server;
use mysql::Conn;
use mysql::prelude::Queryable;
use proptest::prelude::Rng;
use proptest::test_runner::{RngAlgorithm, TestRng};

/// An item of one's own.
#[derive(Clone, Debug, PartialEq)]
enum Read {
    Begin(Group),
    Change {
        table: TableName,
        before: Option<Vec<u8>>,
        after: Option<Vec<u8>>,
        ends_statement: bool,
        /// The first column of the row before and after, when it is an `INT`.
        keys: (Option<i32>, Option<i32>),
    },
    Statement(Statement),
    End(GroupEnd),
}

fn options(spill: &Path) -> ReaderOptions {
    ReaderOptions {
        wanted: None,
        spill: spill.to_owned(),
        xa_memory: 1 << 20,
        lower_case_names: false,
    }
}

fn read_from(source: impl Source, options: ReaderOptions) -> (Vec<Read>, Option<Error>) {
    let mut reader = Reader::new(source, options);
    let mut all = Vec::new();
    loop {
        match reader.next() {
            Ok(None) => return (all, None),
            Err(e) => return (all, Some(e)),
            Ok(Some(Item::Begin(group))) => all.push(Read::Begin(group.clone())),
            Ok(Some(Item::End(end))) => all.push(Read::End(end.clone())),
            Ok(Some(Item::Statement(statement))) => all.push(Read::Statement(statement.clone())),
            Ok(Some(Item::Change(change))) => {
                let mut ranges = Vec::new();
                let mut key = |image: Option<&[u8]>| {
                    let image = image?;
                    let layout = &change.table.layout;
                    layout.take_apart(image, &mut ranges).unwrap();
                    let value = image.get(ranges[0].clone()?)?;
                    Some(i32::from_le_bytes(value.try_into().ok()?))
                };
                let keys = (key(change.before), key(change.after));
                all.push(Read::Change {
                    table: change.table.name.clone(),
                    before: change.before.map(<[u8]>::to_vec),
                    after: change.after.map(<[u8]>::to_vec),
                    ends_statement: change.ends_statement,
                    keys,
                });
            }
        }
    }
}

fn read_all(paths: &[PathBuf], options: ReaderOptions) -> Vec<Read> {
    let (all, error) = read_from(FileSource::open(paths).unwrap(), options);
    if let Some(error) = error {
        panic!("{error}");
    }
    all
}

type Rows = BTreeMap<i32, Vec<u8>>;

/// Follows the changes; each must find the row as it says that it was.
fn follow(all: &[Read]) -> HashMap<TableName, Rows> {
    let mut tables: HashMap<TableName, Rows> = HashMap::new();
    let mut open = None;
    for item in all {
        match item {
            Read::Begin(group) => {
                assert!(open.is_none(), "{group:?}");
                open = Some(group.clone());
            }
            Read::End(_) => assert!(open.take().is_some()),
            Read::Change {
                table,
                before,
                after,
                keys,
                ..
            } => {
                assert!(open.is_some());
                let rows = tables.entry(table.clone()).or_default();
                assert_eq!(
                    keys.0.and_then(|k| rows.remove(&k)),
                    *before,
                    "{table} {keys:?}"
                );
                if let (Some(key), Some(after)) = (keys.1, after) {
                    assert_eq!(rows.insert(key, after.clone()), None, "{table} {key}");
                }
            }
            Read::Statement(statement) => {
                assert!(open.is_some());
                match &statement.kind {
                    backout_history::change::StatementKind::Ddl(ddl) => match ddl {
                        Ddl::Create { table, .. } | Ddl::Truncate(table) => {
                            tables.insert(table.clone(), Rows::new());
                        }
                        Ddl::Drop(dropped) => {
                            for table in dropped {
                                tables.remove(table);
                            }
                        }
                        Ddl::Rename(pairs) => {
                            for (from, to) in pairs {
                                let rows = tables.remove(from).unwrap();
                                tables.insert(to.clone(), rows);
                            }
                        }
                        Ddl::Alter {
                            table,
                            renamed: Some(renamed),
                            ..
                        } => {
                            let rows = tables.remove(table).unwrap();
                            tables.insert(renamed.clone(), rows);
                        }
                        _ => {}
                    },
                    kind => assert_ne!(
                        *kind,
                        backout_history::change::StatementKind::Rows,
                        "{statement:?}"
                    ),
                }
            }
        }
    }
    assert!(open.is_none());
    tables
}

/// The rows of a table `(INT PRIMARY KEY, INT, VARCHAR(255 bytes))` as images.
fn rows_of(conn: &mut Conn, table: &str) -> Rows {
    let rows: Vec<(i32, Option<i32>, Option<Vec<u8>>)> = conn
        .query(format!("SELECT id, v, CAST(pad AS BINARY) FROM {table}"))
        .unwrap();
    rows.into_iter()
        .map(|(id, v, pad)| {
            let nulls = u8::from(v.is_none()) << 1 | u8::from(pad.is_none()) << 2;
            // The bits that no column has are set.
            let mut image = vec![nulls | 0xf8];
            image.extend(id.to_le_bytes());
            image.extend(v.map(i32::to_le_bytes).into_iter().flatten());
            if let Some(pad) = pad {
                image.push(u8::try_from(pad.len()).unwrap());
                image.extend(pad);
            }
            (id, image)
        })
        .collect()
}

const TABLE: &str =
    "(id INT PRIMARY KEY, v INT, pad VARCHAR(60) CHARACTER SET utf8mb4) ENGINE=InnoDB";

/// Everything that commits, and much that does not.
fn scenario(server: &Server) {
    let table = |name: &str| format!("CREATE TABLE {name} {TABLE}");
    server.run_all(&[
        "CREATE DATABASE d",
        "USE d",
        &table("t"),
        &table("u"),
        "CREATE TABLE m (id INT PRIMARY KEY, v INT, pad VARCHAR(60)) ENGINE=MyISAM",
        "INSERT INTO t VALUES (1, 1, 'a'), (2, NULL, NULL), (3, 3, '')",
        "UPDATE t SET v = 5 WHERE id < 3",
        "UPDATE t SET id = id + 100 ORDER BY id DESC",
        "DELETE FROM t WHERE id = 103",
        "INSERT INTO u SELECT id, v, repeat('x', 50) FROM t",
        // Rolled back, and in the log nevertheless.
        "BEGIN",
        "INSERT INTO t VALUES (10, 1, 'no')",
        "CREATE TEMPORARY TABLE x1 (a INT)",
        "UPDATE t SET v = 77",
        "ROLLBACK",
        // In part.
        "BEGIN",
        "INSERT INTO t VALUES (11, 1, 'yes')",
        "SAVEPOINT `A b`",
        "INSERT INTO t VALUES (12, 1, 'no')",
        "SAVEPOINT c",
        "CREATE TEMPORARY TABLE x2 (a INT)",
        "INSERT INTO t VALUES (13, 1, 'no')",
        "ROLLBACK TO c",
        "INSERT INTO t VALUES (14, 1, 'no')",
        "ROLLBACK TO `a B`",
        "INSERT INTO t VALUES (15, 1, 'yes')",
        "COMMIT",
        // Without a temporary table the server cuts it out by itself.
        "BEGIN",
        "INSERT INTO t VALUES (16, 1, 'yes')",
        "SAVEPOINT c",
        "INSERT INTO t VALUES (17, 1, 'no')",
        "ROLLBACK TO SAVEPOINT c",
        "COMMIT",
        "BEGIN",
        "INSERT INTO t VALUES (18, 1, 'no')",
        "INSERT INTO m VALUES (18, 1, 'yes')",
        "ROLLBACK",
        // XA: committed, rolled back, in one phase, empty.
        "XA START 'a', 'b', 7",
        "INSERT INTO t VALUES (20, 1, 'yes')",
        "SAVEPOINT c",
        "INSERT INTO t VALUES (21, 1, 'no')",
        "CREATE TEMPORARY TABLE x3 (a INT)",
        "INSERT INTO t VALUES (26, 1, 'no')",
        "ROLLBACK TO c",
        "INSERT INTO t VALUES (22, 1, 'yes')",
        "XA END 'a', 'b', 7",
        "XA PREPARE 'a', 'b', 7",
        "XA COMMIT 'a', 'b', 7",
        "XA START 'c'",
        "INSERT INTO t VALUES (23, 1, 'no')",
        "XA END 'c'",
        "XA PREPARE 'c'",
        "XA ROLLBACK 'c'",
        "XA START 'e'",
        "INSERT INTO t VALUES (24, 1, 'yes')",
        "XA END 'e'",
        "XA COMMIT 'e' ONE PHASE",
        "XA START 'f'",
        "DO 1",
        "XA END 'f'",
        "XA PREPARE 'f'",
        "XA COMMIT 'f'",
        // Definitions.
        "CREATE TABLE c (id INT PRIMARY KEY, v INT, pad VARCHAR(60)) SELECT * FROM t",
        "CREATE OR REPLACE TABLE c2 (id INT PRIMARY KEY, v INT, pad VARCHAR(60)) SELECT * FROM t",
        "UPDATE c SET v = v + 1",
        "RENAME TABLE t TO z, u TO t, z TO u",
        "INSERT INTO t VALUES (30, 1, 'yes')",
        "TRUNCATE c2",
        "INSERT INTO c2 VALUES (1, 1, 'yes')",
        "SET SESSION binlog_alter_two_phase = 1",
        "ALTER TABLE c2 RENAME TO c3, COMMENT 'x, y'",
        "SET SESSION binlog_alter_two_phase = 0",
        "DROP TABLE IF EXISTS nothing",
        "DROP TABLE c",
        "FLUSH LOGS",
        "INSERT INTO t VALUES (31, 1, 'yes')",
        "OPTIMIZE TABLE t",
        "CREATE VIEW w AS SELECT 1",
        "UPDATE u, t SET u.v = 9, t.v = 9 WHERE t.id = u.id",
    ]);
    // A statement that fails in the middle, in a table without transactions.
    let mut conn = server.conn();
    let failed = "INSERT INTO d.m VALUES (5, 1, ''), (18, 1, ''), (6, 1, '')";
    assert!(conn.query_drop(failed).is_err());
}

fn check(server: &Server, all: &[Read], tables: &[&str]) {
    let followed = follow(all);
    let mut conn = server.conn();
    for name in tables {
        let (schema, table) = name.split_once('.').unwrap();
        let rows = followed.get(&TableName::new(schema, table));
        let rows = rows.cloned().unwrap_or_default();
        assert_eq!(rows, rows_of(&mut conn, name), "{name}");
    }
}

/// Nothing that committed is lost when the server is killed.
const DURABLE: [&str; 2] = ["--sync-binlog=1", "--innodb-flush-log-at-trx-commit=1"];

const SCENARIO_TABLES: [&str; 4] = ["d.t", "d.u", "d.m", "d.c3"];

/// Cuts another source's blocks into single events.
struct Crumbs<S> {
    source: S,
    block: Block,
    at: usize,
}

impl<S: Source> Crumbs<S> {
    fn new(source: S) -> Self {
        Self {
            source,
            block: Block::default(),
            at: 0,
        }
    }
}

impl<S: Source> Source for Crumbs<S> {
    fn next_block(&mut self, block: &mut Block) -> Result<bool> {
        if self.at == self.block.raw.len() {
            self.at = 0;
            if !self.source.next_block(&mut self.block)? {
                return Ok(false);
            }
        }
        let bytes = Header::read(&self.block.raw[self.at..]).unwrap().bytes as usize;
        block.raw.clear();
        block.carry.clear();
        block
            .raw
            .extend_from_slice(&self.block.raw[self.at..self.at + bytes]);
        block.at = self.block.at.clone();
        block.at.offset += self.at as u64;
        block.checksum = self.block.checksum;
        self.at += bytes;
        Ok(true)
    }
}

#[test]
fn what_took_effect_is_read_however_the_log_is_written() {
    let folder = tempfile::tempdir().unwrap();
    for args in [
        &[][..],
        &[
            "--log-bin-compress=1",
            "--log-bin-compress-min-len=10",
            "--binlog-row-event-max-size=256",
        ],
        &["--binlog-checksum=NONE", "--binlog-annotate-row-events=0"],
    ] {
        let server = Server::start(args);
        scenario(&server);
        let mut options = options(folder.path());
        let all = read_all(&server.binlogs(), options.clone());
        check(&server, &all, &SCENARIO_TABLES);

        // The same, event by event, with XA in a file.
        options.xa_memory = 0;
        let source = Crumbs::new(FileSource::open(&server.binlogs()).unwrap());
        let (crumbs, error) = read_from(source, options.clone());
        assert!(error.is_none(), "{error:?}");
        assert_eq!(crumbs, all);

        // Only some tables.
        let u = TableName::new("d", "u");
        options.wanted = Some(HashSet::from([u.clone()]));
        let some = read_all(&server.binlogs(), options);
        let expected: Vec<Read> = all
            .iter()
            .filter(|item| !matches!(item, Read::Change { table, .. } if *table != u))
            .cloned()
            .collect();
        assert_eq!(some, expected);

        // Groups follow each other, and are numbered so.
        let mut sequence = 0;
        for item in &all {
            if let Read::Begin(group) = item {
                let Some(Gtid::Triple { sequence: next, .. }) = group.gtid else {
                    panic!("{group:?}");
                };
                assert!(next > sequence);
                sequence = next;
            }
        }
        assert!(all.iter().any(|item| matches!(
            item,
            Read::End(GroupEnd {
                committed: false,
                ..
            })
        )));
    }
}

#[test]
fn the_end_of_a_statement_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(&["--binlog-row-event-max-size=256"]);
    server.run_all(&[
        "CREATE DATABASE d",
        "USE d",
        &format!("CREATE TABLE d.t {TABLE}"),
        "BEGIN",
        "INSERT INTO d.t SELECT seq, 1, repeat('x', 20) FROM seq_1_to_100",
        "DELETE FROM d.t WHERE id > 50",
        "UPDATE d.t SET id = id + 1000",
        "COMMIT",
    ]);
    let all = read_all(&server.binlogs(), options(folder.path()));
    let ends: Vec<bool> = all
        .iter()
        .filter_map(|item| match item {
            Read::Change { ends_statement, .. } => Some(*ends_statement),
            _ => None,
        })
        .collect();
    let at: Vec<usize> = (0..ends.len()).filter(|i| ends[*i]).collect();
    assert_eq!(at, [99, 149, 199]);
    check(&server, &all, &["d.t"]);
}

#[test]
fn many_sessions_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(&["--max-binlog-size=65536", "--log-bin-compress=1"]);
    server.run_all(&[
        "CREATE DATABASE d",
        &format!("CREATE TABLE d.t {TABLE}"),
        &format!("CREATE TABLE d.u {TABLE}"),
    ]);
    std::thread::scope(|scope| {
        for session in 0..6_u8 {
            let server = &server;
            scope.spawn(move || work(server, session));
        }
    });
    let files = server.binlogs();
    assert!(files.len() > 3, "{files:?}");
    for xa_memory in [1 << 20, 1000] {
        let mut options = options(folder.path());
        options.xa_memory = xa_memory;
        let all = read_all(&files, options);
        check(&server, &all, &["d.t", "d.u"]);
    }
}

/// Random transactions on rows of the session's own and on those of all.
fn work(server: &Server, session: u8) {
    let mut rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[session; 32]);
    let mut conn = server.conn();
    conn.query_drop("SET innodb_lock_wait_timeout = 5").unwrap();
    for i in 0..120 {
        let mut below = |n: u32| rng.next_u32() % n;
        let way = below(10);
        let xa = way < 3;
        let xid = format!("'{session}-{i}'");
        let begin = if xa {
            format!("XA START {xid}")
        } else {
            "BEGIN".into()
        };
        conn.query_drop(begin).unwrap();
        if way == 9 {
            conn.query_drop("CREATE OR REPLACE TEMPORARY TABLE d.x (a INT)")
                .unwrap();
        }
        let mut failed = false;
        for _ in 0..below(6) {
            let table = if below(2) == 0 { "d.t" } else { "d.u" };
            let id = below(200);
            let sql = match below(5) {
                0 => format!("DELETE FROM {table} WHERE id BETWEEN {id} AND {id} + 3"),
                1 => format!(
                    "UPDATE {table} SET v = v + 1, pad = repeat('y', {id} % 60) WHERE id < {id} LIMIT 20"
                ),
                2 => "SAVEPOINT s".into(),
                3 => "ROLLBACK TO s".into(),
                _ => format!(
                    "REPLACE {table} VALUES ({id}, {i}, repeat('x', {id} % 60)), ({id} + 1, NULL, NULL)"
                ),
            };
            let result = conn.query_drop(&sql);
            // A deadlock ends the transaction; a savepoint may not be there.
            failed |= result.is_err_and(|e| !e.to_string().contains("1305"));
            if failed {
                break;
            }
        }
        if xa {
            let prepared = conn.query_drop(format!("XA END {xid}")).is_ok()
                && conn.query_drop(format!("XA PREPARE {xid}")).is_ok();
            let end = if prepared && !failed && way < 2 {
                "COMMIT"
            } else {
                "ROLLBACK"
            };
            conn.query_drop(format!("XA {end} {xid}")).unwrap();
        } else {
            let end = if below(4) == 0 { "ROLLBACK" } else { "COMMIT" };
            conn.query_drop(end).unwrap();
        }
        if i % 40 == 0 {
            conn.query_drop("FLUSH LOGS").unwrap();
        }
    }
}

#[test]
fn xa_that_outlives_its_session_its_log_and_its_server() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = Server::start(&DURABLE);
    server.run_all(&["CREATE DATABASE d", &format!("CREATE TABLE d.t {TABLE}")]);
    for (xid, id) in [("a", 1), ("b", 2), ("c", 3)] {
        server.run_all(&[
            &format!("XA START '{xid}'"),
            &format!("INSERT INTO d.t VALUES ({id}, 1, 'x')"),
            &format!("XA END '{xid}'"),
            &format!("XA PREPARE '{xid}'"),
        ]);
    }
    server.run_all(&["FLUSH LOGS", "INSERT INTO d.t VALUES (10, 1, 'x')"]);
    server.crash();
    server.run_all(&["XA COMMIT 'a'", "XA ROLLBACK 'b'"]);
    let files = server.binlogs();
    let all = read_all(&files, options(folder.path()));
    check(&server, &all, &["d.t"]);
    let order: Vec<i32> = all
        .iter()
        .filter_map(|item| match item {
            Read::Change { keys, .. } => keys.1,
            _ => None,
        })
        .collect();
    assert_eq!(order, [10, 1]);

    // Read from after the preparation it is refused by its name, and well when
    // the preparation is handed in.
    let late = FileSource::open(&files[1..]).unwrap();
    let (_, error) = read_from(late, options(folder.path()));
    let error = error.unwrap();
    assert!(matches!(error, Error::Unsupported { .. }));
    assert!(error.to_string().contains("X'61',X'',1"), "{error}");
    let carried = Carrying {
        source: FileSource::open(&files[1..]).unwrap(),
        carry: events_of(&files[0], |kind, _| {
            kind != Kind::FORMAT_DESCRIPTION && kind != Kind::ROTATE
        }),
    };
    let (late, error) = read_from(carried, options(folder.path()));
    assert!(error.is_none(), "{error:?}");
    let from = all
        .iter()
        .position(|item| matches!(item, Read::Begin(g) if g.start.number() == 2))
        .unwrap();
    assert_eq!(late, all[from..]);

    // Nothing is wanted: then it does not matter.
    let mut none = options(folder.path());
    none.wanted = Some(HashSet::new());
    let (_, error) = read_from(FileSource::open(&files[1..]).unwrap(), none);
    assert!(error.is_none(), "{error:?}");
}

/// Hands something in before the first block.
struct Carrying<S> {
    source: S,
    carry: Vec<u8>,
}

impl<S: Source> Source for Carrying<S> {
    fn next_block(&mut self, block: &mut Block) -> Result<bool> {
        let more = self.source.next_block(block)?;
        block.carry = std::mem::take(&mut self.carry);
        Ok(more)
    }
}

/// The events of a file that are wanted, by kind and position.
fn events_of(path: &Path, wanted: impl Fn(Kind, u64) -> bool) -> Vec<u8> {
    let raw = fs::read(path).unwrap();
    let (mut at, mut out) = (4, Vec::new());
    while at < raw.len() {
        let header = Header::read(&raw[at..]).unwrap();
        let end = at + header.bytes as usize;
        if wanted(header.kind, at as u64) {
            out.extend_from_slice(&raw[at..end]);
        }
        at = end;
    }
    out
}

/// The blocks of one file that are named, the first with a context.
struct Parts {
    blocks: Vec<Block>,
}

impl Source for Parts {
    fn next_block(&mut self, block: &mut Block) -> Result<bool> {
        if self.blocks.is_empty() {
            return Ok(false);
        }
        *block = self.blocks.remove(0);
        Ok(true)
    }
}

#[test]
fn a_source_may_leave_out_what_nobody_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(&[]);
    server.run_all(&[
        "CREATE DATABASE d",
        &format!("CREATE TABLE d.t {TABLE}"),
        &format!("CREATE TABLE d.u {TABLE}"),
        "FLUSH LOGS",
        "BEGIN",
        "INSERT INTO d.t VALUES (1, 1, 'a')",
        "INSERT INTO d.u VALUES (1, 1, 'a')",
        "UPDATE d.t SET v = 2",
        "COMMIT",
        "INSERT INTO d.t VALUES (2, 1, 'a')",
    ]);
    let path = &server.binlogs()[1];
    let raw = fs::read(path).unwrap();
    let mut events = Vec::new();
    let mut at = 4;
    while at < raw.len() {
        let header = Header::read(&raw[at..]).unwrap();
        events.push((header.kind, at..at + header.bytes as usize));
        at = events[events.len() - 1].1.end;
    }
    let at_of = |kind: Kind, n: usize| {
        let mut found = events.iter().filter(|(k, _)| *k == kind);
        found.nth(n).unwrap().1.clone()
    };
    let gtid = at_of(Kind::GTID, 0);
    let annotations: Vec<usize> = (0..3)
        .map(|i| at_of(Kind::ANNOTATE_ROWS, i).start)
        .collect();
    let xid = at_of(Kind::XID, 0);
    let block = |range: std::ops::Range<usize>, carry: &[std::ops::Range<usize>]| Block {
        at: Position {
            file: path.file_name().unwrap().to_string_lossy().into_owned(),
            offset: range.start as u64,
        },
        raw: raw[range].to_vec(),
        checksum: Checksum::Crc32,
        carry: carry.iter().flat_map(|r| raw[r.clone()].to_vec()).collect(),
    };
    let mut options = options(folder.path());
    options.wanted = Some(HashSet::from([TableName::new("d", "t")]));
    let all = read_all(std::slice::from_ref(path), options.clone());
    assert_eq!(all.len(), 7, "{all:?}");

    // Without the statement on the other table.
    let blocks = vec![
        block(4..annotations[1], &[]),
        block(annotations[2]..raw.len(), std::slice::from_ref(&gtid)),
    ];
    let (some, error) = read_from(Parts { blocks }, options.clone());
    assert!(error.is_none(), "{error:?}");
    assert_eq!(some, all);

    // From within the transaction, and within its last statement.
    let table_map = at_of(Kind::TABLE_MAP, 2);
    let blocks = vec![block(
        table_map.end..raw.len(),
        &[gtid.clone(), table_map.clone()],
    )];
    let (some, error) = read_from(Parts { blocks }, options.clone());
    assert!(error.is_none(), "{error:?}");
    assert_eq!(some[0], all[0]);
    assert_eq!(some[1..], all[2..]);

    // The context is missing: not guessed.
    let blocks = vec![block(table_map.end..raw.len(), &[gtid])];
    let (some, error) = read_from(Parts { blocks }, options.clone());
    assert!(matches!(error, Some(Error::Damaged { .. })), "{some:?}");
    // The end of the transaction is missing.
    let blocks = vec![
        block(4..annotations[1], &[]),
        block(xid.end..raw.len(), &[]),
    ];
    let (_, error) = read_from(Parts { blocks }, options);
    assert!(matches!(error, Some(Error::Gap { .. })), "{error:?}");
}

#[test]
fn transactions_larger_than_what_is_held() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(&[]);
    let rows = HELD_BYTES_MAX / 1000 + 5000;
    let fill = format!("INSERT INTO d.t SELECT seq, repeat('x', 1000) FROM seq_1_to_{rows}");
    server.run_all(&[
        "CREATE DATABASE d",
        "USE d",
        "CREATE TABLE d.t (id INT PRIMARY KEY, pad TEXT)",
        &fill,
        "UPDATE d.t SET pad = repeat('y', 900)",
    ]);
    let all = read_all(&server.binlogs(), options(folder.path()));
    let tables = follow(&all);
    assert_eq!(tables[&TableName::new("d", "t")].len(), rows);
    // One that is written nevertheless when it is rolled back.
    server.run_all(&[
        "BEGIN",
        "CREATE TEMPORARY TABLE d.x (a INT)",
        "DELETE FROM d.t",
        "ROLLBACK",
    ]);
    let source = FileSource::open(&server.binlogs()).unwrap();
    let (_, error) = read_from(source, options(folder.path()));
    let error = error.unwrap();
    assert!(matches!(error, Error::Unsupported { .. }), "{error}");
    // Of a table that nobody asked for it does not matter.
    let mut other = options(folder.path());
    other.wanted = Some(HashSet::from([TableName::new("d", "other")]));
    read_all(&server.binlogs(), other);
}

#[test]
fn a_torn_tail_ends_the_stream_and_damage_does_not() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(&[]);
    scenario(&server);
    let path = &server.binlogs()[0];
    let whole = fs::read(path).unwrap();
    let all = read_all(std::slice::from_ref(path), options(folder.path()));
    let groups_before = |offset: u64| {
        let last = all.iter().rposition(|item| match item {
            Read::End(end) => end.end.offset <= offset,
            _ => false,
        });
        all[..last.map_or(0, |i| i + 1)].to_vec()
    };
    let mut ends = HashSet::from([4]);
    let mut starts = Vec::new();
    let mut at = 4;
    while at < whole.len() {
        starts.push(at);
        at += Header::read(&whole[at..]).unwrap().bytes as usize;
        ends.insert(at);
    }
    let copy = folder.path().join("bin.000001");
    for zeros in [0, 5, 5000] {
        for cut in (0..whole.len()).step_by(97).chain(starts.iter().copied()) {
            let mut raw = whole[..cut].to_vec();
            // Zeros in the format description say that there are no checksums.
            if !(starts[1]..whole.len()).contains(&cut) && zeros > 0 {
                continue;
            }
            raw.resize(cut + zeros, 0);
            fs::write(&copy, raw).unwrap();
            let source = FileSource::open(std::slice::from_ref(&copy)).unwrap();
            let mut reader = Reader::new(source, options(folder.path()));
            let mut count = 0;
            while reader.next().unwrap().is_some() {
                count += 1;
            }
            assert_eq!(count, groups_before(cut as u64).len(), "{cut}");
            let torn = reader.source().torn().map(|at| at.offset);
            // A cut within an event, or one that zeros follow.
            let expected = starts.iter().rfind(|s| **s <= cut).copied().unwrap_or(0);
            if !ends.contains(&cut) || zeros > 0 {
                assert_eq!(torn, Some(expected as u64), "{cut}");
            } else {
                assert!(torn.is_none() || cut == 4, "{cut}");
            }
        }
    }
    // A byte that changed is found, and what was before it was read.
    for at in (4..whole.len()).step_by(61) {
        let mut raw = whole.clone();
        raw[at] ^= 0x41;
        fs::write(&copy, raw).unwrap();
        let read = match FileSource::open(std::slice::from_ref(&copy)) {
            Ok(source) => read_from(source, options(folder.path())),
            Err(error) => (Vec::new(), Some(error)),
        };
        let error = read.1.unwrap_or_else(|| panic!("{at}"));
        assert!(matches!(error, Error::Damaged { .. }), "{at}: {error}");
        assert_eq!(read.0, groups_before(at as u64), "{at}");
        let start = starts.iter().rfind(|s| **s <= at).unwrap();
        let Error::Damaged { at: position, .. } = error else {
            unreachable!()
        };
        assert_eq!(position.offset, *start as u64, "{at}");
    }
}

#[test]
fn a_crash_in_the_middle_of_writing_is_not_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = Server::start(&DURABLE);
    server.run_all(&["CREATE DATABASE d", &format!("CREATE TABLE d.t {TABLE}")]);
    std::thread::scope(|scope| {
        let socket = server.socket();
        scope.spawn(move || {
            let opts = mysql::OptsBuilder::new()
                .socket(Some(socket.to_string_lossy()))
                .user(Some("root"));
            let mut conn = Conn::new(opts).unwrap();
            for id in 0.. {
                let sql = format!("INSERT INTO d.t VALUES ({id}, 1, 'x')");
                if conn.query_drop(sql).is_err() {
                    break;
                }
            }
        });
        let mut conn = server.conn();
        loop {
            let n: Option<u32> = conn.query_first("SELECT COUNT(*) FROM d.t").unwrap();
            if n > Some(50) {
                break;
            }
        }
        drop(conn);
        server.kill();
    });
    server.crash();
    server.run_all(&["INSERT INTO d.t VALUES (-1, 1, 'x')"]);
    let files = server.binlogs();
    assert_eq!(files.len(), 2);
    let all = read_all(&files, options(folder.path()));
    check(&server, &all, &["d.t"]);
    // A transaction of which only the begin was written.
    let raw = fs::read(&files[0]).unwrap();
    let last = events_of(&files[0], |kind, _| kind == Kind::XID).len();
    assert!(last > 0);
    let torn = folder.path().join("bin.000001");
    fs::write(&torn, &raw[..raw.len() - 40]).unwrap();
    let source = FileSource::open(&[torn, files[1].clone()]).unwrap();
    let (some, error) = read_from(source, options(folder.path()));
    assert!(error.is_none(), "{error:?}");
    assert_eq!(some.len(), all.len() - 3);
}

#[test]
fn what_cannot_be_reduced_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(&[]);
    server.run_all(&[
        "CREATE DATABASE d",
        &format!("CREATE TABLE d.t {TABLE}"),
        &format!("CREATE TABLE d.u {TABLE}"),
        "INSERT INTO d.t VALUES (1, 1, 'x')",
        "SET SESSION binlog_row_image = MINIMAL",
        "UPDATE d.t SET v = 2",
    ]);
    let read = |wanted: &str| {
        let mut options = options(folder.path());
        options.wanted = Some(HashSet::from([TableName::new("d", wanted)]));
        read_from(FileSource::open(&server.binlogs()).unwrap(), options).1
    };
    let error = read("t").unwrap();
    assert!(matches!(error, Error::Unsupported { .. }), "{error}");
    assert!(error.to_string().contains("binlog_row_image"), "{error}");
    assert!(read("u").is_none());

    // A text instead of rows is told as such.
    server.run_all(&[
        "SET SESSION binlog_format = STATEMENT",
        "INSERT INTO d.u VALUES (1, 2, 'x')",
    ]);
    let mut options = options(folder.path());
    options.wanted = Some(HashSet::from([TableName::new("d", "u")]));
    let all = read_all(&server.binlogs(), options);
    let texts: Vec<&Statement> = all
        .iter()
        .filter_map(|item| match item {
            Read::Statement(s) if s.kind == backout_history::change::StatementKind::Rows => Some(s),
            _ => None,
        })
        .collect();
    assert_eq!(texts.len(), 1, "{texts:?}");
    assert_eq!(texts[0].text, b"INSERT INTO d.u VALUES (1, 2, 'x')");

    // One in an XA transaction comes with its commit.
    server.run_all(&[
        "SET SESSION binlog_format = STATEMENT",
        "XA START 'a'",
        "UPDATE d.u SET v = 9",
        "INSERT INTO d.u VALUES (2, 2, 'x')",
        "XA END 'a'",
        "XA PREPARE 'a'",
        "XA COMMIT 'a'",
    ]);
    let all = read_all(
        &server.binlogs(),
        ReaderOptions {
            wanted: Some(HashSet::new()),
            ..ReaderOptions::default()
        },
    );
    let from = all.len() - 4;
    assert!(matches!(&all[from], Read::Begin(_)), "{all:?}");
    for (item, first) in [(&all[from + 1], b'U'), (&all[from + 2], b'I')] {
        assert!(matches!(item, Read::Statement(s) if s.text[0] == first));
    }
    assert!(matches!(&all[from + 3], Read::End(_)));
}

#[test]
fn an_encrypted_log_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let keys = folder.path().join("keys");
    fs::write(&keys, format!("1;{}\n", "0123456789abcdef".repeat(4))).unwrap();
    let server = Server::start(&[
        "--plugin-load-add=file_key_management",
        &format!("--file-key-management-filename={}", keys.display()),
        "--encrypt-binlog=1",
    ]);
    server.run_all(&["CREATE DATABASE d"]);
    let error = FileSource::open(&server.binlogs()).unwrap_err();
    assert!(matches!(error, Error::Unsupported { .. }), "{error}");
    assert!(error.to_string().contains("encrypt_binlog"), "{error}");
}

#[test]
fn tables_with_every_type_and_ids_that_change_hands() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(&["--table-definition-cache=400", "--table-open-cache=10"]);
    server.run_all(&[
        "CREATE DATABASE d",
        "CREATE TABLE d.t (id INT PRIMARY KEY, a TINYINT, b SMALLINT, c MEDIUMINT, e BIGINT UNSIGNED,
         f FLOAT, g DOUBLE, h DECIMAL(65,30), i DECIMAL(5,0), j BIT(1), k BIT(64), l CHAR(0),
         m CHAR(255) CHARACTER SET utf8mb4, n BINARY(7), o VARCHAR(300), p VARBINARY(10), q TINYTEXT,
         r TEXT, s MEDIUMBLOB, t LONGTEXT, u ENUM('a','b'), v SET('a','b','c'), w DATE, x TIME(6),
         y DATETIME(3), z TIMESTAMP(1) NULL, aa YEAR, ab JSON, ac POINT, ad UUID, ae INET6, af INET4,
         ag VARCHAR(100) COMPRESSED, ah BLOB COMPRESSED, ai INT AS (id + 1) VIRTUAL, aj INT AS (id + 2) STORED,
         ak INT INVISIBLE, al TIMESTAMP DEFAULT CURRENT_TIMESTAMP)",
        "INSERT INTO d.t (id) VALUES (1)",
        "INSERT INTO d.t VALUES (2, -1, -2, -3, 4, 1.5, 2.5, -1.25, 99999, 1, 255, '', 'ü', 'x', repeat('y', 300),
         'z', 'q', 'r', repeat('s', 100000), 't', 'b', 'a,c', '2024-02-29', '-838:59:59.999999',
         '9999-12-31 23:59:59.999', '2038-01-19 03:14:07.9', 2155, '{\"a\": 1}', POINT(1, 2),
         '123e4567-e89b-12d3-a456-426655440000', '::1', '1.2.3.4', repeat('c', 100), repeat('d', 5000),
         DEFAULT, DEFAULT, '2020-01-01')",
        "UPDATE d.t SET m = repeat('ü', 255), s = NULL, id = id + 10",
        "DELETE FROM d.t WHERE id = 11",
        "ALTER TABLE d.t DROP COLUMN a, ADD COLUMN zz INT FIRST",
        "INSERT INTO d.t (zz, id) VALUES (1, 50)",
    ]);
    let mut conn = server.conn();
    for i in 0..30 {
        conn.query_drop(format!("CREATE TABLE d.x{i} {TABLE}"))
            .unwrap();
    }
    for round in 0..3 {
        for i in 0..30 {
            let sql = format!("REPLACE d.x{i} VALUES ({i}, {round}, 'x')");
            conn.query_drop(sql).unwrap();
        }
        conn.query_drop("FLUSH TABLES").unwrap();
        conn.query_drop("FLUSH LOGS").unwrap();
    }
    let all = read_all(&server.binlogs(), options(folder.path()));
    let names: Vec<String> = (0..30).map(|i| format!("d.x{i}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    check(&server, &all, &names);
    let changes = all
        .iter()
        .filter(|item| matches!(item, Read::Change { table, .. } if table.table == "t"));
    assert_eq!(changes.count(), 6);
}
