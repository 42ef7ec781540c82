//! Net effects applied to tables of a server.

#![cfg(feature = "testing")]
#![expect(clippy::unwrap_used, reason = "helpers of the tests unwrap")]

mod support;

use std::time::Duration;

use backout_core::code::Code;
use backout_history::Direction;
use backout_mariadb::apply::{ApplyOptions, Work, events, upserts};
use backout_mariadb::copy::{CopyOptions, chunked};
use backout_mariadb::testing::PrivateServer;
use backout_mariadb::{Endpoint, Error};
use support::{NEVER, def, end, endpoint, name, reduce, session};

const TABLES: &str = "CREATE DATABASE d;\n\
     CREATE TABLE d.t (id INT, k VARCHAR(20), mail VARCHAR(40), n INT UNSIGNED, f FLOAT, de DECIMAL(20, 5),
       e ENUM('x', 'y'), b MEDIUMBLOB, dt DATETIME(3), ts TIMESTAMP(6) NULL, v INT AS (n + 1) VIRTUAL,
       st INT AS (n * 2) STORED, PRIMARY KEY (id, k), UNIQUE (mail)) CHARACTER SET utf8mb4;\n\
     INSERT INTO d.t (id, k, mail, n, f, de, e, b, dt, ts)
       SELECT seq, CONCAT('k', seq), CONCAT('m', seq), seq, 1 / seq, seq / 7, 1 + seq % 2, UNHEX(SHA(seq)),
       '2020-01-01 00:00:00.123', '2020-01-01 00:00:00.123456' FROM d.seq_1_to_3000;\n\
     CREATE TABLE d.original LIKE d.t;\n\
     INSERT INTO d.original (id, k, mail, n, f, de, e, b, dt, ts)
       SELECT id, k, mail, n, f, de, e, b, dt, ts FROM d.t";

const CHANGES: &str = "UPDATE d.t SET n = n + 1, f = f * 3 WHERE id % 3 = 0;\n\
     DELETE FROM d.t WHERE id % 7 = 0;\n\
     INSERT INTO d.t (id, k, n) SELECT seq, 'new', seq FROM d.seq_5000_to_5400;\n\
     UPDATE d.t SET mail = 'swap' WHERE id = 1;\n\
     UPDATE d.t SET mail = 'm1' WHERE id = 2;\n\
     UPDATE d.t SET mail = 'm2' WHERE id = 1;\n\
     UPDATE d.t SET k = UPPER(k) WHERE id = 4;\n\
     UPDATE d.t SET id = id + 100000 WHERE id = 5;\n\
     INSERT INTO d.t (id, k, mail) VALUES (5, 'k5', 'm14');\n\
     UPDATE d.t SET b = REPEAT('z', 200000), e = 2 WHERE id % 500 = 1";

fn all(server: &PrivateServer, table: &str) -> Vec<Vec<String>> {
    server.query(&format!(
        "SELECT id, HEX(k), mail, n, f, de, e, MD5(b), dt, ts, v, st FROM {table} ORDER BY id, BINARY k"
    ))
}

#[test]
fn events_bring_a_table_back_and_forth_by_any_number_of_sessions() {
    let server = PrivateServer::start(&["--max-allowed-packet=1M"]);
    server.script(TABLES);
    server.script("CREATE TABLE d.fired (a INT);\nCREATE TRIGGER d.tr AFTER UPDATE ON d.t FOR EACH ROW INSERT INTO d.fired VALUES (1)");
    let before = end(&server);
    server.script(CHANGES);
    let to = end(&server);
    server.script("TRUNCATE TABLE d.fired;\nCREATE TABLE d.after LIKE d.original;\n\
        INSERT INTO d.after (id, k, mail, n, f, de, e, b, dt, ts) SELECT id, k, mail, n, f, de, e, b, dt, ts FROM d.t");
    let folder = tempfile::tempdir().unwrap();
    let mut session = session(&server);
    let def = def(&mut session, "d.t");
    let net = reduce(&server, folder.path(), &[&def], &before, &to);
    for (sessions, direction, like) in [
        (1, Direction::Backward, "d.original"),
        (3, Direction::Forward, "d.after"),
        (3, Direction::Backward, "d.original"),
    ] {
        let options = ApplyOptions {
            sessions,
            setup: vec!["SET SESSION sql_log_bin=0".to_owned()],
            beside: None,
        };
        let work = Work {
            net: &net,
            table: 0,
            direction,
            target: &def.name,
            def: &def,
        };
        let log = end(&server);
        let mut told = 0;
        let rows = events(
            &endpoint(&server),
            &work,
            &options,
            &mut |rows| told = rows,
            &NEVER,
        )
        .unwrap();
        assert_eq!(rows, told);
        assert!(rows >= net.summaries()[0].rows);
        assert_eq!(all(&server, "d.t"), all(&server, like));
        assert_eq!(end(&server), log);
    }
    assert_eq!(server.value("SELECT COUNT(*) FROM d.fired"), "0");
    // Again: the rows are not there to be changed.
    let work = Work {
        net: &net,
        table: 0,
        direction: Direction::Backward,
        target: &def.name,
        def: &def,
    };
    let error = events(
        &endpoint(&server),
        &work,
        &ApplyOptions::default(),
        &mut |_| (),
        &NEVER,
    )
    .unwrap_err();
    assert_eq!(error.code(), Code::RowsChanged, "{error}");
    // Cancelled.
    let error = events(
        &endpoint(&server),
        &work,
        &ApplyOptions::default(),
        &mut |_| (),
        &|| true,
    );
    assert!(error.is_err());
}

#[test]
fn upserts_make_a_fuzzy_copy_right_and_may_be_repeated() {
    let server = PrivateServer::start(&[]);
    server.script(TABLES);
    let before = end(&server);
    let mut session = session(&server);
    let def = def(&mut session, "d.t");
    session.exec("make", "CREATE TABLE d.c LIKE d.t").unwrap();
    // The copy is made between the changes, and in the middle of some.
    let changes: Vec<&str> = CHANGES.split(";\n").collect();
    for change in &changes[..3] {
        server.script(change);
    }
    let options = CopyOptions {
        chunk_rows: 500,
        chunk_bytes: 1 << 20,
        chunk_time: Duration::from_millis(1),
        rest_percent: 0,
    };
    let mut rest = changes[3..].iter();
    chunked(
        &mut session,
        &def.name,
        &name("d.c"),
        &def,
        &options,
        &mut |_| {
            if let Some(change) = rest.next() {
                server.script(change);
            }
        },
        &NEVER,
    )
    .unwrap();
    for change in rest {
        server.script(change);
    }
    let to = end(&server);
    let folder = tempfile::tempdir().unwrap();
    let net = reduce(&server, folder.path(), &[&def], &before, &to);
    let target = name("d.c");
    for (direction, like) in [
        (Direction::Backward, "d.original"),
        (Direction::Backward, "d.original"),
        (Direction::Forward, "d.t"),
        (Direction::Backward, "d.original"),
    ] {
        let work = Work {
            net: &net,
            table: 0,
            direction,
            target: &target,
            def: &def,
        };
        let rows = upserts(
            &endpoint(&server),
            &work,
            &ApplyOptions::default(),
            &mut |_| (),
            &NEVER,
        )
        .unwrap();
        assert!(rows > 0);
        assert_eq!(all(&server, "d.c"), all(&server, like));
    }
    let error = upserts(
        &endpoint(&server),
        &Work {
            net: &net,
            table: 0,
            direction: Direction::Backward,
            target: &target,
            def: &backout_mariadb::TableDef {
                key: None,
                ..def.clone()
            },
        },
        &ApplyOptions::default(),
        &mut |_| (),
        &NEVER,
    )
    .unwrap_err();
    assert_eq!(error.code(), Code::TableUnsupported);
}

#[test]
fn a_table_without_a_key_is_brought_back_by_events() {
    let server = PrivateServer::start(&[]);
    server.script(
        "CREATE DATABASE d;\nCREATE TABLE d.t (a INT, b VARCHAR(10));\n\
         INSERT INTO d.t SELECT seq % 10, 'x' FROM d.seq_1_to_100;\nCREATE TABLE d.o AS SELECT * FROM d.t",
    );
    let before = end(&server);
    server.script("UPDATE d.t SET b = 'y' WHERE a = 3 LIMIT 4;\nDELETE FROM d.t WHERE a = 4;\nINSERT INTO d.t SELECT 5, 'x' FROM d.seq_1_to_5;\nUPDATE d.t SET b = NULL WHERE a = 6");
    let to = end(&server);
    let folder = tempfile::tempdir().unwrap();
    let def = def(&mut session(&server), "d.t");
    let net = reduce(&server, folder.path(), &[&def], &before, &to);
    let work = Work {
        net: &net,
        table: 0,
        direction: Direction::Backward,
        target: &def.name,
        def: &def,
    };
    events(
        &endpoint(&server),
        &work,
        &ApplyOptions::default(),
        &mut |_| (),
        &NEVER,
    )
    .unwrap();
    let all = |t: &str| {
        server.query(&format!(
            "SELECT a, b, COUNT(*) FROM {t} GROUP BY a, b ORDER BY a, b"
        ))
    };
    assert_eq!(all("d.t"), all("d.o"));
}

#[test]
fn a_server_that_is_gone_is_a_passing_error_and_a_missing_privilege_is_not() {
    let mut server = PrivateServer::start(&[]);
    server.script(TABLES);
    let before = end(&server);
    server.script(CHANGES);
    let to = end(&server);
    server.script("CREATE USER u@localhost;\nGRANT ALL ON d.* TO u@localhost");
    let folder = tempfile::tempdir().unwrap();
    let def = def(&mut session(&server), "d.t");
    let net = reduce(&server, folder.path(), &[&def], &before, &to);
    let work = Work {
        net: &net,
        table: 0,
        direction: Direction::Backward,
        target: &def.name,
        def: &def,
    };
    let user = Endpoint::parse(&server.socket_url().replace("root", "u")).unwrap();
    let error = events(&user, &work, &ApplyOptions::default(), &mut |_| (), &NEVER).unwrap_err();
    assert!(
        matches!(error, Error::Refused { number: 1227, .. }),
        "{error}"
    );
    assert!(!error.is_passing());
    let endpoint = endpoint(&server);
    let mut killed = false;
    let error = events(
        &endpoint,
        &work,
        &ApplyOptions::default(),
        &mut |_| {
            if !killed {
                killed = true;
                server.kill();
            }
        },
        &NEVER,
    )
    .unwrap_err();
    assert!(error.is_passing(), "{error}");
}
