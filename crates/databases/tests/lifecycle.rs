//! The life of instances, with real servers: managed, made, backed up,
//! isolated, removed; and what the keeper does by itself.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use backout_core::code::Code;
use backout_core::ids::{DatabaseId, JobId, OsEntropy};
use backout_core::outcome::Outcome;
use backout_core::time::{Clock as _, ManualClock, SystemClock};
use backout_databases::model::{
    Backup, BackupConfig, BackupState, InstanceState, Kind, LocalLogs, Method, Shape, Standing,
    TaskKind, Way,
};
use backout_databases::persistence::{BackupFilter, Page, TaskFilter};
use backout_databases::{
    Asked, Databases, NewBackup, NewInstance, NewManaged, Refusal, Tended, persistence,
};
use backout_history::TableName;
use backout_jobs::{Idempotency, JobView, Jobs, Registry, Worker, WorkerConfig};
use backout_mariadb::testing::PrivateServer;
use backout_mariadb::{Endpoint, Password, Session, catalog};

use common::{NODE, Stage, caller, owner};

const PATIENCE: Duration = Duration::from_secs(120);
const ALL: Page = Page {
    offset: 0,
    limit: 100,
};
const DAY_MS: i64 = 24 * 3_600_000;

fn existing(url: &str) -> NewInstance {
    NewInstance {
        name: "shop".to_owned(),
        url: url.to_owned(),
        tags: Vec::new(),
    }
}

fn made(name: &str) -> NewManaged {
    NewManaged {
        names: vec![name.to_owned()],
        count: 1,
        shape: Shape {
            memory_mb: 64,
            ..Shape::default()
        },
        port: None,
        password: Some("it's a \\ secret".to_owned()),
        version: Some("10.11".to_owned()),
        tags: Vec::new(),
    }
}

fn to_back_up(method: Method) -> NewBackup {
    NewBackup {
        instance: "shop".to_owned(),
        name: None,
        method,
        tables: Vec::new(),
    }
}

async fn done(stage: &Stage, job: &JobId) -> JobView {
    let view = stage.wait(job).await;
    assert_eq!(view.outcome, Some(Outcome::Applied), "{view:?}");
    view
}

async fn backup_of(stage: &Stage, number: u64) -> Option<Backup> {
    let read = move |tx: &mut dyn backout_store::Tx| persistence::backup(tx, number);
    stage.store.read(read).await.unwrap()
}

/// Polls until `probe` says so.
async fn until(what: &str, mut probe: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !probe() {
        assert!(Instant::now() < end, "{what} did not come");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn is_empty(folder: &Path) -> bool {
    std::fs::read_dir(folder).map_or(true, |mut entries| entries.next().is_none())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_of_others_comes_goes_and_is_never_touched() {
    let server = PrivateServer::start(&[]);
    let folder = tempfile::tempdir().unwrap();
    let stage = Stage::open(folder.path());
    let databases = &stage.databases;
    let worker = stage.worker().await;

    let bad = databases
        .add(&caller(), existing("mysql://root:nope@127.0.0.1:1"))
        .await
        .unwrap_err();
    assert_eq!(bad.code(), Code::DatabaseUnreachable, "{bad}");
    let asked = databases
        .add(&caller(), existing(&server.url()))
        .await
        .unwrap();
    done(&stage, &asked.job).await;
    let shop = databases.get(&owner(), "shop").await.unwrap();
    assert_eq!(
        (shop.state, shop.kind),
        (InstanceState::Running, Kind::Reached)
    );
    assert!(shop.facts.version.contains("MariaDB"), "{:?}", shop.facts);
    assert_eq!(shop.facts.datadir, Some(server.datadir()));
    assert_eq!(shop.address.port, server.port());
    let twice = NewInstance {
        name: "again".to_owned(),
        ..existing(&server.url())
    };
    let twice = databases.add(&caller(), twice).await.unwrap_err();
    assert!(twice.to_string().contains(shop.id.as_str()), "{twice}");

    // Its history is followed, once.
    let tended = databases.tend().await.unwrap();
    assert_eq!(tended.put_off, []);
    let mut session = common::session(&server);
    session.exec("test", "CREATE DATABASE shop").unwrap();
    session
        .exec("test", "CREATE TABLE shop.t (a INT PRIMARY KEY)")
        .unwrap();
    session
        .exec("test", "INSERT INTO shop.t VALUES (1), (2)")
        .unwrap();
    let end = catalog::binlog_end(&mut session).unwrap().unwrap();
    let archive = stage.runtime.archive(&shop.id).unwrap();
    let reached = || archive.end().unwrap().is_some_and(|at| at >= end);
    until("the end of the server's log in the archive", reached).await;
    assert_eq!(databases.tend().await.unwrap().following, 1);

    let refused = databases.restart(&caller(), "shop").await.unwrap_err();
    assert!(matches!(refused, Refusal::NotManaged { .. }), "{refused}");
    let refused = databases.remove(&caller(), "shop").await.unwrap_err();
    assert!(matches!(refused, Refusal::State { .. }), "{refused}");

    let asked = databases.isolate(&caller(), "shop").await.unwrap();
    done(&stage, &asked.job).await;
    let isolated = databases.get(&owner(), "shop").await.unwrap();
    assert_eq!(isolated.state, InstanceState::Isolated);
    assert!(isolated.isolated.is_some());
    // Its follower ends by itself, soon.
    let from = Instant::now();
    while databases.tend().await.unwrap().following > 0 {
        assert!(from.elapsed() < PATIENCE);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let refused = databases.backup(&caller(), to_back_up(Method::Full)).await;
    assert!(matches!(refused, Err(Refusal::State { .. })), "{refused:?}");
    let asked = databases.release(&caller(), "shop").await.unwrap();
    done(&stage, &asked.job).await;
    session
        .exec("test", "INSERT INTO shop.t VALUES (3)")
        .unwrap();
    let end = catalog::binlog_end(&mut session).unwrap().unwrap();
    // Followed again, also when the one of before is just ending.
    let from = Instant::now();
    while archive.end().unwrap().is_none_or(|at| at < end) {
        assert!(from.elapsed() < PATIENCE);
        databases.tend().await.unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
    }

    databases.rename(&owner(), "shop", "store").await.unwrap();
    let asked = databases.isolate(&caller(), "store").await.unwrap();
    done(&stage, &asked.job).await;
    // A follower that nobody told lets go by itself.
    let asked = databases.remove(&caller(), "store").await.unwrap();
    done(&stage, &asked.job).await;
    let gone = databases.get(&owner(), "store").await.unwrap_err();
    assert!(matches!(gone, Refusal::InstanceNotFound(_)), "{gone}");
    assert!(is_empty(&stage.runtime.folder), "something is left");
    let rows: Option<u32> = session
        .first("test", "SELECT COUNT(*) FROM shop.t")
        .unwrap();
    assert_eq!(rows, Some(3), "the server is as it was");
    let (_, mut tasks) = databases
        .tasks(&owner(), TaskFilter::default(), ALL)
        .await
        .unwrap();
    // Within the hours of the schedule, the keeper's own backups are among them.
    tasks.retain(|t| t.kind != TaskKind::Backup);
    assert_eq!(tasks.len(), 5, "{tasks:?}");
    assert!(
        tasks.iter().all(|t| t.standing == Standing::Applied),
        "{tasks:?}"
    );
    assert_eq!(tasks[4].kind, TaskKind::Adopt);
    databases.stop_following().await;
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_stands_in_the_way_is_told_before_anything_is_made() {
    let server = PrivateServer::start(&["--binlog-format=STATEMENT"]);
    let folder = tempfile::tempdir().unwrap();
    let stage = Stage::open(folder.path());
    let refused = stage
        .databases
        .add(&caller(), existing(&server.url()))
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Code::DatabaseSettings);
    assert!(
        refused.to_string().to_lowercase().contains("binlog_format"),
        "{refused}"
    );
    for name in ["", " shop", "cdb-aaaaaaaa", "a\nb", &"x".repeat(61)] {
        let new = NewInstance {
            name: name.to_owned(),
            ..existing(&server.url())
        };
        let refused = stage.databases.add(&caller(), new).await.unwrap_err();
        assert_eq!(refused.code(), Code::BadRequest, "{refused}");
    }
    assert!(is_empty(&stage.runtime.folder));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_is_made_restarted_and_removed() {
    let folder = tempfile::tempdir().unwrap();
    let stage = Stage::open(folder.path());
    let databases = &stage.databases;
    let worker = stage.worker().await;
    let mut once = caller();
    once.idempotency = Some(Idempotency {
        key: "make".to_owned(),
        hash: "one".to_owned(),
    });
    let old = NewManaged {
        version: Some("10.1".to_owned()),
        ..made("old")
    };
    let refused = databases.create(&caller(), old).await.unwrap_err();
    assert!(
        refused.to_string().contains("10.1 is not installed"),
        "{refused}"
    );

    let asked = databases.create(&once, made("shop")).await.unwrap();
    let again = databases.create(&once, made("shop")).await.unwrap();
    assert_eq!(again[0].job, asked[0].job);
    assert!(again[0].repeated);
    let refused = databases.create(&caller(), made("shop")).await.unwrap_err();
    assert!(matches!(refused, Refusal::Taken(_)), "{refused}");
    let view = done(&stage, &asked[0].job).await;
    assert!(
        !view.input.to_string().contains("it's a"),
        "{:?}",
        view.input
    );
    let shop = databases.get(&owner(), "shop").await.unwrap();
    assert_eq!(
        (shop.state, shop.kind),
        (InstanceState::Running, Kind::Managed)
    );
    assert!(shop.facts.datadir.is_some(), "{:?}", shop.facts);
    let as_root = Endpoint {
        host: "127.0.0.1".to_owned(),
        port: shop.address.port,
        socket: None,
        user: "root".to_owned(),
        password: Password::new("it's a \\ secret"),
        tls: backout_mariadb::Tls::Off,
    };
    let number = |name: &str| {
        let mut session = Session::open(&as_root).unwrap();
        let value: Option<u64> = session.first("test", format!("SELECT {name}")).unwrap();
        value.unwrap()
    };
    assert_eq!(number("@@binlog_expire_logs_seconds"), 72 * 3600);
    let logs = LocalLogs {
        hours: 6,
        percent: 40,
    };
    databases
        .set_local_logs(&owner(), "shop", logs)
        .await
        .unwrap();
    assert_eq!(number("@@binlog_expire_logs_seconds"), 6 * 3600);
    let bad = LocalLogs {
        hours: 5,
        percent: 40,
    };
    let refused = databases
        .set_local_logs(&owner(), "shop", bad)
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Code::BadRequest);

    // The root account is the users' own: ours is another.
    Session::open(&as_root)
        .unwrap()
        .exec(
            "test",
            "ALTER USER root@'localhost' IDENTIFIED BY 'changed'",
        )
        .unwrap();
    let asked = databases.restart(&caller(), "shop").await.unwrap();
    done(&stage, &asked.job).await;
    assert_eq!(number("@@binlog_expire_logs_seconds"), 6 * 3600, "kept");
    assert_eq!(
        databases
            .doctor(&owner(), "shop")
            .await
            .unwrap()
            .iter()
            .filter(|f| f.level == backout_mariadb::doctor::Level::Blocker)
            .count(),
        0
    );

    // As after a start of the host: neither the server nor its shim is there.
    assert_eq!(databases.tend().await.unwrap().revived, []);
    let run = stage.runtime.server_folder(&shop.id).join("run");
    backout_shim::stop(&run, backout_shim::Signal::Kill, Duration::ZERO).unwrap();
    assert!(Session::open(&as_root).is_err(), "it runs");
    let revived = databases.tend().await.unwrap().revived;
    assert_eq!(revived.len(), 1);
    done(&stage, &revived[0]).await;
    number("1");
    assert_eq!(databases.tend().await.unwrap().revived, []);
    databases.stop_following().await;

    let asked = databases.isolate(&caller(), "shop").await.unwrap();
    done(&stage, &asked.job).await;
    assert!(Session::open(&as_root).is_err(), "it runs");
    let refused = databases.restart(&caller(), "shop").await.unwrap_err();
    assert!(matches!(refused, Refusal::State { .. }), "{refused}");
    let asked = databases.release(&caller(), "shop").await.unwrap();
    done(&stage, &asked.job).await;
    number("1");
    let asked = databases.isolate(&caller(), "shop").await.unwrap();
    done(&stage, &asked.job).await;
    let asked = databases
        .remove_keeping_history(&caller(), "shop")
        .await
        .unwrap();
    done(&stage, &asked.job).await;
    assert!(stage.runtime.history_folder(&shop.id).exists());
    assert!(!stage.runtime.server_folder(&shop.id).exists());
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn backups_build_on_one_another_and_go_in_order() {
    let server = PrivateServer::start(&[]);
    server.query("CREATE DATABASE shop");
    server.query("CREATE TABLE shop.t (a INT PRIMARY KEY)");
    server.query("CREATE TABLE shop.u (a INT PRIMARY KEY)");
    let folder = tempfile::tempdir().unwrap();
    let stage = Stage::open(folder.path());
    let databases = &stage.databases;
    let worker = stage.worker().await;
    let asked = databases
        .add(&caller(), existing(&server.url()))
        .await
        .unwrap();
    done(&stage, &asked.job).await;

    let refused = databases
        .backup(&caller(), to_back_up(Method::Incremental))
        .await;
    assert!(matches!(refused, Err(Refusal::Invalid(_))), "{refused:?}");
    let mut numbers = Vec::new();
    for method in [Method::Full, Method::Incremental, Method::Incremental] {
        server.query("INSERT INTO shop.t SELECT COALESCE(MAX(a), 0) + 1 FROM shop.t");
        let (number, asked) = databases
            .backup(&caller(), to_back_up(method))
            .await
            .unwrap();
        let running = backup_of(&stage, number).await.unwrap();
        assert_eq!(running.job.as_ref().unwrap_or(&asked.job), &asked.job);
        done(&stage, &asked.job).await;
        let ready = backup_of(&stage, number).await.unwrap();
        assert_eq!(
            (ready.state, ready.method, ready.way),
            (BackupState::Ready, method, Way::Manual)
        );
        assert_eq!(ready.base, numbers.last().copied());
        assert!(ready.position.is_some() && ready.as_of.is_some() && ready.bytes > 0);
        assert!(ready.folder.join("manifest.json").exists());
        numbers.push(number);
    }
    let mut partial = to_back_up(Method::Partial);
    partial.tables = vec![TableName::new("shop", "")];
    partial.name = Some("all of the shop".to_owned());
    let (number, asked) = databases.backup(&caller(), partial.clone()).await.unwrap();
    done(&stage, &asked.job).await;
    let ready = backup_of(&stage, number).await.unwrap();
    let tables: Vec<String> = ready.tables.iter().map(ToString::to_string).collect();
    assert_eq!(
        (ready.method, tables),
        (
            Method::Partial,
            vec!["shop.t".to_owned(), "shop.u".to_owned()]
        )
    );
    partial.tables.push(TableName::new("shop", "none"));
    let refused = databases.backup(&caller(), partial).await;
    assert!(
        matches!(refused, Err(Refusal::NoSuchTable { .. })),
        "{refused:?}"
    );

    let refused = databases
        .delete_backup(&caller(), "shop", numbers[1], true)
        .await
        .unwrap_err();
    assert!(
        refused
            .to_string()
            .contains(&format!("backup {} builds on it", numbers[2])),
        "{refused}"
    );
    assert_eq!(refused.code(), Code::BackupState);
    let refused = databases
        .delete_backup(&caller(), "shop", 99, true)
        .await
        .unwrap_err();
    assert!(matches!(refused, Refusal::BackupNotFound(99)));
    for number in numbers.iter().rev() {
        let row = backup_of(&stage, *number).await.unwrap();
        let asked: Asked = databases
            .delete_backup(&caller(), "shop", *number, true)
            .await
            .unwrap();
        done(&stage, &asked.job).await;
        assert!(backup_of(&stage, *number).await.is_none());
        assert!(!row.folder.exists());
    }
    let (total, left) = databases
        .backups(&owner(), "shop", BackupFilter::default(), ALL)
        .await
        .unwrap();
    assert_eq!((total, left[0].number), (1, number));
    let only_left = std::fs::read_dir(left[0].folder.parent().unwrap())
        .unwrap()
        .count();
    assert_eq!(only_left, 1, "nothing is left of the others");
    worker.stop().await;
}

/// Databases whose time the test says.
struct Timed {
    clock: ManualClock,
    jobs: Jobs,
    databases: Databases,
}

impl Timed {
    fn new(stage: &Stage) -> Self {
        let clock = ManualClock::at(SystemClock.now());
        let jobs = Jobs::new(
            stage.store.clone(),
            Arc::new(clock.clone()),
            Arc::new(OsEntropy),
        );
        let databases = Databases::new(
            stage.store.clone(),
            jobs.clone(),
            Arc::new(clock.clone()),
            Arc::new(OsEntropy),
            NODE.to_owned(),
            stage.runtime.clone(),
        );
        Self {
            clock,
            jobs,
            databases,
        }
    }

    async fn run(&self, jobs: &[JobId]) {
        let registry = self.databases.register(Registry::new());
        let worker: Worker = Worker::start(&self.jobs, registry, WorkerConfig::new(NODE))
            .await
            .unwrap();
        for job in jobs {
            let view = self.jobs.wait(job, PATIENCE).await.unwrap();
            assert_eq!(view.outcome, Some(Outcome::Applied), "{view:?}");
        }
        worker.stop().await;
    }

    async fn tend(&self) -> Tended {
        let tended = self.databases.tend().await.unwrap();
        assert_eq!(tended.put_off, []);
        tended
    }
}

async fn numbers(stage: &Stage, id: &DatabaseId) -> Vec<(u64, Method)> {
    let id = id.clone();
    let all = stage
        .store
        .read(move |tx| persistence::backups_of(tx, &id, 100))
        .await
        .unwrap();
    all.iter().map(|b| (b.number, b.method)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_keeper_takes_what_is_due_and_removes_what_is_over() {
    let server = PrivateServer::start(&[]);
    let folder = tempfile::tempdir().unwrap();
    let stage = Stage::open(folder.path());
    let timed = Timed::new(&stage);
    let databases = &timed.databases;
    let asked = databases
        .add(&caller(), existing(&server.url()))
        .await
        .unwrap();
    timed.run(&[asked.job]).await;
    let shop = databases.get(&owner(), "shop").await.unwrap();
    let config = BackupConfig {
        window: (0, 24),
        keep_days: 2,
        history_days: 2,
        ..BackupConfig::default()
    };
    for bad in [
        BackupConfig {
            window: (6, 6),
            ..config.clone()
        },
        BackupConfig {
            window: (0, 25),
            ..config.clone()
        },
        BackupConfig {
            days: [false; 7],
            ..config.clone()
        },
        BackupConfig {
            keep_days: 0,
            ..config.clone()
        },
    ] {
        let refused = databases.set_backup_config(&owner(), "shop", bad).await;
        assert!(matches!(refused, Err(Refusal::Invalid(_))), "{refused:?}");
    }
    databases
        .set_backup_config(&owner(), "shop", config.clone())
        .await
        .unwrap();

    let first = timed.tend().await;
    assert_eq!(first.taken.len(), 1, "{first:?}");
    let view = timed.jobs.get(&first.taken[0]).await.unwrap();
    assert!(view.background);
    // While it waits, no other is begun.
    assert!(timed.tend().await.taken.is_empty());
    timed.run(&first.taken).await;
    assert_eq!(numbers(&stage, &shop.id).await, [(1, Method::Full)]);
    assert!(timed.tend().await.taken.is_empty(), "one a day");

    timed.clock.advance_ms(DAY_MS);
    let second = timed.tend().await;
    timed.run(&second.taken).await;
    assert_eq!(numbers(&stage, &shop.id).await[0], (2, Method::Incremental));
    let refused = databases.delete_backup(&caller(), "shop", 2, true).await;
    assert!(
        matches!(refused, Err(Refusal::BackupState { .. })),
        "{refused:?}"
    );

    // A whole one, which needs nothing of before.
    databases
        .set_backup_config(
            &owner(),
            "shop",
            BackupConfig {
                incremental: false,
                ..config.clone()
            },
        )
        .await
        .unwrap();
    server.query("CREATE DATABASE shop");
    server.query("FLUSH BINARY LOGS");
    timed.clock.advance_ms(DAY_MS);
    let third = timed.tend().await;
    timed.run(&third.taken).await;
    assert_eq!(numbers(&stage, &shop.id).await[0], (3, Method::Full));
    assert!(third.deleted.is_empty(), "the window still begins before");

    // Switched off, and so much later that only the newest is needed. What a
    // backup holds is of the real clock, which stands far behind.
    databases
        .set_backup_config(
            &owner(),
            "shop",
            BackupConfig {
                enabled: false,
                ..config
            },
        )
        .await
        .unwrap();
    server.query("CREATE TABLE shop.t (a INT PRIMARY KEY)");
    let mut session = common::session(&server);
    let end = catalog::binlog_end(&mut session).unwrap().unwrap();
    let archive = stage.runtime.archive(&shop.id).unwrap();
    let reached = || archive.end().unwrap().is_some_and(|at| at >= end);
    until("the end of the server's log in the archive", reached).await;
    let all = archive.windows().unwrap();
    assert_eq!(all.len(), 1);

    timed.clock.advance_ms(10 * DAY_MS);
    let over = timed.tend().await;
    // What leads from the base that is left to now is left as well.
    let base = backup_of(&stage, 3).await.unwrap().position.unwrap();
    let left = archive.windows().unwrap();
    assert!(left[0].from.position <= base, "{left:?} {base}");
    assert_eq!(left[0].to, all[0].to);
    assert!(over.taken.is_empty());
    assert_eq!(over.deleted.len(), 1, "{over:?}");
    timed.run(&over.deleted).await;
    assert_eq!(numbers(&stage, &shop.id).await, [(3, Method::Full)]);
    assert!(timed.tend().await.deleted.is_empty());
    let (_, tasks) = databases
        .tasks(&owner(), TaskFilter::default(), ALL)
        .await
        .unwrap();
    assert_eq!(tasks[0].kind, TaskKind::DeleteBackup);
    databases.stop_following().await;
}
