//! A copy of a whole server is brought forward through its archived history,
//! by real servers, and is what the original was.

#![cfg(feature = "testing")]
#![expect(clippy::unwrap_used, reason = "helpers of the tests unwrap")]

mod support;

use std::path::{Path, PathBuf};

use backout_history::Position;
use backout_history::archive::Archive;
use backout_history::change::Micros;
use backout_mariadb::backup;
use backout_mariadb::replay::{Options, Replayed, Target, replay};
use backout_mariadb::scratch::{self, Scratch};
use backout_mariadb::testing::{PrivateServer, shim};
use backout_mariadb::{Error, Session};
use tempfile::TempDir;

use support::{end, endpoint, name};

const SMALL: scratch::Options = scratch::Options {
    pool_bytes: 64 << 20,
    redo_bytes: 32 << 20,
    lower_case_table_names: 0,
};

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

/// What was taken of a server: a full backup, and what it wrote until now.
struct Taken {
    folder: TempDir,
    backup: PathBuf,
    archive: Archive,
    from: Position,
}

impl Taken {
    /// Takes a backup.
    fn of(server: &PrivateServer) -> Self {
        let folder = folder();
        let backup = folder.path().join("base");
        let options = backup::Options {
            threads: 1,
            beside: None,
            cancelled: &|| false,
        };
        let manifest = backup::full(&endpoint(server), &backup, &options).unwrap();
        let archive = Archive::local(&folder.path().join("history")).unwrap();
        Self {
            from: manifest.position.unwrap(),
            folder,
            backup,
            archive,
        }
    }

    /// Archives what the server has written; returns where that ends.
    fn catch_up(&self, server: &PrivateServer) -> Position {
        let end = end(server);
        let clock = || Micros(0);
        backout_history::archive::pull::pull(
            &self.archive,
            &endpoint(server).pull_from(4711),
            &clock,
            &|| self.archive.end().unwrap().is_some_and(|at| at >= end),
        )
        .unwrap();
        end
    }

    /// A server of its own on the backup.
    fn server(&self, name: &str) -> Copy {
        let copy = self.folder.path().join(name);
        let options = backup::Options {
            threads: 1,
            beside: None,
            cancelled: &|| false,
        };
        backup::extract(std::slice::from_ref(&self.backup), None, &copy, &options).unwrap();
        let run = self.folder.path().join(format!("run-{name}"));
        let scratch = Scratch::new(run, backup::datadir(&copy), shim().unwrap());
        scratch.start(&SMALL, &|| false).unwrap();
        Copy(scratch)
    }
}

/// A scratch server that ends with the test.
struct Copy(Scratch);

impl Drop for Copy {
    fn drop(&mut self) {
        let _ = self.0.discard();
    }
}

impl Copy {
    fn replay(&self, taken: &Taken, until: &Position) -> Result<Replayed, Error> {
        // Accounts are part of history.
        self.session()
            .exec("let accounts be", "FLUSH PRIVILEGES")
            .unwrap();
        let endpoint = self.0.endpoint();
        replay(
            &Target {
                endpoint: &endpoint,
                datadir: self.0.datadir(),
            },
            &taken.archive,
            &taken.from,
            until,
            &mut Options {
                tables: None,
                cancelled: &|| false,
                progress: &mut |_| {},
            },
        )
    }

    fn session(&self) -> Session {
        Session::open(&self.0.endpoint()).unwrap()
    }

    fn value(&self, sql: &str) -> String {
        self.session()
            .first("look", sql)
            .unwrap()
            .unwrap_or_default()
    }
}

/// What is compared: everything that a session sees of the databases `a` and
/// `b` and of accounts.
const SEEN: &[&str] = &[
    "SELECT COALESCE(GROUP_CONCAT(id, ':', v, ':', COALESCE(w, '-') ORDER BY id), '') FROM a.parent",
    "SELECT COALESCE(GROUP_CONCAT(id, ':', COALESCE(pid, '-') ORDER BY id), '') FROM a.child",
    "SELECT COALESCE(GROUP_CONCAT(TABLE_SCHEMA, '.', TABLE_NAME, ' ', TABLE_TYPE ORDER BY 1), '') \
     FROM information_schema.TABLES WHERE TABLE_SCHEMA IN ('a', 'b')",
    "SELECT COALESCE(GROUP_CONCAT(TABLE_NAME, '.', COLUMN_NAME, ' ', COLUMN_TYPE ORDER BY TABLE_NAME, \
     ORDINAL_POSITION), '') FROM information_schema.COLUMNS WHERE TABLE_SCHEMA IN ('a', 'b')",
    "SELECT COALESCE(GROUP_CONCAT(ROUTINE_NAME, ' ', MD5(ROUTINE_DEFINITION) ORDER BY 1), '') \
     FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA IN ('a', 'b')",
    "SELECT COALESCE(GROUP_CONCAT(TRIGGER_NAME ORDER BY 1), '') \
     FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA IN ('a', 'b')",
    "SELECT COALESCE(GROUP_CONCAT(User, '@', Host ORDER BY 1), '') FROM mysql.global_priv",
];

fn seen(mut value: impl FnMut(&str) -> String) -> Vec<String> {
    SEEN.iter().map(|sql| value(sql)).collect()
}

const BEFORE: &str = "CREATE DATABASE a; \
    CREATE TABLE a.parent (id INT PRIMARY KEY, v VARCHAR(400)); \
    CREATE TABLE a.child (id INT PRIMARY KEY, pid INT, \
        FOREIGN KEY (pid) REFERENCES a.parent (id) ON DELETE CASCADE ON UPDATE CASCADE); \
    INSERT INTO a.parent VALUES (1, REPEAT('x', 300)), (2, 'two'), (3, 'three'); \
    INSERT INTO a.child VALUES (10, 1), (11, 1), (12, 2), (13, 3)";

/// Everything that the net effect of history cannot tell.
const STORY: &str = "DELETE FROM a.parent WHERE id = 1; \
    UPDATE a.parent SET id = 20 WHERE id = 2; \
    FLUSH BINARY LOGS; \
    ALTER TABLE a.parent ADD w INT DEFAULT 7; \
    CREATE DATABASE b; \
    CREATE TABLE b.seen (n INT AUTO_INCREMENT PRIMARY KEY, id INT); \
    CREATE TRIGGER a.saw AFTER INSERT ON a.parent FOR EACH ROW INSERT INTO b.seen (id) VALUES (NEW.id); \
    CREATE VIEW b.both AS SELECT p.id, c.id AS child FROM a.parent p JOIN a.child c ON c.pid = p.id; \
    CREATE PROCEDURE b.grow(IN n INT) INSERT INTO a.parent VALUES (n, 'grown', n); \
    CALL b.grow(30); \
    CREATE USER late@localhost IDENTIFIED BY 'p'; GRANT SELECT ON a.* TO late@localhost; \
    SET TIMESTAMP = 1000000000; CREATE TABLE b.stamped (at TIMESTAMP DEFAULT CURRENT_TIMESTAMP, n INT); \
    INSERT INTO b.stamped (n) VALUES (1); SET TIMESTAMP = 0; \
    XA START 'one'; INSERT INTO a.parent VALUES (40, 'xa', 40); XA END 'one'; XA PREPARE 'one'";

#[test]
fn a_copy_is_brought_forward_as_the_original_went() {
    let server = PrivateServer::start(&["--log-bin-compress=1", "--log-bin-compress-min-len=10"]);
    server.script(BEFORE);
    let taken = Taken::of(&server);
    server.script(STORY);
    let mark = end(&server);
    let truth = seen(|sql| server.value(sql));
    let stamped = server.value("SELECT UNIX_TIMESTAMP(at) FROM b.stamped");
    // What lies behind the mark.
    server.script(
        "XA COMMIT 'one'; DROP TABLE a.child; DROP USER late@localhost; FLUSH BINARY LOGS; DROP DATABASE b",
    );
    let gone = end(&server);
    let truth_gone = server.value("SELECT GROUP_CONCAT(id ORDER BY id) FROM a.parent");
    taken.catch_up(&server);

    let copy = taken.server("mark");
    let replayed = copy.replay(&taken, &mark).unwrap();
    assert_eq!(replayed.at, mark);
    assert!(replayed.groups > 10, "{replayed:?}");
    assert_eq!(seen(|sql| copy.value(sql)), truth);
    assert_eq!(
        copy.value("SELECT UNIX_TIMESTAMP(at) FROM b.stamped"),
        stamped
    );
    assert_eq!(stamped, "1000000000");
    // It was prepared before the mark, and is so still.
    let prepared: Vec<(i64, i64, i64, String)> =
        copy.session().query("look", "XA RECOVER").unwrap();
    assert_eq!(prepared.len(), 1, "{prepared:?}");
    // Nothing is left of the replay.
    assert_eq!(copy.value("SELECT COUNT(*) FROM mysql.gtid_slave_pos"), "0");
    assert!(strays(copy.0.datadir()).is_empty());

    // The rows of a transaction that was prepared before are there once it
    // commits, and what was dropped is gone.
    let copy = taken.server("gone");
    copy.replay(&taken, &gone).unwrap();
    assert_eq!(
        copy.value("SELECT GROUP_CONCAT(id ORDER BY id) FROM a.parent"),
        truth_gone
    );
    assert!(truth_gone.ends_with(",40"), "{truth_gone}");
    assert_eq!(
        copy.value("SELECT COUNT(*) FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = 'b'"),
        "0"
    );
}

/// Files of a relay log.
fn strays(datadir: &Path) -> Vec<String> {
    std::fs::read_dir(datadir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with("relay-") && !name.starts_with("relay-log"))
        .collect()
}

/// Each instant between two transactions is a state of its own.
#[test]
fn history_ends_at_the_byte() {
    let server = PrivateServer::start(&[]);
    server.script("CREATE DATABASE a; CREATE TABLE a.parent (id INT PRIMARY KEY)");
    let taken = Taken::of(&server);
    let mut marks = vec![end(&server)];
    for id in 1..=3 {
        server.script(&format!("INSERT INTO a.parent VALUES ({id})"));
        marks.push(end(&server));
    }
    taken.catch_up(&server);
    for (rows, mark) in marks.iter().enumerate() {
        let copy = taken.server(&format!("at-{rows}"));
        let replayed = copy.replay(&taken, mark).unwrap();
        assert_eq!(replayed.groups, rows as u64);
        let is = copy.value("SELECT COUNT(*) FROM a.parent");
        assert_eq!(is, rows.to_string());
    }
}

#[test]
fn a_transaction_prepared_before_the_backup_is_kept() {
    let server = PrivateServer::start(&[]);
    server.script(
        "CREATE DATABASE a; CREATE TABLE a.parent (id INT PRIMARY KEY); INSERT INTO a.parent VALUES (1)",
    );
    let taken_before = Taken::of(&server);
    server
        .script("XA START 'one'; INSERT INTO a.parent VALUES (2); XA END 'one'; XA PREPARE 'one'");
    taken_before.catch_up(&server);
    let taken = Taken::of(&server);
    server.script("INSERT INTO a.parent VALUES (3)");
    server.script("XA COMMIT 'one'");
    let mark = end(&server);
    // The archive begins before the backup, as it does for an instance.
    taken.catch_up(&server);
    let copy = taken.server("copy");
    copy.replay(&taken, &mark).unwrap();
    assert_eq!(
        copy.value("SELECT GROUP_CONCAT(id ORDER BY id) FROM a.parent"),
        "1,2,3"
    );
}

/// A base that is not of where history begins is found out.
#[test]
fn what_does_not_fit_ends_the_replay() {
    let server = PrivateServer::start(&[]);
    server.script("CREATE DATABASE a; CREATE TABLE a.parent (id INT PRIMARY KEY, v INT)");
    let taken = Taken::of(&server);
    server.script("INSERT INTO a.parent VALUES (1, 1)");
    server.script("UPDATE a.parent SET v = 2 WHERE id = 1");
    let mark = taken.catch_up(&server);
    let copy = taken.server("copy");
    copy.session()
        .exec("spoil", "INSERT INTO a.parent VALUES (1, 9)")
        .unwrap();
    let error = copy.replay(&taken, &mark).unwrap_err();
    assert_eq!(error.number(), Some(1062), "{error}");
    // It asks whether it is wanted.
    let copy = taken.server("unwanted");
    let endpoint = copy.0.endpoint();
    let stopped = replay(
        &Target {
            endpoint: &endpoint,
            datadir: copy.0.datadir(),
        },
        &taken.archive,
        &taken.from,
        &mark,
        &mut Options {
            tables: None,
            cancelled: &|| true,
            progress: &mut |_| {},
        },
    );
    assert!(matches!(stopped, Err(Error::Cancelled)), "{stopped:?}");
}

/// Some tables, with what cascades among them; the rest of history is left out.
#[test]
fn some_tables_are_brought_forward_alone() {
    let server = PrivateServer::start(&[]);
    server.script(BEFORE);
    server.script("CREATE TABLE a.other (id INT PRIMARY KEY)");
    let taken = Taken::of(&server);
    server.script(STORY);
    let mark = taken.catch_up(&server);
    let tables = [name("a.parent"), name("a.child")];
    let copy = taken.folder.path().join("some");
    let options = backup::Options {
        threads: 1,
        beside: None,
        cancelled: &|| false,
    };
    backup::extract(
        std::slice::from_ref(&taken.backup),
        Some(&tables),
        &copy,
        &options,
    )
    .unwrap();
    let run = taken.folder.path().join("run-some");
    let copy = Copy(Scratch::new(run, backup::datadir(&copy), shim().unwrap()));
    copy.0.start(&SMALL, &|| false).unwrap();
    let endpoint = copy.0.endpoint();
    replay(
        &Target {
            endpoint: &endpoint,
            datadir: copy.0.datadir(),
        },
        &taken.archive,
        &taken.from,
        &mark,
        &mut Options {
            tables: Some(&tables),
            cancelled: &|| false,
            progress: &mut |_| {},
        },
    )
    .unwrap();
    for sql in &SEEN[..2] {
        assert_eq!(copy.value(sql), server.value(sql), "{sql}");
    }
}
