//! Copies of tables, while others write.

#![cfg(feature = "testing")]
#![expect(clippy::unwrap_used, reason = "helpers of the tests unwrap")]

mod support;

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use backout_core::code::Code;
use backout_mariadb::Error;
use backout_mariadb::copy::{Copied, CopyOptions, chunked, follows_key};
use backout_mariadb::testing::PrivateServer;
use mysql::prelude::Queryable;
use support::{NEVER, def, endpoint, name, session};

fn small() -> CopyOptions {
    CopyOptions {
        chunk_rows: 100,
        chunk_bytes: 64 << 10,
        chunk_time: Duration::from_millis(50),
        rest_percent: 0,
    }
}

fn copy(server: &PrivateServer, from: &str, to: &str) -> Copied {
    let mut session = session(server);
    let def = def(&mut session, from);
    let mut last = 0;
    let copied = chunked(
        &mut session,
        &name(from),
        &name(to),
        &def,
        &small(),
        &mut |rows| {
            assert!(rows >= last);
            last = rows;
        },
        &NEVER,
    )
    .unwrap();
    assert_eq!(copied.rows, last);
    copied
}

fn same(server: &PrivateServer, a: &str, b: &str, order: &str) {
    let all = |table: &str| server.query(&format!("SELECT * FROM {table} ORDER BY {order}"));
    assert_eq!(all(a), all(b));
}

#[test]
fn every_kind_of_key_is_followed() {
    let server = PrivateServer::start(&[]);
    for (columns, rows) in [
        // A few rows of each first part, and many.
        (
            "a INT, b BIGINT UNSIGNED, c INT, PRIMARY KEY (a, b)",
            "seq DIV 400, 18446744073709551615 - seq, seq",
        ),
        (
            "a VARCHAR(40) CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci, c INT, PRIMARY KEY (a)",
            "CONCAT('Ä''\\\\', seq, ' '), seq",
        ),
        (
            "a CHAR(20) CHARACTER SET latin1, c INT, UNIQUE (a, c)",
            "CONCAT(seq % 7, 'ü'), seq",
        ),
        (
            "a VARBINARY(20) NOT NULL, c INT, PRIMARY KEY (a)",
            "UNHEX(SHA(seq)), seq",
        ),
        ("a DECIMAL(20, 5), c INT, PRIMARY KEY (a)", "-seq / 3, seq"),
        (
            "a DATETIME(6), c INT, PRIMARY KEY (a)",
            "'2020-01-01' + INTERVAL seq * 7 MICROSECOND, seq",
        ),
        (
            "a TIMESTAMP(3), c INT, PRIMARY KEY (a)",
            "'2020-01-01' + INTERVAL seq * 9000 MICROSECOND, seq",
        ),
        (
            "a DATE, b TIME(2), c INT, PRIMARY KEY (a, b)",
            "'1000-01-01' + INTERVAL seq % 9 DAY, SEC_TO_TIME(-seq / 10), seq",
        ),
        ("a YEAR, c INT, PRIMARY KEY (a, c)", "1901 + seq % 200, seq"),
        ("a DOUBLE, c INT, PRIMARY KEY (a)", "seq / 7, seq"),
        ("a FLOAT, c INT, PRIMARY KEY (a, c)", "seq / 7, seq"),
        ("a UUID, c INT, PRIMARY KEY (a)", "UUID(), seq"),
        (
            "a INET6, c INT, PRIMARY KEY (a)",
            "CONCAT('::', HEX(seq)), seq",
        ),
        // Not by chunks.
        (
            "a ENUM('z', 'b', 'a'), c INT, PRIMARY KEY (a, c)",
            "1 + seq % 3, seq",
        ),
        ("a BIT(20), c INT, PRIMARY KEY (a)", "seq, seq"),
        (
            "a SET('z', 'b', 'a'), c INT, PRIMARY KEY (a, c)",
            "seq % 8, seq",
        ),
    ] {
        server.script(&format!(
            "DROP DATABASE IF EXISTS d;\nCREATE DATABASE d;\nCREATE TABLE d.t ({columns});\n\
             INSERT INTO d.t SELECT {rows} FROM d.seq_1_to_1234;\nCREATE TABLE d.c LIKE d.t"
        ));
        let copied = copy(&server, "d.t", "d.c");
        assert_eq!(copied.rows, 1234, "{columns}");
        let by_key = follows_key(&def(&mut session(&server), "d.t"));
        assert_eq!(copied.at.is_none(), by_key, "{columns}");
        same(&server, "d.t", "d.c", "c");
    }
}

/// Rows that statements have trouble with: every type, in a table without a key.
#[test]
fn a_table_without_a_key_is_copied_exactly_and_its_place_in_the_log_told() {
    let server = PrivateServer::start(&[]);
    server.script(
        "CREATE DATABASE d;\n\
         CREATE TABLE d.t (c INT, i4 INET4, f FLOAT, db DOUBLE, de DECIMAL(30, 10), e ENUM('a', 'ß'), s SET('x', 'y'),
           b BIT(17), y YEAR, dt DATETIME(6), ts TIMESTAMP(6) NULL, ti TIME(6), da DATE,
           l VARCHAR(50) CHARACTER SET latin1, u VARCHAR(50) CHARACTER SET ucs2, m VARCHAR(50) CHARACTER SET utf8mb4,
           bi BINARY(5), bl BLOB, j JSON, g GEOMETRY, z BLOB COMPRESSED, uu UUID, i6 INET6,
           hidden INT INVISIBLE, v INT AS (c + 1) VIRTUAL, st INT AS (c + 2) STORED, bu BIGINT UNSIGNED);\n\
         SET sql_mode='ALLOW_INVALID_DATES';\n\
         INSERT INTO d.t (c, i4, f, db, de, e, s, b, y, dt, ts, ti, da, l, u, m, bi, bl, j, g, z, uu, i6, hidden, bu)
           SELECT seq, '10.0.0.1', 1 / (seq + 2), 1 / (seq + 2), seq / 7, 1 + seq % 2, seq % 4, seq, 1901 + seq % 200,
           '2020-02-31 10:00:00.123456', FROM_UNIXTIME(seq * 1000 + 0.000001), '-838:59:59.5', '2021-02-30',
           CONCAT('é', seq), CONCAT('\u{20ac}', seq), CONCAT('\u{1f600}', seq), UNHEX('00ff00'), UNHEX(SHA(seq)),
           '{\"a\": 1}', POINT(seq, 1), REPEAT('q', seq % 50), UUID(), '::1', seq, 18446744073709551615 FROM d.seq_0_to_700;\n\
         INSERT INTO d.t (c) SELECT seq FROM d.seq_1_to_3;\n\
         INSERT INTO d.t (c, e, y, dt, ts, da) VALUES (-1, 'none such', 0, 0, 0, 0);\n\
         CREATE TABLE d.c LIKE d.t",
    );
    let mut conn = server.connect();
    conn.query_drop("INSERT INTO d.t (c, bl) VALUES (-2, REPEAT('x', 6000))")
        .unwrap();
    let before = support::end(&server);
    let copied = copy(&server, "d.t", "d.c");
    assert_eq!(copied.at, Some(before));
    assert_eq!(copied.rows, 706);
    let all = "c, i4, f, db, de, e + 0, s, b + 0, y, dt, ts, ti, da, HEX(l), HEX(u), HEX(m), HEX(bi), HEX(bl), j, \
               HEX(g), HEX(z), uu, i6, hidden, v, st, bu";
    let rows = |table: &str| {
        server.query(&format!(
            "SELECT {all}, HEX(f * 1e10), HEX(db * 1e15) FROM d.{table} ORDER BY c, uu"
        ))
    };
    let (original, copied) = (rows("t"), rows("c"));
    assert_eq!(original.len(), copied.len());
    for (original, copied) in original.iter().zip(&copied) {
        assert_eq!(original, copied);
    }

    // Without an ENUM it is done strictly.
    server.script(
        "ALTER TABLE d.t DROP COLUMN e;\nALTER TABLE d.c DROP COLUMN e;\nTRUNCATE TABLE d.c",
    );
    copy(&server, "d.t", "d.c");
    let rows = |table: &str| {
        let all = all.replace("e + 0, ", "");
        server.query(&format!("SELECT {all} FROM d.{table} ORDER BY c, uu"))
    };
    for (original, copied) in rows("t").iter().zip(&rows("c")) {
        assert_eq!(original, copied);
    }
}

/// Sources are not locked, and what a writer changes during the copy is at
/// most missing in it: no other row is.
#[test]
fn writers_are_not_held_up_and_untouched_rows_are_all_there() {
    let server = PrivateServer::start(&[]);
    server.script(
        "CREATE DATABASE d;\n\
         CREATE TABLE d.t (id INT PRIMARY KEY AUTO_INCREMENT, a INT, pad VARCHAR(100));\n\
         INSERT INTO d.t SELECT seq * 2, 0, REPEAT('x', 100) FROM d.seq_1_to_20000;\n\
         ALTER TABLE d.t AUTO_INCREMENT = 90001;\n\
         CREATE TABLE d.c LIKE d.t",
    );
    let stop = AtomicBool::new(false);
    let written = AtomicU64::new(0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut conn = server.connect();
            // Any lock on a row would fail it at once.
            conn.query_drop("SET innodb_lock_wait_timeout=0").unwrap();
            let mut n = 0u64;
            while !stop.load(Ordering::Relaxed) {
                // Touches keys that are 0 modulo 10 and odd ones.
                let key = n * 7919 % 4000 * 10;
                conn.query_drop(format!("UPDATE d.t SET a = a + 1 WHERE id = {key}"))
                    .unwrap();
                conn.query_drop(format!("DELETE FROM d.t WHERE id = {}", key + 10))
                    .unwrap();
                conn.query_drop(format!("REPLACE INTO d.t VALUES ({}, 1, '')", key + 1))
                    .unwrap();
                n += 1;
                written.store(n, Ordering::Relaxed);
            }
        });
        while written.load(Ordering::Relaxed) < 10 {
            std::thread::yield_now();
        }
        copy(&server, "d.t", "d.c");
        stop.store(true, Ordering::Relaxed);
    });
    let untouched = "id % 10 <> 0 AND id % 2 = 0";
    assert_eq!(
        server.value(&format!(
            "SELECT COUNT(*) FROM d.c WHERE {untouched} AND a = 0 AND pad <> ''"
        )),
        "16000"
    );
    let next = server.value("SELECT AUTO_INCREMENT FROM information_schema.TABLES WHERE TABLE_SCHEMA='d' AND TABLE_NAME='c'");
    assert_eq!(next, "90001");
}

#[test]
fn a_chunk_takes_no_lock_on_the_rows_it_reads() {
    let server = PrivateServer::start(&[]);
    server.script(
        "CREATE DATABASE d;\nCREATE TABLE d.t (id INT PRIMARY KEY);\n\
         INSERT INTO d.t SELECT seq FROM d.seq_1_to_100;\nCREATE TABLE d.c LIKE d.t",
    );
    let mut reader = session(&server);
    let mut writer = session(&server);
    writer
        .exec("set", "SET SESSION innodb_lock_wait_timeout=0")
        .unwrap();
    for verb in ["INSERT", "REPLACE"] {
        for (level, number) in [("READ COMMITTED", None), ("REPEATABLE READ", Some(1205))] {
            reader
                .exec(
                    "set",
                    format!("SET SESSION TRANSACTION ISOLATION LEVEL {level}"),
                )
                .unwrap();
            reader.exec("begin", "START TRANSACTION").unwrap();
            let copy = "INTO d.c SELECT * FROM d.t WHERE id > 10 ORDER BY id LIMIT 50";
            reader.exec("copy", format!("{verb} {copy}")).unwrap();
            let written = writer.exec("write", "UPDATE d.t SET id = id + 1000 WHERE id = 20");
            assert_eq!(
                written.err().and_then(|e| e.number()),
                number,
                "{verb} {level}"
            );
            writer
                .exec("write", "UPDATE d.t SET id = id - 1000 WHERE id = 1020")
                .unwrap();
            reader.exec("end", "ROLLBACK").unwrap();
        }
    }
}

#[test]
fn a_copy_is_cancelled_and_a_lost_server_passes() {
    let mut server = PrivateServer::start(&[]);
    for columns in ["id INT PRIMARY KEY", "id INT"] {
        server.script(&format!(
            "DROP DATABASE IF EXISTS d;\nCREATE DATABASE d;\nCREATE TABLE d.t ({columns});\n\
             INSERT INTO d.t SELECT seq FROM d.seq_1_to_3000;\nCREATE TABLE d.c LIKE d.t"
        ));
        let mut session = session(&server);
        let def = def(&mut session, "d.t");
        let asked = Cell::new(0);
        let error = chunked(
            &mut session,
            &name("d.t"),
            &name("d.c"),
            &def,
            &small(),
            &mut |_| (),
            &|| {
                asked.set(asked.get() + 1);
                asked.get() > 3
            },
        )
        .unwrap_err();
        assert!(matches!(error, Error::Cancelled), "{error}");
        // The session is as it was.
        session.exec("go on", "TRUNCATE TABLE d.c").unwrap();
        chunked(
            &mut session,
            &name("d.t"),
            &name("d.c"),
            &def,
            &small(),
            &mut |_| (),
            &NEVER,
        )
        .unwrap();
        let mode: Option<String> = session.first("ask", "SELECT @@session.sql_mode").unwrap();
        assert!(mode.unwrap().contains("STRICT_ALL_TABLES"));
        session.exec("go on", "TRUNCATE TABLE d.c").unwrap();
        let mut killed = false;
        let error = chunked(
            &mut session,
            &name("d.t"),
            &name("d.c"),
            &def,
            &small(),
            &mut |rows| {
                if rows > 500 && !killed {
                    killed = true;
                    server.kill();
                }
            },
            &NEVER,
        )
        .unwrap_err();
        assert!(error.is_passing(), "{error}");
        assert_eq!(error.code(), Code::DatabaseUnreachable);
        server.restart();
    }
}

#[test]
fn what_cannot_be_copied_is_refused() {
    let server = PrivateServer::start(&["--skip-log-bin"]);
    server.script(
        "CREATE DATABASE d;\nCREATE TABLE d.v (id INT PRIMARY KEY) WITH SYSTEM VERSIONING;\n\
         CREATE TABLE d.k (id INT);\nCREATE TABLE d.c (id INT)",
    );
    let mut session = session(&server);
    for (table, code) in [
        ("d.v", Code::TableUnsupported),
        ("d.k", Code::DatabaseSettings),
    ] {
        let def = def(&mut session, table);
        let error = chunked(
            &mut session,
            &name(table),
            &name("d.c"),
            &def,
            &small(),
            &mut |_| (),
            &NEVER,
        )
        .unwrap_err();
        assert_eq!(error.code(), code, "{error}");
    }
    assert_eq!(endpoint(&server).user, "root");
}
