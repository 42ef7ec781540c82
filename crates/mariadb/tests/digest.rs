//! Digests of real tables, and what is computed of them beforehand.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic")]

use std::fmt::Write as _;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use backout_history::{
    Direction, FileSource, Item, Key, NetFiles, NetTable, Reader, ReaderOptions, Reducer,
    RowDigest, TableName,
};
use backout_mariadb::catalog::{self, TableDef};
use backout_mariadb::digest::{Pace, digest, predicted, verify};
use backout_mariadb::testing::PrivateServer;
use backout_mariadb::{Endpoint, Error, Session};

/// Random numbers that are the same in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % n
    }
}

fn server() -> (PrivateServer, Endpoint, Session) {
    let server = PrivateServer::start(&["--log-bin=bin", "--binlog-format=ROW", "--server-id=1"]);
    let endpoint = Endpoint::parse(&server.socket_url()).unwrap();
    let mut session = Session::open(&endpoint).unwrap();
    session
        .exec("make a database", "CREATE DATABASE d")
        .unwrap();
    session.exec("use it", "USE d").unwrap();
    // For values of enumerations that are none of their members.
    session
        .exec("be lax", "SET SESSION sql_mode='NO_AUTO_VALUE_ON_ZERO'")
        .unwrap();
    (server, endpoint, session)
}

fn def(session: &mut Session, table: &str) -> TableDef {
    catalog::table(session, &TableName::new("d", table)).unwrap()
}

fn now(endpoint: &Endpoint, def: &TableDef) -> RowDigest {
    let one = digest(endpoint, def, 1, Pace::Own, &|| false).unwrap();
    // In many parts, by several sessions.
    let mut large = def.clone();
    large.rows = 10_000_000;
    for pace in [Pace::Own, Pace::Beside] {
        assert_eq!(digest(endpoint, &large, 3, pace, &|| false).unwrap(), one);
    }
    one
}

/// The net effect of all that happened to the table in the log file.
fn reduce(server: &PrivateServer, file: &str, def: &TableDef, folder: &Path) -> NetFiles {
    let key = def.key.clone().map_or(Key::WholeRow, Key::Columns);
    let mut reducer = Reducer::new(
        folder,
        64 << 20,
        vec![NetTable {
            name: def.name.clone(),
            key,
            signedness: def.columns.iter().map(|c| c.unsigned).collect(),
            computed: def.computed(),
        }],
    )
    .unwrap();
    let source = FileSource::open(&[server.datadir().join(file)]).unwrap();
    let mut reader = Reader::new(
        source,
        ReaderOptions {
            wanted: Some([def.name.clone()].into()),
            spill: folder.join("xa"),
            xa_memory: 1 << 20,
            lower_case_names: false,
        },
    );
    while let Some(item) = reader.next().unwrap() {
        if let Item::Change(change) = item {
            reducer.change(&change).unwrap();
        }
    }
    reducer.finish(&|| false).unwrap();
    NetFiles::open(folder).unwrap().unwrap()
}

fn current_log(session: &mut Session) -> String {
    session
        .exec("begin a new log", "FLUSH BINARY LOGS")
        .unwrap();
    catalog::binlog_end(session).unwrap().unwrap().file
}

/// Random rows of a table with these columns after `id`.
fn some_values(random: &mut Random) -> String {
    let mut text = String::new();
    for kind in 0..9 {
        let n = random.below(100);
        let value = match kind {
            _ if random.below(5) == 0 => "NULL".to_owned(),
            0 => format!("{}", i128::from(n) - 50),
            1 => format!("'{}'", "a, é".repeat(usize::try_from(n % 9).unwrap())),
            2 => format!("{n}.25e{}", n % 30),
            3 => format!("{n}.{n}"),
            4 => format!("'2024-01-{:02} 10:00:00.{n}'", n % 28 + 1),
            5 => format!("'-{n}:00:00.5'"),
            6 => format!("{}", n % 4),
            7 => format!("X'{n:04x}00'"),
            _ => format!("'{}'", "ж".repeat(usize::try_from(n).unwrap())),
        };
        write!(text, ",{value}").unwrap();
    }
    text
}

const COLUMNS: &str = "a BIGINT, b VARCHAR(60) CHARACTER SET latin1, c FLOAT, d DECIMAL(30,10), \
     e TIMESTAMP(3) NULL, f TIME(2), g ENUM('x','y','z'), h BINARY(8), i TEXT CHARACTER SET ucs2 COMPRESSED, \
     v BIGINT AS (a + 1) VIRTUAL, w BIGINT AS (a * 2) STORED, x INT INVISIBLE DEFAULT 3";

#[test]
fn the_digest_of_a_result_is_known_beforehand() {
    let (server, endpoint, mut session) = server();
    for (name, key) in [
        ("numbers", "id BIGINT NOT NULL PRIMARY KEY"),
        (
            "texts",
            "id VARCHAR(20) COLLATE utf8mb4_bin NOT NULL PRIMARY KEY",
        ),
        ("pairs", "id INT NOT NULL, PRIMARY KEY (id, x)"),
        ("none", "id INT"),
    ] {
        let (column, rest) = key.split_once(", ").unwrap_or((key, ""));
        let comma = if rest.is_empty() { "" } else { ", " };
        session
            .exec(
                "make a table",
                format!("CREATE TABLE {name} ({column}, {COLUMNS}{comma}{rest})"),
            )
            .unwrap();
        let mut random = Random(name.len() as u64);
        let insert = |random: &mut Random, session: &mut Session, n: u64| {
            for _ in 0..n {
                let id = random.below(2000);
                let values = some_values(random);
                session
                    .exec(
                        "insert",
                        format!("REPLACE INTO {name} (id,a,b,c,d,e,f,g,h,i) VALUES ({id}{values})"),
                    )
                    .unwrap();
            }
        };
        insert(&mut random, &mut session, 500);
        let def = def(&mut session, name);
        let before = now(&endpoint, &def);
        let log = current_log(&mut session);
        for _ in 0..300 {
            match random.below(4) {
                0 => insert(&mut random, &mut session, 2),
                1 => {
                    let id = random.below(2000);
                    session
                        .exec(
                            "delete",
                            format!("DELETE FROM {name} WHERE id > {id} LIMIT 1"),
                        )
                        .unwrap();
                }
                2 => {
                    let (from, to) = (random.below(2000), random.below(2000));
                    session
                        .exec(
                            "move",
                            format!("UPDATE IGNORE {name} SET id={to} WHERE id={from}"),
                        )
                        .unwrap();
                }
                _ => {
                    let (id, a) = (random.below(2000), random.below(100));
                    session
                        .exec(
                            "update",
                            format!("UPDATE {name} SET a={a}, b=NULL, i='' WHERE id BETWEEN {id} AND {id}+9"),
                        )
                        .unwrap();
                }
            }
        }
        let after = now(&endpoint, &def);
        assert_ne!(before, after);
        let folder = tempfile::tempdir().unwrap();
        let net = reduce(&server, &log, &def, &folder.path().join("net"));
        assert!(net.summaries()[0].rows > 100);
        let told =
            |direction, now| predicted(&net, 0, &def.columns, direction, now, &|| false).unwrap();
        assert_eq!(told(Direction::Backward, after), before, "{name}");
        assert_eq!(told(Direction::Forward, before), after, "{name}");
        assert!(matches!(
            predicted(&net, 0, &def.columns, Direction::Forward, before, &|| true),
            Err(Error::Cancelled)
        ));
        if def.key.is_none() {
            continue;
        }
        // The table is at the end of the window, not at its beginning.
        let layout = net.summaries()[0].layout.clone().unwrap();
        let mut looked = |direction| {
            verify(
                &mut session,
                &def,
                &layout,
                net.rows(0).unwrap(),
                direction,
                &mut |_| (),
                &|| false,
            )
        };
        let verified = looked(Direction::Forward).unwrap();
        assert_eq!(verified.rows, net.summaries()[0].rows, "{name}");
        assert!(matches!(
            looked(Direction::Backward),
            Err(Error::Proof { .. })
        ));
        // One value of one touched row, at the end of a window of many.
        let mut rows = net.rows(0).unwrap();
        let mut codec = backout_history::RowCodec::new(&layout, &def.columns).unwrap();
        let mut id = String::new();
        while let Some(row) = rows.next().unwrap() {
            if let Some(image) = row.last_after {
                id.clear();
                codec.literals(image, &[0], &mut id).unwrap();
            }
        }
        let mut other = Session::open(&endpoint).unwrap();
        other
            .exec(
                "change a row",
                format!("UPDATE d.{name} SET h=CONCAT(COALESCE(LEFT(h,7),''),'!') WHERE id={id}"),
            )
            .unwrap();
        assert!(matches!(
            looked(Direction::Forward),
            Err(Error::Proof { .. })
        ));
    }
}

#[test]
fn rows_are_found_by_keys_of_every_type() {
    let (server, endpoint, mut session) = server();
    let types = [
        ("INT", "n - 500"),
        ("BIGINT UNSIGNED", "18446744073709551615 - n"),
        ("INT(8) ZEROFILL", "n"),
        ("DECIMAL(30,10)", "n / 7"),
        ("FLOAT", "n / 7"),
        ("DOUBLE", "-n / 7e20"),
        ("BIT(40)", "n * 1000003"),
        ("YEAR", "1901 + n % 250"),
        ("DATE", "'2024-01-01' + INTERVAL n DAY"),
        (
            "DATETIME(6)",
            "'2024-01-01 00:00:00.000001' + INTERVAL n MICROSECOND",
        ),
        ("TIMESTAMP(3)", "FROM_UNIXTIME(n * 86400.001)"),
        ("TIME(2)", "SEC_TO_TIME(n * 1.01 - 100)"),
        ("ENUM('a','b','c','d')", "n % 4 + 1"),
        ("SET('a','b','c','d','e')", "n % 32"),
        ("CHAR(10) CHARACTER SET latin1", "CONCAT('é', n)"),
        ("VARCHAR(10) CHARACTER SET gbk", "CONCAT('中', n)"),
        ("VARCHAR(10) CHARACTER SET utf16", "CONCAT('𝄞', n)"),
        ("VARCHAR(10) COLLATE utf8mb4_general_ci", "CONCAT('a', n)"),
        (
            "VARCHAR(10) COLLATE utf8mb4_unicode_nopad_ci",
            "CONCAT('ß', n, ' ')",
        ),
        ("BINARY(8)", "UNHEX(LPAD(HEX(n * 256), 10, '0'))"),
        ("VARBINARY(8)", "UNHEX(LPAD(HEX(n * 256), 10, '0'))"),
        (
            "UUID",
            "CONCAT('00000000-0000-4000-8000-', LPAD(HEX(n), 12, '0'))",
        ),
        ("INET6", "CONCAT('2001:db8::', HEX(n))"),
        ("INET4", "CONCAT('10.1.0.', n % 256)"),
    ];
    for (column_type, value) in types {
        session
            .exec(
                "make a table",
                format!("CREATE OR REPLACE TABLE k (id {column_type} NOT NULL PRIMARY KEY, n INT)"),
            )
            .unwrap();
        let fill = |from: u64, to: u64| {
            format!(
                "INSERT IGNORE INTO k SELECT {value}, n FROM (SELECT CAST(seq AS SIGNED) AS n FROM seq_{from}_to_{to}) s"
            )
        };
        session.exec("fill it", fill(1, 300)).unwrap();
        let def = def(&mut session, "k");
        let before = now(&endpoint, &def);
        let log = current_log(&mut session);
        for sql in [
            "DELETE FROM k WHERE n < 50".to_owned(),
            "UPDATE k SET n = -n WHERE n > 100".to_owned(),
            fill(250, 700),
            // Another text, the same key to the server.
            "UPDATE k SET id = UPPER(id) WHERE n > 60 AND id LIKE 'a%'".to_owned(),
        ] {
            session.exec("change it", sql).unwrap();
        }
        let folder = tempfile::tempdir().unwrap();
        let net = reduce(&server, &log, &def, &folder.path().join("net"));
        let after = now(&endpoint, &def);
        let told = predicted(&net, 0, &def.columns, Direction::Forward, before, &|| false);
        assert_eq!(told.unwrap(), after, "{column_type}");
        let mut told = 0;
        let verified = verify(
            &mut session,
            &def,
            &net.summaries()[0].layout.clone().unwrap(),
            net.rows(0).unwrap(),
            Direction::Forward,
            &mut |rows| told = rows,
            &|| false,
        );
        assert!(verified.is_ok(), "{column_type}: {verified:?}");
        assert_eq!(verified.unwrap().rows, told);
    }
}

#[test]
fn keys_at_the_ends_of_their_type_are_in_exactly_one_part() {
    let (_server, endpoint, mut session) = server();
    for (column, values) in [
        (
            "BIGINT",
            "(-9223372036854775808),(9223372036854775807),(0),(-1)",
        ),
        (
            "BIGINT UNSIGNED",
            "(0),(18446744073709551615),(9223372036854775808)",
        ),
        ("TINYINT", "(-128),(127),(5)"),
        ("INT ZEROFILL", "(7)"),
        ("INT", ""),
    ] {
        session
            .exec(
                "make a table",
                format!("CREATE OR REPLACE TABLE ends (id {column} PRIMARY KEY)"),
            )
            .unwrap();
        if !values.is_empty() {
            session
                .exec("fill it", format!("INSERT INTO ends VALUES {values}"))
                .unwrap();
        }
        let def = def(&mut session, "ends");
        let rows = values.matches('(').count() as u64;
        assert_eq!(now(&endpoint, &def).rows(), rows, "{column}");
    }
}

#[test]
fn values_beyond_the_packet_are_hashed_where_they_are() {
    let (mut server, endpoint, mut session) = server();
    session
        .exec(
            "make a table",
            "CREATE TABLE big (id INT PRIMARY KEY, b LONGBLOB, t LONGTEXT)",
        )
        .unwrap();
    session
        .exec(
            "fill it",
            "INSERT INTO big VALUES (1, REPEAT('ab', 3000000), REPEAT('é', 1000000)), (2, NULL, 'x')",
        )
        .unwrap();
    let before = now(&endpoint, &def(&mut session, "big"));
    drop(session);
    server.restart_with(&["--max-allowed-packet=1M"]);
    let endpoint = Endpoint::parse(&server.socket_url()).unwrap();
    let mut session = Session::open(&endpoint).unwrap();
    assert_eq!(now(&endpoint, &def(&mut session, "big")), before);
    session
        .exec(
            "change it",
            "UPDATE d.big SET b=CONCAT(LEFT(b, 1000), 'c') WHERE id=1",
        )
        .unwrap();
    assert_ne!(now(&endpoint, &def(&mut session, "big")), before);
}

#[test]
fn the_history_of_a_system_versioned_table_is_part_of_its_digest() {
    let (server, endpoint, mut session) = server();
    for (name, columns) in [
        ("implied", "id INT PRIMARY KEY, a INT"),
        (
            "named",
            "id INT PRIMARY KEY, a INT, s TIMESTAMP(6) GENERATED ALWAYS AS ROW START, \
             e TIMESTAMP(6) GENERATED ALWAYS AS ROW END, PERIOD FOR SYSTEM_TIME (s, e)",
        ),
    ] {
        session
            .exec(
                "make a table",
                format!("CREATE TABLE {name} ({columns}) WITH SYSTEM VERSIONING"),
            )
            .unwrap();
        let mut def = def(&mut session, name);
        // All versions of a row are rows of their own.
        def.key = None;
        let before = now(&endpoint, &def);
        let log = current_log(&mut session);
        for sql in [
            "INSERT INTO {} (id, a) VALUES (1, 1), (2, 2)",
            "UPDATE {} SET a = a + 1",
            "DELETE FROM {} WHERE id = 1",
        ] {
            session.exec("change it", sql.replace("{}", name)).unwrap();
        }
        let after = now(&endpoint, &def);
        assert_eq!(after.rows(), 4, "{name}");
        let folder = tempfile::tempdir().unwrap();
        let net = reduce(&server, &log, &def, &folder.path().join("net"));
        let told = predicted(&net, 0, &def.columns, Direction::Forward, before, &|| false);
        assert_eq!(told.unwrap(), after, "{name}");
    }
}

#[test]
fn a_digest_stops_when_nobody_wants_it() {
    let (_server, endpoint, mut session) = server();
    session
        .exec(
            "make a table",
            "CREATE TABLE t SELECT seq AS id FROM seq_1_to_1000",
        )
        .unwrap();
    session
        .exec("give it a key", "ALTER TABLE t ADD PRIMARY KEY (id)")
        .unwrap();
    let mut def = def(&mut session, "t");
    def.rows = 10_000_000;
    let asked = AtomicUsize::new(0);
    let stopped = digest(&endpoint, &def, 2, Pace::Own, &|| {
        asked.fetch_add(1, Ordering::Relaxed) > 5
    });
    assert!(matches!(stopped, Err(Error::Cancelled)));
    def.columns[0].column_type = "json".to_owned();
    let refused = digest(&endpoint, &def, 2, Pace::Own, &|| false).unwrap_err();
    assert!(matches!(refused, Error::Table { .. }), "{refused}");
}

#[test]
fn beside_the_statements_of_others_the_digest_is_the_same() {
    let (_server, endpoint, mut session) = server();
    session
        .exec("make", "CREATE TABLE t (id INT PRIMARY KEY, v TEXT)")
        .unwrap();
    session
        .exec(
            "fill",
            "INSERT INTO t SELECT seq, REPEAT('x', seq) FROM seq_1_to_500",
        )
        .unwrap();
    let mut def = def(&mut session, "t");
    let alone = digest(&endpoint, &def, 2, Pace::Own, &|| false).unwrap();
    // Twenty parts, so that there are rests between them.
    def.rows = 500_000;
    let mut other = Session::open(&endpoint).unwrap();
    let id = other.id();
    let work = "DO BENCHMARK(1000000000000, 1)";
    let working = std::thread::spawn(move || other.exec("work", work));
    let running = format!(
        "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE ID = {id} AND COMMAND = 'Query'"
    );
    while session.first("look", running.clone()).unwrap() != Some(1_u64) {
        std::thread::yield_now();
    }
    let asked = AtomicUsize::new(0);
    let beside = digest(&endpoint, &def, 2, Pace::Beside, &|| {
        asked.fetch_add(1, Ordering::Relaxed);
        false
    });
    assert_eq!(beside.unwrap(), alone);
    assert!(
        asked.load(Ordering::Relaxed) > 20,
        "each rest asks whether to go on"
    );
    session.exec("end it", format!("KILL QUERY {id}")).unwrap();
    // That it was ended is not an error of ours.
    let _ = working.join().unwrap();
}
