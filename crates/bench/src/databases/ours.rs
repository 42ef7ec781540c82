//! Our own roads, through the product.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use backout_core::ids::{AccountId, OsEntropy, RequestId};
use backout_core::outcome::Outcome;
use backout_core::time::SystemClock;
use backout_databases::model::{Method, Renamed, Road, Strategy};
use backout_databases::{
    Caller, Databases, NewBackup, NewInstance, RewindRequest, RewindWhat, RollbackRequest, Runtime,
    Secrets, Until, Written,
};
use backout_history::TableName;
use backout_jobs::{Jobs, Registry, Worker, WorkerConfig};
use backout_shim::Shim;
use backout_store::Store;

use super::load::Server;
use crate::child;

const NODE: &str = "here";
const NAME: &str = "bench";
/// How long a job may take.
const PATIENCE: Duration = Duration::from_secs(1800);

/// Which way tables are taken back.
#[derive(Clone, Copy)]
pub(crate) enum Way {
    /// As the preflight chooses.
    Chosen,
    Undo,
    Restore,
}

/// Keeps what it is given: nothing here is secret.
struct Plain;

impl Secrets for Plain {
    fn seal(&self, _bound_to: &str, secret: &str) -> Result<Vec<u8>, String> {
        Ok(secret.as_bytes().to_vec())
    }

    fn open(&self, _bound_to: &str, sealed: &[u8]) -> Result<String, String> {
        Ok(String::from_utf8_lossy(sealed).into_owned())
    }
}

pub(crate) struct Ours {
    tokio: tokio::runtime::Runtime,
    databases: Databases,
    jobs: Jobs,
    owner: AccountId,
    stop: Arc<AtomicBool>,
    _worker: Worker,
}

impl Drop for Ours {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.tokio.block_on(self.databases.stop_following());
    }
}

impl Ours {
    /// Takes the server under management.
    pub(crate) fn start(folder: &Path, server: &Server) -> anyhow::Result<Self> {
        std::fs::create_dir_all(folder)?;
        let tokio = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()?;
        let migrations = [backout_jobs::MIGRATIONS, backout_databases::MIGRATIONS].concat();
        let store = Store::open_sqlite(&folder.join("state.db"), &migrations)?;
        let (clock, entropy) = (Arc::new(SystemClock), Arc::new(OsEntropy));
        let jobs = Jobs::new(store.clone(), clock.clone(), entropy.clone());
        let shim = Shim {
            program: child::backout()?,
            args: vec!["shim".into()],
        };
        let databases = Databases::new(
            store,
            jobs.clone(),
            clock,
            entropy,
            NODE.to_owned(),
            Runtime::new(&folder.join("databases"), shim, Arc::new(Plain)),
        );
        let registry = databases.register(Registry::new());
        let worker = tokio.block_on(Worker::start(&jobs, registry, WorkerConfig::new(NODE)))?;
        let stop = Arc::new(AtomicBool::new(false));
        let (tended, stopped) = (databases.clone(), Arc::clone(&stop));
        tokio.spawn(async move {
            while !stopped.load(Ordering::Relaxed) {
                let _ = tended.tend().await;
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        });
        let ours = Self {
            tokio,
            databases,
            jobs,
            owner: AccountId::random(&OsEntropy),
            stop,
            _worker: worker,
        };
        let new = NewInstance {
            name: NAME.to_owned(),
            url: server.url(),
            tags: Vec::new(),
        };
        let caller = ours.caller();
        let asked = ours
            .tokio
            .block_on(ours.databases.add(&caller, new))
            .context("take the server under management")?;
        ours.wait(&asked.job)?;
        Ok(ours)
    }

    fn caller(&self) -> Caller {
        Caller {
            account: self.owner.clone(),
            owner: self.owner.clone(),
            request: RequestId::random(&OsEntropy),
            idempotency: None,
        }
    }

    fn wait(&self, job: &backout_core::ids::JobId) -> anyhow::Result<()> {
        let job = self.tokio.block_on(self.jobs.wait(job, PATIENCE))?;
        if job.outcome != Some(Outcome::Applied) {
            bail!("{}: {:?} {:?}", job.title, job.outcome, job.error);
        }
        if std::env::var_os("BACKOUT_BENCH_STEPS").is_some() {
            let steps = self.tokio.block_on(self.jobs.steps(&job.id))?;
            println!("    {}", job.title);
            for step in steps {
                if let (Some(from), Some(to)) = (step.started, step.ended) {
                    println!("    {}: {} ms", step.name, to.since_ms(from));
                }
            }
        }
        Ok(())
    }

    /// A full base backup.
    pub(crate) fn back_up(&self) -> anyhow::Result<()> {
        let new = NewBackup {
            instance: NAME.to_owned(),
            name: None,
            method: Method::Full,
            tables: Vec::new(),
        };
        let (_, asked) = self
            .tokio
            .block_on(self.databases.backup(&self.caller(), new))?;
        self.wait(&asked.job)
    }

    /// Waits until the history has all that the server has written.
    pub(crate) fn catch_up(&self, server: &Server) -> anyhow::Result<()> {
        let end = server.end()?;
        let began = Instant::now();
        loop {
            let windows = self
                .tokio
                .block_on(self.databases.windows(&self.owner, NAME))?;
            let there = windows
                .last()
                .is_some_and(|w| (w.to.position.file.clone(), w.to.position.offset) >= end);
            if there {
                break;
            }
            if began.elapsed() > Duration::from_secs(300) {
                bail!("wait until history has {end:?}: it has {windows:?}");
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(())
    }

    /// Tables back under new names: how long it takes from the call to the end of
    /// the job, and by how many bytes memory grows meanwhile at most.
    pub(crate) fn rollback(
        &self,
        pairs: &[(&str, &str)],
        us: i64,
        way: Way,
    ) -> anyhow::Result<(Duration, u64)> {
        let request = RollbackRequest {
            instance: NAME.to_owned(),
            until: Until::Written(Written::Instant(us)),
            strategy: Strategy::Table,
            databases: Vec::new(),
            tables: pairs
                .iter()
                .map(|(from, to)| Renamed {
                    from: name(from),
                    to: name(to),
                })
                .collect(),
            torn: true,
            road: match way {
                Way::Chosen => None,
                Way::Undo => Some(Road::Undo),
                Way::Restore => Some(Road::Restore),
            },
        };
        let before = forget_peak()?;
        let began = Instant::now();
        let asked = self
            .tokio
            .block_on(self.databases.rollback(&self.caller(), vec![request]))?;
        let asked = asked.first().context("start a rollback")?;
        self.wait(&asked.job)?;
        Ok((began.elapsed(), status("VmHWM:")?.saturating_sub(before)))
    }

    /// A table back in place.
    pub(crate) fn rewind(&self, table: &str, us: i64) -> anyhow::Result<Duration> {
        let request = RewindRequest {
            instance: NAME.to_owned(),
            what: RewindWhat::Until {
                until: Until::Written(Written::Instant(us)),
                tables: vec![name(table)],
            },
            torn: true,
        };
        let began = Instant::now();
        let asked = self
            .tokio
            .block_on(self.databases.rewind(&self.caller(), request))?;
        self.wait(&asked.job)?;
        Ok(began.elapsed())
    }
}

fn name(text: &str) -> TableName {
    let (schema, table) = text.split_once('.').unwrap_or(("", text));
    TableName::new(schema, table)
}

/// Has the kernel note anew how much memory this process has had at most, and
/// returns how much it has now, in bytes.
fn forget_peak() -> anyhow::Result<u64> {
    std::fs::write("/proc/self/clear_refs", "5").context("forget the peak of memory")?;
    status("VmRSS:")
}

/// A size that the kernel notes of this process, in bytes.
fn status(name: &str) -> anyhow::Result<u64> {
    let text = std::fs::read_to_string("/proc/self/status")?;
    let kib: u64 = text
        .lines()
        .find_map(|line| line.strip_prefix(name))
        .and_then(|rest| rest.trim().trim_end_matches(" kB").parse().ok())
        .with_context(|| format!("read {name} of this process"))?;
    Ok(kib << 10)
}
