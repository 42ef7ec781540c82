//! Synthesised events against a real server: what a random workload did to a
//! table is taken back on a copy, and done again.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a failure is the test's")]

mod common;

use std::collections::HashMap;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use backout_history::change::{Change, Table};
use backout_history::event::{Checksum, Kind, MAGIC, split};
use backout_history::layout::read_table_map;
use backout_history::synth::TEXT_BYTES;
use backout_history::{
    Direction, Key, NetFiles, NetTable, Phase, Position, Reducer, Synth, SynthOptions, TableName,
};
use common::Server;
use mysql::prelude::Queryable;
use mysql::{Conn, Value};

/// Feeds all row changes of a server's log files, from one file on.
fn read(server: &Server, from_file: usize, each: &mut dyn FnMut(&Change<'_>)) {
    for path in &server.binlogs()[from_file..] {
        let log = std::fs::read(path).unwrap();
        let mut at = MAGIC.len();
        let mut tables: HashMap<u64, Arc<Table>> = HashMap::new();
        while let Some(event) = split(&log[at..], Checksum::None, || Position {
            file: String::new(),
            offset: 0,
        })
        .unwrap()
        {
            at += event.raw.len();
            // The server of these tests writes no checksums.
            let body = event.body;
            match event.header.kind {
                Kind::TABLE_MAP => {
                    let (id, name, layout) = read_table_map(body).unwrap();
                    tables.insert(id, Arc::new(Table { name, layout }));
                }
                kind @ (Kind::WRITE_ROWS_V1 | Kind::UPDATE_ROWS_V1 | Kind::DELETE_ROWS_V1) => {
                    let id = body[..6]
                        .iter()
                        .rev()
                        .fold(0, |n, b| n << 8 | u64::from(*b));
                    let table = &tables[&id];
                    let columns = table.layout.columns().len();
                    let maps = if kind == Kind::UPDATE_ROWS_V1 { 2 } else { 1 };
                    assert!(columns <= 250);
                    let mut rest = &body[9 + maps * columns.div_ceil(8)..];
                    let image = |rest: &mut &[u8]| {
                        let (image, after) = rest.split_at(table.layout.image_bytes(rest).unwrap());
                        *rest = after;
                        image.to_vec()
                    };
                    while !rest.is_empty() {
                        let first = image(&mut rest);
                        let (before, after) = match kind {
                            Kind::WRITE_ROWS_V1 => (None, Some(first)),
                            Kind::DELETE_ROWS_V1 => (Some(first), None),
                            _ => (Some(first), Some(image(&mut rest))),
                        };
                        each(&Change {
                            table,
                            before: before.as_deref(),
                            after: after.as_deref(),
                            ends_statement: rest.is_empty(),
                        });
                    }
                }
                _ => {}
            }
        }
    }
}

fn start(args: &[&str]) -> Server {
    let args = [&["--binlog-checksum=NONE"], args].concat();
    let server = Server::start(&args);
    server.run_all(&["CREATE DATABASE d"]);
    server
}

fn conn(server: &Server) -> Conn {
    let mut conn = server.conn();
    conn.query_drop("USE d").unwrap();
    // Texts come as they are stored.
    conn.query_drop("SET NAMES utf8mb4, character_set_results = NULL")
        .unwrap();
    conn
}

fn run(conn: &mut Conn, sql: &str) {
    if let Err(error) = conn.query_drop(sql) {
        panic!("{error}: {sql:.400}");
    }
}

/// All rows, in any order, as text.
fn rows(conn: &mut Conn, table: &str) -> Vec<Vec<Option<Vec<u8>>>> {
    let columns: Vec<String> = conn
        .query(format!(
            "SELECT column_name FROM information_schema.columns WHERE table_schema = 'd' \
             AND table_name = '{table}' ORDER BY ordinal_position"
        ))
        .unwrap();
    // Named, so that invisible ones come as well.
    let list = columns
        .iter()
        .map(|c| format!("`{c}`"))
        .collect::<Vec<_>>()
        .join(",");
    let mut rows: Vec<_> = conn
        .query_map(
            format!("SELECT {list} FROM `{table}`"),
            |row: mysql::Row| {
                row.unwrap()
                    .into_iter()
                    .map(|v| match v {
                        Value::NULL => None,
                        Value::Bytes(b) => Some(b),
                        other => Some(format!("{other:?}").into_bytes()),
                    })
                    .collect()
            },
        )
        .unwrap();
    rows.sort();
    rows
}

/// Makes a table of the same shape with the same rows.
fn copy(conn: &mut Conn, from: &str, to: &str) {
    run(conn, &format!("CREATE TABLE `{to}` LIKE `{from}`"));
    let columns: Vec<String> = conn
        .query(format!(
            "SELECT column_name FROM information_schema.columns WHERE table_schema = 'd' \
             AND table_name = '{from}' AND is_generated = 'NEVER' ORDER BY ordinal_position"
        ))
        .unwrap();
    let list = columns
        .iter()
        .map(|c| format!("`{c}`"))
        .collect::<Vec<_>>()
        .join(",");
    run(
        conn,
        &format!("INSERT INTO `{to}` ({list}) SELECT {list} FROM `{from}`"),
    );
}

struct Applied {
    rows: u64,
    statements: u64,
}

fn options(direction: Direction, unique: &[Vec<usize>]) -> SynthOptions {
    SynthOptions {
        direction,
        unique: unique.to_vec(),
        // Small, so that there are many.
        text_bytes: 30_000,
        time_s: 1_600_000_000,
        foreign_key_checks: false,
        reduce_to: None,
    }
}

/// Brings the table there, in `parts` sessions, each phase by all of them.
fn apply(
    server: &Server,
    net: &Path,
    target: &str,
    parts: usize,
    options: &SynthOptions,
) -> Applied {
    let files = NetFiles::open(net).unwrap().unwrap();
    let mut applied = Applied {
        rows: 0,
        statements: 0,
    };
    let Some(layout) = files.summaries()[0].layout.clone() else {
        return applied;
    };
    let synth = Synth::new(&layout, &TableName::new("d", target), options.clone());
    for phase in [Phase::Remove, Phase::Write] {
        let sessions: Vec<_> = files
            .parts(0, parts)
            .unwrap()
            .into_iter()
            .map(|rows| {
                let synth = synth.clone();
                let mut conn = conn(server);
                std::thread::spawn(move || {
                    run(&mut conn, &Synth::format_description());
                    let mut statements = synth.statements(rows, phase);
                    let mut applied = (0, 0);
                    // One session does all of a phase in one transaction; of
                    // many, one may have to give way, and repeats a statement.
                    let together = parts == 1;
                    if together {
                        run(&mut conn, "BEGIN");
                    }
                    while let Some(batch) = statements.next().unwrap() {
                        assert!(
                            batch.rows == 1 || batch.sql.len() <= synth_text(&synth),
                            "{} bytes",
                            batch.sql.len()
                        );
                        if together {
                            run(&mut conn, batch.sql);
                        } else {
                            while gave_way(conn.query_drop(batch.sql)) {}
                        }
                        applied.0 += batch.rows;
                        applied.1 += 1;
                    }
                    if together {
                        run(&mut conn, "COMMIT");
                    }
                    applied
                })
            })
            .collect();
        for session in sessions {
            let (rows, statements) = session.join().unwrap();
            applied.rows += rows;
            applied.statements += statements;
        }
    }
    applied
}

/// Whether the statement was the victim of a deadlock.
fn gave_way(result: mysql::Result<()>) -> bool {
    match result {
        Ok(()) => false,
        Err(mysql::Error::MySqlError(e)) if e.code == 1213 => true,
        Err(e) => panic!("{e}"),
    }
}

fn synth_text(synth: &Synth) -> usize {
    synth.options().text_bytes
}

/// Reduces what the log says of `d.t` since `from_file`.
fn reduce(server: &Server, from_file: usize, key: Key, folder: &Path, memory: u64) {
    let tables = vec![NetTable {
        name: TableName::new("d", "t"),
        key,
        signedness: vec![],
        computed: vec![],
    }];
    let mut reducer = Reducer::new(folder, memory, tables).unwrap();
    read(server, from_file, &mut |change| {
        reducer.change(change).unwrap();
    });
    let summaries = reducer.finish(&|| false).unwrap();
    assert_eq!(summaries[0].broken, 0, "the chain of images is broken");
}

/// Runs the statements on `d.t`, then takes them back on a copy of the end and
/// does them again on a copy of the beginning.
fn there_and_back(
    server: &Server,
    key: &Key,
    unique: &[Vec<usize>],
    parts: usize,
    statements: &mut dyn FnMut(&mut Conn),
) -> Applied {
    let mut conn = conn(server);
    copy(&mut conn, "t", "first");
    run(&mut conn, "FLUSH BINARY LOGS");
    let from_file = server.binlogs().len() - 1;
    statements(&mut conn);
    copy(&mut conn, "t", "last");
    copy(&mut conn, "t", "undone");
    copy(&mut conn, "first", "redone");
    let folder = tempfile::tempdir().unwrap();
    for memory in [0, 1 << 30] {
        reduce(server, from_file, key.clone(), folder.path(), memory);
    }
    let first = rows(&mut conn, "first");
    let last = rows(&mut conn, "last");
    assert_eq!(rows(&mut conn, "undone"), last);
    assert_ne!(first, last);
    let backward = options(Direction::Backward, unique);
    let applied = apply(server, folder.path(), "undone", parts, &backward);
    assert!(rows(&mut conn, "undone") == first, "undone is not first");
    let forward = options(Direction::Forward, unique);
    apply(server, folder.path(), "redone", parts, &forward);
    assert!(rows(&mut conn, "redone") == last, "redone is not last");
    // And the indexes are whole.
    for table in ["undone", "redone"] {
        let found: Vec<(String, String, String, String)> = conn
            .query(format!("CHECK TABLE `{table}` EXTENDED"))
            .unwrap();
        assert_eq!(found[0].3, "OK", "{found:?}");
    }
    // And by images that have no more than the server needs.
    if let Some(reduce_to) = reducible(&mut conn, key) {
        for (from, to, direction) in [
            ("last", "first", Direction::Backward),
            ("first", "last", Direction::Forward),
        ] {
            copy(&mut conn, from, "reduced");
            let options = SynthOptions {
                reduce_to: Some(reduce_to.clone()),
                ..options(direction, unique)
            };
            apply(server, folder.path(), "reduced", parts, &options);
            assert!(
                rows(&mut conn, "reduced") == rows(&mut conn, to),
                "{from} did not become {to}"
            );
            run(&mut conn, "DROP TABLE reduced");
        }
    }
    for table in ["first", "last", "undone", "redone"] {
        run(&mut conn, &format!("DROP TABLE `{table}`"));
    }
    applied
}

/// The key's columns, when rows of `d.t` may be told by them alone.
fn reducible(conn: &mut Conn, key: &Key) -> Option<Vec<usize>> {
    let primary: u64 = conn
        .query_first(
            "SELECT (SELECT COUNT(*) FROM information_schema.STATISTICS WHERE TABLE_SCHEMA = 'd' \
             AND TABLE_NAME = 't' AND INDEX_NAME = 'PRIMARY') > 0 AND NOT EXISTS (SELECT 1 FROM \
             information_schema.COLUMNS WHERE TABLE_SCHEMA = 'd' AND TABLE_NAME = 't' AND \
             IS_GENERATED = 'ALWAYS')",
        )
        .unwrap()
        .unwrap();
    match key {
        Key::Columns(columns) if primary == 1 => Some(columns.clone()),
        _ => None,
    }
}

/// Numbers that look random, the same each time.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, n: usize) -> usize {
        usize::try_from(self.next() % n as u64).unwrap()
    }

    fn one_of<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.below(of.len())]
    }
}

/// Every type of column, and values for it.
const COLUMNS: &[(&str, &[&str])] = &[
    ("TINYINT", &["-128", "0", "127"]),
    ("TINYINT UNSIGNED", &["0", "255", "7"]),
    ("SMALLINT", &["-32768", "32767"]),
    ("MEDIUMINT", &["-8388608", "8388607", "-1"]),
    ("MEDIUMINT UNSIGNED", &["0", "16777215"]),
    ("INT UNSIGNED", &["4294967295", "12"]),
    ("BIGINT", &["-9223372036854775808", "9223372036854775807"]),
    ("BIGINT UNSIGNED", &["18446744073709551615", "1"]),
    ("FLOAT", &["-0.0", "0.0", "1.1e-30", "3.4e38"]),
    ("DOUBLE", &["-0.0", "0.1", "1.7e308", "5e-324"]),
    ("DECIMAL(20,6)", &["-12345678901234.123456", "0", "99.5"]),
    (
        "DECIMAL(65,30)",
        &["-1e34", "0.000000000000000000000000000001"],
    ),
    ("DECIMAL(1,0)", &["-9", "9"]),
    ("BIT(1)", &["0", "1"]),
    ("BIT(13)", &["0", "8191", "4097"]),
    ("BIT(64)", &["0", "18446744073709551615"]),
    ("DATE", &["'0000-00-00'", "'2024-02-29'", "'9999-12-31'"]),
    ("TIME", &["'-838:59:59'", "'00:00:00'", "'838:59:59'"]),
    ("TIME(3)", &["'-00:00:00.001'", "'12:13:14.567'"]),
    ("TIME(6)", &["'-838:59:59.999999'", "'01:02:03.000004'"]),
    (
        "DATETIME",
        &["'0000-00-00 00:00:00'", "'9999-12-31 23:59:59'"],
    ),
    ("DATETIME(2)", &["'2020-01-01 00:00:00.01'"]),
    ("DATETIME(6)", &["'1000-01-01 00:00:00.000001'"]),
    (
        "TIMESTAMP NULL DEFAULT NULL",
        &["'1971-01-01 00:00:01'", "'2038-01-01 00:00:00'"],
    ),
    (
        "TIMESTAMP(6) NULL DEFAULT NULL",
        &["'2024-03-31 04:30:00.000001'", "NOW(6)"],
    ),
    ("YEAR", &["1901", "2155", "0"]),
    (
        "CHAR(10) CHARACTER SET latin1",
        &["''", "'\u{e9} x'", "' a'"],
    ),
    (
        "CHAR(200)",
        &["''", "'a'", "'\u{1f600}'", "REPEAT('\u{4e2d}', 200)"],
    ),
    ("VARCHAR(20)", &["''", "'a '", "'a'", "'A'"]),
    (
        "VARCHAR(1000) CHARACTER SET ucs2",
        &["'a'", "REPEAT('\u{4e2d}', 1000)"],
    ),
    (
        "BINARY(8)",
        &["''", "x'0001'", "x'0000000000000000'", "x'2020'"],
    ),
    (
        "VARBINARY(300)",
        &["''", "x'00'", "x'ff00'", "REPEAT(x'00', 300)"],
    ),
    ("TINYTEXT", &["''", "'tiny'", "REPEAT('y', 255)"]),
    ("TEXT", &["''", "REPEAT('text', 300)"]),
    ("MEDIUMTEXT", &["'medium'", "REPEAT('m', 70000)"]),
    ("LONGTEXT", &["'long'"]),
    ("TINYBLOB", &["''", "x'00ff'"]),
    ("BLOB", &["x'00'", "REPEAT(x'27005c', 500)"]),
    ("MEDIUMBLOB", &["x'01'", "RANDOM_BYTES(900)"]),
    ("LONGBLOB", &["x'02'", "RANDOM_BYTES(100)"]),
    ("ENUM('x','y','z')", &["'x'", "'z'", "3"]),
    (
        "SET('p','q','r','s','t','u','v','w','x')",
        &["''", "'p,x'", "511"],
    ),
    ("JSON", &["'{\"a\": [1, null]}'", "'3'"]),
    (
        "GEOMETRY",
        &[
            "POINT(1, 2)",
            "ST_GeomFromText('POLYGON((0 0,1 0,1 1,0 0))')",
        ],
    ),
    ("POINT", &["POINT(-1, 1e300)"]),
    (
        "UUID",
        &["'123e4567-e89b-12d3-a456-426655440000'", "UUID()"],
    ),
    ("INET6", &["'::'", "'2001:db8::ff00:42:8329'"]),
    ("INET4", &["'0.0.0.0'", "'192.168.255.1'"]),
    (
        "VARCHAR(500) COMPRESSED",
        &["''", "'short'", "REPEAT('compress me ', 40)"],
    ),
    (
        "BLOB COMPRESSED",
        &["''", "x'00'", "REPEAT('compress me ', 400)"],
    ),
    ("TEXT COMPRESSED", &["''", "REPEAT('\u{e9}', 4000)"]),
    ("INT INVISIBLE", &["5", "-5"]),
];

const GENERATED: &str = ", g0 INT AS (id * 2) VIRTUAL, g1 INT AS (id + 1) STORED, \
                         g2 VARCHAR(40) AS (CONCAT(c28, '-', id)) VIRTUAL, KEY (g2)";

/// `id`, then the columns of [`COLUMNS`] as c0, c1, ..., then `generated` ones.
fn all_types(key: &str, generated: &str, more: &str) -> String {
    let mut sql = "CREATE TABLE t (id INT NOT NULL".to_owned();
    for (i, (kind, _)) in COLUMNS.iter().enumerate() {
        // Partitions cannot have geometries.
        let kind = match *kind {
            "GEOMETRY" | "POINT" if more.contains("PARTITION") => "BLOB",
            kind => kind,
        };
        write!(sql, ", c{i} {kind}").unwrap();
    }
    write!(
        sql,
        "{generated}, KEY (c28), KEY (c6, c9) {key}) CHARACTER SET utf8mb4 {more}"
    )
    .unwrap();
    sql
}

fn value(numbers: &mut Numbers, column: usize) -> String {
    if numbers.below(6) == 0 {
        return "NULL".to_owned();
    }
    numbers.one_of(COLUMNS[column].1).to_owned()
}

fn insert(numbers: &mut Numbers, verb: &str, id: usize) -> String {
    let values: Vec<String> = (0..COLUMNS.len()).map(|i| value(numbers, i)).collect();
    let names: Vec<String> = (0..COLUMNS.len()).map(|i| format!("c{i}")).collect();
    format!(
        "{verb} INTO t (id, {}) VALUES ({id}, {})",
        names.join(","),
        values.join(",")
    )
}

/// Random statements on the table of all types.
fn workload(conn: &mut Conn, numbers: &mut Numbers, statements: usize, ids: usize, keyless: bool) {
    for _ in 0..statements {
        let id = numbers.below(ids);
        let sql = match numbers.below(10) {
            0..=2 => insert(numbers, if keyless { "INSERT" } else { "REPLACE" }, id),
            3..=6 => {
                let column = numbers.below(COLUMNS.len());
                let value = value(numbers, column);
                format!(
                    "UPDATE t SET c{column} = {value} WHERE id BETWEEN {id} AND {}",
                    id + 3
                )
            }
            7 => format!(
                "UPDATE IGNORE t SET id = {} WHERE id = {id}",
                numbers.below(ids)
            ),
            8 => format!("DELETE FROM t WHERE id = {id}"),
            _ => {
                run(conn, "BEGIN");
                for _ in 0..3 {
                    let id = numbers.below(ids);
                    run(conn, &format!("DELETE FROM t WHERE id = {id}"));
                }
                numbers.one_of(&["COMMIT", "ROLLBACK"]).to_owned()
            }
        };
        run(conn, &sql);
    }
}

fn lenient(conn: &mut Conn) {
    run(conn, "SET sql_mode = ''");
}

#[test]
fn every_type_of_column_comes_back() {
    let server = start(&[]);
    let mut setup = conn(&server);
    let mut numbers = Numbers(11);
    for (key, generated, more) in [
        (", PRIMARY KEY (id)", GENERATED, ""),
        (", PRIMARY KEY (id)", "", ""),
        (", UNIQUE KEY (id)", GENERATED, ""),
        (
            ", PRIMARY KEY (id)",
            "",
            "PARTITION BY HASH (id) PARTITIONS 5",
        ),
        (", PRIMARY KEY (id)", GENERATED, "ENGINE=MyISAM"),
    ] {
        lenient(&mut setup);
        run(&mut setup, &all_types(key, generated, more));
        for id in 0..150 {
            run(&mut setup, &insert(&mut numbers, "INSERT", id));
        }
        let applied = there_and_back(&server, &Key::Columns(vec![0]), &[], 3, &mut |conn| {
            lenient(conn);
            workload(conn, &mut numbers, 300, 250, false);
        });
        assert!(applied.rows > 50);
        run(&mut setup, "DROP TABLE t");
    }
}

#[test]
fn rows_without_a_key_come_back_as_often_as_they_were() {
    let server = start(&[]);
    let mut setup = conn(&server);
    let mut numbers = Numbers(5);
    lenient(&mut setup);
    for more in ["", "PARTITION BY HASH (id) PARTITIONS 3"] {
        run(&mut setup, &all_types("", GENERATED, more));
        for id in 0..40 {
            run(&mut setup, &insert(&mut numbers, "INSERT", id % 20));
        }
        // Many that are equal.
        for id in 0..5 {
            run(
                &mut setup,
                &format!("INSERT INTO t (id, c0) SELECT {id}, 1 FROM seq_1_to_40"),
            );
        }
        let applied = there_and_back(&server, &Key::WholeRow, &[], 2, &mut |conn| {
            lenient(conn);
            workload(conn, &mut numbers, 60, 30, true);
            run(conn, "DELETE FROM t WHERE c0 = 1 LIMIT 70");
        });
        assert!(applied.rows > 70);
        run(&mut setup, "DROP TABLE t");
    }
}

#[test]
fn unique_values_that_rows_swapped_do_not_meet() {
    let server = start(&[]);
    let mut setup = conn(&server);
    // Unique also: a value that may be null, a pair, a long text (by a hidden
    // hash), a generated value.
    run(
        &mut setup,
        "CREATE TABLE t (id INT PRIMARY KEY, u INT NOT NULL, v VARCHAR(20) NULL, a INT, b INT, \
         w TEXT, x INT AS (u + 1000) VIRTUAL, y INT AS (u + 2000) STORED, z INT, \
         UNIQUE (u), UNIQUE (v), UNIQUE (a, b), UNIQUE (w), UNIQUE (x), UNIQUE (y), KEY (z)) \
         CHARACTER SET utf8mb4",
    );
    run(
        &mut setup,
        "INSERT INTO t (id, u, v, a, b, w, z) SELECT seq, seq, CONCAT('v', seq), seq DIV 10, \
         seq % 10, CONCAT(REPEAT('w', 900), seq), 0 FROM seq_1_to_400",
    );
    let unique = [vec![1], vec![2], vec![3, 4], vec![5], vec![6], vec![7]];
    let mut numbers = Numbers(3);
    for parts in [1, 4] {
        let applied = there_and_back(
            &server,
            &Key::Columns(vec![0]),
            &unique,
            parts,
            &mut |conn| {
                // Every value goes to the next row, and the last one's to the first.
                run(conn, "UPDATE t SET u = u + 5000 ORDER BY u DESC");
                run(
                    conn,
                    "UPDATE t SET u = IF(u = 5400, 1, u - 4999) ORDER BY u = 5400 DESC, u",
                );
                run(conn, "UPDATE t SET a = a + 100 ORDER BY a DESC");
                run(conn, "UPDATE t SET a = 140 - a, z = z + 1 ORDER BY a DESC");
                for _ in 0..100 {
                    let (i, j) = (numbers.below(400) + 1, numbers.below(400) + 1);
                    if i == j {
                        continue;
                    }
                    let of = "(SELECT v FROM t WHERE id =";
                    run(conn, &format!("SET @v = {of} {i}), @w = {of} {j})"));
                    run(
                        conn,
                        &format!("UPDATE t SET v = NULL WHERE id IN ({i}, {j})"),
                    );
                    run(conn, &format!("UPDATE t SET v = @w WHERE id = {i}"));
                    // By the collation it is the value that went.
                    run(conn, &format!("UPDATE t SET v = UPPER(@v) WHERE id = {j}"));
                }
            },
        );
        assert!(applied.rows >= 400);
    }
}

#[test]
fn keys_that_are_one_for_the_server_but_two_in_the_log() {
    let server = start(&[]);
    let mut setup = conn(&server);
    for columns in [
        "k VARCHAR(20) CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci",
        "k CHAR(20) CHARACTER SET latin1 COLLATE latin1_swedish_ci",
        "k VARCHAR(20) CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci",
    ] {
        run(
            &mut setup,
            &format!("CREATE TABLE t ({columns} PRIMARY KEY, n INT, KEY (n))"),
        );
        run(
            &mut setup,
            "INSERT INTO t SELECT CONCAT('key', seq), seq FROM seq_1_to_200",
        );
        there_and_back(&server, &Key::Columns(vec![0]), &[], 3, &mut |conn| {
            run(conn, "UPDATE t SET k = UPPER(k) WHERE n % 2 = 0");
            run(
                conn,
                "UPDATE t SET k = CONCAT('K', SUBSTR(k, 2)), n = -n WHERE n % 3 = 0",
            );
            run(
                conn,
                "UPDATE t SET k = REPLACE(k, 'y', 'Y') WHERE n % 5 = 0",
            );
            run(conn, "UPDATE t SET k = LOWER(k) WHERE n % 10 = 0");
            run(conn, "UPDATE t SET k = CONCAT(k, ' ') WHERE n % 7 = 0");
            run(conn, "DELETE FROM t WHERE n % 11 = 0");
            run(conn, "INSERT INTO t VALUES ('kEy11', 1), ('other', 2)");
        });
        run(&mut setup, "DROP TABLE t");
    }
    // And zero, which floating point numbers have twice.
    run(&mut setup, "CREATE TABLE t (k DOUBLE PRIMARY KEY, n INT)");
    run(&mut setup, "INSERT INTO t VALUES (0e0, 1), (1, 1)");
    there_and_back(&server, &Key::Columns(vec![0]), &[], 1, &mut |conn| {
        run(conn, "DELETE FROM t WHERE k = 0");
        run(conn, "INSERT INTO t VALUES (-0e0, 2), (-1.5, 3)");
    });
}

#[test]
fn statements_have_the_length_that_was_asked() {
    let server = start(&[]);
    let mut conn = conn(&server);
    run(&mut conn, "CREATE TABLE t (id INT PRIMARY KEY, b LONGBLOB)");
    copy(&mut conn, "t", "undone");
    run(&mut conn, "FLUSH BINARY LOGS");
    run(
        &mut conn,
        "INSERT INTO t SELECT seq, REPEAT('b', 1000) FROM seq_1_to_1000",
    );
    run(
        &mut conn,
        "INSERT INTO t VALUES (5000, REPEAT('long', 500000)), (5001, '')",
    );
    let folder = tempfile::tempdir().unwrap();
    reduce(&server, 1, Key::Columns(vec![0]), folder.path(), 0);
    for (text_bytes, statements) in [(20_000, 73), (0, 1002), (TEXT_BYTES, 8)] {
        let options = SynthOptions {
            text_bytes,
            ..options(Direction::Forward, &[])
        };
        let applied = apply(&server, folder.path(), "undone", 1, &options);
        assert_eq!(applied.rows, 1002);
        assert!(
            applied.statements.abs_diff(statements) < 4,
            "{text_bytes}: {}",
            applied.statements
        );
        assert!(rows(&mut conn, "undone") == rows(&mut conn, "t"));
        run(&mut conn, "TRUNCATE undone");
    }
}

/// What the module says of `BINLOG` statements on a live server.
#[test]
fn a_live_server_does_as_the_module_says() {
    let server = start(&[]);
    let mut conn = conn(&server);
    run(&mut conn, "CREATE TABLE parent (id INT PRIMARY KEY)");
    run(
        &mut conn,
        "CREATE TABLE t (id INT PRIMARY KEY, p INT, n INT, CHECK (n < 100), \
         FOREIGN KEY (p) REFERENCES parent (id))",
    );
    run(
        &mut conn,
        "CREATE TABLE child (id INT PRIMARY KEY, t INT, FOREIGN KEY (t) REFERENCES t (id) \
         ON DELETE CASCADE ON UPDATE CASCADE)",
    );
    run(&mut conn, "CREATE TABLE fired (n INT)");
    run(&mut conn, "INSERT INTO parent VALUES (1), (2)");
    run(
        &mut conn,
        "INSERT INTO t VALUES (1, 1, 1), (2, 2, 2), (3, 1, 3)",
    );
    run(&mut conn, "FLUSH BINARY LOGS");
    // To be undone: 3 was changed, 4 came, 2 went, and then its parent.
    run(&mut conn, "UPDATE t SET n = 30 WHERE id = 3");
    run(&mut conn, "INSERT INTO t VALUES (4, 1, 4)");
    run(&mut conn, "DELETE FROM t WHERE id = 2");
    run(&mut conn, "DELETE FROM parent WHERE id = 2");
    run(&mut conn, "INSERT INTO child VALUES (1, 1), (4, 4)");
    for when in ["BEFORE", "AFTER"] {
        for what in ["INSERT", "UPDATE", "DELETE"] {
            run(
                &mut conn,
                &format!(
                    "CREATE TRIGGER {when}_{what} {when} {what} ON t FOR EACH ROW \
                     INSERT INTO fired VALUES (1)"
                ),
            );
        }
    }
    let folder = tempfile::tempdir().unwrap();
    reduce(&server, 1, Key::Columns(vec![0]), folder.path(), 0);
    let files = NetFiles::open(folder.path()).unwrap().unwrap();
    let layout = files.summaries()[0].layout.clone().unwrap();
    let statement = |foreign_key_checks, phase| {
        let options = SynthOptions {
            foreign_key_checks,
            ..options(Direction::Backward, &[])
        };
        let synth = Synth::new(&layout, &TableName::new("d", "t"), options);
        let mut statements = synth.statements(files.rows(0).unwrap(), phase);
        statements.next().unwrap().unwrap().sql.to_owned()
    };
    let remove = statement(false, Phase::Remove);
    let write = statement(false, Phase::Write);
    let code = |result: mysql::Result<()>| match result {
        Err(mysql::Error::MySqlError(e)) => e.code,
        other => panic!("{other:?}"),
    };
    // Without a format description it is refused.
    assert_eq!(code(conn.query_drop(&remove)), 1609);
    run(&mut conn, &Synth::format_description());
    // In a transaction, which can be rolled back.
    let before = rows(&mut conn, "t");
    run(&mut conn, "BEGIN");
    run(&mut conn, &remove);
    run(&mut conn, &write);
    assert_ne!(rows(&mut conn, "t"), before);
    run(&mut conn, "ROLLBACK");
    assert_eq!(rows(&mut conn, "t"), before);
    // With the flag, foreign keys are checked: row 2 has no parent.
    run(&mut conn, "BEGIN");
    run(&mut conn, "DELETE FROM child");
    run(&mut conn, &statement(true, Phase::Remove));
    assert_eq!(code(conn.query_drop(statement(true, Phase::Write))), 1452);
    run(&mut conn, "ROLLBACK");
    // And children follow by their rules, which no log of rows tells.
    run(&mut conn, "BEGIN");
    run(&mut conn, &statement(true, Phase::Remove));
    assert_eq!(rows(&mut conn, "child").len(), 1);
    run(&mut conn, "ROLLBACK");
    // Logged as rows, under an id of its own, at the time that was asked.
    run(&mut conn, "FLUSH BINARY LOGS");
    let logged = server.binlogs().len() - 1;
    run(&mut conn, "BEGIN");
    run(&mut conn, &remove);
    run(&mut conn, &write);
    run(&mut conn, "COMMIT");
    run(&mut conn, "FLUSH BINARY LOGS");
    let mut changes = 0;
    read(&server, logged, &mut |_| changes += 1);
    assert_eq!(changes, 3);
    let log = std::fs::read(&server.binlogs()[logged]).unwrap();
    let mut at = 4;
    let mut found = Vec::new();
    while let Some(event) = split(&log[at..], Checksum::None, || Position {
        file: String::new(),
        offset: 0,
    })
    .unwrap()
    {
        at += event.raw.len();
        found.push((event.header.kind, event.header.time_s, event.header.server));
    }
    for kind in [Kind::GTID, Kind::XID, Kind::TABLE_MAP, Kind::DELETE_ROWS_V1] {
        assert!(found.contains(&(kind, 1_600_000_000, 1)), "{found:?}");
    }
    // That time stays the session's until it is told otherwise.
    let now = |conn: &mut Conn| -> i64 {
        let now = conn.query_first("SELECT UNIX_TIMESTAMP()").unwrap();
        now.unwrap()
    };
    assert_eq!(now(&mut conn), 1_600_000_000);
    run(&mut conn, "SET timestamp = DEFAULT");
    assert!(now(&mut conn) > 1_700_000_000);
    // Triggers do not fire, children do not follow.
    assert_eq!(rows(&mut conn, "fired").len(), 0);
    assert_eq!(rows(&mut conn, "child").len(), 2);
    assert_eq!(rows(&mut conn, "t").len(), 3);
    // Done twice: it fails loudly.
    assert_eq!(code(conn.query_drop(&remove)), 1032);
    assert_eq!(code(conn.query_drop(&write)), 1062);
}
