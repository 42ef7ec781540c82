//! Random tables, random writers and random marks: at each mark what the tables
//! hold is read by plain statements, and later every way back must lead to just
//! that, in rows, definitions and indexes.
//!
//! `BACKOUT_ORACLE_SEED=N` repeats a run as far as several writers at a time can
//! be repeated, `BACKOUT_ORACLE_ROUNDS=N` sets how many rounds there are, and
//! `BACKOUT_SOAK=N` makes N times as many. Each run prints its seed.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![expect(clippy::print_stdout, reason = "a failure is repeated by its seed")]

#[path = "../common/mod.rs"]
mod common;
mod tables;
mod writers;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use backout_core::ids::DatabaseId;
use backout_core::outcome::Outcome;
use backout_core::time::{Clock as _, SystemClock};
use backout_databases::model::{
    Address, Backup, BackupConfig, BackupState, Facts, Instance, InstanceState, Kind, LocalLogs,
    Method, Renamed, Road, Shape, Strategy, Way,
};
use backout_databases::{
    Refusal, RewindRequest, RewindWhat, RollbackRequest, Until, Written, persistence,
};
use backout_history::archive::pull::{PullFrom, pull};
use backout_history::{Micros, TableName};
use backout_jobs::JobView;
use backout_mariadb::testing::{PATIENCE, PrivateServer};
use backout_mariadb::{Endpoint, Session, backup, catalog};

use common::{NODE, Stage, caller, now_us, owner};
use tables::{Dice, Model, Truth, alter, make, truth};
use writers::{Phase, Writers};

/// Rounds of a run of the whole test.
const ROUNDS: u64 = 1;
/// Tables of a round.
const TABLES: usize = 8;
/// Marks of a round.
const MARKS: usize = 4;
/// Writers at a time.
const WRITERS: usize = 3;
/// Transactions between two marks.
const BETWEEN: u64 = 60;
/// Rounds that one server sees: the next is started with other settings.
const ROUNDS_A_SERVER: u64 = 12;
/// Where earlier states are put.
const BACK: &str = "back";

/// The server as it is taken back by its files.
const FILES: &str = "cdb-f1nl9rpv";
/// The same server as it is taken back without them.
const ROWS: &str = "cdb-r1nl9rpv";

/// What tables held at one instant.
struct Mark {
    until: Until,
    /// By name.
    tables: BTreeMap<String, Truth>,
}

struct Pulling {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Drop for Pulling {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

struct Oracle {
    seed: u64,
    dice: Dice,
    // In this order they go: who follows the server, before it.
    _pulling: Pulling,
    stage: Stage,
    server: PrivateServer,
    backups: u64,
    asked: u64,
    /// How many tables came back rightly, by way.
    right: BTreeMap<&'static str, u64>,
    /// What was refused though no definition had changed.
    refused: Vec<String>,
    /// What is wrong.
    wrong: Vec<String>,
    // Last, so that servers on its files are gone.
    _folder: tempfile::TempDir,
}

fn id(text: &str) -> DatabaseId {
    text.parse().unwrap()
}

async fn manage(stage: &Stage, name: &str, server: &PrivateServer, datadir: Option<PathBuf>) {
    let instance = Instance {
        id: id(name),
        owner: owner(),
        name: name.to_owned(),
        node: NODE.to_owned(),
        kind: Kind::Reached,
        state: InstanceState::Running,
        address: Address::default(),
        sealed: server.url().as_bytes().to_vec(),
        facts: Facts {
            zone: "+00:00".to_owned(),
            datadir,
            ..Facts::default()
        },
        shape: Shape::default(),
        backups: BackupConfig::default(),
        local_logs: LocalLogs::default(),
        tags: Vec::new(),
        created: SystemClock.now(),
        isolated: None,
    };
    stage
        .store
        .write(move |tx| persistence::insert_instance(tx, &instance))
        .await
        .unwrap();
}

fn follow(stage: &Stage, server: &PrivateServer) -> Pulling {
    let stop = Arc::new(AtomicBool::new(false));
    let mut threads = Vec::new();
    for (name, server_id) in [(FILES, 700_001), (ROWS, 700_002)] {
        let endpoint = Endpoint::parse(&server.url()).unwrap();
        let archive = stage.runtime.archive(&id(name)).unwrap();
        let stopped = Arc::clone(&stop);
        let from = PullFrom {
            host: endpoint.host.clone(),
            port: endpoint.port,
            socket: endpoint.socket.clone(),
            user: endpoint.user.clone(),
            password: endpoint.password.expose().to_owned(),
            server_id,
            tls: None,
        };
        threads.push(std::thread::spawn(move || {
            let stopped = move || stopped.load(Ordering::Relaxed);
            while !stopped() {
                if let Err(e) = pull(&archive, &from, &|| Micros(now_us()), &stopped) {
                    println!("pull: {e}");
                    std::thread::sleep(Duration::from_millis(50));
                }
            }
        }));
    }
    Pulling { stop, threads }
}

impl Oracle {
    async fn new(seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        let mut args = vec!["--max-allowed-packet=64M".to_owned()];
        for (share, arg) in [
            (2, "--log-bin-compress=1"),
            (2, "--log-bin-compress-min-len=64"),
            (3, "--binlog-checksum=NONE"),
            (3, "--lower-case-table-names=1"),
            (2, "--max-binlog-size=64K"),
            (3, "--binlog-row-metadata=FULL"),
            (3, "--gtid-domain-id=7"),
        ] {
            if dice.one_in(share) {
                args.push(arg.to_owned());
            }
        }
        println!("server: {args:?}");
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let server = PrivateServer::start(&args);
        let folder = tempfile::tempdir().unwrap();
        let stage = Stage::open(folder.path());
        manage(&stage, FILES, &server, Some(server.datadir())).await;
        manage(&stage, ROWS, &server, None).await;
        let pulling = follow(&stage, &server);
        server.script(&format!("CREATE DATABASE {BACK}"));
        Self {
            seed,
            dice,
            _pulling: pulling,
            stage,
            server,
            backups: 0,
            asked: 0,
            right: BTreeMap::new(),
            refused: Vec::new(),
            wrong: Vec::new(),
            _folder: folder,
        }
    }

    fn session(&self) -> Session {
        common::session(&self.server)
    }

    async fn back_up(&mut self) {
        self.backups += 1;
        let number = self.backups;
        let endpoint = Endpoint::parse(&self.server.url()).unwrap();
        let folder = self.stage.runtime.backup_folder(&id(FILES), number);
        std::fs::create_dir_all(folder.parent().unwrap()).unwrap();
        let to = folder.clone();
        let manifest = tokio::task::spawn_blocking(move || {
            let options = backup::Options {
                threads: 2,
                beside: None,
                cancelled: &|| false,
            };
            backup::full(&endpoint, &to, &options).unwrap()
        })
        .await
        .unwrap();
        let row = Backup {
            number,
            instance: id(FILES),
            owner: owner(),
            name: format!("base {number}"),
            way: Way::Manual,
            method: Method::Full,
            state: BackupState::Ready,
            folder,
            tables: Vec::new(),
            base: None,
            position: manifest.position.clone(),
            gtid: Some(manifest.gtid.clone()),
            bytes: manifest.stored_bytes(),
            started: SystemClock.now(),
            finished: Some(SystemClock.now()),
            as_of: Some(SystemClock.now()),
            job: None,
        };
        self.stage
            .store
            .write(move |tx| persistence::insert_backup(tx, &row))
            .await
            .unwrap();
    }

    /// Notes what the tables hold, while nobody writes.
    fn mark(&mut self, schema: &str, session: &mut Session) -> Mark {
        let names: Vec<String> = session
            .query(
                "test",
                format!(
                    "SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA='{schema}' AND TABLE_TYPE IN ('BASE TABLE','SYSTEM VERSIONED')"
                ),
            )
            .unwrap();
        let tables = names
            .into_iter()
            .map(|name| {
                let truth = truth(session, schema, &name);
                (name, truth)
            })
            .collect();
        let end = catalog::binlog_end(session).unwrap().unwrap();
        let until = match self.dice.roll(3) {
            0 => {
                for name in [FILES, ROWS] {
                    let archive = self.stage.runtime.archive(&id(name)).unwrap();
                    assert!(archive.wait_until(&end, PATIENCE, &|| false).unwrap());
                }
                // Later than what came, and earlier than what comes.
                std::thread::sleep(Duration::from_millis(2));
                let us = now_us();
                std::thread::sleep(Duration::from_millis(2));
                Until::Written(Written::Instant(us))
            }
            1 => {
                let gtid: Option<String> =
                    session.first("test", "SELECT @@gtid_binlog_pos").unwrap();
                gtid.and_then(|g| g.parse().ok())
                    .map_or(Until::Position(end), Until::Gtid)
            }
            _ => Until::Position(end),
        };
        Mark { until, tables }
    }

    fn request(
        &mut self,
        instance: &str,
        schema: &str,
        mark: &Mark,
        names: &[String],
        road: Option<Road>,
    ) -> RollbackRequest {
        self.asked += 1;
        let asked = self.asked;
        RollbackRequest {
            instance: instance.to_owned(),
            until: mark.until.clone(),
            strategy: Strategy::Full,
            databases: Vec::new(),
            tables: names
                .iter()
                .map(|name| Renamed {
                    from: TableName::new(schema, name),
                    to: TableName::new(BACK, format!("{name}_{asked}")),
                })
                .collect(),
            torn: false,
            road,
        }
    }

    /// A test is over when its server has crashed: says why.
    #[expect(clippy::panic, reason = "a test whose server has ended has failed")]
    fn alive(&self, doing: &str) {
        if Session::open(&Endpoint::parse(&self.server.url()).unwrap()).is_ok() {
            return;
        }
        let log = std::fs::read_to_string(self.server.log()).unwrap_or_default();
        let lines: Vec<&str> = log
            .lines()
            .filter(|l| !l.contains("[Note]"))
            .rev()
            .take(60)
            .collect();
        let end: Vec<&str> = lines.into_iter().rev().collect();
        panic!(
            "BACKOUT_ORACLE_SEED={}: the server has ended: {doing}; wrong until then: {}\n{}",
            self.seed,
            self.wrong.join("\n\n"),
            end.join("\n")
        );
    }

    async fn job(&self, request: &RollbackRequest) -> Result<JobView, Refusal> {
        let began = Instant::now();
        let asked = self
            .stage
            .databases
            .rollback(&caller(), vec![request.clone()])
            .await;
        let asked = match asked {
            Ok(asked) => asked,
            Err(e) => {
                tell(&format!("refused after {:?}: {e}", began.elapsed()));
                return Err(e);
            }
        };
        let job = self.stage.wait(&asked[0].job).await;
        assert!(
            job.outcome.is_some(),
            "BACKOUT_ORACLE_SEED={}: a job does not end: {} {:?}: {:?} {}; {request:?}",
            self.seed,
            job.percent,
            job.step,
            job.error,
            job.words
        );
        tell(&format!(
            "{} {:?} {} after {:?}: {:?} {:?}",
            request.tables[0].from,
            request.road,
            request.tables.len(),
            began.elapsed(),
            job.outcome,
            job.error
        ));
        Ok(job)
    }

    /// Compares what came back with what was there. What is right goes again.
    /// Rows of a server without backups come back in tables as they are defined
    /// now, when definitions have changed (`calm` is that none has).
    fn compare(&mut self, way: &'static str, request: &RollbackRequest, mark: &Mark, calm: bool) {
        let mut session = self.session();
        for table in &request.tables {
            let then = &mark.tables[&table.from.table];
            let is = truth(&mut session, &table.to.schema, &table.to.table);
            let found = match !calm && request.instance == ROWS {
                true => then.differences_of_rows(&is),
                false => then.differences(&is),
            };
            if found.is_empty() {
                *self.right.entry(way).or_default() += 1;
            } else {
                self.wrong.push(format!(
                    "{way}: {} to {:?}: {found}\n{}",
                    table.from, request.until, then.create
                ));
            }
            session
                .exec(
                    "test",
                    format!("DROP TABLE `{}`.`{}`", table.to.schema, table.to.table),
                )
                .unwrap();
        }
    }

    /// Asks, waits and compares. `calm`: no definition changed since, so that
    /// there is nothing to refuse.
    async fn go(&mut self, way: &'static str, request: RollbackRequest, mark: &Mark, calm: bool) {
        let answer = self.job(&request).await;
        self.alive(&format!("{request:?}"));
        match answer {
            Ok(job) if job.outcome == Some(Outcome::Applied) => {
                self.compare(way, &request, mark, calm)
            }
            Ok(job) => {
                let said = format!("{way}: {:?} {:?}", job.outcome, job.error);
                self.singly(way, &request, mark, calm, &said).await;
            }
            Err(refusal) => {
                let said = format!("{way}: refused: {refusal}");
                self.singly(way, &request, mark, calm, &said).await;
            }
        }
    }

    /// One after another, so that it is known which tables it is about.
    async fn singly(
        &mut self,
        way: &'static str,
        request: &RollbackRequest,
        mark: &Mark,
        calm: bool,
        said: &str,
    ) {
        let mut blamed = false;
        for table in &request.tables {
            let one = RollbackRequest {
                tables: vec![table.clone()],
                ..request.clone()
            };
            let create = &mark.tables[&table.from.table].create;
            let answer = self.job(&one).await;
            self.alive(&format!("{one:?}"));
            match answer {
                Ok(job) if job.outcome == Some(Outcome::Applied) => {
                    self.compare(way, &one, mark, calm)
                }
                Ok(job) => {
                    blamed = true;
                    self.wrong.push(format!(
                        "{way}: {} to {:?}: {:?} {:?}\n{create}",
                        table.from, request.until, job.outcome, job.error
                    ));
                }
                Err(refusal) => {
                    blamed = true;
                    let text = format!("{way}: {}: {refusal}\n{create}", table.from);
                    if explained(&refusal) {
                        if calm {
                            self.refused.push(text);
                        } else {
                            *self.right.entry("refused").or_default() += 1;
                        }
                    } else {
                        self.wrong.push(text);
                    }
                }
            }
        }
        if !blamed {
            self.wrong.push(format!("all together only: {said}"));
        }
    }

    async fn round(&mut self, round: u64) {
        let schema = format!("r{round}");
        let with_ddl = round % 3 == 2;
        let mut session = self.session();
        session
            .exec("test", format!("CREATE DATABASE {schema}"))
            .unwrap();
        let mut models: Vec<Model> = Vec::new();
        for i in 0..TABLES {
            models.push(make(&mut session, &mut self.dice, &schema, i));
        }
        let writers = Writers::start(&self.server, WRITERS, self.dice.next(), models);
        writers.run(BETWEEN);
        writers.phase(Phase::Quiet);
        writers.phase(Phase::Run);
        self.alive("the writers");
        self.back_up().await;
        let mut marks = Vec::new();
        for _ in 0..MARKS {
            writers.run(BETWEEN);
            if with_ddl {
                for _ in 0..=self.dice.roll(2) {
                    let changed = alter(&mut session, &mut self.dice, &schema, &writers.models());
                    writers.set(changed);
                    writers.run(BETWEEN / 4);
                }
            }
            self.alive("the writers");
            let pause = writers.pause();
            marks.push(self.mark(&schema, &mut session));
            drop(pause);
        }
        writers.run(BETWEEN);
        self.alive("the writers");
        writers.phase(Phase::Slow);
        for (i, mark) in marks.iter().enumerate() {
            let now: Vec<String> = mark
                .tables
                .iter()
                .filter(|(_, then)| !then.create.contains("WITH SYSTEM VERSIONING"))
                .map(|(name, _)| name.clone())
                .collect();
            // With a key that chunks can follow: others need the files.
            let keyed: Vec<String> = mark
                .tables
                .iter()
                .filter(|(_, truth)| truth.followed)
                .map(|(name, _)| name.clone())
                .collect();
            let (way, road) = match (with_ddl, (i + usize::try_from(round).unwrap()) % 2) {
                (true, _) => ("restore", Some(Road::Restore)),
                (false, 0) => ("undo by files", Some(Road::Undo)),
                (false, _) => ("restore", Some(Road::Restore)),
            };
            let began = Instant::now();
            if !keyed.is_empty() {
                let request = self.request(ROWS, &schema, mark, &keyed, None);
                self.go("undo by rows", request, mark, !with_ddl).await;
            }
            let rows_took = began.elapsed();
            let began = Instant::now();
            if !now.is_empty() {
                let request = self.request(FILES, &schema, mark, &now, road);
                self.go(way, request, mark, !with_ddl).await;
            }
            println!(
                "round {round} mark {i}: rows {} ms, {way} {} ms",
                rows_took.as_millis(),
                began.elapsed().as_millis()
            );
        }
        writers.phase(Phase::Quiet);
        if !with_ddl {
            let (mark, names) = {
                let i = self.dice.roll(MARKS);
                let names: Vec<String> = marks[i].tables.keys().cloned().collect();
                (&marks[i], names)
            };
            self.in_place(&schema, mark, &names).await;
        }
        drop(writers);
        session
            .exec("test", format!("DROP DATABASE {schema}"))
            .unwrap();
    }

    async fn in_place(&mut self, schema: &str, mark: &Mark, names: &[String]) {
        for name in names {
            let request = RewindRequest {
                instance: ROWS.to_owned(),
                what: RewindWhat::Until {
                    until: mark.until.clone(),
                    tables: vec![TableName::new(schema, name)],
                },
                torn: true,
            };
            let then = &mark.tables[name];
            match self.stage.databases.rewind(&caller(), request).await {
                Ok(asked) => {
                    let job = self.stage.wait(&asked.job).await;
                    if job.outcome == Some(Outcome::Applied) {
                        let mut session = self.session();
                        let found = then.differences(&truth(&mut session, schema, name));
                        if found.is_empty() {
                            *self.right.entry("in place").or_default() += 1;
                        } else {
                            self.wrong.push(format!(
                                "in place: {schema}.{name}: {found}\n{}",
                                then.create
                            ));
                        }
                    } else {
                        self.wrong.push(format!(
                            "in place: {schema}.{name} to {:?}: {:?} {:?}\n{}",
                            mark.until, job.outcome, job.error, then.create
                        ));
                    }
                }
                Err(refusal) => {
                    let text = format!("in place: {schema}.{name}: {refusal}\n{}", then.create);
                    if explained(&refusal) {
                        self.refused.push(text);
                    } else {
                        self.wrong.push(text);
                    }
                }
            }
        }
    }
}

/// Whether a refusal is one that the preflight is for.
fn explained(refusal: &Refusal) -> bool {
    use backout_core::code::Code;
    matches!(refusal, Refusal::Blocked(found) if found.iter().all(|f| matches!(
        f.code,
        Code::TableUnsupported | Code::HistoryUnsupported | Code::BackupState
    )))
}

/// For whoever looks for a fault.
pub(crate) fn tell(what: &str) {
    if std::env::var_os("BACKOUT_ORACLE_TELL").is_some() {
        println!("{what}");
    }
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_way_back_leads_to_what_was_there() {
    let seed = number("BACKOUT_ORACLE_SEED").unwrap_or_else(|| {
        // The test of the house is the same each time; a soak is not.
        number("BACKOUT_SOAK").map_or(3, |_| now_us().unsigned_abs())
    });
    let rounds = number("BACKOUT_ORACLE_ROUNDS")
        .unwrap_or_else(|| ROUNDS * number("BACKOUT_SOAK").unwrap_or(1));
    let mut done = 0;
    let mut right: BTreeMap<&'static str, u64> = BTreeMap::new();
    let mut refused = Vec::new();
    while done < rounds {
        let own = seed.wrapping_add(done);
        println!("seed: BACKOUT_ORACLE_SEED={own}");
        let mut oracle = Oracle::new(own).await;
        let worker = oracle.stage.worker().await;
        for round in 0..ROUNDS_A_SERVER.min(rounds - done) {
            oracle.round(round).await;
            assert!(
                oracle.wrong.is_empty(),
                "BACKOUT_ORACLE_SEED={}: round {round}: {} wrong:\n{}",
                oracle.seed,
                oracle.wrong.len(),
                oracle.wrong.join("\n\n")
            );
        }
        worker.stop().await;
        for (way, count) in std::mem::take(&mut oracle.right) {
            *right.entry(way).or_default() += count;
        }
        refused.append(&mut oracle.refused);
        done += ROUNDS_A_SERVER;
    }
    println!("right: {right:?}; refused: {}", refused.len());
    let all: u64 = right.values().sum();
    assert!(
        u64::try_from(refused.len()).unwrap() * 10 <= all,
        "BACKOUT_ORACLE_SEED={seed}: {} refusals beside {all} cases:\n{}",
        refused.len(),
        refused.join("\n\n")
    );
}
