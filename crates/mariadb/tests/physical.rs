//! Tables move as files, out of a running server and into it, on real servers.

#![cfg(feature = "testing")]
#![expect(clippy::unwrap_used, reason = "helpers of the tests unwrap")]

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use backout_history::TableName;
use backout_mariadb::backup::{self, Manifest, Options};
use backout_mariadb::others::Others;
use backout_mariadb::scratch::{self, Scratch};
use backout_mariadb::testing::{PATIENCE, PrivateServer, shim};
use backout_mariadb::transport::{self, Exported, Live, Place};
use backout_mariadb::{Endpoint, Error, Session};
use mysql::prelude::Queryable as _;
use tempfile::TempDir;

const GO_ON: Options<'static> = Options {
    threads: 2,
    beside: None,
    cancelled: &|| false,
};

const SMALL: scratch::Options = scratch::Options {
    pool_bytes: 64 << 20,
    redo_bytes: 32 << 20,
    lower_case_table_names: 0,
};

fn endpoint(server: &PrivateServer) -> Endpoint {
    Endpoint::parse(&server.socket_url()).unwrap()
}

fn name(schema: &str, table: &str) -> TableName {
    TableName::new(schema, table)
}

/// A folder that a server under another account can pass through.
fn folder() -> TempDir {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::Builder::new()
        .prefix("backout-l-")
        .tempdir()
        .unwrap();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o711)).unwrap();
    folder
}

/// A scratch server that ends with the test.
struct Guard(Scratch);

impl Drop for Guard {
    fn drop(&mut self) {
        let _ = self.0.discard();
    }
}

fn scratch_on(folder: &Path, copy: &Path) -> Guard {
    Guard(Scratch::new(
        folder.join("run"),
        backup::datadir(copy),
        shim().unwrap(),
    ))
}

/// Copies tables, starts a scratch server on them, lets `change` work there,
/// and exports them.
fn round(
    server: &PrivateServer,
    folder: &Path,
    tables: &[TableName],
    change: impl FnOnce(&mut Session),
) -> (Manifest, PathBuf, Vec<Exported>) {
    let copy = folder.join("copy");
    let others = Others::of(endpoint(server));
    let options = Options {
        beside: Some(&others),
        ..GO_ON
    };
    let manifest = backup::tables(&endpoint(server), tables, &copy, &options).unwrap();
    let scratch = scratch_on(folder, &copy);
    scratch.0.start(&SMALL, &|| false).unwrap();
    transport::make_ready(&scratch.0, tables).unwrap();
    let mut session = Session::open(&scratch.0.endpoint()).unwrap();
    change(&mut session);
    let to = folder.join("export");
    let exported = transport::export(&scratch.0, tables, &to, &|| false).unwrap();
    assert!(!scratch.0.is_on().unwrap());
    (manifest, to, exported)
}

/// Files of the live server that no table has.
fn strays(server: &PrivateServer, schema: &str) -> Vec<String> {
    let mut found: Vec<_> = std::fs::read_dir(server.datadir().join(schema))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|file| file.ends_with(".ibd") || file.ends_with(".cfg") || file.contains("backout"))
        .filter(|file| {
            let stem = file.split('.').next().unwrap().split("#P#").next().unwrap();
            let is_table = server
                .datadir()
                .join(schema)
                .join(format!("{stem}.frm"))
                .exists();
            !(file.starts_with("FTS_") || file.ends_with(".ibd") && is_table)
        })
        .collect();
    found.sort();
    found
}

/// A whole server comes up on all that a base backup has.
fn all_starts(folder: &Path, all: &Path) {
    let data = backup::datadir(all);
    let scratch = Guard(Scratch::new(folder.join("run-all"), data, shim().unwrap()));
    scratch.0.start(&SMALL, &|| false).unwrap();
    let mut session = Session::open(&scratch.0.endpoint()).unwrap();
    let sum = "SELECT CONCAT((SELECT COUNT(*) FROM a.old), '-', (SELECT COUNT(*) FROM a.big), '-', \
               (SELECT COUNT(*) FROM mysql.global_priv WHERE User = 'root') > 0)";
    let sum: Option<String> = session.first("look", sum).unwrap();
    assert_eq!(sum.as_deref(), Some("1-20000-1"));
}

/// Whether a process has a path in its command line.
fn runs(path: &Path) -> bool {
    let path = path.to_string_lossy().into_owned();
    std::fs::read_dir("/proc").unwrap().flatten().any(|entry| {
        std::fs::read(entry.path().join("cmdline"))
            .is_ok_and(|line| String::from_utf8_lossy(&line).contains(&path))
    })
}

/// The server's own tool refuses to run where files are not as they should be.
fn is_whole(server: &PrivateServer, folder: &Path) {
    let to = folder.join("whole");
    backup::full(&endpoint(server), &to, &GO_ON).unwrap();
    backup::discard(&to).unwrap();
}

#[test]
fn tables_move_as_of_one_position_while_others_write() {
    let server = PrivateServer::start(&[]);
    server.script(
        "CREATE DATABASE a;\nCREATE DATABASE stage;\n\
         CREATE TABLE a.t (id INT AUTO_INCREMENT PRIMARY KEY, n BIGINT, pad CHAR(200), KEY (n));\n\
         CREATE TABLE a.u (id INT AUTO_INCREMENT PRIMARY KEY, n BIGINT);\n\
         CREATE TABLE a.other (id INT AUTO_INCREMENT PRIMARY KEY, n BIGINT);\n\
         INSERT INTO a.t (n, pad) SELECT seq, REPEAT('x', 200) FROM a.seq_1_to_20000;\n",
    );
    let before: u64 = server
        .value("SELECT SUBSTRING_INDEX(@@gtid_binlog_pos, '-', -1)")
        .parse()
        .unwrap();
    let (stop, written) = (AtomicBool::new(false), AtomicU64::new(0));
    let folder = folder();
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let mut conn = server.connect();
                while !stop.load(Ordering::Relaxed) {
                    let n = written.fetch_add(1, Ordering::Relaxed);
                    conn.query_drop("START TRANSACTION").unwrap();
                    for table in ["t", "u", "other"] {
                        conn.query_drop(format!("INSERT INTO a.{table} (n) VALUES ({n})"))
                            .unwrap();
                    }
                    conn.query_drop("COMMIT").unwrap();
                }
            });
        }
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let start = std::time::Instant::now();
            while written.load(Ordering::Relaxed) < 100 {
                assert!(start.elapsed() < PATIENCE);
                std::thread::yield_now();
            }
            let tables = [name("a", "t"), name("a", "u")];
            let (manifest, to, exported) = round(&server, folder.path(), &tables, |session| {
                session
                    .exec("change", "UPDATE a.u SET n = n + 1000000")
                    .unwrap();
            });
            // Exactly the transactions before the position are in it.
            let last: u64 = manifest.gtid.rsplit('-').next().unwrap().parse().unwrap();
            assert!(last - before >= 100, "{last} {before}");
            assert!(manifest.position.is_some());
            let mut session = Session::open(&endpoint(&server)).unwrap();
            let datadir = transport::reachable(&mut session, "stage")
                .unwrap()
                .unwrap();
            assert_eq!(
                datadir.canonicalize().unwrap(),
                server.datadir().canonicalize().unwrap()
            );
            let mut live = Live {
                session: &mut session,
                datadir: &datadir,
                logged: false,
            };
            for (table, place) in exported.iter().zip([Place::Move, Place::Copy]) {
                let target = name("stage", &table.name.table);
                // Twice: a step may be repeated.
                for _ in 0..2 {
                    transport::import(&mut live, &to, table, &target, place, &|| false).unwrap();
                }
            }
            let count = |sql: &str| server.value(sql).parse::<u64>().unwrap();
            assert_eq!(count("SELECT COUNT(*) FROM stage.u"), last - before);
            assert_eq!(count("SELECT COUNT(*) - 20000 FROM stage.t"), last - before);
            assert_eq!(count("SELECT COUNT(*) FROM stage.u WHERE n < 1000000"), 0);
            assert_eq!(
                server.value("CHECK TABLE stage.t, stage.u EXTENDED"),
                "stage.t".to_owned()
            );
            assert!(
                server
                    .query("CHECK TABLE stage.t, stage.u EXTENDED")
                    .iter()
                    .all(|row| row[3] == "OK")
            );
            assert_eq!(strays(&server, "stage"), [""; 0]);
            // What was there is not touched.
            let target = name("a", "other");
            let fresh = exported[0].clone();
            let other = folder.path().join("other");
            std::fs::create_dir(&other).unwrap();
            assert!(matches!(
                transport::import(&mut live, &other, &fresh, &target, Place::Copy, &|| false),
                Err(Error::TargetExists { .. })
            ));
            transport::undo_import(&mut live, &other, &fresh).unwrap();
            assert!(count("SELECT COUNT(*) FROM a.other") >= last - before);
            is_whole(&server, folder.path());
            transport::undo_import(&mut live, &to, &exported[0]).unwrap();
            transport::undo_import(&mut live, &to, &exported[0]).unwrap();
            assert_eq!(
                count(
                    "SELECT COUNT(*) FROM information_schema.TABLES WHERE TABLE_SCHEMA = 'stage'"
                ),
                1
            );
        }));
        stop.store(true, Ordering::Relaxed);
        if let Err(panic) = result {
            std::panic::resume_unwind(panic);
        }
    });
    // Neither copying nor taking in is in the binary log.
    let events = server.query("SHOW BINLOG EVENTS");
    assert!(
        !events
            .iter()
            .any(|row| row[5].contains("IMPORT TABLESPACE"))
    );
}

/// Tables of many kinds, with what makes each one special.
const KINDS: &[(&str, &str)] = &[
    (
        "plain",
        "(id INT PRIMARY KEY, v VARCHAR(100), KEY (v)) ENGINE=InnoDB",
    ),
    (
        "we ird-é`s",
        "(`i d` INT PRIMARY KEY, `v``` VARCHAR(100)) COMMENT='a\\n) b'",
    ),
    ("keyless", "(id INT, v VARCHAR(100))"),
    (
        "parted",
        "(id INT PRIMARY KEY, v VARCHAR(100)) PARTITION BY RANGE (id) (PARTITION `P é` VALUES LESS \
         THAN (30), PARTITION p1 VALUES LESS THAN (60), PARTITION p2 VALUES LESS THAN MAXVALUE)",
    ),
    (
        "sub",
        "(id INT, v VARCHAR(100), KEY (id)) PARTITION BY RANGE (id) SUBPARTITION BY HASH (id) \
         SUBPARTITIONS 2 (PARTITION p0 VALUES LESS THAN (50), PARTITION p1 VALUES LESS THAN MAXVALUE)",
    ),
    (
        "texts",
        "(id INT PRIMARY KEY, v TEXT, FULLTEXT KEY `f``1` (v), FULLTEXT KEY f2 (v))",
    ),
    (
        "packed",
        "(id INT PRIMARY KEY, v VARCHAR(100)) ROW_FORMAT=COMPRESSED KEY_BLOCK_SIZE=8",
    ),
    (
        "pages",
        "(id INT PRIMARY KEY, v VARCHAR(100)) PAGE_COMPRESSED=1",
    ),
    (
        "redundant",
        "(id INT PRIMARY KEY, v VARCHAR(100)) ROW_FORMAT=REDUNDANT",
    ),
    (
        "versions",
        "(id INT PRIMARY KEY, v VARCHAR(100)) WITH SYSTEM VERSIONING",
    ),
    (
        "computed",
        "(id INT PRIMARY KEY, v VARCHAR(100), w INT AS (id * 2) VIRTUAL, x INT AS (id * 3) STORED, \
         KEY (w), CHECK (id >= 0))",
    ),
    (
        "columns",
        "(id INT PRIMARY KEY, v VARCHAR(1000) COMPRESSED)",
    ),
    (
        "places",
        "(id INT PRIMARY KEY, v VARCHAR(100), g POINT NOT NULL DEFAULT (POINT(1, 2)), SPATIAL KEY (g))",
    ),
];

#[test]
fn tables_of_all_kinds_move() {
    let server = PrivateServer::start(&["--innodb-default-row-format=dynamic"]);
    server.script("CREATE DATABASE `k é`;\nCREATE DATABASE stage;\n");
    let mut conn = server.connect();
    conn.query_drop("SET NAMES utf8mb4").unwrap();
    conn.query_drop("USE `k é`").unwrap();
    let mut tables = Vec::new();
    for (table, shape) in KINDS {
        let quoted = format!("`{}`", table.replace('`', "``"));
        conn.query_drop(format!("CREATE TABLE {quoted} {shape}"))
            .unwrap();
        let columns = if table.starts_with("we") {
            "(`i d`, `v```)"
        } else {
            "(id, v)"
        };
        conn.query_drop(format!(
            "INSERT INTO {quoted} {columns} SELECT seq, CONCAT('hello ', seq) FROM seq_1_to_100"
        ))
        .unwrap();
        tables.push(name("k é", table));
    }
    // Shapes that only come of changes made in place.
    for (table, change) in [
        (
            "added",
            "ADD COLUMN x INT DEFAULT 7 FIRST, ALGORITHM=INSTANT",
        ),
        ("dropped", "DROP COLUMN gone, ALGORITHM=INSTANT"),
        ("unindexed", "DROP KEY v"),
    ] {
        conn.query_drop(format!(
            "CREATE TABLE {table} (id INT PRIMARY KEY, gone INT DEFAULT 3, v VARCHAR(100), FULLTEXT KEY v (v))"
        ))
        .unwrap();
        if table != "unindexed" {
            conn.query_drop(format!(
                "ALTER TABLE {table} DROP KEY v, FORCE, ALGORITHM=COPY"
            ))
            .unwrap();
        }
        conn.query_drop(format!(
            "INSERT INTO {table} (id, v) SELECT seq, CONCAT('hello ', seq) FROM seq_1_to_100"
        ))
        .unwrap();
        conn.query_drop(format!("ALTER TABLE {table} {change}"))
            .unwrap();
        conn.query_drop(format!("INSERT INTO {table} (id, v) VALUES (101, 'later')"))
            .unwrap();
        tables.push(name("k é", table));
    }
    let folder = folder();
    let (_, to, exported) = round(&server, folder.path(), &tables, |session| {
        // A write to each: what moves is no mere copy.
        for table in [
            "plain",
            "parted",
            "texts",
            "versions",
            "packed",
            "unindexed",
            "added",
        ] {
            session
                .exec(
                    "change",
                    format!("UPDATE `k é`.{table} SET v = CONCAT(v, ' there') WHERE id < 10"),
                )
                .unwrap();
        }
    });
    let mut session = Session::open(&endpoint(&server)).unwrap();
    let datadir = transport::reachable(&mut session, "stage")
        .unwrap()
        .unwrap();
    let mut live = Live {
        session: &mut session,
        datadir: &datadir,
        logged: false,
    };
    let mut failed = Vec::new();
    for (i, table) in exported.iter().enumerate() {
        let place = if i % 2 == 0 { Place::Move } else { Place::Copy };
        let target = name("stage", &table.name.table);
        if let Err(e) = transport::import(&mut live, &to, table, &target, place, &|| false) {
            failed.push(format!("{}: {e}", table.name));
        }
    }
    assert_eq!(failed, [""; 0]);
    for table in &tables {
        let quoted = format!("`{}`", table.table.replace('`', "``"));
        let mut definition = |schema: &str| -> String {
            let row: (String, String) = conn
                .query_first(format!("SHOW CREATE TABLE `{schema}`.{quoted}"))
                .unwrap()
                .unwrap();
            row.1
        };
        assert_eq!(definition("stage"), definition("k é"), "{table}");
        let mut rows = |schema: &str| -> Vec<mysql::Row> {
            let order = if table.table.starts_with("we") {
                "`i d`"
            } else {
                "id"
            };
            conn.query(format!(
                "SELECT * FROM `{schema}`.{quoted} ORDER BY {order}"
            ))
            .unwrap()
        };
        let changed = [
            "plain",
            "parted",
            "texts",
            "versions",
            "packed",
            "unindexed",
            "added",
        ];
        let (is, was) = (rows("stage"), rows("k é"));
        assert_eq!(is.len(), was.len(), "{table}");
        let differ = is
            .into_iter()
            .zip(was)
            .filter(|(a, b)| a.clone().unwrap() != b.clone().unwrap())
            .count();
        let wanted = if changed.contains(&table.table.as_str()) {
            9
        } else {
            0
        };
        assert_eq!(differ, wanted, "{table}");
        let checked: Vec<(String, String, String, String)> = conn
            .query(format!("CHECK TABLE stage.{quoted} EXTENDED"))
            .unwrap();
        assert!(checked.iter().all(|row| row.3 == "OK"), "{checked:?}");
    }
    let found: Option<u64> = conn
        .query_first("SELECT COUNT(*) FROM stage.texts WHERE MATCH (v) AGAINST ('there')")
        .unwrap();
    assert_eq!(found, Some(9));
    for (table, columns) in [
        ("texts", "id, v"),
        ("unindexed", "id, v"),
        ("dropped", "id, v"),
        ("added", "id, v"),
    ] {
        conn.query_drop(format!(
            "INSERT INTO stage.{table} ({columns}) VALUES (500, 'there again')"
        ))
        .unwrap();
        conn.query_drop(format!("DELETE FROM stage.{table} WHERE id < 50"))
            .unwrap();
    }
    assert_eq!(strays(&server, "stage"), [""; 0]);
    is_whole(&server, folder.path());
}

#[test]
fn foreign_keys_are_told_and_left_out() {
    let server = PrivateServer::start(&[]);
    server.script(
        "CREATE DATABASE a;\nCREATE DATABASE stage;\nCREATE TABLE a.p (id INT PRIMARY KEY);\nCREATE \
         TABLE a.c (id INT PRIMARY KEY, p INT, CONSTRAINT f FOREIGN KEY (p) REFERENCES p (id) ON \
         DELETE CASCADE);\nINSERT INTO a.p VALUES (1), (2);\nINSERT INTO a.c VALUES (7, 1), (8, 2);\n",
    );
    let folder = folder();
    // The child alone.
    let (_, to, exported) = round(&server, folder.path(), &[name("a", "c")], |session| {
        session.exec("change", "SET foreign_key_checks=0").unwrap();
        session
            .exec("change", "INSERT INTO a.c VALUES (9, 1)")
            .unwrap();
    });
    let keys = &exported[0].definition.foreign_keys;
    assert_eq!(
        keys[..],
        ["CONSTRAINT `f` FOREIGN KEY (`p`) REFERENCES `p` (`id`) ON DELETE CASCADE"]
    );
    let mut session = Session::open(&endpoint(&server)).unwrap();
    let datadir = server.datadir();
    let mut live = Live {
        session: &mut session,
        datadir: &datadir,
        logged: false,
    };
    let target = name("stage", "c");
    transport::import(&mut live, &to, &exported[0], &target, Place::Move, &|| {
        false
    })
    .unwrap();
    assert_eq!(server.value("SELECT SUM(id) FROM stage.c"), "24");
    // The parent is as it was for the live server.
    server.script("DELETE FROM a.p WHERE id = 1;\n");
    assert_eq!(server.value("SELECT SUM(id) FROM a.c"), "8");
    assert_eq!(server.value("SELECT SUM(id) FROM stage.c"), "24");
}

#[test]
fn what_cannot_move_is_refused_by_name() {
    let server = PrivateServer::start(&["--innodb-file-per-table=0"]);
    server.script(
        "CREATE DATABASE a;\nCREATE TABLE a.my (i INT) ENGINE=MyISAM;\nCREATE TABLE a.ar (i INT) \
         ENGINE=Aria;\nCREATE VIEW a.v AS SELECT 1;\nCREATE TABLE a.inside (i INT) ENGINE=InnoDB;\n",
    );
    let folder = folder();
    let to = folder.path().join("copy");
    let refused = |table: &str| {
        let e = backup::tables(&endpoint(&server), &[name("a", table)], &to, &GO_ON).unwrap_err();
        assert!(backup::read(&to).unwrap().is_none());
        e.to_string()
    };
    assert!(refused("my").contains("its engine is MyISAM"));
    assert!(refused("ar").contains("its engine is Aria"));
    assert!(refused("v").contains("there is none"));
    assert!(refused("none").contains("there is none"));
    let inside = refused("inside");
    assert!(inside.contains("no file of its own"), "{inside}");
}

#[test]
fn chosen_tables_come_out_of_a_chain_of_backups() {
    let server = PrivateServer::start(&[]);
    server.script(
        "CREATE DATABASE a;\nCREATE TABLE a.t (id INT PRIMARY KEY, v VARCHAR(100));\n\
         CREATE TABLE a.p (id INT PRIMARY KEY, v VARCHAR(100)) PARTITION BY HASH (id) PARTITIONS 3;\n\
         CREATE TABLE a.old (id INT PRIMARY KEY);\nCREATE TABLE a.big (id INT PRIMARY KEY, v CHAR(250));\n\
         CREATE TABLE a.gone (id INT PRIMARY KEY);\nINSERT INTO a.old VALUES (1);\n\
         INSERT INTO a.t SELECT seq, 'one' FROM a.seq_1_to_5000;\n\
         INSERT INTO a.p SELECT seq, 'one' FROM a.seq_1_to_100;\n\
         INSERT INTO a.big SELECT seq, MD5(seq) FROM a.seq_1_to_20000;\n",
    );
    let folder = folder();
    let at = |part: &str| folder.path().join(part);
    let full = backup::full(&endpoint(&server), &at("full"), &GO_ON).unwrap();
    assert!(full.stored_bytes() * 2 < full.bytes());
    // Complete: the same again.
    assert_eq!(
        backup::full(&endpoint(&server), &at("full"), &GO_ON).unwrap(),
        full
    );
    server.script(
        "UPDATE a.t SET v = 'two' WHERE id <= 100;\nRENAME TABLE a.old TO a.newname;\nINSERT INTO \
         a.newname VALUES (2);\nCREATE TABLE a.fresh (id INT PRIMARY KEY);\nINSERT INTO a.fresh \
         VALUES (9);\nDROP TABLE a.gone;\nCREATE TABLE a.gone (id INT PRIMARY KEY, x INT);\nINSERT INTO a.gone VALUES (4, 4);\n",
    );
    let one = backup::incremental(&endpoint(&server), &at("one"), &at("full"), &GO_ON).unwrap();
    assert_eq!(
        (one.lsn_from, one.base.as_ref()),
        (full.lsn_to, Some(&full.id))
    );
    assert!(one.bytes() < full.bytes());
    server.script("UPDATE a.p SET v = 'three' WHERE id < 10;\nDELETE FROM a.t WHERE id > 4000;\n");
    backup::incremental(&endpoint(&server), &at("two"), &at("one"), &GO_ON).unwrap();
    server.script("DELETE FROM a.t;\nDELETE FROM a.p;\nDROP TABLE a.newname;\n");
    let chain = [at("full"), at("one"), at("two")];
    for part in &chain {
        backup::verify(part, &GO_ON).unwrap();
    }
    let tables = ["t", "p", "newname", "fresh", "gone"].map(|table| name("a", table));
    let manifest = backup::extract(&chain, Some(&tables), &at("out"), &GO_ON).unwrap();
    assert_eq!(manifest.tables.len(), 5);
    assert!(!backup::datadir(&at("out")).join("a/big.ibd").exists());
    let scratch = scratch_on(folder.path(), &at("out"));
    scratch.0.start(&SMALL, &|| false).unwrap();
    let mut session = Session::open(&scratch.0.endpoint()).unwrap();
    let mut value =
        |sql: &str| -> String { session.first::<String>("look", sql).unwrap().unwrap() };
    assert_eq!(
        value("SELECT CONCAT(COUNT(*), SUM(v = 'two')) FROM a.t"),
        "4000100"
    );
    assert_eq!(
        value("SELECT CONCAT(COUNT(*), '-', SUM(v = 'three')) FROM a.p"),
        "100-9"
    );
    assert_eq!(value("SELECT GROUP_CONCAT(id) FROM a.newname"), "1,2");
    assert_eq!(value("SELECT GROUP_CONCAT(id) FROM a.fresh"), "9");
    assert_eq!(value("SELECT CONCAT(id, x) FROM a.gone"), "44");
    // They can be moved on.
    let exported = transport::export(&scratch.0, &tables, &at("export"), &|| false).unwrap();
    assert_eq!(exported.len(), 5);
    // All of it, with the server's own tables.
    backup::extract(&chain[..1], None, &at("all"), &GO_ON).unwrap();
    assert!(
        backup::datadir(&at("all"))
            .join("mysql/global_priv.MAI")
            .exists()
    );
    all_starts(folder.path(), &at("all"));

    // A chain that is none.
    for bad in [
        &[at("one")][..],
        &[at("full"), at("two")],
        &[at("out")],
        &[at("nothing")],
    ] {
        let e = backup::extract(bad, None, &at("bad"), &GO_ON).unwrap_err();
        assert!(matches!(e, Error::Backup { .. }), "{e}");
    }
    let none = backup::extract(&chain, Some(&[name("a", "old")]), &at("bad"), &GO_ON);
    assert!(matches!(none, Err(Error::NoTable { .. })));
    // A changed byte is found, also by who only takes tables out.
    let file = at("one").join("data/a/t.ibd.delta.zst");
    let mut bytes = std::fs::read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x10;
    std::fs::write(&file, bytes).unwrap();
    assert!(matches!(
        backup::verify(&at("one"), &GO_ON),
        Err(Error::Backup { .. })
    ));
    let e = backup::extract(&chain, Some(&tables), &at("bad"), &GO_ON).unwrap_err();
    assert!(matches!(e, Error::Backup { .. }), "{e}");
    std::fs::remove_file(&file).unwrap();
    let e = backup::verify(&at("one"), &GO_ON).unwrap_err();
    assert!(e.to_string().contains("is missing"), "{e}");
}

#[test]
fn a_backup_that_is_not_wanted_leaves_no_process_and_is_made_anew() {
    let server = PrivateServer::start(&[]);
    server.script(
        "CREATE DATABASE a;\nCREATE TABLE a.t (id INT PRIMARY KEY);\nINSERT INTO a.t VALUES (1);\n",
    );
    let folder = folder();
    let calls = AtomicU64::new(0);
    let few = Options {
        threads: 1,
        beside: None,
        cancelled: &|| calls.fetch_add(1, Ordering::Relaxed) >= 2,
    };
    for (part, which) in [("base", 0), ("copy", 1)] {
        let to = folder.path().join(part);
        calls.store(0, Ordering::Relaxed);
        let take = |options: &Options<'_>| match which {
            0 => backup::full(&endpoint(&server), &to, options),
            _ => backup::tables(&endpoint(&server), &[name("a", "t")], &to, options),
        };
        assert!(matches!(take(&few), Err(Error::Cancelled)));
        assert!(backup::read(&to).unwrap().is_none());
        assert!(!runs(&to));
        take(&GO_ON).unwrap();
        assert!(!to.join("client.cnf").exists());
        backup::discard(&to).unwrap();
        backup::discard(&to).unwrap();
        assert!(!to.exists());
    }
}

#[test]
fn a_tool_that_fails_says_why_without_the_password() {
    let server = PrivateServer::start(&[]);
    server.script("CREATE USER few@localhost IDENTIFIED BY 'h\"u#n\\\\ter2';\nGRANT SELECT ON *.* TO few@localhost;\n");
    let mut endpoint = endpoint(&server);
    "few".clone_into(&mut endpoint.user);
    endpoint.password = backout_mariadb::Password::new("h\"u#n\\ter2");
    let folder = folder();
    let to = folder.path().join("base");
    let e = backup::full(&endpoint, &to, &GO_ON).unwrap_err();
    let said = format!("{e} {e:?}");
    assert!(
        said.contains("RELOAD") || said.contains("rivilege") || said.contains("enied"),
        "{said}"
    );
    assert!(!said.contains("ter2"));
    let log = std::fs::read_to_string(to.join("log")).unwrap();
    assert!(!log.contains("ter2"));
    // The password is quoted right: with the rights it needs, the tool gets in.
    server.script("GRANT RELOAD, PROCESS, LOCK TABLES, BINLOG MONITOR, REPLICA MONITOR ON *.* TO few@localhost;\n");
    backup::full(&endpoint, &to, &GO_ON).unwrap();
}

#[test]
fn a_scratch_server_that_died_is_not_taken_up_again() {
    let server = PrivateServer::start(&[]);
    server.script(
        "CREATE DATABASE a;\nCREATE TABLE a.t (id INT PRIMARY KEY);\nINSERT INTO a.t VALUES (1);\n",
    );
    let folder = folder();
    let tables = [name("a", "t")];
    let copy = folder.path().join("copy");
    backup::tables(&endpoint(&server), &tables, &copy, &GO_ON).unwrap();
    let scratch = scratch_on(folder.path(), &copy);
    scratch.0.start(&SMALL, &|| false).unwrap();
    // Found again by another handle, as by a later process.
    let again = Scratch::new(
        folder.path().join("run"),
        backup::datadir(&copy),
        shim().unwrap(),
    );
    again.start(&SMALL, &|| false).unwrap();
    assert!(again.is_on().unwrap());
    again.kill().unwrap();
    again.kill().unwrap();
    let e = scratch.0.start(&SMALL, &|| false).unwrap_err();
    assert!(matches!(e, Error::Interrupted { .. }), "{e}");
    let e = transport::export(&scratch.0, &tables, &folder.path().join("export"), &|| {
        false
    })
    .unwrap_err();
    assert!(matches!(e, Error::Interrupted { .. }), "{e}");
    scratch.0.discard().unwrap();
    scratch.0.discard().unwrap();
    // Begun again, all is well.
    backup::discard(&copy).unwrap();
    backup::tables(&endpoint(&server), &tables, &copy, &GO_ON).unwrap();
    scratch.0.start(&SMALL, &|| false).unwrap();
    transport::export(&scratch.0, &tables, &folder.path().join("export"), &|| {
        false
    })
    .unwrap();
}

#[test]
fn an_import_that_is_cut_off_leaves_nothing_after_its_undo() {
    let mut server = PrivateServer::start(&[]);
    server.script(
        "CREATE DATABASE a;\nCREATE DATABASE stage;\nCREATE TABLE a.t (id INT PRIMARY KEY, v \
         CHAR(250)) PARTITION BY HASH (id) PARTITIONS 4;\nINSERT INTO a.t SELECT seq, 'x' FROM \
         a.seq_1_to_40000;\nCREATE TABLE a.u (id INT PRIMARY KEY);\n",
    );
    let folder = folder();
    let tables = [name("a", "t"), name("a", "u")];
    let (_, to, exported) = round(&server, folder.path(), &tables, |_| {});
    for (n, place) in [
        (0, Place::Copy),
        (1, Place::Copy),
        (2, Place::Copy),
        (3, Place::Copy),
        (4, Place::Move),
    ] {
        let mut session = Session::open(&endpoint(&server)).unwrap();
        let datadir = server.datadir();
        let target = name("stage", "t");
        // The server dies while the n-th partition is on its way.
        let seen = AtomicU64::new(0);
        std::thread::scope(|scope| {
            let socket = &server;
            let watch = scope.spawn(|| {
                let start = std::time::Instant::now();
                let wanted = if place == Place::Move { 1 } else { n };
                while seen.load(Ordering::Relaxed) < wanted && start.elapsed() < PATIENCE {
                    std::thread::yield_now();
                }
                let pid = i32::try_from(socket.pid().unwrap()).unwrap();
                rustix::process::kill_process(
                    rustix::process::Pid::from_raw(pid).unwrap(),
                    rustix::process::Signal::KILL,
                )
                .unwrap();
            });
            let mut live = Live {
                session: &mut session,
                datadir: &datadir,
                logged: false,
            };
            let counting = || {
                seen.fetch_add(1, Ordering::Relaxed);
                false
            };
            let result = transport::import(&mut live, &to, &exported[0], &target, place, &counting);
            seen.store(u64::MAX, Ordering::Relaxed);
            watch.join().unwrap();
            if let Err(e) = result {
                assert!(
                    matches!(
                        e,
                        Error::Lost { .. } | Error::Unreachable { .. } | Error::Refused { .. }
                    ),
                    "{e:?}"
                );
            }
        });
        server.kill();
        server.restart();
        let mut session = Session::open(&endpoint(&server)).unwrap();
        let mut live = Live {
            session: &mut session,
            datadir: &datadir,
            logged: false,
        };
        transport::undo_import(&mut live, &to, &exported[0]).unwrap();
        let left = "SELECT COUNT(*) FROM information_schema.TABLES WHERE TABLE_SCHEMA = 'stage'";
        assert_eq!(server.value(left), "0", "{n}");
        assert_eq!(strays(&server, "stage"), [""; 0], "{n}");
        is_whole(&server, folder.path());
        let again = transport::import(&mut live, &to, &exported[0], &target, Place::Copy, &|| {
            false
        });
        match again {
            // Its files were on their way into the server when that died.
            Err(Error::Interrupted { .. }) if place == Place::Move => {
                assert_eq!(server.value(left), "0");
                continue;
            }
            other => other.unwrap(),
        }
        assert_eq!(server.value("SELECT COUNT(*) FROM stage.t"), "40000");
        transport::undo_import(&mut live, &to, &exported[0]).unwrap();
        transport::undo_import(&mut live, &to, &exported[0]).unwrap();
        assert_eq!(server.value(left), "0");
    }
}

#[test]
fn a_managed_server_lives_on_its_own() {
    let folder = folder();
    let local = backout_mariadb::local::Server::new(folder.path().join("db"), shim().unwrap());
    struct Remove(backout_mariadb::local::Server);
    impl Drop for Remove {
        fn drop(&mut self) {
            let _ = self.0.remove();
        }
    }
    let guard = Remove(local.clone());
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let options = backout_mariadb::local::Options {
        port,
        bind: "127.0.0.1".to_owned(),
        server_id: 7,
        pool_bytes: 32 << 20,
        time_zone: "+08:00".to_owned(),
        binlog_expire_s: 86_400,
        character_set: "utf8mb4".to_owned(),
        inherited: backout_mariadb::local::Inherited::default(),
    };
    let root = backout_mariadb::Password::new("it's \\ \"a\" # secret");
    assert!(matches!(
        local.start(&root, &|| false),
        Err(Error::State { .. })
    ));
    local.create(&options, &root).unwrap();
    local.create(&options, &root).unwrap();
    let endpoint = local.start(&root, &|| false).unwrap();
    let mut session = Session::open(&endpoint).unwrap();
    let row: (String, String, u64, u16) = session
        .first(
            "look",
            "SELECT @@global.time_zone, @@binlog_format, @@log_bin, @@port",
        )
        .unwrap()
        .unwrap();
    assert_eq!(row, ("+08:00".to_owned(), "ROW".to_owned(), 1, port));
    session.exec("make", "CREATE DATABASE a").unwrap();
    // Over TCP, and not without the password.
    let mut tcp = endpoint.clone();
    tcp.socket = None;
    Session::open(&tcp).unwrap();
    tcp.password = backout_mariadb::Password::new("");
    assert!(matches!(
        Session::open(&tcp),
        Err(Error::Unreachable { .. })
    ));
    let secret = "secret";
    for file in ["my.cnf", "local.json", "install.log", "run/spec.json"] {
        let text = std::fs::read_to_string(folder.path().join("db").join(file)).unwrap();
        assert!(!text.contains(secret), "{file}");
    }
    // Killed, it comes back by itself.
    let pid = match local.state().unwrap() {
        backout_shim::State::On { pid, .. } => pid,
        other => panic!("{other:?}"),
    };
    let raw = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    rustix::process::kill_process(raw, rustix::process::Signal::KILL).unwrap();
    let start = std::time::Instant::now();
    loop {
        if let backout_shim::State::On { pid: other, .. } = local.state().unwrap()
            && other != pid
            && Session::open(&endpoint).is_ok()
        {
            break;
        }
        assert!(start.elapsed() < PATIENCE);
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    local.stop().unwrap();
    local.stop().unwrap();
    assert!(Session::open(&endpoint).is_err());
    local.start(&root, &|| false).unwrap();
    drop(guard);
    assert!(!folder.path().join("db").exists());
    local.remove().unwrap();
}

#[test]
fn a_copy_whose_worker_is_killed_is_made_anew() {
    let server = PrivateServer::start(&[]);
    server.script(
        "CREATE DATABASE a;\nCREATE TABLE a.t (id INT PRIMARY KEY, v CHAR(250));\nINSERT INTO a.t \
         SELECT seq, 'x' FROM a.seq_1_to_20000;\n",
    );
    let folder = folder();
    let to = folder.path().join("copy");
    // Killed as soon as this is there.
    for sign in [
        "client.cnf",
        "data/ibdata1",
        "data/xtrabackup_checkpoints",
        "log.prepare",
    ] {
        let mut worker = std::process::Command::new(env!("CARGO_BIN_EXE_mariadb-shim"))
            .args(["--copy", &server.socket_url(), "a", "t"])
            .arg(&to)
            .spawn()
            .unwrap();
        let start = std::time::Instant::now();
        while !to.join(sign).exists() && worker.try_wait().unwrap().is_none() {
            assert!(start.elapsed() < PATIENCE);
            std::thread::yield_now();
        }
        worker.kill().unwrap();
        worker.wait().unwrap();
        while runs(&to) {
            assert!(start.elapsed() < PATIENCE);
            std::thread::yield_now();
        }
        assert!(backup::read(&to).unwrap().is_none(), "{sign}");
        // Nor does the server hold anything for it.
        server.script(
            "INSERT INTO a.t SELECT MAX(id) + 1, 'y' FROM a.t;\nALTER TABLE a.t COMMENT='z';\n",
        );
    }
    backup::tables(&endpoint(&server), &[name("a", "t")], &to, &GO_ON).unwrap();
    let scratch = scratch_on(folder.path(), &to);
    scratch.0.start(&SMALL, &|| false).unwrap();
    let mut session = Session::open(&scratch.0.endpoint()).unwrap();
    let rows: Option<u64> = session.first("count", "SELECT COUNT(*) FROM a.t").unwrap();
    assert_eq!(rows, Some(20_004));
}

/// A file system that is soon full.
struct Full(PathBuf);

impl Drop for Full {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg(&self.0).status();
    }
}

#[test]
fn a_full_file_system_is_told_of_and_nothing_is_left_behind() {
    let server = PrivateServer::start(&[]);
    server.script(
        "CREATE DATABASE a;\nCREATE TABLE a.t (id INT PRIMARY KEY, v CHAR(250));\nINSERT INTO a.t \
         SELECT seq, MD5(seq) FROM a.seq_1_to_100000;\n",
    );
    let folder = folder();
    let small = folder.path().join("small");
    std::fs::create_dir(&small).unwrap();
    let mounted = std::process::Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=4m,mode=0711", "none"])
        .arg(&small)
        .status()
        .unwrap();
    // As the other tests of file systems, this one needs root.
    assert!(mounted.success());
    let full = Full(small.clone());
    let to = small.join("to");
    let no_space = |result: Result<Manifest, Error>| {
        let e = result.unwrap_err();
        assert_eq!(e.code(), backout_core::code::Code::NoSpace, "{e}");
        assert!(backup::read(&to).unwrap().is_none());
        assert!(!runs(&to));
        backup::discard(&to).unwrap();
    };
    no_space(backup::tables(
        &endpoint(&server),
        &[name("a", "t")],
        &to,
        &GO_ON,
    ));
    no_space(backup::full(&endpoint(&server), &to, &GO_ON));
    let base = folder.path().join("base");
    backup::full(&endpoint(&server), &base, &GO_ON).unwrap();
    no_space(backup::extract(&[base], None, &to, &GO_ON));
    drop(full);
    server.script("INSERT INTO a.t SELECT MAX(id) + 1, 'y' FROM a.t;\n");
}
