//! A driver whose instances are files, so that an order goes through hundreds of
//! deaths in seconds, and an application of it. Real processes, their gateway and
//! a load are in the tests of `backout`.
#![allow(dead_code, reason = "each test binary uses a part of it")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use backout_apps::model::{Application, Order, Standing};
use backout_apps::persistence as rows;
use backout_apps::planning::Settings;
use backout_apps::{
    Apps, Asked, Caller, How, NewApplication, NewArtifact, NewRelease, Runtime, Secrets, Wanted,
};
use backout_core::fence::Fence;
use backout_core::ids::{AccountId, ApplicationId, JobId, OsEntropy, RequestId};
use backout_core::time::SystemClock;
use backout_gateway::Host;
use backout_jobs::{Jobs, Registry, Worker, WorkerConfig};
use backout_rollout::{Go, Strategy};
use backout_shim::Shim;
use backout_store::{Error as StoreError, Store};
use backout_workloads::packages::{PackageLimits, Packages};
use backout_workloads::process::{Config, Processes};
use backout_workloads::{
    Enforced, Error, Finding, InstanceId, InstanceSpec, LogChunk, LogFrom, Phase, Result, Source,
    Started, Status, Watch, Workloads,
};

/// As the harness calls its node.
pub const NODE: &str = "harness";
pub const OWNER: &str = "acct_aaaaaaaaaaaa";

/// Far more than anything here takes.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// A driver whose instances are files:
///
/// | place | what it is |
/// |---|---|
/// | `i/<id>` | an instance: its image, and how it is (`runs`, `lost`, `ended`) |
/// | `f/<id>` | the newest fence that was shown for it |
/// | `rules/<image>` | how those of an image are: `crash`, `never` or `refuse` |
/// | `log` | what was done, a line each, with how many are ready afterwards |
#[derive(Clone, Debug)]
pub struct Files {
    root: PathBuf,
}

struct Tick;

impl Watch for Tick {
    fn wait(&mut self, patience: Duration) -> Result<()> {
        std::thread::sleep(patience.min(Duration::from_millis(5)));
        Ok(())
    }
}

impl Files {
    pub fn open(root: &Path) -> Self {
        for part in ["i", "f", "rules"] {
            std::fs::create_dir_all(root.join(part)).unwrap();
        }
        Self {
            root: root.to_owned(),
        }
    }

    fn lock(&self) -> File {
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(self.root.join("lock"))
            .unwrap();
        rustix::fs::flock(&file, rustix::fs::FlockOperation::LockExclusive).unwrap();
        file
    }

    fn fence(&self, id: &InstanceId, fence: Fence) -> Result<()> {
        let path = self.root.join("f").join(id.as_str());
        let before = std::fs::read_to_string(&path)
            .ok()
            .and_then(|t| t.parse().ok());
        if before.is_some_and(|before: i64| before > fence.0) {
            return Err(Error::Stale { id: id.clone() });
        }
        std::fs::write(&path, fence.0.to_string()).unwrap();
        Ok(())
    }

    fn path(&self, id: &str) -> PathBuf {
        self.root.join("i").join(id)
    }

    /// By its id, the image and how an instance is.
    pub fn instances(&self) -> BTreeMap<String, (String, String)> {
        let mut all = BTreeMap::new();
        for entry in std::fs::read_dir(self.root.join("i")).unwrap() {
            let entry = entry.unwrap();
            let Ok(text) = std::fs::read_to_string(entry.path()) else {
                continue;
            };
            let (image, state) = text.split_once(' ').unwrap();
            let id = entry.file_name().into_string().unwrap();
            all.insert(id, (image.to_owned(), state.to_owned()));
        }
        all
    }

    /// How many run each image.
    pub fn images(&self) -> BTreeMap<String, usize> {
        let mut all = BTreeMap::new();
        for (image, _) in self.instances().values() {
            *all.entry(image.clone()).or_default() += 1;
        }
        all
    }

    fn ready(&self) -> usize {
        let fine =
            |(image, state): &&(String, String)| state == "runs" && self.rule(image).is_none();
        self.instances().values().filter(fine).count()
    }

    pub fn rule(&self, image: &str) -> Option<String> {
        std::fs::read_to_string(self.root.join("rules").join(image)).ok()
    }

    pub fn set_rule(&self, image: &str, rule: Option<&str>) {
        let path = self.root.join("rules").join(image);
        match rule {
            Some(rule) => std::fs::write(path, rule).unwrap(),
            None => std::fs::remove_file(path).unwrap(),
        }
    }

    /// Where a test may write down how long the log was.
    pub fn marker(&self) -> PathBuf {
        self.root.join("marker")
    }

    /// Makes an instance what it would not become by itself.
    pub fn make(&self, id: &str, state: &str) {
        let _lock = self.lock();
        let (image, _) = self.instances().remove(id).unwrap();
        self.write(id, &image, state);
    }

    fn write(&self, id: &str, image: &str, state: &str) {
        let new = self.root.join("new");
        std::fs::write(&new, format!("{image} {state}")).unwrap();
        std::fs::rename(&new, self.path(id)).unwrap();
    }

    fn tell(&self, what: &str, id: &InstanceId, image: &str) {
        let line = format!("{what} {id} {image} {}\n", self.ready());
        let mut log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.root.join("log"))
            .unwrap();
        log.write_all(line.as_bytes()).unwrap();
    }

    /// What was done: what, to which, of which image, and how many were ready
    /// afterwards.
    pub fn log(&self) -> Vec<(String, String, String, usize)> {
        let text = std::fs::read_to_string(self.root.join("log")).unwrap_or_default();
        text.lines()
            .map(|line| {
                let words: Vec<&str> = line.split(' ').collect();
                let [what, id, image, ready] = words[..] else {
                    unreachable!("{line}");
                };
                (
                    what.to_owned(),
                    id.to_owned(),
                    image.to_owned(),
                    ready.parse().unwrap(),
                )
            })
            .collect()
    }
}

impl Workloads for Files {
    fn start(&self, fence: Fence, spec: &InstanceSpec) -> Result<Started> {
        let _lock = self.lock();
        let id = &spec.id;
        self.fence(id, fence)?;
        let Source::Image { name } = &spec.source else {
            unreachable!("only images are run here");
        };
        if self.rule(name).as_deref() == Some("refuse") {
            return Err(Error::NotStarted {
                id: id.clone(),
                why: "as the rule says".to_owned(),
            });
        }
        let before = self.instances().remove(id.as_str());
        let fresh = before.is_none_or(|(_, state)| state != "runs");
        if fresh {
            self.write(id.as_str(), name, "runs");
            self.tell("start", id, name);
        }
        Ok(Started {
            fresh,
            address: None,
        })
    }

    fn stop(&self, fence: Fence, id: &InstanceId, _: Duration) -> Result<()> {
        let _lock = self.lock();
        self.fence(id, fence)?;
        let Some((image, state)) = self.instances().remove(id.as_str()) else {
            return Ok(());
        };
        if state == "runs" {
            self.write(id.as_str(), &image, "ended");
            self.tell("stop", id, &image);
        }
        Ok(())
    }

    fn remove(&self, fence: Fence, id: &InstanceId) -> Result<()> {
        let _lock = self.lock();
        self.fence(id, fence)?;
        let _ = std::fs::remove_file(self.path(id.as_str()));
        Ok(())
    }

    fn status(&self, id: &InstanceId) -> Result<Option<Status>> {
        let Ok(text) = std::fs::read_to_string(self.path(id.as_str())) else {
            return Ok(None);
        };
        let (image, state) = text.split_once(' ').unwrap();
        let rule = self.rule(image);
        let phase = match (state, rule.as_deref()) {
            ("lost", _) => Phase::Lost,
            ("ended", _) => Phase::Ended { exit: None },
            (_, Some("crash")) => Phase::Waits { exit: None },
            (_, Some(_)) => Phase::Starting,
            (_, None) => Phase::Ready,
        };
        Ok(Some(Status {
            id: id.clone(),
            restarts: match phase {
                Phase::Waits { .. } => 100,
                _ => 0,
            },
            phase,
            source: Source::Image {
                name: image.to_owned(),
            },
            pid: None,
            since_ms: None,
            address: None,
            why: None,
            limits: Enforced::NotAsked,
            memory_bytes: None,
            cpu_ms: None,
            memory_kills: 0,
            events: Vec::new(),
        }))
    }

    fn list(&self, _: Option<&InstanceId>, _: usize) -> Result<Vec<InstanceId>> {
        let ids = self.instances().into_keys();
        Ok(ids.map(|id| id.parse().unwrap()).collect())
    }

    fn watch(&self, _: &[InstanceId]) -> Result<Box<dyn Watch>> {
        Ok(Box::new(Tick))
    }

    fn logs(&self, id: &InstanceId, _: LogFrom) -> Result<LogChunk> {
        Err(Error::NoInstance { id: id.clone() })
    }

    fn doctor(&self) -> Vec<Finding> {
        Vec::new()
    }

    fn limits_missing(&self) -> Option<String> {
        None
    }
}

struct NoSecrets;

impl Secrets for NoSecrets {
    fn seal(&self, _: &str, _: &str) -> std::result::Result<Vec<u8>, String> {
        Err("there are none".to_owned())
    }

    fn open(&self, _: &str, _: &[u8]) -> std::result::Result<String, String> {
        Err("there are none".to_owned())
    }
}

/// A host with applications.
pub struct House {
    pub files: Files,
    pub store: Store,
    pub jobs: Jobs,
    pub apps: Apps,
}

impl House {
    pub fn open(folder: &Path) -> Self {
        let migrations = [backout_jobs::MIGRATIONS, backout_apps::MIGRATIONS].concat();
        let store = Store::open_sqlite(&folder.join("state.db"), &migrations).unwrap();
        let files = Files::open(&folder.join("files"));
        let config = Config::new(folder.join("run"), Shim::own(&[]));
        let mut runtime = Runtime::new(
            folder,
            Arc::new(Processes::open(config).unwrap()),
            Packages::open(folder.join("packages"), PackageLimits::default()).unwrap(),
            Host::own(&[], &[]),
            Arc::new(NoSecrets),
        );
        runtime.containers = Some(Arc::new(files.clone()));
        let (clock, entropy) = (Arc::new(SystemClock), Arc::new(OsEntropy));
        let jobs = Jobs::new(store.clone(), clock.clone(), entropy.clone());
        let apps = Apps::new(
            store.clone(),
            jobs.clone(),
            clock,
            entropy,
            NODE.to_owned(),
            runtime,
        );
        Self {
            files,
            store,
            jobs,
            apps,
        }
    }

    pub async fn worker(&self, places: usize) -> Worker {
        let config = WorkerConfig {
            concurrency: places,
            poll: Duration::from_millis(20),
            stop_wait: PATIENCE,
            ..WorkerConfig::new(NODE)
        };
        let registry = self.apps.register(Registry::new());
        Worker::start(&self.jobs, registry, config).await.unwrap()
    }

    /// Makes an application with its first version; the job is not waited for.
    pub async fn create(&self, name: &str, image: &str, replicas: u32) -> Asked {
        let new = NewApplication {
            name: name.to_owned(),
            namespace: None,
            description: String::new(),
            tags: Vec::new(),
            release: Some(release(image, replicas)),
            label: String::new(),
        };
        let created = self.apps.create(&caller(), new, &How::default()).await;
        created.unwrap().asked.unwrap()
    }

    pub async fn ask(&self, app: &str, wanted: Wanted, how: &How) -> Asked {
        self.apps.order(&caller(), app, wanted, how).await.unwrap()
    }

    pub async fn order(&self, asked: &Asked) -> Order {
        self.order_by_id(asked.order.as_str()).await
    }

    pub async fn order_by_id(&self, id: &str) -> Order {
        let view = self.apps.order_view(&owner(), id).await;
        view.unwrap().order
    }

    /// Waits until an order is over.
    pub async fn over(&self, asked: &Asked) -> Order {
        let job = asked.job.clone().unwrap();
        self.jobs.wait(&job, PATIENCE).await.unwrap();
        let order = self.order(asked).await;
        assert!(order.ended.is_some(), "{order:?}");
        order
    }

    /// Waits until an order stands so.
    pub async fn stands(&self, asked: &Asked, standing: Standing) -> Order {
        let until = tokio::time::Instant::now() + PATIENCE;
        loop {
            let order = self.order(asked).await;
            if order.standing == standing {
                return order;
            }
            assert!(
                tokio::time::Instant::now() < until && order.ended.is_none(),
                "never {standing:?}: {order:?}"
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    pub async fn application(&self, id: &ApplicationId) -> Option<Application> {
        let id = id.clone();
        self.store
            .read::<_, StoreError>(move |tx| rows::application_by_id(tx, &id))
            .await
            .unwrap()
    }

    /// The ids that rows know of an application's replicas.
    pub async fn replicas(&self, id: &ApplicationId) -> Vec<String> {
        let id = id.clone();
        let found = self
            .store
            .read::<_, StoreError>(move |tx| rows::replicas_of(tx, &id))
            .await
            .unwrap();
        found.iter().map(|r| r.id.to_string()).collect()
    }

    /// Sees that rows and instances are the same, so many of this image.
    pub async fn has(&self, id: &ApplicationId, image: &str, count: usize) {
        let mut known = self.replicas(id).await;
        known.sort();
        let there = self.files.instances();
        assert_eq!(known, there.keys().cloned().collect::<Vec<_>>());
        let wanted: BTreeMap<String, usize> = match count {
            0 => BTreeMap::new(),
            count => BTreeMap::from([(image.to_owned(), count)]),
        };
        assert_eq!(self.files.images(), wanted);
        assert!(
            there.values().all(|(_, state)| state == "runs"),
            "{there:?}"
        );
    }

    pub async fn finish(&self, job: &JobId) {
        let worker = self.worker(4).await;
        self.jobs.wait(job, PATIENCE).await.unwrap();
        worker.stop().await;
    }
}

pub fn owner() -> AccountId {
    OWNER.parse().unwrap()
}

pub fn caller() -> Caller {
    Caller {
        account: owner(),
        owner: owner(),
        request: RequestId::random(&OsEntropy),
        idempotency: None,
        approval: None,
    }
}

pub fn release(image: &str, replicas: u32) -> NewRelease {
    let mut release = NewRelease::new(NewArtifact::Image {
        name: image.to_owned(),
    });
    release.replicas = replicas;
    release
}

pub fn deploy(image: &str, replicas: u32) -> Wanted {
    Wanted::Deploy {
        release: Box::new(release(image, replicas)),
        label: String::new(),
    }
}

/// First one, then the rest in `batches`, with so many ready.
pub fn gray(batches: i64, go: Go, least: i64) -> How {
    How {
        settings: Settings {
            least_ready: Some(least),
            strategy: Strategy::Gray {
                gray: 1,
                batches,
                go,
            },
            ..Settings::default()
        },
        ..How::default()
    }
}
