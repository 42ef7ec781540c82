//! Tables of a real server taken back, by every way.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use std::time::Duration;

use backout_core::code::Code;
use backout_core::outcome::Outcome;
use backout_core::plan::Finding;
use backout_databases::model::{Copying, Facts, Road};
use backout_databases::{Found, Proposal, RewindWhat, RollbackRequest, persistence};
use backout_jobs::JobView;
use backout_mariadb::testing::PrivateServer;
use tempfile::TempDir;

use common::{Stage, caller, in_place_at, now_us, owner, tables_at};

const SHOP: &str = "CREATE DATABASE shop; \
    CREATE TABLE shop.items (id INT UNSIGNED PRIMARY KEY AUTO_INCREMENT, name VARCHAR(40) NOT NULL, \
      price DECIMAL(10,2) NOT NULL, sold DATETIME(3), note TEXT, UNIQUE KEY (name)) ENGINE=InnoDB; \
    INSERT INTO shop.items (name, price) SELECT CONCAT('item ', seq), seq / 7 FROM shop.seq_1_to_2000;";

/// What the bad day does to the shop.
const BAD_DAY: &str = "UPDATE shop.items SET price = 0; \
    DELETE FROM shop.items WHERE id % 10 = 3; \
    INSERT INTO shop.items (name, price) VALUES ('new', 1), ('newer', 2);";

const ROWS: &str = "SELECT GROUP_CONCAT(CONCAT_WS('|', id, name, price, IFNULL(sold, 'x'), IFNULL(note, 'x')) ORDER BY id SEPARATOR '\\n') FROM ";

fn rows(server: &PrivateServer, table: &str) -> String {
    let mut session = common::session(server);
    session
        .exec("test", "SET SESSION group_concat_max_len = 100000000")
        .unwrap();
    let text: Option<Option<String>> = session.first("test", format!("{ROWS}{table}")).unwrap();
    text.flatten().unwrap_or_default()
}

/// A moment that lies between what was committed before and what is after.
fn moment() -> i64 {
    // Times of history are known to the microsecond when it is followed, but
    // only after it has come.
    std::thread::sleep(Duration::from_millis(1100));
    let us = now_us();
    std::thread::sleep(Duration::from_millis(1100));
    us
}

async fn stage(server: &PrivateServer, files: bool) -> (Stage, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let mut stage = Stage::open(folder.path());
    stage
        .manage(&server.url(), files.then(|| server.datadir()))
        .await;
    (stage, folder)
}

/// A preflight that passes, and what it found.
async fn proposed(stage: &Stage, request: &RollbackRequest) -> (Proposal, Found) {
    let (proposal, found) = stage
        .databases
        .propose_rollback(&owner(), request)
        .await
        .unwrap();
    assert!(proposal.preflight.passed(), "{:?}", proposal.preflight);
    (proposal, found.unwrap())
}

/// A rollback that is applied.
async fn applied(stage: &Stage, request: RollbackRequest) -> JobView {
    let asked = stage
        .databases
        .rollback(&caller(), vec![request])
        .await
        .unwrap();
    let job = stage.wait(&asked[0].job).await;
    assert_eq!(job.outcome, Some(Outcome::Applied), "{:?}", job.error);
    job
}

async fn a_table_comes_back(files: bool) {
    let server = PrivateServer::start(&[]);
    let (stage, _folder) = stage(&server, files).await;
    let worker = stage.worker().await;
    server.script(SHOP);
    let before = rows(&server, "shop.items");
    assert_eq!(before.lines().count(), 2000);
    let then = moment();
    server.script(BAD_DAY);
    let after = rows(&server, "shop.items");
    assert_ne!(before, after);

    let request = tables_at(then, &[("shop.items", "shop.items_back")]);
    let (_, found) = proposed(&stage, &request).await;
    assert_eq!(found.road, Road::Undo);
    assert_eq!(
        found.copying,
        if files { Copying::Files } else { Copying::Rows }
    );
    let job = applied(&stage, request).await;
    assert_eq!(rows(&server, "shop.items_back"), before);
    assert_eq!(rows(&server, "shop.items"), after);
    assert_eq!(
        server.value(
            "SELECT COUNT(*) FROM information_schema.SCHEMATA WHERE SCHEMA_NAME LIKE 'backout%'"
        ),
        "0"
    );
    // And that goes again.
    let undo = stage.databases.undo(&caller(), &job.id).await.unwrap();
    let job = stage.wait(&undo.job).await;
    assert_eq!(job.outcome, Some(Outcome::Applied), "{:?}", job.error);
    assert_eq!(
        server.value(
            "SELECT COUNT(*) FROM information_schema.TABLES WHERE TABLE_NAME = 'items_back'"
        ),
        "0"
    );
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_comes_back_by_its_files() {
    a_table_comes_back(true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_comes_back_by_its_rows() {
    a_table_comes_back(false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_come_back_in_place_and_go_again() {
    let server = PrivateServer::start(&[]);
    let (stage, _folder) = stage(&server, false).await;
    let worker = stage.worker().await;
    server.script(SHOP);
    let before = rows(&server, "shop.items");
    assert_eq!(before.lines().count(), 2000);
    let then = moment();
    server.script(BAD_DAY);
    let after = rows(&server, "shop.items");
    let asked = stage
        .databases
        .rewind(&caller(), in_place_at(then, &["shop.items"]))
        .await
        .unwrap();
    let job = stage.wait(&asked.job).await;
    assert_eq!(job.outcome, Some(Outcome::Applied), "{:?}", job.error);
    assert_eq!(rows(&server, "shop.items"), before);
    let undo = stage.databases.undo(&caller(), &job.id).await.unwrap();
    let job = stage.wait(&undo.job).await;
    assert_eq!(job.outcome, Some(Outcome::Applied), "{:?}", job.error);
    assert_eq!(rows(&server, "shop.items"), after);
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn halves_of_a_transaction_go_back_only_where_that_is_asked_for() {
    let server = PrivateServer::start(&[]);
    let (stage, _folder) = stage(&server, false).await;
    server.script(SHOP);
    server.script("CREATE TABLE shop.ledger (id INT PRIMARY KEY);");
    let then = moment();
    server.script(
        "BEGIN; DELETE FROM shop.items WHERE id = 1; INSERT INTO shop.ledger VALUES (1); COMMIT;",
    );
    let one = tables_at(then, &[("shop.items", "shop.items_back")]);
    let proposal = |request: RollbackRequest| {
        let databases = stage.databases.clone();
        async move { databases.propose_rollback(&owner(), &request).await }
    };
    let codes = |findings: &[Finding]| -> Vec<Code> { findings.iter().map(|f| f.code).collect() };
    let (refused, _) = proposal(one.clone()).await.unwrap();
    assert_eq!(
        codes(&refused.preflight.blockers),
        [Code::TornTransaction],
        "{:?}",
        refused.preflight
    );
    let (torn, _) = proposal(RollbackRequest { torn: true, ..one })
        .await
        .unwrap();
    assert!(torn.preflight.passed(), "{:?}", torn.preflight);
    assert!(codes(&torn.preflight.warnings).contains(&Code::TornTransaction));
    // Together they are whole.
    let both = tables_at(
        then,
        &[
            ("shop.items", "shop.items_back"),
            ("shop.ledger", "shop.ledger_back"),
        ],
    );
    let (whole, _) = proposal(both).await.unwrap();
    assert!(whole.preflight.passed(), "{:?}", whole.preflight);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_table_comes_back_from_a_base_backup() {
    let server = PrivateServer::start(&[]);
    let (stage, _folder) = stage(&server, true).await;
    let worker = stage.worker().await;
    server.script(SHOP);
    stage.back_up(&server.url()).await;
    server.script(
        "UPDATE shop.items SET note = 'sale' WHERE id <= 500; DELETE FROM shop.items WHERE id = 7;",
    );
    let before = rows(&server, "shop.items");
    let then = moment();
    server.script("DROP TABLE shop.items");
    let request = tables_at(then, &[("shop.items", "shop.items_back")]);
    let (_, found) = proposed(&stage, &request).await;
    assert_eq!(found.road, Road::Restore);
    applied(&stage, request).await;
    assert_eq!(rows(&server, "shop.items_back"), before);
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn definitions_that_changed_after_the_backup_are_followed() {
    let server = PrivateServer::start(&[]);
    let (stage, _folder) = stage(&server, true).await;
    let worker = stage.worker().await;
    server.script(SHOP);
    stage.back_up(&server.url()).await;
    server.script(
        "UPDATE shop.items SET note = 'sale' WHERE id <= 500; \
         ALTER TABLE shop.items ADD COLUMN stock INT NOT NULL DEFAULT 3 AFTER name; \
         UPDATE shop.items SET stock = id WHERE id % 3 = 0; \
         CREATE TABLE shop.items_new LIKE shop.items; \
         INSERT INTO shop.items_new SELECT * FROM shop.items WHERE id > 10; \
         RENAME TABLE shop.items TO shop.items_old, shop.items_new TO shop.items; \
         DELETE FROM shop.items WHERE id = 77;",
    );
    let before = rows(&server, "shop.items");
    let stock = "SELECT SUM(stock) FROM shop.";
    let sum = server.value(&format!("{stock}items"));
    let then = moment();
    server.script("TRUNCATE TABLE shop.items; ALTER TABLE shop.items DROP COLUMN stock;");
    let request = tables_at(then, &[("shop.items", "shop.items_back")]);
    applied(&stage, request).await;
    assert_eq!(rows(&server, "shop.items_back"), before);
    assert_eq!(server.value(&format!("{stock}items_back")), sum);
    worker.stop().await;
}

/// Nobody guesses which of two hours is meant.
#[tokio::test(flavor = "multi_thread")]
async fn a_local_time_that_was_there_twice_is_refused_by_every_way() {
    let server = PrivateServer::start(&[]);
    let (stage, _folder) = stage(&server, true).await;
    server.script(SHOP);
    let facts = Facts {
        zone: "Europe/Berlin".to_owned(),
        datadir: Some(server.datadir()),
        ..Facts::default()
    };
    stage
        .store
        .write(move |tx| persistence::set_facts(tx, &common::ID.parse().unwrap(), &facts))
        .await
        .unwrap();
    for (text, instant) in [
        ("2024-10-27 02:30:00", "2024-10-27T02:30:00+01:00"),
        ("2024-03-31 02:30:00", "2024-03-31T03:30:00+02:00"),
    ] {
        let mut request = tables_at(0, &[("shop.items", "shop.items_back")]);
        request.until = text.parse().unwrap();
        let proposed = stage.databases.propose_rollback(&owner(), &request).await;
        let asked = stage.databases.rollback(&caller(), vec![request]).await;
        let mut request = in_place_at(0, &["shop.items"]);
        if let RewindWhat::Until { until, .. } = &mut request.what {
            *until = text.parse().unwrap();
        }
        let in_place = stage.databases.rewind(&caller(), request).await;
        for refusal in [
            proposed.unwrap_err(),
            asked.unwrap_err(),
            in_place.unwrap_err(),
        ] {
            assert_eq!(refusal.code(), Code::LocalTime, "{refusal}");
            assert!(refusal.to_string().contains(instant), "{refusal}");
        }
    }
}

/// An index that came since leaves all rows as they are.
#[tokio::test(flavor = "multi_thread")]
async fn a_definition_that_changed_since_comes_back_with_a_backup_or_is_told() {
    let server = PrivateServer::start(&[]);
    let (stage, _folder) = stage(&server, true).await;
    let worker = stage.worker().await;
    server.script(SHOP);
    let before = rows(&server, "shop.items");
    let early = moment();
    server.script("INSERT INTO shop.items (name, price) VALUES ('soon', 3);");
    stage.back_up(&server.url()).await;
    let with_soon = rows(&server, "shop.items");
    let late = moment();
    server.script(BAD_DAY);
    let indexes = |table: &str| {
        server.value(&format!(
            "SELECT GROUP_CONCAT(DISTINCT INDEX_NAME ORDER BY 1) FROM information_schema.STATISTICS WHERE TABLE_NAME = '{table}'"
        ))
    };
    let told = |proposal: &Proposal| {
        let warnings = proposal.preflight.warnings.iter();
        warnings
            .filter(|w| w.message.contains("take definitions back"))
            .count()
    };
    // What only writes the table anew changes nothing.
    server.script("OPTIMIZE TABLE shop.items;");
    let request = tables_at(early, &[("shop.items", "shop.items_back")]);
    let (proposal, found) = proposed(&stage, &request).await;
    assert_eq!((found.road, told(&proposal)), (Road::Undo, 0));
    server.script("CREATE INDEX cheap ON shop.items (price);");
    // No backup is older: the rows, and a word about the rest.
    let (proposal, found) = proposed(&stage, &request).await;
    assert_eq!((found.road, told(&proposal)), (Road::Undo, 1));
    applied(&stage, request).await;
    assert_eq!(rows(&server, "shop.items_back"), before);
    assert_eq!(indexes("items_back"), "cheap,name,PRIMARY");
    // With one, both.
    let request = tables_at(late, &[("shop.items", "shop.items_late")]);
    let (proposal, found) = proposed(&stage, &request).await;
    assert_eq!((found.road, told(&proposal)), (Road::Restore, 0));
    applied(&stage, request).await;
    assert_eq!(rows(&server, "shop.items_late"), with_soon);
    assert_eq!(indexes("items_late"), "name,PRIMARY");
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_comes_back_whole() {
    let server = PrivateServer::start(&[]);
    let (stage, _folder) = stage(&server, true).await;
    let worker = stage.worker().await;
    server.script(SHOP);
    server.script(
        "CREATE TABLE shop.log (at INT, what VARCHAR(20)) ENGINE=InnoDB; \
         INSERT INTO shop.log SELECT seq % 5, 'x' FROM shop.seq_1_to_300;",
    );
    let before = rows(&server, "shop.items");
    let then = moment();
    server.script(BAD_DAY);
    // Rows that nothing tells apart.
    server.script(
        "DELETE FROM shop.log WHERE at = 2; INSERT INTO shop.log VALUES (1, 'x'), (1, 'y');",
    );
    let mut request = tables_at(then, &[]);
    request.strategy = backout_databases::model::Strategy::Db;
    request.databases = vec![backout_databases::model::Renamed {
        from: "shop".to_owned(),
        to: "shop_back".to_owned(),
    }];
    applied(&stage, request).await;
    assert_eq!(rows(&server, "shop_back.items"), before);
    assert_eq!(server.value("SELECT COUNT(*) FROM shop_back.log"), "300");
    assert_eq!(
        server.value("SELECT GROUP_CONCAT(n) FROM (SELECT COUNT(*) n FROM shop_back.log GROUP BY at, what ORDER BY at, what) x"),
        "60,60,60,60,60"
    );
    worker.stop().await;
}

/// Tables that came back as files are safe from a crash once the server has
/// written a checkpoint, which only SUPER may ask for.
#[tokio::test(flavor = "multi_thread")]
async fn an_account_without_super_gets_its_rows_by_statements() {
    let server = PrivateServer::start(&[]);
    server.script(
        "CREATE USER u@'%' IDENTIFIED BY 'p'; GRANT ALL ON *.* TO u@'%'; REVOKE SUPER ON *.* FROM u@'%'",
    );
    let folder = tempfile::tempdir().unwrap();
    let mut stage = Stage::open(folder.path());
    let url = server.url().replace("root@", "u:p@");
    stage.manage(&url, Some(server.datadir())).await;
    let worker = stage.worker().await;
    server.script(SHOP);
    let before = rows(&server, "shop.items");
    let then = moment();
    server.script(BAD_DAY);
    let request = tables_at(then, &[("shop.items", "shop.items_back")]);
    let (proposal, found) = proposed(&stage, &request).await;
    let told = proposal.preflight.warnings.iter();
    assert!(told.map(|w| &w.message).any(|m| m.contains("GRANT SUPER")));
    assert_eq!(found.copying, Copying::Rows);
    applied(&stage, request).await;
    assert_eq!(rows(&server, "shop.items_back"), before);
    worker.stop().await;
}
