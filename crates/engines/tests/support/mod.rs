//! A store, a worker, and small engines that start at once, for tests.
#![allow(
    dead_code,
    clippy::allow_attributes,
    reason = "each test binary uses a part of it"
)]

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use backout_core::fence::Fence;
use backout_core::ids::{AccountId, OsEntropy, RequestId};
use backout_core::outcome::Outcome;
use backout_core::time::SystemClock;
use backout_engines::model::{Engine, Kind, Record};
use backout_engines::persistence::Page;
use backout_engines::service::{Asked, Caller, NewEngine};
use backout_engines::{Engines, Runtime};
use backout_gateway::Host;
use backout_jobs::{JobView, Jobs, Registry, Worker, WorkerConfig};
use backout_shim::{Shim, Signal};
use backout_store::Store;
use backout_workloads::process::{Config, Processes};

pub(crate) const NODE: &str = "harness";

/// Far more than anything here takes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn owner() -> AccountId {
    "acct_aaaaaaaaaaaa".parse().unwrap()
}

pub(crate) fn caller() -> Caller {
    Caller {
        account: owner(),
        owner: owner(),
        request: RequestId::random(&OsEntropy),
        idempotency: None,
    }
}

fn program() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_engines-testing"))
}

/// An entry of the catalogue for an engine of this version.
pub(crate) fn entry(version: &str, more: &str) -> String {
    let program = program().to_string_lossy().into_owned();
    format!(
        "version = {version:?}\nkind = \"DuckDB\"\nhealth_http = \"/health\"\nstart_s = 20\n\
         command = [{program:?}, \"engine\", \"{{port}}\", {version:?}]\n{more}"
    )
}

pub(crate) struct Stage {
    pub(crate) folder: PathBuf,
    pub(crate) store: Store,
    pub(crate) jobs: Jobs,
    pub(crate) engines: Engines,
    pub(crate) runtime: Runtime,
}

impl Stage {
    /// On `folder`, which may have been used before.
    pub(crate) fn open(folder: &Path) -> Self {
        Self::open_with(folder, |_| {})
    }

    pub(crate) fn open_with(folder: &Path, tune: impl FnOnce(&mut Runtime)) -> Self {
        let migrations = [backout_jobs::MIGRATIONS, backout_engines::MIGRATIONS].concat();
        let store = Store::open_sqlite(&folder.join("state.db"), &migrations).unwrap();
        let (clock, entropy) = (Arc::new(SystemClock), Arc::new(OsEntropy));
        let jobs = Jobs::new(store.clone(), clock.clone(), entropy.clone());
        let shim = Shim {
            program: program(),
            args: vec!["shim".into()],
        };
        let processes = Processes::open(Config::new(folder.join("processes"), shim.clone()));
        let gateways = Host {
            shim,
            program: program(),
            args: vec!["gateway".to_owned()],
        };
        let processes = Arc::new(processes.unwrap());
        let mut runtime = Runtime::open(&folder.join("engines"), processes, gateways).unwrap();
        runtime.drain_ms = 20_000;
        runtime.settle_ms = 50;
        runtime.grace_ms = 2000;
        tune(&mut runtime);
        let engines = Engines::new(
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
            engines,
            runtime,
        }
    }

    pub(crate) fn registry(&self) -> Registry {
        self.engines.register(Registry::new())
    }

    pub(crate) async fn worker(&self) -> Worker {
        let config = WorkerConfig::new(NODE);
        Worker::start(&self.jobs, self.registry(), config)
            .await
            .unwrap()
    }

    pub(crate) async fn add(&self, text: &str) {
        self.engines.add_image(&caller(), text).await.unwrap();
    }

    /// Two versions, and an engine of the first that answers.
    pub(crate) async fn set_up(&self) {
        self.add(&entry("one", PARAMETERS_ONE)).await;
        self.add(&entry("two", PARAMETERS_TWO)).await;
        let worker = self.worker().await;
        self.made("e", "one").await;
        worker.stop().await;
    }

    pub(crate) async fn made(&self, name: &str, image: &str) {
        let mut new = NewEngine::new(name, Kind::DuckDb);
        new.image = Some(image.to_owned());
        let pairs = [("threads", "2"), ("old", "x")];
        let has = image == "one";
        new.config.cluster = pairs
            .into_iter()
            .filter(|_| has)
            .map(|(k, v)| (k.to_owned(), v.to_owned()))
            .collect();
        let asked = self.engines.create(&caller(), new).await.unwrap();
        self.applied(&asked).await;
    }

    pub(crate) async fn ended(&self, asked: &Asked) -> JobView {
        let view = self.jobs.wait(&asked.job, PATIENCE).await.unwrap();
        assert!(view.is_done(), "{view:?}");
        view
    }

    pub(crate) async fn applied(&self, asked: &Asked) {
        let view = self.ended(asked).await;
        assert_eq!(view.outcome, Some(Outcome::Applied), "{view:?}");
    }

    pub(crate) async fn engine(&self) -> Engine {
        self.engines.get(&owner(), "e").await.unwrap()
    }

    pub(crate) async fn log(&self) -> Vec<Record> {
        let page = Page {
            offset: 0,
            limit: 100,
        };
        self.engines.log(&owner(), "e", page).await.unwrap().1
    }

    /// The instances that the driver has.
    pub(crate) fn instances(&self) -> Vec<String> {
        let ids = self.runtime.processes.list(None, 100).unwrap();
        ids.iter().map(ToString::to_string).collect()
    }

    /// Ends an instance behind the back of everybody.
    pub(crate) fn crash_instance(&self, id: &str) {
        let run = self.folder.join("processes/instances").join(id).join("run");
        backout_shim::stop(&run, Signal::Kill, Duration::ZERO).unwrap();
    }

    /// Ends the process on an engine's endpoint likewise.
    pub(crate) fn crash_gateway(&self, engine: &Engine) {
        let run = self.runtime.gateway_folder(&engine.id).join("run");
        backout_shim::stop(&run, Signal::Kill, Duration::ZERO).unwrap();
    }

    /// Ends all that runs.
    pub(crate) fn sweep(&self) {
        for id in self.runtime.processes.list(None, 100).unwrap_or_default() {
            let processes = &self.runtime.processes;
            let _ = processes.stop(Fence(i64::MAX), &id, Duration::ZERO);
        }
        let folder = self.runtime.folder.join("gateways");
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let run = entry.path().join("run");
            let _ = backout_shim::stop(&run, Signal::Kill, Duration::ZERO);
        }
    }
}

/// Parameters of the first version.
pub(crate) const PARAMETERS_ONE: &str = "[cluster_parameters]\n\
     threads = { type = \"integer\", default = 1 }\n\
     old = { default = \"\" }\n";

/// Those of the second: one is gone, and one is new.
pub(crate) const PARAMETERS_TWO: &str = "[cluster_parameters]\n\
     threads = { type = \"integer\", default = 1 }\n\
     new = { default = \"n\" }\n";

/// Ends all that runs when it goes, also when a test fails.
pub(crate) struct Sweep<'a>(pub(crate) &'a Stage);

impl Drop for Sweep<'_> {
    fn drop(&mut self) {
        self.0.sweep();
    }
}

/// Asks the endpoint of an engine a statement.
pub(crate) fn ask(port: u16, sql: &str) -> io::Result<(u16, String)> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let length = sql.len();
    write!(
        stream,
        "POST /sql HTTP/1.1\r\nHost: e\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{sql}"
    )?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    let status = text
        .split(' ')
        .nth(1)
        .and_then(|s| s.parse().ok())
        .unwrap_or(0);
    let body = text.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    Ok((status, body.to_owned()))
}

/// The version that answers at an engine's endpoint.
pub(crate) fn version(port: u16) -> String {
    let (status, text) = ask(port, "version").unwrap();
    assert_eq!(status, 200, "{text}");
    text.split(' ').next().unwrap_or_default().to_owned()
}
