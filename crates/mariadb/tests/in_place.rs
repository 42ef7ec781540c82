//! Rows taken back in tables that others use.

#![cfg(feature = "testing")]
#![expect(clippy::unwrap_used, reason = "helpers of the tests unwrap")]

mod support;

use std::cell::Cell;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use backout_core::code::Code;
use backout_history::{Direction, Item, NetFiles, Position};
use backout_mariadb::apply::{
    ApplyOptions, Done, Follow, InPlace, InPlaceOptions, Until, Work, events, in_place,
};
use backout_mariadb::testing::PrivateServer;
use backout_mariadb::{Result, Session, TableDef};
use mysql::prelude::Queryable;
use support::{Files, NEVER, def, end, endpoint, name, reduce, session};

/// Follows the log files, and lets something happen first.
struct Live<'a> {
    files: Files,
    first: Box<dyn FnMut() + 'a>,
}

impl<'a> Live<'a> {
    fn of(server: &PrivateServer) -> Self {
        Self {
            files: Files::of(server),
            first: Box::new(|| ()),
        }
    }

    fn then(server: &PrivateServer, first: impl FnMut() + 'a) -> Self {
        Self {
            files: Files::of(server),
            first: Box::new(first),
        }
    }
}

impl Follow for Live<'_> {
    fn follow(
        &mut self,
        from: &Position,
        to: &Position,
        each: &mut dyn FnMut(Item<'_>) -> Result<()>,
    ) -> Result<()> {
        (self.first)();
        self.files.read(from, to, each)
    }
}

fn shop() -> PrivateServer {
    let server = PrivateServer::start(&[]);
    server.script(
        "CREATE DATABASE d;\n\
         CREATE TABLE d.t (id INT PRIMARY KEY AUTO_INCREMENT, a INT, mail VARCHAR(40), UNIQUE (mail));\n\
         INSERT INTO d.t SELECT seq, seq, CONCAT('m', seq) FROM d.seq_1_to_2000;\n\
         CREATE TABLE d.o LIKE d.t;\nINSERT INTO d.o SELECT * FROM d.t",
    );
    server
}

const CHANGES: &str = "UPDATE d.t SET a = -a WHERE id % 3 = 0;\n\
     DELETE FROM d.t WHERE id % 7 = 0;\n\
     INSERT INTO d.t SELECT seq, 0, NULL FROM d.seq_5001_to_5100;\n\
     UPDATE d.t SET mail = 'x' WHERE id = 1;\n\
     UPDATE d.t SET mail = 'm1' WHERE id = 2;\n\
     UPDATE d.t SET mail = 'm2' WHERE id = 1";

fn all(server: &PrivateServer, table: &str) -> Vec<Vec<String>> {
    server.query(&format!("SELECT * FROM {table} ORDER BY id"))
}

struct Taken {
    net: NetFiles,
    def: TableDef,
    folder: tempfile::TempDir,
}

impl Taken {
    fn new(server: &PrivateServer, from: &Position, to: &Position) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let def = def(&mut session(server), "d.t");
        let net = reduce(server, &folder.path().join("net"), &[&def], from, to);
        Self { net, def, folder }
    }

    fn run(&self, session: &mut Session, until: Until<'_>) -> Result<Done> {
        self.run_with(session, until, &mut |_, _| (), &NEVER)
    }

    fn run_with(
        &self,
        session: &mut Session,
        until: Until<'_>,
        progress: &mut dyn FnMut(u64, u64),
        cancelled: &dyn Fn() -> bool,
    ) -> Result<Done> {
        let what = InPlace {
            net: &self.net,
            tables: &[(0, &self.def)],
            folder: self.folder.path(),
        };
        in_place(
            session,
            &what,
            until,
            &InPlaceOptions::default(),
            progress,
            cancelled,
        )
    }
}

#[test]
fn rows_come_back_once_and_nothing_else_happens() {
    let server = shop();
    server.script(
        "CREATE TABLE d.fired (a INT);\n\
         CREATE TRIGGER d.i BEFORE INSERT ON d.t FOR EACH ROW INSERT INTO d.fired VALUES (1);\n\
         CREATE TRIGGER d.u BEFORE UPDATE ON d.t FOR EACH ROW INSERT INTO d.fired VALUES (2);\n\
         CREATE TRIGGER d.x AFTER DELETE ON d.t FOR EACH ROW INSERT INTO d.fired VALUES (3)",
    );
    let from = end(&server);
    server.script(CHANGES);
    let to = end(&server);
    server.script("TRUNCATE TABLE d.fired");
    let next = "SELECT AUTO_INCREMENT FROM information_schema.TABLES WHERE TABLE_SCHEMA='d' AND TABLE_NAME='t'";
    let before = server.value(next);
    let taken = Taken::new(&server, &from, &to);
    let mut session = session(&server);
    let mut live = Live::of(&server);
    let until = Until::Now {
        position: to.clone(),
        follow: &mut live,
    };
    let done = taken.run(&mut session, until).unwrap();
    assert_eq!(done.rows, taken.net.summaries()[0].rows);
    let gtid = done.gtid.unwrap();
    assert_eq!(gtid, server.value("SELECT @@global.gtid_binlog_pos"));
    assert_eq!(all(&server, "d.t"), all(&server, "d.o"));
    assert_eq!(server.value("SELECT COUNT(*) FROM d.fired"), "0");
    assert_eq!(server.value(next), before);
    // As after an answer that got lost: nothing is left to do.
    let mut live = Live::of(&server);
    let again = taken
        .run(
            &mut session,
            Until::Now {
                position: to.clone(),
                follow: &mut live,
            },
        )
        .unwrap();
    assert_eq!((again.rows, again.gtid), (0, None));
    assert_eq!(all(&server, "d.t"), all(&server, "d.o"));

    // What was taken back can be taken back.
    let undo_from = to;
    let undo_to = end(&server);
    let undo = Taken::new(&server, &undo_from, &undo_to);
    let done = undo.run(&mut session, Until::Part).unwrap();
    assert!(done.rows > 0 && !done.already);
    assert_eq!(
        server.value("SELECT COUNT(*) FROM d.t WHERE id > 5000"),
        "100"
    );
    let again = undo.run(&mut session, Until::Part).unwrap();
    assert!(again.already && again.rows == 0);
}

/// Whatever others do meanwhile: the result is that of doing it alone at
/// `until`, and all that they did afterwards in the order that they did it.
#[test]
fn with_writers_the_result_is_that_of_a_serial_order() {
    for seed in 0..3u64 {
        let server = shop();
        let from = end(&server);
        server.script(CHANGES);
        let stop = AtomicBool::new(false);
        let written = AtomicU64::new(0);
        let (done, failures) = std::thread::scope(|scope| {
            let writers: Vec<_> = (0..2u64)
                .map(|w| {
                    let (server, stop, written) = (&server, &stop, &written);
                    scope.spawn(move || {
                        let mut conn = server.connect();
                        conn.query_drop("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED")
                            .unwrap();
                        let mut x = seed * 77 + w + 1;
                        let mut next = move |n: u64| {
                            x = x
                                .wrapping_mul(6_364_136_223_846_793_005)
                                .wrapping_add(1_442_695_040_888_963_407);
                            (x >> 33) % n
                        };
                        let mut failures = Vec::new();
                        while !stop.load(Ordering::Relaxed) {
                            // In the order of keys, so that writers do not meet crosswise.
                            let (a, b) = (1 + next(2500), 2501 + next(2700));
                            let statement = |key: u64, what: u64| match what {
                                0 => format!(
                                    "REPLACE INTO d.t VALUES ({key}, 7, CONCAT('w', {key}))"
                                ),
                                1 => format!("DELETE FROM d.t WHERE id = {key}"),
                                _ => format!("UPDATE d.t SET a = a + 1 WHERE id = {key}"),
                            };
                            let statements = [
                                "BEGIN".to_owned(),
                                statement(a, next(6)),
                                statement(b, next(3)),
                                "COMMIT".to_owned(),
                            ];
                            for sql in statements {
                                if let Err(e) = conn.query_drop(&sql) {
                                    failures.push(format!("{sql}: {e}"));
                                    conn.query_drop("ROLLBACK").unwrap();
                                    break;
                                }
                            }
                            written.fetch_add(1, Ordering::Relaxed);
                        }
                        failures
                    })
                })
                .collect();
            let wait = |n: u64| {
                let to = written.load(Ordering::Relaxed) + n;
                while written.load(Ordering::Relaxed) < to {
                    std::thread::yield_now();
                }
            };
            wait(50);
            let to = end(&server);
            let taken = Taken::new(&server, &from, &to);
            wait(50);
            let mut session = session(&server);
            let mut live = Live::of(&server);
            let done = taken.run(
                &mut session,
                Until::Now {
                    position: to,
                    follow: &mut live,
                },
            );
            wait(50);
            stop.store(true, Ordering::Relaxed);
            let failures: Vec<String> = writers
                .into_iter()
                .flat_map(|w| w.join().unwrap())
                .collect();
            (done, failures)
        });
        assert!(failures.is_empty(), "{failures:?}");
        let done = done.unwrap();
        let until = done.until.unwrap();
        let gtid = done.gtid.unwrap();
        // Where our transaction is in the log.
        let last = end(&server);
        let mut ours: Option<(Position, Position)> = None;
        let mut begun = None;
        let folder = tempfile::tempdir().unwrap();
        Files::of(&server)
            .read(&until, &last, &mut |item| {
                match item {
                    Item::Begin(group) => {
                        begun = (group.gtid.as_ref().unwrap().to_string() == gtid)
                            .then(|| group.start.clone());
                    }
                    Item::End(end) => {
                        if let Some(start) = begun.take() {
                            ours = Some((start, end.end.clone()));
                        }
                    }
                    _ => {}
                }
                Ok(())
            })
            .unwrap();
        let (start, finish) = ours.unwrap();
        let def = def(&mut session(&server), "d.t");
        let replay = |n: &str, from: &Position, to: &Position, folder: &Path| {
            let net = reduce(&server, &folder.join(n), &[&def], from, to);
            let target = name("d.o");
            let work = Work {
                net: &net,
                table: 0,
                direction: Direction::Forward,
                target: &target,
                def: &def,
            };
            let options = ApplyOptions {
                sessions: 1,
                setup: vec!["SET sql_log_bin=0".to_owned()],
                beside: None,
            };
            events(&endpoint(&server), &work, &options, &mut |_| (), &NEVER).unwrap();
        };
        replay("before", &until, &start, folder.path());
        replay("after", &finish, &last, folder.path());
        assert_eq!(all(&server, "d.o"), all(&server, "d.t"), "seed {seed}");
    }
}

#[test]
fn changes_between_the_reduction_and_the_lock_are_taken_back_as_well() {
    let server = shop();
    let from = end(&server);
    server.script(CHANGES);
    let to = end(&server);
    let taken = Taken::new(&server, &from, &to);
    // Touches rows of before (3, 7), and in the same transaction new ones (4).
    server.script("BEGIN;\nUPDATE d.t SET a = 99 WHERE id IN (3, 4);\nINSERT INTO d.t VALUES (7, 1, NULL);\nCOMMIT");
    let late = Cell::new(false);
    // And once more, a row that only then becomes one of them.
    let mut live = Live::then(&server, || {
        if !late.replace(true) {
            server
                .script("UPDATE d.t SET a = 98 WHERE id = 4;\nUPDATE d.t SET a = 97 WHERE id = 5");
        }
    });
    let mut session = session(&server);
    let done = taken
        .run(
            &mut session,
            Until::Now {
                position: to,
                follow: &mut live,
            },
        )
        .unwrap();
    assert!(done.rows > taken.net.summaries()[0].rows);
    // 5 was touched alone, after the end of what was taken back.
    server.script("UPDATE d.t SET a = 5 WHERE id = 5 AND a = 97");
    assert_eq!(all(&server, "d.t"), all(&server, "d.o"));
}

#[test]
fn a_key_that_others_take_meanwhile_makes_it_begin_anew() {
    let server = shop();
    let from = end(&server);
    server.script(CHANGES);
    let to = end(&server);
    let taken = Taken::new(&server, &from, &to);
    let n = Cell::new(0);
    // History is read after the locks: 14 is free then, and taken before it
    // comes back.
    let mut live = Live::then(&server, || {
        n.set(n.get() + 1);
        if n.get() == 1 {
            server.script("BEGIN;\nINSERT INTO d.t VALUES (14, 1, NULL);\nUPDATE d.t SET a = 50 WHERE id = 50;\nCOMMIT");
        }
    });
    let mut session = session(&server);
    taken
        .run(
            &mut session,
            Until::Now {
                position: to,
                follow: &mut live,
            },
        )
        .unwrap();
    assert_eq!(all(&server, "d.t"), all(&server, "d.o"));
}

#[test]
fn locks_of_others_pass_and_nothing_is_left() {
    let server = shop();
    let from = end(&server);
    server.script(CHANGES);
    let to = end(&server);
    let taken = Taken::new(&server, &from, &to);
    let changed = all(&server, "d.t");
    let mut other = server.connect();
    other.query_drop("BEGIN").unwrap();
    other
        .query_drop("UPDATE d.t SET a = 1 WHERE id = 3")
        .unwrap();
    let mut session = session(&server);
    let tries = Cell::new(0);
    // Give up sooner than the patience for locks.
    let error = taken
        .run_with(&mut session, Until::Part, &mut |_, _| (), &|| {
            tries.set(tries.get() + 1);
            tries.get() > 20
        })
        .unwrap_err();
    assert_eq!(error.code(), Code::Cancelled, "{error}");
    // Its locks are gone: all else can be changed at once.
    let mut writer = server.connect();
    writer.query_drop("SET innodb_lock_wait_timeout=0").unwrap();
    writer
        .query_drop("UPDATE d.t SET a = a WHERE id <> 3 AND id > 3")
        .unwrap();
    other.query_drop("ROLLBACK").unwrap();
    assert_eq!(all(&server, "d.t"), changed);
    taken.run(&mut session, Until::Part).unwrap();
    assert_eq!(all(&server, "d.t"), all(&server, "d.o"));
}

#[test]
fn rows_that_changed_since_are_refused_and_nothing_is_left() {
    let server = shop();
    let from = end(&server);
    server.script(CHANGES);
    let to = end(&server);
    let taken = Taken::new(&server, &from, &to);
    let mut session = session(&server);
    for change in [
        "UPDATE d.t SET a = 1000 WHERE id = 3",
        "DELETE FROM d.t WHERE id = 5001",
        "INSERT INTO d.t VALUES (7, 1, NULL)",
    ] {
        server.script(&format!("SET sql_log_bin=0;\n{change}"));
        let changed = all(&server, "d.t");
        let error = taken.run(&mut session, Until::Part).unwrap_err();
        assert_eq!(error.code(), Code::RowsChanged, "{error}");
        // Not in the history either: it cannot be told what it was before.
        let mut live = Live::of(&server);
        let until = Until::Now {
            position: to.clone(),
            follow: &mut live,
        };
        let error = taken.run(&mut session, until).unwrap_err();
        assert_eq!(error.code(), Code::RowsChanged, "{error}");
        assert_eq!(all(&server, "d.t"), changed);
        server.script("SET sql_log_bin=0;\nUPDATE d.t SET a = -3 WHERE id = 3;\nREPLACE INTO d.t VALUES (5001, 0, NULL);\nDELETE FROM d.t WHERE id = 7");
    }
    server.script("ALTER TABLE d.t ADD COLUMN z INT");
    let mut live = Live::of(&server);
    let error = taken
        .run(
            &mut session,
            Until::Now {
                position: to,
                follow: &mut live,
            },
        )
        .unwrap_err();
    assert_eq!(error.code(), Code::RowsChanged, "{error}");
}

#[test]
fn a_cancelled_one_and_a_killed_server_leave_nothing() {
    let mut server = shop();
    let from = end(&server);
    server.script(CHANGES);
    let to = end(&server);
    let taken = Taken::new(&server, &from, &to);
    let changed = all(&server, "d.t");
    // Each moment at which it is asked.
    let mut moments = 0;
    for stop in 0.. {
        let asked = Cell::new(0);
        let mut session = session(&server);
        let result = taken.run_with(&mut session, Until::Part, &mut |_, _| (), &|| {
            asked.set(asked.get() + 1);
            asked.get() > stop
        });
        match result {
            Ok(_) => break,
            Err(e) => assert_eq!(e.code(), Code::Cancelled, "{e}"),
        }
        assert_eq!(all(&server, "d.t"), changed);
        moments += 1;
    }
    assert!(moments > 5);
    assert_eq!(all(&server, "d.t"), all(&server, "d.o"));
    // Back to before, then the server dies at each moment that is told of.
    let redo = Taken::new(&server, &to, &end(&server));
    redo.run(&mut session(&server), Until::Part).unwrap();
    assert_eq!(all(&server, "d.t"), changed);
    for moment in [0, 3, 5] {
        let mut session = session(&server);
        let mut told = 0;
        let error = taken
            .run_with(
                &mut session,
                Until::Part,
                &mut |_, _| {
                    if told == moment {
                        server.kill();
                    }
                    told += 1;
                },
                &NEVER,
            )
            .unwrap_err();
        assert!(error.is_passing(), "{error}");
        server.restart();
        assert_eq!(all(&server, "d.t"), changed);
    }
}

#[test]
fn what_cannot_be_taken_back_in_place_is_refused() {
    let server = PrivateServer::start(&["--slave-run-triggers-for-rbr=YES"]);
    for (table, more) in [
        ("CREATE TABLE d.t (id INT)", ""),
        ("CREATE TABLE d.t (id INT PRIMARY KEY) ENGINE=MyISAM", ""),
        (
            "CREATE TABLE d.t (id INT PRIMARY KEY) WITH SYSTEM VERSIONING",
            "",
        ),
        (
            "CREATE TABLE d.t (id INT PRIMARY KEY)",
            ";\nCREATE TRIGGER d.tr BEFORE DELETE ON d.t FOR EACH ROW SET @a = 1",
        ),
    ] {
        server.script(&format!(
            "DROP DATABASE IF EXISTS d;\nCREATE DATABASE d;\n{table}{more}"
        ));
        let from = end(&server);
        server.script("INSERT INTO d.t (id) VALUES (1)");
        let taken = Taken::new(&server, &from, &end(&server));
        let error = taken.run(&mut session(&server), Until::Part).unwrap_err();
        assert_eq!(error.code(), Code::TableUnsupported, "{error}");
        assert_eq!(server.value("SELECT COUNT(*) FROM d.t"), "1");
    }
}

#[test]
fn foreign_keys_hold() {
    let server = PrivateServer::start(&[]);
    server.script("CREATE DATABASE d;\nCREATE TABLE d.t (id INT PRIMARY KEY)");
    let from = end(&server);
    server.script("INSERT INTO d.t VALUES (1)");
    let to = end(&server);
    server.script(
        "CREATE TABLE d.child (id INT PRIMARY KEY, t INT, FOREIGN KEY (t) REFERENCES d.t (id));\n\
         INSERT INTO d.child VALUES (1, 1)",
    );
    let taken = Taken::new(&server, &from, &to);
    let error = taken.run(&mut session(&server), Until::Part).unwrap_err();
    assert_eq!(error.code(), Code::DatabaseRefused, "{error}");
    assert!(!error.is_passing());
    assert_eq!(server.value("SELECT COUNT(*) FROM d.t"), "1");
}
