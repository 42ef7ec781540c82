//! Rollbacks while everything around them breaks: the server ends, connections
//! are cut, disks fill up, history is lost or damaged, workers are stopped and
//! go on. Whatever happens, the table itself is only read, and what is left in
//! the end is what a rollback makes, or nothing.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on fails"
)]

mod common;

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use backout_core::code::Code;
use backout_core::ids::JobId;
use backout_core::outcome::Outcome;
use backout_databases::model::{Copying, Standing, TaskKind};
use backout_databases::persistence::{Page, TaskFilter};
use backout_databases::{Databases, Refusal, RollbackRequest, Until};
use backout_jobs::{
    JobView, Moment, Point, Probe, ProbeAction, ProbeFuture, Registry, Worker, WorkerConfig,
};
use backout_mariadb::testing::PrivateServer;
use backout_mariadb::{Endpoint, Session};
use backout_store::{Error as StoreError, Tx};
use tempfile::TempDir;

use common::{ID, NODE, Stage, caller, owner, tables_at};

const ROWS: &str =
    "SELECT CONCAT_WS(' ', COUNT(*), SUM(CRC32(CONCAT_WS('|', id, name, price)))) FROM ";

/// How long what must come is waited for.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long a statement is waited for in the middle of which something is to
/// happen; without one it happens then.
const MIDDLE: Duration = Duration::from_millis(300);

/// The steps in which the server is needed.
const STEPS: [&str; 7] = [
    "copy", "reduce", "apply", "stage", "prove", "publish", "clear",
];

/// A shop on a server, with a good past and a bad present.
struct Shop {
    stage: Stage,
    server: Arc<Mutex<PrivateServer>>,
    url: String,
    then: String,
    before: String,
    after: String,
    folder: TempDir,
}

impl Shop {
    async fn open(files: bool) -> Self {
        let server = PrivateServer::start(&[]);
        // It stays the same when the server is started again.
        let url = server.socket_url();
        let folder = tempfile::tempdir().unwrap();
        let mut stage = Stage::open(folder.path());
        stage.manage(&url, files.then(|| server.datadir())).await;
        server.script(
            "CREATE DATABASE shop;\n\
             CREATE TABLE shop.items (id INT PRIMARY KEY, name VARCHAR(40) NOT NULL, price DECIMAL(10,2) NOT NULL) ENGINE=InnoDB;\n\
             INSERT INTO shop.items SELECT seq, CONCAT('item ', seq), seq / 7 FROM shop.seq_1_to_20000;\n",
        );
        let then = server.value("SELECT @@gtid_binlog_pos");
        let mut shop = Self {
            stage,
            url,
            then,
            before: String::new(),
            after: String::new(),
            server: Arc::new(Mutex::new(server)),
            folder,
        };
        shop.before = shop.rows("items");
        shop.script(
            "UPDATE shop.items SET price = 0 WHERE id <= 9000;\n\
             DELETE FROM shop.items WHERE id % 10 = 3;\n\
             INSERT INTO shop.items VALUES (70000, 'new', 1), (70001, 'newer', 2);\n",
        );
        shop.after = shop.rows("items");
        shop
    }

    fn session(&self) -> Session {
        Session::open(&Endpoint::parse(&self.url).unwrap()).unwrap()
    }

    fn script(&self, sql: &str) {
        self.server.lock().unwrap().script(sql);
    }

    fn texts(&self, sql: &str) -> Vec<String> {
        self.session().query("test", sql).unwrap()
    }

    fn rows(&self, table: &str) -> String {
        self.texts(&format!("{ROWS}shop.{table}")).concat()
    }

    fn request(&self) -> RollbackRequest {
        RollbackRequest {
            until: Until::Gtid(self.then.parse().unwrap()),
            ..tables_at(0, &[("shop.items", "shop.items_back")])
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

    async fn worker(&self, probe: Arc<dyn Probe>) -> Worker {
        start(&self.stage, probe, LEASE_MS).await
    }

    /// The table came back, or not at all, and nothing else is there.
    fn check(&self, job: &JobView) {
        assert_eq!(self.rows("items"), self.after, "the table is only read");
        let tables = self.texts(
            "SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA = 'shop' ORDER BY 1",
        );
        match job.outcome {
            Some(Outcome::Applied) => {
                assert_eq!(tables, ["items", "items_back"]);
                assert_eq!(self.rows("items_back"), self.before);
            }
            Some(Outcome::Reverted) => assert_eq!(tables, ["items"], "{job:?}"),
            _ => panic!("the job has not ended: {job:?}"),
        }
        self.nothing_is_left();
    }

    fn nothing_is_left(&self) {
        let hidden = self.texts("SHOW DATABASES LIKE 'backout%'");
        assert_eq!(hidden, Vec::<String>::new());
        assert!(self.stage.has_no_files_of_jobs());
        assert_eq!(self.stage.processes(), Vec::<String>::new());
        let datadir = self.server.lock().unwrap().datadir();
        let mut strays: Vec<String> = std::fs::read_dir(datadir.join("shop"))
            .unwrap()
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .filter(|name| !name.starts_with("items") && name != "db.opt")
            .collect();
        strays.retain(|name| !name.ends_with(".frm"));
        assert_eq!(strays, Vec::<String>::new());
    }

    /// Whether nobody keeps the store to himself.
    async fn can_write(&self) -> bool {
        let nothing = |_: &mut dyn Tx| Ok::<_, StoreError>(());
        self.stage.store.write(nothing).await.is_ok()
    }

    /// Takes away what a case made, for the next.
    fn again(&self) {
        self.script("DROP TABLE IF EXISTS shop.items_back;\n");
    }
}

/// Long enough that no worker loses it by chance.
const LEASE_MS: i64 = 15_000;

async fn start(stage: &Stage, probe: Arc<dyn Probe>, lease_ms: i64) -> Worker {
    let config = WorkerConfig {
        poll: Duration::from_millis(20),
        lease_ms,
        probe,
        ..WorkerConfig::new(NODE)
    };
    let registry = stage.databases.register(Registry::new());
    Worker::start(&stage.jobs, registry, config).await.unwrap()
}

/// The first step that a worker begins.
const ANY: &str = "";

/// What happens once, when a step has begun.
struct At<F> {
    step: String,
    fired: AtomicBool,
    happens: F,
}

impl<F: Fn() + Send + Sync + 'static> At<F> {
    fn begun(step: &str, happens: F) -> Arc<Self> {
        Arc::new(Self {
            step: step.to_owned(),
            fired: AtomicBool::new(false),
            happens,
        })
    }
}

impl<F: Fn() + Send + Sync> Probe for At<F> {
    fn at<'a>(&'a self, point: Point<'a>) -> ProbeFuture<'a> {
        if (self.step == point.step || self.step == ANY)
            && point.moment == Moment::AfterIntent
            && !point.undo
            && !self.fired.swap(true, Ordering::SeqCst)
        {
            (self.happens)();
        }
        Box::pin(std::future::ready(ProbeAction::GoOn))
    }
}

/// What happens while a step works, and when it is over.
struct Trouble {
    probe: Arc<dyn Probe>,
    over: Receiver<()>,
}

impl Trouble {
    fn amid(step: &str, url: &str, happens: impl Fn() + Clone + Send + Sync + 'static) -> Self {
        let (tell, over) = channel();
        let url = url.to_owned();
        let probe = At::begun(step, move || {
            let (happens, url, tell) = (happens.clone(), url.clone(), tell.clone());
            std::thread::spawn(move || {
                in_the_middle(&url);
                happens();
                tell.send(()).unwrap();
            });
        });
        Self { probe, over }
    }

    /// Waits until it has happened, which may be later than the job's end.
    fn wait(&self) {
        self.over.recv_timeout(PATIENCE).unwrap();
    }
}

/// Sessions of the job on the server: all but those of this test and of who
/// follows the history.
const OTHERS: &str = "SELECT CAST(ID AS CHAR) FROM information_schema.PROCESSLIST \
    WHERE ID <> CONNECTION_ID() AND USER = 'root' AND COMMAND NOT IN ('Binlog Dump', 'Daemon')";

/// Waits until the server works on a statement of the job.
fn in_the_middle(url: &str) {
    let until = Instant::now() + MIDDLE;
    let Ok(mut session) = Session::open(&Endpoint::parse(url).unwrap()) else {
        return;
    };
    let busy = format!("{OTHERS} AND COMMAND = 'Query' AND TIME_MS > 1");
    while Instant::now() < until {
        match session.query::<String>("test", &busy) {
            Ok(found) if found.is_empty() => {}
            _ => return,
        }
    }
}

async fn the_server_dies_in_every_step(files: bool) {
    let shop = Shop::open(files).await;
    for step in STEPS {
        let (proposal, found) = shop
            .stage
            .databases
            .propose_rollback(&owner(), &shop.request())
            .await
            .unwrap();
        assert!(proposal.preflight.passed(), "{:?}", proposal.preflight);
        let copying = match files {
            true => Copying::Files,
            false => Copying::Rows,
        };
        assert_eq!(found.unwrap().copying, copying);
        let job = shop.ask().await;
        let server = Arc::clone(&shop.server);
        let crash = Trouble::amid(step, &shop.url, move || {
            let mut server = server.lock().unwrap();
            server.kill();
            server.restart();
        });
        let worker = shop.worker(Arc::clone(&crash.probe)).await;
        let mut ended = shop.stage.wait(&job).await;
        if ended.outcome == Some(Outcome::Held) {
            let next = format!("backout jobs retry {job}");
            assert_eq!(ended.next_command, Some(next));
            shop.stage.jobs.retry(&job).await.unwrap();
            ended = shop.stage.wait(&job).await;
        }
        worker.stop().await;
        crash.wait();
        shop.check(&ended);
        shop.again();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_dies_in_every_step_by_rows() {
    the_server_dies_in_every_step(false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_dies_in_every_step_by_files() {
    the_server_dies_in_every_step(true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_stays_away_holds_the_job() {
    let shop = Shop::open(true).await;
    let job = shop.ask().await;
    let server = Arc::clone(&shop.server);
    let probe = At::begun("stage", move || server.lock().unwrap().kill());
    let worker = shop.worker(probe).await;
    let held = shop.stage.wait(&job).await;
    assert_eq!(held.outcome, Some(Outcome::Held), "{held:?}");
    assert_eq!(
        held.next_command,
        Some(format!("backout jobs retry {job}")),
        "{held:?}"
    );
    assert_eq!(held.error.unwrap().code, Code::DatabaseUnreachable);
    shop.server.lock().unwrap().restart();
    // Nobody else works on it meanwhile.
    let refused = shop
        .stage
        .databases
        .rollback(&caller(), vec![shop.request()])
        .await;
    assert!(
        matches!(refused, Err(Refusal::Busy { held: true, .. })),
        "{refused:?}"
    );
    shop.stage.jobs.retry(&job).await.unwrap();
    let ended = shop.stage.wait(&job).await;
    assert_eq!(ended.outcome, Some(Outcome::Reverted), "{ended:?}");
    worker.stop().await;
    shop.check(&ended);
}

async fn connections_are_cut_in_every_step(files: bool) {
    let shop = Shop::open(files).await;
    for step in STEPS {
        let job = shop.ask().await;
        let url = shop.url.clone();
        let cut = Trouble::amid(step, &shop.url, move || {
            let mut session = Session::open(&Endpoint::parse(&url).unwrap()).unwrap();
            for id in session.query::<String>("test", OTHERS).unwrap() {
                // It may have ended by itself.
                let _ = session.exec("test", format!("KILL {id}"));
            }
        });
        let worker = shop.worker(Arc::clone(&cut.probe)).await;
        let ended = shop.stage.wait(&job).await;
        assert_eq!(ended.outcome, Some(Outcome::Applied), "{step} {ended:?}");
        cut.wait();
        worker.stop().await;
        shop.check(&ended);
        shop.again();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_are_cut_in_every_step_by_rows() {
    connections_are_cut_in_every_step(false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_are_cut_in_every_step_by_files() {
    connections_are_cut_in_every_step(true).await;
}

/// A small file system, for as long as it is there.
struct Mounted(std::path::PathBuf);

impl Mounted {
    /// `None` where we may not mount.
    fn small(at: &Path, bytes: &str) -> Option<Self> {
        std::fs::create_dir_all(at).unwrap();
        let mounted = Command::new("mount")
            .args([
                "-t",
                "tmpfs",
                "-o",
                &format!("size={bytes},mode=711"),
                "none",
            ])
            .arg(at)
            .output()
            .unwrap();
        mounted.status.success().then(|| Self(at.to_owned()))
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).output();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_takes_the_rollback_back() {
    let shop = Shop::open(true).await;
    let jobs = shop.stage.runtime.home(&ID.parse().unwrap()).join("jobs");
    // Too small for the copy, for the scratch server, for its tables.
    for bytes in ["64k", "4M", "40M", "300M"] {
        let Some(mounted) = Mounted::small(&jobs, bytes) else {
            eprintln!("skipped: file systems cannot be mounted here");
            return;
        };
        let job = shop.ask().await;
        let worker = shop.worker(Arc::new(backout_jobs::NoProbe)).await;
        let ended = shop.stage.wait(&job).await;
        assert_eq!(ended.outcome, Some(Outcome::Reverted), "{bytes} {ended:?}");
        assert_eq!(
            ended.error.clone().unwrap().code,
            Code::NoSpace,
            "{bytes} {ended:?}"
        );
        worker.stop().await;
        shop.check(&ended);
        drop(mounted);
    }
    let job = shop.ask().await;
    let worker = shop.worker(Arc::new(backout_jobs::NoProbe)).await;
    let ended = shop.stage.wait(&job).await;
    assert_eq!(ended.outcome, Some(Outcome::Applied), "{ended:?}");
    worker.stop().await;
    shop.check(&ended);
}

#[tokio::test(flavor = "multi_thread")]
async fn history_that_was_purged_before_it_was_read_is_a_gap() {
    let mut shop = Shop::open(false).await;
    let request = shop.request();
    let (proposal, _) = shop
        .stage
        .databases
        .propose_rollback(&owner(), &request)
        .await
        .unwrap();
    assert!(proposal.preflight.passed(), "{:?}", proposal.preflight);
    let windows = |shop: &Shop| {
        let archive = shop.stage.runtime.archive(&ID.parse().unwrap()).unwrap();
        archive.windows().unwrap()
    };
    assert_eq!(windows(&shop).len(), 1);
    shop.stage.follow_no_more();
    shop.script("UPDATE shop.items SET price = 5 WHERE id = 17;\nFLUSH BINARY LOGS;\n");
    let until = Instant::now() + PATIENCE;
    loop {
        let logs: Vec<(String, u64)> = shop.session().query("test", "SHOW BINARY LOGS").unwrap();
        if logs.len() == 1 {
            break;
        }
        assert!(Instant::now() < until, "{logs:?}");
        // The server keeps what it believes is still read.
        let last = &logs.last().unwrap().0;
        shop.script(&format!("PURGE BINARY LOGS TO '{last}';\n"));
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let url = shop.url.clone();
    shop.stage.follow(&url);
    shop.script("UPDATE shop.items SET price = 6 WHERE id = 18;\n");
    let (proposal, _) = shop
        .stage
        .databases
        .propose_rollback(&owner(), &request)
        .await
        .unwrap();
    let blockers = &proposal.preflight.blockers;
    assert_eq!(blockers.len(), 1, "{blockers:?}");
    assert_eq!(blockers[0].code, Code::HistoryGap, "{blockers:?}");
    let refused = shop
        .stage
        .databases
        .rollback(&caller(), vec![request])
        .await;
    assert!(matches!(refused, Err(Refusal::Blocked(_))), "{refused:?}");
    let now = windows(&shop);
    assert_eq!(now.len(), 2, "{now:?}");
    assert!(now[1].gap_before.is_some(), "{now:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn damaged_history_is_refused_by_name() {
    let shop = Shop::open(true).await;
    let job = shop.ask().await;
    let chunks = shop
        .stage
        .runtime
        .history_folder(&ID.parse().unwrap())
        .join("chunks");
    let url = shop.url.clone();
    // History is read beside the copy, and again in the step that follows.
    let damaged = At::begun("copy", move || {
        // Kept in memory are a few: others come after.
        let mut session = Session::open(&Endpoint::parse(&url).unwrap()).unwrap();
        session.exec("test", "FLUSH BINARY LOGS").unwrap();
        damage(&chunks);
    });
    let worker = shop.worker(damaged).await;
    let ended = shop.stage.wait(&job).await;
    assert_eq!(ended.outcome, Some(Outcome::Reverted), "{ended:?}");
    assert_eq!(
        ended.error.clone().unwrap().code,
        Code::HistoryDamaged,
        "{ended:?}"
    );
    worker.stop().await;
    shop.check(&ended);
}

/// Turns a byte in the middle of every file.
fn damage(folder: &Path) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            damage(&path);
            continue;
        }
        let mut bytes = std::fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 0x5a;
        std::fs::write(&path, bytes).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_rollback_of_an_instance_has_to_wait() {
    let shop = Shop::open(false).await;
    let job = shop.ask().await;
    let refused = shop
        .stage
        .databases
        .rollback(&caller(), vec![shop.request()])
        .await;
    match refused {
        Err(Refusal::Busy { job: by, held, .. }) => assert_eq!((by, held), (job.clone(), false)),
        other => panic!("not refused: {other:?}"),
    }
    let worker = shop.worker(Arc::new(backout_jobs::NoProbe)).await;
    let ended = shop.stage.wait(&job).await;
    assert_eq!(ended.outcome, Some(Outcome::Applied), "{ended:?}");
    worker.stop().await;
    shop.check(&ended);
}

/// What others do between the question and the work.
async fn meanwhile(files: bool, others: &str, cleanup: &str, code: Code) {
    let shop = Shop::open(files).await;
    let job = shop.ask().await;
    shop.script(others);
    let worker = shop.worker(Arc::new(backout_jobs::NoProbe)).await;
    let ended = shop.stage.wait(&job).await;
    assert_eq!(ended.outcome, Some(Outcome::Reverted), "{ended:?}");
    assert_eq!(ended.error.clone().unwrap().code, code, "{ended:?}");
    worker.stop().await;
    shop.script(cleanup);
    shop.check(&ended);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_is_altered_meanwhile_is_not_taken_back() {
    for files in [false, true] {
        meanwhile(
            files,
            "ALTER TABLE shop.items ADD COLUMN more INT NOT NULL DEFAULT 7;\n",
            "ALTER TABLE shop.items DROP COLUMN more;\n",
            Code::HistoryUnsupported,
        )
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_is_taken_meanwhile_stays_whose_it_is() {
    for files in [false, true] {
        meanwhile(
            files,
            "CREATE TABLE shop.items_back (mine INT PRIMARY KEY);\nINSERT INTO shop.items_back VALUES (7);\n",
            // Fails if it is another.
            "UPDATE shop.items_back SET mine = 8 WHERE mine = 7;\nDROP TABLE shop.items_back;\n",
            Code::TargetExists,
        )
        .await;
    }
}

/// A worker in a process of its own, which is this test started again.
struct Other(Child);

/// Tells such a process its folder, and what to do in which step.
const OTHER: &str = "BACKOUT_TEST_OTHER";

impl Other {
    fn start(test: &str, shop: &Shop, step: &str, signal: &str) -> Self {
        let orders = format!(
            "{}\n{}\n{step}\n{signal}",
            shop.folder.path().display(),
            shop.url
        );
        let child = Command::new(std::env::current_exe().unwrap())
            .args([test, "--exact", "--nocapture", "--test-threads=1"])
            .env(OTHER, orders)
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        Self(child)
    }

    fn signal(&self, signal: rustix::process::Signal) {
        let pid = i32::try_from(self.0.id()).unwrap();
        let pid = rustix::process::Pid::from_raw(pid).unwrap();
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// Whether all of it is stopped by a signal: a thread that is in a call of
    /// the kernel ends that first, and may have a lock by it.
    fn is_stopped(&self) -> bool {
        let tasks = format!("/proc/{}/task", self.0.id());
        std::fs::read_dir(tasks).unwrap().all(|task| {
            // A thread may end meanwhile.
            let Ok(stat) = std::fs::read_to_string(task.unwrap().path().join("stat")) else {
                return true;
            };
            let state = stat.rsplit_once(") ").unwrap().1;
            assert!(!state.starts_with('Z'), "it has ended");
            state.starts_with('T')
        })
    }

    /// Waits until a signal has stopped it.
    async fn stopped(&self) {
        let until = Instant::now() + PATIENCE;
        while !self.is_stopped() {
            assert!(Instant::now() < until, "it was not stopped");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What the other process does, if this is it: works until, in the middle of a
/// step, a signal ends or stops it.
async fn other() -> bool {
    let Ok(orders) = std::env::var(OTHER) else {
        return false;
    };
    let orders: Vec<&str> = orders.lines().collect();
    let [folder, url, step, signal] = orders.as_slice() else {
        panic!("orders are four lines");
    };
    let stage = Stage::open(Path::new(folder));
    let signal = match *signal {
        "kill" => rustix::process::Signal::KILL,
        _ => rustix::process::Signal::STOP,
    };
    let own_url = (*url).to_owned();
    let probe = At::begun(step, move || {
        let url = own_url.clone();
        std::thread::spawn(move || {
            in_the_middle(&url);
            rustix::process::kill_process(rustix::process::getpid(), signal).unwrap();
        });
    });
    let worker = start(&stage, probe, SHORT_LEASE_MS).await;
    // Until the parent ends it.
    tokio::time::sleep(PATIENCE * 2).await;
    drop(worker);
    true
}

/// Of workers that are stopped past it.
const SHORT_LEASE_MS: i64 = 1_500;

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_is_killed_in_the_middle_of_a_step_is_followed_by_another() {
    if other().await {
        return;
    }
    let test = "a_worker_that_is_killed_in_the_middle_of_a_step_is_followed_by_another";
    let shop = Shop::open(true).await;
    for step in [
        "copy", "scratch", "reduce", "apply", "stage", "prove", "publish", "clear",
    ] {
        let job = shop.ask().await;
        let mut other = Other::start(test, &shop, step, "kill");
        let until = Instant::now() + PATIENCE;
        while other.0.try_wait().unwrap().is_none() {
            assert!(Instant::now() < until, "{step}: it was not killed");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let worker = shop.worker(Arc::new(backout_jobs::NoProbe)).await;
        let ended = shop.stage.wait(&job).await;
        assert_eq!(ended.outcome, Some(Outcome::Applied), "{step} {ended:?}");
        worker.stop().await;
        shop.check(&ended);
        shop.again();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_is_stopped_past_its_lease_does_nothing_when_it_goes_on() {
    if other().await {
        return;
    }
    let test = "a_worker_that_is_stopped_past_its_lease_does_nothing_when_it_goes_on";
    for (files, step) in [
        (false, "copy"),
        (false, "apply"),
        (false, "publish"),
        (true, "copy"),
        (true, "apply"),
        (true, "stage"),
    ] {
        let shop = Shop::open(files).await;
        let job = shop.ask().await;
        let other = Other::start(test, &shop, step, "stop");
        other.stopped().await;
        // In the middle of a transaction of the store nobody else could go on.
        let until = Instant::now() + PATIENCE;
        while !shop.can_write().await {
            assert!(Instant::now() < until, "{step}: the store stays locked");
            other.signal(rustix::process::Signal::CONT);
            tokio::time::sleep(Duration::from_millis(5)).await;
            other.signal(rustix::process::Signal::STOP);
            other.stopped().await;
        }
        // Another takes over when the lease is past.
        let taken = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&taken);
        let probe = At::begun(ANY, move || seen.store(true, Ordering::SeqCst));
        let worker = start(&shop.stage, probe, SHORT_LEASE_MS).await;
        let until = Instant::now() + PATIENCE;
        while !taken.load(Ordering::SeqCst) {
            assert!(Instant::now() < until, "{step}: nobody took over");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        other.signal(rustix::process::Signal::CONT);
        let ended = shop.stage.wait(&job).await;
        assert_eq!(ended.outcome, Some(Outcome::Applied), "{step} {ended:?}");
        worker.stop().await;
        drop(other);
        shop.check(&ended);
    }
}

async fn a_rollback_is_stopped_in_every_step(files: bool) {
    let shop = Shop::open(files).await;
    for step in [
        "copy", "scratch", "reduce", "apply", "stage", "prove", "publish",
    ] {
        let job = shop.ask().await;
        let databases = shop.stage.databases.clone();
        let runtime = tokio::runtime::Handle::current();
        let request = Trouble::amid(step, &shop.url, move || {
            // It may have ended.
            let _ = runtime.block_on(databases.stop_rollback(&caller(), "shop"));
        });
        let worker = shop.worker(Arc::clone(&request.probe)).await;
        let ended = shop.stage.wait(&job).await;
        assert!(
            ended.outcome == Some(Outcome::Reverted)
                || ended.outcome == Some(Outcome::Applied) && !ended.cancel_requested
                || ended.outcome == Some(Outcome::Applied) && ended.no_return,
            "{step} {ended:?}"
        );
        request.wait();
        worker.stop().await;
        shop.check(&ended);
        shop.again();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_by_rows_is_stopped_in_every_step() {
    a_rollback_is_stopped_in_every_step(false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_by_files_is_stopped_in_every_step() {
    a_rollback_is_stopped_in_every_step(true).await;
}

/// Drops the table that came back, and stops the rollback, when the table has its
/// new name and that is not written down yet.
struct DropAndStop {
    databases: Databases,
    server: Arc<Mutex<PrivateServer>>,
}

impl Probe for DropAndStop {
    fn at<'a>(&'a self, point: Point<'a>) -> ProbeFuture<'a> {
        let now = point.step == "publish" && point.moment == Moment::AfterEffect && !point.undo;
        Box::pin(async move {
            if now {
                let dropped = "DROP TABLE shop.items_back";
                self.server.lock().unwrap().script(dropped);
                let caller = caller();
                let stopped = self.databases.stop_rollback(&caller, ID);
                stopped.await.unwrap();
            }
            ProbeAction::GoOn
        })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_somebody_drops_while_its_rollback_is_stopped_is_gone() {
    let shop = Shop::open(true).await;
    let job = shop.ask().await;
    let probe = Arc::new(DropAndStop {
        databases: shop.stage.databases.clone(),
        server: Arc::clone(&shop.server),
    });
    let worker = shop.worker(probe).await;
    let ended = shop.stage.wait(&job).await;
    worker.stop().await;
    assert_eq!(ended.outcome, Some(Outcome::Reverted), "{ended:?}");
    shop.check(&ended);
    // The stop is a task of its own, and has ended with the job.
    let (_, tasks) = shop
        .stage
        .databases
        .tasks(
            &owner(),
            TaskFilter::default(),
            Page {
                offset: 0,
                limit: 10,
            },
        )
        .await
        .unwrap();
    let stop = tasks.iter().find(|t| t.kind == TaskKind::Stop).unwrap();
    assert_eq!((&stop.job, stop.standing), (&job, Standing::Applied));
}
