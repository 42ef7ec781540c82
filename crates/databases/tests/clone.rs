//! Instances are made of another's past, with real servers.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use backout_core::code::Code;
use backout_core::ids::DatabaseId;
use backout_core::outcome::Outcome;
use backout_databases::model::{Instance, InstanceState, Kind, Shape, Standing, TaskKind};
use backout_databases::persistence::{InstanceFilter, Page, TaskFilter};
use backout_databases::{Asked, CloneRequest, CloneTo, Refusal, Until, Written};
use backout_jobs::{Idempotency, JobView};
use backout_mariadb::testing::PrivateServer;
use backout_mariadb::{Session, catalog};
use tempfile::TempDir;

use common::{ID, Stage, caller, now_us, owner};

const ALL: Page = Page {
    offset: 0,
    limit: 100,
};

fn clone_of(to: CloneTo, name: &str) -> CloneRequest {
    CloneRequest {
        source: "shop".to_owned(),
        to,
        name: name.to_owned(),
        shape: Some(Shape {
            memory_mb: 64,
            ..Shape::default()
        }),
        port: None,
    }
}

fn at(us: i64) -> CloneTo {
    CloneTo::Until(Until::Written(Written::Instant(us)))
}

/// A server under management, its history followed.
struct Source {
    server: PrivateServer,
    stage: Stage,
    _folder: TempDir,
}

impl Drop for Source {
    fn drop(&mut self) {
        // What a failed test left.
        if let Ok(homes) = std::fs::read_dir(&self.stage.runtime.folder) {
            for home in homes.flatten() {
                let server = backout_mariadb::local::Server::new(
                    home.path().join("server"),
                    self.stage.runtime.shim.clone(),
                );
                let _ = server.remove();
            }
        }
    }
}

impl Source {
    async fn new(args: &[&str]) -> Self {
        let server = PrivateServer::start(args);
        let folder = tempfile::tempdir().unwrap();
        let mut stage = Stage::open(folder.path());
        stage.manage(&server.url(), Some(server.datadir())).await;
        Self {
            server,
            stage,
            _folder: folder,
        }
    }

    /// An instant after all that was done, and before all that comes: below a second,
    /// by when it was archived.
    fn mark(&self) -> i64 {
        self.archived();
        let before = now_us();
        while now_us() < before + 2_000 {
            std::hint::spin_loop();
        }
        let mark = now_us();
        while now_us() < mark + 2_000 {
            std::hint::spin_loop();
        }
        mark
    }

    /// Until all that was written is archived.
    fn archived(&self) {
        let end = catalog::binlog_end(&mut common::session(&self.server))
            .unwrap()
            .unwrap();
        let archive = self.stage.runtime.archive(&ID.parse().unwrap()).unwrap();
        assert!(
            archive
                .wait_until(&end, std::time::Duration::from_secs(60), &|| false)
                .unwrap()
        );
    }

    async fn made(&self, request: CloneRequest) -> (Asked, Instance, JobView) {
        let (asked, id) = self
            .stage
            .databases
            .clone_instance(&caller(), request)
            .await
            .unwrap();
        let job = self.stage.wait(&asked.job).await;
        assert_eq!(job.outcome, Some(Outcome::Applied), "{job:?}");
        let row = self
            .stage
            .databases
            .get(&owner(), id.as_str())
            .await
            .unwrap();
        (asked, row, job)
    }

    fn ask(&self, row: &Instance, sql: &str) -> String {
        let endpoint = self.stage.runtime.endpoint(row).unwrap();
        let mut session = Session::open(&endpoint).unwrap();
        session
            .first::<Option<String>>("look", sql)
            .unwrap()
            .flatten()
            .unwrap_or_default()
    }

    async fn refused(&self, request: CloneRequest) -> Refusal {
        let before = self.instances().await;
        let refusal = self
            .stage
            .databases
            .clone_instance(&caller(), request.clone())
            .await
            .unwrap_err();
        assert_eq!(self.instances().await, before);
        // A dry run says the same.
        match self.stage.databases.propose_clone(&owner(), &request).await {
            Ok((proposal, _)) => {
                let first = &proposal.preflight.blockers[0];
                assert_eq!(first.code, refusal.code(), "{first:?}");
            }
            Err(e) => assert_eq!(e.to_string(), refusal.to_string()),
        }
        refusal
    }

    async fn instances(&self) -> u64 {
        let (count, _) = self
            .stage
            .databases
            .list(&owner(), InstanceFilter::default(), ALL)
            .await
            .unwrap();
        count
    }
}

const SCHEMA: &str = "CREATE DATABASE shop; \
    CREATE TABLE shop.parent (id INT PRIMARY KEY, v VARCHAR(40)); \
    CREATE TABLE shop.child (id INT PRIMARY KEY, pid INT, \
        FOREIGN KEY (pid) REFERENCES shop.parent (id) ON DELETE CASCADE); \
    CREATE TABLE shop.keyless (a INT, b DOUBLE) ENGINE=MyISAM; \
    CREATE TABLE shop.versioned (id INT PRIMARY KEY, v INT) WITH SYSTEM VERSIONING; \
    INSERT INTO shop.versioned VALUES (1, 1); UPDATE shop.versioned SET v = 2; \
    CREATE TABLE shop.texts (id INT PRIMARY KEY, t TEXT, u INT AS (id * 2) VIRTUAL, FULLTEXT (t)); \
    CREATE SEQUENCE shop.numbers; \
    CREATE VIEW shop.`both` AS SELECT p.id, c.id AS child FROM shop.parent p JOIN shop.child c ON c.pid = p.id; \
    CREATE USER clerk@'%' IDENTIFIED BY 'clerk'; GRANT ALL ON shop.* TO clerk@'%'; \
    INSERT INTO shop.parent VALUES (1, 'one'), (2, 'two'), (3, 'three'); \
    INSERT INTO shop.child VALUES (10, 1), (20, 2), (30, 3)";

const SUMS: &str = "SELECT CONCAT_WS(' ', \
    (SELECT GROUP_CONCAT(id, v ORDER BY id) FROM shop.parent), \
    (SELECT GROUP_CONCAT(id ORDER BY id) FROM shop.child), \
    (SELECT COUNT(*) FROM shop.keyless), (SELECT COUNT(*) FROM shop.`both`), \
    (SELECT GROUP_CONCAT(id, v, ROW_START, ROW_END ORDER BY ROW_START) FROM shop.versioned FOR SYSTEM_TIME ALL), \
    (SELECT GROUP_CONCAT(id, u) FROM shop.texts WHERE MATCH (t) AGAINST ('needle')), \
    (SELECT next_not_cached_value FROM shop.numbers), \
    (SELECT GROUP_CONCAT(TABLE_NAME ORDER BY TABLE_NAME) FROM information_schema.TABLES \
        WHERE TABLE_SCHEMA = 'shop'), \
    (SELECT GROUP_CONCAT(ROUTINE_NAME) FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = 'shop'), \
    (SELECT GROUP_CONCAT(User ORDER BY User) FROM mysql.global_priv \
        WHERE User NOT IN ('backout', 'root', 'mariadb.sys')))";

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_is_made_of_an_instant_of_a_backup_and_of_now() {
    let source = Source::new(&[]).await;
    let (server, stage) = (&source.server, &source.stage);
    server.script(SCHEMA);
    let of_backup = server.value(SUMS);
    stage.back_up(&server.url()).await;
    server.script(
        "DELETE FROM shop.parent WHERE id = 1; \
         CREATE TABLE shop.late (id INT PRIMARY KEY); INSERT INTO shop.late VALUES (1); \
         CREATE PROCEDURE shop.touch() UPDATE shop.parent SET v = 'touched'; CALL shop.touch(); \
         INSERT INTO shop.keyless VALUES (1, 1.5), (1, 1.5); \
         CREATE USER late@localhost IDENTIFIED BY 'late'; \
         UPDATE shop.versioned SET v = 3; DELETE FROM shop.versioned; INSERT INTO shop.versioned VALUES (2, 1); \
         INSERT INTO shop.texts (id, t) VALUES (1, 'a needle in the hay'), (2, 'hay'); \
         DO NEXTVAL(shop.numbers); ALTER SEQUENCE shop.numbers RESTART 5000; \
         ALTER TABLE shop.parent ADD w INT",
    );
    let truth = server.value(SUMS);
    let mark = source.mark();
    server.script(
        "DELETE FROM shop.parent; DROP TABLE shop.late; DROP PROCEDURE shop.touch; DROP USER late@localhost",
    );
    let of_now = server.value(SUMS);
    source.archived();
    let worker = stage.worker().await;

    // Of an instant.
    let (proposal, found) = stage
        .databases
        .propose_clone(&owner(), &clone_of(at(mark), "then"))
        .await
        .unwrap();
    assert!(proposal.preflight.passed(), "{proposal:?}");
    assert_eq!(proposal.plan.steps.len(), 5);
    let found = found.unwrap();
    assert_eq!((found.backup, found.until_us), (1, Some(mark)));
    assert!(found.kept.is_some() && found.undone.is_some(), "{found:?}");
    let (asked, then, job) = source.made(clone_of(at(mark), "then")).await;
    assert_eq!(source.ask(&then, SUMS), truth);
    assert_eq!(
        (then.kind, then.state, then.name.as_str()),
        (Kind::Managed, InstanceState::Running, "then")
    );
    assert!(then.facts.version.contains("MariaDB"), "{:?}", then.facts);
    // It has a history of its own, beginning anew.
    assert_eq!(source.ask(&then, "SELECT @@gtid_slave_pos"), "");
    assert_eq!(source.ask(&then, "SELECT @@log_bin"), "1");
    // Those who knew the source know it.
    let mut endpoint = stage.runtime.endpoint(&then).unwrap();
    endpoint.user = "clerk".to_owned();
    endpoint.password = backout_mariadb::Password::new("clerk");
    Session::open(&endpoint).unwrap();
    let guests = "SELECT GROUP_CONCAT(User) FROM mysql.global_priv WHERE User LIKE 'backout\\_%'";
    assert_eq!(source.ask(&then, guests), "");

    // It is listed under its source, with what was read.
    let filter = TaskFilter {
        instance: Some(ID.parse().unwrap()),
        kinds: vec![TaskKind::Clone],
        ..TaskFilter::default()
    };
    let (count, tasks) = stage.databases.tasks(&owner(), filter, ALL).await.unwrap();
    assert_eq!(count, 1);
    let task = &tasks[0];
    assert_eq!(
        (task.number, task.standing, task.detail.made.as_ref()),
        (asked.number, Standing::Applied, Some(&then.id))
    );
    let proofs = &task.detail.rollback.as_ref().unwrap().proofs;
    let parent = proofs
        .iter()
        .find(|p| p.table == common::table("shop.parent"))
        .unwrap();
    assert_eq!(parent.rows, 2);
    assert!(!parent.digest.is_empty());
    assert_eq!(proofs.len(), 6, "{proofs:?}");
    assert!(!stage.runtime.job_folder(&then.id, &job.id).exists());

    // Of a backup, as it is.
    let (_, row, _) = source.made(clone_of(CloneTo::Backup(1), "base")).await;
    assert_eq!(source.ask(&row, SUMS), of_backup);
    // Of now; the source itself was never touched.
    let (_, row, _) = source.made(clone_of(CloneTo::Newest, "")).await;
    assert_eq!(source.ask(&row, SUMS), of_now);
    assert!(row.name.starts_with("db-"), "{}", row.name);
    assert_eq!(server.value(SUMS), of_now);

    // It is an instance as any other: it can be backed up, and goes.
    let isolated = stage.databases.isolate(&caller(), "then").await.unwrap();
    assert_eq!(
        stage.wait(&isolated.job).await.outcome,
        Some(Outcome::Applied)
    );
    let released = stage.databases.release(&caller(), "then").await.unwrap();
    assert_eq!(
        stage.wait(&released.job).await.outcome,
        Some(Outcome::Applied)
    );
    assert_eq!(source.ask(&then, SUMS), truth);
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_that_tell_what_the_data_mean_come_along() {
    let source = Source::new(&[
        "--lower-case-table-names=1",
        "--default-time-zone=+05:30",
        "--character-set-server=latin1",
        "--collation-server=latin1_bin",
    ])
    .await;
    let (server, stage) = (&source.server, &source.stage);
    server
        .script("CREATE DATABASE Shop; CREATE TABLE Shop.Mixed (id INT PRIMARY KEY, at TIMESTAMP)");
    stage.back_up(&server.url()).await;
    server.script(
        "INSERT INTO Shop.Mixed VALUES (1, '2026-01-01 12:00:00'); CREATE DATABASE after_it",
    );
    source.archived();
    let worker = stage.worker().await;
    let (_, row, _) = source.made(clone_of(CloneTo::Newest, "copy")).await;
    for sql in [
        "SELECT CAST(at AS CHAR) FROM SHOP.MIXED",
        "SELECT @@global.time_zone",
        "SELECT @@global.lower_case_table_names",
        "SELECT @@global.collation_server",
        "SELECT @@global.innodb_page_size",
        "SELECT DEFAULT_COLLATION_NAME FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = 'after_it'",
    ] {
        // In a session with the settings of whoever comes.
        let zone = sql.replace(
            "CAST(at",
            "CAST(CONVERT_TZ(at, @@session.time_zone, '+00:00')",
        );
        assert_eq!(source.ask(&row, &zone), server.value(&zone), "{sql}");
    }
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_would_not_be_exact_or_is_not_there_is_refused() {
    let source = Source::new(&[]).await;
    let (server, stage) = (&source.server, &source.stage);
    server.script(SCHEMA);
    let early = source.mark();
    // There is no backup yet.
    let refusal = source.refused(clone_of(at(early), "copy")).await;
    assert_eq!(refusal.code(), Code::HistoryGap, "{refusal}");
    let refusal = source.refused(clone_of(CloneTo::Backup(1), "copy")).await;
    assert_eq!(refusal.code(), Code::NotFound, "{refusal}");
    server.script("INSERT INTO shop.parent VALUES (4, 'four')");
    stage.back_up(&server.url()).await;
    server.script("INSERT INTO shop.parent VALUES (5, 'five')");
    let fine = source.mark();
    let refusal = source.refused(clone_of(at(early), "copy")).await;
    assert_eq!(refusal.code(), Code::HistoryGap, "{refusal}");
    let future = now_us() + 3_600_000_000;
    let refusal = source.refused(clone_of(at(future), "copy")).await;
    assert_eq!(refusal.code(), Code::HistoryGap, "{refusal}");
    let refusal = source.refused(clone_of(at(fine), "shop")).await;
    assert!(matches!(refusal, Refusal::Taken(_)), "{refusal}");
    let refusal = source.refused(clone_of(at(fine), " x")).await;
    assert_eq!(refusal.code(), Code::BadRequest, "{refusal}");
    let mut small = clone_of(at(fine), "copy");
    small.shape = Some(Shape {
        memory_mb: 0,
        ..Shape::default()
    });
    let refusal = source.refused(small).await;
    assert_eq!(refusal.code(), Code::BadRequest, "{refusal}");

    // A statement that is logged by its text.
    server.script(
        "SET SESSION binlog_format = 'STATEMENT'; UPDATE shop.parent SET v = 'all' WHERE id > 2",
    );
    let text = source.mark();
    let refusal = source.refused(clone_of(at(text), "copy")).await;
    assert_eq!(refusal.code(), Code::TableUnsupported, "{refusal}");
    assert!(
        refusal.to_string().contains("UPDATE shop.parent"),
        "{refusal}"
    );
    // What lies before it can be had.
    let (proposal, _) = stage
        .databases
        .propose_clone(&owner(), &clone_of(at(fine), "copy"))
        .await
        .unwrap();
    assert!(proposal.preflight.passed(), "{proposal:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_is_gone_can_be_made_again_and_a_repeated_call_makes_one() {
    let mut source = Source::new(&[]).await;
    source.server.script(SCHEMA);
    source.stage.back_up(&source.server.url()).await;
    source
        .server
        .script("DELETE FROM shop.parent WHERE id = 3; CREATE EVENT shop.tick ON SCHEDULE EVERY 1 SECOND DO DELETE FROM shop.parent");
    let truth = source.server.value(SUMS);
    source.archived();
    source.stage.follow_no_more();
    source.server.kill();
    let stage = &source.stage;
    let worker = stage.worker().await;
    let caller = backout_databases::Caller {
        idempotency: Some(Idempotency {
            key: "again".to_owned(),
            hash: "1".to_owned(),
        }),
        ..caller()
    };
    let request = clone_of(CloneTo::Newest, "rescued");
    let (proposal, _) = stage
        .databases
        .propose_clone(&owner(), &request)
        .await
        .unwrap();
    let warned = &proposal.preflight.warnings;
    assert!(
        warned.iter().any(|w| w.code == Code::DatabaseUnreachable),
        "{warned:?}"
    );
    let (asked, made) = stage
        .databases
        .clone_instance(&caller, request.clone())
        .await
        .unwrap();
    let (again, same) = stage
        .databases
        .clone_instance(&caller, request)
        .await
        .unwrap();
    assert_eq!((&again.job, &same), (&asked.job, &made));
    assert!(again.repeated && !asked.repeated);
    // Its source is taken meanwhile.
    let busy = stage
        .databases
        .clone_instance(&common::caller(), clone_of(CloneTo::Newest, "other"))
        .await
        .unwrap_err();
    assert!(matches!(busy, Refusal::Busy { .. }), "{busy}");
    let job = stage.wait(&asked.job).await;
    assert_eq!(job.outcome, Some(Outcome::Applied), "{job:?}");
    let row = stage.databases.get(&owner(), made.as_str()).await.unwrap();
    assert_eq!(source.ask(&row, SUMS), truth);
    // Nothing there changes by itself.
    let event = "SELECT CONCAT(STATUS, @@event_scheduler) FROM information_schema.EVENTS";
    assert_eq!(source.ask(&row, event), "DISABLEDOFF");
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_or_is_stopped_leaves_nothing() {
    let source = Source::new(&[]).await;
    let (server, stage) = (&source.server, &source.stage);
    server.script(SCHEMA);
    stage.back_up(&server.url()).await;
    source.archived();
    // Stopped before it begins: there is no worker yet.
    let (asked, id) = stage
        .databases
        .clone_instance(&caller(), clone_of(CloneTo::Newest, "copy"))
        .await
        .unwrap();
    stage.jobs.request_cancel(&asked.job).await.unwrap();
    let worker = stage.worker().await;
    assert_eq!(
        stage.wait(&asked.job).await.outcome,
        Some(Outcome::Reverted)
    );
    gone(&source, &id).await;
    // A base that is damaged behind the back of everybody.
    let data = stage
        .runtime
        .backup_folder(&ID.parse().unwrap(), 1)
        .join("data/ibdata1.zst");
    let mut bytes = std::fs::read(&data).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0xff;
    std::fs::write(&data, bytes).unwrap();
    let (asked, id) = stage
        .databases
        .clone_instance(&caller(), clone_of(CloneTo::Newest, "copy"))
        .await
        .unwrap();
    let job = stage.wait(&asked.job).await;
    assert_eq!(job.outcome, Some(Outcome::Reverted));
    assert_eq!(job.error.unwrap().code, Code::BackupState);
    gone(&source, &id).await;
    worker.stop().await;
}

async fn gone(source: &Source, id: &DatabaseId) {
    assert_eq!(source.instances().await, 1);
    assert!(!source.stage.runtime.home(id).exists());
    let running = source.stage.processes();
    assert!(running.is_empty(), "{running:?}");
}

/// A clone has files of its own only, wherever those of the source are.
#[tokio::test(flavor = "multi_thread")]
async fn tables_that_lie_elsewhere_lie_in_the_clone() {
    let source = Source::new(&[]).await;
    let (server, stage) = (&source.server, &source.stage);
    let elsewhere = server.datadir().parent().unwrap().join("elsewhere");
    let lies = format!("DATA DIRECTORY = '{}'", elsewhere.display());
    server.script(&format!(
        "CREATE DATABASE shop; CREATE TABLE shop.away (id INT PRIMARY KEY) {lies}; \
         INSERT INTO shop.away VALUES (1)"
    ));
    assert!(elsewhere.join("shop/away.ibd").exists());
    stage.back_up(&server.url()).await;
    server.script(&format!(
        "INSERT INTO shop.away VALUES (2); CREATE TABLE shop.later (id INT PRIMARY KEY) {lies}; \
         INSERT INTO shop.later VALUES (1)"
    ));
    source.archived();
    let worker = stage.worker().await;
    let (_, row, _) = source.made(clone_of(CloneTo::Newest, "copy")).await;
    let count =
        "SELECT CONCAT((SELECT COUNT(*) FROM shop.away), (SELECT COUNT(*) FROM shop.later))";
    assert_eq!(source.ask(&row, count), "21");
    let endpoint = stage.runtime.endpoint(&row).unwrap();
    let mut session = Session::open(&endpoint).unwrap();
    for table in ["away", "later"] {
        let sql = format!("DELETE FROM shop.{table}");
        session.exec("test", sql).unwrap();
        let data = stage.runtime.server_folder(&row.id).join("data/shop");
        assert!(data.join(format!("{table}.ibd")).exists());
        assert!(!data.join(format!("{table}.isl")).exists());
    }
    server.script("FLUSH TABLES shop.away, shop.later");
    assert_eq!(server.value(count), "21");
    worker.stop().await;
}
