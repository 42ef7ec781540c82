//! What tables and databases are made of, beside plain rows, taken back on real
//! servers.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use backout_core::outcome::Outcome;
use backout_databases::model::Road;
use backout_databases::{RewindRequest, RewindWhat, RollbackRequest, Until};
use backout_jobs::{JobView, Worker};
use backout_mariadb::testing::PrivateServer;
use tempfile::TempDir;

use common::{Stage, caller, table, tables_at};

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
