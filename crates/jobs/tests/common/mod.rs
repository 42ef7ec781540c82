//! What the tests of the engine share.
#![allow(dead_code, reason = "each test binary uses a part of it")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "tests and benches may stop at the first surprise"
)]

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use backout_core::code::Code;
use backout_core::ids::{AccountId, JobId, OsEntropy, RequestId};
use backout_core::outcome::Outcome;
use backout_core::plan::Plan;
use backout_core::time::{Clock, SystemClock};
use backout_jobs::{
    Commit, Done, JobView, Jobs, NewJob, Procedure, Registry, Step, StepContext, StepError,
    StepFuture, Undo, Worker, WorkerConfig, planned_steps,
};
use backout_store::{Error as StoreError, Migration, Store, params};
use serde::{Deserialize, Serialize};

/// How long anything may take before a test gives up. Measures nothing.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// A table of a product's, so that commits have something to write.
pub const NOTES: Migration = Migration {
    name: "notes-0001",
    sql: "CREATE TABLE notes (id TEXT PRIMARY KEY, note TEXT NOT NULL, times BIGINT NOT NULL);\n",
};

pub fn migrations() -> Vec<Migration> {
    backout_jobs::MIGRATIONS
        .iter()
        .copied()
        .chain([NOTES])
        .collect()
}

pub fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
}

pub fn jobs_on(store: &Store) -> Jobs {
    jobs_with(store, Arc::new(SystemClock))
}

pub fn jobs_with(store: &Store, clock: Arc<dyn Clock>) -> Jobs {
    Jobs::new(store.clone(), clock, Arc::new(OsEntropy))
}

/// Waits until `what` holds.
pub async fn until<F: Future<Output = bool>>(why: &str, mut what: impl FnMut() -> F) {
    let end = Instant::now() + PATIENCE;
    while !what().await {
        assert!(Instant::now() < end, "gave up waiting until {why}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// What the scripted procedure is told.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Told {
    /// Fails in this step.
    pub fail: String,
    /// Fails in the undo of this step, unless mended.
    pub fail_undo: String,
    /// Panics in this step.
    pub panic: String,
    /// Panics in the undo of this step.
    pub panic_undo: String,
    /// Says "again" in this step, so many times.
    pub again: (String, u32),
    /// Says "again" in the undo of this step, so many times.
    pub again_undo: (String, u32),
    /// Waits in this step until it is cancelled or the gate is opened.
    pub wait: String,
    /// Waits in this step until the gate is opened, whoever cancels.
    pub wait_deaf: String,
    /// The commit of this step is refused by the store.
    pub bad_commit: String,
    /// The commit of this step panics.
    pub panic_commit: String,
    /// The settlement fails while not mended: `panic` or `refused`.
    pub settle: String,
    /// Says it lost the job in this step, once.
    pub stale: String,
}

/// Three steps that do as they are told and remember that they did.
#[derive(Clone, Default)]
pub struct Scripted {
    pub log: Arc<Mutex<HashMap<JobId, Vec<String>>>>,
    pub open: Arc<std::sync::atomic::AtomicBool>,
    pub mended: Arc<std::sync::atomic::AtomicBool>,
    no_return: bool,
    name: &'static str,
}

impl Scripted {
    pub fn new() -> Self {
        Self {
            name: "test.scripted",
            ..Self::default()
        }
    }

    /// The same, with `b` a point of no return.
    pub fn without_return() -> Self {
        Self {
            name: "test.no_return",
            no_return: true,
            ..Self::default()
        }
    }

    pub fn log_of(&self, job: &JobId) -> Vec<String> {
        self.log
            .lock()
            .unwrap()
            .get(job)
            .cloned()
            .unwrap_or_default()
    }

    fn note(&self, job: &JobId, what: String) -> usize {
        let mut log = self.log.lock().unwrap();
        let log = log.entry(job.clone()).or_default();
        log.push(what.clone());
        log.iter().filter(|l| **l == what).count()
    }

    pub fn registry(&self) -> Registry {
        Registry::new().with(self.clone())
    }

    pub fn job(&self, jobs: &Jobs, node: &str, claims: &[&str], told: &Told) -> NewJob {
        NewJob {
            id: jobs.new_id(),
            procedure: self.name.into(),
            title: "do as told".into(),
            account: "acct_aaaaaaaaaaaa".parse::<AccountId>().unwrap(),
            request: RequestId::random(&OsEntropy),
            node: node.into(),
            resource: claims.first().copied().unwrap_or("thing/none").into(),
            claims: claims.iter().map(|c| (*c).to_owned()).collect(),
            input: serde_json::to_value(told).unwrap(),
            plan: Plan {
                procedure: self.name.into(),
                title: "do as told".into(),
                claims: claims.iter().map(|c| (*c).to_owned()).collect(),
                steps: planned_steps(self),
            },
            undo_of: None,
            idempotency: None,
            background: false,
            now: jobs.now(),
        }
    }

    async fn perform(&self, job: &StepContext, step: &'static str) -> Result<Done, StepError> {
        let told: Told = job.input()?;
        let times = self.note(&job.job, format!("do {step}"));
        if told.panic == step {
            panic!("on purpose in {step}");
        }
        if told.fail == step {
            return Err(StepError::failed(
                Code::DiskIo,
                format!("do {step}: as told"),
            ));
        }
        if told.again.0 == step && times <= told.again.1 as usize {
            return Err(StepError::again(
                Code::DiskIo,
                format!("do {step}: not yet"),
            ));
        }
        if told.stale == step && times == 1 {
            return Err(StepError::Stale);
        }
        if told.wait == step || told.wait_deaf == step {
            job.progress(50, "waits");
            while !self.open.load(std::sync::atomic::Ordering::SeqCst) {
                if job.cancel.requested() && told.wait == step {
                    return Err(StepError::Cancelled);
                }
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        }
        let id = format!("{}/{step}", job.job);
        let (bad, panics) = (told.bad_commit == step, told.panic_commit == step);
        Ok(
            Done::remember(&format!("output of {step}"))?.with(move |tx| {
                assert!(!panics, "on purpose in a commit");
                if bad {
                    tx.execute("INSERT INTO no_such_table VALUES (1)", &[])?;
                }
                tx.execute(
                    "INSERT INTO notes (id, note, times) VALUES ($1, 'done', 1) \
                 ON CONFLICT (id) DO UPDATE SET times = notes.times + 1",
                    params![id],
                )?;
                Ok(())
            }),
        )
    }

    async fn take_back(&self, job: &StepContext, step: &'static str) -> Result<Done, StepError> {
        let told: Told = job.input()?;
        let mended = self.mended.load(std::sync::atomic::Ordering::SeqCst);
        assert!(!job.cancel.requested(), "no undo is ever cancelled");
        let times = self.note(&job.job, format!("undo {step}"));
        if told.fail_undo == step && !mended {
            return Err(StepError::failed(
                Code::DiskIo,
                format!("undo {step}: as told"),
            ));
        }
        assert!(
            told.panic_undo != step || mended,
            "on purpose in undo {step}"
        );
        if told.again_undo.0 == step && times <= told.again_undo.1 as usize && !mended {
            return Err(StepError::again(
                Code::DiskIo,
                format!("undo {step}: not yet"),
            ));
        }
        let id = format!("{}/{step}", job.job);
        Ok(Done::nothing().with(move |tx| {
            tx.execute("DELETE FROM notes WHERE id = $1", params![id])?;
            Ok(())
        }))
    }
}

macro_rules! step {
    ($name:literal, $undo:expr) => {
        Step {
            name: $name,
            does: concat!("does ", $name),
            run: |p: &Scripted, job| -> StepFuture<'_> { Box::pin(p.perform(job, $name)) },
            undo: $undo,
        }
    };
    ($name:literal) => {
        step!(
            $name,
            Undo::By {
                does: concat!("undoes ", $name),
                run: |p: &Scripted, job| -> StepFuture<'_> { Box::pin(p.take_back(job, $name)) },
            }
        )
    };
}

static STEPS: &[Step<Scripted>] = &[step!("a"), step!("b"), step!("c")];
static NO_RETURN: &[Step<Scripted>] = &[
    step!("a"),
    step!("b", Undo::Never),
    step!("c", Undo::Nothing),
];

impl Procedure for Scripted {
    fn name(&self) -> &'static str {
        self.name
    }

    fn steps(&self) -> &[Step<Self>] {
        if self.no_return { NO_RETURN } else { STEPS }
    }

    fn settle(&self, job: &StepContext, outcome: Outcome, failure: Option<&StepError>) -> Commit {
        let told: Told = job.input().unwrap_or_default();
        let mended = self.mended.load(std::sync::atomic::Ordering::SeqCst);
        assert!(told.settle != "panic" || mended, "on purpose in settle");
        let refused = told.settle == "refused" && !mended;
        let id = format!("{}/outcome", job.job);
        let note = format!(
            "{outcome}{}",
            failure.map(|f| format!(": {f}")).unwrap_or_default()
        );
        Box::new(move |tx| {
            if refused {
                return Err(StoreError::Statement("on purpose".into()));
            }
            tx.execute(
                "INSERT INTO notes (id, note, times) VALUES ($1, $2, 1) \
                 ON CONFLICT (id) DO UPDATE SET note = $2, times = notes.times + 1",
                params![id, note],
            )?;
            Ok(())
        })
    }
}

/// The notes of one job: what its commits wrote, by name.
pub async fn notes_of(jobs: &Jobs, job: &JobId) -> Vec<(String, String, i64)> {
    let prefix = format!("{job}/");
    jobs.store()
        .read::<_, StoreError>(move |tx| {
            tx.query(
                "SELECT id, note, times FROM notes WHERE id >= $1 AND id < $2 ORDER BY id",
                params![prefix.as_str(), format!("{prefix}~")],
            )?
            .iter()
            .map(|row| {
                let id: String = row.get(0)?;
                Ok((
                    id.trim_start_matches(&prefix).to_owned(),
                    row.get(1)?,
                    row.get(2)?,
                ))
            })
            .collect()
        })
        .await
        .unwrap()
}

pub fn config(node: &str) -> WorkerConfig {
    WorkerConfig {
        poll: Duration::from_millis(10),
        ..WorkerConfig::new(node)
    }
}

pub async fn worker(jobs: &Jobs, registry: Registry, node: &str) -> Worker {
    Worker::start(jobs, registry, config(node)).await.unwrap()
}

pub async fn done(jobs: &Jobs, job: &JobId) -> JobView {
    let view = jobs.wait(job, PATIENCE).await.unwrap();
    assert!(view.is_done(), "{view:?}");
    view
}
