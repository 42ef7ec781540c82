//! A store, a database server and a worker, for tests.
#![allow(
    dead_code,
    clippy::allow_attributes,
    reason = "each test binary uses a part of it"
)]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use backout_core::ids::{AccountId, DatabaseId, JobId, OsEntropy, RequestId};
use backout_core::time::{Clock as _, SystemClock};
use backout_databases::model::{
    Address, Backup, BackupConfig, BackupState, Facts, Instance, InstanceState, Kind, LocalLogs,
    Method, Renamed, Shape, Strategy, Way,
};
use backout_databases::{
    Caller, Databases, RewindRequest, RewindWhat, RollbackRequest, Runtime, Secrets, Until,
    Written, persistence,
};
use backout_history::archive::pull::{PullFrom, pull};
use backout_history::{Micros, TableName};
use backout_jobs::{JobView, Jobs, Registry, Worker, WorkerConfig};
use backout_mariadb::testing::{self, PrivateServer};
use backout_mariadb::{Endpoint, Session, backup};
use backout_store::Store;

pub(crate) const NODE: &str = "harness";
pub(crate) const OWNER: &str = "acct_aaaaaaaaaaaa";
pub(crate) const ID: &str = "cdb-c1nl9rpv";

/// Seals nothing.
struct Open;

impl Secrets for Open {
    fn seal(&self, _bound_to: &str, secret: &str) -> Result<Vec<u8>, String> {
        Ok(secret.as_bytes().to_vec())
    }

    fn open(&self, _bound_to: &str, sealed: &[u8]) -> Result<String, String> {
        Ok(String::from_utf8_lossy(sealed).into_owned())
    }
}

pub(crate) fn owner() -> AccountId {
    OWNER.parse().unwrap()
}

pub(crate) fn caller() -> Caller {
    Caller {
        account: owner(),
        owner: owner(),
        request: RequestId::random(&OsEntropy),
        idempotency: None,
    }
}

/// The present instant, microseconds since 1970.
pub(crate) fn now_us() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(since.as_micros()).unwrap()
}

pub(crate) struct Stage {
    pub(crate) folder: PathBuf,
    pub(crate) store: Store,
    pub(crate) jobs: Jobs,
    pub(crate) databases: Databases,
    pub(crate) runtime: Runtime,
    puller: Option<(Arc<AtomicBool>, JoinHandle<()>)>,
}

impl Drop for Stage {
    fn drop(&mut self) {
        if let Some((stop, thread)) = self.puller.take() {
            stop.store(true, Ordering::Relaxed);
            let _ = thread.join();
        }
    }
}

impl Stage {
    /// On `folder`, which may have been used before.
    pub(crate) fn open(folder: &Path) -> Self {
        let migrations = [backout_jobs::MIGRATIONS, backout_databases::MIGRATIONS].concat();
        let store = Store::open_sqlite(&folder.join("state.db"), &migrations).unwrap();
        let (clock, entropy) = (Arc::new(SystemClock), Arc::new(OsEntropy));
        let jobs = Jobs::new(store.clone(), clock.clone(), entropy.clone());
        let shim = testing::shim().unwrap();
        let runtime = Runtime::new(&folder.join("databases"), shim, Arc::new(Open));
        let databases = Databases::new(
            store.clone(),
            jobs.clone(),
            clock,
            entropy,
            NODE.to_owned(),
            runtime.clone(),
        );
        Self {
            folder: folder.to_owned(),
            store,
            jobs,
            databases,
            runtime,
            puller: None,
        }
    }

    pub(crate) async fn worker(&self) -> Worker {
        let registry = self.databases.register(Registry::new());
        Worker::start(&self.jobs, registry, WorkerConfig::new(NODE))
            .await
            .unwrap()
    }

    /// Takes a server under management as it is, and follows its history.
    pub(crate) async fn manage(&mut self, url: &str, datadir: Option<PathBuf>) {
        self.enlist(url, datadir).await;
        self.follow(url);
    }

    /// Takes a server under management as it is.
    pub(crate) async fn enlist(&self, url: &str, datadir: Option<PathBuf>) {
        let id: DatabaseId = ID.parse().unwrap();
        let instance = Instance {
            id: id.clone(),
            owner: owner(),
            name: "shop".to_owned(),
            node: NODE.to_owned(),
            kind: Kind::Reached,
            state: InstanceState::Running,
            address: Address::default(),
            sealed: url.as_bytes().to_vec(),
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
        self.store
            .write(move |tx| persistence::insert_instance(tx, &instance))
            .await
            .unwrap();
    }

    /// No longer.
    pub(crate) fn follow_no_more(&mut self) {
        if let Some((stop, thread)) = self.puller.take() {
            stop.store(true, Ordering::Relaxed);
            thread.join().unwrap();
        }
    }

    /// Whether no job has left a file.
    pub(crate) fn has_no_files_of_jobs(&self) -> bool {
        let jobs = self.runtime.home(&ID.parse().unwrap()).join("jobs");
        std::fs::read_dir(jobs).map_or(true, |mut left| left.next().is_none())
    }

    /// The command lines of processes that work in this stage's folder, but
    /// for this one.
    pub(crate) fn processes(&self) -> Vec<String> {
        let folder = self.folder.to_string_lossy().into_owned();
        let own = std::process::id().to_string();
        std::fs::read_dir("/proc")
            .unwrap()
            .filter_map(|entry| Some(entry.ok()?.file_name().to_string_lossy().into_owned()))
            .filter(|pid| pid.bytes().all(|b| b.is_ascii_digit()) && *pid != own)
            .filter_map(|pid| std::fs::read(format!("/proc/{pid}/cmdline")).ok())
            .map(|line| String::from_utf8_lossy(&line).replace('\0', " "))
            .filter(|line| line.contains(&folder))
            .collect()
    }

    /// Follows the history of the server that is under management.
    pub(crate) fn follow(&mut self, url: &str) {
        let endpoint = Endpoint::parse(url).unwrap();
        let archive = self.runtime.archive(&ID.parse().unwrap()).unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let from = PullFrom {
            host: endpoint.host.clone(),
            port: endpoint.port,
            socket: endpoint.socket.clone(),
            user: endpoint.user.clone(),
            password: endpoint.password.expose().to_owned(),
            server_id: 700_001,
            tls: None,
        };
        let thread = std::thread::spawn(move || {
            let stopped = move || stopped.load(Ordering::Relaxed);
            while !stopped() {
                if pull(&archive, &from, &|| Micros(now_us()), &stopped).is_err() {
                    std::thread::sleep(Duration::from_millis(50));
                }
            }
        });
        self.puller = Some((stop, thread));
    }

    pub(crate) async fn wait(&self, job: &JobId) -> JobView {
        self.jobs.wait(job, Duration::from_secs(120)).await.unwrap()
    }
}

/// A session as root.
pub(crate) fn session(server: &PrivateServer) -> Session {
    Session::open(&Endpoint::parse(&server.url()).unwrap()).unwrap()
}

pub(crate) fn table(text: &str) -> TableName {
    let (schema, table) = text.split_once('.').unwrap();
    TableName::new(schema, table)
}

/// `tables` pairs to the instant `us`.
pub(crate) fn tables_at(us: i64, pairs: &[(&str, &str)]) -> RollbackRequest {
    RollbackRequest {
        instance: "shop".to_owned(),
        until: Until::Written(Written::Instant(us)),
        strategy: Strategy::Table,
        databases: Vec::new(),
        tables: pairs
            .iter()
            .map(|(from, to)| Renamed {
                from: table(from),
                to: table(to),
            })
            .collect(),
        torn: false,
        road: None,
    }
}

/// `tables` in place to the instant `us`.
pub(crate) fn in_place_at(us: i64, tables: &[&str]) -> RewindRequest {
    RewindRequest {
        instance: "shop".to_owned(),
        what: RewindWhat::Until {
            until: Until::Written(Written::Instant(us)),
            tables: tables.iter().map(|t| table(t)).collect(),
        },
        torn: false,
    }
}

impl Stage {
    /// A full base backup, as of now.
    pub(crate) async fn back_up(&self, url: &str) -> u64 {
        let id: DatabaseId = ID.parse().unwrap();
        let endpoint = Endpoint::parse(url).unwrap();
        let folder = self.runtime.backup_folder(&id, 1);
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
        self.insert_base(folder, &manifest).await;
        1
    }

    /// The row of the base backup in a folder.
    pub(crate) async fn insert_base(&self, folder: PathBuf, manifest: &backup::Manifest) {
        let row = Backup {
            number: 1,
            instance: ID.parse().unwrap(),
            owner: owner(),
            name: "base".to_owned(),
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
        self.store
            .write(move |tx| persistence::insert_backup(tx, &row))
            .await
            .unwrap();
    }
}
