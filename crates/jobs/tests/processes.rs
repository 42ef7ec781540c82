//! Several processes on one store: killed, stopped, and started again.
//!
//! The children are this test binary, started again for one test with the
//! variable `BACKOUT_TEST_CHILD` set to what they are for.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "tests and benches may stop at the first surprise"
)]

mod common;

use std::fs;
use std::io::{Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use backout_core::code::Code;
use backout_core::ids::{AccountId, Entropy as _, JobId, OsEntropy, RequestId};
use backout_core::outcome::Outcome;
use backout_core::plan::Plan;
use backout_core::time::SystemClock;
use backout_jobs::{
    Commit, Done, EventKind, Jobs, NewJob, Procedure, Registry, State, Step, StepContext,
    StepError, SubmitError, Undo, Worker, WorkerConfig, planned_steps, submit,
};
use backout_store::testing::PrivatePostgres;
use backout_store::{Error as StoreError, Store, params, query_one};
use common::*;
use rustix::fs::{FlockOperation, flock};
use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};

const CHILD: &str = "BACKOUT_TEST_CHILD";

/// What a child is told.
#[derive(Clone, Serialize, Deserialize)]
struct Orders {
    /// A folder with `state.db`, or the address of a PostgreSQL database.
    store: String,
    folder: PathBuf,
    concurrency: usize,
    lease_ms: i64,
    patient: bool,
}

impl Orders {
    fn jobs(&self) -> Jobs {
        let store = if self.store.starts_with("postgres") {
            Store::open_postgres(&self.store, 4, &migrations())
        } else {
            Store::open_sqlite(Path::new(&self.store), &migrations())
        };
        Jobs::new(store.unwrap(), Arc::new(SystemClock), Arc::new(OsEntropy))
    }

    async fn worker(&self, jobs: &Jobs) -> Worker {
        let config = WorkerConfig {
            concurrency: self.concurrency,
            lease_ms: self.lease_ms,
            ..config("here")
        };
        Worker::start(jobs, self.registry(), config).await.unwrap()
    }

    fn registry(&self) -> Registry {
        Registry::new()
            .with(Lines(self.clone()))
            .with(Gate(self.clone()))
            .with(Sleep)
    }

    fn start(&self, test: &str) -> Reaped {
        Reaped(
            Command::new(std::env::current_exe().unwrap())
                .args([test, "--exact", "--nocapture", "--test-threads=1"])
                .env(CHILD, serde_json::to_string(self).unwrap())
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap(),
        )
    }
}

/// A child that does not outlive its test.
struct Reaped(Child);

impl Reaped {
    fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.0.id()).unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }
    fn kill(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Reaped {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// In a child: works until it is killed, or its parent has gone.
fn be_a_worker() {
    let Ok(orders) = std::env::var(CHILD) else {
        return;
    };
    let orders: Orders = serde_json::from_str(&orders).unwrap();
    runtime().block_on(async {
        let jobs = orders.jobs();
        let worker = orders.worker(&jobs).await;
        let parent = std::os::unix::process::parent_id();
        while std::os::unix::process::parent_id() == parent {
            // For the test of a stopped worker.
            if orders.folder.join("patient-began").exists() && worker.running() == 0 {
                fs::write(orders.folder.join("dropped"), "").unwrap();
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    std::process::exit(0);
}

fn new_job<P: Procedure>(jobs: &Jobs, procedure: &P, claims: Vec<String>, fails: bool) -> NewJob {
    NewJob {
        id: jobs.new_id(),
        procedure: procedure.name().into(),
        title: "a job".into(),
        account: "acct_aaaaaaaaaaaa".parse::<AccountId>().unwrap(),
        request: RequestId::random(&OsEntropy),
        node: "here".into(),
        resource: "thing/a".into(),
        claims: claims.clone(),
        input: serde_json::Value::Bool(fails),
        plan: Plan {
            procedure: procedure.name().into(),
            title: "a job".into(),
            claims,
            steps: planned_steps(procedure),
        },
        undo_of: None,
        idempotency: None,
        background: false,
        now: jobs.now(),
    }
}

/// Appends one line a step to the job's file: under a lock, once, and never
/// with a smaller token than is there.
struct Lines(Orders);

impl Lines {
    async fn append(&self, job: &StepContext, line: &'static str) -> Result<Done, StepError> {
        let path = self.0.folder.join(job.job.as_str());
        let fence = job.fence;
        job.blocking(move || {
            let io = |e: std::io::Error| StepError::failed(Code::DiskIo, e.to_string());
            let mut file = fs::OpenOptions::new()
                .create(true)
                .truncate(false)
                .read(true)
                .write(true)
                .open(path)
                .map_err(io)?;
            flock(&file, FlockOperation::LockExclusive).map_err(|e| io(e.into()))?;
            let mut text = String::new();
            file.read_to_string(&mut text).map_err(io)?;
            for there in text.lines() {
                let (token, name) = there.split_once(' ').unwrap();
                if token.parse::<i64>().unwrap() > fence.0 {
                    return Err(StepError::Stale);
                }
                if name == line {
                    return Ok(());
                }
            }
            // A crash shall have something to interrupt.
            std::thread::sleep(Duration::from_millis(3));
            file.seek(std::io::SeekFrom::End(0)).map_err(io)?;
            file.write_all(format!("{fence} {line}\n").as_bytes())
                .map_err(io)
        })
        .await?;
        let id = format!("{}/{line}", job.job);
        Ok(Done::nothing().with(move |tx| {
            tx.execute(
                "INSERT INTO notes (id, note, times) VALUES ($1, 'done', 1) \
                 ON CONFLICT (id) DO UPDATE SET times = notes.times + 1",
                params![id],
            )?;
            Ok(())
        }))
    }
}

macro_rules! line {
    ($name:literal) => {
        Step {
            name: $name,
            does: "append a line",
            run: |p, job| Box::pin(p.append(job, concat!("do ", $name))),
            undo: Undo::By {
                does: "append another line",
                run: |p, job| Box::pin(p.append(job, concat!("undo ", $name))),
            },
        }
    };
}

static LINES: &[Step<Lines>] = &[
    line!("a"),
    line!("b"),
    Step {
        name: "end",
        does: "fail, if told so",
        run: |_, job| {
            Box::pin(async move {
                if job.input::<bool>()? {
                    return Err(StepError::failed(Code::DiskIo, "as told"));
                }
                Ok(Done::nothing())
            })
        },
        undo: Undo::Nothing,
    },
];

impl Procedure for Lines {
    fn name(&self) -> &'static str {
        "test.lines"
    }
    fn steps(&self) -> &[Step<Self>] {
        LINES
    }
    fn settle(&self, job: &StepContext, _: Outcome, _: Option<&StepError>) -> Commit {
        let id = format!("{}/outcome", job.job);
        Box::new(move |tx| {
            tx.execute(
                "INSERT INTO notes (id, note, times) VALUES ($1, 'done', 1) \
                 ON CONFLICT (id) DO UPDATE SET times = notes.times + 1",
                params![id],
            )?;
            Ok(())
        })
    }
}

/// Waits for a file if it is patient, then writes with its record who it was.
struct Gate(Orders);

static GATE: &[Step<Gate>] = &[Step {
    name: "gate",
    does: "wait",
    run: |p, job| {
        Box::pin(async move {
            let who = if p.0.patient { "patient" } else { "other" };
            fs::write(p.0.folder.join(format!("{who}-began")), "").unwrap();
            while p.0.patient && !p.0.folder.join("open").exists() {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            let id = format!("{}/who", job.job);
            Ok(Done::nothing().with(move |tx| {
                tx.execute(
                    "INSERT INTO notes (id, note, times) VALUES ($1, $2, 1) \
                     ON CONFLICT (id) DO UPDATE SET note = $2, times = notes.times + 1",
                    params![id, who],
                )?;
                Ok(())
            }))
        })
    },
    undo: Undo::Nothing,
}];

impl Procedure for Gate {
    fn name(&self) -> &'static str {
        "test.gate"
    }
    fn steps(&self) -> &[Step<Self>] {
        GATE
    }
    fn settle(&self, _: &StepContext, _: Outcome, _: Option<&StepError>) -> Commit {
        Box::new(|_| Ok(()))
    }
}

/// Never ends by itself.
struct Sleep;

static SLEEP: &[Step<Sleep>] = &[Step {
    name: "sleep",
    does: "sleep",
    run: |_, job| {
        Box::pin(async move {
            while !job.cancel.requested() {
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            Err(StepError::Cancelled)
        })
    },
    undo: Undo::Nothing,
}];

impl Procedure for Sleep {
    fn name(&self) -> &'static str {
        "test.sleep"
    }
    fn steps(&self) -> &[Step<Self>] {
        SLEEP
    }
    fn settle(&self, _: &StepContext, _: Outcome, _: Option<&StepError>) -> Commit {
        Box::new(|_| Ok(()))
    }
}

fn on_sqlite(folder: &Path) -> Orders {
    Orders {
        store: folder.join("state.db").to_string_lossy().into_owned(),
        folder: folder.to_owned(),
        concurrency: 8,
        lease_ms: 15_000,
        patient: false,
    }
}

async fn count(jobs: &Jobs, wanted: &'static str) -> i64 {
    jobs.store()
        .read::<_, StoreError>(move |tx| {
            query_one(
                tx,
                &format!("SELECT COUNT(*) FROM jobs WHERE {wanted}"),
                &[],
            )?
            .unwrap()
            .get(0)
        })
        .await
        .unwrap()
}

#[test]
fn killed_workers_sqlite() {
    be_a_worker();
    let folder = tempfile::tempdir().unwrap();
    killed_workers("killed_workers_sqlite", &on_sqlite(folder.path()));
}

#[test]
fn killed_workers_postgres() {
    be_a_worker();
    let folder = tempfile::tempdir().unwrap();
    let server = PrivatePostgres::start();
    let orders = Orders {
        store: server.database("killed"),
        ..on_sqlite(folder.path())
    };
    killed_workers("killed_workers_postgres", &orders);
}

/// Three workers, one of which is killed again and again, whichever it is.
fn killed_workers(test: &str, orders: &Orders) {
    const JOBS: usize = 90;
    const KILLS: usize = 15;
    runtime().block_on(async {
        let jobs = orders.jobs();
        let mut submitted = Vec::new();
        let mut workers: Vec<_> = (0..3).map(|_| orders.start(test)).collect();
        for kill in 0..KILLS {
            // Some of the jobs wait for each other's claim.
            for n in 0..JOBS / KILLS {
                let fails = (kill + n) % 3 == 0;
                let claims = vec![format!("thing/{}", n % 4), format!("part/{kill}/{n}")];
                let new = new_job(&jobs, &Lines(orders.clone()), claims, fails);
                let end = Instant::now() + PATIENCE;
                let id = loop {
                    match jobs.submit(new.clone()).await {
                        Ok(submitted) => break submitted.id,
                        Err(
                            SubmitError::Busy { .. } | SubmitError::Store(StoreError::Contended(_)),
                        ) => {
                            assert!(Instant::now() < end, "a claim is never released");
                            tokio::time::sleep(Duration::from_millis(2)).await;
                        }
                        Err(e) => panic!("{e}"),
                    }
                };
                submitted.push((id, fails));
            }
            // After a random part of a job's life.
            let mut random = [0_u8; 2];
            OsEntropy.fill(&mut random);
            tokio::time::sleep(Duration::from_micros(u64::from(random[0]) * 200)).await;
            let victim = usize::from(random[1]) % workers.len();
            workers[victim].kill();
            workers[victim] = orders.start(test);
        }
        for (id, fails) in &submitted {
            let view = done(&jobs, id).await;
            let (outcome, lines) = if *fails {
                (Outcome::Reverted, vec!["do a", "do b", "undo b", "undo a"])
            } else {
                (Outcome::Applied, vec!["do a", "do b"])
            };
            assert_eq!(view.outcome, Some(outcome), "{view:?}");
            let text = fs::read_to_string(orders.folder.join(id.as_str())).unwrap();
            let done: Vec<_> = text.lines().map(|l| l.split_once(' ').unwrap().1).collect();
            assert_eq!(done, lines, "each effect once, in order");
            let notes = notes_of(&jobs, id).await;
            assert_eq!(notes.len(), lines.len() + 1);
            assert!(notes.iter().all(|(_, _, times)| *times == 1), "{notes:?}");
            let ends = jobs.events(id, 0, 500).await.unwrap();
            let ends = ends.iter().filter(|e| e.kind == EventKind::of(outcome));
            assert_eq!(ends.count(), 1);
            assert!(jobs.claims_of(id).await.unwrap().is_empty());
        }
    });
}

#[test]
fn a_stopped_worker_changes_nothing() {
    be_a_worker();
    let test = "a_stopped_worker_changes_nothing";
    let folder = tempfile::tempdir().unwrap();
    let patient = Orders {
        lease_ms: 600,
        patient: true,
        ..on_sqlite(folder.path())
    };
    let other = Orders {
        patient: false,
        ..patient.clone()
    };
    runtime().block_on(async {
        let jobs = other.jobs();
        let stopped = patient.start(test);
        let new = new_job(&jobs, &Gate(other.clone()), vec!["thing/a".into()], false);
        let id = jobs.submit(new).await.unwrap().id;
        let is = |name: &str| folder.path().join(name).exists();
        until("the step runs", async || is("patient-began")).await;
        stopped.signal(Signal::STOP);
        // Its process lives: only its lease tells.
        let worker = other.worker(&jobs).await;
        let view = done(&jobs, &id).await;
        assert_eq!(view.outcome, Some(Outcome::Applied));
        let events = jobs.events(&id, 0, 500).await.unwrap();
        assert!(events.iter().any(|e| e.kind == EventKind::Resumed));

        fs::write(folder.path().join("open"), "").unwrap();
        stopped.signal(Signal::CONT);
        until("it has dropped the job", async || is("dropped")).await;
        assert_eq!(jobs.get(&id).await.unwrap(), view);
        assert_eq!(jobs.events(&id, 0, 500).await.unwrap(), events);
        assert_eq!(
            notes_of(&jobs, &id).await,
            [("who".to_owned(), "other".to_owned(), 1)]
        );
        worker.stop().await;
    });
}

#[test]
fn ten_thousand_jobs_survive_a_kill() {
    be_a_worker();
    const JOBS: i64 = 10_000;
    let folder = tempfile::tempdir().unwrap();
    let orders = Orders {
        concurrency: 10_000,
        ..on_sqlite(folder.path())
    };
    runtime().block_on(async {
        let jobs = orders.jobs();
        let mut first: Option<JobId> = None;
        for _ in 0..JOBS / 500 {
            let new: Vec<_> = (0..500)
                .map(|_| new_job(&jobs, &Sleep, Vec::new(), false))
                .collect();
            first = first.or_else(|| Some(new[0].id.clone()));
            jobs.store()
                .write::<_, SubmitError>(move |tx| {
                    new.iter().try_for_each(|new| submit(tx, new).map(drop))
                })
                .await
                .unwrap();
        }
        let mut child = orders.start("ten_thousand_jobs_survive_a_kill");
        until("all run", async || {
            count(&jobs, "state = 'running' AND step = 'sleep'").await == JOBS
        })
        .await;
        child.kill();
        let idle = Orders {
            concurrency: 100,
            ..orders.clone()
        };
        // When it has started, the dead one's jobs are back.
        let worker = idle.worker(&jobs).await;
        let running = count(&jobs, "state = 'running'").await;
        let queued = count(&jobs, "state = 'queued'").await;
        assert!(running <= 100, "{running}");
        assert_eq!(running + queued, JOBS);
        until("it goes on with some", async || {
            count(&jobs, "state = 'running'").await == 100
        })
        .await;
        let first = jobs.get(&first.unwrap()).await.unwrap();
        assert_ne!(first.state, State::Done);
        worker.stop().await;
        assert_eq!(count(&jobs, "state = 'queued'").await, JOBS);
    });
}
