//! What tables and databases are made of, beside plain rows, taken back on real
//! servers.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use std::time::{Duration, Instant};

use backout_core::outcome::Outcome;
use backout_databases::model::{Copying, Renamed, Road, Strategy};
use backout_databases::{Found, Proposal, RewindRequest, RewindWhat, RollbackRequest, Until};
use backout_history::TableName;
use backout_jobs::{JobView, Worker};
use backout_mariadb::testing::PrivateServer;
use tempfile::TempDir;

use common::{Stage, caller, owner, table, tables_at};

/// A server under management, with a worker.
struct Scene {
    server: PrivateServer,
    stage: Stage,
    worker: Worker,
    _folder: TempDir,
}

impl Scene {
    async fn new(files: bool) -> Self {
        Self::on(PrivateServer::start(&[]), files).await
    }

    async fn on(server: PrivateServer, files: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut stage = Stage::open(folder.path());
        stage
            .manage(&server.url(), files.then(|| server.datadir()))
            .await;
        let worker = stage.worker().await;
        Self {
            server,
            stage,
            worker,
            _folder: folder,
        }
    }

    /// The transaction that was committed last: what comes later is undone.
    fn mark(&self) -> Until {
        let gtid = self.server.value("SELECT @@gtid_binlog_pos");
        Until::Gtid(gtid.parse().unwrap())
    }

    fn all(&self, sql: &str) -> String {
        let lines: Vec<String> = self
            .server
            .query(sql)
            .into_iter()
            .map(|row| row.join("|"))
            .collect();
        lines.join("\n")
    }

    async fn proposed(&self, request: &RollbackRequest) -> (Proposal, Option<Found>) {
        let databases = &self.stage.databases;
        databases.propose_rollback(&owner(), request).await.unwrap()
    }

    async fn ended(&self, asked: backout_databases::Asked) -> JobView {
        let job = self.stage.wait(&asked.job).await;
        assert_eq!(job.outcome, Some(Outcome::Applied), "{:?}", job.error);
        job
    }

    async fn back(&self, request: RollbackRequest) -> JobView {
        let databases = &self.stage.databases;
        let mut asked = databases.rollback(&caller(), vec![request]).await.unwrap();
        self.ended(asked.pop().unwrap()).await
    }

    async fn in_place(&self, until: Until, name: &str) -> JobView {
        let request = RewindRequest {
            instance: "shop".to_owned(),
            what: RewindWhat::Until {
                until,
                tables: vec![table(name)],
            },
            torn: false,
        };
        let databases = &self.stage.databases;
        let asked = databases.rewind(&caller(), request).await.unwrap();
        self.ended(asked).await
    }
}

fn one_table(until: &Until, from: &str, to: &str, road: Option<Road>) -> RollbackRequest {
    RollbackRequest {
        until: until.clone(),
        road,
        ..tables_at(0, &[(from, to)])
    }
}

/// A virtual column of the AUTO_INCREMENT column is computed, when a row is
/// inserted, before that has its value.
#[tokio::test(flavor = "multi_thread")]
async fn virtual_columns_may_differ_in_history() {
    let scene = Scene::new(true).await;
    let server = &scene.server;
    server.script(
        "CREATE DATABASE d;\n\
         CREATE TABLE d.t (id INT PRIMARY KEY AUTO_INCREMENT, a INT, twice INT AS (id * 2) VIRTUAL, \
           b INT AS (a + 1) STORED, c INT AS (a + 2) VIRTUAL, KEY (c)) ENGINE=InnoDB;\n\
         INSERT INTO d.t (a) SELECT seq FROM d.seq_1_to_50;\n",
    );
    scene.stage.back_up(&server.url()).await;
    server.script(
        "INSERT INTO d.t (a) VALUES (100), (101);\nUPDATE d.t SET a = a + 1 WHERE id > 45;\n",
    );
    let rows = |name: &str| scene.all(&format!("SELECT * FROM {name} ORDER BY id"));
    let before = rows("d.t");
    let then = scene.mark();
    server.script(
        "INSERT INTO d.t (a) VALUES (7), (8), (9);\nUPDATE d.t SET a = -a WHERE id > 40;\n\
         DELETE FROM d.t WHERE a = -7 OR id < 5;\n",
    );
    let after = rows("d.t");
    for (road, to) in [(Road::Undo, "d.undo"), (Road::Restore, "d.restored")] {
        scene.back(one_table(&then, "d.t", to, Some(road))).await;
        assert_eq!(rows(to), before, "{road:?}");
        let by_index = format!("SELECT COUNT(*) FROM {to} FORCE INDEX (c) WHERE c = 103");
        assert_eq!(server.value(&by_index), "1", "{road:?}");
    }
    assert_eq!(rows("d.t"), after);
    let job = scene.in_place(then, "d.t").await;
    assert_eq!(rows("d.t"), before);
    let undo = scene.stage.databases.undo(&caller(), &job.id).await;
    scene.ended(undo.unwrap()).await;
    assert_eq!(rows("d.t"), after);
    scene.worker.stop().await;
}

fn whole_database(until: &Until, from: &str, to: &str, road: Option<Road>) -> RollbackRequest {
    RollbackRequest {
        until: until.clone(),
        road,
        strategy: Strategy::Full,
        databases: vec![Renamed {
            from: from.to_owned(),
            to: to.to_owned(),
        }],
        ..tables_at(0, &[])
    }
}

/// A shop with everything that is defined beside its tables.
const BESIDE: &str = "CREATE DATABASE o;
CREATE TABLE o.rates (id INT PRIMARY KEY, rate DECIMAL(6,3)) ENGINE=InnoDB;
INSERT INTO o.rates VALUES (1, 1.1), (2, 2.2);
CREATE DATABASE `a-1` CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci;
USE `a-1`;
CREATE TABLE customers (id INT PRIMARY KEY, name VARCHAR(40) NOT NULL) ENGINE=InnoDB;
CREATE TABLE orders (id INT PRIMARY KEY AUTO_INCREMENT, customer INT, total INT, KEY (customer), CONSTRAINT of_customer FOREIGN KEY (customer) REFERENCES customers (id)) ENGINE=InnoDB;
CREATE TABLE log (id INT PRIMARY KEY AUTO_INCREMENT, what VARCHAR(60)) ENGINE=InnoDB;
CREATE TABLE strays (id INT PRIMARY KEY, customer INT, KEY (customer), CONSTRAINT stray FOREIGN KEY (customer) REFERENCES customers (id), CONSTRAINT of_rate FOREIGN KEY (id) REFERENCES o.rates (id)) ENGINE=InnoDB;
INSERT INTO customers SELECT seq, CONCAT('c', seq) FROM seq_1_to_30;
INSERT INTO orders (customer, total) SELECT 1 + seq % 30, seq FROM seq_1_to_300;
SET foreign_key_checks=0;
INSERT INTO strays VALUES (1, 4711);
SET foreign_key_checks=1;
CREATE FUNCTION twice(x INT) RETURNS INT DETERMINISTIC RETURN x * 2;
CREATE FUNCTION orders_of(c INT) RETURNS INT READS SQL DATA RETURN (SELECT COUNT(*) FROM `a-1`.orders o WHERE o.customer = c);
CREATE PROCEDURE buy(c INT) MODIFIES SQL DATA BEGIN /* into `a-1`.orders */ INSERT INTO orders (customer, total) VALUES (c, `a-1`.twice(4)); END;
CREATE PROCEDURE uncertain() BEGIN PREPARE s FROM 'SELECT * FROM `a-1`.orders'; EXECUTE s; END;
CREATE VIEW a_totals AS SELECT * FROM z_sums WHERE twice(total) > 0;
";

const BESIDE_MORE: &str = "USE `a-1`;
CREATE SQL SECURITY INVOKER VIEW z_sums AS SELECT customer, SUM(total) AS total FROM orders GROUP BY customer;
CREATE OR REPLACE VIEW a_totals AS SELECT * FROM z_sums WHERE twice(total) > 0;
CREATE DEFINER=`a-1`@`%` VIEW `with rates` AS SELECT orders.id, rates.rate, 'a-1.x' AS t FROM orders JOIN o.rates ON rates.id = orders.id;
CREATE VIEW uncertain AS SELECT `a-1`.id FROM customers `a-1` JOIN o.rates USING (id);
CREATE TRIGGER second BEFORE INSERT ON orders FOR EACH ROW SET NEW.total = NEW.total + 1;
CREATE TRIGGER `a-1`.a_first BEFORE INSERT ON `a-1`.orders FOR EACH ROW PRECEDES second BEGIN SET NEW.total = NEW.total * 10; INSERT INTO `a-1`.log (what) VALUES (CONCAT('bought for ', NEW.total)); END;
SET time_zone='+03:00';
CREATE EVENT clean ON SCHEDULE EVERY 1 SECOND STARTS '2026-01-01 00:00:00' COMMENT 'ENABLE' DO DELETE FROM log;
SET time_zone=DEFAULT;
CREATE SEQUENCE numbers;
ALTER TABLE log ADD COLUMN number INT DEFAULT NEXTVAL(numbers);
SET sql_mode=ORACLE;
CREATE PACKAGE tools AS FUNCTION nine RETURN INT; END;
CREATE PACKAGE BODY tools AS FUNCTION nine RETURN INT AS BEGIN RETURN 9; END; END;
SET sql_mode=DEFAULT;
CREATE USER shopper@'%';
GRANT SELECT ON `a-1`.* TO shopper@'%';
";

/// What is defined in a database, its name left out.
fn defined_in(scene: &Scene, database: &str) -> String {
    let one = |what: &str| {
        scene
            .all(&what.replace("{}", database))
            .replace(database, "a-1")
    };
    [
        one("SELECT TABLE_NAME, VIEW_DEFINITION, SECURITY_TYPE, DEFINER FROM information_schema.VIEWS WHERE TABLE_SCHEMA = '{}' ORDER BY 1"),
        one("SELECT TRIGGER_NAME, EVENT_OBJECT_TABLE, ACTION_ORDER, ACTION_STATEMENT, DEFINER, SQL_MODE FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = '{}' ORDER BY 1"),
        one("SELECT ROUTINE_TYPE, ROUTINE_NAME, ROUTINE_DEFINITION, DEFINER, SQL_MODE FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = '{}' ORDER BY 1, 2"),
        one("SELECT EVENT_NAME, EVENT_DEFINITION, STATUS, TIME_ZONE, STARTS, EVENT_COMMENT FROM information_schema.EVENTS WHERE EVENT_SCHEMA = '{}' ORDER BY 1"),
        one("SELECT CONSTRAINT_NAME, TABLE_NAME, REFERENCED_TABLE_NAME, DELETE_RULE, UNIQUE_CONSTRAINT_SCHEMA FROM information_schema.REFERENTIAL_CONSTRAINTS WHERE CONSTRAINT_SCHEMA = '{}' ORDER BY 1"),
    ]
    .join("\n--\n")
    // Backticks are where we write them.
    .replace('`', "")
}

async fn a_database_comes_back_with_all_that_is_in_it(files: bool, road: Road) {
    let scene = Scene::new(files).await;
    let server = &scene.server;
    server.script(&BESIDE.replace(
        "CREATE VIEW a_totals AS SELECT * FROM z_sums WHERE twice(total) > 0;\n",
        "",
    ));
    server.script(BESIDE_MORE);
    if road == Road::Restore {
        scene.stage.back_up(&server.url()).await;
    }
    let orders =
        |database: &str| scene.all(&format!("SELECT * FROM `{database}`.orders ORDER BY id"));
    server.script("USE `a-1`;\nCALL buy(3);\n");
    let (rows, then) = (orders("a-1"), scene.mark());
    server.script(
        "USE `a-1`;\nUPDATE orders SET total = 0;\nDROP PROCEDURE uncertain;\n\
         CREATE PROCEDURE later() DELETE FROM log;\nCREATE FUNCTION gone() RETURNS INT NO SQL RETURN 5;\nDROP FUNCTION gone;\n",
    );
    let request = whole_database(&then, "a-1", "b2", Some(road));
    let (proposal, _) = scene.proposed(&request).await;
    assert!(proposal.preflight.passed(), "{:?}", proposal.preflight);
    let told: Vec<&str> = (proposal.preflight.warnings.iter())
        .map(|w| w.message.as_str())
        .collect();
    let told = told.join("\n");
    for wanted in [
        "b2 will be without view uncertain: something else in it is called a-1 as well",
        "b2 will be without procedure later: it was changed since",
        "b2 will be without procedure uncertain: it was changed since",
        "b2 will be without function gone: it was changed since",
        "b2 will be without sequence numbers",
        "the events of b2 will be there and not run",
        "'shopper'@'%' have rights in a-1",
        "b2.log will take its numbers from the sequence of a-1.log",
        "b2.strays will be without foreign key of_rate to o.rates",
    ] {
        assert!(told.contains(wanted), "{wanted}\n{told}");
    }
    let job = scene.back(request).await;
    assert_eq!(orders("b2"), rows);
    // What was left out, made there as it is in the original, and the rest are
    // all that is defined.
    let mut wanted = defined_in(&scene, "a-1");
    assert!(wanted.contains("|ENABLED|"), "{wanted}");
    wanted = wanted.replace("|ENABLED|", "|DISABLED|");
    let lines = |text: &str| -> Vec<String> {
        let left = ["uncertain|", "PROCEDURE|later|", "of_rate|", "stray|"];
        text.lines()
            .filter(|line| !left.iter().any(|left| line.starts_with(left)))
            .map(str::to_owned)
            .collect()
    };
    let made = defined_in(&scene, "b2");
    assert_eq!(lines(&made), lines(&wanted));
    assert_eq!(lines(&made).len(), made.lines().count(), "{made}");
    // They work, on what is there.
    server.script("USE b2;\nCALL buy(7);\n");
    assert_eq!(
        server.value("SELECT total FROM b2.orders ORDER BY id DESC LIMIT 1"),
        "81"
    );
    assert_eq!(server.value("SELECT b2.orders_of(7)"), "11");
    assert_eq!(
        server.value("SELECT COUNT(*) FROM `a-1`.log WHERE what = 'bought for 80'"),
        "1"
    );
    assert_eq!(
        server.value("SELECT COUNT(*) FROM b2.log WHERE what = 'bought for 80'"),
        "2"
    );
    let orphan =
        common::session(server).exec("test", "INSERT INTO b2.orders VALUES (9999, 4711, 1)");
    assert!(orphan.is_err());
    assert_eq!(server.value("SELECT COUNT(*) FROM b2.a_totals"), "30");

    // What was made goes again, whole.
    let again = scene
        .back(whole_database(&then, "a-1", "b3", Some(road)))
        .await;
    assert_eq!(lines(&defined_in(&scene, "b3")), lines(&made));
    let undo = scene.stage.databases.undo(&caller(), &again.id).await;
    scene.ended(undo.unwrap()).await;
    assert_eq!(server.value("SELECT COUNT(*) FROM information_schema.SCHEMATA WHERE SCHEMA_NAME IN ('b3', 'backout%')"), "0");
    // A definition that somebody changed stays, with all the rest.
    let again = scene
        .back(whole_database(&then, "a-1", "b4", Some(road)))
        .await;
    server.script("CREATE OR REPLACE VIEW b4.z_sums AS SELECT 1 AS customer, 2 AS total;\n");
    let undo = scene.stage.databases.undo(&caller(), &again.id).await;
    let ended = scene.stage.wait(&undo.unwrap().job).await;
    assert_eq!(ended.outcome, Some(Outcome::Reverted), "{:?}", ended.error);
    assert!(ended.error.unwrap().message.contains("view b4.z_sums"));

    // So do rows.
    let databases = &scene.stage.databases;
    let undo = databases.undo(&caller(), &job.id).await.unwrap();
    let ended = scene.stage.wait(&undo.job).await;
    assert_eq!(ended.outcome, Some(Outcome::Reverted), "{:?}", ended.error);
    assert_eq!(defined_in(&scene, "b2"), made);
    scene.worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_comes_back_with_all_that_is_in_it_by_files() {
    a_database_comes_back_with_all_that_is_in_it(true, Road::Undo).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_comes_back_with_all_that_is_in_it_by_rows() {
    a_database_comes_back_with_all_that_is_in_it(false, Road::Undo).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_comes_back_with_all_that_is_in_it_from_a_backup() {
    a_database_comes_back_with_all_that_is_in_it(true, Road::Restore).await;
}

/// Goods of a shop, and what refers to them.
const CASCADES: &str = "CREATE DATABASE c;
CREATE DATABASE d;
USE d;
CREATE TABLE makers (id INT PRIMARY KEY) ENGINE=InnoDB;
CREATE TABLE goods (id INT PRIMARY KEY, maker INT, KEY (maker), CONSTRAINT made_by FOREIGN KEY (maker) REFERENCES makers (id) ON DELETE CASCADE ON UPDATE CASCADE) ENGINE=InnoDB;
CREATE TABLE lots (id INT PRIMARY KEY AUTO_INCREMENT, good INT, n INT, KEY (good), CONSTRAINT lot_of FOREIGN KEY (good) REFERENCES goods (id) ON DELETE SET NULL) ENGINE=InnoDB;
CREATE TABLE other (id INT PRIMARY KEY, good INT) ENGINE=InnoDB;
INSERT INTO makers SELECT seq FROM seq_1_to_10;
INSERT INTO goods SELECT seq, 1 + seq % 10 FROM seq_1_to_100;
INSERT INTO lots (good, n) SELECT 1 + seq % 100, seq FROM seq_1_to_400;
";

const ROWS_OF_LOTS: &str =
    "SELECT IFNULL(good, 'x'), COUNT(*), SUM(n) FROM {} GROUP BY good ORDER BY 1";

/// What a cascade does is in no history of rows: a table that saw one comes back
/// from a base backup, by a replay in a server that has its keys.
#[tokio::test(flavor = "multi_thread")]
async fn rows_that_a_foreign_key_changed_come_back_by_a_replay() {
    let scene = Scene::new(true).await;
    let server = &scene.server;
    let lots = |name: &str| scene.all(&ROWS_OF_LOTS.replace("{}", name));
    server.script(CASCADES);
    scene.stage.back_up(&server.url()).await;
    // Through two keys: goods go with their makers, lots lose their goods.
    server.script(
        "USE d;\nDELETE FROM makers WHERE id IN (2, 3);\nUPDATE makers SET id = 77 WHERE id = 7;\n\
         INSERT INTO lots (good, n) VALUES (5, 4711);\nINSERT INTO other VALUES (1, 1);\n",
    );
    let (wanted, then) = (lots("d.lots"), scene.mark());
    assert!(
        wanted.starts_with("x|80|") || wanted.contains("\nx|80|"),
        "{wanted}"
    );
    let goods = scene.all("SELECT * FROM d.goods ORDER BY id");
    server.script("USE d;\nDELETE FROM makers;\nDELETE FROM lots WHERE id % 2 = 0;\n");

    // The undo road, and in place, cannot know what the keys did.
    for road in [Some(Road::Undo), None] {
        let request = one_table(&then, "d.lots", "c.lots", road);
        let (proposal, found) = scene.proposed(&request).await;
        assert_eq!(proposal.preflight.passed(), road.is_none(), "{road:?}");
        if let Some(found) = found {
            assert_eq!(found.road, Road::Restore);
            assert!(found.why.contains("replayed"), "{}", found.why);
        } else {
            let why = &proposal.preflight.blockers[0].message;
            assert!(why.contains("lot_of"), "{why}");
        }
    }
    let mut request = one_table(&then, "d.lots", "c.lots", None);
    request.tables.push(Renamed {
        from: table("d.goods"),
        to: table("c.goods"),
    });
    scene.back(request).await;
    assert_eq!(lots("c.lots"), wanted);
    assert_eq!(scene.all("SELECT * FROM c.goods ORDER BY id"), goods);

    // A copy that was made since was not there.
    let beside = one_table(&then, "d.goods", "d.made_later", None);
    scene.back(beside).await;
    let again = one_table(&then, "d.made_later", "d.no", None);
    let (proposal, _) = scene.proposed(&again).await;
    let why = &proposal.preflight.blockers[0].message;
    assert!(why.contains("a rollback made it later"), "{why}");

    // With the whole database its keys come, too.
    scene.back(whole_database(&then, "d", "d2", None)).await;
    assert_eq!(lots("d2.lots"), wanted);
    let tables = "SELECT GROUP_CONCAT(TABLE_NAME ORDER BY 1) FROM information_schema.TABLES WHERE TABLE_SCHEMA = 'd2'";
    assert_eq!(server.value(tables), "goods,lots,makers,other");
    server.script("DELETE FROM d2.makers WHERE id = 77;\n");
    assert_eq!(
        server.value("SELECT COUNT(*) FROM d2.goods WHERE maker = 77"),
        "0"
    );
    scene.worker.stop().await;
}

/// A key that went since the cut may have changed rows before.
#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_key_that_went_since_is_remembered() {
    let scene = Scene::new(true).await;
    let server = &scene.server;
    server.script(CASCADES);
    scene.stage.back_up(&server.url()).await;
    let lots = |name: &str| scene.all(&ROWS_OF_LOTS.replace("{}", name));
    // One that comes and goes between the backup and the cut.
    server.script(
        "USE d;\nALTER TABLE other ADD CONSTRAINT late FOREIGN KEY (good) REFERENCES goods (id) ON DELETE CASCADE;\n\
         INSERT INTO other VALUES (1, 1), (2, 2);\nDELETE FROM goods WHERE id = 2;\n\
         ALTER TABLE other DROP FOREIGN KEY late;\n",
    );
    let (wanted, then) = (lots("d.lots"), scene.mark());
    server.script(
        "USE d;\nDELETE FROM goods WHERE id < 50;\nALTER TABLE lots DROP FOREIGN KEY lot_of;\n",
    );
    for name in ["lots", "other"] {
        let (from, to) = (format!("d.{name}"), format!("c.{name}"));
        let request = one_table(&then, &from, &to, Some(Road::Restore));
        let why = scene.proposed(&request).await.1.unwrap().why;
        assert!(why.contains("replayed"), "{why}");
        scene.back(request).await;
    }
    assert_eq!(lots("c.lots"), wanted);
    assert_eq!(scene.all("SELECT * FROM c.other"), "1|1");
    let request = one_table(&then, "d.lots", "d.lots_undone", Some(Road::Undo));
    let (proposal, _) = scene.proposed(&request).await;
    let why = &proposal.preflight.blockers[0].message;
    assert!(why.contains("DROP FOREIGN KEY"), "{why}");
    scene.worker.stop().await;
}

/// Tables of every kind that comes back.
const KINDS: &str = "CREATE DATABASE c;
CREATE DATABASE k;
USE k;
CREATE TABLE numbered (id INT UNSIGNED PRIMARY KEY AUTO_INCREMENT, a INT) ENGINE=InnoDB;
CREATE TABLE parts (id INT NOT NULL, y INT NOT NULL, t VARCHAR(20), PRIMARY KEY (id, y)) ENGINE=InnoDB PARTITION BY RANGE (y) SUBPARTITION BY HASH (id) SUBPARTITIONS 2 (PARTITION p0 VALUES LESS THAN (10), PARTITION `p one` VALUES LESS THAN MAXVALUE);
CREATE TABLE texts (id INT PRIMARY KEY, t TEXT, FULLTEXT KEY words (t)) ENGINE=InnoDB;
CREATE TABLE small (id INT PRIMARY KEY, t VARCHAR(200)) ENGINE=InnoDB ROW_FORMAT=COMPRESSED KEY_BLOCK_SIZE=8;
CREATE TABLE squeezed (id INT PRIMARY KEY, t VARCHAR(200)) ENGINE=InnoDB PAGE_COMPRESSED=1;
CREATE TABLE columns_squeezed (id INT PRIMARY KEY, t TEXT COMPRESSED) ENGINE=InnoDB;
CREATE TABLE redundant (id INT PRIMARY KEY, t VARCHAR(200)) ENGINE=InnoDB ROW_FORMAT=REDUNDANT;
CREATE TABLE letters (id VARCHAR(20) COLLATE utf8mb4_bin PRIMARY KEY, l VARCHAR(20) CHARACTER SET latin1 COLLATE latin1_german2_ci, u VARCHAR(20) CHARACTER SET ucs2, j VARCHAR(20) CHARACTER SET sjis, b VARBINARY(20), e ENUM('ä','ö') CHARACTER SET latin1, s SET('x','ß')) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_unicode_520_ci;
CREATE TABLE made (id INT PRIMARY KEY, a INT, s INT AS (a * 2) STORED, v INT AS (a * 3) VIRTUAL, UNIQUE KEY (s), CHECK (a > -1000)) ENGINE=InnoDB;
CREATE TABLE `odd name``s` (id INT PRIMARY KEY, t VARCHAR(200)) ENGINE=InnoDB COMMENT='it''s; odd';
INSERT INTO numbered (a) SELECT seq FROM seq_1_to_100;
INSERT INTO parts SELECT seq, seq % 20, CONCAT('t', seq) FROM seq_1_to_100;
INSERT INTO texts SELECT seq, CONCAT('common word', seq) FROM seq_1_to_100;
INSERT INTO small SELECT seq, REPEAT(seq, 30) FROM seq_1_to_100;
INSERT INTO squeezed SELECT * FROM small;
INSERT INTO columns_squeezed SELECT * FROM small;
INSERT INTO redundant SELECT * FROM small;
INSERT INTO letters SELECT CONCAT('k', seq), 'Größe', 'Ωμέγα', 'カナ', UNHEX('00ff27'), 'ö', 'x,ß' FROM seq_1_to_20;
INSERT INTO made (id, a) SELECT seq, seq FROM seq_1_to_100;
INSERT INTO `odd name``s` SELECT * FROM small;
";

/// What happens to them.
const KINDS_LATER: &str = "USE k;
INSERT INTO numbered (a) VALUES (1), (2), (3);
DELETE FROM numbered WHERE id > 50;
UPDATE parts SET y = 19 - y WHERE id < 40;
DELETE FROM parts WHERE id > 90;
UPDATE texts SET t = 'gone' WHERE id % 2 = 0;
DELETE FROM small WHERE id % 3 = 0;
UPDATE squeezed SET t = 'x';
UPDATE columns_squeezed SET t = 'y' WHERE id < 50;
DELETE FROM redundant;
UPDATE letters SET l = 'grosse', u = 'x', j = '', b = '', e = 'ä', s = '' WHERE id <> 'k7';
DELETE FROM letters WHERE id = 'k8';
UPDATE made SET a = a + 1 ORDER BY a DESC;
REPLACE INTO `odd name``s` VALUES (1, 'new'), (1000, 'newer');
";

const KIND_NAMES: [&str; 10] = [
    "numbered",
    "parts",
    "texts",
    "small",
    "squeezed",
    "columns_squeezed",
    "redundant",
    "letters",
    "made",
    "odd name`s",
];

/// The rows of a table, and its definition without the next number.
fn of_table(scene: &Scene, schema: &str, name: &str) -> (String, String) {
    let name = format!("`{schema}`.`{}`", name.replace('`', "``"));
    let rows = scene.all(&format!("SELECT * FROM {name} ORDER BY 1, 2"));
    let definition = scene
        .server
        .query(&format!("SHOW CREATE TABLE {name}"))
        .remove(0);
    let mut words: Vec<&str> = definition[1].split(' ').collect();
    words.retain(|word| !word.starts_with("AUTO_INCREMENT="));
    (rows, words.join(" "))
}

async fn every_kind_of_table_comes_back(files: bool, road: Road) {
    let scene = Scene::new(files).await;
    let server = &scene.server;
    server.script(KINDS);
    if road == Road::Restore {
        scene.stage.back_up(&server.url()).await;
        server.script(
            "UPDATE k.numbered SET a = a + 1 WHERE id > 90;\nDELETE FROM k.texts WHERE id = 77;\n",
        );
    }
    let before = KIND_NAMES.map(|name| of_table(&scene, "k", name));
    let then = scene.mark();
    server.script(KINDS_LATER);
    let after = KIND_NAMES.map(|name| of_table(&scene, "k", name));
    let mut request = RollbackRequest {
        until: then,
        road: Some(road),
        ..tables_at(0, &[])
    };
    request.tables = KIND_NAMES
        .iter()
        .map(|name| Renamed {
            from: TableName::new("k", *name),
            to: TableName::new("c", *name),
        })
        .collect();
    scene.back(request).await;
    for (i, name) in KIND_NAMES.iter().enumerate() {
        assert_ne!(before[i].0, after[i].0, "{name}");
        assert_eq!(of_table(&scene, "c", name), before[i], "{name}");
        assert_eq!(of_table(&scene, "k", name), after[i], "{name}");
    }
    // Numbers are not given twice, words are found, indexes and checks hold.
    server.script("INSERT INTO c.numbered (a) VALUES (9);\n");
    let number: u32 = server
        .value("SELECT MAX(id) FROM c.numbered")
        .parse()
        .unwrap();
    assert!(number > 100, "{number}");
    let found = "SELECT COUNT(*) FROM c.texts WHERE MATCH (t) AGAINST ('word10')";
    assert_eq!(server.value(found), "1");
    assert_eq!(
        server.value("SELECT COUNT(*) FROM c.made FORCE INDEX (s) WHERE s = 50"),
        "1"
    );
    let mut session = common::session(server);
    assert!(
        session
            .exec("test", "INSERT INTO c.made (id, a) VALUES (200, -2000)")
            .is_err()
    );
    for name in KIND_NAMES {
        let check = format!("CHECK TABLE c.`{}`", name.replace('`', "``"));
        assert_eq!(server.query(&check).remove(0)[3], "OK", "{name}");
    }
    scene.worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_table_comes_back_by_files() {
    every_kind_of_table_comes_back(true, Road::Undo).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_table_comes_back_by_rows() {
    every_kind_of_table_comes_back(false, Road::Undo).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_table_comes_back_from_a_backup() {
    every_kind_of_table_comes_back(true, Road::Restore).await;
}

/// Those that do not come back are refused by name.
#[tokio::test(flavor = "multi_thread")]
async fn kinds_of_tables_that_do_not_come_back_are_refused() {
    let scene = Scene::new(true).await;
    let server = &scene.server;
    server.script(
        "CREATE DATABASE k;\nCREATE TABLE k.versions (id INT PRIMARY KEY) ENGINE=InnoDB WITH SYSTEM VERSIONING;\n\
         CREATE TABLE k.old (id INT PRIMARY KEY) ENGINE=MyISAM;\nCREATE SEQUENCE k.numbers;\n",
    );
    scene.stage.back_up(&server.url()).await;
    let then = scene.mark();
    server.script("INSERT INTO k.versions VALUES (1);\nINSERT INTO k.old VALUES (1);\n");
    for (name, word) in [
        ("k.versions", "WITH SYSTEM VERSIONING"),
        ("k.old", "MyISAM"),
    ] {
        let request = one_table(&then, name, "k.back", Some(Road::Undo));
        let (proposal, _) = scene.proposed(&request).await;
        let why = &proposal.preflight.blockers[0].message;
        assert!(why.contains(word) && why.contains(name), "{why}");
    }
    scene.worker.stop().await;
}

/// Writers that hold locks, on rows and on gaps between them, are not waited for.
async fn locks_of_others_do_not_matter(files: bool) {
    let scene = Scene::new(files).await;
    let server = &scene.server;
    server.script(
        "CREATE DATABASE d;\nCREATE TABLE d.t (id INT PRIMARY KEY, a INT, KEY (a)) ENGINE=InnoDB;\n\
         INSERT INTO d.t SELECT seq * 10, seq FROM d.seq_1_to_200;\n",
    );
    let rows = |name: &str| scene.all(&format!("SELECT * FROM {name} ORDER BY id"));
    let (before, then) = (rows("d.t"), scene.mark());
    server.script("UPDATE d.t SET a = -a WHERE id % 20 = 0;\nDELETE FROM d.t WHERE id > 1500;\n");
    let mut holder = common::session(server);
    for sql in [
        "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ",
        "BEGIN",
        "UPDATE d.t SET a = 4711 WHERE id BETWEEN 100 AND 400",
        "SELECT * FROM d.t WHERE a > 0 FOR UPDATE",
        "INSERT INTO d.t VALUES (7, 7)",
    ] {
        holder.exec("test", sql).unwrap();
    }
    scene.back(one_table(&then, "d.t", "d.t2", None)).await;
    assert_eq!(rows("d.t2"), before);
    holder.exec("test", "COMMIT").unwrap();
    scene.back(one_table(&then, "d.t", "d.t3", None)).await;
    assert_eq!(rows("d.t3"), before);
    scene.worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn locks_of_others_do_not_matter_to_files() {
    locks_of_others_do_not_matter(true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn locks_of_others_do_not_matter_to_rows() {
    locks_of_others_do_not_matter(false).await;
}

/// Rows that are nearly as long as the server's packets.
async fn long_rows_come_back(files: bool) {
    let scene = Scene::on(PrivateServer::start(&["--max-allowed-packet=4M"]), files).await;
    let server = &scene.server;
    server.script(
        "CREATE DATABASE d;\nCREATE TABLE d.t (id INT PRIMARY KEY, a LONGBLOB, b INT) ENGINE=InnoDB;\n\
         INSERT INTO d.t VALUES (1, REPEAT(CHAR(250), 3500000), 1), (2, REPEAT('y', 100), 2);\n",
    );
    let sum = |name: &str| {
        scene.all(&format!(
            "SELECT id, LENGTH(a), CRC32(a), b FROM {name} ORDER BY id"
        ))
    };
    let (before, then) = (sum("d.t"), scene.mark());
    server.script("UPDATE d.t SET b = 7;\nDELETE FROM d.t WHERE id = 1;\n");
    let request = one_table(&then, "d.t", "d.t2", None);
    let databases = &scene.stage.databases;
    let asked = databases.rollback(&caller(), vec![request]).await.unwrap();
    let job = scene.stage.wait(&asked[0].job).await;
    match files {
        // Applied in a server of ours, which has no such limit.
        true => {
            assert_eq!(job.outcome, Some(Outcome::Applied), "{:?}", job.error);
            assert_eq!(sum("d.t2"), before);
        }
        // A statement would be longer than the server takes.
        false => {
            assert_eq!(job.outcome, Some(Outcome::Reverted));
            let why = job.error.unwrap().message;
            assert!(why.contains("max_allowed_packet"), "{why}");
            assert_eq!(
                server.value(
                    "SELECT COUNT(*) FROM information_schema.TABLES WHERE TABLE_NAME = 't2'"
                ),
                "0"
            );
        }
    }
    scene.worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn long_rows_come_back_by_files() {
    long_rows_come_back(true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn long_rows_come_back_by_rows() {
    long_rows_come_back(false).await;
}

/// Asks until the answer is the wanted one: replicas are late.
fn until(server: &PrivateServer, sql: &str, wanted: &str) {
    let end = Instant::now() + Duration::from_secs(60);
    loop {
        let rows = server.query(sql);
        let answer = rows.first().map(|row| row.join("|")).unwrap_or_default();
        if answer == wanted {
            return;
        }
        assert!(Instant::now() < end, "{sql}: {answer}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// What is made on a server comes to its replicas, too; nothing is taken back in
/// place on one of these.
#[tokio::test(flavor = "multi_thread")]
async fn replicas_get_what_comes_back() {
    let scene = Scene::new(true).await;
    let server = &scene.server;
    let replica = PrivateServer::start(&["--server-id=77", "--log-slave-updates=ON"]);
    replica.script(&format!(
        "CHANGE MASTER TO MASTER_HOST='127.0.0.1', MASTER_PORT={}, MASTER_USER='root', MASTER_USE_GTID=slave_pos;\nSTART SLAVE;\n",
        server.port()
    ));
    server.script(
        "CREATE DATABASE d;\nCREATE TABLE d.t (id INT PRIMARY KEY, a INT) ENGINE=InnoDB;\n\
         INSERT INTO d.t SELECT seq, seq FROM d.seq_1_to_50;\nCREATE VIEW d.v AS SELECT a FROM d.t;\n",
    );
    let then = scene.mark();
    server.script("UPDATE d.t SET a = 0;\n");
    until(&replica, "SELECT SUM(a), COUNT(*) FROM d.t", "0|50");
    let request = whole_database(&then, "d", "d2", None);
    let (proposal, found) = scene.proposed(&request).await;
    assert_eq!(found.unwrap().copying, Copying::Rows);
    let mut told = proposal.preflight.warnings.iter();
    assert!(
        told.any(|w| w.message.contains("server 77")),
        "{:?}",
        proposal.preflight
    );
    let job = scene.back(request).await;
    until(&replica, "SELECT SUM(a), COUNT(*) FROM d2.v", "1275|50");
    let undo = scene.stage.databases.undo(&caller(), &job.id).await;
    scene.ended(undo.unwrap()).await;
    until(
        &replica,
        "SELECT COUNT(*) FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = 'd2' OR SCHEMA_NAME LIKE 'backout%'",
        "0",
    );

    let other = Scene::on(replica, true).await;
    let gtid = other.mark();
    let request = RewindRequest {
        instance: "shop".to_owned(),
        what: RewindWhat::Until {
            until: gtid.clone(),
            tables: vec![table("d.t")],
        },
        torn: false,
    };
    let databases = &other.stage.databases;
    let (proposal, _) = databases.propose_rewind(&owner(), &request).await.unwrap();
    let blockers = &proposal.preflight.blockers;
    assert!(
        blockers
            .iter()
            .any(|b| b.message.contains("is a replica of")),
        "{blockers:?}"
    );
    let beside = one_table(&gtid, "d.t", "d.t2", None);
    let (proposal, _) = other.proposed(&beside).await;
    let mut told = proposal.preflight.warnings.iter();
    assert!(told.any(|w| w.message.contains("on this server only")));
    assert!(proposal.preflight.passed(), "{:?}", proposal.preflight);
    other.worker.stop().await;
    scene.worker.stop().await;
}
