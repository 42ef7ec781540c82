//! The ways back, failed, repeated, cancelled and killed at every step, on a
//! real server that the cases of a test share: each has a database of its own.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use backout_core::ids::JobId;
use backout_core::outcome::Outcome;
use backout_databases::model::{Copying, Renamed, Standing, Strategy};
use backout_databases::procedures::rewind::Rewind;
use backout_databases::procedures::rollback::Rollback;
use backout_databases::procedures::withdraw::Withdraw;
use backout_databases::{RewindRequest, RewindWhat, RollbackRequest, Until, persistence};
use backout_jobs::harness::{Ended, Matrix, Scenario, World, is_child};
use backout_jobs::{JobView, Jobs, Registry, Worker, WorkerConfig};
use backout_mariadb::testing::PrivateServer;
use backout_mariadb::{Endpoint, Session};
use tempfile::TempDir;

use common::{NODE, Stage, caller, owner, table, tables_at};

/// Under new names, by rows.
const BY_ROWS: u8 = 0;
/// Under new names, by files.
const BY_FILES: u8 = 1;
/// In place.
const IN_PLACE: u8 = 2;
/// What was made goes.
const AWAY: u8 = 3;

/// A whole database under a new name, by rows.
const WHOLE: u8 = 4;
/// A database that was made goes.
const WHOLE_AWAY: u8 = 5;

/// Rows that a foreign key changed, by a replay.
const REPLAYED: u8 = 6;

/// What tells the worlds in a folder of the server that they share.
const SERVER: &str = "server";

/// How long what ends by itself is waited for.
const PATIENCE: Duration = Duration::from_secs(20);

const ROWS: &str =
    "SELECT GROUP_CONCAT(CONCAT_WS('|', id, name, price) ORDER BY id SEPARATOR ' ') FROM ";

/// The server of a test, and the folder of its cases.
struct Shared {
    folder: TempDir,
    _server: PrivateServer,
}

impl Shared {
    /// `None` in a process that is there to be killed.
    fn start() -> Option<Self> {
        if is_child() {
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let server = PrivateServer::start(&[]);
        let told = format!("{}\n{}", server.socket_url(), server.datadir().display());
        std::fs::write(folder.path().join(SERVER), told).unwrap();
        Some(Self {
            folder,
            _server: server,
        })
    }
}

/// A matrix on a server of its own.
fn matrix<const PART: u8>(
    shared: Option<&Shared>,
    test: &'static str,
    scenario: impl Scenario<Host<PART>>,
) -> Matrix<Host<PART>> {
    let matrix = Matrix::new(test).scenario(scenario);
    match shared {
        Some(shared) => matrix.within(shared.folder.path()),
        None => matrix,
    }
}

/// A stage, and the case's database on the server.
struct Host<const PART: u8> {
    stage: Stage,
    url: String,
    datadir: PathBuf,
    schema: String,
}

impl<const PART: u8> World for Host<PART> {
    async fn open(folder: &Path) -> Self {
        let case = folder.ancestors().find(|a| a.join(SERVER).exists());
        let told = std::fs::read_to_string(case.unwrap().join(SERVER)).unwrap();
        let (url, datadir) = told.split_once('\n').unwrap();
        // Of the folder of the case, which is this one or the one above.
        let unique: String = folder
            .ancestors()
            .take(2)
            .filter_map(|a| a.file_name())
            .map(|name| name.to_string_lossy().into_owned())
            .find(|name| name.starts_with("backout-matrix"))
            .unwrap();
        let schema = unique.replace("backout-matrix", "case_");
        let mut host = Self {
            stage: Stage::open(folder),
            url: url.to_owned(),
            datadir: PathBuf::from(datadir),
            schema,
        };
        if host.stage.databases.get(&owner(), "shop").await.is_err() {
            // What earlier cases did is not read again.
            host.exec("FLUSH BINARY LOGS");
            let logs: Vec<(String, u64)> =
                host.session().query("test", "SHOW BINARY LOGS").unwrap();
            host.exec(format!("PURGE BINARY LOGS TO '{}'", logs.last().unwrap().0));
        }
        host.stage.follow(&host.url);
        host
    }

    fn jobs(&self) -> &Jobs {
        &self.stage.jobs
    }

    fn registry(&self) -> Registry {
        let runtime = self.stage.runtime.clone();
        match PART {
            BY_ROWS | BY_FILES | WHOLE | REPLAYED => Registry::new().with(Rollback(runtime)),
            IN_PLACE => Registry::new().with(Rewind(runtime)),
            _ => Registry::new().with(Withdraw(runtime)),
        }
    }

    fn node(&self) -> &str {
        NODE
    }
}

impl<const PART: u8> Host<PART> {
    fn session(&self) -> Session {
        Session::open(&Endpoint::parse(&self.url).unwrap()).unwrap()
    }

    fn exec(&self, sql: impl Into<String>) {
        self.session().exec("test", sql.into()).unwrap();
    }

    fn texts(&self, sql: impl Into<String>) -> Vec<String> {
        self.session().query("test", sql.into()).unwrap()
    }

    fn rows(&self, name: &str) -> String {
        self.texts(format!("{ROWS}{}.{name}", self.schema)).concat()
    }

    fn note(&self, name: &str) -> String {
        std::fs::read_to_string(self.stage.folder.join(name)).unwrap()
    }

    fn keep(&self, name: &str, text: &str) {
        std::fs::write(self.stage.folder.join(name), text).unwrap();
    }

    /// Goods, and what happened to them.
    async fn prepare(&self) {
        let files = matches!(PART, BY_FILES | REPLAYED);
        let datadir = files.then(|| self.datadir.clone());
        self.stage.enlist(&self.url, datadir).await;
        let schema = &self.schema;
        self.exec(format!("CREATE DATABASE {schema}"));
        self.exec(format!(
            "CREATE TABLE {schema}.items (id INT PRIMARY KEY, name VARCHAR(40) NOT NULL, \
             price DECIMAL(10,2) NOT NULL) ENGINE=InnoDB"
        ));
        self.exec(format!(
            "INSERT INTO {schema}.items SELECT seq, CONCAT('item ', seq), seq / 7 \
             FROM {schema}.seq_1_to_60"
        ));
        if matches!(PART, WHOLE | WHOLE_AWAY) {
            self.surround();
        }
        if PART == REPLAYED {
            self.refer().await;
        }
        let gtid = self.texts("SELECT @@gtid_binlog_pos").concat();
        self.keep("then", &gtid);
        self.keep("before", &self.rows("items"));
        for bad in [
            "UPDATE items SET price = 0 WHERE id <= 30",
            "DELETE FROM items WHERE id % 10 = 3",
            "INSERT INTO items VALUES (70, 'new', 1), (71, 'newer', 2)",
        ] {
            let mut session = self.session();
            session.exec("test", format!("USE {schema}")).unwrap();
            session.exec("test", bad).unwrap();
        }
        self.keep("after", &self.rows("items"));
    }

    /// Parts of the goods, which go with them; a base backup; and some that went.
    async fn refer(&self) {
        let schema = &self.schema;
        self.exec(format!(
            "CREATE TABLE {schema}.parts (id INT PRIMARY KEY, item INT, KEY (item), CONSTRAINT part_of \
             FOREIGN KEY (item) REFERENCES {schema}.items (id) ON DELETE CASCADE) ENGINE=InnoDB"
        ));
        self.exec(format!(
            "INSERT INTO {schema}.parts SELECT seq, 1 + seq % 60 FROM {schema}.seq_1_to_120"
        ));
        self.stage.back_up(&self.url).await;
        self.exec(format!("DELETE FROM {schema}.items WHERE id IN (40, 41)"));
        self.keep("parts", &self.parts("parts"));
    }

    fn parts(&self, name: &str) -> String {
        self.texts(format!(
            "SELECT GROUP_CONCAT(id, ':', item ORDER BY id) FROM {}.{name}",
            self.schema
        ))
        .concat()
    }

    /// What there is beside the goods.
    fn surround(&self) {
        for sql in [
            "CREATE TABLE d.sales (id INT PRIMARY KEY, item INT, KEY (item), \
             CONSTRAINT sold FOREIGN KEY (item) REFERENCES d.items (id)) ENGINE=InnoDB",
            "INSERT INTO d.sales VALUES (1, 1), (2, 2)",
            "CREATE FUNCTION d.half(x INT) RETURNS INT DETERMINISTIC RETURN x / 2",
            "CREATE PROCEDURE d.p() SELECT COUNT(*) FROM d.items",
            "CREATE VIEW d.a_view AS SELECT id, d.half(price) AS half FROM d.items",
            "CREATE VIEW d.b_view AS SELECT half FROM d.a_view",
            "CREATE TRIGGER d.stamp BEFORE INSERT ON d.items FOR EACH ROW SET NEW.name = TRIM(NEW.name)",
            "CREATE EVENT d.often ON SCHEDULE EVERY 1 DAY DISABLE DO DELETE FROM d.items WHERE id < 0",
        ] {
            self.exec(sql.replace(" d.", &format!(" {}.", self.schema)));
        }
    }

    fn back(&self) -> String {
        format!("{}_back", self.schema)
    }

    /// What is defined in a database, by kind and name.
    fn defined(&self, schema: &str) -> Vec<String> {
        self.texts(format!(
            "SELECT CONCAT('table ', TABLE_NAME) FROM information_schema.TABLES WHERE TABLE_SCHEMA = '{schema}' \
             UNION SELECT CONCAT('trigger ', TRIGGER_NAME) FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = '{schema}' \
             UNION SELECT CONCAT('routine ', ROUTINE_NAME) FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = '{schema}' \
             UNION SELECT CONCAT('event ', EVENT_NAME) FROM information_schema.EVENTS WHERE EVENT_SCHEMA = '{schema}' \
             UNION SELECT CONCAT('key ', CONSTRAINT_NAME) FROM information_schema.TABLE_CONSTRAINTS \
               WHERE TABLE_SCHEMA = '{schema}' AND CONSTRAINT_TYPE = 'FOREIGN KEY' ORDER BY 1"
        ))
    }

    /// What must hold of the new database.
    fn new_database_is(&self, there: bool) {
        let back = self.back();
        let wanted = match there {
            true => self.defined(&self.schema),
            false => Vec::new(),
        };
        assert_eq!(wanted.len(), if there { 9 } else { 0 }, "{wanted:?}");
        assert_eq!(self.defined(&back), wanted);
        let databases = self.texts(format!("SHOW DATABASES LIKE '{back}'"));
        assert_eq!(databases.len(), usize::from(there));
        if there {
            let rows = self.texts(format!("{ROWS}{back}.items")).concat();
            assert_eq!(rows, self.note("before"));
            let comment = self.texts(format!(
                "SELECT SCHEMA_COMMENT FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = '{back}'"
            ));
            assert_eq!(comment, [""]);
            self.exec(format!("DROP DATABASE {back}"));
        }
    }

    fn until(&self) -> Until {
        Until::Gtid(self.note("then").parse().unwrap())
    }

    fn request(&self) -> RollbackRequest {
        let (from, to) = (
            format!("{}.items", self.schema),
            format!("{}.items_back", self.schema),
        );
        if PART == REPLAYED {
            let (from, to) = (
                format!("{}.parts", self.schema),
                format!("{}.parts_back", self.schema),
            );
            return RollbackRequest {
                until: self.until(),
                ..tables_at(0, &[(&from, &to)])
            };
        }
        if matches!(PART, WHOLE | WHOLE_AWAY) {
            return RollbackRequest {
                until: self.until(),
                strategy: Strategy::Full,
                databases: vec![Renamed {
                    from: self.schema.clone(),
                    to: self.back(),
                }],
                ..tables_at(0, &[])
            };
        }
        RollbackRequest {
            until: self.until(),
            ..tables_at(0, &[(&from, &to)])
        }
    }

    async fn ask(&self) -> JobId {
        let asked = self
            .stage
            .databases
            .rollback(&caller(), vec![self.request()])
            .await
            .unwrap();
        asked[0].job.clone()
    }

    fn tables(&self) -> Vec<String> {
        self.texts(format!(
            "SELECT TABLE_NAME FROM information_schema.TABLES \
             WHERE TABLE_SCHEMA = '{}' ORDER BY 1",
            self.schema
        ))
    }

    async fn standing(&self, job: &JobId) -> Standing {
        let job = job.clone();
        let task = self
            .stage
            .store
            .read(move |tx| persistence::task_of_job(tx, &job))
            .await
            .unwrap();
        task.unwrap().standing
    }

    /// What must hold after every job, however it ended.
    async fn nothing_is_left(&self, ended: &Ended) {
        let standing = self.standing(&ended.job.id).await;
        match ended.outcome {
            Outcome::Applied => assert_eq!(standing, Standing::Applied),
            _ => assert!(
                matches!(standing, Standing::Failed | Standing::Stopped),
                "{standing:?}"
            ),
        }
        let hidden = self.texts("SHOW DATABASES LIKE 'backout%'");
        assert_eq!(hidden, Vec::<String>::new());
        assert!(self.stage.has_no_files_of_jobs());
        assert_eq!(self.stage.processes(), Vec::<String>::new());
        // Of a process that was killed the server may still have a session.
        let until = Instant::now() + PATIENCE;
        loop {
            let sessions = self.texts(
                "SELECT CONCAT_WS(' ', ID, COMMAND, IFNULL(INFO, '')) FROM information_schema.PROCESSLIST \
                 WHERE ID <> CONNECTION_ID() AND COMMAND NOT IN ('Binlog Dump', 'Daemon') AND USER = 'root'",
            );
            if sessions.is_empty() {
                break;
            }
            assert!(Instant::now() < until, "{sessions:?}");
            std::thread::sleep(Duration::from_millis(10));
        }
        self.exec(format!("DROP DATABASE {}", self.schema));
        // Not so when a file was left in its folder.
        assert!(!self.datadir.join(&self.schema).exists());
    }
}

struct Back;

impl<const PART: u8> Scenario<Host<PART>> for Back {
    fn procedure(&self) -> &'static str {
        "databases.rollback"
    }

    async fn set_up(&self, host: &Host<PART>) {
        host.prepare().await;
    }

    async fn submit(&self, host: &Host<PART>) -> JobId {
        let (proposal, found) = host
            .stage
            .databases
            .propose_rollback(&owner(), &host.request())
            .await
            .unwrap();
        assert!(proposal.preflight.passed(), "{:?}", proposal.preflight);
        let copying = match PART {
            BY_FILES => Copying::Files,
            _ => Copying::Rows,
        };
        assert_eq!(found.unwrap().copying, copying);
        host.ask().await
    }

    async fn check(&self, host: &Host<PART>, ended: &Ended) {
        assert_eq!(
            host.rows("items"),
            host.note("after"),
            "the source is only read"
        );
        if ended.outcome == Outcome::Applied {
            assert_eq!(host.tables(), ["items", "items_back"]);
            assert_eq!(host.rows("items_back"), host.note("before"));
        } else {
            assert_eq!(host.tables(), ["items"]);
        }
        host.nothing_is_left(ended).await;
    }

    async fn check_held(&self, host: &Host<PART>, job: &JobView) {
        assert_eq!(host.rows("items"), host.note("after"));
        assert_eq!(host.standing(&job.id).await, Standing::Held);
    }
}

#[test]
fn a_rollback_by_rows_survives_everything() {
    let shared = Shared::start();
    let report = matrix::<BY_ROWS>(
        shared.as_ref(),
        "a_rollback_by_rows_survives_everything",
        Back,
    )
    .run();
    // 8 steps, 5 undos.
    assert!(report.kills >= 4 * 13, "{report:?}");
}

#[test]
fn a_rollback_by_files_survives_kills_and_cancels() {
    let shared = Shared::start();
    let matrix = matrix::<BY_FILES>(
        shared.as_ref(),
        "a_rollback_by_files_survives_kills_and_cancels",
        Back,
    );
    // Each case starts a server: all of them only where there is time.
    let report = match std::env::var_os("BACKOUT_SOAK") {
        Some(_) => matrix.run(),
        None => matrix.sampled().run(),
    };
    assert!(report.kills >= 13, "{report:?}");
}

struct Rewinding;

impl Scenario<Host<IN_PLACE>> for Rewinding {
    fn procedure(&self) -> &'static str {
        "databases.rewind"
    }

    async fn set_up(&self, host: &Host<IN_PLACE>) {
        host.prepare().await;
    }

    async fn submit(&self, host: &Host<IN_PLACE>) -> JobId {
        let request = RewindRequest {
            instance: "shop".to_owned(),
            what: RewindWhat::Until {
                until: host.until(),
                tables: vec![table(&format!("{}.items", host.schema))],
            },
            torn: false,
        };
        let asked = host.stage.databases.rewind(&caller(), request).await;
        asked.unwrap().job
    }

    async fn check(&self, host: &Host<IN_PLACE>, ended: &Ended) {
        let rows = match ended.outcome {
            Outcome::Applied => "before",
            _ => "after",
        };
        assert_eq!(host.rows("items"), host.note(rows));
        assert_eq!(host.tables(), ["items"]);
        if ended.outcome == Outcome::Applied {
            // Whatever happened on the way, it is known what was done.
            let job = ended.job.id.clone();
            let task = host
                .stage
                .store
                .read(move |tx| persistence::task_of_job(tx, &job))
                .await
                .unwrap();
            let made = task.unwrap().detail.rollback.unwrap().made;
            assert!(made.is_some());
        }
        host.nothing_is_left(ended).await;
    }

    async fn check_held(&self, host: &Host<IN_PLACE>, job: &JobView) {
        assert_eq!(host.standing(&job.id).await, Standing::Held);
        let rows = host.rows("items");
        assert!(rows == host.note("before") || rows == host.note("after"));
    }
}

#[test]
fn a_rollback_in_place_survives_everything() {
    let shared = Shared::start();
    let report = matrix::<IN_PLACE>(
        shared.as_ref(),
        "a_rollback_in_place_survives_everything",
        Rewinding,
    )
    .run();
    // 3 steps, 2 undos.
    assert!(report.kills >= 4 * 5, "{report:?}");
}

struct WholeBack;

impl Scenario<Host<WHOLE>> for WholeBack {
    fn procedure(&self) -> &'static str {
        "databases.rollback"
    }

    async fn set_up(&self, host: &Host<WHOLE>) {
        host.prepare().await;
    }

    async fn submit(&self, host: &Host<WHOLE>) -> JobId {
        host.ask().await
    }

    async fn check(&self, host: &Host<WHOLE>, ended: &Ended) {
        assert_eq!(host.rows("items"), host.note("after"));
        host.new_database_is(ended.outcome == Outcome::Applied);
        host.nothing_is_left(ended).await;
    }

    async fn check_held(&self, host: &Host<WHOLE>, job: &JobView) {
        assert_eq!(host.rows("items"), host.note("after"));
        assert_eq!(host.standing(&job.id).await, Standing::Held);
    }
}

#[test]
fn a_whole_database_survives_everything() {
    let shared = Shared::start();
    let report = matrix::<WHOLE>(
        shared.as_ref(),
        "a_whole_database_survives_everything",
        WholeBack,
    );
    let report = match std::env::var_os("BACKOUT_SOAK") {
        Some(_) => report.run(),
        None => report.sampled().run(),
    };
    assert!(report.kills >= 13, "{report:?}");
}

struct Replaying;

impl Scenario<Host<REPLAYED>> for Replaying {
    fn procedure(&self) -> &'static str {
        "databases.rollback"
    }

    async fn set_up(&self, host: &Host<REPLAYED>) {
        host.prepare().await;
    }

    async fn submit(&self, host: &Host<REPLAYED>) -> JobId {
        let request = host.request();
        let databases = &host.stage.databases;
        let (_, found) = databases
            .propose_rollback(&owner(), &request)
            .await
            .unwrap();
        let found = found.unwrap();
        assert!(found.why.contains("replayed"), "{}", found.why);
        host.ask().await
    }

    async fn check(&self, host: &Host<REPLAYED>, ended: &Ended) {
        assert_eq!(host.rows("items"), host.note("after"));
        if ended.outcome == Outcome::Applied {
            assert_eq!(host.tables(), ["items", "parts", "parts_back"]);
            assert_eq!(host.parts("parts_back"), host.note("parts"));
            assert_ne!(host.parts("parts"), host.note("parts"));
        } else {
            assert_eq!(host.tables(), ["items", "parts"]);
        }
        host.nothing_is_left(ended).await;
    }

    async fn check_held(&self, host: &Host<REPLAYED>, job: &JobView) {
        assert_eq!(host.standing(&job.id).await, Standing::Held);
        assert_eq!(host.rows("items"), host.note("after"));
    }
}

#[test]
fn a_replay_survives_kills_and_cancels() {
    let shared = Shared::start();
    let matrix = matrix::<REPLAYED>(
        shared.as_ref(),
        "a_replay_survives_kills_and_cancels",
        Replaying,
    );
    // Each case takes a backup and starts a server.
    let report = match std::env::var_os("BACKOUT_SOAK") {
        Some(_) => matrix.run(),
        None => matrix.sampled().run(),
    };
    assert!(report.kills >= 13, "{report:?}");
}

struct Withdrawing;

impl<const PART: u8> Scenario<Host<PART>> for Withdrawing {
    fn procedure(&self) -> &'static str {
        "databases.withdraw"
    }

    async fn set_up(&self, host: &Host<PART>) {
        host.prepare().await;
        let job = host.ask().await;
        let registry = Registry::new().with(Rollback(host.stage.runtime.clone()));
        let config = WorkerConfig {
            poll: Duration::from_millis(20),
            ..WorkerConfig::new(NODE)
        };
        let worker = Worker::start(&host.stage.jobs, registry, config).await;
        let ended = host.stage.wait(&job).await;
        assert_eq!(ended.outcome, Some(Outcome::Applied), "{:?}", ended.error);
        worker.unwrap().stop().await;
        host.keep("made", job.as_str());
    }

    async fn submit(&self, host: &Host<PART>) -> JobId {
        let made = host.note("made").parse().unwrap();
        let asked = host.stage.databases.undo(&caller(), &made).await;
        asked.unwrap().job
    }

    async fn check(&self, host: &Host<PART>, ended: &Ended) {
        assert_eq!(host.rows("items"), host.note("after"));
        if PART == WHOLE_AWAY {
            host.new_database_is(ended.outcome != Outcome::Applied);
        } else if ended.outcome == Outcome::Applied {
            assert_eq!(host.tables(), ["items"]);
        } else {
            assert_eq!(host.tables(), ["items", "items_back"]);
            assert_eq!(host.rows("items_back"), host.note("before"));
        }
        host.nothing_is_left(ended).await;
    }

    async fn check_held(&self, host: &Host<PART>, job: &JobView) {
        assert_eq!(host.standing(&job.id).await, Standing::Held);
        assert_eq!(host.rows("items"), host.note("after"));
    }
}

#[test]
fn taking_tables_away_survives_everything() {
    let shared = Shared::start();
    let report = matrix::<AWAY>(
        shared.as_ref(),
        "taking_tables_away_survives_everything",
        Withdrawing,
    )
    .run();
    // 3 steps, 1 undo.
    assert!(report.kills >= 4 * 4, "{report:?}");
}

#[test]
fn taking_a_database_away_survives_everything() {
    let shared = Shared::start();
    let report = matrix::<WHOLE_AWAY>(
        shared.as_ref(),
        "taking_a_database_away_survives_everything",
        Withdrawing,
    );
    let report = match std::env::var_os("BACKOUT_SOAK") {
        Some(_) => report.run(),
        None => report.sampled().run(),
    };
    assert!(report.kills >= 4, "{report:?}");
}
