//! Every procedure of an instance's life, failed, repeated, cancelled and
//! killed at every step, with real servers.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use std::marker::PhantomData;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use backout_core::ids::JobId;
use backout_core::outcome::Outcome;
use backout_core::time::{Clock as _, SystemClock};
use backout_databases::model::{
    BackupState, Instance, InstanceState, Kind, Method, Shape, Standing, Task, Way,
};
use backout_databases::procedures::adopt::Adopt;
use backout_databases::procedures::backup::TakeBackup;
use backout_databases::procedures::clone::Clone as CloneInstance;
use backout_databases::procedures::create::Create;
use backout_databases::procedures::delete_backup::DeleteBackup;
use backout_databases::procedures::isolate::Isolate;
use backout_databases::procedures::release::Release;
use backout_databases::procedures::remove::Remove;
use backout_databases::procedures::restart::Restart;
use backout_databases::{CloneRequest, CloneTo, NewBackup, NewInstance, NewManaged, persistence};
use backout_history::archive::Archive;
use backout_jobs::harness::{Ended, Matrix, Scenario, World};
use backout_jobs::{JobView, Jobs, Registry};
use backout_mariadb::testing::PrivateServer;
use backout_mariadb::{Endpoint, Session};
use backout_shim::Signal;

use common::{ID, NODE, Stage, caller, owner};

/// What a process is told that the harness started to be killed: it begins the
/// same test, and needs nothing that the first made.
const CHILD: &str = "BACKOUT_HARNESS_CHILD";

/// Where a case finds what all cases of its test share: beside them.
fn shared(world: &Path, name: &str) -> PathBuf {
    world.join("../..").join(name)
}

/// A stage, and what is tried on it: a matrix has to have a scenario for each
/// procedure that is registered.
struct Host<P> {
    stage: Stage,
    part: PhantomData<P>,
}

trait Part: 'static {
    fn registry(stage: &Stage) -> Registry;
}

impl<P: Part> World for Host<P> {
    async fn open(folder: &Path) -> Self {
        Self {
            stage: Stage::open(folder),
            part: PhantomData,
        }
    }

    fn jobs(&self) -> &Jobs {
        &self.stage.jobs
    }

    fn registry(&self) -> Registry {
        P::registry(&self.stage)
    }

    fn node(&self) -> &str {
        NODE
    }
}

impl Stage {
    async fn row(&self) -> Option<Instance> {
        let id = ID.parse().unwrap();
        self.store
            .read(move |tx| persistence::instance_by_id(tx, &id))
            .await
            .unwrap()
    }

    async fn only_row(&self) -> Option<Instance> {
        let filter = persistence::InstanceFilter::default();
        let page = persistence::Page {
            offset: 0,
            limit: 10,
        };
        let (_, mut rows) = self.databases.list(&owner(), filter, page).await.unwrap();
        rows.pop()
    }

    /// The task of a job is there, and stands as the job ended.
    async fn told(&self, ended: &Ended) -> Task {
        let job = ended.job.id.clone();
        let task = self
            .store
            .read(move |tx| persistence::task_of_job(tx, &job))
            .await
            .unwrap()
            .unwrap();
        let right = match ended.outcome {
            Outcome::Applied => task.standing == Standing::Applied && task.error.is_none(),
            _ if ended.case.contains("Cancel") => task.standing == Standing::Stopped,
            _ => task.standing == Standing::Failed && task.error.is_some(),
        };
        assert!(right && task.ended.is_some(), "{task:?} {ended:?}");
        task
    }

    async fn told_held(&self, job: &JobView) {
        let id = job.id.clone();
        let task = self
            .store
            .read(move |tx| persistence::task_of_job(tx, &id))
            .await
            .unwrap()
            .unwrap();
        assert_eq!(task.standing, Standing::Held, "{task:?}");
        assert!(task.words.contains("backout jobs retry"), "{task:?}");
    }

    /// A row of an instance without a server.
    async fn insert(&self, kind: Kind, url: &str) {
        let instance = Instance {
            id: ID.parse().unwrap(),
            owner: owner(),
            name: "shop".to_owned(),
            node: NODE.to_owned(),
            kind,
            state: InstanceState::Running,
            address: backout_databases::model::Address::default(),
            sealed: url.as_bytes().to_vec(),
            facts: backout_databases::model::Facts {
                datadir: Some("/".into()),
                ..Default::default()
            },
            shape: Shape::default(),
            backups: Default::default(),
            local_logs: Default::default(),
            tags: Vec::new(),
            created: SystemClock.now(),
            isolated: None,
        };
        self.store
            .write(move |tx| persistence::insert_instance(tx, &instance))
            .await
            .unwrap();
        let history = self.runtime.history_folder(&ID.parse().unwrap());
        std::fs::create_dir_all(&history).unwrap();
        Archive::local(&history).unwrap();
    }

    async fn set(&self, state: InstanceState) {
        self.store
            .write(move |tx| persistence::set_state(tx, &ID.parse().unwrap(), state))
            .await
            .unwrap();
    }

    fn home(&self) -> PathBuf {
        self.runtime.home(&ID.parse().unwrap())
    }

    fn is_followed(&self) -> bool {
        !self.home().join("history.off").exists()
    }
}

/// The address of the server that all cases of a test share.
fn url(stage: &Stage) -> String {
    std::fs::read_to_string(shared(&stage.folder, "url")).unwrap()
}

/// Instances whose server others run.
struct Reached;

impl Part for Reached {
    fn registry(stage: &Stage) -> Registry {
        let runtime = &stage.runtime;
        Registry::new()
            .with(Adopt(runtime.clone()))
            .with(Isolate(runtime.clone()))
            .with(Release(runtime.clone()))
    }
}

struct Adopting;

impl Scenario<Host<Reached>> for Adopting {
    fn procedure(&self) -> &'static str {
        "databases.adopt"
    }

    async fn set_up(&self, _: &Host<Reached>) {}

    async fn submit(&self, host: &Host<Reached>) -> JobId {
        let new = NewInstance {
            name: "shop".to_owned(),
            url: url(&host.stage),
            tags: Vec::new(),
        };
        host.stage.databases.add(&caller(), new).await.unwrap().job
    }

    async fn check(&self, host: &Host<Reached>, ended: &Ended) {
        host.stage.told(ended).await;
        let row = host.stage.only_row().await;
        let folders = std::fs::read_dir(&host.stage.runtime.folder).map_or(0, Iterator::count);
        if ended.outcome == Outcome::Applied {
            let row = row.unwrap();
            assert_eq!(row.state, InstanceState::Running, "{ended:?}");
            assert!(row.facts.version.contains("MariaDB"));
            assert!(host.stage.runtime.history_folder(&row.id).is_dir());
        } else {
            assert!(row.is_none(), "{ended:?}");
            assert_eq!(folders, 0, "{ended:?}");
        }
    }

    async fn check_held(&self, host: &Host<Reached>, job: &JobView) {
        host.stage.told_held(job).await;
        let row = host.stage.only_row().await.unwrap();
        assert_eq!(row.state, InstanceState::Creating);
    }
}

struct Isolating;

impl Scenario<Host<Reached>> for Isolating {
    fn procedure(&self) -> &'static str {
        "databases.isolate"
    }

    async fn set_up(&self, host: &Host<Reached>) {
        host.stage.insert(Kind::Reached, &url(&host.stage)).await;
    }

    async fn submit(&self, host: &Host<Reached>) -> JobId {
        let databases = &host.stage.databases;
        databases.isolate(&caller(), "shop").await.unwrap().job
    }

    async fn check(&self, host: &Host<Reached>, ended: &Ended) {
        host.stage.told(ended).await;
        let row = host.stage.row().await.unwrap();
        let applied = ended.outcome == Outcome::Applied;
        let state = match applied {
            true => InstanceState::Isolated,
            false => InstanceState::Running,
        };
        assert_eq!(
            (row.state, row.isolated.is_some()),
            (state, applied),
            "{ended:?}"
        );
        assert_eq!(host.stage.is_followed(), !applied, "{ended:?}");
    }

    async fn check_held(&self, host: &Host<Reached>, job: &JobView) {
        host.stage.told_held(job).await;
        let row = host.stage.row().await.unwrap();
        assert_eq!(row.state, InstanceState::Isolating);
    }
}

struct Releasing;

impl Scenario<Host<Reached>> for Releasing {
    fn procedure(&self) -> &'static str {
        "databases.release"
    }

    async fn set_up(&self, host: &Host<Reached>) {
        host.stage.insert(Kind::Reached, &url(&host.stage)).await;
        host.stage.set(InstanceState::Isolated).await;
        std::fs::write(host.stage.home().join("history.off"), b"").unwrap();
    }

    async fn submit(&self, host: &Host<Reached>) -> JobId {
        let databases = &host.stage.databases;
        databases.release(&caller(), "shop").await.unwrap().job
    }

    async fn check(&self, host: &Host<Reached>, ended: &Ended) {
        host.stage.told(ended).await;
        let row = host.stage.row().await.unwrap();
        let applied = ended.outcome == Outcome::Applied;
        let state = match applied {
            true => InstanceState::Running,
            false => InstanceState::Isolated,
        };
        assert_eq!(row.state, state, "{ended:?}");
        assert_eq!(host.stage.is_followed(), applied, "{ended:?}");
    }
}

/// A folder for all cases of a test, and a server for them unless this process
/// is to be killed.
fn beside_a_server() -> (tempfile::TempDir, Option<PrivateServer>) {
    let folder = tempfile::tempdir().unwrap();
    let server = std::env::var_os(CHILD).is_none().then(|| {
        let server = PrivateServer::start(&[]);
        std::fs::write(folder.path().join("url"), server.url()).unwrap();
        server
    });
    (folder, server)
}

#[test]
fn instances_that_others_run_survive_everything() {
    let (folder, _server) = beside_a_server();
    let report = Matrix::<Host<Reached>>::new("instances_that_others_run_survive_everything")
        .within(folder.path())
        .scenario(Adopting)
        .scenario(Isolating)
        .scenario(Releasing)
        .run();
    assert!(report.kills > 20, "{report:?}");
}

/// Backups.
struct Backups;

impl Part for Backups {
    fn registry(stage: &Stage) -> Registry {
        let runtime = &stage.runtime;
        Registry::new()
            .with(TakeBackup(runtime.clone()))
            .with(DeleteBackup(runtime.clone()))
    }
}

impl Stage {
    async fn backup_row(&self, number: u64) -> Option<backout_databases::model::Backup> {
        self.store
            .read(move |tx| persistence::backup(tx, number))
            .await
            .unwrap()
    }

    fn backup_folders(&self) -> Vec<String> {
        let mut names: Vec<String> = std::fs::read_dir(self.home().join("backups"))
            .map(|entries| {
                entries
                    .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                    .collect()
            })
            .unwrap_or_default();
        names.sort();
        names
    }
}

struct Taking;

impl Scenario<Host<Backups>> for Taking {
    fn procedure(&self) -> &'static str {
        "databases.backup"
    }

    async fn set_up(&self, host: &Host<Backups>) {
        host.stage.insert(Kind::Reached, &url(&host.stage)).await;
    }

    async fn submit(&self, host: &Host<Backups>) -> JobId {
        let new = NewBackup {
            instance: "shop".to_owned(),
            name: None,
            method: Method::Full,
            tables: Vec::new(),
        };
        let (number, asked) = host.stage.databases.backup(&caller(), new).await.unwrap();
        assert_eq!(number, 1);
        asked.job
    }

    async fn check(&self, host: &Host<Backups>, ended: &Ended) {
        let task = host.stage.told(ended).await;
        assert_eq!(task.detail.backup, Some(1));
        let row = host.stage.backup_row(1).await;
        if ended.outcome == Outcome::Applied {
            let row = row.unwrap();
            assert_eq!(
                (row.state, row.job),
                (BackupState::Ready, None),
                "{ended:?}"
            );
            assert!(row.position.is_some() && row.as_of.is_some() && row.bytes > 0);
            assert_eq!(host.stage.backup_folders(), ["1"], "{ended:?}");
        } else {
            let left = row.map(|row| row.state);
            let stopped = task.standing == Standing::Stopped;
            assert_eq!(left, (!stopped).then_some(BackupState::Failed), "{ended:?}");
            assert!(host.stage.backup_folders().is_empty(), "{ended:?}");
        }
    }

    async fn check_held(&self, host: &Host<Backups>, job: &JobView) {
        host.stage.told_held(job).await;
        let row = host.stage.backup_row(1).await.unwrap();
        assert_eq!(row.state, BackupState::Running);
    }
}

struct Deleting;

impl Scenario<Host<Backups>> for Deleting {
    fn procedure(&self) -> &'static str {
        "databases.delete_backup"
    }

    async fn set_up(&self, host: &Host<Backups>) {
        host.stage.insert(Kind::Reached, &url(&host.stage)).await;
        let folder = host.stage.runtime.backup_folder(&ID.parse().unwrap(), 1);
        std::fs::create_dir_all(folder.join("data")).unwrap();
        std::fs::write(folder.join("manifest.json"), b"{}").unwrap();
        let at = SystemClock.now();
        let row = backout_databases::model::Backup {
            number: 1,
            instance: ID.parse().unwrap(),
            owner: owner(),
            name: "one".to_owned(),
            way: Way::Manual,
            method: Method::Full,
            state: BackupState::Ready,
            folder,
            tables: Vec::new(),
            base: None,
            position: None,
            gtid: None,
            bytes: 1,
            started: at,
            finished: Some(at),
            as_of: Some(at),
            job: None,
        };
        host.stage
            .store
            .write(move |tx| persistence::insert_backup(tx, &row))
            .await
            .unwrap();
    }

    async fn submit(&self, host: &Host<Backups>) -> JobId {
        let databases = &host.stage.databases;
        let asked = databases.delete_backup(&caller(), "shop", 1, true).await;
        let row = host.stage.backup_row(1).await.unwrap();
        assert_eq!(row.state, BackupState::Deleting);
        asked.unwrap().job
    }

    async fn check(&self, host: &Host<Backups>, ended: &Ended) {
        host.stage.told(ended).await;
        let row = host.stage.backup_row(1).await;
        if ended.outcome == Outcome::Applied {
            assert!(row.is_none(), "{ended:?}");
            assert!(host.stage.backup_folders().is_empty(), "{ended:?}");
        } else {
            assert_eq!(row.unwrap().state, BackupState::Ready, "{ended:?}");
            assert_eq!(host.stage.backup_folders(), ["1"], "{ended:?}");
            let folder = host.stage.home().join("backups/1");
            assert!(folder.join("manifest.json").exists() && folder.join("data").exists());
        }
    }

    async fn check_held(&self, host: &Host<Backups>, job: &JobView) {
        host.stage.told_held(job).await;
        let row = host.stage.backup_row(1).await.unwrap();
        assert_eq!(row.state, BackupState::Deleting);
    }
}

#[test]
fn backups_survive_everything() {
    let (folder, _server) = beside_a_server();
    let report = Matrix::<Host<Backups>>::new("backups_survive_everything")
        .within(folder.path())
        .scenario(Taking)
        .scenario(Deleting)
        .run();
    assert!(report.kills > 12, "{report:?}");
}

/// Each case starts a server: all of them only where there is time.
fn sampled<W: World>(matrix: Matrix<W>) -> Matrix<W> {
    match std::env::var_os("BACKOUT_SOAK") {
        Some(_) => matrix,
        None => matrix.sampled(),
    }
}

/// A server that is made.
struct Making;

impl Part for Making {
    fn registry(stage: &Stage) -> Registry {
        Registry::new().with(Create(stage.runtime.clone()))
    }
}

/// Ends what a case left running, at the latest when it has failed.
impl<P> Drop for Host<P> {
    fn drop(&mut self) {
        for entry in std::fs::read_dir(&self.stage.runtime.folder)
            .into_iter()
            .flatten()
        {
            let home = entry.unwrap().path();
            let jobs = std::fs::read_dir(home.join("jobs")).into_iter().flatten();
            let runs = jobs.flatten().map(|job| job.path().join("run"));
            for run in runs.chain([home.join("server/run")]) {
                if run.exists() {
                    let _ = backout_shim::stop(&run, Signal::Kill, Duration::ZERO);
                }
            }
        }
    }
}

struct Creating;

impl Scenario<Host<Making>> for Creating {
    fn procedure(&self) -> &'static str {
        "databases.create"
    }

    async fn set_up(&self, _: &Host<Making>) {}

    async fn submit(&self, host: &Host<Making>) -> JobId {
        let new = NewManaged {
            names: vec!["shop".to_owned()],
            count: 1,
            shape: Shape {
                memory_mb: 64,
                ..Shape::default()
            },
            port: None,
            password: None,
            version: None,
            tags: Vec::new(),
        };
        let mut asked = host.stage.databases.create(&caller(), new).await.unwrap();
        asked.pop().unwrap().job
    }

    async fn check(&self, host: &Host<Making>, ended: &Ended) {
        host.stage.told(ended).await;
        let row = host.stage.only_row().await;
        if ended.outcome == Outcome::Applied {
            let row = row.unwrap();
            assert_eq!(row.state, InstanceState::Running, "{ended:?}");
            let endpoint = host.stage.runtime.endpoint(&row).unwrap();
            let answer: Option<u32> = Session::open(&endpoint)
                .unwrap()
                .first("test", "SELECT @@server_id")
                .unwrap();
            assert_eq!(answer, Some(row.facts.server_id));
            assert!(host.stage.runtime.history_folder(&row.id).is_dir());
        } else {
            assert!(row.is_none(), "{ended:?}");
            let left = std::fs::read_dir(&host.stage.runtime.folder).map_or(0, Iterator::count);
            assert_eq!(left, 0, "{ended:?}");
        }
    }

    async fn check_held(&self, host: &Host<Making>, job: &JobView) {
        host.stage.told_held(job).await;
    }
}

#[test]
fn making_a_server_survives_everything() {
    let folder = tempfile::tempdir().unwrap();
    let matrix = Matrix::<Host<Making>>::new("making_a_server_survives_everything")
        .within(folder.path())
        .scenario(Creating);
    let report = sampled(matrix).run();
    assert!(report.kills > 2, "{report:?}");
}

/// A server that we run.
struct Running;

impl Part for Running {
    fn registry(stage: &Stage) -> Registry {
        let runtime = &stage.runtime;
        Registry::new()
            .with(Restart(runtime.clone()))
            .with(Remove(runtime.clone()))
    }
}

impl Stage {
    /// A managed server like the one beside, which was made once.
    async fn copy_server(&self) {
        let sealed = url(self);
        let mut endpoint = Endpoint::parse(&sealed).unwrap();
        let folder = self.runtime.server_folder(&ID.parse().unwrap());
        endpoint.socket = Some(folder.join("data/s"));
        self.insert(Kind::Managed, &endpoint.to_url()).await;
        let copied = Command::new("cp")
            .arg("-a")
            .arg(shared(&self.folder, "server"))
            .arg(&folder)
            .status()
            .unwrap();
        assert!(copied.success());
    }

    fn runs(&self, row: &Instance) -> bool {
        Session::open(&self.runtime.endpoint(row).unwrap()).is_ok()
    }
}

struct Restarting;

impl Scenario<Host<Running>> for Restarting {
    fn procedure(&self) -> &'static str {
        "databases.restart"
    }

    async fn set_up(&self, host: &Host<Running>) {
        host.stage.copy_server().await;
    }

    async fn submit(&self, host: &Host<Running>) -> JobId {
        let databases = &host.stage.databases;
        databases.restart(&caller(), "shop").await.unwrap().job
    }

    async fn check(&self, host: &Host<Running>, ended: &Ended) {
        host.stage.told(ended).await;
        let row = host.stage.row().await.unwrap();
        assert_eq!(row.state, InstanceState::Running, "{ended:?}");
        // Stopped, and started again by whichever way: it was off before.
        let untouched = ended.case.contains("stop BeforeIntent");
        if ended.outcome == Outcome::Applied || !untouched {
            assert!(host.stage.runs(&row), "{ended:?}");
        }
    }

    async fn check_held(&self, host: &Host<Running>, job: &JobView) {
        host.stage.told_held(job).await;
    }
}

struct Removing;

impl Scenario<Host<Running>> for Removing {
    fn procedure(&self) -> &'static str {
        "databases.remove"
    }

    async fn set_up(&self, host: &Host<Running>) {
        host.stage.copy_server().await;
        host.stage.set(InstanceState::Isolated).await;
    }

    async fn submit(&self, host: &Host<Running>) -> JobId {
        let databases = &host.stage.databases;
        databases.remove(&caller(), "shop").await.unwrap().job
    }

    async fn check(&self, host: &Host<Running>, ended: &Ended) {
        host.stage.told(ended).await;
        let row = host.stage.row().await;
        if ended.outcome == Outcome::Applied {
            assert!(row.is_none(), "{ended:?}");
            assert!(!host.stage.home().exists(), "{ended:?}");
        } else {
            assert_eq!(row.unwrap().state, InstanceState::Isolated, "{ended:?}");
            let server = host.stage.runtime.server_folder(&ID.parse().unwrap());
            assert!(server.join("data/ibdata1").exists(), "{ended:?}");
        }
    }

    async fn check_held(&self, host: &Host<Running>, job: &JobView) {
        host.stage.told_held(job).await;
        let row = host.stage.row().await.unwrap();
        assert_eq!(row.state, InstanceState::Removing);
    }
}

/// Makes a server, with our account, and stops it.
async fn make_one(folder: &Path) {
    let stage = Stage::open(&folder.join("made"));
    let worker = stage.worker().await;
    let new = NewManaged {
        names: vec!["shop".to_owned()],
        count: 1,
        shape: Shape {
            memory_mb: 64,
            ..Shape::default()
        },
        port: None,
        password: None,
        version: None,
        tags: Vec::new(),
    };
    let asked = stage.databases.create(&caller(), new).await.unwrap();
    assert_eq!(
        stage.wait(&asked[0].job).await.outcome,
        Some(Outcome::Applied)
    );
    let row = stage.databases.get(&owner(), "shop").await.unwrap();
    let isolated = stage.databases.isolate(&caller(), "shop").await.unwrap();
    assert_eq!(
        stage.wait(&isolated.job).await.outcome,
        Some(Outcome::Applied)
    );
    worker.stop().await;
    std::fs::write(folder.join("url"), &row.sealed).unwrap();
    std::fs::rename(stage.runtime.server_folder(&row.id), folder.join("server")).unwrap();
}

#[test]
fn servers_that_we_run_survive_everything() {
    let folder = tempfile::tempdir().unwrap();
    if std::env::var_os(CHILD).is_none() {
        std::fs::create_dir(folder.path().join("made")).unwrap();
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap()
            .block_on(make_one(folder.path()));
    }
    let matrix = Matrix::<Host<Running>>::new("servers_that_we_run_survive_everything")
        .within(folder.path())
        .scenario(Restarting)
        .scenario(Removing);
    let report = sampled(matrix).run();
    assert!(report.kills > 2, "{report:?}");
}

/// An instance that is made of another's past.
struct Past;

impl Part for Past {
    fn registry(stage: &Stage) -> Registry {
        Registry::new().with(CloneInstance(stage.runtime.clone()))
    }
}

impl Stage {
    /// The past of the source beside, which was made once, and is not reached
    /// any more.
    async fn copy_past(&self) {
        self.insert(Kind::Reached, &url(self)).await;
        let id: backout_core::ids::DatabaseId = ID.parse().unwrap();
        self.store
            .write({
                let facts = backout_databases::model::Facts {
                    zone: "+00:00".to_owned(),
                    charset: "utf8mb4".to_owned(),
                    ..Default::default()
                };
                let id = id.clone();
                move |tx| persistence::set_facts(tx, &id, &facts)
            })
            .await
            .unwrap();
        let home = self.home();
        std::fs::remove_dir_all(&home).unwrap();
        let copied = Command::new("cp")
            .arg("-a")
            .arg(shared(&self.folder, "past"))
            .arg(&home)
            .status()
            .unwrap();
        assert!(copied.success());
        let folder = self.runtime.backup_folder(&id, 1);
        let manifest = backout_mariadb::backup::read(&folder).unwrap().unwrap();
        self.insert_base(folder, &manifest).await;
    }
}

struct Cloning;

impl Scenario<Host<Past>> for Cloning {
    fn procedure(&self) -> &'static str {
        "databases.clone"
    }

    async fn set_up(&self, host: &Host<Past>) {
        host.stage.copy_past().await;
    }

    async fn submit(&self, host: &Host<Past>) -> JobId {
        let request = CloneRequest {
            source: "shop".to_owned(),
            to: CloneTo::Newest,
            name: "copy".to_owned(),
            shape: Some(Shape {
                memory_mb: 64,
                ..Shape::default()
            }),
            port: None,
        };
        let (asked, _) = host
            .stage
            .databases
            .clone_instance(&caller(), request)
            .await
            .unwrap();
        asked.job
    }

    async fn check(&self, host: &Host<Past>, ended: &Ended) {
        let task = host.stage.told(ended).await;
        let made = task.detail.made.unwrap();
        let id = made.clone();
        let row = host
            .stage
            .store
            .read(move |tx| persistence::instance_by_id(tx, &id))
            .await
            .unwrap();
        let home = host.stage.runtime.home(&made);
        if ended.outcome == Outcome::Applied {
            let row = row.unwrap();
            assert_eq!(row.state, InstanceState::Running, "{ended:?}");
            let endpoint = host.stage.runtime.endpoint(&row).unwrap();
            // Each transaction once, whatever happened meanwhile.
            let rows: Option<String> = Session::open(&endpoint)
                .unwrap()
                .first(
                    "test",
                    "SELECT GROUP_CONCAT(a, ':', n ORDER BY a) FROM shop.t",
                )
                .unwrap();
            assert_eq!(rows.as_deref(), Some("1:3,2:0,3:0"), "{ended:?}");
            assert!(host.stage.runtime.history_folder(&made).is_dir());
            let left = std::fs::read_dir(home.join("jobs")).map_or(0, Iterator::count);
            assert_eq!(left, 0, "{ended:?}");
        } else {
            assert!(row.is_none(), "{ended:?}");
            assert!(!home.exists(), "{ended:?}");
            let left = host.stage.processes();
            assert!(left.is_empty(), "{left:?} {ended:?}");
        }
        // What it was made of is as it was.
        assert_eq!(
            host.stage.row().await.unwrap().state,
            InstanceState::Running
        );
        assert_eq!(host.stage.backup_folders(), ["1"], "{ended:?}");
    }

    async fn check_held(&self, host: &Host<Past>, job: &JobView) {
        host.stage.told_held(job).await;
    }
}

/// A backup, and history behind it; and the server that they are of is gone.
async fn make_past(folder: &Path) {
    let mut server = PrivateServer::start(&[]);
    server.script(
        "CREATE DATABASE shop; CREATE TABLE shop.t (a INT PRIMARY KEY, n INT); \
         INSERT INTO shop.t VALUES (1, 0)",
    );
    let mut stage = Stage::open(&folder.join("made"));
    stage.manage(&server.url(), Some(server.datadir())).await;
    stage.back_up(&server.url()).await;
    for _ in 0..3 {
        server.script("UPDATE shop.t SET n = n + 1 WHERE a = 1; FLUSH BINARY LOGS");
    }
    server.script("CREATE USER u@localhost; INSERT INTO shop.t VALUES (2, 0), (3, 0)");
    let end = backout_mariadb::catalog::binlog_end(&mut common::session(&server))
        .unwrap()
        .unwrap();
    let archive = stage.runtime.archive(&ID.parse().unwrap()).unwrap();
    let patience = Duration::from_secs(60);
    assert!(archive.wait_until(&end, patience, &|| false).unwrap());
    stage.follow_no_more();
    std::fs::write(folder.join("url"), server.url()).unwrap();
    server.kill();
    std::fs::rename(stage.home(), folder.join("past")).unwrap();
}

#[test]
fn making_an_instance_of_anothers_past_survives_everything() {
    let folder = tempfile::tempdir().unwrap();
    if std::env::var_os(CHILD).is_none() {
        std::fs::create_dir(folder.path().join("made")).unwrap();
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap()
            .block_on(make_past(folder.path()));
    }
    let matrix =
        Matrix::<Host<Past>>::new("making_an_instance_of_anothers_past_survives_everything")
            .within(folder.path())
            .scenario(Cloning);
    let report = sampled(matrix).run();
    assert!(report.kills > 2, "{report:?}");
}
